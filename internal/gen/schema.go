package gen

import (
	"cmp"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
)

// schema is what the DDL says.
type schema struct {
	tables     map[string]*table // by qualified name, "public.sessions"
	enums      map[string]bool   // type names, without "public."
	domains    map[string]*column
	collations map[string]bool        // true: deterministic=false
	functions  map[string][]*function // by name without schema: the overloads
	operators  map[string]*operator   // operators of the schema's own
	taken      map[string]bool        // names of constraints and indexes
	opaque     []WeakPoint            // DDL that can't be read
	index      *schemaIndex           // of tables; nil after a change
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
	parents      []*table // by inheritance or partitioning
	heirs        []*table // tables that inherit from it, and its partitions
	inherited    bool     // some heirs are no partitions: its keys are not unique among them
	partition    bool     // it is one
	detached     bool     // it was one, or an heir; it keeps the foreign keys that it had
	partedBy     []string // the columns that tell in which partition a row is

	view     *pg.SelectStmt // the body of a view
	viewCols []string       // names given in CREATE VIEW v(a, b)
	outdated string         // a view whose text no longer says what it reads, and why
	defaults bool           // a view with defaults of its own

	checks map[string]bool // names of constraints that say nothing of keys
}

type column struct {
	name       string
	typ        string // as typeName says; a domain is resolved to its base
	notNull    bool
	def        *pg.Node // DEFAULT
	domain     string   // the type as it was written; perhaps a domain
	domainDef  bool     // of a domain: it has a DEFAULT, which counts where a column has none
	identity   bool     // identity or serial
	generated  bool
	genRefs    []string // columns that a generated column is computed from
	collation  string
	nondetColl bool // compared by a nondeterministic collation
	cuts       bool // varchar(n), timestamptz(p): stores less than it is given
	inherited  bool // it goes with the column of a parent
}

type unique struct {
	name    string
	cols    []string
	with    []string // INCLUDE: the key goes with these as well
	primary bool
	partial bool // by WHERE, by expression, or deferrable: proves nothing
	nulls   bool // NULLS NOT DISTINCT
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

	deferrable bool // it may be broken until the commit
	notValid   bool // rows that were there before it may break it
}

type trigger struct {
	what       string // "trigger" or "rule"
	name       string
	pos        Position
	function   string   // that a trigger runs
	of         string   // the schema that is named before it; "" for none
	args       []string // of the trigger
	before     bool     // it runs before the row is stored, and for each row
	nothing    bool     // a rule that does nothing besides the statement
	ins, upd   bool
	del, trunc bool
	cols       []string // UPDATE OF
	rows       []string // names of its transition tables
}

type function struct {
	schema   string
	name     string
	args     string // the types of its arguments
	params   []funcParam
	pos      Position
	volatile string // "volatile", "stable", "immutable"
	language string
	settings bool         // it has SET …
	columns  []*pg.Node   // names of what it returns: OUT and TABLE parameters
	rowType  *pg.TypeName // what it returns otherwise
	body     *pg.CreateFunctionStmt
	effects  *effects // see effectsOf
}

type funcParam struct{ name, typ string }

type operator struct {
	pos      Position
	function string
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
	if t.inherited {
		return false
	}
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
	found := s.indexed().byName[name]
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
func (s *schema) children(t *table) []*foreignKey { return s.indexed().children[t] }

// version is the number that a migration's name begins with; 0 without one.
func version(file string) uint64 {
	name := filepath.Base(file)
	n, err := strconv.ParseUint(name[:len(name)-len(strings.TrimLeft(name, "0123456789"))], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

var downSection = regexp.MustCompile(`(?m)^(-- \+goose Down|-- \+migrate Down|-- migrate:down|---- create above / drop below ----)`)

// loadSchema reads the DDL. Findings are statements that make the map unknowable.
func loadSchema(paths ...string) (*schema, Findings, error) {
	files, err := sqlFiles(paths, true)
	if err != nil {
		return nil, nil, fmt.Errorf("read the schema: %w", err)
	}
	s := &schema{
		tables: map[string]*table{}, enums: map[string]bool{}, domains: map[string]*column{},
		collations: map[string]bool{}, functions: map[string][]*function{}, operators: map[string]*operator{}, taken: map[string]bool{},
	}
	var findings Findings
	for _, file := range files {
		src, f, err := readSQL(file)
		if err != nil {
			return nil, nil, fmt.Errorf("read the schema: %w", err)
		}
		if f != nil {
			findings = append(findings, f)
			continue
		}
		if i := downSection.FindStringIndex(src); i != nil {
			src = src[:i[0]]
		}
		tree, err := parseSQL(src)
		if err != nil {
			findings = append(findings, &Finding{
				Pos: errorPlace(file, src, 1, err), Msg: "the schema can't be parsed", Why: err.Error(),
				Mend: []string{"correct the DDL; Postgres itself would refuse it"},
			})
			continue
		}
		for _, raw := range tree.GetStmts() {
			pos := placeIn(file, src, statementStart(src, int(raw.GetStmtLocation())), 1)
			s.index = nil
			if f := s.apply(raw.GetStmt(), pos, src); f != nil {
				findings = append(findings, f)
			}
		}
	}
	s.index = nil
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
		return s.alterTable(stmt.GetAlterTableStmt(), pos)
	case stmt.GetIndexStmt() != nil:
		s.createIndex(stmt.GetIndexStmt())
	case stmt.GetViewStmt() != nil:
		v := stmt.GetViewStmt()
		was := s.lookup(v.GetView())
		t := s.newTable(v.GetView(), pos)
		if v.GetReplace() && was != nil {
			t.triggers, t.defaults = was.triggers, was.defaults
		}
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
	case stmt.GetAlterEnumStmt() != nil:
		s.renameValue(stmt.GetAlterEnumStmt(), pos)
	case stmt.GetCreateDomainStmt() != nil:
		d := stmt.GetCreateDomainStmt()
		c := &column{typ: typeName(d.GetTypeName()), cuts: len(d.GetTypeName().GetTypmods()) > 0}
		s.collate(c, d.GetCollClause())
		for _, k := range d.GetConstraints() {
			c.domainDef = c.domainDef || k.GetConstraint().GetContype() == pg.ConstrType_CONSTR_DEFAULT
		}
		s.domains[joinName(names(d.GetDomainname()))] = c
	case stmt.GetAlterDomainStmt() != nil:
		a := stmt.GetAlterDomainStmt()
		if c := s.domains[joinName(names(a.GetTypeName()))]; c != nil && a.GetSubtype() == "T" && a.GetDef() != nil {
			c.domainDef = true
		}
	case stmt.GetDefineStmt() != nil:
		d := stmt.GetDefineStmt()
		if d.GetKind() == pg.ObjectType_OBJECT_OPERATOR {
			op := &operator{pos: pos}
			for _, n := range d.GetDefinition() {
				if e := n.GetDefElem(); e.GetDefname() == "function" || e.GetDefname() == "procedure" {
					op.function = lastName(e.GetArg().GetTypeName().GetNames())
				}
			}
			s.operators[lastName(d.GetDefnames())] = op
		}
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
	case stmt.GetAlterFunctionStmt() != nil:
		s.alterFunction(stmt.GetAlterFunctionStmt())
	case stmt.GetCreateTrigStmt() != nil:
		c := stmt.GetCreateTrigStmt()
		t := s.lookup(c.GetRelation())
		if t == nil {
			return unknownTable(pos, "a trigger", c.GetRelation())
		}
		const before, ins, del, upd, trunc = 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 5 // TRIGGER_TYPE_… of Postgres
		e := c.GetEvents()
		if c.GetReplace() {
			t.triggers = slices.DeleteFunc(t.triggers, func(o *trigger) bool { return o.name == c.GetTrigname() })
		}
		var rows []string
		for _, n := range c.GetTransitionRels() {
			rows = append(rows, n.GetTriggerTransition().GetName())
		}
		t.triggers = append(t.triggers, &trigger{
			rows: rows,
			what: "trigger", name: c.GetTrigname(), pos: pos, cols: names(c.GetColumns()), function: lastName(c.GetFuncname()), of: schemaOf(c.GetFuncname()), args: names(c.GetArgs()),
			ins: e&ins != 0, upd: e&upd != 0, del: e&del != 0, trunc: e&trunc != 0, before: c.GetTiming()&before != 0 && c.GetRow(),
		})
	case stmt.GetRuleStmt() != nil:
		r := stmt.GetRuleStmt()
		t := s.lookup(r.GetRelation())
		if t == nil {
			return unknownTable(pos, "a rule", r.GetRelation())
		}
		e := r.GetEvent()
		t.triggers = append(t.triggers, &trigger{
			what: "rule", name: r.GetRulename(), pos: pos, nothing: len(r.GetActions()) == 0,
			ins: e == pg.CmdType_CMD_INSERT, upd: e == pg.CmdType_CMD_UPDATE, del: e == pg.CmdType_CMD_DELETE,
		})
	case stmt.GetCreatePolicyStmt() != nil:
		if t := s.lookup(stmt.GetCreatePolicyStmt().GetTable()); t != nil {
			t.rls = true
		}
	case stmt.GetRenameStmt() != nil:
		s.rename(stmt.GetRenameStmt(), pos)
	case stmt.GetAlterObjectSchemaStmt() != nil:
		a := stmt.GetAlterObjectSchemaStmt()
		if o := a.GetObject().GetObjectWithArgs(); o != nil {
			s.renameFunction(o, a.GetNewschema(), "")
		}
		if t := s.lookup(a.GetRelation()); a.GetRelation() != nil && t != nil {
			s.outdate(t, fmt.Sprintf("%s moved to another schema at %s", t, pos))
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
		s.opaque = append(s.opaque, WeakPoint{At: pos, On: "schema", Text: "a DO block that pgaside can't read"})
	case stmt.GetSelectStmt() != nil:
		s.opaque = append(s.opaque, WeakPoint{At: pos, On: "schema", Text: "a SELECT in the schema: what its functions do isn't seen"})
	}
	return nil
}

func unknownTable(pos Position, what string, r *pg.RangeVar) *Finding {
	return &Finding{
		Pos: pos, Msg: fmt.Sprintf("%s names table %s, which the schema doesn't have", what, r.GetRelname()),
		Mend: []string{"name all migrations under schema: in sqlc.yaml (or by --schema)"},
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
			if t.col(pc.name) != nil {
				continue // of several parents
			}
			cp := *pc
			cp.inherited = true
			t.cols = append(t.cols, &cp)
		}
		relate(parent, t, c.GetPartbound() != nil)
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
	for _, n := range c.GetPartspec().GetPartParams() {
		e := n.GetPartitionElem()
		t.partedBy = append(t.partedBy, e.GetName())
		walkColumns(e.GetExpr(), func(name string) { t.partedBy = append(t.partedBy, name) })
	}
	t.referPrimary()
	return nil
}

// referPrimary completes the foreign keys of a table to itself that stand
// before its primary key.
func (t *table) referPrimary() {
	for _, fk := range t.fks {
		if len(fk.refCols) == 0 {
			fk.refCols = fk.refTable.primary()
		}
	}
}

func (t *table) primary() []string {
	for _, u := range t.uniques {
		if u.primary {
			return u.cols
		}
	}
	return nil
}

func relate(parent, heir *table, partition bool) {
	parent.heirs = append(parent.heirs, heir)
	heir.parents = append(heir.parents, parent)
	parent.inherited = parent.inherited || !partition
	heir.partition = heir.partition || partition
	heir.detached = false
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
	last := pg.ConstrType_CONSTR_NULL
	for _, n := range d.GetConstraints() {
		k := n.GetConstraint()
		switch k.GetContype() {
		case pg.ConstrType_CONSTR_ATTR_DEFERRABLE, pg.ConstrType_CONSTR_ATTR_DEFERRED:
			// What follows a column's constraint speaks of it.
			if last == pg.ConstrType_CONSTR_PRIMARY || last == pg.ConstrType_CONSTR_UNIQUE {
				t.uniques[len(t.uniques)-1].partial = true
			}
			if last == pg.ConstrType_CONSTR_FOREIGN && len(t.fks) > 0 {
				t.fks[len(t.fks)-1].deferrable = true
			}
			continue
		}
		s.addConstraint(t, k, c.name, pos)
		last = k.GetContype()
	}
}

func (s *schema) setType(c *column, tn *pg.TypeName) {
	c.typ = typeName(tn)
	c.domain = c.typ
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
		var name string
		if primary {
			name = s.constraintName(t, k.GetConname(), nil, "pkey")
		} else {
			name = s.constraintName(t, k.GetConname(), keys, "key")
		}
		t.uniques = append(t.uniques, unique{
			name: name, cols: keys, with: names(k.GetIncluding()), primary: primary, partial: deferrable, nulls: k.GetNullsNotDistinct(),
		})
	case pg.ConstrType_CONSTR_CHECK, pg.ConstrType_CONSTR_EXCLUSION:
		label, cols := "check", map[string]bool{}
		walkColumns(k.GetRawExpr(), func(name string) { cols[name] = true })
		if k.GetContype() == pg.ConstrType_CONSTR_EXCLUSION {
			label = "excl"
			for _, e := range k.GetExclusions() {
				cols[e.GetList().GetItems()[0].GetIndexElem().GetName()] = true
			}
		}
		on := sortedKeys(cols)
		if label == "check" && len(on) != 1 {
			on = nil
		}
		if t.checks == nil {
			t.checks = map[string]bool{}
		}
		t.checks[s.constraintName(t, k.GetConname(), on, label)] = true
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
			refCols = ref.primary()
		}
		name := s.constraintName(t, k.GetConname(), cols, "fkey")
		t.fks = append(t.fks, &foreignKey{
			name: name, pos: pos, child: t, cols: cols, refTable: ref, refCols: refCols,
			onDelete: k.GetFkDelAction(), onUpdate: k.GetFkUpdAction(), setCols: names(k.GetFkDelSetCols()),
			deferrable: deferrable, notValid: k.GetSkipValidation(),
		})
	}
}

// constraintName returns the name of a constraint, chosen as Postgres does when
// the DDL gives none: a later DROP CONSTRAINT must find it.
func (s *schema) constraintName(t *table, given string, cols []string, label string) string {
	name := given
	for n := 0; name == "" || given == "" && s.taken[t.schema+"."+name]; n++ {
		name = objectName(t.name, strings.Join(cols, "_"), label)
		if n > 0 {
			name = objectName(t.name, strings.Join(cols, "_"), label+strconv.Itoa(n))
		}
	}
	s.taken[t.schema+"."+name] = true
	return name
}

// objectName is makeObjectName of Postgres: at most 63 bytes, the longer of the
// names giving way.
func objectName(table, cols, label string) string {
	room := 63 - len(label) - 1
	if cols != "" {
		room--
	}
	for len(table)+len(cols) > room {
		if len(table) > len(cols) {
			table = table[:len(table)-1]
		} else {
			cols = cols[:len(cols)-1]
		}
	}
	if cols != "" {
		cols = "_" + cols
	}
	return table + cols + "_" + label
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

func (s *schema) alterTable(a *pg.AlterTableStmt, pos Position) *Finding {
	t := s.lookup(a.GetRelation())
	if t == nil {
		return nil
	}
	defer t.referPrimary()
	for _, n := range a.GetCmds() {
		c := n.GetAlterTableCmd()
		of := []*table{t}
		if a.GetRelation().GetInh() { // not ONLY
			of = t.below()
		}
		for _, o := range of {
			if o == t || !o.detached {
				s.alterColumn(o, c, o != t, pos)
			}
		}
		switch c.GetSubtype() {
		case pg.AlterTableType_AT_AddConstraint:
			s.addConstraint(t, c.GetDef().GetConstraint(), "", pos)
		case pg.AlterTableType_AT_AlterConstraint, pg.AlterTableType_AT_ValidateConstraint:
			k := c.GetDef().GetConstraint()
			for _, fk := range t.fks {
				if k == nil && fk.name == c.GetName() {
					fk.notValid = false
				} else if k != nil && fk.name == k.GetConname() {
					fk.deferrable = k.GetDeferrable()
				}
			}
		case pg.AlterTableType_AT_DropConstraint:
			s.dropKey(t, c.GetName())
			if !t.dropConstraint(c.GetName()) && !c.GetMissingOk() && len(t.parents)+len(t.heirs) == 0 && !strings.HasSuffix(c.GetName(), "_not_null") {
				return &Finding{
					Pos: pos, Msg: fmt.Sprintf("DROP CONSTRAINT %s: pgaside can't find it on table %s", c.GetName(), t),
					Why:  "it may be a key or a foreign key that pgaside would go on trusting",
					Mend: []string{"give the constraint its name where it is made: CONSTRAINT " + c.GetName() + " …"},
				}
			}
			delete(s.taken, t.schema+"."+c.GetName())
		case pg.AlterTableType_AT_EnableRowSecurity, pg.AlterTableType_AT_ForceRowSecurity:
			t.rls = true
		case pg.AlterTableType_AT_DisableRowSecurity:
			t.rls = false
		case pg.AlterTableType_AT_AddInherit:
			if p := s.lookup(c.GetDef().GetRangeVar()); p != nil {
				relate(p, t, false)
			}
		case pg.AlterTableType_AT_AttachPartition:
			if p := s.lookup(c.GetDef().GetPartitionCmd().GetName()); p != nil {
				relate(t, p, true)
			}
		case pg.AlterTableType_AT_DetachPartition:
			if p := s.lookup(c.GetDef().GetPartitionCmd().GetName()); p != nil {
				p.detached = true
			}
		case pg.AlterTableType_AT_DropInherit:
			t.detached = len(t.parents) < 2
		}
	}
	return nil
}

// dropKey distrusts the foreign keys that refer to the columns of a unique key, which
// went with it if there was no other one.
func (s *schema) dropKey(t *table, name string) {
	for _, u := range t.uniques {
		if u.name != name {
			continue
		}
		for _, child := range s.tables {
			for _, fk := range child.fks {
				if fk.refTable == t && len(fk.refCols) == len(u.cols) && !slices.ContainsFunc(fk.refCols, func(col string) bool { return !slices.Contains(u.cols, col) }) {
					fk.deferrable = true
				}
			}
		}
	}
}

// alterColumn does to a column what ALTER TABLE says, of the table that it names or
// of an heir of that.
func (s *schema) alterColumn(t *table, c *pg.AlterTableCmd, heir bool, pos Position) {
	switch c.GetSubtype() {
	case pg.AlterTableType_AT_AddColumn:
		d := c.GetDef().GetColumnDef()
		if (c.GetMissingOk() || heir) && t.col(d.GetColname()) != nil {
			return
		}
		if heir { // keys are not inherited, and those of partitions stand above them
			d = proto.Clone(d).(*pg.ColumnDef)
			d.Constraints = slices.DeleteFunc(d.Constraints, func(n *pg.Node) bool {
				switch n.GetConstraint().GetContype() {
				case pg.ConstrType_CONSTR_PRIMARY, pg.ConstrType_CONSTR_UNIQUE, pg.ConstrType_CONSTR_FOREIGN:
					return true
				}
				return false
			})
		}
		s.addColumn(t, d, pos)
		t.col(d.GetColname()).inherited = heir
		s.widened(t, pos)
	case pg.AlterTableType_AT_DropColumn:
		if col := t.col(c.GetName()); heir && col != nil && !col.inherited && !t.partition {
			return // the heir's own as well
		}
		t.dropColumn(c.GetName())
		for _, child := range s.tables {
			child.fks = slices.DeleteFunc(child.fks, func(fk *foreignKey) bool { return fk.refTable == t && slices.Contains(fk.refCols, c.GetName()) })
		}
	case pg.AlterTableType_AT_AlterColumnType:
		if col := t.col(c.GetName()); col != nil {
			col.nondetColl = false
			s.setType(col, c.GetDef().GetColumnDef().GetTypeName())
			s.collate(col, c.GetDef().GetColumnDef().GetCollClause())
		}
	case pg.AlterTableType_AT_ColumnDefault:
		t.defaults = t.defaults || t.view != nil
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
	case pg.AlterTableType_AT_SetExpression:
		if col := t.col(c.GetName()); col != nil {
			col.genRefs = nil
			walkColumns(c.GetDef(), func(name string) { col.genRefs = append(col.genRefs, name) })
		}
	case pg.AlterTableType_AT_DropExpression:
		if col := t.col(c.GetName()); col != nil {
			col.generated, col.genRefs = false, nil
		}
	}
}

func (t *table) dropConstraint(name string) bool {
	before := len(t.uniques) + len(t.fks) + len(t.checks)
	t.uniques = slices.DeleteFunc(t.uniques, func(u unique) bool { return u.name == name })
	t.fks = slices.DeleteFunc(t.fks, func(f *foreignKey) bool { return f.name == name })
	delete(t.checks, name)
	return len(t.uniques)+len(t.fks)+len(t.checks) < before
}

// outdate marks the views over t: Postgres keeps what they read, their text
// doesn't.
func (s *schema) outdate(t *table, why string) {
	for _, v := range s.tables {
		if v.view != nil && v != t && reads(v.view, t) > 0 {
			v.outdated = why
		}
	}
	for _, fs := range s.functions { // so does BEGIN ATOMIC
		for _, f := range fs {
			if body := f.body.GetSqlBody(); body != nil && reads(body, t) > 0 {
				f.effects = &effects{opaque: "its text no longer says what it reads: " + why}
			}
		}
	}
}

// widened marks the views in which a new column of t moves others: a * there
// means the columns of when the view was made.
func (s *schema) widened(t *table, pos Position) {
	for _, v := range s.tables {
		if v.view == nil || reads(v.view, t) == 0 {
			continue
		}
		star, tables := false, 0
		walk(v.view, func(m protoMessage) bool {
			switch m := m.(type) {
			case *pg.ColumnRef:
				_, s := columnPath(m)
				star = star || s
			case *pg.RangeVar:
				tables++
			}
			return true
		})
		if star && (tables > 1 || len(v.viewCols) > 0) {
			v.outdated = fmt.Sprintf("%s got a column at %s, which its * doesn't mean", t, pos)
		}
	}
}

// renameValue follows ALTER TYPE … RENAME VALUE: defaults have the new name, and
// views that speak of the old one mean the new one.
func (s *schema) renameValue(a *pg.AlterEnumStmt, pos Position) {
	old := a.GetOldVal()
	if old == "" {
		return
	}
	speaks := func(m protoMessage) bool {
		found := false
		walk(m, func(m protoMessage) bool {
			k, ok := m.(*pg.A_Const)
			found = found || ok && k.GetSval().GetSval() == old
			return !found
		})
		return found
	}
	for _, t := range s.tables {
		if t.view != nil && speaks(t.view) {
			t.outdated = fmt.Sprintf("value %s of an enum was renamed at %s", old, pos)
		}
		for _, c := range t.cols {
			if c.def != nil && speaks(c.def) && c.typ == joinName(names(a.GetTypeName())) {
				c.def = unknownNode()
			}
		}
	}
}

// reads counts how often a statement names a table.
func reads(sel protoMessage, t *table) int {
	n := 0
	walk(sel, func(m protoMessage) bool {
		if r, ok := m.(*pg.RangeVar); ok && r.GetRelname() == t.name && qualified(r.GetSchemaname(), r.GetRelname()) == qualified(t.schema, t.name) {
			n++
		}
		return true
	})
	return n
}

func (t *table) dropColumn(name string) {
	t.cols = slices.DeleteFunc(t.cols, func(c *column) bool { return c.name == name })
	t.uniques = slices.DeleteFunc(t.uniques, func(u unique) bool { return slices.Contains(u.cols, name) || slices.Contains(u.with, name) })
	t.fks = slices.DeleteFunc(t.fks, func(f *foreignKey) bool { return slices.Contains(f.cols, name) })
}

func (s *schema) createIndex(i *pg.IndexStmt) {
	t := s.lookup(i.GetRelation())
	if t == nil || !i.GetUnique() {
		return
	}
	if i.GetIfNotExists() && s.taken[t.schema+"."+i.GetIdxname()] {
		return
	}
	s.taken[t.schema+"."+i.GetIdxname()] = true
	u := unique{name: i.GetIdxname(), partial: i.GetWhereClause() != nil, nulls: i.GetNullsNotDistinct()}
	for _, p := range i.GetIndexParams() {
		if p.GetIndexElem().GetName() == "" {
			u.partial = true // an expression
		}
		u.cols = append(u.cols, p.GetIndexElem().GetName())
	}
	for _, p := range i.GetIndexIncludingParams() {
		u.with = append(u.with, p.GetIndexElem().GetName())
	}
	t.uniques = append(t.uniques, u)
}

func (s *schema) createFunction(c *pg.CreateFunctionStmt, pos Position) {
	f := &function{schema: cmp.Or(schemaOf(c.GetFuncname()), "public"), name: lastName(c.GetFuncname()), pos: pos, volatile: "volatile", body: c}
	for _, p := range c.GetParameters() {
		switch p := p.GetFunctionParameter(); p.GetMode() {
		case pg.FunctionParameterMode_FUNC_PARAM_OUT, pg.FunctionParameterMode_FUNC_PARAM_TABLE:
			f.columns = append(f.columns, pg.MakeStrNode(p.GetName()))
		default:
			f.args += typeName(p.GetArgType()) + ","
			f.params = append(f.params, funcParam{p.GetName(), typeName(p.GetArgType())})
		}
	}
	if r := c.GetReturnType(); r != nil && len(f.columns) == 0 {
		f.rowType = r
	}
	for _, o := range c.GetOptions() {
		if e := o.GetDefElem(); e.GetDefname() == "language" {
			f.language = strings.ToLower(e.GetArg().GetString_().GetSval())
		} else if e.GetDefname() == "set" {
			f.settings = true
		}
	}
	if c.GetSqlBody() != nil {
		f.language = "sql"
	}
	if v := volatility(c.GetOptions()); v != "" {
		f.volatile = v
	}
	if c.GetReplace() {
		s.functions[f.name] = slices.DeleteFunc(s.functions[f.name], func(o *function) bool { return o.args == f.args && o.schema == f.schema })
	}
	s.functions[f.name] = append(s.functions[f.name], f)
}

// volatility is what the options of a function say of it; "" for nothing.
func volatility(options []*pg.Node) string {
	for _, o := range options {
		if e := o.GetDefElem(); e.GetDefname() == "volatility" {
			return e.GetArg().GetString_().GetSval()
		}
	}
	return ""
}

func (s *schema) alterFunction(a *pg.AlterFunctionStmt) {
	v := volatility(a.GetActions())
	sets := slices.ContainsFunc(a.GetActions(), func(n *pg.Node) bool { return n.GetDefElem().GetDefname() == "set" })
	for _, f := range s.functions[lastName(a.GetFunc().GetObjname())] {
		if f.is(a.GetFunc()) {
			f.volatile = cmp.Or(v, f.volatile)
			f.settings = f.settings || sets
		}
	}
}

// is reports whether DDL means this function.
func (f *function) is(o *pg.ObjectWithArgs) bool {
	args, named := signature(o)
	return f.name == lastName(o.GetObjname()) && f.schema == cmp.Or(schemaOf(o.GetObjname()), "public") && (!named || f.args == args)
}

// schemaOf returns the schema of a qualified name; "" without one.
func schemaOf(nodes []*pg.Node) string {
	if parts := names(nodes); len(parts) > 1 {
		return parts[len(parts)-2]
	}
	return ""
}

// renameFunction gives a function another name, with the triggers and operators
// that run it.
func (s *schema) renameFunction(o *pg.ObjectWithArgs, schema, name string) {
	old := lastName(o.GetObjname())
	for _, f := range slices.Clone(s.functions[old]) {
		if !f.is(o) {
			continue
		}
		from := f.schema
		f.schema, f.name = cmp.Or(schema, f.schema), cmp.Or(name, f.name)
		s.functions[old] = slices.DeleteFunc(s.functions[old], func(o *function) bool { return o == f })
		s.functions[f.name] = append(s.functions[f.name], f)
		for _, t := range s.tables {
			for _, tr := range t.triggers {
				if f.args == "" && tr.function == old && cmp.Or(tr.of, "public") == from {
					tr.function, tr.of = f.name, f.schema
				}
			}
		}
		for _, op := range s.operators {
			if op.function == old {
				op.function = f.name
			}
		}
	}
}

func signature(f *pg.ObjectWithArgs) (args string, named bool) {
	for _, t := range f.GetObjargs() {
		args += typeName(t.GetTypeName()) + ","
	}
	return args, !f.GetArgsUnspecified()
}

// function returns the most volatile of the overloads of a name, or nil: which
// of them a call means isn't known.
func (s *schema) function(name string) *function {
	var worst *function
	rank := map[string]int{"immutable": 0, "stable": 1, "volatile": 2}
	for _, f := range s.functions[name] {
		if worst == nil || rank[f.volatile] > rank[worst.volatile] {
			worst = f
		}
	}
	return worst
}

func (s *schema) rename(r *pg.RenameStmt, pos Position) {
	if s.renameIndex(r) {
		return
	}
	if o := r.GetObject().GetObjectWithArgs(); o != nil {
		s.renameFunction(o, "", r.GetNewname())
		return
	}
	t := s.lookup(r.GetRelation())
	if r.GetRelation() == nil || t == nil {
		return
	}
	switch r.GetRenameType() {
	case pg.ObjectType_OBJECT_TABLE, pg.ObjectType_OBJECT_VIEW, pg.ObjectType_OBJECT_MATVIEW, pg.ObjectType_OBJECT_FOREIGN_TABLE:
		s.outdate(t, fmt.Sprintf("%s was renamed at %s", t, pos))
		delete(s.tables, qualified(t.schema, t.name))
		t.name = r.GetNewname()
		s.tables[qualified(t.schema, t.name)] = t
	case pg.ObjectType_OBJECT_TABCONSTRAINT:
		for i := range t.uniques {
			if t.uniques[i].name == r.GetSubname() {
				t.uniques[i].name = r.GetNewname()
			}
		}
		for _, fk := range t.fks {
			if fk.name == r.GetSubname() {
				fk.name = r.GetNewname()
			}
		}
		if t.checks[r.GetSubname()] {
			delete(t.checks, r.GetSubname())
			t.checks[r.GetNewname()] = true
		}
		delete(s.taken, t.schema+"."+r.GetSubname())
		s.taken[t.schema+"."+r.GetNewname()] = true
	case pg.ObjectType_OBJECT_TRIGGER:
		for _, tr := range t.triggers {
			if tr.name == r.GetSubname() {
				tr.name = r.GetNewname()
			}
		}
	case pg.ObjectType_OBJECT_COLUMN:
		for _, t := range t.below() {
			s.renameColumn(t, r, pos)
		}
	}
}

func (s *schema) renameColumn(t *table, r *pg.RenameStmt, pos Position) {
	rename := func(cols []string) {
		for i := range cols {
			if cols[i] == r.GetSubname() {
				cols[i] = r.GetNewname()
			}
		}
	}
	if t.view != nil {
		t.outdated = fmt.Sprintf("column %s of it was renamed at %s", r.GetSubname(), pos)
	}
	if c := t.col(r.GetSubname()); c != nil {
		c.name = r.GetNewname()
	}
	for _, c := range t.cols {
		rename(c.genRefs)
	}
	for _, u := range t.uniques {
		rename(u.cols)
		rename(u.with)
	}
	for _, fk := range t.fks {
		rename(fk.cols)
		rename(fk.setCols)
	}
	for _, tr := range t.triggers {
		rename(tr.cols)
	}
	rename(t.partedBy)
	s.outdate(t, fmt.Sprintf("column %s of %s was renamed at %s", r.GetSubname(), t, pos))
	for _, fk := range s.children(t) {
		fk.refCols = slices.Clone(fk.refCols)
		rename(fk.refCols)
	}
}

// renameIndex reports whether the statement renames an index, and does it.
func (s *schema) renameIndex(r *pg.RenameStmt) bool {
	if t := r.GetRenameType(); t != pg.ObjectType_OBJECT_INDEX && t != pg.ObjectType_OBJECT_TABLE {
		return false
	}
	old := r.GetRelation().GetRelname()
	for _, t := range s.tables {
		for i := range t.uniques {
			if t.uniques[i].name == old && s.lookup(r.GetRelation()) == nil && qualified(r.GetRelation().GetSchemaname(), "") == qualified(t.schema, "") {
				t.uniques[i].name = r.GetNewname()
				delete(s.taken, t.schema+"."+old)
				s.taken[t.schema+"."+r.GetNewname()] = true
				return true
			}
		}
	}
	return false
}

func (s *schema) drop(d *pg.DropStmt) {
	for _, o := range d.GetObjects() {
		parts := names(o.GetList().GetItems())
		if tn := o.GetTypeName(); tn != nil {
			parts = names(tn.GetNames())
		}
		if f := o.GetObjectWithArgs(); f != nil {
			name := lastName(f.GetObjname())
			s.functions[name] = slices.DeleteFunc(s.functions[name], func(o *function) bool { return o.is(f) })
			continue
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
			if gone == nil {
				continue
			}
			delete(s.tables, name)
			for _, u := range gone.uniques {
				delete(s.taken, gone.schema+"."+u.name)
			}
			for _, fk := range gone.fks {
				delete(s.taken, gone.schema+"."+fk.name)
			}
			for check := range gone.checks {
				delete(s.taken, gone.schema+"."+check)
			}
			for _, t := range s.tables {
				t.fks = slices.DeleteFunc(t.fks, func(f *foreignKey) bool { return f.refTable == gone })
				t.parents = slices.DeleteFunc(t.parents, func(f *table) bool { return f == gone })
				t.heirs = slices.DeleteFunc(t.heirs, func(f *table) bool { return f == gone })
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
				if len(parts) > 1 && parts[0] != t.schema {
					continue
				}
				t.uniques = slices.DeleteFunc(t.uniques, func(u unique) bool { return u.name == last })
				delete(s.taken, t.schema+"."+last)
			}
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

// hasDefault reports whether a column, or a domain below it, has a DEFAULT.
func (s *schema) hasDefault(c *column) bool {
	if c.def != nil {
		return true
	}
	d := s.domains[c.domain]
	for range 10 { // domains over domains
		if d == nil || d.domainDef {
			return d != nil
		}
		d = s.domains[d.typ]
	}
	return false
}

// cutting reports whether a cast to the domain may cut the value.
func (s *schema) cutting(d *column) bool {
	for range 10 {
		if d == nil || d.cuts {
			return d != nil
		}
		d = s.domains[d.typ]
	}
	return false
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
