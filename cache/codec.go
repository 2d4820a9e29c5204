package cache

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"
)

// Codec turns values into bytes and back.
//
// A decoded value must be deeply equal to the one that was encoded: the engine stores nothing for which that does not hold
// and Marshal must say so with an error. Implementations are safe for concurrent use and never keep the bytes.
type Codec interface {
	// Name is part of every field: cells written by one codec are never read by another.
	Name() string

	// Marshal encodes the value that v points to.
	Marshal(v any) ([]byte, error)

	// Unmarshal decodes data into the value that v points to.
	Unmarshal(data []byte, v any) error
}

// marshal and unmarshal are the codec's, with a panic as an error: the methods of a program's own types run in them, and not
// in a goroutine of the program's.
func marshal(c Codec, v any) (data []byte, err error) {
	defer recoverInto(&err)
	return c.Marshal(v)
}

func unmarshal(c Codec, data []byte, v any) (err error) {
	defer recoverInto(&err)
	return c.Unmarshal(data, v)
}

func recoverInto(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("codec panicked: %v", p)
	}
}

// Coding is how the results of one query are stored, as the generator writes it for their type: without names, and without
// reflection. The functions are safe for concurrent use.
type Coding[T any] struct {
	// Append appends *v to b. It fails for a value that would come back different.
	Append func(b []byte, v *T) ([]byte, error)

	// Decode sets all of *v to what Append was given. It refuses everything that Append does not write, with memory in
	// proportion to the length of b, and keeps nothing of b.
	Decode func(b []byte, v *T) error

	// Detach replaces what *v shares with its copies - slices, pointers, maps - by copies. It is for values that Append has
	// taken or Decode has given. Nil: a plain copy shares nothing that can be changed.
	Detach func(v *T)
}

// coded is the Codec of a query with a coding.
type coded[T any] struct{ *Coding[T] }

// Name returns nothing: see queryOf.
func (coded[T]) Name() string { return "" }

// Marshal encodes the *T in v.
func (c coded[T]) Marshal(v any) ([]byte, error) { return c.Append(make([]byte, 0, 256), v.(*T)) }

// Unmarshal decodes data into the *T in v.
func (c coded[T]) Unmarshal(data []byte, v any) error { return c.Decode(data, v.(*T)) }

// JSON is the codec of what no coding was generated for: readable in redis-cli, and exact.
//
// Plain encoding/json is not: it forgets which times were local, replaces invalid UTF-8, compacts json.RawMessage and loses
// unexported fields. The codec therefore writes one line after the document that tells the location of each time, refuses
// text that JSON cannot carry, and proves each value of a type that it does not fully understand by decoding it again. Only
// the monotonic reading of a time.Now is dropped; no database gives one.
type JSON struct{}

// Name returns "json".
func (JSON) Name() string { return "json" }

// Marshal encodes the value that v points to. It fails for a value that would come back different.
func (JSON) Marshal(v any) ([]byte, error) {
	plan := planOf(reflect.TypeOf(v).Elem())
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	// The encoder writes invalid UTF-8 as this escape, and a real U+FFFD as itself. A text that contains the escape's very
	// letters is refused as well: that costs one cell, not the truth.
	if bytes.Contains(buf.Bytes(), []byte(`\ufffd`)) {
		return nil, fmt.Errorf("text is not valid UTF-8")
	}
	verify := plan.verify
	if plan.times != nil {
		same, class := true, byte(0)
		var classes []byte
		plan.times(reflect.ValueOf(v).Elem(), func(t *time.Time) {
			c := locationClass(t)
			if class == 0 {
				class = c
			}
			same = same && c == class
			// RFC 3339 has no seconds in its offsets, and local time of long ago has: those times would be moved.
			_, offset := t.Zone()
			// Years of other than four digits are written, and not read, by some of pgtype's types.
			year := t.Year()
			verify = verify || c == 'Z' || offset%60 != 0 || year < 0 || year > 9999
			classes = append(classes, c)
		})
		if same && len(classes) > 1 {
			classes = classes[:1]
		}
		buf.Write(classes)
	}
	if verify {
		again := reflect.New(reflect.TypeOf(v).Elem())
		if err := (JSON{}).Unmarshal(buf.Bytes(), again.Interface()); err != nil {
			return nil, fmt.Errorf("value does not decode: %w", err)
		}
		if !reflect.DeepEqual(v, again.Interface()) {
			return nil, fmt.Errorf("%T does not survive JSON unchanged", v)
		}
	}
	return buf.Bytes(), nil
}

// Unmarshal decodes data into the value that v points to.
func (JSON) Unmarshal(data []byte, v any) error {
	end := bytes.LastIndexByte(data, '\n') // the encoder escapes line ends inside the document
	if end < 0 {
		return fmt.Errorf("document is cut off")
	}
	classes := data[end+1:]
	if err := json.Unmarshal(data[:end], v); err != nil {
		return err
	}
	plan := planOf(reflect.TypeOf(v).Elem())
	if plan.times == nil || len(classes) == 0 {
		return nil
	}
	n := 0
	plan.times(reflect.ValueOf(v).Elem(), func(t *time.Time) {
		c := classes[min(n, len(classes)-1)]
		n++
		switch c {
		case 'L':
			*t = t.Local()
		case 'U':
			*t = t.UTC()
		}
	})
	return nil
}

// locationClass tells which of the locations that pgx gives a time has: 'U' for UTC, 'L' for the local one. Any other zone,
// 'Z', stays as its offset gives it.
func locationClass(t *time.Time) byte {
	switch t.Location() {
	case time.UTC:
		return 'U'
	case time.Local:
		return 'L'
	}
	return 'Z'
}

// codecPlan is what the JSON codec has to know of a type.
type codecPlan struct {
	times  func(reflect.Value, func(*time.Time)) // visits each time.Time in a fixed order; nil when there are none
	verify bool                                  // the type has parts whose JSON may not be exact
}

var codecPlans sync.Map // reflect.Type → *codecPlan

func planOf(t reflect.Type) *codecPlan {
	if p, ok := codecPlans.Load(t); ok {
		return p.(*codecPlan)
	}
	p := &codecPlan{}
	p.times = p.walk(t, make(map[reflect.Type]bool))
	stored, _ := codecPlans.LoadOrStore(t, p)
	return stored.(*codecPlan)
}

var (
	timeType    = reflect.TypeFor[time.Time]()
	jsonMethods = []reflect.Type{
		reflect.TypeFor[json.Marshaler](), reflect.TypeFor[encoding.TextMarshaler](),
		reflect.TypeFor[json.Unmarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
	}
	exactPgtypes = map[string]bool{"UUID": true, "Text": true, "Int2": true, "Int4": true, "Int8": true, "Bool": true, "Float8": true, "Timestamptz": true, "Timestamp": true, "Date": true}
)

// walk returns the visitor for the times in t, and notes in p whether values of t have to be verified.
func (p *codecPlan) walk(t reflect.Type, above map[reflect.Type]bool) func(reflect.Value, func(*time.Time)) {
	if t == timeType {
		return func(v reflect.Value, visit func(*time.Time)) { visit(v.Addr().Interface().(*time.Time)) }
	}
	if above[t] { // a recursive type: its times are left as they are, so prove it
		p.verify = true
		return nil
	}
	above[t] = true
	defer delete(above, t)

	marshals := slices.ContainsFunc(jsonMethods, reflect.PointerTo(t).Implements)
	isUUID := t.Kind() == reflect.Array && t.Len() == 16 && t.Elem().Kind() == reflect.Uint8
	isPgtype := t.PkgPath() == "github.com/jackc/pgx/v5/pgtype" && exactPgtypes[t.Name()]
	if marshals && !isUUID && !isPgtype {
		p.verify = true
	}
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return nil
	case reflect.Pointer:
		if k := t.Elem().Kind(); k == reflect.Pointer || k == reflect.Slice || k == reflect.Map || k == reflect.Interface {
			p.verify = true // null may stand for either level
		}
		elem := p.walk(t.Elem(), above)
		if elem == nil {
			return nil
		}
		return func(v reflect.Value, visit func(*time.Time)) {
			if !v.IsNil() {
				elem(v.Elem(), visit)
			}
		}
	case reflect.Slice, reflect.Array:
		elem := p.walk(t.Elem(), above)
		if elem == nil {
			return nil
		}
		return func(v reflect.Value, visit func(*time.Time)) {
			for i := range v.Len() {
				elem(v.Index(i), visit)
			}
		}
	case reflect.Struct:
		return p.walkStruct(t, above)
	}
	p.verify = true // maps, interfaces, and what JSON cannot carry at all
	return nil
}

func (p *codecPlan) walkStruct(t reflect.Type, above map[reflect.Type]bool) func(reflect.Value, func(*time.Time)) {
	type field struct {
		index int
		walk  func(reflect.Value, func(*time.Time))
	}
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() || f.Anonymous || f.Tag.Get("json") != "" {
			p.verify = true // hidden, promoted or renamed fields may be lost
		}
		if !f.IsExported() {
			continue
		}
		if walk := p.walk(f.Type, above); walk != nil {
			fields = append(fields, field{i, walk})
		}
	}
	if len(fields) == 0 {
		return nil
	}
	return func(v reflect.Value, visit func(*time.Time)) {
		for _, f := range fields {
			f.walk(v.Field(f.index), visit)
		}
	}
}
