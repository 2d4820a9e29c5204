package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/httpcache"
	"github.com/pgaside/pgaside/internal/demo"
)

const testToken = "a-token-for-the-tests"

// startServe runs "pgaside serve --embedded" on a free port until the test ends.
func startServe(t *testing.T) (url string, e *demo.Embedded) {
	t.Helper()
	setEnv(t, "PGASIDE_TOKEN="+testToken)
	type up struct {
		addr string
		e    *demo.Embedded
	}
	ready, ended := make(chan up, 1), make(chan error, 1)
	s := &serve{
		addr: "127.0.0.1:0", embedded: true, scale: 0.001, every: 5 * time.Millisecond, log: slog.New(slog.DiscardHandler),
		ready: func(addr string, e *demo.Embedded) { ready <- up{addr, e} },
	}
	ctx, stop := context.WithCancel(t.Context())
	go func() { ended <- s.run(ctx) }()
	select {
	case u := <-ready:
		t.Cleanup(func() {
			stop()
			if err := <-ended; err != nil {
				t.Errorf("ending: %v", err)
			}
		})
		return "http://" + u.addr, u.e
	case err := <-ended:
		stop()
		t.Fatalf("serve: %v", err)
		return "", nil
	}
}

func getJSON(t *testing.T, url string, into any) int {
	t.Helper()
	resp, err := http.Get(url) //nolint:gosec,noctx // the test's own server
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Fatalf("timed out waiting until %s", what)
}

// TestServe: what a program answers while its Redis and then its Postgres go away; and what the verbs make of it.
func TestServe(t *testing.T) {
	url, e := startServe(t)
	health := func() (r httpcache.Report, status int) {
		status = getJSON(t, url+"/api/health/cache", &r)
		return r, status
	}
	ready := func() (r httpcache.Readiness, status int) {
		status = getJSON(t, url+"/readyz", &r)
		return r, status
	}
	until(t, "there are hits", func() bool { r, _ := health(); return r.HitRate > 0 && r.Redis.Healthy })
	r, status := health()
	if status != 200 || !r.Redis.Connected || r.Source.State != httpcache.SourceUp || len(r.Types) != 14 || len(r.Settings) == 0 {
		t.Errorf("%d: %+v", status, r)
	}
	for _, s := range r.Settings {
		flag := s.Name == "REDIS_URL" || s.Name == "DATABASE_URL" || s.Name == "PGASIDE_ADDR"
		if (s.Source == fromFlag) != flag || strings.Contains(s.Value, testToken) {
			t.Errorf("%+v", s)
		}
	}
	if rd, status := ready(); status != 200 || !rd.Ready || rd.Redis != "up" {
		t.Errorf("%d: %+v", status, rd)
	}

	verbs(t, url, e.Redis.URL())

	if err := e.Redis.Kill(); err != nil {
		t.Fatal(err)
	}
	until(t, "health says that Redis is gone", func() bool { r, _ := health(); return !r.Redis.Connected })
	if r, status := health(); status != 200 || r.Status != httpcache.Degraded {
		t.Errorf("%d: %+v", status, r)
	}
	if rd, status := ready(); status != 200 || !rd.Ready || rd.Redis != "down" || len(rd.Warnings) == 0 {
		t.Errorf("without Redis: %d: %+v", status, rd)
	}
	if code, stdout, _ := call(t, "status", "--url", url); code != 1 || !strings.Contains(stdout, "degraded") || !strings.Contains(stdout, "! Redis cannot be used (connection)") {
		t.Errorf("status without Redis: exit code %d\n%s", code, stdout)
	}
	for _, args := range [][]string{{"invalidate", "session", "x"}, {"inspect", "session", "x"}, {"stats", "--by", "keys"}} {
		if code, stdout, stderr := call(t, args...); code != 2 || stdout != "" || stderr == "" {
			t.Errorf("%v without Redis: exit code %d\n%s%s", args, code, stdout, stderr)
		}
	}

	if err := e.Postgres.Crash(); err != nil {
		t.Fatal(err)
	}
	until(t, "it is not ready", func() bool { rd, status := ready(); return status == 503 && !rd.Ready })
	if r, status := health(); status != 503 || r.Status != httpcache.Down {
		t.Errorf("%d: %+v", status, r)
	}
	if code, stdout, stderr := call(t, "status", "--url", url); code != 2 || !strings.Contains(stdout, "Postgres  down") || !strings.Contains(stderr, "the source is down") {
		t.Errorf("status without Postgres: exit code %d\n%s%s", code, stdout, stderr)
	}

	if err := e.Redis.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.Postgres.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "all is well again", func() bool { r, status := health(); return status == 200 && r.Status == httpcache.Healthy })
}

func TestServeNeedsItsServers(t *testing.T) {
	for _, c := range []struct{ environ, want string }{
		{"", "DATABASE_URL is not set"},
		{"DATABASE_URL=postgres://127.0.0.1:1/x", "REDIS_URL is not set"},
		{"CACHE_DEFAULT_TTL=soon", "CACHE_DEFAULT_TTL"},
	} {
		setEnv(t, c.environ)
		if code, _, stderr := call(t, "serve", "--addr", "127.0.0.1:0"); code != 2 || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit code %d, %s", c.environ, code, stderr)
		}
	}
	setEnv(t, "DATABASE_URL=postgres://127.0.0.1:1/x", "REDIS_URL=redis://127.0.0.1:1", "PGASIDE_TOKEN=short")
	if code, _, stderr := call(t, "serve", "--addr", "127.0.0.1:0"); code != 2 || !strings.Contains(stderr, "too short") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// verbs tries the verbs that ask a running program or its Redis, while all is well.
func verbs(t *testing.T, url, redisURL string) {
	t.Helper()
	t.Setenv("REDIS_URL", redisURL)
	expect := func(code int, want string, args ...string) (stdout string) {
		t.Helper()
		got, stdout, stderr := call(t, args...)
		if got != code || !strings.Contains(stdout+stderr, want) {
			t.Errorf("%v: exit code %d, want %d and %q\n%s%s", args, got, code, want, stdout, stderr)
		}
		if strings.Contains(stdout, "\x1b") {
			t.Errorf("%v: colours, and no terminal", args)
		}
		return stdout
	}
	expect(0, "Redis     connected, healthy, master", "status", "--url", url)
	expect(0, "user_session_token", "status", "--url", url+"/")
	var r httpcache.Report
	decode(t, expect(0, "", "status", "--url", url, "--json"), &r)
	expect(0, "hit rate", "stats", "--url", url)
	expect(0, "session GetSession", "stats", "--url", url, "--by", "query")
	var stats cache.Stats
	decode(t, expect(0, "", "stats", "--url", url, "--json"), &stats)
	if stats.Total().Reads() == 0 {
		t.Errorf("no reads: %+v", stats)
	}
	expect(0, "session ", "stats", "--by", "keys")
	expect(0, "memory, about", "stats", "--by", "memory")
	var survey cache.Survey
	decode(t, expect(0, "", "stats", "--by", "memory", "--json"), &survey)
	if g := survey.Groups["user_session_token"]; !survey.Complete || g.Keys == 0 || g.Sampled == 0 || g.EstimatedBytes() == 0 {
		t.Errorf("%+v", survey)
	}

	// A key that nobody else changes.
	o, err := redis.ParseURL(redisURL)
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(o)
	defer rdb.Close()
	const key = "pgaside:{session:00000000-0000-0000-0000-000000000001}"
	if err := rdb.HSet(t.Context(), key, "GetSession.shape.secret", "L9999999999999|1|n").Err(); err != nil {
		t.Fatal(err)
	}
	id := strings.TrimSuffix(strings.TrimPrefix(key, "pgaside:{session:"), "}")
	if out := expect(0, "lease", "inspect", "session", id); strings.Contains(out, "secret") || !strings.Contains(out, "hidden") {
		t.Errorf("arguments are shown unasked:\n%s", out)
	}
	expect(0, "secret", "inspect", "session", id, "--reveal")
	var in cache.Inspection
	decode(t, expect(0, "", "inspect", "session", id, "--json"), &in)
	expect(1, "nothing is cached", "inspect", "session", id, "--namespace", "other")
	expect(0, "1 keys of group session are void; 1 held something", "invalidate", "session", id)
	expect(1, "nothing is cached", "inspect", "session", id)
	expect(0, `"held": 0`, "invalidate", "session", id, "--json")
	if err := rdb.HSet(t.Context(), "pgaside:{session_list:x}", "f", "v").Err(); err != nil {
		t.Fatal(err)
	}
	expect(0, "group session_list is void", "invalidate", "session_list", "--all")
	expect(1, "nothing is cached in group sesion of namespace pgaside; there are: ", "invalidate", "sesion", "--all")

	for _, c := range []struct {
		want string
		args []string
	}{
		{"want keys, or --all", []string{"invalidate", "session"}},
		{"want keys, or --all", []string{"invalidate", "session", "x", "--all"}},
		{"letters, digits and underscores", []string{"invalidate", "a-b", "x"}},
		{"as it stands in Redis", []string{"invalidate", "session", "a b"}},
		{"as it stands in Redis", []string{"inspect", "session", "a}b"}},
		{"it is one of group, query, keys, memory", []string{"stats", "--by", "x"}},
		{"want 100ms or more", []string{"stats", "--watch", "--every", "1ms"}},
		{"is it running?", []string{"status", "--url", "http://127.0.0.1:1"}},
		{"it answers 404", []string{"stats", "--url", url + "/livez"}},
		{"want http://host:port", []string{"status", "--url", "://"}},
	} {
		expect(2, c.want, c.args...)
	}
	t.Setenv("REDIS_URL", "")
	expect(2, "REDIS_URL is not set", "inspect", "session", id)
	t.Setenv("REDIS_URL", redisURL)
}

// screens ends a command after so many screens of its output.
type screens struct {
	left int
	stop func()
}

func (s *screens) Write(b []byte) (int, error) {
	if s.left--; s.left == 0 {
		s.stop()
	}
	return len(b), nil
}

// TestStatsWatch: the statistics come again and again until the command is interrupted, which is no error.
func TestStatsWatch(t *testing.T) {
	t.Parallel()
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		_ = json.NewEncoder(w).Encode(cache.Stats{Since: time.Now()})
	}))
	defer server.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	root := newRootCommand()
	root.SetOut(&screens{left: 3, stop: stop})
	root.SetArgs([]string{"stats", "--url", server.URL, "--watch", "--every", "100ms"})
	if code := run(ctx, root); code != 0 || asked != 3 {
		t.Errorf("exit code %d after %d screens", code, asked)
	}
}

// What is no program of ours is said to be none.
func TestVerbsAskOnlyOurs(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/html") {
			fmt.Fprint(w, "<html>")
			return
		}
		fmt.Fprint(w, `{"status": "ok"}`)
	}))
	defer server.Close()
	for _, verb := range []string{"status", "stats"} {
		for _, path := range []string{"", "/html"} {
			code, stdout, stderr := call(t, verb, "--url", server.URL+path)
			if code != 2 || stdout != "" || !strings.Contains(stderr, "not from package cache/httpcache") {
				t.Errorf("%s %s: exit code %d\n%s%s", verb, path, code, stdout, stderr)
			}
		}
	}
}
