package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9/logging"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/audit"
)

// AuditOptions configure Audit.
type AuditOptions struct {
	// For is how long the workload runs before a row is changed behind the cache's back.
	//
	// Defaults to 10 s.
	For time.Duration

	// Seed decides the data and the operations.
	Seed uint64

	// JSON prints the result as one document to Out.
	JSON bool

	// Out receives the result, Log the progress.
	Out, Log io.Writer
}

// AuditResult is what Audit found.
type AuditResult struct {
	Clean   audit.Report `json:"clean"`   // while everything went through the cached queries
	Planted audit.Report `json:"planted"` // after a plain UPDATE
}

// Followed for 10 s, and not for a minute as in a program: somebody is waiting.
var auditScales = []time.Duration{time.Second, 10 * time.Second}

// Audit runs the model application's workload with an auditor, and then changes a row behind the cache's back. It returns
// ErrFindings when the auditor found something before that, and an error when it did not find it afterwards.
func Audit(ctx context.Context, o AuditOptions) (result *AuditResult, err error) {
	if o.For == 0 {
		o.For = 10 * time.Second
	}
	logging.Disable()
	s := &stage{Options: Options{Scale: 0.01, Seed: o.Seed, JSON: o.JSON, Out: o.Out, Log: o.Log}, data: newDataset(o.Seed, 0.01)}
	s.truth = newTruth(s.data)
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	defer func() { err = errors.Join(err, s.close()) }()

	result = &AuditResult{}
	run := func(part string, play func(c *client, a *audit.Auditor) error) (r audit.Report, err error) {
		a, err := audit.New(audit.Options{Rate: 200, Scales: auditScales, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return r, err
		}
		opts := patient
		opts.Auditor, opts.Logger = a, slog.New(slog.DiscardHandler)
		c, err := s.client(ctx, part, opts)
		if err != nil {
			return r, err
		}
		auditCtx, stop := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() { _ = a.Run(auditCtx) })
		defer func() {
			stop()
			wg.Wait()
			err = joinClose(err, c)
		}()
		err = play(c, a)
		return a.Report(), err
	}

	trace := newTrace(s.data, o.Seed, 1_000_000, 0.05)
	result.Clean, err = run("audit1", func(c *client, _ *audit.Auditor) error {
		m, _, err := runTrace(ctx, s.truth, c.cached, trace, o.For)
		if err == nil && m.firstError != nil {
			err = m.firstError
		}
		return err
	})
	if err != nil {
		return result, fmt.Errorf("running the workload: %w", err)
	}
	s.say("\nThe workload of the model application, all of it through the cached queries:")
	if !o.JSON {
		if err := result.Clean.Print(o.Out); err != nil {
			return result, err
		}
	}
	last := auditScales[len(auditScales)-1].String()
	result.Planted, err = run("audit2", func(c *client, a *audit.Auditor) error { return plant(ctx, s, c, a, last) })
	if err != nil {
		return result, fmt.Errorf("planting a stale cell: %w", err)
	}
	s.say("\nA row that was changed by a plain UPDATE, which the cache knows nothing of:")
	if o.JSON {
		e := json.NewEncoder(o.Out)
		e.SetIndent("", "  ")
		err = e.Encode(result)
	} else {
		err = result.Planted.Print(o.Out)
	}
	switch {
	case err != nil:
		return result, err
	case result.Clean.Stats.Stale > 0:
		return result, fmt.Errorf("%w: %d before anything was planted", ErrFindings, result.Clean.Stats.Stale)
	}
	return result, nil
}

// plant changes a session behind the cache's back, and reads it until the auditor has followed it to the last scale.
func plant(ctx context.Context, s *stage, c *client, a *audit.Auditor, last string) error {
	id := s.data.sessionID(0)
	reading, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	until := func(cond func() bool) error {
		for !cond() {
			if _, err := c.cached.GetSession(reading, id); err != nil {
				return err
			}
			if err := pause(reading, time.Millisecond); err != nil {
				return fmt.Errorf("the auditor saw nothing: %w", err)
			}
		}
		return nil
	}
	hits := func(st cache.Stats) uint64 { return st.Groups["session"].Queries["GetSession"].Hits }
	if err := until(func() bool { return hits(c.cache.Stats()) > 0 }); err != nil {
		return err
	}
	if _, err := c.pool.Exec(ctx, "update sessions set title = title || ' (changed elsewhere)' where id = $1", id); err != nil {
		return err
	}
	return until(func() bool { return a.Stats().StaleAt[last] > 0 })
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
