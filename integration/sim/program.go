package sim

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/pgfence"
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

	deaf bool // nobody hears what is published

	database float64       // faults of what is asked of the database
	dbClock  time.Duration // how far it is off
	standby  bool          // the last client's pool leads to a hot standby
	behind   int           // by how many steps

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
	if t.faults > 0 && chance("database", 0.6) {
		t.database = t.faults / 4
	}
	if chance("database alone", 0.08) {
		t.database = 0.15
	}
	t.dbClock = []time.Duration{0, 0, time.Hour, -time.Hour}[pick("clock", 4)]
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
	t.kinds = []string{"read", "read", "read", "read", "read", "write", "tx", "cells"}
	add := func(p float64, kinds ...string) {
		if chance(kinds[0], p) {
			t.kinds = append(t.kinds, kinds...)
		}
	}
	add(0.3, "many", "many")
	add(0.2, "plain", "plain")
	add(0.1, "other", "other")
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
		t.kinds = []string{"read", "read", "write", "tx"}
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
	if chance("near", 0.08) && !t.failover && !t.short {
		t.groups = []cache.Group[int]{nearGroup}
		t.kinds = slices.DeleteFunc(t.kinds, func(k string) bool { return k == "nested" })
		t.deaf = chance("deaf", 0.5)
		if chance("near waits", 0.5) {
			t.waits = append(t.waits, 600*time.Millisecond, 1100*time.Millisecond, 1900*time.Millisecond, 2100*time.Millisecond)
			t.ops += 2
		}
	}
	if chance("standby", 0.06) {
		t.standby, t.behind = true, 10+pick("behind", 60)
		t.clients = max(2, t.clients)
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
		if c.standby && kind != "many" && kind != "nested" && kind != "cells" {
			kind = "read"
		}
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
			return pgfence.Read(ctx, c.db, k.group.Key(k.row), getRow.Cell(), loader(r))
		})
	case "cells":
		w.read(ctx, c, op, k, func(ctx context.Context) (row, error) {
			return pgfence.Read(ctx, c.db, k.group.Key(k.row), getRow.Cell(w.intn(op, "cell", w.tr.cells)), loader(r))
		})
	case "nested":
		// A result under a fenced key that is made of one under a key that is invalidated after the commit only.
		k, inner := w.keyOf(r, 0), w.keyOf(r, 1)
		w.read(ctx, c, op, k, func(ctx context.Context) (row, error) {
			return pgfence.Read(ctx, c.db, k.group.Key(r), nestedRow.Cell(), func(ctx context.Context, _ pgfence.DBTX) (row, error) {
				return pgfence.Read(ctx, c.db, inner.group.Key(r), getRow.Cell(), loader(r))
			})
		})
	case "many":
		w.readMany(ctx, c, op, k.group)
	case "write", "tx", "whole", "dirty", "plain", "other":
		w.write(ctx, c, op, kind, r)
	case "foreign":
		w.foreign(ctx, c, op, r, "")
	case "told", "void":
		w.foreign(ctx, c, op, r, kind)
	}
}

func (w *world) keyOf(r, g int) *keyName { return w.keys[r*len(w.tr.groups)+g] }

func loader(r int) func(context.Context, pgfence.DBTX) (row, error) {
	return func(ctx context.Context, d pgfence.DBTX) (row, error) { return readVersion(ctx, d, r) }
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
	rows, err := pgfence.ReadMany(ctx, c.db, ids, g.Key, listRows.Cell(), func(v row) int { return v.ID },
		func(ctx context.Context, d pgfence.DBTX, missing []int) ([]row, error) {
			rows, err := d.Query(ctx, versionsSQL, missing)
			if err != nil {
				return nil, sourceError(err)
			}
			out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
			return out, sourceError(err)
		})
	for r, rd := range reads {
		n, got := -1, err
		for _, v := range rows {
			if v.ID == r {
				n = v.V
			}
		}
		if got == nil && n < 0 {
			got = pgx.ErrNoRows
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
