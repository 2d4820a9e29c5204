package cache

import (
	"context"
	"sync"
)

// flights holds the loads under a lease that this process makes. A reader may take the value of somebody else's load only if
// it joined before the fill was sent, and the fill was stored (protocol 4.4). Then no write became visible between the lease's
// grant and the fill, so that the value is the source's at a time within the reader's own wait. Without the first condition a
// reader that starts after a write has returned could join a load that began before it: the fill was accepted, the write came
// after, and the reply was still on its way. That a reader has looked for itself first only saves the load: of a cold key it
// has not.
type flights struct {
	mu sync.Mutex
	m  map[flightKey]*flight
}

// flightKey has the epochs' stamp in it: who knows of another epoch than the leader may not take the leader's value.
type flightKey struct {
	CellRef
	stamp uint32
}

type flight struct {
	key    flightKey
	closed bool // nobody may join any more; guarded by flights.mu

	// Guarded by flights.mu.
	cancel   context.CancelFunc // of the load, once it runs
	unwanted bool               // the load is not to go on
	detached bool               // the leader has gone, and the load counts towards Cache.detached
	ended    bool

	loading chan struct{} // closed when Redis has granted the lease and the load begins
	loaded  chan struct{} // closed when the leader's own value is there
	done    chan struct{} // closed when the fill has been answered, or there is none

	leased bool // Redis has granted the lease; written before loading is closed

	// Written before loaded is closed, read by the leader after it.
	err     error
	outcome ReadOutcome
	panic   any // of the load, to be raised again in its reader
	// Written before done is closed, read after it.
	unshared bool // the load failed, or its result cannot be stored: there will be nothing to share
	stored   bool
	lost     bool // the lease was voided before the fill, or nobody knows
	entry    entry
	fallback bool // Redis gave no lease: go on from the source
	fenced   bool // because a write is in progress
}

// join returns the flight of a cell, and whether the caller is its leader. late says that the flight is past its fill: its
// value may not be used, but its end is worth waiting for.
func (f *flights) join(key flightKey) (fl *flight, leader, late bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl := f.m[key]; fl != nil {
		return fl, false, fl.closed
	}
	fl = &flight{
		key:     key,
		loading: make(chan struct{}),
		loaded:  make(chan struct{}),
		done:    make(chan struct{}),
	}
	if f.m == nil {
		f.m = make(map[flightKey]*flight)
	}
	f.m[key] = fl
	return fl, true, false
}

// close keeps further readers from joining. It comes before the fill is sent.
func (f *flights) close(fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl.closed = true
}

// begin says how the flight's load, which is about to run, is cancelled.
func (f *flights) begin(fl *flight, cancel context.CancelFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl.cancel = cancel
	if fl.unwanted {
		cancel()
	}
}

// detach leaves a flight to itself: its leader has gone, and the load is of use to others. Only so many loads may go on like
// that, or readers that give up and come back would pile up what a slow source has to do; one past the bound is cancelled, and
// who waits for it goes on from the source.
func (c *Cache) detach(fl *flight) {
	f := &c.flights
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case fl.ended:
	case c.detached.TryAcquire(1):
		fl.detached = true
	default:
		fl.unwanted = true
		if fl.cancel != nil {
			fl.cancel()
		}
	}
}

// end removes the flight and wakes everybody who still waits for it.
func (c *Cache) end(fl *flight) {
	f := &c.flights
	f.mu.Lock()
	fl.closed, fl.ended = true, true
	delete(f.m, fl.key)
	if fl.detached {
		c.detached.Release(1)
	}
	f.mu.Unlock()
	for _, ch := range []chan struct{}{fl.loading, fl.loaded, fl.done} {
		select {
		case <-ch:
		default:
			close(ch)
		}
	}
}
