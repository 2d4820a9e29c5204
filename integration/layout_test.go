package integration

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cached"
	"github.com/pgaside/pgaside/repo"
)

// client returns a client with the settings that cache.New insists on.
func (w *world) client(change ...func(*redis.Options)) *redis.Client {
	w.t.Helper()
	o, err := redis.ParseURL(w.redis.URL())
	require.NoError(w.t, err)
	o.ContextTimeoutEnabled, o.MaxRetries, o.DialerRetries, o.DisableIdentity = true, 1, 1, true
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = 500*time.Millisecond, 500*time.Millisecond, 500*time.Millisecond, 500*time.Millisecond
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	for _, f := range change {
		f(o)
	}
	rdb := redis.NewClient(o)
	w.t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// recorder is a go-redis hook that keeps what is sent.
type recorder struct {
	mu   sync.Mutex
	sent [][]any
}

func (r *recorder) keep(cmds ...redis.Cmder) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range cmds {
		r.sent = append(r.sent, c.Args())
	}
}

func (r *recorder) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (r *recorder) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { r.keep(cmd); return next(ctx, cmd) }
}

func (r *recorder) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { r.keep(cmds...); return next(ctx, cmds) }
}

// everything calls every cached read and every write of the project at random.
func everything(ctx context.Context, t *testing.T, w *world, q *cached.Queries) {
	t.Helper()
	r := newRandom(t)
	r.fillTables(ctx, t, w.pool, 1)
	var d dataset
	require.NoError(t, d.load(ctx, w.pool))
	for range 2 {
		require.Empty(t, eachProbe(d.probes(), func(p probe) string {
			if _, err := p.run(ctx, q); err != nil && !harmless(err) {
				return err.Error()
			}
			return ""
		}))
	}
	for name, f := range mutations {
		require.True(t, harmless(f(ctx, q, &d, r)), name)
		require.NoError(t, d.load(ctx, w.pool))
	}
	require.Empty(t, compare(ctx, d.probes(), w.source(), q))
}

// TestAmendment4_11_1_OneKeyIsOneHash: a key of a group is one Redis hash with a readable name, and its cells are the fields.
func TestAmendment4_11_1_OneKeyIsOneHash(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	rec := &recorder{}
	rdb := w.client()
	rdb.AddHook(rec)
	c, err := cache.New(rdb, cache.Options{Namespace: w.ns, Logger: w.logger()})
	require.NoError(t, err)
	q := cached.New(w.pool, c)

	s := w.session(ctx)
	_, err = q.CreateMessage(ctx, repo.CreateMessageParams{SessionID: s.ID, UserID: s.UserID, Role: repo.MessageRoleClient, Content: "x"})
	require.NoError(t, err)
	w.unfenced(ctx, w.redisKey("message", s.ID))
	_, err = q.GetSession(ctx, s.ID)
	require.NoError(t, err)
	_, err = q.ListMessages(ctx, repo.ListMessagesParams{SessionID: s.ID, PageSize: 20})
	require.NoError(t, err)
	_, err = q.CountMessages(ctx, s.ID)
	require.NoError(t, err)
	_, err = q.SessionReport(ctx, repo.SessionReportParams{SessionID: s.ID, UserID: s.UserID})
	require.NoError(t, err)
	session, message := fmt.Sprintf("%s:{session:%s}", w.ns, s.ID), fmt.Sprintf("%s:{message:%s}", w.ns, s.ID)
	report := fmt.Sprintf("%s:{report:%s:%s}", w.ns, s.UserID, s.ID)
	w.stored(ctx, session, "GetSession")
	w.stored(ctx, message, "ListMessages")
	w.stored(ctx, message, "CountMessages")
	w.stored(ctx, report, "SessionReport")
	for key, want := range map[string][]string{
		session: {`^@$`, `^GetSession\.[0-9a-f]{12}$`},
		message: {`^@$`, `^CountMessages\.[0-9a-f]{12}$`, `^ListMessages\.[0-9a-f]{12}\.20$`},
		report:  {`^@$`, `^SessionReport\.[0-9a-f]{12}$`},
	} {
		fields, err := w.rdb.HKeys(ctx, key).Result()
		require.NoError(t, err)
		require.Len(t, fields, len(want), "%s %v", key, fields)
		for _, pattern := range want {
			require.Regexp(t, regexp.MustCompile("(?m)"+pattern), strings.Join(fields, "\n"))
		}
	}

	// Nothing else is made, whatever is called; every command has one key, and every key its hash tag at the end.
	everything(ctx, t, w, q)
	name := regexp.MustCompile("^" + regexp.QuoteMeta(w.ns) + `:\{(~epoch(:[a-z_]+)?|[a-z_]+:[A-Za-z0-9_.%~:-]+)\}$`)
	for _, key := range w.keys(ctx) {
		require.Regexp(t, name, key)
		require.LessOrEqual(t, len(key), 250)
		kind, err := w.rdb.Type(ctx, key).Result()
		require.NoError(t, err)
		if strings.Contains(key, "{~epoch") {
			require.Equal(t, "string", kind, key)
		} else if kind != "none" { // it may have run out
			require.Equal(t, "hash", kind, key)
		}
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	scripts := 0
	for _, args := range rec.sent {
		switch command := strings.ToLower(fmt.Sprint(args[0])); command {
		case "eval", "evalsha":
			scripts++
			require.Equal(t, "1", fmt.Sprint(args[2]), "keys of a script")
			require.Regexp(t, name, args[3])
		case "hget", "get", "setnx", "set", "incrby":
			require.Regexp(t, name, args[1])
		case "time", "ping", "hello", "auth", "client", "select", "script":
		default:
			t.Errorf("an unexpected command on a request path: %s", command)
		}
	}
	require.Positive(t, scripts)
}

// TestAmendment4_11_14_FieldNames: arguments stand in the field as they are up to 64 bytes, and hashed beyond; the codec is a
// part of the name.
func TestAmendment4_11_14_FieldNames(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	q, _ := w.queries()
	s := w.session(ctx)
	key := w.redisKey("message", s.ID)
	_, err := q.ListMessagesPage(ctx, repo.ListMessagesPageParams{SessionID: s.ID, PageOffset: 40, PageSize: 20})
	require.NoError(t, err)
	before := repo.ListMessagesBeforeParams{SessionID: s.ID, BeforeCreatedAt: s.StartedAt, BeforeID: s.ID, PageSize: 20_000_000}
	_, err = q.ListMessagesBefore(ctx, before)
	require.NoError(t, err)
	before.PageSize++
	_, err = q.ListMessagesBefore(ctx, before)
	require.NoError(t, err)
	fields := func() (out []string) {
		all, err := w.rdb.HGetAll(ctx, key).Result()
		require.NoError(t, err)
		for f, v := range all {
			if f != "@" && v[0] == 'V' {
				out = append(out, f)
			}
		}
		return out
	}
	eventually(t, "three cells are stored", func() bool { return len(fields()) == 3 })
	literal, hashed := 0, 0
	for _, f := range fields() {
		switch {
		case regexp.MustCompile(`^ListMessagesPage\.[0-9a-f]{12}\.40:20$`).MatchString(f):
			literal++
		case regexp.MustCompile(`^ListMessagesBefore\.[0-9a-f]{12}\.~[0-9a-f]{32}$`).MatchString(f):
			hashed++
		}
	}
	require.Equal(t, 1, literal, "%v", fields())
	require.Equal(t, 2, hashed, "%v", fields())

	// Another codec has cells of its own beside them, under the same key, which a write wipes as a whole.
	other, _ := w.queries(func(o *cache.Options) { o.Codec = otherCodec{} })
	_, err = other.ListMessagesPage(ctx, repo.ListMessagesPageParams{SessionID: s.ID, PageOffset: 40, PageSize: 20})
	require.NoError(t, err)
	eventually(t, "the fourth cell is stored", func() bool { return len(fields()) == 4 })
	require.Contains(t, strings.Join(fields(), " "), "-other.40:20")
	_, err = other.CreateMessage(ctx, repo.CreateMessageParams{SessionID: s.ID, UserID: s.UserID, Role: repo.MessageRoleClient, Content: "x"})
	require.NoError(t, err)
	require.Empty(t, fields())
}

type otherCodec struct{ cache.JSON }

func (otherCodec) Name() string { return "other" }

// TestLeastPrivilege: the engine's commands are all that its user needs, on its own keys alone.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t, ownRedis())
	rules := []any{
		"ACL", "SETUSER", "pgaside", "on", ">secret", "~" + w.ns + ":*", "-@all", "+hello", "+ping", "+time", "+get", "+set", "+setnx", "+incrby",
		"+unlink", "+eval", "+evalsha", "+hget", "+hmget", "+hset", "+hsetnx", "+hdel", "+hlen", "+hexists", "+pttl", "+pexpire", "+pexpireat", "+wait",
		"&" + w.ns + ":~near", "+publish", "+subscribe", "+unsubscribe",
	}
	require.NoError(t, w.rdb.Do(ctx, rules...).Err())
	c, err := cache.Open(w.as("pgaside", "secret"), cache.Options{
		Namespace: w.ns, Logger: w.logger(), Groups: map[string]cache.GroupOptions{"device": {Mode: cache.Strict}, "prompt": {Mode: cache.AfterCommit}, "session": {Near: time.Second}},
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	q := cached.New(w.pool, c)
	require.NoError(t, w.rdb.Do(ctx, "SCRIPT", "FLUSH").Err())
	everything(ctx, t, w, q)
	require.NoError(t, c.InvalidateGroup(ctx, cached.Session))
	require.NoError(t, c.Invalidate(ctx, cached.Session.Key(uuid.New())))
	kv := cache.NewKV[string, int](c, "settings", cache.KVOptions{})
	require.NoError(t, kv.Set(ctx, "k", 1))
	_, ok, err := kv.Get(ctx, "k")
	require.NoError(t, err)
	require.True(t, ok)
	require.NoError(t, kv.Delete(ctx, "k"))
	errs := c.Stats().Errors
	delete(errs, cache.ErrorSerialization.String()) // results that JSON cannot carry
	require.Empty(t, errs)
	require.Positive(t, c.Stats().Total().Hits)
	eventually(t, "invalidations are heard of", func() bool { return c.Stats().NearConnected })

	// And with less it is not an outage, but said.
	require.NoError(t, w.rdb.Do(ctx, "ACL", "SETUSER", "pgaside", "-evalsha", "-eval").Err())
	s := w.session(ctx)
	require.Equal(t, "first", w.title(ctx, q, s.ID))
	require.NoError(t, rename(ctx, q, s.ID, "second"))
	require.Equal(t, "second", w.title(ctx, q, s.ID))
	require.Positive(t, c.Stats().Errors[cache.ErrorAuth.String()])
}
