package gen

import (
	"fmt"
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// lookup is a query that finds, in the transaction of a write, keys that neither
// the arguments nor the result tell: those of rows that go with a parent, or that
// a joined table stands in (@via). Whatever it reads it locks, so that what it
// has found is still all there is when the write commits (protocol 4.11.11).
type lookup struct {
	sql   string
	args  []int    // the arguments of the write behind $1, $2, …
	cols  []string // what it selects
	fresh bool     // it must see all that has been committed, and can't run in a snapshot that is older
	bound bool     // it locks the rows that the write changes; the write may change no others
	after bool     // it runs after the statement
	tree  bool     // it runs until it finds no row that it hasn't found before; what identifies a row stands first

	rows *rowSet
}

// rowSet is SQL for the rows that a change will alter, as long as they are locked.
type rowSet struct {
	table  *table
	from   string // "public.sessions AS s"
	alias  string
	where  string // with the parameters of the write; "" for all rows
	parent *rowSet
	after  bool        // it selects them only once the statement has run
	fk     *foreignKey // by which they refer to parent
	tree   *foreignKey // by which they refer to each other, and are here at any depth
}

func quoteIdent(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// quoteType quotes the name of a type, as typeName says it.
func quoteType(typ string) string {
	parts := strings.Split(typ, ".")
	for i, p := range parts {
		parts[i] = quoteIdent(p)
	}
	return strings.Join(parts, ".")
}

func (t *table) quoted() string { return quoteIdent(t.schema) + "." + quoteIdent(t.name) }

// rowsOf returns the rows that the query's own UPDATE or DELETE alters; nil where
// a SELECT with the same condition could select others: where the condition looks
// at other tables, or changes by itself.
func (d *deriver) rowsOf(top bool, n *pg.Node, rel *pg.RangeVar, where *pg.Node, joined bool) *rowSet {
	switch {
	case !top:
		d.noRows = "the statement isn't the outermost one, and may have changed more rows than were locked"
	case slices.ContainsFunc(withClause(n).GetCtes(), func(c *pg.Node) bool { return c.GetCommonTableExpr().GetCtequery().GetSelectStmt() == nil }):
		d.noRows = "a statement in WITH changes rows as well, after others have been looked up"
	case joined || !stable(d.p.schema, where):
		d.noRows = "other rows may meet the statement's condition by the time it runs, since it looks at more than the columns of its table"
	case d.throughView:
		d.noRows = "the statement goes through a view"
	case d.w.q.batch():
		d.noRows = "a batch has many statements"
	default:
		d.noRows = ""
	}
	if d.noRows != "" {
		return nil
	}
	t, _ := d.p.schema.find(rel.GetSchemaname(), rel.GetRelname())
	for _, k := range kin(t) {
		if k.rls {
			d.noRows = fmt.Sprintf("%s has row-level security, which may hide some of them", k)
			return nil
		}
		// As many rows must change as were locked, or else some have come in between.
		if slices.ContainsFunc(k.triggers, func(tr *trigger) bool {
			e := d.p.schema.effectsOf(tr)
			return tr.before && (e.skips || tr.del && strings.Contains(e.gives, "NEW") && n.GetDeleteStmt() != nil)
		}) {
			d.noRows = "a trigger may keep some of the rows, so that nobody can tell whether others came"
			return nil
		}
	}
	alias := rel.GetAlias().GetAliasname()
	if alias == "" {
		alias = rel.GetRelname()
	}
	only := ""
	if !rel.GetInh() {
		only = "ONLY "
	}
	r := &rowSet{table: t, alias: quoteIdent(alias), from: only + t.quoted() + " AS " + quoteIdent(alias)}
	if where != nil {
		text, err := deparse(&pg.Node{Node: &pg.Node_SelectStmt{SelectStmt: &pg.SelectStmt{
			TargetList: []*pg.Node{pg.MakeResTargetNodeWithVal(pg.MakeAConstIntNode(1, 0), 0)}, WhereClause: where,
			LimitOption: pg.LimitOption_LIMIT_OPTION_DEFAULT, Op: pg.SetOperation_SETOP_NONE,
		}}})
		_, cond, ok := strings.Cut(text, " WHERE ")
		if err != nil || !ok {
			return nil
		}
		r.where = cond
	}
	return r
}

// upserted returns the row that an upsert has found or made, by its conflict
// target. There is nothing to lock before the statement runs, since the row may
// not be there: it is locked afterwards, while the write still holds it.
func (d *deriver) upserted(top bool, rel *pg.RangeVar, t *table, unique []string, values map[string][]value) *rowSet {
	if !top || d.throughView || d.w.q.batch() || d.w.q.cmd == ":copyfrom" || len(unique) == 0 {
		return nil
	}
	for _, u := range t.uniques {
		if u.nulls {
			return nil // the row may be found by NULL, to which nothing is equal
		}
	}
	alias := rel.GetAlias().GetAliasname()
	if alias == "" {
		alias = rel.GetRelname()
	}
	r := &rowSet{table: t, alias: quoteIdent(alias), from: t.quoted() + " AS " + quoteIdent(alias), after: true}
	var conds []string
	for _, col := range unique {
		i := slices.IndexFunc(values[col], func(v value) bool { return v.kind == ofArg || v.kind == ofConst })
		if i < 0 {
			return nil
		}
		v := values[col][i]
		text := fmt.Sprintf("$%d", v.n+1)
		if v.kind == ofConst {
			text = "'" + strings.ReplaceAll(v.text, "'", "''") + "'"
		}
		conds = append(conds, fmt.Sprintf("%s.%s = %s::%s", r.alias, quoteIdent(col), text, quoteType(t.col(col).typ)))
	}
	r.where = strings.Join(conds, " AND ")
	return r
}

// systemColumns say where and by whom a row is stored: a lock is enough to change
// some of them.
var systemColumns = set("ctid cmin cmax tableoid xmin xmax")

// stable reports whether a condition on one table gives the same answer for a row
// that stays as it is, in every statement of a transaction.
func stable(s *schema, where *pg.Node) bool {
	ok := true
	walk(where, func(m protoMessage) bool {
		switch m := m.(type) {
		case *pg.SubLink, *pg.CurrentOfExpr:
			ok = false
		case *pg.ColumnRef:
			parts, _ := columnPath(m)
			ok = ok && (len(parts) == 0 || !systemColumns[parts[len(parts)-1]])
		case *pg.FuncCall:
			name := lastName(m.GetFuncname())
			own := s.function(name)
			ok = ok && (own != nil && own.volatile == "immutable" || own == nil && (known[name] || name == "now" || name == "transaction_timestamp"))
		case *pg.A_Expr:
			ok = ok && s.operators[lastName(m.GetName())] == nil
		}
		return ok
	})
	return ok
}

func (r *rowSet) condition() string {
	if r.where == "" {
		return "true"
	}
	return r.where
}

// children returns the rows that refer to these by a foreign key; with tree, those
// that refer to these children in turn as well, and so on. Where they can't be
// selected it says why, as where a foreign key comes a second time: what it reaches
// then has no end that a query could name.
func (r *rowSet) children(fk *foreignKey, n int, tree bool) (rows *rowSet, why string) {
	switch {
	case r.after:
		return nil, "the row that an upsert finds is locked only once the statement has run"
	case len(fk.cols) != len(fk.refCols) || len(fk.cols) == 0 || slices.ContainsFunc(fk.refCols, func(col string) bool { return r.table.col(col) == nil }):
		return nil, "the columns of the foreign key aren't known"
	}
	for p := r; p != nil; p = p.parent {
		if p.fk == fk {
			return nil, "the foreign keys go round in a circle"
		}
	}
	for _, k := range kin(fk.child) {
		if k.rls { // cascades take no notice of it
			return nil, fmt.Sprintf("%s has row-level security, which may hide some of them", k)
		}
	}
	c := &rowSet{table: fk.child, alias: fmt.Sprintf("c%d", n), parent: r, after: r.after, fk: fk}
	c.from = fk.child.quoted() + " AS " + c.alias
	list := func(alias string, names []string) string {
		var out []string
		for _, name := range names {
			out = append(out, alias+"."+quoteIdent(name))
		}
		return strings.Join(out, ", ")
	}
	parents := fmt.Sprintf("SELECT %s FROM %s WHERE %s", list(r.alias, fk.refCols), r.from, r.condition())
	if tree {
		c.tree = fk
		var ks []string
		for i := range fk.cols {
			ks = append(ks, fmt.Sprintf("k%d", i+1))
		}
		parents = fmt.Sprintf("WITH RECURSIVE down (%s) AS (%s UNION SELECT %s FROM %s AS n JOIN down ON (%s) = (%s)) SELECT %s FROM down", strings.Join(ks, ", "), parents,
			list("n", fk.refCols), fk.child.quoted(), list("n", fk.cols), list("down", ks), strings.Join(ks, ", "))
	}
	c.where = fmt.Sprintf("(%s) IN (%s)", list(c.alias, fk.cols), parents)
	return c, ""
}

// finish gives a lookup its SQL, with parameters of its own.
func (l *lookup) finish(text string) bool {
	tree, err := parseSQL(text)
	if err != nil {
		return false
	}
	ok := true
	l.args = nil
	walk(tree.GetStmts()[0].GetStmt(), func(m protoMessage) bool {
		p, is := m.(*pg.ParamRef)
		if !is {
			return true
		}
		n := int(p.GetNumber()) - 1
		ok = ok && n < boundFrom
		i := slices.Index(l.args, n)
		if i < 0 {
			i = len(l.args)
			l.args = append(l.args, n)
		}
		p.Number = int32(i + 1)
		return true
	})
	if !ok {
		return false
	}
	l.sql, err = deparse(tree.GetStmts()[0].GetStmt())
	return err == nil
}

// locking returns the lookup that locks some rows, after those of the rows above
// them, and registers it.
func (d *deriver) locking(r *rowSet) *lookup {
	for _, l := range d.w.lookups {
		if l.rows == r {
			return l
		}
	}
	if r.parent != nil && d.locking(r.parent) == nil {
		return nil
	}
	l := &lookup{rows: r, after: r.after, bound: r.parent == nil && !r.after, tree: r.tree != nil}
	if !d.write(l) {
		return nil
	}
	d.w.lookups = append(d.w.lookups, l)
	return l
}

// write makes the SQL of a lookup that locks rows.
func (d *deriver) write(l *lookup) bool {
	var cols []string
	if l.tree { // by which a row is known from one run to the next
		cols = append(cols, fmt.Sprintf("ROW(%s.tableoid, %s.ctid)::text", l.rows.alias, l.rows.alias))
	}
	for _, c := range l.cols {
		cols = append(cols, l.rows.alias+"."+quoteIdent(c))
	}
	if len(cols) == 0 {
		cols = []string{"1"}
	}
	return l.finish(fmt.Sprintf("SELECT %s FROM %s WHERE %s FOR UPDATE OF %s", strings.Join(cols, ", "), l.rows.from, l.rows.condition(), l.rows.alias))
}

// column returns the value of a column of the rows that a cascade reaches.
func (d *deriver) column(c *change, col string) (value, bool) {
	if c.rows == nil || c.table.col(col) == nil {
		return value{}, false
	}
	l := d.locking(c.rows)
	if l == nil {
		return value{}, false
	}
	i := slices.Index(l.cols, col)
	if i < 0 {
		i = len(l.cols)
		l.cols = append(l.cols, col)
		if !d.write(l) {
			return value{}, false
		}
	}
	return value{kind: ofLook, n: i, look: l}, true
}

// lookUp makes the key of a mapping for rows that a cascade reaches, before or
// after the change.
func (d *deriver) lookUp(c *change, m *mapping, vals map[string][]value, after bool) *keyTuple {
	if c.rows == nil || c.rows.parent == nil {
		return nil // for the rows that a statement names itself there is RETURNING
	}
	t := &keyTuple{g: m.read.g, from: "a lookup"}
	for k, alts := range m.cols {
		if best, ok := d.pick(m.read.g, k, alts, vals); ok && best.kind != ofOut && best.kind != ofLook {
			t.parts = append(t.parts, best)
			continue
		}
		i := slices.IndexFunc(alts, func(col string) bool { return !after || !c.sets[col] })
		if i < 0 {
			return nil
		}
		v, ok := d.column(c, alts[i])
		if !ok {
			return nil
		}
		t.parts = append(t.parts, v)
	}
	return t
}

// via derives the keys of a read that reads the changed rows through a table which
// doesn't chain to its key, by the query of its @via line.
func (d *deriver) via(c *change, m *mapping) {
	v := m.via
	add := func(rel string, after bool) bool {
		var l *lookup
		for i, step := range v.steps {
			l = &lookup{after: after, fresh: v.latest}
			if i == len(v.steps)-1 {
				l.cols = v.names
			}
			if !l.finish(fmt.Sprintf("SELECT found.* FROM (%s) AS %s CROSS JOIN LATERAL (%s) AS found", rel, quoteIdent(v.alias), step)) {
				return false
			}
			for _, o := range d.w.lookups {
				if o.sql == l.sql && slices.Equal(o.args, l.args) && o.after == l.after {
					l = o
				}
			}
			if !slices.Contains(d.w.lookups, l) {
				d.w.lookups = append(d.w.lookups, l)
			}
		}
		t := &keyTuple{g: m.read.g, from: "@via " + v.table.String()}
		for k := range m.read.keys {
			t.parts = append(t.parts, value{kind: ofLook, n: k, look: l})
		}
		d.add(t)
		return true
	}
	// by looks up from values that are known from the arguments.
	by := func(vals map[string][]value, after bool) (missing string) {
		tuples, missing := v.start(vals)
		for _, t := range tuples {
			if missing == "" && (d.w.q.cmd == ":copyfrom" || d.w.q.batch() || !add(v.startRow(c.table, t), after)) {
				missing = v.refs[0]
			}
		}
		return missing
	}
	known := c.old != nil && !c.insert && !v.referred && by(c.old, false) == ""
	if known {
		// The rows may have come in between, with what they refer to. Both times, so as to lock in the order of the foreign keys.
		by(c.old, true)
	}
	if c.old != nil && !c.insert && !known {
		rows := c.rows
		switch {
		case rows == nil:
			d.noVia(c, m, "its condition looks at other tables, or it isn't the outermost statement, so that the rows can't be locked beforehand")
			return
		case rows.after && slices.ContainsFunc(v.refs, func(col string) bool { return c.sets[col] }):
			d.noVia(c, m, "it sets a column that @via starts from")
			return
		case d.locking(rows) == nil:
			d.noVia(c, m, "the rows can't be locked beforehand")
			return
		}
		var cols []string
		for _, col := range v.refs {
			cols = append(cols, rows.alias+"."+quoteIdent(col))
		}
		if !add(fmt.Sprintf("SELECT %s FROM %s WHERE %s", strings.Join(cols, ", "), rows.from, rows.condition()), rows.after) {
			d.noVia(c, m, "its lookup can't be written")
			return
		}
	}
	if c.new == nil || c.insert && v.children || !c.insert && !slices.ContainsFunc(v.refs, func(col string) bool { return c.sets[col] }) {
		return // the rows of before are those of after; or the row is new, and nothing refers to it yet
	}
	// What the new row refers to may have come while the statement waited for it. Afterwards its foreign keys hold it.
	if col := by(c.new, true); col != "" {
		why := fmt.Sprintf("%s of the new row isn't known from its parameters", col)
		if d.w.q.cmd == ":copyfrom" || d.w.q.batch() {
			why = d.w.q.cmd + " has many rows, and each would need a lookup"
		}
		d.noVia(c, m, why)
	}
}

// start lists what the columns that @via starts from are known to be from the
// arguments, or names one that isn't known.
func (v *viaQuery) start(vals map[string][]value) (tuples [][]value, missing string) {
	tuples = [][]value{nil}
	for _, col := range v.refs {
		best, ok := value{}, false
		for _, val := range vals[col] {
			if (val.isArg() || val.kind == isNull) && (!ok || val.exact() && !best.exact()) {
				best, ok = val, true
			}
		}
		if !ok {
			return nil, col
		}
		some := []value{best}
		if best.kind == ofSome {
			some = best.some
		}
		var next [][]value
		for _, t := range tuples {
			for _, one := range some {
				next = append(next, append(slices.Clone(t), one))
			}
		}
		tuples = next
	}
	return tuples, ""
}

// startRow writes a SELECT of known values under the names of the columns that
// @via starts from.
func (v *viaQuery) startRow(t *table, vals []value) string {
	var cols, lists []string
	for i, val := range vals {
		typ := quoteType(t.col(v.refs[i]).typ)
		text := "NULL::" + typ
		switch val.kind {
		case ofConst:
			text = "'" + strings.ReplaceAll(val.text, "'", "''") + "'::" + typ
		case ofArg:
			text = fmt.Sprintf("$%d::%s", val.n+1, typ)
		case ofList:
			// Each element of one list may stand beside each of another.
			text = fmt.Sprintf("l%d.e", len(lists)+1)
			lists = append(lists, fmt.Sprintf("unnest($%d::%s[]) AS l%d (e)", val.n+1, typ, len(lists)+1))
		}
		cols = append(cols, text+" AS "+quoteIdent(v.refs[i]))
	}
	row := "SELECT " + strings.Join(cols, ", ")
	if len(lists) > 0 {
		row += " FROM " + strings.Join(lists, " CROSS JOIN ")
	}
	return row
}

func (d *deriver) noVia(c *change, m *mapping, why string) {
	d.fail(m.read.g, &Finding{
		Pos: d.w.q.at(c.loc), Read: m.read.q.name, ReadAt: m.read.q.pos, Path: c.way(),
		Msg: fmt.Sprintf("%s %s rows of %s%s, which %s reads (%s) by @via: its entries in group %s would go stale", d.w.q.name, c.kind, c.table, c.via,
			m.read.q.name, m.read.q.pos, m.read.g),
		Why: why,
		Mend: []string{
			fmt.Sprintf("make it a statement on %s alone, whose WHERE looks at its own columns", c.table),
			fmt.Sprintf("-- @invalidates %s(…) with the parameter or result column that tells the key", m.read.g.name),
			fmt.Sprintf(`-- @invalidates none(%s) "why it stays as it is"`, m.read.g.name),
		},
	})
}
