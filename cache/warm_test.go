package cache_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/cachetest"
)

// A key that this process has not seen filled is not looked up before its lease is asked for: the lease's answer has the cell.
func TestColdKeySavesARoundTrip(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store := cachetest.NewStore(nil)
	var mu sync.Mutex
	var ops []string
	store.Before = func(_ context.Context, op string, _ []string) error {
		mu.Lock()
		defer mu.Unlock()
		ops = append(ops, op)
		return nil
	}
	took := func() []string {
		mu.Lock()
		defer mu.Unlock()
		out := ops
		ops = nil
		return out
	}
	group := cache.NewGroup[int64]("warm", cache.GroupOptions{})
	query := cache.NewQuery[int64]("Double", "0123456789ab", cache.QueryOptions{})
	newCache := func() *cache.Cache {
		c, err := cache.NewWithStore(store, cache.Options{})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, c.Close()) })
		return c
	}
	read := func(c *cache.Cache, k int64) {
		v, err := cache.Read(ctx, c, group.Key(k), query.Cell(), func(context.Context) (int64, error) { return 2 * k, nil })
		require.NoError(t, err)
		require.Equal(t, 2*k, v)
	}
	filled := func(c *cache.Cache, n uint64) {
		for c.Stats().Total().Fills < n {
			if err := ctx.Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	a, b := newCache(), newCache()
	read(a, 1) // learns the epochs, and reads the cell along with them
	read(b, 1)
	filled(a, 1)
	took()

	read(a, 2)
	filled(a, 2)
	require.Equal(t, []string{"acquire", "fill"}, took(), "a cold key is asked for its lease at once")
	read(a, 2)
	require.Equal(t, []string{"get"}, took(), "a warm key is looked up")
	read(b, 2)
	require.Equal(t, []string{"acquire"}, took(), "what another process has filled comes with the answer")
	read(b, 2)
	require.Equal(t, []string{"get"}, took())
	require.EqualValues(t, 0, b.Stats().Total().Fills)

	require.NoError(t, a.Invalidate(ctx, group.Key(2)))
	took()
	read(a, 2)
	filled(a, 3)
	require.Equal(t, []string{"acquire", "fill"}, took(), "a key that this process has voided is cold again")
}
