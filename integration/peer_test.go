package integration

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cached"
	"github.com/pgaside/pgaside/repo"
)

// A peer is another process of the same program: this test binary, run again. It is told what to do by lines on its standard
// input and answers each with a line, so that a test decides what comes after what.
const (
	peerRole      = "PGASIDE_TEST_PEER"
	peerDatabase  = "PGASIDE_TEST_PEER_DATABASE"
	peerRedis     = "PGASIDE_TEST_PEER_REDIS"
	peerNamespace = "PGASIDE_TEST_PEER_NAMESPACE"
	peerFailpoint = "PGASIDE_TEST_PEER_FAILPOINT"
	peerBudget    = "PGASIDE_TEST_PEER_BUDGET" // Options.RedisBudget and LeaseTTL
)

type peer struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
}

// peer starts another process on the world. At the failpoint, if one is named, the process says "at <name>" and stands still
// until it is killed.
func (w *world) peer(failpoint string) *peer { return w.peerWith(peerFailpoint + "=" + failpoint) }

// peerIn starts another process in another time zone.
func (w *world) peerIn(zone string) *peer { return w.peerWith("TZ=" + zone) }

func (w *world) peerWith(env ...string) *peer {
	w.t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), peerRole+"=queries", peerDatabase+"="+w.dbURL, peerRedis+"="+w.redis.URL(),
		peerNamespace+"="+w.ns)
	cmd.Env = append(cmd.Env, env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(w.t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(w.t, err)
	require.NoError(w.t, cmd.Start())
	p := &peer{t: w.t, cmd: cmd, in: in, lines: make(chan string, 16)}
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	w.t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	return p
}

func (p *peer) send(format string, args ...any) {
	p.t.Helper()
	_, err := fmt.Fprintf(p.in, format+"\n", args...)
	require.NoError(p.t, err)
}

func (p *peer) line() string {
	p.t.Helper()
	select {
	case l, ok := <-p.lines:
		require.True(p.t, ok, "the peer has ended")
		return l
	case <-time.After(time.Minute):
		p.t.Fatal("the peer does not answer")
		return ""
	}
}

func (p *peer) do(format string, args ...any) string {
	p.t.Helper()
	p.send(format, args...)
	return p.line()
}

func (p *peer) kill() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Kill())
	_ = p.cmd.Wait()
}

func runPeer(string) int {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Getenv(peerDatabase))
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	defer pool.Close()
	var budget time.Duration
	if b := os.Getenv(peerBudget); b != "" {
		if budget, err = time.ParseDuration(b); err != nil {
			fmt.Println("error", err)
			return 1
		}
	}
	c, err := cache.Open(os.Getenv(peerRedis), cache.Options{
		Namespace:   os.Getenv(peerNamespace),
		RedisBudget: budget,
		LeaseTTL:    budget,
		Failpoint: func(_ context.Context, name string) {
			if name == os.Getenv(peerFailpoint) {
				fmt.Println("at", name)
				select {} // until somebody kills us
			}
		},
	})
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	defer c.Close()
	q := cached.New(pool, c)
	for s := bufio.NewScanner(os.Stdin); s.Scan(); {
		fmt.Println(peerCommand(ctx, pool, q, c, s.Text()))
	}
	return 0
}

func peerCommand(ctx context.Context, pool *pgxpool.Pool, q *cached.Queries, c *cache.Cache, line string) string {
	words := strings.Fields(line)
	id, err := uuid.Parse(words[1])
	if err != nil {
		return "error " + err.Error()
	}
	switch words[0] {
	case "get":
		s, err := q.GetSession(ctx, id)
		if err != nil {
			return "error " + err.Error()
		}
		return s.Title
	case "rename":
		if _, err := q.RenameSession(ctx, repo.RenameSessionParams{ID: id, Title: words[2]}); err != nil {
			return "error " + err.Error()
		}
		return "ok"
	case "equal": // every cached read is compared with the source
		var d dataset
		if err := d.load(ctx, pool); err != nil {
			return "error " + err.Error()
		}
		return compareAll(ctx, q, repo.New(pool), &d)
	case "herd": // many goroutines read one session when the line arrives
		var wg sync.WaitGroup
		var mu sync.Mutex
		failed := 0
		before := c.Stats().Total().Loads
		start := make(chan struct{})
		for range 100 {
			wg.Go(func() {
				<-start
				if _, err := q.GetSession(ctx, id); err != nil {
					mu.Lock()
					failed++
					mu.Unlock()
				}
			})
		}
		close(start)
		wg.Wait()
		return fmt.Sprintf("loads %d failed %d", c.Stats().Total().Loads-before, failed)
	}
	return "error unknown command"
}
