// Package sim runs the real engine through random schedules that can be repeated.
//
// Several clients, each a cache.Cache of its own, share one Redis (cachetest.Store) and one database of versioned rows, all in
// a bubble of testing/synctest. Every request to Redis and every step of the database stops twice, on its way there and on its
// way back, and a scheduler lets one of them go at a time, when everybody else waits. Which one it is, how much time passes
// before it, and what goes wrong with it are functions of the seed and of the step's name alone. So a run can be repeated, and
// an operation or a fault can be left out without changing what the others do: that is how a failing run is shrunk.
//
// The checks are in check.go, the faults in faults.go, the weakenings that the checks must find in mutants.go.
package sim
