package rehearse_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"alertd/config"
	"alertd/rehearse"
	"alertd/rules"
)

func noEnv(string) (string, bool)        { return "", false }
func noFile(name string) ([]byte, error) { return nil, os.ErrNotExist }

// failures runs a file of tests over rules and returns what failed, one "line: what" each, with the diffs.
func failures(t *testing.T, ruleText, routingText, tests string) []string {
	t.Helper()
	f, err := rehearse.ParseTests("t.yaml", []byte(tests))
	if err != nil {
		t.Fatal(err)
	}
	var routing *config.Routing
	if routingText != "" {
		if routing, _, err = config.ParseRouting("routing.yaml", []byte(routingText), noEnv, noFile); err != nil {
			t.Fatal(err)
		}
	}
	results, err := f.Run([]rules.File{{Name: "rules.yaml", Data: []byte(ruleText)}}, routing)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range results {
		for _, x := range r.Failures {
			out = append(out, fmt.Sprintf("%d: %s", x.Line, x.What)+"\n"+strings.Join(x.Diff, "\n"))
		}
	}
	return out
}

const semanticRules = `
groups:
  - name: second
    rules:
      - {record: doubled, expr: 2 * once, labels: {by: rule}}
      - {alert: Doubled, expr: doubled > 5, for: 2m, keep_firing_for: 2m, annotations: {summary: 'at {{ $value }} {{ $externalLabels.region }} {{ $externalURL }}'}}
      - {alert: About, expr: 'count(ALERTS{alertname="Doubled", alertstate="firing"}) > 0'}
  - name: first
    rules:
      - {record: once, expr: raw}
`

// What promtool does that is easily done otherwise. Every line of this was checked against it.
func TestSemantics(t *testing.T) {
	for name, tests := range map[string]string{
		"a group that is evaluated first is seen at the same instant": `
group_eval_order: [first, second]
tests:
  - input_series: [{series: raw, values: 1 2}]
    promql_expr_test: [{expr: doubled, eval_time: 1m, exp_samples: [{labels: 'doubled{by="rule"}', value: 4}]}]`,
		"without an order files come in their own": `
tests:
  - input_series: [{series: raw, values: 1 2}]
    promql_expr_test: [{expr: doubled, eval_time: 1m, exp_samples: [{labels: 'doubled{by="rule"}', value: 2}]}]`,
		"for, keep_firing_for, the annotations of the last evaluation, and what reads ALERTS": `
group_eval_order: [first, second]
tests:
  - external_labels: {region: eu}
    external_url: https://prom.example
    input_series: [{series: raw, values: 1 3 4 5 6 0 0 0 0 0}]
    promql_expr_test:
      - {expr: 'ALERTS_FOR_STATE{alertname="Doubled"}', eval_time: 4m, exp_samples: [{labels: 'ALERTS_FOR_STATE{alertname="Doubled", by="rule"}', value: 60}]}
      - {expr: 'ALERTS{alertname="Doubled"}', eval_time: 2m, exp_samples: [{labels: 'ALERTS{alertname="Doubled", alertstate="pending", by="rule"}', value: 1}]}
      - {expr: 'ALERTS{alertname="Doubled"}', eval_time: 9m, exp_samples: []}
    alert_rule_test:
      - {eval_time: 2m, alertname: Doubled}
      - {eval_time: 3m, alertname: Doubled, exp_alerts: [{exp_labels: {by: rule}, exp_annotations: {summary: at 10 eu https://prom.example}}]}
      - {eval_time: 4m30s, alertname: Doubled, exp_alerts: [{exp_labels: {by: rule}, exp_annotations: {summary: at 12 eu https://prom.example}}]}
      - {eval_time: 6m, alertname: Doubled, exp_alerts: [{exp_labels: {by: rule}, exp_annotations: {summary: at 12 eu https://prom.example}}]}
      - {eval_time: 7m, alertname: Doubled}
      - {eval_time: 3m, alertname: About, exp_alerts: [{}]}
      - {eval_time: 7m, alertname: About}`,
		"the clock begins where the test says": `
tests:
  - start_timestamp: 2026-01-16T17:00:00+01:00
    interval: 30s
    input_series: [{series: raw, values: 1 2 3}]
    promql_expr_test:
      - {expr: hour(), eval_time: 1m, exp_samples: [{labels: '{}', value: 16}]}
      - {expr: raw, eval_time: 30s, exp_samples: [{labels: raw, value: 2}]}
      - {expr: raw, eval_time: 1m, exp_samples: [{labels: raw, value: 3}]}
  - start_timestamp: 1000
    promql_expr_test: [{expr: time(), eval_time: 1m, exp_samples: [{labels: '{}', value: 1060}]}]`,
		"stale, missing, histograms, subqueries": `
evaluation_interval: 30s
tests:
  - interval: 30s
    input_series:
      - {series: gone, values: 1 stale}
      - {series: holes, values: 1 _x3 5}
      - {series: h, values: '{{schema:0 sum:5 count:4 buckets:[1 2 1]}}'}
    promql_expr_test:
      - {expr: gone, eval_time: 30s}
      - {expr: 'count_over_time(holes[3m])', eval_time: 2m, exp_samples: [{labels: '{}', value: 2}]}
      - {expr: 'count_over_time(holes[2m:])', eval_time: 2m, exp_samples: [{labels: '{}', value: 4}]}
      - {expr: h, eval_time: 0s, exp_samples: [{labels: h, histogram: '{{schema:0 sum:5 count:4 buckets:[1 2 1]}}'}]}`,
		"neighbours are equal with fuzzy_compare": `
fuzzy_compare: true
tests:
  - promql_expr_test: [{expr: 0.1 + 0.2, eval_time: 0s, exp_samples: [{labels: '{}', value: 0.3}]}]`,
	} {
		t.Run(name, func(t *testing.T) {
			if got := failures(t, semanticRules, "", tests); len(got) > 0 {
				t.Errorf("failed:\n%s", strings.Join(got, "\n"))
			}
		})
	}
}

func TestFailuresSayWhere(t *testing.T) {
	got := failures(t, semanticRules, "", `
group_eval_order: [first, second]
tests:
  - name: one
    input_series: [{series: raw, values: 3x9}]
    alert_rule_test:
      - eval_time: 5m
        alertname: Doubled
        exp_alerts: [{exp_labels: {by: rule}, exp_annotations: {summary: at 7}}, {exp_labels: {by: hand}}]
    promql_expr_test:
      - {expr: raw, eval_time: 1m, exp_samples: [{labels: raw, value: 4}]}
      - {expr: raw +, eval_time: 1m}
      - {expr: 0/0, eval_time: 1m, exp_samples: [{labels: '{}', value: .nan}]}
  - name: two
    input_series: [{series: 'raw{', values: 3x9}]
`)
	want := []string{
		`7: alert Doubled at 5m
- {alertname="Doubled", by="hand"}
  {alertname="Doubled", by="rule"}
-     summary: "at 7"
+     summary: "at 6  "`,
		`11: expr raw at 1m
  {__name__="raw"}
-     4
+     3`,
		`12: expr raw + at 1m: 1:6: parse error: unexpected end of input
`,
		`13: expr 0/0 at 1m: NaN is not equal to NaN, as in promtool
  {}
      NaN`,
		`15: input_series raw{: unexpected character inside braces: '3'
`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestMistakesInTests(t *testing.T) {
	for tests, want := range map[string]string{
		"rule_file: [a.yaml]\n":                                              "t.yaml:1: unknown field rule_file",
		"tests:\n  - name: x\n    alert_rule_tests: []\n":                    "t.yaml:3: unknown field alert_rule_tests",
		"tests:\n  - interval: soon\n":                                       `t.yaml:2: "soon" is not a duration; write for example 1m30s`,
		"group_eval_order:\n  [a, b, a]\n":                                   `t.yaml:2: group "a" comes twice in group_eval_order; remove one`,
		"tests:\n  - start_timestamp: tomorrow\n":                            `t.yaml:2: start_timestamp "tomorrow" is neither RFC 3339 (2026-01-16T17:00:00+01:00) nor Unix seconds`,
		"tests:\n  - events: [{at: 5m}]\n":                                   "t.yaml:2: an event has no type; write type: deployment.completed",
		"tests:\n  - notifications: [{at: 5 o'clock}]\n":                     `t.yaml:2: "5 o'clock" is neither an offset from the start (5m, 1h30m) nor a time (RFC 3339)`,
		"tests:\n  - notifications: [{status: happening}]\n":                 `t.yaml:2: status "happening" is neither firing nor resolved`,
		"tests:\n  - notifications: [{alerts: [DiskFull]}]\n":                `t.yaml:2: "DiskFull" cannot stand here; write {labels: {alertname: …}, state: firing}`,
		"tests:\n  name: x\n":                                                "t.yaml:2: a mapping cannot stand here; write a list of {name: …, interval: 1m, input_series: […], alert_rule_test: […]}",
		"tests:\n  - input_series: 'up'\n":                                   `t.yaml:2: "up" cannot stand here; write a list of {series: 'up{job="a"}', values: '1 0x9'}`,
		"fuzzy_compare: nearly\n":                                            `t.yaml:1: "nearly" cannot stand here; write true or false`,
		"tests:\n  - promql_expr_test:\n    - exp_samples: [{value: [1]}]\n": "t.yaml:3: a list cannot stand here; write a number",
		"tests: {\n": "t.yaml:1: did not find expected node content",
	} {
		_, err := rehearse.ParseTests("t.yaml", []byte(tests))
		if err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", tests, err, want)
		}
	}
}

const toldRules = `
groups:
  - name: g
    rules:
      - {alert: Down, expr: up == 0, labels: {severity: critical}}
      - {alert: Slow, expr: slow == 1, labels: {severity: warning}}
      - {alert: Deployed, on: event, type: 'deployment.*', match: 'service!="test"', keep_firing_for: 5m, labels: {severity: info}, annotations: {summary: 'v{{ $labels.version }}: {{ $message }}'}}
`

const toldRouting = `
calendars:
  office: {time_zone: Europe/Berlin, hours: ['mon-fri 09:00-17:00']}
route:
  receiver: chat
  group_by: [service]
  group_wait: 0s
  group_interval: 1m
  repeat_interval: 4h
  routes:
    - {matchers: ['severity="critical"'], receiver: pager}
    - {matchers: ['severity="warning"'], deliver: business_hours}
receivers:
  - {name: chat, console_configs: [{}]}
  - name: pager
    console_configs: [{}]
    webhook_configs: [{url: 'https://x.example', send_resolved: false}]
inhibit_rules:
  - {source_matchers: [alertname="Down"], target_matchers: [alertname="Slow"], equal: [service]}
`

const toldTests = `
tests:
  - name: all at once
    start_timestamp: 2026-10-23T16:58:00+02:00 # Friday, two days before the clocks go back
    input_series:
      - {series: 'up{service="a"}', values: 1 0x3 1x20}
      - {series: 'slow{service="a"}', values: 0 1x3 0x20}
      - {series: 'slow{service="b"}', values: 0x4 1x4000}
    events:
      - {at: 90s, type: deployment.completed, service: c, labels: {version: "2"}, message: live}
      - {at: 91s, type: deployment.completed, service: test}
    alert_rule_test:
      - {eval_time: 90s, alertname: Deployed, exp_alerts: [{exp_labels: {service: c, version: "2", severity: info}, exp_annotations: {summary: 'v2: live'}}]}
      - {eval_time: 6m31s, alertname: Deployed}
    notifications:
      - at: 1m
        receiver: pager
        reason: first notification
        alerts: [{labels: {alertname: Down, service: a}, state: firing}]
      - at: 90s
        receiver: chat
        severity: info
        alerts: [{annotations: {summary: 'v2: live'}}]
      - {at: 5m, receiver: pager, status: resolved}
      - {at: 6m30s, receiver: chat, status: resolved}
      - at: 2026-10-26T09:00:00+01:00
        receiver: chat
        reason: business hours opened
        alerts: [{labels: {alertname: Slow, service: b}}, {state: resolved, labels: {alertname: Slow, service: a}}]
`

func TestSilences(t *testing.T) {
	const tests = `
tests:
  - input_series:
      - {series: 'up{service="a"}', values: 0x60}
      - {series: 'up{service="b"}', values: 1 1 0x58}
    silences:
      - {until: 30m30s, matchers: ['service=~"a|x"', 'alertname!="Slow"']}
      - {from: 1m, until: 10m, matchers: ['service="nobody"']}
    notifications:
      - {at: 2m, receiver: pager, alerts: [{labels: {service: b}}]}
      - {at: 30m30s, receiver: pager, alerts: [{labels: {service: a}}]}
`
	if got := failures(t, toldRules, toldRouting, tests); len(got) > 0 {
		t.Errorf("failed:\n%s", strings.Join(got, "\n"))
	}
	got := failures(t, toldRules, toldRouting, strings.Replace(tests, "until: 10m, matchers: ['service=", "until: 10m, matchers: ['service", 1))
	if len(got) != 1 || !strings.HasPrefix(got[0], `8: silence: "service\"nobody\"" is not a matcher`) {
		t.Errorf("a bad matcher: %q", got)
	}
}

func TestNotifications(t *testing.T) {
	if got := failures(t, toldRules, toldRouting, toldTests); len(got) > 0 {
		t.Errorf("failed:\n%s", strings.Join(got, "\n"))
	}
	wrong := strings.NewReplacer("at: 5m,", "at: 6m,", "09:00:00+01:00", "10:00:00+01:00").Replace(toldTests)
	got := strings.Join(failures(t, toldRules, toldRouting, wrong), "\n")
	want := `24: notifications: 5 expected, 5 sent, 3 of them as expected
  - at: 1m  # Fri 2026-10-23 14:59:00 UTC, as expected in line 16
  - at: 1m30s  # Fri 2026-10-23 14:59:30 UTC, as expected in line 20
+ - at: 5m  # Fri 2026-10-23 15:03:00 UTC
+   receiver: pager
+   status: resolved
+   reason: all alerts resolved
+   alerts:
+     - labels: {alertname: Down, service: a, severity: critical}
- - at: 6m  # Fri 2026-10-23 15:04:00 UTC
-   receiver: pager
-   status: resolved
  - at: 6m30s  # Fri 2026-10-23 15:04:30 UTC, as expected in line 25
+ - at: 2d17h2m  # Mon 2026-10-26 08:00:00 UTC
+   receiver: chat
+   status: firing
+   reason: business hours opened
+   alerts:
+     - labels: {alertname: Slow, service: b, severity: warning}
+     - state: resolved
+       labels: {alertname: Slow, service: a, severity: warning}
- - at: 2d18h2m  # Mon 2026-10-26 09:00:00 UTC
-   receiver: chat
-   reason: business hours opened
-   alerts:
-     - labels: {alertname: Slow, service: b}
-     - state: resolved
-       labels: {alertname: Slow, service: a}`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// What a service depends on keeps it quiet in a test of what people are told as it does in the daemon, and what outlasts
// the cause is told.
func TestDependsOn(t *testing.T) {
	const rules = `
groups:
  - name: g
    rules: [{alert: Down, expr: up == 0, labels: {severity: critical, service: '{{ $labels.job }}'}}]
`
	const routing = `
route: {receiver: pager, group_by: [service], group_wait: 0s, group_interval: 1m}
receivers: [{name: pager, webhook_configs: [{url: 'http://127.0.0.1/'}]}]
depends_on: {shop: [payments], payments: [database]}
`
	const tests = `
rule_files: [rules.yaml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'up{job="database"}', values: '0 0 0 1 1 1'}
      - {series: 'up{job="shop"}', values: '1 0 0 0 0 0'}
    notifications:
      - {at: 0m, receiver: pager, alerts: [{labels: {service: database}}]}
      - {at: 3m, receiver: pager, status: resolved, alerts: [{labels: {service: database}}]}
      - {at: 3m, receiver: pager, status: firing, alerts: [{labels: {service: shop}}]}
`
	if got := failures(t, rules, routing, tests); len(got) > 0 {
		t.Errorf("failed:\n%s", strings.Join(got, "\n"))
	}
	if got := failures(t, rules, strings.Replace(routing, "payments: [database]", "other: [database]", 1), tests); len(got) == 0 {
		t.Error("shop is quiet though it depends on nothing that fires")
	}
}
