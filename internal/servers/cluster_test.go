//go:build unix

package servers

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestCluster(t *testing.T) {
	t.Parallel()

	ctx := t.Context()
	began := time.Now()
	c, err := StartCluster(ctx, ClusterOptions{Args: []string{"--maxmemory", "3mb"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started after %v", time.Since(began))
	defer closesAll(t, c.Close, c.Nodes())
	if got := redisDo(t, c.Nodes()[5], "CONFIG", "GET", "maxmemory"); got != "[maxmemory 3145728]" {
		t.Errorf("maxmemory: %s", got)
	}
	masters, err := c.Masters(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Addrs()) != 6 || !slices.Equal(masters, c.Nodes()[:3]) {
		t.Errorf("%d of %d servers are masters", len(masters), len(c.Addrs()))
	}

	// A refused connection does not make the client look for another master, only
	// the passage of time does: 60 seconds by default.
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addrs(), DialTimeout: 500 * time.Millisecond, ClusterStateReloadInterval: 500 * time.Millisecond})
	defer rdb.Close()
	slot, err := c.SlotOf(ctx, "{a}")
	if err != nil {
		t.Fatal(err)
	}
	owner, err := c.Owner(ctx, slot)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if err := rdb.Set(ctx, fmt.Sprintf("{a}%d", i), i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	to := masters[(slices.Index(masters, owner)+1)%len(masters)]

	t.Run("a slot moves", func(t *testing.T) {
		steps := 0
		err := c.MoveSlot(ctx, slot, to, func() {
			here, there := redisDo(t, owner, "DBSIZE"), redisDo(t, to, "DBSIZE")
			if here != fmt.Sprint(10-steps) || there != fmt.Sprint(steps) {
				t.Errorf("step %d: %s keys here, %s there", steps, here, there)
			}
			for i := range 10 { // wherever they are
				key := fmt.Sprintf("{a}%d", i)
				if got := rdb.Get(ctx, key).Val(); got != fmt.Sprint(i) {
					t.Errorf("step %d: %s is %q", steps, key, got)
				}
			}
			steps++
		})
		if err != nil {
			t.Fatal(err)
		}
		if steps != 11 {
			t.Errorf("%d steps", steps)
		}
		if now, err := c.Owner(ctx, slot); now != to {
			t.Errorf("the slot did not move (%v)", err)
		}
		if got := rdb.Get(ctx, "{a}7").Val(); got != "7" {
			t.Errorf("{a}7 is %q", got)
		}
		if err := c.MoveSlot(ctx, slot, to, func() { t.Error("moved where it is") }); err != nil {
			t.Error(err)
		}
		replica, err := c.ReplicasOf(ctx, to)
		if err != nil || len(replica) != 1 {
			t.Fatalf("replicas: %v (%v)", replica, err)
		}
		if err := c.MoveSlot(ctx, slot, replica[0], nil); err == nil {
			t.Error("moved to a replica")
		}
		if _, err := c.Owner(ctx, Slots); err == nil {
			t.Error("there is one slot too many")
		}
	})

	t.Run("a replica takes over", func(t *testing.T) {
		if err := c.Settle(ctx); err != nil {
			t.Fatal(err)
		}
		replicas, err := c.ReplicasOf(ctx, to)
		if err != nil || len(replicas) != 1 {
			t.Fatalf("replicas: %v (%v)", replicas, err)
		}
		eventually(t, "the replica has the keys", func() bool { return redisDo(t, replicas[0], "DBSIZE") == "10" })
		began := time.Now()
		if err := to.Kill(); err != nil {
			t.Fatal(err)
		}
		now, err := c.Owner(ctx, slot)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("another master after %v", time.Since(began))
		if now != replicas[0] {
			t.Errorf("%s took over, not the replica", now.Addr())
		}
		eventually(t, "the client follows", func() bool { return rdb.Get(ctx, "{a}7").Val() == "7" })
		if err := to.Start(ctx); err != nil {
			t.Fatal(err)
		}
		if err := c.Settle(ctx); err != nil {
			t.Fatal(err)
		}
		if replicas, err := c.ReplicasOf(ctx, now); err != nil || !slices.Contains(replicas, to) {
			t.Errorf("the old master did not come back as a replica (%v)", err)
		}
	})
}

func TestClusterNodes(t *testing.T) {
	t.Parallel()

	v, err := parseClusterNodes(`a 127.0.0.1:1@10001 myself,master - 0 0 1 connected 0-5 7 [7->-b] [9-<-b]
b 127.0.0.1:2@10002,host master,fail? - 0 0 2 connected 8-9
c 127.0.0.1:3@10003 slave a 0 0 1 connected
d 127.0.0.1:4@10004 handshake - 0 0 0 disconnected
`)
	if err != nil {
		t.Fatal(err)
	}
	if got := v.owner[5] + v.owner[7] + v.owner[9] + v.owner[6]; got != "aab" {
		t.Errorf("owners: %s", got)
	}
	if len(v.master) != 3 || v.master["b"] != "" || v.master["c"] != "a" || !v.failed["b"] || v.failed["a"] {
		t.Errorf("%v, failed %v", v.master, v.failed)
	}
	for _, bad := range []string{"a b c\n", "a 127.0.0.1:1@1 master - 0 0 1 connected x-y\n", "a 127.0.0.1:1@1 master - 0 0 1 connected 16384\n"} {
		if _, err := parseClusterNodes(bad); err == nil {
			t.Errorf("no error: %q", bad)
		}
	}
}
