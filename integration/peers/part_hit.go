package main

import (
	"context"
	"fmt"
	"time"
)

const (
	otterBase = "otter GetIfPresent, " + pointer
	getBase   = "go-redis GET, " + bytesOnly
	pipeBase  = "go-redis AutoPipeline, " + bytesOnly
	pgxBase   = "pgx, no cache, " + typed
	ours      = "pgaside, " + typed
	oursNear  = "pgaside near, " + typed
)

// filled makes the peers of a part, with every row in their caches.
func (e *env) filled(ctx context.Context, part string) (peers []*peer, closeAll func(), err error) {
	peers, closeAll, err = e.peers(ctx, part)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range peers {
		if p.name == "pgx, no cache" {
			continue
		}
		if err := p.fill(ctx, e.data); err != nil {
			closeAll()
			return nil, nil, err
		}
	}
	return peers, closeAll, nil
}

// reader reads rows in the order of the Zipf law, going on where the last round stopped.
func (e *env) reader(ctx context.Context, p *peer) func(i int) error {
	return func(i int) error {
		_, err := p.get(ctx, e.data.zipf[i%len(e.data.zipf)])
		return err
	}
}

// near is a hit in the process: one goroutine, and eight.
func near(ctx context.Context, e *env, r *Report) error {
	peers, closeAll, err := e.filled(ctx, "near")
	if err != nil {
		return err
	}
	defer closeAll()
	reads, window := pick(e.settings, 64*512, 64*4), pick(e.settings, 100*time.Millisecond, 5*time.Millisecond)
	runners := make([]runner, len(peers))
	for n, p := range peers {
		read := e.reader(ctx, p)
		runners[n] = runner{p.name, p.gives, func(context.Context) (sample, error) {
			before := p.loads()
			s, err := timeEach(reads, 64, read)
			if err != nil {
				return nil, err
			}
			rate, _, err := together(8, window, read)
			if err != nil {
				return nil, err
			}
			s["ns"], s["ns8"], s["loads"] = s["µs"]*1e3, 1e9/rate, float64(p.loads()-before)
			return s, nil
		}}
	}
	t := Table{
		Title: "A hit in the process", Base: otterBase,
		Columns: []Column{
			{Metric: "ns", Head: "ns, 1 goroutine"},
			{Metric: "ns", Head: "ratio", Ratio: true},
			{Metric: "ns8", Head: "ns, 8 goroutines"},
			{Metric: "ns8", Head: "ratio", Ratio: true},
			{Metric: "allocs", Head: "allocations", Bare: true},
			{Metric: "bytes", Head: "bytes", Bare: true},
			{Metric: "loads", Head: "queries at Postgres", Bare: true},
		},
	}
	if t.Series, err = interleave(ctx, e.Rounds, runners); err != nil {
		return err
	}
	r.Notes = []string{
		"Rows are read by a Zipf law, all of them from the memory of the process. Eight goroutines: the time of the wall, divided by all reads. " +
			"Who hands out a shared pointer neither copies nor decodes: a caller that changes the row changes the cache.",
	}
	r.Tables = []Table{t}
	r.Charts = []Chart{{Title: "ns for a hit in the process, one goroutine", Metric: "ns"}}
	work, beside := "near hit, typed value, 1 and 8 goroutines", "otter GetIfPresent, shared pointer"
	if _, ok := t.series(oursNear); !ok {
		r.Checks = []Check{{
			Work: work, Beside: beside, Target: "≤ 1.3×, 0 allocations for a row without pointers", Measured: "pgaside has no in-process tier in this run", Reached: notMeasured,
		}}
		return nil
	}
	r.Checks = []Check{both(
		both(atMost(work, beside, "≤ 1.3×", t.of(oursNear, "ns", true), "×", 1.3), atMost("", "", "≤ 1.3×", t.of(oursNear, "ns8", true), "×", 1.3)),
		atMost("", "", "0 allocations for a row without pointers", t.of(oursNear, "allocs", false), " allocations", 0.01),
	)}
	return nil
}

// hit is a hit in Redis from one goroutine.
func hit(ctx context.Context, e *env, r *Report) error {
	peers, closeAll, err := e.filled(ctx, "hit")
	if err != nil {
		return err
	}
	defer closeAll()
	reads := pick(e.settings, 1000, 20)
	runners := make([]runner, len(peers))
	for n, p := range peers {
		read := e.reader(ctx, p)
		runners[n] = runner{p.name, p.gives, func(context.Context) (sample, error) {
			before := p.loads()
			s, err := timeEach(reads, 1, read)
			if err == nil {
				s["loads"] = float64(p.loads() - before)
			}
			return s, err
		}}
	}
	t := Table{
		Title: "A hit in Redis, one goroutine", Base: getBase,
		Columns: []Column{
			{Metric: "µs", Head: "µs"},
			{Metric: "µs", Head: "ratio", Ratio: true},
			{Metric: "allocs", Head: "allocations", Bare: true},
			{Metric: "bytes", Head: "bytes", Bare: true},
			{Metric: "loads", Head: "queries at Postgres", Bare: true},
		},
	}
	if t.Series, err = interleave(ctx, e.Rounds, runners); err != nil {
		return err
	}
	r.Notes = []string{
		"Rows are read by a Zipf law. The key of each row is made beforehand for every peer but pgaside, which makes it in every read. " +
			"\"Bytes only\" decodes nothing: a program still has to.",
	}
	r.Tables = []Table{t}
	r.Charts = []Chart{{Title: "µs for a hit in Redis, one goroutine", Metric: "µs"}}
	r.Checks = []Check{atMost("Redis hit, one goroutine, decoded", "go-redis GET, bytes only", "≤ 1.10×", t.of(ours, "µs", true), "×", 1.10)}
	return nil
}

// throughput is hits in Redis from many goroutines, and what they cost the server.
func throughput(ctx context.Context, e *env, r *Report) error {
	peers, closeAll, err := e.filled(ctx, "throughput")
	if err != nil {
		return err
	}
	defer closeAll()
	window := pick(e.settings, 250*time.Millisecond, 5*time.Millisecond)
	for _, level := range []struct {
		goroutines int
		title      string
	}{{16, "16 goroutines"}, {64, "64 goroutines"}, {256, "256 goroutines"}} {
		runners := make([]runner, len(peers))
		for n, p := range peers {
			read := e.reader(ctx, p)
			if _, _, err := together(level.goroutines, window/4, read); err != nil { // connections
				return fmt.Errorf("%s: %w", p.name, err)
			}
			runners[n] = runner{p.name, p.gives, func(ctx context.Context) (sample, error) {
				loads := p.loads()
				server, err := e.redisCPU(ctx)
				if err != nil {
					return nil, err
				}
				client := cpuTime()
				rate, ops, err := together(level.goroutines, window, read)
				if err != nil {
					return nil, err
				}
				client = cpuTime() - client
				after, err := e.redisCPU(ctx)
				return sample{
					"k/s":    rate / 1e3,
					"server": float64((after - server).Nanoseconds()) / 1e3 / float64(ops),
					"client": float64(client.Nanoseconds()) / 1e3 / float64(ops),
					"loads":  float64(p.loads() - loads),
				}, err
			}}
		}
		t := Table{
			Title: level.title, Base: pipeBase,
			Columns: []Column{
				{Metric: "k/s", Head: "thousand reads/s"},
				{Metric: "k/s", Head: "ratio", Ratio: true},
				{Metric: "server", Head: "µs of redis-server a read"},
				{Metric: "client", Head: "µs of the program a read"},
				{Metric: "loads", Head: "queries at Postgres", Bare: true},
			},
		}
		if t.Series, err = interleave(ctx, e.Rounds, runners); err != nil {
			return err
		}
		r.Tables = append(r.Tables, t)
		r.Charts = append(r.Charts, Chart{Title: "thousand reads/s, " + level.title, Table: len(r.Tables) - 1, Metric: "k/s"})
		r.Checks = append(r.Checks, atLeast("Redis hits/s, "+level.title+", decoded", "go-redis AutoPipeline, bytes only", "≥ 0.7×",
			t.of(ours, "k/s", true), "×", 0.7))
	}
	t := r.Tables[1]
	r.Checks = append(r.Checks, atMost("CPU of redis-server per hit, 64 goroutines",
		"go-redis AutoPipeline, bytes only: "+t.of(pipeBase, "server", false).String()+" µs", "≤ 3 µs", t.of(ours, "server", false), " µs", 3))
	r.Notes = []string{
		"The program and redis-server share the cores. Who joins concurrent reads of one key into one (go-redis/cache, go-zero) " +
			"asks Redis less often than it is read. The processor time of redis-server is its own account (INFO cpu).",
	}
	return nil
}
