package integration

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"
)

// withoutKey copies a project's decorator and takes the one key of a group out of one of its writes. It returns the key's
// text, and false where the write has no such key, or speaks of the group in another way too (a second key, KeyOf, All, a
// lookup): that may be what the run saw at work, and the mutant would be none.
func (s *workshop) withoutKey(project, as string, m mutant) (string, bool) {
	s.t.Helper()
	from, to := filepath.Join(s.dir, project, "cached"), filepath.Join(s.dir, as, "cached")
	db, err := os.ReadFile(filepath.Join(from, "db.go"))
	require.NoError(s.t, err)
	found := regexp.MustCompile(`(\w+)\s+= cache\.NewGroup\w*\[.*\]\("` + m.group + `"`).FindSubmatch(db)
	require.NotNil(s.t, found, "db.go has no group %s", m.group)
	name := filepath.Join(from, "query.go")
	text, err := os.ReadFile(name)
	require.NoError(s.t, err)
	mutated, key, ok := cutKey(text, m.write, string(found[1]))
	if !ok {
		return "", false
	}
	require.NoError(s.t, os.RemoveAll(to))
	require.NoError(s.t, os.CopyFS(to, os.DirFS(from)))
	require.NoError(s.t, os.WriteFile(filepath.Join(to, "query.go"), mutated, 0o600))
	return key, true
}

// cutKey removes G.Key(…) from the lists of keys of a method, wherever it stands. The call stays as a statement of its own,
// so that what it uses stays used.
func cutKey(text []byte, method, group string) (mutated []byte, key string, ok bool) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "query.go", text, 0)
	if err != nil {
		return nil, "", false
	}
	at := func(p token.Pos) int { return fset.Position(p).Offset }
	type edit struct {
		from, to int
		with     string
	}
	var edits []edit
	keys := map[string]bool{}
	mentions, cuts := 0, 0
	lookups := strings.ToLower(method[:1]) + method[1:] + "Lookups" // of a cascade or a @via, in a function of their own
	cut := func(stmt ast.Stmt, list []ast.Expr) {
		for i, e := range list {
			call, isCall := e.(*ast.CallExpr)
			if !isCall {
				continue
			}
			src := string(text[at(call.Pos()):at(call.End())])
			if !strings.HasPrefix(src, group+".Key(") {
				continue
			}
			keys[src] = true
			cuts++
			from, to := at(call.Pos()), at(call.End())
			if i+1 < len(list) {
				to = at(list[i+1].Pos())
			} else if i > 0 {
				from = at(list[i-1].End())
			}
			edits = append(edits, edit{from, to, ""}, edit{at(stmt.Pos()), at(stmt.Pos()), "_ = " + src + "\n"})
		}
	}
	for _, d := range file.Decls {
		f, isFunc := d.(*ast.FuncDecl)
		if !isFunc || f.Name.Name != method && !strings.HasPrefix(f.Name.Name, lookups) {
			continue
		}
		ast.Inspect(f.Body, func(n ast.Node) bool {
			if id, isIdent := n.(*ast.Ident); isIdent && id.Name == group {
				mentions++
			}
			return true
		})
		if f.Recv == nil {
			continue
		}
		var stmts []ast.Stmt // around the node, innermost last
		ast.PreorderStack(f.Body, nil, func(n ast.Node, stack []ast.Node) bool {
			stmts = stmts[:0]
			for i, up := range append(slices.Clone(stack), n) {
				if st, isStmt := up.(ast.Stmt); isStmt && i > 0 {
					if _, inBlock := append(slices.Clone(stack), n)[i-1].(*ast.BlockStmt); inBlock {
						stmts = append(stmts, st)
					}
				}
			}
			if len(stmts) == 0 {
				return true
			}
			switch n := n.(type) {
			case *ast.CompositeLit:
				cut(stmts[len(stmts)-1], n.Elts)
			case *ast.CallExpr:
				if fun, isIdent := n.Fun.(*ast.Ident); isIdent && fun.Name == "append" {
					cut(stmts[len(stmts)-1], n.Args)
				}
			}
			return true
		})
	}
	if len(keys) != 1 || mentions != cuts {
		return nil, "", false
	}
	slices.SortStableFunc(edits, func(a, b edit) int { return b.from - a.from })
	out := bytes.Clone(text)
	for _, e := range edits {
		out = fmt.Appendf(nil, "%s%s%s", out[:e.from], e.with, out[e.to:])
		key = e.with
	}
	for k := range keys {
		key = k
	}
	return out, key, true
}
