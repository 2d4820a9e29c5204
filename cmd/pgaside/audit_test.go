package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pgaside/pgaside/cache/audit"
)

// TestAuditOfAProgram: the report of a running program is fetched and printed, and its findings decide the exit code.
func TestAuditOfAProgram(t *testing.T) {
	t.Parallel()
	auditor, err := audit.New(audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/clean", auditor)
	mux.HandleFunc("/stale", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(audit.Report{
			Since: time.Now(), At: time.Now(), Stats: audit.Stats{Checks: 3, Stale: 1},
			Findings: []audit.Finding{{Group: "session", Query: "GetSession", Scale: audit.Scale(10 * time.Second), State: audit.StateGone}},
		})
	})
	mux.HandleFunc("/other", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"status": "ok"}`) })
	mux.HandleFunc("/html", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `<html>`) })
	server := httptest.NewServer(mux)
	defer server.Close()
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{server.URL + "/clean"}, 0, "0 cells checked"},
		{[]string{server.URL + "/clean", "--json"}, 0, `"findings":[]`},
		{[]string{server.URL + "/stale"}, 1, "GetSession   10s"},
		{[]string{server.URL + "/stale", "--json"}, 1, `"scale":"10s"`},
		{[]string{server.URL + "/other"}, 2, "no report"},
		{[]string{server.URL + "/html"}, 2, "no report"},
		{[]string{server.URL + "/nowhere"}, 2, "404"},
		{[]string{"://"}, 2, "want http://host:port/path"},
		{[]string{"http://127.0.0.1:1/"}, 2, "fetching the report"},
		{[]string{"a", "b"}, 2, "accepts at most 1 arg"},
	} {
		code, stdout, stderr := call(t, append([]string{"audit"}, c.args...)...)
		if code != c.code || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("%v: exit code %d, want %d and %q\n%s%s", c.args, code, c.code, c.want, stdout, stderr)
		}
	}
}
