package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// PgBouncerOptions configures [StartPgBouncer].
type PgBouncerOptions struct {
	// Database is the URL of a database on the server that is to be reached, such
	// as [Postgres.URL]. Of its parameters, those after "?", none is passed on.
	Database string

	// Mode is after what a connection to the server goes to the next client:
	// "transaction", "session" or "statement".
	//
	// Defaults to "transaction".
	Mode string

	// PoolSize is how many connections to the server there are for each database.
	//
	// Defaults to 20.
	PoolSize int

	// Log receives what PgBouncer writes.
	//
	// Defaults to a file in its directory, shown in part when it doesn't start.
	Log io.Writer
}

// PgBouncer is a PgBouncer, through which clients share few connections to a
// PostgreSQL server. Its methods are safe for concurrent use.
type PgBouncer struct {
	url string

	mu   sync.Mutex
	h    *home
	proc *process
}

// StartPgBouncer starts a PgBouncer. It returns when the database answers through
// it. Without a deadline in ctx it gives up after a minute.
//
// It ends with Close, or with this process, however that ends. ctx bounds the
// start only.
func StartPgBouncer(ctx context.Context, o PgBouncerOptions) (*PgBouncer, error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	if o.Mode == "" {
		o.Mode = "transaction"
	}
	if o.PoolSize == 0 {
		o.PoolSize = 20
	}
	if _, err := withDatabase(o.Database, "unused"); err != nil {
		return nil, err
	}
	server, err := pgx.ParseConfig(o.Database)
	if err != nil {
		return nil, fmt.Errorf("the address of a PostgreSQL server: %w", err)
	}
	program, err := findPgBouncer()
	if err != nil {
		return nil, err
	}
	h, err := newHome("KILL", o.Log) // what is asked for politely waits for the clients to go
	if err != nil {
		return nil, err
	}
	b := &PgBouncer{h: h}
	err = onFreePort(0, func(port int) error {
		b.url = bouncerURL(port, &server.Config, o.Mode)
		return b.run(ctx, program, port, &server.Config, o)
	})
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *PgBouncer) run(ctx context.Context, program string, port int, server *pgconn.Config, o PgBouncerOptions) error {
	// Clients give the server's password to PgBouncer, too, so that it opens the
	// server to nobody.
	users, err := b.h.write("users.txt", quoteIni(server.User)+" "+quoteIni(server.Password)+"\n")
	if err != nil {
		return err
	}
	conf, err := b.h.write("pgbouncer.ini", bouncerConf(port, users, server, o))
	if err != nil {
		return err
	}
	proc, err := b.h.start(program, conf)
	if err != nil {
		return err
	}
	if err := proc.await(ctx, "PgBouncer", func(ctx context.Context) error { return pingPostgres(ctx, b.url) }); err != nil {
		return errors.Join(err, proc.stop(os.Kill))
	}
	b.proc = proc
	return nil
}

// bouncerConf is pgbouncer.ini. Every database of the server can be reached.
func bouncerConf(port int, users string, server *pgconn.Config, o PgBouncerOptions) string {
	return fmt.Sprintf(`[databases]
* = host=%s port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
pool_mode = %s
default_pool_size = %d
max_client_conn = 500
auth_type = scram-sha-256
auth_file = %s
server_tls_sslmode = prefer
ignore_startup_parameters = extra_float_digits
`, server.Host, server.Port, port, o.Mode, o.PoolSize, users)
}

// quoteIni quotes a name or a password for a list of users.
func quoteIni(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

func bouncerURL(port int, server *pgconn.Config, mode string) string {
	query := url.Values{"sslmode": {"disable"}}
	if mode != "session" {
		query.Set("default_query_exec_mode", "cache_describe")
	}
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(server.User, server.Password),
		Host: loopback(port), Path: "/" + server.Database, RawQuery: query.Encode(),
	}
	return u.String()
}

// findPgBouncer looks in PATH, and where Debian and Homebrew install it.
func findPgBouncer() (string, error) {
	if path, err := exec.LookPath("pgbouncer"); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin"} {
		if path := filepath.Join(dir, "pgbouncer"); isProgram(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("PgBouncer is %w (looked for pgbouncer in PATH and in /usr/sbin); install it with: %s",
		ErrNotInstalled, installCommand("pgbouncer"))
}

// URL is the connection string of the database through PgBouncer, for pgx. The
// server's other databases can be had by changing the path.
//
// But for the mode "session" it has default_query_exec_mode=cache_describe:
// PgBouncer before 1.21 knows nothing of prepared statements, so one that is made
// on one connection is missing on the next, and what pgx does by default fails.
// "exec" and "simple_protocol" work as well, but for arguments whose type pgx
// must learn from the server, such as a []uuid.UUID.
func (b *PgBouncer) URL() string { return b.url }

// PID is its pid, or 0 after Close.
func (b *PgBouncer) PID() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.proc == nil {
		return 0
	}
	return b.proc.pid
}

// Close ends it, with the connections through it, and removes its files. Closing
// twice is allowed.
func (b *PgBouncer) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	h, proc := b.h, b.proc
	b.h, b.proc = nil, nil
	if h == nil {
		return nil
	}
	var err error
	if proc != nil {
		err = proc.stop(os.Kill)
	}
	return errors.Join(err, h.close())
}
