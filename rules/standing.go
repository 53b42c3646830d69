package rules

import (
	"math"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// Prometheus believes every sample for the same time, its look-back delta. Here that time may differ from one metric
// to the next, and a sample may bring its own. The engine gets the longest of a rule; of a series that is believed
// for less, it sees a staleness marker wherever a sample's time was over before the next one came. That is how
// Prometheus itself says that a series has ended, so everything that knows about staleness is right about this.

// believed is how long a series' samples are believed where its reader believes them for delta, milliseconds.
func (s *series) believed(delta int64) int64 {
	if s.validFor > 0 {
		return s.validFor
	}
	return delta
}

// reads notes that a rule reads a series whose samples may be believed longer than the rule says.
func (r *ruleRun) reads(s *series) { r.delta = max(r.delta, s.validFor) }

// deltaOf is how long the rule believes samples of one of its selectors, milliseconds.
func (r *ruleRun) deltaOf(u use) int64 {
	if u.delta > 0 {
		return u.delta.Milliseconds()
	}
	return r.group.evaluator.opts.LookbackDelta.Milliseconds()
}

// lasting makes the engine see a series end where its samples are no longer believed.
func lasting(s *series, believed, delta int64) storage.Series {
	if delta == 0 || believed >= delta {
		return s
	}
	return &ending{s, believed}
}

// ending is a series whose samples are believed for less than the engine thinks.
type ending struct {
	series   *series
	believed int64
}

// Labels implements storage.Series.
func (e *ending) Labels() labels.Labels { return e.series.labels }

// Iterator implements storage.Series.
func (e *ending) Iterator(it chunkenc.Iterator) chunkenc.Iterator {
	c, ok := it.(*endingCursor)
	if !ok {
		c = new(endingCursor)
	}
	*c = endingCursor{Iterator: e.series.Iterator(c.Iterator), believed: e.believed}
	c.ahead = c.Iterator.Next()
	return c
}

// endingCursor walks one sample ahead of what it shows, to see the gaps.
type endingCursor struct {
	chunkenc.Iterator // stands at the sample after the one that is shown
	ahead             chunkenc.ValueType
	believed          int64

	kind  chunkenc.ValueType // of what is shown
	t     int64
	v     float64
	h     *histogram.FloatHistogram
	ended bool // what is shown is a marker of ours
}

func (c *endingCursor) Next() chunkenc.ValueType {
	if c.kind != chunkenc.ValNone && !c.ended {
		if end := c.t + c.believed; c.ahead == chunkenc.ValNone || c.Iterator.AtT() > end {
			c.kind, c.t, c.v, c.h, c.ended = chunkenc.ValFloat, end, math.Float64frombits(value.StaleNaN), nil, true
			return c.kind
		}
	}
	c.ended = false
	switch c.kind = c.ahead; c.kind {
	case chunkenc.ValNone:
		return c.kind
	case chunkenc.ValFloat:
		c.t, c.v = c.Iterator.At()
		c.h = nil
	default:
		c.t, c.h = c.Iterator.AtFloatHistogram(nil)
		c.kind = chunkenc.ValFloatHistogram
	}
	c.ahead = c.Iterator.Next()
	return c.kind
}

func (c *endingCursor) Seek(t millis) chunkenc.ValueType {
	if c.kind != chunkenc.ValNone && c.t >= t {
		return c.kind
	}
	for c.Next() != chunkenc.ValNone {
		if c.t >= t {
			return c.kind
		}
	}
	return chunkenc.ValNone
}

func (c *endingCursor) At() (int64, float64) { return c.t, c.v }
func (c *endingCursor) AtT() int64           { return c.t }

func (c *endingCursor) AtFloatHistogram(into *histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	if into == nil || c.h == nil {
		return c.t, c.h
	}
	c.h.CopyTo(into)
	return c.t, into
}
