package gen

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// Proposal is a @cache line that could be added to a read.
type Proposal struct {
	Query string
	Pos   Position // of the query's name; the line belongs below it
	Line  string   // "-- @cache session(id) ttl=30m"

	// Problems are what Run would find if the line were added. A proposal is to be
	// written only without any.
	Problems Findings
}

// Plan is what init has to say of one package.
type Plan struct {
	Options   Options
	Cached    int // reads that say @cache already
	Proposals []Proposal
	Uses      []Use // of the package that sqlc wrote, in the module's other packages
}

const (
	rowTTL  = "30m" // of a row by its key, which few writes touch
	listTTL = "5m"  // of rows by a foreign key, which every insert touches
)

// Propose looks for reads that could be cached: by a primary key, a unique key or
// a foreign key, one by one or by = ANY. Every line is tried, together with those
// before it, by the derivation that Run makes; the project's own findings are the
// error.
func Propose(opts Options) (*Plan, error) {
	p, err := load(opts)
	if err != nil {
		return nil, err
	}
	if len(p.findings) > 0 {
		return nil, p.findings.sorted()
	}
	base := p.try()
	if len(base.findings) > 0 {
		return nil, base.findings.sorted()
	}
	pr := &proposer{p: p, groups: map[string]keyColumns{}, ttl: map[string]bool{}}
	for _, g := range base.groups {
		pr.groups[g.name] = keyColumns{}
		pr.ttl[g.name] = true // its options are its author's
		for _, rd := range g.reads {
			if k, ok := mainKey(rd); ok {
				pr.groups[g.name] = k
				break
			}
		}
	}
	plan := &Plan{Options: p.opts, Cached: len(base.reads)}
	for _, q := range p.src.queries {
		if pr := pr.propose(q); pr != nil {
			plan.Proposals = append(plan.Proposals, *pr)
		}
	}
	if plan.Uses, err = p.uses(); err != nil {
		return nil, err
	}
	return plan, nil
}

// try derives the project as its notes are now, without a trace.
func (p *project) try() *project {
	t := &project{opts: p.opts, schema: p.schema, src: p.src, weak: slices.Clone(p.weak)}
	t.derive()
	if len(t.findings) == 0 {
		newRenderer(t)
	}
	return t
}

// keyColumns are the columns of a table whose values make a key.
type keyColumns struct {
	table *table
	cols  string // joined by commas
}

// mainKey is the key of a cached read in the first table of its FROM.
func mainKey(rd *cachedRead) (keyColumns, bool) {
	for _, m := range rd.maps {
		if rd.an.top == nil || len(rd.an.top.items) == 0 || m.occ != rd.an.top.items[0] {
			continue
		}
		var cols []string
		for _, c := range m.cols {
			cols = append(cols, c[0])
		}
		return keyColumns{m.table, strings.Join(cols, ",")}, true
	}
	return keyColumns{}, false
}

type proposer struct {
	p      *project
	groups map[string]keyColumns
	ttl    map[string]bool // groups whose TTL is said already
}

// candidate is one way to cache a read.
type candidate struct {
	group  string
	key    keyColumns
	params []string
	ttl    string
}

func (c candidate) line(withTTL bool) string {
	line := fmt.Sprintf("-- @cache %s(%s)", c.group, strings.Join(c.params, ", "))
	if withTTL {
		line += " ttl=" + c.ttl
	}
	return line
}

// propose tries each way to cache a read. The first under which the project still
// derives stays in force; if there is none, the first is reported with what it
// breaks.
func (pr *proposer) propose(q *query) *Proposal {
	if q.notes.cache != nil || len(q.notes.staleOK) > 0 || q.tree == nil || q.cmd != ":one" && q.cmd != ":many" {
		return nil
	}
	var first *Proposal
	for _, c := range pr.candidates(q) {
		note := &cacheNote{pos: q.pos, group: c.group, params: c.params}
		if !pr.ttl[c.group] {
			note.opts.ttl = c.ttl
		}
		q.notes.cache = note
		found := pr.p.try().findings.sorted()
		q.notes.cache = nil
		proposal := &Proposal{Query: q.name, Pos: q.pos, Line: c.line(!pr.ttl[c.group]), Problems: found}
		if len(found) == 0 {
			q.notes.cache = note
			pr.groups[c.group], pr.ttl[c.group] = c.key, true
			return proposal
		}
		if first == nil {
			first = proposal
		}
	}
	return first
}

// candidates lists the ways to cache a read, best first: by the whole row's key,
// by another unique key, by a foreign key. They come from the first table of FROM
// that has any.
func (pr *proposer) candidates(q *query) []candidate {
	sel := q.tree.GetSelectStmt()
	if sel == nil || dataModifying(q.tree) || len(sel.GetLockingClause()) > 0 || sel.GetOp() != pg.SetOperation_SETOP_NONE {
		return nil
	}
	a := analyzeRead(pr.p.schema, sel)
	if a.top == nil {
		return nil
	}
	for _, o := range a.top.items {
		if o.table == nil || o.table.view != nil || o.table.matview || len(o.guards) > 0 {
			continue
		}
		tied := tiedColumns(pr.p.schema, a, o, q)
		var out []candidate
		add := func(cols []string, primary bool, ttl string) {
			var params []string
			for _, c := range cols {
				if tied[c] == "" || slices.Contains(params, tied[c]) {
					return
				}
				params = append(params, tied[c])
			}
			if len(cols) == 0 || len(cols) > 3 {
				return
			}
			key := keyColumns{o.table, strings.Join(cols, ",")}
			if slices.ContainsFunc(out, func(c candidate) bool { return c.key == key }) {
				return
			}
			out = append(out, candidate{group: pr.groupName(key, cols, primary), key: key, params: params, ttl: ttl})
		}
		for _, primary := range []bool{true, false} {
			for _, u := range o.table.uniques {
				if u.primary == primary && !u.partial {
					add(u.cols, primary, rowTTL)
				}
			}
		}
		for _, fk := range o.table.fks {
			add(fk.cols, false, listTTL)
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// tiedColumns returns for each column of an occurrence the parameter that it
// always equals.
func tiedColumns(s *schema, a *analysis, o *occurrence, q *query) map[string]string {
	out := map[string]string{}
	for _, c := range o.table.cols {
		if class, _ := s.class(c); class == "" {
			continue
		}
		found := a.reach(o, c.name)
		for i, arg := range q.args {
			_, scalar := found[place{col: fmt.Sprintf("$%d", i+1)}]
			_, list := found[place{col: fmt.Sprintf("@%d", i+1)}]
			if scalar || list && len(q.args) == 1 && q.cmd == ":many" {
				out[c.name] = snake(arg.name)
				break
			}
		}
	}
	return out
}

var notWord = regexp.MustCompile(`\W+`)

// groupName finds the group that has a key already, or a new name: the table's in
// the singular for its primary key, else with the columns.
func (pr *proposer) groupName(key keyColumns, cols []string, primary bool) string {
	var same []string
	for name, k := range pr.groups {
		if k == key {
			same = append(same, name)
		}
	}
	if len(same) > 0 {
		return slices.Min(same)
	}
	table := notWord.ReplaceAllString(singular(key.table.name), "_")
	var by []string
	for _, c := range cols {
		by = append(by, notWord.ReplaceAllString(strings.TrimSuffix(c, "_id"), "_"))
	}
	long := table + "_by_" + strings.Join(by, "_and_")
	names := []string{long, key.table.schema + "_" + long}
	if primary {
		names = append([]string{table}, names...)
	}
	free := func(name string) bool {
		_, taken := pr.groups[name]
		return !taken && identifier.MatchString(name) && name != "none"
	}
	for _, n := range names {
		if free(n) {
			return n
		}
	}
	for i := 2; ; i++ {
		if n := fmt.Sprintf("g_%s_%d", long, i); free(n) {
			return n
		}
	}
}

// WriteProposals adds the lines without problems to the .sql files, below the
// names of their queries, and returns the files that it changed: all of them, or
// none. Every other byte stays as it is.
func WriteProposals(plans []*Plan) ([]string, error) {
	lines := map[string]map[int]string{} // file, line of the name → what goes below
	var files []string
	for _, plan := range plans {
		for _, p := range plan.Proposals {
			if len(p.Problems) > 0 {
				continue
			}
			if lines[p.Pos.File] == nil {
				lines[p.Pos.File] = map[int]string{}
				files = append(files, p.Pos.File)
			}
			if lines[p.Pos.File][p.Pos.Line] == "" { // two packages may share a file
				lines[p.Pos.File][p.Pos.Line] = p.Line
			}
		}
	}
	slices.Sort(files)
	var set fileSet
	for _, file := range files {
		target, err := filepath.EvalSymlinks(file)
		if err != nil {
			return nil, fmt.Errorf("add to %s: %w", file, err)
		}
		info, err := os.Stat(target)
		if err != nil {
			return nil, fmt.Errorf("add to %s: %w", file, err)
		}
		text, err := os.ReadFile(target)
		if err != nil {
			return nil, fmt.Errorf("add to %s: %w", file, err)
		}
		var b strings.Builder
		n := 0
		for line := range strings.SplitAfterSeq(string(text), "\n") {
			n++
			b.WriteString(line)
			if add := lines[file][n]; add != "" {
				end := line[len(strings.TrimRight(line, "\r\n")):] // as the file ends its lines
				b.WriteString(add + end)
			}
		}
		set.put(target, []byte(b.String()), info.Mode().Perm())
	}
	return files, set.commit()
}
