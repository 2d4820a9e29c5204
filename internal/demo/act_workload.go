package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/pgaside/pgaside/cache"
)

// WorkloadAct is act (a).
type WorkloadAct struct {
	Header
	Workers int   `json:"workers"`
	Mixes   []Mix `json:"mixes"`
}

// Mix is one share of writes.
type Mix struct {
	Writes       float64       `json:"writes"`
	Operations   int           `json:"operations"` // through the cache; fewer than straight if time ran out
	WarmUp       int           `json:"warm_up"`
	HitRate      float64       `json:"hit_rate"`       // share of the reads that needed no query of Postgres
	IdealHitRate float64       `json:"ideal_hit_rate"` // the same, of an ideal cache with the same invalidations
	QueriesSaved float64       `json:"queries_saved"`  // share of all queries that no longer reached Postgres
	Source       WorkloadRun   `json:"source"`
	Cached       WorkloadRun   `json:"cached"`
	Types        []TypeHitRate `json:"types"`

	firstError error
}

// WorkloadRun is one way of running a mix.
type WorkloadRun struct {
	Seconds      float64    `json:"seconds"`
	Reads        latency    `json:"reads"`
	Writes       latency    `json:"writes"`
	Wire         wireCounts `json:"postgres"` // what was sent to Postgres
	FailedReads  int64      `json:"failed_reads"`
	FailedWrites int64      `json:"failed_writes"`
	StaleReads   int64      `json:"stale_reads"`
}

// TypeHitRate is one of the eight types of data.
type TypeHitRate struct {
	Type         string  `json:"type"`
	Reads        uint64  `json:"reads"`
	HitRate      float64 `json:"hit_rate"`
	IdealHitRate float64 `json:"ideal_hit_rate"`
}

const (
	// phaseLimit bounds each phase at 5 % writes, so that a slow machine does less and not longer.
	phaseLimit = 15 * time.Second

	// sourceWarmUp is how many of the operations that warm the cache also run on Postgres alone, for its own caches.
	sourceWarmUp      = 10_000
	sourceWarmUpLimit = 4 * time.Second
)

// workloadAct runs one trace straight on Postgres and then through the cache, for two shares of writes.
func workloadAct(ctx context.Context, s *stage) (Act, error) {
	act := &WorkloadAct{Workers: workers, Header: Header{
		Name: "workload",
		Proves: fmt.Sprintf("The same operations, straight on Postgres and then through the generated decorators. People are "+
			"drawn by a Zipf law (exponent %.2f, over %d people who are active at the time), for reads and writes alike, and all "+
			"eight types of data take part. Every read is checked against what ", zipfExponent, s.data.activeUsers()) +
			"the writes before it left. The cache is warm when the counting begins; the bound is what a cache without limits, " +
			"delays or failures would reach with the same invalidations.",
	}}
	for _, mix := range []struct {
		writes     float64
		operations int
		limit      time.Duration
	}{{0.05, s.Operations, phaseLimit}, {0.01, s.Operations / 2, phaseLimit / 2}} {
		m, err := runMix(ctx, s, mix.writes, mix.operations, mix.limit)
		if err != nil {
			return nil, fmt.Errorf("at %v writes: %w", mix.writes, err)
		}
		act.Mixes = append(act.Mixes, m)
		act.count(m.Source.FailedReads+m.Cached.FailedReads, m.Source.StaleReads+m.Cached.StaleReads)
		act.note(m.firstError)
	}
	return act, nil
}

func runMix(ctx context.Context, s *stage, writes float64, operations int, limit time.Duration) (mix Mix, err error) {
	mix = Mix{Writes: writes, WarmUp: operations * 5 / 6}
	trace := newTrace(s.data, s.Seed, mix.WarmUp+operations, writes)
	warmUp := trace[:mix.WarmUp]

	c, err := s.client(ctx, fmt.Sprintf("a%g", 100*writes), cache.Options{})
	if err != nil {
		return mix, err
	}
	defer func() { err = joinClose(err, c) }()

	if _, _, err := runTrace(ctx, s.truth, c.source, warmUp[max(0, len(warmUp)-sourceWarmUp):], sourceWarmUpLimit); err != nil {
		return mix, err
	}
	before := c.wire.counts()
	m, done, err := runTrace(ctx, s.truth, c.source, trace[mix.WarmUp:], limit)
	if err != nil {
		return mix, err
	}
	if mix.Source, err = newWorkloadRun(m, c.wire.counts().minus(before)); err != nil {
		return mix, err
	}
	mix.firstError = m.firstError

	_, warmed, err := runTrace(ctx, s.truth, c.cached, warmUp, limit)
	if err != nil {
		return mix, err
	}
	// On a slow machine the warm-up may be cut short; what counts then begins where it ended.
	measured := trace[warmed:][:min(done, len(trace)-warmed)]
	c.cache.ResetStats()
	before = c.wire.counts()
	m, done, err = runTrace(ctx, s.truth, c.cached, measured, limit)
	if err != nil {
		return mix, err
	}
	mix.WarmUp, mix.Operations, mix.firstError = warmed, done, errors.Join(mix.firstError, m.firstError)
	if mix.Cached, err = newWorkloadRun(m, c.wire.counts().minus(before)); err != nil {
		return mix, err
	}

	mix.HitRate = 1 - ratio(mix.Cached.Wire.Reads, int64(mix.Cached.Reads.Count))
	perOperation := func(r WorkloadRun) float64 {
		return ratio(r.Wire.queries(), int64(r.Reads.Count+r.Writes.Count))
	}
	if straight := perOperation(mix.Source); straight > 0 {
		mix.QueriesSaved = 1 - perOperation(mix.Cached)/straight
	}
	ideal := idealHits(s.data, trace[:warmed+done], warmed)
	mix.IdealHitRate = ideal.rate()
	mix.Types = typeHitRates(c.cache.Stats(), ideal)
	return mix, nil
}

// newWorkloadRun sums up a phase. A failed write ends the demo: nothing in this act may make one fail.
func newWorkloadRun(m measured, wire wireCounts) (WorkloadRun, error) {
	r := WorkloadRun{
		Seconds: seconds(m.elapsed), Reads: m.reads.summary(), Writes: m.writes.summary(), Wire: wire,
		FailedReads: m.failedReads, FailedWrites: m.failedWrites, StaleReads: m.staleReads,
	}
	if m.failedWrites > 0 {
		return r, fmt.Errorf("%d writes failed, first: %w", m.failedWrites, m.firstError)
	}
	return r, nil
}

// typeHitRates sets the cache's own counts beside those of the ideal.
func typeHitRates(stats cache.Stats, ideal idealResult) []TypeHitRate {
	typeOf := map[string]string{}
	for _, k := range kinds {
		typeOf[k.query] = k.typ
	}
	sum := map[string]cache.QueryStats{}
	for _, g := range stats.Groups {
		for query, q := range g.Queries {
			t := sum[typeOf[query]]
			t.Hits += q.Hits
			t.Negatives += q.Negatives
			t.Shared += q.Shared
			t.Misses += q.Misses
			t.Bypasses += q.Bypasses
			sum[typeOf[query]] = t
		}
	}
	var rates []TypeHitRate
	for _, t := range types {
		rates = append(rates, TypeHitRate{t, sum[t].Reads(), sum[t].HitRate(), ratio(ideal.hits[t], ideal.reads[t])})
	}
	return rates
}

func (a *WorkloadAct) print(w io.Writer) {
	paragraph(w, "(a) The same workload, straight on Postgres and through the cache", a.Proves)
	for _, m := range a.Mixes {
		fmt.Fprintf(
			w, "\n  %g %% writes, %d workers, after %s operations that warm the cache\n", 100*m.Writes, a.Workers, count(m.WarmUp),
		)
		row := func(name string, r WorkloadRun) []string {
			n := r.Reads.Count + r.Writes.Count
			return []string{
				name, count(n), ms(r.Reads.P50), ms(r.Reads.P99), ms(r.Writes.P50), ms(r.Writes.P99), count(int64(float64(n) / max(r.Seconds, 1e-9))),
				count(r.Wire.queries()), count(r.Wire.queries() + r.Wire.Others), count(r.Wire.RoundTrips),
			}
		}
		saved := func(of func(wireCounts) int64) string {
			a := ratio(of(m.Source.Wire), int64(m.Source.Reads.Count+m.Source.Writes.Count))
			b := ratio(of(m.Cached.Wire), int64(m.Cached.Reads.Count+m.Cached.Writes.Count))
			if a == 0 {
				return ""
			}
			return percent(b/a - 1)
		}
		printTable(
			w,
			[]string{"", "operations", "read p50", "p99", "write p50", "p99", "ops/s", "queries at Postgres", "all statements", "round trips"},
			row("straight", m.Source),
			row("cached", m.Cached),
			[]string{
				"", "", "", "", "", "", "", saved(wireCounts.queries),
				saved(func(c wireCounts) int64 { return c.queries() + c.Others }), saved(func(c wireCounts) int64 { return c.RoundTrips }),
			},
		)
		rows := [][]string{{"type", "reads", "hit rate", "ideal"}}
		for _, t := range m.Types {
			rows = append(rows, []string{t.Type, count(t.Reads), percent(t.HitRate), percent(t.IdealHitRate)})
		}
		rows = append(rows, []string{"all", count(m.Cached.Reads.Count), percent(m.HitRate), percent(m.IdealHitRate)})
		printTable(w, rows...)
	}
	fmt.Fprint(w, `
  Both servers are on this machine and hold everything in memory, so that a read costs about the same from either. What
  counts is what Postgres no longer has to do. A cached write is a transaction (BEGIN, the statement, its transaction
  number, the guard, COMMIT) in two round trips with the fence between them.
`)
	a.printEnd(w, "")
}
