package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/audit"
	"github.com/pgaside/pgaside/cache/cachetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errNoRows = errors.New("no rows in result set")

type user struct {
	ID   int64
	Name string
}

var (
	users     = cache.NewGroup[int64]("users", cache.GroupOptions{TTL: time.Hour})
	getUser   = cache.NewQuery[user]("GetUser", "0123456789ab", cache.QueryOptions{NoRows: errNoRows})
	listUsers = cache.NewQuery[[]user]("ListUsers", "ba9876543210", cache.QueryOptions{})
)

const (
	secret    = "zebra-secret-zebra"
	user1Key  = "pgaside:{users:1}"
	userField = "GetUser.0123456789ab"
)

// world is a source, a store, and a cache that is audited.
type world struct {
	t       *testing.T
	store   *cachetest.Store
	auditor *audit.Auditor
	c       *cache.Cache
	log     *logBuffer

	mu    sync.Mutex
	rows  map[int64]string
	asked map[string]int
	load  func(ctx context.Context) error // runs in each load, after it has looked
	found []audit.Finding
	audit.NopObserver
}

// logBuffer is written by the auditor while the test reads it.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (w *world) Found(f audit.Finding) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.found = append(w.found, f)
}

// bubble runs a test in a bubble of testing/synctest with an auditor that runs. Time passes only when everybody waits.
func bubble(t *testing.T, o audit.Options, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)))
		w := &world{t: t, store: cachetest.NewStore(nil), rows: make(map[int64]string), asked: make(map[string]int), log: new(logBuffer)}
		w.store.Before = func(_ context.Context, op string, _ []string) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.asked[op]++
			return nil
		}
		if o.Rate == 0 {
			o.Rate = 1000
		}
		o.Observer, o.Logger = w, slog.New(slog.NewTextHandler(w.log, nil))
		var err error
		if w.auditor, err = audit.New(o); err != nil {
			t.Fatal(err)
		}
		w.c = w.process()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.auditor.Run(ctx) }()
		f(t, w)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if w.auditor.Wants() {
			t.Error("an auditor that does not run wants something")
		}
	})
}

func (w *world) process() *cache.Cache {
	c, err := cache.NewWithStore(w.store, cache.Options{Auditor: w.auditor, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	return c
}

// put changes a row behind the cache's back.
func (w *world) put(id int64, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rows[id] = name
}

func (w *world) loading(f func(ctx context.Context) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.load = f
}

func (w *world) source(ctx context.Context, id int64) (user, error) {
	w.mu.Lock()
	name, ok := w.rows[id]
	f := w.load
	w.mu.Unlock()
	if f != nil {
		if err := f(ctx); err != nil {
			return user{}, err
		}
	}
	if !ok {
		return user{}, errNoRows
	}
	return user{id, name}, ctx.Err()
}

func (w *world) readFrom(c *cache.Cache, id int64) (string, error) {
	u, err := cache.Read(w.t.Context(), c, users.Key(id), getUser.Cell(), func(ctx context.Context) (user, error) { return w.source(ctx, id) })
	return u.Name, err
}

func (w *world) read(id int64) string {
	name, err := w.readFrom(w.c, id)
	synctest.Wait()
	if err != nil {
		return err.Error()
	}
	return name
}

func (w *world) write(id int64, name string) {
	err := w.c.Write(w.t.Context(), []cache.Key{users.Key(id)}, func(context.Context) (cache.Outcome, error) {
		w.put(id, name)
		return cache.Committed, nil
	})
	if err != nil {
		w.t.Error(err)
	}
}

// hits reads until n more checks were made.
func (w *world) hits(n uint64, read func()) {
	w.t.Helper()
	for want := w.auditor.Stats().Checks + n; w.auditor.Stats().Checks < want; {
		read()
		time.Sleep(time.Millisecond)
		synctest.Wait()
	}
}

func (w *world) wantStats(want audit.Stats) {
	w.t.Helper()
	got := w.auditor.Stats()
	got.StaleAt, want.StaleAt = nil, nil
	if fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Errorf("got %+v, want %+v", got, want)
	}
}

func (w *world) labels() string {
	var out []string
	for _, f := range w.auditor.Report().Findings {
		out = append(out, fmt.Sprint(f.Scale, " ", f.State))
	}
	return strings.Join(out, ", ")
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// A row is changed behind the cache's back: the cell is found, at each scale, and reported.
func TestPlantedCellIsFound(t *testing.T) {
	t.Parallel()
	bubble(t, audit.Options{}, func(t *testing.T, w *world) {
		w.put(1, secret+" old")
		w.read(1)
		w.hits(3, func() { w.read(1) })
		w.wantStats(audit.Stats{Checks: 3, Fresh: 3})
		w.put(1, secret+" new")
		w.hits(1, func() { equal(t, "readers get", w.read(1), secret+" old") })
		w.wantStats(audit.Stats{Checks: 4, Fresh: 3, Stale: 1, Open: 1})
		equal(t, "labels", w.labels(), "0s open")
		w.hits(2, func() { w.read(1) }) // the same cell: no finding of its own
		w.wantStats(audit.Stats{Checks: 6, Fresh: 3, Stale: 3, Open: 1})
		equal(t, "labels", w.labels(), "0s open")
		equal(t, "times", w.auditor.Report().Findings[0].Times, 3)
		equal(t, "log", w.log.String(), "")
		time.Sleep(61 * time.Second)
		synctest.Wait()
		equal(t, "labels", w.labels(), "1m0s stale")
		equal(t, "at", fmt.Sprint(w.auditor.Stats().StaleAt), "map[0s:1 10s:1 1m0s:1 1s:1]")
		var told []string
		for _, f := range w.found {
			told = append(told, f.Scale.String())
			equal(t, "group and query", f.Group+" "+f.Query, "users GetUser")
			equal(t, "key", f.Key+f.Field, "")
		}
		equal(t, "told", strings.Join(told, " "), "0s 1s 10s 1m0s")
		equal(t, "log lines", strings.Count(w.log.String(), "a stale cell"), 2) // at 1 s, and 10 s or more later
		for _, word := range []string{secret, user1Key} {
			if strings.Contains(w.log.String(), word) {
				t.Errorf("the log says %s", word)
			}
		}
	})
}

// An old value is written as a valid cell, as a Redis that is restored from a file would have it.
func TestRevivedCellIsFound(t *testing.T) {
	t.Parallel()
	bubble(t, audit.Options{ShowCells: true}, func(t *testing.T, w *world) {
		w.put(1, "old")
		w.read(1)
		old := w.store.Cell(user1Key, userField)
		w.write(1, "new")
		synctest.Wait()
		equal(t, "read", w.read(1), "new")
		w.hits(1, func() { w.read(1) })
		w.store.SetCell(user1Key, userField, old)
		w.hits(1, func() { equal(t, "readers get", w.read(1), "old") })
		time.Sleep(5 * time.Second)
		w.write(1, "newer")
		time.Sleep(time.Minute)
		synctest.Wait()
		equal(t, "labels", w.labels(), "1s gone")
		f := w.auditor.Report().Findings[0]
		equal(t, "cell", f.Key+" "+f.Field, user1Key+" "+userField)
		if !f.Filled.Before(f.Found) || f.Filled.Before(f.Found.Add(-time.Minute)) || f.Seen.Before(f.Found) {
			t.Errorf("%+v", f)
		}
	})
}

// A cached "no row" whose row was inserted, a cached row that was deleted, and a batch.
func TestRowsThatCameAndWent(t *testing.T) {
	t.Parallel()
	bubble(t, audit.Options{}, func(t *testing.T, w *world) {
		w.read(1)
		w.hits(1, func() { w.read(1) })
		w.wantStats(audit.Stats{Checks: 1, Fresh: 1})
		w.put(1, "a")
		w.hits(1, func() { equal(t, "readers get", w.read(1), errNoRows.Error()) })
		w.wantStats(audit.Stats{Checks: 2, Fresh: 1, Stale: 1, Open: 1})
		w.put(2, "b")
		w.read(2)
		delete(w.rows, 2)
		w.hits(1, func() { w.read(2) })
		w.wantStats(audit.Stats{Checks: 3, Fresh: 1, Stale: 2, Open: 2})

		batch := func() {
			_, err := cache.ReadMany(t.Context(), w.c, []int64{3, 4}, users.Key, listUsers.Cell(), func(u user) int64 { return u.ID },
				func(ctx context.Context, missing []int64) (rows []user, err error) {
					for _, id := range missing {
						if u, err := w.source(ctx, id); err == nil {
							rows = append(rows, u)
						}
					}
					return rows, nil
				})
			if err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		w.put(3, "c")
		batch()
		w.hits(2, batch)
		w.wantStats(audit.Stats{Checks: 5, Fresh: 3, Stale: 2, Open: 2})
		w.put(4, "d")
		w.hits(20, batch) // one of the two, at random
		if w.auditor.Stats().Stale < 3 || w.auditor.Stats().Fresh < 4 {
			t.Errorf("%+v", w.auditor.Stats())
		}
	})
}

// A write comes between the load and the second look: no finding, whatever the load has seen.
func TestWriteDuringACheck(t *testing.T) {
	t.Parallel()
	bubble(t, audit.Options{}, func(t *testing.T, w *world) {
		w.put(1, "old")
		w.read(1)
		// Behind the cache's back first, so that only the second look can save it.
		w.loading(func(context.Context) error {
			w.loading(nil)
			w.write(1, "new")
			name, err := w.readFrom(w.c, 1)
			equal(t, "another reader", name, "new")
			return err
		})
		w.put(1, "other")
		w.hits(1, func() { w.read(1) })
		w.wantStats(audit.Stats{Checks: 1, Moved: 1})
	})
}

// What can't be compared is no finding.
func TestNoVerdict(t *testing.T) {
	t.Parallel()
	bubble(t, audit.Options{Ignore: []string{"Ignored"}}, func(t *testing.T, w *world) {
		want := audit.Stats{}
		check := func(name string, count *uint64, read func()) {
			t.Helper()
			w.hits(1, read)
			want.Checks++
			*count++
			got := w.auditor.Stats()
			got.StaleAt = nil
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: got %+v, want %+v", name, got, want)
			}
		}
		w.put(1, "a")
		w.read(1)
		read := func() { w.read(1) }

		w.loading(func(context.Context) error { return errors.New("boom") })
		check("the source fails", &want.Failed, read)
		w.loading(func(context.Context) error { panic("boom") })
		check("the load panics", &want.Failed, read)
		w.loading(func(context.Context) error { runtime.Goexit(); return nil })
		check("the load ends its goroutine", &want.Failed, read)
		w.put(1, "b")
		w.loading(func(ctx context.Context) error { cache.NoFill(ctx); return nil })
		check("the load is not the primary's", &want.Unsteady, read)
		var n atomic.Int64
		w.loading(func(context.Context) error { w.put(1, fmt.Sprint(n.Add(1))); return nil })
		check("the source changes its mind", &want.Unsteady, read)
		w.loading(nil)

		// The group is voided by another process. This one still trusts its epoch for a moment.
		other, err := cache.NewWithStore(w.store, cache.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		w.put(1, "a")
		read()
		w.put(1, "c")
		if err := other.InvalidateGroup(t.Context(), users); err != nil {
			t.Fatal(err)
		}
		check("another epoch", &want.Moved, func() { equal(t, "within two seconds", w.read(1), "a") })

		time.Sleep(3 * time.Second)
		read()
		list := []user{{1, "a"}, {2, "b"}, {3, "c"}}
		q := cache.NewQuery[[]user]("AnyOrder", "0", cache.QueryOptions{})
		anyOrder := func() {
			_, err := cache.Read(t.Context(), w.c, users.Key(9), q.Cell(), func(context.Context) ([]user, error) {
				rows := append([]user(nil), list...)
				rand.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
				return rows, nil
			})
			if err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		anyOrder()
		before := w.auditor.Stats()
		w.hits(50, anyOrder)
		after := w.auditor.Stats()
		if after.Stale != before.Stale || after.Reordered == before.Reordered || after.Unsteady != before.Unsteady {
			t.Errorf("any order: %+v", after)
		}
		list[1].Name = "changed"
		w.hits(1, anyOrder)
		equal(t, "a list without order that is stale", w.auditor.Stats().Stale, before.Stale+1)

		// NaN is equal to nothing, and is not stored by JSON at all: no hit, no check.
		f := cache.NewQuery[float64]("NaN", "0", cache.QueryOptions{})
		_, _ = cache.Read(t.Context(), w.c, users.Key(8), f.Cell(), func(context.Context) (float64, error) { return math.NaN(), nil })

		// What must not be looked at, or is not to be: both would be found stale.
		skipped := w.auditor.Stats().Skipped
		ignored := cache.NewQuery[string]("Ignored", "0", cache.QueryOptions{})
		now := "old"
		load := func(context.Context) (string, error) { return now, nil }
		buffers := cache.NewGroup[[]byte]("buffers", cache.GroupOptions{})
		text := cache.NewQuery[string]("Text", "0", cache.QueryOptions{})
		for range 100 {
			_, _ = cache.Read(t.Context(), w.c, users.Key(7), ignored.Cell(), load)
			_, _ = cache.Read(t.Context(), w.c, users.Key(7), text.Cell([]byte("buffer")), load)
			_, _ = cache.Read(t.Context(), w.c, buffers.Key([]byte("buffer")), text.Cell(), load)
			time.Sleep(time.Millisecond)
			synctest.Wait()
			now = "new"
		}
		if w.auditor.Stats().Skipped < skipped+10 {
			t.Error("nothing was skipped")
		}
		equal(t, "stale", w.auditor.Stats().Stale, before.Stale+1)
	})
}

// While Redis is away there is nothing to say, and the auditor does not ask it when the readers don't.
func TestAuditWithoutRedis(t *testing.T) {
	t.Parallel()
	bubble(t, audit.Options{Scales: []time.Duration{time.Second, 2 * time.Second}}, func(t *testing.T, w *world) {
		w.put(1, "old")
		w.read(1)
		w.put(1, "new")
		w.hits(1, func() { w.read(1) })
		w.store.Before = func(_ context.Context, op string, _ []string) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.asked[op]++
			return cachetest.ErrDown
		}
		for range 20 {
			w.read(1)
		}
		w.mu.Lock()
		gets := w.asked["get"]
		w.mu.Unlock()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		w.mu.Lock()
		equal(t, "reads of Redis", w.asked["get"], gets)
		w.mu.Unlock()
		equal(t, "labels", w.labels(), "0s lost")
	})
}

// An auditor reads, and does nothing else: no lease, no fill, no wipe, and no more reads than its rate allows.
func TestAuditorOnlyReads(t *testing.T) {
	t.Parallel()
	bubble(t, audit.Options{Rate: 2}, func(t *testing.T, w *world) {
		w.put(1, "old")
		w.read(1)
		w.put(1, "new") // the worst case: everything is stale
		stats := fmt.Sprint(w.c.Stats().Groups["users"].Queries["GetUser"].Loads)
		w.mu.Lock()
		clear(w.asked)
		w.mu.Unlock()
		reads := 0
		for begin := time.Now(); time.Since(begin) < 100*time.Second; time.Sleep(10 * time.Millisecond) {
			w.read(1)
			reads++
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for op, n := range w.asked {
			if op != "get" {
				t.Errorf("%s was asked %d times", op, n)
			}
		}
		if gets := w.asked["get"] - reads; gets < 100 || gets > 2*2*100 {
			t.Errorf("%d reads for 100 s at 2 checks a second", gets)
		}
		equal(t, "loads in the statistics", fmt.Sprint(w.c.Stats().Groups["users"].Queries["GetUser"].Loads), stats)
	})
}

// Many stale cells: what is followed and what is kept is bounded.
func TestFindingsAreBounded(t *testing.T) {
	t.Parallel()
	bubble(t, audit.Options{Open: 3, Keep: 5}, func(t *testing.T, w *world) {
		for id := range int64(20) {
			w.put(id, "old")
			w.read(id)
			w.put(id, "new")
		}
		id := int64(0)
		w.hits(20, func() { id++; w.read(id % 20) })
		r := w.auditor.Report()
		equal(t, "stale", r.Stats.Stale, 20)
		equal(t, "open", r.Stats.Open, 3)
		equal(t, "kept", len(r.Findings), 5)
		equal(t, "labels", w.labels(), "0s lost, 0s lost, 0s lost, 0s lost, 0s lost")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		s := w.auditor.Stats()
		equal(t, "open", s.Open, 0)
		equal(t, "at a minute", s.StaleAt["1m0s"], 3)
	})
}

// A look that fails is made up for at the next scale.
func TestLookThatFailsIsMadeUpFor(t *testing.T) {
	t.Parallel()
	bubble(t, audit.Options{}, func(t *testing.T, w *world) {
		w.put(1, "old")
		w.read(1)
		w.put(1, "new")
		w.hits(1, func() { w.read(1) })
		w.loading(func(context.Context) error { return errors.New("boom") })
		time.Sleep(5 * time.Second)
		synctest.Wait()
		equal(t, "labels", w.labels(), "0s open")
		w.loading(nil)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		equal(t, "labels", w.labels(), "10s open")
		w.loading(func(context.Context) error { return errors.New("boom") })
		time.Sleep(time.Minute)
		synctest.Wait()
		equal(t, "labels", w.labels(), "10s lost")
		equal(t, "at", fmt.Sprint(w.auditor.Stats().StaleAt), "map[0s:1 10s:1 1m0s:0 1s:1]")
	})
}

// Readers and writers race in several processes, in every interleaving that random pauses make. The auditor sees many moments
// and finds nothing.
func TestNoFalseAlarms(t *testing.T) {
	t.Parallel()
	bubble(t, audit.Options{}, func(t *testing.T, w *world) {
		caches := []*cache.Cache{w.c, w.process(), w.process()}
		pause := func(d time.Duration) { time.Sleep(time.Duration(rand.Int64N(int64(d)))) }
		w.store.Before = func(context.Context, string, []string) error { pause(3 * time.Millisecond); return nil }
		w.store.After = w.store.Before
		w.loading(func(context.Context) error { pause(5 * time.Millisecond); return nil })
		var version atomic.Int64
		var wg sync.WaitGroup
		for _, c := range caches {
			for range 3 {
				wg.Go(func() {
					for range 1500 {
						id := rand.Int64N(3)
						_, _ = cache.Read(t.Context(), c, users.Key(id), getUser.Cell(), func(ctx context.Context) (user, error) { return w.source(ctx, id) })
						pause(2 * time.Millisecond)
					}
				})
			}
			wg.Go(func() {
				for range 200 {
					id := rand.Int64N(3)
					_ = c.Write(t.Context(), []cache.Key{users.Key(id)}, func(context.Context) (cache.Outcome, error) {
						pause(4 * time.Millisecond)
						w.put(id, fmt.Sprint(version.Add(1)))
						pause(4 * time.Millisecond)
						return cache.Committed, nil
					})
					pause(50 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		s := w.auditor.Stats()
		t.Logf("%+v", s)
		if s.Stale > 0 || s.Moved == 0 || s.Fresh < 100 {
			t.Errorf("%+v: want no finding, and checks that raced a write", s)
		}
	})
}

func TestReportIsServed(t *testing.T) {
	t.Parallel()
	bubble(t, audit.Options{}, func(t *testing.T, w *world) {
		w.put(1, "old")
		w.read(1)
		w.put(1, "new")
		w.hits(1, func() { w.read(1) })
		answer := httptest.NewRecorder()
		w.auditor.ServeHTTP(answer, httptest.NewRequest("GET", "/", nil))
		var r audit.Report
		if err := json.Unmarshal(answer.Body.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		equal(t, "as served", fmt.Sprint(r.Stats), fmt.Sprint(w.auditor.Stats()))
		equal(t, "findings", len(r.Findings), 1)
		equal(t, "scale", r.Findings[0].Scale, 0)
		var text strings.Builder
		if err := r.Print(&text); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"1 cells checked", "1 stale", "GetUser", "open"} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("%q is not in\n%s", want, text.String())
			}
		}
	})
}

func TestOptionsAreValidated(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]audit.Options{
		"Rate":    {Rate: -1},
		"1000":    {Rate: math.Inf(1)},
		"above 0": {Rate: math.NaN()},
		"Timeout": {Timeout: -1},
		"Open":    {Open: -1},
		"Keep":    {Keep: -1},
		"rise":    {Scales: []time.Duration{2, 1}},
		"empty":   {Scales: []time.Duration{}},
	} {
		if _, err := audit.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	bubble(t, audit.Options{}, func(t *testing.T, w *world) {
		synctest.Wait()
		if err := w.auditor.Run(t.Context()); err == nil {
			t.Error("two Runs at a time")
		}
	})
}
