package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/internal/gen"
)

// TestDerivedKeysCoverEveryChange makes random schemas, reads and writes. Where the generator accepts a write, it is
// executed with several sets of arguments, each in a transaction that is rolled back, and every result of every accepted
// read that is another one afterwards must be under a key that the map names for this write.
//
// PGASIDE_TEST_FOR is how long it looks at least (20s), PGASIDE_TEST_SEED what to repeat. It goes on until it has executed
// fuzzExecutions writes and every kind of write has changed something.
func TestDerivedKeysCoverEveryChange(t *testing.T) {
	ctx := t.Context()
	length := 20 * time.Second
	if s := os.Getenv("PGASIDE_TEST_FOR"); s != "" {
		var err error
		length, err = time.ParseDuration(s)
		require.NoError(t, err)
	}
	seed := rand.Uint64()
	if s := os.Getenv("PGASIDE_TEST_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("PGASIDE_TEST_SEED=%d", seed)

	w := newWorld(t)
	conn, err := pgx.Connect(ctx, w.dbURL)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	for _, set := range []string{"jit = off", "client_min_messages = warning", "search_path = public"} {
		_, err = conn.Exec(ctx, "set "+set)
		require.NoError(t, err)
	}
	_, err = conn.Exec(ctx, "drop schema public cascade")
	require.NoError(t, err)

	f := &fuzz{t: t, conn: conn, file: filepath.Join(t.TempDir(), "schema.sql"), counts: map[string]int{}}
	begin := time.Now()
	for round := uint64(0); time.Since(begin) < length || f.unseen() != "" && time.Since(begin) < 10*length; round++ {
		f.r = rand.New(rand.NewPCG(seed, round))
		f.round(ctx)
		if t.Failed() {
			t.Logf("round %d of PGASIDE_TEST_SEED=%d", round, seed)
			return
		}
	}
	var lines []string
	for what, n := range f.counts {
		lines = append(lines, fmt.Sprintf("%8d %s", n, what))
	}
	sort.Strings(lines)
	t.Log("\n" + strings.Join(lines, "\n"))
	require.Empty(t, f.unseen(), "no accepted write of this kind was executed often enough or changed a result: the test shows nothing of it")
}

// fuzz makes and checks random projects. Its tables have the columns id, k and x, whose values are few, so that rows meet.
type fuzz struct {
	t      *testing.T
	r      *rand.Rand
	conn   *pgx.Conn
	file   string
	ddl    *gen.Schema
	counts map[string]int

	triggers  bool     // the schema has some
	extra     []string // heirs and partitions, which are written to as well
	arity     int      // parameters of the read that is being made
	generated bool     // s.x is computed from s.k
	aliases   int
}

var (
	fuzzTables  = []string{"p", "c", "g", "s"}
	fuzzColumns = []string{"id", "k", "x"}
)

const (
	fuzzDomain     = 4     // values are 0 to 3, and NULL
	fuzzArguments  = 40    // sets of arguments for one accepted write: deriving costs far more than executing
	fuzzExecutions = 10000 // executed writes without which the test shows too little
)

// fuzzRead is a read that the generator accepts.
type fuzzRead struct {
	statement gen.Statement
	group     string
	arity     int
	batch     bool
	hidesNone bool // negative=off: no row is not cached
	stale     []string
	keys      [][]int32
	before    []string // its result for each key
}

// fuzzWrite is a write and what it is called with.
type fuzzWrite struct {
	kind      string
	table     string
	alias     string // under which the statement changes it
	statement gen.Statement
	args      []any
}

// unseen names a kind of write that has not yet changed a result, or "any" when too few were executed; "" when there is
// nothing left to wait for.
func (f *fuzz) unseen() string {
	if f.counts["executed"] < fuzzExecutions {
		return "any"
	}
	for _, kind := range []string{
		"insert", "update", "delete", "upsert", "cte", "merge", "truncate", "function", "old value",
		"by cascade", "by lookup", "by @via", "by trigger", "through a partition",
	} {
		if f.counts["named: "+kind] == 0 {
			return kind
		}
	}
	return ""
}

func (f *fuzz) pick(of ...string) string { return of[f.r.IntN(len(of))] }
func (f *fuzz) oneIn(n int) bool         { return f.r.IntN(n) == 0 }
func (f *fuzz) column() string           { return f.pick(fuzzColumns...) }

func (f *fuzz) alias() string {
	f.aliases++
	return fmt.Sprintf("q%d", f.aliases)
}

func (f *fuzz) round(ctx context.Context) {
	ddl := f.schema()
	_, err := f.conn.Exec(ctx, "drop schema if exists public cascade; create schema public;"+ddl)
	require.NoError(f.t, err, ddl)
	require.NoError(f.t, f.conn.DeallocateAll(ctx))
	require.NoError(f.t, os.WriteFile(f.file, []byte(ddl), 0o600))
	f.ddl, err = gen.ReadSchema(f.file)
	require.NoError(f.t, err)
	for _, table := range fuzzTables {
		for range 4 {
			cols := []string{"id", "k", "x"}
			if f.generated && table == "s" {
				cols = cols[:2]
			}
			vals := make([]string, len(cols))
			for i := range vals {
				vals[i] = f.literal()
			}
			// What the constraints don't take is left out.
			_, _ = f.conn.Exec(ctx, fmt.Sprintf("insert into %s (%s) values (%s) on conflict do nothing", table, strings.Join(cols, ", "), strings.Join(vals, ", ")))
		}
	}

	var reads []*fuzzRead
	for tries := 0; len(reads) < 8 && tries < 60; tries++ {
		if rd := f.read(ctx, fmt.Sprintf("r%d", len(reads))); rd != nil {
			reads = append(reads, rd)
		}
	}
	tables := f.tables(ctx)
	for _, rd := range reads {
		rd.before = f.results(ctx, rd)
		f.checkSplit(ctx, rd)
	}
	for range 40 {
		f.check(ctx, reads, f.write(), tables, ddl)
		if f.t.Failed() {
			return
		}
	}
}

func (f *fuzz) literal() string {
	if f.oneIn(8) {
		return "NULL"
	}
	return strconv.Itoa(f.r.IntN(fuzzDomain))
}

func (f *fuzz) schema() string {
	f.generated = f.oneIn(3)
	action := func() string {
		return " ON DELETE " + f.pick("CASCADE", "CASCADE", "SET NULL", "SET DEFAULT", "NO ACTION", "RESTRICT") +
			" ON UPDATE " + f.pick("CASCADE", "CASCADE", "SET NULL", "SET DEFAULT", "NO ACTION")
	}
	def := func() string {
		if f.oneIn(3) {
			return " DEFAULT " + strconv.Itoa(f.r.IntN(fuzzDomain))
		}
		return ""
	}
	f.extra, f.triggers = nil, f.oneIn(3)
	sx := "x int" + def()
	if f.generated {
		sx = "x int GENERATED ALWAYS AS (k + 0) STORED"
	}
	sid, skeys, parts := f.pick("", " UNIQUE"), f.pick(", PRIMARY KEY (id, k)", ", UNIQUE (k)", ""), ""
	if f.oneIn(3) {
		sid, parts, f.extra = "", " PARTITION BY LIST (k)", []string{"s0"}
	}
	return fmt.Sprintf(`
CREATE TABLE p (id int PRIMARY KEY, k int%s, x int%s, UNIQUE (id, k)%s);
CREATE TABLE c (id int%s, k int%s, x int%s, UNIQUE (id, k)%s);
CREATE TABLE g (%s id int%s, k int%s, x int%s%s);
CREATE TABLE s (id int%s, k int, %s%s)%s;
%s
%s
CREATE VIEW v AS SELECT p.id, c.k, p.x FROM p LEFT JOIN c ON c.id = p.k;
CREATE VIEW u AS SELECT id, k, x FROM c;
`,
		def(), def(), f.pick("", ", UNIQUE (k)"),
		f.pick(" PRIMARY KEY", " UNIQUE"), def(), def(),
		f.pick("", ", FOREIGN KEY (k) REFERENCES p"+action(), ", FOREIGN KEY (k, x) REFERENCES p (id, k)"+action(), ", FOREIGN KEY (x) REFERENCES p (id)"+action()),
		f.pick("", "CHECK (x < 9),"), f.pick(" PRIMARY KEY", ""), def(), def(),
		f.pick("", ", FOREIGN KEY (k) REFERENCES c (id)"+action(), ", FOREIGN KEY (k, x) REFERENCES c (id, k)"+action(),
			", FOREIGN KEY (k) REFERENCES c (id)"+action()+", FOREIGN KEY (x) REFERENCES p"+action()),
		sid, sx, skeys, parts,
		f.more(),
		f.pick("", "CREATE UNIQUE INDEX gx ON g (x);", "CREATE UNIQUE INDEX gx ON g (x) WHERE x > 1;"),
	)
}

// more makes heirs, partitions, functions and triggers.
func (f *fuzz) more() string {
	var b strings.Builder
	if len(f.extra) > 0 {
		b.WriteString("CREATE TABLE s0 PARTITION OF s FOR VALUES IN (0, 1);\nCREATE TABLE s1 PARTITION OF s DEFAULT;\n")
	}
	if f.oneIn(4) {
		b.WriteString("CREATE TABLE h () INHERITS (c);\n")
		f.extra = append(f.extra, "h")
	}
	other := f.pick("p", "c", "g")
	fmt.Fprintf(&b, "CREATE FUNCTION put(a int, b int) RETURNS int LANGUAGE %s;\n", f.pick(
		"sql AS 'UPDATE "+other+" SET x = $2 WHERE "+f.column()+" = a RETURNING 1'",
		"sql AS 'DELETE FROM "+other+" WHERE "+f.column()+" = $1 AND k = b RETURNING 1'",
		"plpgsql AS 'BEGIN IF b > 1 THEN INSERT INTO g (id, k, x) VALUES (a, b, a); ELSE UPDATE g SET x = 3 WHERE id = b; END IF; RETURN a; END'",
	))
	if !f.triggers {
		return b.String()
	}
	table := f.pick("p", "c", "g")
	switch f.r.IntN(4) {
	case 0:
		fmt.Fprintf(&b, "CREATE FUNCTION tr() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.%s := %s; RETURN NEW; END';\n", f.pick("k", "x"), f.pick("2", "NEW.id", "NEW.id % 4"))
		fmt.Fprintf(&b, "CREATE TRIGGER tr BEFORE %s ON %s FOR EACH ROW EXECUTE FUNCTION tr();\n", f.pick("INSERT", "UPDATE", "INSERT OR UPDATE"), table)
	case 1:
		fmt.Fprintf(&b, `CREATE FUNCTION tr() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
  IF TG_OP = 'DELETE' THEN UPDATE s SET id = 3 WHERE k = OLD.%[1]s; RETURN OLD; END IF;
  UPDATE s SET id = 2 WHERE k = NEW.%[1]s; RETURN NEW; END$$;
CREATE TRIGGER tr AFTER INSERT OR DELETE OR UPDATE ON %[2]s FOR EACH ROW EXECUTE FUNCTION tr();
`, f.column(), table)
	case 2:
		fmt.Fprintf(&b, `CREATE FUNCTION tr() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
  DELETE FROM s WHERE k = coalesce(NEW.%[1]s, OLD.%[1]s); RETURN NULL; END$$;
CREATE TRIGGER tr AFTER INSERT OR DELETE OR UPDATE ON %[2]s FOR EACH ROW EXECUTE FUNCTION tr();
`, f.column(), table)
	default:
		fmt.Fprintf(&b, `CREATE FUNCTION tr() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
  INSERT INTO s (id, k) VALUES (NEW.%s, NEW.%s) ON CONFLICT DO NOTHING; RETURN NEW; END$$;
CREATE TRIGGER tr AFTER INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION tr();
`, f.column(), f.column(), table)
	}
	return b.String()
}

// joined makes a read of a table and one that it refers to, or that refers to it, and the @via that finds its keys.
func (f *fuzz) joined() (sql, via string) {
	child, parent, fk := f.pick("c", "g"), "p", f.pick("k", "x")
	if child == "g" {
		parent = "c"
	}
	a, b := child, fk
	c, d := parent, "id"
	if f.oneIn(2) {
		a, b, c, d = c, d, a, b
	}
	key := f.column()
	sql = fmt.Sprintf("SELECT q1.%[1]s AS a0, q2.%[2]s AS b0, q2.%[3]s AS c0 FROM %[4]s q1 %[5]s %[6]s q2 ON q2.%[7]s = q1.%[8]s WHERE q1.%[9]s = $1",
		f.column(), f.column(), f.column(), a, f.pick("JOIN", "LEFT JOIN"), c, d, b, key)
	return sql, fmt.Sprintf("@via %s: SELECT o.%s FROM %s o WHERE o.%s = %s.%s", c, key, a, b, c, d)
}

// read makes a read that the generator accepts, or none.
func (f *fuzz) read(ctx context.Context, name string) *fuzzRead {
	rd := &fuzzRead{group: name}
	f.arity, f.aliases = 1+f.r.IntN(2), 0
	var sql string
	outs := 3
	via := ""
	switch f.r.IntN(8) {
	case 6, 7:
		f.arity = 1
		sql, via = f.joined()
	case 0, 1:
		q := f.alias()
		from := f.pick(append([]string{"p", "c", "g", "s", "u"}, f.extra...)...)
		sql = fmt.Sprintf("SELECT %s, %s, %s FROM %s %s WHERE %s.%s = $1", f.column(), f.column(), f.column(), from, q, q, f.column())
		f.arity = 1
		if f.oneIn(2) {
			f.arity = 2
			sql += fmt.Sprintf(" AND %s.%s = $2", q, f.column())
		}
	case 2:
		rd.batch, f.arity = true, 1
		sql = f.batch()
	default:
		sql, outs = f.query()
	}
	rd.arity = f.arity
	rd.statement = gen.Statement{Name: "Read" + name, Cmd: ":many", SQL: sql, Args: rd.arity, Outs: outs}
	params := "p1"
	if rd.batch {
		rd.statement.Lists = []int{0}
	} else if f.oneIn(3) {
		rd.statement.Cmd = ":one"
	}
	if rd.arity == 2 {
		params = "p1, p2"
	}
	note := fmt.Sprintf("@cache %s(%s)", name, params)
	if f.oneIn(2) {
		note += " negative=off"
		rd.hidesNone = rd.statement.Cmd == ":one"
	}
	rd.statement.Notes = []string{note}
	if via != "" {
		rd.statement.Notes = append(rd.statement.Notes, via)
		if _, err := f.ddl.Derive([]gen.Statement{rd.statement}); err != nil {
			rd.statement.Notes = rd.statement.Notes[:1]
		}
	}
	if _, err := f.ddl.Derive([]gen.Statement{rd.statement}); err != nil {
		// Perhaps it can be cached if the changes of all but one table may stay unseen.
		only := f.pick(fuzzTables...)
		for _, table := range fuzzTables {
			text := strings.NewReplacer(" v ", " p  c ", " u ", " c ").Replace(sql)
			if table != only && strings.Contains(text, " "+table+" ") {
				rd.stale = append(rd.stale, table)
			}
		}
		if len(rd.stale) > 0 {
			rd.statement.Notes = append(rd.statement.Notes, "@stale-ok "+strings.Join(rd.stale, " "))
		}
		if _, err := f.ddl.Derive([]gen.Statement{rd.statement}); err != nil || len(rd.stale) == 0 {
			f.counts["reads refused"]++
			return nil
		}
	}
	for i := range fuzzPower(fuzzDomain, rd.arity) {
		key := make([]int32, rd.arity)
		for k := range key {
			key[k] = int32(i % fuzzDomain)
			i /= fuzzDomain
		}
		rd.keys = append(rd.keys, key)
	}
	st, err := f.conn.Prepare(ctx, name, fmt.Sprintf("SELECT coalesce(string_agg(t::text, ';' ORDER BY t::text), '') FROM (%s) t", sql))
	if err != nil || len(st.ParamOIDs) != rd.arity {
		f.counts["reads that Postgres refuses"]++
		return nil
	}
	f.counts["reads accepted"]++
	return rd
}

func fuzzPower(n, times int) int {
	out := 1
	for range times {
		out *= n
	}
	return out
}

// results runs a read for each of its keys.
func (f *fuzz) results(ctx context.Context, rd *fuzzRead) []string {
	b := &pgx.Batch{}
	for _, key := range rd.keys {
		args := make([]any, len(key))
		for i, v := range key {
			if args[i] = v; rd.batch {
				args[i] = []int32{v}
			}
		}
		b.Queue(rd.group, args...)
	}
	return f.texts(ctx, b)
}

func (f *fuzz) tables(ctx context.Context) []string {
	b := &pgx.Batch{}
	for _, table := range fuzzTables {
		b.Queue("SELECT coalesce(string_agg(t::text, ';' ORDER BY t::text), '') FROM " + table + " t")
	}
	return f.texts(ctx, b)
}

func (f *fuzz) texts(ctx context.Context, b *pgx.Batch) []string {
	f.t.Helper()
	out := make([]string, b.Len())
	res := f.conn.SendBatch(ctx, b)
	for i := range out {
		require.NoError(f.t, res.QueryRow().Scan(&out[i]), b.QueuedQueries[i].SQL)
	}
	require.NoError(f.t, res.Close())
	return out
}

// checkSplit checks that a batch is the sum of its keys.
func (f *fuzz) checkSplit(ctx context.Context, rd *fuzzRead) {
	if !rd.batch {
		return
	}
	all := make([]int32, 0, len(rd.keys))
	for _, k := range rd.keys {
		all = append(all, k[0])
	}
	b := &pgx.Batch{}
	b.Queue(rd.group, all)
	whole := f.texts(ctx, b)[0]
	var rows []string
	for _, r := range rd.before {
		if r != "" {
			rows = append(rows, strings.Split(r, ";")...)
		}
	}
	split := strings.Split(whole, ";")
	if whole == "" {
		split = nil
	}
	sort.Strings(rows)
	sort.Strings(split)
	require.True(f.t, slices.Equal(rows, split), "%s\nby key %v\nas one %v", rd.statement.SQL, rows, split)
}

// check executes a write for those reads with which the generator accepts it.
func (f *fuzz) check(ctx context.Context, reads []*fuzzRead, w *fuzzWrite, tables []string, ddl string) {
	accepted := map[*fuzzRead][]gen.DerivedKey{}
	// Most of them read what it writes, or what a cascade of it may reach.
	f.r.Shuffle(len(reads), func(i, j int) { reads[i], reads[j] = reads[j], reads[i] })
	for _, rd := range reads {
		if !strings.Contains(rd.statement.SQL, " "+w.table+" ") && !f.oneIn(3) {
			continue
		}
		keys, err := f.ddl.Derive([]gen.Statement{rd.statement, w.statement})
		if err == nil {
			accepted[rd] = keys[w.statement.Name]
			f.counts["accepted: "+w.kind]++
			continue
		}
		var findings gen.Findings
		require.ErrorAs(f.t, err, &findings)
		f.counts["refused: "+w.kind]++
	}
	if len(accepted) == 0 {
		return
	}
	for range fuzzArguments {
		f.try(ctx, accepted, w, tables, ddl)
		if f.t.Failed() {
			return
		}
		w.redraw(f)
	}
}

// try executes a write with the arguments that it has, and undoes it.
func (f *fuzz) try(ctx context.Context, accepted map[*fuzzRead][]gen.DerivedKey, w *fuzzWrite, tables []string, ddl string) {
	_, err := f.conn.Exec(ctx, "begin")
	require.NoError(f.t, err)
	defer func() {
		_, err := f.conn.Exec(ctx, "rollback")
		require.NoError(f.t, err)
	}()
	found := f.lookUp(ctx, accepted, w, false)
	rows, err := f.execute(ctx, w)
	if err != nil {
		f.counts["failed: "+w.kind]++
		return
	}
	for l, rows := range f.lookUp(ctx, accepted, w, true) {
		found[l] = rows
	}
	f.counts["executed"]++
	changed, others := map[string]bool{}, false
	for i, text := range f.tables(ctx) {
		if text != tables[i] {
			changed[fuzzTables[i]] = true
			others = others || fuzzTables[i] != w.table
		}
	}
	if len(changed) == 0 {
		return // the reads depend on the tables alone
	}
	for rd, derived := range accepted {
		if slices.ContainsFunc(rd.stale, func(t string) bool { return changed[t] }) {
			continue
		}
		named := map[string]bool{}
		for _, k := range derived {
			for _, key := range w.keys(k, rows, found) {
				named[key] = true
			}
			for _, key := range rd.keys {
				if k.Whole {
					named[fmt.Sprint(key)] = true
				}
			}
		}
		for i, after := range f.results(ctx, rd) {
			if after == rd.before[i] || rd.hidesNone && rd.before[i] == "" {
				continue
			}
			if key := fmt.Sprint(rd.keys[i]); !named[key] {
				f.t.Errorf("key %s of\n  %s %v\nis stale after\n  %s %s %v\nwhich names %v by %v\nreturned %v\nbefore %s\nafter  %s\n%s", key, rd.statement.SQL,
					rd.statement.Notes, w.statement.Cmd, w.statement.SQL, w.args, named, derived, rows, rd.before[i], after, ddl)
				return
			}
			f.counts["named: "+w.kind]++
			if others && w.kind != "cte" && !f.triggers {
				f.counts["named: by cascade"]++
			}
			if others && f.triggers && w.kind != "cte" && w.kind != "function" {
				f.counts["named: by trigger"]++
			}
			for _, k := range derived {
				if k.Lookup != nil && len(rd.statement.Notes) > 1 && strings.HasPrefix(rd.statement.Notes[1], "@via") {
					f.counts["named: by @via"]++
				} else if k.Lookup != nil {
					f.counts["named: by lookup"]++
				}
			}
			if slices.Contains(f.extra, w.table) || strings.Contains(rd.statement.SQL, " s0 ") {
				f.counts["named: through a partition"]++
			}
		}
	}
}

// redraw gives a write other arguments.
func (w *fuzzWrite) redraw(f *fuzz) {
	for i, v := range w.args {
		if list, ok := v.([]int32); ok {
			for k := range list {
				list[k] = int32(f.r.IntN(fuzzDomain))
			}
			continue
		}
		if w.args[i] = int32(f.r.IntN(fuzzDomain)); f.oneIn(10) {
			w.args[i] = nil
		}
	}
}

// execute returns the rows that the method of sqlc would return.
func (f *fuzz) execute(ctx context.Context, w *fuzzWrite) ([][]any, error) {
	rows, err := f.conn.Query(ctx, w.statement.SQL, append([]any{pgx.QueryExecModeDescribeExec}, w.args...)...)
	if err != nil {
		return nil, err
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]any, error) { return row.Values() })
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, err
	}
	switch {
	case w.statement.Cmd == ":many":
		return all, nil
	case w.statement.Cmd == ":one" && len(all) > 0:
		return all[:1], nil
	}
	return nil, nil
}

// lookUp runs the lookups of a write, those before its statement or those after it.
func (f *fuzz) lookUp(ctx context.Context, accepted map[*fuzzRead][]gen.DerivedKey, w *fuzzWrite, after bool) map[string][][]any {
	out := map[string][][]any{}
	for _, derived := range accepted {
		for _, k := range derived {
			if k.Lookup == nil || k.Lookup.After != after || out[fmt.Sprint(*k.Lookup)] != nil {
				continue
			}
			args := []any{pgx.QueryExecModeDescribeExec}
			for _, n := range k.Lookup.Args {
				args = append(args, w.args[n])
			}
			rows, err := f.conn.Query(ctx, k.Lookup.SQL, args...)
			require.NoError(f.t, err, k.Lookup.SQL)
			all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]any, error) { return row.Values() })
			require.NoError(f.t, err, "%s\nof %s", k.Lookup.SQL, w.statement.SQL)
			if k.Lookup.Tree { // what identifies a row stands first
				for i := range all {
					all[i] = all[i][1:]
				}
			}
			out[fmt.Sprint(*k.Lookup)] = append(all, nil)[:len(all)] // never nil
		}
	}
	return out
}

// keys evaluates a derived key as the generated code does.
func (w *fuzzWrite) keys(k gen.DerivedKey, rows [][]any, found map[string][][]any) []string {
	if k.Whole {
		return nil
	}
	if k.Lookup != nil {
		rows = found[fmt.Sprint(*k.Lookup)]
	} else if !slices.ContainsFunc(k.Parts, func(p gen.KeyPart) bool { return p.From == "column" }) {
		rows = [][]any{nil}
	}
	var out []string
	for _, row := range rows {
		keys := [][]any{nil}
		for _, p := range k.Parts {
			var values []any
			switch p.From {
			case "argument":
				values = []any{w.args[p.N]}
			case "element":
				if list, ok := w.args[p.N].([]int32); ok {
					for _, v := range list {
						values = append(values, v)
					}
				}
			case "constant":
				n, _ := strconv.Atoi(p.Text)
				values = []any{int32(n)}
			case "column", "lookup":
				values = []any{row[p.N]}
			}
			var next [][]any
			for _, key := range keys {
				for _, v := range values {
					if v != nil {
						next = append(next, append(slices.Clone(key), v))
					}
				}
			}
			keys = next
		}
		for _, key := range keys {
			out = append(out, fmt.Sprint(key))
		}
	}
	return out
}

// The reads.

func (f *fuzz) item(depth int, ctes []string) (sql, alias string) {
	alias = f.alias()
	if depth > 0 && f.oneIn(4) {
		return f.pick("", "", "LATERAL ") + "(" + f.sub(depth-1) + ") " + alias, alias
	}
	if len(ctes) > 0 && f.oneIn(3) {
		return f.pick(ctes...) + " " + alias, alias
	}
	return f.pick("p", "c", "g", "s", "v", "u") + " " + alias, alias
}

func (f *fuzz) param() string { return "$" + strconv.Itoa(1+f.r.IntN(f.arity)) }

func (f *fuzz) of(aliases []string) string { return f.pick(aliases...) + "." + f.column() }

func (f *fuzz) condition(aliases []string, depth int) string {
	col := func() string { return f.of(aliases) }
	switch f.r.IntN(13) {
	case 0, 1, 2, 3:
		return col() + " = " + col()
	case 4, 5, 6:
		return col() + " = " + f.param()
	case 7:
		if f.arity == 2 {
			return fmt.Sprintf("(%s, %s) = ($1, $2)", col(), col())
		}
		return fmt.Sprintf("%s::int8 = $1::int4", col())
	case 8:
		return col() + " <> 2"
	case 9:
		return "(" + col() + " = " + f.param() + " OR " + col() + " = 1)"
	case 10:
		if depth > 0 {
			return col() + " IN (SELECT z.k FROM (" + f.sub(depth-1) + ") z WHERE z.id = " + col() + ")"
		}
		return "NOT (" + col() + " = " + f.param() + ")"
	case 11:
		return col() + f.pick(" IS NOT DISTINCT FROM ", " IN (1) AND "+f.param()+" = ") + col()
	default:
		alias := f.alias()
		return fmt.Sprintf("%s (SELECT 1 FROM %s %s WHERE %s AND %s.k = %s)", f.pick("EXISTS", "NOT EXISTS"), f.pick(fuzzTables...), alias,
			f.condition(append([]string{alias}, aliases...), 0), alias, col())
	}
}

func (f *fuzz) conditions(aliases []string, depth int) string {
	out := []string{f.condition(aliases, depth)}
	for range f.r.IntN(3) {
		out = append(out, f.condition(aliases, depth))
	}
	return strings.Join(out, " AND ")
}

func (f *fuzz) from(depth int, ctes []string) (sql string, aliases []string) {
	sql, alias := f.item(depth, ctes)
	aliases = []string{alias}
	for range f.r.IntN(3) {
		if depth > 0 && f.oneIn(4) {
			more, others := f.from(0, ctes)
			aliases = append(aliases, others...)
			sql = fmt.Sprintf("%s %s (%s) ON %s", sql, f.pick("JOIN", "LEFT JOIN", "RIGHT JOIN"), more, f.conditions(aliases, 0))
			continue
		}
		more, other := f.item(depth, ctes)
		last := aliases[len(aliases)-1]
		aliases = append(aliases, other)
		switch f.r.IntN(7) {
		case 0:
			sql = fmt.Sprintf("%s FULL JOIN %s ON %s.k = %s.%s", sql, more, last, other, f.column())
		default:
			sql = fmt.Sprintf("%s %s %s ON %s", sql, f.pick("JOIN", "LEFT JOIN", "RIGHT JOIN"), more, f.conditions(aliases, depth))
		}
	}
	return sql, aliases
}

// sub makes a sub-select with the columns id, k and x.
func (f *fuzz) sub(depth int) string {
	from, aliases := f.from(depth, nil)
	where := ""
	if f.oneIn(2) {
		where = " WHERE " + f.conditions(aliases, depth)
	}
	i, k, x := f.of(aliases), f.of(aliases), f.of(aliases)
	plain := fmt.Sprintf("SELECT %s AS id, %s AS k, %s AS x FROM %s%s", i, k, x, from, where)
	switch f.r.IntN(9) {
	case 0:
		return plain + " ORDER BY 1, 2, 3 LIMIT 2"
	case 1:
		return strings.Replace(plain, "SELECT", "SELECT DISTINCT", 1)
	case 2:
		return fmt.Sprintf("SELECT %s AS id, %s AS k, count(*)::int AS x FROM %s%s GROUP BY %s", i, k, from, where, f.pick("1, 2", "GROUPING SETS ((1, 2), (1))"))
	case 3:
		return fmt.Sprintf("SELECT %s AS id, %s AS k, (row_number() OVER (ORDER BY %s, %s, %s))::int AS x FROM %s%s", i, k, i, k, x, from, where)
	case 4:
		return fmt.Sprintf("%s %s SELECT id, k, x FROM %s", plain, f.pick("UNION", "UNION ALL", "EXCEPT", "INTERSECT"), f.pick(fuzzTables...)+" ")
	case 5:
		return fmt.Sprintf("SELECT DISTINCT ON (%s) %s AS id, %s AS k, %s AS x FROM %s%s ORDER BY %s, %s, %s, %s", x, i, k, x, from, where, x, i, k, x)
	}
	return plain
}

func (f *fuzz) query() (sql string, outs int) {
	var ctes []string
	with := ""
	switch f.r.IntN(6) {
	case 0, 1:
		ctes = []string{"w"}
		with = "WITH w AS (" + f.sub(1) + ") "
	case 2:
		ctes = []string{"w"}
		with = fmt.Sprintf("WITH RECURSIVE w(id, k, x) AS (%s UNION SELECT r.id, r.k, r.x FROM %s r JOIN w ON w.k = r.id) ", f.plainSub(), f.pick(fuzzTables...))
	}
	from, aliases := f.from(1, ctes)
	col := func() string { return f.of(aliases) }
	extra, end := "", ""
	outs = 2
	switch f.r.IntN(8) {
	case 0, 1:
		outs = 3
		extra = fmt.Sprintf(", (SELECT count(*) FROM %s s0 WHERE %s)", f.pick(fuzzTables...), f.conditions(append([]string{"s0"}, aliases...), 0))
	case 2:
		end = " ORDER BY 1, 2 LIMIT 1"
	case 3:
		return fmt.Sprintf("%sSELECT count(*), max(%s) FROM %s WHERE %s", with, col(), from, f.conditions(aliases, 1)), 2
	case 4:
		a, b := col(), col()
		return fmt.Sprintf("%sSELECT %s, %s, count(*) FROM %s WHERE %s GROUP BY %s, %s HAVING count(*) > 0", with, a, b, from, f.conditions(aliases, 1), a, b), 3
	}
	return fmt.Sprintf("%sSELECT %s AS a0, %s AS b0%s FROM %s WHERE %s%s", with, col(), col(), extra, from, f.conditions(aliases, 1), end), outs
}

func (f *fuzz) plainSub() string {
	q := f.alias()
	return fmt.Sprintf("SELECT %[1]s.id, %[1]s.k, %[1]s.x FROM %[2]s %[1]s WHERE %[1]s.%[3]s = %[4]s", q, f.pick(fuzzTables...), f.column(), f.param())
}

func (f *fuzz) batch() string {
	q := f.alias()
	table := f.pick("p", "c", "g", "s", "u", "v")
	col := f.column()
	sql := fmt.Sprintf("SELECT %[1]s.%[2]s AS a0, %[1]s.%[3]s AS b0, ", q, col, f.column())
	from, aliases := table+" "+q, []string{q}
	for range f.r.IntN(3) {
		other := f.alias()
		aliases = append(aliases, other)
		from += fmt.Sprintf(" %s %s %s ON %s.%s = %s", f.pick("JOIN", "LEFT JOIN"), f.pick(fuzzTables...), other, other, f.column(), f.of(aliases[:len(aliases)-1]))
	}
	sql += f.of(aliases) + " AS c0 FROM " + from + fmt.Sprintf(" WHERE %s.%s = ANY($1)", q, col)
	if f.oneIn(2) {
		f.arity = 1
		inner := f.alias()
		sql += fmt.Sprintf(" AND %s (SELECT 1 FROM %s %s WHERE %s.%s = %s)", f.pick("EXISTS", "NOT EXISTS"), f.pick(fuzzTables...), inner, inner, f.column(), f.of(aliases))
	}
	return sql
}

// The writes.

// value adds an argument or writes a constant.
func (w *fuzzWrite) value(f *fuzz) string {
	if f.oneIn(5) {
		return f.literal()
	}
	return w.arg(f)
}

func (w *fuzzWrite) arg(f *fuzz) string {
	var v any = int32(f.r.IntN(fuzzDomain))
	if f.oneIn(10) {
		v = nil
	}
	w.args = append(w.args, v)
	return fmt.Sprintf("$%d%s", len(w.args), f.pick("", "::int"))
}

func (w *fuzzWrite) list(f *fuzz) string {
	list := []int32{}
	for range f.r.IntN(4) {
		list = append(list, int32(f.r.IntN(fuzzDomain)))
	}
	w.statement.Lists = append(w.statement.Lists, len(w.args))
	w.args = append(w.args, list)
	return fmt.Sprintf("$%d%s", len(w.args), "::int[]")
}

func (f *fuzz) write() *fuzzWrite {
	f.aliases = 100
	w := &fuzzWrite{}
	var sql string
	outs := 0
	switch f.r.IntN(11) {
	case 0, 1, 2:
		sql, outs = f.insert(w)
	case 3, 4, 5:
		sql, outs = f.update(w)
	case 6:
		sql, outs = f.delete(w)
	case 7:
		sql, outs = f.special(w)
	case 8, 9:
		inner := []func(*fuzzWrite) (string, int){f.insert, f.update, f.delete}[f.r.IntN(3)]
		body, n := inner(w)
		table, kind := w.table, "cte"
		if n == 0 {
			body += fmt.Sprintf(" RETURNING %[1]s.id, %[1]s.k, %[1]s.x", w.alias)
		}
		cols := "w0.id, w0.k, w0.x"
		if n == 1 || strings.Contains(body, " AS n, x") {
			cols = "1 AS one"
		}
		sql = fmt.Sprintf("WITH w0 AS (%s) SELECT %s FROM w0%s", body, cols, f.pick("", " ORDER BY 1", " LEFT JOIN p q ON q.id = 1", " WHERE true", " LIMIT 1"))
		outs = strings.Count(cols, ",") + 1
		w.kind, w.table = kind, table
	default:
		inner := []func(*fuzzWrite) (string, int){f.insert, f.update, f.delete}[f.r.IntN(3)]
		body, n := inner(w)
		table := w.table
		if n == 0 {
			body += fmt.Sprintf(" RETURNING %[1]s.id, %[1]s.k, %[1]s.x", w.alias)
		}
		sql = "WITH w0 AS (" + body + ") "
		switch f.r.IntN(3) {
		case 0:
			sql, outs = sql+"SELECT 1 AS one FROM w0", 1
		default:
			outer := []func(*fuzzWrite) (string, int){f.insert, f.update, f.delete}[f.r.IntN(3)]
			more, n := outer(w)
			sql, outs = sql+more, n
		}
		w.kind, w.table = "cte", table
	}
	w.statement.Name, w.statement.SQL = "Write", sql
	w.statement.Args, w.statement.Outs = len(w.args), outs
	w.statement.Cmd = f.pick(":exec", ":execrows")
	if outs > 0 {
		w.statement.Cmd = f.pick(":one", ":many", ":many", ":many", ":exec")
	}
	return w
}

// special makes a write that is none of the usual ones.
func (f *fuzz) special(w *fuzzWrite) (string, int) {
	w.table = f.pick(fuzzTables...)
	switch f.r.IntN(8) {
	case 5, 6, 7: // what goes with a parent
		w.kind, w.table = "delete", f.pick("p", "p", "c")
		if f.oneIn(3) {
			w.kind = "update"
			return fmt.Sprintf("UPDATE %s SET id = %s WHERE %s = %s", w.table, w.arg(f), f.pick("id", "k"), w.arg(f)), 0
		}
		return fmt.Sprintf("DELETE FROM %s WHERE %s = %s%s", w.table, f.pick("id", "k"), w.arg(f), f.pick("", " AND x IS NOT NULL")), 0
	case 0:
		w.kind = "truncate"
		return "TRUNCATE " + w.table + f.pick("", " CASCADE"), 0
	case 1, 2:
		w.kind, w.table = "function", "g"
		return "SELECT put(" + w.arg(f) + ", " + w.arg(f) + ")", 1
	case 3:
		w.kind, w.table = "merge", f.pick("p", "c", "g")
		var b strings.Builder
		fmt.Fprintf(&b, "MERGE INTO %s t USING (SELECT %s::int AS id, %s::int AS k, %s::int AS x) q ON t.%s = q.id", w.table, w.arg(f), w.arg(f), w.arg(f), f.pick("id", "id", "k"))
		b.WriteString(f.pick("", " WHEN MATCHED AND q.k = 1 THEN DELETE", " WHEN MATCHED AND t.x = 1 THEN DO NOTHING"))
		b.WriteString(f.pick("", " WHEN MATCHED THEN UPDATE SET x = q.x", " WHEN MATCHED THEN UPDATE SET k = q.k, x = t.k", " WHEN MATCHED THEN DELETE"))
		b.WriteString(f.pick(" WHEN NOT MATCHED THEN INSERT (id, k, x) VALUES (q.id, q.k, q.x)", " WHEN NOT MATCHED THEN INSERT (id, k) VALUES (q.id, 1)"))
		return b.String(), 0
	}
	w.kind = "old value"
	set := f.pick(f.writable(w.table)...)
	return fmt.Sprintf("WITH o AS (SELECT id, k, x FROM %[1]s WHERE %[2]s = %[3]s%[4]s) UPDATE %[1]s z SET %[5]s = %[6]s FROM o WHERE z.id = o.id%[7]s RETURNING o.id, o.k, o.x",
		w.table, f.column(), w.arg(f), f.pick("", " FOR UPDATE", " FOR UPDATE"), set, w.arg(f), f.pick("", " AND z.k = o.k")), 3
}

func (f *fuzz) returning() (sql string, outs int) {
	switch f.r.IntN(4) {
	case 0:
		return "", 0
	case 1:
		return " RETURNING " + f.column(), 1
	case 2:
		return " RETURNING k + 0 AS n, x, id", 3
	}
	return " RETURNING id, k, x", 3
}

// writable lists the columns that can be written.
func (f *fuzz) writable(table string) []string {
	if (table == "s" || table == "s0") && f.generated {
		return []string{"id", "k"}
	}
	return slices.Clone(fuzzColumns)
}

func (f *fuzz) insert(w *fuzzWrite) (string, int) {
	w.kind, w.table = "insert", f.pick(append(f.extra, fuzzTables...)...)
	cols := f.writable(w.table)
	f.r.Shuffle(len(cols), func(i, j int) { cols[i], cols[j] = cols[j], cols[i] })
	if f.oneIn(3) {
		cols = cols[:1+f.r.IntN(len(cols))]
	}
	var b strings.Builder
	alias := w.table
	w.alias = alias
	fmt.Fprintf(&b, "INSERT INTO %s ", w.table)
	if f.oneIn(4) {
		alias, w.alias = "z", "z"
		b.WriteString("AS z ")
	}
	fmt.Fprintf(&b, "(%s) ", strings.Join(cols, ", "))
	row := func(value func() string) string {
		vals := make([]string, len(cols))
		for i := range vals {
			vals[i] = value()
		}
		return strings.Join(vals, ", ")
	}
	switch f.r.IntN(5) {
	case 0:
		from, q := f.pick(fuzzTables...), f.alias()
		vals := row(func() string {
			if f.oneIn(2) {
				return q + "." + f.column() + f.pick("", "", " + 0")
			}
			return strings.TrimSuffix(w.value(f), "::int") + "::int"
		})
		fmt.Fprintf(&b, "SELECT %s FROM %s %s WHERE %s", vals, from, q, f.where(w, []string{q}))
	case 1:
		b.WriteString("SELECT " + row(func() string {
			switch f.r.IntN(5) {
			case 0:
				return "generate_series(1, 2)"
			case 1:
				return "unnest(" + w.list(f) + ")"
			}
			return strings.TrimSuffix(w.value(f), "::int") + "::int"
		}))
	default:
		rows := 1
		if f.oneIn(4) {
			rows = 2
		}
		for i := range rows {
			if i > 0 {
				b.WriteString(", ")
			} else {
				b.WriteString("VALUES ")
			}
			b.WriteString("(" + row(func() string {
				if f.oneIn(8) {
					return "DEFAULT"
				}
				return w.value(f)
			}) + ")")
		}
	}
	switch f.r.IntN(5) {
	case 0:
		b.WriteString(" ON CONFLICT DO NOTHING")
	case 1, 2:
		w.kind = "upsert"
		fmt.Fprintf(&b, " ON CONFLICT (%s) DO UPDATE SET %s", f.pick("id", "id", "id, k", "k", "x"), f.set(w, alias, func() string { return "excluded." + f.column() }))
		if f.oneIn(5) {
			fmt.Fprintf(&b, " WHERE %s.%s = %s", alias, f.column(), w.arg(f))
		}
	}
	ret, outs := f.returning()
	return b.String() + ret, outs
}

// set makes a SET list.
func (f *fuzz) set(w *fuzzWrite, alias string, other func() string) string {
	cols := f.writable(w.table)
	f.r.Shuffle(len(cols), func(i, j int) { cols[i], cols[j] = cols[j], cols[i] })
	cols = cols[:1+f.r.IntN(len(cols))]
	value := func(col string) string {
		switch f.r.IntN(9) {
		case 0:
			return alias + "." + col
		case 1, 2:
			return other()
		case 3:
			return fmt.Sprintf("(%s.%s + 1) %% 4", alias, f.column())
		case 4:
			return "DEFAULT"
		case 5:
			return "coalesce(" + strings.TrimSuffix(w.arg(f), "::int") + "::int, " + alias + "." + col + ")"
		}
		return w.value(f)
	}
	if len(cols) > 1 && f.oneIn(4) {
		vals := make([]string, len(cols))
		for i := range vals {
			vals[i] = value(cols[i])
		}
		return fmt.Sprintf("(%s) = (%s)", strings.Join(cols, ", "), strings.Join(vals, ", "))
	}
	for i, col := range cols {
		cols[i] = col + " = " + value(col)
	}
	return strings.Join(cols, ", ")
}

func (f *fuzz) where(w *fuzzWrite, aliases []string) string {
	var out []string
	for range 1 + f.r.IntN(5)/3 {
		switch f.r.IntN(13) {
		case 9:
			out = append(out, fmt.Sprintf("%s IN (%s, %s, 2)", f.of(aliases), w.arg(f), w.arg(f)))
		case 10:
			col := f.of(aliases)
			out = append(out, fmt.Sprintf("(%s = %s OR %s = %s)", col, w.arg(f), w.arg(f), col))
		case 11:
			out = append(out, f.of(aliases)+" IS NULL")
		case 12:
			q := f.alias()
			out = append(out, fmt.Sprintf("%s = (SELECT %s.%s FROM %s %s WHERE %s.%s = %s ORDER BY %s.id, %s.k, %s.x LIMIT 1%s)", f.of(aliases), q, f.column(), f.pick(fuzzTables...), q, q, f.column(), w.arg(f),
				q, q, q, f.pick("", " FOR UPDATE")))
		case 0:
			out = append(out, f.of(aliases)+" = ANY("+w.list(f)+")")
		case 1:
			out = append(out, f.of(aliases)+" = "+f.of(aliases))
		case 2:
			out = append(out, fmt.Sprintf("(%s = %s OR %s = 1)", f.of(aliases), w.arg(f), f.of(aliases)))
		case 3:
			q := f.alias()
			out = append(out, fmt.Sprintf("%s IN (SELECT %s.%s FROM %s %s WHERE %s.%s = %s)", f.of(aliases), q, f.column(), f.pick(fuzzTables...), q, q, f.column(), w.arg(f)))
		default:
			out = append(out, f.of(aliases)+" = "+w.value(f))
		}
	}
	return strings.Join(out, " AND ")
}

func (f *fuzz) update(w *fuzzWrite) (string, int) {
	w.kind, w.table = "update", f.pick(append(f.extra, fuzzTables...)...)
	alias, target := w.table, w.table
	if f.oneIn(3) {
		alias, target = "z", w.table+" z"
	}
	w.alias = alias
	aliases, from := []string{alias}, ""
	other := func() string { return alias + "." + f.column() }
	if f.oneIn(3) {
		q := f.alias()
		aliases = append(aliases, q)
		from = " FROM " + f.pick("p", "c", "g", "s", "u", "v") + " " + q
		if f.oneIn(3) {
			last := f.alias()
			aliases = append(aliases, last)
			from += fmt.Sprintf(" %s %s %s ON %s.%s = %s.%s", f.pick("JOIN", "LEFT JOIN", "RIGHT JOIN"), f.pick(fuzzTables...), last, last, f.column(), q, f.column())
		}
		other = func() string { return q + "." + f.column() }
	}
	sql := fmt.Sprintf("UPDATE %s SET %s%s WHERE ", target, f.set(w, alias, other), from)
	if f.oneIn(3) { // a row that is known in full
		sql += fmt.Sprintf("%[1]s.id = %[2]s AND %[1]s.k = %[3]s AND ", alias, w.arg(f), w.arg(f))
	}
	sql += f.where(w, aliases)
	if len(aliases) > 1 {
		if f.oneIn(2) {
			return fmt.Sprintf("%s RETURNING %[2]s.id, %[2]s.k, %[2]s.x", sql, alias), 3
		}
		return sql, 0
	}
	ret, outs := f.returning()
	return sql + ret, outs
}

func (f *fuzz) delete(w *fuzzWrite) (string, int) {
	w.kind, w.table = "delete", f.pick(append(f.extra, fuzzTables...)...)
	w.alias = w.table
	if f.oneIn(3) {
		q := f.alias()
		aliases := []string{w.table, q}
		sql := fmt.Sprintf("DELETE FROM %s USING %s %s WHERE %s", w.table, f.pick("p", "c", "g", "s", "u", "v"), q, f.where(w, aliases))
		if f.oneIn(2) {
			return fmt.Sprintf("%s RETURNING %[2]s.id, %[2]s.k, %[2]s.x", sql, w.table), 3
		}
		return sql, 0
	}
	sql := "DELETE FROM " + w.table + " WHERE " + f.where(w, []string{w.table})
	ret, outs := f.returning()
	return sql + ret, outs
}
