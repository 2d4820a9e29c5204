package cache_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
	"pgregory.net/rapid"

	"github.com/pgaside/pgaside/cache"
)

type inner struct {
	At   *time.Time
	Tags []string
}

// row has the field types that sqlc generates.
type row struct {
	ID      uuid.UUID
	Parent  *uuid.UUID
	Name    string
	Note    *string
	Enum    myString
	N       int64
	Small   *int16
	Big     uint64
	Ratio   float64
	Single  float32
	OK      bool
	Blob    []byte
	Blobs   [][]byte
	Times   []time.Time
	Created time.Time
	Deleted *time.Time
	Text    pgtype.Text
	TS      pgtype.Timestamptz
	Plain   pgtype.Timestamp
	Day     pgtype.Date
	I4      pgtype.Int4
	F8      pgtype.Float8
	U       pgtype.UUID
	Inner   inner
	Inners  []inner
	Ptr     *inner
	Array   [2]*int32
}

func genTime(t *rapid.T, name string) time.Time {
	v := time.Unix(rapid.Int64Range(-1<<36, 1<<37).Draw(t, name+" s"), int64(rapid.IntRange(0, 999_999).Draw(t, name+" µs"))*1000)
	switch rapid.SampledFrom([]string{"utc", "utc", "utc", "local", "local", "local", "local", "zero", "fixed", "named"}).Draw(t, name+" zone") {
	case "utc":
		return v.UTC()
	case "fixed":
		return v.In(time.FixedZone("", rapid.IntRange(-14*3600, 14*3600).Draw(t, name+" offset")))
	case "named":
		return v.In(time.FixedZone("XYZ", 5400))
	case "zero":
		return time.Time{}
	}
	return v
}

func orNil[T any](g *rapid.Generator[T]) *rapid.Generator[*T] { return rapid.Ptr(g, true) }

func genSlice[T any](t *rapid.T, name string, g *rapid.Generator[T]) []T {
	if rapid.Bool().Draw(t, name+" nil") {
		return nil
	}
	return rapid.SliceOfN(g, 0, 3).Draw(t, name)
}

func genRow(t *rapid.T) row {
	times := rapid.Custom(func(t *rapid.T) time.Time { return genTime(t, "time") })
	ids := rapid.Custom(func(t *rapid.T) uuid.UUID { return uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")) })
	inners := rapid.Custom(func(t *rapid.T) inner {
		return inner{At: orNil(times).Draw(t, "at"), Tags: genSlice(t, "tags", rapid.String())}
	})
	text := rapid.OneOf(rapid.String(), rapid.String(), rapid.String(), rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
		rapid.SampledFrom([]string{"\ufffd", `\ufffd`, "\u2028<&>\x00", "\xff"}))
	return row{
		ID: ids.Draw(t, "id"), Parent: orNil(ids).Draw(t, "parent"),
		Name: text.Draw(t, "name"), Note: orNil(text).Draw(t, "note"), Enum: myString(rapid.String().Draw(t, "enum")),
		N: rapid.Int64().Draw(t, "n"), Small: orNil(rapid.Int16()).Draw(t, "small"), Big: rapid.Uint64().Draw(t, "big"),
		Ratio: rapid.Float64().Draw(t, "ratio"), Single: rapid.Float32().Draw(t, "single"), OK: rapid.Bool().Draw(t, "ok"),
		Blob: genSlice(t, "blob", rapid.Byte()), Blobs: genSlice(t, "blobs", rapid.SliceOf(rapid.Byte())),
		Times: genSlice(t, "times", times), Created: times.Draw(t, "created"), Deleted: orNil(times).Draw(t, "deleted"),
		Text:  pgtype.Text{String: rapid.String().Draw(t, "text"), Valid: true},
		TS:    pgtype.Timestamptz{Time: times.Draw(t, "ts"), Valid: true},
		Plain: pgtype.Timestamp{Time: genTime(t, "plain").UTC(), Valid: true},
		Day:   pgtype.Date{Time: time.Unix(rapid.Int64Range(-20000, 40000).Draw(t, "day")*86400, 0).UTC(), Valid: true},
		I4:    pgtype.Int4{Int32: rapid.Int32().Draw(t, "i4"), Valid: true}, F8: pgtype.Float8{Float64: rapid.Float64().Draw(t, "f8"), Valid: true},
		U:     pgtype.UUID{Bytes: ids.Draw(t, "u"), Valid: true},
		Inner: inners.Draw(t, "inner"), Inners: genSlice(t, "inners", inners), Ptr: orNil(inners).Draw(t, "ptr"),
		Array: [2]*int32{nil, orNil(rapid.Int32()).Draw(t, "array")},
	}
}

// What the codec accepts comes back deeply equal; what would not, it refuses.
func TestJSONIsExactOrRefuses(t *testing.T) {
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		in := genRow(t)
		data, err := cache.JSON{}.Marshal(&in)
		if err != nil {
			return
		}
		accepted++
		var out row
		if err := (cache.JSON{}).Unmarshal(data, &out); err != nil {
			t.Fatalf("does not decode: %v\n%s", err, data)
		}
		if !reflect.DeepEqual(in, out) {
			t.Fatalf("%s\n in: %+v\nout: %+v", data, in, out)
		}
	})
	if accepted == 0 {
		t.Error("nothing was accepted")
	}
}

func TestJSONKeepsWhatDatabasesGive(t *testing.T) {
	local := time.Date(2026, 11, 22, 1, 2, 3, 4000, time.Local)
	for name, v := range map[string]any{
		"local time":       &local,
		"utc":              ptr(local.UTC()),
		"mixed":            &[]time.Time{local, local.UTC(), {}, local},
		"equal":            &[]time.Time{local, local, local},
		"nil slice":        ptr([]row(nil)),
		"empty slice":      &[]row{},
		"nil bytes":        ptr([]byte(nil)),
		"empty bytes":      &[]byte{},
		"nil pointer":      ptr((*row)(nil)),
		"null text":        &pgtype.Text{},
		"null timestamptz": &pgtype.Timestamptz{},
		"infinity":         &pgtype.Timestamptz{InfinityModifier: pgtype.Infinity, Valid: true},
		"infinite date":    &pgtype.Date{InfinityModifier: pgtype.NegativeInfinity, Valid: true},
		"minus zero":       ptr(math.Copysign(0, -1)),
		"compact raw json": ptr(json.RawMessage(`{"a":1}`)),
		"replacement":      ptr("real \ufffd"),
		"html":             ptr("<a href='x'>&amp;</a>\u2028"),
		"map":              &map[string]int{"a": 1},
		"tagged": &struct {
			A int `json:"b"`
		}{1},
		"any":    ptr(any("text")),
		"string": ptr(""),
	} {
		data, err := cache.JSON{}.Marshal(v)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		out := reflect.New(reflect.TypeOf(v).Elem())
		if err := (cache.JSON{}).Unmarshal(data, out.Interface()); err != nil || !reflect.DeepEqual(v, out.Interface()) {
			t.Errorf("%s: %v, %s", name, err, data)
		}
	}
}

type hidden struct{ a, B int }

type lossy struct{ A int }

func (lossy) MarshalJSON() ([]byte, error) { return []byte(`{}`), nil }

type lossyDecode struct{ A int }

func (*lossyDecode) UnmarshalJSON([]byte) error { return nil }

type cyclic struct {
	At   time.Time
	Next *cyclic
}

func TestJSONRefusesWhatItWouldChange(t *testing.T) {
	amsterdam := time.Date(1900, 1, 1, 12, 0, 0, 0, time.FixedZone("", 1172)) // local mean time
	for name, v := range map[string]any{
		"NaN":                    ptr(math.NaN()),
		"infinity":               &struct{ F float64 }{math.Inf(1)},
		"NaN in a pgtype":        &pgtype.Float8{Float64: math.NaN(), Valid: true},
		"invalid UTF-8":          ptr("a\xff"),
		"invalid UTF-8 in a map": &map[string]int{"\xff": 1},
		"the escape itself":      ptr(`\ufffd`), // could be told apart, at a price
		"unexported field":       &hidden{a: 1, B: 2},
		"lossy marshaler":        &lossy{1},
		"lossy unmarshaler":      &lossyDecode{1},
		"raw json with blanks":   ptr(json.RawMessage(`{ "a": 1 }`)),
		"int in any":             ptr(any(1)),
		"ignored field": &struct {
			A int `json:"-"`
		}{1},
		"nil map in a pointer":   ptr(ptr(map[string]int(nil))),
		"pointer to nil pointer": ptr(ptr((*int)(nil))),
		"pointer to nil slice":   ptr(ptr([]int(nil))),
		"seconds in the offset":  &amsterdam,
		"44 BC":                  &pgtype.Timestamp{Time: time.Date(-43, 3, 15, 0, 0, 0, 0, time.UTC), Valid: true},
		"44 BC, a day":           &pgtype.Date{Time: time.Date(-43, 3, 15, 0, 0, 0, 0, time.UTC), Valid: true},
		"year 12000":             ptr(time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)),
		"named zone":             ptr(time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("XYZ", 5400))),
		"channel":                ptr(make(chan int)),
		"zones in a cycle":       &cyclic{Next: &cyclic{At: time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("XYZ", 5400))}},
	} {
		if data, err := (cache.JSON{}).Marshal(v); err == nil {
			t.Errorf("%s: stored as %s", name, data)
		}
	}
}

func TestJSONRefusesDamagedData(t *testing.T) {
	in := row{Name: "a", Times: []time.Time{time.Now(), {}}}
	in.Times[0] = in.Times[0].Round(0)
	data, err := cache.JSON{}.Marshal(&in)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(data) {
		var out row
		if err := (cache.JSON{}).Unmarshal(data[:n], &out); err == nil && !strings.Contains(string(data[n:]), "L") && !strings.Contains(string(data[n:]), "U") {
			t.Errorf("cut off at %d of %d: no error", n, len(data))
		}
	}
}

// A cell whose encoding fails is served and not stored.
func TestEncodeFailuresAreServed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{MaxCellBytes: 100})
		for name, value := range map[string]string{"not UTF-8": "\xff", "too large": strings.Repeat("x", 101)} {
			w.put(1, value)
			for range 2 {
				equal(t, name, w.read(1), value)
				pass(time.Second)
			}
			if f := w.store.Fields(user1Key); len(f) != 0 {
				t.Errorf("%s: stored %q", name, f)
			}
			equal(t, name, names(w.many(w.c, []int64{1})), value)
			pass(time.Second)
		}
		s := w.c.Stats()
		equal(t, "not stored", w.stats(users).NotStored, 6)
		equal(t, "serialization", s.Errors["serialization"], 3)
		equal(t, "memory", s.Errors["memory"], 3)
		equal(t, "loads", w.stats(users).Loads, 6)
	})
}

func TestKVAndItsErrors(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{MaxCellBytes: 100})
		kv := cache.NewKV[string, string](w.c, "settings", cache.KVOptions{TTL: time.Minute})
		ctx := t.Context()
		for k, v := range map[string]string{"": "", "a": "1", "a b/c:}": "ü", strings.Repeat("k", 10_000): "long"} {
			if err := kv.Set(ctx, k, v); err != nil {
				t.Fatal(err)
			}
			if got, ok, err := kv.Get(ctx, k); got != v || !ok || err != nil {
				t.Errorf("%.20q: %q %t %v", k, got, ok, err)
			}
		}
		many, err := kv.GetMany(ctx, []string{"a", "absent", ""})
		if err != nil || *many[0] != "1" || many[1] != nil || *many[2] != "" {
			t.Errorf("%v, %v", many, err)
		}
		if many, err := kv.GetMany(ctx, nil); len(many) != 0 || err != nil {
			t.Errorf("%v, %v", many, err)
		}
		if err := kv.Delete(ctx); err != nil {
			t.Error(err)
		}
		if err := kv.Set(ctx, "x", "\xff"); cache.Classify(err) != cache.ErrorSerialization {
			t.Errorf("got %v", err)
		}
		if err := kv.Set(ctx, "x", strings.Repeat("x", 101)); cache.Classify(err) != cache.ErrorMemory {
			t.Errorf("got %v", err)
		}
		other := cache.NewKV[string, int](w.c, "settings", cache.KVOptions{}) // another type by mistake
		if v, ok, err := other.Get(ctx, "a"); v != 0 || ok || err != nil {
			t.Errorf("%v %t %v", v, ok, err)
		}
		byChan := cache.NewKV[chan int, int](w.c, "settings", cache.KVOptions{})
		k := make(chan int)
		_, _, getErr := byChan.Get(ctx, k)
		for _, err := range []error{getErr, byChan.Set(ctx, k, 1), byChan.Delete(ctx, k)} {
			if err == nil {
				t.Error("a channel is no key")
			}
		}
		pass(time.Minute)
		if _, ok, _ := kv.Get(ctx, "a"); ok {
			t.Error("lives on after its TTL")
		}
		w.down()
		_, _, getErr = kv.Get(ctx, "a")
		for _, err := range []error{getErr, kv.Set(ctx, "a", ""), kv.Delete(ctx, "a")} {
			if !cache.Unavailable(err) {
				t.Errorf("got %v", err)
			}
		}
	})
}

func TestFuncCachesAndForgets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		calls := 0
		broken := errors.New("broken")
		upper := cache.Func(w.c, "Upper", users, func(a user) int64 { return a.ID }, func(_ context.Context, a user) (string, error) {
			calls++
			if a.Name == "" {
				return "", broken
			}
			return strings.ToUpper(a.Name), nil
		})
		for range 3 {
			if v, err := upper(t.Context(), user{1, "a"}); v != "A" || err != nil {
				t.Errorf("%q, %v", v, err)
			}
			pass(0)
		}
		equal(t, "calls", calls, 1)
		_, _ = upper(t.Context(), user{1, "b"}) // another argument
		pass(0)
		equal(t, "calls", calls, 2)
		_ = w.write(w.c, users, 1, "x")
		_, _ = upper(t.Context(), user{1, "a"})
		pass(0)
		equal(t, "calls after a write", calls, 3)
		for range 2 {
			if _, err := upper(t.Context(), user{ID: 2}); err != broken { // the very error
				t.Errorf("got %v", err)
			}
			pass(0)
		}
		equal(t, "calls that failed", calls, 5)
	})
}
