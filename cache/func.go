package cache

import (
	"context"
	"fmt"
	"reflect"
)

// Func makes a function read-through: its results are cached as cells of a group, and are voided with the keys that keyOf
// names. The name tells two functions of one group apart, and must change when what the function computes changes. Call Func
// once for each function, not for each call: what it returns is kept track of for as long as the cache lives.
//
// What slow returns must depend on its argument and on the committed rows of the key alone. Errors are not cached. Inside a
// transaction use slow itself: reads that slow makes through a transaction's queries, with the context that it is given, are
// noticed, and the result is then not stored.
func Func[A, K, T any](c *Cache, name string, g Group[K], keyOf func(A) K, slow func(context.Context, A) (T, error)) func(context.Context, A) (T, error) {
	shape := hashID(structureOf(reflect.TypeFor[T](), make(map[reflect.Type]bool)))[1:13]
	q := NewQuery[T](name, shape, QueryOptions{})
	return func(ctx context.Context, a A) (T, error) {
		return Read(ctx, c, g.Key(keyOf(a)), q.Cell(a), func(ctx context.Context) (T, error) {
			return slow(ctx, a)
		})
	}
}

// structureOf spells a type out: a cell must not be read into a type whose fields have changed, though its name has not.
func structureOf(t reflect.Type, above map[reflect.Type]bool) string {
	name := t.PkgPath() + "." + t.String()
	if above[t] {
		return name
	}
	above[t] = true
	defer delete(above, t)
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return name + "(" + structureOf(t.Elem(), above) + ")"
	case reflect.Array:
		return fmt.Sprintf("%s(%d %s)", name, t.Len(), structureOf(t.Elem(), above))
	case reflect.Map:
		return name + "(" + structureOf(t.Key(), above) + " " + structureOf(t.Elem(), above) + ")"
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() {
				name += fmt.Sprintf(";%s %q %s", f.Name, f.Tag.Get("json"), structureOf(f.Type, above))
			}
		}
		return name + ";"
	}
	return name + "=" + t.Kind().String()
}
