package integration

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cached"
	"github.com/pgaside/pgaside/repo"
)

const (
	soakWorkers = 32
	soakPause   = 15 * time.Millisecond // of a worker between two operations
	soakBooks   = 500
	soakWindows = 12 // and one before them to get warm
	soakConns   = 4
)

// TestSoak: a process under steady load does not grow. Workers read and write through the reference application's decorators
// over a Postgres pool of 4; rows come and go, entries expire, and in every window Redis is frozen for a while. Between the
// first and the last third of the time, heap, goroutines and connections are the same, and no operation fails or is stale.
// Latency is measured and printed; how fast a machine is, is no promise.
//
// PGASIDE_TEST_FOR is how long it takes (default: 15 s).
func TestSoak(t *testing.T) { // not parallel: it counts goroutines
	length := 15 * time.Second
	if s := os.Getenv("PGASIDE_TEST_FOR"); s != "" {
		var err error
		length, err = time.ParseDuration(s)
		require.NoError(t, err)
	}
	ctx := t.Context()
	w := newWorld(t, ownRedis())
	books := w.books(ctx, soakBooks)
	before := runtime.NumGoroutine()
	window := length / (soakWindows + 1)
	// Entries live for a part of a window, so that what they leave behind would add up.
	short := map[string]cache.GroupOptions{}
	for _, g := range []string{"session", "session_list", "message"} {
		short[g] = cache.GroupOptions{TTL: max(window/4, time.Second)}
	}
	l := w.loaded(soakConns, cache.Options{Groups: short})

	var stop atomic.Bool
	var wg sync.WaitGroup
	failed := &failures{}
	var clock atomic.Pointer[stopwatch]
	clock.Store(&stopwatch{})
	for i := range soakWorkers {
		r := rand.New(rand.NewPCG(uint64(i), 2))
		wg.Go(func() {
			for !stop.Load() {
				failed.add(soakStep(ctx, l.q, books, r, clock.Load()))
				time.Sleep(soakPause)
			}
		})
	}
	rows := make([]soakRow, 0, soakWindows)
	for i := range soakWindows + 1 {
		end := time.Now().Add(window)
		frozen, well := &stopwatch{}, &stopwatch{}
		clock.Store(frozen)
		require.NoError(t, w.redis.Freeze())
		time.Sleep(min(window/5, 2*time.Second))
		require.NoError(t, w.redis.Thaw())
		eventually(t, "the cache is in use again", func() bool {
			st := l.cache.Stats()
			return !st.BreakerOpen && st.Pending == 0
		})
		clock.Store(well)
		l.cache.ResetStats()
		row := soakRow{}
		for time.Now().Before(end) {
			row.look(ctx, w)
			time.Sleep(window / 20)
		}
		row.close(l, well, frozen)
		if i > 0 {
			rows = append(rows, row)
		}
	}
	stop.Store(true)
	wg.Wait()
	t.Logf("%v, windows of %v\n%s", length, window.Round(time.Millisecond), soakTable(rows))
	failed.none(t)
	require.Positive(t, rows[0].hits)

	require.Empty(t, grown("heap in bytes", rows, 4<<20, func(r soakRow) int { return r.heap }))
	require.Empty(t, grown("goroutines", rows, 16, func(r soakRow) int { return r.goroutines }))
	require.Empty(t, grown("connections to Redis", rows, 8, func(r soakRow) int { return r.redisConns }))
	require.Empty(t, grown("keys in Redis", rows, soakBooks, func(r soakRow) int { return r.keys }))
	require.Empty(t, grown("memory of Redis in bytes", rows, 4<<20, func(r soakRow) int { return r.redisMemory }))
	for _, r := range rows {
		require.LessOrEqual(t, r.pgConns, soakConns, "connections to Postgres")
	}
	for _, b := range books {
		require.NoError(t, b.read(ctx, l.q), "at rest")
	}
	l.close()
	noneLeft(t, before)
}

// soakStep is one operation of a worker. None of them leaves more rows behind than it has found.
func soakStep(ctx context.Context, q *cached.Queries, books []*book, r *rand.Rand, clock *stopwatch) error {
	b := books[min(r.IntN(len(books)), r.IntN(len(books)))] // the low ones are hotter
	read := func(f func() error) error { return clock.time(&clock.reads, f) }
	write := func(f func(context.Context) error) error {
		return clock.time(&clock.writes, func() error { return f(context.WithValue(ctx, writing{}, true)) })
	}
	switch n := r.IntN(100); {
	case n < 60:
		return read(func() error { return b.read(ctx, q) })
	case n < 70:
		return read(func() error { return readBooks(ctx, q, books[r.IntN(len(books)-5):][:5]) })
	case n < 80:
		return read(func() error {
			_, err := q.ListMessages(ctx, repo.ListMessagesParams{SessionID: b.id, PageSize: int32(1 + r.IntN(20))})
			return err
		})
	case n < 90:
		return read(func() error {
			got, err := q.CountSessions(ctx, b.user)
			if err == nil && got < booksOfOne {
				err = fmt.Errorf("%d sessions, want at least %d", got, booksOfOne)
			}
			return err
		})
	case n < 95:
		return write(func(ctx context.Context) error { return b.write(ctx, q) })
	case n < 98: // a message comes and goes
		var m repo.Message
		err := write(func(ctx context.Context) (err error) {
			m, err = q.CreateMessage(ctx, repo.CreateMessageParams{SessionID: b.id, UserID: b.user, Role: repo.MessageRoleClient, Content: "something"})
			return err
		})
		if err != nil {
			return err
		}
		if err := read(func() error {
			_, err := q.GetMessage(ctx, repo.GetMessageParams{SessionID: b.id, ID: m.ID})
			return err
		}); err != nil {
			return fmt.Errorf("a message that was written: %w", err)
		}
		return write(func(ctx context.Context) error {
			_, err := q.DeleteMessage(ctx, repo.DeleteMessageParams{SessionID: b.id, UserID: b.user, ID: m.ID})
			return err
		})
	default: // a session comes, is changed in a transaction, and goes: keys that nobody uses again
		var s repo.Session
		err := write(func(ctx context.Context) (err error) {
			s, err = q.CreateSession(ctx, repo.CreateSessionParams{UserID: b.user, Title: "0"})
			return err
		})
		if err != nil {
			return err
		}
		one := &book{id: s.ID, user: b.user}
		if err := read(func() error { return one.read(ctx, q) }); err != nil {
			return err
		}
		err = write(func(ctx context.Context) error {
			return q.InTx(ctx, pgx.TxOptions{}, func(q *cached.Queries) error { return one.write(ctx, q) })
		})
		if err != nil {
			return err
		}
		if err := read(func() error { return one.read(ctx, q) }); err != nil {
			return err
		}
		return write(func(ctx context.Context) error {
			_, err := q.DeleteSession(ctx, s.ID)
			return err
		})
	}
}

// soakRow is what was seen in a window. Counts are taken, and reads and writes timed, while Redis is well.
type soakRow struct {
	heap              int // after a collection at the end
	goroutines        int // the median
	pgConns           int // the most
	redisConns        int // the median: Redis may still hold what was closed while it was frozen
	keys, redisMemory int // the most
	hits              float64
	reads, writes     timings
	frozen            timings // of reads

	seenGoroutines, seenConns []int
}

func (r *soakRow) look(ctx context.Context, w *world) {
	w.t.Helper()
	r.seenGoroutines = append(r.seenGoroutines, runtime.NumGoroutine())
	var pg int
	require.NoError(w.t, admin.QueryRow(ctx, "select count(*) from pg_stat_activity where application_name = $1", loadName).Scan(&pg))
	r.pgConns = max(r.pgConns, pg)
	clients, err := w.rdb.ClientList(ctx).Result()
	require.NoError(w.t, err)
	r.seenConns = append(r.seenConns, strings.Count(clients, " name="+loadName+" "))
	keys, err := w.rdb.DBSize(ctx).Result()
	require.NoError(w.t, err)
	r.keys = max(r.keys, int(keys))
	memory, err := w.rdb.InfoMap(ctx, "memory").Result()
	require.NoError(w.t, err)
	var used int
	_, err = fmt.Sscan(memory["Memory"]["used_memory"], &used)
	require.NoError(w.t, err)
	r.redisMemory = max(r.redisMemory, used)
}

func (r *soakRow) close(l *loaded, well, frozen *stopwatch) {
	r.hits = l.cache.Stats().Total().HitRate()
	r.reads, r.writes, r.frozen = well.reads.summary(), well.writes.summary(), frozen.reads.summary()
	r.goroutines, r.redisConns = median(r.seenGoroutines), median(r.seenConns)
	runtime.GC()
	runtime.GC() // what finalizers have freed
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	r.heap = int(m.HeapAlloc)
}

func soakTable(rows []soakRow) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%7s  %10s %6s %6s  %13s  %30s  %29s  %28s\n", "heap", "goroutines", "conns:", "", "in Redis", "reads", "writes", "reads while Redis is frozen")
	fmt.Fprintf(&out, "%7s  %10s %6s %6s  %6s %6s  %7s %6s %7s %7s  %7s %9s %11s  %7s %9s %10s\n",
		"MB", "", "PG", "Redis", "keys", "MB", "n", "hits", "p50 ms", "p99 ms", "n", "p50 ms", "p99 ms", "n", "p50 ms", "p99 ms")
	for _, r := range rows {
		fmt.Fprintf(&out, "%7.1f  %10d %6d %6d  %6d %6.1f  %7d %4.0f %% %7.2f %7.2f  %7d %9.2f %11.2f  %7d %9.2f %10.2f\n",
			float64(r.heap)/1e6, r.goroutines, r.pgConns, r.redisConns, r.keys, float64(r.redisMemory)/1e6,
			r.reads.n, 100*r.hits, r.reads.p50, r.reads.p99, r.writes.n, r.writes.p50, r.writes.p99, r.frozen.n, r.frozen.p50, r.frozen.p99)
	}
	return out.String()
}

func median(values []int) int {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// grown tells what has grown: when the median of the last third of the windows is above that of the first by more than a
// quarter and some. "" when nothing has.
func grown(what string, rows []soakRow, some int, of func(soakRow) int) string {
	middle := func(rows []soakRow) int {
		var values []int
		for _, r := range rows {
			values = append(values, of(r))
		}
		return median(values)
	}
	third := len(rows) / 3
	first, last := middle(rows[:third]), middle(rows[len(rows)-third:])
	if last <= first+first/4+some {
		return ""
	}
	return fmt.Sprintf("%s: %d in the first third, %d in the last", what, first, last)
}

// TestGrowthIsSeen: one goroutine more in every tenth of a window is found.
func TestGrowthIsSeen(t *testing.T) {
	t.Parallel()
	rows := make([]soakRow, soakWindows)
	for i := range rows {
		rows[i].goroutines = 100
	}
	goroutines := func(r soakRow) int { return r.goroutines }
	require.Empty(t, grown("goroutines", rows, 16, goroutines))
	for i := range rows {
		rows[i].goroutines += 10 * i
	}
	require.Equal(t, "goroutines: 120 in the first third, 200 in the last", grown("goroutines", rows, 16, goroutines))
}

// stopwatch sorts durations into classes that grow by a tenth, so that it takes no more memory the longer it runs.
type stopwatch struct{ reads, writes histogram }

func (s *stopwatch) time(h *histogram, f func() error) error {
	began := time.Now()
	err := f()
	h.add(time.Since(began))
	return err
}

type histogram [256]atomic.Int64

const histogramBase = 1.1

func (h *histogram) add(d time.Duration) {
	class := int(math.Log(float64(max(d, time.Microsecond)/time.Microsecond)) / math.Log(histogramBase))
	h[min(class, len(h)-1)].Add(1)
}

// timings are in ms, to a tenth of their value.
type timings struct {
	n        int64
	p50, p99 float64
}

func (h *histogram) summary() timings {
	var t timings
	for i := range h {
		t.n += h[i].Load()
	}
	quantile := func(q float64) float64 {
		var sum int64
		for i := range h {
			if sum += h[i].Load(); float64(sum) >= q*float64(t.n) {
				return math.Pow(histogramBase, float64(i+1)) / 1000
			}
		}
		return 0
	}
	t.p50, t.p99 = quantile(0.5), quantile(0.99)
	return t
}
