//go:build unix

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// The three subcommands on real servers, with ports of their own: a developer's
// own servers may be running.
func TestServersCommand(t *testing.T) {
	t.Parallel()

	// Not t.TempDir: the account that the servers run as must get there.
	dir, err := os.MkdirTemp("", "pgaside-test-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o711))
	servers := func(args ...string) (out, errOut string) {
		t.Helper()
		cmd := newServersCommand()
		var o, e bytes.Buffer
		cmd.SetOut(&o)
		cmd.SetErr(&e)
		cmd.SetArgs(append(args, "--dir", filepath.Join(dir, "state")))
		require.NoError(t, cmd.ExecuteContext(t.Context()))
		return o.String(), e.String()
	}
	exports := regexp.MustCompile(`^export DATABASE_URL='postgres://pgaside:[0-9a-f]{32}@127\.0\.0\.1:\d+/pgaside\?sslmode=disable'\n` +
		`export REDIS_URL='redis://127\.0\.0\.1:\d+/0'\n$`)

	out, errOut := servers("status")
	require.Empty(t, out)
	require.Equal(t, "PostgreSQL does not run\nRedis does not run\n", errOut)

	t.Cleanup(func() { servers("down") })
	up, _ := servers("up", "--postgres-port", "11432", "--redis-port", "11379")
	require.Regexp(t, exports, up)
	status, errOut := servers("status")
	require.Equal(t, up, status)
	require.Regexp(t, `^PostgreSQL runs \(pid \d+, log .*postgres\.log\)\nRedis runs \(pid \d+, log .*redis\.log\)\n$`, errOut)

	out, _ = servers("down")
	require.Regexp(t, `^PostgreSQL \(pid \d+\) has ended\nRedis \(pid \d+\) has ended\n$`, out)
	out, _ = servers("down")
	require.Equal(t, "nothing runs\n", out)
}
