package gen

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// effects is what the body of a function may do to tables: the statements that it
// may run, whichever branch it takes, and the columns of NEW that a trigger
// function assigns.
type effects struct {
	stmts  []*pg.Node
	sets   map[string]bool
	all    bool   // NEW is assigned as a whole
	skips  bool   // a trigger may leave the row as it is, by RETURN NULL
	newRow bool   // a trigger may return NEW, which is NULL where a row is deleted
	opaque string // why the body can't be read; the rest says nothing then
}

// effectsOf reads the body of a function, once.
func (f *function) effectsOf() *effects {
	if f.effects == nil {
		f.effects = f.read()
	}
	return f.effects
}

func (f *function) read() *effects {
	e := &effects{sets: map[string]bool{}}
	switch {
	case f.body == nil:
		e.opaque = "pgaside has no text of it"
	case f.language == "sql":
		e.sql(f.body)
	case f.language == "plpgsql":
		e.plpgsql(f.body)
	default:
		e.opaque = fmt.Sprintf("it is written in %s", f.language)
	}
	return e
}

func (e *effects) hide(why string) {
	if e.opaque == "" {
		e.opaque = why
	}
}

// sql takes the statements of a function in SQL, whose body is a string or
// follows BEGIN ATOMIC or RETURN.
func (e *effects) sql(f *pg.CreateFunctionStmt) {
	if body := f.GetSqlBody(); body != nil {
		walk(body, func(m protoMessage) bool {
			n, ok := m.(*pg.Node)
			if !ok {
				return true
			}
			if dataStatement(n) {
				e.stmts = append(e.stmts, n)
				return false
			}
			return true
		})
		return
	}
	for _, o := range f.GetOptions() {
		if o.GetDefElem().GetDefname() != "as" {
			continue
		}
		for _, part := range o.GetDefElem().GetArg().GetList().GetItems() {
			e.parse(part.GetString_().GetSval())
		}
	}
}

func dataStatement(n *pg.Node) bool {
	return n.GetSelectStmt() != nil || n.GetInsertStmt() != nil || n.GetUpdateStmt() != nil || n.GetDeleteStmt() != nil || n.GetMergeStmt() != nil
}

func (e *effects) parse(text string) {
	tree, err := parseSQL(text)
	if err != nil {
		e.hide("a statement of it can't be parsed: " + err.Error())
		return
	}
	for _, s := range tree.GetStmts() {
		e.stmts = append(e.stmts, s.GetStmt())
	}
}

// plpgsql takes the statements of a function in PL/pgSQL. Which of them run isn't
// asked: conditions and loops are taken to run all that is in them.
func (e *effects) plpgsql(f *pg.CreateFunctionStmt) {
	text, err := deparse(&pg.Node{Node: &pg.Node_CreateFunctionStmt{CreateFunctionStmt: f}})
	if err != nil {
		e.hide("it can't be written anew: " + err.Error())
		return
	}
	if strings.Contains(text, "#variable_conflict") {
		e.hide("it says #variable_conflict, so that a name may mean a variable or a column")
		return
	}
	tree, err := parsePlpgsql(text)
	if err != nil {
		e.hide("it can't be parsed: " + err.Error())
		return
	}
	var funcs []struct {
		Function map[string]json.RawMessage `json:"PLpgSQL_function"`
	}
	if err := json.Unmarshal([]byte(tree), &funcs); err != nil || len(funcs) != 1 {
		e.hide("its parse tree can't be read")
		return
	}
	b := plBody{e: e, newVar: -1}
	_ = json.Unmarshal(funcs[0].Function["new_varno"], &b.newVar)
	_ = json.Unmarshal(funcs[0].Function["datums"], &b.datums)
	for _, d := range b.datums { // defaults of variables are expressions
		b.visit(d)
	}
	var action any
	if err := json.Unmarshal(funcs[0].Function["action"], &action); err != nil {
		e.hide("its parse tree can't be read")
		return
	}
	b.visit(action)
}

// plBody walks the parse tree of a PL/pgSQL function.
type plBody struct {
	e      *effects
	newVar int
	datums []any
}

// plKnown are the kinds of statement whose effect is that of the expressions,
// queries and statements in them.
var plKnown = set(`block if case loop while fori fors forc foreach_a assign return return_next return_query raise assert execsql
	perform getdiag open fetch close exit call set`)

func (b *plBody) visit(n any) {
	switch n := n.(type) {
	case []any:
		for _, c := range n {
			b.visit(c)
		}
	case map[string]any:
		keys := sortedKeys(n)
		for _, k := range keys {
			if kind, ok := strings.CutPrefix(k, "PLpgSQL_stmt_"); ok {
				b.statement(kind, n[k])
			}
			if k == "PLpgSQL_expr" {
				b.expr(n[k])
				continue
			}
			b.visit(n[k])
		}
	}
}

func (b *plBody) statement(kind string, n any) {
	m, _ := n.(map[string]any)
	switch {
	case strings.HasPrefix(kind, "dyn"):
		b.e.hide("it runs SQL that it makes (EXECUTE)")
	case kind == "return_query" && m["dynquery"] != nil:
		b.e.hide("it runs SQL that it makes (RETURN QUERY EXECUTE)")
	case kind == "open" && m["dynquery"] != nil:
		b.e.hide("it runs SQL that it makes (OPEN … FOR EXECUTE)")
	case !plKnown[kind]:
		b.e.hide(fmt.Sprintf("it has a statement that pgaside doesn't follow (%s)", kind))
	case kind == "assign":
		no, _ := m["varno"].(float64)
		b.assigned(int(no))
	case kind == "return": // of a trigger: the row that is stored
		expr, _ := m["expr"].(map[string]any)
		inner, _ := expr["PLpgSQL_expr"].(map[string]any)
		text, _ := inner["query"].(string)
		switch strings.ToLower(strings.TrimSpace(text)) {
		case "old":
		case "new":
			b.e.newRow = true
		case "null":
			b.e.skips = true
		default:
			b.e.all, b.e.skips = true, true
		}
	}
	for _, into := range []string{"target", "var"} {
		b.into(m[into])
	}
}

// into notes the variables that a statement writes its result to.
func (b *plBody) into(n any) {
	m, _ := n.(map[string]any)
	if rec, ok := m["PLpgSQL_rec"].(map[string]any); ok && rec["refname"] == "new" {
		b.e.all = true
	}
	row, _ := m["PLpgSQL_row"].(map[string]any)
	fields, _ := row["fields"].([]any)
	for _, f := range fields {
		field, _ := f.(map[string]any)
		no, _ := field["varno"].(float64)
		b.assigned(int(no))
	}
}

// assigned notes that a variable gets another value.
func (b *plBody) assigned(no int) {
	if no == b.newVar {
		b.e.all = true
		return
	}
	if no < 0 || no >= len(b.datums) {
		b.e.all = true
		return
	}
	d, _ := b.datums[no].(map[string]any)
	f, ok := d["PLpgSQL_recfield"].(map[string]any)
	if !ok {
		return
	}
	parent, _ := f["recparentno"].(float64)
	if int(parent) != b.newVar {
		return
	}
	if name, ok := f["fieldname"].(string); ok {
		b.e.sets[name] = true
		return
	}
	b.e.all = true
}

// The ways in which the text of an expression is to be parsed, as Postgres
// numbers them (RawParseMode).
const (
	plStatement  = 0
	plExpression = 2
	plAssign1    = 3
)

func (b *plBody) expr(n any) {
	m, _ := n.(map[string]any)
	text, _ := m["query"].(string)
	mode, _ := m["parseMode"].(float64)
	switch {
	case text == "":
	case int(mode) == plStatement:
		b.e.parse(text)
	case int(mode) == plExpression:
		b.e.parse("SELECT " + text)
	case int(mode) >= plAssign1: // target := expression
		at := strings.Index(text, "=")
		if at < 0 {
			b.e.hide("an assignment of it can't be read")
			return
		}
		b.e.parse("SELECT " + text[at+1:])
	default:
		b.e.hide("an expression of it can't be read")
	}
}

// columnSetters are trigger functions of Postgres and its extensions that only
// assign the column that their first argument names.
var columnSetters = set("moddatetime tsvector_update_trigger tsvector_update_trigger_column")

// effectsOf reads what a trigger does.
func (s *schema) effectsOf(tr *trigger) *effects {
	if tr.what == "rule" {
		if tr.nothing {
			return &effects{}
		}
		return &effects{opaque: "pgaside doesn't follow rules"}
	}
	fs := s.functions[tr.function]
	if len(fs) == 0 && columnSetters[tr.function] && len(tr.args) > 0 {
		return &effects{sets: map[string]bool{tr.args[0]: true}}
	}
	if len(fs) == 0 && tr.function == "suppress_redundant_updates_trigger" {
		return &effects{}
	}
	i := slices.IndexFunc(fs, func(f *function) bool { return f.args == "" })
	if i < 0 {
		return &effects{opaque: fmt.Sprintf("the schema doesn't have function %s", tr.function)}
	}
	return fs[i].effectsOf()
}
