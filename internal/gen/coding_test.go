package gen

import (
	"go/types"
	"path/filepath"
	"strings"
	"testing"
)

// TestCodingsOfEveryType writes the codings that package codingtest tests: of values of every type, random ones and chosen ones.
func TestCodingsOfEveryType(t *testing.T) {
	t.Parallel()

	r := rowsRenderer(t)
	results := r.p.src.pkg.Scope().Lookup("Results").Type().Underlying().(*types.Struct)
	for f := range results.Fields() {
		r.codings.add(f.Type())
		if r.codings.coding(f.Type()) == "" {
			t.Errorf("no coding for %s", f.Type())
		}
	}
	f := &goFile{r: r, imports: map[string]string{}}
	f.codingsFile(r.codings)
	code, err := f.finish("", "")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join("codingtest", "codings.go"), code)
	for name, line := range map[string]string{ // what is left to JSON, and nothing else
		"ByUUID": "w.JSON(&v.ByUUID)", "Hidden": "w.JSON(&v.Hidden)", "Hiddens": "w.JSON(&v.Hiddens[i1])",
		"LastSeen": "w.JSON(&v.LastSeen)", "PHidden": "w.JSON(v.PHidden)", "Tree": "w.JSON(v.Tree)",
	} {
		if !strings.Contains(string(code), line+"\n") {
			t.Errorf("%s is not left to JSON", name)
		}
	}
	if n := strings.Count(string(code), "w.JSON("); n != 6 {
		t.Errorf("%d fields are left to JSON, want 6", n)
	}
}

func rowsRenderer(t *testing.T) *renderer {
	t.Helper()
	dir := filepath.Join("codingtest", "rows")
	pkg, err := loadPackage(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range pkg.Errors {
		t.Fatal(e)
	}
	return newRenderer(&project{opts: Options{Repo: dir, Out: "codingtest", Package: "codingtest"}, src: &source{pkg: pkg.Types}})
}

// TestShapeOfCoding: a shape changes with the text, the structure of the result, and how it is written, and with nothing else.
func TestShapeOfCoding(t *testing.T) {
	t.Parallel()

	r := rowsRenderer(t)
	result := r.p.src.pkg.Scope().Lookup("Row").Type()
	layout := r.codings.layout(result)
	if layout != r.codings.layout(result) {
		t.Errorf("two layouts of one type")
	}
	inner := r.p.src.pkg.Scope().Lookup("Inner").Type()
	shapes := map[string]bool{
		shape("a", result, layout): true, shape("b", result, layout): true, shape("a", result, ""): true,
		shape("a", result, layout+" "): true, shape("a", types.NewSlice(result), layout): true, shape("a", inner, layout): true,
	}
	if len(shapes) != 6 || !shapes[shape("a", result, layout)] {
		t.Errorf("shapes are not told apart: %v", shapes)
	}
	field := func(name string, typ types.Type) *types.Struct {
		return types.NewStruct([]*types.Var{types.NewField(0, nil, name, typ, false)}, nil)
	}
	if a, b := r.codings.layout(field("A", types.Typ[types.Int32])), r.codings.layout(field("A", types.NewPointer(types.Typ[types.Int32]))); a == b {
		t.Errorf("an integer and a pointer to one have the layout %s", a)
	}
}

// TestCanImport: what the generated package may not import is left to JSON.
func TestCanImport(t *testing.T) {
	t.Parallel()

	c := &codings{r: &renderer{p: &project{src: &source{pkg: types.NewPackage("example.com/app/internal/db", "db")}}}, out: outPath(Options{Repo: "x/internal/db", Out: "x/cached"}, "example.com/app/internal/db")}
	if c.out != "example.com/app/cached" {
		t.Errorf("the generated package is %s", c.out)
	}
	for path, want := range map[string]bool{
		"example.com/app/internal/db": true, "example.com/app/internal/money": true, "time": true, "example.com/other": true,
		"example.com/app/internal/db/internal/money": false, "example.com/other/internal/x": false, "internal/abi": false,
	} {
		if got := c.canImport(path); got != want {
			t.Errorf("canImport(%s) = %t", path, got)
		}
	}
}
