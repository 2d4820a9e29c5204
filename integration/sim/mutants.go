package sim

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Mutant is one weakening that the checks must find.
type Mutant struct {
	Name   string // of the switch
	Of     string // the hole, the amendment, or "weakening"
	Breaks string
	Edits  []Edit // of the engine, of pgfence, or of the store's scripts; none: a switch of the simulated program
}

// Edit replaces a text that must be there exactly once. MUTANT stands for the question whether the mutant is switched on: all
// mutants are compiled together, and without a switch the copy behaves like the original.
type Edit struct{ File, Old, New string }

const (
	readGo     = "cache/read.go"
	writeGo    = "cache/write.go"
	flightGo   = "cache/flight.go"
	fallbackGo = "cache/fallback.go"
	pendingGo  = "cache/pending.go"
	epochGo    = "cache/epoch.go"
	breakerGo  = "cache/breaker.go"
	envelopeGo = "cache/envelope.go"
	readManyGo = "cache/readmany.go"
	nearGo     = "cache/near.go"
	storeGo    = "cache/cachetest/store.go"

	pgCommitGo     = "cache/pgfence/commit.go"
	pgAutocommitGo = "cache/pgfence/autocommit.go"
	pgTxGo         = "cache/pgfence/tx.go"
	pgGuardGo      = "cache/pgfence/guard.go"
	pgForeignGo    = "cache/pgfence/foreign.go"
	pgDBGo         = "cache/pgfence/db.go"
	pgDBArgGo      = "cache/pgfence/dbarg.go"
	pgBatchGo      = "cache/pgfence/batch.go"
)

// Mutants are all of them, in the order of docs/mutations.md.
var Mutants = []Mutant{
	{"client-token", "H1", "a lease asked for again, by a late copy of the request, is the same lease", []Edit{
		{storeGo, `	h.fields[r.Field] = lease
`, `	if MUTANT {
		if first, again := minted.LoadOrStore(r.Key+r.Field+r.Nonce, lease); again {
			lease = first.([]byte)
		}
	}
	h.fields[r.Field] = lease
`},
		{storeGo, `// ErrDown is`, `var minted sync.Map

// ErrDown is`},
	}},
	{"clear-on-unknown", "H2", "the fences are taken away although nobody knows what became of the commit", []Edit{
		{writeGo, `	if o.Known() {
		stop()`, `	if o.Known() || MUTANT {
		stop()`},
	}},
	{"unknown-is-rolled-back", "H2", "pgfence: an outcome that nobody knows is taken for a rollback", []Edit{
		{pgCommitGo, `	return cache.InDoubt(co.resolver(*st.xid)), fmt.Errorf("%w: %w", cache.ErrOutcomeUnknown, err)`, `	if MUTANT {
		return cache.RolledBack, fmt.Errorf("%w: %w", cache.ErrOutcomeUnknown, err)
	}
	return cache.InDoubt(co.resolver(*st.xid)), fmt.Errorf("%w: %w", cache.ErrOutcomeUnknown, err)`},
	}},
	{"safe-to-retry", "H2", "pgfence: what pgconn.SafeToRetry says of a broken connection is believed", []Edit{
		{pgCommitGo, `	// pgconn.SafeToRetry is not asked:`, `	if MUTANT && pgconn.SafeToRetry(err) {
		return cache.RolledBack, err
	}
	// pgconn.SafeToRetry is not asked:`},
	}},
	{"fatal-is-rolled-back", "H2", "pgfence: a backend that is ended during COMMIT is taken to have rolled back", []Edit{
		{pgCommitGo, `	if errors.As(err, &pgErr) && pgErr.SeverityUnlocalized == "ERROR" {
		if pg.TxStatus()`, `	if errors.As(err, &pgErr) && (pgErr.SeverityUnlocalized == "ERROR" || MUTANT) {
		if pg.TxStatus()`},
	}},
	{"in-progress-is-aborted", "H2", "pgfence: a transaction that is in progress is taken for one that was rolled back", []Edit{
		{pgCommitGo, `			case status == "aborted":`, `			case status == "aborted", status == "in progress" && MUTANT:`},
	}},
	{"other-is-rolled-back", "H2", "pgfence: the same as unknown-is-rolled-back, on some other database", []Edit{
		{pgDBArgGo, `	return cache.InDoubt(o.core.resolver(*st.xid)), fmt`, `	if MUTANT {
		return cache.RolledBack, fmt.Errorf("%w: %w", cache.ErrOutcomeUnknown, err)
	}
	return cache.InDoubt(o.core.resolver(*st.xid)), fmt`},
	}},
	{"share-unstored", "H3", "a flight's value is shared although its fill was lost", []Edit{
		{readGo, `	if reply.Stored {`, `	if reply.Stored || MUTANT && storable {`},
	}},
	{"share-late", "H3", "a reader may join a flight after its fill was sent", []Edit{
		{flightGo, `		return fl, false, fl.closed`, `		return fl, false, fl.closed && !MUTANT`},
	}},
	{"no-guard", "H4", "pgfence: a COMMIT may begin when its fence has run out", []Edit{
		{pgCommitGo, `	deadline := st.at.Add(commitGuard)`, `	if MUTANT {
		st.at = st.at.Add(24 * time.Hour)
	}
	deadline := st.at.Add(commitGuard)`},
	}},
	{"no-renewal", "H4", "fences are not renewed while a COMMIT hangs", []Edit{
		{writeGo, `	if len(w.marked) == 0 {
		return func() {}`, `	if len(w.marked) == 0 || MUTANT {
		return func() {}`},
	}},
	{"cdc-early", "H5", "a change made elsewhere is invalidated before it is visible", nil},
	{"wipe-drops-fences", "H6", "WIPE removes other writers' fences, as DEL does", []Edit{
		{storeGo, `			case end.After(now):
				fences[tok] = end`, `			case end.After(now) && !MUTANT:
				fences[tok] = end`},
	}},
	{"no-wait", "H7", "a strict fence does not wait for the replica", []Edit{
		{writeGo, `		replicas = w.c.opts.Replicas`, `		if !MUTANT {
			replicas = w.c.opts.Replicas
		}`},
	}},
	{"unusable-is-a-hit", "4.11.2", "ACQUIRE answers with the cell that the caller cannot use, for ever", []Edit{
		{storeGo, `len(c) > 0 && !bytes.Equal(c, r.Unusable) {`, `len(c) > 0 && (MUTANT || !bytes.Equal(c, r.Unusable)) {`},
	}},
	{"full-refuses", "4.11.2", "a key with too many cells refuses new ones until its TTL ends", []Edit{
		{storeGo, `		if size > r.MaxCells ||`, `		if MUTANT && size > r.MaxCells {
			return cache.AcquireReply{Status: cache.AcquireBypass}
		}
		if size > r.MaxCells ||`},
	}},
	{"fill-uncommitted", "4.11.3", "what a transaction has seen of its own is stored", []Edit{
		{readGo, `fl.panic == nil && !ls.noFill.Load()`, `fl.panic == nil && (MUTANT || !ls.noFill.Load())`},
	}},
	{"cached-read-in-load", "4.11.3", "a read inside a load comes from the cache", []Edit{
		{readGo, `c.closed.Load() || Loading(ctx) {
		return readSource`, `c.closed.Load() || Loading(ctx) && !MUTANT {
		return readSource`},
	}},
	{"tx-read-stored", "4.11.3", "pgfence: a read inside a transaction does not say so", []Edit{
		{pgDBGo, `func (db *DB) Source(ctx context.Context) DBTX {
	if db.bypasses() {`, `func (db *DB) Source(ctx context.Context) DBTX {
	if db.bypasses() && !MUTANT {`},
	}},
	{"tx-read-cached", "4.11.3", "pgfence: a transaction reads from the cache", []Edit{
		{pgDBGo, `	if db.bypasses() {
		return load(ctx, db.Source(ctx))
	}
	return cache.Read(`, `	if db.bypasses() && !MUTANT {
		return load(ctx, db.Source(ctx))
	}
	return cache.Read(`},
	}},
	{"standby-stored", "4.11.3", "pgfence: what a hot standby answers is stored", []Edit{
		{pgDBGo, `ParameterStatus("in_hot_standby") == "on" {`, `ParameterStatus("in_hot_standby") == "on" && !MUTANT {`},
	}},
	{"fence-after-commit", "4.11.4", "pgfence: the fence is asked for after the COMMIT", []Edit{
		{pgCommitGo, `	called := false
`, `	if MUTANT {
		outcome, err := co.commit(ctx, conn, st, commitSQL)
		_ = co.cache.Write(ctx, keys, func(context.Context) (cache.Outcome, error) { return outcome, nil })
		return err
	}
	called := false
`},
	}},
	{"old-state", "4.11.4", "pgfence: what was known of a transaction is believed after one more statement", []Edit{
		{pgAutocommitGo, `	s.known = false // the`, `	s.known = s.known && MUTANT // the`},
	}},
	{"guard-from-commit", "4.11.5", "pgfence: the guard counts from the COMMIT, and not from before the fence", []Edit{
		{pgCommitGo, `	results, err := pg.Exec(`, `	if MUTANT {
		_ = conn.QueryRow(ctx, sqlState).Scan(&st.xid, &st.at)
	}
	results, err := pg.Exec(`},
	}},
	{"guard-by-own-clock", "4.11.5", "pgfence: the guard counts from the process' time, and Postgres has another", []Edit{
		{pgCommitGo, `	err := co.cache.Write(ctx, keys, func`, `	if MUTANT {
		st.at = time.Now()
	}
	err := co.cache.Write(ctx, keys, func`},
	}},
	{"xid-after-commit", "4.11.6", "pgfence: the id of a transaction is not known when its COMMIT goes unanswered", []Edit{
		{pgCommitGo, `	return func(ctx context.Context) (cache.Outcome, error) {
		for wait`, `	if MUTANT {
		return func(context.Context) (cache.Outcome, error) { return cache.Outcome{}, nil }
	}
	return func(ctx context.Context) (cache.Outcome, error) {
		for wait`},
	}},
	{"commit-cancelled", "4.11.6", "pgfence: a COMMIT whose caller has left is taken for one that was rolled back", []Edit{
		{pgCommitGo, `		return cache.InDoubt(func(ctx context.Context)`, `		if MUTANT {
			return cache.RolledBack, fmt.Errorf("%w: %w", cache.ErrOutcomeUnknown, ctx.Err())
		}
		return cache.InDoubt(func(ctx context.Context)`},
	}},
	{"unknown-not-pending", "4.11.6", "aftercommit keys are served from the cache while the outcome is open", []Edit{
		{writeGo, `	w.c.pending.hold(w.after, "")
	ok :=`, `	if !MUTANT {
		w.c.pending.hold(w.after, "")
	}
	ok :=`},
	}},
	{"unknown-not-cleared", "4.11.6", "nothing is invalidated when an open outcome is resolved", []Edit{
		{writeGo, `		w.finish(w.c.ctx, o, true)
		w.c.pending.release(w.after)`, `		if MUTANT {
			w.c.pending.drop(w.after)
			return
		}
		w.finish(w.c.ctx, o, true)
		w.c.pending.release(w.after)`},
	}},
	{"foreign-not-watched", "4.11.7", "pgfence: nobody asks what became of a transaction from elsewhere: its fences are not renewed", []Edit{
		{pgForeignGo, `	found, _ := f.core.watches`, `	if MUTANT {
		return cache.Outcome{}, nil
	}
	found, _ := f.core.watches`},
	}},
	{"foreign-cleared", "4.11.7", "pgfence: the fences of a transaction from elsewhere are taken away at once", []Edit{
		{pgForeignGo, `		return cache.InDoubt(func(ctx context.Context)`, `		if MUTANT {
			return cache.Committed, nil
		}
		return cache.InDoubt(func(ctx context.Context)`},
	}},
	{"foreign-goes-on", "4.11.7", "pgfence: a transaction from elsewhere may be committed although its fence has failed", []Edit{
		{pgAutocommitGo, `fenceErr != nil {
			db.foreign.abort(ctx)`, `fenceErr != nil {
			if MUTANT {
				return zero, errors.Join(err, fenceErr)
			}
			db.foreign.abort(ctx)`},
	}},
	{"foreign-keys-unknown", "4.11.7", "pgfence: a transaction from elsewhere may be committed although nobody knows what it has changed", []Edit{
		{pgAutocommitGo, `		if keysUnknown(err) {
			db.foreign`, `		if keysUnknown(err) && !MUTANT {
			db.foreign`},
	}},
	{"breaker-before-fence", "4.11.8", "the readers' breaker keeps writers from fencing", []Edit{
		{writeGo, `	if w.c.writes.isOpen() {`, `	if w.c.writes.isOpen() || MUTANT && w.c.reads.isOpen() {`},
	}},
	{"trust-old-cells", "4.11.9", "cells from before an outage are used after it", []Edit{
		{breakerGo, `			b.c.distrustBefore(now)`, `			if !MUTANT {
				b.c.distrustBefore(now)
			}`},
	}},
	{"stamp-at-fill", "4.11.10", "a cell carries the epoch that is known when it is filled", []Edit{
		{readGo, `		fill.Cell = r.sealer().seal(e, r.stamp, granted, r.c.opts.CompressAbove)`, `		stamp := r.stamp
		if MUTANT {
			opCtx, cancel := context.WithTimeout(ctx, r.c.opts.RedisBudget)
			if now, err := r.c.ensureEpoch(opCtx, r.gs); err == nil {
				stamp = now
			}
			cancel()
		}
		fill.Cell = r.sealer().seal(e, stamp, granted, r.c.opts.CompressAbove)`},
	}},
	{"counted-epochs", "4.11.10", "epochs are counted from 1, so that one that was evicted comes back", []Edit{
		{epochGo, `func newStamp() string {`, `func newStamp() string {
	if MUTANT {
		return "1"
	}
	`},
		{epochGo, `c.epochKeys(g)[1], 1+rand.Int64N(1<<32))`, `c.epochKeys(g)[1], step(1+rand.Int64N(1<<32)))`},
		{epochGo, `// bump voids a whole group.`, `func step(by int64) int64 {
	if MUTANT {
		return 1
	}
	return by
}

// bump voids a whole group.`},
	}},
	{"epoch-overwritten", "4.11.10", "a bump sets the epoch, so that a late copy of it brings an old one back", []Edit{
		{storeGo, `strconv.AppendInt(nil, n+by, 10)`, `strconv.AppendInt(nil, n+by, 10)
		if MUTANT {
			p.value = strconv.AppendInt(nil, by, 10)
		}`},
	}},
	{"epoch-overtaken", "4.11.10", "an answer about the epoch that a bump has overtaken is believed", []Edit{
		{epochGo, `	if g.epoch.gen == r.gen {`, `	if g.epoch.gen == r.gen || MUTANT {`},
	}},
	{"epoch-forever", "4.11.10", "a process asks for the epoch once", []Edit{
		{epochGo, `		if age < epochFresh {`, `		if age < epochFresh || MUTANT {`},
		{readGo, `Sub(known.at) >= epochFresh {`, `Sub(known.at) >= epochFresh && !MUTANT {`},
	}},
	{"flight-across-epochs", "4.11.10", "a flight is shared with one who knows of another epoch", []Edit{
		{readGo, `r.c.flights.join(flightKey{r.ref, r.stamp})`, `r.c.flights.join(flightKey{r.ref, unless(MUTANT, r.stamp)})`},
		{readGo, `// maxAttempts bounds`, `func unless(mutant bool, stamp uint32) uint32 {
	if mutant {
		return 0
	}
	return stamp
}

// maxAttempts bounds`},
	}},
	{"round-the-pool", "4.11.21", "pgfence: a write that goes round the decorator is not fenced", []Edit{
		{pgGuardGo, `	if len(keys) == 0 { // some`, `	if len(keys) == 0 || MUTANT { // some`},
	}},
	{"round-the-tx", "4.11.21", "pgfence: the same in a transaction", []Edit{
		{pgTxGo, `	tx.root.collect(keys, nil)`, `	if !MUTANT {
		tx.root.collect(keys, nil)
	}`},
	}},
	{"round-the-foreign", "4.11.21", "pgfence: the same in a transaction from elsewhere", []Edit{
		{pgGuardGo, `	if err != nil || len(keys) == 0 {
		return err`, `	if err != nil || len(keys) == 0 || MUTANT {
		return err`},
	}},

	{"renewed-ttl", weakening, "each fill renews the TTL of the key", []Edit{
		{storeGo, `	if !h.fixed || r.Shrink`, `	if !h.fixed || MUTANT || r.Shrink`},
	}},
	{"near-ageless", "4.11.18", "a copy in the process is used until somebody says that it has changed", []Edit{
		{nearGo, `n.now()-e.ticket.at >= g.opts.Near {`, `n.now()-e.ticket.at >= g.opts.Near && !MUTANT {`},
	}},
	{"near-no-ticket", "4.11.18", "a copy is used although its key was dropped after the cell was read", []Edit{
		{nearGo, `	if e.ticket.place.Load() != e.ticket.drop || `, `	if e.ticket.place.Load() != e.ticket.drop && !MUTANT || `},
	}},
	{"near-late-ticket", "4.11.18", "the ticket of a copy is taken when the cell is there, not before it is asked for", []Edit{
		{nearGo, `	e := &nearCopy{gs: r.gs, qs: r.qs,`, `	if MUTANT {
		at := r.ticket.at
		r.ticket = r.c.near.ticket(r.ref.Key)
		r.ticket.at = at
	}
	e := &nearCopy{gs: r.gs, qs: r.qs,`},
	}},
	{"fill-without-lease", weakening, "a fill is stored whatever has become of its lease", []Edit{
		{storeGo, `	if h == nil || !bytes.Equal(h.fields[r.Field], r.Lease) {
		return cache.FillReply{Lost: true}
	}`, `	if MUTANT && h == nil {
		h = s.create(r.Key)
	}
	if h == nil || !bytes.Equal(h.fields[r.Field], r.Lease) && !MUTANT {
		return cache.FillReply{Lost: true}
	}`},
	}},
	{"fence-keeps-cells", weakening, "a fence is put on a key, and its cells and leases stay", []Edit{
		{storeGo, `	h := s.create(r.Key)
	h.fences = fences`, `	var kept map[string][]byte
	if MUTANT && r.Add != "" {
		kept = was
	}
	h := s.create(r.Key)
	if kept != nil {
		h.fields = kept
	}
	h.fences = fences`},
		{storeGo, `	delete(s.hashes, r.Key)
	if r.Add != "" {`, `	var was map[string][]byte
	if h := s.live(r.Key); h != nil {
		was = h.fields
	}
	delete(s.hashes, r.Key)
	if r.Add != "" {`},
	}},
	{"clear-keeps-cells", weakening, "CLEAR takes the fence away, and voids nothing", []Edit{
		{storeGo, `func (s *Store) wipe(r cache.WipeRequest) (found bool) {
	now := s.clock.Now()`, `func (s *Store) wipe(r cache.WipeRequest) (found bool) {
	now := s.clock.Now()
	if MUTANT && r.Remove != "" {
		if h := s.live(r.Key); h != nil {
			delete(h.fences, r.Remove)
		}
		return true
	}`},
	}},
	{"acquire-under-fence", weakening, "ACQUIRE grants leases while a write is in progress", []Edit{
		{storeGo, `	if h != nil && len(h.fences) > 0 {`, `	if h != nil && len(h.fences) > 0 && !MUTANT {`},
	}},
	{"one-fence", weakening, "a key has room for one fence", []Edit{
		{storeGo, `	if r.Add != "" {
		fences[r.Add] =`, `	if r.Add != "" {
		if MUTANT {
			clear(fences)
		}
		fences[r.Add] =`},
	}},
	{"no-fence", weakening, "fenced keys are invalidated after the commit only", []Edit{
		{writeGo, `	replies, err := w.mark(ctx)`, `	if MUTANT {
		w.after, w.fenced = append(w.after, w.fenced...), nil
		return nil
	}
	replies, err := w.mark(ctx)`},
	}},
	{"savepoint-drops-keys", weakening, "pgfence: what a transaction has changed is forgotten when it rolls back to a savepoint", []Edit{
		{pgTxGo, `		return tx.inner.Rollback(ctx)`, `		if MUTANT {
			tx.root.mu.Lock()
			tx.root.keys = nil
			tx.root.mu.Unlock()
		}
		return tx.inner.Rollback(ctx)`},
	}},
	{"keys-unknown", weakening, "pgfence: a transaction is committed although nobody knows what it has changed", []Edit{
		{pgTxGo, `	if r.broken != nil {
		rollback`, `	if r.broken != nil && !MUTANT {
		rollback`},
	}},
	{"other-not-fenced", weakening, "pgfence: a write on some other database is not fenced", []Edit{
		{pgDBArgGo, `	return o.core.cache.Write(ctx, keys, func`, `	if MUTANT {
		keys = nil
	}
	return o.core.cache.Write(ctx, keys, func`},
	}},
	{"batch-rows-unread", weakening, "pgfence: the rows of a batch do not tell its keys", []Edit{
		{pgBatchGo, `	r.batch.keys = append(r.batch.keys, keys...)`, `	if !MUTANT {
		r.batch.keys = append(r.batch.keys, keys...)
	}`},
	}},
	{"other-goes-on", weakening, "pgfence: a COMMIT goes on, on a connection that the caller has back", []Edit{
		{pgDBArgGo, `o.tx.(*pgxpool.Tx); pooled {`, `o.tx.(*pgxpool.Tx); pooled || MUTANT {`},
	}},
	{"early-clear", weakening, "the fences are taken away before the commit", []Edit{
		{writeGo, `	stop := w.keepFences()
	returned := false`, `	if MUTANT {
		w.clear(w.marked)
	}
	stop := w.keepFences()
	returned := false`},
	}},
	{"fence-not-awaited", weakening, "the commit does not wait for the fence", []Edit{
		{writeGo, `	return w.c.wipeStore(opCtx, w.wipes(w.fenced, w.token, ""), replicas), nil`, `	if MUTANT {
		w.c.goBackground(func() {
			opCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.c.opts.FenceBudget)
			defer cancel()
			w.c.wipeStore(opCtx, w.wipes(w.fenced, w.token, ""), replicas)
		})
		return make([]WipeReply, len(w.fenced)), nil
	}
	return w.c.wipeStore(opCtx, w.wipes(w.fenced, w.token, ""), replicas), nil`},
	}},
	{"strict-goes-on", weakening, "a strict write is committed although its fence has failed", []Edit{
		{writeGo, `		if ended == nil && w.strict[k] {`, `		if ended == nil && w.strict[k] && !MUTANT {`},
	}},
	{"load-before-lease", weakening, "the load begins before the lease is granted", []Edit{
		{readGo, `	lease := r.acquire(ctx, fl, unusable)
`, `	var early error
	if MUTANT {
		early = r.runLoad(ctx)
	}
	lease := r.acquire(ctx, fl, unusable)
`},
		{readGo, `		fl.err = r.runLoad(loadCtx)`, `		if fl.err = early; !MUTANT {
			fl.err = r.runLoad(loadCtx)
		}`},
	}},
	{"batch-load-before-lease", weakening, "ReadMany loads before it asks for the leases", []Edit{
		{readManyGo, `	asked := b.askable()
`, `	var early []T
	if MUTANT {
		all := make([]K, len(b.items))
		for i, it := range b.items {
			all[i] = it.member
		}
		rows, err := b.load(ctx, all)
		if err != nil {
			return err
		}
		early = rows
		real := b.load
		b.load = func(context.Context, []K) ([]T, error) { return early, nil }
		defer func() { b.load = real }()
	}
	asked := b.askable()
`},
	}},
	{"pending-not-bypassed", weakening, "a process reads from Redis what Redis has not been told of its own write", []Edit{
		{readGo, `	if r.c.pending.has(r.key, r.gs) || r.c.reads.isOpen() {`, `	if r.c.pending.has(r.key, r.gs) && !MUTANT || r.c.reads.isOpen() {`},
	}},
	{"drain-while-open", weakening, "a pending key is wiped, and forgotten, before its commit", []Edit{
		{pendingGo, `		if e.holds > 0 {
			continue
		}
		wipe :=`, `		if e.holds > 0 && !MUTANT {
			continue
		}
		wipe :=`},
		{pendingGo, `			e.tokens = append(e.tokens, token)
		}
	}`, `			e.tokens = append(e.tokens, token)
		}
	}
	if MUTANT {
		p.startDraining()
	}`},
	}},
	{"drain-overtaken", weakening, "a wipe of a pending key counts although a later write has come", []Edit{
		{pendingGo, `e != nil && e.gen == gens[i] {`, `e != nil && (MUTANT || e.gen == gens[i]) {`},
	}},
	{"pending-forgotten", weakening, "what Redis has not been told of is not told later", []Edit{
		{pendingGo, `	keys, gens, reqs, groups, ggens := p.ready()
`, `	keys, gens, reqs, groups, ggens := p.ready()
		if MUTANT {
			for i := range reqs {
				reqs[i] = nil
			}
			groups = nil
		}
`},
	}},
	{"aftercommit-not-awaited", weakening, "the invalidation of an aftercommit key is not waited for", []Edit{
		{writeGo, `	if w.late = w.c.wipe(ctx, w.after); w.late != nil {`, `	if MUTANT {
		w.c.goBackground(func() { _ = w.c.wipe(ctx, w.after) })
		return
	}
	if w.late = w.c.wipe(ctx, w.after); w.late != nil {`},
	}},
	{"fallback-joins-running", weakening, "without Redis a reader may join a load that has begun", []Edit{
		{fallbackGo, `	b.started = true
	if sl := s.m[ref]; sl.next == b {`, `	b.started = true
	if sl := s.m[ref]; sl.next == b && !MUTANT {`},
		{fallbackGo, `	s.mu.Lock()
	defer s.mu.Unlock()
	s.pass(ref)
}`, `	s.mu.Lock()
	defer s.mu.Unlock()
	if sl := s.m[ref]; MUTANT && sl.next != nil && sl.next.started {
		s.m[ref] = slot{}
	}
	s.pass(ref)
}`},
		{fallbackGo, `	if b == nil || b.joiners == 0 || !ran || ctx.Err() != nil {`, `	if b == nil || b.joiners == 0 && !MUTANT || !ran || ctx.Err() != nil {`},
	}},
	{"unchecked-cells", weakening, "the hash of a cell is not checked", []Edit{
		{envelopeGo, `	if binary.BigEndian.Uint64(cell[2:10]) != s.sum(cell) {`, `	if binary.BigEndian.Uint64(cell[2:10]) != s.sum(cell) && !MUTANT {`},
	}},
	{"whole-group-unvoided", weakening, "a write to a whole group voids it before the commit only", []Edit{
		{writeGo, `		_ = w.c.voidHeld(ctx, g) // what fails stays pending`, `		if MUTANT {
			w.c.pending.dropGroup(g)
			continue
		}
		_ = w.c.voidHeld(ctx, g) // what fails stays pending`},
	}},
}

const weakening = "weakening"

// Overlay writes mutated copies of the sources under root into dir, and the file that go build -overlay wants. It fails when
// a text that a mutant replaces is no longer there.
func Overlay(root, dir string) (file string, err error) {
	texts := make(map[string]string)
	for _, m := range Mutants {
		for i, e := range m.Edits {
			text, ok := texts[e.File]
			if !ok {
				data, err := os.ReadFile(filepath.Join(root, e.File))
				if err != nil {
					return "", err
				}
				text = string(data)
			}
			original, err := os.ReadFile(filepath.Join(root, e.File))
			if err != nil {
				return "", err
			}
			if n := strings.Count(string(original), e.Old); n != 1 {
				return "", fmt.Errorf("mutant %s, edit %d: %s has this text %d times, want once:\n%s", m.Name, i, e.File, n, e.Old)
			}
			if n := strings.Count(text, e.Old); n != 1 {
				return "", fmt.Errorf("mutant %s, edit %d: another mutant has changed this text of %s:\n%s", m.Name, i, e.File, e.Old)
			}
			texts[e.File] = strings.Replace(text, e.Old, strings.ReplaceAll(e.New, "MUTANT", fmt.Sprintf("mutant(%q)", m.Name)), 1)
		}
	}
	for pkg, path := range map[string]string{
		"cache": "cache/mutant_overlay.go", "cachetest": "cache/cachetest/mutant_overlay.go", "pgfence": "cache/pgfence/mutant_overlay.go",
	} {
		texts[path] = "package " + pkg + "\n\nimport \"os\"\n\nvar mutantName = os.Getenv(\"" + MutantEnv + "\")\n\nfunc mutant(name string) bool { return name == mutantName }\n"
	}
	replace := make(map[string]string)
	for name, text := range texts {
		copied := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(copied, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, name)] = copied
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file = filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, data, 0o600)
}

// MutantEnv names the environment variable that switches a mutant on, in a program that was built with Overlay.
const MutantEnv = "PGASIDE_SIM_MUTANT"
