package proof

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sort"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Values are few, so that rows meet: three of each type, and NULL.
const domain = 3

var timeType = reflect.TypeFor[time.Time]()

// values lists what an argument of a type can be.
func values(t reflect.Type) []reflect.Value {
	var out []reflect.Value
	one := func(set func(v reflect.Value, n int)) {
		for n := 1; n <= domain; n++ {
			v := reflect.New(t).Elem()
			set(v, n)
			out = append(out, v)
		}
	}
	switch {
	case t == timeType:
		one(func(v reflect.Value, n int) { v.Set(reflect.ValueOf(time.Date(2024, 1, n, 0, 0, 0, 0, time.UTC))) })
	case t.Kind() == reflect.Array: // a uuid
		one(func(v reflect.Value, n int) { v.Index(v.Len() - 1).SetUint(uint64(n)) })
	case t.Kind() == reflect.String:
		one(func(v reflect.Value, n int) { v.SetString(string(rune('a' + n - 1))) })
	case t.Kind() == reflect.Bool:
		one(func(v reflect.Value, n int) { v.SetBool(n == 2) })
		out = out[:2]
	case t.Kind() == reflect.Int16, t.Kind() == reflect.Int32, t.Kind() == reflect.Int64:
		one(func(v reflect.Value, n int) { v.SetInt(int64(n)) })
	case t.Kind() == reflect.Pointer:
		out = append(out, reflect.Zero(t))
		for _, elem := range values(t.Elem()) {
			v := reflect.New(t.Elem())
			v.Elem().Set(elem)
			out = append(out, v)
		}
	case isNullable(t): // pgtype's, and sqlc's for enums
		out = append(out, reflect.Zero(t))
		for _, first := range values(t.Field(0).Type) {
			v := reflect.New(t).Elem()
			v.Field(0).Set(first)
			v.FieldByName("Valid").SetBool(true)
			out = append(out, v)
		}
	default:
		panic(fmt.Sprintf("no values for %s", t))
	}
	return out
}

func isNullable(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	valid, ok := t.FieldByName("Valid")
	return ok && valid.Type.Kind() == reflect.Bool
}

// isParams reports whether a type is a struct of arguments, or a pointer to one.
func isParams(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct && t != timeType && !isNullable(t)
}

// all lists what a parameter of a read can be: of a list, some lists that differ
// in kind.
func all(t reflect.Type) []reflect.Value {
	switch {
	case isParams(t):
		st := t
		if t.Kind() == reflect.Pointer {
			st = t.Elem()
		}
		out := []reflect.Value{reflect.New(st).Elem()}
		for i := range st.NumField() {
			var next []reflect.Value
			for _, begun := range out {
				for _, field := range all(st.Field(i).Type) {
					v := reflect.New(st).Elem()
					v.Set(begun)
					v.Field(i).Set(field)
					next = append(next, v)
				}
			}
			out = next
		}
		if t.Kind() == reflect.Pointer {
			for i, v := range out {
				out[i] = v.Addr()
			}
		}
		return out
	case t.Kind() == reflect.Slice:
		elems := values(t.Elem())
		list := func(of ...reflect.Value) reflect.Value {
			return reflect.Append(reflect.MakeSlice(t, 0, len(of)), of...)
		}
		out := []reflect.Value{reflect.Zero(t), list(), list(elems...), list(elems[0], elems[1], elems[0])}
		for _, e := range elems {
			out = append(out, list(e))
		}
		return out
	}
	return values(t)
}

// draw chooses one argument of a write.
func draw(r *rand.Rand, t reflect.Type) reflect.Value {
	switch {
	case t.Kind() == reflect.Pointer && isParams(t):
		v := reflect.New(t.Elem())
		v.Elem().Set(draw(r, t.Elem()))
		return v
	case isParams(t):
		v := reflect.New(t).Elem()
		for i := range t.NumField() {
			v.Field(i).Set(draw(r, t.Field(i).Type))
		}
		return v
	case t.Kind() == reflect.Slice:
		n := r.IntN(4)
		if n == 0 && r.IntN(2) == 0 {
			return reflect.Zero(t)
		}
		v := reflect.MakeSlice(t, 0, n)
		for range n {
			v = reflect.Append(v, draw(r, t.Elem()))
		}
		return v
	}
	of := values(t)
	if n := len(of); n > domain && r.IntN(3) > 0 { // NULL is rarer than a value
		of = of[1:]
	}
	return of[r.IntN(len(of))]
}

// call calls a query's method.
func call(ctx context.Context, q reflect.Value, name string, args []reflect.Value) (any, error) {
	in := append([]reflect.Value{reflect.ValueOf(ctx)}, args...)
	out := q.MethodByName(name).Call(in)
	err, _ := out[len(out)-1].Interface().(error)
	if len(out) == 1 {
		return nil, err
	}
	return out[0].Interface(), err
}

// same compares two results.
func same(a any, aErr error, b any, bErr error, ordered bool) bool {
	if aErr != nil || bErr != nil {
		var x, y *pgconn.PgError
		if errors.As(aErr, &x) && errors.As(bErr, &y) {
			return x.Code == y.Code && x.Message == y.Message
		}
		// The very same: a caller may compare with ==.
		return aErr == bErr //nolint:errorlint // as said
	}
	if ordered {
		return reflect.DeepEqual(a, b)
	}
	return reflect.DeepEqual(sorted(a), sorted(b))
}

// sorted puts the rows of a list into an order that depends on nothing else. A
// nil list stays one: the source gives the same.
func sorted(v any) any {
	rows := reflect.ValueOf(v)
	if rows.Kind() != reflect.Slice || rows.IsNil() {
		return v
	}
	texts := make([]string, rows.Len())
	order := make([]int, rows.Len())
	for i := range order {
		order[i], texts[i] = i, text(rows.Index(i).Interface())
	}
	sort.SliceStable(order, func(i, j int) bool { return texts[order[i]] < texts[order[j]] })
	out := reflect.MakeSlice(rows.Type(), 0, rows.Len())
	for _, i := range order {
		out = reflect.Append(out, rows.Index(i))
	}
	return out.Interface()
}

// text shows a value.
func text(v any) string {
	out, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%+v", v)
	}
	return string(out)
}

func show(v any, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	return text(v)
}

func showArgs(args []reflect.Value) string {
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = text(a.Interface())
	}
	return strings.Join(out, ", ")
}
