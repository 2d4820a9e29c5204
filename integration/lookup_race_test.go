package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/pgfence"
	"github.com/pgaside/pgaside/internal/gen"
)

// These tests run the lookups of statements that are given as text, with what another transaction does in between.

const raceDDL = `
CREATE TABLE orgs (id int PRIMARY KEY, name int);
CREATE TABLE users (id int PRIMARY KEY, org_id int REFERENCES orgs ON DELETE CASCADE, name int, email int UNIQUE);
CREATE TABLE rooms (id int PRIMARY KEY, owner_id int NOT NULL, name int);
CREATE TABLE posts (id int PRIMARY KEY, room_id int REFERENCES rooms, user_id int NOT NULL REFERENCES users, open int, body int);
CREATE TABLE stars (id int PRIMARY KEY, post_id int NOT NULL REFERENCES posts, fan_id int NOT NULL);
CREATE TABLE nodes (id int PRIMARY KEY, up int REFERENCES nodes ON DELETE CASCADE, x int);
CREATE TABLE threads (a int, b int, owner_id int, PRIMARY KEY (a, b));
CREATE TABLE notes (id int PRIMARY KEY, a int, b int, body int, FOREIGN KEY (a, b) REFERENCES threads);
`

// race is a write with its lookups.
type race struct {
	*world
	ls    []pgfence.Lookup
	sql   string
	args  []any
	found map[string]bool // the keys

	between func() // runs between the lookups and the statement
}

// newRace makes the lookups of a write; refused is what the generator says instead.
func newRace(t *testing.T, read, write gen.Statement, args ...any) (r *race, refused error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "schema.sql")
	require.NoError(t, os.WriteFile(file, []byte(raceDDL), 0o600))
	ddl, err := gen.ReadSchema(file)
	require.NoError(t, err)
	read.Name, read.Outs, write.Name, write.Cmd, write.Args = "Read", max(read.Outs, 1), "Write", ":exec", len(args)
	read.Args = 1
	keys, err := ddl.Derive([]gen.Statement{read, write})
	if err != nil {
		return nil, err
	}
	require.NotEmpty(t, keys["Write"])
	r = &race{world: newWorld(t), sql: write.SQL, args: args, found: map[string]bool{}}
	r.exec("drop schema public cascade")
	r.exec("create schema public")
	r.exec(raceDDL)
	group := cache.NewGroup[int32]("g", cache.GroupOptions{})
	for _, l := range keys["Write"][0].Locks {
		look := pgfence.Lookup{SQL: l.SQL, Fresh: l.Fresh, UntilAll: l.Tree, Bound: l.Bound, After: l.After}
		for _, n := range l.Args {
			look.Args = append(look.Args, args[n])
		}
		for _, k := range keys["Write"] {
			if k.Lookup != nil && k.Lookup.SQL == l.SQL {
				look.Keys = func(scan func(...any) error) ([]cache.Key, error) {
					n := strings.Count(strings.SplitN(l.SQL, "FROM", 2)[0], ",") + 1
					if l.Tree {
						n -= 2 // what identifies a row
					}
					cols := make([]*int32, n)
					dest := make([]any, len(cols))
					for i := range cols {
						dest[i] = &cols[i]
					}
					if err := scan(dest...); err != nil || cols[k.Parts[0].N] == nil {
						return nil, err
					}
					r.found[fmt.Sprint(*cols[k.Parts[0].N])] = true
					return []cache.Key{group.Key(*cols[k.Parts[0].N])}, nil
				}
			}
		}
		r.ls = append(r.ls, look)
	}
	return r, nil
}

func (r *race) write(ctx context.Context, db *pgfence.DB) error {
	return pgfence.Exec(ctx, db.LookUp(r.ls...), func(ctx context.Context, d pgfence.DBTX) ([]cache.Key, error) {
		if r.between != nil {
			r.between()
		}
		_, err := d.Exec(ctx, r.sql, r.args...)
		return nil, err
	})
}

// TestNothingComesToShowAChangedRow: what would show the changed row under another key than those that were found has to wait
// for the write, or else its key is among them.
func TestNothingComesToShowAChangedRow(t *testing.T) {
	t.Parallel()
	rename := gen.Statement{SQL: "UPDATE users SET name = $2 WHERE id = $1"}
	for name, tc := range map[string]struct {
		read, write gen.Statement
		args        []any
		rows        string
		meanwhile   string
	}{
		"a row that has nothing below it yet": {
			read: gen.Statement{
				Cmd: ":many", SQL: "SELECT u.name FROM stars s JOIN posts p ON p.id = s.post_id JOIN users u ON u.id = p.user_id WHERE s.fan_id = $1",
				Notes: []string{
					"@cache g(p1)", "@via users: SELECT s.fan_id FROM posts p JOIN stars s ON s.post_id = p.id WHERE p.user_id = users.id",
					"@via posts: SELECT fan_id FROM stars WHERE post_id = posts.id",
				},
			},
			write: rename, args: []any{1, 5}, rows: "insert into users values (1); insert into posts values (1, null, 1)",
			meanwhile: "insert into stars values (1, 1, 7)",
		},
		"a row that refers to nothing yet": {
			read: gen.Statement{
				Cmd: ":many", SQL: "SELECT u.name FROM rooms r JOIN posts p ON p.room_id = r.id JOIN users u ON u.id = p.user_id WHERE r.owner_id = $1",
				Notes: []string{
					"@cache g(p1)", "@via users: SELECT r.owner_id FROM posts p JOIN rooms r ON r.id = p.room_id WHERE p.user_id = users.id",
					"@via posts: SELECT owner_id FROM rooms WHERE id = posts.room_id",
				},
			},
			write: rename, args: []any{1, 5}, rows: "insert into users values (1); insert into rooms values (1, 7); insert into posts values (1, null, 1)",
			meanwhile: "update posts set room_id = 1 where id = 1",
		},
		"a row that doesn't meet a condition yet": {
			read: gen.Statement{
				Cmd: ":many", SQL: "SELECT u.name FROM posts p JOIN users u ON u.id = p.user_id WHERE p.room_id = $1 AND p.open = 1",
				Notes: []string{"@cache g(p1)", "@via users: SELECT p.room_id FROM posts p WHERE p.user_id = users.id AND p.open = 1"},
			},
			write: rename, args: []any{1, 5}, rows: "insert into users values (1); insert into rooms values (1, 7); insert into posts values (1, 1, 1, 0)",
			meanwhile: "update posts set open = 1 where id = 1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := newRace(t, tc.read, tc.write, tc.args...)
			if err != nil {
				require.ErrorContains(t, err, "does more than compare columns")
				return
			}
			r.exec(tc.rows)
			waited := false
			db := pgfence.New(r.pool, r.open(func(o *cache.Options) {
				o.Failpoint = func(_ context.Context, name string) {
					if name == "after-fence" {
						waited = waited || r.waits(tc.meanwhile)
					}
				}
			}), pgfence.Statements{})
			err = db.InTx(t.Context(), pgx.TxOptions{}, func(tx *pgfence.DB) error {
				if err := r.write(t.Context(), tx); err != nil {
					return err
				}
				waited = r.waits(tc.meanwhile)
				return nil
			})
			require.NoError(t, err)
			require.True(t, waited, "%v; %s", r.found, tc.meanwhile)
		})
	}
}

// TestOldSnapshotHidesRows: at REPEATABLE READ a post that came after the snapshot shows the user, and can't be looked up.
func TestOldSnapshotHidesRows(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	r, err := newRace(t, gen.Statement{
		Cmd: ":many", SQL: "SELECT u.name FROM posts p JOIN users u ON u.id = p.user_id WHERE p.room_id = $1",
		Notes: []string{"@cache g(p1)", "@via users: SELECT p.room_id FROM posts p WHERE p.user_id = users.id"},
	}, gen.Statement{SQL: "UPDATE users SET name = $2 WHERE id = $1"}, 1, 5)
	require.NoError(t, err)
	r.exec("insert into users values (1); insert into rooms values (1, 7)")
	db := pgfence.New(r.pool, r.open(), pgfence.Statements{})
	for _, level := range []pgx.TxIsoLevel{pgx.RepeatableRead, pgx.Serializable, pgx.ReadCommitted} {
		err := db.InTx(ctx, pgx.TxOptions{IsoLevel: level}, func(tx *pgfence.DB) error {
			_, err := tx.Tx().Exec(ctx, "select 1 from users")
			require.NoError(t, err)
			r.exec("insert into posts select coalesce(max(id), 0) + 1, 1, 1 from posts")
			return r.write(ctx, tx)
		})
		if level == pgx.ReadCommitted {
			require.NoError(t, err)
			require.True(t, r.found["1"])
			continue
		}
		require.True(t, errors.Is(err, pgfence.ErrOldSnapshot) || r.found["1"], "%s: %v", level, err)
	}
	// What Postgres itself follows by a foreign key, it doesn't follow past its snapshot.
	r2, err := newRace(t, gen.Statement{Cmd: ":one", SQL: "SELECT name FROM users WHERE id = $1", Notes: []string{"@cache g(p1)"}},
		gen.Statement{SQL: "DELETE FROM orgs WHERE id = $1"}, 1)
	require.NoError(t, err)
	r2.exec("insert into orgs values (1)")
	db = pgfence.New(r2.pool, r2.open(), pgfence.Statements{})
	err = db.InTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx *pgfence.DB) error {
		_, err := tx.Tx().Exec(ctx, "select 1 from users")
		require.NoError(t, err)
		r2.exec("insert into users values (1, 1)")
		return r2.write(ctx, tx)
	})
	require.ErrorContains(t, err, "40001")
}

// TestAParentComesBeforeItsChild: what a row refers to is committed when the lookups have run, and before the row is written.
func TestAParentComesBeforeItsChild(t *testing.T) {
	t.Parallel()
	for write, between := range map[string]string{
		"INSERT INTO posts (id, room_id, user_id) VALUES (1, $1, 1)": "insert into rooms values (3, 7)",
		"UPDATE posts SET body = 1 WHERE room_id = $1":               "insert into rooms values (3, 7); insert into posts values (1, 3, 1)",
		"DELETE FROM posts WHERE room_id = $1":                       "insert into rooms values (3, 7); insert into posts values (1, 3, 1)",
		"UPDATE posts SET room_id = NULL WHERE room_id = $1":         "insert into rooms values (3, 7); insert into posts values (1, 3, 1)",
	} {
		r, err := newRace(t, gen.Statement{
			Cmd: ":many", SQL: "SELECT p.body FROM posts p JOIN rooms r ON r.id = p.room_id WHERE r.owner_id = $1",
			Notes: []string{"@cache g(p1)", "@via posts: SELECT owner_id FROM rooms WHERE id = posts.room_id"},
		}, gen.Statement{SQL: write}, 3)
		require.NoError(t, err)
		r.exec("insert into users values (1)")
		r.between = func() { r.exec(between) }
		require.NoError(t, r.write(t.Context(), pgfence.New(r.pool, r.open(), pgfence.Statements{})))
		require.True(t, r.found["7"], "%s: %v", write, r.found)
	}
}

// TestATreeGrowsWhileItIsLookedUp: while one node leaves the tree another one comes, and gets a child while it is locked. As
// many are found as before, and they aren't all.
func TestATreeGrowsWhileItIsLookedUp(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	r, err := newRace(t, gen.Statement{Cmd: ":one", SQL: "SELECT x FROM nodes WHERE id = $1", Notes: []string{"@cache g(p1)"}},
		gen.Statement{SQL: "DELETE FROM nodes WHERE id = $1"}, 1)
	require.NoError(t, err)
	r.exec("insert into nodes values (1, null), (2, 1), (3, 2), (5, 1), (9, null)")
	meanwhile := func(sql string) (commit func()) {
		tx, err := r.pool.Begin(ctx)
		require.NoError(t, err)
		_, err = tx.Exec(ctx, sql)
		require.NoError(t, err)
		return func() { require.NoError(t, tx.Commit(ctx)) }
	}
	waiting := func(sql string) { // until the write waits for somebody
		require.Eventually(t, func() bool {
			var n int
			err := r.pool.QueryRow(ctx, "select count(*) from pg_stat_activity b join pg_stat_activity a on b.pid = any(pg_blocking_pids(a.pid)) where b.query = $1", sql).Scan(&n)
			return err == nil && n > 0
		}, 10*time.Second, 5*time.Millisecond)
	}
	const leave, come = "update nodes set up = 9 where id = 2", "insert into nodes values (7, 6)"
	leaves := meanwhile(leave)
	done := make(chan error, 1)
	go func() { done <- r.write(ctx, pgfence.New(r.pool, r.open(), pgfence.Statements{})) }()
	waiting(leave)
	r.exec("insert into nodes values (6, 5)")
	comes := meanwhile(come)
	leaves()
	waiting(come)
	comes()
	require.NoError(t, <-done)
	require.Subset(t, r.found, map[string]bool{"5": true, "6": true, "7": true})
}
