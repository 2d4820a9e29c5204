package cache

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/redis/go-redis/v9"
)

var (
	// ErrOverloaded is returned by a read whose context ended while it waited for its turn to ask the source: Redis could
	// not answer, and Options.MaxFallbackLoads loads were already running. It wraps the context's error.
	ErrOverloaded = errors.New("cache: too many loads from the source are under way")

	// ErrFence is returned by a write to a Strict group whose fence Redis did not acknowledge. Nothing was committed.
	ErrFence = errors.New("cache: fence not acknowledged")

	// ErrOutcomeUnknown is returned by a write of which nobody can tell yet whether it was committed: the connection broke, or
	// the caller's context ended, while COMMIT was on its way. It is resolved in the background; until then the keys of the
	// write are read from the source.
	ErrOutcomeUnknown = errors.New("cache: outcome of the commit is unknown")

	// ErrInvalidationPending is returned by Invalidate and InvalidateGroup when Redis could not be reached. This process
	// reads the keys from the source until the invalidation, which is retried, has been acknowledged.
	ErrInvalidationPending = errors.New("cache: invalidation is pending")

	// ErrClosed is returned when a closed cache is asked to write. Reads on a closed cache are served from the source.
	ErrClosed = errors.New("cache: closed")
)

// ErrorClass sorts what went wrong between the cache and Redis.
type ErrorClass uint8

// The classes of errors.
const (
	ErrorOther         ErrorClass = iota
	ErrorConnection               // Redis cannot be reached
	ErrorTimeout                  // Redis did not answer in time
	ErrorSerialization            // a value could not be encoded, or a stored cell could not be decoded
	ErrorMemory                   // Redis is out of memory, or a result is over Options.MaxCellBytes
	ErrorAuth                     // Redis refused the password, the user or the command
)

var errorClassNames = [...]string{"other", "connection", "timeout", "serialization", "memory", "auth"}

// String returns the class as statistics spell it.
func (c ErrorClass) String() string {
	if int(c) < len(errorClassNames) {
		return errorClassNames[c]
	}
	return fmt.Sprintf("ErrorClass(%d)", uint8(c))
}

// Classify tells the class of an error that came from Redis or from a codec.
func Classify(err error) ErrorClass {
	var classed *classedError
	if errors.As(err, &classed) {
		return classed.class
	}
	text := err.Error()
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.Is(err, redis.ErrPoolTimeout), isNetTimeout(err):
		return ErrorTimeout
	case hasAnyPrefix(text, "OOM "):
		return ErrorMemory
	case hasAnyPrefix(text, "NOAUTH", "WRONGPASS", "NOPERM", "ERR AUTH"), strings.Contains(text, "invalid password"),
		strings.Contains(text, "invalid username-password"):
		return ErrorAuth
	case hasAnyPrefix(text, "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"):
		return ErrorConnection
	}
	var netErr net.Error
	if errors.As(err, &netErr) || errors.Is(err, redis.ErrClosed) || strings.Contains(text, "EOF") {
		return ErrorConnection
	}
	return ErrorOther
}

// Unavailable reports whether err says that Redis could not be used at all, as against an answer that was of no use.
func Unavailable(err error) bool {
	if err == nil {
		return false
	}
	switch Classify(err) {
	case ErrorConnection, ErrorTimeout, ErrorAuth:
		return true
	}
	return false
}

func isNetTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}

func hasAnyPrefix(s string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

type classedError struct {
	class ErrorClass
	err   error
}

func (e *classedError) Error() string { return e.err.Error() }
func (e *classedError) Unwrap() error { return e.err }
