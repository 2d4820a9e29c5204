package cache

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Auditor compares cells with the source behind the readers' backs. Package cache/audit has one.
//
// Its methods are called on the path of a read that was answered by a cell: they must not block, and are safe for concurrent
// use. A batch is offered key by key.
type Auditor interface {
	// Wants reports whether this hit is to be offered. It is called for every hit.
	Wants() bool

	// Offer takes a hit, to check it later.
	Offer(h Hit)
}

// Hit is a read that was answered by a cell, with what it takes to look at that cell again.
type Hit struct {
	Group, Query string

	// Cell names the cell. Keys are a user's data: they belong in no log.
	Cell CellRef

	// Mutable says that an argument of the read is, or holds, a pointer or a slice. Its caller may change it as soon as the
	// read has returned, and Check would then load something else, or while it is being changed: such a hit must not be
	// checked.
	Mutable bool

	read func() *read // a new one for each look, with a value of its own
}

// Verdict is what a look at a cell came to.
type Verdict uint8

// The verdicts.
const (
	// Fresh: the cell holds what the source says.
	Fresh Verdict = iota
	// Stale: the source says something else, twice, and the cell was the same before and after.
	Stale
	// Reordered: the same rows in another order. A query without ORDER BY may give them as it likes, so that this proves
	// nothing.
	Reordered
	// Moved: there is no such cell, readers would not use it, or it has changed while it was looked at.
	Moved
	// Unsteady: the source gave two answers, or one that must not be compared: it was not the primary's.
	Unsteady
	// Failed: Redis or the source did not answer.
	Failed
)

var verdictNames = [...]string{"fresh", "stale", "reordered", "moved", "unsteady", "failed"}

// String returns the verdict as metrics spell it.
func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return fmt.Sprintf("Verdict(%d)", uint8(v))
}

// Check is the result of a look at a cell.
type Check struct {
	Verdict Verdict

	// Sum tells one content of a cell from another, with the time at which it was filled: two looks with one sum saw the same
	// cell. It is set for Fresh, Stale and Reordered.
	Sum uint64

	// Filled is when the cell's lease was granted, by Redis' clock.
	Filled time.Time

	// Err is why a Failed check failed.
	Err error
}

// Check reads the cell, loads from the source, and reads the cell again. Only a cell that is byte for byte the same both times
// can be Stale: no write that runs meanwhile makes a false alarm. It takes no lease, fills nothing, voids nothing, and counts in
// no statistic of the cache; an open breaker fails it without asking Redis.
func (h Hit) Check(ctx context.Context) Check {
	c, err := h.check(ctx)
	if err != nil {
		return Check{Verdict: Failed, Err: err}
	}
	return c
}

func (h Hit) check(ctx context.Context) (Check, error) {
	r := h.read()
	if r.c.closed.Load() {
		return Check{}, ErrClosed
	}
	if r.c.reads.isOpen() {
		return Check{}, errReadsOpen
	}
	cell, err := r.look(ctx)
	if err != nil {
		return Check{}, err
	}
	e, err := r.sealer().open(cell, r.stamp, r.c.notBefore.Load())
	if err == nil {
		err = r.use(e)
	}
	if err != nil { // to a reader, too, it is a miss
		return Check{Verdict: Moved}, nil
	}
	cached := answer{r.value, e.negative}
	out := Check{
		Sum:    xxhash.Sum64(cell),
		Filled: time.UnixMilli(grantedEpochMS + (int64(cell[14])<<32 | int64(binary.BigEndian.Uint32(cell[15:19])))),
	}
	loaded, comparable, err := h.load(ctx)
	switch {
	case err != nil:
		return Check{}, err
	case !comparable:
		return Check{Verdict: Unsteady}, nil
	}
	if out.Verdict = r.compare(cached, loaded); out.Verdict == Fresh {
		return out, nil
	}
	// Before anything is said against the cell: the source must say it twice, and the cell still be there.
	again, comparable, err := h.load(ctx)
	if err != nil {
		return Check{}, err
	}
	same, err := h.read().look(ctx)
	switch {
	case err != nil:
		return Check{}, err
	case !bytes.Equal(same, cell):
		return Check{Verdict: Moved}, nil
	case !comparable:
		return Check{Verdict: Unsteady}, nil
	}
	if r.compare(loaded, again) == Stale {
		return Check{Verdict: Unsteady}, nil
	}
	return out, nil
}

var errReadsOpen = errors.New("cache: Redis has not answered the last reads")

// look reads the cell as it is, with the epochs of this moment, and not those that this process may still trust. It returns nil
// when there is no value that a reader could use.
func (r *read) look(ctx context.Context) ([]byte, error) {
	opCtx, cancel := context.WithTimeout(ctx, r.c.opts.RedisBudget)
	defer cancel()
	cell, epochs, err := r.c.store.Get(opCtx, r.ref, r.c.epochKeys(r.gs))
	if err != nil {
		return nil, err
	}
	if len(epochs) != 2 || epochs[0] == "" || epochs[1] == "" || !isValue(cell) {
		return nil, nil
	}
	r.stamp = stampOf(epochs)
	if len(cell) < envelopeLen || binary.BigEndian.Uint32(cell[10:14]) != r.stamp {
		return nil, nil
	}
	return cell, nil
}

// answer is what a cell or the source says.
type answer struct {
	value    any // *T
	negative bool
}

// load asks the source, in a goroutine of its own, which the load may end. The answer may be compared unless the load has
// seen something else than the committed state.
func (h Hit) load(ctx context.Context) (a answer, comparable bool, err error) {
	r := h.read()
	var ls loadState
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, loadKey{}, &ls), r.c.opts.LoadTimeout)
	defer cancel()
	done := make(chan struct{})
	err = errLoadExited
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("cache: the load panicked: %v", p)
			}
		}()
		err = r.source.load(ctx)
	}()
	<-done
	negative := err != nil && r.isNoRows(err)
	if err != nil && !negative {
		return answer{}, false, err
	}
	return answer{r.value, negative}, !ls.noFill.Load(), nil
}

// compare returns Fresh when two answers are the same, Reordered when they are lists of the same elements, and Stale otherwise.
func (r *read) compare(a, b answer) Verdict {
	switch {
	case a.negative != b.negative:
		return Stale
	case a.negative, reflect.DeepEqual(a.value, b.value):
		return Fresh
	}
	// What the codec holds equal would be stored as the same cell.
	x, err := marshal(r.qs.codec, a.value)
	if err != nil {
		return Stale
	}
	y, err := marshal(r.qs.codec, b.value)
	if err == nil && bytes.Equal(x, y) {
		return Fresh
	}
	va, vb := reflect.ValueOf(a.value).Elem(), reflect.ValueOf(b.value).Elem()
	if va.Kind() != reflect.Slice || va.Len() != vb.Len() {
		return Stale
	}
	if slices.Equal(r.elements(va), r.elements(vb)) {
		return Reordered
	}
	return Stale
}

// elements returns the elements of a list, each encoded as a list of its own, sorted.
func (r *read) elements(list reflect.Value) []string {
	out := make([]string, list.Len())
	for i := range out {
		one := reflect.New(list.Type())
		one.Elem().Set(list.Slice(i, i+1))
		text, err := marshal(r.qs.codec, one.Interface())
		if err != nil {
			text = fmt.Appendf(nil, "%d", i) // not comparable: only like itself
		}
		out[i] = string(text)
	}
	slices.Sort(out)
	return out
}

// offer gives a hit to the auditor. Nothing of the read is kept but what names the cell, and the load.
func offer[T any](a Auditor, r *read, mutable bool, load func(context.Context) (T, error)) {
	c, gs, qs, key, ref := r.c, r.gs, r.qs, r.key, r.ref
	a.Offer(Hit{
		Group: gs.name, Query: qs.name, Cell: ref, Mutable: mutable || key.group.mutable,
		read: func() *read {
			r := newRead(c, gs, qs, key, load)
			r.ref = ref
			return &r.read
		},
	})
}

// mutableTypes keeps what mutableType has found out.
var mutableTypes sync.Map // reflect.Type → bool

// isMutable reports whether a value holds something that its owner could change without assigning to it.
func isMutable(v any) bool {
	switch v.(type) {
	case nil, string, bool, int, int16, int32, int64, float32, float64, [16]byte, time.Time:
		return false
	case []byte:
		return true
	}
	return isMutableType(reflect.TypeOf(v))
}

func isMutableType(t reflect.Type) bool {
	if m, ok := mutableTypes.Load(t); ok {
		return m.(bool)
	}
	m := mutableType(t)
	mutableTypes.Store(t, m)
	return m
}

func mutableType(t reflect.Type) bool {
	switch t {
	case timeType, reflect.TypeFor[netip.Addr](), reflect.TypeFor[netip.Prefix](): // what they point to never changes
		return false
	}
	switch t.Kind() {
	case reflect.Array:
		return mutableType(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if mutableType(t.Field(i).Type) {
				return true
			}
		}
		return false
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface, reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return true
	}
	return false
}
