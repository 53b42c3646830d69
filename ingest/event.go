package ingest

import (
	"encoding/json"
	"errors"
	"strings"

	"alertd"
	"alertd/tracectx"
)

// What an event looks like, for those who sent something else.
const (
	metricShape     = `a metric event is {"name":"http_requests_total","labels":{"service":"api"},"value":17}`
	healthShape     = `a health event is {"service":"api","status":"healthy","checks":{"database":{"status":"healthy","latency_ms":5}}}`
	occurrenceShape = `an occurrence is {"type":"deployment.completed","service":"api","message":"v1.2.3 is live"}`
)

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
