package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9/logging"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/pgaside/pgaside/cache"
)

// What the verbs share that ask a running program, or its Redis.

const healthPath = "/api/health/cache"

// fetch asks a program that serves package cache/httpcache, and decodes its answer. A nil body is a GET.
func fetch(ctx context.Context, base string, body []byte, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	method, reader := http.MethodGet, io.Reader(nil)
	if body != nil {
		method, reader = http.MethodPost, bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(base, "/")+healthPath, reader)
	if err != nil {
		return fmt.Errorf("reading the URL: want http://host:port of a program that serves %s: %w", healthPath, err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("asking the program (is it running? pgaside serve, or --url): %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxReport))
	if err != nil {
		return fmt.Errorf("asking the program: %w", err)
	}
	// 503 is an answer: the source is down.
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusServiceUnavailable {
		return fmt.Errorf("asking the program: it answers %s", resp.Status)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return errors.New("what the program answers is not from package cache/httpcache: want the --url of one that serves " + healthPath)
	}
	return nil
}

// patience is how long a verb waits for one answer of Redis: a person is waiting, and no reader.
const patience = 5 * time.Second

// openRedis opens the cache that the environment names, for a verb that needs nothing else.
func openRedis(namespace string) (*cache.Cache, error) {
	logging.Disable()
	s, err := readSettings()
	if err != nil {
		return nil, err
	}
	o := s.cache.Options
	if s.cache.RedisURL == "" {
		return nil, errors.New("REDIS_URL is not set: name the Redis of the program")
	}
	if namespace != "" {
		o.Namespace = namespace
	}
	o.Disabled, o.Logger = false, slog.New(slog.DiscardHandler)
	o.RedisBudget, o.FenceBudget = max(o.RedisBudget, patience), max(o.FenceBudget, patience)
	c, err := cache.Open(s.cache.RedisURL, o)
	if err != nil {
		return nil, fmt.Errorf("opening the cache: %w", err)
	}
	return c, nil
}

// addNamespace adds the flag of verbs that look into Redis themselves.
func addNamespace(cmd *cobra.Command, namespace *string) {
	cmd.Flags().StringVar(namespace, "namespace", "", "the program's namespace (default: CACHE_NAMESPACE, else pgaside)")
}

// painter colours words, on a terminal only.
type painter struct{ on bool }

func newPainter(w io.Writer) painter {
	f, ok := w.(*os.File)
	return painter{ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd()))}
}

func (p painter) paint(code, s string) string {
	if !p.on {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// state colours a state by its name.
func (p painter) state(s string) string {
	switch s {
	case "healthy", "up", "closed", "value":
		return p.paint("32", s)
	case "down", "refused":
		return p.paint("31", s)
	}
	return p.paint("33", s)
}

// size prints bytes as people read them.
func size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/unit, 0
	for ; v >= unit && i < 3; i++ {
		v /= unit
	}
	return fmt.Sprintf("%.1f %ciB", v, "KMGT"[i])
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }
