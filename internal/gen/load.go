package gen

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/tools/go/packages"
)

// loadPackage type-checks the package in a directory, and nothing else: its
// imports come from compiled export data. flags are for the go command. A package that doesn't compile has
// Errors.
//
// The go command is asked twice, for the package's files and for its imports'
// types: asked for both at once, it compiles the package itself as well, which
// takes longer than all else when sqlc has just written it.
func loadPackage(dir string, flags []string) (*packages.Package, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(abs); err != nil { // the go command would be said to be missing
		return nil, fmt.Errorf("load %s: %w", dir, err)
	}
	found, err := packages.Load(&packages.Config{Mode: packages.NeedName | packages.NeedFiles | packages.NeedImports, Dir: abs, BuildFlags: flags}, ".")
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", dir, err)
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("load %s: found %d packages, want one", dir, len(found))
	}
	p := found[0]
	if len(p.Errors) > 0 {
		return p, nil
	}
	imports, err := loadImports(abs, flags, p)
	if err != nil {
		return nil, fmt.Errorf("load what %s imports: %w", dir, err)
	}

	broken := func(err error) {
		p.Errors = append(p.Errors, packages.Error{Msg: err.Error()})
	}
	p.Fset = token.NewFileSet()
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(p.Fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			broken(err)
			continue
		}
		p.Syntax = append(p.Syntax, file)
	}
	if len(p.Errors) > 0 {
		return p, nil
	}
	p.TypesInfo = &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: imports, Sizes: types.SizesFor("gc", runtime.GOARCH), Error: broken}
	if p.Types, err = config.Check(p.PkgPath, p.Fset, p.Syntax, p.TypesInfo); err != nil && len(p.Errors) == 0 {
		broken(err)
	}
	return p, nil
}

// importMap is packages by import path.
type importMap map[string]*types.Package

// Import returns the package of a path.
func (m importMap) Import(path string) (*types.Package, error) {
	if p := m[path]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("package %s can't be found", path)
}

func loadImports(dir string, flags []string, p *packages.Package) (importMap, error) {
	out := importMap{"unsafe": types.Unsafe}
	var paths []string
	for path := range p.Imports {
		if path != "unsafe" {
			paths = append(paths, path)
		}
	}
	if len(paths) == 0 {
		return out, nil
	}
	// In one load, so that a type that two of them speak of is the same.
	loaded, err := packages.Load(&packages.Config{Mode: packages.NeedName | packages.NeedImports | packages.NeedTypes, Dir: dir, BuildFlags: flags}, paths...)
	if err != nil {
		return nil, err
	}
	for _, l := range loaded {
		if l.Types != nil && len(l.Errors) == 0 {
			out[l.PkgPath] = l.Types
			continue
		}
		for _, e := range l.Errors {
			p.Errors = append(p.Errors, packages.Error{Msg: strings.TrimSpace(e.Msg)})
		}
	}
	return out, nil
}
