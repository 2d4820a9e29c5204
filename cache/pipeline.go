package cache

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// maxSingles is how many commands are under way to a node one by one before those that follow travel together.
	maxSingles = 4

	// maxPipelines is how many pipelines are under way to a node at once. On a fast link there is one.
	maxPipelines = 4

	// maxBatch bounds the commands of a pipeline, and so what one large cell can hold up.
	maxBatch = 128

	// pipelineOverdue is how long nothing must have left before one more pipeline leaves beside those that are under way: they
	// may carry a large cell, have a dead connection, or a slow link.
	pipelineOverdue = time.Millisecond
)

// pipeliner sends the reads of concurrent callers together. The first few callers at a time send their commands themselves, as
// if there were no pipeliner; when there are more, they wait for the pipeline that leaves as soon as what is under way has come
// back. So nobody waits for a timer, and the more callers there are the fewer round trips each of them costs.
//
// A read is not shared: each caller has a command of its own, which is written after the caller has asked, since a pipeline
// takes nobody in once it has left. An answer that was on the wire before might be older than a write that has returned since.
//
// A caller leaves when its own context ends, whatever becomes of the pipeline. The pipeline is nobody's: it goes on until the
// last of its callers' deadlines.
//
// go-redis' AutoPipeline does not do: it is experimental, a caller of its blocking face cannot leave, a lone one pays three times
// a GET on either face, and in a cluster its batches mix the nodes. With 16 to 256 callers it is no faster than this.
type pipeliner struct {
	rdb     redis.UniversalClient
	cluster *redis.ClusterClient // nil without one
	overdue time.Duration        // pipelineOverdue, but for tests

	mu     sync.Mutex
	nodes  map[*redis.Client]*traffic // only what is not idle; without a cluster the key is nil
	idle   sync.Cond                  // nodes has become empty
	closed bool
}

// traffic is what is under way to a node, and who waits. In a cluster each node has its own, so that one that hangs holds up
// nobody who asks another. While somebody waits, something is under way.
type traffic struct {
	node      *redis.Client
	singles   int
	pipelines int
	left      time.Time   // when the last of them left
	waiting   []*pipeline // all full but the last
}

// pipeline collects commands until it leaves.
type pipeline struct {
	ctxs []context.Context // of the callers
	cmds []redis.Cmder
	done chan struct{} // closed when each command has its answer
}

func newPipeliner(rdb redis.UniversalClient) *pipeliner {
	p := &pipeliner{rdb: rdb, overdue: pipelineOverdue, nodes: make(map[*redis.Client]*traffic)}
	p.cluster, _ = rdb.(*redis.ClusterClient)
	p.idle.L = &p.mu
	return p
}

// do executes commands that belong to one read of a key; each then carries its own error. The error that do returns says that
// the commands must not be looked at: ctx has ended first, or the key's node is unknown.
func (p *pipeliner) do(ctx context.Context, key string, cmds ...redis.Cmder) error {
	var node *redis.Client
	if p.cluster != nil {
		if len(cmds) > 1 { // about keys of other nodes too, which may hang
			p.exec(ctx, cmds)
			return nil
		}
		var err error
		if node, err = p.cluster.MasterForKey(ctx, key); err != nil {
			return err
		}
	}
	now := time.Now()
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		p.exec(ctx, cmds)
		return nil
	}
	t := p.nodes[node]
	if t == nil {
		t = &traffic{node: node}
		p.nodes[node] = t
	}
	if t.pipelines == 0 && len(t.waiting) == 0 && t.singles < maxSingles {
		t.singles++
		t.left = now
		p.mu.Unlock()
		defer p.singleDone(t)
		p.exec(ctx, cmds)
		return nil
	}
	pipe := t.join(ctx, cmds)
	if t.pipelines < maxPipelines && now.Sub(t.left) > p.overdue {
		p.start(t)
	}
	p.mu.Unlock()
	select {
	case <-pipe.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// exec executes commands in one round trip, and leaves their errors to them.
func (p *pipeliner) exec(ctx context.Context, cmds []redis.Cmder) {
	if len(cmds) == 1 {
		_ = p.rdb.Process(ctx, cmds[0])
		return
	}
	pipe := p.rdb.Pipeline()
	for _, cmd := range cmds {
		_ = pipe.Process(ctx, cmd)
	}
	_, _ = pipe.Exec(ctx)
}

func (t *traffic) join(ctx context.Context, cmds []redis.Cmder) *pipeline {
	if n := len(t.waiting); n == 0 || len(t.waiting[n-1].cmds) >= maxBatch {
		t.waiting = append(t.waiting, &pipeline{done: make(chan struct{})})
	}
	pipe := t.waiting[len(t.waiting)-1]
	for _, cmd := range cmds {
		pipe.ctxs = append(pipe.ctxs, ctx)
		pipe.cmds = append(pipe.cmds, cmd)
	}
	return pipe
}

func (p *pipeliner) singleDone(t *traffic) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t.singles--
	if len(t.waiting) > 0 && t.pipelines == 0 {
		p.start(t)
	}
	p.settle(t)
}

// start sends pipelines until nobody waits. It is called with mu held.
func (p *pipeliner) start(t *traffic) {
	t.pipelines++
	pipe := t.next()
	go func() {
		for pipe != nil {
			p.send(pipe)
			runtime.Gosched() // those who have their answers ask again first, and travel together
			p.mu.Lock()
			if pipe = t.next(); pipe == nil {
				t.pipelines--
				p.settle(t)
			}
			p.mu.Unlock()
		}
	}()
}

// next takes the pipeline that has waited longest; nil if there is none.
func (t *traffic) next() *pipeline {
	if len(t.waiting) == 0 {
		return nil
	}
	pipe := t.waiting[0]
	t.waiting[0] = nil
	t.waiting = t.waiting[1:]
	t.left = time.Now()
	return pipe
}

// settle forgets a node to which nothing is under way.
func (p *pipeliner) settle(t *traffic) {
	if t.singles+t.pipelines > 0 {
		return
	}
	delete(p.nodes, t.node)
	if len(p.nodes) == 0 {
		p.idle.Broadcast()
	}
}

// send executes the commands of those who still wait.
func (p *pipeliner) send(pipe *pipeline) {
	defer close(pipe.done)
	live := make([]redis.Cmder, 0, len(pipe.cmds))
	var last time.Time
	limited := true
	for i, ctx := range pipe.ctxs {
		if err := ctx.Err(); err != nil {
			pipe.cmds[i].SetErr(err) // for a caller who sees the end of the pipeline first
			continue
		}
		deadline, ok := ctx.Deadline()
		limited = limited && ok
		if deadline.After(last) {
			last = deadline
		}
		live = append(live, pipe.cmds[i])
	}
	if len(live) == 0 {
		return
	}
	ctx := context.Background()
	if limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, last)
		defer cancel()
	}
	p.exec(ctx, live)
}

// close waits until nothing is under way. What comes after it is sent by itself.
func (p *pipeliner) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for len(p.nodes) > 0 {
		p.idle.Wait()
	}
}
