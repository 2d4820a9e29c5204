package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/pgaside/pgaside/integration/peers/repo"
)

// many is one query for several rows.
func (s *source) many(ctx context.Context, rows []int) ([]repo.Item, error) {
	ids := make([]uuid.UUID, len(rows))
	for n, i := range rows {
		ids[n] = s.d.rows[i].ID
	}
	s.n.Add(1)
	return s.q.ListItems(ctx, ids)
}

// goRedisPeers are what people write by hand over go-redis: GET, on a miss SELECT and SET; DEL after a write. No lease, no
// fence, no breaker.
func goRedisPeers() []maker {
	return []maker{
		{
			name: "go-redis GET", gives: bytesOnly, does: []string{"hit", "throughput"},
			make: func(_ context.Context, w *world) (*peer, error) { return w.byHand(handOptions{bytes: true}) },
		}, {
			name: "go-redis GET by hand", gives: decoded,
			does: []string{"hit", "throughput", "miss", "batch-hits", "batch-misses", "herd", "write"},
			make: func(_ context.Context, w *world) (*peer, error) { return w.byHand(handOptions{}) },
		}, {
			name: "go-redis AutoPipeline", gives: bytesOnly, does: []string{"hit", "throughput"},
			make: func(_ context.Context, w *world) (*peer, error) {
				return w.byHand(handOptions{bytes: true, autoPipeline: true})
			},
		}, {
			name: "go-redis AutoPipeline by hand", gives: decoded, does: []string{"hit", "throughput", "miss"},
			make: func(_ context.Context, w *world) (*peer, error) { return w.byHand(handOptions{autoPipeline: true}) },
		}, {
			name: "go-redis client-side cache", gives: bytesOnly, does: []string{"near"},
			make: func(_ context.Context, w *world) (*peer, error) {
				return w.byHand(handOptions{bytes: true, clientSide: true})
			},
		}, {
			name: "go-redis client-side cache", gives: decoded, does: []string{"near", "miss"},
			make: func(_ context.Context, w *world) (*peer, error) { return w.byHand(handOptions{clientSide: true}) },
		},
	}
}

type handOptions struct{ bytes, autoPipeline, clientSide bool }

// getSetter is a client or its automatic pipeline.
type getSetter interface {
	Get(ctx context.Context, key string) *redis.StringCmd
	Set(ctx context.Context, key string, value any, ttl time.Duration) *redis.StatusCmd
}

func (w *world) options() (*redis.Options, error) {
	o, err := redis.ParseURL(w.redisURL)
	if err == nil && w.counted != nil {
		o.Dialer = w.counted.dial
	}
	return o, err
}

// client is go-redis with the options that it has by itself.
func (w *world) client(change func(*redis.Options)) (*redis.Client, error) {
	o, err := w.options()
	if err != nil {
		return nil, err
	}
	change(o)
	return redis.NewClient(o), nil
}

func (w *world) byHand(o handOptions) (*peer, error) {
	rdb, err := w.client(func(ro *redis.Options) {
		if o.clientSide {
			ro.ClientSideCacheConfig = &redis.ClientSideCacheConfig{MaxEntries: 4 * len(w.keys)}
		}
	})
	if err != nil {
		return nil, err
	}
	var gs getSetter = rdb
	if o.autoPipeline {
		if gs, err = rdb.AutoPipeline(); err != nil {
			return nil, err
		}
	}
	src := w.source()
	p := &peer{
		loads: src.loads,
		close: func() { _ = rdb.Close() },
		warm:  func(ctx context.Context) error { return w.setAll(ctx, rdb) },
	}
	if o.bytes {
		p.get = func(ctx context.Context, i int) (string, error) {
			_, err := gs.Get(ctx, w.keys[i]).Bytes()
			return "", err
		}
		return p, nil
	}
	p.get = func(ctx context.Context, i int) (string, error) {
		if text, err := gs.Get(ctx, w.keys[i]).Bytes(); err == nil {
			row, err := decode(text)
			return row.Title, err
		}
		row, err := src.one(ctx, i)
		if err != nil {
			return "", err
		}
		text, err := json.Marshal(&row)
		if err != nil {
			return "", err
		}
		return row.Title, gs.Set(ctx, w.keys[i], text, ttl).Err()
	}
	p.getMany = func(ctx context.Context, rows []int) (int, error) { return w.handBatch(ctx, rdb, src, rows) }
	p.write = func(ctx context.Context, i int, title string) error {
		if err := src.rename(ctx, i, title); err != nil {
			return err
		}
		return rdb.Del(ctx, w.keys[i]).Err()
	}
	return p, nil
}

// handBatch is MGET, one query for what is missing, and the SETs in a pipeline.
func (w *world) handBatch(ctx context.Context, rdb *redis.Client, src *source, rows []int) (int, error) {
	keys := make([]string, len(rows))
	for n, i := range rows {
		keys[n] = w.keys[i]
	}
	values, err := rdb.MGet(ctx, keys...).Result()
	if err != nil {
		return 0, err
	}
	out := make([]repo.Item, 0, len(rows))
	var missing []int
	byID := make(map[uuid.UUID]string)
	for n, v := range values {
		text, ok := v.(string)
		if !ok {
			missing = append(missing, rows[n])
			byID[w.data.rows[rows[n]].ID] = keys[n]
			continue
		}
		row, err := decode([]byte(text))
		if err != nil {
			return 0, err
		}
		out = append(out, row)
	}
	if len(missing) == 0 {
		return len(out), nil
	}
	loaded, err := src.many(ctx, missing)
	if err != nil {
		return 0, err
	}
	_, err = rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range loaded {
			text, err := json.Marshal(&loaded[i])
			if err != nil {
				return err
			}
			p.Set(ctx, byID[loaded[i].ID], text, ttl)
		}
		return nil
	})
	return len(out) + len(loaded), err
}

// setAll stores every row as JSON.
func (w *world) setAll(ctx context.Context, rdb *redis.Client) error {
	const chunk = 500
	for from := 0; from < len(w.keys); from += chunk {
		_, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i := from; i < min(from+chunk, len(w.keys)); i++ {
				text, err := json.Marshal(&w.data.rows[i])
				if err != nil {
					return err
				}
				p.Set(ctx, w.keys[i], text, ttl)
			}
			return nil
		})
		if err != nil {
			return errors.Join(errors.New("storing the rows"), err)
		}
	}
	return nil
}
