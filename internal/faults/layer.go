package faults

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cached"
	"github.com/pgaside/pgaside/repo"
)

// layer is a way to read and write rows. Three are ours, one for each mode; the others are what people do without, and are
// here to show that the checker sees.
type layer interface {
	read(ctx context.Context, id uuid.UUID) (int64, error)
	readMany(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]int64, error)
	write(ctx context.Context, id uuid.UUID) (int64, error)
	writeBoth(ctx context.Context, a, b uuid.UUID, o pgx.TxOptions) (va, vb int64, err error)
	stats() *cache.Stats // nil if it keeps none
	close() error
}

// The names of the layers, as they stand in the report.
const (
	layerFenced       = "fenced"
	layerStrict       = "strict"
	layerAfterCommit  = "aftercommit"
	layerNaive        = "naive cache-aside"
	layerDoubleDelete = "delayed double delete"
	layerUnleased     = "fence, fill without lease"
)

var (
	ourLayers = []string{layerFenced, layerStrict, layerAfterCommit}
	handMade  = []string{layerNaive, layerDoubleDelete, layerUnleased}
)

// perturb holds a reader up between its load and its fill now and then, as a busy machine would, in every layer alike.
func perturb() {
	if rand.IntN(50) == 0 {
		time.Sleep(time.Duration(rand.IntN(10_000)) * time.Microsecond)
	}
}

func newLayer(ctx context.Context, cfg *workerConfig, name string, pool *pgxpool.Pool, failpoint func(string)) (layer, error) {
	switch name {
	case layerFenced:
		return newDecorated(ctx, cfg, name, cache.Fenced, pool, failpoint)
	case layerStrict:
		return newDecorated(ctx, cfg, name, cache.Strict, pool, failpoint)
	case layerAfterCommit:
		return newDecorated(ctx, cfg, name, cache.AfterCommit, pool, failpoint)
	case layerNaive, layerDoubleDelete, layerUnleased:
		rdb, err := openRedis(cfg)
		if err != nil {
			return nil, err
		}
		return &byHand{rdb: rdb, source: repo.New(pool), how: name, prefix: cfg.Namespace + ":"}, nil
	}
	return nil, fmt.Errorf("there is no layer %q", name)
}

// decorated is the generated decorator over the engine, as a user's program has it.
type decorated struct {
	c *cache.Cache
	q *cached.Queries
	r redis.UniversalClient // nil: the cache has opened it itself
}

func newDecorated(_ context.Context, cfg *workerConfig, name string, mode cache.Mode, pool *pgxpool.Pool, failpoint func(string)) (*decorated, error) {
	o := cache.Options{
		Namespace: cfg.Namespace + ":" + name,
		Groups:    map[string]cache.GroupOptions{"prompt": {Mode: mode, TTL: cfg.TTL}},
		Logger:    slog.New(slog.DiscardHandler),

		FenceBudget: cfg.FenceBudget,
		Failpoint: func(_ context.Context, at string) {
			if at == "before-fill" {
				perturb()
			}
			failpoint(at)
		},
	}
	if mode == cache.Strict {
		o.Replicas = cfg.Replicas
	}
	d := &decorated{}
	var err error
	if cfg.Sentinels == nil {
		d.c, err = cache.Open(cfg.Redis, o)
	} else {
		if d.r, err = openRedis(cfg); err == nil {
			d.c, err = cache.New(d.r, o)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("opening the cache: %w", err)
	}
	d.q = cached.New(pool, d.c)
	return d, nil
}

// openRedis makes a client with the settings that cache.Open gives its own.
func openRedis(cfg *workerConfig) (redis.UniversalClient, error) {
	const limit = 500 * time.Millisecond
	if cfg.Sentinels != nil {
		return redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: cfg.Master, SentinelAddrs: cfg.Sentinels, ContextTimeoutEnabled: true,
			DialTimeout: limit, ReadTimeout: limit, WriteTimeout: limit, PoolTimeout: limit, MaxRetries: 1, DialerRetries: 1,
			DisableIdentity: true,
		}), nil
	}
	o, err := redis.ParseURL(cfg.Redis)
	if err != nil {
		return nil, fmt.Errorf("reading the Redis URL: %w", err)
	}
	return redis.NewClient(o), nil
}

func (d *decorated) read(ctx context.Context, id uuid.UUID) (int64, error) {
	p, err := d.q.GetTherapyPrompt(ctx, id)
	return p.Uses, err
}

func (d *decorated) readMany(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]int64, error) {
	rows, err := d.q.ListTherapyPromptsByIDs(ctx, ids)
	return versionsOf(rows), err
}

func versionsOf(rows []repo.TherapyPrompt) map[uuid.UUID]int64 {
	out := make(map[uuid.UUID]int64, len(rows))
	for _, p := range rows {
		out[p.ID] = p.Uses
	}
	return out
}

func (d *decorated) write(ctx context.Context, id uuid.UUID) (int64, error) {
	p, err := d.q.CountTherapyPromptUse(ctx, id)
	return p.Uses, err
}

func (d *decorated) writeBoth(ctx context.Context, a, b uuid.UUID, o pgx.TxOptions) (va, vb int64, err error) {
	err = d.q.InTx(ctx, o, func(q *cached.Queries) error {
		pa, err := q.CountTherapyPromptUse(ctx, a)
		if err != nil {
			return err
		}
		pb, err := q.CountTherapyPromptUse(ctx, b)
		va, vb = pa.Uses, pb.Uses
		return err
	})
	return va, vb, err
}

func (d *decorated) stats() *cache.Stats {
	s := d.c.Stats()
	return &s
}

func (d *decorated) close() error {
	err := d.c.Close()
	if d.r != nil {
		err = errors.Join(err, d.r.Close())
	}
	return err
}

// byHand is a cache as it is often written. Everything that Redis says is an error is taken for a miss, so that what is
// compared is staleness alone.
type byHand struct {
	rdb    redis.UniversalClient
	source *repo.Queries
	how    string
	prefix string
}

// byHandTTL is how long an entry lives.
const byHandTTL = 5 * time.Minute

// doubleDeleteAfter is how long after the write the second delete comes.
const doubleDeleteAfter = 50 * time.Millisecond

// fillUnlessFenced stores a value unless a writer's fence is there: half of what is needed.
var fillUnlessFenced = redis.NewScript(`
if redis.call('EXISTS', KEYS[1] .. ':fence') == 0 then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return 1`)

func (h *byHand) key(id uuid.UUID) string { return h.prefix + "{" + h.how + ":" + id.String() + "}" }

func (h *byHand) read(ctx context.Context, id uuid.UUID) (int64, error) {
	fenced := false
	if h.how == layerUnleased {
		n, err := h.rdb.Exists(ctx, h.key(id)+":fence").Result()
		fenced = err == nil && n > 0
	}
	if !fenced {
		if v, err := h.rdb.Get(ctx, h.key(id)).Int64(); err == nil {
			return v, nil
		}
	}
	p, err := h.source.GetTherapyPrompt(ctx, id)
	if err != nil {
		return 0, err
	}
	perturb()
	switch {
	case h.how == layerUnleased && !fenced:
		_ = fillUnlessFenced.Run(ctx, h.rdb, []string{h.key(id)}, p.Uses, byHandTTL.Milliseconds()).Err()
	case h.how != layerUnleased:
		_ = h.rdb.Set(ctx, h.key(id), p.Uses, byHandTTL).Err()
	}
	return p.Uses, nil
}

func (h *byHand) readMany(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]int64, error) {
	out := make(map[uuid.UUID]int64, len(ids))
	for _, id := range ids {
		v, err := h.read(ctx, id)
		if err != nil {
			return nil, err
		}
		out[id] = v
	}
	return out, nil
}

func (h *byHand) write(ctx context.Context, id uuid.UUID) (int64, error) {
	switch h.how {
	case layerDoubleDelete:
		_ = h.rdb.Del(ctx, h.key(id)).Err()
	case layerUnleased:
		pipe := h.rdb.TxPipeline()
		pipe.Set(ctx, h.key(id)+":fence", 1, 10*time.Second)
		pipe.Del(ctx, h.key(id))
		_, _ = pipe.Exec(ctx)
	}
	p, err := h.source.CountTherapyPromptUse(ctx, id)
	_ = h.rdb.Del(ctx, h.key(id), h.key(id)+":fence").Err()
	if h.how == layerDoubleDelete {
		again := context.WithoutCancel(ctx)
		time.AfterFunc(doubleDeleteAfter, func() { _ = h.rdb.Del(again, h.key(id)).Err() })
	}
	return p.Uses, err
}

func (h *byHand) writeBoth(ctx context.Context, a, b uuid.UUID, _ pgx.TxOptions) (va, vb int64, err error) {
	if va, err = h.write(ctx, a); err != nil {
		return 0, 0, err
	}
	vb, err = h.write(ctx, b)
	return va, vb, err
}

func (h *byHand) stats() *cache.Stats { return nil }
func (h *byHand) close() error        { return h.rdb.Close() }
