package tracectx_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"alertd"
	"alertd/tracectx"
)

const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanID  = "00f067aa0ba902b7"
	parent  = "00-" + traceID + "-" + spanID + "-01"
)

// The usual way to inject a context into NATS headers is an http.Header in disguise, which canonicalises names.
func TestHeaderCaseAsPublishersWriteIt(t *testing.T) {
	tid, _ := trace.TraceIDFromHex(traceID)
	sid, _ := trace.SpanIDFromHex(spanID)
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: tid, SpanID: sid, TraceFlags: trace.FlagsSampled,
	}))
	h := map[string][]string{}
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(http.Header(h)))
	if _, ok := h["Traceparent"]; !ok {
		t.Fatalf("the carrier no longer canonicalises names, this test proves nothing: %v", h)
	}
	want := alertd.TraceRef{TraceID: traceID, SpanID: spanID}
	for _, name := range []string{"Traceparent", "traceparent", "TRACEPARENT", "TraceParent"} {
		if got := tracectx.FromHeader(map[string][]string{"Nats-Msg-Id": {"1"}, name: h["Traceparent"]}); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

func TestFromHeader(t *testing.T) {
	ok := alertd.TraceRef{TraceID: traceID, SpanID: spanID}
	off := ok
	off.Unsampled = true
	for in, want := range map[string]alertd.TraceRef{
		parent:                                                  ok,
		" " + parent + " ":                                      ok,
		"00-" + traceID + "-" + spanID + "-00":                  off,
		"00-" + traceID + "-" + spanID + "-fe":                  off,
		"00-" + traceID + "-" + spanID + "-03":                  ok,
		"cc-" + traceID + "-" + spanID + "-01-what-comes-later": ok,
		strings.ToUpper(parent):                                 ok,
		"":                                                      {},
		"ff-" + traceID + "-" + spanID + "-01":                  {},
		"FF-" + traceID + "-" + spanID + "-01":                  {},
		parent + "-more":                                        {}, // version 00 has nothing more
		"cc-" + traceID + "-" + spanID + "-01x":                 {},
		"00-" + strings.Repeat("0", 32) + "-" + spanID + "-01":  {},
		"00-" + traceID + "-" + strings.Repeat("0", 16) + "-01": {},
		"00-" + traceID[:31] + "g-" + spanID + "-01":            {},
		"00-" + traceID + "-" + spanID + "-0g":                  {},
		"0x-" + traceID + "-" + spanID + "-01":                  {},
		strings.ReplaceAll(parent, "-", "_"):                    {},
	} {
		if got := tracectx.FromHeader(tracectx.Header{"traceparent": {in}}); got != want {
			t.Errorf("%q: %+v, want %+v", in, got, want)
		}
	}
	if got := tracectx.FromHeader(tracectx.Header{"traceparent": {parent, parent}}); !got.IsZero() {
		t.Errorf("two values: %+v", got)
	}
	other := "00-" + strings.Repeat("a", 32) + "-" + spanID + "-01"
	for range 20 { // maps are walked in random order
		if got := tracectx.FromHeader(tracectx.Header{"TRACEPARENT": {other}, "Traceparent": {other}, "traceparent": {parent}}); got != ok {
			t.Fatalf("the specified spelling must win: %+v", got)
		}
	}
	if got := tracectx.FromHeader(nil); !got.IsZero() {
		t.Errorf("no header: %+v", got)
	}
}

func TestValid(t *testing.T) {
	if got := tracectx.Valid(strings.ToUpper(traceID), strings.ToUpper(spanID)); got.TraceID != traceID || got.SpanID != spanID {
		t.Errorf("upper case: %+v", got)
	}
	if got := tracectx.Valid(traceID, ""); got != (alertd.TraceRef{TraceID: traceID}) {
		t.Errorf("no span: %+v", got)
	}
	if got := tracectx.Valid(traceID, "7"); got != (alertd.TraceRef{TraceID: traceID}) {
		t.Errorf("a bad span costs the trace: %+v", got)
	}
	if got := tracectx.Valid(traceID[1:], spanID); !got.IsZero() {
		t.Errorf("short: %+v", got)
	}
}

func TestLink(t *testing.T) {
	ref := alertd.TraceRef{TraceID: traceID, SpanID: spanID}
	at := time.Date(2026, 1, 15, 10, 30, 0, 0, time.FixedZone("", 3600))
	for tmpl, want := range map[string]string{
		"https://jaeger.example/trace/{{.TraceID}}":                    "https://jaeger.example/trace/" + traceID,
		"http://signoz/trace/{{.TraceID}}?spanId={{.SpanID}}":          "http://signoz/trace/" + traceID + "?spanId=" + spanID,
		"https://aws.example/x#/traces/{{.XRayID}}":                    "https://aws.example/x#/traces/1-4bf92f35-77b34da6a3ce929d0e0e4736",
		"https://x/{{.Service}}?t={{.TraceID}}&s={{.Service}}":         "https://x/a%20b%2F..%3F%26?t=" + traceID + "&s=a%20b%2F..%3F%26",
		"https://x/t?span_guid={{.SpanID}}&at={{.StartUS}}":            "https://x/t?span_guid=" + spanID + "&at=1768468500000000",
		"https://x/{{.TraceID}}?from={{.StartMS}}&to={{.EndMS}}":       "https://x/" + traceID + "?from=1768468500000&to=1768470300000",
		"https://x/{{.TraceID}}?from={{.StartS}}&to={{.EndS}}":         "https://x/" + traceID + "?from=1768468500&to=1768470300",
		"https://x/{{.TraceID}}?from={{.Start}}&to={{.EndRFC3339}}":    "https://x/" + traceID + "?from=2026-01-15T09%3A15%3A00Z&to=2026-01-15T09%3A45%3A00Z",
		"https://g/explore?panes=%7B%22query%22:%22{{.TraceID}}%22%7D": "https://g/explore?panes=%7B%22query%22:%22" + traceID + "%22%7D",
	} {
		l, err := tracectx.ParseLink(tmpl)
		if err != nil {
			t.Errorf("%s: %v", tmpl, err)
			continue
		}
		if got := l.URL(ref, "a b/..?&", at); got != want {
			t.Errorf("%s:\n got %s\nwant %s", tmpl, got, want)
		}
		unsampled := ref
		unsampled.Unsampled = true
		if got := l.URL(unsampled, "s", at) + l.URL(alertd.TraceRef{}, "s", at); got != "" {
			t.Errorf("%s: linked to what nobody keeps: %s", tmpl, got)
		}
	}
	var none *tracectx.Link
	if got := none.URL(ref, "s", at); got != "" {
		t.Errorf("nil link: %q", got)
	}
	if l, err := tracectx.ParseLink(" "); l != nil || err != nil {
		t.Errorf("empty template: %v, %v", l, err)
	}
}

func TestLinkMistakes(t *testing.T) {
	for tmpl, want := range map[string]string{
		"javascript:alert('{{.TraceID}}')":       "http:// or https://",
		"/trace/{{.TraceID}}":                    "http:// or https://",
		"https:///trace/{{.TraceID}}":            "no host",
		"https://x/trace/{trace_id}":             "put {{.TraceID}}",
		"https://x/trace/{{.TraceId}}":           ".TraceID .SpanID",
		"https://x/trace/{{trace_id}}":           "https://jaeger.example/trace/{{.TraceID}}",
		"https://x/trace/{{.TraceID":             "https://jaeger.example/trace/{{.TraceID}}",
		"{{.TraceID}}://x/":                      "URL",
		"https://me:pw@x/{{.TraceID}}":           "names a user",
		"https://x/{{range 999999}}{{.}}{{end}}": "longer than",
	} {
		_, err := tracectx.ParseLink(tmpl)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want it to say %q", tmpl, err, want)
		}
	}
}

// Whatever a header holds: the result is zero, or has ids that survive being read again.
func FuzzFromHeader(f *testing.F) {
	f.Add("traceparent", parent)
	f.Add("TraceParent", strings.ToUpper(parent))
	f.Add("traceparent", "cc-"+traceID+"-"+spanID+"-01-x")
	link, err := tracectx.ParseLink("https://x/{{.Service}}/{{.TraceID}}")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		ref := tracectx.FromHeader(map[string][]string{name: {value}})
		if ref.IsZero() {
			if ref != (alertd.TraceRef{}) {
				t.Fatalf("half a context: %+v", ref)
			}
			return
		}
		again := tracectx.Valid(ref.TraceID, ref.SpanID)
		again.Unsampled = ref.Unsampled
		if again != ref {
			t.Fatalf("%+v reads back as %+v", ref, again)
		}
		ref.Unsampled = false
		if u := link.URL(ref, value, time.Unix(0, 0)); u != "" && !strings.HasPrefix(u, "https://x/") {
			t.Fatalf("the service %q left its place: %s", value, u)
		}
	})
}
