// Package gen reads what sqlc wrote, the queries' annotations and the schema,
// and writes the cached decorator: the same methods, answered from a cache where
// a query says @cache, and invalidated by every write that can change them.
//
// It never guesses. For each cached read, every table that it reads must be tied
// to the group's key by equalities; for each write, the key columns of the rows
// that it changes must be known from its arguments or its result. Where one of
// them is missing, there is a finding instead of code: the place, the read that
// would go stale, the reason, and what to write.
//
// The steps, one file each: schema.go reads the DDL, source.go the package of
// sqlc and the query files, annotation.go the annotations; scope.go finds the
// equalities of a statement, derive.go maps the cached reads, via.go reads their
// @via lines. write.go finds the keys of a write: statement.go and merge.go list
// the changes that it makes by itself, trigger.go and body.go those of triggers
// and functions, change.go takes the keys of a change and follows its cascades,
// lookup.go writes the queries that find what only the database knows. render.go
// writes Go, map.go and explain.go the map.
package gen

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
)

// Options says where a project's parts are.
type Options struct {
	// Repo is the directory of the package that sqlc wrote.
	//
	// Defaults to "repo".
	Repo string

	// Schema is a .sql file, or a directory of migrations in golang-migrate's
	// layout; *.down.sql are left out.
	//
	// Defaults to "db/migrations".
	Schema string

	// Queries is the .sql file or the directory that sqlc read.
	//
	// Defaults to "db/queries".
	Queries string

	// Out is the directory to write; its last element is the package's name.
	//
	// Defaults to "cached".
	Out string
}

func (o Options) withDefaults() Options {
	for _, f := range []struct {
		at  *string
		def string
	}{{&o.Repo, "repo"}, {&o.Schema, "db/migrations"}, {&o.Queries, "db/queries"}, {&o.Out, "cached"}} {
		if *f.at == "" {
			*f.at = f.def
		}
	}
	return o
}

// Result is a project that derives completely.
type Result struct {
	// Files are the generated files by name, relative to Options.Out.
	Files map[string][]byte

	p *project
}

// Run derives the map and the code. Its error is Findings when the project was
// read and can't be generated; then nothing may be written.
func Run(opts Options) (*Result, error) {
	opts = opts.withDefaults()
	p := &project{opts: opts}
	// loadSource waits for the go command most of its time. Without cgo, the
	// parser is compiled meanwhile.
	var ddl Findings
	var schemaErr error
	var schemaRead sync.WaitGroup
	schemaRead.Go(func() { p.schema, ddl, schemaErr = loadSchema(opts.Schema) })
	src, found, err := loadSource(opts.Repo, opts.Queries)
	schemaRead.Wait()
	if err = cmp.Or(schemaErr, err); err != nil {
		return nil, err
	}
	p.src, p.findings = src, slices.Concat(ddl, found)
	if p.src == nil {
		return nil, p.findings.sorted()
	}
	p.weak = append(p.weak, p.schema.opaque...)
	p.parseQueries()
	p.deriveReads()
	p.deriveWrites()
	if len(p.findings) > 0 {
		return nil, p.findings.sorted()
	}
	files, err := p.render()
	if err != nil {
		return nil, err
	}
	if len(p.findings) > 0 {
		return nil, p.findings.sorted()
	}
	return &Result{Files: files, p: p}, nil
}

// Difference is one file of the output directory that is not as generated.
type Difference struct {
	File string `json:"file"` // with the output directory
	What string `json:"what"` // "missing", "changed", "stale"
}

// Compare lists how the output directory differs from the result: files that are
// missing or changed, and files that pgaside wrote once and would not write now.
func (r *Result) Compare() ([]Difference, error) {
	out := r.p.opts.Out
	var diffs []Difference
	for name, want := range r.Files {
		have, err := os.ReadFile(filepath.Join(out, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			diffs = append(diffs, Difference{filepath.Join(out, name), "missing"})
		case err != nil:
			return nil, fmt.Errorf("compare %s: %w", out, err)
		case !bytes.HasPrefix(have, []byte(fileHeader)):
			return nil, fmt.Errorf("%s was not written by pgaside, and stands where it would write: move it away", filepath.Join(out, name))
		case !bytes.Equal(have, want):
			diffs = append(diffs, Difference{filepath.Join(out, name), "changed"})
		}
	}
	entries, err := os.ReadDir(out)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("compare %s: %w", out, err)
	}
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), ".go") || r.Files[e.Name()] != nil {
			continue
		}
		have, err := os.ReadFile(filepath.Join(out, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("compare %s: %w", out, err)
		}
		if bytes.HasPrefix(have, []byte(fileHeader)) {
			diffs = append(diffs, Difference{filepath.Join(out, e.Name()), "stale"})
		}
	}
	sort.Slice(diffs, func(i, j int) bool { return diffs[i].File < diffs[j].File })
	return diffs, nil
}

// Write makes the output directory what Compare would find nothing in. Files
// that are right already are not touched, nor is any file without pgaside's
// header. Each file is written beside its place and renamed into it.
func (r *Result) Write() ([]Difference, error) {
	diffs, err := r.Compare()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(r.p.opts.Out, 0o755); err != nil {
		return nil, fmt.Errorf("write %s: %w", r.p.opts.Out, err)
	}
	for _, d := range diffs {
		if d.What == "stale" {
			if err := os.Remove(d.File); err != nil {
				return nil, fmt.Errorf("remove what is no longer generated: %w", err)
			}
			continue
		}
		if err := replace(d.File, r.Files[filepath.Base(d.File)]); err != nil {
			return nil, fmt.Errorf("write %s: %w", d.File, err)
		}
	}
	return diffs, nil
}

func replace(name string, text []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), ".pgaside-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone already where all went well
	if _, err := tmp.Write(text); err != nil {
		return errors.Join(err, tmp.Close())
	}
	if err := errors.Join(tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}
