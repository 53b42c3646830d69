package app_test

import (
	"strings"
	"testing"
	"testing/fstest"
)

// What a check says is wrong is in the page, and on the dashboard: the rule itself reads numbers only.
func TestPageSaysWhatTheCheckSays(t *testing.T) {
	s := newSink(t)
	fsys := files(s.URL)
	fsys["health.rules.yaml"] = &fstest.MapFile{Data: []byte(`groups:
- name: health
  rules:
  - alert: Unwell
    expr: max by (service) (health_status{status="unhealthy"}) == 1
    labels: {severity: critical}
  - alert: Refused
    expr: max by (service, check) (health_check_status{check="live", status="unhealthy"}) == 1
    labels: {severity: critical}
  - alert: Broken
    expr: max by (component) (health_check_status{component="pg", status="unhealthy"}) == 1
    labels: {severity: critical}
  - alert: SaysItself
    expr: max by (service) (health_status{status="unhealthy"}) == 1
    labels: {severity: critical}
    annotations: {reason: as written}
`)}
	a := quiet(t, fsys)
	publish(t, a, "alertd.health.shop", `{"service":"shop","status":"unhealthy","checks":{
		"live":{"status":"unhealthy","error":"refused: dial tcp 10.0.0.5:5432: connect: connection refused"},
		"cache":{"status":"degraded","error":"slow"},
		"disk":{"status":"healthy","error":"was full"},
		"db":{"status":"unhealthy","component":"pg","error":"`+strings.Repeat("x", 500)+`"},
		"odd":{"status":"unhealthy","error":7}}}`)
	long := strings.Repeat("x", 300)
	want := map[string]string{
		"Unwell":     "db: " + long,
		"Refused":    "refused: dial tcp 10.0.0.5:5432: connect: connection refused",
		"Broken":     "shop: " + long,
		"SaysItself": "as written",
	}
	for len(want) > 0 {
		for _, al := range s.next(t).Alerts {
			name, reason := al.Labels["alertname"], al.Annotations["reason"]
			if !strings.HasPrefix(reason, want[name]) || strings.Contains(reason, "was full") || len(reason) > 500 {
				t.Errorf("%s: because %q, want %q", name, reason, want[name])
			}
			delete(want, name)
		}
	}
	until(t, a, "/", `<span class="error">refused: dial tcp 10.0.0.5:5432: connect: connection refused</span>`)
}
