package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// testedRule is what the unit tests below are about.
const testedRule = `groups:
  - name: first
    rules:
      - {record: 'job:up:sum', expr: 'sum by (job) (up)', labels: {of: first}}
      - alert: Down
        expr: up == 0
        for: 2m
        keep_firing_for: 3m
        labels: {severity: page, cluster: '{{ $externalLabels.cluster }}'}
        annotations: {summary: '{{ $labels.job }} is down, {{ $value }}, see {{ $externalURL }}'}
  - name: second
    rules:
      - {record: 'twice', expr: '2 * job:up:sum'}
      - {alert: Loud, expr: 'rate(errors_total[5m]) > 0.1'}
`

// unitTests are files in promtool's format, one or more for every key that it has.
var unitTests = []struct {
	name, text string
	passes     bool
	since      string // the first promtool that knows all of it; "": every one
}{
	{"alert fires with labels and annotations", `tests: [{interval: 1m, external_labels: {cluster: c1}, external_url: 'http://p/', input_series: [{series: 'up{job="a"}', values: '1 0x9'}],
		alert_rule_test: [{eval_time: 4m, alertname: Down, exp_alerts: [{exp_labels: {severity: page, job: a, cluster: c1}, exp_annotations: {summary: 'a is down, 0, see http://p/'}}]}]}]`, true, ""},
	{"annotation differs", `tests: [{interval: 1m, input_series: [{series: 'up{job="a"}', values: '0x9'}],
		alert_rule_test: [{eval_time: 4m, alertname: Down, exp_alerts: [{exp_labels: {severity: page, job: a}, exp_annotations: {summary: up}}]}]}]`, false, ""},
	{"label differs", `tests: [{interval: 1m, external_url: 'http://p/', input_series: [{series: 'up{job="a"}', values: '0x9'}],
		alert_rule_test: [{eval_time: 4m, alertname: Down, exp_alerts: [{exp_labels: {severity: page, job: b}, exp_annotations: {summary: 'a is down, 0, see http://p/'}}]}]}]`, false, ""},
	{"pending is not firing", `tests: [{interval: 1m, input_series: [{series: 'up{job="a"}', values: '0x9'}], alert_rule_test: [{eval_time: 1m, alertname: Down, exp_alerts: []}]}]`, true, ""},
	{"pending is expected to fire", `tests: [{interval: 1m, input_series: [{series: 'up{job="a"}', values: '0x9'}], alert_rule_test: [{eval_time: 1m, alertname: Down, exp_alerts: [{exp_labels: {severity: page, job: a}}]}]}]`, false, ""},
	{"nothing is expected and it fires", `tests: [{interval: 1m, input_series: [{series: 'up{job="a"}', values: '0x9'}], alert_rule_test: [{eval_time: 5m, alertname: Down, exp_alerts: []}]}]`, false, ""},
	{"no exp_alerts at all", `tests: [{interval: 1m, input_series: [{series: 'up{job="a"}', values: '1x9'}], alert_rule_test: [{eval_time: 5m, alertname: Down}]}]`, true, ""},
	{"an alertname that no rule has", `tests: [{interval: 1m, alert_rule_test: [{eval_time: 5m, alertname: Nobody, exp_alerts: []}]}]`, true, ""},
	{"an alertname that no rule has is expected", `tests: [{interval: 1m, alert_rule_test: [{eval_time: 5m, alertname: Nobody, exp_alerts: [{exp_labels: {}}]}]}]`, false, ""},
	{"kept firing", `tests: [{interval: 1m, external_url: 'http://p/', input_series: [{series: 'up{job="a"}', values: '0x4 1x9'}], alert_rule_test: [
		{eval_time: 6m, alertname: Down, exp_alerts: [{exp_labels: {severity: page, job: a}, exp_annotations: {summary: 'a is down, 0, see http://p/'}}]}, {eval_time: 9m, alertname: Down, exp_alerts: []}]}]`, true, "2.43"},
	{"evaluated seldom", `evaluation_interval: 3m
tests: [{interval: 1m, input_series: [{series: 'up{job="a"}', values: '0x9'}], alert_rule_test: [{eval_time: 2m, alertname: Down, exp_alerts: []}]}]`, true, ""},
	{"the order of groups", `group_eval_order: [first, second]
tests: [{interval: 1m, input_series: [{series: 'up{job="a"}', values: '1x9'}], promql_expr_test: [{expr: twice, eval_time: 0, exp_samples: [{labels: 'twice{job="a", of="first"}', value: 2}]}]}]`, true, ""},
	{"the other order", `group_eval_order: [second, first]
tests: [{interval: 1m, input_series: [{series: 'up{job="a"}', values: '1x9'}], promql_expr_test: [{expr: twice, eval_time: 0, exp_samples: [{labels: 'twice{job="a", of="first"}', value: 2}]}]}]`, false, ""},
	{"an order with a group twice", `group_eval_order: [first, first]
tests: []`, false, ""},
	{"values that rise, miss and are stale", `tests: [{interval: 30s, input_series: [{series: 'errors_total', values: '0+30x8 _x3 stale'}], promql_expr_test: [
		{expr: errors_total, eval_time: 3m, exp_samples: [{labels: errors_total, value: 180}]}, {expr: errors_total, eval_time: 7m, exp_samples: []}]}]`, true, ""},
	{"a histogram", `tests: [{interval: 1m, input_series: [{series: 'h', values: '{{schema:0 sum:5 count:4 buckets:[1 2 1]}}x3'}], promql_expr_test: [{expr: h, eval_time: 0, exp_samples: [{labels: h, histogram: '{{schema:0 sum:5 count:4 buckets:[1 2 1]}}'}]},
		{expr: 'histogram_count(h)', eval_time: 1m, exp_samples: [{labels: '{}', value: 4}]}]}]`, true, "2.49"},
	{"another histogram", `tests: [{interval: 1m, input_series: [{series: 'h', values: '{{schema:0 sum:5 count:4 buckets:[1 2 1]}}x3'}], promql_expr_test: [{expr: h, eval_time: 1m, exp_samples: [{labels: h, histogram: '{{schema:0 sum:6 count:4 buckets:[1 2 1]}}'}]}]}]`, false, ""},
	{"a fraction", `tests: [{interval: 1m, input_series: [{series: m, values: '0.1 0.2'}], promql_expr_test: [{expr: 'm + 0.2', eval_time: 0, exp_samples: [{labels: '{}', value: 0.3}]}]}]`, false, ""},
	{"a fraction, nearly", "fuzzy_compare: true\n" + `tests: [{interval: 1m, input_series: [{series: m, values: '0.1 0.2'}], promql_expr_test: [{expr: 'm + 0.2', eval_time: 0, exp_samples: [{labels: '{}', value: 0.3}]}]}]`, true, "2.54"},
	{"when it begins", `tests: [{interval: 1m, start_timestamp: 2024-01-15T10:00:00Z, input_series: [{series: m, values: '1 1'}], promql_expr_test: [{expr: 'time()', eval_time: 1m, exp_samples: [{labels: '{}', value: 1705312860}]}]}]`, true, "3.10"},
	{"when it begins, in seconds", `tests: [{interval: 1m, start_timestamp: 1705312800, promql_expr_test: [{expr: 'time()', eval_time: 1m, exp_samples: [{labels: '{}', value: 1705312860}]}]}]`, true, "3.10"},
	{"when nothing says so it begins in 1970", `tests: [{interval: 1m, promql_expr_test: [{expr: 'time()', eval_time: 1m, exp_samples: [{labels: '{}', value: 60}]}]}]`, true, ""},
	{"a scalar", `tests: [{interval: 1m, promql_expr_test: [{expr: '1 + 1', eval_time: 1m, exp_samples: [{value: 2}]}]}]`, true, ""},
	{"a string", `tests: [{interval: 1m, promql_expr_test: [{expr: '"a"', eval_time: 1m, exp_samples: [{value: 2}]}]}]`, false, ""},
	{"an expression that cannot be parsed", `tests: [{interval: 1m, promql_expr_test: [{expr: 'sum(', eval_time: 1m}]}]`, false, ""},
	{"no such key", "evaluate_often: true\ntests: []", false, ""},
	{"no such key in a test", `tests: [{intervall: 1m}]`, false, ""},
	{"no such key in an expectation", `tests: [{interval: 1m, alert_rule_test: [{eval_time: 5m, alertname: Down, expected: []}]}]`, false, ""},
	{"a time that is none", `tests: [{interval: soon}]`, false, ""},
	{"values that are none", `tests: [{interval: 1m, input_series: [{series: m, values: '1 two'}]}]`, false, ""},
	{"a series that is none", `tests: [{interval: 1m, input_series: [{series: 'm{', values: '1'}]}]`, false, ""},
	{"no tests", "tests: []", true, ""},
	{"a name", `tests: [{name: nothing happens, interval: 1m, promql_expr_test: [{expr: up, eval_time: 1m, exp_samples: []}]}]`, true, ""},
}

// TestUnitTestFiles: for each key of promtool's format alertd gives the verdict that promtool gives, if it is installed and
// new enough to know the key.
func TestUnitTestFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "rules.yml"), testedRule)
	promtool, version := installedPromtool()
	for i, tc := range unitTests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			name := filepath.Join(dir, fmt.Sprintf("%02d.yml", i))
			write(t, name, "rule_files: [rules.yml]\n"+strings.ReplaceAll(tc.text, "\t", "  "))
			f := testFile(name, &bytes.Buffer{})
			if !f.failed() != tc.passes {
				t.Errorf("with alertd it passes: %t\n%s", !f.failed(), f.text())
			}
			if promtool == "" || older(version, tc.since) {
				return
			}
			out, err := exec.Command(promtool, "test", "rules", name).CombinedOutput()
			if (err == nil) != tc.passes {
				t.Errorf("with promtool it passes: %t\n%s", err == nil, out)
			}
		})
	}
}

// never is a version that promtool will not have: there alertd differs on purpose.
const never = "1000.0"

// ruleFiles are rule files, most of them broken.
var ruleFiles = []struct {
	name, text string
	right      bool
	since      string
}{
	{"right", testedRule, true, "2.42"},
	{"not YAML", "groups: [", false, ""},
	{"empty", "", true, ""},
	{"no groups", "groups: []", true, ""},
	{"a list", "- a", false, ""},
	{"unknown key of the file", "groups: []\nrules: []", false, ""},
	{"unknown key of a group", "groups: [{name: g, every: 1m, rules: []}]", false, ""},
	{"unknown key of a rule", "groups: [{name: g, rules: [{alert: A, expr: up, fro: 1m}]}]", false, ""},
	{"group without a name", "groups: [{rules: [{alert: A, expr: up}]}]", false, ""},
	{"two groups of one name", "groups: [{name: g, rules: []}, {name: g, rules: []}]", false, ""},
	{"a key twice", "groups: [{name: g, name: h, rules: []}]", false, ""},
	{"neither alert nor record", "groups: [{name: g, rules: [{expr: up}]}]", false, ""},
	{"both alert and record", "groups: [{name: g, rules: [{alert: A, record: a, expr: up}]}]", false, ""},
	{"no expr", "groups: [{name: g, rules: [{alert: A}]}]", false, ""},
	{"broken expr", "groups: [{name: g, rules: [{alert: A, expr: 'sum(rate(x[5m])'}]}]", false, ""},
	{"expr of the wrong type", "groups: [{name: g, rules: [{alert: A, expr: 'rate(x)'}]}]", false, ""},
	{"unknown function", "groups: [{name: g, rules: [{alert: A, expr: 'rates(x[5m])'}]}]", false, ""},
	{"bad duration", "groups: [{name: g, rules: [{alert: A, expr: up, for: 5 minutes}]}]", false, ""},
	{"bad interval", "groups: [{name: g, interval: often, rules: []}]", false, ""},
	{"for with record", "groups: [{name: g, rules: [{record: a, expr: up, for: 1m}]}]", false, ""},
	{"annotations with record", "groups: [{name: g, rules: [{record: a, expr: up, annotations: {a: b}}]}]", false, ""},
	{"keep_firing_for with record", "groups: [{name: g, rules: [{record: a, expr: up, keep_firing_for: 1m}]}]", false, ""},
	{"name of a series that is none", "groups: [{name: g, rules: [{record: 'a{b=\"c\"}', expr: up}]}]", false, ""},
	{"label __name__", "groups: [{name: g, rules: [{alert: A, expr: up, labels: {__name__: x}}]}]", false, ""},
	{"template with no end", "groups: [{name: g, rules: [{alert: A, expr: up, annotations: {a: '{{ $value'}}]}]", false, ""},
	{"template with an unknown variable", "groups: [{name: g, rules: [{alert: A, expr: up, annotations: {a: '{{ $valeu }}'}}]}]", false, ""},
	{"template with an unknown function", "groups: [{name: g, rules: [{alert: A, expr: up, annotations: {a: '{{ humanise $value }}'}}]}]", false, ""},
	{"template in a label", "groups: [{name: g, rules: [{alert: A, expr: up, labels: {severity: '{{ if gt $value 1.0 }}page{{ end }}'}}]}]", true, ""},
	{"several documents", "groups: []\n---\ngroups: []", false, never}, // promtool drops all but the first without a word
	{"limit and query_offset", "groups: [{name: g, limit: 3, query_offset: 1m, rules: [{alert: A, expr: up}]}]", true, "2.53"},
	{"labels of a group", "groups: [{name: g, labels: {team: a}, rules: [{alert: A, expr: up}]}]", true, "3.0"},
	{"negative limit", "groups: [{name: g, limit: many, rules: []}]", false, ""},
	{"dots in a name", "groups: [{name: g, rules: [{record: 'a.b', expr: '{\"c.d\"}'}]}]", true, "3.0"},
}

// TestRuleFiles: alertd refuses the rule files that promtool refuses, and no other, whatever its lints think of them.
func TestRuleFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	promtool, version := installedPromtool()
	for i, tc := range ruleFiles {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			name := filepath.Join(dir, fmt.Sprintf("%02d.yml", i))
			write(t, name, tc.text)
			var out, log bytes.Buffer
			code := run(t.Context(), []string{"check", "--lint", "all=off", name}, nil, &out, &log)
			if (code == 0) != tc.right {
				t.Errorf("alertd check: %d\n%s%s", code, &out, &log)
			}
			if code != 0 && !strings.Contains(log.String(), name+":") {
				t.Errorf("the place is missing:\n%s", &log)
			}
			if promtool == "" || older(version, tc.since) {
				return
			}
			text, err := exec.Command(promtool, "check", "rules", "--lint=none", name).CombinedOutput()
			if (err == nil) != tc.right {
				t.Errorf("promtool takes it: %t\n%s", err == nil, text)
			}
		})
	}
}

// TestPromtoolsOwnFiles runs the files that promtool itself is tested with, as they are in the module that alertd is built
// with. They pass and fail as promtool's tests say that they must.
func TestPromtoolsOwnFiles(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/prometheus/prometheus").Output()
	if err != nil || len(bytes.TrimSpace(out)) == 0 {
		t.Skipf("no source of Prometheus here: %v", err)
	}
	dir := filepath.Join(string(bytes.TrimSpace(out)), "cmd", "promtool", "testdata")
	for name, passes := range map[string]bool{
		"unittest": true, "long-period": true, "no-test-group-interval": true, "at-modifier-test": true, "negative-offset-test": true,
		"start-time-test": true, "rules_run": false, "rules_run_no_fuzzy": false, "rules_run_fuzzy": false, "bad-input-series": false,
		"bad-promql": false, "bad-rules-error-test": false, "bad-rules-syntax-test": false, "failing": false,
	} {
		file := filepath.Join(dir, name+".yml")
		if _, err := os.Stat(file); err != nil {
			t.Errorf("%s is gone; has promtool other tests now?", name)
			continue
		}
		if f := testFile(file, &bytes.Buffer{}); !f.failed() != passes {
			t.Errorf("%s passes: %t\n%s", name, !f.failed(), f.text())
		}
	}
}

// installedPromtool is where promtool is, and its version; "" if it is not installed.
func installedPromtool() (path, version string) {
	path, err := exec.LookPath("promtool")
	if err != nil {
		return "", ""
	}
	out, err := exec.Command(path, "--version").CombinedOutput()
	if err != nil {
		return "", ""
	}
	_, rest, _ := strings.Cut(string(out), "version ")
	version, _, _ = strings.Cut(rest, ",")
	return path, version
}

// older reports whether a version is before another one, of which "" is the first.
func older(version, than string) bool {
	var a, b [2]int
	_, _ = fmt.Sscanf(version, "%d.%d", &a[0], &a[1])
	if n, _ := fmt.Sscanf(than, "%d.%d", &b[0], &b[1]); n == 0 {
		return false
	}
	return a[0] < b[0] || a[0] == b[0] && a[1] < b[1]
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
