//go:build !unix

package faults

import (
	"errors"
	"os"
)

func monotonic() int64 { return 0 }

func stopSelf() {}
func killSelf() {}

func cont(*os.Process) error { return errors.ErrUnsupported }

// supported says whether processes can be stopped and continued here.
const supported = false
