package cache

import (
	"crypto/sha256"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// maxKeyLen bounds a Redis key in bytes. Longer identifiers are hashed.
const maxKeyLen = 250

// allID is the id of a Key that stands for all members of its group. No other id contains a '*': it would be escaped.
const allID = '*'

// Key is one member of a group: one Redis hash, one cluster slot, wiped as a whole. Keys are comparable.
//
// A key with a NULL part is void: an equality never matches NULL, so that a read with it is not cached and a write with it
// has nothing to invalidate.
type Key struct {
	group *group

	// The escaped parts, joined by ':'; both are empty when the key is void. Those of most keys fit into short, so that making
	// a key allocates nothing.
	long  string
	short [shortKey]byte
	n     uint8 // of short
}

// shortKey holds a uuid, with room to spare.
const shortKey = 47

func newKey(g *group, id []byte) Key {
	k := Key{group: g}
	if len(id) > shortKey {
		k.long = string(id)
		return k
	}
	k.n = uint8(copy(k.short[:], id))
	return k
}

func (k *Key) idLen() int { return len(k.long) + int(k.n) }

// redis returns the key as Redis knows it: <namespace>:{<group>:<id>}; prefix is all before the id. The braces make the key's slot
// depend on the group and the identifier alone.
func (k *Key) redis(prefix string) string {
	if k.long == "" && len(prefix)+int(k.n) < maxKeyLen {
		var buf [maxKeyLen]byte
		return string(append(append(append(buf[:0], prefix...), k.short[:k.n]...), '}'))
	}
	return redisKey(prefix, k.long+string(k.short[:k.n]))
}

// Group returns the name of the key's group.
func (k Key) Group() string {
	if k.group == nil {
		return ""
	}
	return k.group.name
}

// isAll reports whether the key stands for all members of its group.
func (k Key) isAll() bool { return k.n == 1 && k.short[0] == allID }

// IsVoid reports whether a part of the key is NULL. The zero Key is void.
func (k Key) IsVoid() bool { return k.n == 0 && k.long == "" }

func (g *group) keyOf(parts []any) (Key, error) {
	if len(parts) != g.arity {
		return Key{}, fmt.Errorf("cache: group %s has %d key parts, got %d", g.name, g.arity, len(parts))
	}
	buf := make([]byte, 0, 64)
	for i, p := range parts {
		if i > 0 {
			buf = append(buf, ':')
		}
		var err error
		if buf, err = appendPart(buf, p); err != nil {
			if errors.Is(err, errNull) {
				return Key{group: g}, nil
			}
			return Key{}, fmt.Errorf("cache: key of group %s, part %d: %w", g.name, i+1, err)
		}
	}
	if len(buf) == 0 { // one empty string; a lone '%' is no escape, so nothing else is spelled like this
		buf = append(buf, '%')
	}
	return newKey(g, buf), nil
}

// keyOfOne is keyOf for the commonest types of a single part, and allocates nothing.
func keyOfOne[K any](g *group, part *K) (Key, bool) {
	var room [shortKey]byte
	buf := room[:0]
	switch p := any(part).(type) {
	case *uuid.UUID:
		buf = appendUUID(buf, *p)
	case *int64:
		buf = strconv.AppendInt(buf, *p, 10)
	case *int32:
		buf = strconv.AppendInt(buf, int64(*p), 10)
	case *int:
		buf = strconv.AppendInt(buf, int64(*p), 10)
	default:
		return Key{}, false
	}
	return newKey(g, buf), true
}

// redisKey is Key.redis of an identifier.
func redisKey(prefix, id string) string {
	if len(prefix)+len(id)+1 > maxKeyLen {
		id = hashID(id)
	}
	return prefix + id + "}"
}

// hashID shortens s to 128 bits of SHA-256. The '~' keeps it apart from every literal identifier, which cannot contain one.
func hashID(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "~" + hex.EncodeToString(sum[:16])
}

var errNull = errors.New("part is NULL")

// appendPart appends the canonical form of a key part. Values that Postgres holds equal have one form, whatever Go type
// carries them: a uuid.UUID, a *uuid.UUID and a pgtype.UUID give the same bytes.
func appendPart(buf []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return nil, errNull
	case string:
		return appendEscaped(buf, v), nil
	case [16]byte:
		return appendUUID(buf, v), nil
	case int64:
		return strconv.AppendInt(buf, v, 10), nil
	case int32:
		return strconv.AppendInt(buf, int64(v), 10), nil
	case bool:
		return strconv.AppendBool(buf, v), nil
	case []byte:
		if v == nil {
			return nil, errNull
		}
		return append(append(buf, 'x'), hex.EncodeToString(v)...), nil
	case time.Time:
		// Postgres keeps microseconds, and pgx cuts off the rest.
		return strconv.AppendInt(buf, v.UnixMicro(), 10), nil
	}
	rv := reflect.ValueOf(v)
	if rv.Kind() == reflect.Pointer {
		if rv.IsNil() {
			return nil, errNull
		}
		return appendPart(buf, rv.Elem().Interface())
	}
	if id, ok := asUUID(rv); ok {
		return appendUUID(buf, id), nil
	}
	if val, ok := v.(driver.Valuer); ok {
		base, err := val.Value()
		if err != nil {
			return nil, err
		}
		if _, again := base.(driver.Valuer); again {
			return nil, fmt.Errorf("unsupported type %T", v)
		}
		return appendPart(buf, base)
	}
	switch rv.Kind() {
	case reflect.String:
		return appendEscaped(buf, rv.String()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.AppendInt(buf, rv.Int(), 10), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.AppendUint(buf, rv.Uint(), 10), nil
	case reflect.Bool:
		return strconv.AppendBool(buf, rv.Bool()), nil
	case reflect.Slice:
		if rv.Type().Elem().Kind() == reflect.Uint8 {
			return appendPart(buf, rv.Bytes())
		}
	}
	return nil, fmt.Errorf("unsupported type %T: want a string, an integer, a bool, a uuid, bytes or a time", v)
}

func asUUID(rv reflect.Value) (id [16]byte, ok bool) {
	if rv.Kind() != reflect.Array || rv.Len() != 16 || rv.Type().Elem().Kind() != reflect.Uint8 {
		return id, false
	}
	reflect.Copy(reflect.ValueOf(id[:]), rv)
	return id, true
}

func appendUUID(buf []byte, id [16]byte) []byte {
	n := len(buf)
	buf = append(buf, "00000000-0000-0000-0000-000000000000"...)
	out := buf[n:]
	hex.Encode(out[0:8], id[0:4])
	hex.Encode(out[9:13], id[4:6])
	hex.Encode(out[14:18], id[6:8])
	hex.Encode(out[19:23], id[8:10])
	hex.Encode(out[24:36], id[10:16])
	return buf
}

// appendEscaped writes every byte outside [A-Za-z0-9_.-] as %XX, so that a key stays readable and no text can end the hash
// tag, forge a separator or look like a hashed identifier.
func appendEscaped(buf []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; isAlnum(c) || c == '_' || c == '.' || c == '-' {
			buf = append(buf, c)
		} else {
			buf = append(buf, '%', digits[c>>4], digits[c&15])
		}
	}
	return buf
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}
