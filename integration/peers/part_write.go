package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// writes is an UPDATE of one row, on a Postgres whose commits are durable and on one whose commits are not.
func writes(ctx context.Context, e *env, r *Report) error {
	stable, err := fsyncTime(pick(e.settings, 200, 5))
	if err != nil {
		return err
	}
	server, pool, err := startPostgres(ctx, e.data, map[string]string{"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"})
	if err != nil {
		return err
	}
	defer server.Close()
	defer pool.Close()
	t, err := e.writesOn(ctx, "fsync on, synchronous_commit on", server.URL(), pool)
	if err != nil {
		return err
	}
	r.Tables = append(r.Tables, t)
	// The server of the other parts has it off; a database of its own, since rows are changed.
	url, drop, err := e.postgres.CreateDatabase(ctx, "write")
	if err != nil {
		return err
	}
	defer drop()
	loose, err := newPool(ctx, url, maxConns, nil)
	if err != nil {
		return err
	}
	defer loose.Close()
	if err := e.data.store(ctx, loose); err != nil {
		return err
	}
	if t, err = e.writesOn(ctx, "fsync off", url, loose); err != nil {
		return err
	}
	r.Tables = append(r.Tables, t)
	r.Notes = []string{
		"Round trips are counted at the sockets, those that the writer waits for and those that come after it has returned. " +
			"A stale read is one, in the writing process or in another, that shows something older than an acknowledged write.",
		fmt.Sprintf("A write of 8 KiB and its fsync take %s µs on the disk that the data are on.", stable),
	}
	t = r.Tables[0]
	extra := func(metric string) float64 {
		return t.of(ours, metric, false).median - t.of(pgxBase, metric, false).median
	}
	pg, rd, late := extra("turns"), extra("redis turns"), extra("late")
	counts := Check{
		Target:   "the writer waits for one extra round trip to Postgres and one to Redis",
		Measured: fmt.Sprintf("%s to Postgres, %s to Redis, and %s to Redis after it has returned", number(pg), number(rd-late), number(late)),
		Reached:  reached(pg <= 1 && rd-late <= 1),
	}
	r.Charts = []Chart{
		{Title: "a write where a commit is durable, as a multiple of the UPDATE alone", Table: 0, Metric: "µs", Ratio: true, Target: 1.4},
		{Title: "a write where it is not, as a multiple of the UPDATE alone", Table: 1, Metric: "µs", Ratio: true},
	}
	r.Checks = []Check{
		both(atMost("fenced write, one row, durable commit (an fsync: "+number(stable.median)+" µs)", "pgx UPDATE alone", "≤ 1.4×", t.of(ours, "µs", true), "×", 1.4), counts),
		{
			Work: "fenced write, one row, fsync off", Beside: "pgx UPDATE alone", Target: "none: a commit that is not durable costs next to nothing", Reached: noTarget,
			Measured: r.Tables[1].of(ours, "µs", true).String() + "×",
		},
	}
	return nil
}

func (e *env) writesOn(ctx context.Context, title, url string, pool *pgxpool.Pool) (Table, error) {
	t := Table{
		Title: title, Base: pgxBase,
		Columns: []Column{
			{Metric: "µs", Head: "µs"},
			{Metric: "µs", Head: "ratio", Ratio: true},
			{Metric: "allocs", Head: "allocations", Bare: true},
			{Metric: "turns", Head: "round trips to Postgres", Bare: true},
			{Metric: "redis turns", Head: "to Redis", Bare: true},
			{Metric: "late", Head: "of these after it", Bare: true},
			{Metric: "stale", Head: "stale reads", Bare: true},
		},
	}
	if err := e.fresh(ctx); err != nil {
		return t, err
	}
	n := pick(e.settings, 200, 10)
	var runners []runner
	for number, m := range makers() {
		if !slices.Contains(m.does, "write") {
			continue
		}
		w := e.world(number)
		w.pool = pool
		p, err := m.make(ctx, w)
		if err != nil {
			return t, fmt.Errorf("%s: %w", m.name, err)
		}
		defer p.close()
		runners = append(runners, runner{m.name, m.gives, func(ctx context.Context) (sample, error) {
			for i := range 20 { // connections, prepared statements
				if err := p.write(ctx, i, "before"); err != nil {
					return nil, err
				}
			}
			s, err := timeEach(n, 1, func(i int) error { return p.write(ctx, i%len(e.data.rows), "measured") })
			if err != nil {
				return nil, err
			}
			if err := countTurns(ctx, url, m, *w, s); err != nil {
				return nil, err
			}
			return s, staleReads(ctx, m, *w, pool, p, s)
		}})
	}
	var err error
	t.Series, err = interleave(ctx, e.Rounds, runners)
	return t, err
}

// countTurns counts the round trips of a write that is made alone.
func countTurns(ctx context.Context, url string, m maker, w world, s sample) error {
	var pg, rd turns
	pool, err := newPool(ctx, url, 1, &pg)
	if err != nil {
		return err
	}
	defer pool.Close()
	w.pool, w.counted = pool, &rd
	p, err := m.make(ctx, &w)
	if err != nil {
		return err
	}
	defer p.close()
	const n = 5
	var late int64
	for i := range n + 3 {
		if i == 3 { // connections, prepared statements, scripts and epochs are there by now
			time.Sleep(20 * time.Millisecond)
			pg.n.Store(0)
			rd.n.Store(0)
		}
		if err := p.write(ctx, i, "counted"); err != nil {
			return err
		}
		then := rd.n.Load()
		time.Sleep(20 * time.Millisecond)
		if i >= 3 {
			late += rd.n.Load() - then
		}
	}
	s["turns"], s["redis turns"], s["late"] = float64(pg.n.Load())/n, float64(rd.n.Load())/n, float64(late)/n
	return nil
}

// staleReads writes rows, and reads each at once where it was written and in another cache over the same servers.
func staleReads(ctx context.Context, m maker, w world, pool *pgxpool.Pool, p *peer, s sample) error {
	w.pool = pool
	other, err := m.make(ctx, &w)
	if err != nil {
		return err
	}
	defer other.close()
	stale := 0
	for i := range 20 {
		for _, reader := range []*peer{p, other} {
			if _, err := reader.get(ctx, i); err != nil {
				return err
			}
		}
		title := fmt.Sprint("title ", i)
		if err := p.write(ctx, i, title); err != nil {
			return err
		}
		for _, reader := range []*peer{p, other} {
			got, err := reader.get(ctx, i)
			if err != nil {
				return err
			}
			if got != title {
				stale++
			}
		}
	}
	s["stale"] = float64(stale)
	return nil
}

// fsyncTime is how long a write of 8 KiB takes to be on the disk, in µs.
func fsyncTime(n int) (stat, error) {
	f, err := os.CreateTemp("", "pgaside-fsync-")
	if err != nil {
		return stat{}, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	page := make([]byte, 8192)
	var times []float64
	for range n {
		start := time.Now()
		if _, err := f.WriteAt(page, 0); err != nil {
			return stat{}, err
		}
		if err := f.Sync(); err != nil {
			return stat{}, err
		}
		times = append(times, float64(time.Since(start).Nanoseconds())/1e3)
	}
	return statOf(times), nil
}
