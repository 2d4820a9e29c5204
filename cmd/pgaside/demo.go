package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/pgaside/pgaside/internal/demo"
)

// newDemoCommand returns "pgaside demo" and, below it, the command that it runs as a second process.
func newDemoCommand() *cobra.Command {
	o := demo.Options{Peer: []string{"demo", "peer"}}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show on a real Postgres and Redis what the cache does and promises",
		Long: `Demo starts PostgreSQL and Redis, loads a therapy application's data, and plays five acts:

  (a) the same workload straight on Postgres and through the cache
  (b) read your writes, in two processes
  (c) the stale fill, staged, beside a naive cache
  (d) Redis is killed, and then frozen
  (e) a writer is killed between COMMIT and its last invalidation

Each act says what it proves and prints what it measured. Demo ends by itself in less than three minutes and leaves
nothing running. It uses the servers that PGASIDE_TEST_DATABASE_URL and PGASIDE_TEST_REDIS_URL name, if they are set, in
a database and under keys of its own.

The exit status is 0 if no read failed and none was stale, 1 otherwise, 2 if the demo could not be played. With --json the result is one document, whose
"hit_rate" and "db_queries_saved" are shares from 0 to 1.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Out, o.Log = cmd.OutOrStdout(), cmd.ErrOrStderr()
			o.Terminal = term.IsTerminal(int(os.Stderr.Fd()))
			_, err := demo.Run(cmd.Context(), o)
			if errors.Is(err, demo.ErrFindings) {
				return errFound // the result that was printed says what
			}
			return err
		},
	}
	cmd.Flags().Float64Var(&o.Scale, "scale", 1, "size of the data; 1 is about 20,000 users, 100,000 sessions, 1,000,000 messages")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 1, "decides the data and the operations")
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print the result as one JSON document")
	cmd.Flags().BoolVar(&o.Verbose, "verbose", false, "show what the cache logs")
	cmd.AddCommand(&cobra.Command{
		Use:    "peer",
		Short:  "The demo's second process",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return demo.Peer(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	})
	return cmd
}
