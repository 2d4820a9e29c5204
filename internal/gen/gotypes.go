package gen

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"go/types"
	"strconv"
	"strings"
)

func deref(t types.Type) types.Type {
	if p, ok := t.(*types.Pointer); ok {
		return p.Elem()
	}
	return t
}

func isByte(t types.Type) bool {
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Kind() == types.Byte
}

func typeString(t types.Type) string {
	return types.TypeString(t, func(p *types.Package) string { return p.Name() })
}

func typeList(ts []types.Type) string {
	out := make([]string, len(ts))
	for i, t := range ts {
		out[i] = typeString(t)
	}
	return strings.Join(out, ", ")
}

// keyTypeProblem says why a Go type can't be a key part, or "".
func keyTypeProblem(t types.Type) string {
	t = deref(t)
	if hasMethod(t, "Value") {
		return "" // a driver.Valuer
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		if u.Info()&(types.IsString|types.IsInteger|types.IsBoolean) != 0 {
			return ""
		}
	case *types.Array:
		if u.Len() == 16 && isByte(u.Elem()) {
			return ""
		}
	case *types.Slice:
		if isByte(u.Elem()) {
			return ""
		}
	case *types.Struct:
		if typeString(t) == "time.Time" {
			return ""
		}
	}
	return "equality of such values isn't identity"
}

func hasMethod(t types.Type, name string) bool {
	obj, _, _ := types.LookupFieldOrMethod(t, true, nil, name)
	_, ok := obj.(*types.Func)
	return ok
}

// conversion is how a Go value becomes a key part.
type conversion uint8

const (
	impossible conversion = iota
	asIs
	byAddr    // the key part is a pointer
	byDeref   // the value is a pointer that may be nil: then there is no key
	byConvert // another type of the same kind
	byKeyOf   // a type that holds the same values: Group.KeyOf knows it
)

// convert says how a value of type from becomes a key part of type to.
func convert(from, to types.Type) conversion {
	switch {
	case types.Identical(from, to):
		return asIs
	case types.Identical(deref(from), deref(to)):
		if _, ptr := to.(*types.Pointer); ptr {
			return byAddr
		}
		return byDeref
	case convertible(from, to):
		return byConvert
	case keyTypeProblem(from) == "" && family(from) == family(to):
		return byKeyOf
	}
	return impossible
}

func convertible(from, to types.Type) bool {
	f, ok1 := from.Underlying().(*types.Basic)
	t, ok2 := to.Underlying().(*types.Basic)
	if ok1 && ok2 {
		if f.Info()&types.IsInteger != 0 && t.Info()&types.IsInteger != 0 {
			return true
		}
		return f.Info()&types.IsString != 0 && t.Info()&types.IsString != 0 || f.Kind() == t.Kind()
	}
	return types.Identical(from.Underlying(), to.Underlying()) && typeString(from) != "time.Time" && !hasMethod(from, "Valid")
}

// family sorts key types by the values they hold, so that an int is never taken
// for a uuid.
func family(t types.Type) string {
	t = deref(t)
	name := typeString(t)
	lower := strings.ToLower(name)
	switch u := t.Underlying().(type) {
	case *types.Struct: // sql.Null… and pgtype
	case *types.Basic, *types.Array, *types.Slice:
		if strings.HasPrefix(name, "pgtype.") || hasMethod(t, "Value") && !strings.Contains(lower, "uuid") {
			break
		}
		if b, ok := u.(*types.Basic); !ok || b.Info()&types.IsString == 0 {
			break
		}
		return "string"
	}
	switch {
	case strings.Contains(lower, "uuid"):
		return "uuid"
	case strings.HasPrefix(name, "pgtype.Int"):
		return "int"
	case name == "pgtype.Text" || strings.HasSuffix(name, "NullString"):
		return "string"
	case name == "pgtype.Bool":
		return "bool"
	case strings.HasPrefix(name, "pgtype.Timestamp") || name == "time.Time" || name == "sql.NullTime":
		return "time"
	case strings.HasPrefix(name, "sql.NullInt"):
		return "int"
	case name == "sql.NullBool":
		return "bool"
	case strings.Contains(name, "Null"): // a nullable enum
		return "string"
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		switch {
		case u.Info()&types.IsString != 0:
			return "string"
		case u.Info()&types.IsInteger != 0:
			return "int"
		case u.Info()&types.IsBoolean != 0:
			return "bool"
		}
	case *types.Array:
		return "uuid"
	case *types.Slice:
		return "bytes"
	}
	return name
}

// holders lists the families of Go types in which each value of a comparison
// class has one form.
func holders(class string) []string {
	switch class {
	case "int", "uuid", "bool":
		return []string{class}
	case "bytea":
		return []string{"bytes"}
	case "date":
		return []string{"pgtype.Date"}
	case "timestamptz":
		return []string{"time"}
	}
	return []string{"string"} // text and enums
}

// goTypes are what to map a column to for a family.
var goTypes = map[string]string{
	"int": "an integer", "uuid": "a uuid type such as github.com/google/uuid.UUID", "bool": "bool", "bytes": "[]byte",
	"pgtype.Date": "pgtype.Date", "time": "time.Time", "string": "string",
}

// fits reports whether a Go integer type holds n.
func fits(n int64, t *types.Basic) bool {
	bits := map[types.BasicKind]uint{
		types.Int8: 7, types.Int16: 15, types.Int32: 31, types.Uint8: 8, types.Uint16: 16, types.Uint32: 32,
	}[t.Kind()]
	if t.Info()&types.IsUnsigned != 0 && n < 0 {
		return false
	}
	return bits == 0 || n < 1<<bits && n >= -1<<bits
}

func hasField(st *types.Struct, name string) bool {
	for f := range st.Fields() {
		if f.Name() == name {
			return true
		}
	}
	return false
}

// shape identifies what a cell holds: the query's text, the structure of its Go
// result and how that is written, "" for JSON, so that a changed query, type or
// coding never reads an old cell.
func shape(sql string, result types.Type, coding string) string {
	h := sha256.New()
	h.Write([]byte(sql))
	h.Write([]byte{0})
	describe(result, func(s string) { h.Write([]byte(s)) }, map[types.Type]bool{})
	if coding != "" {
		h.Write([]byte("\x00" + coding))
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// describe writes the structure of a type: names and types and tags of its
// fields, recursively.
func describe(t types.Type, w func(string), seen map[types.Type]bool) {
	switch t := t.(type) {
	case *types.Alias:
		describe(types.Unalias(t), w, seen)
	case *types.Named:
		w(t.Obj().Name())
		p := t.Obj().Pkg()
		if p != nil {
			w("@" + p.Name())
		}
		// The standard library's types are what their name says; their fields
		// differ from one release of Go to the next.
		if seen[t] || p == nil || !strings.Contains(strings.SplitN(p.Path(), "/", 2)[0], ".") {
			return
		}
		seen[t] = true
		w("=")
		describe(t.Underlying(), w, seen)
		delete(seen, t)
	case *types.Pointer:
		w("*")
		describe(t.Elem(), w, seen)
	case *types.Slice:
		w("[]")
		describe(t.Elem(), w, seen)
	case *types.Array:
		w(fmt.Sprintf("[%d]", t.Len()))
		describe(t.Elem(), w, seen)
	case *types.Map:
		w("map[")
		describe(t.Key(), w, seen)
		w("]")
		describe(t.Elem(), w, seen)
	case *types.Struct:
		w("{")
		for i := range t.NumFields() {
			f := t.Field(i)
			w(f.Name() + " ")
			describe(f.Type(), w, seen)
			if tag := t.Tag(i); tag != "" {
				w(fmt.Sprintf(" %q", tag))
			}
			w(";")
		}
		w("}")
	default:
		w(types.TypeString(t, func(p *types.Package) string { return p.Name() }))
	}
}

func sliceElem(t types.Type) (types.Type, bool) {
	s, ok := t.Underlying().(*types.Slice)
	if !ok {
		return nil, false
	}
	return s.Elem(), true
}

// constExpr writes an SQL constant as a Go expression of a key part's type, or,
// where that is a type that may be NULL, of one that KeyOf takes for the same value.
func constExpr(text string, to types.Type) (string, bool) {
	b, ok := deref(to).Underlying().(*types.Basic)
	if !ok {
		st, ok := to.Underlying().(*types.Struct)
		if !ok || !hasMethod(to, "Value") || !hasField(st, "Valid") {
			return "", false
		}
		kind, ok := map[string]types.BasicKind{"string": types.String, "int": types.Int64, "bool": types.Bool}[family(to)]
		if !ok {
			return "", false
		}
		b = types.Typ[kind] // pgtype, sql.Null…, and sqlc's nullable enums
	}
	switch {
	case b.Info()&types.IsString != 0:
		return strconv.Quote(text), true
	case b.Info()&types.IsInteger != 0:
		n, err := strconv.ParseInt(text, 10, 64)
		if err == nil && fits(n, b) {
			return strconv.FormatInt(n, 10), true
		}
	case b.Info()&types.IsBoolean != 0:
		if text == "true" || text == "false" {
			return text, true
		}
	}
	return "", false
}
