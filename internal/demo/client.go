package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cached"
	"github.com/pgaside/pgaside/repo"
)

// poolSize is how many connections to Postgres each process has.
const poolSize = 16

// client is what an application has: a pool, and the queries over it, straight and cached.
type client struct {
	pool   *pgxpool.Pool
	wire   *wireCounter
	source *repo.Queries
	cache  *cache.Cache
	cached *cached.Queries
}

// patient are cache options for the acts in which Redis is there all the time, and only slow when the whole machine is: a
// fence that is given up would leave the other process with what it has, as documented, and show nothing of the protocol.
var patient = cache.Options{RedisBudget: 5 * time.Second, FenceBudget: 5 * time.Second}

// newClient connects to both servers.
func newClient(ctx context.Context, postgresURL, redisURL string, o cache.Options) (*client, error) {
	config, err := pgxpool.ParseConfig(postgresURL)
	if err != nil {
		return nil, fmt.Errorf("parsing the database URL: %w", err)
	}
	c := &client{wire: &wireCounter{}}
	config.MaxConns = poolSize
	config.ConnConfig.AfterNetConnect = c.wire.afterNetConnect
	if c.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, fmt.Errorf("making the connection pool: %w", err)
	}
	if c.cache, err = cache.Open(redisURL, o); err != nil {
		c.pool.Close()
		return nil, fmt.Errorf("opening the cache: %w", err)
	}
	c.source = repo.New(c.pool)
	c.cached = cached.New(c.pool, c.cache)
	return c, nil
}

// client connects to the servers of the stage, and keeps what it caches in a namespace for one part of the demo.
func (s *stage) client(ctx context.Context, part string, o cache.Options) (*client, error) {
	o.Namespace = s.namespace(part)
	return newClient(ctx, s.postgres.URL(), s.redis.URL(), o)
}

// namespace returns the prefix of the keys of one part of the demo.
func (s *stage) namespace(part string) string { return s.redis.Namespace() + "." + part }

func (c *client) close() error {
	err := c.cache.Close()
	c.pool.Close()
	return err
}
