package cache

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// pending holds what Redis has not been told: keys whose fence or invalidation failed, and groups whose epoch could not be
// changed. This process reads them from the source. They are wiped when Redis is reached again, but never before the outcome
// of their write is known.
type pending struct {
	c *Cache
	n atomic.Int64 // entries: the read path looks no further when it is 0

	mu       sync.Mutex
	keys     map[Key]*pendingEntry
	groups   map[*groupState]*pendingEntry
	draining bool

	failedGroup string // the first whose epoch could not be changed in the last round; used by drain alone
}

type pendingEntry struct {
	holds  int      // writes whose outcome is open
	gen    int      // grows with every change, so that a wipe that was overtaken does not count
	failed bool     // an invalidation was not acknowledged
	tokens []string // fences that may have been put on the key
}

const (
	drainBatch = 256
	drainFirst = 50 * time.Millisecond
	drainMost  = 200 * time.Millisecond
)

func newPending(c *Cache) *pending {
	return &pending{c: c, keys: make(map[Key]*pendingEntry), groups: make(map[*groupState]*pendingEntry)}
}

func (p *pending) len() int { return int(p.n.Load()) }

func (p *pending) has(k Key, g *groupState) bool {
	if p.n.Load() == 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys[k] != nil || p.groups[g] != nil
}

// hold adds keys whose write is still open; a release must follow.
func (p *pending) hold(keys []Key, token string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range keys {
		e := p.keys[k]
		if e == nil {
			e = &pendingEntry{}
			p.keys[k] = e
			p.n.Add(1)
		}
		e.holds++
		e.gen++
		if token != "" {
			e.tokens = append(e.tokens, token)
		}
	}
}

// release ends a hold without an invalidation: the outcome of the write is known, and the keys have to be wiped.
func (p *pending) release(keys []Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range keys {
		if e := p.keys[k]; e != nil {
			e.holds--
			e.gen++
			e.failed = true
		}
	}
	p.startDraining()
}

func (p *pending) holdGroup(g *groupState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.groups[g]
	if e == nil {
		e = &pendingEntry{}
		p.groups[g] = e
		p.n.Add(1)
	}
	e.holds++
	e.gen++
}

func (p *pending) releaseGroup(g *groupState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.groups[g]; e != nil {
		e.holds--
		e.gen++
		e.failed = true
	}
	p.startDraining()
}

// startDraining starts the drain unless it runs, or there is nothing for it to do. The caller holds p.mu.
func (p *pending) startDraining() {
	if p.draining || len(p.keys)+len(p.groups) == 0 || p.c.closed.Load() {
		return
	}
	p.draining = true
	go func() { // not under p.mu: goBackground takes the cache's lock
		if !p.c.goBackground(p.drain) {
			p.mu.Lock()
			p.draining = false
			p.mu.Unlock()
		}
	}()
}

// drain wipes what can be wiped until nothing is left that can.
func (p *pending) drain() {
	wait := drainFirst
	for {
		keys, gens, reqs, groups, ggens := p.ready()
		if len(keys) == 0 && len(groups) == 0 {
			return // ready has cleared p.draining
		}
		ctx, cancel := context.WithTimeout(p.c.ctx, p.c.opts.FenceBudget)
		err := p.wipe(ctx, keys, gens, reqs)
		cancel()
		// Of their own time: keys of a node that does not answer would use up what there is. So would a group of one, which is
		// why the next round begins behind it.
		ctx, cancel = context.WithTimeout(p.c.ctx, p.c.opts.FenceBudget)
		failedGroup := ""
		for i, g := range groups {
			if bumpErr := p.c.bump(ctx, g); bumpErr != nil {
				err = bumpErr
				if failedGroup == "" {
					failedGroup = g.name
				}
				continue
			}
			p.mu.Lock()
			if e := p.groups[g]; e != nil && e.gen == ggens[i] {
				delete(p.groups, g)
				p.n.Add(-1)
			}
			p.mu.Unlock()
		}
		cancel()
		p.failedGroup = failedGroup
		if err == nil {
			wait = drainFirst
			continue
		}
		p.c.failed("wiping pending keys", err)
		if p.c.opts.Clock.Sleep(p.c.ctx, wait) != nil {
			return
		}
		wait = min(2*wait, drainMost)
	}
}

// ready collects a batch of what may be wiped. When there is none it also ends the draining, under the same lock, so that a
// release that comes later starts it again.
func (p *pending) ready() (keys []Key, gens []int, reqs [][]WipeRequest, groups []*groupState, ggens []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, e := range p.keys {
		if e.holds > 0 {
			continue
		}
		wipe := p.c.wipeRequest(k)
		wipes := []WipeRequest{wipe}
		for _, t := range e.tokens {
			wipe.Remove = t
			wipes = append(wipes, wipe)
		}
		keys, gens, reqs = append(keys, k), append(gens, e.gen), append(reqs, wipes)
		if len(keys) == drainBatch {
			break
		}
	}
	for g, e := range p.groups {
		if e.holds == 0 {
			groups = append(groups, g)
		}
	}
	slices.SortFunc(groups, func(a, b *groupState) int { // the same each time
		if aLater, bLater := a.name > p.failedGroup, b.name > p.failedGroup; aLater != bLater {
			if aLater {
				return -1
			}
			return 1
		}
		return strings.Compare(a.name, b.name)
	})
	for _, g := range groups {
		ggens = append(ggens, p.groups[g].gen)
	}
	if len(keys) == 0 && len(groups) == 0 {
		p.draining = false
	}
	return keys, gens, reqs, groups, ggens
}

func (p *pending) wipe(ctx context.Context, keys []Key, gens []int, reqs [][]WipeRequest) error {
	if len(keys) == 0 {
		return nil
	}
	var flat []WipeRequest
	for _, r := range reqs {
		flat = append(flat, r...)
	}
	replies := p.c.wipeStore(ctx, flat, 0)
	var firstErr error
	p.mu.Lock()
	defer p.mu.Unlock()
	at := 0
	for i, k := range keys {
		var err error
		for range reqs[i] {
			if err == nil {
				err = replies[at].Err
			}
			at++
		}
		if err != nil {
			if firstErr == nil {
				firstErr = err
			}
			continue
		}
		if e := p.keys[k]; e != nil && e.gen == gens[i] {
			delete(p.keys, k)
			p.n.Add(-1)
		}
	}
	if firstErr == nil {
		p.c.writes.recovered()
	}
	return firstErr
}

// wipeRequest voids a key.
func (c *Cache) wipeRequest(k Key) WipeRequest {
	g := c.group(k.group)
	return WipeRequest{Key: k.redis(g.prefix), Publish: g.channel(c)}
}

// drop ends a hold whose invalidation has been acknowledged. An entry that nothing else holds is gone without a wipe, unless
// an earlier failure left it to be drained.
func (p *pending) drop(keys []Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range keys {
		e := p.keys[k]
		if e == nil {
			continue
		}
		e.holds--
		e.gen++
		if e.holds == 0 && len(e.tokens) == 0 && !e.failed {
			delete(p.keys, k)
			p.n.Add(-1)
		}
	}
	p.startDraining()
}

func (p *pending) dropGroup(g *groupState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.groups[g]; e != nil {
		e.holds--
		e.gen++
		if e.holds == 0 && !e.failed {
			delete(p.groups, g)
			p.n.Add(-1)
		}
	}
	p.startDraining()
}
