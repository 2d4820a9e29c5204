package pgaside_test

import (
	"context"
	"fmt"
	"os"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cached"
	"github.com/pgaside/pgaside/repo"
)

// The function is in the README, too: TestReadmeHasTheExample keeps them the same.

func rename(ctx context.Context, pool *pgxpool.Pool, id uuid.UUID, title string) error {
	c, err := cache.Open(os.Getenv("REDIS_URL"), cache.Options{Namespace: "therapist"}) // never dials: Redis may be absent
	if err != nil {
		return err
	}
	defer c.Close()

	q := cached.New(pool, c)                  // was: repo.New(pool)
	session, err := q.GetSession(ctx, id)     // from Redis, else from Postgres
	if err != nil || session.Title == title { // pgx.ErrNoRows is pgx.ErrNoRows, cached or not
		return err
	}
	return q.InTx(ctx, pgx.TxOptions{}, func(q *cached.Queries) error {
		_, err := q.RenameSession(ctx, repo.RenameSessionParams{ID: id, Title: title})
		return err // nil commits; what RenameSession changed is invalidated around the COMMIT
	})
}

func Example() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	if err := rename(ctx, pool, uuid.New(), "Week 2"); err != nil {
		fmt.Println(err)
	}
}
