package cache_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgaside/pgaside/cache"
)

var (
	near     = cache.NewGroup[int64]("near", cache.GroupOptions{Near: 2 * time.Second})
	getList  = cache.NewQuery[[]string]("GetList", "0123456789ac", cache.QueryOptions{})
	nearRows = cache.NewQuery[[]user]("NearRows", "0123456789ad", cache.QueryOptions{})
)

const near1Key = "pgaside:{near:1}"

// nearWorld has a key of the group near in Redis, and its copy in the process.
func nearWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, cache.Options{})
	w.put(1, "old")
	w.readNear(w.c) // fills
	synctest.Wait()
	w.readNear(w.c) // copies
	return w
}

func (w *world) readNear(c *cache.Cache) string {
	w.t.Helper()
	name, err := w.readCtx(w.t.Context(), c, near, 1)
	if err != nil {
		w.t.Errorf("reading: %v", err)
	}
	return name
}

// deaf keeps everybody from hearing what is published.
func (w *world) deaf() { w.store.Deliver = func(string, func()) {} }

// asks returns how often Redis is asked by f.
func (w *world) asks(f func()) int {
	before := w.ops("get") + w.ops("acquire")
	f()
	return w.ops("get") + w.ops("acquire") - before
}

func TestNearHit(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		w := nearWorld(t)
		equal(t, "questions", w.asks(func() {
			for range 5 {
				equal(t, "name", w.readNear(w.c), "old")
			}
		}), 0)
		st := w.stats(near)
		equal(t, "near", st.Near, 5)
		equal(t, "hits", st.Hits, 1)
		equal(t, "misses", st.Misses, 1)
		equal(t, "reads", st.Reads(), 7)
		equal(t, "connected", w.c.Stats().NearConnected, true)

		// "No row", too.
		for range 4 {
			_, err := w.readCtx(t.Context(), w.c, near, 2)
			equal(t, "error", err, errNoRows)
			synctest.Wait()
		}
		equal(t, "near", w.stats(near).Near, 7)

		// A group without Near has no copies.
		w.read(1)
		synctest.Wait()
		equal(t, "questions", w.asks(func() { w.read(1); w.read(1) }), 2)
	})
}

func TestNearBatch(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		for id := range int64(4) {
			w.put(id, fmt.Sprint("u", id))
		}
		read := func(c *cache.Cache, ids ...int64) string {
			rows, err := cache.ReadMany(t.Context(), c, ids, near.Key, nearRows.Cell(), func(u user) int64 { return u.ID },
				func(_ context.Context, missing []int64) ([]user, error) {
					w.mu.Lock()
					defer w.mu.Unlock()
					var rows []user
					for _, id := range missing {
						rows = append(rows, user{id, w.rows[id]})
					}
					return rows, nil
				})
			equal(t, "error", err, nil)
			return names(rows)
		}
		for range 2 {
			equal(t, "rows", read(w.c, 0, 1), "u0 u1")
			synctest.Wait()
		}
		equal(t, "questions", w.asks(func() { equal(t, "rows", read(w.c, 0, 1), "u0 u1") }), 0)
		equal(t, "near and not", read(w.c, 3, 1, 0), "u3 u1 u0")
		equal(t, "near", w.stats(near).Near, 4)
		equal(t, "error", w.write(w.process(cache.Options{}), near, 1, "new"), nil)
		synctest.Wait()
		equal(t, "after a write elsewhere", read(w.c, 1, 0), "new u0")
	})
}

// TestNearAge: with nobody to tell of a write, a copy is used for its age, counted from before its cell was read.
func TestNearAge(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{RedisBudget: 3 * time.Second})
		w.deaf()
		other := w.process(cache.Options{})
		w.put(1, "old")
		w.readNear(w.c)
		synctest.Wait()
		w.onAfter("get", func(context.Context, []string) error {
			time.Sleep(time.Second)
			return nil
		})
		w.readNear(w.c)
		w.onAfter("get", nil)
		equal(t, "error", w.write(other, near, 1, "new"), nil)
		synctest.Wait()
		equal(t, "at once", w.readNear(w.c), "old")
		pass(999 * time.Millisecond)
		equal(t, "before its age", w.readNear(w.c), "old")
		pass(time.Millisecond)
		equal(t, "at its age", w.readNear(w.c), "new")
	})
}

func TestNearIsToldOfWrites(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		w := nearWorld(t)
		other := w.process(cache.Options{})
		err := other.Write(t.Context(), []cache.Key{near.Key(1)}, func(context.Context) (cache.Outcome, error) {
			equal(t, "asked", w.asks(func() { equal(t, "before the commit", w.readNear(w.c), "old") }) > 0, true)
			w.put(1, "new")
			return cache.Committed, nil
		})
		equal(t, "error", err, nil)
		equal(t, "after it", w.readNear(w.c), "new")
		synctest.Wait()
		w.readNear(w.c)
		synctest.Wait()
		w.readNear(w.c)
		equal(t, "error", other.Invalidate(t.Context(), near.Key(1)), nil)
		equal(t, "questions after an invalidation", w.asks(func() { w.readNear(w.c) }) > 0, true)
	})
}

// TestNearOwnWrites: this process's own writes are seen at once, whatever was on its way when they began, and though nobody hears
// what is published.
func TestNearOwnWrites(t *testing.T) {
	t.Parallel()
	for _, mode := range []cache.Mode{cache.Fenced, cache.AfterCommit} {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, cache.Options{Groups: map[string]cache.GroupOptions{"near": {Mode: mode}}})
			w.deaf()
			w.put(1, "old")
			w.readNear(w.c)
			synctest.Wait()
			w.readNear(w.c)
			equal(t, "error", w.write(w.c, near, 1, "new"), nil)
			equal(t, "after the write", w.readNear(w.c), "new")

			// A cell that was read before the fence, whose answer comes after it.
			synctest.Wait()
			w.readNear(w.c)
			synctest.Wait()
			pass(2 * time.Second) // the copy has run out
			release := w.stop(w.after, "get")
			late := w.start(t.Context(), w.c, near, 1)
			synctest.Wait()
			equal(t, "error", w.write(w.c, near, 1, "newer"), nil)
			release()
			synctest.Wait()
			equal(t, "who asked before", late.name, "new")
			equal(t, "after the write", w.readNear(w.c), "newer")
		})
	}
}

// TestNearTicket: a message comes between the read of a cell and its copy.
func TestNearTicket(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		w := nearWorld(t)
		other := w.process(cache.Options{})
		pass(2 * time.Second)
		release := w.stop(w.after, "get")
		late := w.start(t.Context(), w.c, near, 1)
		synctest.Wait()
		equal(t, "error", w.write(other, near, 1, "new"), nil)
		release()
		synctest.Wait()
		equal(t, "who asked before", late.name, "old")
		equal(t, "after it", w.readNear(w.c), "new")
	})
}

func TestNearStartsOverWithItsLink(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		w := nearWorld(t)
		other := w.process(cache.Options{})
		w.store.CutSubscriptions()
		synctest.Wait()
		equal(t, "connected", w.c.Stats().NearConnected, false)
		equal(t, "error", w.write(other, near, 1, "new"), nil) // not heard
		equal(t, "before its age", w.readNear(w.c), "old")
		pass(100 * time.Millisecond)
		equal(t, "connected", w.c.Stats().NearConnected, true)
		equal(t, "connected again", w.readNear(w.c), "new")
	})
}

// TestNearIsNotAskedInsideALoad: an old copy must not become part of what is stored in Redis.
func TestNearIsNotAskedInsideALoad(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.deaf()
		w.put(1, "old")
		w.readNear(w.c)
		synctest.Wait()
		w.readNear(w.c)
		equal(t, "error", w.write(w.process(cache.Options{}), near, 1, "new"), nil)
		synctest.Wait()
		equal(t, "the copy", w.readNear(w.c), "old")
		name, err := cache.Read(t.Context(), w.c, users.Key(7), getUser.Cell(), func(ctx context.Context) (user, error) {
			name, err := w.readCtx(ctx, w.c, near, 1)
			return user{7, name}, err
		})
		equal(t, "error", err, nil)
		equal(t, "the load", name.Name, "new")
	})
}

func TestNearValuesAreTheCallersOwn(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		read := func() []string {
			v, err := cache.Read(t.Context(), w.c, near.Key(1), getList.Cell(), func(context.Context) ([]string, error) {
				return []string{"a", "b"}, nil
			})
			equal(t, "error", err, nil)
			synctest.Wait()
			return v
		}
		for range 5 {
			v := read()
			equal(t, "value", strings.Join(v, ""), "ab")
			v[0] = "x"
			_ = append(v[:1], "y")
		}
		equal(t, "near", w.stats(near).Near, 3)
	})
}

func TestNearGroupIsVoided(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		w := nearWorld(t)
		other := w.process(cache.Options{})
		w.put(1, "new")
		equal(t, "error", other.InvalidateGroup(t.Context(), near), nil)
		equal(t, "elsewhere", w.readNear(w.c), "new")
		synctest.Wait()
		w.readNear(w.c)
		w.put(1, "newer")
		equal(t, "error", w.c.InvalidateGroup(t.Context(), near), nil)
		equal(t, "here", w.readNear(w.c), "newer")
	})
}

// TestNearAfterAnOutage: invalidations may have been lost while Redis was not there.
func TestNearAfterAnOutage(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{Groups: map[string]cache.GroupOptions{"near": {Near: time.Hour}}})
		w.deaf()
		w.put(1, "old")
		w.readNear(w.c)
		synctest.Wait()
		w.readNear(w.c)
		w.down()
		for range 6 {
			w.read(1) // opens the breaker
		}
		equal(t, "open", w.c.Stats().BreakerOpen, true)
		equal(t, "while it is open", w.readNear(w.c), "old")
		w.put(1, "new")
		w.up()
		pass(5 * time.Second)
		equal(t, "open", w.c.Stats().BreakerOpen, false)
		equal(t, "when it is back", w.readNear(w.c), "new")
	})
}

// TestNearPendingKeys: a write that Redis could not be told of.
func TestNearPendingKeys(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		w := nearWorld(t)
		w.down("wipe")
		equal(t, "error", w.write(w.c, near, 1, "new"), nil)
		equal(t, "while it is pending", w.readNear(w.c), "new")
		w.up("wipe")
		pass(5 * time.Second)
		equal(t, "pending", w.c.Stats().Pending, 0)
		equal(t, "when Redis knows", w.readNear(w.c), "new")
	})
}

func TestNearMemory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, cache.Options{NearBytes: 100_000})
	for id := range int64(2000) {
		w.put(id, strings.Repeat("x", 100))
		for range 2 {
			_, err := w.readCtx(t.Context(), w.c, near, id)
			equal(t, "error", err, nil)
		}
	}
	waitFor(t, func() bool {
		n, weight := w.c.NearCopies()
		return n > 0 && weight <= 100_000
	})
}

// TestNearSweep: what cannot be used any more does not stay in memory.
func TestNearSweep(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		w := nearWorld(t)
		n, _ := w.c.NearCopies()
		equal(t, "copies", n, 1)
		pass(20 * time.Second)
		n, _ = w.c.NearCopies()
		equal(t, "copies", n, 0)
	})
}

func TestNearOptions(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		for _, o := range []cache.GroupOptions{{Near: -1}, {Mode: cache.Strict}} {
			w := newWorld(t, cache.Options{Groups: map[string]cache.GroupOptions{"near": o}})
			w.put(1, "a")
			for range 3 {
				w.readNear(w.c)
				synctest.Wait()
			}
			equal(t, "near", w.stats(near).Near, 0)
			equal(t, "told", w.c.Stats().Groups["near"].Near, 0)
			equal(t, "subscriptions", w.ops("subscribe"), 0)
		}
		w := newWorld(t, cache.Options{Groups: map[string]cache.GroupOptions{"users": {Near: time.Second}}})
		w.put(1, "a")
		for range 3 {
			w.read(1)
			synctest.Wait()
		}
		equal(t, "near", w.stats(users).Near, 1)
	})
	for _, o := range []cache.GroupOptions{{Near: -time.Second}, {Near: time.Second, Mode: cache.Strict}} {
		func() {
			defer func() {
				if p := fmt.Sprint(recover()); !strings.Contains(p, "Near") {
					t.Errorf("%+v: %s", o, p)
				}
			}()
			cache.NewGroup[int64]("bad", o)
		}()
	}
}

// TestNearPublishesOnlyForItsGroups: what is published is what somebody may have a copy of.
func TestNearPublishesOnlyForItsGroups(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		var heard []string
		w.store.Deliver = func(message string, _ func()) { heard = append(heard, message) }
		w.put(1, "a")
		w.readNear(w.c)
		synctest.Wait()
		w.read(1)
		synctest.Wait()
		equal(t, "after reads", len(heard), 0)
		equal(t, "error", w.write(w.c, users, 1, "b"), nil)
		synctest.Wait()
		equal(t, "after a write elsewhere", len(heard), 0)
		equal(t, "error", w.write(w.c, near, 1, "b"), nil)
		synctest.Wait()
		equal(t, "after a write", slices.Equal(heard, []string{near1Key, near1Key}), true) // the fence, and its end
	})
}

// TestNearUnderAVoidedEpoch: a group is voided between the read of a cell and its copy.
func TestNearUnderAVoidedEpoch(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.deaf()
		other := w.process(cache.Options{})
		w.put(1, "old")
		w.put(2, "x")
		_, err := w.readCtx(t.Context(), w.c, near, 2) // the epochs are known
		equal(t, "error", err, nil)
		pass(1500 * time.Millisecond)
		release := w.stop(w.after, "get")
		late := w.start(t.Context(), w.c, near, 1) // a miss, whose answer is late
		synctest.Wait()
		w.readNear(other) // fills
		synctest.Wait()
		w.put(1, "new")
		equal(t, "error", w.c.InvalidateGroup(t.Context(), near), nil)
		release()
		synctest.Wait()
		equal(t, "who began before", late.name, "old")
		equal(t, "who begins after", w.readNear(w.c), "new")
	})
}

// TestNearMemoryOfTexts: what a copy weighs is what it holds, whatever its type is.
func TestNearMemoryOfTexts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, cache.Options{NearBytes: 100_000})
	for id := range int64(20) {
		w.put(id, strings.Repeat("x", 50_000))
		waitFor(t, func() bool {
			before := w.stats(near).Hits
			_, err := w.readCtx(t.Context(), w.c, near, id)
			equal(t, "error", err, nil)
			return w.stats(near).Hits > before
		})
	}
	waitFor(t, func() bool {
		n, _ := w.c.NearCopies()
		return n <= 2
	})
}
