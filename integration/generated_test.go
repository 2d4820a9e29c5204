package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/integration/internal/proof"
)

const (
	proofSeed     = 4690243162824598950
	proofProjects = 8
	proofWrites   = 1300 // of each, so that together they are more than ten thousand
	proofMutants  = 6
	proofRounds   = 12 // at most, until every kind has been seen: further ones are of fewer projects
	proofFewer    = 2
)

// proofTally adds up reports.
type proofTally struct {
	writes, effective, comparisons, hits int
	writeKinds, readKinds, modes         map[string]int
}

// TestGeneratedDecoratorNeverStale makes random projects, generates their decorators as a user would (sqlc, pgaside), and
// writes through them. After each write, every cached read must say what the source says.
//
// It then takes one key out of the generated code of some writes, and demands that the same steps find a difference: a test
// that can't see a missing key shows nothing.
//
// PGASIDE_TEST_FOR is how long it goes on with random projects (default: one round of those of proofSeed, so that a change is
// tested by what the last one was tested by), PGASIDE_TEST_SEED what to repeat.
func TestGeneratedDecoratorNeverStale(t *testing.T) {
	var length time.Duration
	if s := os.Getenv("PGASIDE_TEST_FOR"); s != "" {
		var err error
		length, err = time.ParseDuration(s)
		require.NoError(t, err)
	}
	seed := uint64(proofSeed)
	if length > 0 {
		seed = rand.Uint64()
	}
	if s := os.Getenv("PGASIDE_TEST_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	all := &proofTally{writeKinds: map[string]int{}, readKinds: map[string]int{}, modes: map[string]int{}}
	begin := time.Now()
	for round := uint64(0); round == 0 || time.Since(begin) < length || all.unseen() != "" && round < proofRounds; round++ {
		full := round == 0 || time.Since(begin) < length // otherwise it only looks for the kinds that are missing
		t.Run(fmt.Sprintf("seed=%d", seed+round), func(t *testing.T) { proofRound(t, seed+round, full, all) })
		if t.Failed() {
			t.Fatalf("repeat it by PGASIDE_TEST_SEED=%d", seed+round)
		}
		if kind := all.unseen(); kind != "" {
			t.Logf("not seen yet: %s", kind)
		}
	}
	t.Logf("%d writes, %d steps that changed a row, %d comparisons, %d hits\nwrites that changed a cached result, by kind: %s\nchanges, by the read's kind: %s\nwrites, by transaction: %s",
		all.writes, all.effective, all.comparisons, all.hits, tallyText(all.writeKinds), tallyText(all.readKinds), tallyText(all.modes))
	require.GreaterOrEqual(t, all.writes, 10_000)
	require.Greater(t, all.hits, all.comparisons/2, "most comparisons were not with the cache: they show little")
	require.Empty(t, all.unseen(), "nothing of this kind changed a cached result: the test shows nothing of it")
}

// unseen names a kind of write, read or transaction that the rounds so far show nothing of.
func (all *proofTally) unseen() string {
	for _, want := range []struct {
		what  string
		seen  map[string]int
		kinds []string
	}{
		{"write", all.writeKinds, []string{
			"insert", "upsert", "copyfrom", "update", "move", "delete", "update from", "delete using", "cte", "insert select", "insert many",
			"triggered", "partitioned",
		}},
		{"read", all.readKinds, []string{
			"pk", "unique", "list", "optional filter", "page", "embed", "left join", "aggregate", "group by", "cte", "exists", "exists filter",
			"batch", "count of children", "view", "union", "triggered", "partitioned",
		}},
		{"transaction", all.modes, []string{"pool", "InTx", "Begin and WithTx", "transaction begun elsewhere", "round the decorator"}},
	} {
		for _, kind := range want.kinds {
			if want.seen[kind] == 0 {
				return want.what + " " + kind
			}
		}
	}
	return ""
}

func tallyText(m map[string]int) string {
	var out []string
	for _, k := range sortedKeys(m) {
		out = append(out, fmt.Sprintf("%s %d", k, m[k]))
	}
	return strings.Join(out, ", ")
}

// proofRound is all that one seed decides. One that isn't full has fewer projects, with fewer writes, and no mutants.
func proofRound(t *testing.T, seed uint64, full bool, all *proofTally) {
	ctx := t.Context()
	s := newWorkshop(t)
	begin := time.Now()
	lap := func(what string) {
		t.Logf("%-9s %.1f s", what, time.Since(begin).Seconds())
		begin = time.Now()
	}
	count, writes := proofProjects, proofWrites
	if !full {
		count, writes = proofFewer, proofWrites/2
	}
	projects := make([]*madeProject, count)
	decorators := map[string]string{}
	for i := range projects {
		projects[i] = makeProject(streamOf(seed, uint64(i)), fmt.Sprintf("p%d", i), i < 3)
		decorators[projects[i].name] = projects[i].name
	}
	s.generate(projects)
	t.Logf("%d queries, of which sqlc does not take %d and the generator refuses %d", s.counts.made, s.counts.invalid, s.counts.refused)
	lap("generate")
	program := s.build("run", decorators)
	lap("build")
	var plan proof.Plan
	for i, p := range projects {
		plan.Projects = append(plan.Projects, s.plan(ctx, p, p.name, seed, uint64(i), writes))
	}
	reports := s.tell(program, plan)
	lap("run")
	for i, rep := range reports {
		all.add(rep)
		t.Logf("%s: %d writes of %d, %d comparisons, %d hits; %d reads, %d writes", rep.Name, rep.Accepted, rep.Attempted, rep.Comparisons, rep.Hits,
			len(plan.Projects[i].Reads), len(plan.Projects[i].Writes))
		for _, name := range sortedKeys(rep.Invalid) {
			t.Logf("%s.%s is no valid SQL: %s", rep.Name, name, rep.Invalid[name])
		}
		if rep.Failure != "" || rep.Difference != "" {
			t.Errorf("PGASIDE_TEST_SEED=%d, %s: %s%s\n\n%s\n%s", seed, rep.Name, rep.Failure, rep.Difference, projects[i].schema(), projects[i].text())
		}
	}
	if full && !t.Failed() {
		s.mutate(ctx, projects, plan, reports, seed)
		lap("mutants")
	}
}

func (all *proofTally) add(rep *proof.Report) {
	all.writes += rep.Accepted
	all.effective += rep.Effective
	all.comparisons += rep.Comparisons
	all.hits += rep.Hits
	for _, to := range []struct{ all, of map[string]int }{
		{all.writeKinds, rep.WriteKinds}, {all.readKinds, rep.ReadKinds}, {all.modes, rep.Modes},
	} {
		for k, n := range to.of {
			to.all[k] += n
		}
	}
}

func executeSQL(ctx context.Context, t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, sql)
	require.NoError(t, err, sql)
}

// mutants are chosen among these: writes seen to change a group's cells that were in the cache.
type mutant struct {
	project int
	write   string
	group   string
}

func (s *workshop) mutate(ctx context.Context, projects []*madeProject, plan proof.Plan, reports []*proof.Report, seed uint64) {
	var candidates []mutant
	for i, rep := range reports {
		for what := range rep.Changes {
			write, group, _ := strings.Cut(what, " ")
			candidates = append(candidates, mutant{i, write, group})
		}
	}
	sort.Slice(candidates, func(i, j int) bool {
		return fmt.Sprint(candidates[i]) < fmt.Sprint(candidates[j])
	})
	r := streamOf(seed, 1<<32)
	r.Shuffle(len(candidates), func(i, j int) { candidates[i], candidates[j] = candidates[j], candidates[i] })
	decorators := map[string]string{}
	var mutants []mutant
	var texts []string
	var second proof.Plan
	for _, m := range candidates {
		if len(mutants) == proofMutants {
			break
		}
		name := fmt.Sprintf("m%d", len(mutants))
		base := projects[m.project]
		was, ok := s.withoutKey(base.name, name, m)
		if !ok {
			continue // the write has two keys of the group: the other may answer for it
		}
		decorators[name] = base.name
		p := plan.Projects[m.project]
		second.Projects = append(second.Projects, s.plan(ctx, base, name, p.Seed, p.Stream, p.Enough))
		mutants, texts = append(mutants, m), append(texts, was)
	}
	require.GreaterOrEqual(s.t, len(mutants), 5, "too few keys could be taken out")
	for i, rep := range s.tell(s.build("mutants", decorators), second) {
		m := mutants[i]
		s.t.Logf("without %s in %s.%s: found after %d writes", texts[i], projects[m.project].name, m.write, rep.Accepted)
		if rep.Difference == "" {
			s.t.Errorf("PGASIDE_TEST_SEED=%d: nothing was seen without %s in %s of %s (%s)\n%s\n%s", seed, texts[i], m.write, projects[m.project].name, rep.Failure,
				projects[m.project].schema(), projects[m.project].text())
		}
	}
}
