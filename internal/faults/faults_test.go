package faults

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	if MainWorker() {
		return
	}
	os.Exit(m.Run())
}

// lines is where a run tells what it does: to the test's log, as it happens.
type lines struct{ t *testing.T }

func (l lines) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimRight(string(b), "\n"))
	return len(b), nil
}

// TestFaults makes about half of the faults once, and a few pairs of them, each shorter than "make faults" does: no two that are
// much alike. PGASIDE_TEST_FOR makes it go on with pairs, PGASIDE_TEST_ONLY names faults, of all of them.
func TestFaults(t *testing.T) {
	o := Options{Worker: []string{os.Args[0]}, Each: time.Second, Pairs: 3, Calibrate: true, Short: true, Out: lines{t}}
	if s := os.Getenv("PGASIDE_TEST_FOR"); s != "" {
		var err error
		o.For, err = time.ParseDuration(s)
		require.NoError(t, err)
	}
	if s := os.Getenv("PGASIDE_TEST_ONLY"); s != "" {
		o.Only, o.Short = regexp.MustCompile(s), false
	}
	rep, err := Run(t.Context(), o)
	require.NoError(t, err)
	for _, total := range rep.Totals {
		require.Positive(t, total.Racing, total.Layer)
	}
}

// TestFindingsAreFound runs the faults with a program that breaks its promises, and demands that the run says so.
func TestFindingsAreFound(t *testing.T) {
	var out bytes.Buffer
	s := &stage{Options: Options{Worker: []string{os.Args[0]}, Each: 500 * time.Millisecond, Out: &out}, grids: map[topology]*grid{}}
	t.Cleanup(func() { require.NoError(t, s.close()) })
	ctx := t.Context()
	require.NoError(t, s.start(ctx))
	rep := &Report{begun: time.Now()}
	found := func(finding, name string, f fault) {
		f.name = name
		if f.run == nil {
			f.run = calm.run
		}
		var findings string
		for range 5 { // on a busy machine it may not bite
			require.NoError(t, s.run(ctx, rep, []*fault{&f}, []string{layerFenced}))
			if findings = strings.Join(rep.Scenarios[len(rep.Scenarios)-1].Findings, "\n"); strings.Contains(findings, finding) {
				return
			}
		}
		require.Contains(t, findings, finding, name)
	}

	// Redis lies: it gives back what it had forgotten.
	found("reads were stale", "an old value comes back", fault{run: func(ctx context.Context, s *scenario) error {
		rdb, key := s.grid.admin, s.config.Namespace+":fenced:{prompt:"+rowID(s.n, 0, 0).String()+"}"
		var old string
		return s.until(ctx, 50*time.Millisecond, func() error {
			if old == "" {
				if fenced, err := rdb.HExists(ctx, key, "!").Result(); err != nil || fenced {
					return err
				}
				old = rdb.Dump(ctx, key).Val()
				return nil
			}
			return rdb.RestoreReplace(ctx, key, time.Minute, old).Err()
		})
	}})

	// A write that was acknowledged, and is taken back.
	found("writes were lost", "taken back", fault{run: func(ctx context.Context, s *scenario) error {
		if err := sleep(ctx, s.length); err != nil {
			return err
		}
		_, err := s.stage.admin.Exec(ctx, "UPDATE therapy_prompts SET uses = 0 WHERE slug LIKE $1", fmt.Sprintf("%08x%%", s.n))
		return err
	}})

	// A fault that isn't one.
	found("nothing was broken", "no write fails", fault{writesFail: true})
	found("this shows nothing", "no error", fault{errors: 1})

	// Reads that fail while Postgres is up.
	found("reads failed", "reads fail", fault{writesFail: true, proxied: true, run: func(ctx context.Context, s *scenario) error {
		return s.until(ctx, 20*time.Millisecond, func() error {
			for _, p := range s.all() {
				p.pg.cut()
			}
			return nil
		})
	}})

	// A checker that sees nothing in the caches made by hand is blind.
	rep.judge(true)
	require.Contains(t, strings.Join(rep.Findings, "\n"), "the harness is blind")
}

func TestFaultsAreTold(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, n := range Names() {
		require.NotEmpty(t, n[1], n[0])
		require.False(t, seen[n[0]], "%s stands twice", n[0])
		seen[n[0]] = true
	}
}
