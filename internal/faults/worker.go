package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9/logging"

	"github.com/pgaside/pgaside/cache"
)

// workerEnv carries a worker's settings, so that no address with a password stands on a command line.
const workerEnv = "PGASIDE_FAULTS_WORKER"

// workerConfig is what a worker process needs to know.
type workerConfig struct {
	Database  string
	Redis     string
	Sentinels []string // instead of Redis
	Master    string
	Namespace string
	Scenario  uint32 // its rows are those of this number
	Layers    []string
	Keys      int // rows of each layer
	Readers   int // goroutines of each layer
	Writers   int
	Pause     time.Duration // between two writes of a goroutine: 0 to this
	Pool      int32         // connections to Postgres
	TTL       time.Duration
	Replicas  int // that a strict write waits for

	FenceBudget time.Duration // 0: the default

	Serializable bool // transactions are, and conflict
	Unordered    bool // transactions lock rows in any order, and deadlock
}

// rowID is the id of a row of a scenario.
func rowID(scenario uint32, layer, key int) uuid.UUID {
	var id uuid.UUID
	copy(id[:4], []byte{byte(scenario >> 24), byte(scenario >> 16), byte(scenario >> 8), byte(scenario)})
	id[4], id[5] = byte(layer), byte(key)
	id[6], id[8] = 0x40, 0x80
	return id
}

// patience is how long a read or a write is waited for: what takes longer had no promise of an answer.
const patience = 20 * time.Second

// Worker is a worker process: it reads commands from in, a line each, and writes records to out, until in ends.
func Worker(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	logging.Disable() // go-redis prints what the faults are about
	var cfg workerConfig
	if err := json.Unmarshal([]byte(os.Getenv(workerEnv)), &cfg); err != nil {
		return fmt.Errorf("%s: %w: a worker is started by the faults command", workerEnv, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pc, err := pgxpool.ParseConfig(cfg.Database)
	if err != nil {
		return fmt.Errorf("reading the database URL: %w", err)
	}
	pc.MaxConns = cfg.Pool
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return fmt.Errorf("connecting to Postgres: %w", err)
	}
	defer pool.Close()

	w := &worker{cfg: &cfg, rec: newRecorder(out)}
	for i, name := range cfg.Layers {
		l, err := newLayer(ctx, &cfg, name, pool, w.failpoint)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, l.close()) }()
		w.layers = append(w.layers, workerLayer{layer: l, at: i})
	}
	stop := make(chan struct{})
	go func() {
		for t := time.NewTicker(10 * time.Millisecond); ; <-t.C {
			if w.rec.flush() != nil {
				os.Exit(1) // nobody reads any more
			}
		}
	}()
	var wg sync.WaitGroup
	for i := range w.layers {
		for range cfg.Readers {
			wg.Go(func() { w.readOn(ctx, &w.layers[i], stop) })
		}
		for range cfg.Writers {
			wg.Go(func() { w.writeOn(ctx, &w.layers[i], stop) })
		}
	}
	stopped := false
	halt := func() {
		if !stopped {
			stopped = true
			close(stop)
			wg.Wait()
		}
	}
	defer halt()
	for s := bufio.NewScanner(in); s.Scan(); {
		words := strings.Fields(s.Text())
		answer, err := w.command(ctx, words, halt)
		if err != nil {
			return err
		}
		w.rec.add(record{op: op{kind: opAnswer}, text: answer})
		if err := w.rec.flush(); err != nil {
			return fmt.Errorf("answering: %w", err)
		}
		if words[0] == "arm" { // once the answer is out: the process may be gone at once
			w.armed.Store(&armed{words[1], words[2] == "kill"})
		}
	}
	return nil
}

type worker struct {
	cfg    *workerConfig
	rec    *recorder
	layers []workerLayer
	armed  atomic.Pointer[armed]
}

type workerLayer struct {
	layer
	at int // in workerConfig.Layers
}

// armed is a failpoint at which this process stops or dies.
type armed struct {
	point string
	kill  bool
}

func (w *worker) failpoint(at string) {
	a := w.armed.Load()
	if a == nil || a.point != at || !w.armed.CompareAndSwap(a, nil) {
		return
	}
	w.rec.add(record{op: op{kind: opAt}, text: at})
	_ = w.rec.flush()
	if a.kill {
		killSelf()
	}
	stopSelf()
}

// command does what the parent asks for.
func (w *worker) command(ctx context.Context, words []string, halt func()) (string, error) {
	switch words[0] {
	case "arm": // arm <failpoint> kill|stop
	case "halt": // no more reads and writes
		halt()
	case "verify": // read every row, each way
		for i := range w.layers {
			for k := range w.cfg.Keys {
				w.readOne(ctx, &w.layers[i], k)
			}
			w.readSome(ctx, &w.layers[i], w.cfg.Keys)
		}
	case "stats":
		var out []*cache.Stats
		for i := range w.layers {
			if s := w.layers[i].stats(); s != nil {
				out = append(out, s)
			}
		}
		b, err := json.Marshal(out)
		return string(b), err
	default:
		return "", fmt.Errorf("unknown command %s", strconv.Quote(words[0]))
	}
	return "ok", nil
}

// hot draws a row; the low ones are hotter.
func (w *worker) hot() int { return min(rand.IntN(w.cfg.Keys), rand.IntN(w.cfg.Keys)) }

func (w *worker) id(l *workerLayer, key int) uuid.UUID { return rowID(w.cfg.Scenario, l.at, key) }

func (w *worker) readOn(ctx context.Context, l *workerLayer, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		if rand.IntN(10) == 0 {
			w.readSome(ctx, l, 1+rand.IntN(w.cfg.Keys))
		} else {
			w.readOne(ctx, l, w.hot())
		}
	}
}

func (w *worker) readOne(ctx context.Context, l *workerLayer, key int) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	start := monotonic()
	v, err := l.read(ctx, w.id(l, key))
	w.tellRead(ctx, l, key, start, monotonic(), v, err)
}

func (w *worker) readSome(ctx context.Context, l *workerLayer, n int) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	keys := rand.Perm(w.cfg.Keys)[:n]
	ids := make([]uuid.UUID, n)
	for i, k := range keys {
		ids[i] = w.id(l, k)
	}
	start := monotonic()
	versions, err := l.readMany(ctx, ids)
	end := monotonic()
	for i, k := range keys {
		v, there := versions[ids[i]]
		if err == nil && !there {
			err = errors.New("a batch lacks a row")
		}
		w.tellRead(ctx, l, k, start, end, v, err)
		if err != nil {
			return
		}
	}
}

func (w *worker) tellRead(ctx context.Context, l *workerLayer, key int, start, end, version int64, err error) {
	rec := record{op: op{layer: uint8(l.at), key: uint8(key), kind: opRead, start: start, end: end, version: version}}
	if err != nil {
		rec.kind, rec.text = opFailed, err.Error()
		if ctx.Err() != nil {
			rec.kind = opGaveUp
		}
	}
	w.rec.add(rec)
	if err != nil {
		time.Sleep(10 * time.Millisecond) // Postgres is down: no need to record it a thousand times
	}
}

func (w *worker) writeOn(ctx context.Context, l *workerLayer, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(rand.N(w.cfg.Pause + 1)):
		}
		if rand.IntN(4) == 0 {
			w.writeTwo(ctx, l)
		} else {
			w.writeOne(ctx, l)
		}
	}
}

func (w *worker) writeOne(ctx context.Context, l *workerLayer) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	key := w.hot()
	start := monotonic()
	v, err := l.write(ctx, w.id(l, key))
	w.tellWrite(l, key, start, monotonic(), v, err)
}

func (w *worker) writeTwo(ctx context.Context, l *workerLayer) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	a, b := w.hot(), rand.IntN(w.cfg.Keys)
	if a == b {
		b = (a + 1) % w.cfg.Keys
	}
	if a > b && !w.cfg.Unordered {
		a, b = b, a
	}
	var o pgx.TxOptions
	if w.cfg.Serializable {
		o.IsoLevel = pgx.Serializable
	}
	start := monotonic()
	va, vb, err := l.writeBoth(ctx, w.id(l, a), w.id(l, b), o)
	end := monotonic()
	w.tellWrite(l, a, start, end, va, err)
	w.tellWrite(l, b, start, end, vb, err)
}

func (w *worker) tellWrite(l *workerLayer, key int, start, end, version int64, err error) {
	rec := record{op: op{layer: uint8(l.at), key: uint8(key), kind: opWrite, start: start, end: end, version: version}}
	if err != nil {
		rec.kind, rec.text = opUnknown, err.Error()
		if changedNothing(err) {
			rec.kind = opRefused
		}
	}
	w.rec.add(rec)
	if err != nil {
		time.Sleep(time.Millisecond)
	}
}

// changedNothing reports whether a write certainly failed. Without a decorator an error of the connection leaves it open.
func changedNothing(err error) bool {
	var pgErr *pgconn.PgError
	return errors.Is(err, cache.ErrFence) || errors.As(err, &pgErr)
}
