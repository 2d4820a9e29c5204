package gen

import (
	"slices"
	"strings"
)

// What is parsed is the text that sqlc made of a query: without comments, with *
// written out as columns and sqlc.arg(x) as $n. People edit another text. The two
// have most of their words in common, in the same order: aligning them tells for
// any place in the one where it is in the other.

// word is a piece of SQL: an identifier, a number, a literal, or one character
// of punctuation.
type word struct {
	text string
	off  int // in bytes
}

// words splits SQL, leaving out blanks and comments.
func words(sql string) []word {
	var out []word
	for i := 0; i < len(sql); {
		from := i
		switch c := sql[i]; {
		case strings.IndexByte(" \t\r\n\f", c) >= 0:
			i++
			continue
		case strings.HasPrefix(sql[i:], "--"):
			i = until(sql, i, "\n")
			continue
		case strings.HasPrefix(sql[i:], "/*"):
			i = until(sql, i+2, "*/")
			continue
		case c == '\'' || c == '"':
			i = until(sql, i+1, string(c))
		case c == '$':
			i++
			for i < len(sql) && wordByte(sql[i]) {
				i++
			}
			if i < len(sql) && sql[i] == '$' { // $tag$ … $tag$
				i++
				i = until(sql, i, sql[from:i])
			}
		case wordByte(c):
			for i < len(sql) && wordByte(sql[i]) {
				i++
			}
		default:
			i++
		}
		out = append(out, word{sql[from:i], from})
	}
	return out
}

func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// until returns where the text after the next end begins.
func until(sql string, from int, end string) int {
	if i := strings.Index(sql[from:], end); i >= 0 {
		return from + i + len(end)
	}
	return len(sql)
}

// maxAligned bounds the work for one query; beyond it, its name is the place.
const maxAligned = 4_000_000

// align returns for each word of a which word of b it is. A word that b doesn't
// have, such as a column that * stands for, is the one that follows what was
// found last. nil: too much text.
func align(a, b []word) []int {
	out := make([]int, len(a))
	same := 0
	for same < len(a) && same < len(b) && a[same].text == b[same].text {
		out[same] = same
		same++
	}
	end := 0
	for end < len(a)-same && end < len(b)-same && a[len(a)-1-end].text == b[len(b)-1-end].text {
		end++
		out[len(a)-end] = len(b) - end
	}
	x, y := a[same:len(a)-end], b[same:len(b)-end]
	if len(x)*len(y) > maxAligned {
		return nil
	}
	// The longest common subsequence: longest[i][j] is that of x[i:] and y[j:].
	longest := make([][]int32, len(x)+1)
	for i := range longest {
		longest[i] = make([]int32, len(y)+1)
	}
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if x[i].text == y[j].text {
				longest[i][j] = longest[i+1][j+1] + 1
			} else {
				longest[i][j] = max(longest[i+1][j], longest[i][j+1])
			}
		}
	}
	j := 0
	for i := range x {
		for j < len(y) && x[i].text != y[j].text && longest[i][j+1] == longest[i][j] && longest[i+1][j] < longest[i][j] {
			j++
		}
		out[same+i] = min(same+j, len(b)-1)
		if j < len(y) && x[i].text == y[j].text {
			j++
		}
	}
	return out
}

// at returns where an offset in the parsed text is in the .sql file: the name of
// the query for 0, which is no place of SQL but of the header that sqlc writes.
func (q *query) at(offset int) Position {
	if offset <= 0 || q.body == "" {
		return q.pos
	}
	parsed := words(q.sql)
	i, found := slices.BinarySearchFunc(parsed, offset, func(w word, off int) int { return w.off - off })
	if !found {
		i--
	}
	own := words(q.body)
	for len(own) > 0 && own[len(own)-1].text == ";" {
		own = own[:len(own)-1]
	}
	to := align(parsed, own)
	if i < 0 || to == nil || len(own) == 0 {
		return q.pos
	}
	return placeIn(q.pos.File, q.body, own[to[i]].off, q.bodyLine)
}

// placeIn returns the place of an offset in a text that begins at a line.
func placeIn(file, text string, off, line int) Position {
	off = min(off, len(text))
	return Position{File: file, Line: line + strings.Count(text[:off], "\n"), Col: off - strings.LastIndexByte(text[:off], '\n')}
}

// errorOffset is the offset in bytes at which a text could not be parsed; -1 when
// the parser doesn't say.
func errorOffset(text string, err error) int {
	cursor := cursorOf(err)
	for off := range text {
		if cursor--; cursor == 0 {
			return off
		}
	}
	if cursor == 1 { // the end
		return len(strings.TrimRight(text, " \t\r\n"))
	}
	return -1
}

// errorPlace is where a text that begins at a line could not be parsed; the line
// where that isn't known.
func errorPlace(file, text string, line int, err error) Position {
	off := errorOffset(text, err)
	if off < 0 {
		return Position{File: file, Line: line}
	}
	return placeIn(file, text, off, line)
}

// located is a message of the parse tree that knows its place.
type located interface{ GetLocation() int32 }

// leftmost returns the first place of the text that a part of a tree was parsed
// from; 0 when it has none.
func leftmost[M protoMessage](parts ...M) int {
	first := 0
	for _, m := range parts {
		walk(m, func(m protoMessage) bool {
			if l, ok := m.(located); ok && l.GetLocation() > 0 && (first == 0 || int(l.GetLocation()) < first) {
				first = int(l.GetLocation())
			}
			return true
		})
	}
	return first
}
