package sim

import (
	"sort"
	"strings"
	"time"

	"github.com/pgaside/pgaside/cache"
)

// happens lets happen what is to happen before a step, and reports whether anything did.
func (w *world) happens(s *step) bool {
	any := false
	if w.frac(s.name, "tick") < w.tr.ticks && !w.cfg.Without["tick @ "+s.name] {
		w.mu.Lock()
		w.result.Used = append(w.result.Used, "tick @ "+s.name)
		d := w.tr.waits[w.intn(s.name, "how long", len(w.tr.waits))]
		w.logf("    %s pass before %s", d, s.name)
		w.mu.Unlock()
		w.pass(d)
		any = true
	}
	for _, f := range []struct {
		name string
		do   func(at string)
	}{
		{"replicate", func(string) { w.replicate() }},
		{"evict", w.evict},
		{"flush", func(string) { w.flush() }},
		{"failover", func(string) { w.failover() }},
		{"jump", w.jump},
		{"damage", w.damage},
		{"crash", w.crash},
		{"outage", func(at string) { w.clients[w.intn(at, "who", len(w.clients))].out = 5 + w.intn(at, "how many", 12) }},
		{"outage of reads", func(at string) { w.clients[w.intn(at, "who", len(w.clients))].outGet = 5 + w.intn(at, "how many", 8) }},
	} {
		if w.tr.happen[f.name] == 0 {
			continue
		}
		w.mu.Lock()
		if w.fault(w.tr.happen[f.name], f.name, s.name) {
			w.logf("    %s before %s", f.name, s.name)
			f.do(s.name)
			any = true
		}
		w.mu.Unlock()
	}
	w.mu.Lock()
	often := w.tr.happen["pause"]
	if often > 0 && (strings.HasSuffix(s.name, ".commit>") || strings.Contains(s.name, ".after-fence#")) {
		often = 0.4
	}
	pause := s.c != nil && !s.c.dead && w.fault(often, "pause", s.name)
	if pause { // the process stands still, and the world goes on
		s.c.frozen = 10 + w.intn(s.name, "steps", 60)
		w.logf("    %s stands still before %s", s.c.name, s.name)
		for _, wr := range w.open {
			if wr.c == s.c && wr.unguarded { // nothing keeps its commit from coming when the fence has run out
				wr.unrenewed = true
			}
		}
	}
	w.mu.Unlock()
	if pause {
		w.pass([]time.Duration{12 * time.Second, 31 * time.Second, 45 * time.Second}[w.intn(s.name, "pause", 3)])
		any = true
	}
	return any
}

func (w *world) redisKeys() []string {
	var keys []string
	for _, k := range w.keys {
		keys = append(keys, k.redis)
	}
	keys = append(keys, namespace+":{~epoch}")
	for _, g := range w.tr.groups {
		keys = append(keys, namespace+":{~epoch:"+g.Name()+"}")
	}
	return keys
}

func (w *world) evict(at string) {
	keys := w.redisKeys()
	key := keys[w.intn(at, "key", len(keys))]
	w.store.Evict(key)
	w.fencesLost(func(k string, _ int) bool { return k == key })
}

func (w *world) flush() {
	w.store.Flush()
	w.fencesLost(func(string, int) bool { return true })
}

// jump moves Redis' clock forward, so that what ends by it ends early.
func (w *world) jump(at string) {
	d := []time.Duration{time.Second, 5 * time.Second, 31 * time.Second}[w.intn(at, "how far", 3)]
	w.clock.jump(d)
	for _, wr := range w.open {
		if wr.jumped += d; wr.jumped > 9*time.Second { // beyond the margin of the guard
			for k := range wr.marked {
				wr.lost[k] = true
			}
		}
	}
}

func (w *world) replicate() {
	w.restore, w.restoreQ = w.store.Snapshot(), w.q
}

// failover promotes the replica: what has come since its copy was made is lost.
func (w *world) failover() {
	w.restore()
	w.logf("    to the copy of step %d", w.restoreQ)
	since := w.restoreQ
	// A strict fence was acknowledged by the replica, or its write has failed.
	w.fencesLost(func(key string, q int) bool { return q > since && w.byRedis[key].mode != cache.Strict })
	for _, wr := range w.open {
		wr.failedOver = wr.failedOver || time.Since(wr.asked) >= commitGuard
	}
	for _, versions := range w.rows {
		for _, v := range versions {
			for k, st := range v.st {
				if st.firm && st.by > since {
					st.firm, st.ttlOnly = false, true
					w.unclean[k] = true
				}
				if st.epochBy > since {
					st.epoch, st.ttlOnly = time.Time{}, true
				}
			}
		}
	}
	for _, c := range w.clients {
		clear(c.floor)
	}
	for rd := range w.reading { // it reads what is there now
		rd.floor = min(rd.floor, w.floorOf(rd.k))
	}
}

// fencesLost notes which open writes a fault has robbed of their fences.
func (w *world) fencesLost(lost func(key string, marked int) bool) {
	for _, wr := range w.open {
		for k, q := range wr.marked {
			if lost(k, q) {
				wr.lost[k] = true
			}
		}
	}
}

// damage changes a digit of a stored value.
func (w *world) damage(at string) {
	k := w.keys[w.intn(at, "key", len(w.keys))]
	fields := w.store.Fields(k.redis)
	sort.Strings(fields)
	for _, f := range fields {
		if cell := w.store.Cell(k.redis, f); len(cell) > 24 && cell[0] == 'V' {
			cell[len(cell)-3] ^= 1 // {"ID":0,"V":3} and a line feed
			w.store.SetCell(k.redis, f, cell)
		}
	}
}

// crash kills a process. What it has sent may still arrive.
func (w *world) crash(at string) {
	c := w.clients[w.intn(at, "who", len(w.clients))]
	if c.dead {
		return
	}
	c.dead = true
	w.logf("    %s dies", c.name)
	for _, wr := range w.open {
		if wr.c == c {
			wr.unrenewed = true
		}
	}
	var left []*step
	for _, s := range w.pending {
		if s.c != c {
			left = append(left, s)
		}
	}
	gone := w.pending
	w.pending = left
	for _, s := range gone {
		if s.c == c {
			s.run()
		}
	}
	for _, cn := range c.conns {
		cn.breakOff()
	}
	go c.cache.Close() //nolint:errcheck // ends its background work
}

// visible makes a commit visible.
func (w *world) visible(wr *write) {
	wr.state = commitDone
	if wr.begun.IsZero() {
		wr.begun = time.Now()
	}
	v := &version{n: len(w.rows[wr.row]), at: time.Now(), q: w.q, w: wr, st: make(map[string]*status)}
	wr.v = v
	w.rows[wr.row] = append(w.rows[wr.row], v)
	late := time.Since(wr.begun)
	for _, k := range w.keys {
		if k.row != wr.row {
			continue
		}
		// A COMMIT that hangs for longer than its fence lives is hidden for as long as the fence is renewed. Nobody waits for
		// the replica to have a renewal: COMMIT is on its way.
		if wr.fence && late > commitGuard && (wr.unrenewed || wr.failedOver) {
			wr.lost[k.redis] = true
		}
		if _, marked := wr.marked[k.redis]; wr.unasked && !marked && k.mode != cache.AfterCommit {
			wr.failed[k.redis] = true
		}
		st := &status{by: wr.marked[k.redis], ttlOnly: wr.c == nil}
		st.firm = wr.fence && !wr.whole && k.mode != cache.AfterCommit && !wr.failed[k.redis] && !wr.lost[k.redis]
		st.since = time.Now()
		if k.mode == cache.Strict && st.firm {
			st.by = 0 // the replica has it as well
		}
		if k.mode == cache.Strict && wr.failed[k.redis] {
			w.fail("strict", "%s was committed without its fence", wr.name)
		}
		v.st[k.redis] = st
		if !st.firm {
			w.unclean[k.redis] = true
		}
	}
	w.logf("    row %d is now version %d, by %s", wr.row, v.n, wr.name)
}
