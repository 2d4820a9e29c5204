//go:build cgo

package gen

import pg "github.com/pganalyze/pg_query_go/v6"

// parseSQL parses with Postgres' own grammar, compiled from C.
func parseSQL(sql string) (*pg.ParseResult, error) {
	return pg.Parse(sql)
}
