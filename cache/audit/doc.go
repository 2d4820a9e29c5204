// Package audit looks for stale cells in a running program.
//
// An [Auditor] takes a random hit now and then, reads its cell, loads from the source, and reads the cell again. Only a cell
// that was byte for byte the same both times, while the source said something else twice, is a finding: a write that runs
// meanwhile makes no false alarm. What was found is looked at again after 1, 10 and 60 seconds, and labelled by the largest of
// these at which the same cell was still stale.
//
//	auditor, err := audit.New(audit.Options{})
//	c, err := cache.Open(url, cache.Options{Auditor: auditor})
//	go auditor.Run(ctx)
//	http.Handle("/health/cache/audit", auditor)
//
// It may stay on in production. One check runs at a time, at most [Options.Rate] of them in a second, at random moments; each
// costs Redis two small reads and the source one query, and two queries where something is odd. It never fills or voids a
// cell, takes no lease, and a program that reads nothing is not audited. Since the hits are drawn at random, the share of stale
// ones among the checks is an estimate of the share of stale hits that readers get.
//
// What it finds is what readers of this cache get, whatever the cause: a writer that goes round the cache (psql, another
// service), a restored Redis, a mapping that is wrong, or a fault of this library. What a query was allowed to serve (@stale-ok,
// @volatile-ok) is found as well, unless [Options.Ignore] names it.
package audit
