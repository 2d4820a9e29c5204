//go:build unix

package servers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// The signals that this package sends beside os.Interrupt and os.Kill.
const (
	signalStop     = syscall.SIGSTOP
	signalContinue = syscall.SIGCONT
	signalTerm     = syscall.SIGTERM
)

// account is whom a server runs as. The zero value is ourselves.
type account struct {
	name     string
	uid, gid uint32
	other    bool // a user other than ourselves
}

// serverAccount is ourselves, unless we are root: PostgreSQL refuses to run as
// root, and Redis has no need to.
func serverAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	var errs []error
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			errs = append(errs, fmt.Errorf("user %s: %w", name, err))
			continue
		}
		return account{name: name, uid: uint32(uid), gid: uint32(gid), other: true}, nil
	}
	return account{}, fmt.Errorf("looking for an unprivileged user to run a server as: %w", errors.Join(errs...))
}

// apply makes cmd run as the account.
func (a account) apply(cmd *exec.Cmd) {
	if a.other {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
}

// own gives a path to the account.
func (a account) own(path string) error {
	if !a.other {
		return nil
	}
	if err := os.Chown(path, int(a.uid), int(a.gid)); err != nil {
		return fmt.Errorf("giving %s to user %s: %w", path, a.name, err)
	}
	return nil
}

// reaches reports whether the account may pass through every directory of path.
func (a account) reaches(path string) bool {
	if !a.other {
		return true
	}
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	for {
		info, err := os.Stat(path)
		if err != nil {
			return false
		}
		bit := os.FileMode(0o001)
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			switch {
			case st.Uid == a.uid:
				bit = 0o100
			case st.Gid == a.gid:
				bit = 0o010
			}
		}
		if info.Mode()&bit == 0 {
			return false
		}
		up := filepath.Dir(path)
		if up == path {
			return true
		}
		path = up
	}
}

// tempDir is the usual directory for temporary files, or another one if the
// account can't get there.
func tempDir(a account) (string, error) {
	dirs := []string{os.TempDir(), "/tmp", "/var/tmp"}
	for _, dir := range dirs {
		if a.reaches(dir) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("user %s can reach none of %s, so a server can't keep its files there", a.name, strings.Join(dirs, ", "))
}

// detachGroup puts cmd in a process group of its own: Ctrl-C is for us, and we
// end the server in order.
func detachGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

// detachSession lets cmd outlive us and our terminal.
func detachSession(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
}

// lockPath creates path and locks it until the closer is closed or this process
// ends. Children do not inherit the lock: the file is closed when they exec.
func lockPath(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("creating a lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), f.Close())
	}
	return heldLock{f}, nil
}

// heldLock is a locked file.
type heldLock struct{ f *os.File }

// Close unlocks before it closes: a child that another goroutine is just forking
// holds the file, and with it the lock, until it execs.
func (l heldLock) Close() error {
	return errors.Join(syscall.Flock(int(l.f.Fd()), syscall.LOCK_UN), l.f.Close())
}

// tryLock is lockPath for a file that must exist.
func tryLock(path string) (io.Closer, error) {
	if _, err := os.Lstat(path); err != nil {
		return nil, err
	}
	return lockPath(path)
}

// ownDir reports whether dir is a directory, no link, and ours.
func ownDir(dir string) bool {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int64(st.Uid) == int64(os.Geteuid())
}

func killPID(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }

func signalPID(pid int, s syscall.Signal) error { return syscall.Kill(pid, s) }

// stat reads /proc/<pid>/stat: the program's name, and the fields after it.
// fields[0] is the state (field 3 of proc(5)), fields[1] the parent, fields[19]
// the start time.
func stat(pid int) (name string, fields []string, ok bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", nil, false
	}
	// The name is in parentheses and may hold anything.
	i, j := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if i < 0 || j < i {
		return "", nil, false
	}
	fields = strings.Fields(string(b[j+1:]))
	return string(b[i+1 : j]), fields, len(fields) > 19
}

// programName is the name of the program that a process runs, "" if unknown.
func programName(pid int) string {
	if runtime.GOOS == "linux" {
		name, _, _ := stat(pid)
		return name
	}
	out, err := exec.Command("ps", "-o", "comm=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return ""
	}
	return filepath.Base(strings.TrimSpace(string(out)))
}

// identify reads the start time of a process; false if it doesn't run.
func identify(pid int) (identity, bool) {
	if pid <= 1 {
		return identity{}, false
	}
	if runtime.GOOS == "linux" {
		_, fields, ok := stat(pid)
		if !ok || fields[0] == "Z" || fields[0] == "X" {
			return identity{}, false
		}
		return identity{pid, fields[19]}, true
	}
	out, err := exec.Command("ps", "-o", "lstart=", "-p", strconv.Itoa(pid)).Output()
	started := strings.Join(strings.Fields(string(out)), "_")
	return identity{pid, started}, err == nil && started != ""
}

// stopped reports whether a process stands still after SIGSTOP. Where the system
// doesn't tell, it is believed.
func stopped(pid int) bool {
	if runtime.GOOS != "linux" {
		return true
	}
	_, fields, ok := stat(pid)
	return !ok || fields[0] == "T"
}

// children lists the processes whose parent is pid (Linux only).
func children(pid int) []int {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	var found []int
	for _, dir := range dirs {
		child, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if _, fields, ok := stat(child); ok && fields[1] == strconv.Itoa(pid) {
			found = append(found, child)
		}
	}
	return found
}
