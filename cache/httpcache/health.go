package httpcache

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/pgaside/pgaside/cache"
)

// Status sums up how a cache is.
type Status string

// The states of a cache, or of a group.
const (
	Healthy  Status = "healthy"
	Degraded Status = "degraded" // everything is served, but not as fast, or some invalidations wait
	Down     Status = "down"     // the source does not answer
	Disabled Status = "disabled" // Options.Disabled: everything goes to the source
)

// Report is the answer to GET /api/health/cache.
type Report struct {
	Status   Status                 `json:"status"`
	At       time.Time              `json:"at"`
	Since    time.Time              `json:"since"` // of the counts
	Redis    cache.RedisHealth      `json:"redis"`
	Source   Source                 `json:"source"`
	Breaker  string                 `json:"breaker"` // of reads: "closed", or "open": Redis is not asked
	Pending  int                    `json:"pending"` // keys and groups that wait for an invalidation
	HitRate  float64                `json:"hit_rate"`
	Types    map[string]TypeHealth  `json:"types"` // by group
	Errors   map[string]ErrorHealth `json:"errors"`
	Settings []cache.Setting        `json:"configuration"`
}

// TypeHealth is how one group is.
type TypeHealth struct {
	Status  Status  `json:"status"`
	Reads   uint64  `json:"reads"`
	HitRate float64 `json:"hit_rate"`

	// Bypasses are reads that went to the source, since a write was under way or Redis did not answer.
	Bypasses uint64 `json:"bypasses"`

	// Errors are results that could not be stored, and invalidations that Redis did not acknowledge at once. What goes wrong
	// with Redis itself is counted by class in Report.Errors.
	Errors        uint64 `json:"errors"`
	Invalidations uint64 `json:"invalidations"` // keys and whole groups
	Pending       int    `json:"pending"`
	TTL           string `json:"ttl"`
	Mode          string `json:"mode"`
}

// ErrorHealth is what went wrong of one class.
type ErrorHealth struct {
	Count uint64           `json:"count"`
	Last  *cache.LastError `json:"last,omitempty"`
}

// Health answers GET with a Report, and POST with what an Action did. GET has the status 503 if the source is down, and 200
// otherwise.
func (h *Handler) Health(w http.ResponseWriter, r *http.Request) {
	switch {
	case !allow(w, r, http.MethodGet, http.MethodHead, http.MethodPost):
	case r.Method == http.MethodPost:
		h.act(w, r)
	default:
		report := h.Report(r.Context())
		status := http.StatusOK
		if report.Status == Down {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, report)
	}
}

// Report says how the cache is.
func (h *Handler) Report(ctx context.Context) Report {
	redis, source := h.look(ctx)
	stats, pending := h.c.Stats(), h.c.PendingByGroup()
	out := Report{
		Status: Healthy, At: time.Now(), Since: stats.Since, Redis: redis, Source: source, Breaker: "closed", Pending: stats.Pending,
		HitRate: stats.Total().HitRate(), Types: make(map[string]TypeHealth), Errors: make(map[string]ErrorHealth),
		Settings: append([]cache.Setting{}, h.opts.Settings...),
	}
	if stats.BreakerOpen {
		out.Breaker = "open"
	}
	switch {
	case source.State == SourceDown:
		out.Status = Down
	case h.c.Disabled():
		out.Status = Disabled
	case !redis.Healthy || stats.BreakerOpen || stats.Pending > 0:
		out.Status = Degraded
	}
	for name, g := range stats.Groups {
		total := g.Total()
		t := TypeHealth{
			Status: Healthy, Reads: total.Reads(), HitRate: total.HitRate(), Bypasses: total.Bypasses,
			Errors: total.NotStored + g.InvalidationsPending, Invalidations: g.Invalidations + g.GroupInvalidations,
			Pending: pending[name], TTL: g.TTL.String(), Mode: g.Mode,
		}
		switch {
		case out.Status == Down || out.Status == Disabled:
			t.Status = out.Status
		case t.Pending > 0 || !redis.Healthy || stats.BreakerOpen:
			t.Status = Degraded
		}
		out.Types[name] = t
	}
	for class, n := range stats.Errors {
		e := ErrorHealth{Count: n}
		if last, ok := stats.LastErrors[class]; ok {
			e.Last = &last
		}
		out.Errors[class] = e
	}
	return out
}

// Problems lists in words why the status is not healthy, and what there is to warn of.
func (r Report) Problems() []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if r.Source.State == SourceDown {
		add("the source does not answer")
	}
	if r.Status == Disabled {
		return append(out, "the cache is disabled: everything goes to the source")
	}
	if e := r.Redis.Error; e != nil {
		add("Redis cannot be used (%s): %s", e.Class, e.Text)
	}
	if r.Breaker == "open" {
		add("reads do not ask Redis at the moment")
	}
	if r.Pending > 0 {
		add("%d invalidations wait for Redis", r.Pending)
	}
	return append(out, r.Redis.Warnings...)
}
