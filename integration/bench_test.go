package integration

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cached"
	"github.com/pgaside/pgaside/internal/servers"
	"github.com/pgaside/pgaside/repo"
)

// Names are made to be pivoted by benchstat: -col /impl compares ours with what it stands beside. Run with -count so that the
// two are interleaved with whatever else the machine does.

// bench is a database of a benchmark's own, with sessions in it.
type bench struct {
	b    *testing.B
	pool *pgxpool.Pool
	ns   string
	ids  []uuid.UUID
	user uuid.UUID
}

func newBench(b *testing.B, sessions int) *bench {
	b.Helper()
	ctx := context.Background()
	name := fmt.Sprintf("pgaside_bench_%d", worldSeq.Add(1))
	_, err := admin.Exec(ctx, "create database "+name+" template "+template)
	require.NoError(b, err)
	b.Cleanup(func() {
		_, err := admin.Exec(context.Background(), "drop database "+name+" with (force)")
		require.NoError(b, err)
	})
	pool, err := pgxpool.New(ctx, databaseURL(postgres.URL(), name))
	require.NoError(b, err)
	b.Cleanup(pool.Close)
	w := &bench{b: b, pool: pool, ns: shared.Namespace() + name}
	require.NoError(b, pool.QueryRow(ctx, "insert into users (email, display_name) values ('a', 'b') returning id").Scan(&w.user))
	w.add(sessions)
	return w
}

// add makes sessions whose rows have some weight.
func (w *bench) add(n int) {
	w.b.Helper()
	rows, err := w.pool.Query(context.Background(),
		"insert into sessions (user_id, title, summary) select $1, 'title ' || i, repeat('summary ', 50) from generate_series(1, $2::int) i returning id", w.user, n)
	require.NoError(w.b, err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	require.NoError(w.b, err)
	w.ids = append(w.ids, ids...)
}

func (w *bench) open(url string) *cache.Cache {
	w.b.Helper()
	c, err := cache.Open(url, cache.Options{Namespace: w.ns, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	require.NoError(w.b, err)
	w.b.Cleanup(func() { _ = c.Close() })
	return c
}

func (w *bench) client() *redis.Client {
	w.b.Helper()
	o, err := redis.ParseURL(shared.URL())
	require.NoError(w.b, err)
	o.ContextTimeoutEnabled, o.DisableIdentity = true, true // as cache.Open has it
	rdb := redis.NewClient(o)
	w.b.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

func must(b *testing.B, err error) {
	if err != nil {
		b.Helper()
		b.Fatal(err)
	}
}

func BenchmarkRead(b *testing.B) {
	ctx := context.Background()

	b.Run("outcome=hit", func(b *testing.B) {
		w := newBench(b, 1)
		id := w.ids[0]
		c := w.open(shared.URL())
		q := cached.New(w.pool, c)
		rdb := w.client()
		key := fmt.Sprintf("%s:{session:%s}", w.ns, id)
		var cell string
		for cell == "" { // until it is stored
			_, err := q.GetSession(ctx, id)
			must(b, err)
			all, err := rdb.HGetAll(ctx, key).Result()
			must(b, err)
			for f, v := range all {
				if strings.HasPrefix(f, "GetSession.") && v[0] == 'V' {
					cell = v
				}
			}
		}
		must(b, rdb.Set(ctx, w.ns+":raw", cell, 0).Err())
		b.Cleanup(func() { rdb.Del(ctx, w.ns+":raw") })
		b.Run("impl=raw-get", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := rdb.Get(ctx, w.ns+":raw").Bytes()
				must(b, err)
			}
		})
		b.Run("impl=pgaside", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := q.GetSession(ctx, id)
				must(b, err)
			}
		})
		b.Run("impl=postgres", func(b *testing.B) {
			b.ReportAllocs()
			src := repo.New(w.pool)
			for b.Loop() {
				_, err := src.GetSession(ctx, id)
				must(b, err)
			}
		})
	})

	// Every read is of a key that nobody has read.
	b.Run("outcome=miss", func(b *testing.B) {
		w := newBench(b, 0)
		b.Run("impl=postgres", func(b *testing.B) {
			ids := w.fresh(b)
			src := repo.New(w.pool)
			b.ResetTimer()
			for _, id := range ids {
				_, err := src.GetSession(ctx, id)
				must(b, err)
			}
		})
		b.Run("impl=pgaside", func(b *testing.B) {
			ids := w.fresh(b)
			c := w.open(shared.URL())
			q := cached.New(w.pool, c)
			_, err := q.GetSession(ctx, uuid.New()) // connections, epochs
			must(b, ignoreNoRows(err))
			b.ResetTimer()
			for _, id := range ids {
				_, err := q.GetSession(ctx, id)
				must(b, err)
			}
			b.StopTimer()
			if misses := c.Stats().Total().Misses; misses < uint64(b.N) {
				b.Fatalf("%d misses for %d reads", misses, b.N)
			}
		})
	})

	b.Run("outcome=breaker-open", func(b *testing.B) {
		w := newBench(b, 1)
		id := w.ids[0]
		port, err := servers.FreePort()
		must(b, err)
		c := w.open(fmt.Sprintf("redis://127.0.0.1:%d", port))
		q := cached.New(w.pool, c)
		for !c.Stats().BreakerOpen {
			_, err := q.GetSession(ctx, id)
			must(b, err)
		}
		for _, impl := range []struct {
			name string
			q    cached.SessionRepository
		}{{"postgres", repo.New(w.pool)}, {"pgaside", q}} {
			b.Run("impl="+impl.name, func(b *testing.B) {
				b.ReportAllocs()
				before := cpuTime()
				for b.Loop() {
					_, err := impl.q.GetSession(ctx, id)
					must(b, err)
				}
				b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
			})
		}
		// The path itself, without the noise of a database: the load does nothing.
		key, cell := cached.Session.Key(id), stageQuery.Cell()
		nothing := func(context.Context) (string, error) { return "", nil }
		b.Run("impl=pgaside-path", func(b *testing.B) {
			b.ReportAllocs()
			before := cpuTime()
			for b.Loop() {
				_, err := cache.Read(ctx, c, key, cell, nothing)
				must(b, err)
			}
			b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
		})
	})
}

func ignoreNoRows(err error) error {
	if err == pgx.ErrNoRows { //nolint:errorlint // the cache returns it as it is
		return nil
	}
	return err
}

// fresh returns b.N sessions that nobody has read.
func (w *bench) fresh(b *testing.B) []uuid.UUID {
	b.Helper()
	w.ids = nil
	w.add(b.N)
	runtime.GC()
	return w.ids
}

func BenchmarkWrite(b *testing.B) {
	ctx := context.Background()
	w := newBench(b, 1)
	c := w.open(shared.URL())
	for _, impl := range []struct {
		name string
		q    cached.SessionRepository
	}{{"postgres", repo.New(w.pool)}, {"pgaside", cached.New(w.pool, c)}} {
		b.Run("mode=fenced/impl="+impl.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := impl.q.RenameSession(ctx, repo.RenameSessionParams{ID: w.ids[0], Title: "title"})
				must(b, err)
			}
		})
	}
	b.Run("mode=transaction/impl=postgres", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			must(b, pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
				_, err := repo.New(tx).RenameSession(ctx, repo.RenameSessionParams{ID: w.ids[0], Title: "title"})
				return err
			}))
		}
	})
	b.Run("mode=transaction/impl=pgaside", func(b *testing.B) {
		b.ReportAllocs()
		q := cached.New(w.pool, c)
		for b.Loop() {
			must(b, q.InTx(ctx, pgx.TxOptions{}, func(q *cached.Queries) error {
				_, err := q.RenameSession(ctx, repo.RenameSessionParams{ID: w.ids[0], Title: "title"})
				return err
			}))
		}
	})
}

func BenchmarkReadMany(b *testing.B) {
	ctx := context.Background()
	const n = 100
	w := newBench(b, n)
	c := w.open(shared.URL())
	q := cached.New(w.pool, c)
	for stop := time.Now().Add(time.Minute); c.Stats().Groups["session"].Queries["ListSessionsByIDs"].Fills < n; {
		_, err := q.ListSessionsByIDs(ctx, w.ids)
		must(b, err)
		if time.Now().After(stop) {
			b.Fatal("the batch was not stored")
		}
	}
	for _, impl := range []struct {
		name string
		q    cached.SessionRepository
	}{{"postgres", repo.New(w.pool)}, {"pgaside", q}} {
		b.Run(fmt.Sprintf("keys=%d/outcome=hit/impl=%s", n, impl.name), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rows, err := impl.q.ListSessionsByIDs(ctx, w.ids)
				must(b, err)
				if len(rows) != n {
					b.Fatalf("%d rows", len(rows))
				}
			}
		})
	}
}
