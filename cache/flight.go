package cache

import "sync"

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

	loading chan struct{} // closed when Redis has granted the lease and the load begins
	loaded  chan struct{} // closed when the leader's own value is there
	done    chan struct{} // closed when the fill has been answered, or there is none

	// Written before loaded is closed, read by the leader after it.
	err     error
	outcome ReadOutcome
	panic   any // of the load, to be raised again in its reader
	// Written before done is closed, read after it.
	unshared bool // the load failed, or its result cannot be stored: there will be nothing to share
	stored   bool
	entry    entry
	fallback bool // Redis gave no lease: go on from the source
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

// end removes the flight and wakes everybody who still waits for it.
func (f *flights) end(fl *flight) {
	f.mu.Lock()
	fl.closed = true
	delete(f.m, fl.key)
	f.mu.Unlock()
	for _, ch := range []chan struct{}{fl.loading, fl.loaded, fl.done} {
		select {
		case <-ch:
		default:
			close(ch)
		}
	}
}
