package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/pgaside/pgaside/internal/faults"
)

// newFaultsCommand returns "pgaside faults" and, below it, the command that it runs as worker processes.
func newFaultsCommand() *cobra.Command {
	var o faults.Options
	var only string
	var asJSON, list, markdown bool
	cmd := &cobra.Command{
		Use:   "faults",
		Short: "Break Redis, Postgres, the network and the processes, and check every read",
		Long: `Faults starts PostgreSQL and Redis, and three processes that read and write through the cache, in every mode. It breaks
what they run on, one fault after the other and then in random pairs, and checks every read against the versions that were
written: a stale read beyond the fault's bound, a read that failed while Postgres was up, and a write that was acknowledged
and lost are findings.

The same harness runs three caches as they are written by hand; if it finds nothing stale in them, that is a finding too.

The exit status is 0 if every promise was kept, 1 otherwise, 2 if the faults could not be made.`,
		Example: `  pgaside faults --list
  pgaside faults --only 'redis|cut' --each 10s
  pgaside faults --for 8h --seed 7`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if list {
				t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				for _, n := range faults.Names() {
					fmt.Fprintf(t, "%s\t%s\n", n[0], n[1])
				}
				return t.Flush()
			}
			if only != "" {
				var err error
				if o.Only, err = regexp.Compile(only); err != nil {
					return fmt.Errorf("--only: %w", err)
				}
			}
			program, err := os.Executable()
			if err != nil {
				return fmt.Errorf("finding this program: %w", err)
			}
			o.Worker = []string{program, "faults", "worker"}
			o.Out = cmd.OutOrStdout()
			if asJSON || markdown {
				o.Out = cmd.ErrOrStderr()
			}
			rep, err := faults.Run(cmd.Context(), o)
			if err != nil && !errors.Is(err, faults.ErrFindings) {
				return err
			}
			if markdown {
				rep.Markdown(cmd.OutOrStdout())
			}
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				if err := e.Encode(rep); err != nil {
					return fmt.Errorf("writing the report: %w", err)
				}
			}
			if err != nil {
				return errFound // the report says what
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.DurationVar(&o.For, "for", 0, "go on for so long, with random pairs of faults (default: every fault once)")
	f.DurationVar(&o.Each, "each", 0, "how long a fault lasts (default 3s)")
	f.IntVar(&o.Pairs, "pairs", 0, "make so many random pairs at least")
	f.Uint64Var(&o.Seed, "seed", 0, "decides the pairs and the choices within a fault (default: a random one)")
	f.StringVar(&only, "only", "", "faults whose names match this regular expression")
	f.BoolVar(&o.Short, "short", false, "leave out the faults that are much like another")
	f.BoolVar(&o.Calibrate, "calibrate", true, "also run caches made by hand, which must be caught")
	f.BoolVar(&list, "list", false, "list the faults and end")
	f.BoolVar(&asJSON, "json", false, "print the report as one JSON document")
	f.BoolVar(&markdown, "markdown", false, "print the table for the documentation")
	cmd.AddCommand(&cobra.Command{
		Use:    "worker",
		Short:  "One of the processes that the faults befall",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return faults.Worker(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	})
	return cmd
}
