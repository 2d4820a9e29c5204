//go:build peers_all

package main

import (
	"context"

	"github.com/zeromicro/go-zero/core/logx"
	zredis "github.com/zeromicro/go-zero/core/stores/redis"
	zsqlc "github.com/zeromicro/go-zero/core/stores/sqlc"
	"github.com/zeromicro/go-zero/core/stores/sqlx"

	"github.com/pgaside/pgaside/integration/peers/repo"
)

// goZeroPeers are go-zero's cached connection, whose queries run on our pool. It takes minutes to compile, so that only
// the build tag peers_all has it. It has no batch: a loop.
func goZeroPeers() []maker {
	return []maker{{
		name: "go-zero sqlc.CachedConn", gives: decoded,
		does: []string{"hit", "throughput", "miss", "batch-hits", "batch-misses", "herd", "memory"},
		make: func(_ context.Context, w *world) (*peer, error) {
			logx.Disable()
			o, err := w.options()
			if err != nil {
				return nil, err
			}
			// With CLIENT SETINFO, which Redis before 7.2 lacks, its breaker opens on a healthy server.
			rdb, err := zredis.NewRedis(zredis.RedisConf{Host: o.Addr, Type: zredis.NodeType, DisableIdentity: true})
			if err != nil {
				return nil, err
			}
			cc := zsqlc.NewNodeConn(nil, rdb)
			src := w.source()
			get := func(ctx context.Context, i int) (string, error) {
				var row repo.Item
				err := cc.QueryRowCtx(ctx, &row, w.keys[i], func(ctx context.Context, _ sqlx.SqlConn, v any) (err error) {
					*v.(*repo.Item), err = src.one(ctx, i)
					return err
				})
				return row.Title, err
			}
			return &peer{
				get: get,
				getMany: func(ctx context.Context, rows []int) (int, error) {
					for _, i := range rows {
						if _, err := get(ctx, i); err != nil {
							return 0, err
						}
					}
					return len(rows), nil
				},
				warm: func(ctx context.Context) error {
					return readAll(len(w.keys), func(i int) error { return cc.SetCacheCtx(ctx, w.keys[i], &w.data.rows[i]) })
				},
				loads: src.loads,
				close: func() {}, // it has no way to close its client
			}, nil
		},
	}}
}
