package main

import (
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	if os.Getenv(herdRole) != "" { // this binary, run again as a process of the herd
		os.Exit(herdProcess())
	}
	os.Exit(m.Run())
}

// TestEveryBenchmarkOnce runs all of it for a moment, so that it keeps working, and asserts what can be counted. It asserts no
// time: those are only worth something from a whole run.
func TestEveryBenchmarkOnce(t *testing.T) {
	reports, err := measure(t.Context(), quickSettings, regexp.MustCompile("."), machine(""))
	require.NoError(t, err)
	require.Len(t, reports, len(parts))
	tables := make(map[string][]Table)
	for _, r := range reports {
		tables[r.Part] = r.Tables
		require.NotEmpty(t, r.Checks, r.Part)
	}
	count := func(part string, table int, metric string) float64 {
		t.Helper()
		return tables[part][table].of(ours, metric, false).median
	}

	require.Zero(t, count("hit", 0, "loads"), "loads of rows that are cached")
	require.EqualValues(t, 1, count("miss", 0, "loads"), "loads of a miss")
	require.Zero(t, count("batch", 0, "loads"), "loads of a batch that is cached")
	require.EqualValues(t, 1, count("batch", 1, "loads"), "queries for a batch of 100 misses")
	require.EqualValues(t, 1, count("herd", 0, "loads"), "loads of 400 readers of one cold key")
	require.Zero(t, count("herd", 0, "failed"))
	for table, name := range []string{"durable", "not durable"} {
		require.Zero(t, count("write", table, "stale"), "stale reads, %s", name)
		plain := tables["write"][table].of(pgxBase, "turns", false).median
		require.EqualValues(t, 1, plain, "round trips of a plain write")
		require.EqualValues(t, 2, count("write", table, "turns"), "round trips of a fenced write")
	}
	if near, ok := tables["near"][0].series(oursNear); ok {
		v, _ := tables["near"][0].value(near, "loads", false)
		require.Zero(t, v.median, "loads of rows in the process")
	}

	// What is made of the raw files is whole, whether they are of this run or of an older one.
	dir := t.TempDir()
	for _, r := range reports {
		require.NoError(t, write(dir, r))
	}
	require.NoError(t, render(dir))
	for _, p := range parts {
		require.FileExists(t, dir+"/"+p.name+".md")
	}
	require.FileExists(t, dir+"/targets.md")
}
