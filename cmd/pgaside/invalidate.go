package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgaside/pgaside/cache"
)

// keyHelp says how keys are written on a command line.
const keyHelp = `A key is written as it stands in Redis between the group's name and the brace: the parts joined by ':', uuids in lower case, and
bytes other than letters, digits and _ . - as %XX. It is the one that "session:" precedes in therapist:{session:<key>}.`

// invalidation is what "pgaside invalidate --json" prints.
type invalidation struct {
	Group string `json:"group"`
	Keys  int    `json:"keys"` // 0 = the whole group

	// Held is how many of the keys, or how many keys of the group, were in Redis before. -1 = it could not be told.
	Held int `json:"held"`
}

// newInvalidateCommand returns "pgaside invalidate".
func newInvalidateCommand() *cobra.Command {
	var all, asJSON bool
	var namespace string
	cmd := &cobra.Command{
		Use:   "invalidate <group> [key…]",
		Short: "Void keys of a group, or all of it, in Redis",
		Long: `Invalidate voids keys in the Redis that the environment names (pgaside config), as the engine does: fences of writers stay, and
no program that is loading one of them can store what it has. With --all the group changes its epoch; running programs notice
within two seconds.

` + keyHelp + `

Exit code 0: Redis has acknowledged it. 1: it has, but with --all there was nothing in the group: is the name right? 2: it has
not, and nothing is promised.`,
		Example: `  pgaside invalidate session 8b1c5e52-3f0c-4a52-9a40-0d8f3f2f9d7c
  pgaside invalidate report 8b1c…:5f07…
  pgaside invalidate prompt --all`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if all == (len(args) > 1) {
				return errors.New("want keys, or --all for the whole group")
			}
			group, err := cache.NamedGroup(args[0])
			if err != nil {
				return err
			}
			keys := make([]cache.Key, len(args)-1)
			for i, text := range args[1:] {
				if keys[i], err = cache.ParseKey(group, text); err != nil {
					return err
				}
			}
			c, err := openRedis(namespace)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, c.Close()) }()
			ctx, out := cmd.Context(), invalidation{Group: group.Name(), Keys: len(keys)}
			var others []string
			if all {
				survey, surveyErr := c.Survey(ctx, cache.SurveyOptions{Sample: -1})
				out.Held = int(survey.Groups[group.Name()].Keys)
				others = slices.Sorted(maps.Keys(survey.Groups))
				if surveyErr != nil || out.Held == 0 && !survey.Complete {
					out.Held = -1
				}
				err = c.InvalidateGroup(ctx, group)
			} else {
				for _, k := range keys {
					in, inspectErr := c.Inspect(ctx, k, false)
					if inspectErr != nil {
						out.Held = -1
						break
					}
					if in.Exists {
						out.Held++
					}
				}
				err = c.Invalidate(ctx, keys...)
			}
			if err != nil {
				// It would be retried for as long as this process lives, which ends here.
				return fmt.Errorf("Redis has not acknowledged it, and nothing is promised: %w", err)
			}
			held := fmt.Sprintf("%d held something", out.Held)
			if out.Held < 0 {
				held = "what they held could not be told"
			}
			switch {
			case asJSON:
				err = writeJSON(cmd.OutOrStdout(), out)
			case all:
				fmt.Fprintf(cmd.OutOrStdout(), "group %s is void; of its keys, %s\n", out.Group, held)
			default:
				fmt.Fprintf(cmd.OutOrStdout(), "%d keys of group %s are void; %s\n", out.Keys, out.Group, held)
			}
			if err == nil && all && out.Held == 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "nothing is cached in group %s of namespace %s; there are: %s\n", out.Group, c.Namespace(), strings.Join(others, ", "))
				return errFound
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "the whole group")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	addNamespace(cmd, &namespace)
	return cmd
}
