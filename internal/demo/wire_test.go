package demo

import (
	"context"
	"net"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/repo"
)

// sink is a connection that swallows what is written.
type sink struct{ net.Conn }

func (sink) Write(b []byte) (int, error) { return len(b), nil }

// frontend encodes messages as a driver would write them.
func frontend(t *testing.T, messages ...pgproto3.FrontendMessage) []byte {
	t.Helper()
	var b []byte
	for _, m := range messages {
		var err error
		b, err = m.Encode(b)
		require.NoError(t, err)
	}
	return b
}

func TestWireCounter(t *testing.T) {
	b := frontend(
		t,
		&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "u"}},
		&pgproto3.Parse{Name: "s1", Query: "-- name: GetX :one\nSELECT\n  1"},
		&pgproto3.Sync{},
		&pgproto3.Bind{PreparedStatement: "s1"},
		&pgproto3.Execute{},
		&pgproto3.Sync{},
		&pgproto3.Parse{Query: "-- name: SetX :exec\nupdate x SET y = $1"},
		&pgproto3.Bind{DestinationPortal: "p", Parameters: [][]byte{[]byte("SELECT")}},
		&pgproto3.Execute{Portal: "p"},
		&pgproto3.Sync{},
		&pgproto3.Query{String: "begin"},
		&pgproto3.Query{String: "select 1/1; commit;"},
		&pgproto3.Query{String: "-- name: GetY :many\nSELECT 2"},
		&pgproto3.CopyData{Data: []byte("E S Q")},
	)
	want := wireCounts{Reads: 2, Writes: 1, Others: 3, RoundTrips: 6}
	for _, chunk := range []int{1, 3, 7, 64, len(b)} {
		counter := &wireCounter{}
		conn, err := counter.afterNetConnect(t.Context(), nil, sink{})
		require.NoError(t, err)
		for rest := b; len(rest) > 0; {
			n, err := conn.Write(rest[:min(chunk, len(rest))])
			require.NoError(t, err)
			rest = rest[n:]
		}
		require.Equal(t, want, counter.counts(), "written in pieces of %d bytes", chunk)
	}
}

// TestWireCounterAgainstPostgres counts what pgx really sends.
func TestWireCounterAgainstPostgres(t *testing.T) {
	s := newTestStage(t)
	config, err := pgxpool.ParseConfig(s.postgres.URL())
	require.NoError(t, err)
	counter := &wireCounter{}
	config.ConnConfig.AfterNetConnect = counter.afterNetConnect
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	defer pool.Close()

	ctx := context.Background()
	for range 3 {
		_, err = repo.New(pool).GetSession(ctx, s.data.sessionID(0))
		require.NoError(t, err)
	}
	_, err = repo.New(pool).RenameSession(ctx, repo.RenameSessionParams{ID: s.data.sessionID(0), Title: "x"})
	require.NoError(t, err)
	require.NoError(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		_, err := repo.New(tx).CountUsers(ctx)
		return err
	}))
	got := counter.counts()
	require.EqualValues(t, 4, got.Reads)
	require.EqualValues(t, 1, got.Writes)
	require.GreaterOrEqual(t, got.Others, int64(2), "begin and commit")
	require.EqualValues(t, 5, got.queries())
}
