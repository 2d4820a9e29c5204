package servers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Dev is a pair of servers for development, kept by a directory: they go on when
// the command that started them has ended, until [Dev.Down]. PostgreSQL keeps its
// data there; Redis is a cache and keeps nothing.
type Dev struct {
	// Dir is where the state, the data and the logs are.
	//
	// Defaults to .pgaside in the working directory.
	Dir string

	// PostgresPort and RedisPort are the first ports to try; a taken one is
	// passed over for the next.
	//
	// Default to those of the last time, and at first to 5432 and 6379.
	PostgresPort, RedisPort int
}

// DevServer tells about one server for development.
type DevServer struct {
	Name string // "PostgreSQL" or "Redis"
	URL  string // where it is, or was; "" if it was never started
	PID  int    // 0 if it does not run
	Log  string // the path of its log
}

// Running reports whether the server runs.
func (s DevServer) Running() bool { return s.PID != 0 }

// devState is what Dev remembers from one command to the next.
type devState struct {
	Password string    `json:"password"`
	Data     string    `json:"data"` // where the servers' files are
	Postgres devRecord `json:"postgres"`
	Redis    devRecord `json:"redis"`
}

type devRecord struct {
	identity
	Program string `json:"program,omitempty"` // the name of the process
	Port    int    `json:"port,omitempty"`
}

// running reports whether the recorded process is still there and is still the
// program that was started. A pid alone says nothing: it may be another's by now.
func (r devRecord) running() bool {
	return r.PID != 0 && r.alive() && programName(r.PID) == r.Program
}

const portsToTry = 100

// Up starts what doesn't run, and returns both servers when they answer. Without
// a deadline in ctx it gives up after a minute.
func (d Dev) Up(ctx context.Context) ([]DevServer, error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	programs, err1 := findPostgres()
	redis, err2 := findRedis()
	run, err3 := serverAccount()
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	var result []DevServer
	err := d.locked(func(dir string) error {
		s, err := d.load(dir)
		if err != nil {
			return err
		}
		if s.Password == "" {
			s.Password = unique(16)
		}
		if s.Data == "" {
			if s.Data, err = devData(dir, run); err != nil {
				return err
			}
		}
		// Written before anything starts: the data are lost without the password.
		if err := d.save(dir, s); err != nil {
			return err
		}
		start := devStart{dir: dir, run: run}
		if !s.Postgres.running() {
			if err := start.initdb(ctx, programs.initdb, s); err != nil {
				return err
			}
			s.Postgres, err = start.onPort(cmp.Or(d.PostgresPort, s.Postgres.Port, 5432), func(port int) (devRecord, error) {
				return start.postgres(ctx, programs.postgres, s, port)
			})
			if err := errors.Join(err, d.save(dir, s)); err != nil {
				return err
			}
		}
		if !s.Redis.running() {
			s.Redis, err = start.onPort(cmp.Or(d.RedisPort, s.Redis.Port, 6379), func(port int) (devRecord, error) {
				return start.redis(ctx, redis, s, port)
			})
			if err := errors.Join(err, d.save(dir, s)); err != nil {
				return err
			}
		}
		result = s.servers(dir)
		return nil
	})
	return result, err
}

// Down ends the servers that Up started, each after making sure that its pid
// still is that server, and returns those that it ended. The data stay.
func (d Dev) Down(ctx context.Context) ([]DevServer, error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	var ended []DevServer
	err := d.locked(func(dir string) error {
		s, err := d.load(dir)
		if err != nil {
			return err
		}
		before := s.servers(dir)
		var errs []error
		for i, r := range []*devRecord{&s.Postgres, &s.Redis} {
			if !r.running() {
				continue
			}
			// SIGINT: PostgreSQL does not wait for its clients.
			if err := r.end(ctx, syscall.SIGINT); err != nil {
				errs = append(errs, fmt.Errorf("ending %s: %w", before[i].Name, err))
				continue
			}
			r.identity, r.Program = identity{}, "" // the port is for next time
			ended = append(ended, before[i])
		}
		return errors.Join(append(errs, d.save(dir, s))...)
	})
	return ended, err
}

// Status tells about both servers.
func (d Dev) Status() ([]DevServer, error) {
	dir, err := d.dir()
	if err != nil {
		return nil, err
	}
	s, err := d.load(dir)
	if err != nil {
		return nil, err
	}
	return s.servers(dir), nil
}

func (s devState) servers(dir string) []DevServer {
	pg := DevServer{Name: "PostgreSQL", Log: filepath.Join(dir, "postgres.log")}
	if s.Postgres.Port != 0 {
		pg.URL = postgresURL(s.Postgres.Port, s.Password, postgresDatabase)
	}
	if s.Postgres.running() {
		pg.PID = s.Postgres.PID
	}
	rd := DevServer{Name: "Redis", Log: filepath.Join(dir, "redis.log")}
	if s.Redis.Port != 0 {
		rd.URL = redisURL(s.Redis.Port)
	}
	if s.Redis.running() {
		rd.PID = s.Redis.PID
	}
	return []DevServer{pg, rd}
}

func (d Dev) dir() (string, error) {
	dir := d.Dir
	if dir == "" {
		dir = ".pgaside"
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("finding the directory %s: %w", dir, err)
	}
	return abs, nil
}

// locked calls do while no other command works on the directory.
func (d Dev) locked(do func(dir string) error) error {
	dir, err := d.dir()
	if err != nil {
		return err
	}
	// 0711: the servers' account passes through to its own directories.
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return fmt.Errorf("making %s: %w", dir, err)
	}
	lock, err := lockPath(filepath.Join(dir, lockFile))
	if err != nil {
		return fmt.Errorf("another command works on %s: %w", dir, err)
	}
	return errors.Join(do(dir), lock.Close())
}

func (d Dev) load(dir string) (devState, error) {
	var s devState
	path := filepath.Join(dir, "servers.json")
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("reading the servers' state: %w", err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("reading the servers' state in %s (remove %s to start anew, once nothing runs there): %w", path, dir, err)
	}
	return s, nil
}

// save writes the state in one step: a half-written one would lose the pids.
func (d Dev) save(dir string, s devState) error {
	b, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return fmt.Errorf("writing the servers' state: %w", err)
	}
	path := filepath.Join(dir, "servers.json")
	if err := os.WriteFile(path+".new", append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the servers' state: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("writing the servers' state: %w", err)
	}
	return nil
}

// devData is where the servers' files go: below dir, unless their account can't
// get there, as is usual when root works in its home directory.
func devData(dir string, run account) (string, error) {
	if run.reaches(dir) {
		return dir, nil
	}
	h := fnv.New64a()
	_, _ = io.WriteString(h, dir) // never fails
	data := filepath.Join("/var/tmp", "pgaside-"+strconv.FormatUint(h.Sum64(), 16))
	if err := os.Mkdir(data, 0o711); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("making a directory for the servers' files: %w", err)
	}
	if !ownDir(data) {
		return "", fmt.Errorf("the directory %s for the servers' files belongs to somebody else", data)
	}
	return data, nil
}

// devStart starts servers that outlive this process.
type devStart struct {
	dir string
	run account
}

// initdb makes the cluster if there is none. It gets its name when it is
// complete.
func (d devStart) initdb(ctx context.Context, program string, s devState) (err error) {
	data := filepath.Join(s.Data, "postgres")
	if _, err := os.Lstat(data); err == nil {
		return nil
	}
	fresh := data + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("removing an incomplete cluster: %w", err)
	}
	if err := d.mkdir(fresh); err != nil {
		return err
	}
	file, err := writePassword(s.Data, s.Password, d.run)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(file)) }()
	proc, err := d.start(fresh, "postgres", program, initdbArgs(fresh, file))
	if err != nil {
		return err
	}
	if err := proc.finish(ctx, "initdb"); err != nil {
		return err
	}
	if err := os.Rename(fresh, data); err != nil {
		return fmt.Errorf("naming the new cluster: %w", err)
	}
	return nil
}

func (d devStart) mkdir(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("making a data directory: %w", err)
	}
	return d.run.own(path)
}

func (d devStart) postgres(ctx context.Context, program string, s devState, port int) (devRecord, error) {
	data := filepath.Join(s.Data, "postgres")
	proc, err := d.start(data, "postgres", program, postgresArgs(data, port, map[string]string{"wal_level": "logical"}))
	if err != nil {
		return devRecord{}, err
	}
	admin := postgresURL(port, s.Password, "postgres")
	if err := proc.await(ctx, "PostgreSQL", func(ctx context.Context) error { return pingPostgres(ctx, admin) }); err != nil {
		return devRecord{}, errors.Join(err, proc.stop(os.Kill))
	}
	if err := ensureDatabase(ctx, admin, postgresDatabase); err != nil {
		return devRecord{}, errors.Join(err, proc.stop(os.Interrupt))
	}
	return d.record(proc, port)
}

func (d devStart) redis(ctx context.Context, program string, s devState, port int) (devRecord, error) {
	data := filepath.Join(s.Data, "redis")
	if err := d.mkdir(data); err != nil {
		return devRecord{}, err
	}
	args := redisArgs(data, port, []string{"--maxmemory", "256mb", "--maxmemory-policy", "allkeys-lru"})
	proc, err := d.start(data, "redis", program, args)
	if err != nil {
		return devRecord{}, err
	}
	if err := proc.await(ctx, "Redis", func(ctx context.Context) error { return pingRedis(ctx, redisURL(port), proc.pid) }); err != nil {
		return devRecord{}, errors.Join(err, proc.stop(os.Kill))
	}
	return d.record(proc, port)
}

// start runs a program in a session of its own, with its output in a log.
func (d devStart) start(data, name, program string, args []string) (*process, error) {
	path := filepath.Join(d.dir, name+".log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", name, err)
	}
	defer log.Close() // the child has its own by then
	cmd := exec.Command(program, args...)
	cmd.Dir = data
	cmd.Env = serverEnv(data)
	cmd.Stdout, cmd.Stderr = log, log
	detachSession(cmd)
	d.run.apply(cmd)
	proc, err := startProcess(cmd, path, fileSize(log), func() {})
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", filepath.Base(program), err)
	}
	return proc, nil
}

func (d devStart) record(proc *process, port int) (devRecord, error) {
	id, ok := identify(proc.pid)
	if !ok {
		return devRecord{}, &startError{what: "a server", log: proc.tail()}
	}
	return devRecord{identity: id, Program: programName(proc.pid), Port: port}, nil
}

// onPort starts a server on the first free port from first on.
func (d devStart) onPort(first int, start func(port int) (devRecord, error)) (devRecord, error) {
	for port := first; port < first+portsToTry; port++ {
		if portFree(port) != nil {
			continue
		}
		r, err := start(port)
		var se *startError
		if errors.As(err, &se) && se.portTaken() {
			continue
		}
		return r, err
	}
	return devRecord{}, fmt.Errorf("the ports from %d to %d are all taken", first, first+portsToTry-1)
}

// end sends a signal and waits until the process is gone; after stopTimeout it
// is killed.
func (r devRecord) end(ctx context.Context, s syscall.Signal) error {
	if err := signalPID(r.PID, s); err != nil {
		return fmt.Errorf("signalling process %d: %w", r.PID, err)
	}
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	kill := time.NewTimer(stopTimeout)
	defer kill.Stop()
	for r.alive() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the end of process %d: %w", r.PID, ctx.Err())
		case <-kill.C:
			if r.running() {
				if err := killPID(r.PID); err != nil {
					return fmt.Errorf("killing process %d: %w", r.PID, err)
				}
			}
		case <-ticker.C:
		}
	}
	return nil
}
