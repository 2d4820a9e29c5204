package cache

import (
	"context"
	"time"
)

// Clock is the engine's only source of time. The zero Options use the system's clock; a simulation supplies its own.
//
// Implementations are safe for concurrent use.
type Clock interface {
	// Now returns the time with a monotonic reading. Only differences of it are used: no client's wall time is ever sent.
	Now() time.Time

	// Sleep waits for d or until ctx ends, and returns ctx's error in the latter case.
	Sleep(ctx context.Context, d time.Duration) error

	// AfterFunc calls f in a goroutine of its own after d. The returned function stops it and reports whether it did.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (systemClock) AfterFunc(d time.Duration, f func()) func() bool {
	return time.AfterFunc(d, f).Stop
}
