// Package cachetest helps to test programs that use the cache, and stores that it can run on.
//
// # Programs
//
// [Store] is a Redis in memory. Give it to [cache.NewWithStore], and a test needs no server:
//
//	store := cachetest.NewStore(nil)
//	c, err := cache.NewWithStore(store, cache.Options{})
//
// It tells the time by the system's clock, so that in a bubble of testing/synctest a TTL of an hour passes in no time. Its
// hooks, Before and After, see every operation: one that returns [ErrDown] plays a Redis that cannot be reached, one that
// blocks a slow Redis, and an error from After loses a reply after the operation was carried out. The other methods look into
// the store, damage what is in it, and forget it: a cache must get over all of that.
//
// # Stores
//
// [TestStore] is the contract of [cache.Store] as a test. A new implementation is right when it passes:
//
//	func TestMyStore(t *testing.T) {
//		cachetest.TestStore(t, func(t *testing.T) cache.Store { return newMyStore(t) })
//	}
package cachetest
