// Package pgfence carries the cache's protocol into pgx: loads on the pool, transactions that collect the keys of what they
// change, fences before COMMIT, a guard in the COMMIT's own message, and an answer for commits whose outcome is unknown.
//
// Generated decorators are its users. A program meets it as the pgx.Tx that their Begin returns.
package pgfence
