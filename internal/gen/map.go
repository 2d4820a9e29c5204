package gen

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Map is what was derived of one package: what is cached, what changes it, and
// what that rests on. Explain writes it as text, JSON or a graph.
type Map struct {
	Repo     string       `json:"repo"` // the package that sqlc wrote
	Groups   []MapGroup   `json:"groups"`
	Reads    []MapRead    `json:"reads"`
	Writes   []MapWrite   `json:"writes"`
	Weak     []WeakPoint  `json:"weak_points"` // of all queries
	Uncached []MapPassing `json:"uncached"`    // queries that go straight to Postgres
}

// MapGroup is a family of keys.
type MapGroup struct {
	Name     string   `json:"name"`
	Key      []string `json:"key"`
	Types    []string `json:"types"` // in Go
	TTL      string   `json:"ttl,omitempty"`
	Mode     string   `json:"mode,omitempty"`
	Negative string   `json:"negative,omitempty"`
	Near     string   `json:"near,omitempty"`
}

// String returns "message(session_id)".
func (g MapGroup) String() string { return fmt.Sprintf("%s(%s)", g.Name, strings.Join(g.Key, ", ")) }

// MapRead is a read with @cache.
type MapRead struct {
	Query   string     `json:"query"`
	Command string     `json:"command"`
	At      Position   `json:"at"`
	Group   string     `json:"group"`
	Key     []string   `json:"key"`   // its parameters that make the key
	Batch   bool       `json:"batch"` // cached key by key
	Tables  []MapTable `json:"tables"`
	StaleOK []string   `json:"stale_ok"` // tables whose changes may stay unseen
}

// MapTable is one use of a table by a read, and how it is tied to the key.
type MapTable struct {
	Table string   `json:"table"`
	View  string   `json:"view,omitempty"` // through which it is read
	Chain []string `json:"chain"`          // for each part of the key: "sessions.user_id = $1"
}

// MapWrite is a query that changes tables.
type MapWrite struct {
	Query    string    `json:"query"`
	Command  string    `json:"command"`
	At       Position  `json:"at"`
	Tables   []string  `json:"tables"`
	Keys     []MapKey  `json:"invalidates"`
	None     []MapNone `json:"leaves_alone"`
	Cascades []Cascade `json:"cascades"`
}

// MapKey is a key that a write invalidates.
type MapKey struct {
	Group string    `json:"group"`
	Parts []MapPart `json:"parts"`
	All   bool      `json:"all,omitempty"` // every key of the group; then there are no parts
	By    string    `json:"by"`            // "derived", "@invalidates", "a lookup", "@via table", "TRUNCATE", "trigger …", "function …"
}

// MapPart says where a part of a key comes from.
type MapPart struct {
	Part string `json:"part"`
	From string `json:"from"` // "parameter", "each of parameter", "constant", "result", "looked up" (a column of a query under locks)
	Name string `json:"name"` // of the parameter or result column; the constant
}

// MapNone is a word that a write leaves a group alone.
type MapNone struct {
	Group string `json:"group"`
	Why   string `json:"why"`
}

// Cascade is a change that a foreign key makes of another one.
type Cascade struct {
	From string `json:"from"`
	To   string `json:"to"`
	By   string `json:"by"` // "ON DELETE CASCADE"
}

// WeakPoint is something that the map takes on a human's word.
type WeakPoint struct {
	At   Position `json:"at"`
	On   string   `json:"rests_on"` // "@stale-ok", "mode=aftercommit", "near", "@invalidates none", "schema"
	Text string   `json:"text"`
}

// MapPassing is a query that goes straight to Postgres.
type MapPassing struct {
	Query   string   `json:"query"`
	Command string   `json:"command"`
	At      Position `json:"at"`
}

// Map returns the whole map, or what concerns one query: a cached read with the
// writes that change it, or a write with the reads that it changes.
func (r *Result) Map(query string) (*Map, error) {
	p := r.p
	q := p.src.byName[query]
	if query != "" && q == nil {
		return nil, fmt.Errorf("there is no query %s", query)
	}
	isRead := slices.ContainsFunc(p.reads, func(r *cachedRead) bool { return r.q == q })
	isWrite := slices.ContainsFunc(p.writes, func(w *write) bool { return w.q == q })
	m := &Map{Repo: p.opts.Repo, Groups: []MapGroup{}, Reads: []MapRead{}, Writes: []MapWrite{}, Weak: []WeakPoint{}, Uncached: []MapPassing{}}
	for _, g := range p.groups {
		if q != nil && !p.concerns(g, query) {
			continue
		}
		mg := MapGroup{Name: g.name, Key: g.names, TTL: g.opts.ttl, Mode: g.opts.mode, Negative: g.opts.negative, Near: g.opts.near}
		for _, t := range g.keyTypes {
			mg.Types = append(mg.Types, typeString(t))
		}
		m.Groups = append(m.Groups, mg)
		for _, r := range g.reads {
			if q == nil || r.q == q || !isRead {
				m.Reads = append(m.Reads, mapOfRead(r))
			}
		}
	}
	shown := func(group string) bool {
		return slices.ContainsFunc(m.Groups, func(g MapGroup) bool { return g.Name == group })
	}
	for _, w := range p.writes {
		if q != nil && isWrite && w.q != q {
			continue
		}
		mw := mapOfWrite(w)
		if q != nil && isRead {
			mw.Keys = slices.DeleteFunc(mw.Keys, func(k MapKey) bool { return !shown(k.Group) })
			mw.None = slices.DeleteFunc(mw.None, func(n MapNone) bool { return !shown(n.Group) })
		}
		if len(mw.Keys)+len(mw.None) > 0 || q == nil && len(mw.Cascades) > 0 {
			m.Writes = append(m.Writes, mw)
		}
	}
	for _, o := range p.src.queries {
		changes := slices.ContainsFunc(p.writes, func(w *write) bool { return w.q == o && len(w.keys) > 0 })
		if o.notes.cache == nil && !changes && (q == nil || o == q) {
			m.Uncached = append(m.Uncached, MapPassing{o.name, o.cmd, o.pos})
		}
	}
	if q == nil {
		m.Weak = append(m.Weak, p.weak...)
		sort.SliceStable(m.Weak, func(i, j int) bool { return m.Weak[i].At.before(m.Weak[j].At) })
	}
	return m, nil
}

func (p *project) concerns(g *group, query string) bool {
	if slices.ContainsFunc(g.reads, func(r *cachedRead) bool { return r.q.name == query }) {
		return true
	}
	for _, w := range p.writes {
		if w.q.name == query {
			return slices.ContainsFunc(w.keys, func(t *keyTuple) bool { return t.g == g }) ||
				slices.ContainsFunc(w.none, func(n invalidateNote) bool { return n.group == g.name })
		}
	}
	return false
}

func mapOfRead(r *cachedRead) MapRead {
	out := MapRead{
		Query: r.q.name, Command: r.q.cmd, At: r.q.pos, Group: r.g.name, Key: r.note.params, Batch: r.batch, Tables: []MapTable{}, StaleOK: []string{},
	}
	for _, m := range r.maps {
		t := MapTable{Table: m.table.String(), View: m.occ.via, Chain: m.chains}
		if m.via != nil {
			t.Chain = []string{"@via " + m.via.sql}
		}
		if !slices.ContainsFunc(out.Tables, func(o MapTable) bool {
			return o.Table == t.Table && o.View == t.View && slices.Equal(o.Chain, t.Chain)
		}) {
			out.Tables = append(out.Tables, t)
		}
	}
	for t := range r.stale {
		out.StaleOK = append(out.StaleOK, t.String())
	}
	sort.Strings(out.StaleOK)
	return out
}

func mapOfWrite(w *write) MapWrite {
	out := MapWrite{
		Query: w.q.name, Command: w.q.cmd, At: w.q.pos, Tables: append([]string{}, w.tables...), Keys: []MapKey{}, None: []MapNone{},
		Cascades: append([]Cascade{}, w.cascades...),
	}
	for _, t := range w.keys {
		k := MapKey{Group: t.g.name, Parts: []MapPart{}, All: t.whole, By: cmp.Or(t.from, "derived")}
		for i, v := range t.parts {
			part := MapPart{Part: t.g.names[i]}
			switch v.kind {
			case ofArg:
				part.From, part.Name = "parameter", snake(w.q.args[v.n].name)
			case ofList:
				part.From, part.Name = "each of parameter", snake(w.q.args[v.n].name)
			case ofConst:
				part.From, part.Name = "constant", v.text
			case ofLook:
				part.From, part.Name = "looked up", v.look.cols[v.n]
			case ofOut:
				part.From, part.Name = "result", snake(w.q.outName(v.n))
			}
			k.Parts = append(k.Parts, part)
		}
		// A key may be looked up both before and after the statement.
		if !slices.ContainsFunc(out.Keys, func(o MapKey) bool {
			return o.Group == k.Group && o.By == k.By && o.All == k.All && slices.Equal(o.Parts, k.Parts)
		}) {
			out.Keys = append(out.Keys, k)
		}
	}
	for _, n := range w.none {
		out.None = append(out.None, MapNone{n.group, n.why})
	}
	return out
}
