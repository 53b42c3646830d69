package rules

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// The traces that a window keeps can be asked for: by any of several selectors, each series once, from one instant to another.
func TestExemplars(t *testing.T) {
	set, err := Parse([]File{{Name: "r.yaml", Data: []byte("groups: [{name: g, rules: [{alert: A, expr: 'm > 5'}, {alert: B, expr: 'rate(n[5m]) > 5'}]}]")}})
	if err != nil {
		t.Fatal(err)
	}
	start := time.UnixMilli(1_000_000_000_000).UTC()
	e := NewEvaluator(set, Options{}, start)
	trace := func(id string, measured float64) alertd.TraceRef {
		return alertd.TraceRef{TraceID: id, Value: alertd.Value(measured)}
	}
	one, two := labels.FromStrings("__name__", "m", "x", "1"), labels.FromStrings("__name__", "n", "x", "2")
	e.Append(start, 0, []alertd.Sample{
		{Labels: two, T: start.UnixMilli() + 2000, V: 7, Trace: trace("c", 0.25)},
		{Labels: one, T: start.UnixMilli() + 1000, V: 2, Trace: trace("b", 0)},
		{Labels: one, T: start.UnixMilli(), V: 1, Trace: trace("a", 0)},
		{Labels: one, T: start.UnixMilli() + 3000, V: 3},
		{Labels: labels.FromStrings("__name__", "unread"), T: start.UnixMilli(), V: 1, Trace: trace("d", 0)},
	})
	matcher := func(name, value string) []*labels.Matcher {
		return []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, name, value)}
	}
	got := e.Exemplars([][]*labels.Matcher{matcher("__name__", "m|unread"), matcher("x", ".+")}, start.UnixMilli(), start.UnixMilli()+2000)
	want := []SeriesExemplars{
		{one, []Exemplar{{start.UnixMilli(), 1, trace("a", 0)}, {start.UnixMilli() + 1000, 2, trace("b", 0)}}},
		{two, []Exemplar{{start.UnixMilli() + 2000, 0.25, trace("c", 0.25)}}},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(labels.Equal)); diff != "" {
		t.Error(diff)
	}
	if got := e.Exemplars([][]*labels.Matcher{matcher("x", "1")}, start.UnixMilli()+1, start.UnixMilli()+999); len(got) != 0 {
		t.Errorf("between two of them: %v", got)
	}
}
