package gen

import (
	"fmt"
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxCalls bounds functions that call functions, and triggers that fire triggers.
const maxCalls = 12

// firing lists the triggers and rules that a change fires, on the table and on
// those that share its rows.
func (c *change) firing() []*trigger {
	var out []*trigger
	moves := c.moves()
	for _, t := range kin(c.table) {
		for _, tr := range t.triggers {
			if tr.fires(c) || moves && (tr.ins || tr.del) {
				out = append(out, tr)
			}
		}
	}
	return out
}

// rewrite notes the columns that BEFORE triggers assign: their values after the
// change are known from RETURNING only.
func (d *deriver) rewrite(c *change) {
	c.rewritten = map[string]bool{}
	for again := true; again; {
		again = false
		for _, tr := range c.firing() {
			if !tr.before {
				continue
			}
			e := d.p.schema.effectsOf(tr)
			for _, col := range c.table.cols {
				if (e.all || e.opaque != "" || e.sets[col.name]) && !c.rewritten[col.name] {
					c.rewritten[col.name], again = true, true
					if c.sets != nil {
						c.sets[col.name] = true
					}
				}
			}
		}
		if c.sets != nil {
			c.table.spread(c.sets)
		}
	}
	for col := range c.rewritten {
		c.notes = append(c.notes, note{col, "a trigger assigns it"})
	}
	if c.sets != nil {
		for _, col := range c.table.cols {
			if col.generated && c.sets[col.name] {
				c.rewritten[col.name] = true
			}
		}
	}
}

// triggers derives what the triggers do that a change fires.
func (d *deriver) triggers(c *change) {
	for _, tr := range c.firing() {
		e := d.p.schema.effectsOf(tr)
		what := fmt.Sprintf("%s rows of %s%s, which has %s %s (%s)", c.kind, c.table, c.via, tr.what, tr.name, tr.pos)
		if e.opaque != "" {
			d.all(what, e.opaque)
			continue
		}
		if d.depth >= maxCalls {
			d.all(what, "it fires triggers that fire triggers, without an end that pgaside could see")
			continue
		}
		for _, n := range e.stmts {
			d.within(fmt.Sprintf("%s by %s %s (%s)", c.via, tr.what, tr.name, tr.pos), c.way(), c.table, d.ofRow(n, c, tr, e))
		}
	}
}

// within derives the changes of a statement that a trigger or a function runs.
func (d *deriver) within(via string, path []string, parent *table, n *pg.Node) {
	statements, single, depth, here, env := d.statements, d.single, d.depth, d.here, d.env
	d.depth++
	d.env = nil // it knows nothing of the WITH clause around its call
	changes := d.statement(n, false, nil)
	changes = append(changes, d.calls(n)...)
	for _, c := range changes {
		if c.never {
			continue
		}
		c.via, c.parent, c.called = via+c.via, parent, true
		c.loc, c.path = here, append(slices.Clone(path), c.way()...) // its own place is in another text
		if !slices.Contains(d.w.tables, c.table.String()) {
			d.w.tables = append(d.w.tables, c.table.String())
		}
		d.change(c)
	}
	d.statements, d.single, d.depth, d.here, d.env = statements, single, depth, here, env
}

// skipping reports whether a trigger may keep the row from being changed, after
// others have done their work for it.
func (c *change) skipping(e *effects) bool {
	return e.skips || e.all || c.kind == "deletes" && strings.Contains(e.gives, "NEW") || c.insert && strings.Contains(e.gives, "OLD")
}

// seenBy lists what a trigger finds in a column of NEW or OLD, of what is known of
// the row as it is stored.
func (d *deriver) seenBy(tr *trigger, c *change, old bool, col string) []value {
	vals := c.new[col]
	if old {
		vals = c.old[col]
	}
	kept, unseen := false, c.insert && c.conflicts
	for _, o := range c.firing() {
		if e := d.p.schema.effectsOf(o); o.before {
			kept = kept || strings.Contains(e.gives, "OLD") // the row stays as it was
			unseen = unseen || c.skipping(e) || o.function == "suppress_redundant_updates_trigger"
		}
	}
	if tr.before && (unseen || !old && c.rewritten[col]) {
		// RETURNING may not show the row, and shows what the last trigger made of it.
		vals = slices.DeleteFunc(slices.Clone(vals), func(v value) bool { return v.kind == ofOut })
	}
	if tr.before && !old && c.rewritten[col] {
		return nil
	}
	if !old && kept && c.kind == "changes" && c.sets[col] {
		told := slices.DeleteFunc(slices.Clone(vals), func(v value) bool { return v.kind != ofOut })
		if len(told) > 0 && !tr.before {
			return told
		}
		return oneOf([][]value{vals, c.old[col]})
	}
	return vals
}

// ofRow puts what is known of the changed row in the place of OLD and NEW.
func (d *deriver) ofRow(n *pg.Node, c *change, tr *trigger, e *effects) *pg.Node {
	out := substitute(n, func(n *pg.Node) *pg.Node {
		parts, star := columnPath(n.GetColumnRef())
		if star || len(parts) != 2 || parts[0] != "new" && parts[0] != "old" {
			return nil
		}
		col := c.table.col(parts[1])
		if col == nil {
			return unknownNode()
		}
		if parts[0] == "old" && e.old || parts[0] == "new" && (e.all || e.sets[parts[1]]) {
			return unknownNode() // before or after the body assigns it
		}
		vals := d.seenBy(tr, c, parts[0] == "old", parts[1])
		if parts[0] == "old" && c.insert || parts[0] == "new" && c.kind == "deletes" {
			vals = []value{{kind: isNull}} // there is no such row
		}
		if len(vals) == 0 {
			return unknownNode()
		}
		return d.boundNode(vals, col.domain)
	})
	walk(out, func(m protoMessage) bool { // a transition table hides a table
		if r, ok := m.(*pg.RangeVar); ok && r.GetSchemaname() == "" && slices.Contains(tr.rows, r.GetRelname()) {
			if r.GetAlias() == nil {
				r.Alias = &pg.Alias{Aliasname: r.GetRelname()}
			}
			r.Relname = "(rows)"
		}
		return true
	})
	return out
}

// boundNode is an expression for values of a type.
func (d *deriver) boundNode(vals []value, typ string) *pg.Node {
	d.bound = append(d.bound, vals)
	return &pg.Node{Node: &pg.Node_TypeCast{TypeCast: &pg.TypeCast{
		Arg:      pg.MakeParamRefNode(int32(boundFrom+len(d.bound)), 0),
		TypeName: typeNode(typ),
	}}}
}

func typeNode(typ string) *pg.TypeName {
	t := &pg.TypeName{Typemod: -1}
	base, list := strings.CutSuffix(typ, "[]")
	for p := range strings.SplitSeq(base, ".") {
		t.Names = append(t.Names, pg.MakeStrNode(p))
	}
	if list {
		t.ArrayBounds = []*pg.Node{pg.MakeIntNode(-1)}
	}
	return t
}

// unknownNode is an expression of which nothing is known.
func unknownNode() *pg.Node {
	return pg.MakeColumnRefNode([]*pg.Node{pg.MakeStrNode("(unknown)"), pg.MakeStrNode("(unknown)")}, 0)
}

// substitute returns a copy of a statement in which the expressions for which
// with returns another one are replaced.
func substitute(n *pg.Node, with func(*pg.Node) *pg.Node) *pg.Node {
	out := proto.Clone(n).(*pg.Node)
	walk(out, func(m protoMessage) bool {
		n, ok := m.(*pg.Node)
		if !ok || n.GetColumnRef() == nil && n.GetParamRef() == nil {
			return true
		}
		if r := with(n); r != nil {
			n.Node = r.Node
			return false
		}
		return true
	})
	return out
}

// calls derives what the functions of the schema do that a statement calls: by
// name, through an operator, or in a view that it reads.
func (d *deriver) calls(n *pg.Node) []*change {
	for _, call := range d.p.schema.ownCalls(n) {
		for _, f := range d.p.schema.functions[call.name] {
			if f.volatile != "volatile" {
				d.through(f, call)
				continue
			}
			d.called = true
			if call.node != nil && d.depth == 0 {
				d.here = int(call.node.GetLocation())
			}
			e := f.effectsOf()
			what := fmt.Sprintf("calls function %s (%s)", f.name, f.pos)
			if e.opaque != "" {
				d.all(what+", which is volatile and may change any table", e.opaque, "declare the function STABLE or IMMUTABLE, if it changes nothing")
				continue
			}
			if d.depth >= maxCalls {
				d.all(what, "it calls functions that call functions, without an end that pgaside could see")
				continue
			}
			for _, s := range e.stmts {
				d.within(fmt.Sprintf(" by function %s (%s)", f.name, f.pos), nil, nil, d.p.schema.withArgs(s, f, call.node, fixed))
			}
		}
	}
	return nil
}

// through derives what the functions do that one calls which isn't volatile: it
// can't change rows by itself.
func (d *deriver) through(f *function, call call) {
	e := f.effectsOf()
	open := d.open[f]
	if e.opaque != "" || d.depth >= maxCalls || open > 1 {
		return
	}
	if open > 0 { // it calls itself, with whatever arguments
		call.node = nil
	}
	d.open[f]++
	defer func() { d.open[f]-- }()
	here := d.here
	if call.node != nil && d.depth == 0 {
		d.here = int(call.node.GetLocation())
	}
	d.depth++
	for _, s := range e.stmts {
		d.calls(d.p.schema.withArgs(s, f, call.node, fixed))
	}
	d.depth, d.here = d.depth-1, here
}

// withArgs puts the arguments of a call in the place of a function's parameters,
// those that mean the same there.
func (s *schema) withArgs(n *pg.Node, f *function, call *pg.FuncCall, same func(*pg.Node) bool) *pg.Node {
	columns := map[string]bool{} // where a name is both, a function in SQL means the column
	walk(n, func(m protoMessage) bool {
		switch m := m.(type) {
		case *pg.RangeVar:
			if t, _ := s.find(m.GetSchemaname(), m.GetRelname()); t != nil {
				for _, c := range t.cols {
					columns[c.name] = true
				}
				for _, name := range t.viewCols {
					columns[name] = true
				}
				if t.view != nil {
					for _, n := range t.view.GetTargetList() {
						columns[n.GetResTarget().GetName()] = true
					}
				}
			}
		case *pg.ResTarget: // a column of a sub-select
			columns[m.GetName()] = true
		case *pg.Alias: // of a function in FROM, it names its column as well
			columns[m.GetAliasname()] = true
			for _, name := range names(m.GetColnames()) {
				columns[name] = true
			}
		case *pg.CommonTableExpr:
			for _, name := range names(m.GetAliascolnames()) {
				columns[name] = true
			}
		}
		return true
	})
	if f.language == "plpgsql" && !f.settings { // there it would be ambiguous
		for _, p := range f.params {
			delete(columns, p.name)
		}
	}
	arg := func(i int) *pg.Node {
		if call == nil || i < 0 || i >= len(f.params) || i >= len(call.GetArgs()) || len(call.GetArgs()) > len(f.params) || call.GetFuncVariadic() ||
			slices.ContainsFunc(call.GetArgs(), func(a *pg.Node) bool { return a.GetNamedArgExpr() != nil }) {
			return unknownNode()
		}
		if e := f.effectsOf(); e.vars[f.params[i].name] || e.vars[fmt.Sprintf("$%d", i+1)] {
			return unknownNode() // the body gives it another value
		}
		a := call.GetArgs()[i]
		if !same(a) {
			return unknownNode()
		}
		// As the function sees it: in the type of its parameter.
		return &pg.Node{Node: &pg.Node_TypeCast{TypeCast: &pg.TypeCast{Arg: proto.Clone(a).(*pg.Node), TypeName: typeNode(f.params[i].typ)}}}
	}
	out := substitute(n, func(n *pg.Node) *pg.Node {
		if p := n.GetParamRef(); p != nil {
			if p.GetNumber() > boundFrom {
				return nil
			}
			return arg(int(p.GetNumber()) - 1)
		}
		parts, star := columnPath(n.GetColumnRef())
		if star || len(parts) == 0 || len(parts) == 2 && parts[0] != f.name || len(parts) > 2 || len(parts) == 1 && columns[parts[0]] {
			return nil
		}
		i := slices.IndexFunc(f.params, func(p funcParam) bool { return p.name == parts[len(parts)-1] })
		if i < 0 {
			return nil
		}
		return arg(i)
	})
	relocate(out, call.GetLocation())
	return out
}

// relocate gives all of a statement one place: where it was taken from is another
// text.
func relocate(n *pg.Node, at int32) {
	walk(n, func(m protoMessage) bool {
		r := m.ProtoReflect()
		if f := r.Descriptor().Fields().ByName("location"); f != nil && f.Kind() == protoreflect.Int32Kind {
			r.Set(f, protoreflect.ValueOfInt32(at))
		}
		return true
	})
}

// fixed reports whether an expression is a parameter or a constant, perhaps cast:
// it means the same wherever it stands.
func fixed(n *pg.Node) bool {
	for n.GetTypeCast() != nil {
		n = n.GetTypeCast().GetArg()
	}
	return n.GetParamRef() != nil || n.GetAConst() != nil
}
