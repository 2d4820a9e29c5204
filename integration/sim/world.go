package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/cachetest"
	"github.com/pgaside/pgaside/cache/pgfence"
)

// Config says which run.
type Config struct {
	Seed    uint64
	Without map[string]bool // names of operations and faults that are left out
	Trace   bool            // keep the schedule as text
	Mutant  string          // of those that weaken the simulated program, see mutants.go
}

// Result is what came of a run.
type Result struct {
	Violation *Violation
	Trace     []string
	Used      []string // names of the operations and faults, in the order in which they came
	Schedule  uint64   // hash of the order in which the steps went
	Exact     bool     // whatever happens happens again: not so when TTLs end within the run, since the engine draws their ends
	Steps     int
	Reads     int
	Writes    int
	Faults    map[string]int
	History   map[string][]Event // by key: of those of which linearizability is promised in this run
}

// Violation is a promise that was broken.
type Violation struct {
	Check  string // which check has seen it
	Detail string
}

func (v *Violation) String() string { return v.Check + ": " + v.Detail }

var (
	errDead   = errors.New("sim: the client is dead")
	errSource = errors.New("sim: the database has failed")
)

// row is what the queries give: the version of a row.
type row struct{ ID, V int }

const namespace = "s"

var (
	fencedGroup = cache.NewGroup[int]("f", cache.GroupOptions{TTL: longTTL})
	strictGroup = cache.NewGroup[int]("s", cache.GroupOptions{TTL: longTTL, Mode: cache.Strict})
	nearGroup   = cache.NewGroup[int]("n", cache.GroupOptions{TTL: longTTL, Near: nearAge})
	afterGroup  = cache.NewGroup[int]("a", cache.GroupOptions{TTL: longTTL, Mode: cache.AfterCommit})

	getRow    = cache.NewQuery[row]("V", "000000000001", cache.QueryOptions{NoRows: pgx.ErrNoRows})
	listRows  = cache.NewQuery[[]row]("L", "000000000002", cache.QueryOptions{})
	nestedRow = cache.NewQuery[row]("N", "000000000003", cache.QueryOptions{NoRows: pgx.ErrNoRows})
)

const (
	longTTL  = 10 * time.Minute
	nearAge  = 2 * time.Second
	shortTTL = 4 * time.Second
)

// keyName is one key in Redis.
type keyName struct {
	group cache.Group[int]
	mode  cache.Mode
	row   int
	near  time.Duration
	redis string
}

// step is something that waits to be let go.
type step struct {
	name   string
	prio   uint64
	c      *client // whose process has to run for it; nil: a request on its way, or the database
	run    func()
	since  int       // when it was added, in steps
	looked bool      // what happens before the step has happened
	before time.Time // it happens by then
}

// client is one process.
type client struct {
	name  string
	cache *cache.Cache
	pool  *pgxpool.Pool
	db    *pgfence.DB

	elsewhere *pgxpool.Pool // not the one of db; nil when nobody needs it
	conns     []*conn
	dead      bool
	frozen    int            // steps for which the process does not run
	out       int            // requests that are refused, all of them
	outGet    int            // the same, but reads only
	failed    int            // fences in a row that have failed: five open the writers' breaker, until Redis has answered
	floor     map[string]int // by key: what its own reads must see, beyond what all must
	source    map[string]int // by key: unresolved outcomes for which it must read the source

	standby bool // its pool leads to a hot standby
}

type world struct {
	cfg Config
	tr  traits

	mu      sync.Mutex
	pending []*step
	counts  map[string]int
	calm    bool // no more faults; what is asked is done at once
	q       int  // the step that goes
	result  Result

	start    time.Time
	clock    *skewed
	store    *cachetest.Store
	restore  func() // to the copy that a replica has
	restoreQ int
	clients  []*client
	running  int
	keys     []*keyName
	byRedis  map[string]*keyName
	rows     [][]*version
	xacts    map[string]*dbTx // by their ids
	troubled bool             // a request to the database has failed
	tokens   map[string]*write
	leases   map[string]string // nonce → operation
	open     []*write
	reading  map[*reading]bool
	fillLag  time.Duration
	hanging  time.Duration   // time that passes at once
	unclean  map[string]bool // keys of which linearizability is not promised in this run
	history  map[string][]Event
}

// skewed is Redis' clock.
type skewed struct {
	cache.Clock
	mu     sync.Mutex
	offset time.Duration
}

func (s *skewed) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.offset)
}

func (s *skewed) jump(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset += d
}

// engineClock is everybody's clock. What the engine waits for comes a little late, so that it is not at the same time as what
// was begun with it elsewhere: a fence's second renewal, and the end of pgfence's patience with a COMMIT.
type engineClock struct{}

func (engineClock) Now() time.Time { return time.Now() }

func (engineClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d + 5*time.Microsecond)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (engineClock) AfterFunc(d time.Duration, f func()) func() bool {
	return time.AfterFunc(d+3*time.Microsecond, f).Stop
}

// Run runs one seed in a bubble of its own.
func Run(t *testing.T, cfg Config) Result {
	var r Result
	synctest.Test(t, func(*testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC))) // bubbles begin before cells can tell their age
		w := newWorld(cfg)
		w.run()
		r = w.result
	})
	return r
}

func newWorld(cfg Config) *world {
	w := &world{
		cfg: cfg, counts: make(map[string]int), start: time.Now(), clock: &skewed{},
		byRedis: make(map[string]*keyName), tokens: make(map[string]*write), xacts: make(map[string]*dbTx), leases: make(map[string]string),
		unclean: make(map[string]bool), reading: make(map[*reading]bool), history: make(map[string][]Event),
	}
	w.result.Faults = make(map[string]int)
	w.tr = w.draw()
	w.result.Exact = !w.tr.short
	w.store = cachetest.NewStore(w.clock)
	w.restore = w.store.Snapshot()
	w.store.Deliver = w.deliver
	for r := range w.tr.rows {
		w.rows = append(w.rows, nil)
		for _, g := range w.tr.groups {
			k := &keyName{group: g, row: r, redis: namespace + ":{" + g.Name() + ":" + strconv.Itoa(r) + "}"}
			switch g.Name() {
			case "s":
				k.mode = cache.Strict
			case "a":
				k.mode = cache.AfterCommit
			case "n":
				k.near = nearAge
				w.unclean[k.redis] = true
			}
			w.keys = append(w.keys, k)
			w.byRedis[k.redis] = k
		}
	}
	for r := range w.rows {
		first := &version{at: w.start, st: make(map[string]*status)}
		for _, k := range w.keys {
			if k.row == r {
				first.st[k.redis] = &status{firm: true}
			}
		}
		w.rows[r] = []*version{first}
	}
	for i := range w.tr.clients {
		w.clients = append(w.clients, w.newClient("c"+strconv.Itoa(i), w.tr.standby && i == w.tr.clients-1))
	}
	return w
}

func (w *world) newClient(name string, standby bool) *client {
	c := &client{name: name, standby: standby, floor: make(map[string]int), source: make(map[string]int)}
	o := cache.Options{
		Namespace: namespace,
		Logger:    slog.New(slog.DiscardHandler),
		Clock:     engineClock{},
		MaxCells:  w.tr.maxCells,
		Failpoint: func(ctx context.Context, name string) { w.failpoint(ctx, c, name) },
	}
	if w.tr.failover {
		o.Replicas = 1
	}
	if w.tr.short {
		o.Groups = make(map[string]cache.GroupOptions)
		for _, g := range w.tr.groups {
			o.Groups[g.Name()] = cache.GroupOptions{TTL: shortTTL}
		}
	}
	var err error
	if c.cache, err = cache.NewWithStore(&link{w: w, c: c}, o); err != nil {
		panic(err)
	}
	c.pool = w.newPool(c)
	if slices.Contains(w.tr.kinds, "other") {
		c.elsewhere = w.newPool(c)
	}
	change := pgfence.Statement{Write: true, Keys: func(args []any) ([]cache.Key, error) { return w.keysOf(args[0].(int), false), nil }}
	c.db = pgfence.New(c.pool, c.cache, pgfence.Statements{ByName: map[string]pgfence.Statement{
		"Change": change, "Changed": change, "Version": {}, "Versions": {},
	}})
	return c
}

func (w *world) ttl() time.Duration {
	if w.tr.short {
		return shortTTL
	}
	return longTTL
}

// hash draws from the seed by name.
func (w *world) hash(name, what string) uint64 {
	h := w.cfg.Seed*0x9e3779b97f4a7c15 ^ 0xcbf29ce484222325
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 0x100000001b3
	}
	h = (h ^ 0xff) * 0x100000001b3
	for i := range len(what) {
		h = (h ^ uint64(what[i])) * 0x100000001b3
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

func (w *world) frac(name, what string) float64 { return float64(w.hash(name, what)>>11) / (1 << 53) }

func (w *world) intn(name, what string, n int) int { return int(w.hash(name, what) % uint64(n)) }

// fault reports whether a fault that may be left out happens here.
func (w *world) fault(p float64, what, at string) bool {
	if p <= 0 || w.frac(at, what) >= p {
		return false
	}
	name := what + " @ " + at
	if w.cfg.Without[name] {
		return false
	}
	w.result.Used = append(w.result.Used, name)
	w.result.Faults[what]++
	return true
}

func (w *world) logf(format string, args ...any) {
	if w.cfg.Trace {
		w.result.Trace = append(w.result.Trace,
			fmt.Sprintf("%4d %9.3fs  ", w.q, time.Since(w.start).Seconds())+fmt.Sprintf(format, args...))
	}
}

func (w *world) fail(check, format string, args ...any) {
	if w.result.Violation == nil {
		w.result.Violation = &Violation{check, fmt.Sprintf(format, args...)}
		w.logf("VIOLATION %s", w.result.Violation)
	}
}

// count numbers what has the same name.
func (w *world) count(name string) string {
	n := w.counts[name]
	w.counts[name] = n + 1
	return name + "#" + strconv.Itoa(n)
}

// add lets a step wait for its turn. The caller holds w.mu.
func (w *world) add(s *step) {
	s.prio, s.since = w.hash(s.name, "prio"), w.q
	if w.tr.last(s.name) {
		s.prio = s.prio/2 + 1<<63
	}
	w.pending = append(w.pending, s)
}

// stop waits for a turn of the client's own.
func (w *world) stop(c *client, name string) (alive bool) {
	w.mu.Lock()
	if w.calm || c.dead {
		defer w.mu.Unlock()
		return !c.dead
	}
	turn := make(chan struct{})
	w.add(&step{name: name, c: c, run: func() { close(turn) }})
	w.mu.Unlock()
	<-turn
	w.mu.Lock()
	defer w.mu.Unlock()
	return !c.dead
}

func (w *world) failpoint(ctx context.Context, c *client, name string) {
	w.mu.Lock()
	if wr, ok := ctx.Value(writeKey{}).(*write); ok && name == "after-fence" {
		w.fenced(c, wr)
	}
	name = w.count(w.nameOf(ctx, c) + "." + name)
	yields := w.frac(name, "yield") < 0.4
	w.mu.Unlock()
	if yields {
		w.stop(c, name)
	}
}

const (
	// Beyond fairAfter steps those that have waited longest go first, and nothing else happens to them: what is tried again
	// and again in the background would keep others waiting for ever.
	fairAfter = 300

	maxSteps = 12_000
)

// run is one run from start to end.
func (w *world) run() {
	w.startActors()
	idle := 2 * time.Millisecond
	for {
		synctest.Wait()
		w.mu.Lock()
		if w.result.Violation != nil {
			w.mu.Unlock()
			break
		}
		if d := w.hanging; d > 0 {
			w.hanging = 0
			w.logf("    %s pass while a COMMIT hangs", d)
			w.mu.Unlock()
			w.pass(d)
			w.mu.Lock()
		}
		s := w.pick()
		if s == nil {
			if w.thaw() {
				w.mu.Unlock()
				continue
			}
			over := w.running == 0
			w.mu.Unlock()
			if over {
				break
			}
			w.pass(idle)
			idle = min(2*idle, 5*time.Second)
			w.mu.Lock()
			if w.result.Steps++; w.result.Steps > maxSteps {
				w.fail("progress", "nothing has happened for a long time")
			}
			w.mu.Unlock()
			continue
		}
		idle = 2 * time.Millisecond
		w.q++
		if w.result.Steps++; w.result.Steps > maxSteps {
			w.fail("progress", "too many steps")
		}
		w.mu.Unlock()
		if !s.looked && w.q <= fairAfter {
			s.looked = true
			if w.happens(s) { // something else may be due now
				continue
			}
		}
		time.Sleep(time.Microsecond) // so that no two deadlines are at the same time
		synctest.Wait()
		w.mu.Lock()
		w.remove(s)
		w.result.Schedule = w.result.Schedule*1099511628211 ^ w.hash(s.name, "")
		w.logf("%s", s.name)
		s.run()
		w.mu.Unlock()
	}
	w.end()
}

// pick returns the step whose turn it is.
func (w *world) pick() *step {
	var best *step
	for _, s := range w.pending {
		if s.c != nil && s.c.frozen > 0 && !s.c.dead {
			continue
		}
		switch fair := w.q > fairAfter; {
		case best == nil, fair && s.since < best.since, (!fair || s.since == best.since) && s.prio < best.prio:
			best = s
		}
	}
	for _, c := range w.clients {
		if c.frozen > 0 {
			c.frozen--
		}
	}
	return best
}

// thaw wakes the processes that do not run, when nobody else has anything to do.
func (w *world) thaw() (any bool) {
	for _, c := range w.clients {
		any = any || c.frozen > 0 && len(w.pending) > 0
		c.frozen = 0
	}
	return any
}

func (w *world) remove(s *step) {
	for i, p := range w.pending {
		if p == s {
			w.pending[i] = w.pending[len(w.pending)-1]
			w.pending = w.pending[:len(w.pending)-1]
			return
		}
	}
}

// pass lets time pass. What must happen by then happens before.
func (w *world) pass(d time.Duration) {
	for {
		w.mu.Lock()
		var due *step
		for _, s := range w.pending {
			if !s.before.IsZero() && s.before.Before(time.Now().Add(d)) && (due == nil || s.prio < due.prio) {
				due = s
			}
		}
		if due == nil {
			w.mu.Unlock()
			break
		}
		w.remove(due)
		w.logf("%s (due)", due.name)
		due.run()
		w.mu.Unlock()
		synctest.Wait()
	}
	time.Sleep(d)
	synctest.Wait()
}

const atRest = "at rest"

// end lets everything come to rest, and looks at what is in the cache then.
func (w *world) end() {
	w.mu.Lock()
	w.logf(atRest)
	w.calm = true
	for _, c := range w.clients {
		c.frozen, c.out, c.outGet = 0, 0, 0
	}
	w.mu.Unlock()
	for {
		synctest.Wait()
		w.mu.Lock()
		if len(w.pending) == 0 {
			w.mu.Unlock()
			break
		}
		sort.Slice(w.pending, func(i, j int) bool { return w.pending[i].prio < w.pending[j].prio })
		s := w.pending[0]
		w.pending = w.pending[1:]
		w.q++
		w.logf("%s (at rest)", s.name)
		s.run()
		w.mu.Unlock()
	}
	for waited := 0; ; waited++ { // an operation may still wait for time to pass
		synctest.Wait()
		w.mu.Lock()
		running := w.running
		w.mu.Unlock()
		if running == 0 {
			break
		}
		if waited > 0 {
			w.fail("progress", "an operation does not end")
		}
		if waited > 9 {
			panic(fmt.Sprintf("sim: seed %d does not end: %v", w.cfg.Seed, w.result.Violation))
		}
		w.pass(5 * time.Minute)
	}
	if w.result.Violation == nil {
		w.checkRest()
	}
	for _, c := range w.clients {
		_ = c.cache.Close()
		c.pool.Close()
		if c.elsewhere != nil {
			c.elsewhere.Close()
		}
	}
	synctest.Wait()
	w.finishHistory()
}
