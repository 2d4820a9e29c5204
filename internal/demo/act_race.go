package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/repo"
)

// RaceAct is act (c).
type RaceAct struct {
	Header
	Rounds int       `json:"rounds"`
	Naive  RaceCount `json:"naive"`
	Cached RaceCount `json:"cached"`
}

// RaceCount is how one cache fared.
type RaceCount struct {
	// StaleAfter counts rounds after which a new read returned the overwritten title. For the naive cache they are not a
	// part of the totals.
	StaleAfter int64 `json:"stale_after"`

	// FillsRefused counts the late fills that the cache turned away; a naive cache can't.
	FillsRefused uint64 `json:"fills_refused"`
}

const (
	raceRounds = 40
	raceLimit  = 10 * time.Second // for one round, which takes milliseconds
)

// raceAct stages the stale fill: a reader has loaded the old row and is held up before it stores it, a write happens in
// between, and then the reader goes on. There is no chance in it; each step waits for the one before.
func raceAct(ctx context.Context, s *stage) (_ Act, err error) {
	act := &RaceAct{Rounds: raceRounds, Header: Header{
		Name: "stale-fill",
		Proves: "The race that every simple cache-aside loses. A reader misses, loads the old row, and is held up before it " +
			"stores it; a writer changes the row, commits, and invalidates; the reader goes on and stores what it has. A naive " +
			"cache then serves the old row until its TTL. Here the write voids the reader's lease, so the late fill is refused.",
	}}
	var held atomic.Pointer[barrier] // where the reader of this round is to wait
	options := patient
	options.Failpoint = func(ctx context.Context, name string) {
		if b := held.Load(); b != nil && name == "before-fill" {
			b.wait(ctx)
		}
	}
	reader, err := s.client(ctx, "c", options)
	if err != nil {
		return nil, err
	}
	defer func() { err = joinClose(err, reader) }()
	writer, err := s.client(ctx, "c", patient)
	if err != nil {
		return nil, err
	}
	defer func() { err = joinClose(err, writer) }()
	naiveReader, err := newNaive(reader.source, s.redis.URL(), s.namespace("c"))
	if err != nil {
		return nil, err
	}
	defer func() { err = joinClose(err, naiveReader) }()
	naiveWriter, err := newNaive(writer.source, s.redis.URL(), s.namespace("c"))
	if err != nil {
		return nil, err
	}
	defer func() { err = joinClose(err, naiveWriter) }()

	for round := range raceRounds {
		n := round * s.data.sessions() / raceRounds // a session of its own for each round
		id, changed := s.data.sessionID(n), fmt.Sprintf("changed in round %d", round)
		get := func(ctx context.Context) (string, error) {
			row, err := reader.cached.GetSession(ctx, id)
			return row.Title, err
		}
		rename := func(ctx context.Context) error {
			_, err := writer.cached.RenameSession(ctx, repo.RenameSessionParams{ID: id, Title: changed})
			return err
		}

		b := newBarrier()
		naiveReader.beforeSet = func() { b.wait(ctx) }
		err := stageRace(ctx, b, func(ctx context.Context) error { _, err := naiveReader.title(ctx, id); return err },
			func(ctx context.Context) error { return naiveWriter.rename(ctx, id, changed+", naively") })
		if err != nil {
			return nil, fmt.Errorf("round %d of the naive cache: %w", round, err)
		}
		naiveReader.beforeSet = nil
		after, err := naiveReader.title(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("after round %d of the naive cache: %w", round, err)
		}
		if after != changed+", naively" {
			act.Naive.StaleAfter++
		}

		b = newBarrier()
		held.Store(b)
		fills := fillsEnded(reader.cache)
		err = stageRace(ctx, b, func(ctx context.Context) error { _, err := get(ctx); return err }, rename)
		held.Store(nil)
		if err == nil {
			err = awaitFill(ctx, reader.cache, fills)
		}
		if err != nil {
			return nil, fmt.Errorf("round %d: %w", round, err)
		}
		switch after, err := get(ctx); {
		case err != nil:
			act.count(1, 0)
			act.note(err)
		case after != changed:
			act.Cached.StaleAfter++
		}
	}
	for _, g := range reader.cache.Stats().Groups {
		act.Cached.FillsRefused += g.Total().FillsLost
	}
	act.count(0, act.Cached.StaleAfter)
	return act, nil
}

// barrier is where a reader waits until it is let go.
type barrier struct {
	reached, open chan struct{}
	passed        atomic.Bool
	opened        sync.Once
}

func newBarrier() *barrier {
	return &barrier{reached: make(chan struct{}), open: make(chan struct{})}
}

// wait holds the first caller up; later ones pass.
func (b *barrier) wait(ctx context.Context) {
	if b.passed.Swap(true) {
		return
	}
	close(b.reached)
	select {
	case <-b.open:
	case <-ctx.Done():
	}
}

// release lets everybody go on.
func (b *barrier) release() { b.opened.Do(func() { close(b.open) }) }

// stageRace runs read up to the barrier, then all of write, and then the rest of read.
func stageRace(ctx context.Context, b *barrier, read, write func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, raceLimit)
	defer cancel()
	defer b.release() // whoever comes late must not wait for ever
	done := make(chan error, 1)
	go func() { done <- read(ctx) }()
	// The read may return before what it loaded is stored, which goes on behind it.
	select {
	case <-b.reached:
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("waiting for the reader to store something: %w", ctx.Err()), <-done)
	}
	err := write(ctx)
	b.release()
	return errors.Join(err, <-done)
}

// fillsEnded counts the fills that a cache has ended, with or without success.
func fillsEnded(c *cache.Cache) uint64 {
	t := c.Stats().Total()
	return t.Fills + t.FillsLost + t.NotStored
}

// awaitFill waits until a cache has ended one more fill than before.
func awaitFill(ctx context.Context, c *cache.Cache, before uint64) error {
	ctx, cancel := context.WithTimeout(ctx, raceLimit)
	defer cancel()
	for fillsEnded(c) == before {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("waiting for the late fill: %w", ctx.Err())
		}
	}
	return nil
}

func (a *RaceAct) print(w io.Writer) {
	paragraph(w, "(c) The stale fill", a.Proves)
	printTable(
		w,
		[]string{"cache", "rounds", "late fills refused", "old row served afterwards"},
		[]string{"naive cache-aside", count(a.Rounds), "0", count(a.Naive.StaleAfter)},
		[]string{"pgaside", count(a.Rounds), count(a.Cached.FillsRefused), count(a.Cached.StaleAfter)},
	)
	a.printEnd(w, "")
}
