package lint_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"pgregory.net/rapid"

	"alertd"
	"alertd/config"
	"alertd/lint"
	"alertd/rules"
	"alertd/runbooks"
)

func parse(t testing.TB, src string) *rules.Set {
	t.Helper()
	set, err := rules.Parse([]rules.File{{Name: "r.yaml", Data: []byte(src)}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// only switches every lint off but one.
func only(t testing.TB, name string) lint.Severities {
	t.Helper()
	s := lint.Severities{"all": lint.Off}
	if err := s.Set(name, lint.Warning); err != nil {
		t.Fatal(err)
	}
	return s
}

func places(found []lint.Finding) []string {
	out := []string{}
	for _, f := range found {
		out = append(out, fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Column))
	}
	return out
}

// Every lint finds what it is for, in its place, and leaves alone what looks alike. Rules begin on line 4 and take
// a line each.
func TestRuleLints(t *testing.T) {
	books, err := runbooks.Load(fstest.MapFS{
		"a.md": {Data: []byte("---\nalert: Owned\nseverity: critical\nowner: web\nnext_steps: [Look.]\n---\nx\n")},
		"b.md": {Data: []byte("---\nalert: Known\nseverity: critical\nnext_steps: [Look.]\ndashboards:\n  - https://alive.example/\n  - Pods: https://dead.example/?pod={{ $labels.pod }}\n---\nx\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		lint  string
		rules []string
		want  []string
	}{
		{"severity-missing", []string{
			"{alert: A, expr: a, labels: {severity: page}}", "{alert: B, expr: a}", "{record: c, expr: a}", "{alert: D, on: event, type: d, labels: {severity: ''}}",
		}, []string{"r.yaml:5:9", "r.yaml:7:9"}},
		{"severity-unknown", []string{
			"{alert: A, expr: a, labels: {severity: page}}", "{alert: B, expr: a, labels: {severity: high}}", "{alert: C, expr: a, labels: {severity: '{{ $labels.s }}'}}",
		}, []string{"r.yaml:5:48"}},
		{"one-severity", []string{
			"{alert: A, expr: a, labels: {severity: page}}", "{record: b, expr: a}", "{alert: C, expr: a, labels: {severity: critical}}", "{alert: D, expr: a, labels: {severity: critical}}",
		}, []string{"r.yaml:4:9"}},
		{"one-severity", []string{
			"{alert: A, expr: a, labels: {severity: page}}", "{alert: C, expr: a, labels: {severity: critical}}", "{alert: D, expr: a, labels: {severity: info}}",
		}, nil},
		{"one-severity", []string{"{alert: A, expr: a, labels: {severity: page}}", "{alert: C, expr: a, labels: {severity: critical}}"}, nil},
		{"summary-missing", []string{
			"{alert: A, expr: a, annotations: {summary: s}}", "{alert: B, expr: a, annotations: {description: s}}", "{alert: C, expr: a, annotations: {message: s}}",
		}, []string{"r.yaml:6:9"}},
		{"next-step", []string{
			"{alert: A, expr: a, labels: {severity: page}}", "{alert: B, expr: a, labels: {severity: page}, annotations: {next_step: s}}",
			"{alert: C, expr: a, labels: {severity: info}}", "{alert: D, expr: a, labels: {severity: warn}}",
		}, []string{"r.yaml:4:9", "r.yaml:7:9"}},
		{"critical-runbook", []string{
			"{alert: A, expr: a, labels: {severity: critical}}", "{alert: Known, expr: a, labels: {severity: critical}}", "{alert: C, expr: a, labels: {severity: warning}}",
			"{alert: D, expr: a, labels: {severity: critical}, annotations: {runbook_url: 'https://x/y'}}",
		}, []string{"r.yaml:4:9"}},
		{"warning-runbook", []string{
			"{alert: A, expr: a, labels: {severity: critical}}", "{alert: Known, expr: a, labels: {severity: warning}}", "{alert: C, expr: a, labels: {severity: warn}}",
			"{alert: D, expr: a, labels: {severity: warning}, annotations: {runbook_url: 'https://x/y'}}", "{alert: E, expr: a, labels: {severity: info}}",
		}, []string{"r.yaml:6:9"}},
		{"critical-owner", []string{
			"{alert: Known, expr: a, labels: {severity: critical}}", "{alert: Owned, expr: a, labels: {severity: critical}}", "{alert: C, expr: a, labels: {severity: critical, team: x}}",
			"{alert: D, expr: a, labels: {severity: critical}, annotations: {owner: x}}", "{alert: E, expr: a}",
		}, []string{"r.yaml:4:9"}},
		{"value-in-label", []string{
			"{alert: A, expr: a, labels: {v: '{{ $value }}'}}", "{alert: B, expr: a, labels: {v: 'x {{- printf \"%f\" .Value -}}'}}", "{alert: C, expr: a, annotations: {v: '{{ $value }}'}}",
			"{alert: D, expr: a, labels: {severity: '{{ if gt $value 9.0 }}critical{{ else if eq $value 8.0 }}info{{ end }}'}}",
			"{alert: E, expr: a, labels: {v: '{{ $labels.Value }}{{ $labels.value }}'}}", "{alert: F, expr: a, labels: {v: '{{ humanize $value }}'}}",
		}, []string{"r.yaml:4:41", "r.yaml:5:41", "r.yaml:9:41"}},
		{"event-selector", []string{
			"{alert: A, expr: 'event{type=\"a\"}'}", "{alert: B, on: event, expr: 'event{type=\"a\"}'}", "{alert: C, expr: 'event{service=\"a\"}'}", "{alert: D, expr: 'event{type=\"a\"} > 1'}",
		}, []string{"r.yaml:4:9"}},
		{"every-error", []string{
			"{alert: A, expr: 'errors_total > 0'}", "{alert: B, expr: 'sum by (x) (job_errors) != 0'}", "{alert: C, expr: '0 < (max(errors_total))'}",
			"{alert: D, expr: 'x == 1 or y_failures >= 1'}", "{alert: E, expr: 'rate(errors_total[5m]) > 0'}", "{alert: F, expr: 'errors_total > 0', for: 5m}",
			"{alert: G, expr: 'errors_total > 100'}", "{alert: H, expr: 'queue_length > 0'}", "{alert: I, expr: 'errors_total > 0 and rate(errors_total[5m]) > 1'}",
			"{alert: J, expr: 'errors_total - errors_total offset 5m > 0'}", "{record: k, expr: 'errors_total > 0'}", "{alert: L, expr: 'errors_total > -1'}",
		}, []string{"r.yaml:4:27", "r.yaml:5:27", "r.yaml:6:27", "r.yaml:7:37"}},
		{"fixed-time", []string{
			"{alert: A, expr: 'a > 2 * a @ 1609746000'}", "{alert: B, expr: 'a @ end() > 1'}", "{record: c, expr: 'rate(a[5m] @ 1609746000)'}",
			"{alert: D, expr: a > 1, recover_expr: 'a < a @ 1609746000'}", "{alert: E, expr: 'max_over_time(c[5m:1m] @ 1609746000)'}",
		}, []string{"r.yaml:4:35", "r.yaml:6:33", "r.yaml:7:9", "r.yaml:8:41"}},
		{"duplicate-rules", []string{
			"{alert: A, expr: 'a>1', labels: {x: y}}", "{alert: A, expr: 'a  >  1', labels: {x: y}}", "{alert: A, expr: a > 1}", "{record: r, expr: a}", "{record: r, expr: a}", "{record: r, expr: b}",
			"{alert: E, on: event, type: e}", "{alert: E, on: event, type: e}", "{alert: E, on: event, type: e, match: 'a=\"b\"'}",
		}, []string{"r.yaml:5:9", "r.yaml:8:9", "r.yaml:11:9"}},
		{"same-alert", []string{
			"{alert: A, expr: a > 1, labels: {severity: page}}", "{alert: A, expr: a > 2, labels: {severity: info}}", "{alert: A, expr: b > 1, labels: {severity: page}}",
			"{alert: A, expr: a > 1, labels: {severity: page}}", "{record: A, expr: a}", "{record: A, expr: b}",
		}, []string{"r.yaml:6:9", "r.yaml:9:9"}},
		{"same-condition", []string{
			"{alert: A, expr: a > 1}", "{alert: B, expr: a>1}", "{alert: C, expr: a > 1, labels: {severity: info}}", "{alert: A, expr: a > 1}", "{record: d, expr: a > 1}",
		}, []string{"r.yaml:5:9"}},
		{"never-true", []string{
			"{alert: A, expr: 'count(a) == 0'}", "{alert: B, expr: 'up > 1'}", "{alert: C, expr: 'rate(a_total[5m]) < 0'}", "{alert: D, expr: 'absent(a) == 0'}",
			"{alert: E, expr: '5 < hour() and hour() > 23'}", "{alert: F, expr: 'count(a) == bool 0'}", "{alert: G, expr: 'sum(up) > 1'}", "{alert: H, expr: 'up == 0'}",
			"{alert: I, expr: 'a_ratio > 80'}", "{alert: J, expr: '100 * avg(up) > 100'}", "{alert: K, expr: 'vector(1) > 2'}", "{record: l, expr: 'count(a) < 1'}",
		}, []string{"r.yaml:4:27", "r.yaml:5:27", "r.yaml:6:27", "r.yaml:7:27", "r.yaml:8:42", "r.yaml:13:27", "r.yaml:14:27", "r.yaml:15:28"}},
		{"ratio-threshold", []string{
			"{alert: A, expr: 'a_ratio > 80'}", "{alert: B, expr: 'avg_over_time(a_ratio[5m]) >= 5'}", "{alert: C, expr: 'a_ratio > 0.8'}", "{alert: D, expr: '100 * a_ratio > 80'}",
			"{alert: E, expr: 'up > 80'}", "{alert: F, expr: 'sum(a_ratio) > 2'}",
		}, []string{"r.yaml:4:27", "r.yaml:5:27"}},
		{"runbook-link", []string{
			"{alert: A, expr: a, annotations: {runbook_url: 'runbooks/a.md'}}", "{alert: B, expr: a, annotations: {runbook_url: 'https://alertd.example/x/runbooks/Nobody'}}",
			"{alert: C, expr: a, annotations: {runbook_url: 'https://alertd.example/x/runbooks/Known'}}", "{alert: D, expr: a, annotations: {runbook_url: 'https://{{ $labels.host }}/'}}",
			"{alert: E, expr: a, annotations: {runbook_url: 'https://dead.example/'}}", "{alert: F, expr: a, annotations: {runbook_url: 'https://alive.example/'}}",
			"{alert: G, expr: a, annotations: {runbook_url: 'javascript:alert(1)'}}", "{alert: H, expr: a, annotations: {runbook_url: /runbooks/Known}}",
		}, []string{"r.yaml:4:56", "r.yaml:5:56", "r.yaml:8:56", "r.yaml:10:56", "r.yaml:11:56"}},
		{"dashboard-link", []string{
			"{alert: A, expr: a, annotations: {dashboard_url: 'd/a'}}", "{alert: B, expr: a, annotations: {dashboard_url: 'https://dead.example/'}}",
			"{alert: C, expr: a, annotations: {dashboard_url: 'https://alive.example/'}}", "{alert: D, expr: a, annotations: {dashboard_url: 'https://x.example/{{ $labels.x }}'}}",
		}, []string{"b.md:7:5", "r.yaml:4:58", "r.yaml:5:58"}},
		{"metric-missing", []string{
			"{alert: A, expr: here > 1}", "{alert: B, expr: gone > 1}", "{alert: C, expr: 'here / gone > 1'}", "{record: 'r:x', expr: here}", "{alert: D, expr: 'r:x > 1'}",
			"{alert: E, expr: '{job=\"x\"} > 1'}", "{alert: F, on: event, type: x}",
		}, []string{"r.yaml:5:9", "r.yaml:6:9"}},
	} {
		src := "groups:\n  - name: g\n    rules:\n      - " + strings.Join(tc.rules, "\n      - ") + "\n"
		in := lint.Input{
			Rules: parse(t, src), Runbooks: books, Whole: true, External: "https://alertd.example/x",
			Arrived: map[string]bool{"here": true}, Dead: map[string]string{"https://dead.example/": "404 Not Found"},
		}
		found := lint.Check(in, only(t, tc.lint))
		if tc.want == nil {
			tc.want = []string{}
		}
		if diff := cmp.Diff(tc.want, places(found)); diff != "" {
			t.Errorf("%s: %s", tc.lint, diff)
			for _, f := range found {
				t.Log(f)
			}
		}
		for _, f := range found {
			if f.Lint != tc.lint || f.Severity != lint.Warning || f.Message == "" {
				t.Errorf("%+v", f)
			}
		}
	}
}

func TestRoutingLints(t *testing.T) {
	env := func(string) (string, bool) { return "", false }
	const routing = `calendars: {default: {time_zone: UTC, hours: ['mon-fri 09:00-17:00']}}
route:
  receiver: ops
  routes:
    - {matchers: ['severity="page"'], deliver: business_hours}
    - {matchers: ['alertname="Now"']}
    - {matchers: ['severity="info"'], deliver: dashboard}
    - matchers: ['team="db"']
      routes:
        - {matchers: ['team=~"web|api"']}
        - {matchers: ['team="db"', 'env="prod"']}
    - {matchers: ['env="x"'], continue: true}
    - {matchers: ['env="x"']}
    - {matchers: ['env="x"'], receiver: other}
    - {matchers: ['alertname=~"No.*"']}
    - {matchers: ['alertname=~"Typ.*"']}
receivers: [{name: ops}, {name: other}, {name: spare}]
inhibit_rules:
  - {source_matchers: ['alertname="Now"'], target_matchers: ['alertname="Then"'], equal: [a]}
`
	set := parse(t, `groups:
  - name: g
    rules:
      - {alert: Now, expr: a, labels: {severity: page}}
      - {alert: Later, expr: a, labels: {severity: critical}}
`)
	parsed, _, err := config.ParseRouting("routing.yaml", []byte(routing), env, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	check := func(name string) []string {
		return places(lint.Check(lint.Input{Rules: set, Routing: parsed, Whole: true}, only(t, name)))
	}
	for name, want := range map[string][]string{
		"unused-receiver":   {"routing.yaml:17:48"},
		"unreachable-route": {"routing.yaml:10:11", "routing.yaml:14:7"},
		"unknown-alertname": {"routing.yaml:16:7", "routing.yaml:19:5"},
		"critical-held":     {"r.yaml:4:9"}, // page is critical, and its route comes first
	} {
		if diff := cmp.Diff(want, check(name)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}

	held, _, err := config.ParseRouting("routing.yaml", []byte("calendars: {default: {time_zone: UTC, hours: ['mon-fri 09:00-17:00']}}\nroute: {receiver: ops, deliver: business_hours}\nreceivers: [{name: ops}]\n"), env, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	none := parse(t, "groups: []")
	if got := places(lint.Check(lint.Input{Rules: none, Routing: held, Whole: true}, only(t, "critical-held"))); !slices.Equal(got, []string{"routing.yaml:2:8"}) {
		t.Errorf("a routing that holds what is critical, without a rule: %v", got)
	}
}

// What alertd ships gives nothing to complain about.
func TestShippedFilesAreClean(t *testing.T) {
	policy, err := config.Load(rules.Shipped(), os.LookupEnv, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	books, err := runbooks.Load(runbooks.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range lint.Check(lint.Input{Rules: policy.Rules, Routing: policy.Routing, Runbooks: books, Whole: true}, nil) {
		t.Errorf("%s:%d:%d: %s [%s]", f.File, f.Line, f.Column, f.Message, f.Lint)
	}
}

func TestSeverities(t *testing.T) {
	s := lint.Severities{}
	if err := s.Set("no-such", lint.Off); err == nil || !strings.Contains(err.Error(), "critical-held") {
		t.Errorf("an unknown lint: %v", err)
	}
	if _, err := lint.ParseSeverity("fatal"); err == nil {
		t.Error("fatal is no severity")
	}
	names := []string{}
	for _, l := range lint.All() {
		names = append(names, l.Name)
	}
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("names: %v", names)
	}
	set := parse(t, "groups: [{name: g, rules: [{alert: A, expr: count(a) == 0}]}]")
	severities := func(s lint.Severities) (out []string) {
		for _, f := range lint.Check(lint.Input{Rules: set}, s) {
			out = append(out, f.Lint+"="+string(f.Severity))
		}
		return out
	}
	if got := severities(nil); !slices.Equal(got, []string{"severity-missing=warning", "summary-missing=warning", "never-true=error"}) {
		t.Errorf("by default: %v", got)
	}
	if got := severities(lint.Severities{"all": lint.Error, "never-true": lint.Off}); !slices.Equal(got, []string{"severity-missing=error", "summary-missing=error"}) {
		t.Errorf("all: %v", got)
	}
}

func TestLinks(t *testing.T) {
	set := parse(t, `groups: [{name: g, rules: [
  {alert: A, expr: a, annotations: {runbook_url: 'https://b.example/1'}}, {alert: B, expr: a, annotations: {runbook_url: 'https://a.example/'}},
  {alert: C, expr: a, annotations: {runbook_url: 'https://b.example/1'}}, {alert: D, expr: a, annotations: {runbook_url: 'https://{{ $labels.x }}/'}},
  {alert: E, expr: a, annotations: {runbook_url: 'https://me.example/runbooks/E'}}, {alert: F, expr: a, annotations: {runbook_url: 'x.md'}},
  {alert: G, expr: a, annotations: {dashboard_url: 'https://c.example/d'}}]}]`)
	books, err := runbooks.Load(fstest.MapFS{"a.md": {Data: []byte("---\nalert: A\nseverity: critical\nnext_steps: [Look.]\ndashboards:\n" +
		"  - https://d.example/d/a?var={{ $labels.x }}\n  - Host: https://e.example/{{ $labels.x }}\n---\nx\n")}})
	if err != nil {
		t.Fatal(err)
	}
	for want, books := range map[string]*runbooks.Index{
		"https://a.example/ https://b.example/1 https://c.example/d":                       nil,
		"https://a.example/ https://b.example/1 https://c.example/d https://d.example/d/a": books,
	} {
		if got := strings.Join(lint.Links(set, books, "https://me.example"), " "); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// What is called never true is never true: Prometheus's engine finds nothing, whatever the samples.
func TestNeverTrueIsNeverTrue(t *testing.T) {
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, Parser: parser.NewParser(parser.Options{})})
	flagged := 0
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.SampledFrom([]string{"0", "1", "2", "-1", "0.5", "100", "24"})
		selector := rapid.SampledFrom([]string{"up", "up{i=\"1\"}", "x_total", "gauge"})
		vector := rapid.Custom(func(t *rapid.T) string {
			s := selector.Draw(t, "selector")
			return fmt.Sprintf(rapid.SampledFrom([]string{
				"%s", "count(%s)", "sum(%s)", "max by (i) (%s)", "avg(%s)", "absent(%s)", "rate(%s[5m])", "count_over_time(%s[5m])", "max_over_time(%s[5m])", "-%s",
				"abs(%s)", "hour() + 0 * sum(%s)", "day_of_week()", "(%s == bool 0)", "group(%s)", "sgn(%s)", "stddev(%s)", "(%s > 0)", "vector(1) * sum(%s)", "topk(1, %s)",
			}).Draw(t, "shape"), s)
		})
		vector2 := rapid.Custom(func(t *rapid.T) string {
			a, b := vector.Draw(t, "a"), vector.Draw(t, "b")
			return fmt.Sprintf(rapid.SampledFrom([]string{"%s", "%s * 2", "%s / 2", "%s + 1", "1 - %s", "%s + %[2]s", "%s - %[2]s", "%s * %[2]s", "%s / %[2]s", "%s or %[2]s", "%s and %[2]s", "%s unless %[2]s"}).Draw(t, "with"), a, b)
		})
		op := rapid.SampledFrom([]string{">", "<", ">=", "<=", "==", "!="}).Draw(t, "op")
		text := fmt.Sprintf("(%s) %s %s", strings.ReplaceAll(vector2.Draw(t, "vector"), "%!(EXTRA", ""), op, number.Draw(t, "number"))
		if i := strings.Index(text, " string="); i >= 0 { // the shape had no place for the second operand
			text = text[:i] + text[strings.LastIndex(text, ") "):]
		}
		set, err := rules.Parse([]rules.File{{Name: "r.yaml", Data: fmt.Appendf(nil, "groups: [{name: g, rules: [{alert: A, expr: %q}]}]", text)}})
		if err != nil {
			return // such as many kinds of operands that do not fit
		}
		if len(lint.Check(lint.Input{Rules: set}, lint.Severities{"all": lint.Off, "never-true": lint.Error})) == 0 {
			return
		}
		flagged++
		now := time.UnixMilli(1_700_000_000_000)
		w := rules.NewWindow()
		for i, name := range []string{"up", "up", "x_total", "x_total", "gauge", "gauge"} {
			ls := labels.FromStrings("__name__", name, "i", fmt.Sprint(i%2))
			total := 0.0
			for j := range 10 {
				v := map[string]float64{
					"up": float64(rapid.IntRange(0, 1).Draw(t, "up")), "x_total": total, "gauge": rapid.Float64Range(-200, 200).Draw(t, "gauge"),
				}[name]
				total += float64(rapid.IntRange(0, 50).Draw(t, "by"))
				if err := w.Append(alertd.Sample{Labels: ls, T: now.Add(time.Duration(j-10) * 20 * time.Second).UnixMilli(), V: v}); err != nil {
					t.Fatal(err)
				}
			}
		}
		q, err := engine.NewInstantQuery(t.Context(), w, nil, text, now)
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		res := q.Exec(t.Context())
		if res.Err != nil {
			return
		}
		if v, err := res.Vector(); err == nil && len(v) > 0 {
			t.Fatalf("%s is called never true and gives %v", text, v)
		}
	})
	if flagged == 0 && !testing.Short() { // which draws so few that none of them may be
		t.Error("nothing was called never true, so nothing was tested")
	}
}
