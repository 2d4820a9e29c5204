package pgfence

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgaside/pgaside/cache"
)

// keysRound returns the keys of a statement that came round the decorator: none when it changes no cached read.
func (co *core) keysRound(sql string, args []any) ([]cache.Key, error) {
	name := queryName(sql)
	st, known := co.statements.ByName[name]
	switch {
	case !known:
		if !looksLikeRead(sql) {
			co.reportOnce("unknown "+firstWords(sql), "pgfence: a statement that is not the project's goes through the cached queries: what it changes is not invalidated",
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

// guardedPool is the pool for a repository that goes round the decorator. A write is a transaction of its own there, as a
// decorator makes it; that of a Query is committed when its result has been read.
type guardedPool struct{ core *core }

func (g guardedPool) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	keys, err := g.core.keysRound(sql, args)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	if len(keys) == 0 { // some statements cannot run in a transaction
		return g.core.pool.Exec(ctx, sql, args...)
	}
	return Write(ctx, &DB{core: g.core}, func(ctx context.Context, d DBTX) (pgconn.CommandTag, []cache.Key, error) {
		tag, err := d.Exec(ctx, sql, args...)
		return tag, keys, err
	})
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
	s := &autocommit{core: g.core, conn: conn}
	rows, err := s.Query(ctx, sql, args...)
	if err != nil {
		s.abort(ctx)
		return nil, err
	}
	return &committingRows{Rows: rows, commit: func(rowsErr error) error {
		defer s.abort(ctx) // unless finish has taken the connection
		if rowsErr != nil {
			return nil // the rows tell it themselves
		}
		return s.finish(ctx, keys)
	}}, nil
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
			name := queryName(q.SQL)
			why := "send it in a transaction of the cached queries"
			if st := g.core.statements.ByName[name]; st.Why != "" {
				why = st.Why
			}
			err = fmt.Errorf("%w: %s in a batch: %s", ErrRoundDecorator, name, why)
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

// committingRows is the result of a write that commits when it has been read, or closed.
type committingRows struct {
	pgx.Rows
	commit func(rowsErr error) error // nil when it has been called
	err    error
}

func (r *committingRows) end() {
	if r.commit != nil {
		commit := r.commit
		r.commit = nil
		r.err = commit(r.Rows.Err())
	}
}

func (r *committingRows) Close() {
	r.Rows.Close()
	r.end()
}

func (r *committingRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.end() // pgx closes the rows by itself
	return false
}

func (r *committingRows) Err() error {
	if err := r.Rows.Err(); err != nil {
		return err
	}
	return r.err
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
