package rules

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// Over a group's limit a rule fails as one, whichever key is evaluated: none fires because of it, none that fires ends,
// and a recording rule writes nothing.
func TestLimit(t *testing.T) {
	e := NewEvaluator(mustParse(t, `
groups:
- name: g
  interval: 1m
  limit: 2
  rules:
  - {alert: Full, expr: disk > 0.8}
  - {record: disks, expr: disk}
  - {alert: Read, expr: disks > 1e9}
`), Options{Settle: time.Nanosecond}, t0)
	now := t0
	say := func(host string, v float64) []alertd.Verdict {
		now = now.Add(time.Second)
		e.Append(now, 1, []alertd.Sample{{Labels: labels.FromStrings("__name__", "disk", "host", host), T: now.UnixMilli(), V: v}})
		return e.CatchUp(now.Add(time.Millisecond))
	}
	for _, host := range []string{"a", "b"} {
		if got := say(host, 0.9); len(got) != 1 || len(got[0].True) != 1 || got[0].Err != "" {
			t.Fatalf("%s within the limit: %+v", host, got)
		}
	}
	say("d", 0.9)
	for host, v := range map[string]float64{"c": 0.9, "a": 0.9} {
		if got := say(host, v); len(got) != 1 || len(got[0].True) != 0 || !strings.Contains(got[0].Err, "the group allows 2") {
			t.Fatalf("%s over the limit: %+v", host, got)
		}
	}
	now = now.Add(time.Minute)
	for _, v := range e.Run(now) {
		if v.Rule.Name == "Full" != strings.Contains(v.Err, "4 results where the group allows 2") {
			t.Errorf("at the tick: %+v", v)
		}
	}
	if sets := e.LabelSets([]*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "__name__", "disks")}, 0, now.UnixMilli()); len(sets) > 0 {
		t.Errorf("recorded over the limit: %s", sets)
	}
	say("c", 0.1)
	if got := say("d", 0.1); len(got) != 1 || got[0].Err != "" || len(got[0].True) != 0 {
		t.Errorf("within the limit again: %+v", got)
	}
}
