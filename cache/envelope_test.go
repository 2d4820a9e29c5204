package cache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
)

var testSealer = sealer{key: "pgaside:{users:1}", field: "GetUser.0123456789ab", maxPayload: 1 << 16}

const grantedAt = grantedEpochMS + 1_000_000

func TestEnvelope(t *testing.T) {
	random := make([]byte, 5000)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	for name, payload := range map[string][]byte{
		"empty": {}, "small": []byte("{}\n"), "compressible": bytes.Repeat([]byte("abc"), 2000), "incompressible": random,
	} {
		for _, above := range []int{-1, 0, 1, 1024} {
			cell := testSealer.seal(entry{payload: payload}, 7, grantedAt, above)
			if name == "compressible" && above > 0 && len(cell) >= len(payload) {
				t.Errorf("%s above %d: not compressed", name, above)
			}
			e, err := testSealer.open(cell, 7, 0)
			if err != nil || e.negative || !bytes.Equal(e.payload, payload) {
				t.Errorf("%s above %d: %v", name, above, err)
			}
		}
	}
	cell := testSealer.seal(entry{negative: true, payload: []byte("dropped")}, 7, grantedAt, 1024)
	if e, err := testSealer.open(cell, 7, 0); err != nil || !e.negative || len(cell) != envelopeLen {
		t.Errorf("negative: %+v, %v", e, err)
	}
}

func TestEnvelopeRefuses(t *testing.T) {
	payload := bytes.Repeat([]byte("abc"), 100)
	cell := testSealer.seal(entry{payload: payload}, 7, grantedAt, 10)
	for i := range cell {
		for bit := range 8 {
			damaged := bytes.Clone(cell)
			damaged[i] ^= 1 << bit
			if _, err := testSealer.open(damaged, 7, 0); err == nil {
				t.Fatalf("bit %d of byte %d", bit, i)
			}
		}
	}
	for n := range cell {
		if _, err := testSealer.open(cell[:n], 7, 0); err == nil {
			t.Fatalf("cut off at %d", n)
		}
	}
	if _, err := testSealer.open(append(bytes.Clone(cell), 0), 7, 0); err == nil {
		t.Error("a byte more")
	}
	otherKey, otherField := testSealer, testSealer
	otherKey.key = "pgaside:{users:2}"
	otherField.field += ".1"
	shifted := sealer{key: testSealer.key + "\x00G", field: testSealer.field[1:], maxPayload: 1 << 16}
	for name, s := range map[string]sealer{"other key": otherKey, "other field": otherField, "shifted": shifted} {
		if _, err := s.open(cell, 7, 0); !errors.Is(err, errDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]struct {
		stamp     uint32
		notBefore int64
		want      error
	}{
		"other epoch":            {8, 0, errOtherEpoch},
		"from before an outage":  {7, grantedAt + 1, errTooOld},
		"from the very ms of it": {7, grantedAt, errTooOld},
		"from after an outage":   {7, grantedAt - 1, nil},
	} {
		if _, err := testSealer.open(cell, c.stamp, c.notBefore); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// signed returns a cell with any flags and payload, and a right hash.
func signed(flags byte, payload []byte) []byte {
	out := make([]byte, envelopeLen, envelopeLen+len(payload))
	out[0], out[1] = 'V', flags
	binary.BigEndian.PutUint32(out[10:], 7)
	out[14] = 1
	out = append(out, payload...)
	binary.BigEndian.PutUint64(out[2:], testSealer.sum(out))
	return out
}

func TestEnvelopeFromTheFuture(t *testing.T) {
	for flags := range 256 {
		_, err := testSealer.open(signed(byte(flags), nil), 7, 0)
		if byte(flags)&^flagsKnown != 0 && !errors.Is(err, errUnknown) {
			t.Errorf("flags %08b: %v", flags, err)
		}
	}
	if _, err := testSealer.open(signed(flagSealed, []byte("secret")), 7, 0); !errors.Is(err, errUnknown) {
		t.Errorf("a sealed payload: %v", err)
	}
}

func TestEnvelopeIsBounded(t *testing.T) {
	bomb := s2.Encode(nil, make([]byte, 100<<20)) // a few kB
	lie := append(binary.AppendUvarint(nil, 1<<31), 0, 0)
	for name, cell := range map[string][]byte{
		"bomb":       signed(flagCompressed, bomb),
		"lie":        signed(flagCompressed, lie),
		"no block":   signed(flagCompressed, nil),
		"bad block":  signed(flagCompressed, []byte{5, 0xff, 0xff}),
		"bad length": signed(flagCompressed, bytes.Repeat([]byte{0xff}, 12)),
		"large":      signed(0, make([]byte, testSealer.maxPayload+1)),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := testSealer.open(cell, 7, 0)
		runtime.ReadMemStats(&after)
		allocated := after.TotalAlloc - before.TotalAlloc // by the whole process: the bound leaves room
		if err == nil {
			t.Errorf("%s: opened", name)
		}
		if allocated > 10<<20 {
			t.Errorf("%s: allocates %d bytes", name, allocated)
		}
	}
	if e, err := testSealer.open(signed(0, make([]byte, testSealer.maxPayload)), 7, 0); err != nil || len(e.payload) != testSealer.maxPayload {
		t.Errorf("the largest: %v", err)
	}
}

func TestJitterIsWithinATenth(t *testing.T) {
	const ttl = 100 * time.Second
	least, most := ttl, time.Duration(0)
	for range 10_000 {
		d := jitter(ttl)
		least, most = min(least, d), max(most, d)
	}
	if least < ttl*9/10 || most > ttl {
		t.Errorf("between %s and %s", least, most)
	}
	if most-least < ttl/20 {
		t.Errorf("hardly any: between %s and %s", least, most)
	}
}

func FuzzOpenCell(f *testing.F) {
	f.Add(testSealer.seal(entry{payload: []byte("{}\n")}, 7, grantedAt, 0), false)
	f.Add(testSealer.seal(entry{payload: bytes.Repeat([]byte("abc"), 100)}, 7, grantedAt, 10), false)
	f.Add(testSealer.seal(entry{negative: true}, 7, grantedAt, 0), true)
	f.Add([]byte("V"), true)
	f.Add([]byte("L1|2|3"), false)
	f.Fuzz(func(t *testing.T, cell []byte, sign bool) {
		if sign && len(cell) >= envelopeLen { // get past the hash
			cell = bytes.Clone(cell)
			cell[0] = 'V'
			binary.BigEndian.PutUint64(cell[2:], testSealer.sum(cell))
		}
		e, err := testSealer.open(cell, binary.BigEndian.Uint32(append(bytes.Clone(cell), make([]byte, 14)...)[10:]), 0)
		if err != nil {
			if e.payload != nil || e.negative {
				t.Fatalf("%+v along with %v", e, err)
			}
			return
		}
		if len(e.payload) > testSealer.maxPayload {
			t.Fatalf("%d bytes", len(e.payload))
		}
	})
}

func FuzzKey(f *testing.F) {
	for _, s := range []string{"", "a", "a:b", "}{", "%", "%41", "~0123456789abcdef0123456789abcdef", "é\x00\xff", strings.Repeat("x", 300)} {
		f.Add(s, "a")
		f.Add("a", s)
	}
	g := NewGroup2[string, string]("pair", GroupOptions{})
	f.Fuzz(func(t *testing.T, a, b string) {
		k := g.Key(a, b)
		name := k.redis("ns:{pair:")
		if k.IsVoid() || len(name) > maxKeyLen || strings.Count(name, "{") != 1 || strings.Count(name, "}") != 1 || name[len(name)-1] != '}' {
			t.Fatalf("%q", name)
		}
		for i := range len(name) {
			if c := name[i]; !isAlnum(c) && !strings.ContainsRune("_.-:%~{}", rune(c)) {
				t.Fatalf("%q has the byte %q", name, c)
			}
		}
		if a != b && g.Key(b, a) == k {
			t.Fatalf("%q and %q swapped are one key", a, b)
		}
		if got, want := unescape(t, idOf(k)), a+":"+b; !strings.Contains(a+b, ":") && got != want {
			t.Fatalf("%q reads %q", idOf(k), got)
		}
	})
}

func unescape(t *testing.T, id string) string {
	var out []byte
	for i := 0; i < len(id); i++ {
		if id[i] != '%' {
			out = append(out, id[i])
			continue
		}
		if i+2 >= len(id) {
			t.Fatalf("%q", id)
		}
		const digits = "0123456789ABCDEF"
		out = append(out, byte(strings.IndexByte(digits, id[i+1])<<4|strings.IndexByte(digits, id[i+2])))
		i += 2
	}
	return string(out)
}

func idOf(k Key) string { return k.long + string(k.short[:k.n]) }
