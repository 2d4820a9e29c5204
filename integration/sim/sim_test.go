package sim

import (
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// What the cache promises holds in every schedule that the seeds give, under every fault, to the degree that is promised under
// it. PGASIDE_SIM_SEEDS sets how many seeds; PGASIDE_SIM_SEED runs one, and prints its shrunk schedule if it fails.
func TestSimulation(t *testing.T) {
	if text := os.Getenv(seedEnv); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", seedEnv, err)
		}
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		if r := Run(t, Config{Seed: seed}); r.Violation != nil {
			explain(t, seed, "")
		}
		return
	}
	seeds := seedsFromEnv(t, 20_000)
	if raceEnabled && os.Getenv(seedsEnv) == "" {
		seeds = 2000
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	sum := work(t.Context(), t, binary, 0, seeds, runtime.GOMAXPROCS(0), "")
	t.Log(sum)
	if sum.Violation != nil {
		explain(t, sum.Seed, "")
	}
	if sum.Violation == nil && sum.Seeds != seeds {
		t.Errorf("%d seeds were run, want %d", sum.Seeds, seeds)
	}
}

// One seed is one schedule, and one trace.
func TestRunsRepeat(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	exact := 0
	for seed := range uint64(300) {
		first := Run(t, Config{Seed: seed, Trace: true})
		second := Run(t, Config{Seed: seed, Trace: true})
		if (first.Violation == nil) != (second.Violation == nil) {
			t.Errorf("seed %d: %v, then %v", seed, first.Violation, second.Violation)
		}
		// The race detector shuffles goroutines that are ready at the same time, on purpose.
		if raceEnabled || !first.Exact {
			continue
		}
		exact++
		a, b := masked(first.Trace), masked(second.Trace)
		for i := range max(len(a), len(b)) {
			if i == min(len(a), len(b)) || a[i] != b[i] {
				t.Errorf("seed %d: %d and %d lines; line %d of one run, then of the other:\n%s\n%s", seed, len(a), len(b), i,
					strings.Join(a[max(0, i-12):min(i+1, len(a))], "\n"), b[min(i, len(b)-1)])
				break
			}
		}
		if first.Schedule != second.Schedule {
			t.Errorf("seed %d: %d steps, then %d, in another order", seed, first.Steps, second.Steps)
		}
	}
	if exact < 200 && !raceEnabled {
		t.Errorf("%d runs were compared", exact)
	}
}

// What the engine draws at random: nonces, and epochs.
var random = regexp.MustCompile(`[0-9a-f]{24}|\d{7,}|by \d+`)

// masked makes a trace one that is the same each time. At rest nothing is scheduled.
func masked(trace []string) []string {
	var out []string
	for _, line := range trace {
		if strings.HasSuffix(line, atRest) {
			break
		}
		out = append(out, random.ReplaceAllString(line, "~"))
	}
	return out
}

// A run that fails is shrunk to what is needed for it.
func TestShrinking(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for seed := range uint64(20_000) {
		cfg := Config{Seed: seed, Mutant: "cdc-early"}
		r := Run(t, cfg)
		if r.Violation == nil {
			continue
		}
		small, shrunk := Shrink(cfg, func(c Config) Result { return Run(t, c) })
		if raceEnabled && (shrunk.Violation == nil || Run(t, small).Violation == nil) { // see TestRunsRepeat
			continue
		}
		if shrunk.Violation == nil || len(shrunk.Used) >= len(r.Used) {
			t.Fatalf("seed %d: from %d to %d operations and faults, %v", seed, len(r.Used), len(shrunk.Used), shrunk.Violation)
		}
		again := Run(t, small)
		if !reflect.DeepEqual(again.Violation, shrunk.Violation) && !raceEnabled {
			t.Errorf("seed %d: the shrunk run does not repeat: %v, then %v", seed, shrunk.Violation, again.Violation)
		}
		t.Logf("seed %d: from %d to %d: %v: %q", seed, len(r.Used), len(shrunk.Used), shrunk.Violation, shrunk.Used)
		return
	}
	t.Fatal("no seed has failed: there is nothing to shrink")
}

// register is a row whose versions grow by one, for porcupine. A version of which n%5 is 4 is not there.
var register = porcupine.Model{
	Init: func() any { return 0 },
	Step: func(state, input, output any) (bool, any) {
		at, e := state.(int), input.(Event)
		switch {
		case e.Write:
			return e.Version == at+1, e.Version
		case e.Version < 0:
			return at%5 == 4, at
		}
		return e.Version == at, at
	},
}

// CheckFloor, which is linear, and porcupine, which is not, agree on histories of the simulation: on those that are right, and on
// those to which something was done.
func TestCheckersAgree(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	rng := rand.New(rand.NewPCG(1, 2))
	right, wrong := 0, 0
	agree := func(seed uint64, h []Event) {
		var ops []porcupine.Operation
		for i, e := range h {
			ops = append(ops, porcupine.Operation{ClientId: i, Input: e, Call: int64(e.Start), Return: int64(e.End)})
		}
		result := porcupine.CheckOperationsTimeout(register, ops, 200*time.Millisecond)
		if result == porcupine.Unknown {
			return
		}
		err := CheckFloor(h)
		if (err == nil) != (result == porcupine.Ok) {
			t.Errorf("seed %d: the floor says %v, porcupine says %v: %v", seed, err, result, h)
		}
		if err == nil {
			right++
		} else {
			wrong++
		}
	}
	for seed := range uint64(300) {
		for _, h := range Run(t, Config{Seed: seed}).History {
			if len(h) < 3 || len(h) > 20 {
				continue
			}
			agree(seed, h)
			for range 5 {
				broken := append([]Event(nil), h...)
				at := rng.IntN(len(broken))
				if e := &broken[at]; !e.Write && e.Version >= 0 {
					if e.Version = max(0, e.Version+1-2*rng.IntN(2)); e.Version%5 == 4 {
						continue
					}
				}
				agree(seed, broken)
			}
		}
	}
	t.Logf("%d histories are linearizable, %d are not", right, wrong)
	if right < 50 || wrong < 20 {
		t.Errorf("%d and %d histories are too few to tell", right, wrong)
	}
}
