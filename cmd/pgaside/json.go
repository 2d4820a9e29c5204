package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pgaside/pgaside/internal/gen"
)

// addJSONFlag adds the flag by which a command speaks to an editor: one JSON
// document on standard output, and nothing on standard error.
func addJSONFlag(cmd *cobra.Command, asJSON *bool, what string) {
	cmd.Flags().BoolVar(asJSON, "json", false, what)
}

func printReport(cmd *cobra.Command, r gen.Report) error {
	text, err := r.JSON()
	if err == nil {
		_, err = fmt.Fprint(cmd.OutOrStdout(), text)
	}
	return err
}
