// Package demo is the command "pgaside demo": five acts on a real Postgres and a real Redis, each of which shows one
// promise and counts what would break it. Nothing that it prints is fixed in advance.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/pgaside/pgaside/internal/servers"
)

// Options configure a run.
type Options struct {
	// Scale is the size of the seeded database: at 1 about 20,000 users, 100,000 sessions and 1,000,000 messages.
	//
	// Defaults to 1.
	Scale float64

	// Seed decides the seeded rows and the operations of the workload.
	Seed uint64

	// JSON prints one document to Out at the end, and what a person would read to Log.
	JSON bool

	// Verbose shows on Log what the cache logs: outages are part of the demo, and it warns of each.
	Verbose bool

	// Out receives the result, Log the progress. Terminal says that Log is a terminal, on which a progress bar can move.
	Out, Log io.Writer
	Terminal bool

	// Operations is how many operations act (a) measures with 5 % writes; with 1 % it measures half as many.
	//
	// Defaults to 120,000.
	Operations int

	// Peer is the command line, without the program's name, that makes this program call Peer.
	Peer []string
}

// ErrFindings is returned by Run when a read failed, or returned a value older than a finished write.
var ErrFindings = errors.New("the demo found failed or stale reads")

// Result is the document that --json prints.
type Result struct {
	Acts   []Act  `json:"acts"`
	Totals Totals `json:"totals"`
}

// Totals sum up a run.
type Totals struct {
	// HitRate is the share of the reads of act (a) at 5 % writes that needed nothing from Postgres, from 0 to 1.
	HitRate float64 `json:"hit_rate"`

	// DBQueriesSaved is the share of the queries of act (a) at 5 % writes, reads and writes, that no longer reached Postgres,
	// from 0 to 1.
	DBQueriesSaved float64 `json:"db_queries_saved"`

	// FailedReads and StaleReads are counts over all acts. A stale read returned something older than a write that had
	// returned before the read began.
	FailedReads int64 `json:"failed_reads"`
	StaleReads  int64 `json:"stale_reads"`
}

// Act is what one act found.
type Act interface {
	header() *Header
	print(w io.Writer)
}

// Header is the part that all acts have.
type Header struct {
	Name        string  `json:"name"`
	Proves      string  `json:"proves"`
	Seconds     float64 `json:"seconds"`
	FailedReads int64   `json:"failed_reads"`
	StaleReads  int64   `json:"stale_reads"`

	// FirstError is what the first failed read said.
	FirstError string `json:"first_error,omitempty"`
}

func (h *Header) header() *Header { return h }

// count adds what was seen of some reads.
func (h *Header) count(failed, stale int64) {
	h.FailedReads += failed
	h.StaleReads += stale
}

// note keeps the first error of a read.
func (h *Header) note(err error) {
	if err != nil && h.FirstError == "" {
		h.FirstError = err.Error()
	}
}

// printEnd prints the last line of an act.
func (h *Header) printEnd(w io.Writer, before string) {
	fmt.Fprintf(w, "\n  %s%d failed reads, %d stale reads.\n", before, h.FailedReads, h.StaleReads)
	if h.FirstError != "" {
		fmt.Fprintf(w, "  The first failure: %s\n", h.FirstError)
	}
}

// stage is where the acts play: the servers and the seeded database.
type stage struct {
	Options
	data     *dataset
	truth    *truth
	postgres *servers.Postgres
	redis    *servers.Redis
}

// say prints a line for people.
func (s *stage) say(format string, args ...any) {
	w := s.Out
	if s.JSON {
		w = s.Log
	}
	fmt.Fprintf(w, format+"\n", args...)
}

// Run plays all acts. It starts the servers that it needs and ends them before it returns. The result is complete if the
// error is nil or ErrFindings.
func Run(ctx context.Context, o Options) (result *Result, err error) {
	if o.Scale == 0 {
		o.Scale = 1
	}
	if o.Scale < 0.001 || o.Scale > 10 {
		return nil, fmt.Errorf("scale %v: want 0.001 to 10", o.Scale)
	}
	if o.Operations == 0 {
		o.Operations = 120_000
	}
	logging.Disable() // go-redis prints what act (d) is about
	if !o.Verbose {
		quiet := slog.Default()
		slog.SetDefault(slog.New(slog.DiscardHandler))
		defer slog.SetDefault(quiet)
	}
	began := time.Now()
	s := &stage{Options: o, data: newDataset(o.Seed, o.Scale)}
	s.truth = newTruth(s.data)
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	defer func() { err = errors.Join(err, s.close()) }()

	result = &Result{}
	for i, play := range []func(context.Context, *stage) (Act, error){workloadAct, twoProcessesAct, raceAct, outageAct, crashAct} {
		start := time.Now()
		act, err := play(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("act (%c): %w", 'a'+i, err)
		}
		h := act.header()
		h.Seconds = seconds(time.Since(start))
		result.Acts = append(result.Acts, act)
		result.Totals.FailedReads += h.FailedReads
		result.Totals.StaleReads += h.StaleReads
		if w, ok := act.(*WorkloadAct); ok {
			result.Totals.HitRate, result.Totals.DBQueriesSaved = w.Mixes[0].HitRate, w.Mixes[0].QueriesSaved
		}
		if !o.JSON {
			act.print(o.Out)
		}
	}
	t := result.Totals
	s.say("\nOver all acts: %d failed reads, %d stale reads. %.0f s in all.", t.FailedReads, t.StaleReads, time.Since(began).Seconds())
	if o.JSON {
		e := json.NewEncoder(o.Out)
		e.SetIndent("", "  ")
		if err := e.Encode(result); err != nil {
			return result, fmt.Errorf("writing the result: %w", err)
		}
	}
	return result, t.verdict()
}

// verdict is ErrFindings unless every read was right.
func (t Totals) verdict() error {
	if t.FailedReads > 0 || t.StaleReads > 0 {
		return fmt.Errorf("%w: %d failed, %d stale", ErrFindings, t.FailedReads, t.StaleReads)
	}
	return nil
}

// start brings up the servers and fills the database.
func (s *stage) start(ctx context.Context) (err error) {
	settings := map[string]string{"shared_buffers": "256MB", "max_wal_size": "4GB"}
	if os.Getenv(servers.EnvDatabaseURL) != "" {
		settings = nil // not ours to tune
	}
	if s.postgres, err = servers.StartPostgres(ctx, servers.PostgresOptions{Settings: settings}); err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	if s.redis, err = servers.StartRedis(ctx, servers.RedisOptions{}); err != nil {
		return fmt.Errorf("starting Redis: %w", err)
	}
	conn, err := pgx.Connect(ctx, s.postgres.URL())
	if err != nil {
		return fmt.Errorf("connecting to PostgreSQL: %w", err)
	}
	version := conn.PgConn().ParameterStatus("server_version")
	if err := conn.Close(ctx); err != nil {
		return fmt.Errorf("closing the first connection: %w", err)
	}
	redisVersion, err := s.redisVersion(ctx)
	if err != nil {
		return err
	}
	s.say("PostgreSQL %s and Redis %s, %d CPUs, scale %v, seed %d.", version, redisVersion, runtime.NumCPU(), s.Scale, s.Seed)
	s.say("Loading %d users, %d sessions, %d messages by COPY.", s.data.users, s.data.sessions(), s.data.messages())
	return prepareDatabase(ctx, s.postgres.URL(), s.data, &progress{w: s.Log, terminal: s.Terminal})
}

// redisVersion asks Redis which one it is.
func (s *stage) redisVersion(ctx context.Context) (_ string, err error) {
	options, err := redis.ParseURL(s.redis.URL())
	if err != nil {
		return "", fmt.Errorf("reading the Redis URL: %w", err)
	}
	rdb := redis.NewClient(options)
	defer func() { err = errors.Join(err, rdb.Close()) }()
	info, err := rdb.Info(ctx, "server").Result()
	if err != nil {
		return "", fmt.Errorf("asking Redis for its version: %w", err)
	}
	for line := range strings.Lines(info) {
		if version, ok := strings.CutPrefix(line, "redis_version:"); ok {
			return strings.TrimSpace(version), nil
		}
	}
	return "of an unknown version", nil
}

// close ends what start began.
func (s *stage) close() error {
	var errs []error
	if s.redis != nil {
		errs = append(errs, s.redis.Close())
	}
	if s.postgres != nil {
		errs = append(errs, s.postgres.Close())
	}
	return errors.Join(errs...)
}

func seconds(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond)) / float64(time.Second)
}
