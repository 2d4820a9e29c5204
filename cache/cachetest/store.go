package cachetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/pgaside/pgaside/cache"
)

// ErrDown is an error that Store.Before may return to play a Redis that cannot be reached.
var ErrDown error = &net.OpError{Op: "dial", Net: "memory", Err: errors.New("connection refused")}

// Store is a cache.Store in memory with the semantics of the real one: it passes TestStore. It is safe for concurrent use. It
// has one node and no replicas; it evicts nothing by itself (see Evict and Flush).
type Store struct {
	mu     sync.Mutex
	hashes map[string]*hash
	plain  map[string]plain
	clock  cache.Clock
	seq    int64
	subs   []*subscription

	// Before, when it is set, is called before each operation with its name ("get", "acquire", "fill", "wipe", "mint", "bump",
	// "set", "mget", "del", "publish", "subscribe", "time") and the keys; an error that it returns is the operation's, which is then not executed. It may
	// block. Set it before the store is used.
	Before func(ctx context.Context, op string, keys []string) error

	// After is called like Before when the operation has been executed: an error loses the reply.
	After func(ctx context.Context, op string, keys []string) error

	// Deliver, when it is set, is called with each message for each subscriber, and decides when, or whether, to call receive.
	Deliver func(message string, receive func())
}

type hash struct {
	fields   map[string][]byte
	fences   map[string]time.Time // token → end
	fixed    bool
	deadline time.Time // zero: none
}

type plain struct {
	value    []byte
	deadline time.Time
}

// NewStore returns an empty store that tells the time by clock; nil is the system's.
func NewStore(clock cache.Clock) *Store {
	if clock == nil {
		clock = realClock{}
	}
	return &Store{hashes: make(map[string]*hash), plain: make(map[string]plain), clock: clock}
}

// Flush empties the store.
func (s *Store) Flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.hashes)
	clear(s.plain)
}

// Evict removes one key.
func (s *Store) Evict(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.hashes, key)
	delete(s.plain, key)
}

// Snapshot copies what the store holds now. restore puts it back, as a failover to a replica does that was behind: whatever
// came after the copy is lost. It may be called several times.
func (s *Store) Snapshot() (restore func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hashes, plains := copyHashes(s.hashes), maps.Clone(s.plain)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hashes, s.plain = copyHashes(hashes), maps.Clone(plains)
	}
}

func copyHashes(m map[string]*hash) map[string]*hash {
	out := make(map[string]*hash, len(m))
	for k, h := range m {
		// The values are never changed in place.
		out[k] = &hash{fields: maps.Clone(h.fields), fences: maps.Clone(h.fences), fixed: h.fixed, deadline: h.deadline}
	}
	return out
}

// Keys returns the keys that hold a hash, in no order: those with cells, with leases, and with fences.
func (s *Store) Keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for k := range s.hashes {
		if s.live(k) != nil {
			keys = append(keys, k)
		}
	}
	return keys
}

// Cell returns the raw cell or lease of a field, nil when there is none.
func (s *Store) Cell(key, field string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.live(key); h != nil {
		return bytes.Clone(h.fields[field])
	}
	return nil
}

// SetCell overwrites the raw cell of a field: to damage it.
func (s *Store) SetCell(key, field string, cell []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.live(key)
	if h == nil {
		h = s.create(key)
	}
	h.fields[field] = bytes.Clone(cell)
}

// Fields returns the fields of a key that hold a cell or a lease, in no order.
func (s *Store) Fields(key string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	if h := s.live(key); h != nil {
		for f := range h.fields {
			out = append(out, f)
		}
	}
	return out
}

// Fences returns how many live fences a key has.
func (s *Store) Fences(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	if h := s.live(key); h != nil {
		for _, end := range h.fences {
			if end.After(s.clock.Now()) {
				n++
			}
		}
	}
	return n
}

// TTL returns what is left of a key's life, 0 when it has no end or is not there.
func (s *Store) TTL(key string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.live(key); h != nil && !h.deadline.IsZero() {
		return h.deadline.Sub(s.clock.Now())
	}
	return 0
}

func (s *Store) live(key string) *hash {
	h := s.hashes[key]
	if h != nil && !h.deadline.IsZero() && !h.deadline.After(s.clock.Now()) {
		delete(s.hashes, key)
		return nil
	}
	return h
}

func (s *Store) create(key string) *hash {
	h := &hash{fields: make(map[string][]byte), fences: make(map[string]time.Time)}
	s.hashes[key] = h
	return h
}

// do runs an operation between the hooks.
func (s *Store) do(ctx context.Context, op string, keys []string, f func()) error {
	if s.Before != nil {
		if err := s.Before(ctx, op, keys); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	f()
	s.mu.Unlock()
	if s.After != nil {
		return s.After(ctx, op, keys)
	}
	return nil
}

// Get implements cache.Store.
func (s *Store) Get(ctx context.Context, at cache.CellRef, extra []string) (cell []byte, values []string, err error) {
	err = s.do(ctx, "get", []string{at.Key}, func() {
		if h := s.live(at.Key); h != nil {
			cell = bytes.Clone(h.fields[at.Field])
		}
		for _, k := range extra {
			values = append(values, string(s.value(k)))
		}
	})
	return cell, values, err
}

// GetMany implements cache.Store.
func (s *Store) GetMany(ctx context.Context, at []cache.CellRef) []cache.GetReply {
	out := make([]cache.GetReply, len(at))
	keys := make([]string, len(at))
	for i := range at {
		keys[i] = at[i].Key
	}
	err := s.do(ctx, "get", keys, func() {
		for i, ref := range at {
			if h := s.live(ref.Key); h != nil {
				out[i].Cell = bytes.Clone(h.fields[ref.Field])
			}
		}
	})
	if err != nil {
		for i := range out {
			out[i] = cache.GetReply{Err: err}
		}
	}
	return out
}

// Acquire implements cache.Store.
func (s *Store) Acquire(ctx context.Context, reqs []cache.AcquireRequest) []cache.AcquireReply {
	out := make([]cache.AcquireReply, len(reqs))
	keys := make([]string, len(reqs))
	for i := range reqs {
		keys[i] = reqs[i].Key
	}
	err := s.do(ctx, "acquire", keys, func() {
		for i, r := range reqs {
			out[i] = s.acquire(r)
		}
	})
	if err != nil {
		for i := range out {
			out[i] = cache.AcquireReply{Err: err}
		}
	}
	return out
}

func (s *Store) acquire(r cache.AcquireRequest) cache.AcquireReply {
	now := s.clock.Now()
	h := s.live(r.Key)
	if h != nil && len(h.fences) > 0 {
		for _, end := range h.fences {
			if end.After(now) {
				return cache.AcquireReply{Status: cache.AcquireBypass}
			}
		}
		delete(s.hashes, r.Key)
		h = nil
	}
	if h != nil {
		if c := h.fields[r.Field]; len(c) > 0 && !bytes.Equal(c, r.Unusable) {
			if c[0] == 'V' {
				return cache.AcquireReply{Status: cache.AcquireHit, Cell: bytes.Clone(c)}
			}
			var deadline, us int64
			var rest string
			if _, err := fmt.Sscanf(string(c), "L%d|%d|%s", &deadline, &us, &rest); err == nil {
				nonce, _, _ := bytes.Cut([]byte(rest), []byte("#"))
				if string(nonce) == r.Nonce {
					return cache.AcquireReply{Status: cache.AcquireOwned, Cell: bytes.Clone(c)}
				}
				if deadline > now.UnixMilli() {
					return cache.AcquireReply{Status: cache.AcquireWait}
				}
			}
		}
		size := len(h.fields)
		if h.fixed { // Redis keeps this in a field of its own
			size++
		}
		if size > r.MaxCells || h.fixed && h.deadline.Sub(now) < r.Lease {
			delete(s.hashes, r.Key)
			h = nil
		}
	}
	if h == nil {
		h = s.create(r.Key)
	}
	s.seq++ // the real store's clock never stands still
	lease := fmt.Appendf(nil, "L%d|%d|%s#%d", now.Add(r.Lease).UnixMilli(), now.UnixMicro(), r.Nonce, s.seq)
	h.fields[r.Field] = lease
	if !h.fixed && (h.deadline.IsZero() || h.deadline.Sub(now) < r.Lease) {
		h.deadline = now.Add(r.Lease)
	}
	return cache.AcquireReply{Status: cache.AcquireOwned, Cell: bytes.Clone(lease)}
}

// Fill implements cache.Store.
func (s *Store) Fill(ctx context.Context, reqs []cache.FillRequest) []cache.FillReply {
	out := make([]cache.FillReply, len(reqs))
	keys := make([]string, len(reqs))
	for i := range reqs {
		keys[i] = reqs[i].Key
	}
	err := s.do(ctx, "fill", keys, func() {
		for i, r := range reqs {
			out[i] = s.fill(r)
		}
	})
	if err != nil {
		for i := range out {
			out[i] = cache.FillReply{Err: err}
		}
	}
	return out
}

func (s *Store) fill(r cache.FillRequest) cache.FillReply {
	h := s.live(r.Key)
	if h == nil || !bytes.Equal(h.fields[r.Field], r.Lease) {
		return cache.FillReply{Lost: true}
	}
	if len(r.Cell) == 0 {
		delete(h.fields, r.Field)
		return cache.FillReply{}
	}
	h.fields[r.Field] = bytes.Clone(r.Cell)
	end := s.clock.Now().Add(r.TTL)
	if !h.fixed || r.Shrink && h.deadline.After(end) {
		h.fixed, h.deadline = true, end
	}
	return cache.FillReply{Stored: true}
}

// Wipe implements cache.Store. Replicas are ignored: there are none.
func (s *Store) Wipe(ctx context.Context, reqs []cache.WipeRequest, _ int) []cache.WipeReply {
	out := make([]cache.WipeReply, len(reqs))
	keys := make([]string, len(reqs))
	for i := range reqs {
		keys[i] = reqs[i].Key
	}
	done := false
	err := s.do(ctx, "wipe", keys, func() {
		done = true
		for i, r := range reqs {
			out[i].Found = s.wipe(r)
		}
	})
	for _, r := range reqs {
		if done && r.Publish != "" { // though the answer may be lost
			s.deliver(r.Publish, r.Key)
		}
	}
	if err != nil {
		for i := range out {
			out[i] = cache.WipeReply{Err: err}
		}
	}
	return out
}

// Publish implements cache.Store.
func (s *Store) Publish(ctx context.Context, channel, message string) error {
	err := s.do(ctx, "publish", nil, func() {})
	if err == nil {
		s.deliver(channel, message)
	}
	return err
}

// Subscribe implements cache.Store. Messages come through Deliver, at once when there is none.
func (s *Store) Subscribe(ctx context.Context, channel string, ready func(), receive func(string)) error {
	sub := &subscription{channel: channel, receive: receive, cut: make(chan struct{})}
	if err := s.do(ctx, "subscribe", nil, func() { s.subs = append(s.subs, sub) }); err != nil {
		return err
	}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.subs = slices.DeleteFunc(s.subs, func(o *subscription) bool { return o == sub })
	}()
	ready()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-sub.cut:
		return ErrDown
	}
}

// CutSubscriptions ends all subscriptions with ErrDown.
func (s *Store) CutSubscriptions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.subs {
		close(sub.cut)
	}
	s.subs = nil
}

type subscription struct {
	channel string
	receive func(string)
	cut     chan struct{}
}

func (s *Store) deliver(channel, message string) {
	s.mu.Lock()
	subs := slices.Clone(s.subs)
	s.mu.Unlock()
	for _, sub := range subs {
		switch {
		case sub.channel != channel:
		case s.Deliver != nil:
			s.Deliver(message, func() { sub.receive(message) })
		default:
			sub.receive(message)
		}
	}
}

func (s *Store) wipe(r cache.WipeRequest) (found bool) {
	now := s.clock.Now()
	fences := make(map[string]time.Time)
	if h := s.live(r.Key); h != nil {
		for tok, end := range h.fences {
			switch {
			case tok == r.Remove:
				found = end.After(now)
			case end.After(now):
				fences[tok] = end
			}
		}
	}
	delete(s.hashes, r.Key)
	if r.Add != "" {
		fences[r.Add] = now.Add(r.TTL)
		found = true
	}
	if len(fences) == 0 {
		return found
	}
	h := s.create(r.Key)
	h.fences = fences
	for _, end := range fences {
		if end.After(h.deadline) {
			h.deadline = end
		}
	}
	return found
}

func (s *Store) value(key string) []byte {
	p, ok := s.plain[key]
	if !ok || !p.deadline.IsZero() && !p.deadline.After(s.clock.Now()) {
		return nil
	}
	return p.value
}

// Mint implements cache.Store.
func (s *Store) Mint(ctx context.Context, keys []string, value string) ([]string, error) {
	out := make([]string, len(keys))
	err := s.do(ctx, "mint", keys, func() {
		for i, k := range keys {
			if s.value(k) == nil {
				s.plain[k] = plain{value: []byte(value)}
			}
			out[i] = string(s.value(k))
		}
	})
	return out, err
}

// Bump implements cache.Store.
func (s *Store) Bump(ctx context.Context, key string, by int64) error {
	var parseErr error
	err := s.do(ctx, "bump", []string{key}, func() {
		p, old := s.plain[key], s.value(key)
		if old == nil {
			p, old = plain{}, []byte("0")
		}
		n, err := strconv.ParseInt(string(old), 10, 64)
		if err != nil {
			parseErr = errors.New("ERR value is not an integer or out of range")
			return
		}
		p.value = strconv.AppendInt(nil, n+by, 10)
		s.plain[key] = p
	})
	return errors.Join(parseErr, err)
}

// Set implements cache.Store.
func (s *Store) Set(ctx context.Context, key, value string, ttl time.Duration) error {
	return s.do(ctx, "set", []string{key}, func() {
		p := plain{value: []byte(value)}
		if ttl > 0 {
			p.deadline = s.clock.Now().Add(ttl)
		}
		s.plain[key] = p
	})
}

// MGet implements cache.Store.
func (s *Store) MGet(ctx context.Context, keys []string) ([][]byte, error) {
	out := make([][]byte, len(keys))
	err := s.do(ctx, "mget", keys, func() {
		for i, k := range keys {
			out[i] = bytes.Clone(s.value(k))
		}
	})
	return out, err
}

// Del implements cache.Store.
func (s *Store) Del(ctx context.Context, keys []string) error {
	return s.do(ctx, "del", keys, func() {
		for _, k := range keys {
			delete(s.plain, k)
		}
	})
}

// Time implements cache.Store.
func (s *Store) Time(ctx context.Context) (ms int64, err error) {
	err = s.do(ctx, "time", nil, func() { ms = s.clock.Now().UnixMilli() })
	return ms, err
}

// Close implements cache.Store.
func (s *Store) Close() error { return nil }
