package ingest

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/prometheus/otlptranslator"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/encoding/protowire"

	"alertd"
)

// maxPoint is how many bytes one data point of OTLP may have: decoded it can be forty times as large.
const maxPoint = 256 << 10

// The attributes of a resource that say who sends.
const (
	attrService   = "service.name"
	attrNamespace = "service.namespace"
	attrInstance  = "service.instance.id"

	labelJob      = "job"
	labelInstance = "instance"
)

// otlp reads the protobuf form of an ExportMetricsServiceRequest.
func (d *Decoder) otlp() {
	d.array = true // a data point is an item
	d.otlpRequest(wire{}, d.buf, 0)
	d.array = false
}

// otlpRequest walks down to the data points. Each is decoded for itself, so that a bad one costs the others nothing, and
// so that what a few bytes on the wire become in memory stays bounded.
func (d *Decoder) otlpRequest(w wire, raw []byte, at int) {
	found := false
	err := w.each(raw, at, inRequest, func(p part) {
		if p.field == 1 && !d.full {
			found = true
			d.otlpResource(w, p)
		}
	})
	switch {
	case err != nil:
		d.refuseMessage(err.at, "not OTLP metrics: %s", err.msg)
	case !found && len(raw) > 0: // an empty request is a request
		d.refuseMessage(at, "not OTLP metrics: there are no resource metrics in it")
	}
}

// otlpResource is who sends.
type otlpResource struct {
	key                    [16]byte
	service, job, instance string
	attributes             []*commonpb.KeyValue
	latest                 int64 // instant of the newest sample
}

func (d *Decoder) otlpResource(w wire, in part) {
	var r otlpResource
	err := w.each(in.raw, in.at, inResource, func(p part) {
		if p.field != 1 {
			return
		}
		var pb resourcepb.Resource
		if err := w.unmarshal(p.raw, &pb); err != nil {
			d.refuseMessage(p.at, "not a resource of OTLP: %s", err)
			return
		}
		r.attributes = pb.Attributes
		sum := sha256.Sum256(append(slices.Clip(p.raw), d.otlpToken()...))
		copy(r.key[:], sum[:])
	})
	if err != nil {
		d.refuseMessage(err.at, "not OTLP metrics: %s", err.msg)
		return
	}
	if r.attributes == nil {
		sum := sha256.Sum256([]byte(d.otlpToken()))
		copy(r.key[:], sum[:])
	}
	namespace := ""
	for _, kv := range r.attributes {
		switch kv.GetKey() {
		case attrService:
			r.service = bounded(anyText(kv.GetValue()))
		case attrNamespace:
			namespace = bounded(anyText(kv.GetValue()))
		case attrInstance:
			r.instance = bounded(anyText(kv.GetValue()))
		}
	}
	if r.job = r.service; r.job != "" && namespace != "" {
		r.job = namespace + "/" + r.job
	}

	_ = w.each(in.raw, in.at, inResource, func(p part) { // has been walked before
		if p.field != 2 || d.full {
			return
		}
		err := w.each(p.raw, p.at, inScope, func(p part) {
			if p.field == 2 && !d.full {
				d.otlpMetric(w, &r, p)
			}
		})
		if err != nil {
			d.refuseMessage(err.at, "not OTLP metrics: %s", err.msg)
		}
	})
	d.targetInfo(&r)
}

// otlpToken is what the subject adds to a resource.
func (d *Decoder) otlpToken() string {
	if d.kind == metric {
		return d.token
	}
	return ""
}

// targetInfo keeps what else is known of the resource, as Prometheus does, for rules that join it.
func (d *Decoder) targetInfo(r *otlpResource) {
	if r.latest == 0 || r.job == "" && r.instance == "" || d.full || !d.room(1) {
		return
	}
	key := append(d.key[:0], 't')
	key = append(key, r.key[:]...)
	d.key = key
	ls, known := d.table.get(key)
	if !known {
		set := d.newAttributes()
		for _, kv := range r.attributes {
			switch k := kv.GetKey(); k {
			case attrService, attrNamespace, attrInstance, alertd.LabelMetric:
			default:
				if len(set.pairs) < MaxLabels {
					_ = set.add(k, anyText(kv.GetValue())) // what is too long for a label is no label
				}
			}
		}
		set.resolve()
		if len(set.pairs) > 0 {
			set.set(labelJob, r.job)
			set.set(labelInstance, r.instance)
			ls = set.build(d, otlptranslator.TargetInfoMetricName, r.service)
		}
		d.table.put(key, ls)
	}
	if !ls.IsEmpty() {
		d.out.Samples = append(d.out.Samples, alertd.Sample{Labels: ls, T: r.latest, V: 1, Trace: d.trace})
	}
}

// otlpMetric is one metric and what its data points have in common.
type otlpMetric struct {
	resource   *otlpResource
	name, unit string
	help       func() string    // read where it is asked for
	data       protowire.Number // which of the five kinds
	temporal   uint64
	monotonic  bool
	head       []byte // of the key of its series
}

// The kinds of data, by their field in Metric.
const (
	otlpGauge                protowire.Number = 5
	otlpSum                  protowire.Number = 7
	otlpHistogram            protowire.Number = 9
	otlpExponentialHistogram protowire.Number = 10
	otlpSummary              protowire.Number = 11

	temporalityDelta      = uint64(metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA)
	temporalityCumulative = uint64(metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE)
)

func (m *otlpMetric) delta() bool { return m.temporal == temporalityDelta }

func (d *Decoder) otlpMetric(w wire, r *otlpResource, in part) {
	m := otlpMetric{resource: r, help: func() string { return "" }}
	var data part
	err := w.each(in.raw, in.at, inMetric, func(p part) {
		switch p.field {
		case 1:
			m.name = w.text(p)
		case 2:
			m.help = func() string { return w.text(p) }
		case 3:
			m.unit = w.text(p)
		case otlpGauge, otlpSum, otlpHistogram, otlpExponentialHistogram, otlpSummary:
			data = p
		}
	})
	var bad string
	switch {
	case err != nil:
		d.refuseMessage(err.at, "not a metric of OTLP: %s", err.msg)
		return
	case m.name == "":
		bad = "a metric has no name"
	case len(m.name)+len(m.unit) > MaxName:
		bad = "the name of a metric has more than " + strconv.Itoa(MaxName) + " bytes"
	case data.raw == nil && data.field == 0:
		bad = "metric \"" + m.name + "\" has no data points"
	}
	if bad != "" {
		if d.next(in.at) {
			d.refuse(in.at, "%s", bad)
		}
		return
	}
	m.data = data.field
	if err := w.each(data.raw, data.at, inData, func(p part) {
		switch p.field {
		case 2:
			m.temporal = w.enum(p, metricspb.AggregationTemporality_value)
		case 3:
			m.monotonic = w.boolean(p)
		}
	}); err != nil {
		d.refuseMessage(err.at, "metric %q: %s", short(m.name), err.msg)
		return
	}
	m.head = append(m.head, 'n')
	m.head = append(m.head, r.key[:]...)
	m.head = append(m.head, byte(m.data))
	if m.monotonic {
		m.head = append(m.head, 'm')
	}
	m.head = binary.AppendUvarint(m.head, uint64(len(m.name)))
	m.head = append(m.head, m.name...)
	m.head = binary.AppendUvarint(m.head, uint64(len(m.unit)))
	m.head = append(m.head, m.unit...)

	_ = w.each(data.raw, data.at, inData, func(p part) {
		if p.field != 1 || d.full || !d.next(p.at) {
			return
		}
		first := len(d.out.Samples)
		err := d.otlpPoint(w, &m, p)
		switch {
		case err == nil:
		case err == errNoRoom:
			d.tooMany(p.at)
		default:
			clear(d.out.Samples[first:])
			d.out.Samples = d.out.Samples[:first]
			d.refuse(p.at, "metric %q: %v", short(m.name), err)
		}
	})
}

// translate makes the name that Prometheus gives the metric, with its unit and, for a counter, _total.
func (m *otlpMetric) translate() (string, error) {
	namer := otlptranslator.MetricNamer{WithMetricSuffixes: true}
	metric := otlptranslator.Metric{Name: m.name, Unit: m.unit}
	switch m.data {
	case otlpGauge:
		metric.Type = otlptranslator.MetricTypeGauge
	case otlpSum:
		metric.Type = otlptranslator.MetricTypeNonMonotonicCounter
		if m.monotonic {
			metric.Type = otlptranslator.MetricTypeMonotonicCounter
		}
	case otlpHistogram:
		metric.Type = otlptranslator.MetricTypeHistogram
	case otlpExponentialHistogram:
		metric.Type = otlptranslator.MetricTypeExponentialHistogram
	default:
		metric.Type = otlptranslator.MetricTypeSummary
	}
	return namer.Build(metric)
}
