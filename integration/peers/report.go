package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// Report is one part of a run, as the raw files keep it. Everything else (tables, charts, verdicts' text) is made from it.
type Report struct {
	Part   string
	Title  string
	Notes  []string
	Tables []Table
	Charts []Chart
	Checks []Check
	Run    Run
}

// Run says where, when and with what a report was made.
type Run struct {
	At           time.Time
	Took         string
	Rounds, Rows int
	JSONBytes    float64 // mean size of a row
	CPU          string
	Cores        int
	System       string
	Load         string // load average at the end: 1, 5 and 15 minutes
	Versions     []string
}

// Table compares contenders.
type Table struct {
	Title   string
	Base    string // the contender that ratios are made to
	Columns []Column
	Series  []Series
}

// Column is a metric of a table. A ratio is made in each round, and the median of the rounds is shown; so is what it ranged over.
type Column struct {
	Metric, Head string
	Ratio        bool
	Bare         bool // a count: the median alone
}

// Series is what the rounds have given for one contender, by metric.
type Series struct {
	Name, Gives string
	Rounds      map[string][]float64
}

// Chart is a picture of one metric of one table.
type Chart struct {
	Title  string
	Table  int
	Metric string
	Ratio  bool
	Target float64 // drawn as a line; 0: none
}

// Check is a target, and whether this run reached it.
type Check struct {
	Work, Beside, Target, Measured string

	Reached verdict
}

type verdict string

const (
	yes         verdict = "yes"
	no          verdict = "**no**"
	notMeasured verdict = "not measured" // Measured says why
	noTarget    verdict = "—"
)

func reached(ok bool) verdict {
	if ok {
		return yes
	}
	return no
}

// stat is the median of the rounds, and what they ranged over.
type stat struct{ median, low, high float64 }

func statOf(values []float64) stat {
	if len(values) == 0 {
		return stat{}
	}
	v := slices.Sorted(slices.Values(values))
	m := v[len(v)/2]
	if len(v)%2 == 0 {
		m = (v[len(v)/2-1] + m) / 2
	}
	return stat{m, v[0], v[len(v)-1]}
}

func (s stat) String() string {
	return fmt.Sprintf("%s (%s–%s)", number(s.median), number(s.low), number(s.high))
}

func number(v float64) string {
	switch {
	case v == float64(int64(v)) && v < 1e4:
		return fmt.Sprintf("%.0f", v)
	case v >= 1e4:
		return fmt.Sprintf("%.3gk", v/1e3)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

func (t Table) series(name string) (Series, bool) {
	for _, s := range t.Series {
		if s.label() == name {
			return s, true
		}
	}
	return Series{}, false
}

func (s Series) label() string { return s.Name + ", " + s.Gives }

// value is a metric of a contender, or its ratio to the base, round by round.
func (t Table) value(s Series, metric string, ratio bool) (stat, bool) {
	v := s.Rounds[metric]
	if !ratio {
		return statOf(v), len(v) > 0
	}
	base, ok := t.series(t.Base)
	if !ok {
		return stat{}, false
	}
	b := base.Rounds[metric]
	if len(v) == 0 || len(b) == 0 {
		return stat{}, false
	}
	var ratios []float64
	for i := range min(len(v), len(b)) {
		if b[i] != 0 {
			ratios = append(ratios, v[i]/b[i])
		}
	}
	return statOf(ratios), len(ratios) > 0
}

// of is the value of the contender with a label; a label that is missing is a mistake of the program.
func (t Table) of(label, metric string, ratio bool) stat {
	s, ok := t.series(label)
	if !ok {
		panic("no contender " + label + " in " + t.Title)
	}
	v, ok := t.value(s, metric, ratio)
	if !ok {
		panic("no " + metric + " of " + label + " in " + t.Title)
	}
	return v
}

// atMost and atLeast make checks from a run's figures.
func atMost(work, beside, target string, v stat, unit string, limit float64) Check {
	return Check{Work: work, Beside: beside, Target: target, Measured: v.String() + unit, Reached: reached(v.median <= limit)}
}

func atLeast(work, beside, target string, v stat, unit string, limit float64) Check {
	return Check{Work: work, Beside: beside, Target: target, Measured: v.String() + unit, Reached: reached(v.median >= limit)}
}

// both is a check that needs two things.
func both(a, b Check) Check {
	a.Target += ", " + b.Target
	a.Measured += "; " + b.Measured
	a.Reached = reached(a.Reached == yes && b.Reached == yes)
	return a
}

// The files of a folder of reports: raw/<part>.json is what was measured; <part>.md, <part>-<n>.svg and targets.md are made from it.

func write(dir string, r *Report) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "raw"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "raw", r.Part+".json"), append(text, '\n'), 0o644)
}

// render makes everything anew from the raw files.
func render(dir string) error {
	var all []*Report
	for _, p := range parts {
		text, err := os.ReadFile(filepath.Join(dir, "raw", p.name+".json"))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return err
		}
		var r Report
		if err := json.Unmarshal(text, &r); err != nil {
			return fmt.Errorf("reading raw/%s.json: %w", p.name, err)
		}
		all = append(all, &r)
	}
	for _, r := range all {
		if err := os.WriteFile(filepath.Join(dir, r.Part+".md"), []byte(r.markdown()), 0o644); err != nil {
			return err
		}
		for i, c := range r.Charts {
			if err := os.WriteFile(filepath.Join(dir, r.chartFile(i)), []byte(r.svg(c)), 0o644); err != nil {
				return err
			}
		}
	}
	return os.WriteFile(filepath.Join(dir, "targets.md"), []byte(targets(all)), 0o644)
}

func (r *Report) chartFile(i int) string { return fmt.Sprintf("%s-%d.svg", r.Part, i+1) }

const generated = "<!-- Written by \"make bench\" from raw/. Do not edit. -->\n\n"

func (r *Report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s# %s\n\n", generated, r.Title)
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "%s\n\n", n)
	}
	for i, c := range r.Charts {
		fmt.Fprintf(&b, "![%s](%s)\n\n", c.Title, r.chartFile(i))
	}
	for _, t := range r.Tables {
		b.WriteString(t.markdown())
	}
	if len(r.Checks) > 0 {
		b.WriteString("## Targets\n\n" + checks(r.Checks))
	}
	b.WriteString("## The run\n\n" + r.Run.markdown())
	return b.String()
}

func (t Table) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n", t.Title)
	if t.Base != "" {
		fmt.Fprintf(&b, "Ratios are to *%s*.\n\n", t.Base)
	}
	b.WriteString("| | a read gives |")
	for _, c := range t.Columns {
		fmt.Fprintf(&b, " %s |", c.Head)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---:|", len(t.Columns)) + "\n")
	for _, s := range t.Series {
		name := s.Name
		if strings.HasPrefix(name, "pgaside") {
			name = "**" + name + "**"
		}
		fmt.Fprintf(&b, "| %s | %s |", name, s.Gives)
		for _, c := range t.Columns {
			v, ok := t.value(s, c.Metric, c.Ratio)
			switch {
			case !ok:
				b.WriteString(" |")
			case c.Bare:
				fmt.Fprintf(&b, " %s |", number(v.median))
			default:
				fmt.Fprintf(&b, " %s |", v)
			}
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	return b.String()
}

func checks(cs []Check) string {
	var b strings.Builder
	b.WriteString("| work | beside | target | measured | reached |\n|---|---|---|---|---|\n")
	for _, c := range cs {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", c.Work, c.Beside, c.Target, c.Measured, c.Reached)
	}
	return b.String() + "\n"
}

func (r Run) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s; %d rounds; %d rows of %.0f bytes as JSON. %s, %d cores that program and servers share; %s; "+
		"load average at the end %s.\n\n", r.At.Format("2 January 2006 15:04 MST"), r.Took, r.Rounds, r.Rows, r.JSONBytes, r.CPU, r.Cores,
		r.System, r.Load)
	fmt.Fprintf(&b, "%s.\n", strings.Join(r.Versions, ", "))
	return b.String()
}

// targets is the table of all parts.
func targets(all []*Report) string {
	var b strings.Builder
	b.WriteString(generated + "# Targets\n\nEach row is computed from the figures of its part. " +
		"Medians of the rounds, in brackets what they ranged over.\n\n")
	var cs []Check
	for _, r := range all {
		for _, c := range r.Checks {
			c.Work = fmt.Sprintf("[%s](%s.md)", c.Work, r.Part)
			cs = append(cs, c)
		}
	}
	b.WriteString(checks(cs))
	b.WriteString("| part | measured | rounds | load average at the end |\n|---|---|---|---|\n")
	for _, r := range all {
		fmt.Fprintf(&b, "| [%s](%s.md) | %s | %d | %s |\n", r.Part, r.Part, r.Run.At.Format("2 January 2006 15:04 MST"), r.Run.Rounds, r.Run.Load)
	}
	if len(all) > 0 {
		b.WriteString("\n" + all[len(all)-1].Run.markdown())
	}
	return b.String()
}

// machine is the part of Run that does not change during a run.
func machine(commit string) Run {
	r := Run{CPU: runtime.GOARCH, Cores: runtime.NumCPU(), System: runtime.GOOS}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				r.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		r.System += " " + strings.TrimSpace(string(text))
	}
	r.Versions = []string{runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return r
	}
	if commit != "" {
		r.Versions = append(r.Versions, "pgaside "+commit)
	}
	for _, d := range info.Deps {
		if slices.Contains([]string{
			"github.com/jackc/pgx/v5", "github.com/redis/go-redis/v9", "github.com/redis/rueidis", "github.com/go-redis/cache/v9",
			"github.com/maypok86/otter/v2", "github.com/viccon/sturdyc", "github.com/zeromicro/go-zero", "github.com/vmihailenco/msgpack/v5",
		}, d.Path) {
			r.Versions = append(r.Versions, strings.TrimPrefix(d.Path, "github.com/")+" "+d.Version)
		}
	}
	return r
}

func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], ", ")
}
