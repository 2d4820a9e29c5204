package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const testdata = "../../internal/gen/testdata/"

// call runs the command line and returns its exit code and output.
func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	root := newRootCommand()
	var out, errs bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&errs)
	root.SetArgs(args)
	code = run(context.Background(), root)
	return code, out.String(), errs.String()
}

func project(name, out string) []string {
	dir := testdata + name
	return []string{"--repo", dir + "/repo", "--schema", dir + "/schema.sql", "--queries", dir + "/query.sql", "--out", out}
}

func TestGenerateAndCheck(t *testing.T) {
	t.Parallel()

	out := filepath.Join(t.TempDir(), "cached")
	args := project("single", out)
	if code, _, stderr := call(t, append([]string{"check"}, args...)...); code != 1 || !strings.Contains(stderr, "db.go: missing") ||
		!strings.Contains(stderr, "run pgaside generate") {
		t.Errorf("check before generate: exit code %d\n%s", code, stderr)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("check has written")
	}
	if code, stdout, stderr := call(t, append([]string{"generate"}, args...)...); code != 0 || !strings.Contains(stdout, "wrote "+filepath.Join(out, "db.go")) {
		t.Fatalf("generate: exit code %d\n%s%s", code, stdout, stderr)
	}
	if code, stdout, stderr := call(t, append([]string{"check"}, args...)...); code != 0 || stdout+stderr != "" {
		t.Errorf("check after generate: exit code %d\n%s%s", code, stdout, stderr)
	}
	if code, stdout, _ := call(t, append([]string{"generate"}, args...)...); code != 0 || stdout != "" {
		t.Errorf("generate again: exit code %d\n%s", code, stdout)
	}
}

func TestFindingsLeaveOutputAlone(t *testing.T) {
	t.Parallel()

	out := filepath.Join(t.TempDir(), "cached")
	for _, command := range []string{"generate", "check", "explain"} {
		code, stdout, stderr := call(t, append([]string{command}, project("refuse_writes", out)...)...)
		if code != 1 || stdout != "" || !strings.Contains(stderr, "ExecByOther changes rows of messages, which ListMessages reads") {
			t.Errorf("%s: exit code %d\n%s%s", command, code, stdout, stderr)
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("something is written in spite of findings")
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()

	want, err := os.ReadFile(testdata + "single/want/explain.txt")
	if err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := call(t, append([]string{"explain"}, project("single", "cached")...)...)
	if code != 0 || strings.ReplaceAll(stdout, testdata, "testdata/") != string(want) {
		t.Errorf("explain: exit code %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, stderr = call(t, append([]string{"explain", "RenameSession"}, project("single", "cached")...)...)
	if code != 0 || !strings.Contains(stdout, "session_list(result user_id)") {
		t.Errorf("explain RenameSession: exit code %d\n%s%s", code, stdout, stderr)
	}
	if code, _, stderr = call(t, append([]string{"explain", "Nothing"}, project("single", "cached")...)...); code != 2 || !strings.Contains(stderr, "no query Nothing") {
		t.Errorf("explain Nothing: exit code %d\n%s", code, stderr)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()

	for _, args := range [][]string{
		{"generate", "more"},
		{"generate", "--no-such-flag"},
		{"no-such-command"},
		{"generate", "--schema", "nowhere", "--repo", testdata + "single/repo"},
	} {
		if code, _, stderr := call(t, args...); code != 2 || stderr == "" {
			t.Errorf("pgaside %s: exit code %d, %q", strings.Join(args, " "), code, stderr)
		}
	}
}
