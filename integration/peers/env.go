package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/pgaside/pgaside/internal/servers"
)

//go:embed schema.sql
var schema string

const maxConns = 16 // of a pool

// env is what the parts run on: servers of our own, with the rows in Postgres.
type env struct {
	settings
	data     *dataset
	redis    *servers.Redis
	postgres *servers.Postgres
	pool     *pgxpool.Pool
	control  *redis.Client // looks at the server; measured by nobody
}

// settings is how much is measured.
type settings struct {
	Rounds int
	Rows   int
	Quick  bool // each cell for a moment only: shows that it works, and counts
}

// pick returns full, or quick in a quick run.
func pick[T any](s settings, full, quick T) T {
	if s.Quick {
		return quick
	}
	return full
}

func newEnv(ctx context.Context, s settings) (e *env, err error) {
	e = &env{settings: s, data: newDataset(s.Rows)}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	if e.redis, err = servers.StartRedis(ctx, servers.RedisOptions{Own: true}); err != nil {
		return nil, err
	}
	o, err := redis.ParseURL(e.redis.URL())
	if err != nil {
		return nil, err
	}
	o.DisableIdentity = true
	e.control = redis.NewClient(o)
	if e.postgres, e.pool, err = startPostgres(ctx, e.data, nil); err != nil {
		return nil, err
	}
	return e, nil
}

// startPostgres starts a server with the rows in it.
func startPostgres(ctx context.Context, d *dataset, more map[string]string) (*servers.Postgres, *pgxpool.Pool, error) {
	settings := map[string]string{"shared_buffers": "256MB", "max_connections": "300"}
	for name, value := range more {
		settings[name] = value
	}
	p, err := servers.StartPostgres(ctx, servers.PostgresOptions{Own: true, Settings: settings})
	if err != nil {
		return nil, nil, err
	}
	pool, err := newPool(ctx, p.URL(), maxConns, nil)
	if err == nil {
		err = d.store(ctx, pool)
	}
	if err != nil {
		return nil, nil, errors.Join(err, p.Close())
	}
	return p, pool, nil
}

// newPool opens a pool. Its round trips are counted if there is something to count them in.
func newPool(ctx context.Context, url string, conns int32, t *turns) (*pgxpool.Pool, error) {
	conf, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	conf.MaxConns = conns
	if t != nil {
		conf.ConnConfig.DialFunc = t.dial
		conf.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false } // a ping of an idle connection is no part of the work
	}
	return pgxpool.NewWithConfig(ctx, conf)
}

// fresh empties Redis, which is ours alone.
func (e *env) fresh(ctx context.Context) error {
	if err := e.control.FlushAll(ctx).Err(); err != nil {
		return fmt.Errorf("emptying Redis: %w", err)
	}
	return nil
}

func (e *env) close() error {
	var errs []error
	if e.control != nil {
		errs = append(errs, e.control.Close())
	}
	if e.pool != nil {
		e.pool.Close()
	}
	if e.redis != nil {
		errs = append(errs, e.redis.Close())
	}
	if e.postgres != nil {
		errs = append(errs, e.postgres.Close())
	}
	return errors.Join(errs...)
}
