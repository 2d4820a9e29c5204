package cachetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgaside/pgaside/cache"
)

const (
	// long is a time that does not end within a test, short one that does.
	long  = time.Hour
	short = 40 * time.Millisecond
)

// TestStore checks that a store keeps the contract of cache.Store. newStore is called once for each check and may return the
// same store each time, also one that others use: the keys are random. What it opens it closes by t.Cleanup.
//
// Where time matters the checks wait for short times to pass, and never for something to be fast.
func TestStore(t *testing.T, newStore func(t *testing.T) cache.Store) {
	for _, c := range []struct {
		name  string
		check func(*suite)
	}{
		{"AbsentCell", (*suite).absentCell},
		{"LeaseThenFillThenHit", (*suite).leaseThenFillThenHit},
		{"CellsHoldAnyBytes", (*suite).cellsHoldAnyBytes},
		{"LeaseTellsTheServersTime", (*suite).leaseTellsTheServersTime},
		{"OneLeaseAtATime", (*suite).oneLeaseAtATime},
		{"AcquireRetriedGivesTheSameLease", (*suite).acquireRetried},
		{"AcquireRetriedAfterAWipeGivesAnotherLease", (*suite).acquireRetriedAfterWipe},
		{"LeaseThatRanOutIsTakenOver", (*suite).leaseRunsOut},
		{"LeaseGivenBack", (*suite).leaseGivenBack},
		{"FillExecutedTwice", (*suite).fillTwice},
		{"FillWithoutTheLease", (*suite).fillWithoutLease},
		{"FillAfterAWipeIsLost", (*suite).fillAfterWipe},
		{"FillAfterAFenceIsLost", (*suite).fillAfterFence},
		{"UnusableCellIsReplaced", (*suite).unusableCell},
		{"UnusableCellThatHasChangedIsAHit", (*suite).unusableCellChanged},
		{"FullKeyIsEmptied", (*suite).fullKey},
		{"FullKeyWithAFenceIsNot", (*suite).fullKeyFenced},
		{"TailOfTheTTLStartsAfresh", (*suite).tail},
		{"TTLIsFixedByTheFirstFill", (*suite).ttlFixed},
		{"TTLShrinksForANegative", (*suite).ttlShrinks},
		{"TTLShrinksOnlyWhenAsked", (*suite).ttlKeeps},
		{"FenceVoidsAndBypasses", (*suite).fence},
		{"FencesOfSeveralWriters", (*suite).severalFences},
		{"FencesEndOneByOne", (*suite).fencesEndOneByOne},
		{"FenceRunsOut", (*suite).fenceRunsOut},
		{"FenceIsRenewed", (*suite).fenceRenewed},
		{"ClearOfALostFence", (*suite).clearLost},
		{"WipeKeepsFences", (*suite).wipeKeepsFences},
		{"BatchesAnswerInOrder", (*suite).batches},
		{"EmptyBatches", (*suite).emptyBatches},
		{"PlainKeys", (*suite).plainKeys},
		{"PlainKeysAlongWithACell", (*suite).plainKeysWithCell},
		{"Mint", (*suite).mint},
		{"Bump", (*suite).bump},
		{"TimeGoesOn", (*suite).timeGoesOn},
		{"EndedContext", (*suite).endedContext},
		{"Race", (*suite).race},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.check(&suite{T: t, s: newStore(t), key: "cachetest:{" + rand.Text() + "}"})
		})
	}
}

// suite is one check on its way.
type suite struct {
	*testing.T
	s   cache.Store
	key string
	n   atomic.Int64
}

func (t *suite) ref(field string) cache.CellRef { return cache.CellRef{Key: t.key, Field: field} }

func (t *suite) request(field, nonce string) cache.AcquireRequest {
	return cache.AcquireRequest{CellRef: t.ref(field), Nonce: nonce, Lease: time.Minute, MaxCells: 256}
}

func (t *suite) nonce() string { return fmt.Sprintf("nonce%d", t.n.Add(1)) }

func (t *suite) acquireOne(r cache.AcquireRequest) cache.AcquireReply {
	t.Helper()
	reply := t.s.Acquire(t.Context(), []cache.AcquireRequest{r})[0]
	if reply.Err != nil {
		t.Fatalf("acquire: %v", reply.Err)
	}
	return reply
}

// own takes the lease of a field.
func (t *suite) own(field string) (lease []byte) {
	t.Helper()
	return t.ownAs(t.request(field, t.nonce()))
}

func (t *suite) ownAs(r cache.AcquireRequest) (lease []byte) {
	t.Helper()
	reply := t.acquireOne(r)
	if reply.Status != cache.AcquireOwned {
		t.Fatalf("acquire of %s: status %d, want the lease", r.Field, reply.Status)
	}
	return reply.Cell
}

func (t *suite) wantStatus(field string, want cache.AcquireStatus) {
	t.Helper()
	if got := t.acquireOne(t.request(field, t.nonce())).Status; got != want {
		t.Fatalf("acquire of %s: status %d, want %d", field, got, want)
	}
}

func (t *suite) fillOne(r cache.FillRequest) bool {
	t.Helper()
	reply := t.s.Fill(t.Context(), []cache.FillRequest{r})[0]
	if reply.Err != nil {
		t.Fatalf("fill: %v", reply.Err)
	}
	if released := len(r.Cell) == 0; reply.Stored && (reply.Lost || released) || !reply.Stored && !reply.Lost && !released {
		t.Fatalf("fill: stored %t, lost %t, of a cell of %d bytes", reply.Stored, reply.Lost, len(r.Cell))
	}
	return reply.Stored
}

func (t *suite) fill(field string, lease []byte, cell string, ttl time.Duration) bool {
	t.Helper()
	return t.fillOne(cache.FillRequest{CellRef: t.ref(field), Lease: lease, Cell: []byte(cell), TTL: ttl})
}

// put fills a field with a cell.
func (t *suite) put(field, cell string, ttl time.Duration) {
	t.Helper()
	if !t.fill(field, t.own(field), cell, ttl) {
		t.Fatalf("the fill of %s was lost", field)
	}
}

func (t *suite) get(field string) string {
	t.Helper()
	cell, _, err := t.s.Get(t.Context(), t.ref(field), nil)
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	return string(cell)
}

func (t *suite) wantCell(field, want string) {
	t.Helper()
	if got := t.get(field); got != want {
		t.Fatalf("%s: got %q, want %q", field, got, want)
	}
}

func (t *suite) wipe(r cache.WipeRequest) (found bool) {
	t.Helper()
	r.Key = t.key
	reply := t.s.Wipe(t.Context(), []cache.WipeRequest{r}, 0)[0]
	if reply.Err != nil {
		t.Fatalf("wipe: %v", reply.Err)
	}
	return reply.Found
}

func (t *suite) mark(token string, ttl time.Duration) {
	t.Helper()
	if !t.wipe(cache.WipeRequest{Add: token, TTL: ttl}) {
		t.Fatalf("a new fence was not found")
	}
}

func (t *suite) wantClear(token string, found bool) {
	t.Helper()
	if got := t.wipe(cache.WipeRequest{Remove: token}); got != found {
		t.Fatalf("clear of fence %s: found %t, want %t", token, got, found)
	}
}

// eventually waits for what time brings.
func (t *suite) eventually(what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(short / 4)
	}
	t.Fatalf("never: %s", what)
}

func (t *suite) absentCell() {
	t.wantCell("a", "")
	for _, reply := range t.s.GetMany(t.Context(), []cache.CellRef{t.ref("a"), t.ref("b")}) {
		if reply.Err != nil || reply.Cell != nil {
			t.Errorf("got %q, %v", reply.Cell, reply.Err)
		}
	}
}

func (t *suite) leaseThenFillThenHit() {
	lease := t.own("a")
	t.wantCell("a", string(lease))
	if !bytes.HasPrefix(lease, []byte("L")) {
		t.Errorf("lease %q does not begin with L", lease)
	}
	if !t.fill("a", lease, "V1", long) {
		t.Fatal("the fill was lost")
	}
	t.wantCell("a", "V1")
	reply := t.acquireOne(t.request("a", t.nonce()))
	if reply.Status != cache.AcquireHit || string(reply.Cell) != "V1" {
		t.Errorf("got %d %q, want a hit", reply.Status, reply.Cell)
	}
	t.wantCell("b", "")
}

func (t *suite) cellsHoldAnyBytes() {
	all := []byte{'V'}
	for b := range 256 {
		all = append(all, byte(b))
	}
	all = append(all, "\r\n%s\xff\x00|;:"...)
	field := "f.0.%00:x"
	t.put(field, string(all), long)
	t.wantCell(field, string(all))
	r := t.request(field, t.nonce())
	r.Unusable = all
	t.ownAs(r)
}

func (t *suite) now() int64 {
	t.Helper()
	ms, err := t.s.Time(t.Context())
	if err != nil {
		t.Fatalf("time: %v", err)
	}
	return ms
}

func (t *suite) leaseTellsTheServersTime() {
	before := t.now()
	lease := t.own("a")
	after := t.now()
	parts := strings.SplitN(string(lease), "|", 3)
	if len(parts) != 3 {
		t.Fatalf("lease %q: want L<deadline ms>|<granted µs>|<nonce>", lease)
	}
	granted, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || granted/1000 < before || granted/1000 > after {
		t.Errorf("lease %q was granted between %d and %d ms", lease, before, after)
	}
	deadline, err := strconv.ParseInt(strings.TrimPrefix(parts[0], "L"), 10, 64)
	if want := granted/1000 + time.Minute.Milliseconds(); err != nil || deadline < want-1 || deadline > want+1 {
		t.Errorf("lease %q: deadline %d, want %d", lease, deadline, want)
	}
}

func (t *suite) oneLeaseAtATime() {
	const clients = 8
	var wg sync.WaitGroup
	replies := make([]cache.AcquireReply, clients)
	for i := range clients {
		r := t.request("a", t.nonce())
		wg.Go(func() { replies[i] = t.s.Acquire(t.Context(), []cache.AcquireRequest{r})[0] })
	}
	wg.Wait()
	owned := 0
	for _, r := range replies {
		switch {
		case r.Err != nil:
			t.Fatal(r.Err)
		case r.Status == cache.AcquireOwned:
			owned++
		case r.Status != cache.AcquireWait:
			t.Errorf("status %d, want to wait", r.Status)
		}
	}
	if owned != 1 {
		t.Errorf("%d clients got the lease", owned)
	}
	t.own("b") // the other cells of the key have leases of their own
}

func (t *suite) acquireRetried() {
	r := t.request("a", "mine")
	first := t.ownAs(r)
	if again := t.ownAs(r); !bytes.Equal(first, again) {
		t.Errorf("a retry got another lease: %q, then %q", first, again)
	}
	t.wantStatus("a", cache.AcquireWait)
	if !t.fill("a", first, "V1", long) {
		t.Error("the fill under the first lease was lost")
	}
}

func (t *suite) acquireRetriedAfterWipe() {
	r := t.request("a", "mine")
	first := t.ownAs(r)
	t.wipe(cache.WipeRequest{})
	late := t.ownAs(r) // a copy of the command that was stuck on its way
	if bytes.Equal(first, late) {
		t.Fatalf("lease %q was granted twice", first)
	}
	if t.fill("a", first, "V1", long) {
		t.Error("a fill from before the wipe was stored")
	}
	t.wantCell("a", string(late))
}

func (t *suite) leaseRunsOut() {
	r := t.request("a", t.nonce())
	r.Lease = short
	first := t.ownAs(r)
	t.put("b", "Vb", long) // keeps the key alive
	var second cache.AcquireReply
	t.eventually("the lease runs out", func() bool {
		second = t.acquireOne(t.request("a", t.nonce()))
		return second.Status == cache.AcquireOwned
	})
	if t.fill("a", first, "V1", long) {
		t.Error("a fill under a lease that somebody else had taken over was stored")
	}
	if !t.fill("a", second.Cell, "V2", long) {
		t.Error("the fill under the second lease was lost")
	}
	t.wantCell("b", "Vb")
}

func (t *suite) leaseGivenBack() {
	lease := t.own("a")
	if t.fill("a", []byte("L0|0|other"), "", long) || t.get("a") != string(lease) {
		t.Fatal("somebody else gave the lease back")
	}
	if t.fill("a", lease, "", long) {
		t.Error("giving a lease back stored something")
	}
	t.wantCell("a", "")
	t.put("a", "V1", long)
}

func (t *suite) fillTwice() {
	lease := t.own("a")
	if !t.fill("a", lease, "V1", long) {
		t.Fatal("the fill was lost")
	}
	if t.fill("a", lease, "V2", long) {
		t.Error("a lease was used twice")
	}
	t.wantCell("a", "V1")
}

func (t *suite) fillWithoutLease() {
	if t.fill("a", []byte("L9|9|x"), "V1", long) {
		t.Error("stored without a lease")
	}
	t.put("a", "V1", long)
	if t.fill("a", []byte("L9|9|x"), "V2", long) {
		t.Error("stored over a cell")
	}
	t.wantCell("a", "V1")
}

func (t *suite) fillAfterWipe() {
	a, b := t.own("a"), t.own("b")
	t.wipe(cache.WipeRequest{})
	if t.fill("a", a, "V1", long) || t.fill("b", b, "V1", long) {
		t.Error("a fill that a wipe had overtaken was stored")
	}
	t.wantCell("a", "")
}

func (t *suite) fillAfterFence() {
	lease := t.own("a")
	t.mark("w", long)
	if t.fill("a", lease, "V1", long) {
		t.Error("stored under a fence")
	}
	t.wantClear("w", true)
	if t.fill("a", lease, "V1", long) {
		t.Error("stored under a lease from before a fence")
	}
}

func (t *suite) unusableCell() {
	t.put("a", "V1", long)
	r := t.request("a", t.nonce())
	r.Unusable = []byte("V1")
	lease := t.ownAs(r)
	if !t.fill("a", lease, "V2", long) {
		t.Error("the fill was lost")
	}
	t.wantCell("a", "V2")
}

func (t *suite) unusableCellChanged() {
	t.put("a", "V2", long)
	r := t.request("a", t.nonce())
	r.Unusable = []byte("V1")
	if reply := t.acquireOne(r); reply.Status != cache.AcquireHit || string(reply.Cell) != "V2" {
		t.Errorf("got %d %q, want the cell that has taken its place", reply.Status, reply.Cell)
	}
}

func (t *suite) fullKey() {
	const most, fields = 4, 20
	for i := range fields {
		field := fmt.Sprint("f", i)
		r := t.request(field, t.nonce())
		r.MaxCells = most
		if !t.fill(field, t.ownAs(r), "V"+field, long) {
			t.Fatalf("the fill of %s was lost", field)
		}
		t.wantCell(field, "V"+field)
		n := 0
		for j := range fields {
			if t.get(fmt.Sprint("f", j)) != "" {
				n++
			}
		}
		if n > most+1 {
			t.Fatalf("%d cells, %d are the most", n, most)
		}
	}
}

func (t *suite) fullKeyFenced() {
	t.mark("w", long)
	r := t.request("a", t.nonce())
	r.MaxCells = 0
	if reply := t.acquireOne(r); reply.Status != cache.AcquireBypass {
		t.Errorf("status %d, want to bypass", reply.Status)
	}
	t.wantClear("w", true)
}

func (t *suite) tail() {
	t.put("a", "V1", 30*time.Second) // less than the lease of the next
	lease := t.own("b")
	t.wantCell("a", "")
	if !t.fill("b", lease, "V2", long) {
		t.Error("a fill in the tail of the TTL was lost")
	}
	t.wantCell("b", "V2")
}

func (t *suite) ttlFixed() {
	a, b := t.own("a"), t.own("b")
	replies := t.s.Fill(t.Context(), []cache.FillRequest{
		{CellRef: t.ref("a"), Lease: a, Cell: []byte("V1"), TTL: 10 * short},
		{CellRef: t.ref("b"), Lease: b, Cell: []byte("V2"), TTL: long},
	})
	for _, r := range replies {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	t.eventually("the key ends with the TTL of the first fill", func() bool { return t.get("a") == "" && t.get("b") == "" })
	t.put("a", "V3", long) // the next life has a TTL of its own
	t.wantCell("a", "V3")
}

func (t *suite) ttlShrinks() {
	t.put("a", "V1", long)
	if !t.fillOne(cache.FillRequest{CellRef: t.ref("b"), Lease: t.own("b"), Cell: []byte("V2"), TTL: short, Shrink: true}) {
		t.Fatal("the fill was lost")
	}
	t.eventually("the key ends with the shorter TTL", func() bool { return t.get("a") == "" })
}

func (t *suite) ttlKeeps() {
	t.put("a", "V1", long)
	t.put("b", "V2", short)
	if !t.fillOne(cache.FillRequest{CellRef: t.ref("c"), Lease: t.own("c"), Cell: []byte("V3"), TTL: 2 * long, Shrink: true}) {
		t.Fatal("the fill was lost")
	}
	time.Sleep(2 * short)
	t.wantCell("a", "V1")
	t.wantCell("b", "V2")
}

func (t *suite) fence() {
	t.put("a", "V1", long)
	t.own("b")
	t.mark("w", long)
	t.wantCell("a", "")
	t.wantCell("b", "")
	t.wantStatus("a", cache.AcquireBypass)
	t.wantStatus("c", cache.AcquireBypass)
	t.wantClear("w", true)
	t.put("a", "V2", long)
}

func (t *suite) severalFences() {
	t.mark("w1", long)
	t.mark("w2", long)
	t.mark("w3", long)
	for _, w := range []string{"w2", "w1", "w3"} {
		t.wantStatus("a", cache.AcquireBypass)
		t.wantClear(w, true)
	}
	t.put("a", "V1", long)
}

func (t *suite) fencesEndOneByOne() {
	t.mark("long", long)
	t.mark("short", short)
	time.Sleep(2 * short)
	t.wantStatus("a", cache.AcquireBypass)
	t.wantClear("short", false)
	t.wantStatus("a", cache.AcquireBypass)
	t.wantClear("long", true)
	t.put("a", "V1", long)
}

func (t *suite) fenceRunsOut() {
	t.mark("w", short)
	t.eventually("the fence runs out", func() bool {
		return t.acquireOne(t.request("a", t.nonce())).Status != cache.AcquireBypass
	})
	t.wantClear("w", false)
}

func (t *suite) fenceRenewed() {
	t.mark("w", short)
	t.mark("w", long)
	time.Sleep(2 * short)
	t.wantStatus("a", cache.AcquireBypass)
	t.wantClear("w", true)
	t.wantClear("w", false)
}

func (t *suite) clearLost() {
	t.put("a", "V1", long)
	t.wantClear("never", false)
	t.wantCell("a", "") // it voids all the same
}

func (t *suite) wipeKeepsFences() {
	t.mark("w", long)
	for range 3 {
		t.wipe(cache.WipeRequest{})
		t.wantClear("somebody else's", false)
	}
	t.wantStatus("a", cache.AcquireBypass)
	t.wantClear("w", true)
}

func (t *suite) batches() {
	keys := make([]string, 6)
	for i := range keys {
		keys[i] = fmt.Sprintf("cachetest:{%s}", rand.Text())
	}
	at := func(i int) cache.CellRef { return cache.CellRef{Key: keys[i], Field: "a"} }
	acquire := func() []cache.AcquireReply {
		reqs := make([]cache.AcquireRequest, len(keys))
		for i := range keys {
			reqs[i] = t.request("a", t.nonce())
			reqs[i].Key = keys[i]
		}
		return t.s.Acquire(t.Context(), reqs)
	}
	for i, r := range t.s.Wipe(t.Context(), []cache.WipeRequest{{Key: keys[0], Add: "w", TTL: long}, {Key: keys[1]}, {Key: keys[2], Remove: "x"}}, 0) {
		if r.Err != nil || r.Found != (i == 0) {
			t.Errorf("wipe %d: %+v", i, r)
		}
	}
	leases := acquire()
	fills := make([]cache.FillRequest, 0, len(keys))
	for i, r := range leases {
		want := cache.AcquireOwned
		if i == 0 {
			want = cache.AcquireBypass
		}
		if r.Err != nil || r.Status != want {
			t.Fatalf("acquire %d: %+v", i, r)
		}
		fills = append(fills, cache.FillRequest{CellRef: at(i), Lease: r.Cell, Cell: fmt.Appendf(nil, "V%d", i), TTL: long})
	}
	fills[0].Lease = []byte("L1|1|x")
	fills[3].Cell = nil
	for i, r := range t.s.Fill(t.Context(), fills) {
		if want := i != 0 && i != 3; r.Err != nil || r.Stored != want {
			t.Errorf("fill %d: %+v", i, r)
		}
	}
	refs := make([]cache.CellRef, len(keys))
	for i := range keys {
		refs[i] = at(i)
	}
	for i, r := range t.s.GetMany(t.Context(), refs) {
		want := fmt.Sprintf("V%d", i)
		if i == 0 || i == 3 {
			want = ""
		}
		if r.Err != nil || string(r.Cell) != want {
			t.Errorf("get %d: %q, %v", i, r.Cell, r.Err)
		}
	}
	for i, r := range acquire() {
		want := cache.AcquireHit
		switch i {
		case 0:
			want = cache.AcquireBypass
		case 3:
			want = cache.AcquireOwned
		}
		if r.Err != nil || r.Status != want {
			t.Errorf("second acquire %d: %+v", i, r)
		}
	}
}

func (t *suite) emptyBatches() {
	ctx := t.Context()
	n := len(t.s.GetMany(ctx, nil)) + len(t.s.Acquire(ctx, nil)) + len(t.s.Fill(ctx, nil)) + len(t.s.Wipe(ctx, nil, 0))
	if n != 0 {
		t.Errorf("%d replies to nothing", n)
	}
}

func (t *suite) wantValues(keys []string, want ...string) {
	t.Helper()
	got, err := t.s.MGet(t.Context(), keys)
	if err != nil || len(got) != len(want) {
		t.Fatalf("mget: %q, %v", got, err)
	}
	for i := range want {
		if want[i] == "-" && got[i] != nil || want[i] != "-" && string(got[i]) != want[i] {
			t.Errorf("%s: got %q, want %q", keys[i], got[i], want[i])
		}
	}
}

func (t *suite) must(err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (t *suite) plainKeys() {
	ctx := t.Context()
	a, b, c := t.key+"a", t.key+"b", t.key+"c"
	t.must(t.s.Set(ctx, a, "1\x00\xff", 0))
	t.must(t.s.Set(ctx, b, "2", short))
	t.wantValues([]string{a, c}, "1\x00\xff", "-")
	t.eventually("a plain key ends with its TTL", func() bool {
		got, err := t.s.MGet(ctx, []string{b})
		return err == nil && got[0] == nil
	})
	t.must(t.s.Set(ctx, a, "3", long))
	t.must(t.s.Set(ctx, b, "4", 0))
	t.wantValues([]string{b, a}, "4", "3")
	t.must(t.s.Del(ctx, []string{a, b, c}))
	t.wantValues([]string{a, b, c}, "-", "-", "-")
}

func (t *suite) plainKeysWithCell() {
	a, b := t.key+"a", t.key+"b"
	t.must(t.s.Set(t.Context(), a, "1", long))
	defer func() { _ = t.s.Del(t.Context(), []string{a}) }()
	for _, cell := range []string{"", "V1"} {
		if cell != "" {
			t.put("f", cell, long)
		}
		got, values, err := t.s.Get(t.Context(), t.ref("f"), []string{b, a})
		if err != nil || string(got) != cell || len(values) != 2 || values[0] != "" || values[1] != "1" {
			t.Errorf("got %q, %q, %v", got, values, err)
		}
	}
}

func (t *suite) mint() {
	a, b := t.key+"a", t.key+"b"
	defer func() { _ = t.s.Del(t.Context(), []string{a, b}) }()
	for _, m := range []struct {
		keys         []string
		value, wants string
	}{{[]string{b}, "1", "1"}, {[]string{a, b}, "2", "2 1"}, {[]string{b, a}, "3", "1 2"}} {
		got, err := t.s.Mint(t.Context(), m.keys, m.value)
		if err != nil || strings.Join(got, " ") != m.wants {
			t.Errorf("got %q, %v, want %s", got, err, m.wants)
		}
	}
}

func (t *suite) bump() {
	a, b := t.key+"a", t.key+"b"
	defer func() { _ = t.s.Del(t.Context(), []string{a, b}) }()
	_, err := t.s.Mint(t.Context(), []string{a}, "4611686018427387904")
	t.must(err)
	t.must(t.s.Bump(t.Context(), a, 4294967296))
	t.must(t.s.Bump(t.Context(), b, 7))
	t.must(t.s.Bump(t.Context(), b, 7)) // a duplicate is one more change
	t.wantValues([]string{a, b}, "4611686022722355200", "14")
}

func (t *suite) timeGoesOn() {
	first := t.now()
	t.eventually("time passes", func() bool { return t.now() > first })
}

func (t *suite) endedContext() {
	t.put("a", "V1", long)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, getErr := t.s.Get(ctx, t.ref("a"), nil)
	_, mintErr := t.s.Mint(ctx, []string{t.key + "m"}, "1")
	_, mgetErr := t.s.MGet(ctx, []string{t.key})
	_, timeErr := t.s.Time(ctx)
	for op, err := range map[string]error{
		"get":      getErr,
		"get many": t.s.GetMany(ctx, []cache.CellRef{t.ref("a")})[0].Err,
		"acquire":  t.s.Acquire(ctx, []cache.AcquireRequest{t.request("b", "n")})[0].Err,
		"fill":     t.s.Fill(ctx, []cache.FillRequest{{CellRef: t.ref("a"), Cell: []byte("V2"), TTL: long}})[0].Err,
		"wipe":     t.s.Wipe(ctx, []cache.WipeRequest{{Key: t.key}}, 0)[0].Err,
		"mint":     mintErr,
		"bump":     t.s.Bump(ctx, t.key+"m", 1),
		"set":      t.s.Set(ctx, t.key+"s", "1", long),
		"mget":     mgetErr,
		"del":      t.s.Del(ctx, []string{t.key}),
		"time":     timeErr,
	} {
		if err == nil {
			t.Errorf("%s: no error with a context that has ended", op)
		}
	}
	t.wantCell("a", "V1")
}

// race lets writers and readers loose on one key. Between a writer's fence and its end nobody may store or find anything.
func (t *suite) race() {
	const writers, readers, rounds = 3, 3, 15
	var wg sync.WaitGroup
	fail := func(format string, args ...any) { t.Errorf(format, args...) }
	for w := range writers {
		wg.Go(func() {
			for i := range rounds {
				token := fmt.Sprintf("w%d.%d", w, i)
				r := t.s.Wipe(t.Context(), []cache.WipeRequest{{Key: t.key, Add: token, TTL: long}}, 0)[0]
				cell, _, err := t.s.Get(t.Context(), t.ref("a"), nil)
				if r.Err != nil || !r.Found || err != nil || cell != nil {
					fail("under a fence: %+v, cell %q, %v", r, cell, err)
				}
				if r := t.s.Wipe(t.Context(), []cache.WipeRequest{{Key: t.key, Remove: token}}, 0)[0]; r.Err != nil {
					fail("ending a fence: %v", r.Err)
				}
			}
		})
	}
	for range readers {
		wg.Go(func() {
			for range rounds {
				r := t.s.Acquire(t.Context(), []cache.AcquireRequest{t.request("a", t.nonce())})[0]
				if r.Err != nil {
					fail("acquire: %v", r.Err)
				}
				if r.Status != cache.AcquireOwned {
					continue
				}
				f := t.s.Fill(t.Context(), []cache.FillRequest{{CellRef: t.ref("a"), Lease: r.Cell, Cell: []byte("V1"), TTL: long}})[0]
				if f.Err != nil {
					fail("fill: %v", f.Err)
				}
			}
		})
	}
	wg.Wait()
	t.wipe(cache.WipeRequest{})
	t.put("a", "V2", long)
}
