package integration

import (
	"context"
	"log"
	"os"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cached"
	"github.com/pgaside/pgaside/repo"
)

// A whole program: what read Postgres with every call is cached, with the same methods, types and errors.
func Example() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	// Never dials: Redis may be absent.
	c, err := cache.Open(os.Getenv("REDIS_URL"), cache.Options{Namespace: "therapist"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	q := cached.New(pool, c) // before: q := repo.New(pool)

	session, err := q.GetSession(ctx, uuid.New())
	log.Println(session.Title, err)

	// A transaction: its writes are fenced at the commit.
	err = q.InTx(ctx, pgx.TxOptions{}, func(q *cached.Queries) error {
		_, err := q.RenameSession(ctx, repo.RenameSessionParams{ID: session.ID, Title: "A better week"})
		return err
	})
	log.Println(err)

	// The same with a pgx.Tx in hand.
	tx, err := q.Begin(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer tx.Rollback(ctx)
	if _, err := q.WithTx(tx).CompleteSession(ctx, repo.CompleteSessionParams{ID: session.ID}); err != nil {
		log.Fatal(err)
	}
	log.Println(tx.Commit(ctx))

	// By hand, for changes that no generated write makes.
	log.Println(c.Invalidate(ctx, cached.Session.Key(session.ID)), c.InvalidateGroup(ctx, cached.Session))
}

// Code that takes the small interface of a query file runs on the repository and on its cached form alike.
func Example_repositoryInterface() {
	var pool *pgxpool.Pool
	var c *cache.Cache
	title := func(ctx context.Context, sessions cached.SessionRepository, id uuid.UUID) (string, error) {
		s, err := sessions.GetSession(ctx, id)
		return s.Title, err
	}
	log.Println(title(context.Background(), repo.New(pool), uuid.New()))
	log.Println(title(context.Background(), cached.New(pool, c), uuid.New()))
}
