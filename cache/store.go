package cache

import (
	"context"
	"time"
)

// Store is the part of Redis that the protocol needs. The engine only ever talks to a Store, so that a simulation can take
// Redis' place; NewRedisStore is the real one.
//
// Implementations are safe for concurrent use, honour ctx, and run each request atomically on the node that is responsible
// for its key. A batch is one round trip for each node, and its requests are independent: each reply carries its own error.
type Store interface {
	// Get reads one cell, and, in the same round trip, the values of extra plain keys. A missing cell is nil, a missing
	// value "".
	Get(ctx context.Context, at CellRef, extra []string) (cell []byte, values []string, err error)

	// GetMany reads many cells in one round trip.
	GetMany(ctx context.Context, at []CellRef) []GetReply

	// Acquire asks for the leases to fill cells.
	Acquire(ctx context.Context, reqs []AcquireRequest) []AcquireReply

	// Fill stores cells under their leases, or gives the leases back.
	Fill(ctx context.Context, reqs []FillRequest) []FillReply

	// Wipe voids every cell and lease of each key, and adds or removes fences. With replicas above 0 a reply is only free
	// of error when that many replicas have acknowledged it too.
	Wipe(ctx context.Context, reqs []WipeRequest, replicas int) []WipeReply

	// Mint sets each missing plain key to the given value and returns what the keys then hold.
	Mint(ctx context.Context, keys []string, value string) ([]string, error)

	// Bump adds to the number in a plain key, from 0 when it is missing. A bump that a client retries may be executed twice.
	Bump(ctx context.Context, key string, by int64) error

	// Set overwrites a plain key; a ttl of 0 keeps it for ever.
	Set(ctx context.Context, key, value string, ttl time.Duration) error

	// MGet reads plain keys; the entry of a missing one is nil.
	MGet(ctx context.Context, keys []string) ([][]byte, error)

	// Del removes plain keys.
	Del(ctx context.Context, keys []string) error

	// Publish sends a message to those who are subscribed to the channel at this moment.
	Publish(ctx context.Context, channel, message string) error

	// Subscribe calls receive for each message of a channel, one after the other, and ready before, once it stands. It returns
	// when ctx ends, or when messages may have been missed.
	Subscribe(ctx context.Context, channel string, ready func(), receive func(message string)) error

	// Time returns the server's clock in milliseconds since 1970; with several nodes, the latest of them. It is also how
	// the engine asks whether Redis is back.
	Time(ctx context.Context) (int64, error)

	// Close releases what the store itself has opened.
	Close() error
}

// CellRef names a cell: a field of a key's hash.
type CellRef struct{ Key, Field string }

// GetReply answers one CellRef of GetMany.
type GetReply struct {
	Cell []byte
	Err  error
}

// AcquireRequest asks for the lease of a cell.
type AcquireRequest struct {
	CellRef
	Nonce    string        // new for each request, the same when it is retried
	Unusable []byte        // the cell that the caller read and cannot use; nil when it read none
	Lease    time.Duration // how long others wait for the fill
	MaxCells int           // most fields of the hash
}

// AcquireStatus says what an AcquireReply holds.
type AcquireStatus int

// The answers to an AcquireRequest, by the numbers that the script replies.
const (
	AcquireHit    AcquireStatus = 0 // Cell is a value
	AcquireOwned  AcquireStatus = 1 // Cell is the lease that FillRequest.Lease wants back
	AcquireWait   AcquireStatus = 2 // somebody else has the lease
	AcquireBypass AcquireStatus = 3 // a write is in progress: nothing may be served or filled
)

// AcquireReply answers an AcquireRequest.
type AcquireReply struct {
	Status AcquireStatus
	Cell   []byte
	Err    error
}

// FillRequest stores a cell under a lease.
type FillRequest struct {
	CellRef
	Lease  []byte        // as AcquireReply.Cell gave it
	Cell   []byte        // empty: give the lease back
	TTL    time.Duration // fixed by the first fill of the key
	Shrink bool          // a TTL that is fixed already may be shortened to TTL
}

// FillReply answers a FillRequest. Without an error the cell was stored, or the lease was lost (voided meanwhile), or it was given
// back as asked.
type FillReply struct {
	Stored bool
	Lost   bool
	Err    error
}

// WipeRequest voids a key.
type WipeRequest struct {
	Key    string
	Add    string        // fence token to put on the key; "" = none
	TTL    time.Duration // of the fence that is added
	Remove string        // fence token to take away; "" = none

	// Publish is the channel on which the key is published once it is void; "" = none. Whether anybody hears of it, or it may be
	// published at all, is of no consequence to the reply.
	Publish string
}

// WipeReply answers a WipeRequest.
type WipeReply struct {
	Found bool // the token that was added or removed is, or was, live
	Err   error
}
