package faults

import (
	"bufio"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// echo is a server that answers each line with itself, and keeps what it has heard.
type echo struct {
	listener net.Listener
	mu       sync.Mutex
	heard    []string
}

func newEcho(t *testing.T) *echo {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	e := &echo{listener: l}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for s := bufio.NewScanner(c); s.Scan(); {
					e.mu.Lock()
					e.heard = append(e.heard, s.Text())
					e.mu.Unlock()
					_, _ = io.WriteString(c, s.Text()+"\n")
				}
			}()
		}
	}()
	return e
}

func (e *echo) has(line string) func() bool {
	return func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, h := range e.heard {
			if h == line {
				return true
			}
		}
		return false
	}
}

func TestProxy(t *testing.T) {
	t.Parallel()
	e := newEcho(t)
	p, err := newProxy(e.listener.Addr().String())
	require.NoError(t, err)
	defer p.close()
	dial := func() (net.Conn, *bufio.Reader) {
		c, err := net.Dial("tcp", p.addr())
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c, bufio.NewReader(c)
	}
	ask := func(c net.Conn, r *bufio.Reader, line string) error {
		if _, err := io.WriteString(c, line+"\n"); err != nil {
			return err
		}
		_, err := r.ReadString('\n')
		return err
	}
	soon := func(cond func() bool) {
		t.Helper()
		require.Eventually(t, cond, 30*time.Second, time.Millisecond)
	}

	c, r := dial()
	require.NoError(t, ask(c, r, "well"))

	p.cut()
	require.Error(t, ask(c, r, "cut"))

	c, r = dial()
	require.NoError(t, ask(c, r, "again"))
	p.set(rules{holdUp: true})
	_, err = io.WriteString(c, "held up\n")
	require.NoError(t, err)
	require.Never(t, e.has("held up"), 100*time.Millisecond, 10*time.Millisecond)
	p.set(rules{})
	soon(e.has("held up"))
	_, err = r.ReadString('\n')
	require.NoError(t, err, "the answer arrives too")

	p.set(rules{holdDown: true})
	_, err = io.WriteString(c, "unanswered\n")
	require.NoError(t, err)
	soon(e.has("unanswered"))
	p.set(rules{})
	_, err = r.ReadString('\n')
	require.NoError(t, err)

	p.set(rules{late: 1, lateBy: 50 * time.Millisecond})
	require.Error(t, ask(c, r, "late"), "its sender has lost the connection")
	p.set(rules{})
	soon(e.has("late"))

	p.set(rules{refuse: true})
	c, r = dial()
	require.Error(t, ask(c, r, "refused"))

	p.set(rules{breakOn: []byte("commit")})
	soon(func() bool {
		c, r = dial()
		return ask(c, r, "COMMIT") != nil
	})
	require.True(t, e.has("COMMIT")(), "it was sent, and not answered")
}
