package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cached"
	"github.com/pgaside/pgaside/internal/gen"
	"github.com/pgaside/pgaside/internal/servers"
	"github.com/pgaside/pgaside/repo"
)

// Amendments of the protocol that need real servers to be shown, and stand in no other file of this package.

// TestAmendment4_11_11_ChildOfADeletedParent: while one deletes a session with everything in it, another adds a message to
// it. Whoever comes first, no cached read shows a child that is gone, or misses one that is there.
func TestAmendment4_11_11_ChildOfADeletedParent(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	deleter, _ := w.queries()
	inserter, _ := w.queries()
	reader, _ := w.queries()
	both := []int{0, 0}
	for i := range 60 {
		s := w.session(ctx)
		d := dataset{sessions: []child{{id: s.ID, session: s.ID, user: s.UserID}}, users: []uuid.UUID{s.UserID}}
		require.Empty(t, compare(ctx, d.probes(), w.source(), reader))
		var wg sync.WaitGroup
		start := make(chan struct{})
		var delErr, insErr error
		wg.Go(func() {
			<-start
			if i%3 == 0 {
				_, delErr = deleter.DeleteSession(ctx, s.ID)
				return
			}
			delErr = deleter.InTx(ctx, pgx.TxOptions{}, func(q *cached.Queries) error {
				_, err := q.DeleteSessionsOfUser(ctx, s.UserID)
				return err
			})
		})
		wg.Go(func() {
			<-start
			_, insErr = inserter.CreateMessage(ctx, repo.CreateMessageParams{
				SessionID: s.ID, UserID: s.UserID, Role: repo.MessageRoleClient, Content: fmt.Sprint(i),
			})
		})
		wg.Go(func() {
			<-start
			for range 3 {
				_, _ = reader.CountMessages(ctx, s.ID)
				_, _ = reader.SessionReport(ctx, repo.SessionReportParams{SessionID: s.ID, UserID: s.UserID})
			}
		})
		close(start)
		wg.Wait()
		require.NoError(t, delErr)
		require.True(t, harmless(insErr), "%v", insErr)
		if insErr == nil {
			both[0]++
		} else {
			both[1]++
		}
		for _, q := range []*cached.Queries{reader, deleter, inserter} {
			require.Empty(t, compare(ctx, d.probes(), w.source(), q))
			n, err := q.CountMessages(ctx, s.ID)
			require.NoError(t, err)
			require.Zero(t, n)
		}
	}
	t.Logf("the message came first %d times, the deletion %d times", both[0], both[1])
}

// TestAmendment4_11_11_OldValueNeedsALock shows why an old value counts as known only from a locked read: without the lock the
// statement tells a value that is not the one that it replaced.
func TestAmendment4_11_11_OldValueNeedsALock(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	for _, lock := range []string{"", " for update"} {
		s := w.session(ctx)
		tx, err := w.pool.Begin(ctx)
		require.NoError(t, err)
		_, err = tx.Exec(ctx, "update sessions set title = 'second' where id = $1", s.ID)
		require.NoError(t, err)
		old := make(chan result, 1)
		go func() {
			var v string
			err := w.pool.QueryRow(ctx, "with old as (select id, title from sessions where id = $1"+lock+
				") update sessions s set title = 'third' from old where s.id = old.id returning old.title", s.ID).Scan(&v)
			old <- result{v, err}
		}()
		eventually(t, "the other update waits", func() bool {
			var n int
			require.NoError(t, w.pool.QueryRow(ctx, "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'").Scan(&n))
			return n == 1
		})
		require.NoError(t, tx.Commit(ctx))
		got := <-old
		require.NoError(t, got.err)
		if lock == "" {
			require.Equal(t, "first", got.value, "it replaced 'second' and says 'first'")
		} else {
			require.Equal(t, "second", got.value)
		}
	}
}

// refusals runs the generator on one of its test projects and returns what it says.
func refusals(t *testing.T, name string) string {
	t.Helper()
	dir := "../internal/gen/testdata/" + name
	_, err := gen.Run(gen.Options{Repo: dir + "/repo", Schema: []string{dir + "/schema.sql"}, Queries: []string{dir + "/query.sql"}, Out: t.TempDir() + "/cached"})
	var found gen.Findings
	require.True(t, errors.As(err, &found), "%v", err)
	return found.Error()
}

// TestAmendment4_11_12_KeyEqualityIsIdentity: the types that are refused as keys have values that Postgres holds equal and a
// cache would tell apart; those that are accepted have one key for one value, whatever Go type carries it.
func TestAmendment4_11_12_KeyEqualityIsIdentity(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	for _, pair := range [][2]string{
		{"1.0::numeric", "1.00::numeric"},
		{"'a'::char(4)", "'a   '::char(4)"},
		{"'0'::float8", "'-0'::float8"},
		{"interval '24 hours'", "interval '1 day'"},
	} {
		var equal, same bool
		require.NoError(t, w.pool.QueryRow(ctx, fmt.Sprintf("select %s = %s, format('%%s', %s) = format('%%s', %s)", pair[0], pair[1], pair[0], pair[1])).Scan(&equal, &same))
		require.True(t, equal, "%v", pair)
		if !strings.Contains(pair[0], "char(4)") { // its blanks come from the type's output, not from the text
			require.False(t, same, "%v", pair)
		}
	}
	said := refusals(t, "refuse_key_types")
	for _, why := range []string{"citext ignores case", "char(n) ignores trailing blanks", "1.0 and 1.00 are equal", "nondeterministic", "24 hours and 1 day", "makes its day ambiguous"} {
		require.Contains(t, said, why)
	}

	q, c := w.queries()
	s := w.session(ctx)
	w.warm(ctx, q, s.ID)
	for _, form := range []any{s.ID, &s.ID, pgtype.UUID{Bytes: s.ID, Valid: true}, [16]byte(s.ID)} {
		key, err := cached.Session.KeyOf(form)
		require.NoError(t, err)
		require.Equal(t, cached.Session.Key(s.ID), key)
		require.NoError(t, c.Invalidate(ctx, key))
		require.NotContains(t, w.fields(ctx, w.redisKey("session", s.ID)), "GetSession")
		w.warm(ctx, q, s.ID)
	}
	key, err := cached.Session.KeyOf(pgtype.UUID{})
	require.NoError(t, err)
	require.True(t, key.IsVoid(), "an equality never matches NULL")
}

// TestAmendment4_11_13_SessionDependentReads: one statement with one argument gives two sessions different rows. The generator
// refuses to cache any such read.
func TestAmendment4_11_13_SessionDependentReads(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	_, err := w.pool.Exec(ctx, `
		create table secrets (id int primary key, tenant text);
		insert into secrets values (1, 'a');
		alter table secrets enable row level security;
		create policy by_tenant on secrets using (tenant = current_setting('app.tenant', true));`)
	require.NoError(t, err)
	name := "pgaside_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	_, err = w.pool.Exec(ctx, "create role "+name+"; grant select on secrets to "+name)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := w.pool.Exec(context.Background(), "drop owned by "+name+"; drop role "+name)
		require.NoError(t, err)
	})
	rows := make(map[string]int)
	for _, tenant := range []string{"a", "b"} {
		tx, err := w.pool.Begin(ctx)
		require.NoError(t, err)
		_, err = tx.Exec(ctx, "set local role "+name)
		require.NoError(t, err)
		_, err = tx.Exec(ctx, "select set_config('app.tenant', $1, true)", tenant)
		require.NoError(t, err)
		var n int
		require.NoError(t, tx.QueryRow(ctx, "select count(*) from secrets where id = $1", 1).Scan(&n))
		rows[tenant] = n
		require.NoError(t, tx.Rollback(ctx))
	}
	require.Equal(t, map[string]int{"a": 1, "b": 0}, rows)
	said := refusals(t, "refuse_session")
	for _, why := range []string{"row-level security", "current_user", "session_user", "current_setting()", "temporary table", "search_path"} {
		require.Contains(t, said, why)
	}
}

// TestAmendment4_11_15_BatchesDoNotWaitForEachOther: batches over the same cold keys in different orders come to an end. A
// deadlock would last for the whole budget, which is made longer here than the test may take.
func TestAmendment4_11_15_BatchesDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w := newWorld(t)
	w.counters(ctx, 4)
	long := func(o *cache.Options) { o.RedisBudget, o.LeaseTTL = time.Hour, time.Hour }
	ps := []*process{w.process(long), w.process(long)}
	orders := [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}, {2, 0, 3, 1}}
	for range 50 {
		var wg sync.WaitGroup
		errs := make(chan error, 8)
		for _, p := range ps {
			for _, keys := range orders {
				wg.Go(func() {
					rows, err := p.readMany(ctx, keys)
					if err == nil && len(rows) != len(keys) {
						err = fmt.Errorf("%d rows", len(rows))
					}
					for i, row := range rows {
						if err == nil && row.ID != keys[i] {
							err = fmt.Errorf("row %d is of %d", i, row.ID)
						}
					}
					errs <- err
				})
			}
		}
		wg.Wait()
		close(errs)
		for err := range errs {
			require.NoError(t, err)
		}
		for key := range 4 {
			require.NoError(t, ps[0].cache.Invalidate(ctx, counterGroup.Key(key)))
		}
	}
	require.Positive(t, ps[0].cache.Stats().Total().Fills)

	// What another one writes to meanwhile is loaded, and not filled.
	_, err := ps[1].readMany(ctx, []int{1})
	require.NoError(t, err)
	g := newGate()
	defer g.release()
	fenced := w.process(holdAt("after-fence", g))
	done := make(chan error, 1)
	go func() { _, err := fenced.write(ctx, 0); done <- err }()
	<-g.at
	rows, err := ps[0].readMany(ctx, []int{1, 0})
	require.NoError(t, err)
	require.Equal(t, []counterRow{{ID: 1}, {ID: 0}}, rows)
	require.NotContains(t, w.fields(ctx, w.redisKey("counter", 0)), "Counters")
	g.release()
	require.NoError(t, <-done)
	rows, err = ps[0].readMany(ctx, []int{1, 0})
	require.NoError(t, err)
	require.Equal(t, []counterRow{{ID: 1}, {ID: 0, Version: 1}}, rows)
}

// TestAmendment4_11_16_NegativeEntriesAreShort: "no row" lives for 30 s at most, or for the TTL of a group that has less, and
// counts towards the cap of its key.
func TestAmendment4_11_16_NegativeEntriesAreShort(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	q, _ := w.queries(func(o *cache.Options) {
		o.MaxCells = 4
		o.Groups = map[string]cache.GroupOptions{"device": {TTL: 10 * time.Second}, "prompt": {NegativeOff: true}}
	})
	id := uuid.New()
	for _, c := range []struct {
		group, query string
		get          func() error
		most         time.Duration
	}{
		{"session", "GetSession", func() error { _, err := q.GetSession(ctx, id); return err }, 30 * time.Second},
		{"device", "GetDevice", func() error { _, err := q.GetDevice(ctx, id); return err }, 10 * time.Second},
	} {
		require.ErrorIs(t, c.get(), pgx.ErrNoRows)
		key := w.redisKey(c.group, id)
		w.stored(ctx, key, c.query)
		ttl, err := w.rdb.PTTL(ctx, key).Result()
		require.NoError(t, err)
		require.Positive(t, ttl)
		require.LessOrEqual(t, ttl, c.most)
	}
	for range 3 {
		_, err := q.GetTherapyPrompt(ctx, id)
		require.ErrorIs(t, err, pgx.ErrNoRows)
	}
	eventually(t, "the lease is given back", func() bool { return len(w.fields(ctx, w.redisKey("prompt", id))) == 0 })

	// A negative cell beside positive ones shortens the life of their key, and never lengthens it.
	s := w.session(ctx)
	_, err := q.CountMessages(ctx, s.ID)
	require.NoError(t, err)
	key := w.redisKey("message", s.ID)
	w.stored(ctx, key, "CountMessages")
	_, err = q.GetMessage(ctx, repo.GetMessageParams{SessionID: s.ID, ID: id})
	require.ErrorIs(t, err, pgx.ErrNoRows)
	w.stored(ctx, key, "GetMessage")
	ttl, err := w.rdb.PTTL(ctx, key).Result()
	require.NoError(t, err)
	require.LessOrEqual(t, ttl, 30*time.Second)

	for range 20 {
		_, err = q.GetMessage(ctx, repo.GetMessageParams{SessionID: s.ID, ID: uuid.New()})
		require.ErrorIs(t, err, pgx.ErrNoRows)
		n, err := w.rdb.HLen(ctx, key).Result()
		require.NoError(t, err)
		require.LessOrEqual(t, n, int64(4+2), "cells, and what marks the TTL as fixed")
	}
}

// TestAmendment4_11_20_StrictWaitsForReplicas: with Replicas: 1 a strict write needs a replica's word, and fails, changing
// nothing, when there is none, or when it does not answer.
func TestAmendment4_11_20_StrictWaitsForReplicas(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t, ownRedis())
	strict := func(replicas int) func(*cache.Options) {
		return func(o *cache.Options) {
			o.Replicas, o.FenceBudget = replicas, 5*time.Second
			o.Groups = map[string]cache.GroupOptions{"session": {Mode: cache.Strict}}
		}
	}
	one, _ := w.queries(strict(1))
	two, _ := w.queries(strict(2))
	s := w.session(ctx)
	refuse := func(q *cached.Queries, why string) {
		t.Helper()
		before := w.title(ctx, w.source(), s.ID)
		err := rename(ctx, q, s.ID, "refused "+why)
		require.ErrorIs(t, err, cache.ErrFence, why)
		require.Equal(t, before, w.title(ctx, w.source(), s.ID))
		require.Equal(t, before, w.title(ctx, q, s.ID))
	}
	refuse(one, "a lone Redis")

	replica, err := servers.StartRedis(ctx, servers.RedisOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = replica.Close() })
	rr := w.clientOf(replica.URL())
	host, port, err := net.SplitHostPort(w.redis.Addr())
	require.NoError(t, err)
	require.NoError(t, rr.Do(ctx, "REPLICAOF", host, port).Err())
	eventually(t, "the replica follows", func() bool {
		n, err := w.rdb.Do(ctx, "WAIT", 1, 100).Int()
		return err == nil && n == 1
	})
	// WAIT has 50 ms on the server, which a busy machine may need more than once.
	eventually(t, "a strict write is acknowledged", func() bool {
		err := rename(ctx, one, s.ID, "acknowledged")
		if err != nil {
			require.ErrorIs(t, err, cache.ErrFence)
		}
		return err == nil
	})
	require.Equal(t, "acknowledged", w.title(ctx, one, s.ID))
	refuse(two, "more replicas than there are")
	require.NoError(t, replica.Freeze())
	refuse(one, "a frozen replica")
	require.NoError(t, replica.Thaw())
}

// TestGeneratorLeavesForeignFilesAlone: a file of the user's in the output directory stays as it is.
func TestGeneratorLeavesForeignFilesAlone(t *testing.T) {
	t.Parallel()
	out := t.TempDir() + "/cached"
	require.NoError(t, os.MkdirAll(out, 0o755))
	mine := []byte("package cached_test\n\n// mine\n")
	require.NoError(t, os.WriteFile(out+"/example_test.go", mine, 0o600))
	res, err := gen.Run(gen.Options{Repo: "../repo", Schema: []string{"../db/migrations"}, Queries: []string{"../db/queries"}, Out: out})
	require.NoError(t, err)
	_, err = res.Write()
	require.NoError(t, err)
	diffs, err := res.Compare()
	require.NoError(t, err)
	require.Empty(t, diffs)
	got, err := os.ReadFile(out + "/example_test.go")
	require.NoError(t, err)
	require.Equal(t, mine, got)
	for name, text := range res.Files {
		have, err := os.ReadFile("../cached/" + name)
		require.NoError(t, err)
		require.Equal(t, string(have), string(text), "cached/%s is not as generated", name)
	}
}
