package integration

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/pgfence"
	"github.com/pgaside/pgaside/cached"
	"github.com/pgaside/pgaside/repo"
)

// gate stops the first caller until it is opened. A test defers release, lest it hang where it should fail.
type gate struct {
	first, last sync.Once
	at, open    chan struct{}
}

func newGate() *gate { return &gate{at: make(chan struct{}), open: make(chan struct{})} }

func (g *gate) pass() {
	g.first.Do(func() {
		close(g.at)
		<-g.open
	})
}

func (g *gate) release() { g.last.Do(func() { close(g.open) }) }

// holdAt is an option by which a cache stands still, once, at a failpoint.
func holdAt(name string, g *gate) func(*cache.Options) {
	return func(o *cache.Options) {
		o.Failpoint = func(_ context.Context, at string) {
			if at == name {
				g.pass()
			}
		}
	}
}

// TestNoStaleFill: a reader that has loaded the old row and is held up before it stores it, while a writer commits, does not
// store it. Beside it, the naive cache does.
func TestNoStaleFill(t *testing.T) {
	t.Parallel()
	type reads struct {
		name, cell string
		read       func(ctx context.Context, q *cached.Queries, id uuid.UUID) (string, error)
	}
	title := func(rows []repo.Session, err error) (string, error) {
		if err != nil || len(rows) != 1 {
			return "", err
		}
		return rows[0].Title, nil
	}
	for _, r := range []reads{
		{"Read", "GetSession", func(ctx context.Context, q *cached.Queries, id uuid.UUID) (string, error) {
			s, err := q.GetSession(ctx, id)
			return s.Title, err
		}},
		{"ReadMany", "ListSessionsByIDs", func(ctx context.Context, q *cached.Queries, id uuid.UUID) (string, error) {
			return title(q.ListSessionsByIDs(ctx, []uuid.UUID{id}))
		}},
	} {
		for _, point := range []string{"acquired", "before-fill"} {
			t.Run(r.name+"/"+point, func(t *testing.T) {
				t.Parallel()
				ctx := t.Context()
				w := newWorld(t)
				s := w.session(ctx)
				key := w.redisKey("session", s.ID)
				g := newGate()
				defer g.release()
				held, c := w.queries(holdAt(point, g))
				writer, _ := w.queries()
				third, _ := w.queries()

				got := make(chan string, 1)
				go func() {
					v, err := r.read(ctx, held, s.ID)
					if err != nil {
						v = err.Error()
					}
					got <- v
				}()
				<-g.at
				require.NoError(t, rename(ctx, writer, s.ID, "second"))
				w.unfenced(ctx, key)
				g.release()
				if v := <-got; point == "acquired" {
					require.Equal(t, "second", v, "the load began after the commit")
				} else {
					require.Equal(t, "first", v, "the load was over before the write began")
				}
				eventually(t, "the fill is refused", func() bool {
					return c.Stats().Groups["session"].Queries[r.cell].FillsLost == 1
				})
				require.Zero(t, c.Stats().Total().Fills)
				require.NotContains(t, w.fields(ctx, key), r.cell)
				for _, q := range []*cached.Queries{held, writer, third} {
					v, err := r.read(ctx, q, s.ID)
					require.NoError(t, err)
					require.Equal(t, "second", v)
				}

				// The same, naively.
				s = w.session(ctx)
				load := func(ctx context.Context) (string, error) {
					s, err := w.source().GetSession(ctx, s.ID)
					return s.Title, err
				}
				g = newGate()
				defer g.release()
				slow := &naive{rdb: w.rdb, key: w.ns + ":naive", load: load, beforeSet: g.pass}
				quick := &naive{rdb: w.rdb, key: w.ns + ":naive", load: load}
				go func() { _, _ = slow.read(ctx); got <- "" }()
				<-g.at
				require.NoError(t, quick.write(ctx, func(ctx context.Context) error { return rename(ctx, w.source(), s.ID, "second") }))
				g.release()
				<-got
				v, err := quick.read(ctx)
				require.NoError(t, err)
				require.Equal(t, "first", v, "the race was not staged: the naive cache should be stale here")
			})
		}
	}
}

// stage is one process whose load and whose fill can be held up.
type stage struct {
	w     *world
	db    *pgfence.DB
	cache *cache.Cache
	load  *gate // passed by the first load, with its value in hand
}

var (
	stageGroup = cache.NewGroup[uuid.UUID]("stage", cache.GroupOptions{})
	stageQuery = cache.NewQuery[string]("Stage", "00000000000a", cache.QueryOptions{})
)

func newStage(w *world, c *cache.Cache) *stage {
	return &stage{w: w, cache: c, db: pgfence.New(w.pool, c, pgfence.Statements{}), load: newGate()}
}

func (s *stage) read(ctx context.Context, id uuid.UUID) (string, error) {
	return pgfence.Read(ctx, s.db, stageGroup.Key(id), stageQuery.Cell(), func(ctx context.Context, d pgfence.DBTX) (string, error) {
		row, err := repo.New(d).GetSession(ctx, id)
		s.load.pass()
		return row.Title, err
	})
}

func (s *stage) write(ctx context.Context, id uuid.UUID, title string) error {
	return pgfence.Exec(ctx, s.db, func(ctx context.Context, d pgfence.DBTX) ([]cache.Key, error) {
		return []cache.Key{stageGroup.Key(id)}, rename2(ctx, d, id, title)
	})
}

func rename2(ctx context.Context, d pgfence.DBTX, id uuid.UUID, title string) error {
	_, err := repo.New(d).RenameSession(ctx, repo.RenameSessionParams{ID: id, Title: title})
	return err
}

type result struct {
	value string
	err   error
}

func (s *stage) readAsync(ctx context.Context, id uuid.UUID) chan result {
	out := make(chan result, 1)
	go func() {
		v, err := s.read(ctx, id)
		out <- result{v, err}
	}()
	return out
}

// TestJoinerNeverGetsWhatIsOlderThanItself (protocol H3): a reader that starts after a write has returned, and finds a load
// of its process under way that began before, does not get that load's value.
func TestJoinerNeverGetsWhatIsOlderThanItself(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	row := w.session(ctx)
	here := newStage(w, w.open())
	there := newStage(w, w.open())
	defer here.load.release()
	there.load.release()

	leader := here.readAsync(ctx, row.ID)
	<-here.load.at // it has the old row in hand
	require.NoError(t, there.write(ctx, row.ID, "second"))
	w.unfenced(ctx, w.redisKey("stage", row.ID))
	var joiners []chan result
	for range 8 {
		joiners = append(joiners, here.readAsync(ctx, row.ID))
	}
	time.Sleep(20 * time.Millisecond) // let them join
	here.load.release()
	require.Equal(t, result{value: "first"}, <-leader)
	for _, j := range joiners {
		require.Equal(t, result{value: "second"}, <-j)
	}
	require.Equal(t, uint64(1), here.cache.Stats().Total().FillsLost)
}

// lateReply is a store whose first fill is executed, and answered late.
type lateReply struct {
	cache.Store
	g *gate
}

func (s lateReply) Fill(ctx context.Context, reqs []cache.FillRequest) []cache.FillReply {
	out := s.Store.Fill(context.WithoutCancel(ctx), reqs)
	s.g.pass()
	return out
}

// TestJoinerComesAfterTheFill (protocol H3'): the fill was accepted, its answer is still on its way, and meanwhile a write
// comes and returns. A reader that starts then does not share the accepted value.
func TestJoinerComesAfterTheFill(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	row := w.session(ctx)
	opts, err := redis.ParseURL(w.redis.URL())
	require.NoError(t, err)
	g := newGate()
	defer g.release()
	c, err := cache.NewWithStore(lateReply{cache.NewRedisStore(redis.NewClient(opts), true), g},
		cache.Options{Namespace: w.ns, Logger: w.logger(), RedisBudget: 30 * time.Second}) // so that whoever waits for the flight sees its end
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	here, there := newStage(w, c), newStage(w, w.open())
	here.load.release()
	there.load.release()

	require.Equal(t, result{value: "first"}, <-here.readAsync(ctx, row.ID), "the leader does not wait for its fill")
	<-g.at
	require.Contains(t, w.fields(ctx, w.redisKey("stage", row.ID)), "Stage", "the fill was accepted")
	require.NoError(t, there.write(ctx, row.ID, "second"))
	w.unfenced(ctx, w.redisKey("stage", row.ID))
	var late []chan result
	for range 8 {
		late = append(late, here.readAsync(ctx, row.ID))
	}
	time.Sleep(50 * time.Millisecond) // let them find the flight
	g.release()
	for _, r := range late {
		require.Equal(t, result{value: "second"}, <-r)
	}
}

// TestLateAcquireDoesNotReviveALease (protocol H1): what a client sends twice, and what arrives long after, never makes an old
// fill acceptable.
func TestLateAcquireDoesNotReviveALease(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	store := cache.NewRedisStore(w.rdb, false)
	req := cache.AcquireRequest{
		CellRef: cache.CellRef{Key: w.ns + ":{h1:x}", Field: "F.1"}, Nonce: "nonce", Lease: time.Minute, MaxCells: 16,
	}
	first := store.Acquire(ctx, []cache.AcquireRequest{req})[0]
	require.NoError(t, first.Err)
	require.Equal(t, cache.AcquireOwned, first.Status)
	again := store.Acquire(ctx, []cache.AcquireRequest{req})[0]
	require.Equal(t, first, again, "a retry gets the same lease")
	require.NoError(t, store.Wipe(ctx, []cache.WipeRequest{{Key: req.Key}}, 0)[0].Err)
	late := store.Acquire(ctx, []cache.AcquireRequest{req})[0]
	require.Equal(t, cache.AcquireOwned, late.Status)
	require.NotEqual(t, string(first.Cell), string(late.Cell), "after an invalidation it is another lease")
	fill := store.Fill(ctx, []cache.FillRequest{{CellRef: req.CellRef, Lease: first.Cell, Cell: []byte("Vold"), TTL: time.Minute}})[0]
	require.NoError(t, fill.Err)
	require.False(t, fill.Stored)
}
