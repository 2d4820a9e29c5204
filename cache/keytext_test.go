package cache_test

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgaside/pgaside/cache"
)

type status string

// A key that is written as text is the one that a program makes from a value.
func TestParseKey(t *testing.T) {
	id := uuid.MustParse("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
	at := time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)
	uuids := cache.NewGroup[uuid.UUID]("uuids", cache.GroupOptions{})
	pairs := cache.NewGroup2[uuid.UUID, string]("pairs", cache.GroupOptions{})
	same := func(what string, got cache.Key, err error, want cache.Key) {
		t.Helper()
		if err != nil || got != want && (got.Group() != want.Group() || got != want) {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
	k, err := cache.ParseKey(uuids, strings.ToUpper(id.String()))
	same("uuid", k, err, uuids.Key(id))
	k, err = cache.ParseKey(pairs, id.String(), "a b:c/é")
	same("pair", k, err, pairs.Key(id, "a b:c/é"))
	numbers := cache.NewGroup[int32]("numbers", cache.GroupOptions{})
	k, err = cache.ParseKey(numbers, "007")
	same("number", k, err, numbers.Key(7))
	unsigned := cache.NewGroup[uint8]("unsigned", cache.GroupOptions{})
	k, err = cache.ParseKey(unsigned, "255")
	same("unsigned", k, err, unsigned.Key(255))
	bools := cache.NewGroup[bool]("bools", cache.GroupOptions{})
	k, err = cache.ParseKey(bools, "true")
	same("bool", k, err, bools.Key(true))
	times := cache.NewGroup[time.Time]("times", cache.GroupOptions{})
	k, err = cache.ParseKey(times, "2026-01-31T11:00:00+01:00")
	same("time", k, err, times.Key(at))
	bytes := cache.NewGroup[[]byte]("bytes", cache.GroupOptions{})
	k, err = cache.ParseKey(bytes, hex.EncodeToString([]byte("abc")))
	same("bytes", k, err, bytes.Key([]byte("abc")))
	arrays := cache.NewGroup[[16]byte]("arrays", cache.GroupOptions{})
	k, err = cache.ParseKey(arrays, id.String())
	same("array", k, err, arrays.Key(id))
	named := cache.NewGroup[status]("named", cache.GroupOptions{})
	k, err = cache.ParseKey(named, "open")
	same("named string", k, err, named.Key("open"))
	pointers := cache.NewGroup[*string]("pointers", cache.GroupOptions{})
	text := "x"
	k, err = cache.ParseKey(pointers, text)
	same("pointer", k, err, pointers.Key(&text))
	pg := cache.NewGroup[pgtype.UUID]("pg", cache.GroupOptions{})
	k, err = cache.ParseKey(pg, id.String())
	same("pgtype.UUID", k, err, pg.Key(pgtype.UUID{Bytes: id, Valid: true}))
	pgInt := cache.NewGroup[pgtype.Int8]("pgint", cache.GroupOptions{})
	k, err = cache.ParseKey(pgInt, "12")
	same("pgtype.Int8", k, err, pgInt.Key(pgtype.Int8{Int64: 12, Valid: true}))

	addrs := cache.NewGroup[netip.Prefix]("addrs", cache.GroupOptions{})
	for what, f := range map[string]func() (cache.Key, error){
		"too few":  func() (cache.Key, error) { return cache.ParseKey(pairs, "secret") },
		"uuid":     func() (cache.Key, error) { return cache.ParseKey(uuids, "secret") },
		"array":    func() (cache.Key, error) { return cache.ParseKey(arrays, "secret") },
		"number":   func() (cache.Key, error) { return cache.ParseKey(numbers, "secret") },
		"too big":  func() (cache.Key, error) { return cache.ParseKey(numbers, "99999999999") },
		"unsigned": func() (cache.Key, error) { return cache.ParseKey(unsigned, "-1") },
		"bool":     func() (cache.Key, error) { return cache.ParseKey(bools, "secret") },
		"time":     func() (cache.Key, error) { return cache.ParseKey(times, "secret") },
		"bytes":    func() (cache.Key, error) { return cache.ParseKey(bytes, "secret") },
		"scanner":  func() (cache.Key, error) { return cache.ParseKey(pg, "secret") },
		"address":  func() (cache.Key, error) { return cache.ParseKey(addrs, "secret") },
	} {
		if _, err := f(); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

// Of a group whose name alone is known, a key is what stands in Redis.
func TestParseKeyOfANamedGroup(t *testing.T) {
	server, rdb := newRedis(t)
	c, err := cache.NewWithStore(cache.NewRedisStore(rdb, false), cache.Options{Logger: discard, FenceBudget: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	g, err := cache.NamedGroup("users")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"1", "a%20b:c", "~0123456789abcdef0123456789abcdef", "%"} {
		k, err := cache.ParseKey(g, id)
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		server.HSet("pgaside:{users:"+id+"}", "x", "y")
		if err := c.Invalidate(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		if server.Exists("pgaside:{users:" + id + "}") {
			t.Errorf("%s is still there", id)
		}
	}
	for _, id := range []string{"", "a b", "a}", "*", "%2", "%zz", "~0", "a{b", "secret\n"} {
		if _, err := cache.ParseKey(g, id); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v", id, err)
		}
	}
	if _, err := cache.NamedGroup("a-b"); err == nil {
		t.Error("a bad name is taken")
	}
}

func TestHealthWithoutAnInspector(t *testing.T) {
	w := newWorld(t, cache.Options{})
	h := w.c.RedisHealth(t.Context())
	if !h.Connected || !h.Ready || !h.Healthy || h.Keys != nil || len(h.Warnings) > 0 {
		t.Errorf("%+v", h)
	}
	if _, err := w.c.Inspect(t.Context(), users.Key(1), false); !errors.Is(err, cache.ErrNotInspectable) {
		t.Error(err)
	}
	if _, err := w.c.Survey(t.Context(), cache.SurveyOptions{}); !errors.Is(err, cache.ErrNotInspectable) {
		t.Error(err)
	}
	off := w.process(cache.Options{Disabled: true})
	if h := off.RedisHealth(t.Context()); h.Connected || h.Healthy {
		t.Errorf("disabled: %+v", h)
	}
	_ = off.Close()
}

// The last error of each class is kept, and a reset forgets it.
func TestLastErrors(t *testing.T) {
	c, err := cache.Open("redis://127.0.0.1:1", cache.Options{Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Announce(users, strict)
	before := c.Stats()
	equal(t, "announced", len(before.Groups), 2)
	equal(t, "no errors", len(before.LastErrors), 0)
	if err := c.Invalidate(t.Context(), users.Key(42424242)); !errors.Is(err, cache.ErrInvalidationPending) {
		t.Fatal(err)
	}
	equal(t, "pending", c.PendingByGroup()["users"], 1)
	s := c.Stats()
	last, ok := s.LastErrors["connection"]
	if !ok || last.Doing != "invalidating" || last.At.Before(before.Since) || strings.Contains(last.Text, "42424242") {
		t.Errorf("%+v", s.LastErrors)
	}
	c.ResetStats()
	if after := c.Stats(); len(after.LastErrors) > 0 && !after.LastErrors["connection"].At.After(after.Since) || after.Since.Before(before.Since) {
		t.Errorf("%+v", after)
	}
}
