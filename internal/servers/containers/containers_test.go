package containers

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/pgaside/pgaside/internal/servers"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The HTTP client of the container library keeps its connections to the
		// Docker engine.
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
	)
}

func TestProviderName(t *testing.T) {
	t.Setenv(EnvProvider, "podman")
	if _, err := StartPostgres(t.Context(), servers.PostgresOptions{}); err == nil || !strings.Contains(err.Error(), EnvProvider) {
		t.Errorf("an unknown provider: %v", err)
	}
	if _, err := StartRedis(t.Context(), servers.RedisOptions{}); err == nil || !strings.Contains(err.Error(), EnvProvider) {
		t.Errorf("an unknown provider: %v", err)
	}
}

// TestBothServers is the same for every provider: PGASIDE_TEST_PROVIDER chooses.
func TestBothServers(t *testing.T) {
	ctx := t.Context()
	p, err := StartPostgres(ctx, servers.PostgresOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}()
	r, err := StartRedis(ctx, servers.RedisOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	t.Logf("PostgreSQL says %s", query(t, p.URL(), "SELECT version()"))

	if got := query(t, p.URL(), "SELECT current_setting('wal_level')"); got != "logical" {
		t.Errorf("wal_level = %s", got)
	}
	u, drop, err := p.CreateDatabase(ctx, "more")
	if err != nil {
		t.Fatal(err)
	}
	if got := query(t, u, "SELECT current_database()"); !strings.HasPrefix(got, "more_") {
		t.Errorf("the database is called %s", got)
	}
	drop()
	if p.PID() != 0 || !named() {
		if err := p.Crash(); err != nil {
			t.Fatal(err)
		}
		if _, err := pgx.Connect(ctx, p.URL()); err == nil {
			t.Error("a crashed server answers")
		}
		for range 2 { // the second time it is running
			if err := p.Restart(ctx); err != nil {
				t.Fatal(err)
			}
			if got := query(t, p.URL(), "SELECT 'back'"); got != "back" {
				t.Errorf("after the restart: %s", got)
			}
		}
	}

	if got, err := ping(r.Addr()); err != nil || got != "+PONG" {
		t.Errorf("PING: %q, %v", got, err)
	}
	if r.PID() == 0 && named() {
		return
	}
	if err := r.Freeze(); err != nil {
		t.Fatal(err)
	}
	if got, err := ping(r.Addr()); err == nil {
		t.Errorf("a frozen server answers %q", got)
	}
	if err := r.Thaw(); err != nil {
		t.Fatal(err)
	}
	if got, err := ping(r.Addr()); err != nil || got != "+PONG" {
		t.Errorf("PING after the thaw: %q, %v", got, err)
	}
	addr := r.Addr()
	if err := r.Kill(); err != nil {
		t.Fatal(err)
	}
	if got, err := ping(addr); err == nil {
		t.Errorf("a killed server answers %q", got)
	}
	if err := r.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := ping(addr); err != nil || got != "+PONG" || r.Addr() != addr {
		t.Errorf("PING after the start: %q, %v (address %s, was %s)", got, err, r.Addr(), addr)
	}
	if err := r.Freeze(); err != nil { // Close must manage
		t.Fatal(err)
	}
}

// named reports whether the servers run already and aren't ours to signal.
func named() bool {
	docker, err := useDocker()
	return err == nil && !docker
}

func query(t *testing.T, u, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var got string
	if err := conn.QueryRow(t.Context(), sql).Scan(&got); err != nil {
		t.Fatal(err)
	}
	return got
}

// ping sends one PING as redis-cli would, and waits a moment for the answer.
func ping(addr string) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return "", err
	}
	buf := make([]byte, 64)
	n, err := conn.Read(buf)
	return strings.TrimSpace(string(buf[:n])), err
}
