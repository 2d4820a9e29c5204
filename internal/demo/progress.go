package demo

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows how far the preparation is: a bar on a terminal, a plain line for each finished stage elsewhere.
type progress struct {
	w        io.Writer
	terminal bool
	name     string
	started  time.Time
	bar      *progressbar.ProgressBar
}

// stage begins a stage of total steps; 0 means that the number is not known.
func (p *progress) stage(name string, total int) {
	p.name, p.started = name, time.Now()
	if !p.terminal {
		return
	}
	if total == 0 {
		total = -1
	}
	p.bar = progressbar.NewOptions(
		total,
		progressbar.OptionSetWriter(p.w),
		progressbar.OptionSetDescription(fmt.Sprintf("  %-26s", name)),
		progressbar.OptionSetWidth(30),
		progressbar.OptionShowCount(),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)
	_ = p.bar.RenderBlank() // a bar that can't be drawn is no reason to stop
}

// set tells how many steps of the stage are done.
func (p *progress) set(n int) {
	if p.bar != nil {
		_ = p.bar.Set(n)
	}
}

// done ends the stage, in which so many rows were loaded.
func (p *progress) done(rows int) {
	if p.bar != nil {
		_ = p.bar.Finish()
		_ = p.bar.Clear()
		p.bar = nil
	}
	took := time.Since(p.started).Seconds()
	if rows > 0 {
		fmt.Fprintf(p.w, "  %-26s %9d rows %6.1f s\n", p.name, rows, took)
	} else {
		fmt.Fprintf(p.w, "  %-26s %14s %6.1f s\n", p.name, "", took)
	}
}
