package main

import (
	"os"
	"strings"
	"testing"

	"github.com/pgaside/pgaside/cache"
)

// setEnv gives the test an environment in which only these variables concern pgaside.
func setEnv(t *testing.T, environ ...string) {
	t.Helper()
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		for _, p := range []string{"CACHE_", "REDIS_", "DATABASE_URL", "PGASIDE_ADDR", "PGASIDE_TOKEN"} {
			if strings.HasPrefix(name, p) {
				t.Setenv(name, "") // an empty variable is one that is not set
			}
		}
	}
	for _, kv := range environ {
		if name, value, ok := strings.Cut(kv, "="); ok {
			t.Setenv(name, value)
		}
	}
}

func TestConfigCommand(t *testing.T) {
	setEnv(t, "REDIS_URL=redis://:hush@redis:6379/2", "DATABASE_URL=postgres://u:hush@db/app", "PGASIDE_TOKEN=hush", "CACHE_SESSION_TTL=1800", "CACHE_TTL=7")
	code, stdout, stderr := call(t, "config")
	for _, want := range []string{
		"REDIS_URL                 redis://:xxxxx@redis:6379/2",
		"postgres://u:xxxxx@db/app",
		"CACHE_SESSION_TTL         30m0s",
		"PGASIDE_ADDR              127.0.0.1:4000",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing in:\n%s", want, stdout)
		}
	}
	if code != 0 || !strings.Contains(stderr, "warning: CACHE_TTL: no effect") || strings.Contains(stdout+stderr, "hush") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}

	code, stdout, stderr = call(t, "config", "--json")
	var r configReport
	decode(t, stdout, &r)
	if code != 0 || stderr != "" || len(r.Warnings) != 1 || strings.Contains(stdout, "hush") {
		t.Errorf("exit code %d, %s\n%s", code, stderr, stdout)
	}
	sources := make(map[string]cache.SettingSource)
	for _, s := range r.Settings {
		sources[s.Name] = s.Source
	}
	if sources["DATABASE_URL"] != cache.FromEnvironment || sources["PGASIDE_ADDR"] != cache.FromDefault || sources["CACHE_SESSION_TTL"] != cache.FromEnvironment {
		t.Errorf("sources: %v", sources)
	}
}

func TestConfigRefusesBadValues(t *testing.T) {
	for kv, want := range map[string]string{
		"CACHE_DEFAULT_TTL=soon":              `CACHE_DEFAULT_TTL is "soon": want seconds or a duration`,
		"REDIS_URL=http://u:hush@h":           "environment variable REDIS_URL",
		"DATABASE_URL=postgres://u:hush@h:x/": "environment variable DATABASE_URL is no address",
	} {
		setEnv(t, kv)
		for _, args := range [][]string{{"config"}, {"config", "--json"}} {
			code, stdout, stderr := call(t, args...)
			if code != 1 || stdout != "" || !strings.Contains(stderr, want) || strings.Contains(stderr, "hush") {
				t.Errorf("%s, %v: exit code %d, %s%s", kv, args, code, stdout, stderr)
			}
		}
	}
}
