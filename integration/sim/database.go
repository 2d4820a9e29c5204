package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pgaside/pgaside/cache"
)

// The simulated database and what stands between it and the engine: what cache/pgfence does with a COMMIT. Times are
// Postgres' own clock, which runs like everybody's.

const commitGuard = 10 * time.Second // as in cache/pgfence

var errTooLate = errors.New("sim: the commit came too late after its fence")

// version is what one commit has made of a row.
type version struct {
	n  int
	at time.Time          // when it became visible
	q  int                // the same, in steps
	w  *write             // nil: of the beginning
	st map[string]*status // by key
}

// gone reports whether the row is not there in this version.
func (v *version) gone() bool { return v.n%5 == 4 }

// write is one change of a row on its way.
type write struct {
	name  string
	c     *client // nil: made elsewhere, and nobody is told
	row   int
	whole bool // the group is voided as a whole
	fence bool // false: made elsewhere

	asked    time.Time // by the clock of the database, before the fence was asked for
	marked   map[string]int
	failed   map[string]bool // keys of which the engine was told that the fence, or the invalidation, had failed
	lost     map[string]bool // keys whose fence a fault has taken away
	jumped   time.Duration   // of Redis' clock, since
	begun    time.Time       // of COMMIT
	state    commitState
	v        *version
	started  int // step
	returned bool
	end      int // step at which it was acknowledged; 0: nobody was told

	failedOver bool // when a renewal of its fences may not have been replicated

	resolvable bool // somebody asks what became of the commit
	resolved   bool
	sourced    bool // see sourceOnly

	unasked   bool // the breaker of the writers was open: no fence was asked for
	unrenewed bool // a fault, or the death of the client, has kept a fence from being renewed
}

type commitState int

const (
	commitOpen commitState = iota
	commitDone
	commitAborted
)

func (w *world) latest(r int) *version { return w.rows[r][len(w.rows[r])-1] }

func (w *world) newWrite(c *client, op string, r int) *write {
	return &write{
		name: c.name + "." + op, c: c, row: r, started: w.event(),
		marked: make(map[string]int), failed: make(map[string]bool), lost: make(map[string]bool),
	}
}

// write is one transaction.
func (w *world) write(ctx context.Context, c *client, op string, r int, whole, dirty bool) {
	w.mu.Lock()
	wr := w.newWrite(c, op, r)
	wr.fence, wr.whole = true, whole
	var keys []cache.Key
	for _, k := range w.keys {
		if k.row == r {
			if whole {
				keys = append(keys, k.group.All())
			} else {
				keys = append(keys, k.group.Key(r))
			}
		}
	}
	w.mu.Unlock()
	if dirty { // a read of what the transaction has changed, through the cache, before its commit
		k := w.keyOf(r, w.intn(op, "dirty", len(w.tr.groups)))
		_, _ = cache.Read(ctx, c.cache, k.group.Key(r), getRow.Cell(), func(ctx context.Context) (row, error) {
			cache.NoFill(ctx)
			_, err := w.load(ctx, c, r)
			return row{r, uncommitted + w.intn(op, "uncommitted", 100)}, err
		})
	}
	w.mu.Lock()
	if c.dead {
		w.mu.Unlock()
		return
	}
	wr.asked, wr.unasked = time.Now(), c.failed >= writersBreaker
	w.open = append(w.open, wr)
	w.mu.Unlock()
	err := c.cache.Write(context.WithValue(ctx, writeKey{}, wr), keys, func(context.Context) (cache.Outcome, error) { return w.commit(wr) })
	w.acknowledged(wr, err)
}

type writeKey struct{}

// writersBreaker is how many fences in a row have to fail before a client does not ask for any.
const writersBreaker = 5

const uncommitted = 1 << 20

// marking notes that the fences of a write are asked for.
func (w *world) marking(ctx context.Context, _ *client, reqs []cache.WipeRequest) {
	if wr, ok := ctx.Value(writeKey{}).(*write); ok {
		w.tokens[reqs[0].Add] = wr
	}
}

type commitFate int

const (
	commitOK         commitFate = iota
	commitFails                 // rolled back, and said so
	commitReset                 // done, and the answer is lost
	commitNever                 // never arrived, and nobody knows
	commitLate                  // the connection breaks, and the backend goes on
	commitSlow                  // takes its time
	commitUnresolved            // like commitLate, and nobody can find out
)

func (w *world) commitFate(name string) commitFate {
	x := w.frac(name, "fate")
	if w.tr.hang && w.frac(name, "hangs") < 0.5 {
		return commitSlow
	}
	switch {
	case x < 0.62:
		return commitOK
	case x < 0.70:
		return commitFails
	case x < 0.74:
		return commitReset
	case x < 0.77:
		return commitNever
	case x < 0.86:
		return commitLate
	case x < 0.98:
		return commitSlow
	}
	return commitUnresolved
}

// commit sends the guard and COMMIT in one message.
func (w *world) commit(wr *write) (cache.Outcome, error) {
	type answer struct {
		o   cache.Outcome
		err error
	}
	c := wr.c
	w.mu.Lock()
	if c.dead {
		wr.state = commitAborted
		w.mu.Unlock()
		return cache.RolledBack, errDead
	}
	reply := make(chan answer, 1)
	if w.cfg.Mutant == "guard-from-commit" {
		wr.asked = time.Now()
	}
	name := wr.name + ".commit"
	send := func() {
		if c.dead && w.frac(name, "dies") < 0.5 {
			wr.state = commitAborted
			reply <- answer{cache.RolledBack, errDead}
			return
		}
		if time.Since(wr.asked) >= commitGuard && w.cfg.Mutant != "no-guard" {
			w.logf("    too late")
			wr.state = commitAborted
			reply <- answer{cache.RolledBack, errTooLate}
			return
		}
		wr.begun = time.Now()
		f := w.commitFate(name)
		if w.calm {
			f = commitOK
		}
		limit := 10 * time.Second
		if w.tr.hang && f != commitUnresolved {
			limit = 5 * time.Minute
		}
		finally := func(how string, then func()) {
			w.add(&step{name: name + how, before: wr.begun.Add(limit), run: func() {
				if how == "~late" && w.frac(name, "aborts") < 0.3 {
					wr.state = commitAborted
				} else {
					w.visible(wr)
				}
				then()
			}})
		}
		unknown := fmt.Errorf("%w: %w", cache.ErrOutcomeUnknown, errReset)
		back := func(a answer) { w.add(&step{name: name + "<", run: func() { reply <- a }}) }
		switch f {
		case commitOK:
			w.visible(wr)
			back(answer{cache.Committed, nil})
		case commitFails:
			wr.state = commitAborted
			back(answer{cache.RolledBack, errors.New("sim: could not serialize access")})
		case commitReset:
			wr.resolvable = true
			w.visible(wr)
			back(answer{cache.InDoubt(w.resolver(wr)), unknown})
		case commitNever:
			wr.state, wr.resolvable = commitAborted, true
			back(answer{cache.InDoubt(w.resolver(wr)), unknown})
		case commitLate:
			wr.resolvable = true
			finally("~late", func() {})
			back(answer{cache.InDoubt(w.resolver(wr)), unknown})
		case commitSlow:
			if w.tr.hang && w.fault(0.8, "hang", name) {
				w.hanging = 31 * time.Second
			}
			finally("~slow", func() { back(answer{cache.Committed, nil}) })
		case commitUnresolved:
			finally("~late", func() {})
			back(answer{cache.Outcome{}, unknown})
		}
	}
	if w.calm {
		send()
		for _, s := range w.pending { // only the answer
			if s.name == name+"<" {
				w.remove(s)
				s.run()
				break
			}
		}
	} else {
		w.add(&step{name: name + ">", c: c, run: send})
	}
	w.mu.Unlock()
	a := <-reply
	return a.o, a.err
}

// sourceOnly notes that a commit is open, or is not any more, after its writer was told so: until then, and for as long, the
// writer's process must read the keys from the source that have no fence.
func (w *world) sourceOnly(wr *write, by int) {
	for _, k := range w.keys {
		if k.row == wr.row && k.mode == cache.AfterCommit && !wr.whole {
			wr.c.source[k.redis] += by
		}
	}
}

// resolver asks the database what became of a commit.
func (w *world) resolver(wr *write) func(context.Context) (cache.Outcome, error) {
	return func(ctx context.Context) (cache.Outcome, error) {
		for {
			w.mu.Lock()
			name := w.count(wr.name + ".resolve")
			w.mu.Unlock()
			if !w.stop(wr.c, name) {
				<-ctx.Done()
				return cache.Outcome{}, ctx.Err()
			}
			w.mu.Lock()
			state := wr.state
			if state != commitOpen && !wr.resolved {
				wr.resolved = true
				if wr.sourced {
					w.sourceOnly(wr, -1)
				}
			}
			w.mu.Unlock()
			switch state {
			case commitDone:
				return cache.Committed, nil
			case commitAborted:
				return cache.RolledBack, nil
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
				return cache.Outcome{}, ctx.Err()
			}
		}
	}
}

// foreign is a change that another program makes; told is how the cache hears of it.
func (w *world) foreign(ctx context.Context, c *client, op string, r int, told string) {
	w.mu.Lock()
	wr := w.newWrite(c, op, r)
	wr.whole = told == "void"
	if told == "" {
		wr.c = nil
	}
	w.mu.Unlock()
	invalidate := func() error {
		var err error
		for _, k := range w.keys {
			if k.row != r {
				continue
			}
			if told == "void" {
				err = errors.Join(err, c.cache.InvalidateGroup(ctx, k.group))
			} else {
				err = errors.Join(err, c.cache.Invalidate(context.WithValue(ctx, writeKey{}, wr), k.group.Key(r)))
			}
		}
		return err
	}
	if w.cfg.Mutant == "cdc-early" && told != "" {
		_ = invalidate()
	}
	if !w.stop(c, c.name+"."+op+".visible") {
		return
	}
	w.mu.Lock()
	w.visible(wr)
	w.mu.Unlock()
	switch {
	case told == "":
		return
	case w.cfg.Mutant == "cdc-early":
		w.acknowledged(wr, nil)
	default:
		w.acknowledged(wr, invalidate())
	}
}
