package cache

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"sync/atomic"
	"time"
)

// maxLiteralArgs is how many bytes of arguments stand in a field as they are; more are hashed.
const maxLiteralArgs = 64

// QueryOptions describe what a query gives when there is nothing to give.
type QueryOptions struct {
	// NoRows is the error by which the source says "no row" (pgx.ErrNoRows). A load that fails with it is stored as a
	// negative cell, and a negative hit returns this very error. Nil: errors are never stored.
	NoRows error

	// NilWhenEmpty says that a query for many rows returns a nil slice, not an empty one, when there are none.
	NilWhenEmpty bool
}

// Query describes one cached read. It is stateless and may be shared by any number of caches.
type Query[T any] struct {
	name, shape string
	opts        QueryOptions
	coding      *Coding[T]                 // nil without one
	last        atomic.Pointer[queryState] // of the cache that used it first or last: most programs have one
}

// NewQuery describes a read by its name and its shape: a hash of everything that decides what a stored value means (the SQL
// text and the structure of T). Two versions of a program whose shapes differ never read each other's cells, and still share
// invalidations, since the shape is in the field and not in the key.
func NewQuery[T any](name, shape string, o QueryOptions) *Query[T] {
	return &Query[T]{name: name, shape: shape, opts: o}
}

// NewCodedQuery is NewQuery with the coding that the generator wrote for T: results are stored by it, unless Options.Codec says
// otherwise. The shape stands for the coding too, and changes when the coding does.
func NewCodedQuery[T any](name, shape string, o QueryOptions, coding Coding[T]) *Query[T] {
	return &Query[T]{name: name, shape: shape, opts: o, coding: &coding}
}

// Cell names one result of the query under a key, by the arguments that are not part of the key, in a fixed order.
func (q *Query[T]) Cell(args ...any) Cell[T] {
	if len(args) == 0 {
		return Cell[T]{query: q}
	}
	buf := make([]byte, 0, maxLiteralArgs)
	mutable := false
	for _, a := range args {
		mutable = mutable || isMutable(a)
		buf = append(buf, ':')
		var err error
		if buf, err = appendArg(buf, a); err != nil {
			return Cell[T]{query: q, err: fmt.Errorf("cache: argument of %s: %w", q.name, err)}
		}
	}
	text := string(buf[1:])
	if len(text) > maxLiteralArgs {
		text = hashID(text)
	}
	return Cell[T]{query: q, args: "." + text, mutable: mutable}
}

// Cell is one cached result under a key.
type Cell[T any] struct {
	query   *Query[T]
	args    string
	err     error // the arguments have no faithful text: the read is served from the source
	mutable bool  // an argument may be changed by its owner: see Hit.Mutable
}

// appendArg appends a text of v such that two values that the source could tell apart never share one. Values that are equal
// may differ in text: that costs a hit, not the truth.
func appendArg(buf []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(buf, '%', 'n'), nil
	case string:
		return appendEscaped(buf, v), nil
	case []byte:
		if v == nil {
			return append(buf, '%', 'n'), nil
		}
		return appendPart(buf, v)
	case time.Time:
		// The wall clock counts too: a timestamp without time zone is sent by its wall clock.
		_, offset := v.Zone()
		buf = append(strconv.AppendInt(buf, v.Unix(), 10), '.')
		buf = append(strconv.AppendInt(buf, int64(v.Nanosecond()), 10), '.')
		return strconv.AppendInt(buf, int64(offset), 10), nil
	case float64:
		return strconv.AppendFloat(buf, v, 'g', -1, 64), nil
	case float32:
		return strconv.AppendFloat(buf, float64(v), 'g', -1, 32), nil
	}
	rv := reflect.ValueOf(v)
	switch rv.Kind() {
	case reflect.Pointer:
		if rv.IsNil() {
			return append(buf, '%', 'n'), nil
		}
		return appendArg(buf, rv.Elem().Interface())
	case reflect.Slice:
		if rv.Type().Elem().Kind() == reflect.Uint8 {
			return appendArg(buf, rv.Bytes())
		}
		if rv.IsNil() {
			return append(buf, '%', 'n'), nil
		}
		buf = append(buf, '[')
		for i := range rv.Len() {
			var err error
			if buf, err = appendArg(append(buf, ','), rv.Index(i).Interface()); err != nil {
				return nil, err
			}
		}
		return append(buf, ']'), nil
	}
	if val, ok := v.(driver.Valuer); ok {
		base, err := val.Value()
		if err != nil {
			return nil, err
		}
		if _, again := base.(driver.Valuer); again {
			return nil, fmt.Errorf("unsupported type %T", v)
		}
		return appendArg(buf, base)
	}
	if rv.Kind() == reflect.Struct || rv.Kind() == reflect.Map {
		// By the codec, which refuses what would be lost: two values that differ in a hidden field must not look the same.
		p := reflect.New(rv.Type())
		p.Elem().Set(rv)
		text, err := marshal(JSON{}, p.Interface())
		if err != nil {
			return nil, err
		}
		return appendEscaped(buf, string(text)), nil
	}
	out, err := appendPart(buf, v)
	if errors.Is(err, errNull) {
		return append(buf, '%', 'n'), nil
	}
	return out, err
}
