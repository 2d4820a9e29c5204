package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9/logging"

	"github.com/pgaside/pgaside/internal/migrate"
	"github.com/pgaside/pgaside/internal/servers"
)

// ErrFindings is returned when a promise was broken, or when the harness is blind.
var ErrFindings = errors.New("a promise was broken")

// Options say what [Run] does.
type Options struct {
	// Worker is the command line that runs [Worker], the program's own path first.
	Worker []string

	// For is how long it goes on at least: when every fault has been made once, pairs of them are, in random order.
	//
	// Defaults to 0: every fault once.
	For time.Duration

	// Each is how long one fault lasts, about.
	//
	// Defaults to 3 s.
	Each time.Duration

	// Pairs is how many pairs are made at least.
	//
	// Defaults to 0.
	Pairs int

	// Seed decides the pairs and the choices within a fault. What the processes make of it can't be repeated.
	//
	// Defaults to a random one.
	Seed uint64

	// Short leaves out the faults that are much like another.
	Short bool

	// Only are the faults whose names match it.
	//
	// Defaults to all of them.
	Only *regexp.Regexp

	// Calibrate also runs caches that are made by hand, which must be caught.
	Calibrate bool

	// Out receives a line for each scenario when it has ended, and the tables at the end.
	//
	// Defaults to nowhere.
	Out io.Writer
}

// stage keeps what scenarios share.
type stage struct {
	Options
	postgres *servers.Postgres
	admin    *pgxpool.Pool
	grids    map[topology]*grid
	n        uint32 // scenarios so far
}

// Run makes faults befall a program, and reports what came of it. It starts the servers that it needs and ends them before it
// returns. The report is complete if the error is nil or ErrFindings.
func Run(ctx context.Context, o Options) (rep *Report, err error) {
	if !supported {
		return nil, errors.New("faults need a system with SIGSTOP: Linux, macOS or a BSD")
	}
	if o.Each == 0 {
		o.Each = 3 * time.Second
	}
	if o.Each < 500*time.Millisecond {
		return nil, fmt.Errorf("each fault lasts %s: want at least 500ms", o.Each)
	}
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	chosen := choose(list(), o)
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no fault's name matches %q", o.Only)
	}
	logging.Disable() // go-redis prints what this is about
	quiet := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	defer slog.SetDefault(quiet)

	s := &stage{Options: o, grids: map[topology]*grid{}}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	rep = &Report{Seed: o.Seed, begun: time.Now()}
	fmt.Fprintf(o.Out, "seed %d\n", o.Seed)
	if o.Calibrate {
		for range 5 { // on a busy machine a race may not come about in the time of one fault
			if err := s.run(ctx, rep, []*fault{calm}, handMade); err != nil {
				return nil, err
			}
			if len(rep.unseen()) == 0 {
				break
			}
		}
	}
	for _, on := range []topology{single, pgbouncer, sentinel, cluster} { // a change of topology costs seconds
		for _, f := range chosen {
			if f.on == on {
				if err := s.run(ctx, rep, []*fault{f}, ourLayers); err != nil {
					return nil, err
				}
			}
		}
	}
	pairs := pairsOf(chosen)
	r := rand.New(rand.NewPCG(o.Seed, 0))
	r.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	for n := 0; n < o.Pairs && len(pairs) > 0 || time.Since(rep.begun) < o.For; n++ {
		next := []*fault{chosen[n%len(chosen)]}
		if len(pairs) > 0 {
			next = pairs[n%len(pairs)]
		}
		if err := s.run(ctx, rep, next, ourLayers); err != nil {
			return nil, err
		}
	}
	rep.Took = time.Since(rep.begun)
	rep.judge(o.Calibrate)
	rep.print(o.Out)
	if len(rep.Findings) > 0 {
		return rep, fmt.Errorf("%w: %d findings", ErrFindings, len(rep.Findings))
	}
	return rep, nil
}

func choose(all []*fault, o Options) (out []*fault) {
	for _, f := range all {
		if (o.Only == nil || o.Only.MatchString(f.name)) && (f.short || !o.Short) {
			out = append(out, f)
		}
	}
	return out
}

// pairsOf are all pairs of faults that can be made at the same time.
func pairsOf(faults []*fault) (out [][]*fault) {
	for i, a := range faults {
		for _, b := range faults[i+1:] {
			if !a.alone && !b.alone && a.on == b.on && (a.befalls == "" || a.befalls != b.befalls) {
				out = append(out, []*fault{a, b})
			}
		}
	}
	return out
}

// Names are those of all faults, each with its sentence.
func Names() (out [][2]string) {
	for _, f := range list() {
		out = append(out, [2]string{f.name, f.what})
	}
	return out
}

func (s *stage) run(ctx context.Context, rep *Report, faults []*fault, layers []string) error {
	var res *Result
	for try := 1; ; try++ { // a fault that did not bite, on a machine that was busy elsewhere, is made again
		s.n++
		sc := &scenario{stage: s, n: s.n, faults: faults, layers: layers, length: s.Each}
		var err error
		if res, err = sc.play(ctx); err != nil {
			err = fmt.Errorf("scenario %q (seed %d): %w", sc.name(), s.Seed, err)
			if try == 3 || ctx.Err() != nil {
				return err
			}
			fmt.Fprintln(s.Out, "made again:", err)
			continue
		}
		if res.nothing == "" || len(res.Findings) > 0 {
			break
		}
		if try == 3 {
			res.Findings = append(res.Findings, res.nothing)
			break
		}
	}
	rep.add(res)
	res.printLine(s.Out)
	return nil
}

func (s *stage) start(ctx context.Context) (err error) {
	s.postgres, err = servers.StartPostgres(ctx, servers.PostgresOptions{Own: true, Settings: map[string]string{"deadlock_timeout": "50ms"}})
	if err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	if err := migrate.To(s.postgres.URL(), 0); err != nil {
		return err
	}
	cfg, err := pgxpool.ParseConfig(s.postgres.URL())
	if err != nil {
		return fmt.Errorf("reading the address of Postgres: %w", err)
	}
	// What is set here must not wait for a standby that isn't there.
	cfg.ConnConfig.RuntimeParams["synchronous_commit"] = "local"
	if s.admin, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return fmt.Errorf("connecting to Postgres: %w", err)
	}
	return nil
}

func (s *stage) close() error {
	var errs []error
	if s.admin != nil {
		s.admin.Close()
	}
	for _, g := range s.grids {
		errs = append(errs, g.close())
	}
	if s.postgres != nil {
		errs = append(errs, s.postgres.Close())
	}
	return errors.Join(errs...)
}

// MainWorker runs [Worker] on the standard input and output if this process was started as one, and reports whether it was.
// A test binary calls it first.
func MainWorker() bool {
	if os.Getenv(workerEnv) == "" {
		return false
	}
	if err := Worker(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}
