package cache

import (
	"context"
	"time"
)

// ReadOutcome says where the value of a read came from, as statistics and observers see it.
type ReadOutcome uint8

// The outcomes of a read.
const (
	ReadHit      ReadOutcome = iota // served from a cell
	ReadNegative                    // served from a cached "no row"
	ReadMiss                        // loaded under a lease
	ReadShared                      // took the value of a load that another reader of this process made
	ReadBypass                      // loaded from the source without filling: a write was in progress, or Redis could not answer
	ReadNear                        // served from a copy in the process
)

var readOutcomeNames = [...]string{"hit", "negative", "miss", "shared", "bypass", "near"}

// String returns the outcome as metrics spell it.
func (o ReadOutcome) String() string { return readOutcomeNames[o] }

// fromCell reports whether the value came from a cell.
func (o ReadOutcome) fromCell() bool { return o == ReadHit || o == ReadNegative }

// ReadEvent tells of one read.
type ReadEvent struct {
	Group, Query string
	Outcome      ReadOutcome
	Duration     time.Duration // as the caller saw it, the load included
	Err          error         // what the caller got; nil for "no row"
}

// InvalidateEvent tells of the invalidations in one group by one write, or by one call of Invalidate or InvalidateGroup.
type InvalidateEvent struct {
	Group string
	Keys  int   // 0: the whole group
	Err   error // nil when Redis acknowledged all of them
}

// Observer is told what the cache did. Methods are called on the caller's path and must not block. No event carries a key,
// an argument or a value.
type Observer interface {
	Read(ctx context.Context, e ReadEvent)
	Invalidated(ctx context.Context, e InvalidateEvent)
	// Breaker is called when the cache stops (true) or starts again (false) asking Redis for reads.
	Breaker(open bool)
}

// NopObserver does nothing. Embed it to implement only what you need.
type NopObserver struct{}

// Read does nothing.
func (NopObserver) Read(context.Context, ReadEvent) {}

// Invalidated does nothing.
func (NopObserver) Invalidated(context.Context, InvalidateEvent) {}

// Breaker does nothing.
func (NopObserver) Breaker(bool) {}
