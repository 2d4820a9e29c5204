package integration

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	_ "time/tzdata" // so that every zone is there

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cached"
	"github.com/pgaside/pgaside/repo"
)

// TestEveryCachedQueryIsProbed keeps the tests of this package complete: a new @cache needs a probe.
func TestEveryCachedQueryIsProbed(t *testing.T) {
	t.Parallel()
	reads, _ := queryNames(t)
	require.NotEmpty(t, reads)
	d := dataset{users: []uuid.UUID{uuid.New()}}
	for _, rows := range []*[]child{&d.sessions, &d.messages, &d.entries, &d.devices, &d.logins, &d.prompts} {
		*rows = []child{{id: uuid.New()}}
	}
	probed := make(map[string]bool)
	for _, p := range d.probes() {
		require.True(t, reads[p.query], "%s is not a cached query of db/queries", p.query)
		probed[p.query] = true
	}
	for name := range reads {
		require.True(t, probed[name], "no probe reads %s", name)
	}
}

// TestHitEqualsSource: what the cache gives is what the source gives, whatever the rows hold, on a miss and on a hit, whoever
// filled the cell, in any time zone.
func TestHitEqualsSource(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	r := newRandom(t)
	r.fillTables(ctx, t, w.pool, 4)
	var d dataset
	require.NoError(t, d.load(ctx, w.pool))
	probes := d.probes()

	q, c := w.queries()
	for round := range 4 { // a miss that fills, then hits
		require.Empty(t, compare(ctx, probes, w.source(), q), "round %d", round)
	}
	hits := make(map[string]uint64)
	for _, g := range c.Stats().Groups {
		for name, s := range g.Queries {
			hits[name] += s.Hits
		}
	}
	reads, _ := queryNames(t)
	for name := range reads {
		require.Positive(t, hits[name], "%s was never served from the cache", name)
	}
	require.Positive(t, c.Stats().Total().Negatives)

	// Cells of one process, read in others: other zones, one of them with seconds in its offset until 1972.
	for _, zone := range []string{"UTC", "America/New_York", "Africa/Monrovia", "Asia/Kolkata"} {
		there := w.peerIn(zone)
		require.Equal(t, "equal", there.do("equal %s", nobody), "cells of another process, %s", zone)
	}
	// And the other way round: cells that a process in another zone fills. A namespace of its own makes them cold.
	for _, zone := range []string{"UTC", "Africa/Monrovia"} {
		w.ns += "_" + strings.ToLower(zone[:3])
		there := w.peerIn(zone)
		for range 3 {
			require.Equal(t, "equal", there.do("equal %s", nobody), "own cells, %s", zone)
		}
		q, _ := w.queries()
		require.Empty(t, compare(ctx, probes, w.source(), q), "cells that were filled in %s", zone)
	}
}

// compareAll is what a peer does when it is told "equal".
func compareAll(ctx context.Context, q *cached.Queries, source *repo.Queries, d *dataset) string {
	if said := compare(ctx, d.probes(), source, q); len(said) > 0 {
		return fmt.Sprintf("%d differ: %s", len(said), strings.Join(strings.Fields(said[0]), " "))
	}
	return "equal"
}

// TestNegativeIsTheSourcesError: a cached "no row" is pgx.ErrNoRows itself, and an empty list is as empty as the source's.
func TestNegativeIsTheSourcesError(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	q, c := w.queries()
	id := uuid.New()
	for range 3 {
		_, err := q.GetSession(ctx, id)
		require.True(t, err == pgx.ErrNoRows, "%v", err) //nolint:errorlint // the very same
		rows, err := q.ListSessionsByIDs(ctx, []uuid.UUID{id})
		require.NoError(t, err)
		require.NotNil(t, rows)
		require.Empty(t, rows)
		w.stored(ctx, w.redisKey("session", id), "GetSession")
		w.stored(ctx, w.redisKey("session", id), "ListSessionsByIDs")
	}
	require.EqualValues(t, 2, c.Stats().Groups["session"].Queries["GetSession"].Negatives)
	ttl, err := w.rdb.PTTL(ctx, w.redisKey("session", id)).Result()
	require.NoError(t, err)
	require.LessOrEqual(t, ttl.Seconds(), 30.0, "a negative entry has a short life")

	// A row that comes to be is seen.
	_, err = w.pool.Exec(ctx, "insert into users (id, email, display_name) values ($1, 'a', 'b')", id)
	require.NoError(t, err)
	s, err := q.CreateSession(ctx, repo.CreateSessionParams{UserID: id, Title: "new"})
	require.NoError(t, err)
	got, err := q.GetSession(ctx, s.ID)
	require.NoError(t, err)
	require.Equal(t, s, got)
}

// TestValuesAreTheCallersOwn: whatever a caller does to a result, the next one gets what the source gives.
func TestValuesAreTheCallersOwn(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	newRandom(t).fillTables(ctx, t, w.pool, 3)
	var d dataset
	require.NoError(t, d.load(ctx, w.pool))
	q, _ := w.queries()
	for round := range 3 {
		said := eachProbe(d.probes(), func(p probe) string {
			want, wantErr := p.run(ctx, w.source())
			var wg sync.WaitGroup
			for range 4 { // in the first round they share a load
				wg.Go(func() {
					if v, err := p.run(ctx, q); err == nil {
						scribble(reflect.ValueOf(&v).Elem())
					}
				})
			}
			wg.Wait()
			got, gotErr := p.run(ctx, q)
			return p.differ(want, wantErr, got, gotErr)
		})
		require.Empty(t, said, "round %d", round)
	}
}

// scribble overwrites everything that can be reached from a value.
func scribble(v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface:
		scribble(v.Elem())
	case reflect.Pointer:
		if !v.IsNil() {
			scribble(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			scribble(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			scribble(v.Field(i))
		}
		if v.CanSet() {
			v.SetZero()
		}
	default:
		if v.CanSet() {
			v.SetZero()
		}
	}
}

// TestResultThatCannotBeStoredIsServed: a result that a program's codec cannot carry is the source's all the same, and the generated
// coding carries it.
func TestResultThatCannotBeStoredIsServed(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	q, c := w.queries(func(o *cache.Options) { o.Codec = cache.JSON{} })
	s := w.session(ctx)
	m, err := q.CreateMessage(ctx, repo.CreateMessageParams{
		SessionID: s.ID, UserID: s.UserID, Role: repo.MessageRoleClient, Content: "x", Metadata: []byte(`{"a": 1}`),
	})
	require.NoError(t, err)
	_, err = w.pool.Exec(ctx, "update messages set sentiment = 'infinity' where id = $1", m.ID)
	require.NoError(t, err)
	require.NoError(t, c.Invalidate(ctx, cached.Message.Key(s.ID)))
	w.unfenced(ctx, w.redisKey("message", s.ID))
	arg := repo.GetMessageParams{SessionID: s.ID, ID: m.ID}
	want, err := w.source().GetMessage(ctx, arg)
	require.NoError(t, err)
	for range 3 {
		got, err := q.GetMessage(ctx, arg)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	st := c.Stats()
	require.EqualValues(t, 3, st.Groups["message"].Queries["GetMessage"].NotStored)
	require.EqualValues(t, 3, st.Errors[cache.ErrorSerialization.String()])

	coded, c := w.queries()
	for range 3 {
		got, err := coded.GetMessage(ctx, arg)
		require.NoError(t, err)
		require.Equal(t, want, got)
		w.stored(ctx, w.redisKey("message", s.ID), "GetMessage")
	}
	require.EqualValues(t, 2, c.Stats().Groups["message"].Queries["GetMessage"].Hits)
}
