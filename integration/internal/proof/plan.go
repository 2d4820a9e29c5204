// Package proof runs a generated decorator against real servers and compares
// every cached read, after every write, with the source.
//
// It is linked into a program that the integration tests write and build: the
// decorators exist only then. The program reads a Plan and writes a Report for
// each of its projects, as JSON.
package proof

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/pgfence"
)

// Plan is what a program is told.
type Plan struct {
	Projects []Project
}

// Project is one decorator and what to do with it. The same project takes the
// same steps whenever it runs.
type Project struct {
	Name      string // as registered
	Seed      uint64
	Stream    uint64 // which of the sequences of the seed
	Enough    int    // stop after so many that Postgres accepted
	Database  string // URL; its schema is there, its tables are empty
	Redis     string // URL
	Namespace string
	Reads     []Read
	Writes    []Write
}

// Read is a cached read.
type Read struct {
	Name    string
	Kind    string // what the test must see at work
	Group   string
	Ordered bool // the SQL orders its rows wholly
}

// Write is a write of the project.
type Write struct {
	Name string
	Kind string
}

// Report says what happened.
type Report struct {
	Name        string
	Attempted   int            // writes that were sent
	Accepted    int            // those that Postgres took
	Effective   int            // steps after which a row was another one
	Comparisons int            // of a cached read with the source
	Hits        int            // those that were answered from the cache
	WriteKinds  map[string]int // writes alone in their transaction that changed a cached result, by kind
	ReadKinds   map[string]int // changes of results, by the read's kind
	Modes       map[string]int // accepted writes by how they were sent
	Changes     map[string]int // changes of a cell that had been a hit, by "write group"
	Invalid     map[string]string
	Difference  string // "" when there was none
	Failure     string // the run itself could not go on
}

// queries is a decorator, on a pool or in a transaction.
type queries struct {
	methods reflect.Value
	begin   func(context.Context) (pgx.Tx, error)
	inTx    func(context.Context, func(queries) error) error
	withTx  func(pgx.Tx) queries
	db      func() pgfence.DBTX
}

// decorator is what each generated Queries has besides its queries.
type decorator[Q any] interface {
	Begin(ctx context.Context) (pgx.Tx, error)
	InTx(ctx context.Context, opts pgx.TxOptions, f func(Q) error) error
	WithTx(tx pgx.Tx) Q
	DB() pgfence.DBTX
}

func wrap[Q decorator[Q]](q Q) queries {
	return queries{
		methods: reflect.ValueOf(q),
		begin:   q.Begin,
		inTx: func(ctx context.Context, f func(queries) error) error {
			return q.InTx(ctx, pgx.TxOptions{}, func(q Q) error { return f(wrap(q)) })
		},
		withTx: func(tx pgx.Tx) queries { return wrap(q.WithTx(tx)) },
		db:     q.DB,
	}
}

type constructors struct {
	decorate func(*pgxpool.Pool, *cache.Cache) queries
	source   func(pgfence.DBTX) any
}

var registered = map[string]constructors{}

// Register makes a project known by its name: New of its decorator, and New of
// its repository.
func Register[Q decorator[Q]](name string, decorate func(*pgxpool.Pool, *cache.Cache) Q, source func(pgfence.DBTX) any) {
	registered[name] = constructors{
		decorate: func(pool *pgxpool.Pool, c *cache.Cache) queries { return wrap(decorate(pool, c)) },
		source:   source,
	}
}

// Main reads a Plan from standard input and writes the reports to standard
// output, in the plan's order.
func Main() {
	var plan Plan
	if err := json.NewDecoder(os.Stdin).Decode(&plan); err != nil {
		fmt.Fprintln(os.Stderr, "reading the plan:", err)
		os.Exit(1)
	}
	reports := make([]*Report, len(plan.Projects))
	turn := make(chan int)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range turn {
				reports[i] = execute(context.Background(), plan.Projects[i])
			}
		})
	}
	for i := range plan.Projects {
		turn <- i
	}
	close(turn)
	wg.Wait()
	if err := json.NewEncoder(os.Stdout).Encode(reports); err != nil {
		fmt.Fprintln(os.Stderr, "writing the reports:", err)
		os.Exit(1)
	}
}
