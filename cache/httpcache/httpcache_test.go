package httpcache_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/cachetest"
	"github.com/pgaside/pgaside/cache/httpcache"
)

var (
	users = cache.NewGroup[int64]("users", cache.GroupOptions{})
	pairs = cache.NewGroup2[int64, string]("pairs", cache.GroupOptions{Mode: cache.Strict})
	get   = cache.NewQuery[string]("GetUser", "0123456789ab", cache.QueryOptions{})
)

const token = "0123456789abcdef-token"

// world is a handler over a store in memory.
type world struct {
	t     *testing.T
	store *cachetest.Store
	c     *cache.Cache
	h     *httpcache.Handler
	log   *bytes.Buffer

	sourceDown, redisDown atomic.Bool
}

func newWorld(t *testing.T, change ...func(*httpcache.Options, *cache.Options)) *world {
	t.Helper()
	w := &world{t: t, store: cachetest.NewStore(nil), log: &bytes.Buffer{}}
	w.store.Before = func(context.Context, string, []string) error {
		if w.redisDown.Load() {
			return &netError{}
		}
		return nil
	}
	logger := slog.New(slog.NewTextHandler(w.log, nil))
	o := httpcache.Options{
		Groups: []cache.AnyGroup{users, pairs}, Token: token, Logger: logger,
		Ping: func(context.Context) error {
			if w.sourceDown.Load() {
				return errors.New("connection refused")
			}
			return nil
		},
		Settings: []cache.Setting{{Name: "CACHE_ENABLED", Value: "true", Source: cache.FromDefault}},
	}
	co := cache.Options{Logger: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&o, &co)
	}
	var err error
	if w.c, err = cache.NewWithStore(w.store, co); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.c.Close() })
	if w.h, err = httpcache.New(w.c, o); err != nil {
		t.Fatal(err)
	}
	return w
}

// netError is what a connection says that nobody answers.
type netError struct{}

func (*netError) Error() string   { return "connection refused" }
func (*netError) Timeout() bool   { return false }
func (*netError) Temporary() bool { return false }

func (w *world) read(id int64) {
	w.t.Helper()
	v, err := cache.Read(w.t.Context(), w.c, users.Key(id), get.Cell(), func(context.Context) (string, error) { return "hush", nil })
	if err != nil || v != "hush" {
		w.t.Fatalf("%q, %v", v, err)
	}
}

// do sends a request, and checks what all answers have in common.
func (w *world) do(r *http.Request) *httptest.ResponseRecorder {
	w.t.Helper()
	rec := httptest.NewRecorder()
	w.h.ServeHTTP(rec, r)
	want := "application/json"
	if rec.Code >= 400 && !(rec.Code == 503 && r.Method == http.MethodGet) {
		want = "application/problem+json"
		var p struct {
			Type, Title, Detail string
			Status              int
		}
		d := json.NewDecoder(bytes.NewReader(rec.Body.Bytes()))
		d.DisallowUnknownFields()
		if err := d.Decode(&p); err != nil || p.Status != rec.Code || p.Type != "about:blank" || p.Title == "" || p.Detail == "" {
			w.t.Errorf("no problem details: %v\n%s", err, rec.Body)
		}
	}
	if got := rec.Header().Get("Content-Type"); got != want {
		w.t.Errorf("%s %s: %d, Content-Type %s, want %s", r.Method, r.URL, rec.Code, got, want)
	}
	if rec.Header().Get("Cache-Control") != "no-store" || !json.Valid(rec.Body.Bytes()) {
		w.t.Errorf("%s %s: %v\n%s", r.Method, r.URL, rec.Header(), rec.Body)
	}
	return rec
}

func (w *world) get(path string) *httptest.ResponseRecorder {
	w.t.Helper()
	return w.do(httptest.NewRequest(http.MethodGet, path, nil))
}

func (w *world) post(body string, headers ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/api/health/cache", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return w.do(r)
}

func (w *world) report() httpcache.Report {
	w.t.Helper()
	var r httpcache.Report
	if err := json.Unmarshal(w.get("/api/health/cache").Body.Bytes(), &r); err != nil {
		w.t.Fatal(err)
	}
	return r
}

func TestHealthReport(t *testing.T) {
	w := newWorld(t)
	r := w.report()
	if r.Status != httpcache.Healthy || !r.Redis.Healthy || r.Source.State != httpcache.SourceUp || r.Breaker != "closed" || len(r.Problems()) > 0 {
		t.Errorf("%+v", r)
	}
	if got := r.Types["pairs"]; got.Mode != "strict" || got.TTL != "5m0s" || got.Status != httpcache.Healthy || got.Reads != 0 {
		t.Errorf("a group that nobody has used: %+v", got)
	}
	if len(r.Settings) != 1 || r.Settings[0].Name != "CACHE_ENABLED" {
		t.Errorf("configuration: %+v", r.Settings)
	}
	for range 4 {
		w.read(1)
		if err := w.c.Invalidate(t.Context(), users.Key(2)); err != nil { // also waits for nothing
			t.Fatal(err)
		}
	}
	if got := w.report().Types["users"]; got.Reads != 4 || got.Invalidations != 4 {
		t.Errorf("users: %+v", got)
	}
	head := httptest.NewRecorder()
	w.h.ServeHTTP(head, httptest.NewRequest(http.MethodHead, "/api/health/cache", nil))
	if head.Code != 200 {
		t.Errorf("HEAD: %d", head.Code)
	}
}

// Redis down is a warning; the source down is not.
func TestReadiness(t *testing.T) {
	for _, c := range []struct {
		redis, source bool
		status        int
		warned        bool
		health        int
		sum           httpcache.Status
	}{
		{true, true, 200, false, 200, httpcache.Healthy},
		{false, true, 200, true, 200, httpcache.Degraded},
		{true, false, 503, false, 503, httpcache.Down},
		{false, false, 503, true, 503, httpcache.Down},
	} {
		w := newWorld(t)
		w.redisDown.Store(!c.redis)
		w.sourceDown.Store(!c.source)
		rec := w.get("/readyz")
		var ready httpcache.Readiness
		if err := json.Unmarshal(rec.Body.Bytes(), &ready); err != nil {
			t.Fatal(err)
		}
		if rec.Code != c.status || ready.Ready != c.source || len(ready.Warnings) > 0 != c.warned || (ready.Redis == "up") != c.redis {
			t.Errorf("Redis up %t, source up %t: %d\n%s", c.redis, c.source, rec.Code, rec.Body)
		}
		if rec := w.get("/livez"); rec.Code != 200 {
			t.Errorf("live: %d", rec.Code)
		}
		if rec := w.get("/api/health/cache"); rec.Code != c.health {
			t.Errorf("health: %d", rec.Code)
		}
		r := w.report()
		if r.Status != c.sum || (len(r.Problems()) > 0) != (c.sum != httpcache.Healthy) || r.Redis.Connected != c.redis {
			t.Errorf("%s, %q", r.Status, r.Problems())
		}
		if !c.redis && (r.Redis.Error == nil || r.Redis.Error.Class != "connection") {
			t.Errorf("%+v", r.Redis)
		}
	}
}

func TestHealthOfADisabledCache(t *testing.T) {
	w := newWorld(t, func(_ *httpcache.Options, o *cache.Options) { o.Disabled = true })
	if r := w.report(); r.Status != httpcache.Disabled || len(r.Problems()) != 1 {
		t.Errorf("%+v", r)
	}
	if rec := w.get("/readyz"); rec.Code != 200 || !strings.Contains(rec.Body.String(), `"redis": "disabled"`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	w = newWorld(t, func(o *httpcache.Options, _ *cache.Options) { o.Ping = nil })
	if r := w.report(); r.Source.State != httpcache.SourceUnknown || r.Status != httpcache.Healthy {
		t.Errorf("%+v", r)
	}
}

// Invalidations that Redis has not been told of make their group, and the whole, degraded.
func TestHealthShowsWhatIsPending(t *testing.T) {
	w := newWorld(t)
	w.redisDown.Store(true)
	rec := w.post(`{"action":"invalidate","group":"users","keys":["7"]}`, "Authorization", "Bearer "+token)
	if rec.Code != http.StatusAccepted || !strings.Contains(rec.Body.String(), `"pending": true`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	r := w.report()
	if r.Status != httpcache.Degraded || r.Pending != 1 || r.Types["users"].Pending != 1 || r.Types["users"].Status != httpcache.Degraded ||
		r.Types["users"].Errors != 1 || r.Errors["connection"].Last == nil || !slices.Contains(r.Problems(), "1 invalidations wait for Redis") {
		t.Errorf("%+v", r)
	}
}

func TestStatistics(t *testing.T) {
	w := newWorld(t)
	w.read(1)
	rec := w.post(`{"action":"get_stats"}`) // as the documentation's curl has it, without a token
	var s cache.Stats
	if err := json.Unmarshal(rec.Body.Bytes(), &s); err != nil || rec.Code != 200 || s.Total().Reads() != 1 {
		t.Errorf("%d, %v\n%s", rec.Code, err, rec.Body)
	}
	if rec := w.post(`{"action":"reset_stats"}`, "Authorization", "bearer "+token, "Content-Type", "application/json; charset=utf-8"); rec.Code != 200 {
		t.Errorf("%d", rec.Code)
	}
	if got := w.c.Stats().Total().Reads(); got != 0 {
		t.Errorf("%d reads after a reset", got)
	}
}

func TestInvalidateOverHTTP(t *testing.T) {
	w := newWorld(t)
	auth := []string{"Authorization", "Bearer " + token}
	before := func(g string) uint64 { return w.c.Stats().Groups[g].Invalidations }
	for _, c := range []struct {
		body, group string
		keys        int
	}{
		{`{"action":"invalidate","group":"users","keys":["1","2"]}`, "users", 2},
		{`{"action":"invalidate","group":"pairs","keys":[["1","a:b"]]}`, "pairs", 1},
	} {
		n := before(c.group)
		rec := w.post(c.body, auth...)
		var got httpcache.Invalidated
		if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(httpcache.Invalidated{Group: c.group, Keys: c.keys}, got); rec.Code != 200 || diff != "" {
			t.Errorf("%s: %d %s", c.body, rec.Code, diff)
		}
		if before(c.group)-n != uint64(c.keys) {
			t.Errorf("%s: %d invalidations", c.body, before(c.group)-n)
		}
	}
	if rec := w.post(`{"action":"invalidate","group":"users","all":true}`, auth...); rec.Code != 200 || w.c.Stats().Groups["users"].GroupInvalidations != 1 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	_ = w.c.Close()
	if rec := w.post(`{"action":"invalidate","group":"users","all":true}`, auth...); rec.Code != http.StatusServiceUnavailable {
		t.Errorf("closed: %d", rec.Code)
	}
}

func TestRequestsAreRefused(t *testing.T) {
	w := newWorld(t)
	auth := []string{"Authorization", "Bearer " + token}
	for _, c := range []struct {
		body    string
		headers []string
		status  int
		says    string
	}{
		{``, nil, 400, "one JSON object"},
		{`{`, nil, 400, "one JSON object"},
		{`[]`, nil, 400, "one JSON object"},
		{`{"action":"get_stats"} {}`, nil, 400, "one JSON object"},
		{`{"action":"get_stats","secretkey":1}`, nil, 400, "one JSON object"},
		{`{"action":"invalidate","keys":[null]}`, nil, 400, "one JSON object"},
		{`{"action":"invalidate","keys":[["secretkey",null]]}`, nil, 400, "one JSON object"},
		{`{"action":"invalidate","keys":[[]]}`, nil, 400, "one JSON object"},
		{`{"action":"secretkey"}`, nil, 422, "get_stats, reset_stats or invalidate"},
		{`{}`, nil, 422, "get_stats, reset_stats or invalidate"},
		{`{"action":"get_stats"}`, []string{"Content-Type", "text/plain"}, 415, "application/json"},
		{`{"action":"get_stats"}`, []string{"Content-Type", ""}, 415, "application/json"},
		{`{"action":"` + strings.Repeat("x", 1<<17) + `"}`, nil, 413, "65536 bytes"},
		{`{"action":"reset_stats"}`, nil, 401, "Authorization: Bearer"},
		{`{"action":"invalidate","group":"users","all":true}`, nil, 401, "Authorization: Bearer"},
		{`{"action":"invalidate","group":"users","all":true}`, []string{"Authorization", "Bearer wrong"}, 401, "Authorization: Bearer"},
		{`{"action":"invalidate","group":"users","all":true}`, []string{"Authorization", "Basic " + token}, 401, "Authorization: Bearer"},
		{`{"action":"invalidate","group":"users","all":true}`, []string{"Authorization", token}, 401, "Authorization: Bearer"},
		{`{"action":"invalidate","group":"secretkey","all":true}`, auth, 422, "There are: pairs, users"},
		{`{"action":"invalidate","group":"users"}`, auth, 422, "either"},
		{`{"action":"invalidate","group":"users","all":true,"keys":["1"]}`, auth, 422, "either"},
		{`{"action":"invalidate","group":"users","keys":["1","secretkey"]}`, auth, 422, "Key 2: key of group users, part 1: want a int64"},
		{`{"action":"invalidate","group":"pairs","keys":["secretkey"]}`, auth, 422, "2 parts, got 1"},
		{`{"action":"invalidate","group":"users","keys":[` + strings.Repeat(`"1",`, 1000) + `"1"]}`, auth, 422, "At most 1000"},
	} {
		rec := w.post(c.body, c.headers...)
		if rec.Code != c.status || !strings.Contains(rec.Body.String(), c.says) || strings.Contains(rec.Body.String(), "secretkey") {
			t.Errorf("%.60s: got %d, want %d and %q\n%s", c.body, rec.Code, c.status, c.says, rec.Body)
		}
		if challenge := rec.Header().Get("WWW-Authenticate"); (challenge != "") != (rec.Code == 401) || rec.Code == 401 && !strings.HasPrefix(challenge, `Bearer realm="pgaside"`) {
			t.Errorf("%.60s: WWW-Authenticate %q", c.body, challenge)
		}
	}
	for path, allow := range map[string]string{"/livez": "GET, HEAD", "/readyz": "GET, HEAD", "/api/health/cache": "GET, HEAD, POST"} {
		rec := w.do(httptest.NewRequest(http.MethodDelete, path, nil))
		if rec.Code != 405 || rec.Header().Get("Allow") != allow {
			t.Errorf("DELETE %s: %d, Allow %q", path, rec.Code, rec.Header().Get("Allow"))
		}
	}
	if rec := w.get("/nowhere"); rec.Code != 404 {
		t.Errorf("nowhere: %d", rec.Code)
	}
	if s := w.log.String(); strings.Contains(s, "secretkey") || strings.Contains(s, token) {
		t.Errorf("the log has a key or the token:\n%s", s)
	}
	if n := w.c.Stats().Groups["users"]; n.Invalidations+n.GroupInvalidations != 0 {
		t.Errorf("something was invalidated: %+v", n)
	}

	open := newWorld(t, func(o *httpcache.Options, _ *cache.Options) { o.Token = "" })
	for _, action := range []string{"reset_stats", "invalidate"} {
		rec := open.post(fmt.Sprintf(`{"action":%q}`, action), "Authorization", "Bearer ")
		if rec.Code != 403 || !strings.Contains(rec.Body.String(), "PGASIDE_TOKEN") {
			t.Errorf("%s without a configured token: %d %s", action, rec.Code, rec.Body)
		}
	}
	for _, o := range []httpcache.Options{{Token: "short"}, {Timeout: -1}} {
		if _, err := httpcache.New(w.c, o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

// Whatever the body is, the answer is JSON with a proper status, and quotes nothing of what was sent as a key.
func FuzzActionBody(f *testing.F) {
	for _, s := range []string{
		`{"action":"get_stats"}`, `{"action":"reset_stats"}`, `{"action":"invalidate","group":"users","keys":["1",["2"]]}`,
		`{"action":"invalidate","group":"pairs","keys":[["1","a"]]}`, `{"action":"invalidate","group":"users","all":true}`, `{`, `null`, `{"keys":[null]}`, "\xff",
	} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, body []byte, authorized bool) {
		w := newWorld(t)
		var headers []string
		if authorized {
			headers = []string{"Authorization", "Bearer " + token}
		}
		rec := w.post(string(body), headers...)
		if !slices.Contains([]int{200, 400, 401, 413, 422}, rec.Code) {
			t.Errorf("%d\n%s", rec.Code, rec.Body)
		}
		if n := w.c.Stats().Groups["users"]; !authorized && n.Invalidations+n.GroupInvalidations > 0 {
			t.Error("invalidated without a token")
		}
		var sent httpcache.Action
		if json.Unmarshal(body, &sent) != nil {
			return
		}
		for _, k := range sent.Keys { // short ones may be a part of what every answer says
			for _, part := range k {
				if len(part) > 40 && strings.Contains(rec.Body.String()+w.log.String(), part) {
					t.Errorf("a key is quoted:\n%s%s", rec.Body, w.log)
				}
			}
		}
	})
}
