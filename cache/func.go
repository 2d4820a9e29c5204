package cache

import (
	"context"
	"reflect"
)

// Func makes a function read-through: its results are cached as cells of a group, and are voided with the keys that keyOf
// names. The name tells two functions of one group apart, and must change when what the function computes changes.
//
// What slow returns must depend on its argument and on the committed rows of the key alone. Errors are not cached. Inside a
// transaction use slow itself: reads that slow makes through a transaction's queries, with the context that it is given, are
// noticed, and the result is then not stored.
func Func[A, K, T any](c *Cache, name string, g Group[K], keyOf func(A) K, slow func(context.Context, A) (T, error)) func(context.Context, A) (T, error) {
	t := reflect.TypeFor[T]()
	q := NewQuery[T](name, hashID(t.PkgPath() + "." + t.String())[1:13], QueryOptions{})
	return func(ctx context.Context, a A) (T, error) {
		return Read(ctx, c, g.Key(keyOf(a)), q.Cell(a), func(ctx context.Context) (T, error) {
			return slow(ctx, a)
		})
	}
}
