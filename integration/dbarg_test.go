package integration

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/pgfence"
	argrepo "github.com/pgaside/pgaside/internal/gen/testdata/db_argument/repo"
	argcached "github.com/pgaside/pgaside/internal/gen/testdata/db_argument/want"
)

// argWorld is for queries that take their database as an argument.
type argWorld struct {
	*world
	ctx   context.Context
	q     *argcached.Queries
	other *argcached.Queries // another process
}

func newArgWorld(t *testing.T, change func(*cache.Options), opts ...worldOption) *argWorld {
	t.Helper()
	w := &argWorld{world: newWorld(t, opts...), ctx: t.Context()}
	w.load(w.ctx, "db_argument")
	_, err := w.pool.Exec(w.ctx, `insert into sessions (id, user_id, title) select i, 1, 'first' from generate_series(1, 3) i;
		insert into messages (id, session_id, body) select i, i, 'first' from generate_series(1, 3) i`)
	require.NoError(t, err)
	w.q = argcached.New(w.pool, w.open(change))
	w.other = argcached.New(w.poolOf(sameConfig), w.open())
	return w
}

func (w *argWorld) title(q argcached.QueryRepository, db argrepo.DBTX) string {
	w.t.Helper()
	row, err := q.GetSession(w.ctx, db, 1)
	require.NoError(w.t, err)
	return row.Title
}

// behind changes a title behind the cache's back.
func (w *argWorld) behind(title string) {
	w.t.Helper()
	_, err := w.pool.Exec(w.ctx, "update sessions set title = $1", title)
	require.NoError(w.t, err)
}

func (w *argWorld) key() string     { return w.redisKey("session", 1) }
func (w *argWorld) message() string { return w.redisKey("message", 1) }

func (w *argWorld) warm() {
	w.t.Helper()
	w.unfenced(w.ctx, w.key(), w.message())
	w.title(w.other, nil)
	w.stored(w.ctx, w.key(), "GetSession")
	_, err := w.other.ListMessages(w.ctx, nil, 1)
	require.NoError(w.t, err)
	w.stored(w.ctx, w.message(), "ListMessages")
}

// narrow has no method but those of the DBTX.
type narrow struct{ argrepo.DBTX }

// traced is a pool that somebody has wrapped.
type traced struct {
	*pgxpool.Pool
	calls atomic.Int64
}

func (p *traced) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	p.calls.Add(1)
	return p.Pool.QueryRow(ctx, sql, args...)
}

func (p *traced) Begin(ctx context.Context) (pgx.Tx, error) {
	p.calls.Add(1)
	return p.Pool.Begin(ctx)
}

// others are databases that are not the pool of the cached queries, and lead to the same rows.
func (w *argWorld) others() map[string]argrepo.DBTX {
	w.t.Helper()
	conn, err := pgx.Connect(w.ctx, w.dbURL)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	pooled, err := w.pool.Acquire(w.ctx)
	require.NoError(w.t, err)
	w.t.Cleanup(pooled.Release)
	return map[string]argrepo.DBTX{
		"another pool":                 w.poolOf(oneConnection),
		"a connection":                 conn,
		"a connection of the own pool": pooled,
		"a wrapped pool":               &traced{Pool: w.pool},
	}
}

// TestDBArgumentReads: reads are cached on the pool alone, by whatever name; anything else answers for itself, and is neither
// stored nor answered from the cache.
func TestDBArgumentReads(t *testing.T) {
	t.Parallel()
	w := newArgWorld(t, sameOptions)
	for name, db := range map[string]argrepo.DBTX{
		"nil": nil, "the pool": w.pool, "DB": w.q.DB(), "DB of other queries of the pool": argcached.New(w.pool, w.open()).DB(),
	} {
		w.behind("first")
		require.NoError(t, w.rdb.Del(w.ctx, w.key()).Err())
		require.Equal(t, "first", w.title(w.q, db), name)
		w.stored(w.ctx, w.key(), "GetSession")
		w.behind("unseen")
		require.Equal(t, "first", w.title(w.q, db), name)
		rows, err := w.q.Sessions(w.ctx, db, []int32{1, 2, 9})
		require.NoError(t, err, name)
		require.Len(t, rows, 2, name)
		n, err := w.q.CountSessions(w.ctx, db)
		require.NoError(t, err, name)
		require.EqualValues(t, 3, n, name)
		// Within a transaction, the pool is still the pool.
		require.NoError(t, w.q.InTx(w.ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
			if db != nil {
				require.Equal(t, "first", w.title(w.q.WithTx(tx), w.pool), name)
			}
			require.Equal(t, "unseen", w.title(w.q.WithTx(tx), nil), name)
			return nil
		}))
	}

	bypass := w.others()
	bypass["a bare DBTX"] = narrow{w.pool}
	bypass["DB of another pool"] = w.other.DB()
	plain, err := w.pool.Begin(w.ctx)
	require.NoError(t, err)
	defer func() { _ = plain.Rollback(w.ctx) }()
	bypass["a transaction"] = plain
	ours, err := w.q.Begin(w.ctx)
	require.NoError(t, err)
	defer func() { _ = ours.Rollback(w.ctx) }()
	bypass["a transaction of ours"] = ours
	bypass["DB of a transaction"] = w.q.WithTx(plain).DB()
	w.behind("first")
	for name, db := range bypass {
		w.warm()
		w.behind("second")
		require.Equal(t, "second", w.title(w.q, db), name)
		rows, err := w.q.Sessions(w.ctx, db, []int32{1, 2, 9})
		require.NoError(t, err, name)
		require.Len(t, rows, 2, name)
		for _, row := range rows {
			require.Equal(t, "second", row.Title, name)
		}
		require.Equal(t, "first", w.title(w.other, nil), name)
		require.NoError(t, w.rdb.Del(w.ctx, w.key()).Err())
		require.Equal(t, "second", w.title(w.q, db), name)
		require.Empty(t, w.fields(w.ctx, w.key()), name)
		w.behind("first")
	}

	// What such a read says does not get into the cache through a function that is cached, either.
	group := cache.NewGroup[int32]("function", cache.GroupOptions{})
	c := w.open()
	for name, db := range bypass {
		f := cache.Func(c, "title", group, func(id int32) int32 { return id }, func(ctx context.Context, id int32) (string, error) {
			row, err := w.q.GetSession(ctx, db, id)
			if err != nil {
				return "", err
			}
			return row.Title, nil
		})
		title, err := f(w.ctx, 1)
		require.NoError(t, err)
		require.Equal(t, "first", title)
		for _, v := range w.fields(w.ctx, w.redisKey("function", 1)) {
			require.NotEqual(t, byte('V'), v[0], name)
		}
	}
}

// argWrites are the kinds of writes; each makes the title or the message "second", and nothing else of what is cached.
var argWrites = map[string]func(w *argWorld, q *argcached.Queries, db argrepo.DBTX, title string) error{
	"exec": func(w *argWorld, q *argcached.Queries, db argrepo.DBTX, title string) error {
		return q.RenameSession(w.ctx, db, &argrepo.RenameSessionParams{ID: 1, Title: title})
	},
	"execrows": func(w *argWorld, q *argcached.Queries, db argrepo.DBTX, title string) error {
		_, err := q.RenameSessions(w.ctx, db, &argrepo.RenameSessionsParams{Ids: []int32{1, 2}, Title: title})
		return err
	},
	"many": func(w *argWorld, q *argcached.Queries, db argrepo.DBTX, title string) error {
		_, err := q.RetitleSessions(w.ctx, db, &argrepo.RetitleSessionsParams{UserID: 1, Title: title})
		return err
	},
	"batchexec": func(w *argWorld, q *argcached.Queries, db argrepo.DBTX, title string) (err error) {
		q.RenameEach(w.ctx, db, []*argrepo.RenameEachParams{{ID: 1, Title: title}, {ID: 2, Title: title}}).Exec(func(_ int, e error) { err = errors.Join(err, e) })
		return err
	},
}

// argMessages are the same for messages.
var argMessages = map[string]func(w *argWorld, q *argcached.Queries, db argrepo.DBTX) error{
	"copyfrom": func(w *argWorld, q *argcached.Queries, db argrepo.DBTX) error {
		_, err := q.ImportMessages(w.ctx, db, []*argrepo.ImportMessagesParams{{ID: 100, SessionID: pgtype.Int4{Int32: 1, Valid: true}}, {ID: 101}})
		return err
	},
	"batchexec": func(w *argWorld, q *argcached.Queries, db argrepo.DBTX) error {
		return q.AddMessages(w.ctx, db, []*argrepo.AddMessagesParams{{ID: 100, SessionID: pgtype.Int4{Int32: 1, Valid: true}}, {ID: 101}}).Close()
	},
	"batchone": func(w *argWorld, q *argcached.Queries, db argrepo.DBTX) (err error) {
		q.MoveMessages(w.ctx, db, []*argrepo.MoveMessagesParams{{ID: 1, Body: "second"}}).QueryRow(func(_ int, _ *argrepo.MoveMessagesRow, e error) { err = e })
		return err
	},
	"batchmany": func(w *argWorld, q *argcached.Queries, db argrepo.DBTX) (err error) {
		q.DeleteMessages(w.ctx, db, []*argrepo.DeleteMessagesParams{{SessionID: pgtype.Int4{Int32: 1, Valid: true}}}).Query(func(_ int, _ []int32, e error) { err = e })
		return err
	},
}

func (w *argWorld) agree(name string) {
	w.t.Helper()
	truth, err := argrepo.New().ListMessages(w.ctx, w.pool, 1)
	require.NoError(w.t, err)
	for _, q := range []*argcached.Queries{w.q, w.other} {
		require.Equal(w.t, w.title(argrepo.New(), w.pool), w.title(q, nil), name)
		messages, err := q.ListMessages(w.ctx, nil, 1)
		require.NoError(w.t, err)
		require.Equal(w.t, truth, messages, name)
	}
}

func (w *argWorld) resetMessages() {
	_, err := w.pool.Exec(w.ctx, "truncate messages; insert into messages (id, session_id, body) select i, i, 'first' from generate_series(1, 3) i")
	require.NoError(w.t, err)
	require.NoError(w.t, w.rdb.Del(w.ctx, w.message()).Err())
}

// TestDBArgumentWrites: a write invalidates on whatever database it runs, and is undone where it fails.
func TestDBArgumentWrites(t *testing.T) {
	t.Parallel()
	w := newArgWorld(t, sameOptions)
	_, err := w.pool.Exec(w.ctx, `
create function late() returns trigger language plpgsql as $$ begin raise exception 'too late'; end $$;
create constraint trigger late after update on sessions deferrable initially deferred for each row when (new.title = 'late') execute function late()`)
	require.NoError(t, err)
	dbs := w.others()
	dbs["nil"], dbs["the pool"], dbs["DB"] = nil, w.pool, w.q.DB()
	for name, db := range dbs {
		for kind, write := range argWrites {
			name := name + ", " + kind
			w.warm()
			before := w.fields(w.ctx, w.message())
			require.NoError(t, write(w, w.q, db, "second"), name)
			require.NotContains(t, w.fields(w.ctx, w.key()), "GetSession", name)
			require.Equal(t, before, w.fields(w.ctx, w.message()), name)
			require.Equal(t, "second", w.title(argrepo.New(), w.pool), name)
			w.agree(name)

			w.warm()
			require.ErrorContains(t, write(w, w.q, db, "bad"), "violates check constraint", name)
			require.ErrorContains(t, write(w, w.q, db, "late"), "too late", name)
			require.Equal(t, "second", w.title(argrepo.New(), w.pool), name)
			w.agree(name)
			require.NoError(t, write(w, w.q, db, "first"), name)
		}
		for kind, write := range argMessages {
			name := name + ", " + kind
			w.resetMessages()
			w.warm()
			before := w.fields(w.ctx, w.key())
			require.NoError(t, write(w, w.q, db), name)
			require.NotContains(t, w.fields(w.ctx, w.message()), "ListMessages", name)
			require.Equal(t, before, w.fields(w.ctx, w.key()), name)
			w.agree(name)
		}
		w.resetMessages()
		require.NoError(t, w.q.SeeSession(w.ctx, db, 1), name)
		require.NoError(t, w.q.SeeSessions(w.ctx, db, []int32{1, 2}).Close(), name)
	}
	traced := dbs["a wrapped pool"].(*traced)
	require.NotZero(t, traced.calls.Load())
}

// TestDBArgumentTransactions: a transaction of ours is fenced at its commit, one from elsewhere at each of its writes.
func TestDBArgumentTransactions(t *testing.T) {
	t.Parallel()
	w := newArgWorld(t, sameOptions)
	all := func(db argrepo.DBTX) {
		t.Helper()
		for kind, write := range argWrites {
			require.NoError(t, write(w, w.q, db, "second"), kind)
		}
		require.NoError(t, argMessages["batchone"](w, w.q, db))
		require.NoError(t, argMessages["copyfrom"](w, w.q, db))
		require.Equal(t, "second", w.title(w.q, db))
		require.Equal(t, "first", w.title(w.other, nil))
	}
	reset := func() {
		w.behind("first")
		w.resetMessages()
		require.NoError(t, w.rdb.Del(w.ctx, w.key()).Err())
		w.warm()
	}

	reset()
	require.NoError(t, w.q.InTx(w.ctx, pgx.TxOptions{}, func(tx pgx.Tx) error { all(tx); return nil }))
	w.agree("InTx")
	reset()
	require.ErrorIs(t, w.q.InTx(w.ctx, pgx.TxOptions{}, func(tx pgx.Tx) error { all(tx); return errBoom }), errBoom)
	require.Contains(t, w.fields(w.ctx, w.key()), "GetSession", "nothing was fenced")
	w.agree("InTx rolled back")
	reset()
	tx, err := w.q.Begin(w.ctx)
	require.NoError(t, err)
	require.NoError(t, w.q.WithTx(tx).InTx(w.ctx, pgx.TxOptions{}, func(sp pgx.Tx) error { all(sp); return nil }))
	require.NoError(t, tx.Commit(w.ctx))
	w.agree("savepoint")
	require.ErrorIs(t, argWrites["exec"](w, w.q, tx, "third"), pgx.ErrTxClosed)

	for _, bound := range []bool{false, true} {
		for _, commit := range []bool{false, true} {
			name := fmt.Sprint("bound ", bound, ", commit ", commit)
			reset()
			plain, err := w.pool.Begin(w.ctx)
			require.NoError(t, err)
			var db argrepo.DBTX = plain
			if bound {
				db = w.q.WithTx(plain).DB()
			}
			all(db)
			require.Contains(t, w.fields(w.ctx, w.key()), "!", name)
			require.Contains(t, w.fields(w.ctx, w.message()), "!", name)
			if commit {
				require.NoError(t, plain.Commit(w.ctx))
			} else {
				require.NoError(t, plain.Rollback(w.ctx))
			}
			w.unfenced(w.ctx, w.key(), w.message())
			w.agree(name)
		}
	}
	require.Contains(t, w.log.String(), "begun elsewhere")
}

// TestDBArgumentRefused: a write that cannot be fenced where it is to run does not run.
func TestDBArgumentRefused(t *testing.T) {
	t.Parallel()
	w := newArgWorld(t, sameOptions)
	w.warm()
	conn, err := pgx.Connect(w.ctx, w.dbURL)
	require.NoError(t, err)
	defer conn.Close(w.ctx)
	_, err = conn.Exec(w.ctx, "begin")
	require.NoError(t, err)
	pooled, err := w.pool.Acquire(w.ctx)
	require.NoError(t, err)
	defer pooled.Release()
	inner, err := pooled.Begin(w.ctx)
	require.NoError(t, err)
	for name, db := range map[string]argrepo.DBTX{
		"a bare DBTX": narrow{w.pool}, "DB of another pool": w.other.DB(), "a connection in a transaction": conn,
		"a connection of the pool in a transaction": pooled,
	} {
		for kind, write := range argWrites {
			require.ErrorIs(t, write(w, w.q, db, "second"), pgfence.ErrDBArgument, name+", "+kind)
		}
		for kind, write := range argMessages {
			require.ErrorIs(t, write(w, w.q, db), pgfence.ErrDBArgument, name+", "+kind)
		}
		require.NoError(t, w.q.SeeSession(w.ctx, db, 9), name)
		require.Equal(t, "first", w.title(w.q, db), name)
	}
	require.NoError(t, inner.Rollback(w.ctx))
	_, err = conn.Exec(w.ctx, "rollback")
	require.NoError(t, err)
	require.Contains(t, w.fields(w.ctx, w.key()), "GetSession")
	w.agree("refused")

	// A database on which nothing can be written says so itself.
	readOnly := w.poolOf(func(cfg *pgxpool.Config) { cfg.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on" })
	var pgErr *pgconn.PgError
	require.ErrorAs(t, argWrites["exec"](w, w.q, readOnly, "second"), &pgErr)
	require.Equal(t, "25006", pgErr.Code)
	require.Contains(t, w.fields(w.ctx, w.key()), "GetSession")
}

// TestDBArgumentRedisDown: writes elsewhere fail in a strict group, and go on in others.
func TestDBArgumentRedisDown(t *testing.T) {
	t.Parallel()
	w := newArgWorld(t, sameOptions, ownRedis())
	strict := argcached.New(w.pool, w.open(func(o *cache.Options) {
		o.Groups = map[string]cache.GroupOptions{"session": {Mode: cache.Strict}}
	}))
	disabled := argcached.New(w.pool, w.open(func(o *cache.Options) { o.Disabled = true }))
	w.warm()
	w.title(w.q, nil)
	require.NoError(t, w.redis.Kill())
	dbs := w.others()
	for name, db := range dbs {
		for kind, write := range argWrites {
			name := name + ", " + kind
			require.ErrorIs(t, write(w, strict, db, "never"), cache.ErrFence, name)
			require.NotEqual(t, "never", w.title(argrepo.New(), w.pool), name)
			require.NoError(t, write(w, w.q, db, name), name)
			require.Equal(t, name, w.title(w.q, nil), name)
			require.NoError(t, write(w, disabled, db, "disabled"), name)
			require.Equal(t, "disabled", w.title(disabled, db), name)
		}
	}
}

// TestDBArgumentManyWrites: a transaction from elsewhere is watched once, though each of its writes has named it anew.
func TestDBArgumentManyWrites(t *testing.T) {
	t.Parallel()
	w := newArgWorld(t, sameOptions)
	var count xactCounter
	pool := w.poolOf(func(cfg *pgxpool.Config) {
		cfg.MaxConns = 8
		cfg.ConnConfig.Tracer = &count
	})
	q := argcached.New(pool, w.open())
	tx, err := pool.Begin(w.ctx)
	require.NoError(t, err)
	for i := range 200 {
		require.NoError(t, argWrites["exec"](w, q, tx, fmt.Sprint(i)))
	}
	require.NoError(t, tx.Commit(w.ctx))
	w.unfenced(w.ctx, w.key())
	require.Equal(t, "199", w.title(w.other, nil))
	require.NotZero(t, count.queries.Load())
	require.EqualValues(t, 1, count.most.Load())
}

// TestDBArgumentUnknownOutcome: a commit elsewhere whose answer nobody waits for, or that breaks off, keeps its fence until
// Postgres says what became of it.
func TestDBArgumentUnknownOutcome(t *testing.T) {
	t.Parallel()
	w := newArgWorld(t, sameOptions)
	_, err := w.pool.Exec(w.ctx, `
create function wait() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock(42); return null; end $$;
create constraint trigger wait after update on sessions deferrable initially deferred for each row execute function wait()`)
	require.NoError(t, err)
	elsewhere := w.poolOf(sameConfig)
	for _, write := range []string{"exec", "batchexec"} {
		for _, ended := range []bool{false, true} {
			name := fmt.Sprint(write, ", ended ", ended)
			w.warm()
			before := w.title(argrepo.New(), w.pool)
			lock, err := w.pool.Begin(w.ctx)
			require.NoError(t, err)
			_, err = lock.Exec(w.ctx, "select pg_advisory_xact_lock(42)")
			require.NoError(t, err)
			caller, cancel := context.WithCancel(w.ctx)
			result := make(chan error, 1)
			in := *w
			in.ctx = caller
			go func() { result <- argWrites[write](&in, w.q, elsewhere, name) }()
			var pid int
			eventually(t, "COMMIT waits", func() bool {
				return admin.QueryRow(w.ctx, "select pid from pg_stat_activity where datname = $1 and wait_event = 'advisory' and query = 'commit'",
					w.pool.Config().ConnConfig.Database).Scan(&pid) == nil
			})
			if ended {
				_, err := admin.Exec(w.ctx, "select pg_terminate_backend($1)", pid)
				require.NoError(t, err)
			} else {
				cancel()
			}
			require.ErrorIs(t, <-result, cache.ErrOutcomeUnknown, name)
			cancel()
			require.Equal(t, before, w.title(w.other, nil), name)
			if !ended {
				require.Contains(t, w.fields(w.ctx, w.key()), "!", name)
			}
			require.NoError(t, lock.Rollback(w.ctx))
			want := name
			if ended {
				want = before
			}
			eventually(t, "the outcome is there", func() bool { return w.title(argrepo.New(), w.pool) == want })
			w.unfenced(w.ctx, w.key())
			w.agree(name)
		}
	}
}
