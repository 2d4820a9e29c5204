package cache

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Inspector is what a Store may offer beside the protocol, for operators. None of it is called on a request path.
// Implementations are safe for concurrent use and honour ctx.
type Inspector interface {
	// Server describes the server; with several nodes, their masters together.
	Server(ctx context.Context) (ServerInfo, error)

	// Scan calls f with the keys that match a pattern, in batches, and may repeat a key. It looks at about so many keys of
	// each node, matching or not, and reports whether these were all.
	Scan(ctx context.Context, pattern string, looks int, f func(keys []string)) (complete bool, err error)

	// Sizes returns the bytes that keys take in memory, 0 for one that is not there.
	Sizes(ctx context.Context, keys []string) ([]int64, error)

	// Hash returns all fields of a key, how long it still lives (0 = there is no such key, negative = for ever), and the
	// server's time in ms.
	Hash(ctx context.Context, key string) (fields map[string]string, ttl time.Duration, nowMS int64, err error)
}

// ServerInfo is what a Redis says of itself.
type ServerInfo struct {
	Version        string
	Role           string // "master", "slave"
	Nodes          int    // masters of a cluster, or 1
	Loading        bool
	AppendOnly     bool
	MemoryUsed     int64 // bytes
	MemoryMax      int64 // bytes, 0 = no limit
	EvictionPolicy string
	Keys           int64 // of all databases, ours or not
}

// RedisHealth is what a cache can tell of its Redis.
type RedisHealth struct {
	// Connected: there was an answer. Ready: it was one that a cache can work with. Healthy: reads and writes use it, too, and
	// it takes new values.
	Connected bool `json:"connected"`
	Ready     bool `json:"ready"`
	Healthy   bool `json:"healthy"`

	// Error says why it is not ready: the class of the error, and its text without anything that may be a value.
	Error *RedisError `json:"error,omitempty"`

	LatencyMS      float64 `json:"latency_ms"`
	Version        string  `json:"version,omitempty"`
	Role           string  `json:"role,omitempty"`
	Nodes          int     `json:"nodes,omitempty"`
	MemoryUsed     int64   `json:"memory_used_bytes"`
	MemoryMax      int64   `json:"memory_max_bytes"` // 0 = no limit
	EvictionPolicy string  `json:"eviction_policy,omitempty"`

	// Keys counts the keys of the namespace; nil when it could not be done.
	Keys *KeyCount `json:"keys,omitempty"`

	// Warnings name what is not as it should be for a cache, and what to do about it.
	Warnings []string `json:"warnings"`
}

// RedisError is an error of Redis as statistics show it.
type RedisError struct {
	Class string `json:"class"`
	Text  string `json:"text"`
}

// KeyCount is a count that stops somewhere.
type KeyCount struct {
	Count int64 `json:"count"`

	// Complete says that all keys were looked at. Otherwise Count is a lower bound.
	Complete bool `json:"complete"`

	// Database is the number of all keys of the server, of whatever namespace.
	Database int64 `json:"database"`
}

// countLooks bounds what a count of keys looks at, on each node.
const countLooks = 10_000

// Announce makes groups known to Stats before they are used.
func (c *Cache) Announce(groups ...AnyGroup) {
	for _, g := range groups {
		c.group(g.base())
	}
}

// Namespace returns Options.Namespace.
func (c *Cache) Namespace() string { return c.opts.Namespace }

// RedisHealth asks Redis how it is. It takes a few round trips, and a bounded SCAN to count the keys of the namespace; it
// asks even while the breakers are open. A disabled cache has the zero RedisHealth.
func (c *Cache) RedisHealth(ctx context.Context) RedisHealth {
	h := RedisHealth{Warnings: []string{}}
	if c.store == nil {
		return h
	}
	began := time.Now()
	_, err := c.store.Time(ctx)
	h.LatencyMS = float64(time.Since(began).Microseconds()) / 1000
	if err != nil {
		var said redis.Error
		h.Connected = errors.As(err, &said)
		h.Error = describe(err)
		return h
	}
	h.Connected, h.Ready = true, true
	full := false
	if ins, ok := c.store.(Inspector); ok {
		full = c.inspectServer(ctx, ins, &h)
	}
	h.Healthy = h.Ready && !full && !c.reads.isOpen() && !c.writes.isOpen()
	if c.reads.isOpen() || c.writes.isOpen() {
		h.Warnings = append(h.Warnings, "this process has not gone back to Redis yet: it does by itself, within a second or two")
	}
	return h
}

// inspectServer adds what the server says of itself, and reports whether it takes no new values.
func (c *Cache) inspectServer(ctx context.Context, ins Inspector, h *RedisHealth) (full bool) {
	warn := func(format string, args ...any) { h.Warnings = append(h.Warnings, fmt.Sprintf(format, args...)) }
	s, err := ins.Server(ctx)
	switch {
	case err != nil && Classify(err) == ErrorAuth:
		warn("the user may not run INFO: version, role and memory are unknown; allow +info")
	case err != nil:
		warn("INFO failed: %s", describe(err).Text)
	default:
		h.Version, h.Role, h.Nodes = s.Version, s.Role, s.Nodes
		h.MemoryUsed, h.MemoryMax, h.EvictionPolicy = s.MemoryUsed, s.MemoryMax, s.EvictionPolicy
		if s.Loading || s.Role != "" && s.Role != "master" {
			h.Ready = false
			warn("it is loading, or a replica, and takes no writes: let the URL lead to the master")
		}
		noEviction := s.EvictionPolicy == "noeviction"
		switch {
		case s.MemoryMax == 0:
			warn("maxmemory is not set: Redis grows until its machine has no memory left")
		case noEviction && s.MemoryUsed >= s.MemoryMax:
			full = true
			warn("memory is full and nothing is evicted: misses are not stored; raise maxmemory, shorten TTLs, or use allkeys-lru")
		case noEviction && s.MemoryUsed >= s.MemoryMax/10*9:
			warn("memory is nearly full, and nothing is evicted: raise maxmemory, shorten TTLs, or use allkeys-lru")
		}
		if s.EvictionPolicy == "volatile-ttl" {
			warn("the eviction policy volatile-ttl evicts what ends soonest, which is fences: use allkeys-lru")
		}
		if s.AppendOnly {
			warn("the append-only file is on: a restart brings old values back; set appendonly no and save \"\"")
		}
	}
	keys := make(map[string]struct{})
	complete, err := ins.Scan(ctx, c.opts.Namespace+":[{~]*", countLooks, func(batch []string) {
		for _, k := range batch {
			keys[k] = struct{}{}
		}
	})
	switch {
	case err != nil && Classify(err) == ErrorAuth:
		warn("the user may not run SCAN: the number of keys is unknown; allow +scan")
	case err != nil:
		warn("counting keys failed: %s", describe(err).Text)
	default:
		h.Keys = &KeyCount{Count: int64(len(keys)), Complete: complete, Database: s.Keys}
	}
	return full
}

func describe(err error) *RedisError {
	return &RedisError{Class: Classify(err).String(), Text: redactError(err)}
}

// PendingByGroup counts, by group, the keys that wait for an invalidation which Redis has not acknowledged. A whole group
// that waits counts as one.
func (c *Cache) PendingByGroup() map[string]int {
	p := c.pending
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make(map[string]int)
	for k := range p.keys {
		out[k.Group()]++
	}
	for g := range p.groups {
		out[g.name]++
	}
	return out
}

// each runs f on every master, one after the other.
func (s *redisStore) each(ctx context.Context, f func(ctx context.Context, node redis.UniversalClient) error) error {
	cluster, ok := s.rdb.(*redis.ClusterClient)
	if !ok {
		return f(ctx, s.rdb)
	}
	var mu sync.Mutex
	return cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		return f(ctx, node)
	})
}

func (s *redisStore) Server(ctx context.Context) (out ServerInfo, err error) {
	err = s.each(ctx, func(ctx context.Context, node redis.UniversalClient) error {
		text, err := node.Info(ctx).Result()
		if err != nil {
			return err
		}
		out.add(text)
		return nil
	})
	return out, err
}

// add adds up what INFO says of one node.
func (s *ServerInfo) add(info string) {
	s.Nodes++
	number := func(v string) int64 {
		n, _ := strconv.ParseInt(v, 10, 64)
		return n
	}
	for line := range strings.Lines(info) {
		name, v, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "redis_version":
			s.Version = v
		case "valkey_version":
			s.Version = "valkey " + v
		case "role":
			if s.Role == "" || s.Role == "master" {
				s.Role = v
			}
		case "loading":
			s.Loading = s.Loading || v == "1"
		case "aof_enabled":
			s.AppendOnly = s.AppendOnly || v == "1"
		case "used_memory":
			s.MemoryUsed += number(v)
		case "maxmemory":
			s.MemoryMax += number(v)
		case "maxmemory_policy":
			s.EvictionPolicy = v
		default: // db0:keys=12,expires=3,…
			if rest, ok := strings.CutPrefix(v, "keys="); ok && strings.HasPrefix(name, "db") {
				n, _, _ := strings.Cut(rest, ",")
				s.Keys += number(n)
			}
		}
	}
}

// scanBatch is COUNT: short enough not to hold up the server.
const scanBatch = 500

func (s *redisStore) Scan(ctx context.Context, pattern string, looks int, f func(keys []string)) (complete bool, err error) {
	complete = true
	err = s.each(ctx, func(ctx context.Context, node redis.UniversalClient) error {
		cursor := uint64(0)
		for looked := 0; ; looked += scanBatch {
			if looked >= looks {
				complete = false
				return nil
			}
			keys, next, err := node.Scan(ctx, cursor, pattern, scanBatch).Result()
			if err != nil {
				return err
			}
			f(keys)
			if cursor = next; cursor == 0 {
				return nil
			}
		}
	})
	return complete && err == nil, err
}

func (s *redisStore) Sizes(ctx context.Context, keys []string) ([]int64, error) {
	pipe := s.rdb.Pipeline()
	cmds := make([]*redis.IntCmd, len(keys))
	for i, k := range keys {
		cmds[i] = pipe.MemoryUsage(ctx, k)
	}
	_, _ = pipe.Exec(ctx)
	out := make([]int64, len(keys))
	for i, cmd := range cmds {
		n, err := cmd.Result()
		if notNil(err) != nil {
			return nil, err
		}
		out[i] = n
	}
	return out, nil
}

func (s *redisStore) Hash(ctx context.Context, key string) (fields map[string]string, ttl time.Duration, nowMS int64, err error) {
	if nowMS, err = s.Time(ctx); err != nil {
		return nil, 0, 0, err
	}
	pipe := s.rdb.Pipeline()
	all, left := pipe.HGetAll(ctx, key), pipe.PTTL(ctx, key)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, 0, 0, err
	}
	if ttl = left.Val(); len(all.Val()) == 0 {
		ttl = 0
	}
	return all.Val(), ttl, nowMS, nil
}
