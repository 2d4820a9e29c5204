package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgaside/pgaside/integration/peers/repo"
)

// dataset is the rows that everything is measured with, and the order in which they are read. It is the same in every run.
type dataset struct {
	rows []repo.Item
	zipf []int // indexes into rows, drawn beforehand: s = 1.1, v = 1
}

func newDataset(n int) *dataset {
	r := rand.New(rand.NewPCG(1, 2))
	d := &dataset{rows: make([]repo.Item, n), zipf: make([]int, 1<<16)}
	for i := range d.rows {
		d.rows[i] = newRow(r)
	}
	z := rand.NewZipf(r, 1.1, 1, uint64(n-1))
	for i := range d.zipf {
		d.zipf[i] = int(z.Uint64())
	}
	return d
}

func newRow(r *rand.Rand) repo.Item {
	id := func() (u uuid.UUID) {
		for i := range u {
			u[i] = byte(r.Uint32())
		}
		u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
		return u
	}
	// Microseconds: what Postgres keeps.
	at := func() time.Time {
		return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(r.Int64N(3e13)) * time.Microsecond / 2)
	}
	metadata := fmt.Sprintf(`{"mood": %d, "tags": ["%s", "%s", "%s"], "note": "%s", "score": %.4f, "source": "%s"}`,
		r.IntN(11), text(r, 8), text(r, 8), text(r, 8), text(r, 85), r.Float64(), text(r, 10))
	return repo.Item{
		ID: id(), OwnerID: id(), Title: text(r, 30), Status: "completed", Body: text(r, 135), Metadata: []byte(metadata),
		CreatedAt: at(), UpdatedAt: at(), StartedAt: at(), EndedAt: at(),
	}
}

var words = strings.Fields(`time year people way day man thing woman life child world school state family student group country
	problem hand part place case week company system program question work night point home water room mother area money story
	fact month lot right study book eye job word business issue side kind head house service friend father power hour game line`)

// text is about n characters of words.
func text(r *rand.Rand, n int) string {
	var b strings.Builder
	for b.Len() < n {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(words[r.IntN(len(words))])
	}
	return b.String()
}

// jsonSize is the mean size of a row as JSON, in bytes.
func (d *dataset) jsonSize() (float64, error) {
	sum := 0
	for i := range d.rows {
		b, err := json.Marshal(&d.rows[i])
		if err != nil {
			return 0, err
		}
		sum += len(b)
	}
	return float64(sum) / float64(len(d.rows)), nil
}

// keys returns the Redis key of each row, made beforehand so that no peer pays for it.
func (d *dataset) keys(prefix string) []string {
	out := make([]string, len(d.rows))
	for i := range d.rows {
		out[i] = prefix + ":" + d.rows[i].ID.String()
	}
	return out
}

// store makes the table and fills it.
func (d *dataset) store(ctx context.Context, pool *pgxpool.Pool) error {
	if _, err := pool.Exec(ctx, schema); err != nil {
		return fmt.Errorf("making the table: %w", err)
	}
	columns := []string{"id", "owner_id", "title", "status", "body", "metadata", "created_at", "updated_at", "started_at", "ended_at"}
	_, err := pool.CopyFrom(ctx, pgx.Identifier{"items"}, columns, pgx.CopyFromSlice(len(d.rows), func(i int) ([]any, error) {
		r := &d.rows[i]
		return []any{r.ID, r.OwnerID, r.Title, r.Status, r.Body, r.Metadata, r.CreatedAt, r.UpdatedAt, r.StartedAt, r.EndedAt}, nil
	}))
	if err != nil {
		return fmt.Errorf("filling the table: %w", err)
	}
	_, err = pool.Exec(ctx, `INSERT INTO cards SELECT id, owner_id, title, status, body, created_at, updated_at, started_at, ended_at FROM items`)
	if err != nil {
		return fmt.Errorf("filling the second table: %w", err)
	}
	_, err = pool.Exec(ctx, "vacuum analyze items, cards")
	return err
}
