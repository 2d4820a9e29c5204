package integration

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/pgfence"
	batchrepo "github.com/pgaside/pgaside/internal/gen/testdata/batch_write/repo"
	batched "github.com/pgaside/pgaside/internal/gen/testdata/batch_write/want"
)

// load makes the world's database one of another schema: that of a golden folder of the generator.
func (w *world) load(ctx context.Context, folder string) {
	w.t.Helper()
	ddl, err := os.ReadFile("../internal/gen/testdata/" + folder + "/schema.sql")
	require.NoError(w.t, err)
	_, err = w.pool.Exec(ctx, "drop schema public cascade; create schema public")
	require.NoError(w.t, err)
	_, err = w.pool.Exec(ctx, string(ddl))
	require.NoError(w.t, err)
}

// batchWorld has sessions of two users, each with a message, and every read of them in the cache.
type batchWorld struct {
	*world
	ctx   context.Context
	users [2]uuid.UUID
	ids   [2][2]uuid.UUID // sessions of a user
	q     *batched.Queries
	other *batched.Queries // another process
	c     *cache.Cache
}

func newBatchWorld(t *testing.T, pool func(*pgxpool.Config), change func(*cache.Options), opts ...worldOption) *batchWorld {
	t.Helper()
	w := &batchWorld{world: newWorld(t, opts...), ctx: t.Context()}
	w.load(w.ctx, "batch_write")
	for u := range w.users {
		w.users[u] = uuid.New()
		for s := range w.ids[u] {
			w.ids[u][s] = uuid.New()
			_, err := w.pool.Exec(w.ctx, "insert into sessions (id, user_id, title) values ($1, $2, 'first')", w.ids[u][s], w.users[u])
			require.NoError(t, err)
			_, err = w.pool.Exec(w.ctx, "insert into messages (session_id, body) values ($1, $2)", w.ids[u][s], w.ids[u][s].String())
			require.NoError(t, err)
		}
	}
	w.c = w.open(change)
	w.q = batched.New(w.poolOf(pool), w.c)
	w.other = batched.New(w.pool, w.open())
	return w
}

func sameConfig(*pgxpool.Config)   {}
func sameOptions(o *cache.Options) { _ = o }

// key is the Redis key of a group's member and the cell that is in it.
type batchCell struct{ key, query string }

func (w *batchWorld) session(u, s int) batchCell {
	return batchCell{w.redisKey("session", w.ids[u][s]), "GetSession"}
}

func (w *batchWorld) list(u int) batchCell {
	return batchCell{w.redisKey("session_list", w.users[u]), "ListSessions"}
}

func (w *batchWorld) report(u, s int) batchCell {
	return batchCell{w.redisKey("report", w.users[u], w.ids[u][s]), "Report"}
}

func (w *batchWorld) messages(u, s int) batchCell {
	return batchCell{w.redisKey("message", w.ids[u][s]), "ListMessages"}
}

func (w *batchWorld) cells() (out []batchCell) {
	for u := range w.users {
		out = append(out, w.list(u))
		for s := range w.ids[u] {
			out = append(out, w.session(u, s), w.report(u, s), w.messages(u, s))
		}
	}
	return out
}

// state is everything that the reads say.
type batchState struct {
	Sessions map[uuid.UUID]string
	Lists    map[uuid.UUID][]string
	Reports  map[uuid.UUID]string
	Messages map[uuid.UUID][]string
}

func (w *batchWorld) read(q batched.QueryRepository) batchState {
	w.t.Helper()
	st := batchState{map[uuid.UUID]string{}, map[uuid.UUID][]string{}, map[uuid.UUID]string{}, map[uuid.UUID][]string{}}
	for u, user := range w.users {
		rows, err := q.ListSessions(w.ctx, user)
		require.NoError(w.t, err)
		for _, r := range rows {
			st.Lists[user] = append(st.Lists[user], r.ID.String()+r.Title)
		}
		for _, id := range w.ids[u] {
			row, err := q.GetSession(w.ctx, id)
			if !errors.Is(err, pgx.ErrNoRows) {
				require.NoError(w.t, err)
				st.Sessions[id] = row.Title
			}
			title, err := q.Report(w.ctx, batchrepo.ReportParams{UserID: user, ID: id})
			if !errors.Is(err, pgx.ErrNoRows) {
				require.NoError(w.t, err)
				st.Reports[id] = title
			}
			messages, err := q.ListMessages(w.ctx, id)
			require.NoError(w.t, err)
			for _, m := range messages {
				st.Messages[id] = append(st.Messages[id], m.Body)
			}
		}
	}
	return st
}

// warm stores every cell.
func (w *batchWorld) warm() {
	w.t.Helper()
	for _, c := range w.cells() {
		w.unfenced(w.ctx, c.key)
	}
	eventually(w.t, "every cell is stored", func() bool {
		w.read(w.other)
		for _, c := range w.cells() {
			if !strings.HasPrefix(w.fields(w.ctx, c.key)[c.query], "V") {
				return false
			}
		}
		return true
	})
}

// exact checks that the cells of changed are gone and all others are still there, and that everybody reads what is true.
func (w *batchWorld) exact(changed ...batchCell) {
	w.t.Helper()
	for _, c := range w.cells() {
		gone := false
		for _, x := range changed {
			gone = gone || x == c
		}
		require.Equal(w.t, gone, w.fields(w.ctx, c.key)[c.query] == "", "%v", c)
	}
	w.agree()
}

func (w *batchWorld) agree() {
	w.t.Helper()
	truth := w.read(batchrepo.New(w.pool))
	require.Equal(w.t, truth, w.read(w.q))
	require.Equal(w.t, truth, w.read(w.other))
}

// batchCase is one call, and what it changes.
type batchCase struct {
	name    string
	call    func(w *batchWorld, q batched.QueryRepository) []error // one for each item
	changed func(w *batchWorld) []batchCell
}

var batchCases = []batchCase{
	{"keys of arguments", func(w *batchWorld, q batched.QueryRepository) []error {
		return w.rename(q, "second", "second")
	}, func(w *batchWorld) []batchCell {
		return []batchCell{w.session(0, 0), w.report(0, 0), w.list(0), w.session(1, 0), w.report(1, 0), w.list(1)}
	}},
	{"the same, by Close", func(w *batchWorld, q batched.QueryRepository) []error {
		return []error{q.RenameSessions(w.ctx, w.renames("second", "second")).Close()}
	}, func(w *batchWorld) []batchCell {
		return []batchCell{w.session(0, 0), w.report(0, 0), w.list(0), w.session(1, 0), w.report(1, 0), w.list(1)}
	}},
	{"rows, one each", func(w *batchWorld, q batched.QueryRepository) (errs []error) {
		// What the caller does to the arguments afterwards is nothing to the batch, which has been sent.
		args := []batchrepo.RetitleSessionsParams{{ID: w.ids[0][1], Title: "second"}, {ID: w.ids[1][1], Title: "third"}}
		batch := q.RetitleSessions(w.ctx, args)
		args[0].ID, args[1].ID = uuid.Nil, uuid.Nil
		batch.QueryRow(func(i int, row batchrepo.RetitleSessionsRow, err error) {
			require.Equal(w.t, len(errs), i)
			require.Equal(w.t, batchrepo.RetitleSessionsRow{ID: w.ids[i][1], UserID: w.users[i], Title: []string{"second", "third"}[i]}, row)
			errs = append(errs, err)
		})
		return errs
	}, func(w *batchWorld) []batchCell {
		return []batchCell{w.session(0, 1), w.report(0, 1), w.list(0), w.session(1, 1), w.report(1, 1), w.list(1)}
	}},
	{"rows, one each, by Close", func(w *batchWorld, q batched.QueryRepository) []error {
		return []error{q.RetitleSessions(w.ctx, []batchrepo.RetitleSessionsParams{{ID: w.ids[0][1], Title: "second"}, {ID: w.ids[1][1], Title: "third"}}).Close()}
	}, func(w *batchWorld) []batchCell {
		return []batchCell{w.session(0, 1), w.report(0, 1), w.list(0), w.session(1, 1), w.report(1, 1), w.list(1)}
	}},
	{"one row of several", func(w *batchWorld, q batched.QueryRepository) (errs []error) {
		q.RetitleUsers(w.ctx, []batchrepo.RetitleUsersParams{{UserID: w.users[0], Title: "second"}, {UserID: uuid.New(), Title: "third"}}).
			QueryRow(func(i int, _ uuid.UUID, err error) {
				if i == 1 {
					require.ErrorIs(w.t, err, pgx.ErrNoRows)
					return
				}
				errs = append(errs, err)
			})
		return errs
	}, func(w *batchWorld) []batchCell {
		return []batchCell{w.session(0, 0), w.session(0, 1), w.report(0, 0), w.report(0, 1), w.list(0)}
	}},
	{"rows, many", func(w *batchWorld, q batched.QueryRepository) (errs []error) {
		q.DeleteMessages(w.ctx, w.bodies()).Query(func(i int, rows []batchrepo.Message, err error) {
			require.Equal(w.t, len(errs), i)
			require.Len(w.t, rows, []int{1, 0, 1}[i])
			errs = append(errs, err)
		})
		return errs
	}, func(w *batchWorld) []batchCell { return []batchCell{w.messages(0, 0), w.messages(1, 1)} }},
	{"rows, many, by Close", func(w *batchWorld, q batched.QueryRepository) []error {
		return []error{q.DeleteMessages(w.ctx, w.bodies()).Close()}
	}, func(w *batchWorld) []batchCell { return []batchCell{w.messages(0, 0), w.messages(1, 1)} }},
	{"rows, many, closed after the first", func(w *batchWorld, q batched.QueryRepository) (errs []error) {
		batch := q.DeleteMessages(w.ctx, w.bodies())
		batch.Query(func(i int, _ []batchrepo.Message, err error) {
			if i == 0 {
				errs = append(errs, err, batch.Close())
				return
			}
			require.ErrorIs(w.t, err, batchrepo.ErrBatchAlreadyClosed)
		})
		return errs
	}, func(w *batchWorld) []batchCell { return []batchCell{w.messages(0, 0), w.messages(1, 1)} }},
	{"lists", func(w *batchWorld, q batched.QueryRepository) (errs []error) {
		q.EditMessages(w.ctx, []batchrepo.EditMessagesParams{
			{Body: "a", SessionIds: []uuid.UUID{w.ids[0][0], w.ids[0][1]}}, {Body: "b"}, {Body: "c", SessionIds: []uuid.UUID{w.ids[1][1]}},
		}).Exec(func(_ int, err error) { errs = append(errs, err) })
		return errs
	}, func(w *batchWorld) []batchCell {
		return []batchCell{w.messages(0, 0), w.messages(0, 1), w.messages(1, 1)}
	}},
	{"arguments that may be NULL", func(w *batchWorld, q batched.QueryRepository) (errs []error) {
		q.AddMessages(w.ctx, []batchrepo.AddMessagesParams{{ID: uuid.New(), SessionID: &w.ids[0][0], Body: "x"}, {ID: uuid.New(), Body: "y"}}).
			Exec(func(_ int, err error) { errs = append(errs, err) })
		return errs
	}, func(w *batchWorld) []batchCell { return []batchCell{w.messages(0, 0)} }},
}

func (w *batchWorld) renames(titles ...string) (out []batchrepo.RenameSessionsParams) {
	for i, title := range titles {
		out = append(out, batchrepo.RenameSessionsParams{Title: title, ID: w.ids[i%2][i/2], UserID: w.users[i%2]})
	}
	return out
}

func (w *batchWorld) rename(q batched.QueryRepository, titles ...string) (errs []error) {
	q.RenameSessions(w.ctx, w.renames(titles...)).Exec(func(_ int, err error) { errs = append(errs, err) })
	return errs
}

// bodies are those of the first and the last message, and one that none has.
func (w *batchWorld) bodies() []string {
	return []string{w.ids[0][0].String(), "nothing", w.ids[1][1].String()}
}

// TestBatchInvalidates: every kind of batch voids what it changes and nothing else, in every way in which pgx can send it, on a
// pool with a single connection, and in transactions.
func TestBatchInvalidates(t *testing.T) {
	t.Parallel()
	modes := []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	}
	for _, tc := range batchCases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newBatchWorld(t, sameConfig, sameOptions)
			_, err := w.pool.Exec(w.ctx, "create table initial_sessions as table sessions; create table initial_messages as table messages")
			require.NoError(t, err)
			reset := func() {
				_, err := w.pool.Exec(w.ctx, "truncate sessions, messages; insert into sessions table initial_sessions; insert into messages table initial_messages")
				require.NoError(t, err)
				for _, c := range w.cells() {
					w.unfenced(w.ctx, c.key)
					require.NoError(t, w.rdb.Del(w.ctx, c.key).Err())
				}
				w.warm()
			}
			good := func(errs []error) {
				t.Helper()
				require.NotEmpty(t, errs)
				for _, err := range errs {
					require.NoError(t, err)
				}
			}
			for _, mode := range modes {
				if tc.name == "lists" && (mode == pgx.QueryExecModeExec || mode == pgx.QueryExecModeSimpleProtocol) {
					continue // pgx cannot encode a []uuid.UUID without asking for its type
				}
				w.q = batched.New(w.poolOf(func(cfg *pgxpool.Config) {
					cfg.MaxConns = 1
					cfg.ConnConfig.DefaultQueryExecMode = mode
				}), w.c)
				for range 2 { // prepared, and again
					reset()
					good(tc.call(w, w.q))
					w.exact(tc.changed(w)...)
				}
			}
			w.q = batched.New(w.poolOf(oneConnection), w.c)

			reset()
			before := w.read(w.other)
			require.NoError(t, w.q.InTx(w.ctx, pgx.TxOptions{}, func(q *batched.Queries) error {
				good(tc.call(w, q))
				require.Equal(t, before, w.read(w.other))
				return nil
			}))
			w.exact(tc.changed(w)...)

			reset()
			require.ErrorIs(t, w.q.InTx(w.ctx, pgx.TxOptions{}, func(q *batched.Queries) error {
				good(tc.call(w, q))
				return errBoom
			}), errBoom)
			w.exact()

			for _, end := range []func(pgx.Tx) error{
				func(tx pgx.Tx) error { return tx.Commit(w.ctx) },
				func(tx pgx.Tx) error { return tx.Rollback(w.ctx) },
			} {
				reset()
				before := w.read(w.other)
				tx, err := w.pool.Begin(w.ctx)
				require.NoError(t, err)
				good(tc.call(w, w.q.WithTx(tx)))
				for _, c := range tc.changed(w) {
					require.Contains(t, w.fields(w.ctx, c.key), "!", "it is fenced before anybody can commit it")
				}
				require.Equal(t, before, w.read(w.other))
				require.NoError(t, end(tx))
				for _, c := range tc.changed(w) {
					w.unfenced(w.ctx, c.key)
				}
				w.exact(tc.changed(w)...)
			}
		})
	}
}

// failing makes the commit of a session with the title 'late', and of a message with that body, fail.
func (w *batchWorld) failing() {
	_, err := w.pool.Exec(w.ctx, `
create function late() returns trigger language plpgsql as $$ begin raise exception 'too late'; end $$;
create constraint trigger late after update on sessions deferrable initially deferred for each row when (new.title = 'late') execute function late();
create constraint trigger late after delete on messages deferrable initially deferred for each row when (old.body = 'late') execute function late();`)
	require.NoError(w.t, err)
}

// TestBatchCommitFails: sqlc's methods look at no error of Close, so that a commit that fails is told by the last item.
func TestBatchCommitFails(t *testing.T) {
	t.Parallel()
	w := newBatchWorld(t, oneConnection, sameOptions)
	w.failing()
	_, err := w.pool.Exec(w.ctx, "update messages set body = 'late' where session_id = $1", w.ids[0][0])
	require.NoError(t, err)
	w.warm()
	before := w.read(batchrepo.New(w.pool))
	check := func(errs []error, want string) {
		t.Helper()
		for i, err := range errs {
			if i < len(errs)-1 {
				require.NoError(t, err)
				continue
			}
			require.ErrorContains(t, err, want)
		}
		require.Equal(t, before, w.read(batchrepo.New(w.pool)))
		for _, c := range w.cells() {
			w.unfenced(w.ctx, c.key)
		}
		w.agree()
	}
	check(w.rename(w.q, "late", "second"), "too late")
	check([]error{w.q.RenameSessions(w.ctx, w.renames("late", "second")).Close()}, "too late")

	var errs []error
	retitle := []batchrepo.RetitleSessionsParams{{ID: w.ids[0][0], Title: "late"}, {ID: w.ids[1][0], Title: "second"}}
	w.q.RetitleSessions(w.ctx, retitle).QueryRow(func(_ int, _ batchrepo.RetitleSessionsRow, err error) { errs = append(errs, err) })
	require.Len(t, errs, 2)
	check(errs, "too late")
	retitle[1].ID, errs = uuid.New(), nil // the last item finds nothing
	w.q.RetitleSessions(w.ctx, retitle).QueryRow(func(_ int, _ batchrepo.RetitleSessionsRow, err error) { errs = append(errs, err) })
	check(errs, "too late")

	errs = nil
	w.q.DeleteMessages(w.ctx, []string{"late", w.ids[1][1].String()}).Query(func(_ int, _ []batchrepo.Message, err error) { errs = append(errs, err) })
	require.Len(t, errs, 2)
	check(errs, "too late")
	errs = nil
	w.q.ClearSessions(w.ctx, w.users[:]).Query(func(_ int, rows []uuid.UUID, err error) {
		require.Len(t, rows, 2)
		errs = append(errs, err)
	})
	check(errs, "violates foreign key constraint")
	missing := uuid.New()
	errs = nil
	w.q.AddMessages(w.ctx, []batchrepo.AddMessagesParams{{ID: uuid.New(), SessionID: &missing, Body: "x"}}).Exec(func(_ int, err error) { errs = append(errs, err) })
	require.Len(t, errs, 1)
	check(errs, "violates foreign key constraint")

	// In a transaction the items are fine, and the commit is the caller's.
	require.ErrorContains(t, w.q.InTx(w.ctx, pgx.TxOptions{}, func(q *batched.Queries) error {
		return errors.Join(w.rename(q, "late", "second")...)
	}), "too late")
	check(nil, "")
	require.Zero(t, w.pool.Stat().AcquiredConns())
}

// TestBatchItemFails: an error of one item rolls back all of them, as with pgx.
func TestBatchItemFails(t *testing.T) {
	t.Parallel()
	w := newBatchWorld(t, oneConnection, sameOptions)
	w.warm()
	before := w.read(batchrepo.New(w.pool))
	var plain []error
	batchrepo.New(w.pool).RenameSessions(w.ctx, w.renames("second", "bad", "third")).Exec(func(_ int, err error) { plain = append(plain, err) })
	errs := w.rename(w.q, "second", "bad", "third")
	require.Len(t, errs, len(plain))
	for i := range plain {
		require.Equal(t, plain[i] == nil, errs[i] == nil, i)
		if plain[i] != nil {
			require.ErrorContains(t, errs[i], "violates check constraint")
		}
	}
	require.Equal(t, before, w.read(batchrepo.New(w.pool)))
	w.exact()

	for _, call := range []func(q *batched.Queries) error{
		func(q *batched.Queries) error {
			return q.RenameSessions(w.ctx, w.renames("second", "bad", "third")).Close()
		},
		func(q *batched.Queries) error {
			return q.RetitleSessions(w.ctx, []batchrepo.RetitleSessionsParams{{ID: w.ids[0][0], Title: "x"}, {ID: w.ids[0][0], Title: "bad"}, {ID: w.ids[0][0], Title: "x"}}).Close()
		},
	} {
		require.ErrorContains(t, call(w.q), "violates check constraint")
		w.exact()
		// In a transaction, whose caller thinks nothing of it.
		require.ErrorIs(t, w.q.InTx(w.ctx, pgx.TxOptions{}, func(q *batched.Queries) error {
			require.ErrorContains(t, call(q), "violates check constraint")
			return nil
		}), pgx.ErrTxCommitRollback)
		w.exact()
		tx, err := w.pool.Begin(w.ctx)
		require.NoError(t, err)
		require.ErrorContains(t, call(w.q.WithTx(tx)), "violates check constraint")
		require.ErrorIs(t, tx.Commit(w.ctx), pgx.ErrTxCommitRollback)
		w.exact()
		// In a savepoint, the rest of the transaction stands.
		require.NoError(t, w.q.InTx(w.ctx, pgx.TxOptions{}, func(q *batched.Queries) error {
			require.Error(t, q.InTx(w.ctx, pgx.TxOptions{}, call))
			return errors.Join(w.rename(q, "second", "second")...)
		}))
		w.agree()
		require.NoError(t, errors.Join(w.rename(w.q, "first", "first")...))
		w.warm()
	}

	// A row that does not scan is an error as well: nobody can tell what else has changed.
	_, err := w.pool.Exec(w.ctx, "alter table sessions alter title drop not null")
	require.NoError(t, err)
	_, err = w.pool.Exec(w.ctx, "create function untitled() returns trigger language plpgsql as $$ begin new.title := null; return new; end $$")
	require.NoError(t, err)
	_, err = w.pool.Exec(w.ctx, "create trigger untitled before update on sessions for each row execute function untitled()")
	require.NoError(t, err)
	unscannable := func(q *batched.Queries) (errs []error) {
		q.RetitleSessions(w.ctx, []batchrepo.RetitleSessionsParams{{ID: w.ids[0][0]}, {ID: w.ids[1][0]}}).
			QueryRow(func(_ int, _ batchrepo.RetitleSessionsRow, err error) { errs = append(errs, err) })
		require.Len(t, errs, 2)
		require.ErrorContains(t, errs[0], "cannot scan NULL")
		require.Error(t, errs[1])
		return errs
	}
	unscannable(w.q)
	w.exact()
	require.ErrorContains(t, w.q.InTx(w.ctx, pgx.TxOptions{}, func(q *batched.Queries) error {
		unscannable(q)
		return nil
	}), "what it changed is unknown")
	w.exact()
	tx, err := w.pool.Begin(w.ctx)
	require.NoError(t, err)
	unscannable(w.q.WithTx(tx))
	require.ErrorIs(t, tx.Commit(w.ctx), pgx.ErrTxCommitRollback)
	w.exact()
	require.Zero(t, w.pool.Stat().AcquiredConns())
}

// TestBatchRedisDown: without Redis a batch works, and this process reads what it wrote; in a strict group it fails, and the
// last item says so.
func TestBatchRedisDown(t *testing.T) {
	t.Parallel()
	w := newBatchWorld(t, sameConfig, sameOptions, ownRedis())
	strict := batched.New(w.pool, w.open(func(o *cache.Options) {
		o.Groups = map[string]cache.GroupOptions{"session": {Mode: cache.Strict}, "message": {Mode: cache.Strict}}
	}))
	w.warm()
	w.read(w.q)
	require.NoError(t, w.redis.Kill())

	before := w.read(batchrepo.New(w.pool))
	errs := w.rename(strict, "second", "second")
	require.Len(t, errs, 2)
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], cache.ErrFence)
	require.ErrorIs(t, strict.RenameSessions(w.ctx, w.renames("second", "second")).Close(), cache.ErrFence)
	errs = nil
	strict.RetitleSessions(w.ctx, []batchrepo.RetitleSessionsParams{{ID: w.ids[0][0], Title: "x"}, {ID: w.ids[1][0], Title: "x"}}).
		QueryRow(func(_ int, _ batchrepo.RetitleSessionsRow, err error) { errs = append(errs, err) })
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], cache.ErrFence)
	errs = nil
	strict.DeleteMessages(w.ctx, w.bodies()).Query(func(_ int, _ []batchrepo.Message, err error) { errs = append(errs, err) })
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[2], cache.ErrFence)
	require.ErrorIs(t, strict.InTx(w.ctx, pgx.TxOptions{}, func(q *batched.Queries) error {
		return errors.Join(w.rename(q, "second", "second")...)
	}), cache.ErrFence)
	tx, err := w.pool.Begin(w.ctx)
	require.NoError(t, err)
	errs = w.rename(strict.WithTx(tx), "second", "second")
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], cache.ErrFence)
	require.ErrorIs(t, tx.Commit(w.ctx), pgx.ErrTxCommitRollback)
	require.Equal(t, before, w.read(batchrepo.New(w.pool)))

	for _, tc := range batchCases {
		for _, err := range tc.call(w, w.q) {
			require.NoError(t, err, tc.name)
		}
		require.Equal(t, w.read(batchrepo.New(w.pool)), w.read(w.q), tc.name)
		_, err := w.pool.Exec(w.ctx, "update messages set body = session_id::text where session_id is not null; insert into messages (session_id, body) select id, id::text from sessions s where not exists (select from messages where session_id = s.id)")
		require.NoError(t, err)
	}
	require.Zero(t, w.pool.Stat().AcquiredConns())
}

// TestBatchEnds: what a batch leaves behind when there is nothing in it, when its context ends, and when the cache is closed or
// disabled.
func TestBatchEnds(t *testing.T) {
	t.Parallel()
	w := newBatchWorld(t, oneConnection, sameOptions)
	w.warm()
	for _, q := range []batched.QueryRepository{w.q, batchrepo.New(w.pool)} {
		require.NoError(t, q.RenameSessions(w.ctx, nil).Close())
		require.NoError(t, q.RetitleSessions(w.ctx, nil).Close())
		require.Empty(t, w.rename(q))
	}
	w.exact()

	ended, cancel := context.WithCancel(w.ctx)
	batch := w.q.RenameSessions(ended, w.renames("second", "second"))
	cancel()
	require.Error(t, batch.Close())
	require.ErrorIs(t, w.q.RenameSessions(ended, w.renames("second", "second")).Close(), context.Canceled)
	eventually(t, "nothing has changed", func() bool { return w.read(batchrepo.New(w.pool)).Sessions[w.ids[0][0]] == "first" })
	w.agree()

	c := w.open()
	closed := batched.New(w.pool, c)
	require.NoError(t, c.Close())
	errs := w.rename(closed, "second", "second")
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], cache.ErrClosed)
	w.agree()

	disabled := batched.New(w.pool, w.open(func(o *cache.Options) { o.Disabled = true }))
	require.NoError(t, errors.Join(w.rename(disabled, "second", "second")...))
	require.NoError(t, disabled.InTx(w.ctx, pgx.TxOptions{}, func(q *batched.Queries) error {
		return errors.Join(w.rename(q, "third", "third")...)
	}))
	tx, err := w.pool.Begin(w.ctx)
	require.NoError(t, err)
	require.NoError(t, errors.Join(w.rename(disabled.WithTx(tx), "fourth", "fourth")...))
	require.NoError(t, tx.Commit(w.ctx))
	require.Equal(t, "fourth", w.read(disabled).Sessions[w.ids[0][0]])
	require.Zero(t, w.pool.Stat().AcquiredConns())
}

// TestBatchReadSlowly: the guard of the commit counts from a moment before the fence is asked for, not from the statements,
// whose results may be read long afterwards.
func TestBatchReadSlowly(t *testing.T) {
	t.Parallel()
	w := newBatchWorld(t, oneConnection, sameOptions)
	w.warm()
	var errs []error
	w.q.RenameSessions(w.ctx, w.renames("second", "second")).Exec(func(i int, err error) {
		errs = append(errs, err)
		if i == 0 {
			time.Sleep(11 * time.Second) // longer than the guard
		}
	})
	require.NoError(t, errors.Join(errs...))
	w.agree()
}

// TestBatchRoundTheDecorator: a batch of sqlc's own methods is fenced in a transaction of ours where its arguments tell its keys,
// and refused otherwise, with the method to call.
func TestBatchRoundTheDecorator(t *testing.T) {
	t.Parallel()
	w := newBatchWorld(t, oneConnection, sameOptions)
	w.warm()
	round := batchrepo.New(w.q.DB())
	for _, err := range append(w.rename(round, "second", "second"), round.ClearSessions(w.ctx, w.users[:]).Close()) {
		require.ErrorIs(t, err, pgfence.ErrRoundDecorator)
		require.Regexp(t, `call want\.Queries\.(RenameSessions|ClearSessions)`, err.Error())
	}
	w.exact()
	require.NoError(t, w.q.InTx(w.ctx, pgx.TxOptions{}, func(q *batched.Queries) error {
		require.ErrorIs(t, batchrepo.New(q.DB()).ClearSessions(w.ctx, w.users[:]).Close(), pgfence.ErrRoundDecorator)
		return errors.Join(w.rename(batchrepo.New(q.DB()), "second", "second")...)
	}))
	w.exact(w.session(0, 0), w.report(0, 0), w.list(0), w.session(1, 0), w.report(1, 0), w.list(1))

	// Reads, and writes that change no cached read, pass.
	found := 0
	w.q.FindSessions(w.ctx, []string{"second", "nothing"}).Query(func(_ int, ids []uuid.UUID, err error) {
		require.NoError(t, err)
		found += len(ids)
	})
	require.Equal(t, 2, found)
	require.NoError(t, w.q.SeeSessions(w.ctx, w.ids[0][:]).Close())
	require.NoError(t, w.q.ForgetSessions(w.ctx, w.ids[0][:]).Close())
	require.Zero(t, w.pool.Stat().AcquiredConns())
}

// TestBatchUnknownOutcome: the connection breaks while the COMMIT of a batch is on its way. The last item says so, and the fence
// stays until the outcome is known.
func TestBatchUnknownOutcome(t *testing.T) {
	t.Parallel()
	w := newBatchWorld(t, sameConfig, sameOptions)
	cut := newCutter(t, w.postgresAddr())
	cut.hold = make(chan struct{})
	w.q = batched.New(w.poolOf(func(cfg *pgxpool.Config) {
		cfg.ConnConfig.Host = "127.0.0.1"
		cfg.ConnConfig.Port = uint16(cut.ln.Addr().(*net.TCPAddr).Port)
		cfg.ConnConfig.Fallbacks = nil
		cfg.ConnConfig.TLSConfig = nil
	}), w.c)
	w.warm()
	before := w.read(w.other)
	cut.armed.Store(true)
	errs := w.rename(w.q, "second", "second")
	require.Len(t, errs, 2)
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], cache.ErrOutcomeUnknown)
	require.Equal(t, before, w.read(w.other))
	require.Contains(t, w.fields(w.ctx, w.session(0, 0).key), "!")
	close(cut.hold)
	<-cut.cut
	eventually(t, "the commit is visible", func() bool { return w.read(batchrepo.New(w.pool)).Sessions[w.ids[0][0]] == "second" })
	w.agree()
	for _, c := range w.cells() {
		w.unfenced(w.ctx, c.key)
	}
}
