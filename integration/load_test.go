package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cached"
	"github.com/pgaside/pgaside/repo"
)

// TestTenThousandGoroutines: 10,000 goroutines ask at once, over a Postgres pool of 4: while Redis is there, while it is killed
// under them, and while it is away. Every read and write whose context lives succeeds, no read is older than a write that had
// returned, no goroutine is left behind, and the loads that wait for Postgres are as few as promised.
func TestTenThousandGoroutines(t *testing.T) { // not parallel: it counts goroutines
	const goroutines, operations, keys = 10_000, 3, 64
	for _, redis := range []string{"up", "killed meanwhile", "away"} {
		t.Run("Redis "+redis, func(t *testing.T) {
			ctx := t.Context()
			w := newWorld(t, ownRedis())
			books := w.books(ctx, keys)
			if redis == "away" {
				require.NoError(t, w.redis.Kill())
			}
			before := runtime.NumGoroutine()
			l := w.loaded(4, cache.Options{})
			var reads, writes, late atomic.Int64
			failed := &failures{}
			start := make(chan struct{})
			var wg sync.WaitGroup
			for i := range goroutines {
				r := rand.New(rand.NewPCG(uint64(i), 1))
				wg.Go(func() {
					<-start
					for range operations {
						b := books[min(r.IntN(keys), r.IntN(keys))] // the low ones are hotter
						switch n := r.IntN(100); {
						case n < 1:
							writes.Add(1)
							failed.add(b.write(ctx, l.q))
						case n < 10:
							reads.Add(5)
							failed.add(readBooks(ctx, l.q, books[r.IntN(keys-5):][:5]))
						case n < 20: // one with little time
							reads.Add(1)
							short, cancel := context.WithTimeout(ctx, time.Duration(r.IntN(50))*time.Millisecond)
							err := b.read(short, l.q)
							cancel()
							if errors.Is(err, context.DeadlineExceeded) {
								late.Add(1)
								continue
							}
							failed.add(err)
						default:
							reads.Add(1)
							failed.add(b.read(ctx, l.q))
						}
					}
				})
			}
			began := time.Now()
			close(start)
			if redis == "killed meanwhile" {
				eventually(t, "they are under way", func() bool { return reads.Load() > goroutines/2 })
				require.NoError(t, w.redis.Kill())
			}
			wg.Wait()
			st := l.cache.Stats()
			t.Logf("%d reads (%d out of time) and %d writes in %.1f s: %d loads, at most %d at once; breaker open %v, pending %d, errors %v",
				reads.Load(), late.Load(), writes.Load(), time.Since(began).Seconds(), st.Total().Loads, l.loads.most.Load(), st.BreakerOpen, st.Pending, st.Errors)
			failed.none(t)

			// Loads that Redis could not answer are bounded. Under a lease one runs for each cell, and another one when a write
			// has voided the lease meanwhile.
			bound := int64(64) // MaxFallbackLoads
			if redis != "away" {
				bound *= 10
			}
			require.LessOrEqual(t, l.loads.most.Load(), bound, "loads at once")
			require.Less(t, st.Total().Loads, uint64(reads.Load()/2), "readers share loads")
			for _, b := range books {
				require.NoError(t, b.read(ctx, l.q), "at rest")
			}
			l.close()
			require.Zero(t, l.loads.now.Load(), "a load goes on")
			noneLeft(t, before)
		})
	}
}

// TestOverload: Redis is away and Postgres stands still. Readers with a deadline are told, the others wait and are answered
// in the end; Postgres never has more than MaxFallbackLoads loads to carry; writes, which have the rest of the pool, go on.
// Afterwards everything works again.
func TestOverload(t *testing.T) { // not parallel: it counts goroutines
	const bound, keys = 8, 40
	ctx := t.Context()
	w := newWorld(t, ownRedis())
	books := w.books(ctx, keys)
	owner := w.user(ctx).ID
	before := runtime.NumGoroutine()
	l := w.loaded(bound+4, cache.Options{MaxFallbackLoads: bound})
	require.NoError(t, w.redis.Kill())
	eventually(t, "the breaker opens", func() bool {
		require.NoError(t, books[0].read(ctx, l.q))
		return l.cache.Stats().BreakerOpen
	})
	lock, err := w.pool.Begin(ctx)
	require.NoError(t, err)
	defer func() { _ = lock.Rollback(context.WithoutCancel(ctx)) }()
	_, err = lock.Exec(ctx, "lock table sessions in access exclusive mode")
	require.NoError(t, err)

	var patient, hasty sync.WaitGroup
	failed := &failures{}
	var overloaded, cut atomic.Int64 // told while they waited for their turn; their own load was cut short
	for i := range 5 * keys {        // readers with time
		patient.Go(func() { failed.add(books[i%keys].read(ctx, l.q)) })
	}
	eventually(t, "Postgres has all the loads that it may have", func() bool { return l.loads.now.Load() == bound })
	for i := range 50 * keys {
		hasty.Go(func() {
			short, cancel := context.WithTimeout(ctx, time.Duration(20+i%200)*time.Millisecond)
			defer cancel()
			switch err := books[i%keys].read(short, l.q); {
			case errors.Is(err, cache.ErrOverloaded) && errors.Is(err, context.DeadlineExceeded):
				overloaded.Add(1)
			case errors.Is(err, context.DeadlineExceeded):
				cut.Add(1)
			default:
				failed.add(fmt.Errorf("a read of a table that is locked: %w", err))
			}
		})
	}
	// Writes to another table.
	var last uuid.UUID
	for i := range 20 {
		d, err := l.q.CreateDevice(context.WithValue(ctx, writing{}, true), repo.CreateDeviceParams{UserID: owner, Platform: repo.DevicePlatformIos, Name: strconv.Itoa(i)})
		require.NoError(t, err)
		last = d.ID
	}
	hasty.Wait()
	st := l.cache.Stats()
	t.Logf("%d readers were told that they wait for nothing, %d loads were cut short; at most %d loads at once", overloaded.Load(), cut.Load(), l.loads.most.Load())
	require.EqualValues(t, bound, l.loads.now.Load(), "the lock is still there")
	require.LessOrEqual(t, l.loads.most.Load(), int64(bound), "loads at once")
	require.Greater(t, overloaded.Load(), int64(10*keys), "they are told")
	require.EqualValues(t, overloaded.Load(), st.Overloaded)
	require.Positive(t, st.Pending, "the writes are pending")

	require.NoError(t, lock.Rollback(ctx))
	patient.Wait()
	failed.none(t)
	for _, b := range books {
		require.NoError(t, b.write(ctx, l.q))
		require.NoError(t, b.read(ctx, l.q))
	}
	require.NoError(t, w.redis.Start(ctx))
	eventually(t, "the cache is in use", func() bool {
		require.NoError(t, books[0].read(ctx, l.q))
		st := l.cache.Stats()
		return !st.BreakerOpen && st.Pending == 0 && st.Total().Hits > 0
	})
	d, err := l.q.GetDevice(ctx, last)
	require.NoError(t, err)
	require.Equal(t, "19", d.Name)
	require.Equal(t, st.Overloaded, l.cache.Stats().Overloaded, "nobody is turned away any more")
	l.close()
	noneLeft(t, before)
}

// loaded is a process under load: cached queries over a pool and a cache of its own.
type loaded struct {
	q     *cached.Queries
	cache *cache.Cache
	pool  *pgxpool.Pool
	loads *loadTracer
	close func()
}

// loadName is how its connections are called, at Postgres and at Redis.
const loadName = "pgaside_load"

func (w *world) loaded(conns int32, o cache.Options) *loaded {
	w.t.Helper()
	cfg, err := pgxpool.ParseConfig(w.dbURL)
	require.NoError(w.t, err)
	l := &loaded{loads: &loadTracer{}}
	cfg.MaxConns = conns
	cfg.ConnConfig.Tracer = l.loads
	cfg.ConnConfig.RuntimeParams["application_name"] = loadName
	l.pool, err = pgxpool.NewWithConfig(w.t.Context(), cfg)
	require.NoError(w.t, err)
	o.Namespace, o.Logger = w.ns, w.logger()
	l.cache, err = cache.Open(w.redis.URL()+"?client_name="+loadName, o)
	require.NoError(w.t, err)
	l.q = cached.New(l.pool, l.cache)
	l.close = sync.OnceFunc(func() {
		_ = l.cache.Close()
		l.pool.Close()
	})
	w.t.Cleanup(l.close)
	return l
}

// loadTracer counts the loads that are under way: those that wait for a connection of the pool, and those that
// have one.
type loadTracer struct{ now, most atomic.Int64 }

// writing marks the context of a write, whose wait for a connection is no load.
type writing struct{}

type loadQuery struct{}

func (l *loadTracer) TraceAcquireStart(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireStartData) context.Context {
	if ctx.Value(writing{}) == nil {
		for n, m := l.now.Add(1), l.most.Load(); n > m && !l.most.CompareAndSwap(m, n); m = l.most.Load() {
		}
	}
	return ctx
}

func (l *loadTracer) TraceAcquireEnd(ctx context.Context, _ *pgxpool.Pool, d pgxpool.TraceAcquireEndData) {
	if d.Err != nil && ctx.Value(writing{}) == nil {
		l.now.Add(-1)
	}
}

func (l *loadTracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	if strings.HasPrefix(d.SQL, "-- name: ") && ctx.Value(writing{}) == nil {
		ctx = context.WithValue(ctx, loadQuery{}, true)
	}
	return ctx
}

func (l *loadTracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) {
	if ctx.Value(loadQuery{}) != nil {
		l.now.Add(-1)
	}
}

// book is a session whose title is the number of times that it was renamed, so that a read shows how old it is.
type book struct {
	id, user        uuid.UUID
	mu              sync.Mutex // writers take turns
	begun, returned atomic.Int64
}

const booksOfOne = 10 // person

func (w *world) books(ctx context.Context, n int) []*book {
	w.t.Helper()
	out := make([]*book, n)
	var user uuid.UUID
	for i := range out {
		if i%booksOfOne == 0 {
			user = w.user(ctx).ID
		}
		s, err := w.source().CreateSession(ctx, repo.CreateSessionParams{UserID: user, Title: "0"})
		require.NoError(w.t, err)
		out[i] = &book{id: s.ID, user: user}
	}
	return out
}

func (b *book) write(ctx context.Context, q cached.SessionRepository) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.begun.Add(1)
	if err := rename(context.WithValue(ctx, writing{}, true), q, b.id, strconv.FormatInt(n, 10)); err != nil {
		return err
	}
	b.returned.Store(n)
	return nil
}

func (b *book) read(ctx context.Context, q cached.SessionRepository) error {
	floor := b.returned.Load()
	s, err := q.GetSession(ctx, b.id)
	if err != nil {
		return err
	}
	return b.check(s, floor)
}

// check tells whether a read that began when floor had been written may have returned s.
func (b *book) check(s repo.Session, floor int64) error {
	n, err := strconv.ParseInt(s.Title, 10, 64)
	switch {
	case err != nil || s.ID != b.id:
		return fmt.Errorf("the row %v for %s", s, b.id)
	case n < floor:
		return fmt.Errorf("stale: version %d, after %d had been written", n, floor)
	case n > b.begun.Load():
		return fmt.Errorf("version %d, which nobody has written", n)
	}
	return nil
}

// readBooks reads several in one batch.
func readBooks(ctx context.Context, q cached.SessionRepository, books []*book) error {
	byID := make(map[uuid.UUID]*book)
	floors := make(map[uuid.UUID]int64)
	var ids []uuid.UUID
	for _, b := range books {
		byID[b.id], floors[b.id] = b, b.returned.Load()
		ids = append(ids, b.id)
	}
	rows, err := q.ListSessionsByIDs(ctx, ids)
	if err != nil {
		return err
	}
	if len(rows) != len(books) {
		return fmt.Errorf("%d rows for %d", len(rows), len(books))
	}
	for _, s := range rows {
		b := byID[s.ID]
		if b == nil {
			return fmt.Errorf("%s was not asked for, or comes twice", s.ID)
		}
		if err := b.check(s, floors[s.ID]); err != nil {
			return err
		}
		delete(byID, s.ID)
	}
	return nil
}

// failures keeps the first errors of many, and counts the rest.
type failures struct {
	mu    sync.Mutex
	n     int
	first []error
}

func (f *failures) add(err error) {
	if err == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n++; len(f.first) < 5 {
		f.first = append(f.first, err)
	}
}

func (f *failures) none(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	require.Zero(t, f.n, "%v", f.first)
}

func noneLeft(t *testing.T, before int) {
	t.Helper()
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
}
