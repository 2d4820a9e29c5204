package integration

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/pgfence"
	"github.com/pgaside/pgaside/cached"
	"github.com/pgaside/pgaside/repo"
)

// TestBrokenRedisURL: each is an error at once, that names the place and what is wanted, and keeps the password to itself.
func TestBrokenRedisURL(t *testing.T) {
	t.Parallel()
	for _, u := range []string{
		"", "localhost:6379", "http://localhost:6379", "redis://localhost:6379/notadb", "redis://:hunter2@localhost:port", "redis://:hunter2@[::1",
		"redis://user:hunter2@localhost:6379/0?dial_timeout=soon", "redis://:hunter2@localhost/0?cluster=true&nonsense=1", "://:hunter2@x", "redis://:hun%zzter2@host",
	} {
		_, err := cache.Open(u, cache.Options{})
		require.Error(t, err, u)
		require.Contains(t, err.Error(), "Redis URL")
		require.Contains(t, err.Error(), "want redis://", u)
		require.NotContains(t, err.Error(), "hunter2")
		require.NotContains(t, err.Error(), "zzter2")
	}
}

// secretWord must not be logged.
const secretWord = "zebra-secret-zebra"

func (w *world) message(ctx context.Context, q *cached.Queries, s repo.Session, content string) repo.Message {
	w.t.Helper()
	m, err := q.CreateMessage(ctx, repo.CreateMessageParams{SessionID: s.ID, UserID: s.UserID, Role: repo.MessageRoleClient, Content: content})
	require.NoError(w.t, err)
	w.unfenced(ctx, w.redisKey("message", s.ID))
	return m
}

// TestResultTooLarge: a message of 2 MB is served and not stored, counted, and logged without its text.
func TestResultTooLarge(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	q, c := w.queries()
	s := w.session(ctx)
	m := w.message(ctx, q, s, strings.Repeat(secretWord, 2<<20/len(secretWord)))
	arg := repo.GetMessageParams{SessionID: s.ID, ID: m.ID}
	eventually(t, "three of each were not stored", func() bool { // a read that Redis answers late never gets that far
		got, err := q.GetMessage(ctx, arg)
		require.NoError(t, err)
		require.Equal(t, m, got)
		rows, err := q.ListMessagesBySessions(ctx, []uuid.UUID{s.ID})
		require.NoError(t, err)
		require.Equal(t, []repo.Message{m}, rows)
		st := c.Stats().Groups["message"].Queries
		return st["GetMessage"].NotStored >= 3 && st["ListMessagesBySessions"].NotStored >= 3
	})
	for name, q := range c.Stats().Groups["message"].Queries {
		require.Zero(t, q.Fills, name)
	}
	eventually(t, "the leases are given back", func() bool { return len(w.fields(ctx, w.redisKey("message", s.ID))) == 0 })
	require.Positive(t, c.Stats().Errors[cache.ErrorMemory.String()])
	require.Contains(t, w.log.String(), "class=memory")
	require.NotContains(t, w.log.String(), secretWord)
	require.NotContains(t, w.log.String(), s.ID.String())

	// A little smaller, it is compressed and stored.
	m = w.message(ctx, q, s, strings.Repeat(secretWord, 1<<19/len(secretWord)))
	arg.ID = m.ID
	_, err := q.GetMessage(ctx, arg)
	require.NoError(t, err)
	w.stored(ctx, w.redisKey("message", s.ID), "GetMessage")
	require.Less(t, len(w.fields(ctx, w.redisKey("message", s.ID))["GetMessage"]), 1<<18)
	got, err := q.GetMessage(ctx, arg)
	require.NoError(t, err)
	require.Equal(t, m, got)
}

// TestResultNotEncodable: a value that no codec can carry is served and not stored.
func TestResultNotEncodable(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	c := w.open()
	db := pgfence.New(w.pool, c, pgfence.Statements{})
	query := cache.NewQuery[any]("Odd", "00000000000b", cache.QueryOptions{})
	for i, v := range []any{math.NaN(), math.Inf(1), func() {}, make(chan int), secretWord + string([]byte{0xff}), map[any]any{}} {
		key := counterGroup.Key(i)
		for range 2 {
			got, err := pgfence.Read(ctx, db, key, query.Cell(), func(context.Context, pgfence.DBTX) (any, error) { return v, nil })
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("%T%p", v, ptrOf(v)), fmt.Sprintf("%T%p", got, ptrOf(got)))
		}
	}
	require.EqualValues(t, 12, c.Stats().Total().NotStored)
	require.Zero(t, c.Stats().Total().Hits)
	require.NotContains(t, w.log.String(), secretWord)
}

func ptrOf(v any) any {
	switch v.(type) {
	case func(), chan int:
		return v
	}
	return nil
}

// TestBadCells: a cell that was damaged, swapped, cut off or invented is a miss: the source answers, and the cell is replaced.
func TestBadCells(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	q, _ := w.queries()
	s, other := w.session(ctx), w.session(ctx)
	require.NoError(t, rename(ctx, q, s.ID, secretWord))
	key, otherKey := w.redisKey("session", s.ID), w.redisKey("session", other.ID)
	w.unfenced(ctx, key)
	w.warm(ctx, q, s.ID)
	w.warm(ctx, q, other.ID)
	_, err := q.ListSessionsByIDs(ctx, []uuid.UUID{s.ID})
	require.NoError(t, err)
	w.stored(ctx, key, "ListSessionsByIDs")
	field := func(key, query string) string {
		fields, err := w.rdb.HKeys(ctx, key).Result()
		require.NoError(t, err)
		for _, f := range fields {
			if strings.HasPrefix(f, query+".") {
				return f
			}
		}
		t.Fatalf("no cell of %s", query)
		return ""
	}
	name, list := field(key, "GetSession"), field(key, "ListSessionsByIDs")
	cell := func(key, field string) string {
		v, err := w.rdb.HGet(ctx, key, field).Result()
		require.NoError(t, err)
		return v
	}
	good, goodList, goodOther := cell(key, name), cell(key, list), cell(otherKey, name)
	flip := func(s string, i int) string {
		b := []byte(s)
		b[i] ^= 0x40
		return string(b)
	}
	bad := map[string]string{
		"empty": "", "one byte": "V", "header only": good[:19], "cut off": good[:len(good)-3], "longer": good + "x", "no JSON": "Vnonsense",
		"of another key": goodOther, "of another query": goodList, "flag": flip(good, 1), "hash": flip(good, 5), "epoch": flip(good, 12),
		"time": flip(good, 16), "payload": flip(good, len(good)-5), "a lease without end": "L9|", "zeros": "V" + strings.Repeat("\x00", 200),
		"another kind of cell": "X" + good[1:], "expired lease": "L1|1|nobody",
	}
	for name2, v := range bad {
		t.Run(name2, func(t *testing.T) { // one after the other: they share the cell
			fresh, c := w.queries()
			require.NoError(t, w.rdb.HSet(ctx, key, name, v).Err())
			got, err := fresh.GetSession(ctx, s.ID)
			require.NoError(t, err)
			require.Equal(t, secretWord, got.Title)
			eventually(t, "the cell is replaced", func() bool {
				got, err := fresh.GetSession(ctx, s.ID)
				require.NoError(t, err)
				require.Equal(t, secretWord, got.Title)
				return c.Stats().Total().Hits > 0
			})
			// The same for a batch.
			require.NoError(t, w.rdb.HSet(ctx, key, list, v).Err())
			if name2 == "of another query" {
				require.NoError(t, w.rdb.HSet(ctx, key, list, good).Err())
			}
			for range 3 {
				rows, err := fresh.ListSessionsByIDs(ctx, []uuid.UUID{s.ID})
				require.NoError(t, err)
				require.Equal(t, []repo.Session{got}, rows)
			}
		})
	}
	// What is no hash at all.
	require.NoError(t, w.rdb.Set(ctx, key, "a string", 0).Err())
	for range 3 {
		require.Equal(t, secretWord, w.title(ctx, q, s.ID))
	}
	require.NoError(t, rename(ctx, q, s.ID, "changed"))
	require.Equal(t, "changed", w.title(ctx, q, s.ID))
	require.NotContains(t, w.log.String(), secretWord)
	require.NotContains(t, w.log.String(), s.ID.String())
}

// TestKeyOf10kB: a key that long is hashed, and behaves like any other.
func TestKeyOf10kB(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	q, c := w.queries()
	token := strings.Repeat(secretWord+"{}:*", 10_000/len(secretWord))
	for range 3 {
		_, err := q.GetUserSessionByToken(ctx, token)
		require.ErrorIs(t, err, pgx.ErrNoRows)
		_, err = q.GetUserSessionByToken(ctx, token+"x")
		require.ErrorIs(t, err, pgx.ErrNoRows)
		eventually(t, "both are stored", func() bool { return c.Stats().Total().Fills == 2 })
	}
	require.EqualValues(t, 4, c.Stats().Total().Negatives)
	for _, k := range w.keys(ctx) {
		require.LessOrEqual(t, len(k), 250)
		require.NotContains(t, k, secretWord)
	}
	_, err := q.RevokeUserSession(ctx, token)
	require.ErrorIs(t, err, pgx.ErrNoRows)
	require.NotContains(t, w.log.String(), secretWord)
}

// TestPageOf10Million: a page size that nobody has rows for.
func TestPageOf10Million(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	q, _ := w.queries()
	s := w.session(ctx)
	w.message(ctx, q, s, "one")
	for _, size := range []int32{10_000_000, math.MaxInt32, 0} {
		arg := repo.ListMessagesParams{SessionID: s.ID, PageSize: size}
		want, err := w.source().ListMessages(ctx, arg)
		require.NoError(t, err)
		for range 2 {
			got, err := q.ListMessages(ctx, arg)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	}
	// One that Postgres refuses is refused in its words, and the refusal is not cached.
	for range 2 {
		_, err := q.ListMessages(ctx, repo.ListMessagesParams{SessionID: s.ID, PageSize: -1})
		require.ErrorContains(t, err, "LIMIT must not be negative")
	}
}
