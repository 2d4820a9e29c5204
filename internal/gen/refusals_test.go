package gen

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// docs/annotations.md can't drift from the generator: its SQL is that of cases,
// and its list of refusals is made of what the cases are refused with.

const annotationsDoc = "../../docs/annotations.md"

// refusals sorts what the generator says into kinds, of which the document shows
// one each. A pattern is matched with the message and the reason; what matches
// none is listed at the end, by its message.
var refusals = []struct {
	title string
	kinds []kind
}{
	{"A read can't be cached", []kind{
		{"The table is read through a view", `through view \w+ to`, ""},
		{"Nothing ties a table to the key", `no equality that always holds ties a column of [\w. ()]+ to [\w, ]+ *$`, "JoinAway"},
		{"Equal values of the column may differ", `doesn't count: .*(differ|identity)`, ""},
		{"A cast may change what is compared", `traced to a key.*doesn't count: the cast`, "CastAway"},
		{"The answer changes by itself", `chang(e|es) by itself`, ""},
		{"The answer depends on who asks", `depends on who asks|row-level security|temporary table`, ""},
		{"A function whose body isn't known", `can't be cached \| (function|operator) .* (is|schema's)`, "Stable"},
		{"A function that pgaside doesn't know", `doesn't know function`, ""},
		{"It locks rows", `it locks rows`, ""},
		{"A random sample", `TABLESAMPLE`, ""},
		{"NATURAL JOIN, and the alias of a join", `NATURAL JOIN|names a whole join`, ""},
		{"search_path decides which table is meant", `search_path (decides|makes)`, ""},
		{"A table that the schema doesn't have", `the schema has no table`, ""},
		{"A view whose text no longer says what it reads", `no longer says what it reads`, ""},
		{"A materialized view", `materialized view`, ""},
	}},
	{"A batch can't be split by key", []kind{
		{"The result means the whole list", `means the whole list of keys`, ""},
		{"The result doesn't hold the key", `doesn't hold the key column`, ""},
		{"The list isn't compared in the outermost WHERE", `not compared by = ANY`, "Inside"},
		{"The list is used twice", `used more than once`, ""},
		{"It is not :many", `takes a list of keys and is`, ""},
		{"There are several lists of keys", `takes several lists of keys`, ""},
	}},
	{"The Go type of a key", []kind{
		{"A value could be written in several ways", `could be written in several ways`, ""},
		{"A date as time.Time", `makes its day ambiguous`, ""},
		{"A type without one form for each value", `one form \||needs a type in which`, ""},
		{"A type whose equality isn't identity", `can't be part of a key`, ""},
		{"The parameter of a write has another type than the key", `has Go type .* of which no`, ""},
	}},
	{"A write doesn't tell the key", []kind{
		{"It goes on by a foreign key, and the rows can't be locked beforehand", ` by ON (DELETE|UPDATE) .*can't be looked up`, "DeleteUsersWithoutSession"},
		{"A trigger or a function changes rows that nobody names", ` by (trigger|function) .*would go stale`, "EditMessage"},
		{"A table of @via changes, and the rows can't be locked beforehand", `by @via.*would go stale`, ""},
		{"The column may store less than it is given", `may store less`, "AddTag"},
		{":one returns only the first of several rows", `:one returns only the first`, "FirstOfMany"},
		{"It moves rows to another key, and their old one isn't told", `doesn't tell what it was before *$`, ""},
		{"It moves rows to a key that isn't known outside the database", `isn't known outside the database`, ""},
		{"An upsert that moves the row that it finds", `ON CONFLICT finds`, ""},
		{"An insert whose key the database makes", `inserts rows .*doesn't tell`, "InsertDefault"},
		{"It doesn't tell which rows", `doesn't tell`, ""},
	}},
	{"It may change any table", []kind{
		{"A trigger or a rule", `which has (trigger|rule)`, ""},
		{"A volatile function", `calls function`, "Cleanup"},
		{"A write to a view", `which is a view`, ""},
	}},
	{"The schema", []kind{
		{"DDL in a DO block", `a DO block changes tables`, ""},
		{"CREATE TABLE … AS", `CREATE TABLE … AS`, ""},
		{"search_path is set", `the schema sets search_path`, ""},
		{"A constraint that can't be found", `DROP CONSTRAINT`, ""},
	}},
	{"The package that sqlc wrote", []kind{
		{"It is not for pgx/v5", `not made for pgx`, ""},
	}},
}

type kind struct{ title, pattern, query string }

// aboutAnnotations are the refusals of the lines themselves: these stand in a table.
var aboutAnnotations = regexp.MustCompile(`^(@(cache|stale-ok|volatile-ok|invalidates|via)\b|unknown annotation|a second @|an annotation |the same @|group \w+ has |groups \w+ and |query \w+ has the name)`)

// example is a finding of a case.
type example struct {
	name string // of the case
	*Finding
}

func (e example) text() string { return e.Msg + " | " + e.Why }

// short leaves out the folder of the case.
func (e example) short(s string) string {
	return strings.ReplaceAll(s, filepath.Join("testdata", e.name)+string(filepath.Separator), "")
}

// sql is the query, or the statement of the schema, that is refused.
func (e example) sql(t *testing.T) string {
	t.Helper()
	if e.Pos.Line == 0 {
		return ""
	}
	file := e.Pos.File
	if filepath.Base(file) == "schema.sql" {
		file = caseFile(e.name, "schema.sql")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	from, to := e.Pos.Line-1, e.Pos.Line
	if e.Query != "" {
		for from > 0 && !nameLine.MatchString(lines[from]) {
			from--
		}
	}
	for to < len(lines) && !strings.HasSuffix(lines[to-1], ";") {
		to++
	}
	return strings.Join(lines[from:to], "\n")
}

func findingsOfCases(t *testing.T) []example {
	t.Helper()
	var out []example
	for _, name := range cases(t) {
		_, err := runCase(name)
		var fs Findings
		if errors.As(err, &fs) {
			for _, f := range fs {
				out = append(out, example{name, f})
			}
		}
	}
	return out
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// refusalsText writes the section of the document.
func refusalsText(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	var rest []example
	b.WriteString("### The annotations themselves\n\n| line | what is wrong | mend |\n|---|---|---|\n")
	seen := map[string]bool{}
	for _, e := range findingsOfCases(t) {
		if !aboutAnnotations.MatchString(e.Msg) || kindOf(e) != nil {
			rest = append(rest, e)
			continue
		}
		what := e.Msg
		if e.Why != "" {
			what += ": " + e.Why
		}
		if seen[what] {
			continue
		}
		seen[what] = true
		text, err := os.ReadFile(e.Pos.File)
		if err != nil {
			t.Fatal(err)
		}
		line := strings.Split(string(text), "\n")[e.Pos.Line-1]
		mend := strings.ReplaceAll(strings.Join(e.Mend, "; "), cacheForm, "[the form of @cache](#grammar)")
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", cell(strings.TrimSpace(line)), cell(e.short(what)), cell(mend))
	}
	for _, section := range refusals {
		fmt.Fprintf(&b, "\n### %s\n", section.title)
		for i := range section.kinds {
			k := &section.kinds[i]
			var shown *example
			var left []example
			for _, e := range rest {
				if kindOf(e) != k {
					left = append(left, e)
					continue
				}
				if shown == nil || k.query == e.Query && shown.Query != k.query {
					shown = &e
				}
			}
			rest = left
			if shown != nil {
				showRefusal(t, &b, k.title, *shown)
			}
		}
	}
	if len(rest) > 0 {
		b.WriteString("\n### Others\n")
	}
	for _, e := range rest {
		title := strings.TrimPrefix(e.Msg, e.Query+" ")
		if !seen[title] {
			seen[title] = true
			showRefusal(t, &b, title, e)
		}
	}
	return b.String()
}

func kindOf(e example) *kind {
	for _, section := range refusals {
		for i, k := range section.kinds {
			if regexp.MustCompile(k.pattern).MatchString(e.text()) || k.pattern == e.Query {
				return &section.kinds[i]
			}
		}
	}
	return nil
}

func showRefusal(t *testing.T, b *strings.Builder, title string, e example) {
	t.Helper()
	fmt.Fprintf(b, "\n**%s**\n\n", title)
	if sql := e.sql(t); sql != "" {
		fmt.Fprintf(b, "<!-- case: %s -->\n```sql\n%s\n```\n", e.name, sql)
	}
	fmt.Fprintf(b, "```text\n%s\n```\n", e.short(e.Error()))
}

var refusalSection = regexp.MustCompile(`(?s)(<!-- refusals: begin[^\n]*-->\n).*(<!-- refusals: end -->\n)`)

func TestEveryRefusalIsInTheDocument(t *testing.T) {
	t.Parallel()

	have, err := os.ReadFile(annotationsDoc)
	if err != nil {
		t.Fatal(err)
	}
	m := refusalSection.FindSubmatchIndex(have)
	if m == nil {
		t.Fatalf("%s has no markers for the refusals", annotationsDoc)
	}
	want := string(have[:m[3]]) + refusalsText(t) + string(have[m[4]:])
	if *update {
		if err := os.WriteFile(annotationsDoc, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(have), want); diff != "" {
		t.Errorf("the refusals of %s are not those of the cases: go test ./internal/gen -update (-have +want):\n%s", annotationsDoc, diff)
	}
}

func TestRefusalKindsAreUsed(t *testing.T) {
	t.Parallel()

	used := map[*kind]bool{}
	for _, e := range findingsOfCases(t) {
		used[kindOf(e)] = true
	}
	for _, section := range refusals {
		for i := range section.kinds {
			if k := &section.kinds[i]; !used[k] {
				t.Errorf("no case is refused as %q: its pattern is outdated, or a case is missing", k.title)
			}
		}
	}
}

var sqlBlock = regexp.MustCompile("(?ms)^(?:<!-- case: (\\w+) -->\n)?```sql\n(.*?)\n```$")

func TestSQLOfTheDocumentIsThatOfCases(t *testing.T) {
	t.Parallel()

	text, err := os.ReadFile(annotationsDoc)
	if err != nil {
		t.Fatal(err)
	}
	blocks := sqlBlock.FindAllStringSubmatch(string(text), -1)
	if len(blocks) < strings.Count(string(text), "```sql") || len(blocks) == 0 {
		t.Errorf("%d of %d blocks of SQL are read", len(blocks), strings.Count(string(text), "```sql"))
	}
	for _, b := range blocks {
		if b[1] == "" {
			t.Errorf("no <!-- case: folder --> stands before\n%s", b[2])
			continue
		}
		found := false
		for _, file := range []string{"query.sql", "schema.sql"} {
			sql, err := os.ReadFile(caseFile(b[1], file))
			if err != nil {
				t.Error(err)
				break
			}
			found = found || strings.Contains("\n"+string(sql)+"\n", "\n"+b[2]+"\n")
		}
		if !found {
			t.Errorf("case %s has no\n%s", b[1], b[2])
		}
	}
}
