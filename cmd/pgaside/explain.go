package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgaside/pgaside/internal/gen"
)

func newExplainCommand() *cobra.Command {
	var project projectFlags
	var format string
	cmd := &cobra.Command{
		Use:   "explain [query]",
		Short: "Print what is cached, what invalidates it, and why",
		Long: `Prints the map: for each group its cached reads, how each table that they read is tied to the key, and the writes
that change them with where their keys come from; then the writes with what they change, cascade to and invalidate; then
what rests on a human's word. With a query, only what concerns it.

--format json is the same for programs, one document with a list of packages: {"findings": [], "packages": […], "left_out": […]}.
With findings it is what generate --json prints. --json is --format json. --format dot is a graph for Graphviz, with a frame for
each of several packages: pgaside explain --format dot | dot -Tsvg.

Exit code 0: printed. 1: findings. 2: usage, or an unknown query.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if project.asJSON {
				format = "json"
			}
			if !slices.Contains(gen.Formats, format) {
				return fmt.Errorf("--format %s: it is one of %s", format, strings.Join(gen.Formats, ", "))
			}
			project.asJSON = format == "json"
			res, err := project.derive(cmd)
			if err != nil {
				return err
			}
			query := ""
			if len(args) == 1 {
				query = args[0]
			}
			text, err := res.Explain(query, format, project.leftOut)
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), text)
			return nil
		},
	}
	project.add(cmd)
	cmd.Flags().StringVar(&format, "format", "text", strings.Join(gen.Formats, ", "))
	project.addJSON(cmd, "the same as --format json")
	return cmd
}
