package gen

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBadInput changes a sound project, one file at a time. Each change is told by
// findings, nothing is written, and what was generated before stays; or it does no
// harm.
func TestBadInput(t *testing.T) {
	t.Parallel()

	rewrite := func(t *testing.T, file string, f func(string) string) {
		t.Helper()
		text, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(file, []byte(f(string(text))), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	add := func(text string) func(string) string { return func(s string) string { return s + text } }
	for name, c := range map[string]struct {
		schema, queries func(string) string
		change          func(*testing.T, Options)
		want            []string // findings; none: all is well
		err             string   // an error that is no finding
	}{
		"query that can't be parsed": {
			queries: func(s string) string { return strings.Replace(s, "WHERE id = $1;", "WHERE id == = $1;", 1) },
			want:    []string{"query.sql:3:35: query GetAuthor can't be parsed", "syntax error at or near"},
		},
		"new query that can't be parsed": {
			queries: add("\n-- name: Broken :one\nSELECT é FROM\n  WHERE;\n"),
			want:    []string{":3: query Broken can't be parsed", `why:  syntax error at or near "WHERE"`},
		},
		"DDL that can't be parsed": {
			schema: add("\nCREATE TABLE x (\n  id bigint,,\n  n int\n);\n"),
			want:   []string{"schema.sql:21:13: the schema can't be parsed", `syntax error at or near ","`},
		},
		"DDL of all kinds": {schema: add(`
CREATE EXTENSION IF NOT EXISTS "no_such_extension" WITH SCHEMA public;
CREATE TABLE points (id bigint PRIMARY KEY, at geography(Point, 4326), v vector(3));
CREATE INDEX ON points USING hnsw (v vector_l2_ops);
COMMENT ON TABLE points IS 'of a map';
GRANT SELECT ON points TO PUBLIC;
CREATE PUBLICATION p FOR TABLE points;
CREATE STATISTICS st ON id, at FROM points;
SET statement_timeout = 0;
CREATE ROLE reader;
ALTER TABLE points OWNER TO reader;
CREATE TYPE pair AS (a int, b int);
SECURITY LABEL ON TABLE points IS 'x';
ALTER SYSTEM SET work_mem = '4MB';
VACUUM;
`)},
		"package that doesn't compile": {
			change: func(t *testing.T, o Options) {
				rewrite(t, filepath.Join(o.Repo, "db.go"), func(s string) string { return s + "\nfunc (" })
			},
			want: []string{"the package that sqlc wrote doesn't compile", "run sqlc generate"},
		},
		"package that is not there": {
			change: func(t *testing.T, o Options) {
				if err := os.RemoveAll(o.Repo); err != nil {
					t.Fatal(err)
				}
			},
			err: "no such file",
		},
		"text that has changed": {
			queries: func(s string) string { return strings.Replace(s, "ORDER BY id;", "ORDER BY id DESC;", 1) },
			want:    []string{"query ListBooks has changed since sqlc wrote the package", `"desc"`, "run sqlc generate"},
		},
		"column that was added to a list": {
			queries: func(s string) string { return strings.Replace(s, "VALUES ($1, $2, $3)", "VALUES ($2, $1, $3)", 1) },
			want:    []string{"query SetPrice has changed since sqlc wrote the package"},
		},
		"blanks, comments and case": {
			queries: func(s string) string {
				s = strings.ReplaceAll(s, "SELECT * FROM", "select /* all */ *\n  -- of\n  from")
				return strings.ReplaceAll(s, "VALUES (", "VALUES  (  ")
			},
		},
		"two queries with one name": {
			queries: add("\n-- name: GetAuthor :one\nSELECT * FROM authors WHERE id = $1;\n"),
			want:    []string{"query GetAuthor is also at"},
		},
		"one name in two files": {
			change: func(t *testing.T, o Options) {
				err := os.WriteFile(filepath.Join(filepath.Dir(o.Queries[0]), "zmore.sql"), []byte("-- name: GetAuthor :one\nSELECT 1;\n"), 0o644)
				if err != nil {
					t.Fatal(err)
				}
			},
			want: []string{"zmore.sql:1", "query GetAuthor is also at", "query.sql:1"},
		},
		"views in a circle": {
			schema: add(`
CREATE VIEW a AS SELECT 1 AS id;
CREATE VIEW b AS SELECT id FROM a;
CREATE OR REPLACE VIEW a AS SELECT id FROM b;
`),
		},
		"annotation on a write": {
			queries: func(s string) string {
				return strings.Replace(s, "-- name: RenameBook :exec\n", "-- name: RenameBook :exec\n-- @cache book(id)\n", 1)
			},
			want: []string{"@cache stands on RenameBook, which is a write"},
		},
		"queries that are not text": {
			queries: add("\x00\x01\x02"),
			want:    []string{"query.sql:", "the file is not text: it has a zero byte"},
		},
		"schema in Latin-1": {
			schema: add("-- caf\xe9\n"),
			want:   []string{"schema.sql:19:7: the file is not UTF-8: it has the byte 0xE9"},
		},
		"CRLF": {
			queries: func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
			schema:  func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
		},
		"byte order mark": {
			queries: func(s string) string { return byteOrderMark + s }, schema: func(s string) string { return byteOrderMark + s },
		},
		"no queries": {
			change: func(t *testing.T, o Options) {
				if err := errors.Join(os.RemoveAll(filepath.Dir(o.Queries[0])), os.MkdirAll(filepath.Dir(o.Queries[0]), 0o755)); err != nil {
					t.Fatal(err)
				}
			},
			err: "no .sql files in",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			opts := copyCase(t, "init")
			dir := filepath.Join(filepath.Dir(opts.Repo), "queries")
			if err := errors.Join(os.Mkdir(dir, 0o755), os.Rename(opts.Queries[0], filepath.Join(dir, "query.sql"))); err != nil {
				t.Fatal(err)
			}
			opts.Queries = []string{filepath.Join(dir, "query.sql")}
			all := opts
			all.Queries = []string{dir}
			res, err := Run(all)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := res.Write(); err != nil {
				t.Fatal(err)
			}

			if c.schema != nil {
				rewrite(t, opts.Schema[0], c.schema)
			}
			if c.queries != nil {
				rewrite(t, opts.Queries[0], c.queries)
			}
			if c.change != nil {
				c.change(t, opts)
			}
			_, _, err = RunAll([]Options{all})
			switch {
			case c.err != "":
				if err == nil || errors.As(err, new(Findings)) || !strings.Contains(err.Error(), c.err) {
					t.Errorf("RunAll = %v, want the error %q", err, c.err)
				}
			case len(c.want) == 0:
				if err != nil {
					t.Error(err)
				}
			case !errors.As(err, new(Findings)):
				t.Errorf("RunAll = %v, want findings", err)
			default:
				for _, w := range c.want {
					if !strings.Contains(err.Error(), w) {
						t.Errorf("no %q in:\n%v", w, err)
					}
				}
			}
			for name, want := range res.Files {
				if have, err := os.ReadFile(filepath.Join(opts.Out, name)); err != nil || string(have) != string(want) {
					t.Errorf("%s is not as it was before: %v", name, err)
				}
			}
		})
	}
}

// TestWriteIsAllOrNothing lets the last of two packages fail.
func TestWriteIsAllOrNothing(t *testing.T) {
	t.Parallel()

	a, b := copyCase(t, "single"), copyCase(t, "single")
	results, _, err := RunAll([]Options{a, b})
	if err != nil {
		t.Fatal(err)
	}
	// A file stands where the second directory is to be.
	if err := os.WriteFile(b.Out, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := results.Write(); err == nil {
		t.Fatal("Write succeeds")
	}
	if _, err := os.Stat(a.Out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the first package is written though the second can't be: %v", err)
	}

	// A directory stands where a file is to be: only the rename can fail.
	if err := errors.Join(os.Remove(b.Out), os.MkdirAll(b.Out, 0o755)); err != nil {
		t.Fatal(err)
	}
	var set fileSet
	first, second := filepath.Join(b.Out, "first"), filepath.Join(b.Out, "second")
	if err := os.WriteFile(first, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	set.put(first, []byte("new"), 0o644)
	set.put(second, []byte("new"), 0o644)
	set.changes[1].name = filepath.Join(b.Out, "second")
	set.put(filepath.Join(b.Out, "second", "below"), []byte("new"), 0o644) // makes a directory of second
	if err := set.commit(); err == nil {
		t.Fatal("commit succeeds")
	}
	if text, err := os.ReadFile(first); err != nil || string(text) != "old" {
		t.Errorf("the first file is %q after a failure, %v", text, err)
	}
	entries, err := os.ReadDir(b.Out)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "first" {
			t.Errorf("%s is left behind", e.Name())
		}
	}
}

// TestTextDiffers compares what files say with what sqlc makes of it.
func TestTextDiffers(t *testing.T) {
	t.Parallel()

	for _, c := range []struct {
		file, pkg string
		differs   bool
	}{
		{"SELECT * FROM t;", "-- name: Q :one\nSELECT id, \"user\" FROM t", false},
		{"SELECT t.*, u.name FROM t, u", "SELECT t.id, t.n, u.name FROM t, u", false},
		{"SELECT sqlc.embed(t), sqlc.embed(u) FROM t, u", "SELECT t.id, t.n, u.id FROM t, u", false},
		{"SELECT count(*) FROM t WHERE a * b = @c", "SELECT count(*) FROM t WHERE a * b = $1", false},
		{"SELECT id FROM t WHERE a = sqlc.arg('x')::int AND b = sqlc.narg(y) AND c = @x", "SELECT id FROM t WHERE a = $1::int AND b = $2 AND c = $1", false},
		{"SELECT id FROM t WHERE a = $1 AND b = @x", "SELECT id FROM t WHERE a = $2 AND b = $1", false},
		{"INSERT INTO t (a) VALUES ('it''s -- no comment; ')\nRETURNING *;\n", "INSERT INTO t (a) VALUES ('it''s -- no comment; ') RETURNING id, a", false},
		{"SELECT $tag$ * @x $tag$, a -- b\n FROM t", "SELECT $tag$ * @x $tag$, a FROM t", false},
		{"MERGE INTO t USING u ON t.id = @id AND t.n = sqlc.arg(n)", "MERGE INTO t USING u ON t.id = @id AND t.n = sqlc.arg(n)", false},
		{"SELECT id FROM t WHERE a = @x", "SELECT id FROM t WHERE a = @y", true},
		{"SELECT * FROM t", "SELECT id FROM t WHERE id = 1", true},
		{"SELECT id FROM t WHERE a = $1", "SELECT id FROM t WHERE a = $2", true},
		{"SELECT id FROM t WHERE a = @x", "SELECT id FROM t WHERE a = b", true},
		{"SELECT * FROM t", "SELECT count(id) FROM t", true},
		{"SELECT 'A'", "SELECT 'a'", true},
		{"SELECT id FROM t LIMIT 1", "SELECT id FROM t", true},
		{"SELECT * FROM t JOIN u USING (id)", "SELECT id, n FROM t", true},
	} {
		if got := textDiffers(c.file, c.pkg); (got != "") != c.differs {
			t.Errorf("%q and %q: %q", c.file, c.pkg, got)
		}
	}
}

func TestViewsInACircle(t *testing.T) {
	t.Parallel()

	dir := writeFiles(t, map[string]string{"schema.sql": `
CREATE TABLE t (id int PRIMARY KEY);
CREATE VIEW a AS SELECT id FROM t;
CREATE VIEW b AS SELECT id FROM a;
CREATE OR REPLACE VIEW a AS SELECT id FROM b;
`})
	s, err := ReadSchema(filepath.Join(dir, "schema.sql"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Derive([]Statement{{Name: "Get", Cmd: ":one", SQL: "SELECT id FROM a WHERE id = $1", Args: 1, Outs: 1, Notes: []string{"@cache a(p1)"}}})
	if !errors.As(err, new(Findings)) || !strings.Contains(err.Error(), "a view that reads itself?") {
		t.Errorf("Derive = %v", err)
	}
	// A write through the circle once ran for ever.
	_, err = s.Derive([]Statement{
		{Name: "Get", Cmd: ":one", SQL: "SELECT id FROM t WHERE id = $1", Args: 1, Outs: 1, Notes: []string{"@cache t(p1)"}},
		{Name: "Drop", Cmd: ":exec", SQL: "DELETE FROM a WHERE id = $1", Args: 1},
	})
	if !errors.As(err, new(Findings)) || !strings.Contains(err.Error(), "doesn't follow this view") {
		t.Errorf("Derive = %v", err)
	}
}
