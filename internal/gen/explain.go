package gen

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Formats are what Explain can write.
var Formats = []string{"text", "json", "dot"}

// Explain writes the map, or what concerns one query, in one of Formats.
func (r *Result) Explain(query, format string) (string, error) {
	return Results{r}.Explain(query, format, nil)
}

// Explain is Result.Explain for all packages, as one document. A query is looked
// for in all of them. What was left out is said in JSON.
func (rs Results) Explain(query, format string, leftOut []Skipped) (string, error) {
	maps := []*Map{}
	for _, r := range rs {
		if query != "" && r.p.src.byName[query] == nil {
			continue
		}
		m, err := r.Map(query)
		if err != nil {
			return "", err
		}
		maps = append(maps, m)
	}
	if query != "" && len(maps) == 0 {
		return "", fmt.Errorf("there is no query %s", query)
	}
	switch format {
	case "text":
		if len(rs) == 1 {
			return maps[0].text(query), nil
		}
		var out []string
		for _, m := range maps {
			out = append(out, fmt.Sprintf("package %s\n\n%s", m.Repo, m.text(query)))
		}
		return strings.Join(out, "\n"), nil
	case "json":
		return encode(struct {
			Findings []string  `json:"findings"` // always empty: with findings there is no map
			Packages []*Map    `json:"packages"`
			LeftOut  []Skipped `json:"left_out"`
		}{[]string{}, maps, append([]Skipped{}, leftOut...)})
	case "dot":
		return dot(maps), nil
	}
	return "", fmt.Errorf("there is no format %s; the formats are %s", format, strings.Join(Formats, ", "))
}

// encode writes JSON that people can read: <, > and & stand in SQL.
func encode(v any) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.String(), err
}

// text writes the map group by group, and then once more as the writes see it.
func (m *Map) text(query string) string {
	var b strings.Builder
	for i, g := range m.Groups {
		if i > 0 {
			b.WriteString("\n")
		}
		m.groupText(&b, g)
	}
	if query != "" && len(m.Groups) == 0 {
		for _, q := range m.Uncached {
			fmt.Fprintf(&b, "%s (%s) is not cached and changes no cached read.\n", q.Query, q.At)
		}
		return b.String()
	}
	isRead := slices.ContainsFunc(m.Reads, func(r MapRead) bool { return r.Query == query })
	if len(m.Writes) > 0 && !isRead {
		b.WriteString("\nwrites\n")
		for _, w := range m.Writes {
			w.text(&b)
		}
	}
	if query != "" {
		return b.String()
	}
	if len(m.Uncached) > 0 {
		b.WriteString("\nstraight to Postgres\n")
		for _, q := range m.Uncached {
			fmt.Fprintf(&b, "  %s\n", q.Query)
		}
	}
	if len(m.Weak) == 0 {
		b.WriteString("\nweak points: none\n")
		return b.String()
	}
	b.WriteString("\nweak points\n")
	for _, w := range m.Weak {
		fmt.Fprintf(&b, "  %s: %s\n", w.At, w.Text)
	}
	return b.String()
}

func (m *Map) groupText(b *strings.Builder, g MapGroup) {
	fmt.Fprintf(b, "group %s", g)
	for _, o := range []struct{ name, value string }{{"ttl", g.TTL}, {"mode", g.Mode}, {"negative", g.Negative}, {"near", g.Near}} {
		if o.value != "" {
			fmt.Fprintf(b, " %s=%s", o.name, o.value)
		}
	}
	b.WriteString("\n  reads\n")
	for _, r := range m.Reads {
		if r.Group != g.Name {
			continue
		}
		fmt.Fprintf(b, "    %s %s  %s\n", r.Query, r.Command, r.At)
		for _, t := range r.Tables {
			fmt.Fprintf(b, "      %s: %s\n", t, strings.Join(t.Chain, ", "))
		}
		for _, t := range r.StaleOK {
			fmt.Fprintf(b, "      %s: @stale-ok, may be old until the TTL\n", t)
		}
	}
	head := "  invalidated by\n"
	for _, w := range m.Writes {
		var lines []string
		for _, k := range w.Keys {
			if k.Group == g.Name {
				lines = append(lines, k.String())
			}
		}
		for _, n := range w.None {
			if n.Group == g.Name {
				lines = append(lines, fmt.Sprintf("nothing: %q", n.Why))
			}
		}
		if len(lines) > 0 {
			fmt.Fprintf(b, "%s    %s %s  %s\n      %s\n", head, w.Query, w.Command, w.At, strings.Join(lines, "\n      "))
			head = ""
		}
	}
	if head != "" {
		b.WriteString("  invalidated by no write\n")
	}
}

func (w MapWrite) text(b *strings.Builder) {
	fmt.Fprintf(b, "  %s %s  %s\n", w.Query, w.Command, w.At)
	if len(w.Tables) > 0 {
		fmt.Fprintf(b, "    changes %s\n", strings.Join(w.Tables, ", "))
	}
	for _, c := range w.Cascades {
		fmt.Fprintf(b, "    cascades %s → %s (%s)\n", c.From, c.To, c.By)
	}
	for _, k := range w.Keys {
		fmt.Fprintf(b, "    invalidates %s\n", k)
	}
	for _, n := range w.None {
		fmt.Fprintf(b, "    leaves %s alone: %q\n", n.Group, n.Why)
	}
}

// String returns "sessions", or "sessions (through view titles)".
func (t MapTable) String() string {
	if t.View != "" {
		return t.Table + " (through view " + t.View + ")"
	}
	return t.Table
}

// String returns "message(parameter id)".
func (k MapKey) String() string {
	if k.All {
		return k.Group + "(*) by " + k.By
	}
	var parts []string
	for _, p := range k.Parts {
		parts = append(parts, p.String())
	}
	s := fmt.Sprintf("%s(%s)", k.Group, strings.Join(parts, ", "))
	if k.By != "derived" {
		s += " by " + k.By
	}
	return s
}

// String returns "parameter id".
func (p MapPart) String() string {
	if p.From == "constant" {
		return fmt.Sprintf("constant %q", p.Name)
	}
	return p.From + " " + p.Name
}
