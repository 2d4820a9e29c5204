package sim

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// The environment of the tests.
const (
	seedsEnv = "PGASIDE_SIM_SEEDS" // how many seeds
	seedEnv  = "PGASIDE_SIM_SEED"  // the one to run again
	workEnv  = "PGASIDE_SIM_WORK"  // of a worker: first seed, number of seeds, distance between them
)

// tally is what a worker has to say.
type tally struct {
	Seeds, Steps, Reads, Writes, Clean int
	Faults                             map[string]int
	Seed                               uint64 // that failed
	Violation                          *Violation
}

// TestWorker is not a test: TestSimulation and TestMutants start it in processes of their own. One processor each: then
// everything in a bubble happens in the same order each time.
func TestWorker(t *testing.T) {
	work := strings.Fields(os.Getenv(workEnv))
	if len(work) != 3 {
		return
	}
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(400) // a run leaves a lot behind
	number := func(i int) uint64 {
		n, err := strconv.ParseUint(work[i], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	sum := tally{Faults: make(map[string]int)}
	first, n, step := number(0), number(1), number(2)
	for i := range n {
		seed := first + i*step
		r := Run(t, Config{Seed: seed, Mutant: os.Getenv(MutantEnv)})
		sum.Seeds++
		sum.Steps += r.Steps
		sum.Reads += r.Reads
		sum.Writes += r.Writes
		sum.Clean += len(r.History)
		for f, n := range r.Faults {
			sum.Faults[f] += n
		}
		if r.Violation != nil {
			sum.Seed, sum.Violation = seed, r.Violation
			break
		}
	}
	text, err := json.Marshal(sum)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\n%s%s\n", tallyMark, text)
}

const tallyMark = "tally "

// work runs seeds in workers, and adds up what they say. The failing seed is the lowest of those that they found.
func work(ctx context.Context, t *testing.T, binary string, first, seeds, workers int, mutant string) tally {
	t.Helper()
	sums := make([]tally, workers)
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			cmd := exec.CommandContext(ctx, binary, "-test.run=^TestWorker$", "-test.timeout=0")
			cmd.Env = append(os.Environ(), MutantEnv+"="+mutant, fmt.Sprintf("%s=%d %d %d", workEnv, first+i, (seeds+workers-1-i)/workers, workers))
			out, err := cmd.CombinedOutput()
			scan := bufio.NewScanner(strings.NewReader(string(out)))
			scan.Buffer(nil, 1<<20)
			for scan.Scan() {
				if text, ok := strings.CutPrefix(scan.Text(), tallyMark); ok {
					errs[i] = json.Unmarshal([]byte(text), &sums[i])
					return
				}
			}
			errs[i] = fmt.Errorf("worker %d: %w\n%s", i, cmp.Or(err, fmt.Errorf("no tally")), out)
		})
	}
	wg.Wait()
	all := tally{Faults: make(map[string]int)}
	for i, s := range sums {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		all.Seeds += s.Seeds
		all.Steps += s.Steps
		all.Reads += s.Reads
		all.Writes += s.Writes
		all.Clean += s.Clean
		for f, n := range s.Faults {
			all.Faults[f] += n
		}
		if s.Violation != nil && (all.Violation == nil || s.Seed < all.Seed) {
			all.Seed, all.Violation = s.Seed, s.Violation
		}
	}
	return all
}

func (s tally) String() string {
	var faults []string
	for f, n := range s.Faults {
		faults = append(faults, fmt.Sprintf("%s %d", f, n))
	}
	slices.Sort(faults)
	return fmt.Sprintf("%d seeds, %d steps, %d reads, %d writes; %d histories linearizable; faults: %s",
		s.Seeds, s.Steps, s.Reads, s.Writes, s.Clean, strings.Join(faults, ", "))
}

func seedsFromEnv(t *testing.T, otherwise int) int {
	t.Helper()
	text := os.Getenv(seedsEnv)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", seedsEnv, err)
	}
	return n
}

// explain runs a failing seed again, shrinks it, and prints the schedule.
func explain(t *testing.T, seed uint64, mutant string) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	cfg, r := Shrink(Config{Seed: seed, Mutant: mutant}, func(c Config) Result { return Run(t, c) })
	if r.Violation == nil {
		t.Errorf("seed %d has failed, and does not when it is run again", seed)
		return
	}
	cfg.Trace = true
	r = Run(t, cfg)
	t.Errorf("seed %d: %v\nwithout %d of its operations and faults:\n%s\nwhat is left: %s\nagain: %s=%d go test -run TestSimulation ./integration/sim",
		seed, r.Violation, len(cfg.Without), strings.Join(r.Trace, "\n"), strings.Join(r.Used, "; "), seedEnv, seed)
}
