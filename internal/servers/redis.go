package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// RedisOptions configures [StartRedis]. The zero value is a server for tests: on
// a free port of 127.0.0.1, without persistence.
type RedisOptions struct {
	// Own asks for a server that may be killed and frozen: one is started even if
	// PGASIDE_TEST_REDIS_URL names another. Port and Args imply it.
	Own bool

	// Port to listen on. A port in use is then an error.
	//
	// Defaults to a free one.
	Port int

	// Args are added to the command line, after our own arguments and stronger
	// than these: "--maxmemory", "1mb".
	Args []string

	// Log receives what the server writes.
	//
	// Defaults to a file in the server's directory, shown in part when the server
	// doesn't start.
	Log io.Writer
}

// Redis is a Redis (or Valkey) server, or a namespace of ours on a server that
// somebody else runs. Its methods are safe for concurrent use.
type Redis struct {
	url       string
	namespace string

	mu      sync.Mutex
	h       *home    // nil: not our server
	proc    *process // nil: killed, or not our server
	program string
	args    []string
	greet   func(*respConn)
	frozen  bool
	closed  bool
}

// StartRedis starts a Redis server, or takes the one that PGASIDE_TEST_REDIS_URL
// names. It returns when the server answers. Without a deadline in ctx it gives
// up after a minute.
//
// The server ends with Close, or with this process, however that ends. ctx
// bounds the start only.
func StartRedis(ctx context.Context, o RedisOptions) (*Redis, error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	own := o.Own || o.Port != 0 || len(o.Args) > 0
	if u := os.Getenv(EnvRedisURL); u != "" && !own {
		r, err := ConnectRedis(ctx, u)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", EnvRedisURL, err)
		}
		return r, nil
	}
	return launchRedis(ctx, redisLaunch{port: o.Port, log: o.Log, args: func(h *home, port int) ([]string, error) {
		return redisArgs(h.data(), port, o.Args), nil
	}})
}

// redisLaunch is how a server of our own comes up.
type redisLaunch struct {
	port int                 // 0: one that pick finds
	pick func() (int, error) // nil: FreePort

	// args makes the command line for a port. It may write files into h.
	args func(h *home, port int) ([]string, error)

	greet func(*respConn) // nil: nothing; what to say whenever it has come up

	log io.Writer
}

func launchRedis(ctx context.Context, l redisLaunch) (*Redis, error) {
	program, err := findRedis()
	if err != nil {
		return nil, err
	}
	h, err := newHome("KILL", l.log) // a frozen server hears nothing else
	if err != nil {
		return nil, err
	}
	r := &Redis{h: h, program: program, greet: l.greet, namespace: newNamespace()}
	err = onPort(l.port, l.pick, func(port int) (err error) {
		r.url = redisURL(port)
		if r.args, err = l.args(h, port); err != nil {
			return err
		}
		return r.run(ctx)
	})
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func newNamespace() string { return "pgaside_" + unique(6) }

func redisURL(port int) string { return "redis://" + loopback(port) + "/0" }

func redisArgs(data string, port int, more []string) []string {
	return append([]string{
		"--port", strconv.Itoa(port),
		"--bind", "127.0.0.1",
		"--protected-mode", "yes",
		"--save", "",
		"--appendonly", "no",
		"--dir", data,
	}, more...)
}

// ConnectRedis takes a running server. It is left alone but for the keys under
// [Redis.Namespace], which Close removes.
func ConnectRedis(ctx context.Context, serverURL string) (*Redis, error) {
	r := &Redis{url: serverURL, namespace: newNamespace()}
	if err := r.Ping(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// Ping asks the server for a sign of life.
func (r *Redis) Ping(ctx context.Context) error {
	return withRESP(ctx, r.url, func(c *respConn) error { return c.ping() })
}

// do sends one command on a connection of its own. A server that is known not to
// answer is not asked.
func (r *Redis) do(ctx context.Context, args ...string) (any, error) {
	if !r.running() {
		return nil, errors.New("the Redis server on " + r.Addr() + " is killed or frozen")
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	var answer any
	err := withRESP(ctx, r.url, func(c *respConn) (err error) {
		answer, err = c.do(args...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Addr(), err)
	}
	return answer, nil
}

// running reports whether the server is ours, and neither killed nor frozen.
func (r *Redis) running() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proc != nil && !r.frozen
}

// run starts the server program and waits until it answers.
func (r *Redis) run(ctx context.Context) error {
	proc, err := r.h.start(r.program, r.args...)
	if err != nil {
		return err
	}
	err = proc.await(ctx, "Redis", func(ctx context.Context) error { return pingRedis(ctx, r.url, proc.pid) })
	if err != nil {
		return errors.Join(err, proc.stop(os.Kill))
	}
	r.proc, r.frozen = proc, false
	if r.greet == nil {
		return nil
	}
	return withRESP(ctx, r.url, func(c *respConn) error { r.greet(c); return nil })
}

// pingRedis checks that a server answers and that it is the process pid: another
// one may hold the port and answer while ours is failing.
func pingRedis(ctx context.Context, u string, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	own := "process_id:" + strconv.Itoa(pid) + "\r\n"
	return withRESP(ctx, u, func(c *respConn) error {
		if err := c.ping(); err != nil {
			return err
		}
		info, err := c.do("INFO", "server")
		if err != nil {
			return err
		}
		if text, ok := info.(string); !ok || !strings.Contains(text, own) {
			return errors.New("another server answers on the port")
		}
		return nil
	})
}

// URL is the server's address as redis://host:port/db. It stays the same over
// Kill and Start.
func (r *Redis) URL() string { return r.url }

// Addr is host:port of the server.
func (r *Redis) Addr() string {
	u, err := url.Parse(r.url)
	if err != nil {
		return ""
	}
	return respAddr(u)
}

// Namespace is a prefix for keys that nobody else uses. On a server that isn't
// ours every key must start with it.
func (r *Redis) Namespace() string { return r.namespace }

// PID is the server's pid, or 0 while it is killed and for a server that isn't
// ours.
func (r *Redis) PID() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.proc == nil {
		return 0
	}
	return r.proc.pid
}

// Kill ends the server with SIGKILL and returns when it is gone. Its contents
// are lost.
func (r *Redis) Kill() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.h == nil {
		return ErrNotOurs
	}
	if r.proc == nil {
		return nil
	}
	err := r.proc.stop(os.Kill)
	r.proc, r.frozen = nil, false
	return err
}

// Start starts the server again after [Redis.Kill], empty, on the same port, and
// returns when it answers. A running server is left running.
func (r *Redis) Start(ctx context.Context) error {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.h == nil {
		return ErrNotOurs
	}
	if r.proc != nil {
		return nil
	}
	return again(ctx, func() error { return r.run(ctx) })
}

// Freeze stops the server's process (SIGSTOP) and returns when it stands still:
// connections stay open and new ones are accepted by the system, but nothing is
// answered.
func (r *Redis) Freeze() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.signal(signalStop); err != nil {
		return err
	}
	r.frozen = true
	for !stopped(r.proc.pid) {
		time.Sleep(time.Millisecond)
	}
	return nil
}

// Thaw lets a frozen server go on (SIGCONT).
func (r *Redis) Thaw() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.signal(signalContinue); err != nil {
		return err
	}
	r.frozen = false
	return nil
}

func (r *Redis) signal(s os.Signal) error {
	if r.h == nil {
		return ErrNotOurs
	}
	if r.proc == nil {
		return errors.New("the Redis server does not run")
	}
	return r.proc.signal(s)
}

// Close ends the server and removes its files. On a server that isn't ours it
// removes our keys. Closing twice is allowed.
func (r *Redis) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	if r.h == nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		return withRESP(ctx, r.url, func(c *respConn) error { return c.removeKeys(r.namespace) })
	}
	h, proc := r.h, r.proc
	r.h, r.proc = nil, nil
	var err error
	if proc != nil {
		// Nothing is to be saved, and a frozen server would not hear SIGTERM.
		err = proc.stop(os.Kill)
	}
	return errors.Join(err, h.close())
}
