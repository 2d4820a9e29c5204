package integration

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// naive is the cache-aside that everybody writes first: GET, else SELECT and SET; UPDATE, then DEL. It stands beside the real
// one in tests, to show that they would see a fault.
type naive struct {
	rdb       *redis.Client
	key       string
	load      func(context.Context) (string, error)
	beforeSet func() // where a process may be held up
}

func (n *naive) read(ctx context.Context) (string, error) {
	v, err := n.rdb.Get(ctx, n.key).Result()
	if !errors.Is(err, redis.Nil) {
		return v, err
	}
	if v, err = n.load(ctx); err != nil {
		return "", err
	}
	if n.beforeSet != nil {
		n.beforeSet()
	}
	return v, n.rdb.Set(ctx, n.key, v, 0).Err()
}

func (n *naive) write(ctx context.Context, update func(context.Context) error) error {
	if err := update(ctx); err != nil {
		return err
	}
	return n.rdb.Del(ctx, n.key).Err()
}
