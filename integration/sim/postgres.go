package sim

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The other end of the pools: what pgx and cache/pgfence send is taken apart as Postgres would do it, and what they read is what
// Postgres would send. A connection has no goroutine of its own. Each request (a Query, or everything up to a Sync) is a step of
// the scheduler, and so is its answer.
//
// The pools are as pgx makes them, but for what would add steps that have nothing to do with the protocol: nothing is pinged,
// no connection grows too old, and statements are not prepared beforehand (QueryExecModeExec). To connect takes no step.

// conn is a connection, and the backend at its other end. Guarded by world.mu.
type conn struct {
	w  *world
	c  *client
	op string // whose it is now
	wr *write // what is written on it now

	in      []byte // sent by the client, and not a whole message
	started bool
	request []pgproto3.FrontendMessage // up to the next Query or Sync
	flying  int                        // requests on their way

	out     []byte        // sent by the backend, and not read
	ready   chan struct{} // closed when something has changed
	expired bool          // the deadline
	timer   *time.Timer
	broken  bool // the network
	eof     bool // the backend has ended
	closed  bool // by the client

	tx  *dbTx
	sql string // of the unnamed statement
	arg [][]byte
}

// dbTx is a transaction of the database.
type dbTx struct {
	wr         *write
	xid        string // empty: nothing was written
	rows       []int  // that were changed
	savepoints []savepoint
	failed     bool
	committing bool
	state      commitState
}

type savepoint struct {
	name string
	rows int // changes before it
}

// Statements of the simulated program. A version of a row is the number of transactions that have changed it, so that changes
// need not wait for each other, and so that versions are in the order of the commits.
const (
	changeSQL = `-- name: Change :exec
insert into changes (row_id, tx) values ($1, pg_current_xact_id()) on conflict do nothing`

	changedSQL = `-- name: Changed :one
insert into changes (row_id, tx) values ($1, pg_current_xact_id()) on conflict (row_id, tx) do update set tx = excluded.tx returning row_id`

	versionSQL = `-- name: Version :one
select $1::int, count(*)::int from changes where row_id = $1 having count(*) % 5 <> 4`

	versionsSQL = `-- name: Versions :many
select r.id, count(c.tx)::int from rows r left join changes c on c.row_id = r.id where r.id = any($1) group by r.id having count(c.tx) % 5 <> 4`
)

var poolConfig = sync.OnceValue(func() *pgxpool.Config {
	cfg, err := pgxpool.ParseConfig("postgres://sim:sim@sim:5432/sim?sslmode=disable")
	if err != nil {
		panic(err)
	}
	const never = 100_000 * time.Hour
	cfg.MaxConns = 64 // nobody waits for a connection
	cfg.MaxConnLifetime, cfg.MaxConnIdleTime, cfg.HealthCheckPeriod = never, never, never
	cfg.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
	cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	cfg.ConnConfig.StatementCacheCapacity, cfg.ConnConfig.DescriptionCacheCapacity = 0, 0
	cfg.ConnConfig.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	return cfg
})

func (w *world) newPool(c *client) *pgxpool.Pool {
	cfg := poolConfig().Copy()
	cfg.ConnConfig.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return w.dial(ctx, c) }
	cfg.PrepareConn = func(ctx context.Context, pc *pgx.Conn) (bool, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		cn := pc.PgConn().Conn().(*conn)
		cn.op = w.nameOf(ctx, c)
		cn.wr, _ = ctx.Value(writeKey{}).(*write)
		return true, nil
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		panic(err)
	}
	return pool
}

func (w *world) dial(ctx context.Context, c *client) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.dead {
		return nil, errDead
	}
	if !w.calm && w.q <= fairAfter && w.fault(w.tr.database/2, "refuse a connection", w.count(w.nameOf(ctx, c)+".connect")) {
		w.troubled = true
		return nil, errReset
	}
	cn := &conn{w: w, c: c, ready: make(chan struct{})}
	c.conns = append(c.conns, cn)
	return cn, nil
}

type address struct{}

func (address) Network() string { return "tcp" }
func (address) String() string  { return "sim:5432" }

func (cn *conn) LocalAddr() net.Addr                { return address{} }
func (cn *conn) RemoteAddr() net.Addr               { return address{} }
func (cn *conn) SetReadDeadline(t time.Time) error  { return cn.SetDeadline(t) }
func (cn *conn) SetWriteDeadline(t time.Time) error { return cn.SetDeadline(t) }

func (cn *conn) SetDeadline(t time.Time) error {
	cn.w.mu.Lock()
	defer cn.w.mu.Unlock()
	if cn.timer != nil {
		cn.timer.Stop()
		cn.timer = nil
	}
	wait := time.Until(t)
	if cn.expired = !t.IsZero() && wait <= 0; cn.expired {
		cn.wake()
	} else if !t.IsZero() {
		cn.timer = time.AfterFunc(wait, func() {
			cn.w.mu.Lock()
			defer cn.w.mu.Unlock()
			cn.expired = true
			cn.wake()
		})
	}
	return nil
}

func (cn *conn) wake() {
	close(cn.ready)
	cn.ready = make(chan struct{})
}

func (cn *conn) Read(p []byte) (int, error) {
	for {
		cn.w.mu.Lock()
		n, err := 0, error(nil)
		switch {
		case cn.closed:
			err = net.ErrClosed
		case cn.expired:
			err = os.ErrDeadlineExceeded
		case len(cn.out) > 0:
			n = copy(p, cn.out)
			cn.out = cn.out[n:]
		case cn.broken:
			err = errReset
		case cn.eof:
			err = io.EOF
		default:
			ready := cn.ready
			cn.w.mu.Unlock()
			<-ready
			continue
		}
		cn.w.mu.Unlock()
		return n, err
	}
}

func (cn *conn) Close() error {
	cn.w.mu.Lock()
	defer cn.w.mu.Unlock()
	if cn.timer != nil {
		cn.timer.Stop()
	}
	cn.closed = true
	cn.wake()
	cn.hangUp()
	return nil
}

func (cn *conn) Write(p []byte) (int, error) {
	cn.w.mu.Lock()
	defer cn.w.mu.Unlock()
	switch {
	case cn.closed:
		return 0, net.ErrClosed
	case cn.expired:
		return 0, os.ErrDeadlineExceeded
	case cn.broken:
		return 0, errReset
	}
	cn.in = append(cn.in, p...)
	for cn.receive() { //nolint:revive // until there is no whole message any more
	}
	return len(p), nil
}

// receive takes one message from what the client has sent.
func (cn *conn) receive() bool {
	if !cn.started {
		return cn.startUp()
	}
	if len(cn.in) < 5 {
		return false
	}
	size := 1 + int(binary.BigEndian.Uint32(cn.in[1:]))
	if len(cn.in) < size {
		return false
	}
	var m pgproto3.FrontendMessage
	last := false
	switch cn.in[0] {
	case 'Q':
		m, last = &pgproto3.Query{}, true
	case 'S':
		m, last = &pgproto3.Sync{}, true
	case 'P':
		m = &pgproto3.Parse{}
	case 'B':
		m = &pgproto3.Bind{}
	case 'D':
		m = &pgproto3.Describe{}
	case 'E':
		m = &pgproto3.Execute{}
	case 'X':
		m = &pgproto3.Terminate{}
	default:
		cn.w.fail("database", "a message of type %q is not simulated", cn.in[0])
		return false
	}
	if err := m.Decode(bytes.Clone(cn.in[5:size])); err != nil {
		cn.w.fail("database", "a message that cannot be read: %v", err)
		return false
	}
	cn.in = cn.in[size:]
	if _, end := m.(*pgproto3.Terminate); end {
		cn.eof = true
		cn.wake()
		return true
	}
	if cn.request = append(cn.request, m); last {
		request := cn.request
		cn.request = nil
		cn.arrive(request)
	}
	return true
}

func (cn *conn) startUp() bool {
	if len(cn.in) < 8 || len(cn.in) < int(binary.BigEndian.Uint32(cn.in)) {
		return false
	}
	const cancelRequest = 80877102
	cn.started = true
	if binary.BigEndian.Uint32(cn.in[4:]) == cancelRequest { // too late for what it is about
		cn.eof = true
		cn.wake()
		return false
	}
	cn.in = cn.in[binary.BigEndian.Uint32(cn.in):]
	status := func(name, value string) pgproto3.BackendMessage {
		return &pgproto3.ParameterStatus{Name: name, Value: value}
	}
	standby := "off"
	if cn.c.standby {
		standby = "on"
	}
	cn.send(
		&pgproto3.AuthenticationOk{}, status("server_version", "17.0"), status("client_encoding", "UTF8"),
		status("standard_conforming_strings", "on"), status("in_hot_standby", standby),
		&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}}, &pgproto3.ReadyForQuery{TxStatus: 'I'},
	)
	return true
}

// send lets the client have messages at once; nil is the end of the connection.
func (cn *conn) send(ms ...pgproto3.BackendMessage) {
	for _, m := range ms {
		if m == nil {
			cn.eof = true
			break
		}
		out, err := m.Encode(cn.out)
		if err != nil {
			cn.w.fail("database", "a message that cannot be written: %v", err)
		}
		cn.out = out
	}
	cn.wake()
}

// breakOff is what the network does.
func (cn *conn) breakOff() {
	cn.broken = true
	cn.wake()
	cn.hangUp()
}

// hangUp ends what is open when nobody is at the other end any more. What is on its way arrives before.
func (cn *conn) hangUp() {
	if cn.flying == 0 && cn.tx != nil && !cn.tx.committing {
		cn.w.abort(cn.tx)
		cn.tx = nil
	}
}

// arrive lets a request wait for its turn.
func (cn *conn) arrive(request []pgproto3.FrontendMessage) {
	w := cn.w
	sql := firstSQL(request)
	name, commit := cn.nameOf(sql, request)
	cn.flying++
	run := func() {
		defer func() {
			cn.flying--
			if cn.broken || cn.closed {
				cn.hangUp()
			}
		}()
		if cn.c.dead && w.frac(name, "dies") < 0.5 {
			return // it had not been sent
		}
		switch f := w.statementFate(name, commit, sql); f {
		case "":
			cn.execute(name, request)
		case statementLost:
			w.logf("    %s", f)
			cn.breakOff()
		case statementFails:
			w.logf("    %s", f)
			cn.fail(name, &pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: "58030", Message: "sim: could not read a block"}, nil)
		case statementReset:
			w.logf("    %s", f)
			cn.execute("", request)
			cn.breakOff()
		}
	}
	if w.calm {
		run()
		return
	}
	s := &step{name: name + ">", run: run}
	if commit { // the client's own turn: its process may stand still before
		s.c = cn.c
	}
	w.add(s)
}

// What becomes of a request that is no COMMIT.
const (
	statementFails = "fail a statement"
	statementLost  = "break the connection before a statement"
	statementReset = "break the connection after a statement"
)

func (w *world) statementFate(name string, commit bool, sql string) string {
	if commit || w.calm || w.q > fairAfter {
		return ""
	}
	for _, f := range []string{statementFails, statementLost, statementReset} {
		if f == statementFails && !strings.HasPrefix(sql, "-- name") && !strings.HasPrefix(sql, "select pg_") {
			continue
		}
		if w.fault(w.tr.database/3, f, name) {
			w.troubled = true
			return f
		}
	}
	return ""
}

func firstSQL(request []pgproto3.FrontendMessage) string {
	for _, m := range request {
		switch m := m.(type) {
		case *pgproto3.Query:
			return m.String
		case *pgproto3.Parse:
			return m.Query
		}
	}
	return ""
}

const statusSQL = "select pg_xact_status("

// nameOf names a request by who sends it, and what it begins with.
func (cn *conn) nameOf(sql string, request []pgproto3.FrontendMessage) (name string, commit bool) {
	w := cn.w
	if strings.HasPrefix(sql, statusSQL) {
		for _, m := range request {
			if b, ok := m.(*pgproto3.Bind); ok {
				if tx := w.xacts[string(b.Parameters[0])]; tx != nil {
					return w.count(tx.wr.name + ".resolve"), false
				}
			}
		}
		return w.count(cn.op + ".resolve"), false
	}
	if q := strings.TrimSpace(sql); q == "commit" || strings.HasSuffix(q, "; commit") {
		if name = w.count(cn.op + ".commit"); strings.HasSuffix(name, "#0") {
			name = strings.TrimSuffix(name, "#0")
		}
		return name, true
	}
	if rest, ok := strings.CutPrefix(sql, "-- name: "); ok {
		sql = rest
	}
	word, _, _ := strings.Cut(sql, " ")
	return w.count(cn.op + "." + strings.ToLower(word)), false
}

// result is what a statement has given.
type result struct {
	fields []pgproto3.FieldDescription
	rows   [][]string // a nil one is NULL
	tag    string
	err    *pgproto3.ErrorResponse
}

const (
	int4OID        = 23
	textOID        = 25
	timestamptzOID = 1184
)

func field(name string, oid uint32) pgproto3.FieldDescription {
	return pgproto3.FieldDescription{Name: []byte(name), DataTypeOID: oid, DataTypeSize: -1, TypeModifier: -1}
}

func pgError(code, format string, args ...any) result {
	return result{err: &pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: code, Message: fmt.Sprintf(format, args...)}}
}

// execute runs a request. With no name there is nobody who would get the answer.
func (cn *conn) execute(name string, request []pgproto3.FrontendMessage) {
	var out []pgproto3.BackendMessage
	failed := false
	for _, m := range request {
		switch m := m.(type) {
		case *pgproto3.Query:
			for _, sql := range splitSQL(m.String) {
				if sql == "commit" && cn.tx != nil && !cn.tx.failed {
					cn.commit(name, out)
					return
				}
				r := cn.run(sql, nil)
				if r.err != nil {
					cn.fail(name, r.err, out)
					return
				}
				if r.fields != nil {
					out = append(out, &pgproto3.RowDescription{Fields: r.fields})
				}
				out = append(out, rowsOf(r)...)
			}
			out = append(out, cn.readyForQuery())
		case *pgproto3.Parse:
			cn.sql = m.Query
			if !failed {
				out = append(out, &pgproto3.ParseComplete{})
			}
		case *pgproto3.Bind:
			cn.arg = m.Parameters
			if !failed {
				out = append(out, &pgproto3.BindComplete{})
			}
		case *pgproto3.Describe:
		case *pgproto3.Execute: // after what Describe asks for
			if failed {
				continue
			}
			r := cn.run(cn.sql, cn.arg)
			switch {
			case r.err != nil:
				failed = true
				if cn.tx != nil {
					cn.failTx()
				}
				out = append(out, r.err)
				continue
			case r.fields != nil:
				out = append(out, &pgproto3.RowDescription{Fields: r.fields})
			default:
				out = append(out, &pgproto3.NoData{})
			}
			out = append(out, rowsOf(r)...)
		case *pgproto3.Sync:
			out = append(out, cn.readyForQuery())
		}
	}
	cn.answer(name, out)
}

// splitSQL takes the statements of a simple query apart.
func splitSQL(sql string) []string {
	if strings.HasPrefix(sql, "do $$") {
		return []string{sql}
	}
	parts := strings.Split(sql, ";")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

func rowsOf(r result) []pgproto3.BackendMessage {
	var out []pgproto3.BackendMessage
	for _, row := range r.rows {
		d := &pgproto3.DataRow{}
		for _, v := range row {
			if v == null {
				d.Values = append(d.Values, nil)
			} else {
				d.Values = append(d.Values, []byte(v))
			}
		}
		out = append(out, d)
	}
	return append(out, &pgproto3.CommandComplete{CommandTag: []byte(r.tag)})
}

const null = "\x00"

func (cn *conn) readyForQuery() *pgproto3.ReadyForQuery {
	switch {
	case cn.tx == nil:
		return &pgproto3.ReadyForQuery{TxStatus: 'I'}
	case cn.tx.failed:
		return &pgproto3.ReadyForQuery{TxStatus: 'E'}
	}
	return &pgproto3.ReadyForQuery{TxStatus: 'T'}
}

// fail ends a request with an error, after what its statements have given before.
func (cn *conn) fail(name string, err *pgproto3.ErrorResponse, out []pgproto3.BackendMessage) {
	if cn.tx != nil {
		cn.failTx()
	}
	cn.w.logf("    %s: %s", err.Code, err.Message)
	cn.answer(name, append(out, err, cn.readyForQuery()))
}

// failTx is what an error does to a transaction. In a savepoint it can be rolled back to that; otherwise it is over, although
// its end is still to be said.
func (cn *conn) failTx() {
	cn.tx.failed = true
	if len(cn.tx.savepoints) == 0 {
		cn.w.abort(cn.tx)
	}
}

// answer lets an answer wait for its turn.
func (cn *conn) answer(name string, out []pgproto3.BackendMessage) {
	if name == "" || cn.broken {
		return
	}
	if cn.w.calm {
		cn.send(out...)
		return
	}
	cn.w.add(&step{name: name + "<", run: func() {
		if !cn.broken {
			cn.send(out...)
		}
	}})
}

// run runs one statement that is no COMMIT.
func (cn *conn) run(sql string, args [][]byte) result {
	w := cn.w
	word, rest, _ := strings.Cut(sql, " ")
	if cn.tx != nil && cn.tx.failed && word != "rollback" && word != "commit" {
		return pgError("25P02", "current transaction is aborted, commands ignored until end of transaction block")
	}
	status := []pgproto3.FieldDescription{field("xid", textOID)}
	switch {
	case sql == "begin":
		cn.tx = &dbTx{wr: cn.wr}
		return result{tag: "BEGIN"}
	case sql == "commit": // of none, or of one that has failed
		return cn.rollback()
	case sql == "rollback":
		return cn.rollback()
	case word == "savepoint":
		cn.tx.savepoints = append(cn.tx.savepoints, savepoint{rest, len(cn.tx.rows)})
		return result{tag: "SAVEPOINT"}
	case word == "release":
		return cn.savepoint(strings.TrimPrefix(rest, "savepoint "), false)
	case word == "rollback":
		return cn.savepoint(strings.TrimPrefix(rest, "to savepoint "), true)
	case strings.HasPrefix(sql, "do $$"):
		return pgError("P0001", "pgaside: a write could not be fenced: roll back")
	case strings.HasPrefix(sql, guardSQL):
		deadline, err := time.Parse("2006-01-02 15:04:05.999999-07", strings.TrimSuffix(strings.TrimPrefix(sql, guardSQL), "'::timestamptz)::int"))
		if err != nil {
			w.fail("database", "a guard that cannot be read: %q", sql)
		}
		if !w.now().Before(deadline) {
			return pgError("22012", "division by zero")
		}
		return result{fields: []pgproto3.FieldDescription{field("?column?", int4OID)}, rows: [][]string{{"1"}}, tag: "SELECT 1"}
	case sql == "select pg_current_xact_id_if_assigned()::text, clock_timestamp()":
		xid := null
		if cn.tx != nil && cn.tx.xid != "" {
			xid = cn.tx.xid
		}
		w.asked(cn.tx)
		return result{
			fields: append(status, field("clock_timestamp", timestamptzOID)),
			rows:   [][]string{{xid, w.now().UTC().Format("2006-01-02 15:04:05.999999+00")}}, tag: "SELECT 1",
		}
	case sql == "select pg_current_xact_id()::text":
		w.assign(cn.tx)
		w.asked(cn.tx)
		return result{fields: status, rows: [][]string{{cn.tx.xid}}, tag: "SELECT 1"}
	case strings.HasPrefix(sql, statusSQL):
		return w.xactStatus(string(args[0]))
	case sql == changeSQL, sql == changedSQL:
		r := atoi(args[0])
		if cn.tx == nil { // it commits by itself
			cn.tx = &dbTx{wr: cn.wr}
			defer func() {
				w.commit(cn.tx)
				cn.tx = nil
			}()
		}
		w.assign(cn.tx)
		cn.tx.rows = append(cn.tx.rows, r)
		if sql == changedSQL {
			return result{fields: []pgproto3.FieldDescription{field("row_id", int4OID)}, rows: [][]string{{strconv.Itoa(r)}}, tag: "INSERT 0 1"}
		}
		return result{tag: "INSERT 0 1"}
	case sql == versionSQL:
		return cn.versions([]int{atoi(args[0])})
	case sql == versionsSQL:
		var ids []int
		for id := range strings.SplitSeq(strings.Trim(string(args[0]), "{}"), ",") {
			if n := atoi([]byte(id)); n < len(w.rows) {
				ids = append(ids, n)
			}
		}
		return cn.versions(ids)
	}
	w.fail("database", "a statement that is not simulated: %q", sql)
	return pgError("0A000", "not simulated")
}

const guardSQL = "select 1/(clock_timestamp() < '"

func atoi(b []byte) int {
	n, err := strconv.Atoi(string(b))
	if err != nil {
		panic(fmt.Sprintf("%q is no number", b))
	}
	return n
}

// versions reads rows, as the transaction sees them.
func (cn *conn) versions(ids []int) result {
	w := cn.w
	if w.calm {
		w.counts["loads at rest"]++
	}
	r := result{fields: []pgproto3.FieldDescription{field("row_id", int4OID), field("count", int4OID)}}
	for _, id := range ids {
		n := w.latest(id).n
		if cn.c.standby {
			n = w.replayed(id)
		}
		if cn.tx != nil {
			for _, changed := range cn.tx.rows {
				if changed == id {
					n++
					break
				}
			}
		}
		w.logf("    row %d: version %d", id, n)
		if !gone(n) {
			r.rows = append(r.rows, []string{strconv.Itoa(id), strconv.Itoa(n)})
		}
	}
	r.tag = "SELECT " + strconv.Itoa(len(r.rows))
	return r
}

// rollback ends the transaction, if there is one.
func (cn *conn) rollback() result {
	if cn.tx != nil {
		cn.w.abort(cn.tx)
		cn.tx = nil
	}
	return result{tag: "ROLLBACK"}
}

// savepoint ends a savepoint, or rolls back to it.
func (cn *conn) savepoint(name string, back bool) result {
	for i := len(cn.tx.savepoints) - 1; i >= 0; i-- {
		sp := cn.tx.savepoints[i]
		if sp.name != name {
			continue
		}
		if back { // it stays
			cn.tx.savepoints = cn.tx.savepoints[:i+1]
			cn.tx.rows = cn.tx.rows[:sp.rows]
			cn.tx.failed = false
			return result{tag: "ROLLBACK"}
		}
		cn.tx.savepoints = cn.tx.savepoints[:i]
		return result{tag: "RELEASE"}
	}
	return pgError("3B001", "savepoint does not exist")
}

// now is the clock of the database, which is nobody else's.
func (w *world) now() time.Time { return time.Now().Add(w.tr.dbClock) }

// assign gives a transaction its id.
func (w *world) assign(tx *dbTx) {
	if tx.xid == "" {
		tx.xid = strconv.Itoa(1000 + len(w.xacts))
		w.xacts[tx.xid] = tx
		if tx.wr != nil {
			tx.wr.state = commitOpen
		}
	}
}

// asked notes that the commit's time begins.
func (w *world) asked(tx *dbTx) {
	if tx != nil && tx.wr != nil && !tx.wr.unguarded {
		tx.wr.asked = time.Now()
	}
}

// abort makes a transaction one that never was.
func (w *world) abort(tx *dbTx) {
	if tx.state != commitOpen {
		return
	}
	tx.state = commitAborted
	if tx.wr != nil {
		tx.wr.state = commitAborted
	}
}

// xactStatus says what became of a transaction.
func (w *world) xactStatus(xid string) result {
	r := result{fields: []pgproto3.FieldDescription{field("pg_xact_status", textOID)}, tag: "SELECT 1"}
	tx := w.xacts[xid]
	if tx == nil {
		w.fail("database", "nobody has had the transaction id %q", xid)
		return pgError("22023", "transaction ID is in the future")
	}
	status := "in progress"
	switch {
	case tx.state == commitOpen:
	case w.frac(xid, "forgotten") < 0.1:
		status = null
	case tx.state == commitDone:
		status = "committed"
	case w.frac(xid, "lost") < 0.2: // a crash has lost it
		w.resolved(tx.wr)
		return pgError("22023", "transaction ID %s is in the future", xid)
	default:
		status = "aborted"
	}
	if tx.state != commitOpen {
		w.resolved(tx.wr)
	}
	w.logf("    %s", status)
	r.rows = [][]string{{status}}
	return r
}

// replayed is the version that a standby has: it is some steps behind.
func (w *world) replayed(r int) int {
	n := 0
	for _, v := range w.rows[r] {
		if w.calm || v.q <= w.q-w.tr.behind {
			n = v.n
		}
	}
	return n
}
