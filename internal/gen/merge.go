package gen

import (
	"fmt"
	"slices"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// merge lists the changes of a MERGE: one for each of its branches.
func (d *deriver) merge(n *pg.Node, rel *pg.RangeVar, t *table, top bool, shown sink) []*change {
	s := n.GetMergeStmt()
	if top || shown != nil {
		d.single = false
	}
	// What the ON clause says holds only for rows that match.
	matched, target := d.targetScope(rel, []*pg.Node{s.GetSourceRelation()}, s.GetJoinCondition(), s.GetWithClause())
	alone, loner := d.targetScope(rel, nil, nil, nil)
	source := d.analysis()
	from := &scope{merged: map[string]place{}, env: source.with(s.GetWithClause(), d.env)}
	source.from(from, s.GetSourceRelation(), nil)
	source.top = from

	var out []*change
	for _, w := range s.GetMergeWhenClauses() {
		when := w.GetMergeWhenClause()
		a, row := matched, target
		if when.GetMatchKind() == pg.MergeMatchKind_MERGE_WHEN_NOT_MATCHED_BY_SOURCE {
			a, row = alone, loner
		}
		c := &change{table: t, loc: target.loc, notes: []note{{text: "what it returns doesn't tell which branch a row took"}}}
		switch when.GetCommandType() {
		case pg.CmdType_CMD_DELETE:
			c.kind, c.old = "deletes", map[string][]value{}
			for _, col := range t.cols {
				c.old[col.name] = a.known(row, col.name)
			}
		case pg.CmdType_CMD_UPDATE:
			c.kind, c.old, c.new, c.sets = "changes", map[string][]value{}, map[string][]value{}, map[string]bool{}
			sets := d.assignments(a, t, row.alias, when.GetTargetList(), nil)
			c.named = targets(when.GetTargetList())
			for col := range sets {
				c.sets[col] = true
			}
			d.rewrite(c)
			for _, col := range t.cols {
				c.old[col.name] = a.known(row, col.name)
				switch {
				case !c.sets[col.name]:
					c.new[col.name] = c.old[col.name]
				case !c.rewritten[col.name]:
					c.new[col.name] = sets[col.name]
				}
			}
		case pg.CmdType_CMD_INSERT:
			c.kind, c.insert, c.new, c.byDB = "inserts", true, map[string][]value{}, map[string]bool{}
			d.rewrite(c)
			d.mergeInsert(c, when, source)
		default: // DO NOTHING
			continue
		}
		out = append(out, c)
	}
	if len(s.GetReturningList()) > 0 {
		d.keep(n, nil, d.returning(matched, s.GetReturningList(), nil), nil, nil) // of whichever branch
	}
	return out
}

func (d *deriver) mergeInsert(c *change, when *pg.MergeWhenClause, source *analysis) {
	t := c.table
	var cols []*column
	for _, n := range when.GetTargetList() {
		cols = append(cols, t.col(n.GetResTarget().GetName()))
	}
	given := map[string]bool{}
	if len(when.GetTargetList()) == 0 && !d.throughView {
		cols = t.cols
	} else if len(when.GetTargetList()) == 0 && len(when.GetValues()) > 0 {
		for _, col := range t.cols { // a view has them in an order of its own
			given[col.name] = true
		}
	}
	for i, col := range cols {
		if i >= len(when.GetValues()) {
			break
		}
		if col == nil {
			continue
		}
		given[col.name] = true
		n := when.GetValues()[i]
		switch {
		case c.rewritten[col.name], col.identity && when.GetOverride() == pg.OverridingKind_OVERRIDING_USER_VALUE,
			n.GetSetToDefault() != nil && len(d.defaultOf(source, col)) == 0:
			c.byDB[col.name] = true
		default:
			c.new[col.name] = d.assigned(source, source.top, col, n)
		}
	}
	for _, col := range t.cols {
		if given[col.name] {
			continue
		}
		if vals := d.defaultOf(source, col); vals != nil && !c.rewritten[col.name] {
			c.new[col.name] = vals
		} else {
			c.byDB[col.name] = true
		}
	}
}

// truncate voids the groups that read a table which TRUNCATE empties. It locks
// the table until it commits, so that nobody fills an entry meanwhile.
func (d *deriver) truncate(s *pg.TruncateStmt) {
	var all []*table
	for _, r := range s.GetRelations() {
		t, _ := d.target(r.GetRangeVar())
		if t == nil {
			continue
		}
		all = append(all, t)
	}
	for i := 0; i < len(all); i++ {
		next := kin(all[i])
		if s.GetBehavior() == pg.DropBehavior_DROP_CASCADE {
			for _, fk := range d.p.schema.children(all[i]) {
				next = append(next, fk.child)
			}
		}
		for _, t := range next {
			if !slices.Contains(all, t) {
				all = append(all, t)
			}
		}
	}
	for _, t := range all {
		if !slices.Contains(d.w.tables, t.String()) {
			d.w.tables = append(d.w.tables, t.String())
		}
		for _, tr := range t.triggers {
			if e := d.p.schema.effectsOf(tr); tr.trunc && (e.opaque != "" || len(e.stmts) > 0) {
				d.all(fmt.Sprintf("truncates %s, which has %s %s (%s)", t, tr.what, tr.name, tr.pos), e.opaque)
			}
		}
		for _, r := range d.p.reads {
			if d.ruledOut(r.g.name) || !slices.ContainsFunc(r.maps, func(m *mapping) bool { return m.table == t }) {
				continue
			}
			d.voidAll(r.g, "TRUNCATE")
		}
	}
}

// voidAll voids every key of a group.
func (d *deriver) voidAll(g *group, from string) {
	if !slices.Contains(d.w.whole, g) {
		d.w.whole = append(d.w.whole, g)
		d.w.keys = append(d.w.keys, &keyTuple{g: g, from: from, whole: true})
	}
}
