package integration

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cached"
	"github.com/pgaside/pgaside/internal/migrate"
	"github.com/pgaside/pgaside/internal/servers"
	"github.com/pgaside/pgaside/internal/servers/containers"
	"github.com/pgaside/pgaside/repo"
)

// The servers that the tests of this package share. A test that stops, kills or squeezes a server starts one of its own.
var (
	postgres servers.PostgresServer
	shared   servers.RedisServer
	template string // a migrated database that each test copies
	admin    *pgxpool.Pool
)

func TestMain(m *testing.M) {
	if role := os.Getenv(peerRole); role != "" {
		os.Exit(runPeer(role))
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	logging.Disable() // go-redis writes a line to stderr for every dial that fails
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	fail := func(doing string, err error) int {
		fmt.Fprintf(os.Stderr, "%s: %v\n", doing, err)
		return 1
	}
	var err error
	if postgres, err = containers.StartPostgres(ctx, servers.PostgresOptions{}); err != nil {
		return fail("starting PostgreSQL", err)
	}
	defer postgres.Close()
	if shared, err = containers.StartRedis(ctx, servers.RedisOptions{}); err != nil {
		return fail("starting Redis", err)
	}
	defer shared.Close()
	// From here on a Redis that a test asks for is a new one: tests kill, freeze and flush what they own.
	if err := os.Unsetenv(servers.EnvRedisURL); err != nil {
		return fail("forgetting the named Redis", err)
	}

	templateURL, drop, err := postgres.CreateDatabase(ctx, "pgaside_template")
	if err != nil {
		return fail("creating the template database", err)
	}
	defer drop()
	if err := migrate.To(templateURL, 0); err != nil {
		return fail("migrating the template database", err)
	}
	if admin, err = pgxpool.New(ctx, postgres.URL()); err != nil {
		return fail("connecting to PostgreSQL", err)
	}
	defer admin.Close()
	cfg, err := pgx.ParseConfig(templateURL)
	if err != nil {
		return fail("reading the URL of the template database", err)
	}
	template = cfg.Database

	before := goleak.IgnoreCurrent() // what keeps the servers
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(before); err != nil {
			return fail("looking for goroutines that were left behind", err)
		}
	}
	return code
}

// world is a database and a namespace of a test's own.
type world struct {
	t     *testing.T
	dbURL string
	redis servers.RedisServer
	ns    string
	pool  *pgxpool.Pool
	rdb   *redis.Client // to look behind the cache's back
	log   *logBuffer
}

var worldSeq atomic.Int64

type worldOption func(*world)

// ownRedis gives the world a Redis of its own, which the test may kill, freeze and squeeze.
func ownRedis(args ...string) worldOption {
	return func(w *world) {
		srv, err := servers.StartRedis(w.t.Context(), servers.RedisOptions{Args: args})
		require.NoError(w.t, err)
		w.t.Cleanup(func() { _ = srv.Close() })
		w.redis = srv
	}
}

func newWorld(t *testing.T, opts ...worldOption) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{t: t, redis: shared, log: &logBuffer{}}
	for _, o := range opts {
		o(w)
	}
	name := fmt.Sprintf("pgaside_test_%d_%d", os.Getpid(), worldSeq.Add(1))
	_, err := admin.Exec(ctx, "create database "+name+" template "+template)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := admin.Exec(context.Background(), "drop database "+name+" with (force)")
		require.NoError(t, err)
	})
	cfg, err := pgxpool.ParseConfig(postgres.URL())
	require.NoError(t, err)
	cfg.ConnConfig.Database = name
	cfg.MaxConns = 16
	w.dbURL = databaseURL(postgres.URL(), name)
	w.pool, err = pgxpool.NewWithConfig(ctx, cfg)
	require.NoError(t, err)
	t.Cleanup(w.pool.Close)

	w.ns = fmt.Sprintf("%st%d_%d", w.redis.Namespace(), os.Getpid(), worldSeq.Add(1))
	ropts, err := redis.ParseURL(w.redis.URL())
	require.NoError(t, err)
	w.rdb = redis.NewClient(ropts)
	t.Cleanup(func() { _ = w.rdb.Close() })
	return w
}

func databaseURL(server, name string) string {
	u, err := url.Parse(server)
	if err != nil {
		panic(err)
	}
	u.Path = "/" + name
	return u.String()
}

// patience is what a cache waits for Redis in tests that are not about that.
const patience = 2 * time.Second

// open returns a cache of its own, as another process would have it: another process is another cache, pool and client.
func (w *world) open(change ...func(*cache.Options)) *cache.Cache {
	w.t.Helper()
	o := cache.Options{Namespace: w.ns, Logger: w.logger()}
	if w.redis == shared { // which nobody breaks: a busy machine must not look like a Redis that does not answer
		o.RedisBudget, o.FenceBudget = patience, patience
	}
	for _, f := range change {
		f(&o)
	}
	c, err := cache.Open(w.redis.URL(), o)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (w *world) logger() *slog.Logger { return slog.New(slog.NewTextHandler(w.log, nil)) }

// queries returns cached queries over a cache of their own.
func (w *world) queries(change ...func(*cache.Options)) (*cached.Queries, *cache.Cache) {
	w.t.Helper()
	c := w.open(change...)
	return cached.New(w.pool, c), c
}

func (w *world) source() *repo.Queries { return repo.New(w.pool) }

// clientOf returns a plain client for another server.
func (w *world) clientOf(url string) *redis.Client {
	w.t.Helper()
	o, err := redis.ParseURL(url)
	require.NoError(w.t, err)
	rdb := redis.NewClient(o)
	w.t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// redisKey is the key that a group's member has in Redis.
func (w *world) redisKey(group string, parts ...any) string {
	texts := make([]string, len(parts))
	for i, p := range parts {
		texts[i] = fmt.Sprint(p)
	}
	return fmt.Sprintf("%s:{%s:%s}", w.ns, group, strings.Join(texts, ":"))
}

func (w *world) user(ctx context.Context) repo.User {
	w.t.Helper()
	u, err := w.source().CreateUser(ctx, repo.CreateUserParams{
		Email: uuid.NewString() + "@example.org", DisplayName: "Somebody", Role: repo.UserRoleClient,
	})
	require.NoError(w.t, err)
	return u
}

func (w *world) session(ctx context.Context) repo.Session {
	w.t.Helper()
	s, err := w.source().CreateSession(ctx, repo.CreateSessionParams{UserID: w.user(ctx).ID, Title: "first"})
	require.NoError(w.t, err)
	return s
}

// eventually waits for a condition that has no event to wait for.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Fatalf("timed out waiting until %s", what)
}

// fields returns what a key holds, by the start of the field's name.
func (w *world) fields(ctx context.Context, key string) map[string]string {
	w.t.Helper()
	all, err := w.rdb.HGetAll(ctx, key).Result()
	require.NoError(w.t, err)
	out := make(map[string]string, len(all))
	for f, v := range all {
		name, _, _ := strings.Cut(f, ".")
		out[name] = v
	}
	return out
}

// stored waits until a cell of a query is there: the leader of a load does not wait for its fill.
func (w *world) stored(ctx context.Context, key, query string) {
	w.t.Helper()
	eventually(w.t, query+" is stored", func() bool { return strings.HasPrefix(w.fields(ctx, key)[query], "V") })
}

// unfenced waits until no fence is on a key: a write does not wait for its fence to be taken away.
func (w *world) unfenced(ctx context.Context, keys ...string) {
	w.t.Helper()
	eventually(w.t, "fences are gone", func() bool {
		for _, k := range keys {
			if n, err := w.rdb.HExists(ctx, k, "!").Result(); err != nil || n {
				return false
			}
		}
		return true
	})
}

var errBoom = errors.New("boom")
