package integration

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/internal/gen/codingtest"
)

// SQL of values for the fields of codingtest's rows, by name. A value of a field that may be NULL is NULL, too.
var (
	goValues = map[string][]string{
		"Bool": {"true", "false"}, "Int16": {"'-32768'::int2", "0::int2"}, "Int32": {"2147483647::int4"}, "Int64": {"'-9223372036854775808'::int8", "127::int8"},
		"Float32": {"'infinity'::float4", "1.1::float4"}, "Float64": {"'-infinity'::float8", "1e-300::float8", "'-0'::float8"},
		"Text": {"''", "E'\\u00e9\\u2028<&>'"}, "Bytea": {"''::bytea", "'\\x00ff'::bytea"}, "Raw": {`'{ "a" : 1.0 }'::json`, `'{ "a" : 1.0 }'::jsonb`},
		"UUID": {"gen_random_uuid()"}, "At": {"now()", "'1883-11-18 12:03:58.000001+00'::timestamptz", "'0001-01-01'::timestamp", "'9999-12-31 23:59:59.999999'::timestamp"},
		"Mood": {"'sad'::text"}, "Addr": {"'10.0.0.1'::inet", "'fe80::1'::inet"}, "Prefix": {"'10.0.0.0/8'::cidr", "'fe80::/10'::cidr"},
		"Mac": {"'08:00:2b:01:02:03'::macaddr"}, "PText": {"'x'"}, "PInt64": {"7::int8"}, "PFloat64": {"0.5::float8"}, "PUUID": {"gen_random_uuid()"},
		"PAt": {"now()", "now()::timestamp"}, "PAddr": {"'::1'::inet"}, "Ints": {"'{1,2}'::int4[]", "'{}'::int4[]"}, "Texts": {"array['a','']", "'{}'::text[]"},
		"PTexts": {"array['a',null]"}, "Byteas": {"array['\\x00'::bytea]"}, "Grid": {"'{{1,2},{3,4}}'::int8[]"}, "Times": {"array[now(), '2000-01-01'::timestamptz]"},
		"NullText": {"'x'::text"}, "NullTime": {"now()"}, "NullInt": {"1::int8"},
	}
	pgValues = map[string][]string{
		"Text": {"'x'"}, "Int2": {"1::int2"}, "Int4": {"1::int4"}, "Int8": {"1::int8"}, "Float4": {"1.5::float4"}, "Float8": {"'infinity'::float8"},
		"Bool": {"true"}, "UUID": {"gen_random_uuid()"}, "Date": {"'2026-11-22'::date", "'infinity'::date", "'-infinity'::date", "'0044-03-15 BC'::date"},
		"Timestamp": {"now()::timestamp", "'infinity'::timestamp"}, "Timestamptz": {"now()", "'-infinity'::timestamptz", "'1970-01-01Z'::timestamptz"},
		"Time": {"'23:59:59.999999'::time", "'24:00'::time"}, "Interval": {"'-1 year 3 days 04:05:06.000007'::interval"},
		"Numeric": {"0::numeric", "0.00::numeric", "-12345678901234567890.1230::numeric", "'NaN'::numeric", "'Infinity'::numeric", "1e100::numeric"},
		"Bits":    {"'101'::varbit", "''::varbit"}, "Point": {"'(1,2)'::point"}, "Box": {"'(1,2),(0,0)'::box"}, "Circle": {"'<(1,2),3>'::circle"},
		"Line": {"'{1,2,3}'::line"}, "Lseg": {"'[(0,0),(1,1)]'::lseg"}, "Path": {"'((0,0),(1,1))'::path"}, "Polygon": {"'((0,0),(1,1),(2,0))'::polygon"},
		"TID": {"'(1,2)'::tid"}, "Uint32": {"'1'::xid"},
		"Range":      {"tstzrange(now(), null)", "'empty'::tstzrange", "tstzrange('2000-01-01', 'infinity', '[]')"},
		"NumRange":   {"numrange(1.50, 2)", "'empty'::numrange"},
		"DateRange":  {"daterange('2000-01-01', '2001-01-01')"},
		"Multirange": {"'{[1,2),[5,9)}'::int8multirange", "'{}'::int8multirange"},
		"Array":      {"array['a',null]", "'{}'::text[]", "'[2:3]={a,b}'::text[]"},
		"Flat":       {"array[1,null]::int8[]"}, "Numerics": {"array[1.10, 'NaN'::numeric]"}, "Dates": {"array['infinity'::date]"},
	}
	notNull = map[string]bool{
		"Bool": true, "Int16": true, "Int32": true, "Int64": true, "Float32": true, "Float64": true, "Text": true, "UUID": true, "At": true, "Mood": true,
		"Addr": true, "Prefix": true,
	}
)

// TestCodingsOnPostgresValues: what pgx makes of Postgres' answers comes back from the generated codings as it was, in the binary and
// in the text format.
func TestCodingsOnPostgresValues(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeSimpleProtocol} {
		for field, values := range goValues {
			if !notNull[field] {
				values = append(values, "null")
			}
			codingKeeps(t, w, codingtest.Row, mode, field, values)
		}
		for field, values := range pgValues {
			codingKeeps(t, w, codingtest.PgRow, mode, field, append(values, "null"))
		}
	}
}

func codingKeeps[T any](t *testing.T, w *world, c cache.Coding[T], mode pgx.QueryExecMode, field string, values []string) {
	t.Helper()
	for _, sql := range values {
		var want, got T
		at := reflect.ValueOf(&want).Elem().FieldByName(field)
		if sql == "null" { // of some type
			sql = fmt.Sprintf("case when true then null else %s end", values[0])
		}
		if !assert.NoError(t, w.pool.QueryRow(t.Context(), "select "+sql, mode).Scan(at.Addr().Interface()), "%s: %s", field, sql) {
			continue
		}
		text, err := c.Append(nil, &want)
		require.NoError(t, err, "%s: %s", field, sql)
		require.NoError(t, c.Decode(text, &got), "%s: %s", field, sql)
		assert.True(t, reflect.DeepEqual(want, got), "%s: %s: %#v came back as %#v", field, sql, at.Interface(), reflect.ValueOf(got).FieldByName(field).Interface())
	}
}
