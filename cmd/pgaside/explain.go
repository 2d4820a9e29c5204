package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgaside/pgaside/internal/gen"
)

func newExplainCommand() *cobra.Command {
	var opts gen.Options
	var asJSON bool
	var format string
	cmd := &cobra.Command{
		Use:   "explain [query]",
		Short: "Print what is cached, what invalidates it, and why",
		Long: `Prints the map: for each group its cached reads, how each table that they read is tied to the key, and the writes
that change them with where their keys come from; then the writes with what they change, cascade to and invalidate; then
what rests on a human's word. With a query, only what concerns it.

--format json is the same for programs, and --format dot a graph for Graphviz: pgaside explain --format dot | dot -Tsvg.
--json is --format json, and prints findings as JSON too.

Exit code 0: printed. 1: findings. 2: usage, or an unknown query.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if asJSON {
				format = "json"
			}
			if !slices.Contains(gen.Formats, format) {
				return fmt.Errorf("--format %s: it is one of %s", format, strings.Join(gen.Formats, ", "))
			}
			res, err := derive(cmd, opts, format == "json")
			if err != nil {
				return err
			}
			query := ""
			if len(args) == 1 {
				query = args[0]
			}
			text, err := res.Explain(query, format)
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), text)
			return nil
		},
	}
	addProjectFlags(cmd, &opts)
	cmd.Flags().StringVar(&format, "format", "text", strings.Join(gen.Formats, ", "))
	addJSONFlag(cmd, &asJSON, "the same as --format json")
	return cmd
}
