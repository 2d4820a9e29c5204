package proof

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/pgfence"
)

// maxArguments bounds how many sets of arguments one read is compared with;
// more are drawn from.
const maxArguments = 16

// run is a project at work.
type run struct {
	p      Project
	r      *rand.Rand
	pool   *pgxpool.Pool
	q      queries
	source reflect.Value
	repoOf func(pgfence.DBTX) any
	cells  []*cell
	report *Report

	outcomes outcomes
	last     *step
	tables   string // SQL that tells whether any row has changed
	state    string // what it said last
}

// cell is a cached read with its arguments.
type cell struct {
	read *Read
	args []reflect.Value
	hit  bool // the last read of it was answered from the cache
	odd  bool // it does not come to be in the cache: a NULL key, an error, "no row" where that is not kept
	want any  // what the source said last
	err  error
}

// outcomes tells whether the last call was answered from the cache. The cache
// tells it on the caller's path, and a project is one caller.
type outcomes struct {
	cache.NopObserver
	reads, hits int
}

func (o *outcomes) Read(_ context.Context, e cache.ReadEvent) {
	o.reads++
	if e.Outcome == cache.ReadHit || e.Outcome == cache.ReadNegative {
		o.hits++
	}
}

func (o *outcomes) allHits() bool { return o.reads > 0 && o.hits == o.reads }

func execute(ctx context.Context, p Project) *Report {
	rep := &Report{
		Name: p.Name, WriteKinds: map[string]int{}, ReadKinds: map[string]int{}, Modes: map[string]int{}, Changes: map[string]int{},
		Invalid: map[string]string{},
	}
	if err := (&run{p: p, report: rep, r: rand.New(rand.NewPCG(p.Seed, p.Stream))}).run(ctx); err != nil {
		rep.Failure = err.Error()
	}
	return rep
}

func (p *run) run(ctx context.Context) error {
	with, ok := registered[p.p.Name]
	if !ok {
		return errors.New("it isn't registered")
	}
	cfg, err := pgxpool.ParseConfig(p.p.Database)
	if err != nil {
		return err
	}
	cfg.MaxConns = 4
	cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error { // without it pgx knows no lists of an enum
		types, err := conn.LoadTypes(ctx, []string{"mood", "_mood"})
		conn.TypeMap().RegisterTypes(types)
		return err
	}
	if p.pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return err
	}
	defer p.pool.Close()
	// Budgets that a busy machine does not use up: what is looked for are wrong maps, not slow servers.
	c, err := cache.Open(p.p.Redis, cache.Options{
		Namespace: p.p.Namespace, Observer: &p.outcomes, Logger: slog.New(slog.DiscardHandler),
		RedisBudget: 5e9, FenceBudget: 10e9, MaxCells: 4096,
	})
	if err != nil {
		return err
	}
	defer c.Close()
	p.q, p.repoOf = with.decorate(p.pool, c), with.source
	p.source = reflect.ValueOf(with.source(p.pool))

	p.makeCells()
	if err := p.findTables(ctx); err != nil {
		return err
	}
	if err := p.pass(ctx); err != nil {
		return err
	}
	for n := 0; p.report.Accepted < p.p.Enough && n < 20*p.p.Enough && p.report.Difference == ""; n++ {
		p.last = p.plan()
		if err := p.take(ctx, p.last); err != nil {
			return fmt.Errorf("step %d, %s: %w", n, p.last, err)
		}
		if p.report.Difference == "" {
			err = p.pass(ctx)
		}
		if err != nil {
			return fmt.Errorf("step %d, %s: %w", n, p.last, err)
		}
		if p.report.Difference != "" {
			p.report.Difference = fmt.Sprintf("after step %d, %s\n%s", n, p.last, p.report.Difference)
		}
	}
	return nil
}

func (p *run) makeCells() {
	for i := range p.p.Reads {
		rd := &p.p.Reads[i]
		m := p.q.methods.MethodByName(rd.Name).Type()
		sets := [][]reflect.Value{nil}
		for k := 1; k < m.NumIn(); k++ {
			var next [][]reflect.Value
			for _, begun := range sets {
				for _, v := range all(m.In(k)) {
					next = append(next, append(begun[:len(begun):len(begun)], v))
				}
			}
			sets = next
		}
		p.r.Shuffle(len(sets), func(i, j int) { sets[i], sets[j] = sets[j], sets[i] })
		for _, args := range sets[:min(len(sets), maxArguments)] {
			p.cells = append(p.cells, &cell{read: rd, args: args})
		}
	}
}

// findTables writes the SQL that sums up every row of every table.
func (p *run) findTables(ctx context.Context) error {
	return p.pool.QueryRow(ctx, `
		SELECT string_agg(format('SELECT md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM %I t', relname), ' UNION ALL ' ORDER BY relname)
		FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace`).Scan(&p.tables)
}

// rowsChanged reports whether any row is another one than at the last call.
func (p *run) rowsChanged(ctx context.Context) (bool, error) {
	rows, err := p.pool.Query(ctx, p.tables)
	if err != nil {
		return false, err
	}
	sums, err := pgx.CollectRows(rows, pgx.RowTo[*string])
	now := text(sums)
	changed := now != p.state
	p.state = now
	return changed, err
}

// pass compares every cell with the source, and then reads those that were not
// in the cache until they are.
func (p *run) pass(ctx context.Context) error {
	cells := p.cells
	rows, err := p.rowsChanged(ctx)
	if err != nil {
		return err
	}
	if rows {
		p.report.Effective++
	} else {
		// The source says what it said: a few are enough.
		cells = nil
		for i := range 8 {
			cells = append(cells, p.cells[(p.report.Attempted*7+i*13)%len(p.cells)])
		}
	}
	changed := false
	for _, c := range cells {
		got, gotErr := p.read(ctx, c)
		want, wantErr := call(ctx, p.source, c.read.Name, c.args)
		if wantErr != nil && !errors.Is(wantErr, pgx.ErrNoRows) && !isPostgres(wantErr) {
			return fmt.Errorf("reading the source: %s: %w", c.read.Name, wantErr)
		}
		if !p.check(c, got, gotErr, want, wantErr) {
			return nil
		}
		if p.last != nil && !same(want, wantErr, c.want, c.err, c.read.Ordered) {
			changed = true
			p.report.ReadKinds[c.read.Kind]++
			if p.last.alone != nil && c.hit {
				p.report.Changes[p.last.alone.Name+" "+c.read.Group]++
			}
		}
		if c.hit = p.outcomes.allHits(); c.hit || !same(want, wantErr, c.want, c.err, c.read.Ordered) {
			c.odd = false
		}
		c.want, c.err = want, wantErr
	}
	if changed && p.last.alone != nil {
		p.report.WriteKinds[p.last.alone.Kind]++
	}
	for range 10 {
		cold := false
		for _, c := range cells {
			if c.hit || c.odd {
				continue
			}
			if got, gotErr := p.read(ctx, c); !p.check(c, got, gotErr, c.want, c.err) {
				return nil
			}
			c.hit = p.outcomes.allHits()
			c.odd = p.outcomes.reads == 0
			cold = cold || !c.hit && !c.odd
		}
		if !cold {
			return nil
		}
		runtime.Gosched() // fills are on their way
	}
	for _, c := range cells {
		c.odd = !c.hit
	}
	return nil
}

func isPostgres(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr)
}

// read reads a cell through the decorator.
func (p *run) read(ctx context.Context, c *cell) (any, error) {
	p.outcomes.reads, p.outcomes.hits = 0, 0
	return call(ctx, p.q.methods, c.read.Name, c.args)
}

// check compares what the decorator said with the source, and notes a difference.
func (p *run) check(c *cell, got any, gotErr error, want any, wantErr error) bool {
	p.report.Comparisons++
	from := "the source"
	if p.outcomes.allHits() {
		from = "the cache"
		p.report.Hits++
	}
	if same(got, gotErr, want, wantErr, c.read.Ordered) {
		return true
	}
	p.report.Difference = fmt.Sprintf("%s(%s), answered from %s, says\n  %s\nand the source says\n  %s\nbefore the step it said\n  %s",
		c.read.Name, showArgs(c.args), from, show(got, gotErr), show(want, wantErr), show(c.want, c.err))
	return false
}

// step is one or more writes and the transaction that they go through.
type step struct {
	mode   string
	writes []stepWrite
	commit bool
	inner  bool // the second half of the writes is in a savepoint
	undo   bool // which is rolled back

	accepted int
	alone    *Write // the one write of a step that committed
	said     []string
}

func (w *Write) adds() bool {
	return strings.HasPrefix(w.Kind, "insert") || w.Kind == "upsert" || w.Kind == "copyfrom"
}

type stepWrite struct {
	*Write
	args []reflect.Value
}

func (s *step) String() string {
	end := "rollback"
	if s.commit {
		end = "commit"
	}
	return fmt.Sprintf("%s, %s:\n  %s", s.mode, end, strings.Join(s.said, "\n  "))
}

// plan draws a step. Nothing but the seed decides: a run with the same seed takes
// the same steps, whatever comes of them.
func (p *run) plan() *step {
	s := &step{commit: true}
	n := 1
	switch k := p.r.IntN(100); {
	case k < 60:
		s.mode = "pool"
	case k < 80:
		s.mode = "InTx"
	case k < 87:
		s.mode = "Begin and WithTx"
	case k < 92:
		s.mode = "transaction begun elsewhere"
	default:
		s.mode = "round the decorator"
	}
	if s.mode != "pool" && s.mode != "round the decorator" {
		n = 1 + p.r.IntN(3)
		s.commit = p.r.IntN(4) > 0
		s.inner = p.r.IntN(3) == 0
		s.undo = p.r.IntN(2) == 0
	}
	for range n {
		w := &p.p.Writes[p.r.IntN(len(p.p.Writes))]
		for p.r.IntN(5) > 1 && !w.adds() { // what adds rows fails most: without more of it the tables stand empty
			w = &p.p.Writes[p.r.IntN(len(p.p.Writes))]
		}
		m := p.q.methods.MethodByName(w.Name).Type()
		sw := stepWrite{Write: w}
		for i := 1; i < m.NumIn(); i++ {
			sw.args = append(sw.args, draw(p.r, m.In(i)))
		}
		s.writes = append(s.writes, sw)
	}
	return s
}

var errRollback = errors.New("rolled back as planned")

// take takes a step. An error of Postgres ends its transaction and is no error.
func (p *run) take(ctx context.Context, s *step) error {
	err := p.send(ctx, s)
	switch {
	case err == nil, errors.Is(err, errRollback), errors.Is(err, pgx.ErrTxCommitRollback):
	case isPostgres(err):
	case errors.Is(err, pgfence.ErrRoundDecorator) && s.mode == "round the decorator":
		s.said = append(s.said, "refused")
	default:
		return err
	}
	if err == nil && len(s.writes) == 1 && s.commit && s.mode != "round the decorator" && !(s.inner && s.undo) {
		s.alone = s.writes[0].Write
	}
	p.report.Modes[s.mode] += s.accepted
	return nil
}

func (p *run) send(ctx context.Context, s *step) error {
	switch s.mode {
	case "pool":
		return p.write(ctx, p.q.methods, s, s.writes[0])
	case "round the decorator":
		return p.write(ctx, reflect.ValueOf(p.repoOf(p.q.db())), s, s.writes[0])
	case "InTx":
		return p.q.inTx(ctx, func(q queries) error { return p.inside(ctx, s, q) })
	}
	begin := p.q.begin
	if s.mode == "transaction begun elsewhere" {
		begin = p.pool.Begin
	}
	tx, err := begin(ctx)
	if err != nil {
		return err
	}
	if err := p.inside(ctx, s, p.q.withTx(tx)); err != nil {
		if rbErr := tx.Rollback(ctx); rbErr != nil {
			return rbErr
		}
		return err
	}
	return tx.Commit(ctx)
}

// inside sends the writes of a step in a transaction, and looks at some cells
// before it ends: in it they are as it has made them, and outside as they were.
func (p *run) inside(ctx context.Context, s *step, q queries) error {
	first := s.writes
	var rest []stepWrite
	if s.inner {
		half := len(first) / 2
		first, rest = first[:half], first[half:]
	}
	for _, w := range first {
		if err := p.write(ctx, q.methods, s, w); err != nil {
			return err
		}
	}
	if s.inner {
		s.said = append(s.said, "savepoint")
		before := s.accepted
		err := q.inTx(ctx, func(q queries) error {
			for _, w := range rest {
				if err := p.write(ctx, q.methods, s, w); err != nil {
					return err
				}
			}
			if s.undo {
				return errRollback
			}
			return nil
		})
		if err != nil {
			s.said = append(s.said, "rolled back to the savepoint")
		}
		if err != nil && !errors.Is(err, errRollback) && !isPostgres(err) {
			return err
		}
		if err != nil && before == 0 && s.accepted == 0 {
			return err
		}
	}
	if err := p.look(ctx, s, q); err != nil {
		return err
	}
	if !s.commit {
		return errRollback
	}
	return nil
}

func (p *run) look(ctx context.Context, s *step, q queries) error {
	inside := reflect.ValueOf(p.repoOf(q.db()))
	for i := range 3 {
		c := p.cells[(p.report.Attempted*11+i*17)%len(p.cells)]
		if c.err != nil && isPostgres(c.err) {
			continue // it would end the transaction
		}
		got, gotErr := call(ctx, q.methods, c.read.Name, c.args)
		want, wantErr := call(ctx, inside, c.read.Name, c.args)
		p.outcomes.reads = 0
		if !p.check(c, got, gotErr, want, wantErr) {
			p.report.Difference = "in the transaction " + p.report.Difference
			return errRollback
		}
		if got, gotErr = p.read(ctx, c); !p.check(c, got, gotErr, c.want, c.err) {
			p.report.Difference = "while the transaction is open " + p.report.Difference
			return errRollback
		}
	}
	return nil
}

// write sends one write.
func (p *run) write(ctx context.Context, q reflect.Value, s *step, w stepWrite) error {
	p.report.Attempted++
	out, err := call(ctx, q, w.Name, w.args)
	s.said = append(s.said, fmt.Sprintf("%s(%s): %s", w.Name, showArgs(w.args), show(out, err)))
	if err == nil || errors.Is(err, pgx.ErrNoRows) {
		s.accepted++
		p.report.Accepted++
		return nil
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && strings.HasPrefix(pgErr.Code, "42") && pgErr.Code != "42P10" {
		p.report.Invalid[w.Name] = pgErr.Message
	}
	return err
}
