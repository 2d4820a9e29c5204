package pgaside_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/audit"
	"github.com/pgaside/pgaside/internal/faults"
)

// What the documents name must exist: tests, files, sections, make targets, commands, flags and Go names.

// document is one Markdown file of the repository.
type document struct {
	name string
	text string
	code []string // the lines of code blocks, and code spans
	go_  []string // the blocks marked as Go
}

var (
	fence = regexp.MustCompile("(?ms)^[ ]*```([a-z]*)\n(.*?)^[ ]*```$")
	span  = regexp.MustCompile("`([^`\n]+)`")
)

func documents(t *testing.T) []document {
	t.Helper()
	names, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var docs []document
	for _, name := range append([]string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/model/README.md", "docs/benchmarks/README.md"}, names...) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		d := document{name: name, text: string(text)}
		for _, m := range fence.FindAllStringSubmatch(d.text, -1) {
			if m[1] == "text" { // what a command prints is prose
				continue
			}
			d.code = append(d.code, strings.Split(m[2], "\n")...)
			if m[1] == "go" {
				d.go_ = append(d.go_, m[2])
			}
		}
		for _, m := range span.FindAllStringSubmatch(fence.ReplaceAllString(d.text, ""), -1) {
			d.code = append(d.code, m[1])
		}
		docs = append(docs, d)
	}
	return docs
}

// each calls f with what the pattern's group matches in the texts.
func each(pattern string, texts []string, f func(found string)) {
	re := regexp.MustCompile(pattern)
	for _, text := range texts {
		for _, m := range re.FindAllStringSubmatch(text, -1) {
			f(m[1])
		}
	}
}

// source parses the Go files that match and calls f for each.
func source(t *testing.T, match func(name string) bool, f func(*ast.File)) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && (e.Name() == "testdata" || strings.HasPrefix(e.Name(), ".") && name != "."):
			return fs.SkipDir
		case e.IsDir() || !strings.HasSuffix(name, ".go") || !match(filepath.ToSlash(name)):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err == nil {
			f(file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDocumentsNameTestsThatExist(t *testing.T) {
	t.Parallel()
	tests := make(map[string]bool)
	source(t, func(name string) bool { return strings.HasSuffix(name, "_test.go") }, func(file *ast.File) {
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				tests[fn.Name.Name] = true
			}
		}
	})
	named := 0
	for _, d := range documents(t) {
		each(`\b((?:Test|Benchmark|Fuzz)[A-Z0-9]\w*)`, []string{d.text}, func(name string) {
			named++
			if !tests[name] {
				t.Errorf("%s names %s, which no _test.go has", d.name, name)
			}
		})
	}
	if named == 0 {
		t.Error("no document names a test: the pattern is wrong")
	}
}

// The list of attacks has every entry once, in order, and each says what shows it, or that it is not promised and what bounds it.
func TestAttackListIsWhole(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w+`)
	n := 0
	for line := range strings.Lines(string(text)) {
		if !regexp.MustCompile(`^\| A\d`).MatchString(line) {
			continue
		}
		n++
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 4 {
			t.Errorf("%d cells, want 4: %s", len(cells), line)
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if want := fmt.Sprintf("A%d", n); cells[0] != want {
			t.Fatalf("row %d is %s, want %s", n, cells[0], want)
		}
		if cells[1] == "" || cells[2] == "" {
			t.Errorf("%s does not say what happens", cells[0])
		}
		promised := !strings.Contains(cells[2], "**not promised**") && !strings.Contains(cells[2], "**Not promised**")
		if promised && !shown.MatchString(cells[3]) {
			t.Errorf("%s promises something and names no test: %s", cells[0], cells[3])
		}
		if !promised && !shown.MatchString(cells[3]) && !strings.Contains(cells[2], "TTL") {
			t.Errorf("%s neither promises anything nor gives a bound", cells[0])
		}
	}
	if n != 62 {
		t.Errorf("%d attacks, want 62", n)
	}
}

// Every switch of the model is in a run of its table, and every run has the switches that the model knows.
func TestModelRunsEverySwitch(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	known, used := map[string]bool{"PRODUCT": true}, make(map[string]bool)
	set := make(map[string]bool) // by the model itself
	model := []string{read("docs/model/lease.pml")}
	each(`#define (\w+)`, model, func(name string) { set[name] = true })
	each(`(?:#ifdef |#ifndef |defined\()([A-Z]\w*)`, model, func(name string) {
		if !set[name] || slices.Contains([]string{"ASYNC", "COLD", "POLL"}, name) {
			known[name] = true
		}
	})
	runs := 0
	each("(?m)^\\| `[a-z0-9-]+` \\| `([A-Z0-9 ]+)` \\|", []string{read("docs/model/README.md")}, func(switches string) {
		runs++
		for name := range strings.FieldsSeq(switches) {
			used[name] = true
			if !known[name] {
				t.Errorf("docs/model/README.md has a run with %s, which the model does not know", name)
			}
		}
	})
	for name := range known {
		if !used[name] {
			t.Errorf("no run in docs/model/README.md has the switch %s", name)
		}
	}
	if runs == 0 {
		t.Error("docs/model/README.md has no runs: the pattern is wrong")
	}
}

func TestDocumentsLinkToWhatExists(t *testing.T) {
	t.Parallel()
	for _, d := range documents(t) {
		prose := fence.ReplaceAllString(d.text, "")
		each(`\]\(([^)\s]+)\)`, []string{prose}, func(link string) {
			if strings.Contains(link, "://") {
				return
			}
			file, section, _ := strings.Cut(link, "#")
			target := d.name
			if file != "" {
				target = path.Join(path.Dir(d.name), file)
			}
			text, err := os.ReadFile(target)
			if info, statErr := os.Stat(target); statErr == nil && info.IsDir() {
				err = nil
			}
			if err != nil {
				t.Errorf("%s links to %s: %v", d.name, link, err)
				return
			}
			if section != "" && !sections(string(text))[section] {
				t.Errorf("%s links to %s, which has no such section", d.name, link)
			}
		})
		// A path in backticks is one of the repository.
		each(`^((?:cache|cached|cmd|db|docs|integration|internal|repo|scripts|tools|\.ci|\.github)/[\w./-]*)$`, d.code, func(name string) {
			if _, err := os.Stat(name); err != nil {
				t.Errorf("%s names the path %s: %v", d.name, name, err)
			}
		})
	}
}

// sections returns the anchors of a Markdown text's headings.
func sections(text string) map[string]bool {
	out := make(map[string]bool)
	drop := regexp.MustCompile(`[^a-z0-9 _-]`)
	each(`(?m)^#+ (.+)$`, []string{fence.ReplaceAllString(text, "")}, func(heading string) {
		anchor := drop.ReplaceAllString(strings.ToLower(heading), "")
		out[strings.ReplaceAll(anchor, " ", "-")] = true
	})
	return out
}

func TestDocumentsNameCommandsThatExist(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	targets, variables := make(map[string]bool), make(map[string]bool)
	each(`(?m)^([a-z-]+):(?: |$)`, []string{string(makefile)}, func(name string) { targets[name] = true })
	each(`(?m)^([A-Z]+) \?=`, []string{string(makefile)}, func(name string) { variables[name] = true })

	verbs, flags := make(map[string]bool), make(map[string]bool)
	source(t, func(name string) bool {
		return strings.HasPrefix(name, "cmd/pgaside/") && !strings.HasSuffix(name, "_test.go")
	}, func(file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr: // Use: "explain [query]"
				if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Use" {
					verb, _, _ := strings.Cut(literal(n.Value), " ")
					verbs[verb] = true
				}
			case *ast.CallExpr: // Flags().StringVar(&o.X, "name", …)
				if fn, ok := n.Fun.(*ast.SelectorExpr); ok && strings.HasSuffix(fn.Sel.Name, "Var") && len(n.Args) > 1 {
					flags[literal(n.Args[1])] = true
				}
			}
			return true
		})
	})
	for _, d := range documents(t) {
		each(`^\s*make ([a-z-]+)`, d.code, func(name string) {
			if !targets[name] {
				t.Errorf("%s names make %s, which the Makefile has not", d.name, name)
			}
		})
		for _, line := range d.code {
			if strings.Contains(line, "make ") {
				each(`\b([A-Z]+)=`, []string{line}, func(name string) {
					if !variables[name] {
						t.Errorf("%s sets %s for make, which the Makefile does not read", d.name, name)
					}
				})
			}
			if strings.Contains(line, "pgaside ") || strings.Contains(line, "ARGS=") || strings.HasPrefix(line, "--") {
				each(`(?:^|[ '=])--([a-z][a-z-]*)`, []string{line}, func(name string) {
					if !flags[name] {
						t.Errorf("%s names the flag --%s, which pgaside has not", d.name, name)
					}
				})
			}
		}
		each(`(?:^|[ /])pgaside ([a-z][a-z|]*)`, d.code, func(names string) {
			for name := range strings.SplitSeq(names, "|") {
				if !verbs[name] {
					t.Errorf("%s names pgaside %s, which is no command", d.name, name)
				}
			}
		})
		each(`\bpgaside servers ([a-z]+)`, d.code, func(name string) {
			if !verbs[name] {
				t.Errorf("%s names pgaside servers %s, which is no command", d.name, name)
			}
		})
	}
}

func literal(e ast.Expr) string {
	if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
		return strings.Trim(lit.Value, "`\"")
	}
	return ""
}

// Names such as cache.ErrFence, Options.RedisBudget, Cache.Stats and cached.SessionRepository must be declared.
func TestDocumentsNameGoThatExists(t *testing.T) {
	t.Parallel()
	declared := make(map[string]bool) // "cache.Open", "Cache.Stats"
	for pkg, dir := range map[string]string{
		"cache": "cache", "pgfence": "cache/pgfence", "audit": "cache/audit", "httpcache": "cache/httpcache", "cached": "cached", "repo": "repo",
	} {
		source(t, func(name string) bool {
			return path.Dir(name) == dir && !strings.HasSuffix(name, "_test.go")
		}, func(file *ast.File) { declare(declared, pkg, file) })
	}
	for _, d := range documents(t) {
		each(`\b((?:cache|pgfence|audit|httpcache|cached|repo)\.[A-Z]\w*)`, d.code, func(name string) {
			if !declared[name] {
				t.Errorf("%s names %s, which is not declared", d.name, name)
			}
		})
		each(`(?:^|[^.\w])((?:Cache|Queries|QueryStats|GroupStats)\.[A-Z]\w*)`, d.code, func(name string) {
			if !declared[name] {
				t.Errorf("%s names %s, which is not declared", d.name, name)
			}
		})
		for prefix, typ := range map[string]reflect.Type{
			"Options": reflect.TypeFor[cache.Options](), "Stats": reflect.TypeFor[cache.Stats](),
		} {
			each(`(?:^|[^\w])`+prefix+`\.([A-Z]\w*)`, d.code, func(name string) {
				if _, ok := typ.FieldByName(name); !ok {
					t.Errorf("%s names %s.%s, which is no field", d.name, prefix, name)
				}
			})
		}
	}
}

func declare(declared map[string]bool, pkg string, file *ast.File) {
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				declared[pkg+"."+d.Name.Name] = true
				continue
			}
			typ := d.Recv.List[0].Type
			if star, ok := typ.(*ast.StarExpr); ok {
				typ = star.X
			}
			if id, ok := typ.(*ast.Ident); ok {
				declared[id.Name+"."+d.Name.Name] = true
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					declared[pkg+"."+s.Name.Name] = true
				case *ast.ValueSpec:
					for _, id := range s.Names {
						declared[pkg+"."+id.Name] = true
					}
				}
			}
		}
	}
}

// Every statistic is explained, by the name that it has as JSON.
func TestOperationsExplainEveryStatistic(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	container := map[string]bool{"groups": true, "queries": true, "ttl": true, "mode": true}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[cache.Stats](), reflect.TypeFor[cache.GroupStats](), reflect.TypeFor[cache.QueryStats](), reflect.TypeFor[audit.Stats](),
	} {
		for i := range typ.NumField() {
			name := typ.Field(i).Tag.Get("json")
			if !container[name] && !strings.Contains(string(text), "`"+name+"`") {
				t.Errorf("docs/operations.md does not explain the statistic %s", name)
			}
		}
	}
}

// Every variable of the environment is in the table, with its default.
func TestOperationsExplainEveryVariable(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	env, err := cache.ParseEnv(nil, cache.NewGroup[int]("x", cache.GroupOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range env.Settings {
		name := strings.ReplaceAll(s.Name, "CACHE_X_", "CACHE_<GROUP>_")
		row := regexp.MustCompile("(?m)^\\|[^|]*`" + name + "`[^|]*\\|.*\\| (.*) \\|$").FindStringSubmatch(string(text))
		if row == nil {
			t.Errorf("docs/operations.md does not explain the variable %s", name)
			continue
		}
		if s.Value == "" || name != s.Name {
			continue
		}
		said := strings.Trim(row[1], "`")
		again, err := cache.ParseEnv([]string{s.Name + "=" + said})
		if err != nil {
			t.Errorf("docs/operations.md gives %s the default %s: %v", name, said, err)
			continue
		}
		for _, a := range again.Settings {
			if a.Name == s.Name && a.Value != s.Value {
				t.Errorf("docs/operations.md gives %s the default %s, it is %s", name, said, s.Value)
			}
		}
	}
}

// The program in the README is the one that example_test.go compiles.
func TestReadmeHasTheExample(t *testing.T) {
	t.Parallel()
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, block := range documents(t)[0].go_ {
		if strings.HasPrefix(block, "func ") {
			found = true
			if !strings.Contains(string(example), block) {
				t.Errorf("example_test.go does not have this of the README:\n%s", block)
			}
		}
	}
	if !found {
		t.Error("the README has no program")
	}
}

// TestFaultTableIsWhole: docs/guarantees.md tells what was measured of every fault that "pgaside faults" makes, and of no other.
func TestFaultTableIsWhole(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "<!-- figures: make faults; begin -->")
	table, _, _ = strings.Cut(table, "<!-- figures: make faults; end -->")
	rows := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\| \*\*([^*]+)\*\*`).FindAllStringSubmatch(table, -1) {
		rows[m[1]] = true
	}
	for _, n := range faults.Names() {
		if !rows[n[0]] {
			t.Errorf("docs/guarantees.md: the table of faults lacks %q: go run ./cmd/pgaside faults --markdown", n[0])
		}
		delete(rows, n[0])
	}
	for name := range rows {
		t.Errorf("docs/guarantees.md: there is no fault %q any more", name)
	}
}
