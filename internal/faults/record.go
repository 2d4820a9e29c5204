package faults

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// op is one finished read or write of one row. Times are in ns of the machine's monotonic clock, which all processes share.
type op struct {
	layer, key uint8
	kind       opKind
	start, end int64
	version    int64 // that was read, or made
}

type opKind uint8

const (
	opRead    opKind = iota + 1
	opWrite          // acknowledged
	opFailed         // a read that failed; says why
	opGaveUp         // a read whose context ended
	opRefused        // a write that failed, and changed nothing
	opUnknown        // a write of which nobody can say whether it was committed
	opAt             // a failpoint was reached; says which
	opAnswer         // to a command; says it
)

// record is what a worker tells: an op, and for some kinds a text.
type record struct {
	op
	text string
}

const opBytes = 1 + 1 + 1 + 8 + 8 + 8

// recorder writes records to a pipe. It is safe for concurrent use.
type recorder struct {
	mu sync.Mutex
	w  *bufio.Writer
}

func newRecorder(w io.Writer) *recorder { return &recorder{w: bufio.NewWriterSize(w, 1<<16)} }

func (r *recorder) add(rec record) {
	var b [opBytes + 4]byte
	b[0], b[1], b[2] = byte(rec.kind), rec.layer, rec.key
	binary.LittleEndian.PutUint64(b[3:], uint64(rec.start))
	binary.LittleEndian.PutUint64(b[11:], uint64(rec.end))
	binary.LittleEndian.PutUint64(b[19:], uint64(rec.version))
	binary.LittleEndian.PutUint32(b[27:], uint32(len(rec.text)))
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = r.w.Write(b[:]) // bufio keeps the error, and flush returns it
	_, _ = r.w.WriteString(rec.text)
}

func (r *recorder) flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.w.Flush()
}

// readRecords calls each for every whole record. The end of a killed process may be in the middle of one.
func readRecords(from io.Reader, each func(record)) error {
	r := bufio.NewReaderSize(from, 1<<16)
	var b [opBytes + 4]byte
	for {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil
			}
			return fmt.Errorf("reading what a worker recorded: %w", err)
		}
		rec := record{op: op{
			kind: opKind(b[0]), layer: b[1], key: b[2],
			start:   int64(binary.LittleEndian.Uint64(b[3:])),
			end:     int64(binary.LittleEndian.Uint64(b[11:])),
			version: int64(binary.LittleEndian.Uint64(b[19:])),
		}}
		if n := binary.LittleEndian.Uint32(b[27:]); n > 0 {
			if n > 1<<20 {
				return fmt.Errorf("a worker's record has a text of %d bytes", n)
			}
			text := make([]byte, n)
			if _, err := io.ReadFull(r, text); err != nil {
				return nil
			}
			rec.text = string(text)
		}
		each(rec)
	}
}
