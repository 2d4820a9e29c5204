package cache_test

import (
	"encoding/json"
	"log/slog"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgaside/pgaside/cache"
)

// FuzzOpenURL opens a cache at any URL: it is an error, or a cache that closes. An error never shows the password.
func FuzzOpenURL(f *testing.F) {
	for _, u := range []string{
		"", "redis://localhost:1/3", "rediss://user:hunter2@localhost:1", "unix:///nonexistent/redis.sock?db=2", "redis://localhost?cluster=true&addr=b:2",
		"redis://:hunter2@localhost/notadb", "redis://:hun%zzter2@host", "redis://[::1", "://", "redis://localhost?read_timeout=10s&max_retries=-7&pool_size=-1",
	} {
		f.Add(u, "pgaside")
	}
	f.Fuzz(func(t *testing.T, rawURL, namespace string) {
		if u, err := url.Parse(rawURL); err == nil && len(u.Query()["addr"])+len(u.Query()["pool_size"])+len(u.Query()["min_idle_conns"]) > 0 && len(rawURL) > 200 {
			t.Skip() // pools as large as it says
		}
		if u, err := url.Parse(rawURL); err == nil && u.Query().Has("min_idle_conns") {
			t.Skip() // dials, as it says
		}
		c, err := cache.Open(rawURL, cache.Options{Namespace: namespace, Logger: slog.New(slog.DiscardHandler)})
		if err == nil {
			_ = c.Close()
			return
		}
		if u, perr := url.Parse(rawURL); perr == nil && u.User != nil {
			if pw, _ := u.User.Password(); len(pw) > 6 && strings.Contains(err.Error(), pw) {
				t.Fatalf("%q is in %q", pw, err)
			}
		}
	})
}

// encodable has what a row has.
type encodable struct {
	ID      int64
	Name    *string
	At      time.Time
	List    []string
	Raw     json.RawMessage
	Nested  *encodable
	Payload []byte
}

// FuzzDecode gives the codec any document: an error, or a value. What it decodes, it encodes and decodes to the same, or refuses.
func FuzzDecode(f *testing.F) {
	now, name := time.Date(2026, 11, 22, 1, 2, 3, 4000, time.UTC), "name"
	for _, v := range []encodable{{}, {ID: 1, Name: &name, At: now, List: []string{"a", ""}, Raw: json.RawMessage(`{"a":1}`)}, {Nested: &encodable{At: now.Local()}}} {
		data, err := cache.JSON{}.Marshal(&v)
		if err == nil {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v, again encodable
		if (cache.JSON{}).Unmarshal(data, &v) != nil {
			return
		}
		text, err := cache.JSON{}.Marshal(&v)
		if err != nil {
			return
		}
		if err := (cache.JSON{}).Unmarshal(text, &again); err != nil {
			t.Fatalf("%q was written and cannot be read: %v", text, err)
		}
		second, err := cache.JSON{}.Marshal(&again)
		if err != nil || string(second) != string(text) {
			t.Fatalf("%q reads back as %q, %v", text, second, err)
		}
	})
}

// FuzzCellOfAQuery: two arguments that differ never share a cell.
func FuzzCellOfAQuery(f *testing.F) {
	f.Add("a", int64(1), []byte("b"), "a", int64(1), []byte("c"))
	f.Fuzz(func(t *testing.T, s1 string, n1 int64, b1 []byte, s2 string, n2 int64, b2 []byte) {
		if b1 == nil {
			b1 = []byte{}
		}
		if b2 == nil {
			b2 = []byte{}
		}
		same := s1 == s2 && n1 == n2 && string(b1) == string(b2)
		if got := getUser.Cell(s1, n1, b1).Equal(getUser.Cell(s2, n2, b2)); got != same {
			t.Fatalf("%q %d %q and %q %d %q: the same cell: %t", s1, n1, b1, s2, n2, b2, got)
		}
		if getUser.Cell(s1, n1).Equal(getUser.Cell(s1+":", n1)) || getUser.Cell([]string{s1, s2}).Equal(getUser.Cell([]string{s1 + "," + s2})) {
			t.Fatalf("%q, %q: a separator is forged", s1, s2)
		}
	})
}

// Whatever stands where a cell should be costs a miss: the source answers, what it costs is bounded, and the cell is replaced.
func TestHostileCellsCostABoundedMiss(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, cache.Options{MaxCellBytes: 1 << 16})
		w.put(1, "right")
		w.put(2, "other")
		w.read(1)
		w.read(2)
		synctest.Wait()
		good := w.store.Cell(user1Key, userField)
		other := w.store.Cell("pgaside:{users:2}", userField)
		for name, cell := range map[string][]byte{
			"swapped":     other,
			"cut off":     good[:len(good)-1],
			"half":        good[:len(good)/2],
			"one byte":    []byte("V"),
			"bomb":        cache.SignedCell(user1Key, userField, good, true, cache.Bomb(64<<20)),
			"length lies": cache.SignedCell(user1Key, userField, good, true, []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0}),
			"too large":   cache.SignedCell(user1Key, userField, good, false, make([]byte, 1<<20)),
			"deep":        cache.SignedCell(user1Key, userField, good, false, []byte(strings.Repeat("[", 1<<15)+"\n")),
			"no document": cache.SignedCell(user1Key, userField, good, false, []byte("{\"ID\": 1}")),
			"wide":        cache.SignedCell(user1Key, userField, good, false, []byte("{\"ID\":1,\"x\":["+strings.Repeat("[],", 1<<14)+"[]]}X\n")),
			"huge lease":  []byte("L99999999999999999999|1|" + strings.Repeat("x", 1<<20)),
			"no lease":    []byte("L"),
		} {
			w.store.SetCell(user1Key, userField, cell)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range 2 {
				if got := w.read(1); got != "right" {
					t.Errorf("%s: %q", name, got)
				}
				synctest.Wait()
			}
			runtime.ReadMemStats(&after)
			// By the whole process, and the store in memory copies the cell at each step: the bound leaves room.
			if n := after.TotalAlloc - before.TotalAlloc; n > 24<<20 {
				t.Errorf("%s: %d bytes were allocated", name, n)
			}
			hits := w.stats(users).Hits
			equal(t, name+": afterwards", w.read(1), "right")
			equal(t, name+": a hit", w.stats(users).Hits, hits+1)
		}
	})
}
