package cache

import (
	"context"
	"fmt"
	"sync"
)

// slots coalesces the loads that run because Redis could not answer. For each cell one load runs and one waits; a reader
// may only join the one that has not started, so that what it gets was read after it came. In this way a herd costs the
// source two loads at a time and nobody is told something old.
type slots struct {
	mu sync.Mutex
	m  map[CellRef]slot // of the cells that a load runs for
}

type slot struct {
	next *batch // waits for the running load to end; nil when nobody does
}

type batch struct {
	turn    chan struct{} // closed when the batch's leader may start
	done    chan struct{} // closed when the batch is over
	joiners int           // guarded by slots.mu
	started bool          // guarded by slots.mu

	// Written before done is closed.
	shared bool // entry or err is for the joiners; otherwise they start over
	alone  bool // the result cannot be shared: the joiners load it, each for itself
	entry  entry
	err    error
}

// fallback loads from the source without filling.
func (r *read) fallback(ctx context.Context) (ReadOutcome, error) {
	for {
		b, state := r.c.slots.enter(r.ref)
		switch state {
		case slotFree:
			return ReadBypass, r.runSlot(ctx, nil)

		case slotLeads:
			select {
			case <-b.turn:
				return ReadBypass, r.runSlot(ctx, b)
			case <-ctx.Done():
				r.c.slots.leave(r.ref, b)
				return ReadBypass, r.overloaded(ctx)
			}

		case slotJoins:
			select {
			case <-b.done:
			case <-ctx.Done():
				if r.c.slots.hasStarted(b) {
					return ReadBypass, ctx.Err()
				}
				return ReadBypass, r.overloaded(ctx)
			}
			if b.alone {
				return ReadBypass, r.loadAlone(ctx)
			}
			if !b.shared {
				continue
			}
			if b.err != nil {
				return ReadBypass, b.err
			}
			if err := r.use(b.entry); err != nil {
				// What was encoded a moment ago does not decode: load it.
				r.c.failed("sharing a load", &classedError{ErrorSerialization, err})
				return ReadBypass, r.loadAlone(ctx)
			}
			if b.entry.negative {
				return ReadBypass, r.qs.opts.NoRows
			}
			return ReadBypass, nil
		}
	}
}

// runSlot runs the load of a slot; b is the batch that waits for its result, nil when nobody could join.
func (r *read) runSlot(ctx context.Context, b *batch) (err error) {
	start := func() { // as late as can be: who waits for a turn at the source may still be joined
		if b != nil {
			r.c.slots.start(r.ref, b)
		}
	}
	defer func() {
		r.c.slots.exit(r.ref)
		if b != nil {
			close(b.done)
		}
	}()
	r.fallbackState.noFill.Store(false)
	ran, err := r.loadBounded(ctx, &r.fallbackState, start)
	if b == nil || b.joiners == 0 || !ran || ctx.Err() != nil {
		return err
	}
	e, encErr := r.encode(err)
	switch {
	case r.fallbackState.noFill.Load():
		b.alone = true
	case encErr == nil:
		b.entry, b.shared = e, true
	case err != nil: // an error of the source, asked for after every joiner had come
		b.err, b.shared = err, true
	default:
		b.alone = true
	}
	return err
}

// loadAlone is for a result that nobody can share.
func (r *read) loadAlone(ctx context.Context) error {
	_, err := r.loadBounded(ctx, new(loadState), func() {})
	return err
}

// loadBounded runs the load when the source has room for it, and reports whether it did. start is called before the load, or
// when there will be none.
func (r *read) loadBounded(ctx context.Context, ls *loadState, start func()) (ran bool, err error) {
	if !r.c.sem.TryAcquire(1) {
		if r.c.sem.Acquire(ctx, 1) != nil {
			start()
			return false, r.overloaded(ctx)
		}
	}
	defer r.c.sem.Release(1)
	start()
	return true, r.runLoad(context.WithValue(ctx, loadKey{}, ls))
}

func (r *read) overloaded(ctx context.Context) error {
	r.c.counts.overloaded.Add(1)
	return fmt.Errorf("%w: %w", ErrOverloaded, ctx.Err())
}

type slotState int

const (
	slotFree  slotState = iota // nothing runs: the caller runs
	slotLeads                  // the caller leads the batch that waits
	slotJoins                  // the caller joined the batch that waits
)

func (s *slots) enter(ref CellRef) (*batch, slotState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sl, runs := s.m[ref]
	if !runs {
		if s.m == nil {
			s.m = make(map[CellRef]slot)
		}
		s.m[ref] = slot{}
		return nil, slotFree
	}
	if sl.next == nil {
		sl.next = &batch{turn: make(chan struct{}), done: make(chan struct{})}
		s.m[ref] = sl
		return sl.next, slotLeads
	}
	sl.next.joiners++
	return sl.next, slotJoins
}

// start closes a batch to further joiners: its load begins.
func (s *slots) start(ref CellRef, b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.started = true
	if sl := s.m[ref]; sl.next == b {
		s.m[ref] = slot{}
	}
}

func (s *slots) hasStarted(b *batch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return b.started
}

// exit ends a slot's running load and gives the turn to the batch that waits.
func (s *slots) exit(ref CellRef) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pass(ref)
}

func (s *slots) pass(ref CellRef) {
	if sl := s.m[ref]; sl.next != nil {
		close(sl.next.turn)
		return
	}
	delete(s.m, ref)
}

// leave is called by a batch's leader that does not wait for its turn any more. Its joiners start over.
func (s *slots) leave(ref CellRef, b *batch) {
	s.mu.Lock()
	s.m[ref] = slot{}
	select {
	case <-b.turn: // the turn had come: pass it on
		s.pass(ref)
	default:
	}
	s.mu.Unlock()
	close(b.done)
}
