package cache

import (
	"context"
	"crypto/tls"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

//go:embed scripts/acquire.lua
var acquireSource string

//go:embed scripts/fill.lua
var fillSource string

//go:embed scripts/wipe.lua
var wipeSource string

var (
	acquireScript = redis.NewScript(acquireSource)
	fillScript    = redis.NewScript(fillSource)
	wipeScript    = redis.NewScript(wipeSource)
)

// Open returns a cache over the Redis at a URL: redis://, rediss:// or unix://, as redis.ParseURL reads it, with the client
// settings that the cache needs. It never dials: Redis may be absent, and comes into use when it is there.
//
// A cluster's URL is redis:// or rediss:// with "cluster=true" and further nodes as "addr=host:port" in its query. That of
// sentinels has "master_name=" and further sentinels as "addr=host:port"; its user and password are those of the sentinels,
// and the ones of Redis are "username=" and "password=", as redis.ParseFailoverURL reads it.
func Open(rawURL string, o Options) (*Cache, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.Disabled && rawURL == "" {
		return newCache(nil, o), nil
	}
	rdb, err := openClient(rawURL, o)
	if err != nil {
		return nil, err
	}
	return newCache(NewRedisStore(rdb, true), o), nil
}

// New returns a cache over a finished client, which stays the caller's to close. It refuses a client whose settings would
// break a promise, and names each of them.
func New(rdb redis.UniversalClient, o Options) (*Cache, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	if err := checkClient(rdb, o); err != nil {
		return nil, err
	}
	return newCache(NewRedisStore(rdb, false), o), nil
}

// NewWithStore returns a cache over a Store of the caller's, which Close closes.
func NewWithStore(s Store, o Options) (*Cache, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	return newCache(s, o), nil
}

func openClient(rawURL string, o Options) (redis.UniversalClient, error) {
	if rawURL == "" {
		return nil, errors.New("cache: the Redis URL is empty: want redis://host:port/db, rediss://… or unix:///path")
	}
	limit := max(o.RedisBudget, o.FenceBudget)
	if u, err := url.Parse(rawURL); err == nil && u.Query().Get("cluster") == "true" {
		q := u.Query()
		q.Del("cluster")
		u.RawQuery = q.Encode()
		opts, err := redis.ParseClusterURL(u.String())
		if err != nil {
			return nil, fmt.Errorf("cache: reading the Redis URL: %w", redactURL(rawURL, err))
		}
		if err := checkSizes(opts.PoolSize, opts.MinIdleConns, opts.MaxIdleConns, opts.MaxActiveConns, opts.MaxRetries); err != nil {
			return nil, err
		}
		opts.ContextTimeoutEnabled = true
		for _, t := range []*time.Duration{&opts.DialTimeout, &opts.ReadTimeout, &opts.WriteTimeout, &opts.PoolTimeout} {
			setDefault(t, limit)
		}
		setDefault(&opts.MaxRetries, 1)
		setDefault(&opts.DialerRetries, 1)
		// A node that is gone does not make go-redis ask who has its slots now, and it looks by itself once a minute.
		setDefault(&opts.ClusterStateReloadInterval, clusterReload)
		opts.DisableIdentity = true
		opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
		rdb := redis.NewClusterClient(opts)
		if err := checkClient(rdb, o); err != nil {
			_ = rdb.Close()
			return nil, err
		}
		return rdb, nil
	}
	if u, err := url.Parse(rawURL); err == nil && u.Query().Has("master_name") {
		return openFailoverClient(rawURL, limit, o)
	}
	opts, err := redis.ParseURL(rawURL)
	if err != nil {
		return nil, fmt.Errorf("cache: reading the Redis URL: %w", redactURL(rawURL, err))
	}
	if err := checkSizes(opts.PoolSize, opts.MinIdleConns, opts.MaxIdleConns, opts.MaxActiveConns, opts.MaxRetries); err != nil {
		return nil, err
	}
	opts.ContextTimeoutEnabled = true
	for _, t := range []*time.Duration{&opts.DialTimeout, &opts.ReadTimeout, &opts.WriteTimeout, &opts.PoolTimeout} {
		setDefault(t, limit)
	}
	setDefault(&opts.MaxRetries, 1)
	setDefault(&opts.DialerRetries, 1)
	opts.DisableIdentity = true // Redis before 7.2 refuses CLIENT SETINFO
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	if opts.TLSConfig != nil && opts.TLSConfig.MinVersion == 0 {
		opts.TLSConfig.MinVersion = tls.VersionTLS12
	}
	rdb := redis.NewClient(opts)
	if err := checkClient(rdb, o); err != nil {
		_ = rdb.Close()
		return nil, err
	}
	return rdb, nil
}

// openFailoverClient returns a client that asks sentinels where the master is.
func openFailoverClient(rawURL string, limit time.Duration, o Options) (redis.UniversalClient, error) {
	opts, err := redis.ParseFailoverURL(rawURL)
	if err != nil {
		return nil, fmt.Errorf("cache: reading the Redis URL: %w", redactURL(rawURL, err))
	}
	switch {
	case opts.MasterName == "":
		return nil, errors.New("cache: reading the Redis URL: master_name is empty: want the name that the sentinels have for the master")
	case opts.ReplicaOnly, opts.UseDisconnectedReplicas, opts.RouteByLatency, opts.RouteRandomly:
		return nil, errors.New("cache: reading the Redis URL: it sends commands to replicas, which lag: want neither replica_only, " +
			"use_disconnected_replicas, route_by_latency nor route_randomly")
	}
	if err := checkSizes(opts.PoolSize, opts.MinIdleConns, opts.MaxIdleConns, opts.MaxActiveConns, opts.MaxRetries); err != nil {
		return nil, err
	}
	opts.ContextTimeoutEnabled = true
	for _, t := range []*time.Duration{&opts.DialTimeout, &opts.ReadTimeout, &opts.WriteTimeout, &opts.PoolTimeout} {
		setDefault(t, limit)
	}
	setDefault(&opts.MaxRetries, 1)
	setDefault(&opts.DialerRetries, 1)
	opts.DisableIdentity = true
	rdb := redis.NewFailoverClient(opts)
	if err := checkClient(rdb, o); err != nil {
		_ = rdb.Close()
		return nil, err
	}
	return rdb, nil
}

// maxConns is more connections than any Redis has.
const maxConns = 65_535

// clusterReload is how often a client looks where the slots of a cluster are: about as long as a failover is noticed late.
const clusterReload = 2 * time.Second

// checkSizes refuses numbers in a URL with which go-redis panics, or sends nothing.
func checkSizes(pool, minIdle, maxIdle, maxActive, retries int) error {
	for _, n := range []struct {
		name              string
		value, least, max int
	}{
		{"pool_size", pool, 0, maxConns},
		{"min_idle_conns", minIdle, 0, maxConns},
		{"max_idle_conns", maxIdle, 0, maxConns},
		{"max_active_conns", maxActive, 0, maxConns},
		{"max_retries", retries, -1, 1},
	} {
		if n.value < n.least || n.value > n.max {
			return fmt.Errorf("cache: reading the Redis URL: %s is %d: want redis://… with %d to %d", n.name, n.value, n.least, n.max)
		}
	}
	return nil
}

// redactURL keeps a password that stands in the URL out of the error.
func redactURL(rawURL string, err error) error {
	text := err.Error()
	u, perr := url.Parse(rawURL)
	switch {
	case perr == nil && strings.Contains(u.Host+u.Path+u.RawQuery+u.Fragment, "@"):
		// An unescaped '/', '?' or '#' in the password: half of it stands where the error quotes from.
		text = "the URL is malformed: escape the password"
	case perr == nil:
		if pw, ok := u.User.Password(); ok && pw != "" {
			text = strings.ReplaceAll(text, pw, "xxxxx")
			text = strings.ReplaceAll(text, url.QueryEscape(pw), "xxxxx")
		}
		text = strings.ReplaceAll(text, rawURL, u.Redacted())
		for _, pw := range u.Query()["password"] { // of Redis behind sentinels
			if pw != "" {
				text = strings.ReplaceAll(text, pw, "xxxxx")
			}
		}
	default:
		text = strings.ReplaceAll(text, strconv.Quote(rawURL), "the URL")
		text = strings.ReplaceAll(text, rawURL, "the URL")
		if strings.Contains(rawURL, "@") {
			text = "the URL is malformed"
		}
	}
	return fmt.Errorf("%s: want redis://user:password@host:port/db, rediss://… or unix:///path", text)
}

// checkClient refuses settings under which a promise would not hold.
func checkClient(rdb redis.UniversalClient, o Options) error {
	var bad []string
	refuse := func(cond bool, format string, args ...any) {
		if cond {
			bad = append(bad, fmt.Sprintf(format, args...))
		}
	}
	limit := max(o.RedisBudget, o.FenceBudget)
	timeouts := func(dial, read, write, pool time.Duration) {
		for _, t := range []struct {
			name  string
			value time.Duration
		}{{"DialTimeout", dial}, {"ReadTimeout", read}, {"WriteTimeout", write}, {"PoolTimeout", pool}} {
			refuse(t.value <= 0 || t.value > limit, "%s is %s, must be within the budget of %s", t.name, t.value, limit)
		}
	}
	common := func(ctxTimeout bool, retries, dialerRetries int, maint *maintnotifications.Config) {
		refuse(!ctxTimeout, "ContextTimeoutEnabled is false, so that a hung Redis hangs the caller")
		refuse(retries > 1, "MaxRetries is %d, must be -1, or 1 at most", retries)
		refuse(retries < -1, "MaxRetries is %d, with which go-redis sends no pipeline", retries)
		refuse(dialerRetries > 1, "DialerRetries is %d, must be 1", dialerRetries)
		refuse(maint != nil && maint.Mode != maintnotifications.ModeDisabled,
			"MaintNotificationsConfig.Mode is %q, must be %q", modeOf(maint), maintnotifications.ModeDisabled)
	}
	if v := reflect.ValueOf(rdb); rdb == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return errors.New("cache: the Redis client is nil")
	}
	switch rdb := rdb.(type) {
	case *redis.Client:
		c := rdb.Options()
		common(c.ContextTimeoutEnabled, c.MaxRetries, c.DialerRetries, c.MaintNotificationsConfig)
		timeouts(c.DialTimeout, c.ReadTimeout, c.WriteTimeout, c.PoolTimeout)
		refuse(c.ClientSideCacheConfig != nil || c.ClientSideCache != nil,
			"ClientSideCacheConfig is set: a cache below this one serves old values")
	case *redis.ClusterClient:
		c := rdb.Options()
		common(c.ContextTimeoutEnabled, c.MaxRetries, c.DialerRetries, c.MaintNotificationsConfig)
		timeouts(c.DialTimeout, c.ReadTimeout, c.WriteTimeout, c.PoolTimeout)
		refuse(c.RouteByLatency, "RouteByLatency is true: replicas lag")
		refuse(c.RouteRandomly, "RouteRandomly is true: replicas lag")
		refuse(c.ReadOnly, "ReadOnly is true: replicas lag")
	default:
		return fmt.Errorf("cache: a %T cannot be used: want *redis.Client or *redis.ClusterClient", rdb)
	}
	if len(bad) > 0 {
		return fmt.Errorf("cache: the Redis client is unsuitable (cache.Open builds a suitable one): %s", strings.Join(bad, "; "))
	}
	return nil
}

func modeOf(c *maintnotifications.Config) maintnotifications.Mode {
	if c == nil {
		return ""
	}
	return c.Mode
}

// redisStore is the Store over a real Redis.
type redisStore struct {
	rdb   redis.UniversalClient
	owns  bool
	reads *pipeliner
}

// NewRedisStore returns the Store over a Redis client. With owns set, Close closes the client too.
func NewRedisStore(rdb redis.UniversalClient, owns bool) Store {
	return &redisStore{rdb, owns, newPipeliner(rdb)}
}

func (s *redisStore) Close() error {
	var err error
	if s.owns {
		err = s.rdb.Close() // ends what is under way
	}
	s.reads.close()
	return err
}

func (s *redisStore) Get(ctx context.Context, at CellRef, extra []string) ([]byte, []string, error) {
	get := redis.NewStringCmd(ctx, "hget", at.Key, at.Field)
	if len(extra) == 0 {
		if err := s.reads.do(ctx, at.Key, get); err != nil {
			return nil, nil, err
		}
		cell, err := get.Bytes()
		return cell, nil, notNil(err)
	}
	cmds := make([]redis.Cmder, 0, len(extra)+1)
	for _, k := range extra {
		cmds = append(cmds, redis.NewStringCmd(ctx, "get", k))
	}
	if err := s.reads.do(ctx, at.Key, append(cmds, get)...); err != nil {
		return nil, nil, err
	}
	values := make([]string, len(extra))
	for i, cmd := range cmds {
		v, err := cmd.(*redis.StringCmd).Result()
		if notNil(err) != nil {
			return nil, nil, err
		}
		values[i] = v
	}
	cell, err := get.Bytes()
	return cell, values, notNil(err)
}

func (s *redisStore) GetMany(ctx context.Context, at []CellRef) []GetReply {
	pipe := s.rdb.Pipeline()
	cmds := make([]*redis.StringCmd, len(at))
	for i, ref := range at {
		cmds[i] = pipe.HGet(ctx, ref.Key, ref.Field)
	}
	_, _ = pipe.Exec(ctx)
	out := make([]GetReply, len(at))
	for i, cmd := range cmds {
		cell, err := cmd.Bytes()
		out[i] = GetReply{cell, notNil(err)}
	}
	return out
}

func (s *redisStore) Acquire(ctx context.Context, reqs []AcquireRequest) []AcquireReply {
	calls := make([]scriptCall, len(reqs))
	for i, r := range reqs {
		calls[i] = scriptCall{r.Key, []any{r.Field, r.Nonce, max(1, r.Lease.Milliseconds()), r.MaxCells, r.Unusable}}
	}
	out := make([]AcquireReply, len(reqs))
	for i, cmd := range s.run(ctx, acquireScript, calls, 0) {
		reply, err := cmd.Slice()
		if err == nil && len(reply) != 2 {
			err = fmt.Errorf("cache: unexpected reply to acquire: %d elements", len(reply))
		}
		if err != nil {
			out[i].Err = err
			continue
		}
		status, ok := reply[0].(int64)
		if !ok {
			out[i].Err = fmt.Errorf("cache: unexpected reply to acquire: %T", reply[0])
			continue
		}
		out[i].Status = AcquireStatus(status)
		if cell, ok := reply[1].(string); ok {
			out[i].Cell = []byte(cell)
		}
	}
	return out
}

func (s *redisStore) Fill(ctx context.Context, reqs []FillRequest) []FillReply {
	calls := make([]scriptCall, len(reqs))
	for i, r := range reqs {
		shrink := "0"
		if r.Shrink {
			shrink = "1"
		}
		calls[i] = scriptCall{r.Key, []any{r.Field, r.Lease, r.Cell, max(1, r.TTL.Milliseconds()), shrink}}
	}
	out := make([]FillReply, len(reqs))
	for i, cmd := range s.run(ctx, fillScript, calls, 0) {
		n, err := cmd.Int()
		out[i] = FillReply{Stored: n == 1, Lost: n == 0 && err == nil, Err: err}
	}
	return out
}

func (s *redisStore) Wipe(ctx context.Context, reqs []WipeRequest, replicas int) []WipeReply {
	calls := make([]scriptCall, len(reqs))
	for i, r := range reqs {
		calls[i] = scriptCall{r.Key, []any{r.Add, r.TTL.Milliseconds(), r.Remove, r.Publish}}
	}
	out := make([]WipeReply, len(reqs))
	for i, cmd := range s.run(ctx, wipeScript, calls, replicas) {
		reply, err := cmd.Int64Slice()
		if err == nil && len(reply) != 2 {
			err = fmt.Errorf("cache: unexpected reply to wipe: %d elements", len(reply))
		}
		if err != nil {
			out[i].Err = err
			continue
		}
		out[i].Found = reply[0] == 1
	}
	return out
}

type scriptCall struct {
	key  string
	args []any
}

// run runs a script for each call, in one round trip for each node. With replicas above 0, WAIT follows on the very
// connection that ran the scripts (on another one it would wait for nothing), and a node whose replicas did not acknowledge
// in time fails all of its calls.
func (s *redisStore) run(ctx context.Context, script *redis.Script, calls []scriptCall, replicas int) []*redis.Cmd {
	if len(calls) == 1 && replicas == 0 {
		return []*redis.Cmd{script.Run(ctx, s.rdb, []string{calls[0].key}, calls[0].args...)}
	}
	out := make([]*redis.Cmd, len(calls))
	if replicas == 0 {
		all := make([]int, len(calls))
		for i := range all {
			all[i] = i
		}
		s.runOn(ctx, s.rdb, script, calls, all, 0, out)
		return out
	}
	cluster, ok := s.rdb.(*redis.ClusterClient)
	if !ok {
		all := make([]int, len(calls))
		for i := range all {
			all[i] = i
		}
		s.runOn(ctx, s.rdb, script, calls, all, replicas, out)
		return out
	}
	byNode := make(map[*redis.Client][]int)
	for i, c := range calls {
		node, err := cluster.MasterForKey(ctx, c.key)
		if err != nil {
			out[i] = failed(ctx, err)
			continue
		}
		byNode[node] = append(byNode[node], i)
	}
	var wg sync.WaitGroup
	for node, idx := range byNode {
		wg.Go(func() { s.runOn(ctx, node, script, calls, idx, replicas, out) })
	}
	wg.Wait()
	return out
}

func (s *redisStore) runOn(ctx context.Context, rdb redis.UniversalClient, script *redis.Script, calls []scriptCall, idx []int, replicas int, out []*redis.Cmd) {
	exec := func(idx []int, send func(pipe redis.Pipeliner, c scriptCall) *redis.Cmd) {
		pipe := rdb.Pipeline()
		for _, i := range idx {
			out[i] = send(pipe, calls[i])
		}
		var wait *redis.Cmd
		if replicas > 0 {
			wait = pipe.Do(ctx, "WAIT", replicas, waitForReplicas.Milliseconds())
		}
		_, _ = pipe.Exec(ctx)
		if wait == nil {
			return
		}
		n, err := wait.Int64()
		if err == nil && n < int64(replicas) {
			err = fmt.Errorf("cache: %d of %d replicas acknowledged", n, replicas)
		}
		if err == nil {
			return
		}
		for _, i := range idx {
			if out[i].Err() == nil {
				out[i] = failed(ctx, err)
			}
		}
	}
	exec(idx, func(pipe redis.Pipeliner, c scriptCall) *redis.Cmd {
		return pipe.EvalSha(ctx, script.Hash(), []string{c.key}, c.args...)
	})
	var again []int // a restarted server has lost the script
	for _, i := range idx {
		if err := out[i].Err(); err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
			again = append(again, i)
		}
	}
	if len(again) > 0 {
		exec(again, func(pipe redis.Pipeliner, c scriptCall) *redis.Cmd {
			return pipe.Eval(ctx, scriptSource(script), []string{c.key}, c.args...)
		})
	}
}

// waitForReplicas bounds WAIT on the server.
const waitForReplicas = 50 * time.Millisecond

func scriptSource(s *redis.Script) string {
	switch s {
	case acquireScript:
		return acquireSource
	case fillScript:
		return fillSource
	}
	return wipeSource
}

func failed(ctx context.Context, err error) *redis.Cmd {
	cmd := redis.NewCmd(ctx)
	cmd.SetErr(err)
	return cmd
}

func (s *redisStore) Mint(ctx context.Context, keys []string, value string) ([]string, error) {
	pipe := s.rdb.Pipeline()
	cmds := make([]*redis.StringCmd, len(keys))
	for i, k := range keys {
		pipe.SetNX(ctx, k, value, 0)
		cmds[i] = pipe.Get(ctx, k)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	out := make([]string, len(keys))
	for i, cmd := range cmds {
		out[i] = cmd.Val()
	}
	return out, nil
}

func (s *redisStore) Set(ctx context.Context, key, value string, ttl time.Duration) error {
	return s.rdb.Set(ctx, key, value, ttl).Err()
}

func (s *redisStore) Bump(ctx context.Context, key string, by int64) error {
	return s.rdb.IncrBy(ctx, key, by).Err()
}

func (s *redisStore) MGet(ctx context.Context, keys []string) ([][]byte, error) {
	pipe := s.rdb.Pipeline() // not MGET: the keys may lie in several slots
	cmds := make([]*redis.StringCmd, len(keys))
	for i, k := range keys {
		cmds[i] = pipe.Get(ctx, k)
	}
	_, _ = pipe.Exec(ctx)
	out := make([][]byte, len(keys))
	for i, cmd := range cmds {
		v, err := cmd.Bytes()
		if notNil(err) != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

func (s *redisStore) Del(ctx context.Context, keys []string) error {
	pipe := s.rdb.Pipeline()
	for _, k := range keys {
		pipe.Unlink(ctx, k)
	}
	_, err := pipe.Exec(ctx)
	return err
}

func (s *redisStore) Publish(ctx context.Context, channel, message string) error {
	return s.rdb.Publish(ctx, channel, message).Err()
}

const (
	subscribePing = time.Second
	subscribeDead = 3 * time.Second // without a word from Redis
)

// Subscribe listens on a connection of its own. It pings, since a connection whose other end is gone says nothing.
func (s *redisStore) Subscribe(ctx context.Context, channel string, ready func(), receive func(message string)) error {
	sub := s.rdb.Subscribe(ctx, channel)
	defer sub.Close()                                          //nolint:errcheck // the connection is not used again
	stop := context.AfterFunc(ctx, func() { _ = sub.Close() }) // what waits for a message does not see ctx
	defer stop()
	if _, err := sub.ReceiveTimeout(ctx, subscribeDead); err != nil {
		return fmt.Errorf("cache: subscribing: %w", err)
	}
	done := make(chan struct{})
	defer close(done)
	go func() {
		tick := time.NewTicker(subscribePing)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_ = sub.Ping(ctx) // what fails is not answered
			case <-done:
				return
			}
		}
	}()
	ready()
	for {
		message, err := sub.ReceiveTimeout(ctx, subscribeDead)
		if err != nil {
			return fmt.Errorf("cache: waiting for invalidations: %w", err)
		}
		switch m := message.(type) {
		case *redis.Message:
			receive(m.Payload)
		case *redis.Subscription: // once more: go-redis has made another connection
			return errors.New("cache: waiting for invalidations: the connection was lost")
		}
	}
}

func (s *redisStore) Time(ctx context.Context) (int64, error) {
	cluster, ok := s.rdb.(*redis.ClusterClient)
	if !ok {
		t, err := s.rdb.Time(ctx).Result()
		return t.UnixMilli(), err
	}
	var mu sync.Mutex
	var latest int64
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		t, err := node.Time(ctx).Result()
		mu.Lock()
		defer mu.Unlock()
		latest = max(latest, t.UnixMilli())
		return err
	})
	return latest, err
}

// notNil drops the error by which go-redis says "no such key".
func notNil(err error) error {
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return err
}
