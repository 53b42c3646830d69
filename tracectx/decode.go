package tracectx

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// maxName bounds the texts of a span, in bytes.
const maxName = 256

// ownScope begins the names of the instrumentation scopes of alertd's own tracers.
const ownScope = "alertd/"

// DecodeOTLP reads a trace as OTLP in JSON, in each of the forms in which back-ends give it: ids in hexadecimal, as the
// specification says and Jaeger does, or in base64, as Tempo does; enums by number or by name; the spans below "trace",
// "result" (also several, one after the other), or at the top; "batches" for "resourceSpans". The error is [ErrNoTrace]
// if there is no span in it.
func DecodeOTLP(data []byte) (Trace, error) {
	var t collector
	dec := json.NewDecoder(bytes.NewReader(data))
	for {
		var doc otlpAnswer
		if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return Trace{}, fmt.Errorf("not OTLP in JSON: %w", err)
		}
		for _, part := range []*otlpSpans{&doc.otlpSpans, doc.Trace, doc.Result} {
			if part != nil {
				t.resources(part.ResourceSpans)
				t.resources(part.Batches)
			}
		}
		t.Partial = t.Partial || doc.Status == "PARTIAL" || doc.Status == "1"
	}
	return t.done()
}

type otlpAnswer struct {
	otlpSpans
	Trace  *otlpSpans `json:"trace"`
	Result *otlpSpans `json:"result"`
	Status word       `json:"status"`
}

type otlpSpans struct {
	ResourceSpans []otlpResource `json:"resourceSpans"`
	Batches       []otlpResource `json:"batches"`
}

type otlpResource struct {
	Resource struct {
		Attributes []otlpAttribute `json:"attributes"`
	} `json:"resource"`
	ScopeSpans   []otlpScope `json:"scopeSpans"`
	LibrarySpans []otlpScope `json:"instrumentationLibrarySpans"` // as it was called before
}

type otlpScope struct {
	Scope struct {
		Name string `json:"name"`
	} `json:"scope"`
	Spans []otlpSpan `json:"spans"`
}

type otlpSpan struct {
	TraceID      string `json:"traceId"`
	SpanID       string `json:"spanId"`
	ParentSpanID string `json:"parentSpanId"`
	Name         string `json:"name"`
	Start        word   `json:"startTimeUnixNano"`
	End          word   `json:"endTimeUnixNano"`
	Status       struct {
		Code    word   `json:"code"`
		Message string `json:"message"`
	} `json:"status"`
	Events []struct {
		Name       string          `json:"name"`
		Attributes []otlpAttribute `json:"attributes"`
	} `json:"events"`
}

type otlpAttribute struct {
	Key   string `json:"key"`
	Value struct {
		String *string `json:"stringValue"`
	} `json:"value"`
}

func text(attributes []otlpAttribute, key string) string {
	for _, a := range attributes {
		if a.Key == key && a.Value.String != nil {
			return *a.Value.String
		}
	}
	return ""
}

// word is a number or a text, as text.
type word string

// UnmarshalJSON takes either; anything else is "".
func (w *word) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*w = word(s)
		return nil
	}
	var n json.Number
	if json.Unmarshal(b, &n) == nil {
		*w = word(n)
	}
	return nil
}

// collector puts spans together, each id once.
type collector struct {
	Trace
	seen map[string]bool
}

func (t *collector) resources(rs []otlpResource) {
	for _, r := range rs {
		service := text(r.Resource.Attributes, "service.name")
		for _, scopes := range [][]otlpScope{r.ScopeSpans, r.LibrarySpans} {
			for _, scope := range scopes {
				for i := range scope.Spans {
					t.otlp(&scope.Spans[i], service, scope.Scope.Name)
				}
			}
		}
	}
}

func (t *collector) otlp(s *otlpSpan, service, scope string) {
	start, ok1 := nanos(s.Start)
	end, ok2 := nanos(s.End)
	span := Span{
		ID: anyID(s.SpanID, spanDigits), Parent: anyID(s.ParentSpanID, spanDigits), Service: service, Name: s.Name, Start: start,
		Failed: s.Status.Code == "2" || s.Status.Code == "STATUS_CODE_ERROR", Own: strings.HasPrefix(scope, ownScope),
	}
	if span.ID == "" || !ok1 {
		return
	}
	if ok2 {
		span.Duration = end.Sub(start)
	}
	if span.Failed {
		span.Error = s.Status.Message
		for _, e := range s.Events {
			if span.Error == "" && e.Name == "exception" {
				span.Error = text(e.Attributes, "exception.message")
			}
		}
	}
	t.add(anyID(s.TraceID, traceDigits), span)
}

func (t *collector) add(trace string, s Span) {
	switch {
	case t.seen[s.ID]:
		return
	case len(t.Spans) == MaxSpans:
		t.Partial = true
		return
	case t.seen == nil:
		t.seen = map[string]bool{}
	}
	if t.ID == "" {
		t.ID = trace
	}
	t.seen[s.ID] = true
	s.Duration = max(s.Duration, 0)
	for _, p := range []*string{&s.Service, &s.Name, &s.Error} {
		*p = strings.ToValidUTF8((*p)[:min(len(*p), maxName)], "")
	}
	t.Spans = append(t.Spans, s)
}

func (t *collector) done() (Trace, error) {
	if len(t.Spans) == 0 {
		return Trace{}, ErrNoTrace
	}
	return t.Trace, nil
}

// anyID reads an id of so many hexadecimal digits, in hexadecimal or in base64, whose lengths differ. What is no id, or
// all zero, is "".
func anyID(s string, digits int) string {
	if id(s, digits) {
		return strings.ToLower(s)
	}
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		raw, err = base64.RawStdEncoding.DecodeString(s)
	}
	if h := hex.EncodeToString(raw); err == nil && id(h, digits) {
		return h
	}
	return ""
}

// nanos reads nanoseconds since the epoch.
func nanos(w word) (time.Time, bool) {
	n, err := strconv.ParseInt(string(w), 10, 64)
	if err != nil || n <= 0 {
		return time.Time{}, false
	}
	return time.Unix(0, n).UTC(), true
}

// DecodeJaeger reads a trace as Jaeger's own API gives it. The error is [ErrNoTrace] if there is no span in it.
func DecodeJaeger(data []byte) (Trace, error) {
	var doc struct {
		Data []struct {
			TraceID   string       `json:"traceID"`
			Spans     []jaegerSpan `json:"spans"`
			Processes map[string]struct {
				ServiceName string `json:"serviceName"`
			} `json:"processes"`
		} `json:"data"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return Trace{}, fmt.Errorf("not a trace of Jaeger: %w", err)
	}
	var t collector
	for _, d := range doc.Data {
		for i := range d.Spans {
			s := &d.Spans[i]
			span := Span{
				ID: padded(s.SpanID), Service: d.Processes[s.ProcessID].ServiceName, Name: s.OperationName,
				Start: time.UnixMicro(s.StartTime).UTC(), Duration: micros(s.Duration),
			}
			if span.ID == "" || s.StartTime <= 0 || s.StartTime > math.MaxInt64/1000 {
				continue
			}
			for _, r := range s.References {
				if span.Parent == "" && (r.TraceID == "" || r.TraceID == s.TraceID) { // a link to another trace is no parent
					span.Parent = padded(r.SpanID)
				}
			}
			span.read(s)
			t.add(padTo(s.TraceID, traceDigits), span)
		}
	}
	return t.done()
}

type jaegerSpan struct {
	TraceID       string `json:"traceID"`
	SpanID        string `json:"spanID"`
	OperationName string `json:"operationName"`
	References    []struct {
		TraceID string `json:"traceID"`
		SpanID  string `json:"spanID"`
	} `json:"references"`
	StartTime int64 `json:"startTime"` // microseconds
	Duration  int64 `json:"duration"`
	Tags      []struct {
		Key   string          `json:"key"`
		Value json.RawMessage `json:"value"`
	} `json:"tags"`
	ProcessID string `json:"processID"`
}

// read reads from the tags whether the span failed, why, and whether alertd made it.
func (s *Span) read(from *jaegerSpan) {
	for _, tag := range from.Tags {
		var v word
		if bytes.Equal(bytes.TrimSpace(tag.Value), []byte("true")) {
			v = "true"
		} else if json.Unmarshal(tag.Value, &v) != nil {
			continue
		}
		switch tag.Key {
		case "error":
			s.Failed = s.Failed || v == "true"
		case "otel.status_code":
			s.Failed = s.Failed || v == "ERROR"
		case "otel.status_description", "error.message":
			s.Error = string(v)
		case "otel.scope.name", "otel.library.name":
			s.Own = strings.HasPrefix(string(v), ownScope)
		}
	}
	if !s.Failed {
		s.Error = ""
	}
}

func micros(n int64) time.Duration {
	return time.Duration(min(max(n, 0), math.MaxInt64/int64(time.Microsecond))) * time.Microsecond
}

// padded is a span id with the leading zeros that Jaeger's API may leave out.
func padded(s string) string { return padTo(s, spanDigits) }

func padTo(s string, digits int) string {
	if len(s) > 0 && len(s) < digits {
		s = strings.Repeat("0", digits-len(s)) + s
	}
	if !id(s, digits) {
		return ""
	}
	return strings.ToLower(s)
}
