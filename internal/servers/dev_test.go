//go:build unix

package servers

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// devDir is a directory that the servers' account can pass through.
func devDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgaside-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, ".pgaside")
}

func TestDev(t *testing.T) {
	t.Parallel()

	ctx := t.Context()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	d := Dev{Dir: devDir(t), PostgresPort: port, RedisPort: port}
	defer func() {
		if _, err := d.Down(ctx); err != nil {
			t.Error(err)
		}
	}()

	if ended, err := d.Down(ctx); err != nil || len(ended) != 0 {
		t.Errorf("Down before Up: %v, %v", ended, err)
	}
	up, err := d.Up(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(up) != 2 || !up[0].Running() || !up[1].Running() {
		t.Fatalf("Up: %+v", up)
	}
	exec1(t, up[0].URL, "CREATE TABLE t (v text); INSERT INTO t VALUES ('kept')")

	again, err := d.Up(ctx)
	if err != nil || again[0] != up[0] || again[1] != up[1] {
		t.Errorf("a second Up: %+v, %v; the first: %+v", again, err, up)
	}
	if status, err := d.Status(); err != nil || status[0] != up[0] || status[1] != up[1] {
		t.Errorf("Status: %+v, %v", status, err)
	}

	ended, err := d.Down(ctx)
	if err != nil || len(ended) != 2 {
		t.Errorf("Down: %+v, %v", ended, err)
	}
	if alive(up[0].PID) || alive(up[1].PID) {
		t.Error("a server is still there after Down")
	}
	status, err := d.Status()
	if err != nil || status[0].Running() || status[1].Running() || status[0].URL != up[0].URL {
		t.Errorf("Status after Down: %+v, %v", status, err)
	}

	d.PostgresPort, d.RedisPort = 0, 0
	up, err = d.Up(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if got := queryText(t, up[0].URL, "SELECT v FROM t"); got != "kept" {
		t.Errorf("the table holds %q", got)
	}
}

// A recorded pid that is another process by now must be left alone.
func TestDevLeavesStrangersAlone(t *testing.T) {
	t.Parallel()

	d := Dev{Dir: devDir(t)}
	self, ok := identify(os.Getpid())
	if !ok {
		t.Fatal("can't identify this process")
	}
	for name, r := range map[string]devRecord{
		"another start":   {identity: identity{self.PID, "1"}, Program: programName(self.PID), Port: 1},
		"another program": {identity: self, Program: "postgres", Port: 1},
	} {
		if r.running() {
			t.Errorf("%s: taken for our server", name)
		}
		err := d.locked(func(dir string) error { return d.save(dir, devState{Postgres: r, Redis: r}) })
		if err != nil {
			t.Fatal(err)
		}
		if ended, err := d.Down(t.Context()); err != nil || len(ended) != 0 {
			t.Errorf("%s: ended %+v, %v", name, ended, err)
		}
	}
}

func TestDevRefuses(t *testing.T) {
	t.Parallel()

	d := Dev{Dir: devDir(t)}
	err := d.locked(func(dir string) error {
		if _, err := d.Up(t.Context()); err == nil || !strings.Contains(err.Error(), "another command") {
			t.Errorf("Up beside another command: %v", err)
		}
		return os.WriteFile(filepath.Join(dir, "servers.json"), []byte("{"), 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Up(t.Context()); err == nil || !strings.Contains(err.Error(), "servers.json") {
		t.Errorf("Up with a broken state: %v", err)
	}
	if _, err := d.Status(); err == nil {
		t.Error("Status with a broken state: no error")
	}
}

func TestDevDataWhereTheAccountReaches(t *testing.T) {
	t.Parallel()

	run, err := serverAccount()
	if err != nil {
		t.Fatal(err)
	}
	if !run.other {
		if data, err := devData("/anywhere", run); err != nil || data != "/anywhere" {
			t.Errorf("data in %s, %v", data, err)
		}
		return
	}
	private := filepath.Join(t.TempDir(), "home")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	data, err := devData(private, run)
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(data)
	if !strings.HasPrefix(data, "/var/tmp/pgaside-") || !run.reaches(data) {
		t.Errorf("data in %s", data)
	}
	same, err := devData(private, run)
	if err != nil || same != data {
		t.Errorf("the second time in %s, %v", same, err)
	}
}
