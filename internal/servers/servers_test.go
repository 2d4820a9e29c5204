//go:build unix

package servers

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

// envParent makes the test binary a process that starts servers and waits to be
// killed.
const envParent = "PGASIDE_SERVERS_TEST_PARENT"

func TestMain(m *testing.M) {
	// These tests are about servers that we start.
	for _, name := range []string{EnvDatabaseURL, EnvRedisURL} {
		if err := os.Unsetenv(name); err != nil {
			panic(err)
		}
	}
	if os.Getenv(envParent) != "" {
		parent()
		return
	}
	goleak.VerifyTestMain(m)
}

// started is what the parent process tells about its servers.
type started struct {
	Postgres, Redis       int
	PostgresDir, RedisDir string
	Dogs                  []int
}

func parent() {
	ctx := context.Background()
	p, err := StartPostgres(ctx, PostgresOptions{})
	if err != nil {
		panic(err)
	}
	r, err := StartRedis(ctx, RedisOptions{})
	if err != nil {
		panic(err)
	}
	if err := r.Freeze(); err != nil { // a frozen server must not survive either
		panic(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(started{
		p.PID(), r.PID(), p.h.dir, r.h.dir, []int{p.h.dog.Process.Pid, r.h.dog.Process.Pid},
	}); err != nil {
		panic(err)
	}
	select {}
}

// startParent runs a parent process whose servers live in a directory of its own.
func startParent(t *testing.T) (cmd *exec.Cmd, dir string, s started) {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgaside-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil { // the servers' user must pass
		t.Fatal(err)
	}
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envParent+"=1", "TMPDIR="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatalf("reading what the parent says: %v", err)
	}
	if err := json.Unmarshal(line, &s); err != nil {
		t.Fatal(err)
	}
	return cmd, dir, s
}

func killParent(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) {
		t.Fatalf("the parent ended with %v, not killed", err)
	}
}

// eventually waits for something that takes as long as it takes.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("still not so: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func alive(pid int) bool {
	_, ok := identify(pid)
	return ok
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestKilledParentLeavesNothing(t *testing.T) {
	t.Parallel()

	cmd, dir, s := startParent(t)
	backends := children(s.Postgres)
	if !alive(s.Postgres) || !alive(s.Redis) || !exists(s.PostgresDir) || !exists(s.RedisDir) {
		t.Fatalf("not all of %+v is there", s)
	}
	killParent(t, cmd)
	eventually(t, "both servers, their watchdogs and their directories are gone", func() bool {
		for _, pid := range append(append(backends, s.Postgres, s.Redis), s.Dogs...) {
			if alive(pid) {
				return false
			}
		}
		return !exists(s.PostgresDir) && !exists(s.RedisDir)
	})
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestNextStartSweepsWhenWatchdogsWereKilledToo(t *testing.T) {
	t.Parallel()

	cmd, dir, s := startParent(t)
	for _, pid := range s.Dogs {
		if err := killPID(pid); err != nil {
			t.Fatal(err)
		}
	}
	sweep(dir)
	if !alive(s.Postgres) || !alive(s.Redis) || !exists(s.PostgresDir) {
		t.Fatal("the sweep touched servers whose parent lives")
	}
	killParent(t, cmd)
	sweep(dir)
	eventually(t, "both servers are gone", func() bool { return !alive(s.Postgres) && !alive(s.Redis) })
	if exists(s.PostgresDir) || exists(s.RedisDir) {
		t.Error("the directories are still there")
	}
}

func TestPostgres(t *testing.T) {
	t.Parallel()

	ctx := t.Context()
	var log strings.Builder
	p, err := StartPostgres(ctx, PostgresOptions{Settings: map[string]string{"max_connections": "17"}, Log: &log})
	if err != nil {
		t.Fatal(err)
	}
	dir := p.h.dir
	defer func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if err := p.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		if exists(dir) {
			t.Errorf("%s is still there", dir)
		}
		if !strings.Contains(log.String(), "ready to accept connections") {
			t.Errorf("Log did not get the server's log: %q", log.String())
		}
	}()

	for name, want := range map[string]string{
		"max_connections": "17", "fsync": "off", "synchronous_commit": "on", "wal_level": "logical",
		"listen_addresses": "127.0.0.1", "server_encoding": "UTF8",
	} {
		if got := queryText(t, p.URL(), "SELECT current_setting('"+name+"')"); got != want {
			t.Errorf("%s = %s, want %s", name, got, want)
		}
	}

	exec1(t, p.URL(), "CREATE TABLE t (v text); INSERT INTO t VALUES ('kept')")
	pid, address := p.PID(), p.URL()
	backends := children(pid)
	if len(backends) == 0 {
		t.Fatal("no processes under the server's")
	}
	if err := p.Crash(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all processes of the server are gone", func() bool {
		for _, b := range append(backends, pid) {
			if alive(b) {
				return false
			}
		}
		return true
	})
	if p.PID() != 0 {
		t.Errorf("PID of a crashed server is %d", p.PID())
	}
	if err := p.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if p.URL() != address || p.PID() == 0 || p.PID() == pid {
		t.Errorf("after the restart: URL changed %v, PID %d (was %d)", p.URL() != address, p.PID(), pid)
	}
	if got := queryText(t, p.URL(), "SELECT v FROM t"); got != "kept" {
		t.Errorf("the table holds %q after the crash", got)
	}
	if err := p.Restart(ctx); err != nil { // a running one
		t.Fatal(err)
	}
	if got := queryText(t, p.URL(), "SELECT v FROM t"); got != "kept" {
		t.Errorf("the table holds %q after the restart", got)
	}

	u, drop, err := p.CreateDatabase(ctx, "Test/Sub test-é")
	if err != nil {
		t.Fatal(err)
	}
	name := queryText(t, u, "SELECT current_database()")
	if !strings.HasPrefix(name, "test_sub_test__") {
		t.Errorf("the database is called %s", name)
	}
	held, err := pgx.Connect(ctx, u) // a connection that is still there must not prevent the drop
	if err != nil {
		t.Fatal(err)
	}
	drop()
	_ = held.Close(ctx)
	if n := queryText(t, p.URL(), "SELECT count(*)::text FROM pg_database WHERE datname = '"+name+"'"); n != "0" {
		t.Errorf("%s databases called %s after the drop", n, name)
	}
	drop()

	t.Run("a server that is not ours", func(t *testing.T) {
		before := databases(t, p.admin)
		other, err := ConnectPostgres(ctx, p.admin, PostgresOptions{Settings: map[string]string{"work_mem": "5MB", "fsync": "off"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := queryText(t, other.URL(), "SELECT current_setting('work_mem')"); got != "5MB" {
			t.Errorf("work_mem = %s", got)
		}
		if _, _, err := other.CreateDatabase(ctx, "more"); err != nil {
			t.Fatal(err)
		}
		if err := other.Crash(); !errors.Is(err, ErrNotOurs) {
			t.Errorf("Crash: %v", err)
		}
		if err := other.Restart(ctx); !errors.Is(err, ErrNotOurs) {
			t.Errorf("Restart: %v", err)
		}
		if other.PID() != 0 {
			t.Errorf("PID = %d", other.PID())
		}
		if err := other.Close(); err != nil {
			t.Error(err)
		}
		if after := databases(t, p.admin); after != before {
			t.Errorf("databases were %s, are %s", before, after)
		}
		if _, err := ConnectPostgres(ctx, p.admin, PostgresOptions{Settings: map[string]string{"wal_level": "replica"}}); err == nil || !strings.Contains(err.Error(), "wal_level = logical, replica is needed") {
			t.Errorf("a setting that can't be had: %v", err)
		}
		if after := databases(t, p.admin); after != before {
			t.Errorf("a failed ConnectPostgres left a database: were %s, are %s", before, after)
		}
	})
}

func TestPostgresDoesNotStart(t *testing.T) {
	t.Parallel()

	_, err := StartPostgres(t.Context(), PostgresOptions{Settings: map[string]string{"no_such_setting": "1"}})
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Fatalf("the error doesn't show what the server said: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := StartPostgres(ctx, PostgresOptions{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("with a cancelled context: %v", err)
	}
}

func TestRedis(t *testing.T) {
	t.Parallel()

	ctx := t.Context()
	r, err := StartRedis(ctx, RedisOptions{Args: []string{"--maxmemory", "3mb"}})
	if err != nil {
		t.Fatal(err)
	}
	dir := r.h.dir
	defer func() {
		if err := r.Freeze(); err != nil { // Close ends a frozen server, too
			t.Error(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		if exists(dir) {
			t.Errorf("%s is still there", dir)
		}
	}()
	if got := redisDo(t, r, "CONFIG", "GET", "maxmemory"); got != "[maxmemory 3145728]" {
		t.Errorf("maxmemory: %s", got)
	}
	if got := redisDo(t, r, "CONFIG", "GET", "save"); got != "[save ]" {
		t.Errorf("save: %s", got)
	}
	redisDo(t, r, "SET", "k", "v")

	pid, addr := r.PID(), r.Addr()
	if err := r.Kill(); err != nil {
		t.Fatal(err)
	}
	if alive(pid) || r.PID() != 0 {
		t.Errorf("after Kill: process %d alive %v, PID %d", pid, alive(pid), r.PID())
	}
	if conn, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
		_ = conn.Close()
		t.Error("somebody still listens")
	}
	if err := r.Freeze(); err == nil {
		t.Error("a killed server could be frozen")
	}
	for range 2 { // twice: the second is a server that runs
		if err := r.Start(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if r.Addr() != addr {
		t.Errorf("address %s, was %s", r.Addr(), addr)
	}
	if got := redisDo(t, r, "EXISTS", "k"); got != "0" {
		t.Errorf("the killed server kept its contents: %s", got)
	}

	if err := r.Freeze(); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		answered <- withRESP(ctx, r.URL(), func(c *respConn) error { return c.ping() })
	}()
	select {
	case err := <-answered:
		t.Fatalf("a frozen server answered (%v)", err)
	case <-time.After(100 * time.Millisecond):
	}
	if err := r.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Fatalf("a thawed server: %v", err)
	}

	t.Run("a port in use", func(t *testing.T) {
		_, port, _ := net.SplitHostPort(r.Addr())
		n, _ := strconv.Atoi(port)
		if _, err := StartRedis(ctx, RedisOptions{Port: n}); err == nil || !strings.Contains(err.Error(), "ddress already in use") {
			t.Errorf("%v", err)
		}
	})

	t.Run("a server that is not ours", func(t *testing.T) {
		redisDo(t, r, "SET", "theirs", "1")
		other, err := ConnectRedis(ctx, r.URL())
		if err != nil {
			t.Fatal(err)
		}
		if other.PID() != 0 || other.Addr() != r.Addr() || other.Namespace() == r.Namespace() {
			t.Errorf("PID %d, address %s, namespace %s", other.PID(), other.Addr(), other.Namespace())
		}
		for i := range 2500 { // more than one SCAN
			redisDo(t, r, "SET", fmt.Sprintf("%s:%d", other.Namespace(), i), "1")
		}
		for name, do := range map[string]func() error{
			"Kill": other.Kill, "Freeze": other.Freeze, "Thaw": other.Thaw,
			"Start": func() error { return other.Start(ctx) },
		} {
			if err := do(); !errors.Is(err, ErrNotOurs) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := other.Close(); err != nil {
			t.Error(err)
		}
		if got := redisDo(t, r, "KEYS", "*"); got != "[theirs]" {
			t.Errorf("keys after Close: %s", got)
		}
	})
}

func TestRedisWithPassword(t *testing.T) {
	t.Parallel()

	r, err := StartRedis(t.Context(), RedisOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	redisDo(t, r, "ACL", "SETUSER", "reader", "on", ">geheim", "~*", "+@all")
	redisDo(t, r, "CONFIG", "SET", "requirepass", "secret")
	for address, want := range map[string]string{
		"redis://" + r.Addr():                    "NOAUTH",
		"redis://:wrong@" + r.Addr():             "WRONGPASS",
		"redis://:secret@" + r.Addr() + "/3":     "",
		"redis://reader:geheim@" + r.Addr():      "",
		"redis://:secret@" + r.Addr() + "/99999": "out of range",
		"localhost:6379":                         "must be a URL",
		"redis://:pass%zzword@host":              "must be a URL",
	} {
		other, err := ConnectRedis(t.Context(), address)
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", address, err)
			} else if err := other.Close(); err != nil {
				t.Errorf("%s: %v", address, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", address, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "pass%zzword") {
			t.Errorf("the error prints the password: %v", err)
		}
	}
}

// TestNamedServers sets environment variables, so it has the process to itself.
func TestNamedServers(t *testing.T) {
	ctx := t.Context()
	p, err := StartPostgres(ctx, PostgresOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	r, err := StartRedis(ctx, RedisOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()

	t.Setenv("DATABASE_URL", "postgres://must.not.be.used:1/x")
	t.Setenv("REDIS_URL", "redis://must.not.be.used:1")
	t.Setenv(EnvDatabaseURL, p.admin)
	t.Setenv(EnvRedisURL, r.URL())

	for _, o := range []RedisOptions{{Own: true}, {Args: []string{"--maxmemory", "3mb"}}} {
		r3, err := StartRedis(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		if r3.PID() == 0 || r3.Addr() == r.Addr() {
			t.Errorf("%+v: not a server of our own (PID %d)", o, r3.PID())
		}
		if err := r3.Close(); err != nil {
			t.Error(err)
		}
	}
	p3, err := StartPostgres(ctx, PostgresOptions{Own: true})
	if err != nil {
		t.Fatal(err)
	}
	if p3.PID() == 0 {
		t.Error("not a PostgreSQL of our own")
	}
	if err := p3.Close(); err != nil {
		t.Error(err)
	}

	t.Setenv("PATH", "/nonexistent") // no programs are needed
	p2, err := StartPostgres(ctx, PostgresOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer p2.Close()
	if p2.PID() != 0 || queryText(t, p2.URL(), "SELECT 'x'") != "x" {
		t.Errorf("not the named server (PID %d)", p2.PID())
	}
	r2, err := StartRedis(ctx, RedisOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r2.Close()
	if r2.PID() != 0 || r2.Addr() != r.Addr() {
		t.Errorf("not the named server (PID %d, %s)", r2.PID(), r2.Addr())
	}
	t.Setenv(EnvDatabaseURL, "host=localhost password=geheim")
	if _, err := StartPostgres(ctx, PostgresOptions{}); err == nil || !strings.Contains(err.Error(), EnvDatabaseURL) || strings.Contains(err.Error(), "geheim") {
		t.Errorf("a broken %s: %v", EnvDatabaseURL, err)
	}
}

func TestFinding(t *testing.T) {
	if got, want := postgresVersion("/usr/lib/postgresql/15/bin"), 15; got != want {
		t.Errorf("version %d, want %d", got, want)
	}
	if got, want := postgresVersion("/opt/homebrew/opt/postgresql@17/bin"), 17; got != want {
		t.Errorf("version %d, want %d", got, want)
	}
	if got := postgresVersion("/opt/homebrew/opt/postgresql/bin"); got != 0 {
		t.Errorf("version %d, want 0", got)
	}
	if got := installCommand("redis-server"); !strings.HasSuffix(got, "install -y redis-server") && got != "brew install redis" {
		t.Errorf("install with %q", got)
	}

	// PATH wins over the installation directories.
	dir := t.TempDir()
	for _, name := range []string{"initdb", "postgres", "valkey-server"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	p, err := findPostgres()
	if err != nil || p.initdb != filepath.Join(dir, "initdb") {
		t.Errorf("found %+v, %v", p, err)
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()

	id, ok := identify(os.Getpid())
	if !ok || !id.alive() {
		t.Fatalf("this process isn't alive: %v %v", id, ok)
	}
	again, ok := parseIdentity(id.String())
	if !ok || again != id {
		t.Errorf("%v reads back as %v", id, again)
	}
	id.Started += "1"
	if id.alive() {
		t.Error("another start time, and still the same process")
	}
	for _, s := range []string{"", "x y", "12", "1 5", "-3 5"} {
		if id, ok := parseIdentity(s); ok {
			t.Errorf("%q reads as %v", s, id)
		}
	}
	cmd := exec.Command("/bin/sh", "-c", "exit 0")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an ended process that nobody waited for is not alive", func() bool { return !alive(cmd.Process.Pid) })
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestPortRace(t *testing.T) {
	t.Parallel()

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	if portFree(taken) == nil {
		t.Errorf("port %d seems free", taken)
	}
	var ports []int
	err = onFreePort(0, func(port int) error {
		ports = append(ports, port)
		if len(ports) < 3 {
			return fmt.Errorf("wrapped: %w", &startError{what: "x", log: "bind: Address already in use"})
		}
		return nil
	})
	if err != nil || len(ports) != 3 {
		t.Errorf("tried %v: %v", ports, err)
	}
	calls := 0
	err = onFreePort(0, func(int) error {
		calls++
		return &startError{what: "x", log: "no such file"}
	})
	if err == nil || calls != 1 {
		t.Errorf("an error that isn't about the port was tried %d times: %v", calls, err)
	}
}

func queryText(t *testing.T, u, query string) string {
	t.Helper()
	var got string
	err := withConn(t.Context(), u, func(conn *pgx.Conn) error {
		return conn.QueryRow(t.Context(), query).Scan(&got)
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return got
}

func exec1(t *testing.T, u, statement string) {
	t.Helper()
	err := withConn(t.Context(), u, func(conn *pgx.Conn) error {
		_, err := conn.Exec(t.Context(), statement)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func databases(t *testing.T, u string) string {
	t.Helper()
	return queryText(t, u, "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database")
}

func redisDo(t *testing.T, r *Redis, args ...string) string {
	t.Helper()
	var got string
	err := withRESP(t.Context(), r.URL(), func(c *respConn) error {
		answer, err := c.do(args...)
		got = fmt.Sprint(answer)
		return err
	})
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return got
}
