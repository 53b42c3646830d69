package ingest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"alertd"
	"alertd/tracectx"
)

// The types of CloudEvents whose data is one of our own events; any other is an occurrence of that type. Where
// the subject says what kind of event this is, it is believed first.
const (
	cloudMetric = "alertd.metric"
	cloudHealth = "alertd.health"
)

const (
	cePrefix  = "ce-"
	ceVersion = "ce-specversion"

	labelSource  = "source"
	labelSubject = "subject"
)

// maxSeen is how many CloudEvents one generation remembers, so as not to count twice what came twice.
const maxSeen = 50_000

// seen is a bounded set of events, in two generations like the other tables.
type seen struct{ young, old map[[16]byte]struct{} }

// twice reports whether the event was there before: one with the same source, id, type and time.
// CloudEvents asks for the first two only; the others keep apart what comes from those who number all with 1.
func (s *seen) twice(e *event.Event) bool {
	h := sha256.New()
	for _, part := range []string{e.Source(), e.ID(), e.Type(), e.Time().UTC().Format(time.RFC3339Nano)} {
		h.Write([]byte(part))
		h.Write([]byte{0xff})
	}
	key := [16]byte(h.Sum(nil))
	if _, ok := s.young[key]; ok {
		return true
	}
	_, ok := s.old[key]
	if len(s.young) >= maxSeen || s.young == nil {
		s.young, s.old = map[[16]byte]struct{}{}, s.young
	}
	s.young[key] = struct{}{}
	return ok
}

// cloudEvent reads a CloudEvent in structured mode: the envelope and the data are one JSON object.
func (d *Decoder) cloudEvent(e *object, raw []byte, base int) *fault {
	if !e.has("specversion") {
		return faultf(base, `a CloudEvent has "specversion", "id", "source" and "type"; this has %s`, e.names())
	}
	var ce event.Event
	if err := ce.UnmarshalJSON(raw); err != nil {
		return faultf(base, "not a CloudEvent: %s", oneLine(err))
	}
	data, at := field{}, base
	if f, ok, err := e.get("data"); err != nil {
		return err
	} else if ok {
		data, at = f, f.at
	} else if f, ok, _ := e.get("data_base64"); ok {
		at = f.at
		s, _ := f.text()
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return faultf(f.at, `"data_base64" is not base64`)
		}
		data.raw = bodyOf(b, ce.DataContentType())
	}
	return d.cloud(&ce, data.raw, at)
}

// binaryCloudEvent reads a CloudEvent in binary mode: the envelope is in the headers, percent-encoded, and the
// message is the data.
func (d *Decoder) binaryCloudEvent(header map[string][]string) {
	if !d.next(0) {
		return
	}
	attributes := map[string]string{}
	contentType := ""
	for name, values := range header {
		if len(values) == 0 {
			continue
		}
		switch lower := strings.ToLower(name); {
		case lower == "content-type":
			contentType = max(contentType, values[0])
		case strings.HasPrefix(lower, cePrefix):
			attributes[lower[len(cePrefix):]] = max(attributes[lower[len(cePrefix):]], values[0])
		}
	}
	ce := event.New()
	if contentType != "" {
		ce.SetDataContentType(contentType)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		v := attributes[name]
		if s, err := url.PathUnescape(v); err == nil && utf8.ValidString(s) {
			v = s
		}
		switch name {
		case "specversion":
			if v != event.CloudEventsVersionV1 {
				d.refuse(0, "the CloudEvent has version %q; %s is read", short(v), event.CloudEventsVersionV1)
				return
			}
		case "type":
			ce.SetType(v)
		case "source":
			ce.SetSource(v)
		case "id":
			ce.SetID(v)
		case "subject":
			ce.SetSubject(v)
		case "dataschema":
			ce.SetDataSchema(v)
		case "time":
			t, err := types.ParseTime(v)
			if err != nil {
				d.refuse(0, "the header ce-time is %q; write it like 2026-01-15T10:30:00Z", short(v))
				return
			}
			ce.SetTime(t)
		default:
			if event.IsExtensionNameValid(name) {
				ce.SetExtension(name, v)
			}
		}
	}
	if err := d.cloud(&ce, bodyOf(d.buf, contentType), 0); err != nil {
		d.refuse(err.at, "%s", err.msg)
	}
}

// bodyOf is data as JSON: what is JSON stays what it is, a text becomes a JSON text, the rest is nothing that
// alertd reads.
func bodyOf(b []byte, contentType string) []byte {
	media, _ := mediaType(contentType)
	b = bytes.TrimSpace(bytes.TrimPrefix(b, byteOrderMark))
	isText := strings.HasPrefix(media, "text/") && !strings.HasSuffix(media, "/json")
	switch {
	case len(b) == 0 || !utf8.Valid(b):
		return nil
	case isText:
		s, err := json.Marshal(string(b))
		if err != nil {
			return nil
		}
		return s
	default:
		return b
	}
}

// cloud reads a CloudEvent whose data is JSON or nothing, and stands at a place of the payload.
func (d *Decoder) cloud(ce *event.Event, data []byte, at int) *fault {
	if err := ce.Validate(); err != nil {
		return faultf(at, "not a CloudEvent: %s", oneLine(err))
	}
	switch {
	case len(ce.Type()) > MaxName:
		return faultf(at, "the type of the CloudEvent has %d bytes, more than %d", len(ce.Type()), MaxName)
	case len(ce.Source()) > MaxText || len(ce.Subject()) > MaxText:
		return faultf(at, "the source or the subject of the CloudEvent has more than %d bytes", MaxText)
	}
	t := d.received
	if !ce.Time().IsZero() {
		var err error
		if t, err = d.instantOf(ce.Time().UnixMilli()); err != nil {
			return faultf(at, "the CloudEvent's time: %v", err)
		}
	}
	what := d.kind
	switch {
	case what == metric, what == health:
	case ce.Type() == cloudMetric:
		what = metric
	case ce.Type() == cloudHealth:
		what = health
	default:
		what = occurrence
	}
	trace := d.trace
	if parent, ok := ce.Extensions()["traceparent"].(string); ok {
		if ref := tracectx.FromHeader(map[string][]string{"traceparent": {parent}}); !ref.IsZero() {
			trace = ref
		}
	}

	if d.seen.twice(ce) {
		return nil
	}
	defer func(k kind, token string, trace alertd.TraceRef, fields []field) {
		d.kind, d.token, d.trace, d.missing, d.inCloud, d.fields = k, token, trace, d.received, false, fields
	}(d.kind, d.token, d.trace, d.fields)
	d.trace, d.missing, d.inCloud = trace, t, true
	d.fields = nil // the envelope's are still needed
	if what == occurrence {
		return d.cloudOccurrence(ce, data, at, t)
	}
	if d.kind != what {
		d.kind, d.token = what, ""
	}
	return d.cloudData(data, at)
}

// cloudData reads our own events, one or an array, that are the data of a CloudEvent.
func (d *Decoder) cloudData(data []byte, at int) *fault {
	switch {
	case len(data) == 0:
		return faultf(at, "the CloudEvent has no data; %s; %s", metricShape, healthShape)
	case !json.Valid(data):
		d.decode(data, at, nil) // says what is wrong
	case data[0] == '{':
		d.decode(data, at, nil)
	case data[0] == '[':
		for i := space(data, 1); data[i] != ']'; {
			end := elementEnd(data, i)
			if data[i] != '{' {
				d.refuse(at+i, "%s is not an event; an event is a JSON object", excerpt(data[i:end]))
			} else {
				d.decode(data[i:end], at+i, nil)
			}
			if i = space(data, end); data[i] == ',' {
				i = space(data, i+1)
				if !d.next(at + i) {
					return nil
				}
			}
		}
	default:
		return faultf(at, "the data of the CloudEvent is %s; %s; %s", describe(data), metricShape, healthShape)
	}
	return nil
}

// cloudOccurrence makes an occurrence: its labels are those of the data, if the data looks like one of ours, and what
// the envelope says. The rest of the data is the publisher's own.
func (d *Decoder) cloudOccurrence(ce *event.Event, data []byte, at int, t int64) *fault {
	set := d.newSet("")
	service, message := "", ""
	if len(data) > 0 && !json.Valid(data) {
		if media := ce.DataMediaType(); media == "application/json" || strings.HasSuffix(media, "+json") {
			return faultf(at, "the data of the CloudEvent says that it is JSON, and is not")
		}
		data = nil
	}
	if len(data) > 0 && data[0] == '"' {
		message, _ = field{raw: data}.text()
	}
	if len(data) > 0 && data[0] == '{' {
		o := object{at: at, fields: members(nil, data, at)}
		if f, ok, _ := o.get("message"); ok {
			message, _ = f.text()
		}
		if f, ok, _ := o.get(alertd.LabelService); ok {
			service, _ = f.text()
		}
		if f, ok, _ := o.get("labels"); ok && f.raw[0] == '{' {
			for _, l := range members(nil, f.raw, f.at) {
				if len(set.names) < MaxLabels {
					_ = set.addField(l) // what is no label is the publisher's own
				}
			}
		}
		d.trace = d.traceOf(&o)
	}
	extensions := ce.Extensions()
	own := func(name, value string) {
		if value != "" && len(value) <= MaxText && len(set.names) < MaxLabels && !set.has(name) {
			set.names = append(set.names, name)
			set.add(name, value)
		}
	}
	own(alertd.LabelService, service)
	own(labelSource, ce.Source())
	own(labelSubject, ce.Subject())
	for _, name := range slices.Sorted(maps.Keys(extensions)) {
		if name == "traceparent" || name == "tracestate" || name == alertd.LabelMetric {
			continue
		}
		if s, err := types.Format(extensions[name]); err == nil && utf8.ValidString(s) {
			own(name, s)
		}
	}
	d.out.Occurrences = append(d.out.Occurrences, alertd.Occurrence{
		Type: ce.Type(), Labels: set.labels(), Message: cut(message), Time: milli(t), Trace: d.trace,
	})
	return nil
}

// oneLine is an error of the library, which writes several lines, as a part of a sentence.
func oneLine(err error) string {
	const limit = 160
	s := strings.Join(strings.Fields(strings.ToValidUTF8(err.Error(), "\uFFFD")), " ")
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
