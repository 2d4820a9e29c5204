package pgfence

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgaside/pgaside/cache"
)

const (
	// commitGuard is how long after its fence was asked for a COMMIT may begin, by Postgres' own clock. A fence lives for
	// 30 s: 20 s are left for a COMMIT that began at the last moment.
	commitGuard = 10 * time.Second

	// commitTimeout bounds the wait for the answer to a COMMIT, whatever becomes of the caller's context.
	commitTimeout = 20 * time.Second

	rollbackTimeout = 5 * time.Second
)

// ErrCommitTooLate is returned when a transaction could not begin its COMMIT within 10 s of its fence: the process was
// stopped, or starved. The transaction was rolled back.
var ErrCommitTooLate = errors.New("pgfence: commit came too late after its fence; rolled back")

// sqlState asks for what a commit must know beforehand: the transaction's id, by which its outcome can be found out, NULL
// when nothing was written; and the time that the guard counts from. It is taken before the fence is asked for, so that no
// two machines' clocks are ever compared.
const sqlState = "select pg_current_xact_id_if_assigned()::text, clock_timestamp()"

type txState struct {
	xid *string
	at  time.Time // Postgres' clock
}

// guard is the statement that fails when the commit comes too late.
func (st txState) guard() string {
	deadline := st.at.Add(commitGuard).UTC().Format("2006-01-02 15:04:05.999999")
	return "select 1/(clock_timestamp() < '" + deadline + "+00'::timestamptz)::int"
}

const divisionByZero = "22012" // the guard has failed

// fenced commits what conn has open, with fences on keys. conn is given back to the pool by it, whatever happens.
func (co *core) fenced(ctx context.Context, conn *pgxpool.Conn, st txState, keys []cache.Key, commitSQL string) error {
	called := false
	err := co.cache.Write(ctx, keys, func(ctx context.Context) (cache.Outcome, error) {
		called = true
		return co.commit(ctx, conn, st, commitSQL)
	})
	if !called {
		rollbackAndRelease(ctx, conn)
	}
	return err
}

type commitResult struct {
	outcome cache.Outcome
	err     error
}

// commit sends the guard and COMMIT in one message.
func (co *core) commit(ctx context.Context, conn *pgxpool.Conn, st txState, commitSQL string) (cache.Outcome, error) {
	return detached(ctx, func(ctx context.Context) (cache.Outcome, error) { return co.execCommit(ctx, conn, st, commitSQL) })
}

// detached runs a commit that the caller's context does not cancel: when it ends first, the outcome is unknown to the caller,
// and COMMIT goes on.
func detached(ctx context.Context, commit func(context.Context) (cache.Outcome, error)) (cache.Outcome, error) {
	done := make(chan commitResult, 1)
	run := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
		defer cancel()
		outcome, err := commit(ctx)
		done <- commitResult{outcome, err}
	}
	if ctx.Done() == nil {
		run()
	} else {
		go run()
	}
	select {
	case r := <-done:
		return r.outcome, r.err
	case <-ctx.Done():
		select {
		case r := <-done: // both at once
			return r.outcome, r.err
		default:
		}
		return cache.InDoubt(func(ctx context.Context) (cache.Outcome, error) {
			select {
			case r := <-done:
				return r.outcome, nil
			case <-ctx.Done():
				return cache.Outcome{}, ctx.Err()
			}
		}), fmt.Errorf("%w: %w", cache.ErrOutcomeUnknown, ctx.Err())
	}
}

// execCommit runs COMMIT under its guard and gives the connection back.
func (co *core) execCommit(ctx context.Context, conn *pgxpool.Conn, st txState, commitSQL string) (cache.Outcome, error) {
	defer conn.Release()
	pg := conn.Conn().PgConn()
	if pg.IsClosed() { // nothing is sent, and the broken connection has ended the transaction
		return cache.RolledBack, errors.New("pgfence: the connection broke before the commit")
	}
	results, err := pg.Exec(ctx, st.guard()+"; "+commitSQL).ReadAll()
	if err == nil {
		if tag := results[len(results)-1].CommandTag.String(); tag == "ROLLBACK" {
			return cache.RolledBack, pgx.ErrTxCommitRollback
		}
		return cache.Committed, nil
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.SeverityUnlocalized == "ERROR" {
		if pg.TxStatus() != 'I' {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
			defer cancel()
			_, _ = conn.Exec(ctx, "rollback")
		}
		if len(results) == 1 && results[0].Err != nil && pgErr.Code == divisionByZero { // not COMMIT
			return cache.RolledBack, ErrCommitTooLate
		}
		return cache.RolledBack, err
	}
	// pgconn.SafeToRetry is not asked: of a connection that breaks after COMMIT was sent it may say "conn closed", safe.
	return cache.InDoubt(co.resolver(*st.xid)), fmt.Errorf("%w: %w", cache.ErrOutcomeUnknown, err)
}

const (
	resolveFirst = 5 * time.Millisecond
	resolveMost  = 250 * time.Millisecond
)

// resolver asks Postgres, on another connection, what became of a transaction.
func (co *core) resolver(xid string) func(context.Context) (cache.Outcome, error) {
	return func(ctx context.Context) (cache.Outcome, error) {
		for wait := resolveFirst; ; wait = min(2*wait, resolveMost) {
			status, err := co.xactStatus(ctx, xid)
			switch {
			case err != nil:
				return cache.Outcome{}, err
			case status == "committed":
				return cache.Committed, nil
			case status == "aborted":
				return cache.RolledBack, nil
			case status == "": // so old that Postgres has forgotten it: to void its keys does no harm
				return cache.Committed, nil
			}
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return cache.Outcome{}, ctx.Err()
			}
		}
	}
}

func (co *core) xactStatus(ctx context.Context, xid string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, rollbackTimeout)
	defer cancel()
	var status *string
	err := co.pool.QueryRow(ctx, "select pg_xact_status($1::text::xid8)", xid).Scan(&status)
	var pgErr *pgconn.PgError
	const invalidParameter = "22023" // the id is in the future: a crash has lost the transaction
	switch {
	case errors.As(err, &pgErr) && pgErr.Code == invalidParameter:
		return "aborted", nil
	case err != nil:
		return "", fmt.Errorf("pgfence: asking for the state of a transaction: %w", err)
	case status == nil:
		return "", nil
	}
	return *status, nil
}

// rollbackAndRelease ends what a connection has open, not with the caller's context: to roll back with one that has ended
// costs the connection.
func rollbackAndRelease(ctx context.Context, conn *pgxpool.Conn) {
	defer conn.Release()
	if pg := conn.Conn().PgConn(); pg.IsClosed() || pg.TxStatus() == 'I' {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	_, _ = conn.Exec(ctx, "rollback")
}
