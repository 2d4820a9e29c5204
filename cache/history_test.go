package cache_test

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/pgaside/pgaside/cache"
)

// register is a source whose versions only grow.
type register struct {
	mu       sync.Mutex
	version  int
	finished int // the newest version that a finished write or read has seen
}

func randomHistory(t *testing.T, seed uint64) {
	const processes, actors, steps, keys = 3, 6, 60, 2
	w := emptyWorld(t)
	rng := rand.New(rand.NewPCG(seed, 1))
	var rngMu sync.Mutex
	chance := func(n int) int {
		rngMu.Lock()
		defer rngMu.Unlock()
		return rng.IntN(n)
	}
	var caches []*cache.Cache
	for range processes {
		caches = append(caches, w.process(cache.Options{RedisBudget: time.Second, FenceBudget: time.Minute}))
	}
	delay := func(context.Context, []string) error {
		time.Sleep(time.Duration(chance(2000)) * time.Microsecond)
		return nil
	}
	for _, op := range everyOp {
		w.onBefore(op, delay)
		w.onAfter(op, delay)
	}
	w.onAfter("get", func(ctx context.Context, keys []string) error {
		if chance(50) == 0 {
			for _, k := range w.store.Keys() {
				if w.store.Fences(k) == 0 { // cells and leases may go at any time
					w.store.Evict(k)
				}
			}
		}
		return delay(ctx, keys)
	})
	var registers [keys]register
	load := func(ctx context.Context, key int) (user, error) {
		_ = delay(ctx, nil)
		r := &registers[key]
		r.mu.Lock()
		v := r.version
		r.mu.Unlock()
		_ = delay(ctx, nil)
		return user{int64(key), strconv.Itoa(v)}, nil
	}
	var wg sync.WaitGroup
	for range actors {
		wg.Go(func() {
			for range steps {
				c, key := caches[chance(processes)], chance(keys)
				r := &registers[key]
				if chance(5) == 0 {
					var mine int
					err := c.Write(t.Context(), []cache.Key{users.Key(int64(key))}, func(context.Context) (cache.Outcome, error) {
						_ = delay(t.Context(), nil)
						if chance(4) == 0 {
							return cache.RolledBack, nil
						}
						r.mu.Lock()
						r.version++
						mine = r.version
						r.mu.Unlock()
						_ = delay(t.Context(), nil)
						return cache.Committed, nil
					})
					if err != nil {
						t.Error(err)
					}
					r.mu.Lock()
					r.finished = max(r.finished, mine)
					r.mu.Unlock()
					continue
				}
				r.mu.Lock()
				floor := r.finished
				r.mu.Unlock()
				var got user
				var err error
				if chance(3) > 0 {
					got, err = cache.Read(t.Context(), c, users.Key(int64(key)), getUser.Cell(), func(ctx context.Context) (user, error) { return load(ctx, key) })
				} else {
					var rows []user
					rows, err = cache.ReadMany(t.Context(), c, []int64{int64(key), 77}, users.Key, listUsers.Cell(), func(u user) int64 { return u.ID },
						func(ctx context.Context, missing []int64) ([]user, error) {
							if missing[0] == 77 {
								return nil, nil
							}
							u, err := load(ctx, key)
							return []user{u}, err
						})
					if len(rows) == 1 {
						got = rows[0]
					}
				}
				seen, convErr := strconv.Atoi(got.Name)
				if err != nil || convErr != nil {
					t.Errorf("%+v, %v", got, err)
					continue
				}
				r.mu.Lock()
				if seen < floor {
					t.Errorf("key %d: read %d, and %d had been seen before it began", key, seen, floor)
				}
				r.finished = max(r.finished, seen)
				r.mu.Unlock()
			}
		})
	}
	wg.Wait()
	pass(time.Minute)
	for key := range registers {
		for _, c := range caches {
			got, err := cache.Read(t.Context(), c, users.Key(int64(key)), getUser.Cell(), func(ctx context.Context) (user, error) { return load(ctx, key) })
			if err != nil || got.Name != strconv.Itoa(registers[key].version) {
				t.Errorf("key %d: in the end %+v, %v, want %d", key, got, err, registers[key].version)
			}
			pass(time.Second)
		}
	}
}
