package app_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

// Whoever asks as one asks a Prometheus sees the rules and what they saw.
func TestPrometheusAPI(t *testing.T) {
	s := newSink(t)
	a, _ := daemon(t, t.TempDir(), s)
	publish(t, a, "alertd.metrics.api", `[{"name":"up","labels":{"service":"api"},"value":0,"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"},{"name":"up","labels":{"service":"web"},"value":1},{"name":"unread","value":1}]`)
	s.next(t)
	publish(t, a, "alertd.metrics.api", "# HELP sold_total What was sold.\n# TYPE sold_total counter\nsold_total 3\n")
	until(t, a, "/api/v1/rules", `"lastEvaluation":"2`)
	until(t, a, "/api/v1/metadata?metric=sold_total", `{"sold_total":[{"type":"counter","help":"What was sold.","unit":""}]}`)

	ask := func(path string, params ...string) (out struct {
		Status, Error string
		Data          json.RawMessage
	},
	) {
		t.Helper()
		q := url.Values{}
		for i := 0; i+1 < len(params); i += 2 {
			q.Add(params[i], params[i+1])
		}
		_, body := get(t, a, "/api/v1/"+path+"?"+q.Encode())
		if err := json.Unmarshal([]byte(body), &out); err != nil || out.Status != "success" {
			t.Fatalf("%s: %v %s", path, err, body)
		}
		return out
	}
	for _, tc := range []struct {
		path   string
		params []string
		has    string
	}{
		{"query", []string{"query", `sum(up)`}, `"1"]}]`},
		{"query", []string{"query", `count_over_time(up{service="api"}[5m])`}, `{"service":"api"}`},
		{"query", []string{"query", `unread`}, `"result":[]`},
		{"labels", nil, `["__name__","alertname","alertstate","service","severity"]`}, // ALERTS is among the series
		{"query", []string{"query", `ALERTS{alertname="Down"}`}, `"alertstate":"firing"`},
		{"label/service/values", []string{"match[]", "up"}, `["api","web"]`},
		{"series", []string{"match[]", `up{service="api"}`}, `[{"__name__":"up","service":"api"}]`},
		{"query_exemplars", []string{"query", `max by (service) (up)`}, `[{"seriesLabels":{"__name__":"up","service":"api"},"exemplars":[{"labels":{"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"},"value":"0"`},
		{"metadata", nil, `"unread":[{"type":"unknown"`},
		{"rules", []string{"rule_name[]", "Down"}, `"state":"firing","name":"Down","query":"up == 0"`},
		{"rules", []string{"rule_name[]", "Down"}, `"summary":"api is down"`},
		{"alerts", nil, `"alertname":"Down"`},
	} {
		if got := string(ask(tc.path, tc.params...).Data); !strings.Contains(got, tc.has) {
			t.Errorf("%s %v: %s", tc.path, tc.params, got)
		}
	}
}
