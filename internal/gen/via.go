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
// others against change (FOR SHARE). What is locked while it runs is complete for
// the next run only, hence a run for each table (protocol 4.11.11).
type viaQuery struct {
	pos      Position
	table    *table
	alias    string
	sql      string   // with its locks; it selects k1, k2, …
	names    []string // k1, k2, …
	refs     []string // the columns of the changed row that it starts from
	times    int
	used     bool     // a table needs it
	tied     []string // the chains of its table where it is tied to the key by itself
	children bool     // it starts with rows that refer to the changed one: a new row has none
	referred bool     // some rows of it refer to the changed one, which has to be locked against more of them
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
	if why, mend := v.tie(p.schema, a, row, sel, a.occs[before:]); why != "" {
		return why, mend
	}
	walk(sel, func(m protoMessage) bool {
		if c, ok := m.(*pg.ColumnRef); ok {
			parts, _ := columnPath(c)
			if at, ok := a.resolve(sc, parts); ok && at.occ == row && !slices.Contains(v.refs, at.col) {
				v.refs = append(v.refs, at.col)
			}
		}
		return true
	})
	for i, n := range sel.GetTargetList() {
		name := fmt.Sprintf("k%d", i+1)
		n.GetResTarget().Name = name
		v.names = append(v.names, name)
	}
	if v.sql, err = deparse(tree.GetStmts()[0].GetStmt()); err != nil {
		return "its query can't be written anew: " + err.Error(), []string{viaForm}
	}
	return "", nil
}

// tie ties each table of the query to the changed row by foreign keys, and adds
// the locks.
func (v *viaQuery) tie(s *schema, a *analysis, row *occurrence, sel *pg.SelectStmt, occs []*occurrence) (why string, mend []string) {
	update, tied := map[*occurrence]bool{}, []*occurrence{row}
	v.children = true
	for len(tied) <= len(occs) {
		progress := false
		for _, o := range occs {
			if slices.Contains(tied, o) {
				continue
			}
			for _, t := range tied {
				child, parent := refers(a, o, t), refers(a, t, o)
				if !child && !parent {
					continue
				}
				if child { // rows that refer to t: no others may come
					update[t] = true
				}
				v.children = v.children && (t != row || child && !parent)
				tied, progress = append(tied, o), true
				break
			}
		}
		if !progress {
			break
		}
	}
	for _, o := range occs {
		if !slices.Contains(tied, o) {
			return fmt.Sprintf("no foreign key ties %s to %s or to a table that is tied to it: a row of it could come while the write is on its way", o.table, v.table),
				[]string{fmt.Sprintf("compare the columns of a foreign key: … REFERENCES %s", v.table), "-- @stale-ok " + v.table.String()}
		}
	}
	v.referred = update[row]
	lock := func(strength pg.LockClauseStrength, with func(*occurrence) bool) {
		l := &pg.LockingClause{Strength: strength, WaitPolicy: pg.LockWaitPolicy_LockWaitBlock}
		for _, o := range occs {
			if with(o) {
				l.LockedRels = append(l.LockedRels, pg.MakeSimpleRangeVarNode(o.alias, 0))
			}
		}
		if len(l.LockedRels) > 0 {
			sel.LockingClause = append(sel.LockingClause, &pg.Node{Node: &pg.Node_LockingClause{LockingClause: l}})
		}
	}
	lock(pg.LockClauseStrength_LCS_FORUPDATE, func(o *occurrence) bool { return update[o] })
	lock(pg.LockClauseStrength_LCS_FORSHARE, func(o *occurrence) bool { return !update[o] })
	v.times = len(occs)
	return "", nil
}

// refers reports whether the query ties x to y by a foreign key of x's table.
func refers(a *analysis, x, y *occurrence) bool {
	return slices.ContainsFunc(x.table.fks, func(fk *foreignKey) bool {
		if fk.refTable != y.table || fk.deferrable || len(fk.refCols) != len(fk.cols) {
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
}
