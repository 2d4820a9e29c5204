package servers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ClusterOptions configures [StartCluster]. The zero value is three masters with
// one replica each.
type ClusterOptions struct {
	// Masters among which the slots are divided. With fewer than three no replica
	// can take over: the masters elect it, and most of them must be there.
	//
	// Defaults to 3.
	Masters int

	// Replicas of each master; less than 0 means none.
	//
	// Defaults to 1.
	Replicas int

	// NodeTimeout is for how long a server must be silent before the others take
	// it for dead.
	//
	// Defaults to 1 s.
	NodeTimeout time.Duration

	// Args are added to the command line of every server, as in [RedisOptions].
	// "--cluster-require-full-coverage", "yes" lets the whole cluster refuse
	// commands while a slot has no server; without it the others go on.
	Args []string
}

// Cluster is a Redis cluster. Its methods are safe for concurrent use, but for
// [Cluster.MoveSlot] of the same slot.
//
// [Redis.Kill], [Redis.Start], [Redis.Freeze] and [Redis.Thaw] work on each of
// its servers. A killed one keeps its name and comes back, empty, as a replica of
// the server that took over; one that is started again before the others have
// missed it (NodeTimeout) is still a master, and empty, and its replicas become
// empty like it.
type Cluster struct {
	nodes group
	ids   map[string]*Redis // by the name that the cluster gave them
}

// Slots is how many slots the keys of a cluster fall into.
const Slots = 16384

// busOffset is how far above its port a server talks to the others.
const busOffset = 10000

// StartCluster starts the servers and makes a cluster of them. It returns when
// all of them know each other, serve their slots and have their replicas in sync.
// Without a deadline in ctx it gives up after a minute.
//
// The servers end with Close, or with this process, however that ends. ctx bounds
// the start only.
func StartCluster(ctx context.Context, o ClusterOptions) (*Cluster, error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	if o.Masters == 0 {
		o.Masters = 3
	}
	if o.Replicas == 0 {
		o.Replicas = 1
	}
	if o.NodeTimeout == 0 {
		o.NodeTimeout = time.Second
	}
	c := &Cluster{ids: map[string]*Redis{}}
	if err := c.launch(ctx, o); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cluster) launch(ctx context.Context, o ClusterOptions) error {
	args := append([]string{
		"--cluster-enabled", "yes",
		"--cluster-config-file", "nodes.conf", // in its directory
		"--cluster-node-timeout", strconv.FormatInt(o.NodeTimeout.Milliseconds(), 10),
		"--cluster-announce-ip", "127.0.0.1",
		"--cluster-require-full-coverage", "no",
		"--repl-diskless-sync-delay", "0",
	}, o.Args...)
	for range o.Masters * (1 + max(o.Replicas, 0)) {
		r, err := launchRedis(ctx, redisLaunch{pick: freeBusPort, args: func(h *home, port int) ([]string, error) {
			return redisArgs(h.data(), port, args), nil
		}})
		if err != nil {
			return err
		}
		c.nodes = append(c.nodes, r)
		id, err := r.do(ctx, "CLUSTER", "MYID")
		if err != nil {
			return err
		}
		c.ids[fmt.Sprint(id)] = r
	}
	if err := c.divide(ctx, c.nodes[:o.Masters]); err != nil {
		return err
	}
	if err := c.meet(ctx); err != nil {
		return err
	}
	for i, r := range c.nodes[o.Masters:] {
		if err := r.replicate(ctx, c.id(c.nodes[i%o.Masters])); err != nil {
			return err
		}
	}
	return c.Settle(ctx)
}

// freeBusPort finds a port that is free together with the one above it. Neither
// is one of those that systems take for outgoing connections.
func freeBusPort() (int, error) {
	return freePort(maxPort-busOffset, func(port int) error {
		return errors.Join(portFree(port), portFree(port+busOffset))
	})
}

// divide gives each master its share of the slots, and an epoch of its own: equal
// ones would have to be sorted out first.
func (c *Cluster) divide(ctx context.Context, masters group) error {
	for i, r := range masters {
		command := []string{"CLUSTER", "ADDSLOTS"}
		for slot := i * Slots / len(masters); slot < (i+1)*Slots/len(masters); slot++ {
			command = append(command, strconv.Itoa(slot))
		}
		if _, err := r.do(ctx, command...); err != nil {
			return err
		}
		if _, err := r.do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1)); err != nil {
			return err
		}
	}
	return nil
}

// meet introduces all servers to the first one, and waits until it is known to
// each of them who the others are.
func (c *Cluster) meet(ctx context.Context) error {
	for _, r := range c.nodes[1:] {
		host, port, _ := strings.Cut(r.Addr(), ":")
		if _, err := c.nodes[0].do(ctx, "CLUSTER", "MEET", host, port); err != nil {
			return err
		}
	}
	return until(ctx, "the servers to meet", func(ctx context.Context) error {
		for _, r := range c.nodes {
			v, err := c.view(ctx, r)
			if err != nil {
				return err
			}
			if len(v.master) != len(c.nodes) {
				return fmt.Errorf("%s knows %d of %d servers", r.Addr(), len(v.master), len(c.nodes))
			}
		}
		return nil
	})
}

// replicate makes r a replica of the server with that id, which it may not have
// heard of yet.
func (r *Redis) replicate(ctx context.Context, master string) error {
	return until(ctx, "a replica", func(ctx context.Context) error {
		_, err := r.do(ctx, "CLUSTER", "REPLICATE", master)
		return err
	})
}

// id is the name that the cluster gave a server.
func (c *Cluster) id(r *Redis) string {
	for id, other := range c.ids {
		if other == r {
			return id
		}
	}
	return ""
}

// Addrs is host:port of each server.
func (c *Cluster) Addrs() []string { return c.nodes.addrs() }

// Nodes is the servers, whatever their roles. Those that began as masters come
// first.
func (c *Cluster) Nodes() []*Redis { return slices.Clone(c.nodes) }

// SlotOf is the slot of a key.
func (c *Cluster) SlotOf(ctx context.Context, key string) (int, error) {
	up := c.nodes.running()
	if len(up) == 0 {
		return 0, errors.New("no server of the cluster is running")
	}
	answer, err := up[0].do(ctx, "CLUSTER", "KEYSLOT", key)
	slot, _ := answer.(int64)
	return int(slot), err
}

// Close ends all the servers and removes their files. Closing twice is allowed.
func (c *Cluster) Close() error { return c.nodes.close() }
