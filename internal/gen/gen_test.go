package gen

import (
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/go/packages"
)

// Every folder of testdata is one project: schema.sql and query.sql (or a
// directory queries/), repo/ as sqlc made it of them, and either want/ (the
// generated package and the map, as text and, for the cases in drawn, as JSON and
// as a graph) or want.err (the exact findings). sqlc.yaml holds the options of
// sqlc where they are not those of this repository. refuse_app_x has the schema
// and the options of app_x.
//
// After a change of the SQL or the generator,
//
//	go test ./internal/gen -update
//
// runs sqlc, writes want/ or want.err anew, and leaves the reading to you; with
// -run TestGolden/name it does so for the cases of that name only.
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

// drawn are the cases whose want/ holds the map in every format.
var drawn = map[string]bool{"cascade": true, "joins": true, "single": true, "triggers_covered": true}

func cases(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), "_") && fileExists(caseQueries(e.Name())) {
			out = append(out, e.Name())
		}
	}
	return out
}

// caseFile returns where a file of a case stands: in its folder, or in that of
// the application whose other half it is.
func caseFile(name, file string) string {
	own := filepath.Join("testdata", name, file)
	app, half := strings.CutPrefix(name, "refuse_")
	if _, err := os.Stat(own); err != nil && half {
		if shared := filepath.Join("testdata", app, file); fileExists(shared) {
			return shared
		}
	}
	return own
}

func fileExists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// caseQueries returns the query file of a case, or its directory of them.
func caseQueries(name string) string {
	if dir := filepath.Join("testdata", name, "queries"); fileExists(dir) {
		return dir
	}
	return filepath.Join("testdata", name, "query.sql")
}

func TestMain(m *testing.M) {
	flag.Parse()
	if *update {
		_, only, _ := strings.Cut(flag.Lookup("test.run").Value.String(), "/")
		re, err := regexp.Compile(only)
		if err == nil {
			err = runSqlc(re)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// runSqlc makes repo/ of every case whose name matches.
func runSqlc(only *regexp.Regexp) error {
	var conf strings.Builder
	conf.WriteString("version: \"2\"\nsql:\n")
	entries, err := os.ReadDir("testdata")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), "_") || !fileExists(caseQueries(e.Name())) || !only.MatchString(e.Name()) {
			continue
		}
		from := func(file string) string { return filepath.ToSlash(filepath.Join("internal/gen", file)) }
		opts := defaultOptions
		if own, err := os.ReadFile(caseFile(e.Name(), "sqlc.yaml")); err == nil {
			opts = "\n"
			for line := range strings.SplitSeq(strings.TrimSpace(string(own)), "\n") {
				opts += "        " + line + "\n"
			}
		}
		if !strings.HasPrefix(opts, "\n        package:") {
			opts = "\n        package: repo" + opts
		}
		if !strings.Contains(opts, "sql_package:") {
			opts = "\n        sql_package: pgx/v5" + opts
		}
		if err := os.RemoveAll(filepath.Join("testdata", e.Name(), "repo")); err != nil {
			return err
		}
		fmt.Fprintf(&conf, "  - engine: postgresql\n    schema: %s\n    queries: %s\n    gen:\n      go:\n"+
			"        out: %s%s", from(caseFile(e.Name(), "schema.sql")), from(caseQueries(e.Name())),
			from(filepath.Join("testdata", e.Name(), "repo")), opts)
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

// runCase runs a case once for all tests: loading packages is most of their time.
func runCase(name string) (*Result, error) {
	run, _ := ran.LoadOrStore(name, sync.OnceValues(func() (*Result, error) {
		dir := filepath.Join("testdata", name)
		return Run(Options{
			Repo: filepath.Join(dir, "repo"), Schema: []string{caseFile(name, "schema.sql")}, Queries: []string{caseQueries(name)},
			Out: filepath.Join(dir, "want"),
		})
	}))
	return run.(func() (*Result, error))()
}

var ran sync.Map // case → func() (*Result, error)

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
			if *update {
				if err := errors.Join(os.RemoveAll(want), os.RemoveAll(want+".err"), os.MkdirAll(want, 0o755)); err != nil {
					t.Fatal(err)
				}
			}
			for file, code := range res.Files {
				golden(t, filepath.Join(want, file), code)
			}
			for format, file := range map[string]string{"text": "explain.txt", "json": "explain.json", "dot": "explain.dot"} {
				if format != "text" && !drawn[name] {
					continue
				}
				text, err := res.Explain("", format)
				if err != nil {
					t.Fatal(err)
				}
				golden(t, filepath.Join(want, file), []byte(text))
			}
			entries, err := os.ReadDir(want)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if !strings.HasPrefix(e.Name(), "explain.") && res.Files[e.Name()] == nil {
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

// TestGeneratedCompiles type-checks every expected package, and checks that it
// can stand where sqlc's stood.
func TestGeneratedCompiles(t *testing.T) {
	t.Parallel()

	var patterns []string
	for _, name := range cases(t) {
		if fileExists(filepath.Join("testdata", name, "want", "db.go")) {
			patterns = append(patterns, "./"+name+"/want")
		}
	}
	if len(patterns) == 0 {
		t.Fatal("no case has generated code")
	}
	pkgs, err := packages.Load(&packages.Config{
		Mode:       packages.NeedName | packages.NeedImports | packages.NeedTypes | packages.NeedSyntax | packages.NeedTypesInfo,
		Dir:        "testdata",
		BuildFlags: []string{"-tags=database"}, // of shapes_tags
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
		if len(p.Errors) == 0 {
			checkDropIn(t, p.Types)
		}
	}
}

// checkDropIn checks that the methods of sqlc's Queries are in a generated package
// with the same types, that the small interfaces have all of them between them,
// that Querier is implemented, and that a mock of each small interface, as a
// user's mock generator would write it, compiles in a package of its own.
func checkDropIn(t *testing.T, p *types.Package) {
	t.Helper()
	var repo *types.Package
	for _, imp := range p.Imports() {
		if imp.Scope().Lookup("DBTX") != nil && imp.Scope().Lookup("Queries") != nil {
			repo = imp
		}
	}
	if repo == nil {
		t.Errorf("%s does not import sqlc's package", p.Path())
		return
	}
	want := types.NewMethodSet(types.NewPointer(repo.Scope().Lookup("Queries").Type()))
	have := types.NewPointer(p.Scope().Lookup("Queries").Type())
	if q := repo.Scope().Lookup("Querier"); q != nil && !types.Implements(have, q.Type().Underlying().(*types.Interface)) {
		t.Errorf("Queries of %s is no Querier", p.Path())
	}

	names := map[string]string{} // of the imports
	name := func(imp *types.Package) string {
		if names[imp.Path()] == "" {
			names[imp.Path()] = fmt.Sprintf("p%d", len(names))
		}
		return names[imp.Path()]
	}
	var body strings.Builder
	seen := map[string]bool{}
	for _, n := range p.Scope().Names() {
		iface, ok := p.Scope().Lookup(n).Type().Underlying().(*types.Interface)
		if !ok {
			continue
		}
		fmt.Fprintf(&body, "\ntype mock%s struct {\n", n)
		for m := range iface.Methods() {
			fmt.Fprintf(&body, "\tmock%s %s\n", m.Name(), types.TypeString(m.Type(), name))
		}
		fmt.Fprintf(&body, "}\n\nvar _ %[2]s.%[1]s = (*mock%[1]s)(nil)\n", n, name(p))
		for m := range iface.Methods() {
			var params, args []string
			for i := range m.Signature().Params().Len() {
				args = append(args, fmt.Sprintf("a%d", i))
				params = append(params, args[i]+" "+types.TypeString(m.Signature().Params().At(i).Type(), name))
			}
			result := strings.TrimPrefix(types.TypeString(types.NewSignatureType(nil, nil, nil, nil, m.Signature().Results(), false), name), "func()")
			fmt.Fprintf(&body, "\nfunc (m *mock%s) %s(%s)%s {\n\treturn m.mock%s(%s)\n}\n", n, m.Name(), strings.Join(params, ", "), result, m.Name(),
				strings.Join(args, ", "))
			seen[m.Name()] = true
		}
	}
	for sel := range want.Methods() {
		f := sel.Obj().(*types.Func)
		if f.Name() == "WithTx" {
			continue
		}
		got, _, _ := types.LookupFieldOrMethod(have, true, p, f.Name())
		if m, ok := got.(*types.Func); !ok || !types.Identical(m.Type(), f.Type()) {
			t.Errorf("%s has %v for %v", p.Path(), got, f)
		}
		if !seen[f.Name()] {
			t.Errorf("no interface of %s has %s", p.Path(), f.Name())
		}
	}
	var file strings.Builder
	file.WriteString("package mocks\n\nimport (\n")
	for path, n := range names {
		fmt.Fprintf(&file, "\t%s %q\n", n, path)
	}
	file.WriteString(")\n" + body.String())
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, "mocks.go", file.String(), 0)
	if err != nil {
		t.Errorf("the mocks of %s: %v", p.Path(), err)
		return
	}
	conf := types.Config{Importer: importerOf(append(p.Imports(), p))}
	if _, err := conf.Check("mocks", fset, []*ast.File{parsed}, nil); err != nil {
		t.Errorf("the mocks of %s: %v", p.Path(), err)
	}
}

// importerOf imports packages that are loaded already.
type importerOf []*types.Package

func (i importerOf) Import(path string) (*types.Package, error) {
	for _, p := range i {
		if p.Path() == path {
			return p, nil
		}
	}
	return nil, fmt.Errorf("%s is not loaded", path)
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
