package gen

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/go/packages"
)

// writeFiles writes files below a new directory and returns it.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func block(schema, queries, out, more string) string {
	return "  - engine: postgresql\n    schema: " + schema + "\n    queries: " + queries + "\n    gen:\n      go:\n        package: " +
		filepath.Base(out) + "\n        out: " + out + "\n        " + more + "\n"
}

const (
	v2  = "version: \"2\"\nsql:\n"
	pgx = "sql_package: pgx/v5"
)

func TestReadConfig(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		sqlc, own string
		want      []Options // relative to the directory
		skipped   []string
	}{
		"one package": {
			sqlc: v2 + block("db/migrations", "db/queries", "internal/db/repo", pgx),
			want: []Options{{Repo: "internal/db/repo", Schema: []string{"db/migrations"}, Queries: []string{"db/queries"}, Out: "internal/db/cached"}},
		},
		"lists, and a package at the root": {
			sqlc: v2 + block("[a.sql, 'b/*.sql']", "[q, r.sql]", ".", pgx),
			want: []Options{{Repo: ".", Schema: []string{"a.sql", "b/*.sql"}, Queries: []string{"q", "r.sql"}, Out: "cached"}},
		},
		"beside each other": {
			sqlc: v2 + block("s", "q1", "db/users", pgx) + block("s", "q2", "db/orders", pgx) + block("s", "q3", "elsewhere/repo", pgx),
			want: []Options{
				{Repo: "db/users", Schema: []string{"s"}, Queries: []string{"q1"}, Out: "db/userscached"},
				{Repo: "db/orders", Schema: []string{"s"}, Queries: []string{"q2"}, Out: "db/orderscached"},
				{Repo: "elsewhere/repo", Schema: []string{"s"}, Queries: []string{"q3"}, Out: "elsewhere/cached"},
			},
		},
		"what can't be used": {
			sqlc: v2 + block("s", "q", "a/lib", "sql_package: database/sql") + block("s", "q", "b/std", "emit_interface: true") +
				"  - {engine: mysql, schema: s, queries: q, gen: {go: {out: c/my}}}\n" +
				"  - {engine: postgresql, schema: s, queries: q, codegen: [{plugin: py, out: d}]}\n" +
				"  - {engine: postgresql, schema: s, queries: q, gen: {json: {out: e}}}\n" +
				block("s", "q", "f/repo", pgx),
			want: []Options{{Repo: "f/repo", Schema: []string{"s"}, Queries: []string{"q"}, Out: "f/cached"}},
			skipped: []string{
				"its sql_package is database/sql, not pgx/v5", "its sql_package is database/sql, sqlc's default, not pgx/v5",
				"its engine is mysql, not postgresql", "its code is made by the plugin py, not by gen: go:", "it makes no Go: gen: has no go:",
			},
		},
		"version 1": {
			sqlc: "version: 1\npackages:\n  - {name: repo, path: x/repo, schema: s.sql, queries: q.sql, sql_package: pgx/v5}\n",
			want: []Options{{Repo: "x/repo", Schema: []string{"s.sql"}, Queries: []string{"q.sql"}, Out: "x/cached"}},
		},
		"json": {
			sqlc: `{"version": "2", "sql": [{"engine": "postgresql", "schema": ["s"], "queries": "q", "gen": {"go": {"out": "repo", "sql_package": "pgx/v5"}}}]}`,
			want: []Options{{Repo: "repo", Schema: []string{"s"}, Queries: []string{"q"}, Out: "cached"}},
		},
		"pgaside.yaml": {
			sqlc: v2 + block("s", "q1", "db/users", pgx) + block("s", "q2", "db/orders", pgx),
			own: `# names of our own
packages:
  - repo: ./db/users
    out: people
    package: store
    interfaces: "{}Store"
    interface_names: {sessions: SessionKeeper, tokens.sql: Vault}
    querier: All
  - repo: db/orders
    interfaces: off
    querier: off
`,
			want: []Options{
				{
					Repo: "db/users", Schema: []string{"s"}, Queries: []string{"q1"}, Out: "people", Package: "store", Interfaces: "{}Store",
					InterfaceNames: map[string]string{"sessions": "SessionKeeper", "tokens": "Vault"}, Querier: "All",
				},
				{Repo: "db/orders", Schema: []string{"s"}, Queries: []string{"q2"}, Out: "db/orderscached", Interfaces: Off, Querier: Off},
			},
		},
		"pgaside.yaml without repo": {
			sqlc: v2 + block("s", "q", "repo", pgx),
			own:  "packages: [{out: fast}]",
			want: []Options{{Repo: "repo", Schema: []string{"s"}, Queries: []string{"q"}, Out: "fast"}},
		},
		"pgaside.yaml that is empty": {
			sqlc: v2 + block("s", "q", "repo", pgx),
			own:  "# nothing yet\n",
			want: []Options{{Repo: "repo", Schema: []string{"s"}, Queries: []string{"q"}, Out: "cached"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			files := map[string]string{"sqlc.yaml": c.sqlc}
			if c.own != "" {
				files["pgaside.yaml"] = c.own
			}
			dir := writeFiles(t, files)
			conf, err := ReadConfig(filepath.Join(dir, "sqlc.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			for i := range c.want {
				w := &c.want[i]
				w.Repo, w.Out = filepath.Join(dir, w.Repo), filepath.Join(dir, w.Out)
				for _, list := range [][]string{w.Schema, w.Queries} {
					for j := range list {
						list[j] = filepath.Join(dir, list[j])
					}
				}
			}
			if diff := cmp.Diff(c.want, conf.Projects); diff != "" {
				t.Errorf("projects (-want +got):\n%s", diff)
			}
			var skipped []string
			for _, s := range conf.Skipped {
				skipped = append(skipped, s.Why)
			}
			if diff := cmp.Diff(c.skipped, skipped); diff != "" {
				t.Errorf("skipped (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadConfigRefuses(t *testing.T) {
	t.Parallel()

	good := v2 + block("s", "q", "repo", pgx)
	two := good + block("s", "q2", "db/other", pgx)
	for name, c := range map[string]struct{ sqlc, own, want string }{
		"not yaml":         {sqlc: "version: \"2\"\nsql: [", want: "sqlc.yaml can't be read: line 2"},
		"no version":       {sqlc: "services:\n  db: {}\n", want: `sqlc.yaml has no version`},
		"future version":   {sqlc: "version: 3\n", want: `has version "3": pgaside knows 2 and 1`},
		"empty":            {sqlc: "", want: "has no version"},
		"wrong kind":       {sqlc: "version: \"2\"\nsql:\n  - engine: [a]\n", want: "sqlc.yaml can't be read: line 3: cannot unmarshal !!seq"},
		"nothing usable":   {sqlc: v2 + block("s", "q", "lib", "sql_package: database/sql"), want: "has no package that pgaside can use"},
		"no out":           {sqlc: v2 + "  - {engine: postgresql, schema: s, queries: q, gen: {go: {sql_package: pgx/v5}}}\n", want: "sqlc.yaml:3 (package 1) has no schema, no queries or no out"},
		"unknown key":      {sqlc: good, own: "packages:\n  - repo: repo\n    outt: x\n", want: "pgaside.yaml:3: unknown key outt; the keys are repo, out, package, interfaces, interface_names, querier"},
		"unknown top key":  {sqlc: good, own: "package: {}\n", want: "pgaside.yaml:1: unknown key package; the keys are packages"},
		"key twice":        {sqlc: good, own: "packages:\n  - out: a\n    out: b\n", want: "pgaside.yaml"},
		"no list":          {sqlc: good, own: "packages:\n  repo: x\n", want: "pgaside.yaml:1: packages is a list"},
		"unknown repo":     {sqlc: good, own: "packages: [{repo: nowhere}]", want: "has no package in"},
		"which repo":       {sqlc: two, own: "packages: [{out: x}]", want: "repo is missing, and"},
		"repo twice":       {sqlc: two, own: "packages:\n- repo: repo\n- repo: repo\n", want: "pgaside.yaml:3: "},
		"bad package":      {sqlc: good, own: "packages: [{package: my-cache}]", want: "my-cache can't name a package"},
		"keyword":          {sqlc: good, own: "packages: [{package: func}]", want: "func can't name a package"},
		"bad pattern":      {sqlc: good, own: "packages: [{interfaces: Repository}]", want: "interfaces is a pattern such as"},
		"unexported":       {sqlc: good, own: `packages: [{interfaces: "my{}"}]`, want: "interfaces is a pattern such as"},
		"bad name":         {sqlc: good, own: "packages: [{interface_names: {q: sessions}}]", want: "sessions can't name an interface"},
		"bad querier":      {sqlc: good, own: "packages: [{querier: querier}]", want: "querier can't name an interface"},
		"kind of value":    {sqlc: good, own: "packages: [{out: [a]}]", want: "here belongs a text"},
		"same out":         {sqlc: two, own: "packages: [{repo: repo, out: x}, {repo: db/other, out: x}]", want: "would both be written to"},
		"out is repo":      {sqlc: good, own: "packages: [{out: repo}]", want: "which sqlc writes: give it another out:"},
		"own is not yaml":  {sqlc: good, own: "packages: [", want: "pgaside.yaml can't be read"},
		"same block twice": {sqlc: good + block("s", "q", "repo", pgx), want: "would both be written to"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			files := map[string]string{"sqlc.yaml": c.sqlc}
			if c.own != "" {
				files["pgaside.yaml"] = c.own
			}
			_, err := ReadConfig(filepath.Join(writeFiles(t, files), "sqlc.yaml"))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("ReadConfig = %v, want %q", err, c.want)
			}
			if errors.As(err, new(Findings)) {
				t.Error("a wrong configuration is a finding: it would end with exit code 1")
			}
		})
	}
	if _, err := ReadConfig("testdata/nowhere/sqlc.yaml"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("ReadConfig of nothing = %v", err)
	}
}

func TestPathsOfSqlc(t *testing.T) {
	t.Parallel()

	dir := writeFiles(t, map[string]string{
		"m/10_b.up.sql": "", "m/2_a.up.sql": "", "m/2_a.down.sql": "", "m/.hidden.sql": "", "m/notes.txt": "",
		"n/1_c.sql": "", "n/2_d.sql": "", "extra.sql": "",
	})
	files, err := sqlFiles([]string{filepath.Join(dir, "extra.sql"), filepath.Join(dir, "m"), filepath.Join(dir, "n", "*.sql"), filepath.Join(dir, "n")}, true)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		rel, _ := filepath.Rel(dir, f)
		got = append(got, filepath.ToSlash(rel))
	}
	if diff := cmp.Diff([]string{"extra.sql", "m/2_a.up.sql", "m/10_b.up.sql", "n/1_c.sql", "n/2_d.sql"}, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	for _, path := range []string{"empty*", "m/notes*"} {
		if _, err := sqlFiles([]string{filepath.Join(dir, path)}, false); err == nil || !strings.Contains(err.Error(), "no .sql files in") {
			t.Errorf("sqlFiles(%s) = %v", path, err)
		}
	}
}

// TestNames checks the names of pgaside.yaml in the code, and that the code compiles.
func TestNames(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		project   string
		change    func(*Options)
		has, lack []string
		finding   string
	}{
		"pattern and package": {
			project: "single", change: func(o *Options) { o.Package, o.Interfaces = "store", "{}Reader" },
			has: []string{"package store\n", "type QueryReader interface {"}, lack: []string{"Repository"},
		},
		"a file's own name": {
			project: "single", change: func(o *Options) { o.InterfaceNames = map[string]string{"query": "SessionStore"} },
			has: []string{"type SessionStore interface {"}, lack: []string{"Repository"},
		},
		"one name with the others off": {
			project: "single", change: func(o *Options) { o.Interfaces, o.InterfaceNames = Off, map[string]string{"query": "SessionStore"} },
			has: []string{"type SessionStore interface {"},
		},
		"no interfaces": {
			project: "no_interface", change: func(o *Options) { o.Interfaces = Off },
			has: []string{"type Querier interface {\n\t"}, lack: []string{"QueryRepository"},
		},
		"no interfaces at all": {
			project: "no_interface", change: func(o *Options) { o.Interfaces, o.Querier = Off, Off }, lack: []string{" interface {"},
		},
		"an alias": {
			project: "single", change: func(o *Options) { o.Querier = "Store" }, has: []string{"type Store = repo.Querier"},
		},
		"a clash": {
			project: "no_interface", change: func(o *Options) { o.InterfaceNames = map[string]string{"query": "Querier"} },
			finding: "interface Querier of all queries has the name of something else",
		},
		"a reserved name": {
			project: "single", change: func(o *Options) { o.InterfaceNames = map[string]string{"query": "Queries"} },
			finding: "interface Queries of query.sql has the name of something else",
		},
		"no such file": {
			project: "single", change: func(o *Options) { o.InterfaceNames = map[string]string{"sessions": "S"} },
			finding: "names an interface of sessions.sql, and no query is in such a file",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			opts := copyCase(t, c.project)
			c.change(&opts)
			res, err := Run(opts)
			if c.finding != "" {
				if !errors.As(err, new(Findings)) || !strings.Contains(err.Error(), c.finding) {
					t.Errorf("Run = %v, want %q", err, c.finding)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			text := string(res.Files["db.go"]) + string(res.Files["query.go"])
			for _, h := range c.has {
				if !strings.Contains(text, h) {
					t.Errorf("the code has no %q", h)
				}
			}
			for _, l := range c.lack {
				if strings.Contains(text, l) {
					t.Errorf("the code has %q", l)
				}
			}
			if _, err := res.Write(); err != nil {
				t.Fatal(err)
			}
			typeCheck(t, opts.Out)
		})
	}
}

// TestInterfaceOfEachFile checks that no two files get the same interface.
func TestInterfaceOfEachFile(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		files []string
		named map[string]string
		want  map[string]string
	}{
		"singular and plural": {
			files: []string{"user", "users", "Users"},
			want:  map[string]string{"user": "UserRepository", "users": "UsersRepository", "Users": "UsersRepository2"},
		},
		"a name of one's own goes first": {
			files: []string{"user", "users"}, named: map[string]string{"users": "UserRepository"},
			want: map[string]string{"user": "UserRepository2", "users": "UserRepository"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			p := &project{opts: Options{InterfaceNames: c.named}.withDefaults(), src: &source{}}
			for _, f := range c.files {
				p.src.queries = append(p.src.queries, &query{file: f}, &query{file: f})
			}
			r := &renderer{p: p, ifaces: map[string]string{}}
			r.nameInterfaces(map[string]string{"Queries": "", "New": ""})
			if diff := cmp.Diff(c.want, r.ifaces); diff != "" || len(p.findings) > 0 {
				t.Errorf("interfaces (-want +got):\n%s%v", diff, p.findings)
			}
		})
	}
}

func typeCheck(t *testing.T, dir string) {
	t.Helper()
	pkgs, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedImports | packages.NeedTypes | packages.NeedSyntax | packages.NeedTypesInfo, Dir: dir,
	}, ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pkgs {
		for _, e := range p.Errors {
			t.Error(e)
		}
	}
}
