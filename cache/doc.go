// Package cache is a cache-aside engine that never stores a stale value.
//
// A [Group] is a family of invalidation, such as session(id). A [Key] is one member of it: one Redis hash, voided as a whole.
// A [Cell] is one cached result under a key: a query and its remaining arguments. Two verbs carry everything:
//
//   - [Read] returns a cell from Redis. On a miss it takes a lease, loads from the source, and stores the result only if the
//     lease is still there; any write to the key takes it away.
//   - [Cache.Write] fences the keys of a change before it commits and until its outcome is known. While a fence is there nothing
//     is served or stored under its key.
//
// Programs rarely call them: pgaside generates decorators around a sqlc repository that do, with the keys derived from the SQL.
//
// # What is promised
//
// A read never fails, and never waits longer than Options.RedisBudget, because of Redis. Nothing older than an acknowledged
// invalidation is ever stored. While the writer reaches Redis, a read that starts after a write has returned sees it, in every
// process. A value is never served for longer than the TTL of its group.
//
// # What is not
//
// Nothing is promised across groups: two reads around one transaction may see one group before it and another after it. Writes
// that do not go through the cached queries are seen when the TTL ends, or when [Cache.Invalidate] is called.
//
// The package knows neither Postgres nor telemetry. See package pgfence for the former and [Observer] for the latter.
package cache
