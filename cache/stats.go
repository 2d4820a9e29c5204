package cache

import (
	"sync"
	"sync/atomic"
	"time"
)

// Stats are counts since the cache was made, or since ResetStats.
type Stats struct {
	// Since is when the counts began.
	Since time.Time `json:"since"`

	Groups map[string]GroupStats `json:"groups"`

	// Errors counts by class what went wrong between the cache and Redis, and with values; see ErrorClass.
	Errors map[string]uint64 `json:"errors"`

	// LastErrors has the last error of each class.
	LastErrors map[string]LastError `json:"last_errors"`

	// MarkersLost counts fences that were gone before their write took them away: evicted, lost in a failover, or run out.
	MarkersLost uint64 `json:"markers_lost"`

	// CellsRefused counts stored cells that were not used: damaged, of another key, of an old epoch, or too old.
	CellsRefused uint64 `json:"cells_refused"`

	// Overloaded counts reads that ended with ErrOverloaded.
	Overloaded uint64 `json:"overloaded"`

	// Pending is how many keys and groups wait for an invalidation that Redis has not acknowledged yet.
	Pending int `json:"pending"`

	// BreakerOpen says that reads do not ask Redis at the moment.
	BreakerOpen bool `json:"breaker_open"`

	// NearConnected says that this process hears of invalidations in groups with GroupOptions.Near. Without it their copies end by
	// their age alone.
	NearConnected bool `json:"near_connected"`
}

// LastError is the last error of a class. It holds no key, argument or value.
type LastError struct {
	At    time.Time `json:"at"`
	Doing string    `json:"doing"`
	Text  string    `json:"text"`
}

// GroupStats are the counts of one group.
type GroupStats struct {
	Queries map[string]QueryStats `json:"queries"`

	// Invalidations counts keys that writes or Invalidate voided; GroupInvalidations counts whole-group ones.
	Invalidations      uint64 `json:"invalidations"`
	GroupInvalidations uint64 `json:"group_invalidations"`

	// InvalidationsPending counts those that Redis did not acknowledge at once.
	InvalidationsPending uint64 `json:"invalidations_pending"`

	TTL  time.Duration `json:"ttl"`
	Mode string        `json:"mode"`
	Near time.Duration `json:"near"` // 0: no copies in the process
}

// QueryStats are the counts of one cached read. Hits + Negatives + Misses + Shared + Bypasses + Near is the number of reads; a batch
// counts one for each of its keys.
type QueryStats struct {
	Hits      uint64 `json:"hits"`
	Negatives uint64 `json:"negatives"`
	Misses    uint64 `json:"misses"`
	Shared    uint64 `json:"shared"`
	Bypasses  uint64 `json:"bypasses"`
	Near      uint64 `json:"near"`

	// Loads counts loads from the source, whoever shared them.
	Loads uint64 `json:"loads"`

	// Fills counts stored cells; FillsLost those that a write had overtaken; NotStored results that were served and could
	// not be stored: too large, or not encodable.
	Fills     uint64 `json:"fills"`
	FillsLost uint64 `json:"fills_lost"`
	NotStored uint64 `json:"not_stored"`
}

// Reads is the number of reads.
func (s QueryStats) Reads() uint64 {
	return s.Hits + s.Negatives + s.Misses + s.Shared + s.Bypasses + s.Near
}

// HitRate is the share of reads that cost the source nothing, 0 when there were none.
func (s QueryStats) HitRate() float64 {
	if n := s.Reads(); n > 0 {
		return float64(s.Hits+s.Negatives+s.Shared+s.Near) / float64(n)
	}
	return 0
}

func (s *QueryStats) add(o QueryStats) {
	s.Hits += o.Hits
	s.Negatives += o.Negatives
	s.Misses += o.Misses
	s.Shared += o.Shared
	s.Bypasses += o.Bypasses
	s.Near += o.Near
	s.Loads += o.Loads
	s.Fills += o.Fills
	s.FillsLost += o.FillsLost
	s.NotStored += o.NotStored
}

// Total adds up the queries of the group.
func (s GroupStats) Total() QueryStats {
	var t QueryStats
	for _, q := range s.Queries {
		t.add(q)
	}
	return t
}

// Total adds up all groups.
func (s Stats) Total() QueryStats {
	var t QueryStats
	for _, g := range s.Groups {
		t.add(g.Total())
	}
	return t
}

type queryCounts struct {
	outcomes                           [len(readOutcomeNames)]atomic.Uint64
	loads, fills, fillsLost, notStored atomic.Uint64
}

func (q *queryCounts) snapshot() QueryStats {
	return QueryStats{
		Hits:      q.outcomes[ReadHit].Load(),
		Negatives: q.outcomes[ReadNegative].Load(),
		Misses:    q.outcomes[ReadMiss].Load(),
		Shared:    q.outcomes[ReadShared].Load(),
		Bypasses:  q.outcomes[ReadBypass].Load(),
		Near:      q.outcomes[ReadNear].Load(),
		Loads:     q.loads.Load(),
		Fills:     q.fills.Load(),
		FillsLost: q.fillsLost.Load(),
		NotStored: q.notStored.Load(),
	}
}

func (q *queryCounts) reset() {
	for i := range q.outcomes {
		q.outcomes[i].Store(0)
	}
	for _, n := range []*atomic.Uint64{&q.loads, &q.fills, &q.fillsLost, &q.notStored} {
		n.Store(0)
	}
}

type counts struct {
	errors                                [len(errorClassNames)]atomic.Uint64
	markersLost, cellsRefused, overloaded atomic.Uint64

	since atomic.Int64 // in ns since 1970

	logMu  sync.Mutex
	logged [len(errorClassNames)]time.Time
	last   [len(errorClassNames)]LastError
}

// logEvery is the least time between two log lines of one class of error.
const logEvery = 10 * time.Second

// failed counts an error and logs it, at most one line for each class every 10 s. Neither the error of a store nor what is
// being done names a key.
func (c *Cache) failed(doing string, err error) {
	class := Classify(err)
	c.counts.errors[class].Add(1)
	now := c.opts.Clock.Now()
	c.counts.logMu.Lock()
	last := c.counts.logged[class]
	due := last.IsZero() || now.Sub(last) >= logEvery
	if due {
		c.counts.logged[class] = now
	}
	c.counts.last[class] = LastError{now, doing, redactError(err)}
	c.counts.logMu.Unlock()
	if due {
		c.opts.Logger.Warn("cache: "+doing, "class", class.String(), "error", redactError(err))
	}
}

// redactError keeps what a codec or a driver may quote of a value out of the log: only the classes that come from the
// connection are safe to print.
func redactError(err error) string {
	switch Classify(err) {
	case ErrorConnection, ErrorTimeout, ErrorAuth:
		return err.Error()
	case ErrorMemory:
		return "over the memory limit"
	case ErrorSerialization:
		return "a value cannot be encoded, or a cell cannot be decoded"
	}
	return "unexpected answer"
}

// Stats returns the counts of this process.
func (c *Cache) Stats() Stats {
	s := Stats{
		Since:        time.Unix(0, c.counts.since.Load()),
		Groups:       make(map[string]GroupStats),
		Errors:       make(map[string]uint64),
		LastErrors:   make(map[string]LastError),
		MarkersLost:  c.counts.markersLost.Load(),
		CellsRefused: c.counts.cellsRefused.Load(),
		Overloaded:   c.counts.overloaded.Load(),
		Pending:      c.pending.len(),
		BreakerOpen:  c.reads.isOpen(),

		NearConnected: c.near.connected.Load(),
	}
	for i := range c.counts.errors {
		if n := c.counts.errors[i].Load(); n > 0 {
			s.Errors[ErrorClass(i).String()] = n
		}
	}
	c.counts.logMu.Lock()
	for class, last := range c.counts.last {
		if !last.At.IsZero() {
			s.LastErrors[ErrorClass(class).String()] = last
		}
	}
	c.counts.logMu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, g := range c.byName {
		s.Groups[name] = GroupStats{
			Queries:              make(map[string]QueryStats),
			Invalidations:        g.invalidations.Load(),
			GroupInvalidations:   g.groupInvalidations.Load(),
			InvalidationsPending: g.invalidationsPending.Load(),
			TTL:                  g.opts.TTL,
			Mode:                 g.opts.Mode.String(),
			Near:                 g.opts.Near,
		}
	}
	c.queries.Range(func(_, v any) bool {
		q := v.(*queryState)
		g := s.Groups[q.group.name].Queries
		sum := g[q.name]
		sum.add(q.counts.snapshot())
		g[q.name] = sum
		return true
	})
	return s
}

// ResetStats sets all counts to zero, and forgets the last errors.
func (c *Cache) ResetStats() {
	c.counts.since.Store(c.opts.Clock.Now().UnixNano())
	c.counts.logMu.Lock()
	clear(c.counts.last[:])
	c.counts.logMu.Unlock()
	for i := range c.counts.errors {
		c.counts.errors[i].Store(0)
	}
	for _, n := range []*atomic.Uint64{&c.counts.markersLost, &c.counts.cellsRefused, &c.counts.overloaded} {
		n.Store(0)
	}
	c.mu.Lock()
	for _, g := range c.byName {
		g.invalidations.Store(0)
		g.groupInvalidations.Store(0)
		g.invalidationsPending.Store(0)
	}
	c.mu.Unlock()
	c.queries.Range(func(_, v any) bool {
		v.(*queryState).counts.reset()
		return true
	})
}
