package cache_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/cachetest"
)

// Schedules that once broke a promise, or would if a rule of the protocol were left out. Each is one interleaving.

// replayer keeps the requests of a store, so that copies can arrive late.
type replayer struct {
	*cachetest.Store
	mu       sync.Mutex
	acquires []cache.AcquireRequest
	fills    []cache.FillRequest
	wipes    []cache.WipeRequest
}

func (s *replayer) Acquire(ctx context.Context, reqs []cache.AcquireRequest) []cache.AcquireReply {
	s.mu.Lock()
	s.acquires = append(s.acquires, reqs...)
	s.mu.Unlock()
	return s.Store.Acquire(ctx, reqs)
}

func (s *replayer) Fill(ctx context.Context, reqs []cache.FillRequest) []cache.FillReply {
	s.mu.Lock()
	s.fills = append(s.fills, reqs...)
	s.mu.Unlock()
	return s.Store.Fill(ctx, reqs)
}

func (s *replayer) Wipe(ctx context.Context, reqs []cache.WipeRequest, n int) []cache.WipeReply {
	s.mu.Lock()
	s.wipes = append(s.wipes, reqs...)
	s.mu.Unlock()
	return s.Store.Wipe(ctx, reqs, n)
}

func newReplayer(t *testing.T) (*world, *replayer) {
	w := emptyWorld(t)
	s := &replayer{Store: w.store}
	var err error
	if w.c, err = cache.NewWithStore(s, cache.Options{Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.c.Close() })
	return w, s
}

// H1: the lease's id must not be the client's to choose, or a late copy of ACQUIRE brings the old lease back.
func TestH1LateDuplicateOfAcquire(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, s := newReplayer(t)
		w.put(1, "old")
		release := w.stop(w.before, "fill")
		equal(t, "first", w.read(1), "old")
		synctest.Wait() // its fill is on the way
		if err := w.write(w.c, users, 1, "new"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		late := s.Store.Acquire(t.Context(), s.acquires[:1])[0]
		equal(t, "the late copy gets a lease", late.Status, cache.AcquireOwned)
		release()
		synctest.Wait()
		equal(t, "fills lost", w.stats(users).FillsLost, 1)
		equal(t, "after the write", w.read(1), "new")
		synctest.Wait()
	})
}

func TestLateDuplicatesOfFillAndWipeDoNoHarm(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w, s := newReplayer(t)
		w.put(1, "old")
		w.read(1)
		synctest.Wait()
		_ = w.write(w.c, users, 1, "new")
		synctest.Wait()
		if r := s.Store.Fill(t.Context(), s.fills[:1])[0]; r.Stored {
			t.Error("a late copy of FILL was stored")
		}
		mark, clear := s.wipes[0], s.wipes[1]
		equal(t, "read", w.read(1), "new")
		synctest.Wait()
		s.Store.Wipe(t.Context(), []cache.WipeRequest{mark}, 0) // bypass until its end
		equal(t, "read", w.read(1), "new")
		pass(31 * time.Second)
		w.read(1)
		synctest.Wait()
		loads := w.loads.Load()
		equal(t, "read", w.read(1), "new")
		equal(t, "loads", w.loads.Load(), loads)
		s.Store.Wipe(t.Context(), []cache.WipeRequest{clear}, 0)
		equal(t, "read", w.read(1), "new")
		synctest.Wait()
	})
}

// H2: with an unknown outcome the fences stay until it is known, however long that takes.
func TestH2UnknownOutcomeKeepsTheFences(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		other := w.process(cache.Options{})
		w.put(1, "old")
		w.read(1)
		synctest.Wait()
		known := make(chan cache.Outcome)
		asked := 0
		err := w.c.Write(t.Context(), []cache.Key{users.Key(1)}, func(context.Context) (cache.Outcome, error) {
			return cache.InDoubt(func(ctx context.Context) (cache.Outcome, error) {
				if asked++; asked < 3 {
					return cache.Outcome{}, errors.New("cannot ask yet")
				}
				select {
				case o := <-known:
					return o, nil
				case <-ctx.Done():
					return cache.Outcome{}, ctx.Err()
				}
			}), cache.ErrOutcomeUnknown
		})
		if !errors.Is(err, cache.ErrOutcomeUnknown) {
			t.Errorf("got %v", err)
		}
		for range 10 { // far longer than a fence lives
			pass(17 * time.Second)
			equal(t, "fences", w.store.Fences(user1Key), 1)
			name, _ := w.readCtx(t.Context(), other, users, 1)
			equal(t, "before the commit is visible", name, "old")
			if cell := w.store.Cell(user1Key, userField); cell != nil {
				t.Fatalf("filled while a commit is open: %q", cell)
			}
		}
		w.put(1, "new") // now it is visible
		name, _ := w.readCtx(t.Context(), other, users, 1)
		equal(t, "when the commit is visible", name, "new")
		known <- cache.Committed
		pass(time.Second)
		equal(t, "fences", w.store.Fences(user1Key), 0)
		equal(t, "in the end", w.read(1), "new")
		synctest.Wait()
		equal(t, "filled", w.store.Cell(user1Key, userField) != nil, true)
		equal(t, "fences lost", w.c.Stats().MarkersLost, 0)
	})
}

func TestH2OutcomeThatNothingResolves(t *testing.T) {
	for name, commit := range map[string]func() (cache.Outcome, error){
		"unknown": func() (cache.Outcome, error) { return cache.Outcome{}, errors.New("broken") },
		"panic":   func() (cache.Outcome, error) { panic("commit") },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, cache.Options{})
				func() {
					defer func() { _ = recover() }()
					_ = w.c.Write(t.Context(), []cache.Key{users.Key(1), afterwards.Key(1)}, func(context.Context) (cache.Outcome, error) { return commit() })
				}()
				pass(29 * time.Second)
				equal(t, "fences", w.store.Fences(user1Key), 1)
				equal(t, "pending", w.c.Stats().Pending, 1) // the key that has no fence
				pass(10 * time.Second)
				equal(t, "fences", w.store.Fences(user1Key), 0)
				equal(t, "pending", w.c.Stats().Pending, 0)
			})
		})
	}
}

// H3: who comes after a write has returned may not get a load that began before it.
func TestH3LateJoinerOfAFlight(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.put(1, "old")
		gate := make(chan struct{})
		w.onLoad = func(_ context.Context, seen bool) {
			if seen {
				<-gate
			}
		}
		first := w.startRead(1)
		synctest.Wait() // has seen the old row
		early := w.startRead(1)
		synctest.Wait() // joined before the write
		if err := w.write(w.c, users, 1, "new"); err != nil {
			t.Fatal(err)
		}
		w.onLoad = nil
		second := w.startRead(1)
		synctest.Wait()
		close(gate)
		pass(time.Second)
		equal(t, "second", second.name, "new")
		equal(t, "first", first.name, "old") // its read began before the write
		equal(t, "early", early.name, "new")
		equal(t, "the cache", w.read(1), "new")
	})
}

// H3': not even a fill that was stored may be shared with one who came after it was sent.
func TestH3JoinerAfterTheFillWasSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.put(1, "old")
		release := w.stop(w.after, "fill")
		next := w.gated()
		first := w.startRead(1)
		synctest.Wait()
		early := w.startRead(1)
		synctest.Wait()
		w.onLoad = nil
		next()
		equal(t, "the leader does not wait for its fill", first.done, true)
		if w.store.Cell(user1Key, userField)[0] != 'V' {
			t.Fatal("not filled")
		}
		if err := w.write(w.c, users, 1, "new"); err != nil { // while the reply is on the wire
			t.Fatal(err)
		}
		synctest.Wait()
		second := w.startRead(1)
		synctest.Wait()
		equal(t, "second is waiting or done", second.done && second.name != "new", false)
		release()
		synctest.Wait()
		equal(t, "second", second.name, "new")
		equal(t, "early", early.name, "old")
		equal(t, "early", early.done, true)
		synctest.Wait()
		equal(t, "the cache", w.read(1), "new")
	})
}

// Who knows of another epoch than the leader may not take the leader's value.
func TestJoinerAcrossAnEpochChange(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.put(1, "old")
		gate := make(chan struct{})
		w.onLoad = func(_ context.Context, seen bool) {
			if seen {
				<-gate
			}
		}
		first := w.startRead(1)
		synctest.Wait()
		w.onLoad = nil
		w.put(1, "new")
		if err := w.c.InvalidateGroup(t.Context(), users); err != nil {
			t.Fatal(err)
		}
		second := w.startRead(1)
		pass(time.Second) // over its budget: the lease is the first's
		equal(t, "second", second.name, "new")
		close(gate)
		synctest.Wait()
		equal(t, "first", first.name, "old")
		equal(t, "the cache", w.read(1), "new")
		synctest.Wait()
		equal(t, "the cache", w.read(1), "new")
	})
}

// An epoch that was read before InvalidateGroup must not be believed after it.
func TestEpochAnswerThatWasOvertaken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{RedisBudget: time.Minute})
		w.put(1, "old")
		w.read(1)
		pass(1500 * time.Millisecond) // the epoch is due
		release := w.stop(w.after, "get")
		slow := w.startRead(1)
		synctest.Wait() // holds the old answer
		w.put(1, "new")
		_ = w.c.InvalidateGroup(t.Context(), users)
		release()
		synctest.Wait()
		equal(t, "concurrent read", slow.done, true)
		equal(t, "after the invalidation", w.read(1), "new")
		synctest.Wait()
	})
}

// H4: a commit that hangs must not outlive its fences.
func TestH4FencesAreRenewedWhileTheCommitRuns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		other := w.process(cache.Options{})
		w.put(1, "old")
		err := w.c.Write(t.Context(), []cache.Key{users.Key(1)}, func(context.Context) (cache.Outcome, error) {
			for range 20 {
				pass(13 * time.Second)
				equal(t, "fences", w.store.Fences(user1Key), 1)
				name, _ := w.readCtx(t.Context(), other, users, 1)
				equal(t, "meanwhile", name, "old")
			}
			w.put(1, "new")
			return cache.Committed, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		equal(t, "fences", w.store.Fences(user1Key), 0)
		wipes := w.ops("wipe")
		pass(time.Minute)
		equal(t, "renewals after the end", w.ops("wipe"), wipes)
		equal(t, "lost", w.c.Stats().MarkersLost, 0)
	})
}

func TestFenceIsNotTakenAwayByAnotherWriter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		other := w.process(cache.Options{})
		w.put(1, "v0")
		commit := make(chan struct{})
		go func() {
			_ = w.c.Write(t.Context(), []cache.Key{users.Key(1)}, func(context.Context) (cache.Outcome, error) {
				<-commit
				w.put(1, "v2")
				return cache.Committed, nil
			})
		}()
		synctest.Wait()
		_ = w.write(other, users, 1, "v1")
		_ = other.Invalidate(t.Context(), users.Key(1))
		synctest.Wait()
		equal(t, "fences", w.store.Fences(user1Key), 1)
		equal(t, "read", w.read(1), "v1")
		if w.store.Cell(user1Key, userField) != nil {
			t.Error("filled under a fence")
		}
		close(commit)
		synctest.Wait()
		equal(t, "read", w.read(1), "v2")
		synctest.Wait()
	})
}

func TestLostFenceIsCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		_ = w.c.Write(t.Context(), []cache.Key{users.Key(1)}, func(context.Context) (cache.Outcome, error) {
			w.store.Evict(user1Key)
			return cache.Committed, nil
		})
		synctest.Wait()
		equal(t, "lost", w.c.Stats().MarkersLost, 1)
	})
}

func TestFlushLosesFills(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.put(1, "old")
		release := w.stop(w.before, "fill")
		w.read(1)
		synctest.Wait()
		w.store.Flush()
		release()
		synctest.Wait()
		equal(t, "lost", w.stats(users).FillsLost, 1)
		equal(t, "fields", len(w.store.Fields(user1Key)), 0)
	})
}

func TestFlightSharesOneLoad(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.put(1, "a")
		gate := make(chan struct{})
		w.onLoad = func(context.Context, bool) { <-gate }
		var reads []*result
		for range 10 {
			reads = append(reads, w.startRead(1))
		}
		synctest.Wait()
		close(gate)
		synctest.Wait()
		for _, r := range reads {
			equal(t, "value", r.name, "a")
		}
		s := w.stats(users)
		equal(t, "loads", s.Loads, 1)
		equal(t, "misses", s.Misses, 1)
		equal(t, "shared", s.Shared, 9)
		equal(t, "fills", s.Fills, 1)
	})
}

func TestFlightOutlivesItsLeader(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.put(1, "a")
		gate := make(chan struct{})
		w.onLoad = func(context.Context, bool) { <-gate }
		ctx, cancel := context.WithCancel(t.Context())
		leader := w.start(ctx, w.c, users, 1)
		synctest.Wait()
		joiner := w.startRead(1)
		synctest.Wait()
		cancel()
		synctest.Wait()
		if !leader.done || !errors.Is(leader.err, context.Canceled) {
			t.Errorf("leader: %+v", leader)
		}
		equal(t, "joiner waits", joiner.done, false)
		close(gate)
		synctest.Wait()
		equal(t, "joiner", joiner.name, "a")
		equal(t, "loads", w.loads.Load(), 1)
	})
}

func TestFlightOfAFailedLoad(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		broken := errors.New("source is broken")
		gate := make(chan struct{})
		fail := func(context.Context) (user, error) { <-gate; return user{}, broken }
		errs := make([]error, 5)
		for i := range errs {
			go func() { _, errs[i] = cache.Read(t.Context(), w.c, users.Key(1), getUser.Cell(), fail) }()
		}
		synctest.Wait()
		close(gate)
		pass(time.Second)
		for _, err := range errs {
			if err != broken { // the very error
				t.Errorf("got %v", err)
			}
		}
		if cell := w.store.Cell(user1Key, userField); cell != nil {
			t.Errorf("an error left %q", cell)
		}
		w.put(1, "a")
		equal(t, "later", w.read(1), "a")
		synctest.Wait()
	})
}

func TestPanicOfALoadIsRaisedInItsReader(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.put(1, "a")
		for _, down := range []bool{false, true} {
			if down {
				w.down()
			}
			func() {
				defer func() { equal(t, "panic", fmt.Sprint(recover()), "in the load") }()
				_, _ = cache.Read(t.Context(), w.c, users.Key(1), getUser.Cell(), func(context.Context) (user, error) { panic("in the load") })
			}()
			synctest.Wait()
			if !down && w.store.Cell(user1Key, userField) != nil {
				t.Error("the lease was not given back")
			}
			equal(t, "later", w.read(1), "a")
		}
		w.up()
		pass(time.Minute)
	})
}

func TestLoadTimeoutOfASharedLoad(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{LoadTimeout: time.Second})
		w.put(1, "a")
		first := true
		w.onLoad = func(ctx context.Context, seen bool) {
			if seen {
				return
			}
			if first {
				first = false
				<-ctx.Done()
				return
			}
			time.Sleep(5 * time.Second) // the reader has the time
		}
		equal(t, "value", w.read(1), "a")
		equal(t, "loads", w.loads.Load(), 2)
		synctest.Wait()
	})
}

func TestAnotherProcessHasTheLease(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		other := w.process(cache.Options{})
		w.put(1, "a")
		w.onLoad = func(_ context.Context, seen bool) {
			if seen {
				time.Sleep(20 * time.Millisecond)
			}
		}
		first := w.start(t.Context(), other, users, 1)
		synctest.Wait()
		second := w.startRead(1)
		pass(time.Second)
		equal(t, "first", first.name, "a")
		equal(t, "second", second.name, "a")
		equal(t, "loads", w.loads.Load(), 1)
		equal(t, "hits", w.stats(users).Hits, 1)

		// When it takes too long, the read goes on from the source and leaves the cell alone.
		_ = w.c.Invalidate(t.Context(), users.Key(1))
		gate := make(chan struct{})
		w.onLoad = func(_ context.Context, seen bool) {
			if seen {
				<-gate
			}
		}
		first = w.start(t.Context(), other, users, 1)
		synctest.Wait()
		w.onLoad = nil
		began := time.Now()
		second = w.startRead(1)
		pass(time.Second)
		if took := second.at.Sub(began); !second.done || took > 100*time.Millisecond {
			t.Errorf("waited for Redis for %s", took)
		}
		close(gate)
		synctest.Wait()
		equal(t, "first", first.name, "a")
		equal(t, "fills of this process", w.stats(users).Fills, 0)
	})
}

// However slow Redis is and wherever, a read waits for it no longer than its budget.
func TestReadsStayWithinTheirBudget(t *testing.T) {
	for _, op := range []string{"get", "mint", "acquire", "fill"} {
		for _, joiners := range []int{0, 3} {
			t.Run(fmt.Sprintf("%s hangs, %d joiners", op, joiners), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					w := newWorld(t, cache.Options{})
					w.put(1, "a")
					w.onBefore(op, func(ctx context.Context, _ []string) error {
						<-ctx.Done()
						return ctx.Err()
					})
					began := time.Now()
					reads := []*result{w.startRead(1)}
					for range joiners {
						synctest.Wait()
						reads = append(reads, w.startRead(1))
					}
					many := w.startMany(w.c, []int64{7, 8}, nil)
					pass(10 * time.Second)
					for _, r := range reads {
						if took := r.at.Sub(began); !r.done || r.name != "a" || took > 100*time.Millisecond {
							t.Errorf("%q, %v after %s", r.name, r.err, took)
						}
					}
					if took := many.at.Sub(began); !many.done || many.err != nil || took > 100*time.Millisecond {
						t.Errorf("batch: %v after %s", many.err, took)
					}
				})
			})
		}
	}
}

func TestEachSlowStepCountsAgainstOneBudget(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.put(1, "a")
		for _, op := range everyOp {
			w.onBefore(op, func(ctx context.Context, _ []string) error {
				select {
				case <-time.After(60 * time.Millisecond):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		}
		began := time.Now()
		read, many := w.startRead(1), w.startMany(w.c, []int64{7, 8}, nil)
		pass(10 * time.Second)
		for what, took := range map[string]time.Duration{"read": read.at.Sub(began), "batch": many.at.Sub(began)} {
			if took > 100*time.Millisecond {
				t.Errorf("%s: waited for Redis for %s", what, took)
			}
		}
		equal(t, "value", read.name, "a")
		w.up()
		pass(10 * time.Second)
	})
}

func TestCallersContextEndsTheWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, op := range []string{"get", "acquire"} {
			w := newWorld(t, cache.Options{})
			w.onBefore(op, func(ctx context.Context, _ []string) error {
				<-ctx.Done()
				return ctx.Err()
			})
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			r := w.start(ctx, w.c, users, 1)
			pass(20 * time.Millisecond)
			if !r.done || !errors.Is(r.err, context.DeadlineExceeded) {
				t.Errorf("%s: %+v", op, r)
			}
			cancel()
			if op == "get" { // Redis may be well: it was the caller who left
				equal(t, "errors", len(w.c.Stats().Errors), 0)
			}
			pass(time.Second)
		}
	})
}
