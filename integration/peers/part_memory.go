package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// memory is what a row costs in Redis, by what MEMORY USAGE says of its key and by how much the server has grown for each.
func memory(ctx context.Context, e *env, r *Report) error {
	const fieldOfLease = 16 // bytes that a hash by hand would keep beside the value
	type layout struct {
		name, gives string
		fill        func(ctx context.Context, prefix string) error
	}
	byHand := func(set func(p redis.Pipeliner, key string, text []byte)) func(context.Context, string) error {
		return func(ctx context.Context, prefix string) error {
			keys := e.data.keys(prefix)
			const chunk = 500
			for from := 0; from < len(keys); from += chunk {
				_, err := e.control.Pipelined(ctx, func(p redis.Pipeliner) error {
					for i := from; i < min(from+chunk, len(keys)); i++ {
						text, err := json.Marshal(&e.data.rows[i])
						if err != nil {
							return err
						}
						set(p, keys[i], text)
					}
					return nil
				})
				if err != nil {
					return err
				}
			}
			return nil
		}
	}
	layouts := []layout{
		{"string by hand", "JSON", byHand(func(p redis.Pipeliner, key string, text []byte) { p.Set(ctx, key, text, ttl) })},
		{"hash by hand, a value and 16 bytes", "JSON", byHand(func(p redis.Pipeliner, key string, text []byte) {
			p.HSet(ctx, key, "v", text, "t", strings.Repeat("x", fieldOfLease))
			p.Expire(ctx, key, ttl)
		})},
	}
	for n, m := range makers() {
		if slices.Contains(m.does, "memory") {
			layouts = append(layouts, layout{m.name, m.gives, func(ctx context.Context, _ string) error {
				p, err := m.make(ctx, e.world(n))
				if err != nil {
					return err
				}
				defer p.close()
				p.name, p.gives = m.name, m.gives
				return p.fill(ctx, e.data)
			}})
		}
	}
	runners := make([]runner, len(layouts))
	for n, l := range layouts {
		runners[n] = runner{l.name, l.gives, func(ctx context.Context) (sample, error) {
			if err := e.fresh(ctx); err != nil {
				return nil, err
			}
			before, err := e.usedMemory(ctx)
			if err != nil {
				return nil, err
			}
			if err := l.fill(ctx, "s"); err != nil {
				return nil, err
			}
			after, err := e.usedMemory(ctx)
			if err != nil {
				return nil, err
			}
			usage, err := e.memoryUsage(ctx)
			return sample{"usage": usage, "delta": float64(after-before) / float64(len(e.data.rows))}, err
		}}
	}
	t := Table{
		Title: "Bytes of a row in Redis", Base: "string by hand, JSON",
		Columns: []Column{
			{Metric: "usage", Head: "MEMORY USAGE, mean"}, {Metric: "delta", Head: "used_memory / rows"}, {Metric: "delta", Head: "ratio", Ratio: true},
		},
	}
	rounds := min(e.Rounds, 3) // it hardly varies
	var err error
	if t.Series, err = interleave(ctx, rounds, runners); err != nil {
		return err
	}
	r.Tables = []Table{t}
	r.Charts = []Chart{{Title: "bytes of a row in Redis (used_memory / rows)", Metric: "delta", Target: 865}}
	r.Notes = []string{fmt.Sprintf("%d rows, each with a TTL. MEMORY USAGE (SAMPLES 0) is the mean of up to 1,000 keys; used_memory is what the server has "+
		"grown by, with its tables of keys and of TTLs. %d rounds: it hardly varies.", len(e.data.rows), rounds)}
	work := fmt.Sprintf("Redis bytes per row of %.0f bytes", r.Run.JSONBytes)
	r.Checks = []Check{both(
		atMost(work, "string by hand, JSON: "+number(t.of("string by hand, JSON", "delta", false).median), "≤ 865 (used_memory)", t.of(ours, "delta", false), "", 865),
		atMost("", "", "≤ 865 (MEMORY USAGE)", t.of(ours, "usage", false), "", 865),
	)}
	return nil
}

func (e *env) usedMemory(ctx context.Context) (int64, error) {
	info, err := e.control.Info(ctx, "memory").Result()
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "used_memory:"); ok {
			return strconv.ParseInt(v, 10, 64)
		}
	}
	return 0, fmt.Errorf("INFO memory has no used_memory")
}

// memoryUsage is the mean of up to 1,000 keys that hold a row: not those that pgaside keeps beside them.
func (e *env) memoryUsage(ctx context.Context) (float64, error) {
	sum, n := 0.0, 0
	for iter := e.control.Scan(ctx, 0, "*-*-*-*-*", 1000).Iterator(); iter.Next(ctx) && n < 1000; n++ {
		v, err := e.control.MemoryUsage(ctx, iter.Val(), 0).Result()
		if err != nil {
			return 0, err
		}
		sum += float64(v)
	}
	if n == 0 {
		return 0, fmt.Errorf("there are no keys")
	}
	return sum / float64(n), nil
}
