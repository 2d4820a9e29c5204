package demo

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
)

func TestDataset(t *testing.T) {
	d := newDataset(1, 0.1)
	require.Equal(t, 2_000, d.users)
	require.InEpsilon(t, 10_000, d.sessions(), 0.05)
	require.InEpsilon(t, 100_000, d.messages(), 0.05)

	seen := map[uuid.UUID]bool{}
	last := ""
	for s := range 200 {
		require.Equal(t, uuid.Version(7), d.sessionID(s).Version())
		require.Equal(t, uuid.RFC4122, d.sessionID(s).Variant())
		for j := range d.messagesOf(s) {
			id := d.messageID(s, j)
			require.False(t, seen[id])
			seen[id] = true
			require.Greater(t, id.String(), last, "IDs grow in the order of the load")
			last = id.String()
		}
	}
	require.Equal(t, d.sessionID(5), newDataset(1, 0.1).sessionID(5), "the same seed, the same rows")
	require.NotEqual(t, d.sessionID(5), newDataset(2, 0.1).sessionID(5))
}

func TestTrace(t *testing.T) {
	d := newDataset(1, 0.05)
	trace := newTrace(d, 1, 50_000, 0.05)
	require.Len(t, trace, 50_000)
	require.Equal(t, trace, newTrace(d, 1, 50_000, 0.05), "the same seed, the same operations")

	writes, readOf, writeOf := 0, map[string]bool{}, map[string]bool{}
	for i, o := range trace {
		info := kinds[o.kind]
		if info.write {
			writes++
			writeOf[info.typ] = true
		} else {
			readOf[info.typ] = true
		}
		if o.kind == opCreateReply {
			require.Equal(t, op{opCreateMessage, o.n}, trace[i-1], "a reply follows its message")
		}
		if o.kind == opUpdateCBTEntry {
			require.True(t, d.hasCBT(int(o.n)))
		}
	}
	require.InDelta(t, 0.05, float64(writes)/50_000, 0.004)
	for _, typ := range types {
		require.True(t, readOf[typ], "no reads of %s", typ)
		require.True(t, writeOf[typ], "no writes of %s", typ)
	}
}

func TestIdeal(t *testing.T) {
	d := newDataset(1, 0.01)
	s := d.firstSession[3]
	trace := []op{
		{opGetSession, s},    // miss
		{opGetSession, s},    // hit
		{opListSessions, 3},  // miss
		{opCreateMessage, s}, // voids message and report of s
		{opGetSession, s},    // hit
		{opRenameSession, s}, // voids session, report, and the list of user 3
		{opGetSession, s},    // miss
		{opListSessions, 3},  // miss
		{opListSessions, 3},  // hit
	}
	r := idealHits(d, trace, 0)
	require.Equal(t, idealResult{map[string]int{"session": 7}, map[string]int{"session": 3}}, r)
	require.InDelta(t, 3.0/7, r.rate(), 1e-9)
	require.Equal(t, idealResult{map[string]int{"session": 3}, map[string]int{"session": 1}}, idealHits(d, trace, 6))
}

// TestIdealKnowsTheMap runs every operation through the generated code and compares the groups that it reads and
// invalidates with those of the model.
func TestIdealKnowsTheMap(t *testing.T) {
	s := newTestStage(t)
	c, err := s.client(t.Context(), "map", cache.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.close()) }()
	withCBT := 0
	for !s.data.hasCBT(withCBT) {
		withCBT++
	}
	for kind := range opKinds {
		n := 0
		if kinds[kind].subject == bySession {
			n = withCBT
		}
		c.cache.ResetStats()
		out := s.truth.do(t.Context(), c.cached, op{kind, int32(n)})
		require.NoError(t, out.err, kinds[kind].query)
		require.False(t, out.stale)

		var read, written []string
		for group, stats := range c.cache.Stats().Groups {
			if stats.Invalidations > 0 {
				written = append(written, group)
			}
			if stats.Queries[kinds[kind].query].Reads() > 0 {
				read = append(read, group)
			}
		}
		if kinds[kind].write {
			require.ElementsMatch(t, writeGroups[kind], written, kinds[kind].query)
		} else {
			require.Equal(t, []string{readGroup[kind]}, read, kinds[kind].query)
		}
	}
}

// TestTruthSeesStaleReads pretends that a write has returned which the read does not show: every read must be found out.
func TestTruthSeesStaleReads(t *testing.T) {
	s := newTestStage(t)
	c, err := s.client(t.Context(), "truth", cache.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.close()) }()
	for kind := range opKinds {
		if kinds[kind].write {
			continue
		}
		require.False(t, s.truth.do(t.Context(), c.cached, op{kind, 0}).stale, kinds[kind].query)
		floors := map[opKind][]atomic.Int64{
			opGetSession: s.truth.session, opListSessions: s.truth.sessionList, opListMessages: s.truth.messages,
			opCountMessages: s.truth.created, opSessionReport: s.truth.created, opListCBTEntries: s.truth.cbt,
			opGetReport: s.truth.report, opGetUserSessionByToken: s.truth.login, opListUserSessions: s.truth.login,
			opGetAuthConfig: s.truth.auth, opGetDevice: s.truth.device, opListDevices: s.truth.device,
			opGetTherapyPrompt: s.truth.prompt, opListTherapyPrompts: s.truth.promptList,
		}
		if kind == opListMessagesBefore {
			continue // its page never changes
		}
		floor := &floors[kind][0]
		before := floor.Load()
		floor.Store(time.Now().Add(time.Hour).UnixMicro()) // as if a write had returned that nobody sees
		require.True(t, s.truth.do(t.Context(), c.cached, op{kind, 0}).stale, kinds[kind].query)
		floor.Store(before)
	}
}
