package cache_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/cachetest"
)

type account struct {
	ID    int64
	Owner string
}

var (
	accounts   = cache.NewGroup[int64]("account", cache.GroupOptions{TTL: 10 * time.Minute})
	getAccount = cache.NewQuery[account]("GetAccount", "5d41402abc4b", cache.QueryOptions{NoRows: errNoRows})
)

// newCache stands for cache.Open(os.Getenv("REDIS_URL"), cache.Options{Namespace: "bank"}), with a Redis in memory.
func newCache() *cache.Cache {
	c, err := cache.NewWithStore(cachetest.NewStore(nil), cache.Options{Namespace: "bank"})
	if err != nil {
		panic(err)
	}
	return c
}

// Open never dials: a program starts, and answers, without its Redis.
func ExampleOpen() {
	c, err := cache.Open("redis://localhost:6379/0", cache.Options{Namespace: "bank"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	_, err = cache.Open("localhost:6379", cache.Options{})
	fmt.Println(err != nil)
	// Output: true
}

// A generated decorator does this for every cached query.
func ExampleRead() {
	ctx, c := context.Background(), newCache()
	defer c.Close()

	read := func(id int64) (account, error) {
		return cache.Read(ctx, c, accounts.Key(id), getAccount.Cell(), func(context.Context) (account, error) {
			fmt.Println("asking the database")
			if id != 1 {
				return account{}, errNoRows
			}
			return account{ID: 1, Owner: "Ada"}, nil
		})
	}
	fmt.Println(read(1))
	_, err := read(2)
	fmt.Println(err)
	// Output:
	// asking the database
	// {1 Ada} <nil>
	// asking the database
	// no rows in result set
}

// While a write is open, nobody is served from the cache, and nobody stores what it is about to change.
func ExampleCache_Write() {
	ctx, c := context.Background(), newCache()
	defer c.Close()

	owner := "Ada"
	read := func() string {
		a, err := cache.Read(ctx, c, accounts.Key(1), getAccount.Cell(), func(context.Context) (account, error) {
			return account{1, owner}, nil
		})
		if err != nil {
			return err.Error()
		}
		return a.Owner
	}
	fmt.Println(read())
	err := c.Write(ctx, []cache.Key{accounts.Key(1)}, func(context.Context) (cache.Outcome, error) {
		owner = "Grace" // COMMIT
		return cache.Committed, nil
	})
	fmt.Println(err, read())
	// Output:
	// Ada
	// <nil> Grace
}

// One round trip for what is there, one query for what is not.
func ExampleReadMany() {
	ctx, c := context.Background(), newCache()
	defer c.Close()

	list := cache.NewQuery[[]account]("ListAccounts", "7d793037a076", cache.QueryOptions{})
	rows, err := cache.ReadMany(ctx, c, []int64{2, 1, 3}, accounts.Key, list.Cell(),
		func(a account) int64 { return a.ID },
		func(_ context.Context, missing []int64) ([]account, error) {
			fmt.Println("SELECT … WHERE id = ANY", missing)
			return []account{{1, "Ada"}, {2, "Grace"}}, nil
		})
	fmt.Println(rows, err)
	// Output:
	// SELECT … WHERE id = ANY [2 1 3]
	// [{2 Grace} {1 Ada}] <nil>
}

func ExampleFunc() {
	ctx, c := context.Background(), newCache()
	defer c.Close()

	statement := cache.Func(c, "Statement", accounts,
		func(a account) int64 { return a.ID },
		func(_ context.Context, a account) (string, error) { return "a long report for " + a.Owner, nil })
	fmt.Println(statement(ctx, account{1, "Ada"}))
	// Output: a long report for Ada <nil>
}

func ExampleKV() {
	ctx, c := context.Background(), newCache()
	defer c.Close()

	settings := cache.NewKV[string, int](c, "settings", cache.KVOptions{TTL: time.Hour})
	if err := settings.Set(ctx, "limit", 3); err != nil {
		fmt.Println(err)
	}
	fmt.Println(settings.Get(ctx, "limit"))
	fmt.Println(settings.Get(ctx, "absent"))
	// Output:
	// 3 true <nil>
	// 0 false <nil>
}

// A change that no generated write makes is announced by hand.
func ExampleCache_Invalidate() {
	ctx, c := context.Background(), newCache()
	defer c.Close()

	fmt.Println(c.Invalidate(ctx, accounts.Key(1), accounts.Key(2)))
	fmt.Println(c.InvalidateGroup(ctx, accounts))
	// Output:
	// <nil>
	// <nil>
}

// A Redis that is lost costs speed, and nothing else.
func Example_withoutRedis() {
	store := cachetest.NewStore(nil)
	store.Before = func(context.Context, string, []string) error { return cachetest.ErrDown }
	c, err := cache.NewWithStore(store, cache.Options{Logger: discard})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer c.Close()

	a, err := cache.Read(context.Background(), c, accounts.Key(1), getAccount.Cell(), func(context.Context) (account, error) {
		return account{1, "Ada"}, nil
	})
	fmt.Println(a.Owner, err, errors.Is(err, cachetest.ErrDown))
	// Output: Ada <nil> false
}

// A bad value in the environment is an error that says what is allowed; what is good says where it comes from.
func ExampleParseEnv() {
	session := cache.NewGroup[int64]("session", cache.GroupOptions{})
	_, err := cache.ParseEnv([]string{"CACHE_SESSION_TTL=soon"}, session)
	fmt.Println(err)

	env, err := cache.ParseEnv([]string{"CACHE_SESSION_TTL=1800", "REDIS_URL=redis://:secret@localhost:6379"}, session)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range env.Settings {
		if s.Source == cache.FromEnvironment {
			fmt.Println(s.Name, s.Value)
		}
	}
	// Output:
	// cache: environment variable CACHE_SESSION_TTL is "soon": want seconds or a duration, such as 1800, 30m or 250ms, of at least 1ms
	// CACHE_SESSION_TTL 30m0s
	// REDIS_URL redis://:xxxxx@localhost:6379
}
