package faults

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// proxy carries TCP connections between one worker and one server, as badly as its rules say. A direction that is held up
// delivers in the end, as a network does that comes back; what is late arrives on a connection that its sender has given up.
type proxy struct {
	listener net.Listener
	target   string
	rules    atomic.Pointer[rules]
	late     atomic.Int64 // messages that were delivered late

	mu     sync.Mutex
	conns  map[*carried]bool
	closed bool
	wg     sync.WaitGroup
}

// rules say what a proxy does to what it carries. The zero value is a good network.
type rules struct {
	refuse           bool          // new connections are closed at once
	holdUp, holdDown bool          // nothing passes to the server, to the client, until the rules change
	delay            time.Duration // each message is late by up to this, both ways
	late             int           // one of so many messages to the server arrives lateBy later, when its sender has given up; 0: none
	lateBy           time.Duration
	breakOn          []byte // the connection is broken when this has been sent to the server, before it is answered
}

// carried is one connection.
type carried struct {
	client, server net.Conn
	broken         atomic.Bool
	mute           atomic.Bool // the client hears nothing more
}

func (c *carried) cut() {
	c.broken.Store(true)
	_ = c.client.Close()
	_ = c.server.Close()
}

func newProxy(target string) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for a proxy: %w", err)
	}
	p := &proxy{listener: l, target: target, conns: make(map[*carried]bool)}
	p.rules.Store(&rules{})
	p.wg.Go(p.accept)
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) set(r rules) { p.rules.Store(&r) }

// cut breaks all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.cut()
	}
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.set(rules{})
	p.cut()
	p.wg.Wait()
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		if p.rules.Load().refuse {
			_ = client.Close()
			continue
		}
		p.wg.Go(func() { p.carry(client) })
	}
}

func (p *proxy) carry(client net.Conn) {
	server, err := net.DialTimeout("tcp", p.target, time.Second)
	if err != nil {
		_ = client.Close()
		return
	}
	c := &carried{client: client, server: server}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		c.cut()
		return
	}
	p.conns[c] = true
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.pump(c, client, server, true) })
	both.Go(func() { p.pump(c, server, client, false) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

// pump carries one direction.
func (p *proxy) pump(c *carried, from, to net.Conn, up bool) {
	defer func() {
		if !c.broken.Load() {
			c.cut()
		}
	}()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if n > 0 {
			r := p.rules.Load()
			for (r.holdUp && up || r.holdDown && !up) && !c.broken.Load() {
				time.Sleep(time.Millisecond)
				r = p.rules.Load()
			}
			if r.delay > 0 {
				time.Sleep(rand.N(r.delay))
			}
			if up && r.late > 0 && rand.IntN(r.late) == 0 {
				p.deliverLate(c, bytes.Clone(b[:n]), r.lateBy)
				return
			}
			breaks := up && len(r.breakOn) > 0 && bytes.Contains(bytes.ToLower(b[:n]), r.breakOn) && rand.IntN(2) == 0
			if breaks {
				c.mute.Store(true)
			}
			if !up && c.mute.Load() {
				continue
			}
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
			if breaks {
				time.Sleep(rand.N(2 * time.Millisecond)) // executed or not, the client does not learn it
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// deliverLate takes the client away from a connection, and sends the server what it had asked for when it has long asked
// again by another one.
func (p *proxy) deliverLate(c *carried, message []byte, by time.Duration) {
	c.broken.Store(true)
	_ = c.client.Close()
	p.wg.Go(func() {
		defer c.server.Close()
		time.Sleep(by/4 + rand.N(by))
		if _, err := c.server.Write(message); err == nil {
			p.late.Add(1)
			_ = c.server.SetReadDeadline(time.Now().Add(time.Second))
			_, _ = c.server.Read(make([]byte, 1<<10)) // it was executed
		}
	})
}
