package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/pgaside/pgaside/internal/servers"
	"github.com/pgaside/pgaside/repo"
)

// EmbeddedOptions configure StartEmbedded.
type EmbeddedOptions struct {
	// Scale is the size of the data, as in Options.
	//
	// Defaults to 0.01: about 200 users and 10,000 messages.
	Scale float64

	// Seed decides the data and the operations.
	Seed uint64

	// Log receives the progress.
	//
	// Defaults to nowhere.
	Log io.Writer
}

// Embedded is a PostgreSQL with the model application's data and a Redis, both of our own: they may be killed.
type Embedded struct {
	Postgres *servers.Postgres
	Redis    *servers.Redis

	seed  uint64
	truth *truth
}

// StartEmbedded starts both servers and loads the data. They end with Close, or with this process.
func StartEmbedded(ctx context.Context, o EmbeddedOptions) (_ *Embedded, err error) {
	if o.Scale == 0 {
		o.Scale = 0.01
	}
	if o.Scale < 0.001 || o.Scale > 10 {
		return nil, fmt.Errorf("scale %v: want 0.001 to 10", o.Scale)
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	e := &Embedded{seed: o.Seed, truth: newTruth(newDataset(o.Seed, o.Scale))}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	if e.Postgres, err = servers.StartPostgres(ctx, servers.PostgresOptions{Own: true}); err != nil {
		return nil, fmt.Errorf("starting PostgreSQL: %w", err)
	}
	if e.Redis, err = servers.StartRedis(ctx, servers.RedisOptions{Own: true, Args: []string{"--maxmemory", "128mb", "--maxmemory-policy", "allkeys-lru"}}); err != nil {
		return nil, fmt.Errorf("starting Redis: %w", err)
	}
	if err := prepareDatabase(ctx, e.Postgres.URL(), e.truth.data, &progress{w: o.Log}); err != nil {
		return nil, fmt.Errorf("loading the data: %w", err)
	}
	return e, nil
}

// Play runs the model application's workload, one operation after each pause, until ctx ends. Operations that fail are left
// at that: servers go away, which is what there is to see.
func (e *Embedded) Play(ctx context.Context, q repo.Querier, every time.Duration) {
	for seed := e.seed; ; seed++ {
		for _, o := range newTrace(e.truth.data, seed, 10_000, 0.05) {
			if pause(ctx, every) != nil {
				return
			}
			opCtx, cancel := context.WithTimeout(ctx, 5*time.Second)
			e.truth.do(opCtx, q, o)
			cancel()
		}
	}
}

// Close ends both servers and removes their files.
func (e *Embedded) Close() error {
	var errs []error
	if e.Redis != nil {
		errs = append(errs, e.Redis.Close())
	}
	if e.Postgres != nil {
		errs = append(errs, e.Postgres.Close())
	}
	return errors.Join(errs...)
}
