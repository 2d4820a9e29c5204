package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cached"
	"github.com/pgaside/pgaside/repo"
)

// BenchmarkRatio compares a read with what it stands beside in one interleaved run: a turn of each, again and again, so that
// whatever else the machine does falls on both. It reports the median of each and the ratio of the medians.
//
// Run it with -benchtime=200x or more: an iteration is a turn of 64 operations of each kind.
func BenchmarkRatio(b *testing.B) {
	ctx := context.Background()
	w := newBench(b, 0)
	c := w.open(shared.URL())
	q, src, rdb := cached.New(w.pool, c), repo.New(w.pool), w.client()

	hot := w.fresh64(1)[0]
	key := fmt.Sprintf("%s:{session:%s}", w.ns, hot)
	var cell, field string
	for cell == "" { // until it is stored
		_, err := q.GetSession(ctx, hot)
		must(b, err)
		all, err := rdb.HGetAll(ctx, key).Result()
		must(b, err)
		for f, v := range all {
			if f != "@" && v[0] == 'V' {
				field, cell = f, v
			}
		}
	}
	must(b, rdb.Set(ctx, w.ns+":raw", cell, 0).Err())
	b.Cleanup(func() { rdb.Del(ctx, w.ns+":raw") })

	store := cache.NewRedisStore(rdb, false)
	b.Cleanup(func() { must(b, store.Close()) })
	cellGet := func(uuid.UUID) error {
		_, _, err := store.Get(ctx, cache.CellRef{Key: key, Field: field}, nil)
		return err
	}
	hit := func(uuid.UUID) error { _, err := q.GetSession(ctx, hot); return err }
	get := func(uuid.UUID) error { _, err := rdb.Get(ctx, w.ns+":raw").Bytes(); return err }
	hget := func(uuid.UUID) error { _, err := rdb.HGet(ctx, key, field).Bytes(); return err }
	load := func(id uuid.UUID) error { _, err := src.GetSession(ctx, id); return err }
	miss := func(id uuid.UUID) error { _, err := q.GetSession(ctx, id); return err }
	// What people write by hand, without a lease or a fence: GET, SELECT, SET.
	byHand := func(id uuid.UUID) error {
		name := w.ns + ":hand:" + id.String()
		if text, err := rdb.Get(ctx, name).Bytes(); err == nil {
			var s repo.Session
			return json.Unmarshal(text, &s)
		}
		s, err := src.GetSession(ctx, id)
		if err != nil {
			return err
		}
		text, err := json.Marshal(s)
		if err != nil {
			return err
		}
		return rdb.Set(ctx, name, text, time.Minute).Err()
	}
	write := func(s cached.SessionRepository) func(uuid.UUID) error {
		return func(id uuid.UUID) error {
			_, err := s.RenameSession(ctx, repo.RenameSessionParams{ID: id, Title: "again"})
			return err
		}
	}
	for _, bench := range []struct {
		name      string
		ours      func(uuid.UUID) error
		beside    func(uuid.UUID) error
		besideOur string
		fresh     bool
	}{
		{"store/beside=redis-get", cellGet, get, "GET", false},
		{"hit/beside=redis-get", hit, get, "GET", false},
		{"hit/beside=redis-hget", hit, hget, "HGET", false},
		{"miss/beside=postgres", miss, load, "SELECT", true},
		{"miss/beside=by-hand", miss, byHand, "by-hand", true},
		{"write/beside=postgres", write(q), write(src), "UPDATE", false},
	} {
		b.Run(bench.name, func(b *testing.B) {
			const turn = 64
			var ours, beside []time.Duration
			ids := w.fresh64(1)
			timed := func(f func(uuid.UUID) error, out *[]time.Duration) {
				if bench.fresh {
					ids = w.fresh64(turn)
					must(b, load(ids[0])) // the connection is awake, as it is for the other
				}
				for i := range turn {
					start := time.Now()
					err := f(ids[i%len(ids)])
					*out = append(*out, time.Since(start))
					must(b, err)
				}
			}
			for range b.N {
				timed(bench.beside, &beside)
				timed(bench.ours, &ours)
			}
			slices.Sort(ours)
			slices.Sort(beside)
			b.ReportMetric(0, "ns/op") // a turn's time means nothing
			b.ReportMetric(float64(ours[len(ours)/2].Microseconds()), "ours-µs")
			b.ReportMetric(float64(beside[len(beside)/2].Nanoseconds())/1e3, bench.besideOur+"-µs")
			b.ReportMetric(float64(ours[len(ours)/2])/float64(beside[len(beside)/2]), "ratio")
		})
	}
}

// fresh64 returns n sessions that nobody has read.
func (w *bench) fresh64(n int) []uuid.UUID {
	w.b.Helper()
	w.ids = w.ids[:0]
	w.add(n)
	require.Len(w.b, w.ids, n)
	return slices.Clone(w.ids)
}
