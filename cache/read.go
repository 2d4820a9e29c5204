package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strconv"
	"time"
)

// Read returns one cell of a key: from Redis, or from load, whose result is then stored if nothing has changed the key
// meanwhile.
//
// Because of Redis it never fails and never waits longer than Options.RedisBudget. It returns what load returns, its errors
// included; a cached "no row" is QueryOptions.NoRows. The value is the caller's own. load runs with a context that outlives
// the caller's (up to Options.LoadTimeout), since other readers may wait for it; it must read the committed state of the
// source, by statements that begin after it was called, or call NoFill.
func Read[T any](ctx context.Context, c *Cache, key Key, cell Cell[T], load func(context.Context) (T, error)) (T, error) {
	if c.store == nil || key.IsVoid() || cell.err != nil || c.closed.Load() || Loading(ctx) {
		return readSource(ctx, c, key, cell, load)
	}
	gs := c.group(key.group)
	qs := queryOf(c, cell.query, gs)
	if v, ok, err := Near(ctx, c, key, cell); ok {
		return v, err
	}
	r := newRead(c, gs, qs, key, load)
	r.budget = c.opts.RedisBudget
	r.ref = CellRef{Key: key.redis(gs.prefix), Field: r.qs.field + cell.args}

	start := c.opts.Clock.Now()
	outcome, err := r.run(ctx)
	r.qs.counts.outcomes[outcome].Add(1)
	c.opts.Observer.Read(ctx, ReadEvent{
		Group: gs.name, Query: r.qs.name, Outcome: outcome, Duration: c.opts.Clock.Now().Sub(start), Err: r.sourceError(err),
	})
	if outcome.fromCell() {
		if gs.opts.Near > 0 {
			nearKeep(&r.read, cell, &r.result)
		}
		if a := c.opts.Auditor; a != nil && a.Wants() {
			offer(a, &r.read, cell.mutable, load)
		}
	}
	if r.abandoned { // the load goes on and may still write to the result
		var zero T
		return zero, err
	}
	return r.result, err
}

// readSource serves a read that has no business with Redis. Nothing is said of it to an observer when the cache is disabled.
func readSource[T any](ctx context.Context, c *Cache, key Key, cell Cell[T], load func(context.Context) (T, error)) (T, error) {
	if cell.err != nil {
		c.failed("naming a cell", &classedError{ErrorSerialization, cell.err})
	}
	if key.group == nil {
		return load(ctx)
	}
	r := read{qs: queryOf(c, cell.query, c.group(key.group))}
	r.qs.counts.outcomes[ReadBypass].Add(1)
	r.qs.counts.loads.Add(1)
	if c.store == nil {
		return load(ctx)
	}
	start := c.opts.Clock.Now()
	out, err := load(ctx)
	c.opts.Observer.Read(ctx, ReadEvent{
		Group: key.group.name, Query: r.qs.name, Outcome: ReadBypass, Duration: c.opts.Clock.Now().Sub(start), Err: r.sourceError(err),
	})
	return out, err
}

// read is one read on its way.
type read struct {
	c      *Cache
	gs     *groupState
	qs     *queryState
	key    Key
	ref    CellRef
	budget time.Duration // what is left of the time that may be spent on waiting for Redis
	stamp  uint32        // of the epochs, known before the lease is asked for
	ticket nearTicket    // of the last look at the cell, in a group with GroupOptions.Near
	entry  entry         // that a hit was made of

	value     any    // *T
	source    source // sets *value
	abandoned bool   // the caller left while the load that sets *value was running

	fallbackState loadState // of the load of a fallback
}

// source asks for what a read is about.
type source interface {
	load(ctx context.Context) error
}

// typedRead is a read with its result and its load, in one piece of memory.
type typedRead[T any] struct {
	read
	result T
	from   func(context.Context) (T, error)
}

func newRead[T any](c *Cache, gs *groupState, qs *queryState, key Key, from func(context.Context) (T, error)) *typedRead[T] {
	r := &typedRead[T]{read: read{c: c, gs: gs, qs: qs, key: key}, from: from}
	r.value, r.source = &r.result, r
	return r
}

func (r *typedRead[T]) load(ctx context.Context) (err error) {
	r.result, err = r.from(ctx)
	return err
}

// maxAttempts bounds how often a read starts over because a value that it waited for could not be shared.
const maxAttempts = 3

// run is the read path from top to bottom.
func (r *read) run(ctx context.Context) (ReadOutcome, error) {
	if r.c.pending.has(r.key, r.gs) || r.c.reads.isOpen() {
		return r.fallback(ctx)
	}
	for attempt := range maxAttempts {
		var cell []byte
		if attempt > 0 || !r.expectMiss() {
			var err error
			if cell, err = r.get(ctx); err != nil {
				return r.fallback(ctx)
			}
			if outcome, err, ok := r.hit(cell); ok {
				return outcome, err
			}
		}
		fl, leader, late := r.c.flights.join(flightKey{r.ref, r.stamp})
		switch {
		case late:
			if !r.wait(ctx, fl.done) {
				return r.fallback(ctx)
			}
			continue
		case leader:
			if !r.c.goBackground(func() { r.lead(context.WithoutCancel(ctx), fl, cell) }) {
				fl.fallback = true
				r.c.end(fl)
			}
			if outcome, err, ok := r.awaitOwn(ctx, fl); ok {
				if outcome == ReadMiss && r.strictly(err) {
					r.confirm(ctx, fl)
				}
				return outcome, err
			}
		default:
			if outcome, err, ok := r.awaitOther(ctx, fl); ok {
				return outcome, err
			}
		}
		if fl.fallback || fl.unshared {
			outcome, err := r.fallback(ctx)
			if r.strictly(err) && (fl.fenced || fl.leased) { // a lease that had to be given back covers no second load
				r.voidAgain(ctx)
			}
			return outcome, err
		}
	}
	outcome, err := r.fallback(ctx)
	if r.strictly(err) {
		r.voidAgain(ctx)
	}
	return outcome, err
}

// strictly reports whether the source has told the caller something after which nobody may be told what is older.
func (r *read) strictly(err error) bool {
	return r.gs.opts.Mode == Strict && !r.abandoned && r.sourceError(err) == nil
}

// expectMiss reports whether to ask for the lease at once, which reads the cell too: of a key that this process has not seen
// filled since it wrote it last, there is likely nothing to read, and a round trip is saved.
func (r *read) expectMiss() bool {
	known := r.gs.epoch.known.Load()
	if r.c.warm.has(r.ref.Key) || known == nil || r.c.opts.Clock.Now().Sub(known.at) >= epochFresh {
		return false
	}
	r.stamp = known.stamp
	return true
}

// get reads the cell, and the epochs along with it when they are due. A plain read of Redis is never shared between callers:
// an answer on the wire may be older than a write that has returned since.
func (r *read) get(ctx context.Context) ([]byte, error) {
	if r.budget <= 0 {
		return nil, context.DeadlineExceeded
	}
	r.takeTicket()
	epoch := r.c.epoch(r.gs)
	start := r.c.opts.Clock.Now()
	opCtx, cancel := context.WithTimeout(ctx, r.budget)
	cell, values, err := r.c.store.Get(opCtx, r.ref, epoch.keys)
	if epoch.keys != nil {
		err = r.c.learn(opCtx, r.gs, &epoch, values, err)
	}
	cancel()
	r.spent(start)
	r.stamp = epoch.stamp
	if err != nil {
		r.storeFailed(ctx, "reading a cell", err)
		return nil, err
	}
	r.c.reads.success()
	return cell, nil
}

func (r *read) takeTicket() {
	if r.gs.opts.Near > 0 {
		r.ticket = r.c.near.ticket(r.ref.Key)
	}
}

func (r *read) spent(since time.Time) { r.budget -= r.c.opts.Clock.Now().Sub(since) }

// storeFailed counts an error of the store, unless the caller's own context has ended.
func (r *read) storeFailed(ctx context.Context, doing string, err error) {
	if ctx.Err() != nil {
		return
	}
	r.c.failed(doing, err)
	r.c.reads.failure(err)
}

// hit takes the value out of a cell, if there is one that can be used. The error is QueryOptions.NoRows for a negative one.
func (r *read) hit(cell []byte) (ReadOutcome, error, bool) {
	if !isValue(cell) {
		return 0, nil, false
	}
	e, err := r.sealer().open(cell, r.stamp, r.c.notBefore.Load())
	if err == nil {
		err = r.use(e)
	}
	if err != nil {
		r.c.counts.cellsRefused.Add(1)
		if !errors.Is(err, errOtherEpoch) && !errors.Is(err, errTooOld) {
			r.c.failed("opening a cell", &classedError{ErrorSerialization, err})
		}
		return 0, nil, false
	}
	r.c.warm.add(r.ref.Key)
	r.entry = e
	if e.negative {
		return ReadNegative, r.qs.opts.NoRows, true
	}
	return ReadHit, nil, true
}

func isValue(cell []byte) bool { return len(cell) > 0 && cell[0] == 'V' }

func (r *read) sealer() sealer {
	return sealer{key: r.ref.Key, field: r.ref.Field, maxPayload: r.c.opts.MaxCellBytes}
}

// use decodes an entry into the caller's own value.
func (r *read) use(e entry) error {
	if e.negative {
		if r.qs.opts.NoRows == nil { // of another query of this name and shape
			return errUnknown
		}
		return nil
	}
	err := unmarshal(r.qs.codec, e.payload, r.value)
	if err != nil { // leave nothing half decoded behind
		reflect.ValueOf(r.value).Elem().SetZero()
	}
	return err
}

// encode turns the result of a load into an entry; loadErr is what the load returned. It fails when the result may not be
// stored.
func (r *read) encode(loadErr error) (entry, error) {
	if loadErr != nil {
		if r.isNoRows(loadErr) && !r.gs.opts.NegativeOff {
			return entry{negative: true}, nil
		}
		return entry{}, loadErr
	}
	payload, err := marshal(r.qs.codec, r.value)
	if err != nil {
		return entry{}, &classedError{ErrorSerialization, fmt.Errorf("cache: encoding a result of %s: %w", r.qs.name, err)}
	}
	if len(payload) > r.c.opts.MaxCellBytes {
		return entry{}, &classedError{ErrorMemory, fmt.Errorf("cache: a result of %s has %d bytes, more than MaxCellBytes (%d)",
			r.qs.name, len(payload), r.c.opts.MaxCellBytes)}
	}
	return entry{payload: payload}, nil
}

func (r *read) isNoRows(err error) bool {
	return r.qs.opts.NoRows != nil && errors.Is(err, r.qs.opts.NoRows)
}

func (r *read) sourceError(err error) error {
	if err != nil && r.isNoRows(err) {
		return nil
	}
	return err
}

// lead gets the lease, loads, and fills: the part of a read that several readers may share. ctx is not the caller's: a
// caller that gives up leaves the load to the others.
func (r *read) lead(ctx context.Context, fl *flight, unusable []byte) {
	defer r.c.end(fl)
	lease := r.acquire(ctx, fl, unusable)
	if lease == nil {
		return
	}
	granted, err := grantedMS(lease)
	if err != nil {
		fl.fallback = true
		r.c.failed("reading a lease", err)
		return
	}
	fl.leased = true
	close(fl.loading)
	r.c.opts.Failpoint(ctx, "acquired")

	// The load must see the source as it is after the lease was granted: a new statement, on the primary.
	var ls loadState
	loadCtx, cancel := context.WithTimeout(context.WithValue(ctx, loadKey{}, &ls), r.c.opts.LoadTimeout)
	unhook := context.AfterFunc(r.c.ctx, cancel) // Close does not wait for the source
	r.c.flights.begin(fl, cancel)
	fl.outcome = ReadMiss
	exited := true
	defer func() {
		if exited { // the load has ended this goroutine: give the lease back
			cancel()
			r.fill(ctx, FillRequest{CellRef: r.ref, Lease: lease})
		}
	}()
	began := r.c.opts.Clock.Now()
	func() {
		defer func() {
			if p := recover(); p != nil {
				fl.panic = p
			}
		}()
		fl.err = errLoadExited // stays if the load ends its goroutine
		fl.err = r.runLoad(loadCtx)
	}()
	exited = false
	timedOut := fl.err != nil && loadCtx.Err() != nil
	unhook()
	cancel()

	e, err := r.encode(fl.err)
	storable := err == nil && fl.panic == nil && !ls.noFill.Load()
	fl.unshared = !storable
	if fl.err == nil && err != nil {
		r.qs.counts.notStored.Add(1)
		r.c.failed("encoding a result", err)
	}
	if timedOut {
		fl.fallback = true // a caller with more time asks again under its own context
	}
	r.c.flights.close(fl) // before the fill is sent
	close(fl.loaded)      // the leader goes; it does not wait for the fill
	runtime.Gosched()     // now, before the fill takes the processor

	fill := FillRequest{CellRef: r.ref, Lease: lease}
	if storable {
		fill.Cell = r.sealer().seal(e, r.stamp, granted, r.c.opts.CompressAbove)
		fill.TTL = jitter(r.gs.opts.TTL)
		if e.negative {
			fill.TTL, fill.Shrink = jitter(min(r.gs.opts.TTL, r.c.opts.NegativeTTL)), true
		}
	}
	r.c.opts.Failpoint(ctx, "before-fill")
	fill.age(r.c.opts.Clock.Now().Sub(began))
	reply := r.fill(ctx, fill)
	if reply.Stored {
		fl.entry, fl.stored = e, true
	}
	fl.lost = reply.Lost || reply.Err != nil
}

// age takes the time that has passed since a load began off the TTL of its result, which is promised from the load on.
func (f *FillRequest) age(d time.Duration) {
	if f.TTL -= d; f.TTL <= 0 {
		f.Cell = nil
	}
}

var errLoadExited = errors.New("cache: the load ended its goroutine")

// fill sends a fill and counts what became of it.
func (r *read) fill(ctx context.Context, req FillRequest) FillReply {
	opCtx, cancel := context.WithTimeout(ctx, r.c.opts.RedisBudget)
	defer cancel()
	reply := r.c.store.Fill(opCtx, []FillRequest{req})[0]
	if reply.Err != nil {
		r.storeFailed(ctx, "filling a cell", reply.Err)
	} else {
		r.countFill(req, reply)
	}
	return reply
}

func (r *read) countFill(req FillRequest, reply FillReply) {
	switch {
	case len(req.Cell) == 0:
	case reply.Stored:
		r.c.warm.add(r.ref.Key)
		r.qs.counts.fills.Add(1)
	default:
		r.qs.counts.fillsLost.Add(1)
	}
}

// acquire returns the lease, or nil when the flight ends without a load: somebody else's fill was there, a write is in
// progress, or Redis does not answer.
func (r *read) acquire(ctx context.Context, fl *flight, unusable []byte) []byte {
	if !isValue(unusable) {
		unusable = nil
	}
	fl.fallback = true
	pause := pollFirst
	for r.budget > 0 {
		r.takeTicket()
		start := r.c.opts.Clock.Now()
		opCtx, cancel := context.WithTimeout(ctx, r.budget)
		reply := r.c.store.Acquire(opCtx, []AcquireRequest{r.acquireRequest(unusable)})[0]
		cancel()
		r.spent(start)
		if reply.Err != nil {
			r.storeFailed(ctx, "asking for a lease", reply.Err)
			return nil
		}
		r.c.reads.success()
		switch reply.Status {
		case AcquireOwned:
			fl.fallback = false
			return reply.Cell
		case AcquireHit:
			if r.foundByOther(fl, reply.Cell) {
				return nil
			}
			unusable = reply.Cell
		case AcquireWait:
			cell, err := r.poll(ctx, &pause)
			if err != nil || r.foundByOther(fl, cell) {
				return nil
			}
			if isValue(cell) {
				unusable = cell
			}
		default: // a write is in progress
			fl.fenced = true
			return nil
		}
	}
	return nil
}

func (r *read) acquireRequest(unusable []byte) AcquireRequest {
	return AcquireRequest{
		CellRef:  r.ref,
		Nonce:    newToken(),
		Unusable: unusable,
		// A key that has less than a lease left to live is emptied for a new cell: the lease has to be short beside the TTL,
		// or the cells of a key would throw each other out.
		Lease:    min(r.c.opts.LeaseTTL, r.gs.opts.TTL/4),
		MaxCells: r.c.opts.MaxCells,
	}
}

// confirm lets a strict group's reader return what it has loaded under its lease: when the lease was still there at its end, or the
// key was voided once more. See voidAgain.
func (r *read) confirm(ctx context.Context, fl *flight) {
	rest := r.budget / 2 // for voiding, if the answer does not come
	r.budget -= rest
	known := r.wait(ctx, fl.done)
	r.budget += rest
	if !known || fl.lost {
		r.voidAgain(ctx)
	}
}

// voidAgain is for what a strict group's fence kept from the cache, at the lease or at the fill, and the source has told all the
// same: it may be what the write has just committed. If Redis has lost the fence meanwhile, a reader may have filled the key with
// what came before, and the next one would see it after this one's. A fence that is still there is left alone.
func (r *read) voidAgain(ctx context.Context) {
	if r.budget <= 0 {
		return
	}
	// Whatever has become of the caller's context: it is told the value all the same.
	opCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.budget)
	defer cancel()
	r.c.warm.remove(r.ref.Key)
	if err := r.c.wipeStore(opCtx, []WipeRequest{{Key: r.ref.Key}}, 0)[0].Err; err != nil {
		r.c.failed("voiding a key whose fence was met", err) // for the breaker too little time may have been left
	}
}

// foundByOther takes a value that another process has filled. It is the leader's; those who joined look for themselves.
func (r *read) foundByOther(fl *flight, cell []byte) bool {
	outcome, err, ok := r.hit(cell)
	if ok {
		fl.outcome, fl.err = outcome, err
		fl.fallback = false
	}
	return ok
}

// How long a reader waits between two looks at a cell that somebody else has the lease of.
const (
	pollFirst = 2 * time.Millisecond
	pollMost  = 10 * time.Millisecond
)

// poll waits until the cell is something else than a lease, or the budget is used up.
func (r *read) poll(ctx context.Context, pause *time.Duration) ([]byte, error) {
	for {
		start := r.c.opts.Clock.Now()
		if r.budget < *pause+pollMost { // too little would be left for the answer, and Redis be taken for slow
			return nil, context.DeadlineExceeded
		}
		if err := r.c.opts.Clock.Sleep(ctx, *pause); err != nil {
			return nil, err
		}
		r.spent(start)
		*pause = min(*pause+pollFirst, pollMost)
		cell, err := r.get(ctx)
		if err != nil || len(cell) == 0 || cell[0] != 'L' {
			return cell, err
		}
	}
}

// runLoad runs the load and counts it.
func (r *read) runLoad(ctx context.Context) error {
	r.qs.counts.loads.Add(1)
	return r.source.load(ctx)
}

// awaitOwn waits for the flight that the caller leads.
func (r *read) awaitOwn(ctx context.Context, fl *flight) (ReadOutcome, error, bool) {
	select {
	case <-fl.loaded:
	case <-ctx.Done():
		r.abandoned = true
		r.c.detach(fl)
		return ReadMiss, ctx.Err(), true
	}
	if fl.panic != nil {
		panic(fl.panic)
	}
	if fl.fallback {
		return 0, nil, false
	}
	return fl.outcome, fl.err, true
}

// awaitOther waits for a flight that somebody else leads. The time in which Redis is asked counts against the budget, the
// time of the load does not: without a cache the caller would wait for that too.
func (r *read) awaitOther(ctx context.Context, fl *flight) (ReadOutcome, error, bool) {
	if !r.wait(ctx, fl.loading) {
		return r.gaveUp(ctx)
	}
	select {
	case <-fl.loaded:
	case <-ctx.Done():
		return r.gaveUp(ctx)
	}
	if !r.wait(ctx, fl.done) {
		return r.gaveUp(ctx)
	}
	if !fl.stored || r.use(fl.entry) != nil {
		return 0, nil, false
	}
	if fl.entry.negative {
		return ReadShared, r.qs.opts.NoRows, true
	}
	return ReadShared, nil, true
}

// gaveUp ends a wait: with the caller's context, or by going on from the source.
func (r *read) gaveUp(ctx context.Context) (ReadOutcome, error, bool) {
	if err := ctx.Err(); err != nil {
		return ReadBypass, err, true
	}
	outcome, err := r.fallback(ctx)
	return outcome, err, true
}

// wait waits for ch, for as long as the budget and the caller's context allow.
func (r *read) wait(ctx context.Context, ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
	}
	if r.budget <= 0 {
		return false
	}
	start := r.c.opts.Clock.Now()
	defer func() { r.spent(start) }()
	over := make(chan struct{})
	stop := r.c.opts.Clock.AfterFunc(r.budget, func() { close(over) })
	defer stop()
	select {
	case <-ch:
		return true
	case <-over:
		return false
	case <-ctx.Done():
		return false
	}
}

// grantedMS reads from a lease, L<deadline ms>|<granted µs>|<nonce>, when it was granted, in ms of the server's clock.
func grantedMS(lease []byte) (int64, error) {
	parts := bytes.SplitN(lease, []byte("|"), 3)
	if len(parts) == 3 {
		if us, err := strconv.ParseInt(string(parts[1]), 10, 64); err == nil {
			return us / 1000, nil
		}
	}
	return 0, errors.New("cache: malformed lease")
}
