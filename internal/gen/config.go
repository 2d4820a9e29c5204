package gen

import (
	"errors"
	"fmt"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Config is what sqlc.yaml and pgaside.yaml say of a directory's packages.
type Config struct {
	File     string // the file of sqlc
	Projects []Options
	Skipped  []Skipped // what sqlc makes there and pgaside can't use
}

// ErrNoConfig is in the error of ReadConfig where there is no sqlc.yaml.
var ErrNoConfig = errors.New("there is no sqlc.yaml, sqlc.yml or sqlc.json")

// ReadConfig reads sqlc's configuration, and pgaside.yaml beside it if there is
// one. An empty file means the one in the working directory.
func ReadConfig(file string) (*Config, error) {
	if file == "" {
		var err error
		if file, err = findConfig(); err != nil {
			return nil, err
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read sqlc's configuration: %w", err)
	}
	c := &Config{File: file}
	blocks, err := sqlcBlocks(file, text)
	if err != nil {
		return nil, err
	}
	for i, b := range blocks {
		if why := b.unusable(); why != "" {
			c.Skipped = append(c.Skipped, Skipped{Name: b.name(file, i), Why: why})
			continue
		}
		if len(b.Schema) == 0 || len(b.Queries) == 0 || b.Gen.Go.Out == "" {
			return nil, fmt.Errorf("%s has no schema, no queries or no out: sqlc needs all three", b.name(file, i))
		}
		c.Projects = append(c.Projects, b.options(filepath.Dir(file)))
	}
	if len(c.Projects) == 0 {
		var why strings.Builder
		for _, s := range c.Skipped {
			fmt.Fprintf(&why, "\n    %s: %s", s.Name, s.Why)
		}
		return nil, fmt.Errorf("%s has no package that pgaside can use: it needs engine: postgresql and, in gen: go:, sql_package: pgx/v5%s", file, why.String())
	}
	chooseOuts(c.Projects)
	own := filepath.Join(filepath.Dir(file), "pgaside.yaml")
	text, err = os.ReadFile(own)
	if err == nil {
		err = c.overlay(own, text)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return c, c.checkOuts()
}

func findConfig() (string, error) {
	var found []string
	for _, name := range []string{"sqlc.yaml", "sqlc.yml", "sqlc.json"} {
		if _, err := os.Stat(name); err == nil {
			found = append(found, name)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("%w here: change to its directory, name it with --config, or name --repo, --schema and --queries", ErrNoConfig)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%s are both here: remove one, or name one with --config", strings.Join(found, " and "))
}

// paths is a string or a list of strings.
type paths []string

func (p *paths) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*p = paths{n.Value}
		return nil
	}
	return n.Decode((*[]string)(p))
}

// sqlcBlock is one element of sql: of version 2, as far as pgaside needs it.
type sqlcBlock struct {
	Engine  string `yaml:"engine"`
	Schema  paths  `yaml:"schema"`
	Queries paths  `yaml:"queries"`
	Gen     struct {
		Go *struct {
			Package    string `yaml:"package"`
			Out        string `yaml:"out"`
			SQLPackage string `yaml:"sql_package"`
		} `yaml:"go"`
	} `yaml:"gen"`
	Codegen []struct {
		Plugin string `yaml:"plugin"`
	} `yaml:"codegen"`

	line int
}

// sqlcPackage is one element of packages: of version 1.
type sqlcPackage struct {
	Name       string `yaml:"name"`
	Path       string `yaml:"path"`
	Engine     string `yaml:"engine"`
	Schema     paths  `yaml:"schema"`
	Queries    paths  `yaml:"queries"`
	SQLPackage string `yaml:"sql_package"`
}

// sqlcBlocks decodes the file. JSON is YAML, too.
func sqlcBlocks(file string, text []byte) ([]*sqlcBlock, error) {
	broken := func(err error) error {
		return fmt.Errorf("%s can't be read: %w (sqlc compile tells what it expects)", file, yamlError(err))
	}
	var conf struct {
		Version  string      `yaml:"version"`
		SQL      []yaml.Node `yaml:"sql"`
		Packages []yaml.Node `yaml:"packages"`
	}
	if err := yaml.Unmarshal(text, &conf); err != nil {
		return nil, broken(err)
	}
	var blocks []*sqlcBlock
	switch conf.Version {
	case "2":
		for i := range conf.SQL {
			b := &sqlcBlock{line: conf.SQL[i].Line}
			if err := conf.SQL[i].Decode(b); err != nil {
				return nil, broken(err)
			}
			blocks = append(blocks, b)
		}
	case "1":
		for i := range conf.Packages {
			var p sqlcPackage
			if err := conf.Packages[i].Decode(&p); err != nil {
				return nil, broken(err)
			}
			b := &sqlcBlock{Engine: p.Engine, Schema: p.Schema, Queries: p.Queries, line: conf.Packages[i].Line}
			if b.Engine == "" { // version 1 began with PostgreSQL alone
				b.Engine = "postgresql"
			}
			b.Gen.Go = &struct {
				Package    string `yaml:"package"`
				Out        string `yaml:"out"`
				SQLPackage string `yaml:"sql_package"`
			}{p.Name, p.Path, p.SQLPackage}
			blocks = append(blocks, b)
		}
	case "":
		return nil, fmt.Errorf(`%s has no version: it is not sqlc's configuration, which begins with version: "2"`, file)
	default:
		return nil, fmt.Errorf("%s has version %q: pgaside knows 2 and 1", file, conf.Version)
	}
	return blocks, nil
}

// yamlError takes the name of the library, and that of Go types, off its message.
func yamlError(err error) error {
	var typ *yaml.TypeError
	if errors.As(err, &typ) && len(typ.Errors) > 0 {
		msg, _, _ := strings.Cut(typ.Errors[0], " into ")
		return errors.New(msg + ", which does not belong there")
	}
	return errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
}

func (b *sqlcBlock) name(file string, i int) string {
	if b.Gen.Go != nil && b.Gen.Go.Out != "" {
		return filepath.Join(filepath.Dir(file), b.Gen.Go.Out)
	}
	return fmt.Sprintf("%s:%d (package %d)", file, b.line, i+1)
}

// unusable says why pgaside can do nothing for a package.
func (b *sqlcBlock) unusable() string {
	switch {
	case b.Engine != "postgresql":
		return fmt.Sprintf("its engine is %s, not postgresql", orNone(b.Engine))
	case b.Gen.Go == nil && len(b.Codegen) > 0:
		return fmt.Sprintf("its code is made by the plugin %s, not by gen: go:", b.Codegen[0].Plugin)
	case b.Gen.Go == nil:
		return "it makes no Go: gen: has no go:"
	case b.Gen.Go.SQLPackage != "pgx/v5":
		have := b.Gen.Go.SQLPackage
		if have == "" {
			have = "database/sql, sqlc's default"
		}
		return fmt.Sprintf("its sql_package is %s, not pgx/v5", have)
	}
	return ""
}

func orNone(s string) string {
	if s == "" {
		return "not named"
	}
	return s
}

// options joins the block's paths, which are relative to the file, to its directory.
func (b *sqlcBlock) options(dir string) Options {
	at := func(list []string) []string {
		out := make([]string, len(list))
		for i, p := range list {
			out[i] = inDir(dir, p)
		}
		return out
	}
	return Options{
		Repo: inDir(dir, b.Gen.Go.Out), Schema: at(b.Schema), Queries: at(b.Queries),
		Out: inDir(dir, filepath.Join(filepath.Dir(filepath.Clean(b.Gen.Go.Out)), "cached")), // never above the file for out: .
	}
}

func inDir(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

// chooseOuts puts each decorator beside its package: in cached, or where two
// packages stand beside each other, in a directory with the package's name. All
// packages count, cached or not, so that a first @cache moves no other decorator.
func chooseOuts(projects []Options) {
	same := map[string]int{}
	for _, p := range projects {
		same[p.Out]++
	}
	for i := range projects {
		if p := &projects[i]; same[p.Out] > 1 {
			p.Out = filepath.Join(filepath.Dir(p.Out), packageName(p.Repo)+"cached")
		}
	}
}

func (c *Config) checkOuts() error {
	for i, p := range c.Projects {
		for j, o := range c.Projects {
			if p.Out == o.Repo {
				return fmt.Errorf("the decorator of %s would be written over %s, which sqlc writes: give it another out: in pgaside.yaml", p.Repo, o.Repo)
			}
			if i < j && p.Out == o.Out {
				return fmt.Errorf("the decorators of %s and %s would both be written to %s: give one of them another out: in pgaside.yaml", p.Repo, o.Repo, p.Out)
			}
		}
	}
	return nil
}

// overlay applies pgaside.yaml:
//
//	packages:
//	  - repo: internal/db/repo
//	    out: internal/db/cached
//	    package: cached
//	    interfaces: "{}Repository"
//	    interface_names: {sessions: SessionStore}
//	    querier: Querier
func (c *Config) overlay(file string, text []byte) error {
	r := &ownConfig{file: file}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return fmt.Errorf("%s can't be read: %w", file, yamlError(err))
	}
	if len(doc.Content) == 0 { // empty, or comments alone
		return nil
	}
	for key, list := range r.pairs(doc.Content[0], "packages") {
		if list.Kind != yaml.SequenceNode {
			r.fail(key, "packages is a list: write - before repo")
			break
		}
		seen := map[string]int{}
		for _, n := range list.Content {
			if p := r.choose(c, n, seen); p != nil {
				r.fill(p, n)
			}
		}
	}
	return r.err
}

// ownConfig reads pgaside.yaml node by node: a key that is not known, or not of the
// right kind, is told with its line. The first error stays.
type ownConfig struct {
	file string
	err  error
}

func (r *ownConfig) fail(n *yaml.Node, format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%s:%d: %s", r.file, n.Line, fmt.Sprintf(format, args...))
	}
}

// pairs yields the keys and values of a mapping, which must be among the known.
func (r *ownConfig) pairs(n *yaml.Node, known ...string) func(func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		if n.Kind != yaml.MappingNode {
			r.fail(n, "here belong keys and values: %s", strings.Join(known, ", "))
			return
		}
		for i := 0; i+1 < len(n.Content) && r.err == nil; i += 2 {
			key := n.Content[i]
			if len(known) > 0 && !slices.Contains(known, key.Value) {
				r.fail(key, "unknown key %s; the keys are %s", key.Value, strings.Join(known, ", "))
				return
			}
			for j := 0; j < i; j += 2 {
				if n.Content[j].Value == key.Value {
					r.fail(key, "%s stands here twice", key.Value)
					return
				}
			}
			if !yield(key, n.Content[i+1]) {
				return
			}
		}
	}
}

func (r *ownConfig) text(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.Value == "" {
		r.fail(n, "here belongs a text")
	}
	return n.Value
}

// packageKeys are the keys of an element of packages.
func packageKeys() []string {
	return []string{"repo", "out", "package", "interfaces", "interface_names", "querier"}
}

// choose finds the package that an element speaks of.
func (r *ownConfig) choose(c *Config, n *yaml.Node, seen map[string]int) *Options {
	repo := ""
	for key, v := range r.pairs(n, packageKeys()...) {
		if key.Value == "repo" {
			repo = inDir(filepath.Dir(r.file), r.text(v))
		}
	}
	var names []string
	for _, p := range c.Projects {
		names = append(names, p.Repo)
	}
	if repo == "" {
		if len(c.Projects) > 1 {
			r.fail(n, "repo is missing, and %s has several packages: %s", c.File, strings.Join(names, ", "))
			return nil
		}
		repo = names[0]
	}
	i := slices.Index(names, repo)
	if i < 0 {
		r.fail(n, "%s has no package in %s; it has %s", c.File, repo, strings.Join(names, ", "))
		return nil
	}
	if line := seen[repo]; line > 0 {
		r.fail(n, "%s is described here and in line %d", repo, line)
		return nil
	}
	seen[repo] = n.Line
	return &c.Projects[i]
}

func (r *ownConfig) fill(p *Options, n *yaml.Node) {
	for key, v := range r.pairs(n, packageKeys()...) {
		switch key.Value {
		case "out":
			p.Out = inDir(filepath.Dir(r.file), r.text(v))
		case "package":
			if p.Package = r.text(v); !token.IsIdentifier(p.Package) || p.Package == "_" {
				r.fail(v, "%s can't name a package", p.Package)
			}
		case "interfaces":
			p.Interfaces = r.text(v)
			if name := strings.Replace(p.Interfaces, "{}", "X", 1); p.Interfaces != Off && (name == p.Interfaces || !exported(name)) {
				r.fail(v, `interfaces is a pattern such as "{}Repository", in which {} stands for the name of the query file, or off; it is %q`, p.Interfaces)
			}
		case "interface_names":
			p.InterfaceNames = map[string]string{}
			for file, name := range r.pairs(v) {
				if !exported(r.text(name)) {
					r.fail(name, "%s can't name an interface: it is not an exported Go name", name.Value)
				}
				p.InterfaceNames[strings.TrimSuffix(file.Value, ".sql")] = name.Value
			}
		case "querier":
			if p.Querier = r.text(v); p.Querier != Off && !exported(p.Querier) {
				r.fail(v, "%s can't name an interface: it is not an exported Go name; off leaves it out", p.Querier)
			}
		}
	}
}

func exported(name string) bool { return token.IsIdentifier(name) && token.IsExported(name) }
