package gen

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What a project's files hold is anything. Each of these reads it without a panic, and says what is wrong with it as a finding or
// an error. The corpora are in testdata/fuzz; make fuzz looks for more.

func FuzzAnnotations(f *testing.F) {
	f.Add("@cache session(id) ttl=30m")
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Split(text, "\n")
		var comments []comment
		for i, l := range lines {
			comments = append(comments, comment{pos: Position{File: "query.sql", Line: i + 1}, text: l})
		}
		a, found := parseAnnotations(comments)
		for _, finding := range found {
			if finding.Msg == "" || finding.Pos.Line < 1 || finding.Pos.Line > len(lines) {
				t.Fatalf("%+v", finding)
			}
		}
		if n := a.cache; n != nil && (n.group == "" || len(n.params) == 0 || slices.Contains(n.params, "")) {
			t.Fatalf("accepted: %+v", n)
		}
		for _, n := range a.invalidates {
			if n.group == "" || !n.none && !n.all && len(n.exprs) == 0 {
				t.Fatalf("accepted: %+v", n)
			}
		}
	})
}

func FuzzConfig(f *testing.F) {
	f.Add("version: 2\nsql:\n- engine: postgresql\n  schema: s\n  queries: q\n  gen: {go: {out: repo, sql_package: pgx/v5}}\n", "packages:\n- repo: repo\n  out: cached\n")
	f.Fuzz(func(t *testing.T, sqlc, own string) {
		dir := t.TempDir()
		file := filepath.Join(dir, "sqlc.yaml")
		for name, text := range map[string]string{file: sqlc, filepath.Join(dir, "pgaside.yaml"): own} {
			if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		c, err := ReadConfig(file)
		if err != nil {
			return
		}
		for _, p := range c.Projects {
			if p.Repo == "" || p.Out == "" || len(p.Schema) == 0 || len(p.Queries) == 0 {
				t.Fatalf("accepted: %+v", p)
			}
		}
	})
}

// FuzzDerive takes any DDL and three statements in any SQL: a cached read, a write, and a write with an annotation.
func FuzzDerive(f *testing.F) {
	f.Add("CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL);", "SELECT id, n FROM t WHERE id = $1", "UPDATE t SET n = $1 WHERE id = $2", "@cache t(p1)", "@invalidates none(t) \"why\"")
	f.Fuzz(func(t *testing.T, ddl, read, write, cache, note string) {
		if len(ddl)+len(read)+len(write) > 16<<10 {
			t.Skip() // what is slow is no panic
		}
		file := filepath.Join(t.TempDir(), "schema.sql")
		if err := os.WriteFile(file, []byte(ddl), 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := ReadSchema(file)
		if err != nil {
			return
		}
		keys, err := s.Derive([]Statement{
			{Name: "Read", Cmd: ":many", SQL: read, Args: 2, Outs: 2, Notes: []string{cache}},
			{Name: "Write", Cmd: ":exec", SQL: write, Args: 3},
			{Name: "Noted", Cmd: ":one", SQL: write, Args: 3, Outs: 1, Notes: []string{note}},
		})
		if err != nil && keys != nil {
			t.Fatalf("%v along with %v", keys, err)
		}
	})
}
