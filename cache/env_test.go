package cache_test

import (
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pgaside/pgaside/cache"
)

var envGroups = []cache.AnyGroup{
	cache.NewGroup[int64]("session", cache.GroupOptions{TTL: time.Hour}),
	cache.NewGroup[int64]("message", cache.GroupOptions{Mode: cache.Strict}),
	cache.NewGroup[int64]("user_session", cache.GroupOptions{}),
	cache.NewGroup[int64]("lease", cache.GroupOptions{}),
}

func parseEnv(t *testing.T, environ ...string) *cache.Env {
	t.Helper()
	env, err := cache.ParseEnv(environ, envGroups...)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

func TestEnvSetsEveryOption(t *testing.T) {
	env := parseEnv(t,
		"CACHE_ENABLED=false", "CACHE_NAMESPACE=therapist", "CACHE_DEFAULT_TTL=300", "CACHE_NEGATIVE_TTL=5s", "CACHE_MODE=aftercommit",
		"CACHE_REDIS_BUDGET=50ms", "CACHE_FENCE_BUDGET=1s", "CACHE_LEASE_TTL=2", "CACHE_FENCE_TTL=40s", "CACHE_LOAD_TIMEOUT=1m",
		"CACHE_MAX_CELLS=10", "CACHE_MAX_CELL_BYTES=4096", "CACHE_COMPRESS_ABOVE=off", "CACHE_MAX_FALLBACK_LOADS=8", "CACHE_REPLICAS=1",
		"CACHE_SESSION_TTL=1800", "CACHE_MESSAGE_TTL=15m", "CACHE_MESSAGE_MODE=fenced", "CACHE_USER_SESSION_NEGATIVE=off",
		"REDIS_URL=redis://:secret@redis:6379/2", "PATH=/bin", "CACHE_MAX_CELLS_X=", "DATABASE_URL=postgres://x",
	)
	got := env.Options
	groups := got.Groups
	got.Groups = nil
	want := cache.Options{
		Disabled: true, Namespace: "therapist", DefaultTTL: 5 * time.Minute, NegativeTTL: 5 * time.Second, DefaultMode: cache.AfterCommit,
		RedisBudget: 50 * time.Millisecond, FenceBudget: time.Second, LeaseTTL: 2 * time.Second, FenceTTL: 40 * time.Second, LoadTimeout: time.Minute,
		MaxCells: 10, MaxCellBytes: 4096, CompressAbove: -1, MaxFallbackLoads: 8, Replicas: 1,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	equal(t, "groups", len(groups), 3)
	equal(t, "session", groups["session"].TTL, 30*time.Minute)
	equal(t, "message", groups["message"].TTL, 15*time.Minute)
	equal(t, "user_session", groups["user_session"].NegativeOff, true)
	equal(t, "URL", env.RedisURL, "redis://:secret@redis:6379/2")
	if len(env.Warnings) > 0 {
		t.Errorf("warnings: %q", env.Warnings)
	}
	for _, s := range env.Settings {
		if strings.Contains(s.Value, "secret") {
			t.Errorf("%s shows the password", s.Name)
		}
	}
}

// Every variable is listed with what takes effect, and with where that comes from.
func TestEnvSaysWhereSettingsComeFrom(t *testing.T) {
	env := parseEnv(t, "CACHE_USER_SESSION_TTL=10m", "CACHE_LEASE_TTL=4s", "CACHE_MODE=aftercommit", "CACHE_MESSAGE_MODE=fenced", "CACHE_NAMESPACE=")
	got := make(map[string]cache.Setting)
	for _, s := range env.Settings {
		if _, twice := got[s.Name]; twice && s.Name != "CACHE_LEASE_TTL" {
			t.Errorf("%s is listed twice", s.Name)
		}
		got[s.Name] = s
	}
	for name, want := range map[string][2]string{
		"CACHE_ENABLED":          {"true", "default"},
		"CACHE_NAMESPACE":        {"pgaside", "default"}, // empty is not set
		"CACHE_MODE":             {"aftercommit", "environment"},
		"CACHE_REDIS_BUDGET":     {"100ms", "default"},
		"CACHE_COMPRESS_ABOVE":   {"1024", "default"},
		"CACHE_SESSION_TTL":      {"1h0m0s", "group"},
		"CACHE_SESSION_MODE":     {"aftercommit", "default"},
		"CACHE_MESSAGE_TTL":      {"5m0s", "default"},
		"CACHE_MESSAGE_MODE":     {"fenced", "environment"},
		"CACHE_USER_SESSION_TTL": {"10m0s", "environment"},
		"CACHE_SESSION_NEGATIVE": {"on", "default"},
		"REDIS_URL":              {"", "default"},
	} {
		if s := got[name]; s.Value != want[0] || string(s.Source) != want[1] {
			t.Errorf("%s: got %q from %s, want %q from %s", name, s.Value, s.Source, want[0], want[1])
		}
	}
	equal(t, "CACHE_LEASE_TTL is no group's", env.Options.LeaseTTL, 4*time.Second)
	// What the settings say is what the engine does.
	w := emptyWorld(t)
	c := w.process(env.Options)
	defer c.Close()
	if _, err := w.readCtx(t.Context(), c, envGroups[1].(cache.Group[int64]), 1); err == nil {
		t.Error("want no rows")
	}
	equal(t, "mode in force", c.Stats().Groups["message"].Mode, "fenced")
}

func TestEnvRefusesBadValues(t *testing.T) {
	for kv, want := range map[string]string{
		"CACHE_ENABLED=maybe":                                   `CACHE_ENABLED is "maybe": want true or false`,
		"CACHE_NAMESPACE=a b":                                   `CACHE_NAMESPACE is "a b": want at most 64 letters, digits and _ . : -`,
		"CACHE_DEFAULT_TTL=soon":                                `CACHE_DEFAULT_TTL is "soon": want seconds or a duration, such as 1800, 30m or 250ms, of at least 1ms`,
		"CACHE_DEFAULT_TTL=0":                                   `CACHE_DEFAULT_TTL is "0": want`,
		"CACHE_DEFAULT_TTL=-5":                                  `CACHE_DEFAULT_TTL is "-5": want`,
		"CACHE_DEFAULT_TTL=99999999999999":                      `CACHE_DEFAULT_TTL is "99999999999999": want`,
		"CACHE_FENCE_TTL=29":                                    `CACHE_FENCE_TTL is "29": want seconds or a duration, such as 1800, 30m or 250ms, of at least 30s`,
		"CACHE_MODE=loose":                                      `CACHE_MODE is "loose": want fenced, strict or aftercommit`,
		"CACHE_SESSION_MODE=Strict":                             `CACHE_SESSION_MODE is "Strict": want fenced`,
		"CACHE_SESSION_TTL=1.5":                                 `CACHE_SESSION_TTL is "1.5": want seconds`,
		"CACHE_USER_SESSION_NEGATIVE=maybe":                     `CACHE_USER_SESSION_NEGATIVE is "maybe": want off`,
		"CACHE_MAX_CELLS=1":                                     `CACHE_MAX_CELLS is "1": want a whole number from 2`,
		"CACHE_MAX_CELL_BYTES=1MB":                              `CACHE_MAX_CELL_BYTES is "1MB": want a whole number from 1`,
		"CACHE_COMPRESS_ABOVE=0":                                `CACHE_COMPRESS_ABOVE is "0": want a number of bytes from 1, or off`,
		"CACHE_REPLICAS=-1":                                     `CACHE_REPLICAS is "-1": want a whole number from 0`,
		"REDIS_HOST=redis://localhost":                          `REDIS_HOST is "redis://localhost": want a host name`,
		"REDIS_HOST=localhost:6379":                             `REDIS_HOST is "localhost:6379": want a host name or an address, without a port`,
		"REDIS_PORT=99999":                                      `REDIS_PORT is "99999": want a whole number from 1 to 65535`,
		"REDIS_DB=one":                                          `REDIS_DB is "one": want a whole number from 0`,
		"REDIS_TLS=perhaps":                                     `REDIS_TLS is "perhaps": want true or false`,
		"REDIS_URL=http://u:secret@h":                           `environment variable REDIS_URL: reading the Redis URL: redis: invalid URL scheme`,
		"REDIS_URL=redis://u:se/cret@h":                         `environment variable REDIS_URL: reading the Redis URL: the URL is malformed`,
		"REDIS_URL=redis://h?read_timeout=10s":                  `environment variable REDIS_URL: the Redis client is unsuitable`,
		"REDIS_URL=redis://h?master_name=":                      `master_name is empty`,
		"REDIS_URL=redis://h?password=secret&x=1&master_name=m": `unexpected option: x`,
		"REDIS_URL=redis://h?master_name=m&replica_only=true":   `it sends commands to replicas, which lag`,
		"REDIS_URL=redis://h?master_name=m&read_timeout=9s":     `ReadTimeout is 9s`,
	} {
		_, err := cache.ParseEnv([]string{kv}, envGroups...)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "cache: environment variable ") {
			t.Errorf("%s: got %v, want %s", kv, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "cret@")) {
			t.Errorf("%s: the error shows the password: %v", kv, err)
		}
	}
	// All of them at once.
	_, err := cache.ParseEnv([]string{"CACHE_ENABLED=x", "CACHE_MODE=y", "CACHE_SESSION_TTL=z"}, envGroups...)
	if err == nil || strings.Count(err.Error(), "environment variable") != 3 {
		t.Errorf("got %v", err)
	}
}

func TestEnvRedisAddress(t *testing.T) {
	for _, c := range []struct {
		environ []string
		url     string
		warning string
	}{
		{nil, "", ""},
		{[]string{"REDIS_URL=redis://a:1/3"}, "redis://a:1/3", ""},
		{[]string{"REDIS_URL=unix:///run/redis.sock"}, "unix:///run/redis.sock", ""},
		{[]string{"REDIS_URL=rediss://a:1?cluster=true&addr=b:1"}, "rediss://a:1?cluster=true&addr=b:1", ""},
		{[]string{"REDIS_URL=redis://a:1?master_name=m&addr=b:1&password=p"}, "redis://a:1?master_name=m&addr=b:1&password=p", ""},
		{[]string{"REDIS_HOST=a"}, "redis://a:6379/0", ""},
		{[]string{"REDIS_PORT=7"}, "redis://localhost:7/0", ""},
		{[]string{"REDIS_HOST=::1", "REDIS_DB=4"}, "redis://[::1]:6379/4", ""},
		{[]string{"REDIS_HOST=a", "REDIS_PASSWORD=p@:/?#%", "REDIS_TLS=true"}, "rediss://:p%40%3A%2F%3F%23%25@a:6379/0", ""},
		{[]string{"REDIS_USERNAME=u", "REDIS_PASSWORD=p"}, "redis://u:p@localhost:6379/0", ""},
		// As many a .env file has it: both, and the same.
		{[]string{"REDIS_URL=redis://localhost", "REDIS_HOST=localhost", "REDIS_PORT=6379", "REDIS_PASSWORD=", "REDIS_DB=0"}, "redis://localhost", ""},
		{[]string{"REDIS_URL=redis://a", "REDIS_HOST=b"}, "redis://a", "REDIS_HOST: no effect, since REDIS_URL is set"},
	} {
		env := parseEnv(t, c.environ...)
		equal(t, strings.Join(c.environ, " "), env.RedisURL, c.url)
		if got := strings.Join(env.Warnings, "\n"); !strings.Contains(got, c.warning) || c.warning == "" && got != "" {
			t.Errorf("%v: warnings %q, want %q", c.environ, got, c.warning)
		}
		if env.RedisURL == "" {
			continue
		}
		o, err := cache.Open(env.RedisURL, env.Options)
		if err != nil {
			t.Errorf("%v: %v", c.environ, err)
			continue
		}
		_ = o.Close()
	}
	env := parseEnv(t, "REDIS_HOST=a", "REDIS_PASSWORD=p@:/?#%")
	u, err := url.Parse(env.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	pw, _ := u.User.Password()
	equal(t, "password", pw, "p@:/?#%")
}

func TestEnvWarnsOfUnknownVariables(t *testing.T) {
	env := parseEnv(t, "CACHE_SESION_TTL=1800", "CACHE_TTL=300", "CACHE_SESSION_TTL=60")
	equal(t, "warnings", len(env.Warnings), 2)
	for i, want := range []string{"CACHE_SESION_TTL: no effect", "CACHE_TTL: no effect"} {
		for _, text := range []string{want, "CACHE_DEFAULT_TTL", "CACHE_<GROUP>_TTL", "LEASE, MESSAGE, SESSION, USER_SESSION"} {
			if !strings.Contains(env.Warnings[i], text) {
				t.Errorf("warning %q does not say %q", env.Warnings[i], text)
			}
		}
		if strings.Contains(env.Warnings[i], "1800") {
			t.Errorf("warning %q shows a value", env.Warnings[i])
		}
	}
	// Without a list of groups, a variable may name any.
	env, err := cache.ParseEnv([]string{"CACHE_SESION_TTL=1800", "CACHE_A_B_MODE=strict", "CACHE_TTL=1"})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "TTL", env.Options.Groups["sesion"].TTL, 30*time.Minute)
	equal(t, "mode", env.Options.Groups["a_b"].Mode, cache.Strict)
	equal(t, "warnings", len(env.Warnings), 1)
}

func TestOptionsFromEnv(t *testing.T) {
	t.Setenv("CACHE_SESSION_TTL", "1800")
	t.Setenv("REDIS_URL", "redis://localhost:1")
	env, err := cache.OptionsFromEnv(envGroups...)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "TTL", env.Options.Groups["session"].TTL, 30*time.Minute)
	equal(t, "URL", env.RedisURL, "redis://localhost:1")
}

func TestRedactURL(t *testing.T) {
	for in, want := range map[string]string{
		"redis://u:pw@h:1/0":                      "redis://u:xxxxx@h:1/0",
		"redis://h:1?master_name=m&password=pw":   "redis://h:1?master_name=m&password=xxxxx",
		"redis://u:p/w@h":                         "(hidden)",
		"user=x password=pw":                      "(hidden)",
		"redis://h:1":                             "redis://h:1",
		"postgres://u:pw@h/db?sslpassword=pw&a=b": "postgres://u:xxxxx@h/db?a=b&sslpassword=xxxxx",
	} {
		equal(t, in, cache.RedactURL(in), want)
	}
}
