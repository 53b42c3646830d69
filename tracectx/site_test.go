package tracectx_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"alertd"
	"alertd/tracectx"
)

var noon = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

func TestSites(t *testing.T) {
	ref := alertd.TraceRef{TraceID: traceID, SpanID: spanID}
	covered := map[string]bool{}
	for _, tt := range []struct {
		site tracectx.Site
		want string
	}{
		{tracectx.Site{UI: "jaeger", URL: "https://jaeger.example.com/"}, "https://jaeger.example.com/trace/" + traceID},
		{tracectx.Site{UI: "jaeger", URL: "http://proxy/jaeger{{x"}, "http://proxy/jaeger%7B%7Bx/trace/" + traceID},
		{tracectx.Site{UI: "zipkin", URL: "http://zipkin:9411"}, "http://zipkin:9411/zipkin/traces/" + traceID},
		{tracectx.Site{UI: "datadog"}, "https://app.datadoghq.com/apm/trace/" + traceID},
		{tracectx.Site{UI: "datadog", URL: "https://app.datadoghq.eu"}, "https://app.datadoghq.eu/apm/trace/" + traceID},
		{
			tracectx.Site{UI: "honeycomb", Team: "acme", Environment: "prod", Dataset: "a b/c"},
			"https://ui.honeycomb.io/acme/environments/prod/datasets/a%20b%2Fc/trace?trace_id=" + traceID + "&span=" + spanID +
				"&trace_start_ts=1768477500&trace_end_ts=1768479300",
		},
		{tracectx.Site{UI: "signoz", URL: "https://signoz.example.com"}, "https://signoz.example.com/trace/" + traceID + "?spanId=" + spanID},
		{
			tracectx.Site{UI: "xray", Region: "eu-central-1"},
			"https://console.aws.amazon.com/xray/home?region=eu-central-1#/traces/1-4bf92f35-77b34da6a3ce929d0e0e4736",
		},
		{tracectx.Site{UI: "gcp", Project: "shop-1"}, "https://console.cloud.google.com/traces/explorer;traceId=" + traceID + "?project=shop-1"},
		{
			tracectx.Site{UI: "elastic", URL: "https://kibana.example.com"},
			"https://kibana.example.com/app/apm/link-to/trace/" + traceID + "?rangeFrom=2026-01-15T11%3A45%3A00Z&rangeTo=2026-01-15T12%3A15%3A00Z",
		},
	} {
		covered[tt.site.UI] = true
		if got := urlOf(t, tt.site, ref); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.site.UI, got, tt.want)
		}
	}

	covered["grafana"] = true
	u, err := url.Parse(urlOf(t, tracectx.Site{UI: "grafana", URL: "https://g.example.com/sub", Datasource: `P"1&2`}, ref))
	if err != nil {
		t.Fatal(err)
	}
	var panes map[string]struct {
		Datasource string
		Queries    []struct{ Query, QueryType string }
		Range      struct{ From, To string }
	}
	if err := json.Unmarshal([]byte(u.Query().Get("panes")), &panes); err != nil {
		t.Fatalf("%s: %v", u, err)
	}
	p := panes["a"]
	if u.Path != "/sub/explore" || u.Query().Get("orgId") != "1" || p.Datasource != `P"1&2` || len(p.Queries) != 1 ||
		p.Queries[0].Query != traceID || p.Range.From != "1768477500000" || p.Range.To != "1768479300000" {
		t.Errorf("%s: %+v", u, p)
	}
	for _, name := range tracectx.Sites() {
		if !covered[name] {
			t.Errorf("%s has no test", name)
		}
	}

	// A span is not always known, and an address must not end in an empty parameter then.
	if got := urlOf(t, tracectx.Site{UI: "signoz", URL: "https://s"}, alertd.TraceRef{TraceID: traceID}); strings.Contains(got, "spanId") {
		t.Error(got)
	}
}

func urlOf(t *testing.T, s tracectx.Site, ref alertd.TraceRef) string {
	t.Helper()
	tmpl, err := s.Template()
	if err != nil {
		t.Fatal(err)
	}
	l, err := tracectx.ParseLink(tmpl)
	if err != nil {
		t.Fatal(err)
	}
	return l.URL(ref, "api", noon)
}

func TestSiteMistakes(t *testing.T) {
	for _, tt := range []struct {
		site tracectx.Site
		want string
	}{
		{tracectx.Site{UI: "lightstep", URL: "https://x"}, "jaeger, signoz, xray, zipkin; for another one write a url_template"},
		{tracectx.Site{UI: "tempo", URL: "https://x"}, "write grafana"},
		{tracectx.Site{UI: "jaeger"}, "jaeger needs url"},
		{tracectx.Site{UI: "jaeger", URL: "https://x", Region: "eu"}, "jaeger has no region"},
		{tracectx.Site{UI: "jaeger", URL: "javascript:alert(1)"}, "https://"},
		{tracectx.Site{UI: "jaeger", URL: "https://me:hunter2@x"}, "names a user"},
		{tracectx.Site{UI: "jaeger", URL: "https://x/search?service=a"}, "before ? and #"},
		{tracectx.Site{UI: "grafana", URL: "https://x"}, "grafana needs datasource"},
		{tracectx.Site{UI: "honeycomb", Team: "a", Environment: "b"}, "honeycomb needs team, environment, dataset"},
	} {
		_, err := tt.site.Template()
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: %v, want it to say %q", tt.site, err, tt.want)
		}
	}
}
