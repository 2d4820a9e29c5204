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
		all = append(all, Statement{Name: "Read" + name, Cmd: cmd, SQL: sql, Args: 1, Outs: 1, Notes: []string{fmt.Sprintf("@cache %s(p1) %s", name, note)}})
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
