//go:build !cgo

package gen

import (
	pg "github.com/pganalyze/pg_query_go/v6"
	pgwasm "github.com/wasilibs/go-pgquery"
)

// parseSQL parses with Postgres' own grammar, compiled to WebAssembly: the
// same tree, slower to start (the module is compiled on the first call).
func parseSQL(sql string) (*pg.ParseResult, error) {
	return pgwasm.Parse(sql)
}
