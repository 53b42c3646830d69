package ingest

import (
	"fmt"
	"strings"
	"testing"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"

	"alertd"
)

func attribute(key, text string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: text}}}
}

// otlpNumbers are cumulative sums, as an SDK sends them.
func otlpNumbers(metrics, points int) *collectorpb.ExportMetricsServiceRequest {
	scope := &metricspb.ScopeMetrics{}
	for i := range metrics {
		sum := &metricspb.Sum{AggregationTemporality: metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE, IsMonotonic: true}
		for j := range points {
			sum.DataPoints = append(sum.DataPoints, &metricspb.NumberDataPoint{
				Attributes:        []*commonpb.KeyValue{attribute("http.route", fmt.Sprintf("/r/%d", j)), attribute("code", "500")},
				StartTimeUnixNano: uint64(arrival.UnixNano() - 1e9), TimeUnixNano: uint64(arrival.UnixNano()),
				Value: &metricspb.NumberDataPoint_AsInt{AsInt: int64(j)},
			})
		}
		scope.Metrics = append(scope.Metrics, &metricspb.Metric{
			Name: fmt.Sprintf("http.server.requests.%d", i), Unit: "{request}", Data: &metricspb.Metric_Sum{Sum: sum},
		})
	}
	return &collectorpb.ExportMetricsServiceRequest{ResourceMetrics: []*metricspb.ResourceMetrics{{
		Resource:     &resourcepb.Resource{Attributes: []*commonpb.KeyValue{attribute("service.name", "api"), attribute("service.instance.id", "a-1"), attribute("host.name", "h")}},
		ScopeMetrics: []*metricspb.ScopeMetrics{scope},
	}}}
}

func otlpExponential(scale, offset int32, buckets int) *metricspb.ExponentialHistogramDataPoint {
	p := &metricspb.ExponentialHistogramDataPoint{Scale: scale, Positive: &metricspb.ExponentialHistogramDataPoint_Buckets{Offset: offset}}
	for i := range buckets {
		n := uint64(i * 7919 % 11)
		p.Positive.BucketCounts = append(p.Positive.BucketCounts, n)
		p.Count += n
	}
	return p
}

// A broken part costs the parts around it nothing.
func TestBrokenOTLP(t *testing.T) {
	whole := otlpBytes(t, otlpNumbers(1, 3))
	for cut := 1; cut < len(whole); cut++ {
		var out alertd.Events
		problems := NewDecoder().Decode("alertd.metrics.a", map[string][]string{"Content-Type": {"application/x-protobuf"}}, arrival, whole[:cut], &out)
		if len(problems) == 0 {
			t.Fatalf("cut at %d of %d: nobody noticed", cut, len(whole))
		}
	}
	text := string(otlpJSON(t, otlpNumbers(1, 3)))
	text = strings.Replace(text, `"asInt":"1"`, `"asInt":"one"`, 1)
	text = strings.Replace(text, `"asInt": "1"`, `"asInt":"one"`, 1)
	got := run(NewDecoder(), "alertd.metrics.a", nil, []byte(text))
	if strings.Count(got, `"http_server_requests_0_total"`) != 2 || !strings.Contains(got, `metric "http.server.requests.0":`) || strings.Count(got, "problem: line 1, column ") != 1 {
		t.Error(got)
	}
}

// The fast way and the long way make the same samples.
func TestOTLPFastPath(t *testing.T) {
	req := otlpNumbers(2, 5)
	fast := NewDecoder()
	want := run(NewDecoder(), "alertd.metrics.a", nil, otlpJSON(t, req)) // has no fast path
	for range 2 {
		if got := run(fast, "alertd.metrics.a", nil, otlpBytes(t, req)); got != want {
			t.Errorf("protobuf\n%s\nJSON\n%s", got, want)
		}
	}
}

func BenchmarkFormats(b *testing.B) {
	var line, text strings.Builder
	for i := range 25 {
		fmt.Fprintf(&line, "cpu,cpu=cpu%d,host=node-1,datacenter=eu usage_user=%d.5,usage_system=1.25,usage_idle=90.1,usage_iowait=3i 1768473000000000000\n", i, i)
	}
	text.WriteString("# HELP http_requests_total Requests.\n# TYPE http_requests_total counter\n")
	for i := range 100 {
		fmt.Fprintf(&text, "http_requests_total{code=\"500\",method=\"GET\",instance=\"10.0.0.%d:8080\"} %d.5 1768473000000\n", i, i)
	}
	cloud := `{"specversion":"1.0","id":"1","source":"/ci","type":"alertd.metric","data":` + string(batch(100, "[", ",", "]")) + `}`
	json := map[string][]string{"Content-Type": {"application/json"}}
	for _, c := range []struct {
		name    string
		n       int
		header  map[string][]string
		payload []byte
	}{
		{"json100", 100, json, batch(100, "[", ",", "]")},
		{"line100", 100, nil, []byte(line.String())},
		{"text100", 100, nil, []byte(text.String())},
		{"otlp100", 101, nil, otlpBytes(b, otlpNumbers(1, 100))},
		{"otlpjson100", 101, json, otlpJSON(b, otlpNumbers(1, 100))},
		{"cloudevent100", 100, nil, []byte(cloud)},
	} {
		b.Run(c.name, func(b *testing.B) {
			d := NewDecoder()
			var out alertd.Events
			b.ReportAllocs()
			b.SetBytes(int64(len(c.payload)))
			before := cpu()
			for b.Loop() {
				out.Samples = out.Samples[:0]
				d.seen = seen{}
				if p := d.Decode("alertd.metrics.api", c.header, arrival, c.payload, &out); p != nil || len(out.Samples) != c.n {
					b.Fatal(p, len(out.Samples))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*c.n), "ns/sample")
			b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(b.N*c.n), "cpu-ns/sample")
		})
	}
}
