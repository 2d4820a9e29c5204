package main

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"
	"github.com/redis/rueidis"

	"github.com/pgaside/pgaside/integration/peers/repo"
)

// rueidisPeers are what people write by hand over rueidis, with its own pipelining and, with DoCache, its in-process copies
// that Redis invalidates.
func rueidisPeers() []maker {
	return []maker{
		{
			name: "rueidis GET", gives: bytesOnly, does: []string{"hit", "throughput"},
			make: func(_ context.Context, w *world) (*peer, error) { return w.rueidis(true, false) },
		}, {
			name: "rueidis GET by hand", gives: decoded, does: []string{"hit", "throughput", "miss", "batch-hits", "batch-misses", "herd"},
			make: func(_ context.Context, w *world) (*peer, error) { return w.rueidis(false, false) },
		}, {
			name: "rueidis DoCache", gives: bytesOnly, does: []string{"near"},
			make: func(_ context.Context, w *world) (*peer, error) { return w.rueidis(true, true) },
		}, {
			name: "rueidis DoCache by hand", gives: decoded, does: []string{"near", "miss"},
			make: func(_ context.Context, w *world) (*peer, error) { return w.rueidis(false, true) },
		},
	}
}

func (w *world) rueidis(bytes, near bool) (*peer, error) {
	opt, err := rueidis.ParseURL(w.redisURL)
	if err != nil {
		return nil, err
	}
	opt.ClientSetInfo = rueidis.DisableClientSetInfo // new in Redis 7.2
	opt.DisableCache = !near
	c, err := rueidis.NewClient(opt)
	if err != nil {
		return nil, err
	}
	read := func(ctx context.Context, i int) rueidis.RedisResult {
		if near {
			return c.DoCache(ctx, c.B().Get().Key(w.keys[i]).Cache(), ttl)
		}
		return c.Do(ctx, c.B().Get().Key(w.keys[i]).Build())
	}
	set := func(i int, text []byte) rueidis.Completed {
		return c.B().Set().Key(w.keys[i]).Value(rueidis.BinaryString(text)).Ex(ttl).Build()
	}
	src := w.source()
	p := &peer{loads: src.loads, close: c.Close}
	p.warm = func(ctx context.Context) error {
		const chunk = 500
		for from := 0; from < len(w.keys); from += chunk {
			var cmds rueidis.Commands
			for i := from; i < min(from+chunk, len(w.keys)); i++ {
				text, err := json.Marshal(&w.data.rows[i])
				if err != nil {
					return err
				}
				cmds = append(cmds, set(i, text))
			}
			for _, r := range c.DoMulti(ctx, cmds...) {
				if err := r.Error(); err != nil {
					return err
				}
			}
		}
		return nil
	}
	p.get = func(ctx context.Context, i int) (string, error) {
		if bytes {
			_, err := read(ctx, i).ToString()
			return "", err
		}
		if text, err := read(ctx, i).AsBytes(); err == nil {
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
		return row.Title, c.Do(ctx, set(i, text)).Error()
	}
	p.getMany = func(ctx context.Context, rows []int) (int, error) { return w.rueidisBatch(ctx, c, src, rows, set) }
	return p, nil
}

// rueidisBatch is the GETs in one message, one query for what is missing, and the SETs in one message.
func (w *world) rueidisBatch(ctx context.Context, c rueidis.Client, src *source, rows []int, set func(int, []byte) rueidis.Completed) (int, error) {
	gets := make(rueidis.Commands, len(rows))
	for n, i := range rows {
		gets[n] = c.B().Get().Key(w.keys[i]).Build()
	}
	out := make([]repo.Item, 0, len(rows))
	var missing []int
	number := make(map[uuid.UUID]int)
	for n, r := range c.DoMulti(ctx, gets...) {
		text, err := r.AsBytes()
		if rueidis.IsRedisNil(err) {
			missing = append(missing, rows[n])
			number[w.data.rows[rows[n]].ID] = rows[n]
			continue
		}
		if err != nil {
			return 0, err
		}
		row, err := decode(text)
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
	sets := make(rueidis.Commands, len(loaded))
	for n := range loaded {
		text, err := json.Marshal(&loaded[n])
		if err != nil {
			return 0, err
		}
		sets[n] = set(number[loaded[n].ID], text)
	}
	for _, r := range c.DoMulti(ctx, sets...) {
		if err := r.Error(); err != nil {
			return 0, err
		}
	}
	return len(out) + len(loaded), nil
}
