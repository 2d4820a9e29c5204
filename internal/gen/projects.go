package gen

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Results are the packages of one run.
type Results []*Result

// Skipped is a package that a run leaves out, and why.
type Skipped struct {
	Name string `json:"name"` // its directory, or its place in sqlc.yaml
	Why  string `json:"why"`
}

// RunAll is Run for several packages: the findings of all of them come at once. A
// package none of whose queries is annotated is skipped, unless that goes for all.
func RunAll(projects []Options) (Results, []Skipped, error) {
	var (
		results  Results
		skipped  []Skipped
		findings Findings
	)
	for _, opts := range projects {
		opts = opts.withDefaults()
		annotated, err := hasAnnotations(opts.Queries)
		if err != nil {
			return nil, nil, err
		}
		if !annotated {
			if f := nothingToCache(opts, len(projects) == 1); f != nil {
				findings = append(findings, f)
			} else {
				skipped = append(skipped, Skipped{Name: opts.Repo, Why: "no query says @cache"})
			}
			continue
		}
		res, err := Run(opts)
		var found Findings
		switch {
		case errors.As(err, &found):
			findings = append(findings, found...)
		case err != nil:
			return nil, nil, err
		case len(res.p.reads) == 0:
			findings = append(findings, nothingToCache(opts, true))
		default:
			results = append(results, res)
		}
	}
	if len(results) == 0 && len(findings) == 0 { // skipping all of them is no success
		for _, opts := range projects {
			findings = append(findings, nothingToCache(opts.withDefaults(), true))
		}
		skipped = nil
	}
	if len(findings) > 0 {
		return nil, skipped, findings.sorted()
	}
	return results, skipped, nil
}

// nothingToCache is the finding for a package without @cache, if there is to be
// one: it may be skipped in silence only where no decorator is left behind.
func nothingToCache(opts Options, only bool) *Finding {
	mend := []string{"pgaside init  (proposes the lines)", cacheForm + "  below -- name: of a read that is worth it"}
	pos := Position{File: opts.Repo}
	files, err := filepath.Glob(filepath.Join(opts.Out, "*.go"))
	left := err == nil && slices.ContainsFunc(files, func(file string) bool {
		text, err := os.ReadFile(file)
		return err == nil && strings.HasPrefix(string(text), fileHeader)
	})
	switch {
	case left:
		return &Finding{
			Pos: pos, Msg: fmt.Sprintf("there is nothing to cache: no query says @cache, and %s still has the decorator of queries that did", opts.Out),
			Mend: append([]string{"remove " + opts.Out}, mend...),
		}
	case only:
		return &Finding{Pos: pos, Msg: "there is nothing to cache: no query says @cache", Mend: mend}
	}
	return nil
}

// hasAnnotations reports whether some query has an annotation, well formed or not.
func hasAnnotations(queries []string) (bool, error) {
	located, findings, err := locate(queries)
	if err != nil || len(findings) > 0 {
		return true, err // Run tells what is wrong
	}
	for _, l := range located {
		notes, found := parseAnnotations(l.comments)
		if notes.cache != nil || notes.volatileOK != nil || len(notes.staleOK)+len(notes.invalidates)+len(notes.via)+len(found) > 0 {
			return true, nil
		}
	}
	return false, nil
}

// Compare is Result.Compare for all packages.
func (rs Results) Compare() ([]Difference, error) {
	var all []Difference
	for _, r := range rs {
		diffs, err := r.Compare()
		if err != nil {
			return nil, err
		}
		all = append(all, diffs...)
	}
	return all, nil
}
