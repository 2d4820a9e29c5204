package cache_test

import (
	"context"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/cachetest"
)

// newRedis starts a miniredis whose clock runs, with a client for it.
func newRedis(t *testing.T) (*miniredis.Miniredis, *redis.Client) {
	t.Helper()
	server := miniredis.RunT(t)
	server.ClockTTL(true)
	o := clientOptions(server.Addr())
	// A machine that is short of breath must not make the client send a command twice: the second clear of a fence finds none.
	o.MaxRetries, o.ReadTimeout = -1, time.Minute
	rdb := redis.NewClient(o)
	t.Cleanup(func() { _ = rdb.Close() })
	return server, rdb
}

// clientOptions are settings that New accepts.
func clientOptions(addr string) *redis.Options {
	const limit = 500 * time.Millisecond
	return &redis.Options{
		Addr: addr, ContextTimeoutEnabled: true, MaxRetries: 1, DialerRetries: 1,
		DialTimeout: limit, ReadTimeout: limit, WriteTimeout: limit, PoolTimeout: limit,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

func TestStoreInMemory(t *testing.T) {
	cachetest.TestStore(t, func(*testing.T) cache.Store { return cachetest.NewStore(nil) })
}

func TestRedisStore(t *testing.T) {
	cachetest.TestStore(t, func(t *testing.T) cache.Store {
		_, rdb := newRedis(t)
		return cache.NewRedisStore(rdb, false)
	})
}

func TestRedisStoreAfterTheScriptsAreLost(t *testing.T) {
	server, rdb := newRedis(t)
	s := cache.NewRedisStore(rdb, false)
	at := func(k string) cache.CellRef { return cache.CellRef{Key: k, Field: "f"} }
	for range 2 {
		reqs := []cache.AcquireRequest{
			{CellRef: at("a"), Nonce: "1", Lease: time.Minute, MaxCells: 9},
			{CellRef: at("b"), Nonce: "2", Lease: time.Minute, MaxCells: 9},
		}
		for _, r := range s.Acquire(t.Context(), reqs) { // a pipeline, in which EVALSHA does not fall back by itself
			if r.Err != nil || r.Status != cache.AcquireOwned {
				t.Fatalf("got %+v", r)
			}
		}
		for _, k := range []string{"a", "b"} {
			if r := s.Wipe(t.Context(), []cache.WipeRequest{{Key: k}}, 0)[0]; r.Err != nil {
				t.Fatal(r.Err)
			}
		}
		server.FlushAll()
		if err := rdb.ScriptFlush(context.Background()).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRedisStoreWithTooFewReplicas(t *testing.T) {
	_, rdb := newRedis(t)
	s := cache.NewRedisStore(rdb, false)
	r := s.Wipe(t.Context(), []cache.WipeRequest{{Key: "k", Add: "w", TTL: time.Minute}}, 1)[0]
	if r.Err == nil {
		t.Error("a fence that no replica has acknowledged was taken for acknowledged")
	}
}

func TestRedisStoreClosesOnlyWhatItOwns(t *testing.T) {
	_, rdb := newRedis(t)
	if err := cache.NewRedisStore(rdb, false).Close(); err != nil {
		t.Fatal(err)
	}
	if err := rdb.Ping(t.Context()).Err(); err != nil {
		t.Errorf("the caller's client was closed: %v", err)
	}
	if err := cache.NewRedisStore(rdb, true).Close(); err != nil {
		t.Fatal(err)
	}
	if rdb.Ping(t.Context()).Err() == nil {
		t.Error("the client was not closed")
	}
}
