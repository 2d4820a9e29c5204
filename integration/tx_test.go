package integration

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/pgfence"
	"github.com/pgaside/pgaside/cached"
	"github.com/pgaside/pgaside/repo"
)

func rename(ctx context.Context, q cached.SessionRepository, id uuid.UUID, title string) error {
	_, err := q.RenameSession(ctx, repo.RenameSessionParams{ID: id, Title: title})
	return err
}

func (w *world) title(ctx context.Context, q cached.SessionRepository, id uuid.UUID) string {
	w.t.Helper()
	s, err := q.GetSession(ctx, id)
	require.NoError(w.t, err)
	return s.Title
}

// warm reads a session until its cell is stored.
func (w *world) warm(ctx context.Context, q cached.SessionRepository, id uuid.UUID) {
	w.t.Helper()
	_, err := q.GetSession(ctx, id)
	require.NoError(w.t, err)
	w.stored(ctx, w.redisKey("session", id), "GetSession")
}

func TestTransactionCommitIsSeenEverywhere(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	q, _ := w.queries()
	other, _ := w.queries()
	s := w.session(ctx)
	w.warm(ctx, q, s.ID)

	err := q.InTx(ctx, pgx.TxOptions{}, func(tx *cached.Queries) error {
		require.NoError(t, rename(ctx, tx, s.ID, "second"))
		require.Equal(t, "second", w.title(ctx, tx, s.ID), "a transaction reads its own writes")
		require.Equal(t, "first", w.title(ctx, other, s.ID), "and nobody else does")
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, "second", w.title(ctx, q, s.ID))
	require.Equal(t, "second", w.title(ctx, other, s.ID))
}

func TestTransactionRollbackChangesNothing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	q, c := w.queries()
	s := w.session(ctx)
	w.warm(ctx, q, s.ID)
	cell := w.fields(ctx, w.redisKey("session", s.ID))["GetSession"]

	err := q.InTx(ctx, pgx.TxOptions{}, func(tx *cached.Queries) error {
		require.NoError(t, rename(ctx, tx, s.ID, "second"))
		return errBoom
	})
	require.ErrorIs(t, err, errBoom)
	require.PanicsWithValue(t, "boom", func() {
		_ = q.InTx(ctx, pgx.TxOptions{}, func(tx *cached.Queries) error {
			require.NoError(t, rename(ctx, tx, s.ID, "second"))
			panic("boom")
		})
	})
	require.Equal(t, cell, w.fields(ctx, w.redisKey("session", s.ID))["GetSession"], "the cell has not been touched")
	require.Equal(t, "first", w.title(ctx, q, s.ID))
	require.Zero(t, c.Stats().Groups["session"].Invalidations)
	require.Zero(t, w.pool.Stat().AcquiredConns(), "no connection is left behind")
}

func TestTransactionReadsNeverFill(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	q, _ := w.queries()
	s := w.session(ctx)
	tx, err := q.Begin(ctx)
	require.NoError(t, err)
	in := q.WithTx(tx)
	require.NoError(t, rename(ctx, in, s.ID, "uncommitted"))
	require.Equal(t, "uncommitted", w.title(ctx, in, s.ID))
	rows, err := in.ListSessionsByIDs(ctx, []uuid.UUID{s.ID})
	require.NoError(t, err)
	require.Equal(t, "uncommitted", rows[0].Title)
	require.NoError(t, tx.Rollback(ctx))
	require.Empty(t, w.fields(ctx, w.redisKey("session", s.ID)))
	require.Equal(t, "first", w.title(ctx, q, s.ID))
}

func TestSavepoints(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	q, _ := w.queries()
	a, b := w.session(ctx), w.session(ctx)
	w.warm(ctx, q, a.ID)
	w.warm(ctx, q, b.ID)

	err := q.InTx(ctx, pgx.TxOptions{}, func(tx *cached.Queries) error {
		require.NoError(t, rename(ctx, tx, a.ID, "outer"))
		require.ErrorIs(t, tx.InTx(ctx, pgx.TxOptions{}, func(inner *cached.Queries) error {
			require.NoError(t, rename(ctx, inner, b.ID, "inner"))
			return errBoom
		}), errBoom)
		require.Equal(t, "first", w.title(ctx, tx, b.ID), "the savepoint has been rolled back")
		return tx.InTx(ctx, pgx.TxOptions{}, func(inner *cached.Queries) error {
			return rename(ctx, inner, a.ID, "released")
		})
	})
	require.NoError(t, err)
	require.Equal(t, "released", w.title(ctx, q, a.ID))
	require.Equal(t, "first", w.title(ctx, q, b.ID))
}

func TestFailedTransactionCannotCommit(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	q, _ := w.queries()
	s := w.session(ctx)
	tx, err := q.Begin(ctx)
	require.NoError(t, err)
	require.NoError(t, rename(ctx, q.WithTx(tx), s.ID, "second"))
	_, err = tx.Exec(ctx, "select 1/0")
	require.Error(t, err)
	require.ErrorIs(t, tx.Commit(ctx), pgx.ErrTxCommitRollback)
	require.ErrorIs(t, tx.Commit(ctx), pgx.ErrTxClosed)
	require.ErrorIs(t, tx.Rollback(ctx), pgx.ErrTxClosed)
	require.Equal(t, "first", w.title(ctx, q, s.ID))
	require.Zero(t, w.pool.Stat().AcquiredConns())
}

// A statement whose result does not scan may have run: without the keys that its result would have told, the transaction must
// not be committed.
func TestTransactionWithUnknownKeysIsNotCommitted(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	q, _ := w.queries()
	s := w.session(ctx)
	tx, err := q.Begin(ctx)
	require.NoError(t, err)
	// Somebody has changed the table under the program: a text where it expects a number.
	_, err = tx.Exec(ctx, "alter table sessions drop constraint sessions_mood_before_check; alter table sessions alter mood_before type text using 'high'")
	require.NoError(t, err)
	require.Error(t, rename(ctx, q.WithTx(tx), s.ID, "second"))
	err = tx.Commit(ctx)
	require.ErrorContains(t, err, "what it changed is unknown")
	require.Equal(t, "first", w.title(ctx, q, s.ID))
}

// The same in a transaction that somebody else will commit: it is made to fail.
func TestPlainTransactionThatCannotBeFencedCannotCommit(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t, ownRedis())
	s := w.session(ctx)
	t.Run("keys unknown", func(t *testing.T) {
		q, _ := w.queries()
		tx, err := w.pool.Begin(ctx)
		require.NoError(t, err)
		_, err = tx.Exec(ctx, "alter table sessions drop constraint sessions_mood_before_check; alter table sessions alter mood_before type text using 'high'")
		require.NoError(t, err)
		require.Error(t, rename(ctx, q.WithTx(tx), s.ID, "second"))
		require.ErrorIs(t, tx.Commit(ctx), pgx.ErrTxCommitRollback)
		require.Equal(t, "first", w.title(ctx, q, s.ID))
	})
	t.Run("strict", func(t *testing.T) {
		q, _ := w.queries(func(o *cache.Options) {
			o.Groups = map[string]cache.GroupOptions{"session": {Mode: cache.Strict}}
		})
		require.NoError(t, w.redis.Kill())
		tx, err := w.pool.Begin(ctx)
		require.NoError(t, err)
		require.ErrorIs(t, rename(ctx, q.WithTx(tx), s.ID, "second"), cache.ErrFence)
		require.ErrorIs(t, tx.Commit(ctx), pgx.ErrTxCommitRollback)
		require.Equal(t, "first", w.title(ctx, q, s.ID))
	})
}

// TestAmendment4_11_4_AutocommitWritesAreFenced: BEGIN, the statement and the transaction's id travel together, the fence is up
// before COMMIT, and it is gone soon after.
func TestAmendment4_11_4_AutocommitWritesAreFenced(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	s := w.session(ctx)
	key := w.redisKey("session", s.ID)
	var atFence atomic.Int64
	q, _ := w.queries(func(o *cache.Options) {
		o.Failpoint = func(ctx context.Context, name string) {
			if name != "after-fence" {
				return
			}
			fenced, err := w.rdb.HExists(ctx, key, "!").Result()
			require.NoError(t, err)
			require.True(t, fenced, "the fence is up before COMMIT")
			var title string
			require.NoError(t, w.pool.QueryRow(ctx, "select title from sessions where id = $1", s.ID).Scan(&title))
			require.Equal(t, "first", title, "the write is not visible yet")
			atFence.Add(1)
		}
	})
	require.NoError(t, rename(ctx, q, s.ID, "second"))
	require.EqualValues(t, 1, atFence.Load())
	require.Equal(t, "second", w.title(ctx, q, s.ID))
	w.unfenced(ctx, key)

	// What writes nothing fences nothing.
	require.ErrorIs(t, rename(ctx, q, uuid.New(), "nobody"), pgx.ErrNoRows)
	require.EqualValues(t, 1, atFence.Load())
	require.Zero(t, w.pool.Stat().AcquiredConns())

	// An error of Postgres is the caller's, unchanged, and the connection is good afterwards.
	_, err := q.CreateMessage(ctx, repo.CreateMessageParams{SessionID: uuid.New(), UserID: uuid.New(), Role: repo.MessageRoleClient})
	require.ErrorContains(t, err, "messages_session_fkey")
	require.EqualValues(t, 1, atFence.Load())
	require.Zero(t, w.pool.Stat().AcquiredConns())
}

// TestAmendment4_11_5_CommitGuard: a commit that comes too late after its fence is rolled back by Postgres' own clock.
func TestAmendment4_11_5_CommitGuard(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	s := w.session(ctx)
	// The guard's clock is Postgres': the process is "stopped" for longer than the guard by letting the fence wait.
	q, _ := w.queries(func(o *cache.Options) {
		o.Failpoint = func(_ context.Context, name string) {
			if name == "after-fence" {
				time.Sleep(10*time.Second + 200*time.Millisecond)
			}
		}
	})
	var wg sync.WaitGroup
	wg.Go(func() { require.ErrorIs(t, rename(ctx, q, s.ID, "late"), pgfence.ErrCommitTooLate) })
	wg.Go(func() {
		err := q.InTx(ctx, pgx.TxOptions{}, func(tx *cached.Queries) error {
			_, err := tx.CreateDevice(ctx, repo.CreateDeviceParams{UserID: s.UserID, Platform: repo.DevicePlatformIos, Name: "late"})
			return err
		})
		require.ErrorIs(t, err, pgfence.ErrCommitTooLate)
	})
	wg.Wait()
	require.Equal(t, "first", w.title(ctx, q, s.ID))
	devices, err := w.source().ListDevices(ctx, s.UserID)
	require.NoError(t, err)
	require.Empty(t, devices)
	w.unfenced(ctx, w.redisKey("session", s.ID), w.redisKey("device_list", s.UserID))
	require.Zero(t, w.pool.Stat().AcquiredConns())
}

// cutter is a proxy before Postgres that can swallow what the server answers.
type cutter struct {
	ln     net.Listener
	target string
	armed  atomic.Bool   // cut the next connection that sends COMMIT, before its answer comes back
	hold   chan struct{} // if not nil, the COMMIT is delivered when it is closed
	ended  chan struct{} // closed with the test
	cut    chan struct{} // receives when a COMMIT was cut
}

func newCutter(t *testing.T, target string) *cutter {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cutter{ln: ln, target: target, cut: make(chan struct{}, 1), ended: make(chan struct{})}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		_ = ln.Close()
		close(c.ended)
		wg.Wait()
	})
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { c.serve(conn) })
		}
	})
	return c
}

func (c *cutter) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.target)
	if err != nil {
		return
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer server.Close()
	wg.Go(func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	})
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			_ = server.Close()
			return
		}
		if strings.Contains(string(buf[:n]), "; commit") && c.armed.CompareAndSwap(true, false) {
			_ = client.Close() // the answer has nowhere to go
			if c.hold != nil {
				select {
				case <-c.hold:
				case <-c.ended:
					return
				}
			}
			_, _ = server.Write(buf[:n])
			c.cut <- struct{}{}
			time.Sleep(100 * time.Millisecond) // let the backend take it before the connection goes
			_ = server.Close()
			return
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

// through returns cached queries whose pool reaches Postgres through a cutter.
func (w *world) through(cut *cutter, change ...func(*cache.Options)) (*cached.Queries, *cache.Cache) {
	cfg, err := pgxpool.ParseConfig(w.dbURL)
	require.NoError(w.t, err)
	cfg.ConnConfig.Host = "127.0.0.1"
	cfg.ConnConfig.Port = uint16(cut.ln.Addr().(*net.TCPAddr).Port)
	cfg.ConnConfig.Fallbacks = nil
	cfg.ConnConfig.TLSConfig = nil
	pool, err := pgxpool.NewWithConfig(w.t.Context(), cfg)
	require.NoError(w.t, err)
	w.t.Cleanup(pool.Close)
	c := w.open(change...)
	return cached.New(pool, c), c
}

func (w *world) postgresAddr() string {
	cfg, err := pgx.ParseConfig(w.dbURL)
	require.NoError(w.t, err)
	return net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))
}

// TestAmendment4_11_6_UnknownOutcome: the connection breaks while COMMIT is on its way. Nobody sees an old value after a new
// one, whenever the commit lands, and the fence goes when Postgres has told what became of it.
func TestAmendment4_11_6_UnknownOutcome(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"autocommit", "transaction"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			w := newWorld(t)
			other, _ := w.queries()
			s := w.session(ctx)
			key := w.redisKey("session", s.ID)
			w.warm(ctx, other, s.ID)

			cut := newCutter(t, w.postgresAddr())
			cut.hold = make(chan struct{})
			q, _ := w.through(cut)
			require.Equal(t, "first", w.title(ctx, q, s.ID)) // connected
			cut.armed.Store(true)
			var err error
			if kind == "autocommit" {
				err = rename(ctx, q, s.ID, "second")
			} else {
				err = q.InTx(ctx, pgx.TxOptions{}, func(tx *cached.Queries) error { return rename(ctx, tx, s.ID, "second") })
			}
			require.ErrorIs(t, err, cache.ErrOutcomeUnknown)

			// The commit has not landed: everybody reads the source, and nothing is stored.
			for range 20 {
				require.Equal(t, "first", w.title(ctx, other, s.ID))
				require.Equal(t, "first", w.title(ctx, q, s.ID))
			}
			require.Empty(t, w.fields(ctx, key)["GetSession"])
			require.Contains(t, w.fields(ctx, key), "!")
			close(cut.hold) // now it lands
			<-cut.cut
			eventually(t, "the commit is visible", func() bool { return w.title(ctx, w.source(), s.ID) == "second" })
			require.Equal(t, "second", w.title(ctx, other, s.ID))
			require.Equal(t, "second", w.title(ctx, q, s.ID))
			w.unfenced(ctx, key)
			w.warm(ctx, other, s.ID)
			require.Equal(t, "second", w.title(ctx, other, s.ID))
		})
	}
}

// TestContextEndsDuringCommit: the caller is told that the outcome is unknown, and COMMIT goes on.
func TestContextEndsDuringCommit(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	q, _ := w.queries()
	s := w.session(ctx)
	// A deferred constraint trigger makes COMMIT wait for a lock that the test holds.
	_, err := w.pool.Exec(ctx, `
		create function wait_for_gate() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock(7); return null; end $$;
		create constraint trigger gate after update on sessions deferrable initially deferred for each row execute function wait_for_gate()`)
	require.NoError(t, err)
	gate, err := w.pool.Begin(ctx)
	require.NoError(t, err)
	_, err = gate.Exec(ctx, "select pg_advisory_xact_lock(7)")
	require.NoError(t, err)

	for _, kind := range []string{"autocommit", "transaction"} {
		short, cancel := context.WithCancel(ctx)
		result := make(chan error, 1)
		go func() {
			if kind == "autocommit" {
				result <- rename(short, q, s.ID, kind)
				return
			}
			result <- q.InTx(short, pgx.TxOptions{}, func(tx *cached.Queries) error { return rename(short, tx, s.ID, kind) })
		}()
		eventually(t, "COMMIT waits", func() bool {
			var n int
			require.NoError(t, admin.QueryRow(ctx, `select count(*) from pg_stat_activity where datname = $1
				and wait_event = 'advisory' and query like '%commit'`, w.pool.Config().ConnConfig.Database).Scan(&n))
			return n == 1
		})
		cancel()
		err := <-result
		require.ErrorIs(t, err, cache.ErrOutcomeUnknown)
		require.ErrorIs(t, err, context.Canceled)
		require.Contains(t, w.fields(ctx, w.redisKey("session", s.ID)), "!", "the fence stays while COMMIT is under way")

		require.NoError(t, gate.Commit(ctx))
		eventually(t, "COMMIT has gone on", func() bool { return w.title(ctx, w.source(), s.ID) == kind })
		require.Equal(t, kind, w.title(ctx, q, s.ID))
		w.unfenced(ctx, w.redisKey("session", s.ID))
		gate, err = w.pool.Begin(ctx)
		require.NoError(t, err)
		_, err = gate.Exec(ctx, "select pg_advisory_xact_lock(7)")
		require.NoError(t, err)
	}
	require.NoError(t, gate.Rollback(ctx))
	eventually(t, "connections are back", func() bool { return w.pool.Stat().AcquiredConns() == 0 })
}

// TestCommitFailsKnown: an error of COMMIT itself (a deferred constraint) is a known outcome.
func TestCommitFailsKnown(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	q, _ := w.queries()
	s := w.session(ctx)
	_, err := w.pool.Exec(ctx, "alter table messages alter constraint messages_session_fkey deferrable initially deferred")
	require.NoError(t, err)
	_, err = q.CreateMessage(ctx, repo.CreateMessageParams{SessionID: uuid.New(), UserID: s.UserID, Role: repo.MessageRoleClient, Content: "x"})
	require.ErrorContains(t, err, "messages_session_fkey")
	require.NotErrorIs(t, err, cache.ErrOutcomeUnknown)
	require.Zero(t, w.pool.Stat().AcquiredConns())
}

// TestAmendment4_11_7_PlainTransaction: a pgx.Tx from elsewhere is fenced at each write, until Postgres knows its outcome.
func TestAmendment4_11_7_PlainTransaction(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	q, _ := w.queries()
	other, _ := w.queries()
	for _, commit := range []bool{true, false} {
		s := w.session(ctx)
		key := w.redisKey("session", s.ID)
		w.warm(ctx, other, s.ID)
		tx, err := w.pool.Begin(ctx)
		require.NoError(t, err)
		require.NoError(t, rename(ctx, q.WithTx(tx), s.ID, "second"))
		require.NoError(t, rename(ctx, q.WithTx(tx), s.ID, "third"))
		require.Equal(t, "third", w.title(ctx, q.WithTx(tx), s.ID))
		for range 5 {
			require.Equal(t, "first", w.title(ctx, other, s.ID))
		}
		require.NotContains(t, w.fields(ctx, key), "GetSession", "nothing is stored while the transaction is open")
		want := "first"
		if commit {
			want = "third"
			require.NoError(t, tx.Commit(ctx))
		} else {
			require.NoError(t, tx.Rollback(ctx))
		}
		require.Equal(t, want, w.title(ctx, other, s.ID))
		require.Equal(t, want, w.title(ctx, q, s.ID))
		w.unfenced(ctx, key)
		w.warm(ctx, other, s.ID)
	}
	require.Equal(t, 1, strings.Count(w.log.String(), "begun elsewhere"), "it is reported once for each query")
}

// TestAmendment4_11_21_RoundTheDecorator: a write of the project that reaches our pool or transaction as plain SQL is fenced
// where its arguments tell the keys, and refused where they do not.
func TestAmendment4_11_21_RoundTheDecorator(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	q, _ := w.queries()
	s := w.session(ctx)
	m, err := q.CreateMessage(ctx, repo.CreateMessageParams{SessionID: s.ID, UserID: s.UserID, Role: repo.MessageRoleClient, Content: "hello"})
	require.NoError(t, err)
	count := func(q repo.Querier) int64 {
		n, err := q.CountMessages(ctx, s.ID)
		require.NoError(t, err)
		return n
	}
	warmCount := func() {
		w.unfenced(ctx, w.redisKey("message", s.ID))
		require.EqualValues(t, count(w.source()), count(q))
		w.stored(ctx, w.redisKey("message", s.ID), "CountMessages")
	}
	params := repo.CreateMessageParams{SessionID: s.ID, UserID: s.UserID, Role: repo.MessageRoleClient, Content: "more"}
	drop := repo.DeleteMessageParams{ID: m.ID, SessionID: s.ID, UserID: s.UserID}

	round := repo.New(q.DB())
	warmCount()
	_, err = round.CreateMessage(ctx, params) // its row is read while it commits
	require.NoError(t, err)
	require.EqualValues(t, 2, count(q))
	warmCount()
	n, err := round.DeleteMessage(ctx, drop)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	require.EqualValues(t, 1, count(q))
	_, err = round.RenameSession(ctx, repo.RenameSessionParams{ID: s.ID, Title: "round"})
	require.ErrorIs(t, err, pgfence.ErrRoundDecorator)
	require.ErrorContains(t, err, "cached.Queries.RenameSession")
	_, err = round.ImportMessages(ctx, []repo.ImportMessagesParams{{ID: uuid.New(), SessionID: s.ID, UserID: s.UserID}})
	require.ErrorIs(t, err, pgfence.ErrRoundDecorator)
	require.Equal(t, "first", w.title(ctx, round, s.ID), "reads pass")

	warmCount()
	tx, err := q.Begin(ctx)
	require.NoError(t, err)
	_, err = repo.New(tx).CreateMessage(ctx, params)
	require.NoError(t, err)
	_, err = repo.New(tx).RenameSession(ctx, repo.RenameSessionParams{ID: s.ID, Title: "round"})
	require.ErrorIs(t, err, pgfence.ErrRoundDecorator)
	require.EqualValues(t, 1, count(q))
	require.NoError(t, tx.Commit(ctx))
	require.EqualValues(t, 2, count(q))

	warmCount()
	plain, err := w.pool.Begin(ctx)
	require.NoError(t, err)
	_, err = repo.New(q.WithTx(plain).DB()).CreateMessage(ctx, params)
	require.NoError(t, err)
	require.NoError(t, plain.Commit(ctx))
	require.EqualValues(t, 3, count(q))

	require.Contains(t, w.log.String(), "goes round the cached queries")
	require.NotContains(t, w.log.String(), s.ID.String())

	_, err = q.DB().Exec(ctx, "update sessions set title = 'mine' where id = $1", s.ID)
	require.NoError(t, err, "SQL that is not the project's passes")
	require.Contains(t, w.log.String(), "is not invalidated")
}

// TestUncommittedReadsAreNotShared: a function that is read-through, called inside a transaction and reading through it, stores
// nothing.
func TestUncommittedReadsAreNotShared(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	q, c := w.queries()
	s := w.session(ctx)
	title := func(q *cached.Queries) func(context.Context, uuid.UUID) (string, error) {
		return cache.Func(c, "title", cached.Session, func(id uuid.UUID) uuid.UUID { return id }, func(ctx context.Context, id uuid.UUID) (string, error) {
			s, err := q.GetSession(ctx, id)
			return s.Title, err
		})
	}
	tx, err := q.Begin(ctx)
	require.NoError(t, err)
	require.NoError(t, rename(ctx, q.WithTx(tx), s.ID, "uncommitted"))
	got, err := title(q.WithTx(tx))(ctx, s.ID)
	require.NoError(t, err)
	require.Equal(t, "uncommitted", got)
	require.NoError(t, tx.Rollback(ctx))
	got, err = title(q)(ctx, s.ID)
	require.NoError(t, err)
	require.Equal(t, "first", got)
}

// TestStrictWriteFailsWithoutFence: nothing is changed by a strict write that Redis does not acknowledge.
func TestStrictWriteFailsWithoutFence(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t, ownRedis())
	q, _ := w.queries(func(o *cache.Options) {
		o.Groups = map[string]cache.GroupOptions{"session": {Mode: cache.Strict}}
	})
	s := w.session(ctx)
	require.NoError(t, rename(ctx, q, s.ID, "second"))
	require.NoError(t, w.redis.Kill())
	require.ErrorIs(t, rename(ctx, q, s.ID, "third"), cache.ErrFence)
	err := q.InTx(ctx, pgx.TxOptions{}, func(tx *cached.Queries) error { return rename(ctx, tx, s.ID, "third") })
	require.ErrorIs(t, err, cache.ErrFence)
	require.Equal(t, "second", w.title(ctx, q, s.ID))
	require.Zero(t, w.pool.Stat().AcquiredConns())
	require.NoError(t, w.redis.Start(ctx))
	eventually(t, "Redis is in use again", func() bool { return rename(ctx, q, s.ID, "fourth") == nil })
	require.Equal(t, "fourth", w.title(ctx, q, s.ID))
}

// TestCancelledBeforeCommit: a context that has ended before the commit rolls back, and keeps the connection.
func TestCancelledBeforeCommit(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	q, _ := w.queries()
	s := w.session(ctx)
	short, cancel := context.WithCancel(ctx)
	err := q.InTx(short, pgx.TxOptions{}, func(tx *cached.Queries) error {
		require.NoError(t, rename(short, tx, s.ID, "second"))
		cancel()
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, errors.Is(err, cache.ErrOutcomeUnknown))
	require.Equal(t, "first", w.title(ctx, q, s.ID))
	require.Zero(t, w.pool.Stat().AcquiredConns())
}
