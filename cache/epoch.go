package cache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// An epoch is a random stamp: one for each group, and one for all. Every cell carries a digest of the two that its process
// knew before it asked for the lease; a cell with another digest is a miss. Changing a stamp therefore voids a whole group
// without touching its keys.
//
// A stamp is a random number, and changes by a random step. It is not counted, since a counter that is evicted would start
// again and revive old cells; and a change adds to it, since an overwritten one would come back with a late duplicate of the
// command that once set it. A process trusts
// what it knows of them for epochFresh, and up to epochMax while somebody is already asking: that is the bound on how long
// InvalidateGroup takes to be seen in other processes.
const (
	epochFresh = time.Second
	epochMax   = 2 * time.Second
)

type epochState struct {
	known  atomic.Pointer[knownEpoch]
	asking atomic.Bool

	mu  sync.Mutex
	gen uint64 // grows with every change that this process makes: an answer that was asked for before is not believed
}

type knownEpoch struct {
	stamp  uint32
	global string
	at     time.Time // from before the stamps were asked for
}

func (c *Cache) epochKeys(g *groupState) []string {
	return []string{c.opts.Namespace + ":{~epoch}", c.opts.Namespace + ":{~epoch:" + g.name + "}"}
}

// epochRead is one look at the stamps of a group.
type epochRead struct {
	stamp  uint32
	keys   []string // to be read along with the cell; nil when stamp can be trusted
	at     time.Time
	gen    uint64
	asking bool
}

// epoch returns the stamp of a group, or the keys to read because it is unknown or too old.
func (c *Cache) epoch(g *groupState) epochRead {
	now := c.opts.Clock.Now()
	known := g.epoch.known.Load()
	if known != nil {
		age := now.Sub(known.at)
		if age < epochFresh {
			return epochRead{stamp: known.stamp}
		}
		if age < epochMax && !g.epoch.asking.CompareAndSwap(false, true) {
			return epochRead{stamp: known.stamp}
		}
	}
	g.epoch.mu.Lock()
	defer g.epoch.mu.Unlock()
	return epochRead{keys: c.epochKeys(g), at: now, gen: g.epoch.gen, asking: true}
}

// learn takes in the answer to an epochRead with keys. A missing stamp is minted.
func (c *Cache) learn(ctx context.Context, g *groupState, r *epochRead, values []string, err error) error {
	defer g.epoch.asking.Store(false)
	if err != nil {
		return err
	}
	if values[0] == "" || values[1] == "" {
		if values, err = c.store.Mint(ctx, r.keys, newStamp()); err != nil {
			return err
		}
	}
	r.stamp = stampOf(values)
	g.epoch.mu.Lock()
	defer g.epoch.mu.Unlock()
	if g.epoch.gen == r.gen {
		g.epoch.known.Store(&knownEpoch{stamp: r.stamp, global: values[0], at: r.at})
	}
	return nil
}

// stampOf digests the stamps of all groups and of one.
func stampOf(values []string) uint32 { return hash32(values[0] + "|" + values[1]) }

// ensureEpoch returns the stamp of a group, asking Redis when it must.
func (c *Cache) ensureEpoch(ctx context.Context, g *groupState) (uint32, error) {
	r := c.epoch(g)
	if r.keys == nil {
		return r.stamp, nil
	}
	values, err := c.store.Mint(ctx, r.keys, newStamp())
	if err := c.learn(ctx, g, &r, values, err); err != nil {
		return 0, err
	}
	return r.stamp, nil
}

// newStamp leaves room for 2³⁰ bumps below the largest number that Redis adds up to.
func newStamp() string { return strconv.FormatInt(1+rand.Int64N(1<<62), 10) }

// bump voids a whole group.
func (c *Cache) bump(ctx context.Context, g *groupState) error {
	if err := c.store.Bump(ctx, c.epochKeys(g)[1], 1+rand.Int64N(1<<32)); err != nil {
		return fmt.Errorf("cache: changing the epoch of group %s: %w", g.name, err)
	}
	g.forgetEpoch()
	c.near.flush()
	if channel := g.channel(c); channel != "" {
		if err := c.store.Publish(ctx, channel, nearGroup+g.name); err != nil {
			c.failed("telling other processes of a voided group", err) // their copies end by their age
		}
	}
	return nil
}

// forgetEpoch makes the next read ask, and an answer that is on its way not count.
func (g *groupState) forgetEpoch() {
	g.epoch.mu.Lock()
	defer g.epoch.mu.Unlock()
	g.epoch.gen++
	g.epoch.known.Store(nil)
}

func (c *Cache) forgetEpoch(group string) {
	c.mu.Lock()
	g := c.byName[group]
	c.mu.Unlock()
	if g != nil {
		g.forgetEpoch()
	}
}
