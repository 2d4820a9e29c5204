package gen

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// textDiffers says where the text of a query in its file can't be what sqlc made
// the package's text of; "" when it can. It compares tokens, so that blanks and
// comments don't count, and lets each rewriting of sqlc pass: * and sqlc.embed
// become columns, @name and sqlc.arg become $n. The grammar of a query is not
// looked at: only what is surely changed is told.
func textDiffers(file, pkg string) string {
	fileTokens, err := tokensOf(file)
	if err != nil {
		return ""
	}
	pkgTokens, err := tokensOf(pkg)
	if err != nil {
		return ""
	}
	m := matcher{want: patternOf(fileTokens), have: pkgTokens, failed: map[[2]int]bool{}}
	if m.match(0, 0) {
		return ""
	}
	show := func(texts []string) string {
		if len(texts) == 0 {
			return "nothing more"
		}
		if len(texts) > 6 {
			return strings.Join(texts[:6], " ") + " …"
		}
		return strings.Join(texts, " ")
	}
	var want, have []string
	for _, p := range m.want[m.farWant:] {
		want = append(want, p.text)
	}
	for _, t := range m.have[m.farHave:] {
		have = append(have, t.text)
	}
	return fmt.Sprintf("the file has %q where the package has %q", show(want), show(have))
}

type sqlToken struct {
	text  string
	param bool
}

// word reports whether the token can be a part of a column's name.
func (t sqlToken) word() bool {
	r, _ := utf8.DecodeRuneInString(t.text)
	return r == '"' || r == '_' || unicode.IsLetter(r)
}

func tokensOf(sql string) ([]sqlToken, error) {
	res, err := scanSQL(sql)
	if err != nil {
		return nil, err
	}
	var out []sqlToken
	for _, t := range res.GetTokens() {
		if t.GetToken() == pg.Token_SQL_COMMENT || t.GetToken() == pg.Token_C_COMMENT {
			continue
		}
		text := sql[t.GetStart():t.GetEnd()]
		if t.GetToken() == pg.Token_IDENT && text[0] != '"' || t.GetKeywordKind() != pg.KeywordKind_NO_KEYWORD {
			text = strings.ToLower(text)
		}
		out = append(out, sqlToken{text: text, param: t.GetToken() == pg.Token_PARAM})
	}
	for len(out) > 0 && out[len(out)-1].text == ";" {
		out = out[:len(out)-1]
	}
	return out, nil
}

type patternKind int

const (
	exactly    patternKind = iota
	anyParam               // @name, sqlc.arg(name): some $n, or the text itself where sqlc doesn't look (MERGE)
	someFields             // sqlc.embed(t), t.*: columns, or the text itself
)

type pattern struct {
	kind patternKind
	text string
	self []string // the tokens as they stand; of exactly, none
}

// patternOf turns the tokens of a file into what the package may have for them.
func patternOf(tokens []sqlToken) []pattern {
	at := func(i int) string {
		if i < len(tokens) {
			return tokens[i].text
		}
		return ""
	}
	var out []pattern
	named := false
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		switch {
		case t.text == "sqlc" && at(i+1) == "." && at(i+3) == "(" && at(i+5) == ")":
			kind := anyParam
			if at(i+2) == "embed" {
				kind = someFields
			}
			named = named || kind == anyParam
			var self []string
			for _, t := range tokens[i : i+6] {
				self = append(self, t.text)
			}
			out = append(out, pattern{kind: kind, text: fmt.Sprintf("sqlc.%s(%s)", at(i+2), at(i+4)), self: self})
			i += 5
		case t.text == "@" && i+1 < len(tokens) && tokens[i+1].word():
			out = append(out, pattern{kind: anyParam, text: "@" + at(i+1), self: []string{"@", at(i + 1)}})
			named = true
			i++
		case t.text == "*":
			self := []string{"*"}
			for len(out) >= 2 && out[len(out)-1].text == "." && out[len(out)-2].kind == exactly && (sqlToken{text: out[len(out)-2].text}).word() {
				self = append([]string{out[len(out)-2].text, "."}, self...)
				out = out[:len(out)-2]
			}
			out = append(out, pattern{kind: someFields, text: strings.Join(self, ""), self: self})
		default:
			out = append(out, pattern{text: t.text})
		}
	}
	if named { // sqlc numbers all parameters anew
		for i := range out {
			if out[i].kind == exactly && len(out[i].text) > 1 && out[i].text[0] == '$' && strings.Trim(out[i].text[1:], "0123456789") == "" {
				out[i].kind = anyParam
			}
		}
	}
	return out
}

type matcher struct {
	want             []pattern
	have             []sqlToken
	failed           map[[2]int]bool
	farWant, farHave int // the farthest place at which the two part
}

func (m *matcher) match(i, j int) bool {
	at := [2]int{i, j}
	if m.failed[at] {
		return false
	}
	if j > m.farHave || j == m.farHave && i > m.farWant {
		m.farWant, m.farHave = i, j
	}
	ok := false
	switch {
	case i == len(m.want):
		ok = j == len(m.have)
	case m.want[i].kind == exactly:
		ok = j < len(m.have) && m.have[j].text == m.want[i].text && m.match(i+1, j+1)
	case m.want[i].kind == anyParam:
		ok = j < len(m.have) && m.have[j].param && m.match(i+1, j+1) || m.asItStands(i, j)
	default:
		ok = m.fields(i, j)
	}
	m.failed[at] = !ok
	return ok
}

// asItStands matches the text that sqlc would rewrite.
func (m *matcher) asItStands(i, j int) bool {
	self := m.want[i].self
	return len(self) > 0 && j+len(self) <= len(m.have) &&
		slices.EqualFunc(self, m.have[j:j+len(self)], func(s string, t sqlToken) bool { return s == t.text }) && m.match(i+1, j+len(self))
}

// fields matches a list of columns, a.b, c, of any length, and the text itself.
func (m *matcher) fields(i, j int) bool {
	if m.asItStands(i, j) {
		return true
	}
	for j < len(m.have) && m.have[j].word() {
		j++
		if m.match(i+1, j) {
			return true
		}
		if j == len(m.have) || m.have[j].text != "." && m.have[j].text != "," {
			return false
		}
		j++
	}
	return false
}
