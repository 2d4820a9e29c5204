package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgaside/pgaside/integration/peers/repo"
)

// What a read gives its caller.
const (
	bytesOnly = "bytes only"
	decoded   = "JSON decoded"
	pointer   = "shared pointer"
	typed     = "typed value"
)

const ttl = time.Hour

// peer is one way of reading a row, as a program would use it. Rows are named by their number in the dataset. What a peer
// can't do is nil.
type peer struct {
	name, gives string

	// get returns the title of the row, "" where it has the bytes only.
	get func(ctx context.Context, i int) (string, error)

	// getMany reads several rows and returns how many there were.
	getMany func(ctx context.Context, rows []int) (int, error)

	// write gives a row another title.
	write func(ctx context.Context, i int, title string) error

	// warm puts all rows where get finds them; nil: by reading them.
	warm func(ctx context.Context) error

	// loads is how many queries Postgres has been asked.
	loads func() int64

	close func()
}

// maker makes a peer for a part of the run.
type maker struct {
	name, gives string
	does        []string // the parts that it takes part in
	make        func(context.Context, *world) (*peer, error)
}

// world is what a peer is made on.
type world struct {
	data     *dataset
	redisURL string
	pool     *pgxpool.Pool
	keys     []string      // of the rows, for this peer
	prefix   string        // of anything else that it puts into Redis
	patience time.Duration // what pgaside may wait for Redis; 0: its default
	counted  *turns        // counts round trips to Redis, for peers that know how
}

// makers are all peers, in the order of the tables.
func makers() []maker {
	return slices.Concat(postgresPeers(), pgasidePeers(), goRedisPeers(), rueidisPeers(), goRedisCachePeers(), goZeroPeers(), inProcessPeers())
}

// peers makes those that take part in a part of the run.
func (e *env) peers(ctx context.Context, part string) (out []*peer, closeAll func(), err error) {
	closeAll = func() {
		for _, p := range out {
			p.close()
		}
	}
	for n, m := range makers() {
		if !slices.Contains(m.does, part) {
			continue
		}
		p, err := m.make(ctx, e.world(n))
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("%s: %w", m.name, err)
		}
		p.name, p.gives = m.name, m.gives
		out = append(out, p)
	}
	return out, closeAll, nil
}

// patience is what pgaside may wait for Redis in a quick run: what is counted there must not depend on how busy the machine is.
const patience = 45 * time.Second

func (e *env) world(n int) *world {
	prefix := fmt.Sprintf("%02d", n)
	return &world{
		data: e.data, redisURL: e.redis.URL(), pool: e.pool, keys: e.data.keys(prefix), prefix: prefix,
		patience: pick(e.settings, 0, patience),
	}
}

// fill makes every row a hit, and looks whether what comes back is right.
func (p *peer) fill(ctx context.Context, d *dataset) error {
	if p.warm != nil {
		if err := p.warm(ctx); err != nil {
			return fmt.Errorf("%s: filling: %w", p.name, err)
		}
	}
	for range 20 { // a fill may still be on its way, or have been lost
		before := p.loads()
		if err := readAll(len(d.rows), func(i int) error {
			title, err := p.get(ctx, i)
			if err == nil && p.gives != bytesOnly && title != d.rows[i].Title {
				err = errors.New("a row that is not the one that was asked for")
			}
			return err
		}); err != nil {
			return fmt.Errorf("%s: filling: %w", p.name, err)
		}
		if p.loads() == before {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("%s: not every read is a hit after 20 times of reading all rows", p.name)
}

func readAll(n int, read func(i int) error) error {
	const workers = 8
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n && errs[w] == nil; i += workers {
				errs[w] = read(i)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// source loads rows from Postgres, counted.
type source struct {
	q *repo.Queries
	d *dataset
	n atomic.Int64
}

func (w *world) source() *source { return &source{q: repo.New(w.pool), d: w.data} }

func (s *source) loads() int64 { return s.n.Load() }

func (s *source) one(ctx context.Context, i int) (repo.Item, error) {
	s.n.Add(1)
	return s.q.GetItem(ctx, s.d.rows[i].ID)
}

// postgresPeers read Postgres, without a cache.
func postgresPeers() []maker {
	return []maker{{
		name: "pgx, no cache", gives: typed, does: []string{"hit", "throughput", "miss", "batch-hits", "batch-misses", "write"},
		make: func(_ context.Context, w *world) (*peer, error) {
			src := w.source()
			return &peer{
				get: func(ctx context.Context, i int) (string, error) {
					row, err := src.one(ctx, i)
					return row.Title, err
				},
				getMany: func(ctx context.Context, rows []int) (int, error) {
					got, err := src.many(ctx, rows)
					return len(got), err
				},
				write: src.rename,
				warm:  nil,
				loads: func() int64 { return 0 }, // every read is one: it says nothing here
				close: func() {},
			}, nil
		},
	}}
}

func (s *source) rename(ctx context.Context, i int, title string) error {
	return s.q.RenameItem(ctx, repo.RenameItemParams{ID: s.d.rows[i].ID, Title: title})
}

func decode(text []byte) (repo.Item, error) {
	var row repo.Item
	err := json.Unmarshal(text, &row)
	return row, err
}
