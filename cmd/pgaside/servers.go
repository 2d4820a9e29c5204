package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/pgaside/pgaside/internal/servers"
)

// newServersCommand is "pgaside servers": PostgreSQL and Redis for development,
// from the programs that are installed here.
func newServersCommand() *cobra.Command {
	var d servers.Dev
	cmd := &cobra.Command{
		Use:   "servers",
		Short: "Start and stop a local PostgreSQL and Redis for development",
		Long: `Start and stop a PostgreSQL and a Redis for development, from the programs
installed on this machine. They listen on 127.0.0.1 only and go on in the
background until "pgaside servers down". PostgreSQL's data and both logs are
kept in .pgaside in the working directory.`,
		Args: cobra.NoArgs,
	}
	cmd.PersistentFlags().StringVar(&d.Dir, "dir", ".pgaside", "directory for the state, the data and the logs")

	up := &cobra.Command{
		Use:   "up",
		Short: "Start both servers and print their addresses as export lines",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := d.Up(cmd.Context())
			if err != nil {
				return err
			}
			for _, s := range list {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s runs (pid %d, log %s)\n", s.Name, s.PID, s.Log)
			}
			printExports(cmd.OutOrStdout(), list)
			return nil
		},
	}
	up.Flags().IntVar(&d.PostgresPort, "postgres-port", 0, "first port to try for PostgreSQL (default: the last one, else 5432)")
	up.Flags().IntVar(&d.RedisPort, "redis-port", 0, "first port to try for Redis (default: the last one, else 6379)")

	down := &cobra.Command{
		Use:   "down",
		Short: "Stop the servers that up started",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ended, err := d.Down(cmd.Context())
			for _, s := range ended {
				fmt.Fprintf(cmd.OutOrStdout(), "%s (pid %d) has ended\n", s.Name, s.PID)
			}
			if err == nil && len(ended) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "nothing runs")
			}
			return err
		},
	}

	status := &cobra.Command{
		Use:   "status",
		Short: "Tell which of the servers run, and where",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := d.Status()
			if err != nil {
				return err
			}
			var running []servers.DevServer
			for _, s := range list {
				if !s.Running() {
					fmt.Fprintf(cmd.ErrOrStderr(), "%s does not run\n", s.Name)
					continue
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "%s runs (pid %d, log %s)\n", s.Name, s.PID, s.Log)
				running = append(running, s)
			}
			printExports(cmd.OutOrStdout(), running)
			return nil
		},
	}

	cmd.AddCommand(up, down, status)
	return cmd
}

// printExports writes the addresses so that a shell can evaluate them. They hold
// no character that a shell would take for anything else inside the quotes.
func printExports(w io.Writer, list []servers.DevServer) {
	names := map[string]string{"PostgreSQL": "DATABASE_URL", "Redis": "REDIS_URL"}
	for _, s := range list {
		fmt.Fprintf(w, "export %s='%s'\n", names[s.Name], s.URL)
	}
}
