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
			if len(diffs) == 0 {
				return nil
			}
			for _, d := range diffs {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", d.File, d.What)
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "pgaside: the decorator is not fresh: run pgaside generate")
			return errFound
		},
	}
	project.add(cmd)
	return cmd
}
