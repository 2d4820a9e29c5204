package gen

import (
	"cmp"
	"fmt"
	"sort"
	"strings"
)

// Position is a place in a source file.
type Position struct {
	File string `json:"file"`             // as reached from the working directory
	Line int    `json:"line,omitempty"`   // 1 is the first; 0 when the whole file is meant
	Col  int    `json:"column,omitempty"` // in bytes, 1 is the first; 0 when the whole line is meant
}

// String returns "file:line:column", as far as it is known.
func (p Position) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Col == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// before orders positions by file, line and column.
func (p Position) before(o Position) bool {
	return cmp.Or(cmp.Compare(p.File, o.File), cmp.Compare(p.Line, o.Line), cmp.Compare(p.Col, o.Col)) < 0
}

// Finding is one thing that keeps a project from being generated: where, what,
// why, and what to write instead.
type Finding struct {
	Pos  Position
	Msg  string   // what can't be done, naming the read that would go stale
	Why  string   // the reason; may be empty
	Mend []string // what to write, one way a line

	// The rest says the same again, for programs.

	Query  string   // the query that is refused; may be empty
	Group  string   // the group that it is cached in, or that would go stale
	Read   string   // of a write: the cached read that would go stale
	ReadAt Position // where that is
	Path   []string // of a write: the tables on the way from its own to the one that is read
}

// Error returns the finding as it is printed.
func (f *Finding) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", f.Pos, f.Msg)
	if f.Why != "" {
		fmt.Fprintf(&b, "\n    why:  %s", f.Why)
	}
	for i, m := range f.Mend {
		label := "mend:"
		if i > 0 {
			label = "  or:"
		}
		fmt.Fprintf(&b, "\n    %s %s", label, m)
	}
	return b.String()
}

// Findings are all findings of one run, by file, line and column.
type Findings []*Finding

// Error lists the findings, one after the other.
func (fs Findings) Error() string {
	parts := make([]string, len(fs))
	for i, f := range fs {
		parts[i] = f.Error()
	}
	return strings.Join(parts, "\n")
}

// about notes which query, and which group, the findings are about that don't say
// it themselves.
func (fs Findings) about(query, group string) {
	for _, f := range fs {
		f.Query, f.Group = cmp.Or(f.Query, query), cmp.Or(f.Group, group)
	}
}

// sorted returns the findings in their stable order, each once.
func (fs Findings) sorted() Findings {
	sort.SliceStable(fs, func(i, j int) bool {
		a, b := fs[i], fs[j]
		if a.Pos != b.Pos {
			return a.Pos.before(b.Pos)
		}
		return a.Error() < b.Error()
	})
	var out Findings
	for _, f := range fs {
		if len(out) > 0 && out[len(out)-1].Error() == f.Error() {
			continue
		}
		out = append(out, f)
	}
	return out
}
