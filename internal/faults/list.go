package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/internal/servers"
)

// The bounds of faults that are alike.
var (
	// fenceLost: a fence is gone before its write has ended. Strict readers that met it, or whose lease it has voided, and a
	// strict write's return void the key once more.
	fenceLost = map[string]bound{layerFenced: trip, layerAfterCommit: trip}

	// unreachable: no process reaches Redis. A strict write fails; the others are made known when it is back.
	unreachable = map[string]bound{layerFenced: back, layerAfterCommit: back}

	// writerAlone: writers don't reach Redis, or may not write there, and readers still read what it holds.
	writerAlone = map[string]bound{layerFenced: byTTL, layerAfterCommit: byTTL}

	// failover: what was acknowledged can be gone, with what came before it still there.
	failover = map[string]bound{layerFenced: byTTL, layerAfterCommit: byTTL}
)

// calm is no fault at all: what the others are compared with, and where the caches made by hand must be caught.
var calm = &fault{
	name: "calm", short: true, what: "Nothing breaks.", alone: true,
	run: func(ctx context.Context, s *scenario) error { return s.last(ctx) },
}

// list returns all faults.
func list() []*fault {
	all := []*fault{
		calm,

		// Redis.
		{
			name: "redis killed", short: true, what: "Redis is killed and started empty.", bound: unreachable, errors: cache.ErrorConnection,
			run: redisKilled,
		},
		{
			name: "redis restarted", what: "Redis is killed and started empty at once, again and again.", bound: unreachable,

			run: func(ctx context.Context, s *scenario) error {
				return s.until(ctx, time.Second, func() error {
					if err := s.grid.redis.Kill(); err != nil {
						return err
					}
					return s.grid.redis.Start(ctx)
				})
			},
		},
		{
			name: "redis frozen", short: true, what: "Redis is stopped (SIGSTOP) and goes on.", bound: unreachable, errors: cache.ErrorTimeout,
			run: func(ctx context.Context, s *scenario) error {
				return s.until(ctx, s.length, func() error {
					if err := s.grid.redis.Freeze(); err != nil {
						return err
					}
					err := sleep(ctx, s.length/2)
					if thawErr := s.grid.redis.Thaw(); err == nil {
						err = thawErr
					}
					return err
				})
			},
		},
		{
			name: "client pause", what: "CLIENT PAUSE of 50 to 600 ms, of writes or of everything.", bound: unreachable,
			errors: cache.ErrorTimeout,
			run: func(ctx context.Context, s *scenario) error {
				return s.until(ctx, 900*time.Millisecond, func() error {
					what := []string{"WRITE", "ALL"}[rand.IntN(2)]
					return s.grid.admin.Do(ctx, "CLIENT", "PAUSE", 50+rand.IntN(550), what).Err()
				})
			},
		},
		{
			name: "debug sleep", what: "DEBUG SLEEP of 50 to 600 ms.", bound: unreachable, errors: cache.ErrorTimeout,
			run: func(ctx context.Context, s *scenario) error {
				return s.until(ctx, 300*time.Millisecond, func() error {
					return s.grid.admin.Do(ctx, "DEBUG", "SLEEP", fmt.Sprintf("%.2f", 0.05+rand.Float64()*0.55)).Err()
				})
			},
		},
		{name: "flushall", short: true, what: "FLUSHALL every few ms.", bound: fenceLost, run: func(ctx context.Context, s *scenario) error {
			return s.until(ctx, 20*time.Millisecond, func() error { return s.grid.admin.FlushAll(ctx).Err() })
		}},
		{
			name: "wrong password", short: true, what: "Redis asks for a password that nobody has.", bound: unreachable, errors: cache.ErrorAuth,
			run: wrongPassword,
		},
		{
			name: "read-only", short: true, what: "Redis has become a replica: READONLY to every write, and reads are served.", bound: writerAlone,
			errors: cache.ErrorConnection,
			run: func(ctx context.Context, s *scenario) error {
				if err := s.grid.admin.Do(ctx, "REPLICAOF", "127.0.0.1", "1").Err(); err != nil {
					return err
				}
				err := s.last(ctx)
				if backErr := s.grid.admin.Do(ctx, "REPLICAOF", "NO", "ONE").Err(); err == nil {
					err = backErr
				}
				return err
			},
		},
		{
			name: "loading", short: true, what: "Redis is killed and answers LOADING while it reads a file of other programs' keys.", bound: unreachable, errors: cache.ErrorConnection,
			run: loading,
		},
		{name: "script flush", short: true, what: "SCRIPT FLUSH every few ms: NOSCRIPT.", run: func(ctx context.Context, s *scenario) error {
			return s.until(ctx, 10*time.Millisecond, func() error { return s.grid.admin.ScriptFlush(ctx).Err() })
		}},

		// The network to Redis.
		{name: "cut", short: true, what: "Connections to Redis are cut every few ms.", bound: unreachable, proxied: true, run: func(ctx context.Context, s *scenario) error {
			return s.until(ctx, 60*time.Millisecond, func() error {
				s.process(rand.IntN(workers)).redis.cut()
				return nil
			})
		}},
		{
			name: "blackhole to Redis", what: "Nothing that is sent reaches Redis, until the network is back.", bound: unreachable, errors: cache.ErrorTimeout,
			befalls: "network", proxied: true, run: network(rules{holdUp: true}),
		},
		{
			name: "blackhole from Redis", short: true, what: "Redis hears everything, and no answer arrives until the network is back.", bound: unreachable,
			errors:  cache.ErrorTimeout,
			befalls: "network", proxied: true, run: network(rules{holdDown: true}),
		},
		{name: "slow network", what: "Each message to and from Redis is late by up to 30 ms.", bound: unreachable, befalls: "network", proxied: true, run: network(rules{delay: 30 * time.Millisecond})},
		{
			name: "late requests", short: true, what: "One of 15 requests to Redis loses its connection, and is executed up to 2 s later.", bound: unreachable,
			befalls: "network", proxied: true, run: func(ctx context.Context, s *scenario) error {
				if err := network(rules{late: 15, lateBy: 1600 * time.Millisecond})(ctx, s); err != nil {
					return err
				}
				n := int64(0)
				for _, p := range s.all() {
					n += p.redis.late.Load()
				}
				if n == 0 {
					return errors.New("no request was delivered late")
				}
				return nil
			},
		},
		{
			name: "writer cut off", short: true, what: "One process that writes does not reach Redis; the others do.", bound: writerAlone,
			errors:  cache.ErrorConnection,
			befalls: "network", proxied: true, run: func(ctx context.Context, s *scenario) error {
				p := s.process(theWriter).redis
				p.set(rules{refuse: true})
				p.cut()
				defer p.set(rules{})
				return s.last(ctx)
			},
		},
		{
			name: "writer held up", what: "What one process that writes sends to Redis arrives when the network is back.", bound: writerAlone,
			errors:  cache.ErrorTimeout,
			befalls: "network", proxied: true, run: func(ctx context.Context, s *scenario) error {
				p := s.process(theWriter).redis
				p.set(rules{holdUp: true})
				defer p.set(rules{})
				return s.last(ctx)
			},
		},

		// Processes.
		{name: "writer killed after fence", short: true, what: "A writer is killed (SIGKILL) between its fence and COMMIT.", befalls: "writer", run: died(theWriter, "after-fence")},
		{
			name: "writer killed after commit", short: true, what: "A writer is killed between COMMIT and the end of its fence.", befalls: "writer", run: died(theWriter, "after-commit"),
			bound: map[string]bound{layerAfterCommit: byTTL},
		},
		{
			name: "writer killed before clear", what: "A writer is killed just before it takes its fence away.", befalls: "writer", run: died(theWriter, "before-clear"),
			bound: map[string]bound{layerAfterCommit: byTTL},
		},
		{name: "writer stopped after fence", short: true, what: "A writer is stopped (SIGSTOP) between its fence and COMMIT, and goes on.", befalls: "writer", run: paused(theWriter, "after-fence")},
		{name: "writer stopped after commit", what: "A writer is stopped between COMMIT and the end of its fence, and goes on.", befalls: "writer", run: paused(theWriter, "after-commit")},
		{name: "writer stopped before clear", what: "A writer is stopped just before it takes its fence away, and goes on.", befalls: "writer", run: paused(theWriter, "before-clear")},
		{name: "reader killed with a lease", what: "A reader is killed when it has been granted a lease.", befalls: "reader", run: died(theReader, "acquired")},
		{name: "reader killed before its fill", what: "A reader is killed between its load and its fill.", befalls: "reader", run: died(theReader, "before-fill")},
		{name: "reader stopped with a lease", what: "A reader is stopped when it has been granted a lease, and goes on.", befalls: "reader", run: paused(theReader, "acquired")},
		{name: "reader stopped before its fill", short: true, what: "A reader is stopped between its load and its fill, and goes on.", befalls: "reader", run: paused(theReader, "before-fill")},

		// Postgres.
		{name: "killed in COMMIT", short: true, what: "Backends are ended while they commit: the outcome is unknown.", writesFail: true, alone: true, run: killedInCommit},
		{name: "commit unanswered", short: true, what: "The connection breaks after COMMIT was sent.", writesFail: true, befalls: "network", proxied: true, run: func(ctx context.Context, s *scenario) error {
			for _, p := range s.all() {
				p.pg.set(rules{breakOn: []byte("commit")})
				defer p.pg.set(rules{})
			}
			return s.last(ctx)
		}},
		{name: "postgres crashed", short: true, what: "Postgres is killed and started again.", writesFail: true, alone: true, run: func(ctx context.Context, s *scenario) error {
			return s.without(ctx, func() error {
				if err := s.stage.postgres.Crash(); err != nil {
					return err
				}
				return s.stage.postgres.Restart(ctx)
			})
		}},
		{name: "ghost standby", what: "COMMIT waits for a synchronous standby that is not there.", alone: true, run: func(ctx context.Context, s *scenario) error {
			return s.withGhost(ctx, func() error { return s.last(ctx) })
		}},
		{name: "serialization failures", short: true, what: "Transactions are serializable, and conflict.", writesFail: true, setup: func(c *workerConfig) {
			c.Serializable, c.Writers, c.Pause = true, 4, 2*time.Millisecond
		}, run: calm.run},
		{name: "deadlocks", what: "Transactions lock rows in any order.", writesFail: true, setup: func(c *workerConfig) {
			c.Unordered, c.Writers, c.Pause, c.Keys = true, 4, 2*time.Millisecond, 3
		}, run: func(ctx context.Context, s *scenario) error {
			before, err := s.count(ctx, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
			for now := before; err == nil && now == before; { // how soon one comes is up to the machine
				if err = sleep(ctx, s.length); err == nil {
					now, err = s.count(ctx, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
				}
			}
			return err
		}},
		{
			name: "pool exhausted", what: "20 goroutines of a process share two connections to Postgres, and Redis is emptied every few ms.", bound: fenceLost,
			setup: func(c *workerConfig) { c.Pool, c.Readers = 2, 5 },
			run: func(ctx context.Context, s *scenario) error {
				return s.until(ctx, 20*time.Millisecond, func() error { return s.grid.admin.FlushAll(ctx).Err() })
			},
		},

		// Other topologies.
		{name: "pgbouncer", short: true, what: "Everything goes through PgBouncer in transaction mode.", on: pgbouncer, alone: true, run: calm.run},
		{
			name: "sentinel failover", short: true, what: "The master is killed, and a sentinel promotes a replica. Strict writes wait for a replica.", on: sentinel,
			bound: failover, setup: func(c *workerConfig) { c.Replicas = 1 }, errors: cache.ErrorConnection,
			run: masterKilled(false), alone: true,
		},
		{
			name: "sentinel failover, frozen replica", what: "The same, while the other replica is stopped.", on: sentinel,
			bound: failover, setup: func(c *workerConfig) { c.Replicas = 1 }, errors: cache.ErrorConnection,
			run: masterKilled(true), alone: true,
		},
		{
			name: "cluster failover", short: true, what: "A master of the cluster is killed, and its replica takes over. Strict writes wait for it.", on: cluster,
			bound: failover, setup: func(c *workerConfig) { c.Replicas = 1 }, errors: cache.ErrorConnection,
			run: clusterMasterKilled, alone: true,
		},
		{name: "cluster slot migration", short: true, what: "Slots move from node to node, with keys and fences in them.", on: cluster, alone: true, run: slotsMove},
		{
			name: "cluster shard lost", what: "A master and its replica are killed: part of the keys have no node.", on: cluster, bound: unreachable, alone: true,
			run: shardLost,
		},
	}
	for _, policy := range []string{"noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"} {
		all = append(all, &fault{
			name: "memory full, " + policy, what: "Another program fills Redis' memory; maxmemory-policy " + policy + ".", bound: fenceLost,
			run: memoryFull(policy), alone: true, short: policy == "noeviction" || policy == "allkeys-random",
		})
		if policy == "noeviction" {
			all[len(all)-1].errors = cache.ErrorMemory
		}
	}
	return all
}

func redisKilled(ctx context.Context, s *scenario) error {
	if err := s.grid.redis.Kill(); err != nil {
		return err
	}
	err := s.last(ctx)
	if startErr := s.grid.redis.Start(ctx); err == nil {
		err = startErr
	}
	return err
}

const secret = "a password that nobody has"

// wrongPassword sets a password and drops the connections that are authenticated already, but its own.
func wrongPassword(ctx context.Context, s *scenario) (err error) {
	conn := s.grid.admin.Conn()
	defer conn.Close()
	if err := conn.ConfigSet(ctx, "requirepass", secret).Err(); err != nil {
		return err
	}
	defer func() {
		if backErr := conn.ConfigSet(ctx, "requirepass", "").Err(); err == nil {
			err = backErr
		}
	}()
	if err := conn.Do(ctx, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
		return err
	}
	return s.last(ctx)
}

// loading kills Redis and lets it load a file that was written before, slowly. None of our keys is in it.
func loading(ctx context.Context, s *scenario) error {
	rdb := s.grid.admin
	pipe := rdb.Pipeline()
	pipe.FlushAll(ctx)
	for i := range int(s.length / keyLoadDelay) {
		pipe.Set(ctx, "other:"+strconv.Itoa(i), strings.Repeat("x", 100), 0)
	}
	pipe.Save(ctx)
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	if err := s.grid.redis.Kill(); err != nil {
		return err
	}
	if err := s.grid.redis.Start(ctx); err != nil { // it returns when the file is read
		return err
	}
	if err := rdb.FlushAll(ctx).Err(); err != nil {
		return err
	}
	return rdb.Save(ctx).Err() // the next start finds nothing
}

// network sets the rules of every worker's way to Redis.
func network(r rules) func(context.Context, *scenario) error {
	return func(ctx context.Context, s *scenario) error {
		for _, p := range s.all() {
			p.redis.set(r)
			defer p.redis.set(rules{})
		}
		return s.last(ctx)
	}
}

// died kills the worker of a role at a failpoint, and starts another, again and again.
func died(role int, point string) func(context.Context, *scenario) error {
	return func(ctx context.Context, s *scenario) error {
		return s.until(ctx, 100*time.Millisecond, func() error {
			p := s.process(role)
			if _, err := p.ask(ctx, "arm "+point+" kill"); err != nil {
				return err
			}
			select {
			case <-p.ended:
			case <-ctx.Done():
				return fmt.Errorf("waiting for a worker to reach %s: %w", point, ctx.Err())
			}
			p.kill() // it has done so itself: only to reap it
			if err := s.start(role); err != nil {
				return err
			}
			return sleep(ctx, 200*time.Millisecond) // until it works
		})
	}
}

// paused stops the worker of a role at a failpoint for a while, again and again.
func paused(role int, point string) func(context.Context, *scenario) error {
	return func(ctx context.Context, s *scenario) error {
		return s.until(ctx, 50*time.Millisecond, func() error {
			p := s.process(role)
			if _, err := p.ask(ctx, "arm "+point+" stop"); err != nil {
				return err
			}
			select {
			case <-p.at:
			case <-p.ended:
				return fmt.Errorf("the worker ended%s", p.said())
			case <-ctx.Done():
				return fmt.Errorf("waiting for a worker to reach %s: %w", point, ctx.Err())
			}
			err := sleep(ctx, 100*time.Millisecond+rand.N(s.length/2))
			if contErr := cont(p.cmd.Process); err == nil {
				err = contErr
			}
			return err
		})
	}
}

// memoryFull gives Redis little more memory than it uses, and fills it with another program's keys.
func memoryFull(policy string) func(context.Context, *scenario) error {
	return func(ctx context.Context, s *scenario) (err error) {
		rdb := s.grid.admin
		used, err := redisInfo(ctx, rdb, "memory", "used_memory")
		if err != nil {
			return err
		}
		if err := rdb.ConfigSet(ctx, "maxmemory-policy", policy).Err(); err != nil {
			return err
		}
		if err := rdb.ConfigSet(ctx, "maxmemory", strconv.FormatInt(used+200_000, 10)).Err(); err != nil {
			return err
		}
		defer func() {
			for _, set := range [][2]string{{"maxmemory", "0"}, {"maxmemory-policy", "noeviction"}} {
				if backErr := rdb.ConfigSet(ctx, set[0], set[1]).Err(); err == nil {
					err = backErr
				}
			}
		}()
		noise := strings.Repeat("x", 5_000)
		evicted, err := redisInfo(ctx, rdb, "stats", "evicted_keys")
		if err != nil {
			return err
		}
		defer func() {
			now, infoErr := redisInfo(ctx, rdb, "stats", "evicted_keys")
			if err = errors.Join(err, infoErr); err == nil && now == evicted && policy != "noeviction" {
				err = errors.New("nothing was evicted")
			}
		}()
		return s.until(ctx, 4*time.Millisecond, func() error {
			pipe := rdb.Pipeline()
			for range 10 {
				pipe.Set(ctx, "other:"+strconv.Itoa(rand.IntN(10_000)), noise, time.Minute)
			}
			_, _ = pipe.Exec(ctx) // the other program may be refused
			return nil
		})
	}
}

// redisInfo reads one number of a section of INFO.
func redisInfo(ctx context.Context, rdb *redis.Client, section, field string) (int64, error) {
	info, err := rdb.Info(ctx, section).Result()
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(info) {
		if n, ok := strings.CutPrefix(line, field+":"); ok {
			return strconv.ParseInt(strings.TrimSpace(n), 10, 64)
		}
	}
	return 0, fmt.Errorf("INFO %s tells no %s", section, field)
}

// withGhost makes every COMMIT wait for a synchronous standby that does not exist, while do runs.
func (s *scenario) withGhost(ctx context.Context, do func() error) (err error) {
	set := func(name string) error {
		if _, err := s.stage.admin.Exec(ctx, "ALTER SYSTEM SET synchronous_standby_names = '"+name+"'"); err != nil {
			return err
		}
		_, err := s.stage.admin.Exec(ctx, "SELECT pg_reload_conf()")
		return err
	}
	if err := set("ghost"); err != nil {
		return err
	}
	defer func() {
		if backErr := set(""); err == nil {
			err = backErr
		}
	}()
	return do()
}

// killedInCommit ends backends that wait for a standby in their COMMIT: they have committed, and can't say so.
func killedInCommit(ctx context.Context, s *scenario) error {
	return s.withGhost(ctx, func() error {
		return s.until(ctx, 30*time.Millisecond, func() error {
			_, err := s.stage.admin.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
			return err
		})
	})
}

// masterKilled kills the master and waits for another one; the old one comes back as a replica. With frozen, a replica is
// stopped meanwhile.
func masterKilled(frozen bool) func(context.Context, *scenario) error {
	return func(ctx context.Context, s *scenario) (err error) {
		master, err := s.grid.sentinel.Master(ctx)
		if err != nil {
			return err
		}
		if frozen {
			for _, n := range s.grid.sentinel.Nodes() {
				if n != master {
					if err := n.Freeze(); err != nil {
						return err
					}
					defer func() {
						if thawErr := n.Thaw(); err == nil {
							err = thawErr
						}
					}()
					break
				}
			}
			if err := sleep(ctx, 200*time.Millisecond); err != nil {
				return err
			}
		}
		if err := master.Kill(); err != nil {
			return err
		}
		for now := master; now == master; {
			if now, err = s.grid.sentinel.Master(ctx); err != nil {
				return err
			}
		}
		if err := s.last(ctx); err != nil {
			return err
		}
		return master.Start(ctx)
	}
}

func clusterMasterKilled(ctx context.Context, s *scenario) error {
	masters, err := s.grid.cluster.Masters(ctx)
	if err != nil {
		return err
	}
	if err := masters[0].Kill(); err != nil {
		return err
	}
	for {
		now, err := s.grid.cluster.Masters(ctx)
		if err == nil && len(now) == len(masters) {
			break
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	if err := s.last(ctx); err != nil {
		return err
	}
	return masters[0].Start(ctx)
}

// shardLost kills a master and its replicas, and starts them again.
func shardLost(ctx context.Context, s *scenario) error {
	masters, err := s.grid.cluster.Masters(ctx)
	if err != nil {
		return err
	}
	replicas, err := s.grid.cluster.ReplicasOf(ctx, masters[1])
	if err != nil {
		return err
	}
	shard := append([]*servers.Redis{masters[1]}, replicas...)
	for _, n := range shard {
		if err := n.Kill(); err != nil {
			return err
		}
	}
	err = s.last(ctx)
	for _, n := range shard {
		if startErr := n.Start(ctx); err == nil {
			err = startErr
		}
	}
	return err
}

// slotsMove moves the slots of the scenario's rows to the next master, and keeps each half-way for a while.
func slotsMove(ctx context.Context, s *scenario) error {
	masters, err := s.grid.cluster.Masters(ctx)
	if err != nil {
		return err
	}
	n := 0
	return s.until(ctx, 20*time.Millisecond, func() error {
		layer, key := n%len(s.layers), n/len(s.layers)%s.config.Keys
		n++
		slot, err := s.grid.cluster.SlotOf(ctx, "{prompt:"+rowID(s.n, layer, key).String()+"}")
		if err != nil {
			return err
		}
		owner, err := s.grid.cluster.Owner(ctx, slot)
		if err != nil {
			return err
		}
		to := masters[0]
		for i, m := range masters {
			if m == owner {
				to = masters[(i+1)%len(masters)]
			}
		}
		return s.grid.cluster.MoveSlot(ctx, slot, to, func() { _ = sleep(ctx, rand.N(100*time.Millisecond)) })
	})
}
