package gen

import (
	"fmt"
	"slices"
	"sort"
	"strconv"

	pg "github.com/pganalyze/pg_query_go/v6"
)

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
		d.all("writes inside of a sub-select", "", "put it into the outermost WITH")
	}
}

// sink says which output column of the query shows an item of a RETURNING list,
// given its place, its name and its class; -1 for none. A nil sink shows nothing.
type sink func(i int, name, class string) int

// outermost is the sink of a statement whose RETURNING is the query's result.
func (d *deriver) outermost(items int) sink {
	if items != len(d.w.q.outs) {
		return nil
	}
	return func(i int, _, _ string) int { return i }
}

// statement lists the changes that a statement makes by itself. top says that it
// is the query itself; shown is where its RETURNING goes if it is not.
func (d *deriver) statement(n *pg.Node, top bool, shown sink) []*change {
	var out []*change
	if n.GetInsertStmt() != nil || n.GetUpdateStmt() != nil || n.GetDeleteStmt() != nil || n.GetMergeStmt() != nil {
		d.statements++
	}
	passed, around := d.passed(n, top), d.env
	defer func() { d.env = around }()
	for _, c := range withClause(n).GetCtes() {
		cte := c.GetCommonTableExpr()
		if cte.GetCtequery().GetSelectStmt() == nil {
			d.env = d.analysis().with(withClause(n), around).ctes[cte.GetCtename()].env // it sees those before it
			for _, ch := range d.statement(cte.GetCtequery(), false, passed[cte.GetCtename()]) {
				ch.inner = true
				out = append(out, ch)
			}
		}
	}
	d.env = around
	returning := func(list []*pg.Node) sink {
		if top {
			return d.outermost(len(list))
		}
		return shown
	}
	switch {
	case n.GetInsertStmt() != nil:
		s := n.GetInsertStmt()
		if t, rel := d.target(s.GetRelation()); t != nil {
			out = append(out, d.insert(n, rel, t, top, returning(s.GetReturningList()))...)
		}
	case n.GetUpdateStmt() != nil:
		s := n.GetUpdateStmt()
		if t, rel := d.target(s.GetRelation()); t != nil {
			out = append(out, d.update(n, rel, t, top, returning(s.GetReturningList())))
		}
	case n.GetDeleteStmt() != nil:
		s := n.GetDeleteStmt()
		if t, rel := d.target(s.GetRelation()); t != nil {
			out = append(out, d.delete(n, rel, t, top, returning(s.GetReturningList())))
		}
	case n.GetMergeStmt() != nil:
		s := n.GetMergeStmt()
		if t, rel := d.target(s.GetRelation()); t != nil {
			out = append(out, d.merge(n, rel, t, top, returning(s.GetReturningList()))...)
		}
	case n.GetTruncateStmt() != nil:
		d.truncate(n.GetTruncateStmt())
	case n.GetSelectStmt() != nil, n.GetListenStmt() != nil, n.GetUnlistenStmt() != nil, n.GetNotifyStmt() != nil, n.GetRefreshMatViewStmt() != nil,
		n.GetLockStmt() != nil, n.GetVariableSetStmt() != nil, n.GetVariableShowStmt() != nil:
	case n.GetCallStmt() != nil:
		if name := lastName(n.GetCallStmt().GetFunccall().GetFuncname()); d.p.schema.function(name) == nil {
			d.all(fmt.Sprintf("calls procedure %s, which the schema doesn't have, and which may change any table", name), "")
		}
	default:
		d.all("is a statement that pgaside doesn't know", "")
	}
	return out
}

// passed finds the statement in the WITH clause of which every row reaches the
// query's result, and which of its columns are shown there:
//
//	WITH d AS (DELETE … RETURNING id, session_id) SELECT session_id FROM d
//	WITH d AS (DELETE … RETURNING *) INSERT INTO archive SELECT … FROM d RETURNING …
func (d *deriver) passed(n *pg.Node, top bool) map[string]sink {
	if !top {
		return nil
	}
	var shown []int            // for each target of the SELECT, the output column of the query
	stored := map[int]string{} // the class of a column that shows what INSERT has made of it
	sel := n.GetSelectStmt()
	if ins := n.GetInsertStmt(); ins != nil {
		sel = ins.GetSelectStmt().GetSelectStmt()
		t, _ := d.p.schema.find(ins.GetRelation().GetSchemaname(), ins.GetRelation().GetRelname())
		if t == nil || t.view != nil || ins.GetOnConflictClause() != nil || sel.GetWithClause() != nil || len(ins.GetReturningList()) != len(d.w.q.outs) ||
			slices.ContainsFunc(kin(t), func(t *table) bool { return len(t.triggers) > 0 }) {
			return nil
		}
		for i := range sel.GetTargetList() {
			shown = append(shown, slices.IndexFunc(ins.GetReturningList(), func(r *pg.Node) bool {
				parts, _ := columnPath(r.GetResTarget().GetVal().GetColumnRef())
				if len(parts) == 0 || i >= len(ins.GetCols()) || parts[len(parts)-1] != ins.GetCols()[i].GetResTarget().GetName() {
					return false
				}
				col := t.col(parts[len(parts)-1])
				return col != nil && !col.cuts && (!col.identity || ins.GetOverride() != pg.OverridingKind_OVERRIDING_USER_VALUE)
			}))
			if last := len(shown) - 1; shown[last] >= 0 {
				stored[shown[last]], _ = d.p.schema.class(t.col(ins.GetCols()[i].GetResTarget().GetName()))
			}
		}
	} else {
		if len(sel.GetTargetList()) != len(d.w.q.outs) {
			return nil
		}
		for i := range sel.GetTargetList() {
			shown = append(shown, i)
		}
	}
	if sel == nil || sel.GetWhereClause() != nil || len(sel.GetGroupClause()) > 0 || sel.GetHavingClause() != nil || len(sel.GetDistinctClause()) > 0 ||
		sel.GetLimitCount() != nil || sel.GetLimitOffset() != nil || len(sel.GetFromClause()) != 1 || hasAggregate(sel.GetTargetList()) ||
		d.multiplies(sel.GetTargetList()) || d.multiplies(sel.GetSortClause()) || len(sel.GetLockingClause()) > 0 {
		return nil
	}
	from, alone := sel.GetFromClause()[0], true
	for from.GetJoinExpr() != nil && from.GetJoinExpr().GetJointype() == pg.JoinType_JOIN_LEFT && from.GetJoinExpr().GetAlias() == nil {
		from, alone = from.GetJoinExpr().GetLarg(), false
	}
	rel := from.GetRangeVar()
	if rel == nil || rel.GetSchemaname() != "" || len(rel.GetAlias().GetColnames()) > 0 {
		return nil
	}
	alias := rel.GetAlias().GetAliasname()
	if alias == "" {
		alias = rel.GetRelname()
	}
	var renamed []string
	for _, c := range withClause(n).GetCtes() {
		if cte := c.GetCommonTableExpr(); cte.GetCtename() == rel.GetRelname() {
			renamed = names(cte.GetAliascolnames())
		}
	}
	columns := map[string]int{}
	for i, t := range sel.GetTargetList() {
		parts, star := columnPath(t.GetResTarget().GetVal().GetColumnRef())
		if star || len(parts) == 0 || shown[i] < 0 || len(parts) == 1 && !alone || len(parts) > 1 && parts[len(parts)-2] != alias {
			continue
		}
		columns[parts[len(parts)-1]] = shown[i]
	}
	return map[string]sink{rel.GetRelname(): func(i int, name, class string) int {
		if i < len(renamed) {
			name = renamed[i]
		}
		at, ok := columns[name]
		if into, is := stored[at]; !ok || is && into != class {
			return -1
		}
		return at
	}}
}

// target resolves the table that a statement changes, and the name under which
// it does so. nil: it is reported.
func (d *deriver) target(r *pg.RangeVar) (*table, *pg.RangeVar) {
	t, why := d.p.schema.find(r.GetSchemaname(), r.GetRelname())
	if t == nil {
		if len(d.p.groups) > 0 {
			d.p.fail(d.w.q.at(int(r.GetLocation())), fmt.Sprintf("%s changes a table that pgaside can't find", d.w.q.name), why,
				"name every migration under schema: in sqlc.yaml (or by --schema), and qualify the name with its schema")
		}
		return nil, nil
	}
	seen := map[*table]bool{} // views that stand on each other: DDL that Postgres would refuse, or a file that is half read
	for t.view != nil {
		below := d.p.schema.below(t)
		if seen[t] {
			below = nil
		}
		seen[t] = true
		if below == nil {
			d.all(fmt.Sprintf("changes %s, which is a view (%s)", t, t.pos), "pgaside doesn't follow this view", "write to the table below it")
			return nil, nil
		}
		alias := r.GetAlias()
		if alias == nil {
			alias = &pg.Alias{Aliasname: r.GetRelname()}
		}
		d.throughView = true
		t, r = below, &pg.RangeVar{Schemaname: below.schema, Relname: below.name, Inh: true, Relpersistence: "p", Alias: alias}
	}
	return t, r
}

// below returns the table under a view that Postgres writes through, if the view
// shows its columns under their own names; nil for other views.
func (s *schema) below(v *table) *table {
	sel := v.view
	if len(v.triggers) > 0 || v.defaults || len(v.viewCols) > 0 || v.outdated != "" || sel.GetOp() != pg.SetOperation_SETOP_NONE || sel.GetWithClause() != nil ||
		len(sel.GetDistinctClause()) > 0 || len(sel.GetGroupClause()) > 0 || sel.GetHavingClause() != nil || sel.GetLimitCount() != nil ||
		sel.GetLimitOffset() != nil || len(sel.GetFromClause()) != 1 || sel.GetFromClause()[0].GetRangeVar() == nil || len(sel.GetValuesLists()) > 0 {
		return nil
	}
	for _, n := range sel.GetTargetList() {
		parts, star := columnPath(n.GetResTarget().GetVal().GetColumnRef())
		if star {
			continue
		}
		if name := n.GetResTarget().GetName(); len(parts) == 0 || name != "" && name != parts[len(parts)-1] {
			return nil
		}
	}
	r := sel.GetFromClause()[0].GetRangeVar()
	t, _ := s.find(r.GetSchemaname(), r.GetRelname())
	if t == nil || t == v {
		return nil
	}
	return t
}

// mapsOf lists the mappings of a table, and of those that share rows with it, in
// the order of the reads.
func (p *project) mapsOf(t *table) []*mapping {
	all := kin(t)
	var out []*mapping
	for _, r := range p.reads {
		for _, m := range r.maps {
			if slices.Contains(all, m.table) {
				out = append(out, m)
			}
		}
	}
	return out
}

// analysis returns an analysis of a statement that changes rows, or of a part of
// it.
func (d *deriver) analysis() *analysis {
	a := newAnalysis(d.p.schema)
	a.bound, a.writes = &d.bound, true
	a.returned = func(n *pg.Node) []returnedColumn {
		rows := map[int]int{} // whoever reads from it twice may bring any two rows together
		var out []returnedColumn
		for _, c := range d.returns[n] {
			vals := make([]value, len(c.values))
			for i, v := range c.values {
				vals[i] = v.inRow(func(row int) int {
					if rows[row] == 0 {
						d.readings++
						rows[row] = d.readings
					}
					return rows[row]
				})
			}
			out = append(out, returnedColumn{c.name, c.class, vals})
		}
		return out
	}
	a.one = d.one
	return a
}

// targetScope analyses an UPDATE's or DELETE's WHERE with the target first in
// its FROM.
func (d *deriver) targetScope(rel *pg.RangeVar, from []*pg.Node, where *pg.Node, with *pg.WithClause) (*analysis, *occurrence) {
	a := d.analysis()
	sc := &scope{merged: map[string]place{}}
	sc.env = a.with(with, d.env)
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
	// A row that was read under a lock is the row that is changed, as it is before.
	for _, o := range slices.Clone(a.occs) {
		if o == target || !o.locked || !a.sameRow(target, o) {
			continue
		}
		for _, c := range target.table.cols {
			if class, _ := a.schema.class(c); class != "" {
				a.connect(place{target, c.name}, place{o, c.name}, nil)
			}
			if a.nulls[place{o, c.name}] {
				a.nulls[place{target, c.name}] = true
			}
		}
	}
	return a, target
}

// known lists what the WHERE clause says of a column.
func (a *analysis) known(o *occurrence, col string) []value {
	c := o.table.col(col)
	if c == nil {
		return nil
	}
	if class, _ := a.schema.class(c); class == "" {
		return nil
	}
	return a.valuesOf(place{o, col})
}

// valuesOf lists the values that a place is known to have in each row to which
// its occurrence contributes.
func (a *analysis) valuesOf(p place) []value {
	var args, lists, consts, some []value
	for at := range a.reach(p.occ, p.col) {
		if at.occ != nil {
			continue
		}
		for _, v := range a.values(at) {
			switch v.kind {
			case ofConst, isNull:
				consts = append(consts, v)
			case ofList:
				lists = append(lists, v)
			case ofSome:
				some = append(some, v)
			default:
				args = append(args, v)
			}
		}
	}
	for _, vs := range [][]value{args, lists} {
		sort.Slice(vs, func(i, j int) bool { return vs[i].n < vs[j].n })
	}
	sort.Slice(consts, func(i, j int) bool { return consts[i].text < consts[j].text })
	sort.Slice(some, func(i, j int) bool { return fmt.Sprint(some[i]) < fmt.Sprint(some[j]) })
	return slices.Concat(args, consts, some, lists)
}

// values lists the values of a place that is no column: a parameter, an element
// of one, a constant, or what is bound to a number beyond all parameters.
func (a *analysis) values(at place) []value {
	if at.col[0] == '=' {
		return []value{{kind: ofConst, text: at.col[1:]}}
	}
	n, _ := strconv.Atoi(at.col[1:])
	switch {
	case n > boundFrom:
		return (*a.bound)[n-boundFrom-1]
	case at.col[0] == '@':
		return []value{{kind: ofList, n: n - 1}}
	}
	return []value{{kind: ofArg, n: n - 1}}
}

// boundFrom is beyond all numbers of parameters. A place "$n" above it stands for
// values that the statement doesn't take from one parameter: the items of an IN,
// a column of the row for which a trigger runs.
const boundFrom = 1 << 20

// bind makes a place of values.
func (a *analysis) bind(vals []value) place {
	*a.bound = append(*a.bound, vals)
	return place{col: "$" + strconv.Itoa(boundFrom+len(*a.bound))}
}

// singleRow reports whether the condition names at most one row of an occurrence:
// by a whole unique key, whose columns have one value each, or stand in the only
// row of another table.
func (a *analysis) singleRow(o *occurrence) bool { return a.single(o, nil) }

func (a *analysis) single(o *occurrence, asking []*occurrence) bool {
	if o.one {
		return true
	}
	if o.table == nil || slices.Contains(asking, o) {
		return false
	}
	asking = append(asking, o)
	return o.table.hasUnique(func(col string) bool {
		if slices.ContainsFunc(a.known(o, col), func(v value) bool { return v.exact() && v.kind != ofOut && v.kind != ofLook }) {
			return true
		}
		for at := range a.reach(o, col) {
			if at.occ != nil && at.occ != o && a.single(at.occ, asking) {
				return true
			}
		}
		return false
	})
}

// never reports whether a column of the target would have to equal NULL.
func (a *analysis) never(o *occurrence) bool {
	return slices.ContainsFunc(o.table.cols, func(c *column) bool {
		return slices.ContainsFunc(a.known(o, c.name), func(v value) bool { return v.kind == isNull })
	})
}

// sameRow reports whether two occurrences of a table are always the same row.
func (a *analysis) sameRow(x, y *occurrence) bool {
	return x.table == y.table && x.table.hasUnique(func(col string) bool {
		_, ok := a.reach(x, col)[place{y, col}]
		return ok
	})
}

// returning is a RETURNING list, column by column.
type returning struct {
	outs []outColumn
	at   []int // the output column of the query that shows it, or -1
}

func (d *deriver) returning(a *analysis, list []*pg.Node, shown sink) returning {
	r := returning{outs: a.outputs(a.top, list)}
	for i, o := range r.outs {
		at := -1
		if shown != nil && len(r.outs) == len(list) {
			at = shown(i, o.name, a.classOf(o.at))
		}
		r.at = append(r.at, at)
	}
	return r
}

// of maps the columns of an occurrence to the output columns that show them.
func (r returning) of(o *occurrence) map[string]int {
	out := map[string]int{}
	for i, c := range r.outs {
		if c.at.occ != o || c.at.col == "" || r.at[i] < 0 {
			continue
		}
		if _, twice := out[c.at.col]; !twice {
			out[c.at.col] = r.at[i]
		}
	}
	return out
}

// old finds the columns that show what the target's row was before: columns of
// other tables that the condition says are equal, and those read from the same row
// under a lock:
//
//	WITH old AS (SELECT id, user_id FROM sessions WHERE id = $1 FOR UPDATE)
//	UPDATE sessions SET user_id = $2 FROM old WHERE sessions.id = old.id RETURNING old.user_id
//
// Without the lock the value may not be the one that is replaced (protocol
// 4.11.11).
func (r returning) old(a *analysis, target *occurrence) map[string]int {
	out := map[string]int{}
	for i, c := range r.outs {
		if c.at.occ == nil || c.at.occ == target || r.at[i] < 0 {
			continue
		}
		for _, col := range target.table.cols { // what the condition says of the row as it is before
			if class, _ := a.schema.class(col); class == "" {
				continue
			}
			if _, ok := a.reach(target, col.name)[c.at]; ok {
				out[col.name] = r.at[i]
			}
		}
		for at := range a.reach(c.at.occ, c.at.col) {
			if at.occ == nil || !at.occ.locked || at.occ.table != target.table || !a.sameRow(target, at.occ) {
				continue
			}
			if _, twice := out[at.col]; !twice {
				out[at.col] = r.at[i]
			}
		}
	}
	return out
}

// keep remembers what a statement in a WITH clause returns, for those who read
// from it.
func (d *deriver) keep(n *pg.Node, a *analysis, r returning, target *occurrence, vals map[string][]value) {
	d.one[n] = d.one[n] || target != nil && a.singleRow(target)
	for _, o := range r.outs {
		c := returnedColumn{name: o.name}
		if a != nil {
			c.class = a.classOf(o.at)
		}
		switch {
		case a == nil:
		case o.at.occ == target:
			c.values = append(c.values, vals[o.at.col]...)
		case o.at.occ != nil:
			c.values = a.valuesOf(o.at)
		}
		d.returns[n] = append(d.returns[n], c)
	}
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

func (d *deriver) update(n *pg.Node, rel *pg.RangeVar, t *table, top bool, shown sink) *change {
	u := n.GetUpdateStmt()
	a, target := d.targetScope(rel, u.GetFromClause(), u.GetWhereClause(), u.GetWithClause())
	if top || shown != nil {
		d.single = a.singleRow(target)
	}
	c := &change{table: t, kind: "changes", old: map[string][]value{}, new: map[string][]value{}, sets: map[string]bool{}, loc: target.loc}
	c.rows = d.rowsOf(top, n, rel, u.GetWhereClause(), len(u.GetFromClause()) > 0)
	list := d.returning(a, u.GetReturningList(), shown)
	ret, was := d.result(c, list.of(target)), d.result(c, list.old(a, target))

	sets := d.assignments(a, t, target.alias, u.GetTargetList(), nil)
	c.named = targets(u.GetTargetList())
	for col := range sets {
		c.sets[col] = true
	}
	d.rewrite(c)
	c.never = a.never(target)
	for _, col := range t.cols {
		where := slices.Concat(a.known(target, col.name), was[col.name])
		if a.nulls[place{target, col.name}] {
			where = append(where, value{kind: isNull})
		}
		if c.sets[col.name] {
			c.old[col.name] = where
			if !c.rewritten[col.name] {
				c.new[col.name] = slices.Clone(sets[col.name])
			}
			c.new[col.name] = append(c.new[col.name], ret[col.name]...)
			continue
		}
		both := append(slices.Clone(where), ret[col.name]...)
		c.old[col.name], c.new[col.name] = both, both
	}
	d.keep(n, a, list, target, c.new)
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
		out[col.name] = d.assigned(a, a.top, col, val)
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

// assigned reads the value that INSERT or SET gives to a column, in the scope in
// which the expression stands.
func (d *deriver) assigned(a *analysis, sc *scope, col *column, n *pg.Node) []value {
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
	if class == "" {
		return nil
	}
	if f := n.GetFuncCall(); f != nil && len(f.GetArgs()) == 1 && isUnnest(f) {
		if o, ok := a.arrayOperand(f.GetArgs()[0]); ok && (o.class == "" || o.class == class) && o.why == "" {
			return a.values(o.at)
		}
		return nil
	}
	o := a.operand(sc, n)
	switch {
	case o.at == (place{}) || o.class != "" && o.class != class || o.why != "":
		return nil
	case o.at.occ != nil:
		if o.class == "" {
			return nil
		}
		return a.valuesOf(o.at)
	case !o.free:
		return nil
	}
	return slices.Clone(a.values(o.at))
}

// isUnnest reports whether a call is of Postgres' own unnest.
func isUnnest(f *pg.FuncCall) bool {
	parts := names(f.GetFuncname())
	return parts[len(parts)-1] == "unnest" && (len(parts) == 1 || parts[0] == "pg_catalog")
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
	return d.assigned(a, &scope{}, col, col.def)
}

func (d *deriver) delete(n *pg.Node, rel *pg.RangeVar, t *table, top bool, shown sink) *change {
	s := n.GetDeleteStmt()
	a, target := d.targetScope(rel, s.GetUsingClause(), s.GetWhereClause(), s.GetWithClause())
	if top || shown != nil {
		d.single = a.singleRow(target)
	}
	c := &change{table: t, kind: "deletes", old: map[string][]value{}, loc: target.loc}
	c.rows = d.rowsOf(top, n, rel, s.GetWhereClause(), len(s.GetUsingClause()) > 0)
	list := d.returning(a, s.GetReturningList(), shown)
	ret := d.result(c, list.of(target))
	c.never = a.never(target)
	for _, col := range t.cols {
		c.old[col.name] = append(a.known(target, col.name), ret[col.name]...)
	}
	d.keep(n, a, list, target, c.old)
	return c
}

func (d *deriver) insert(n *pg.Node, rel *pg.RangeVar, t *table, top bool, shown sink) []*change {
	s := n.GetInsertStmt()
	a := d.analysis()
	sc := &scope{merged: map[string]place{}}
	target := a.rangeVar(sc, rel, nil)
	a.top = sc

	c := &change{
		table: t, kind: "inserts", insert: true, new: map[string][]value{}, byDB: map[string]bool{}, loc: target.loc,
	}
	var cols []*column
	given := map[string]bool{}
	for _, n := range s.GetCols() {
		cols = append(cols, t.col(n.GetResTarget().GetName()))
	}
	if len(s.GetCols()) == 0 {
		cols = t.cols
		if named, _ := d.p.schema.find(s.GetRelation().GetSchemaname(), s.GetRelation().GetRelname()); named != t {
			cols = make([]*column, len(t.cols)) // a view has them in an order of its own
			for _, col := range t.cols {
				given[col.name] = true
			}
		}
	}
	if s.GetSelectStmt() == nil {
		cols, given = nil, map[string]bool{} // DEFAULT VALUES
	}
	rows := d.proposed(s, a)
	d.rewrite(c)
	for i, col := range cols {
		if col == nil { // of a table that isn't known in full
			continue
		}
		given[col.name] = true
		switch {
		case c.rewritten[col.name]:
			c.byDB[col.name] = true
			continue
		case d.w.q.cmd == ":copyfrom":
			// The fields of a row stand in the order of the parameters, not of the columns.
			at := slices.IndexFunc(d.w.q.args, func(a arg) bool { return a.col == col.name })
			if at >= 0 && !col.cuts {
				c.new[col.name] = []value{{kind: ofArg, n: at}}
			}
			continue
		case col.identity && s.GetOverride() == pg.OverridingKind_OVERRIDING_USER_VALUE:
			c.byDB[col.name] = true // the sequence's value, whatever is given
			continue
		}
		var each [][]value
		for _, row := range rows.rows {
			if i >= len(row) {
				// Fewer values than columns: the rest are defaults, if no row has more.
				given[col.name] = len(s.GetCols()) > 0 || slices.ContainsFunc(rows.rows, func(r []proposedValue) bool { return i < len(r) })
				each = append(each, nil)
				continue
			}
			if row[i].expr.GetSetToDefault() != nil && len(d.defaultOf(a, col)) == 0 {
				c.byDB[col.name] = true
			}
			each = append(each, d.proposes(row[i], rows, col))
		}
		// Several rows with different values: each of them counts.
		c.new[col.name] = oneOf(each)
		if len(each) > 1 && c.new[col.name] == nil {
			c.notes = append(c.notes, note{col.name, "the rows differ in " + col.name + ", and not all of them are known"})
		}
	}
	for _, col := range t.cols {
		if given[col.name] {
			continue
		}
		vals := d.defaultOf(a, col)
		if vals == nil || c.rewritten[col.name] {
			vals, c.byDB[col.name] = nil, true
		}
		c.new[col.name] = vals
	}
	if top || shown != nil {
		d.single = rows.single
	}
	d.one[n] = rows.single

	conflict := s.GetOnConflictClause()
	c.conflicts = conflict != nil
	list := d.returning(a, s.GetReturningList(), shown)
	ret := d.result(c, list.of(target))
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
		d.keep(n, a, list, target, c.new)
		return out
	}

	up := &change{
		table: t, kind: "changes", old: map[string][]value{}, new: map[string][]value{}, sets: map[string]bool{}, loc: target.loc,
		notes: slices.Clone(c.notes), upsert: true,
	}
	up.rows = d.upserted(top, rel, t, unique, values)
	sets := d.assignments(a, t, target.alias, conflict.GetTargetList(), values)
	up.named = targets(conflict.GetTargetList())
	for col := range sets {
		up.sets[col] = true
	}
	d.rewrite(up)
	if slices.ContainsFunc(unique, func(col string) bool { return up.sets[col] }) {
		up.rows = nil // afterwards it isn't found by what it was found by
	}
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
		if !up.rewritten[col.name] {
			up.new[col.name] = slices.Clone(sets[col.name])
		}
		up.new[col.name] = append(up.new[col.name], ret[col.name]...)
		if len(before) == 0 {
			up.notes = append(up.notes, note{col.name, "the row that ON CONFLICT finds may have had another one"})
		}
	}
	d.keep(n, a, list, nil, nil) // which of the two branches a row took isn't known
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
			scalar := aggregates[name] || known[name] && !setReturning[name] || changing[name] || acting[name] || sessionFuncs[name]
			found = found || d.p.schema.function(name) != nil || !scalar
			return true
		})
	}
	return found
}

// proposal is the rows that an INSERT proposes.
type proposal struct {
	rows   [][]proposedValue
	a      *analysis
	single bool // at most one row
}

type proposedValue struct {
	expr *pg.Node
	out  outColumn // of a SELECT
	sc   *scope
}

// proposed lists the rows that an INSERT proposes, value by value: those of
// VALUES, or one of expressions for each branch of a SELECT.
func (d *deriver) proposed(s *pg.InsertStmt, a *analysis) proposal {
	p := proposal{a: a, single: true}
	if s.GetSelectStmt() == nil {
		p.rows = [][]proposedValue{nil} // DEFAULT VALUES
		return p
	}
	sel := s.GetSelectStmt().GetSelectStmt()
	env := a.with(s.GetWithClause(), d.env)
	d.branch(&p, sel, env)
	return p
}

// manyColumns is as many columns as a table can have: values of which nobody knows
// which goes to which column.
const manyColumns = 1600

// expands reports whether an expression stands for several columns: "new.*",
// "(record).*".
func expands(n *pg.Node) bool {
	if _, star := columnPath(n.GetColumnRef()); star {
		return true
	}
	return slices.ContainsFunc(n.GetAIndirection().GetIndirection(), func(n *pg.Node) bool { return n.GetAStar() != nil })
}

// branch adds the row of expressions that a SELECT, or each branch of a UNION,
// makes.
func (d *deriver) branch(p *proposal, sel *pg.SelectStmt, env *environment) {
	if sel.GetOp() != pg.SetOperation_SETOP_NONE && sel.GetOp() != pg.SetOperation_SET_OPERATION_UNDEFINED {
		inner := p.a.with(sel.GetWithClause(), env)
		p.single = false
		d.branch(p, sel.GetLarg(), inner)
		if sel.GetOp() == pg.SetOperation_SETOP_UNION {
			d.branch(p, sel.GetRarg(), inner)
		}
		return
	}
	if lists := sel.GetValuesLists(); len(lists) > 0 {
		env := p.a.with(sel.GetWithClause(), env)
		for _, v := range lists {
			var row []proposedValue
			for _, n := range v.GetList().GetItems() {
				row = append(row, proposedValue{expr: n, sc: &scope{env: env}})
			}
			if slices.ContainsFunc(v.GetList().GetItems(), expands) {
				row = make([]proposedValue, manyColumns)
			}
			p.rows = append(p.rows, row)
		}
		p.single = p.single && len(lists) == 1
		return
	}
	sc, outs := p.a.selectStmt(sel, &scope{env: env}, nil, false)
	var row []proposedValue
	if starred(sel) && (len(sc.merged) > 0 || slices.ContainsFunc(sc.items, func(o *occurrence) bool { return o.wild })) ||
		slices.ContainsFunc(sel.GetTargetList(), func(n *pg.Node) bool { return foreign(n.GetResTarget().GetVal(), sc) }) {
		outs = make([]outColumn, manyColumns)
	}
	for _, o := range outs {
		row = append(row, proposedValue{expr: o.val, out: o, sc: sc})
	}
	p.rows = append(p.rows, row)
	aggregated := hasAggregate(sel.GetTargetList()) && len(sel.GetGroupClause()) == 0
	p.single = p.single && !hasGroupingSets(sel) && !d.multiplies(sel.GetTargetList()) && (aggregated || !slices.ContainsFunc(sc.items, func(o *occurrence) bool { return !p.a.singleRow(o) }))
}

// foreign reports whether a target stands for the columns of something that isn't
// in FROM: the row of a trigger, a record.
func foreign(n *pg.Node, sc *scope) bool {
	parts, star := columnPath(n.GetColumnRef())
	if !star {
		return expands(n)
	}
	return len(parts) > 0 && sc.named(parts[len(parts)-1]) != 1
}

// starred reports whether a SELECT has a * among its targets.
func starred(sel *pg.SelectStmt) bool {
	return slices.ContainsFunc(sel.GetTargetList(), func(n *pg.Node) bool {
		_, star := columnPath(n.GetResTarget().GetVal().GetColumnRef())
		return star
	})
}

// proposes returns the values that a proposed value is known to have.
func (d *deriver) proposes(v proposedValue, p proposal, col *column) []value {
	if v.expr != nil || v.out.at.occ == nil {
		return d.assigned(p.a, v.sc, col, v.expr)
	}
	if class, _ := d.p.schema.class(col); class == "" || p.a.classOf(v.out.at) != class || col.cuts {
		return nil
	}
	return p.a.valuesOf(v.out.at)
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
