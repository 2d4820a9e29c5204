// Package rows has a field of every type for which the generator writes a coding of its own, and of those that it leaves to JSON:
// what sqlc gives with pgx/v5 under any option, and what an override may name.
package rows

import (
	"database/sql"
	"encoding/json"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

// Results are the types of results for which codings are generated.
type Results struct {
	Row       Row
	Rows      []Row
	PgRow     PgRow
	OwnRow    OwnRow
	Count     int64
	Name      *string
	Names     []string
	At        time.Time
	Blob      []byte
	Amount    pgtype.Numeric
	NullNames *[]*string
}

// Mood is an enum.
type Mood string

// NullMood is as sqlc writes it.
type NullMood struct {
	Mood  Mood
	Valid bool
}

// Row has Go's own types, as emit_pointers_for_null_types gives them.
type Row struct {
	Bool      bool
	Int       int
	Int8      int8
	Int16     int16
	Int32     int32
	Int64     int64
	Uint      uint
	Uint8     uint8
	Uint16    uint16
	Uint32    uint32
	Uint64    uint64
	Float32   float32
	Float64   float64
	Text      string
	Bytea     []byte
	Raw       json.RawMessage
	UUID      uuid.UUID
	Array     [16]byte
	Three     [3]int32
	At        time.Time
	Mood      Mood
	NullMood  NullMood
	Addr      netip.Addr
	Prefix    netip.Prefix
	Mac       net.HardwareAddr
	PBool     *bool
	PInt16    *int16
	PInt64    *int64
	PFloat64  *float64
	PText     *string
	PMood     *Mood
	PUUID     *uuid.UUID
	PAt       *time.Time
	PAddr     *netip.Addr
	PPrefix   *netip.Prefix
	PBytea    *[]byte
	PP        **string
	Ints      []int32
	Texts     []string
	PTexts    []*string
	Moods     []Mood
	Byteas    [][]byte
	Grid      [][]int64
	Times     []time.Time
	UUIDs     []uuid.UUID
	Addrs     []netip.Addr
	NullUUID  uuid.NullUUID
	NullText  sql.NullString
	NullTime  sql.NullTime
	NullInt   sql.NullInt64
	NullAny   sql.Null[time.Time]
	Inner     Inner // sqlc.embed
	PInner    *Inner
	InnerList []Inner
	Inner2    struct {
		A string
		B []int64
	}
	Embedded
}

// Inner is a row inside of a row.
type Inner struct {
	ID   int64
	Tags []string
}

// Embedded is a row whose fields are promoted.
type Embedded struct{ Note *string }

// PgRow has the types of pgtype.
type PgRow struct {
	Text        pgtype.Text
	Int2        pgtype.Int2
	Int4        pgtype.Int4
	Int8        pgtype.Int8
	Float4      pgtype.Float4
	Float8      pgtype.Float8
	Bool        pgtype.Bool
	UUID        pgtype.UUID
	Date        pgtype.Date
	Timestamp   pgtype.Timestamp
	Timestamptz pgtype.Timestamptz
	Time        pgtype.Time
	Interval    pgtype.Interval
	Numeric     pgtype.Numeric
	Bits        pgtype.Bits
	Point       pgtype.Point
	Box         pgtype.Box
	Circle      pgtype.Circle
	Line        pgtype.Line
	Lseg        pgtype.Lseg
	Path        pgtype.Path
	Polygon     pgtype.Polygon
	TID         pgtype.TID
	TSVector    pgtype.TSVector
	Uint32      pgtype.Uint32
	Uint64      pgtype.Uint64
	Hstore      pgtype.Hstore
	Range       pgtype.Range[pgtype.Timestamptz]
	NumRange    pgtype.Range[pgtype.Numeric]
	DateRange   pgtype.Range[pgtype.Date]
	Multirange  pgtype.Multirange[pgtype.Range[pgtype.Int8]]
	Array       pgtype.Array[pgtype.Text]
	Flat        pgtype.FlatArray[*int64]
	Numerics    []pgtype.Numeric
	Dates       []pgtype.Date
}

// OwnRow has types that an override names.
type OwnRow struct {
	Cents    Cents
	Tags     Tags
	ByName   map[string]string
	ByID     map[int32][]Inner
	ByUUID   map[uuid.UUID]string // JSON
	Big      big.Int
	PBig     *big.Int
	IPNet    net.IPNet
	Hidden   Hidden // JSON
	PHidden  *Hidden
	Tree     *Tree // JSON
	Any      any
	PAny     *any
	Anys     []any
	Hiddens  []Hidden
	LastSeen LastSeen // JSON
}

// Cents is a number with a name.
type Cents int64

// Tags is a list with a name.
type Tags []string

// LastSeen hides what a time has.
type LastSeen struct {
	at time.Time //nolint:unused // a test sets it by reflection
}

// Tree holds others of its kind.
type Tree struct {
	Name string
	Down []Tree
}

// Hidden is a decimal, as many a library has one: JSON knows all of it, its fields do not.
type Hidden struct {
	digits *big.Int
	scale  int32
}

// NewHidden returns a decimal.
func NewHidden(digits int64, scale int32) Hidden { return Hidden{big.NewInt(digits), scale} }

// MarshalJSON writes the digits and the scale.
func (h Hidden) MarshalJSON() ([]byte, error) {
	if h.digits == nil {
		return []byte("null"), nil
	}
	return json.Marshal([]any{h.digits.String(), h.scale})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (h *Hidden) UnmarshalJSON(text []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(text, &parts); err != nil || parts == nil {
		return err
	}
	var digits string
	if len(parts) != 2 {
		return errors.New("not a decimal")
	}
	if err := errors.Join(json.Unmarshal(parts[0], &digits), json.Unmarshal(parts[1], &h.scale)); err != nil {
		return err
	}
	var ok bool
	if h.digits, ok = new(big.Int).SetString(digits, 10); !ok {
		return errors.New("not a number")
	}
	return nil
}
