package sim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/pgfence"
)

// The bound on every read. A version is firm under a key from the moment on at which nothing older may be read any more:
//
//   - of a fenced write: when it becomes visible in the database, if its fence was acknowledged and no fault has taken it away;
//   - when it has been acknowledged to its writer, unless a fault has kept Redis from being told;
//   - in any case when the key has been wiped since it became visible (L1), two seconds after the group was voided since,
//     and when the TTL has passed since.
//
// Where copies are kept in the process (near), all that comes true by their age later.
//
// A failover to an older copy takes that back for what Redis was told after the copy: the TTL remains. A client's own reads
// must see what it has written itself, also when Redis could not be told of it.

// status is what one version is worth under one key.
type status struct {
	firm    bool
	since   time.Time // when it became firm
	by      int       // the step that made it firm: what a failover may undo; 0: none can
	epoch   time.Time // when the bound on a voided group has passed; zero: it was not voided
	epochBy int
	ttlOnly bool // a fault has left nothing but the TTL
}

const epochBound = 2 * time.Second

func (w *world) isFirm(v *version, key string) bool {
	st := v.st[key]
	now := time.Now().Add(-w.byRedis[key].near)
	return st.firm && !now.Before(st.since) || !st.epoch.IsZero() && !now.Before(st.epoch) || !now.Before(v.at.Add(w.ttl()+w.fillLag))
}

// floorOf is the oldest version that may be read of a key from now on.
func (w *world) floorOf(k *keyName) int {
	versions := w.rows[k.row]
	for i := len(versions) - 1; i > 0; i-- {
		if w.isFirm(versions[i], k.redis) {
			return i
		}
	}
	return 0
}

// each calls f with the versions that a key has had.
func (w *world) each(key string, f func(*version, *status)) {
	k := w.byRedis[key]
	if k == nil {
		return
	}
	for _, v := range w.rows[k.row] {
		f(v, v.st[key])
	}
}

// firm notes that nothing older may be read from now on.
func (w *world) firm(st *status) { st.firm, st.since, st.by = true, time.Now(), w.q }

// wiped notes that a key is voided in Redis.
func (w *world) wiped(r cache.WipeRequest) {
	w.each(r.Key, func(_ *version, st *status) {
		if !st.firm {
			w.firm(st)
		}
	})
	if wr := w.tokens[r.Add]; wr != nil && r.Add != "" {
		if _, known := wr.marked[r.Key]; !known {
			wr.marked[r.Key] = w.q
		}
	}
}

// toldOfWipe notes what the engine was told of a fence or an invalidation.
func (w *world) toldOfWipe(c *client, reqs []cache.WipeRequest, err error) {
	switch fence, end := reqs[0].Add != "", reqs[0].Remove != ""; {
	case fence && err != nil:
		c.failed++
	case err == nil && !end: // a fence, or what was pending
		c.failed = 0
	}
	if err == nil {
		return
	}
	for _, r := range reqs {
		if wr := w.tokens[r.Add]; wr != nil && r.Add != "" {
			wr.failed[r.Key] = true
			continue
		}
		if r.Remove != "" {
			continue
		}
		// An invalidation: of whichever change of this client it was.
		w.each(r.Key, func(v *version, _ *status) {
			if v.w != nil && v.w.c == c {
				v.w.failed[r.Key] = true
			}
		})
	}
}

// bumped notes that a group is voided in Redis.
func (w *world) bumped(group string) {
	for _, k := range w.keys {
		if k.group.Name() != group {
			continue
		}
		w.each(k.redis, func(_ *version, st *status) {
			if st.epoch.IsZero() {
				st.epoch, st.epochBy = time.Now().Add(epochBound), w.q
			}
		})
	}
}

// acknowledged notes that a change has returned.
func (w *world) acknowledged(wr *write, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if wr.c.dead {
		return
	}
	wr.returned = true
	w.result.Writes++
	w.logf("    %s has returned: %v", wr.name, err)
	if wr.state != commitDone && err == nil {
		w.fail("ack", "%s was acknowledged and not committed", wr.name)
	}
	if wr.state == commitDone && rolledBack(err) {
		w.fail("ack", "%s was committed, and said to be rolled back: %v", wr.name, err)
	}
	if errors.Is(err, cache.ErrOutcomeUnknown) && !wr.resolved {
		wr.sourced = true
		w.sourceOnly(wr, 1)
	}
	pending := errors.Is(err, cache.ErrInvalidationPending)
	if wr.v == nil || err != nil && !pending {
		return
	}
	wr.end = w.event() + 1
	for _, k := range w.keys {
		if k.row != wr.row {
			continue
		}
		st := wr.v.st[k.redis]
		excused := wr.failed[k.redis] || wr.lost[k.redis] || st.ttlOnly || pending
		// In a transaction from elsewhere they are invalidated when the watcher has seen the commit, and nobody waits for it.
		later := wr.unguarded && k.mode == cache.AfterCommit
		if !st.firm && !excused && !later {
			if !wr.whole {
				w.firm(st)
			} else if st.epoch.IsZero() {
				st.epoch, st.epochBy = time.Now().Add(epochBound), w.q
			}
		}
		// Its own process knows, unless a fence that it believes to be there was taken away. Nor does it after a failover.
		if !wr.lost[k.redis] && !st.ttlOnly {
			wr.c.floor[k.redis] = max(wr.c.floor[k.redis], wr.v.n)
		}
	}
}

// rolledBack reports whether an error says that nothing was committed.
func rolledBack(err error) bool {
	var pgErr *pgconn.PgError
	return err != nil && !errors.Is(err, cache.ErrOutcomeUnknown) &&
		(errors.Is(err, pgfence.ErrCommitTooLate) || errors.Is(err, cache.ErrFence) || errors.Is(err, pgx.ErrTxCommitRollback) ||
			errors.Is(err, errChangedMind) || errors.As(err, &pgErr) && pgErr.SeverityUnlocalized == "ERROR")
}

// recovered notes that a client whose Redis was lost has reached it again: what was stored before it does not use.
func (w *world) recovered(c *client, latest []int) {
	c.failed = 0
	for _, k := range w.keys {
		c.floor[k.redis] = max(c.floor[k.redis], latest[k.row])
	}
}

// reading is one read on its way.
type reading struct {
	c       *client
	op      string
	k       *keyName
	floor   int
	why     string
	started int
}

// event numbers the starts and ends of operations: those of one step are at the same time.
func (w *world) event() int { return 2 * w.q }

func (w *world) begin(c *client, op string, k *keyName) *reading {
	rd := &reading{c: c, op: op, k: k, floor: w.floorOf(k), why: "nothing older may be read any more", started: w.event()}
	if own := c.floor[k.redis]; own > rd.floor {
		rd.floor, rd.why = own, "its own process has written it, or has been without Redis since"
	}
	if c.source[k.redis] > 0 {
		if n := w.latest(k.row).n; n > rd.floor {
			rd.floor, rd.why = n, "the outcome of a commit is open, so that it must come from the source"
		}
	}
	if c.standby { // it answers for itself
		rd.floor = 0
	}
	w.reading[rd] = true
	return rd
}

// finish checks what a read has returned.
func (w *world) finish(rd *reading, n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.reading, rd)
	if rd.c.dead {
		return
	}
	w.result.Reads++
	latest := w.latest(rd.k.row).n
	w.logf("    %s.%s has read version %d of %s, %v (from %d to %d)", rd.c.name, rd.op, n, rd.k.redis, err, rd.floor, latest)
	if errors.Is(err, pgx.ErrNoRows) {
		for n = rd.floor; n <= latest && !w.rows[rd.k.row][n].gone(); n++ {
		}
		if n > latest {
			w.fail("bound", "%s.%s: %s is not there, and no version from %d to %d is like that: %s", rd.c.name, rd.op, rd.k.redis, rd.floor, latest, rd.why)
			return
		}
		w.record(rd, -1)
		return
	}
	if err != nil {
		if !(w.troubled && errors.Is(err, errSource)) && !(w.troubled && errors.Is(err, errReset)) && !errors.Is(err, context.DeadlineExceeded) {
			w.fail("error", "%s.%s failed: %v", rd.c.name, rd.op, err)
		}
		return
	}
	if n < rd.floor {
		w.fail("bound", "%s.%s has read version %d of %s, and %d is due: %s", rd.c.name, rd.op, n, rd.k.redis, rd.floor, rd.why)
	}
	if n > latest || n >= 0 && n < len(w.rows[rd.k.row]) && w.rows[rd.k.row][n].gone() {
		w.fail("invented", "%s.%s has read version %d of %s, and %d is the latest", rd.c.name, rd.op, n, rd.k.redis, latest)
	}
	w.record(rd, n)
}

// checkRest is what must hold when everything has come to rest: what is read is what the database has, and a key can be
// cached again.
func (w *world) checkRest() {
	w.pass(62 * time.Second) // fences end, what is pending is drained, Redis is asked again
	w.mu.Lock()
	for _, k := range w.keys {
		w.each(k.redis, func(v *version, st *status) {
			switch {
			case st.firm || v.w == nil:
			case st.ttlOnly || v.w.c == nil || v.w.c.dead: // until the TTL
			case v.w.whole && !v.w.returned: // its writer was never told
			default:
				st.firm = true // and was long ago
			}
		})
	}
	w.mu.Unlock()
	fresh := w.newClient("fresh", false)
	w.clients = append(w.clients, fresh)
	for _, wait := range []bool{false, true} {
		if wait {
			w.pass(w.ttl() + w.fillLag)
		}
		for _, c := range w.clients {
			if c.dead || c.standby {
				continue
			}
			for _, k := range w.keys {
				w.readAtRest(c, k, wait)
				if w.result.Violation != nil {
					return
				}
			}
		}
	}
}

func (w *world) readAtRest(c *client, k *keyName, again bool) {
	queries := []cache.Cell[row]{getRow.Cell(), nestedRow.Cell(), getRow.Cell(0), getRow.Cell(1), getRow.Cell(2), getRow.Cell(3)}
	for i, cell := range queries {
		if i == 1 && (len(w.tr.groups) < 2 || k.group != w.tr.groups[0]) {
			continue
		}
		if i > 1 && (c.name != "fresh" || again) {
			break
		}
		loads := w.counts["loads at rest"]
		once := func() {
			w.mu.Lock()
			rd := w.begin(c, "rest", k)
			w.mu.Unlock()
			v, err := pgfence.Read(context.Background(), c.db, k.group.Key(k.row), cell, loader(k.row))
			w.finish(rd, v.V, err)
			synctest.Wait()
		}
		before := w.result.Violation
		once()
		if before == nil && w.result.Violation != nil && w.result.Violation.Check == "bound" {
			w.result.Violation.Check = "rest"
		}
		if w.result.Violation == nil && w.counts["loads at rest"] > loads { // it was not cached: now it must be
			loads = w.counts["loads at rest"]
			once()
			if w.counts["loads at rest"] > loads {
				w.fail("usable", "%s: %s cannot be cached any more", c.name, k.redis)
			}
		}
	}
}

// Event is one operation of a history.
type Event struct {
	Client     int
	Write      bool
	Version    int // -1: the row was not there
	Start, End int // in half steps
}

func (e Event) String() string {
	what := "reads"
	if e.Write {
		what = "writes"
	}
	return fmt.Sprintf("[%d, %d] client %d %s %d", e.Start, e.End, e.Client, what, e.Version)
}

func (w *world) record(rd *reading, n int) {
	if rd.c.standby {
		return
	}
	w.history[rd.k.redis] = append(w.history[rd.k.redis], Event{
		Client: actorOf(rd.op), Version: n, Start: rd.started, End: w.event() + 1,
	})
}

func actorOf(op string) int {
	n := 0
	_, _ = fmt.Sscanf(strings.TrimPrefix(op, "a"), "%d", &n)
	return n
}

const openEnd = 1 << 40

// finishHistory checks the histories of the keys of which linearizability is promised, without asking the database.
func (w *world) finishHistory() {
	w.result.History = make(map[string][]Event)
	for _, k := range w.keys {
		if w.unclean[k.redis] || w.result.Violation != nil {
			continue
		}
		h := w.history[k.redis]
		for _, v := range w.rows[k.row][1:] {
			h = append(h, Event{Client: 1000 + v.n, Write: true, Version: v.n, Start: v.w.started, End: w.ends(v)})
		}
		w.result.History[k.redis] = h
		if err := CheckFloor(h); err != nil {
			w.fail("floor", "%s: %v", k.redis, err)
		}
	}
}

// ends is when a write was over for who made it.
func (w *world) ends(v *version) int {
	if v.w.end == 0 {
		return openEnd
	}
	return v.w.end
}
