package rules

import (
	"slices"
	"sort"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// Native histograms stand beside the floats of a series, since a series has one kind or the other, save for the
// moment in which a publisher changes from one to the other. They are kept as they came: most are a few hundred
// bytes, and a window holds few of them.

// pushHistogram appends a histogram that is newer than every sample. The window begins at cutoff.
func (s *series) pushHistogram(t int64, h *histogram.FloatHistogram, cutoff int64) {
	switch {
	case len(s.hists) < cap(s.hists):
	case len(s.pins) > 0:
		s.trimHistograms(cutoff)
	default:
		i := sort.Search(len(s.hists), func(i int) bool { return s.hists[i].T > cutoff }) - 1
		if i > 0 {
			s.hists = slices.Delete(s.hists, 0, i)
		}
	}
	s.hists = append(s.hists, promql.HPoint{T: t, H: h})
	s.hint(len(s.hists) - 1)
}

// insertHistogram puts a late histogram where it belongs.
func (s *series) insertHistogram(t int64, h *histogram.FloatHistogram) appended {
	if p, ok := s.at(t); ok && p.T == t || s.histogramAt(t) {
		return duplicate
	}
	i := sort.Search(len(s.hists), func(i int) bool { return s.hists[i].T >= t })
	s.hists = slices.Insert(s.hists, i, promql.HPoint{T: t, H: h})
	s.hint(i)
	if i+1 < len(s.hists) {
		s.hint(i + 1)
	}
	return stored
}

// replaceHistogram puts another histogram in the place of the one for an instant. It reports false if it is the same, or if
// there is none.
func (s *series) replaceHistogram(t int64, h *histogram.FloatHistogram) bool {
	i := sort.Search(len(s.hists), func(i int) bool { return s.hists[i].T >= t })
	if i == len(s.hists) || s.hists[i].T != t || s.hists[i].H.Equals(h) {
		return false
	}
	s.hists[i].H = h
	s.hint(i)
	if i+1 < len(s.hists) {
		s.hint(i + 1)
	}
	return true
}

func (s *series) histogramAt(t int64) bool {
	i := sort.Search(len(s.hists), func(i int) bool { return s.hists[i].T >= t })
	return i < len(s.hists) && s.hists[i].T == t
}

// hint says of histogram i whether its counters began anew since the one before it, as a chunk of Prometheus's
// TSDB does: no, or unknown, in which case functions look for themselves. Whatever its producer said: that was about
// a predecessor that may not have arrived. A gauge stays a gauge.
func (s *series) hint(i int) {
	h := s.hists[i].H
	if h.CounterResetHint == histogram.GaugeType {
		return
	}
	hint := histogram.UnknownCounterReset
	if i > 0 && follows(h, s.hists[i-1].H) {
		hint = histogram.NotCounterReset
	}
	if h.CounterResetHint != hint { // the sample is its producer's, so it gets a copy of all but the buckets
		c := *h
		c.CounterResetHint = hint
		s.hists[i].H = &c
	}
}

// follows reports whether b is certain to continue the counters of a.
func follows(b, a *histogram.FloatHistogram) bool {
	if a.CounterResetHint == histogram.GaugeType || value.IsStaleNaN(a.Sum) || value.IsStaleNaN(b.Sum) ||
		a.Schema != b.Schema || a.ZeroThreshold != b.ZeroThreshold || !histogram.CustomBucketBoundsMatch(a.CustomValues, b.CustomValues) {
		return false
	}
	c := *b
	c.CounterResetHint = histogram.UnknownCounterReset
	return !c.DetectReset(a)
}

// mixedCursor walks over a series that has native histograms.
type mixedCursor struct {
	floats cursor
	float  bool // floats stands on a sample
	hists  []promql.HPoint
	begun  bool
	kind   chunkenc.ValueType // of the sample that it stands on
}

func newMixedCursor(s *series, old chunkenc.Iterator) *mixedCursor {
	c, ok := old.(*mixedCursor)
	if !ok {
		c = new(mixedCursor)
	}
	*c = mixedCursor{floats: cursor{series: s, run: -1, chunk: c.floats.chunk, head: -1}, hists: s.hists}
	return c
}

// Next implements chunkenc.Iterator.
func (c *mixedCursor) Next() chunkenc.ValueType {
	switch {
	case !c.begun || c.kind == chunkenc.ValFloat:
		c.begun, c.float = true, c.floats.Next() != chunkenc.ValNone
	case c.kind == chunkenc.ValFloatHistogram:
		c.hists = c.hists[1:]
	}
	return c.choose()
}

// Seek implements chunkenc.Iterator.
func (c *mixedCursor) Seek(t millis) chunkenc.ValueType {
	if c.kind != chunkenc.ValNone && c.AtT() >= t {
		return c.kind
	}
	c.begun, c.float = true, c.floats.Seek(t) != chunkenc.ValNone
	c.hists = c.hists[sort.Search(len(c.hists), func(i int) bool { return c.hists[i].T >= t }):]
	return c.choose()
}

// choose takes whichever comes first.
func (c *mixedCursor) choose() chunkenc.ValueType {
	switch {
	case len(c.hists) > 0 && (!c.float || c.hists[0].T < c.floats.t):
		c.kind = chunkenc.ValFloatHistogram
	case c.float:
		c.kind = chunkenc.ValFloat
	default:
		c.kind = chunkenc.ValNone
	}
	return c.kind
}

// At implements chunkenc.Iterator.
func (c *mixedCursor) At() (int64, float64) { return c.floats.At() }

// AtT implements chunkenc.Iterator.
func (c *mixedCursor) AtT() int64 {
	if c.kind == chunkenc.ValFloatHistogram {
		return c.hists[0].T
	}
	return c.floats.t
}

// AtST implements chunkenc.Iterator: no format says when a counter began.
func (c *mixedCursor) AtST() int64 { return 0 }

// Err implements chunkenc.Iterator.
func (c *mixedCursor) Err() error { return nil }

// AtHistogram implements chunkenc.Iterator; there are no integer histograms.
func (c *mixedCursor) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) {
	return c.AtT(), nil
}

// AtFloatHistogram implements chunkenc.Iterator. The engine writes into what it gets, so it gets a copy.
func (c *mixedCursor) AtFloatHistogram(fh *histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	p := c.hists[0]
	if fh == nil {
		return p.T, p.H.Copy()
	}
	p.H.CopyTo(fh)
	return p.T, fh
}
