package integration

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cached"
	"github.com/pgaside/pgaside/internal/servers"
	"github.com/pgaside/pgaside/repo"
)

// patient is a world whose Redis is about to fall ill: one row for each mode, and two processes.
type patient struct {
	*world
	here, there   *cached.Queries
	cHere, cThere *cache.Cache

	session repo.Session       // in a fenced group
	device  repo.Device        // in a strict group
	prompt  repo.TherapyPrompt // in an aftercommit group
	writes  int
}

func newPatient(t *testing.T, opts ...worldOption) *patient {
	t.Helper()
	ctx := t.Context()
	p := &patient{world: newWorld(t, opts...)}
	modes := func(o *cache.Options) {
		o.Groups = map[string]cache.GroupOptions{"device": {Mode: cache.Strict}, "prompt": {Mode: cache.AfterCommit}}
	}
	p.here, p.cHere = p.queries(modes)
	p.there, p.cThere = p.queries(modes)
	var err error
	p.session = p.world.session(ctx)
	p.device, err = p.source().CreateDevice(ctx, repo.CreateDeviceParams{UserID: p.session.UserID, Platform: repo.DevicePlatformIos, Name: "first"})
	require.NoError(t, err)
	p.prompt, err = p.source().CreateTherapyPrompt(ctx, repo.CreateTherapyPromptParams{
		Slug: uuid.NewString(), Category: repo.PromptCategorySleep, Locale: "en", Title: "t", Body: "b",
	})
	require.NoError(t, err)
	return p
}

// read demands that no read of a process fails; fresh, that none is older than the source.
func (p *patient) read(ctx context.Context, q *cached.Queries, fresh bool) {
	p.t.Helper()
	src := p.source()
	for _, pair := range []func(q repo.Querier) (any, error){
		func(q repo.Querier) (any, error) { return q.GetSession(ctx, p.session.ID) },
		func(q repo.Querier) (any, error) { return q.ListSessionsByIDs(ctx, []uuid.UUID{p.session.ID}) },
		func(q repo.Querier) (any, error) { return q.GetDevice(ctx, p.device.ID) },
		func(q repo.Querier) (any, error) { return q.GetTherapyPrompt(ctx, p.prompt.ID) },
	} {
		want, err := pair(src)
		require.NoError(p.t, err)
		got, err := pair(q)
		require.NoError(p.t, err)
		if fresh {
			require.Equal(p.t, want, got)
		}
	}
}

// write writes in every mode, reads what it wrote, and tells whether the strict write was refused.
func (p *patient) write(ctx context.Context) (strictRefused bool) {
	p.t.Helper()
	p.writes++
	name := fmt.Sprintf("write %d", p.writes)
	require.NoError(p.t, rename(ctx, p.here, p.session.ID, name))
	_, err := p.here.CountTherapyPromptUse(ctx, p.prompt.ID)
	require.NoError(p.t, err)
	_, err = p.here.UpdateDevice(ctx, repo.UpdateDeviceParams{ID: p.device.ID, Name: name})
	if err != nil {
		require.ErrorIs(p.t, err, cache.ErrFence)
		d, err := p.source().GetDevice(ctx, p.device.ID)
		require.NoError(p.t, err)
		require.NotEqual(p.t, name, d.Name, "a refused strict write changes nothing")
		strictRefused = true
	}
	p.read(ctx, p.here, true)
	return strictRefused
}

// warmUp fills all cells, in both processes' view.
func (p *patient) warmUp(ctx context.Context) {
	p.t.Helper()
	eventually(p.t, "everything is served from the cache", func() bool {
		p.read(ctx, p.here, true)
		p.read(ctx, p.there, true)
		p.cHere.ResetStats()
		p.cThere.ResetStats()
		p.read(ctx, p.here, true)
		p.read(ctx, p.there, true)
		return p.cHere.Stats().Total().HitRate() == 1 && p.cThere.Stats().Total().HitRate() == 1
	})
}

// recover waits until both processes use Redis again, and demands that no read is stale from then on.
func (p *patient) recover(ctx context.Context) {
	p.t.Helper()
	eventually(p.t, "the breakers are closed and nothing is pending", func() bool {
		p.read(ctx, p.here, true) // never stale in the process that wrote
		p.read(ctx, p.there, false)
		a, b := p.cHere.Stats(), p.cThere.Stats()
		return !a.BreakerOpen && !b.BreakerOpen && a.Pending == 0 && b.Pending == 0
	})
	p.read(ctx, p.there, true)
	eventually(p.t, "strict writes work again", func() bool { return !p.write(ctx) })
	p.read(ctx, p.there, true)
	p.warmUp(ctx)
}

func TestRedisAbsentAtStart(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	port, err := servers.FreePort()
	require.NoError(t, err)
	c, err := cache.Open(fmt.Sprintf("redis://127.0.0.1:%d/0", port), cache.Options{Namespace: w.ns, Logger: w.logger()})
	require.NoError(t, err, "Open never dials")
	t.Cleanup(func() { _ = c.Close() })
	q := cached.New(w.pool, c)
	s := w.session(ctx)
	for range 10 {
		require.Equal(t, "first", w.title(ctx, q, s.ID))
	}
	require.NoError(t, rename(ctx, q, s.ID, "second"))
	require.Equal(t, "second", w.title(ctx, q, s.ID))
	st := c.Stats()
	require.True(t, st.BreakerOpen)
	require.Positive(t, st.Pending)
	require.Positive(t, st.Errors[cache.ErrorConnection.String()])
	require.NotContains(t, w.log.String(), s.ID.String())

	// It comes up at last.
	srv, err := servers.StartRedis(ctx, servers.RedisOptions{Port: port})
	require.NoError(t, err)
	t.Cleanup(func() { _ = srv.Close() })
	eventually(t, "the cache is in use", func() bool {
		require.Equal(t, "second", w.title(ctx, q, s.ID))
		st := c.Stats()
		return !st.BreakerOpen && st.Pending == 0 && st.Total().Hits > 0
	})
}

// TestRedisKilled: kill -9, and a restart without memory.
func TestRedisKilled(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := newPatient(t, ownRedis())
	p.warmUp(ctx)
	require.NoError(t, p.redis.Kill())
	refused := 0
	for range 6 {
		if p.write(ctx) {
			refused++
		}
		p.read(ctx, p.there, true)
	}
	require.Equal(t, 6, refused, "strict writes fail")
	require.True(t, p.cThere.Stats().BreakerOpen)
	st := p.cHere.Stats() // its breaker may be closed: it bypasses what is pending, and asks for nothing else
	require.Positive(t, st.Pending)
	require.Positive(t, st.Groups["session"].InvalidationsPending)
	require.Positive(t, st.Groups["prompt"].InvalidationsPending, "aftercommit keys are pending too")
	require.NoError(t, p.redis.Start(ctx))
	p.recover(ctx)
}

// TestRedisFrozen: SIGSTOP. Connections stay, nothing is answered.
func TestRedisFrozen(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := newPatient(t, ownRedis())
	p.warmUp(ctx)
	require.NoError(t, p.redis.Freeze())
	start := time.Now()
	p.read(ctx, p.there, true)
	require.Less(t, time.Since(start), 20*time.Second, "a read does not wait for a frozen Redis")
	refused := 0
	for range 3 {
		if p.write(ctx) {
			refused++
		}
		p.read(ctx, p.there, true)
	}
	require.Equal(t, 3, refused)
	for range 5 {
		p.read(ctx, p.here, true)
		p.read(ctx, p.there, true)
	}
	require.True(t, p.cThere.Stats().BreakerOpen)

	// An open breaker keeps reads from Redis altogether.
	before := p.cThere.Stats().Errors
	for range 50 {
		p.read(ctx, p.there, true)
	}
	require.Equal(t, before[cache.ErrorConnection.String()], p.cThere.Stats().Errors[cache.ErrorConnection.String()])
	require.NoError(t, p.redis.Thaw())
	p.recover(ctx)
}

// TestAmendment4_11_9_RecoveryDistrustsOldCells: a process whose breaker was open does not use cells from before: the
// invalidation of one may have been lost, together with the process that should have made it.
func TestAmendment4_11_9_RecoveryDistrustsOldCells(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := newPatient(t, ownRedis())
	p.warmUp(ctx)
	require.NoError(t, p.redis.Freeze())
	eventually(t, "the breaker opens", func() bool {
		p.read(ctx, p.there, true)
		return p.cThere.Stats().BreakerOpen
	})
	// A writer that dies before it could tell Redis.
	require.NoError(t, rename(ctx, p.source(), p.session.ID, "by a writer that is gone"))
	require.NoError(t, p.redis.Thaw())
	require.Contains(t, p.fields(ctx, p.redisKey("session", p.session.ID)), "GetSession", "the old cell is still there")
	eventually(t, "the breaker closes", func() bool {
		p.read(ctx, p.there, true)
		return !p.cThere.Stats().BreakerOpen
	})
	p.read(ctx, p.there, true)
	require.Positive(t, p.cThere.Stats().CellsRefused)
	eventually(t, "the cell is replaced", func() bool {
		p.read(ctx, p.here, false)
		s, err := p.here.GetSession(ctx, p.session.ID)
		return err == nil && s.Title == "by a writer that is gone"
	})
}

// TestPasswordRefused: a Redis that refuses the password is a Redis that is not there, and says so.
func TestPasswordRefused(t *testing.T) {
	t.Parallel()
	for _, user := range []string{"", ":wrong-secret@"} {
		t.Run("with "+user, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			w := newWorld(t, ownRedis())
			require.NoError(t, w.rdb.ConfigSet(ctx, "requirepass", "right").Err()) // our connection stays authenticated
			c, err := cache.Open("redis://"+user+w.redis.Addr(), cache.Options{
				Namespace: w.ns, Logger: w.logger(), Groups: map[string]cache.GroupOptions{"device": {Mode: cache.Strict}},
			})
			require.NoError(t, err)
			t.Cleanup(func() { _ = c.Close() })
			q := cached.New(w.pool, c)
			s := w.session(ctx)
			for range 6 {
				require.Equal(t, "first", w.title(ctx, q, s.ID))
			}
			require.NoError(t, rename(ctx, q, s.ID, "second"))
			require.Equal(t, "second", w.title(ctx, q, s.ID))
			_, err = q.CreateDevice(ctx, repo.CreateDeviceParams{UserID: s.UserID, Platform: repo.DevicePlatformWeb, Name: "x"})
			require.ErrorIs(t, err, cache.ErrFence)
			st := c.Stats()
			require.Positive(t, st.Errors[cache.ErrorAuth.String()], "%v", st.Errors)
			require.True(t, st.BreakerOpen)
			require.Contains(t, w.log.String(), "auth")
			require.NotContains(t, w.log.String(), "wrong-secret")

			require.NoError(t, w.rdb.ConfigSet(ctx, "requirepass", "").Err())
			if user != "" {
				require.NoError(t, w.rdb.ConfigSet(ctx, "requirepass", "wrong-secret").Err())
			}
			eventually(t, "the cache is in use", func() bool {
				require.Equal(t, "second", w.title(ctx, q, s.ID))
				return !c.Stats().BreakerOpen && c.Stats().Pending == 0 && c.Stats().Total().Hits > 0
			})
		})
	}
}

// TestRedisFull: maxmemory is reached and nothing may be evicted. Nothing can be stored; a fence still can, since it makes
// room first, so that even strict writes go on.
func TestRedisFull(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := newPatient(t, ownRedis("--maxmemory-policy", "noeviction"))
	p.warmUp(ctx)
	require.NoError(t, p.rdb.ConfigSet(ctx, "maxmemory", "1").Err())
	for range 6 {
		require.False(t, p.write(ctx), "strict writes go on")
		p.read(ctx, p.there, true)
	}
	st := p.cHere.Stats()
	require.Positive(t, st.Errors[cache.ErrorMemory.String()])
	require.False(t, st.BreakerOpen, "Redis answers")
	require.NoError(t, p.rdb.ConfigSet(ctx, "maxmemory", "0").Err())
	p.recover(ctx)
}

// TestRedisReadOnly: the server was made a replica of one that does not exist. It refuses writes and still answers reads.
func TestRedisReadOnly(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := newPatient(t, ownRedis())
	p.warmUp(ctx)
	port, err := servers.FreePort()
	require.NoError(t, err)
	require.NoError(t, p.rdb.Do(ctx, "REPLICAOF", "127.0.0.1", port).Err())
	for range 6 {
		require.True(t, p.write(ctx), "strict writes fail")
		p.read(ctx, p.there, false) // it cannot know: the bound is the writer's drain, or the TTL
	}
	require.Positive(t, p.cHere.Stats().Pending)
	require.NoError(t, p.rdb.Do(ctx, "REPLICAOF", "NO", "ONE").Err())
	p.recover(ctx)
}

// TestRedisSlow: every answer comes after the budget.
func TestRedisSlow(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := newPatient(t, ownRedis())
	p.warmUp(ctx)
	require.NoError(t, p.rdb.Do(ctx, "CLIENT", "PAUSE", 3000, "ALL").Err())
	for range 3 {
		p.write(ctx)
		p.read(ctx, p.there, false) // when Redis answers again before the writer's queue is drained, this one cannot know
	}
	p.recover(ctx)
}

// TestRedisForgetsUnderLoad: FLUSHALL and SCRIPT FLUSH while processes read and write. Nothing fails, and afterwards nothing
// is stale.
func TestRedisForgetsUnderLoad(t *testing.T) {
	t.Parallel()
	for _, forget := range [][]any{{"FLUSHALL"}, {"SCRIPT", "FLUSH"}} {
		t.Run(fmt.Sprint(forget...), func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			w := newWorld(t, ownRedis())
			w.counters(ctx, hotKeys)
			ps := []*process{w.process(generous), w.process(generous)}
			var stop atomic.Bool
			var wg sync.WaitGroup
			flushes := 0
			wg.Go(func() {
				for !stop.Load() {
					if err := w.rdb.Do(ctx, forget...).Err(); err != nil {
						t.Error(err)
					}
					flushes++
					time.Sleep(5 * time.Millisecond)
				}
			})
			h := newHistory()
			workload(ctx, t, ps, h, 2*time.Second)
			stop.Store(true)
			wg.Wait()
			v := check(h.ops, true)
			// A fence that is flushed away leaves the time until its CLEAR, about a millisecond, unguarded.
			t.Logf("%d times, %d reads, %d writes, %d anomalies, %d of them after a write had returned",
				flushes, v.reads, v.writes, len(v.anomalies), len(check(h.ops, false).anomalies))
			if forget[0] == "SCRIPT" {
				require.Empty(t, v.anomalies, "scripts are sent again")
				for _, p := range ps {
					require.Empty(t, p.cache.Stats().Errors, "and nobody hears of it")
				}
			}
			for key := range hotKeys {
				var want int64
				require.NoError(t, w.pool.QueryRow(ctx, "select version from counters where id = $1", key).Scan(&want))
				for _, p := range ps {
					require.Zero(t, p.cache.Stats().Pending)
					for range 2 {
						got, err := p.read(ctx, key)
						require.NoError(t, err)
						require.Equal(t, want, got, "at rest")
					}
				}
			}
		})
	}
}

// generous takes the machine's speed out of a test.
func generous(o *cache.Options) { o.RedisBudget, o.FenceBudget = 10*time.Second, 10*time.Second }

// as returns the world's Redis URL for another user.
func (w *world) as(user, password string) string {
	u, err := url.Parse(w.redis.URL())
	require.NoError(w.t, err)
	u.User = url.UserPassword(user, password)
	return u.String()
}
