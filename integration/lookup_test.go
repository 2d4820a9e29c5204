package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/pgfence"
	trees "github.com/pgaside/pgaside/internal/gen/testdata/cascade_lookup/want"
	functionsrepo "github.com/pgaside/pgaside/internal/gen/testdata/functions/repo"
	"github.com/pgaside/pgaside/internal/gen/testdata/functions/want"
	voids "github.com/pgaside/pgaside/internal/gen/testdata/merge/want"
	triggersrepo "github.com/pgaside/pgaside/internal/gen/testdata/triggers/repo"
	counts "github.com/pgaside/pgaside/internal/gen/testdata/triggers/want"
	valuesrepo "github.com/pgaside/pgaside/internal/gen/testdata/values/repo"
	values "github.com/pgaside/pgaside/internal/gen/testdata/values/want"
	viasrepo "github.com/pgaside/pgaside/internal/gen/testdata/via/repo"
	vias "github.com/pgaside/pgaside/internal/gen/testdata/via/want"
)

// These tests run generated packages of the generator's own test cases on real servers: what a write finds out by looking
// under locks, what its triggers and functions do, and what voids a whole group.

// caseWorld is a world with the schema of a case in the place of the application's.
func caseWorld(t *testing.T, name string) *world {
	t.Helper()
	w := newWorld(t)
	ddl, err := os.ReadFile("../internal/gen/testdata/" + name + "/schema.sql")
	require.NoError(t, err)
	w.exec("drop schema public cascade")
	w.exec("create schema public")
	w.exec(string(ddl))
	return w
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	_, err := w.pool.Exec(w.t.Context(), sql, args...)
	require.NoError(w.t, err, sql)
}

// waits reports whether a statement has to wait for somebody's lock.
func (w *world) waits(sql string, args ...any) bool {
	w.t.Helper()
	err := pgx.BeginFunc(w.t.Context(), w.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(w.t.Context(), "set local lock_timeout = '50ms'"); err != nil {
			return err
		}
		if _, err := tx.Exec(w.t.Context(), sql, args...); err != nil {
			return err
		}
		return errBoom // nothing of it is to stay
	})
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == "55P03" {
		return true
	}
	require.ErrorIs(w.t, err, errBoom, sql)
	return false
}

// atFence is a cache whose first write calls f between its fences and its COMMIT.
func atFence(f func()) func(*cache.Options) {
	done := false
	return func(o *cache.Options) {
		o.Failpoint = func(_ context.Context, name string) {
			if name == "after-fence" && !done {
				done = true
				f()
			}
		}
	}
}

// TestCascadesAreLookedUp: a DELETE that names a user takes with it what only the database knows.
func TestCascadesAreLookedUp(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := caseWorld(t, "cascade_lookup")
	user, session, message, bookmark, late := uuid.New(), uuid.New(), uuid.New(), uuid.New(), uuid.New()
	w.exec("insert into users values ($1, 'a')", user)
	w.exec("insert into sessions values ($1, $2)", session, user)
	w.exec("insert into messages values ($1, $2)", message, session)
	w.exec("insert into bookmarks values ($1, $2)", bookmark, session)

	q := trees.New(w.pool, w.open(atFence(func() {
		require.True(t, w.waits("insert into sessions values ($1, $2)", late, user), "a child can't come once the lookup has run")
	})))
	for range 2 {
		s, err := q.GetSession(ctx, session)
		require.NoError(t, err)
		ms, err := q.ListMessages(ctx, session)
		require.NoError(t, err)
		b, err := q.GetBookmark(ctx, bookmark)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(user, 1, session), fmt.Sprint(s.UserID, len(ms), *b.SessionID))
	}
	w.stored(ctx, w.redisKey("bookmark", bookmark), "GetBookmark")

	require.NoError(t, q.DeleteUser(ctx, user))
	_, err := q.GetSession(ctx, session)
	require.ErrorIs(t, err, pgx.ErrNoRows)
	ms, err := q.ListMessages(ctx, session)
	require.NoError(t, err)
	require.Empty(t, ms)
	b, err := q.GetBookmark(ctx, bookmark)
	require.NoError(t, err)
	require.Nil(t, b.SessionID)
}

// TestTreesAreLookedUp: a row that goes with its parent takes its own children with it, at any depth.
func TestTreesAreLookedUp(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := caseWorld(t, "cascade_lookup")
	q := trees.New(w.pool, w.open())
	ids := make([]uuid.UUID, 6)
	for i := range ids {
		ids[i] = uuid.New()
		var parent *uuid.UUID
		if i > 0 {
			parent = &ids[(i-1)/2]
		}
		w.exec("insert into nodes values ($1, $2, $3)", ids[i], parent, fmt.Sprint(i))
		_, err := q.GetNode(ctx, ids[i])
		require.NoError(t, err)
	}
	require.NoError(t, q.DeleteNode(ctx, ids[1]))
	for i, gone := range []bool{false, true, false, true, true, false} {
		_, err := q.GetNode(ctx, ids[i])
		require.Equal(t, gone, errors.Is(err, pgx.ErrNoRows), "node %d: %v", i, err)
	}
}

// TestViaIsLookedUp: a name that stands in the answers of several keys is changed in all of them, and nothing that would show
// it can come while the write is on its way.
func TestViaIsLookedUp(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := caseWorld(t, "via")
	user, other := uuid.New(), uuid.New()
	w.exec("insert into users values ($1, 'old'), ($2, 'other')", user, other)
	sessions := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	messages := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	for i, s := range sessions {
		w.exec("insert into sessions values ($1, $2, 's')", s, other)
		author := user
		if i == 2 {
			author = other
		}
		w.exec("insert into messages values ($1, $2, $3, 'm')", messages[i], s, author)
	}
	q := vias.New(w.pool, w.open(atFence(func() {
		require.True(t, w.waits("insert into messages values (gen_random_uuid(), $1, $2, 'late')", sessions[2], user), "a message of the user can't come")
		require.True(t, w.waits("update messages set session_id = $1 where id = $2", sessions[2], messages[0]), "nor move")
		require.False(t, w.waits("update messages set body = 'x' where id = $1", messages[2]), "others are free")
	})))
	names := func() (out []string) {
		for _, s := range sessions {
			rows, err := q.ListMessages(ctx, s)
			require.NoError(t, err)
			for _, r := range rows {
				out = append(out, r.Name)
			}
		}
		return out
	}
	require.Equal(t, []string{"old", "old", "other"}, names())
	require.NoError(t, q.RenameUser(ctx, viasrepo.RenameUserParams{ID: user, Name: "new"}))
	require.Equal(t, []string{"new", "new", "other"}, names())

	// Through two tables.
	list := func() int {
		rows, err := q.ListBodies(ctx, other)
		require.NoError(t, err)
		return len(rows)
	}
	require.Equal(t, 0, list())
	require.NoError(t, q.AddAttachment(ctx, viasrepo.AddAttachmentParams{ID: uuid.New(), MessageID: messages[0], Name: "a"}))
	require.Equal(t, 1, list())
	require.NoError(t, q.AddMessage(ctx, viasrepo.AddMessageParams{ID: uuid.New(), SessionID: sessions[0], AuthorID: user, Body: "b"}))
	require.NoError(t, q.DeleteAttachments(ctx, messages))
	require.Equal(t, 0, list())
}

// TestRowsAppeared: a row that comes between a lookup and its statement is seen, and the write is not committed with what the
// lookup has found.
func TestRowsAppeared(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := caseWorld(t, "cascade_lookup")
	group := cache.NewGroup[uuid.UUID]("session", cache.GroupOptions{})
	user := uuid.New()
	db := pgfence.New(w.pool, w.open(), pgfence.Statements{}).LookUp(pgfence.Lookup{
		SQL: "select id from users where name = $1 for update", Args: []any{"a"}, Bound: true,
		Keys: func(scan func(...any) error) ([]cache.Key, error) {
			var id uuid.UUID
			err := scan(&id)
			return []cache.Key{group.Key(id)}, err
		},
	})
	tries := 0
	write := func(ctx context.Context, d pgfence.DBTX) ([]cache.Key, error) {
		if tries++; tries == 1 {
			w.exec("insert into users values ($1, 'a')", user)
		}
		_, err := d.Exec(ctx, "delete from users where name = 'a'")
		return nil, err
	}
	require.NoError(t, pgfence.Exec(ctx, db, write))
	require.Equal(t, 2, tries, "tried again after a row has come")

	tries = 0
	err := db.InTx(ctx, pgx.TxOptions{}, func(tx *pgfence.DB) error {
		err := pgfence.Exec(ctx, tx.LookUp(pgfence.Lookup{SQL: "select from users where name = 'a' for update", Bound: true}), write)
		require.ErrorIs(t, err, pgfence.ErrRowsAppeared)
		return nil // whoever takes no notice of it
	})
	require.ErrorIs(t, err, pgfence.ErrRowsAppeared)
	var left int
	require.NoError(t, w.pool.QueryRow(ctx, "select count(*) from users").Scan(&left))
	require.Equal(t, 1, left, "nothing was committed")

	// A lookup that fails fails the write.
	broken := db.LookUp(pgfence.Lookup{SQL: "select from nowhere"})
	require.ErrorContains(t, pgfence.Exec(ctx, broken, write), "looking up what a write changes")
	require.NoError(t, w.pool.QueryRow(ctx, "select count(*) from users").Scan(&left))
	require.Equal(t, 1, left)
}

// TestTriggersAreFollowed: a message counts up in its session by a trigger, which leaves a trace as well.
func TestTriggersAreFollowed(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := caseWorld(t, "triggers")
	q := counts.New(w.pool, w.open())
	session, message := uuid.New(), uuid.New()
	slug, err := q.AddSession(ctx, triggersrepo.AddSessionParams{ID: session, Title: "My Day"})
	require.NoError(t, err)
	require.Equal(t, "my-day", slug)
	state := func() string {
		s, err := q.GetSession(ctx, session)
		require.NoError(t, err)
		a, err := q.ListAudit(ctx, session)
		require.NoError(t, err)
		return fmt.Sprint(s.MessageCount, len(a))
	}
	require.Equal(t, "0 0", state())
	require.NoError(t, q.AddMessage(ctx, triggersrepo.AddMessageParams{ID: message, SessionID: session, Body: "b"}))
	require.Equal(t, "1 1", state())
	_, err = q.DeleteMessage(ctx, message)
	require.NoError(t, err)
	require.Equal(t, "0 1", state())
}

// TestFunctionsAreFollowed: what a function in SQL or PL/pgSQL writes is invalidated by its arguments.
func TestFunctionsAreFollowed(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := caseWorld(t, "functions")
	q := want.New(w.pool, w.open())
	session := uuid.New()
	w.exec("insert into sessions values ($1, gen_random_uuid(), 'old')", session)
	titles := func() (out []string) {
		rows, err := q.ListMessages(ctx, session)
		require.NoError(t, err)
		for _, r := range rows {
			out = append(out, r.Title)
		}
		return out
	}
	require.Empty(t, titles())
	require.NoError(t, q.AddMessage(ctx, functionsrepo.AddMessageParams{ID: uuid.New(), Session: session, Body: "b"}))
	require.Equal(t, []string{"old"}, titles())
	require.NoError(t, q.Rename(ctx, functionsrepo.RenameParams{Session: session, ToTitle: "new"}))
	require.Equal(t, []string{"new"}, titles())
	require.NoError(t, q.Clear(ctx, session))
	require.Empty(t, titles())
}

// TestWholeGroupsAreVoided: TRUNCATE, and a write that says group(*), void every key of a group.
func TestWholeGroupsAreVoided(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := caseWorld(t, "merge")
	q := voids.New(w.pool, w.open())
	w.exec("insert into stock values ('a', 'w', 1), ('b', 'w', 2)")
	w.exec("insert into staging values ('a', 10)")
	state := func() (out string) {
		for _, sku := range []string{"a", "b"} {
			s, err := q.GetStock(ctx, sku)
			if !errors.Is(err, pgx.ErrNoRows) {
				require.NoError(t, err)
			}
			_, err = q.GetStaged(ctx, sku)
			out += fmt.Sprint(s.Quantity, errors.Is(err, pgx.ErrNoRows), " ")
		}
		return out
	}
	require.Equal(t, "1 false 2 true ", state())
	require.NoError(t, q.Restock(ctx))
	require.Equal(t, "11 false 2 true ", state())
	require.NoError(t, q.ClearStaging(ctx))
	require.Equal(t, "11 true 2 true ", state())
	require.NoError(t, q.InTx(ctx, pgx.TxOptions{}, func(q *voids.Queries) error { return q.ClearStock(ctx) }))
	require.Equal(t, "0 true 0 true ", state())
}

// TestOldValueComesFromALockedRead: a session is given away, and both owners' lists show it.
func TestOldValueComesFromALockedRead(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := caseWorld(t, "values")
	q := values.New(w.pool, w.open())
	session, old, next := uuid.New(), uuid.New(), uuid.New()
	w.exec("insert into sessions values ($1, $2, 't')", session, old)
	lengths := func() string {
		a, err := q.ListSessions(ctx, old)
		require.NoError(t, err)
		b, err := q.ListSessions(ctx, next)
		require.NoError(t, err)
		return fmt.Sprint(len(a), len(b))
	}
	require.Equal(t, "1 0", lengths())
	was, err := q.GiveAway(ctx, valuesrepo.GiveAwayParams{ID: session, NewUserID: next})
	require.NoError(t, err)
	require.Equal(t, old, was)
	require.Equal(t, "0 1", lengths())
}
