package rules

import (
	"strings"
	"testing"
	"time"

	"alertd"
)

func TestSettingsAsFieldsAndAsComments(t *testing.T) {
	for name, src := range map[string]string{
		"fields": `
lookbacks: {health_: 15m, health_check_: 20m}
groups:
- name: g
  interval: 15s
  no_data: keep
  lookback: 1h
  lateness: 1m
  rules:
  - alert: A
    missing_after: 4
    on_error: alert
    expr: m > 90
    recover_expr: m < 80
  - alert: B
    no_data: resolve
    expr: health_status == 1 and health_check_status == 1
`,
		"comments": `
# alertd: lookbacks: {health_: 15m, health_check_: 20m}
groups:
# About the group.
# alertd: no_data: keep
# alertd: lookback: 1h

# alertd: lateness: 1m
- name: g
  interval: 15s
  rules:
  # alertd: missing_after: 4
  # alertd: on_error: alert
  # alertd: recover_expr: m < 80
  -
    alert: A
    expr: m > 90
  # alertd: no_data: resolve
  - alert: B
    expr: |
      health_status == 1
      # alertd: not a setting, but text of PromQL
      and health_check_status == 1
`,
	} {
		t.Run(name, func(t *testing.T) {
			set := mustParse(t, src)
			a, b := set.all()[0], set.all()[1]
			if a.meta.NoData != alertd.Keep || a.meta.OnError != alertd.Alarm || a.meta.MissingFor != time.Minute || !a.meta.Recovers {
				t.Errorf("A: %+v", a.meta)
			}
			if b.meta.NoData != alertd.Resolve || b.meta.OnError != "" || b.meta.MissingFor != 0 || b.meta.Recovers {
				t.Errorf("B: %+v", b.meta)
			}
			if a.recoverText != "m < 80" || len(a.selectors) != 2 || len(a.metrics) != 1 || a.partition.IsWhole() {
				t.Errorf("A recovers by %q, reads %v", a.recoverText, a.metrics)
			}
			if a.selectors[0].delta != time.Hour || b.selectors[0].delta != 15*time.Minute || b.selectors[1].delta != 20*time.Minute {
				t.Errorf("look-backs %v %v %v", a.selectors[0].delta, b.selectors[0].delta, b.selectors[1].delta)
			}
			if a.group.lateness != time.Minute {
				t.Errorf("lateness %v", a.group.lateness)
			}
		})
	}
}

func TestMistakesInSettings(t *testing.T) {
	for src, want := range map[string]string{
		"groups:\n- name: g\n  rules:\n  # alertd: no_dta: keep\n  - {alert: A, expr: m}":                 `test.yaml:4:13: unknown setting "no_dta" above a rule: did you mean "no_data"?`,
		"groups:\n- name: g\n  rules:\n  # alertd: no_data: hold\n  - {alert: A, expr: m}":                `test.yaml:4:22: "no_data" is not known: "hold": write one of resolve, keep, alert`,
		"groups:\n- name: g\n  rules:\n  # alertd: keep\n  - {alert: A, expr: m}":                         `test.yaml:4:13: "keep" is no setting`,
		"groups:\n- name: g\n  # alertd: no_data: keep\n  rules:\n  - {alert: A, expr: m}":                `test.yaml:3:13: setting "no_data" stands above nothing`,
		"groups:\n- name: g\n  rules:\n  # alertd: no_data: keep\n  - {alert: A, expr: m, no_data: keep}": `"no_data" is there twice for a rule`,
		"groups:\n- name: g\n  rules:\n  # alertd: recover_expr: m <\n  - {alert: A, expr: m}":            `test.yaml:4:30: recover_expr: unexpected end`,
		"groups:\n- name: g\n  rules:\n  # alertd: lateness: 1m\n  - {alert: A, expr: m}":                 `unknown setting "lateness" above a rule`,
		"groups:\n- name: g\n  rules:\n  # alertd: no_data: keep\n  - {record: a:b, expr: m}":             `a recording rule has "no_data"`,
		"groups:\n- {name: g, interval: 1s, lateness: 1h}":                                                `lateness is more than 100 intervals`,
		"lookbacks: {a: 0s}\ngroups: []":                                                                  `look-back of "a" is not longer than nothing`,
	} {
		_, err := Parse([]File{{"test.yaml", []byte(src)}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", src, err, want)
		}
	}
}
