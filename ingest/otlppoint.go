package ingest

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/prometheus/prometheus/model/value"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"

	"alertd"
)

// otlpPoint makes samples of one data point.
func (d *Decoder) otlpPoint(w wire, m *otlpMetric, in part) error {
	switch {
	case len(in.raw) > maxPoint:
		return faultf(0, "a data point has %d bytes, more than %d", len(in.raw), maxPoint)
	case m.data != otlpGauge && m.data != otlpSummary && m.temporal != temporalityDelta && m.temporal != temporalityCumulative:
		return faultf(0, "the aggregation temporality is neither cumulative nor delta")
	}
	switch m.data {
	case otlpGauge, otlpSum:
		if done, err := d.fastNumber(w, m, in); done || err != nil {
			return err
		}
		var pb metricspb.NumberDataPoint
		if err := w.unmarshal(in.raw, &pb); err != nil {
			return err
		}
		return d.numberPoint(w, m, &pb)
	case otlpHistogram:
		var pb metricspb.HistogramDataPoint
		if err := w.unmarshal(in.raw, &pb); err != nil {
			return err
		}
		return d.histogramPoint(w, m, &pb)
	case otlpExponentialHistogram:
		var pb metricspb.ExponentialHistogramDataPoint
		if err := w.unmarshal(in.raw, &pb); err != nil {
			return err
		}
		return d.exponentialPoint(w, m, &pb)
	default:
		var pb metricspb.SummaryDataPoint
		if err := w.unmarshal(in.raw, &pb); err != nil {
			return err
		}
		return d.summaryPoint(m, &pb)
	}
}

// otlpPoint is a data point whose samples are being made.
type otlpPoint struct {
	m          *otlpMetric
	key        []byte // of its series, before what tells them apart
	attributes []*commonpb.KeyValue
	ready      bool // the attributes are resolved
	name       string
	t          int64
	trace      alertd.TraceRef
	stale      bool
}

func (d *Decoder) newPoint(m *otlpMetric, attributes []*commonpb.KeyValue, nanos uint64, flags uint32) (*otlpPoint, error) {
	t, err := d.otlpTime(nanos)
	if err != nil {
		return nil, err
	}
	if len(attributes) > MaxLabels {
		return nil, faultf(0, "a data point has %d attributes, more than %d", len(attributes), MaxLabels)
	}
	p := &otlpPoint{
		m: m, attributes: attributes, t: t, trace: d.trace,
		stale: flags&uint32(metricspb.DataPointFlags_DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK) != 0,
	}
	p.key = append(d.pointKey[:0], m.head...)
	for _, kv := range attributes {
		p.key = appendAttribute(p.key, kv)
	}
	d.pointKey = p.key
	return p, nil
}

func (d *Decoder) otlpTime(nanos uint64) (int64, error) {
	if nanos == 0 {
		return d.received, nil
	}
	return d.instantOf(int64(nanos / 1e6))
}

func appendAttribute(key []byte, kv *commonpb.KeyValue) []byte {
	for _, s := range [...]string{kv.GetKey(), anyText(kv.GetValue())} {
		key = binary.AppendUvarint(key, uint64(len(s)))
		key = append(key, s...)
	}
	return key
}

// series finds or makes the labels of one of the point's series. limit is the name of the label that holds bound,
// or empty.
func (p *otlpPoint) series(d *Decoder, suffix, limit string, bound float64) (alertd.Labels, error) {
	key := append(d.key[:0], p.key...)
	key = append(key, 0xff)
	key = append(key, suffix...)
	if limit != "" {
		key = binary.BigEndian.AppendUint64(key, math.Float64bits(bound))
	}
	d.key = key
	if ls, ok := d.table.get(key); ok {
		return ls, nil
	}
	if !p.ready {
		var err error
		if p.name, err = p.m.translate(); err != nil {
			return alertd.Labels{}, err
		}
		d.describeOTLP(p.m, p.name)
		set := d.newAttributes()
		for _, kv := range p.attributes {
			if kv.GetKey() == alertd.LabelMetric {
				continue // the metric's name says it
			}
			if err := set.add(kv.GetKey(), anyText(kv.GetValue())); err != nil {
				return alertd.Labels{}, err
			}
		}
		set.resolve()
		set.set(labelJob, p.m.resource.job)
		set.set(labelInstance, p.m.resource.instance)
		p.ready = true
	}
	if limit != "" {
		d.attributes.set(limit, strconv.FormatFloat(bound, 'f', -1, 64))
	}
	ls := d.attributes.build(d, p.name+suffix, p.m.resource.service)
	d.table.put(key, ls)
	return ls, nil
}

// emit appends a sample of one of the point's series.
func (p *otlpPoint) emit(d *Decoder, ls alertd.Labels, t int64, v float64, trace alertd.TraceRef) {
	if p.stale {
		v = math.Float64frombits(value.StaleNaN)
	}
	p.m.resource.latest = max(p.m.resource.latest, t)
	d.out.Samples = append(d.out.Samples, alertd.Sample{Labels: ls, T: t, V: v, Trace: trace})
}

var errNoRoom = faultf(0, "the message holds too many samples")

// exemplarTrace is the trace of the exemplar that shows best what is wrong, of those that have a trace and that want
// accepts: one of a request that failed, else the one with the highest value, else the newest.
func (d *Decoder) exemplarTrace(w wire, exemplars []*metricspb.Exemplar, want func(v float64) bool) alertd.TraceRef {
	var best alertd.TraceRef
	var newest uint64
	for _, e := range exemplars {
		v := exemplarValue(e)
		if len(e.GetTraceId()) == 0 || want != nil && !want(v) {
			continue
		}
		ref := measured(d.traceFrom(w.id(e.GetTraceId(), 16), w.id(e.GetSpanId(), 8)), v, false)
		for _, kv := range e.GetFilteredAttributes() {
			ref.Failed = ref.Failed || alertd.SaysFailed(kv.GetKey(), anyText(kv.GetValue()))
		}
		better := ref.Value > best.Value || ref.Value == best.Value && e.GetTimeUnixNano() >= newest
		if ref.Failed != best.Failed {
			better = ref.Failed
		}
		if best.IsZero() || better {
			best, newest = ref, e.GetTimeUnixNano()
		}
	}
	if best.IsZero() {
		return d.trace
	}
	return best
}

func exemplarValue(e *metricspb.Exemplar) float64 {
	if v, ok := e.GetValue().(*metricspb.Exemplar_AsInt); ok {
		return float64(v.AsInt)
	}
	return e.GetAsDouble()
}
