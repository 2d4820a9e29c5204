package demo

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgaside/pgaside/repo"
)

// TwoProcessesAct is act (b).
type TwoProcessesAct struct {
	Header
	Directions []Direction `json:"directions"`
	Background int64       `json:"background_reads"` // of a reader that keeps filling the cache during the writes
}

// Direction is one of the two ways in which the processes take turns.
type Direction struct {
	Writer string  `json:"writer"`
	Reader string  `json:"reader"`
	Writes int     `json:"writes"`
	Reads  int     `json:"reads"`
	Stale  int64   `json:"stale_reads"`
	Read   latency `json:"write_returned_to_read_returned"`
}

const (
	turns        = 1_000 // in both directions together
	turnSessions = 8
	turnsLimit   = 10 * time.Second
)

// title is the title that write number n gives, so that a title tells how new it is.
func title(n int64) string { return fmt.Sprintf("version %08d", n) }

// staleTitles counts the titles that are older than write number n. Titles are compared as text: what the seed and the
// other acts write begins with "S" or "c", and sorts before.
func staleTitles(titles []string, n int64) (stale int64) {
	for _, t := range titles {
		if n > 0 && t < title(n) {
			stale++
		}
	}
	return stale
}

// twoProcessesAct lets two processes take turns: one writes, the other reads as soon as the write has returned. Both have
// a reader in the background that keeps the cache full.
func twoProcessesAct(ctx context.Context, s *stage) (_ Act, err error) {
	act := &TwoProcessesAct{Header: Header{
		Name: "two-processes",
		Proves: "Read your writes across processes. One process renames a session, and as soon as that has returned the " +
			"other reads it by GetSession, ListSessions and SessionReport; then they change places. Both keep reading " +
			"besides, so that the entries that a write voids are being filled again all the time.",
	}}
	c, err := s.client(ctx, "b", patient)
	if err != nil {
		return nil, err
	}
	defer func() { err = joinClose(err, c) }()
	other, err := s.startPeer(ctx, "b")
	if err != nil {
		return nil, err
	}
	defer func() { err = joinClose(err, other) }()

	var (
		sessions [turnSessions]int
		written  [turnSessions]atomic.Int64 // the number of the last write that has returned
	)
	for i := range sessions {
		sessions[i] = i * (s.data.sessions() / turnSessions)
		session := sessions[i]
		if i == 0 {
			if _, err := other.ask(peerRequest{Do: doKeepBusy, Session: s.data.sessionID(session), User: s.data.ownerID(session)}); err != nil {
				return nil, err
			}
		}
	}

	background, stop := context.WithCancel(ctx)
	var (
		wg                   sync.WaitGroup
		reads, failed, stale int64
	)
	wg.Go(func() {
		for background.Err() == nil {
			floor := written[0].Load()
			titles, err := readTitles(background, c.cached, s.data.sessionID(sessions[0]), s.data.ownerID(sessions[0]))
			switch {
			case background.Err() != nil:
			case err != nil:
				failed++
				act.note(err)
			default:
				reads += int64(len(titles))
				stale += staleTitles(titles, floor)
			}
		}
	})

	there := Direction{Writer: "this process", Reader: "the other"}
	back := Direction{Writer: "the other", Reader: "this process"}
	var thereTook, backTook samples
	err = func() error {
		deadline := time.Now().Add(turnsLimit)
		for n := int64(1); n <= turns && time.Now().Before(deadline); n++ {
			// Half of the turns concern the session that is read in the background.
			i := int(n/2) % (2 * turnSessions)
			if i >= turnSessions {
				i = 0
			}
			id, user := s.data.sessionID(sessions[i]), s.data.ownerID(sessions[i])
			if n%2 == 1 {
				row, err := c.cached.RenameSession(ctx, repo.RenameSessionParams{ID: id, Title: title(n)})
				if err != nil {
					return fmt.Errorf("RenameSession: %w", err)
				}
				s.truth.renamed(sessions[i], row)
				written[i].Store(n)
				start := time.Now()
				titles, err := other.ask(peerRequest{Do: doRead, Session: id, User: user})
				if err != nil {
					return err
				}
				thereTook = append(thereTook, time.Since(start))
				there.add(titles, n)
				continue
			}
			if _, err := other.ask(peerRequest{Do: doRename, Session: id, Title: title(n)}); err != nil {
				return err
			}
			written[i].Store(n)
			start := time.Now()
			titles, err := readTitles(ctx, c.cached, id, user)
			if err != nil {
				return err
			}
			backTook = append(backTook, time.Since(start))
			back.add(titles, n)
		}
		return nil
	}()
	stop()
	wg.Wait()
	if err != nil {
		return nil, err
	}
	there.Read, back.Read = thereTook.summary(), backTook.summary()
	act.Directions = []Direction{there, back}
	act.Background = reads
	act.count(failed, stale+there.Stale+back.Stale)
	return act, nil
}

// add counts what was read after write number n.
func (d *Direction) add(titles []string, n int64) {
	d.Writes++
	d.Reads += len(titles)
	d.Stale += staleTitles(titles, n)
}

func (a *TwoProcessesAct) print(w io.Writer) {
	paragraph(w, "(b) Read your writes, in two processes", a.Proves)
	rows := [][]string{{"who writes", "who reads", "writes", "reads", "stale", "three reads p50", "p99"}}
	for _, d := range a.Directions {
		rows = append(rows, []string{
			d.Writer, d.Reader, count(d.Writes), count(d.Reads), count(d.Stale), ms(d.Read.P50), ms(d.Read.P99),
		})
	}
	printTable(w, rows...)
	a.printEnd(w, count(a.Background)+" more reads in the background, checked as well. ")
}
