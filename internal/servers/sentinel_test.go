//go:build unix

package servers

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestSentinel(t *testing.T) {
	t.Parallel()

	ctx := t.Context()
	s, err := StartSentinel(ctx, SentinelOptions{Args: []string{"--maxmemory", "3mb"}})
	if err != nil {
		t.Fatal(err)
	}
	defer closesAll(t, s.Close, append(s.Nodes(), s.Sentinels()...))
	if len(s.Nodes()) != 3 || len(s.Addrs()) != 3 || len(s.Sentinels()) != 3 {
		t.Fatalf("%d data servers, %d sentinels", len(s.Nodes()), len(s.Addrs()))
	}
	for _, r := range s.Nodes() {
		if got := redisDo(t, r, "CONFIG", "GET", "maxmemory"); got != "[maxmemory 3145728]" {
			t.Errorf("maxmemory: %s", got)
		}
	}
	first, err := s.Master(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if first != s.Nodes()[0] {
		t.Errorf("the master is %s", first.Addr())
	}

	rdb := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: s.Name(), SentinelAddrs: s.Addrs(), DialTimeout: 500 * time.Millisecond})
	defer rdb.Close()
	if err := rdb.Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := rdb.Wait(ctx, 2, 5*time.Second).Result(); err != nil || n != 2 {
		t.Fatalf("%d replicas have the write: %v", n, err)
	}

	began := time.Now()
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	second, err := s.Master(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("another master after %v", time.Since(began))
	if second == first {
		t.Fatal("a killed server is the master")
	}
	eventually(t, "the client follows, and finds what the replicas had", func() bool {
		return rdb.Set(ctx, "k2", "v2", 0).Err() == nil && rdb.Get(ctx, "k").Val() == "v"
	})
	if got := redisDo(t, second, "EXISTS", "k", "k2"); got != "2" {
		t.Errorf("the new master has %s of 2 keys", got)
	}

	if err := first.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	// On a machine that is too busy the sentinels may have moved on.
	if second, err = s.Master(ctx); err != nil {
		t.Fatal(err)
	}
	if role, _, err := first.role(ctx); role != "slave" && second != first {
		t.Errorf("the old master is a %s (%v)", role, err)
	}
	if got := redisDo(t, first, "EXISTS", "k", "k2"); got != "2" {
		t.Errorf("the old master has %s of 2 keys", got)
	}

	if err := second.Freeze(); err != nil {
		t.Fatal(err)
	}
	third, err := s.Master(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if third == second {
		t.Fatal("a frozen server is the master")
	}
	if err := second.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := s.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	if role, _, err := second.role(ctx); role != "slave" {
		t.Errorf("the thawed master is a %s (%v)", role, err)
	}

	t.Run("ordered", func(t *testing.T) {
		fourth, err := s.Failover(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if fourth == third || third.PID() == 0 {
			t.Errorf("from %s to %s, the old one running: %v", third.Addr(), fourth.Addr(), third.PID() != 0)
		}
	})
}

// closesAll checks that close ends all servers and removes their directories.
func closesAll(t *testing.T, closeAll func() error, servers []*Redis) {
	t.Helper()
	var pids []int
	var dirs []string
	for _, r := range servers {
		pids = append(pids, r.PID(), r.h.dog.Process.Pid)
		dirs = append(dirs, r.h.dir)
	}
	for range 2 { // twice is allowed
		if err := closeAll(); err != nil {
			t.Error(err)
		}
	}
	for _, pid := range pids {
		if pid != 0 && alive(pid) {
			t.Errorf("process %d still runs", pid)
		}
	}
	for _, dir := range dirs {
		if exists(dir) {
			t.Errorf("%s is still there", dir)
		}
	}
}
