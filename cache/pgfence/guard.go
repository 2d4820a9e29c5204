package pgfence

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgaside/pgaside/cache"
)

// keysRound returns the keys of a statement that came round the decorator: none when it changes no cached read.
func (co *core) keysRound(sql string, args []any) ([]cache.Key, error) {
	name := queryName(sql)
	st, known := co.statements.ByName[name]
	switch {
	case !known:
		if !looksLikeRead(sql) {
			co.reportOnce("unknown "+sql, "pgfence: a statement that is not the project's goes through the cached queries: what it changes is not invalidated",
				"statement", firstWords(sql))
		}
		return nil, nil
	case !st.Write:
		return nil, nil
	case st.Keys == nil:
		return nil, fmt.Errorf("%w: %s: %s", ErrRoundDecorator, name, st.Why)
	}
	keys, err := st.Keys(args)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrRoundDecorator, name, err)
	}
	co.reportOnce("round "+name, "pgfence: write goes round the cached queries: it is fenced by its arguments; call the cached queries instead", "query", name)
	return keys, nil
}

func (co *core) guardCopy(table pgx.Identifier) error {
	name := strings.TrimPrefix(strings.Join(table, "."), "public.")
	if !co.tables[name] {
		return nil
	}
	return fmt.Errorf("%w: COPY into %s, which cached reads depend on: call the :copyfrom query of the cached queries, or copy through a connection of your own and invalidate the groups",
		ErrRoundDecorator, name)
}

func looksLikeRead(sql string) bool {
	word, _, _ := strings.Cut(strings.TrimSpace(sql), " ")
	switch strings.ToLower(word) {
	case "select", "show", "set", "begin", "commit", "rollback", "savepoint", "release", "values", "table", "explain", "lock", "listen", "notify":
		return true
	}
	return false
}

// firstWords names a statement without its values.
func firstWords(sql string) string {
	words := strings.Fields(sql)
	return strings.Join(words[:min(3, len(words))], " ")
}

// guardedPool is the pool for a repository that goes round the decorator. A write is its own transaction there, and its
// result is still being read when it commits: it is fenced before it is sent and until its result has been closed.
type guardedPool struct{ core *core }

func (g guardedPool) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	keys, err := g.core.keysRound(sql, args)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	conn, err := g.core.pool.Acquire(ctx)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	defer conn.Release()
	var tag pgconn.CommandTag
	err = g.core.cache.Write(ctx, keys, func(ctx context.Context) (cache.Outcome, error) {
		tag, err = conn.Exec(ctx, sql, args...)
		return statementOutcome(err), err
	})
	return tag, err
}

func (g guardedPool) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	keys, err := g.core.keysRound(sql, args)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 || g.core.cache.Disabled() {
		return g.core.pool.Query(ctx, sql, args...)
	}
	conn, err := g.core.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	end := &ending{done: make(chan struct{}), conn: conn}
	var rows pgx.Rows
	err = g.core.cache.Write(ctx, keys, func(ctx context.Context) (cache.Outcome, error) {
		rows, err = conn.Query(ctx, sql, args...)
		if err != nil {
			return statementOutcome(err), err
		}
		return cache.InDoubt(end.wait), nil
	})
	if err != nil {
		end.end(err)
		return nil, err
	}
	return &endingRows{rows, end}, nil
}

func (g guardedPool) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := g.Query(ctx, sql, args...)
	if err != nil {
		return errRow{err}
	}
	return singleRow{rows}
}

func (g guardedPool) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	if err := g.core.guardCopy(table); err != nil {
		return 0, err
	}
	return g.core.pool.CopyFrom(ctx, table, columns, rows)
}

func (g guardedPool) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	for _, q := range b.QueuedQueries {
		keys, err := g.core.keysRound(q.SQL, q.Arguments)
		if err == nil && len(keys) > 0 {
			err = fmt.Errorf("%w: %s in a batch: send it in a transaction of the cached queries", ErrRoundDecorator, queryName(q.SQL))
		}
		if err != nil {
			return errBatch{err}
		}
	}
	return g.core.pool.SendBatch(ctx, b)
}

// guardedForeign is a transaction from elsewhere, for a repository that goes round the decorator.
type guardedForeign struct{ f *foreignTx }

func (g guardedForeign) before(ctx context.Context, sql string, args []any) error {
	keys, err := g.f.core.keysRound(sql, args)
	if err != nil || len(keys) == 0 {
		return err
	}
	return g.f.fence(ctx, keys)
}

func (g guardedForeign) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if err := g.before(ctx, sql, args); err != nil {
		return pgconn.CommandTag{}, err
	}
	return g.f.tx.Exec(ctx, sql, args...)
}

func (g guardedForeign) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if err := g.before(ctx, sql, args); err != nil {
		return nil, err
	}
	return g.f.tx.Query(ctx, sql, args...)
}

func (g guardedForeign) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if err := g.before(ctx, sql, args); err != nil {
		return errRow{err}
	}
	return g.f.tx.QueryRow(ctx, sql, args...)
}

func (g guardedForeign) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	if err := g.f.core.guardCopy(table); err != nil {
		return 0, err
	}
	return g.f.tx.CopyFrom(ctx, table, columns, rows)
}

func (g guardedForeign) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	for _, q := range b.QueuedQueries {
		if err := g.before(ctx, q.SQL, q.Arguments); err != nil {
			return errBatch{err}
		}
	}
	return g.f.tx.SendBatch(ctx, b)
}

// statementOutcome tells the outcome of a statement that was a transaction of its own.
func statementOutcome(err error) cache.Outcome {
	var pgErr *pgconn.PgError
	switch {
	case err == nil:
		return cache.Committed
	case errors.As(err, &pgErr) && pgErr.SeverityUnlocalized == "ERROR":
		return cache.RolledBack
	}
	return cache.Outcome{} // nobody can tell: the fences run out by themselves
}

// ending is the end of a result that is still being read.
type ending struct {
	once    sync.Once
	done    chan struct{}
	outcome cache.Outcome
	conn    *pgxpool.Conn
}

func (e *ending) end(err error) {
	e.once.Do(func() {
		e.outcome = statementOutcome(err)
		close(e.done)
		e.conn.Release()
	})
}

// wait is the resolver of the statement's outcome.
func (e *ending) wait(ctx context.Context) (cache.Outcome, error) {
	select {
	case <-ctx.Done():
		return cache.Outcome{}, ctx.Err()
	case <-e.done:
	}
	return e.outcome, nil
}

type endingRows struct {
	pgx.Rows
	ending *ending
}

func (r *endingRows) Close() {
	r.Rows.Close()
	r.ending.end(r.Rows.Err())
}

func (r *endingRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.ending.end(r.Rows.Err()) // pgx closes the rows by itself
	return false
}

// singleRow reads the first row of a result, as pgx' own rows do.
type singleRow struct{ rows pgx.Rows }

func (r singleRow) Scan(dest ...any) error {
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}
