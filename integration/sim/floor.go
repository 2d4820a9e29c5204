package sim

import (
	"fmt"
	"sort"
)

// CheckFloor checks that a history of one key is linearizable, in linear time after sorting: a read must return no less than
// any operation that had finished before it began, and no more than what had been assigned before it ended. Versions are
// assigned in the order of the commits, so that this is all that there is to it.
func CheckFloor(h []Event) error {
	type moment struct {
		at    int
		start bool
		e     int
	}
	moments := make([]moment, 0, 2*len(h))
	for i, e := range h {
		moments = append(moments, moment{e.Start, true, i}, moment{e.End, false, i})
	}
	sort.Slice(moments, func(i, j int) bool {
		a, b := moments[i], moments[j]
		if a.at != b.at {
			return a.at < b.at
		}
		return a.start && !b.start // at the same time: before each other is neither
	})
	floor, most := 0, 0
	floors := make([]int, len(h))
	for _, m := range moments {
		e := h[m.e]
		switch {
		case m.start:
			floors[m.e] = floor
			if e.Write {
				most = max(most, e.Version)
			}
		case e.Version < 0: // not there: some version is like that
			n := floors[m.e]
			for n%5 != 4 {
				n++
			}
			if n > most {
				return fmt.Errorf("%s, and no version from %d to %d is like that", e, floors[m.e], most)
			}
			floor = max(floor, n)
		case e.Version < floors[m.e] || e.Write && e.Version == floors[m.e]:
			return fmt.Errorf("%s, and %d had been seen before it began", e, floors[m.e])
		case e.Version > most:
			return fmt.Errorf("%s, and %d was the latest", e, most)
		default:
			floor = max(floor, e.Version)
		}
	}
	return nil
}
