package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pgaside/pgaside/cache"
)

var discard = slog.New(slog.DiscardHandler)

func TestStats(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var seen events
		w := newWorld(t, cache.Options{Observer: &seen})
		w.put(1, "a")
		w.read(1) // miss
		synctest.Wait()
		w.read(1) // hit
		for range 2 {
			_, _ = w.readCtx(t.Context(), w.c, users, 2) // miss, then negative
			synctest.Wait()
		}
		w.many(w.c, []int64{1, 2, 1}) // two misses
		synctest.Wait()
		w.many(w.c, []int64{1, 2, 3}) // two hits, a miss
		synctest.Wait()
		_ = w.c.Write(t.Context(), []cache.Key{users.Key(1), users.Key(1), users.Key(2)}, func(context.Context) (cache.Outcome, error) {
			w.read(1) // bypass
			return cache.Committed, nil
		})
		synctest.Wait()
		_ = w.c.Invalidate(t.Context(), users.Key(5), users.Key(5), cache.Key{})
		_ = w.c.InvalidateGroup(t.Context(), users)

		s := w.c.Stats()
		one, many := s.Groups["users"].Queries["GetUser"], s.Groups["users"].Queries["ListUsers"]
		equal(t, "GetUser", one, cache.QueryStats{Hits: 1, Negatives: 1, Misses: 2, Bypasses: 1, Loads: 3, Fills: 2})
		equal(t, "ListUsers", many, cache.QueryStats{Hits: 2, Misses: 3, Loads: 2, Fills: 3})
		total := s.Total()
		equal(t, "reads", total.Reads(), 10)
		equal(t, "hit rate", total.HitRate(), 0.4)
		equal(t, "events", len(seen.reads), 10)
		equal(t, "invalidations", s.Groups["users"].Invalidations, 3)
		equal(t, "group invalidations", s.Groups["users"].GroupInvalidations, 1)
		equal(t, "told", fmt.Sprint(seen.invalidated), "[{users 2 <nil>} {users 1 <nil>} {users 0 <nil>}]")
		for _, e := range seen.reads {
			if e.Err != nil || e.Group != "users" || e.Duration < 0 {
				t.Errorf("event %+v", e)
			}
		}

		w.c.ResetStats()
		s = w.c.Stats()
		equal(t, "reads after a reset", s.Total(), cache.QueryStats{})
		equal(t, "invalidations after a reset", s.Groups["users"].Invalidations, 0)
		equal(t, "hit rate of nothing", s.Total().HitRate(), 0)
	})
}

func TestOutcomesHaveNames(t *testing.T) {
	var names []string
	for o := cache.ReadHit; o <= cache.ReadBypass; o++ {
		names = append(names, o.String())
	}
	equal(t, "outcomes", strings.Join(names, " "), "hit negative miss shared bypass")
	var classes []string
	for c := cache.ErrorOther; c <= cache.ErrorAuth+1; c++ {
		classes = append(classes, c.String())
	}
	equal(t, "classes", strings.Join(classes, " "), "other connection timeout serialization memory auth ErrorClass(6)")
}

type redisError string

func (e redisError) Error() string { return string(e) }
func (redisError) RedisError()     {}

var _ redis.Error = redisError("")

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		err         error
		want        cache.ErrorClass
		unavailable bool
	}{
		{context.DeadlineExceeded, cache.ErrorTimeout, true},
		{fmt.Errorf("reading: %w", os.ErrDeadlineExceeded), cache.ErrorTimeout, true},
		{redis.ErrPoolTimeout, cache.ErrorTimeout, true},
		{&net.DNSError{IsTimeout: true}, cache.ErrorTimeout, true},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, cache.ErrorConnection, true},
		{io.EOF, cache.ErrorConnection, true},
		{io.ErrUnexpectedEOF, cache.ErrorConnection, true},
		{redis.ErrClosed, cache.ErrorConnection, true},
		{redisError("LOADING Redis is loading the dataset in memory"), cache.ErrorConnection, true},
		{redisError("READONLY You can't write against a read only replica."), cache.ErrorConnection, true},
		{redisError("CLUSTERDOWN Hash slot not served"), cache.ErrorConnection, true},
		{redisError("OOM command not allowed when used memory > 'maxmemory'."), cache.ErrorMemory, false},
		{redisError("NOAUTH Authentication required."), cache.ErrorAuth, true},
		{redisError("WRONGPASS invalid username-password pair or user is disabled."), cache.ErrorAuth, true},
		{redisError("NOPERM this user has no permissions to run the 'evalsha' command"), cache.ErrorAuth, true},
		{redisError("WRONGTYPE Operation against a key holding the wrong kind of value"), cache.ErrorOther, false},
		{errors.New("anything"), cache.ErrorOther, false},
	} {
		if got := cache.Classify(c.err); got != c.want {
			t.Errorf("%v: got %s, want %s", c.err, got, c.want)
		}
		if got := cache.Unavailable(c.err); got != c.unavailable {
			t.Errorf("%v: unavailable %t", c.err, got)
		}
	}
	equal(t, "nil", cache.Unavailable(nil), false)
}

// At most one line for a class of error every 10 s, and never a key, an argument or a value in one.
func TestLogLines(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const secret = "sEcReT"
		var mu sync.Mutex
		var log bytes.Buffer
		w := newWorld(t, cache.Options{MaxCellBytes: 2000, Logger: slog.New(slog.NewJSONHandler(&lockedWriter{&mu, &log}, nil))})
		g := cache.NewGroup[string]("people", cache.GroupOptions{})
		read := func(value string) {
			_, err := cache.Read(t.Context(), w.c, g.Key(secret), getUser.Cell(secret), func(context.Context) (user, error) { return user{1, value}, nil })
			if err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		key, field := "pgaside:{people:"+secret+"}", userField+"."+secret
		trouble := func() {
			read(secret + "\xff")                    // not encodable
			read(strings.Repeat(secret, 2000))       // too large
			w.store.SetCell(key, field, []byte("V")) // not decodable
			read(secret)
			_, _ = cache.Read(t.Context(), w.c, g.Key(secret), getUser.Cell(make(chan string)), func(context.Context) (user, error) { return user{}, nil })
			for _, err := range []error{
				redisError("OOM " + secret), redisError("WRONGTYPE " + secret), fmt.Errorf("strange %s", secret), context.DeadlineExceeded, io.EOF,
			} {
				w.onBefore("get", func(context.Context, []string) error { return err })
				w.onBefore("wipe", func(context.Context, []string) error { return err })
				read(secret)
				_ = w.c.Invalidate(t.Context(), g.Key(secret))
				_ = w.c.Write(t.Context(), []cache.Key{g.Key(secret)}, func(context.Context) (cache.Outcome, error) { return cache.Committed, nil })
			}
			w.up()
		}
		lines := func() map[string]int {
			mu.Lock()
			defer mu.Unlock()
			if strings.Contains(log.String(), secret) {
				t.Fatalf("logged: %s", log.String())
			}
			n := make(map[string]int)
			for line := range strings.Lines(log.String()) {
				for _, class := range []string{"other", "connection", "timeout", "serialization", "memory", "auth"} {
					if strings.Contains(line, `"class":"`+class+`"`) {
						n[class]++
					}
				}
				if !strings.Contains(line, `"level":"WARN"`) && !strings.Contains(line, `"level":"INFO"`) {
					t.Errorf("level: %s", line)
				}
			}
			return n
		}
		for range 5 {
			trouble()
		}
		for class, n := range lines() {
			equal(t, class, n, 1)
		}
		equal(t, "classes", len(lines()), 5)
		pass(11 * time.Second)
		trouble()
		for class, n := range lines() {
			if n > 3 {
				t.Errorf("%s: %d lines", class, n)
			}
		}
		equal(t, "serialization", lines()["serialization"], 2)
		pass(time.Minute)
	})
}
