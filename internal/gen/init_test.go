package gen

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// unannotated copies a case and takes its annotations away; sqlc's package stays
// the same but for comments.
func unannotated(t *testing.T, name string) Options {
	t.Helper()
	opts := copyCase(t, name)
	text, err := os.ReadFile(opts.Queries[0])
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.SplitAfterSeq(string(text), "\n") {
		if !strings.HasPrefix(line, "-- @") {
			b.WriteString(line)
		}
	}
	if err := os.WriteFile(opts.Queries[0], []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return opts
}

func sortedOut(plan *Plan) (good, bad map[string]string) {
	good, bad = map[string]string{}, map[string]string{}
	for _, p := range plan.Proposals {
		if len(p.Problems) == 0 {
			good[p.Query] = p.Line
		} else {
			bad[p.Query] = p.Line
		}
	}
	return good, bad
}

func TestPropose(t *testing.T) {
	t.Parallel()

	opts := unannotated(t, "init")
	plan, err := Propose(opts)
	if err != nil {
		t.Fatal(err)
	}
	good, bad := sortedOut(plan)
	if diff := cmp.Diff(map[string]string{
		"GetAuthor":        "-- @cache author(id) ttl=30m",
		"ListAuthorsByIDs": "-- @cache author(ids)",
		"GetAuthorByEmail": "-- @cache author_by_email(email) ttl=30m",
		"GetBook":          "-- @cache book(id) ttl=30m",
		"GetBookOfAuthor":  "-- @cache book(id)",
		"GetPrice":         "-- @cache price_by_book_and_country(book_id, country) ttl=30m",
	}, good); diff != "" {
		t.Errorf("proposals (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"ListBooks": "-- @cache book_by_author(author_id) ttl=5m"}, bad); diff != "" {
		t.Errorf("proposals with problems (-want +got):\n%s", diff)
	}
	for _, p := range plan.Proposals {
		if p.Query == "ListBooks" && !strings.Contains(p.Problems.Error(), "RenameBook changes rows of books, which ListBooks reads") {
			t.Errorf("problems of ListBooks:\n%s", p.Problems.Error())
		}
	}

	// Written, they are what generate takes; a second run changes nothing.
	before, err := os.ReadFile(opts.Queries[0])
	if err != nil {
		t.Fatal(err)
	}
	files, err := WriteProposals([]*Plan{plan, plan})
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	after, err := os.ReadFile(opts.Queries[0])
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(after), "-- @cache"); n != len(good) {
		t.Errorf("%d lines are written, want %d", n, len(good))
	}
	var rest strings.Builder
	for line := range strings.SplitAfterSeq(string(after), "\n") {
		if !strings.HasPrefix(line, "-- @cache") {
			rest.WriteString(line)
		}
	}
	if rest.String() != string(before) {
		t.Error("other bytes have changed")
	}
	if _, err := Run(opts); err != nil {
		t.Errorf("Run after WriteProposals: %v", err)
	}
	if plan, err = Propose(opts); err != nil {
		t.Fatal(err)
	}
	if good, _ := sortedOut(plan); len(good) > 0 || plan.Cached != 6 {
		t.Errorf("a second run proposes %v; %d reads are cached", good, plan.Cached)
	}
	if files, err := WriteProposals([]*Plan{plan}); err != nil || len(files) > 0 {
		t.Errorf("a second run writes %v, %v", files, err)
	}
}

// TestProposedLinesDerive checks that Run takes what is proposed for whole
// applications.
func TestProposedLinesDerive(t *testing.T) {
	t.Parallel()

	for _, name := range []string{"app_chat", "app_jobs", "app_ledger", "app_saas", "app_shop", "db_argument", "triggers"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			opts := unannotated(t, name)
			plan, err := Propose(opts)
			if err != nil {
				t.Fatal(err)
			}
			good, _ := sortedOut(plan)
			if len(good) == 0 {
				t.Error("nothing is proposed")
			}
			if _, err := WriteProposals([]*Plan{plan}); err != nil {
				t.Fatal(err)
			}
			res, err := Run(opts)
			if err != nil {
				t.Fatal(err)
			}
			if len(res.p.reads) != len(good) {
				t.Errorf("%d reads are cached, and %d were proposed", len(res.p.reads), len(good))
			}
		})
	}
}

// TestProposeJoinsGroups checks that a partly annotated project keeps its own groups.
func TestProposeJoinsGroups(t *testing.T) {
	t.Parallel()

	opts := unannotated(t, "init")
	edit(t, opts.Queries[0], "-- name: GetAuthor :one\n", "-- name: GetAuthor :one\n-- @cache writer(id) ttl=1h\n")
	plan, err := Propose(opts)
	if err != nil {
		t.Fatal(err)
	}
	good, _ := sortedOut(plan)
	if good["ListAuthorsByIDs"] != "-- @cache writer(ids)" || good["GetAuthor"] != "" {
		t.Errorf("proposals: %v", good)
	}
}

func TestProposeKeepsBytes(t *testing.T) {
	t.Parallel()

	opts := unannotated(t, "init")
	text, err := os.ReadFile(opts.Queries[0])
	if err != nil {
		t.Fatal(err)
	}
	windows := byteOrderMark + strings.ReplaceAll(string(text), "\n", "\r\n")
	if err := errors.Join(os.WriteFile(opts.Queries[0], []byte(windows), 0o644), os.Chmod(opts.Queries[0], 0o600)); err != nil {
		t.Fatal(err)
	}
	plan, err := Propose(opts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := WriteProposals([]*Plan{plan}); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(opts.Queries[0])
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(after), byteOrderMark) || strings.Count(string(after), "\n") != strings.Count(string(after), "\r\n") {
		t.Error("the byte order mark or the line ends are not as they were")
	}
	if info, err := os.Stat(opts.Queries[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the mode of the file has changed: %v, %v", info.Mode(), err)
	}
	if _, err := Run(opts); err != nil {
		t.Error(err)
	}
}

func TestProposeNeedsSoundProject(t *testing.T) {
	t.Parallel()

	opts := copyCase(t, "refuse_writes")
	if _, err := Propose(opts); !errors.As(err, new(Findings)) {
		t.Errorf("Propose = %v, want the project's findings", err)
	}
}

func TestUses(t *testing.T) {
	t.Parallel()

	opts := unannotated(t, "init")
	dir := filepath.Dir(opts.Repo)
	repo := "github.com/pgaside/pgaside/internal/gen/" + filepath.ToSlash(opts.Repo)
	for name, text := range map[string]string{
		"web/handler.go": "package web\n\nimport db \"" + repo + "\"\n\ntype handler struct{ q *db.Queries }\n\n" +
			"func (h *handler) get() { _, _ = h.q.GetAuthor(nil, 1) }\n",
		"job/job.go": "package job\n\nimport \"" + repo + "\"\n\nfunc Run(q *repo.Queries) { q.GetAuthor(nil, 1); q.WithTx(tx).GetBook(nil, 1) }\n" +
			"func broken( {\n",
		"main.go":        "package main\n\nimport \"" + repo + "\"\n\nfunc main() { q := repo.New(pool); _ = repo.New(tx); _ = q }\n",
		"main_test.go":   "package main\n\nimport \"" + repo + "\"\n\nvar q = repo.New(nil)\n",
		"dbarg/main.go":  "package main\n\nimport \"" + repo + "\"\n\nvar q = repo.New()\n",
		"other/other.go": "package other\n\nfunc f(q interface{ WithTx(int) int }) { q.WithTx(1) }\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p, err := load(Options{Repo: opts.Repo, Schema: opts.Schema, Queries: opts.Queries, Out: opts.Out})
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	uses, err := p.usesBelow(root)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, u := range uses {
		rel, err := filepath.Rel(dir, u.Pos.File)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, Position{File: filepath.ToSlash(rel), Line: u.Pos.Line}.String()+" "+u.Have+" → "+u.Want)
	}
	want := []string{
		"dbarg/main.go:5 repo.New() → cached.New(pool, c)",
		"job/job.go:5 *repo.Queries → *cached.Queries",
		"job/job.go:5 q.WithTx(tx) → begin it by q.Begin(ctx), or use q.InTx(ctx, pgx.TxOptions{}, func(q *cached.Queries) error { … })",
		"main.go:5 repo.New(pool) → cached.New(pool, c)",
		"main.go:5 repo.New(tx) → q.WithTx(tx), where q is cached.New(pool, c) and began it",
		"web/handler.go:5 *db.Queries → cached.QueryRepository",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("uses (-want +got):\n%s", diff)
	}
}

func edit(t *testing.T, file, old, text string) {
	t.Helper()
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(have), old) {
		t.Fatalf("%s has no %q", file, old)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(have), old, text, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}
