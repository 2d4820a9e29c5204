package audit

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/pgaside/pgaside/cache"
)

// Scale is how long after it was found a cell was still stale: 0 for one that was not looked at again, or was gone by then.
type Scale time.Duration

// String returns the scale as reports and metrics spell it: 0s, 1s, 10s, 1m0s.
func (s Scale) String() string { return time.Duration(s).String() }

// MarshalText writes the scale as String does.
func (s Scale) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText has written.
func (s *Scale) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	*s = Scale(d)
	return err
}

// State says what became of a finding.
type State string

// The states of a finding.
const (
	StateOpen  State = "open"  // it will be looked at again
	StateGone  State = "gone"  // at the last look the cell had been replaced, was gone, or was right
	StateStale State = "stale" // it was stale at every scale, and is not looked at any more
	StateLost  State = "lost"  // it is not known: a look failed, or too many findings were open
)

// Finding is a cell that was stale.
type Finding struct {
	Group string `json:"group"`
	Query string `json:"query"`

	// Scale is the largest at which the same cell was still stale.
	Scale Scale `json:"scale"`
	State State `json:"state"`

	Filled time.Time `json:"filled"` // by Redis' clock
	Found  time.Time `json:"found"`
	Seen   time.Time `json:"seen"`  // the last time that it was stale
	Times  int       `json:"times"` // how often it was

	// Key and Field name the cell in Redis, if Options.ShowCells is set.
	Key   string `json:"key,omitempty"`
	Field string `json:"field,omitempty"`
}

// CheckEvent tells of one look at a cell.
type CheckEvent struct {
	Group, Query string
	Verdict      cache.Verdict
	Duration     time.Duration
}

// Observer is told what the auditor does, on its own goroutine. No event carries a key, an argument or a value, but for the
// names of cells in findings when Options.ShowCells is set.
type Observer interface {
	// Checked is called after each look at a cell.
	Checked(e CheckEvent)

	// Found is called when a cell is found stale, with scale 0, and again at each scale at which it still is.
	Found(f Finding)
}

// NopObserver does nothing. Embed it to implement only what you need.
type NopObserver struct{}

// Checked does nothing.
func (NopObserver) Checked(CheckEvent) {}

// Found does nothing.
func (NopObserver) Found(Finding) {}

// Stats are counts since the auditor was made. They never fall, but for Open.
type Stats struct {
	// Checks counts first looks at sampled hits; the six counts after it add up to it.
	Checks uint64 `json:"checks"`

	Fresh     uint64 `json:"fresh"`
	Stale     uint64 `json:"stale"`
	Reordered uint64 `json:"reordered"`
	Moved     uint64 `json:"moved"`
	Unsteady  uint64 `json:"unsteady"`
	Failed    uint64 `json:"failed"`

	// Skipped counts hits that were not checked: their arguments are pointers or slices, or Options.Ignore names the query.
	Skipped uint64 `json:"skipped"`

	// StaleAt counts, by scale, the cells that were still stale then, each once; "0s" has all of them.
	StaleAt map[string]uint64 `json:"stale_at"`

	// Open is how many stale cells will be looked at again.
	Open int `json:"open"`
}

// Report is what an auditor has seen so far.
type Report struct {
	Since    time.Time `json:"since"`
	At       time.Time `json:"at"`
	Stats    Stats     `json:"stats"`
	Findings []Finding `json:"findings"` // the newest first, at most Options.Keep
}

// Stats returns the counts.
func (a *Auditor) Stats() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := Stats{
		Fresh: a.checks[cache.Fresh], Stale: a.checks[cache.Stale], Reordered: a.checks[cache.Reordered],
		Moved: a.checks[cache.Moved], Unsteady: a.checks[cache.Unsteady], Failed: a.checks[cache.Failed],
		Skipped: a.skipped.Load(), StaleAt: make(map[string]uint64), Open: len(a.open),
	}
	for _, n := range a.checks {
		s.Checks += n
	}
	for i, n := range a.stale {
		s.StaleAt[a.o.Scales[i].String()] = n
	}
	return s
}

// Report returns what was seen so far.
func (a *Auditor) Report() Report {
	r := Report{Since: a.began, At: a.o.Clock.Now(), Stats: a.Stats(), Findings: []Finding{}}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, f := range slices.Backward(a.findings) {
		r.Findings = append(r.Findings, f.Finding)
	}
	return r
}

// ServeHTTP answers with the report as JSON.
func (a *Auditor) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(a.Report())
}

// Print writes the report for people.
func (r Report) Print(w io.Writer) error {
	s := r.Stats
	_, err := fmt.Fprintf(w, "%d cells checked in %s: %d fresh, %d stale; no verdict on %d (%d moved, %d unsteady, %d reordered, %d failed); %d not checked\n",
		s.Checks, r.At.Sub(r.Since).Round(time.Second), s.Fresh, s.Stale, s.Moved+s.Unsteady+s.Reordered+s.Failed,
		s.Moved, s.Unsteady, s.Reordered, s.Failed, s.Skipped)
	if err != nil || len(r.Findings) == 0 {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "group\tquery\tstale at\tstate\ttimes\tfilled\tfound\tcell")
	for _, f := range r.Findings {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", f.Group, f.Query, f.Scale, f.State, f.Times,
			f.Filled.UTC().Format(time.RFC3339), f.Found.UTC().Format(time.RFC3339), f.Key+" "+f.Field)
	}
	return t.Flush()
}
