package cache

import (
	"context"
	"math/rand/v2"
	"reflect"
	"time"
)

// ReadMany reads one cell under each of many keys: with one round trip what Redis has, and with one load what it has not.
//
// keys are the distinct or repeated members that are asked for, keyOf gives the cache key of one, and split gives the member
// that a row belongs to. load gets the distinct members that are missing and returns their rows in any order. Each cell holds
// the rows of its member, also when there are none. Rows come back in the order of keys, each member once, as a query with
// = ANY gives them. Rows of members that were not asked for are not stored, nor is then anything else of that load.
func ReadMany[K comparable, T any](
	ctx context.Context, c *Cache, keys []K, keyOf func(K) Key, cell Cell[[]T],
	split func(T) K, load func(ctx context.Context, missing []K) ([]T, error),
) ([]T, error) {
	distinct := make([]K, 0, len(keys))
	seen := make(map[K]bool, len(keys))
	for _, k := range keys {
		if !seen[k] {
			seen[k] = true
			distinct = append(distinct, k)
		}
	}
	if len(distinct) == 0 {
		return load(ctx, distinct)
	}
	first := keyOf(distinct[0])
	if first.group == nil {
		return load(ctx, distinct)
	}
	if cell.err != nil {
		c.failed("naming a cell", &classedError{ErrorSerialization, cell.err})
	}
	gs := c.group(first.group)
	b := &batchRead[K, T]{
		c: c, gs: gs, qs: queryOf(c, cell.query, gs), split: split, load: load, budget: c.opts.RedisBudget,
		direct: c.store == nil || cell.err != nil || c.closed.Load() || Loading(ctx),
		items:  make([]*batchItem[K, T], len(distinct)), byMember: make(map[K]*batchItem[K, T], len(distinct)),
	}
	near := gs.opts.Near > 0 && !b.direct
	for i, k := range distinct {
		key := keyOf(k)
		it := &batchItem[K, T]{member: k, key: key, outcome: ReadBypass}
		it.read = read{c: c, gs: gs, qs: b.qs, key: key, value: &it.rows}
		if !key.IsVoid() {
			it.read.ref = CellRef{Key: key.redis(gs.prefix), Field: b.qs.field + cell.args}
		}
		b.items[i], b.byMember[k] = it, it
		if near && !key.IsVoid() && !c.pending.has(key, gs) {
			if rows, ok, _ := nearRead(c, b.qs, &key, cell); ok {
				it.rows, it.done, it.outcome = rows, true, ReadNear
			}
		}
	}
	start := c.opts.Clock.Now()
	err := b.run(ctx)
	b.tell(ctx, start, err)
	if err != nil {
		return nil, err
	}
	if near {
		for _, it := range b.items {
			if it.outcome.fromCell() {
				nearKeep(&it.read, cell, &it.rows)
			}
		}
	}
	if a := c.opts.Auditor; a != nil {
		b.offer(a, cell.mutable || isMutableType(reflect.TypeFor[K]()))
	}
	return b.rows(), nil
}

// batchRead is one ReadMany on its way.
type batchRead[K comparable, T any] struct {
	c        *Cache
	gs       *groupState
	qs       *queryState
	split    func(T) K
	load     func(context.Context, []K) ([]T, error)
	budget   time.Duration
	direct   bool // this batch has no business with Redis
	items    []*batchItem[K, T]
	byMember map[K]*batchItem[K, T]
}

type batchItem[K comparable, T any] struct {
	member   K
	key      Key
	read     read
	rows     []T
	done     bool
	asked    bool   // the load that runs was asked for it
	lease    []byte // of a cell that this batch has to fill
	waits    bool   // somebody else has the lease
	fenced   bool   // a write is in progress, or whatever else kept the cell from being leased
	lost     bool   // the lease was voided before the fill, or nobody knows
	unusable []byte
	outcome  ReadOutcome
}

// run reads what is there, loads what is not, fills, and only then waits for others: two batches that hold what the other
// waits for do not wait for each other (protocol 4.11.15).
func (b *batchRead[K, T]) run(ctx context.Context) error {
	asked := b.askable()
	if len(asked) > 0 && b.get(ctx, asked) {
		b.acquire(ctx, missing(asked))
	}
	todo := make([]*batchItem[K, T], 0, len(b.items))
	var waiting []*batchItem[K, T]
	for _, it := range b.items {
		switch {
		case it.done:
		case it.waits:
			waiting = append(waiting, it)
		default:
			todo = append(todo, it)
		}
	}
	if err := b.loadInto(ctx, todo); err != nil {
		return err
	}
	if len(waiting) > 0 {
		b.await(ctx, waiting)
		waiting = missing(waiting)
		if b.gs.opts.Mode == Strict && b.budget >= pollMost { // what has taken a lease away may be a fence
			b.acquire(ctx, notWaiting(waiting))
			waiting = missing(waiting)
			for _, it := range waiting {
				it.fenced = it.fenced || it.lease == nil // somebody else was quicker, since the lease that was waited for is gone
			}
		}
		return b.loadInto(ctx, waiting)
	}
	return nil
}

// askable returns the items that Redis may be asked for.
func (b *batchRead[K, T]) askable() []*batchItem[K, T] {
	if b.direct || b.c.reads.isOpen() {
		return nil
	}
	out := make([]*batchItem[K, T], 0, len(b.items))
	for _, it := range b.items {
		if !it.done && !it.key.IsVoid() && !b.c.pending.has(it.key, b.gs) {
			out = append(out, it)
		}
	}
	return out
}

func missing[K comparable, T any](items []*batchItem[K, T]) []*batchItem[K, T] {
	out := make([]*batchItem[K, T], 0, len(items))
	for _, it := range items {
		if !it.done {
			out = append(out, it)
		}
	}
	return out
}

func notWaiting[K comparable, T any](items []*batchItem[K, T]) []*batchItem[K, T] {
	out := make([]*batchItem[K, T], 0, len(items))
	for _, it := range items {
		if !it.waits {
			out = append(out, it)
		}
	}
	return out
}

// get reads the cells of items, and reports whether Redis answered.
func (b *batchRead[K, T]) get(ctx context.Context, items []*batchItem[K, T]) bool {
	if b.budget <= 0 {
		return false
	}
	start := b.c.opts.Clock.Now()
	opCtx, cancel := context.WithTimeout(ctx, b.budget)
	defer cancel()
	defer func() { b.budget -= b.c.opts.Clock.Now().Sub(start) }()
	stamp, err := b.c.ensureEpoch(opCtx, b.gs)
	if err != nil {
		items[0].read.storeFailed(ctx, "reading the epochs", err)
		return false
	}
	refs := make([]CellRef, len(items))
	for i, it := range items {
		it.read.stamp = stamp
		it.read.takeTicket()
		refs[i] = it.read.ref
	}
	ok := true
	for i, reply := range b.c.store.GetMany(opCtx, refs) {
		it := items[i]
		if reply.Err != nil {
			if ok {
				it.read.storeFailed(ctx, "reading cells", reply.Err)
			}
			ok = false
			continue
		}
		it.waits = len(reply.Cell) > 0 && reply.Cell[0] == 'L'
		if outcome, _, hit := it.read.hit(reply.Cell); hit {
			it.done, it.outcome, it.waits = true, outcome, false
		} else if isValue(reply.Cell) {
			it.unusable = reply.Cell
		}
	}
	if ok {
		b.c.reads.success()
	}
	return ok
}

// acquire asks for the leases of items. What it does not get is loaded without being filled.
func (b *batchRead[K, T]) acquire(ctx context.Context, items []*batchItem[K, T]) {
	if len(items) == 0 || b.budget <= 0 {
		return
	}
	start := b.c.opts.Clock.Now()
	opCtx, cancel := context.WithTimeout(ctx, b.budget)
	defer cancel()
	defer func() { b.budget -= b.c.opts.Clock.Now().Sub(start) }()
	reqs := make([]AcquireRequest, len(items))
	for i, it := range items {
		it.read.takeTicket()
		reqs[i] = it.read.acquireRequest(it.unusable)
	}
	told := false
	for i, reply := range b.c.store.Acquire(opCtx, reqs) {
		it := items[i]
		it.waits = false
		switch {
		case reply.Err != nil:
			if !told {
				it.read.storeFailed(ctx, "asking for leases", reply.Err)
			}
			told = true
		case reply.Status == AcquireOwned:
			it.lease = reply.Cell
		case reply.Status == AcquireHit:
			if outcome, _, hit := it.read.hit(reply.Cell); hit {
				it.done, it.outcome = true, outcome
			} else {
				it.fenced = true // as if: it is loaded without a lease
			}
		case reply.Status == AcquireWait:
			it.waits = true
		case reply.Status == AcquireBypass:
			it.fenced = true
		}
	}
	b.c.opts.Failpoint(ctx, "acquired")
}

// loadInto loads items with one query and fills those that this batch has the lease of. The fills are on their way when it
// returns: nobody has to wait for them.
func (b *batchRead[K, T]) loadInto(ctx context.Context, items []*batchItem[K, T]) error {
	if len(items) == 0 {
		return nil
	}
	members := make([]K, len(items))
	owned := false
	for i, it := range items {
		members[i] = it.member
		owned = owned || it.lease != nil
	}
	settled := false
	defer func() { // an error, a panic, or Goexit: give the leases back
		if !settled && owned {
			b.c.goBackground(func() { b.sendFills(b.fillRequests(items, false)) })
		}
	}()
	if !owned && !b.direct { // the load only runs because Redis could not help: it takes its turn with the others
		if !b.c.sem.TryAcquire(1) {
			if b.c.sem.Acquire(ctx, 1) != nil {
				return items[0].read.overloaded(ctx)
			}
		}
		defer b.c.sem.Release(1)
	}
	var ls loadState
	loadCtx := ctx
	if !b.direct { // else ctx may be that of a load already, and what it says of this one is said of that
		loadCtx = context.WithValue(ctx, loadKey{}, &ls)
	}
	b.qs.counts.loads.Add(1)
	began := b.c.opts.Clock.Now()
	rows, err := b.load(loadCtx, members)
	if err != nil {
		return err
	}
	for _, it := range items {
		it.rows, it.done, it.asked = nil, true, true
		if it.lease != nil {
			it.outcome = ReadMiss
		}
	}
	strays := false
	for _, row := range rows {
		it := b.byMember[b.split(row)]
		if it == nil || !it.asked { // split does not give back what was asked for: then nothing may be stored under it
			strays = true
		}
		if it == nil {
			it = items[0]
		}
		if it.asked { // else its rows are known already, or come with another load
			it.rows = append(it.rows, row)
		}
	}
	for _, it := range items {
		it.asked = false
	}
	settled = true
	filled := make(chan struct{})
	if owned {
		reqs, owners := b.fillRequests(items, !ls.noFill.Load() && !strays)
		owned = b.c.goBackground(func() {
			defer close(filled)
			ctx := context.WithoutCancel(b.c.ctx)
			b.c.opts.Failpoint(ctx, "before-fill")
			for i := range reqs {
				reqs[i].age(b.c.opts.Clock.Now().Sub(began))
			}
			b.sendFills(reqs, owners)
		})
	}
	if b.gs.opts.Mode == Strict {
		b.confirm(ctx, items, owned, filled)
	}
	return nil
}

// confirm does for items what read.confirm does.
func (b *batchRead[K, T]) confirm(ctx context.Context, items []*batchItem[K, T], owned bool, filled <-chan struct{}) {
	known := true
	if owned {
		rest := b.budget / 2 // as in read.confirm
		waiter := read{c: b.c, budget: b.budget - rest}
		known = waiter.wait(ctx, filled)
		b.budget = waiter.budget + rest
	}
	if b.budget <= 0 {
		return
	}
	var reqs []WipeRequest
	for _, it := range items {
		if it.fenced || it.lease != nil && (!known || it.lost) {
			b.c.warm.remove(it.read.ref.Key)
			reqs = append(reqs, WipeRequest{Key: it.read.ref.Key})
		}
	}
	if len(reqs) == 0 {
		return
	}
	start := b.c.opts.Clock.Now()
	opCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.budget)
	defer cancel()
	defer func() { b.budget -= b.c.opts.Clock.Now().Sub(start) }()
	for _, reply := range b.c.wipeStore(opCtx, reqs, 0) {
		if reply.Err != nil {
			b.c.failed("voiding keys whose fences were met", reply.Err)
			return
		}
	}
}

// fillRequests encodes what is to be stored. It runs before the caller gets the rows, which are the caller's to change.
func (b *batchRead[K, T]) fillRequests(items []*batchItem[K, T], storable bool) ([]FillRequest, []*batchItem[K, T]) {
	var reqs []FillRequest
	var filled []*batchItem[K, T]
	for _, it := range items {
		if it.lease == nil {
			continue
		}
		req := FillRequest{CellRef: it.read.ref, Lease: it.lease}
		granted, err := grantedMS(it.lease)
		if storable && err == nil {
			e, err := it.read.encode(nil)
			if err == nil {
				req.Cell = it.read.sealer().seal(e, it.read.stamp, granted, b.c.opts.CompressAbove)
				req.TTL = jitter(b.gs.opts.TTL)
			} else {
				b.qs.counts.notStored.Add(1)
				b.c.failed("encoding a result", err)
			}
		}
		reqs, filled = append(reqs, req), append(filled, it)
	}
	return reqs, filled
}

func (b *batchRead[K, T]) sendFills(reqs []FillRequest, items []*batchItem[K, T]) {
	ctx := context.WithoutCancel(b.c.ctx)
	opCtx, cancel := context.WithTimeout(ctx, b.c.opts.RedisBudget)
	defer cancel()
	told := false
	for i, reply := range b.c.store.Fill(opCtx, reqs) {
		if reply.Err != nil {
			if !told {
				items[i].read.storeFailed(ctx, "filling cells", reply.Err)
			}
			told = true
			items[i].lost = true
			continue
		}
		items[i].lost = reply.Lost
		items[i].read.countFill(reqs[i], reply)
	}
}

// await waits for cells that others have the lease of, for as long as the budget allows.
func (b *batchRead[K, T]) await(ctx context.Context, items []*batchItem[K, T]) {
	pause := pollFirst
	for {
		start := b.c.opts.Clock.Now()
		if b.budget < pause+pollMost || b.c.opts.Clock.Sleep(ctx, pause) != nil {
			return
		}
		b.budget -= b.c.opts.Clock.Now().Sub(start)
		pause = min(pause+pollFirst, pollMost)
		if !b.get(ctx, items) {
			return
		}
		still := false
		left := items[:0:0]
		for _, it := range items {
			if !it.done {
				left = append(left, it)
				still = still || it.waits
			}
		}
		if !still { // filled, or voided meanwhile: what is left is loaded without being filled
			return
		}
		items = left
	}
}

// rows puts the result together.
func (b *batchRead[K, T]) rows() []T {
	n := 0
	for _, it := range b.items {
		n += len(it.rows)
	}
	if n == 0 && b.qs.opts.NilWhenEmpty {
		return nil
	}
	out := make([]T, 0, n)
	for _, it := range b.items {
		out = append(out, it.rows...)
	}
	return out
}

// offer gives the auditor what it wants of the hits, each as a batch of one. It begins anywhere, or the first would always be the
// one that is taken.
func (b *batchRead[K, T]) offer(a Auditor, mutable bool) {
	at := rand.IntN(len(b.items))
	for i := range b.items {
		it := b.items[(at+i)%len(b.items)]
		if !it.outcome.fromCell() || !a.Wants() {
			continue
		}
		member, load, split := it.member, b.load, b.split
		offer(a, &it.read, mutable, func(ctx context.Context) ([]T, error) {
			rows, err := load(ctx, []K{member})
			for _, row := range rows {
				if split(row) != member { // see ReadMany: nothing that it gives is stored
					NoFill(ctx)
				}
			}
			return rows, err
		})
	}
}

func (b *batchRead[K, T]) tell(ctx context.Context, start time.Time, err error) {
	d := b.c.opts.Clock.Now().Sub(start)
	for _, it := range b.items {
		b.qs.counts.outcomes[it.outcome].Add(1)
		if b.c.store == nil {
			continue
		}
		b.c.opts.Observer.Read(ctx, ReadEvent{Group: b.gs.name, Query: b.qs.name, Outcome: it.outcome, Duration: d, Err: err})
	}
}
