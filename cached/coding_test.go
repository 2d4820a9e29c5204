package cached

import (
	"bytes"
	"fmt"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/repo"
)

func decoder[T any](c cache.Coding[T]) func([]byte) error {
	return func(data []byte) error {
		var v T
		if c.Decode(data, &v) != nil {
			return nil
		}
		again, err := c.Append(nil, &v)
		if err != nil || !bytes.Equal(data, again) {
			return fmt.Errorf("%q was read, and is written as %q, %v", data, again, err)
		}
		return nil
	}
}

var decoders = []func([]byte) error{
	decoder(sessionCoding), decoder(sessionListCoding), decoder(messageCoding), decoder(messageListCoding), decoder(cbtEntryCoding),
	decoder(cbtEntryListCoding), decoder(authConfigCoding), decoder(deviceListCoding), decoder(reportCoding), decoder(therapyPromptListCoding),
	decoder(userSessionListCoding), decoder(sessionReportRowCoding), decoder(int64Coding),
}

// FuzzDecode gives the codings of the reference application any bytes: an error, or a value that is written as these very bytes; with
// memory in proportion to their number.
func FuzzDecode(f *testing.F) {
	s := session()
	for i, text := range [][]byte{encoded(sessionCoding, s), encoded(sessionListCoding, []repo.Session{s, {}}), encoded(messageCoding, repo.Message{Metadata: []byte("{}")})} {
		f.Add(uint8(i), text)
	}
	f.Add(uint8(6), encoded(authConfigCoding, repo.AuthConfig{AllowedMethods: []string{"a", ""}}))
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := decoders[int(which)%len(decoders)](data); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > uint64(128*len(data)+2<<20) { // the fuzzer itself allocates too
			t.Fatalf("%d bytes were allocated for %d", n, len(data))
		}
	})
}

func encoded[T any](c cache.Coding[T], v T) []byte {
	text, err := c.Append(nil, &v)
	if err != nil {
		panic(err)
	}
	return text
}

// session is what Postgres gives for one.
func session() repo.Session {
	mood, summary, ended := int16(4), "We talked about sleep, and what keeps it away.", time.Unix(1795300800, 123456000)
	return repo.Session{
		ID: uuid.MustParse("0193f5a0-7e4c-7bb0-8a45-0123456789ab"), UserID: uuid.MustParse("0193f5a0-7e4c-7bb0-8a45-ba9876543210"),
		Title: "Sleep, third week", Status: repo.SessionStatusCompleted, MoodBefore: &mood, Summary: &summary,
		StartedAt: time.Unix(1795297200, 654321000), EndedAt: &ended, UpdatedAt: ended,
	}
}

func TestSessionComesBack(t *testing.T) {
	s := session()
	var got repo.Session
	if err := sessionCoding.Decode(encoded(sessionCoding, s), &got); err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("%+v came back as %+v, %v", s, got, err)
	}
	text := encoded(sessionCoding, s)
	if n := testing.AllocsPerRun(100, func() {
		if err := sessionCoding.Decode(text, &got); err != nil {
			t.Error(err)
		}
	}); n > 6 { // three strings and three pointers
		t.Errorf("%g allocations to read one", n)
	}
}

// BenchmarkCoding compares the generated coding with JSON, on one row and on a page of them.
func BenchmarkCoding(b *testing.B) {
	s := session()
	page := make([]repo.Session, 50)
	for i := range page {
		page[i] = s
	}
	benchCoding(b, "rows=1", sessionCoding, s)
	benchCoding(b, "rows=50", sessionListCoding, page)
}

func benchCoding[T any](b *testing.B, name string, c cache.Coding[T], v T) {
	codecs := []struct {
		name   string
		encode func() ([]byte, error)
		decode func([]byte) error
	}{
		{"generated", func() ([]byte, error) { return c.Append(make([]byte, 0, 256), &v) }, func(data []byte) error { return c.Decode(data, new(T)) }},
		{"json", func() ([]byte, error) { return cache.JSON{}.Marshal(&v) }, func(data []byte) error { return cache.JSON{}.Unmarshal(data, new(T)) }},
	}
	for _, codec := range codecs {
		data, err := codec.encode()
		if err != nil {
			b.Fatal(err)
		}
		b.Run("encode/"+name+"/codec="+codec.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := codec.encode(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(data)), "bytes")
		})
		b.Run("decode/"+name+"/codec="+codec.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := codec.decode(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
