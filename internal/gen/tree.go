package gen

import (
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// walk visits m and every message below it, depth first and in field order, so
// that what is found comes in a stable order. A visit that returns false keeps
// walk from descending.
func walk(m protoMessage, visit func(protoMessage) bool) {
	if m == nil {
		return
	}
	if r := m.ProtoReflect(); r.IsValid() {
		walkReflect(r, visit)
	}
}

var nodeDescriptor = (*pg.Node)(nil).ProtoReflect().Descriptor()

func walkReflect(m protoreflect.Message, visit func(protoMessage) bool) {
	if !visit(m.Interface()) {
		return
	}
	if m.Descriptor() == nodeDescriptor { // one of some 270 alternatives
		if f := m.WhichOneof(nodeDescriptor.Oneofs().Get(0)); f != nil && f.Message() != nil {
			walkReflect(m.Get(f).Message(), visit)
		}
		return
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Message() == nil || !m.Has(f) {
			continue
		}
		if f.IsList() {
			list := m.Get(f).List()
			for j := range list.Len() {
				walkReflect(list.Get(j).Message(), visit)
			}
			continue
		}
		walkReflect(m.Get(f).Message(), visit)
	}
}

// grammar is the version of Postgres' grammar that a tree to be written out names.
const grammar = 170007

// names returns the string values of a list of String nodes: the parts of a
// qualified name.
func names(nodes []*pg.Node) []string {
	out := make([]string, 0, len(nodes))
	for _, n := range nodes {
		if s := n.GetString_(); s != nil {
			out = append(out, s.GetSval())
		}
	}
	return out
}

// lastName returns the last part of a qualified name, without its schema.
func lastName(nodes []*pg.Node) string {
	parts := names(nodes)
	if len(parts) == 0 {
		return ""
	}
	return parts[len(parts)-1]
}

// typeName returns the name of a type as its pg_type name ("int8", "text"),
// without pg_catalog and with [] for an array.
func typeName(t *pg.TypeName) string {
	if t == nil {
		return ""
	}
	parts := names(t.GetNames())
	if len(parts) > 1 && (parts[0] == "pg_catalog" || parts[0] == "public") {
		parts = parts[1:]
	}
	name := strings.Join(parts, ".")
	switch name {
	case "bigserial", "serial8":
		name = "int8"
	case "serial", "serial4":
		name = "int4"
	case "smallserial", "serial2":
		name = "int2"
	}
	if len(t.GetArrayBounds()) > 0 {
		name += "[]"
	}
	return name
}

// constText renders a literal for comparison and display, and reports whether n
// is one.
func constText(n *pg.Node) (string, bool) {
	c := n.GetAConst()
	if c == nil || c.GetIsnull() {
		return "", false
	}
	switch v := c.GetVal().(type) {
	case *pg.A_Const_Ival:
		return strconv.Itoa(int(v.Ival.GetIval())), true
	case *pg.A_Const_Fval:
		return v.Fval.GetFval(), true
	case *pg.A_Const_Boolval:
		return strconv.FormatBool(v.Boolval.GetBoolval()), true
	case *pg.A_Const_Sval:
		return v.Sval.GetSval(), true
	}
	return "", false
}

// conjuncts splits a condition at its top-level ANDs.
func conjuncts(n *pg.Node) []*pg.Node {
	if n == nil {
		return nil
	}
	if b := n.GetBoolExpr(); b != nil && b.GetBoolop() == pg.BoolExprType_AND_EXPR {
		var out []*pg.Node
		for _, a := range b.GetArgs() {
			out = append(out, conjuncts(a)...)
		}
		return out
	}
	return []*pg.Node{n}
}

// columnPath returns the parts of a column reference; star is true for t.* and *.
func columnPath(c *pg.ColumnRef) (parts []string, star bool) {
	for _, f := range c.GetFields() {
		if f.GetAStar() != nil {
			star = true
			continue
		}
		parts = append(parts, f.GetString_().GetSval())
	}
	return parts, star
}

// protoMessage is what walk hands to its visitor.
type protoMessage = proto.Message
