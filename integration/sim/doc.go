// Package sim runs the real engine and the real cache/pgfence through random schedules that can be repeated.
//
// Several clients, each a cache.Cache, a pgxpool.Pool and a pgfence.DB of its own, share one Redis (cachetest.Store) and one
// database, all in a bubble of testing/synctest. The pools' connections end in a small Postgres in memory (postgres.go), which
// takes what pgx sends apart and answers as Postgres would: pgfence does not know that it is not one. Every request to Redis
// and to the database stops twice, on its way there and on its way back, and a scheduler lets one of them go at a time, when
// everybody else waits. Which one it is, how much time passes before it, and what goes wrong with it are functions of the seed
// and of the step's name alone. So a run can be repeated, and an operation or a fault can be left out without changing what the
// others do: that is how a failing run is shrunk. TestRunsRepeat compares whole traces.
//
// What keeps it so: a connection has no goroutine of its own, the pools neither ping nor retire connections, one processor runs
// everything, and no two timers are due at the same time (synctest would draw lots). What the engine itself draws stays
// random, and matters to the schedule only where a TTL ends within the run: tokens, epochs, and by how much a TTL is shortened.
//
// A version of a row is the number of transactions that have changed it, so that changes do not wait for each other's row locks:
// more of them meet between a fence and its COMMIT than real ones could. What depends on row locks, the lookups of pgfence
// (cache/pgfence/lookup.go), is not run here.
//
// The checks are in check.go, the faults in faults.go, link.go, postgres.go and database.go, the weakenings that the checks must
// find in mutants.go.
package sim
