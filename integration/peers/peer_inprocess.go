package main

import (
	"context"

	"github.com/maypok86/otter/v2"
	"github.com/viccon/sturdyc"

	"github.com/pgaside/pgaside/integration/peers/repo"
)

// inProcessPeers know nothing of Redis or of other processes: what is written elsewhere they show old until the TTL. They hand
// out the pointer that they hold, so that a caller who changes a row changes the cache.
func inProcessPeers() []maker {
	return []maker{
		{name: "otter GetIfPresent", gives: pointer, does: []string{"near"}, make: func(_ context.Context, w *world) (*peer, error) { return w.otter(true) }},
		{
			name: "otter Get", gives: pointer, does: []string{"near", "miss", "batch-hits", "batch-misses", "herd"},
			make: func(_ context.Context, w *world) (*peer, error) { return w.otter(false) },
		},
		{
			name: "sturdyc", gives: pointer, does: []string{"near", "miss", "batch-hits", "batch-misses", "herd"},
			make: func(_ context.Context, w *world) (*peer, error) { return w.sturdyc() },
		},
	}
}

func (w *world) otter(onlyPresent bool) (*peer, error) {
	c, err := otter.New(&otter.Options[string, *repo.Item]{MaximumSize: 4 * len(w.keys)})
	if err != nil {
		return nil, err
	}
	src := w.source()
	number := w.numbers()
	one := otter.LoaderFunc[string, *repo.Item](func(ctx context.Context, key string) (*repo.Item, error) {
		row, err := src.one(ctx, number[key])
		return &row, err
	})
	many := otter.BulkLoaderFunc[string, *repo.Item](src.byKey(w, number))
	p := &peer{
		get: func(ctx context.Context, i int) (string, error) {
			row, err := c.Get(ctx, w.keys[i], one)
			if err != nil {
				return "", err
			}
			return row.Title, nil
		},
		getMany: func(ctx context.Context, rows []int) (int, error) {
			got, err := c.BulkGet(ctx, w.pick(rows), many)
			return len(got), err
		},
		warm: func(context.Context) error {
			for i, key := range w.keys {
				c.Set(key, &w.data.rows[i])
			}
			return nil
		},
		loads: src.loads,
		close: func() { c.StopAllGoroutines() },
	}
	if onlyPresent {
		p.get = func(_ context.Context, i int) (string, error) {
			if row, ok := c.GetIfPresent(w.keys[i]); ok {
				return row.Title, nil
			}
			return "", nil
		}
	}
	return p, nil
}

func (w *world) sturdyc() (*peer, error) {
	c := sturdyc.New[*repo.Item](4*len(w.keys), 64, ttl, 10)
	src := w.source()
	byKey := src.byKey(w, w.numbers())
	return &peer{
		get: func(ctx context.Context, i int) (string, error) {
			row, err := c.GetOrFetch(ctx, w.keys[i], func(ctx context.Context) (*repo.Item, error) {
				row, err := src.one(ctx, i)
				return &row, err
			})
			if err != nil {
				return "", err
			}
			return row.Title, nil
		},
		getMany: func(ctx context.Context, rows []int) (int, error) {
			got, err := c.GetOrFetchBatch(ctx, w.pick(rows), func(key string) string { return key }, byKey)
			return len(got), err
		},
		warm: func(context.Context) error {
			for i, key := range w.keys {
				c.Set(key, &w.data.rows[i])
			}
			return nil
		},
		loads: src.loads,
		close: func() {},
	}, nil
}

func (w *world) pick(rows []int) []string {
	out := make([]string, len(rows))
	for n, i := range rows {
		out[n] = w.keys[i]
	}
	return out
}

func (w *world) numbers() map[string]int {
	out := make(map[string]int, len(w.keys))
	for i, key := range w.keys {
		out[key] = i
	}
	return out
}

// byKey loads the rows of several keys with one query.
func (s *source) byKey(w *world, number map[string]int) func(context.Context, []string) (map[string]*repo.Item, error) {
	ofID := make(map[[16]byte]string, len(w.keys))
	for i, key := range w.keys {
		ofID[s.d.rows[i].ID] = key
	}
	return func(ctx context.Context, keys []string) (map[string]*repo.Item, error) {
		rows := make([]int, len(keys))
		for n, key := range keys {
			rows[n] = number[key]
		}
		got, err := s.many(ctx, rows)
		out := make(map[string]*repo.Item, len(got))
		for i := range got {
			out[ofID[got[i].ID]] = &got[i]
		}
		return out, err
	}
}
