package gen

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/tools/go/packages"
)

// source is what sqlc wrote, and where its queries stand.
type source struct {
	pkg        *types.Package
	hasQuerier bool            // emit_interface
	initialism map[string]bool // words that the package writes in capitals: ID, URL
	queries    []*query        // by file, then in the file's order
	byName     map[string]*query
}

// query is one query: its text, its Go method, and its place.
type query struct {
	name string
	cmd  string // ":one", ":many", …
	sql  string // as sqlc sends it, header and all
	file string // base name of the .sql file, without its ending
	pos  Position
	doc  []string // lines of the method's doc comment, without annotations

	params  []methodParam // of the method, after ctx
	result  types.Type    // nil for :exec and the batches' handles are in results
	results *types.Tuple
	args    []arg    // $1, $2, …; for :copyfrom, a row's values in column order
	outs    []output // one per output column; nil where nothing is scanned
	nilNone bool     // a :many that returns nil for no rows: sqlc without emit_empty_slices

	notes annotations
	tree  stmt // the parsed statement
}

// methodParam is one parameter of the Go method.
type methodParam struct {
	name string
	typ  types.Type
}

// arg is the Go expression behind one $n.
type arg struct {
	name string     // the last name of the expression: "id", or "UserID" of arg.UserID
	expr string     // "id", "arg.UserID"; for :copyfrom, relative to one row: ".UserID" or ""
	typ  types.Type // of the expression
	col  string     // for :copyfrom, the column that it fills
}

// output is where one output column is scanned to.
type output struct {
	path string // ".ID", ".Session.ID"; "" when the result is the column itself
	typ  types.Type
}

// batch reports whether the query is sent by pgx.Batch.
func (q *query) batch() bool { return strings.HasPrefix(q.cmd, ":batch") }

// elem returns the type of one row of a :many, or of the result of a :one.
func (q *query) elem() types.Type {
	if s, ok := q.result.(*types.Slice); ok && q.cmd == ":many" {
		return s.Elem()
	}
	return q.result
}

var header = regexp.MustCompile(`^-- name: (\w+) (:\w+)`)

// loadSource type-checks the package that sqlc wrote, and nothing else: its
// imports come from compiled export data.
func loadSource(repoDir string, queriesPaths []string) (*source, Findings, error) {
	abs, err := filepath.Abs(repoDir)
	if err != nil {
		return nil, nil, err
	}
	fset := token.NewFileSet()
	pkgs, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedImports | packages.NeedTypes |
			packages.NeedSyntax | packages.NeedTypesInfo,
		Dir:  abs,
		Fset: fset,
	}, ".")
	if err != nil {
		return nil, nil, fmt.Errorf("load %s: %w", repoDir, err)
	}
	if len(pkgs) != 1 {
		return nil, nil, fmt.Errorf("load %s: found %d packages, want one", repoDir, len(pkgs))
	}
	p := pkgs[0]
	if len(p.Errors) > 0 {
		return nil, Findings{{
			Pos: Position{File: repoDir}, Msg: "the package that sqlc wrote doesn't compile", Why: strings.TrimSpace(p.Errors[len(p.Errors)-1].Msg),
			Mend: []string{"run sqlc generate, and go build " + repoDir},
		}}, nil
	}

	s := &source{pkg: p.Types, byName: map[string]*query{}, initialism: map[string]bool{}}
	if q, ok := p.Types.Scope().Lookup("Querier").(*types.TypeName); ok {
		_, s.hasQuerier = q.Type().Underlying().(*types.Interface)
	}
	s.findInitialisms()
	if f := checkPackage(p.Types, repoDir); f != nil {
		return nil, Findings{f}, nil
	}

	located, findings, err := locate(queriesPaths)
	if err != nil {
		return nil, nil, err
	}

	consts := map[types.Object]string{} // the constant holding a query: its text
	methods := map[string]*ast.FuncDecl{}
	for _, file := range p.Syntax {
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.GenDecl:
				if d.Tok != token.CONST {
					continue
				}
				for _, spec := range d.Specs {
					for _, id := range spec.(*ast.ValueSpec).Names {
						obj := p.TypesInfo.Defs[id].(*types.Const)
						if obj.Val().Kind() == constant.String && header.MatchString(constant.StringVal(obj.Val())) {
							consts[obj] = constant.StringVal(obj.Val())
						}
					}
				}
			case *ast.FuncDecl:
				if d.Recv != nil && receiver(d) == "Queries" && ast.IsExported(d.Name.Name) {
					methods[d.Name.Name] = d
				}
			}
		}
	}

	for obj, text := range consts {
		m := header.FindStringSubmatch(text)
		q := &query{name: m[1], cmd: m[2], sql: text}
		s.byName[q.name] = q
		decl := methods[q.name]
		if decl == nil {
			return nil, nil, fmt.Errorf("%s: the package has the text of query %s but no method: run sqlc generate", repoDir, q.name)
		}
		q.fill(p, decl)
		if !q.batch() {
			q.findArgs(p.TypesInfo, decl, obj)
			q.findOuts(p.TypesInfo, decl)
			q.nilNone = q.cmd == ":many" && declaresSlice(decl)
		}
	}
	for name, loc := range located {
		if loc.cmd != ":copyfrom" || methods[name] == nil {
			continue
		}
		q := &query{name: name, cmd: loc.cmd, sql: loc.text}
		s.byName[name] = q
		q.fill(p, methods[name])
		q.copyArgs()
		q.copyColumns(methods[name])
	}
	for name, q := range s.byName {
		loc, ok := located[name]
		if !ok || loc.cmd != q.cmd {
			findings = append(findings, &Finding{
				Pos: Position{File: repoDir},
				Msg: fmt.Sprintf("query %s %s of the package isn't in %s", name, q.cmd, strings.Join(queriesPaths, ", ")),
				Mend: []string{
					"run sqlc generate: the package is not what sqlc makes of these queries",
					"name the queries' directory with --queries",
				},
			})
			continue
		}
		q.pos, q.file = loc.pos, strings.TrimSuffix(filepath.Base(loc.pos.File), ".sql")
		if f := loc.checkText(q); f != nil {
			findings = append(findings, f)
		}
		notes, fs := parseAnnotations(loc.comments)
		q.notes = notes
		findings = append(findings, fs...)
		s.queries = append(s.queries, q)
	}
	for name, loc := range located {
		if s.byName[name] == nil {
			if f := loc.checkSyntax(name); f != nil {
				findings = append(findings, f)
				continue
			}
			findings = append(findings, &Finding{
				Pos: loc.pos, Msg: fmt.Sprintf("query %s isn't in the package that sqlc wrote", name),
				Mend: []string{"run sqlc generate"},
			})
		}
	}
	sort.Slice(s.queries, func(i, j int) bool {
		a, b := s.queries[i], s.queries[j]
		if a.pos.File != b.pos.File {
			return a.pos.File < b.pos.File
		}
		return a.pos.Line < b.pos.Line
	})
	return s, findings, nil
}

// checkPackage refuses what sqlc makes with options under which the generated
// code would not compile or not mean the same.
func checkPackage(p *types.Package, repoDir string) *Finding {
	dbtx, _ := p.Scope().Lookup("DBTX").(*types.TypeName)
	newFunc, _ := p.Scope().Lookup("New").(*types.Func)
	if dbtx == nil || newFunc == nil {
		return &Finding{
			Pos: Position{File: repoDir}, Msg: "the package has no DBTX and New: sqlc did not write it",
			Mend: []string{"name the directory that sqlc writes with --repo"},
		}
	}
	exec, _, _ := types.LookupFieldOrMethod(dbtx.Type(), false, p, "Exec")
	pgx := false
	if f, ok := exec.(*types.Func); ok {
		if res := f.Type().(*types.Signature).Results(); res.Len() == 2 {
			pgx = types.TypeString(res.At(0).Type(), nil) == "github.com/jackc/pgx/v5/pgconn.CommandTag"
		}
	}
	if !pgx {
		return &Finding{
			Pos: Position{File: repoDir}, Msg: "the package is not made for pgx/v5",
			Mend: []string{"set sql_package: pgx/v5 in sqlc.yaml and run sqlc generate"},
		}
	}
	params := newFunc.Type().(*types.Signature).Params()
	if params.Len() != 1 || !types.Identical(params.At(0).Type(), dbtx.Type()) {
		return &Finding{
			Pos: Position{File: repoDir}, Msg: "New of the package takes no DBTX: its methods take the database as an argument",
			Why:  "the decorator chooses where a query runs, pool or transaction, and such methods leave that to the caller",
			Mend: []string{"set emit_methods_with_db_argument: false in sqlc.yaml and run sqlc generate"},
		}
	}
	return nil
}

func receiver(d *ast.FuncDecl) string {
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	id, _ := t.(*ast.Ident)
	if id == nil {
		return ""
	}
	return id.Name
}

// fill takes the method's signature and its doc comment.
func (q *query) fill(p *packages.Package, d *ast.FuncDecl) {
	if d.Doc != nil {
		for line := range strings.SplitSeq(strings.TrimRight(d.Doc.Text(), "\n"), "\n") {
			if !isAnnotation(line) {
				q.doc = append(q.doc, line)
			}
		}
		for len(q.doc) > 0 && strings.TrimSpace(q.doc[len(q.doc)-1]) == "" {
			q.doc = q.doc[:len(q.doc)-1]
		}
		for len(q.doc) > 0 && strings.TrimSpace(q.doc[0]) == "" {
			q.doc = q.doc[1:]
		}
	}
	sig := p.TypesInfo.Defs[d.Name].Type().(*types.Signature)
	for i := 1; i < sig.Params().Len(); i++ {
		v := sig.Params().At(i)
		q.params = append(q.params, methodParam{name: v.Name(), typ: v.Type()})
	}
	q.results = sig.Results()
	if sig.Results().Len() == 2 {
		q.result = sig.Results().At(0).Type()
	}
}

// findArgs takes what stands after the query's constant in the call that sends it.
func (q *query) findArgs(info *types.Info, d *ast.FuncDecl, text types.Object) {
	ast.Inspect(d.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		for i, a := range call.Args {
			id, ok := a.(*ast.Ident)
			if !ok || info.Uses[id] != text {
				continue
			}
			for _, e := range call.Args[i+1:] {
				q.args = append(q.args, argOf(info, e))
			}
			return false
		}
		return true
	})
}

func argOf(info *types.Info, e ast.Expr) arg {
	a := arg{expr: types.ExprString(e), typ: info.TypeOf(e)}
	switch e := e.(type) {
	case *ast.Ident:
		a.name = e.Name
	case *ast.SelectorExpr:
		a.name = e.Sel.Name
	}
	return a
}

// declaresSlice reports whether a method begins its result by "var items []T",
// so that no rows are a nil slice.
func declaresSlice(d *ast.FuncDecl) bool {
	for _, s := range d.Body.List {
		decl, ok := s.(*ast.DeclStmt)
		if !ok {
			continue
		}
		for _, spec := range decl.Decl.(*ast.GenDecl).Specs {
			v, ok := spec.(*ast.ValueSpec)
			if !ok || len(v.Values) > 0 {
				continue
			}
			if t, ok := v.Type.(*ast.ArrayType); ok && t.Len == nil {
				return true
			}
		}
	}
	return false
}

// findOuts takes the destinations of the method's Scan call.
func (q *query) findOuts(info *types.Info, d *ast.FuncDecl) {
	ast.Inspect(d.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(q.outs) > 0 {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || sel.Sel.Name != "Scan" {
			return true
		}
		for _, e := range call.Args {
			addr, ok := e.(*ast.UnaryExpr)
			if !ok {
				q.outs = nil
				return false
			}
			text := types.ExprString(addr.X)
			o := output{typ: info.TypeOf(addr.X)}
			if dot := strings.IndexByte(text, '.'); dot >= 0 {
				o.path = text[dot:]
			}
			q.outs = append(q.outs, o)
		}
		return false
	})
}

// copyArgs takes the fields of the row type of a :copyfrom, which stand in the
// order of the statement's columns.
func (q *query) copyArgs() {
	if len(q.params) != 1 {
		return
	}
	rows, ok := q.params[0].typ.(*types.Slice)
	if !ok {
		return
	}
	elem := rows.Elem()
	if ptr, ok := elem.(*types.Pointer); ok {
		elem = ptr.Elem()
	}
	if named, ok := elem.(*types.Named); ok && strings.HasSuffix(named.Obj().Name(), "Params") {
		st := named.Underlying().(*types.Struct)
		for i := range st.NumFields() {
			f := st.Field(i)
			q.args = append(q.args, arg{name: f.Name(), expr: "." + f.Name(), typ: f.Type()})
		}
		return
	}
	q.args = []arg{{name: q.params[0].name, typ: elem}}
}

// copyColumns takes the columns of a :copyfrom from the call that sends it: they
// stand in the order of its parameters, as the fields do.
func (q *query) copyColumns(d *ast.FuncDecl) {
	ast.Inspect(d.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) != 4 {
			return true
		}
		if sel, ok := call.Fun.(*ast.SelectorExpr); !ok || sel.Sel.Name != "CopyFrom" {
			return true
		}
		list, ok := call.Args[2].(*ast.CompositeLit)
		if !ok || len(list.Elts) != len(q.args) {
			return false
		}
		for i, e := range list.Elts {
			if lit, ok := e.(*ast.BasicLit); ok {
				q.args[i].col, _ = strconv.Unquote(lit.Value)
			}
		}
		return false
	})
}

// findInitialisms learns which words the package writes in capitals, so that
// generated names look like sqlc's.
func (s *source) findInitialisms() {
	s.initialism["ID"] = true
	for _, name := range s.pkg.Scope().Names() {
		obj, ok := s.pkg.Scope().Lookup(name).(*types.TypeName)
		if !ok || !obj.Exported() {
			continue
		}
		s.capitals(name)
		if st, ok := obj.Type().Underlying().(*types.Struct); ok {
			for i := range st.NumFields() {
				s.capitals(st.Field(i).Name())
			}
		}
	}
}

var capitalWord = regexp.MustCompile(`[A-Z]{2,}`)

func (s *source) capitals(name string) {
	for _, at := range capitalWord.FindAllStringIndex(name, -1) {
		word := name[at[0]:at[1]]
		if at[1] < len(name) && name[at[1]] >= 'a' && name[at[1]] <= 'z' {
			word = word[:len(word)-1] // its last capital begins the next word
		}
		if len(word) > 1 {
			s.initialism[word] = true
		}
	}
}

// location is a query as it stands in its .sql file.
type location struct {
	pos      Position
	cmd      string
	text     string    // without lines of comment
	body     string    // all that stands below the name
	comments []comment // the lines of comment of the query
}

type comment struct {
	pos  Position
	text string // without the dashes
}

var (
	nameLine      = regexp.MustCompile(`^\s*(?:--|/\*)\s*name:\s*(\w+)\s+(:\w+)`)
	misplacedNote = regexp.MustCompile(`(?:--|/\*)\s*@(?:cache|stale-ok|invalidates)\b`)
	commentLine   = regexp.MustCompile(`^\s*--\s?(.*)$`)
)

// locate finds each query's file, line and comments.
func locate(paths []string) (map[string]location, Findings, error) {
	files, err := sqlFiles(paths, false)
	if err != nil {
		return nil, nil, fmt.Errorf("read the queries: %w", err)
	}
	var findings Findings
	out := map[string]location{}
	for _, file := range files {
		text, f, err := readSQL(file)
		if err != nil {
			return nil, nil, fmt.Errorf("read the queries: %w", err)
		}
		if f != nil {
			findings = append(findings, f)
			continue
		}
		lines := strings.Split(text, "\n")
		var above []comment // comments before the name belong to the query below
		current := ""
		body := false // the statement of the current query has begun
		for i, line := range lines {
			pos := Position{File: file, Line: i + 1}
			if m := nameLine.FindStringSubmatch(line); m != nil {
				if old, ok := out[m[1]]; ok {
					findings = append(findings, &Finding{
						Pos: pos, Msg: fmt.Sprintf("query %s is also at %s", m[1], old.pos),
						Mend: []string{"give it another name"},
					})
				}
				current, body = m[1], false
				out[current] = location{pos: pos, cmd: m[2], comments: above}
				above = nil
				continue
			}
			if current != "" {
				loc := out[current]
				loc.body += line + "\n"
				out[current] = loc
			}
			if m := commentLine.FindStringSubmatch(line); m != nil {
				c := comment{pos: pos, text: m[1]}
				if current == "" || (body && ended(out[current].text)) {
					above = append(above, c)
					continue
				}
				loc := out[current]
				loc.comments = append(loc.comments, c)
				out[current] = loc
				continue
			}
			if misplacedNote.MatchString(line) {
				findings = append(findings, &Finding{
					Pos: pos, Msg: "an annotation stands behind SQL, where it has no effect", Mend: []string{"give it a line of its own below -- name:"},
				})
			}
			if current != "" && strings.TrimSpace(line) != "" {
				body = true
				loc := out[current]
				loc.text += line + "\n"
				out[current] = loc
				above = nil
			}
		}
	}
	return out, findings, nil
}

// checkText refuses a query whose text has changed since sqlc ran: what is
// derived from the package would not be what the file says.
func (l location) checkText(q *query) *Finding {
	if q.cmd == ":copyfrom" { // the package has no text of it
		return nil
	}
	differs := textDiffers(l.body, q.sql)
	if differs == "" {
		return nil
	}
	if f := l.checkSyntax(q.name); f != nil {
		return f
	}
	return &Finding{
		Pos: l.pos, Msg: fmt.Sprintf("query %s has changed since sqlc wrote the package", q.name), Why: differs,
		Mend: []string{"run sqlc generate"},
	}
}

// checkSyntax reports SQL that Postgres' grammar refuses. What sqlc adds to the
// language, @name and sqlc.arg, is an operator and a function to the grammar.
func (l location) checkSyntax(name string) *Finding {
	_, err := parseSQL(l.body)
	if err == nil {
		return nil
	}
	return &Finding{
		Pos: syntaxError(l.pos.File, l.body, l.pos.Line+1, err), Msg: fmt.Sprintf("query %s can't be parsed", name),
		Why: err.Error(), Mend: []string{"correct the query and run sqlc generate"},
	}
}

// ended reports whether a statement's text is complete: a comment may follow its
// semicolon.
func ended(text string) bool {
	text = strings.TrimSpace(text)
	last := text[strings.LastIndexByte(text, '\n')+1:]
	for _, mark := range []string{"--", "/*"} {
		if i := strings.LastIndex(last, mark); i >= 0 && strings.HasSuffix(strings.TrimSpace(last[:i]), ";") {
			return true
		}
	}
	return strings.HasSuffix(last, ";")
}
