//go:build unix

package faults

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// monotonic is the time in ns of a clock that all processes of the machine share and that nobody sets.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // there is no such system
	}
	return ts.Nano()
}

// stopSelf stops this process until somebody sends SIGCONT, killSelf ends it.
func stopSelf() { _ = syscall.Kill(os.Getpid(), syscall.SIGSTOP) }
func killSelf() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) }

func cont(p *os.Process) error { return p.Signal(syscall.SIGCONT) }

const supported = true
