package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/pgaside/pgaside/repo"
)

// naive is the cache-aside that everybody writes first: GET, else SELECT and SET; UPDATE, then DEL. It is here to be
// compared with.
type naive struct {
	source    *repo.Queries
	redis     *redis.Client
	namespace string

	// beforeSet and beforeDelete are called where a process may be held up, or die. Nil: nothing happens there.
	beforeSet, beforeDelete func()
}

// naiveTTL is how long a naive entry lives, and so how long a stale one does.
const naiveTTL = 5 * time.Minute

// newNaive makes a naive cache.
func newNaive(source *repo.Queries, redisURL, namespace string) (*naive, error) {
	options, err := redis.ParseURL(redisURL)
	if err != nil {
		return nil, fmt.Errorf("reading the Redis URL for the naive cache: %w", err)
	}
	return &naive{source: source, redis: redis.NewClient(options), namespace: namespace}, nil
}

func (n *naive) key(session uuid.UUID) string { return n.namespace + ":naive:" + session.String() }

// title reads a session's title.
func (n *naive) title(ctx context.Context, session uuid.UUID) (string, error) {
	title, err := n.redis.Get(ctx, n.key(session)).Result()
	if err == nil {
		return title, nil
	}
	if !errors.Is(err, redis.Nil) {
		return "", fmt.Errorf("naive GET: %w", err)
	}
	row, err := n.source.GetSession(ctx, session)
	if err != nil {
		return "", fmt.Errorf("naive SELECT: %w", err)
	}
	if n.beforeSet != nil {
		n.beforeSet()
	}
	if err := n.redis.Set(ctx, n.key(session), row.Title, naiveTTL).Err(); err != nil {
		return "", fmt.Errorf("naive SET: %w", err)
	}
	return row.Title, nil
}

// rename gives a session another title.
func (n *naive) rename(ctx context.Context, session uuid.UUID, title string) error {
	if _, err := n.source.RenameSession(ctx, repo.RenameSessionParams{ID: session, Title: title}); err != nil {
		return fmt.Errorf("naive UPDATE: %w", err)
	}
	if n.beforeDelete != nil {
		n.beforeDelete()
	}
	if err := n.redis.Del(ctx, n.key(session)).Err(); err != nil {
		return fmt.Errorf("naive DEL: %w", err)
	}
	return nil
}

func (n *naive) close() error { return n.redis.Close() }
