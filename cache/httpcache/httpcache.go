package httpcache

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pgaside/pgaside/cache"
)

// Options configure a Handler. The zero value of each field is usable.
type Options struct {
	// Groups are those that requests may name: cached.Groups(). They are listed before they are used, too.
	Groups []cache.AnyGroup

	// Ping asks the source for a sign of life: pool.Ping. It must honour its context.
	//
	// Defaults to none: the state of the source is unknown, and Ready never fails.
	Ping func(context.Context) error

	// Token is what "Authorization: Bearer …" must carry for actions that change something.
	//
	// Defaults to none: such actions are refused.
	Token string

	// Settings are shown as the configuration: those of cache.Env.
	Settings []cache.Setting

	// Timeout bounds what one answer waits for Redis and the source.
	//
	// Defaults to 2 s.
	Timeout time.Duration

	// Logger is told of actions that change something, and of the source when it does not answer.
	//
	// Defaults to slog.Default().
	Logger *slog.Logger
}

// minToken is the least length of a token, in bytes: one that can be guessed is none.
const minToken = 16

// freshFor is how long an answer of Redis and the source is good for further requests: whoever polls costs them no more than
// that.
const freshFor = 500 * time.Millisecond

// Handler answers /livez, /readyz and /api/health/cache. It is safe for concurrent use.
type Handler struct {
	c      *cache.Cache
	opts   Options
	groups map[string]cache.AnyGroup

	mu     sync.Mutex // held while asking, so that requests which come meanwhile share the answer
	at     time.Time
	redis  cache.RedisHealth
	source Source
}

// New returns a handler for a cache.
func New(c *cache.Cache, o Options) (*Handler, error) {
	if o.Token != "" && len(o.Token) < minToken {
		return nil, errors.New("httpcache: Options.Token is too short: want 16 bytes or more, such as from openssl rand -hex 32")
	}
	if o.Timeout < 0 {
		return nil, errors.New("httpcache: Options.Timeout must not be negative")
	}
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	h := &Handler{c: c, opts: o, groups: make(map[string]cache.AnyGroup)}
	for _, g := range o.Groups {
		h.groups[g.Name()] = g
	}
	c.Announce(o.Groups...)
	return h, nil
}

// ServeHTTP answers the three paths, and everything else with 404.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/livez":
		h.Live(w, r)
	case "/readyz":
		h.Ready(w, r)
	case "/api/health/cache":
		h.Health(w, r)
	default:
		problem{Status: http.StatusNotFound, Detail: "There are /livez, /readyz and /api/health/cache."}.write(w)
	}
}

// Live says that the process answers, and nothing else.
func (h *Handler) Live(w http.ResponseWriter, r *http.Request) {
	if allow(w, r, http.MethodGet, http.MethodHead) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "alive"})
	}
}

// Readiness is the answer of Ready.
type Readiness struct {
	Ready    bool     `json:"ready"`
	Source   Source   `json:"source"`
	Redis    string   `json:"redis"` // "up", "down", "disabled"
	Warnings []string `json:"warnings"`
}

// Ready answers with 200 while the source answers, and with 503 while it does not. Redis is a warning only: without it the
// program still serves.
func (h *Handler) Ready(w http.ResponseWriter, r *http.Request) {
	if !allow(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	redis, source := h.look(r.Context())
	out := Readiness{Ready: source.State != SourceDown, Source: source, Redis: "up", Warnings: []string{}}
	switch {
	case h.c.Disabled():
		out.Redis = "disabled"
	case !redis.Ready:
		out.Redis = "down"
		out.Warnings = append(out.Warnings, "Redis cannot be used: reads and writes go to the source")
	case !redis.Healthy:
		out.Warnings = append(out.Warnings, "Redis is not well: see /api/health/cache")
	}
	status := http.StatusOK
	if !out.Ready {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, out)
}

// SourceState says whether the source answers.
type SourceState string

// The states of the source.
const (
	SourceUp      SourceState = "up"
	SourceDown    SourceState = "down"
	SourceUnknown SourceState = "unknown" // there is no Options.Ping
)

// Source is how the source is.
type Source struct {
	State     SourceState `json:"state"`
	LatencyMS float64     `json:"latency_ms"`
}

// look asks Redis and the source, at the same time, unless somebody has just done so.
func (h *Handler) look(ctx context.Context) (cache.RedisHealth, Source) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.at.IsZero() && time.Since(h.at) < freshFor {
		return h.redis, h.source
	}
	// Others may take this answer: it must not end with the request that asked.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.opts.Timeout)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { h.redis = h.c.RedisHealth(ctx) })
	h.source = h.ping(ctx)
	wg.Wait()
	h.at = time.Now()
	return h.redis, h.source
}

func (h *Handler) ping(ctx context.Context) Source {
	if h.opts.Ping == nil {
		return Source{State: SourceUnknown}
	}
	began := time.Now()
	err := h.opts.Ping(ctx)
	s := Source{State: SourceUp, LatencyMS: float64(time.Since(began).Microseconds()) / 1000}
	if err != nil {
		s.State = SourceDown
		if h.source.State != SourceDown { // once, and not at every look
			h.opts.Logger.WarnContext(ctx, "httpcache: the source does not answer", "error", err)
		}
	}
	return s
}

// allow reports whether the method is one of these, and says so if not.
func allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	if slices.Contains(methods, r.Method) {
		return true
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	problem{Status: http.StatusMethodNotAllowed, Detail: "Allowed are " + strings.Join(methods, ", ") + "."}.write(w)
	return false
}

// problem is an error as RFC 9457 has it.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

func (p problem) write(w http.ResponseWriter) {
	p.Type, p.Title = "about:blank", http.StatusText(p.Status)
	w.Header().Set("Content-Type", "application/problem+json")
	encode(w, p.Status, p)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	encode(w, status, v)
}

func encode(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the caller has gone
}
