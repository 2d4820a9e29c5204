package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgaside/pgaside/cache/audit"
	"github.com/pgaside/pgaside/internal/demo"
)

// newAuditCommand returns "pgaside audit".
func newAuditCommand() *cobra.Command {
	var o demo.AuditOptions
	cmd := &cobra.Command{
		Use:   "audit [url]",
		Short: "Show what the auditor of a running program has found, or what an auditor is",
		Long: `Audit fetches the report of an auditor (package cache/audit) that a running program serves at a URL, and prints it. A
command of its own could not audit your program: what a cell should hold, only the program's queries know.

Without a URL it shows what an auditor does: it starts PostgreSQL and Redis, runs the model application with an auditor on,
which should find nothing, and then changes a row behind the cache's back, which it should find. It uses the servers that
PGASIDE_TEST_DATABASE_URL and PGASIDE_TEST_REDIS_URL name, if they are set, in a database and under keys of its own.

The exit status is 0 if nothing was found (but what was planted), 1 if a stale cell was, 2 if nothing could be said.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return fetchAudit(cmd.Context(), cmd.OutOrStdout(), args[0], o.JSON)
			}
			o.Out, o.Log = cmd.OutOrStdout(), cmd.ErrOrStderr()
			_, err := demo.Audit(cmd.Context(), o)
			if errors.Is(err, demo.ErrFindings) {
				return errFound
			}
			return err
		},
	}
	cmd.Flags().DurationVar(&o.For, "for", 10*time.Second, "without a URL: how long the model application runs before a row is changed")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 1, "without a URL: decides the data and the operations")
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print the result as one JSON document")
	return cmd
}

// maxReport bounds what is read of an answer: a report with a thousand findings is far smaller.
const maxReport = 4 << 20

// fetchAudit prints the report that a program serves.
func fetchAudit(ctx context.Context, out io.Writer, url string, asJSON bool) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("reading the URL: want http://host:port/path of an audit.Auditor: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("fetching the report: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("fetching the report: the program answers %s", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReport))
	if err != nil {
		return fmt.Errorf("fetching the report: %w", err)
	}
	report := audit.Report{}
	if err := json.Unmarshal(body, &report); err != nil || report.Since.IsZero() {
		return errors.New("what the program answers is no report of an audit.Auditor")
	}
	if asJSON {
		_, err = fmt.Fprintln(out, strings.TrimSpace(string(body)))
	} else {
		err = report.Print(out)
	}
	if err == nil && report.Stats.Stale > 0 {
		err = errFound
	}
	return err
}
