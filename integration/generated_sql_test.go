package integration

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// What follows writes random projects: a schema, cached reads and writes, as somebody would write them for sqlc. Nothing here
// knows the rules of the generator; what it refuses is dropped later.

// madeProject is a project before it is generated.
type madeProject struct {
	name    string
	options string // of sqlc
	tables  []*madeTable
	extra   string // views and what stands alone
	queries []*madeQuery
}

type madeTable struct {
	name    string
	columns []*madeColumn
	pk      []string
	uniques [][]string
	foreign []string // table constraints
	refs    []madeRef
}

type madeColumn struct {
	name, typ string
	rest      string // NOT NULL, DEFAULT, …
	computed  bool
}

// madeRef is a foreign key.
type madeRef struct {
	columns []string
	to      *madeTable
	keys    []string
}

// madeQuery is a query before it is generated.
type madeQuery struct {
	name, kind, cmd, sql string
	group                string   // of a cached read
	params               []string // which make its key
	options              string   // of the group
	ordered              bool
	covers               map[string]string // of a write with triggers: what it changes, as an annotation, by group; the other groups it leaves alone
}

func (p *madeProject) schema() string {
	var b strings.Builder
	b.WriteString("CREATE TYPE mood AS ENUM ('a', 'b', 'c');\n")
	for _, t := range p.tables {
		var lines []string
		for _, c := range t.columns {
			lines = append(lines, c.name+" "+c.typ+c.rest)
		}
		lines = append(lines, "PRIMARY KEY ("+strings.Join(t.pk, ", ")+")")
		for _, u := range t.uniques {
			lines = append(lines, "UNIQUE ("+strings.Join(u, ", ")+")")
		}
		lines = append(lines, t.foreign...)
		fmt.Fprintf(&b, "CREATE TABLE %s (\n    %s\n);\n", t.name, strings.Join(lines, ",\n    "))
	}
	return b.String() + p.extra
}

// text writes the query file.
func (p *madeProject) text() string {
	var b strings.Builder
	groups := map[string]bool{}
	for _, q := range p.queries {
		if q.group != "" {
			groups[q.group] = true
		}
	}
	told := map[string]bool{}
	for _, q := range p.queries {
		fmt.Fprintf(&b, "-- name: %s %s\n", q.name, q.cmd)
		if q.group != "" {
			fmt.Fprintf(&b, "-- @cache %s(%s)", q.group, strings.Join(q.params, ", "))
			if !told[q.group] {
				b.WriteString(q.options)
			}
			told[q.group] = true
			b.WriteString("\n")
		}
		if q.covers != nil {
			for _, g := range sortedKeys(groups) {
				if note := q.covers[g]; note != "" {
					fmt.Fprintf(&b, "-- @invalidates %s\n", note)
				} else {
					fmt.Fprintf(&b, "-- @invalidates none(%s) \"the trigger and the partitions stay in their table\"\n", g)
				}
			}
		}
		b.WriteString(q.sql + ";\n\n")
	}
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// maker writes one project.
type maker struct {
	r      *rand.Rand
	p      *madeProject
	groups map[string]string // by what the key is made of
	views  map[string]*madeTable
	params int
	turn   int // the kind of query to begin with
	plain  bool
}

// makeProject makes a project. A plain one has few tables of few types, so that every kind of query is accepted and meets rows.
func makeProject(r *rand.Rand, name string, plain bool) *madeProject {
	m := &maker{r: r, p: &madeProject{name: name}, groups: map[string]string{}, views: map[string]*madeTable{}, turn: r.IntN(100), plain: plain}
	m.p.options = fmt.Sprintf(`
        emit_interface: %t
        emit_empty_slices: %t
        emit_pointers_for_null_types: %t
        emit_result_struct_pointers: %t
        emit_params_struct_pointers: %t
        query_parameter_limit: %d
`, m.oneIn(2), m.oneIn(2), m.oneIn(2), m.oneIn(4), m.oneIn(4), r.IntN(4))
	if m.oneIn(2) {
		m.p.options += `        overrides:
          - {db_type: uuid, go_type: github.com/google/uuid.UUID}
          - {db_type: uuid, nullable: true, go_type: {import: github.com/google/uuid, type: UUID, pointer: true}}
          - {db_type: timestamptz, go_type: time.Time}
          - {db_type: timestamptz, nullable: true, go_type: {import: time, type: Time, pointer: true}}
`
	}
	tables := 5 + r.IntN(3)
	if plain {
		tables = 3
	}
	for i := range tables {
		m.table(fmt.Sprintf("t%d", i+1))
	}
	m.view()
	if m.oneIn(2) {
		m.triggered()
	}
	if m.oneIn(2) {
		m.partitioned()
	}
	// Few tables have all the queries, so that reads and writes meet.
	hot := m.p.tables[:min(4, len(m.p.tables))]
	for i := range 16 {
		t := hot[r.IntN(len(hot))]
		m.read(t, i)
	}
	for i := range 44 {
		t := hot[r.IntN(len(hot))]
		m.write(t, i)
	}
	return m.p
}

func (m *maker) oneIn(n int) bool                { return m.r.IntN(n) == 0 }
func (m *maker) pick(of ...string) string        { return of[m.r.IntN(len(of))] }
func (m *maker) param() string                   { m.params++; return fmt.Sprintf("@p%d", m.params) }
func (m *maker) cast(c *madeColumn) string       { return m.param() + "::" + c.typ }
func (m *maker) column(t *madeTable) *madeColumn { return t.columns[m.r.IntN(len(t.columns))] }

func (t *madeTable) column(name string) *madeColumn {
	for _, c := range t.columns {
		if c.name == name {
			return c
		}
	}
	panic("no column " + name)
}

var madeTypes = []string{"int", "int", "int", "bigint", "uuid", "uuid", "text", "text", "varchar(8)", "mood", "date", "timestamptz", "bool"}

func (m *maker) literal(typ string) string {
	n := 1 + m.r.IntN(3)
	letter := string(rune('a' + n - 1))
	switch typ {
	case "int", "bigint":
		return fmt.Sprint(n)
	case "uuid":
		return fmt.Sprintf("'00000000-0000-0000-0000-00000000000%d'", n)
	case "mood":
		return "'" + letter + "'"
	case "date":
		return fmt.Sprintf("'2024-01-0%d'", n)
	case "timestamptz":
		return fmt.Sprintf("'2024-01-0%d 00:00:00+00'", n)
	case "bool":
		return m.pick("true", "false")
	}
	return "'" + letter + "'"
}

// The schema.

func (m *maker) table(name string) {
	t := &madeTable{name: name}
	add := func(name, typ, rest string) *madeColumn {
		c := &madeColumn{name: name, typ: typ, rest: rest}
		t.columns = append(t.columns, c)
		return c
	}
	refer := func(to *madeTable, prefix string) madeRef {
		ref := madeRef{to: to, keys: to.pk}
		if len(to.uniques) > 0 && m.oneIn(3) {
			ref.keys = to.uniques[m.r.IntN(len(to.uniques))]
		}
		for _, k := range ref.keys {
			rest := m.pick("", "", " NOT NULL")
			if m.plain {
				rest = ""
			}
			typ := to.column(k).typ
			if m.oneIn(3) {
				rest = " DEFAULT " + m.literal(typ)
			}
			c := add(prefix+k, typ, rest)
			ref.columns = append(ref.columns, c.name)
		}
		t.refs = append(t.refs, ref)
		t.foreign = append(t.foreign, fmt.Sprintf("FOREIGN KEY (%s) REFERENCES %s (%s) ON DELETE %s ON UPDATE %s", strings.Join(ref.columns, ", "), to.name,
			strings.Join(ref.keys, ", "), m.pick("CASCADE", "CASCADE", "CASCADE", "SET NULL", "SET DEFAULT", "NO ACTION", "RESTRICT"),
			m.pick("CASCADE", "SET NULL", "SET DEFAULT", "NO ACTION")))
		return ref
	}

	types := madeTypes
	if m.plain {
		types = []string{"int", "text"}
	}
	idType := m.pick(types...)
	for idType == "bool" { // there would be two rows
		idType = m.pick(types...)
	}
	rest := ""
	switch {
	case idType == "int" && m.oneIn(2):
		rest = " GENERATED BY DEFAULT AS IDENTITY (MAXVALUE 3 CYCLE)" // so that its values are among those that are asked for
	case m.oneIn(4):
		rest = " DEFAULT " + m.literal(idType)
	}
	add("id", idType, rest)
	t.pk = []string{"id"}
	if len(m.p.tables) > 0 {
		ref := refer(m.p.tables[m.r.IntN(len(m.p.tables))], "up_")
		if !m.plain && m.oneIn(3) {
			t.pk = append(slices.Clone(ref.columns), "id")
		}
	}
	switch {
	case len(m.p.tables) > 1 && m.oneIn(2):
		refer(m.p.tables[m.r.IntN(len(m.p.tables))], "by_")
	case len(t.pk) == 1 && m.oneIn(4):
		refer(t, "own_")
	}
	for i := range 1 + m.r.IntN(3) {
		typ := m.pick(types...)
		rest := m.pick("", "", " NOT NULL", " DEFAULT "+m.literal(typ))
		if m.plain {
			rest = ""
		}
		add(string(rune('a'+i)), typ, rest)
	}
	if m.oneIn(3) {
		n := add("n", "int", "")
		add("twice", "int", fmt.Sprintf(" GENERATED ALWAYS AS (%s * 2) STORED", n.name)).computed = true
	}
	if m.oneIn(4) {
		add("made_at", "timestamptz", " NOT NULL DEFAULT now()")
	}
	if m.oneIn(2) {
		c := m.column(t)
		for c.computed || c.name == "made_at" || slices.Contains(t.pk, c.name) {
			c = m.column(t)
		}
		if m.oneIn(3) {
			t.uniques = append(t.uniques, []string{"id", c.name})
		} else {
			t.uniques = append(t.uniques, []string{c.name})
		}
	}
	m.p.tables = append(m.p.tables, t)
	if m.oneIn(3) {
		c := m.column(t)
		m.p.extra += fmt.Sprintf("CREATE UNIQUE INDEX %s_some ON %s (%s) WHERE id > %s;\n", name, name, c.name, m.literal(idType))
	}
}

func (m *maker) view() {
	for _, t := range m.p.tables[1:] {
		if len(t.refs) == 0 || t.refs[0].to == t || len(m.views) > 0 {
			continue
		}
		ref := t.refs[0]
		cols := []string{"c.id"}
		for _, k := range ref.columns {
			cols = append(cols, "c."+k)
		}
		last := ref.to.columns[len(ref.to.columns)-1]
		name := "v_" + t.name
		m.p.extra += fmt.Sprintf("CREATE VIEW %s AS SELECT %s, p.%s AS seen FROM %s c %s %s p ON %s;\n", name, strings.Join(cols, ", "), last.name,
			t.name, m.pick("JOIN", "LEFT JOIN"), ref.to.name, on("p", ref.keys, "c", ref.columns))
		m.views[name] = t
	}
}

// on joins two aliases.
func on(a string, keys []string, b string, columns []string) string {
	var out []string
	for i, k := range keys {
		out = append(out, fmt.Sprintf("%s.%s = %s.%s", a, k, b, columns[i]))
	}
	return strings.Join(out, " AND ")
}

// triggered adds a table whose trigger sets updated_at. What its writes change must be said, and is.
func (m *maker) triggered() {
	m.p.extra += `CREATE TABLE touched (id int PRIMARY KEY, k text NOT NULL, n int, updated_at timestamptz NOT NULL DEFAULT now());
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.updated_at = clock_timestamp(); RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE UPDATE ON touched FOR EACH ROW EXECUTE FUNCTION touch();
`
	m.p.queries = append(m.p.queries, []*madeQuery{
		{name: "GetTouched", kind: "triggered", cmd: ":one", sql: "SELECT * FROM touched WHERE id = @p1", group: "touched", params: []string{"p1"}},
		{name: "ListTouched", kind: "triggered", cmd: ":many", sql: "SELECT * FROM touched WHERE k = @p1 ORDER BY id", group: "touched_list", params: []string{"p1"}, ordered: true},
		{name: "AddTouched", kind: "insert", cmd: ":exec", sql: "INSERT INTO touched (id, k, n) VALUES (@p1, @p2, @p3)"},
		{name: "DropTouched", kind: "delete", cmd: ":many", sql: "DELETE FROM touched WHERE id = @p1 RETURNING k"},
		{
			name: "SetTouched", kind: "triggered", cmd: ":one", sql: "UPDATE touched SET n = @p1 WHERE id = @p2 RETURNING *",
			covers: map[string]string{"touched": "touched(p2)", "touched_list": "touched_list(k)"},
		},
		{
			name: "SetAllTouched", kind: "triggered", cmd: ":many", sql: "UPDATE touched SET n = @p1 WHERE k = @p2 RETURNING id",
			covers: map[string]string{"touched": "touched(id)", "touched_list": "touched_list(p2)"},
		},
	}...)
}

// partitioned adds a table with partitions. What its writes change must be said, and is.
func (m *maker) partitioned() {
	m.p.extra += `CREATE TABLE parted (k int NOT NULL, id int NOT NULL, n text, PRIMARY KEY (k, id)) PARTITION BY LIST (k);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE parted_rest PARTITION OF parted DEFAULT;
`
	m.p.queries = append(m.p.queries, []*madeQuery{
		{name: "GetParted", kind: "partitioned", cmd: ":one", sql: "SELECT * FROM parted WHERE k = @p1 AND id = @p2", group: "parted", params: []string{"p1", "p2"}},
		{name: "ListParted", kind: "partitioned", cmd: ":many", sql: "SELECT * FROM parted WHERE k = @p1 ORDER BY id", group: "parted_list", params: []string{"p1"}, ordered: true},
		{
			name: "AddParted", kind: "partitioned", cmd: ":exec", sql: "INSERT INTO parted (k, id, n) VALUES (@p1, @p2, @p3)",
			covers: map[string]string{"parted": "parted(p1, p2)", "parted_list": "parted_list(p1)"},
		},
		{
			name: "SetParted", kind: "partitioned", cmd: ":exec", sql: "UPDATE parted SET n = @p1 WHERE k = @p2 AND id = @p3",
			covers: map[string]string{"parted": "parted(p2, p3)", "parted_list": "parted_list(p2)"},
		},
		{
			name: "DropParted", kind: "partitioned", cmd: ":many", sql: "DELETE FROM parted WHERE k = @p1 RETURNING id",
			covers: map[string]string{"parted": "parted(p1, id)", "parted_list": "parted_list(p1)"},
		},
	}...)
}
