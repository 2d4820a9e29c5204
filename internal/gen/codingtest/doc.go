// Package codingtest has the codings that the generator writes for the types of package rows, to be tested on values: codings.go is
// written by TestCodingsOfEveryType of the generator (go test ./internal/gen -update).
package codingtest

// The codings of the two kinds of rows that sqlc gives, for tests on what Postgres itself answers.
var (
	Row   = rowCoding
	PgRow = pgRowCoding
)
