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

// fence puts fences on keys that the transaction has changed.
func (f *foreignTx) fence(ctx context.Context, keys []cache.Key) error {
	if f.core.cache.Disabled() {
		return nil
	}
	xid, err := f.id(ctx)
	if err != nil {
		return err
	}
	// Not the caller's context: the statement has run, and whoever began the transaction may still commit it.
	err = f.core.cache.Write(context.WithoutCancel(ctx), keys, func(context.Context) (cache.Outcome, error) {
		return cache.InDoubt(f.core.resolver(xid)), nil
	})
	if err != nil {
		return fmt.Errorf("pgfence: the transaction must be rolled back: %w", err)
	}
	return nil
}

func (f *foreignTx) id(ctx context.Context) (string, error) {
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
