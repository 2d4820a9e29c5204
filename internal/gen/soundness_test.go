package gen

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// soundness has writes that change a read in ways that are easy to miss: DDL, reads
// (of group r0, r1, … by p1), the write, and the keys that it invalidates; "!"
// begins what a refusal must say.
type soundness struct {
	ddl   string
	reads []string
	cmd   string
	write string
	args  int
	outs  int
	want  string
}

func (s *soundness) check(t *testing.T) {
	t.Helper()
	var all []Statement
	for i, r := range s.reads {
		name := fmt.Sprintf("r%d", i)
		note, sql, _ := strings.Cut(r, "|")
		if sql == "" {
			note, sql = "", note
		}
		cmd := ":many"
		if strings.Contains(note, ":one") {
			cmd, note = ":one", strings.ReplaceAll(note, ":one", "")
		}
		args, key := 1, "p1"
		if strings.Contains(sql, "$2") {
			args, key = 2, "p1, p2"
		}
		all = append(all, Statement{Name: "Read" + name, Cmd: cmd, SQL: sql, Args: args, Outs: 1, Notes: []string{fmt.Sprintf("@cache %s(%s) %s", name, key, note)}})
	}
	got, err := derive(t, s.ddl, append(all, Statement{Name: "Write", Cmd: s.cmd, SQL: s.write, Args: s.args, Outs: s.outs})...)
	if want, refused := strings.CutPrefix(s.want, "!"); refused {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\nDerive = %v, %v; want a refusal that says %q", s.write, keyStrings(got["Write"]), err, want)
		}
		return
	}
	if err != nil {
		t.Fatalf("%s\n%v", s.write, err)
	}
	want := strings.Fields(s.want)
	sort.Strings(want)
	if diff := cmp.Diff(want, slices.Compact(keyStrings(got["Write"])), cmp.Transformer("", func(s []string) []string { return append([]string{}, s...) })); diff != "" {
		t.Errorf("%s (-want +got)\n%s", s.write, diff)
	}
}

const roomsAndPosts = `
CREATE TABLE rooms (id int PRIMARY KEY, slug int, x int, total int);
CREATE TABLE posts (id int PRIMARY KEY, room_id int, body int);
CREATE TABLE history (id int, room_id int, body int);
`

const (
	readRoom    = "SELECT x FROM rooms WHERE id = $1"
	readSlug    = "SELECT x FROM rooms WHERE slug = $1"
	readPosts   = "SELECT body FROM posts WHERE room_id = $1"
	readHistory = "SELECT body FROM history WHERE room_id = $1"
)

func onRow(when, body string) string {
	return roomsAndPosts + "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN " + body + " END $$;\n" +
		"CREATE TRIGGER t " + when + " ON posts FOR EACH ROW EXECUTE FUNCTION f();\n"
}

// TestRowsOfAnInsert checks that each column of a proposed row is known by what
// stands in its place, or not at all.
func TestRowsOfAnInsert(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]soundness{
		"SELECT NEW.*":       {onRow("AFTER INSERT", "INSERT INTO history SELECT NEW.*; RETURN NULL;"), []string{readHistory}, ":exec", "INSERT INTO posts (id, room_id) VALUES ($1, $2)", 2, 0, "!doesn't tell room_id"},
		"SELECT now, NEW.*":  {onRow("AFTER INSERT", "INSERT INTO history SELECT 1, NEW.*; RETURN NULL;"), []string{readHistory}, ":exec", "INSERT INTO posts (id, room_id) VALUES ($1, $2)", 2, 0, "!doesn't tell room_id"},
		"VALUES (OLD.*)":     {onRow("AFTER DELETE", "INSERT INTO history VALUES (OLD.*); RETURN NULL;"), []string{readHistory}, ":exec", "DELETE FROM posts WHERE room_id = $1", 1, 0, "!doesn't tell room_id"},
		"SELECT (OLD).*":     {onRow("AFTER DELETE", "INSERT INTO history SELECT (OLD).*; RETURN NULL;"), []string{readHistory}, ":exec", "DELETE FROM posts WHERE room_id = $1", 1, 0, "!doesn't tell room_id"},
		"VALUES (NEW.id, …)": {onRow("AFTER INSERT", "INSERT INTO history VALUES (NEW.id, NEW.room_id); RETURN NULL;"), []string{readHistory}, ":exec", "INSERT INTO posts (id, room_id) VALUES ($1, $2)", 2, 0, "r0($2)"},
		"a function's *":     {roomsAndPosts, []string{readPosts}, ":exec", "INSERT INTO posts SELECT f.*, $1 FROM jsonb_each('{}') f(a)", 1, 0, "!doesn't tell room_id"},
		"UNION VALUES":       {roomsAndPosts, []string{readPosts}, ":exec", "INSERT INTO posts (id, room_id) SELECT 1, $1::int UNION ALL VALUES (2, $2::int), (3, 7)", 2, 0, "r0($1) r0($2) r0(7)"},
		"a shorter branch":   {roomsAndPosts, []string{readPosts}, ":exec", "INSERT INTO posts (id, room_id) SELECT 1, $1::int UNION ALL SELECT 2", 1, 0, "!doesn't tell room_id"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			tc.check(t)
		})
	}
}

// TestRowsThatAreNotOne checks that :one isn't taken for all rows where there may
// be more.
func TestRowsThatAreNotOne(t *testing.T) {
	t.Parallel()

	ddl := roomsAndPosts + "CREATE TABLE b (bid int PRIMARY KEY, bk int); CREATE TABLE c (id int PRIMARY KEY, room_id int);"
	for name, tc := range map[string]struct {
		sql    string
		single bool
	}{
		"a window in FROM":             {"UPDATE posts SET body = 1 FROM (SELECT max(r.total) OVER () AS m, r.id FROM rooms r) q WHERE posts.id = q.id RETURNING posts.room_id", false},
		"a window, inserted":           {"INSERT INTO posts (id, room_id) SELECT r.id, sum(r.total) OVER () FROM rooms r RETURNING room_id", false},
		"an aggregate, inserted":       {"INSERT INTO posts (id, room_id) SELECT max(r.id), sum(r.total) FROM rooms r RETURNING room_id", true},
		"grouping sets":                {"INSERT INTO posts (room_id) SELECT max(x) FROM rooms GROUP BY GROUPING SETS ((), ()) RETURNING room_id", false},
		"grouping sets of one row":     {"INSERT INTO posts (room_id) SELECT x + 1 FROM rooms WHERE id = 1 GROUP BY GROUPING SETS ((x), ()) RETURNING room_id", false},
		"grouping sets of nothing":     {"UPDATE posts SET body = 1 FROM (SELECT 1 AS x GROUP BY GROUPING SETS ((), ())) q WHERE posts.id = 1 AND q.x = 1 RETURNING room_id", true},
		"LATERAL":                      {"UPDATE posts SET body = 1 FROM rooms r CROSS JOIN LATERAL (SELECT r.total AS m) q WHERE posts.id = q.m RETURNING posts.room_id", false},
		"LATERAL alone":                {"UPDATE posts SET body = 1 FROM rooms r CROSS JOIN LATERAL (SELECT 7 AS m) q WHERE posts.id = q.m RETURNING posts.room_id", true},
		"a column of a sibling":        {"UPDATE posts SET body = 1 WHERE id = (SELECT max(bid) FROM b WHERE bk = room_id AND EXISTS (SELECT 1 FROM c WHERE c.id = 1)) RETURNING room_id", false},
		"an alias of a sibling":        {"UPDATE posts SET body = 1 WHERE id = (SELECT max(bid) FROM b WHERE bk = posts.room_id AND EXISTS (SELECT 1 FROM history posts)) RETURNING room_id", false},
		"a sub-select beside":          {"UPDATE posts SET body = 1 WHERE id = (SELECT max(q.x) FROM c, (SELECT room_id AS x FROM b) q) RETURNING room_id", false},
		"the queue":                    {"UPDATE posts SET body = 1 WHERE id = (SELECT id FROM posts WHERE body = 0 ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING room_id", true},
		"the queue, qualified":         {"UPDATE posts SET body = 1 WHERE id = (SELECT posts.id FROM posts WHERE posts.body = 0 LIMIT 1) RETURNING room_id", true},
		"a sub-select in a sub-select": {"UPDATE posts SET body = 1 WHERE id = (SELECT max(bid) FROM b WHERE EXISTS (SELECT 1 FROM c WHERE c.room_id = bk)) RETURNING room_id", true},
	} {
		want := "r0(out1)"
		if !tc.single {
			want = "!doesn't tell room_id"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			(&soundness{ddl, []string{readPosts}, ":one", tc.sql, 0, 1, want}).check(t)
		})
	}
}

// TestWhatATriggerSees checks that NEW and OLD are what they are while a body runs.
func TestWhatATriggerSees(t *testing.T) {
	t.Parallel()

	touch := "UPDATE rooms SET x = 1 WHERE id = NEW.room_id; "
	keeps := "CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.body > 3 THEN RETURN OLD; END IF; RETURN NEW; END $$; CREATE TRIGGER a BEFORE UPDATE ON posts FOR EACH ROW EXECUTE FUNCTION g();"
	for name, tc := range map[string]soundness{
		"assigned after":              {onRow("BEFORE INSERT", touch+"NEW.room_id := 5; RETURN NEW;"), []string{readRoom}, ":one", "INSERT INTO posts (id, room_id) VALUES ($1, $2) RETURNING room_id", 2, 1, "!doesn't tell id"},
		"assigned in an AFTER":        {onRow("AFTER INSERT", "NEW.room_id := 5; "+touch+"RETURN NEW;"), []string{readRoom}, ":exec", "INSERT INTO posts (id, room_id) VALUES ($1, $2)", 2, 0, "!doesn't tell id"},
		"OLD assigned":                {onRow("AFTER DELETE", "OLD.room_id := 5; UPDATE rooms SET x = 1 WHERE id = OLD.room_id; RETURN NULL;"), []string{readRoom}, ":exec", "DELETE FROM posts WHERE room_id = $1", 1, 0, "!doesn't tell id"},
		"SELECT INTO OLD":             {onRow("AFTER DELETE", "SELECT * INTO OLD FROM posts LIMIT 1; UPDATE rooms SET x = 1 WHERE id = OLD.room_id; RETURN NULL;"), []string{readRoom}, ":exec", "DELETE FROM posts WHERE room_id = $1", 1, 0, "!doesn't tell id"},
		"CALL with NEW":               {onRow("AFTER INSERT", "CALL p(NEW.room_id); "+touch+"RETURN NULL;") + "CREATE PROCEDURE p(INOUT r int) LANGUAGE plpgsql AS $$ BEGIN r := 5; END $$;", []string{readRoom}, ":exec", "INSERT INTO posts (id, room_id) VALUES ($1, $2)", 2, 0, "!doesn't tell id"},
		"before an upsert":            {onRow("BEFORE INSERT", touch+"RETURN NEW;"), []string{readRoom}, ":one", "INSERT INTO posts (id, room_id, body) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET body = excluded.body RETURNING room_id", 3, 1, "r0($2)"},
		"after an upsert":             {onRow("AFTER INSERT OR UPDATE", touch+"RETURN NEW;"), []string{readRoom}, ":one", "INSERT INTO posts (id, room_id, body) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET body = excluded.body RETURNING room_id", 3, 1, "r0(out1)"},
		"before DO NOTHING":           {onRow("BEFORE INSERT", touch+"RETURN NEW;"), []string{readRoom}, ":many", "INSERT INTO posts (id, room_id) SELECT x, x + 1 FROM rooms ON CONFLICT DO NOTHING RETURNING room_id", 0, 1, "!doesn't tell id"},
		"after DO NOTHING":            {onRow("AFTER INSERT", touch+"RETURN NEW;"), []string{readRoom}, ":many", "INSERT INTO posts (id, room_id) SELECT x, x + 1 FROM rooms ON CONFLICT DO NOTHING RETURNING room_id", 0, 1, "r0(out1)"},
		"before, returned":            {onRow("BEFORE INSERT", touch+"RETURN NEW;"), []string{readRoom}, ":many", "INSERT INTO posts (id, room_id) SELECT x, x + 1 FROM rooms RETURNING room_id", 0, 1, "r0(out1)"},
		"before, skipped":             {onRow("BEFORE DELETE", "UPDATE rooms SET x = 1 WHERE id = OLD.room_id; RETURN NULL;"), []string{readRoom}, ":many", "DELETE FROM posts WHERE id = $1 RETURNING room_id", 1, 1, "!doesn't tell id"},
		"before, skipped by NEW":      {onRow("BEFORE DELETE", "UPDATE rooms SET x = 1 WHERE id = OLD.room_id; RETURN NEW;"), []string{readRoom}, ":many", "DELETE FROM posts WHERE id = $1 RETURNING room_id", 1, 1, "!doesn't tell id"},
		"before, deleted":             {onRow("BEFORE DELETE", "UPDATE rooms SET x = 1 WHERE id = OLD.room_id; RETURN OLD;"), []string{readRoom}, ":many", "DELETE FROM posts WHERE id = $1 RETURNING room_id", 1, 1, "r0(out1)"},
		"another keeps the row":       {onRow("AFTER UPDATE", touch+"RETURN NULL;") + keeps, []string{readRoom}, ":exec", "UPDATE posts SET room_id = $2 WHERE id = $1", 2, 0, "!doesn't tell id"},
		"another keeps, told":         {onRow("AFTER UPDATE", touch+"RETURN NULL;") + keeps, []string{readRoom}, ":exec", "UPDATE posts SET room_id = $2 WHERE id = $1 AND room_id = $3", 3, 0, "r0($2) r0($3)"},
		"another keeps, returned":     {onRow("AFTER UPDATE", touch+"RETURN NULL;") + keeps, []string{readRoom}, ":many", "UPDATE posts SET room_id = $2 WHERE id = $1 RETURNING room_id", 2, 1, "r0(out1)"},
		"OLD returned only on DELETE": {onRow("BEFORE UPDATE OR DELETE", touch+"IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW;"), []string{readRoom}, ":exec", "UPDATE posts SET room_id = $2 WHERE id = $1", 2, 0, "r0($2)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			tc.check(t)
		})
	}
}

// TestParametersOfPlpgsql checks that a parameter of a function stands for the
// argument only where nothing else takes its name or its place.
func TestParametersOfPlpgsql(t *testing.T) {
	t.Parallel()

	for body, want := range map[string]string{
		"BEGIN UPDATE rooms SET x = 1 WHERE id = r; END":                                                        "r0($1)",
		"BEGIN UPDATE rooms SET x = 1 WHERE id = f.r AND id = $1; END":                                          "r0($1)",
		"DECLARE v int; BEGIN v := r; SELECT 1 INTO v; UPDATE rooms SET x = 1 WHERE id = r; END":                "r0($1)",
		"BEGIN r := r + 1; UPDATE rooms SET x = 1 WHERE id = r; END":                                            "!doesn't tell id",
		"BEGIN r := r + 1; UPDATE rooms SET x = 1 WHERE id = $1; END":                                           "!doesn't tell id",
		"BEGIN $1 := 3; UPDATE rooms SET x = 1 WHERE id = r; END":                                               "!doesn't tell id",
		"DECLARE a ALIAS FOR $1; BEGIN a := 3; UPDATE rooms SET x = 1 WHERE id = r; END":                        "!doesn't tell id",
		"BEGIN SELECT max(id) INTO r FROM rooms; UPDATE rooms SET x = 1 WHERE id = r; END":                      "!doesn't tell id",
		"BEGIN INSERT INTO history VALUES (1) RETURNING id INTO r; UPDATE rooms SET x = 1 WHERE id = r; END":    "!doesn't tell id",
		"BEGIN FOR r IN 1..3 LOOP UPDATE rooms SET x = 1 WHERE id = r; END LOOP; END":                           "!doesn't tell id",
		"BEGIN FOREACH r IN ARRAY ARRAY[1, 2] LOOP UPDATE rooms SET x = 1 WHERE id = r; END LOOP; END":          "!doesn't tell id",
		"BEGIN FOR r IN SELECT x FROM rooms LOOP UPDATE rooms SET x = 1 WHERE id = r; END LOOP; END":            "!doesn't tell id",
		"DECLARE r int := 3; BEGIN UPDATE rooms SET x = 1 WHERE id = r; END":                                    "!doesn't tell id",
		"BEGIN PERFORM 1; GET DIAGNOSTICS r = ROW_COUNT; UPDATE rooms SET x = 1 WHERE id = r; END":              "!doesn't tell id",
		"DECLARE c CURSOR FOR SELECT 1; BEGIN OPEN c; FETCH c INTO r; UPDATE rooms SET x = 1 WHERE id = r; END": "!doesn't tell id",
		"BEGIN CALL p(r); UPDATE rooms SET x = 1 WHERE id = r; END":                                             "!doesn't tell id",
	} {
		(&soundness{roomsAndPosts + "CREATE PROCEDURE p(INOUT i int) LANGUAGE plpgsql AS $$ BEGIN i := 5; END $$;" +
			"CREATE FUNCTION f(r int) RETURNS void LANGUAGE plpgsql AS $$ " + body + " $$;", []string{readRoom}, ":exec", "SELECT f($1)", 1, 1, want}).check(t)
	}
}

// TestTablesThatShareRows has partitions and heirs.
func TestTablesThatShareRows(t *testing.T) {
	t.Parallel()

	const parted = roomsAndPosts + `
CREATE TABLE events (id int, day int, x int, room_id int) PARTITION BY RANGE (day);
CREATE TABLE mid PARTITION OF events FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (day);
CREATE TABLE leaf PARTITION OF mid FOR VALUES FROM (0) TO (5);
CREATE TABLE a (id int, x int);
CREATE TABLE b (id int, x int);
CREATE TABLE ab () INHERITS (a, b);
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE rooms SET x = x + 1 WHERE id = NEW.room_id; RETURN NULL; END $$;
CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE rooms SET x = x - 1 WHERE id = OLD.room_id; RETURN NULL; END $$;
`
	const onInsert = parted + "CREATE TRIGGER t AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION f(); CREATE TRIGGER u AFTER DELETE ON events FOR EACH ROW EXECUTE FUNCTION g();"
	for name, tc := range map[string]soundness{
		"a move is a DELETE and an INSERT": {onInsert, []string{readRoom}, ":exec", "UPDATE events SET day = $2 WHERE id = $1", 2, 0, "!doesn't tell id"},
		"a move, told":                     {onInsert, []string{readRoom}, ":exec", "UPDATE events SET day = $2 WHERE room_id = $1", 2, 0, "r0($1)"},
		"no move":                          {onInsert, []string{readRoom}, ":exec", "UPDATE events SET x = $2 WHERE id = $1", 2, 0, ""},
		"to a partition of a partition":    {parted, []string{"SELECT x FROM leaf WHERE id = $1"}, ":exec", "UPDATE events SET day = $2 WHERE id = $1", 2, 0, "r0($1)"},
		"another parent":                   {parted, []string{"SELECT x FROM b WHERE id = $1"}, ":exec", "UPDATE a SET x = 2 WHERE id = $1", 1, 0, "r0($1)"},
		"a default from above":             {parted + "ALTER TABLE events ALTER x SET DEFAULT 3;", []string{"SELECT day FROM leaf WHERE x = $1"}, ":exec", "INSERT INTO leaf (id, day) VALUES ($1, $2)", 2, 0, "r0(3)"},
		"a default above only":             {parted + "ALTER TABLE ONLY events ALTER x SET DEFAULT 3;", []string{"SELECT day FROM leaf WHERE x = $1"}, ":exec", "INSERT INTO leaf (id, day) VALUES ($1, $2)", 2, 0, ""},
		"a column from above":              {parted + "ALTER TABLE events ADD y int;", []string{"SELECT day FROM leaf WHERE y = $1"}, ":exec", "INSERT INTO leaf (y, x, day) VALUES ($1, $2, 3)", 2, 0, "r0($1)"},
		"a column that isn't known":        {parted, []string{"SELECT day FROM leaf WHERE x = $1"}, ":exec", "INSERT INTO leaf (y, x, day) VALUES ($1, $2, 3)", 2, 0, "r0($2)"},
		"a name from above":                {parted + "ALTER TABLE events RENAME x TO y;", []string{"SELECT day FROM leaf WHERE y = $1"}, ":exec", "INSERT INTO events (y, day) VALUES ($1, 3)", 1, 0, "r0($1)"},
		"a column that goes":               {parted + "ALTER TABLE events DROP id;", []string{"SELECT day FROM leaf WHERE x = $1"}, ":exec", "INSERT INTO leaf VALUES ($1, $2)", 2, 0, "r0($2)"},
		"a column after it was detached":   {parted + "ALTER TABLE mid DETACH PARTITION leaf; ALTER TABLE events ADD y int DEFAULT 1;", []string{"SELECT day FROM leaf WHERE x = $1"}, ":exec", "INSERT INTO leaf (id, day, x) VALUES (1, 2, $1)", 1, 0, "r0($1)"},
		"a key isn't inherited":            {parted + "ALTER TABLE a ADD k int PRIMARY KEY;", []string{"SELECT x FROM ab WHERE id = $1"}, ":one", "UPDATE ab SET x = 1 WHERE k = $1 RETURNING id", 1, 1, "!:one returns only the first"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			tc.check(t)
		})
	}
}

// TestFunctionsAreTheOnesThatRun checks which function a name means, and what the
// names in its body mean.
func TestFunctionsAreTheOnesThatRun(t *testing.T) {
	t.Parallel()

	const insert = "INSERT INTO posts (id, room_id) VALUES ($1, $2)"
	touch := "RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE rooms SET x = x + 1 WHERE id = NEW.room_id; RETURN NULL; END $$;"
	nothing := "RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
	on := "CREATE TRIGGER t AFTER INSERT ON posts FOR EACH ROW EXECUTE FUNCTION "
	const total = "CREATE FUNCTION total(r int) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM posts WHERE room_id = r';"
	const w = "CREATE FUNCTION w(r int) RETURNS void LANGUAGE sql AS 'UPDATE rooms SET x = 1 WHERE id = r';"
	for name, tc := range map[string]soundness{
		"two schemas":            {roomsAndPosts + "CREATE FUNCTION app.f() " + nothing + "CREATE FUNCTION public.f() " + touch + on + "public.f();", []string{readRoom}, ":exec", insert, 2, 0, "r0($2)"},
		"two schemas, bare":      {roomsAndPosts + "CREATE FUNCTION app.f() " + nothing + "CREATE FUNCTION f() " + touch + on + "f();", []string{readRoom}, ":exec", insert, 2, 0, "!several schemas have a function f"},
		"replaced in another":    {roomsAndPosts + "CREATE FUNCTION f() " + touch + "CREATE OR REPLACE FUNCTION app.f() " + nothing + on + "public.f();", []string{readRoom}, ":exec", insert, 2, 0, "r0($2)"},
		"dropped from another":   {roomsAndPosts + w + "CREATE FUNCTION app.w(r int) RETURNS void LANGUAGE sql AS 'SELECT 1'; DROP FUNCTION app.w(int);", []string{readRoom}, ":exec", "SELECT w($1)", 1, 1, "r0($1)"},
		"renamed":                {roomsAndPosts + w + "ALTER FUNCTION w(int) RENAME TO v;", []string{readRoom}, ":exec", "SELECT v($1)", 1, 1, "r0($1)"},
		"renamed, and another":   {roomsAndPosts + "CREATE FUNCTION f() " + touch + on + "f(); ALTER FUNCTION f RENAME TO g; CREATE FUNCTION f() " + nothing, []string{readRoom}, ":exec", insert, 2, 0, "r0($2)"},
		"replaced later":         {roomsAndPosts + "CREATE FUNCTION f() " + nothing + on + "f(); CREATE OR REPLACE FUNCTION f() " + touch, []string{readRoom}, ":exec", insert, 2, 0, "r0($2)"},
		"STABLE calls VOLATILE":  {roomsAndPosts + w + "CREATE FUNCTION g(i int) RETURNS void LANGUAGE plpgsql STABLE AS $$ BEGIN PERFORM w(i); END $$;", []string{readRoom}, ":exec", "SELECT g($1)", 1, 1, "r0($1)"},
		"STABLE calls itself":    {roomsAndPosts + w + "CREATE FUNCTION g(i int, j int) RETURNS void LANGUAGE sql STABLE AS 'SELECT w(i); SELECT g(j, i)';", []string{readRoom}, ":exec", "SELECT g($1, $2)", 2, 1, "!doesn't tell id"},
		"a name of a sub-select": {roomsAndPosts + "CREATE FUNCTION f(r int) RETURNS void LANGUAGE sql AS 'UPDATE rooms SET x = 1 FROM (SELECT total AS r FROM rooms) q WHERE rooms.id = r';", []string{readRoom}, ":exec", "SELECT f($1)", 1, 1, "!doesn't tell id"},
		"a name of a function":   {roomsAndPosts + "CREATE FUNCTION f(r int) RETURNS void LANGUAGE sql AS 'UPDATE rooms SET x = 1 FROM generate_series(1, 3) r WHERE rooms.id = r';", []string{readRoom}, ":exec", "SELECT f($1)", 1, 1, "!doesn't tell id"},
		"a variable in VALUES":   {roomsAndPosts + "CREATE FUNCTION f(room_id int) RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO posts (id, room_id) VALUES (1, room_id); END $$;", []string{readPosts}, ":exec", "SELECT f($1)", 1, 1, "r0($1)"},
		"WITH takes no table":    {roomsAndPosts + "CREATE FUNCTION g(r int) RETURNS SETOF posts LANGUAGE sql STABLE AS 'SELECT * FROM posts WHERE room_id = r';", []string{"WITH posts AS (SELECT 1 AS id) SELECT p.body FROM g($1::int) p"}, ":exec", insert, 2, 0, "r0($2)"},
		"names of the row type":  {roomsAndPosts + "CREATE FUNCTION g() RETURNS SETOF posts LANGUAGE sql STABLE AS 'SELECT p.room_id, p.id, p.body FROM posts p';", []string{"SELECT p.body FROM g() p WHERE p.room_id = $1"}, ":exec", insert, 2, 0, "r0($1)"},
		"names of another type":  {roomsAndPosts + "CREATE TYPE pair AS (id int, room_id int); CREATE FUNCTION g() RETURNS SETOF pair LANGUAGE sql STABLE AS 'SELECT p.room_id, p.id FROM posts p';", []string{"SELECT p.id FROM g() p WHERE p.room_id = $1"}, ":exec", insert, 2, 0, "!no equality that always holds"},
		"names of the alias":     {roomsAndPosts + "CREATE TYPE pair AS (id int, room_id int); CREATE FUNCTION g() RETURNS SETOF pair LANGUAGE sql STABLE AS 'SELECT p.room_id, p.id FROM posts p';", []string{"SELECT p.a FROM g() p(b, a) WHERE p.b = $1"}, ":exec", insert, 2, 0, "r0($2)"},
		"the name of a scalar":   {roomsAndPosts + "CREATE FUNCTION g(r int) RETURNS SETOF int LANGUAGE sql STABLE AS 'SELECT p.id FROM posts p WHERE p.room_id = r';", []string{"SELECT p FROM g($1::int) p"}, ":exec", insert, 2, 0, "r0($2)"},
		"in a view":              {roomsAndPosts + total + "CREATE VIEW v AS SELECT rooms.id, total(rooms.id) AS n FROM rooms;", []string{"SELECT n FROM v WHERE id = $1"}, ":exec", insert, 2, 0, "r0($2)"},
		"in a view, unknown":     {roomsAndPosts + total + "CREATE VIEW v AS SELECT id, total(id + 1) AS n FROM rooms;", []string{"SELECT n FROM v WHERE id = $1"}, ":exec", insert, 2, 0, "!a change of posts could not be traced"},
		"BEGIN ATOMIC":           {roomsAndPosts + "CREATE FUNCTION g(r int) RETURNS bigint LANGUAGE sql STABLE BEGIN ATOMIC SELECT count(*) FROM posts WHERE room_id = r; END;", []string{"SELECT g($1::int)"}, ":exec", insert, 2, 0, "r0($2)"},
		"BEGIN ATOMIC, outdated": {roomsAndPosts + "CREATE FUNCTION g(r int) RETURNS bigint LANGUAGE sql STABLE BEGIN ATOMIC SELECT count(*) FROM posts WHERE room_id = r; END; ALTER TABLE posts RENAME TO old; CREATE TABLE posts (id int, room_id int);", []string{"SELECT g($1::int)"}, ":exec", "INSERT INTO old (id, room_id) VALUES ($1, $2)", 2, 0, "!pgaside doesn't know what it reads"},
		"without an end":         {roomsAndPosts + "CREATE FUNCTION g(r int, s int) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM posts WHERE room_id = r AND body = s AND g(r, s) > 0';", []string{"SELECT g($1::int, 3)"}, ":exec", insert, 2, 0, "!without an end"},
		"a transition table":     {roomsAndPosts + "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE rooms SET x = 1 FROM history WHERE rooms.id = history.room_id AND history.room_id = 3; UPDATE rooms SET x = 1 WHERE id IN (SELECT h.room_id FROM history h, posts p WHERE p.id = h.id AND p.room_id = h.room_id AND body = 3); RETURN NULL; END $$; CREATE TRIGGER t AFTER INSERT ON posts REFERENCING NEW TABLE AS history FOR EACH STATEMENT EXECUTE FUNCTION f();", []string{readRoom}, ":exec", insert, 2, 0, "!doesn't tell id"},
		"with ordinality":        {roomsAndPosts + "CREATE FUNCTION g(r int) RETURNS SETOF posts LANGUAGE sql STABLE AS 'SELECT * FROM posts WHERE room_id = r';", []string{"SELECT p.body FROM g($1::int) WITH ORDINALITY p"}, ":exec", insert, 2, 0, "r0($2)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			tc.check(t)
		})
	}
}

// TestConditionsThatSayLess checks that what holds for some rows isn't taken to
// hold for all.
func TestConditionsThatSayLess(t *testing.T) {
	t.Parallel()

	ddl := roomsAndPosts + `CREATE TABLE loose (id serial PRIMARY KEY, user_id int, x int);
CREATE TABLE arch (id int GENERATED BY DEFAULT AS IDENTITY, room_id bigint, body int, big numeric);
CREATE TABLE pairs (a int, b int, x int);
`
	named := ddl + "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE rooms SET x = x + 1; RETURN NULL; END $$; CREATE TRIGGER t AFTER UPDATE OF body ON posts FOR EACH ROW EXECUTE FUNCTION f();"
	const gone = "WITH d AS (DELETE FROM posts WHERE body = $1 RETURNING room_id, body) "
	for name, tc := range map[string]soundness{
		"an arm with a cast":         {ddl, []string{readRoom}, ":exec", "UPDATE rooms SET x = 1 WHERE id::bool = $1 OR id = $2", 2, 0, "!doesn't tell id"},
		"IS NULL in an outer ON":     {ddl, []string{readSlug}, ":exec", "WITH o AS (SELECT r.id FROM rooms r LEFT JOIN loose l ON l.id = r.id AND r.slug IS NULL WHERE r.id = $1 FOR UPDATE OF r) UPDATE rooms SET slug = $2 FROM o WHERE rooms.id = o.id", 2, 0, "!what it was before"},
		"IS NULL in an inner ON":     {ddl, []string{readSlug}, ":exec", "WITH o AS (SELECT r.id FROM rooms r JOIN loose l ON l.id = r.id AND r.slug IS NULL WHERE r.id = $1 FOR UPDATE OF r) UPDATE rooms SET slug = $2 FROM o WHERE rooms.id = o.id", 2, 0, "r0($2)"},
		"another arm brings a row":   {ddl, []string{":one negative=off|SELECT x FROM loose WHERE id = $1 OR user_id = $1 ORDER BY id DESC LIMIT 1"}, ":exec", "INSERT INTO loose (x, user_id) VALUES ($1, NULL)", 1, 0, "!doesn't tell id"},
		"nobody knew the key":        {ddl, []string{":one negative=off|SELECT x FROM loose WHERE id = $1"}, ":exec", "INSERT INTO loose (x, user_id) VALUES ($1, NULL)", 1, 0, ""},
		"passed":                     {ddl, []string{readPosts}, ":many", gone + "INSERT INTO arch (room_id, body) SELECT d.room_id, d.body FROM d RETURNING room_id", 1, 1, "r0(out1)"},
		"passed, a sequence's value": {ddl, []string{readPosts}, ":many", gone + "INSERT INTO arch (id, body) OVERRIDING USER VALUE SELECT d.room_id, d.body FROM d RETURNING id", 1, 1, "!doesn't tell room_id"},
		"passed, converted":          {ddl, []string{readPosts}, ":many", gone + "INSERT INTO arch (big, body) SELECT d.room_id, d.body FROM d RETURNING big", 1, 1, "!doesn't tell room_id"},
		"passed, hidden":             {ddl, []string{readPosts}, ":many", gone + "INSERT INTO arch (id, body) WITH d AS (SELECT 1 AS room_id, 2 AS body) SELECT d.room_id, d.body FROM d RETURNING id", 1, 1, "!doesn't tell room_id"},
		"passed, ORDER BY a set":     {ddl, []string{readPosts}, ":many", gone + "SELECT d.room_id FROM d ORDER BY generate_series(1, d.body)", 1, 1, "!doesn't tell room_id"},
		"passed, not a column":       {ddl, []string{readPosts}, ":many", gone + "INSERT INTO arch (nix) SELECT d.room_id FROM d RETURNING nix", 1, 1, "!doesn't tell room_id"},
		"a WITH that comes later":    {ddl, []string{readPosts}, ":exec", "WITH d AS (DELETE FROM posts USING rooms WHERE posts.room_id = rooms.id RETURNING posts.id), rooms AS (SELECT $1::int AS id) SELECT rooms.id FROM rooms", 1, 1, "!doesn't tell room_id"},
		"SET c = c, twice":           {named, []string{readRoom}, ":exec", "WITH a AS (UPDATE posts SET room_id = room_id WHERE id = $1), b AS (UPDATE posts SET body = body WHERE id = $1) SELECT 1", 1, 1, "!by trigger t"},
		"MERGE RETURNING":            {ddl, []string{"SELECT x FROM history h JOIN pairs ON h.id = pairs.a AND h.body = 2 WHERE h.id = $1"}, ":exec", "WITH m AS (MERGE INTO rooms t USING loose s ON t.id = s.id AND s.id = $1 WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id) RETURNING s.id AS sid), l AS (INSERT INTO pairs (a) SELECT m.sid FROM m) SELECT 1", 1, 1, "!doesn't tell a"},
		"rows of VALUES that differ": {ddl, []string{readRoom}, ":exec", "UPDATE rooms SET x = v.b FROM (VALUES (1, 2), (3)) v(a, b) WHERE rooms.id = v.a", 0, 0, "!doesn't tell id"},
		"LIMIT of a UNION":           {ddl, []string{"SELECT x FROM rooms WHERE id = $1 UNION SELECT total FROM rooms WHERE id = $1 LIMIT 1"}, ":exec", "SELECT 1", 0, 1, "!without ORDER BY"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			tc.check(t)
		})
	}
}

// TestViewsAndTheDDLAfterThem checks what is written through a view, and what DDL
// does that comes after the view, the default or the key.
func TestViewsAndTheDDLAfterThem(t *testing.T) {
	t.Parallel()

	const view = roomsAndPosts + "CREATE VIEW v AS SELECT room_id, id FROM posts;"
	const enum = `CREATE TYPE mood AS ENUM ('a', 'b');
CREATE TABLE moods (id int, state mood DEFAULT 'a', x int);
CREATE VIEW bad AS SELECT id, x FROM moods WHERE state = 'a';
`
	for name, tc := range map[string]soundness{
		"the order of its columns": {view, []string{readPosts}, ":exec", "INSERT INTO v VALUES ($1, $2)", 2, 0, "!doesn't tell room_id"},
		"its columns, named":       {view, []string{readPosts}, ":exec", "INSERT INTO v (room_id, id) VALUES ($1, $2)", 2, 0, "r0($1)"},
		"in a MERGE":               {view, []string{readPosts}, ":exec", "MERGE INTO v USING rooms r ON v.id = r.id WHEN NOT MATCHED THEN INSERT VALUES (1, 2)", 0, 0, "!doesn't tell room_id"},
		"nothing but defaults":     {view, []string{readPosts}, ":exec", "INSERT INTO v DEFAULT VALUES", 0, 0, ""},
		"a renamed column":         {view + "ALTER VIEW v RENAME COLUMN id TO x; ALTER VIEW v RENAME COLUMN room_id TO id; ALTER VIEW v RENAME COLUMN x TO room_id;", []string{readPosts}, ":exec", "INSERT INTO v (room_id, id) VALUES ($1, $2)", 2, 0, "!doesn't follow this view"},
		"a renamed column, read":   {view + "ALTER VIEW v RENAME COLUMN id TO x; ALTER VIEW v RENAME COLUMN room_id TO id;", []string{"SELECT x FROM v WHERE id = $1"}, ":exec", "DELETE FROM posts WHERE id = $1", 1, 0, "!no longer says what it reads"},
		"its default":              {view + "ALTER VIEW v ALTER COLUMN room_id SET DEFAULT 5;", []string{readPosts}, ":exec", "INSERT INTO v (id) VALUES ($1)", 1, 0, "!doesn't follow this view"},
		"triggers stay":            {view + "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE rooms SET x = x + 1; RETURN NULL; END $$; CREATE TRIGGER t INSTEAD OF INSERT ON v FOR EACH ROW EXECUTE FUNCTION f(); CREATE OR REPLACE VIEW v AS SELECT room_id, id FROM posts WHERE id > 3;", []string{readRoom}, ":exec", "INSERT INTO v (id) VALUES ($1)", 1, 0, "!doesn't follow this view"},
		"a value":                  {enum, []string{"SELECT x FROM bad WHERE id = $1"}, ":exec", "UPDATE moods SET x = 1 WHERE state = 'b'", 0, 0, ""},
		"a value that is renamed":  {enum + "ALTER TYPE mood RENAME VALUE 'a' TO 'c';", []string{"SELECT x FROM bad WHERE id = $1"}, ":exec", "UPDATE moods SET x = 1 WHERE state = 'c'", 0, 0, "!no longer says what it reads"},
		"a default, renamed":       {enum + "ALTER TYPE mood RENAME VALUE 'a' TO 'c';", []string{"SELECT x FROM moods WHERE id = $1 AND state = 'c'"}, ":exec", "INSERT INTO moods (id) VALUES ($1)", 1, 0, "r0($1)"},
		"INCLUDE":                  {roomsAndPosts + "CREATE TABLE c (id int, k int, x int, y int); CREATE UNIQUE INDEX i ON c (id) INCLUDE (x);", []string{"SELECT y FROM c WHERE k = $1"}, ":one", "UPDATE c SET y = 1 WHERE id = $1 RETURNING k", 1, 1, "r0(out1)"},
		"INCLUDE, dropped":         {roomsAndPosts + "CREATE TABLE c (id int, k int, x int, y int); CREATE UNIQUE INDEX i ON c (id) INCLUDE (x); ALTER TABLE c DROP x;", []string{"SELECT y FROM c WHERE k = $1"}, ":one", "UPDATE c SET y = 1 WHERE id = $1 RETURNING k", 1, 1, "!:one returns only the first"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			tc.check(t)
		})
	}
}

// TestRowsOfTheResult checks that a key isn't made of two rows of the result.
func TestRowsOfTheResult(t *testing.T) {
	t.Parallel()

	ddl := roomsAndPosts + "CREATE TABLE pairs (a int, b int, x int);"
	const d = "WITH d AS (UPDATE posts SET body = 1 WHERE body = $1 RETURNING room_id, id), "
	for name, tc := range map[string]struct{ sql, want string }{
		"one row":           {d + "p AS (INSERT INTO pairs (a, b) SELECT d.room_id, d.id FROM d) SELECT d.room_id, d.id FROM d", "r0(out1,out2)"},
		"any two rows":      {d + "p AS (INSERT INTO pairs (a, b) SELECT d.room_id, e.id FROM d, d e) SELECT d.room_id, d.id FROM d", "!doesn't tell a"},
		"a row and another": {d + "p AS (INSERT INTO pairs (a, b) SELECT d.room_id, 3 FROM d, d e) SELECT d.room_id, d.id FROM d", "r0(out1,3)"},
		"two rows by another": {d + "q AS (INSERT INTO history (id, room_id) SELECT d.room_id, e.id FROM d, d e RETURNING id, room_id), " +
			"p AS (INSERT INTO pairs (a, b) SELECT q.id, q.room_id FROM q) SELECT d.room_id, d.id FROM d", "!doesn't tell a"},
		"one row by another": {d + "q AS (INSERT INTO history (id, room_id) SELECT d.room_id, d.id FROM d RETURNING id, room_id), " +
			"p AS (INSERT INTO pairs (a, b) SELECT q.id, q.room_id FROM q) SELECT d.room_id, d.id FROM d", "r0(out1,out2)"},
		"two rows that another joins": {d + "q AS (INSERT INTO history (id) SELECT d.room_id FROM d RETURNING id), " +
			"p AS (INSERT INTO pairs (a, b) SELECT q.id, d.id FROM q, d) SELECT d.room_id, d.id FROM d", "!doesn't tell a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			(&soundness{ddl, []string{"SELECT x FROM pairs WHERE a = $1 AND b = $2"}, ":many", tc.sql, 1, 2, tc.want}).check(t)
		})
	}
}
