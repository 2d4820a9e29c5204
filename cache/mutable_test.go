package cache

import (
	"math/big"
	"net/netip"
	"testing"
	"time"
)

// Arguments that their owner can change behind an auditor's back are told from those that nobody can.
func TestMutableArguments(t *testing.T) {
	t.Parallel()
	type id [16]byte
	type nullable struct {
		Bytes [16]byte
		Valid bool
	}
	type number struct {
		Int *big.Int
		Exp int32
	}
	n := 1
	for _, v := range []any{
		nil, "", true, 1, int16(1), uint8(1), 1.5, time.Now(), [16]byte{}, id{}, nullable{}, [2]nullable{}, netip.Addr{}, netip.Prefix{}, time.Minute,
	} {
		if isMutable(v) {
			t.Errorf("%T", v)
		}
	}
	for _, v := range []any{[]byte{}, []int{}, &n, map[int]int{}, number{}, [1]number{}, struct{ v any }{}, func() {}, make(chan int)} {
		if !isMutable(v) {
			t.Errorf("%T", v)
		}
	}
	q := NewQuery[int]("q", "0", QueryOptions{})
	if q.Cell(1, "a").mutable || !q.Cell(1, []int{2}, "a").mutable || q.Cell().mutable {
		t.Error("cells")
	}
	if !NewGroup2[int, *int]("g", GroupOptions{}).g.mutable || NewGroup3[int, id, string]("g", GroupOptions{}).g.mutable {
		t.Error("groups")
	}
}
