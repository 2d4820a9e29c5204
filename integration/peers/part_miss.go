package main

import (
	"context"
	"fmt"
	"time"
)

// cold hands out rows that a peer has not read before.
type cold struct{ next, end int }

func (c *cold) take(n int) (from int, err error) {
	if c.next+n > c.end {
		return 0, fmt.Errorf("%d rows are too few: fewer rounds, please", c.end)
	}
	from = c.next
	c.next += n
	return from, nil
}

// miss is a read of a row that nobody has read, with its fill.
func miss(ctx context.Context, e *env, r *Report) error {
	peers, closeAll, err := e.peers(ctx, "miss")
	if err != nil {
		return err
	}
	defer closeAll()
	reads := min(pick(e.settings, 500, 10), (len(e.data.rows)-20)/e.Rounds)
	runners := make([]runner, len(peers))
	for n, p := range peers {
		rows := &cold{end: len(e.data.rows)}
		for range 20 { // connections, prepared statements, epochs
			from, err := rows.take(1)
			if err != nil {
				return err
			}
			if _, err := p.get(ctx, from); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
		runners[n] = runner{p.name, p.gives, func(ctx context.Context) (sample, error) {
			from, err := rows.take(reads)
			if err != nil {
				return nil, err
			}
			before := p.loads()
			s, err := timeEach(reads, 1, func(i int) error {
				_, err := p.get(ctx, from+i)
				return err
			})
			if err == nil {
				s["loads"] = float64(p.loads()-before) / float64(reads)
			}
			return s, err
		}}
	}
	t := Table{
		Title: "A miss and its fill, one goroutine", Base: pgxBase,
		Columns: []Column{
			{Metric: "µs", Head: "µs"},
			{Metric: "µs", Head: "ratio", Ratio: true},
			{Metric: "allocs", Head: "allocations", Bare: true},
			{Metric: "loads", Head: "queries a read", Bare: true},
		},
	}
	if t.Series, err = interleave(ctx, e.Rounds, runners); err != nil {
		return err
	}
	r.Notes = []string{"Every read is of a row that the peer has never read, loaded by the same SELECT: what a program pays when it only ever misses."}
	r.Tables = []Table{t}
	r.Charts = []Chart{{Title: "a miss and its fill, as a multiple of the SELECT alone", Metric: "µs", Ratio: true, Target: 2}}
	r.Checks = []Check{atMost("miss and fill, fenced", "pgx SELECT alone", "≤ 2.0×", t.of(ours, "µs", true), "×", 2)}
	return nil
}

// batch is 100 rows at once, all of them hits, and none.
func batch(ctx context.Context, e *env, r *Report) error {
	const size = 100
	all := make([]int, len(e.data.rows))
	for i := range all {
		all[i] = i
	}
	columns := []Column{
		{Metric: "µs", Head: "µs a batch"},
		{Metric: "µs", Head: "ratio", Ratio: true},
		{Metric: "allocs", Head: "allocations", Bare: true},
		{Metric: "loads", Head: "queries a batch", Bare: true},
	}
	measure := func(part, title string, prepare func(*peer, *cold) error, take func(*cold, int) (int, error), batches int) error {
		peers, closeAll, err := e.peers(ctx, part)
		if err != nil {
			return err
		}
		defer closeAll()
		runners := make([]runner, len(peers))
		for n, p := range peers {
			rows := &cold{end: len(all)}
			if err := prepare(p, rows); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			runners[n] = runner{p.name, p.gives, func(ctx context.Context) (sample, error) {
				from, err := take(rows, batches*size)
				if err != nil {
					return nil, err
				}
				before := p.loads()
				s, err := timeEach(batches, 1, func(i int) error {
					got, err := p.getMany(ctx, all[from+i*size:from+(i+1)*size])
					if err == nil && got != size {
						err = fmt.Errorf("%d rows of %d", got, size)
					}
					return err
				})
				if err == nil {
					s["loads"] = float64(p.loads()-before) / float64(batches)
				}
				return s, err
			}}
		}
		t := Table{Title: title, Base: pgxBase, Columns: columns}
		if t.Series, err = interleave(ctx, e.Rounds, runners); err != nil {
			return err
		}
		r.Tables = append(r.Tables, t)
		return nil
	}
	hits := func(p *peer, _ *cold) error {
		if p.name == "pgx, no cache" {
			return nil
		}
		for range 20 { // a fill may still be on its way
			before := p.loads()
			for from := 0; from+size <= len(all); from += size {
				if _, err := p.getMany(ctx, all[from:from+size]); err != nil {
					return err
				}
			}
			if p.loads() == before {
				return nil
			}
			time.Sleep(20 * time.Millisecond)
		}
		return fmt.Errorf("not every batch is a hit")
	}
	again := func(c *cold, n int) (int, error) {
		c.next = (c.next + n) % (c.end - n + 1) / size * size
		return c.next, nil
	}
	hitBatches := min(20, len(all)/size)
	if err := measure("batch-hits", "All hits", hits, again, pick(e.settings, hitBatches, 2)); err != nil {
		return err
	}
	if err := e.fresh(ctx); err != nil {
		return err
	}
	first := func(p *peer, c *cold) error { // connections, prepared statements, epochs
		from, err := c.take(size)
		if err == nil {
			_, err = p.getMany(ctx, all[from:from+size])
		}
		return err
	}
	missBatches := max(1, (len(all)/size-1)/e.Rounds)
	if err := measure("batch-misses", "All misses", first, (*cold).take, pick(e.settings, min(20, missBatches), 1)); err != nil {
		return err
	}
	r.Notes = []string{
		"100 rows in one call, beside one query for all of them (`id = ANY($1)`). Who has no batch reads one after the other: 100 queries.",
	}
	r.Charts = []Chart{
		{Title: "a batch of 100, all hits, as a multiple of one query", Table: 0, Metric: "µs", Ratio: true, Target: 0.3},
		{Title: "a batch of 100, all misses, as a multiple of one query", Table: 1, Metric: "µs", Ratio: true, Target: 1.5},
	}
	h, m := r.Tables[0], r.Tables[1]
	r.Checks = []Check{
		atMost("batch of 100, all hits", "pgx, one query", "≤ 0.30×", h.of(ours, "µs", true), "×", 0.30),
		both(atMost("batch of 100, all misses", "pgx, one query", "≤ 1.5×", m.of(ours, "µs", true), "×", 1.5),
			atMost("", "", "one query", m.of(ours, "loads", false), " queries", 1)),
	}
	return nil
}
