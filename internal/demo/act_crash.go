package demo

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"
)

// CrashAct is act (e).
type CrashAct struct {
	Header
	Kills  int        `json:"kills"`
	Naive  CrashCount `json:"naive"`
	Cached CrashCount `json:"cached"`
}

// CrashCount is how one cache fared.
type CrashCount struct {
	// Committed counts the killed writes that Postgres has: all of them, or the act would prove nothing.
	Committed int `json:"committed"`

	// Reads and Stale count the reads after each kill. For the naive cache they are not a part of the totals.
	Reads int   `json:"reads"`
	Stale int64 `json:"stale_reads"`

	// Bypassed counts the reads that went to Postgres because of the dead writer's fence.
	Bypassed uint64 `json:"bypassed"`
}

const (
	kills      = 6
	afterKill  = 300 * time.Millisecond // how long the entries are read after each kill
	crashLimit = 20 * time.Second       // for one kill, which takes about a tenth of a second
)

// crashAct kills writers between COMMIT and their last invalidation.
func crashAct(ctx context.Context, s *stage) (_ Act, err error) {
	act := &CrashAct{Kills: kills, Header: Header{
		Name: "crash",
		Proves: "A writer that dies at the worst moment leaves nothing stale. A second process renames a session and kills " +
			"itself with SIGKILL between the COMMIT and its last invalidation. A naive cache, which deletes after the " +
			"COMMIT, goes on serving the old title. Here the fence was there before the COMMIT: reads go to Postgres until " +
			"it runs out.",
	}}
	c, err := s.client(ctx, "e", patient)
	if err != nil {
		return nil, err
	}
	defer func() { err = joinClose(err, c) }()
	naive, err := newNaive(c.source, s.redis.URL(), s.namespace("e"))
	if err != nil {
		return nil, err
	}
	defer func() { err = joinClose(err, naive) }()

	for kill := range kills {
		n := kill * s.data.sessions() / kills
		id, user := s.data.sessionID(n), s.data.ownerID(n)
		read := func(ctx context.Context) ([]string, error) { return readTitles(ctx, c.cached, id, user) }
		changed := fmt.Sprintf("changed by the writer that died as number %d", kill+1)
		if err := s.killWriter(ctx, c, peerRequest{Do: doDie, Session: id, User: user, Title: changed}, read, &act.Cached, &act.FailedReads); err != nil {
			return nil, fmt.Errorf("kill %d: %w", kill+1, err)
		}
		// The naive cache has a session of its own, since it writes without the fences of the other.
		n++
		id, user = s.data.sessionID(n), s.data.ownerID(n)
		var failed int64
		read = func(ctx context.Context) ([]string, error) {
			title, err := naive.title(ctx, id)
			return []string{title}, err
		}
		changed += ", naively"
		if err := s.killWriter(ctx, c, peerRequest{Do: doDieNaive, Session: id, User: user, Title: changed}, read, &act.Naive, &failed); err != nil {
			return nil, fmt.Errorf("kill %d of the naive cache: %w", kill+1, err)
		}
	}
	for _, g := range c.cache.Stats().Groups {
		act.Cached.Bypassed += g.Total().Bypasses
	}
	act.count(0, act.Cached.Stale)
	return act, nil
}

// killWriter warms the entries of a session, lets a second process die while it renames it, and reads the entries.
func (s *stage) killWriter(
	ctx context.Context, c *client, r peerRequest, read func(context.Context) ([]string, error), n *CrashCount, failed *int64,
) (err error) {
	ctx, cancel := context.WithTimeout(ctx, crashLimit)
	defer cancel()
	for range 2 {
		if _, err := read(ctx); err != nil {
			return fmt.Errorf("before the kill: %w", err)
		}
	}
	writer, err := s.startPeer(ctx, "e")
	if err != nil {
		return err
	}
	defer func() { err = joinClose(err, writer) }()
	if err := writer.mustDie(r); err != nil {
		return err
	}
	row, err := c.source.GetSession(ctx, r.Session)
	if err != nil {
		return fmt.Errorf("asking Postgres: %w", err)
	}
	if row.Title == r.Title {
		n.Committed++
	}
	for end := time.Now().Add(afterKill); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		titles, err := read(ctx)
		if err != nil {
			*failed++
			continue
		}
		n.Reads += len(titles)
		n.Stale += int64(len(slices.DeleteFunc(titles, func(t string) bool { return t == row.Title })))
	}
	return nil
}

func (a *CrashAct) print(w io.Writer) {
	paragraph(w, "(e) A writer dies between COMMIT and its last invalidation", a.Proves)
	row := func(name string, n CrashCount, bypassed string) []string {
		return []string{name, count(a.Kills), count(n.Committed), count(n.Reads), bypassed, count(n.Stale)}
	}
	printTable(
		w,
		[]string{"cache", "kills", "committed", "reads afterwards", "of them from Postgres", "stale"},
		row("naive cache-aside", a.Naive, "0"),
		row("pgaside", a.Cached, count(a.Cached.Bypassed)),
	)
	a.printEnd(w, "")
}
