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
	for _, name := range append(slices.Clone(ourLayers), layerNaive, layerDoubleDelete, layerUnleased) {
		t := byLayer[name]
		if t != nil {
			r.Totals = append(r.Totals, *t)
		}
		if calibrated && !slices.Contains(ourLayers, name) && (t == nil || t.Anomalies == 0) {
			r.Findings = append(r.Findings, "calm: no stale read of the "+name+" was found: the harness is blind")
		}
	}
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
		rate := "0"
		if l.Racing > 0 {
			rate = fmt.Sprintf("%.0f", 1e6*float64(l.Anomalies)/float64(l.Racing))
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t%d\t\n", l.Layer, l.Reads, l.Racing, l.Writes, l.Anomalies, l.Unexpected, rate, l.Failed, l.Lost)
	}
	_ = t.Flush()
	for _, f := range r.Findings {
		fmt.Fprintf(w, "\nFAIL %s\n", f)
	}
}

// Markdown is the table of faults for the documentation: of each fault, for how long a read was stale and what the bound is.
func (r *Report) Markdown(w io.Writer) {
	fmt.Fprintln(w, "| fault | fenced: stale for, bound | strict | aftercommit |")
	fmt.Fprintln(w, "|---|---|---|---|")
	type cell struct {
		stale     time.Duration
		anomalies int
		bound     string
		reads     int
	}
	rows := map[string]map[string]*cell{}
	what := map[string]string{}
	var order []string
	for _, res := range r.Scenarios {
		if strings.Contains(res.Name, " + ") || !slices.Contains(ourLayers, res.Layers[0].Layer) {
			continue
		}
		if rows[res.Name] == nil {
			rows[res.Name] = map[string]*cell{}
			order = append(order, res.Name)
			what[res.Name] = res.What
		}
		for _, v := range res.Layers {
			c := rows[res.Name][v.Layer]
			if c == nil {
				c = &cell{bound: res.Bounds[v.Layer]}
				rows[res.Name][v.Layer] = c
			}
			c.stale, c.anomalies, c.reads = max(c.stale, v.Stale), c.anomalies+v.Anomalies, c.reads+v.Reads
		}
	}
	for _, name := range order {
		fmt.Fprintf(w, "| **%s**. %s |", name, what[name])
		for _, l := range ourLayers {
			c := rows[name][l]
			fmt.Fprintf(w, " %s, %s |", show(c.stale), c.bound)
		}
		fmt.Fprintln(w)
	}
}
