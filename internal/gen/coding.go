package gen

import (
	"fmt"
	"go/types"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

const wirePath = "github.com/pgaside/pgaside/cache/wire"

// codingVersion is a part of every shape: it changes with the forms of package wire.
const codingVersion = "wire 1"

// codings are the functions that store the results of cached reads: a pair for each struct, a coding for each type of result.
type codings struct {
	r     *renderer
	out   string                  // import path of the generated package; "" when it is not known
	taken map[string]bool         // names in the generated package
	funcs map[string]*types.Named // name of a struct's functions, without its verb → the struct
	names map[types.Type]string   // by the first type that is identical
	vars  map[string]types.Type   // name of a coding → the type of its results
}

// form is how values of a type are written. Its text is a part of every shape.
type form string

const (
	formJSON    form = "json" // what can't be known by its fields alone
	formBool    form = "bool"
	formInt     form = "int"
	formUint    form = "uint"
	formFloat   form = "float"
	formString  form = "string"
	formBytes   form = "bytes"
	formFixed   form = "fixed"
	formTime    form = "time"
	formAddr    form = "addr"
	formPrefix  form = "prefix"
	formBigInt  form = "bigint"
	formAny     form = "any"
	formPointer form = "pointer"
	formList    form = "list"
	formArray   form = "array"
	formMap     form = "map"
	formStruct  form = "struct"
)

// wireTypes are the types with hidden fields that package wire knows.
var wireTypes = map[string]form{"time.Time": formTime, "net/netip.Addr": formAddr, "net/netip.Prefix": formPrefix, "math/big.Int": formBigInt}

// form returns how values of t are written.
func (c *codings) form(t types.Type) form {
	t = types.Unalias(t)
	if n, ok := t.(*types.Named); ok {
		if f, ok := wireTypes[types.TypeString(t, nil)]; ok {
			return f
		}
		if recursive(n, n.Underlying()) {
			return formJSON
		}
	}
	if !c.canName(t) {
		return formJSON
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		switch info := u.Info(); {
		case u.Kind() == types.Uintptr:
		case info&types.IsBoolean != 0:
			return formBool
		case info&types.IsUnsigned != 0:
			return formUint
		case info&types.IsInteger != 0:
			return formInt
		case info&types.IsFloat != 0:
			return formFloat
		case info&types.IsString != 0:
			return formString
		}
	case *types.Pointer:
		return formPointer
	case *types.Slice:
		if types.Identical(u.Elem(), types.Typ[types.Byte]) {
			return formBytes
		}
		return formList
	case *types.Array:
		if types.Identical(u.Elem(), types.Typ[types.Byte]) {
			return formFixed
		}
		return formArray
	case *types.Interface:
		if u.Empty() {
			return formAny
		}
	case *types.Map:
		if k := c.form(u.Key()); k == formString || k == formInt || k == formUint {
			return formMap
		}
	case *types.Struct:
		for f := range u.Fields() {
			if !f.Exported() {
				return formJSON
			}
		}
		return formStruct
	}
	return formJSON
}

// recursive reports whether values of a type may hold values of the same.
func recursive(n *types.Named, in types.Type) bool {
	found := false
	var walk func(t types.Type, above []types.Type)
	walk = func(t types.Type, above []types.Type) {
		t = types.Unalias(t)
		found = found || types.Identical(t, n)
		if _, ok := wireTypes[types.TypeString(t, nil)]; found || ok || slices.ContainsFunc(above, func(a types.Type) bool { return types.Identical(a, t) }) {
			return
		}
		if _, ok := t.(*types.Named); ok {
			above = append(slices.Clip(above), t)
		}
		switch u := t.Underlying().(type) {
		case *types.Pointer:
			walk(u.Elem(), above)
		case *types.Slice:
			walk(u.Elem(), above)
		case *types.Array:
			walk(u.Elem(), above)
		case *types.Map:
			walk(u.Key(), above)
			walk(u.Elem(), above)
		case *types.Struct:
			for f := range u.Fields() {
				walk(f.Type(), above)
			}
		}
	}
	walk(in, nil)
	return found
}

// canName reports whether the generated package can write a type.
func (c *codings) canName(t types.Type) bool {
	switch t := types.Unalias(t).(type) {
	case *types.Named:
		for arg := range t.TypeArgs().Types() {
			if !c.canName(arg) {
				return false
			}
		}
		obj := t.Obj()
		return obj.Pkg() == nil || obj.Exported() && obj.Parent() == obj.Pkg().Scope() && c.canImport(obj.Pkg().Path())
	case *types.Pointer:
		return c.canName(t.Elem())
	case *types.Slice:
		return c.canName(t.Elem())
	case *types.Array:
		return c.canName(t.Elem())
	case *types.Map:
		return c.canName(t.Key()) && c.canName(t.Elem())
	case *types.Struct:
		for f := range t.Fields() {
			if !c.canName(f.Type()) {
				return false
			}
		}
	}
	return true
}

// canImport reports whether the generated package can import another. sqlc's it has to.
func (c *codings) canImport(path string) bool {
	at := strings.LastIndex("/"+path+"/", "/internal/")
	return at < 0 || path == c.r.p.src.pkg.Path() || at > 0 && strings.HasPrefix(c.out+"/", path[:at-1]+"/")
}

// outPath returns the import path of the generated package, by where sqlc's package is.
func outPath(o Options, repo string) string {
	from, err1 := filepath.Abs(o.Repo)
	to, err2 := filepath.Abs(o.Out)
	rel, err3 := filepath.Rel(from, to)
	if err1 != nil || err2 != nil || err3 != nil {
		return ""
	}
	for part := range strings.SplitSeq(filepath.ToSlash(rel), "/") {
		if part != ".." {
			repo += "/" + part
		} else if i := strings.LastIndexByte(repo, '/'); i >= 0 {
			repo = repo[:i]
		}
	}
	return repo
}

// isNil reports whether a value may be written as nil.
func (f form) isNil() bool {
	return f == formPointer || f == formList || f == formBytes || f == formMap || f == formAny
}

// layout spells out how values of t are written.
func (c *codings) layout(t types.Type) string {
	f := c.form(t)
	switch u := t.Underlying().(type) {
	case *types.Pointer:
		if f == formPointer {
			return fmt.Sprintf("%s(%s)", f, c.layout(u.Elem()))
		}
	case *types.Slice:
		if f == formList {
			return fmt.Sprintf("%s(%s)", f, c.layout(u.Elem()))
		}
	case *types.Array:
		if f == formArray {
			return fmt.Sprintf("%s(%s)", f, c.layout(u.Elem()))
		}
	case *types.Map:
		if f == formMap {
			return fmt.Sprintf("%s(%s %s)", f, c.layout(u.Key()), c.layout(u.Elem()))
		}
	case *types.Struct:
		if f == formStruct {
			var parts []string
			for field := range u.Fields() {
				parts = append(parts, c.layout(field.Type()))
			}
			return fmt.Sprintf("%s(%s)", f, strings.Join(parts, " "))
		}
	}
	return string(f)
}

// least is the fewest bytes that a value of t is written in.
func (c *codings) least(t types.Type) int {
	switch f := c.form(t); f {
	case formFloat:
		return 1 + basicBits(t)/8
	case formFixed:
		return 2 + int(t.Underlying().(*types.Array).Len())
	case formTime, formPrefix, formBigInt, formJSON, formAddr:
		return 2
	case formArray:
		u := t.Underlying().(*types.Array)
		return 1 + int(u.Len())*c.least(u.Elem())
	case formStruct:
		n := 1
		for field := range t.Underlying().(*types.Struct).Fields() {
			n += c.least(field.Type())
		}
		return n
	}
	return 1
}

func basicBits(t types.Type) int {
	switch t.Underlying().(*types.Basic).Kind() {
	case types.Int8, types.Uint8:
		return 8
	case types.Int16, types.Uint16:
		return 16
	case types.Int32, types.Uint32, types.Float32:
		return 32
	}
	return 64
}

// shares reports whether a copy of a value of t shares something with it that can be changed.
func (c *codings) shares(t types.Type) bool { return shares(t, nil) }

func shares(t types.Type, above []types.Type) bool {
	t = types.Unalias(t)
	if f, ok := wireTypes[types.TypeString(t, nil)]; ok {
		return f == formBigInt
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return u.Kind() == types.UnsafePointer
	case *types.Array:
		return shares(u.Elem(), above)
	case *types.Struct:
		for f := range u.Fields() {
			if shares(f.Type(), above) {
				return true
			}
		}
		return false
	}
	return true
}

// newCodings names the functions for all cached reads.
func newCodings(r *renderer) *codings {
	c := &codings{
		r: r, out: outPath(r.p.opts, r.p.src.pkg.Path()), taken: map[string]bool{"Queries": true, "New": true},
		funcs: map[string]*types.Named{}, names: map[types.Type]string{}, vars: map[string]types.Type{},
	}
	for _, names := range []map[string]string{r.groups, r.vars, r.ifaces} {
		for _, name := range names {
			c.taken[name] = true
		}
	}
	for _, w := range r.p.writes {
		c.taken[r.keysFunc(w.q.name)], c.taken[r.lookupsFunc(w.q.name)] = true, true
	}
	for _, rd := range r.p.reads {
		c.add(rd.q.result)
	}
	return c
}

// add names the coding of a type of results, unless there is nothing but JSON for it.
func (c *codings) add(t types.Type) {
	if c.form(t) == formJSON || c.coding(t) != "" {
		return
	}
	c.need(t)
	base := lowerFirst(c.goName(t))
	name := base + "Coding"
	for i := 2; c.taken[name]; i++ {
		name = fmt.Sprintf("%sCoding%d", base, i)
	}
	c.taken[name] = true
	c.vars[name] = t
}

// coding names the coding of a type, "" when there is none.
func (c *codings) coding(t types.Type) string {
	for name, have := range c.vars {
		if types.Identical(have, t) {
			return name
		}
	}
	return ""
}

// need names the functions of all structs in a type.
func (c *codings) need(t types.Type) {
	t = types.Unalias(t)
	switch f := c.form(t); u := t.Underlying().(type) {
	case *types.Pointer:
		if f == formPointer {
			c.need(u.Elem())
		}
	case *types.Slice:
		if f == formList {
			c.need(u.Elem())
		}
	case *types.Array:
		if f == formArray {
			c.need(u.Elem())
		}
	case *types.Map:
		if f == formMap {
			c.need(u.Elem())
		}
	case *types.Struct:
		if f != formStruct || c.fn(t) != "" {
			return
		}
		if n, ok := t.(*types.Named); ok {
			base := c.goName(t)
			name := base
			for i := 2; c.taken["encode"+name] || c.taken["decode"+name] || c.taken["detach"+name] || c.funcs[name] != nil; i++ {
				name = fmt.Sprintf("%s%d", base, i)
			}
			c.taken["encode"+name], c.taken["decode"+name], c.taken["detach"+name] = true, true, true
			c.funcs[name], c.names[t] = n, name
		}
		for field := range u.Fields() {
			c.need(field.Type())
		}
	}
}

// fn names the functions of a struct, "" when it has none.
func (c *codings) fn(t types.Type) string {
	t = types.Unalias(t)
	if name, ok := c.names[t]; ok {
		return name
	}
	for have, name := range c.names {
		if types.Identical(have, t) {
			return name
		}
	}
	return ""
}

// goName makes a name of a type: Session, SessionList, PgtypeRangeOfPgtypeDate.
func (c *codings) goName(t types.Type) string {
	switch t := types.Unalias(t).(type) {
	case *types.Named:
		name := t.Obj().Name()
		if p := t.Obj().Pkg(); p != nil && p.Path() != c.r.p.src.pkg.Path() {
			name = upperFirst(p.Name()) + upperFirst(name)
		}
		for arg := range t.TypeArgs().Types() {
			name += "Of" + upperFirst(c.goName(arg))
		}
		return name
	case *types.Basic:
		return upperFirst(t.Name())
	case *types.Pointer:
		return c.goName(t.Elem()) + "Pointer"
	case *types.Slice:
		if types.Identical(t, types.NewSlice(types.Typ[types.Byte])) {
			return "Bytes"
		}
		return c.goName(t.Elem()) + "List"
	case *types.Array:
		return fmt.Sprintf("%sArray%d", c.goName(t.Elem()), t.Len())
	case *types.Map:
		return c.goName(t.Elem()) + "By" + c.goName(t.Key())
	}
	return "Row"
}

func upperFirst(s string) string {
	runes := []rune(s)
	runes[0] = unicode.ToUpper(runes[0])
	return string(runes)
}

// codingsFile writes the codings and the functions that they are made of.
func (f *goFile) codingsFile(c *codings) {
	wire, cache := f.use(wirePath, "wire"), f.cache()
	for i, name := range sortedKeys(c.vars) {
		t := c.vars[name]
		typ := f.typ(t)
		if i > 0 {
			f.printf("\n")
		}
		f.printf("var %s = %s.Coding[%s]{\n", name, cache, typ)
		f.printf("Append: func(b []byte, v *%s) ([]byte, error) {\nw := %s.NewWriter(b)\n", typ, wire)
		coder{f, c, wire}.encode(t, "(*v)", 1)
		f.printf("return w.Done()\n},\nDecode: func(b []byte, v *%s) error {\nr := %s.NewReader(b)\n", typ, wire)
		coder{f, c, wire}.decode(t, "(*v)", 1)
		f.printf("return r.Done()\n},\n")
		switch {
		case !c.shares(t):
		case c.fn(t) != "":
			f.printf("Detach: detach%s,\n", c.fn(t))
		default:
			f.printf("Detach: func(v *%s) {\n", typ)
			coder{f, c, wire}.detach(t, "(*v)", 1)
			f.printf("},\n")
		}
		f.printf("}\n")
	}
	for _, name := range sortedKeys(c.funcs) {
		t := c.funcs[name]
		typ := f.typ(t)
		f.printf("\nfunc encode%s(w *%s.Writer, v *%s) {\n", name, wire, typ)
		coder{f, c, wire}.encodeFields(t, "v", 1)
		f.printf("}\n\nfunc decode%s(r *%s.Reader, v *%s) {\n", name, wire, typ)
		coder{f, c, wire}.decodeFields(t, "v", 1)
		f.printf("}\n")
		if c.shares(t) {
			f.printf("\nfunc detach%s(v *%s) {\n", name, typ)
			coder{f, c, wire}.detachFields(t, "v", 1)
			f.printf("}\n")
		}
	}
}

// coder writes the statements for a value: x is an expression of it that can be assigned to and whose address can be taken, depth
// tells the variables of nested loops apart.
type coder struct {
	*goFile
	c    *codings
	wire string
}

// bare takes the parentheses off a whole expression, addr takes its address.
func bare(x string) string {
	if strings.HasPrefix(x, "(*") && strings.HasSuffix(x, ")") && !strings.ContainsAny(x[2:len(x)-1], "()") {
		return x[1 : len(x)-1]
	}
	return x
}

func addr(x string) string {
	if b := bare(x); b != x {
		return b[1:]
	}
	return "&" + x
}

// selector writes a selector; Go looks through a pointer by itself.
func selector(x, name string) string {
	if b := bare(x); b != x {
		x = b[1:]
	}
	return x + "." + name
}

// basic names Go's own type of a basic one, which package wire's methods take and give.
var basics = map[form]string{formBool: "bool", formInt: "int64", formUint: "uint64", formString: "string"}

func (w coder) method(t types.Type, f form) (name, goType string) {
	switch f {
	case formBool, formInt, formUint, formString:
		return map[form]string{formBool: "Bool", formInt: "Int", formUint: "Uint", formString: "String"}[f], basics[f]
	}
	return fmt.Sprintf("Float%d", basicBits(t)), fmt.Sprintf("float%d", basicBits(t))
}

func isGo(t types.Type, name string) bool {
	b, ok := types.Unalias(t).(*types.Basic)
	return ok && b.Name() == name
}

func (w coder) encode(t types.Type, x string, depth int) {
	t = types.Unalias(t)
	switch f := w.c.form(t); f {
	case formBool, formInt, formUint, formString, formFloat:
		name, goType := w.method(t, f)
		if isGo(t, goType) {
			w.printf("w.%s(%s)\n", name, bare(x))
		} else {
			w.printf("w.%s(%s(%s))\n", name, goType, bare(x))
		}
	case formBytes:
		w.printf("w.Bytes(%s)\n", bare(x))
	case formFixed:
		w.printf("w.Fixed(%s[:])\n", x)
	case formTime:
		w.printf("w.Time(%s)\n", bare(x))
	case formAddr:
		w.printf("w.Addr(%s)\n", bare(x))
	case formPrefix:
		w.printf("w.Prefix(%s)\n", bare(x))
	case formBigInt:
		w.printf("w.BigInt(%s)\n", addr(x))
	case formAny:
		w.printf("w.Any(%s)\n", bare(x))
	case formPointer:
		elem := t.Underlying().(*types.Pointer).Elem()
		w.printf("if w.Some(%s != nil) {\n", bare(x))
		if w.c.form(elem).isNil() {
			w.printf("w.Fields(1)\n")
		}
		w.encode(elem, "(*"+bare(x)+")", depth)
		w.printf("}\n")
	case formList:
		w.printf("w.Len(len(%s), %s == nil)\n", bare(x), bare(x))
		w.each(x, depth, func(x string) { w.encode(t.Underlying().(*types.Slice).Elem(), x, depth+1) })
	case formArray:
		u := t.Underlying().(*types.Array)
		w.printf("w.Fields(%d)\n", u.Len())
		w.each(x, depth, func(x string) { w.encode(u.Elem(), x, depth+1) })
	case formMap:
		u := t.Underlying().(*types.Map)
		w.printf("w.Len(len(%s), %s == nil)\n", bare(x), bare(x))
		w.printf("for _, k%d := range %s.Sorted(%s.Keys(%s)) {\nx%d := %s[k%d]\n", depth, w.use("slices", "slices"), w.use("maps", "maps"), bare(x), depth, x, depth)
		w.encode(u.Key(), fmt.Sprintf("k%d", depth), depth+1)
		w.encode(u.Elem(), fmt.Sprintf("x%d", depth), depth+1)
		w.printf("}\n")
	case formStruct:
		if name := w.c.fn(t); name != "" {
			w.printf("encode%s(w, %s)\n", name, addr(x))
			return
		}
		w.encodeFields(t, x, depth)
	default:
		w.printf("w.JSON(%s)\n", addr(x))
	}
}

// each writes a loop over the elements of a list or an array.
func (w coder) each(x string, depth int, f func(x string)) {
	i := fmt.Sprintf("i%d", depth)
	w.printf("for %s := range %s {\n", i, bare(x))
	f(fmt.Sprintf("%s[%s]", x, i))
	w.printf("}\n")
}

func (w coder) encodeFields(t types.Type, x string, depth int) {
	u := t.Underlying().(*types.Struct)
	w.printf("w.Fields(%d)\n", u.NumFields())
	for f := range u.Fields() {
		w.encode(f.Type(), selector(x, f.Name()), depth)
	}
}

func (w coder) decode(t types.Type, x string, depth int) {
	t = types.Unalias(t)
	switch f := w.c.form(t); f {
	case formBool, formInt, formUint, formString, formFloat:
		name, goType := w.method(t, f)
		arg := ""
		if f == formInt || f == formUint {
			arg = fmt.Sprint(basicBits(t))
			if b := t.Underlying().(*types.Basic); b.Kind() == types.Int || b.Kind() == types.Uint {
				arg = w.use("math/bits", "bits") + ".UintSize"
			}
		}
		call := fmt.Sprintf("r.%s(%s)", name, arg)
		if !isGo(t, goType) {
			call = fmt.Sprintf("%s(%s)", w.typ(t), call)
		}
		w.printf("%s = %s\n", bare(x), call)
	case formBytes:
		w.printf("%s = r.Bytes()\n", bare(x))
	case formFixed:
		w.printf("r.Fixed(%s[:])\n", x)
	case formTime:
		w.printf("%s = r.Time()\n", bare(x))
	case formAddr:
		w.printf("%s = r.Addr()\n", bare(x))
	case formPrefix:
		w.printf("%s = r.Prefix()\n", bare(x))
	case formBigInt:
		w.printf("r.BigInt(%s)\n", addr(x))
	case formAny:
		w.printf("%s = r.Any()\n", bare(x))
	case formPointer:
		elem := t.Underlying().(*types.Pointer).Elem()
		w.printf("if %s = nil; r.Some() {\n", bare(x))
		if w.c.form(elem).isNil() {
			w.printf("r.Fields(1)\n")
		}
		w.printf("%s = new(%s)\n", bare(x), w.typ(elem))
		w.decode(elem, "(*"+bare(x)+")", depth)
		w.printf("}\n")
	case formList:
		elem := t.Underlying().(*types.Slice).Elem()
		w.printf("%s = %s.Make[%s](r, %d)\n", bare(x), w.wire, w.typ(t), w.c.least(elem))
		w.each(x, depth, func(x string) { w.decode(elem, x, depth+1) })
	case formArray:
		u := t.Underlying().(*types.Array)
		w.printf("r.Fields(%d)\n", u.Len())
		w.each(x, depth, func(x string) { w.decode(u.Elem(), x, depth+1) })
	case formMap:
		w.decodeMap(t, x, depth)
	case formStruct:
		if name := w.c.fn(t); name != "" {
			w.printf("decode%s(r, %s)\n", name, addr(x))
			return
		}
		w.decodeFields(t, x, depth)
	default:
		w.printf("%s.JSON(r, %s)\n", w.wire, addr(x))
	}
}

func (w coder) decodeMap(t types.Type, x string, depth int) {
	u := t.Underlying().(*types.Map)
	n, k, v, last := fmt.Sprintf("n%d", depth), fmt.Sprintf("k%d", depth), fmt.Sprintf("x%d", depth), fmt.Sprintf("last%d", depth)
	w.printf("%s = nil\nif %s := r.Len(%d); %s >= 0 {\n", bare(x), n, w.c.least(u.Key())+w.c.least(u.Elem()), n)
	w.printf("%s = make(%s, %s)\nvar %s %s\n", bare(x), w.typ(t), n, last, w.typ(u.Key()))
	i := fmt.Sprintf("i%d", depth)
	w.printf("for %s := range %s {\nvar %s %s\nvar %s %s\n", i, n, k, w.typ(u.Key()), v, w.typ(u.Elem()))
	w.decode(u.Key(), k, depth+1)
	w.decode(u.Elem(), v, depth+1)
	w.printf("r.Sorted(%s == 0 || %s < %s)\n%s[%s], %s = %s, %s\n}\n}\n", i, last, k, x, k, last, v, k)
}

func (w coder) decodeFields(t types.Type, x string, depth int) {
	u := t.Underlying().(*types.Struct)
	w.printf("r.Fields(%d)\n", u.NumFields())
	for f := range u.Fields() {
		w.decode(f.Type(), selector(x, f.Name()), depth)
	}
}

func (w coder) detach(t types.Type, x string, depth int) {
	t = types.Unalias(t)
	if !w.c.shares(t) {
		return
	}
	switch w.c.form(t) {
	case formBytes:
		w.printf("%s = %s.Clone(%s)\n", bare(x), w.use("slices", "slices"), bare(x))
	case formBigInt:
		w.printf("%s.DetachBigInt(%s)\n", w.wire, addr(x))
	case formAny:
		w.printf("%s = %s.CopyAny(%s)\n", bare(x), w.wire, bare(x))
	case formPointer:
		elem := t.Underlying().(*types.Pointer).Elem()
		if !w.c.shares(elem) {
			w.printf("%s = %s.Copy(%s)\n", bare(x), w.wire, bare(x))
			return
		}
		w.printf("if %s = %s.Copy(%s); %s != nil {\n", bare(x), w.wire, bare(x), bare(x))
		w.detach(elem, "(*"+bare(x)+")", depth)
		w.printf("}\n")
	case formList:
		elem := t.Underlying().(*types.Slice).Elem()
		w.printf("%s = %s.Clone(%s)\n", bare(x), w.use("slices", "slices"), bare(x))
		if w.c.shares(elem) {
			w.each(x, depth, func(x string) { w.detach(elem, x, depth+1) })
		}
	case formArray:
		w.each(x, depth, func(x string) { w.detach(t.Underlying().(*types.Array).Elem(), x, depth+1) })
	case formMap:
		elem := t.Underlying().(*types.Map).Elem()
		w.printf("%s = %s.Clone(%s)\n", bare(x), w.use("maps", "maps"), bare(x))
		if w.c.shares(elem) {
			w.printf("for k%d, x%d := range %s {\n", depth, depth, bare(x))
			w.detach(elem, fmt.Sprintf("x%d", depth), depth+1)
			w.printf("%s[k%d] = x%d\n}\n", x, depth, depth)
		}
	case formStruct:
		if name := w.c.fn(t); name != "" {
			w.printf("detach%s(%s)\n", name, addr(x))
			return
		}
		w.detachFields(t, x, depth)
	default:
		w.printf("%s.DetachJSON(%s)\n", w.wire, addr(x))
	}
}

func (w coder) detachFields(t types.Type, x string, depth int) {
	for f := range t.Underlying().(*types.Struct).Fields() {
		w.detach(f.Type(), selector(x, f.Name()), depth)
	}
}
