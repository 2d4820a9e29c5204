package gen

import (
	"fmt"
	"slices"
	"strings"
)

// batch writes a :batch that invalidates something. Keys of its arguments are
// made before it is sent; a key of its result is made of each row that is read.
func (f *goFile) batch(w *write) {
	q := w.q
	a := f.r.param("a") // as sqlc calls one row of the arguments
	var before, after []keyCode
	mixed := false // a key is made of both
	for _, t := range w.keys {
		isOut := func(v value) bool { return v.kind == ofOut }
		k := f.code(q, t, "row")
		if !slices.ContainsFunc(t.parts, isOut) {
			before = append(before, k)
			continue
		}
		after = append(after, k)
		mixed = mixed || slices.ContainsFunc(t.parts, func(v value) bool { return v.kind == ofArg || v.kind == ofList })
	}
	f.head(q)
	arg := f.r.param(q.params[0].name)
	keys, row := "nil", "nil"
	if len(before) > 0 {
		keys = "keys"
		f.printf("keys := make([]%s.Key, 0, %s)\n", f.cache(), times(len(before), "len("+arg+")"))
		each := fmt.Sprintf("_, %s := range %s", a, arg)
		if !w.usesArgs() {
			each = "range " + arg
		}
		f.printf("for %s {\n", each)
		f.appendKeys(before, "return "+f.call(q, f.pgfence()+".FailedBatch(err)", f.callArgs(q)))
		f.printf("}\n")
	}
	if len(after) > 0 {
		row, f.hasKey = "byRow", false
		if mixed { // the rows are read later, when the caller may have put other arguments into the slice
			f.printf("sent := %s.Clone(%s)\n", f.use("slices", "slices"), arg)
		}
		i := "_"
		if mixed {
			i = "i"
		}
		f.printf("byRow := func(%s int, scan func(...any) error) ([]%s.Key, error) {\n", i, f.cache())
		f.printf("var row %s\nif err := scan(%s); err != nil {\nreturn nil, err\n}\n", f.typ(q.row), strings.Join(w.destinations(), ", "))
		if mixed {
			f.printf("%s := sent[i]\n", a)
		}
		if slices.ContainsFunc(after, func(k keyCode) bool { return !k.simple() }) {
			f.keys(after, "", "return nil, err")
			f.printf("return keys, nil\n}\n")
		} else {
			var calls []string
			for _, k := range after {
				calls = append(calls, k.call())
			}
			f.printf("return []%s.Key{%s}, nil\n}\n", f.cache(), strings.Join(calls, ", "))
		}
	}
	f.printf("return %s\n}\n", f.call(q, fmt.Sprintf("%s.Batch(ctx, %s, %s)", f.db(), keys, row), f.callArgs(q)))
}

// usesArgs reports whether any of the keys known beforehand is more than
// constants.
func (w *write) usesArgs() bool {
	return slices.ContainsFunc(w.keys, func(t *keyTuple) bool {
		return !slices.ContainsFunc(t.parts, func(v value) bool { return v.kind == ofOut }) &&
			slices.ContainsFunc(t.parts, func(v value) bool { return v.kind == ofArg || v.kind == ofList })
	})
}

// destinations lists what the columns of a row are scanned into: nil for those
// that tell no key.
func (w *write) destinations() []string {
	out := make([]string, len(w.q.outs))
	for i := range out {
		out[i] = "nil"
	}
	for _, t := range w.keys {
		for _, v := range t.parts {
			if v.kind == ofOut {
				out[v.n] = "&row" + w.q.outs[v.n].path
			}
		}
	}
	return out
}
