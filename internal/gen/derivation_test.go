package gen

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// derive runs statements against a schema; all columns are int4.
func derive(t *testing.T, ddl string, statements ...Statement) (map[string][]DerivedKey, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "schema.sql")
	if err := os.WriteFile(file, []byte(ddl), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := ReadSchema(file)
	if err != nil {
		t.Fatal(err)
	}
	return s.Derive(statements)
}

func cached(sql string) Statement {
	return Statement{Name: "Get", Cmd: ":many", SQL: sql, Args: 1, Outs: 1, Notes: []string{"@cache a(p1)"}}
}

// TestReadsThatCantBeFollowed has SQL that sqlc doesn't take, or that no case of
// testdata holds.
func TestReadsThatCantBeFollowed(t *testing.T) {
	t.Parallel()

	const ddl = `
CREATE TABLE a (id int PRIMARY KEY, k int, x int);
CREATE TABLE b (id int PRIMARY KEY, k int, x int);
CREATE SCHEMA app;
CREATE TABLE app.items (id int, k int);
CREATE TABLE items (id int, k int);
CREATE FUNCTION same(a int, b int) RETURNS bool LANGUAGE sql STABLE AS 'SELECT exists (SELECT FROM b WHERE x = a)';
CREATE OPERATOR === (FUNCTION = same, LEFTARG = int, RIGHTARG = int);
CREATE OPERATOR app.= (FUNCTION = same, LEFTARG = int, RIGHTARG = int);
CREATE MATERIALIZED VIEW m AS SELECT * FROM a;
`
	for name, tc := range map[string]struct{ sql, want string }{
		"a whole join has an alias":       {`SELECT j.x FROM (a JOIN b USING (id)) AS j WHERE j.id = $1`, "names a whole join"},
		"an operator of the schema":       {`SELECT x FROM a WHERE id = $1 AND x === 1`, "operator === "},
		"another schema's equality":       {`SELECT x FROM a WHERE id OPERATOR(app.=) $1`, "no equality that always holds"},
		"two tables of one name":          {`SELECT app.items.k FROM app.items, public.items WHERE public.items.id = $1`, "no equality that always holds"},
		"either of two parameters":        {`SELECT x FROM a WHERE id = $1 OR k = $1`, "no equality that always holds"},
		"a list of two":                   {`SELECT x FROM a WHERE id IN ($1, 2)`, "no equality that always holds"},
		"between":                         {`SELECT x FROM a WHERE id BETWEEN $1 AND $1`, "no equality that always holds"},
		"is not distinct from":            {`SELECT x FROM a WHERE id IS NOT DISTINCT FROM $1`, "no equality that always holds"},
		"coalesce":                        {`SELECT x FROM a WHERE coalesce($1, id) = id`, "no equality that always holds"},
		"a scalar sub-select":             {`SELECT x FROM a WHERE id = (SELECT $1::int)`, "no equality that always holds"},
		"a cast that is another equality": {`SELECT x FROM a WHERE id::text = $1::text`, "no equality that always holds"},
		"a full join":                     {`SELECT a.x FROM a FULL JOIN b ON a.id = b.id AND a.id = $1`, "no equality that always holds"},
		"a lock":                          {`SELECT x FROM a WHERE id = $1 FOR UPDATE`, "locks rows"},
		"a new table":                     {`SELECT x INTO c FROM a WHERE id = $1`, "makes a table"},
		"a materialized view":             {`SELECT x FROM m WHERE id = $1`, "is a materialized view"},
		"a write":                         {`WITH d AS (DELETE FROM b RETURNING id) SELECT x FROM a WHERE id = $1`, "which is a write"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := derive(t, ddl, cached(tc.sql))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s\nDerive = %v, want %q", tc.sql, err, tc.want)
			}
		})
	}
}

// TestStatementsThatCantBeFollowed has writes that could reach any table.
func TestStatementsThatCantBeFollowed(t *testing.T) {
	t.Parallel()

	const ddl = `CREATE TABLE a (id int PRIMARY KEY, k int, x int);
CREATE FUNCTION archive(a int, b int) RETURNS bool LANGUAGE sql AS 'DELETE FROM a WHERE id = $1 RETURNING true';
CREATE OPERATOR ### (FUNCTION = archive, LEFTARG = int, RIGHTARG = int);`
	for _, tc := range []struct{ sql, want string }{
		{`SELECT $1 ### 2`, "by function archive"},
		{`CALL elsewhere($1)`, "calls procedure elsewhere"},
		{`EXPLAIN ANALYZE DELETE FROM a`, "a statement that pgaside doesn't know"},
		{`DO 'BEGIN DELETE FROM a; END'`, "a statement that pgaside doesn't know"},
		{`CREATE TABLE c AS SELECT * FROM a`, "a statement that pgaside doesn't know"},
		{`SELECT * FROM (WITH d AS (DELETE FROM a RETURNING id) SELECT * FROM d) x`, "inside of a sub-select"},
		{`INSERT INTO a SELECT b.*, $1 FROM a b`, "doesn't tell id"},
		{`MERGE INTO a USING a s ON a.id = s.id WHEN MATCHED THEN DELETE`, "doesn't tell id"},
	} {
		_, err := derive(t, ddl, cached(`SELECT x FROM a WHERE id = $1`), Statement{Name: "Write", Cmd: ":exec", SQL: tc.sql, Args: 1})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s\nDerive = %v, want %q", tc.sql, err, tc.want)
		}
	}
}

// TestDDLHistory checks that keys and foreign keys are followed through DDL that
// comes in the order of golang-migrate.
func TestDDLHistory(t *testing.T) {
	t.Parallel()

	dir := t.TempDir()
	for name, text := range map[string]string{
		"1_a.up.sql":   "CREATE TABLE IF NOT EXISTS a (id int, k int, x int);\r\nCREATE UNIQUE INDEX au ON a (k);\r\n",
		"2_b.up.sql":   `CREATE TABLE "B" (id int, k int); ALTER TABLE "B" RENAME TO b; ALTER TABLE a ADD PRIMARY KEY (id);`,
		"10_c.up.sql":  "ALTER TABLE b ADD FOREIGN KEY (k) REFERENCES a ON DELETE CASCADE; ALTER TABLE b ADD FOREIGN KEY (k) REFERENCES a ON DELETE RESTRICT;",
		"11_d.up.sql":  "ALTER TABLE b DROP CONSTRAINT b_k_fkey1; ALTER INDEX au RENAME TO ax; DROP INDEX ax;",
		"9_e.up.sql":   "ALTER TABLE a RENAME COLUMN x TO y; CREATE TABLE IF NOT EXISTS a (z int);",
		"9_e.down.sql": "DROP TABLE a CASCADE;",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := ReadSchema(dir)
	if err != nil {
		t.Fatal(err)
	}
	a, b := s.s.tables["public.a"], s.s.tables["public.b"]
	if a.col("y") == nil || a.col("x") != nil || a.col("z") != nil {
		t.Errorf("a has columns %v", a.cols)
	}
	if len(a.uniques) != 1 || a.uniques[0].name != "a_pkey" {
		t.Errorf("a has keys %v, want a_pkey alone", a.uniques)
	}
	if len(b.fks) != 1 || b.fks[0].onDelete != "c" || strings.Join(b.fks[0].refCols, ",") != "id" {
		t.Errorf("b has foreign keys %v, want the one that cascades to a (id)", b.fks)
	}
	keys, err := s.Derive([]Statement{
		{Name: "Get", Cmd: ":many", SQL: "SELECT id FROM b WHERE k = $1", Args: 1, Outs: 1, Notes: []string{"@cache b(p1)"}},
		{Name: "Delete", Cmd: ":exec", SQL: "DELETE FROM a WHERE id = $1", Args: 1},
	})
	if err != nil || len(keys["Delete"]) != 1 {
		t.Errorf("Derive = %v, %v; want one key of b for Delete", keys, err)
	}
}

// TestKeyThatProvesNothing checks that a key that may be violated for a while, or
// that holds for some rows, is not taken for one row.
func TestKeyThatProvesNothing(t *testing.T) {
	t.Parallel()

	read := Statement{Name: "Get", Cmd: ":many", SQL: "SELECT id, x FROM a WHERE k = $1", Args: 1, Outs: 2, Notes: []string{"@cache a(p1)"}}
	update := Statement{Name: "Update", Cmd: ":one", SQL: "UPDATE a SET x = 1 WHERE id = $1 RETURNING k, id", Args: 1, Outs: 2}
	for ddl, single := range map[string]bool{
		"CREATE TABLE a (id int UNIQUE, k int, x int)":                                                         true,
		"CREATE TABLE a (id int UNIQUE NOT NULL, k int, x int)":                                                true,
		"CREATE TABLE a (id int UNIQUE DEFERRABLE INITIALLY DEFERRED, k int, x int)":                           false,
		"CREATE TABLE a (id int, k int, x int, UNIQUE (id) DEFERRABLE)":                                        false,
		"CREATE TABLE a (id int, k int, x int); CREATE UNIQUE INDEX i ON a (id) WHERE x = 1":                   false,
		"CREATE TABLE a (id int, k int, x int); CREATE UNIQUE INDEX i ON a (id, k)":                            false,
		"CREATE TABLE a (id int, k int, x int); CREATE UNIQUE INDEX i ON a ((id + 1))":                         false,
		"CREATE TABLE a (id int UNIQUE, k int, x int); ALTER TABLE a DROP CONSTRAINT a_id_key":                 false,
		"CREATE TABLE a (id int, k int, x int); CREATE UNIQUE INDEX i ON a (id); DROP INDEX i":                 false,
		"CREATE TABLE a (id int UNIQUE, k int, x int); ALTER TABLE a DROP COLUMN id; ALTER TABLE a ADD id int": false,
	} {
		keys, err := derive(t, ddl, read, update)
		if (err == nil) != single {
			t.Errorf("%s\nDerive = %v, %v; want it accepted: %v", ddl, keys, err, single)
		}
	}
}

// TestDefaultOfDomain checks that a column without a default is not taken for
// NULL where its domain has one.
func TestDefaultOfDomain(t *testing.T) {
	t.Parallel()

	read := Statement{Name: "Get", Cmd: ":many", SQL: "SELECT id FROM a WHERE k = $1", Args: 1, Outs: 1, Notes: []string{"@cache a(p1)"}}
	insert := Statement{Name: "Insert", Cmd: ":exec", SQL: "INSERT INTO a (id) VALUES ($1)", Args: 1}
	for _, tc := range []struct {
		ddl     string
		refused bool
	}{
		{"CREATE DOMAIN d AS int; CREATE TABLE a (id int, k d);", false},
		{"CREATE DOMAIN d AS int DEFAULT 1; CREATE TABLE a (id int, k d);", true},
		{"CREATE DOMAIN d AS int; CREATE DOMAIN e AS d; CREATE TABLE a (id int, k e); ALTER DOMAIN d SET DEFAULT 1;", true},
		{"CREATE DOMAIN d AS int DEFAULT 1; CREATE TABLE a (id int, k d DEFAULT 2);", false},
	} {
		keys, err := derive(t, tc.ddl, read, insert)
		if refused := err != nil; refused != tc.refused {
			t.Errorf("%s\nDerive = %v, %v; want it refused: %v", tc.ddl, keys, err, tc.refused)
		}
	}
}

// TestNamesOfConstraints has names that Postgres chose for these.
func TestNamesOfConstraints(t *testing.T) {
	t.Parallel()

	long := strings.Repeat("long_", 11)
	for _, tc := range []struct{ table, cols, label, want string }{
		{"a", "", "pkey", "a_pkey"},
		{"a", "b_c", "fkey", "a_b_c_fkey"},
		{long, "session_id", "fkey1", "long_long_long_long_long_long_long_long_long_l_session_id_fkey1"},
		{long, "session_id_b", "fkey", "long_long_long_long_long_long_long_long_long__session_id_b_fkey"},
		{long, "c", "check1", "long_long_long_long_long_long_long_long_long_long_long_c_check1"},
		{long, "session_id", "fkey", "long_long_long_long_long_long_long_long_long_lo_session_id_fkey"},
	} {
		if got := objectName(tc.table, tc.cols, tc.label); got != tc.want {
			t.Errorf("objectName(%q, %q, %q) = %q, want %q", tc.table, tc.cols, tc.label, got, tc.want)
		}
	}
}
