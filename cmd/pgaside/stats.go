package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgaside/pgaside/cache"
)

// newStatsCommand returns "pgaside stats".
func newStatsCommand() *cobra.Command {
	var o statsOptions
	var watch bool
	var every time.Duration
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Show the statistics of a running program, or what its Redis holds",
		Long: `Stats shows counts by group or by query, from a running program (--url), or what Redis holds by group: the number of keys, or
their memory, estimated from a sample. For the latter two it asks the Redis that the environment names (pgaside config), by a
bounded SCAN and MEMORY USAGE, never by KEYS.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(statsBy, o.by) {
				return fmt.Errorf("--by %s: it is one of %s", o.by, strings.Join(statsBy, ", "))
			}
			if watch && every < 100*time.Millisecond {
				return errors.New("--every: want 100ms or more")
			}
			out := cmd.OutOrStdout()
			for {
				var screen bytes.Buffer // whole, so that it does not flicker
				if err := o.show(cmd.Context(), &screen); err != nil {
					return err
				}
				if watch && newPainter(out).on && !o.asJSON {
					fmt.Fprint(out, "\x1b[H\x1b[2J")
				}
				if _, err := screen.WriteTo(out); err != nil || !watch {
					return err
				}
				select {
				case <-cmd.Context().Done():
					return nil
				case <-time.After(every):
				}
			}
		},
	}
	cmd.Flags().StringVar(&o.by, "by", "group", strings.Join(statsBy, ", "))
	cmd.Flags().StringVar(&o.url, "url", "http://"+defaultAddr, "the program's address, for group and query")
	cmd.Flags().BoolVar(&watch, "watch", false, "show it again and again, until interrupted")
	cmd.Flags().DurationVar(&every, "every", 2*time.Second, "with --watch: how often")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print one JSON document; with --watch, one each time")
	addNamespace(cmd, &o.namespace)
	return cmd
}

var statsBy = []string{"group", "query", "keys", "memory"}

type statsOptions struct {
	by, url, namespace string
	asJSON             bool
}

// show prints the statistics once.
func (o statsOptions) show(ctx context.Context, w io.Writer) error {
	if o.by == "keys" || o.by == "memory" {
		return o.survey(ctx, w)
	}
	var s cache.Stats
	if err := fetch(ctx, o.url, []byte(`{"action":"get_stats"}`), &s); err != nil {
		return err
	}
	if s.Since.IsZero() {
		return errors.New("what the program answers is not from package cache/httpcache")
	}
	if o.asJSON {
		return writeJSON(w, s)
	}
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	row := func(name string, q cache.QueryStats, more ...any) {
		fmt.Fprintf(t, "%s\t%d\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d", name, q.Reads(), percent(q.HitRate()),
			q.Hits, q.Negatives, q.Misses, q.Shared, q.Bypasses, q.Loads, q.Fills, q.FillsLost, q.NotStored)
		for _, m := range more {
			fmt.Fprintf(t, "\t%v", m)
		}
		fmt.Fprintln(t)
	}
	head := "\treads\thit rate\thits\tnegatives\tmisses\tshared\tbypasses\tloads\tfills\tlost\tnot stored"
	if o.by == "group" {
		fmt.Fprintln(t, "group"+head+"\tinvalidations")
	} else {
		fmt.Fprintln(t, "query"+head)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Groups)) {
		g := s.Groups[name]
		if o.by == "group" {
			row(name, g.Total(), g.Invalidations+g.GroupInvalidations)
			continue
		}
		for _, query := range slices.Sorted(maps.Keys(g.Queries)) {
			row(name+" "+query, g.Queries[query])
		}
	}
	return flush(t)
}

// survey prints what Redis holds.
func (o statsOptions) survey(ctx context.Context, w io.Writer) (err error) {
	c, err := openRedis(o.namespace)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	options := cache.SurveyOptions{}
	if o.by == "keys" {
		options.Sample = -1
	}
	s, err := c.Survey(ctx, options)
	if err != nil {
		return err
	}
	if o.asJSON {
		return writeJSON(w, s)
	}
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	names := slices.Sorted(maps.Keys(s.Groups))
	if o.by == "keys" {
		fmt.Fprintln(t, "group\tkeys")
		for _, name := range names {
			fmt.Fprintf(t, "%s\t%d\n", name, s.Groups[name].Keys)
		}
	} else {
		fmt.Fprintln(t, "group\tkeys\tmemory, about\ta key\tthe largest\tsampled")
		for _, name := range names {
			g := s.Groups[name]
			fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%d\n", name, g.Keys, size(g.EstimatedBytes()),
				size(g.SampledBytes/int64(max(1, g.Sampled))), size(g.LargestBytes), g.Sampled)
		}
	}
	if !s.Complete {
		fmt.Fprintln(t, "not all keys were looked at: there are more")
	}
	return flush(t)
}

func flush(t *tabwriter.Writer) error {
	if err := t.Flush(); err != nil {
		return fmt.Errorf("printing the table: %w", err)
	}
	return nil
}
