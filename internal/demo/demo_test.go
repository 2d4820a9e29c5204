package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/internal/servers"
)

// TestRun plays the whole demo on a small database, and reads the document that it prints.
func TestRun(t *testing.T) {
	var out, log bytes.Buffer
	result, err := Run(t.Context(), Options{Scale: 0.01, Seed: 7, JSON: true, Out: &out, Log: &log, Operations: 3_000})
	require.NoError(t, err, "log:\n%s", &log)

	var doc struct {
		Acts   []map[string]any   `json:"acts"`
		Totals map[string]float64 `json:"totals"`
	}
	require.NoError(t, json.Unmarshal(out.Bytes(), &doc), "the output must be one document and nothing else:\n%s", &out)
	var names []string
	for _, act := range doc.Acts {
		names = append(names, act["name"].(string))
		require.NotEmpty(t, act["proves"])
	}
	require.Equal(t, []string{"workload", "two-processes", "stale-fill", "outage", "crash"}, names)
	require.Len(t, doc.Totals, 4)
	require.Zero(t, doc.Totals["failed_reads"])
	require.Zero(t, doc.Totals["stale_reads"])
	require.Equal(t, result.Totals.HitRate, doc.Totals["hit_rate"])
	require.Equal(t, result.Totals.DBQueriesSaved, doc.Totals["db_queries_saved"])

	workload := result.Acts[0].(*WorkloadAct)
	require.Len(t, workload.Mixes, 2)
	for _, m := range workload.Mixes {
		require.Positive(t, m.HitRate)
		require.InDelta(t, m.IdealHitRate, m.HitRate, 0.05, "against the bound of an ideal cache")
		require.Len(t, m.Types, len(types))
		for _, typ := range m.Types {
			require.Positive(t, typ.Reads, typ.Type)
		}
		require.EqualValues(t, m.Source.Reads.Count, m.Source.Wire.Reads, "straight, every read reaches Postgres")
	}

	race := result.Acts[2].(*RaceAct)
	require.EqualValues(t, race.Rounds, race.Naive.StaleAfter, "the race is staged: the naive cache loses every round")
	require.EqualValues(t, race.Rounds, race.Cached.FillsRefused)

	outage := result.Acts[3].(*OutageAct)
	if outage.Skipped == "" {
		require.Len(t, outage.Phases, 5)
		require.Positive(t, outage.Compared)
	}

	crash := result.Acts[4].(*CrashAct)
	require.Equal(t, crash.Kills, crash.Cached.Committed, "every killed write was committed")
	require.Equal(t, crash.Kills, crash.Naive.Committed)
	require.EqualValues(t, crash.Naive.Reads, crash.Naive.Stale, "the naive cache has lost its DEL every time")

	for _, act := range result.Acts {
		var text bytes.Buffer
		act.print(&text)
		require.Contains(t, text.String(), "0 failed reads, 0 stale reads.")
	}
}

func TestRunRefusesBadScale(t *testing.T) {
	for _, scale := range []float64{-1, 0.0001, 11} {
		_, err := Run(t.Context(), Options{Scale: scale})
		require.ErrorContains(t, err, "want 0.001 to 10")
	}
}

func TestVerdict(t *testing.T) {
	require.NoError(t, Totals{HitRate: 0.5}.verdict())
	require.ErrorIs(t, Totals{FailedReads: 1}.verdict(), ErrFindings)
	require.ErrorIs(t, Totals{StaleReads: 1}.verdict(), ErrFindings)
}

// TestRunCancelled ends the demo in the middle: nothing may be left behind, which TestMain and the servers check.
func TestRunCancelled(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	_, err := Run(ctx, Options{Scale: 0.01, Out: &bytes.Buffer{}, Log: &bytes.Buffer{}})
	require.True(t, errors.Is(err, context.DeadlineExceeded), "%v", err)
}

// TestPeer checks what a second process answers, and that its end of a second process is told from an answer.
func TestPeer(t *testing.T) {
	s := newTestStage(t)
	id := s.data.sessionID(0)

	p, err := s.startPeer(t.Context(), "peer")
	require.NoError(t, err)
	titles, err := p.ask(peerRequest{Do: doRead, Session: id, User: s.data.ownerID(0)})
	require.NoError(t, err)
	require.Equal(t, []string{"Session 0", "Session 0", "Session 0"}, titles)
	_, err = p.ask(peerRequest{Do: doRename, Session: id, Title: "another"})
	require.NoError(t, err)
	titles, err = p.ask(peerRequest{Do: doRead, Session: id, User: s.data.ownerID(0)})
	require.NoError(t, err)
	require.Equal(t, []string{"another", "another", "another"}, titles)

	_, err = p.ask(peerRequest{Do: doRead, Session: uuid.New()})
	require.ErrorContains(t, err, "no rows")
	_, err = p.ask(peerRequest{Do: "dance"})
	require.ErrorContains(t, err, `unknown request "dance"`)
	require.ErrorContains(t, p.mustDie(peerRequest{Do: doRead, Session: id, User: s.data.ownerID(0)}), "answered instead")
	require.NoError(t, p.close())

	p, err = s.startPeer(t.Context(), "peer")
	require.NoError(t, err)
	require.NoError(t, p.mustDie(peerRequest{Do: doDie, Session: id, Title: "last words"}))
	require.NoError(t, p.close())
	_, err = p.ask(peerRequest{Do: doRead})
	require.Error(t, err)
}

func TestPeerWithoutSettings(t *testing.T) {
	require.ErrorContains(t, Peer(t.Context(), strings.NewReader(""), &bytes.Buffer{}), "for the demo's own use")
}

// newTestStage starts the servers and loads a small dataset.
func newTestStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{Options: Options{Log: &bytes.Buffer{}, Out: &bytes.Buffer{}}, data: newDataset(1, 0.002)}
	s.truth = newTruth(s.data)
	var err error
	s.postgres, err = servers.StartPostgres(t.Context(), servers.PostgresOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.close()) })
	s.redis, err = servers.StartRedis(t.Context(), servers.RedisOptions{})
	require.NoError(t, err)
	require.NoError(t, prepareDatabase(t.Context(), s.postgres.URL(), s.data, &progress{w: s.Log}))
	return s
}

// TestAudit plays "pgaside audit": nothing is found until something is planted, and then one cell is, at both scales.
func TestAudit(t *testing.T) {
	var out, log bytes.Buffer
	result, err := Audit(t.Context(), AuditOptions{For: time.Second, Seed: 7, JSON: true, Out: &out, Log: &log})
	require.NoError(t, err, "log:\n%s", &log)
	require.Zero(t, result.Clean.Stats.Stale)
	require.Positive(t, result.Clean.Stats.Fresh)
	require.Len(t, result.Planted.Findings, 1)
	f := result.Planted.Findings[0]
	require.Equal(t, "GetSession", f.Query)
	require.EqualValues(t, auditScales[1], f.Scale)
	var again AuditResult
	require.NoError(t, json.Unmarshal(out.Bytes(), &again), "the output must be one document and nothing else:\n%s", &out)
	require.Equal(t, result.Planted.Stats, again.Planted.Stats)
}
