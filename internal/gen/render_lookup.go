package gen

import (
	"fmt"
	"slices"
	"strings"
)

// lookupsFunc names the function that makes a write's lookups of its arguments.
func (r *renderer) lookupsFunc(query string) string {
	name := lowerFirst(query) + "Lookups"
	for _, v := range r.vars {
		if v == name { // a cached query that is called so
			return name + "OfArgs"
		}
	}
	return name
}

// lookups writes the function that makes the lookups of a write.
func (f *goFile) lookups(w *write) {
	q, pgfence, cache := w.q, f.pgfence(), f.cache()
	var params []string
	for _, p := range q.params {
		params = append(params, fmt.Sprintf("%s %s", f.r.param(p.name), f.typ(p.typ)))
	}
	f.printf("\n// %s finds keys that %s changes by rows that go with, or are read with, those that it names.\n", f.r.lookupsFunc(q.name), q.name)
	f.printf("func %s(%s) []%s.Lookup {\nreturn []%s.Lookup{\n", f.r.lookupsFunc(q.name), strings.Join(params, ", "), pgfence, pgfence)
	for _, l := range w.lookups {
		f.printf("{\nSQL: %s,\n", goString(l.sql))
		var args []string
		for _, n := range l.args {
			args = append(args, f.arg(q, n))
		}
		if len(args) > 0 {
			f.printf("Args: []any{%s},\n", strings.Join(args, ", "))
		}
		if l.fresh {
			f.printf("Fresh: true,\n")
		}
		if l.tree {
			f.printf("UntilAll: true,\n")
		}
		if l.bound {
			f.printf("Bound: true,\n")
		}
		if l.after {
			f.printf("After: true,\n")
		}
		var tuples []*keyTuple
		for _, t := range w.keys {
			if slices.ContainsFunc(t.parts, func(v value) bool { return v.look == l }) {
				tuples = append(tuples, t)
			}
		}
		if len(tuples) > 0 {
			f.lookupKeys(w, l, tuples, cache)
		}
		f.printf("},\n")
	}
	f.printf("}\n}\n")
}

// lookupKeys writes the function that makes keys of one row of a lookup.
func (f *goFile) lookupKeys(w *write, l *lookup, tuples []*keyTuple, cache string) {
	f.printf("Keys: func(scan func(...any) error) ([]%s.Key, error) {\n", cache)
	types := make([]string, len(l.cols))
	for _, t := range tuples {
		for i, v := range t.parts {
			if v.kind == ofLook && types[v.n] == "" {
				types[v.n] = "*" + f.typ(deref(t.g.keyTypes[i]))
			}
		}
	}
	f.printf("var (\n")
	var dest []string
	for i, typ := range types {
		if typ == "" {
			typ = "any"
		}
		f.printf("c%d %s\n", i+1, typ)
		dest = append(dest, fmt.Sprintf("&c%d", i+1))
	}
	f.printf(")\nif err := scan(%s); err != nil {\nreturn nil, err\n}\nvar l keyList\n", strings.Join(dest, ", "))
	for _, t := range tuples {
		var parts []string
		loops := 0
		for i, v := range t.parts {
			switch v.kind {
			case ofLook:
				parts = append(parts, fmt.Sprintf("c%d", v.n+1))
			case ofConst:
				expr, _ := constExpr(v.text, t.g.keyTypes[i])
				parts = append(parts, expr)
			case ofList:
				loops++
				f.printf("for _, k%d := range %s {\n", loops, f.arg(w.q, v.n))
				parts = append(parts, fmt.Sprintf("k%d", loops))
			default:
				parts = append(parts, f.arg(w.q, v.n))
			}
		}
		f.printf("l.add(%s.KeyOf(%s))\n", f.r.groups[t.g.name], strings.Join(parts, ", "))
		for range loops {
			f.printf("}\n")
		}
	}
	f.printf("return l.keys, l.err\n},\n")
}

// goString writes a string literal, raw where that reads better.
func goString(s string) string {
	if strings.Contains(s, "`") {
		return fmt.Sprintf("%q", s)
	}
	return "`" + s + "`"
}
