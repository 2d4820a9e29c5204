package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgaside/pgaside/cache"
)

// Options configure an Auditor. The zero value of each field is usable.
type Options struct {
	// Rate is the most checks in a second, those of suspicious cells included.
	//
	// Defaults to 1.
	Rate float64

	// Scales are the times after which a stale cell is looked at again, each longer than the one before.
	//
	// Defaults to 1 s, 10 s and 60 s.
	Scales []time.Duration

	// Timeout bounds one check.
	//
	// Defaults to 5 s.
	Timeout time.Duration

	// Open is the most stale cells that are followed at the same time. Of others only the first look is kept.
	//
	// Defaults to 32.
	Open int

	// Keep is how many findings a report holds: the newest.
	//
	// Defaults to 100.
	Keep int

	// Ignore names queries that are not checked: those that may serve old values, as @stale-ok and @volatile-ok say.
	Ignore []string

	// ShowCells puts the Redis key and the field of a stale cell into its finding. They hold a user's data.
	ShowCells bool

	// Observer is told of each check and finding, for metrics.
	//
	// Defaults to none.
	Observer Observer

	// Logger is told of findings that have reached the first of the scales, at WARN, at most once every 10 s. No key, argument
	// or value is ever logged.
	//
	// Defaults to slog.Default().
	Logger *slog.Logger

	// Clock is the auditor's source of time; for simulations.
	//
	// Defaults to the system's clock.
	Clock cache.Clock
}

func (o Options) withDefaults() Options {
	if o.Rate == 0 {
		o.Rate = 1
	}
	if o.Scales == nil {
		o.Scales = []time.Duration{time.Second, 10 * time.Second, time.Minute}
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Open == 0 {
		o.Open = 32
	}
	if o.Keep == 0 {
		o.Keep = 100
	}
	if o.Observer == nil {
		o.Observer = NopObserver{}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	return o
}

func (o Options) validate() error {
	switch {
	case !(o.Rate > 0 && o.Rate <= 1000):
		return fmt.Errorf("audit: Options.Rate must be above 0 and at most 1000, got %v", o.Rate)
	case o.Timeout < time.Millisecond:
		return fmt.Errorf("audit: Options.Timeout must be at least 1ms, got %s", o.Timeout)
	case o.Open < 0 || o.Keep < 0:
		return fmt.Errorf("audit: Options.Open and Keep must not be negative, got %d and %d", o.Open, o.Keep)
	case len(o.Scales) == 0:
		return errors.New("audit: Options.Scales must not be empty")
	}
	for i, s := range o.Scales {
		if s <= 0 || i > 0 && s <= o.Scales[i-1] {
			return fmt.Errorf("audit: Options.Scales must be above 0 and rise, got %v", o.Scales)
		}
	}
	return nil
}

// Auditor is a cache.Auditor: it goes into cache.Options.Auditor of one or more caches, and works while Run does. It is safe
// for concurrent use.
type Auditor struct {
	o       Options
	hungry  atomic.Bool
	offered chan cache.Hit
	running atomic.Bool

	skipped atomic.Uint64
	inARow  atomic.Int32 // skipped since Run has asked

	mu       sync.Mutex
	began    time.Time
	checks   map[cache.Verdict]uint64 // first looks
	stale    []uint64                 // by scale, 0 first: findings that were still stale then
	findings []*finding               // the oldest first
	open     []*finding               // to be looked at again
	logged   time.Time
}

// finding is a Finding with what it takes to look again.
type finding struct {
	Finding
	hit  cache.Hit
	ref  cache.CellRef
	sum  uint64
	next int // index of the scale that comes next
	due  time.Time
}

// New returns an auditor. It does nothing until Run is called.
func New(o Options) (*Auditor, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	o.Scales = append([]time.Duration{0}, o.Scales...)
	return &Auditor{
		o: o, offered: make(chan cache.Hit, 1), began: o.Clock.Now(),
		checks: make(map[cache.Verdict]uint64), stale: make([]uint64, len(o.Scales)),
	}, nil
}

// Wants implements cache.Auditor: it is true once for each check that is due. It costs a hit one look at a word that hardly
// ever changes.
func (a *Auditor) Wants() bool { return a.hungry.Load() && a.hungry.CompareAndSwap(true, false) }

// Offer implements cache.Auditor.
func (a *Auditor) Offer(h cache.Hit) {
	if h.Mutable || slices.Contains(a.o.Ignore, h.Query) {
		a.skipped.Add(1)
		if a.inARow.Add(1) < maxSkipped {
			a.hungry.Store(true) // another one, please
			return
		}
		h = cache.Hit{} // not for ever: an offer costs the reader something
	}
	select {
	case a.offered <- h:
	default:
	}
}

// maxSkipped is how many hits in a row are skipped before the next pause.
const maxSkipped = 16

// Run checks until ctx ends, and returns nil then. One Run at a time works: another one fails at once.
func (a *Auditor) Run(ctx context.Context) error {
	if !a.running.CompareAndSwap(false, true) {
		return errors.New("audit: this auditor runs already")
	}
	defer a.running.Store(false)
	defer a.hungry.Store(false)
	for {
		// At random moments, so that nothing that happens at regular ones is always missed; never more often than Rate says.
		pause := time.Duration(float64(time.Second) / a.o.Rate * (1 + rand.Float64()/2))
		if a.o.Clock.Sleep(ctx, pause) != nil {
			return nil
		}
		if f := a.due(); f != nil {
			a.follow(ctx, f)
		} else if h, ok := a.next(ctx); ok {
			a.first(ctx, h)
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// next waits for a hit, until one that is stale has to be looked at again.
func (a *Auditor) next(ctx context.Context) (cache.Hit, bool) {
	wake := make(chan struct{})
	if due, any := a.nextDue(); any {
		stop := a.o.Clock.AfterFunc(due.Sub(a.o.Clock.Now()), func() { close(wake) })
		defer stop()
	}
	a.inARow.Store(0)
	a.hungry.Store(true)
	defer a.hungry.Store(false)
	select {
	case h := <-a.offered:
		return h, h.Query != ""
	case <-wake:
	case <-ctx.Done():
	}
	return cache.Hit{}, false
}

// due takes a finding that has to be looked at again.
func (a *Auditor) due() *finding {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.o.Clock.Now()
	for i, f := range a.open {
		if !f.due.After(now) {
			a.open = slices.Delete(a.open, i, i+1)
			return f
		}
	}
	return nil
}

func (a *Auditor) nextDue() (due time.Time, any bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, f := range a.open {
		if !any || f.due.Before(due) {
			due, any = f.due, true
		}
	}
	return due, any
}

// check looks at a cell.
func (a *Auditor) check(ctx context.Context, h cache.Hit) (c cache.Check, ended bool) {
	start := a.o.Clock.Now()
	checkCtx, cancel := context.WithTimeout(ctx, a.o.Timeout)
	c = h.Check(checkCtx)
	cancel()
	if ctx.Err() != nil { // what an auditor that is being stopped sees says nothing
		return c, true
	}
	a.o.Observer.Checked(CheckEvent{Group: h.Group, Query: h.Query, Verdict: c.Verdict, Duration: a.o.Clock.Now().Sub(start)})
	return c, false
}

// first looks at a hit for the first time.
func (a *Auditor) first(ctx context.Context, h cache.Hit) {
	c, ended := a.check(ctx, h)
	if ended {
		return
	}
	a.mu.Lock()
	a.checks[c.Verdict]++
	a.mu.Unlock()
	if c.Verdict != cache.Stale {
		return
	}
	now := a.o.Clock.Now()
	if a.known(h, c, now) {
		return
	}
	f := &finding{hit: h, ref: h.Cell, sum: c.Sum, Finding: Finding{
		Group: h.Group, Query: h.Query, Filled: c.Filled, Found: now, Seen: now, Times: 1, State: StateOpen,
	}}
	if a.o.ShowCells {
		f.Key, f.Field = h.Cell.Key, h.Cell.Field
	}
	a.reached(f, 0)
}

// known reports whether a stale cell has been found already: a hot one is hit again and again.
func (a *Auditor) known(h cache.Hit, c cache.Check, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, f := range a.findings {
		if f.sum == c.Sum && f.ref == h.Cell {
			f.Seen = now
			f.Times++
			return true
		}
	}
	return false
}

// follow looks at a stale cell again.
func (a *Auditor) follow(ctx context.Context, f *finding) {
	c, ended := a.check(ctx, f.hit)
	now := a.o.Clock.Now()
	switch {
	case ended:
		return
	case c.Verdict == cache.Stale && c.Sum == f.sum:
		a.mu.Lock()
		f.Seen = now
		f.Times++
		at := f.next // or further: the time that has really passed counts
		for at+1 < len(a.o.Scales) && now.Sub(f.Found) >= a.o.Scales[at+1] {
			at++
		}
		a.mu.Unlock()
		a.reached(f, at)
	case c.Verdict == cache.Failed || c.Verdict == cache.Unsteady:
		a.again(f, now)
	default:
		a.end(f, StateGone)
	}
}

// again puts off to a later scale what a look could not tell.
func (a *Auditor) again(f *finding, now time.Time) {
	for _, s := range a.o.Scales {
		if due := f.Found.Add(s); due.After(now) {
			a.mu.Lock()
			defer a.mu.Unlock()
			f.due = due
			a.open = append(a.open, f)
			return
		}
	}
	a.end(f, StateLost)
}

// reached notes that a finding is stale at a scale, and when to look again.
func (a *Auditor) reached(f *finding, at int) {
	a.mu.Lock()
	for i := f.next; i <= at; i++ {
		a.stale[i]++
	}
	f.Scale = Scale(a.o.Scales[at])
	f.next = at + 1
	if at == 0 {
		a.findings = append(a.findings, f)
		if n := len(a.findings) - a.o.Keep; n > 0 {
			a.findings = slices.Delete(a.findings, 0, n)
		}
	}
	switch {
	case f.next == len(a.o.Scales):
		f.settle(StateStale)
	case at == 0 && len(a.open) >= a.o.Open:
		f.settle(StateLost)
	default:
		f.due = f.Found.Add(a.o.Scales[f.next])
		a.open = append(a.open, f)
	}
	tell := f.Finding
	now := a.o.Clock.Now()
	log := at > 0 && (a.logged.IsZero() || now.Sub(a.logged) >= logEvery)
	if log {
		a.logged = now
	}
	a.mu.Unlock()
	a.o.Observer.Found(tell)
	if log {
		a.o.Logger.Warn("audit: a stale cell", "group", tell.Group, "query", tell.Query, "scale", tell.Scale.String(),
			"filled", tell.Filled.UTC(), "found", tell.Found.UTC())
	}
}

// logEvery is the least time between two log lines.
const logEvery = 10 * time.Second

func (a *Auditor) end(f *finding, s State) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f.settle(s)
}

// settle ends a finding, and lets go of the arguments that it would have been loaded with.
func (f *finding) settle(s State) { f.State, f.hit = s, cache.Hit{} }

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (systemClock) AfterFunc(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }
