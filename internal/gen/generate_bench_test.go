//go:build unix

package gen

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// BenchmarkGenerate measures a whole run on 600 queries over 150 tables: after
// sqlc has written the package anew and with nothing generated yet, when the go
// command compiles the package first; and with nothing changed. peak-MB is the largest that
// this process has been, go-list-MB the go command that it asks for types, and
// cpu-ms/op the work of both, which says more than the time on a busy machine.
func BenchmarkGenerate(b *testing.B) {
	opts := synthetic(b)
	run := func(b *testing.B, fresh bool) {
		b.Helper()
		before, runs := cpu(b), 0
		for b.Loop() {
			runs++
			if fresh {
				b.StopTimer()
				rewrite(b, filepath.Join(opts.Repo, "db.go"))
				if err := os.RemoveAll(opts.Out); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			res, err := Run(opts)
			if err != nil {
				b.Fatal(err)
			}
			diffs, err := res.Write()
			if err != nil || (len(diffs) > 0) != fresh {
				b.Fatalf("%d files written, %v", len(diffs), err)
			}
		}
		b.ReportMetric(float64((cpu(b)-before).Milliseconds())/float64(runs), "cpu-ms/op")
		b.ReportMetric(peakMB(b, syscall.RUSAGE_SELF), "peak-MB")
		b.ReportMetric(peakMB(b, syscall.RUSAGE_CHILDREN), "go-list-MB")
	}
	b.Run("Everything", func(b *testing.B) { run(b, true) })
	b.Run("NothingChanged", func(b *testing.B) { run(b, false) })
}

// rewrite changes a file, so that no build cache knows it.
func rewrite(b *testing.B, file string) {
	b.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, append(text, fmt.Sprintf("\n// %s\n", time.Now())...), 0o600)
	}
	if err != nil {
		b.Fatal(err)
	}
}

func usage(b *testing.B, who int) syscall.Rusage {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		b.Fatal(err)
	}
	return u
}

func cpu(b *testing.B) (spent time.Duration) {
	b.Helper()
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		u := usage(b, who)
		spent += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return spent
}

func peakMB(b *testing.B, who int) float64 {
	b.Helper()
	size := float64(usage(b, who).Maxrss) // in KB, on macOS in bytes
	if runtime.GOOS == "darwin" {
		size /= 1024
	}
	return size / 1024
}
