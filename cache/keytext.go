package cache

import (
	"database/sql"
	"encoding"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// ParseKey returns the member of a group whose parts are written as text, as an operator types them: uuids, numbers, true and
// false, times as RFC 3339, bytes in hexadecimal, and texts as they are. Errors do not quote the text.
func ParseKey(g AnyGroup, parts ...string) (Key, error) {
	gr := g.base()
	if gr.types == nil {
		return rawKey(gr, strings.Join(parts, ":"))
	}
	if len(parts) != gr.arity {
		return Key{}, fmt.Errorf("cache: a key of group %s has %d parts, got %d", gr.name, gr.arity, len(parts))
	}
	values := make([]any, len(parts))
	for i, text := range parts {
		v := reflect.New(gr.types[i])
		if err := parsePart(v, text); err != nil {
			return Key{}, fmt.Errorf("cache: key of group %s, part %d: %w", gr.name, i+1, err)
		}
		values[i] = v.Elem().Interface()
	}
	return gr.keyOf(values)
}

// NamedGroup is a group of which nothing but the name is known, for tools. It cannot make keys from values; ParseKey takes
// its keys as they stand in Redis, between the group's name and the closing brace: parts joined by ':', and bytes other than
// letters, digits and _ . - as %XX.
func NamedGroup(name string) (AnyGroup, error) {
	if err := checkName("group", name); err != nil {
		return nil, err
	}
	return Group[string]{&group{name: name, arity: 1}}, nil
}

var rawID = regexp.MustCompile(`^(?:~[0-9a-f]{32}|(?:[A-Za-z0-9_.:-]|%[0-9A-F]{2})+)$`)

func rawKey(g *group, id string) (Key, error) {
	if id != "%" && !rawID.MatchString(id) { // a lone '%' is the empty string
		return Key{}, fmt.Errorf("cache: key of group %s: want it as it stands in Redis: parts joined by ':', and all but letters, digits and _ . - as %%XX", g.name)
	}
	return newKey(g, []byte(id)), nil
}

// parsePart reads text into what v points to.
func parsePart(v reflect.Value, text string) error {
	t := v.Elem().Type()
	if t.Kind() == reflect.Pointer {
		v.Elem().Set(reflect.New(t.Elem()))
		return parsePart(v.Elem(), text)
	}
	bad := fmt.Errorf("want a %s", t)
	switch p := v.Interface().(type) {
	case *time.Time: // whose UnmarshalText is as strict
		at, err := time.Parse(time.RFC3339Nano, text)
		if *p = at; err != nil {
			return errors.New("want a time such as 2026-01-31T10:00:00Z")
		}
		return nil
	case encoding.TextUnmarshaler:
		if p.UnmarshalText([]byte(text)) != nil {
			return bad
		}
		return nil
	case sql.Scanner:
		if p.Scan(text) != nil {
			return bad
		}
		return nil
	}
	e := v.Elem()
	switch {
	case t.Kind() == reflect.String:
		e.SetString(text)
	case e.CanInt():
		n, err := strconv.ParseInt(text, 10, t.Bits())
		if e.SetInt(n); err != nil {
			return bad
		}
	case e.CanUint():
		n, err := strconv.ParseUint(text, 10, t.Bits())
		if e.SetUint(n); err != nil {
			return bad
		}
	case t.Kind() == reflect.Bool:
		on, err := strconv.ParseBool(text)
		if e.SetBool(on); err != nil {
			return bad
		}
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		b, err := hex.DecodeString(text)
		if e.SetBytes(b); err != nil {
			return errors.New("want bytes in hexadecimal")
		}
	case t.Kind() == reflect.Array && t.Len() == 16 && t.Elem().Kind() == reflect.Uint8:
		b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
		if err != nil || len(b) != 16 {
			return errors.New("want a uuid")
		}
		reflect.Copy(e, reflect.ValueOf(b))
	default:
		return fmt.Errorf("a %s can't be read from text", t)
	}
	return nil
}
