package sim

import (
	"context"
	"fmt"
	"net"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/pgaside/pgaside/cache"
)

// errReset is what a client sees of a connection that breaks.
var errReset error = &net.OpError{Op: "read", Net: "sim", Err: syscall.ECONNRESET}

// link is the connection of one client to Redis.
type link struct {
	w *world
	c *client
}

type opKey struct{}

// nameOf is the operation that ctx belongs to, or the client when it works in the background.
func (w *world) nameOf(ctx context.Context, c *client) string {
	if op, ok := ctx.Value(opKey{}).(string); ok {
		return c.name + "." + op
	}
	return c.name
}

// fate is what becomes of a request.
type fate int

const (
	fateOK fate = iota
	fateRefused
	fateLost      // the request: not executed, and no answer
	fateReset     // executed, and the connection breaks before the reply
	fateSilent    // executed, and no answer
	fateLate      // the connection breaks, and the request is executed later
	fateDuplicate // executed, answered, and executed again later
)

var fateNames = [...]string{"ok", "refuse", "lose the request", "lose the reply", "lose the reply in silence", "deliver late", "duplicate"}

func (w *world) fate(c *client, op, name string) fate {
	if c.out > 0 {
		c.out--
		return fateRefused
	}
	if c.outGet > 0 && op != "wipe" && op != "time" {
		c.outGet--
		return fateRefused
	}
	if w.calm || w.q > fairAfter {
		return fateOK
	}
	if op == w.tr.focusOp && w.frac(name, "focus") < 0.5 && w.fault(1, fateNames[w.tr.focusFate], name) {
		return w.tr.focusFate
	}
	if w.frac(name, "fate") >= w.tr.faults {
		return fateOK
	}
	f := w.tr.fates[w.intn(name, "which fate", len(w.tr.fates))]
	if !w.fault(1, fateNames[f], name) {
		return fateOK
	}
	return f
}

// ask sends a request to Redis, and waits for the reply for as long as ctx allows. The scheduler executes it.
func ask[T any](ctx context.Context, l *link, op, name string, exec func() T, told func(v T, err error)) (T, error) {
	var zero T
	w, c := l.w, l.c
	if told == nil {
		told = func(T, error) {}
	}
	w.mu.Lock()
	if c.dead {
		w.mu.Unlock()
		return zero, errDead
	}
	if err := ctx.Err(); err != nil {
		told(zero, err)
		w.mu.Unlock()
		return zero, err
	}
	if w.calm {
		w.mu.Unlock()
		time.Sleep(10 * time.Microsecond) // who asks for ever is to be seen
		w.mu.Lock()
		defer w.mu.Unlock()
		v := exec()
		told(v, nil)
		return v, nil
	}
	type answer struct {
		v   T
		err error
	}
	reply := make(chan answer, 1)
	gone := false // the caller has given up; guarded by w.mu
	answered := func(v T, err error) {
		if !gone && !c.dead {
			gone = true
			told(v, err)
			reply <- answer{v, err}
		}
	}
	name = w.count(name + "." + op)
	again := func(how string) {
		w.add(&step{name: name + how, run: func() { exec() }})
	}
	w.add(&step{name: name + ">", run: func() {
		if c.dead && w.frac(name, "dies") < 0.5 {
			return // it had not been sent
		}
		f := w.fate(c, op, name)
		if f != fateOK {
			w.logf("    %s", fateNames[f])
		}
		switch f {
		case fateRefused:
			answered(zero, errReset)
		case fateLost:
		case fateReset:
			exec()
			answered(zero, errReset)
		case fateSilent:
			exec()
		case fateLate:
			answered(zero, errReset)
			again("~late")
		default:
			v := exec()
			if gone {
				return
			}
			w.add(&step{name: name + "<", run: func() { answered(v, nil) }})
			if f == fateDuplicate {
				again("~copy")
			}
		}
	}})
	w.mu.Unlock()
	select {
	case a := <-reply:
		w.mu.Lock()
		defer w.mu.Unlock()
		if c.dead {
			return zero, errDead
		}
		return a.v, a.err
	case <-ctx.Done():
		w.mu.Lock()
		defer w.mu.Unlock()
		select {
		case a := <-reply: // both at once: what the records say counts
			return a.v, a.err
		default:
		}
		if c.dead {
			return zero, errDead
		}
		gone = true
		told(zero, ctx.Err())
		return zero, ctx.Err()
	}
}

func (l *link) Get(ctx context.Context, at cache.CellRef, extra []string) ([]byte, []string, error) {
	type got struct {
		cell   []byte
		values []string
	}
	v, err := ask(ctx, l, "get", l.w.nameOf(ctx, l.c), func() got {
		cell, values, _ := l.w.store.Get(context.Background(), at, extra)
		l.w.logf("    %s %s = %q %q", at.Key, at.Field, short(cell), values)
		return got{cell, values}
	}, nil)
	return v.cell, v.values, err
}

func short(cell []byte) string {
	if len(cell) > 18 && cell[0] == 'V' {
		return "V…" + string(cell[min(19, len(cell)):])
	}
	return string(cell)
}

func (l *link) GetMany(ctx context.Context, at []cache.CellRef) []cache.GetReply {
	v, err := ask(ctx, l, "getmany", l.w.nameOf(ctx, l.c), func() []cache.GetReply {
		out := l.w.store.GetMany(context.Background(), at)
		for i := range out {
			l.w.logf("    %s %s = %q", at[i].Key, at[i].Field, short(out[i].Cell))
		}
		return out
	}, nil)
	if err != nil {
		v = make([]cache.GetReply, len(at))
		for i := range v {
			v[i].Err = err
		}
	}
	return v
}

func (l *link) Acquire(ctx context.Context, reqs []cache.AcquireRequest) []cache.AcquireReply {
	name := l.w.nameOf(ctx, l.c)
	v, err := ask(ctx, l, "acquire", name, func() []cache.AcquireReply {
		out := l.w.store.Acquire(context.Background(), reqs)
		for i := range out {
			if out[i].Status == cache.AcquireOwned {
				l.w.leases[string(out[i].Cell)] = name
			}
			l.w.logf("    %s %s: %d %q", reqs[i].Key, reqs[i].Field, out[i].Status, short(out[i].Cell))
		}
		return out
	}, nil)
	if err != nil {
		v = make([]cache.AcquireReply, len(reqs))
		for i := range v {
			v[i].Err = err
		}
	}
	return v
}

func (l *link) Fill(ctx context.Context, reqs []cache.FillRequest) []cache.FillReply {
	l.w.mu.Lock()
	name := l.c.name
	if op := l.w.leases[string(reqs[0].Lease)]; op != "" {
		name = op
	}
	l.w.mu.Unlock()
	sent := time.Now()
	v, err := ask(ctx, l, "fill", name, func() []cache.FillReply {
		l.w.fillLag = max(l.w.fillLag, time.Since(sent))
		out := l.w.store.Fill(context.Background(), reqs)
		var lines []string
		for i := range out {
			lines = append(lines, fmt.Sprintf("    %s %s %q: stored %t", reqs[i].Key, reqs[i].Field, short(reqs[i].Cell), out[i].Stored))
		}
		l.w.logSorted(lines)
		return out
	}, nil)
	if err != nil {
		v = make([]cache.FillReply, len(reqs))
		for i := range v {
			v[i].Err = err
		}
	}
	return v
}

func (l *link) Wipe(ctx context.Context, reqs []cache.WipeRequest, replicas int) []cache.WipeReply {
	if len(reqs) == 0 {
		return nil
	}
	w, c := l.w, l.c
	exec := func() []cache.WipeReply {
		out := w.store.Wipe(context.Background(), reqs, replicas)
		var lines []string
		for i, r := range reqs {
			w.wiped(r)
			lines = append(lines, fmt.Sprintf("    %s add %s remove %s: found %t", r.Key, w.fenceOf(r.Add), w.fenceOf(r.Remove), out[i].Found))
		}
		w.logSorted(lines)
		if replicas > 0 && w.tr.failover {
			w.replicate()
		}
		return out
	}
	told := func(_ []cache.WipeReply, err error) { w.toldOfWipe(c, reqs, err) }
	name, op := w.nameOf(ctx, c), "wipe"
	w.mu.Lock()
	add, remove := reqs[0].Add, reqs[0].Remove
	switch {
	case add != "":
		wr := w.tokens[add]
		if wr != nil { // a renewal: the engine holds a lock meanwhile, so that it cannot wait here for its turn
			defer w.mu.Unlock()
			if c.dead || c.frozen > 0 || !w.calm && w.fault(w.tr.faults, "lose a renewal", w.count(wr.name+".renew")) {
				wr.unrenewed = true
				return failAll(reqs, errReset)
			}
			return exec()
		}
		w.marking(ctx, reqs)
		op = "mark"
	case remove != "":
		if wr := w.tokens[remove]; wr != nil {
			name, op = wr.name, "clear"
		}
	}
	w.mu.Unlock()
	v, err := ask(ctx, l, op, name, exec, told)
	if err != nil {
		return failAll(reqs, err)
	}
	return v
}

// Subscribe is not a request of its own: what comes is decided by deliver.
func (l *link) Subscribe(ctx context.Context, channel string, ready func(), receive func(string)) error {
	return l.w.store.Subscribe(ctx, channel, ready, receive)
}

func (l *link) Publish(_ context.Context, channel, message string) error {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.w.store.Publish(context.Background(), channel, message)
}

// deliver brings a message to one who is subscribed, or does not.
func (w *world) deliver(message string, receive func()) {
	at := w.count("deliver " + message)
	if w.tr.deaf || w.intn(at, "deliver", 4) == 0 {
		return
	}
	receive()
}

// logSorted notes what one request does at the same time. What is pending, for one, comes in any order.
func (w *world) logSorted(lines []string) {
	sort.Strings(lines)
	for _, line := range lines {
		w.logf("%s", line)
	}
}

// fenceOf says whose fence it is.
func (w *world) fenceOf(token string) string {
	if wr := w.tokens[token]; wr != nil {
		return "the fence of " + wr.name
	}
	return "nothing"
}

func failAll(reqs []cache.WipeRequest, err error) []cache.WipeReply {
	out := make([]cache.WipeReply, len(reqs))
	for i := range out {
		out[i].Err = err
	}
	return out
}

func (l *link) Mint(ctx context.Context, keys []string, value string) ([]string, error) {
	return ask(ctx, l, "mint", l.w.nameOf(ctx, l.c), func() []string {
		out, _ := l.w.store.Mint(context.Background(), keys, value)
		l.w.logf("    %q = %q", keys, out)
		return out
	}, nil)
}

func (l *link) Bump(ctx context.Context, key string, by int64) error {
	w, c := l.w, l.c
	group := strings.TrimSuffix(strings.TrimPrefix(key, namespace+":{~epoch:"), "}")
	_, err := ask(ctx, l, "bump", w.nameOf(ctx, c), func() error {
		err := w.store.Bump(context.Background(), key, by)
		w.bumped(group)
		w.logf("    %s by %d: %v", key, by, err)
		return err
	}, func(_ error, err error) {
		wr, ok := ctx.Value(writeKey{}).(*write)
		for _, k := range w.keys {
			if ok && err != nil && k.row == wr.row && k.group.Name() == group {
				wr.failed[k.redis] = true
			}
		}
	})
	return err
}

func (l *link) Time(ctx context.Context) (int64, error) {
	w, c := l.w, l.c
	type got struct {
		ms     int64
		latest []int
	}
	v, err := ask(ctx, l, "time", c.name, func() got {
		ms, _ := w.store.Time(context.Background())
		g := got{ms: ms}
		for r := range w.rows {
			g.latest = append(g.latest, w.latest(r).n)
		}
		return g
	}, func(v got, err error) {
		if err == nil {
			w.recovered(c, v.latest)
		}
	})
	return v.ms, err
}

// The engine uses these for cache.KV only.

func (l *link) Set(context.Context, string, string, time.Duration) error { return errUnused("Set") }

func (l *link) MGet(context.Context, []string) ([][]byte, error) { return nil, errUnused("MGet") }
func (l *link) Del(context.Context, []string) error              { return errUnused("Del") }
func (l *link) Close() error                                     { return nil }

func errUnused(name string) error { return fmt.Errorf("sim: %s is not simulated", name) }
