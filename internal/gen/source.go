package gen

import (
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/constant"
	"go/token"
	"go/types"
	"os"
	"path"
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
	build      string          // the constraint of build_tags, "" without one
	dbArg      bool            // emit_methods_with_db_argument
	initialism map[string]bool // words that the package writes in capitals: ID, URL
	queries    []*query        // by file, then in the file's order
	byName     map[string]*query
}

// query is one query: its text, its Go method, and its place.
type query struct {
	name string
	cmd  string   // ":one", ":many", …
	sql  string   // as sqlc sends it, header and all
	file string   // base name of the .sql file, without its ending
	pos  Position // of its name
	body string   // what stands below its name in the file
	doc  []string // lines of the method's doc comment, without annotations

	params  []methodParam // of the method, after ctx and the database
	result  types.Type    // nil for :exec and the batches' handles are in results
	results *types.Tuple
	args    []arg      // $1, $2, …; for :copyfrom, a row's values in column order
	outs    []output   // one per output column; nil where nothing is scanned
	row     types.Type // that one row is scanned into
	nilNone bool       // a :many that returns nil for no rows: sqlc without emit_empty_slices

	notes    annotations
	tree     stmt // the parsed statement
	bodyLine int  // where body begins
}

// methodParam is one parameter of the Go method.
type methodParam struct {
	name string
	typ  types.Type
}

// arg is the Go expression behind one $n.
type arg struct {
	name string     // the last name of the expression: "id", or "UserID" of arg.UserID
	expr string     // "id", "arg.UserID"; for :copyfrom, relative to one row: ".UserID" or ""; for a batch "a.UserID" or "a"
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

// loadSource reads the package that sqlc wrote, and finds its queries in their files.
func loadSource(repoDir string, queriesPaths []string) (*source, Findings, error) {
	build, tags, err := buildTags(repoDir)
	if err != nil {
		return nil, nil, fmt.Errorf("load %s: %w", repoDir, err)
	}
	p, err := loadPackage(repoDir, tags)
	if err != nil {
		return nil, nil, err
	}
	if len(p.Errors) > 0 {
		return nil, Findings{{
			Pos: Position{File: repoDir}, Msg: "the package that sqlc wrote doesn't compile", Why: strings.TrimSpace(p.Errors[len(p.Errors)-1].Msg),
			Mend: []string{"run sqlc generate, and go build " + repoDir},
		}}, nil
	}

	s := &source{pkg: p.Types, build: build, byName: map[string]*query{}, initialism: map[string]bool{}}
	if q, ok := p.Types.Scope().Lookup("Querier").(*types.TypeName); ok {
		_, s.hasQuerier = q.Type().Underlying().(*types.Interface)
	}
	s.findInitialisms()
	if f := checkPackage(p.Types, repoDir); f != nil {
		return nil, Findings{f}, nil
	}
	s.dbArg = p.Types.Scope().Lookup("New").Type().(*types.Signature).Params().Len() == 0

	located, findings, err := locate(queriesPaths)
	if err != nil {
		return nil, nil, err
	}

	consts := map[types.Object]string{} // the constant holding a query: its text
	methods := map[string]*ast.FuncDecl{}
	results := map[string]*ast.FuncDecl{} // of a batch: the method that reads them
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
				if receiver(d) == "Queries" {
					methods[d.Name.Name] = d
				}
				if name, ok := strings.CutSuffix(receiver(d), "BatchResults"); ok && (d.Name.Name == "Query" || d.Name.Name == "QueryRow") {
					results[name] = d
				}
			}
		}
	}

	for name, loc := range located {
		if methods[name] != nil && !ast.IsExported(name) {
			findings = append(findings, &Finding{
				Pos: loc.pos, Query: name, Msg: fmt.Sprintf("query %s has a method that isn't exported", name),
				Why:  "the decorator is another package: it can neither call it nor stand before it",
				Mend: []string{fmt.Sprintf("name it %s and run sqlc generate", strings.ToUpper(name[:1])+name[1:])},
			})
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
		q.fill(p, decl, s.dbArg)
		if q.batch() {
			q.batchArgs(p.TypesInfo, decl)
			q.ownNames(p.Types.Imports())
			if read := results[q.name]; read != nil {
				q.findOuts(p.TypesInfo, read)
			}
			continue
		}
		q.findArgs(p.TypesInfo, decl, obj)
		q.ownNames(p.Types.Imports())
		q.findOuts(p.TypesInfo, decl)
		q.nilNone = q.cmd == ":many" && declaresSlice(decl)
	}
	for name, loc := range located {
		if loc.cmd != ":copyfrom" || methods[name] == nil {
			continue
		}
		q := &query{name: name, cmd: loc.cmd, sql: loc.text}
		s.byName[name] = q
		q.fill(p, methods[name], s.dbArg)
		q.copyArgs()
		q.copyColumns(methods[name])
	}
	for name, q := range s.byName {
		loc, ok := located[name]
		if !ok || loc.cmd != q.cmd {
			findings = append(findings, &Finding{
				Pos: Position{File: repoDir},
				Msg: fmt.Sprintf("query %s %s of the package isn't in %s", name, q.cmd, strings.Join(queriesPaths, ", ")), Query: name,
				Mend: []string{
					"run sqlc generate: the package is not what sqlc makes of these queries",
					"name all files of queries: queries: in sqlc.yaml, or --queries",
				},
			})
			continue
		}
		q.pos, q.file = loc.pos, strings.TrimSuffix(filepath.Base(loc.pos.File), ".sql")
		q.body, q.bodyLine = loc.body, loc.pos.Line+1
		if f := loc.checkText(q); f != nil {
			findings = append(findings, f)
		}
		notes, fs := parseAnnotations(loc.comments)
		fs.about(name, "")
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
				Mend: []string{"run sqlc generate"}, Query: name,
			})
		}
	}
	sort.Slice(s.queries, func(i, j int) bool { return s.queries[i].pos.before(s.queries[j].pos) })
	return s, findings, nil
}

// buildTags returns the build constraint that sqlc put into all of its files, by
// its option build_tags, and the flag under which the go command sees them.
func buildTags(dir string) (expr string, flags []string, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return "", nil, err
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return "", nil, err
		}
		first, _, _ := strings.Cut(string(text), "\n")
		if !constraint.IsGoBuild(first) || !strings.Contains(string(text), "// Code generated by sqlc. DO NOT EDIT.") {
			continue
		}
		x, err := constraint.Parse(first)
		if err != nil {
			return "", nil, fmt.Errorf("%s: %w", name, err)
		}
		var tags []string
		x.Eval(func(tag string) bool {
			tags = append(tags, tag)
			return true
		})
		return x.String(), []string{"-tags=" + strings.Join(tags, ",")}, nil
	}
	return "", nil, nil
}

// checkPackage refuses what sqlc makes with options under which the generated
// code would not compile or not mean the same.
func checkPackage(p *types.Package, repoDir string) *Finding {
	dbtx, _ := p.Scope().Lookup("DBTX").(*types.TypeName)
	newFunc, _ := p.Scope().Lookup("New").(*types.Func)
	if dbtx == nil || newFunc == nil {
		return &Finding{
			Pos: Position{File: repoDir}, Msg: "the package has no DBTX and New: sqlc did not write it",
			Mend: []string{"name the directory that sqlc writes: out: in sqlc.yaml, or --repo"},
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
	if params.Len() > 1 || params.Len() == 1 && !types.Identical(params.At(0).Type(), dbtx.Type()) {
		return &Finding{
			Pos: Position{File: repoDir}, Msg: "New of the package takes neither a DBTX nor nothing: sqlc did not write it",
			Mend: []string{"name the directory that sqlc writes: out: in sqlc.yaml, or --repo"},
		}
	}
	return nil
}

func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
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
func (q *query) fill(p *packages.Package, d *ast.FuncDecl, dbArg bool) {
	if d.Doc != nil {
		q.doc = docLines(d)
	}
	sig := p.TypesInfo.Defs[d.Name].Type().(*types.Signature)
	first := 1 // behind the context
	if dbArg {
		first = 2
	}
	for i := first; i < sig.Params().Len(); i++ {
		v := sig.Params().At(i)
		q.params = append(q.params, methodParam{name: v.Name(), typ: v.Type()})
	}
	q.results = sig.Results()
	if sig.Results().Len() == 2 {
		q.result = sig.Results().At(0).Type()
	}
}

// docLines takes a method's doc comment, without annotations. With
// emit_sql_as_comment the statement follows, indented; where the annotations were
// all that stood above it, it follows the method's name, as sqlc has it for a
// query without comments. After a list it would become a part of its last item,
// and takes a line that parts them.
func docLines(d *ast.FuncDecl) []string {
	var out []string
	cut := false // annotations have stood since the last line that is kept
	for line := range strings.SplitSeq(strings.TrimRight(d.Doc.Text(), "\n"), "\n") {
		switch {
		case isAnnotation(line):
			cut = true
			continue
		case strings.TrimSpace(line) == "":
			if len(out) > 0 && out[len(out)-1] != "" {
				out = append(out, "")
			}
			continue
		case cut && indented(line) && len(out) == 0:
			out = append(out, d.Name.Name, "")
		case cut && indented(line) && lastIndented(out):
			out = append(out, "The statement:", "")
		}
		cut = false
		out = append(out, line)
	}
	for len(out) > 0 && out[len(out)-1] == "" {
		out = out[:len(out)-1]
	}
	return out
}

func indented(line string) bool { return strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") }

// lastIndented reports whether the last line that isn't blank is indented.
func lastIndented(lines []string) bool {
	for i := len(lines) - 1; i >= 0; i-- {
		if lines[i] != "" {
			return indented(lines[i])
		}
	}
	return false
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

// ownNames gives an argument the name that it has in the SQL, where sqlc writes
// argUuid for uuid: it does so for the only parameter of a query, if an import of
// the package ends in that name.
func (q *query) ownNames(imports []*types.Package) {
	if len(q.args) != 1 {
		return
	}
	a := &q.args[0]
	for _, p := range imports {
		if base := path.Base(p.Path()); a.name == a.expr && a.name != base && sameName(a.name, "arg_"+base) {
			a.name = base
			return
		}
	}
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
			q.row = info.TypeOf(root(addr.X))
			if dot := strings.IndexByte(text, '.'); dot >= 0 {
				o.path = text[dot:]
			}
			q.outs = append(q.outs, o)
		}
		return false
	})
}

// root returns what stands before the dots of an expression.
func root(e ast.Expr) ast.Expr {
	for {
		sel, ok := e.(*ast.SelectorExpr)
		if !ok {
			return e
		}
		e = sel.X
	}
}

// batchArgs takes the arguments of one statement of a batch, which sqlc puts into
// a slice for each row a: []interface{}{a.ID, a.Title}, or []interface{}{a}.
func (q *query) batchArgs(info *types.Info, d *ast.FuncDecl) {
	ast.Inspect(d.Body, func(n ast.Node) bool {
		loop, ok := n.(*ast.RangeStmt)
		if !ok {
			return true
		}
		ast.Inspect(loop.Body, func(n ast.Node) bool {
			list, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			for _, e := range list.Elts {
				a := argOf(info, e)
				if _, whole := e.(*ast.Ident); whole && len(q.params) == 1 {
					a.name = q.params[0].name
				}
				q.args = append(q.args, a)
			}
			return false
		})
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
		var above []comment     // comments before the name belong to the query below
		current, below := "", 0 // the line below its name
		close := func(end int) {
			if loc, ok := out[current]; ok {
				loc.body = strings.Join(lines[below:end], "\n")
				out[current] = loc
			}
		}
		body := false // the statement of the current query has begun
		for i, line := range lines {
			pos := Position{File: file, Line: i + 1}
			if at := nameLine.FindStringSubmatchIndex(line); at != nil {
				m := nameLine.FindStringSubmatch(line)
				pos.Col = at[2] + 1
				close(i)
				if old, ok := out[m[1]]; ok {
					findings = append(findings, &Finding{
						Pos: pos, Msg: fmt.Sprintf("query %s is also at %s", m[1], old.pos),
						Mend: []string{"give it another name"}, Query: m[1],
					})
				}
				current, below, body = m[1], i+1, false
				out[current] = location{pos: pos, cmd: m[2], comments: above}
				above = nil
				continue
			}
			if m := commentLine.FindStringSubmatch(line); m != nil {
				pos.Col = strings.IndexAny(line, "-@") + 1
				if isAnnotation(m[1]) {
					pos.Col = strings.IndexByte(line, '@') + 1
				}
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
			if at := misplacedNote.FindStringIndex(line); at != nil {
				pos.Col = at[0] + strings.IndexByte(line[at[0]:], '@') + 1
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
		close(len(lines))
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
		Mend: []string{"run sqlc generate"}, Query: q.name,
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
		Pos: errorPlace(l.pos.File, l.body, l.pos.Line+1, err), Msg: fmt.Sprintf("query %s can't be parsed", name),
		Why: err.Error(), Mend: []string{"correct the query and run sqlc generate"}, Query: name,
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
