package servers

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// respConn speaks just enough of the Redis protocol to see whether a server is
// up and to tidy up behind us. The real client is what the tests of this
// repository put to the test, so it isn't used here.
type respConn struct {
	net.Conn
	r *bufio.Reader
}

// withRESP connects to a redis:// or rediss:// address, logs in, selects the
// database, and closes the connection at the end. ctx bounds all of it.
func withRESP(ctx context.Context, address string, do func(*respConn) error) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || (u.Scheme != "redis" && u.Scheme != "rediss") {
		// Not the cause: it would print the password.
		return errors.New("the address of a Redis server must be a URL, redis://user:password@host:port/0")
	}
	var conn net.Conn
	if u.Scheme == "rediss" {
		conn, err = (&tls.Dialer{Config: &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}}).DialContext(ctx, "tcp", respAddr(u))
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", respAddr(u))
	}
	if err != nil {
		return fmt.Errorf("connecting to Redis: %w", err)
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return fmt.Errorf("connecting to Redis: %w", err)
		}
	}
	c := &respConn{conn, bufio.NewReader(conn)}
	if password, ok := u.User.Password(); ok {
		auth := []string{"AUTH", password}
		if name := u.User.Username(); name != "" {
			auth = []string{"AUTH", name, password}
		}
		if _, err := c.do(auth...); err != nil {
			return fmt.Errorf("logging in to Redis: %w", err)
		}
	}
	if db := strings.Trim(u.Path, "/"); db != "" && db != "0" {
		if _, err := c.do("SELECT", db); err != nil {
			return fmt.Errorf("selecting database %s of Redis: %w", db, err)
		}
	}
	return do(c)
}

func respAddr(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "6379"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func (c *respConn) ping() error {
	answer, err := c.do("PING")
	if err == nil && answer != "PONG" {
		err = fmt.Errorf("Redis answers PING with %v", answer)
	}
	return err
}

// removeKeys deletes the keys that start with prefix, step by step.
func (c *respConn) removeKeys(prefix string) error {
	cursor := "0"
	for {
		answer, err := c.do("SCAN", cursor, "MATCH", prefix+"*", "COUNT", "1000")
		if err != nil {
			return fmt.Errorf("looking for the keys of %s: %w", prefix, err)
		}
		page, ok := answer.([]any)
		if !ok || len(page) != 2 {
			return fmt.Errorf("looking for the keys of %s: unexpected answer %v", prefix, answer)
		}
		keys, _ := page[1].([]any)
		command := []string{"UNLINK"}
		for _, key := range keys {
			if s, ok := key.(string); ok {
				command = append(command, s)
			}
		}
		if len(command) > 1 {
			if _, err := c.do(command...); err != nil {
				return fmt.Errorf("removing the keys of %s: %w", prefix, err)
			}
		}
		if cursor, _ = page[0].(string); cursor == "0" || cursor == "" {
			return nil
		}
	}
}

// do sends one command and reads its answer: a string, an int64, nil, or a
// []any of these.
func (c *respConn) do(args ...string) (any, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := io.WriteString(c.Conn, b.String()); err != nil {
		return nil, fmt.Errorf("%s: %w", args[0], err)
	}
	answer, err := c.read()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", args[0], err)
	}
	return answer, nil
}

func (c *respConn) read() (any, error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimSuffix(line, "\r\n")
	if line == "" {
		return nil, errors.New("empty answer")
	}
	kind, rest := line[0], line[1:]
	switch kind {
	case '+':
		return rest, nil
	case '-':
		return nil, errors.New(rest)
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("unexpected answer %q", line)
	}
	switch {
	case kind == ':':
		return n, nil
	case n < 0:
		return nil, nil
	case kind == '$':
		b := make([]byte, n+2)
		if _, err := io.ReadFull(c.r, b); err != nil {
			return nil, err
		}
		return string(b[:n]), nil
	case kind == '*':
		items := make([]any, n)
		for i := range items {
			if items[i], err = c.read(); err != nil {
				return nil, err
			}
		}
		return items, nil
	}
	return nil, fmt.Errorf("unexpected answer %q", line)
}
