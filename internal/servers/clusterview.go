package servers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// clusterView is how a server, or all of them, sees the cluster. Servers are
// called by their ids.
type clusterView struct {
	owner  [Slots]string     // "": nobody
	master map[string]string // of each server; "" of a master
	failed map[string]bool   // taken for dead, or suspected to be
}

// view asks one server how it sees the cluster.
func (c *Cluster) view(ctx context.Context, r *Redis) (*clusterView, error) {
	answer, err := r.do(ctx, "CLUSTER", "NODES")
	if err != nil {
		return nil, err
	}
	text, _ := answer.(string)
	return parseClusterNodes(text)
}

// parseClusterNodes reads the answer to CLUSTER NODES: a line for each server,
// with id, address, flags, master, three numbers, the link's state, and the slots.
func parseClusterNodes(text string) (*clusterView, error) {
	v := &clusterView{master: map[string]string{}, failed: map[string]bool{}}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 8 {
			return nil, fmt.Errorf("CLUSTER NODES: unexpected line %q", line)
		}
		id, flags, master := fields[0], strings.Split(fields[2], ","), strings.TrimPrefix(fields[3], "-")
		if slices.Contains(flags, "handshake") {
			continue // its id is not yet known
		}
		v.master[id] = master
		v.failed[id] = slices.Contains(flags, "fail") || slices.Contains(flags, "fail?")
		for _, slots := range fields[8:] {
			if strings.HasPrefix(slots, "[") {
				continue // a slot on the move is still its owner's
			}
			first, last, isRange := strings.Cut(slots, "-")
			if !isRange {
				last = first
			}
			from, err1 := strconv.Atoi(first)
			to, err2 := strconv.Atoi(last)
			if err := errors.Join(err1, err2); err != nil || from < 0 || to >= Slots {
				return nil, fmt.Errorf("CLUSTER NODES: unexpected slots %q", slots)
			}
			for slot := from; slot <= to; slot++ {
				v.owner[slot] = id
			}
		}
	}
	return v, nil
}

// agreed is how all running servers see the cluster; an error if they don't see
// it alike, or take one of them for dead.
func (c *Cluster) agreed(ctx context.Context) (*clusterView, error) {
	up := c.nodes.running()
	if len(up) == 0 {
		return nil, errors.New("no server of the cluster is running")
	}
	var all *clusterView
	for _, r := range up {
		v, err := c.view(ctx, r)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = v
		}
		for _, other := range up {
			id := c.id(other)
			master, known := v.master[id]
			if !known || v.failed[id] || master != all.master[id] {
				return nil, fmt.Errorf("%s sees %s otherwise than the other servers", r.Addr(), other.Addr())
			}
		}
		if v.owner != all.owner {
			return nil, fmt.Errorf("%s sees other owners of the slots than %s", r.Addr(), up[0].Addr())
		}
	}
	return all, nil
}

// ownerIn is the running server that owns a slot.
func (c *Cluster) ownerIn(v *clusterView, slot int) (*Redis, error) {
	if slot < 0 || slot >= Slots {
		return nil, fmt.Errorf("there is no slot %d", slot)
	}
	r, ok := c.ids[v.owner[slot]]
	if !ok {
		return nil, fmt.Errorf("nobody owns slot %d", slot)
	}
	if !r.running() {
		return nil, fmt.Errorf("slot %d is owned by %s, which does not run", slot, r.Addr())
	}
	return r, nil
}

// mastersIn is the owners of all slots.
func (c *Cluster) mastersIn(v *clusterView) ([]*Redis, error) {
	owners := map[*Redis]bool{}
	for slot := range v.owner {
		r, err := c.ownerIn(v, slot)
		if err != nil {
			return nil, err
		}
		owners[r] = true
	}
	return slices.DeleteFunc(c.Nodes(), func(r *Redis) bool { return !owners[r] }), nil
}

// replicasIn is the running replicas of a master.
func (c *Cluster) replicasIn(v *clusterView, master *Redis) []*Redis {
	return slices.DeleteFunc(c.Nodes(), func(r *Redis) bool { return v.master[c.id(r)] != c.id(master) || !r.running() })
}

// look waits until the running servers agree, and see says that it likes what
// they see.
func (c *Cluster) look(ctx context.Context, what string, see func(*clusterView) error) error {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	return until(ctx, what, func(ctx context.Context) error {
		v, err := c.agreed(ctx)
		if err != nil {
			return err
		}
		return see(v)
	})
}

// Masters is the servers that own slots, as soon as all running servers agree on
// it and each owner is running. After a kill it waits until the replica has taken
// over; if there is none it fails at the deadline of ctx (without one, after a
// minute).
func (c *Cluster) Masters(ctx context.Context) (masters []*Redis, err error) {
	err = c.look(ctx, "the masters", func(v *clusterView) (err error) {
		masters, err = c.mastersIn(v)
		return err
	})
	return masters, err
}

// ReplicasOf is the running replicas of a master, as soon as all running servers
// agree on them. Without a deadline in ctx it gives up after a minute.
func (c *Cluster) ReplicasOf(ctx context.Context, master *Redis) (replicas []*Redis, err error) {
	err = c.look(ctx, "the replicas", func(v *clusterView) error {
		replicas = c.replicasIn(v, master)
		return nil
	})
	return replicas, err
}

// Owner is the server that owns a slot, as soon as all running servers agree on
// it and it is running. It waits as [Cluster.Masters] does.
func (c *Cluster) Owner(ctx context.Context, slot int) (owner *Redis, err error) {
	if slot < 0 || slot >= Slots {
		return nil, fmt.Errorf("there is no slot %d", slot)
	}
	err = c.look(ctx, "the owner of slot "+strconv.Itoa(slot), func(v *clusterView) (err error) {
		owner, err = c.ownerIn(v, slot)
		return err
	})
	return owner, err
}

// Settle waits until all slots have a running owner, all running servers agree
// and serve the cluster, and their replicas are in sync, so that the next
// failover can begin. It waits as [Cluster.Masters] does.
func (c *Cluster) Settle(ctx context.Context) error {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	return c.look(ctx, "the cluster", func(v *clusterView) error {
		masters, err := c.mastersIn(v)
		if err != nil {
			return err
		}
		for _, master := range masters {
			for _, r := range c.replicasIn(v, master) {
				if err := r.syncedWith(ctx, master); err != nil {
					return err
				}
			}
		}
		for _, r := range c.nodes.running() {
			info, err := r.do(ctx, "CLUSTER", "INFO")
			if err != nil {
				return err
			}
			if text, _ := info.(string); !strings.Contains(text, "cluster_state:ok\r\n") {
				return fmt.Errorf("%s does not yet serve the cluster", r.Addr())
			}
		}
		return nil
	})
}
