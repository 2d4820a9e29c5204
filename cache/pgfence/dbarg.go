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

// Conn is what sqlc's methods with a database argument ask of it, under any of sqlc's options: a DBTX of the project is one.
type Conn interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// ErrDBArgument is returned for a write that changes cached reads, on a database argument on which it cannot be fenced. It was
// not run.
var ErrDBArgument = errors.New("pgfence: the write cannot be fenced on the database that was named for it")

// On is the DB for the database that the caller of one query has named (emit_methods_with_db_argument).
//
// Nil is db itself. The pool of New, and what Guarded returns for it, are the pool: reads are cached and writes fenced. A
// transaction is taken as by WithTx.
//
// Anything else is some other database: another pool, a connection, a replica, a wrapper. What it answers need not be what our
// pool would (protocol 4.11.3), so that reads go straight to it, are not stored, and are not answered from the cache either: who
// names a database wants to hear that one. Writes that change no cached read go straight to it as well. Those that do may
// reach the very rows that are cached, and a statement that commits by itself cannot be fenced before it is visible: it runs in
// a transaction that is begun there, and is fenced and committed by us. Is it another database after all, then keys are
// voided for nothing, which does no harm. Where no transaction can be begun the write is refused with ErrDBArgument.
func (db *DB) On(d Conn) *DB {
	switch d := d.(type) {
	case nil:
		return db
	case *pgxpool.Pool:
		if d == db.core.pool {
			return db.onPool()
		}
	case guardedPool:
		if d.core.pool == db.core.pool {
			return db.onPool()
		}
	case guardedForeign:
		if d.f.core == db.core {
			return &DB{core: db.core, foreign: d.f}
		}
		return db.WithTx(d.f.tx)
	case pgx.Tx: // ours, or not
		return db.WithTx(d)
	}
	return &DB{core: db.core, other: d}
}

func (db *DB) onPool() *DB {
	if db.bypasses() {
		return &DB{core: db.core}
	}
	return db
}

// Tx returns the transaction that the DB is bound to, nil on the pool.
func (db *DB) Tx() pgx.Tx {
	switch {
	case db.tx != nil:
		return db.tx
	case db.foreign != nil:
		return db.foreign.tx
	}
	return nil
}

// otherSource is some other database for a repository. It has every method that the project's DBTX has, and those are all
// that the project's queries call.
type otherSource struct{ Conn }

func (o otherSource) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	c, ok := o.Conn.(interface {
		CopyFrom(context.Context, pgx.Identifier, []string, pgx.CopyFromSource) (int64, error)
	})
	if !ok {
		return 0, fmt.Errorf("pgfence: a %T has no CopyFrom", o.Conn)
	}
	return c.CopyFrom(ctx, table, columns, rows)
}

func (o otherSource) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	c, ok := o.Conn.(interface {
		SendBatch(context.Context, *pgx.Batch) pgx.BatchResults
	})
	if !ok {
		return errBatch{fmt.Errorf("pgfence: a %T has no SendBatch", o.Conn)}
	}
	return c.SendBatch(ctx, b)
}

// writeOther runs a write in a transaction of its own on some other database.
func writeOther[T any](ctx context.Context, db *DB, do func(context.Context, DBTX) (T, []cache.Key, error)) (T, error) {
	var zero T
	tx, err := db.beginOther(ctx)
	if err != nil {
		return zero, err
	}
	o := &otherTx{core: db.core, tx: tx}
	defer o.abort(ctx) // unless commit has ended it
	out, keys, err := do(ctx, tx)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return out, err
	}
	if commitErr := o.commit(ctx, keys); commitErr != nil {
		return zero, commitErr
	}
	return out, err
}

func (db *DB) beginOther(ctx context.Context) (pgx.Tx, error) {
	b, ok := db.other.(interface {
		Begin(context.Context) (pgx.Tx, error)
	})
	if !ok {
		return nil, fmt.Errorf("%w: a %T cannot begin a transaction: name the pool of the cached queries, a pgx.Tx, or nil", ErrDBArgument, db.other)
	}
	// In a transaction that was begun by plain SQL, Begin does nothing, and our COMMIT would be that of the caller.
	if inTransaction(db.other) {
		return nil, fmt.Errorf("%w: the connection is in a transaction: name its pgx.Tx", ErrDBArgument)
	}
	return b.Begin(ctx)
}

// inTransaction reports whether a connection has a transaction open. Of what is no connection it says no: a pool begins one
// on a connection that has none.
func inTransaction(d Conn) bool {
	var conn *pgx.Conn
	switch d := d.(type) {
	case *pgx.Conn:
		conn = d
	case interface{ Conn() *pgx.Conn }: // *pgxpool.Conn
		conn = d.Conn()
	}
	return conn != nil && conn.PgConn().TxStatus() != 'I'
}

// otherTx is a transaction that we have begun on some other database.
type otherTx struct {
	core  *core
	tx    pgx.Tx
	ended bool
}

// commit fences the keys and commits. Whoever made the database may have made its transactions as well, and expects Commit to
// be called: the guard and COMMIT are two messages, and a process that is stopped between them for longer than a fence lives
// may show an old value after a newer one until it wakes, as in a transaction from elsewhere (protocol 4.11.7).
func (o *otherTx) commit(ctx context.Context, keys []cache.Key) error {
	var st txState
	if err := o.tx.QueryRow(ctx, sqlState).Scan(&st.xid, &st.at); err != nil {
		return fmt.Errorf("pgfence: reading the state of the transaction: %w", err)
	}
	if st.xid == nil { // nothing was written
		o.ended = true
		return o.tx.Commit(ctx)
	}
	return o.core.cache.Write(ctx, keys, func(ctx context.Context) (cache.Outcome, error) {
		o.ended = true
		if _, pooled := o.tx.(*pgxpool.Tx); pooled { // its connection is nobody else's until it has ended
			return detached(ctx, func(ctx context.Context) (cache.Outcome, error) { return o.execCommit(ctx, st) })
		}
		// The connection may be the caller's own, who uses it again, or gives it back, as soon as we return. So nothing goes on in
		// the background: a context that ends now costs the connection, and the outcome is asked for.
		ctx, cancel := context.WithTimeout(ctx, commitTimeout)
		defer cancel()
		return o.execCommit(ctx, st)
	})
}

func (o *otherTx) execCommit(ctx context.Context, st txState) (cache.Outcome, error) {
	if _, err := o.tx.Exec(ctx, st.guard()); err != nil { // COMMIT has not been sent
		rollback(ctx, o.tx)
		var pgErr *pgconn.PgError
		if errors.As(err, &pgErr) && pgErr.Code == divisionByZero {
			return cache.RolledBack, ErrCommitTooLate
		}
		return cache.RolledBack, fmt.Errorf("pgfence: before the commit: %w", err)
	}
	err := o.tx.Commit(ctx)
	var pgErr *pgconn.PgError
	switch {
	case err == nil:
		return cache.Committed, nil
	case errors.Is(err, pgx.ErrTxCommitRollback), errors.As(err, &pgErr) && pgErr.SeverityUnlocalized == "ERROR":
		return cache.RolledBack, err
	}
	// Our pool is asked for the outcome. If it leads to another cluster it answers of another transaction; but then no row
	// that is cached has changed, whatever it says.
	return cache.InDoubt(o.core.resolver(*st.xid)), fmt.Errorf("%w: %w", cache.ErrOutcomeUnknown, err)
}

// abort rolls back what commit has not ended.
func (o *otherTx) abort(ctx context.Context) {
	if !o.ended {
		o.ended = true
		rollback(ctx, o.tx)
	}
}

func rollback(ctx context.Context, tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	_ = tx.Rollback(ctx)
}

// onOther sends a batch in a transaction of its own on some other database.
func (r *batchResults) onOther(ctx context.Context, db *DB, b *pgx.Batch) error {
	tx, err := db.beginOther(ctx)
	if err != nil {
		return err
	}
	o := &otherTx{core: db.core, tx: tx}
	r.inner = tx.SendBatch(ctx, b)
	r.finish = func() error {
		defer o.abort(ctx) // unless commit has ended it
		if err := r.inner.Close(); err != nil {
			return err
		}
		return o.commit(ctx, r.keys)
	}
	r.fail = func(err error) error {
		_ = r.inner.Close()
		o.abort(ctx)
		return err
	}
	return nil
}
