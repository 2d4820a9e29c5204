package integration

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cached"
)

// near lets sessions be kept in the process.
func near(age time.Duration) func(*cache.Options) {
	return func(o *cache.Options) { o.Groups = map[string]cache.GroupOptions{"session": {Near: age}} }
}

// copied reads a session until a copy answers.
func (w *world) copied(ctx context.Context, q *cached.Queries, c *cache.Cache, id uuid.UUID) {
	w.t.Helper()
	before := c.Stats().Groups["session"].Total().Near
	eventually(w.t, "a copy answers", func() bool {
		_, err := q.GetSession(ctx, id)
		require.NoError(w.t, err)
		return c.Stats().Groups["session"].Total().Near > before
	})
}

// TestNearAcrossProcesses: a write drops the copies of all processes, its own before it returns. How long the others take is in
// the test's log.
func TestNearAcrossProcesses(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	writer, own := w.queries(near(time.Hour))
	reader, other := w.queries(near(time.Hour))
	s := w.session(ctx)
	eventually(t, "both are connected", func() bool {
		w.title(ctx, writer, s.ID)
		w.title(ctx, reader, s.ID)
		return own.Stats().NearConnected && other.Stats().NearConnected
	})
	const writes = 200
	took := make([]time.Duration, 0, writes)
	for i := range writes {
		w.copied(ctx, writer, own, s.ID)
		w.copied(ctx, reader, other, s.ID)
		want := strconv.Itoa(i)
		require.NoError(t, rename(ctx, writer, s.ID, want))
		returned := time.Now()
		require.Equal(t, want, w.title(ctx, writer, s.ID))
		for w.title(ctx, reader, s.ID) != want {
			require.Less(t, time.Since(returned), time.Minute, "the copy was not dropped")
		}
		took = append(took, time.Since(returned))
	}
	slices.Sort(took)
	t.Logf("from a write's return until it is read in the other process, %d writes: p50 %s, p99 %s, max %s",
		writes, took[writes/2], took[writes*99/100], took[writes-1])
}

// TestNearAgeHolds: one process writes a session again and again, and another reads it, whose link is cut all the time, or which
// may not listen at all. No read misses a write that had returned the age of a copy before it began.
func TestNearAgeHolds(t *testing.T) {
	t.Parallel()
	const age = 100 * time.Millisecond
	for _, deaf := range []bool{false, true} {
		t.Run(fmt.Sprintf("deaf=%t", deaf), func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			w := newWorld(t, ownRedis())
			user := "hears"
			rules := []any{"ACL", "SETUSER", user, "on", ">secret", "~*", "&*", "+@all"}
			if deaf {
				rules = append(rules, "-subscribe")
			}
			require.NoError(t, w.rdb.Do(ctx, rules...).Err())
			writer, _ := w.queries(near(age))
			c, err := cache.Open(w.as(user, "secret"), cache.Options{
				Namespace: w.ns, Logger: w.logger(), Groups: map[string]cache.GroupOptions{"session": {Near: age}},
			})
			require.NoError(t, err)
			t.Cleanup(func() { _ = c.Close() })
			reader := cached.New(w.pool, c)
			s := w.session(ctx)
			require.NoError(t, rename(ctx, writer, s.ID, "0"))

			var mu sync.Mutex
			returned := []time.Time{time.Now()} // by version
			stop := make(chan struct{})
			var wg sync.WaitGroup
			defer wg.Wait()
			wg.Go(func() {
				for v := 1; ; v++ {
					select {
					case <-stop:
						return
					case <-time.After(3 * time.Millisecond):
					}
					if err := rename(ctx, writer, s.ID, strconv.Itoa(v)); err != nil {
						t.Errorf("writing: %v", err)
						return
					}
					mu.Lock()
					returned = append(returned, time.Now())
					mu.Unlock()
					if v%10 == 0 && !deaf {
						_ = w.rdb.Do(ctx, "CLIENT", "KILL", "TYPE", "pubsub").Err()
					}
				}
			})
			defer close(stop)
			latestBefore := func(at time.Time) int {
				mu.Lock()
				defer mu.Unlock()
				n, _ := slices.BinarySearchFunc(returned, at, time.Time.Compare)
				return n - 1
			}
			stale := 0
			for i := 0; i < 3000 || c.Stats().Groups["session"].Total().Near < 500; i++ {
				start := time.Now()
				v, err := strconv.Atoi(w.title(ctx, reader, s.ID))
				require.NoError(t, err)
				require.GreaterOrEqual(t, v, latestBefore(start.Add(-age)), "older than a copy may be")
				if v < latestBefore(start) {
					stale++
				}
			}
			mu.Lock()
			defer mu.Unlock()
			t.Logf("%d versions; %d of %d reads by copies, %d reads of what had been overwritten", len(returned),
				c.Stats().Groups["session"].Total().Near, c.Stats().Groups["session"].Total().Reads(), stale)
			if deaf {
				require.Positive(t, stale, "nothing old was read: the test shows nothing")
				require.False(t, c.Stats().NearConnected)
			}
		})
	}
}

// TestNearLinkThatIsDead: a link that says nothing any more, without being closed, is noticed, and made anew.
func TestNearLinkThatIsDead(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t, ownRedis())
	q, c := w.queries(near(time.Second))
	s := w.session(ctx)
	connected := func(want bool) {
		t.Helper()
		eventually(t, fmt.Sprintf("connected is %t", want), func() bool {
			w.title(ctx, q, s.ID)
			return c.Stats().NearConnected == want
		})
	}
	connected(true)
	require.NoError(t, w.redis.Freeze())
	connected(false)
	require.NoError(t, w.redis.Thaw())
	connected(true)
}
