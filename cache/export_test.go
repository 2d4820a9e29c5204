package cache

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/redis/go-redis/v9"
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

// What bounds the reads under way to a Redis.
const (
	MaxSingles   = maxSingles
	MaxPipelines = maxPipelines
	MaxBatch     = maxBatch
)

// NewStoreOverdue is NewRedisStore with another time after which one more pipeline leaves.
func NewStoreOverdue(rdb redis.UniversalClient, d time.Duration) Store {
	s := &redisStore{rdb, false, newPipeliner(rdb)}
	s.reads.overdue = d
	return s
}

// Waiting is how many commands wait for a pipeline that has not left.
func Waiting(s Store) int {
	p := s.(*redisStore).reads
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, t := range p.nodes {
		for _, pipe := range t.waiting {
			n += len(pipe.cmds)
		}
	}
	return n
}
