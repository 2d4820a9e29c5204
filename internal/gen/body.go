package gen

import (
	"encoding/json"
	"fmt"
	"regexp"
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
	all    bool            // NEW is assigned as a whole
	skips  bool            // a trigger may leave the row as it is, by RETURN NULL
	old    bool            // OLD is assigned, as a whole or in part
	gives  string          // of "NEW" and "OLD", those that a trigger may return; OLD only where the row need not go
	vars   map[string]bool // names that don't stand for an argument throughout: of variables that are assigned, or that hide another one
	opaque string          // why the body can't be read; the rest says nothing then
}

// effectsOf reads the body of a function, once.
func (f *function) effectsOf() *effects {
	if f.effects == nil {
		f.effects = f.read()
	}
	return f.effects
}

func (f *function) read() *effects {
	e := &effects{sets: map[string]bool{}, vars: map[string]bool{}}
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
	b := plBody{e: e, newVar: -1, oldVar: -1}
	_ = json.Unmarshal(funcs[0].Function["new_varno"], &b.newVar)
	_ = json.Unmarshal(funcs[0].Function["old_varno"], &b.oldVar)
	_ = json.Unmarshal(funcs[0].Function["datums"], &b.datums)
	seen := map[string]bool{}
	for i, d := range b.datums { // defaults of variables are expressions
		b.visit(d)
		if name := b.name(i); name != "" {
			e.vars[name] = e.vars[name] || seen[name] // a variable of a block hides it
			seen[name] = true
		}
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
	oldVar int
	datums []any
	going  int // > 0: where TG_OP is 'DELETE'
}

// name returns the name of a variable; "" for what is no variable of its own.
func (b *plBody) name(no int) string {
	d, _ := b.datums[no].(map[string]any)
	for _, kind := range []string{"PLpgSQL_var", "PLpgSQL_rec"} {
		if v, ok := d[kind].(map[string]any); ok {
			name, _ := v["refname"].(string)
			return name
		}
	}
	return ""
}

// onDelete is a condition under which a row goes.
var onDelete = regexp.MustCompile(`(?i)^\s*\(?\s*tg_op\s*=\s*'DELETE'\s*\)?\s*$`)

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
			if cond, _ := n["cond"].(map[string]any); k == "then_body" && cond != nil {
				if expr, _ := cond["PLpgSQL_expr"].(map[string]any); expr != nil {
					if text, _ := expr["query"].(string); onDelete.MatchString(text) {
						b.going++
						b.visit(n[k])
						b.going--
						continue
					}
				}
			}
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
	case kind == "assign", kind == "foreach_a":
		no, _ := m["varno"].(float64)
		b.assigned(int(no))
	case kind == "getdiag":
		items, _ := m["diag_items"].([]any)
		for _, i := range items {
			item, _ := i.(map[string]any)
			diag, _ := item["PLpgSQL_diag_item"].(map[string]any)
			no, _ := diag["target"].(float64)
			b.assigned(int(no))
		}
	case kind == "call": // a variable may be assigned as an OUT parameter
		b.called(m)
	case kind == "return": // of a trigger: the row that is stored
		expr, _ := m["expr"].(map[string]any)
		inner, _ := expr["PLpgSQL_expr"].(map[string]any)
		text, _ := inner["query"].(string)
		switch word := strings.ToLower(strings.TrimSpace(text)); word {
		case "new":
			b.e.gives += "NEW"
		case "old":
			if b.going == 0 {
				b.e.gives += "OLD"
			}
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
	if rec, ok := m["PLpgSQL_rec"].(map[string]any); ok {
		if no, ok := rec["dno"].(float64); ok {
			b.assigned(int(no))
		} else { // the first of all
			b.assigned(0)
		}
	}
	row, _ := m["PLpgSQL_row"].(map[string]any)
	fields, _ := row["fields"].([]any)
	for _, f := range fields {
		field, _ := f.(map[string]any)
		no, _ := field["varno"].(float64)
		b.assigned(int(no))
	}
}

// called notes the variables that CALL may assign: any that is an argument.
func (b *plBody) called(call map[string]any) {
	expr, _ := call["expr"].(map[string]any)
	inner, _ := expr["PLpgSQL_expr"].(map[string]any)
	text, _ := inner["query"].(string)
	tree, err := parseSQL(text)
	if err != nil {
		return // it is reported where it is taken for a statement
	}
	for _, s := range tree.GetStmts() {
		walk(s.GetStmt(), func(m protoMessage) bool {
			c, ok := m.(*pg.ColumnRef)
			if !ok {
				return true
			}
			parts, _ := columnPath(c)
			for _, name := range parts {
				b.e.vars[name] = true
			}
			switch {
			case len(parts) == 0:
			case parts[0] == "old":
				b.e.old = true
			case parts[0] == "new" && len(parts) > 1:
				b.e.sets[parts[1]] = true
			case parts[0] == "new":
				b.e.all = true
			}
			return true
		})
	}
}

// assigned notes that a variable gets another value.
func (b *plBody) assigned(no int) {
	if no == b.newVar || no < 0 || no >= len(b.datums) {
		b.e.all = true
		return
	}
	if name := b.name(no); name != "" {
		b.e.vars[name] = true
	}
	b.e.old = b.e.old || no == b.oldVar
	d, _ := b.datums[no].(map[string]any)
	f, ok := d["PLpgSQL_recfield"].(map[string]any)
	if !ok {
		return
	}
	parent, _ := f["recparentno"].(float64)
	b.e.old = b.e.old || int(parent) == b.oldVar
	if name := b.name(int(parent)); name != "" {
		b.e.vars[name] = true
	}
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
	fs = slices.DeleteFunc(slices.Clone(fs), func(f *function) bool { return f.args != "" || tr.of != "" && f.schema != tr.of })
	switch len(fs) {
	case 0:
		return &effects{opaque: fmt.Sprintf("the schema doesn't have function %s", tr.function)}
	case 1:
		return fs[0].effectsOf()
	}
	return &effects{opaque: fmt.Sprintf("several schemas have a function %s", tr.function)}
}
