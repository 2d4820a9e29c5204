package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgaside/pgaside/internal/gen"
)

func newInitCommand() *cobra.Command {
	var (
		project projectFlags
		write   bool
	)
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Propose @cache lines for a project of sqlc, and the change to your code",
		Long: `Looks at every query for reads that could be cached: by a primary key, a unique key or a foreign key, one by one or by
= ANY. Each line is tried by the derivation of generate; those under which the whole project can be generated are proposed,
the others are shown with what would have to be mended. Then it lists the places of your code that use sqlc's package, and
what to write there.

Nothing is written without --write, which adds the proposed lines below the names of their queries.

With --json, the proposals with their problems, the places and the project's own findings are one JSON document on standard
output: {"findings": […], "packages": […], "written": […], "left_out": […]}.

Exit code 0: done, also if there is nothing to propose. 1: the project has findings as it is. 2: usage, or files that can't be
read or written.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			projects, err := project.projects(cmd)
			if err != nil {
				return err
			}
			var (
				plans    []*gen.Plan
				findings gen.Findings
			)
			for _, opts := range projects {
				plan, err := gen.Propose(opts)
				var these gen.Findings
				if errors.As(err, &these) {
					findings = append(findings, these...)
					continue
				}
				if err != nil {
					return err
				}
				plans = append(plans, plan)
			}
			if len(findings) > 0 {
				if project.asJSON {
					return found(printPlansJSON(cmd.OutOrStdout(), nil, nil, findings, project.leftOut))
				}
				printFindings(cmd, findings)
				return errFound
			}
			var written []string
			if write {
				if written, err = gen.WriteProposals(plans); err != nil {
					return err
				}
			}
			if project.asJSON {
				return printPlansJSON(cmd.OutOrStdout(), plans, written, nil, project.leftOut)
			}
			printPlans(cmd.OutOrStdout(), plans, write)
			return nil
		},
	}
	project.add(cmd)
	cmd.Flags().BoolVar(&write, "write", false, "add the proposed lines to the .sql files")
	project.addJSON(cmd, "print one JSON document")
	return cmd
}

func printPlans(w io.Writer, plans []*gen.Plan, written bool) {
	proposed := 0
	for i, plan := range plans {
		if len(plans) > 1 {
			if i > 0 {
				fmt.Fprintln(w)
			}
			fmt.Fprintf(w, "package %s\n\n", plan.Options.Repo)
		}
		proposed += printProposals(w, plan)
		if plan.Cached > 0 || len(plan.Proposals) > 0 {
			printUses(w, plan)
		}
	}
	switch {
	case proposed == 0:
		fmt.Fprintln(w, "nothing is proposed")
	case written:
		fmt.Fprintf(w, "wrote %d line%s; now run sqlc generate and pgaside generate\n", proposed, plural(proposed))
	default:
		fmt.Fprintf(w, "pgaside init --write adds the %d line%s marked +; then run sqlc generate and pgaside generate\n", proposed, plural(proposed))
	}
}

// printProposals returns how many lines are proposed.
func printProposals(w io.Writer, plan *gen.Plan) int {
	n := 0
	if plan.Cached > 0 {
		fmt.Fprintf(w, "%d read%s cached already\n\n", plan.Cached, map[bool]string{true: " is", false: "s are"}[plan.Cached == 1])
	}
	for _, p := range plan.Proposals {
		if len(p.Problems) == 0 {
			n++
			fmt.Fprintf(w, "%s: %s\n  + %s\n", p.Pos, p.Query, p.Line)
		}
	}
	if n > 0 {
		fmt.Fprintln(w)
	}
	if n == len(plan.Proposals) {
		return n
	}
	fmt.Fprint(w, "these could be cached, too, but for what stands below them:\n\n")
	for _, p := range plan.Proposals {
		if len(p.Problems) > 0 {
			fmt.Fprintf(w, "%s: %s\n  # %s\n", p.Pos, p.Query, p.Line)
			fmt.Fprintf(w, "    %s\n\n", strings.ReplaceAll(p.Problems.Error(), "\n", "\n    "))
		}
	}
	return n
}

func printUses(w io.Writer, plan *gen.Plan) {
	const open = `c, err := cache.Open(os.Getenv("REDIS_URL"), cache.Options{Namespace: "myapp"})   // once for the program`
	fmt.Fprintf(w, "in your code, with %s\n\n", open)
	if len(plan.Uses) == 0 {
		fmt.Fprintf(w, "  q := repo.New(pool)\n    → q := %s.New(pool, c)\n", plan.Options.Package)
	}
	for _, u := range plan.Uses {
		fmt.Fprintf(w, "  %s: %s\n    → %s\n", u.Pos, u.Have, u.Want)
	}
	fmt.Fprintln(w)
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

type (
	initDocument struct {
		Findings gen.Findings  `json:"findings"` // of the project as it is; then there is nothing else
		Packages []initPackage `json:"packages"`
		Written  []string      `json:"written"` // files
		LeftOut  []gen.Skipped `json:"left_out"`
	}
	initPackage struct {
		Repo      string         `json:"repo"`
		Out       string         `json:"out"`
		Cached    int            `json:"cached"` // reads that say @cache already
		Proposals []initProposal `json:"proposals"`
		Code      []initUse      `json:"code"`
	}
	initProposal struct {
		Query string `json:"query"`
		gen.Position
		Cache    string       `json:"annotation"`
		Problems gen.Findings `json:"problems"` // none: it is proposed
	}
	initUse struct {
		gen.Position
		Kind string `json:"kind"`
		Have string `json:"have"`
		Want string `json:"want"`
	}
)

func printPlansJSON(w io.Writer, plans []*gen.Plan, written []string, findings gen.Findings, leftOut []gen.Skipped) error {
	doc := initDocument{
		Findings: append(gen.Findings{}, findings...), Packages: []initPackage{}, Written: append([]string{}, written...),
		LeftOut: append([]gen.Skipped{}, leftOut...),
	}
	for _, plan := range plans {
		p := initPackage{Repo: plan.Options.Repo, Out: plan.Options.Out, Cached: plan.Cached, Proposals: []initProposal{}, Code: []initUse{}}
		for _, pr := range plan.Proposals {
			p.Proposals = append(p.Proposals, initProposal{pr.Query, pr.Pos, pr.Line, append(gen.Findings{}, pr.Problems...)})
		}
		for _, u := range plan.Uses {
			p.Code = append(p.Code, initUse{u.Pos, u.Kind, u.Have, u.Want})
		}
		doc.Packages = append(doc.Packages, p)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(doc)
}
