package gen

import (
	"fmt"
	"slices"
	"strings"
)

// dot writes maps as one graph for Graphviz, from left to right in the order of
// cause: write, table, read, group. What rests on a human's word is dotted. Several
// packages have a frame each.
func dot(maps []*Map) string {
	var b strings.Builder
	b.WriteString("digraph pgaside {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n  edge [fontname=\"sans-serif\", fontsize=10];\n")
	for _, m := range maps {
		if len(maps) == 1 {
			m.dot(&b, "  ", "")
			break
		}
		fmt.Fprintf(&b, "  subgraph %s {\n    label=%s;\n", quote("cluster "+m.Repo), quote(m.Repo))
		m.dot(&b, "    ", m.Repo+" ")
		b.WriteString("  }\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// dot writes the nodes and edges of a map. Before the names of its nodes stands
// what tells them from those of other maps.
func (m *Map) dot(b *strings.Builder, indent, before string) {
	node := func(kind, name, label, style string) {
		fmt.Fprintf(b, "%s%s [label=%s, %s];\n", indent, quote(before+kind+" "+name), quote(label), style)
	}
	edge := func(from, to, label, style string) {
		attrs := "label=" + quote(label)
		if style != "" {
			attrs += ", style=" + style
		}
		fmt.Fprintf(b, "%s%s -> %s [%s];\n", indent, quote(before+from), quote(before+to), attrs)
	}

	tables := m.tables()
	for _, t := range tables {
		node("table", t, t, "shape=cylinder")
	}
	for _, g := range m.Groups {
		node("group", g.Name, g.String(), "shape=ellipse")
	}
	for _, r := range m.Reads {
		node("read", r.Query, r.Query+" "+r.Command, "shape=box")
		for _, t := range r.Tables {
			label := strings.Join(t.Chain, ", ")
			if t.View != "" {
				label += " through " + t.View
			}
			edge("table "+t.Table, "read "+r.Query, label, "")
		}
		for _, t := range r.StaleOK {
			edge("table "+t, "read "+r.Query, "@stale-ok", "dotted")
		}
		edge("read "+r.Query, "group "+r.Group, "", "")
	}
	shown := func(group string) bool {
		return slices.ContainsFunc(m.Groups, func(g MapGroup) bool { return g.Name == group })
	}
	var cascades []Cascade
	for _, w := range m.Writes {
		node("write", w.Query, w.Query+" "+w.Command, "shape=box, style=rounded")
		for _, t := range w.Tables {
			edge("write "+w.Query, "table "+t, "", "")
		}
		for _, k := range w.Keys {
			if shown(k.Group) {
				style := "dashed"
				if k.By != "derived" {
					style = "dotted"
				}
				edge("write "+w.Query, "group "+k.Group, k.String(), style)
			}
		}
		for _, n := range w.None {
			if shown(n.Group) {
				edge("write "+w.Query, "group "+n.Group, "none: "+n.Why, "dotted")
			}
		}
		for _, c := range w.Cascades {
			if !slices.Contains(cascades, c) {
				cascades = append(cascades, c)
				edge("table "+c.From, "table "+c.To, c.By, "bold")
			}
		}
	}
}

// tables lists every table of the map, by name.
func (m *Map) tables() []string {
	var out []string
	for _, r := range m.Reads {
		for _, t := range r.Tables {
			out = append(out, t.Table)
		}
		out = append(out, r.StaleOK...)
	}
	for _, w := range m.Writes {
		out = append(out, w.Tables...)
		for _, c := range w.Cascades {
			out = append(out, c.From, c.To)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// quote writes a string of the DOT language, in which only the quote and the
// backslash are special.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", " ").Replace(s) + `"`
}
