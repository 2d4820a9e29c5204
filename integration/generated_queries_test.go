package integration

import (
	"fmt"
	"slices"
	"strings"
)

// The reads and writes of a random project; see generated_sql_test.go.

// equal writes column = @p for each of some columns, and returns the parameters' names.
func (m *maker) equal(alias string, columns []string) (sql string, params []string) {
	var out []string
	for _, c := range columns {
		p := m.param()
		out = append(out, fmt.Sprintf("%s%s = %s", alias, c, p))
		params = append(params, p[1:])
	}
	return strings.Join(out, " AND "), params
}

// key chooses columns by which a table is read: its primary key, a unique key, a foreign key, any.
func (m *maker) key(t *madeTable) []string {
	of := [][]string{t.pk, t.pk}
	of = append(of, t.uniques...)
	for _, ref := range t.refs {
		of = append(of, ref.columns, ref.columns)
	}
	of = append(of, []string{m.column(t).name})
	return of[m.r.IntN(len(of))]
}

// child chooses a foreign key that refers to a table, or another one of the project.
func (m *maker) child(of *madeTable) (*madeTable, madeRef, bool) {
	var tables []*madeTable
	var refs []madeRef
	for _, t := range m.p.tables {
		for _, ref := range t.refs {
			if ref.to == of && t != of {
				tables, refs = append(tables, t), append(refs, ref)
			}
		}
	}
	if len(refs) == 0 {
		return nil, madeRef{}, false
	}
	i := m.r.IntN(len(refs))
	return tables[i], refs[i], true
}

// group names the group of a read: often that of another read by the same columns.
func (m *maker) group(t *madeTable, key []string, n int) string {
	id := t.name + "." + strings.Join(key, ".")
	if g := m.groups[id]; g != "" && m.oneIn(2) {
		return g
	}
	g := fmt.Sprintf("g%d", n)
	m.groups[id] = g
	return g
}

func (m *maker) read(t *madeTable, n int) {
	m.params = 0
	q := &madeQuery{name: fmt.Sprintf("Read%d", n), cmd: ":many"}
	order := func(alias string) string { return " ORDER BY " + alias + strings.Join(t.pk, ", "+alias) }
	key := m.key(t)
	other := m.column(t)
	child, ref, hasChild := m.child(t)
	switch kind := (m.turn + n) % 19; { // each kind in its turn
	case kind <= 1:
		q.kind, key = "pk", t.pk
		where, params := m.equal("", key)
		q.cmd, q.sql, q.params = ":one", fmt.Sprintf("SELECT * FROM %s WHERE %s", t.name, where), params
	case kind == 2 && len(t.uniques) > 0:
		q.kind, key = "unique", t.uniques[0]
		where, params := m.equal("", key)
		q.cmd, q.sql, q.params = ":one", fmt.Sprintf("SELECT * FROM %s WHERE %s", t.name, where), params
	case kind <= 4:
		q.kind = "list"
		where, params := m.equal("", key)
		q.sql, q.params = fmt.Sprintf("SELECT * FROM %s WHERE %s", t.name, where), params
		if m.oneIn(2) {
			q.sql, q.ordered = q.sql+order(""), true
		}
	case kind == 5:
		q.kind, q.ordered = "optional filter", true
		where, params := m.equal("", key)
		q.sql = fmt.Sprintf("SELECT * FROM %s WHERE %s AND (sqlc.narg('f')::%s IS NULL OR %s = sqlc.narg('f'))%s", t.name, where, other.typ, other.name, order(""))
		q.params = params
	case kind == 6:
		q.kind, q.ordered = "page", true
		where, params := m.equal("", key)
		q.sql, q.params = fmt.Sprintf("SELECT * FROM %s WHERE %s%s LIMIT @lim OFFSET @off", t.name, where, order("")), params
	case kind == 7 && hasChild:
		q.kind = "embed"
		where, params := m.equal("p.", ref.keys)
		q.sql = fmt.Sprintf("SELECT sqlc.embed(p), sqlc.embed(c) FROM %s p JOIN %s c ON %s WHERE %s", t.name, child.name, on("c", ref.columns, "p", ref.keys), where)
		q.params, key = params, ref.keys
	case kind == 8 && hasChild:
		q.kind = "left join"
		where, params := m.equal("p.", ref.keys)
		q.sql = fmt.Sprintf("SELECT p.%s AS x, c.id AS child, c.%s AS y FROM %s p LEFT JOIN %s c ON %s WHERE %s", other.name, m.column(child).name, t.name,
			child.name, on("c", ref.columns, "p", ref.keys), where)
		q.params, key = params, ref.keys
	case kind == 9:
		q.kind, q.cmd = "aggregate", ":one"
		where, params := m.equal("", key)
		q.sql, q.params = fmt.Sprintf("SELECT count(*), count(DISTINCT %s) AS kinds FROM %s WHERE %s", other.name, t.name, where), params
	case kind == 10:
		q.kind = "group by"
		where, params := m.equal("", key)
		q.sql = fmt.Sprintf("SELECT %s AS x, count(*) AS n FROM %s WHERE %s GROUP BY %s HAVING count(*) > 0", other.name, t.name, where, other.name)
		q.params = params
	case kind == 11:
		q.kind = "cte"
		where, params := m.equal("", key)
		q.sql = fmt.Sprintf("WITH w AS (SELECT id, %s AS x FROM %s WHERE %s) SELECT x, id FROM w", other.name, t.name, where)
		q.params = params
	case kind == 12:
		q.kind, q.cmd = "exists", ":one"
		where, params := m.equal("", key)
		q.sql, q.params = fmt.Sprintf("SELECT EXISTS (SELECT 1 FROM %s WHERE %s)", t.name, where), params
	case kind == 13 && hasChild:
		q.kind = "exists filter"
		where, params := m.equal("p.", ref.keys)
		q.sql = fmt.Sprintf("SELECT p.* FROM %s p WHERE %s AND %s (SELECT 1 FROM %s c WHERE %s)", t.name, where, m.pick("EXISTS", "NOT EXISTS"), child.name,
			on("c", ref.columns, "p", ref.keys))
		q.params, key = params, ref.keys
	case kind <= 15 && len(t.pk) == 1 && !t.column(key[0]).computed:
		q.kind, key = "batch", key[:1]
		p := m.param()
		q.sql = fmt.Sprintf("SELECT * FROM %s WHERE %s = ANY(%s::%s[])", t.name, key[0], p, t.column(key[0]).typ)
		q.params = []string{p[1:]}
	case kind == 16 && hasChild:
		q.kind = "count of children"
		where, params := m.equal("p.", ref.keys)
		q.sql = fmt.Sprintf("SELECT p.*, (SELECT count(*) FROM %s c WHERE %s) AS children FROM %s p WHERE %s", child.name, on("c", ref.columns, "p", ref.keys),
			t.name, where)
		q.params, key = params, ref.keys
	case kind == 17 && len(m.views) > 0:
		q.kind = "view"
		for _, name := range sortedKeys(m.views) {
			of := m.views[name]
			key = []string{m.pick(append(slices.Clone(of.refs[0].columns), of.refs[0].columns[0])...)}
			if len(of.refs[0].columns) == 1 || m.oneIn(2) {
				key = of.refs[0].columns
			}
			where, params := m.equal("", key)
			q.sql, q.params = fmt.Sprintf("SELECT * FROM %s WHERE %s", name, where), params
			t = &madeTable{name: name}
		}
	default:
		q.kind = "union"
		where, params := m.equal("x.", key)
		again := strings.ReplaceAll(where, "x.", "y.") // sqlc finds a bare column of both branches ambiguous
		q.sql = fmt.Sprintf("SELECT x.id FROM %s x WHERE %s UNION SELECT y.id FROM %s y WHERE %s AND y.%s IS NOT NULL", t.name, where, t.name, again, other.name)
		q.params = params
	}
	if len(q.params) > 3 {
		return
	}
	q.group = m.group(t, key, n)
	switch m.r.IntN(6) {
	case 0:
		q.options = " negative=off"
	case 1:
		q.options = " ttl=1h mode=strict"
	case 2:
		q.options = " mode=aftercommit"
	}
	m.p.queries = append(m.p.queries, q)
}

// The writes.

func (m *maker) write(t *madeTable, n int) {
	m.params = 0
	q := &madeQuery{name: fmt.Sprintf("Write%d", n)}
	one := false // at most one row
	returns := true
	switch (m.turn + n) % 15 {
	case 0, 1:
		q.kind, one = "insert", true
		q.sql = "INSERT INTO " + t.name + " " + m.row(t)
	case 2, 3:
		q.kind, one = "upsert", true
		q.sql = "INSERT INTO " + t.name + " " + m.row(t) + m.conflict(t)
	case 4:
		q.kind, q.cmd, returns = "copyfrom", ":copyfrom", false
		q.sql = "INSERT INTO " + t.name + " " + m.copyRow(t)
	case 5, 6:
		q.kind = "update"
		key := t.pk
		if m.oneIn(3) {
			key = m.key(t)
		} else {
			one = true
		}
		q.sql = fmt.Sprintf("UPDATE %s SET %s WHERE %s", t.name, m.set(t, ""), m.match(t, "", key))
	case 7:
		q.kind, one = "move", true
		c := m.settable(t)
		q.sql = fmt.Sprintf("UPDATE %s SET %s = %s WHERE %s AND %s = %s", t.name, c.name, m.param(), m.match(t, "", t.pk), c.name, "@old")
	case 8, 9:
		q.kind = "delete"
		key := m.key(t)
		one = slices.Equal(key, t.pk)
		q.sql = fmt.Sprintf("DELETE FROM %s WHERE %s", t.name, m.match(t, "", key))
		if m.oneIn(3) && len(key) == 1 {
			one = false
			q.sql = fmt.Sprintf("DELETE FROM %s WHERE %s = ANY(%s::%s[])", t.name, key[0], m.param(), t.column(key[0]).typ)
		}
	case 10:
		if len(t.refs) == 0 || t.refs[0].to == t {
			return
		}
		ref := t.refs[0]
		q.kind = "update from"
		q.sql = fmt.Sprintf("UPDATE %s SET %s FROM %s p WHERE %s AND %s", t.name, m.set(t, t.name+"."), ref.to.name, on("p", ref.keys, t.name, ref.columns), m.match(ref.to, "p.", ref.keys))
		m.end(q, t, t.name+".", false, true)
		return
	case 11:
		if len(t.refs) == 0 || t.refs[0].to == t {
			return
		}
		ref := t.refs[0]
		q.kind = "delete using"
		q.sql = fmt.Sprintf("DELETE FROM %s USING %s p WHERE %s AND %s", t.name, ref.to.name, on("p", ref.keys, t.name, ref.columns), m.match(ref.to, "p.", ref.keys))
		m.end(q, t, t.name+".", false, true)
		return
	case 12:
		q.kind = "cte"
		key := slices.Clone(t.pk) // what a statement in WITH changes must be known from its arguments
		for _, ref := range t.refs {
			for _, c := range ref.columns {
				if !slices.Contains(key, c) {
					key = append(key, c)
				}
			}
		}
		if m.oneIn(3) {
			key = m.key(t)
		}
		inner := fmt.Sprintf("DELETE FROM %s WHERE %s RETURNING *", t.name, m.match(t, "", key))
		if m.oneIn(2) {
			inner = fmt.Sprintf("UPDATE %s SET %s WHERE %s RETURNING *", t.name, m.set(t, ""), m.match(t, "", key))
		}
		if m.oneIn(2) {
			q.sql, q.cmd = fmt.Sprintf("WITH w AS (%s) SELECT count(*) FROM w", inner), ":one"
			m.p.queries = append(m.p.queries, q)
			return
		}
		to := m.p.tables[m.r.IntN(len(m.p.tables))]
		q.sql = fmt.Sprintf("WITH w AS (%s) INSERT INTO %s %s", inner, to.name, m.row(to))
		t = to
	case 13:
		q.kind = "insert select"
		from := m.p.tables[m.r.IntN(len(m.p.tables))]
		var cols, vals []string
		for _, c := range t.columns {
			if c.computed {
				continue
			}
			val := m.cast(c)
			for _, f := range from.columns {
				if f.typ == c.typ && m.oneIn(2) {
					val = "s." + f.name
				}
			}
			cols, vals = append(cols, c.name), append(vals, val)
		}
		q.sql = fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s s WHERE %s ON CONFLICT DO NOTHING", t.name, strings.Join(cols, ", "), strings.Join(vals, ", "), from.name,
			m.match(from, "s.", m.key(from)))
	default:
		q.kind = "insert many"
		first := m.row(t)
		head, vals, _ := strings.Cut(first, " VALUES ")
		if strings.Contains(vals, "DEFAULT") {
			return
		}
		var second []string
		for _, name := range strings.Split(strings.Trim(head, "()"), ", ") {
			second = append(second, m.cast(t.column(name)))
		}
		q.sql = fmt.Sprintf("INSERT INTO %s %s, (%s) ON CONFLICT DO NOTHING", t.name, first, strings.Join(second, ", "))
	}
	m.end(q, t, "", one, returns)
}

// end adds RETURNING and the command.
func (m *maker) end(q *madeQuery, t *madeTable, alias string, one, returns bool) {
	switch {
	case !returns:
	case m.oneIn(4):
		q.cmd = m.pick(":exec", ":execrows", ":execresult")
	default:
		q.cmd = ":many"
		if one && m.oneIn(2) {
			q.cmd = ":one"
		}
		what := alias + "*"
		if alias == "" && m.oneIn(4) {
			what = m.column(t).name
		}
		q.sql += " RETURNING " + what
	}
	m.p.queries = append(m.p.queries, q)
}

// match finds rows by columns, sometimes by a constant.
func (m *maker) match(t *madeTable, alias string, columns []string) string {
	var out []string
	for _, c := range columns {
		val := m.param()
		if m.oneIn(10) {
			val = m.literal(t.column(c).typ)
		}
		out = append(out, alias+c+" = "+val)
	}
	return strings.Join(out, " AND ")
}

// row lists columns and one row of values for them.
func (m *maker) row(t *madeTable) string {
	var cols, vals []string
	for _, c := range t.columns {
		if c.computed || c.name == "made_at" || m.oneIn(8) {
			continue
		}
		val := m.param()
		switch m.r.IntN(12) {
		case 0:
			val = m.literal(c.typ)
		case 1:
			val = "DEFAULT"
		}
		cols, vals = append(cols, c.name), append(vals, val)
	}
	if len(cols) == 0 {
		return "(id) VALUES (" + m.param() + ")"
	}
	return fmt.Sprintf("(%s) VALUES (%s)", strings.Join(cols, ", "), strings.Join(vals, ", "))
}

// copyRow lists columns and parameters alone, as :copyfrom wants it.
func (m *maker) copyRow(t *madeTable) string {
	var cols, vals []string
	for _, c := range t.columns {
		if !c.computed && c.name != "made_at" {
			cols, vals = append(cols, c.name), append(vals, m.param())
		}
	}
	return fmt.Sprintf("(%s) VALUES (%s)", strings.Join(cols, ", "), strings.Join(vals, ", "))
}

func (m *maker) conflict(t *madeTable) string {
	if m.oneIn(4) {
		return " ON CONFLICT DO NOTHING"
	}
	target := t.pk
	if len(t.uniques) > 0 && m.oneIn(3) {
		target = t.uniques[0]
	}
	var set []string
	for _, c := range t.columns {
		if c.computed || slices.Contains(target, c.name) || slices.Contains(t.pk, c.name) || m.oneIn(3) {
			continue
		}
		set = append(set, fmt.Sprintf("%s = %s", c.name, m.pick("excluded."+c.name, "excluded."+c.name, m.cast(c))))
	}
	if len(set) == 0 {
		return " ON CONFLICT DO NOTHING"
	}
	return fmt.Sprintf(" ON CONFLICT (%s) DO UPDATE SET %s", strings.Join(target, ", "), strings.Join(set, ", "))
}

// settable chooses a column to set: mostly one that no key needs.
func (m *maker) settable(t *madeTable) *madeColumn {
	for {
		if c := m.column(t); !c.computed && (!slices.Contains(t.pk, c.name) || m.oneIn(4)) {
			return c
		}
	}
}

func (m *maker) set(t *madeTable, alias string) string {
	var cols []*madeColumn
	for range 1 + m.r.IntN(2) {
		if c := m.settable(t); !slices.Contains(cols, c) {
			cols = append(cols, c)
		}
	}
	var out []string
	for _, c := range cols {
		val := m.param()
		switch m.r.IntN(8) {
		case 0:
			val = fmt.Sprintf("coalesce(sqlc.narg('%s_%s')::%s, %s%s)", "new", c.name, c.typ, alias, c.name)
		case 1:
			val = m.literal(c.typ)
		}
		out = append(out, c.name+" = "+val)
	}
	return strings.Join(out, ", ")
}
