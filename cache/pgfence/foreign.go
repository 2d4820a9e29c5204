package pgfence

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgaside/pgaside/cache"
)

// foreignTx is a transaction that somebody else began and will end (protocol 4.11.7). Nothing tells us when, so that each of
// its writes is fenced at once, and the fences are kept until Postgres knows the outcome.
type foreignTx struct {
	core *core
	tx   pgx.Tx

	mu  sync.Mutex
	xid string
}

// xactWatch finds out what became of a transaction from elsewhere, once for all of its writes: each of them may have come with a
// foreignTx of its own (see On).
type xactWatch struct {
	asking  chan struct{} // a lock
	outcome cache.Outcome
}

// fence puts fences on keys that the transaction has changed.
func (f *foreignTx) fence(ctx context.Context, keys []cache.Key) error {
	if f.core.cache.Disabled() {
		return nil
	}
	// Not the caller's context: the statement has run, and whoever began the transaction may still commit it.
	ctx = context.WithoutCancel(ctx)
	xid, err := f.id(ctx)
	if err != nil {
		return err
	}
	err = f.core.cache.Write(ctx, keys, func(context.Context) (cache.Outcome, error) {
		return cache.InDoubt(func(ctx context.Context) (cache.Outcome, error) { return f.resolve(ctx, xid) }), nil
	})
	if err != nil {
		return fmt.Errorf("pgfence: the transaction cannot be committed: %w", err)
	}
	return nil
}

// abort puts the transaction into the failed state, so that whoever began it cannot commit what could not be fenced.
func (f *foreignTx) abort(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	_, _ = f.tx.Exec(ctx, "do $$ begin raise exception 'pgaside: a write could not be fenced: roll back'; end $$")
}

// resolve asks what became of the transaction. However much it has written, there is one question at a time.
func (f *foreignTx) resolve(ctx context.Context, xid string) (cache.Outcome, error) {
	found, _ := f.core.watches.LoadOrStore(xid, &xactWatch{asking: make(chan struct{}, 1)})
	w := found.(*xactWatch)
	select {
	case w.asking <- struct{}{}:
		defer func() { <-w.asking }()
	case <-ctx.Done():
		return cache.Outcome{}, ctx.Err()
	}
	if w.outcome.Known() {
		return w.outcome, nil
	}
	var err error
	if w.outcome, err = f.core.resolver(xid)(ctx); w.outcome.Known() {
		f.core.watches.CompareAndDelete(xid, found) // who comes later asks again, and is answered at once
	}
	return w.outcome, err
}

func (f *foreignTx) id(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, rollbackTimeout)
	defer cancel()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.xid == "" {
		if err := f.tx.QueryRow(ctx, "select pg_current_xact_id()::text").Scan(&f.xid); err != nil {
			return "", fmt.Errorf("pgfence: reading the id of a transaction that was begun elsewhere, which must be rolled back: %w", err)
		}
	}
	return f.xid, nil
}

// source is where a decorator writes. It reports each query once.
func (f *foreignTx) source() DBTX { return reportingTx{f} }

type reportingTx struct{ f *foreignTx }

func (r reportingTx) report(sql string) {
	name := queryName(sql)
	r.f.core.reportOnce("foreign "+name, "pgfence: write in a transaction that was begun elsewhere: it has no commit guard; use Begin or InTx of the cached queries",
		"query", name)
}

func (r reportingTx) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	r.report(sql)
	return r.f.tx.Exec(ctx, sql, args...)
}

func (r reportingTx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	r.report(sql)
	return r.f.tx.Query(ctx, sql, args...)
}

func (r reportingTx) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	r.report(sql)
	return r.f.tx.QueryRow(ctx, sql, args...)
}

func (r reportingTx) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	r.report("copy " + table.Sanitize())
	return r.f.tx.CopyFrom(ctx, table, columns, rows)
}

func (r reportingTx) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	for _, q := range b.QueuedQueries {
		r.report(q.SQL)
	}
	return r.f.tx.SendBatch(ctx, b)
}
