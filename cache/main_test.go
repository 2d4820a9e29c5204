package cache_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/cachetest"
)

func TestMain(m *testing.M) {
	logging.Disable() // go-redis writes a line to stderr for each dial that fails
	goleak.VerifyTestMain(m)
}

var errNoRows = errors.New("no rows in result set")

type user struct {
	ID   int64
	Name string
}

var (
	users      = cache.NewGroup[int64]("users", cache.GroupOptions{TTL: time.Minute})
	strict     = cache.NewGroup[int64]("strict", cache.GroupOptions{Mode: cache.Strict})
	afterwards = cache.NewGroup[int64]("afterwards", cache.GroupOptions{Mode: cache.AfterCommit})

	getUser   = cache.NewQuery[user]("GetUser", "0123456789ab", cache.QueryOptions{NoRows: errNoRows})
	listUsers = cache.NewQuery[[]user]("ListUsers", "ba9876543210", cache.QueryOptions{})
)

const (
	user1Key  = "pgaside:{users:1}"
	userField = "GetUser.0123456789ab"
)

// world is a cache over a store in memory, and a source with one register for each id.
type world struct {
	t     *testing.T
	store *cachetest.Store
	c     *cache.Cache

	mu     sync.Mutex
	rows   map[int64]string
	loads  atomic.Int64
	asked  map[string]int // operations that were asked of the store, by name
	before map[string]func(context.Context, []string) error
	after  map[string]func(context.Context, []string) error

	// onLoad runs in a load before (false) and after (true) it looks at the source.
	onLoad func(ctx context.Context, seen bool)
}

func newWorld(t *testing.T, o cache.Options) *world {
	t.Helper()
	w := emptyWorld(t)
	w.c = w.process(o)
	return w
}

func emptyWorld(t *testing.T) *world {
	w := &world{
		t:      t,
		store:  cachetest.NewStore(nil),
		rows:   make(map[int64]string),
		asked:  make(map[string]int),
		before: make(map[string]func(context.Context, []string) error),
		after:  make(map[string]func(context.Context, []string) error),
	}
	hook := func(m map[string]func(context.Context, []string) error) func(context.Context, string, []string) error {
		return func(ctx context.Context, op string, keys []string) error {
			w.mu.Lock()
			f := m[op]
			w.mu.Unlock()
			if f == nil {
				return nil
			}
			return f(ctx, keys)
		}
	}
	before := hook(w.before)
	w.store.Before = func(ctx context.Context, op string, keys []string) error {
		w.mu.Lock()
		w.asked[op]++
		w.mu.Unlock()
		return before(ctx, op, keys)
	}
	w.store.After = hook(w.after)
	return w
}

// ops returns how many operations of a name have been asked of the store.
func (w *world) ops(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[name]
}

// process returns one more cache over the world's store, as another process would have it.
func (w *world) process(o cache.Options) *cache.Cache {
	w.t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	c, err := cache.NewWithStore(w.store, o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (w *world) onBefore(op string, f func(context.Context, []string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before[op] = f
}

func (w *world) onAfter(op string, f func(context.Context, []string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.after[op] = f
}

var everyOp = []string{"get", "acquire", "fill", "wipe", "mint", "bump", "set", "mget", "del", "time"}

// down makes operations of the store fail as if Redis could not be reached; up ends it.
func (w *world) down(ops ...string) {
	if len(ops) == 0 {
		ops = everyOp
	}
	for _, op := range ops {
		w.onBefore(op, func(context.Context, []string) error { return cachetest.ErrDown })
	}
}

func (w *world) up(ops ...string) {
	if len(ops) == 0 {
		ops = everyOp
	}
	for _, op := range ops {
		w.onBefore(op, nil)
	}
}

// stop blocks the next operation of a name in hooks (w.before or w.after) until release is called. Later ones pass.
func (w *world) stop(hooks map[string]func(context.Context, []string) error, op string) (release func()) {
	gate := make(chan struct{})
	var taken atomic.Bool
	var open sync.Once
	w.mu.Lock()
	defer w.mu.Unlock()
	hooks[op] = func(context.Context, []string) error {
		if taken.CompareAndSwap(false, true) {
			<-gate
		}
		return nil
	}
	return func() { open.Do(func() { close(gate) }) }
}

func (w *world) put(id int64, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rows[id] = name
}

func (w *world) load(ctx context.Context, id int64) (user, error) {
	w.loads.Add(1)
	if w.onLoad != nil {
		w.onLoad(ctx, false)
	}
	if err := ctx.Err(); err != nil {
		return user{}, err
	}
	w.mu.Lock()
	name, ok := w.rows[id]
	w.mu.Unlock()
	if w.onLoad != nil {
		w.onLoad(ctx, true)
	}
	if !ok {
		return user{}, errNoRows
	}
	return user{id, name}, nil
}

func (w *world) readCtx(ctx context.Context, c *cache.Cache, g cache.Group[int64], id int64) (string, error) {
	u, err := cache.Read(ctx, c, g.Key(id), getUser.Cell(), func(ctx context.Context) (user, error) { return w.load(ctx, id) })
	return u.Name, err
}

// read reads a user that must be there.
func (w *world) read(id int64) string {
	w.t.Helper()
	name, err := w.readCtx(w.t.Context(), w.c, users, id)
	if err != nil {
		w.t.Errorf("reading %d: %v", id, err)
	}
	return name
}

// write changes a user through the cache.
func (w *world) write(c *cache.Cache, g cache.Group[int64], id int64, name string) error {
	return c.Write(w.t.Context(), []cache.Key{g.Key(id)}, func(context.Context) (cache.Outcome, error) {
		w.put(id, name)
		return cache.Committed, nil
	})
}

// result is what a call in the background has returned.
type result struct {
	name string
	err  error
	done bool
	at   time.Time
}

// start reads in the background. The result may be looked at after synctest.Wait.
func (w *world) start(ctx context.Context, c *cache.Cache, g cache.Group[int64], id int64) *result {
	r := &result{}
	go func() {
		r.name, r.err = w.readCtx(ctx, c, g, id)
		r.at = time.Now()
		r.done = true
	}()
	return r
}

func (w *world) startRead(id int64) *result { return w.start(w.t.Context(), w.c, users, id) }

func (w *world) stats(g cache.AnyGroup) cache.QueryStats { return w.c.Stats().Groups[g.Name()].Total() }

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// bubble runs a test in a bubble of testing/synctest, where time passes only when everybody waits.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC))) // bubbles begin before cells can tell their age
		f(t)
	})
}

// waitFor polls for what happens in the background, outside of bubbles.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for range 2000 {
		if ok() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("waited in vain")
}

// manyResult is what a batch in the background has returned.
type manyResult struct {
	rows []user
	err  error
	done bool
	at   time.Time
}

func (w *world) readMany(c *cache.Cache, ids []int64, asked *[][]int64) ([]user, error) {
	return cache.ReadMany(w.t.Context(), c, ids, users.Key, listUsers.Cell(), func(u user) int64 { return u.ID },
		func(ctx context.Context, missing []int64) ([]user, error) {
			w.mu.Lock()
			if asked != nil {
				*asked = append(*asked, missing)
			}
			w.mu.Unlock()
			w.loads.Add(1)
			if w.onLoad != nil {
				w.onLoad(ctx, false)
			}
			w.mu.Lock()
			var rows []user
			for id, name := range w.rows { // in any order
				for _, m := range missing {
					if m == id {
						rows = append(rows, user{id, name})
					}
				}
			}
			w.mu.Unlock()
			if w.onLoad != nil {
				w.onLoad(ctx, true)
			}
			return rows, nil
		})
}

func (w *world) many(c *cache.Cache, ids []int64) []user {
	w.t.Helper()
	rows, err := w.readMany(c, ids, nil)
	if err != nil {
		w.t.Errorf("reading %v: %v", ids, err)
	}
	return rows
}

func (w *world) startMany(c *cache.Cache, ids []int64, asked *[][]int64) *manyResult {
	r := &manyResult{}
	go func() {
		r.rows, r.err = w.readMany(c, ids, asked)
		r.at = time.Now()
		r.done = true
	}()
	return r
}

func names(rows []user) string {
	var out []string
	for _, u := range rows {
		out = append(out, u.Name)
	}
	return strings.Join(out, " ")
}

// pass lets time pass in a bubble; what has happened meanwhile may be looked at.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
