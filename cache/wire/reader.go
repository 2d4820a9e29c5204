package wire

import (
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/pgaside/pgaside/cache"
)

// Reader reads what a Writer has written. After the first error, which Done returns, every value is the zero one. It keeps none
// of the bytes that it reads.
type Reader struct {
	b   []byte
	err error
}

// NewReader returns a Reader of b.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Done returns the first error; that something is left over is one too.
func (r *Reader) Done() error {
	if r.err == nil && len(r.b) > 0 {
		r.err = fmt.Errorf("wire: %d bytes are left over", len(r.b))
	}
	return r.err
}

func (r *Reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

var (
	errForm  = errors.New("wire: a value is not in its form")
	errRange = errors.New("wire: a number is too large for its type")
)

// take goes on behind a value, if it was read, and stood there in n bytes.
func (r *Reader) take(rest []byte, n int, err error) bool {
	switch {
	case err != nil:
		r.fail(err)
	case len(r.b)-len(rest) != n:
		r.fail(errForm)
	default:
		r.b = rest
	}
	return r.err == nil
}

// Fields begins a value of n parts.
func (r *Reader) Fields(n int) {
	if got := r.header(); got != n {
		r.fail(fmt.Errorf("wire: %d fields, want %d", got, n))
	}
}

func (r *Reader) header() int {
	n, rest, err := msgp.ReadArrayHeaderBytes(r.b)
	size := 1
	switch {
	case n > 0xffff:
		size = 5
	case n > 15:
		size = 3
	}
	if !r.take(rest, size, err) {
		return 0
	}
	if uint64(n) > uint64(len(r.b)) { // a byte each, at least
		r.fail(msgp.ErrShortBytes)
		return 0
	}
	return int(n)
}

// Len begins a list or a map, and returns its length, -1 for nil. least is the fewest bytes that an element has.
func (r *Reader) Len(least int) int {
	if !r.Some() {
		return -1
	}
	n := r.header()
	if n > len(r.b)/least {
		r.fail(msgp.ErrShortBytes)
		return 0
	}
	return n
}

// Make begins a list, and returns it, nil or with its elements yet to be read. least is the fewest bytes that an element has.
func Make[S ~[]E, E any](r *Reader, least int) S {
	n := r.Len(least)
	if n < 0 {
		return nil
	}
	return make(S, n)
}

// Some returns whether there is something to read, and goes on behind a nil.
func (r *Reader) Some() bool {
	if !msgp.IsNil(r.b) {
		return r.err == nil
	}
	r.b = r.b[1:]
	return false
}

// Sorted fails unless a key stands behind the one before.
func (r *Reader) Sorted(ok bool) {
	if !ok {
		r.fail(errors.New("wire: the keys of a map are not in order"))
	}
}

// Bool reads a bool.
func (r *Reader) Bool() bool {
	v, rest, err := msgp.ReadBoolBytes(r.b)
	return r.take(rest, 1, err) && v
}

// Int reads a signed integer of a number of bits.
func (r *Reader) Int(bits int) int64 {
	v, rest, err := msgp.ReadInt64Bytes(r.b)
	var form [9]byte
	if !r.take(rest, len(msgp.AppendInt64(form[:0], v)), err) {
		return 0
	}
	if v<<(64-bits)>>(64-bits) != v {
		r.fail(errRange)
		return 0
	}
	return v
}

// Uint reads an unsigned integer of a number of bits.
func (r *Reader) Uint(bits int) uint64 {
	v, rest, err := msgp.ReadUint64Bytes(r.b)
	var form [9]byte
	if !r.take(rest, len(msgp.AppendUint64(form[:0], v)), err) {
		return 0
	}
	if v<<(64-bits)>>(64-bits) != v {
		r.fail(errRange)
		return 0
	}
	return v
}

// Float32 reads a float32.
func (r *Reader) Float32() float32 {
	v, rest, err := msgp.ReadFloat32Bytes(r.b)
	if !r.take(rest, msgp.Float32Size, err) {
		return 0
	}
	return v
}

// Float64 reads a float64.
func (r *Reader) Float64() float64 {
	v, rest, err := msgp.ReadFloat64Bytes(r.b)
	if !r.take(rest, msgp.Float64Size, err) {
		return 0
	}
	return v
}

// String reads a string.
func (r *Reader) String() string {
	v, rest, err := msgp.ReadStringZC(r.b)
	if !r.take(rest, stringHeader(len(v))+len(v), err) {
		return ""
	}
	return string(v)
}

// Bytes reads a slice of bytes, which may be nil.
func (r *Reader) Bytes() []byte {
	if !r.Some() {
		return nil
	}
	return append([]byte{}, r.raw()...)
}

// raw reads bytes without a copy of them.
func (r *Reader) raw() []byte {
	v, rest, err := msgp.ReadBytesZC(r.b)
	if !r.take(rest, bytesHeader(len(v))+len(v), err) {
		return nil
	}
	return v
}

// Fixed reads an array of bytes.
func (r *Reader) Fixed(into []byte) {
	if v := r.raw(); r.err == nil && len(v) != len(into) {
		r.fail(fmt.Errorf("wire: %d bytes, want %d", len(v), len(into)))
	} else {
		copy(into, v)
	}
}

// Time reads a time.
func (r *Reader) Time() time.Time {
	sec, nsec := r.Int(64), r.Uint(32)
	in, nsec := nsec&3, nsec>>2
	if nsec > 999_999_999 || in > inZone {
		r.fail(errForm)
	}
	if r.err != nil {
		return time.Time{}
	}
	t := time.Unix(sec, int64(nsec)) // with the very pointer that pgx's own times have
	switch in {
	case inUTC:
		t = t.UTC()
	case inZone:
		offset, name := r.Int(32), r.String()
		if r.err != nil {
			return time.Time{}
		}
		t = t.In(time.FixedZone(name, int(offset)))
	}
	return t
}

// Addr reads an address.
func (r *Reader) Addr() netip.Addr {
	var v netip.Addr
	if err := v.UnmarshalBinary(r.raw()); err != nil {
		r.fail(err)
	}
	return v
}

// Prefix reads an address prefix.
func (r *Reader) Prefix() netip.Prefix {
	addr, bits := r.Addr(), r.Int(16)
	v := netip.PrefixFrom(addr, int(bits))
	if v.Bits() != int(bits) || v.Addr() != addr {
		r.fail(errForm)
	}
	if r.err != nil {
		return netip.Prefix{}
	}
	return v
}

// BigInt reads a big integer.
func (r *Reader) BigInt(v *big.Int) {
	*v = big.Int{}
	text := r.raw()
	if len(text) == 0 {
		r.fail(errForm)
		return
	}
	kind, digits := text[0], text[1:]
	switch {
	case kind > bigNegative, (kind >= bigPositive) != (len(digits) > 0), len(digits) > 0 && digits[0] == 0:
		r.fail(errForm)
	case kind == bigEmpty:
		v.SetBits([]big.Word{})
	case kind >= bigPositive:
		v.SetBytes(digits)
		if kind == bigNegative {
			v.Neg(v)
		}
	}
}

// Any reads a value of a type that sqlc does not know.
func (r *Reader) Any() any {
	if !r.Some() {
		return nil
	}
	r.Fields(2)
	v := r.any(r.Int(8))
	if r.err != nil {
		return nil
	}
	return v
}

func (r *Reader) any(kind int64) any {
	switch kind {
	case anyJSON:
		var v any
		JSON(r, &v)
		return v
	case anyBool:
		return r.Bool()
	case anyInt16:
		return int16(r.Int(16))
	case anyInt32:
		return int32(r.Int(32))
	case anyInt64:
		return r.Int(64)
	case anyFloat32:
		return r.Float32()
	case anyFloat64:
		return r.Float64()
	case anyString:
		return r.String()
	case anyBytes:
		return r.Bytes()
	case anyTime:
		return r.Time()
	case anyUUID:
		var v [16]byte
		r.Fixed(v[:])
		return v
	case anyAddr:
		return r.Addr()
	case anyPrefix:
		return r.Prefix()
	}
	r.fail(errForm)
	return nil
}

// JSON reads into v what Writer.JSON has written.
func JSON[T any](r *Reader, v *T) {
	*v = *new(T)
	text := r.raw()
	if r.err != nil {
		return
	}
	if err := (cache.JSON{}).Unmarshal(text, v); err != nil {
		*v = *new(T)
		r.fail(err)
	}
}
