package ingest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/otlptranslator"
	"github.com/prometheus/prometheus/model/value"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

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
	m := otlpMetric{resource: r}
	var data part
	err := w.each(in.raw, in.at, inMetric, func(p part) {
		switch p.field {
		case 1:
			m.name = w.text(p)
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

// fastNumber makes the sample of a cumulative number without decoding it, where its series is in the table. The key is
// then the point's attributes as they are on the wire. It returns false where it does not know enough.
func (d *Decoder) fastNumber(w wire, m *otlpMetric, in part) (done bool, _ error) {
	if m.data == otlpSum && m.delta() {
		return false, nil
	}
	key := append(d.pointKey[:0], 'w')
	key = append(key, m.head...)
	var n quickNumber
	if w.json {
		key[0] = 'j'
		n.json(d, in.raw, &key)
	} else {
		n.protobuf(w, in, &key)
	}
	d.pointKey = key
	if n.odd || !n.has || len(key) > 16<<10 {
		return false, nil // the long way says what is wrong
	}
	ls, known := d.table.get(key)
	if !known {
		var pb metricspb.NumberDataPoint
		if err := w.unmarshal(in.raw, &pb); err != nil {
			return false, err
		}
		own := string(key)
		p, err := d.newPoint(m, pb.Attributes, pb.TimeUnixNano, 0)
		if err != nil {
			return false, err
		}
		if ls, err = p.series(d, "", "", 0); err != nil {
			return false, err
		}
		d.table.put([]byte(own), ls)
	}
	t, err := d.otlpTime(n.nanos)
	if err != nil {
		return false, err
	}
	if !d.room(1) {
		return false, errNoRoom
	}
	m.resource.latest = max(m.resource.latest, t)
	d.out.Samples = append(d.out.Samples, alertd.Sample{Labels: ls, T: t, V: n.v, Trace: d.trace})
	return true, nil
}

// quickNumber is what fastNumber reads of a point. odd is set where there is more to it: exemplars, flags, another spelling.
type quickNumber struct {
	nanos    uint64
	v        float64
	has, odd bool
}

func (n *quickNumber) protobuf(w wire, in part, key *[]byte) {
	err := w.each(in.raw, in.at, nil, func(p part) {
		switch {
		case p.field == 7 && p.typ == protowire.BytesType:
			*key = binary.AppendUvarint(*key, uint64(len(p.raw)))
			*key = append(*key, p.raw...)
		case p.field == 3 && p.typ == protowire.Fixed64Type:
			n.nanos = p.n
		case p.field == 4 && p.typ == protowire.Fixed64Type:
			n.v, n.has = math.Float64frombits(p.n), true
		case p.field == 6 && p.typ == protowire.Fixed64Type:
			n.v, n.has = float64(int64(p.n)), true
		case p.field == 2 && p.typ == protowire.Fixed64Type:
		case p.field == 8 && p.typ == protowire.VarintType && p.n == 0:
		default:
			n.odd = true
		}
	})
	n.odd = n.odd || err != nil
}

func (n *quickNumber) json(d *Decoder, raw []byte, key *[]byte) {
	if raw[0] != '{' {
		n.odd = true
		return
	}
	saw := 0
	d.inner = members(d.inner[:0], raw, 0)
	for _, m := range d.inner {
		bit, ok := 0, true
		switch m.key {
		case "attributes":
			bit = 1
			*key = append(*key, m.raw...)
		case "timeUnixNano":
			bit = 2
			n.nanos, ok = wholeNumber(m.raw)
		case "startTimeUnixNano":
			bit = 4
			_, ok = wholeNumber(m.raw)
		case "asInt":
			bit = 8
			var u uint64
			u, ok = wholeNumber(m.raw)
			n.v, n.has, ok = float64(int64(u)), true, ok && u <= math.MaxInt64
		case "asDouble":
			bit = 8
			var end int
			n.v, end, ok = number(m.raw, 0)
			n.has, ok = true, ok && end == len(m.raw)
		default:
			ok = false
		}
		n.odd = n.odd || !ok || saw&bit != 0
		saw |= bit
	}
}

// wholeNumber reads a number without a sign, in quotes or not.
func wholeNumber(raw []byte) (uint64, bool) {
	if len(raw) > 2 && raw[0] == '"' {
		raw = raw[1 : len(raw)-1]
	}
	if len(raw) == 0 || len(raw) > 19 || raw[0] == '0' && len(raw) > 1 { // 19 digits always fit
		return 0, false
	}
	n := uint64(0)
	for _, c := range raw {
		if !isDigit(c) {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
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

// anyText is how a value looks as a label.
func anyText(v *commonpb.AnyValue) string {
	switch v := v.GetValue().(type) {
	case nil:
		return ""
	case *commonpb.AnyValue_StringValue:
		return strings.ToValidUTF8(v.StringValue, "\uFFFD")
	case *commonpb.AnyValue_BoolValue:
		return strconv.FormatBool(v.BoolValue)
	case *commonpb.AnyValue_IntValue:
		return strconv.FormatInt(v.IntValue, 10)
	case *commonpb.AnyValue_DoubleValue:
		return floatText(v.DoubleValue)
	case *commonpb.AnyValue_BytesValue:
		return base64.StdEncoding.EncodeToString(v.BytesValue)
	default:
		b, err := json.Marshal(plainValue(&commonpb.AnyValue{Value: v}, 0))
		if err != nil {
			return ""
		}
		return string(b)
	}
}

func floatText(v float64) string {
	if b, err := json.Marshal(v); err == nil {
		return string(b)
	}
	return strconv.FormatFloat(v, 'g', -1, 64) // NaN and the infinities
}

// plainValue is a list or a map as JSON has it.
func plainValue(v *commonpb.AnyValue, depth int) any {
	if depth > maxDepth {
		return nil
	}
	switch v := v.GetValue().(type) {
	case nil:
		return nil
	case *commonpb.AnyValue_BoolValue:
		return v.BoolValue
	case *commonpb.AnyValue_IntValue:
		return v.IntValue
	case *commonpb.AnyValue_DoubleValue:
		return json.RawMessage(jsonFloat(v.DoubleValue))
	case *commonpb.AnyValue_ArrayValue:
		list := []any{}
		for _, e := range v.ArrayValue.GetValues() {
			list = append(list, plainValue(e, depth+1))
		}
		return list
	case *commonpb.AnyValue_KvlistValue:
		object := map[string]any{}
		for _, kv := range v.KvlistValue.GetValues() {
			object[kv.GetKey()] = plainValue(kv.GetValue(), depth+1)
		}
		return object
	default:
		return anyText(&commonpb.AnyValue{Value: v})
	}
}

func jsonFloat(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return strconv.Quote(floatText(v))
	}
	return floatText(v)
}

func bounded(s string) string { return s[:min(len(s), MaxText)] }

// wire is one of the two encodings of OTLP. Both are walked part by part: a part is a field of a message, or one
// element of a repeated one.
type wire struct{ json bool }

type part struct {
	field protowire.Number
	typ   protowire.Type
	raw   []byte // the value, except in protobuf a number
	n     uint64 // a number in protobuf
	at    int
}

// names are the fields of a message that are walked, in JSON; those of the form of protobuf are allowed as well.
type names map[string]protowire.Number

var (
	inRequest  = names{"resourceMetrics": 1, "resource_metrics": 1}
	inResource = names{"resource": 1, "scopeMetrics": 2, "scope_metrics": 2}
	inScope    = names{"metrics": 2}
	inMetric   = names{
		"name": 1, "unit": 3, "gauge": otlpGauge, "sum": otlpSum, "histogram": otlpHistogram, "summary": otlpSummary,
		"exponentialHistogram": otlpExponentialHistogram, "exponential_histogram": otlpExponentialHistogram,
	}
	inData = names{
		"dataPoints": 1, "data_points": 1, "aggregationTemporality": 2, "aggregation_temporality": 2,
		"isMonotonic": 3, "is_monotonic": 3,
	}
)

// each calls f for the parts of a message.
func (w wire) each(raw []byte, at int, fields names, f func(part)) *fault {
	if w.json {
		return eachJSON(raw, at, fields, f)
	}
	for i := 0; i < len(raw); {
		field, typ, n := protowire.ConsumeTag(raw[i:])
		if n < 0 {
			return faultf(at+i, "the protobuf is broken: %v", plainError(protowire.ParseError(n)))
		}
		i += n
		p := part{field: field, typ: typ, at: at + i}
		switch typ {
		case protowire.BytesType:
			p.raw, n = protowire.ConsumeBytes(raw[i:])
			p.at = at + i + max(n-len(p.raw), 0)
		case protowire.VarintType:
			p.n, n = protowire.ConsumeVarint(raw[i:])
		case protowire.Fixed64Type:
			p.n, n = protowire.ConsumeFixed64(raw[i:])
		default:
			n = protowire.ConsumeFieldValue(field, typ, raw[i:])
		}
		if n < 0 {
			return faultf(at+i, "the protobuf is broken: %v", plainError(protowire.ParseError(n)))
		}
		i += n
		if _, message := fields.bytes(field); message && typ != protowire.BytesType {
			return faultf(p.at, "the protobuf is broken: field %d is no message", field)
		}
		f(p)
	}
	return nil
}

// bytes tells whether a field that is walked has a length; temporality and monotonic are those that have none.
func (n names) bytes(field protowire.Number) (_, ok bool) {
	if n == nil {
		return false, false
	}
	if _, data := n["isMonotonic"]; data {
		return false, field == 1
	}
	for _, f := range n {
		if f == field {
			return false, true
		}
	}
	return false, false
}

func eachJSON(raw []byte, at int, fields names, f func(part)) *fault {
	if raw[0] == 'n' {
		return nil
	}
	if raw[0] != '{' {
		return faultf(at, "%s is not an object", describe(raw))
	}
	for _, m := range members(nil, raw, at) {
		field, ok := fields[m.key]
		switch {
		case !ok || m.raw[0] == 'n':
		case m.raw[0] == '[':
			for i := space(m.raw, 1); m.raw[i] != ']'; {
				end := elementEnd(m.raw, i)
				f(part{field: field, raw: m.raw[i:end], at: m.at + i})
				if i = space(m.raw, end); m.raw[i] == ',' {
					i = space(m.raw, i+1)
				}
			}
		default:
			f(part{field: field, raw: m.raw, at: m.at})
		}
	}
	return nil
}

// elementEnd is the end of the element at i of a valid JSON array.
func elementEnd(raw []byte, i int) int {
	end := valueEnd(raw, i)
	if at := bytes.IndexByte(raw[i:end], ']'); at >= 0 && raw[i] != '"' && raw[i] != '{' && raw[i] != '[' {
		return i + at
	}
	return end
}

func (w wire) text(p part) string {
	if w.json {
		s, _ := field{raw: p.raw}.text()
		return s
	}
	return strings.ToValidUTF8(string(p.raw), "\uFFFD")
}

func (w wire) enum(p part, values map[string]int32) uint64 {
	if !w.json {
		return p.n
	}
	s, ok := field{raw: p.raw}.text()
	if !ok {
		s = string(p.raw)
	} else if n, ok := values[s]; ok {
		return uint64(n)
	}
	n, _ := strconv.ParseUint(s, 10, 64)
	return n
}

func (w wire) boolean(p part) bool {
	if w.json {
		return string(p.raw) == "true"
	}
	return p.n != 0
}

func (w wire) unmarshal(raw []byte, to proto.Message) error {
	var err error
	if w.json {
		err = protojson.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: maxDepth}.Unmarshal(raw, to)
	} else {
		err = proto.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: maxDepth}.Unmarshal(raw, to)
	}
	if err != nil {
		return plainError(err)
	}
	return nil
}

// id is an id as hexadecimal digits. OTLP writes ids in JSON as hexadecimal, protojson takes them for base64 and
// does not complain. Such a reading can be undone: hexadecimal digits come in fours here, and base64 of fours is
// one to one. Ids that really were base64 have the right length.
func (w wire) id(b []byte, size int) string {
	if w.json && len(b) == size*3/2 {
		return base64.StdEncoding.EncodeToString(b)
	}
	return hex.EncodeToString(b)
}

var inPoint = regexp.MustCompile(`\(line \d+:\d+\):? ?`)

// plainError takes the name of the library from its errors, and the space of changing width that it puts behind it.
// Its own places count from the start of the data point, and are left out.
func plainError(err error) error {
	s := inPoint.ReplaceAllString(strings.ReplaceAll(err.Error(), "\u00a0", " "), "")
	return faultf(0, "%s", strings.TrimSpace(strings.TrimPrefix(s, "proto:")))
}

// CheckOTLP looks whether payload is an ExportMetricsServiceRequest as far as its resources, in the encoding that
// the headers Content-Type and Content-Encoding name, without decoding its data points: for who takes messages on
// behalf of the stream and wants to refuse nonsense while its sender listens. service is the service.name that all
// resources have in common, or empty; n is how many resources there are. It is safe for concurrent use.
func CheckOTLP(contentType, encoding string, payload []byte) (service string, n int, err error) {
	d := Decoder{out: &alertd.Events{}}
	b := payload
	if encoding != "" {
		var ok bool
		if b, ok = d.inflate(strings.ToLower(strings.TrimSpace(encoding)), payload); !ok {
			return "", 0, faultf(0, "%s", d.problems[0].Reason)
		}
	}
	media, _ := mediaType(contentType)
	w := wire{json: media == "application/json"}
	if w.json {
		b = bytes.TrimSpace(b)
		if !json.Valid(b) {
			return "", 0, faultf(0, "the body is not JSON")
		}
		if _, depth := extent(b, 0); depth > maxDepth {
			return "", 0, faultf(0, "the body is nested more than %d deep", maxDepth)
		}
	}
	var bad *fault
	note := func(f *fault) {
		if f != nil && bad == nil {
			bad = f
		}
	}
	if w.json && len(b) == 0 {
		return "", 0, faultf(0, "the body is empty")
	}
	note(w.each(b, 0, inRequest, func(p part) {
		if p.field != 1 {
			return
		}
		n++
		own := ""
		note(w.each(p.raw, p.at, inResource, func(p part) {
			if p.field != 1 {
				return
			}
			var pb resourcepb.Resource
			if err := w.unmarshal(p.raw, &pb); err != nil {
				note(faultf(p.at, "not a resource of OTLP: %v", err))
			}
			for _, kv := range pb.Attributes {
				if kv.GetKey() == attrService {
					own = bounded(anyText(kv.GetValue()))
				}
			}
		}))
		if n == 1 {
			service = own
		} else if service != own {
			service = ""
		}
	}))
	empty := len(b) == 0 || w.json && (len(members(nil, b, 0)) == 0 || bytes.Contains(b, []byte(`"resource`)))
	switch {
	case bad != nil:
		return "", 0, bad
	case n == 0 && !empty:
		return "", 0, faultf(0, "there are no resource metrics in the body")
	}
	return service, n, nil
}
