// Package containers lets tests run against containers: the third provider of
// servers, beside a named server and a local one, through testcontainers-go. It
// is a package of its own so that the command does not link a container library.
//
// The Docker engine must be on this machine: containers publish their port on
// 127.0.0.1 only, at a number that stays the same when they are killed and
// started again.
package containers

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"

	"github.com/pgaside/pgaside/internal/servers"
)

const (
	// EnvProvider says where the tests' servers come from: "docker" means
	// containers; empty or "local" what [servers.StartPostgres] and
	// [servers.StartRedis] find.
	EnvProvider = "PGASIDE_TEST_PROVIDER"

	// EnvImage is an image that holds both servers.
	//
	// Defaults to the public images postgres:17 and redis:8.
	EnvImage = "PGASIDE_TEST_IMAGE"

	// EnvPostgresImage is an image for PostgreSQL alone, stronger than EnvImage.
	EnvPostgresImage = "PGASIDE_TEST_POSTGRES_IMAGE"

	// EnvRedisImage is an image for Redis alone, stronger than EnvImage.
	EnvRedisImage = "PGASIDE_TEST_REDIS_IMAGE"

	// Label is on every container that this package starts.
	Label = "dev.pgaside.test"
)

const (
	startTimeout = 3 * time.Minute // an engine without a layered file system copies whole images
	stopTimeout  = time.Minute
	pollInterval = 50 * time.Millisecond
)

//go:embed postgres.sh
var postgresScript string

//go:embed redis.sh
var redisScript string

// StartPostgres starts a PostgreSQL server with the provider that
// PGASIDE_TEST_PROVIDER names. In a container o.Log is not used.
func StartPostgres(ctx context.Context, o servers.PostgresOptions) (servers.PostgresServer, error) {
	docker, err := useDocker()
	if err != nil {
		return nil, err
	}
	if docker {
		p, err := startPostgresContainer(ctx, o)
		if err != nil {
			return nil, err
		}
		return p, nil
	}
	p, err := servers.StartPostgres(ctx, o)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// StartRedis starts a Redis server with the provider that PGASIDE_TEST_PROVIDER
// names. In a container o.Log is not used.
func StartRedis(ctx context.Context, o servers.RedisOptions) (servers.RedisServer, error) {
	docker, err := useDocker()
	if err != nil {
		return nil, err
	}
	if docker {
		r, err := startRedisContainer(ctx, o)
		if err != nil {
			return nil, err
		}
		return r, nil
	}
	r, err := servers.StartRedis(ctx, o)
	if err != nil {
		return nil, err
	}
	return r, nil
}

func useDocker() (bool, error) {
	switch provider := os.Getenv(EnvProvider); provider {
	case "docker":
		return true, nil
	case "", "local":
		return false, nil
	default:
		return false, fmt.Errorf("%s is %q: it must be docker, local or empty", EnvProvider, provider)
	}
}

func image(env, public string) string {
	return cmp.Or(os.Getenv(env), os.Getenv(EnvImage), public)
}

// box is a running container with one published port.
type box struct {
	ctr    *testcontainers.DockerContainer
	docker *testcontainers.DockerClient
	once   sync.Once
	err    error // what closing said
}

// spec is what distinguishes the two servers' containers.
type spec struct {
	image, user, script string
	args                []string
	env                 map[string]string
	port                string // inside
	hostPort            int
}

func run(ctx context.Context, s spec) (*box, error) {
	inside, err := network.ParsePort(s.port)
	if err != nil {
		return nil, fmt.Errorf("port %s: %w", s.port, err)
	}
	docker, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return nil, fmt.Errorf("reaching the Docker engine: %w", err)
	}
	ctr, err := testcontainers.Run(ctx, s.image,
		testcontainers.WithEntrypoint("/bin/sh", "-c", s.script, "sh"),
		testcontainers.WithCmd(s.args...),
		testcontainers.WithEnv(s.env),
		testcontainers.WithExposedPorts(s.port),
		testcontainers.WithLabels(map[string]string{Label: "true"}),
		testcontainers.WithConfigModifier(func(c *container.Config) { c.User = s.user }),
		testcontainers.WithHostConfigModifier(func(h *container.HostConfig) {
			// A number of our own choice: one chosen by Docker changes when the
			// container is started again.
			h.PortBindings = network.PortMap{inside: {{
				HostIP: netip.AddrFrom4([4]byte{127, 0, 0, 1}), HostPort: strconv.Itoa(s.hostPort),
			}}}
		}),
	)
	b := &box{ctr: ctr, docker: docker}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("running a container of %s: %w", s.image, err), b.close())
	}
	return b, nil
}

// await polls ready until it says yes, the container ends, or ctx does.
func (b *box) await(ctx context.Context, what string, ready func() error) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		state, stateErr := b.ctr.State(ctx)
		if stateErr == nil && !state.Running {
			return fmt.Errorf("starting %s: its container ended with code %d; its log ends:\n%s", what, state.ExitCode, b.logs())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w (last answer: %w; its log ends: %s)", what, ctx.Err(), err, b.logs())
		case <-ticker.C:
		}
	}
}

func (b *box) logs() string {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	r, err := b.ctr.Logs(ctx)
	if err != nil {
		return "(no log: " + err.Error() + ")"
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		return "(no log: " + err.Error() + ")"
	}
	const most = 2000
	return strings.TrimSpace(string(text[max(0, len(text)-most):]))
}

// kill ends the container's processes with SIGKILL and waits for their end; the
// container stays.
func (b *box) kill() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if _, err := b.docker.ContainerKill(ctx, b.ctr.GetContainerID(), client.ContainerKillOptions{Signal: "KILL"}); err != nil {
		return fmt.Errorf("killing a container: %w", err)
	}
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		state, err := b.ctr.State(ctx)
		if err != nil {
			return fmt.Errorf("waiting for the end of a container: %w", err)
		}
		if !state.Running {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the end of a container: %w", ctx.Err())
		case <-ticker.C:
		}
	}
}

func (b *box) start(ctx context.Context) error {
	if _, err := b.docker.ContainerStart(ctx, b.ctr.GetContainerID(), client.ContainerStartOptions{}); err != nil {
		return fmt.Errorf("starting a container again: %w", err)
	}
	return nil
}

func (b *box) close() error {
	b.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		var errs []error
		if b.ctr != nil {
			errs = append(errs, b.ctr.Terminate(ctx, testcontainers.StopTimeout(0)))
		}
		errs = append(errs, b.docker.Close())
		b.err = errors.Join(errs...)
	})
	return b.err
}

func withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, startTimeout)
}

// Postgres is a PostgreSQL server in a container, with a database of ours.
type Postgres struct {
	*servers.Postgres // a client of the server: URL, CreateDatabase, PID

	box *box
}

// Redis is a Redis server in a container.
type Redis struct {
	*servers.Redis // a client of the server: URL, Addr, Namespace, PID

	box *box
}

var (
	_ servers.PostgresServer = (*Postgres)(nil)
	_ servers.RedisServer    = (*Redis)(nil)
)

func startPostgresContainer(ctx context.Context, o servers.PostgresOptions) (*Postgres, error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	port, err := servers.FreePort()
	if err != nil {
		return nil, err
	}
	settings := servers.TestSettings()
	maps.Copy(settings, o.Settings)
	var conf strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&conf, "%s = '%s'\n", name, strings.ReplaceAll(settings[name], "'", "''"))
	}
	const password = "pgaside" // reachable from this machine only, and gone with the test
	b, err := run(ctx, spec{
		image: image(EnvPostgresImage, "postgres:17"), user: "postgres", script: postgresScript,
		env:  map[string]string{"PGASIDE_PASSWORD": password, "PGASIDE_CONF": conf.String()},
		port: "5432/tcp", hostPort: port,
	})
	if err != nil {
		return nil, err
	}
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("pgaside", password),
		Host: "127.0.0.1:" + strconv.Itoa(port), Path: "/postgres", RawQuery: "sslmode=disable",
	}
	p := &Postgres{box: b}
	err = b.await(ctx, "PostgreSQL", func() error {
		var err error
		p.Postgres, err = servers.ConnectPostgres(ctx, u.String(), servers.PostgresOptions{})
		return err
	})
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return p, nil
}

// Crash kills the server and all its processes with SIGKILL. Committed data
// survive.
func (p *Postgres) Crash() error { return p.box.kill() }

// Restart starts the server again after Crash.
func (p *Postgres) Restart(ctx context.Context) error {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	state, err := p.box.ctr.State(ctx)
	if err != nil {
		return fmt.Errorf("looking at the container of PostgreSQL: %w", err)
	}
	if state.Running {
		timeout := stopTimeout / 2
		if err := p.box.ctr.Stop(ctx, &timeout); err != nil {
			return fmt.Errorf("stopping the container of PostgreSQL: %w", err)
		}
	}
	if err := p.box.start(ctx); err != nil {
		return err
	}
	return p.box.await(ctx, "PostgreSQL", func() error { return p.Ping(ctx) })
}

// Close removes the container.
func (p *Postgres) Close() error { return p.box.close() }

func startRedisContainer(ctx context.Context, o servers.RedisOptions) (*Redis, error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	port := o.Port
	if port == 0 {
		var err error
		if port, err = servers.FreePort(); err != nil {
			return nil, err
		}
	}
	b, err := run(ctx, spec{
		image: image(EnvRedisImage, "redis:8"), user: "nobody", script: redisScript, args: o.Args,
		port: "6379/tcp", hostPort: port,
	})
	if err != nil {
		return nil, err
	}
	r := &Redis{box: b}
	err = b.await(ctx, "Redis", func() error {
		// The engine accepts connections before the server does: no answer may
		// take long.
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		var err error
		r.Redis, err = servers.ConnectRedis(ctx, "redis://127.0.0.1:"+strconv.Itoa(port)+"/0")
		return err
	})
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return r, nil
}

// Kill ends the server with SIGKILL. Its contents are lost.
func (r *Redis) Kill() error { return r.box.kill() }

// Start starts the server again after Kill, empty.
func (r *Redis) Start(ctx context.Context) error {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	if err := r.box.start(ctx); err != nil {
		return err
	}
	return r.box.await(ctx, "Redis", func() error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		return r.Ping(ctx)
	})
}

// Freeze pauses the container: connections stay, nothing is answered.
func (r *Redis) Freeze() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if _, err := r.box.docker.ContainerPause(ctx, r.box.ctr.GetContainerID(), client.ContainerPauseOptions{}); err != nil {
		return fmt.Errorf("freezing the container of Redis: %w", err)
	}
	return nil
}

// Thaw lets a frozen server go on.
func (r *Redis) Thaw() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if _, err := r.box.docker.ContainerUnpause(ctx, r.box.ctr.GetContainerID(), client.ContainerUnpauseOptions{}); err != nil {
		return fmt.Errorf("thawing the container of Redis: %w", err)
	}
	return nil
}

// Close removes the container, frozen or not.
func (r *Redis) Close() error { return r.box.close() }
