package cache

import (
	"context"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/maypok86/otter/v2"
)

// nearTier is the in-process tier: copies of cells, for groups with GroupOptions.Near.
//
// What it promises is an age, counted from before the cell was read: no copy is used past it, whatever has become of the link to
// Redis. That copies are dropped within milliseconds of a write elsewhere is a courtesy of WIPE, which publishes the keys of such
// groups. Two things keep a copy from being stored after the message that should have dropped it: each key has a count of its
// drops, shared with others, and a copy is only good for the count that was read before its cell (its ticket). So a drop is an
// addition, and a copy that comes late is never used.
type nearTier struct {
	c      *Cache
	copies *otter.Cache[uint64, *nearCopy] // made by begin
	base   time.Time

	drops   [1 << 14]atomic.Uint32
	flushes atomic.Uint32

	start     sync.Once
	connected atomic.Bool
}

// nearCopy is one cell as it was at a time. It is never changed.
type nearCopy struct {
	gs       *groupState
	qs       *queryState
	key      Key
	args     string
	value    any    // *T that shares nothing with anybody; nil when payload is there instead
	payload  []byte // of a T that a plain copy would share, and nobody can take apart
	size     int    // of value, encoded
	negative bool
	stamp    uint32 // of the epochs
	ticket   nearTicket
}

// nearTicket is taken before a cell is read, and says whether a copy of it may still be used.
type nearTicket struct {
	place       *atomic.Uint32
	drop, flush uint32
	at          time.Duration // since nearTier.base
}

func newNearTier(c *Cache) *nearTier { return &nearTier{c: c, base: c.opts.Clock.Now()} }

// nearOverhead is about what a copy takes beside its value.
const nearOverhead = 256

func (e *nearCopy) weight() uint32 {
	return uint32(nearOverhead + 2*(len(e.payload)+e.size) + e.key.idLen() + len(e.args) + e.qs.valueSize)
}

// now is cheaper than Clock.Now by the wall clock, which nobody asks for here.
func (n *nearTier) now() time.Duration {
	if _, ok := n.c.opts.Clock.(systemClock); ok {
		return time.Since(n.base)
	}
	return n.c.opts.Clock.Now().Sub(n.base)
}

func (n *nearTier) place(redisKey string) *atomic.Uint32 {
	return &n.drops[xxhash.Sum64String(redisKey)%uint64(len(n.drops))]
}

// ticket comes before the read of a cell.
func (n *nearTier) ticket(redisKey string) nearTicket {
	p := n.place(redisKey)
	return nearTicket{place: p, drop: p.Load(), flush: n.flushes.Load(), at: n.now()}
}

// drop makes the copies of a key unusable, those included that are being made.
func (n *nearTier) drop(redisKey string) { n.place(redisKey).Add(1) }

// flush makes all copies unusable.
func (n *nearTier) flush() { n.flushes.Add(1) }

func nearHash(qs *queryState, key *Key, args string) uint64 {
	h := xxhash.Sum64(key.short[:key.n]) ^ qs.seed
	if key.long != "" {
		h = xxhash.Sum64String(key.long) ^ qs.seed
	}
	if args != "" {
		h = h*0x9E3779B97F4A7C15 + xxhash.Sum64String(args)
	}
	return h
}

// get returns a copy that may be used for a read that begins now.
func (n *nearTier) get(qs *queryState, key *Key, args string) *nearCopy {
	e, ok := n.copies.GetIfPresent(nearHash(qs, key, args))
	if !ok || e.qs != qs || e.key != *key || e.args != args || !n.good(e) {
		return nil
	}
	return e
}

func (n *nearTier) good(e *nearCopy) bool {
	g := e.gs
	if e.ticket.place.Load() != e.ticket.drop || n.flushes.Load() != e.ticket.flush || n.now()-e.ticket.at >= g.opts.Near {
		return false
	}
	// Unknown epochs are not good enough: they may have just been changed.
	known := g.epoch.known.Load()
	return known != nil && known.stamp == e.stamp
}

// Near answers a read with a copy in the process, if the group has any and there is one; ok says whether. It allocates nothing for
// a T that holds no pointers, slices or maps. Read begins with it: it is for a caller that would first have to make the closure
// that Read wants.
func Near[T any](ctx context.Context, c *Cache, key Key, cell Cell[T]) (value T, ok bool, err error) {
	if c.store == nil || key.IsVoid() {
		return value, false, nil
	}
	gs := c.group(key.group)
	if gs.opts.Near == 0 || cell.err != nil || c.closed.Load() || Loading(ctx) || c.pending.len() > 0 && c.pending.has(key, gs) {
		return value, false, nil
	}
	qs := queryOf(c, cell.query, gs)
	if value, ok, err = nearRead(c, qs, &key, cell); ok {
		c.nearTell(ctx, gs, qs)
	}
	return value, ok, err
}

// nearRead looks for a copy.
func nearRead[T any](c *Cache, qs *queryState, key *Key, cell Cell[T]) (value T, ok bool, err error) {
	c.near.begin()
	e := c.near.get(qs, key, cell.args)
	switch {
	case e == nil:
		return value, false, nil
	case e.negative:
		return value, true, qs.opts.NoRows
	case qs.flat:
		return *e.value.(*T), true, nil
	}
	own := new(T)
	if e.value != nil {
		*own = *e.value.(*T)
		err = detach(cell.query.coding, own)
	} else {
		err = unmarshal(qs.codec, e.payload, own)
	}
	if err != nil {
		return value, false, nil
	}
	return *own, true, nil
}

// nearTell counts a read that a copy has answered. It takes too little time to be measured.
func (c *Cache) nearTell(ctx context.Context, gs *groupState, qs *queryState) {
	qs.counts.outcomes[ReadNear].Add(1)
	if _, nobody := c.opts.Observer.(NopObserver); !nobody {
		c.opts.Observer.Read(ctx, ReadEvent{Group: gs.name, Query: qs.name, Outcome: ReadNear})
	}
}

// nearKeep keeps a copy of the cell that r has just read into value, which is the caller's.
func nearKeep[T any](r *read, cell Cell[T], value *T) {
	r.c.near.begin() // a read that found its key pending has not been here yet
	args := cell.args
	e := &nearCopy{gs: r.gs, qs: r.qs, key: r.key, args: args, stamp: r.stamp, ticket: r.ticket, negative: r.entry.negative}
	switch {
	case e.negative:
	case r.qs.flat:
		own := *value
		e.value, e.size = &own, len(r.entry.payload)
	case r.qs.coded:
		own := *value
		if detach(cell.query.coding, &own) != nil {
			return
		}
		e.value, e.size = &own, len(r.entry.payload)
		if list := reflect.ValueOf(value).Elem(); list.Kind() == reflect.Slice {
			e.size += list.Len() * int(list.Type().Elem().Size())
		}
	default:
		e.payload = r.entry.payload
	}
	r.c.near.copies.Set(nearHash(r.qs, &r.key, args), e)
}

// detach lets v share nothing any more. It fails when a method of a program's own type panics.
func detach[T any](coding *Coding[T], v *T) (err error) {
	defer recoverInto(&err)
	coding.Detach(v)
	return nil
}

// begin starts the tier when it is first used.
func (n *nearTier) begin() {
	n.start.Do(func() {
		n.copies = otter.Must(&otter.Options[uint64, *nearCopy]{
			MaximumWeight: uint64(n.c.opts.NearBytes),
			Weigher:       func(_ uint64, e *nearCopy) uint32 { return e.weight() },
		})
		n.c.goBackground(n.follow)
		n.c.goBackground(n.sweep)
	})
}

// follow keeps the link on which other processes tell of their writes. It starts over when the link breaks; what was kept before
// it stood may have been written since, and is not used.
func (n *nearTier) follow() {
	for wait := nearRetryFirst; ; wait = min(2*wait, nearRetryMost) {
		err := n.c.store.Subscribe(n.c.ctx, n.c.nearChannel(), func() {
			wait = nearRetryFirst
			n.flush()
			n.connected.Store(true)
		}, n.receive)
		n.connected.Store(false)
		if n.c.ctx.Err() != nil {
			return
		}
		n.c.failed("listening for invalidations", err)
		if n.c.opts.Clock.Sleep(n.c.ctx, wait) != nil {
			return
		}
	}
}

// sweep takes out copies that are of no use any more, so that nobody's data lies about in memory until the room is needed.
func (n *nearTier) sweep() {
	for n.c.opts.Clock.Sleep(n.c.ctx, nearSweep) == nil {
		for hash, e := range n.copies.All() {
			if n.good(e) {
				continue
			}
			n.copies.ComputeIfPresent(hash, func(now *nearCopy) (*nearCopy, otter.ComputeOp) {
				if now == e {
					return nil, otter.InvalidateOp
				}
				return nil, otter.CancelOp
			})
		}
	}
	n.copies.InvalidateAll()
	n.copies.StopAllGoroutines()
}

const (
	nearRetryFirst = 50 * time.Millisecond
	nearRetryMost  = 2 * time.Second
	nearSweep      = 10 * time.Second
)

// nearGroup begins the message that says that a whole group was voided. No key begins like it.
const nearGroup = "*"

func (n *nearTier) receive(message string) {
	if group, ok := strings.CutPrefix(message, nearGroup); ok {
		n.c.forgetEpoch(group)
		n.flush()
		return
	}
	n.drop(message)
}

func (c *Cache) nearChannel() string { return c.opts.Namespace + ":~near" }

// channel is where a wipe of a key of the group is published.
func (g *groupState) channel(c *Cache) string {
	if g.opts.Near == 0 {
		return ""
	}
	return c.nearChannel()
}

// wipeStore is Store.Wipe, and drops this process's own copies: before it, and after it, for those whose cell was read meanwhile.
func (c *Cache) wipeStore(ctx context.Context, reqs []WipeRequest, replicas int) []WipeReply {
	c.dropNear(reqs)
	defer c.dropNear(reqs)
	return c.store.Wipe(ctx, reqs, replicas)
}

func (c *Cache) dropNear(reqs []WipeRequest) {
	for _, r := range reqs {
		if r.Publish != "" {
			c.near.drop(r.Key)
		}
	}
}
