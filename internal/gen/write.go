package gen

import (
	"fmt"
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// write is a query that may change rows, and the keys that it invalidates.
type write struct {
	q        *query
	keys     []*keyTuple
	lookups  []*lookup // in the order in which they run
	whole    []*group  // voided as a whole
	explicit []invalidateNote
	none     []invalidateNote
	tables   []string // what it changes, for explain
	cascades []Cascade
}

// keyTuple is one key of a group, part by part.
type keyTuple struct {
	g     *group
	parts []value
	from  string // how it is known, for explain
	whole bool   // every key of the group
}

// value is where a column's value can be taken from.
type value struct {
	kind valueKind
	n    int     // of an argument, an output column, or a lookup's column, from 0
	text string  // of a constant
	some []value // ofSome: each of them
	look *lookup // ofLook
	row  int     // ofOut: 0 for the row of the result that shows the changed one; another for each time that a statement reads such rows
}

type valueKind uint8

const (
	ofArg   valueKind = iota // an argument
	ofList                   // each element of an argument
	ofConst                  // a constant
	ofOut                    // a column of the result
	ofSome                   // one of several values, and nobody can tell which
	ofLook                   // a column of a lookup, which runs before the statement
	unknown                  // one value for the whole statement, which only the database knows
	isNull                   // NULL: no key, since an equality never matches it
)

// isArg reports whether the value is known from the arguments alone.
func (v value) isArg() bool { return v.kind != ofOut && v.kind != ofLook && v.kind != unknown }

// exact reports whether the value is the one of each row, and not one of a list
// of candidates.
func (v value) exact() bool { return v.kind != ofList && v.kind != ofSome }

// outRows lists the rows of the result in which the value stands.
func (v value) outRows() []int {
	var out []int
	for _, o := range v.some {
		out = append(out, o.outRows()...)
	}
	if v.kind == ofOut {
		out = append(out, v.row)
	}
	return out
}

// inRow returns the value with another row in the place of each.
func (v value) inRow(other func(int) int) value {
	v.some = slices.Clone(v.some)
	for i := range v.some {
		v.some[i] = v.some[i].inRow(other)
	}
	if v.kind == ofOut {
		v.row = other(v.row)
	}
	return v
}

func (v value) equal(o value) bool {
	return v.kind == o.kind && v.n == o.n && v.text == o.text && v.look == o.look && v.row == o.row && slices.EqualFunc(v.some, o.some, value.equal)
}

// oneOf is the value that is one of some; nil when one of these isn't known.
func oneOf(some [][]value) []value {
	var flat []value
	for _, vs := range some {
		if len(vs) == 0 {
			return nil
		}
		v := vs[0]
		for _, o := range vs { // one value is better than a list
			if o.exact() {
				v = o
				break
			}
		}
		parts := []value{v}
		if v.kind == ofSome {
			parts = v.some
		}
		for _, v := range parts {
			if !slices.ContainsFunc(flat, v.equal) {
				flat = append(flat, v)
			}
		}
	}
	if len(flat) == 1 {
		return flat
	}
	return []value{{kind: ofSome, some: flat}}
}

// deriveWrites finds, for each write, the keys of every cached read that it can
// change, or says why it can't.
func (p *project) deriveWrites() {
	for _, q := range p.src.queries {
		if q.tree == nil {
			continue
		}
		w := &write{q: q}
		for _, n := range q.notes.invalidates {
			if n.none {
				w.none = append(w.none, n)
			} else {
				w.explicit = append(w.explicit, n)
			}
		}
		d := &deriver{p: p, w: w, failed: map[string]*Finding{}, seen: map[string]bool{}, returns: map[*pg.Node][]returnedColumn{}, one: map[*pg.Node]bool{}, open: map[*function]int{}}
		p.during(q, d.derive)
		if len(w.keys) > 0 || len(w.tables) > 0 {
			p.writes = append(p.writes, w)
		}
	}
}

// deriver derives the keys of one write.
type deriver struct {
	p           *project
	w           *write
	failed      map[string]*Finding // by group: the first thing that can't be derived
	order       []string
	seen        map[string]bool // changes already followed
	tuples      map[string]bool
	single      bool                          // the statement affects at most one row
	statements  int                           // writes seen
	here        int                           // where in the text the derivation stands; 0: the statement as a whole
	bound       [][]value                     // see analysis.bind
	env         *environment                  // the WITH clause around the statement
	one         map[*pg.Node]bool             // statements in WITH that change one row at most
	returns     map[*pg.Node][]returnedColumn // of the statements in WITH
	called      bool                          // it calls functions of the schema that may write
	noRows      string                        // why the rows of the statement can't be selected for a lookup
	throughView bool                          // it writes through a view
	depth       int                           // of functions and triggers that are being followed
	readings    int                           // of rows of the result by statements
	open        map[*function]int             // functions that aren't volatile and are being followed
}

func (d *deriver) derive() {
	p, q := d.p, d.w.q
	d.tuples = map[string]bool{}
	changes := d.statement(q.tree, true, nil)
	d.nested(q.tree)
	changes = append(changes, d.calls(q.tree)...)
	for _, c := range changes {
		if !slices.Contains(d.w.tables, c.table.String()) {
			d.w.tables = append(d.w.tables, c.table.String())
		}
		d.change(c)
	}
	if len(changes) == 0 && len(d.failed) == 0 && len(q.notes.invalidates) > 0 && q.tree.GetSelectStmt() != nil && !d.called {
		p.fail(q.notes.invalidates[0].pos, fmt.Sprintf("@invalidates stands on %s, which changes nothing", q.name), "", "remove it")
		return
	}
	d.explicit()
	for _, g := range d.order {
		if !d.covered(g) {
			f := d.failed[g]
			f.Query, f.Group = q.name, g
			p.findings = append(p.findings, f)
		}
	}
}

// covered reports whether an @invalidates line speaks for the group.
func (d *deriver) covered(g string) bool {
	has := func(ns []invalidateNote) bool {
		return slices.ContainsFunc(ns, func(n invalidateNote) bool { return n.group == g })
	}
	return has(d.w.explicit) || has(d.w.none)
}

func (d *deriver) ruledOut(g string) bool {
	return slices.ContainsFunc(d.w.none, func(n invalidateNote) bool { return n.group == g })
}

func (d *deriver) fail(g *group, f *Finding) {
	if _, ok := d.failed[g.name]; !ok {
		d.failed[g.name] = f
		d.order = append(d.order, g.name)
	}
}

// all fails every group that no annotation covers: something may change
// anything. why says what keeps pgaside from knowing; "" for nothing more to say.
func (d *deriver) all(what, why string, mend ...string) {
	var open []string
	for _, g := range d.p.groups {
		if !d.covered(g.name) {
			open = append(open, g.name)
		}
	}
	if len(open) == 0 {
		return
	}
	f := &Finding{
		Pos: d.w.q.at(d.here), Msg: fmt.Sprintf("%s %s", d.w.q.name, what),
		Why: "so each group needs a word: " + strings.Join(open, ", "),
	}
	if why == "" {
		why = "pgaside can't tell which keys"
	}
	f.Why = why + ", " + f.Why
	f.Mend = append([]string{
		fmt.Sprintf(`-- @invalidates none(%s) "why it stays as it is"   (a line for each group)`, open[0]),
		fmt.Sprintf("-- @invalidates %s(…) with the parameter or result column that tells the key", open[0]),
	}, mend...)
	d.p.findings = append(d.p.findings, f)
}

// explicit adds the keys that @invalidates lines name.
func (d *deriver) explicit() {
	q := d.w.q
	for _, n := range append(slices.Clone(d.w.explicit), d.w.none...) {
		g := d.p.group(n.group)
		if g == nil {
			have := []string{}
			for _, g := range d.p.groups {
				have = append(have, g.name)
			}
			mend := "the groups are " + strings.Join(have, ", ")
			if len(have) == 0 {
				mend = "no read has @cache"
			}
			d.p.fail(n.pos, fmt.Sprintf("@invalidates names group %s, which no read has", n.group), "", mend)
			continue
		}
		if n.none {
			d.p.weak = append(d.p.weak, WeakPoint{At: n.pos, On: "@invalidates none", Text: fmt.Sprintf("%s leaves group %s alone: %q", q.name, g, n.why)})
			continue
		}
		if n.all {
			d.voidAll(g, "@invalidates")
			d.p.weak = append(d.p.weak, WeakPoint{At: n.pos, On: "@invalidates group(*)", Text: fmt.Sprintf("%s voids all of group %s (@invalidates %s(*)): other processes see it within two seconds", q.name, g, g.name)})
			continue
		}
		if len(n.exprs) != len(g.keyTypes) {
			d.p.fail(n.pos, fmt.Sprintf("@invalidates %s(%s): the group has %d key parts, %s", n.group, strings.Join(n.exprs, ", "), len(g.keyTypes), g), "",
				"name one parameter or result column for each")
			continue
		}
		tuple := &keyTuple{g: g, from: "@invalidates"}
		for k, e := range n.exprs {
			v, why := d.named(e)
			if why == "" && !d.usable(g, k, v) {
				why = fmt.Sprintf("%s is not a %s", e, typeString(g.keyTypes[k]))
			}
			if why != "" {
				d.p.fail(n.pos, fmt.Sprintf("@invalidates %s(%s)", n.group, strings.Join(n.exprs, ", ")), why,
					"the parameters are "+q.argNames(), "the result columns are "+q.outNames())
				break
			}
			tuple.parts = append(tuple.parts, v)
		}
		if len(tuple.parts) == len(n.exprs) {
			d.add(tuple)
		}
	}
}

func (p *project) group(name string) *group {
	for _, g := range p.groups {
		if g.name == name {
			return g
		}
	}
	return nil
}

// named finds the parameter or result column that an expression names.
func (d *deriver) named(e string) (value, string) {
	q := d.w.q
	if i := q.findArg(e); i >= 0 {
		if elem, ok := sliceElem(q.args[i].typ); ok && !isByte(elem) {
			return value{kind: ofList, n: i}, ""
		}
		return value{kind: ofArg, n: i}, ""
	}
	for i := range q.outs {
		if sameName(q.outName(i), e) {
			switch {
			case q.cmd == ":one" && !d.single:
				return value{}, fmt.Sprintf("%s may change several rows, and :one returns only the first: use :many", q.name)
			case q.cmd != ":one" && q.cmd != ":many" && !q.batch():
				return value{}, fmt.Sprintf("%s is %s and returns no rows", q.name, q.cmd)
			}
			return value{kind: ofOut, n: i}, ""
		}
	}
	return value{}, fmt.Sprintf("%s has no parameter and no result column %s", q.name, e)
}

func (q *query) outName(i int) string {
	if path := q.outs[i].path; path != "" {
		return path[strings.LastIndexByte(path, '.')+1:]
	}
	var list []*pg.Node
	switch {
	case q.tree.GetInsertStmt() != nil:
		list = q.tree.GetInsertStmt().GetReturningList()
	case q.tree.GetUpdateStmt() != nil:
		list = q.tree.GetUpdateStmt().GetReturningList()
	case q.tree.GetDeleteStmt() != nil:
		list = q.tree.GetDeleteStmt().GetReturningList()
	case q.tree.GetSelectStmt() != nil:
		list = q.tree.GetSelectStmt().GetTargetList()
	}
	if i >= len(list) {
		return ""
	}
	if n := list[i].GetResTarget().GetName(); n != "" {
		return n
	}
	parts, _ := columnPath(list[i].GetResTarget().GetVal().GetColumnRef())
	if len(parts) == 0 {
		return ""
	}
	return parts[len(parts)-1]
}

func (q *query) outNames() string {
	if len(q.outs) == 0 {
		return "none"
	}
	var out []string
	for i := range q.outs {
		out = append(out, snake(q.outName(i)))
	}
	return strings.Join(out, ", ")
}
