package cache_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/cachetest"
)

// Attacks of the list in docs/guarantees.md that no other test stages.

// A5, A6: a load that takes longer than its lease. Others take the lease over, and the late fill is refused; if nobody came it
// is stored, as long as the key is there. In any case the result is served, and nothing that a write overtook is kept.
func TestLoadSlowerThanItsLease(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{LeaseTTL: time.Second})
		other := w.process(cache.Options{LeaseTTL: time.Second})
		slow := func(meanwhile func()) *result { // a load that holds its value for ten leases
			gate := make(chan struct{})
			var first atomic.Bool
			w.onLoad = func(_ context.Context, seen bool) {
				if seen && first.CompareAndSwap(false, true) {
					<-gate
				}
			}
			r := w.startRead(1)
			pass(10 * time.Second)
			meanwhile()
			close(gate)
			synctest.Wait()
			return r
		}
		w.put(1, "old")
		r := slow(func() {}) // nothing else is in the key: it ends with the lease
		equal(t, "served", r.name, "old")
		equal(t, "lost", w.stats(users).FillsLost, 1)

		w.many(w.c, []int64{1}) // now something is
		synctest.Wait()
		r = slow(func() {})
		equal(t, "served", r.name, "old")
		equal(t, "fills", w.stats(users).Fills, 2)
		equal(t, "hit", w.read(1), "old")

		_ = w.c.Invalidate(t.Context(), users.Key(1))
		r = slow(func() {
			_ = w.write(other, users, 1, "new")
			synctest.Wait()
			name, _ := w.readCtx(t.Context(), other, users, 1) // takes the lease over
			equal(t, "another process", name, "new")
			synctest.Wait()
		})
		equal(t, "served", r.name, "old") // its load was over before the write began
		equal(t, "lost", w.stats(users).FillsLost, 2)
		equal(t, "afterwards", w.read(1), "new")
	})
}

// A18: a fence is evicted and a reader stores the old value under the writer's eyes. The end of the write voids it.
func TestLostFenceIsMadeGood(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		other := w.process(cache.Options{})
		w.put(1, "old")
		err := w.c.Write(t.Context(), []cache.Key{users.Key(1)}, func(ctx context.Context) (cache.Outcome, error) {
			w.store.Evict(user1Key)
			if name, _ := w.readCtx(ctx, other, users, 1); name != "old" {
				t.Errorf("before the commit: %s", name)
			}
			synctest.Wait() // it is stored
			w.put(1, "new")
			name, _ := w.readCtx(ctx, other, users, 1)
			equal(t, "after the commit, before its end", name, "old") // the bound that is published
			return cache.Committed, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		name, _ := w.readCtx(t.Context(), other, users, 1)
		equal(t, "after the write", name, "new")
		equal(t, "lost", w.c.Stats().MarkersLost, 1)
	})
}

// TestStrictWriteWaitsForTheEndOfItsFence: a fence that Redis has lost let a reader fill the key with what the write replaces.
// When a strict write returns, that is gone.
func TestStrictWriteWaitsForTheEndOfItsFence(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{Groups: map[string]cache.GroupOptions{"users": {Mode: cache.Strict}}})
		other := w.process(cache.Options{})
		w.put(1, "old")
		err := w.c.Write(t.Context(), []cache.Key{users.Key(1)}, func(ctx context.Context) (cache.Outcome, error) {
			w.store.Evict(user1Key)
			if name, _ := w.readCtx(ctx, other, users, 1); name != "old" {
				t.Errorf("before the commit: %s", name)
			}
			synctest.Wait() // it is stored
			w.put(1, "new")
			return cache.Committed, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		name, _ := w.readCtx(t.Context(), other, users, 1)
		equal(t, "after the write", name, "new")
		equal(t, "lost", w.c.Stats().MarkersLost, 1)
	})
}

// TestStrictReaderThatMetAFence: a reader is kept from the cache by a fence, and its load is still on its way when the fence is
// lost, the key filled with the old value, and the write committed. What it returns is new: nobody may read the old value
// after it, though the write has not ended yet.
func TestStrictReaderThatMetAFence(t *testing.T) {
	t.Parallel()
	for _, batch := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			strict := cache.Options{Groups: map[string]cache.GroupOptions{"users": {Mode: cache.Strict}}}
			w := newWorld(t, strict)
			quick, third := w.process(strict), w.process(strict)
			w.put(1, "old")
			err := w.c.Write(t.Context(), []cache.Key{users.Key(1)}, func(ctx context.Context) (cache.Outcome, error) {
				w.mu.Lock()
				w.onLoad = func(_ context.Context, seen bool) {
					if !seen {
						time.Sleep(20 * time.Millisecond)
					}
				}
				w.mu.Unlock()
				met := make(chan string, 1)
				go func() {
					if batch {
						met <- names(w.many(w.c, []int64{1}))
					} else {
						name, _ := w.readCtx(ctx, w.c, users, 1)
						met <- name
					}
				}()
				synctest.Wait() // it waits in its load
				w.mu.Lock()
				w.onLoad = nil
				w.mu.Unlock()
				w.store.Evict(user1Key)
				fill := func() string {
					if batch {
						return names(w.many(quick, []int64{1}))
					}
					name, _ := w.readCtx(ctx, quick, users, 1)
					return name
				}
				equal(t, "before the commit", fill(), "old")
				synctest.Wait() // it is stored
				w.put(1, "new")
				equal(t, "who had met the fence", <-met, "new")
				name, _ := w.readCtx(ctx, third, users, 1)
				if batch {
					name = names(w.many(third, []int64{1}))
				}
				equal(t, "after it", name, "new")
				return cache.Committed, nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestStrictReaderWhoseLeaseAFenceVoided: a reader had its lease before the write began, and its load goes on over the fence, the
// fence's loss, a fill of the old value and the commit. What it returns is new, and not stored: nobody may read the old value
// after it, though the write has not ended yet. If the answer to its fill is lost, it can't know, and does the same.
func TestStrictReaderWhoseLeaseAFenceVoided(t *testing.T) {
	t.Parallel()
	for _, batch := range []bool{false, true} {
		for _, answered := range []bool{true, false} {
			bubble(t, func(t *testing.T) {
				strict := cache.Options{Groups: map[string]cache.GroupOptions{"users": {Mode: cache.Strict}}}
				w := newWorld(t, strict)
				quick, third := w.process(strict), w.process(strict)
				read := func(c *cache.Cache) string {
					if batch {
						return names(w.many(c, []int64{1}))
					}
					name, _ := w.readCtx(t.Context(), c, users, 1)
					return name
				}
				w.put(1, "old")
				var slow, unanswered atomic.Bool
				w.store.After = func(_ context.Context, op string, _ []string) error {
					if op == "fill" && unanswered.Swap(false) {
						return errors.New("the connection is closed")
					}
					return nil
				}
				slow.Store(true)
				w.onLoad = func(_ context.Context, seen bool) {
					if !seen && slow.Swap(false) {
						time.Sleep(20 * time.Millisecond)
					}
				}
				had := make(chan string, 1)
				go func() { had <- read(w.c) }()
				synctest.Wait() // it waits in its load
				err := w.c.Write(t.Context(), []cache.Key{users.Key(1)}, func(context.Context) (cache.Outcome, error) {
					w.store.Evict(user1Key)
					equal(t, "before the commit", read(quick), "old")
					synctest.Wait() // it is stored
					w.put(1, "new")
					unanswered.Store(!answered)
					equal(t, "whose lease the fence voided", <-had, "new")
					equal(t, "after it", read(third), "new")
					return cache.Committed, nil
				})
				equal(t, "error", err, nil)
			})
		}
	}
}

// TestStrictReaderThatLoadsAgain: its first load under the lease took too long, and the second is under none.
func TestStrictReaderThatLoadsAgain(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		o := cache.Options{LoadTimeout: 50 * time.Millisecond, Groups: map[string]cache.GroupOptions{"users": {Mode: cache.Strict}}}
		w := newWorld(t, o)
		quick, third := w.process(o), w.process(o)
		read := func(c *cache.Cache) string {
			name, _ := w.readCtx(t.Context(), c, users, 1)
			return name
		}
		w.put(1, "old")
		var loads atomic.Int64
		w.onLoad = func(ctx context.Context, seen bool) {
			if seen {
				return
			}
			switch loads.Add(1) {
			case 1:
				<-ctx.Done()
			case 2:
				time.Sleep(20 * time.Millisecond)
			}
		}
		err := w.c.Write(t.Context(), []cache.Key{users.Key(1)}, func(context.Context) (cache.Outcome, error) {
			w.store.Evict(user1Key)
			had := make(chan string, 1)
			go func() { had <- read(w.c) }()
			time.Sleep(55 * time.Millisecond) // it loads again
			equal(t, "before the commit", read(quick), "old")
			synctest.Wait()
			w.put(1, "new")
			equal(t, "who loaded twice", <-had, "new")
			equal(t, "after it", read(third), "new")
			return cache.Committed, nil
		})
		equal(t, "error", err, nil)
	})
}

// TestStrictReaderWhoseFillHangs: it does not learn that its lease is gone, and keeps the time to void the key.
func TestStrictReaderWhoseFillHangs(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		o := cache.Options{Groups: map[string]cache.GroupOptions{"users": {Mode: cache.Strict}}}
		w := newWorld(t, o)
		quick, third := w.process(o), w.process(o)
		read := func(c *cache.Cache) string {
			name, _ := w.readCtx(t.Context(), c, users, 1)
			return name
		}
		w.put(1, "old")
		var slow, hang atomic.Bool
		slow.Store(true)
		w.onLoad = func(_ context.Context, seen bool) {
			if !seen && slow.Swap(false) {
				time.Sleep(20 * time.Millisecond)
			}
		}
		w.store.After = func(ctx context.Context, op string, _ []string) error {
			if op == "fill" && hang.Swap(false) {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		had := make(chan string, 1)
		go func() { had <- read(w.c) }()
		synctest.Wait()
		err := w.c.Write(t.Context(), []cache.Key{users.Key(1)}, func(context.Context) (cache.Outcome, error) {
			w.store.Evict(user1Key)
			equal(t, "before the commit", read(quick), "old")
			synctest.Wait()
			w.put(1, "new")
			hang.Store(true)
			equal(t, "whose fill hangs", <-had, "new")
			equal(t, "after it", read(third), "new")
			return cache.Committed, nil
		})
		equal(t, "error", err, nil)
	})
}

// TestStrictBatchWhoseWaitAFenceEnds: a batch waits for the fill of somebody else, whose lease a fence takes away. It has met the
// fence as well, and nobody may read the old value after it.
func TestStrictBatchWhoseWaitAFenceEnds(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		strictUsers := cache.Options{Groups: map[string]cache.GroupOptions{"users": {Mode: cache.Strict}}}
		w := newWorld(t, strictUsers)
		quick, third, holder := w.process(strictUsers), w.process(strictUsers), w.process(strictUsers)
		w.put(1, "old")
		var delay atomic.Int64
		w.onLoad = func(_ context.Context, seen bool) {
			if !seen {
				time.Sleep(time.Duration(delay.Load()))
			}
		}
		slow := func(d time.Duration) { delay.Store(int64(d)) }
		slow(time.Second)
		w.startMany(holder, []int64{1}, nil)
		synctest.Wait()
		slow(20 * time.Millisecond)
		loads := w.loads.Load()
		had := make(chan string, 1)
		go func() { had <- names(w.many(w.c, []int64{1})) }()
		synctest.Wait() // it waits
		_ = w.c.Write(t.Context(), []cache.Key{users.Key(1)}, func(context.Context) (cache.Outcome, error) {
			time.Sleep(15 * time.Millisecond) // it has seen that the lease is gone, and loads
			synctest.Wait()
			equal(t, "loads", w.loads.Load(), loads+1)
			slow(0)
			w.store.Evict(user1Key)
			equal(t, "before the commit", names(w.many(quick, []int64{1})), "old")
			synctest.Wait()
			w.put(1, "new")
			equal(t, "who waited", <-had, "new")
			equal(t, "after it", names(w.many(third, []int64{1})), "new")
			return cache.Committed, nil
		})
		pass(2 * time.Second)
	})
}

// TestStrictReaderWhoseContextEndsWithItsLoad: it is told the value, so that what is older has to go all the same.
func TestStrictReaderWhoseContextEndsWithItsLoad(t *testing.T) {
	t.Parallel()
	for _, batch := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, cache.Options{Groups: map[string]cache.GroupOptions{"users": {Mode: cache.Strict}}})
			_ = w.c.Write(t.Context(), []cache.Key{users.Key(1)}, func(context.Context) (cache.Outcome, error) {
				ctx, cancel := context.WithCancel(t.Context())
				load := func() {
					w.store.Evict(user1Key)
					w.store.SetCell(user1Key, "x", []byte("old"))
					cancel()
				}
				var err error
				if batch {
					_, err = cache.ReadMany(ctx, w.c, []int64{1}, users.Key, listUsers.Cell(), func(u user) int64 { return u.ID },
						func(context.Context, []int64) ([]user, error) { load(); return []user{{1, "a"}}, nil })
				} else {
					_, err = cache.Read(ctx, w.c, users.Key(1), getUser.Cell(),
						func(context.Context) (user, error) { load(); return user{1, "a"}, nil })
				}
				equal(t, "error", err, nil)
				equal(t, "cells", len(w.store.Fields(user1Key)), 0)
				return cache.Committed, nil
			})
		})
	}
}

// twoNodes is a master and a replica: what is asked of the one is copied to the other while follows is set.
type twoNodes struct {
	*cachetest.Store
	replica *cachetest.Store
	mu      sync.Mutex
	failed  bool // readers and writers are on the replica
	follows bool
}

func (s *twoNodes) node() (n *cachetest.Store, copied bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed {
		return s.replica, false
	}
	return s.Store, s.follows
}

func (s *twoNodes) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *twoNodes) Get(ctx context.Context, at cache.CellRef, extra []string) ([]byte, []string, error) {
	n, _ := s.node()
	return n.Get(ctx, at, extra)
}

func (s *twoNodes) Mint(ctx context.Context, keys []string, value string) ([]string, error) {
	n, copied := s.node()
	if copied {
		_, _ = s.replica.Mint(ctx, keys, value)
	}
	return n.Mint(ctx, keys, value)
}

func (s *twoNodes) Acquire(ctx context.Context, reqs []cache.AcquireRequest) []cache.AcquireReply {
	n, _ := s.node()
	return n.Acquire(ctx, reqs)
}

func (s *twoNodes) Fill(ctx context.Context, reqs []cache.FillRequest) []cache.FillReply {
	n, copied := s.node()
	out := n.Fill(ctx, reqs)
	for i, r := range reqs {
		if copied && out[i].Stored {
			s.replica.SetCell(r.Key, r.Field, r.Cell)
		}
	}
	return out
}

func (s *twoNodes) Wipe(ctx context.Context, reqs []cache.WipeRequest, replicas int) []cache.WipeReply {
	n, copied := s.node()
	if copied {
		s.replica.Wipe(ctx, reqs, replicas)
	}
	return n.Wipe(ctx, reqs, replicas)
}

// A20: the replica that is promoted has the fence and not its end. It keeps readers at the source until it runs out.
func TestFailoverLosesTheEndOfAFence(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		w := emptyWorld(t)
		s := &twoNodes{Store: w.store, replica: cachetest.NewStore(nil), follows: true}
		open := func() *cache.Cache {
			c, err := cache.NewWithStore(s, cache.Options{Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			return c
		}
		w.c = open()
		other := open()
		w.put(1, "old")
		w.read(1)
		synctest.Wait()
		equal(t, "the replica has it", len(s.replica.Cell(user1Key, userField)) > 0, true)
		err := w.c.Write(t.Context(), []cache.Key{users.Key(1)}, func(context.Context) (cache.Outcome, error) {
			s.set(func() { s.follows = false })
			w.put(1, "new")
			return cache.Committed, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.set(func() { s.failed = true })
		for range 40 {
			name, err := w.readCtx(t.Context(), other, users, 1)
			if name != "new" || err != nil {
				t.Fatalf("%q, %v", name, err)
			}
			pass(time.Second)
		}
		equal(t, "stored again", len(s.replica.Cell(user1Key, userField)) > 0, true)
	})
}

// A34: the answer to a GET that is on the wire may be older than a write that has returned since. A reader who comes then
// asks for itself.
func TestPlainReadsAreNotShared(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{RedisBudget: time.Minute})
		other := w.process(cache.Options{})
		w.put(1, "old")
		w.read(1)
		synctest.Wait()
		release := w.stop(w.after, "get") // executed, and its answer is on the wire
		first := w.startRead(1)
		synctest.Wait()
		if err := w.write(other, users, 1, "new"); err != nil {
			t.Fatal(err)
		}
		equal(t, "who comes after the write", w.read(1), "new")
		release()
		synctest.Wait()
		equal(t, "who came before it", first.name, "old")
		equal(t, "afterwards", w.read(1), "new")
	})
}

// shifted is the system's clock with an error.
type shifted struct{ by atomic.Int64 }

func (c *shifted) Now() time.Time { return time.Now().Add(time.Duration(c.by.Load())) }

func (c *shifted) Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *shifted) AfterFunc(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }

// A46: while a COMMIT is on its way Redis' clock jumps ahead. By 20 s: the fence holds, even for a COMMIT that began at the
// last moment of its guard. By more than it lives: readers may store the old value, and the end of the write voids it.
func TestRedisClockJumps(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		jump  time.Duration
		holds bool
	}{{19 * time.Second, true}, {time.Minute, false}} {
		bubble(t, func(t *testing.T) {
			w := emptyWorld(t)
			clock := new(shifted)
			w.store = cachetest.NewStore(clock)
			w.c = w.process(cache.Options{})
			other := w.process(cache.Options{})
			w.put(1, "old")
			w.read(1)
			synctest.Wait()
			err := w.c.Write(t.Context(), []cache.Key{users.Key(1)}, func(ctx context.Context) (cache.Outcome, error) {
				pass(9 * time.Second) // the guard would still let it pass
				clock.by.Store(int64(c.jump))
				_, _ = w.readCtx(ctx, other, users, 1)
				synctest.Wait()
				equal(t, "the fence holds", len(w.store.Cell(user1Key, userField)) == 0, c.holds)
				w.put(1, "new")
				return cache.Committed, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			name, _ := w.readCtx(t.Context(), other, users, 1)
			equal(t, "after the write", name, "new")
			equal(t, "fences lost", w.c.Stats().MarkersLost == 0, c.holds)
		})
	}
}

// A47: processes whose clocks are hours apart, from each other and from Redis'.
func TestClocksOfProcessesMayDiffer(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		w := emptyWorld(t)
		var caches []*cache.Cache
		for _, by := range []time.Duration{0, -7 * time.Hour, 7 * time.Hour} {
			clock := new(shifted)
			clock.by.Store(int64(by))
			caches = append(caches, w.process(cache.Options{Clock: clock}))
		}
		w.put(1, "0")
		for i := range 9 {
			want := string(rune('a' + i))
			if err := w.write(caches[i%3], users, 1, want); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			for _, c := range caches {
				name, _ := w.readCtx(t.Context(), c, users, 1)
				equal(t, "read", name, want)
				synctest.Wait()
			}
			before := w.loads.Load()
			for _, c := range caches {
				name, _ := w.readCtx(t.Context(), c, users, 1)
				equal(t, "hit", name, want)
			}
			equal(t, "loads", w.loads.Load(), before)
		}
		if left := w.store.TTL(user1Key); left <= 0 || left > time.Minute {
			t.Errorf("the key lives for another %s, of a minute", left)
		}
	})
}

// A61: two clones of a process ask for a lease with one nonce. They get one lease, both may load under it, and only one fill is
// stored; once anything has voided the key, neither is.
func TestClonesDrawTheSameNumbers(t *testing.T) {
	t.Parallel()
	_, rdb := newRedis(t)
	for name, s := range map[string]cache.Store{"memory": cachetest.NewStore(nil), "redis": cache.NewRedisStore(rdb, false)} {
		at := cache.CellRef{Key: "k", Field: "f"}
		acquire := func() cache.AcquireReply {
			return s.Acquire(t.Context(), []cache.AcquireRequest{{CellRef: at, Nonce: "same", Lease: time.Minute, MaxCells: 9}})[0]
		}
		fill := func(lease []byte, cell string) bool {
			r := s.Fill(t.Context(), []cache.FillRequest{{CellRef: at, Lease: lease, Cell: []byte(cell), TTL: time.Minute}})[0]
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			return r.Stored
		}
		a, b := acquire(), acquire()
		equal(t, name+": one fill", fill(a.Cell, "Va") != fill(b.Cell, "Vb"), true)
		s.Wipe(t.Context(), []cache.WipeRequest{{Key: "k"}}, 0)
		a = acquire()
		s.Wipe(t.Context(), []cache.WipeRequest{{Key: "k"}}, 0)
		b = acquire()
		equal(t, name+": the old lease", fill(a.Cell, "Va"), false)
		equal(t, name+": the new one", fill(b.Cell, "Vb"), true)
	}
}

// A14, A53, A62: what every script must keep to.
func TestScriptsKeepTheRules(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("scripts/*.lua")
	if err != nil || len(files) == 0 {
		t.Fatal(errors.Join(err, errors.New("no scripts")))
	}
	call := regexp.MustCompile(`redis\.p?call\('(\w+)',?\s*([^,)]*)`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if regexp.MustCompile(`KEYS\[([^1]|1\d)`).Match(text) {
			t.Errorf("%s has more than one key: a cluster that moves its slot would refuse it", file)
		}
		for _, m := range call.FindAllStringSubmatch(string(text), -1) {
			switch name, key := m[1], m[2]; {
			case name == "TIME" || name == "PUBLISH": // of a channel, which has no slot
			case name == "DEL":
				t.Errorf("%s frees a key in the foreground", file)
			case key != "k" && key != "KEYS[1]":
				t.Errorf("%s calls %s on %s, want its key", file, name, key)
			}
		}
	}
}
