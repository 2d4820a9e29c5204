package sim

import "maps"

// Shrink leaves out operations and faults of a run that breaks a promise, for as long as it still breaks one, by run, and
// returns what is left. Since every step has its place in the schedule by its name, the rest goes on as before.
func Shrink(cfg Config, run func(Config) Result) (Config, Result) {
	best := run(cfg)
	if best.Violation == nil {
		return cfg, best
	}
	for budget := 2000; ; {
		shrunk := false
		// Halves, quarters, and so on to single ones.
		for size := len(best.Used); size > 0; size /= 2 {
			for at := 0; at < len(best.Used); {
				if budget--; budget == 0 {
					return cfg, best
				}
				try := cfg
				try.Without = maps.Clone(cfg.Without)
				if try.Without == nil {
					try.Without = make(map[string]bool)
				}
				for _, name := range best.Used[at:min(at+size, len(best.Used))] {
					try.Without[name] = true
				}
				if r := run(try); r.Violation != nil && len(r.Used) < len(best.Used) {
					cfg, best, shrunk = try, r, true
					continue
				}
				at += size
			}
		}
		if !shrunk {
			return cfg, best
		}
	}
}
