// Package pgaside holds no code of its own: it is the front door of a module that caches the queries of a sqlc repository in
// Redis and keeps them true.
//
//   - Command github.com/pgaside/pgaside/cmd/pgaside generates the decorator: "pgaside generate".
//   - Package github.com/pgaside/pgaside/cache is the engine. Programs use cache.Open, cache.Options and Cache.Stats.
//   - Package github.com/pgaside/pgaside/cache/pgfence carries writes and transactions of pgx into the engine.
//   - Package github.com/pgaside/pgaside/cache/cachetest has a store in memory and a conformance suite, for tests.
//   - Package github.com/pgaside/pgaside/cached is what is generated from the queries in db/queries, as a model to read.
//
// The example is a whole program against that model.
package pgaside
