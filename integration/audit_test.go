package integration

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/audit"
	"github.com/pgaside/pgaside/cached"
	"github.com/pgaside/pgaside/repo"
)

// audited returns cached queries whose hits are audited, fast, by an auditor that runs until the test ends.
func (w *world) audited(scales ...time.Duration) (*cached.Queries, *audit.Auditor) {
	w.t.Helper()
	a, err := audit.New(audit.Options{Rate: 500, Scales: scales, Logger: w.logger()})
	require.NoError(w.t, err)
	q, _ := w.queries(func(o *cache.Options) { o.Auditor = a })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = a.Run(ctx) }()
	w.t.Cleanup(func() { cancel(); <-done })
	return q, a
}

// TestAuditorFindsPlantedCells: a row that a plain UPDATE changes, and an old cell that is put back, are found, followed to the
// last scale, and reported. Nothing else is.
func TestAuditorFindsPlantedCells(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	const first, last = 50 * time.Millisecond, 200 * time.Millisecond
	q, a := w.audited(first, last)
	at := func(s time.Duration) uint64 { return a.Stats().StaleAt[s.String()] }
	var clean, updated, revived uuid.UUID
	for _, id := range []*uuid.UUID{&clean, &updated, &revived} {
		*id = w.session(ctx).ID
		w.warm(ctx, q, *id)
	}
	reads := func(ids ...uuid.UUID) {
		for _, id := range ids {
			_, err := q.GetSession(ctx, id)
			require.NoError(t, err)
			_, err = q.ListSessionsByIDs(ctx, ids)
			require.NoError(t, err)
		}
	}
	eventually(t, "a hundred cells are checked", func() bool { reads(clean, updated, revived); return a.Stats().Fresh >= 100 })
	require.Zero(t, a.Stats().Stale)

	_, err := w.pool.Exec(ctx, "update sessions set title = 'behind' where id = $1", updated)
	require.NoError(t, err)
	eventually(t, "the UPDATE is found and followed", func() bool { reads(updated); return at(last) >= 1 })
	require.Equal(t, "first", w.title(ctx, q, updated), "that is what readers get")

	key := w.redisKey("session", revived)
	var field string
	for f := range w.rdb.HGetAll(ctx, key).Val() {
		if strings.HasPrefix(f, "GetSession.") {
			field = f
		}
	}
	old, err := w.rdb.HGet(ctx, key, field).Result()
	require.NoError(t, err)
	require.NoError(t, rename(ctx, q, revived, "second"))
	w.unfenced(ctx, key)
	w.warm(ctx, q, revived)
	before := at(0)
	require.NoError(t, w.rdb.HSet(ctx, key, field, old).Err())
	eventually(t, "the old cell is found", func() bool { reads(revived); return at(0) > before })

	// Once they are voided they are gone, and no more is found.
	for _, id := range []uuid.UUID{updated, revived} {
		require.NoError(t, rename(ctx, q, id, "third"))
	}
	eventually(t, "nothing is followed any more", func() bool { reads(clean); return a.Stats().Open == 0 })
	found, checked := a.Stats().Stale, a.Stats().Fresh
	eventually(t, "a hundred cells more are checked", func() bool { reads(clean, updated, revived); return a.Stats().Fresh >= checked+100 })
	require.Equal(t, found, a.Stats().Stale)

	r := a.Report()
	largest := audit.Scale(0)
	for _, f := range r.Findings {
		largest = max(largest, f.Scale)
		require.Equal(t, "session", f.Group)
		require.Contains(t, []string{"GetSession", "ListSessionsByIDs"}, f.Query)
		require.Empty(t, f.Key+f.Field)
	}
	require.Equal(t, audit.Scale(last), largest)
	require.Contains(t, w.log.String(), "a stale cell")
	require.NotContains(t, w.log.String(), updated.String())
	require.NoError(t, r.Print(io.Discard))
}

// TestAuditorHasNoFalseAlarms: writers and readers of a few keys race in several processes, with everything that a write can be:
// alone, in a transaction, rolled back, a deletion, a whole group. The auditors look as often as they can and find nothing.
func TestAuditorHasNoFalseAlarms(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	const processes, keys, rounds = 3, 4, 150
	patient := func(o *cache.Options) { // no fence may be given up because the machine is busy
		o.RedisBudget, o.FenceBudget = 30*time.Second, 30*time.Second
		o.Logger = slog.New(slog.DiscardHandler)
	}
	user := w.user(ctx)
	var ids []uuid.UUID
	for range keys {
		ids = append(ids, w.session(ctx).ID)
	}
	auditCtx, stop := context.WithCancel(context.Background())
	var auditors []*audit.Auditor
	var wg, running sync.WaitGroup
	for range processes {
		a, err := audit.New(audit.Options{Rate: 1000})
		require.NoError(t, err)
		auditors = append(auditors, a)
		q, c := w.queries(patient, func(o *cache.Options) { o.Auditor = a })
		running.Go(func() { _ = a.Run(auditCtx) })
		for range 3 {
			wg.Go(func() {
				for range rounds * 6 {
					id := ids[rand.IntN(keys)]
					_, _ = q.GetSession(ctx, id)
					_, _ = q.ListSessionsByIDs(ctx, ids)
					_, _ = q.CountSessions(ctx, user.ID)
				}
			})
		}
		wg.Go(func() { w.writesOfAllKinds(ctx, q, c, ids, user.ID, rounds) })
	}
	wg.Wait()
	stop()
	running.Wait()
	total := audit.Stats{}
	for _, a := range auditors {
		s := a.Stats()
		total.Checks += s.Checks
		total.Moved += s.Moved
		total.Stale += s.Stale
		total.Fresh += s.Fresh
		require.Empty(t, a.Report().Findings)
	}
	t.Logf("%d checks, of which %d raced a write", total.Checks, total.Moved)
	require.Positive(t, total.Fresh)
	require.Positive(t, total.Moved, "no check raced a write")
}

// writesOfAllKinds changes sessions in every way that a program has.
func (w *world) writesOfAllKinds(ctx context.Context, q *cached.Queries, c *cache.Cache, ids []uuid.UUID, user uuid.UUID, rounds int) {
	for i := range rounds {
		id := ids[rand.IntN(len(ids))]
		var err error
		switch i % 5 {
		case 0, 1:
			err = rename(ctx, q, id, uuid.NewString())
		case 2:
			err = q.InTx(ctx, pgx.TxOptions{}, func(q *cached.Queries) error {
				if err := rename(ctx, q, id, uuid.NewString()); err != nil {
					return err
				}
				if rand.IntN(2) == 0 {
					return errBoom
				}
				return nil
			})
			if errors.Is(err, errBoom) {
				err = nil
			}
		case 3:
			var s repo.Session
			if s, err = q.CreateSession(ctx, repo.CreateSessionParams{UserID: user, Title: "short-lived"}); err == nil {
				_, err = q.DeleteSession(ctx, s.ID)
			}
		case 4:
			if i%25 == 4 {
				err = c.InvalidateGroup(ctx, cached.Session)
			}
		}
		if err != nil {
			w.t.Errorf("write %d: %v", i, err)
		}
	}
}
