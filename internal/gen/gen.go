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
// writes Go, coding.go the functions that store results; map.go makes the map,
// explain.go and dot.go write it. place.go finds in the .sql file what was parsed
// elsewhere.
//
// Around them, config.go reads sqlc.yaml and pgaside.yaml, sqlfiles.go the files
// that these name, and stale.go compares them with what sqlc made of them;
// projects.go runs several packages, output.go writes all of their files or none;
// init.go proposes annotations, and uses.go what to change in the user's code.
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

// Options says where a project's parts are, and what the decorator is called.
type Options struct {
	// Repo is the directory of the package that sqlc wrote.
	//
	// Defaults to "repo".
	Repo string

	// Schema are .sql files, directories of migrations and patterns, as sqlc takes
	// them; *.down.sql are left out.
	//
	// Defaults to "db/migrations".
	Schema []string

	// Queries are the .sql files, directories and patterns that sqlc read.
	//
	// Defaults to "db/queries".
	Queries []string

	// Out is the directory to write.
	//
	// Defaults to "cached".
	Out string

	// Package is the name of the package to write.
	//
	// Defaults to the last element of Out.
	Package string

	// Interfaces is the pattern by which the interface of each query file is named;
	// {} stands for the file's name in the singular, as Go writes it. Off leaves
	// these interfaces out.
	//
	// Defaults to "{}Repository".
	Interfaces string

	// InterfaceNames names the interfaces of single query files, by the file's name
	// without ".sql".
	InterfaceNames map[string]string

	// Querier is the name of the interface with all queries. Where sqlc wrote one,
	// it is an alias of that and there is one only if it is named here.
	//
	// Defaults to "Querier".
	Querier string
}

// Off is the value of Options.Interfaces and Options.Querier that leaves them out.
const Off = "off"

func (o Options) withDefaults() Options {
	for _, f := range []struct {
		at  *string
		def string
	}{{&o.Repo, "repo"}, {&o.Out, "cached"}, {&o.Interfaces, "{}Repository"}} {
		if *f.at == "" {
			*f.at = f.def
		}
	}
	if len(o.Schema) == 0 {
		o.Schema = []string{"db/migrations"}
	}
	if len(o.Queries) == 0 {
		o.Queries = []string{"db/queries"}
	}
	if o.Package == "" {
		o.Package = packageName(o.Out)
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
	p, err := load(opts)
	if err != nil {
		return nil, err
	}
	p.derive()
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

// load reads a project's parts. A package that can't be read at all is Findings;
// what else is found stays with the project.
func load(opts Options) (*project, error) {
	opts = opts.withDefaults()
	p := &project{opts: opts}
	// loadSource waits for the go command most of its time. Without cgo, the
	// parser is compiled meanwhile.
	var ddl Findings
	var schemaErr error
	var schemaRead sync.WaitGroup
	schemaRead.Go(func() { p.schema, ddl, schemaErr = loadSchema(opts.Schema...) })
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
	return p, nil
}

func (p *project) derive() {
	p.deriveReads()
	p.deriveWrites()
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
