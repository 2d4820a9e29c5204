package pgfence

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgaside/pgaside/cache"
)

// Tx is a transaction whose Commit fences what was changed in it. It is a pgx.Tx; a decorator bound to it by WithTx is the way
// to write. Statements that reach it directly are treated as by DB.Guarded. What goes through Conn cannot be seen.
//
// Savepoints are not tracked: what a savepoint changed that was rolled back is invalidated all the same.
type Tx struct {
	root  *txRoot
	inner pgx.Tx // the transaction, or the savepoint
	top   bool
}

// txRoot is what a transaction and its savepoints share.
type txRoot struct {
	core      *core
	conn      *pgxpool.Conn
	tx        pgx.Tx
	commitSQL string

	mu     sync.Mutex
	keys   []cache.Key
	broken error // a mapped write may have run, and its keys are unknown
	closed bool
}

func (co *core) begin(ctx context.Context, opts pgx.TxOptions) (pgx.Tx, error) {
	conn, err := co.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	inner, err := conn.BeginTx(ctx, opts)
	if err != nil {
		conn.Release()
		return nil, err
	}
	root := &txRoot{core: co, conn: conn, tx: inner, commitSQL: "commit"}
	if opts.CommitQuery != "" {
		root.commitSQL = opts.CommitQuery
	}
	return &Tx{root: root, inner: inner, top: true}, nil
}

// collect keeps the keys of a write for the commit. When they are not all known the transaction must not be committed.
func (r *txRoot) collect(keys []cache.Key, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = append(r.keys, keys...)
	if r.broken == nil && keysUnknown(err) {
		r.broken = err
	}
}

// close takes the transaction out of use, and reports whether it was in use.
func (r *txRoot) close() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.closed
	r.closed = true
	return !was
}

func (r *txRoot) err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return pgx.ErrTxClosed
	}
	return nil
}

// endedBySQL invalidates what was changed when a plain "commit", or the like, has ended the transaction before its time.
func (r *txRoot) endedBySQL(ctx context.Context) {
	if len(r.keys) > 0 && r.conn.Conn().PgConn().TxStatus() == 'I' {
		_ = r.core.cache.Invalidate(ctx, r.keys...) // what fails stays pending
	}
}

// Begin starts a savepoint.
func (tx *Tx) Begin(ctx context.Context) (pgx.Tx, error) {
	if err := tx.root.err(); err != nil {
		return nil, err
	}
	inner, err := tx.inner.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return &Tx{root: tx.root, inner: inner}, nil
}

// Commit fences the keys that the transaction has changed, commits, and takes the fences away; a savepoint it releases.
//
// Besides pgx' own errors it returns cache.ErrFence when a strict group could not be fenced, ErrCommitTooLate when the commit
// did not begin in time (both: rolled back), and cache.ErrOutcomeUnknown when the connection broke, or the context ended,
// while COMMIT was on its way.
func (tx *Tx) Commit(ctx context.Context) error {
	if !tx.top {
		if err := tx.root.err(); err != nil { // the connection may be somebody else's by now
			return err
		}
		return tx.inner.Commit(ctx)
	}
	r := tx.root
	if !r.close() {
		return pgx.ErrTxClosed
	}
	if r.broken != nil {
		rollbackAndRelease(ctx, r.conn)
		return fmt.Errorf("pgfence: not committed: a write failed after it may have run, and what it changed is unknown: %w", r.broken)
	}
	r.endedBySQL(ctx)
	if len(r.keys) == 0 || r.core.cache.Disabled() || r.conn.Conn().PgConn().TxStatus() != 'T' {
		defer r.conn.Release()
		return r.tx.Commit(ctx)
	}
	var st txState
	if err := r.tx.QueryRow(ctx, sqlState).Scan(&st.xid, &st.at); err != nil {
		rollbackAndRelease(ctx, r.conn)
		return fmt.Errorf("pgfence: reading the state of the transaction: %w", err)
	}
	if st.xid == nil { // nothing was written
		defer r.conn.Release()
		return r.tx.Commit(ctx)
	}
	return r.core.fenced(ctx, r.conn, st, r.keys, r.commitSQL)
}

// Rollback ends the transaction, or rolls back to the savepoint.
func (tx *Tx) Rollback(ctx context.Context) error {
	if !tx.top {
		if err := tx.root.err(); err != nil { // as in Commit
			return err
		}
		return tx.inner.Rollback(ctx)
	}
	if !tx.root.close() {
		return pgx.ErrTxClosed
	}
	tx.root.endedBySQL(ctx)
	defer tx.root.conn.Release()
	return tx.root.tx.Rollback(ctx)
}

// Conn returns the connection. Nothing that goes through it is seen.
func (tx *Tx) Conn() *pgx.Conn { return tx.root.tx.Conn() }

// LargeObjects returns pgx' large objects in the transaction.
func (tx *Tx) LargeObjects() pgx.LargeObjects { return tx.inner.LargeObjects() }

// Prepare prepares a statement on the transaction's connection.
func (tx *Tx) Prepare(ctx context.Context, name, sql string) (*pgconn.StatementDescription, error) {
	if err := tx.root.err(); err != nil {
		return nil, err
	}
	return tx.inner.Prepare(ctx, name, sql)
}

// Exec runs a statement; see DB.Guarded.
func (tx *Tx) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if err := tx.guard(sql, args); err != nil {
		return pgconn.CommandTag{}, err
	}
	return txSource{tx}.Exec(ctx, sql, args...)
}

// Query runs a statement; see DB.Guarded.
func (tx *Tx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if err := tx.guard(sql, args); err != nil {
		return nil, err
	}
	return txSource{tx}.Query(ctx, sql, args...)
}

// QueryRow runs a statement; see DB.Guarded.
func (tx *Tx) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if err := tx.guard(sql, args); err != nil {
		return errRow{err}
	}
	return txSource{tx}.QueryRow(ctx, sql, args...)
}

// CopyFrom copies rows; into a table that cached reads depend on only a decorator may.
func (tx *Tx) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	if err := tx.root.core.guardCopy(table); err != nil {
		return 0, err
	}
	return txSource{tx}.CopyFrom(ctx, table, columns, rows)
}

// SendBatch runs statements; see DB.Guarded.
func (tx *Tx) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	for _, q := range b.QueuedQueries {
		if err := tx.guard(q.SQL, q.Arguments); err != nil {
			return errBatch{err}
		}
	}
	return txSource{tx}.SendBatch(ctx, b)
}

// guard collects the keys of a write that came round the decorator.
func (tx *Tx) guard(sql string, args []any) error {
	keys, err := tx.root.core.keysRound(sql, args)
	if err != nil {
		return err
	}
	tx.root.collect(keys, nil)
	return nil
}

// txSource runs statements in a transaction, or a savepoint, without looking at them.
type txSource struct{ tx *Tx }

func (s txSource) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if err := s.tx.root.err(); err != nil {
		return pgconn.CommandTag{}, err
	}
	return s.tx.inner.Exec(ctx, sql, args...)
}

func (s txSource) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if err := s.tx.root.err(); err != nil {
		return nil, err
	}
	return s.tx.inner.Query(ctx, sql, args...)
}

func (s txSource) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if err := s.tx.root.err(); err != nil {
		return errRow{err}
	}
	return s.tx.inner.QueryRow(ctx, sql, args...)
}

func (s txSource) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	if err := s.tx.root.err(); err != nil {
		return 0, err
	}
	return s.tx.inner.CopyFrom(ctx, table, columns, rows)
}

func (s txSource) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if err := s.tx.root.err(); err != nil {
		return errBatch{err}
	}
	return s.tx.inner.SendBatch(ctx, b)
}
