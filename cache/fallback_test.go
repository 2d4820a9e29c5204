package cache_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgaside/pgaside/cache"
)

// While Redis is down one load of a cell runs, and one waits: who comes joins only the one that has not begun.
func TestFallbackJoinsOnlyALoadThatHasNotBegun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.down()
		gates := make(chan chan struct{}, 10)
		w.onLoad = func(_ context.Context, seen bool) {
			if seen {
				gate := make(chan struct{})
				gates <- gate
				<-gate
			}
		}
		w.put(1, "v1")
		first := w.startRead(1)
		synctest.Wait() // has seen v1
		w.put(1, "v2")
		var second []*result
		for range 5 {
			second = append(second, w.startRead(1))
			synctest.Wait()
		}
		equal(t, "loads", w.loads.Load(), 1)
		close(<-gates)
		synctest.Wait() // the second load has seen v2
		equal(t, "first", first.name, "v1")
		equal(t, "loads", w.loads.Load(), 2)
		w.put(1, "v3")
		third := w.startRead(1)
		synctest.Wait()
		close(<-gates)
		synctest.Wait()
		for _, r := range second {
			equal(t, "second", r.name, "v2")
		}
		equal(t, "third is not done with v2", third.done, false)
		close(<-gates)
		synctest.Wait()
		equal(t, "third", third.name, "v3")
		equal(t, "loads", w.loads.Load(), 3)
		s := w.stats(users)
		equal(t, "bypasses", s.Bypasses, 7)
		equal(t, "loads", s.Loads, 3)
		w.up()
		pass(time.Minute)
	})
}

// gated makes loads wait, and returns what lets the next one go on.
func (w *world) gated() (next func()) {
	gates := make(chan chan struct{}, 1000)
	w.onLoad = func(_ context.Context, seen bool) {
		if !seen {
			gate := make(chan struct{})
			gates <- gate
			<-gate
		}
	}
	return func() {
		close(<-gates)
		synctest.Wait()
	}
}

func TestFallbackLeaderThatLeaves(t *testing.T) {
	for _, turn := range []bool{false, true} {
		t.Run(fmt.Sprintf("its turn has come=%t", turn), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, cache.Options{MaxFallbackLoads: 1})
				w.down()
				w.put(1, "a")
				w.put(2, "b")
				next := w.gated()
				running := w.startRead(1)
				synctest.Wait()
				ctx, cancel := context.WithCancel(t.Context())
				leader := w.start(ctx, w.c, users, 1)
				synctest.Wait()
				joiners := []*result{w.startRead(1), w.startRead(1)}
				synctest.Wait()
				if turn { // and it waits for the semaphore, which another cell's load has
					other := w.startRead(2)
					synctest.Wait()
					next()
					equal(t, "running", running.name, "a")
					cancel()
					synctest.Wait()
					if leader.done {
						equal(t, "leader", errors.Is(leader.err, cache.ErrOverloaded), true)
					}
					for !other.done || !joiners[0].done || !joiners[1].done {
						next()
					}
				} else {
					cancel()
					synctest.Wait()
					if !errors.Is(leader.err, cache.ErrOverloaded) || !errors.Is(leader.err, context.Canceled) {
						t.Errorf("leader: %v", leader.err)
					}
					for !running.done || !joiners[0].done || !joiners[1].done {
						next()
					}
				}
				for _, r := range joiners {
					equal(t, "joiner", r.name, "a")
				}
				w.onLoad = nil
				equal(t, "later", w.read(1), "a") // the slot was left in order
				w.up()
				pass(time.Minute)
			})
		})
	}
}

func TestFallbackJoinerThatLeaves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.down()
		w.put(1, "a")
		next := w.gated()
		first, second := w.startRead(1), (*result)(nil)
		synctest.Wait()
		second = w.startRead(1)
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		early := w.start(ctx, w.c, users, 1)
		synctest.Wait()
		cancel() // before the load has begun
		synctest.Wait()
		if !errors.Is(early.err, cache.ErrOverloaded) {
			t.Errorf("got %v", early.err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		late := w.start(ctx, w.c, users, 1)
		synctest.Wait()
		next()
		cancel() // while it runs
		synctest.Wait()
		if !errors.Is(late.err, context.Canceled) || errors.Is(late.err, cache.ErrOverloaded) {
			t.Errorf("got %v", late.err)
		}
		next()
		equal(t, "first", first.name, "a")
		equal(t, "second", second.name, "a")
		equal(t, "overloaded", w.c.Stats().Overloaded, 1)
		w.up()
		pass(time.Minute)
	})
}

func TestFallbackSharesErrors(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.down()
		broken := errors.New("source is broken")
		loads := 0
		gate := make(chan struct{})
		load := func(context.Context) (user, error) { loads++; <-gate; return user{}, broken }
		var errs [6]error
		for i := range errs {
			go func() { _, errs[i] = cache.Read(t.Context(), w.c, users.Key(1), getUser.Cell(), load) }()
			synctest.Wait()
		}
		close(gate)
		synctest.Wait()
		for i, err := range errs {
			if err != broken { // the very error
				t.Errorf("%d: got %v", i, err)
			}
		}
		equal(t, "loads", loads, 2)
		w.up()
		pass(time.Minute)
	})
}

func TestFallbackSharesNoRow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.down()
		next := w.gated()
		var reads []*result
		for range 4 {
			reads = append(reads, w.startRead(1))
			synctest.Wait()
		}
		next()
		next()
		for _, r := range reads {
			if r.err != errNoRows { // the very error
				t.Errorf("got %v", r.err)
			}
		}
		w.up()
		pass(time.Minute)
	})
}

// The context of a load that others wait for is its leader's: an error that comes of its end is not theirs.
func TestFallbackDoesNotShareTheLeadersContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.down()
		w.put(1, "a")
		next := w.gated()
		first := w.startRead(1)
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		leader := w.start(ctx, w.c, users, 1)
		synctest.Wait()
		joiner := w.startRead(1)
		synctest.Wait()
		next() // the leader's load runs
		cancel()
		next()
		if !errors.Is(leader.err, context.Canceled) {
			t.Errorf("leader: %v", leader.err)
		}
		next()
		equal(t, "first", first.name, "a")
		equal(t, "joiner", joiner.name, "a")
		equal(t, "joiner", joiner.err, nil)
		w.up()
		pass(time.Minute)
	})
}

func TestFallbackIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{MaxFallbackLoads: 3})
		w.down()
		running, most := 0, 0
		w.onLoad = func(_ context.Context, seen bool) {
			w.mu.Lock()
			if seen {
				running--
				w.mu.Unlock()
				return
			}
			running++
			most = max(most, running)
			w.mu.Unlock()
			time.Sleep(time.Second)
		}
		var reads []*result
		for i := range int64(12) {
			w.put(i, "a")
			reads = append(reads, w.startRead(i))
		}
		many := w.startMany(w.c, []int64{20, 21}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		synctest.Wait()
		overloaded := w.start(ctx, w.c, users, 30)
		pass(time.Minute)
		for _, r := range reads {
			equal(t, "value", r.name, "a")
		}
		equal(t, "batch", many.done, true)
		equal(t, "most loads at a time", most, 3)
		if !errors.Is(overloaded.err, cache.ErrOverloaded) || !errors.Is(overloaded.err, context.DeadlineExceeded) {
			t.Errorf("got %v", overloaded.err)
		}
		equal(t, "overloaded", w.c.Stats().Overloaded, 1)
		w.up()
		pass(time.Minute)
	})
}

// TestJoinersOfALoadThatWaitsAreOverloaded: a batch whose leader waits for its turn at the source has not begun. Who joins it
// is told so when his context ends.
func TestJoinersOfALoadThatWaitsAreOverloaded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{MaxFallbackLoads: 1})
		w.down()
		w.put(1, "a")
		w.put(2, "b")
		w.onLoad = func(_ context.Context, seen bool) {
			if !seen {
				time.Sleep(time.Second)
			}
		}
		first := w.startRead(1)
		synctest.Wait()
		leader := w.startRead(1) // waits for the slot, and then behind the other cell for a turn at the source
		other := w.startRead(2)
		third := w.startRead(2)
		pass(500 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		joiner := w.start(ctx, w.c, users, 1)
		late := w.start(ctx, w.c, users, 2)
		pass(time.Minute)
		for _, r := range []*result{first, leader} {
			equal(t, "value", r.name, "a")
		}
		for _, r := range []*result{other, third} {
			equal(t, "value", r.name, "b")
		}
		for _, r := range []*result{joiner, late} {
			if !errors.Is(r.err, cache.ErrOverloaded) {
				t.Errorf("got %v", r.err)
			}
		}
		w.up()
		pass(time.Minute)
	})
}

// Loads inside loads must not wait for the bound that the outer one has used up.
func TestFallbackInsideALoadDoesNotWaitForItself(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{MaxFallbackLoads: 1})
		w.down()
		w.put(1, "a")
		outer := cache.NewQuery[string]("Outer", "000000000000", cache.QueryOptions{})
		done := false
		go func() {
			_, err := cache.Read(t.Context(), w.c, users.Key(1), outer.Cell(), func(ctx context.Context) (string, error) {
				_, err := w.readCtx(ctx, w.c, users, 1)
				_, err2 := cache.ReadMany(ctx, w.c, []int64{1}, users.Key, listUsers.Cell(), func(u user) int64 { return u.ID },
					func(context.Context, []int64) ([]user, error) { return nil, nil })
				return "", errors.Join(err, err2)
			})
			equal(t, "error", err, nil)
			done = true
		}()
		pass(time.Second)
		equal(t, "done", done, true)
		w.up()
		pass(time.Minute)
	})
}

func TestHerdWithoutRedis(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.down()
		w.put(1, "a")
		w.onLoad = func(context.Context, bool) { time.Sleep(time.Millisecond) }
		var reads []*result
		for i := range 500 {
			reads = append(reads, w.startRead(1))
			if i%50 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		pass(time.Minute)
		for _, r := range reads {
			if r.name != "a" || r.err != nil {
				t.Fatalf("%+v", r)
			}
		}
		if n := w.loads.Load(); n > 20 {
			t.Errorf("%d loads for one herd", n)
		}
		w.up()
		pass(time.Minute)
	})
}

// Readers that give up leave no more loads behind than Options.MaxFallbackLoads: a slow source must not have to catch up with
// everybody who has ever asked.
func TestAbandonedLoadsAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const bound, readers = 2, 10
		w := newWorld(t, cache.Options{MaxFallbackLoads: bound})
		w.put(0, "zero")
		gate := make(chan struct{})
		var running, cancelled atomic.Int64
		w.onLoad = func(ctx context.Context, seen bool) {
			if seen {
				return
			}
			running.Add(1)
			defer running.Add(-1)
			select {
			case <-gate:
			case <-ctx.Done():
				cancelled.Add(1)
			}
		}
		leave := func(first int64) {
			ctx, cancel := context.WithCancel(t.Context())
			var gone []*result
			for id := range int64(readers) {
				gone = append(gone, w.start(ctx, w.c, users, first+id))
			}
			synctest.Wait()
			if first == 0 {
				equal(t, "loads under leases", running.Load(), readers)
			}
			cancel()
			synctest.Wait()
			for _, r := range gone {
				equal(t, "who gives up is told", errors.Is(r.err, context.Canceled), true)
			}
		}
		leave(0)
		equal(t, "cancelled", cancelled.Load(), readers-bound)
		leave(100)
		equal(t, "cancelled, while others go on", cancelled.Load(), 2*readers-bound)
		equal(t, "running", running.Load(), bound)
		patient := []*result{w.startRead(0), w.startRead(100)} // with a load that goes on, or one of their own
		synctest.Wait()
		close(gate)
		synctest.Wait()
		equal(t, "running", running.Load(), 0)
		equal(t, "found", patient[0].name, "zero")
		equal(t, "not found", errors.Is(patient[1].err, errNoRows), true)

		gate = make(chan struct{})
		leave(200)
		equal(t, "cancelled, when there is room again", cancelled.Load(), 3*readers-2*bound)
		close(gate)
		synctest.Wait()
		equal(t, "running", running.Load(), 0)
	})
}
