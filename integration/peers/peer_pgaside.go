package main

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/integration/peers/cached"
	"github.com/pgaside/pgaside/integration/peers/repo"
)

// nearGroups is the one place where the in-process tier comes in: what Options.Groups has to say for the group "item" to have
// one. While it returns nil there is no row "pgaside near".
func nearGroups() map[string]cache.GroupOptions { return nil }

// pgasidePeers are pgaside with all that it promises: fenced groups, pgfence over the pool, the breaker, default options. The
// decorator is generated from queries.sql as a user's is.
func pgasidePeers() []maker {
	makers := []maker{{
		name: "pgaside", gives: typed, does: []string{"hit", "throughput", "miss", "batch-hits", "batch-misses", "herd", "write", "memory"},
		make: func(_ context.Context, w *world) (*peer, error) { return newPgaside(w, nil) },
	}}
	if near := nearGroups(); near != nil {
		makers = append(makers, maker{
			name: "pgaside near", gives: typed, does: []string{"near", "herd"},
			make: func(_ context.Context, w *world) (*peer, error) { return newPgaside(w, near) },
		})
	}
	return makers
}

func newPgaside(w *world, groups map[string]cache.GroupOptions) (*peer, error) {
	c, err := w.openCache(groups)
	if err != nil {
		return nil, err
	}
	q := cached.New(w.pool, c)
	return &peer{
		get: func(ctx context.Context, i int) (string, error) {
			row, err := q.GetItem(ctx, w.data.rows[i].ID)
			return row.Title, err
		},
		getMany: func(ctx context.Context, rows []int) (int, error) {
			ids := make([]uuid.UUID, len(rows))
			for n, i := range rows {
				ids[n] = w.data.rows[i].ID
			}
			got, err := q.ListItems(ctx, ids)
			return len(got), err
		},
		write: func(ctx context.Context, i int, title string) error {
			return q.RenameItem(ctx, repo.RenameItemParams{ID: w.data.rows[i].ID, Title: title})
		},
		loads: func() int64 { return int64(c.Stats().Total().Loads) },
		close: func() { _ = c.Close() },
	}, nil
}

// openCache opens a cache as cache.Open does, over a client whose round trips are counted if there is something to count in.
func (w *world) openCache(groups map[string]cache.GroupOptions) (*cache.Cache, error) {
	o := cache.Options{
		Namespace: "pgaside" + w.prefix, Groups: groups, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		RedisBudget: w.patience, FenceBudget: w.patience, LeaseTTL: w.patience,
	}
	if w.counted == nil {
		return cache.Open(w.redisURL, o)
	}
	ro, err := w.options()
	if err != nil {
		return nil, err
	}
	ro.ContextTimeoutEnabled, ro.MaxRetries, ro.DialerRetries, ro.DisableIdentity = true, 1, 1, true
	limit := 500 * time.Millisecond
	ro.DialTimeout, ro.ReadTimeout, ro.WriteTimeout, ro.PoolTimeout = limit, limit, limit, limit
	ro.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return cache.New(redis.NewClient(ro), o)
}
