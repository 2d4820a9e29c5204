package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pgaside/pgaside/internal/gen"
)

// report prints the one JSON document of a command, for all packages.
func (f *projectFlags) report(cmd *cobra.Command, findings gen.Findings, files []gen.Difference) error {
	text, err := gen.Report{Findings: findings, Files: files, LeftOut: f.leftOut}.JSON()
	if err == nil {
		_, err = fmt.Fprint(cmd.OutOrStdout(), text)
	}
	return err
}

// found is errFound, unless what was found could not be printed.
func found(err error) error {
	if err != nil {
		return err
	}
	return errFound
}
