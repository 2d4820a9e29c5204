package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	herdRole      = "PGASIDE_PEERS_HERD" // the Redis URL, in a process of the herd
	herdPostgres  = "PGASIDE_PEERS_POSTGRES"
	herdRows      = "PGASIDE_PEERS_ROWS"
	herdPatience  = "PGASIDE_PEERS_PATIENCE"
	herdProcesses = 4
	herdReaders   = 100
	herdConns     = 40 // of a process' pool
	herdLoad      = 50 * time.Millisecond
)

// herd is 4 processes with 100 goroutines each that want one cold row at the same moment. The row comes from a view that sleeps
// for 50 ms, so that every peer's own query is slow.
func herd(ctx context.Context, e *env, r *Report) error {
	db, drop, err := e.postgres.CreateDatabase(ctx, "herd")
	if err != nil {
		return err
	}
	defer drop()
	pool, err := newPool(ctx, db, 4, nil)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := e.data.store(ctx, pool); err != nil {
		return err
	}
	_, err = pool.Exec(ctx, fmt.Sprintf(`alter table items rename to stored;
		create view items as select * from stored where pg_sleep(%g)::text is not null`, herdLoad.Seconds()))
	if err != nil {
		return fmt.Errorf("making the rows slow: %w", err)
	}
	var herd []*herdChild
	defer func() {
		for _, c := range herd {
			c.close()
		}
	}()
	for range herdProcesses {
		c, err := startHerdChild(db, e.redis.URL(), len(e.data.rows), pick(e.settings, 0, patience))
		if err != nil {
			return err
		}
		herd = append(herd, c)
	}
	var runners []runner
	src := (&world{data: e.data, pool: pool}).source()
	if _, err := src.one(ctx, 0); err != nil { // the connection, and the prepared statement
		return err
	}
	for n, m := range makers() {
		if !slices.Contains(m.does, "herd") {
			continue
		}
		row := 1 // 0 is read beforehand, for the connections
		for _, c := range herd {
			if _, err := c.ask("warm %d", n); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
		}
		runners = append(runners, runner{m.name, m.gives, func(ctx context.Context) (sample, error) {
			start := time.Now()
			if _, err := src.one(ctx, row); err != nil {
				return nil, err
			}
			alone := float64(time.Since(start).Microseconds()) / 1e3
			for _, c := range herd {
				if err := c.send("herd %d %d", n, row); err != nil {
					return nil, err
				}
			}
			row++
			s := sample{"alone": alone}
			for _, c := range herd {
				answer, err := c.line()
				if err != nil {
					return nil, err
				}
				var loads, failed, p50, slowest float64
				if _, err := fmt.Sscan(answer, &loads, &failed, &p50, &slowest); err != nil {
					return nil, fmt.Errorf("a process of the herd says %q", answer)
				}
				s["loads"] += loads
				s["failed"] += failed
				s["p50"] = max(s["p50"], p50)
				s["slowest"] = max(s["slowest"], slowest)
			}
			s["over"] = s["slowest"] - alone
			return s, nil
		}})
	}
	t := Table{
		Title: "4 processes, 100 readers each, one cold row",
		Columns: []Column{
			{Metric: "loads", Head: "loads"},
			{Metric: "failed", Head: "failed reads", Bare: true},
			{Metric: "p50", Head: "ms, median reader"},
			{Metric: "slowest", Head: "ms, slowest reader"},
			{Metric: "over", Head: "ms over the load"},
		},
	}
	if t.Series, err = interleave(ctx, e.Rounds, runners); err != nil {
		return err
	}
	r.Tables = []Table{t}
	r.Charts = []Chart{{Title: "loads of one cold row, 400 readers", Metric: "loads"}}
	r.Notes = []string{
		fmt.Sprintf("The load sleeps for %d ms in Postgres (pg_sleep). Its time is that of the query alone, made just before. "+
			"Each process has a pool of %d connections, for which readers that all load have to queue.", herdLoad.Milliseconds(), herdConns),
	}
	r.Checks = []Check{both(
		atMost("herd: 4 processes × 100 readers of one cold key", "one load", "1 load", t.of(ours, "loads", false), " loads", 1),
		atMost("", "", "slowest reader ≤ load + 10 ms", t.of(ours, "over", false), " ms over the load", 10),
	)}
	return nil
}

// herdChild is another process of this program, told what to do by lines on its standard input.
type herdChild struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func startHerdChild(db, redisURL string, rows int, patience time.Duration) (*herdChild, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), herdRole+"="+redisURL, herdPostgres+"="+db, herdRows+"="+strconv.Itoa(rows), herdPatience+"="+patience.String())
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &herdChild{cmd, in, bufio.NewScanner(out)}, nil
}

func (c *herdChild) send(format string, args ...any) error {
	_, err := fmt.Fprintf(c.in, format+"\n", args...)
	return err
}

func (c *herdChild) line() (string, error) {
	if !c.out.Scan() {
		return "", errors.Join(errors.New("a process of the herd has ended"), c.out.Err())
	}
	if why, ok := strings.CutPrefix(c.out.Text(), "error "); ok {
		return "", errors.New(why)
	}
	return c.out.Text(), nil
}

func (c *herdChild) ask(format string, args ...any) (string, error) {
	if err := c.send(format, args...); err != nil {
		return "", err
	}
	return c.line()
}

func (c *herdChild) close() {
	_ = c.in.Close()
	_ = c.cmd.Wait()
}

// herdProcess is the other side.
func herdProcess() int {
	ctx := context.Background()
	err := func() error {
		rows, err := strconv.Atoi(os.Getenv(herdRows))
		if err != nil {
			return err
		}
		patience, err := time.ParseDuration(os.Getenv(herdPatience))
		if err != nil {
			return err
		}
		pool, err := newPool(ctx, os.Getenv(herdPostgres), herdConns, nil)
		if err != nil {
			return err
		}
		defer pool.Close()
		d := newDataset(rows)
		peers := make(map[int]*peer)
		for s := bufio.NewScanner(os.Stdin); s.Scan(); {
			var verb string
			var n, row int
			_, _ = fmt.Sscan(s.Text(), &verb, &n, &row) // "warm" has no row
			p := peers[n]
			if p == nil {
				w := &world{data: d, redisURL: os.Getenv(herdRole), pool: pool, keys: d.keys(strconv.Itoa(n)), prefix: strconv.Itoa(n), patience: patience}
				if p, err = makers()[n].make(ctx, w); err != nil {
					return err
				}
				defer p.close()
				peers[n] = p
			}
			before := p.loads()
			times, failed := p.stampede(ctx, row)
			fmt.Println(p.loads()-before, failed, times[len(times)/2], times[len(times)-1])
		}
		return nil
	}()
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	return 0
}

// stampede reads one row from many goroutines that are let go together, and returns their times in ms, sorted.
func (p *peer) stampede(ctx context.Context, row int) (times []float64, failed int64) {
	times = make([]float64, herdReaders)
	var bad atomic.Int64
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for n := range times {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			began := time.Now()
			if _, err := p.get(ctx, row); err != nil {
				bad.Add(1)
			}
			times[n] = float64(time.Since(began).Microseconds()) / 1e3
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	slices.Sort(times)
	return times, bad.Load()
}
