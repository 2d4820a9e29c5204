package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

const (
	chartWidth = 800
	labelWidth = 320
	valueWidth = 110
	barHeight  = 22
	chartTop   = 34
)

// svg draws bars, one for each contender, readable on light and on dark. The scale is logarithmic when the bars differ by
// more than a factor of fifty.
func (r *Report) svg(c Chart) string {
	t := r.Tables[c.Table]
	type bar struct {
		label string
		v     stat
		ours  bool
	}
	var bars []bar
	low, high := math.Inf(1), c.Target
	for _, s := range t.Series {
		if v, ok := t.value(s, c.Metric, c.Ratio); ok {
			bars = append(bars, bar{s.Name + " · " + s.Gives, v, strings.HasPrefix(s.Name, "pgaside")})
			high = max(high, v.median)
			if v.median > 0 {
				low = min(low, v.median)
			}
		}
	}
	log := high > 50*low
	room := float64(chartWidth - labelWidth - valueWidth)
	width := func(v float64) float64 {
		switch {
		case v <= 0:
			return 0
		case log:
			return room * (0.02 + 0.98*math.Log(v/low)/math.Log(high/low))
		default:
			return room * v / high
		}
	}
	var b strings.Builder
	height := chartTop + barHeight*len(bars) + 12
	title := c.Title
	if log {
		title += " (logarithmic)"
	}
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">`+"\n",
		chartWidth, height, chartWidth, height, html.EscapeString(title))
	b.WriteString(`<style>
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 13px }
.bar { fill: #8c959f }
.ours { fill: #0969da }
.target { stroke: #cf222e; stroke-dasharray: 4 3 }
@media (prefers-color-scheme: dark) {
 text { fill: #e6edf3 }
 .bar { fill: #6e7681 }
 .ours { fill: #4493f8 }
 .target { stroke: #f85149 }
}
</style>
`)
	fmt.Fprintf(&b, `<text class="title" x="4" y="18">%s</text>`+"\n", html.EscapeString(title))
	for i, bar := range bars {
		y := chartTop + i*barHeight
		class := "bar"
		if bar.ours {
			class += " ours"
		}
		w := width(bar.v.median)
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, labelWidth-8, y+14, html.EscapeString(bar.label))
		fmt.Fprintf(&b, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>`, class, labelWidth, y+2, w, barHeight-6)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d">%s</text>`+"\n", labelWidth+w+6, y+14, number(bar.v.median))
	}
	if c.Target > 0 {
		x := labelWidth + width(c.Target)
		fmt.Fprintf(&b, `<line class="target" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`+"\n", x, x, chartTop-4, height-8)
	}
	b.WriteString("</svg>\n")
	return b.String()
}
