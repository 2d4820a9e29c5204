package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pgaside/pgaside/internal/gen"
)

// projectFlags say which packages a command is about, those of sqlc.yaml or one
// that is named part by part, and how it speaks of them.
type projectFlags struct {
	config  string
	repo    string
	schema  []string
	queries []string
	out     string
	asJSON  bool

	leftOut []gen.Skipped // packages that projects and derive have left out
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

// addJSON adds the flag by which a command speaks to an editor.
func (f *projectFlags) addJSON(cmd *cobra.Command, what string) {
	cmd.Flags().BoolVar(&f.asJSON, "json", false, what)
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
	f.leaveOut(cmd, conf.Skipped)
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
	f.leaveOut(cmd, skipped)
	var findings gen.Findings
	if !errors.As(err, &findings) {
		return res, err
	}
	if f.asJSON {
		return nil, found(f.report(cmd, findings, nil))
	}
	printFindings(cmd, findings)
	return nil, errFound
}

// leaveOut tells what is left out: at once, or in the JSON document.
func (f *projectFlags) leaveOut(cmd *cobra.Command, skipped []gen.Skipped) {
	f.leftOut = append(f.leftOut, skipped...)
	if f.asJSON {
		return
	}
	for _, s := range skipped {
		fmt.Fprintf(cmd.ErrOrStderr(), "pgaside: %s is left out: %s\n", s.Name, s.Why)
	}
}

func printFindings(cmd *cobra.Command, findings gen.Findings) {
	fmt.Fprintln(cmd.ErrOrStderr(), findings.Error())
	fmt.Fprintf(cmd.ErrOrStderr(), "pgaside: %d finding%s\n", len(findings), plural(len(findings)))
}
