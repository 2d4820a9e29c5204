package gen

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/go/packages"
)

// Every folder of testdata is one project: schema.sql and query.sql, repo/ as
// sqlc made it of them, and either want/ (the generated package and the map) or
// want.err (the exact findings). sqlc.yaml holds the options of sqlc where they
// are not those of this repository.
//
// After a change of the SQL or the generator,
//
//	go test ./internal/gen -update
//
// runs sqlc, writes want/ or want.err anew, and leaves the reading to you.
var update = flag.Bool("update", false, "run sqlc and write the expected output of testdata anew")

// defaultOptions are the options of sqlc for a case without sqlc.yaml.
const defaultOptions = `
        emit_interface: true
        emit_empty_slices: true
        emit_pointers_for_null_types: true
        overrides:
          - {db_type: uuid, go_type: github.com/google/uuid.UUID}
          - {db_type: uuid, nullable: true, go_type: {import: github.com/google/uuid, type: UUID, pointer: true}}
          - {db_type: timestamptz, go_type: time.Time}
          - {db_type: timestamptz, nullable: true, go_type: {import: time, type: Time, pointer: true}}
`

func cases(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), "_") {
			out = append(out, e.Name())
		}
	}
	return out
}

func TestMain(m *testing.M) {
	flag.Parse()
	if *update {
		if err := runSqlc(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// runSqlc makes repo/ of every case.
func runSqlc() error {
	var conf strings.Builder
	conf.WriteString("version: \"2\"\nsql:\n")
	entries, err := os.ReadDir("testdata")
	if err != nil {
		return err
	}
	for _, e := range entries {
		dir := filepath.ToSlash(filepath.Join("internal/gen/testdata", e.Name()))
		opts := defaultOptions
		if own, err := os.ReadFile(filepath.Join("testdata", e.Name(), "sqlc.yaml")); err == nil {
			opts = "\n"
			for line := range strings.SplitSeq(strings.TrimSpace(string(own)), "\n") {
				opts += "        " + line + "\n"
			}
		}
		if !strings.Contains(opts, "sql_package:") {
			opts = "\n        sql_package: pgx/v5" + opts
		}
		if err := os.RemoveAll(filepath.Join("testdata", e.Name(), "repo")); err != nil {
			return err
		}
		fmt.Fprintf(&conf, "  - engine: postgresql\n    schema: %[1]s/schema.sql\n    queries: %[1]s/query.sql\n    gen:\n      go:\n"+
			"        package: repo\n        out: %[1]s/repo%[2]s", dir, opts)
	}
	file := filepath.Join("..", "..", ".sqlc-testdata.yaml")
	if err := os.WriteFile(file, []byte(conf.String()), 0o600); err != nil {
		return err
	}
	defer func() { _ = os.Remove(file) }()
	cmd := exec.Command("go", "tool", "-modfile=tools/go.mod", "sqlc", "generate", "-f", ".sqlc-testdata.yaml")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("sqlc generate: %w\n%s", err, out)
	}
	return nil
}

func runCase(name string) (*Result, error) {
	dir := filepath.Join("testdata", name)
	return Run(Options{
		Repo: filepath.Join(dir, "repo"), Schema: []string{filepath.Join(dir, "schema.sql")}, Queries: []string{filepath.Join(dir, "query.sql")},
		Out: filepath.Join(dir, "want"),
	})
}

func TestGolden(t *testing.T) {
	t.Parallel()

	for _, name := range cases(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			want := filepath.Join("testdata", name, "want")
			res, err := runCase(name)
			var findings Findings
			if errors.As(err, &findings) {
				golden(t, want+".err", []byte(findings.Error()+"\n"))
				if *update {
					if err := os.RemoveAll(want); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := os.Stat(want); err == nil {
					t.Errorf("%s has findings and %s as well", name, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			text, err := res.Explain("")
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := errors.Join(os.RemoveAll(want), os.RemoveAll(want+".err"), os.MkdirAll(want, 0o755)); err != nil {
					t.Fatal(err)
				}
			}
			for file, code := range res.Files {
				golden(t, filepath.Join(want, file), code)
			}
			golden(t, filepath.Join(want, "explain.txt"), []byte(text))
			entries, err := os.ReadDir(want)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if e.Name() != "explain.txt" && res.Files[e.Name()] == nil {
					t.Errorf("%s is not generated", filepath.Join(want, e.Name()))
				}
			}
		})
	}
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// TestGeneratedCompiles type-checks every expected package against the real
// cache and pgfence.
func TestGeneratedCompiles(t *testing.T) {
	t.Parallel()

	var patterns []string
	for _, name := range cases(t) {
		if _, err := os.Stat(filepath.Join("testdata", name, "want", "db.go")); err == nil {
			patterns = append(patterns, "./"+name+"/want")
		}
	}
	if len(patterns) == 0 {
		t.Fatal("no case has generated code")
	}
	pkgs, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedImports | packages.NeedTypes | packages.NeedSyntax | packages.NeedTypesInfo,
		Dir:  "testdata",
	}, patterns...)
	if err != nil {
		t.Fatal(err)
	}
	if len(pkgs) != len(patterns) {
		t.Errorf("type-checked %d packages, want %d", len(pkgs), len(patterns))
	}
	for _, p := range pkgs {
		for _, e := range p.Errors {
			t.Error(e)
		}
	}
}

// copyCase copies the SQL and the sqlc package of a case to a place of its own
// inside the module, so that its imports resolve.
func copyCase(t *testing.T, name string) Options {
	t.Helper()
	dir, err := os.MkdirTemp("testdata", "_copy-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", name))); err != nil {
		t.Fatal(err)
	}
	return Options{
		Repo: filepath.Join(dir, "repo"), Schema: []string{filepath.Join(dir, "schema.sql")}, Queries: []string{filepath.Join(dir, "query.sql")},
		Out: filepath.Join(dir, "cached"),
	}
}
