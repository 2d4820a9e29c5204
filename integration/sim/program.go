package sim

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/pgaside/pgaside/cache"
)

// traits are what a seed is about: each leaves most things out, so that what it has comes often enough to meet.
type traits struct {
	clients, actors, ops, rows int
	cells, maxCells            int
	groups                     []cache.Group[int]
	short                      bool // a TTL that ends within the run

	faults float64 // of requests
	fates  []fate
	ticks  float64 // how often time passes before a step
	waits  []time.Duration
	happen map[string]float64

	focusOp   string // of one request only this goes wrong, and often
	focusFate fate

	quiet     bool // it is about a failover between a fence and its end
	lostRedis bool // it is about clients that come back after a failover

	hang     bool // a COMMIT may take longer than a fence lives
	failover bool
	kinds    []string // of operations
}

func (w *world) draw() traits {
	chance := func(name string, p float64) bool { return w.frac("trait", name) < p }
	pick := func(name string, n int) int { return w.intn("trait", name, n) }
	t := traits{
		clients: 1 + pick("clients", 3), actors: 3 + pick("actors", 3), ops: 2 + pick("ops", 3), rows: 1 + pick("rows", 4)/3,
		cells: 4, maxCells: 3, // two cells and the mark of the TTL
		happen: make(map[string]float64),
	}
	switch pick("groups", 8) {
	case 0, 1, 2, 3:
		t.groups = []cache.Group[int]{fencedGroup}
	case 4:
		t.groups = []cache.Group[int]{strictGroup}
	case 5:
		t.groups = []cache.Group[int]{afterGroup}
	default:
		t.groups = []cache.Group[int]{fencedGroup, afterGroup}
	}
	all := []fate{fateRefused, fateLost, fateReset, fateSilent, fateLate, fateDuplicate}
	if chance("faults", 0.5) {
		t.faults = []float64{0.05, 0.15, 0.3}[pick("rate", 3)]
		for i, f := range all {
			if w.intn("fate", strconv.Itoa(i), 2) == 0 {
				t.fates = append(t.fates, f)
			}
		}
		if len(t.fates) == 0 {
			t.fates = all
		}
	}
	t.ticks = []float64{0.02, 0.1, 0.25}[pick("ticks", 3)]
	t.waits = []time.Duration{time.Millisecond, 3 * time.Millisecond, 20 * time.Millisecond}
	if chance("longer waits", 0.4) {
		t.waits = append(t.waits, 60*time.Millisecond, 120*time.Millisecond, 600*time.Millisecond, 1100*time.Millisecond)
	}
	if chance("long waits", 0.15) {
		t.waits = append(t.waits, 2100*time.Millisecond, 3100*time.Millisecond, 11*time.Second, 31*time.Second)
	}
	rare := []float64{0.01, 0.03, 0.08}
	event := func(name string, p float64) {
		if chance(name, p) {
			t.happen[name] = rare[w.intn("trait rate", name, len(rare))]
		}
	}
	event("evict", 0.25)
	event("flush", 0.1)
	event("damage", 0.1)
	event("crash", 0.15)
	event("pause", 0.15)
	event("jump", 0.05)
	event("outage", 0.1)
	event("outage of reads", 0.1)
	if chance("focus", 0.35) {
		ops := []string{"get", "acquire", "acquire", "fill", "mark", "mark", "clear", "wipe", "bump"}
		t.focusOp, t.focusFate = ops[pick("focus op", len(ops))], all[pick("focus fate", len(all))]
		if t.focusOp == "acquire" {
			t.focusFate = fateDuplicate
		}
	}
	if t.hang = chance("hang", 0.1); t.hang {
		t.ticks = 0.02
		t.ops += 2
	}
	if t.failover = chance("failover", 0.15); t.failover {
		t.happen["failover"] = rare[pick("failover rate", 3)]
		t.happen["replicate"] = []float64{0, 0.1, 0.3}[pick("replicate rate", 3)]
		if chance("strict failover", 0.5) {
			t.groups = []cache.Group[int]{strictGroup}
			if chance("nothing but a failover", 0.6) {
				t.happen = map[string]float64{"failover": 0.02, "replicate": 0.05}
				t.faults, t.focusOp, t.quiet = 0, "", true
				t.ops += 2
			}
		}
		if chance("failover with an outage", 0.4) {
			t.happen = map[string]float64{"outage": 0.08, "failover": 0.03, "replicate": 0.05}
			t.faults, t.focusOp, t.lostRedis = 0, "", true
			t.ops += 4
			t.groups = []cache.Group[int]{fencedGroup}
			t.rows = 1
		}
	}
	if t.happen["pause"] > 0 {
		t.ops += 2
	}
	if chance("short", 0.12) {
		t.short = true
		t.cells, t.maxCells = 20, 40
		t.ticks, t.waits = 0.2, []time.Duration{20 * time.Millisecond, 600 * time.Millisecond, 1100 * time.Millisecond}
		t.ops += 4
	}
	t.kinds = []string{"read", "read", "read", "read", "read", "write", "write", "cells"}
	add := func(p float64, kinds ...string) {
		if chance(kinds[0], p) {
			t.kinds = append(t.kinds, kinds...)
		}
	}
	add(0.3, "many", "many")
	add(0.2, "dirty", "dirty")
	add(0.2, "told", "told")
	add(0.15, "void", "void", "void")
	add(0.15, "whole")
	switch {
	case t.quiet && !t.lostRedis && !t.short:
		t.kinds = []string{"read", "read", "read", "read", "write"}
		t.rows = 1
	case t.lostRedis:
		t.kinds = []string{"read", "read", "read", "read", "read", "write"}
	case t.short:
		t.kinds = []string{"read", "cells", "cells", "cells", "cells", "cells", "foreign", "read"}
		t.rows = 1
	case chance("voids", 0.12):
		t.kinds = []string{"read", "read", "read", "read", "read", "cells", "void", "void", "void"}
		t.clients = 1 + pick("voids", 2)
		t.rows = 1
		if chance("copies of bumps", 0.5) {
			t.focusOp, t.focusFate = "bump", fateDuplicate
		}
	case chance("writes", 0.1):
		t.kinds = []string{"read", "read", "write", "write"}
		t.clients, t.rows = 1+pick("writes", 2), 1
		if chance("refused fences", 0.6) {
			t.focusOp, t.focusFate = "mark", fateRefused
			t.groups = []cache.Group[int]{fencedGroup}
		}
	}
	if len(t.groups) == 2 {
		t.kinds = append(t.kinds, "nested", "nested")
	}
	if t.happen["outage"]+t.happen["outage of reads"] > 0 {
		t.ops += 4
		t.clients = 2
	}
	return t
}

func (w *world) startActors() {
	w.running = w.tr.actors
	for i := range w.tr.actors {
		c := w.clients[i%len(w.clients)]
		go func() {
			w.actor("a"+strconv.Itoa(i), c)
			w.mu.Lock()
			w.running--
			w.mu.Unlock()
		}()
	}
}

func (w *world) actor(name string, c *client) {
	for i := range w.tr.ops {
		op := name + "." + strconv.Itoa(i)
		kind := w.tr.kinds[w.intn(op, "kind", len(w.tr.kinds))]
		if w.cfg.Without[kind+" "+op] {
			continue
		}
		if !w.stop(c, c.name+"."+op+"."+kind) {
			return
		}
		w.mu.Lock()
		w.result.Used = append(w.result.Used, kind+" "+op)
		w.mu.Unlock()
		w.do(c, op, kind)
	}
}

func (w *world) do(c *client, op, kind string) {
	ctx := context.WithValue(context.Background(), opKey{}, op)
	r := w.intn(op, "row", w.tr.rows)
	k := w.keyOf(r, w.intn(op, "group", len(w.tr.groups)))
	switch kind {
	case "read":
		if w.frac(op, "leaves") < 0.05 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, 30*time.Millisecond)
			defer cancel()
		}
		w.read(ctx, c, op, k, func(ctx context.Context) (row, error) {
			return cache.Read(ctx, c.cache, k.group.Key(k.row), getRow.Cell(), w.loader(c, r))
		})
	case "cells":
		w.read(ctx, c, op, k, func(ctx context.Context) (row, error) {
			return cache.Read(ctx, c.cache, k.group.Key(k.row), getRow.Cell(w.intn(op, "cell", w.tr.cells)), w.loader(c, r))
		})
	case "nested":
		// A result under a fenced key that is made of one under a key that is invalidated after the commit only.
		k, inner := w.keyOf(r, 0), w.keyOf(r, 1)
		w.read(ctx, c, op, k, func(ctx context.Context) (row, error) {
			return cache.Read(ctx, c.cache, k.group.Key(r), nestedRow.Cell(), func(ctx context.Context) (row, error) {
				return cache.Read(ctx, c.cache, inner.group.Key(r), getRow.Cell(), w.loader(c, r))
			})
		})
	case "many":
		w.readMany(ctx, c, op, k.group)
	case "write":
		w.write(ctx, c, op, r, false, false)
	case "whole":
		w.write(ctx, c, op, r, true, false)
	case "dirty":
		w.write(ctx, c, op, r, false, true)
	case "foreign":
		w.foreign(ctx, c, op, r, "")
	case "told", "void":
		w.foreign(ctx, c, op, r, kind)
	}
}

func (w *world) keyOf(r, g int) *keyName { return w.keys[r*len(w.tr.groups)+g] }

func (w *world) loader(c *client, r int) func(context.Context) (row, error) {
	return func(ctx context.Context) (row, error) {
		n, err := w.load(ctx, c, r)
		return row{r, n}, err
	}
}

// readMany reads all rows of a group, and one that is not there.
func (w *world) readMany(ctx context.Context, c *client, op string, g cache.Group[int]) {
	ids := []int{99}
	for r := range w.rows {
		ids = append(ids, r)
	}
	reads := make([]*reading, len(w.rows))
	w.mu.Lock()
	for r := range reads {
		for _, k := range w.keys {
			if k.row == r && k.group == g {
				reads[r] = w.begin(c, op, k)
			}
		}
	}
	w.mu.Unlock()
	rows, err := cache.ReadMany(ctx, c.cache, ids, g.Key, listRows.Cell(), func(v row) int { return v.ID },
		func(ctx context.Context, missing []int) ([]row, error) {
			var out []row
			for _, r := range missing {
				if r == 99 {
					continue
				}
				n, err := w.load(ctx, c, r)
				if errors.Is(err, errNoRows) {
					continue
				}
				if err != nil {
					return nil, err
				}
				out = append(out, row{r, n})
			}
			return out, nil
		})
	for r, rd := range reads {
		n, got := -1, err
		for _, v := range rows {
			if v.ID == r {
				n = v.V
			}
		}
		if got == nil && n < 0 {
			got = errNoRows
		}
		w.finish(rd, n, got)
	}
}

func (w *world) read(ctx context.Context, c *client, op string, k *keyName, do func(context.Context) (row, error)) {
	w.mu.Lock()
	rd := w.begin(c, op, k)
	w.mu.Unlock()
	v, err := do(ctx)
	w.finish(rd, v.V, err)
}

// load reads a row as it is at some time between the call and its return.
func (w *world) load(ctx context.Context, c *client, r int) (int, error) {
	type answer struct {
		n   int
		err error
	}
	w.mu.Lock()
	if c.dead {
		w.mu.Unlock()
		return 0, errDead
	}
	look := func() answer {
		if v := w.latest(r); !v.gone() {
			return answer{v.n, nil}
		}
		return answer{0, errNoRows}
	}
	if w.calm {
		defer w.mu.Unlock()
		w.counts["loads at rest"]++
		a := look()
		return a.n, a.err
	}
	reply := make(chan answer, 1)
	name := w.count(w.nameOf(ctx, c) + ".load")
	w.add(&step{name: name + ">", run: func() {
		a := look()
		if w.fault(w.tr.faults/4, "fail the load", name) {
			a = answer{0, errSource}
		}
		w.logf("    row %d: version %d, %v", r, a.n, a.err)
		w.add(&step{name: name + "<", run: func() { reply <- a }})
	}})
	w.mu.Unlock()
	select {
	case a := <-reply:
		return a.n, a.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// last names the steps that come late in runs that are about their coming late.
func (t *traits) last(step string) bool {
	switch {
	case t.focusFate == fateDuplicate && t.focusOp == "acquire":
		return strings.HasSuffix(step, "~copy") || strings.Contains(step, ".fill#")
	case t.focusOp != "":
		return strings.HasSuffix(step, "~copy") || strings.HasSuffix(step, "~late")
	case t.hang:
		return strings.HasSuffix(step, "~slow") || strings.HasSuffix(step, ".commit<")
	}
	return false
}
