package ingest

import (
	"strings"
	"testing"

	"alertd"
)

// TestComponents names what checks are about: by the configuration, by the event, by the check.
func TestComponents(t *testing.T) {
	const event = `{"service":"api","environment":"prod","status":"unhealthy","checks":{
		"Database":{"status":"unhealthy","component":"pg-main"},
		"Cache":{"status":"healthy"},
		"queue":{"status":"healthy","local":true,"component":"x"},
		"diskSpace":{"status":"healthy"},"live":{"status":"healthy"}}}`
	d := NewDecoder()
	components := func() string {
		var events alertd.Events
		if problems := d.Decode("alertd.health.api", nil, arrival, []byte(event), &events); problems != nil {
			t.Fatal(problems)
		}
		var got []string
		for _, s := range events.Samples {
			if s.V == 1 && s.Labels.Get("__name__") == MetricHealthCheck {
				got = append(got, s.Labels.Get("check")+"="+s.Labels.Get("component"))
			}
			if s.Labels.Get("environment") != "prod" {
				t.Errorf("no environment: %s", s.Labels)
			}
		}
		return strings.Join(got, " ")
	}
	for _, c := range []struct {
		components Components
		want       string
	}{
		{nil, "Cache=cache Database=pg-main diskSpace= live= queue="},
		{Components{"api.Cache": "redis", "*.Database": "pg", "api.queue": "rabbit"}, "Cache=redis Database=pg diskSpace= live= queue=rabbit"},
		{Components{"*.Cache": "shared", "api.Cache": "own", "web.Database": "other"}, "Cache=own Database=pg-main diskSpace= live= queue="},
		{nil, "Cache=cache Database=pg-main diskSpace= live= queue="},
	} {
		d.SetComponents(c.components)
		if got := components(); got != c.want {
			t.Errorf("%v: %s, want %s", c.components, got, c.want)
		}
	}
}

func TestComponentsRefused(t *testing.T) {
	for body, want := range map[string]string{
		`{"status":"healthy","environment":7}`:                                                         `"environment" is 7; it must be a string`,
		`{"status":"healthy","checks":{"a":{"status":"healthy","component":["x"]}}}`:                   `"component" is an array; it must be a string`,
		`{"status":"healthy","environment":"` + strings.Repeat("e", MaxName+1) + `"}`:                  "more than 1024",
		`{"status":"healthy","environment":"a","environment":"b"}`:                                     "comes twice",
		`{"status":"healthy","checks":{"a":{"status":"healthy","component":"x","component":"y"}}}`:     "comes twice",
		`{"status":"healthy","environment":null,"checks":{"a":{"status":"healthy","component":null}}}`: "",
	} {
		_, problems := decode(t, "alertd.health.api", nil, body)
		if got := reasons(problems); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%.80s: %q, want %q", body, got, want)
		}
	}
}

// The last report on a service ends all that earlier ones have said, whatever its checks were.
func TestWithdrawn(t *testing.T) {
	body := `{"service":"api","environment":"prod","status":"","checks":null,"withdrawn":true,"metrics":["certificate_expiry_timestamp_seconds"]}`
	events, problems := decode(t, "alertd.health.api", nil, body)
	if problems != nil {
		t.Fatal(problems)
	}
	var got []string
	for _, s := range events.Samples {
		if s.ValidFor != alertd.Withdrawn {
			t.Errorf("%+v", s)
		}
		got = append(got, s.Labels.String())
	}
	const labels = `environment="prod", service="api"}`
	want := `{__name__="health_status", ` + labels + ` {__name__="health_check_status", ` + labels +
		` {__name__="health_check_latency_seconds", ` + labels + ` {__name__="certificate_expiry_timestamp_seconds", ` + labels
	if got := strings.Join(got, " "); got != want {
		t.Errorf("%s\n%s", got, want)
	}
	for body, want := range map[string]string{
		`{"withdrawn":"yes"}`:                 `"withdrawn" is "yes"; it must be true or false`,
		`{"withdrawn":true,"metrics":"x"}`:    `"metrics" is "x"; it must be an array of at most 32 names of metrics`,
		`{"withdrawn":false}`:                 `the event has no "status"`,
		`{"withdrawn":true,"withdrawn":true}`: "comes twice",
	} {
		if _, problems := decode(t, "alertd.health.api", nil, body); !strings.Contains(reasons(problems), want) {
			t.Errorf("%s: %q, want %q", body, reasons(problems), want)
		}
	}
}
