package integration

import (
	"testing"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/cachetest"
)

// TestRedisIsAStore: the conformance suite of stores, on a real Redis.
func TestRedisIsAStore(t *testing.T) {
	t.Parallel()
	cachetest.TestStore(t, func(t *testing.T) cache.Store {
		return cache.NewRedisStore((&world{t: t, redis: shared}).client(), false)
	})
}
