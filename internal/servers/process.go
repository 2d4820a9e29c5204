package servers

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	dirPattern = "pgaside-servers-" // what the temporary directories of this package start with
	lockFile   = "lock"             // held for as long as the owner of the directory lives
	pidFile    = "pid"              // the server's identity, for the sweep
	logFile    = "server.log"

	startTimeout   = 60 * time.Second      // when the caller's context sets no deadline
	stopTimeout    = 10 * time.Second      // for a polite end, before SIGKILL
	commandTimeout = 2 * time.Second       // for one answer of a server that should answer at once
	pollInterval   = 15 * time.Millisecond // between two looks at a server that is starting
	portAttempts   = 10                    // free ports to try: another process may be faster
	minPort        = 12000                 // chosen ports: above what services use,
	maxPort        = 32000                 // below where Linux takes ports for outgoing connections
	errorTail      = 2000                  // bytes of a server's log to show in an error
)

// watchdogScript ends a server whose parent is gone, and removes its directory.
// Its arguments are the directory and the signal that ends the server.
//
// Its standard input is a pipe that only the parent holds. On it come the pid of
// the program that runs in the directory (0: none), and "bye" when the parent
// has cleaned up itself. When the pipe ends without it, the parent was killed.
//
//go:embed watchdog.sh
var watchdogScript string

// launchScript tells the watchdog the pid under which the program is about to
// run, and becomes the program. The child tells it, not the parent: a parent
// that is killed just after the fork could not.
const launchScript = `echo "$$" >&3; exec "$@" 3>&-`

// home is the directory of one server, with the watchdog that ends whatever runs
// in it as soon as this process is gone.
type home struct {
	dir   string
	lock  io.Closer
	run   account
	dog   *exec.Cmd
	leash *os.File // the pipe's end that only this process (and a child before its exec) holds
	log   io.Writer
	file  *os.File
}

// newHome sweeps what killed processes left behind, makes a directory with a
// data directory that the server's account owns, and sets a watchdog over it.
// signal is what the watchdog ends the server with.
func newHome(signal string, log io.Writer) (h *home, err error) {
	run, err := serverAccount()
	if err != nil {
		return nil, err
	}
	parent, err := tempDir(run)
	if err != nil {
		return nil, err
	}
	sweep(parent)

	h = &home{run: run}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	// The directory gets the name that the sweep looks for only after it is
	// locked, or a concurrent sweep would take it for an orphan.
	fresh, err := os.MkdirTemp(parent, ".pgaside-new-")
	if err != nil {
		return nil, fmt.Errorf("making a directory for a server: %w", err)
	}
	h.dir = fresh
	if h.lock, err = lockPath(filepath.Join(fresh, lockFile)); err != nil {
		return nil, err
	}
	dir := filepath.Join(parent, dirPattern+strings.TrimPrefix(filepath.Base(fresh), ".pgaside-new-"))
	if err := os.Rename(fresh, dir); err != nil {
		return nil, fmt.Errorf("making a directory for a server: %w", err)
	}
	h.dir = dir
	if err := prepareData(dir, run); err != nil {
		return nil, err
	}
	if h.file, err = os.OpenFile(filepath.Join(dir, logFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return nil, fmt.Errorf("opening the server's log: %w", err)
	}
	h.log = h.file
	if log != nil {
		h.log = io.MultiWriter(h.file, log)
	}

	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making the watchdog's pipe: %w", err)
	}
	h.leash = w
	dog := exec.Command("/bin/sh", "-c", watchdogScript, "pgaside-watchdog", dir, signal)
	dog.Stdin = r
	dog.Dir = "/"
	detachGroup(dog) // Ctrl-C and a kill of our process group must not reach it
	err = dog.Start()
	_ = r.Close()
	if err != nil {
		return nil, fmt.Errorf("starting the watchdog: %w", err)
	}
	h.dog = dog
	return h, nil
}

// prepareData makes the data directory of dir. dir itself stays ours: the
// server's account may only pass through it.
func prepareData(dir string, run account) error {
	if err := os.Chmod(dir, 0o711); err != nil {
		return fmt.Errorf("preparing %s: %w", dir, err)
	}
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return fmt.Errorf("preparing %s: %w", dir, err)
	}
	return run.own(data)
}

func (h *home) data() string { return filepath.Join(h.dir, "data") }

// write makes a file in the data directory that the server may rewrite, and
// returns its path.
func (h *home) write(name, text string) (string, error) {
	path := filepath.Join(h.data(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("writing a server's configuration: %w", err)
	}
	return path, h.run.own(path)
}

// command prepares a program to run as the server's account, watched.
func (h *home) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command("/bin/sh", append([]string{"-c", launchScript, "sh", program}, args...)...)
	cmd.Dir = h.data()
	cmd.Env = serverEnv(h.data())
	cmd.Stdout, cmd.Stderr = h.log, h.log
	cmd.ExtraFiles = []*os.File{h.leash} // fd 3
	// A backend that outlives a killed postmaster holds the log's pipe; Wait
	// must not hang on it.
	cmd.WaitDelay = 2 * time.Second
	detachGroup(cmd)
	h.run.apply(cmd)
	return cmd
}

// serverEnv keeps the caller's PGPORT, LANG and the like away from a server.
func serverEnv(dir string) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C", "TZ=UTC"}
}

// logSize is where the next line of the log will begin.
func (h *home) logSize() int64 { return fileSize(h.file) }

func fileSize(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// fileTail is the end of a log from an offset on, for an error message.
func fileTail(path string, offset int64) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "(no log: " + err.Error() + ")"
	}
	b = b[min(offset, int64(len(b))):]
	if len(b) > errorTail {
		b = b[len(b)-errorTail:]
	}
	return string(bytes.TrimSpace(b))
}

// close removes the directory and dismisses the watchdog. The server must have
// ended.
func (h *home) close() error {
	var errs []error
	if h.file != nil {
		errs = append(errs, h.file.Close())
	}
	if h.dir != "" {
		if err := os.RemoveAll(h.dir); err != nil {
			errs = append(errs, fmt.Errorf("removing the server's directory: %w", err))
		}
	}
	if h.lock != nil {
		errs = append(errs, h.lock.Close())
	}
	if h.leash != nil {
		if h.dog != nil {
			_, err := io.WriteString(h.leash, "bye\n")
			errs = append(errs, err)
		}
		errs = append(errs, h.leash.Close())
	}
	if h.dog != nil {
		if err := h.dog.Wait(); err != nil {
			errs = append(errs, fmt.Errorf("waiting for the watchdog: %w", err))
		}
	}
	*h = home{}
	return errors.Join(errs...)
}

// process is a running server.
type process struct {
	pid  int
	cmd  *exec.Cmd
	log  string        // the path of its log
	from int64         // where its lines begin there
	done chan struct{} // closed when the process has been waited for
	err  error         // how it ended; read after done
}

// startProcess runs cmd. ended is called when it has ended.
func startProcess(cmd *exec.Cmd, log string, from int64, ended func()) (*process, error) {
	p := &process{cmd: cmd, log: log, from: from, done: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p.pid = cmd.Process.Pid
	go func() {
		p.err = cmd.Wait()
		ended()
		close(p.done)
	}()
	return p, nil
}

// start runs a program. The watchdog knows of it before it begins.
func (h *home) start(program string, args ...string) (*process, error) {
	p, err := startProcess(h.command(program, args...), filepath.Join(h.dir, logFile), h.logSize(), func() {
		// The pid may belong to another program from now on.
		_, _ = io.WriteString(h.leash, "0\n")
	})
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", filepath.Base(program), err)
	}
	if id, ok := identify(p.pid); ok {
		// Only the sweep reads it, so a failure costs nothing now.
		_ = os.WriteFile(filepath.Join(h.dir, pidFile), []byte(id.String()), 0o600)
	}
	return p, nil
}

// tail is the end of what the process wrote.
func (p *process) tail() string { return fileTail(p.log, p.from) }

// exited reports whether the process has ended.
func (p *process) exited() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// signal sends a signal; a process that has ended already is not an error.
func (p *process) signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %v to process %d: %w", s, p.pid, err)
	}
	return nil
}

// stop sends s, waits for the end, and kills what doesn't end in time.
func (p *process) stop(s os.Signal) error {
	if err := p.signal(s); err != nil {
		return err
	}
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	}
	if err := p.signal(os.Kill); err != nil {
		return err
	}
	<-p.done
	return nil
}

// finish waits for a program that ends by itself.
func (p *process) finish(ctx context.Context, what string) error {
	select {
	case <-p.done:
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("waiting for %s: %w", what, ctx.Err()), p.stop(os.Kill))
	}
	if p.err != nil {
		return &startError{what: what, cause: p.err, log: p.tail()}
	}
	return nil
}

// await polls ready until it says yes, the process ends, or ctx does.
func (p *process) await(ctx context.Context, what string, ready func(context.Context) error) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		err := ready(ctx)
		if err == nil && !p.exited() {
			return nil
		}
		select {
		case <-p.done:
			return &startError{what: what, cause: p.err, log: p.tail()}
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w (last answer: %w; its log ends: %s)", what, ctx.Err(), err, p.tail())
		case <-ticker.C:
		}
	}
}

// startError is a server that ended before it was ready.
type startError struct {
	what  string
	cause error
	log   string
}

func (e *startError) Error() string {
	if e.cause == nil {
		return fmt.Sprintf("starting %s: it ended at once; its log ends:\n%s", e.what, e.log)
	}
	return fmt.Sprintf("starting %s: %v; its log ends:\n%s", e.what, e.cause, e.log)
}

func (e *startError) Unwrap() error { return e.cause }

// portTaken reports whether the server ended because its port was in use.
func (e *startError) portTaken() bool {
	return strings.Contains(e.log, "ddress already in use")
}

// withDeadline gives ctx a deadline if it has none: nobody should wait forever
// for a server that neither starts nor ends.
func withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, startTimeout)
}

// onFreePort calls start with ports that were free a moment ago until one does
// not fail for being taken. With a fixed port there is one attempt.
func onFreePort(fixed int, start func(port int) error) error { return onPort(fixed, FreePort, start) }

// onPort is onFreePort with another way to pick the ports (nil: FreePort).
func onPort(fixed int, pick func() (int, error), start func(port int) error) error {
	if fixed != 0 {
		return start(fixed)
	}
	if pick == nil {
		pick = FreePort
	}
	var err error
	for range portAttempts {
		var port int
		if port, err = pick(); err != nil {
			return err
		}
		err = start(port)
		var se *startError
		if err == nil || !errors.As(err, &se) || !se.portTaken() {
			return err
		}
	}
	return err
}

// FreePort finds a loopback port that nobody listens on. It stays below the
// range from which systems take ports for outgoing connections, so that a server
// that was killed finds its port again.
func FreePort() (int, error) { return freePort(maxPort, portFree) }

// freePort picks a port below limit that free has nothing against.
func freePort(limit int, free func(port int) error) (int, error) {
	var err error
	for range 50 {
		port := minPort + mrand.IntN(limit-minPort)
		if err = free(port); err == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("looking for a free port on 127.0.0.1: %w", err)
}

func portFree(port int) error {
	l, err := net.Listen("tcp", loopback(port))
	if err != nil {
		return err
	}
	return l.Close()
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// unique returns n random bytes as hexadecimal digits.
func unique(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}

// identity tells a process from another one that later got the same pid.
type identity struct {
	PID     int    `json:"pid,omitempty"`
	Started string `json:"started,omitempty"` // opaque: the start time as the system writes it
}

func (id identity) String() string { return strconv.Itoa(id.PID) + " " + id.Started }

func parseIdentity(s string) (identity, bool) {
	pid, started, ok := strings.Cut(strings.TrimSpace(s), " ")
	n, err := strconv.Atoi(pid)
	return identity{n, started}, ok && err == nil && n > 1
}

// alive reports whether the very process still runs.
func (id identity) alive() bool {
	now, ok := identify(id.PID)
	return ok && now == id
}

// sweep ends and removes what processes left behind that were killed together
// with their watchdogs: directories of our own user that nobody has locked. It
// is a courtesy, so it keeps quiet about what it can't do.
func sweep(parent string) {
	dirs, _ := filepath.Glob(filepath.Join(parent, dirPattern+"*"))
	for _, dir := range dirs {
		if !ownDir(dir) {
			continue
		}
		lock, err := tryLock(filepath.Join(dir, lockFile))
		if err != nil {
			continue
		}
		if b, err := os.ReadFile(filepath.Join(dir, pidFile)); err == nil {
			if id, ok := parseIdentity(string(b)); ok && id.alive() {
				_ = killPID(id.PID)
			}
		}
		_ = os.RemoveAll(dir)
		_ = lock.Close()
	}
}
