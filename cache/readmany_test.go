package cache_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgaside/pgaside/cache"
)

func TestReadMany(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		for i, name := range []string{"a", "b", "c"} {
			w.put(int64(i+1), name)
		}
		var asked [][]int64
		read := func(ids ...int64) string {
			rows, err := w.readMany(w.c, ids, &asked)
			if err != nil {
				t.Error(err)
			}
			synctest.Wait()
			return names(rows)
		}
		equal(t, "nothing is there", read(2, 1), "b a")
		equal(t, "partial hits, repeated and absent keys", read(3, 1, 9, 3, 2), "c a b")
		equal(t, "all are there", read(9, 3, 2, 1), "c b a")
		equal(t, "asked", fmt.Sprint(asked), "[[2 1] [3 9]]") // an absent row is cached too
		_ = w.write(w.c, users, 2, "B")
		equal(t, "after a write", read(1, 2, 3), "a B c")
		equal(t, "asked", fmt.Sprint(asked[2:]), "[[2]]")
		_ = w.write(w.c, users, 9, "new")
		equal(t, "after an insert", read(9), "new")
	})
}

func TestReadManyOfNothing(t *testing.T) {
	w := newWorld(t, cache.Options{})
	var asked [][]int64
	rows, err := w.readMany(w.c, nil, &asked)
	if len(rows) != 0 || err != nil {
		t.Errorf("%v, %v", rows, err)
	}
	w.put(1, "a")
	for _, nilWhenEmpty := range []bool{false, true} {
		q := cache.NewQuery[[]user](fmt.Sprint("List", nilWhenEmpty), "0", cache.QueryOptions{NilWhenEmpty: nilWhenEmpty})
		for range 2 {
			rows, err := cache.ReadMany(t.Context(), w.c, []int64{7}, users.Key, q.Cell(), func(u user) int64 { return u.ID },
				func(context.Context, []int64) ([]user, error) { return nil, nil })
			if err != nil || (rows == nil) != nilWhenEmpty {
				t.Errorf("nil when empty %t: %#v, %v", nilWhenEmpty, rows, err)
			}
		}
	}
}

func TestReadManyWithVoidKeys(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		g := cache.NewGroup[*int64]("nullable", cache.GroupOptions{})
		var asked []int64
		for range 2 {
			rows, err := cache.ReadMany(t.Context(), w.c, []int64{0, 1}, func(id int64) cache.Key {
				if id == 0 {
					return g.Key(nil)
				}
				return g.Key(&id)
			}, listUsers.Cell(), func(u user) int64 { return u.ID }, func(_ context.Context, missing []int64) ([]user, error) {
				asked = append(asked, missing...)
				return []user{{1, "a"}}[:strings.Count(fmt.Sprint(missing), "1")], nil
			})
			if err != nil || names(rows) != "a" {
				t.Errorf("%v, %v", rows, err)
			}
			synctest.Wait()
		}
		equal(t, "asked", fmt.Sprint(asked), "[0 1 0]") // the void key each time, the other once
	})
}

func TestReadManyWithStrayRows(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		load := func(context.Context, []int64) ([]user, error) { return []user{{1, "a"}, {99, "stray"}}, nil }
		for range 2 {
			rows, err := cache.ReadMany(t.Context(), w.c, []int64{1}, users.Key, listUsers.Cell(), func(u user) int64 { return u.ID }, load)
			if err != nil || len(rows) != 2 {
				t.Errorf("%v, %v", rows, err)
			}
			synctest.Wait()
		}
		equal(t, "fills", w.stats(users).Fills, 0)
		equal(t, "leases left", len(w.store.Fields(user1Key)), 0)
	})
}

func TestReadManyThatFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		broken := errors.New("broken")
		for name, load := range map[string]func(context.Context, []int64) ([]user, error){
			"error": func(context.Context, []int64) ([]user, error) { return nil, broken },
			"panic": func(context.Context, []int64) ([]user, error) { panic(broken) },
		} {
			func() {
				defer func() { _ = recover() }()
				_, err := cache.ReadMany(t.Context(), w.c, []int64{1, 2}, users.Key, listUsers.Cell(), func(u user) int64 { return u.ID }, load)
				if err != broken { // the very error
					t.Errorf("%s: got %v", name, err)
				}
			}()
			synctest.Wait()
			equal(t, name+": leases left", len(w.store.Fields(user1Key)), 0)
		}
	})
}

func TestReadManyWithoutRedis(t *testing.T) {
	for _, op := range everyOp[:4] {
		bubble(t, func(t *testing.T) {
			w := newWorld(t, cache.Options{})
			w.put(1, "a")
			w.put(2, "b")
			w.down(op, "mint")
			for range 7 {
				equal(t, op, names(w.many(w.c, []int64{2, 1})), "b a")
				synctest.Wait()
			}
			w.up()
			pass(time.Minute)
		})
	}
}

func TestReadManyIsNotFilledWhenAWriteOvertakesIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.put(1, "old")
		w.put(2, "b")
		next := w.gatedAfter()
		many := w.startMany(w.c, []int64{1, 2}, nil)
		synctest.Wait()
		_ = w.write(w.c, users, 1, "new")
		w.onLoad = nil
		next()
		equal(t, "concurrent", names(many.rows), "old b")
		equal(t, "lost", w.stats(users).FillsLost, 1)
		equal(t, "fills", w.stats(users).Fills, 1)
		equal(t, "later", names(w.many(w.c, []int64{1, 2})), "new b")
		synctest.Wait()
	})
}

// gatedAfter makes loads wait when they have seen the source.
func (w *world) gatedAfter() (next func()) {
	gates := make(chan chan struct{}, 100)
	w.onLoad = func(_ context.Context, seen bool) {
		if seen {
			gate := make(chan struct{})
			gates <- gate
			<-gate
		}
	}
	return func() {
		close(<-gates)
		synctest.Wait()
	}
}

// What a caller does to its value changes nobody else's.
func TestValuesAreTheCallersOwn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		q := cache.NewQuery[[]string]("Tags", "0", cache.QueryOptions{})
		original := []string{"a", "b"}
		gate := make(chan struct{})
		results := make([][]string, 5)
		read := func() []string {
			v, err := cache.Read(t.Context(), w.c, users.Key(1), q.Cell(), func(context.Context) ([]string, error) { <-gate; return slices.Clone(original), nil })
			if err != nil {
				t.Error(err)
			}
			return v
		}
		for _, down := range []bool{false, true} {
			if down {
				w.down()
			}
			for i := range results {
				go func() {
					v := read()
					if !slices.Equal(v, original) {
						t.Errorf("down %t: got %q", down, v)
					}
					v[0] = "changed"
					results[i] = v
				}()
			}
			synctest.Wait()
			if !down {
				close(gate)
			}
			pass(time.Second)
			if v := read(); !slices.Equal(v, original) {
				t.Errorf("later: %q", v)
			}
			pass(time.Second)
		}
		w.up()
		rows := w.many(w.c, []int64{1})
		_ = rows
		pass(time.Minute)
	})
}

// Random reads and writes of several processes under trouble: while Redis answers, no read is older than a write that had
// returned, and at the end every process sees the truth.
func TestRandomHistory(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { bubble(t, func(t *testing.T) { randomHistory(t, seed) }) })
	}
}
