package demo

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSummary(t *testing.T) {
	require.Equal(t, latency{}, samples{}.summary())
	var s samples
	for i := 100; i > 0; i-- {
		s = append(s, time.Duration(i)*time.Millisecond)
	}
	require.Equal(t, latency{Count: 100, P50: 51_000, P99: 100_000, Max: 100_000}, s.summary())
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		require.Equal(t, want, count(n))
	}
}

func TestPrintTable(t *testing.T) {
	var b bytes.Buffer
	printTable(&b, []string{"cache", "reads", "hit rate"}, []string{"naïve", "1,000", "9.0 %"}, []string{"", "", "-1.0 %"})
	require.Equal(t, `
  cache   reads   hit rate
  ────────────────────────
  naïve   1,000      9.0 %
                    -1.0 %
`, b.String())
}

func TestProgressWithoutTerminal(t *testing.T) {
	var b bytes.Buffer
	p := &progress{w: &b}
	p.stage("messages", 10)
	p.set(5)
	p.done(10)
	p.stage("indexes", 0)
	p.done(0)
	require.Regexp(t, `^  messages +10 rows +[0-9.]+ s\n  indexes +[0-9.]+ s\n$`, b.String())
}

func TestStaleTitles(t *testing.T) {
	require.Zero(t, staleTitles([]string{"Session 1"}, 0))
	require.EqualValues(t, 1, staleTitles([]string{"Session 1", title(3), title(4)}, 3))
	require.EqualValues(t, 2, staleTitles([]string{title(9), title(10), "changed in round 1"}, 10))
}

func TestBelongsTo(t *testing.T) {
	require.EqualValues(t, 1, belongsTo(0, 1), "an operation that the kill met")
	require.EqualValues(t, 1, belongsTo(1, 2), "one that began without Redis")
	require.EqualValues(t, 2, belongsTo(2, 2))
}
