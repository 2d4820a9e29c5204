package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// twoPackages copies two cases below a directory inside the module, so that their
// imports resolve, with one sqlc.yaml for both.
func twoPackages(t *testing.T, first, second string) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp(testdata, "_copy-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	var conf strings.Builder
	conf.WriteString("version: \"2\"\nsql:\n")
	for i, name := range []string{first, second} {
		at := []string{"one", "two"}[i]
		if err := os.CopyFS(filepath.Join(dir, at), os.DirFS(testdata+name)); err != nil {
			t.Fatal(err)
		}
		conf.WriteString("  - engine: postgresql\n    schema: [" + at + "/schema.sql]\n    queries: " + at + "/query.sql\n" +
			"    gen: {go: {out: " + at + "/repo, sql_package: pgx/v5}}\n")
	}
	conf.WriteString("  - {engine: mysql, schema: s, queries: q, gen: {go: {out: three/repo}}}\n")
	write(t, filepath.Join(dir, "sqlc.yaml"), conf.String())
	return dir
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// removeNotes takes the @cache lines out of a query file.
func removeNotes(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.SplitAfterSeq(string(text), "\n") {
		if !strings.HasPrefix(line, "-- @") {
			b.WriteString(line)
		}
	}
	write(t, file, b.String())
}

func TestSeveralPackages(t *testing.T) {
	t.Parallel()

	dir := twoPackages(t, "single", "joins")
	conf := []string{"--config", filepath.Join(dir, "sqlc.yaml")}
	one, two := filepath.Join(dir, "one", "cached"), filepath.Join(dir, "two", "cached")
	code, stdout, stderr := call(t, append([]string{"generate"}, conf...)...)
	if code != 0 || !strings.Contains(stdout, "wrote "+filepath.Join(one, "db.go")) || !strings.Contains(stdout, "wrote "+filepath.Join(two, "db.go")) {
		t.Fatalf("generate: exit code %d\n%s%s", code, stdout, stderr)
	}
	if !strings.Contains(stderr, filepath.Join("three", "repo")+" is left out: its engine is mysql, not postgresql") {
		t.Errorf("generate says:\n%s", stderr)
	}
	if code, stdout, stderr := call(t, append([]string{"check"}, conf...)...); code != 0 || stdout != "" {
		t.Errorf("check: exit code %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, _ = call(t, append([]string{"explain"}, conf...)...)
	if code != 0 || strings.Count(stdout, "package "+dir) != 2 {
		t.Errorf("explain: exit code %d\n%s", code, stdout)
	}
	code, stdout, _ = call(t, append([]string{"explain", "RenameSession"}, conf...)...)
	if code != 0 || !strings.Contains(stdout, "session_list(result user_id)") {
		t.Errorf("explain RenameSession: exit code %d\n%s", code, stdout)
	}
	if code, _, stderr := call(t, append([]string{"explain", "Nothing"}, conf...)...); code != 2 || !strings.Contains(stderr, "no query Nothing") {
		t.Errorf("explain Nothing: exit code %d\n%s", code, stderr)
	}
	if code, _, stderr := call(t, append([]string{"generate", "--out", "x"}, conf...)...); code != 2 || !strings.Contains(stderr, "give each its out: in pgaside.yaml") {
		t.Errorf("generate --out: exit code %d\n%s", code, stderr)
	}

	// Without @cache in one of them, its decorator is left behind: that is told.
	removeNotes(t, filepath.Join(dir, "two", "query.sql"))
	code, _, stderr = call(t, append([]string{"generate"}, conf...)...)
	if code != 1 || !strings.Contains(stderr, "still has the decorator of queries that did") || !strings.Contains(stderr, "remove "+two) {
		t.Errorf("generate with a decorator left behind: exit code %d\n%s", code, stderr)
	}
	if err := os.RemoveAll(two); err != nil {
		t.Fatal(err)
	}
	code, _, stderr = call(t, append([]string{"generate"}, conf...)...)
	if code != 0 || !strings.Contains(stderr, filepath.Join("two", "repo")+" is left out: no query says @cache") {
		t.Errorf("generate without @cache in one package: exit code %d\n%s", code, stderr)
	}
	removeNotes(t, filepath.Join(dir, "one", "query.sql"))
	if err := os.RemoveAll(one); err != nil {
		t.Fatal(err)
	}
	code, _, stderr = call(t, append([]string{"generate"}, conf...)...)
	if code != 1 || strings.Count(stderr, "there is nothing to cache") != 2 {
		t.Errorf("generate without any @cache: exit code %d\n%s", code, stderr)
	}
}

// One sound package is not written when the other has findings.
func TestAllPackagesOrNone(t *testing.T) {
	t.Parallel()

	dir := twoPackages(t, "single", "refuse_writes")
	conf := filepath.Join(dir, "sqlc.yaml")
	edit := func(file string) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		write(t, file, string(text)+"\n-- name: New :exec\nSELECT 1;\n")
	}
	code, stdout, stderr := call(t, "generate", "--config", conf)
	if code != 1 || stdout != "" || !strings.Contains(stderr, "ExecByOther changes rows of messages, which ListMessages reads") {
		t.Errorf("generate: exit code %d\n%s%s", code, stdout, stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "one", "cached")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the sound package is written: %v", err)
	}
	edit(filepath.Join(dir, "one", "query.sql"))
	_, _, stderr = call(t, "generate", "--config", conf)
	a, b := strings.Index(stderr, "query New isn't in the package"), strings.Index(stderr, "ExecByOther changes rows")
	if a < 0 || b < a {
		t.Errorf("the findings of both packages are not there, by file:\n%s", stderr)
	}
}

// TestSeveralPackagesAsJSON checks that each command prints one document for all
// packages, and nothing else.
func TestSeveralPackagesAsJSON(t *testing.T) {
	t.Parallel()

	dir := twoPackages(t, "single", "joins")
	conf := []string{"--json", "--config", filepath.Join(dir, "sqlc.yaml")}
	for _, step := range []struct {
		command, what string
		code          int
	}{{"check", "missing", 1}, {"generate", "wrote", 0}, {"check", "", 0}} {
		code, stdout, stderr := call(t, append([]string{step.command}, conf...)...)
		var r report
		decode(t, stdout, &r)
		if code != step.code || stderr != "" || len(r.Findings) > 0 || len(r.LeftOut) != 1 || !strings.Contains(r.LeftOut[0].Why, "mysql") {
			t.Errorf("%s: exit code %d, %s\n%s", step.command, code, stderr, stdout)
		}
		of := map[string]bool{}
		for _, f := range r.Files {
			of[filepath.Dir(f.File)] = f.What == step.what
		}
		if step.what != "" && (!of[filepath.Join(dir, "one", "cached")] || !of[filepath.Join(dir, "two", "cached")]) {
			t.Errorf("%s lacks files of a package:\n%s", step.command, stdout)
		}
	}

	type maps struct {
		Packages []struct{ Repo string }
		LeftOut  []struct{ Name string } `json:"left_out"`
	}
	for query, want := range map[string]int{"": 2, "RenameSession": 1} {
		args := append([]string{"explain"}, conf...)
		if query != "" {
			args = append(args, query)
		}
		code, stdout, stderr := call(t, args...)
		var m maps
		if err := json.Unmarshal([]byte(stdout), &m); err != nil || code != 0 || stderr != "" || len(m.Packages) != want || len(m.LeftOut) != 1 {
			t.Errorf("explain %s: exit code %d, %v, %s\n%s", query, code, err, stderr, stdout)
		}
	}
	code, stdout, _ := call(t, "explain", "--format", "dot", "--config", filepath.Join(dir, "sqlc.yaml"))
	if code != 0 || strings.Count(stdout, "digraph") != 1 || strings.Count(stdout, "subgraph") != 2 {
		t.Errorf("explain --format dot: exit code %d\n%s", code, stdout)
	}

	// The findings of one package are all that is printed.
	text, err := os.ReadFile(filepath.Join(dir, "two", "query.sql"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "two", "query.sql"), string(text)+"\n-- name: Later :exec\nSELECT 1;\n")
	for _, command := range []string{"generate", "check", "explain"} {
		code, stdout, stderr := call(t, append([]string{command}, conf...)...)
		var r report
		decode(t, stdout, &r)
		if code != 1 || stderr != "" || len(r.Findings) != 1 || r.Findings[0].Query != "Later" || r.Findings[0].Column == 0 || len(r.LeftOut) != 1 {
			t.Errorf("%s with a finding: exit code %d, %s\n%s", command, code, stderr, stdout)
		}
	}
	code, stdout, stderr := call(t, append([]string{"init"}, conf...)...)
	var doc initReport
	decode(t, stdout, &doc)
	if code != 1 || stderr != "" || len(doc.Findings) != 1 || doc.Packages == nil || len(doc.Packages) > 0 || doc.Written == nil {
		t.Errorf("init with a finding: exit code %d, %s\n%s", code, stderr, stdout)
	}
}

// initReport is what a program reads of init.
type initReport struct {
	Findings []finding
	Packages []struct {
		Repo, Out string
		Cached    int
		Proposals []struct {
			Query, File, Annotation string
			Line, Column            int
			Problems                []finding
		}
		Code []struct {
			File             string
			Line, Column     int
			Kind, Have, Want string
		}
	}
	Written []string
	LeftOut []struct{ Name, Why string } `json:"left_out"`
}

func TestNothingToCache(t *testing.T) {
	t.Parallel()

	dir := twoPackages(t, "init", "init")
	at := filepath.Join(dir, "one")
	removeNotes(t, filepath.Join(at, "query.sql"))
	args := []string{"--repo", at + "/repo", "--schema", at + "/schema.sql", "--queries", at + "/query.sql", "--out", at + "/cached"}
	for _, command := range []string{"generate", "check", "explain"} {
		code, stdout, stderr := call(t, append([]string{command}, args...)...)
		if code != 1 || stdout != "" || !strings.Contains(stderr, "there is nothing to cache: no query says @cache") || !strings.Contains(stderr, "pgaside init") {
			t.Errorf("%s: exit code %d\n%s%s", command, code, stdout, stderr)
		}
	}
	if _, err := os.Stat(at + "/cached"); err == nil {
		t.Error("something is written")
	}
}

// The flags are not needed in this repository. It is the one test that changes the
// working directory, and so does not run beside others.
func TestFlagless(t *testing.T) {
	t.Chdir(filepath.Join("..", ".."))
	if code, stdout, stderr := call(t, "check"); code != 0 || stdout+stderr != "" {
		t.Errorf("check: exit code %d\n%s%s", code, stdout, stderr)
	}
	t.Chdir(t.TempDir())
	if code, _, stderr := call(t, "check"); code != 2 || !strings.Contains(stderr, "there is no sqlc.yaml") || !strings.Contains(stderr, "--config") {
		t.Errorf("check elsewhere: exit code %d\n%s", code, stderr)
	}
	write(t, "sqlc.yaml", "version: \"2\"\n")
	write(t, "sqlc.json", "{}")
	if code, _, stderr := call(t, "check"); code != 2 || !strings.Contains(stderr, "sqlc.yaml and sqlc.json are both here") {
		t.Errorf("check with two files: exit code %d\n%s", code, stderr)
	}
}

func TestInit(t *testing.T) {
	t.Parallel()

	dir := twoPackages(t, "init", "single")
	queries := filepath.Join(dir, "one", "query.sql")
	removeNotes(t, queries)
	conf := []string{"--config", filepath.Join(dir, "sqlc.yaml")}
	before, err := os.ReadFile(queries)
	if err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := call(t, append([]string{"init"}, conf...)...)
	if code != 0 {
		t.Fatalf("init: exit code %d\n%s%s", code, stdout, stderr)
	}
	for _, want := range []string{
		"query.sql:1:10: GetAuthor\n  + -- @cache author(id) ttl=30m\n", "  # -- @cache book_by_author(author_id) ttl=5m\n",
		"RenameBook changes rows of books", "pgaside init --write adds the 6 lines marked +", "q := cached.New(pool, c)",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("init prints no %q:\n%s", want, stdout)
		}
	}
	if after, err := os.ReadFile(queries); err != nil || string(after) != string(before) {
		t.Error("init without --write has written")
	}

	code, stdout, stderr = call(t, append([]string{"init", "--write", "--json"}, conf...)...)
	if code != 0 {
		t.Fatalf("init --write --json: exit code %d\n%s%s", code, stdout, stderr)
	}
	var doc initReport
	decode(t, stdout, &doc)
	if len(doc.Written) != 1 || doc.Written[0] != queries || len(doc.Packages) != 2 || len(doc.Packages[0].Proposals) != 7 {
		t.Errorf("init --write --json:\n%s", stdout)
	}
	for _, p := range doc.Packages[0].Proposals {
		if p.Line == 0 || p.Column != 10 || p.Problems == nil || (len(p.Problems) > 0) != (p.Query == "ListBooks") {
			t.Errorf("init --write --json proposes %+v", p)
		}
		for _, f := range p.Problems {
			if f.Query != "RenameBook" || f.Read != "ListBooks" || f.Column == 0 || len(f.Mend) == 0 {
				t.Errorf("a problem of ListBooks: %+v", f)
			}
		}
	}
	if code, stdout, _ := call(t, append([]string{"init", "--write"}, conf...)...); code != 0 || !strings.Contains(stdout, "nothing is proposed") {
		t.Errorf("init again: exit code %d\n%s", code, stdout)
	}
	if code, stdout, stderr := call(t, append([]string{"generate"}, conf...)...); code != 0 || !strings.Contains(stdout, "wrote") {
		t.Errorf("generate after init: exit code %d\n%s%s", code, stdout, stderr)
	}
}
