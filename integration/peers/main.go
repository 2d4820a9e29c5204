// Command peers measures pgaside beside other ways of reading the same row, interleaved in one run on real servers that it
// starts, and writes what it has measured, tables and charts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"time"
)

// part is one part of the run.
type part struct {
	name, title string
	run         func(context.Context, *env, *Report) error
}

var parts = []part{
	{"near", "A hit in the process", near},
	{"hit", "A hit in Redis, one goroutine", hit},
	{"throughput", "Hits in Redis, many goroutines", throughput},
	{"miss", "A miss and its fill", miss},
	{"batch", "A batch of 100", batch},
	{"herd", "A herd: four processes, one cold key", herd},
	{"memory", "Memory in Redis", memory},
	{"write", "A write of one row", writes},
	{"frozen", "A read while Redis is frozen", frozen},
}

func main() {
	if url := os.Getenv(herdRole); url != "" {
		os.Exit(herdProcess())
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run() error {
	out := flag.String("out", "", "folder for the files; none are written without it")
	which := flag.String("part", ".", "regular expression: the parts to run")
	rounds := flag.Int("rounds", 9, "rounds of each cell")
	quick := flag.Bool("quick", false, "each cell once, for a moment: shows that it works")
	commit := flag.String("commit", "", "the commit that is measured, for the report")
	flag.Parse()
	re, err := regexp.Compile(*which)
	if err != nil {
		return fmt.Errorf("--part: %w", err)
	}
	if *rounds < 1 {
		return fmt.Errorf("--rounds must be at least 1, got %d", *rounds)
	}
	s := settings{Rounds: *rounds, Rows: 10_000}
	if *quick {
		s = quickSettings
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	reports, err := measure(ctx, s, re, machine(*commit))
	for _, r := range reports {
		fmt.Print(strings.TrimPrefix(r.markdown(), generated))
		if *out != "" { // what was measured is kept, even if a later part has failed
			err = errors.Join(err, write(*out, r))
		}
	}
	if *out != "" {
		err = errors.Join(err, render(*out))
	}
	return err
}

// quickSettings show that everything works, and what can be counted.
var quickSettings = settings{Rounds: 1, Rows: 400, Quick: true}

// measure runs the parts whose names match.
func measure(ctx context.Context, s settings, which *regexp.Regexp, m Run) (reports []*Report, err error) {
	e, err := newEnv(ctx, s)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := e.close(); err == nil {
			err = closeErr
		}
	}()
	versions, err := e.versions(ctx)
	if err != nil {
		return nil, err
	}
	m.Versions = append(m.Versions, versions...)
	if m.JSONBytes, err = e.data.jsonSize(); err != nil {
		return nil, err
	}
	for _, p := range parts {
		if !which.MatchString(p.name) {
			continue
		}
		if err := e.fresh(ctx); err != nil {
			return reports, err
		}
		start := time.Now()
		r := &Report{Part: p.name, Title: p.title, Run: m}
		if err := p.run(ctx, e, r); err != nil {
			return reports, fmt.Errorf("%s: %w", p.name, err)
		}
		r.Run.At, r.Run.Took = time.Now().UTC().Truncate(time.Minute), time.Since(start).Round(time.Second).String()
		r.Run.Rounds, r.Run.Rows, r.Run.Load = s.Rounds, s.Rows, load()
		reports = append(reports, r)
		fmt.Fprintf(os.Stderr, "%s: %s\n", p.name, r.Run.Took)
	}
	return reports, nil
}

// versions are those of the servers.
func (e *env) versions(ctx context.Context) ([]string, error) {
	var pg string
	if err := e.pool.QueryRow(ctx, "show server_version").Scan(&pg); err != nil {
		return nil, err
	}
	info, err := e.control.Info(ctx, "server").Result()
	if err != nil {
		return nil, err
	}
	out := []string{"PostgreSQL " + strings.Fields(pg)[0]}
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "redis_version:"); ok {
			out = append(out, "Redis "+v)
		}
	}
	return out, nil
}
