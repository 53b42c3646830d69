package tracectx

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"alertd"
)

// ErrNoTrace says that a back-end was asked for a trace and does not have it.
var ErrNoTrace = errors.New("the tracing back-end does not have this trace")

// MaxSpans bounds the spans of a trace that are read: the first ones that the back-end gives.
const MaxSpans = 5000

// Trace is what a back-end knows of one trace.
type Trace struct {
	ID      string
	Spans   []Span // in no order; each ID once
	Partial bool   // the back-end, or MaxSpans, left some out
}

// Echo reports whether nothing is there of the trace but what alertd did with an event of it: of the request itself nobody
// keeps anything.
func (t *Trace) Echo() bool {
	return len(t.Spans) > 0 && !slices.ContainsFunc(t.Spans, func(s Span) bool { return !s.Own || s.Parent == "" })
}

// Span is one operation of one service.
type Span struct {
	ID, Parent    string // lower-case hexadecimal; Parent is "" for a root
	Service, Name string
	Start         time.Time
	Duration      time.Duration // not negative
	Failed        bool
	Error         string // what the span says of its failure; may be empty
	Own           bool   // alertd made it
}

func (s *Span) end() time.Time { return s.Start.Add(s.Duration) }

// Waterfall is a trace as it is drawn: the spans that matter as rows, each below its parent.
type Waterfall struct {
	TraceID  string
	Start    time.Time
	Duration time.Duration // from the first start to the last end
	Rows     []Row
	Hidden   int // spans that are not among the rows
	Spans    int // all of them, but for Own
	Services int
	Own      int // spans of alertd itself that were left out

	Orphans int  // spans whose parent is not in the trace
	Skewed  int  // spans that were moved, because the clock of their host is wrong
	Partial bool // the back-end left some out

	Culprit int // the row with most of the critical path by itself; -1: none
}

// Row is one span of a waterfall. Its place is told in fractions of the whole duration, from 0 to 1.
type Row struct {
	Span
	Depth    int // from 0
	From, To float64
	Critical []Segment     // the parts of it that the critical path runs through
	Self     time.Duration // how long those are
	Hidden   int           // spans below it that are not shown
	Asked    bool          // the span that the alert's exemplar names
}

// Segment is a part of the time, in fractions of the whole duration.
type Segment struct{ From, To float64 }

// node is a span in the tree.
type node struct {
	Span
	children []*node
	depth    int
	critical [][2]time.Time
	self     time.Duration
	shown    bool
	below    int // spans in its subtree, itself included
}

// Draw lays out a trace in at most max rows (at least 1). The rows are the critical path, what failed, the span that is
// asked for, and the longest others, each with what is above it. The same spans give the same rows, in whatever order they
// come. A trace without spans has no rows.
func Draw(t Trace, asked string, max int) Waterfall {
	spans := foreign(t.Spans)
	w := Waterfall{TraceID: t.ID, Spans: len(spans), Own: len(t.Spans) - len(spans), Partial: t.Partial, Culprit: -1}
	if len(spans) == 0 {
		return w
	}
	roots, all, orphans := tree(spans)
	w.Orphans = orphans
	services := map[string]bool{}
	for _, r := range roots {
		w.Skewed += straighten(r)
	}
	start, end := all[0].Start, all[0].end()
	for _, n := range all {
		services[n.Service] = true
		start, end = alertd.Earlier(start, n.Start), alertd.Later(end, n.end())
	}
	w.Services, w.Start, w.Duration = len(services), start, end.Sub(start)
	// The path leads through the root that lasts longest: others stand beside it.
	main := slices.MaxFunc(roots, func(a, b *node) int {
		return cmp.Or(cmp.Compare(a.Duration, b.Duration), b.Start.Compare(a.Start), cmp.Compare(b.ID, a.ID))
	})
	critical(main, main.end())
	choose(all, asked, max)

	fraction := func(at time.Time) float64 {
		if w.Duration <= 0 {
			return 0
		}
		return float64(at.Sub(start)) / float64(w.Duration)
	}
	var add func(n *node)
	add = func(n *node) {
		row := Row{Span: n.Span, Depth: n.depth, From: fraction(n.Start), To: fraction(n.end()), Self: n.self, Asked: asked != "" && n.ID == asked}
		for _, c := range slices.Backward(n.critical) {
			row.Critical = append(row.Critical, Segment{fraction(c[0]), fraction(c[1])})
		}
		at := len(w.Rows)
		w.Rows = append(w.Rows, row)
		for _, c := range n.children {
			if c.shown {
				add(c)
			} else {
				w.Rows[at].Hidden += c.below
			}
		}
	}
	for _, r := range roots {
		if r.shown {
			add(r)
		}
	}
	w.Hidden = w.Spans - len(w.Rows)
	for i := range w.Rows {
		if w.Rows[i].Self > 0 && (w.Culprit < 0 || w.Rows[i].Self > w.Rows[w.Culprit].Self) {
			w.Culprit = i
		}
	}
	return w
}

// foreign leaves out what alertd did with the events of a request: it took no part in the request, comes seconds later, and
// would squeeze it into a corner. What alertd did on behalf of others stays, and so does a trace of its own.
func foreign(spans []Span) []Span {
	own := 0
	parents := make(map[string]string, len(spans))
	for _, s := range spans {
		parents[s.ID] = s.Parent
		if s.Own {
			own++
		}
	}
	if own == 0 || own == len(spans) {
		return spans
	}
	above := make(map[string]bool) // something that is not alertd's
	for _, s := range spans {
		for id := s.Parent; !s.Own && id != "" && !above[id]; id = parents[id] {
			above[id] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(spans), func(s Span) bool { return s.Own && !above[s.ID] })
}

// tree links spans to their parents. A span whose parent is missing is a root, and so is one span of each circle.
func tree(spans []Span) (roots, all []*node, orphans int) {
	byID := make(map[string]*node, len(spans))
	for _, s := range spans {
		s.Duration = max(s.Duration, 0)
		n := &node{Span: s}
		byID[s.ID] = n
		all = append(all, n)
	}
	slices.SortFunc(all, byStart)
	for _, n := range all {
		switch p := byID[n.Parent]; {
		case n.Parent == "":
			roots = append(roots, n)
		case p == nil || p == n:
			orphans++
			roots = append(roots, n)
		default:
			p.children = append(p.children, n)
		}
	}
	seen := make(map[*node]bool, len(all))
	for _, r := range roots {
		descend(r, 0, seen)
	}
	for _, n := range all { // what is left goes in circles
		if !seen[n] {
			if p := byID[n.Parent]; p != nil {
				p.children = slices.DeleteFunc(p.children, func(c *node) bool { return c == n })
			}
			orphans++
			roots = append(roots, n)
			descend(n, 0, seen)
		}
	}
	slices.SortFunc(roots, byStart)
	return roots, all, orphans
}

// descend numbers the depth and counts what is below.
func descend(n *node, depth int, seen map[*node]bool) {
	seen[n] = true
	n.depth, n.below = depth, 1
	for _, c := range n.children {
		descend(c, depth+1, seen)
		n.below += c.below
	}
}

func byStart(a, b *node) int {
	return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(b.Duration, a.Duration), cmp.Compare(a.ID, b.ID))
}

// straighten moves spans that begin before their parent in another service, which can only be a wrong clock: to the
// middle of the parent where they fit, else to its start; with all that is below them. It returns how many it moved.
func straighten(n *node) (moved int) {
	for _, c := range n.children {
		if c.Start.Before(n.Start) && c.Service != n.Service {
			to := n.Start
			if room := n.Duration - c.Duration; room > 0 {
				to = to.Add(room / 2)
			}
			moved += shift(c, to.Sub(c.Start))
		}
		moved += straighten(c)
	}
	slices.SortFunc(n.children, byStart)
	return moved
}

func shift(n *node, by time.Duration) (moved int) {
	n.Start = n.Start.Add(by)
	moved = 1
	for _, c := range n.children {
		moved += shift(c, by)
	}
	return moved
}

// critical marks the path that the end of a span waited for: backwards from until, always through the child that ended
// last; what no child covers is the span's own.
func critical(n *node, until time.Time) {
	at := alertd.Earlier(until, n.end())
	children := slices.Clone(n.children)
	slices.SortFunc(children, func(a, b *node) int { return cmp.Or(b.end().Compare(a.end()), byStart(a, b)) })
	mark := func(from, to time.Time) {
		if to.After(from) {
			n.critical = append(n.critical, [2]time.Time{from, to})
			n.self += to.Sub(from)
		}
	}
	for _, c := range children {
		if !at.After(n.Start) {
			break
		}
		// One that goes on after the parent, or overlaps what is on the path already, did not hold it up at its end.
		if c.end().After(at) || !c.Start.Before(at) || c.Start.Before(n.Start) || c.Duration == 0 {
			continue
		}
		mark(c.end(), at)
		critical(c, c.end())
		at = c.Start
	}
	mark(n.Start, at)
}

// choose marks the nodes that become rows: by how much they matter, each with its ancestors, as far as there is room.
func choose(all []*node, asked string, max int) {
	parents := map[*node]*node{}
	for _, n := range all {
		for _, c := range n.children {
			parents[c] = n
		}
	}
	rank := func(n *node) int {
		switch {
		case n.self > 0 && n.Failed:
			return 0
		case asked != "" && n.ID == asked:
			return 1
		case n.Failed:
			return 2
		case n.self > 0:
			return 3
		default:
			return 4
		}
	}
	byWeight := slices.Clone(all)
	slices.SortStableFunc(byWeight, func(a, b *node) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.self, a.self), cmp.Compare(b.Duration, a.Duration), byStart(a, b))
	})
	shown := 0
	for _, n := range byWeight {
		var chain []*node
		for up := n; up != nil && !up.shown; up = parents[up] {
			chain = append(chain, up)
		}
		if len(chain) > max-shown {
			if shown > 0 || len(chain) == 0 {
				continue
			}
			chain = chain[len(chain)-max:] // too deep: its upper end
		}
		for _, c := range chain {
			c.shown = true
			shown++
		}
	}
}
