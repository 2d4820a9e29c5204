package cache

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Env is what the environment says of a cache.
type Env struct {
	// RedisURL and Options are for Open.
	RedisURL string
	Options  Options

	// Settings are all values that take effect, with where each comes from.
	Settings []Setting

	// Warnings name variables that have no effect, and say what would have one.
	Warnings []string
}

// Setting is one value of a configuration.
type Setting struct {
	// Name is that of the environment variable.
	Name string `json:"name"`

	// Value is what takes effect. Secrets are hidden.
	Value string `json:"value"`

	Source SettingSource `json:"source"`
}

// SettingSource says where a value comes from.
type SettingSource string

// The sources of values.
const (
	FromEnvironment SettingSource = "environment"
	FromGroup       SettingSource = "group" // an annotation, or whoever else made the group
	FromDefault     SettingSource = "default"
)

// OptionsFromEnv reads the configuration from the environment of the process: Redis' address from REDIS_URL, or from
// REDIS_HOST and its like, and Options from variables that begin with CACHE_. An empty variable is one that is not set. The
// library reads the environment nowhere else.
//
// groups are those that variables such as CACHE_SESSION_TTL may name: cached.Groups(). Without any, each such variable is
// taken to mean a group with that name in lower case.
//
// The error names each variable with a bad value, and what is allowed. Secrets are in no error, setting or warning.
func OptionsFromEnv(groups ...AnyGroup) (*Env, error) { return ParseEnv(os.Environ(), groups...) }

// ParseEnv is OptionsFromEnv for an environment of the caller's, as os.Environ returns it.
func ParseEnv(environ []string, groups ...AnyGroup) (*Env, error) {
	e := &envReader{env: &Env{}, values: make(map[string]string), used: make(map[string]bool), groups: groups}
	for _, kv := range environ {
		if name, value, ok := strings.Cut(kv, "="); ok && value != "" {
			e.values[name] = value
		}
	}
	e.options()
	e.groupOptions()
	e.redis()
	e.unknown()
	if len(e.errs) > 0 {
		return nil, errors.Join(e.errs...)
	}
	if err := e.env.Options.withDefaults().validate(); err != nil {
		return nil, err
	}
	return e.env, nil
}

// envVar is a variable that sets one field of *T.
type envVar[T any] struct {
	name string // of the variable; for a group without CACHE_ and the group's name
	kind envKind

	// set stores a value that kind has parsed; show is the text of what takes effect.
	set  func(*T, envValue)
	show func(*T) string
}

// envVars are the variables of Options, in the order in which they are listed.
var envVars = []envVar[Options]{
	{"CACHE_ENABLED", boolean, func(o *Options, v envValue) { o.Disabled = !v.on }, func(o *Options) string { return strconv.FormatBool(!o.Disabled) }},
	{"CACHE_NAMESPACE", namespace, func(o *Options, v envValue) { o.Namespace = v.text }, func(o *Options) string { return o.Namespace }},
	duration("CACHE_DEFAULT_TTL", time.Millisecond, func(o *Options) *time.Duration { return &o.DefaultTTL }),
	duration("CACHE_NEGATIVE_TTL", time.Millisecond, func(o *Options) *time.Duration { return &o.NegativeTTL }),
	{"CACHE_MODE", mode, func(o *Options, v envValue) { o.DefaultMode = v.mode }, func(o *Options) string { return o.DefaultMode.String() }},
	duration("CACHE_REDIS_BUDGET", time.Millisecond, func(o *Options) *time.Duration { return &o.RedisBudget }),
	duration("CACHE_FENCE_BUDGET", time.Millisecond, func(o *Options) *time.Duration { return &o.FenceBudget }),
	duration("CACHE_LEASE_TTL", time.Millisecond, func(o *Options) *time.Duration { return &o.LeaseTTL }),
	duration("CACHE_FENCE_TTL", minFenceTTL, func(o *Options) *time.Duration { return &o.FenceTTL }),
	duration("CACHE_LOAD_TIMEOUT", time.Millisecond, func(o *Options) *time.Duration { return &o.LoadTimeout }),
	number("CACHE_MAX_CELLS", 2, func(o *Options) *int { return &o.MaxCells }),
	number("CACHE_MAX_CELL_BYTES", 1, func(o *Options) *int { return &o.MaxCellBytes }),
	{"CACHE_COMPRESS_ABOVE", numberOrOff, func(o *Options, v envValue) { o.CompressAbove = v.number }, func(o *Options) string { return orOff(o.CompressAbove) }},
	number("CACHE_NEAR_BYTES", 1, func(o *Options) *int { return &o.NearBytes }),
	number("CACHE_MAX_FALLBACK_LOADS", 1, func(o *Options) *int { return &o.MaxFallbackLoads }),
	number("CACHE_REPLICAS", 0, func(o *Options) *int { return &o.Replicas }),
}

// groupVars are the variables of one group: CACHE_<GROUP> and then the name.
var groupVars = []envVar[GroupOptions]{
	{
		"_TTL", atLeast(time.Millisecond),
		func(o *GroupOptions, v envValue) { o.TTL = v.duration },
		func(o *GroupOptions) string { return o.TTL.String() },
	},
	{
		"_MODE", mode,
		func(o *GroupOptions, v envValue) { o.Mode, o.modeSet = v.mode, true },
		func(o *GroupOptions) string { return o.Mode.String() },
	},
	{
		"_NEGATIVE", only("off"),
		func(o *GroupOptions, _ envValue) { o.NegativeOff = true },
		func(o *GroupOptions) string { return map[bool]string{false: "on", true: "off"}[o.NegativeOff] },
	},
	{
		"_NEAR", atLeastOrOff(time.Millisecond),
		func(o *GroupOptions, v envValue) { o.Near = v.duration },
		func(o *GroupOptions) string {
			if o.Near <= 0 {
				return "off"
			}
			return o.Near.String()
		},
	},
}

func duration(name string, least time.Duration, field func(*Options) *time.Duration) envVar[Options] {
	return envVar[Options]{
		name, atLeast(least), func(o *Options, v envValue) { *field(o) = v.duration },
		func(o *Options) string { return field(o).String() },
	}
}

func number(name string, least int, field func(*Options) *int) envVar[Options] {
	return envVar[Options]{
		name, numberFrom(least), func(o *Options, v envValue) { *field(o) = v.number },
		func(o *Options) string { return strconv.Itoa(*field(o)) },
	}
}

func orOff(n int) string {
	if n < 0 {
		return "off"
	}
	return strconv.Itoa(n)
}

// envValue is a parsed value: the field that its kind says.
type envValue struct {
	on       bool
	text     string
	number   int
	duration time.Duration
	mode     Mode
}

// envKind is how values of a variable are read, and what is allowed, in words.
type envKind struct {
	want  string
	parse func(string) (envValue, bool)
}

var (
	boolean = envKind{"true or false", func(s string) (v envValue, ok bool) {
		switch strings.ToLower(s) {
		case "true", "1", "yes", "on":
			return envValue{on: true}, true
		case "false", "0", "no", "off":
			return envValue{}, true
		}
		return v, false
	}}
	mode = envKind{"fenced, strict or aftercommit", func(s string) (envValue, bool) {
		m, err := ParseMode(s)
		return envValue{mode: m}, err == nil
	}}
	namespace = envKind{"at most 64 letters, digits and _ . : -", func(s string) (envValue, bool) {
		return envValue{text: s}, checkNamespace(s) == nil
	}}
	numberOrOff = envKind{"a number of bytes from 1, or off", func(s string) (envValue, bool) {
		if s == "off" {
			return envValue{number: -1}, true
		}
		return numberFrom(1).parse(s)
	}}
	text = envKind{"", func(s string) (envValue, bool) { return envValue{text: s}, true }}
)

func only(word string) envKind {
	return envKind{word, func(s string) (envValue, bool) { return envValue{text: s}, s == word }}
}

func numberFrom(least int) envKind {
	return between(least, math.MaxInt32)
}

func between(least, most int) envKind {
	want := fmt.Sprintf("a whole number from %d", least)
	if most < math.MaxInt32 {
		want = fmt.Sprintf("a whole number from %d to %d", least, most)
	}
	return envKind{want, func(s string) (envValue, bool) {
		n, err := strconv.Atoi(s)
		return envValue{number: n}, err == nil && n >= least && n <= most
	}}
}

// atLeast reads a number of seconds, or a duration as Go spells it.
func atLeast(least time.Duration) envKind {
	return envKind{fmt.Sprintf("seconds or a duration, such as 1800, 30m or 250ms, of at least %s", least), func(s string) (envValue, bool) {
		d, err := time.ParseDuration(s)
		if n, e := strconv.ParseInt(s, 10, 64); e == nil && n <= int64(math.MaxInt64/time.Second) {
			d, err = time.Duration(n)*time.Second, nil
		}
		return envValue{duration: d}, err == nil && d >= least
	}}
}

// atLeastOrOff is atLeast, and "off" is a negative duration.
func atLeastOrOff(least time.Duration) envKind {
	kind := atLeast(least)
	return envKind{kind.want + ", or off", func(s string) (envValue, bool) {
		if s == "off" {
			return envValue{duration: -1}, true
		}
		return kind.parse(s)
	}}
}

// envReader is one reading of an environment.
type envReader struct {
	env    *Env
	values map[string]string
	used   map[string]bool // names that mean something, set or not
	groups []AnyGroup
	errs   []error
}

// read returns the value of a variable, and whether it is set to something that is allowed. secret keeps it out of the error.
func (e *envReader) read(name string, kind envKind, secret bool) (envValue, bool) {
	e.used[name] = true
	raw, set := e.values[name]
	if !set {
		return envValue{}, false
	}
	v, ok := kind.parse(raw)
	if !ok {
		shown := strconv.Quote(raw)
		if secret {
			shown = "(hidden)"
		}
		e.errs = append(e.errs, fmt.Errorf("cache: environment variable %s is %s: want %s", name, shown, kind.want))
	}
	return v, ok
}

func (e *envReader) setting(name, value string, source SettingSource) {
	e.env.Settings = append(e.env.Settings, Setting{name, value, source})
}

func (e *envReader) warn(format string, args ...any) {
	e.env.Warnings = append(e.env.Warnings, fmt.Sprintf(format, args...))
}

func (e *envReader) options() {
	set := make(map[string]bool)
	for _, v := range envVars {
		if value, ok := e.read(v.name, v.kind, false); ok {
			v.set(&e.env.Options, value)
			set[v.name] = true
		}
	}
	effective := e.env.Options.withDefaults()
	for _, v := range envVars {
		e.setting(v.name, v.show(&effective), sourceOf(set[v.name], false))
	}
}

func sourceOf(environment, group bool) SettingSource {
	switch {
	case environment:
		return FromEnvironment
	case group:
		return FromGroup
	}
	return FromDefault
}

// envName is a group's name as variables spell it.
func envName(group string) string { return strings.ToUpper(group) } // a name has only letters, digits and underscores

func (e *envReader) groupOptions() {
	groups := make([]*group, 0, len(e.groups))
	for _, g := range e.groups {
		groups = append(groups, g.base())
	}
	if len(groups) == 0 {
		groups = e.namedGroups()
	}
	slices.SortFunc(groups, func(a, b *group) int { return cmp.Compare(a.name, b.name) })
	groups = slices.CompactFunc(groups, func(a, b *group) bool { return a.name == b.name })
	e.env.Options.Groups = make(map[string]GroupOptions)
	for _, g := range groups {
		over := GroupOptions{}
		set := make(map[string]bool)
		for _, v := range groupVars {
			name := "CACHE_" + envName(g.name) + v.name
			if slices.ContainsFunc(envVars, func(o envVar[Options]) bool { return o.name == name }) {
				continue // CACHE_DEFAULT_TTL is the default, whatever groups there are
			}
			if value, ok := e.read(name, v.kind, false); ok {
				v.set(&over, value)
				set[v.name] = true
			}
		}
		if len(set) > 0 {
			e.env.Options.Groups[g.name] = over
		}
		effective := e.env.Options.withDefaults().groupOptions(g)
		for _, v := range groupVars {
			e.setting("CACHE_"+envName(g.name)+v.name, v.show(&effective), sourceOf(set[v.name], v.show(&g.opts) != v.show(&GroupOptions{})))
		}
	}
}

// namedGroups are the groups that variables name, when nobody has told which there are.
func (e *envReader) namedGroups() []*group {
	var out []*group
	for name := range e.values {
		rest, ok := strings.CutPrefix(name, "CACHE_")
		if !ok || e.used[name] {
			continue
		}
		for _, v := range groupVars {
			if g, ok := strings.CutSuffix(rest, v.name); ok && checkName("group", g) == nil && g == strings.ToUpper(g) {
				out = append(out, &group{name: strings.ToLower(g)})
			}
		}
	}
	return out
}

// redis reads the address, from REDIS_URL or from its parts.
func (e *envReader) redis() {
	parts := e.redisParts()
	rawURL, set := e.values["REDIS_URL"]
	e.used["REDIS_URL"] = true
	switch {
	case set:
		if len(parts.set) > 0 && !sameHost(rawURL, parts.url) {
			e.warn("%s: no effect, since REDIS_URL is set and names another server", strings.Join(parts.set, ", "))
		}
	case len(parts.set) > 0:
		rawURL = parts.url
	}
	e.env.RedisURL = rawURL
	if rawURL == "" {
		e.setting("REDIS_URL", "", FromDefault)
		return
	}
	if len(e.errs) == 0 { // timeouts in the URL are checked against budgets
		rdb, err := openClient(rawURL, e.env.Options.withDefaults())
		if err != nil {
			what := "REDIS_URL"
			if !set {
				what = strings.Join(parts.set, ", ")
			}
			e.errs = append(e.errs, fmt.Errorf("cache: environment variable %s: %s", what, strings.TrimPrefix(err.Error(), "cache: ")))
		} else {
			_ = rdb.Close() // it has not dialed
		}
	}
	e.setting("REDIS_URL", RedactURL(rawURL), FromEnvironment)
}

type redisParts struct {
	url string
	set []string // the variables that are
}

func (e *envReader) redisParts() (p redisParts) {
	get := func(name string, kind envKind, otherwise string) string {
		if _, ok := e.read(name, kind, name == "REDIS_PASSWORD"); !ok {
			return otherwise
		}
		p.set = append(p.set, name)
		return e.values[name]
	}
	u := url.URL{Scheme: "redis"}
	u.Host = net.JoinHostPort(get("REDIS_HOST", hostName, "localhost"), get("REDIS_PORT", between(1, 65535), "6379"))
	password := get("REDIS_PASSWORD", text, "")
	user := get("REDIS_USERNAME", text, "")
	switch {
	case password != "":
		u.User = url.UserPassword(user, password)
	case user != "":
		u.User = url.User(user)
	}
	u.Path = "/" + get("REDIS_DB", numberFrom(0), "0")
	if v, ok := e.read("REDIS_TLS", boolean, false); ok {
		p.set = append(p.set, "REDIS_TLS")
		if v.on {
			u.Scheme = "rediss"
		}
	}
	p.url = u.String()
	return p
}

// A whole URL in REDIS_HOST would be read as nonsense later.
var hostName = envKind{"a host name or an address, without a port", func(s string) (envValue, bool) {
	return envValue{text: s}, !strings.ContainsAny(s, "/@?# []") && (!strings.Contains(s, ":") || net.ParseIP(s) != nil)
}}

func sameHost(a, b string) bool {
	x, err1 := url.Parse(a)
	y, err2 := url.Parse(b)
	if err1 != nil || err2 != nil {
		return false
	}
	return x.Hostname() == y.Hostname() && cmp.Or(x.Port(), "6379") == cmp.Or(y.Port(), "6379")
}

// unknown warns of variables that look as if they were for us, and are not.
func (e *envReader) unknown() {
	var names []string
	for name := range e.values {
		if strings.HasPrefix(name, "CACHE_") && !e.used[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		e.warn("%s: no effect, there is no such variable; there are %s", name, strings.Join(e.known(), ", "))
	}
}

// known lists all variables that begin with CACHE_; those of groups by a pattern, and the groups by name.
func (e *envReader) known() []string {
	var out []string
	for _, v := range envVars {
		out = append(out, v.name)
	}
	for _, v := range groupVars {
		out = append(out, "CACHE_<GROUP>"+v.name)
	}
	if len(e.groups) == 0 {
		return out
	}
	var groups []string
	for _, g := range e.groups {
		groups = append(groups, envName(g.Name()))
	}
	slices.Sort(groups)
	out[len(out)-1] += " with <GROUP> one of " + strings.Join(slices.Compact(groups), ", ")
	return out
}

// RedactURL hides the password of a URL, and anything that may be one in what is no URL.
func RedactURL(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme == "" || strings.Contains(u.Host+u.Path+u.RawQuery+u.Fragment, "@") {
		return "(hidden)"
	}
	q := u.Query()
	for name := range q {
		if strings.Contains(strings.ToLower(name), "password") {
			q.Set(name, "xxxxx")
		}
	}
	if len(q) > 0 {
		u.RawQuery = q.Encode()
	}
	return u.Redacted()
}
