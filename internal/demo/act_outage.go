package demo

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgaside/pgaside/cache"
)

// OutageAct is act (d).
type OutageAct struct {
	Header

	// Skipped says why the act was not played; then there are no phases.
	Skipped string  `json:"skipped,omitempty"`
	Phases  []Phase `json:"phases"`

	// Compared is how many entries were compared with Postgres at the end, one by one.
	Compared int `json:"compared_at_the_end"`
}

// Phase is a time between two events.
type Phase struct {
	Name         string  `json:"name"`
	Seconds      float64 `json:"seconds"`
	Reads        latency `json:"reads"`
	Writes       latency `json:"writes"`
	HitRate      float64 `json:"hit_rate"`
	FailedReads  int64   `json:"failed_reads"`
	FailedWrites int64   `json:"failed_writes"`
	StaleReads   int64   `json:"stale_reads"`
}

// outagePace is the pause of each worker between two operations: this act is about what happens to a running application,
// not about how much it can do.
const outagePace = 2 * time.Millisecond

// outageAct runs the workload while Redis is killed, comes back empty, is frozen, and goes on.
func outageAct(ctx context.Context, s *stage) (_ Act, err error) {
	act := &OutageAct{Phases: []Phase{}, Header: Header{
		Name: "outage",
		Proves: "No read fails because of Redis. The workload of act (a) goes on, at a steady pace and with 5 % writes, " +
			"while Redis is killed (kill -9), comes back empty, is frozen (SIGSTOP), and goes on (SIGCONT) with everything " +
			"that it held before the writes that it missed. After each outage the cache trusts nothing that is older, and fills " +
			"again.",
	}}
	if s.redis.PID() == 0 {
		act.Skipped = "the Redis in use was not started by the demo, which never stops or signals a server of somebody else"
		return act, nil
	}
	c, err := s.client(ctx, "d", cache.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = joinClose(err, c) }()
	trace := newTrace(s.data, s.Seed+1, 20_000, 0.05)
	if _, _, err := runTrace(ctx, s.truth, c.cached, trace, phaseLimit); err != nil {
		return nil, err
	}

	phases := []struct {
		name  string
		begin func() error
		lasts time.Duration
	}{
		{"before", func() error { return nil }, 2 * time.Second},
		{"killed", s.redis.Kill, 4 * time.Second},
		{"back, empty", func() error { return s.redis.Start(ctx) }, 4 * time.Second},
		{"frozen", s.redis.Freeze, 4 * time.Second},
		{"thawed", s.redis.Thaw, 4 * time.Second},
	}
	results := make([]measured, len(phases))
	reads := make([]int64, len(phases)) // that reached Postgres
	var (
		mu       sync.Mutex
		wg       sync.WaitGroup
		phase    atomic.Int64
		next     atomic.Int64
		working  context.Context
		stopWork context.CancelFunc
	)
	working, stopWork = context.WithCancel(ctx)
	defer stopWork()
	for range workers {
		wg.Go(func() {
			for working.Err() == nil {
				o := trace[int(next.Add(1)-1)%len(trace)]
				began := phase.Load()
				out := s.truth.do(ctx, c.cached, o)
				mu.Lock()
				results[belongsTo(began, phase.Load())].add(o, out)
				mu.Unlock()
				time.Sleep(outagePace)
			}
		})
	}
	err = func() error {
		for i, p := range phases {
			phase.Store(int64(i))
			if err := p.begin(); err != nil {
				return fmt.Errorf("phase %q: %w", p.name, err)
			}
			before, start := c.wire.counts(), time.Now()
			select {
			case <-time.After(p.lasts):
			case <-ctx.Done():
				return ctx.Err()
			}
			reads[i] = c.wire.counts().minus(before).Reads
			results[i].elapsed = time.Since(start)
		}
		return nil
	}()
	stopWork()
	if err != nil {
		_ = s.redis.Thaw() // it may be frozen, and would then hold up what is still running; or it may be gone
	}
	wg.Wait()
	if err != nil {
		return nil, err
	}
	for i := range phases {
		m := &results[i]
		p := Phase{
			Name: phases[i].name, Seconds: seconds(m.elapsed), Reads: m.reads.summary(), Writes: m.writes.summary(),
			HitRate:     max(0, 1-ratio(reads[i], int64(len(m.reads)))),
			FailedReads: m.failedReads, FailedWrites: m.failedWrites, StaleReads: m.staleReads,
		}
		if p.FailedWrites > 0 {
			return nil, fmt.Errorf("phase %q: %d writes failed, last: %w", p.Name, p.FailedWrites, m.firstError)
		}
		act.Phases = append(act.Phases, p)
		act.count(p.FailedReads, p.StaleReads)
		act.note(m.firstError)
	}

	// At rest, everything that the cache serves must be what Postgres has.
	seen := map[op]bool{}
	for _, o := range trace {
		if kinds[o.kind].write || seen[o] {
			continue
		}
		seen[o] = true
		if len(seen) > 2_000 {
			break
		}
		cached, err := s.truth.read(ctx, c.cached, o.kind, int(o.n))
		if err != nil {
			act.count(1, 0)
			act.note(err)
			continue
		}
		direct, err := s.truth.read(ctx, c.source, o.kind, int(o.n))
		if err != nil {
			return nil, fmt.Errorf("comparing with Postgres: %w", err)
		}
		act.Compared++
		if cached != direct {
			act.count(0, 1)
		}
	}
	return act, nil
}

// belongsTo says to which phase an operation belongs that began in one and ended in another: to the outage, since that is
// what it met. The outages are the phases with odd numbers.
func belongsTo(began, ended int64) int64 {
	if began%2 == 1 {
		return began
	}
	return ended
}

func (a *OutageAct) print(w io.Writer) {
	paragraph(w, "(d) Redis is killed, and then frozen", a.Proves)
	if a.Skipped != "" {
		fmt.Fprintf(w, "\n  Not played: %s.\n", a.Skipped)
		return
	}
	rows := [][]string{{"Redis", "reads", "p50", "p99", "slowest", "hit rate", "failed", "stale", "writes", "p50", "slowest", "failed"}}
	for _, p := range a.Phases {
		rows = append(rows, []string{
			p.Name, count(p.Reads.Count), ms(p.Reads.P50), ms(p.Reads.P99), ms(p.Reads.Max), percent(p.HitRate),
			count(p.FailedReads), count(p.StaleReads),
			count(p.Writes.Count), ms(p.Writes.P50), ms(p.Writes.Max), count(p.FailedWrites),
		})
	}
	printTable(w, rows...)
	a.printEnd(w, count(a.Compared)+" entries compared with Postgres at the end. ")
}
