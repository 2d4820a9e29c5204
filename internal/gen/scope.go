package gen

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// stmt is a parsed statement.
type stmt = *pg.Node

// analysis is what a statement says about the rows it touches: each occurrence
// of a table, and the equalities that hold in every row that reaches the
// result.
//
// The equalities form a graph over columns, parameters and constants. An
// equality written in WHERE holds in every row of its scope; one written in the
// ON of an outer join holds only where the nullable side really matched. Hence
// each edge carries guards: regions of the FROM clause of which at least one
// occurrence must be known to have contributed a row. A search begins at one
// occurrence, which contributes by assumption, and what it reaches by an
// equality has contributed too, since NULL equals nothing.
type analysis struct {
	schema  *schema
	occs    []*occurrence // of tables, in the order of the text
	edges   map[place][]edge
	params  map[int]int // $n: how often it occurs
	refused []refusal   // why the statement can't be cached
	ignored []ignored   // equalities that don't count, and why
	views   []*table    // views that were followed
	top     *scope      // scope of the outermost SELECT, UPDATE or DELETE
	bound   *[][]value  // see bind
	writes  bool        // the statement changes rows; a read is analysed more narrowly

	one   map[*pg.Node]bool // statements in WITH that change one row at most
	nulls map[place]bool    // columns that are NULL in every row that meets the condition

	// returned tells what a statement in WITH returns, to one that reads from it; nil
	// in a read.
	returned func(*pg.Node) []returnedColumn
	plain    bool // the outermost SELECT has one branch, no aggregate, no grouping

	here   int            // where in the text the analysis stands; 0: nowhere
	inView int            // > 0: in the text of a view, whose places are not the statement's
	viewAt map[*table]int // where the statement names a view
	bodies map[*table]*pg.SelectStmt
}

// body returns what a view selects, with the functions in SQL that it calls.
func (a *analysis) body(v *table) *pg.SelectStmt {
	if a.bodies[v] == nil {
		a.bodies[v] = a.schema.inline(&pg.Node{Node: &pg.Node_SelectStmt{SelectStmt: v.view}}).GetSelectStmt()
	}
	return a.bodies[v]
}

// stand notes where in the text the analysis is: what is refused now is there.
// In a view, that is where the statement names the view.
func (a *analysis) stand(m located) {
	if a.inView == 0 {
		a.here = int(m.GetLocation())
	}
}

// occurrence is one item of a FROM clause: a table, or something derived
// (sub-select, CTE, view, function) whose columns may be traced.
type occurrence struct {
	alias   string
	table   *table // nil for something derived
	via     string // the view through which a table is read, for messages
	visible []string
	cols    map[string]string // visible name → the table's column or the derived column
	classes map[string]string // of derived columns
	wild    bool              // has columns that aren't known
	scope   *scope
	guards  []*region
	refAll  bool            // every column is used
	refs    map[string]bool // columns used
	loc     int             // where the statement names it, or the view through which it is read
	locked  bool            // FOR UPDATE or FOR NO KEY UPDATE
	one     bool            // something derived that has one row at most
}

// returnedColumn is a column that a statement in WITH returns, and the values that
// it is known to have.
type returnedColumn struct {
	name, class string
	values      []value
}

// region is a part of the statement whose conditions hold only for what happens
// in it: the nullable side of an outer join, or the scope of a sub-select, which
// may speak of columns outside ("… NOT EXISTS (SELECT … WHERE outside.id = $1)"
// says nothing of outside).
type region struct {
	occs  map[*occurrence]bool
	scope *scope
}

// place is a column of an occurrence, or ("$1", "@1", "=text" with no
// occurrence) a parameter, an element of an array parameter, or a constant.
type place struct {
	occ *occurrence
	col string
}

type edge struct {
	to     place
	guards []*region
}

type refusal struct {
	why      string
	mend     []string
	loc      int
	byItself bool // the answer changes by itself: @volatile-ok may allow it
}

type ignored struct {
	occs []*occurrence
	why  string
}

// scope is one SELECT (or UPDATE, DELETE) with what its FROM brings.
type scope struct {
	parent  *scope // whose columns it can see
	lexical *scope // in whose text it stands
	items   []*occurrence
	merged  map[string]place // columns joined by USING
	env     *environment
	owner   *occurrence // whose rows this scope makes; nil for the outermost and for expressions
	barrier bool        // rows displace each other: nothing from outside may be pushed in
	depth   int
}

// environment is the chain of WITH clauses in force.
type environment struct {
	parent *environment
	ctes   map[string]*cte
}

type cte struct {
	expr      *pg.CommonTableExpr
	env       *environment
	recursive bool
	open      bool // being expanded: a reference from inside is the recursion
}

func (e *environment) find(name string) *cte {
	for ; e != nil; e = e.parent {
		if c := e.ctes[name]; c != nil {
			return c
		}
	}
	return nil
}

func newAnalysis(s *schema) *analysis {
	return &analysis{schema: s, edges: map[place][]edge{}, params: map[int]int{}, bound: &[][]value{}, nulls: map[place]bool{}, viewAt: map[*table]int{}, bodies: map[*table]*pg.SelectStmt{}}
}

// maxDepth bounds views over views and nested queries.
const maxDepth = 64

func (a *analysis) refuse(why string, mend ...string) {
	if !slices.ContainsFunc(a.refused, func(r refusal) bool { return r.why == why }) {
		a.refused = append(a.refused, refusal{why: why, mend: mend, loc: a.here})
	}
}

// refuseVolatile is refuse for an answer that changes by itself, and which may be
// kept until the TTL all the same if a human says so.
func (a *analysis) refuseVolatile(why string, mend ...string) {
	before := len(a.refused)
	a.refuse(why, append(mend, `-- @volatile-ok "why an answer may be served until the TTL"`)...)
	if len(a.refused) > before {
		a.refused[before].byItself = true
	}
}

// analyzeRead analyses a SELECT.
func analyzeRead(s *schema, sel *pg.SelectStmt) *analysis {
	a := newAnalysis(s)
	a.plain = sel.GetOp() == pg.SetOperation_SETOP_NONE && len(sel.GetGroupClause()) == 0 && sel.GetHavingClause() == nil &&
		!hasAggregate(sel.GetTargetList())
	a.top, _ = a.selectStmt(sel, &scope{}, nil, false)
	a.countParams(sel)
	a.findRefs(sel)
	return a
}

func (a *analysis) countParams(m protoMessage) {
	walk(m, func(m protoMessage) bool {
		if p, ok := m.(*pg.ParamRef); ok {
			a.params[int(p.GetNumber())]++
		}
		return true
	})
}

// outColumn is one output column of a scope.
type outColumn struct {
	name string
	at   place    // the zero place when it is an expression
	val  *pg.Node // the expression; nil for a column
	free operand  // a parameter or constant with a type
}

// selectStmt analyses a SELECT below outer. owner receives its output columns.
func (a *analysis) selectStmt(sel *pg.SelectStmt, outer *scope, owner *occurrence, barrier bool) (*scope, []outColumn) {
	sc := &scope{parent: outer.parent, env: outer.env, lexical: outer.lexical, owner: owner, barrier: barrier, merged: map[string]place{}, depth: outer.depth + 1}
	if sc.depth > maxDepth {
		a.refuse("views or sub-selects are nested too deeply: a view that reads itself?", "break the circle")
		return sc, nil
	}
	sc.env = a.with(sel.GetWithClause(), outer.env)
	if sel.GetLimitCount() != nil || sel.GetLimitOffset() != nil {
		sc.barrier = true
	}
	if sel.GetOp() == pg.SetOperation_SETOP_UNION || sel.GetOp() == pg.SetOperation_SETOP_INTERSECT || sel.GetOp() == pg.SetOperation_SETOP_EXCEPT {
		inner := &scope{parent: outer.parent, lexical: sc, env: sc.env, depth: sc.depth}
		left, outs := a.selectStmt(sel.GetLarg(), inner, nil, sc.barrier)
		right, more := a.selectStmt(sel.GetRarg(), inner, nil, sc.barrier)
		result := make([]outColumn, len(outs))
		for i, o := range outs {
			result[i].name = o.name
			if owner == nil || sc.barrier {
				continue
			}
			to := place{owner, o.name}
			class := a.classOf(o.at)
			if i >= len(more) || class == "" || a.classOf(more[i].at) != class {
				continue
			}
			owner.setClass(o.name, class)
			// What filters the union filters each branch; not the other way round.
			if !left.barrier && o.at.occ.scope == left {
				a.connect(o.at, to, nil)
			}
			if !right.barrier && more[i].at.occ.scope == right {
				a.connect(more[i].at, to, nil)
			}
		}
		if sc.barrier && len(sel.GetSortClause()) == 0 && (sel.GetLimitCount() != nil || sel.GetLimitOffset() != nil) {
			a.unordered()
		}
		for _, n := range append(slices.Clone(sel.GetSortClause()), sel.GetLimitCount(), sel.GetLimitOffset()) {
			a.expr(sc, n)
		}
		return sc, result
	}

	for _, v := range sel.GetValuesLists() {
		a.expr(sc, v)
	}
	for _, f := range sel.GetFromClause() {
		a.from(sc, f, nil)
	}
	a.condition(sc, sel.GetWhereClause(), nil)
	for _, list := range [][]*pg.Node{
		sel.GetTargetList(), sel.GetDistinctClause(), sel.GetGroupClause(),
		{sel.GetHavingClause()},
		sel.GetWindowClause(), sel.GetSortClause(),
		{sel.GetLimitCount(), sel.GetLimitOffset()},
	} {
		for _, n := range list {
			a.expr(sc, n)
		}
	}
	for _, n := range sel.GetLockingClause() {
		sc.lock(n.GetLockingClause())
	}
	if a.inView == 0 {
		a.here = 0
	}
	if len(sel.GetLockingClause()) > 0 {
		a.refuse("it locks rows (FOR UPDATE or FOR SHARE): a cached answer would lock nothing",
			"don't cache it: remove @cache")
	}
	if sel.GetIntoClause() != nil {
		a.refuse("it makes a table (SELECT INTO)", "don't cache it: remove @cache")
	}
	if (sel.GetLimitCount() != nil || sel.GetLimitOffset() != nil) && len(sel.GetSortClause()) == 0 && !a.onlyRow(sc, sel) {
		a.unordered()
	}
	distinctOn := len(sel.GetDistinctClause()) > 0 && sel.GetDistinctClause()[0].GetNode() != nil
	if distinctOn || hasWindow(sel) {
		sc.barrier = true
	}

	outs := a.outputs(sc, sel.GetTargetList())
	if owner != nil && !hasGroupingSets(sel) {
		seen := map[string]int{}
		for _, o := range outs {
			seen[o.name]++
		}
		for _, o := range outs {
			if o.free.class != "" && seen[o.name] == 1 {
				owner.setClass(o.name, o.free.class)
				a.connect(place{owner, o.name}, o.free.at, nil)
				continue
			}
			class := a.classOf(o.at)
			if o.at.occ == nil || class == "" || seen[o.name] > 1 {
				continue
			}
			to := place{owner, o.name}
			owner.setClass(o.name, class)
			a.connect(to, o.at, nil) // what holds inside holds for each row that comes out
			if !sc.barrier && o.at.occ.scope == sc {
				a.connect(o.at, to, nil) // a filter outside can be pushed in
			}
		}
	}
	return sc, outs
}

func (a *analysis) unordered() {
	a.refuseVolatile("it has LIMIT or OFFSET without ORDER BY: which rows it picks changes by itself", "add ORDER BY a unique column", uncache)
}

// lock marks the tables whose rows a SELECT locks against any other writer.
func (sc *scope) lock(l *pg.LockingClause) {
	if l.GetStrength() != pg.LockClauseStrength_LCS_FORUPDATE && l.GetStrength() != pg.LockClauseStrength_LCS_FORNOKEYUPDATE {
		return
	}
	for _, o := range sc.items {
		o.locked = o.locked || o.table != nil && (len(l.GetLockedRels()) == 0 ||
			slices.ContainsFunc(l.GetLockedRels(), func(n *pg.Node) bool { return n.GetRangeVar().GetRelname() == o.alias }))
	}
}

// onlyRow reports whether a SELECT with LIMIT has at most one row, or rows that
// nobody can tell apart, so that there is nothing to pick.
func (a *analysis) onlyRow(sc *scope, sel *pg.SelectStmt) bool {
	if len(sel.GetGroupClause()) == 0 && hasAggregate(sel.GetTargetList()) {
		return true
	}
	constant := len(sel.GetTargetList()) > 0
	for _, n := range sel.GetTargetList() {
		constant = constant && n.GetResTarget().GetVal().GetAConst() != nil // SELECT 1 … LIMIT 1
	}
	if constant && sel.GetLimitOffset() == nil && sel.GetLimitCount().GetAConst() != nil {
		return true
	}
	return !slices.ContainsFunc(sc.items, func(o *occurrence) bool { return o.table == nil || !a.singleRow(o) })
}

func (o *occurrence) setClass(col, class string) {
	if o.classes == nil {
		o.classes = map[string]string{}
	}
	o.classes[col] = class
}

// connect says that from equals to wherever the guards hold.
func (a *analysis) connect(from, to place, guards []*region) {
	a.edges[from] = append(a.edges[from], edge{to, guards})
}

func (a *analysis) with(w *pg.WithClause, parent *environment) *environment {
	if w == nil {
		return parent
	}
	env := &environment{parent: parent, ctes: map[string]*cte{}}
	for _, n := range w.GetCtes() {
		c := n.GetCommonTableExpr()
		inner := &environment{parent: env.parent, ctes: map[string]*cte{}}
		for k, v := range env.ctes { // a CTE sees those before it
			inner.ctes[k] = v
		}
		entry := &cte{expr: c, env: inner, recursive: w.GetRecursive()}
		if w.GetRecursive() {
			entry.env = env // and all of them under RECURSIVE
		}
		env.ctes[c.GetCtename()] = entry
	}
	return env
}

// outputs resolves a target list to output columns.
func (a *analysis) outputs(sc *scope, targets []*pg.Node) []outColumn {
	var outs []outColumn
	for _, n := range targets {
		t := n.GetResTarget()
		c := t.GetVal().GetColumnRef()
		if c == nil {
			name := t.GetName()
			if name == "" {
				if f := t.GetVal().GetFuncCall(); f != nil {
					name = lastName(f.GetFuncname())
				}
				if tc := t.GetVal().GetTypeCast(); tc != nil {
					if at := a.operand(sc, t.GetVal()); at.at.occ != nil {
						name = at.at.col
					}
				}
			}
			out := outColumn{name: name, val: t.GetVal()}
			at := a.operand(sc, t.GetVal())
			if f := t.GetVal().GetFuncCall(); a.writes && f != nil && len(f.GetArgs()) == 1 && isUnnest(f) {
				at, _ = a.arrayOperand(f.GetArgs()[0])
			}
			if k := t.GetVal().GetAConst(); at.free && at.class == "" && k != nil { // as Postgres types it here
				switch {
				case k.GetIval() != nil:
					at.class = "int"
				case k.GetSval() != nil:
					at.class = "text"
				case k.GetBoolval() != nil:
					at.class = "bool"
				}
			}
			switch {
			case at.class == "" || at.why != "":
			case at.at.occ != nil:
				out.at = at.at
			case at.free:
				out.free = at
			}
			outs = append(outs, out)
			continue
		}
		parts, star := columnPath(c)
		if !star {
			name := t.GetName()
			if name == "" {
				name = parts[len(parts)-1]
			}
			at, _ := a.resolve(sc, parts)
			outs = append(outs, outColumn{name: name, at: at})
			continue
		}
		for _, item := range sc.items {
			if len(parts) > 0 && item.alias != parts[len(parts)-1] {
				continue
			}
			for _, v := range item.visible {
				outs = append(outs, outColumn{name: v, at: place{item, item.cols[v]}})
			}
		}
	}
	return outs
}

// from analyses one item of a FROM clause and returns the occurrences it holds.
func (a *analysis) from(sc *scope, n *pg.Node, guards []*region) []*occurrence {
	switch {
	case n.GetRangeVar() != nil:
		return []*occurrence{a.rangeVar(sc, n.GetRangeVar(), guards)}
	case n.GetRangeSubselect() != nil:
		r := n.GetRangeSubselect()
		o := a.derived(sc, r.GetAlias(), guards)
		inner := &scope{parent: sc.parent, lexical: sc, env: sc.env, depth: sc.depth}
		if r.GetLateral() {
			inner.parent = sc
		}
		_, outs := a.selectStmt(r.GetSubquery().GetSelectStmt(), inner, o, false)
		if lists := r.GetSubquery().GetSelectStmt().GetValuesLists(); len(lists) > 0 {
			outs = a.valuesColumns(o, lists)
			o.one = len(lists) == 1
		}
		// One that speaks of what is outside has a row for each row there.
		o.one = (o.one || oneRow(r.GetSubquery().GetSelectStmt())) && a.standsAlone(r.GetSubquery(), sc.env)
		o.show(outs, names(r.GetAlias().GetColnames()), a)
		return []*occurrence{o}
	case n.GetRangeFunction() != nil:
		r := n.GetRangeFunction()
		o := a.derived(sc, r.GetAlias(), guards)
		for _, f := range r.GetFunctions() {
			a.expr(sc, f)
		}
		cols := names(r.GetAlias().GetColnames())
		for _, d := range r.GetColdeflist() {
			cols = append(cols, d.GetColumnDef().GetColname())
		}
		// It may have more columns than are named here.
		o.wild = len(cols) == 0 || len(r.GetColdeflist()) == 0 && !named(r, len(cols))
		o.visible = cols
		o.cols = map[string]string{}
		for _, c := range cols {
			o.cols[c] = c
		}
		if len(r.GetFunctions()) == 1 {
			a.elements(o, r.GetFunctions()[0].GetList().GetItems()[0].GetFuncCall())
		}
		return []*occurrence{o}
	case n.GetRangeTableSample() != nil:
		a.stand(n.GetRangeTableSample())
		a.refuseVolatile("it reads a random sample (TABLESAMPLE)", uncache)
		return a.from(sc, n.GetRangeTableSample().GetRelation(), guards)
	case n.GetJoinExpr() != nil:
		return a.join(sc, n.GetJoinExpr(), guards)
	}
	a.refuse("its FROM holds something that pgaside doesn't know", "write it as tables, joins and sub-selects")
	return nil
}

// named reports whether a call of unnest in FROM has just that many columns.
func named(r *pg.RangeFunction, cols int) bool {
	if len(r.GetFunctions()) != 1 {
		return false
	}
	f := r.GetFunctions()[0].GetList().GetItems()[0].GetFuncCall()
	if r.GetOrdinality() {
		cols--
	}
	return f != nil && isUnnest(f) && len(f.GetArgs()) == cols
}

// elements ties the columns of unnest($1, …) to the elements of its lists. In a
// read it says nothing: a batch by unnest gives a row for each duplicate.
func (a *analysis) elements(o *occurrence, f *pg.FuncCall) {
	if !a.writes || f == nil || !isUnnest(f) {
		return
	}
	for i, n := range f.GetArgs() {
		if el, ok := a.arrayOperand(n); ok && el.class != "" && el.why == "" && i < len(o.visible) {
			o.setClass(o.visible[i], el.class)
			a.connect(place{o, o.visible[i]}, el.at, nil)
		}
	}
}

// valuesColumns returns the columns of VALUES in FROM, tied to what its rows hold.
func (a *analysis) valuesColumns(o *occurrence, lists []*pg.Node) []outColumn {
	var outs []outColumn
	for i := range lists[0].GetList().GetItems() {
		name := fmt.Sprintf("column%d", i+1)
		outs = append(outs, outColumn{name: name})
		class, known := "", true
		var each [][]value
		for _, row := range lists {
			items := row.GetList().GetItems()
			if i >= len(items) { // Postgres refuses it
				known = false
				continue
			}
			v := a.operand(&scope{}, items[i])
			known = known && v.free && v.class != "" && v.why == "" && (class == "" || class == v.class)
			if known {
				class = v.class
				each = append(each, a.values(v.at))
			}
		}
		if vals := oneOf(each); a.writes && known && len(vals) > 0 {
			o.setClass(name, class)
			a.connect(place{o, name}, a.bind(vals), nil)
		}
	}
	return outs
}

func (a *analysis) join(sc *scope, j *pg.JoinExpr, guards []*region) []*occurrence {
	left, right, on := guards, guards, guards
	var leftRegion, rightRegion *region
	if j.GetJointype() == pg.JoinType_JOIN_LEFT || j.GetJointype() == pg.JoinType_JOIN_FULL {
		rightRegion = &region{}
		right = append(slices.Clone(guards), rightRegion)
		on = right
	}
	if j.GetJointype() == pg.JoinType_JOIN_RIGHT || j.GetJointype() == pg.JoinType_JOIN_FULL {
		leftRegion = &region{}
		left = append(slices.Clone(guards), leftRegion)
		on = left
	}
	if j.GetJointype() == pg.JoinType_JOIN_FULL {
		// The ON of a full join filters neither side.
		on = append(append(slices.Clone(guards), leftRegion, rightRegion), &region{})
	}
	l := a.from(sc, j.GetLarg(), left)
	r := a.from(sc, j.GetRarg(), right)
	fill := func(reg *region, occs []*occurrence) {
		if reg != nil {
			reg.occs = map[*occurrence]bool{}
			for _, o := range occs {
				reg.occs[o] = true
			}
		}
	}
	fill(leftRegion, l)
	fill(rightRegion, r)

	if j.GetAlias() != nil {
		a.refuse(fmt.Sprintf("it names a whole join (%s)", j.GetAlias().GetAliasname()), "leave out the join's alias, and use those of its tables")
	}
	if j.GetIsNatural() {
		a.refuse("it has a NATURAL JOIN, whose columns change with the tables", "name the columns: JOIN … USING (…)")
	}
	for _, name := range names(j.GetUsingClause()) {
		lp, rp := a.column(sc, l, name), a.column(sc, r, name)
		if lp.occ == nil || rp.occ == nil {
			continue
		}
		a.equal(operand{at: lp, class: a.classOf(lp), text: lp.text()}, operand{at: rp, class: a.classOf(rp), text: rp.text()}, append(slices.Clone(on), &region{scope: sc}))
		switch j.GetJointype() {
		case pg.JoinType_JOIN_RIGHT:
			sc.merged[name] = rp
		case pg.JoinType_JOIN_FULL:
			sc.merged[name] = place{}
		default:
			sc.merged[name] = lp
		}
	}
	a.condition(sc, j.GetQuals(), on)
	return append(l, r...)
}

// column finds an unqualified name among some occurrences of a scope.
func (a *analysis) column(sc *scope, occs []*occurrence, name string) place {
	if at, ok := sc.merged[name]; ok && at.occ != nil && slices.Contains(occs, at.occ) {
		return at
	}
	for _, o := range occs {
		if c, ok := o.cols[name]; ok {
			return place{o, c}
		}
	}
	return place{}
}

func (a *analysis) derived(sc *scope, alias *pg.Alias, guards []*region) *occurrence {
	o := &occurrence{alias: alias.GetAliasname(), scope: sc, guards: guards, cols: map[string]string{}}
	sc.items = append(sc.items, o)
	return o
}

// show makes the output columns visible, renamed where an alias says so.
func (o *occurrence) show(outs []outColumn, renamed []string, a *analysis) {
	for i, out := range outs {
		name := out.name
		if i < len(renamed) {
			name = renamed[i]
		}
		o.visible = append(o.visible, name)
		if _, twice := o.cols[name]; twice {
			o.cols[name] = "" // ambiguous
			continue
		}
		o.cols[name] = out.name
	}
}

func (a *analysis) rangeVar(sc *scope, r *pg.RangeVar, guards []*region) *occurrence {
	alias := r.GetAlias().GetAliasname()
	if alias == "" {
		alias = r.GetRelname()
	}
	renamed := names(r.GetAlias().GetColnames())
	if r.GetSchemaname() == "" {
		if c := sc.env.find(r.GetRelname()); c != nil {
			return a.cteRef(sc, c, alias, renamed, guards)
		}
	}
	a.stand(r)
	t, why := a.schema.find(r.GetSchemaname(), r.GetRelname())
	if t == nil {
		a.refuse(why, "name every migration under schema: in sqlc.yaml (or by --schema), and qualify the name with its schema")
		o := &occurrence{alias: alias, scope: sc, guards: guards, cols: map[string]string{}, wild: true}
		sc.items = append(sc.items, o)
		return o
	}
	switch {
	case t.temp:
		a.refuse(fmt.Sprintf("%s is a temporary table, which each session has for itself (%s)", t, t.pos), "don't cache it: remove @cache")
	case t.rls:
		a.refuse(fmt.Sprintf("%s has row-level security (%s): the same query gives each role its own rows", t, t.pos),
			"don't cache it: remove @cache, or put the tenant into the query and drop the policies")
	case t.matview:
		a.refuse(fmt.Sprintf("%s is a materialized view (%s): it changes when it is refreshed", t, t.pos),
			"read the tables below it, or say -- @stale-ok "+t.String())
	}
	if t.outdated != "" {
		a.refuse(fmt.Sprintf("the text of view %s (%s) no longer says what it reads: %s", t, t.pos, t.outdated),
			"make the view anew after that: DROP VIEW, CREATE VIEW")
		o := &occurrence{alias: alias, scope: sc, guards: guards, cols: map[string]string{}, wild: true}
		sc.items = append(sc.items, o)
		return o
	}
	if t.view != nil {
		a.views = append(a.views, t)
		a.viewAt[t] = a.here
		a.inView++
		defer func() { a.inView-- }()
		o := &occurrence{alias: alias, scope: sc, guards: guards, cols: map[string]string{}}
		sc.items = append(sc.items, o)
		before := len(a.occs)
		_, outs := a.selectStmt(a.body(t), &scope{lexical: sc, depth: sc.depth}, o, false)
		for _, inner := range a.occs[before:] {
			if inner.via == "" {
				inner.via = t.String()
			}
		}
		// A view's own names first, then those of the alias.
		shown := &occurrence{cols: map[string]string{}}
		shown.show(outs, t.viewCols, a)
		o.visible, o.cols = shown.visible, shown.cols
		for i := range renamed {
			if i < len(o.visible) {
				o.cols[renamed[i]] = o.cols[o.visible[i]]
				delete(o.cols, o.visible[i])
				o.visible[i] = renamed[i]
			}
		}
		return o
	}
	o := &occurrence{alias: alias, table: t, scope: sc, guards: guards, cols: map[string]string{}, refs: map[string]bool{}, loc: a.here}
	for i, c := range t.cols {
		name := c.name
		if i < len(renamed) {
			name = renamed[i]
		}
		o.visible = append(o.visible, name)
		o.cols[name] = c.name
	}
	o.refAll = len(renamed) > 0 // uses are found by name; these names are others
	sc.items = append(sc.items, o)
	a.occs = append(a.occs, o)
	return o
}

func (a *analysis) cteRef(sc *scope, c *cte, alias string, renamed []string, guards []*region) *occurrence {
	o := &occurrence{alias: alias, scope: sc, guards: guards, cols: map[string]string{}}
	sc.items = append(sc.items, o)
	sel := c.expr.GetCtequery().GetSelectStmt()
	o.one = a.one[c.expr.GetCtequery()] || oneRow(sel) && a.standsAlone(c.expr.GetCtequery(), c.env)
	if sel == nil && a.returned != nil && len(a.returned(c.expr.GetCtequery())) > 0 {
		a.showReturned(o, c.expr, renamed)
		return o
	}
	if sel == nil || c.open {
		o.wild = true // a data-modifying CTE, or the recursion
		return o
	}
	c.open = true
	defer func() { c.open = false }()
	_, outs := a.selectStmt(sel, &scope{lexical: sc, env: c.env, depth: sc.depth}, o, c.recursive && refersTo(sel, c.expr.GetCtename()))
	cols := names(c.expr.GetAliascolnames())
	for i := range outs {
		if i < len(renamed) {
			for len(cols) <= i {
				cols = append(cols, outs[len(cols)].name)
			}
			cols[i] = renamed[i]
		}
	}
	o.show(outs, cols, a)
	return o
}

// oneRow reports whether a sub-select has one row at most, however often it is
// evaluated. One that skips locked rows may take another row each time.
func oneRow(sel *pg.SelectStmt) bool {
	if sel == nil || len(sel.GetLockingClause()) > 0 || sel.GetOp() > pg.SetOperation_SETOP_NONE || hasSet(sel.GetTargetList()) {
		return false
	}
	if len(sel.GetGroupClause()) == 0 && hasAggregate(sel.GetTargetList()) {
		return true
	}
	return len(sel.GetFromClause()) == 0 && len(sel.GetValuesLists()) == 0 && !hasGroupingSets(sel)
}

// hasSet reports whether a target list calls a function that may return several
// rows: any that isn't known to return one.
func hasSet(targets []*pg.Node) bool {
	found := false
	for _, n := range targets {
		walk(n, func(m protoMessage) bool {
			if f, ok := m.(*pg.FuncCall); ok {
				name := lastName(f.GetFuncname())
				found = found || setReturning[name] || !known[name] && !aggregates[name]
			}
			return true
		})
	}
	return found
}

// showReturned makes the columns that a statement in WITH returns visible.
func (a *analysis) showReturned(o *occurrence, c *pg.CommonTableExpr, renamed []string) {
	aliases := names(c.GetAliascolnames())
	copy(aliases, renamed)
	if len(renamed) > len(aliases) {
		aliases = renamed
	}
	var outs []outColumn
	for i, col := range a.returned(c.GetCtequery()) {
		name := col.name
		if i < len(aliases) {
			name = aliases[i]
		}
		outs = append(outs, outColumn{name: name})
		if col.class != "" && len(col.values) > 0 {
			o.setClass(name, col.class)
			a.connect(place{o, name}, a.bind(col.values), nil)
		}
	}
	o.show(outs, nil, a)
}

func refersTo(sel *pg.SelectStmt, name string) bool {
	found := false
	walk(sel, func(m protoMessage) bool {
		if r, ok := m.(*pg.RangeVar); ok && r.GetSchemaname() == "" && r.GetRelname() == name {
			found = true
		}
		return true
	})
	return found
}

func (sc *scope) named(alias string) int {
	n := 0
	for _, o := range sc.items {
		if o.alias == alias {
			n++
		}
	}
	return n
}

// resolve finds the column that a reference means, from the innermost scope out.
func (a *analysis) resolve(sc *scope, parts []string) (place, bool) {
	if len(parts) == 0 {
		return place{}, false
	}
	name := parts[len(parts)-1]
	for ; sc != nil; sc = sc.parent {
		if len(parts) > 1 {
			qual := parts[len(parts)-2]
			if same := sc.named(qual); same > 1 {
				return place{}, false // app.t and public.t: which of them isn't followed
			}
			for _, o := range sc.items {
				if o.alias != qual {
					continue
				}
				if c := o.cols[name]; c != "" {
					return place{o, c}, true
				}
				return place{}, false
			}
			continue
		}
		if at, ok := sc.merged[name]; ok {
			return at, at.occ != nil
		}
		var found []place
		wild := false
		for _, o := range sc.items {
			if c, ok := o.cols[name]; ok {
				found = append(found, place{o, c})
			}
			wild = wild || o.wild
		}
		if len(found) == 1 && found[0].col != "" {
			return found[0], true
		}
		if len(found) > 0 || wild {
			return place{}, false
		}
	}
	return place{}, false
}

// classOf returns the comparison class of a column, "" where equality isn't identity.
func (a *analysis) classOf(p place) string {
	class, _ := a.classWhy(p)
	return class
}

func (a *analysis) classWhy(p place) (string, string) {
	if p.occ == nil {
		return "", ""
	}
	if p.occ.table == nil {
		return p.occ.classes[p.col], ""
	}
	c := p.occ.table.col(p.col)
	if c == nil {
		return "", ""
	}
	return a.schema.class(c)
}

func (p place) text() string {
	if p.occ == nil {
		if strings.HasPrefix(p.col, "@") {
			return "ANY($" + p.col[1:] + ")"
		}
		if strings.HasPrefix(p.col, "=") {
			return "'" + p.col[1:] + "'"
		}
		return p.col
	}
	return p.occ.alias + "." + p.col
}

// operand is one side of an equality.
type operand struct {
	at    place
	class string // "" for a bare parameter or constant: it takes the other's
	why   string // why there is no class
	text  string
	free  bool // a parameter or constant
}

// operand reads one side of an equality. The zero operand is anything that is
// not a column, a parameter or a constant, bare or cast within its class.
func (a *analysis) operand(sc *scope, n *pg.Node) operand {
	switch {
	case n.GetColumnRef() != nil:
		parts, star := columnPath(n.GetColumnRef())
		if star {
			return operand{}
		}
		at, ok := a.resolve(sc, parts)
		if !ok {
			return operand{}
		}
		class, why := a.classWhy(at)
		return operand{at: at, class: class, why: why, text: at.text()}
	case n.GetParamRef() != nil:
		p := place{col: "$" + strconv.Itoa(int(n.GetParamRef().GetNumber()))}
		return operand{at: p, free: true, text: p.text()}
	case n.GetAConst() != nil:
		text, ok := constText(n)
		if !ok || n.GetAConst().GetFval() != nil { // what becomes of 1.50 depends on the column
			return operand{}
		}
		p := place{col: "=" + text}
		return operand{at: p, free: true, text: p.text()}
	case n.GetCoalesceExpr() != nil && a.writes:
		// The first that isn't NULL is one of those that may be anything else.
		var each [][]value
		var out operand
		for i, arg := range n.GetCoalesceExpr().GetArgs() {
			o := a.operand(sc, arg)
			if !o.free || o.why != "" || i > 0 && o.class != out.class {
				return operand{}
			}
			out = o
			vals := a.values(o.at)
			if len(vals) == 0 {
				return operand{}
			}
			if vals = slices.DeleteFunc(slices.Clone(vals), func(v value) bool { return v.kind == isNull }); len(vals) > 0 {
				each = append(each, vals)
			}
		}
		vals := oneOf(each)
		if vals == nil {
			return operand{}
		}
		out.at, out.text = a.bind(vals), "coalesce(…)"
		return out
	case n.GetSubLink() != nil && a.writes:
		if s := n.GetSubLink(); s.GetSubLinkType() == pg.SubLinkType_EXPR_SUBLINK && a.standsAlone(s.GetSubselect(), sc.env) {
			// A scalar sub-select is evaluated once: one value, which only the database knows.
			return operand{at: a.bind([]value{{kind: unknown}}), free: true, text: "(SELECT …)"}
		}
		return operand{}
	case n.GetTypeCast() != nil:
		tc := n.GetTypeCast()
		o := a.operand(sc, tc.GetArg())
		if o.at == (place{}) {
			return operand{}
		}
		typ := typeName(tc.GetTypeName())
		class, why := a.schema.typeClass(typ)
		if d := a.schema.domains[typ]; d != nil {
			class, why = a.schema.class(d)
		}
		o.text += "::" + typ
		if d := a.schema.domains[typ]; len(tc.GetTypeName().GetTypmods()) > 0 || d != nil && a.schema.cutting(d) {
			return operand{at: o.at, why: "the cast may cut the value", text: o.text}
		}
		if o.free && o.class == "" && o.why == "" {
			o.class, o.why = class, why
			if class == "" {
				o.free = false
			}
			return o
		}
		if class == "" || class != o.class {
			return operand{at: o.at, why: "the cast changes what is compared", text: o.text}
		}
		return o
	}
	return operand{}
}

// standsAlone reports whether a sub-select speaks of nothing outside of it: each
// column that it names is one of a table in a FROM around it, but in it.
func (a *analysis) standsAlone(n *pg.Node, env *environment) bool {
	if n.GetSelectStmt() == nil {
		return false
	}
	ctes, hidden := map[string]bool{}, false
	walk(n, func(m protoMessage) bool {
		if c, ok := m.(*pg.CommonTableExpr); ok {
			ctes[c.GetCtename()] = true
		}
		return true
	})
	walk(n, func(m protoMessage) bool { // a table's name that means a CTE
		if r, ok := m.(*pg.RangeVar); ok && r.GetSchemaname() == "" && (ctes[r.GetRelname()] || env.find(r.GetRelname()) != nil) {
			t, _ := a.schema.find("", r.GetRelname())
			hidden = hidden || t != nil
		}
		return true
	})
	return !hidden && a.alone(n.GetSelectStmt(), nil)
}

// alone is standsAlone for a SELECT inside of one, which sees the FROM items of
// those around it.
func (a *analysis) alone(sel *pg.SelectStmt, around []*pg.Node) bool {
	ok := true
	part := func(nodes []*pg.Node, seen []*pg.Node) {
		for _, n := range nodes {
			walk(n, func(m protoMessage) bool {
				switch m := m.(type) {
				case *pg.SelectStmt:
					ok = ok && a.alone(m, seen)
					return false
				case *pg.ColumnRef:
					ok = ok && slices.ContainsFunc(seen, func(n *pg.Node) bool { return a.brings(n, m) })
				case *pg.RangeSubselect: // only LATERAL lets it see what stands beside it
					if !m.GetLateral() {
						ok = ok && a.alone(m.GetSubquery().GetSelectStmt(), around)
						return false
					}
				}
				return ok
			})
		}
	}
	if w := sel.GetWithClause(); w != nil {
		part(w.GetCtes(), around)
	}
	inside := slices.Concat(around, sel.GetFromClause())
	part(sel.GetFromClause(), inside)
	for _, nodes := range [][]*pg.Node{
		sel.GetTargetList(), sel.GetDistinctClause(), sel.GetGroupClause(), sel.GetSortClause(), sel.GetValuesLists(), sel.GetWindowClause(),
		{sel.GetWhereClause(), sel.GetHavingClause(), sel.GetLimitCount(), sel.GetLimitOffset()},
	} {
		part(slices.DeleteFunc(slices.Clone(nodes), func(n *pg.Node) bool { return n == nil }), inside)
	}
	for _, branch := range []*pg.SelectStmt{sel.GetLarg(), sel.GetRarg()} {
		ok = ok && (branch == nil || a.alone(branch, around))
	}
	return ok
}

// brings reports whether an item of FROM holds a table with a column of that name.
func (a *analysis) brings(from *pg.Node, c *pg.ColumnRef) bool {
	if j := from.GetJoinExpr(); j != nil {
		return a.brings(j.GetLarg(), c) || a.brings(j.GetRarg(), c)
	}
	r := from.GetRangeVar()
	parts, star := columnPath(c)
	if r == nil || len(r.GetAlias().GetColnames()) > 0 || len(parts) > 2 {
		return false
	}
	t, _ := a.schema.find(r.GetSchemaname(), r.GetRelname())
	if t == nil || t.view != nil {
		return false
	}
	alias := cmp.Or(r.GetAlias().GetAliasname(), r.GetRelname())
	if star {
		return len(parts) == 0 || parts[0] == alias
	}
	return t.col(parts[len(parts)-1]) != nil && (len(parts) == 1 || parts[0] == alias)
}

// equal records that two operands are equal where the guards hold.
func (a *analysis) equal(l, r operand, guards []*region) {
	if l.at == (place{}) || r.at == (place{}) || l.at == r.at || (l.at.occ == nil && r.at.occ == nil) {
		return
	}
	ignore := func(why string) {
		ig := ignored{why: fmt.Sprintf("%s = %s doesn't count: %s", l.text, r.text, why)}
		for _, o := range []operand{l, r} {
			if o.at.occ != nil {
				ig.occs = append(ig.occs, o.at.occ)
			}
		}
		a.ignored = append(a.ignored, ig)
	}
	for _, o := range []operand{l, r} {
		if o.why != "" {
			ignore(o.why)
			return
		}
	}
	bare := func(o operand) bool { return o.free && o.class == "" }
	if l.class != r.class && !bare(l) && !bare(r) {
		if l.class != "" && r.class != "" {
			ignore(fmt.Sprintf("%s and %s are compared by conversion", l.class, r.class))
		}
		return
	}
	if l.class == "" && r.class == "" {
		return
	}
	a.connect(l.at, r.at, guards)
	a.connect(r.at, l.at, guards)
}

// condition takes the equalities among the top-level conjuncts of a condition,
// and looks into all of it for sub-selects.
func (a *analysis) condition(sc *scope, n *pg.Node, guards []*region) {
	guards = append(slices.Clone(guards), &region{scope: sc})
	for _, c := range conjuncts(n) {
		if !a.conjunct(sc, c, guards) {
			a.expr(sc, c)
		}
	}
}

// conjunct reports whether it has looked at all of c.
func (a *analysis) conjunct(sc *scope, c *pg.Node, guards []*region) bool {
	if s := c.GetSubLink(); s != nil && s.GetSubLinkType() == pg.SubLinkType_ANY_SUBLINK {
		if len(s.GetOperName()) > 0 && !isEquals(s.GetOperName()) {
			return false
		}
		// x IN (SELECT y …) is a join with the rows of the sub-select.
		o := &occurrence{alias: "in", scope: sc, guards: guards, cols: map[string]string{}}
		_, outs := a.selectStmt(s.GetSubselect().GetSelectStmt(), &scope{parent: sc, lexical: sc, env: sc.env, depth: sc.depth}, o, false)
		a.expr(sc, s.GetTestexpr())
		tests := []*pg.Node{s.GetTestexpr()}
		if row := s.GetTestexpr().GetRowExpr(); row != nil {
			tests = row.GetArgs()
		}
		for i, t := range tests {
			if i < len(outs) {
				at := place{o, outs[i].name}
				a.equal(a.operand(sc, t), operand{at: at, class: a.classOf(at), text: "(sub-select)." + at.col}, guards)
			}
		}
		return true
	}
	if n := c.GetNullTest(); n != nil && a.writes && n.GetNulltesttype() == pg.NullTestType_IS_NULL {
		if o := a.operand(sc, n.GetArg()); o.at.occ != nil && o.at.occ.scope == sc && holds(guards, map[*occurrence]bool{o.at.occ: true}) {
			a.nulls[o.at] = true
		}
		return false
	}
	if or := c.GetBoolExpr(); or != nil && or.GetBoolop() == pg.BoolExprType_OR_EXPR && a.writes {
		a.either(sc, or.GetArgs(), guards)
		return false
	}
	e := c.GetAExpr()
	if e == nil || !isEquals(e.GetName()) {
		return false
	}
	switch e.GetKind() {
	case pg.A_Expr_Kind_AEXPR_OP:
		l, r := e.GetLexpr().GetRowExpr(), e.GetRexpr().GetRowExpr()
		if l != nil && r != nil && len(l.GetArgs()) == len(r.GetArgs()) {
			for i := range l.GetArgs() {
				a.equal(a.operand(sc, l.GetArgs()[i]), a.operand(sc, r.GetArgs()[i]), guards)
			}
			break
		}
		a.equal(a.operand(sc, e.GetLexpr()), a.operand(sc, e.GetRexpr()), guards)
	case pg.A_Expr_Kind_AEXPR_IN:
		items := e.GetRexpr().GetList().GetItems()
		if len(items) == 1 {
			a.equal(a.operand(sc, e.GetLexpr()), a.operand(sc, items[0]), guards)
			break
		}
		if r, ok := a.oneOf(sc, items); ok && a.writes {
			a.equal(a.operand(sc, e.GetLexpr()), r, guards)
		}
	case pg.A_Expr_Kind_AEXPR_OP_ANY:
		if r, ok := a.arrayOperand(e.GetRexpr()); ok {
			a.equal(a.operand(sc, e.GetLexpr()), r, guards)
		}
	}
	return false
}

// either reads "x = $1 OR x = $2" as "x is one of these".
func (a *analysis) either(sc *scope, arms []*pg.Node, guards []*region) {
	var col *pg.Node
	var items []*pg.Node
	for _, n := range arms {
		e := n.GetAExpr()
		if e == nil || e.GetKind() != pg.A_Expr_Kind_AEXPR_OP || !isEquals(e.GetName()) {
			return
		}
		l, r := e.GetLexpr(), e.GetRexpr()
		if r.GetColumnRef() != nil {
			l, r = r, l
		}
		o := a.operand(sc, l)
		if o.why != "" || col != nil && a.operand(sc, col).at != o.at { // a cast may make more rows meet it
			return
		}
		col, items = l, append(items, r)
	}
	if r, ok := a.oneOf(sc, items); ok {
		a.equal(a.operand(sc, col), r, guards)
	}
}

// oneOf reads the items of an IN as "one of these".
func (a *analysis) oneOf(sc *scope, items []*pg.Node) (operand, bool) {
	var out operand
	var each [][]value
	for i, n := range items {
		o := a.operand(sc, n)
		if !o.free || o.why != "" || i > 0 && o.class != out.class {
			return operand{}, false
		}
		out = o
		each = append(each, a.values(o.at))
	}
	vals := oneOf(each)
	if vals == nil {
		return operand{}, false
	}
	out.at, out.text = a.bind(vals), "one of several"
	return out, true
}

// isEquals reports whether an operator is Postgres' own equality.
func isEquals(op []*pg.Node) bool {
	parts := names(op)
	return len(parts) == 1 && parts[0] == "=" || len(parts) == 2 && parts[0] == "pg_catalog" && parts[1] == "="
}

// arrayOperand reads $n or $n::t[] as "some element of $n".
func (a *analysis) arrayOperand(n *pg.Node) (operand, bool) {
	o := operand{free: true}
	if tc := n.GetTypeCast(); tc != nil {
		o.class, o.why = a.schema.typeClass(strings.TrimSuffix(typeName(tc.GetTypeName()), "[]"))
		if len(tc.GetTypeName().GetTypmods()) > 0 {
			o.why = "the cast may cut the value"
		}
		n = tc.GetArg()
	}
	p := n.GetParamRef()
	if p == nil {
		return operand{}, false
	}
	o.at = place{col: "@" + strconv.Itoa(int(p.GetNumber()))}
	o.text = o.at.text()
	return o, true
}

// expr looks for sub-selects in an expression.
func (a *analysis) expr(sc *scope, n *pg.Node) {
	if n == nil {
		return
	}
	walk(n, func(m protoMessage) bool {
		s, ok := m.(*pg.SubLink)
		if !ok {
			return true
		}
		a.expr(sc, s.GetTestexpr())
		a.selectStmt(s.GetSubselect().GetSelectStmt(), &scope{parent: sc, lexical: sc, env: sc.env, depth: sc.depth}, nil, false)
		return false
	})
}

// step is one equality on the way from a column to a parameter.
type step struct {
	to   place
	prev place
}

// reach returns all that equals the column of an occurrence in every row of the
// result to which the occurrence contributes, and how each was reached.
func (a *analysis) reach(o *occurrence, col string) map[place]step {
	start := place{o, col}
	found := map[place]step{start: {to: start}}
	live := map[*occurrence]bool{o: true}
	order := []place{start}
	for changed := true; changed; {
		changed = false
		for i := 0; i < len(order); i++ {
			at := order[i]
			if at.occ == nil {
				continue // what equals a parameter here may equal it elsewhere in another row
			}
			for _, e := range a.edges[at] {
				if _, seen := found[e.to]; seen || !holds(e.guards, live) {
					continue
				}
				found[e.to] = step{to: e.to, prev: at}
				order = append(order, e.to)
				if e.to.occ != nil {
					live[e.to.occ] = true
				}
				changed = true
			}
		}
	}
	return found
}

// within reports whether an occurrence stands in the text of a scope.
func (o *occurrence) within(sc *scope) bool {
	for s := o.scope; s != nil; s = s.lexical {
		if s == sc {
			return true
		}
	}
	return false
}

func holds(guards []*region, live map[*occurrence]bool) bool {
	for _, g := range guards {
		ok := false
		for o := range live {
			ok = ok || g.occs[o] || g.scope != nil && o.within(g.scope)
		}
		if !ok {
			return false
		}
	}
	return true
}

// chain writes the way from a column to a parameter: "m.session_id = s.id = $1".
func chain(found map[place]step, target place) string {
	var parts []string
	for at := target; ; {
		parts = append(parts, at.text())
		st := found[at]
		if st.prev == (place{}) {
			break
		}
		at = st.prev
	}
	slices.Reverse(parts)
	return strings.Join(parts, " = ")
}

// findRefs notes which columns of each table the statement uses, by name:
// whatever could mean a column counts as using it.
func (a *analysis) findRefs(sel protoMessage) {
	mark := func(m protoMessage) bool {
		switch m := m.(type) {
		case *pg.ColumnRef:
			parts, star := columnPath(m)
			for _, o := range a.occs {
				o.use(parts, star)
			}
		case *pg.JoinExpr:
			for _, name := range names(m.GetUsingClause()) {
				for _, o := range a.occs {
					o.use([]string{name}, false)
				}
			}
		}
		return true
	}
	walk(sel, mark)
	seen := map[*table]bool{}
	for _, v := range a.views {
		if !seen[v] {
			seen[v] = true
			walk(a.body(v), mark)
		}
	}
}

func (o *occurrence) use(parts []string, star bool) {
	switch {
	case star:
		if len(parts) == 0 || parts[len(parts)-1] == o.alias {
			o.refAll = true
		}
	case len(parts) == 1:
		if parts[0] == o.alias {
			o.refAll = true // the whole row
		}
		o.useName(parts[0])
	default:
		if parts[len(parts)-2] == o.alias {
			o.useName(parts[len(parts)-1])
		}
		if parts[len(parts)-1] == o.alias {
			o.refAll = true
		}
	}
}

func (o *occurrence) useName(name string) {
	switch name {
	case "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid":
		o.refAll = true
	}
	o.refs[name] = true
}

func hasWindow(sel *pg.SelectStmt) bool {
	found := false
	look := func(nodes []*pg.Node) {
		for _, n := range nodes {
			walk(n, func(m protoMessage) bool {
				switch m := m.(type) {
				case *pg.FuncCall:
					found = found || m.GetOver() != nil
				case *pg.SubLink:
					return false
				}
				return true
			})
		}
	}
	look(sel.GetTargetList())
	look(sel.GetSortClause())
	return found
}

func hasGroupingSets(sel *pg.SelectStmt) bool {
	for _, n := range sel.GetGroupClause() {
		if n.GetGroupingSet() != nil {
			return true
		}
	}
	return false
}

// hasAggregate reports whether an expression aggregates rows of its own scope.
func hasAggregate(nodes []*pg.Node) bool {
	found := false
	for _, n := range nodes {
		walk(n, func(m protoMessage) bool {
			switch m := m.(type) {
			case *pg.FuncCall:
				// With OVER it is a window function, which keeps the rows.
				found = found || m.GetOver() == nil && (aggregates[lastName(m.GetFuncname())] || m.GetAggStar() || m.GetAggDistinct() || m.GetAggFilter() != nil)
			case *pg.SubLink:
				return false
			}
			return true
		})
	}
	return found
}
