package faults

import (
	"fmt"
	"slices"
	"sort"
	"time"
)

// Verdict is what became of one layer in one scenario.
type Verdict struct {
	Layer string `json:"layer"`

	Reads  int `json:"reads"`
	Writes int `json:"writes"`

	// Racing counts reads that began within 5 ms of a write of their row that had not ended yet, or had just ended.
	Racing int `json:"racing"`

	// Anomalies counts reads that returned something older than a write that had returned before they began, or (not in
	// aftercommit groups) older than what an earlier read had returned.
	Anomalies int `json:"anomalies"`

	// Stale is how old the oldest of them was: the time from when a newer version had been returned to when the read began.
	Stale time.Duration `json:"stale_ns"`

	// Failed counts reads that failed while Postgres was up and their context had not ended, GaveUp those whose context had:
	// it lives for 20 s, and nothing that befalls Redis may take as long.
	Failed int `json:"failed"`
	GaveUp int `json:"gave_up"`

	// Refused counts writes that failed and changed nothing, Unknown those of which nobody can say.
	Refused int `json:"refused"`
	Unknown int `json:"unknown"`

	// Lost counts acknowledged writes that are not in Postgres.
	Lost int `json:"lost"`

	// Invented counts reads of a version that nobody had written yet, or that was rolled back.
	Invented int `json:"invented"`

	// Examples are some of what was wrong, in words.
	Examples []string `json:"examples,omitempty"`
}

// racing is how close to a write a read must begin to race it.
const racing = int64(5 * time.Millisecond)

// span is a time during which Postgres was not there.
type span struct{ from, to int64 }

// checkLayer checks what was recorded of one layer, as protocol section 6 says. Of each row it walks the reads by their
// start, and keeps as the floor the highest version that any operation had returned by then. linear says that reads raise the
// floor too. final are the versions that Postgres holds in the end.
func checkLayer(name string, recs []record, linear bool, final []int64, down []span) Verdict {
	v := Verdict{Layer: name}
	byKey := make([][]op, len(final))
	wasDown := func(r record) bool {
		return slices.ContainsFunc(down, func(d span) bool { return r.start <= d.to && d.from <= r.end })
	}
	for _, r := range recs {
		switch r.kind {
		case opRead, opWrite:
			byKey[r.key] = append(byKey[r.key], r.op)
		case opFailed:
			if !wasDown(r) {
				v.Failed++
				v.example("a read of row %d failed: %.200s", r.key, r.text)
			}
		case opGaveUp:
			if !wasDown(r) {
				v.GaveUp++
				v.example("a read of row %d had no answer in %s: %.200s", r.key, patience, r.text)
			}
		case opRefused:
			v.Refused++
		case opUnknown:
			v.Unknown++
		}
	}
	for key, ops := range byKey {
		v.checkRow(key, ops, linear, final[key])
	}
	return v
}

func (v *Verdict) example(format string, args ...any) {
	if len(v.Examples) < 3 {
		v.Examples = append(v.Examples, fmt.Sprintf(format, args...))
	}
}

func (v *Verdict) checkRow(key int, ops []op, linear bool, final int64) {
	var reads, ends []op
	var begun []int64             // when each write began
	made := make(map[int64]int64) // version → start of the write that made it
	for _, o := range ops {
		if o.kind == opWrite {
			v.Writes++
			if _, twice := made[o.version]; twice || o.version > final {
				v.Lost++
				v.example("row %d: version %d was acknowledged, and is lost: Postgres has %d in the end", key, o.version, final)
			}
			made[o.version] = o.start
			begun = append(begun, o.start)
		} else {
			v.Reads++
			reads = append(reads, o)
		}
		if o.kind == opWrite || linear {
			ends = append(ends, o)
		}
	}
	sort.Slice(reads, func(i, j int) bool { return reads[i].start < reads[j].start })
	sort.Slice(ends, func(i, j int) bool { return ends[i].end < ends[j].end })
	slices.Sort(begun)
	var floors []op // those of ends that raised the floor
	next := 0
	for _, r := range reads {
		for next < len(ends) && ends[next].end < r.start {
			if len(floors) == 0 || ends[next].version > floors[len(floors)-1].version {
				floors = append(floors, ends[next])
			}
			next++
		}
		// The first that had returned something newer tells for how long this read's value was old.
		if i := sort.Search(len(floors), func(i int) bool { return floors[i].version > r.version }); i < len(floors) {
			v.Anomalies++
			age := time.Duration(r.start - floors[i].end)
			if age > v.Stale {
				v.Stale = age
			}
			v.example("row %d: a read returned version %d, %s after %d had been returned", key, r.version, age, floors[i].version)
		}
		if start, known := made[r.version]; r.version > final || known && start > r.end {
			v.Invented++
			v.example("row %d: a read returned version %d, which nobody had written", key, r.version)
		}
		if i, _ := slices.BinarySearch(begun, r.start-racing); i < len(begun) && begun[i] <= r.start+racing {
			v.Racing++
		}
	}
}
