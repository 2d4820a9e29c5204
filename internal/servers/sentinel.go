package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// SentinelOptions configures [StartSentinel]. The zero value is a master with two
// replicas, watched by three sentinels.
type SentinelOptions struct {
	// Replicas of the master.
	//
	// Defaults to 2.
	Replicas int

	// Sentinels that watch over them. More than half of them must run for a
	// failover.
	//
	// Defaults to 3.
	Sentinels int

	// Args are added to the command line of every data server, as in
	// [RedisOptions].
	Args []string

	// DownAfter is for how long a server must be silent before a sentinel takes
	// it for dead. With less than the default a live one may seem dead: a failover
	// cuts the sentinels' connections, and they take their time to connect again
	// (300 ms; before Redis 7 a second, so that 3 s are wanted there).
	//
	// Defaults to 1 s.
	DownAfter time.Duration
}

// Sentinel is a Redis master with replicas, and sentinels that put a replica in
// the place of a master that is gone. Its methods are safe for concurrent use.
//
// [Redis.Kill], [Redis.Start], [Redis.Freeze] and [Redis.Thaw] work on each of
// its servers. A replica that was killed comes back as a replica of the master
// that it knew last; a master comes back as a master, empty, until the sentinels
// make a replica of it.
//
// Nothing is saved to disk. So a master that is started again before the
// sentinels have missed it (DownAfter) is still the master, and empty, and its
// replicas become empty like it. That is what Redis warns of; wait for
// [Sentinel.Master] between Kill and Start to be safe from it.
type Sentinel struct {
	nodes     group // the first began as the master
	sentinels group
}

const (
	masterName   = "pgaside"
	redisConf    = "redis.conf" // of the servers that rewrite it
	failoverTime = 3 * time.Second
)

// StartSentinel starts the servers. It returns when the replicas are in sync and
// the sentinels know all of them and each other. Without a deadline in ctx it
// gives up after a minute.
//
// The servers end with Close, or with this process, however that ends. ctx bounds
// the start only.
func StartSentinel(ctx context.Context, o SentinelOptions) (*Sentinel, error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	if o.Replicas == 0 {
		o.Replicas = 2
	}
	if o.Sentinels == 0 {
		o.Sentinels = 3
	}
	if o.DownAfter == 0 {
		o.DownAfter = time.Second
	}
	s := &Sentinel{}
	if err := s.launch(ctx, o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Sentinel) launch(ctx context.Context, o SentinelOptions) error {
	for range 1 + o.Replicas {
		r, err := launchRedis(ctx, redisLaunch{args: func(h *home, port int) ([]string, error) {
			return replicatedArgs(h, port, o.Args)
		}})
		if err != nil {
			return err
		}
		s.nodes = append(s.nodes, r)
	}
	master := s.nodes[0]
	for _, r := range s.nodes[1:] {
		if err := r.follow(ctx, master); err != nil {
			return err
		}
	}
	for _, r := range s.nodes[1:] {
		if err := until(ctx, "a replica", func(ctx context.Context) error { return r.syncedWith(ctx, master) }); err != nil {
			return err
		}
	}
	conf := sentinelConf(master, o)
	for range o.Sentinels {
		r, err := launchRedis(ctx, redisLaunch{greet: hurry, args: func(h *home, port int) ([]string, error) {
			path, err := h.write("sentinel.conf", fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %q\n", port, h.data())+conf)
			return []string{path, "--sentinel"}, err
		}})
		if err != nil {
			return err
		}
		s.sentinels = append(s.sentinels, r)
	}
	return s.Settle(ctx)
}

// replicatedArgs is the command line of a server that keeps its place among
// others in a file, which it rewrites when a sentinel moves it.
func replicatedArgs(h *home, port int, more []string) ([]string, error) {
	path, err := h.write(redisConf, "")
	args := redisArgs(h.data(), port, append([]string{"--repl-diskless-sync-delay", "0"}, more...))
	return append([]string{path}, args...), err
}

// follow makes r a replica, for good.
func (r *Redis) follow(ctx context.Context, master *Redis) error {
	host, port, err := net.SplitHostPort(master.Addr())
	if err != nil {
		return err
	}
	for _, command := range [][]string{{"REPLICAOF", host, port}, {"CONFIG", "REWRITE"}} {
		if _, err := r.do(ctx, command...); err != nil {
			return fmt.Errorf("making a replica: %w", err)
		}
	}
	return nil
}

// sentinelConf is what all the sentinels are told. They write what they find out
// behind it.
func sentinelConf(master *Redis, o SentinelOptions) string {
	host, port, _ := net.SplitHostPort(master.Addr())
	return fmt.Sprintf(`sentinel monitor %[1]s %[2]s %[3]s %[4]d
sentinel down-after-milliseconds %[1]s %[5]d
sentinel failover-timeout %[1]s %[6]d
sentinel parallel-syncs %[1]s %[7]d
`, masterName, host, port, o.Sentinels/2+1, o.DownAfter.Milliseconds(), max(failoverTime, 4*o.DownAfter).Milliseconds(), max(o.Replicas, 1))
}

// hurry makes a sentinel talk more often than it does by itself, so that it finds
// the others in less than a second, notices soon that a connection was cut, and
// does not sit out 30 seconds after the machine was too busy for it. Replicas
// whose last INFO is older than five pings are not promoted, and in trouble it
// asks for one each second: so pings must not come much faster. Old servers can't
// be hurried, and take their time.
func hurry(c *respConn) {
	_, _ = c.do("SENTINEL", "DEBUG", "ping-period", "300", "publish-period", "200", "info-period", "500", "ask-period", "200", "tilt-period", "2000")
}

// Name is what the sentinels call the master.
func (s *Sentinel) Name() string { return masterName }

// Addrs is host:port of each sentinel.
func (s *Sentinel) Addrs() []string { return s.sentinels.addrs() }

// Nodes is the data servers, whatever their roles. The first one began as the
// master.
func (s *Sentinel) Nodes() []*Redis { return append([]*Redis(nil), s.nodes...) }

// Sentinels is the sentinels as servers, to kill and freeze.
func (s *Sentinel) Sentinels() []*Redis { return append([]*Redis(nil), s.sentinels...) }

// Master is the server that all running sentinels take for the master, as soon
// as they agree and it says so itself. After a kill that is the new one. Without
// a deadline in ctx it gives up after a minute.
func (s *Sentinel) Master(ctx context.Context) (master *Redis, err error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	err = until(ctx, "a master", func(ctx context.Context) error {
		master, err = s.master(ctx)
		return err
	})
	return master, err
}

// master is one look at who is it.
func (s *Sentinel) master(ctx context.Context) (*Redis, error) {
	up := s.sentinels.running()
	if len(up) == 0 {
		return nil, errors.New("no sentinel is running")
	}
	var master *Redis
	for _, sentinel := range up {
		named, err := s.named(ctx, sentinel)
		if err != nil {
			return nil, err
		}
		if master != nil && named != master {
			return nil, fmt.Errorf("the sentinels take both %s and %s for the master", master.Addr(), named.Addr())
		}
		master = named
	}
	role, _, err := master.role(ctx)
	if err == nil && role != "master" {
		err = fmt.Errorf("%s, which the sentinels take for the master, says that it is a %s", master.Addr(), role)
	}
	return master, err
}

// named is the server that one sentinel takes for the master.
func (s *Sentinel) named(ctx context.Context, sentinel *Redis) (*Redis, error) {
	answer, err := sentinel.do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", masterName)
	if err != nil {
		return nil, err
	}
	if pair, _ := answer.([]any); len(pair) == 2 {
		if r, ok := s.nodes.at(fmt.Sprintf("%v:%v", pair[0], pair[1])); ok {
			return r, nil
		}
	}
	return nil, fmt.Errorf("the sentinel %s names an unknown master: %v", sentinel.Addr(), answer)
}

// Failover orders the sentinels to replace the master, which keeps running, and
// returns the new one as soon as [Sentinel.Master] would. Without a deadline in
// ctx it gives up after a minute.
func (s *Sentinel) Failover(ctx context.Context) (*Redis, error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	old, err := s.Master(ctx)
	if err != nil {
		return nil, err
	}
	err = until(ctx, "a failover to begin", func(ctx context.Context) error {
		up := s.sentinels.running()
		if len(up) == 0 {
			return errors.New("no sentinel is running")
		}
		// It may be too early after the last one.
		_, err := up[0].do(ctx, "SENTINEL", "FAILOVER", masterName)
		return err
	})
	if err != nil {
		return nil, err
	}
	var now *Redis
	err = until(ctx, "another master", func(ctx context.Context) error {
		now, err = s.master(ctx)
		if err == nil && now == old {
			err = fmt.Errorf("%s is still the master", old.Addr())
		}
		return err
	})
	return now, err
}

// Settle waits until the running data servers are a master and replicas in sync
// with it, and the running sentinels know them and each other, so that the next
// failover can begin. Without a deadline in ctx it gives up after a minute.
func (s *Sentinel) Settle(ctx context.Context) error {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	return until(ctx, "the sentinels and their servers", s.settled)
}

func (s *Sentinel) settled(ctx context.Context) error {
	master, err := s.master(ctx)
	if err != nil {
		return err
	}
	var replicas group
	for _, r := range s.nodes.running() {
		if r == master {
			continue
		}
		if err := r.syncedWith(ctx, master); err != nil {
			return err
		}
		replicas = append(replicas, r)
	}
	for _, sentinel := range s.sentinels.running() {
		if err := s.knows(ctx, sentinel, replicas); err != nil {
			return err
		}
	}
	return nil
}

// knows returns an error unless a sentinel knows all other sentinels, and the
// replicas as such.
func (s *Sentinel) knows(ctx context.Context, sentinel *Redis, replicas group) error {
	answer, err := sentinel.do(ctx, "SENTINEL", "MASTER", masterName)
	if err != nil {
		return err
	}
	if m := pairs(answer); m["flags"] != "master" || m["num-other-sentinels"] != strconv.Itoa(len(s.sentinels)-1) {
		return fmt.Errorf("the sentinel %s knows of %s other sentinels, and of the master: %s", sentinel.Addr(), m["num-other-sentinels"], m["flags"])
	}
	if answer, err = sentinel.do(ctx, "SENTINEL", "SLAVES", masterName); err != nil {
		return err
	}
	known := map[string]bool{}
	list, _ := answer.([]any)
	for _, entry := range list {
		m := pairs(entry)
		known[m["ip"]+":"+m["port"]] = m["flags"] == "slave" && strings.HasPrefix(m["master-link-status"], "ok")
	}
	for _, r := range replicas {
		if !known[r.Addr()] {
			return fmt.Errorf("the sentinel %s does not know the replica %s", sentinel.Addr(), r.Addr())
		}
	}
	return nil
}

// pairs reads the names and values that sentinels answer with.
func pairs(answer any) map[string]string {
	list, _ := answer.([]any)
	m := map[string]string{}
	for i := 0; i+1 < len(list); i += 2 {
		m[fmt.Sprint(list[i])] = fmt.Sprint(list[i+1])
	}
	return m
}

// Close ends all the servers and removes their files. Closing twice is allowed.
func (s *Sentinel) Close() error {
	return errors.Join(s.sentinels.close(), s.nodes.close())
}
