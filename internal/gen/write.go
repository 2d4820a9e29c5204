package gen

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// write is a query that may change rows, and the keys that it invalidates.
type write struct {
	q        *query
	keys     []*keyTuple
	explicit []invalidateNote
	none     []invalidateNote
	tables   []string // what it changes, for explain
	cascades []string
}

// keyTuple is one key of a group, part by part.
type keyTuple struct {
	g     *group
	parts []value
	from  string // how it is known, for explain
}

// value is where a column's value can be taken from.
type value struct {
	kind valueKind
	n    int    // of an argument or an output column, from 0
	text string // of a constant
}

type valueKind uint8

const (
	ofArg   valueKind = iota // an argument
	ofList                   // each element of an argument
	ofConst                  // a constant
	ofOut                    // a column of the result
	isNull                   // NULL: no key, since an equality never matches it
)

// isArg reports whether the value is known before the statement runs.
func (v value) isArg() bool { return v.kind != ofOut }

// change is what a statement, or a cascade of it, does to the rows of a table.
type change struct {
	table  *table
	kind   string             // "inserts", "changes", "deletes"
	old    map[string][]value // columns whose value before is known
	new    map[string][]value // columns whose value after is known
	sets   map[string]bool    // columns that change; nil: all
	named  map[string]bool    // columns that SET names, even those that stay, for triggers
	byDB   map[string]bool    // columns of an inserted row that a default fills
	via    string             // the foreign keys that lead here
	parent *table             // whose change leads here
	notes  []note             // why a value isn't known
	insert bool               // the row is new
	upsert bool               // the row is one that ON CONFLICT found
	inner  bool               // the statement stands in a WITH clause
	pos    Position
}

// note says why a value isn't known: of one column, or of all.
type note struct{ col, text string }

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
		d := &deriver{p: p, w: w, failed: map[string]*Finding{}, seen: map[string]bool{}}
		d.derive()
		if len(w.keys) > 0 || len(w.tables) > 0 {
			p.writes = append(p.writes, w)
		}
	}
}

// deriver derives the keys of one write.
type deriver struct {
	p          *project
	w          *write
	failed     map[string]*Finding // by group: the first thing that can't be derived
	order      []string
	seen       map[string]bool // changes already followed
	tuples     map[string]bool
	single     bool // the statement affects at most one row
	statements int  // writes seen
}

func (d *deriver) derive() {
	p, q := d.p, d.w.q
	d.tuples = map[string]bool{}
	changes := d.statement(q.tree, true)
	d.nested(q.tree)
	for _, fn := range p.schema.volatileFunctions(q.tree) {
		d.all(fmt.Sprintf("calls function %s (%s), which is volatile and may change any table", fn.name, fn.pos),
			"declare the function STABLE or IMMUTABLE, if it changes nothing")
	}
	for _, c := range changes {
		if !slices.Contains(d.w.tables, c.table.String()) {
			d.w.tables = append(d.w.tables, c.table.String())
		}
		d.change(c)
	}
	if len(changes) == 0 && len(d.failed) == 0 && len(q.notes.invalidates) > 0 && q.tree.GetSelectStmt() != nil && len(p.schema.volatileFunctions(q.tree)) == 0 {
		p.fail(q.notes.invalidates[0].pos, fmt.Sprintf("@invalidates stands on %s, which changes nothing", q.name), "", "remove it")
		return
	}
	d.explicit()
	for _, g := range d.order {
		if !d.covered(g) {
			p.findings = append(p.findings, d.failed[g])
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
// anything.
func (d *deriver) all(what string, mend ...string) {
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
		Pos: d.w.q.pos, Msg: fmt.Sprintf("%s %s", d.w.q.name, what),
		Why: "pgaside doesn't read what it does, so each group needs a word: " + strings.Join(open, ", "),
	}
	f.Mend = append([]string{
		fmt.Sprintf(`-- @invalidates none(%s) "why it stays as it is"   (a line for each group)`, open[0]),
		fmt.Sprintf("-- @invalidates %s(…) with the parameter or result column that tells the key", open[0]),
	}, mend...)
	d.p.findings = append(d.p.findings, f)
}

// nested refuses a write that stands elsewhere than in the outermost WITH, where
// Postgres wouldn't take it either.
func (d *deriver) nested(n *pg.Node) {
	count := 0
	walk(n, func(m protoMessage) bool {
		switch m.(type) {
		case *pg.InsertStmt, *pg.UpdateStmt, *pg.DeleteStmt, *pg.MergeStmt:
			count++
		}
		return true
	})
	if count > d.statements {
		d.all("writes inside of a sub-select", "put it into the outermost WITH")
	}
}

// statement lists the changes that a statement makes by itself.
func (d *deriver) statement(n *pg.Node, outermost bool) []*change {
	var out []*change
	if n.GetInsertStmt() != nil || n.GetUpdateStmt() != nil || n.GetDeleteStmt() != nil || n.GetMergeStmt() != nil {
		d.statements++
	}
	for _, c := range withClause(n).GetCtes() {
		inner := c.GetCommonTableExpr().GetCtequery()
		if inner.GetSelectStmt() == nil {
			for _, ch := range d.statement(inner, false) {
				ch.inner = true
				out = append(out, ch)
			}
		}
	}
	switch {
	case n.GetInsertStmt() != nil:
		out = append(out, d.insert(n.GetInsertStmt(), outermost)...)
	case n.GetUpdateStmt() != nil:
		u := n.GetUpdateStmt()
		if t := d.target(u.GetRelation()); t != nil {
			out = append(out, d.update(u, t, outermost))
		}
	case n.GetDeleteStmt() != nil:
		s := n.GetDeleteStmt()
		if t := d.target(s.GetRelation()); t != nil {
			out = append(out, d.delete(s, t, outermost))
		}
	case n.GetTruncateStmt() != nil:
		for _, r := range n.GetTruncateStmt().GetRelations() {
			d.unsupported("TRUNCATE", r.GetRangeVar(), fmt.Sprintf("write DELETE FROM %s … RETURNING the key columns", r.GetRangeVar().GetRelname()))
		}
	case n.GetMergeStmt() != nil:
		d.unsupported("MERGE", n.GetMergeStmt().GetRelation(), "write INSERT … ON CONFLICT, or UPDATE and DELETE with RETURNING")
	case n.GetSelectStmt() != nil, n.GetListenStmt() != nil, n.GetUnlistenStmt() != nil, n.GetNotifyStmt() != nil, n.GetRefreshMatViewStmt() != nil:
	case n.GetCallStmt() != nil:
		if name := lastName(n.GetCallStmt().GetFunccall().GetFuncname()); d.p.schema.function(name) == nil {
			d.all(fmt.Sprintf("calls procedure %s, which the schema doesn't have, and which may change any table", name))
		}
	default:
		d.all("is a statement that pgaside doesn't know")
	}
	return out
}

// target resolves the table that a statement changes. nil: it is reported.
func (d *deriver) target(r *pg.RangeVar) *table {
	t, why := d.p.schema.find(r.GetSchemaname(), r.GetRelname())
	if t == nil {
		if len(d.p.groups) > 0 {
			d.p.fail(d.w.q.pos, fmt.Sprintf("%s changes a table that pgaside can't find", d.w.q.name), why,
				"give --schema every migration, and qualify the name with its schema")
		}
		return nil
	}
	if t.view != nil {
		d.all(fmt.Sprintf("changes %s, which is a view (%s)", t, t.pos), "write to the table below it")
		return nil
	}
	return t
}

func (d *deriver) unsupported(what string, r *pg.RangeVar, mend string) {
	t := d.target(r)
	if t == nil {
		return
	}
	d.w.tables = append(d.w.tables, t.String())
	// What refers to the table may go with it.
	all := []*table{t}
	for i := 0; i < len(all); i++ {
		for _, fk := range d.p.schema.children(all[i]) {
			if !slices.Contains(all, fk.child) {
				all = append(all, fk.child)
			}
		}
		for _, r := range all[i].family {
			if !slices.Contains(all, r) {
				all = append(all, r)
			}
		}
	}
	for _, t := range all {
		for _, tr := range t.triggers {
			d.all(fmt.Sprintf("is a %s that may reach %s, which has %s %s (%s)", what, t, tr.what, tr.name, tr.pos))
		}
		for _, m := range d.p.mapsOf(t) {
			if d.ruledOut(m.read.g.name) {
				continue
			}
			d.fail(m.read.g, &Finding{
				Pos: d.w.q.pos, Msg: fmt.Sprintf("%s is a %s that may reach %s, which %s reads (%s): its entries in group %s would go stale",
					d.w.q.name, what, t, m.read.q.name, m.read.q.pos, m.read.g),
				Why: what + " is not derived in this release", Mend: []string{
					mend,
					fmt.Sprintf("-- @invalidates %s(…) with the parameter or result column that tells the key", m.read.g.name),
					fmt.Sprintf(`-- @invalidates none(%s) "why it stays as it is"`, m.read.g.name),
				},
			})
		}
	}
}

// mapsOf lists the mappings of a table, in the order of the reads.
func (p *project) mapsOf(t *table) []*mapping {
	var out []*mapping
	for _, r := range p.reads {
		for _, m := range r.maps {
			if m.table == t {
				out = append(out, m)
			}
		}
	}
	return out
}

// targetScope analyses an UPDATE's or DELETE's WHERE with the target first in
// its FROM.
func (d *deriver) targetScope(rel *pg.RangeVar, from []*pg.Node, where *pg.Node, with *pg.WithClause) (*analysis, *occurrence) {
	a := newAnalysis(d.p.schema)
	sc := &scope{merged: map[string]place{}}
	sc.env = a.with(with, nil)
	// The target is never a CTE of the same name.
	plain := &scope{merged: sc.merged}
	target := a.rangeVar(plain, rel, nil)
	target.scope = sc
	sc.items = append(sc.items, target)
	for _, f := range from {
		a.from(sc, f, nil)
	}
	a.condition(sc, where, nil)
	a.top = sc
	return a, target
}

// known lists what the WHERE clause says of a column.
func (a *analysis) known(o *occurrence, col string) []value {
	if class, _ := a.schema.class(o.table.col(col)); class == "" {
		return nil
	}
	var args, lists, consts []value
	for at := range a.reach(o, col) {
		switch {
		case at.occ != nil:
		case at.col[0] == '$':
			n, _ := strconv.Atoi(at.col[1:])
			args = append(args, value{kind: ofArg, n: n - 1})
		case at.col[0] == '@':
			n, _ := strconv.Atoi(at.col[1:])
			lists = append(lists, value{kind: ofList, n: n - 1})
		case at.col[0] == '=':
			consts = append(consts, value{kind: ofConst, text: at.col[1:]})
		}
	}
	for _, vs := range [][]value{args, lists} {
		sort.Slice(vs, func(i, j int) bool { return vs[i].n < vs[j].n })
	}
	sort.Slice(consts, func(i, j int) bool { return consts[i].text < consts[j].text })
	return slices.Concat(args, consts, lists)
}

// singleRow reports whether the WHERE clause names at most one row.
func (a *analysis) singleRow(o *occurrence) bool {
	return o.table.hasUnique(func(col string) bool {
		return slices.ContainsFunc(a.known(o, col), func(v value) bool { return v.kind == ofArg || v.kind == ofConst })
	})
}

// returned maps the target's columns to the output columns that return them.
func (d *deriver) returned(a *analysis, target *occurrence, list []*pg.Node, outermost bool) map[string]int {
	out := map[string]int{}
	if !outermost || len(list) != len(d.w.q.outs) {
		return out
	}
	for i, n := range list {
		c := n.GetResTarget().GetVal().GetColumnRef()
		if c == nil {
			continue
		}
		parts, star := columnPath(c)
		if star {
			continue
		}
		at, ok := a.resolve(a.top, parts)
		if !ok || at.occ != target {
			continue
		}
		if _, twice := out[at.col]; !twice {
			out[at.col] = i
		}
	}
	return out
}

// result turns returned columns into values, if the command lets all rows be
// seen.
func (d *deriver) result(c *change, ret map[string]int) map[string][]value {
	out := map[string][]value{}
	q := d.w.q
	switch {
	case len(ret) == 0:
		return out
	case q.cmd == ":many", q.cmd == ":one" && d.single, q.cmd == ":batchone", q.cmd == ":batchmany": // a batch's rows are all seen
		for col, i := range ret {
			out[col] = []value{{kind: ofOut, n: i}}
		}
	case q.cmd == ":one":
		c.notes = append(c.notes, note{text: "it may change several rows, and :one returns only the first"})
	default:
		c.notes = append(c.notes, note{text: q.cmd + " doesn't hand back what RETURNING says"})
	}
	return out
}

func (d *deriver) update(u *pg.UpdateStmt, t *table, outermost bool) *change {
	a, target := d.targetScope(u.GetRelation(), u.GetFromClause(), u.GetWhereClause(), u.GetWithClause())
	if outermost {
		d.single = a.singleRow(target)
	}
	c := &change{table: t, kind: "changes", old: map[string][]value{}, new: map[string][]value{}, sets: map[string]bool{}, pos: d.w.q.pos}
	ret := d.result(c, d.returned(a, target, u.GetReturningList(), outermost))

	sets := d.assignments(a, t, target.alias, u.GetTargetList(), nil)
	c.named = targets(u.GetTargetList())
	for col := range sets {
		c.sets[col] = true
	}
	t.spread(c.sets)
	for _, col := range t.cols {
		where := a.known(target, col.name)
		if c.sets[col.name] {
			c.old[col.name] = where
			c.new[col.name] = append(slices.Clone(sets[col.name]), ret[col.name]...)
			continue
		}
		both := append(slices.Clone(where), ret[col.name]...)
		c.old[col.name], c.new[col.name] = both, both
	}
	return c
}

// spread adds the generated columns that follow from changed ones.
func (t *table) spread(sets map[string]bool) {
	for _, c := range t.cols {
		if c.generated && slices.ContainsFunc(c.genRefs, func(r string) bool { return sets[r] }) {
			sets[c.name] = true
		}
	}
}

// targets lists the columns that a SET list names.
func targets(list []*pg.Node) map[string]bool {
	out := map[string]bool{}
	for _, n := range list {
		out[n.GetResTarget().GetName()] = true
	}
	return out
}

// assignments reads a SET list: for each column that it changes, the values it
// is known to take. excluded holds the proposed row of an upsert.
func (d *deriver) assignments(a *analysis, t *table, alias string, list []*pg.Node, excluded map[string][]value) map[string][]value {
	out := map[string][]value{}
	for _, n := range list {
		r := n.GetResTarget()
		col := t.col(r.GetName())
		if col == nil {
			continue
		}
		val := r.GetVal()
		if m := val.GetMultiAssignRef(); m != nil {
			val = nil
			if row := m.GetSource().GetRowExpr(); row != nil && int(m.GetColno()) <= len(row.GetArgs()) {
				val = row.GetArgs()[m.GetColno()-1]
			}
		}
		if len(r.GetIndirection()) > 0 { // a part of an array or composite
			out[col.name] = nil
			continue
		}
		if ref := val.GetColumnRef(); ref != nil {
			parts, _ := columnPath(ref)
			last := parts[len(parts)-1]
			if len(parts) == 2 && parts[0] == "excluded" && excluded != nil {
				out[col.name] = nil
				if from := t.col(last); from != nil && d.sameKind(from, col) {
					out[col.name] = slices.Clone(excluded[last])
				}
				continue
			}
			if last == col.name && (len(parts) == 1 || parts[0] == alias) {
				continue // SET c = c
			}
		}
		out[col.name] = d.assigned(a, col, val)
	}
	return out
}

// sameKind reports whether a column stores exactly what another one holds.
func (d *deriver) sameKind(from, to *column) bool {
	if from == to {
		return true
	}
	a, _ := d.p.schema.class(from)
	b, _ := d.p.schema.class(to)
	return a != "" && a == b && !to.cuts
}

// assigned reads the value that INSERT or SET gives to a column.
func (d *deriver) assigned(a *analysis, col *column, n *pg.Node) []value {
	if n == nil {
		return nil
	}
	if n.GetSetToDefault() != nil {
		return d.defaultOf(a, col)
	}
	if k := n.GetAConst(); k != nil && k.GetIsnull() {
		return []value{{kind: isNull}}
	}
	if col.cuts {
		return nil
	}
	class, _ := d.p.schema.class(col)
	o := a.operand(&scope{}, n)
	if class == "" || !o.free || o.at.occ != nil || (o.class != "" && o.class != class) || o.why != "" {
		return nil
	}
	if o.at.col[0] == '$' {
		i, _ := strconv.Atoi(o.at.col[1:])
		return []value{{kind: ofArg, n: i - 1}}
	}
	return []value{{kind: ofConst, text: o.at.col[1:]}}
}

// defaultOf reads a column's default; nil when the database makes the value.
func (d *deriver) defaultOf(a *analysis, col *column) []value {
	switch {
	case col.identity || col.generated:
		return nil
	case col.def == nil && d.p.schema.hasDefault(col):
		return nil // the domain's
	case col.def == nil:
		return []value{{kind: isNull}}
	}
	return d.assigned(a, col, col.def)
}

func (d *deriver) delete(s *pg.DeleteStmt, t *table, outermost bool) *change {
	a, target := d.targetScope(s.GetRelation(), s.GetUsingClause(), s.GetWhereClause(), s.GetWithClause())
	if outermost {
		d.single = a.singleRow(target)
	}
	c := &change{table: t, kind: "deletes", old: map[string][]value{}, pos: d.w.q.pos}
	ret := d.result(c, d.returned(a, target, s.GetReturningList(), outermost))
	for _, col := range t.cols {
		c.old[col.name] = append(a.known(target, col.name), ret[col.name]...)
	}
	return c
}

func (d *deriver) insert(s *pg.InsertStmt, outermost bool) []*change {
	t := d.target(s.GetRelation())
	if t == nil {
		return nil
	}
	a := newAnalysis(d.p.schema)
	sc := &scope{merged: map[string]place{}}
	target := a.rangeVar(sc, s.GetRelation(), nil)
	a.top = sc

	c := &change{
		table: t, kind: "inserts", insert: true, new: map[string][]value{}, byDB: map[string]bool{}, pos: d.w.q.pos,
	}
	var cols []*column
	for _, n := range s.GetCols() {
		if col := t.col(n.GetResTarget().GetName()); col != nil {
			cols = append(cols, col)
		}
	}
	if len(s.GetCols()) == 0 {
		cols = t.cols
	}
	if s.GetSelectStmt() == nil {
		cols = nil // DEFAULT VALUES
	}
	given := map[string]bool{}
	rows := proposed(s.GetSelectStmt())
	for i, col := range cols {
		given[col.name] = true
		if d.w.q.cmd == ":copyfrom" {
			// The fields of a row stand in the order of the parameters, not of the columns.
			at := slices.IndexFunc(d.w.q.args, func(a arg) bool { return a.col == col.name })
			if at >= 0 && !col.cuts {
				c.new[col.name] = []value{{kind: ofArg, n: at}}
			}
			continue
		}
		var vals []value
		for r, row := range rows {
			if i >= len(row) {
				given[col.name] = len(s.GetCols()) > 0 // fewer values than columns: the rest are defaults
				continue
			}
			if col.identity && s.GetOverride() == pg.OverridingKind_OVERRIDING_USER_VALUE {
				c.byDB[col.name] = true // the sequence's value, whatever is given
				vals = nil
				break
			}
			if row[i].GetSetToDefault() != nil && len(d.defaultOf(a, col)) == 0 {
				c.byDB[col.name] = true
			}
			v := d.assigned(a, col, row[i])
			if len(v) == 0 {
				vals = nil
				break
			}
			if r > 0 && !slices.Equal(vals, v) {
				vals = append(vals, v...)
				continue
			}
			vals = v
		}
		// Several rows with different values: each of them counts.
		if len(vals) > 1 {
			c.rows(col.name)
			continue
		}
		c.new[col.name] = vals
	}
	for _, col := range t.cols {
		if given[col.name] {
			continue
		}
		vals := d.defaultOf(a, col)
		if vals == nil {
			c.byDB[col.name] = true
		}
		c.new[col.name] = vals
	}
	if outermost {
		d.single = len(rows) == 1 && !d.multiplies(s.GetSelectStmt().GetSelectStmt().GetTargetList())
	}

	conflict := s.GetOnConflictClause()
	ret := d.result(c, d.returned(a, target, s.GetReturningList(), outermost))
	upsert := conflict.GetAction() == pg.OnConflictAction_ONCONFLICT_UPDATE
	var unique []string
	if upsert {
		unique = conflictColumns(t, conflict.GetInfer())
	}
	values := map[string][]value{} // proposed
	for col, v := range c.new {
		values[col] = slices.Clone(v)
	}
	for col, v := range ret {
		if upsert && !slices.Contains(unique, col) {
			c.new[col] = append(slices.Clone(v), c.new[col]...)
		} else {
			c.new[col] = append(c.new[col], v...)
		}
	}
	out := []*change{c}
	if !upsert {
		return out
	}

	up := &change{
		table: t, kind: "changes", old: map[string][]value{}, new: map[string][]value{}, sets: map[string]bool{}, pos: d.w.q.pos,
		notes: slices.Clone(c.notes), upsert: true,
	}
	sets := d.assignments(a, t, target.alias, conflict.GetTargetList(), values)
	up.named = targets(conflict.GetTargetList())
	for col := range sets {
		up.sets[col] = true
	}
	t.spread(up.sets)
	for _, col := range t.cols {
		var before []value
		if slices.Contains(unique, col.name) {
			before = slices.Clone(values[col.name])
		}
		if !up.sets[col.name] {
			before = append(before, ret[col.name]...)
			up.old[col.name], up.new[col.name] = before, before
			continue
		}
		up.old[col.name] = before
		up.new[col.name] = append(slices.Clone(sets[col.name]), ret[col.name]...)
		if len(before) == 0 {
			up.notes = append(up.notes, note{col.name, "the row that ON CONFLICT finds may have had another one"})
		}
	}
	return append(out, up)
}

// multiplies reports whether a target list may make several rows of one: any
// function that isn't known to return one value may return a set.
func (d *deriver) multiplies(targets []*pg.Node) bool {
	found := false
	for _, n := range targets {
		walk(n, func(m protoMessage) bool {
			f, ok := m.(*pg.FuncCall)
			if !ok {
				return true
			}
			name := lastName(f.GetFuncname())
			scalar := known[name] && !setReturning[name] || changing[name] || sessionFuncs[name]
			found = found || d.p.schema.function(name) != nil || !scalar
			return true
		})
	}
	return found
}

// rows notes that the rows of a multi-row VALUES differ in a column.
func (c *change) rows(col string) {
	c.new[col] = nil
	c.notes = append(c.notes, note{col, "the rows of VALUES differ in " + col})
}

// proposed lists the rows that an INSERT proposes, value by value. An INSERT …
// SELECT is one row of expressions over its FROM, of which only parameters and
// constants are the same for all rows.
func proposed(n *pg.Node) [][]*pg.Node {
	sel := n.GetSelectStmt()
	if sel == nil {
		return [][]*pg.Node{nil} // DEFAULT VALUES
	}
	if len(sel.GetValuesLists()) > 0 {
		var out [][]*pg.Node
		for _, v := range sel.GetValuesLists() {
			out = append(out, v.GetList().GetItems())
		}
		return out
	}
	if sel.GetOp() != pg.SetOperation_SETOP_NONE && sel.GetOp() != pg.SetOperation_SET_OPERATION_UNDEFINED {
		return nil
	}
	var row []*pg.Node
	for _, t := range sel.GetTargetList() {
		if _, star := columnPath(t.GetResTarget().GetVal().GetColumnRef()); star {
			return nil // which value goes to which column isn't known
		}
		row = append(row, t.GetResTarget().GetVal())
	}
	if len(sel.GetFromClause()) > 0 {
		return [][]*pg.Node{row, row} // how many isn't known
	}
	return [][]*pg.Node{row}
}

// conflictColumns returns the columns of an ON CONFLICT target.
func conflictColumns(t *table, infer *pg.InferClause) []string {
	if name := infer.GetConname(); name != "" {
		for _, u := range t.uniques {
			if u.name == name {
				return u.cols
			}
		}
		return nil
	}
	var out []string
	for _, e := range infer.GetIndexElems() {
		if e.GetIndexElem().GetName() == "" {
			return nil
		}
		out = append(out, e.GetIndexElem().GetName())
	}
	return out
}

// change derives the keys that a change invalidates, and follows its cascades.
func (d *deriver) change(c *change) {
	id := c.String()
	if d.seen[id] {
		return
	}
	d.seen[id] = true
	for _, t := range kin(c.table) {
		for _, tr := range t.triggers {
			if tr.fires(c) {
				d.all(fmt.Sprintf("%s rows of %s%s, which has %s %s (%s)", c.kind, t, c.via, tr.what, tr.name, tr.pos))
			}
		}
	}
	d.relatives(c)
	for _, m := range d.p.mapsOf(c.table) {
		if d.ruledOut(m.read.g.name) || !c.touches(m) {
			continue
		}
		d.need(c, m)
	}
	for _, t := range kin(c.table) {
		for _, fk := range d.p.schema.children(t) {
			if child := d.cascade(c, fk); child != nil {
				d.change(child)
			}
		}
	}
}

// kin lists a table and those that share rows with it by inheritance or
// partitioning.
func kin(t *table) []*table {
	all := []*table{t}
	for i := 0; i < len(all); i++ {
		for _, r := range all[i].family {
			if !slices.Contains(all, r) {
				all = append(all, r)
			}
		}
	}
	return all
}

// String identifies a change for the guard against circles of foreign keys.
func (c *change) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", c.kind, c.table)
	for _, m := range []map[string][]value{c.old, c.new} {
		b.WriteString("|")
		for _, col := range c.table.cols {
			if v := m[col.name]; len(v) > 0 {
				fmt.Fprintf(&b, " %s=%v", col.name, v)
			}
		}
	}
	if c.sets != nil {
		fmt.Fprintf(&b, "|%v", sortedKeys(c.sets))
	}
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

func (tr *trigger) fires(c *change) bool {
	switch c.kind {
	case "inserts":
		return tr.ins
	case "deletes":
		return tr.del
	}
	if !tr.upd {
		return false
	}
	return len(tr.cols) == 0 || slices.ContainsFunc(tr.cols, func(col string) bool { return c.sets[col] || c.named[col] })
}

// relatives refuses a change of a table that shares rows with others by
// inheritance or partitioning.
func (d *deriver) relatives(c *change) {
	seen := kin(c.table)
	if len(seen) == 1 {
		return
	}
	for _, r := range d.p.reads {
		for _, m := range r.maps {
			if !slices.Contains(seen, m.table) || d.ruledOut(r.g.name) {
				continue
			}
			d.fail(r.g, &Finding{
				Pos: c.pos, Msg: fmt.Sprintf("%s %s rows of %s%s, which has partitions or heirs, and %s reads %s (%s)", d.w.q.name, c.kind, c.table,
					c.via, r.q.name, m.table, r.q.pos),
				Why: "rows of partitions and heirs are not derived in this release",
				Mend: []string{
					fmt.Sprintf("-- @invalidates %s(…) with the parameter or result column that tells the key", r.g.name),
					fmt.Sprintf(`-- @invalidates none(%s) "why it stays as it is"`, r.g.name),
				},
			})
		}
	}
}

// touches reports whether the change can alter what the read says: any new or
// deleted row can; an update only if it changes a column that the read uses.
func (c *change) touches(m *mapping) bool {
	if c.sets == nil || m.occ.refAll {
		return true
	}
	for col := range c.sets {
		if m.occ.refs[col] {
			return true
		}
	}
	return false
}

// need adds the keys of one mapping, before and after the change.
func (d *deriver) need(c *change, m *mapping) {
	if c.insert && d.absent(c, m) {
		return
	}
	for _, side := range []struct {
		name string
		vals map[string][]value
	}{{"before", c.old}, {"after", c.new}} {
		if side.vals == nil {
			continue
		}
		tuple := &keyTuple{g: m.read.g}
		var missing []string
		void := false
		for k, alts := range m.cols {
			best, ok := d.pick(m.read.g, k, alts, side.vals)
			if !ok {
				missing = append(missing, alts[0])
				continue
			}
			void = void || best.kind == isNull
			tuple.parts = append(tuple.parts, best)
		}
		if void {
			continue
		}
		if len(missing) > 0 {
			d.unknown(c, m, missing, side.name, d.otherType(m, side.vals))
			return
		}
		d.add(tuple)
	}
}

func (d *deriver) add(t *keyTuple) {
	id := fmt.Sprintf("%s %v", t.g.name, t.parts)
	if !d.tuples[id] {
		d.tuples[id] = true
		d.w.keys = append(d.w.keys, t)
	}
}

// absent reports whether an inserted row with a key made by the database needs
// nothing: nobody can have cached an answer for a key that did not exist, if the
// group keeps no negative answers and the read returns no row without this one.
func (d *deriver) absent(c *change, m *mapping) bool {
	if m.read.g.opts.negative != "off" || m.read.q.cmd != ":one" || !m.required {
		return false
	}
	// The key must be unique, or another row may have had it.
	if !m.table.hasUnique(func(col string) bool {
		return slices.ContainsFunc(m.cols, func(alts []string) bool { return slices.Contains(alts, col) })
	}) {
		return false
	}
	for _, alts := range m.cols {
		if slices.ContainsFunc(alts, func(col string) bool { return c.byDB[col] && len(c.new[col]) == 0 }) {
			return true
		}
	}
	return false
}

// pick chooses the value of a key part among the columns that equal it.
func (d *deriver) pick(g *group, part int, alts []string, vals map[string][]value) (value, bool) {
	var found []value
	for _, col := range alts {
		for _, v := range vals[col] {
			if d.usable(g, part, v) {
				found = append(found, v)
			}
		}
	}
	if len(found) == 0 {
		return value{}, false
	}
	for _, v := range found { // one value is better than a list
		if v.kind != ofList {
			return v, true
		}
	}
	return found[0], true
}

// usable reports whether a value has a Go type that makes the key part.
func (d *deriver) usable(g *group, part int, v value) bool {
	q, to := d.w.q, g.keyTypes[part]
	switch v.kind {
	case ofArg:
		return v.n < len(q.args) && convert(q.args[v.n].typ, to) != impossible
	case ofList:
		if v.n >= len(q.args) {
			return false
		}
		elem, ok := sliceElem(q.args[v.n].typ)
		return ok && convert(elem, to) != impossible
	case ofOut:
		return v.n < len(q.outs) && convert(q.outs[v.n].typ, to) != impossible
	case ofConst:
		_, ok := constExpr(v.text, to)
		return ok
	}
	return true
}

// otherType describes an argument that has a key part's value and a Go type of
// which none can be made; "" where there is none.
func (d *deriver) otherType(m *mapping, vals map[string][]value) string {
	for k, alts := range m.cols {
		for _, col := range alts {
			for _, v := range vals[col] {
				if (v.kind == ofArg || v.kind == ofList) && v.n < len(d.w.q.args) && !d.usable(m.read.g, k, v) {
					return fmt.Sprintf("parameter %s has Go type %s, of which no %s is made", snake(d.w.q.args[v.n].name),
						typeString(d.w.q.args[v.n].typ), typeString(m.read.g.keyTypes[k]))
				}
			}
		}
	}
	return ""
}

// unknown reports a key that can't be told.
func (d *deriver) unknown(c *change, m *mapping, missing []string, when, otherType string) {
	q, r := d.w.q, m.read
	cols := strings.Join(missing, ", ")
	msg := fmt.Sprintf("%s %s rows of %s%s, which %s reads (%s): its entries in group %s would go stale", q.name, c.kind, c.table, c.via,
		r.q.name, r.q.pos, r.g)
	why := fmt.Sprintf("the statement doesn't tell %s of those rows", cols)
	if c.kind == "changes" && when == "before" && slices.ContainsFunc(missing, func(m string) bool { return c.sets[m] }) {
		why = fmt.Sprintf("it sets %s, and doesn't tell what it was before", cols)
	} else if c.kind == "changes" && when == "after" && slices.ContainsFunc(missing, func(m string) bool { return c.sets[m] }) {
		why = fmt.Sprintf("it sets %s to something that isn't known outside the database", cols)
	}
	cuts := ""
	for _, col := range missing {
		if c.table.col(col).cuts && (c.insert || c.sets[col]) {
			cuts = col
			why += fmt.Sprintf("; %s may store less than it is given (%s with a length)", col, c.table.col(col).typ)
		}
	}
	for _, n := range c.notes {
		if n.col == "" || slices.Contains(missing, n.col) {
			why += "; " + n.text
		}
	}
	f := &Finding{Pos: q.pos, Msg: msg, Why: why}
	if otherType != "" {
		f.Why += "; " + otherType
		f.Mend = append(f.Mend, "cast the parameter to the type of its column, so that sqlc gives both one type")
	}
	switch {
	case c.via != "":
		// Without the lock, a row that comes meanwhile would go with its parent unseen.
		f.Mend = append(f.Mend, fmt.Sprintf("in one transaction, lock the row of %s (SELECT … FOR UPDATE), then delete or change the rows of %s with RETURNING %s, "+
			"then run this one with -- @invalidates none(%s) \"…\"", c.parent, c.table, cols, r.g.name))
	case c.inner && c.via == "":
		f.Mend = append(f.Mend, fmt.Sprintf("make it the outermost statement, with RETURNING %s", cols))
	case c.upsert && c.sets[missing[0]]:
		f.Mend = append(f.Mend, fmt.Sprintf("leave %s out of DO UPDATE SET", missing[0]),
			fmt.Sprintf("in one transaction, DELETE … RETURNING %s, then INSERT … RETURNING %s", cols, cols))
	case c.kind == "changes" && when == "before" && c.sets[missing[0]]:
		f.Mend = append(f.Mend, fmt.Sprintf("read the old value in the same transaction by SELECT %s … FOR UPDATE, and tell it: … AND %s = @old_%s",
			missing[0], missing[0], missing[0]),
			fmt.Sprintf("split it: DELETE … RETURNING %s, then INSERT … RETURNING %s, in one transaction", cols, cols))
	case q.cmd == ":exec" || q.cmd == ":execrows" || q.cmd == ":execresult" || q.cmd == ":batchexec":
		switch {
		case q.batch():
			f.Mend = append(f.Mend, fmt.Sprintf("make it :batchmany and add RETURNING %s", cols))
		case c.insert && d.single:
			f.Mend = append(f.Mend, fmt.Sprintf("make it :one and add RETURNING %s", cols))
		case c.insert:
			f.Mend = append(f.Mend, fmt.Sprintf("make it :many and add RETURNING %s", cols))
		default:
			f.Mend = append(f.Mend, fmt.Sprintf("make it :many and add RETURNING %s (:one where a unique key is in WHERE)", cols))
		}
		if !c.insert && !c.upsert && !c.sets[missing[0]] {
			f.Mend = append(f.Mend, fmt.Sprintf("put it into WHERE: … AND %s = $n", missing[0]))
		}
	case q.cmd == ":one" && !d.single:
		f.Mend = append(f.Mend, fmt.Sprintf("make it :many with RETURNING %s", cols))
	case q.cmd == ":copyfrom" && cuts != "":
		f.Mend = append(f.Mend, fmt.Sprintf("make %s a column of type text, with a CHECK of its length", cuts))
	case q.cmd == ":copyfrom":
		f.Mend = append(f.Mend, fmt.Sprintf("give %s in the rows: add it to the columns", cols))
	default:
		f.Mend = append(f.Mend, fmt.Sprintf("add RETURNING %s", cols))
	}
	f.Mend = append(f.Mend,
		fmt.Sprintf("-- @invalidates %s(…) with the parameter or result column that tells the key", r.g.name),
		fmt.Sprintf(`-- @invalidates none(%s) "why it stays as it is"`, r.g.name))
	d.fail(r.g, f)
}

// cascade returns the change that a foreign key makes of the parent's change.
func (d *deriver) cascade(c *change, fk *foreignKey) *change {
	action, word := "", ""
	switch {
	case c.kind == "deletes":
		action, word = fk.onDelete, "ON DELETE"
	case c.kind == "changes" && (len(fk.refCols) == 0 || slices.ContainsFunc(fk.refCols, func(r string) bool { return c.sets[r] })):
		action, word = fk.onUpdate, "ON UPDATE"
	}
	if action != "c" && action != "n" && action != "d" {
		return nil
	}
	what := map[string]string{"c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}[action]
	child := &change{
		table: fk.child, kind: "changes", old: map[string][]value{}, new: map[string][]value{}, sets: map[string]bool{},
		parent: c.table, via: fmt.Sprintf("%s by %s %s of %s (%s)", c.via, word, what, fk.name, fk.pos), pos: c.pos,
	}
	if action == "c" && c.kind == "deletes" {
		child.kind, child.sets, child.new = "deletes", nil, nil
	}
	d.note(fmt.Sprintf("%s → %s (%s %s)", c.table, fk.child, word, what))
	setCols := fk.cols
	if action != "c" && len(fk.setCols) > 0 {
		setCols = fk.setCols
	}
	if child.sets != nil {
		child.named = map[string]bool{}
		for _, col := range setCols {
			child.named[col] = true
		}
	}
	for i, col := range fk.cols {
		if i >= len(fk.refCols) || !d.sameClass(fk, i) {
			// Its values are not known, but it changes all the same.
			if child.sets != nil && (action == "c" || slices.Contains(setCols, col)) {
				child.sets[col] = true
			}
			continue
		}
		ref := fk.refCols[i]
		child.old[col] = c.old[ref]
		switch {
		case child.kind == "deletes":
		case action == "c":
			child.new[col] = c.new[ref]
			if c.sets[ref] {
				child.sets[col] = true
			}
		case slices.Contains(setCols, col):
			child.sets[col] = true
			if action == "n" {
				child.new[col] = []value{{kind: isNull}}
			} else {
				child.new[col] = d.defaultOf(newAnalysis(d.p.schema), fk.child.col(col))
			}
		default:
			child.new[col] = c.old[ref]
		}
	}
	if child.sets != nil {
		fk.child.spread(child.sets)
	}
	if child.kind == "deletes" || len(child.sets) > 0 {
		return child
	}
	return nil
}

func (d *deriver) note(s string) {
	if !slices.Contains(d.w.cascades, s) {
		d.w.cascades = append(d.w.cascades, s)
	}
}

func (d *deriver) sameClass(fk *foreignKey, i int) bool {
	a, b := fk.child.col(fk.cols[i]), fk.refTable.col(fk.refCols[i])
	if a == nil || b == nil {
		return false
	}
	ca, _ := d.p.schema.class(a)
	cb, _ := d.p.schema.class(b)
	return ca != "" && ca == cb
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
			d.p.weak = append(d.p.weak, weakPoint{Pos: n.pos, Text: fmt.Sprintf("%s leaves group %s alone: %q", q.name, g, n.why)})
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
