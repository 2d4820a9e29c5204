// Package wire is what generated codings are made of: a Writer and a Reader of values without names, in MessagePack.
//
// What a Reader takes is exactly what a Writer gives: each value has one form. A struct is an array of its fields, a pointer is
// nil or what it points to, a slice is nil or an array, a map is nil or an array of its entries in the order of their keys; a time
// keeps the location that pgx gave it. Text is not checked: Postgres has its own say in what text is.
//
// Hostile bytes cost no more memory than honest ones of their length could need, and never a panic.
package wire

import (
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"reflect"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/pgaside/pgaside/cache"
)

// Writer appends values to a slice. The first error stays, and is what Done returns.
type Writer struct {
	b   []byte
	err error
}

// NewWriter returns a Writer that appends to b.
func NewWriter(b []byte) *Writer { return &Writer{b: b} }

// Done returns the slice with all that was appended, or the first error.
func (w *Writer) Done() ([]byte, error) {
	if w.err != nil {
		return nil, w.err
	}
	return w.b, nil
}

func (w *Writer) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// Fields begins a value of n parts.
func (w *Writer) Fields(n int) { w.b = msgp.AppendArrayHeader(w.b, uint32(n)) }

// Len begins a list or a map of n elements, or is all of one that is nil.
func (w *Writer) Len(n int, isNil bool) {
	if w.Some(!isNil) {
		w.Fields(n)
	}
}

// Some writes nil where there is nothing, and returns whether there is something to write.
func (w *Writer) Some(ok bool) bool {
	if !ok {
		w.b = msgp.AppendNil(w.b)
	}
	return ok
}

// Bool writes a bool.
func (w *Writer) Bool(v bool) { w.b = msgp.AppendBool(w.b, v) }

// Int writes a signed integer of any size.
func (w *Writer) Int(v int64) { w.b = msgp.AppendInt64(w.b, v) }

// Uint writes an unsigned integer of any size.
func (w *Writer) Uint(v uint64) { w.b = msgp.AppendUint64(w.b, v) }

// Float32 writes a float32, NaN bit by bit.
func (w *Writer) Float32(v float32) { w.b = msgp.AppendFloat32(w.b, v) }

// Float64 writes a float64, NaN bit by bit.
func (w *Writer) Float64(v float64) { w.b = msgp.AppendFloat64(w.b, v) }

// String writes a string.
func (w *Writer) String(v string) { w.b = msgp.AppendString(w.b, v) }

// Bytes writes a slice of bytes, which may be nil.
func (w *Writer) Bytes(v []byte) {
	if w.Some(v != nil) {
		w.b = msgp.AppendBytes(w.b, v)
	}
}

// Fixed writes an array of bytes.
func (w *Writer) Fixed(v []byte) { w.b = msgp.AppendBytes(w.b, v) }

// The locations of a time, in the two low bits of its nanoseconds.
const (
	inUTC   = 0
	inLocal = 1 // of the process that reads, as pgx gives a timestamptz
	inZone  = 2 // an offset and its name follow
)

// Time writes a time: its seconds since 1970, its nanoseconds and its location. Refused are a time of a named zone, which only a
// name could bring back, and the monotonic reading of a time.Now.
func (w *Writer) Time(t time.Time) {
	if t != t.Round(0) {
		w.fail(errors.New("wire: a time has a monotonic reading"))
		return
	}
	in := uint64(inZone)
	switch {
	// Not by Location: where time.Local is set to UTC, pgx's times have it, and their pointer is another.
	case t == t.UTC(): //nolint:staticcheck // the same location, not the same moment
		in = inUTC
	case t.Location() == time.Local:
		in = inLocal
	}
	w.Int(t.Unix())
	w.Uint(uint64(t.Nanosecond())<<2 | in)
	if in == inZone {
		name, offset := t.Zone()
		if !reflect.DeepEqual(t.Location(), time.FixedZone(name, offset)) {
			w.fail(fmt.Errorf("wire: a time is in %s: only UTC, the local zone and fixed offsets can be stored", t.Location()))
			return
		}
		w.Int(int64(offset))
		w.String(name)
	}
}

// Addr writes an address.
func (w *Writer) Addr(v netip.Addr) {
	var buf [32]byte // a zone that is longer is allocated
	text, err := v.AppendBinary(buf[:0])
	if err != nil {
		w.fail(err)
	}
	w.Fixed(text)
}

// Prefix writes an address prefix.
func (w *Writer) Prefix(v netip.Prefix) {
	w.Addr(v.Addr())
	w.Int(int64(v.Bits()))
}

// The first byte of a big integer. Two zeros are told apart, as reflect.DeepEqual does.
const (
	bigZero     = 0 // without digits
	bigEmpty    = 1 // zero, from a calculation
	bigPositive = 2
	bigNegative = 3
)

// BigInt writes a big integer.
func (w *Writer) BigInt(v *big.Int) {
	kind := byte(bigPositive)
	switch {
	case v.Bits() == nil:
		kind = bigZero
	case v.Sign() == 0:
		kind = bigEmpty
	case v.Sign() < 0:
		kind = bigNegative
	}
	n := (v.BitLen() + 7) / 8
	w.b = append(msgp.AppendBytesHeader(w.b, uint32(n+1)), kind)
	w.b = append(w.b, make([]byte, n)...)
	v.FillBytes(w.b[len(w.b)-n:])
}

// What an any holds.
const (
	anyJSON = iota
	anyBool
	anyInt16
	anyInt32
	anyInt64
	anyFloat32
	anyFloat64
	anyString
	anyBytes
	anyTime
	anyUUID
	anyAddr
	anyPrefix
)

// Any writes a value of a type that sqlc does not know: with its type where that is one which pgx gives for such a column, else as
// JSON does.
func (w *Writer) Any(v any) {
	if !w.Some(v != nil) {
		return
	}
	w.Fields(2)
	switch v := v.(type) {
	case bool:
		w.Int(anyBool)
		w.Bool(v)
	case int16:
		w.Int(anyInt16)
		w.Int(int64(v))
	case int32:
		w.Int(anyInt32)
		w.Int(int64(v))
	case int64:
		w.Int(anyInt64)
		w.Int(v)
	case float32:
		w.Int(anyFloat32)
		w.Float32(v)
	case float64:
		w.Int(anyFloat64)
		w.Float64(v)
	case string:
		w.Int(anyString)
		w.String(v)
	case []byte:
		w.Int(anyBytes)
		w.Bytes(v)
	case time.Time:
		w.Int(anyTime)
		w.Time(v)
	case [16]byte:
		w.Int(anyUUID)
		w.Fixed(v[:])
	case netip.Addr:
		w.Int(anyAddr)
		w.Addr(v)
	case netip.Prefix:
		w.Int(anyPrefix)
		w.Prefix(v)
	default:
		w.Int(anyJSON)
		w.JSON(&v)
	}
}

// JSON writes what v points to as cache.JSON does, which refuses what would come back different: for types of which a generator
// can't know all.
func (w *Writer) JSON(v any) {
	text, err := cache.JSON{}.Marshal(v)
	if err != nil {
		w.fail(err)
		return
	}
	w.Fixed(text)
}

// stringHeader returns how many bytes stand before a string of n bytes, bytesHeader before n bytes.
func stringHeader(n int) int {
	switch {
	case n < 32:
		return 1
	case n <= 0xff:
		return 2
	case n <= 0xffff:
		return 3
	}
	return 5
}

func bytesHeader(n int) int { return max(2, stringHeader(n)) }
