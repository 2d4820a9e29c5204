package pgfence

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgaside/pgaside/cache"
)

// BatchRow returns the keys that are known from a row that the i-th statement of a batch has returned. scan decodes the row's
// columns; a column whose destination is nil is left out.
type BatchRow func(i int, scan func(dest ...any) error) ([]cache.Key, error)

// Batch is where a decorator sends a batch that changes cached reads. keys are those known from its arguments; row tells those
// of each row that is returned, nil when the arguments tell all. The results are read as ever, and the keys are fenced around
// the commit of the batch.
//
// On the pool a batch is a transaction, as it is with pgx, and one statement's error rolls all of it back. It is committed when
// the result of its last statement has been read, and what goes wrong then is the error of that result: sqlc's methods look
// at no other. Close reads what has not been read, and commits. Until then the batch holds its row locks and its connection,
// so that nothing that waits for either belongs between two of its results.
//
// In a transaction of ours the keys are kept for its Commit. In one from elsewhere they are fenced when the last result has
// been read, before anybody can commit.
func (db *DB) Batch(ctx context.Context, keys []cache.Key, row BatchRow) DBTX {
	return batchDB{DBTX: db.Source(ctx), db: db, keys: keys, row: row}
}

// FailedBatch is where a decorator sends a batch whose keys cannot be made of its arguments: each of its results is err.
func FailedBatch(err error) DBTX { return failedBatch{err: err} }

type failedBatch struct {
	DBTX // nil: a batch is all that is sent there
	err  error
}

func (f failedBatch) SendBatch(context.Context, *pgx.Batch) pgx.BatchResults { return errBatch{f.err} }

type batchDB struct {
	DBTX
	db   *DB
	keys []cache.Key
	row  BatchRow
}

func (d batchDB) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if len(b.QueuedQueries) == 0 || d.db.core.cache.Disabled() {
		return d.DBTX.SendBatch(ctx, b)
	}
	var err error
	r := &batchResults{total: len(b.QueuedQueries), row: d.row, keys: d.keys}
	switch {
	case d.db.tx != nil:
		r.inTx(ctx, d.db.tx, b)
	case d.db.foreign != nil:
		r.inForeign(ctx, d.db.foreign, b)
	case d.db.other != nil:
		err = r.onOther(ctx, d.db, b)
	default:
		err = r.onPool(ctx, d.db.core, b)
	}
	if err != nil {
		return errBatch{err}
	}
	return r
}

// stateAge is how old the state of a transaction may be at its commit. The guard counts from the state, and a caller may take
// its time over the results that come before it.
const stateAge = commitGuard / 4

// onPool sends BEGIN, the statements, and the question for the state of the transaction in one message.
func (r *batchResults) onPool(ctx context.Context, co *core, b *pgx.Batch) error {
	conn, err := co.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	s := &autocommit{core: co, conn: conn, begun: true}
	all := &pgx.Batch{}
	all.Queue("begin")
	for _, q := range b.QueuedQueries { // sqlc queues no callbacks
		all.Queue(q.SQL, q.Arguments...)
	}
	all.Queue(sqlState)
	sent := time.Now()
	s.batch = conn.SendBatch(ctx, all)
	_, _ = s.batch.Exec() // BEGIN; an error comes again with the first statement
	r.inner = s.batch
	r.finish = func() error {
		defer s.abort(ctx) // unless finish has taken the connection
		if err := s.closeBatch(); err != nil {
			return err
		}
		s.known = time.Since(sent) < stateAge
		return s.finish(ctx, r.keys)
	}
	r.fail = func(err error) error {
		s.abort(ctx)
		return err
	}
	return nil
}

// inTx keeps the keys for the commit of a transaction of ours.
func (r *batchResults) inTx(ctx context.Context, tx *Tx, b *pgx.Batch) {
	r.inner = txSource{tx}.SendBatch(ctx, b)
	r.finish = func() error {
		err := r.inner.Close()
		tx.root.collect(r.keys, err)
		return err
	}
	r.fail = func(err error) error {
		_ = r.inner.Close()
		if r.row == nil { // all keys are known, whatever has run
			tx.root.collect(r.keys, nil)
			return err
		}
		tx.root.collect(r.keys, err)
		return err
	}
}

// inForeign fences before whoever began the transaction can commit it: the connection is busy with the batch until then.
func (r *batchResults) inForeign(ctx context.Context, f *foreignTx, b *pgx.Batch) {
	r.inner = f.source().SendBatch(ctx, b)
	fence := func(err error) error {
		if len(r.keys) == 0 {
			return err
		}
		if fenceErr := f.fence(ctx, r.keys); fenceErr != nil {
			f.abort(ctx)
			return errors.Join(err, fenceErr)
		}
		return err
	}
	r.finish = func() error {
		if err := r.inner.Close(); err != nil {
			return r.fail(err)
		}
		return fence(nil)
	}
	r.fail = func(err error) error {
		_ = r.inner.Close()
		if !keysUnknown(err) { // an error of Postgres: the transaction has failed, and there is nothing to fence
			return err
		}
		if r.row != nil {
			f.abort(ctx)
			return err
		}
		return fence(err)
	}
}

// batchResults reads the results of a batch, takes the keys from them, and ends it with the last one.
type batchResults struct {
	inner  pgx.BatchResults
	total  int // statements
	row    BatchRow
	keys   []cache.Key
	finish func() error          // all results have been read
	fail   func(err error) error // err is the error of one; returns what is to be told of it

	next   int        // the statement whose result comes next
	open   *batchRows // a result that is being read
	err    error      // of a statement, a row, or the commit: of all that follows, as with pgx
	closed bool
}

// begin makes room for the next result.
func (r *batchResults) begin() error {
	if r.open != nil {
		r.open.Close()
	}
	switch {
	case r.err != nil:
		return r.err
	case r.closed:
		return errors.New("pgfence: batch already closed")
	case r.next == r.total:
		return errors.New("pgfence: no more results in batch")
	}
	r.next++
	return nil
}

// done takes note that a result has been read, and ends the batch after the last, or after an error. It returns the error that
// the result has then.
func (r *batchResults) done(err error) error {
	switch {
	case err != nil:
		r.err = r.fail(err)
	case r.next == r.total:
		r.err = r.finish()
	}
	return r.err
}

func (r *batchResults) Exec() (pgconn.CommandTag, error) {
	if r.row != nil { // the rows are not asked for, but they tell keys
		rows, err := r.Query()
		if err != nil {
			return pgconn.CommandTag{}, err
		}
		rows.Close()
		return rows.CommandTag(), rows.Err()
	}
	if err := r.begin(); err != nil {
		return pgconn.CommandTag{}, err
	}
	tag, err := r.inner.Exec()
	return tag, r.done(err)
}

func (r *batchResults) Query() (pgx.Rows, error) {
	if err := r.begin(); err != nil {
		return nil, err
	}
	rows, err := r.inner.Query()
	if err != nil {
		return nil, r.done(err)
	}
	r.open = &batchRows{Rows: rows, batch: r, i: r.next - 1}
	return r.open, nil
}

func (r *batchResults) QueryRow() pgx.Row {
	rows, err := r.Query()
	if err != nil {
		return errRow{err}
	}
	return singleRow{rows}
}

func (r *batchResults) Close() error {
	if r.open != nil {
		r.open.Close()
	}
	for r.err == nil && r.next < r.total {
		_, _ = r.Exec() // r.err has its error
	}
	r.closed = true
	return r.err
}

func (r *batchResults) Tx() pgx.Tx { return nil }

// batchRows is one result. Rows that the caller does not read are read all the same: they tell keys.
type batchRows struct {
	pgx.Rows
	batch *batchResults
	i     int
	ended bool
	err   error
}

func (r *batchRows) Next() bool {
	if r.ended {
		return false
	}
	if r.Rows.Next() {
		if r.err = r.keys(); r.err == nil {
			return true
		}
		r.Rows.Close()
	}
	r.end() // pgx has closed the rows by itself
	return false
}

func (r *batchRows) keys() error {
	if r.batch.row == nil {
		return nil
	}
	keys, err := r.batch.row(r.i, r.scan)
	if err != nil {
		return fmt.Errorf("pgfence: reading the keys of a row that a batch has changed: %w", err)
	}
	r.batch.keys = append(r.batch.keys, keys...)
	return nil
}

// scan decodes the row beside the Scan of the caller, who has destinations of his own and may not call it.
func (r *batchRows) scan(dest ...any) error {
	conn := r.Conn()
	if conn == nil { // rows that pgx has not made
		return r.Rows.Scan(dest...)
	}
	return pgx.ScanRow(conn.TypeMap(), r.FieldDescriptions(), r.RawValues(), dest...)
}

func (r *batchRows) end() {
	if r.ended {
		return
	}
	r.ended, r.batch.open = true, nil
	if r.err == nil {
		r.err = r.Rows.Err()
	}
	r.err = r.batch.done(r.err)
}

func (r *batchRows) Close() {
	for more := r.batch.row != nil; more; { // Next takes the keys
		more = r.Next()
	}
	r.Rows.Close()
	r.end()
}

func (r *batchRows) Err() error {
	if r.ended {
		return r.err
	}
	return r.Rows.Err()
}
