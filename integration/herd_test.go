package integration

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/pgfence"
	"github.com/pgaside/pgaside/internal/servers"
)

// TestHerdLoadsOnce: 4 processes with 100 goroutines each want one cold key: one load in all. The load is held up by a lock on
// its table until it is seen to wait, so that the herd is one; the processes get a budget that the machine's speed has no part
// in, since a reader whose budget ends goes to the source by itself.
func TestHerdLoadsOnce(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	s := w.session(ctx)
	var peers []*peer
	for range 4 {
		p := w.peerWith(peerBudget + "=45s")
		require.Equal(t, "error no rows in result set", p.do("get %s", nobody)) // it is up and connected
		peers = append(peers, p)
	}
	tx, err := w.pool.Begin(ctx)
	require.NoError(t, err)
	_, err = tx.Exec(ctx, "lock table sessions in access exclusive mode")
	require.NoError(t, err)
	for _, p := range peers {
		p.send("herd %s", s.ID)
	}
	waiting := func() (n int) {
		err := w.pool.QueryRow(ctx, "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'").Scan(&n)
		require.NoError(t, err)
		return n
	}
	eventually(t, "a load waits for the lock", func() bool { return waiting() > 0 })
	time.Sleep(200 * time.Millisecond) // let the herd gather
	require.Equal(t, 1, waiting(), "one load in all")
	require.NoError(t, tx.Rollback(ctx))
	loads := 0
	for _, p := range peers {
		var n, failed int
		answer := p.line()
		_, err := fmt.Sscanf(answer, "loads %d failed %d", &n, &failed)
		require.NoError(t, err, answer)
		require.Zero(t, failed)
		loads += n
	}
	require.Equal(t, 1, loads)
}

// TestHerdWithoutRedis: while Redis is away the loads of one key never overlap, and those of all keys are bounded.
func TestHerdWithoutRedis(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	port, err := servers.FreePort()
	require.NoError(t, err)
	const bound, keys, readers = 4, 10, 20
	c, err := cache.Open(fmt.Sprintf("redis://127.0.0.1:%d", port), cache.Options{MaxFallbackLoads: bound, Logger: w.logger()})
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	db := pgfence.New(w.pool, c, pgfence.Statements{})
	var running, most, loads atomic.Int32
	perKey := make([]atomic.Int32, keys)
	var overlap atomic.Bool
	load := func(ctx context.Context, d pgfence.DBTX, keys ...int) error {
		loads.Add(1)
		for n, m := running.Add(1), most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		for _, k := range keys {
			if perKey[k].Add(1) > 1 {
				overlap.Store(true)
			}
			defer perKey[k].Add(-1)
		}
		defer running.Add(-1)
		_, err := d.Exec(ctx, "select pg_sleep(0.02)")
		return err
	}
	var wg sync.WaitGroup
	errs := make(chan error, keys*readers)
	start := make(chan struct{})
	for k := range keys {
		for range readers {
			wg.Go(func() {
				<-start
				got, err := pgfence.Read(ctx, db, counterGroup.Key(k), counterQuery.Cell(), func(ctx context.Context, d pgfence.DBTX) (int64, error) {
					return int64(k), load(ctx, d, k)
				})
				if err == nil && got != int64(k) {
					err = fmt.Errorf("got %d for %d", got, k)
				}
				errs <- err
			})
		}
	}
	close(start)
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.LessOrEqual(t, most.Load(), int32(bound), "concurrent loads")
	require.False(t, overlap.Load(), "two loads of one key at a time")
	t.Logf("%d loads for %d reads of %d keys", loads.Load(), keys*readers, keys)
	require.Less(t, loads.Load(), int32(keys*readers/2), "readers share loads")

	// Batches take their turn with the others.
	running.Store(0)
	most.Store(0)
	errs = make(chan error, 30)
	for range 30 {
		wg.Go(func() {
			rows, err := pgfence.ReadMany(ctx, db, []int{1, 2, 3}, counterGroup.Key, counterRows.Cell(), func(r counterRow) int { return r.ID },
				func(ctx context.Context, d pgfence.DBTX, missing []int) ([]counterRow, error) {
					return []counterRow{{ID: 1}, {ID: 3}}, load(ctx, d)
				})
			if err == nil && len(rows) != 2 {
				err = fmt.Errorf("%d rows", len(rows))
			}
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.LessOrEqual(t, most.Load(), int32(bound), "concurrent batches")
	require.Positive(t, c.Stats().Errors[cache.ErrorConnection.String()])
}

// TestOverloadedIsSaid: a reader whose time ends while it waits for its turn is told so, and nothing false.
func TestOverloadedIsSaid(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	port, err := servers.FreePort()
	require.NoError(t, err)
	c, err := cache.Open(fmt.Sprintf("redis://127.0.0.1:%d", port), cache.Options{MaxFallbackLoads: 1, Logger: w.logger()})
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	a, b := newStage(w, c), newStage(w, c)
	defer a.load.release()
	b.load.release()
	one, two := w.session(ctx), w.session(ctx)
	first := a.readAsync(ctx, one.ID)
	<-a.load.at
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err = b.read(short, two.ID)
	require.ErrorIs(t, err, cache.ErrOverloaded)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	a.load.release()
	require.Equal(t, result{value: "first"}, <-first)
	require.Equal(t, result{value: "first"}, <-b.readAsync(ctx, two.ID), "and afterwards there is room again")
	require.EqualValues(t, 1, c.Stats().Overloaded)
	require.False(t, strings.Contains(w.log.String(), two.ID.String()))
}
