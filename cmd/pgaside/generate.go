package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newGenerateCommand() *cobra.Command {
	var project projectFlags
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "Write the cached decorator",
		Long: `Reads the packages that sqlc wrote, the annotations of their queries and the schema, and writes a cached decorator
for each. The packages are those of sqlc.yaml that are made for PostgreSQL and pgx/v5; pgaside.yaml beside it may say where
a decorator goes and what its names are. --repo, --schema and --queries name one package instead.

Nothing is written when a write can change a cached read and its keys can't be told: every such place is listed, with
the reason and what to write. Files that are right already are not touched, nor is any file that pgaside did not write.

With --json, the findings and the files that were written ("wrote") or removed ("removed") of all packages are one JSON
document on standard output: {"findings": […], "files": [{"file", "what"}], "left_out": [{"name", "why"}]}.

Exit code 0: written. 1: findings. 2: usage, or files that can't be read or written.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			res, err := project.derive(cmd)
			if err != nil {
				return err
			}
			diffs, err := res.Write()
			if err != nil {
				return err
			}
			for i := range diffs {
				diffs[i].What = map[string]string{"missing": "wrote", "changed": "wrote", "stale": "removed"}[diffs[i].What]
			}
			if project.asJSON {
				return project.report(cmd, nil, diffs)
			}
			for _, d := range diffs {
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", d.What, d.File)
			}
			return nil
		},
	}
	project.add(cmd)
	project.addJSON(cmd, "print findings and files as one JSON document")
	return cmd
}
