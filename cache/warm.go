package cache

import (
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// warmKeys remembers, roughly, which keys this process has seen filled. Being wrong costs a round trip, and nothing else: keys
// share places, and a key that another process has voided is still remembered.
type warmKeys struct{ marks [1 << 15]atomic.Uint32 }

func (w *warmKeys) place(key string) (*atomic.Uint32, uint32) {
	h := xxhash.Sum64String(key)
	return &w.marks[h%uint64(len(w.marks))], uint32(h>>32) | 1
}

func (w *warmKeys) has(key string) bool {
	mark, print := w.place(key)
	return mark.Load() == print
}

func (w *warmKeys) add(key string) {
	if mark, print := w.place(key); mark.Load() != print {
		mark.Store(print)
	}
}

func (w *warmKeys) remove(key string) {
	mark, print := w.place(key)
	mark.CompareAndSwap(print, 0)
}
