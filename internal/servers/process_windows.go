//go:build windows

package servers

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// Servers are started on Unix systems only. On Windows the command builds, the
// generator works, and running servers can be named in the environment.

const (
	signalStop     = syscall.SIGTERM
	signalContinue = syscall.SIGTERM
	signalTerm     = syscall.SIGTERM
)

type account struct {
	other bool
}

func serverAccount() (account, error) {
	return account{}, fmt.Errorf("starting a server on Windows: %w; name running ones in %s and %s", errors.ErrUnsupported, EnvDatabaseURL, EnvRedisURL)
}

func (a account) apply(*exec.Cmd)         {}
func (a account) own(string) error        { return nil }
func (a account) reaches(string) bool     { return true }
func tempDir(account) (string, error)     { return os.TempDir(), nil }
func detachGroup(*exec.Cmd)               {}
func detachSession(*exec.Cmd)             {}
func lockPath(string) (io.Closer, error)  { return nil, errors.ErrUnsupported }
func tryLock(string) (io.Closer, error)   { return nil, errors.ErrUnsupported }
func ownDir(string) bool                  { return false }
func killPID(int) error                   { return errors.ErrUnsupported }
func identify(int) (identity, bool)       { return identity{}, false }
func stopped(int) bool                    { return true }
func children(int) []int                  { return nil }
func signalPID(int, syscall.Signal) error { return errors.ErrUnsupported }
func programName(int) string              { return "" }
