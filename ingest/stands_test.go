package ingest

import (
	"strings"
	"testing"
	"time"

	"alertd"
)

func TestValidFor(t *testing.T) {
	for _, c := range []struct {
		subject, body string
		want          time.Duration
		problem       string
	}{
		{"alertd.health.api", `{"status":"healthy"}`, alertd.HealthStands, ""},
		{"alertd.health.api", `{"status":"healthy","valid_for":"30s","checks":{"db":{"status":"healthy"}}}`, 30 * time.Second, ""},
		{"alertd.health.api", `{"status":"healthy","valid_for":null}`, alertd.HealthStands, ""},
		{"alertd.metrics.api", `{"name":"m","value":1}`, 0, ""},
		{"alertd.metrics.api", `{"name":"m","value":1,"valid_for":3600}`, time.Hour, ""},
		{"alertd.events.a.b", `{"message":"m","valid_for":"1d"}`, 24 * time.Hour, ""},
		{"alertd.events.a.b", `{"message":"m","valid_for":"2d"}`, 0, "a day at most"},
		{"alertd.metrics.api", `{"name":"m","value":1,"valid_for":"soon"}`, 0, `"valid_for" is "soon"; write it like "10m"`},
		{"alertd.metrics.api", `{"name":"m","value":1,"valid_for":-1}`, 0, "more than nothing"},
		{"alertd.metrics.api", `{"name":"m","value":1,"valid_for":1e300}`, 0, "up to a day"},
	} {
		events, problems := decode(t, c.subject, nil, c.body)
		if c.problem != "" {
			if len(problems) != 1 || !strings.Contains(problems[0].String(), c.problem) {
				t.Errorf("%s: %v", c.body, problems)
			}
			continue
		}
		if len(problems) > 0 || len(events.Samples)+len(events.Occurrences) == 0 {
			t.Fatalf("%s: %v", c.body, problems)
		}
		for _, s := range events.Samples {
			if s.ValidFor != c.want {
				t.Errorf("%s: %s is believed for %s", c.body, s.Labels, s.ValidFor)
			}
		}
		for _, o := range events.Occurrences {
			if o.ValidFor != c.want {
				t.Errorf("%s: stands for %s", c.body, o.ValidFor)
			}
		}
	}
}
