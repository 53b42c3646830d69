// Package waterfall draws a trace: as SVG for a page and as PNG for a message, from the same layout.
//
// It is pure: a waterfall in, a picture out. The picture shows each span as a bar in time below its parent, and what the
// end of the request waited for, the critical path, as the solid part of the bars.
package waterfall

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"alertd/tracectx"
)

// MaxRows is how many rows a picture has at most; more are not read.
const MaxRows = 24

// Title says in one line what a waterfall shows: "60 spans of 5 services, 5.2 s".
func Title(w *tracectx.Waterfall) string {
	return plural(w.Spans, "span", "spans") + " of " + plural(w.Services, "service", "services") + ", " + Span(w.Duration)
}

// Culprit says where most of the time went, and what failed: "4.8 s of it in orders: SELECT orders. failed in orders: SELECT
// orders: time-out". It is "" where nothing can be said.
func Culprit(w *tracectx.Waterfall) string {
	var parts []string
	if w.Culprit >= 0 && w.Culprit < len(w.Rows) {
		r := &w.Rows[w.Culprit]
		parts = append(parts, Span(r.Self)+" of it in "+name(r))
	}
	// The deepest span that failed is where the failure starts.
	deepest := -1
	for i := range w.Rows {
		if r := &w.Rows[i]; r.Failed && (deepest < 0 || r.Depth > w.Rows[deepest].Depth) {
			deepest = i
		}
	}
	if deepest >= 0 {
		text := "failed first in " + name(&w.Rows[deepest])
		if e := clean(w.Rows[deepest].Error, 120); e != "" {
			text += " (" + e + ")"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// Notes are what must be known to read the picture: spans that are not shown, or are alertd's own, whose parents are missing, or whose clocks
// are wrong.
func Notes(w *tracectx.Waterfall) (notes []string) {
	if w.Hidden > 0 {
		notes = append(notes, plural(w.Hidden, "more span", "more spans")+" not shown")
	}
	if w.Own > 0 {
		notes = append(notes, plural(w.Own, "span", "spans")+" of alertd itself left out")
	}
	if w.Partial {
		notes = append(notes, "the trace is not whole")
	}
	if w.Orphans > 0 {
		notes = append(notes, plural(w.Orphans, "span", "spans")+" whose parent is missing")
	}
	if w.Skewed > 0 {
		notes = append(notes, plural(w.Skewed, "span", "spans")+" moved: clocks differ")
	}
	return notes
}

// name is a row's service and operation.
func name(r *tracectx.Row) string {
	service, operation := clean(r.Service, 60), clean(r.Name, 80)
	switch {
	case service == "":
		return operation
	case operation == "":
		return service
	default:
		return service + ": " + operation
	}
}

// Span is a duration for people, with three digits: "5.24 s", "410 ms", "12 µs".
func Span(d time.Duration) string {
	f := float64(d)
	switch {
	case d >= time.Minute:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	case d >= time.Second:
		return digits(f/float64(time.Second)) + " s"
	case d >= time.Millisecond:
		return digits(f/float64(time.Millisecond)) + " ms"
	case d >= time.Microsecond:
		return digits(f/float64(time.Microsecond)) + " µs"
	default:
		return fmt.Sprintf("%d ns", d)
	}
}

func digits(f float64) string {
	if f >= 100 {
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	return strconv.FormatFloat(f, 'g', 3, 64)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// clean makes one line of text from outside, of at most n runes.
func clean(s string, n int) string {
	var b strings.Builder
	count := 0
	for _, r := range strings.Join(strings.Fields(s), " ") {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			continue
		}
		if count == n-1 {
			b.WriteRune('…')
			break
		}
		b.WriteRune(r)
		count++
	}
	return b.String()
}

// ticks are instants for the axis: at most six, at round durations from 0.
func ticks(whole time.Duration) []time.Duration {
	if whole <= 0 {
		return []time.Duration{0}
	}
	var out []time.Duration
	for t, step := time.Duration(0), round(whole/5); t <= whole && len(out) < 6; t += step {
		out = append(out, t)
	}
	return out
}

// round is the next 1, 2 or 5 times a power of ten nanoseconds.
func round(d time.Duration) time.Duration {
	for ten := time.Duration(1); ten < 1<<60/10; ten *= 10 {
		for _, n := range []time.Duration{1, 2, 5} {
			if n*ten >= d {
				return n * ten
			}
		}
	}
	return d
}
