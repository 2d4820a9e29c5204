package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9/logging"
	"github.com/spf13/cobra"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/httpcache"
	"github.com/pgaside/pgaside/cached"
	"github.com/pgaside/pgaside/internal/demo"
)

// shutdownFor is how long requests under way may take when the program ends.
const shutdownFor = 10 * time.Second

// serve is one run of "pgaside serve".
type serve struct {
	addr     string
	embedded bool
	scale    float64
	every    time.Duration
	log      *slog.Logger

	// ready is told where the server listens, and of the servers that it has started; for tests.
	ready func(addr string, e *demo.Embedded)
}

// newServeCommand returns "pgaside serve".
func newServeCommand() *cobra.Command {
	var s serve
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve health, statistics and invalidation of the model application over HTTP",
		Long: `Serve is the reference for what your own program does with package cache/httpcache: it opens the cache and the pool that the
environment names (pgaside config), makes the model application's cached queries over them, and answers

  /livez              the process answers
  /readyz             Postgres answers; Redis down is a warning
  /api/health/cache   GET: all there is to say. POST {"action": "get_stats" | "reset_stats" | "invalidate", …}

With --embedded it starts a PostgreSQL and a Redis of its own with a small set of data, and runs a light workload, so that
there is something to see. Actions that change something need PGASIDE_TOKEN, here and in the request.

It ends with SIGINT or SIGTERM, after the requests that are under way.`,
		Example: `  pgaside serve --embedded
  curl http://127.0.0.1:4000/api/health/cache
  DATABASE_URL=postgres://… REDIS_URL=redis://… pgaside serve --addr :4000`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			return s.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&s.addr, "addr", "", "where to listen (default: PGASIDE_ADDR, else "+defaultAddr+")")
	cmd.Flags().BoolVar(&s.embedded, "embedded", false, "start a PostgreSQL and a Redis, with data and a light workload")
	cmd.Flags().Float64Var(&s.scale, "scale", 0.01, "with --embedded: size of the data; 1 is about 20,000 users, 100,000 sessions, 1,000,000 messages")
	cmd.Flags().DurationVar(&s.every, "every", 20*time.Millisecond, "with --embedded: pause between two operations of the workload")
	return cmd
}

// run serves until ctx ends.
func (s *serve) run(ctx context.Context) (err error) {
	logging.Disable() // the cache logs what go-redis would print
	groups := cached.Groups()
	conf, err := readSettings(groups...)
	if err != nil {
		return err
	}
	for _, w := range conf.cache.Warnings {
		s.log.Warn(w)
	}
	conf.flags = make(map[string]string)
	if s.addr != "" {
		conf.flags[envAddr] = s.addr
	}
	var closers []func() error // in the order of opening
	defer func() {
		for i := len(closers) - 1; i >= 0; i-- {
			err = errors.Join(err, closers[i]())
		}
	}()
	var servers *demo.Embedded
	if s.embedded {
		s.log.Info("starting PostgreSQL and Redis, and loading data", "scale", s.scale)
		if servers, err = demo.StartEmbedded(ctx, demo.EmbeddedOptions{Scale: s.scale, Seed: 1}); err != nil {
			return err
		}
		closers = append(closers, servers.Close)
		conf.databaseURL, conf.cache.RedisURL = servers.Postgres.URL(), servers.Redis.URL()
		conf.flags[envDatabaseURL], conf.flags["REDIS_URL"] = cache.RedactURL(conf.databaseURL), conf.cache.RedisURL
	}
	switch {
	case conf.databaseURL == "":
		return fmt.Errorf("%s is not set: name the database, or use --embedded", envDatabaseURL)
	case conf.cache.RedisURL == "" && !conf.cache.Options.Disabled:
		return errors.New("REDIS_URL is not set: name the Redis, set CACHE_ENABLED=false, or use --embedded")
	}
	pool, err := pgxpool.New(ctx, conf.databaseURL)
	if err != nil {
		return fmt.Errorf("making the connection pool: %w", err)
	}
	closers = append(closers, func() error { pool.Close(); return nil })
	conf.cache.Options.Logger = s.log
	c, err := cache.Open(conf.cache.RedisURL, conf.cache.Options)
	if err != nil {
		return fmt.Errorf("opening the cache: %w", err)
	}
	closers = append(closers, c.Close)
	h, err := httpcache.New(c, httpcache.Options{
		Groups: groups, Ping: pool.Ping, Token: conf.token, Settings: conf.list(), Logger: s.log,
	})
	if err != nil {
		return err
	}

	mux := http.NewServeMux()
	mux.Handle("/", h) // what else a program serves, such as /metrics, is mounted beside it

	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cmp.Or(s.addr, conf.addr, defaultAddr))
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	addr := listener.Addr().String()
	s.log.Info("serving", "url", "http://"+addr+"/api/health/cache")
	if s.embedded {
		s.log.Info("the servers", envDatabaseURL, cache.RedactURL(conf.databaseURL), "REDIS_URL", cache.RedactURL(conf.cache.RedisURL))
		playing, stop := context.WithCancel(ctx)
		played := make(chan struct{})
		go func() {
			defer close(played)
			servers.Play(playing, cached.New(pool, c), s.every)
		}()
		closers = append(closers, func() error { stop(); <-played; return nil })
	}
	if s.ready != nil {
		s.ready(addr, servers)
	}
	select {
	case err := <-ended:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	s.log.Info("ending")
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownFor)
	defer cancel()
	if err := server.Shutdown(ending); err != nil {
		return fmt.Errorf("waiting for the requests under way: %w", err)
	}
	return nil
}
