package gen

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// keysDDL is a chat: people, rooms and messages, and what is kept of them by
// triggers and functions.
const keysDDL = `
CREATE TABLE orgs (id int PRIMARY KEY, name int);
CREATE TABLE users (id int PRIMARY KEY, org_id int NOT NULL REFERENCES orgs ON DELETE CASCADE, name int, seen int);
CREATE TABLE rooms (id int PRIMARY KEY, owner_id int NOT NULL REFERENCES users ON DELETE CASCADE, slug int UNIQUE, total int, touched int);
CREATE TABLE posts (id int PRIMARY KEY, room_id int NOT NULL REFERENCES rooms ON DELETE CASCADE, user_id int REFERENCES users ON DELETE SET NULL, body int);
CREATE TABLE nodes (id int PRIMARY KEY, up int REFERENCES nodes ON DELETE CASCADE, x int);
CREATE TABLE loose (id int PRIMARY KEY, user_id int, x int);
CREATE VIEW open_rooms AS SELECT * FROM rooms WHERE touched IS NULL;
CREATE TABLE events (id int, day int, x int, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (10);
CREATE TABLE base (id int PRIMARY KEY, x int);
CREATE TABLE heir (y int) INHERITS (base);

CREATE FUNCTION add_post(p_id int, p_room int) RETURNS void LANGUAGE sql AS 'INSERT INTO posts (id, room_id) VALUES (p_id, $2)';
CREATE FUNCTION rename(r int, s int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF s IS NOT NULL THEN
    UPDATE rooms SET touched = s WHERE id = r;
  END IF;
END $$;
CREATE FUNCTION posts_of(r int) RETURNS SETOF posts LANGUAGE sql STABLE AS 'SELECT * FROM posts WHERE room_id = r';

CREATE TABLE counted (id int PRIMARY KEY, room_id int NOT NULL, slug int, x int);
CREATE FUNCTION count_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    UPDATE rooms SET total = total - 1 WHERE id = OLD.room_id;
    RETURN OLD;
  END IF;
  UPDATE rooms SET total = total + 1 WHERE id = NEW.room_id;
  RETURN NEW;
END $$;
CREATE TRIGGER counted_count AFTER INSERT OR DELETE ON counted FOR EACH ROW EXECUTE FUNCTION count_up();
CREATE FUNCTION slugify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.slug := NEW.x + 1;
  RETURN NEW;
END $$;
CREATE TRIGGER counted_slug BEFORE INSERT OR UPDATE ON counted FOR EACH ROW EXECUTE FUNCTION slugify();
`

var keysReads = []Statement{
	{Name: "User", Cmd: ":one", SQL: `SELECT name FROM users WHERE id = $1`, Notes: []string{"@cache user(p1)"}},
	{Name: "Room", Cmd: ":one", SQL: `SELECT slug, total FROM rooms WHERE id = $1`, Notes: []string{"@cache room(p1)"}, Outs: 2},
	{Name: "RoomBySlug", Cmd: ":one", SQL: `SELECT id FROM rooms WHERE slug = $1`, Notes: []string{"@cache slug(p1)"}},
	{Name: "Posts", Cmd: ":many", SQL: `SELECT body FROM posts WHERE room_id = $1`, Notes: []string{"@cache posts(p1)"}},
	{
		Name: "Authors", Cmd: ":many", SQL: `SELECT p.id, u.name FROM posts p JOIN users u ON u.id = p.user_id WHERE p.room_id = $1`, Outs: 2,
		Notes: []string{"@cache authors(p1)", "@via users: SELECT posts.room_id FROM posts WHERE posts.user_id = users.id"},
	},
	{
		Name: "Mine", Cmd: ":many", SQL: `SELECT p.id FROM rooms r JOIN posts p ON p.room_id = r.id WHERE r.owner_id = $1`,
		Notes: []string{"@cache mine(p1)", "@via posts: SELECT owner_id FROM rooms WHERE id = posts.room_id"},
	},
	{Name: "Event", Cmd: ":many", SQL: `SELECT x FROM events WHERE id = $1`, Notes: []string{"@cache event(p1)"}},
	{Name: "Event1", Cmd: ":many", SQL: `SELECT x FROM events_1 WHERE id = $1`, Notes: []string{"@cache event1(p1)"}},
	{Name: "Base", Cmd: ":many", SQL: `SELECT x FROM base WHERE id = $1`, Notes: []string{"@cache base(p1)"}},
	{Name: "Heir", Cmd: ":many", SQL: `SELECT y FROM heir WHERE id = $1`, Notes: []string{"@cache heir(p1)"}},
	{Name: "Counted", Cmd: ":many", SQL: `SELECT x FROM counted WHERE slug = $1`, Notes: []string{"@cache counted(p1)"}},
	{Name: "Node", Cmd: ":one", SQL: `SELECT x FROM nodes WHERE id = $1`, Notes: []string{"@cache node(p1)"}},
	{Name: "Nodes", Cmd: ":many", SQL: `SELECT x FROM nodes WHERE up = $1`, Notes: []string{"@cache nodes(p1)"}},
	{Name: "ByCall", Cmd: ":many", SQL: `SELECT body FROM posts_of($1::int)`, Notes: []string{"@cache called(p1)"}},
}

// TestDerivedKeys has writes and the keys that they invalidate; "!" begins what a
// refusal must say.
func TestDerivedKeys(t *testing.T) {
	t.Parallel()

	file := filepath.Join(t.TempDir(), "schema.sql")
	if err := os.WriteFile(file, []byte(keysDDL), 0o600); err != nil {
		t.Fatal(err)
	}
	reads := make([]Statement, len(keysReads))
	for i, r := range keysReads {
		r.Args = 1
		r.Outs = max(r.Outs, 1)
		reads[i] = r
	}
	for name, tc := range map[string]struct {
		cmd, sql   string
		args, outs int
		lists      []int
		want       string
	}{
		"IN":                               {":exec", `UPDATE users SET seen = 1, name = 2 WHERE id IN ($1, $2, 7)`, 2, 0, nil, "user(7) user($1) user($2) authors(look)"},
		"IN with an expression":            {":exec", `DELETE FROM loose WHERE id IN ($1, $2 + 1)`, 2, 0, nil, ""},
		"IN with another":                  {":exec", `DELETE FROM posts WHERE room_id IN ($1, $2 + 1)`, 2, 0, nil, "!doesn't tell room_id"},
		"rows of VALUES":                   {":exec", `INSERT INTO posts (id, room_id) VALUES ($1, $2), ($3, $4)`, 4, 0, nil, "posts($2) posts($4) authors($2) authors($4) mine(look) mine(look) called($2) called($4)"},
		"unnest":                           {":exec", `INSERT INTO posts (id, room_id) SELECT unnest($1::int[]), unnest($2::int[])`, 2, 0, []int{0, 1}, "posts(each $2) authors(each $2) mine(look) called(each $2)"},
		"from unnest":                      {":exec", `INSERT INTO posts (id, room_id) SELECT i, r FROM unnest($1::int[], $2::int[]) AS u(i, r)`, 2, 0, []int{0, 1}, "posts(each $2) authors(each $2) mine(look) called(each $2)"},
		"INSERT SELECT":                    {":exec", `INSERT INTO posts (id, room_id) SELECT $1, r.id FROM rooms r WHERE r.id = $2`, 2, 0, nil, "posts($2) authors($2) mine(look) called($2)"},
		"INSERT SELECT star":               {":exec", `INSERT INTO posts SELECT * FROM posts WHERE room_id = $1`, 1, 0, nil, "posts($1) authors($1) mine(look) called($1)"},
		"INSERT UNION":                     {":exec", `INSERT INTO posts (id, room_id) SELECT 1, $1::int UNION ALL SELECT 2, $2::int`, 2, 0, nil, "posts($1) posts($2) authors($1) authors($2) mine(look) mine(look) called($1) called($2)"},
		"SET from another table":           {":exec", `UPDATE posts SET room_id = r.id FROM rooms r WHERE r.id = $1 AND posts.room_id = $2`, 2, 0, nil, "posts($1) posts($2) authors($1) authors($2) mine(look) mine(look) called($1) called($2)"},
		"the old value, locked":            {":many", `WITH o AS (SELECT id, slug FROM rooms WHERE id = $1 FOR UPDATE) UPDATE rooms SET slug = $2 FROM o WHERE rooms.id = o.id RETURNING o.slug`, 2, 1, nil, "room($1) slug(out1) slug($2)"},
		"the old value, not locked":        {":many", `WITH o AS (SELECT id, slug FROM rooms WHERE id = $1) UPDATE rooms SET slug = $2 FROM o WHERE rooms.id = o.id RETURNING o.slug`, 2, 1, nil, "!what it was before"},
		"the old value of another row":     {":many", `WITH o AS (SELECT id, slug FROM rooms WHERE id = $1 FOR UPDATE) UPDATE rooms SET slug = $2 FROM o WHERE rooms.id = $3 RETURNING o.slug`, 3, 1, nil, "!what it was before"},
		"through a CTE":                    {":many", `WITH d AS (DELETE FROM posts WHERE id = $1 RETURNING room_id, id) SELECT d.id, d.room_id FROM d`, 1, 2, nil, "!by @via"},
		"through a CTE, filtered":          {":many", `WITH d AS (UPDATE posts SET body = 1 WHERE id = $1 RETURNING room_id) SELECT d.room_id FROM d WHERE d.room_id > 3`, 1, 1, nil, "!doesn't tell room_id"},
		"through a CTE, joined":            {":many", `WITH d AS (UPDATE posts SET body = 1 WHERE id = $1 RETURNING room_id) SELECT d.room_id, r.slug FROM d LEFT JOIN rooms r ON r.id = d.room_id`, 1, 2, nil, "called(out1) posts(out1)"},
		"from a CTE":                       {":exec", `WITH m AS (DELETE FROM loose WHERE user_id = $1 RETURNING *) INSERT INTO users (id, org_id) SELECT m.user_id, 1 FROM m`, 1, 0, nil, "user($1)"},
		"cascade with lookups":             {":exec", `DELETE FROM orgs WHERE name = $1`, 1, 0, nil, "user(look) room(look) slug(look) posts(look) authors(look) mine(look) called(look)"},
		"a tree":                           {":one", `DELETE FROM nodes WHERE id = $1 RETURNING up`, 1, 1, nil, "node($1) node(look) nodes(out1) nodes(look)"},
		"a condition on others":            {":exec", `DELETE FROM orgs WHERE name IN (SELECT x FROM loose)`, 0, 0, nil, "!doesn't tell"},
		"via children":                     {":exec", `UPDATE users SET name = $2 WHERE id = $1`, 2, 0, nil, "user($1) authors(look)"},
		"via, not used":                    {":exec", `UPDATE users SET seen = $2 WHERE id = $1`, 2, 0, nil, ""},
		"via, a new row":                   {":exec", `INSERT INTO users (id, org_id, name) VALUES ($1, $2, $3)`, 3, 0, nil, "user($1)"},
		"via, an upsert":                   {":exec", `INSERT INTO users (id, org_id, name) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET name = excluded.name`, 3, 0, nil, "user($1) authors(look)"},
		"via, an upsert of the other side": {":one", `INSERT INTO posts (id, room_id, body) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET body = excluded.body RETURNING room_id`, 3, 1, nil, "posts(out1) authors(out1) called(out1) mine(look)"},
		"OR":                               {":exec", `UPDATE base SET x = 0 WHERE id = $1 OR $2 = id`, 2, 0, nil, "base($1) base($2) heir($1) heir($2)"},
		"OR of two columns":                {":exec", `UPDATE base SET x = 0 WHERE id = $1 OR x = $2`, 2, 0, nil, "!doesn't tell id"},
		"a scalar sub-select":              {":one", `UPDATE posts SET body = 1 WHERE id = (SELECT p.id FROM posts p WHERE p.room_id = $1 LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING room_id`, 1, 1, nil, "called(out1) posts(out1)"},
		"a correlated sub-select":          {":one", `UPDATE posts SET body = 1 WHERE id = (SELECT max(p.id) FROM posts p WHERE p.room_id = posts.room_id) RETURNING room_id`, 0, 1, nil, "!:one returns only the first"},
		"one row by another table":         {":one", `UPDATE posts SET body = 1 FROM rooms r WHERE r.slug = $1 AND posts.id = r.total RETURNING posts.room_id`, 1, 1, nil, "called(out1) posts(out1)"},
		"NULL before":                      {":exec", `UPDATE rooms SET slug = $2, touched = 1 WHERE id = $1 AND slug IS NULL`, 2, 0, nil, "room($1) slug($2)"},
		"the same row, locked":             {":exec", `UPDATE rooms SET slug = $1 WHERE id IN (SELECT r.id FROM rooms r WHERE r.slug = $2 AND r.id = $3 FOR UPDATE SKIP LOCKED)`, 3, 0, nil, "room($3) slug($1) slug($2)"},
		"an equal column, returned":        {":many", `UPDATE rooms SET slug = 5 FROM loose l WHERE rooms.slug = l.x AND rooms.id = $1 RETURNING l.x`, 1, 1, nil, "room($1) slug(5) slug(out1)"},
		"values of unnest":                 {":exec", `UPDATE base SET x = v.x FROM (SELECT unnest($1::int[]) AS id, unnest($2::int[]) AS x) v WHERE base.id = v.id`, 2, 0, []int{0, 1}, "base(each $1) heir(each $1)"},
		"a CTE with a key of the database": {":one", `WITH w AS (INSERT INTO rooms (id, owner_id, slug) SELECT max(id) + 1, $1, 7 FROM rooms RETURNING id, slug), p AS (INSERT INTO counted (id, room_id, slug) SELECT 1, w.id, 3 FROM w) SELECT w.id, w.slug FROM w`, 1, 2, nil, "!counted"},
		"TRUNCATE":                         {":exec", `TRUNCATE posts`, 0, 0, nil, "posts(*) authors(*) mine(*) called(*)"},
		"TRUNCATE CASCADE":                 {":exec", `TRUNCATE rooms CASCADE`, 0, 0, nil, "room(*) slug(*) mine(*) posts(*) authors(*) called(*)"},
		"MERGE":                            {":exec", `MERGE INTO loose USING (SELECT $1::int AS id) s ON loose.id = s.id WHEN MATCHED THEN DELETE`, 1, 0, nil, ""},
		"MERGE of a mapped table":          {":exec", `MERGE INTO base USING (VALUES ($1::int, $2::int)) s(id, x) ON base.id = s.id WHEN MATCHED THEN UPDATE SET x = s.x WHEN NOT MATCHED THEN INSERT (id, x) VALUES (s.id, s.x)`, 2, 0, nil, "base($1) heir($1)"},
		"MERGE by source":                  {":exec", `MERGE INTO base USING (SELECT $1::int AS id) s ON base.id = s.id WHEN NOT MATCHED BY SOURCE THEN DELETE`, 1, 0, nil, "!doesn't tell id"},
		"a view":                           {":exec", `UPDATE open_rooms SET touched = 1, total = 2 WHERE id = $1`, 1, 0, nil, "room($1)"},
		"a partitioned table":              {":exec", `UPDATE events SET x = 1 WHERE id = $1`, 1, 0, nil, "event($1) event1($1)"},
		"a partition":                      {":exec", `DELETE FROM events_1 WHERE id = $1`, 1, 0, nil, "event($1) event1($1)"},
		"moving to a partition":            {":exec", `UPDATE events SET day = 3 WHERE id = $1`, 1, 0, nil, "event1($1)"},
		"an heir":                          {":exec", `UPDATE heir SET x = 1 WHERE id = $1`, 1, 0, nil, "base($1)"},
		"an inherited key":                 {":one", `DELETE FROM base WHERE x = $1 AND id > 3 RETURNING id`, 1, 1, nil, "!:one returns only the first"},
		"a function in SQL":                {":exec", `SELECT add_post($1, $2)`, 2, 1, nil, "posts($2) authors($2) mine(look) called($2)"},
		"a function, an expression":        {":exec", `SELECT add_post($1, $2 + 1)`, 2, 1, nil, "!doesn't tell room_id"},
		"a function in PL/pgSQL":           {":exec", `SELECT rename($1, 3)`, 1, 1, nil, ""},
		"a trigger":                        {":exec", `INSERT INTO counted (id, room_id, x) VALUES ($1, $2, $3)`, 3, 0, nil, "!a trigger assigns it"},
		"a trigger, returned":              {":one", `INSERT INTO counted (id, room_id, x) VALUES ($1, $2, $3) RETURNING slug`, 3, 1, nil, "room($2) counted(out1)"},
		"a trigger, deleted":               {":many", `DELETE FROM counted WHERE id = $1 RETURNING slug, room_id`, 1, 2, nil, "room(out2) counted(out1)"},
		"a trigger, unknown":               {":many", `DELETE FROM counted WHERE id = $1 RETURNING slug`, 1, 1, nil, "!by trigger counted_count"},
		"LIMIT is no condition":            {":exec", `UPDATE rooms SET total = 1 WHERE id IN (SELECT id FROM rooms WHERE id = $1 LIMIT 1)`, 1, 0, nil, "room($1)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			ddl, err := ReadSchema(file) // its own: what is found out about a schema is kept in it
			if err != nil {
				t.Fatal(err)
			}
			all := append(append([]Statement{}, reads...), Statement{Name: "Write", Cmd: tc.cmd, SQL: tc.sql, Args: tc.args, Lists: tc.lists, Outs: tc.outs})
			got, err := ddl.Derive(all)
			if want, refused := strings.CutPrefix(tc.want, "!"); refused {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s\nDerive = %v, %v; want a refusal that says %q", tc.sql, keyStrings(got["Write"]), err, want)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s\n%v", tc.sql, err)
			}
			want := strings.Fields(strings.ReplaceAll(tc.want, "each ", "each_"))
			sort.Strings(want)
			if diff := cmp.Diff(slices.Compact(want), slices.Compact(keyStrings(got["Write"]))); diff != "" {
				t.Errorf("%s (-want +got)\n%s", tc.sql, diff)
			}
		})
	}
}

func keyStrings(keys []DerivedKey) []string {
	out := []string{}
	for _, k := range keys {
		if k.Whole {
			out = append(out, k.Group+"(*)")
			continue
		}
		var parts []string
		for _, p := range k.Parts {
			switch p.From {
			case "argument":
				parts = append(parts, fmt.Sprintf("$%d", p.N+1))
			case "element":
				parts = append(parts, fmt.Sprintf("each_$%d", p.N+1))
			case "column":
				parts = append(parts, fmt.Sprintf("out%d", p.N+1))
			case "lookup":
				parts = append(parts, "look")
			default:
				parts = append(parts, p.Text)
			}
		}
		out = append(out, fmt.Sprintf("%s(%s)", k.Group, strings.Join(parts, ",")))
	}
	sort.Strings(out)
	return out
}
