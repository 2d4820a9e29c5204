package cache_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pgaside/pgaside/cache"
)

// gate is a go-redis hook that counts the commands of each round trip, and keeps them all back until it is opened.
type gate struct {
	opened chan struct{}
	open   func()

	mu    sync.Mutex
	trips []int
}

func (g *gate) pass(n int) {
	g.mu.Lock()
	g.trips = append(g.trips, n)
	g.mu.Unlock()
	<-g.opened
}

// seen returns the sizes of the round trips so far, in the order of their size.
func (g *gate) seen() []int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Sorted(slices.Values(g.trips))
}

func (g *gate) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (g *gate) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "hget" {
			g.pass(1)
		}
		return next(ctx, cmd)
	}
}

func (g *gate) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if cmds[len(cmds)-1].Name() == "hget" {
			g.pass(len(cmds))
		}
		return next(ctx, cmds)
	}
}

// readers is a store behind a gate, and those who read from it. The cell of reader i is at(i) and holds i.
type readers struct {
	*testing.T
	gate  *gate
	store cache.Store
	all   sync.WaitGroup
}

func newReaders(t *testing.T, overdue time.Duration) *readers {
	server, rdb := newRedis(t)
	for i := range 2 * cache.MaxBatch {
		server.HSet(at(i).Key, at(i).Field, fmt.Sprint(i))
	}
	opened := make(chan struct{})
	r := &readers{T: t, gate: &gate{opened: opened, open: sync.OnceFunc(func() { close(opened) })}, store: cache.NewStoreOverdue(rdb, overdue)}
	rdb.AddHook(r.gate)
	t.Cleanup(func() {
		r.all.Wait()
		if err := r.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func at(i int) cache.CellRef { return cache.CellRef{Key: fmt.Sprintf("key:%d", i), Field: "f"} }

// start lets readers from first on read, and checks what they get.
func (r *readers) start(ctx context.Context, first, n int, want error) {
	for i := first; i < first+n; i++ {
		r.all.Go(func() {
			cell, _, err := r.store.Get(ctx, at(i), nil)
			if !errors.Is(err, want) || err == nil && string(cell) != fmt.Sprint(i) {
				r.Errorf("reader %d got %q, %v", i, cell, err)
			}
		})
	}
}

func (r *readers) waitFor(what string, cond func() bool) {
	r.Helper()
	for range 10_000 {
		if cond() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	r.gate.open()
	r.Fatalf("never: %s; round trips %v", what, r.gate.seen())
}

func (r *readers) waitForTrips(want ...int) {
	r.Helper()
	r.waitFor(fmt.Sprint("round trips ", want), func() bool { return slices.Equal(r.gate.seen(), want) })
}

func (r *readers) waitForWaiting(n int) {
	r.Helper()
	r.waitFor(fmt.Sprint(n, " wait"), func() bool { return cache.Waiting(r.store) == n })
}

// singles lets as many readers read as go straight through.
func (r *readers) singles(want error) {
	r.start(r.Context(), 0, cache.MaxSingles, want)
	r.waitForTrips(1, 1, 1, 1)
}

// pipelines lets one more reader read for each pipeline that may be under way.
func (r *readers) pipelines(ctx context.Context, want error) {
	r.Helper()
	for i := range cache.MaxPipelines {
		r.start(ctx, 10+i, 1, want)
		n := cache.MaxSingles + i + 1
		r.waitFor(fmt.Sprint(n, " round trips"), func() bool { return len(r.gate.seen()) == n })
	}
}

// TestFewReadersGoStraightThrough: each in a round trip of its own, beside the others.
func TestFewReadersGoStraightThrough(t *testing.T) {
	r := newReaders(t, time.Hour)
	r.singles(nil)
	r.gate.open()
	r.all.Wait()
	r.waitForTrips(1, 1, 1, 1)
}

// TestManyReadersTravelTogether: what comes while the first are under way leaves together, and not before: so no reader is given
// an answer that was sent before it asked.
func TestManyReadersTravelTogether(t *testing.T) {
	r := newReaders(t, time.Hour)
	r.singles(nil)
	r.start(t.Context(), 4, 10, nil)
	r.waitForWaiting(10)
	r.waitForTrips(1, 1, 1, 1)
	r.gate.open()
	r.all.Wait()
	r.waitForTrips(1, 1, 1, 1, 10)
}

// TestReadersOfOneCellAreNotOne: each has a command of its own.
func TestReadersOfOneCellAreNotOne(t *testing.T) {
	r := newReaders(t, time.Hour)
	r.singles(nil)
	for range 10 {
		r.start(t.Context(), 9, 1, nil)
	}
	r.waitForWaiting(10)
	r.gate.open()
	r.all.Wait()
	r.waitForTrips(1, 1, 1, 1, 10)
}

func TestPipelinesAreBounded(t *testing.T) {
	r := newReaders(t, time.Hour)
	r.singles(nil)
	r.start(t.Context(), 4, cache.MaxBatch+7, nil)
	r.waitForWaiting(cache.MaxBatch + 7)
	r.gate.open()
	r.all.Wait()
	r.waitForTrips(1, 1, 1, 1, 7, cache.MaxBatch)
}

// TestOverduePipelineIsOvertaken: those who come do not wait for what does not come back, but they make no more than a few
// connections; the others wait until their own contexts end.
func TestOverduePipelineIsOvertaken(t *testing.T) {
	r := newReaders(t, -1) // at once
	r.singles(nil)
	r.pipelines(t.Context(), nil)
	ctx, cancel := context.WithCancel(t.Context())
	r.start(ctx, 20, 50, context.Canceled)
	r.waitForWaiting(50)
	r.waitForTrips(1, 1, 1, 1, 1, 1, 1, 1)
	cancel()
	r.gate.open()
	r.all.Wait()
	r.start(t.Context(), 30, 1, nil)
	r.all.Wait()
}

// TestReaderLeavesAPipeline: while it waits, and while the pipeline is under way. The others have their answers.
func TestReaderLeavesAPipeline(t *testing.T) {
	r := newReaders(t, -1)
	r.singles(nil)
	ctx, cancel := context.WithCancel(t.Context())
	r.pipelines(ctx, context.Canceled)
	r.start(ctx, 20, 10, context.Canceled)
	r.start(t.Context(), 40, 5, nil)
	r.waitForWaiting(15)
	r.waitForTrips(1, 1, 1, 1, 1, 1, 1, 1)
	cancel()
	left := make(chan struct{})
	go func() {
		defer close(left)
		if _, _, err := r.store.Get(ctx, at(1), nil); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the error of the context", err)
		}
	}()
	select {
	case <-left:
	case <-time.After(10 * time.Second):
		t.Error("a reader does not leave when its context ends")
	}
	r.gate.open()
	r.all.Wait()
	r.waitForTrips(1, 1, 1, 1, 1, 1, 1, 1, 5)
}

// TestStoreClosesWithReaders: Close waits for what is under way, and what comes later is answered too.
func TestStoreClosesWithReaders(t *testing.T) {
	r := newReaders(t, time.Hour)
	r.singles(nil)
	r.start(t.Context(), 10, 10, nil)
	r.waitForWaiting(10)
	closed := make(chan error)
	go func() { closed <- r.store.Close() }()
	r.gate.open()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if n := len(r.gate.seen()); n != 5 {
		t.Errorf("Close has returned after %d round trips", n)
	}
	r.start(t.Context(), 30, 10, nil)
	r.all.Wait()
}

// TestPlainKeysTravelToo: with the cell that they are read along with.
func TestPlainKeysTravelToo(t *testing.T) {
	r := newReaders(t, time.Hour)
	if err := r.store.Set(t.Context(), "plain", "7", 0); err != nil {
		t.Fatal(err)
	}
	r.singles(nil)
	for i := range 3 {
		r.all.Go(func() {
			cell, values, err := r.store.Get(t.Context(), at(10+i), []string{"plain", "none"})
			if err != nil || string(cell) != fmt.Sprint(10+i) || !slices.Equal(values, []string{"7", ""}) {
				t.Errorf("got %q, %q, %v", cell, values, err)
			}
		})
	}
	r.waitForWaiting(9)
	r.gate.open()
	r.all.Wait()
	r.waitForTrips(1, 1, 1, 1, 9)
}

// TestEachReaderGetsItsOwnCell: whatever travels with what.
func TestEachReaderGetsItsOwnCell(t *testing.T) {
	r := newReaders(t, time.Millisecond)
	r.gate.open()
	for g := range 64 {
		r.all.Go(func() {
			for i := range 50 {
				n := (7*g + i) % cache.MaxBatch
				if cell, _, err := r.store.Get(t.Context(), at(n), nil); err != nil || string(cell) != fmt.Sprint(n) {
					t.Errorf("got %q, %v, want %d", cell, err, n)
					return
				}
				if cell, _, err := r.store.Get(t.Context(), cache.CellRef{Key: at(n).Key, Field: "none"}, nil); err != nil || cell != nil {
					t.Errorf("got %q, %v, want nothing", cell, err)
					return
				}
			}
		})
	}
	r.all.Wait()
	sum, trips := 0, r.gate.seen()
	for _, n := range trips {
		sum += n
	}
	if sum != 64*50*2 || len(trips) >= sum {
		t.Errorf("%d commands in %d round trips", sum, len(trips))
	}
}
