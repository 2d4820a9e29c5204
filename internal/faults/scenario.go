package faults

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgaside/pgaside/cache"
)

// fault is one thing that breaks.
type fault struct {
	name  string
	what  string // a sentence for the report
	on    topology
	bound map[string]bound    // by layer, where it isn't none
	setup func(*workerConfig) // what the workers do differently
	run   func(context.Context, *scenario) error
	alone bool // it can't be combined with another
	short bool // it is part of the short run

	befalls string // what only one fault of a pair may deal with: the process of a role, the network

	// proxied says that it needs the proxies; without them there is more to be done in the same time.
	proxied bool

	// writesFail says that a fenced write may fail, since its cause is not Redis; then some must, or nothing was broken.
	writesFail bool

	// errors is the class of error that the caches must have met, or nothing was broken. ErrorOther: none need be.
	errors cache.ErrorClass
}

// topology is what the workers run on.
type topology uint8

const (
	single    topology = iota // one Redis, a proxy before it for each worker
	sentinel                  // a master, two replicas, three sentinels
	cluster                   // three masters, three replicas
	pgbouncer                 // one Redis, and PgBouncer in transaction mode before Postgres
)

// bound is for how long a value may be served that is older than one that had been returned.
type bound uint8

const (
	none  bound = iota
	trip        // until the write's end has reached Redis, which nobody waits for
	back        // until Redis is back, and has been told of what was pending
	byTTL       // the TTL
)

// tripLimit is what "until the write's end has reached Redis" is taken for: it is sent at once, and repeated when it fails.
const tripLimit = 2 * time.Second

func (b bound) limit(faults, ttl time.Duration) time.Duration {
	switch b {
	case trip:
		return tripLimit
	case back:
		return faults + tripLimit
	case byTTL:
		return ttl
	}
	return 0
}

func (b bound) String() string {
	switch b {
	case trip:
		return "a round trip"
	case back:
		return "until Redis is back"
	case byTTL:
		return "TTL"
	}
	return "0"
}

// Timings of a scenario.
const (
	warmUp     = 200 // operations of each process, before anything breaks
	enough     = 400 // operations of all processes while something is broken, within slowest
	slowest    = 30 * time.Second
	afterwards = time.Second // that the workers go on for when the fault is over
	recovery   = time.Minute // within which the caches must be in use again
	shortTTL   = 4 * time.Second
	longTTL    = 10 * time.Minute
)

// workers are the processes of a scenario.
const (
	theWriter = 0 // writes, and reads a little; faults of writers befall it
	theReader = 1 // reads only; faults of readers befall it
	theOther  = 2 // does both, and is spared
	workers   = 3
)

// scenario is a set of faults at work.
type scenario struct {
	stage  *stage
	n      uint32 // rows of its own
	faults []*fault
	layers []string
	length time.Duration // of the faults, about
	lasted time.Duration // what they took
	config workerConfig
	r      *rand.Rand
	grid   *grid

	mu        sync.Mutex
	processes []*process // by role
	gone      []*process // that were killed
	down      []span     // when Postgres wasn't there
}

// name is that of its faults.
func (s *scenario) name() string {
	var names []string
	for _, f := range s.faults {
		names = append(names, f.name)
	}
	return strings.Join(names, " + ")
}

// bound is the widest of the faults' bounds.
func (s *scenario) bound(layer string) bound {
	b := none
	for _, f := range s.faults {
		b = max(b, f.bound[layer])
	}
	return b
}

// Result is what became of a scenario.
type Result struct {
	Name    string            `json:"name"`
	What    string            `json:"what"`
	TTL     time.Duration     `json:"ttl_ns"`
	Bounds  map[string]string `json:"bounds"`
	Layers  []Verdict         `json:"layers"`
	HitRate float64           `json:"hit_rate"`

	// Findings say what broke a promise.
	Findings []string `json:"findings,omitempty"`

	nothing string // why the scenario shows nothing, if it doesn't: the fault did not bite
}

// play runs the scenario: it starts the workers, lets the faults befall them, waits until all is well again, and checks what
// was seen.
func (s *scenario) play(ctx context.Context) (res *Result, err error) {
	res = &Result{Name: s.name(), TTL: longTTL, Bounds: map[string]string{}}
	for i, f := range s.faults {
		if i > 0 {
			res.What += " "
		}
		res.What += f.what
	}
	for _, l := range s.layers {
		b := s.bound(l)
		res.Bounds[l] = b.String()
		if b == byTTL {
			res.TTL = shortTTL
		}
	}
	h := fnv.New64a()
	h.Write([]byte(s.name()))
	s.r = rand.New(rand.NewPCG(s.stage.Seed, h.Sum64()^uint64(s.n)))
	s.config = workerConfig{
		Scenario: s.n, Namespace: fmt.Sprintf("faults%d", s.n), Layers: s.layers, Keys: 6, Readers: 2, Writers: 1,
		Pause: 20 * time.Millisecond, Pool: 8, TTL: res.TTL,
	}
	if s.bound(layerFenced) <= trip {
		// Redis is there, and a busy machine is not to be taken for one that isn't.
		s.config.FenceBudget = 10 * time.Second
	}
	for _, f := range s.faults {
		if f.setup != nil {
			f.setup(&s.config)
		}
	}
	if s.grid, err = s.stage.gridFor(ctx, s.faults[0].on); err != nil {
		return nil, err
	}
	if err := s.grid.mend(ctx); err != nil {
		return nil, err
	}
	if err := s.insertRows(ctx); err != nil {
		return nil, err
	}
	s.processes = make([]*process, workers)
	defer func() {
		for _, p := range append(s.processes, s.gone...) {
			if p == nil {
				continue
			}
			p.kill()
			for _, x := range []*proxy{p.redis, p.pg} {
				if x != nil {
					x.close()
				}
			}
		}
	}()
	for role := range workers {
		if err := s.start(role); err != nil {
			return nil, err
		}
	}
	if err := s.warm(ctx); err != nil {
		return nil, err
	}
	begun := time.Now()
	if err := s.strike(ctx); err != nil {
		return nil, err
	}
	s.lasted = time.Since(begun)
	rest := afterwards
	if res.TTL == shortTTL {
		rest = shortTTL + afterwards // what is stale must be seen to end
	}
	if err := sleep(ctx, rest); err != nil {
		return nil, err
	}
	if finding, err := s.settle(ctx); err != nil {
		return nil, err
	} else if finding != "" {
		res.Findings = append(res.Findings, finding)
	}
	return res, s.conclude(ctx, res)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// warm waits until every process is at work.
func (s *scenario) warm(ctx context.Context) error {
	for _, p := range s.all() {
		for begun := time.Now(); p.recorded() < warmUp; {
			select {
			case <-p.ended:
				return fmt.Errorf("a worker ended before it worked%s", p.said())
			default:
			}
			if time.Since(begun) > 2*slowest {
				return fmt.Errorf("a worker did %d reads and writes in %s", p.recorded(), time.Since(begun))
			}
			if err := sleep(ctx, 5*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

// start starts the worker of a role, in place of one that is gone.
func (s *scenario) start(role int) error {
	cfg := s.config
	switch role {
	case theWriter:
		cfg.Readers = 1
		cfg.Writers++
	case theReader:
		cfg.Writers = 0
	}
	cfg.Redis, cfg.Database = s.grid.redisURL(), s.grid.databaseURL()
	cfg.Sentinels, cfg.Master = s.grid.sentinels()
	var rp, pp *proxy
	if slices.ContainsFunc(s.faults, func(f *fault) bool { return f.proxied }) {
		var err error
		if cfg.Redis, rp, err = proxied(cfg.Redis); err != nil {
			return err
		}
		if cfg.Database, pp, err = proxied(cfg.Database); err != nil {
			return err
		}
	}
	p, err := startProcess(s.stage.Worker, cfg, rp, pp)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.processes[role]; old != nil {
		s.gone = append(s.gone, old)
	}
	s.processes[role] = p
	return nil
}

func (s *scenario) process(role int) *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.processes[role]
}

func (s *scenario) all() []*process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.processes)
}

// strike lets the faults befall the workers, all at once.
func (s *scenario) strike(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, s.length+2*time.Minute)
	defer cancel()
	errs := make([]error, len(s.faults))
	var wg sync.WaitGroup
	for i, f := range s.faults {
		wg.Go(func() {
			if err := f.run(limit, s); err != nil && (len(s.faults) == 1 || limit.Err() != nil) {
				errs[i] = fmt.Errorf("making the fault %q: %w", f.name, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(append(errs, s.grid.heal(limit))...)
}

// settle waits until every cache is in use again, halts the workers, and has every one of them read every row.
func (s *scenario) settle(ctx context.Context) (finding string, err error) {
	ctx, cancel := context.WithTimeout(ctx, recovery+patience+10*time.Second)
	defer cancel()
	begun := time.Now()
	for _, p := range s.all() {
		for {
			stats, err := p.stats(ctx)
			if err != nil {
				return "", err
			}
			well := true
			for _, st := range stats {
				well = well && !st.BreakerOpen && st.Pending == 0
			}
			if well {
				break
			}
			if time.Since(begun) > recovery {
				finding = fmt.Sprintf("a cache was not in use again %s after the fault", recovery)
				break
			}
			if err := sleep(ctx, 20*time.Millisecond); err != nil {
				return "", err
			}
		}
	}
	for _, command := range []string{"halt", "verify"} {
		for _, p := range s.all() {
			if _, err := p.ask(ctx, command); err != nil {
				return "", err
			}
		}
	}
	return finding, nil
}

// conclude checks what all processes have recorded.
func (s *scenario) conclude(ctx context.Context, res *Result) error {
	hits, reads := 0.0, 0.0
	met := map[string]uint64{} // errors by class
	for _, p := range s.all() {
		stats, err := p.stats(ctx)
		if err != nil {
			return err
		}
		for _, st := range stats {
			t := st.Total()
			hits, reads = hits+float64(t.Hits), reads+float64(t.Reads())
			for class, n := range st.Errors {
				met[class] += n
			}
		}
		if err := p.end(ctx); err != nil {
			return err
		}
	}
	if reads > 0 {
		res.HitRate = hits / reads
	}
	writesFail := false
	for _, f := range s.faults {
		writesFail = writesFail || f.writesFail
		if len(s.faults) == 1 && f.errors != cache.ErrorOther && met[f.errors.String()] == 0 {
			res.nothing = fmt.Sprintf("no cache met a %s error: this shows nothing of %q", f.errors, f.name)
		}
	}
	failed := 0
	for i, name := range s.layers {
		final, err := s.versions(ctx, i)
		if err != nil {
			return err
		}
		var recs []record
		for _, p := range append(s.all(), s.gone...) {
			recs = append(recs, p.records[i]...)
		}
		v := checkLayer(name, recs, name != layerAfterCommit, final, s.down)
		res.Layers = append(res.Layers, v)
		failed += v.Refused + v.Unknown
		if !slices.Contains(ourLayers, name) {
			continue
		}
		found := func(format string, args ...any) {
			res.Findings = append(res.Findings, name+": "+fmt.Sprintf(format, args...))
		}
		if limit := s.bound(name).limit(s.lasted, res.TTL); v.Anomalies > 0 && v.Stale > limit {
			found("%d reads were stale, the oldest by %s; the bound is %s: %s", v.Anomalies, v.Stale, s.bound(name), strings.Join(v.Examples, "; "))
		}
		if v.Failed > 0 {
			found("%d reads failed: %s", v.Failed, strings.Join(v.Examples, "; "))
		}
		if v.GaveUp > 0 {
			found("%d reads had no answer in %s: %s", v.GaveUp, patience, strings.Join(v.Examples, "; "))
		}
		if v.Lost > 0 || v.Invented > 0 {
			found("%d writes were lost, %d versions were never written: %s", v.Lost, v.Invented, strings.Join(v.Examples, "; "))
		}
		if name != layerStrict && !writesFail && v.Refused+v.Unknown > 0 {
			found("%d writes failed, though nothing ailed Postgres: %s", v.Refused+v.Unknown, firstFailedWrite(recs))
		}
		if v.Reads == 0 || v.Writes == 0 {
			found("there were %d reads and %d writes: this shows nothing", v.Reads, v.Writes)
		}
	}
	if len(s.faults) == 1 && writesFail && failed == 0 {
		res.nothing = "no write failed: nothing was broken"
	}
	return nil
}

func firstFailedWrite(recs []record) string {
	for _, r := range recs {
		if r.kind == opRefused || r.kind == opUnknown {
			return r.text
		}
	}
	return ""
}

func (s *scenario) insertRows(ctx context.Context) error {
	b := &pgx.Batch{}
	for l := range s.layers {
		for k := range s.config.Keys {
			id := rowID(s.n, l, k)
			b.Queue(`INSERT INTO therapy_prompts (id, slug, category, title, body) VALUES ($1, $2, 'sleep', 'A prompt', 'Tell me.')
				ON CONFLICT (id) DO UPDATE SET uses = 0`, id, id.String())
		}
	}
	if err := s.stage.admin.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("inserting the rows of a scenario: %w", err)
	}
	return nil
}

// versions are what Postgres holds of a layer's rows.
func (s *scenario) versions(ctx context.Context, layer int) ([]int64, error) {
	out := make([]int64, s.config.Keys)
	for k := range out {
		if err := s.stage.admin.QueryRow(ctx, "SELECT uses FROM therapy_prompts WHERE id = $1", rowID(s.n, layer, k)).Scan(&out[k]); err != nil {
			return nil, fmt.Errorf("reading what Postgres holds in the end: %w", err)
		}
	}
	return out, nil
}

// count asks Postgres for a number.
func (s *scenario) count(ctx context.Context, sql string) (n int64, err error) {
	if err := s.stage.admin.QueryRow(ctx, sql).Scan(&n); err != nil {
		return 0, fmt.Errorf("asking Postgres %q: %w", sql, err)
	}
	return n, nil
}

// without notes that Postgres is not there while do runs, and until it answers again.
func (s *scenario) without(ctx context.Context, do func() error) error {
	from := monotonic()
	err := do()
	for err == nil && s.stage.admin.Ping(ctx) != nil {
		err = sleep(ctx, 5*time.Millisecond)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = append(s.down, span{from, monotonic() + int64(time.Second)}) // connections that broke are noticed a little later
	return err
}

// until calls do again and again for as long as the fault lasts, with a pause of up to d: for the scenario's length at least,
// and until enough was done meanwhile that it shows something.
func (s *scenario) until(ctx context.Context, d time.Duration, do func() error) error {
	before := s.recorded()
	for begun := time.Now(); ; {
		since := time.Since(begun)
		if since > s.length && (s.recorded()-before >= enough || since > s.length+slowest) {
			return nil
		}
		if err := do(); err != nil && (len(s.faults) == 1 || ctx.Err() != nil) {
			return err // of two faults one may be in the other's way
		}
		if err := sleep(ctx, d/2+rand.N(d/2+1)); err != nil {
			return err
		}
	}
}

// last is until with nothing to do.
func (s *scenario) last(ctx context.Context) error {
	return s.until(ctx, 20*time.Millisecond, func() error { return nil })
}

// recorded is how much all processes have done.
func (s *scenario) recorded() (n int) {
	for _, p := range s.all() {
		n += p.recorded()
	}
	return n
}
