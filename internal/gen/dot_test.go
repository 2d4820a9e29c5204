package gen

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestDotIsAGraph reads every map that can be drawn as Graphviz would: its tokens
// and statements must be those of the language, and an edge must join nodes that
// are declared, or Graphviz would silently draw others.
func TestDotIsAGraph(t *testing.T) {
	t.Parallel()

	drawn := 0
	for _, name := range cases(t) {
		res, err := runCase(name)
		var fs Findings
		if errors.As(err, &fs) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := res.Explain("", "dot")
		if err != nil {
			t.Fatal(err)
		}
		if err := readDot(text); err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
		drawn++
	}
	if drawn == 0 {
		t.Error("no case is drawn")
	}
	for _, broken := range []string{
		"digraph g {", "digraph g { a -> b; }", `digraph g { "a" [label="x]; }`, "digraph g { a [label=]; }", "graph g { }", "digraph g { } }",
	} {
		if readDot(broken) == nil {
			t.Errorf("%s passes for a graph", broken)
		}
	}
}

// TestDotOfSeveralPackages draws two maps with the same names: no node is of both.
func TestDotOfSeveralPackages(t *testing.T) {
	t.Parallel()

	res, err := runCase("single")
	if err != nil {
		t.Fatal(err)
	}
	a, err := res.Map("")
	if err != nil {
		t.Fatal(err)
	}
	b := *a
	b.Repo = "other"
	text := dot([]*Map{a, &b})
	if err := readDot(text); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
	for _, want := range []string{
		`subgraph "cluster other" {`, `  "other group session" [label="session(id)"`, `  "testdata/single/repo group session" [label="session(id)"`, `"other read GetSession" -> "other group session" [`,
	} {
		if strings.Count(text, want) != 1 {
			t.Errorf("the graph has no %s, or more than one:\n%s", want, text)
		}
	}
}

func TestDotQuotes(t *testing.T) {
	t.Parallel()

	if got, want := quote("a \"b\" \\ c\nd"), `"a \"b\" \\ c d"`; got != want {
		t.Errorf("quote = %s, want %s", got, want)
	}
}

// readDot reads a digraph of node, edge and attribute statements, each ended by a
// semicolon, and of subgraphs of these.
func readDot(text string) error {
	r := &dotReader{text: text}
	nodes, ends := map[string]bool{}, []string{}
	inside := false // a subgraph
	if err := r.want("digraph", "*", "{"); err != nil {
		return err
	}
	for {
		id, err := r.next()
		switch {
		case err != nil:
			return err
		case id == "}" && inside:
			inside = false
			continue
		case id == "subgraph" && !inside:
			inside = true
			if err := r.want("*", "{"); err != nil {
				return err
			}
			continue
		case id == "}":
			if rest, err := r.next(); err != nil || rest != "" {
				return fmt.Errorf("%q follows the graph", rest)
			}
			for _, e := range ends {
				if !nodes[e] {
					return fmt.Errorf("%s is the end of an edge, and no node", e)
				}
			}
			return nil
		case !dotID(id):
			return fmt.Errorf("%q begins a statement", id)
		}
		op, err := r.next()
		if err != nil {
			return err
		}
		switch op {
		case "=":
			if err := r.want("*", ";"); err != nil {
				return err
			}
			continue
		case "->":
			to, err := r.next()
			if err != nil || !dotID(to) {
				return fmt.Errorf("%q ends an edge", to)
			}
			ends = append(ends, id, to)
			if err := r.want("["); err != nil {
				return err
			}
		case "[":
			nodes[id] = true
		default:
			return fmt.Errorf("%q follows %s", op, id)
		}
		for sep := ","; sep == ","; {
			if err := r.want("*", "=", "*"); err != nil {
				return err
			}
			if sep, err = r.next(); err != nil || sep != "," && sep != "]" {
				return fmt.Errorf("%q follows an attribute", sep)
			}
		}
		if err := r.want(";"); err != nil {
			return err
		}
	}
}

type dotReader struct{ text string }

func dotID(token string) bool {
	return token != "" && (token[0] == '"' || wordByte(token[0]))
}

// want reads tokens that must be these; * is any identifier.
func (r *dotReader) want(tokens ...string) error {
	for _, want := range tokens {
		got, err := r.next()
		if err != nil {
			return err
		}
		if got != want && (want != "*" || !dotID(got)) {
			return fmt.Errorf("%q stands where %s should", got, want)
		}
	}
	return nil
}

// next returns the next token; "" at the end.
func (r *dotReader) next() (string, error) {
	r.text = strings.TrimLeft(r.text, " \n")
	end := 0
	switch {
	case r.text == "":
		return "", nil
	case r.text[0] == '"':
		for end = 1; end < len(r.text) && r.text[end] != '"'; end++ {
			if r.text[end] == '\\' {
				end++
			}
		}
		if end++; end > len(r.text) {
			return "", errors.New("a string doesn't end")
		}
	case wordByte(r.text[0]):
		for end < len(r.text) && wordByte(r.text[end]) {
			end++
		}
	case strings.HasPrefix(r.text, "->"):
		end = 2
	case strings.IndexByte("{}[]=,;", r.text[0]) >= 0:
		end = 1
	default:
		return "", fmt.Errorf("%q is no token", r.text[0])
	}
	token := r.text[:end]
	r.text = r.text[end:]
	return token, nil
}
