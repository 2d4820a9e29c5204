package cache

import (
	"context"
	"fmt"
	"reflect"
	"time"
)

// KVOptions configure a KV. The zero value of each field is usable.
type KVOptions struct {
	// TTL bounds the life of an entry.
	//
	// Defaults to Options.DefaultTTL.
	TTL time.Duration
}

// KV is a plain typed cache: Set and Get, bounded by a TTL and by nothing else. It is for values that no query derives, has a
// key space of its own, and never touches the keys of a group; nothing fences it.
type KV[K, V any] struct {
	c      *Cache
	prefix string
	ttl    time.Duration
}

// NewKV returns a KV. Two KVs of one name and namespace share their entries, so that name must change when V does. It panics
// on a bad name (see NewGroup) and on a negative TTL.
func NewKV[K, V any](c *Cache, name string, o KVOptions) *KV[K, V] {
	if err := checkName("KV", name); err != nil {
		panic(err)
	}
	if o.TTL < 0 {
		panic(fmt.Sprintf("cache: KV %q: TTL must not be negative, got %s", name, o.TTL))
	}
	setDefault(&o.TTL, c.opts.DefaultTTL)
	// No namespace contains a '~': these keys are never those of a group.
	return &KV[K, V]{c: c, prefix: c.opts.Namespace + ":~kv:{" + name + ":", ttl: o.TTL}
}

func (kv *KV[K, V]) key(k K) (string, error) {
	id, err := appendArg(nil, k)
	if err != nil {
		return "", fmt.Errorf("cache: key of a KV: %w", err)
	}
	return redisKey(kv.prefix, string(id)), nil
}

// Get returns the value of k, and whether there is one. A value that cannot be read is absent. When Redis cannot be reached
// the error says so; see Unavailable.
func (kv *KV[K, V]) Get(ctx context.Context, k K) (V, bool, error) {
	var zero V
	got, err := kv.GetMany(ctx, []K{k})
	if err != nil || got[0] == nil {
		return zero, false, err
	}
	return *got[0], true, nil
}

// GetMany returns the values of keys in their order, nil where there is none.
func (kv *KV[K, V]) GetMany(ctx context.Context, keys []K) ([]*V, error) {
	out := make([]*V, len(keys))
	if kv.c.store == nil || len(keys) == 0 {
		return out, nil
	}
	names := make([]string, len(keys))
	for i, k := range keys {
		var err error
		if names[i], err = kv.key(k); err != nil {
			return nil, err
		}
	}
	opCtx, cancel := context.WithTimeout(ctx, kv.c.opts.RedisBudget)
	defer cancel()
	cells, err := kv.c.store.MGet(opCtx, names)
	if err != nil {
		kv.c.failed("reading a KV", err)
		return nil, fmt.Errorf("cache: reading a KV: %w", err)
	}
	for i, cell := range cells {
		if cell == nil {
			continue
		}
		e, err := kv.sealer(names[i]).open(cell, 0, 0)
		v := new(V)
		if err == nil {
			err = unmarshal(kv.c.opts.codec(), e.payload, v)
		}
		if err != nil {
			kv.c.counts.cellsRefused.Add(1)
			kv.c.failed("opening a KV entry", &classedError{ErrorSerialization, err})
			continue
		}
		out[i] = v
	}
	return out, nil
}

func (kv *KV[K, V]) sealer(key string) sealer {
	return sealer{key: key, field: reflect.TypeFor[V]().String() + kv.c.opts.codec().Name(), maxPayload: kv.c.opts.MaxCellBytes}
}

// Set stores v under k for the KV's TTL.
func (kv *KV[K, V]) Set(ctx context.Context, k K, v V) error {
	if kv.c.store == nil {
		return nil
	}
	name, err := kv.key(k)
	if err != nil {
		return err
	}
	payload, err := marshal(kv.c.opts.codec(), &v)
	if err != nil {
		return &classedError{ErrorSerialization, fmt.Errorf("cache: encoding a KV entry: %w", err)}
	}
	if len(payload) > kv.c.opts.MaxCellBytes {
		return &classedError{ErrorMemory, fmt.Errorf("cache: a KV entry has %d bytes, more than MaxCellBytes (%d)", len(payload), kv.c.opts.MaxCellBytes)}
	}
	cell := kv.sealer(name).seal(entry{payload: payload}, 0, 0, kv.c.opts.CompressAbove)
	opCtx, cancel := context.WithTimeout(ctx, kv.c.opts.FenceBudget)
	defer cancel()
	if err := kv.c.store.Set(opCtx, name, string(cell), kv.ttl); err != nil {
		kv.c.failed("writing a KV", err)
		return fmt.Errorf("cache: writing a KV: %w", err)
	}
	return nil
}

// Delete removes keys.
func (kv *KV[K, V]) Delete(ctx context.Context, keys ...K) error {
	if kv.c.store == nil || len(keys) == 0 {
		return nil
	}
	names := make([]string, len(keys))
	for i, k := range keys {
		var err error
		if names[i], err = kv.key(k); err != nil {
			return err
		}
	}
	opCtx, cancel := context.WithTimeout(ctx, kv.c.opts.FenceBudget)
	defer cancel()
	if err := kv.c.store.Del(opCtx, names); err != nil {
		kv.c.failed("deleting from a KV", err)
		return fmt.Errorf("cache: deleting from a KV: %w", err)
	}
	return nil
}
