package cache_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/pgaside/pgaside/cache"
)

// upper codes users in a form that no codec has, and counts what it is asked.
type upper struct{ appended, decoded atomic.Int64 }

func (u *upper) user() cache.Coding[user] {
	return cache.Coding[user]{
		Append: func(b []byte, v *user) ([]byte, error) {
			u.appended.Add(1)
			switch v.Name {
			case "unfit":
				return nil, errors.New("unfit")
			case "bomb":
				panic("boom")
			}
			return append(append(b, byte(v.ID)), "="+v.Name...), nil
		},
		Decode: func(b []byte, v *user) error {
			u.decoded.Add(1)
			id, name, ok := strings.Cut(string(b), "=")
			*v = user{ID: int64(id[0]), Name: name} // half decoded, if it fails
			switch {
			case !ok || name == "damaged":
				return errors.New("damaged")
			case name == "trap":
				panic("boom")
			}
			return nil
		},
	}
}

const codedField = "GetUser.c0dedc0dedc0"

func codedUser(u *upper) *cache.Query[user] {
	return cache.NewCodedQuery("GetUser", "c0dedc0dedc0", cache.QueryOptions{NoRows: errNoRows}, u.user())
}

func (w *world) readBy(c *cache.Cache, q *cache.Query[user], id int64) string {
	w.t.Helper()
	u, err := cache.Read(w.t.Context(), c, users.Key(id), q.Cell(), func(ctx context.Context) (user, error) { return w.load(ctx, id) })
	if err != nil {
		w.t.Error(err)
	}
	return u.Name
}

func TestCodedQueryIsStoredByItsCoding(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.put(1, "a")
		var coding upper
		q := codedUser(&coding)
		for range 3 {
			equal(t, "name", w.readBy(w.c, q, 1), "a")
			synctest.Wait()
		}
		equal(t, "loads", w.loads.Load(), 1)
		equal(t, "appended", coding.appended.Load(), 1)
		equal(t, "decoded", coding.decoded.Load(), 2)
		if cell := string(w.store.Cell(user1Key, codedField)); !strings.HasSuffix(cell, "\x01=a") {
			t.Errorf("the cell is %q", cell)
		}
	})
}

// A codec of the program's own wins, JSON too, and its cells are beside those of the coding.
func TestCodecWinsOverCoding(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		w.put(1, "a")
		var coding upper
		q := codedUser(&coding)
		w.readBy(w.c, q, 1)
		synctest.Wait()
		appended := coding.appended.Load()
		for _, codec := range []cache.Codec{cache.JSON{}, otherCodec{}} {
			c := w.process(cache.Options{Codec: codec})
			for range 2 {
				equal(t, "name", w.readBy(c, q, 1), "a")
				synctest.Wait()
			}
			if cell := string(w.store.Cell(user1Key, codedField+"-"+codec.Name())); !strings.Contains(cell, `"Name":"a"`) {
				t.Errorf("%s: the cell is %q", codec.Name(), cell)
			}
		}
		equal(t, "appended", coding.appended.Load(), appended)
		equal(t, "loads", w.loads.Load(), 3)
		if cell := string(w.store.Cell(user1Key, codedField)); !strings.HasSuffix(cell, "\x01=a") {
			t.Errorf("the cell is %q", cell)
		}
	})
}

type otherCodec struct{ cache.JSON }

func (otherCodec) Name() string { return "other" }

// What a coding refuses is served and not stored, and so is what it panics at; a cell that it can't decode is a miss, of which
// nothing is left in the result.
func TestCodingThatFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		var coding upper
		q := codedUser(&coding)
		for i, name := range []string{"unfit", "bomb"} {
			w.put(int64(i+1), name)
			equal(t, "name", w.readBy(w.c, q, int64(i+1)), name)
			synctest.Wait()
		}
		equal(t, "not stored", w.stats(users).NotStored, 2)
		for i, name := range []string{"damaged", "trap"} {
			id := int64(i + 3)
			w.put(id, name)
			for range 2 {
				equal(t, "name", w.readBy(w.c, q, id), name)
				synctest.Wait()
			}
			equal(t, "refused", w.c.Stats().CellsRefused > uint64(i), true)
			w.mu.Lock()
			delete(w.rows, id)
			w.mu.Unlock()
			_, err := cache.Read(t.Context(), w.c, users.Key(id), q.Cell(), func(ctx context.Context) (user, error) { return w.load(ctx, id) })
			if !errors.Is(err, errNoRows) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// The coding of a batch is that of the list under each key.
func TestBatchIsStoredByItsCoding(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{})
		var lists atomic.Int64
		q := cache.NewCodedQuery("Names", "c0dedc0dedc0", cache.QueryOptions{}, cache.Coding[[]string]{
			Append: func(b []byte, v *[]string) ([]byte, error) { return append(b, strings.Join(*v, ",")...), nil },
			Decode: func(b []byte, v *[]string) error {
				lists.Add(1)
				*v = strings.Split(string(b), ",")
				return nil
			},
		})
		for range 2 {
			got, err := cache.ReadMany(t.Context(), w.c, []int64{1, 2}, users.Key, q.Cell(), func(s string) int64 { return int64(len(s)) },
				func(context.Context, []int64) ([]string, error) { return []string{"a", "b", "bb"}, nil })
			if err != nil || strings.Join(got, " ") != "a b bb" {
				t.Errorf("%q, %v", got, err)
			}
			synctest.Wait()
		}
		equal(t, "decoded", lists.Load(), 2)
		if cell := string(w.store.Cell(user1Key, "Names.c0dedc0dedc0")); !strings.HasSuffix(cell, "a,b") {
			t.Errorf("the cell is %q", cell)
		}
	})
}
