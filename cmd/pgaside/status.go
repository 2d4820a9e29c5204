package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/pgaside/pgaside/cache/httpcache"
)

// newStatusCommand returns "pgaside status".
func newStatusCommand() *cobra.Command {
	var url string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show on one screen how the cache of a running program is",
		Long: `Status asks a running program (pgaside serve, or one that mounts package cache/httpcache) how its cache is.

Exit code 0: healthy, or disabled on purpose. 1: degraded, everything is served. 2: Postgres is down, or nobody answers.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r httpcache.Report
			if err := fetch(cmd.Context(), url, nil, &r); err != nil {
				return err
			}
			if r.At.IsZero() {
				return errors.New("what the program answers is not from package cache/httpcache")
			}
			var err error
			if asJSON {
				err = writeJSON(cmd.OutOrStdout(), r)
			} else {
				err = printStatus(cmd.OutOrStdout(), r)
			}
			switch {
			case err != nil:
				return err
			case r.Status == httpcache.Down:
				return errors.New("the source is down")
			case r.Status == httpcache.Degraded:
				return errFound
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&url, "url", "http://"+defaultAddr, "the program's address")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func printStatus(w io.Writer, r httpcache.Report) error {
	p := newPainter(w)
	yes := func(on bool, word, otherwise string) string {
		if on {
			return p.paint("32", word)
		}
		return p.paint("31", otherwise)
	}
	fmt.Fprintf(w, "%s   hit rate %s since %s\n\n", p.state(string(r.Status)), percent(r.HitRate), r.Since.Format("2006-01-02 15:04:05"))
	fmt.Fprintf(w, "Redis     %s, %s", yes(r.Redis.Connected, "connected", "disconnected"), yes(r.Redis.Healthy, "healthy", "not healthy"))
	if r.Redis.Version != "" {
		fmt.Fprintf(w, ", %s, version %s, %s", r.Redis.Role, r.Redis.Version, size(r.Redis.MemoryUsed))
		if r.Redis.MemoryMax > 0 {
			fmt.Fprintf(w, " of %s", size(r.Redis.MemoryMax))
		}
		fmt.Fprintf(w, ", %s", r.Redis.EvictionPolicy)
	}
	if k := r.Redis.Keys; k != nil {
		least := ""
		if !k.Complete {
			least = "at least "
		}
		fmt.Fprintf(w, ", %s%d keys", least, k.Count)
	}
	fmt.Fprintf(w, "\nPostgres  %s\nBreaker   %s\nPending   %d\n\n", p.state(string(r.Source.State)), p.state(r.Breaker), r.Pending)
	// Colours would be counted as width: the tables have none.
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "group\tstatus\treads\thit rate\terrors\tinvalidations\tpending\tTTL\tmode")
	for _, name := range slices.Sorted(maps.Keys(r.Types)) {
		g := r.Types[name]
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%d\t%d\t%d\t%s\t%s\n", name, g.Status, g.Reads, percent(g.HitRate), g.Errors, g.Invalidations, g.Pending, g.TTL, g.Mode)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("printing the status: %w", err)
	}
	for i, text := range r.Problems() {
		if i == 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, p.paint("33", "! "+text))
	}
	return nil
}
