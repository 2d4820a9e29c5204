package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Outcome tells what became of a commit. The zero value is an outcome that nobody can tell and that nothing resolves: the
// fences stay until they run out.
type Outcome struct {
	state   outcomeState
	resolve func(context.Context) (Outcome, error)
}

type outcomeState uint8

const (
	outcomeUnknown outcomeState = iota
	outcomeCommitted
	outcomeRolledBack
)

// The known outcomes.
var (
	Committed  = Outcome{state: outcomeCommitted}
	RolledBack = Outcome{state: outcomeRolledBack}
)

// InDoubt is the outcome of a commit whose answer is missing. resolve is called in the background, again after an error, until
// it returns an outcome, which may be in doubt itself; it may block, and must return when its context ends.
func InDoubt(resolve func(context.Context) (Outcome, error)) Outcome {
	return Outcome{resolve: resolve}
}

// Known reports whether the commit is known to have happened, or not to have.
func (o Outcome) Known() bool { return o.state != outcomeUnknown }

// maxFenceKeys is the most keys that one write fences. Beyond it the groups of the write change their epoch instead.
const maxFenceKeys = 10_000

// Write runs commit, and makes what it changes invisible in the cache: keys of fenced and strict groups are fenced before
// commit is called, and the fences are taken away once its outcome is known; keys of aftercommit groups are invalidated after
// it. commit must make the change visible in the source, and nothing of the change may be visible before it is called.
//
// Write returns commit's error. It fails of its own accord only before commit was called, so that nothing has been changed:
// with the context's error, with ErrFence when a strict group could not be fenced, and with ErrClosed.
// When Redis cannot be told of a change that was committed, the keys stay pending: this process reads them from the source
// until it can.
func (c *Cache) Write(ctx context.Context, keys []Key, commit func(context.Context) (Outcome, error)) error {
	if c.store == nil {
		_, err := commit(ctx)
		return err
	}
	w := newWrite(c, keys)
	if w.empty() {
		_, err := commit(ctx)
		return err
	}
	if !c.begin() {
		return ErrClosed
	}
	defer c.bg.Done()
	if err := w.fence(ctx); err != nil {
		return err
	}
	c.opts.Failpoint(ctx, "after-fence")

	stop := w.keepFences()
	returned := false
	defer func() {
		if !returned { // commit panicked: nobody can tell what became of it
			w.settle(ctx, Outcome{}, stop)
		}
	}()
	outcome, err := commit(ctx)
	returned = true
	c.opts.Failpoint(ctx, "after-commit")
	w.settle(ctx, outcome, stop)
	return err
}

// write is one write on its way.
type write struct {
	c     *Cache
	token string // of its fences

	fenced []Key         // of fenced and strict groups
	strict map[Key]bool  // those of fenced whose group is strict
	after  []Key         // of aftercommit groups
	groups []*groupState // voided as a whole

	marked  []Key // fences that Redis has acknowledged
	pending []Key // keys that Redis has not been told of before the commit
	late    error // why keys of aftercommit groups could not be invalidated
}

func newWrite(c *Cache, keys []Key) *write {
	w := &write{c: c, token: newToken(), strict: make(map[Key]bool)}
	seen := make(map[Key]bool, len(keys))
	byGroup := make(map[*groupState]int)
	whole := make(map[*groupState]bool)
	for _, k := range keys {
		if k.isAll() && !seen[k] {
			seen[k] = true
			whole[c.group(k.group)] = true
			w.groups = append(w.groups, c.group(k.group))
		}
	}
	for _, k := range keys {
		if k.IsVoid() || seen[k] || whole[c.group(k.group)] {
			continue
		}
		seen[k] = true
		g := c.group(k.group)
		byGroup[g]++
		switch g.opts.Mode {
		case AfterCommit:
			w.after = append(w.after, k)
		case Strict:
			w.strict[k] = true
			fallthrough
		case Fenced:
			w.fenced = append(w.fenced, k)
		}
	}
	if len(seen) > maxFenceKeys {
		w.fenced, w.after = nil, nil
		for g := range byGroup {
			w.groups = append(w.groups, g)
		}
		return w
	}
	for g, n := range byGroup {
		g.invalidations.Add(uint64(n))
	}
	return w
}

func (w *write) empty() bool { return len(w.fenced)+len(w.after)+len(w.groups) == 0 }

// fence is MARK: it voids the keys and keeps them void until the write is over. A fence that is not acknowledged fails the
// write in a strict group, and makes the key pending elsewhere.
func (w *write) fence(ctx context.Context) error {
	for _, g := range w.groups {
		w.c.pending.holdGroup(g)
	}
	for _, g := range w.groups {
		if g.opts.Mode == AfterCommit {
			continue
		}
		// Before the commit too: TRUNCATE keeps every reader out until then, and a writer that dies leaves nothing old.
		opCtx, cancel := context.WithTimeout(ctx, w.c.opts.FenceBudget)
		err := w.c.bump(opCtx, g)
		cancel()
		if err != nil && g.opts.Mode == Strict {
			w.releaseGroups()
			return fmt.Errorf("%w: group %s: %w", ErrFence, g.name, err)
		}
		if err != nil {
			w.c.failed("voiding a group before a commit", err)
		}
	}
	if len(w.fenced) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		w.releaseGroups()
		return err
	}
	replies, err := w.mark(ctx)
	var failed []Key
	var cause error
	for i, k := range w.fenced {
		if replyErr := firstError(err, replies, i); replyErr != nil {
			failed = append(failed, k)
			cause = replyErr
			continue
		}
		w.marked = append(w.marked, k)
	}
	if cause == nil {
		w.c.writes.success()
		return nil
	}
	ended := ctx.Err()
	if ended == nil {
		w.c.failed("fencing a write", cause)
		w.c.writes.failure(cause)
	}
	for _, k := range failed {
		if ended == nil && w.strict[k] {
			ended = fmt.Errorf("%w: group %s: %w", ErrFence, k.Group(), cause)
		}
	}
	w.c.pending.hold(failed, w.token)
	if ended != nil { // nothing will be committed: take away what may be there
		w.c.pending.release(failed)
		w.clearInBackground(w.marked)
		w.releaseGroups()
		return ended
	}
	w.pending = append(w.pending, failed...)
	return nil
}

func (w *write) releaseGroups() {
	for _, g := range w.groups {
		w.c.pending.releaseGroup(g)
	}
}

func firstError(err error, replies []WipeReply, i int) error {
	if replies == nil {
		return err
	}
	return replies[i].Err
}

var errWritesOpen = errors.New("cache: Redis has not answered the last writes")

// mark sends the fences. Replies are nil when it did not.
func (w *write) mark(ctx context.Context) ([]WipeReply, error) {
	if w.c.writes.isOpen() {
		return nil, &classedError{ErrorConnection, errWritesOpen}
	}
	opCtx, cancel := context.WithTimeout(ctx, w.c.opts.FenceBudget)
	defer cancel()
	replicas := 0
	if len(w.strict) > 0 {
		replicas = w.c.opts.Replicas
	}
	return w.c.wipeStore(opCtx, w.wipes(w.fenced, w.token, ""), replicas), nil
}

func (w *write) wipes(keys []Key, add, remove string) []WipeRequest {
	reqs := make([]WipeRequest, len(keys))
	for i, k := range keys {
		reqs[i] = w.c.wipeRequest(k)
		reqs[i].Add, reqs[i].Remove = add, remove
		w.c.warm.remove(reqs[i].Key)
		if add != "" {
			reqs[i].TTL = w.c.opts.FenceTTL
		}
	}
	return reqs
}

// keepFences renews the fences for as long as the outcome is open: a COMMIT that hangs must not outlive them.
func (w *write) keepFences() (stop func()) {
	if len(w.marked) == 0 {
		return func() {}
	}
	var mu sync.Mutex
	var stopTimer func() bool
	stopped := false
	var renew func()
	arm := func() { stopTimer = w.c.opts.Clock.AfterFunc(w.c.opts.FenceTTL/3, renew) }
	renew = func() {
		// Under the lock, so that a renewal never comes after the fences were taken away.
		mu.Lock()
		defer mu.Unlock()
		if stopped {
			return
		}
		// Close waits for the write, so that the fences have to live.
		opCtx, cancel := context.WithTimeout(context.WithoutCancel(w.c.ctx), w.c.opts.FenceBudget)
		defer cancel()
		w.c.wipeStore(opCtx, w.wipes(w.marked, w.token, ""), 0)
		arm()
	}
	mu.Lock()
	defer mu.Unlock()
	arm()
	return func() {
		mu.Lock()
		defer mu.Unlock()
		stopped = true
		stopTimer()
	}
}

// settle ends a write whose commit has returned. Only a known outcome takes the fences away (protocol H2): a commit that may
// still become visible must not find a cache that has been filled again.
func (w *write) settle(ctx context.Context, o Outcome, stop func()) {
	if o.Known() {
		stop()
		w.finish(ctx, o, false)
		return
	}
	w.c.pending.hold(w.after, "")
	ok := w.c.goBackground(func() {
		defer stop()
		o := w.resolve(o)
		if !o.Known() {
			return // closed: the fences run out by themselves
		}
		stop()
		w.finish(w.c.ctx, o, true)
		w.c.pending.release(w.after)
	})
	if !ok {
		stop()
	}
}

// resolve asks until the outcome is known. An outcome that nothing resolves is left alone for as long as a fence lives.
func (w *write) resolve(o Outcome) Outcome {
	wait := 10 * time.Millisecond
	for !o.Known() {
		if o.resolve == nil {
			if w.c.opts.Clock.Sleep(w.c.ctx, w.c.opts.FenceTTL) != nil {
				return o
			}
			return Committed // or not: to void a key too often does no harm
		}
		next, err := o.resolve(w.c.ctx)
		if err == nil {
			o = next
			continue
		}
		if w.c.ctx.Err() != nil {
			return o
		}
		w.c.failed("resolving the outcome of a commit", err)
		if w.c.opts.Clock.Sleep(w.c.ctx, wait) != nil {
			return o
		}
		wait = min(2*wait, time.Second)
	}
	return o
}

// finish tells Redis of a known outcome. Fences need not be waited for, since a live one already keeps readers away; what
// has no fence must be. A strict write waits all the same: its fence may have been evicted or flushed, and then a reader may
// have filled the key with what the commit has replaced.
func (w *write) finish(ctx context.Context, o Outcome, background bool) {
	w.dropNear()
	w.c.pending.release(w.pending)
	if background {
		w.clear(w.marked)
	} else {
		var strict, others []Key
		for _, k := range w.marked {
			if w.strict[k] {
				strict = append(strict, k)
			} else {
				others = append(others, k)
			}
		}
		w.clearInBackground(others)
		w.clear(strict)
	}
	for _, g := range w.groups {
		_ = w.c.voidHeld(ctx, g) // what fails stays pending
	}
	if o.state == outcomeCommitted {
		w.invalidateAfter(ctx)
	}
	w.tell(ctx)
}

// dropNear is for a fence that Redis has lost: what this process has read since it was put on the key is older than the commit.
func (w *write) dropNear() {
	for _, k := range w.fenced {
		if g := w.c.group(k.group); g.opts.Near > 0 {
			w.c.near.drop(k.redis(g.prefix))
		}
	}
}

func (w *write) clearInBackground(keys []Key) {
	if len(keys) > 0 && !w.c.goBackground(func() { w.clear(keys) }) {
		w.clear(keys)
	}
}

// clear is CLEAR: it takes the fences away, and voids the keys once more.
func (w *write) clear(keys []Key) {
	if len(keys) == 0 {
		return
	}
	ctx := context.WithoutCancel(w.c.ctx) // a cache that is being closed still finishes its writes
	w.c.opts.Failpoint(ctx, "before-clear")
	opCtx, cancel := context.WithTimeout(ctx, w.c.opts.FenceBudget)
	defer cancel()
	var late []Key
	var cause error
	for i, reply := range w.c.wipeStore(opCtx, w.wipes(keys, "", w.token), 0) {
		if reply.Err != nil {
			late, cause = append(late, keys[i]), reply.Err
		} else if !reply.Found {
			w.c.counts.markersLost.Add(1)
		}
	}
	if cause != nil {
		// No harm is done: the fence keeps readers away until it runs out. Taking it away sooner spares the source.
		w.c.failed("ending the fence of a write", cause)
		w.c.pending.hold(late, w.token)
		w.c.pending.release(late)
	}
}

// voidHeld changes the epoch of a group that is pending, and ends that, or leaves it to be drained.
func (c *Cache) voidHeld(ctx context.Context, g *groupState) error {
	g.groupInvalidations.Add(1)
	opCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.opts.FenceBudget)
	defer cancel()
	e := InvalidateEvent{Group: g.name}
	if err := c.bump(opCtx, g); err != nil {
		c.failed("voiding a group", err)
		g.invalidationsPending.Add(1)
		c.pending.releaseGroup(g)
		e.Err = fmt.Errorf("%w: %w", ErrInvalidationPending, err)
	} else {
		c.pending.dropGroup(g)
	}
	c.opts.Observer.Invalidated(ctx, e)
	return e.Err
}

// invalidateAfter voids the keys of aftercommit groups, and waits for it: nothing else makes the write visible.
func (w *write) invalidateAfter(ctx context.Context) {
	if len(w.after) == 0 {
		return
	}
	if w.late = w.c.wipe(ctx, w.after); w.late != nil {
		w.c.failed("invalidating after a commit", w.late)
	}
}

func (w *write) tell(ctx context.Context) {
	type sum struct {
		keys, pending int
		late          bool
	}
	sums := make(map[*groupState]*sum)
	count := func(keys []Key, add func(*sum)) {
		for _, k := range keys {
			g := w.c.group(k.group)
			if sums[g] == nil {
				sums[g] = &sum{}
			}
			add(sums[g])
		}
	}
	count(w.fenced, func(s *sum) { s.keys++ })
	count(w.after, func(s *sum) { s.keys++; s.late = w.late != nil })
	count(w.pending, func(s *sum) { s.pending++ })
	for g, s := range sums {
		e := InvalidateEvent{Group: g.name, Keys: s.keys}
		if s.pending > 0 {
			g.invalidationsPending.Add(uint64(s.pending))
		}
		if s.pending > 0 || s.late {
			e.Err = ErrInvalidationPending
		}
		w.c.opts.Observer.Invalidated(ctx, e)
	}
}

// wipe voids keys, waits for it, and makes those that Redis could not be told of pending.
func (c *Cache) wipe(ctx context.Context, keys []Key) error {
	reqs := make([]WipeRequest, len(keys))
	for i, k := range keys {
		reqs[i] = c.wipeRequest(k)
		c.warm.remove(reqs[i].Key)
	}
	c.pending.hold(keys, "") // while it is on its way this process does not read them
	opCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.opts.FenceBudget)
	defer cancel()
	var cause error
	var done []Key
	for i, reply := range c.wipeStore(opCtx, reqs, 0) {
		if reply.Err != nil {
			cause = reply.Err
			c.group(keys[i].group).invalidationsPending.Add(1)
			continue
		}
		done = append(done, keys[i])
	}
	c.pending.drop(done)
	if cause == nil {
		return nil
	}
	failed := make([]Key, 0, len(keys))
	isDone := make(map[Key]bool, len(done))
	for _, k := range done {
		isDone[k] = true
	}
	for _, k := range keys {
		if !isDone[k] {
			failed = append(failed, k)
		}
	}
	c.pending.release(failed)
	return cause
}

// Invalidate voids keys by hand: for changes that no generated write makes. When it returns nil every later read sees the
// source. Otherwise it returns ErrInvalidationPending: it is retried, and this process reads the keys from the source
// meanwhile. A closed cache invalidates nothing and returns ErrClosed.
func (c *Cache) Invalidate(ctx context.Context, keys ...Key) error {
	if c.store == nil {
		return nil
	}
	seen := make(map[Key]bool, len(keys))
	byGroup := make(map[*groupState]int)
	var todo []Key
	var groups []*groupState
	for _, k := range keys {
		if k.isAll() && !seen[k] {
			seen[k] = true
			groups = append(groups, c.group(k.group))
			continue
		}
		if !k.IsVoid() && !seen[k] {
			seen[k] = true
			todo = append(todo, k)
			byGroup[c.group(k.group)]++
		}
	}
	if len(todo)+len(groups) == 0 {
		return nil
	}
	if !c.begin() {
		return ErrClosed
	}
	defer c.bg.Done()
	var groupErr error
	for _, g := range groups {
		c.pending.holdGroup(g)
		if err := c.voidHeld(ctx, g); err != nil {
			groupErr = err
		}
	}
	var err error
	if len(todo) > 0 {
		if err = c.wipe(ctx, todo); err != nil {
			c.failed("invalidating", err)
			err = fmt.Errorf("%w: %w", ErrInvalidationPending, err)
		}
	}
	for g, n := range byGroup {
		g.invalidations.Add(uint64(n))
		c.opts.Observer.Invalidated(ctx, InvalidateEvent{Group: g.name, Keys: n, Err: err})
	}
	if err == nil {
		err = groupErr
	}
	return err
}

// InvalidateGroup voids all keys of a group by changing its epoch. This process sees it at once, others within two seconds.
// Errors are as for Invalidate.
func (c *Cache) InvalidateGroup(ctx context.Context, g AnyGroup) error {
	if c.store == nil {
		return nil
	}
	if !c.begin() {
		return ErrClosed
	}
	defer c.bg.Done()
	gs := c.group(g.base())
	c.pending.holdGroup(gs)
	return c.voidHeld(ctx, gs)
}
