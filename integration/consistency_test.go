package integration

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/pgfence"
)

// The checker of protocol section 6. Every row carries a version that each write increments, so that a history can be checked
// in one walk: a read must not return less than the floor at its start, the highest version that any operation had returned
// by then, and not more than was being written at its end.

// op is one operation on one key, in ns since the history began.
type op struct {
	key        int
	write      bool
	start, end int64
	version    int64
}

// history collects operations.
type history struct {
	begin time.Time
	mu    sync.Mutex
	ops   []op
}

func newHistory() *history { return &history{begin: time.Now()} }

func (h *history) now() int64 { return int64(time.Since(h.begin)) }

func (h *history) add(ops ...op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, ops...)
}

// racing is how close to a write on its key a read must begin to count as racing.
const racing = int64(5 * time.Millisecond)

type verdict struct {
	reads, writes, racing int
	anomalies             []string
}

// check walks a history. readsRaise says that a finished read raises the floor too (linearizability), and not only a finished
// write (read-your-writes).
func check(ops []op, readsRaise bool) verdict {
	var v verdict
	byKey := make(map[int][]op)
	for _, o := range ops {
		byKey[o.key] = append(byKey[o.key], o)
	}
	for key, ops := range byKey {
		var reads, ends []op
		begun := make(map[int64]int64) // version → start of the write that made it
		var writeStarts []int64
		for _, o := range ops {
			if o.write {
				v.writes++
				begun[o.version] = o.start
				writeStarts = append(writeStarts, o.start)
			} else {
				v.reads++
				reads = append(reads, o)
			}
			if o.write || readsRaise {
				ends = append(ends, o)
			}
		}
		sort.Slice(reads, func(i, j int) bool { return reads[i].start < reads[j].start })
		sort.Slice(ends, func(i, j int) bool { return ends[i].end < ends[j].end })
		slices.Sort(writeStarts)
		floor, at := int64(0), 0
		for _, r := range reads {
			for at < len(ends) && ends[at].end < r.start {
				floor = max(floor, ends[at].version)
				at++
			}
			if r.version < floor {
				v.anomalies = append(v.anomalies, fmt.Sprintf("key %d: a read from %d to %d returned version %d, after %d had been returned",
					key, r.start, r.end, r.version, floor))
			}
			if r.version > 0 {
				if start, known := begun[r.version]; !known || start > r.end {
					v.anomalies = append(v.anomalies, fmt.Sprintf("key %d: a read returned version %d, which nobody had written", key, r.version))
				}
			}
			i, _ := slices.BinarySearch(writeStarts, r.start-racing)
			if i < len(writeStarts) && writeStarts[i] <= r.start+racing {
				v.racing++
			}
		}
	}
	return v
}

func TestCheckerSeesWhatItShould(t *testing.T) {
	t.Parallel()
	w1 := op{write: true, start: 10, end: 20, version: 1}
	read := func(start, end, version int64) op { return op{start: start, end: end, version: version} }
	for _, c := range []struct {
		name      string
		ops       []op
		raise     bool
		anomalies int
	}{
		{"before, during and after", []op{w1, read(0, 5, 0), read(12, 30, 0), read(12, 15, 1), read(21, 22, 1)}, true, 0},
		{"an old value after the write returned", []op{w1, read(21, 22, 0)}, false, 1},
		{"old after new, the write still open", []op{w1, read(11, 12, 1), read(13, 14, 0)}, true, 1},
		{"the same, where only writes count", []op{w1, read(11, 12, 1), read(13, 14, 0)}, false, 0},
		{"from the future", []op{w1, read(0, 5, 1)}, false, 1},
		{"never written", []op{w1, read(30, 31, 2)}, false, 1},
	} {
		require.Len(t, check(c.ops, c.raise).anomalies, c.anomalies, c.name)
	}
}

// register is the model for porcupine: a write raises the version (by one, were it not that a sample may lack a write that
// began late and took the row first), a read returns it.
var register = porcupine.Model{
	Partition: func(ops []porcupine.Operation) [][]porcupine.Operation {
		byKey := make(map[int][]porcupine.Operation)
		for _, o := range ops {
			k := o.Input.(op).key
			byKey[k] = append(byKey[k], o)
		}
		var out [][]porcupine.Operation
		for _, part := range byKey {
			out = append(out, part)
		}
		return out
	},
	Init: func() any { return int64(0) },
	Step: func(state, input, output any) (bool, any) {
		if o := input.(op); o.write {
			return o.version > state.(int64), o.version
		}
		return output.(int64) == state.(int64), state
	},
}

// sample cuts a history short: the reads that ended within the first n operations of their key, and the writes that began.
func sample(ops []op, n int) []porcupine.Operation {
	byKey := make(map[int][]op)
	for _, o := range ops {
		byKey[o.key] = append(byKey[o.key], o)
	}
	var out []porcupine.Operation
	for _, ops := range byKey {
		sort.Slice(ops, func(i, j int) bool { return ops[i].start < ops[j].start })
		cut := int64(math.MaxInt64)
		if n < len(ops) {
			cut = ops[n].start
		}
		for _, o := range ops {
			if o.write && o.start < cut || !o.write && o.end < cut {
				out = append(out, porcupine.Operation{Input: o, Output: o.version, Call: o.start, Return: o.end})
			}
		}
	}
	return out
}

// checkFor is how long a history is recorded; PGASIDE_TEST_FOR makes it longer.
func checkFor(t *testing.T) time.Duration {
	d := 5 * time.Second
	if s := os.Getenv("PGASIDE_TEST_FOR"); s != "" {
		var err error
		d, err = time.ParseDuration(s)
		require.NoError(t, err)
	}
	return d
}

const (
	hotKeys   = 8
	processes = 3
	clients   = 4 // of each process
)

// process is what a process has of its own: a pool, a cache, and the queries over them.
type process struct {
	pool  *pgxpool.Pool
	cache *cache.Cache
	db    *pgfence.DB
}

var (
	counterGroup = cache.NewGroup[int]("counter", cache.GroupOptions{})
	counterQuery = cache.NewQuery[int64]("Counter", "000000000001", cache.QueryOptions{})
	counterRows  = cache.NewQuery[[]counterRow]("Counters", "000000000002", cache.QueryOptions{})
)

type counterRow struct {
	ID      int
	Version int64
}

func (w *world) process(change ...func(*cache.Options)) *process {
	w.t.Helper()
	cfg, err := pgxpool.ParseConfig(w.dbURL)
	require.NoError(w.t, err)
	cfg.MaxConns = 6
	pool, err := pgxpool.NewWithConfig(w.t.Context(), cfg)
	require.NoError(w.t, err)
	w.t.Cleanup(pool.Close)
	c := w.open(change...)
	return &process{pool, c, pgfence.New(pool, c, pgfence.Statements{})}
}

func (p *process) read(ctx context.Context, key int) (int64, error) {
	return pgfence.Read(ctx, p.db, counterGroup.Key(key), counterQuery.Cell(), func(ctx context.Context, d pgfence.DBTX) (v int64, err error) {
		err = d.QueryRow(ctx, "select version from counters where id = $1", key).Scan(&v)
		return v, err
	})
}

func (p *process) readMany(ctx context.Context, keys []int) ([]counterRow, error) {
	return pgfence.ReadMany(ctx, p.db, keys, counterGroup.Key, counterRows.Cell(), func(r counterRow) int { return r.ID },
		func(ctx context.Context, d pgfence.DBTX, missing []int) ([]counterRow, error) {
			rows, err := d.Query(ctx, "select id, version from counters where id = any($1)", missing)
			if err != nil {
				return nil, err
			}
			return pgx.CollectRows(rows, pgx.RowToStructByPos[counterRow])
		})
}

func increment(ctx context.Context, db *pgfence.DB, key int) (int64, error) {
	return pgfence.Write(ctx, db, func(ctx context.Context, d pgfence.DBTX) (v int64, keys []cache.Key, err error) {
		err = d.QueryRow(ctx, "update counters set version = version + 1 where id = $1 returning version", key).Scan(&v)
		return v, []cache.Key{counterGroup.Key(key)}, err
	})
}

func (p *process) write(ctx context.Context, key int) (int64, error) {
	return increment(ctx, p.db, key)
}

// writeInTx increments two counters in one transaction, or none.
func (p *process) writeInTx(ctx context.Context, a, b int, commit bool) (va, vb int64, err error) {
	err = p.db.InTx(ctx, pgx.TxOptions{}, func(db *pgfence.DB) (err error) {
		if va, err = increment(ctx, db, min(a, b)); err != nil {
			return err
		}
		if vb, err = increment(ctx, db, max(a, b)); err != nil {
			return err
		}
		if !commit {
			return errBoom
		}
		return nil
	})
	return va, vb, err
}

func (w *world) counters(ctx context.Context, n int) {
	w.t.Helper()
	_, err := w.pool.Exec(ctx, "create table counters (id int primary key, version bigint not null)")
	require.NoError(w.t, err)
	_, err = w.pool.Exec(ctx, "insert into counters select i, 0 from generate_series(0, $1) i", n-1)
	require.NoError(w.t, err)
}

// workload runs clients of several processes on a few hot keys and records what they saw.
func workload(ctx context.Context, t *testing.T, ps []*process, h *history, d time.Duration) {
	t.Helper()
	var wg sync.WaitGroup
	stop := time.Now().Add(d)
	var mu sync.Mutex
	var failed []error
	for _, p := range ps {
		for c := range clients {
			r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(c)))
			wg.Go(func() {
				for time.Now().Before(stop) {
					if err := step(ctx, p, h, r); err != nil {
						mu.Lock()
						failed = append(failed, err)
						mu.Unlock()
						return
					}
				}
			})
		}
	}
	wg.Wait()
	require.Empty(t, failed)
}

func step(ctx context.Context, p *process, h *history, r *rand.Rand) error {
	key := min(r.IntN(hotKeys), r.IntN(hotKeys)) // the low ones are hotter
	start := h.now()
	switch n := r.IntN(100); {
	case n < 6:
		v, err := p.write(ctx, key)
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		h.add(op{key, true, start, h.now(), v})
	case n < 10:
		other := (key + 1 + r.IntN(hotKeys-1)) % hotKeys
		commit := n < 9
		va, vb, err := p.writeInTx(ctx, key, other, commit)
		if !commit && errors.Is(err, errBoom) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("transaction: %w", err)
		}
		end := h.now()
		h.add(op{min(key, other), true, start, end, va}, op{max(key, other), true, start, end, vb})
	case n < 30:
		keys := r.Perm(hotKeys)[:1+r.IntN(hotKeys)]
		rows, err := p.readMany(ctx, keys)
		if err != nil {
			return fmt.Errorf("batch: %w", err)
		}
		if len(rows) != len(keys) {
			return fmt.Errorf("batch: %d rows for %d keys", len(rows), len(keys))
		}
		end := h.now()
		for _, row := range rows {
			h.add(op{row.ID, false, start, end, row.Version})
		}
	default:
		v, err := p.read(ctx, key)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		h.add(op{key, false, start, h.now(), v})
	}
	return nil
}

// TestConsistency: fenced and strict groups are linearizable per key, aftercommit groups give read-your-writes, across
// processes and in the presence of transactions, rollbacks and batches; and afterwards every cell is what the source says.
func TestConsistency(t *testing.T) {
	t.Parallel()
	for _, mode := range []cache.Mode{cache.Fenced, cache.Strict, cache.AfterCommit} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			w := newWorld(t)
			w.counters(ctx, hotKeys)
			var ps []*process
			for range processes {
				ps = append(ps, w.process(func(o *cache.Options) {
					o.Groups = map[string]cache.GroupOptions{"counter": {Mode: mode}}
					o.FenceBudget = 10 * time.Second // strict writes fail by what the protocol says, not by a busy machine
				}))
			}
			h := newHistory()
			workload(ctx, t, ps, h, checkFor(t))

			v := check(h.ops, mode != cache.AfterCommit)
			t.Logf("%d reads, %d of them racing, %d writes, hit rate %.3f", v.reads, v.racing, v.writes, ps[0].cache.Stats().Total().HitRate())
			require.Empty(t, v.anomalies)
			require.Positive(t, v.racing)
			for _, p := range ps {
				st := p.cache.Stats()
				require.Positive(t, st.Total().Hits, "nothing was cached")
				require.Zero(t, st.MarkersLost)
			}
			if mode != cache.AfterCommit {
				require.NotEqual(t, porcupine.Illegal, porcupine.CheckOperationsTimeout(register, sample(h.ops, 600), time.Minute))
			}
			for key := range hotKeys { // at rest every cell is the truth
				var want int64
				require.NoError(t, w.pool.QueryRow(ctx, "select version from counters where id = $1", key).Scan(&want))
				for _, p := range ps {
					got, err := p.read(ctx, key)
					require.NoError(t, err)
					require.Equal(t, want, got)
				}
			}
		})
	}
}

// TestNaiveCacheIsCaught calibrates the checker: the same harness finds the fault of a naive cache-aside.
func TestNaiveCacheIsCaught(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	w.counters(ctx, 1)
	p := w.process()
	h := newHistory()
	inLoad, goOn := make(chan struct{}), make(chan struct{})
	cacheOf := func(beforeSet func()) *naive {
		return &naive{rdb: w.rdb, key: w.ns + ":naive", beforeSet: beforeSet, load: func(ctx context.Context) (v string, err error) {
			err = p.pool.QueryRow(ctx, "select version::text from counters where id = 0").Scan(&v)
			return v, err
		}}
	}
	read := func(n *naive) {
		start := h.now()
		s, err := n.read(ctx)
		if err == nil {
			var v int64
			v, err = strconv.ParseInt(s, 10, 64)
			h.add(op{0, false, start, h.now(), v})
		}
		if err != nil {
			t.Error(err)
		}
	}
	write := func(n *naive) {
		start := h.now()
		var v int64
		err := n.write(ctx, func(ctx context.Context) error {
			return p.pool.QueryRow(ctx, "update counters set version = version + 1 where id = 0 returning version").Scan(&v)
		})
		if err != nil {
			t.Error(err)
		}
		h.add(op{0, true, start, h.now(), v})
	}

	// The staged race: a reader is held up between its SELECT and its SET.
	slow, quick := cacheOf(func() { close(inLoad); <-goOn }), cacheOf(nil)
	var wg sync.WaitGroup
	wg.Go(func() { read(slow) })
	<-inLoad
	write(quick)
	close(goOn)
	wg.Wait()
	read(quick)
	staged := check(h.ops, true)
	require.NotEmpty(t, staged.anomalies, "the checker is blind")
	linear, _ := porcupine.CheckOperationsVerbose(register, sample(h.ops, len(h.ops)), time.Minute)
	require.Equal(t, porcupine.Illegal, linear, "porcupine is blind")

	// And as it happens by itself.
	write(quick)
	h = newHistory()
	var base int64
	require.NoError(t, w.pool.QueryRow(ctx, "update counters set version = 0 where id = 0 returning version").Scan(&base))
	require.NoError(t, w.rdb.Del(ctx, quick.key).Err())
	stop := time.Now().Add(checkFor(t) / 5)
	for c := range 8 {
		wg.Go(func() {
			for i := 0; time.Now().Before(stop); i++ {
				if (i+c)%10 == 0 {
					write(quick)
				} else {
					read(quick)
				}
			}
		})
	}
	wg.Wait()
	v := check(h.ops, true)
	t.Logf("naive: %d anomalies in %d racing reads (%d reads, %d writes)", len(v.anomalies), v.racing, v.reads, v.writes)
}
