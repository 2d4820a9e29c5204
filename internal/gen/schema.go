package gen

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// schema is what the DDL says.
type schema struct {
	tables     map[string]*table // by qualified name, "public.sessions"
	enums      map[string]bool   // type names, without "public."
	domains    map[string]*column
	collations map[string]bool // true: deterministic=false
	functions  map[string]*function
	opaque     []weakPoint // DDL that can't be read
}

// table is a table or a view.
type table struct {
	schema, name string
	pos          Position
	cols         []*column
	uniques      []unique
	fks          []*foreignKey
	triggers     []*trigger // triggers and rules
	rls          bool
	temp         bool
	matview      bool
	family       []*table // parents and children by inheritance or partitioning

	view     *pg.SelectStmt // the body of a view
	viewCols []string       // names given in CREATE VIEW v(a, b)
}

type column struct {
	name       string
	typ        string // as typeName says; a domain is resolved to its base
	notNull    bool
	def        *pg.Node // DEFAULT
	identity   bool     // identity or serial
	generated  bool
	genRefs    []string // columns that a generated column is computed from
	collation  string
	nondetColl bool // compared by a nondeterministic collation
	cuts       bool // varchar(n), timestamptz(p): stores less than it is given
}

type unique struct {
	name    string
	cols    []string
	primary bool
	partial bool // by WHERE, by expression, or deferrable: proves nothing
}

type foreignKey struct {
	name     string
	pos      Position
	child    *table
	cols     []string
	refTable *table
	refCols  []string
	onDelete string // "a" no action, "r" restrict, "c" cascade, "n" set null, "d" set default
	onUpdate string
	setCols  []string // SET NULL (cols)
}

type trigger struct {
	what       string // "trigger" or "rule"
	name       string
	pos        Position
	ins, upd   bool
	del, trunc bool
	cols       []string // UPDATE OF
}

type function struct {
	name     string
	pos      Position
	volatile string // "volatile", "stable", "immutable"
}

// qualified returns the map key of a table.
func qualified(schema, name string) string {
	if schema == "" {
		schema = "public"
	}
	return schema + "." + name
}

// String returns the name as people write it: without "public.".
func (t *table) String() string {
	if t.schema == "public" {
		return t.name
	}
	return t.schema + "." + t.name
}

func (t *table) col(name string) *column {
	for _, c := range t.cols {
		if c.name == name {
			return c
		}
	}
	return nil
}

// hasUnique reports whether have contains every column of the primary key or of
// some unique constraint, so that at most one row has these values.
func (t *table) hasUnique(have func(col string) bool) bool {
	for _, u := range t.uniques {
		if u.partial || len(u.cols) == 0 {
			continue
		}
		all := true
		for _, c := range u.cols {
			all = all && have(c)
		}
		if all {
			return true
		}
	}
	return false
}

// find resolves a name used in SQL. why says what is wrong when there is no
// table to return.
func (s *schema) find(schemaName, name string) (t *table, why string) {
	if schemaName != "" {
		if t := s.tables[qualified(schemaName, name)]; t != nil {
			return t, ""
		}
		return nil, fmt.Sprintf("the schema has no table or view %s.%s", schemaName, name)
	}
	var found []*table
	for _, t := range s.sortedTables() {
		if t.name == name {
			found = append(found, t)
		}
	}
	switch {
	case len(found) == 0:
		return nil, fmt.Sprintf("the schema has no table or view %s", name)
	case len(found) > 1:
		return nil, fmt.Sprintf("%s is in several schemas (%s, %s): search_path decides which is meant", name,
			found[0].schema, found[1].schema)
	case found[0].schema != "public":
		return nil, fmt.Sprintf("%s is in schema %s: only search_path makes the bare name mean it", name, found[0].schema)
	}
	return found[0], ""
}

func (s *schema) sortedTables() []*table {
	out := make([]*table, 0, len(s.tables))
	for _, t := range s.tables {
		out = append(out, t)
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].name != out[j].name {
			return out[i].name < out[j].name
		}
		return out[i].schema < out[j].schema
	})
	return out
}

// children returns the foreign keys that refer to t, by child and name.
func (s *schema) children(t *table) []*foreignKey {
	var out []*foreignKey
	for _, c := range s.sortedTables() {
		for _, fk := range c.fks {
			if fk.refTable == t {
				out = append(out, fk)
			}
		}
	}
	return out
}

// sqlFiles lists path itself, or the .sql files of the directory in the order
// in which migrations run; down migrations are left out.
func sqlFiles(path string, migrations bool) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), ".sql") || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if migrations && strings.HasSuffix(e.Name(), ".down.sql") {
			continue
		}
		out = append(out, filepath.Join(path, e.Name()))
	}
	sort.Strings(out)
	if len(out) == 0 {
		return nil, fmt.Errorf("no .sql files in %s", path)
	}
	return out, nil
}

var downSection = regexp.MustCompile(`(?m)^(-- \+goose Down|-- migrate:down|---- create above / drop below ----)`)

// loadSchema reads the DDL. Findings are statements that make the map unknowable.
func loadSchema(path string) (*schema, Findings, error) {
	files, err := sqlFiles(path, true)
	if err != nil {
		return nil, nil, fmt.Errorf("read the schema: %w", err)
	}
	s := &schema{
		tables: map[string]*table{}, enums: map[string]bool{}, domains: map[string]*column{},
		collations: map[string]bool{}, functions: map[string]*function{},
	}
	var findings Findings
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, fmt.Errorf("read the schema: %w", err)
		}
		src := string(text)
		if i := downSection.FindStringIndex(src); i != nil {
			src = src[:i[0]]
		}
		tree, err := parseSQL(src)
		if err != nil {
			findings = append(findings, &Finding{
				Pos: Position{File: file}, Msg: "the schema can't be parsed", Why: err.Error(),
				Mend: []string{"correct the DDL; Postgres itself would refuse it"},
			})
			continue
		}
		for _, raw := range tree.GetStmts() {
			pos := Position{File: file, Line: lineAt(src, statementStart(src, int(raw.GetStmtLocation())))}
			if f := s.apply(raw.GetStmt(), pos, src); f != nil {
				findings = append(findings, f)
			}
		}
	}
	return s, findings, nil
}

// statementStart skips blanks and comments before a statement.
func statementStart(src string, at int) int {
	for at < len(src) {
		switch {
		case strings.ContainsRune(" \t\r\n;", rune(src[at])):
			at++
		case strings.HasPrefix(src[at:], "--"):
			nl := strings.IndexByte(src[at:], '\n')
			if nl < 0 {
				return at
			}
			at += nl + 1
		case strings.HasPrefix(src[at:], "/*"):
			end := strings.Index(src[at:], "*/")
			if end < 0 {
				return at
			}
			at += end + 2
		default:
			return at
		}
	}
	return at
}

func lineAt(src string, at int) int {
	if at > len(src) {
		at = len(src)
	}
	return 1 + strings.Count(src[:at], "\n")
}

func (s *schema) lookup(r *pg.RangeVar) *table {
	return s.tables[qualified(r.GetSchemaname(), r.GetRelname())]
}

var opaqueWords = regexp.MustCompile(`(?i)\b(trigger|rule|policy|row\s+level|references|view|alter\s+table|create\s+table|inherit|execute)\b`)

func (s *schema) apply(stmt *pg.Node, pos Position, src string) *Finding {
	switch {
	case stmt.GetCreateStmt() != nil:
		return s.createTable(stmt.GetCreateStmt(), pos)
	case stmt.GetCreateForeignTableStmt() != nil:
		return s.createTable(stmt.GetCreateForeignTableStmt().GetBaseStmt(), pos)
	case stmt.GetAlterTableStmt() != nil:
		s.alterTable(stmt.GetAlterTableStmt(), pos)
	case stmt.GetIndexStmt() != nil:
		s.createIndex(stmt.GetIndexStmt())
	case stmt.GetViewStmt() != nil:
		v := stmt.GetViewStmt()
		t := s.newTable(v.GetView(), pos)
		t.view = v.GetQuery().GetSelectStmt()
		t.viewCols = names(v.GetAliases())
	case stmt.GetCreateTableAsStmt() != nil:
		c := stmt.GetCreateTableAsStmt()
		t := s.newTable(c.GetInto().GetRel(), pos)
		t.matview = c.GetObjtype() == pg.ObjectType_OBJECT_MATVIEW
		if !t.matview {
			return &Finding{
				Pos: pos, Msg: fmt.Sprintf("table %s is made by CREATE TABLE … AS: its columns can't be read", t),
				Mend: []string{"write CREATE TABLE with columns, then INSERT … SELECT"},
			}
		}
	case stmt.GetCreateEnumStmt() != nil:
		s.enums[joinName(names(stmt.GetCreateEnumStmt().GetTypeName()))] = true
	case stmt.GetCreateDomainStmt() != nil:
		d := stmt.GetCreateDomainStmt()
		c := &column{typ: typeName(d.GetTypeName()), cuts: len(d.GetTypeName().GetTypmods()) > 0}
		s.collate(c, d.GetCollClause())
		s.domains[joinName(names(d.GetDomainname()))] = c
	case stmt.GetDefineStmt() != nil:
		d := stmt.GetDefineStmt()
		if d.GetKind() != pg.ObjectType_OBJECT_COLLATION {
			break
		}
		nondet := false
		for _, o := range d.GetDefinition() {
			e := o.GetDefElem()
			if e.GetDefname() == "deterministic" {
				v := strings.ToLower(e.GetArg().GetString_().GetSval() + typeName(e.GetArg().GetTypeName()))
				nondet = v == "false" || v == "off"
				if b := e.GetArg().GetBoolean(); b != nil {
					nondet = !b.GetBoolval()
				}
			}
		}
		s.collations[lastName(d.GetDefnames())] = nondet
	case stmt.GetCreateFunctionStmt() != nil:
		s.createFunction(stmt.GetCreateFunctionStmt(), pos)
	case stmt.GetCreateTrigStmt() != nil:
		c := stmt.GetCreateTrigStmt()
		t := s.lookup(c.GetRelation())
		if t == nil {
			return unknownTable(pos, "a trigger", c.GetRelation())
		}
		const ins, del, upd, trunc = 1 << 2, 1 << 3, 1 << 4, 1 << 5 // TRIGGER_TYPE_… of Postgres
		e := c.GetEvents()
		t.triggers = append(t.triggers, &trigger{
			what: "trigger", name: c.GetTrigname(), pos: pos, cols: names(c.GetColumns()),
			ins: e&ins != 0, upd: e&upd != 0, del: e&del != 0, trunc: e&trunc != 0,
		})
	case stmt.GetRuleStmt() != nil:
		r := stmt.GetRuleStmt()
		t := s.lookup(r.GetRelation())
		if t == nil {
			return unknownTable(pos, "a rule", r.GetRelation())
		}
		e := r.GetEvent()
		t.triggers = append(t.triggers, &trigger{
			what: "rule", name: r.GetRulename(), pos: pos,
			ins: e == pg.CmdType_CMD_INSERT, upd: e == pg.CmdType_CMD_UPDATE, del: e == pg.CmdType_CMD_DELETE,
		})
	case stmt.GetCreatePolicyStmt() != nil:
		if t := s.lookup(stmt.GetCreatePolicyStmt().GetTable()); t != nil {
			t.rls = true
		}
	case stmt.GetRenameStmt() != nil:
		s.rename(stmt.GetRenameStmt())
	case stmt.GetAlterObjectSchemaStmt() != nil:
		a := stmt.GetAlterObjectSchemaStmt()
		if t := s.lookup(a.GetRelation()); a.GetRelation() != nil && t != nil {
			delete(s.tables, qualified(t.schema, t.name))
			t.schema = a.GetNewschema()
			s.tables[qualified(t.schema, t.name)] = t
		}
	case stmt.GetDropStmt() != nil:
		s.drop(stmt.GetDropStmt())
	case stmt.GetVariableSetStmt() != nil:
		v := stmt.GetVariableSetStmt()
		if v.GetName() != "search_path" || len(v.GetArgs()) == 0 {
			break
		}
		if first, _ := constText(v.GetArgs()[0]); first != "public" && first != "" {
			return &Finding{
				Pos: pos, Msg: "the schema sets search_path, so that a bare name may mean any schema",
				Mend: []string{"qualify the names with their schema, and leave search_path alone"},
			}
		}
	case stmt.GetDoStmt() != nil:
		if opaqueWords.MatchString(doBody(stmt.GetDoStmt())) {
			return &Finding{
				Pos: pos, Msg: "a DO block changes tables, and pgaside can't read it",
				Mend: []string{"write the DDL as plain statements"},
			}
		}
		s.opaque = append(s.opaque, weakPoint{Pos: pos, Text: "a DO block that pgaside can't read"})
	case stmt.GetSelectStmt() != nil:
		s.opaque = append(s.opaque, weakPoint{Pos: pos, Text: "a SELECT in the schema: what its functions do isn't seen"})
	}
	return nil
}

func unknownTable(pos Position, what string, r *pg.RangeVar) *Finding {
	return &Finding{
		Pos: pos, Msg: fmt.Sprintf("%s names table %s, which the schema doesn't have", what, r.GetRelname()),
		Mend: []string{"give --schema all migrations"},
	}
}

func doBody(d *pg.DoStmt) string {
	var b strings.Builder
	for _, a := range d.GetArgs() {
		b.WriteString(a.GetDefElem().GetArg().GetString_().GetSval())
	}
	return b.String()
}

func joinName(parts []string) string {
	if len(parts) > 1 && parts[0] == "public" {
		parts = parts[1:]
	}
	return strings.Join(parts, ".")
}

func (s *schema) newTable(r *pg.RangeVar, pos Position) *table {
	t := &table{schema: r.GetSchemaname(), name: r.GetRelname(), pos: pos, temp: r.GetRelpersistence() == "t"}
	if t.schema == "" {
		t.schema = "public"
	}
	s.tables[qualified(t.schema, t.name)] = t
	return t
}

func (s *schema) createTable(c *pg.CreateStmt, pos Position) *Finding {
	if c.GetIfNotExists() && s.lookup(c.GetRelation()) != nil {
		return nil
	}
	t := s.newTable(c.GetRelation(), pos)
	for _, p := range c.GetInhRelations() {
		parent := s.lookup(p.GetRangeVar())
		if parent == nil {
			return unknownTable(pos, "INHERITS or PARTITION OF", p.GetRangeVar())
		}
		for _, pc := range parent.cols {
			cp := *pc
			t.cols = append(t.cols, &cp)
		}
		relate(parent, t)
	}
	for _, e := range c.GetTableElts() {
		switch {
		case e.GetColumnDef() != nil:
			s.addColumn(t, e.GetColumnDef(), pos)
		case e.GetConstraint() != nil:
			s.addConstraint(t, e.GetConstraint(), "", pos)
		case e.GetTableLikeClause() != nil:
			like := s.lookup(e.GetTableLikeClause().GetRelation())
			if like == nil {
				return unknownTable(pos, "LIKE", e.GetTableLikeClause().GetRelation())
			}
			for _, lc := range like.cols {
				cp := *lc
				t.cols = append(t.cols, &cp)
			}
		}
	}
	for _, k := range c.GetConstraints() {
		s.addConstraint(t, k.GetConstraint(), "", pos)
	}
	return nil
}

func relate(a, b *table) {
	a.family = append(a.family, b)
	b.family = append(b.family, a)
}

func (s *schema) addColumn(t *table, d *pg.ColumnDef, pos Position) {
	c := &column{name: d.GetColname(), notNull: d.GetIsNotNull()}
	raw := lastName(d.GetTypeName().GetNames())
	c.identity = strings.HasSuffix(raw, "serial") || strings.HasPrefix(raw, "serial") || raw == "bigserial"
	s.setType(c, d.GetTypeName())
	s.collate(c, d.GetCollClause())
	if d.GetRawDefault() != nil {
		c.def = d.GetRawDefault()
	}
	if old := t.col(c.name); old != nil { // merged with an inherited column
		*old = *c
		c = old
	} else {
		t.cols = append(t.cols, c)
	}
	for _, k := range d.GetConstraints() {
		s.addConstraint(t, k.GetConstraint(), c.name, pos)
	}
}

func (s *schema) setType(c *column, tn *pg.TypeName) {
	c.typ = typeName(tn)
	c.cuts = len(tn.GetTypmods()) > 0
	for range 10 { // domains over domains
		d := s.domains[c.typ]
		if d == nil {
			return
		}
		c.typ = d.typ
		c.nondetColl = c.nondetColl || d.nondetColl
		c.cuts = c.cuts || d.cuts
	}
}

func (s *schema) collate(c *column, cl *pg.CollateClause) {
	if cl == nil {
		return
	}
	c.collation = lastName(cl.GetCollname())
	c.nondetColl = s.collations[c.collation]
}

func (s *schema) addConstraint(t *table, k *pg.Constraint, col string, pos Position) {
	keys := names(k.GetKeys())
	if len(keys) == 0 && col != "" {
		keys = []string{col}
	}
	deferrable := k.GetDeferrable()
	switch k.GetContype() {
	case pg.ConstrType_CONSTR_NOTNULL:
		if c := t.col(col); c != nil {
			c.notNull = true
		}
	case pg.ConstrType_CONSTR_DEFAULT:
		if c := t.col(col); c != nil {
			c.def = k.GetRawExpr()
		}
	case pg.ConstrType_CONSTR_IDENTITY:
		if c := t.col(col); c != nil {
			c.identity = true
		}
	case pg.ConstrType_CONSTR_GENERATED:
		if c := t.col(col); c != nil {
			c.generated = true
			walkColumns(k.GetRawExpr(), func(name string) { c.genRefs = append(c.genRefs, name) })
		}
	case pg.ConstrType_CONSTR_PRIMARY, pg.ConstrType_CONSTR_UNIQUE:
		primary := k.GetContype() == pg.ConstrType_CONSTR_PRIMARY
		if k.GetIndexname() != "" { // UNIQUE USING INDEX i
			for i := range t.uniques {
				if t.uniques[i].name == k.GetIndexname() {
					t.uniques[i].primary = primary
					if k.GetConname() != "" {
						t.uniques[i].name = k.GetConname()
					}
				}
			}
			return
		}
		name := k.GetConname()
		if name == "" && primary {
			name = t.name + "_pkey"
		} else if name == "" {
			name = t.name + "_" + strings.Join(keys, "_") + "_key"
		}
		t.uniques = append(t.uniques, unique{name: name, cols: keys, primary: primary, partial: deferrable})
	case pg.ConstrType_CONSTR_FOREIGN:
		cols := names(k.GetFkAttrs())
		if len(cols) == 0 {
			cols = []string{col}
		}
		ref := s.lookup(k.GetPktable())
		if ref == nil {
			return // Postgres would refuse this DDL; a query on the table says so
		}
		refCols := names(k.GetPkAttrs())
		if len(refCols) == 0 {
			for _, u := range ref.uniques {
				if u.primary {
					refCols = u.cols
				}
			}
		}
		name := k.GetConname()
		if name == "" {
			name = t.name + "_" + strings.Join(cols, "_") + "_fkey"
		}
		t.fks = append(t.fks, &foreignKey{
			name: name, pos: pos, child: t, cols: cols, refTable: ref, refCols: refCols,
			onDelete: k.GetFkDelAction(), onUpdate: k.GetFkUpdAction(), setCols: names(k.GetFkDelSetCols()),
		})
	}
}

// walkColumns calls f with the name of each column that an expression over one
// table refers to.
func walkColumns(n *pg.Node, f func(name string)) {
	if n == nil {
		return
	}
	walk(n, func(m protoMessage) bool {
		if c, ok := m.(*pg.ColumnRef); ok {
			if parts, _ := columnPath(c); len(parts) > 0 {
				f(parts[len(parts)-1])
			}
		}
		return true
	})
}

func (s *schema) alterTable(a *pg.AlterTableStmt, pos Position) {
	t := s.lookup(a.GetRelation())
	if t == nil {
		return
	}
	for _, n := range a.GetCmds() {
		c := n.GetAlterTableCmd()
		switch c.GetSubtype() {
		case pg.AlterTableType_AT_AddColumn:
			if c.GetMissingOk() && t.col(c.GetDef().GetColumnDef().GetColname()) != nil {
				continue
			}
			s.addColumn(t, c.GetDef().GetColumnDef(), pos)
		case pg.AlterTableType_AT_DropColumn:
			t.dropColumn(c.GetName())
		case pg.AlterTableType_AT_AlterColumnType:
			if col := t.col(c.GetName()); col != nil {
				col.nondetColl = false
				s.setType(col, c.GetDef().GetColumnDef().GetTypeName())
				s.collate(col, c.GetDef().GetColumnDef().GetCollClause())
			}
		case pg.AlterTableType_AT_ColumnDefault:
			if col := t.col(c.GetName()); col != nil {
				col.def = c.GetDef()
			}
		case pg.AlterTableType_AT_SetNotNull:
			if col := t.col(c.GetName()); col != nil {
				col.notNull = true
			}
		case pg.AlterTableType_AT_DropNotNull:
			if col := t.col(c.GetName()); col != nil {
				col.notNull = false
			}
		case pg.AlterTableType_AT_AddIdentity:
			if col := t.col(c.GetName()); col != nil {
				col.identity = true
			}
		case pg.AlterTableType_AT_DropIdentity:
			if col := t.col(c.GetName()); col != nil {
				col.identity = false
			}
		case pg.AlterTableType_AT_DropExpression:
			if col := t.col(c.GetName()); col != nil {
				col.generated, col.genRefs = false, nil
			}
		case pg.AlterTableType_AT_AddConstraint:
			s.addConstraint(t, c.GetDef().GetConstraint(), "", pos)
		case pg.AlterTableType_AT_DropConstraint:
			t.uniques = slices.DeleteFunc(t.uniques, func(u unique) bool { return u.name == c.GetName() })
			t.fks = slices.DeleteFunc(t.fks, func(f *foreignKey) bool { return f.name == c.GetName() })
		case pg.AlterTableType_AT_EnableRowSecurity, pg.AlterTableType_AT_ForceRowSecurity:
			t.rls = true
		case pg.AlterTableType_AT_DisableRowSecurity:
			t.rls = false
		case pg.AlterTableType_AT_AddInherit:
			if p := s.lookup(c.GetDef().GetRangeVar()); p != nil {
				relate(p, t)
			}
		case pg.AlterTableType_AT_AttachPartition:
			if p := s.lookup(c.GetDef().GetPartitionCmd().GetName()); p != nil {
				relate(t, p)
			}
		}
	}
}

func (t *table) dropColumn(name string) {
	t.cols = slices.DeleteFunc(t.cols, func(c *column) bool { return c.name == name })
	t.uniques = slices.DeleteFunc(t.uniques, func(u unique) bool { return slices.Contains(u.cols, name) })
	t.fks = slices.DeleteFunc(t.fks, func(f *foreignKey) bool { return slices.Contains(f.cols, name) })
}

func (s *schema) createIndex(i *pg.IndexStmt) {
	t := s.lookup(i.GetRelation())
	if t == nil || !i.GetUnique() {
		return
	}
	u := unique{name: i.GetIdxname(), partial: i.GetWhereClause() != nil}
	for _, p := range i.GetIndexParams() {
		if p.GetIndexElem().GetName() == "" {
			u.partial = true // an expression
		}
		u.cols = append(u.cols, p.GetIndexElem().GetName())
	}
	t.uniques = append(t.uniques, u)
}

func (s *schema) createFunction(c *pg.CreateFunctionStmt, pos Position) {
	f := &function{name: lastName(c.GetFuncname()), pos: pos, volatile: "volatile"}
	for _, o := range c.GetOptions() {
		if e := o.GetDefElem(); e.GetDefname() == "volatility" {
			f.volatile = e.GetArg().GetString_().GetSval()
		}
	}
	// Overloads count as the most volatile of them.
	if old := s.functions[f.name]; old != nil && !c.GetReplace() && old.volatile == "volatile" {
		return
	}
	s.functions[f.name] = f
}

func (s *schema) rename(r *pg.RenameStmt) {
	t := s.lookup(r.GetRelation())
	if r.GetRelation() == nil || t == nil {
		return
	}
	switch r.GetRenameType() {
	case pg.ObjectType_OBJECT_TABLE, pg.ObjectType_OBJECT_VIEW:
		delete(s.tables, qualified(t.schema, t.name))
		t.name = r.GetNewname()
		s.tables[qualified(t.schema, t.name)] = t
	case pg.ObjectType_OBJECT_COLUMN:
		rename := func(cols []string) {
			for i := range cols {
				if cols[i] == r.GetSubname() {
					cols[i] = r.GetNewname()
				}
			}
		}
		if c := t.col(r.GetSubname()); c != nil {
			c.name = r.GetNewname()
		}
		for _, c := range t.cols {
			rename(c.genRefs)
		}
		for _, u := range t.uniques {
			rename(u.cols)
		}
		for _, fk := range t.fks {
			rename(fk.cols)
			rename(fk.setCols)
		}
		for _, fk := range s.children(t) {
			fk.refCols = slices.Clone(fk.refCols)
			rename(fk.refCols)
		}
	}
}

func (s *schema) drop(d *pg.DropStmt) {
	for _, o := range d.GetObjects() {
		parts := names(o.GetList().GetItems())
		if tn := o.GetTypeName(); tn != nil {
			parts = names(tn.GetNames())
		}
		if len(parts) == 0 {
			continue
		}
		last := parts[len(parts)-1]
		switch d.GetRemoveType() {
		case pg.ObjectType_OBJECT_TABLE, pg.ObjectType_OBJECT_VIEW, pg.ObjectType_OBJECT_MATVIEW:
			name := qualified("", last)
			if len(parts) > 1 {
				name = qualified(parts[0], last)
			}
			gone := s.tables[name]
			delete(s.tables, name)
			for _, t := range s.tables {
				t.fks = slices.DeleteFunc(t.fks, func(f *foreignKey) bool { return f.refTable == gone })
				t.family = slices.DeleteFunc(t.family, func(f *table) bool { return f == gone })
			}
		case pg.ObjectType_OBJECT_TYPE:
			delete(s.enums, joinName(parts))
		case pg.ObjectType_OBJECT_DOMAIN:
			delete(s.domains, joinName(parts))
		case pg.ObjectType_OBJECT_TRIGGER, pg.ObjectType_OBJECT_RULE:
			name := qualified("", parts[0])
			if len(parts) > 2 {
				name = qualified(parts[0], parts[1])
			}
			if t := s.tables[name]; t != nil {
				t.triggers = slices.DeleteFunc(t.triggers, func(tr *trigger) bool { return tr.name == last })
			}
		case pg.ObjectType_OBJECT_INDEX:
			for _, t := range s.tables {
				t.uniques = slices.DeleteFunc(t.uniques, func(u unique) bool { return u.name == last })
			}
		case pg.ObjectType_OBJECT_FUNCTION:
			delete(s.functions, last)
		}
	}
}

// class returns the comparison class of a column, in which equality is
// identity, or "" and why there is none.
func (s *schema) class(c *column) (class, why string) {
	class, why = s.typeClass(c.typ)
	if class == "text" && c.nondetColl {
		return "", fmt.Sprintf("collation %s is nondeterministic, so that equal texts may differ", c.collation)
	}
	return class, why
}

// typeClass is class for a type name.
func (s *schema) typeClass(typ string) (class, why string) {
	switch typ {
	case "int2", "int4", "int8":
		return "int", ""
	case "uuid", "bool", "bytea", "date", "timestamptz":
		return typ, ""
	case "text", "varchar":
		return "text", ""
	case "citext":
		return "", "citext ignores case: equal values may differ"
	case "bpchar":
		return "", "char(n) ignores trailing blanks: equal values may differ"
	case "numeric":
		return "", "numeric: 1.0 and 1.00 are equal and differ"
	case "float4", "float8":
		return "", "floating point: 0 and -0 are equal and differ"
	case "interval":
		return "", "interval: 24 hours and 1 day are equal and differ"
	case "json", "jsonb", "xml":
		return "", typ + " has no equality that is identity"
	}
	if s.enums[typ] {
		return "enum " + typ, ""
	}
	return "", fmt.Sprintf("type %s isn't known to compare by identity", typ)
}
