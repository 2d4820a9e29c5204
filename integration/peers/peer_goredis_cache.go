package main

import (
	"context"

	gocache "github.com/go-redis/cache/v9"
	"github.com/redis/go-redis/v9"

	"github.com/pgaside/pgaside/integration/peers/repo"
)

// goRedisCachePeers are go-redis/cache with its own codec (msgpack, s2 above 64 bytes), with and without its TinyLFU in front.
// It has no batch: a loop.
func goRedisCachePeers() []maker {
	return []maker{
		{
			name: "go-redis/cache", gives: "msgpack decoded",
			does: []string{"hit", "throughput", "miss", "batch-hits", "batch-misses", "herd", "memory"},
			make: func(_ context.Context, w *world) (*peer, error) { return w.goRedisCache(nil) },
		}, {
			name: "go-redis/cache with TinyLFU", gives: "msgpack decoded", does: []string{"near", "miss"},
			make: func(_ context.Context, w *world) (*peer, error) {
				return w.goRedisCache(gocache.NewTinyLFU(4*len(w.keys), ttl))
			},
		},
	}
}

func (w *world) goRedisCache(local gocache.LocalCache) (*peer, error) {
	rdb, err := w.client(func(*redis.Options) {})
	if err != nil {
		return nil, err
	}
	c := gocache.New(&gocache.Options{Redis: rdb, LocalCache: local})
	src := w.source()
	get := func(ctx context.Context, i int) (string, error) {
		var row repo.Item
		err := c.Once(&gocache.Item{
			Ctx: ctx, Key: w.keys[i], Value: &row, TTL: ttl,
			Do: func(*gocache.Item) (any, error) { return src.one(ctx, i) },
		})
		return row.Title, err
	}
	return &peer{
		get: get,
		getMany: func(ctx context.Context, rows []int) (int, error) {
			for _, i := range rows {
				if _, err := get(ctx, i); err != nil {
					return 0, err
				}
			}
			return len(rows), nil
		},
		warm: func(ctx context.Context) error {
			return readAll(len(w.keys), func(i int) error {
				return c.Set(&gocache.Item{Ctx: ctx, Key: w.keys[i], Value: &w.data.rows[i], TTL: ttl})
			})
		},
		loads: src.loads,
		close: func() { _ = rdb.Close() },
	}, nil
}
