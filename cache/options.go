package cache

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Options configure a Cache. The zero value of each field is usable.
type Options struct {
	// Namespace is put before every key, so that several programs can share one Redis. At most 64 characters of
	// [A-Za-z0-9_.:-].
	//
	// Defaults to "pgaside".
	Namespace string

	// Groups overrides, by group name, what the groups themselves say. A zero field of an entry leaves the group's own.
	Groups map[string]GroupOptions

	// DefaultTTL is the TTL of groups that set none.
	//
	// Defaults to 300 s.
	DefaultTTL time.Duration

	// DefaultMode is the mode of groups that say nothing of it, or Fenced.
	//
	// Defaults to Fenced.
	DefaultMode Mode

	// NegativeTTL bounds the life of a key that holds a cached "no row". The group's TTL wins when it is shorter.
	//
	// Defaults to 30 s.
	NegativeTTL time.Duration

	// RedisBudget covers all waiting for Redis in one read, including the wait for somebody else's fill. When it is used up
	// the read goes on from the source.
	//
	// Defaults to 100 ms.
	RedisBudget time.Duration

	// FenceBudget covers all waiting for Redis before the commit of a write.
	//
	// Defaults to 500 ms.
	FenceBudget time.Duration

	// LeaseTTL is how long a lease keeps others from loading the same cell; a quarter of the group's TTL when that is
	// shorter. It only concerns liveness: a load that takes longer is served, and stored only if nobody else has taken the
	// lease and Redis has not dropped the key meanwhile.
	//
	// Defaults to 3 s.
	LeaseTTL time.Duration

	// FenceTTL is how long a fence outlives a writer that died. It must be at least three times the commit guard (10 s).
	//
	// Defaults to 30 s.
	FenceTTL time.Duration

	// LoadTimeout bounds one load that several readers may share. It is separate from the readers' contexts: one that gives
	// up does not cancel the load for the others. A reader with more time than that repeats the load under its own context.
	//
	// Defaults to 30 s.
	LoadTimeout time.Duration

	// MaxCells is the most fields of one key. A key that would grow beyond it is emptied.
	//
	// Defaults to 256.
	MaxCells int

	// MaxCellBytes is the largest encoded result that is stored. A larger one is served and not stored.
	//
	// Defaults to 1 MiB.
	MaxCellBytes int

	// CompressAbove is the size in bytes above which an encoded result is compressed (s2), when that makes it smaller.
	// Negative: never.
	//
	// Defaults to 1024.
	CompressAbove int

	// NearBytes bounds the memory of the copies that groups with GroupOptions.Near keep in the process, about.
	//
	// Defaults to 64 MiB.
	NearBytes int

	// MaxFallbackLoads bounds the loads that run at the same time because Redis could not answer, so that the source
	// survives the loss of its cache. Readers past the bound wait for their turn, each for as long as its context allows.
	// It also bounds the loads that go on after their readers have given up; further ones are cancelled.
	//
	// Defaults to 64.
	MaxFallbackLoads int

	// Replicas is how many replicas must acknowledge a fence of a Strict group (Redis' WAIT). More than are connected make
	// every strict write fail.
	//
	// Defaults to 0.
	Replicas int

	// Codec encodes results.
	//
	// Defaults to the coding that was generated for a query, and to JSON where there is none.
	Codec Codec

	// Logger is told of errors, at WARN, at most one line for each class of error every 10 s. No key, argument or value is
	// ever logged.
	//
	// Defaults to slog.Default().
	Logger *slog.Logger

	// Observer is told of every read and invalidation.
	//
	// Defaults to none.
	Observer Observer

	// Auditor compares a sample of the hits with the source; see package cache/audit.
	//
	// Defaults to none.
	Auditor Auditor

	// Disabled turns every read into a read of the source, and keeps every write from touching Redis. All processes that
	// share a database must agree on it.
	Disabled bool

	// Clock is the engine's source of time; for simulations.
	//
	// Defaults to the system's clock.
	Clock Clock

	// Failpoint is called at named steps of the protocol, so that a test can stop, delay or kill there: "acquired",
	// "before-fill", "after-fence", "after-commit", "before-clear".
	//
	// Defaults to none.
	Failpoint func(ctx context.Context, name string)
}

func (o Options) withDefaults() Options {
	setDefault(&o.Namespace, "pgaside")
	setDefault(&o.DefaultTTL, 300*time.Second)
	setDefault(&o.NegativeTTL, 30*time.Second)
	setDefault(&o.RedisBudget, 100*time.Millisecond)
	setDefault(&o.FenceBudget, 500*time.Millisecond)
	setDefault(&o.LeaseTTL, 3*time.Second)
	setDefault(&o.FenceTTL, minFenceTTL)
	setDefault(&o.LoadTimeout, 30*time.Second)
	setDefault(&o.MaxCells, 256)
	setDefault(&o.MaxCellBytes, 1<<20)
	setDefault(&o.CompressAbove, 1024)
	setDefault(&o.NearBytes, 64<<20)
	setDefault(&o.MaxFallbackLoads, 64)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Observer == nil {
		o.Observer = NopObserver{}
	}
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	if o.Failpoint == nil {
		o.Failpoint = func(context.Context, string) {}
	}
	return o
}

// codec is for what has no coding of its own.
func (o Options) codec() Codec {
	if o.Codec == nil {
		return JSON{}
	}
	return o.Codec
}

// minFenceTTL leaves 20 s for a COMMIT that began at the last moment of the 10 s guard (protocol, invariant I5).
const minFenceTTL = 30 * time.Second

func (o Options) validate() error {
	if err := checkNamespace(o.Namespace); err != nil {
		return err
	}
	if o.DefaultMode > AfterCommit {
		return fmt.Errorf("cache: Options.DefaultMode %d is unknown", o.DefaultMode)
	}
	for _, d := range []struct {
		name       string
		value, min time.Duration
	}{
		{"DefaultTTL", o.DefaultTTL, time.Millisecond},
		{"NegativeTTL", o.NegativeTTL, time.Millisecond},
		{"RedisBudget", o.RedisBudget, time.Millisecond},
		{"FenceBudget", o.FenceBudget, time.Millisecond},
		{"LeaseTTL", o.LeaseTTL, time.Millisecond},
		{"FenceTTL", o.FenceTTL, minFenceTTL},
		{"LoadTimeout", o.LoadTimeout, time.Millisecond},
	} {
		if d.value < d.min {
			return fmt.Errorf("cache: Options.%s must be at least %s, got %s", d.name, d.min, d.value)
		}
	}
	for _, n := range []struct {
		name       string
		value, min int
	}{
		{"MaxCells", o.MaxCells, 2},
		{"MaxCellBytes", o.MaxCellBytes, 1},
		{"NearBytes", o.NearBytes, 1},
		{"MaxFallbackLoads", o.MaxFallbackLoads, 1},
		{"Replicas", o.Replicas, 0},
	} {
		if n.value < n.min {
			return fmt.Errorf("cache: Options.%s must be at least %d, got %d", n.name, n.min, n.value)
		}
	}
	for name, g := range o.Groups {
		if err := checkName("group", name); err != nil {
			return fmt.Errorf("cache: Options.Groups: %w", err)
		}
		if g.TTL < 0 {
			return fmt.Errorf("cache: Options.Groups[%q].TTL must not be negative, got %s", name, g.TTL)
		}
		if g.Mode > AfterCommit {
			return fmt.Errorf("cache: Options.Groups[%q].Mode %d is unknown", name, g.Mode)
		}
	}
	return nil
}

func checkNamespace(s string) error {
	if len(s) > 64 {
		return fmt.Errorf("cache: Options.Namespace: at most 64 characters, got %d", len(s))
	}
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && !strings.ContainsRune("_.:-", rune(c)) {
			return fmt.Errorf("cache: Options.Namespace %q: want only letters, digits and _ . : -", s)
		}
	}
	return nil
}

// groupOptions merges what a group says of itself with what the options say of it.
func (o Options) groupOptions(g *group) GroupOptions {
	out, over := g.opts, o.Groups[g.name]
	if over.TTL != 0 {
		out.TTL = over.TTL
	}
	switch {
	case over.Mode != Fenced || over.modeSet:
		out.Mode = over.Mode
	case out.Mode == Fenced:
		out.Mode = o.DefaultMode
	}
	out.NegativeOff = out.NegativeOff || over.NegativeOff
	if over.Near != 0 {
		out.Near = max(0, over.Near)
	}
	if out.Mode == Strict {
		out.Near = 0
	}
	setDefault(&out.TTL, o.DefaultTTL)
	out.Near = min(out.Near, out.TTL)
	return out
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
