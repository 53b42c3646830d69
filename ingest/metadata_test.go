package ingest

import (
	"slices"
	"strings"
	"testing"

	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"

	"alertd"
)

// What text formats and OTLP say of a metric is handed on, once and whenever it changes.
func TestMetadata(t *testing.T) {
	d := NewDecoder()
	said := func(contentType, payload string) (out []alertd.Metadata) {
		t.Helper()
		var events alertd.Events
		if problems := d.Decode("alertd.metrics.api", map[string][]string{"Content-Type": {contentType}}, arrival, []byte(payload), &events); problems != nil {
			t.Fatal(problems)
		}
		for i, m := range events.Metadata { // as whoever keeps the last one sees it
			if !slices.ContainsFunc(events.Metadata[i+1:], func(o alertd.Metadata) bool { return o.Metric == m.Metric }) {
				out = append(out, m)
			}
		}
		return out
	}
	check := func(what string, got []alertd.Metadata, want ...alertd.Metadata) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %+v, want %+v", what, got, want)
		}
	}
	const text, open = "text/plain; version=0.0.4", "application/openmetrics-text; version=1.0.0"
	exposed := `# HELP http_requests_total Requests,  by code.\nAll.
# TYPE http_requests_total counter
http_requests_total{code="500"} 17
# TYPE latency_seconds untyped
latency_seconds 1
# a comment
# TYPE
`
	check("text", said(text, exposed), alertd.Metadata{Metric: "http_requests_total", Type: "counter", Help: "Requests,  by code.\nAll."},
		alertd.Metadata{Metric: "latency_seconds", Type: "unknown"})
	check("again", said(text, exposed))
	check("changed", said(text, strings.Replace(exposed, "untyped", "gauge", 1)), alertd.Metadata{Metric: "latency_seconds", Type: "gauge"})
	check("OpenMetrics", said(open, `# TYPE "a name" info
# UNIT load_seconds seconds
# HELP "a name" Who is \"it\"?
# EOF
`), alertd.Metadata{Metric: "load_seconds", Unit: "seconds"}, alertd.Metadata{Metric: "a name", Type: "info", Help: `Who is "it"?`})
	check("too long", said(text, "# HELP long "+strings.Repeat("x", 5000)+"\n"), alertd.Metadata{Metric: "long", Help: strings.Repeat("x", maxHelp) + "…"})

	req := otlpNumbers(1, 1)
	all := &req.ResourceMetrics[0].ScopeMetrics[0].Metrics
	(*all)[0].Description = "Requests."
	*all = append(*all, &metricspb.Metric{Name: "queue.depth", Unit: "1", Data: &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{DataPoints: []*metricspb.NumberDataPoint{
		{TimeUnixNano: uint64(arrival.UnixNano()), Value: &metricspb.NumberDataPoint_AsInt{AsInt: 1}},
	}}}})
	want := []alertd.Metadata{
		{Metric: "http_server_requests_0_total", Type: "counter", Help: "Requests.", Unit: "{request}"}, {Metric: "queue_depth_ratio", Type: "gauge", Unit: "1"},
	}
	check("OTLP", said("application/x-protobuf", string(otlpBytes(t, req))), want...)
	check("OTLP again", said("application/x-protobuf", string(otlpBytes(t, req))))
	d = NewDecoder()
	check("OTLP as JSON", said("application/json", string(otlpJSON(t, req))), want...)
}
