package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/pgaside/pgaside/repo"
)

// peerEnv carries the settings of a second process, so that no address with a password stands on a command line.
const peerEnv = "PGASIDE_DEMO_PEER"

// peerConfig is what a second process needs to know.
type peerConfig struct {
	PostgresURL string `json:"postgres_url"`
	RedisURL    string `json:"redis_url"`
	Namespace   string `json:"namespace"`
}

// peerRequest asks a second process for one thing; it answers each with one peerReply.
type peerRequest struct {
	Do      string    `json:"do"` // one of the do… constants
	Session uuid.UUID `json:"session"`
	User    uuid.UUID `json:"user"`
	Title   string    `json:"title"`
}

const (
	doRead     = "read"      // read a session's title in every way that is cached
	doRename   = "rename"    // give a session a title
	doKeepBusy = "keep-busy" // from now on read the session over and over, besides
	doDie      = "die"       // rename, and be killed between COMMIT and the last invalidation
	doDieNaive = "die-naive" // the same with a naive cache-aside: be killed between COMMIT and DEL
)

// peerReply is the answer. A process that dies as asked sends none.
type peerReply struct {
	Titles []string `json:"titles,omitempty"`
	Error  string   `json:"error,omitempty"`
}

// peer is a second process of this program.
type peer struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	out    *json.Decoder
	stderr strings.Builder
}

// startPeer starts a second process. It ends with close, with ctx, or when this process does.
func (s *stage) startPeer(ctx context.Context, namespace string) (*peer, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	config, err := json.Marshal(peerConfig{s.postgres.URL(), s.redis.URL(), s.namespace(namespace)})
	if err != nil {
		return nil, fmt.Errorf("encoding the settings of the second process: %w", err)
	}
	p := &peer{cmd: exec.CommandContext(ctx, program, s.Peer...)}
	p.cmd.Env = append(os.Environ(), peerEnv+"="+string(config))
	p.cmd.Stderr = &p.stderr
	p.cmd.WaitDelay = time.Second
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("making a pipe to the second process: %w", err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe from the second process: %w", err)
	}
	p.out = json.NewDecoder(stdout)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the second process: %w", err)
	}
	return p, nil
}

// ask sends a request and waits for the answer.
func (p *peer) ask(r peerRequest) ([]string, error) {
	if err := json.NewEncoder(p.stdin).Encode(r); err != nil {
		return nil, fmt.Errorf("asking the second process to %s: %w%s", r.Do, err, p.said())
	}
	var reply peerReply
	if err := p.out.Decode(&reply); err != nil {
		return nil, fmt.Errorf("waiting for the second process to %s: %w%s", r.Do, err, p.said())
	}
	if reply.Error != "" {
		return nil, fmt.Errorf("the second process could not %s: %s", r.Do, reply.Error)
	}
	return reply.Titles, nil
}

// mustDie sends a request during which the process is killed, and waits for its end.
func (p *peer) mustDie(r peerRequest) error {
	if err := json.NewEncoder(p.stdin).Encode(r); err != nil {
		return fmt.Errorf("asking the second process to %s: %w%s", r.Do, err, p.said())
	}
	var reply peerReply
	switch err := p.out.Decode(&reply); {
	case err == nil:
		return fmt.Errorf("the second process should have been killed and answered instead: %s", reply.Error)
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("waiting for the end of the second process: %w", err)
	}
	err := p.cmd.Wait()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.Exited() {
		return fmt.Errorf("the second process should have been killed, and ended with %v%s", err, p.said())
	}
	return nil
}

func (p *peer) close() error {
	_ = p.stdin.Close() // the process may have gone already
	if p.cmd.ProcessState != nil {
		return nil
	}
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("ending the second process: %w%s", err, p.said())
	}
	return nil
}

// said quotes what the process wrote to its standard error. Only for use when it has ended, or is ending.
func (p *peer) said() string {
	if p.cmd.ProcessState == nil || p.stderr.Len() == 0 {
		return ""
	}
	return "\n" + strings.TrimSpace(p.stderr.String())
}

// Peer is the main function of a second process: it reads requests until in ends.
func Peer(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	var config peerConfig
	if err := json.Unmarshal([]byte(os.Getenv(peerEnv)), &config); err != nil {
		return fmt.Errorf("this command is for the demo's own use (%s: %w)", peerEnv, err)
	}
	slog.SetDefault(slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(ctx)
	var dying atomic.Bool
	options := patient
	options.Namespace = config.Namespace
	options.Failpoint = func(_ context.Context, name string) {
		if name == "after-commit" && dying.Load() {
			killSelf()
		}
	}
	c, err := newClient(ctx, config.PostgresURL, config.RedisURL, options)
	if err != nil {
		cancel()
		return err
	}
	naive, err := newNaive(c.source, config.RedisURL, config.Namespace)
	if err != nil {
		cancel()
		return errors.Join(err, c.close())
	}
	busy := make(chan struct{}) // closed by the end of the reader in the background
	close(busy)
	defer func() {
		cancel()
		<-busy
		err = errors.Join(err, naive.close(), c.close())
	}()

	requests, replies := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var r peerRequest
		if err := requests.Decode(&r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading a request: %w", err)
		}
		var reply peerReply
		var err error
		switch r.Do {
		case doRead:
			reply.Titles, err = readTitles(ctx, c.cached, r.Session, r.User)
		case doRename:
			_, err = c.cached.RenameSession(ctx, repo.RenameSessionParams{ID: r.Session, Title: r.Title})
		case doKeepBusy:
			done := make(chan struct{})
			busy = done
			go func() {
				defer close(done)
				for ctx.Err() == nil {
					_, _ = readTitles(ctx, c.cached, r.Session, r.User) // the asking process checks its own reads
				}
			}()
		case doDie:
			dying.Store(true)
			_, err = c.cached.RenameSession(ctx, repo.RenameSessionParams{ID: r.Session, Title: r.Title})
		case doDieNaive:
			naive.beforeDelete = killSelf
			err = naive.rename(ctx, r.Session, r.Title)
		default:
			err = fmt.Errorf("unknown request %q", r.Do)
		}
		if err != nil {
			reply.Error = err.Error()
		}
		if err := replies.Encode(reply); err != nil {
			return fmt.Errorf("answering: %w", err)
		}
	}
}

// killSelf ends this process as kill -9 does, and does not return.
func killSelf() {
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		_ = p.Kill() // what is left to do if even that fails, is to stand still
	}
	select {}
}

// readTitles reads the title of a session by three queries, which belong to three groups.
func readTitles(ctx context.Context, q repo.Querier, session, user uuid.UUID) ([]string, error) {
	row, err := q.GetSession(ctx, session)
	if err != nil {
		return nil, fmt.Errorf("GetSession: %w", err)
	}
	rows, err := q.ListSessions(ctx, repo.ListSessionsParams{UserID: user, PageSize: pageSize})
	if err != nil {
		return nil, fmt.Errorf("ListSessions: %w", err)
	}
	listed := ""
	for _, r := range rows {
		if r.ID == session {
			listed = r.Title
		}
	}
	report, err := q.SessionReport(ctx, repo.SessionReportParams{SessionID: session, UserID: user})
	if err != nil {
		return nil, fmt.Errorf("SessionReport: %w", err)
	}
	return []string{row.Title, listed, report.Title}, nil
}

// joinClose adds what closing a client says to an error.
func joinClose(err error, c interface{ close() error }) error { return errors.Join(err, c.close()) }
