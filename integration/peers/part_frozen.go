package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/pgfence"
	"github.com/pgaside/pgaside/integration/peers/cached"
	"github.com/pgaside/pgaside/integration/peers/repo"
)

// path is a query that is never stored: what is measured with it is the way to its load.
var path = cache.NewQuery[repo.Item]("Path", "0", cache.QueryOptions{})

// frozen is a read while Redis does not answer (SIGSTOP) and the breaker is open.
func frozen(ctx context.Context, e *env, r *Report) (err error) {
	w := e.world(0)
	w.patience = 0
	c, err := w.openCache(nil)
	if err != nil {
		return err
	}
	defer c.Close()
	q, src, db := cached.New(e.pool, c), repo.New(e.pool), pgfence.New(e.pool, c, pgfence.Statements{})
	if _, err := q.GetItem(ctx, e.data.rows[0].ID); err != nil {
		return err
	}
	if err := e.redis.Freeze(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.redis.Thaw()) }()
	for i, deadline := 1, time.Now().Add(time.Minute); !c.Stats().BreakerOpen; i++ {
		if _, err := q.GetItem(ctx, e.data.rows[i%len(e.data.rows)].ID); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the breaker does not open")
		}
	}
	row := func(i int) repo.Item { return e.data.rows[e.data.zipf[i%len(e.data.zipf)]] }
	measured := func(n int, op func(i int) error) func(context.Context) (sample, error) {
		return func(context.Context) (sample, error) { return timeEach(n, 1, op) }
	}
	reads, paths := pick(e.settings, 1000, 20), pick(e.settings, 20_000, 200)
	nothing := func(context.Context, pgfence.DBTX) (repo.Item, error) { return repo.Item{}, nil }
	t := Table{
		Title: "A read with the breaker open",
		Columns: []Column{
			{Metric: "µs", Head: "µs"}, {Metric: "cpu", Head: "µs of processor"}, {Metric: "allocs", Head: "allocations"},
		},
	}
	t.Series, err = interleave(ctx, e.Rounds, []runner{
		{"pgx, no cache", typed, measured(reads, func(i int) error {
			_, err := src.GetItem(ctx, row(i).ID)
			return err
		})},
		{"pgaside", typed, measured(reads, func(i int) error {
			_, err := q.GetItem(ctx, row(i).ID)
			return err
		})},
		{"a pool connection, taken and given back", "nothing", measured(paths, func(int) error {
			conn, err := e.pool.Acquire(ctx)
			if err == nil {
				conn.Release()
			}
			return err
		})},
		{"pgaside, with a load that asks nothing", "nothing", measured(paths, func(i int) error {
			_, err := pgfence.Read(ctx, db, cached.Item.Key(row(i).ID), path.Cell(), nothing)
			return err
		})},
	})
	if err != nil {
		return err
	}
	if !c.Stats().BreakerOpen {
		return fmt.Errorf("the breaker has closed")
	}
	diff := func(of, base, metric string) stat {
		a, _ := t.series(of)
		b, _ := t.series(base)
		var out []float64
		for i := range a.Rounds[metric] {
			out = append(out, a.Rounds[metric][i]-b.Rounds[metric][i])
		}
		return statOf(out)
	}
	cpu := diff("pgaside, with a load that asks nothing, nothing", "a pool connection, taken and given back, nothing", "cpu")
	allocs := diff(ours, pgxBase, "allocs")
	r.Tables = []Table{t}
	r.Charts = []Chart{{Title: "µs of processor for a read with the breaker open", Metric: "cpu"}}
	r.Notes = []string{
		"The processor time of a whole read varies by more than what is looked for. What pgaside adds is therefore taken from its way to a load that asks " +
			"Postgres nothing, less the connection that the plain read takes as well. The allocations are those of the whole read, less the plain one's.",
	}
	work := "Redis frozen, breaker open"
	r.Checks = []Check{both(
		atMost(work, "pgx SELECT alone", "adds ≤ 3 µs of processor", cpu, " µs", 3),
		atMost("", "", "≤ 5 allocations", allocs, " allocations", 5.05),
	)}
	return nil
}
