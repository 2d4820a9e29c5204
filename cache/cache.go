package cache

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sync/semaphore"
)

// Cache is the engine: one for each process and Redis. It is safe for concurrent use.
type Cache struct {
	opts  Options
	store Store // nil when disabled

	mu      sync.Mutex
	byName  map[string]*groupState
	groups  sync.Map // *group → *groupState
	queries sync.Map // *Query[T] → *queryState

	counts  counts
	reads   *breaker // guards reads
	writes  *breaker // guards fences
	pending *pending
	flights flights
	slots   slots
	warm    warmKeys
	near    *nearTier
	sem     *semaphore.Weighted

	detached *semaphore.Weighted // loads whose reader has gone

	// notBefore, in ms of Redis' clock: cells that were granted earlier are misses. It is the time at which Redis was first
	// reached again after this process had lost it: an invalidation may have been lost meanwhile.
	notBefore atomic.Int64

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	bg     sync.WaitGroup
	closed atomic.Bool
}

// groupState is what a cache knows of a group.
type groupState struct {
	c      *Cache
	name   string
	opts   GroupOptions
	prefix string // of the keys of the group, up to the identifier
	epoch  epochState

	invalidations, groupInvalidations, invalidationsPending atomic.Uint64
}

// queryState is what a cache knows of a query.
type queryState struct {
	c      *Cache
	name   string
	group  *groupState
	field  string // of the cell without arguments
	opts   QueryOptions
	codec  Codec // of *T alone
	coded  bool  // it is the query's own coding
	counts queryCounts

	flat      bool   // a plain copy of a result shares nothing
	valueSize int    // of a result, in bytes, without what it points to
	seed      uint64 // of nearHash
}

func newCache(s Store, o Options) *Cache {
	c := &Cache{
		opts:   o,
		store:  s,
		byName: make(map[string]*groupState),
		sem:    semaphore.NewWeighted(int64(o.MaxFallbackLoads)),

		detached: semaphore.NewWeighted(int64(o.MaxFallbackLoads)),
	}
	if o.Disabled {
		c.store = nil
		if s != nil {
			_ = s.Close()
		}
	}
	c.counts.since.Store(o.Clock.Now().UnixNano())
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.reads = newBreaker(c, "reads", readGrace)
	c.writes = newBreaker(c, "writes", 0)
	c.pending = newPending(c)
	c.near = newNearTier(c)
	return c
}

// Close stops the background work, waits for it and for open writes, and closes what Open opened. Loads that several readers
// share are cancelled, and their readers go on from the source, as do later ones; writes of keys fail with ErrClosed. It must
// not be called from within a load or a commit.
func (c *Cache) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	c.cancel()
	c.mu.Lock()   // goBackground adds under the lock: after this nothing new is started
	c.mu.Unlock() //nolint:staticcheck // an empty critical section on purpose
	c.bg.Wait()
	if c.store == nil {
		return nil
	}
	if err := c.store.Close(); err != nil {
		return fmt.Errorf("cache: closing the store: %w", err)
	}
	return nil
}

// begin announces work that Close has to wait for until bg.Done is called. It reports false when the cache is closed.
func (c *Cache) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Load() {
		return false
	}
	c.bg.Add(1)
	return true
}

// goBackground runs f in a goroutine that Close waits for. It reports whether it did: a closed cache starts nothing.
func (c *Cache) goBackground(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Load() {
		return false
	}
	c.bg.Go(f)
	return true
}

// group returns the state of a group, made when it is first used. Two groups of one name share it.
func (c *Cache) group(g *group) *groupState {
	if s := g.last.Load(); s != nil && s.c == c {
		return s
	}
	if s, ok := c.groups.Load(g); ok {
		return s.(*groupState)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.byName[g.name]
	if s == nil {
		s = &groupState{
			c:      c,
			name:   g.name,
			opts:   c.opts.groupOptions(g),
			prefix: c.opts.Namespace + ":{" + g.name + ":",
		}
		c.byName[g.name] = s
	}
	c.groups.Store(g, s)
	g.last.Store(s)
	return s
}

func queryOf[T any](c *Cache, q *Query[T], g *groupState) *queryState {
	if s := q.last.Load(); s != nil && s.c == c {
		return s
	}
	if s, ok := c.queries.Load(q); ok {
		return s.(*queryState)
	}
	s := &queryState{
		c: c, name: q.name, group: g, opts: q.opts, codec: c.opts.codec(),
		flat: !isMutableType(reflect.TypeFor[T]()), valueSize: int(reflect.TypeFor[T]().Size()), seed: rand.Uint64(),
	}
	// The codec is a part of the shape: cells of one codec are not read by another.
	s.field = q.name + "." + q.shape
	switch name := s.codec.Name(); {
	case q.coding != nil && c.opts.Codec == nil:
		s.codec = coded[T]{q.coding} // which the shape stands for
		s.coded, s.flat = true, s.flat || q.coding.Detach == nil
	case q.coding != nil, name != "json":
		s.field += "-" + string(appendEscaped(nil, name))
	}
	actual, _ := c.queries.LoadOrStore(q, s)
	q.last.Store(actual.(*queryState))
	return actual.(*queryState)
}

// jitter shortens a TTL by up to a tenth, so that keys that were filled together do not end together.
func jitter(ttl time.Duration) time.Duration {
	return ttl - time.Duration(rand.Float64()*float64(ttl)/10)
}

// newToken returns 96 random bits: a lease's nonce, or a fence's token.
func newToken() string {
	var b [12]byte
	_, _ = cryptorand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// loadState follows the loads of a read through their context.
type loadState struct{ noFill atomic.Bool }

type loadKey struct{}

// NoFill marks the load that ctx belongs to, if there is one, as not to be stored or shared: it has seen something else than
// the committed state of the source. A source layer calls it for every read inside a transaction.
func NoFill(ctx context.Context) {
	if s, ok := ctx.Value(loadKey{}).(*loadState); ok {
		s.noFill.Store(true)
	}
}

// Loading reports whether ctx belongs to a load. Inside one every cached read goes to the source: a value from the cache
// could be older than the lease under which the load's result would be stored.
func Loading(ctx context.Context) bool {
	_, ok := ctx.Value(loadKey{}).(*loadState)
	return ok
}

func hash32(s string) uint32 {
	h := xxhash.Sum64String(s)
	return uint32(h ^ h>>32)
}

// Disabled reports whether Options.Disabled is set: the cache then never touches Redis.
func (c *Cache) Disabled() bool { return c.store == nil }

// Logger returns Options.Logger, for layers that report beside the cache.
func (c *Cache) Logger() *slog.Logger { return c.opts.Logger }
