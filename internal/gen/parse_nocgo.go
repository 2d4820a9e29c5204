//go:build !cgo

package gen

import (
	"errors"

	pg "github.com/pganalyze/pg_query_go/v6"
	pgwasm "github.com/wasilibs/go-pgquery"
	"github.com/wasilibs/go-pgquery/parser"
)

// parseSQL parses with Postgres' own grammar, compiled to WebAssembly: the
// same tree, slower to start (the module is compiled on the first call).
func parseSQL(sql string) (*pg.ParseResult, error) {
	return pgwasm.Parse(sql)
}

// scanSQL splits a text into tokens as Postgres does.
func scanSQL(sql string) (*pg.ScanResult, error) {
	return pgwasm.Scan(sql)
}

// deparse writes a statement.
func deparse(n *pg.Node) (string, error) {
	return pgwasm.Deparse(&pg.ParseResult{Version: grammar, Stmts: []*pg.RawStmt{{Stmt: n}}})
}

// parsePlpgsql returns the parse tree of a CREATE FUNCTION … LANGUAGE plpgsql as
// JSON.
func parsePlpgsql(text string) (string, error) { return pgwasm.ParsePlPgSqlToJSON(text) }

// cursorOf returns the character, from 1, at which the parser gave up; 0 when it
// doesn't say.
func cursorOf(err error) int {
	var e *parser.Error
	if !errors.As(err, &e) {
		return 0
	}
	return e.Cursorpos
}
