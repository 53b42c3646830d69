package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/tracectx"
)

// What an event looks like, for those who sent something else.
const (
	metricShape     = `a metric event is {"name":"http_requests_total","labels":{"service":"api"},"value":17}`
	healthShape     = `a health event is {"service":"api","status":"healthy","checks":{"database":{"status":"healthy","latency_ms":5}}}`
	occurrenceShape = `an occurrence is {"type":"deployment.completed","service":"api","message":"v1.2.3 is live"}`
)

// field is one member of a JSON object.
type field struct {
	key string
	at  int    // of the value, in the payload
	raw []byte // the value
}

// fault is trouble at a place of the payload.
type fault struct {
	at  int
	msg string
}

func (f *fault) Error() string { return f.msg }

func faultf(at int, format string, args ...any) *fault {
	return &fault{at, fmt.Sprintf(format, args...)}
}

// decode reads one event by the book. Where key is not nil and the event is a good metric, its labels go into the
// table under that key, and the fast path knows them next time. It returns false where raw is not JSON.
func (d *Decoder) decode(raw []byte, base int, key []byte) (good bool) {
	if !json.Valid(raw) {
		var whole json.RawMessage
		var syntax *json.SyntaxError
		switch err := json.Unmarshal(raw, &whole); {
		case !errors.As(err, &syntax):
			d.refuse(base, "not JSON: %v", err)
		case strings.HasPrefix(syntax.Error(), "unexpected end"):
			d.refuse(base, "the event has no end; was the message cut?")
		default:
			d.refuse(base+max(int(syntax.Offset)-1, 0), "not JSON: %s", syntax)
		}
		return false
	}

	d.fields = members(d.fields[:0], raw, base)
	e := object{at: base, fields: d.fields}
	if len(e.fields) == 1 && inRequest[e.fields[0].key] != 0 {
		d.otlpRequest(wire{json: true}, raw, base)
		return true
	}
	var err *fault
	if (d.envelope || e.has("specversion")) && !d.inCloud {
		if err = d.cloudEvent(&e, raw, base); err != nil {
			d.refuse(err.at, "%s", err.msg)
		}
		return true
	}
	switch d.shape(&e) {
	case metric:
		err = d.metric(&e, key)
	case health:
		err = d.health(&e)
	case occurrence:
		err = d.occurrence(&e)
	default:
		err = faultf(base, "neither the subject nor the fields (%s) say what this is; %s; %s; %s", e.names(), metricShape, healthShape, occurrenceShape)
	}
	if err != nil {
		d.refuse(err.at, "%s", err.msg)
	}
	return true
}

// shape is what the subject says; where it says nothing, what the fields look like.
func (d *Decoder) shape(e *object) kind {
	switch {
	case d.kind != unknown:
		return d.kind
	case e.has("name") && e.has("value"):
		return metric
	case e.has("type"):
		return occurrence
	case e.has("status"), e.has("checks"):
		return health
	case e.has("name"), e.has("value"):
		return metric
	default:
		return unknown
	}
}

func (d *Decoder) metric(e *object, key []byte) *fault {
	name, at, err := e.text("name", metricShape)
	if err != nil {
		return err
	}
	if len(name) > MaxName {
		return faultf(at, "the name has %d bytes, more than %d", len(name), MaxName)
	}
	v, err := e.value()
	if err != nil {
		return err
	}
	t, err := d.instant(e)
	if err != nil {
		return err
	}
	set := d.newSet(name)
	if err := d.labels(e, set); err != nil {
		return err
	}
	ls := set.labels()
	if key != nil {
		d.table.put(key, ls)
	}
	valid, err := e.validFor(0)
	if err != nil {
		return err
	}
	d.out.Samples = append(d.out.Samples, alertd.Sample{Labels: ls, T: t, V: v, Trace: d.traceOf(e), ValidFor: valid})
	return nil
}

func (d *Decoder) occurrence(e *object) *fault {
	typ, at := d.token, e.at
	if e.has("type") || typ == "" || d.kind != occurrence {
		var err *fault
		if typ, at, err = e.text("type", occurrenceShape); err != nil {
			return err
		}
	}
	if len(typ) > MaxName {
		return faultf(at, "the type has %d bytes, more than %d", len(typ), MaxName)
	}
	var message string
	if f, ok, err := e.get("message"); err != nil {
		return err
	} else if ok {
		if message, ok = f.text(); !ok {
			return faultf(f.at, `"message" is %s; it must be a string`, describe(f.raw))
		}
	}
	t, err := d.instant(e)
	if err != nil {
		return err
	}
	valid, err := e.validFor(0)
	if err != nil {
		return err
	}
	set := d.newSet("")
	if err := d.labels(e, set); err != nil {
		return err
	}
	d.out.Occurrences = append(d.out.Occurrences, alertd.Occurrence{
		Type: typ, Labels: set.labels(), Message: cut(message), Time: milli(t), Trace: d.traceOf(e), ValidFor: valid,
	})
	return nil
}

// labels adds the labels of e to set, and the service where they name none.
func (d *Decoder) labels(e *object, set *labelSet) *fault {
	f, ok, err := e.get("labels")
	if err != nil {
		return err
	}
	if ok {
		if f.raw[0] != '{' {
			return faultf(f.at, `"labels" is %s; it must be an object of strings like {"code":"500"}`, describe(f.raw))
		}
		d.inner = members(d.inner[:0], f.raw, f.at)
		if len(d.inner) > MaxLabels {
			return faultf(f.at, "the event has %d labels, more than %d", len(d.inner), MaxLabels)
		}
		for _, l := range d.inner {
			if err := set.addField(l); err != nil {
				return err
			}
		}
	}

	service := d.token
	if d.kind != metric {
		service = ""
	}
	switch f, ok, err := e.get(alertd.LabelService); {
	case err != nil:
		return err
	case ok:
		s, ok := f.text()
		if !ok {
			return faultf(f.at, `"service" is %s; it must be a string`, describe(f.raw))
		}
		if len(s) > MaxText {
			return faultf(f.at, "the service's name has %d bytes, more than %d", len(s), MaxText)
		}
		if s != "" {
			service = s
		}
	}
	if !set.has(alertd.LabelService) {
		set.add(alertd.LabelService, service)
	}
	return nil
}

// instant is the field time or timestamp in milliseconds, or the arrival.
func (d *Decoder) instant(e *object) (int64, *fault) {
	f, ok, err := e.get("time")
	if err != nil {
		return 0, err
	}
	if also, both, err := e.get("timestamp"); err != nil {
		return 0, err
	} else if both {
		if ok {
			return 0, faultf(also.at, `the event has both "time" and "timestamp"; leave one out`)
		}
		f, ok = also, true
	}
	if !ok {
		return d.missing, nil
	}

	var t int64
	if s, isText := f.text(); isText {
		if t, ok = parseTime([]byte(s)); !ok {
			return 0, faultf(f.at, `%q is %s; write it like "2026-01-15T10:30:00Z", or as a number of seconds or milliseconds since 1970`, f.key, describe(f.raw))
		}
		if t == goZero {
			return d.missing, nil
		}
	} else if v, end, isNumber := number(f.raw, 0); !isNumber || end != len(f.raw) {
		return 0, faultf(f.at, `%q is %s; write it like "2026-01-15T10:30:00Z", or as a number of seconds or milliseconds since 1970`, f.key, describe(f.raw))
	} else if t, ok = unixTime(v); !ok {
		return 0, faultf(f.at, `%q is %s, which is neither seconds nor milliseconds since 1970`, f.key, describe(f.raw))
	}
	switch {
	case t < 0:
		return 0, faultf(f.at, `%q is %s, which is before 1970`, f.key, describe(f.raw))
	case t > d.received+MaxAhead.Milliseconds():
		return 0, faultf(f.at, `%q is %s, which is %s ahead of its arrival; check the publisher's clock and time zone`,
			f.key, describe(f.raw), milli(t).Sub(milli(d.received)).String())
	}
	return t, nil
}

// traceOf is the trace that the event names, else that of the header. What is not a valid id is no id.
func (d *Decoder) traceOf(e *object) alertd.TraceRef {
	var ids [2]string
	for i, name := range []string{"trace_id", "span_id"} {
		for _, f := range e.fields {
			if f.key == name {
				ids[i], _ = f.text()
			}
		}
	}
	return d.traceFrom(ids[0], ids[1])
}

func (d *Decoder) traceFrom(traceID, spanID string) alertd.TraceRef {
	if traceID == "" {
		return d.trace
	}
	ref := tracectx.Valid(traceID, spanID)
	switch {
	case ref.IsZero():
		return d.trace
	case ref.TraceID == d.trace.TraceID: // the header knows more about the same trace
		ref.Unsampled = d.trace.Unsampled
		if ref.SpanID == "" {
			ref.SpanID = d.trace.SpanID
		}
	}
	return ref
}

// object is a JSON object with the order and the places of its members.
type object struct {
	at     int
	fields []field
}

func (o *object) has(name string) bool {
	return slices.ContainsFunc(o.fields, func(f field) bool { return f.key == name })
}

// get finds a member; null counts as missing, as most encoders write it so.
func (o *object) get(name string) (f field, ok bool, err *fault) {
	n := 0
	for _, g := range o.fields {
		if g.key == name {
			if n++; n > 1 {
				return field{}, false, faultf(g.at, "%q comes twice", name)
			}
			f = g
		}
	}
	return f, n == 1 && f.raw[0] != 'n', nil
}

// text is a string that must be there.
func (o *object) text(name, shape string) (s string, at int, err *fault) {
	f, ok, err := o.get(name)
	if err != nil {
		return "", 0, err
	}
	if !ok {
		return "", 0, o.missing(name, shape)
	}
	s, ok = f.text()
	switch {
	case !ok:
		return "", 0, faultf(f.at, "%q is %s; it must be a string; %s", name, describe(f.raw), shape)
	case s == "":
		return "", 0, faultf(f.at, "%q is empty; %s", name, shape)
	}
	return s, f.at, nil
}

func (o *object) value() (float64, *fault) {
	f, ok, err := o.get("value")
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, o.missing("value", metricShape)
	}
	if s, ok := f.text(); ok {
		if v, ok := special(s); ok {
			return v, nil
		}
		if v, end, ok := number([]byte(s), 0); ok && end == len(s) && !math.IsInf(v, 0) {
			return 0, faultf(f.at, `"value" is the string %s; write the number without quotes`, describe(f.raw))
		}
		return 0, faultf(f.at, `"value" is %s; it must be a number, "NaN", "+Inf" or "-Inf"`, describe(f.raw))
	}
	v, end, ok := number(f.raw, 0)
	if !ok || end != len(f.raw) {
		return 0, faultf(f.at, `"value" is %s; it must be a number, "NaN", "+Inf" or "-Inf"`, describe(f.raw))
	}
	return v, nil
}

func (o *object) missing(name, shape string) *fault {
	return faultf(o.at, "the event has no %q (its fields: %s); %s", name, o.names(), shape)
}

// names lists the fields for a person who looks for the misspelt one.
func (o *object) names() string {
	const limit = 8
	if len(o.fields) == 0 {
		return "none"
	}
	var names []string
	for _, f := range o.fields[:min(limit, len(o.fields))] {
		names = append(names, fmt.Sprintf("%q", short(f.key)))
	}
	if len(o.fields) > limit {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}

// members lists the members of a valid JSON object that starts at base of the payload.
func members(to []field, raw []byte, base int) []field {
	for i := space(raw, 1); i < len(raw) && raw[i] == '"'; {
		end := text(raw, i)
		key, _ := field{raw: raw[i:end]}.text()
		i = space(raw, space(raw, end)+1) // behind the colon
		end = valueEnd(raw, i)
		to = append(to, field{key: key, at: base + i, raw: raw[i:end]})
		i = space(raw, space(raw, end)+1) // behind the comma or the brace
	}
	return to
}

// valueEnd is the end of the value at i of valid JSON.
func valueEnd(raw []byte, i int) int {
	switch raw[i] {
	case '"':
		return text(raw, i)
	case '{', '[':
		end, _ := extent(raw, i)
		return end
	}
	for i < len(raw) && raw[i] != ',' && raw[i] != '}' && raw[i] > ' ' {
		i++
	}
	return i
}

// text is the value of a string; false for all else.
func (f field) text() (string, bool) {
	if f.raw[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(f.raw, '\\') < 0 {
		return string(f.raw[1 : len(f.raw)-1]), true
	}
	var s string
	err := json.Unmarshal(f.raw, &s)
	return s, err == nil
}

// describe says what a value is, for messages.
func describe(raw []byte) string {
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 'n':
		return "null"
	case 't', 'f':
		return string(raw)
	default:
		if len(raw) > 40 {
			return strings.ToValidUTF8(string(raw[:40]), "") + "…"
		}
		return string(raw)
	}
}

func short(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}

// cut shortens a message for people; unlike a label's value it names nothing, so that a part of it is better than none.
func cut(s string) string {
	if len(s) <= MaxText {
		return s
	}
	s = s[:MaxText]
	for len(s) > 0 && !utf8.ValidString(s[max(0, len(s)-utf8.UTFMax):]) && !utf8.RuneStart(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return strings.ToValidUTF8(s, "") + "…"
}

// labelSet collects the labels of one event.
type labelSet struct {
	builder labels.ScratchBuilder
	names   []string
}

func (d *Decoder) newSet(metric string) *labelSet {
	d.set.builder.Reset()
	d.set.names = d.set.names[:0]
	if metric != "" {
		d.set.builder.Add(alertd.LabelMetric, metric)
	}
	return &d.set
}

// add adds a label that is known to be good. An empty value is no label.
func (s *labelSet) add(name, value string) {
	if value != "" {
		s.builder.Add(name, value)
	}
}

func (s *labelSet) addField(f field) *fault {
	value, ok := f.text()
	switch {
	case !ok:
		return faultf(f.at, "the label %q is %s; it must be a string", short(f.key), describe(f.raw))
	case f.key == "":
		return faultf(f.at, "a label has no name")
	case f.key == alertd.LabelMetric:
		return faultf(f.at, `the label %s is the metric's name; write it as "name" of the event`, alertd.LabelMetric)
	case len(f.key) > MaxName:
		return faultf(f.at, "the name of a label has %d bytes, more than %d", len(f.key), MaxName)
	case len(value) > MaxText:
		return faultf(f.at, "the label %q has %d bytes, more than %d", short(f.key), len(value), MaxText)
	case slices.Contains(s.names, f.key):
		return faultf(f.at, "the label %q comes twice", short(f.key))
	}
	if value != "" { // {service=""} leaves room for the subject's, as a label that is not there
		s.names = append(s.names, f.key)
	}
	s.add(f.key, value)
	return nil
}

func (s *labelSet) has(name string) bool { return slices.Contains(s.names, name) }

func (s *labelSet) labels() alertd.Labels {
	s.builder.Sort()
	return s.builder.Labels()
}
