package cache

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

const (
	// breakerFailures consecutive failures open a breaker.
	breakerFailures = 5

	probeFirst = 100 * time.Millisecond
	probeMost  = 200 * time.Millisecond

	// readGrace is how long Redis must have answered before reads ask it again: by then the writers of other processes, which
	// probe as often, have noticed that it is back and have told it of what is pending.
	readGrace = 500 * time.Millisecond
)

// breaker stops the cache from asking a Redis that does not answer. The reads' breaker guards reads only: a write always
// tries to fence, and has a breaker of its own that only failed fences open. An open breaker is probed in the background,
// never by a caller.
type breaker struct {
	c       *Cache
	name    string
	grace   time.Duration
	cb      circuitbreaker.CircuitBreaker[any]
	open    atomic.Bool
	failing atomic.Bool // a failure was counted since the last success
}

func newBreaker(c *Cache, name string, grace time.Duration) *breaker {
	return &breaker{
		c:     c,
		name:  name,
		grace: grace,
		// The delay never ends: the probe closes the breaker.
		cb: circuitbreaker.NewBuilder[any]().WithFailureThreshold(breakerFailures).WithDelay(1 << 62).Build(),
	}
}

func (b *breaker) isOpen() bool { return b.open.Load() }

func (b *breaker) success() {
	if b.failing.Load() && b.failing.CompareAndSwap(true, false) {
		b.cb.RecordSuccess()
	}
}

// failure counts an error of the store. Answers that were of no use do not count: Redis is there.
func (b *breaker) failure(err error) {
	if !Unavailable(err) || b.open.Load() {
		return
	}
	b.failing.Store(true)
	b.cb.RecordFailure()
	if b.cb.IsOpen() && b.open.CompareAndSwap(false, true) {
		b.tell(true)
		b.c.goBackground(b.probe)
	}
}

// probe asks for Redis' clock until there is an answer, and once more after the grace. Cells that were granted before it are
// not used from then on.
func (b *breaker) probe() {
	wait, answering := probeFirst, b.grace == 0
	for {
		if b.c.opts.Clock.Sleep(b.c.ctx, wait) != nil {
			return
		}
		if !b.isOpen() { // a write got through meanwhile
			return
		}
		ctx, cancel := context.WithTimeout(b.c.ctx, b.c.opts.RedisBudget)
		now, err := b.c.store.Time(ctx)
		cancel()
		switch {
		case err != nil:
			wait, answering = min(2*wait, probeMost), b.grace == 0
		case !answering:
			wait, answering = b.grace, true
		default:
			b.c.distrustBefore(now)
			b.recovered()
			return
		}
	}
}

func (b *breaker) tell(open bool) {
	if b.name == "reads" {
		b.c.opts.Observer.Breaker(open)
	}
	if open {
		b.c.opts.Logger.Warn("cache: Redis does not answer, going on from the source", "breaker", b.name)
	} else {
		b.c.opts.Logger.Info("cache: Redis answers again", "breaker", b.name)
	}
}

// distrustBefore makes cells that were granted before a time of Redis' clock into misses.
func (c *Cache) distrustBefore(ms int64) {
	defer c.near.flush() // after it: who reads meanwhile may still take an old cell
	for {
		old := c.notBefore.Load()
		if old >= ms || c.notBefore.CompareAndSwap(old, ms) {
			return
		}
	}
}

// recovered closes a breaker: Redis has just answered.
func (b *breaker) recovered() {
	b.cb.Close()
	b.cb.RecordSuccess() // one that was closed keeps its count through Close
	b.failing.Store(false)
	if b.open.CompareAndSwap(true, false) {
		b.tell(false)
	}
}
