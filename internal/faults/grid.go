package faults

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/internal/servers"
)

// grid is the servers that the scenarios of one topology run on.
type grid struct {
	stage    *stage
	redis    *servers.Redis
	sentinel *servers.Sentinel
	cluster  *servers.Cluster
	bouncer  *servers.PgBouncer
	admin    *redis.Client // of redis, not through a proxy
}

// keyLoadDelay is how long Redis takes for each key that it reads from a file.
const keyLoadDelay = time.Millisecond

// gridFor starts the servers of a topology when they are first needed. Those of another one are ended: two processors do not
// carry them all.
func (s *stage) gridFor(ctx context.Context, on topology) (*grid, error) {
	if g := s.grids[on]; g != nil {
		return g, nil
	}
	for other, g := range s.grids {
		if err := g.close(); err != nil {
			return nil, err
		}
		delete(s.grids, other)
	}
	g := &grid{stage: s}
	s.grids[on] = g
	var err error
	switch on {
	case sentinel:
		g.sentinel, err = servers.StartSentinel(ctx, servers.SentinelOptions{})
	case cluster:
		g.cluster, err = servers.StartCluster(ctx, servers.ClusterOptions{Args: []string{"--cluster-require-full-coverage", "no"}})
	case pgbouncer:
		if g.bouncer, err = servers.StartPgBouncer(ctx, servers.PgBouncerOptions{Database: s.postgres.URL(), PoolSize: 10}); err == nil {
			err = g.startRedis(ctx)
		}
	case single:
		err = g.startRedis(ctx)
	}
	return g, err
}

func (g *grid) startRedis(ctx context.Context) (err error) {
	if g.redis, err = servers.StartRedis(ctx, servers.RedisOptions{Own: true, Args: []string{
		"--enable-debug-command", "local",
		"--key-load-delay", strconv.FormatInt(keyLoadDelay.Microseconds(), 10), "--loading-process-events-interval-bytes", "1024",
	}}); err != nil {
		return err
	}
	o, err := redis.ParseURL(g.redis.URL())
	if err != nil {
		return fmt.Errorf("reading the address of Redis: %w", err)
	}
	o.ReadTimeout = 30 * time.Second // DEBUG SLEEP answers late
	g.admin = redis.NewClient(o)
	return nil
}

// mend makes sure that a scenario begins on good servers with nothing in the cache.
func (g *grid) mend(ctx context.Context) error {
	if g.redis == nil {
		return nil // scenarios have keys of their own
	}
	if err := g.admin.FlushAll(ctx).Err(); err != nil {
		return fmt.Errorf("emptying Redis: %w", err)
	}
	return nil
}

// heal makes Redis well again where one fault was in another's way when that was to end.
func (g *grid) heal(ctx context.Context) error {
	if g.redis == nil {
		return nil
	}
	_ = g.redis.Thaw() // one that doesn't run is started now
	if err := g.redis.Start(ctx); err != nil {
		return fmt.Errorf("starting Redis again: %w", err)
	}
	rdb := g.admin
	if err := rdb.Ping(ctx).Err(); err != nil && cache.Classify(err) == cache.ErrorAuth {
		o := *g.admin.Options()
		o.Password = secret
		rdb = redis.NewClient(&o)
		defer rdb.Close()
	}
	pipe := rdb.Pipeline()
	pipe.Do(ctx, "CLIENT", "UNPAUSE")
	pipe.Do(ctx, "REPLICAOF", "NO", "ONE")
	pipe.ConfigSet(ctx, "requirepass", "")
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("making Redis well again: %w", err)
	}
	return nil
}

func (g *grid) close() error {
	var errs []error
	if g.admin != nil {
		errs = append(errs, g.admin.Close())
	}
	if g.redis != nil {
		errs = append(errs, g.redis.Close())
	}
	if g.sentinel != nil {
		errs = append(errs, g.sentinel.Close())
	}
	if g.cluster != nil {
		errs = append(errs, g.cluster.Close())
	}
	if g.bouncer != nil {
		errs = append(errs, g.bouncer.Close())
	}
	return errors.Join(errs...)
}

// redisURL is the address of Redis; with Sentinel there is none.
func (g *grid) redisURL() string {
	switch {
	case g.cluster != nil:
		addrs := g.cluster.Addrs()
		return "redis://" + addrs[0] + "?cluster=true&addr=" + strings.Join(addrs[1:], "&addr=")
	case g.sentinel != nil:
		return ""
	}
	return g.redis.URL()
}

func (g *grid) sentinels() (addrs []string, master string) {
	if g.sentinel == nil {
		return nil, ""
	}
	return g.sentinel.Addrs(), g.sentinel.Name()
}

func (g *grid) databaseURL() string {
	if g.bouncer != nil {
		return g.bouncer.URL()
	}
	return g.stage.postgres.URL()
}

// proxied puts a proxy before what a URL leads to.
func proxied(address string) (string, *proxy, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", nil, fmt.Errorf("reading the address of a server: %w", err)
	}
	p, err := newProxy(u.Host)
	if err != nil {
		return "", nil, err
	}
	u.Host = p.addr()
	return u.String(), p, nil
}
