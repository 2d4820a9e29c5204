package codingtest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"runtime"
	"testing"
	"time"
	_ "time/tzdata" // so that every zone is there

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
	"pgregory.net/rapid"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/internal/gen/codingtest/rows"
)

// filler fills a value with anything that its type can hold, NaN excepted, which equals nothing.
type filler struct {
	t     *rapid.T
	depth int
}

func (f filler) pick(n int) int { return rapid.IntRange(0, n-1).Draw(f.t, "n") }

func (f filler) bytes() []byte { return rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(f.t, "bytes") }

// special are the types with hidden fields, and those of which not every value exists.
var special = map[reflect.Type]func(filler) any{
	reflect.TypeFor[time.Time]():  func(f filler) any { return f.time() },
	reflect.TypeFor[netip.Addr](): func(f filler) any { return f.addr() },
	reflect.TypeFor[netip.Prefix](): func(f filler) any {
		return netip.PrefixFrom(f.addr(), f.pick(140)-2)
	},
	reflect.TypeFor[big.Int](): func(f filler) any {
		switch f.pick(4) {
		case 0:
			return big.Int{}
		case 1:
			return *new(big.Int).SetBits([]big.Word{})
		case 2:
			return *new(big.Int).Neg(new(big.Int).SetBytes(f.bytes()))
		}
		return *new(big.Int).SetBytes(f.bytes())
	},
	reflect.TypeFor[rows.Hidden](): func(f filler) any {
		if f.pick(3) == 0 {
			return rows.Hidden{}
		}
		return rows.NewHidden(int64(f.pick(1<<40)-1<<30)*2+1, int32(f.pick(40)-20))
	},
	reflect.TypeFor[rows.LastSeen](): func(filler) any { return rows.LastSeen{} },
}

// any returns what pgx gives for a column of which sqlc does not know the type.
func (f filler) any() any {
	switch f.pick(14) {
	case 0:
		return f.pick(2) == 1
	case 1:
		return int16(f.pick(1 << 15))
	case 2:
		return int32(f.pick(1 << 30))
	case 3:
		return int64(f.pick(1 << 60))
	case 4:
		return float32(f.pick(100)) / 8
	case 5:
		return math.Inf(f.pick(2) - 1)
	case 6:
		return f.bytes()
	case 7:
		return f.time()
	case 8:
		return [16]byte(append(f.bytes(), make([]byte, 16)...))
	case 9:
		return f.addr()
	case 10:
		return netip.PrefixFrom(f.addr(), f.pick(140)-2)
	case 11:
		return map[string]any{"a": []any{1.5, nil, "b"}}
	case 12:
		return []any{"a", true}
	}
	return string(f.bytes())
}

func (f filler) addr() netip.Addr {
	switch f.pick(5) {
	case 0:
		return netip.Addr{}
	case 1:
		return netip.AddrFrom4([4]byte(append(f.bytes(), 1, 2, 3, 4)))
	case 2:
		return netip.MustParseAddr("::ffff:10.0.0.1")
	case 3:
		return netip.MustParseAddr("fe80::1").WithZone(rapid.String().Draw(f.t, "zone"))
	}
	return netip.AddrFrom16([16]byte(append(f.bytes(), make([]byte, 16)...)))
}

func (f filler) time() time.Time {
	sec := rapid.Int64Range(-62135596800-1e10, 253402300799+1e10).Draw(f.t, "sec")
	nsec := rapid.SampledFrom([]int64{0, 1, 1000, 123456000, 999999999}).Draw(f.t, "nsec")
	t := time.Unix(sec, nsec)
	switch f.pick(5) {
	case 0:
		return time.Time{}
	case 1:
		return t.UTC()
	case 2:
		return t.In(time.FixedZone("", f.pick(100_000)-50_000))
	case 3:
		return t.In(time.FixedZone("XY", f.pick(100_000)-50_000))
	}
	return t
}

func (f filler) fill(v reflect.Value) {
	f.depth++
	if value, ok := special[v.Type()]; ok {
		v.Set(reflect.ValueOf(value(f)))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(f.pick(2) == 1)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(f.t, "int") >> (64 - v.Type().Bits()) >> f.pick(v.Type().Bits()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(f.t, "uint") >> (64 - v.Type().Bits()) >> f.pick(v.Type().Bits()))
	case reflect.Float32:
		v.SetFloat(float64(rapid.Float32().Draw(f.t, "float32")))
	case reflect.Float64:
		v.SetFloat(rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1, -math.MaxFloat64, math.Inf(1), math.Inf(-1), math.SmallestNonzeroFloat64, 0.1}).Draw(f.t, "float64"))
	case reflect.String:
		v.SetString(string(f.bytes())) // often not UTF-8
	case reflect.Pointer:
		if f.pick(3) > 0 && f.depth < 12 {
			v.Set(reflect.New(v.Type().Elem()))
			f.fill(v.Elem())
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 && f.pick(3) > 0 {
			v.SetBytes(f.bytes())
			return
		}
		if n := f.pick(5) - 1; n >= 0 && f.depth < 12 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				f.fill(v.Index(i))
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.Map:
		if n := f.pick(4) - 1; n >= 0 {
			v.Set(reflect.MakeMap(v.Type()))
			for range n {
				key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
				f.fill(key)
				f.fill(elem)
				v.SetMapIndex(key, elem)
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(v.Field(i))
		}
	case reflect.Interface:
		if f.pick(2) == 1 {
			v.Set(reflect.ValueOf(f.any()))
		}
	default:
		f.t.Fatalf("no values for %s", v.Type())
	}
}

func draw[T any](t *rapid.T) *T {
	v := new(T)
	filler{t: t}.fill(reflect.ValueOf(v).Elem())
	return v
}

// survives checks all that is asked of a coding, on one value and another. Whether it may be refused, the caller says.
func survives[T any](t *rapid.T, c cache.Coding[T], refusable bool) {
	v, other := draw[T](t), draw[T](t)
	text, err := c.Append([]byte("head"), v)
	if err != nil {
		if !refusable {
			t.Fatalf("%v: %+v", err, *v)
		}
		return
	}
	text, found := bytes.CutPrefix(text, []byte("head"))
	if !found {
		t.Fatalf("the head is gone: %q", text)
	}
	got := other // all of it is replaced
	if err := c.Decode(text, got); err != nil {
		t.Fatalf("%v: %q of %+v", err, text, *v)
	}
	if !reflect.DeepEqual(got, v) {
		t.Fatalf("%+v came back as %+v", *v, *got)
	}
	again, err := c.Append(nil, got)
	if err != nil || !bytes.Equal(text, again) {
		t.Fatalf("%q is written as %q, %v", text, again, err)
	}
	if c.Decode(append(bytes.Clone(text), 0xc0), new(T)) == nil {
		t.Fatalf("a byte more is taken")
	}
	if cut := rapid.IntRange(0, len(text)-1).Draw(t, "cut"); c.Decode(text[:cut], new(T)) == nil {
		t.Fatalf("%d of %d bytes are taken", cut, len(text))
	}
	clear(text) // nothing of it is kept
	if !reflect.DeepEqual(got, v) {
		t.Fatalf("decoded, it is a part of the input: %+v", *got)
	}
	mine := *v
	if c.Detach != nil {
		c.Detach(&mine)
	}
	if !reflect.DeepEqual(&mine, v) {
		t.Fatalf("a copy of %+v is %+v", *v, mine)
	}
	scribble(reflect.ValueOf(&mine).Elem())
	if !reflect.DeepEqual(got, v) {
		t.Fatalf("a change of the copy is one of the value: %+v, was %+v", *v, *got)
	}
}

// scribble changes everything that can be reached from a value.
func scribble(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			scribble(v.Elem())
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			scribble(v.Index(i))
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			elem := reflect.New(v.Type().Elem()).Elem()
			elem.Set(v.MapIndex(k))
			scribble(elem)
			v.SetMapIndex(k, reflect.Value{})
		}
	case reflect.Struct:
		if x, ok := v.Addr().Interface().(*big.Int); ok {
			clear(x.Bits())
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				scribble(v.Field(i))
			}
		}
	}
	if v.CanSet() {
		v.SetZero()
	}
}

// TestEveryValueComesBack: whatever is written is read as the same, in one form, and a copy is nobody else's.
func TestEveryValueComesBack(t *testing.T) {
	t.Run("Row", rapid.MakeCheck(func(t *rapid.T) { survives(t, rowCoding, false) }))
	t.Run("Rows", rapid.MakeCheck(func(t *rapid.T) { survives(t, rowListCoding, false) }))
	t.Run("PgRow", rapid.MakeCheck(func(t *rapid.T) { survives(t, pgRowCoding, false) }))
	t.Run("OwnRow", rapid.MakeCheck(func(t *rapid.T) { survives(t, ownRowCoding, true) }))
	t.Run("Count", rapid.MakeCheck(func(t *rapid.T) { survives(t, int64Coding, false) }))
	t.Run("Name", rapid.MakeCheck(func(t *rapid.T) { survives(t, stringPointerCoding, false) }))
	t.Run("Names", rapid.MakeCheck(func(t *rapid.T) { survives(t, stringListCoding, false) }))
	t.Run("NullNames", rapid.MakeCheck(func(t *rapid.T) { survives(t, stringPointerListPointerCoding, false) }))
	t.Run("At", rapid.MakeCheck(func(t *rapid.T) { survives(t, timeTimeCoding, false) }))
	t.Run("Blob", rapid.MakeCheck(func(t *rapid.T) { survives(t, bytesCoding, false) }))
	t.Run("Amount", rapid.MakeCheck(func(t *rapid.T) { survives(t, pgtypeNumericCoding, false) }))
}

func roundTrip[T any](t *testing.T, c cache.Coding[T], v T) (got T) {
	t.Helper()
	text, err := c.Append(nil, &v)
	if err == nil {
		err = c.Decode(text, &got)
	}
	if err != nil {
		t.Errorf("%+v: %v", v, err)
	}
	return got
}

// TestNaNKeepsItsBits: NaN equals nothing, and is stored all the same.
func TestNaNKeepsItsBits(t *testing.T) {
	for _, bits := range []uint64{0x7ff8000000000001, 0xfff8000000000000, 0x7ff8dead0000beef} {
		nan := math.Float64frombits(bits)
		got := roundTrip(t, rowCoding, rows.Row{Float64: nan, PFloat64: &nan, Float32: float32(nan)})
		if math.Float64bits(got.Float64) != bits || math.Float64bits(*got.PFloat64) != bits ||
			math.Float32bits(got.Float32) != math.Float32bits(float32(nan)) {
			t.Errorf("%x came back as %x", bits, math.Float64bits(got.Float64))
		}
	}
}

// TestTimesKeepTheirLocation, in any local zone: also where a program sets time.Local to UTC, which makes of each timestamptz a time
// whose location is a pointer that UTC itself does not have.
func TestTimesKeepTheirLocation(t *testing.T) {
	was := time.Local
	defer func() { time.Local = was }()
	for _, name := range []string{"UTC", "America/New_York", "Africa/Monrovia", "Asia/Kolkata"} {
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		time.Local = loc
		for _, sec := range []int64{-62135596800, -3e9, -1, 0, 1, 1.7e9, 1.8e10, 253402300799, 9e12} {
			for _, nsec := range []int64{0, 1000, 999999999} {
				at := time.Unix(sec, nsec)
				for _, at := range []time.Time{at, at.UTC(), at.In(time.FixedZone("", 0)), at.In(time.FixedZone("", -2670)), at.In(time.FixedZone("CET", 3600))} {
					got := roundTrip(t, timeTimeCoding, at)
					if !reflect.DeepEqual(got, at) || got.String() != at.String() {
						t.Errorf("%s: %s came back as %s", name, at, got)
					}
				}
			}
		}
	}
}

// TestRefused: what would come back different is not stored.
func TestRefused(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	seen := rows.LastSeen{}
	reflect.NewAt(reflect.TypeFor[time.Time](), reflect.ValueOf(&seen).UnsafePointer()).Elem().Set(reflect.ValueOf(time.Unix(1, 0)))
	for name, fails := range map[string]error{
		"a named zone":             second(timeTimeCoding.Append(nil, new(time.Unix(1, 0).In(berlin)))),
		"a monotonic reading":      second(timeTimeCoding.Append(nil, new(time.Now()))),
		"a hidden time":            second(ownRowCoding.Append(nil, &rows.OwnRow{LastSeen: seen})),
		"a struct in an any":       second(ownRowCoding.Append(nil, &rows.OwnRow{Any: rows.Inner{ID: 1}})),
		"a function in an any":     second(ownRowCoding.Append(nil, &rows.OwnRow{Any: func() {}})),
		"bad UTF-8 left to JSON":   second(ownRowCoding.Append(nil, &rows.OwnRow{ByUUID: map[uuid.UUID]string{{}: "\xff"}})),
		"NaN that is left to JSON": second(ownRowCoding.Append(nil, &rows.OwnRow{Any: []any{math.NaN()}})),
	} {
		if fails == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestPgtypesFromPostgres are values as pgx makes them, whose insides random values need not have.
func TestPgtypesFromPostgres(t *testing.T) {
	m := pgtype.NewMap()
	for oid, texts := range map[uint32][]string{
		pgtype.NumericOID: {"0", "0.00", "-0.0", "1", "-0.00000000000000000001", "12345678901234567890.123456789", "NaN", "Infinity", "-Infinity", "1000000000000000000000000000000000000000000000000000"},
	} {
		for _, text := range texts {
			var n pgtype.Numeric
			if err := m.Scan(oid, pgtype.TextFormatCode, []byte(text), &n); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			// And over the binary form, where the arithmetic of pgx leaves its traces.
			var again pgtype.Numeric
			bin, err := m.Encode(oid, pgtype.BinaryFormatCode, n, nil)
			if err := errors.Join(err, m.Scan(oid, pgtype.BinaryFormatCode, bin, &again)); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			for _, n := range []pgtype.Numeric{n, again} {
				if got := roundTrip(t, pgtypeNumericCoding, n); !reflect.DeepEqual(got, n) {
					t.Errorf("%s: %#v came back as %#v", text, n, got)
				}
			}
		}
	}
}

// decoders are all codings, for bytes of any origin.
var decoders = []func([]byte) error{
	decoder(rowCoding, true), decoder(rowListCoding, true), decoder(pgRowCoding, true), decoder(ownRowCoding, false), decoder(int64Coding, true),
	decoder(stringPointerCoding, true), decoder(stringListCoding, true), decoder(stringPointerListPointerCoding, true),
	decoder(timeTimeCoding, true), decoder(bytesCoding, true), decoder(pgtypeNumericCoding, true),
}

// decoder decodes, and fails when what was taken is not what is written of it.
func decoder[T any](c cache.Coding[T], oneForm bool) func([]byte) error {
	return func(data []byte) error {
		var v T
		if c.Decode(data, &v) != nil {
			return nil
		}
		again, err := c.Append(nil, &v)
		if err != nil {
			if oneForm {
				return fmt.Errorf("%+v was read and can't be written: %w", v, err)
			}
			return nil
		}
		if oneForm && !bytes.Equal(data, again) {
			return fmt.Errorf("%q was read, and is written as %q", data, again)
		}
		return nil
	}
}

// bounded calls f, and fails when it allocates more than a multiple of what it was given.
func bounded(size int, f func() error) error {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := f()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > uint64(128*size+2<<20) { // the fuzzer itself allocates too
		return fmt.Errorf("%d bytes were allocated for %d", n, size)
	}
	return err
}

// FuzzDecode gives the codings any bytes: an error, or a value that is written as these very bytes; at a bounded cost.
func FuzzDecode(f *testing.F) {
	name := "name"
	for i, text := range [][]byte{
		first(rowCoding.Append(nil, &rows.Row{PText: &name, Texts: []string{"a"}, At: time.Unix(1, 0)})), first(rowListCoding.Append(nil, &[]rows.Row{{}})),
		first(pgRowCoding.Append(nil, &rows.PgRow{Hstore: pgtype.Hstore{"a": &name, "b": nil}})), first(ownRowCoding.Append(nil, &rows.OwnRow{ByName: map[string]string{"a": "b"}})),
	} {
		f.Add(uint8(i), text)
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		if err := bounded(len(data), func() error { return decoders[int(which)%len(decoders)](data) }); err != nil {
			t.Fatal(err)
		}
	})
}

func first[T any](v T, _ error) T { return v }

// TestHostileBytes: lengths that lie, and depth, cost nothing.
func TestHostileBytes(t *testing.T) {
	huge := [][]byte{
		{0xdd, 0xff, 0xff, 0xff, 0xff},
		{0xdc, 0xff, 0xff},
		{0xc6, 0xff, 0xff, 0xff, 0xff},
		{0xdb, 0xff, 0xff, 0xff, 0xff},
		{0xdf, 0xff, 0xff, 0xff, 0xff},
		bytes.Repeat([]byte{0x91}, 1<<20), bytes.Repeat([]byte{0xdd, 0x00, 0x0f, 0xff, 0xff}, 1<<16), bytes.Repeat([]byte{0xc0}, 1<<20),
		{},
		append([]byte{0xdd, 0x00, 0x10, 0x00, 0x00}, bytes.Repeat([]byte{0xa0}, 1<<20)...),
	}
	valid := first(pgRowCoding.Append(nil, &rows.PgRow{}))
	for _, lie := range huge { // in the place of each value
		for i := range valid {
			data := append(bytes.Clone(valid[:i]), lie...)
			if len(lie) < 10 {
				data = append(data, valid[min(i+1, len(valid)):]...)
			} else if i > 40 {
				break
			}
			if err := bounded(len(data), func() error { return decoders[2](data) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, decode := range decoders {
		for _, data := range huge {
			if err := bounded(len(data), func() error { return decode(data) }); err != nil {
				t.Errorf("decoder %d: %v", i, err)
			}
		}
	}
}
