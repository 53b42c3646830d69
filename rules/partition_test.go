package rules

import (
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
)

func TestPartitionOf(t *testing.T) {
	const all = "without (__name__, __type__, __unit__)"
	for expr, want := range map[string]string{
		// Selectors and what goes through them.
		`m`:                                     all,
		`m offset 5m > 3`:                       all,
		`rate(m[5m]) > 0.1`:                     all,
		`max_over_time((m > 1)[10m:1m]) > 2`:    all,
		`-m`:                                    all,
		`predict_linear(m[1h], 3600) < 0`:       all,
		`time() - m > 600`:                      all,
		`m > 2 * pi()`:                          all,
		`a and b`:                               all,
		`a unless b`:                            all,
		`a or b`:                                all,
		`sort(m)`:                               all,
		`timestamp(m)`:                          all,
		`hour(m)`:                               all,
		`quantile_over_time(0.9, m[5m])`:        all,
		`sum by (a, b) (m)`:                     "by (a, b)",
		`sum without (c) (m)`:                   "without (__name__, __type__, __unit__, c)",
		`sum by (a) (sum by (a, b) (m))`:        "by (a)",
		`sum by (a, b) (sum without (b) (m))`:   "by (a)",
		`topk by (a) (3, m)`:                    "by (a)",
		`quantile by (a) (0.9, m)`:              "by (a)",
		`count_values by (a, b) ("b", m)`:       "by (a)",
		`sum by (a) (x) / sum by (a) (y) > 0.1`: "by (a)",
		`sum by (a, b) (x) / on (a) sum by (a)(y)`:                     "by (a)",
		`x / on (a) group_left (z) y`:                                  "by (a)",
		`x / on (a, b) group_left y`:                                   "by (a, b)",
		`x / ignoring (c) y`:                                           "without (__name__, __type__, __unit__, c)",
		`x / ignoring (c) group_left (d) y`:                            "without (__name__, __type__, __unit__, c, d)",
		`x and on (a) y`:                                               "by (a)",
		`x > 0 and on (a, b) sum by (a) (y) > 1`:                       "by (a)",
		`histogram_quantile(0.9, sum by (a, le) (rate(m_bucket[5m])))`: "by (a)",
		`histogram_quantile(0.9, rate(m_bucket[5m]))`:                  "without (__name__, __type__, __unit__, le)",
		`label_replace(m, "d", "$1", "s", "(.*)")`:                     "without (__name__, __type__, __unit__, d)",
		`label_join(m, "d", "-", "s")`:                                 "without (__name__, __type__, __unit__, d)",

		// Whole, and why.
		`sum(m)`:                           "whole: sum aggregates over all series",
		`count(up == 0) / count(up) > 0.5`: "whole: count aggregates over all series",
		`sum by () (m)`:                    "whole: sum aggregates over all series",
		`absent(m)`:                        "whole: absent looks at all series at once",
		`absent_over_time(m[5m])`:          "whole: absent_over_time looks at all series at once",
		`m > scalar(n)`:                    "whole: scalar looks at all series at once",
		`m or vector(0)`:                   "whole: vector makes a series out of nothing",
		`m and on () hour() > 9`:           "whole: hour() makes a series out of nothing",
		`m * on () group_left sum(n)`:      "whole: sum aggregates over all series",
		`m * on () group_left n`:           "whole: * on () matches all series with each other",
		`sum by (a) (x) + on (b) y`:        "whole: + on (b) matches by no label that both sides keep",
		`sum by (a) (sum by (b) (m))`:      "whole: sum by (a) keeps none of the labels below it",
		`sum by (a) (x) + sum by (b) (y)`:  "whole: the two sides of + keep no label in common",
		`sum by (a)(x) + ignoring (a) y`:   "whole: + ignoring (a) matches by no label that both sides keep",
		`x * on (a) group_left (b) (y * on (b, a) group_right (a) z)`: "",
		`count_values by (a) ("a", m)`:                                "whole: count_values writes the only label that is kept",
		`label_replace(sum by (a) (m), "a", "x", "a", "y")`:           "whole: label_replace writes the only label that is kept",
		`histogram_quantile(0.9, sum by (le) (m_bucket))`:             "whole: histogram_quantile drops the only label that is kept",
	} {
		parsed, err := promqlParser.ParseExpr(expr)
		if err != nil {
			if want != "" {
				t.Errorf("%s: %v", expr, err)
			}
			continue
		}
		p := PartitionOf(parsed)
		got := p.String()
		if p.IsWhole() {
			got += ": " + p.Whole
		}
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", expr, got, want)
		}
	}
}

func TestRuleLabelsNarrowThePartition(t *testing.T) {
	for src, want := range map[string]string{
		`{alert: A, expr: m > 1, labels: {severity: x}}`:                   "without (__name__, __type__, __unit__, alertname, severity)",
		`{alert: A, expr: sum by (a) (m)}`:                                 "by (a)",
		`{alert: A, expr: "sum by (a, b) (m)", labels: {a: x}}`:            "by (b)",
		`{alert: A, expr: sum by (a) (m), labels: {a: x}}`:                 "whole",
		`{alert: A, expr: sum by (a) (m), labels: {a: "{{ $labels.a }}"}}`: "by (a)",
		`{alert: A, expr: sum by (a) (m), labels: {a: "{{ $labels.b }}"}}`: "whole",
		`{alert: A, expr: vector(1)}`:                                      "whole",
		`{alert: A, expr: 1 > bool 0}`:                                     "whole",
		`{record: "a:b", expr: m}`:                                         "whole",
	} {
		set := mustParse(t, "groups: [{name: g, rules: ["+src+"]}]")
		if got := set.Explain()[0].Partition.String(); got != want {
			t.Errorf("%s: %s, want %s", src, got, want)
		}
	}
}

func TestScope(t *testing.T) {
	by := Partition{Labels: []string{"service", "zone"}}
	without := Partition{Without: true, Labels: []string{"__name__", "le"}}
	for _, c := range []struct {
		p    Partition
		ls   []string
		want string
	}{
		{by, []string{"zone", "b", "service", "api", "x", "y"}, "service=api,zone=b"},
		{by, []string{"zone", "b"}, "service=,zone=b"},
		{by, nil, "service=,zone="},
		{by, []string{"service", `a,zone="b`}, `service="a,zone=\"b",zone=`},
		{without, []string{"__name__", "m", "le", "1", "b", "2", "a", "1"}, "a=1,b=2"},
		{without, []string{"__name__", "m"}, "{}"},
		{without, []string{"a", "{}"}, `a="{}"`},
		{Partition{}, []string{"a", "1"}, ""},
	} {
		if got := c.p.Scope(labels.FromStrings(c.ls...)); got != c.want {
			t.Errorf("%s of %v: %s, want %s", c.p, c.ls, got, c.want)
		}
	}
}

func TestExplain(t *testing.T) {
	set := mustParse(t, strings.TrimSpace(`
groups:
- name: g
  rules:
  - alert: Ratio
    expr: sum by (s) (rate(e[5m] offset 1m)) / sum by (s) (rate(r[10m])) > 0.1 and on (s) max_over_time(up{job=~"a"}[1h:1m]) > 0
  - {alert: Any, expr: '{__name__=~"a.*"} > 1'}
  - {record: 'a:b', expr: sum(x)}
  - {alert: Simple, expr: 'sum by (s) (rate(e[5m])) > 1'}
  - {alert: Fixed, expr: 'm @ 1609746000 > 1'}
- name: past
  query_offset: 1m
  rules: [{alert: Past, expr: m > 1}]`))
	if got := set.LookBack().String(); got != "1h5m0s" {
		t.Error(got)
	}
	x := set.Explain()
	if e := x[0]; e.File != "test.yaml" || e.Line != 4 || e.Column != 5 || e.Group != "g" || !e.Keyed || e.TicksOnly ||
		strings.Join(e.Metrics, " ") != "e r up" || e.LookBack.String() != "1h5m0s" || e.Partition.String() != "by (s)" {
		t.Errorf("%+v", e)
	}
	if e := x[1]; len(e.Metrics) != 1 || e.Metrics[0] != `{__name__=~"a.*"}` || !e.Keyed {
		t.Errorf("%+v", e)
	}
	if e := x[2]; e.Rule != nil || e.Record != "a:b" || e.Keyed || !e.TicksOnly {
		t.Errorf("%+v", e)
	}
	if e := x[5]; e.Keyed || !e.TicksOnly {
		t.Errorf("%+v", e)
	}
	for i, want := range []bool{false, false, true, true, false, true} {
		if x[i].Compiled != want {
			t.Errorf("%s: compiled %v", x[i].Expr, x[i].Compiled)
		}
	}
}
