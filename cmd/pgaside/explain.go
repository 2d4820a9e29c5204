package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newExplainCommand() *cobra.Command {
	var project projectFlags
	cmd := &cobra.Command{
		Use:   "explain [query]",
		Short: "Print what is cached, what invalidates it, and why",
		Long: `Prints the map: for each group its cached reads, how each table that they read is tied to the key, and the writes
that change them with where their keys come from; then what rests on a human's word. With a query, only what concerns it.

Exit code 0: printed. 1: findings. 2: usage, or an unknown query.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			res, err := project.derive(cmd)
			if err != nil {
				return err
			}
			query := ""
			if len(args) == 1 {
				query = args[0]
			}
			text, err := res.Explain(query)
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), text)
			return nil
		},
	}
	project.add(cmd)
	return cmd
}
