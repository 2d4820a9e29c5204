package gen

import (
	"fmt"
	"go/types"
	"strings"
)

// Statement is a query given as text, without a package of sqlc: every argument
// and every output column is an int4 in it, nullable but for the arguments of a
// read with @cache.
type Statement struct {
	Name  string
	Cmd   string   // ":one", ":many", ":exec", …
	SQL   string   // with $1, $2, …
	Args  int      // how many arguments it has
	Lists []int    // which of them, from 0, are lists
	Outs  int      // how many columns it returns
	Notes []string // annotations, in which the arguments are p1, p2, …
}

// DerivedKey is a key that a write invalidates.
type DerivedKey struct {
	Group  string
	Parts  []KeyPart
	Whole  bool        // every key of the group
	Lookup *KeyLookup  // the query whose columns are parts of the key; nil for none
	Locks  []KeyLookup // that the write runs before it
}

// KeyLookup is a query that a write runs in its transaction.
type KeyLookup struct {
	SQL   string
	Args  []int // the arguments of the write behind $1, $2, …
	Fresh bool  // it needs READ COMMITTED
	Tree  bool  // it runs until it finds no more
	Bound bool  // the write may change no more rows than it returns
	After bool  // it runs after the statement
}

// KeyPart says where a part of a key comes from: "argument", "element" (of a
// list), "constant", "column" (of the result), "lookup" (a column of it) or "null".
type KeyPart struct {
	From string
	N    int    // of the argument or the output column, from 0
	Text string // of the constant
}

// Schema is DDL that has been read. It is not safe for concurrent use.
type Schema struct{ s *schema }

// ReadSchema reads the DDL of a file or a directory, as Run does.
func ReadSchema(path string) (*Schema, error) {
	s, findings, err := loadSchema(path)
	if err == nil && len(findings) > 0 {
		err = findings
	}
	return &Schema{s}, err
}

// Derive is Run without files: what the statements invalidate, by name. It lets a
// test execute many statements against the map that Run would make of them. The
// error is Findings where Run would write nothing, the line of each being the
// number of its statement, from 1.
func (s *Schema) Derive(statements []Statement) (map[string][]DerivedKey, error) {
	p := &project{schema: s.s, src: &source{byName: map[string]*query{}, initialism: map[string]bool{}}}
	integer := types.Type(types.NewPointer(types.Typ[types.Int32]))
	for i, s := range statements {
		q := &query{name: s.Name, cmd: s.Cmd, sql: s.SQL, file: "statements", pos: Position{File: "statements", Line: i + 1}}
		for n := range s.Args {
			a := arg{name: fmt.Sprintf("p%d", n+1), typ: integer}
			if len(s.Notes) > 0 {
				a.typ = types.Typ[types.Int32]
			}
			q.args = append(q.args, a)
		}
		for _, n := range s.Lists {
			q.args[n].typ = types.NewSlice(types.Typ[types.Int32])
		}
		for range s.Outs {
			q.outs = append(q.outs, output{typ: integer})
		}
		if q.result = integer; s.Cmd == ":many" {
			q.result = types.NewSlice(integer)
		}
		var lines []comment
		for _, n := range s.Notes {
			lines = append(lines, comment{pos: q.pos, text: n})
		}
		var found Findings
		q.notes, found = parseAnnotations(lines)
		p.findings = append(p.findings, found...)
		p.src.queries = append(p.src.queries, q)
		p.src.byName[q.name] = q
	}
	p.parseQueries()
	p.deriveReads()
	p.deriveWrites()
	if len(p.findings) > 0 {
		return nil, p.findings.sorted()
	}
	out := map[string][]DerivedKey{}
	from := map[valueKind]string{ofArg: "argument", ofList: "element", ofConst: "constant", ofOut: "column", isNull: "null", ofLook: "lookup"}
	for _, w := range p.writes {
		for _, k := range w.keys {
			key := DerivedKey{Group: k.g.name, Whole: k.whole}
			for _, l := range w.lookups {
				key.Locks = append(key.Locks, KeyLookup{SQL: l.sql, Args: l.args, Fresh: l.fresh, Tree: l.tree, Bound: l.bound, After: l.after})
			}
			for _, v := range k.parts {
				if v.look != nil {
					key.Lookup = &KeyLookup{SQL: v.look.sql, Args: v.look.args, Fresh: v.look.fresh, Tree: v.look.tree, Bound: v.look.bound, After: v.look.after}
				}
				key.Parts = append(key.Parts, KeyPart{From: from[v.kind], N: v.n, Text: strings.TrimSpace(v.text)})
			}
			out[w.q.name] = append(out[w.q.name], key)
		}
	}
	return out, nil
}
