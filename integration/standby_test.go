package integration

import (
	"bytes"
	"context"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cached"
)

// standbyConn makes a server say that it is a hot standby. The message that says it is the only difference that pgaside can
// see between a replica and a primary.
type standbyConn struct{ net.Conn }

func (c standbyConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	primary, standby := []byte("S\x00\x00\x00\x17in_hot_standby\x00off\x00"), []byte("S\x00\x00\x00\x16in_hot_standby\x00on\x00")
	return copy(p, bytes.Replace(p[:n], primary, standby, 1)), err
}

// TestStandbyIsNotCached: what a hot standby answers may be older than the lease under which it would be stored. It is served
// and not stored, and the log says so once (A30).
func TestStandbyIsNotCached(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	cfg, err := pgxpool.ParseConfig(w.dbURL)
	require.NoError(t, err)
	cfg.ConnConfig.TLSConfig, cfg.ConnConfig.Fallbacks = nil, nil
	dial := cfg.ConnConfig.DialFunc
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		return standbyConn{conn}, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)

	s := w.session(ctx)
	c := w.open()
	lagging := cached.New(pool, c)
	for range 5 {
		require.Equal(t, "first", w.title(ctx, lagging, s.ID))
	}
	eventually(t, "every lease was given back", func() bool { return len(w.fields(ctx, w.redisKey("session", s.ID))) == 0 })
	require.Zero(t, c.Stats().Total().Fills)
	require.Zero(t, c.Stats().Total().Hits)
	require.Equal(t, 1, bytes.Count([]byte(w.log.String()), []byte("hot standby")))

	// The primary's answers are stored, and those who read the standby get them from Redis.
	q, _ := w.queries()
	w.warm(ctx, q, s.ID)
	require.Equal(t, "first", w.title(ctx, lagging, s.ID))
	require.EqualValues(t, 1, c.Stats().Total().Hits)
}
