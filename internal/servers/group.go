package servers

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// group is the servers of a sentinel setup or of a cluster, in the order in
// which they were started.
type group []*Redis

// at finds the server of an address.
func (g group) at(addr string) (*Redis, bool) {
	for _, r := range g {
		if r.Addr() == addr {
			return r, true
		}
	}
	return nil, false
}

func (g group) addrs() []string {
	addrs := make([]string, len(g))
	for i, r := range g {
		addrs[i] = r.Addr()
	}
	return addrs
}

// running is the servers that are neither killed nor frozen.
func (g group) running() group {
	var up group
	for _, r := range g {
		if r.running() {
			up = append(up, r)
		}
	}
	return up
}

// close ends all of them. The last started goes first: whoever watches over
// others must not see them go.
func (g group) close() error {
	var errs []error
	for i := len(g) - 1; i >= 0; i-- {
		errs = append(errs, g[i].Close())
	}
	return errors.Join(errs...)
}

// role is what a server says it is, with the address of its master if it is a
// replica that is in sync with one.
func (r *Redis) role(ctx context.Context) (role, master string, err error) {
	answer, err := r.do(ctx, "ROLE")
	if err != nil {
		return "", "", err
	}
	fields, _ := answer.([]any)
	if len(fields) > 0 {
		role, _ = fields[0].(string)
	}
	if role == "slave" && len(fields) > 3 && fields[3] == "connected" {
		master = fmt.Sprintf("%v:%v", fields[1], fields[2])
	}
	return role, master, nil
}

// syncedWith returns an error unless r is a replica in sync with master.
func (r *Redis) syncedWith(ctx context.Context, master *Redis) error {
	role, of, err := r.role(ctx)
	if err == nil && (role != "slave" || of != master.Addr()) {
		err = fmt.Errorf("%s is not yet a replica in sync with %s", r.Addr(), master.Addr())
	}
	return err
}

// until repeats check until it returns nil or ctx ends. what says in the error
// what was waited for.
func until(ctx context.Context, what string, check func(context.Context) error) error {
	ticker := time.NewTicker(2 * pollInterval)
	defer ticker.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w (last answer: %w)", what, ctx.Err(), err)
		case <-ticker.C:
		}
	}
}
