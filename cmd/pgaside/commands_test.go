package main

import (
	"bytes"
	"context"
	"encoding/json"
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

// report is what an editor reads of generate and check, written down once more:
// its names are a promise.
type report struct {
	Findings []finding
	Files    []struct{ File, What string }
	LeftOut  []struct{ Name, Why string } `json:"left_out"`
}

type finding struct {
	File   string
	Line   int
	Column int
	Query  string
	Group  string
	Read   string
	ReadAt struct {
		File         string
		Line, Column int
	} `json:"read_at"`
	Path    []string
	Message string
	Why     string
	Mend    []string
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	if d.More() {
		t.Fatalf("more than one document:\n%s", text)
	}
}

func TestFindingsAsJSON(t *testing.T) {
	t.Parallel()

	for _, command := range []string{"generate", "check", "explain"} {
		code, stdout, stderr := call(t, append([]string{command, "--json"}, project("refuse_cascade", t.TempDir())...)...)
		if code != 1 || stderr != "" {
			t.Fatalf("%s --json: exit code %d, %s", command, code, stderr)
		}
		var r report
		decode(t, stdout, &r)
		found := false
		for _, f := range r.Findings {
			if f.Query != "DeleteUsersOfOthers" || f.Group != "session" {
				continue
			}
			found = true
			file := testdata + "refuse_cascade/query.sql"
			if f.File != filepath.Clean(file) && f.File != file || f.Line != 18 || f.Column != 13 || f.Read != "GetSession" || f.ReadAt.File != f.File ||
				f.ReadAt.Line != 1 || f.ReadAt.Column != 10 || strings.Join(f.Path, " ") != "users sessions" ||
				!strings.Contains(f.Message, "would go stale") || f.Why == "" || len(f.Mend) < 2 {
				t.Errorf("%s --json: %+v", command, f)
			}
		}
		if !found || r.Files == nil || len(r.Files) > 0 {
			t.Errorf("%s --json:\n%s", command, stdout)
		}
	}
}

func TestFilesAsJSON(t *testing.T) {
	t.Parallel()

	out := filepath.Join(t.TempDir(), "cached")
	for _, step := range []struct {
		command, what string
		code          int
	}{{"check", "missing", 1}, {"generate", "wrote", 0}, {"generate", "", 0}, {"check", "", 0}} {
		code, stdout, stderr := call(t, append([]string{step.command, "--json"}, project("single", out)...)...)
		var r report
		decode(t, stdout, &r)
		if code != step.code || stderr != "" || r.Findings == nil || len(r.Findings) > 0 || r.Files == nil || (len(r.Files) > 0) != (step.what != "") {
			t.Errorf("%s --json: exit code %d, %s\n%s", step.command, code, stderr, stdout)
		}
		for _, f := range r.Files {
			if f.What != step.what || filepath.Dir(f.File) != out {
				t.Errorf("%s --json: %+v", step.command, f)
			}
		}
	}
}

func TestExplainFormats(t *testing.T) {
	t.Parallel()

	for _, args := range [][]string{{"--json"}, {"--format", "json"}, {"--format", "dot"}} {
		file := "explain." + args[len(args)-1]
		if args[0] == "--json" {
			file = "explain.json"
		}
		want, err := os.ReadFile(testdata + "single/want/" + file)
		if err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := call(t, append(append([]string{"explain"}, args...), project("single", "cached")...)...)
		if code != 0 || strings.ReplaceAll(stdout, testdata, "testdata/") != string(want) {
			t.Errorf("explain %v: exit code %d\n%s%s", args, code, stdout, stderr)
		}
	}
	code, stdout, stderr := call(t, append([]string{"explain", "RenameSession", "--json"}, project("single", "cached")...)...)
	var doc struct {
		Packages []struct {
			Repo   string
			Groups []struct{ Name string }
			Writes []struct{ Query string }
		}
	}
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil || code != 0 || len(doc.Packages) != 1 {
		t.Fatalf("explain RenameSession --json: exit code %d, %v, %s", code, err, stderr)
	}
	m := doc.Packages[0]
	if len(m.Writes) != 1 || m.Writes[0].Query != "RenameSession" || len(m.Groups) != 2 {
		t.Errorf("explain RenameSession --json: %+v", m)
	}
	if code, _, stderr := call(t, append([]string{"explain", "--format", "xml"}, project("single", "cached")...)...); code != 2 || !strings.Contains(stderr, "text, json, dot") {
		t.Errorf("explain --format xml: exit code %d, %s", code, stderr)
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

func TestFaultsCommand(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := call(t, "faults", "--list")
	if code != 0 || !strings.Contains(stdout, "writer killed after fence") {
		t.Errorf("--list: exit code %d, %s%s", code, stdout, stderr)
	}

	for _, c := range []struct{ flag, value, says string }{
		{"--only", "nothing is called so", `no fault's name matches "nothing is called so"`},
		{"--only", "(", "--only: error parsing regexp"},
		{"--each", "1ms", "want at least 500ms"},
	} {
		code, _, stderr = call(t, "faults", c.flag, c.value)
		if code != 2 || !strings.Contains(stderr, c.says) {
			t.Errorf("%s %s: exit code %d, %s", c.flag, c.value, code, stderr)
		}
	}
}
