// Package faults runs the reference application's data layer in several processes on a real Postgres and Redis, breaks what
// it runs on, and checks every read against the versions that were written.
//
// Each row carries a version, which every write raises by one. A worker process records when each read and write began and
// ended and which version it saw; see [checkLayer] for what is made of that.
package faults
