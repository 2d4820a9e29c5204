package faults

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCheckSeesWhatItShould(t *testing.T) {
	t.Parallel()
	at := func(kind opKind, start, end, version int64) record {
		return record{op: op{kind: kind, start: start, end: end, version: version}}
	}
	one := at(opWrite, 10, 20, 1)
	for _, c := range []struct {
		name   string
		recs   []record
		linear bool
		final  int64
		want   Verdict
	}{
		{
			"before, during and after",
			[]record{one, at(opRead, 0, 5, 0), at(opRead, 12, 30, 0), at(opRead, 12, 15, 1), at(opRead, 21, 22, 1)},
			true, 1,
			Verdict{Reads: 4, Writes: 1, Racing: 4},
		},
		{
			"old after the write has returned",
			[]record{one, at(opRead, 25, 26, 0)},
			false, 1,
			Verdict{Reads: 1, Writes: 1, Racing: 1, Anomalies: 1, Stale: 5},
		},
		{
			"its age counts from the first newer version",
			[]record{one, at(opWrite, 30, 40, 2), at(opRead, 50, 51, 0)},
			false, 2,
			Verdict{Reads: 1, Writes: 2, Racing: 1, Anomalies: 1, Stale: 30},
		},
		{
			"old after new, the write still open",
			[]record{one, at(opRead, 11, 12, 1), at(opRead, 13, 14, 0)},
			true, 1,
			Verdict{Reads: 2, Writes: 1, Racing: 2, Anomalies: 1, Stale: 1},
		},
		{
			"the same, where only writes count",
			[]record{one, at(opRead, 11, 12, 1), at(opRead, 13, 14, 0)},
			false, 1,
			Verdict{Reads: 2, Writes: 1, Racing: 2},
		},
		{"from the future", []record{one, at(opRead, 0, 5, 1)}, false, 1, Verdict{Reads: 1, Writes: 1, Racing: 1, Invented: 1}},
		{"rolled back", []record{at(opRead, 0, 5, 1)}, false, 0, Verdict{Reads: 1, Invented: 1}},
		{"by a writer that died before it could tell", []record{at(opRead, 0, 5, 1)}, true, 1, Verdict{Reads: 1}},
		{"a lost write", []record{one, at(opWrite, 30, 40, 1)}, true, 1, Verdict{Writes: 2, Lost: 1}},
		{"the last write lost", []record{one}, true, 0, Verdict{Writes: 1, Lost: 1}},
		{
			"failures",
			[]record{at(opFailed, 0, 1, 0), at(opFailed, 99, 120, 0), at(opGaveUp, 0, 9, 0), at(opGaveUp, 105, 130, 0), at(opRefused, 0, 9, 0), at(opUnknown, 0, 9, 0)},
			true, 0,
			Verdict{Failed: 1, GaveUp: 1, Refused: 1, Unknown: 1},
		},
	} {
		got := checkLayer("", c.recs, c.linear, []int64{c.final}, []span{{100, 110}})
		got.Examples = nil
		require.Equal(t, c.want, got, c.name)
	}
}

func TestRacingIsMeasuredFromTheWrite(t *testing.T) {
	t.Parallel()
	ms := int64(time.Millisecond)
	recs := []record{{op: op{kind: opWrite, start: 100 * ms, end: 101 * ms, version: 1}}}
	for _, start := range []int64{94, 96, 104, 106} {
		recs = append(recs, record{op: op{kind: opRead, start: start * ms, end: start*ms + 1, version: start / 101}})
	}
	require.Equal(t, 2, checkLayer("", recs, true, []int64{1}, nil).Racing)
}
