package gen

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Explain prints the map: every group, or what concerns one query.
func (r *Result) Explain(query string) (string, error) {
	p := r.p
	if query != "" && p.src.byName[query] == nil {
		return "", fmt.Errorf("there is no query %s", query)
	}
	var b strings.Builder
	printed := 0
	for _, g := range p.groups {
		if query != "" && !p.concerns(g, query) {
			continue
		}
		if printed > 0 {
			b.WriteString("\n")
		}
		printed++
		p.explainGroup(&b, g, query)
	}
	if query != "" && printed == 0 {
		q := p.src.byName[query]
		fmt.Fprintf(&b, "%s (%s) is not cached and changes no cached read.\n", q.name, q.pos)
	}
	if query == "" {
		p.explainRest(&b)
	}
	return b.String(), nil
}

func (p *project) concerns(g *group, query string) bool {
	if slices.ContainsFunc(g.reads, func(r *cachedRead) bool { return r.q.name == query }) {
		return true
	}
	for _, w := range p.writes {
		if w.q.name == query {
			return slices.ContainsFunc(w.keys, func(t *keyTuple) bool { return t.g == g }) ||
				slices.ContainsFunc(w.none, func(n invalidateNote) bool { return n.group == g.name })
		}
	}
	return false
}

func (p *project) explainGroup(b *strings.Builder, g *group, query string) {
	fmt.Fprintf(b, "group %s", g)
	for _, o := range []struct{ name, value string }{{"ttl", g.opts.ttl}, {"mode", g.opts.mode}, {"negative", g.opts.negative}} {
		if o.value != "" {
			fmt.Fprintf(b, " %s=%s", o.name, o.value)
		}
	}
	b.WriteString("\n")
	isRead := query != "" && slices.ContainsFunc(g.reads, func(r *cachedRead) bool { return r.q.name == query })
	b.WriteString("  reads\n")
	for _, r := range g.reads {
		if isRead && r.q.name != query {
			continue
		}
		fmt.Fprintf(b, "    %s %s  %s\n", r.q.name, r.q.cmd, r.q.pos)
		var lines []string
		for _, m := range r.maps {
			line := fmt.Sprintf("      %s: %s", m.name(), strings.Join(m.chains, ", "))
			if m.via != nil {
				line = fmt.Sprintf("      %s: @via %s", m.name(), m.via.sql)
			}
			if !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
		var stale []string
		for t := range r.stale {
			stale = append(stale, fmt.Sprintf("      %s: @stale-ok, may be old until the TTL", t))
		}
		sort.Strings(stale)
		for _, l := range append(lines, stale...) {
			b.WriteString(l + "\n")
		}
	}
	var lines []string
	for _, w := range p.writes {
		if query != "" && !isRead && w.q.name != query {
			continue
		}
		for _, t := range w.keys {
			if t.g == g {
				lines = append(lines, fmt.Sprintf("    %s %s  %s\n      %s", w.q.name, w.q.cmd, w.q.pos, t.explain(w.q)))
			}
		}
		for _, n := range w.none {
			if n.group == g.name {
				lines = append(lines, fmt.Sprintf("    %s %s  %s\n      nothing: %q", w.q.name, w.q.cmd, w.q.pos, n.why))
			}
		}
	}
	if len(lines) == 0 {
		b.WriteString("  invalidated by no write\n")
		return
	}
	b.WriteString("  invalidated by\n")
	last := ""
	for _, l := range lines {
		head, tail, _ := strings.Cut(l, "\n")
		if head != last {
			b.WriteString(head + "\n")
		}
		last = head
		b.WriteString(tail + "\n")
	}
}

func (m *mapping) name() string {
	name := m.table.String()
	if m.occ.via != "" {
		name += " (through view " + m.occ.via + ")"
	}
	return name
}

// explain says where a key's parts come from.
func (t *keyTuple) explain(q *query) string {
	if t.whole {
		return t.g.name + "(*) by " + t.from
	}
	var parts []string
	for _, v := range t.parts {
		switch v.kind {
		case ofLook:
			parts = append(parts, "looked up "+v.look.cols[v.n])
		case ofArg:
			parts = append(parts, "parameter "+snake(q.args[v.n].name))
		case ofList:
			parts = append(parts, "each of parameter "+snake(q.args[v.n].name))
		case ofConst:
			parts = append(parts, fmt.Sprintf("constant %q", v.text))
		case ofOut:
			parts = append(parts, "result "+snake(q.outName(v.n)))
		}
	}
	s := fmt.Sprintf("%s(%s)", t.g.name, strings.Join(parts, ", "))
	if t.from != "" {
		s += " by " + t.from
	}
	return s
}

func (p *project) explainRest(b *strings.Builder) {
	var cascades []string
	for _, w := range p.writes {
		for _, c := range w.cascades {
			cascades = append(cascades, fmt.Sprintf("  %s: %s\n", w.q.name, c))
		}
	}
	if len(cascades) > 0 {
		b.WriteString("\ncascades\n" + strings.Join(cascades, ""))
	}
	var uncached []string
	for _, q := range p.src.queries {
		written := slices.ContainsFunc(p.writes, func(w *write) bool { return w.q == q && len(w.keys) > 0 })
		if q.notes.cache == nil && !written {
			uncached = append(uncached, q.name)
		}
	}
	if len(uncached) > 0 {
		b.WriteString("\nstraight to Postgres\n  " + strings.Join(uncached, "\n  ") + "\n")
	}
	if len(p.weak) == 0 {
		b.WriteString("\nweak points: none\n")
		return
	}
	b.WriteString("\nweak points\n")
	weak := slices.Clone(p.weak)
	sort.SliceStable(weak, func(i, j int) bool {
		if weak[i].Pos.File != weak[j].Pos.File {
			return weak[i].Pos.File < weak[j].Pos.File
		}
		return weak[i].Pos.Line < weak[j].Pos.Line
	})
	for _, w := range weak {
		fmt.Fprintf(b, "  %s: %s\n", w.Pos, w.Text)
	}
}
