package gen

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// annotations are the lines of a query's comment that begin with @cache,
// @stale-ok or @invalidates.
type annotations struct {
	cache       *cacheNote
	staleOK     []staleNote
	invalidates []invalidateNote
	via         []viaNote
	volatileOK  *volatileNote
}

// cacheNote is "@cache group(param, …) options".
type cacheNote struct {
	pos    Position
	group  string
	params []string
	opts   options
}

// options are the options of a group as one @cache line gives them.
type options struct {
	ttl      string // as written, "" when absent
	mode     string
	negative string
	near     string
}

// staleNote is one table of "@stale-ok table …".
type staleNote struct {
	pos   Position
	table string
}

// viaNote is "@via table: SELECT …".
type viaNote struct {
	pos        Position
	table, sql string
}

// volatileNote is "@volatile-ok "why"".
type volatileNote struct {
	pos Position
	why string
}

// invalidateNote is "@invalidates group(expr, …)" or "@invalidates none(group) "why"".
type invalidateNote struct {
	pos   Position
	group string
	none  bool
	all   bool // group(*)
	exprs []string
	why   string
}

var (
	noteWord   = regexp.MustCompile(`^\s*@([A-Za-z][\w-]*)\b\s*(.*)$`)
	groupCall  = regexp.MustCompile(`^([A-Za-z_]\w*)\s*\(([^()]*)\)\s*(.*)$`)
	tableName  = regexp.MustCompile(`^[A-Za-z_]\w*(\.[A-Za-z_]\w*)?$`)
	identifier = regexp.MustCompile(`^[A-Za-z_]\w*$`)
	noneNote   = regexp.MustCompile(`^none\s*\(([^()]*)\)\s*(.*)$`)
	cacheForm  = `-- @cache group(param, …) [ttl=30m] [mode=fenced|strict|aftercommit] [negative=off] [near=2s]`
)

// sqlc's own comment flags, which are none of ours.
var foreignNotes = map[string]bool{"param": true, "sqlc-vet-disable": true}

func isAnnotation(line string) bool {
	m := noteWord.FindStringSubmatch(line)
	return m != nil
}

// parseAnnotations reads the annotations among a query's comment lines. A line
// that begins with @ and is not understood is a finding: a misspelt annotation
// must not pass for a comment.
func parseAnnotations(lines []comment) (annotations, Findings) {
	var (
		a  annotations
		fs Findings
	)
	bad := func(pos Position, msg string, mend ...string) {
		fs = append(fs, &Finding{Pos: pos, Msg: msg, Mend: mend})
	}
	for _, l := range lines {
		m := noteWord.FindStringSubmatch(l.text)
		if m == nil || foreignNotes[m[1]] {
			continue
		}
		word, rest := m[1], strings.TrimSpace(m[2])
		switch word {
		case "cache":
			n, msg := parseCache(l.pos, rest)
			switch {
			case msg != "":
				bad(l.pos, "@cache "+msg, cacheForm)
			case a.cache != nil:
				bad(l.pos, fmt.Sprintf("a second @cache on one query; the first is at %s", a.cache.pos),
					"a query is cached under one key: keep one of the two lines")
			default:
				a.cache = n
			}
		case "stale-ok":
			tables := strings.FieldsFunc(rest, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' })
			if len(tables) == 0 {
				bad(l.pos, "@stale-ok names no table", "-- @stale-ok table …")
			}
			for _, t := range tables {
				if slices.ContainsFunc(a.staleOK, func(s staleNote) bool { return s.table == t }) {
					bad(l.pos, fmt.Sprintf("@stale-ok names %s twice", t), "name it once")
					continue
				}
				a.staleOK = append(a.staleOK, staleNote{pos: l.pos, table: t})
			}
		case "invalidates":
			n, msg := parseInvalidates(l.pos, rest)
			if msg != "" {
				bad(l.pos, "@invalidates "+msg, "-- @invalidates group(expr, …), where an expr is a parameter or a result column",
					`-- @invalidates none(group) "why this write does not touch it"`)
				continue
			}
			if slices.ContainsFunc(a.invalidates, func(o invalidateNote) bool {
				return o.group == n.group && o.none == n.none && o.all == n.all && slices.Equal(o.exprs, n.exprs)
			}) {
				bad(l.pos, "the same @invalidates stands here twice", "remove one of the two lines")
				continue
			}
			if i := slices.IndexFunc(a.invalidates, func(o invalidateNote) bool { return o.group == n.group && o.none != n.none }); i >= 0 {
				bad(l.pos, fmt.Sprintf("@invalidates says both %s(…) and none(%s); the other is at %s", n.group, n.group, a.invalidates[i].pos),
					"keep one of the two lines")
				continue
			}
			a.invalidates = append(a.invalidates, *n)
		case "via":
			table, sql, ok := strings.Cut(rest, ":")
			table = strings.TrimSpace(table)
			if !ok || !tableName.MatchString(table) || strings.TrimSpace(sql) == "" {
				bad(l.pos, "@via is malformed", viaForm)
				continue
			}
			a.via = append(a.via, viaNote{pos: l.pos, table: table, sql: strings.TrimSpace(sql)})
		case "volatile-ok":
			why, err := strconv.Unquote(rest)
			switch {
			case err != nil || strings.TrimSpace(why) == "":
				bad(l.pos, "@volatile-ok has no reason in double quotes", `-- @volatile-ok "why an answer may be served until the TTL though Postgres would give another one"`)
			case a.volatileOK != nil:
				bad(l.pos, fmt.Sprintf("a second @volatile-ok on one query; the first is at %s", a.volatileOK.pos), "keep one of the two lines")
			default:
				a.volatileOK = &volatileNote{pos: l.pos, why: why}
			}
		default:
			bad(l.pos, fmt.Sprintf("unknown annotation @%s", word),
				"the annotations are @cache, @stale-ok, @volatile-ok, @via and @invalidates")
		}
	}
	return a, fs
}

func parseCache(pos Position, rest string) (*cacheNote, string) {
	m := groupCall.FindStringSubmatch(rest)
	if m == nil {
		return nil, "is malformed"
	}
	n := &cacheNote{pos: pos, group: m[1]}
	params, msg := splitNames(m[2])
	if msg != "" {
		return nil, msg
	}
	if len(params) == 0 {
		return nil, fmt.Sprintf("%s() has no key: a group needs at least one parameter", n.group)
	}
	if len(params) > 3 {
		return nil, fmt.Sprintf("%s has %d key parts; at most 3 are supported", n.group, len(params))
	}
	n.params = params
	if n.group == "none" {
		return nil, "none is reserved and can't name a group"
	}
	for o := range strings.FieldsSeq(m[3]) {
		name, value, ok := strings.Cut(o, "=")
		if !ok || value == "" {
			return nil, fmt.Sprintf("has an option without a value: %s", o)
		}
		var at *string
		switch name {
		case "ttl":
			d, err := time.ParseDuration(value)
			if err != nil || d <= 0 {
				return nil, fmt.Sprintf("has ttl=%s, which is not a positive duration such as 90s, 30m, 24h", value)
			}
			at = &n.opts.ttl
		case "mode":
			if value != "fenced" && value != "strict" && value != "aftercommit" {
				return nil, fmt.Sprintf("has mode=%s; the modes are fenced, strict and aftercommit", value)
			}
			at = &n.opts.mode
		case "negative":
			if value != "off" && value != "on" {
				return nil, fmt.Sprintf("has negative=%s; it is off or on", value)
			}
			at = &n.opts.negative
		case "near":
			d, err := time.ParseDuration(value)
			if err != nil || d <= 0 {
				return nil, fmt.Sprintf("has near=%s, which is not a positive duration such as 500ms or 2s", value)
			}
			at = &n.opts.near
		default:
			return nil, fmt.Sprintf("has an unknown option %s", name)
		}
		if *at != "" {
			return nil, fmt.Sprintf("has %s= twice", name)
		}
		*at = value
	}
	return n, ""
}

func parseInvalidates(pos Position, rest string) (*invalidateNote, string) {
	if m := noneNote.FindStringSubmatch(rest); m != nil {
		group := strings.TrimSpace(m[1])
		if !identifier.MatchString(group) {
			return nil, "none(…) names no group"
		}
		why, err := strconv.Unquote(strings.TrimSpace(m[2]))
		if err != nil || strings.TrimSpace(why) == "" {
			return nil, fmt.Sprintf("none(%s) has no reason in double quotes", group)
		}
		return &invalidateNote{pos: pos, group: group, none: true, why: why}, ""
	}
	m := groupCall.FindStringSubmatch(rest)
	if m == nil || m[3] != "" {
		return nil, "is malformed"
	}
	if strings.TrimSpace(m[2]) == "*" {
		return &invalidateNote{pos: pos, group: m[1], all: true}, ""
	}
	exprs, msg := splitNames(m[2])
	if msg != "" {
		return nil, msg
	}
	if len(exprs) == 0 {
		return nil, m[1] + "() has no key"
	}
	return &invalidateNote{pos: pos, group: m[1], exprs: exprs}, ""
}

func splitNames(list string) ([]string, string) {
	if strings.TrimSpace(list) == "" {
		return nil, ""
	}
	var out []string
	for p := range strings.SplitSeq(list, ",") {
		p = strings.TrimSpace(p)
		if !identifier.MatchString(p) {
			return nil, fmt.Sprintf("has %q where a name is expected", p)
		}
		out = append(out, p)
	}
	return out, ""
}

// sameName compares names as sqlc derives Go names from SQL names: without
// regard to case and underscores.
func sameName(a, b string) bool {
	return strings.EqualFold(strings.ReplaceAll(a, "_", ""), strings.ReplaceAll(b, "_", ""))
}

// snake writes a Go name as an SQL name: UserID, user_id.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	upper := func(i int) bool { return i >= 0 && i < len(runes) && runes[i] >= 'A' && runes[i] <= 'Z' }
	for i, r := range runes {
		if upper(i) && i > 0 && runes[i-1] != '_' && (!upper(i-1) || (i+1 < len(runes) && !upper(i+1) && runes[i+1] != '_')) {
			b.WriteByte('_')
		}
		b.WriteString(strings.ToLower(string(r)))
	}
	return b.String()
}
