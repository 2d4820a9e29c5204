package gen

import (
	"fmt"
	"go/types"
	"slices"
	"sort"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
)

// project is everything that one run knows.
type project struct {
	opts     Options
	schema   *schema
	src      *source
	groups   []*group // by name
	reads    []*cachedRead
	writes   []*write
	findings Findings
	weak     []WeakPoint
}

// group is a family of keys, as its @cache lines declare it.
type group struct {
	name     string
	keyTypes []types.Type // of the Go key parts
	first    *cachedRead
	names    []string // of the key parts, from the first read
	opts     options
	optPos   map[string]Position
	reads    []*cachedRead
}

// String returns "message(session_id)".
func (g *group) String() string { return fmt.Sprintf("%s(%s)", g.name, strings.Join(g.names, ", ")) }

// cachedRead is a read with @cache.
type cachedRead struct {
	q     *query
	note  *cacheNote
	g     *group
	keys  []int // the arguments that make the key
	cells []int // the others
	batch bool  // one part of the key is an element of a list
	list  int   // for a batch: the argument that is the list
	split int   // for a batch: the output column that holds the key
	maps  []*mapping
	stale map[*table]Position
	an    *analysis
}

// mapping says where the group's key stands in the rows of one occurrence of a
// table.
type mapping struct {
	read     *cachedRead
	occ      *occurrence
	table    *table
	cols     [][]string        // for each key part, the columns that equal it
	chains   []string          // how, for explain
	required bool              // without a row of the table, the read returns no row
	via      *viaQuery         // instead of cols and chains
	filters  map[string]string // columns that must have a constant
}

func (p *project) fail(pos Position, msg, why string, mend ...string) {
	p.findings = append(p.findings, &Finding{Pos: pos, Msg: msg, Why: why, Mend: mend})
}

// during runs a step for one query and notes in its findings that they are about it.
func (p *project) during(q *query, step func()) {
	before := len(p.findings)
	step()
	group := ""
	if q.notes.cache != nil {
		group = q.notes.cache.group
	}
	p.findings[before:].about(q.name, group)
}

// parseQueries parses each query's text.
func (p *project) parseQueries() {
	for _, q := range p.src.queries {
		p.during(q, func() { p.parseQuery(q) })
	}
}

func (p *project) parseQuery(q *query) {
	tree, err := parseSQL(q.sql)
	if err != nil {
		p.fail(q.at(errorOffset(q.sql, err)), fmt.Sprintf("%s can't be parsed", q.name), err.Error(), "correct the query and run sqlc generate")
		return
	}
	if len(tree.GetStmts()) == 1 {
		q.tree = tree.GetStmts()[0].GetStmt()
	} else {
		p.fail(q.pos, fmt.Sprintf("%s has %d statements", q.name, len(tree.GetStmts())), "", "write one statement a query")
	}
}

// deriveReads maps every cached read.
func (p *project) deriveReads() {
	byName := map[string]*group{}
	for _, q := range p.src.queries {
		p.during(q, func() { p.deriveRead(q, byName) })
	}
	sort.Slice(p.groups, func(i, j int) bool { return p.groups[i].name < p.groups[j].name })
	for _, g := range p.groups {
		// A group is named after scalar parameters where one of its reads has them.
		for _, r := range g.reads {
			if !r.batch {
				g.names = r.note.params
				break
			}
		}
		for _, r := range g.reads {
			if r.batch && r == g.first && !slices.ContainsFunc(g.reads, func(o *cachedRead) bool { return !o.batch }) && len(r.maps) > 0 && r.maps[0].via == nil {
				g.names = nil
				for _, cols := range r.maps[0].cols {
					g.names = append(g.names, cols[0])
				}
			}
		}
		if g.opts.near != "" {
			p.weak = append(p.weak, WeakPoint{At: g.optPos["near"], On: "near", Text: fmt.Sprintf("group %s has near=%s: a process may read what another has overwritten by up to that", g, g.opts.near)})
		}
		if g.opts.mode == "aftercommit" {
			p.weak = append(p.weak, WeakPoint{At: g.optPos["mode"], On: "mode=aftercommit", Text: fmt.Sprintf("group %s is aftercommit: readers may see the old value for a moment after a commit", g)})
		}
	}
}

// deriveRead maps one query, if it has @cache.
func (p *project) deriveRead(q *query, byName map[string]*group) {
	if q.notes.cache == nil {
		if len(q.notes.via) > 0 {
			p.fail(q.notes.via[0].pos, fmt.Sprintf("@via stands on %s, which is not cached", q.name), "", "remove it, or add "+cacheForm)
		}
		if q.notes.volatileOK != nil {
			p.fail(q.notes.volatileOK.pos, fmt.Sprintf("@volatile-ok stands on %s, which is not cached", q.name), "", "remove it, or add "+cacheForm)
		}
		if len(q.notes.staleOK) > 0 {
			p.fail(q.notes.staleOK[0].pos, fmt.Sprintf("@stale-ok stands on %s, which is not cached", q.name), "", "remove it, or add "+cacheForm)
		}
		return
	}
	r := &cachedRead{q: q, note: q.notes.cache, stale: map[*table]Position{}, split: -1}
	if q.tree == nil || !p.readShape(r) {
		return
	}
	g := byName[r.note.group]
	if g == nil {
		g = &group{name: r.note.group, first: r, names: r.note.params, optPos: map[string]Position{}}
		byName[g.name] = g
		p.groups = append(p.groups, g)
	}
	if p.joinGroup(r, g) {
		g.reads = append(g.reads, r)
		r.g = g
		p.reads = append(p.reads, r)
		p.mapRead(r)
	}
}

// readShape checks what can be cached at all, and finds the key's arguments.
func (p *project) readShape(r *cachedRead) bool {
	q, pos := r.q, r.note.pos
	if q.tree.GetSelectStmt() == nil || dataModifying(q.tree) {
		p.fail(pos, fmt.Sprintf("@cache stands on %s, which is a write", q.name), "", "remove it: what a write changes is derived")
		return false
	}
	if q.cmd != ":one" && q.cmd != ":many" {
		p.fail(pos, fmt.Sprintf("@cache stands on %s, which is %s", q.name, q.cmd), "only :one and :many return rows at once",
			"make it :one or :many, or remove @cache")
		return false
	}
	ok := true
	for _, name := range r.note.params {
		i := q.findArg(name)
		if i < 0 {
			mend := []string{"its parameters are " + q.argNames()}
			if slices.ContainsFunc(q.args, func(a arg) bool { return strings.HasPrefix(snake(a.name), "dollar_") }) {
				mend = append(mend, fmt.Sprintf("sqlc finds no name for an expression: write @%s instead of $n", name))
			}
			p.fail(pos, fmt.Sprintf("@cache %s(%s): %s has no parameter %s", r.note.group, strings.Join(r.note.params, ", "), q.name, name), "", mend...)
			ok = false
			continue
		}
		if slices.Contains(r.keys, i) {
			p.fail(pos, fmt.Sprintf("@cache %s(%s) names %s twice", r.note.group, strings.Join(r.note.params, ", "), name), "", "name each key part once")
			ok = false
			continue
		}
		r.keys = append(r.keys, i)
	}
	if !ok {
		return false
	}
	for i := range q.args {
		if !slices.Contains(r.keys, i) {
			r.cells = append(r.cells, i)
		}
	}
	return true
}

func (q *query) findArg(name string) int {
	for i, a := range q.args {
		if a.name == name {
			return i
		}
	}
	for i, a := range q.args {
		if sameName(a.name, name) {
			return i
		}
	}
	return -1
}

func (q *query) argNames() string {
	if len(q.args) == 0 {
		return "none"
	}
	var out []string
	for _, a := range q.args {
		out = append(out, snake(a.name))
	}
	return strings.Join(out, ", ")
}

// joinGroup checks a read against the group's other reads: arity, Go types,
// options.
func (p *project) joinGroup(r *cachedRead, g *group) bool {
	q := r.q
	var keyTypes []types.Type
	for _, i := range r.keys {
		t := q.args[i].typ
		if s, ok := t.Underlying().(*types.Slice); ok && !isByte(s.Elem()) {
			if r.batch {
				p.fail(r.note.pos, fmt.Sprintf("@cache %s(%s): %s takes several lists of keys", r.note.group, strings.Join(r.note.params, ", "), q.name),
					"a batch is split by one key column", "make all but one of them single values, or remove @cache")
				return false
			}
			r.batch, r.list = true, i
			t = s.Elem()
		}
		keyTypes = append(keyTypes, t)
		if _, ok := t.Underlying().(*types.Interface); ok {
			p.fail(r.note.pos, fmt.Sprintf("@cache %s(%s): sqlc gives %s the type %s", r.note.group, strings.Join(r.note.params, ", "), snake(q.args[i].name),
				typeString(t)), "a key needs a type in which each value has one form",
				fmt.Sprintf("cast it to the type of its column: @%s::…", snake(q.args[i].name)), "give its type in the database an override in sqlc.yaml")
			return false
		}
		if why := keyTypeProblem(t); why != "" {
			p.fail(r.note.pos, fmt.Sprintf("@cache %s(%s): %s can't be part of a key", r.note.group, strings.Join(r.note.params, ", "),
				typeString(t)), why, "use an integer, string, bool, uuid, []byte, time.Time or a pgtype of these")
			return false
		}
	}
	if g.keyTypes == nil {
		g.keyTypes = keyTypes
	} else {
		same := len(g.keyTypes) == len(keyTypes)
		for i := range keyTypes {
			same = same && types.Identical(deref(g.keyTypes[i]), deref(keyTypes[i]))
		}
		if !same {
			p.fail(r.note.pos, fmt.Sprintf("group %s has key (%s) here and (%s) at %s", g.name, typeList(keyTypes), typeList(g.keyTypes),
				g.first.note.pos), "", "give one of the two groups another name")
			return false
		}
		for i := range keyTypes {
			if _, ptr := keyTypes[i].(*types.Pointer); ptr {
				g.keyTypes[i] = keyTypes[i]
			}
		}
	}
	o := r.note.opts
	for _, opt := range []struct {
		name      string
		have, say *string
	}{{"ttl", &g.opts.ttl, &o.ttl}, {"mode", &g.opts.mode, &o.mode}, {"negative", &g.opts.negative, &o.negative}, {"near", &g.opts.near, &o.near}} {
		switch {
		case *opt.say == "":
		case *opt.have == "":
			*opt.have = *opt.say
			g.optPos[opt.name] = r.note.pos
		case *opt.have != *opt.say:
			p.fail(r.note.pos, fmt.Sprintf("group %s has %s=%s here and %s=%s at %s", g.name, opt.name, *opt.say, opt.name, *opt.have,
				g.optPos[opt.name]), "", "keep one of the two")
		}
	}
	if g.opts.mode == "strict" && g.opts.near != "" && (o.mode != "" || o.near != "") {
		p.fail(r.note.pos, fmt.Sprintf("group %s has mode=strict and near=%s: a copy in the process may be older than a write elsewhere", g.name,
			g.opts.near), "", "keep one of the two")
	}
	return true
}

// mapRead finds the row → key mapping of each table that the read touches.
func (p *project) mapRead(r *cachedRead) {
	q := r.q
	sel := p.schema.inline(q.tree).GetSelectStmt()
	a := analyzeRead(p.schema, sel)
	a.checkDeterministic(sel)
	r.an = a

	stale := map[*table]Position{}
	for _, s := range q.notes.staleOK {
		schemaName, name, ok := strings.Cut(s.table, ".")
		if !ok {
			schemaName, name = "", s.table
		}
		t, why := p.schema.find(schemaName, name)
		if t == nil {
			p.fail(s.pos, fmt.Sprintf("@stale-ok %s on %s", s.table, q.name), why, "name a table that the query reads")
			continue
		}
		used := slices.ContainsFunc(a.occs, func(o *occurrence) bool { return o.table == t })
		if !used {
			p.fail(s.pos, fmt.Sprintf("@stale-ok %s: %s doesn't read it", s.table, q.name), "", "remove it; the query reads "+a.tableList())
			continue
		}
		stale[t] = s.pos
		p.weak = append(p.weak, WeakPoint{At: s.pos, On: "@stale-ok", Text: fmt.Sprintf("%s may show old rows of %s until its TTL (@stale-ok)", q.name, t)})
	}
	r.stale = stale
	vias := p.viaQueries(r)

	allowed := false
	for _, ref := range a.refused {
		if t := matviewOf(a, ref); t != nil {
			if _, ok := stale[t]; ok {
				continue
			}
		}
		if ref.byItself && q.notes.volatileOK != nil {
			allowed = true
			p.weak = append(p.weak, WeakPoint{
				At: q.notes.volatileOK.pos, On: "@volatile-ok",
				Text: fmt.Sprintf("%s may show an old answer until its TTL (@volatile-ok %q): %s", q.name, q.notes.volatileOK.why, ref.why),
			})
			continue
		}
		p.fail(q.at(ref.loc), fmt.Sprintf("%s can't be cached", q.name), ref.why, ref.mend...)
	}
	if q.notes.volatileOK != nil && !allowed {
		p.fail(q.notes.volatileOK.pos, fmt.Sprintf("@volatile-ok on %s is not needed", q.name), "its answer depends on its arguments and tables alone", "remove it")
	}
	if r.batch && !p.checkBatch(r) {
		return
	}
	for _, arm := range alternatives(sel) {
		if arm == sel || r.batch {
			p.mapTables(r, a, sel, vias)
			continue
		}
		one := analyzeRead(p.schema, arm)
		one.plain = false // without the row, another arm may bring another one
		one.findRefs(sel) // all of the query is read, whichever arm holds
		p.mapTables(r, one, sel, vias)
	}
	for _, v := range vias {
		if !v.used {
			p.fail(v.pos, fmt.Sprintf("@via %s on %s is not needed", v.table, q.name), "the table is tied to the key: "+strings.Join(v.tied, "; "), "remove it")
		}
	}
}

// mapTables maps each table of a read, under one arm of an OR at the top of its
// WHERE: each row of the result meets one of the arms.
func (p *project) mapTables(r *cachedRead, a *analysis, sel *pg.SelectStmt, vias map[*table]*viaQuery) {
	for _, o := range a.occs {
		if _, ok := r.stale[o.table]; ok {
			continue
		}
		m := &mapping{read: r, occ: o, table: o.table, filters: p.filters(a, o)}
		if a.plain && r.q.cmd == ":one" && len(o.guards) == 0 && a.top != nil && slices.Contains(a.top.items, o) && sel.GetOp() == pg.SetOperation_SETOP_NONE {
			m.required = true
		}
		var missing []string
		var targets []place
		for k, i := range r.keys {
			target := place{col: fmt.Sprintf("$%d", i+1)}
			if r.batch && i == r.list {
				target = place{col: fmt.Sprintf("@%d", i+1)}
			}
			targets = append(targets, target)
			var cols []string
			best := ""
			for _, c := range o.table.cols {
				if class, _ := p.schema.class(c); class == "" {
					continue
				}
				found := a.reach(o, c.name)
				if _, ok := found[target]; ok {
					cols = append(cols, c.name)
					if best == "" {
						best = chain(found, target)
					}
				}
			}
			if len(cols) == 0 {
				missing = append(missing, r.note.params[k])
				continue
			}
			m.cols = append(m.cols, cols)
			m.chains = append(m.chains, best)
		}
		if v := vias[o.table]; v != nil {
			if len(missing) == 0 {
				v.tied = append(v.tied, strings.Join(m.chains, ", "))
				p.checkTypes(r, m)
				r.maps = append(r.maps, m)
				continue
			}
			v.used = true
			if v.sql == "" { // it is reported
				continue
			}
			if !v.follows(a, o, targets) {
				p.fail(v.pos, fmt.Sprintf("@via %s on %s doesn't follow the query from %s to the key", v.table, r.q.name, o.alias),
					"what it compares isn't what always ties that row to the key in the query, so that it would miss keys",
					"compare the columns that the query compares, by way of the same tables", fmt.Sprintf("-- @stale-ok %s", v.table))
				continue
			}
			m.via, m.cols, m.chains, m.required = v, nil, []string{"@via"}, false
			r.maps = append(r.maps, m)
			continue
		}
		if len(missing) > 0 {
			p.unmapped(r, o, missing)
			continue
		}
		p.checkTypes(r, m)
		r.maps = append(r.maps, m)
	}
}

// maxArms bounds the arms into which the ORs of a read are taken apart.
const maxArms = 16

// alternatives lists the SELECTs of which every row of a SELECT is a row of one: one
// for each arm of the ORs at the top of its WHERE. Without such an OR it is the
// SELECT itself.
func alternatives(sel *pg.SelectStmt) []*pg.SelectStmt {
	out := [][]*pg.Node{nil}
	split := false
	for _, c := range conjuncts(sel.GetWhereClause()) {
		arms := []*pg.Node{c}
		if or := c.GetBoolExpr(); or != nil && or.GetBoolop() == pg.BoolExprType_OR_EXPR && len(out)*len(or.GetArgs()) <= maxArms {
			arms, split = or.GetArgs(), true
		}
		var next [][]*pg.Node
		for _, conds := range out {
			for _, arm := range arms {
				next = append(next, append(slices.Clone(conds), arm))
			}
		}
		out = next
	}
	if !split {
		return []*pg.SelectStmt{sel}
	}
	var sels []*pg.SelectStmt
	for _, conds := range out {
		one := proto.Clone(sel).(*pg.SelectStmt)
		one.WhereClause = &pg.Node{Node: &pg.Node_BoolExpr{BoolExpr: &pg.BoolExpr{Boolop: pg.BoolExprType_AND_EXPR, Args: conds}}}
		sels = append(sels, one)
	}
	return sels
}

// filters lists the constants that columns of an occurrence must have in every row
// that reaches the result: "state = 'running'". Only types whose constants are
// written in one way count.
func (p *project) filters(a *analysis, o *occurrence) map[string]string {
	out := map[string]string{}
	for _, c := range o.table.cols {
		class, _ := p.schema.class(c)
		if class != "text" && class != "bool" && !strings.HasPrefix(class, "enum ") {
			continue
		}
		for at := range a.reach(o, c.name) {
			if at.occ == nil && at.col[0] == '=' && (class != "bool" || at.col == "=true" || at.col == "=false") {
				out[c.name] = at.col[1:]
			}
		}
	}
	return out
}

func matviewOf(a *analysis, ref refusal) *table {
	for _, o := range a.occs {
		if o.table.matview && strings.HasPrefix(ref.why, o.table.String()+" is a materialized view") {
			return o.table
		}
	}
	return nil
}

// checkTypes refuses Go types that write one value of a column in several ways,
// and time.Time for a date, whose zone makes the day ambiguous.
func (p *project) checkTypes(r *cachedRead, m *mapping) {
	for k := range r.keys {
		t := deref(r.g.keyTypes[k])
		c := m.table.col(m.cols[k][0])
		class, _ := p.schema.class(c)
		if class == "date" && typeString(t) == "time.Time" {
			p.fail(r.note.pos, fmt.Sprintf("@cache %s: %s is a date, and the parameter a time.Time", r.g, c.name),
				"the zone of a time.Time makes its day ambiguous", "map date to pgtype.Date in sqlc.yaml")
			return
		}
		if want := holders(class); !slices.Contains(want, family(t)) {
			p.fail(r.note.pos, fmt.Sprintf("@cache %s: %s is of type %s, and the parameter of Go type %s", r.g, c.name, c.typ, typeString(t)),
				"one value of the column could be written in several ways, and would have a key for each",
				fmt.Sprintf("map %s to %s in sqlc.yaml", c.typ, goTypes[want[0]]))
			return
		}
	}
}

func (a *analysis) tableList() string {
	var out []string
	for _, o := range a.occs {
		if !slices.Contains(out, o.table.String()) {
			out = append(out, o.table.String())
		}
	}
	if len(out) == 0 {
		return "no table"
	}
	return strings.Join(out, ", ")
}

// unmapped explains why a table of a cached read has no mapping.
func (p *project) unmapped(r *cachedRead, o *occurrence, missing []string) {
	name := o.table.String()
	if o.alias != o.table.name {
		name += " (" + o.alias + ")"
	}
	if o.via != "" {
		name += " through view " + o.via
	}
	why := fmt.Sprintf("no equality that always holds ties a column of %s to %s", name, strings.Join(missing, ", "))
	for _, ig := range r.an.ignored {
		if slices.Contains(ig.occs, o) {
			why += "; " + ig.why
		}
	}
	p.fail(r.q.at(o.loc), fmt.Sprintf("%s can't be cached by %s: a change of %s could not be traced to a key", r.q.name, r.g.short(r), o.table), why,
		fmt.Sprintf("tie it in WHERE or in an inner JOIN: %s.… = %s", o.alias, missing[0]),
		fmt.Sprintf("-- @via %s: SELECT %s FROM … WHERE … = %s.…", o.table, strings.Join(r.note.params, ", "), o.table.name),
		fmt.Sprintf("-- @stale-ok %s  (changes of %s may stay unseen until the TTL)", o.table, o.table),
		"remove @cache")
}

func (g *group) short(r *cachedRead) string {
	return fmt.Sprintf("%s(%s)", g.name, strings.Join(r.note.params, ", "))
}

// checkBatch refuses a batch whose result can't be split by key.
func (p *project) checkBatch(r *cachedRead) bool {
	q, sel := r.q, r.q.tree.GetSelectStmt()
	loc := 0
	refuse := func(why string, mend ...string) bool {
		p.fail(q.at(loc), fmt.Sprintf("%s can't be cached key by key", q.name), why, append(mend, "remove @cache")...)
		return false
	}
	if q.cmd != ":many" {
		return refuse("it takes a list of keys and is "+q.cmd, "make it :many")
	}
	elem, _ := sliceElem(q.args[r.list].typ)
	if !types.Comparable(elem) {
		return refuse(fmt.Sprintf("keys of type %s can't be compared in Go", typeString(elem)))
	}
	for _, c := range []struct {
		has  bool
		what string
		at   []*pg.Node
	}{
		{sel.GetOp() != pg.SetOperation_SETOP_NONE && sel.GetOp() != pg.SetOperation_SET_OPERATION_UNDEFINED, "UNION, INTERSECT or EXCEPT", nil},
		{len(sel.GetSortClause()) > 0, "ORDER BY", sel.GetSortClause()},
		{sel.GetLimitCount() != nil || sel.GetLimitOffset() != nil, "LIMIT or OFFSET", []*pg.Node{sel.GetLimitCount(), sel.GetLimitOffset()}},
		{len(sel.GetDistinctClause()) > 0, "DISTINCT", nil},
		{len(sel.GetGroupClause()) > 0 || sel.GetHavingClause() != nil, "GROUP BY", append(slices.Clone(sel.GetGroupClause()), sel.GetHavingClause())},
		{hasAggregate(sel.GetTargetList()), "an aggregate", sel.GetTargetList()},
		{hasWindow(sel), "a window function", nil},
	} {
		if c.has {
			loc = leftmost(c.at...)
			return refuse(fmt.Sprintf("its result has %s, which means the whole list of keys and not one key", c.what),
				fmt.Sprintf("leave out %s, and do it in Go", c.what))
		}
	}
	if r.an.params[r.list+1] != 1 {
		return refuse("its list of keys is used more than once", "use = ANY($1) once, and tie other tables to that column")
	}
	// The one = ANY must stand in the outermost WHERE or inner ON.
	target := place{col: fmt.Sprintf("@%d", r.list+1)}
	top := false
	for at, edges := range r.an.edges {
		for _, e := range edges {
			if e.to == target && at.occ != nil && at.occ.scope == r.an.top && !slices.ContainsFunc(e.guards, func(g *region) bool { return g.scope != r.an.top }) {
				top = true
			}
		}
	}
	if !top {
		why := "its list of keys is not compared by = ANY in the outermost WHERE"
		for _, ig := range r.an.ignored {
			why += "; " + ig.why
		}
		return refuse(why, "write WHERE column = ANY($1)")
	}
	outs := r.an.outputs(r.an.top, sel.GetTargetList())
	if len(outs) != len(q.outs) {
		return refuse("its columns can't be told apart", "name the columns")
	}
	for i, out := range outs {
		// The column must never be NULL in a row of the result: not one of the
		// nullable side of a join, nor one that may be so inside a sub-select.
		if out.at.occ == nil || len(out.at.occ.guards) > 0 {
			continue
		}
		if out.at.occ.table == nil && !slices.ContainsFunc(r.an.edges[out.at], func(e edge) bool { return e.to == target }) {
			continue
		}
		if _, ok := r.an.reach(out.at.occ, out.at.col)[target]; ok {
			switch convert(q.outs[i].typ, elem) {
			case asIs, byDeref, byConvert:
				r.split = i
				return true
			}
		}
	}
	return refuse("its result doesn't hold the key column, from where it can't be NULL", "select the column that is compared with ANY")
}

// dataModifying reports whether a statement, or one inside of it, writes.
func dataModifying(n *pg.Node) bool {
	found := false
	walk(n, func(m protoMessage) bool {
		switch m.(type) {
		case *pg.InsertStmt, *pg.UpdateStmt, *pg.DeleteStmt, *pg.MergeStmt:
			found = true
		}
		return !found
	})
	return found
}

func withClause(n *pg.Node) *pg.WithClause {
	switch {
	case n.GetSelectStmt() != nil:
		return n.GetSelectStmt().GetWithClause()
	case n.GetInsertStmt() != nil:
		return n.GetInsertStmt().GetWithClause()
	case n.GetUpdateStmt() != nil:
		return n.GetUpdateStmt().GetWithClause()
	case n.GetDeleteStmt() != nil:
		return n.GetDeleteStmt().GetWithClause()
	case n.GetMergeStmt() != nil:
		return n.GetMergeStmt().GetWithClause()
	}
	return nil
}
