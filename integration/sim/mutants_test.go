package sim

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

const (
	// tableEnv set to a file's name makes TestMutants write its table there.
	tableEnv = "PGASIDE_SIM_TABLE"

	// onlyEnv names the one mutant that is searched for.
	onlyEnv = "PGASIDE_SIM_MUTANT"

	// mutantSeeds is how far the search for a mutant goes.
	mutantSeeds = 409_500

	root = "../.."
)

// build compiles the engine with all mutants in it, and these tests over it.
func build(t *testing.T) string {
	t.Helper()
	abs, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	overlay, err := Overlay(abs, dir)
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "mutants.test")
	out, err := exec.Command("go", "test", "-c", "-buildvcs=false", "-overlay", overlay, "-o", binary, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// recorded is a row of docs/mutations.md.
type recorded struct {
	of, breaks, check string
	seed              int
}

var tableRow = regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| ([^|]+) \\| ([^|]+) \\| ([a-z]+) \\| (\\d+) \\|$")

func readTable(t *testing.T) map[string]recorded {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "mutations.md"))
	if err != nil {
		t.Fatal(err)
	}
	table := make(map[string]recorded)
	for _, m := range tableRow.FindAllStringSubmatch(string(text), -1) {
		n, err := strconv.Atoi(m[5])
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := table[m[1]]; twice {
			t.Errorf("docs/mutations.md has %s twice", m[1])
		}
		table[m[1]] = recorded{m[2], m[3], m[4], n - 1}
	}
	return table
}

// Every weakening of the protocol is caught, by the check and at the seed that docs/mutations.md says, and that seed fails for
// no other reason: with no mutant switched on it passes. With PGASIDE_SIM_TABLE it searches from the first seed on, and writes
// the rows of the table to that file.
func TestMutants(t *testing.T) {
	binary := build(t)
	if file := os.Getenv(tableEnv); file != "" {
		writeTable(t, binary, file)
		return
	}
	table := readTable(t)
	if len(table) != len(Mutants) {
		t.Errorf("docs/mutations.md has %d rows, there are %d mutants", len(table), len(Mutants))
	}
	passes := make(map[int]bool)
	for _, m := range Mutants {
		row, ok := table[m.Name]
		if !ok {
			t.Errorf("docs/mutations.md has no row for %s", m.Name)
			continue
		}
		if row.of != m.Of || row.breaks != m.Breaks {
			t.Errorf("docs/mutations.md says of %s: %s, %s; want %s, %s", m.Name, row.of, row.breaks, m.Of, m.Breaks)
		}
		switch v := work(t.Context(), t, binary, row.seed, 1, 1, m.Name).Violation; {
		case v == nil:
			t.Errorf("%s: seed %d does not catch it any more; make sim-table searches for another", m.Name, row.seed)
		case v.Check != row.check:
			t.Errorf("%s: seed %d is caught by %q now, and was by %q", m.Name, row.seed, v.Check, row.check)
		}
		if passes[row.seed] {
			continue
		}
		passes[row.seed] = true
		if v := work(t.Context(), t, binary, row.seed, 1, 1, "").Violation; v != nil {
			t.Errorf("seed %d, which is to catch %s, fails with no mutant switched on: %v", row.seed, m.Name, v)
		}
	}
}

func writeTable(t *testing.T, binary, file string) {
	t.Helper()
	var b strings.Builder
	for _, m := range Mutants {
		if only := os.Getenv(onlyEnv); only != "" && only != m.Name {
			continue
		}
		var sum tally
		for from, n := 0, 100; from < mutantSeeds && sum.Violation == nil; from, n = from+n, 2*n {
			sum = work(t.Context(), t, binary, from, n, runtime.GOMAXPROCS(0), m.Name)
		}
		if sum.Violation == nil {
			t.Errorf("%s: not caught in %d seeds", m.Name, mutantSeeds)
			continue
		}
		if v := work(t.Context(), t, binary, int(sum.Seed), 1, 1, "").Violation; v != nil {
			t.Errorf("seed %d fails with no mutant switched on: %v", sum.Seed, v)
			continue
		}
		row := fmt.Sprintf("| `%s` | %s | %s | %s | %d |\n", m.Name, m.Of, m.Breaks, sum.Violation.Check, sum.Seed+1)
		t.Log(row, sum.Violation.Detail)
		b.WriteString(row)
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A mutant whose original text is gone is not silently a mutant of nothing.
func TestOverlayIsExact(t *testing.T) {
	saved := Mutants
	defer func() { Mutants = saved }()
	Mutants = []Mutant{{Name: "gone", Edits: []Edit{{writeGo, "a text that write.go does not have", ""}}}}
	if _, err := Overlay(root, t.TempDir()); err == nil || !strings.Contains(err.Error(), "mutant gone") {
		t.Errorf("got %v", err)
	}
}
