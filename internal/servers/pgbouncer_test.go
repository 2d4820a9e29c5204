//go:build unix

package servers

import (
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestPgBouncer(t *testing.T) {
	t.Parallel()

	ctx := t.Context()
	p, err := StartPostgres(ctx, PostgresOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	b, err := StartPgBouncer(ctx, PgBouncerOptions{Database: p.URL(), PoolSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	pid, dir := b.PID(), b.h.dir
	defer func() {
		for range 2 {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		}
		if alive(pid) || b.PID() != 0 || exists(dir) {
			t.Errorf("after Close: process %d alive %v, directory there %v", pid, alive(pid), exists(dir))
		}
	}()

	exec1(t, p.URL(), "CREATE TABLE t (id int, v text)")
	connect := func() *pgx.Conn {
		conn, err := pgx.Connect(ctx, b.URL())
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	one, two := connect(), connect()
	defer one.Close(ctx)
	defer two.Close(ctx)
	var first int
	err = pgx.BeginFunc(ctx, one, func(tx pgx.Tx) error {
		for i := range 3 { // the same statement, so that it would be prepared
			if _, err := tx.Exec(ctx, "INSERT INTO t VALUES ($1, $2)", i, "v"); err != nil {
				return err
			}
		}
		return tx.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&first)
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		var n, second int
		if err := two.QueryRow(ctx, "SELECT count(*), pg_backend_pid() FROM t WHERE v = $1", "v").Scan(&n, &second); err != nil {
			t.Fatal(err)
		}
		if n != 3 || second != first {
			t.Errorf("%d rows; on connection %d, not the one, %d, that there is", n, second, first)
		}
	}

	t.Run("another database", func(t *testing.T) {
		u, drop, err := p.CreateDatabase(ctx, "other")
		if err != nil {
			t.Fatal(err)
		}
		defer drop()
		direct, _ := url.Parse(u)
		through, _ := url.Parse(b.URL())
		through.Path = direct.Path
		if got := queryText(t, through.String(), "SELECT '/' || current_database()"); got != direct.Path {
			t.Errorf("connected to %s", got)
		}
	})

	t.Run("a wrong password", func(t *testing.T) {
		u, _ := url.Parse(b.URL())
		u.User = url.UserPassword(postgresUser, "wrong")
		if err := pingPostgres(ctx, u.String()); err == nil {
			t.Error("let in")
		}
	})

	t.Run("does not start", func(t *testing.T) {
		if _, err := StartPgBouncer(ctx, PgBouncerOptions{Database: p.URL(), Mode: "nonsense"}); err == nil || !strings.Contains(err.Error(), "nonsense") {
			t.Errorf("%v", err)
		}
		if _, err := StartPgBouncer(ctx, PgBouncerOptions{Database: "host=localhost password=geheim"}); err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%v", err)
		}
	})
}
