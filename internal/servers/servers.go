// Package servers starts real PostgreSQL and Redis servers for tests, for the
// demo and for development.
//
// Where a server comes from, in this order:
//
//   - the environment: PGASIDE_TEST_DATABASE_URL and PGASIDE_TEST_REDIS_URL name
//     servers that run already. A database with a unique name, and a unique
//     namespace of keys, keep strangers apart. Such servers are never flushed,
//     stopped or signalled. DATABASE_URL and REDIS_URL are never read: they tend
//     to name something that matters.
//   - the machine: initdb and postgres, redis-server or valkey-server, from PATH
//     or from where Debian and Homebrew put PostgreSQL. They run on free loopback ports, with
//     their files in a temporary directory, as an unprivileged user if we are
//     root.
//
// Redis with replicas and sentinels ([StartSentinel]), a Redis cluster
// ([StartCluster]) and PgBouncer ([StartPgBouncer]) are always of our own.
//
// A server that can't be found is an error ([ErrNotInstalled]) which says how to
// install it.
//
// A server that this package started ends with the process that started it,
// even if that process is killed: each has a watchdog, a small shell that waits
// for the end of a pipe whose other end only its parent holds. It stops the
// server and removes its directory. If the watchdog was killed as well, the next
// start cleans up.
package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

const (
	// EnvDatabaseURL names the environment variable that, when it is set, makes
	// [StartPostgres] use a running server in place of starting one. Its role
	// must be allowed to create databases.
	EnvDatabaseURL = "PGASIDE_TEST_DATABASE_URL"

	// EnvRedisURL is the same for [StartRedis].
	EnvRedisURL = "PGASIDE_TEST_REDIS_URL"
)

var (
	// ErrNotInstalled reports that neither a running server was named nor the
	// programs to start one were found. The message says how to install them.
	ErrNotInstalled = errors.New("not installed")

	// ErrNotOurs is what the methods that signal a server return for a server
	// that this package did not start.
	ErrNotOurs = errors.New("the server was not started by this process, so it is left alone")
)

// PostgresServer is a PostgreSQL server that tests use, whoever started it:
// [*Postgres], or a container.
type PostgresServer interface {
	// URL is a connection string for a database of our own.
	URL() string
	// CreateDatabase creates one more database; drop removes it again.
	CreateDatabase(ctx context.Context, prefix string) (url string, drop func(), err error)
	// PID is the server's process, 0 if it isn't a process of ours.
	PID() int
	// Crash kills the server the hard way; Restart starts it again at the same address.
	Crash() error
	Restart(ctx context.Context) error
	// Close ends the server if it is ours, else only our databases.
	Close() error
}

// RedisServer is a Redis server that tests use, whoever started it: [*Redis],
// or a container.
type RedisServer interface {
	// URL is a redis:// address, Addr its host:port.
	URL() string
	Addr() string
	// Namespace is a prefix for keys that nobody else uses.
	Namespace() string
	// PID is the server's process, 0 if it isn't a process of ours.
	PID() int
	// Kill ends the server at once; Start starts it again, empty, at the same address.
	Kill() error
	Start(ctx context.Context) error
	// Freeze stops the server's process in its tracks: connections stay, nothing
	// is answered. Thaw lets it go on.
	Freeze() error
	Thaw() error
	// Close ends the server if it is ours, else only removes our keys.
	Close() error
}

var (
	_ PostgresServer = (*Postgres)(nil)
	_ RedisServer    = (*Redis)(nil)
)

// postgresPrograms are the two programs that a PostgreSQL server needs.
type postgresPrograms struct {
	initdb   string
	postgres string
}

// findPostgres looks in PATH first, so that a user's choice wins, and then where
// Debian (newest version first) and Homebrew install it outside of PATH.
func findPostgres() (postgresPrograms, error) {
	initdb, err1 := exec.LookPath("initdb")
	postgres, err2 := exec.LookPath("postgres")
	if err1 == nil && err2 == nil {
		return postgresPrograms{initdb, postgres}, nil
	}
	for _, dir := range postgresDirs() {
		p := postgresPrograms{filepath.Join(dir, "initdb"), filepath.Join(dir, "postgres")}
		if isProgram(p.initdb) && isProgram(p.postgres) {
			return p, nil
		}
	}
	return postgresPrograms{}, fmt.Errorf("PostgreSQL is %w (looked for initdb and postgres in PATH and in /usr/lib/postgresql/*/bin); install it with: %s",
		ErrNotInstalled, installCommand("postgresql"))
}

// postgresDirs lists the known installation directories, newest version first.
func postgresDirs() []string {
	var dirs []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql*/bin",
		"/usr/local/opt/postgresql*/bin",
	} {
		found, _ := filepath.Glob(pattern) // the only error is a bad pattern
		slices.SortFunc(found, func(a, b string) int { return postgresVersion(b) - postgresVersion(a) })
		dirs = append(dirs, found...)
	}
	return dirs
}

// postgresVersion reads the number in /usr/lib/postgresql/15/bin and the like, 0
// where there is none. Text order would take 9 for newer than 15.
func postgresVersion(dir string) int {
	name := strings.TrimRight(filepath.Dir(dir), "/")
	digits := name[len(strings.TrimRight(name, "0123456789")):]
	n, _ := strconv.Atoi(digits)
	return n
}

// findRedis looks for redis-server, then for valkey-server.
func findRedis() (string, error) {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
		for _, dir := range []string{"/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"} {
			if path := filepath.Join(dir, name); isProgram(path) {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("Redis is %w (looked for redis-server and valkey-server in PATH); install it with: %s",
		ErrNotInstalled, installCommand("redis-server"))
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// installCommand is the one line that installs a Debian package, or its
// namesake elsewhere.
func installCommand(pkg string) string {
	switch {
	case runtime.GOOS == "darwin":
		return "brew install " + strings.TrimSuffix(pkg, "-server")
	case os.Geteuid() == 0:
		return "apt-get install -y " + pkg
	default:
		return "sudo apt-get install -y " + pkg
	}
}
