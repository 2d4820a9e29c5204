package faults

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what a run found.
type Report struct {
	Seed      uint64        `json:"seed"`
	Took      time.Duration `json:"took_ns"`
	Scenarios []*Result     `json:"scenarios"`
	Totals    []Total       `json:"totals"`
	Findings  []string      `json:"findings,omitempty"`

	begun time.Time
}

// Total adds up a layer's verdicts.
type Total struct {
	Layer     string `json:"layer"`
	Reads     int    `json:"reads"`
	Racing    int    `json:"racing"`
	Writes    int    `json:"writes"`
	Anomalies int    `json:"anomalies"`

	// Unexpected are the anomalies of scenarios whose bound is 0.
	Unexpected int `json:"unexpected"`
	Failed     int `json:"failed"`
	Lost       int `json:"lost"`
}

func (r *Report) add(res *Result) {
	r.Scenarios = append(r.Scenarios, res)
	for _, f := range res.Findings {
		r.Findings = append(r.Findings, res.Name+": "+f)
	}
}

// judge adds the scenarios up, and looks whether the caches made by hand were caught.
func (r *Report) judge(calibrated bool) {
	byLayer := map[string]*Total{}
	for _, res := range r.Scenarios {
		for _, v := range res.Layers {
			t := byLayer[v.Layer]
			if t == nil {
				t = &Total{Layer: v.Layer}
				byLayer[v.Layer] = t
			}
			t.Reads += v.Reads
			t.Racing += v.Racing
			t.Writes += v.Writes
			t.Anomalies += v.Anomalies
			t.Failed += v.Failed
			t.Lost += v.Lost
			if res.Bounds[v.Layer] == none.String() {
				t.Unexpected += v.Anomalies
			}
		}
	}
	for _, name := range append(slices.Clone(ourLayers), handMade...) {
		if t := byLayer[name]; t != nil {
			r.Totals = append(r.Totals, *t)
		}
	}
	if calibrated {
		for _, name := range r.unseen() {
			r.Findings = append(r.Findings, "calm: no stale read of the "+name+" was found: the harness is blind")
		}
	}
}

// unseen are the caches made by hand in which no stale read was found so far.
func (r *Report) unseen() []string {
	return slices.DeleteFunc(slices.Clone(handMade), func(name string) bool {
		return slices.ContainsFunc(r.Scenarios, func(res *Result) bool {
			return slices.ContainsFunc(res.Layers, func(v Verdict) bool { return v.Layer == name && v.Anomalies > 0 })
		})
	})
}

// printLine prints one line for a scenario.
func (r *Result) printLine(w io.Writer) {
	var parts []string
	for _, v := range r.Layers {
		text := fmt.Sprintf("%s %d reads (%d racing), %d writes", v.Layer, v.Reads, v.Racing, v.Writes)
		if v.Anomalies > 0 {
			text += fmt.Sprintf(", %d stale, by up to %s", v.Anomalies, show(v.Stale))
		}
		if v.Refused+v.Unknown > 0 {
			text += fmt.Sprintf(", %d writes failed", v.Refused+v.Unknown)
		}
		parts = append(parts, text)
	}
	ok := "ok  "
	if len(r.Findings) > 0 {
		ok = "FAIL"
	}
	fmt.Fprintf(w, "%s %s: %s; hit rate %.2f\n", ok, r.Name, strings.Join(parts, "; "), r.HitRate)
	for _, f := range r.Findings {
		fmt.Fprintf(w, "     %s\n", f)
	}
}

func show(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d < time.Millisecond:
		return "<1 ms"
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

func (r *Report) print(w io.Writer) {
	fmt.Fprintf(w, "\n%d scenarios in %s, seed %d\n\n", len(r.Scenarios), r.Took.Round(time.Second), r.Seed)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\treads\tracing\twrites\tstale\tstale where the bound is 0\tper million racing\tfailed reads\tlost writes\t")
	for _, l := range r.Totals {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t%d\t\n", l.Layer, l.Reads, l.Racing, l.Writes, l.Anomalies, l.Unexpected, l.rate(), l.Failed, l.Lost)
	}
	_ = t.Flush()
	for _, f := range r.Findings {
		fmt.Fprintf(w, "\nFAIL %s\n", f)
	}
}

// Markdown is what the documentation tells of the run: of each fault, for how long a read was stale at most and what the bound
// is, and the totals.
func (r *Report) Markdown(w io.Writer) {
	fmt.Fprintln(w, "| fault | fenced | strict | aftercommit |")
	fmt.Fprintln(w, "|---|---|---|---|")
	rows := map[string]map[string]*Verdict{}
	var order []*Result
	pairs := 0
	for _, res := range r.Scenarios {
		if !slices.Contains(ourLayers, res.Layers[0].Layer) {
			continue
		}
		if strings.Contains(res.Name, " + ") {
			pairs++
			continue
		}
		if rows[res.Name] == nil {
			rows[res.Name] = map[string]*Verdict{}
			order = append(order, res)
		}
		for _, v := range res.Layers {
			sum := rows[res.Name][v.Layer]
			if sum == nil {
				sum = &Verdict{}
				rows[res.Name][v.Layer] = sum
			}
			sum.Stale = max(sum.Stale, v.Stale)
		}
	}
	for _, res := range order {
		fmt.Fprintf(w, "| **%s**. %s |", res.Name, res.What)
		for _, l := range ourLayers {
			fmt.Fprintf(w, " %s / %s |", show(rows[res.Name][l].Stale), res.Bounds[l])
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "\nOver all of them and %d pairs, %s, seed %d:\n\n", pairs, r.Took.Round(time.Second), r.Seed)
	fmt.Fprintln(w, "| | reads | racing a write | writes | stale | stale where the bound is 0 | stale per million racing | failed reads | lost writes |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|")
	for _, t := range r.Totals {
		fmt.Fprintf(w, "| %s | %d | %d | %d | %d | %d | %s | %d | %d |\n", t.Layer, t.Reads, t.Racing, t.Writes, t.Anomalies, t.Unexpected, t.rate(),
			t.Failed, t.Lost)
	}
}

// rate is how many of a million reads that raced a write were stale.
func (t Total) rate() string {
	if t.Racing == 0 {
		return "0"
	}
	return fmt.Sprintf("%.0f", 1e6*float64(t.Anomalies)/float64(t.Racing))
}
