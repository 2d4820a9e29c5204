package cache

import (
	"bytes"
	"encoding/binary"

	"github.com/klauspost/compress/s2"
)

// SignedCell returns a cell with any payload, as a stranger could write it who knows the format: like has the rest of its head.
func SignedCell(key, field string, like []byte, compressed bool, payload []byte) []byte {
	out := append(bytes.Clone(like[:envelopeLen]), payload...)
	out[1] = 0
	if compressed {
		out[1] = flagCompressed
	}
	binary.BigEndian.PutUint64(out[2:10], sealer{key: key, field: field}.sum(out))
	return out
}

// Bomb returns a few bytes that s2 makes n of.
func Bomb(n int) []byte { return s2.Encode(nil, make([]byte, n)) }

// Equal reports whether two cells are one.
func (c Cell[T]) Equal(o Cell[T]) bool {
	return c.err == nil && o.err == nil && c.query == o.query && c.args == o.args
}

// NearCopies is how many copies the in-process tier has, and what they weigh.
func (c *Cache) NearCopies() (n int, weight uint64) {
	c.near.begin()
	c.near.copies.CleanUp()
	return c.near.copies.EstimatedSize(), c.near.copies.WeightedSize()
}
