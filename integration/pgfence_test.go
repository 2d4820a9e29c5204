package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/pgfence"
	"github.com/pgaside/pgaside/cached"
	"github.com/pgaside/pgaside/internal/migrate"
	"github.com/pgaside/pgaside/internal/servers"
	"github.com/pgaside/pgaside/repo"
)

// poolOf returns a pool of the test's own.
func (w *world) poolOf(change func(*pgxpool.Config)) *pgxpool.Pool {
	w.t.Helper()
	cfg, err := pgxpool.ParseConfig(w.dbURL)
	require.NoError(w.t, err)
	change(cfg)
	pool, err := pgxpool.NewWithConfig(w.t.Context(), cfg)
	require.NoError(w.t, err)
	w.t.Cleanup(pool.Close)
	return pool
}

func oneConnection(cfg *pgxpool.Config) { cfg.MaxConns = 1 }

// TestPgfenceSavepointOutlivesItsTransaction: a savepoint that is ended after its transaction ("defer sp.Rollback") must not
// touch the connection, which is somebody else's by then.
func TestPgfenceSavepointOutlivesItsTransaction(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	pool := w.poolOf(oneConnection)
	q := cached.New(pool, w.open())
	a, b := w.session(ctx), w.session(ctx)
	for _, end := range []func(pgx.Tx) error{
		func(sp pgx.Tx) error { return sp.Rollback(ctx) },
		func(sp pgx.Tx) error { return sp.Commit(ctx) },
		func(sp pgx.Tx) error { _, err := sp.Exec(ctx, "rollback"); return err },
		func(sp pgx.Tx) error { _, err := sp.Begin(ctx); return err },
		func(sp pgx.Tx) error { return rename(ctx, q.WithTx(sp), a.ID, "late") },
	} {
		tx, err := q.Begin(ctx)
		require.NoError(t, err)
		sp, err := tx.Begin(ctx)
		require.NoError(t, err)
		require.NoError(t, rename(ctx, q.WithTx(sp), a.ID, "second"))
		require.NoError(t, tx.Commit(ctx))

		err = q.InTx(ctx, pgx.TxOptions{}, func(other *cached.Queries) error {
			return other.InTx(ctx, pgx.TxOptions{}, func(inner *cached.Queries) error {
				require.NoError(t, rename(ctx, inner, b.ID, "other"))
				require.ErrorIs(t, end(sp), pgx.ErrTxClosed)
				require.Equal(t, "other", w.title(ctx, inner, b.ID), "the transaction of somebody else is untouched")
				return nil
			})
		})
		require.NoError(t, err)
		require.Equal(t, "second", w.title(ctx, q, a.ID))
		require.Equal(t, "other", w.title(ctx, q, b.ID))
		require.NoError(t, rename(ctx, q, b.ID, "first"))
	}
	require.Zero(t, pool.Stat().AcquiredConns())
}

// TestPgfenceClosedSavepoint: what is written through a savepoint that has ended does not land in the transaction around it.
func TestPgfenceClosedSavepoint(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	q, _ := w.queries()
	s := w.session(ctx)
	tx, err := q.Begin(ctx)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(ctx) }()
	require.NoError(t, rename(ctx, q.WithTx(tx), s.ID, "outer"))
	sp, err := tx.Begin(ctx)
	require.NoError(t, err)
	require.NoError(t, sp.Rollback(ctx))
	require.ErrorIs(t, rename(ctx, q.WithTx(sp), s.ID, "inner"), pgx.ErrTxClosed)
	_, err = sp.Exec(ctx, "select 1")
	require.ErrorIs(t, err, pgx.ErrTxClosed)
	_, err = q.WithTx(sp).GetSession(ctx, s.ID)
	require.ErrorIs(t, err, pgx.ErrTxClosed)
	require.NoError(t, tx.Commit(ctx), "nothing has run: the transaction is sound")
	require.Equal(t, "outer", w.title(ctx, q, s.ID))
}

// TestPgfenceExecModes: writes work in every way in which pgx can send a statement, on a pool with a single connection.
func TestPgfenceExecModes(t *testing.T) {
	t.Parallel()
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			w := newWorld(t)
			pool := w.poolOf(func(cfg *pgxpool.Config) {
				cfg.MaxConns = 1
				cfg.ConnConfig.DefaultQueryExecMode = mode
			})
			q := cached.New(pool, w.open())
			other, _ := w.queries()
			s := w.session(ctx)
			key := w.redisKey("session", s.ID)
			for i := range 3 {
				w.warm(ctx, other, s.ID)
				title := fmt.Sprintf("it's %d; -- \\", i)
				require.NoError(t, rename(ctx, q, s.ID, title))
				require.Equal(t, title, w.title(ctx, other, s.ID))
				w.unfenced(ctx, key)
			}
			// An error of Postgres leaves the connection good, and so does a write that finds nothing.
			_, err := q.CreateMessage(ctx, repo.CreateMessageParams{SessionID: uuid.New(), UserID: uuid.New(), Role: repo.MessageRoleClient})
			require.ErrorContains(t, err, "messages_session_fkey")
			require.ErrorIs(t, rename(ctx, q, uuid.New(), "nobody"), pgx.ErrNoRows)
			require.Zero(t, pool.Stat().AcquiredConns())

			// A result of many rows, each of which names keys.
			for range 300 {
				_, err := w.source().CreateSession(ctx, repo.CreateSessionParams{UserID: s.UserID, Title: strings.Repeat("x", 200)})
				require.NoError(t, err)
			}
			w.warm(ctx, other, s.ID)
			rows, err := q.DeleteSessionsOfUser(ctx, s.UserID)
			require.NoError(t, err)
			require.Len(t, rows, 301)
			_, err = other.GetSession(ctx, s.ID)
			require.ErrorIs(t, err, pgx.ErrNoRows)

			// Copying, in and out of a transaction.
			s = w.session(ctx)
			if mode != pgx.QueryExecModeSimpleProtocol && mode != pgx.QueryExecModeExec { // pgx needs to describe the table
				in := []repo.ImportMessagesParams{{ID: uuid.New(), SessionID: s.ID, UserID: s.UserID, Role: repo.MessageRoleClient, Content: "x"}}
				n, err := other.CountMessages(ctx, s.ID)
				require.NoError(t, err)
				require.Zero(t, n)
				_, err = q.ImportMessages(ctx, in)
				require.NoError(t, err)
				n, err = other.CountMessages(ctx, s.ID)
				require.NoError(t, err)
				require.EqualValues(t, 1, n)
			}
			w.warm(ctx, other, s.ID)
			for _, opts := range []pgx.TxOptions{{}, {IsoLevel: pgx.Serializable, DeferrableMode: pgx.Deferrable}, {CommitQuery: "commit and no chain"}} {
				require.NoError(t, q.InTx(ctx, opts, func(tx *cached.Queries) error { return rename(ctx, tx, s.ID, "tx") }))
				require.Equal(t, "tx", w.title(ctx, other, s.ID))
			}
			// A read-only transaction says what Postgres says.
			err = q.InTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx *cached.Queries) error { return rename(ctx, tx, s.ID, "never") })
			require.ErrorContains(t, err, "read-only")
			require.NoError(t, q.InTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx *cached.Queries) error {
				_, err := tx.GetSession(ctx, s.ID)
				return err
			}))

			// The table changes under a prepared statement.
			_, err = w.pool.Exec(ctx, "alter table sessions alter title type varchar(400)")
			require.NoError(t, err)
			eventually(t, "the statement is prepared anew", func() bool { return rename(ctx, q, s.ID, "altered") == nil })
			eventually(t, "the read is prepared anew", func() bool {
				read, err := other.GetSession(ctx, s.ID)
				return err == nil && read.Title == "altered"
			})
			require.Zero(t, pool.Stat().AcquiredConns())
		})
	}
}

// TestPgfenceOneConnection: nothing that is done in the background needs the connection that the caller holds.
func TestPgfenceOneConnection(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	other, _ := w.queries()
	pool := w.poolOf(oneConnection)
	q := cached.New(pool, w.open())
	s := w.session(ctx)
	key := w.redisKey("session", s.ID)

	// A transaction from elsewhere holds the connection by which its outcome is asked for.
	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	require.NoError(t, rename(ctx, q.WithTx(tx), s.ID, "foreign"))
	require.NoError(t, tx.Commit(ctx))
	require.Equal(t, "foreign", w.title(ctx, q, s.ID))
	require.Equal(t, "foreign", w.title(ctx, other, s.ID))
	w.unfenced(ctx, key)

	// The result of a write that goes round the decorator is read while it commits.
	_, err = repo.New(q.DB()).CreateMessage(ctx, repo.CreateMessageParams{SessionID: s.ID, UserID: s.UserID, Role: repo.MessageRoleClient, Content: "x"})
	require.NoError(t, err)
	n, err := other.CountMessages(ctx, s.ID)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)

	// The connection is held by somebody, and the caller gives up.
	held, err := pool.Acquire(ctx)
	require.NoError(t, err)
	short, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, rename(short, q, s.ID, "never"), context.Canceled)
	held.Release()
	require.Equal(t, "foreign", w.title(ctx, q, s.ID))

	pool.Close()
	require.Error(t, rename(ctx, q, s.ID, "never"))
	_, err = q.Begin(ctx)
	require.Error(t, err)
	require.Equal(t, "foreign", w.title(ctx, other, s.ID))
}

// TestPgfenceForeignUnknownKeys: in a transaction from elsewhere, too, a write whose keys cannot be known is not committed.
func TestPgfenceForeignUnknownKeys(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	q, _ := w.queries()
	s := w.session(ctx)
	tx, err := w.pool.Begin(ctx)
	require.NoError(t, err)
	_, err = tx.Exec(ctx, "alter table sessions drop constraint sessions_mood_before_check; alter table sessions alter mood_before type text using 'high'")
	require.NoError(t, err)
	require.Error(t, rename(ctx, q.WithTx(tx), s.ID, "second"))
	require.Error(t, tx.Commit(ctx), "nobody would be told")
	require.Equal(t, "first", w.title(ctx, q, s.ID))
}

// TestPgfenceForeignContextEnds: a statement has run in a transaction from elsewhere, and its context ends before the fence.
// Whoever began the transaction may still commit it.
func TestPgfenceForeignContextEnds(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	q, _ := w.queries()
	other, _ := w.queries()
	s := w.session(ctx)
	w.warm(ctx, other, s.ID)
	tx, err := w.pool.Begin(ctx)
	require.NoError(t, err)
	short, cancel := context.WithCancel(ctx)
	in := q.WithTx(cancelAfter{tx, cancel})
	_ = rename(short, in, s.ID, "second")
	require.NoError(t, tx.Commit(ctx))
	require.Equal(t, "second", w.title(ctx, other, s.ID))
}

// cancelAfter is a transaction whose caller's context ends when the first row has been read.
type cancelAfter struct {
	pgx.Tx
	cancel context.CancelFunc
}

func (c cancelAfter) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return cancelRow{c.Tx.QueryRow(ctx, sql, args...), c.cancel}
}

type cancelRow struct {
	pgx.Row
	cancel context.CancelFunc
}

func (r cancelRow) Scan(dest ...any) error {
	err := r.Row.Scan(dest...)
	r.cancel()
	return err
}

// xactCounter counts who asks for the state of transactions at the same time.
type xactCounter struct{ now, most, queries atomic.Int64 }

type xactKey struct{}

func (c *xactCounter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	if !strings.Contains(d.SQL, "pg_xact_status") {
		return ctx
	}
	c.queries.Add(1)
	n := c.now.Add(1)
	for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
	}
	return context.WithValue(ctx, xactKey{}, true)
}

func (c *xactCounter) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) {
	if ctx.Value(xactKey{}) != nil {
		c.now.Add(-1)
	}
}

// TestPgfenceForeignManyWrites: a transaction from elsewhere is watched once, however much it writes.
func TestPgfenceForeignManyWrites(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	var count xactCounter
	pool := w.poolOf(func(cfg *pgxpool.Config) {
		cfg.MaxConns = 8
		cfg.ConnConfig.Tracer = &count
	})
	q := cached.New(pool, w.open())
	other, _ := w.queries()
	s := w.session(ctx)
	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	in := q.WithTx(tx)
	for i := range 200 {
		require.NoError(t, rename(ctx, in, s.ID, fmt.Sprint(i)))
	}
	require.NoError(t, tx.Commit(ctx))
	require.Equal(t, "199", w.title(ctx, other, s.ID))
	w.unfenced(ctx, w.redisKey("session", s.ID))
	require.NotZero(t, count.queries.Load())
	require.EqualValues(t, 1, count.most.Load())
}

// TestPgfenceUnknownStatementsAreReportedOnce: not once for each value that somebody has put into his SQL.
func TestPgfenceUnknownStatementsAreReportedOnce(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	q, _ := w.queries()
	s := w.session(ctx)
	for i := range 5 {
		_, err := q.DB().Exec(ctx, fmt.Sprintf("update sessions set title = 'secret %d' where id = $1", i), s.ID)
		require.NoError(t, err)
	}
	require.Equal(t, 1, strings.Count(w.log.String(), "is not invalidated"))
	require.NotContains(t, w.log.String(), "secret")
}

// dropper is a proxy before Postgres whose clients lose their connections while the server does not notice.
type dropper struct {
	ln      net.Listener
	mu      sync.Mutex
	clients []net.Conn
}

func newDropper(t *testing.T, target string) *dropper {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	d := &dropper{ln: ln}
	var wg sync.WaitGroup
	ended := make(chan struct{})
	t.Cleanup(func() {
		_ = ln.Close()
		d.drop()
		close(ended)
		wg.Wait()
	})
	wg.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				_ = client.Close()
				continue
			}
			d.mu.Lock()
			d.clients = append(d.clients, client)
			d.mu.Unlock()
			wg.Go(func() {
				pipe(client, server)
				_ = client.Close()
			})
			wg.Go(func() { pipe(server, client) })
			wg.Go(func() {
				<-ended
				_ = server.Close()
			})
		}
	})
	return d
}

func pipe(to, from net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (d *dropper) drop() {
	_ = d.ln.Close() // no request to cancel comes through either
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.clients {
		_ = c.Close()
	}
	d.clients = nil
}

// TestPgfenceRoundTheDecoratorConnectionLost: a write that goes round the decorator waits for a lock when its connection is
// lost. It must not land when nobody watches over it any more.
func TestPgfenceRoundTheDecoratorConnectionLost(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"exec", "row"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			w := newWorld(t)
			drop := newDropper(t, w.postgresAddr())
			pool := w.poolOf(func(cfg *pgxpool.Config) {
				cfg.ConnConfig.Host = "127.0.0.1"
				cfg.ConnConfig.Port = uint16(drop.ln.Addr().(*net.TCPAddr).Port)
				cfg.ConnConfig.Fallbacks = nil
				cfg.ConnConfig.TLSConfig = nil
			})
			q := cached.New(pool, w.open())
			s := w.session(ctx)
			m, err := w.source().CreateMessage(ctx, repo.CreateMessageParams{SessionID: s.ID, UserID: s.UserID, Role: repo.MessageRoleClient, Content: "x"})
			require.NoError(t, err)
			count := func() int64 {
				n, err := w.source().CountMessages(ctx, s.ID)
				require.NoError(t, err)
				return n
			}
			lock, err := w.pool.Begin(ctx)
			require.NoError(t, err)
			_, err = lock.Exec(ctx, "select from messages for update; select from sessions for update")
			require.NoError(t, err)
			backends := func(where string) (n int) {
				require.NoError(t, admin.QueryRow(ctx, `select count(*) from pg_stat_activity where datname = $1 and query ~ '(Create|Delete)Message' and `+where,
					w.pool.Config().ConnConfig.Database).Scan(&n))
				return n
			}
			result := make(chan error, 1)
			go func() {
				round := repo.New(q.DB())
				if kind == "exec" {
					_, err := round.DeleteMessage(ctx, repo.DeleteMessageParams{ID: m.ID, SessionID: s.ID, UserID: s.UserID})
					result <- err
					return
				}
				_, err := round.CreateMessage(ctx, repo.CreateMessageParams{SessionID: s.ID, UserID: s.UserID, Role: repo.MessageRoleClient, Content: "y"})
				result <- err
			}()
			eventually(t, "the statement waits", func() bool { return backends("wait_event_type = 'Lock'") == 1 })
			drop.drop()
			require.Error(t, <-result)
			require.NoError(t, lock.Rollback(ctx))
			eventually(t, "the statement has ended", func() bool { return backends("state = 'active'") == 0 })
			require.EqualValues(t, 1, count())
		})
	}
}

// TestPgfencePostgresEnds: the server, or the backend, goes away at every moment of a write.
func TestPgfencePostgresEnds(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	srv, err := servers.StartPostgres(ctx, servers.PostgresOptions{Own: true})
	require.NoError(t, err)
	t.Cleanup(func() { _ = srv.Close() })
	require.NoError(t, migrate.To(srv.URL(), 0))
	w := newWorld(t)
	w.dbURL = srv.URL()
	w.pool = w.poolOf(func(cfg *pgxpool.Config) { cfg.MaxConns = 8 })
	ops := w.poolOf(func(cfg *pgxpool.Config) { cfg.MaxConns = 2 })
	q, _ := w.queries()
	other, _ := w.queries()
	s := w.session(ctx)
	key := w.redisKey("session", s.ID)
	waiting := func(event string) (pid int) {
		eventually(t, "a backend waits for "+event, func() bool {
			return ops.QueryRow(ctx, "select pid from pg_stat_activity where wait_event = $1 and query like '%commit'", event).Scan(&pid) == nil
		})
		return pid
	}
	sync := func(names string) {
		_, err := ops.Exec(ctx, "alter system set synchronous_standby_names = '"+names+"'")
		require.NoError(t, err)
		_, err = ops.Exec(ctx, "select pg_reload_conf()")
		require.NoError(t, err)
		eventually(t, "the setting is in use", func() bool {
			c, err := pgx.Connect(ctx, srv.URL())
			if err != nil {
				return false
			}
			defer c.Close(ctx)
			var now string
			return c.QueryRow(ctx, "show synchronous_standby_names").Scan(&now) == nil && now == names
		})
	}
	sure := func(want string) { // everybody agrees, and the cell can be stored again
		t.Helper()
		eventually(t, want+" is there", func() bool { return w.title(ctx, w.source(), s.ID) == want })
		require.Equal(t, want, w.title(ctx, other, s.ID))
		require.Equal(t, want, w.title(ctx, q, s.ID))
		w.unfenced(ctx, key)
		w.warm(ctx, other, s.ID)
		require.Equal(t, want, w.title(ctx, other, s.ID))
		eventually(t, "connections are back", func() bool { return w.pool.Stat().AcquiredConns() == 0 })
	}
	write := func(ctx context.Context, title string, tx bool) error {
		if !tx {
			return rename(ctx, q, s.ID, title)
		}
		return q.InTx(ctx, pgx.TxOptions{}, func(in *cached.Queries) error { return rename(ctx, in, s.ID, title) })
	}
	for _, tx := range []bool{false, true} {
		name := fmt.Sprint("tx ", tx)
		sure(w.title(ctx, w.source(), s.ID))

		// A standby does not answer, and the caller gives up; then the backend is ended, which makes the commit visible.
		sync("ghost")
		short, cancel := context.WithCancel(ctx)
		result := make(chan error, 1)
		go func() { result <- write(short, name+" ghost", tx) }()
		pid := waiting("SyncRep")
		cancel()
		require.ErrorIs(t, <-result, cache.ErrOutcomeUnknown)
		before := w.title(ctx, w.source(), s.ID)
		for range 5 {
			require.Equal(t, before, w.title(ctx, other, s.ID))
		}
		require.Contains(t, w.fields(ctx, key), "!")
		require.NotContains(t, w.fields(ctx, key), "GetSession")
		_, err = ops.Exec(ctx, "select pg_terminate_backend($1)", pid)
		require.NoError(t, err)
		sure(name + " ghost")

		// The same, and the caller waits.
		go func() { result <- write(ctx, name+" ended", tx) }()
		_, err = ops.Exec(ctx, "select pg_terminate_backend($1)", waiting("SyncRep"))
		require.NoError(t, err)
		require.ErrorIs(t, <-result, cache.ErrOutcomeUnknown)
		sure(name + " ended")

		// The server dies while it waits: the commit is in its log.
		go func() { result <- write(ctx, name+" crash", tx) }()
		waiting("SyncRep")
		require.NoError(t, srv.Crash())
		require.ErrorIs(t, <-result, cache.ErrOutcomeUnknown)
		require.Contains(t, w.fields(ctx, key), "!")
		require.NoError(t, srv.Restart(ctx))
		eventually(t, "Postgres answers", func() bool { return ops.Ping(ctx) == nil })
		sync("")
		sure(name + " crash")
	}

	// The backend is ended, or the server restarts, in the middle of a transaction: nothing has happened.
	for _, end := range []func(pid uint32){
		func(pid uint32) {
			_, err := ops.Exec(ctx, "select pg_terminate_backend($1, 10000)", pid)
			require.NoError(t, err)
		},
		func(uint32) {
			require.NoError(t, srv.Crash())
			require.NoError(t, srv.Restart(ctx))
			eventually(t, "Postgres answers", func() bool { return ops.Ping(ctx) == nil && w.pool.Ping(ctx) == nil })
		},
	} {
		before := w.title(ctx, w.source(), s.ID)
		tx, err := q.Begin(ctx)
		require.NoError(t, err)
		require.NoError(t, rename(ctx, q.WithTx(tx), s.ID, "never"))
		end(tx.Conn().PgConn().PID())
		err = tx.Commit(ctx)
		require.Error(t, err)
		require.NotErrorIs(t, err, cache.ErrOutcomeUnknown, "COMMIT was not sent")
		require.ErrorIs(t, tx.Rollback(ctx), pgx.ErrTxClosed)
		sure(before)
	}
}

// TestPgfenceAfterCommitUnknownOutcome: a group that is invalidated after the commit only, whose answer is missing: this
// process reads the source until the outcome is known, and the key is voided then.
func TestPgfenceAfterCommitUnknownOutcome(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	mode := func(o *cache.Options) {
		o.Groups = map[string]cache.GroupOptions{"session": {Mode: cache.AfterCommit}, "session_list": {Mode: cache.AfterCommit}, "report": {Mode: cache.AfterCommit}}
	}
	other, _ := w.queries(mode)
	s := w.session(ctx)
	cut := newCutter(t, w.postgresAddr())
	cut.hold = make(chan struct{})
	q, _ := w.through(cut, mode)
	w.warm(ctx, other, s.ID)
	require.Equal(t, "first", w.title(ctx, q, s.ID))
	cut.armed.Store(true)
	require.ErrorIs(t, rename(ctx, q, s.ID, "second"), cache.ErrOutcomeUnknown)
	require.Equal(t, "first", w.title(ctx, q, s.ID))
	close(cut.hold)
	<-cut.cut
	eventually(t, "the commit is visible", func() bool { return w.title(ctx, w.source(), s.ID) == "second" })
	require.Equal(t, "second", w.title(ctx, q, s.ID))
	eventually(t, "others see it", func() bool { return w.title(ctx, other, s.ID) == "second" })
}

// TestPgfenceEndedBySQL: a transaction that was ended by plain SQL is invalidated at its Commit or Rollback all the same.
func TestPgfenceEndedBySQL(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	q, _ := w.queries()
	other, _ := w.queries()
	for _, end := range []func(pgx.Tx) error{
		func(tx pgx.Tx) error { return tx.Commit(ctx) },
		func(tx pgx.Tx) error { return tx.Rollback(ctx) },
	} {
		s := w.session(ctx)
		w.warm(ctx, other, s.ID)
		tx, err := q.Begin(ctx)
		require.NoError(t, err)
		require.NoError(t, rename(ctx, q.WithTx(tx), s.ID, "second"))
		_, err = tx.Exec(ctx, "commit")
		require.NoError(t, err)
		require.NoError(t, end(tx))
		require.Equal(t, "second", w.title(ctx, other, s.ID))
		require.Zero(t, w.pool.Stat().AcquiredConns())
	}
}

// TestPgfenceManyKeys: a write of more keys than are fenced one by one voids their groups, or fails where they are strict.
func TestPgfenceManyKeys(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t, ownRedis())
	q, c := w.queries()
	other, _ := w.queries()
	s := w.session(ctx)
	const many = 2200 // times the keys of a session: more than 10,000
	_, err := w.pool.Exec(ctx, "insert into sessions (user_id, title) select $1, i::text from generate_series(1, $2::int) i", s.UserID, many)
	require.NoError(t, err)
	w.warm(ctx, other, s.ID)
	w.warm(ctx, q, s.ID)
	require.ErrorIs(t, q.InTx(ctx, pgx.TxOptions{}, func(tx *cached.Queries) error {
		rows, err := tx.DeleteSessionsOfUser(ctx, s.UserID)
		require.NoError(t, err)
		require.Len(t, rows, many+1)
		return errBoom
	}), errBoom)
	require.Equal(t, "first", w.title(ctx, q, s.ID))
	_, err = q.DeleteSessionsOfUser(ctx, s.UserID)
	require.NoError(t, err)
	_, err = q.GetSession(ctx, s.ID)
	require.ErrorIs(t, err, pgx.ErrNoRows, "this process sees it at once")
	eventually(t, "others see it", func() bool {
		_, err := other.GetSession(ctx, s.ID)
		return errors.Is(err, pgx.ErrNoRows)
	})
	require.NotZero(t, c.Stats().Groups["session"].GroupInvalidations)

	strict, _ := w.queries(func(o *cache.Options) {
		o.Groups = map[string]cache.GroupOptions{"session": {Mode: cache.Strict}}
	})
	_, err = w.pool.Exec(ctx, "insert into sessions (user_id, title) select $1, i::text from generate_series(1, $2::int) i", s.UserID, many)
	require.NoError(t, err)
	require.NoError(t, w.redis.Kill())
	_, err = strict.DeleteSessionsOfUser(ctx, s.UserID)
	require.ErrorIs(t, err, cache.ErrFence)
	n, err := w.source().CountSessions(ctx, s.UserID)
	require.NoError(t, err)
	require.EqualValues(t, many, n)
	require.Zero(t, w.pool.Stat().AcquiredConns())
}

// TestPgfenceClosedAndDisabled: a closed cache changes nothing in any way, a disabled one stays out of the way.
func TestPgfenceClosedAndDisabled(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	s := w.session(ctx)
	writes := func(q *cached.Queries, title string) map[string]error {
		out := make(map[string]error)
		out["alone"] = rename(ctx, q, s.ID, title)
		out["in a transaction"] = q.InTx(ctx, pgx.TxOptions{}, func(tx *cached.Queries) error { return rename(ctx, tx, s.ID, title) })
		plain, err := w.pool.Begin(ctx)
		require.NoError(t, err)
		out["elsewhere"] = rename(ctx, q.WithTx(plain), s.ID, title)
		if err := plain.Commit(ctx); err != nil {
			require.ErrorIs(t, err, pgx.ErrTxCommitRollback)
		}
		_, out["round"] = repo.New(q.DB()).CreateMessage(ctx, repo.CreateMessageParams{SessionID: s.ID, UserID: s.UserID, Role: repo.MessageRoleClient, Content: title})
		return out
	}
	count := func() int64 {
		n, err := w.source().CountMessages(ctx, s.ID)
		require.NoError(t, err)
		return n
	}

	closed, c := w.queries()
	require.NoError(t, c.Close())
	for how, err := range writes(closed, "closed") {
		require.ErrorIs(t, err, cache.ErrClosed, how)
	}
	require.Equal(t, "first", w.title(ctx, closed, s.ID))
	require.Zero(t, count())
	require.Zero(t, w.pool.Stat().AcquiredConns())

	disabled, _ := w.queries(func(o *cache.Options) { o.Disabled = true })
	for how, err := range writes(disabled, "disabled") {
		require.NoError(t, err, how)
	}
	require.Equal(t, "disabled", w.title(ctx, disabled, s.ID))
	require.EqualValues(t, 1, count())
	require.Empty(t, w.fields(ctx, w.redisKey("session", s.ID)))
	require.Zero(t, w.pool.Stat().AcquiredConns())
}

// TestPgfenceReadsBeforeItWrites: a write on the pool whose first statement changes nothing is fenced as well. What was known of
// the transaction after that statement, that it had written nothing, does not hold after the next.
func TestPgfenceReadsBeforeItWrites(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	w.counters(ctx, 1)
	var fences atomic.Int64
	p := w.process(func(o *cache.Options) {
		o.Failpoint = func(_ context.Context, name string) {
			if name == "after-fence" {
				fences.Add(1)
			}
		}
	})
	other := w.process()
	for want := int64(1); want <= 3; want++ {
		_, err := other.read(ctx, 0)
		require.NoError(t, err)
		_, err = pgfence.Write(ctx, p.db, func(ctx context.Context, d pgfence.DBTX) (int64, []cache.Key, error) {
			var v int64
			for range want {
				if err := d.QueryRow(ctx, "select version from counters where id = 0").Scan(&v); err != nil {
					return 0, nil, err
				}
			}
			_, err := d.Exec(ctx, "update counters set version = $1 where id = 0", v+1)
			return v + 1, []cache.Key{counterGroup.Key(0)}, err
		})
		require.NoError(t, err)
		require.Equal(t, want, fences.Load(), "the commit was fenced")
		got, err := other.read(ctx, 0)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}
