package cache_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
	"pgregory.net/rapid"

	"github.com/pgaside/pgaside/cache"
)

// One test for each amendment of the protocol that the engine has to keep.

func TestAmendment4_11_1_KeysAndFieldsAreReadable(t *testing.T) {
	session := cache.NewGroup[string]("session", cache.GroupOptions{})
	report := cache.NewGroup2[string, string]("report", cache.GroupOptions{})
	triple := cache.NewGroup3[int, bool, string]("triple", cache.GroupOptions{})
	get := cache.NewQuery[user]("GetSession", "9f3c00000000", cache.QueryOptions{})
	list := cache.NewQuery[user]("ListMessages", "9f3d00000000", cache.QueryOptions{})
	long := strings.Repeat("long/", 2000)
	for _, c := range []struct {
		key         cache.Key
		cell        cache.Cell[user]
		name, field string
	}{
		{session.Key("abc123"), get.Cell(), "therapist:{session:abc123}", "GetSession.9f3c00000000"},
		{session.Key("abc123"), list.Cell(50, true), "therapist:{session:abc123}", "ListMessages.9f3d00000000.50:true"},
		{report.Key("abc123", "def456"), get.Cell(), "therapist:{report:abc123:def456}", "GetSession.9f3c00000000"},
		{triple.Key(-7, true, ""), get.Cell(), "therapist:{triple:-7:true:}", "GetSession.9f3c00000000"},
		{session.Key(""), get.Cell(), "therapist:{session:%}", "GetSession.9f3c00000000"},
		{session.Key("a:b}{%~ é\x00"), get.Cell(), "therapist:{session:a%3Ab%7D%7B%25%7E%20%C3%A9%00}", "GetSession.9f3c00000000"},
		{session.Key(long), get.Cell(), "", "GetSession.9f3c00000000"}, // 10 kB
	} {
		w := newWorld(t, cache.Options{Namespace: "therapist"})
		if _, err := cache.Read(t.Context(), w.c, c.key, c.cell, func(context.Context) (user, error) { return user{}, nil }); err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool { return w.c.Stats().Total().Fills == 1 })
		keys := w.store.Keys()
		if len(keys) != 1 {
			t.Fatalf("keys: %q", keys)
		}
		if c.name == "" {
			if !regexp.MustCompile(`^therapist:\{session:~[0-9a-f]{32}\}$`).MatchString(keys[0]) {
				t.Errorf("long key: %q", keys[0])
			}
		} else if keys[0] != c.name {
			t.Errorf("key: got %q, want %q", keys[0], c.name)
		}
		if f := w.store.Fields(keys[0]); len(f) != 1 || f[0] != c.field {
			t.Errorf("field: got %q, want %q", f, c.field)
		}
	}
}

func TestAmendment4_11_1_KeysAreDistinctAndKeepTheirTag(t *testing.T) {
	pairs := cache.NewGroup2[string, string](strings.Repeat("g", 64), cache.GroupOptions{})
	name := redisName(t, strings.Repeat("n", 64))
	part := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a:%~{}]{0,6}`), rapid.StringN(0, 400, -1))
	rapid.Check(t, func(t *rapid.T) {
		a, b, c, d := part.Draw(t, "a"), part.Draw(t, "b"), part.Draw(t, "c"), part.Draw(t, "d")
		k1, k2 := pairs.Key(a, b), pairs.Key(c, d)
		if same := a == c && b == d; same != (k1 == k2) {
			t.Fatalf("%q,%q and %q,%q: same key %t", a, b, c, d, k1 == k2)
		}
		n1, n2 := name(k1), name(k2)
		if (n1 == n2) != (k1 == k2) {
			t.Fatalf("%q,%q and %q,%q are both %q", a, b, c, d, n1)
		}
		if len(n1) > 250 || strings.Count(n1, "{") != 1 || strings.Count(n1, "}") != 1 || !strings.HasSuffix(n1, "}") {
			t.Fatalf("%q", n1)
		}
	})
}

// redisName returns what a key is called in Redis.
func redisName(t *testing.T, namespace string) func(cache.Key) string {
	w := newWorld(t, cache.Options{Namespace: namespace})
	var name string
	w.onBefore("wipe", func(_ context.Context, keys []string) error { name = keys[0]; return nil })
	return func(k cache.Key) string {
		if err := w.c.Invalidate(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		return name
	}
}

func TestAmendment4_11_2_UnusableCellIsReplaced(t *testing.T) {
	good := func(w *world) []byte { return w.store.Cell(user1Key, userField) }
	for name, damage := range map[string]func(w *world) []byte{
		"garbage":   func(*world) []byte { return []byte("Vgarbage") },
		"one byte":  func(*world) []byte { return []byte("V") },
		"not V":     func(*world) []byte { return []byte("xyz") },
		"empty":     func(*world) []byte { return []byte{} },
		"no lease":  func(*world) []byte { return []byte("Lease") },
		"one bit":   func(w *world) []byte { c := good(w); c[len(c)-1] ^= 1; return c },
		"truncated": func(w *world) []byte { c := good(w); return c[:len(c)-1] },
		"other key": func(w *world) []byte {
			w.put(2, "two")
			_, _ = w.readCtx(w.t.Context(), w.c, users, 2)
			synctest.Wait()
			return w.store.Cell("pgaside:{users:2}", userField)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := newWorld(t, cache.Options{})
				w.put(1, "a")
				w.read(1)
				synctest.Wait()
				w.store.SetCell(user1Key, userField, damage(w))
				before := w.loads.Load()
				equal(t, "value", w.read(1), "a")
				synctest.Wait()
				equal(t, "loads", w.loads.Load()-before, 1)
				equal(t, "value", w.read(1), "a")
				equal(t, "loads after the repair", w.loads.Load()-before, 1)
			})
		})
	}
}

func TestAmendment4_11_2_FullKeyIsEmptied(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{MaxCells: 4})
		for page := range 20 {
			_, _ = cache.Read(t.Context(), w.c, users.Key(1), getUser.Cell(page), func(context.Context) (user, error) { return user{}, nil })
			synctest.Wait()
			if n := len(w.store.Fields(user1Key)); n == 0 || n > 4 {
				t.Fatalf("%d cells", n)
			}
		}
		equal(t, "fills", w.stats(users).Fills, 20)
	})
}

func TestAmendment4_11_3_InsideALoadReadsGoToTheSource(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.put(1, "old")
		w.read(1)
		w.many(w.c, []int64{1})
		synctest.Wait()
		w.put(1, "new") // behind the cache's back
		fn := cache.Func(w.c, "Name", users, func(id int64) int64 { return id }, func(ctx context.Context, id int64) (string, error) {
			u, err := w.load(ctx, id)
			return u.Name, err
		})
		_, _ = fn(t.Context(), 1)
		w.put(1, "newer")
		synctest.Wait()
		var one, two, three string
		var loading bool
		outer := cache.NewQuery[string]("Outer", "000000000000", cache.QueryOptions{})
		_, err := cache.Read(t.Context(), w.c, users.Key(9), outer.Cell(), func(ctx context.Context) (string, error) {
			loading = cache.Loading(ctx)
			one, _ = w.readCtx(ctx, w.c, users, 1)
			rows, _ := cache.ReadMany(ctx, w.c, []int64{1}, users.Key, listUsers.Cell(), func(u user) int64 { return u.ID },
				func(ctx context.Context, _ []int64) ([]user, error) {
					u, err := w.load(ctx, 1)
					return []user{u}, err
				})
			two = names(rows)
			three, _ = fn(ctx, 1)
			return "", nil
		})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "loading", loading, true)
		equal(t, "Read", one, "newer")
		equal(t, "ReadMany", two, "newer")
		equal(t, "Func", three, "newer")
		equal(t, "outside a load", cache.Loading(t.Context()), false)
		equal(t, "outside a load", w.read(1), "old")
	})
}

func TestAmendment4_11_3_WhatATransactionSawIsNotFilled(t *testing.T) {
	for _, down := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, cache.Options{})
			if down {
				w.down()
			}
			w.put(1, "uncommitted")
			gate := make(chan struct{})
			w.onLoad = func(ctx context.Context, seen bool) {
				if !seen {
					<-gate
					return
				}
				cache.NoFill(ctx)
			}
			first := w.startRead(1)
			synctest.Wait()
			second, third := w.startRead(1), w.startRead(1)
			synctest.Wait()
			close(gate)
			pass(time.Second)
			equal(t, "first", first.name, "uncommitted")
			equal(t, "second", second.name, "uncommitted")
			equal(t, "third", third.name, "uncommitted")
			equal(t, "loads", w.loads.Load(), 3) // nobody got what another had seen
			equal(t, "fills", w.stats(users).Fills, 0)
			if cell := w.store.Cell(user1Key, userField); cell != nil {
				t.Errorf("stored: %q", cell)
			}
			_, _ = cache.ReadMany(t.Context(), w.c, []int64{5}, users.Key, listUsers.Cell(), func(u user) int64 { return u.ID },
				func(ctx context.Context, _ []int64) ([]user, error) {
					cache.NoFill(ctx)
					return []user{{5, "uncommitted"}}, nil
				})
			synctest.Wait()
			equal(t, "fills of a batch", w.stats(users).Fills, 0)
			w.up()
			pass(time.Minute)
		})
	}
	cache.NoFill(t.Context()) // outside a load it says nothing
}

func TestAmendment4_11_8_BreakerGuardsReadsOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.put(1, "a")
		w.down("get", "time")
		for range 5 {
			w.read(1)
		}
		equal(t, "open", w.c.Stats().BreakerOpen, true)
		w.up("get")
		gets, wipes := w.ops("get"), w.ops("wipe")
		w.onBefore("wipe", func(ctx context.Context, _ []string) error {
			time.Sleep(400 * time.Millisecond) // over the budget of reads, and within that of writes
			return ctx.Err()
		})
		equal(t, "read", w.read(1), "a")
		equal(t, "gets while the breaker is open", w.ops("get"), gets)
		if err := w.write(w.c, strict, 1, "b"); err != nil {
			t.Errorf("a write did not get through: %v", err)
		}
		synctest.Wait()
		if w.ops("wipe") == wipes {
			t.Error("a write did not try to fence")
		}
		w.up("time")
		probes := w.ops("time")
		pass(10 * time.Second)                      // nobody calls
		equal(t, "probes", w.ops("time")-probes, 2) // it is back, and it is still there
		equal(t, "open", w.c.Stats().BreakerOpen, false)
		w.read(1)
		equal(t, "gets", w.ops("get"), gets+1)
		pass(time.Second)
	})
}

// TestReadsWaitForWritersToNotice: when Redis is back, a writer of another process may not know it yet, and writes without a
// fence. A reader that is quicker leaves Redis alone until every writer has had the time to look.
func TestReadsWaitForWritersToNotice(t *testing.T) {
	for back := time.Duration(0); back < 200*time.Millisecond; back += 10 * time.Millisecond {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, cache.Options{})
			reader := w.process(cache.Options{})
			w.put(1, "a")
			w.down("get", "acquire", "wipe", "time")
			for range 6 {
				_, _ = w.readCtx(t.Context(), reader, users, 1)
			}
			pass(120 * time.Millisecond) // so that the two look at different times
			for range 6 {
				_ = w.write(w.c, users, 1, "a")
			}
			pass(3*time.Second + back)
			w.up("get", "acquire", "wipe", "time")
			for n := range 100 {
				name := fmt.Sprint("write ", n)
				if err := w.write(w.c, users, 1, name); err != nil {
					t.Fatal(err)
				}
				got, _ := w.readCtx(t.Context(), reader, users, 1)
				equal(t, "read", got, name)
				pass(7 * time.Millisecond)
			}
			equal(t, "open", reader.Stats().BreakerOpen, false)
			pass(time.Second)
		})
	}
}

func TestAmendment4_11_8_WritersHaveABreakerOfTheirOwn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.onBefore("wipe", func(ctx context.Context, _ []string) error { <-ctx.Done(); return ctx.Err() })
		w.down("time")
		for i := range int64(5) {
			_ = w.write(w.c, strict, i, "a")
		}
		start := time.Now()
		if err := w.write(w.c, strict, 9, "a"); !errors.Is(err, cache.ErrFence) {
			t.Errorf("got %v, want ErrFence", err)
		}
		equal(t, "waited", time.Since(start), 0)
		equal(t, "reads are not concerned", w.c.Stats().BreakerOpen, false)
		w.up()
		pass(10 * time.Second)
		if err := w.write(w.c, strict, 9, "a"); err != nil {
			t.Errorf("after the recovery: %v", err)
		}
		pass(time.Second)
		equal(t, "pending", w.c.Stats().Pending, 0)
	})
}

func TestAmendment4_11_9_CellsFromBeforeAnOutageAreMisses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		other := w.process(cache.Options{})
		w.put(1, "old")
		w.read(1)
		synctest.Wait()
		w.down()
		for range 5 {
			w.read(2 - 1)
		}
		equal(t, "open", w.c.Stats().BreakerOpen, true)
		w.put(1, "new") // and the invalidation was lost in a failover, say
		w.up()
		pass(5 * time.Second)
		equal(t, "open", w.c.Stats().BreakerOpen, false)
		equal(t, "after the outage", w.read(1), "new")
		synctest.Wait()
		loads := w.loads.Load()
		equal(t, "and then", w.read(1), "new")
		name, _ := w.readCtx(t.Context(), other, users, 1)
		equal(t, "in another process", name, "new")
		equal(t, "loads", w.loads.Load(), loads)
	})
}

func TestAmendment4_11_10_EpochOfAGroup(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		other := w.process(cache.Options{})
		read := func(c *cache.Cache) string {
			name, err := w.readCtx(t.Context(), c, users, 1)
			if err != nil {
				t.Error(err)
			}
			synctest.Wait()
			return name
		}
		w.put(1, "old")
		read(w.c)
		equal(t, "shared", read(other), "old")
		equal(t, "loads", w.loads.Load(), 1)
		w.put(1, "new")
		if err := w.c.InvalidateGroup(t.Context(), users); err != nil {
			t.Fatal(err)
		}
		equal(t, "own process, at once", read(w.c), "new")
		pass(2 * time.Second)
		equal(t, "other process, after 2 s", read(other), "new")

		// Both stamps are lost: nothing older may come back.
		cell := w.store.Cell(user1Key, userField)
		w.store.Flush()
		pass(2 * time.Second)
		read(w.c)
		w.store.SetCell(user1Key, userField, cell)
		w.put(1, "newest")
		equal(t, "after the stamps were evicted", read(w.c), "newest")
	})
}

func TestAmendment4_11_10_OtherProcessesSeeItWithinTwoSecondsUnderLoad(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		other := w.process(cache.Options{})
		w.put(1, "old")
		w.read(1)
		_, _ = w.readCtx(t.Context(), other, users, 1)
		synctest.Wait()
		w.onBefore("get", func(context.Context, []string) error { time.Sleep(time.Millisecond); return nil })
		w.put(1, "new")
		_ = w.c.InvalidateGroup(t.Context(), users)
		invalidated := time.Now()
		for time.Since(invalidated) < 4*time.Second {
			began := time.Now()
			name, _ := w.readCtx(t.Context(), other, users, 1)
			if name == "old" && began.Sub(invalidated) >= 2*time.Second {
				t.Fatalf("a read that began %s after the invalidation saw the old value", began.Sub(invalidated))
			}
			time.Sleep(7 * time.Millisecond)
		}
		equal(t, "in the end", w.read(1), "new")
		synctest.Wait()
	})
}

// The bound holds too when the one who asks for the stamps gets no answer.
func TestAmendment4_11_10_TwoSecondsWhileSomebodyAsks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{RedisBudget: time.Minute})
		other := w.process(cache.Options{})
		w.put(1, "old")
		w.read(1)
		pass(500 * time.Millisecond)
		w.put(1, "new")
		_ = other.InvalidateGroup(t.Context(), users)
		pass(700 * time.Millisecond)
		release := w.stop(w.before, "get")
		asks := w.startRead(1)
		synctest.Wait()
		equal(t, "while somebody asks", w.read(1), "old")
		pass(1400 * time.Millisecond)
		second := w.startRead(1)
		synctest.Wait()
		release()
		pass(time.Second)
		equal(t, "the one who asked", asks.name, "new")
		equal(t, "2.1 s after the invalidation", second.name, "new")
	})
}

func TestAmendment4_11_10_TooManyKeysChangeTheEpoch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.put(1, "old")
		w.read(1)
		synctest.Wait()
		var keys []cache.Key
		for i := range int64(10_001) {
			keys = append(keys, users.Key(i))
		}
		var during string
		err := w.c.Write(t.Context(), keys, func(context.Context) (cache.Outcome, error) {
			w.put(1, "new")
			during = w.read(1)
			return cache.Committed, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "own process during the write", during, "new")
		equal(t, "wiped", w.ops("wipe"), 0)
		equal(t, "bumped", w.ops("bump"), 2) // before the commit and after it
		equal(t, "after the write", w.read(1), "new")
		synctest.Wait()
		equal(t, "group invalidations", w.c.Stats().Groups["users"].GroupInvalidations, 1)
		equal(t, "pending", w.c.Stats().Pending, 0)

		// A strict group must be told before the commit.
		keys = keys[:0]
		for i := range int64(10_001) {
			keys = append(keys, strict.Key(i))
		}
		w.down("bump")
		err = w.c.Write(t.Context(), keys, func(context.Context) (cache.Outcome, error) {
			t.Error("committed")
			return cache.Committed, nil
		})
		if !errors.Is(err, cache.ErrFence) {
			t.Errorf("got %v, want ErrFence", err)
		}
		w.up()
		pass(time.Minute)
		equal(t, "pending", w.c.Stats().Pending, 0)
	})
}

type (
	myString string
	myInt    int16
	myUUID   [16]byte
)

func ptr[T any](v T) *T { return &v }

func TestAmendment4_11_12_EqualValuesOfAnyTypeAreOneKey(t *testing.T) {
	id := uuid.MustParse("0191f3c2-7a4e-7cc1-9f3d-0123456789ab")
	at := time.Date(2026, 11, 22, 1, 2, 3, 456789000, time.UTC)
	day := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	g := cache.NewGroup[any]("any", cache.GroupOptions{})
	for name, same := range map[string][]any{
		"uuid": {
			id, &id, [16]byte(id), myUUID(id), ptr(myUUID(id)),
			pgtype.UUID{Bytes: id, Valid: true},
			&pgtype.UUID{Bytes: id, Valid: true},
			uuid.NullUUID{UUID: id, Valid: true},
			id.String(),
		},
		"integer": {
			7, int8(7), int16(7), int32(7), int64(7), uint(7), uint8(7), uint16(7), uint32(7), uint64(7), myInt(7),
			ptr(int64(7)), ptr(ptr(7)),
			pgtype.Int2{Int16: 7, Valid: true},
			pgtype.Int4{Int32: 7, Valid: true},
			pgtype.Int8{Int64: 7, Valid: true},
		},
		"text":  {"a b", myString("a b"), ptr("a b"), ptr(myString("a b")), pgtype.Text{String: "a b", Valid: true}},
		"bool":  {true, ptr(true), pgtype.Bool{Bool: true, Valid: true}},
		"bytea": {[]byte("ab"), ptr([]byte("ab"))},
		"timestamptz": {
			at, &at, at.In(time.FixedZone("", 3600)), at.Local(), at.Add(999), // pgx cuts off what Postgres does not keep
			pgtype.Timestamptz{Time: at, Valid: true}, pgtype.Timestamptz{Time: at.In(time.FixedZone("x", -7200)), Valid: true},
		},
		"date": {pgtype.Date{Time: day, Valid: true}, &pgtype.Date{Time: day, Valid: true}},
		"null": {
			nil, (*uuid.UUID)(nil),
			pgtype.UUID{},
			uuid.NullUUID{},
			(*string)(nil),
			pgtype.Text{},
			[]byte(nil),
			pgtype.Int8{},
			pgtype.Timestamptz{},
			(*pgtype.Date)(nil),
			pgtype.Date{},
			ptr((*int)(nil)),
		},
	} {
		first, err := g.KeyOf(same[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range same {
			k, err := g.KeyOf(v)
			if err != nil || k != first || k != g.Key(v) {
				t.Errorf("%s: %T %v: got %v, %v, want %v", name, v, v, k, err, first)
			}
			if k.IsVoid() != (name == "null") {
				t.Errorf("%s: %T: void %t", name, v, k.IsVoid())
			}
		}
	}
	for _, v := range []any{1.5, float32(1), struct{}{}, []string{"a"}, map[string]int{}, pgtype.Float8{Float64: 1, Valid: true}, make(chan int), 1i} {
		if _, err := g.KeyOf(v); err == nil || !strings.Contains(err.Error(), "group any") {
			t.Errorf("%T: got %v", v, err)
		}
	}
	if _, err := g.KeyOf(1, 2); err == nil {
		t.Error("two parts for a group of one")
	}

	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		byID := cache.NewGroup[uuid.UUID]("by_id", cache.GroupOptions{})
		nullable := cache.NewGroup[pgtype.UUID]("by_id", cache.GroupOptions{}) // the same, as another query spells it
		value := "old"
		read := func() string {
			v, err := cache.Read(t.Context(), w.c, byID.Key(id), getUser.Cell(), func(context.Context) (user, error) { return user{1, value}, nil })
			if err != nil {
				t.Error(err)
			}
			synctest.Wait()
			return v.Name
		}
		read()
		err := w.c.Write(t.Context(), []cache.Key{nullable.Key(pgtype.UUID{Bytes: id, Valid: true}), nullable.Key(pgtype.UUID{})},
			func(context.Context) (cache.Outcome, error) { value = "new"; return cache.Committed, nil })
		if err != nil {
			t.Error(err)
		}
		equal(t, "after a write through another type", read(), "new")
		equal(t, "invalidations", w.c.Stats().Groups["by_id"].Invalidations, 1)
	})
}

// named is JSON under another name.
type named struct {
	cache.JSON
	name string
}

func (c named) Name() string { return c.name }

func TestAmendment4_11_14_ShapeAndArguments(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.put(1, "a")
		w.read(1)
		synctest.Wait()
		for _, c := range []*cache.Cache{w.process(cache.Options{Codec: named{name: "my codec"}}), w.c} {
			before := w.loads.Load()
			if _, err := w.readCtx(t.Context(), c, users, 1); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			equal(t, "loads", w.loads.Load()-before == 0, c == w.c)
		}
		want := []string{userField, userField + "-my%20codec"}
		got := w.store.Fields(user1Key)
		slices.Sort(got)
		equal(t, "fields", fmt.Sprint(got), fmt.Sprint(want))

		_ = w.c.Invalidate(t.Context(), users.Key(1)) // both are gone
		equal(t, "fields", len(w.store.Fields(user1Key)), 0)

		for args, want := range map[string]string{
			strings.Repeat("x", 64): `^GetUser\.0123456789ab\.x{64}$`,
			strings.Repeat("x", 65): `^GetUser\.0123456789ab\.~[0-9a-f]{32}$`,
		} {
			_, _ = cache.Read(t.Context(), w.c, users.Key(2), getUser.Cell(args), func(context.Context) (user, error) { return user{}, nil })
			synctest.Wait()
			if f := w.store.Fields("pgaside:{users:2}"); len(f) != 1 || !regexp.MustCompile(want).MatchString(f[0]) {
				t.Errorf("got %q, want %s", f, want)
			}
			_ = w.c.Invalidate(t.Context(), users.Key(2))
		}
	})
}

func TestAmendment4_11_15_BatchesDoNotWaitForEachOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		other := w.process(cache.Options{})
		w.put(1, "a")
		w.put(2, "b")
		w.put(3, "c")
		// Each has the lease of the other's second key before either goes on: they ask one key at a time.
		gate := make(chan struct{})
		w.onLoad = func(_ context.Context, seen bool) {
			if !seen {
				<-gate
			}
		}
		var asked1, asked2 [][]int64
		first := w.startMany(w.c, []int64{1, 2}, &asked1)
		synctest.Wait() // has the leases of 1 and 2
		second := w.startMany(other, []int64{3, 2, 1}, &asked2)
		synctest.Wait() // has the lease of 3, and must load it before it waits for 1 and 2
		equal(t, "asked by the first", fmt.Sprint(asked1), "[[1 2]]")
		equal(t, "asked by the second", fmt.Sprint(asked2), "[[3]]")
		close(gate)
		pass(time.Second)
		equal(t, "first", names(first.rows), "a b")
		equal(t, "second", names(second.rows), "c b a")
		equal(t, "asked by the second", fmt.Sprint(asked2), "[[3]]")
	})
}

func TestAmendment4_11_15_OpposedBatches(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		other := w.process(cache.Options{})
		w.put(1, "a")
		w.put(2, "b")
		w.onBefore("acquire", func(context.Context, []string) error { time.Sleep(time.Millisecond); return nil })
		w.onLoad = func(context.Context, bool) { time.Sleep(5 * time.Millisecond) }
		for range 20 {
			first, second := w.startMany(w.c, []int64{1, 2}, nil), w.startMany(other, []int64{2, 1}, nil)
			pass(time.Second)
			equal(t, "first", names(first.rows), "a b")
			equal(t, "second", names(second.rows), "b a")
			_ = w.c.Invalidate(t.Context(), users.Key(1), users.Key(2))
		}
	})
}

func TestAmendment4_11_16_NegativeEntries(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{DefaultTTL: time.Hour, MaxCells: 3})
		g := cache.NewGroup[int64]("people", cache.GroupOptions{})
		read := func(page int) error {
			_, err := cache.Read(t.Context(), w.c, g.Key(1), getUser.Cell(page), func(ctx context.Context) (user, error) { return w.load(ctx, 1) })
			synctest.Wait()
			return err
		}
		for range 3 {
			if err := read(0); err != errNoRows { // the very error
				t.Fatalf("got %v", err)
			}
		}
		equal(t, "loads", w.loads.Load(), 1)
		equal(t, "negatives", w.stats(g).Negatives, 2)
		if ttl := w.store.TTL("pgaside:{people:1}"); ttl > 30*time.Second || ttl < 26*time.Second {
			t.Errorf("a negative cell lives for %s, want about 30 s", ttl)
		}
		pass(30 * time.Second)
		_ = read(0)
		equal(t, "loads after 30 s", w.loads.Load(), 2)

		for page := range 20 {
			_ = read(page)
			if n := len(w.store.Fields("pgaside:{people:1}")); n > 3 {
				t.Fatalf("%d negative cells, 3 are the most", n)
			}
		}

		// It shortens the life of the cells beside it, and never lengthens it.
		brief := cache.NewGroup[int64]("brief", cache.GroupOptions{TTL: 10 * time.Second})
		_, _ = w.readCtx(t.Context(), w.c, brief, 1)
		synctest.Wait()
		if ttl := w.store.TTL("pgaside:{brief:1}"); ttl > 10*time.Second {
			t.Errorf("lives for %s, of 10 s", ttl)
		}

		off := cache.NewGroup[int64]("off", cache.GroupOptions{NegativeOff: true})
		before := w.loads.Load()
		for range 2 {
			_, err := w.readCtx(t.Context(), w.c, off, 1)
			if !errors.Is(err, errNoRows) {
				t.Errorf("got %v", err)
			}
			synctest.Wait()
		}
		equal(t, "loads without negative cells", w.loads.Load()-before, 2)
		equal(t, "leases left", len(w.store.Fields("pgaside:{off:1}")), 0)
	})
}

func TestAmendment4_11_17_KVNeverTouchesAGroup(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.put(1, "a")
		w.read(1)
		synctest.Wait()
		kv := cache.NewKV[int64, user](w.c, "users", cache.KVOptions{})
		if err := kv.Set(t.Context(), 1, user{1, "kv"}); err != nil {
			t.Fatal(err)
		}
		equal(t, "the group", w.read(1), "a")
		if v, ok, err := kv.Get(t.Context(), 1); err != nil || !ok || v.Name != "kv" {
			t.Errorf("got %v %t %v", v, ok, err)
		}
		_ = w.c.Invalidate(t.Context(), users.Key(1))
		if _, ok, _ := kv.Get(t.Context(), 1); !ok {
			t.Error("an invalidation of the group took the entry of the KV")
		}
		_ = kv.Delete(t.Context(), 1)
		if _, ok, _ := kv.Get(t.Context(), 1); ok {
			t.Error("still there")
		}
	})
}
