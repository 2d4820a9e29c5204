package demo

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/pgaside/pgaside/repo"
)

// workers is how many goroutines run the workload, each waiting for one operation at a time.
const workers = 4

// measured collects what a set of operations came to.
type measured struct {
	reads, writes             samples
	failedReads, failedWrites int64
	staleReads                int64
	firstError                error
	elapsed                   time.Duration
}

// samples are the durations of operations.
type samples []time.Duration

func (m *measured) add(o op, out outcome) {
	switch write := kinds[o.kind].write; {
	case out.err != nil && write:
		m.failedWrites++
	case out.err != nil:
		m.failedReads++
	case out.stale:
		m.staleReads++
	}
	if out.err != nil && m.firstError == nil {
		m.firstError = fmt.Errorf("%s: %w", kinds[o.kind].query, out.err)
	}
	if kinds[o.kind].write {
		m.writes = append(m.writes, out.took)
	} else {
		m.reads = append(m.reads, out.took)
	}
}

func (m *measured) merge(o *measured) {
	m.reads, m.writes = append(m.reads, o.reads...), append(m.writes, o.writes...)
	m.failedReads += o.failedReads
	m.failedWrites += o.failedWrites
	m.staleReads += o.staleReads
	if m.firstError == nil {
		m.firstError = o.firstError
	}
}

// runTrace runs the operations in order, several at a time, and returns how many it came to within the limit.
func runTrace(ctx context.Context, t *truth, q repo.Querier, trace []op, limit time.Duration) (measured, int, error) {
	start := time.Now()
	var (
		wg    sync.WaitGroup
		next  atomic.Int64
		parts [workers]measured
	)
	for w := range workers {
		wg.Go(func() {
			for ctx.Err() == nil && time.Since(start) < limit {
				i := next.Add(1) - 1
				if i >= int64(len(trace)) {
					return
				}
				parts[w].add(trace[i], t.do(ctx, q, trace[i]))
			}
		})
	}
	wg.Wait()
	m := measured{elapsed: time.Since(start)}
	for w := range parts {
		m.merge(&parts[w])
	}
	return m, len(m.reads) + len(m.writes), ctx.Err()
}

// latency is a summary of samples, in microseconds.
type latency struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50_us"`
	P99   float64 `json:"p99_us"`
	Max   float64 `json:"max_us"`
}

// summary sorts the samples and picks their percentiles.
func (s samples) summary() latency {
	if len(s) == 0 {
		return latency{}
	}
	slices.Sort(s)
	at := func(p float64) float64 { return micro(s[min(len(s)-1, int(p*float64(len(s))))]) }
	return latency{len(s), at(0.50), at(0.99), micro(s[len(s)-1])}
}

func micro(d time.Duration) float64 { return float64(d.Nanoseconds()/100) / 10 }

// paragraph prints a title and a text, broken into lines.
func paragraph(w io.Writer, title, text string) {
	fmt.Fprintf(w, "\n%s\n", title)
	line := "  "
	for word := range strings.FieldsSeq(text) {
		if utf8.RuneCountInString(line)+utf8.RuneCountInString(word) > 110 {
			fmt.Fprintln(w, strings.TrimRight(line, " "))
			line = "  "
		}
		line += word + " "
	}
	fmt.Fprintln(w, strings.TrimRight(line, " "))
}

// printTable prints rows below a header: the first column to the left, the others to the right.
func printTable(w io.Writer, rows ...[]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	fmt.Fprintln(w)
	for n, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				line.WriteString("  " + cell + pad)
			} else {
				line.WriteString("   " + pad + cell)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
		if n == 0 {
			total := 2
			for i, width := range widths {
				total += width
				if i > 0 {
					total += 3
				}
			}
			fmt.Fprintln(w, "  "+strings.Repeat("─", total-2))
		}
	}
}

func percent(share float64) string { return strconv.FormatFloat(100*share, 'f', 1, 64) + " %" }

func count[N int | int64 | uint64](n N) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// ms prints microseconds as milliseconds.
func ms(us float64) string { return strconv.FormatFloat(us/1000, 'f', 2, 64) + " ms" }
