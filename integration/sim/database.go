package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/pgfence"
)

// The simulated database, and the transactions of the program. These go through cache/pgfence, as those of a decorator do.

const commitGuard = 10 * time.Second // as in cache/pgfence

// version is what one commit has made of a row.
type version struct {
	n  int
	at time.Time          // when it became visible
	q  int                // the same, in steps
	w  *write             // nil: of the beginning
	st map[string]*status // by key
}

// gone reports whether the row is not there in this version.
func (v *version) gone() bool { return gone(v.n) }

func gone(n int) bool { return n%5 == 4 }

// write is one change of a row on its way.
type write struct {
	name  string
	c     *client // nil: made elsewhere, and nobody is told
	row   int
	whole bool // the group is voided as a whole
	fence bool // false: made elsewhere

	unguarded bool // in a transaction that pgfence has not begun: it has no commit guard

	asked    time.Time // when the database was asked for its clock, before the fence was asked for
	marked   map[string]int
	failed   map[string]bool // keys of which the engine was told that the fence, or the invalidation, had failed
	lost     map[string]bool // keys whose fence a fault has taken away
	jumped   time.Duration   // of Redis' clock, since
	begun    time.Time       // of COMMIT
	state    commitState
	v        *version
	started  int // step
	returned bool
	end      int // step at which it was acknowledged; 0: nobody was told

	failedOver bool // when a renewal of its fences may not have been replicated

	resolved bool // who asks what became of the commit has been told, or will be
	sourced  bool // see sourceOnly

	asking    bool // a fence was asked for
	unasked   bool // the breaker of the writers was open: no fence was asked for
	unrenewed bool // a fault, or the death of the client, has kept a fence from being renewed
}

type commitState int

const (
	commitOpen commitState = iota
	commitDone
	commitAborted
)

func (w *world) latest(r int) *version { return w.rows[r][len(w.rows[r])-1] }

func (w *world) newWrite(c *client, op string, r int) *write {
	return &write{
		name: c.name + "." + op, c: c, row: r, started: w.event(),
		marked: make(map[string]int), failed: make(map[string]bool), lost: make(map[string]bool),
	}
}

// write is one transaction.
func (w *world) write(ctx context.Context, c *client, op, kind string, r int) {
	w.mu.Lock()
	wr := w.newWrite(c, op, r)
	wr.fence, wr.whole, wr.unguarded = true, kind == "whole", kind == "plain" || kind == "other"
	if c.dead {
		w.mu.Unlock()
		return
	}
	wr.asked = time.Now()
	w.open = append(w.open, wr)
	w.mu.Unlock()
	ctx = context.WithValue(ctx, writeKey{}, wr)
	if w.frac(op, "leaves") < 0.06 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, []time.Duration{2 * time.Millisecond, 30 * time.Millisecond, 3 * time.Second}[w.intn(op, "leaves when", 3)])
		defer cancel()
	}
	var err error
	switch kind {
	case "write", "whole":
		err = w.autocommit(ctx, c, op, wr)
	case "tx":
		err = w.inTx(ctx, c, op, wr)
	case "dirty":
		err = w.dirty(ctx, c, op, wr)
	case "plain":
		err = w.plain(ctx, c, op, wr)
	case "other":
		err = w.other(ctx, c, op, wr)
	}
	w.acknowledged(wr, err)
}

// keysOf are the keys that a change of a row changes.
func (w *world) keysOf(r int, whole bool) []cache.Key {
	var keys []cache.Key
	for _, g := range w.tr.groups {
		if whole {
			keys = append(keys, g.All())
		} else {
			keys = append(keys, g.Key(r))
		}
	}
	return keys
}

// change is what a decorator hands to pgfence.Write.
func (w *world) change(wr *write) func(context.Context, pgfence.DBTX) (struct{}, []cache.Key, error) {
	return func(ctx context.Context, d pgfence.DBTX) (struct{}, []cache.Key, error) {
		_, err := d.Exec(ctx, changeSQL, wr.row)
		return struct{}{}, w.keysOf(wr.row, wr.whole), err
	}
}

// changed is the same for a statement whose keys only its result tells.
func (w *world) changed(wr *write) func(context.Context, pgfence.DBTX) (int, []cache.Key, error) {
	return func(ctx context.Context, d pgfence.DBTX) (int, []cache.Key, error) {
		var r int
		if err := d.QueryRow(ctx, changedSQL, wr.row).Scan(&r); err != nil {
			return 0, nil, err
		}
		return r, w.keysOf(r, wr.whole), nil
	}
}

// unreadable is a statement whose result cannot be read, so that nobody knows the keys.
func unreadable(wr *write) func(context.Context, pgfence.DBTX) (struct{}, []cache.Key, error) {
	return func(ctx context.Context, d pgfence.DBTX) (struct{}, []cache.Key, error) {
		var never time.Time
		return struct{}{}, nil, d.QueryRow(ctx, changedSQL, wr.row).Scan(&never)
	}
}

// batch is a change in a batch, of which only a row tells the keys. The program takes its time over the results.
func (w *world) batch(ctx context.Context, c *client, db *pgfence.DB, wr *write) error {
	var b pgx.Batch
	b.Queue(versionSQL, wr.row)
	b.Queue(changedSQL, wr.row)
	results := db.Batch(ctx, nil, func(i int, scan func(...any) error) ([]cache.Key, error) {
		if i == 0 {
			return nil, nil
		}
		var r int
		if err := scan(&r); err != nil {
			return nil, err
		}
		return w.keysOf(r, false), nil
	}).SendBatch(ctx, &b)
	_, err := results.Exec()
	if err == nil && !w.stop(c, wr.name+".thinks of the batch") {
		err = errDead
	}
	if err == nil {
		var r int
		err = results.QueryRow().Scan(&r)
	}
	if closeErr := results.Close(); err == nil {
		err = closeErr
	}
	return err
}

// autocommit is a write on the pool.
func (w *world) autocommit(ctx context.Context, c *client, op string, wr *write) error {
	var err error
	how := w.intn(op, "how", 9)
	if wr.whole {
		how = 0
	}
	switch how {
	default:
		_, err = pgfence.Write(ctx, c.db, w.change(wr))
	case 4, 5:
		_, err = pgfence.Write(ctx, c.db, w.changed(wr))
	case 6: // more than one statement: what was known of the transaction after the first does not hold
		_, err = pgfence.Write(ctx, c.db, func(ctx context.Context, d pgfence.DBTX) (struct{}, []cache.Key, error) {
			if _, err := readVersion(ctx, d, wr.row); err != nil && !errors.Is(err, pgx.ErrNoRows) {
				return struct{}{}, nil, err
			}
			return w.change(wr)(ctx, d)
		})
	case 7: // round the decorator
		if w.intn(op, "round", 2) == 0 {
			_, err = c.db.Guarded().Exec(ctx, changeSQL, wr.row)
			break
		}
		var r int
		err = c.db.Guarded().QueryRow(ctx, changedSQL, wr.row).Scan(&r)
	case 8:
		err = w.batch(ctx, c, c.db, wr)
	}
	return err
}

var errChangedMind = errors.New("sim: the program has changed its mind")

// inTx is a write in a transaction.
func (w *world) inTx(ctx context.Context, c *client, op string, wr *write) error {
	fail := w.frac(op, "changes its mind") < 0.1
	how := w.intn(op, "how", 9)
	return c.db.InTx(ctx, pgx.TxOptions{}, func(db *pgfence.DB) error {
		var err error
		switch how {
		case 0:
			_, err = pgfence.Write(ctx, db, w.change(wr))
		case 1:
			_, err = pgfence.Write(ctx, db, w.changed(wr))
		case 2: // a read first, and somebody else's turn between the two
			if _, err = readVersion(ctx, db.Source(ctx), wr.row); err != nil && !errors.Is(err, pgx.ErrNoRows) {
				return err
			}
			if !w.stop(c, wr.name+".thinks") {
				return errDead
			}
			_, err = pgfence.Write(ctx, db, w.change(wr))
		case 3: // all of it in a savepoint
			err = db.InTx(ctx, pgx.TxOptions{}, func(db *pgfence.DB) error {
				_, err := pgfence.Write(ctx, db, w.change(wr))
				return err
			})
		case 4: // and more of it in a savepoint that is rolled back
			if _, err = pgfence.Write(ctx, db, w.change(wr)); err != nil {
				return err
			}
			err = db.InTx(ctx, pgx.TxOptions{}, func(db *pgfence.DB) error {
				if _, err := pgfence.Write(ctx, db, w.changed(wr)); err != nil {
					return err
				}
				return errChangedMind
			})
			if errors.Is(err, errChangedMind) {
				err = nil
			}
		case 5: // nothing but what is rolled back
			err = db.InTx(ctx, pgx.TxOptions{}, func(db *pgfence.DB) error {
				if _, err := pgfence.Write(ctx, db, w.change(wr)); err != nil {
					return err
				}
				return errChangedMind
			})
			if errors.Is(err, errChangedMind) {
				err = nil
			}
		case 6: // round the decorator
			_, err = db.Guarded().Exec(ctx, changeSQL, wr.row)
		case 7: // the result cannot be read, so that nobody knows the keys, and the program does not care
			_, _ = pgfence.Write(ctx, db, unreadable(wr))
		case 8:
			err = w.batch(ctx, c, db, wr)
		}
		if err == nil && fail {
			return errChangedMind
		}
		return err
	})
}

// dirty reads what the transaction has changed, through the cache, before its commit.
func (w *world) dirty(ctx context.Context, c *client, op string, wr *write) error {
	k := w.keyOf(wr.row, w.intn(op, "dirty", len(w.tr.groups)))
	return c.db.InTx(ctx, pgx.TxOptions{}, func(db *pgfence.DB) error {
		if _, err := pgfence.Write(ctx, db, w.change(wr)); err != nil {
			return err
		}
		// Through the cache, by a load that runs in the transaction: it is not stored.
		_, err := cache.Read(ctx, c.cache, k.group.Key(wr.row), getRow.Cell(), func(ctx context.Context) (row, error) {
			return readVersion(ctx, db.Source(ctx), wr.row)
		})
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		// By the decorator's read: it sees the change.
		w.mu.Lock()
		n := w.latest(wr.row).n + 1
		w.mu.Unlock()
		v, err := pgfence.Read(ctx, db, k.group.Key(wr.row), getRow.Cell(), loader(wr.row))
		switch {
		case err == nil && v.V < n:
			w.mu.Lock()
			w.fail("own", "%s has read version %d of row %d in its transaction, and has changed version %d", wr.name, v.V, wr.row, n-1)
			w.mu.Unlock()
		case err != nil && !errors.Is(err, pgx.ErrNoRows):
			return err
		}
		if w.frac(op, "changes its mind") < 0.3 {
			return errChangedMind
		}
		return nil
	})
}

// plain is a write in a transaction that is nobody's but the program's.
func (w *world) plain(ctx context.Context, c *client, op string, wr *write) error {
	tx, err := c.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = tx.Rollback(ctx)
	}()
	db := c.db.WithTx(tx)
	switch w.intn(op, "how", 6) {
	case 0, 1:
		_, err = pgfence.Write(ctx, db, w.change(wr))
	case 2:
		_, err = pgfence.Write(ctx, db, w.changed(wr))
	case 3:
		_, err = db.Guarded().Exec(ctx, changeSQL, wr.row)
	case 4:
		_, err = pgfence.Write(ctx, db, unreadable(wr))
	case 5:
		err = w.batch(ctx, c, db, wr)
	}
	if careless := w.frac(op, "careless") < 0.5; err != nil && !careless {
		return err
	}
	for i := range w.intn(op, "thinks", 4) {
		if !w.stop(c, fmt.Sprintf("%s.thinks#%d", wr.name, i)) {
			return errDead
		}
	}
	if w.frac(op, "changes its mind") < 0.1 {
		return errChangedMind
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("sim: a commit of the program's own: %w", err)
	}
	return nil
}

// other is a write on some other database that the program has named: another pool, or a connection.
func (w *world) other(ctx context.Context, c *client, op string, wr *write) error {
	how := w.intn(op, "how", 3)
	if how == 2 {
		_, err := pgfence.Write(ctx, c.db.On(c.elsewhere), w.change(wr))
		return err
	}
	conn, err := c.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if how == 0 {
		_, err = pgfence.Write(ctx, c.db.On(conn), w.changed(wr))
	} else {
		_, err = pgfence.Write(ctx, c.db.On(conn.Conn()), w.change(wr))
	}
	if conn.Conn().PgConn().IsBusy() {
		w.mu.Lock()
		w.fail("busy", "%s has returned, and its connection is still used", wr.name)
		w.mu.Unlock()
	}
	return err
}

// readVersion reads a row from the database.
func readVersion(ctx context.Context, d pgfence.DBTX, r int) (row, error) {
	var v row
	err := d.QueryRow(ctx, versionSQL, r).Scan(&v.ID, &v.V)
	return v, sourceError(err)
}

func sourceError(err error) error {
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("%w: %w", errSource, err)
	}
	return err
}

type writeKey struct{}

// writersBreaker is how many fences in a row have to fail before a client does not ask for any.
const writersBreaker = 5

// marking notes that the fences of a write are asked for.
func (w *world) marking(ctx context.Context, reqs []cache.WipeRequest) {
	if wr, ok := ctx.Value(writeKey{}).(*write); ok {
		w.tokens[reqs[0].Add], wr.asking = wr, true
	}
}

// fenced notes that a write goes on to its commit.
func (w *world) fenced(c *client, wr *write) {
	if !wr.asking && c.failed >= writersBreaker {
		wr.unasked = true
	}
}

type commitFate int

const (
	commitOK     commitFate = iota
	commitFails             // rolled back, and said so
	commitReset             // done, and the answer is lost
	commitNever             // never arrived, and nobody knows
	commitLate              // the connection breaks, and the backend goes on
	commitSlow              // takes its time
	commitKilled            // the backend is ended, and says so: it may be done, or not
	commitSilent            // done, and no answer
)

func (w *world) commitFate(name string) commitFate {
	x := w.frac(name, "fate")
	if w.tr.hang && w.frac(name, "hangs") < 0.5 {
		return commitSlow
	}
	switch {
	case x < 0.60:
		return commitOK
	case x < 0.68:
		return commitFails
	case x < 0.72:
		return commitReset
	case x < 0.75:
		return commitNever
	case x < 0.84:
		return commitLate
	case x < 0.87:
		return commitKilled
	case x < 0.89:
		return commitSilent
	}
	return commitSlow
}

// commit is what becomes of a COMMIT that has arrived, after what out has for the client already.
func (cn *conn) commit(name string, out []pgproto3.BackendMessage) {
	w, tx := cn.w, cn.tx
	wr := tx.wr
	done := func() {
		w.commit(tx)
		cn.tx = nil
	}
	answer := func(ms ...pgproto3.BackendMessage) { cn.answer(name, append(out, ms...)) }
	committed := func() {
		answer(&pgproto3.CommandComplete{CommandTag: []byte("COMMIT")}, &pgproto3.ReadyForQuery{TxStatus: 'I'})
	}
	aborted := func() {
		w.abort(tx)
		cn.tx = nil
	}
	f := commitOK
	if !w.calm && wr != nil && tx.xid != "" {
		f = w.commitFate(name)
		wr.begun = time.Now()
		if wr.unguarded {
			wr.begun = wr.asked
		}
		if f == commitSilent && len(out) == 0 { // no guard has come before it: it may have no time limit
			f = commitReset
		}
	}
	limit := 10 * time.Second
	if w.tr.hang {
		limit = 5 * time.Minute
	}
	finally := func(how string, then func()) {
		tx.committing = true
		w.add(&step{name: name + how, before: time.Now().Add(limit), run: func() {
			if how == "~late" && w.frac(name, "aborts") < 0.3 {
				aborted()
			} else {
				done()
			}
			then()
		}})
	}
	switch f {
	case commitOK:
		done()
		committed()
	case commitFails:
		aborted()
		answer(&pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: "40001", Message: "could not serialize access"},
			&pgproto3.ReadyForQuery{TxStatus: 'I'})
	case commitReset:
		done()
		cn.breakOff()
	case commitNever:
		aborted()
		cn.breakOff()
	case commitLate:
		finally("~late", func() {})
		cn.breakOff()
	case commitKilled:
		if w.frac(name, "killed before") < 0.5 {
			aborted()
		} else {
			finally("~late", func() {})
		}
		answer(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "57P01", Message: "terminating connection due to administrator command"}, nil)
	case commitSilent:
		done()
	case commitSlow:
		if w.tr.hang && w.fault(0.8, "hang", name) {
			w.hanging = time.Duration(1+30*(1+w.intn(name, "how long", 3))) * time.Second
		}
		finally("~slow", committed)
	}
}

// commit makes visible what a transaction has changed.
func (w *world) commit(tx *dbTx) {
	tx.state = commitDone
	switch {
	case tx.wr == nil:
	case len(tx.rows) == 0:
		tx.wr.state = commitDone
	default:
		w.visible(tx.wr)
	}
}

// resolved notes that who asks what became of a commit will know it.
func (w *world) resolved(wr *write) {
	if wr == nil || wr.resolved {
		return
	}
	wr.resolved = true
	if wr.sourced {
		w.sourceOnly(wr, -1)
	}
}

// sourceOnly notes that a commit is open, or is not any more, after its writer was told so: until then, and for as long, the
// writer's process must read the keys from the source that have no fence.
func (w *world) sourceOnly(wr *write, by int) {
	for _, k := range w.keys {
		if k.row == wr.row && k.mode == cache.AfterCommit && !wr.whole {
			wr.c.source[k.redis] += by
		}
	}
}

// foreign is a change that another program makes; told is how the cache hears of it.
func (w *world) foreign(ctx context.Context, c *client, op string, r int, told string) {
	w.mu.Lock()
	wr := w.newWrite(c, op, r)
	wr.whole = told == "void"
	if told == "" {
		wr.c = nil
	}
	w.mu.Unlock()
	invalidate := func() error {
		var err error
		for _, k := range w.keys {
			if k.row != r {
				continue
			}
			if told == "void" {
				err = errors.Join(err, c.cache.InvalidateGroup(ctx, k.group))
			} else {
				err = errors.Join(err, c.cache.Invalidate(context.WithValue(ctx, writeKey{}, wr), k.group.Key(r)))
			}
		}
		return err
	}
	if w.cfg.Mutant == "cdc-early" && told != "" {
		_ = invalidate()
	}
	if !w.stop(c, c.name+"."+op+".visible") {
		return
	}
	w.mu.Lock()
	w.visible(wr)
	w.mu.Unlock()
	switch {
	case told == "":
		return
	case w.cfg.Mutant == "cdc-early":
		w.acknowledged(wr, nil)
	default:
		w.acknowledged(wr, invalidate())
	}
}
