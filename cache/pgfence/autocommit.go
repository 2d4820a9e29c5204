package pgfence

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgaside/pgaside/cache"
)

// Write runs a statement that changes cached reads, and fences the keys that it changed until it is committed. do runs the
// statement on the DBTX that it is given and returns the keys; on an error it returns those known from the arguments alone.
//
// On the pool the statement is a transaction of its own. In a transaction the keys are kept for its Commit.
func Write[T any](ctx context.Context, db *DB, do func(context.Context, DBTX) (T, []cache.Key, error)) (T, error) {
	var zero T
	if db.bypasses() {
		cache.NoFill(ctx)
	}
	if len(db.lookups) > 0 && !db.core.cache.Disabled() {
		do = looking(db.lookups, do)
	}
	switch {
	case db.tx != nil:
		out, keys, err := do(ctx, txSource{db.tx})
		db.tx.root.collect(keys, err)
		return out, err
	case db.foreign != nil:
		out, keys, err := do(ctx, db.foreign.source())
		if keysUnknown(err) {
			db.foreign.abort(ctx)
		}
		var pgErr *pgconn.PgError
		if len(keys) == 0 || errors.As(err, &pgErr) { // after an error of Postgres there is nothing to fence
			return out, err
		}
		if fenceErr := db.foreign.fence(ctx, keys); fenceErr != nil {
			db.foreign.abort(ctx)
			return zero, errors.Join(err, fenceErr)
		}
		return out, err
	case db.core.cache.Disabled():
		out, _, err := do(ctx, db.Source(ctx))
		return out, err
	case db.other != nil:
		return writeOther(ctx, db, do)
	}
	for tries := 1; ; tries++ {
		out, err := writeOnce(ctx, db.core, do)
		if errors.Is(err, ErrRowsAppeared) && tries < maxTries {
			continue // it was rolled back
		}
		return out, err
	}
}

// maxTries bounds how often a write of its own transaction starts anew after ErrRowsAppeared.
const maxTries = 5

func writeOnce[T any](ctx context.Context, co *core, do func(context.Context, DBTX) (T, []cache.Key, error)) (T, error) {
	var zero T
	conn, err := co.pool.Acquire(ctx)
	if err != nil {
		return zero, err
	}
	s := &autocommit{core: co, conn: conn}
	defer s.abort(ctx) // unless finish has taken the connection
	out, keys, err := do(ctx, s)
	noRows := errors.Is(err, pgx.ErrNoRows) // no error of Postgres: what the statement did, if anything, stands
	if err != nil && !noRows {
		return out, err
	}
	if finishErr := s.finish(ctx, keys); finishErr != nil {
		return zero, finishErr
	}
	return out, err
}

// keysUnknown reports whether an error leaves it open what a statement has changed. After an error of Postgres it has changed
// nothing, and neither has one that returned no row, or that did not run because its transaction had ended. After any other (a row that does not scan) it may have run, and keys that
// its result would have told are unknown.
func keysUnknown(err error) bool {
	var pgErr *pgconn.PgError
	return err != nil && !errors.Is(err, pgx.ErrNoRows) && !errors.Is(err, pgx.ErrTxClosed) && !errors.As(err, &pgErr)
}

// Exec is Write for a statement without a result.
func Exec(ctx context.Context, db *DB, do func(context.Context, DBTX) ([]cache.Key, error)) error {
	_, err := Write(ctx, db, func(ctx context.Context, d DBTX) (struct{}, []cache.Key, error) {
		keys, err := do(ctx, d)
		return struct{}{}, keys, err
	})
	return err
}

// autocommit is a transaction for one statement. BEGIN, the statement, and the question for its state travel in one message
// (protocol 4.11.4), so that a fenced write costs Postgres one more round trip than a plain one: the COMMIT.
type autocommit struct {
	core  *core
	conn  *pgxpool.Conn // nil when it has been given back
	begun bool
	batch pgx.BatchResults // of the first statement; its state is still to be read
	state txState
	known bool // state has been read
}

func (s *autocommit) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if s.start(ctx, sql, args) {
		return s.batch.Exec()
	}
	if err := s.next(ctx); err != nil {
		return pgconn.CommandTag{}, err
	}
	return s.conn.Exec(ctx, sql, args...)
}

func (s *autocommit) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if s.start(ctx, sql, args) {
		return s.batch.Query()
	}
	if err := s.next(ctx); err != nil {
		return nil, err
	}
	return s.conn.Query(ctx, sql, args...)
}

func (s *autocommit) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if s.start(ctx, sql, args) {
		return s.batch.QueryRow()
	}
	if err := s.next(ctx); err != nil {
		return errRow{err}
	}
	return s.conn.QueryRow(ctx, sql, args...)
}

func (s *autocommit) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	if err := s.next(ctx); err != nil {
		return 0, err
	}
	return s.conn.CopyFrom(ctx, table, columns, rows)
}

func (s *autocommit) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if err := s.next(ctx); err != nil {
		return errBatch{err}
	}
	return s.conn.SendBatch(ctx, b)
}

// start sends the first statement along with BEGIN, and reports whether it did. A statement whose arguments carry options for
// pgx cannot go into a batch.
func (s *autocommit) start(ctx context.Context, sql string, args []any) bool {
	if s.begun {
		return false
	}
	if len(args) > 0 {
		switch args[0].(type) {
		case pgx.QueryExecMode, pgx.QueryResultFormats, pgx.QueryResultFormatsByOID, pgx.QueryRewriter:
			return false
		}
	}
	var b pgx.Batch
	b.Queue("begin")
	b.Queue(sql, args...)
	b.Queue(sqlState)
	s.begun = true
	s.batch = s.conn.SendBatch(ctx, &b)
	_, _ = s.batch.Exec() // BEGIN; an error comes again with the statement
	return true
}

// next makes room for a statement of its own message.
func (s *autocommit) next(ctx context.Context) error {
	if !s.begun {
		s.begun = true
		_, err := s.conn.Exec(ctx, "begin")
		return err
	}
	err := s.closeBatch()
	s.known = false // the statement that comes may be the first that writes
	return err
}

// closeBatch reads the state that came along with the first statement.
func (s *autocommit) closeBatch() error {
	if s.batch == nil {
		return nil
	}
	err := s.batch.QueryRow().Scan(&s.state.xid, &s.state.at)
	closeErr := s.batch.Close()
	s.batch = nil
	if err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("pgfence: reading the state of the transaction: %w", err)
	}
	s.known = true
	return nil
}

// finish commits.
func (s *autocommit) finish(ctx context.Context, keys []cache.Key) error {
	if !s.begun {
		return nil
	}
	if err := s.closeBatch(); err != nil {
		return err
	}
	if !s.known {
		if err := s.conn.QueryRow(ctx, sqlState).Scan(&s.state.xid, &s.state.at); err != nil {
			return fmt.Errorf("pgfence: reading the state of the transaction: %w", err)
		}
	}
	if s.state.xid == nil { // nothing was written
		_, err := s.conn.Exec(ctx, "commit")
		return err
	}
	conn := s.conn
	s.conn = nil
	return s.core.fenced(ctx, conn, s.state, keys, "commit")
}

// abort rolls back what finish has not committed.
func (s *autocommit) abort(ctx context.Context) {
	if s.conn == nil {
		return
	}
	if s.batch != nil {
		_ = s.batch.Close()
	}
	rollbackAndRelease(ctx, s.conn)
}

type errRow struct{ err error }

func (r errRow) Scan(...any) error { return r.err }

type errBatch struct{ err error }

func (b errBatch) Exec() (pgconn.CommandTag, error) { return pgconn.CommandTag{}, b.err }
func (b errBatch) Query() (pgx.Rows, error)         { return nil, b.err }
func (b errBatch) QueryRow() pgx.Row                { return errRow(b) }
func (b errBatch) Close() error                     { return b.err }
func (b errBatch) Tx() pgx.Tx                       { return nil }
