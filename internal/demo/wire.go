package demo

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"
)

// wireCounter counts what a pool sends to Postgres by reading the protocol on its connections. That sees everything,
// whichever way the statement went into the driver: queries, the statements around a transaction, and round trips.
type wireCounter struct {
	reads      atomic.Int64 // executions of named queries that read
	writes     atomic.Int64 // executions of named queries that write
	others     atomic.Int64 // any other statement: BEGIN, COMMIT, the commit guard, …
	roundTrips atomic.Int64 // messages that Postgres answers as a whole: Sync and simple queries
}

// wireCounts is a snapshot of a wireCounter.
type wireCounts struct {
	Reads      int64 `json:"reads"`
	Writes     int64 `json:"writes"`
	Others     int64 `json:"others"`
	RoundTrips int64 `json:"round_trips"`
}

// queries is the number of named queries, reads and writes: what the application asked for and Postgres had to do.
func (w wireCounts) queries() int64 { return w.Reads + w.Writes }

func (w wireCounts) minus(o wireCounts) wireCounts {
	return wireCounts{w.Reads - o.Reads, w.Writes - o.Writes, w.Others - o.Others, w.RoundTrips - o.RoundTrips}
}

func (c *wireCounter) counts() wireCounts {
	return wireCounts{c.reads.Load(), c.writes.Load(), c.others.Load(), c.roundTrips.Load()}
}

// afterNetConnect is for pgconn.Config: it puts the counter on a new connection, inside TLS where there is any.
func (c *wireCounter) afterNetConnect(_ context.Context, _ *pgconn.Config, conn net.Conn) (net.Conn, error) {
	return &wireConn{
		Conn: conn, counter: c,
		statements: map[string]*atomic.Int64{}, portals: map[string]*atomic.Int64{},
	}, nil
}

// wireConn reads the frontend's messages as they are written. A connection is written by one goroutine at a time.
type wireConn struct {
	net.Conn
	counter    *wireCounter
	started    bool   // the startup message, which has no type byte, has passed
	pending    []byte // the beginning of a message whose rest has not been written yet
	statements map[string]*atomic.Int64
	portals    map[string]*atomic.Int64
}

func (c *wireConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.inspect(b[:n])
	return n, err
}

// inspect takes the messages out of the bytes that were written.
func (c *wireConn) inspect(b []byte) {
	if len(c.pending) > 0 {
		b = append(c.pending, b...)
		c.pending = nil
	}
	for {
		typed := 1
		if !c.started {
			typed = 0
		}
		if len(b) < typed+4 {
			break
		}
		size := typed + int(binary.BigEndian.Uint32(b[typed:]))
		if len(b) < size {
			break
		}
		if c.started {
			c.message(b[0], b[5:size])
		}
		c.started = true
		b = b[size:]
	}
	c.pending = bytes.Clone(b)
}

// message counts one frontend message.
func (c *wireConn) message(kind byte, body []byte) {
	switch kind {
	case 'Q': // simple query, perhaps several statements
		c.counter.roundTrips.Add(1)
		sql, _ := cstring(body)
		if class := c.counter.class(sql); class != &c.counter.others {
			class.Add(1)
			return
		}
		for statement := range strings.SplitSeq(sql, ";") {
			if strings.TrimSpace(statement) != "" {
				c.counter.others.Add(1)
			}
		}
	case 'P': // Parse: statement name, text
		name, rest := cstring(body)
		sql, _ := cstring(rest)
		c.statements[name] = c.counter.class(sql)
	case 'B': // Bind: portal, statement name
		portal, rest := cstring(body)
		name, _ := cstring(rest)
		c.portals[portal] = c.statements[name]
	case 'E': // Execute: portal
		portal, _ := cstring(body)
		if class := c.portals[portal]; class != nil {
			class.Add(1)
		}
	case 'S': // Sync
		c.counter.roundTrips.Add(1)
	}
}

// class returns the counter that a statement belongs to. Queries that sqlc generated begin with their name.
func (c *wireCounter) class(sql string) *atomic.Int64 {
	if !strings.HasPrefix(sql, "-- name: ") {
		return &c.others
	}
	_, body, _ := strings.Cut(sql, "\n")
	for word := range strings.FieldsSeq(body) {
		if strings.EqualFold(word, "SELECT") {
			return &c.reads
		}
		break
	}
	return &c.writes
}

// cstring splits a zero-terminated string off a message.
func cstring(b []byte) (string, []byte) {
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return string(b), nil
	}
	return string(b[:i]), b[i+1:]
}
