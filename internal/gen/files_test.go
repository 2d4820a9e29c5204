package gen

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWriteTouchesOnlyWhatDiffers(t *testing.T) {
	t.Parallel()

	opts := copyCase(t, "single")
	res, err := Run(opts)
	if err != nil {
		t.Fatal(err)
	}
	diffs, err := res.Write()
	if err != nil {
		t.Fatal(err)
	}
	if len(diffs) != len(res.Files) {
		t.Fatalf("first Write reports %v, want all of %d files", diffs, len(res.Files))
	}
	if diffs, err = res.Compare(); err != nil || len(diffs) > 0 {
		t.Fatalf("Compare after Write = %v, %v; want nothing", diffs, err)
	}

	past := time.Now().Add(-time.Hour).Truncate(time.Second)
	db, query := filepath.Join(opts.Out, "db.go"), filepath.Join(opts.Out, "query.go")
	stale, own := filepath.Join(opts.Out, "gone.go"), filepath.Join(opts.Out, "own.go")
	for name, text := range map[string]string{
		query: fileHeader + "\npackage cached\n",
		stale: fileHeader + "\npackage cached\n",
		own:   "package cached\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(db, past, past); err != nil {
		t.Fatal(err)
	}
	diffs, err = res.Write()
	if err != nil {
		t.Fatal(err)
	}
	want := []Difference{{stale, "stale"}, {query, "changed"}}
	if len(diffs) != len(want) || diffs[0] != want[0] || diffs[1] != want[1] {
		t.Errorf("Write = %v, want %v", diffs, want)
	}
	if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", stale, err)
	}
	if _, err := os.Stat(own); err != nil {
		t.Errorf("a file that pgaside did not write is gone: %v", err)
	}
	if info, err := os.Stat(db); err != nil || !info.ModTime().Equal(past) {
		t.Errorf("db.go was fresh and is written anew: %v, %v", info.ModTime(), err)
	}
	entries, err := os.ReadDir(opts.Out)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("Write leaves %s behind", e.Name())
		}
	}
}

func TestWriteRefusesForeignFile(t *testing.T) {
	t.Parallel()

	opts := copyCase(t, "single")
	res, err := Run(opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(opts.Out, 0o755); err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(opts.Out, "db.go")
	if err := os.WriteFile(mine, []byte("package cached\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := res.Write(); err == nil || !strings.Contains(err.Error(), "was not written by pgaside") {
		t.Errorf("Write over a foreign file = %v", err)
	}
	entries, err := os.ReadDir(opts.Out)
	if err != nil || len(entries) != 1 {
		t.Errorf("the refused Write left %v, %v", entries, err)
	}
}

// TestBrokenDecoratorDoesNotMatter checks that a decorator that doesn't compile, or isn't
// there, does not matter to the generator.
func TestBrokenDecoratorDoesNotMatter(t *testing.T) {
	t.Parallel()

	opts := copyCase(t, "single")
	if err := os.MkdirAll(opts.Out, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(opts.Out, "db.go"), []byte(fileHeader+"\nthis is not Go\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(opts); err != nil {
		t.Error(err)
	}
}

func TestStaleSqlcOutput(t *testing.T) {
	t.Parallel()

	opts := copyCase(t, "single")
	text, err := os.ReadFile(opts.Queries[0])
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "-- name: ListTitles :many", "-- name: ListAllTitles :many", 1)
	changed += "\n-- name: Like :exec\nSELECT 1;\n"
	if err := os.WriteFile(opts.Queries[0], []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = Run(opts)
	var fs Findings
	if !errors.As(err, &fs) {
		t.Fatalf("Run = %v, want findings", err)
	}
	for _, want := range []string{
		"query ListTitles :many of the package isn't in",
		"query ListAllTitles isn't in the package that sqlc wrote",
		"query Like is also at",
	} {
		if !strings.Contains(fs.Error(), want) {
			t.Errorf("no finding %q in:\n%s", want, fs.Error())
		}
	}
}

// TestLineEndings checks that files with the line ends of Windows say the same.
func TestLineEndings(t *testing.T) {
	t.Parallel()

	opts := copyCase(t, "single")
	want, err := Run(opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Concat(opts.Schema, opts.Queries) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(strings.ReplaceAll(string(text), "\n", "\r\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Run(opts)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Files, got.Files); diff != "" {
		t.Errorf("with CR LF (-want +got):\n%s", diff)
	}
}

func TestUnreadableProject(t *testing.T) {
	t.Parallel()

	opts := copyCase(t, "single")
	broken := opts
	broken.Schema = []string{filepath.Join(filepath.Dir(opts.Schema[0]), "nowhere")}
	if _, err := Run(broken); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Run without a schema = %v", err)
	}
	broken = opts
	broken.Queries = []string{filepath.Join(filepath.Dir(opts.Queries[0]), "nowhere")}
	if _, err := Run(broken); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Run without queries = %v", err)
	}

	if err := os.WriteFile(opts.Schema[0], []byte("CREATE TABLE (;"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Run(opts)
	var fs Findings
	if !errors.As(err, &fs) || !strings.Contains(fs.Error(), "schema.sql:1:14: the schema can't be parsed") {
		t.Errorf("Run with a broken schema = %v", err)
	}
	for text, want := range map[string]string{
		"package repo\n":           "undefined: ",
		"package repo\n\nfunc {\n": "expected",

		"package repo\n\nimport _ \"example.com/nowhere\"\n": "example.com/nowhere",
	} {
		if err := os.WriteFile(filepath.Join(opts.Repo, "models.go"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err = Run(opts)
		if !errors.As(err, &fs) || !strings.Contains(fs.Error(), "the package that sqlc wrote doesn't compile") || !strings.Contains(fs.Error(), want) {
			t.Errorf("Run with a broken package = %v, want %s", err, want)
		}
	}
}

func TestExplainOneQuery(t *testing.T) {
	t.Parallel()

	res, err := runCase("single")
	if err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"GetSession":    "group session(id) ttl=30m\n",
		"RenameSession": "session_list(result user_id)",
		"ListTitles":    "ListTitles (testdata/single/query.sql:34:10) is not cached and changes no cached read.\n",
	} {
		text, err := res.Explain(query, "text")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, want) {
			t.Errorf("Explain(%q) has no %q:\n%s", query, want, text)
		}
		if strings.Contains(text, "CountSessions") && query == "GetSession" {
			t.Errorf("Explain(%q) speaks of another read:\n%s", query, text)
		}
	}
	if _, err := res.Explain("Nothing", "text"); err == nil {
		t.Error("Explain of an unknown query succeeds")
	}
}

func TestMigrationDirectory(t *testing.T) {
	t.Parallel()

	dir := t.TempDir()
	for name, text := range map[string]string{
		"000001_a.up.sql":   "CREATE TABLE a (id bigint PRIMARY KEY, old_name text, gone int);",
		"000001_a.down.sql": "DROP TABLE a;",
		"000002_b.up.sql": `ALTER TABLE a RENAME COLUMN old_name TO name; ALTER TABLE a DROP COLUMN gone;
			ALTER TABLE a ADD COLUMN b_id bigint UNIQUE; CREATE TABLE b (id bigint PRIMARY KEY);
			ALTER TABLE a ADD CONSTRAINT ab FOREIGN KEY (b_id) REFERENCES b ON DELETE CASCADE;
			CREATE UNIQUE INDEX one ON a (name) WHERE name <> ''; CREATE TABLE c (id bigint); DROP TABLE c;`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, findings, err := loadSchema(dir)
	if err != nil || len(findings) > 0 {
		t.Fatal(err, findings)
	}
	a, why := s.find("", "a")
	if a == nil {
		t.Fatal(why)
	}
	var cols []string
	for _, c := range a.cols {
		cols = append(cols, c.name+" "+c.typ)
	}
	if got := strings.Join(cols, ", "); got != "id int8, name text, b_id int8" {
		t.Errorf("columns of a: %s", got)
	}
	if !a.hasUnique(func(c string) bool { return c == "b_id" }) || a.hasUnique(func(c string) bool { return c == "name" }) {
		t.Errorf("unique constraints of a: %+v", a.uniques)
	}
	if len(a.fks) != 1 || a.fks[0].onDelete != "c" || len(a.fks[0].refCols) != 1 || a.fks[0].refCols[0] != "id" {
		t.Errorf("foreign keys of a: %+v", a.fks)
	}
	if c, _ := s.find("", "c"); c != nil {
		t.Error("c is dropped and found")
	}
}
