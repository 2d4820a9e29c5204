package gen

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLookups has a schema, a read and a write, and what the lookups of the write
// must say; "!" begins what a refusal must say.
func TestLookups(t *testing.T) {
	t.Parallel()

	const tables = `
CREATE TABLE users (id int PRIMARY KEY, name int, email int UNIQUE);
CREATE TABLE rooms (id int PRIMARY KEY, user_id int REFERENCES users ON DELETE CASCADE, name int);
CREATE TABLE posts (id int PRIMARY KEY, room_id int REFERENCES rooms ON DELETE CASCADE, user_id int, body int);
CREATE TABLE authors (id int PRIMARY KEY, room_id int REFERENCES rooms, user_id int REFERENCES users);
`
	post := Statement{Cmd: ":one", SQL: `SELECT body FROM posts WHERE id = $1`, Notes: []string{"@cache post(p1)"}}
	authors := Statement{
		Cmd: ":many", SQL: `SELECT u.name FROM authors a JOIN users u ON u.id = a.user_id WHERE a.room_id = $1`,
		Notes: []string{"@cache authors(p1)", "@via users: SELECT room_id FROM authors WHERE user_id = users.id"},
	}
	for name, tc := range map[string]struct {
		ddl   string
		read  Statement
		write string
		args  int
		lists []int
		want  string
	}{
		"an upsert that changes what it was found by": {
			read:  authors,
			write: `INSERT INTO users (id, email) VALUES ($1, $2) ON CONFLICT (email) DO UPDATE SET email = $3, name = 1`, args: 3, want: "!by @via",
		},
		"an upsert that doesn't": {
			read:  authors,
			write: `INSERT INTO users (id, email) VALUES ($1, $2) ON CONFLICT (email) DO UPDATE SET name = 1`, args: 2, want: "users.email = $1",
		},
		"an upsert that finds a row by NULL": {
			ddl:   "ALTER TABLE users DROP CONSTRAINT users_email_key; ALTER TABLE users ADD UNIQUE NULLS NOT DISTINCT (email);",
			read:  authors,
			write: `INSERT INTO users (id, email) VALUES ($1, $2) ON CONFLICT (email) DO UPDATE SET name = 1`, args: 2, want: "!by @via",
		},
		"a statement in WITH that changes rows": {
			read: post, write: `WITH x AS (UPDATE posts SET room_id = $1 WHERE id = $2) DELETE FROM rooms WHERE id = $1`, args: 2, want: "!in WITH",
		},
		"a statement in WITH that reads": {
			read: post, write: `WITH x AS (SELECT 1) DELETE FROM rooms WHERE id = $1`, args: 1, want: "FOR UPDATE",
		},
		"row-level security on the way": {
			ddl:  "ALTER TABLE rooms ENABLE ROW LEVEL SECURITY;",
			read: post, write: `DELETE FROM users WHERE id = $1`, args: 1, want: "!row-level security",
		},
		"row-level security of the table itself": {
			ddl:  "ALTER TABLE users ENABLE ROW LEVEL SECURITY;",
			read: post, write: `DELETE FROM users WHERE id = $1`, args: 1, want: "!row-level security",
		},
		"two lists": {
			ddl: "CREATE TABLE pairs (a int, b int, owner int, PRIMARY KEY (a, b)); CREATE TABLE pair_notes (id int PRIMARY KEY, a int, b int, FOREIGN KEY (a, b) REFERENCES pairs);",
			read: Statement{
				Cmd: ":many", SQL: `SELECT n.id FROM pairs p JOIN pair_notes n ON (n.a, n.b) = (p.a, p.b) WHERE p.owner = $1`,
				Notes: []string{"@cache notes(p1)", "@via pair_notes: SELECT owner FROM pairs p WHERE p.a = pair_notes.a AND p.b = pair_notes.b"},
			},
			write: `DELETE FROM pair_notes WHERE a = ANY($1::int[]) AND b = ANY($2::int[])`, args: 2, lists: []int{0, 1}, want: "CROSS JOIN unnest",
		},
		"a foreign key that isn't valid": {
			ddl: "ALTER TABLE authors DROP CONSTRAINT authors_user_id_fkey; ALTER TABLE authors ADD CONSTRAINT f FOREIGN KEY (user_id) REFERENCES users NOT VALID;",
			// There may be authors who are nobody yet.
			read: authors, write: `INSERT INTO users (id) VALUES ($1)`, args: 1, want: "SELECT $1::int4 AS id",
		},
		"a foreign key that was made valid": {
			ddl: "ALTER TABLE authors DROP CONSTRAINT authors_user_id_fkey; ALTER TABLE authors ADD CONSTRAINT f FOREIGN KEY (user_id) REFERENCES users NOT VALID;" +
				"ALTER TABLE authors VALIDATE CONSTRAINT f;",
			read: authors, write: `INSERT INTO users (id) VALUES ($1)`, args: 1, want: "",
		},
		"a foreign key that was made deferrable": {
			ddl:  "ALTER TABLE authors ALTER CONSTRAINT authors_user_id_fkey DEFERRABLE INITIALLY DEFERRED;",
			read: authors, write: `UPDATE users SET name = 1 WHERE id = $1`, args: 1, want: "!no foreign key ties",
		},
		"a foreign key whose unique key was dropped": {
			ddl:  "ALTER TABLE users DROP CONSTRAINT users_pkey CASCADE;",
			read: authors, write: `UPDATE users SET name = 1 WHERE id = $1`, args: 1, want: "!no foreign key ties",
		},
		"a foreign key whose column was dropped": {
			ddl:  "ALTER TABLE users DROP COLUMN id CASCADE;",
			read: post, write: `DELETE FROM users WHERE name = $1`, args: 1, want: "",
		},
		"rows of heirs": {
			ddl:  "CREATE TABLE guests () INHERITS (authors);",
			read: authors, write: `UPDATE users SET name = 1 WHERE id = $1`, args: 1, want: "!no foreign key ties",
		},
		"a foreign key to a heir with columns of its own": {
			ddl:   "CREATE TABLE admins (level int UNIQUE) INHERITS (users); CREATE TABLE rights (id int PRIMARY KEY, level int REFERENCES admins (level) ON DELETE CASCADE);",
			read:  Statement{Cmd: ":one", SQL: `SELECT level FROM rights WHERE id = $1`, Notes: []string{"@cache r(p1)"}},
			write: `DELETE FROM users WHERE id = $1`, args: 1, want: "!doesn't tell id",
		},
		"SET NULL of some columns is of ON DELETE": {
			ddl: "CREATE TABLE tops (a int, b int, PRIMARY KEY (a, b));" +
				"CREATE TABLE subs (id int PRIMARY KEY, a int, b int, FOREIGN KEY (a, b) REFERENCES tops ON DELETE SET NULL (b) ON UPDATE SET NULL);",
			read:  Statement{Cmd: ":one", SQL: `SELECT a FROM subs WHERE id = $1`, Notes: []string{"@cache sub(p1)"}},
			write: `UPDATE tops SET b = $3 WHERE a = $1 AND b = $2`, args: 3, want: "FOR UPDATE OF c1",
		},
		"a trigger that deletes nothing": {
			ddl: "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';" +
				"CREATE TRIGGER k BEFORE DELETE ON rooms FOR EACH ROW EXECUTE FUNCTION keep();",
			read: post, write: `DELETE FROM rooms WHERE name = $1`, args: 1, want: "!a trigger may keep some",
		},
		"a trigger that may return nothing": {
			ddl: "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN CASE WHEN OLD.name > 1 THEN OLD END; END';" +
				"CREATE TRIGGER k BEFORE DELETE ON rooms FOR EACH ROW EXECUTE FUNCTION keep();",
			read: post, write: `DELETE FROM rooms WHERE name = $1`, args: 1, want: "!a trigger may keep some",
		},
		"a trigger that returns the old row": {
			ddl: "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END';" +
				"CREATE TRIGGER k BEFORE DELETE ON rooms FOR EACH ROW EXECUTE FUNCTION keep();",
			read: post, write: `DELETE FROM rooms WHERE name = $1`, args: 1, want: "FOR UPDATE",
		},
		"a type whose name has capitals": {
			ddl: `CREATE TYPE "Kind" AS ENUM ('a'); CREATE TABLE kinds (kind "Kind" PRIMARY KEY, owner int); CREATE TABLE things (id int PRIMARY KEY, kind "Kind" REFERENCES kinds);`,
			read: Statement{
				Cmd: ":many", SQL: `SELECT t.id FROM kinds k JOIN things t ON t.kind = k.kind WHERE k.owner = $1`,
				Notes: []string{"@cache things(p1)", "@via things: SELECT owner FROM kinds WHERE kind = things.kind"},
			},
			write: `INSERT INTO things (id, kind) VALUES ($1, $2)`, args: 2, want: `$1::"Kind" AS kind`,
		},
		"what a lock changes": {
			read: post, write: `DELETE FROM rooms WHERE xmax = $1 AND id > $2`, args: 2, want: "!looks at more",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			file := filepath.Join(t.TempDir(), "schema.sql")
			if err := os.WriteFile(file, []byte(tables+tc.ddl), 0o600); err != nil {
				t.Fatal(err)
			}
			ddl, err := ReadSchema(file)
			if err != nil {
				t.Fatal(err)
			}
			read := tc.read
			read.Name, read.Args, read.Outs = "Read", 1, 1
			got, err := ddl.Derive([]Statement{read, {Name: "Write", Cmd: ":exec", SQL: tc.write, Args: tc.args, Lists: tc.lists}})
			if want, refused := strings.CutPrefix(tc.want, "!"); refused {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s\nDerive = %v, %v; want a refusal that says %q", tc.write, keyStrings(got["Write"]), err, want)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s\n%v", tc.write, err)
			}
			var lookups []string
			if len(got["Write"]) > 0 {
				for _, l := range got["Write"][0].Locks {
					lookups = append(lookups, l.SQL)
				}
			}
			if all := strings.Join(lookups, "\n"); tc.want == "" && all != "" || !strings.Contains(all, tc.want) {
				t.Errorf("%s\nlookups:\n%s\nwant %q", tc.write, all, tc.want)
			}
		})
	}
}
