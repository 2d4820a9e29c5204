package cache_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/cachetest"
)

func TestOptionsAreValidated(t *testing.T) {
	rdb := redis.NewClient(clientOptions("localhost:1"))
	defer rdb.Close()
	for want, o := range map[string]cache.Options{
		"Options.Namespace: at most 64 characters, got 65":               {Namespace: strings.Repeat("n", 65)},
		`Options.Namespace "a b": want only letters, digits and _ . : -`: {Namespace: "a b"},
		`Options.Namespace "a{b": want only`:                             {Namespace: "a{b"},
		"Options.DefaultTTL must be at least 1ms, got -1s":               {DefaultTTL: -time.Second},
		"Options.NegativeTTL must be at least 1ms":                       {NegativeTTL: 1},
		"Options.RedisBudget must be at least 1ms":                       {RedisBudget: 1},
		"Options.FenceBudget must be at least 1ms":                       {FenceBudget: -1},
		"Options.LeaseTTL must be at least 1ms":                          {LeaseTTL: -1},
		"Options.FenceTTL must be at least 30s, got 10s":                 {FenceTTL: 10 * time.Second},
		"Options.LoadTimeout must be at least 1ms":                       {LoadTimeout: -1},
		"Options.MaxCells must be at least 2, got 1":                     {MaxCells: 1},
		"Options.MaxCellBytes must be at least 1, got -1":                {MaxCellBytes: -1},
		"Options.MaxFallbackLoads must be at least 1, got -1":            {MaxFallbackLoads: -1},
		"Options.Replicas must be at least 0, got -1":                    {Replicas: -1},
		`Options.Groups: cache: group name "a-b": want letters`:          {Groups: map[string]cache.GroupOptions{"a-b": {}}},
		`Options.Groups["a"].TTL must not be negative, got -1s`:          {Groups: map[string]cache.GroupOptions{"a": {TTL: -time.Second}}},
		"Options.DefaultMode 9 is unknown":                               {DefaultMode: 9},
		`Options.Groups["a"].Mode 9 is unknown`:                          {Groups: map[string]cache.GroupOptions{"a": {Mode: 9}}},
		`Options.Groups: cache: group name "": want 1 to 64 characters`:  {Groups: map[string]cache.GroupOptions{"": {}}},
	} {
		_, withStore := cache.NewWithStore(cachetest.NewStore(nil), o)
		_, open := cache.Open("redis://localhost:1", o)
		_, client := cache.New(rdb, o)
		for how, err := range map[string]error{"NewWithStore": withStore, "Open": open, "New": client} {
			if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "cache: ") {
				t.Errorf("%s: got %v, want %s", how, err, want)
			}
		}
	}
}

func TestOptionsOfGroups(t *testing.T) {
	w := emptyWorld(t)
	c := w.process(cache.Options{DefaultTTL: time.Hour, Groups: map[string]cache.GroupOptions{
		"users": {TTL: 5 * time.Second, Mode: cache.Strict}, "strict": {NegativeOff: true},
	}})
	for _, g := range []cache.Group[int64]{users, strict, afterwards} {
		_, _ = w.readCtx(t.Context(), c, g, 1)
	}
	groups := c.Stats().Groups
	for name, want := range map[string]cache.GroupStats{
		"users":      {TTL: 5 * time.Second, Mode: "strict"},
		"strict":     {TTL: time.Hour, Mode: "strict"},
		"afterwards": {TTL: time.Hour, Mode: "aftercommit"},
	} {
		if got := groups[name]; got.TTL != want.TTL || got.Mode != want.Mode {
			t.Errorf("%s: got %s, %s", name, got.TTL, got.Mode)
		}
	}
	_ = c.Close()

	// A default mode is for those that say nothing.
	c = w.process(cache.Options{DefaultMode: cache.AfterCommit})
	for _, g := range []cache.Group[int64]{users, strict} {
		_, _ = w.readCtx(t.Context(), c, g, 1)
	}
	equal(t, "default mode", c.Stats().Groups["users"].Mode, "aftercommit")
	equal(t, "own mode", c.Stats().Groups["strict"].Mode, "strict")
	_ = c.Close()
}

func TestModes(t *testing.T) {
	for _, m := range []cache.Mode{cache.Fenced, cache.Strict, cache.AfterCommit} {
		if got, err := cache.ParseMode(m.String()); err != nil || got != m {
			t.Errorf("%s: %v, %v", m, got, err)
		}
	}
	if _, err := cache.ParseMode("loose"); err == nil || !strings.Contains(err.Error(), "want fenced, strict or aftercommit") {
		t.Errorf("got %v", err)
	}
	equal(t, "unknown", cache.Mode(9).String(), "Mode(9)")
}

func TestGroupsRefuseBadNames(t *testing.T) {
	for name, f := range map[string]func(){
		"empty":        func() { cache.NewGroup[int]("", cache.GroupOptions{}) },
		"brace":        func() { cache.NewGroup2[int, int]("a}", cache.GroupOptions{}) },
		"long":         func() { cache.NewGroup3[int, int, int](strings.Repeat("a", 65), cache.GroupOptions{}) },
		"negative TTL": func() { cache.NewGroup[int]("a", cache.GroupOptions{TTL: -1}) },
		"part":         func() { cache.NewGroup[float64]("a", cache.GroupOptions{}).Key(1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func TestNewRefusesUnsuitableClients(t *testing.T) {
	const field = "the Redis client is unsuitable"
	single := func(change func(o *redis.Options)) redis.UniversalClient {
		o := clientOptions("localhost:1")
		change(o)
		c := redis.NewClient(o)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	cluster := func(change func(o *redis.ClusterOptions)) redis.UniversalClient {
		s := clientOptions("")
		o := &redis.ClusterOptions{
			Addrs: []string{"localhost:1"}, ContextTimeoutEnabled: true, MaxRetries: 1, DialerRetries: 1, DisableIdentity: true,
			DialTimeout: s.DialTimeout, ReadTimeout: s.ReadTimeout, WriteTimeout: s.WriteTimeout, PoolTimeout: s.PoolTimeout,
			MaintNotificationsConfig: s.MaintNotificationsConfig,
		}
		change(o)
		c := redis.NewClusterClient(o)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	defaults := redis.NewClient(&redis.Options{Addr: "localhost:1"})
	defer defaults.Close()
	for _, c := range []struct {
		rdb  redis.UniversalClient
		want []string
	}{
		{single(func(*redis.Options) {}), nil},
		{cluster(func(*redis.ClusterOptions) {}), nil},
		{single(func(o *redis.Options) { o.MaxRetries = -1 }), nil},
		{single(func(o *redis.Options) { o.ContextTimeoutEnabled = false }), []string{"ContextTimeoutEnabled is false"}},
		{single(func(o *redis.Options) { o.MaxRetries = 2 }), []string{"MaxRetries is 2"}},
		{single(func(o *redis.Options) { o.DialerRetries = 5 }), []string{"DialerRetries is 5"}},
		{single(func(o *redis.Options) { o.DialTimeout = time.Second }), []string{"DialTimeout is 1s, must be within the budget of 500ms"}},
		{single(func(o *redis.Options) { o.ReadTimeout = time.Second }), []string{"ReadTimeout is 1s"}},
		{single(func(o *redis.Options) { o.ReadTimeout = -1 }), []string{"ReadTimeout is"}},
		{single(func(o *redis.Options) { o.WriteTimeout = time.Second }), []string{"WriteTimeout is 1s"}},
		{single(func(o *redis.Options) { o.PoolTimeout = time.Second }), []string{"PoolTimeout is 1s"}},
		{single(func(o *redis.Options) {
			o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeEnabled}
		}), []string{"MaintNotificationsConfig.Mode"}},
		{defaults, []string{
			"ContextTimeoutEnabled", "MaxRetries is 3", "DialerRetries is 5", "DialTimeout", "ReadTimeout", "WriteTimeout", "PoolTimeout",
		}},
		{cluster(func(o *redis.ClusterOptions) { o.RouteByLatency = true }), []string{"RouteByLatency is true"}},
		{cluster(func(o *redis.ClusterOptions) { o.RouteRandomly = true }), []string{"RouteRandomly is true"}},
		{cluster(func(o *redis.ClusterOptions) { o.ReadOnly = true }), []string{"ReadOnly is true"}},
		{cluster(func(o *redis.ClusterOptions) { o.ContextTimeoutEnabled = false }), []string{"ContextTimeoutEnabled is false"}},
	} {
		_, err := cache.New(c.rdb, cache.Options{})
		if len(c.want) == 0 {
			if err != nil {
				t.Errorf("a suitable client: %v", err)
			}
			continue
		}
		for _, want := range append(c.want, field) {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		}
	}
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "localhost:1"}})
	defer ring.Close()
	if _, err := cache.New(ring, cache.Options{}); err == nil || !strings.Contains(err.Error(), "*redis.Ring cannot be used") {
		t.Errorf("got %v", err)
	}
	cached := clientOptions("localhost:1")
	cached.Protocol = 3
	cached.ClientSideCacheConfig = &redis.CacheConfig{}
	rdb := redis.NewClient(cached)
	defer rdb.Close()
	if _, err := cache.New(rdb, cache.Options{}); err == nil || !strings.Contains(err.Error(), "ClientSideCacheConfig is set") {
		t.Errorf("got %v", err)
	}
}

func TestOpenNeverDials(t *testing.T) {
	for _, url := range []string{
		"redis://localhost:1/3", "rediss://user:password@localhost:1", "unix:///nonexistent/redis.sock?db=2",
		"redis://localhost:1?cluster=true&addr=localhost:2", "rediss://localhost:1?cluster=true",
		"redis://localhost:1?master_name=m&addr=localhost:2&username=u&password=p", "rediss://u:p@localhost:1/1?master_name=m",
	} {
		c, err := cache.Open(url, cache.Options{})
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	for url, want := range map[string]string{
		"":                                     "the Redis URL is empty",
		"localhost:6379":                       "reading the Redis URL",
		"http://localhost":                     "invalid URL scheme",
		"redis://localhost:1?read_timeout=10s": "ReadTimeout is 10s, must be within the budget of 500ms",
		"redis://localhost:1?max_retries=3":    "max_retries is 3",
		"redis://localhost:1?max_retries=-7":   "max_retries is -7",
		"redis://localhost:1?pool_size=-1":     "pool_size is -1",
		"redis://localhost:1?cluster=true&pool_size=2147483647": "pool_size is 2147483647",
		"redis://localhost:1?cluster=true&read_only=true":       "ReadOnly is true",
	} {
		if c, err := cache.Open(url, cache.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", url, err, want)
			if err == nil {
				_ = c.Close()
			}
		}
	}
}

// Over a Redis that is not there, every read is served, and every kind of write does what its mode says.
func TestOpenWithoutRedis(t *testing.T) {
	w := emptyWorld(t)
	c, err := cache.Open("redis://127.0.0.1:1", cache.Options{Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	w.put(1, "a")
	for range 20 {
		if name, err := w.readCtx(t.Context(), c, users, 1); err != nil || name != "a" {
			t.Fatalf("%q, %v", name, err)
		}
	}
	equal(t, "breaker", c.Stats().BreakerOpen, true)
	if err := w.write(c, users, 1, "b"); err != nil {
		t.Error(err)
	}
	if err := w.write(c, afterwards, 1, "b"); err != nil {
		t.Error(err)
	}
	if err := w.write(c, strict, 1, "b"); err == nil {
		t.Error("a strict write without a fence")
	}
	equal(t, "connection errors", c.Stats().Errors["connection"] > 0, true)
}

// The engine over the real scripts.
func TestOverRedis(t *testing.T) {
	server, rdb := newRedis(t)
	w := emptyWorld(t)
	client := redis.NewClient(clientOptions(server.Addr()))
	defer client.Close()
	c, err := cache.New(client, cache.Options{Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	w.c = c
	w.put(1, "old")
	read := func() string {
		name, err := w.readCtx(t.Context(), c, users, 1)
		if err != nil {
			t.Error(err)
		}
		return name
	}
	waitFor(t, func() bool { // a fill may be too late on a busy machine
		equal(t, "first", read(), "old")
		return w.stats(users).Fills+w.stats(users).Bypasses > 0
	})
	for i := range 5 {
		value := string(rune('a' + i))
		if err := w.write(c, users, 1, value); err != nil {
			t.Fatal(err)
		}
		equal(t, "after a write", read(), value)
		if err := c.InvalidateGroup(t.Context(), users); err != nil {
			t.Fatal(err)
		}
		equal(t, "after an invalidation", read(), value)
	}
	w.many(c, []int64{1, 2, 3})
	if _, err := rdb.HGetAll(t.Context(), user1Key).Result(); err != nil {
		t.Error(err)
	}
	kv := cache.NewKV[string, int](c, "n", cache.KVOptions{})
	if err := kv.Set(t.Context(), "a", 1); err != nil {
		t.Error(err)
	}
	if v, ok, err := kv.Get(t.Context(), "a"); v != 1 || !ok || err != nil {
		t.Errorf("%d %t %v", v, ok, err)
	}
}
