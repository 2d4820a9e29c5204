package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// PostgresOptions configures [StartPostgres]. The zero value is a server for
// tests.
type PostgresOptions struct {
	// Own asks for a server that may be crashed: one is started even if
	// PGASIDE_TEST_DATABASE_URL names another.
	Own bool

	// Settings are server parameters as in postgresql.conf, added to (and
	// stronger than) those for tests: fsync and full_page_writes off (data
	// survive a kill of the server, not one of the machine), wal_level logical,
	// max_connections 200, shared_buffers 64MB. synchronous_commit stays on.
	//
	// On a server named by PGASIDE_TEST_DATABASE_URL only these, not those for
	// tests, are set, for our database; one that needs a restart and has
	// another value there is an error.
	Settings map[string]string

	// Log receives what the server writes.
	//
	// Defaults to a file in the server's directory, shown in part when the server
	// doesn't start.
	Log io.Writer
}

// TestSettings are the server parameters for tests, as [PostgresOptions] says.
func TestSettings() map[string]string {
	return map[string]string{
		"fsync":            "off",
		"full_page_writes": "off",
		"wal_level":        "logical",
		"max_connections":  "200",
		"shared_buffers":   "64MB",
		"timezone":         "UTC",
		// A checkpoint in the middle of a run would be noise in a measurement.
		"checkpoint_timeout": "1h",
		"max_wal_size":       "2GB",
	}
}

const (
	postgresUser     = "pgaside"
	postgresDatabase = "pgaside"
)

// Postgres is a PostgreSQL server, or a database of ours on a server that
// somebody else runs. Its methods are safe for concurrent use.
type Postgres struct {
	admin string // URL of a database in which to create and drop others
	own   string // URL of the database that StartPostgres made

	mu        sync.Mutex
	databases map[string]struct{} // created and not yet dropped
	h         *home               // nil: not our server
	proc      *process            // nil: crashed, or not our server
	program   string
	args      []string
	closed    bool
}

// StartPostgres starts a PostgreSQL server with one empty database, or creates a
// database on the server that PGASIDE_TEST_DATABASE_URL names. It returns when
// the server answers. Without a deadline in ctx it gives up after a minute.
//
// The server ends with Close, or with this process, however that ends. ctx
// bounds the start only.
func StartPostgres(ctx context.Context, o PostgresOptions) (*Postgres, error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	if u := os.Getenv(EnvDatabaseURL); u != "" && !o.Own {
		p, err := ConnectPostgres(ctx, u, o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", EnvDatabaseURL, err)
		}
		return p, nil
	}
	programs, err := findPostgres()
	if err != nil {
		return nil, err
	}
	h, err := newHome("QUIT", o.Log)
	if err != nil {
		return nil, err
	}
	p := &Postgres{h: h, program: programs.postgres, databases: map[string]struct{}{}}
	if err := p.launch(ctx, programs, o); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Postgres) launch(ctx context.Context, programs postgresPrograms, o PostgresOptions) error {
	// The password keeps other users of the machine out of a server whose
	// superuser may run programs.
	password := unique(16)
	if err := initdb(ctx, p.h, programs.initdb, password); err != nil {
		return err
	}
	settings := TestSettings()
	maps.Copy(settings, o.Settings)
	err := onFreePort(0, func(port int) error {
		p.admin = postgresURL(port, password, "postgres")
		p.own = postgresURL(port, password, postgresDatabase)
		p.args = postgresArgs(p.h.data(), port, settings)
		return p.run(ctx)
	})
	if err != nil {
		return err
	}
	return createDatabase(ctx, p.admin, postgresDatabase)
}

// run starts the server program and waits until it answers.
func (p *Postgres) run(ctx context.Context) error {
	proc, err := p.h.start(p.program, p.args...)
	if err != nil {
		return err
	}
	if err := proc.await(ctx, "PostgreSQL", func(ctx context.Context) error { return pingPostgres(ctx, p.admin) }); err != nil {
		return errors.Join(err, proc.stop(os.Kill))
	}
	p.proc = proc
	return nil
}

// initdb makes a cluster in the data directory of h.
func initdb(ctx context.Context, h *home, program, password string) error {
	file, err := writePassword(h.dir, password, h.run)
	if err != nil {
		return err
	}
	proc, err := h.start(program, initdbArgs(h.data(), file)...)
	if err != nil {
		return err
	}
	if err := proc.finish(ctx, "initdb"); err != nil {
		return err
	}
	return os.Remove(file)
}

// writePassword writes the superuser's password where initdb can read it.
func writePassword(dir, password string, run account) (string, error) {
	file := filepath.Join(dir, "password")
	if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
		return "", fmt.Errorf("writing the superuser's password: %w", err)
	}
	return file, run.own(file)
}

func initdbArgs(data, passwordFile string) []string {
	return []string{
		"-D", data, "-U", postgresUser, "--pwfile=" + passwordFile, "--auth=scram-sha-256",
		"-E", "UTF8", "--locale=C", "--no-sync",
	}
}

func postgresArgs(data string, port int, settings map[string]string) []string {
	args := []string{
		"-D", data,
		"-c", "listen_addresses=127.0.0.1",
		"-c", fmt.Sprintf("port=%d", port),
		"-c", "unix_socket_directories=",
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

func postgresURL(port int, password, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(postgresUser, password),
		Host: loopback(port), Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// ConnectPostgres creates a database with a unique name on a running server and
// returns it as a [Postgres] that does not own the server: Close drops the
// database, PID is 0, Crash and Restart return [ErrNotOurs].
func ConnectPostgres(ctx context.Context, serverURL string, o PostgresOptions) (*Postgres, error) {
	p := &Postgres{admin: serverURL, databases: map[string]struct{}{}}
	u, _, err := p.CreateDatabase(ctx, "pgaside")
	if err != nil {
		return nil, err
	}
	p.own = u
	if err := p.applySettings(ctx, o.Settings); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// applySettings sets parameters for our database on a server that isn't ours.
func (p *Postgres) applySettings(ctx context.Context, settings map[string]string) error {
	if len(settings) == 0 {
		return nil
	}
	return withConn(ctx, p.own, func(conn *pgx.Conn) error {
		var database string
		if err := conn.QueryRow(ctx, "SELECT current_database()").Scan(&database); err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(settings)) {
			want := settings[name]
			var have string
			if err := conn.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&have); err != nil {
				return fmt.Errorf("reading the setting %s: %w", name, err)
			}
			if have == want {
				continue
			}
			statement := fmt.Sprintf("ALTER DATABASE %s SET %s = %s", quoteName(database), quoteName(name), quoteText(want))
			if _, err := conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("the server has %s = %s, %s is needed, and it can't be set for one database: %w", name, have, want, err)
			}
		}
		return nil
	})
}

// URL is the connection string of the database that [StartPostgres] made. It
// stays the same over Crash and Restart.
func (p *Postgres) URL() string { return p.own }

// PID is the pid of the server's first process, or 0 while it is crashed and for
// a server that isn't ours.
func (p *Postgres) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.proc == nil {
		return 0
	}
	return p.proc.pid
}

// CreateDatabase creates an empty database whose name starts with prefix and
// returns its URL. drop removes it, and ends the connections to it; Close drops
// what is left.
func (p *Postgres) CreateDatabase(ctx context.Context, prefix string) (u string, drop func(), err error) {
	name := databaseName(prefix)
	u, err = withDatabase(p.admin, name)
	if err != nil {
		return "", nil, err
	}
	if err := createDatabase(ctx, p.admin, name); err != nil {
		return "", nil, err
	}
	p.mu.Lock()
	p.databases[name] = struct{}{}
	p.mu.Unlock()
	return u, func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		// Close tries again and reports.
		_ = p.dropDatabase(ctx, name)
	}, nil
}

func (p *Postgres) dropDatabase(ctx context.Context, name string) error {
	p.mu.Lock()
	_, exists := p.databases[name]
	p.mu.Unlock()
	if !exists {
		return nil
	}
	err := withConn(ctx, p.admin, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+quoteName(name)+" WITH (FORCE)")
		return err
	})
	if err != nil {
		return fmt.Errorf("dropping the database %s: %w", name, err)
	}
	p.mu.Lock()
	delete(p.databases, name)
	p.mu.Unlock()
	return nil
}

// Crash kills the server and all its processes with SIGKILL, as a power cut
// would end them, and returns when they are gone. Committed data survive.
func (p *Postgres) Crash() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.h == nil {
		return ErrNotOurs
	}
	if p.proc == nil {
		return nil
	}
	backends := children(p.proc.pid)
	err := p.proc.stop(os.Kill)
	for _, pid := range backends {
		// Those that noticed the end of their parent are gone already.
		_ = killPID(pid)
	}
	p.proc = nil
	return err
}

// Restart starts the server again at the same address after [Postgres.Crash]; a
// running server is shut down first. It returns when the server answers.
func (p *Postgres) Restart(ctx context.Context) error {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.h == nil {
		return ErrNotOurs
	}
	if p.proc != nil {
		err := p.proc.stop(os.Interrupt)
		p.proc = nil
		if err != nil {
			return err
		}
	}
	return again(ctx, func() error { return p.run(ctx) })
}

// again repeats a start for as long as what is in its way may go away by itself:
// a port in use, or the last process of a killed server.
func again(ctx context.Context, start func() error) error {
	for {
		err := start()
		var se *startError
		if !errors.As(err, &se) {
			return err
		}
		if !se.portTaken() && !strings.Contains(se.log, "shared memory block") {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * pollInterval):
		}
	}
}

// Ping connects to the server and returns nil if that works.
func (p *Postgres) Ping(ctx context.Context) error { return pingPostgres(ctx, p.admin) }

// Close ends the server and removes its files. On a server that isn't ours it
// drops our databases. Closing twice is allowed.
func (p *Postgres) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	h, proc := p.h, p.proc
	p.h, p.proc = nil, nil
	left := slices.Sorted(maps.Keys(p.databases))
	p.mu.Unlock()

	var errs []error
	if h == nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		for _, name := range left {
			errs = append(errs, p.dropDatabase(ctx, name))
		}
		return errors.Join(errs...)
	}
	if proc != nil {
		// The files go away: an orderly checkpoint would be wasted, but the fast
		// shutdown lets clients see an end of the connection and not a reset.
		errs = append(errs, proc.stop(os.Interrupt))
	}
	return errors.Join(append(errs, h.close())...)
}

func pingPostgres(ctx context.Context, u string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return withConn(ctx, u, func(*pgx.Conn) error { return nil })
}

func createDatabase(ctx context.Context, admin, name string) error {
	err := withConn(ctx, admin, func(conn *pgx.Conn) error {
		// template0: whoever is connected to template1 would be in the way.
		_, err := conn.Exec(ctx, "CREATE DATABASE "+quoteName(name)+" TEMPLATE template0")
		return err
	})
	if err != nil {
		return fmt.Errorf("creating the database %s: %w", name, err)
	}
	return nil
}

// ensureDatabase creates a database unless it is there.
func ensureDatabase(ctx context.Context, admin, name string) error {
	var exists bool
	err := withConn(ctx, admin, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists)
	})
	if err != nil {
		return fmt.Errorf("looking for the database %s: %w", name, err)
	}
	if exists {
		return nil
	}
	return createDatabase(ctx, admin, name)
}

func withConn(ctx context.Context, u string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, u)
	if err != nil {
		return fmt.Errorf("connecting to PostgreSQL: %w", err)
	}
	err = do(conn)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	return errors.Join(err, conn.Close(closing))
}

// withDatabase is u with another database.
func withDatabase(u, database string) (string, error) {
	parsed, err := url.Parse(u)
	if err != nil || (parsed.Scheme != "postgres" && parsed.Scheme != "postgresql") {
		// Not the cause: it would print the password.
		return "", errors.New("the address of a PostgreSQL server must be a URL, postgres://user:password@host:port/database")
	}
	if _, err := pgconn.ParseConfig(u); err != nil {
		return "", fmt.Errorf("the address of a PostgreSQL server: %w", err)
	}
	parsed.Path = "/" + database
	return parsed.String(), nil
}

// databaseName is prefix, reduced to letters, digits and underscores, with a
// unique end. PostgreSQL cuts names off after 63 bytes.
func databaseName(prefix string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		default:
			return '_'
		}
	}, prefix)
	return clean[:min(len(clean), 40)] + "_" + unique(8)
}

func quoteName(s string) string { return pgx.Identifier{s}.Sanitize() }

func quoteText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
