package gen

import (
	"slices"
	"strings"
	"testing"
)

// TestPlaceOfWhatSqlcRewrote marks a place of the text that sqlc sends with ⟨ and
// the same place of the file with ⟦.
func TestPlaceOfWhatSqlcRewrote(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct{ sqlc, file string }{
		"same":           {"SELECT id FROM ⟨sessions WHERE id = $1", "SELECT id FROM ⟦sessions WHERE id = $1;"},
		"star":           {"SELECT id, user_id, ⟨title FROM sessions", "SELECT ⟦* FROM sessions;"},
		"behind a star":  {"SELECT s.id, s.title FROM ⟨sessions s", "SELECT s.*\nFROM ⟦sessions s;"},
		"star and more":  {"SELECT s.id, s.title, ⟨now() FROM sessions s", "SELECT s.*, ⟦now() FROM sessions s;"},
		"embedded":       {"SELECT sessions.id, users.id, users.name FROM sessions, ⟨users", "SELECT sessions.id, sqlc.embed(users) FROM sessions, ⟦users;"},
		"argument":       {"SELECT 1 FROM t WHERE a = $1 AND b = ⟨$2", "SELECT 1 FROM t WHERE a = @a AND b = ⟦sqlc.arg(b);"},
		"comment":        {"SELECT 1 FROM t WHERE ⟨b = 2", "SELECT 1 -- FROM t WHERE b = 2\nFROM t /* WHERE b */ WHERE ⟦b = 2;"},
		"text":           {"SELECT 'b -- ' FROM t WHERE ⟨b = 2", "SELECT 'b -- ' FROM t WHERE ⟦b = 2;"},
		"dollar quotes":  {"SELECT $a$ b ' $a$, ⟨b", "SELECT $a$ b ' $a$, ⟦b;"},
		"second of two":  {"SELECT * FROM t a JOIN ⟨t b ON a.x = b.y", "SELECT *\n  FROM t a\n  JOIN ⟦t b ON a.x = b.y;"},
		"beyond ASCII":   {"SELECT 'é' FROM ⟨t", "SELECT 'é' FROM ⟦t;"},
		"unclosed quote": {"SELECT ⟨a", "SELECT ⟦a 'b;"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			const head = "-- name: Get :many\n"
			offset, body := strings.Index(head+c.sqlc, "⟨"), strings.ReplaceAll(c.file, "⟦", "")
			q := &query{
				sql: strings.ReplaceAll(head+c.sqlc, "⟨", ""), body: body, bodyLine: 8, pos: Position{File: "q.sql", Line: 7, Col: 10},
			}
			before, _, _ := strings.Cut(c.file, "⟦")
			want := Position{File: "q.sql", Line: 8 + strings.Count(before, "\n"), Col: len(before) - strings.LastIndexByte(before, '\n')}
			if got := q.at(offset); got != want {
				t.Errorf("at %s, want %s", got, want)
			}
			if got := q.at(0); got != q.pos {
				t.Errorf("the query as a whole is at %s, want its name at %s", got, q.pos)
			}
		})
	}
}

func TestFindingsInOrder(t *testing.T) {
	t.Parallel()

	at := func(file string, line, col int, msg string) *Finding {
		return &Finding{Pos: Position{File: file, Line: line, Col: col}, Msg: msg}
	}
	fs := Findings{
		at("b", 1, 1, "x"), at("a", 10, 2, "x"), at("a", 9, 3, "x"), at("a", 10, 1, "y"), at("a", 10, 1, "x"), at("a", 0, 0, "x"), at("a", 10, 1, "y"),
	}
	var got []string
	for _, f := range fs.sorted() {
		got = append(got, f.Error())
	}
	want := []string{"a: x", "a:9:3: x", "a:10:1: x", "a:10:1: y", "a:10:2: x", "b:1:1: x"}
	if !slices.Equal(got, want) {
		t.Errorf("findings %q, want %q", got, want)
	}
}

// TestFindingsSayWhatTheyAreAbout checks what programs read of a finding.
func TestFindingsSayWhatTheyAreAbout(t *testing.T) {
	t.Parallel()

	for name, want := range map[string]Finding{
		"refuse_cascade/DeleteUserInside/session": {Read: "GetSession", Path: []string{"users", "sessions"}},
		"refuse_unmapped/JoinAway/s":              {},
		"refuse_annotations/Unnamed/session":      {},
	} {
		part := strings.Split(name, "/")
		_, err := runCase(part[0])
		fs, _ := err.(Findings) //nolint:errorlint // Run's error is Findings itself
		i := slices.IndexFunc(fs, func(f *Finding) bool { return f.Query == part[1] && f.Group == part[2] })
		if i < 0 {
			t.Errorf("no finding of %s", name)
			continue
		}
		f := fs[i]
		if f.Read != want.Read || !slices.Equal(f.Path, want.Path) || (f.ReadAt.Line > 0) != (want.Read != "") || f.Pos.Col == 0 {
			t.Errorf("%s: %+v", name, f)
		}
	}
	for _, name := range cases(t) {
		_, err := runCase(name)
		fs, _ := err.(Findings) //nolint:errorlint // see above
		for _, f := range fs {
			if f.Query == "" && strings.HasSuffix(f.Pos.File, "query.sql") && f.Msg != "an annotation stands behind SQL, where it has no effect" {
				t.Errorf("%s says no query: %s", name, f)
			}
		}
	}
}
