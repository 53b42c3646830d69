package ingest

import "github.com/prometheus/prometheus/model/histogram"

// maxCounters is how many bytes one generation of the counters may have.
const maxCounters = 32 << 20

// counters are the sums of what series with delta temporality have reported: PromQL wants counters that rise. The
// table is bounded like that of the labels: a series that did not report while a whole generation of others did is
// forgotten, and begins again at zero, as a counter does whose process restarts. So does every series when the
// daemon begins to read, together with the samples that it reads again.
type counters struct {
	young, old map[string]*counter
	size       int
}

// counter is the sum of one series; which of its fields are used depends on its kind.
type counter struct {
	last   uint64 // nanoseconds, the end of the newest part that is in the sum
	sum    float64
	count  uint64
	counts []uint64
	bounds []float64
	h      *histogram.FloatHistogram
}

// grow counts what a counter has become larger by.
func (c *counters) grow(bytes int) { c.size += bytes }

func (c *counters) get(key []byte) (sum *counter, fresh bool) {
	if sum = c.young[string(key)]; sum != nil {
		return sum, false
	}
	const overhead = 160 // of an entry, roughly
	weight := overhead + len(key)
	if sum = c.old[string(key)]; sum != nil {
		weight += 16*len(sum.counts) + sum.weight()
	}
	if c.size += weight; c.size > maxCounters || c.young == nil {
		c.young, c.old = map[string]*counter{}, c.young
		c.size = weight
	}
	if fresh = sum == nil; fresh {
		sum = &counter{}
	}
	c.young[string(key)] = sum
	return sum, fresh
}

func (c *counter) weight() int {
	if c.h == nil {
		return 0
	}
	return 8 * (len(c.h.PositiveBuckets) + len(c.h.NegativeBuckets))
}

// accumulate finds the sum that a point with delta temporality adds to, and, for the first one of a series, the instant
// at which the sum was zero, in milliseconds: without it a counter's first step would not be seen. It is nil for a
// point that is in the sum already, because its message came twice.
func (d *Decoder) accumulate(p *otlpPoint, start, end uint64) (c *counter, zero int64, err error) {
	if end == 0 {
		return nil, 0, faultf(0, "a data point with delta temporality has no time")
	}
	c, fresh := d.counters.get(p.key)
	switch {
	case fresh:
		if first := int64(start / 1e6); first > 0 && first < p.t {
			zero = first
		}
	case end == c.last:
		return nil, 0, nil
	case end < c.last:
		return nil, 0, faultf(0, "a data point with delta temporality is older than one that came before it; it came twice or late, and is not added")
	}
	c.last = end
	return c, zero, nil
}
