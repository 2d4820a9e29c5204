package cache

import (
	"fmt"
	"reflect"
	"slices"
	"sync/atomic"
	"time"
)

// Mode says how the writes of a group are made visible to its readers.
type Mode uint8

const (
	// Fenced is the default: a write puts a fence on its keys before it commits and takes it away afterwards. Reads are
	// linearizable per key. When Redis cannot be reached the write goes on, and its keys stay pending in this process.
	Fenced Mode = iota

	// Strict is Fenced, and the write fails before its commit when a fence is not acknowledged.
	Strict

	// AfterCommit only invalidates after the commit. A reader may see the old value for the time between the commit and the
	// invalidation; a writer that dies in that time leaves the old value until the TTL.
	AfterCommit
)

// String returns the mode as annotations spell it.
func (m Mode) String() string {
	switch m {
	case Fenced:
		return "fenced"
	case Strict:
		return "strict"
	case AfterCommit:
		return "aftercommit"
	}
	return fmt.Sprintf("Mode(%d)", uint8(m))
}

// ParseMode reads a mode as annotations spell it: fenced, strict or aftercommit.
func ParseMode(s string) (Mode, error) {
	for _, m := range []Mode{Fenced, Strict, AfterCommit} {
		if s == m.String() {
			return m, nil
		}
	}
	return 0, fmt.Errorf("cache: mode %q: want fenced, strict or aftercommit", s)
}

// GroupOptions belong to a group, not to a single read. The zero value of each field is usable.
type GroupOptions struct {
	// TTL is the longest that a value is served after it was loaded. It is fixed when the first cell of a key is filled, is
	// jittered downwards by up to a tenth, and is never extended. A copy that Near keeps may outlive it by its own age.
	//
	// Defaults to Options.DefaultTTL.
	TTL time.Duration

	// Mode defaults to Fenced.
	Mode Mode

	// NegativeOff stops "no row" from being cached.
	NegativeOff bool

	// Near keeps copies of the group's cells in the process, and is the longest that one is used, counted from before it was
	// read from Redis. A read may then return what another process has overwritten by up to Near before the read began; usually
	// it is milliseconds. The writes of this process are seen at once. A Strict group has no copies. In Options.Groups a
	// negative value turns them off. All processes that share a database should agree on whether there are any.
	//
	// Defaults to none.
	Near time.Duration

	modeSet bool // an entry of Options.Groups whose Mode counts even if it is Fenced; see ParseEnv
}

// group is the immutable description that Group values share.
type group struct {
	name    string
	arity   int
	types   []reflect.Type // of the parts; nil: see NamedGroup
	mutable bool           // a key part may be changed by its owner: see Hit.Mutable
	opts    GroupOptions
	last    atomic.Pointer[groupState] // of the cache that used it first or last: most programs have one
}

func newGroup(name string, o GroupOptions, parts ...reflect.Type) *group {
	if err := checkName("group", name); err != nil {
		panic(err)
	}
	if o.TTL < 0 {
		panic(fmt.Sprintf("cache: group %q: TTL must not be negative, got %s", name, o.TTL))
	}
	if o.Near < 0 || o.Near > 0 && o.Mode == Strict {
		panic(fmt.Sprintf("cache: group %q: Near must not be negative, and a strict group has none, got %s", name, o.Near))
	}
	return &group{name: name, arity: len(parts), types: parts, mutable: slices.ContainsFunc(parts, isMutableType), opts: o}
}

func (g *group) key(parts ...any) Key {
	k, err := g.keyOf(parts)
	if err != nil {
		// A part of an unsupported type is the only cause, and the generator refuses it.
		panic(err)
	}
	return k
}

// AnyGroup is a group of any arity, as InvalidateGroup and statistics take it.
type AnyGroup interface {
	// Name returns the group's name.
	Name() string
	base() *group
}

// Group is a family of keys with one key part. It is a stateless description: it may be shared by any number of caches.
type Group[K any] struct{ g *group }

// NewGroup describes a group. The name is put into Redis keys, environment variables and statistics: letters, digits and
// underscores, at most 64. NewGroup panics on a bad name, since groups are package variables.
func NewGroup[K any](name string, o GroupOptions) Group[K] {
	return Group[K]{newGroup(name, o, reflect.TypeFor[K]())}
}

// Key returns the member of the group for k.
func (g Group[K]) Key(k K) Key {
	if key, ok := keyOfOne(g.g, &k); ok {
		return key
	}
	return g.g.key(k)
}

// KeyOf is Key for a part whose type is only known at run time.
func (g Group[K]) KeyOf(parts ...any) (Key, error) { return g.g.keyOf(parts) }

// All stands for every member of the group, where keys are invalidated: the group changes its epoch. Other processes see it
// within two seconds.
func (g Group[K]) All() Key { return newKey(g.g, []byte{allID}) }

// Name returns the group's name.
func (g Group[K]) Name() string { return g.g.name }

func (g Group[K]) base() *group { return g.g }

// Group2 is a group with two key parts.
type Group2[A, B any] struct{ g *group }

// NewGroup2 describes a group with two key parts; see NewGroup.
func NewGroup2[A, B any](name string, o GroupOptions) Group2[A, B] {
	return Group2[A, B]{newGroup(name, o, reflect.TypeFor[A](), reflect.TypeFor[B]())}
}

// Key returns the member of the group for a and b.
func (g Group2[A, B]) Key(a A, b B) Key { return g.g.key(a, b) }

// KeyOf is Key for parts whose types are only known at run time.
func (g Group2[A, B]) KeyOf(parts ...any) (Key, error) { return g.g.keyOf(parts) }

// All stands for every member of the group, where keys are invalidated: the group changes its epoch. Other processes see it
// within two seconds.
func (g Group2[A, B]) All() Key { return newKey(g.g, []byte{allID}) }

// Name returns the group's name.
func (g Group2[A, B]) Name() string { return g.g.name }

func (g Group2[A, B]) base() *group { return g.g }

// Group3 is a group with three key parts.
type Group3[A, B, C any] struct{ g *group }

// NewGroup3 describes a group with three key parts; see NewGroup.
func NewGroup3[A, B, C any](name string, o GroupOptions) Group3[A, B, C] {
	return Group3[A, B, C]{newGroup(name, o, reflect.TypeFor[A](), reflect.TypeFor[B](), reflect.TypeFor[C]())}
}

// Key returns the member of the group for a, b and d.
func (g Group3[A, B, C]) Key(a A, b B, d C) Key { return g.g.key(a, b, d) }

// KeyOf is Key for parts whose types are only known at run time.
func (g Group3[A, B, C]) KeyOf(parts ...any) (Key, error) { return g.g.keyOf(parts) }

// All stands for every member of the group, where keys are invalidated: the group changes its epoch. Other processes see it
// within two seconds.
func (g Group3[A, B, C]) All() Key { return newKey(g.g, []byte{allID}) }

// Name returns the group's name.
func (g Group3[A, B, C]) Name() string { return g.g.name }

func (g Group3[A, B, C]) base() *group { return g.g }

func checkName(what, name string) error {
	if name == "" || len(name) > 64 {
		return fmt.Errorf("cache: %s name %q: want 1 to 64 characters", what, name)
	}
	for i := range len(name) {
		if c := name[i]; !isAlnum(c) && c != '_' {
			return fmt.Errorf("cache: %s name %q: want letters, digits and underscores only", what, name)
		}
	}
	return nil
}
