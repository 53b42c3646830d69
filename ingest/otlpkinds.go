package ingest

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"

	"alertd"
)

// The suffixes of the series of a classic histogram and of a summary.
const (
	suffixBucket = "_bucket"
	suffixSum    = "_sum"
	suffixCount  = "_count"

	labelLe       = "le"
	labelQuantile = "quantile"
)

// numberPoint makes the sample of a gauge or of a sum.
func (d *Decoder) numberPoint(w wire, m *otlpMetric, pb *metricspb.NumberDataPoint) error {
	p, err := d.newPoint(m, pb.Attributes, pb.TimeUnixNano, pb.Flags)
	if err != nil {
		return err
	}
	var v float64
	switch pb.Value.(type) {
	case *metricspb.NumberDataPoint_AsInt:
		v = float64(pb.GetAsInt())
	case *metricspb.NumberDataPoint_AsDouble:
		v = pb.GetAsDouble()
	default:
		if !p.stale {
			return faultf(0, "a data point has no value")
		}
	}
	if !d.room(2) {
		return errNoRoom
	}
	ls, err := p.series(d, "", "", 0)
	if err != nil {
		return err
	}
	trace := d.exemplarTrace(w, pb.Exemplars, nil)
	if m.data == otlpSum && m.delta() && !p.stale {
		c, start, err := d.accumulate(p, pb.StartTimeUnixNano, pb.TimeUnixNano)
		if c == nil || err != nil {
			return err
		}
		if start > 0 {
			p.emit(d, ls, start, 0, d.trace)
		}
		c.sum += v
		v = c.sum
	}
	p.emit(d, ls, p.t, v, trace)
	return nil
}

// histogramPoint makes the samples of a histogram with limits of its own: _count, _sum and, per limit, _bucket.
func (d *Decoder) histogramPoint(w wire, m *otlpMetric, pb *metricspb.HistogramDataPoint) error {
	p, err := d.newPoint(m, pb.Attributes, pb.TimeUnixNano, pb.Flags)
	if err != nil {
		return err
	}
	bounds, counts := pb.ExplicitBounds, pb.BucketCounts
	switch {
	case len(counts) == 0 && len(bounds) > 0 && p.stale:
		counts = make([]uint64, len(bounds)+1)
	case len(counts) == 0 && len(bounds) == 0:
		counts = []uint64{pb.Count}
	case len(counts) != len(bounds)+1:
		return faultf(0, "a histogram has %d buckets and %d limits; there is one bucket more than limits", len(counts), len(bounds))
	}
	for i, bound := range bounds {
		if math.IsNaN(bound) || i > 0 && !(bounds[i-1] < bound) {
			return faultf(0, "the limits of a histogram do not rise")
		}
	}
	if n := len(bounds); n > 0 && math.IsInf(bounds[n-1], 1) { // the last bucket is that of infinity already
		counts = append(slices.Clone(counts[:n-1]), counts[n-1]+counts[n])
		bounds = bounds[:n-1]
	}
	if !d.room(2 * (len(bounds) + 3)) {
		return errNoRoom
	}

	sum, count := pb.GetSum(), pb.Count
	var start int64
	if m.delta() && !p.stale {
		var c *counter
		if c, start, err = d.accumulate(p, pb.StartTimeUnixNano, pb.TimeUnixNano); c == nil || err != nil {
			return err
		}
		if len(c.counts) != len(counts) || !slices.Equal(c.bounds, bounds) { // the publisher has changed its limits
			c.counts, c.bounds, c.count, c.sum = make([]uint64, len(counts)), slices.Clone(bounds), 0, 0
			d.counters.grow(16 * len(counts))
		}
		for i, n := range counts {
			c.counts[i] += n
		}
		c.count += count
		c.sum += sum
		sum, count, counts = c.sum, c.count, c.counts
	}

	trace := d.exemplarTrace(w, pb.Exemplars, nil)
	one := func(suffix, limit string, bound, v float64, trace alertd.TraceRef) error {
		ls, err := p.series(d, suffix, limit, bound)
		if err != nil {
			return err
		}
		if start > 0 {
			p.emit(d, ls, start, 0, d.trace)
		}
		p.emit(d, ls, p.t, v, trace)
		return nil
	}
	if err := one(suffixCount, "", 0, float64(count), trace); err != nil {
		return err
	}
	if pb.Sum != nil {
		if err := one(suffixSum, "", 0, sum, trace); err != nil {
			return err
		}
	}
	below, lower := uint64(0), math.Inf(-1)
	for i, bound := range bounds {
		below += counts[i]
		within := d.trace
		if len(pb.Exemplars) > 0 {
			within = d.exemplarTrace(w, pb.Exemplars, func(v float64) bool { return lower < v && v <= bound })
		}
		if err := one(suffixBucket, labelLe, bound, float64(below), within); err != nil {
			return err
		}
		lower = bound
	}
	within := d.trace
	if len(pb.Exemplars) > 0 {
		within = d.exemplarTrace(w, pb.Exemplars, func(v float64) bool { return !(v <= lower) })
	}
	return one(suffixBucket, labelLe, math.Inf(1), float64(count), within)
}

// summaryPoint makes the samples of a summary: _count, _sum and one per quantile.
func (d *Decoder) summaryPoint(m *otlpMetric, pb *metricspb.SummaryDataPoint) error {
	p, err := d.newPoint(m, pb.Attributes, pb.TimeUnixNano, pb.Flags)
	if err != nil {
		return err
	}
	if !d.room(2 + len(pb.QuantileValues)) {
		return errNoRoom
	}
	one := func(suffix, limit string, bound, v float64) error {
		ls, err := p.series(d, suffix, limit, bound)
		if err == nil {
			p.emit(d, ls, p.t, v, d.trace)
		}
		return err
	}
	if err := one(suffixCount, "", 0, float64(pb.Count)); err != nil {
		return err
	}
	if err := one(suffixSum, "", 0, pb.Sum); err != nil {
		return err
	}
	for _, q := range pb.QuantileValues {
		if err := one("", labelQuantile, q.GetQuantile(), q.GetValue()); err != nil {
			return err
		}
	}
	return nil
}

// exponentialPoint makes a native histogram.
func (d *Decoder) exponentialPoint(w wire, m *otlpMetric, pb *metricspb.ExponentialHistogramDataPoint) error {
	p, err := d.newPoint(m, pb.Attributes, pb.TimeUnixNano, pb.Flags)
	if err != nil {
		return err
	}
	h, err := nativeHistogram(pb)
	if err != nil {
		return err
	}
	if !d.room(2) {
		return errNoRoom
	}
	ls, err := p.series(d, "", "", 0)
	if err != nil {
		return err
	}
	if p.stale {
		h = &histogram.FloatHistogram{Sum: math.Float64frombits(value.StaleNaN)}
	} else if m.delta() {
		c, start, err := d.accumulate(p, pb.StartTimeUnixNano, pb.TimeUnixNano)
		if c == nil || err != nil {
			return err
		}
		if start > 0 {
			zero := &histogram.FloatHistogram{Schema: h.Schema, ZeroThreshold: h.ZeroThreshold}
			d.out.Samples = append(d.out.Samples, alertd.Sample{Labels: ls, T: start, H: zero, Trace: d.trace})
		}
		if c.h != nil {
			if h, _, _, err = h.Add(c.h); err != nil {
				return err
			}
		}
		d.counters.grow(8 * (len(h.PositiveBuckets) + len(h.NegativeBuckets)))
		c.h = h // h.Add does not change its argument, nor does anybody else
	}
	m.resource.latest = max(m.resource.latest, p.t)
	d.out.Samples = append(d.out.Samples, alertd.Sample{Labels: ls, T: p.t, H: h, Trace: d.exemplarTrace(w, pb.Exemplars, nil)})
	return nil
}

// nativeHistogram translates an exponential histogram. Both have buckets that grow by a factor of 2^(2^-scale);
// OpenTelemetry counts them from the limit below, Prometheus from the limit above. Prometheus knows scales from
// -4 to 8; finer buckets are put together, coarser ones cannot be taken apart.
func nativeHistogram(pb *metricspb.ExponentialHistogramDataPoint) (*histogram.FloatHistogram, error) {
	if pb.Scale < histogram.ExponentialSchemaMin {
		return nil, faultf(0, "the scale of an exponential histogram is %d; it must be %d at least", pb.Scale, histogram.ExponentialSchemaMin)
	}
	coarser := max(pb.Scale-histogram.ExponentialSchemaMax, 0)
	h := &histogram.FloatHistogram{
		Schema: pb.Scale - coarser, ZeroThreshold: 1e-128, // Prometheus's default
		ZeroCount: float64(pb.ZeroCount), Count: float64(pb.Count), Sum: pb.GetSum(),
	}
	if pb.ZeroThreshold > 0 {
		h.ZeroThreshold = pb.ZeroThreshold
	}
	var err error
	if h.PositiveSpans, h.PositiveBuckets, err = nativeBuckets(pb.Positive, coarser); err != nil {
		return nil, err
	}
	if h.NegativeSpans, h.NegativeBuckets, err = nativeBuckets(pb.Negative, coarser); err != nil {
		return nil, err
	}
	if err := h.Validate(); err != nil {
		return nil, faultf(0, "the exponential histogram is not one that Prometheus knows: %v", err)
	}
	return h, nil
}

func nativeBuckets(pb *metricspb.ExponentialHistogramDataPoint_Buckets, coarser int32) (spans []histogram.Span, buckets []float64, _ error) {
	offset := int64(pb.GetOffset())
	if offset < -1<<30 || offset > 1<<30 {
		return nil, nil, faultf(0, "the offset of an exponential histogram is %d, which is no offset of buckets", offset)
	}
	next := int64(0) // index behind the last bucket
	for i, n := range pb.GetBucketCounts() {
		if n == 0 {
			continue
		}
		at := (offset+int64(i))>>coarser + 1
		switch {
		case len(spans) > 0 && at == next-1:
			buckets[len(buckets)-1] += float64(n)
			continue
		case len(spans) > 0 && at == next:
			spans[len(spans)-1].Length++
		default:
			spans = append(spans, histogram.Span{Offset: int32(at - next), Length: 1})
		}
		buckets = append(buckets, float64(n))
		next = at + 1
	}
	return spans, buckets, nil
}
