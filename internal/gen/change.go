package gen

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// change is what a statement, or a cascade of it, does to the rows of a table.
type change struct {
	table     *table
	kind      string             // "inserts", "changes", "deletes"
	old       map[string][]value // columns whose value before is known
	new       map[string][]value // columns whose value after is known
	sets      map[string]bool    // columns that change; nil: all
	named     map[string]bool    // columns that SET names, even those that stay, for triggers
	byDB      map[string]bool    // columns of an inserted row that a default fills
	via       string             // the foreign keys that lead here
	path      []string           // the tables on the way here, with this one
	parent    *table             // whose change leads here
	notes     []note             // why a value isn't known
	insert    bool               // the row is new
	upsert    bool               // the row is one that ON CONFLICT found
	conflicts bool               // ON CONFLICT: the row may not come, though triggers have run for it
	inner     bool               // the statement stands in a WITH clause
	never     bool               // no row can meet its condition
	called    bool               // a trigger or a function runs the statement
	loc       int                // where the statement names the table

	rewritten map[string]bool // columns that a trigger assigns, or that follow from these
	rows      *rowSet         // the rows, for lookups; nil where they can't be selected
}

// note says why a value isn't known: of one column, or of all.
type note struct{ col, text string }

// change derives the keys that a change invalidates, and follows its cascades.
func (d *deriver) change(c *change) {
	id := c.String()
	if d.seen[id] {
		return
	}
	d.seen[id] = true
	d.here = c.loc
	defer func() { d.here = 0 }()
	d.triggers(c)
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

// kin lists a table and those that share rows with it: those it inherits from or
// is a partition of, its own heirs and partitions, and what else these inherit from.
func kin(t *table) []*table {
	above := t.related(func(t *table) []*table { return t.parents })
	all := slices.Concat(above, t.below())
	for _, heir := range t.below() {
		all = append(all, heir.related(func(t *table) []*table { return t.parents })...)
	}
	var out []*table
	for _, t := range all {
		if !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

// below lists a table, its heirs and partitions, and theirs.
func (t *table) below() []*table {
	return t.related(func(t *table) []*table { return t.heirs })
}

func (t *table) related(next func(*table) []*table) []*table {
	all := []*table{t}
	for i := 0; i < len(all); i++ {
		for _, r := range next(all[i]) {
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
	if c.rows != nil {
		fmt.Fprintf(&b, "|%s|%s", c.rows.from, c.rows.where)
	}
	fmt.Fprintf(&b, "|%v|%v", sortedKeys(c.named), c.conflicts) // for triggers
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

// moves reports whether an update may take a row to another partition, which it
// leaves and comes to by a DELETE and an INSERT.
func (c *change) moves() bool {
	return c.kind == "changes" && slices.ContainsFunc(kin(c.table), func(t *table) bool {
		return slices.ContainsFunc(t.partedBy, func(col string) bool { return c.sets[col] || c.named[col] })
	})
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

// way lists the tables from the one that the statement names to that of the change.
func (c *change) way() []string {
	if len(c.path) == 0 {
		return []string{c.table.String()}
	}
	return slices.Clone(c.path)
}

// touches reports whether the change can alter what the read says: any new or
// deleted row can; an update only if it changes a column that the read uses.
func (c *change) touches(m *mapping) bool {
	if c.sets == nil || m.occ.refAll {
		return true
	}
	if m.table != c.table && slices.Contains(c.table.below(), m.table) {
		return true // the row may move to another partition
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
	if m.via != nil {
		d.via(c, m)
		return
	}
	for _, side := range []struct {
		name string
		vals map[string][]value
	}{{"before", c.old}, {"after", c.new}} {
		if side.vals == nil || m.excludes(c.table, side.vals) {
			continue
		}
		tuple := &keyTuple{g: m.read.g}
		if c.called {
			tuple.from = strings.TrimPrefix(c.via, " by ")
		}
		// Parts that come from the result must stand in one row of it.
		rows := []int{0}
		for _, vs := range side.vals {
			for _, v := range vs {
				rows = append(rows, v.outRows()...)
			}
		}
		slices.Sort(rows)
		var missing []string
		void := false
		for _, row := range slices.Compact(rows) {
			tuple.parts, missing, void = nil, nil, false
			for k, alts := range m.cols {
				best, ok := d.pickIn(row, m.read.g, k, alts, side.vals)
				if !ok {
					missing = append(missing, alts[0])
					continue
				}
				void = void || best.kind == isNull
				tuple.parts = append(tuple.parts, best)
			}
			if void || len(missing) == 0 {
				break
			}
		}
		if void {
			continue
		}
		if len(missing) > 0 {
			if t := d.lookUp(c, m, side.vals, side.name == "after"); t != nil {
				d.add(t)
				continue
			}
			d.unknown(c, m, missing, side.name, d.otherType(m, side.vals))
			return
		}
		d.add(tuple)
	}
}

// excludes reports whether rows with these values never meet the read's condition.
func (m *mapping) excludes(t *table, vals map[string][]value) bool {
	for col, want := range m.filters {
		for _, v := range vals[col] {
			class := t.col(col) != nil && t.col(col).typ == "bool"
			if v.kind == isNull || v.kind == ofConst && v.text != want && (!class || v.text == "true" || v.text == "false") {
				return true
			}
		}
	}
	return false
}

// spread lists the tuples that a tuple with candidates stands for.
func (t *keyTuple) spread() []*keyTuple {
	for i, v := range t.parts {
		if v.kind != ofSome {
			continue
		}
		var out []*keyTuple
		for _, one := range v.some {
			if one.kind == isNull {
				continue
			}
			cp := *t
			cp.parts = slices.Clone(t.parts)
			cp.parts[i] = one
			out = append(out, cp.spread()...)
		}
		return out
	}
	return []*keyTuple{t}
}

func (d *deriver) add(t *keyTuple) {
	for i := range t.parts {
		t.parts[i] = t.parts[i].inRow(func(int) int { return 0 })
	}
	for _, t := range t.spread() {
		id := fmt.Sprintf("%s %v", t.g.name, t.parts)
		if !d.tuples[id] {
			d.tuples[id] = true
			d.w.keys = append(d.w.keys, t)
		}
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
	return d.pickIn(0, g, part, alts, vals)
}

// pickIn is pick for a key whose parts may stand in one row of the result.
func (d *deriver) pickIn(row int, g *group, part int, alts []string, vals map[string][]value) (value, bool) {
	var found []value
	for _, col := range alts {
		for _, v := range vals[col] {
			if d.usable(g, part, v) && !slices.ContainsFunc(v.outRows(), func(r int) bool { return r != row }) {
				found = append(found, v)
			}
		}
	}
	if len(found) == 0 {
		return value{}, false
	}
	for _, v := range found { // one value is better than a list
		if v.exact() {
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
	case unknown:
		return false
	case ofSome:
		return !slices.ContainsFunc(v.some, func(o value) bool { return !d.usable(g, part, o) })
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
		if c.table.col(col) != nil && c.table.col(col).cuts && (c.insert || c.sets[col]) {
			cuts = col
			why += fmt.Sprintf("; %s may store less than it is given (%s with a length)", col, c.table.col(col).typ)
		}
	}
	if c.via != "" && !c.called && c.rows == nil {
		why += "; they can't be looked up: " + d.noRows
	}
	for _, n := range c.notes {
		if n.col == "" || slices.Contains(missing, n.col) {
			why += "; " + n.text
		}
	}
	f := &Finding{Pos: q.at(c.loc), Msg: msg, Why: why, Read: r.q.name, ReadAt: r.q.pos, Path: c.way()}
	if otherType != "" {
		f.Why += "; " + otherType
		f.Mend = append(f.Mend, "cast the parameter to the type of its column, so that sqlc gives both one type")
	}
	switch {
	case c.called:
		f.Mend = append(f.Mend, fmt.Sprintf("write the change of %s as a query of its own, in the same transaction", c.table))
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
		parent: c.table, via: fmt.Sprintf("%s by %s %s of %s (%s)", c.via, word, what, fk.name, fk.pos), loc: c.loc,
		path: append(c.way(), fk.child.String()),
	}
	if action == "c" && c.kind == "deletes" {
		child.kind, child.sets, child.new = "deletes", nil, nil
	}
	d.note(Cascade{c.table.String(), fk.child.String(), word + " " + what})
	tree := child.kind == "deletes" && fk.child == fk.refTable
	if tree && c.rows != nil && c.rows.tree == fk {
		return nil // those rows are among these
	}
	if c.rows != nil {
		if rows, why := c.rows.children(fk, len(d.seen), tree); why == "" {
			child.rows = rows
		} else {
			d.noRows = why
		}
	}
	child.called = c.called
	setCols := fk.cols
	if action != "c" && len(fk.setCols) > 0 && c.kind == "deletes" { // ON UPDATE has no such list
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
		if !tree { // the rows further down refer to others
			child.old[col] = c.old[ref]
		}
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
		d.rewrite(child)
		for col := range child.rewritten {
			child.new[col] = nil
		}
	}
	if child.kind == "deletes" || len(child.sets) > 0 {
		return child
	}
	return nil
}

func (d *deriver) note(c Cascade) {
	if !slices.Contains(d.w.cascades, c) {
		d.w.cascades = append(d.w.cascades, c)
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
