package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/pgaside/pgaside/cache"
)

// process is a worker as its parent sees it.
type process struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	redis   *proxy // nil: it goes there directly
	pg      *proxy // as redis
	answers chan string
	at      chan string   // failpoints that it has reached
	ended   chan struct{} // its output has ended
	stderr  strings.Builder

	mu      sync.Mutex
	records [][]record // by layer
	err     error      // of reading them
}

// startProcess starts a worker, which goes on until it is killed or told to end. config is what it is told.
func startProcess(command []string, config workerConfig, redis, pg *proxy) (*process, error) {
	text, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encoding the settings of a worker: %w", err)
	}
	p := &process{
		cmd: exec.Command(command[0], command[1:]...), redis: redis, pg: pg,
		answers: make(chan string, 1), at: make(chan string, 1), ended: make(chan struct{}), records: make([][]record, len(config.Layers)),
	}
	p.cmd.Env = append(os.Environ(), workerEnv+"="+string(text))
	p.cmd.Stderr = &p.stderr
	p.cmd.WaitDelay = time.Second
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("making a pipe to a worker: %w", err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe from a worker: %w", err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting a worker: %w", err)
	}
	go func() {
		defer close(p.ended)
		err := readRecords(out, p.note)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.err = err
	}()
	return p, nil
}

func (p *process) note(r record) {
	switch r.kind {
	case opAnswer:
		p.answers <- r.text
	case opAt:
		select {
		case p.at <- r.text:
		default:
		}
	default:
		p.mu.Lock()
		defer p.mu.Unlock()
		p.records[r.layer] = append(p.records[r.layer], r)
	}
}

// recorded is how many reads and writes it has told of.
func (p *process) recorded() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.records {
		n += len(l)
	}
	return n
}

// ask sends a command and waits for the answer.
func (p *process) ask(ctx context.Context, command string) (string, error) {
	if _, err := io.WriteString(p.in, command+"\n"); err != nil {
		return "", fmt.Errorf("telling a worker to %s: %w%s", command, err, p.said())
	}
	select {
	case a := <-p.answers:
		return a, nil
	case <-p.ended:
		return "", fmt.Errorf("a worker ended instead of answering to %q%s", command, p.said())
	case <-ctx.Done():
		return "", fmt.Errorf("waiting for a worker to %s: %w", command, ctx.Err())
	}
}

func (p *process) stats(ctx context.Context) (out []cache.Stats, err error) {
	text, err := p.ask(ctx, "stats")
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		return nil, fmt.Errorf("reading a worker's statistics: %w", err)
	}
	return out, nil
}

// said is what the worker wrote to its standard error, as the end of an error.
func (p *process) said() string {
	select {
	case <-p.ended:
		_ = p.cmd.Wait() // then stderr is complete
		if s := strings.TrimSpace(p.stderr.String()); s != "" {
			return ":\n" + s
		}
	default:
	}
	return ""
}

// kill ends the process with SIGKILL; what it had recorded by then stays.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
	_ = p.cmd.Wait()
}

// end lets the process end by itself, and returns what it recorded.
func (p *process) end(ctx context.Context) error {
	_ = p.in.Close()
	select {
	case <-p.ended:
	case <-ctx.Done():
		p.kill()
		return fmt.Errorf("waiting for a worker to end: %w", ctx.Err())
	}
	err := p.cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		return errors.Join(p.err, fmt.Errorf("a worker: %w: %s", err, strings.TrimSpace(p.stderr.String())))
	}
	return p.err
}
