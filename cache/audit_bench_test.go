package cache_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cache/cachetest"
)

// idleAuditor wants nothing, as one does nearly always.
type idleAuditor struct{}

func (idleAuditor) Wants() bool     { return false }
func (idleAuditor) Offer(cache.Hit) {}

// BenchmarkHit is a hit over a store in memory: what the engine itself costs, and an auditor beside it.
func BenchmarkHit(b *testing.B) {
	for name, a := range map[string]cache.Auditor{"off": nil, "idle": idleAuditor{}} {
		for _, args := range []string{"none", "two"} {
			b.Run("auditor="+name+"/args="+args, func(b *testing.B) {
				c, err := cache.NewWithStore(cachetest.NewStore(nil), cache.Options{Auditor: a, Logger: slog.New(slog.DiscardHandler)})
				if err != nil {
					b.Fatal(err)
				}
				defer c.Close()
				ctx := context.Background()
				load := func(context.Context) (user, error) { return user{1, "name"}, nil }
				read := func() {
					cell := getUser.Cell()
					if args == "two" {
						cell = getUser.Cell(int32(10), "page")
					}
					if _, err := cache.Read(ctx, c, users.Key(1), cell, load); err != nil {
						b.Fatal(err)
					}
				}
				for c.Stats().Total().Hits == 0 {
					read()
				}
				b.ReportAllocs()
				for b.Loop() {
					read()
				}
			})
		}
	}
}
