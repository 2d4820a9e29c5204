package integration

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/internal/servers"
)

// flock is many readers of one store.
type flock struct {
	t     *testing.T
	store cache.Store
	refs  []cache.CellRef // each cell holds its key
}

// newFlock stores cells under keys.
func newFlock(t *testing.T, rdb redis.UniversalClient, keys ...string) *flock {
	t.Helper()
	f := &flock{t: t, store: cache.NewRedisStore(rdb, false)}
	for _, k := range keys {
		require.NoError(t, rdb.HSet(t.Context(), k, "f", k).Err())
		f.refs = append(f.refs, cache.CellRef{Key: k, Field: "f"})
	}
	return f
}

func keysOf(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("flock:{%d}", i)
	}
	return out
}

// read lets n readers read each of the given cells, each with time of its own, and hands on what they get. It fails the test
// when one of them does not come back.
func (f *flock) read(n int, limit time.Duration, refs []cache.CellRef, check func(ref cache.CellRef, cell []byte, err error)) {
	f.t.Helper()
	var wg sync.WaitGroup
	for _, ref := range refs {
		for range n {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(f.t.Context(), limit)
				defer cancel()
				cell, _, err := f.store.Get(ctx, ref, nil)
				check(ref, cell, err)
			})
		}
	}
	back := make(chan struct{})
	go func() { wg.Wait(); close(back) }()
	select {
	case <-back:
	case <-time.After(time.Minute):
		f.t.Fatal("readers do not come back")
	}
}

// answered lets readers read, all of which must be answered.
func (f *flock) answered(n int, refs []cache.CellRef) {
	f.t.Helper()
	f.read(n, time.Minute, refs, func(ref cache.CellRef, cell []byte, err error) {
		if err != nil || string(cell) != ref.Key {
			f.t.Errorf("%s: got %q, %v", ref.Key, cell, err)
		}
	})
}

// unavailable lets readers read, none of which can be answered.
func (f *flock) unavailable(n int, limit time.Duration, refs []cache.CellRef) {
	f.t.Helper()
	f.read(n, limit, refs, func(ref cache.CellRef, cell []byte, err error) {
		if !cache.Unavailable(err) {
			f.t.Errorf("%s: got %q, %v", ref.Key, cell, err)
		}
	})
}

// recovers waits until a read is answered, and then all of them must be.
func (f *flock) recovers() {
	f.t.Helper()
	eventually(f.t, "Redis answers again", func() bool {
		_, _, err := f.store.Get(f.t.Context(), f.refs[0], nil)
		return err == nil
	})
	f.answered(4, f.refs)
}

// TestHungRedisHoldsNoReader: all come back when their own time is up, whatever the pipelines do, and neither goroutines nor
// connections pile up.
func TestHungRedisHoldsNoReader(t *testing.T) {
	srv, err := servers.StartRedis(t.Context(), servers.RedisOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = srv.Close() })
	rdb := (&world{t: t, redis: srv}).client(func(o *redis.Options) { o.PoolSize = 100 })
	f := newFlock(t, rdb, keysOf(16)...)
	f.answered(16, f.refs)
	before := runtime.NumGoroutine()

	require.NoError(t, srv.Freeze())
	for range 5 {
		f.unavailable(16, 100*time.Millisecond, f.refs)
	}
	conns := rdb.PoolStats().TotalConns + rdb.PoolStats().PipelineStats.TotalConns
	require.LessOrEqual(t, conns, uint32(16), "connections")
	eventually(t, "pipelines have ended", func() bool { return runtime.NumGoroutine() <= before })

	require.NoError(t, srv.Thaw())
	f.recovers()
	require.NoError(t, f.store.Close())
}

// TestReadersOfAHungRedisAreClosed: Close ends those who wait.
func TestReadersOfAHungRedisAreClosed(t *testing.T) {
	t.Parallel()
	srv, err := servers.StartRedis(t.Context(), servers.RedisOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = srv.Close() })
	rdb := (&world{t: t, redis: srv}).client()
	f := newFlock(t, rdb, keysOf(16)...)
	f.answered(16, f.refs)
	require.NoError(t, srv.Freeze())
	var once sync.Once
	reading := make(chan struct{})
	owner := cache.NewRedisStore(rdb, true)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			once.Do(func() { close(reading) })
			if _, _, err := owner.Get(context.Background(), f.refs[0], nil); !cache.Unavailable(err) {
				t.Errorf("got %v", err)
			}
		})
	}
	<-reading
	require.NoError(t, owner.Close())
	wg.Wait()
}

func TestKilledRedisFailsItsReaders(t *testing.T) {
	t.Parallel()
	srv, err := servers.StartRedis(t.Context(), servers.RedisOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = srv.Close() })
	rdb := (&world{t: t, redis: srv}).client()
	f := newFlock(t, rdb, keysOf(16)...)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for g := range 32 { // readers all the while
		wg.Go(func() {
			for i := g; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				ref := f.refs[i%len(f.refs)]
				cell, _, err := f.store.Get(context.Background(), ref, nil)
				if err == nil && cell != nil && string(cell) != ref.Key || err != nil && !cache.Unavailable(err) {
					t.Errorf("%s: got %q, %v", ref.Key, cell, err)
					return
				}
			}
		})
	}
	require.NoError(t, srv.Kill())
	f.unavailable(16, time.Minute, f.refs)
	require.NoError(t, srv.Start(t.Context()))
	eventually(t, "Redis answers again", func() bool { return rdb.Ping(t.Context()).Err() == nil })
	for _, ref := range f.refs {
		require.NoError(t, rdb.HSet(t.Context(), ref.Key, "f", ref.Key).Err())
	}
	f.recovers()
	close(stop)
	wg.Wait()
	require.NoError(t, f.store.Close())
}

// TestHungNodeHoldsOnlyItsReaders: in a cluster, those who read from the other nodes are answered.
func TestHungNodeHoldsOnlyItsReaders(t *testing.T) {
	t.Parallel()
	// A node that is away for a while is not replaced.
	cluster, err := servers.StartCluster(t.Context(), servers.ClusterOptions{
		Replicas: -1, NodeTimeout: time.Minute, Args: []string{"--cluster-require-full-coverage", "no"},
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = cluster.Close() })
	limit := 10 * time.Minute // an answer that waits for the hung node does not come within the test
	rdb := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: cluster.Addrs(), ContextTimeoutEnabled: true, MaxRetries: 1, DialerRetries: 1, DisableIdentity: true,
		DialTimeout: limit, ReadTimeout: limit, WriteTimeout: limit, PoolTimeout: limit,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	t.Cleanup(func() { _ = rdb.Close() })
	f := newFlock(t, rdb, keysOf(48)...)
	f.answered(8, f.refs)

	hung := cluster.Nodes()[0]
	var there, elsewhere []cache.CellRef
	for _, ref := range f.refs {
		slot, err := cluster.SlotOf(t.Context(), ref.Key)
		require.NoError(t, err)
		owner, err := cluster.Owner(t.Context(), slot)
		require.NoError(t, err)
		if owner == hung {
			there = append(there, ref)
		} else {
			elsewhere = append(elsewhere, ref)
		}
	}
	require.NotEmpty(t, there)
	require.NotEmpty(t, elsewhere)
	require.NoError(t, hung.Freeze())
	var wg sync.WaitGroup
	for _, ref := range there {
		for range 8 { // with time enough to be answered in the end
			wg.Go(func() {
				if cell, _, err := f.store.Get(context.Background(), ref, nil); err != nil || string(cell) != ref.Key {
					t.Errorf("%s: got %q, %v", ref.Key, cell, err)
				}
			})
		}
	}
	f.unavailable(8, 200*time.Millisecond, there)
	for range 5 {
		f.answered(8, elsewhere)
	}
	require.NoError(t, hung.Thaw())
	wg.Wait()
	f.recovers()
	require.NoError(t, f.store.Close())
}
