package gen

import (
	"fmt"
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// viaQuery is "@via table: SELECT …": it finds the keys of a changed row of a
// table that a read joins and that doesn't chain to its key. The row is spoken of
// by the table's name.
//
// It is only right if no row can come to stand between the changed one and the
// key after it has looked, and before the write has committed. So every table of
// it must be tied to the changed row, or to a table that is, by a foreign key: a
// row that others refer to is locked against new references (FOR UPDATE), and the
// others against change (FOR SHARE). Under its locks a run sees all rows of one
// table more, hence a step for each table, which looks no further (protocol
// 4.11.11): a row that has nothing below it yet is locked all the same. The
// foreign keys are all that a step compares. A row that didn't meet some other
// condition would be free to meet it later.
type viaQuery struct {
	pos      Position
	table    *table
	alias    string
	sql      string   // the last step; "" while it can't be used
	steps    []string // with their locks; the last selects k1, k2, …
	names    []string // k1, k2, …
	refs     []string // the columns of the changed row that it starts from
	ties     []viaTie // one for each table, in the order of the steps
	outs     []viaColumn
	latest   bool     // it looks for rows that refer to others, and must see all that have been committed
	used     bool     // a table needs it
	tied     []string // the chains of its table where it is tied to the key by itself
	children bool     // it starts with rows that refer to the changed one: a new row has none
	referred bool     // some rows of it refer to the changed one, which has to be locked against more of them
}

// viaTie is a foreign key by which a table of @via is tied to one before it.
type viaTie struct {
	occ, to     *occurrence
	at          int // which tie brought "to"; -1: it is the changed row
	child       bool
	cols, other []string // of occ, and those of "to" that equal them
}

// viaColumn is a column of what a tie brings.
type viaColumn struct {
	at  int
	col string
}

const viaForm = "-- @via table: SELECT key FROM … WHERE … = table.column"

// viaQueries reads the @via lines of a read.
func (p *project) viaQueries(r *cachedRead) map[*table]*viaQuery {
	out := map[*table]*viaQuery{}
	for _, n := range r.q.notes.via {
		schemaName, name, ok := strings.Cut(n.table, ".")
		if !ok {
			schemaName, name = "", n.table
		}
		t, why := p.schema.find(schemaName, name)
		if t == nil {
			p.fail(n.pos, fmt.Sprintf("@via %s on %s", n.table, r.q.name), why, "name a table that the query reads")
			continue
		}
		if !slices.ContainsFunc(r.an.occs, func(o *occurrence) bool { return o.table == t }) {
			p.fail(n.pos, fmt.Sprintf("@via %s: %s doesn't read it", n.table, r.q.name), "", "remove it; the query reads "+r.an.tableList())
			continue
		}
		if out[t] != nil {
			p.fail(n.pos, fmt.Sprintf("a second @via for %s on one query; the first is at %s", t, out[t].pos), "", "keep one of the two lines")
			continue
		}
		v := &viaQuery{pos: n.pos, table: t, alias: name}
		if why, mend := p.readVia(r, v, n.sql); why != "" {
			p.fail(n.pos, fmt.Sprintf("@via %s on %s", n.table, r.q.name), why, mend...)
		}
		out[t] = v
	}
	return out
}

// readVia checks the query of a @via line, and gives it its locks. It says why it
// can't be used.
func (p *project) readVia(r *cachedRead, v *viaQuery, text string) (why string, mend []string) {
	tree, err := parseSQL(text)
	if err != nil {
		return "its query can't be parsed: " + err.Error(), []string{viaForm}
	}
	if len(tree.GetStmts()) != 1 || tree.GetStmts()[0].GetStmt().GetSelectStmt() == nil {
		return "it is not one SELECT", []string{viaForm}
	}
	sel := tree.GetStmts()[0].GetStmt().GetSelectStmt()
	if sel.GetOp() != pg.SetOperation_SETOP_NONE || sel.GetWithClause() != nil || len(sel.GetDistinctClause()) > 0 || len(sel.GetGroupClause()) > 0 ||
		sel.GetHavingClause() != nil || sel.GetLimitCount() != nil || sel.GetLimitOffset() != nil || len(sel.GetFromClause()) == 0 ||
		len(sel.GetLockingClause()) > 0 || hasAggregate(sel.GetTargetList()) || hasWindow(sel) {
		return "its query locks the rows that it reads, and needs to be a plain SELECT of columns FROM tables WHERE …", []string{viaForm}
	}
	a := newAnalysis(p.schema)
	outer := &scope{merged: map[string]place{}}
	row := a.rangeVar(outer, &pg.RangeVar{Schemaname: v.table.schema, Relname: v.table.name, Alias: &pg.Alias{Aliasname: v.alias}}, nil)
	before := len(a.occs)
	sc, outs := a.selectStmt(sel, &scope{parent: outer, lexical: outer}, nil, false)
	a.countParams(sel)
	switch {
	case len(a.refused) > 0:
		return a.refused[0].why, a.refused[0].mend
	case len(a.params) > 0:
		return "its query has parameters: it knows the changed row alone", []string{viaForm}
	case len(outs) != len(r.keys):
		return fmt.Sprintf("its query selects %d columns, and group %s has %d key parts", len(outs), r.g, len(r.keys)),
			[]string{"select " + strings.Join(r.note.params, ", ")}
	case len(sc.items) != len(a.occs)-before || slices.ContainsFunc(a.occs[before:], func(o *occurrence) bool { return o.scope != sc || len(o.guards) > 0 }):
		return "its query reads more than tables and inner joins", []string{viaForm}
	}
	for k, o := range outs {
		class := a.classOf(o.at)
		if class == "" || o.at.occ == row || !slices.Contains(holders(class), family(deref(r.g.keyTypes[k]))) {
			return fmt.Sprintf("its column %d is not a column from which a key of type %s is made", k+1, typeString(r.g.keyTypes[k])),
				[]string{"select the columns that stand for " + strings.Join(r.note.params, ", ")}
		}
	}
	compared := a.columnsCompared(sc, sel.GetWhereClause())
	walk(sel, func(m protoMessage) bool {
		j, ok := m.(*pg.JoinExpr)
		compared = compared && (!ok || a.columnsCompared(sc, j.GetQuals()))
		return true
	})
	if !compared {
		return "its condition does more than compare columns: a row that doesn't meet it yet could come to meet it while the write is on its way",
			[]string{"leave out the rest: it may find keys that the write doesn't change"}
	}
	if why, mend := v.tie(a, row, a.occs[before:]); why != "" {
		return why, mend
	}
	for _, o := range outs {
		v.outs = append(v.outs, viaColumn{slices.IndexFunc(v.ties, func(t viaTie) bool { return t.occ == o.at.occ }), o.at.col})
	}
	if err := v.write(); err != nil {
		return "its query can't be written anew: " + err.Error(), []string{viaForm}
	}
	return "", nil
}

// write makes the steps.
func (v *viaQuery) write() error {
	column := func(o *occurrence, col string) string { return quoteIdent(o.alias) + "." + quoteIdent(col) }
	var from, where []string
	for i, t := range v.ties {
		from = append(from, t.occ.table.quoted()+" AS "+quoteIdent(t.occ.alias))
		for k, col := range t.cols {
			where = append(where, column(t.occ, col)+" = "+column(t.to, t.other[k]))
			if t.at < 0 && !slices.Contains(v.refs, t.other[k]) {
				v.refs = append(v.refs, t.other[k])
			}
		}
		list, strength := []string{"1"}, "SHARE"
		if i == len(v.ties)-1 {
			list = nil
			for k, o := range v.outs {
				v.names = append(v.names, fmt.Sprintf("k%d", k+1))
				list = append(list, column(v.ties[o.at].occ, o.col)+" AS "+v.names[k])
			}
		}
		if slices.ContainsFunc(v.ties, func(o viaTie) bool { return o.at == i && o.child }) {
			strength = "UPDATE"
		}
		tree, err := parseSQL(fmt.Sprintf("SELECT %s FROM %s WHERE %s FOR %s OF %s", strings.Join(list, ", "), strings.Join(from, ", "),
			strings.Join(where, " AND "), strength, quoteIdent(t.occ.alias)))
		if err != nil {
			return err
		}
		step, err := deparse(tree.GetStmts()[0].GetStmt())
		if err != nil {
			return err
		}
		v.steps = append(v.steps, step)
	}
	v.sql = v.steps[len(v.steps)-1]
	return nil
}

// columnsCompared reports whether a condition does nothing but compare columns.
func (a *analysis) columnsCompared(sc *scope, n *pg.Node) bool {
	isColumn := func(n *pg.Node) bool { return n.GetColumnRef() != nil && a.operand(sc, n).at.occ != nil }
	return !slices.ContainsFunc(conjuncts(n), func(c *pg.Node) bool {
		e := c.GetAExpr()
		if e == nil || e.GetKind() != pg.A_Expr_Kind_AEXPR_OP || !isEquals(e.GetName()) {
			return true
		}
		l, r := []*pg.Node{e.GetLexpr()}, []*pg.Node{e.GetRexpr()}
		if e.GetLexpr().GetRowExpr() != nil && e.GetRexpr().GetRowExpr() != nil {
			l, r = e.GetLexpr().GetRowExpr().GetArgs(), e.GetRexpr().GetRowExpr().GetArgs()
		}
		return slices.ContainsFunc(slices.Concat(l, r), func(n *pg.Node) bool { return !isColumn(n) })
	})
}

// tie ties each table of the query to the changed row by foreign keys.
func (v *viaQuery) tie(a *analysis, row *occurrence, occs []*occurrence) (why string, mend []string) {
	v.children = true
	found := func(o *occurrence) bool {
		return slices.ContainsFunc(v.ties, func(t viaTie) bool { return t.occ == o })
	}
	next := func() {
		for _, o := range occs {
			if found(o) {
				continue
			}
			for i := -1; i < len(v.ties); i++ {
				to := row
				if i >= 0 {
					to = v.ties[i].occ
				}
				t := viaTie{occ: o, to: to, at: i}
				if fk := refers(a, to, o); fk != nil {
					t.cols, t.other = fk.refCols, fk.cols
					v.children = v.children && i >= 0
				} else if fk := refers(a, o, to); fk != nil {
					t.cols, t.other, t.child, v.latest = fk.cols, fk.refCols, true, true
					v.children = v.children && (i >= 0 || !fk.notValid)
					v.referred = v.referred || i < 0
				} else {
					continue
				}
				v.ties = append(v.ties, t)
				return
			}
		}
	}
	for range occs {
		next()
	}
	for _, o := range occs {
		switch {
		case !found(o):
			return fmt.Sprintf("no foreign key ties %s to %s or to a table that is tied to it: a row of it could come while the write is on its way", o.table, v.table),
				[]string{fmt.Sprintf("compare the columns of a foreign key: … REFERENCES %s", v.table), "-- @stale-ok " + v.table.String()}
		case o.alias == row.alias:
			return fmt.Sprintf("it calls another row %s, which is the changed one", o.alias), []string{"give it another alias"}
		}
	}
	return "", nil
}

// refers returns a foreign key of x's table by which the query ties x to y. One of
// a table that others inherit from says nothing of the rows of these.
func refers(a *analysis, x, y *occurrence) *foreignKey {
	i := slices.IndexFunc(x.table.fks, func(fk *foreignKey) bool {
		if fk.refTable != y.table || fk.deferrable || len(fk.refCols) != len(fk.cols) || len(fk.cols) == 0 || x.table.inherited || y.table.inherited {
			return false
		}
		for i := range fk.cols {
			_, xy := a.reach(x, fk.cols[i])[place{y, fk.refCols[i]}]
			_, yx := a.reach(y, fk.refCols[i])[place{x, fk.cols[i]}]
			if !xy && !yx {
				return false
			}
		}
		return true
	})
	if i < 0 {
		return nil
	}
	return x.table.fks[i]
}

// follows reports whether a read ties one of its tables to the key by all that
// the query compares, so that the query finds each key under which a row of that
// table is shown. target is where the parts of the key stand.
func (v *viaQuery) follows(a *analysis, o *occurrence, target []place) bool {
	at := func(as []*occurrence, i int) *occurrence {
		if i < 0 {
			return o
		}
		return as[i]
	}
	var try func(as []*occurrence) bool
	try = func(as []*occurrence) bool {
		if len(as) == len(v.ties) {
			for k, out := range v.outs {
				if _, ok := a.reach(at(as, out.at), out.col)[target[k]]; !ok {
					return false
				}
			}
			return true
		}
		t := v.ties[len(as)]
		return slices.ContainsFunc(a.occs, func(p *occurrence) bool {
			ok := p.table == t.occ.table
			for k, col := range t.cols {
				if ok {
					_, ok = a.reach(at(as, t.at), t.other[k])[place{p, col}]
				}
			}
			return ok && try(append(slices.Clone(as), p))
		})
	}
	return try(nil)
}
