package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/integration/internal/proof"
)

// workshop is a directory inside the module, so that imports resolve, in which projects are generated and built.
type workshop struct {
	t    *testing.T
	dir  string
	path string // its import path

	sqlc, pgaside string // the commands, without the race detector: most of the time is theirs

	counts struct{ made, refused, invalid int } // queries
}

func newWorkshop(t *testing.T) *workshop {
	t.Helper()
	dir, err := os.MkdirTemp(".", "_proof-") // ./... leaves out what begins so
	require.NoError(t, err)
	t.Cleanup(func() {
		if os.Getenv("PGASIDE_TEST_KEEP") == "" {
			require.NoError(t, os.RemoveAll(dir))
		}
	})
	s := &workshop{t: t, dir: dir, path: "github.com/pgaside/pgaside/integration/" + filepath.Base(dir), sqlc: filepath.Join(t.TempDir(), "sqlc"), pgaside: filepath.Join(t.TempDir(), "pgaside")}
	s.run("..", "go", "build", "-modfile=tools/go.mod", "-o", s.sqlc, "github.com/sqlc-dev/sqlc/cmd/sqlc")
	s.run("..", "go", "build", "-buildvcs=false", "-o", s.pgaside, "./cmd/pgaside")
	return s
}

func (s *workshop) run(dir, name string, args ...string) {
	s.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(s.t, err, "%s %s\n%s", name, strings.Join(args, " "), out)
}

// generate writes projects, and drops queries until sqlc and the generator take them all.
func (s *workshop) generate(projects []*madeProject) {
	s.t.Helper()
	for _, p := range projects {
		s.counts.made += len(p.queries)
	}
	turn := make(chan *madeProject)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range 2 {
		wg.Go(func() {
			for p := range turn {
				invalid, refused, err := s.generateOne(p)
				mu.Lock()
				s.counts.invalid += invalid
				s.counts.refused += refused
				mu.Unlock()
				if err != nil {
					s.t.Errorf("%s: %v\n%s\n%s", p.name, err, p.schema(), p.text())
				}
			}
		})
	}
	for _, p := range projects {
		turn <- p
	}
	close(turn)
	wg.Wait()
	if s.t.Failed() {
		s.t.FailNow()
	}
}

var sqlcError = regexp.MustCompile(`query\.sql:(\d+):\d+: `)

func (s *workshop) generateOne(p *madeProject) (invalid, refused int, err error) {
	dir := filepath.Join(s.dir, p.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, 0, err
	}
	conf := "version: \"2\"\nsql:\n  - engine: postgresql\n    schema: schema.sql\n    queries: query.sql\n    gen:\n      go:\n        package: repo\n        out: repo\n" +
		"        sql_package: pgx/v5" + p.options
	for name, text := range map[string]string{"sqlc.yaml": conf, "schema.sql": p.schema()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return 0, 0, err
		}
	}
	for range 200 {
		text := p.text()
		if err := os.WriteFile(filepath.Join(dir, "query.sql"), []byte(text), 0o600); err != nil {
			return 0, 0, err
		}
		// sqlc leaves a file of which it has no more query.
		if err := os.RemoveAll(filepath.Join(dir, "repo")); err != nil {
			return 0, 0, err
		}
		cmd := exec.Command(s.sqlc, "generate")
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			bad := map[string]bool{}
			for _, m := range sqlcError.FindAllSubmatch(out, -1) {
				line, _ := strconv.Atoi(string(m[1]))
				bad[queryAt(text, line)] = true
			}
			if len(bad) == 0 {
				return 0, 0, fmt.Errorf("sqlc: %w\n%s", err, out)
			}
			invalid += p.drop(bad)
			continue
		}
		cmd = exec.Command(s.pgaside, "generate", "--schema", "schema.sql", "--queries", "query.sql")
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err == nil {
			return invalid, refused, nil
		}
		bad := p.accused(text, string(out))
		if cmd.ProcessState.ExitCode() != 1 || len(bad) == 0 {
			return 0, 0, fmt.Errorf("pgaside generate: %w\n%s", err, out)
		}
		refused += p.drop(bad)
	}
	return invalid, refused, errors.New("no end of findings")
}

// queryAt returns the query that stands at a line.
func queryAt(text string, line int) string {
	name := ""
	for i, l := range strings.Split(text, "\n") {
		if i >= line {
			break
		}
		if rest, ok := strings.CutPrefix(l, "-- name: "); ok {
			name, _, _ = strings.Cut(rest, " ")
		}
	}
	return name
}

func (p *madeProject) drop(names map[string]bool) int {
	before := len(p.queries)
	p.queries = slices.DeleteFunc(p.queries, func(q *madeQuery) bool { return names[q.name] })
	return before - len(p.queries)
}

var (
	finding     = regexp.MustCompile(`(?m)^query\.sql:(\d+):(?:\d+:)? (.*)$`)
	accusedRead = regexp.MustCompile(`which (\w+) reads`)
)

// accused chooses the queries to drop, so that few runs are needed: the reads that can't be cached, those that stand in the way
// of many writes, and the writes that stand in the way of the reads that are left.
func (p *madeProject) accused(text, findings string) map[string]bool {
	isRead, writes := map[string]bool{}, 0
	for _, q := range p.queries {
		if q.group != "" {
			isRead[q.name] = true
		} else {
			writes++
		}
	}
	bad := map[string]bool{}
	against := map[string]map[string]bool{} // by read, "" where the finding names none
	for _, m := range finding.FindAllStringSubmatch(findings, -1) {
		line, _ := strconv.Atoi(m[1])
		name, read := queryAt(text, line), ""
		if isRead[name] {
			bad[name] = true
			continue
		}
		if m := accusedRead.FindStringSubmatch(m[2]); m != nil {
			read = m[1]
		}
		if against[read] == nil {
			against[read] = map[string]bool{}
		}
		against[read][name] = true
	}
	for read, names := range against {
		if isRead[read] && 4*len(names) > writes {
			bad[read] = true
		}
	}
	for read, names := range against {
		for name := range names {
			if !bad[read] {
				bad[name] = true
			}
		}
	}
	return bad
}

// build compiles one program of the projects, and of what is added to it: decorators by name, each with the project whose
// repository it decorates.
func (s *workshop) build(program string, decorators map[string]string) string {
	s.t.Helper()
	var b strings.Builder
	b.WriteString("package main\n\nimport (\n\t\"github.com/pgaside/pgaside/cache/pgfence\"\n\t\"github.com/pgaside/pgaside/integration/internal/proof\"\n")
	names := sortedKeys(decorators)
	for _, name := range names {
		fmt.Fprintf(&b, "\t%s_cached \"%s/%s/cached\"\n\t%s_repo \"%s/%s/repo\"\n", name, s.path, name, name, s.path, decorators[name])
	}
	b.WriteString(")\n\nfunc main() {\n")
	for _, name := range names {
		fmt.Fprintf(&b, "\tproof.Register(%q, %s_cached.New, func(db pgfence.DBTX) any { return %s_repo.New(db) })\n", name, name, name)
	}
	b.WriteString("\tproof.Main()\n}\n")
	dir := filepath.Join(s.dir, program)
	require.NoError(s.t, os.MkdirAll(dir, 0o755))
	require.NoError(s.t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(b.String()), 0o600))
	out, err := filepath.Abs(filepath.Join(dir, program))
	require.NoError(s.t, err)
	s.run(".", "go", "build", "-buildvcs=false", "-o", out, "./"+dir)
	return out
}

// plan makes what a decorator is told to do, on a database of its own.
func (s *workshop) plan(ctx context.Context, p *madeProject, name string, seed, stream uint64, writes int) proof.Project {
	s.t.Helper()
	database := fmt.Sprintf("pgaside_proof_%d_%d", os.Getpid(), worldSeq.Add(1))
	_, err := admin.Exec(ctx, "create database "+database)
	require.NoError(s.t, err)
	s.t.Cleanup(func() {
		_, err := admin.Exec(context.Background(), "drop database "+database+" with (force)")
		require.NoError(s.t, err)
	})
	url := databaseURL(postgres.URL(), database)
	executeSQL(ctx, s.t, url, p.schema())
	out := proof.Project{
		Name: name, Seed: seed, Stream: stream, Enough: writes, Database: url, Redis: shared.URL(), Namespace: shared.Namespace() + database,
	}
	for _, q := range p.queries {
		if q.group != "" {
			out.Reads = append(out.Reads, proof.Read{
				Name: q.name, Kind: q.kind, Group: q.group, Ordered: q.ordered || q.cmd == ":one",
			})
		} else {
			out.Writes = append(out.Writes, proof.Write{Name: q.name, Kind: q.kind})
		}
	}
	return out
}

// tell runs a program with a plan.
func (s *workshop) tell(program string, plan proof.Plan) []*proof.Report {
	s.t.Helper()
	in, err := json.Marshal(plan)
	require.NoError(s.t, err)
	cmd := exec.CommandContext(s.t.Context(), program)
	cmd.Stdin = bytes.NewReader(in)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	require.NoError(s.t, cmd.Run(), "%s", &stderr)
	var reports []*proof.Report
	require.NoError(s.t, json.Unmarshal(stdout.Bytes(), &reports), "%s", &stderr)
	return reports
}

// streamOf gives each project of a seed random numbers of its own.
func streamOf(seed, stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, stream)) }
