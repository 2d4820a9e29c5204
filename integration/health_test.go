package integration

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cached"
	"github.com/pgaside/pgaside/internal/servers"
	"github.com/pgaside/pgaside/repo"
)

// TestRedisHealth: what a cache says of a Redis that is well, that has warnings, is away, and is back.
func TestRedisHealth(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t, ownRedis("--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"))
	q, c := w.queries()
	s := w.session(ctx)
	_, err := q.GetSession(ctx, s.ID)
	require.NoError(t, err)
	w.stored(ctx, w.redisKey("session", s.ID), "GetSession")

	h := c.RedisHealth(ctx)
	require.True(t, h.Connected && h.Ready && h.Healthy, "%+v", h)
	require.Equal(t, "master", h.Role)
	require.NotEmpty(t, h.Version)
	require.Positive(t, h.MemoryUsed)
	require.EqualValues(t, 64<<20, h.MemoryMax)
	require.Equal(t, "allkeys-lru", h.EvictionPolicy)
	require.Equal(t, &cache.KeyCount{Count: 3, Complete: true, Database: 3}, h.Keys) // the session, and two epochs
	require.Empty(t, h.Warnings)

	// A namespace beside it, and keys of somebody else, are not counted.
	require.NoError(t, w.rdb.Set(ctx, w.ns+":other:{session:1}", "x", 0).Err())
	require.NoError(t, w.rdb.Set(ctx, w.ns+"2:{session:1}", "x", 0).Err())
	require.EqualValues(t, 3, c.RedisHealth(ctx).Keys.Count)

	require.NoError(t, w.rdb.ConfigSet(ctx, "maxmemory-policy", "volatile-ttl").Err())
	require.Contains(t, strings.Join(c.RedisHealth(ctx).Warnings, "\n"), "use allkeys-lru")
	require.NoError(t, w.rdb.ConfigSet(ctx, "maxmemory", "0").Err())
	require.Contains(t, strings.Join(c.RedisHealth(ctx).Warnings, "\n"), "maxmemory is not set")
	require.NoError(t, w.rdb.ConfigSet(ctx, "maxmemory-policy", "noeviction").Err())
	require.NoError(t, w.rdb.ConfigSet(ctx, "maxmemory", "1000").Err())
	h = c.RedisHealth(ctx)
	require.True(t, h.Ready && !h.Healthy, "%+v", h)
	require.Contains(t, strings.Join(h.Warnings, "\n"), "memory is full")
	require.NoError(t, w.rdb.ConfigSet(ctx, "maxmemory", "0").Err())

	require.NoError(t, w.redis.Kill())
	h = c.RedisHealth(ctx)
	require.False(t, h.Connected || h.Ready || h.Healthy, "%+v", h)
	require.Equal(t, "connection", h.Error.Class)
	require.NoError(t, w.redis.Start(ctx))
	eventually(t, "Redis is healthy again", func() bool { return c.RedisHealth(ctx).Healthy })

	// A user that may do what the engine does, and no more.
	require.NoError(t, w.rdb.Do(ctx, "ACL", "SETUSER", "least", "on", ">pw", "~"+w.ns+":*", "-@all", "+hello", "+ping", "+get", "+hget", "+time").Err())
	u := strings.Replace(w.redis.URL(), "redis://", "redis://least:pw@", 1)
	least, err := cache.Open(u, cache.Options{Namespace: w.ns, Logger: w.logger()})
	require.NoError(t, err)
	defer least.Close()
	h = least.RedisHealth(ctx)
	require.True(t, h.Connected && h.Ready && h.Healthy, "%+v", h)
	require.Nil(t, h.Keys)
	require.Contains(t, strings.Join(h.Warnings, "\n"), "allow +info")
	require.Contains(t, strings.Join(h.Warnings, "\n"), "allow +scan")

	stranger, err := cache.Open(strings.Replace(u, ":pw@", ":wrong@", 1), cache.Options{Namespace: w.ns, Logger: w.logger()})
	require.NoError(t, err)
	defer stranger.Close()
	h = stranger.RedisHealth(ctx)
	require.True(t, h.Connected && !h.Ready, "%+v", h)
	require.Equal(t, "auth", h.Error.Class)
}

// TestRedisHealthIsBounded: a count of keys stops, and says so.
func TestRedisHealthIsBounded(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t, ownRedis())
	c := w.open()
	require.NoError(t, w.rdb.Eval(ctx, "for i = 1, 25000 do redis.call('SET', KEYS[1] .. i .. '}', 'x') end return 1", []string{w.ns + ":{session:"}).Err())
	keys := c.RedisHealth(ctx).Keys
	require.False(t, keys.Complete)
	require.GreaterOrEqual(t, keys.Count, int64(5_000))
	require.Less(t, keys.Count, int64(25_000))
	require.EqualValues(t, 25_000, keys.Database)

	survey, err := c.Survey(ctx, cache.SurveyOptions{Looks: 1000})
	require.NoError(t, err)
	require.False(t, survey.Complete)
	survey, err = c.Survey(ctx, cache.SurveyOptions{Sample: 7})
	require.NoError(t, err)
	require.True(t, survey.Complete)
	g := survey.Groups["session"]
	require.EqualValues(t, 25_000, g.Keys)
	require.Equal(t, 7, g.Sampled)
	require.Greater(t, g.EstimatedBytes(), int64(25_000*20))
}

// TestInspect: what an operator sees of a key: values, leases, fences, and what a reader would make of them.
func TestInspect(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	q, c := w.queries()
	s := w.session(ctx)
	look := func(k cache.Key, reveal bool) cache.Inspection {
		t.Helper()
		in, err := c.Inspect(ctx, k, reveal)
		require.NoError(t, err)
		return in
	}
	require.False(t, look(cached.Session.Key(s.ID), true).Exists)

	_, err := q.GetSession(ctx, s.ID)
	require.NoError(t, err)
	w.stored(ctx, w.redisKey("session", s.ID), "GetSession")
	in := look(cached.Session.Key(s.ID), false)
	require.True(t, in.Exists && in.TTLFixed && in.TTLMS > 0 && len(in.Fences) == 0, "%+v", in)
	require.Len(t, in.Cells, 1)
	cell := in.Cells[0]
	require.True(t, cell.Query == "GetSession" && cell.State == cache.CellValue && cell.Shape != "" && !cell.HasArgs && cell.Bytes > 19 && cell.Payload == nil, "%+v", cell)
	require.Contains(t, string(look(cached.Session.Key(s.ID), true).Cells[0].Payload), s.Title)

	// By its name alone, as the command line does it.
	g, err := cache.NamedGroup("session")
	require.NoError(t, err)
	k, err := cache.ParseKey(g, s.ID.String())
	require.NoError(t, err)
	require.Len(t, look(k, false).Cells, 1)

	// Arguments are only shown when asked for.
	_, err = q.ListMessages(ctx, repo.ListMessagesParams{SessionID: s.ID, PageSize: 17})
	require.NoError(t, err)
	w.stored(ctx, w.redisKey("message", s.ID), "ListMessages")
	cell = look(cached.Message.Key(s.ID), false).Cells[0]
	require.True(t, cell.HasArgs && cell.Args == "", "%+v", cell)
	require.Contains(t, look(cached.Message.Key(s.ID), true).Cells[0].Args, "17")

	// A damaged cell, one of an old epoch, "no row", a lease, and fences.
	nobody := uuid.New()
	_, err = q.GetSession(ctx, nobody)
	require.Error(t, err)
	w.stored(ctx, w.redisKey("session", nobody), "GetSession")
	require.Equal(t, cache.CellNegative, look(cached.Session.Key(nobody), false).Cells[0].State)
	require.NoError(t, w.rdb.HSet(ctx, w.redisKey("session", nobody), "Other.shape", "Vxxxxxxxxxxxxxxxxxxxxxxxx", "Waiting.shape.x", "L9999999999999|1|n").Err())
	in = look(cached.Session.Key(nobody), false)
	require.Equal(t, cache.CellRefused, in.Cells[1].State)
	require.Equal(t, cache.CellLease, in.Cells[2].State)
	require.Positive(t, in.Cells[2].LeftMS)
	require.NoError(t, c.InvalidateGroup(ctx, cached.Session))
	require.Equal(t, cache.CellOld, look(cached.Session.Key(s.ID), true).Cells[0].State)
	require.Nil(t, look(cached.Session.Key(s.ID), true).Cells[0].Payload)

	err = c.Write(ctx, []cache.Key{cached.Session.Key(s.ID)}, func(context.Context) (cache.Outcome, error) {
		in := look(cached.Session.Key(s.ID), false)
		require.Len(t, in.Fences, 1)
		require.Positive(t, in.Fences[0].LeftMS)
		require.Empty(t, in.Cells)
		return cache.Committed, nil
	})
	require.NoError(t, err)
	_, err = c.Inspect(ctx, cached.Session.All(), false)
	require.Error(t, err)
}

// TestOpenBySentinel: cache.Open finds the master by the address of sentinels.
func TestOpenBySentinel(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	group, err := servers.StartSentinel(ctx, servers.SentinelOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = group.Close() })
	addrs := group.Addrs()
	u := "redis://" + addrs[0] + "/0?master_name=" + group.Name() + "&addr=" + strings.Join(addrs[1:], "&addr=")
	c, err := cache.Open(u, cache.Options{RedisBudget: 5 * time.Second, FenceBudget: 5 * time.Second})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Invalidate(ctx, cached.Session.Key(uuid.New())))
	eventually(t, "the master is healthy", func() bool { return c.RedisHealth(ctx).Healthy })
	require.Equal(t, "master", c.RedisHealth(ctx).Role)
}
