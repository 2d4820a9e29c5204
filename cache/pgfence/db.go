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

// DBTX is what a sqlc repository is made of. It has every method that any sqlc option asks for.
type DBTX interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error)
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// Statements tell what is known of the project's SQL, for statements that reach a Guarded DBTX or a Tx without having come
// through a decorator. The generator writes them.
type Statements struct {
	// ByName has an entry for every query, by the name in its "-- name:" line.
	ByName map[string]Statement

	// Tables are those whose rows some cached read depends on, with their schema unless it is public. COPY into one of them
	// round the decorator is refused.
	Tables []string
}

// Statement is one query.
type Statement struct {
	// Write says that the statement may change a cached read.
	Write bool

	// Keys returns the keys that the statement changes, from its positional arguments. Nil for a write whose keys cannot be
	// known from them.
	Keys func(args []any) ([]cache.Key, error)

	// Why says what to do instead when Keys is nil, and for a batch where it cannot be sent: on the pool.
	Why string
}

// ErrRoundDecorator is returned for a write that reaches the pool or a transaction without having come through the decorator,
// and whose keys cannot be known from its arguments. It was not run.
var ErrRoundDecorator = errors.New("pgfence: write goes round the decorator")

// DB is where decorated queries run: on the pool, or in a transaction. It is safe for concurrent use on the pool, and as a
// pgx.Tx is in a transaction.
type DB struct {
	core    *core
	tx      *Tx        // ours
	foreign *foreignTx // one that somebody else began
	lookups []Lookup   // that the next write runs
	other   Conn       // some other database; see On
}

type core struct {
	pool       *pgxpool.Pool
	cache      *cache.Cache
	statements Statements
	tables     map[string]bool
	reported   sync.Map // what has been logged once
	watches    sync.Map // transaction id → *xactWatch
}

// New returns the DB for a pool. Loads that may be cached run on it and nowhere else; it must lead to the primary. What a
// hot standby answers is served and never stored.
func New(pool *pgxpool.Pool, c *cache.Cache, s Statements) *DB {
	co := &core{pool: pool, cache: c, statements: s, tables: make(map[string]bool, len(s.Tables))}
	for _, t := range s.Tables {
		co.tables[t] = true
	}
	return &DB{core: co}
}

// Begin starts a transaction; see BeginTx.
func (db *DB) Begin(ctx context.Context) (pgx.Tx, error) { return db.BeginTx(ctx, pgx.TxOptions{}) }

// BeginTx starts a transaction, or a savepoint when the DB is in one already (opts must then be empty). Commit fences what
// was changed through a decorator bound to the transaction by WithTx.
func (db *DB) BeginTx(ctx context.Context, opts pgx.TxOptions) (pgx.Tx, error) {
	switch {
	case db.tx == nil && db.foreign == nil:
		return db.core.begin(ctx, opts)
	case opts != (pgx.TxOptions{}):
		return nil, errors.New("pgfence: a transaction inside a transaction is a savepoint and takes no options")
	case db.tx != nil:
		return db.tx.Begin(ctx)
	}
	return db.foreign.tx.Begin(ctx)
}

// WithTx binds a DB to a transaction. One that Begin has started is fenced at its Commit. A plain pgx.Tx from elsewhere is
// fenced at each of its writes instead, and a watcher keeps the fences until Postgres says what became of it; such a
// transaction has no commit guard: a process that sleeps for longer than the fences live may show an old value after a newer
// one until it wakes. It is reported once for each query.
func (db *DB) WithTx(tx pgx.Tx) *DB {
	if ours, ok := tx.(*Tx); ok && ours.root.core.cache == db.core.cache {
		return &DB{core: db.core, tx: ours}
	}
	return &DB{core: db.core, foreign: &foreignTx{core: db.core, tx: tx}}
}

// InTx runs fn in a transaction, or in a savepoint when the DB is in one already. It commits when fn returns nil, and rolls
// back when fn fails or panics.
func (db *DB) InTx(ctx context.Context, opts pgx.TxOptions, fn func(*DB) error) error {
	tx, err := db.BeginTx(ctx, opts)
	if err != nil {
		return err
	}
	done := false
	rollback := func() error {
		// Not with the caller's context: to roll back with one that has ended costs the connection.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
		defer cancel()
		return tx.Rollback(ctx)
	}
	defer func() {
		if !done { // fn panicked
			_ = rollback()
		}
	}()
	err = fn(db.WithTx(tx))
	done = true
	if err != nil {
		if rbErr := rollback(); rbErr != nil && !errors.Is(rbErr, pgx.ErrTxClosed) {
			return errors.Join(err, fmt.Errorf("pgfence: rolling back: %w", rbErr))
		}
		return err
	}
	return tx.Commit(ctx)
}

// bypasses reports whether reads do not go through the cache: in a transaction, and on some other database.
func (db *DB) bypasses() bool { return db.tx != nil || db.foreign != nil || db.other != nil }

// Source is where uncached reads run, and writes that change no cached read.
func (db *DB) Source(ctx context.Context) DBTX {
	if db.bypasses() {
		cache.NoFill(ctx)
	}
	switch {
	case db.tx != nil:
		return txSource{db.tx}
	case db.foreign != nil:
		return db.foreign.tx
	case db.other != nil:
		return otherSource{db.other}
	}
	return db.core.pool
}

// Guarded is a DBTX for a repository that goes round the decorator: repo.New(db.Guarded()). A write of the project is fenced
// when its keys are known from its arguments, and refused with ErrRoundDecorator otherwise; every such write is logged once.
// SQL that is not the project's passes, and nothing knows what it changes.
func (db *DB) Guarded() DBTX {
	switch {
	case db.tx != nil:
		return db.tx
	case db.foreign != nil:
		return guardedForeign{db.foreign}
	}
	return guardedPool{db.core}
}

// Read returns a cell of the cache, or loads it on the pool. In a transaction it bypasses the cache.
func Read[T any](ctx context.Context, db *DB, key cache.Key, cell cache.Cell[T], load func(context.Context, DBTX) (T, error)) (T, error) {
	if db.bypasses() {
		return load(ctx, db.Source(ctx))
	}
	return cache.Read(ctx, db.core.cache, key, cell, func(ctx context.Context) (T, error) {
		return loadOn(ctx, db.core, load)
	})
}

// Near answers a read with a copy in the process, if there is one that may be used; see cache.Near. In a transaction there is none.
func Near[T any](ctx context.Context, db *DB, key cache.Key, cell cache.Cell[T]) (value T, ok bool, err error) {
	if db.bypasses() {
		return value, false, nil
	}
	return cache.Near(ctx, db.core.cache, key, cell)
}

// ReadMany is Read for a batch: keys are the members that are asked for, key gives the cache key of one, split the member of
// a row, and load the rows of the members that are missing.
func ReadMany[K comparable, T any](
	ctx context.Context, db *DB, keys []K, key func(K) cache.Key, cell cache.Cell[[]T], split func(T) K,
	load func(ctx context.Context, db DBTX, missing []K) ([]T, error),
) ([]T, error) {
	if db.bypasses() {
		return load(ctx, db.Source(ctx), keys)
	}
	return cache.ReadMany(ctx, db.core.cache, keys, key, cell, split, func(ctx context.Context, missing []K) ([]T, error) {
		return loadOn(ctx, db.core, func(ctx context.Context, d DBTX) ([]T, error) { return load(ctx, d, missing) })
	})
}

// loadOn runs a load on a connection of the pool, and keeps what a standby says from being stored: its snapshot may be older
// than the lease.
func loadOn[T any](ctx context.Context, co *core, load func(context.Context, DBTX) (T, error)) (T, error) {
	conn, err := co.pool.Acquire(ctx)
	if err != nil {
		var zero T
		return zero, err
	}
	defer conn.Release()
	if conn.Conn().PgConn().ParameterStatus("in_hot_standby") == "on" {
		cache.NoFill(ctx)
		co.reportOnce("standby", "pgfence: the pool leads to a hot standby: nothing that it answers is cached")
	}
	return load(ctx, conn)
}

// reportOnce logs a warning the first time that it is called with an id.
func (co *core) reportOnce(id, msg string, args ...any) {
	if _, again := co.reported.LoadOrStore(id, true); !again {
		co.cache.Logger().Warn(msg, args...)
	}
}

// queryName returns the name that sqlc has put before a statement, "" when there is none.
func queryName(sql string) string {
	rest, ok := strings.CutPrefix(sql, "-- name: ")
	if !ok {
		return ""
	}
	line, _, _ := strings.Cut(rest, "\n")
	name, _, _ := strings.Cut(line, " ")
	return name
}
