package main

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// sample is what one round of one contender gives, by metric.
type sample map[string]float64

// runner is one contender of a table: a name, what its reads give, and one round of it.
type runner struct {
	name, gives string
	run         func(context.Context) (sample, error)
}

// interleave runs all contenders in each round, starting with another one each time, so that whatever else the machine does
// falls on all of them.
func interleave(ctx context.Context, rounds int, rs []runner) ([]Series, error) {
	out := make([]Series, len(rs))
	for i, r := range rs {
		out[i] = Series{Name: r.name, Gives: r.gives, Rounds: make(map[string][]float64)}
	}
	for round := range rounds {
		for i := range rs {
			n := (i + round) % len(rs)
			s, err := rs[n].run(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", rs[n].name, err)
			}
			for metric, v := range s {
				out[n].Rounds[metric] = append(out[n].Rounds[metric], v)
			}
		}
	}
	return out, nil
}

// timeEach runs op n times in one goroutine. The time is the median operation, or the median chunk of operations where one is
// too short for the clock, in µs: a moment without the processor does not move it. Allocations, bytes and processor time (µs) are
// means over the whole process, background goroutines included.
func timeEach(n, chunk int, op func(i int) error) (sample, error) {
	times := make([]time.Duration, 0, n/chunk)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	cpu := cpuTime()
	for i := 0; i+chunk <= n; i += chunk {
		start := time.Now()
		for j := range chunk {
			if err := op(i + j); err != nil {
				return nil, err
			}
		}
		times = append(times, time.Since(start))
	}
	cpu = cpuTime() - cpu
	runtime.ReadMemStats(&after)
	slices.Sort(times)
	ops := float64(len(times) * chunk)
	return sample{
		"cpu":    float64(cpu.Nanoseconds()) / 1e3 / ops,
		"µs":     float64(times[len(times)/2].Nanoseconds()) / 1e3 / float64(chunk),
		"allocs": float64(after.Mallocs-before.Mallocs) / ops,
		"bytes":  float64(after.TotalAlloc-before.TotalAlloc) / ops,
	}, nil
}

// together runs op in g goroutines for a time, each with numbers of its own, and returns the operations per second.
func together(g int, d time.Duration, op func(i int) error) (rate float64, ops int64, err error) {
	var total atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	runtime.GC()
	start := time.Now()
	for n := range g {
		wg.Go(func() {
			i, done := n*7919, int64(0)
			for ; done == 0 || done%16 != 0 || time.Since(start) < d; done++ {
				if err := op(i); err != nil {
					failed.Store(&err)
					return
				}
				i++
			}
			total.Add(done)
		})
	}
	wg.Wait()
	took := time.Since(start)
	if e := failed.Load(); e != nil {
		return 0, 0, *e
	}
	return float64(total.Load()) / took.Seconds(), total.Load(), nil
}

// redisCPU is the processor time that the Redis server has used.
func (e *env) redisCPU(ctx context.Context) (time.Duration, error) {
	info, err := e.control.Info(ctx, "cpu").Result()
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_sys" || name == "used_cpu_user" {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return 0, fmt.Errorf("reading INFO cpu: %w", err)
			}
			sum += v
		}
	}
	return time.Duration(sum * float64(time.Second)), nil
}

// turns counts round trips: how often a side that has read begins to write.
type turns struct{ n atomic.Int64 }

func (t *turns) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &turnConn{Conn: c, turns: t}, nil
}

type turnConn struct {
	net.Conn
	turns   *turns
	writing atomic.Bool
}

func (c *turnConn) Write(b []byte) (int, error) {
	if !c.writing.Swap(true) {
		c.turns.n.Add(1)
	}
	return c.Conn.Write(b)
}

func (c *turnConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.writing.Store(false)
	}
	return n, err
}
