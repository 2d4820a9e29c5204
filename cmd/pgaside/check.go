package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pgaside/pgaside/internal/gen"
)

func newCheckCommand() *cobra.Command {
	var opts gen.Options
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Fail when the cached decorator is not what generate would write",
		Long: `Derives everything as generate does, writes nothing, and lists the files that generate would write or remove.

With --json, the findings and these files ("missing", "changed", "stale") are one JSON document on standard output:
{"findings": […], "files": [{"file", "what"}]}.

Exit code 0: fresh. 1: not fresh, or findings. 2: usage, or files that can't be read.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			res, err := derive(cmd, opts, asJSON)
			if err != nil {
				return err
			}
			diffs, err := res.Compare()
			if err != nil {
				return err
			}
			if asJSON {
				err = printReport(cmd, gen.Report{Files: diffs})
			}
			switch {
			case len(diffs) == 0 || err != nil:
				return err
			case asJSON:
				return errFound
			}
			for _, d := range diffs {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", d.File, d.What)
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "pgaside: the decorator is not fresh: run pgaside generate")
			return errFound
		},
	}
	addProjectFlags(cmd, &opts)
	addJSONFlag(cmd, &asJSON, "print findings and files as one JSON document")
	return cmd
}
