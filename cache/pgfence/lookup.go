package pgfence

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgaside/pgaside/cache"
)

// Lookup finds keys that a write changes and that neither its arguments nor its result tell: those of the rows that go with a
// parent by a foreign key, or that a changed row is read through (@via). It runs in the transaction of the write and locks
// what it reads, so that nothing can be added to what it has found before the commit (protocol 4.11.11). The generator writes
// it.
type Lookup struct {
	SQL  string
	Args []any

	// Keys makes the keys of one row, which it reads by scan. Nil when the rows need only be locked.
	Keys func(scan func(...any) error) ([]cache.Key, error)

	// Fresh says that it must see every row that was committed before its locks were granted, and that Postgres wouldn't notice
	// if it didn't: in a snapshot that is older (REPEATABLE READ, SERIALIZABLE) it is not run, see ErrOldSnapshot.
	Fresh bool

	// UntilAll lets it run until it finds no row that it has not found, and locked, before: it follows rows that refer to rows of
	// their own table, and under its locks finds those that came before them only in the next run. Its first column, which Keys
	// is not given, identifies a row.
	UntilAll bool

	// Bound says that the lookup locks the very rows that the statement changes. A statement that changes more of them than
	// were locked has met rows that came in between, about which the other lookups know nothing: ErrRowsAppeared.
	Bound bool

	// After says that it runs after the statement, which has made or found its row by then.
	After bool
}

// ErrRowsAppeared is returned for a write whose lookups have missed rows that another transaction committed between them and
// the statement. On the pool the write is rolled back and tried again, and the error comes when that was in vain several times.
// In a transaction nothing can be committed: begin it anew.
var ErrRowsAppeared = errors.New("pgfence: rows appeared between a write's lookup and the write: try the transaction again")

// ErrOldSnapshot is returned for a write that looks up keys through @via in a transaction at REPEATABLE READ or SERIALIZABLE.
// Rows that were committed after its first statement are hidden from it, and the keys of these would be missed. In a
// transaction nothing can be committed: run the write at READ COMMITTED.
var ErrOldSnapshot = errors.New("pgfence: a lookup of a write needs READ COMMITTED: an older snapshot hides rows that other transactions have committed")

// LookUp returns a DB whose next write runs the lookups first.
func (db *DB) LookUp(ls ...Lookup) *DB {
	cp := *db
	cp.lookups = ls
	return &cp
}

// looking wraps a write in its lookups. Any failure of these is one after which the transaction can't be committed.
func looking[T any](ls []Lookup, do func(context.Context, DBTX) (T, []cache.Key, error)) func(context.Context, DBTX) (T, []cache.Key, error) {
	return func(ctx context.Context, d DBTX) (T, []cache.Key, error) {
		var zero T
		found, err := lookUp(ctx, d, ls, false)
		if err != nil {
			return zero, nil, err
		}
		counted := &counting{DBTX: d}
		out, keys, err := do(ctx, counted)
		keys = append(found.keys, keys...)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return out, keys, err
		}
		if found.bound && counted.changed > found.locked {
			return zero, keys, ErrRowsAppeared
		}
		later, lookErr := lookUp(ctx, d, ls, true)
		if lookErr != nil {
			return zero, keys, lookErr
		}
		return out, append(keys, later.keys...), err
	}
}

type lookedUp struct {
	keys   []cache.Key
	bound  bool
	locked int64
}

func lookUp(ctx context.Context, d DBTX, ls []Lookup, after bool) (lookedUp, error) {
	var found lookedUp
	if slices.ContainsFunc(ls, func(l Lookup) bool { return l.After == after && l.Fresh }) {
		var level string
		if err := d.QueryRow(ctx, "select current_setting('transaction_isolation')").Scan(&level); err != nil {
			return found, fmt.Errorf("pgfence: looking up what a write changes: %w", err)
		}
		if level != "read committed" && level != "read uncommitted" { // to Postgres they are the same
			return found, ErrOldSnapshot
		}
	}
	for _, l := range ls {
		if l.After != after {
			continue
		}
		seen := map[string]bool{}
		for more := true; more; {
			more = false
			rows, err := d.Query(ctx, l.SQL, l.Args...)
			if err != nil {
				return found, fmt.Errorf("pgfence: looking up what a write changes: %w", err)
			}
			n := int64(0)
			for rows.Next() {
				n++
				scan := rows.Scan
				if l.UntilAll {
					if id := string(rows.RawValues()[0]); !seen[id] {
						seen[id], more = true, true
					}
					scan = func(dest ...any) error { return rows.Scan(append([]any{nil}, dest...)...) }
				}
				if l.Keys == nil {
					continue
				}
				keys, err := l.Keys(scan)
				if err != nil {
					rows.Close()
					return found, fmt.Errorf("pgfence: looking up what a write changes: %w", err)
				}
				found.keys = append(found.keys, keys...)
			}
			if err := rows.Err(); err != nil {
				return found, fmt.Errorf("pgfence: looking up what a write changes: %w", err)
			}
			if l.Bound {
				found.bound, found.locked = true, n
			}
		}
	}
	return found, nil
}

// counting notes how many rows the statement that runs through it has changed.
type counting struct {
	DBTX
	changed int64
}

func (c *counting) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	tag, err := c.DBTX.Exec(ctx, sql, args...)
	c.changed += tag.RowsAffected()
	return tag, err
}

func (c *counting) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	rows, err := c.DBTX.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return &committingRows{Rows: rows, commit: func(error) error {
		c.changed += rows.CommandTag().RowsAffected()
		return nil
	}}, nil
}

func (c *counting) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := c.Query(ctx, sql, args...)
	if err != nil {
		return errRow{err}
	}
	return singleRow{rows}
}
