package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pgaside/pgaside/internal/gen"
)

func newGenerateCommand() *cobra.Command {
	var opts gen.Options
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "Write the cached decorator",
		Long: `Reads the package that sqlc wrote, the annotations of its queries and the schema, and writes the cached decorator.

Nothing is written when a write can change a cached read and its keys can't be told: every such place is listed, with
the reason and what to write. Files that are right already are not touched, nor is any file that pgaside did not write.

With --json, the findings and the files that were written ("wrote") or removed ("removed") are one JSON document on
standard output: {"findings": […], "files": [{"file", "what"}]}.

Exit code 0: written. 1: findings. 2: usage, or files that can't be read or written.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			res, err := derive(cmd, opts, asJSON)
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
			if asJSON {
				return printReport(cmd, gen.Report{Files: diffs})
			}
			for _, d := range diffs {
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", d.What, d.File)
			}
			return nil
		},
	}
	addProjectFlags(cmd, &opts)
	addJSONFlag(cmd, &asJSON, "print findings and files as one JSON document")
	return cmd
}

func addProjectFlags(cmd *cobra.Command, opts *gen.Options) {
	cmd.Flags().StringVar(&opts.Repo, "repo", "./repo", "directory of the package that sqlc wrote")
	cmd.Flags().StringVar(&opts.Schema, "schema", "./db/migrations", "schema: a .sql file, or a directory of migrations")
	cmd.Flags().StringVar(&opts.Queries, "queries", "./db/queries", "queries: a .sql file or a directory")
	cmd.Flags().StringVar(&opts.Out, "out", "./cached", "directory to write; its name is the package's name")
}

// derive runs the generator and prints its findings.
func derive(cmd *cobra.Command, opts gen.Options, asJSON bool) (*gen.Result, error) {
	res, err := gen.Run(opts)
	var findings gen.Findings
	if errors.As(err, &findings) {
		if asJSON {
			if err := printReport(cmd, gen.Report{Findings: findings}); err != nil {
				return nil, err
			}
			return nil, errFound
		}
		fmt.Fprintln(cmd.ErrOrStderr(), findings.Error())
		plural := "s"
		if len(findings) == 1 {
			plural = ""
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "pgaside: %d finding%s\n", len(findings), plural)
		return nil, errFound
	}
	return res, err
}
