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
