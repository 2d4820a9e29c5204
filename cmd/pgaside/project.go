package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pgaside/pgaside/internal/gen"
)

// projectFlags say which packages a command is about: those of sqlc.yaml, or one
// that is named part by part.
type projectFlags struct {
	config  string
	repo    string
	schema  []string
	queries []string
	out     string
}

func (f *projectFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.config, "config", "", "configuration of sqlc (default: sqlc.yaml, sqlc.yml or sqlc.json here)")
	cmd.Flags().StringVar(&f.repo, "repo", "./repo", "without sqlc.yaml: directory of the package that sqlc wrote")
	cmd.Flags().StringSliceVar(&f.schema, "schema", []string{"./db/migrations"}, "without sqlc.yaml: .sql files, directories of migrations, patterns")
	cmd.Flags().StringSliceVar(&f.queries, "queries", []string{"./db/queries"}, "without sqlc.yaml: .sql files, directories, patterns")
	cmd.Flags().StringVar(&f.out, "out", "./cached", "directory to write (with sqlc.yaml: beside the package that sqlc wrote)")
	for _, name := range []string{"repo", "schema", "queries"} {
		cmd.MarkFlagsMutuallyExclusive("config", name)
	}
}

// projects returns the packages, and tells which of sqlc.yaml are left out.
func (f *projectFlags) projects(cmd *cobra.Command) ([]gen.Options, error) {
	for _, name := range []string{"repo", "schema", "queries"} {
		if cmd.Flags().Changed(name) {
			return []gen.Options{{Repo: f.repo, Schema: f.schema, Queries: f.queries, Out: f.out}}, nil
		}
	}
	conf, err := gen.ReadConfig(f.config)
	if err != nil {
		return nil, err
	}
	printSkipped(cmd, conf.Skipped)
	if cmd.Flags().Changed("out") {
		if len(conf.Projects) > 1 {
			return nil, fmt.Errorf("--out names one directory, and %s has %d packages: give each its out: in pgaside.yaml", conf.File, len(conf.Projects))
		}
		conf.Projects[0].Out = f.out
	}
	return conf.Projects, nil
}

// derive runs the generator and prints its findings.
func (f *projectFlags) derive(cmd *cobra.Command) (gen.Results, error) {
	projects, err := f.projects(cmd)
	if err != nil {
		return nil, err
	}
	res, skipped, err := gen.RunAll(projects)
	printSkipped(cmd, skipped)
	return res, printFindings(cmd, err)
}

func printSkipped(cmd *cobra.Command, skipped []gen.Skipped) {
	for _, s := range skipped {
		fmt.Fprintf(cmd.ErrOrStderr(), "pgaside: %s is left out: %s\n", s.Name, s.Why)
	}
}

// printFindings prints an error that is findings, and turns it into errFound.
func printFindings(cmd *cobra.Command, err error) error {
	var findings gen.Findings
	if !errors.As(err, &findings) {
		return err
	}
	fmt.Fprintln(cmd.ErrOrStderr(), findings.Error())
	fmt.Fprintf(cmd.ErrOrStderr(), "pgaside: %d finding%s\n", len(findings), plural(len(findings)))
	return errFound
}
