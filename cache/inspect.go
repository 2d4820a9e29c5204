package cache

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ErrNotInspectable is returned by Inspect and Survey when the cache is disabled, or its Store is no Inspector.
var ErrNotInspectable = errors.New("cache: there is no Redis to look into")

// Inspection is what Redis holds under one key.
type Inspection struct {
	Exists bool `json:"exists"`

	// TTLMS is how long the key still lives, in ms. TTLFixed says that a fill has fixed it: it is never extended.
	TTLMS    int64 `json:"ttl_ms"`
	TTLFixed bool  `json:"ttl_fixed"`

	// Fences are of writes under way, or of writers that died: while one is live, nothing is served or filled.
	Fences []FenceInfo `json:"fences"`
	Cells  []CellInfo  `json:"cells"`
}

// FenceInfo is the fence of one write.
type FenceInfo struct {
	LeftMS int64 `json:"left_ms"` // 0 = it has run out
}

// CellState says what a reader would make of a cell.
type CellState string

// The states of cells.
const (
	CellValue    CellState = "value"
	CellNegative CellState = "negative" // a cached "no row"
	CellLease    CellState = "lease"    // somebody has the right to fill it
	CellOld      CellState = "old"      // of an epoch that is over: a miss
	CellRefused  CellState = "refused"  // damaged, too large or of another format: a miss
)

// CellInfo is one cell.
type CellInfo struct {
	Query string `json:"query"`

	// Shape is what decides whether two versions of a program share the cell; see NewQuery.
	Shape string `json:"shape"`

	// HasArgs says that the cell has arguments beside the key. Args are these, or a digest, if they were asked for.
	HasArgs bool   `json:"has_args"`
	Args    string `json:"args,omitempty"`

	State CellState `json:"state"`

	// AgeMS is the time since the lease was granted under which the cell was filled; LeftMS what a lease has left.
	AgeMS  int64 `json:"age_ms,omitempty"`
	LeftMS int64 `json:"left_ms,omitempty"`

	Bytes      int  `json:"bytes"` // as stored
	Compressed bool `json:"compressed,omitempty"`

	// Payload is the value as the codec wrote it, if it was asked for and the cell is of use.
	Payload []byte `json:"payload,omitempty"`
}

// Inspect looks at what Redis holds under a key, and changes nothing. Arguments and payloads are only in the result with
// reveal: they are somebody's data.
func (c *Cache) Inspect(ctx context.Context, k Key, reveal bool) (Inspection, error) {
	out := Inspection{Fences: []FenceInfo{}, Cells: []CellInfo{}}
	ins, ok := c.store.(Inspector)
	if !ok {
		return out, ErrNotInspectable
	}
	if k.IsVoid() || k.isAll() {
		return out, errors.New("cache: a key that is NULL, or stands for a whole group, holds nothing to inspect")
	}
	key := k.redis(c.group(k.group).prefix)
	fields, ttl, now, err := ins.Hash(ctx, key)
	if err != nil {
		return out, fmt.Errorf("cache: reading a key: %w", err)
	}
	epochs, err := c.store.MGet(ctx, c.epochKeys(c.group(k.group)))
	if err != nil {
		return out, fmt.Errorf("cache: reading the epochs: %w", err)
	}
	stamp := stampOf([]string{string(epochs[0]), string(epochs[1])})
	out.Exists, out.TTLMS = len(fields) > 0, max(0, ttl.Milliseconds())
	for field, cell := range fields {
		switch field {
		case "@":
			out.TTLFixed = true
		case "!":
			for fence := range strings.SplitSeq(cell, ";") {
				_, deadline, _ := strings.Cut(fence, ":")
				at, _ := strconv.ParseInt(deadline, 10, 64)
				out.Fences = append(out.Fences, FenceInfo{LeftMS: max(0, at-now)})
			}
		default:
			out.Cells = append(out.Cells, c.inspectCell(key, field, []byte(cell), stamp, now, reveal))
		}
	}
	slices.SortFunc(out.Cells, func(a, b CellInfo) int {
		return strings.Compare(a.Query+a.Shape+a.Args, b.Query+b.Shape+b.Args)
	})
	return out, nil
}

func (c *Cache) inspectCell(key, field string, cell []byte, stamp uint32, now int64, reveal bool) CellInfo {
	parts := append(strings.SplitN(field, ".", 3), "", "")
	info := CellInfo{Query: parts[0], Shape: parts[1], HasArgs: parts[2] != "", Bytes: len(cell), State: CellRefused}
	if reveal {
		info.Args = parts[2]
	}
	if rest, ok := strings.CutPrefix(string(cell), "L"); ok {
		deadline, _, _ := strings.Cut(rest, "|")
		at, _ := strconv.ParseInt(deadline, 10, 64)
		info.State, info.LeftMS = CellLease, max(0, at-now)
		return info
	}
	e, err := sealer{key: key, field: field, maxPayload: c.opts.MaxCellBytes}.open(cell, stamp, 0)
	switch {
	case errors.Is(err, errOtherEpoch):
		info.State = CellOld
	case err != nil:
		return info
	case e.negative:
		info.State = CellNegative
	default:
		info.State = CellValue
	}
	granted := int64(cell[14])<<32 | int64(binary.BigEndian.Uint32(cell[15:19]))
	info.AgeMS = max(0, now-granted-grantedEpochMS)
	info.Compressed = cell[1]&flagCompressed != 0
	if reveal {
		info.Payload = e.payload
	}
	return info
}

// SurveyOptions bound a survey. The zero value of each field is usable.
type SurveyOptions struct {
	// Looks is about how many keys of each node are looked at.
	//
	// Defaults to 100,000.
	Looks int

	// Sample is of how many keys of each group the size is asked for. Negative: of none.
	//
	// Defaults to 100.
	Sample int
}

// Survey is what the namespace holds in Redis.
type Survey struct {
	Groups map[string]GroupSurvey `json:"groups"`

	// Complete says that all keys were looked at. Otherwise the counts are lower bounds.
	Complete bool `json:"complete"`
}

// GroupSurvey is what Redis holds of one group.
type GroupSurvey struct {
	Keys int64 `json:"keys"`

	// Of the keys whose size was asked for: how many, their bytes together, and the largest.
	Sampled      int   `json:"sampled"`
	SampledBytes int64 `json:"sampled_bytes"`
	LargestBytes int64 `json:"largest_bytes"`
}

// EstimatedBytes is the memory of the group's keys, by those that were sampled.
func (g GroupSurvey) EstimatedBytes() int64 {
	if g.Sampled == 0 {
		return 0
	}
	return int64(float64(g.SampledBytes) / float64(g.Sampled) * float64(g.Keys))
}

// Survey counts the keys of the namespace by group, with a bounded SCAN, and asks for the sizes of some. It never uses KEYS.
func (c *Cache) Survey(ctx context.Context, o SurveyOptions) (Survey, error) {
	out := Survey{Groups: make(map[string]GroupSurvey)}
	ins, ok := c.store.(Inspector)
	if !ok {
		return out, ErrNotInspectable
	}
	setDefault(&o.Looks, 100_000)
	setDefault(&o.Sample, 100)
	seen := make(map[string]struct{})
	samples := make(map[string][]string)
	prefix := c.opts.Namespace + ":"
	complete, err := ins.Scan(ctx, prefix+"{*", o.Looks, func(keys []string) {
		for _, k := range keys {
			if _, twice := seen[k]; twice {
				continue
			}
			seen[k] = struct{}{}
			name, _, _ := strings.Cut(strings.TrimPrefix(k, prefix+"{"), ":")
			if strings.HasPrefix(name, "~") {
				continue // an epoch
			}
			g := out.Groups[name]
			g.Keys++
			out.Groups[name] = g
			if len(samples[name]) < o.Sample {
				samples[name] = append(samples[name], k)
			}
		}
	})
	if err != nil {
		return out, fmt.Errorf("cache: scanning: %w", err)
	}
	out.Complete = complete
	for name, keys := range samples {
		sizes, err := ins.Sizes(ctx, keys)
		if err != nil {
			return out, fmt.Errorf("cache: asking for the size of keys: %w", err)
		}
		g := out.Groups[name]
		for _, n := range sizes {
			if n == 0 {
				continue // gone meanwhile
			}
			g.Sampled++
			g.SampledBytes += n
			g.LargestBytes = max(g.LargestBytes, n)
		}
		out.Groups[name] = g
	}
	return out, nil
}
