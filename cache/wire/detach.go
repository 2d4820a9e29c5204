package wire

import (
	"bytes"
	"fmt"
	"math/big"
	"net/netip"
	"time"

	"github.com/pgaside/pgaside/cache"
)

// Copy returns a pointer to a copy of what p points to, nil for nil.
func Copy[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// DetachBigInt gives v digits of its own.
func DetachBigInt(v *big.Int) {
	digits, negative := v.Bits(), v.Sign() < 0
	if digits == nil {
		return
	}
	v.SetBits(append([]big.Word{}, digits...))
	if negative {
		v.Neg(v)
	}
}

// CopyAny returns a copy of v that shares nothing with it that can be changed. See DetachJSON.
func CopyAny(v any) any {
	switch v := v.(type) {
	case nil, bool, int16, int32, int64, float32, float64, string, time.Time, [16]byte, netip.Addr, netip.Prefix:
		return v
	case []byte:
		return bytes.Clone(v)
	}
	DetachJSON(&v)
	return v
}

// DetachJSON replaces a value that is written as JSON by a copy. It panics if that fails, which it can't for a value that has been
// written or read, unless it has methods that say one thing now and another then.
func DetachJSON[T any](v *T) {
	text, err := cache.JSON{}.Marshal(v)
	if err == nil {
		*v = *new(T)
		err = cache.JSON{}.Unmarshal(text, v)
	}
	if err != nil {
		panic(fmt.Sprintf("wire: copying a %T: %v", *v, err))
	}
}
