package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgaside/pgaside/cache"
)

// newInspectCommand returns "pgaside inspect".
func newInspectCommand() *cobra.Command {
	var reveal, asJSON bool
	var namespace string
	cmd := &cobra.Command{
		Use:   "inspect <group> <key>",
		Short: "Show what Redis holds under a key: cells, leases and fences",
		Long: `Inspect shows what the Redis that the environment names (pgaside config) holds under one key, and what a reader would make of
it, and changes nothing. Arguments and payloads are shown with --reveal only: they are somebody's data.

` + keyHelp + `

A cell is a value, negative (a cached "no row"), a lease (somebody is loading it), old (of an epoch that is over), or refused
(damaged, or of another format); the last two are misses. While a fence is live, a write is under way and nothing is served.

Exit code 0: there is something. 1: there is nothing. 2: Redis can't be asked.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			group, err := cache.NamedGroup(args[0])
			if err != nil {
				return err
			}
			key, err := cache.ParseKey(group, args[1])
			if err != nil {
				return err
			}
			c, err := openRedis(namespace)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, c.Close()) }()
			in, err := c.Inspect(cmd.Context(), key, reveal)
			if err != nil {
				return err
			}
			if asJSON {
				err = writeJSON(cmd.OutOrStdout(), in)
			} else {
				err = printInspection(cmd.OutOrStdout(), in, reveal)
			}
			if err == nil && !in.Exists {
				return errFound
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&reveal, "reveal", false, "show arguments and payloads, which are somebody's data")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document; payloads are in base64")
	addNamespace(cmd, &namespace)
	return cmd
}

func printInspection(w io.Writer, in cache.Inspection, reveal bool) error {
	if !in.Exists {
		_, err := fmt.Fprintln(w, "nothing is cached under this key")
		return err
	}
	ms := func(n int64) string { return (time.Duration(n) * time.Millisecond).String() }
	fixed := "not fixed by a fill yet"
	if in.TTLFixed {
		fixed = "fixed by the first fill"
	}
	fmt.Fprintf(w, "TTL left  %s, %s\n", ms(in.TTLMS), fixed)
	fmt.Fprintf(w, "fences    %d\n", len(in.Fences))
	for _, f := range in.Fences {
		fmt.Fprintf(w, "  a write under way, or a writer that died: %s left\n", ms(f.LeftMS))
	}
	if len(in.Cells) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "query\tshape\targuments\tstate\tage\tlease left\tstored")
	for _, c := range in.Cells {
		args, age, left, stored := "none", "", "", size(int64(c.Bytes))
		switch {
		case c.Args != "":
			args = c.Args
		case c.HasArgs:
			args = "hidden"
		}
		if c.State == cache.CellLease {
			left, stored = ms(c.LeftMS), ""
		} else if c.State != cache.CellRefused {
			age = ms(c.AgeMS)
		}
		if c.Compressed {
			stored += ", compressed"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.Query, c.Shape, args, c.State, age, left, stored)
	}
	if err := flush(t); err != nil {
		return err
	}
	if !reveal {
		return nil
	}
	for _, c := range in.Cells {
		switch {
		case c.Payload == nil:
		case json.Valid(c.Payload):
			fmt.Fprintf(w, "\n%s %s\n%s\n", c.Query, c.Args, c.Payload)
		default:
			fmt.Fprintf(w, "\n%s %s\n%x\n", c.Query, c.Args, c.Payload)
		}
	}
	return nil
}
