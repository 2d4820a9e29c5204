package gen

import "fmt"

// db is the database of a method: that of Queries, or what the caller names.
func (f *goFile) db() string {
	if f.r.p.src.dbArg {
		return "q.db.On(db)"
	}
	return "q.db"
}

// call writes the call of sqlc's method on a database.
func (f *goFile) call(q *query, db, args string) string {
	if args != "" {
		args = ", " + args
	}
	if f.r.p.src.dbArg {
		return fmt.Sprintf("%s.New().%s(ctx, %s%s)", f.repo(), q.name, db, args)
	}
	return fmt.Sprintf("%s.New(%s).%s(ctx%s)", f.repo(), db, q.name, args)
}

// dbArgMethods writes the methods of Queries that stand beside the queries, where
// each query takes its database as an argument: a transaction is such a database,
// and needs no Queries of its own.
func (f *goFile) dbArgMethods() {
	repo, ctx, pgx, pgfence := f.r.p.src.pkg.Name(), f.use("context", "context"), f.pgx(), f.pgfence()
	f.printf("// Begin starts a transaction, to be given to the queries as their database. Its Commit invalidates what was written.\n")
	f.printf("func (q *Queries) Begin(ctx %s.Context) (%s.Tx, error) {\nreturn q.db.Begin(ctx)\n}\n\n", ctx, pgx)
	f.printf("// BeginTx is Begin with options.\n")
	f.printf("func (q *Queries) BeginTx(ctx %s.Context, opts %s.TxOptions) (%s.Tx, error) {\nreturn q.db.BeginTx(ctx, opts)\n}\n\n", ctx, pgx, pgx)
	f.printf("// InTx runs f with a transaction and commits it, or rolls it back if f fails or panics. Give tx to the queries: nil, and\n" +
		"// the pool, are outside of it.\n")
	f.printf("func (q *Queries) InTx(ctx %s.Context, opts %s.TxOptions, f func(tx %s.Tx) error) error {\n", ctx, pgx, pgx)
	f.printf("return q.db.InTx(ctx, opts, func(db *%s.DB) error { return f(db.Tx()) })\n}\n\n", pgfence)
	f.printf("// WithTx returns queries for which nil is the transaction, and whose InTx is a savepoint of it.\n")
	f.printf("func (q *Queries) WithTx(tx %s.Tx) *Queries {\nreturn &Queries{db: q.db.WithTx(tx)}\n}\n\n", pgx)
	f.printf("// DB returns the pool or the transaction: for these queries what nil is, and for %s.New() and SQL of one's own a database\n"+
		"// on which a write of %s that changes cached reads is invalidated where its keys can be told from its arguments, and\n"+
		"// refused where they can't.\n", repo, repo)
	f.printf("func (q *Queries) DB() %s.DBTX {\nreturn q.db.Guarded()\n}\n\n", pgfence)
}

// dbArgDoc says what the databases mean that a query can be given.
func (f *goFile) dbArgDoc() {
	f.printf("//\n// The db of a query may be nil or the pool of New. In a transaction, give the pgx.Tx: reads bypass the cache there, and the\n" +
		"// commit invalidates. On any other database reads are not cached, and a write that changes cached reads is a transaction of\n" +
		"// its own.\n")
}
