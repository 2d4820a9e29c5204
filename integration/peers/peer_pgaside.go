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

// pgasidePeers are pgaside with all that it promises: fenced groups, pgfence over the pool, the breaker, default options. The
// decorator is generated from queries.sql as a user's is.
func pgasidePeers() []maker {
	getItem := func(ctx context.Context, q *cached.Queries, id uuid.UUID) (string, error) {
		row, err := q.GetItem(ctx, id)
		return row.Title, err
	}
	getCard := func(ctx context.Context, q *cached.Queries, id uuid.UUID) (string, error) {
		row, err := q.GetCard(ctx, id)
		return row.Title, err
	}
	return []maker{
		{
			name: "pgaside", gives: typed, does: []string{"hit", "throughput", "miss", "batch-hits", "batch-misses", "herd", "write", "memory"},
			make: func(_ context.Context, w *world) (*peer, error) { return newPgaside(w, nil, getItem) },
		},
		{
			name: "pgaside near", gives: typed, does: []string{"near"},
			make: func(_ context.Context, w *world) (*peer, error) { return newPgaside(w, nil, getCard) },
		},
		{
			// Declared at run time, so that the decorator is not made for it; and each reader gets a copy of the jsonb.
			name: "pgaside near by Options, with jsonb", gives: typed, does: []string{"near"},
			make: func(_ context.Context, w *world) (*peer, error) {
				return newPgaside(w, map[string]cache.GroupOptions{"item": {Near: ttl}}, getItem)
			},
		},
	}
}

func newPgaside(w *world, groups map[string]cache.GroupOptions, get func(context.Context, *cached.Queries, uuid.UUID) (string, error)) (*peer, error) {
	c, err := w.openCache(groups)
	if err != nil {
		return nil, err
	}
	q := cached.New(w.pool, c)
	return &peer{
		get: func(ctx context.Context, i int) (string, error) { return get(ctx, q, w.data.rows[i].ID) },
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
