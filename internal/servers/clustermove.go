package servers

import (
	"context"
	"fmt"
	"net"
	"strconv"
)

// MoveSlot moves a slot with its keys to another master while clients go on, as a
// resharding does, and returns when all running servers know.
//
// The keys move one at a time. step, which may be nil, is called before each and
// once more after the last, before the slot changes hands: for as long as it
// doesn't return, the slot stays half-way, and clients are sent to the new server
// with ASK for the keys that the old one no longer has.
//
// After an error the slot may be half-way; another MoveSlot to the same server
// goes on from there.
func (c *Cluster) MoveSlot(ctx context.Context, slot int, to *Redis, step func()) error {
	from, err := c.Owner(ctx, slot)
	if err != nil || from == to {
		return err
	}
	if err := c.moveSlot(ctx, strconv.Itoa(slot), from, to, step); err != nil {
		return fmt.Errorf("moving slot %d from %s to %s: %w", slot, from.Addr(), to.Addr(), err)
	}
	return c.look(ctx, "the move of slot "+strconv.Itoa(slot), func(v *clusterView) error {
		if owner, err := c.ownerIn(v, slot); err != nil || owner == to {
			return err
		}
		return fmt.Errorf("%s still owns it", from.Addr())
	})
}

func (c *Cluster) moveSlot(ctx context.Context, slot string, from, to *Redis, step func()) error {
	// The new one first: it would send away those that the old one sends.
	if _, err := to.do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", c.id(from)); err != nil {
		return err
	}
	if _, err := from.do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", c.id(to)); err != nil {
		return err
	}
	for more := true; more; {
		if step != nil {
			step()
		}
		var err error
		if more, err = moveKey(ctx, slot, from, to); err != nil {
			return err
		}
	}
	return c.handOver(ctx, slot, from, to)
}

// moveKey moves one key of a slot; false if there is none left.
func moveKey(ctx context.Context, slot string, from, to *Redis) (bool, error) {
	answer, err := from.do(ctx, "CLUSTER", "GETKEYSINSLOT", slot, "1")
	if err != nil {
		return false, err
	}
	keys, _ := answer.([]any)
	if len(keys) == 0 {
		return false, nil
	}
	host, port, err := net.SplitHostPort(to.Addr())
	if err != nil {
		return false, err
	}
	// REPLACE: after a move that broke off the key may be in both, and it is the
	// old one that clients have used.
	_, err = from.do(ctx, "MIGRATE", host, port, fmt.Sprint(keys[0]), "0", strconv.FormatInt(commandTimeout.Milliseconds(), 10), "REPLACE")
	return true, err
}

// handOver tells all masters who owns the slot now, the new one first, or nobody
// would for a moment. Replicas hear it from them.
func (c *Cluster) handOver(ctx context.Context, slot string, from, to *Redis) error {
	v, err := c.agreed(ctx)
	if err != nil {
		v = &clusterView{} // the two that matter suffice
	}
	told := group{to, from}
	for _, r := range c.nodes.running() {
		if master, known := v.master[c.id(r)]; known && master == "" && r != to && r != from {
			told = append(told, r)
		}
	}
	for _, r := range told {
		if _, err := r.do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", c.id(to)); err != nil {
			return err
		}
	}
	return nil
}
