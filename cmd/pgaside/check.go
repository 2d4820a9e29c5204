package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newCheckCommand() *cobra.Command {
	var project projectFlags
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Fail when the cached decorator is not what generate would write",
		Long: `Derives everything as generate does, writes nothing, and lists the files that generate would write or remove.

With --json, the findings and these files ("missing", "changed", "stale") of all packages are one JSON document on standard
output: {"findings": […], "files": [{"file", "what"}], "left_out": [{"name", "why"}]}.

Exit code 0: fresh. 1: not fresh, or findings. 2: usage, or files that can't be read.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			res, err := project.derive(cmd)
			if err != nil {
				return err
			}
			diffs, err := res.Compare()
			if err != nil {
				return err
			}
			if project.asJSON {
				err = project.report(cmd, nil, diffs)
			}
			switch {
			case len(diffs) == 0 || err != nil:
				return err
			case project.asJSON:
				return errFound
			}
			for _, d := range diffs {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", d.File, d.What)
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "pgaside: the decorator is not fresh: run pgaside generate")
			return errFound
		},
	}
	project.add(cmd)
	project.addJSON(cmd, "print findings and files as one JSON document")
	return cmd
}
