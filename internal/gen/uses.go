package gen

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Use is a place in the user's code that speaks of sqlc's *Queries, and what to
// write there so that the cached ones fit.
type Use struct {
	Pos  Position
	Kind string // "new", "type", "transaction"
	Have string // "repo.New(pool)", "*repo.Queries", "q.WithTx(tx)"
	Want string
}

// uses looks for the package in the other Go files of its module. It reads syntax
// alone: code that does not compile at the moment is read as well as it can be.
func (p *project) uses() ([]Use, error) {
	repo, err := filepath.Abs(p.opts.Repo)
	if err != nil {
		return nil, err
	}
	root := moduleRoot(repo)
	if root == "" {
		return nil, nil
	}
	return p.usesBelow(root)
}

func (p *project) usesBelow(root string) ([]Use, error) {
	repo, err := filepath.Abs(p.opts.Repo)
	if err != nil {
		return nil, err
	}
	out, err := filepath.Abs(p.opts.Out)
	if err != nil {
		return nil, err
	}
	f := &useFinder{p: p, r: newRenderer(p), fset: token.NewFileSet()}
	err = filepath.WalkDir(root, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		name := d.Name()
		nested := false
		if dir != root {
			_, err := os.Stat(filepath.Join(dir, "go.mod"))
			nested = err == nil
		}
		if dir != root && (nested || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "vendor" || name == "testdata" || name == "node_modules") {
			return fs.SkipDir
		}
		if dir != repo && dir != out {
			f.dir(dir)
		}
		return nil
	})
	sort.SliceStable(f.found, func(i, j int) bool { return f.found[i].Pos.before(f.found[j].Pos) })
	return f.found, err
}

// moduleRoot is the directory with the go.mod above a directory; "" without one.
func moduleRoot(dir string) string {
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

type useFinder struct {
	p     *project
	r     *renderer
	fset  *token.FileSet
	found []Use
}

// dir reads the files of one directory: the methods that they call tell which
// interface is enough.
func (f *useFinder) dir(dir string) {
	matches, _ := filepath.Glob(filepath.Join(dir, "*.go"))
	var files []*ast.File
	uses := false
	for _, m := range matches {
		if strings.HasSuffix(m, "_test.go") { // tests may well go on reading Postgres
			continue
		}
		file, _ := parser.ParseFile(f.fset, m, nil, parser.SkipObjectResolution)
		if file == nil {
			continue
		}
		files = append(files, file)
		uses = uses || f.importName(file) != ""
	}
	if !uses {
		return
	}
	inTx := false
	called := map[string]bool{} // query files
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
				if q := f.p.src.byName[sel.Sel.Name]; q != nil {
					called[q.file] = true
				}
				inTx = inTx || isWithTx(call, sel)
			}
			return true
		})
	}
	want := f.want(called, inTx)
	before := len(f.found)
	for _, file := range files {
		f.file(file, want)
	}
	if !slices.ContainsFunc(f.found[before:], func(u Use) bool { return u.Kind != "transaction" }) {
		f.found = f.found[:before] // the cached queries' own, most likely
	}
}

func isWithTx(call *ast.CallExpr, sel *ast.SelectorExpr) bool {
	return sel.Sel.Name == "WithTx" && len(call.Args) == 1
}

// want is the type to use in a package that calls queries of these files.
func (f *useFinder) want(called map[string]bool, inTx bool) string {
	pkg := f.r.pkg
	if inTx { // interfaces have no WithTx, Begin and InTx
		return "*" + pkg + ".Queries"
	}
	if len(called) == 1 {
		for file := range called {
			if iface := f.r.ifaces[file]; iface != "" {
				return pkg + "." + iface
			}
		}
	}
	switch {
	case f.p.src.hasQuerier:
		return f.p.src.pkg.Name() + ".Querier"
	case f.r.querier != "":
		return pkg + "." + f.r.querier
	}
	return "*" + pkg + ".Queries"
}

// importName is the name by which a file knows the package; "" if it doesn't.
func (f *useFinder) importName(file *ast.File) string {
	for _, imp := range file.Imports {
		if p, err := strconv.Unquote(imp.Path.Value); err == nil && p == f.p.src.pkg.Path() {
			if imp.Name != nil {
				return imp.Name.Name
			}
			return f.p.src.pkg.Name()
		}
	}
	return ""
}

func (f *useFinder) file(file *ast.File, want string) {
	repo := f.importName(file)
	pkg := f.r.pkg
	add := func(n ast.Node, kind, have, want string) {
		pos := f.fset.Position(n.Pos())
		f.found = append(f.found, Use{Pos: Position{File: fromHere(pos.Filename), Line: pos.Line}, Kind: kind, Have: have, Want: want})
	}
	ofRepo := func(e ast.Expr, name string) bool {
		sel, ok := e.(*ast.SelectorExpr)
		if !ok || repo == "" || sel.Sel.Name != name {
			return false
		}
		id, ok := sel.X.(*ast.Ident)
		return ok && id.Name == repo
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.StarExpr:
			if ofRepo(n.X, "Queries") {
				add(n, "type", types.ExprString(n), want)
			}
		case *ast.CallExpr:
			sel, _ := n.Fun.(*ast.SelectorExpr)
			switch {
			case ofRepo(n.Fun, "New") && len(n.Args) == 0: // emit_methods_with_db_argument
				add(n, "new", types.ExprString(n), fmt.Sprintf("%s.New(pool, c)", pkg))
			case ofRepo(n.Fun, "New") && len(n.Args) == 1:
				arg := types.ExprString(n.Args[0])
				if strings.HasSuffix(strings.ToLower(arg), "tx") {
					add(n, "new", types.ExprString(n), fmt.Sprintf("q.WithTx(%s), where q is %s.New(pool, c) and began it", arg, pkg))
					break
				}
				add(n, "new", types.ExprString(n), fmt.Sprintf("%s.New(%s, c)", pkg, arg))
			case sel != nil && isWithTx(n, sel):
				q := types.ExprString(sel.X)
				add(n, "transaction", types.ExprString(n),
					fmt.Sprintf("begin it by %s.Begin(ctx), or use %s.InTx(ctx, pgx.TxOptions{}, func(q *%s.Queries) error { … })", q, q, pkg))
			}
		}
		return true
	})
}

// fromHere writes a path as it is reached from the working directory.
func fromHere(file string) string {
	dir, err := os.Getwd()
	if err != nil {
		return file
	}
	if rel, err := filepath.Rel(dir, file); err == nil {
		return rel
	}
	return file
}
