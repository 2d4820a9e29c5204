package cache_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/cachetest"
)

func TestWriteIsSeenByEveryProcess(t *testing.T) {
	for _, g := range []cache.Group[int64]{users, strict, afterwards} {
		t.Run(g.Name(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, cache.Options{})
				other := w.process(cache.Options{})
				for i := range 5 {
					value := fmt.Sprint("v", i)
					if err := w.write(w.c, g, 1, value); err != nil {
						t.Fatal(err)
					}
					for range 3 { // the fence may still be there the first time
						for _, c := range []*cache.Cache{w.c, other} {
							name, err := w.readCtx(t.Context(), c, g, 1)
							if err != nil || name != value {
								t.Errorf("got %q, %v, want %q", name, err, value)
							}
						}
						synctest.Wait()
					}
				}
				equal(t, "loads", w.loads.Load() >= 5, true)
				equal(t, "hits", w.stats(g).Hits > 0, true)
				equal(t, "invalidations", w.c.Stats().Groups[g.Name()].Invalidations, 5)
				equal(t, "pending", w.c.Stats().Pending, 0)
			})
		})
	}
}

func TestFencedWriteHidesTheKeyWhileItIsOpen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.put(1, "old")
		w.read(1)
		synctest.Wait()
		_ = w.c.Write(t.Context(), []cache.Key{users.Key(1)}, func(context.Context) (cache.Outcome, error) {
			equal(t, "fences", w.store.Fences(user1Key), 1)
			equal(t, "before", w.read(1), "old")
			w.put(1, "new")
			equal(t, "visible, and read by the next reader", w.read(1), "new")
			synctest.Wait()
			equal(t, "cells", len(w.store.Fields(user1Key)), 0)
			return cache.Committed, nil
		})
		equal(t, "bypasses", w.stats(users).Bypasses, 2)
		synctest.Wait()
	})
}

func TestRolledBackWriteEndsItsFences(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		broken := errors.New("broken")
		err := w.c.Write(t.Context(), []cache.Key{users.Key(1), afterwards.Key(1)}, func(context.Context) (cache.Outcome, error) {
			return cache.RolledBack, broken
		})
		if err != broken { // the very error
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		equal(t, "fences", w.store.Fences(user1Key), 0)
		equal(t, "wipes", w.ops("wipe"), 2) // nothing for the key that needs none
		equal(t, "pending", w.c.Stats().Pending, 0)
	})
}

func TestWriteWithNothingToInvalidate(t *testing.T) {
	w := newWorld(t, cache.Options{})
	nullable := cache.NewGroup[*int64]("users", cache.GroupOptions{})
	called := 0
	commit := func(context.Context) (cache.Outcome, error) { called++; return cache.Committed, nil }
	for _, keys := range [][]cache.Key{nil, {nullable.Key(nil), {}}} {
		if err := w.c.Write(t.Context(), keys, commit); err != nil {
			t.Error(err)
		}
	}
	_ = w.c.Close()
	if err := w.c.Write(t.Context(), nil, commit); err != nil {
		t.Error(err)
	}
	equal(t, "commits", called, 3)
	equal(t, "wipes", w.ops("wipe"), 0)
	if err := w.c.Invalidate(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStrictWriteFailsWithoutItsFence(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		for name, hook := range map[string]func(f func(context.Context, []string) error){
			"request lost": func(f func(context.Context, []string) error) { w.onBefore("wipe", f) },
			"reply lost":   func(f func(context.Context, []string) error) { w.onAfter("wipe", f) },
		} {
			hook(func(context.Context, []string) error { return cachetest.ErrDown })
			err := w.c.Write(t.Context(), []cache.Key{users.Key(1), strict.Key(1)}, func(context.Context) (cache.Outcome, error) {
				t.Errorf("%s: committed", name)
				return cache.Committed, nil
			})
			if !errors.Is(err, cache.ErrFence) || !errors.Is(err, cachetest.ErrDown) {
				t.Errorf("%s: got %v", name, err)
			}
			hook(nil)
			pass(10 * time.Second) // what may have been put on the keys is taken away
			equal(t, name+": fences", w.store.Fences(user1Key)+w.store.Fences("pgaside:{strict:1}"), 0)
			equal(t, name+": pending", w.c.Stats().Pending, 0)
		}
	})
}

func TestCallerThatLeavesDuringTheFence(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		w.onAfter("wipe", func(ctx context.Context, _ []string) error {
			cancel()
			return ctx.Err()
		})
		err := w.c.Write(ctx, []cache.Key{users.Key(1)}, func(context.Context) (cache.Outcome, error) {
			t.Error("committed")
			return cache.Committed, nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		pass(10 * time.Second)
		equal(t, "fences", w.store.Fences(user1Key), 0)
		equal(t, "pending", w.c.Stats().Pending, 0)
		equal(t, "errors", len(w.c.Stats().Errors), 0)

		err = w.c.Write(ctx, []cache.Key{users.Key(1)}, func(context.Context) (cache.Outcome, error) {
			t.Error("committed")
			return cache.Committed, nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		pass(time.Second)
	})
}

// A fenced write goes on without its fence; its process bypasses the key until Redis has been told, and no longer.
func TestPendingKeys(t *testing.T) {
	for _, g := range []cache.Group[int64]{users, afterwards} {
		t.Run(g.Name(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, cache.Options{})
				other := w.process(cache.Options{})
				read := func(c *cache.Cache) string {
					name, err := w.readCtx(t.Context(), c, g, 1)
					if err != nil {
						t.Error(err)
					}
					return name
				}
				w.put(1, "old")
				read(w.c)
				synctest.Wait()
				w.down("wipe")
				during := 0
				err := w.c.Write(t.Context(), []cache.Key{g.Key(1)}, func(context.Context) (cache.Outcome, error) {
					during = w.c.Stats().Pending
					w.up("wipe") // Redis is back, but the outcome is open
					pass(5 * time.Second)
					if g == users {
						equal(t, "pending while the write is open", w.c.Stats().Pending, 1)
						if w.store.Cell(user1Key, userField) == nil {
							t.Error("drained while the write is open")
						}
					}
					w.down("wipe")
					w.put(1, "new")
					return cache.Committed, nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if g == users {
					equal(t, "pending during the write", during, 1)
				}
				equal(t, "own process", read(w.c), "new")
				equal(t, "the other, within its bound", read(other), "old")
				equal(t, "pending", w.c.Stats().Pending, 1)
				pass(time.Minute)
				equal(t, "own process", read(w.c), "new")
				equal(t, "bypasses", w.stats(g).Bypasses, 2)
				w.up("wipe")
				pass(5 * time.Second)
				equal(t, "pending", w.c.Stats().Pending, 0)
				equal(t, "the other", read(other), "new")
				synctest.Wait()
				loads := w.loads.Load()
				equal(t, "own process", read(w.c), "new")
				equal(t, "loads", w.loads.Load(), loads)
				equal(t, "counted", w.c.Stats().Groups[g.Name()].InvalidationsPending > 0, true)
			})
		})
	}
}

// A fence whose reply was lost is on the key all the same: the drain has to take it away.
func TestDrainTakesAwayFencesThatMayBeThere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.put(1, "old")
		w.onAfter("wipe", func(context.Context, []string) error {
			w.down("wipe")
			return cachetest.ErrDown
		})
		if err := w.write(w.c, users, 1, "new"); err != nil {
			t.Fatal(err)
		}
		equal(t, "fences", w.store.Fences(user1Key), 1)
		w.onAfter("wipe", nil)
		w.up("wipe")
		pass(5 * time.Second)
		equal(t, "fences", w.store.Fences(user1Key), 0)
		equal(t, "pending", w.c.Stats().Pending, 0)
	})
}

// A wipe that another write has overtaken does not end what is pending.
func TestDrainThatIsOvertaken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.put(1, "v0")
		w.down("wipe")
		_ = w.write(w.c, users, 1, "v1")
		release := w.stop(w.after, "wipe")
		w.up("wipe")
		pass(time.Second) // the drain's wipe is executed; its reply is on the wire
		w.down("wipe")
		_ = w.c.Write(t.Context(), []cache.Key{users.Key(1)}, func(context.Context) (cache.Outcome, error) {
			release()
			synctest.Wait()
			equal(t, "pending", w.c.Stats().Pending, 1)
			w.put(1, "v2")
			return cache.Committed, nil
		})
		equal(t, "read", w.read(1), "v2")
		equal(t, "pending", w.c.Stats().Pending, 1)
		w.up("wipe")
		pass(time.Minute)
		equal(t, "pending", w.c.Stats().Pending, 0)
	})
}

func TestTwoWritersOfOnePendingKey(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.down("wipe")
		first, second := make(chan struct{}), make(chan struct{})
		for _, commit := range []chan struct{}{first, second} {
			go func() {
				_ = w.c.Write(t.Context(), []cache.Key{users.Key(1)}, func(context.Context) (cache.Outcome, error) {
					<-commit
					return cache.Committed, nil
				})
			}()
		}
		synctest.Wait()
		w.up("wipe")
		close(first)
		pass(time.Minute)
		equal(t, "pending while the second is open", w.c.Stats().Pending, 1)
		close(second)
		pass(time.Minute)
		equal(t, "pending", w.c.Stats().Pending, 0)
	})
}

func TestManyPendingKeysAreDrained(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.down("wipe")
		var keys []cache.Key
		for i := range int64(1000) {
			keys = append(keys, users.Key(i))
		}
		_ = w.c.Write(t.Context(), keys, func(context.Context) (cache.Outcome, error) { return cache.Committed, nil })
		equal(t, "pending", w.c.Stats().Pending, 1000)
		w.up("wipe")
		pass(time.Minute)
		equal(t, "pending", w.c.Stats().Pending, 0)
	})
}

func TestFenceThatCannotBeEndedIsEndedLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		err := w.c.Write(t.Context(), []cache.Key{users.Key(1)}, func(context.Context) (cache.Outcome, error) {
			w.down("wipe")
			w.put(1, "new")
			return cache.Committed, nil
		})
		if err != nil {
			t.Error(err)
		}
		pass(5 * time.Second)
		equal(t, "read", w.read(1), "new")
		equal(t, "pending", w.c.Stats().Pending, 1)
		w.up("wipe")
		pass(5 * time.Second)
		equal(t, "fences", w.store.Fences(user1Key), 0)
		equal(t, "pending", w.c.Stats().Pending, 0)
	})
}

func TestInvalidateThatFailsIsPending(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.put(1, "old")
		w.read(1)
		synctest.Wait()
		w.down("wipe", "bump")
		w.put(1, "new")
		for name, invalidate := range map[string]func() error{
			"key":   func() error { return w.c.Invalidate(t.Context(), users.Key(1), users.Key(1)) },
			"group": func() error { return w.c.InvalidateGroup(t.Context(), users) },
		} {
			if err := invalidate(); !errors.Is(err, cache.ErrInvalidationPending) || !errors.Is(err, cachetest.ErrDown) {
				t.Errorf("%s: got %v", name, err)
			}
			equal(t, name, w.read(1), "new")
		}
		equal(t, "pending", w.c.Stats().Pending, 2)
		w.up()
		pass(5 * time.Second)
		equal(t, "pending", w.c.Stats().Pending, 0)
		equal(t, "later", w.read(1), "new")
		synctest.Wait()
	})
}

// A batch bypasses pending keys too, and only these.
func TestReadManyBypassesPendingKeys(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.put(1, "a")
		w.put(2, "b")
		w.many(w.c, []int64{1, 2})
		synctest.Wait()
		w.down("wipe")
		_ = w.write(w.c, users, 2, "c")
		var asked [][]int64
		rows, err := w.readMany(w.c, []int64{1, 2}, &asked)
		if err != nil || names(rows) != "a c" || fmt.Sprint(asked) != "[[2]]" {
			t.Errorf("%v %v, asked %v", rows, err, asked)
		}
		w.up()
		pass(time.Minute)
	})
}

func TestFailpoints(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var seen []string
		w := newWorld(t, cache.Options{Failpoint: func(_ context.Context, name string) { seen = append(seen, name) }})
		w.put(1, "a")
		w.read(1)
		synctest.Wait()
		_ = w.write(w.c, users, 1, "b")
		synctest.Wait()
		equal(t, "failpoints", fmt.Sprint(seen), "[acquired before-fill after-fence after-commit before-clear]")
	})
}

func TestDisabledCache(t *testing.T) {
	w := emptyWorld(t)
	c := w.process(cache.Options{Disabled: true})
	equal(t, "disabled", c.Disabled(), true)
	w.put(1, "a")
	for range 2 {
		if name, err := w.readCtx(t.Context(), c, users, 1); err != nil || name != "a" {
			t.Errorf("got %q, %v", name, err)
		}
	}
	for _, err := range []error{
		w.write(c, strict, 1, "b"), c.Invalidate(t.Context(), users.Key(1)), c.InvalidateGroup(t.Context(), users),
		cache.NewKV[int, int](c, "kv", cache.KVOptions{}).Set(t.Context(), 1, 1),
		cache.NewKV[int, int](c, "kv", cache.KVOptions{}).Delete(t.Context(), 1),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if _, ok, err := cache.NewKV[int, int](c, "kv", cache.KVOptions{}).Get(t.Context(), 1); ok || err != nil {
		t.Errorf("%t, %v", ok, err)
	}
	equal(t, "loads", w.loads.Load(), 2)
	equal(t, "bypasses", c.Stats().Total().Bypasses, 2)
	for _, op := range everyOp {
		equal(t, op, w.ops(op), 0)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if c2, err := cache.Open("", cache.Options{Disabled: true}); err != nil || !c2.Disabled() {
		t.Errorf("Open without a URL: %v", err)
	}
}

func TestClosedCacheReadsFromTheSource(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.put(1, "a")
		w.read(1)
		synctest.Wait()
		_ = w.c.Close()
		if err := w.c.Close(); err != nil {
			t.Errorf("closed twice: %v", err)
		}
		w.put(1, "b")
		equal(t, "read", w.read(1), "b")
		equal(t, "batch", names(w.many(w.c, []int64{1, 2})), "b")
	})
}

// A read that is on its way to Redis when the cache is closed is served all the same.
func TestCloseDuringARead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.put(1, "a")
		release := w.stop(w.after, "get")
		r := w.startRead(1)
		synctest.Wait()
		_ = w.c.Close()
		release()
		pass(time.Second)
		equal(t, "done", r.done, true)
		equal(t, "value", r.name, "a")
	})
}

// Close in the middle of everything leaves nothing behind and hangs nobody.
func TestCloseInTheMiddle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.put(1, "a")
		w.down("wipe")
		_ = w.write(w.c, users, 2, "b") // something to drain
		for range 6 {
			_ = w.write(w.c, users, 3, "b") // and a breaker to probe
		}
		_ = w.c.Write(t.Context(), []cache.Key{users.Key(4)}, func(context.Context) (cache.Outcome, error) { // and an outcome to resolve
			return cache.InDoubt(func(ctx context.Context) (cache.Outcome, error) { <-ctx.Done(); return cache.Outcome{}, ctx.Err() }), errors.New("x")
		})
		w.onLoad = func(ctx context.Context, seen bool) {
			if !seen {
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		}
		reads := []*result{w.startRead(1), w.startRead(1), w.startRead(1)}
		synctest.Wait()
		if err := w.c.Close(); err != nil {
			t.Error(err)
		}
		pass(time.Minute)
		for _, r := range reads {
			equal(t, "read", r.name, "a")
		}
	})
}
