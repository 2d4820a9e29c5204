package cache

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/s2"
)

// A stored cell is
//
//	byte  0      'V' (a lease begins with 'L')
//	byte  1      flags; the two highest bits are the envelope's version, 0
//	bytes 2-9    xxhash64 of the Redis key, the field, and all of the cell but these eight bytes
//	bytes 10-13  stamp of the epochs that were known before the lease was asked for
//	bytes 14-18  time at which the lease was granted, by the Redis server's clock, in ms since 2020-01-01
//	rest         payload, as flags say
//
// The hash makes a damaged cell, a cell of another key and a reply that was meant for another caller look the same: a miss.
const (
	envelopeLen = 19

	flagNegative   = 1 << 0 // "no row"; the payload is empty
	flagCompressed = 1 << 1 // the payload is an s2 block
	flagSealed     = 1 << 2 // reserved: the payload is encrypted
	flagsKnown     = flagNegative | flagCompressed

	grantedEpochMS = 1577836800000 // 2020-01-01T00:00:00Z
)

// Reasons for which a stored cell is not used. Each is a miss, and the cell is replaced.
var (
	errDamaged    = errors.New("cell is damaged or belongs to another key")
	errUnknown    = errors.New("cell has an unknown format")
	errOtherEpoch = errors.New("cell is of another epoch")
	errTooLarge   = errors.New("cell is larger than MaxCellBytes")
	errTooOld     = errors.New("cell was granted before Redis was last unreachable")
)

// entry is what a cell holds once it is open.
type entry struct {
	payload  []byte // as the codec wrote it
	negative bool
}

// sealer is what sealing and opening the cells of one field need.
type sealer struct {
	key, field string
	maxPayload int // bytes, uncompressed
}

func (s sealer) seal(e entry, stamp uint32, grantedMS int64, compressAbove int) []byte {
	var flags byte
	payload := e.payload
	if e.negative {
		flags |= flagNegative
		payload = nil
	}
	out := make([]byte, envelopeLen, envelopeLen+len(payload))
	if compressAbove > 0 && len(payload) > compressAbove {
		block := s2.Encode(make([]byte, s2.MaxEncodedLen(len(payload))), payload)
		if len(block) < len(payload) {
			flags |= flagCompressed
			payload = block
		}
	}
	out[0], out[1] = 'V', flags
	binary.BigEndian.PutUint32(out[10:14], stamp)
	granted := uint64(max(0, grantedMS-grantedEpochMS))
	out[14] = byte(granted >> 32)
	binary.BigEndian.PutUint32(out[15:19], uint32(granted))
	out = append(out, payload...)
	binary.BigEndian.PutUint64(out[2:10], s.sum(out))
	return out
}

// open checks a stored cell and returns what is in it. It never returns more than maxPayload bytes, and allocates no more
// than that either, whatever the cell says of itself.
func (s sealer) open(cell []byte, stamp uint32, notBeforeMS int64) (entry, error) {
	if len(cell) < envelopeLen || cell[0] != 'V' {
		return entry{}, errDamaged
	}
	if binary.BigEndian.Uint64(cell[2:10]) != s.sum(cell) {
		return entry{}, errDamaged
	}
	flags := cell[1]
	if flags&^flagsKnown != 0 {
		return entry{}, errUnknown
	}
	if binary.BigEndian.Uint32(cell[10:14]) != stamp {
		return entry{}, errOtherEpoch
	}
	granted := int64(cell[14])<<32 | int64(binary.BigEndian.Uint32(cell[15:19]))
	if granted+grantedEpochMS <= notBeforeMS { // both are cut off to ms: in the same one it may have been earlier
		return entry{}, errTooOld
	}
	if flags&flagNegative != 0 {
		return entry{negative: true}, nil
	}
	payload := cell[envelopeLen:]
	if len(payload) > s.maxPayload {
		return entry{}, fmt.Errorf("%w: %d bytes", errTooLarge, len(payload))
	}
	if flags&flagCompressed != 0 {
		n, err := s2.DecodedLen(payload)
		if err != nil {
			return entry{}, fmt.Errorf("%w: %w", errDamaged, err)
		}
		if n > s.maxPayload {
			return entry{}, fmt.Errorf("%w: %d bytes after decompression", errTooLarge, n)
		}
		if payload, err = s2.Decode(nil, payload); err != nil {
			return entry{}, fmt.Errorf("%w: %w", errDamaged, err)
		}
	}
	return entry{payload: payload}, nil
}

func (s sealer) sum(cell []byte) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(s.key)
	_, _ = d.Write([]byte{0})
	_, _ = d.WriteString(s.field)
	_, _ = d.Write([]byte{0, cell[1]})
	_, _ = d.Write(cell[10:])
	return d.Sum64()
}
