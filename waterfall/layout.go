package waterfall

import (
	"strconv"

	"alertd/tracectx"
)

// kind says what a shape is; the drawers choose its colour.
type kind uint8

const (
	grid     kind = iota // a line of the axis
	stripe               // behind every other row
	bar                  // time that nobody waited for
	critical             // the critical path
	wrong                // a span that failed, beside the path
	fatal                // and on it
	strong               // text: a service
	plain                // text
	soft                 // text: an operation, an instant
	alarm                // text: a duration of what failed
)

type rect struct {
	x, y, w, h float64
	kind       kind
}

type label struct {
	x, y   float64 // of the base line
	text   string
	more   string // goes on in soft
	kind   kind
	anchor anchor
	room   float64 // how wide it may be
}

type anchor uint8

const (
	left anchor = iota
	middle
	right
)

// row is what belongs to one span.
type row struct {
	title  string
	rects  []rect
	labels []label
}

// picture is a waterfall in units of a pixel.
type picture struct {
	width, height float64
	grid          []rect
	axis          []label
	rows          []row
	notes         []label
}

// shape is how wide a picture is, in pixels: an SVG goes into a column of a page, a PNG is looked at on its own.
type shape struct {
	width float64
	names float64 // the column of the names
}

var (
	column = shape{720, 250}
	alone  = shape{960, 360}
)

// Sizes, in pixels.
const (
	times    = 96.0 // the column at the right end, for the durations
	head     = 28.0
	pitch    = 26.0
	thick    = 14.0
	indent   = 14.0
	maxDepth = 10 // deeper ones are not indented any further
	pad      = 8.0
)

func lay(w *tracectx.Waterfall, s shape) picture {
	rows := w.Rows[:min(len(w.Rows), MaxRows)]
	p := picture{width: s.width, height: head + pitch*float64(len(rows)) + pad}
	span := s.width - s.names - times
	at := func(fraction float64) float64 { return s.names + span*min(max(fraction, 0), 1) }

	for _, t := range ticks(w.Duration) {
		x := s.names
		if w.Duration > 0 {
			x = at(float64(t) / float64(w.Duration))
		}
		p.grid = append(p.grid, rect{x, head - 6, 1, pitch*float64(len(rows)) + 6, grid})
		text := Span(t)
		if t == 0 {
			text = "0"
		}
		p.axis = append(p.axis, label{x: x, y: head - 12, text: text, kind: soft, anchor: middle, room: 100})
	}
	if len(rows) > 0 {
		p.axis = append(p.axis, label{x: pad, y: head - 12, text: "solid: critical path; ×: failed", kind: soft, room: s.names - 2*pad})
	}
	for i := range rows {
		p.rows = append(p.rows, layRow(&rows[i], s, head+pitch*float64(i), i%2 == 1, at))
	}
	for _, note := range Notes(w) {
		p.notes = append(p.notes, label{x: pad, y: p.height + 14, text: note, kind: soft, room: s.width - 2*pad})
		p.height += 20
	}
	if len(p.notes) > 0 {
		p.height += pad
	}
	return p
}

func layRow(r *tracectx.Row, s shape, y float64, odd bool, at func(float64) float64) row {
	out := row{title: name(r) + ", " + Span(r.Duration)}
	if r.Failed {
		out.title += ", failed"
		if e := clean(r.Error, 120); e != "" {
			out.title += ": " + e
		}
	}
	if len(r.Critical) > 0 {
		out.title += "; on the critical path for " + Span(r.Self)
	}
	if odd {
		out.rects = append(out.rects, rect{0, y, s.width, pitch, stripe})
	}
	quiet, loud, text := bar, critical, plain
	if r.Failed {
		quiet, loud, text = wrong, fatal, alarm
	}
	top, from, to := y+(pitch-thick)/2, at(r.From), at(r.To)
	out.rects = append(out.rects, rect{from, top + 3, max(to-from, 2), thick - 6, quiet})
	for _, c := range r.Critical {
		a, b := at(c.From), at(c.To)
		out.rects = append(out.rects, rect{a, top, max(b-a, 2), thick, loud})
	}

	x := pad + indent*float64(min(r.Depth, maxDepth))
	service, operation := clean(r.Service, 60), clean(r.Name, 80)
	if r.Asked {
		service = "► " + service
	}
	if r.Hidden > 0 {
		operation += " (+" + strconv.Itoa(r.Hidden) + ")"
	}
	base := y + pitch/2 + 4
	out.labels = append(out.labels, label{x: x, y: base, text: service, more: operation, kind: strong, room: s.names - x - pad})

	took := Span(r.Duration)
	if r.Failed {
		took = "× " + took
	}
	out.labels = append(out.labels, label{x: max(to, from+2) + 6, y: base, text: took, kind: text, room: times})
	return out
}
