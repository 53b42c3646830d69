package rules

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
	"pgregory.net/rapid"

	"alertd"
)

// A copy has every sample of the interval, and nothing that happens to the window afterwards reaches it.
func TestSelectCopies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set, err := Parse([]File{{Name: "r.yaml", Data: []byte("groups: [{name: g, rules: [{alert: A, expr: 'max_over_time(m[2h]) > 0'}]}]")}})
		if err != nil {
			t.Fatal(err)
		}
		start := time.UnixMilli(1_000_000_000_000).UTC()
		e := NewEvaluator(set, Options{}, start)
		ls := labels.FromStrings("__name__", "m", "a", "1")
		var want []promql.FPoint
		n := rapid.IntRange(1, 700).Draw(t, "samples")
		add := func(i int) {
			at := start.Add(time.Duration(i) * 5 * time.Second)
			e.Append(at, 0, []alertd.Sample{{Labels: ls, T: at.UnixMilli(), V: float64(i)}})
		}
		for i := range n {
			add(i)
			want = append(want, promql.FPoint{T: start.UnixMilli() + int64(i)*5000, F: float64(i)})
		}
		from := start.UnixMilli() + int64(rapid.IntRange(-10, 710).Draw(t, "from"))*5000
		to := from + int64(rapid.IntRange(0, 400).Draw(t, "width"))*5000
		want = slices.DeleteFunc(want, func(p promql.FPoint) bool { return p.T < from || p.T > to })
		ms := []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "__name__", "m")}
		list, _, err := e.Select(ms, from, to, 1e6)
		if err != nil {
			t.Fatal(err)
		}
		for i := n; i < n+300; i++ {
			add(i)
		}
		var got []promql.FPoint
		for _, s := range list {
			for it := s.Iterator(nil); it.Next() != chunkenc.ValNone; {
				at, v := it.At()
				if at >= from && at <= to {
					got = append(got, promql.FPoint{T: at, F: v})
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("from %d to %d: got %v, want %v", from, to, got, want)
		}
	})
}

// A field that is added to series has to be copied, or shared knowingly.
func TestSnapshotKnowsEveryField(t *testing.T) {
	copied := []string{"labels", "sealed", "head", "hists", "newest"}
	left := []string{
		"unnamed", "typed", "hash", "chain", "seen", "keep", "traces", "touches", "indexes", "dead", "outcome", "validFor", "follower", "marked", "pins", "retired",
	}
	for f := range reflect.TypeFor[series]().Fields() {
		if !slices.Contains(copied, f.Name) && !slices.Contains(left, f.Name) {
			t.Errorf("series.%s: say in snapshot what becomes of it, and name it here", f.Name)
		}
	}
}

func window4(t *testing.T) (*Evaluator, time.Time) {
	t.Helper()
	set, err := Parse([]File{{Name: "r.yaml", Data: []byte(`
groups:
  - name: g
    rules:
      - {alert: A, expr: 'm{code="500"} > 1'}
      - {alert: B, expr: 'm > 5'}
      - {alert: C, expr: '{job="x"} > 5'}
`)}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.UnixMilli(1_000_000_000_000).UTC()
	e := NewEvaluator(set, Options{}, now)
	var samples []alertd.Sample
	for i, ls := range []labels.Labels{
		labels.FromStrings("__name__", "m", "code", "500"), labels.FromStrings("__name__", "m", "code", "200", "job", "x"),
		labels.FromStrings("__name__", "other", "job", "x"), labels.FromStrings("__name__", "unread"),
	} {
		samples = append(samples, alertd.Sample{Labels: ls, T: now.UnixMilli(), V: float64(i)})
	}
	e.Append(now, 1, samples)
	return e, now
}

func TestSelect(t *testing.T) {
	e, now := window4(t)
	at := now.UnixMilli()
	for _, tc := range []struct {
		selector string
		want     string
	}{
		{`m`, `[{__name__="m", code="200", job="x"} {__name__="m", code="500"}]`},
		{`m{code="500"}`, `[{__name__="m", code="500"}]`},
		{`{job="x"}`, `[{__name__="m", code="200", job="x"} {__name__="other", job="x"}]`},
		{`{__name__=~".+"}`, `[{__name__="m", code="200", job="x"} {__name__="m", code="500"} {__name__="other", job="x"}]`},
		{`unread`, `[]`},
		{`other`, `[{__name__="other", job="x"}]`},
	} {
		ms, err := promqlParser.ParseMetricSelector(tc.selector)
		if err != nil {
			t.Fatal(err)
		}
		list, n, err := e.Select(ms, at-1000, at, 10)
		if err != nil {
			t.Fatal(err)
		}
		got := []labels.Labels{}
		for _, s := range list {
			got = append(got, s.Labels())
		}
		if fmt.Sprint(got) != tc.want || n != len(got) {
			t.Errorf("%s: %v, %d samples; want %s", tc.selector, got, n, tc.want)
		}
		names := e.LabelSets(ms, at-1000, at)
		slices.SortFunc(names, labels.Compare)
		if fmt.Sprint(names) != tc.want {
			t.Errorf("%s: label sets %v; want %s", tc.selector, names, tc.want)
		}
	}
	all := []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".+")}
	if _, _, err := e.Select(all, at-1000, at, 2); !errors.Is(err, ErrTooManySamples) {
		t.Errorf("three samples where two are allowed: %v", err)
	}
	if list, _, _ := e.Select(all, at+1, at+1000, 10); len(list) != 0 {
		t.Errorf("after the newest sample: %v", list)
	}
	if got := metrics(e); got != "m other unread" {
		t.Errorf("metrics: %s", got)
	}
	// Of what is said of a metric the last word counts; its series are no metrics of their own.
	e.Describe([]alertd.Metadata{{Metric: "unread", Type: "gauge"}, {Metric: "latency", Type: "histogram"}, {Metric: "unread", Type: "gauge", Help: "Nobody."}})
	e.Append(now, 2, []alertd.Sample{sample(t, "latency_bucket", now, 1), sample(t, "latency_sum", now, 1), sample(t, "other_count", now, 1)})
	if got := metrics(e); got != "latency:histogram: m other other_count unread:gauge:Nobody." {
		t.Errorf("metrics: %s", got)
	}
}

func metrics(e *Evaluator) string {
	var out []string
	for _, m := range e.Metrics() {
		if m.Type != "" {
			m.Metric += ":" + m.Type + ":" + m.Help
		}
		out = append(out, m.Metric)
	}
	return strings.Join(out, " ")
}

// Readers of a copy and the window do not get into each other's way; for the race detector.
func TestSelectBesideAppend(t *testing.T) {
	e, now := window4(t)
	all := []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "__name__", "m")}
	var wg sync.WaitGroup
	ls := labels.FromStrings("__name__", "m", "code", "500")
	for i := range 2000 {
		at := now.Add(time.Duration(i) * 100 * time.Millisecond)
		e.Append(at, 2, []alertd.Sample{{Labels: ls, T: at.UnixMilli(), V: 1}})
		if i%100 != 0 {
			continue
		}
		list, _, err := e.Select(all, now.UnixMilli(), at.UnixMilli(), 1e6)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for _, s := range list {
				for it := s.Iterator(nil); it.Next() != chunkenc.ValNone; {
					_, _ = it.At()
				}
			}
		})
	}
	wg.Wait()
}

func TestStatus(t *testing.T) {
	set, err := Parse([]File{{Name: "r.yaml", Data: []byte(`
groups:
  - name: g
    interval: 10s
    limit: 1
    labels: {team: web}
    rules:
      - {record: 'm:max', expr: max(m)}
      - alert: Bad
        expr: m > 0
        for: 1m
        labels: {severity: critical}
        annotations: {summary: '{{ $value }}'}
      - {alert: Event, on: event, type: deployment.*, match: 'env="prod"'}
`)}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.UnixMilli(1_000_000_000_000).UTC()
	clock := now
	e := NewEvaluator(set, Options{Now: func() time.Time { clock = clock.Add(time.Millisecond); return clock }}, now)
	e.Append(now, 1, []alertd.Sample{
		{Labels: labels.FromStrings("__name__", "m", "a", "1"), T: now.UnixMilli(), V: 1},
		{Labels: labels.FromStrings("__name__", "m", "a", "2"), T: now.UnixMilli(), V: 1},
	})
	if g := e.Status()[0]; !g.LastEvaluation.IsZero() || g.Rules[1].LastError != "" {
		t.Errorf("before the first tick: %+v", g)
	}
	e.Run(now.Add(10 * time.Second))
	g := e.Status()[0]
	if g.Name != "g" || g.File != "r.yaml" || g.Every != 10*time.Second || g.EvaluationTime != 5*time.Millisecond || g.LastEvaluation != now.Add(10*time.Second) {
		t.Errorf("group: %+v", g)
	}
	if r := g.Rules[0]; r.Name() != "m:max" || r.LastError != "" || r.EvaluationTime != time.Millisecond || r.Query != "max(m)" {
		t.Errorf("recording rule: %+v", r)
	}
	if r := g.Rules[1]; r.LastError == "" || r.LabelSet().String() != `{severity="critical", team="web"}` || r.AnnotationSet().Get("summary") != "{{ $value }}" {
		t.Errorf("two results where the limit is one: %+v", r)
	}
	if r := g.Rules[2]; r.Query != `event{env="prod",type=~"deployment[.].*"}` || !r.LastEvaluation.IsZero() {
		t.Errorf("occurrence rule: %q %v", r.Query, r.LastEvaluation)
	}
}

func TestDescribePositions(t *testing.T) {
	src := "groups:\n  - name: g\n    rules:\n      - alert: A\n        expr: |\n          a\n            > b\n        labels:\n          severity: page\n"
	set, err := Parse([]File{{Name: "r.yaml", Data: []byte(src)}})
	if err != nil {
		t.Fatal(err)
	}
	d := set.Groups()[0].Rules[0]
	var places []string
	places = append(places, fmt.Sprintf("rule %d:%d", d.Line, d.Column))
	for _, n := range promqlChildren(d) {
		line, column := d.At(n)
		places = append(places, fmt.Sprintf("%s %d:%d", n, line, column))
	}
	s, _ := d.Label("severity")
	places = append(places, fmt.Sprintf("%s %d:%d", s.Value, s.Line, s.Column))
	want := []string{"rule 4:9", "a 6:11", "b 7:15", "page 9:21"}
	if diff := cmp.Diff(want, places); diff != "" {
		t.Error(diff)
	}
}

func promqlChildren(d Definition) (out []parser.Node) {
	for c := range parser.ChildrenIter(d.Expr) {
		out = append(out, c)
	}
	return out
}

// asked is an evaluator as storage.
type asked struct {
	e        *Evaluator
	from, to int64
}

func (a asked) Querier(from, to int64) (storage.Querier, error) { return asked{a.e, from, to}, nil }
func (a asked) Close() error                                    { return nil }

func (a asked) Select(_ context.Context, _ bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	list, _, err := a.e.Select(ms, hints.Start, hints.End, 1e6)
	if err != nil {
		return storage.ErrSeriesSet(err)
	}
	return &copies{list: list, at: -1}
}

func (asked) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (asked) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

type copies struct {
	list []storage.Series
	at   int
}

func (c *copies) Next() bool                        { c.at++; return c.at < len(c.list) }
func (c *copies) At() storage.Series                { return c.list[c.at] }
func (c *copies) Err() error                        { return nil }
func (c *copies) Warnings() annotations.Annotations { return nil }

// A query sees what the rules see: samples that are believed for longer than Prometheus would, and no longer.
func TestSelectBelieves(t *testing.T) {
	set, err := Parse([]File{{Name: "r.yaml", Data: []byte(`
groups:
  - {name: usual, rules: [{alert: A, expr: m > 1}, {alert: H, expr: health > 1}]}
  - {name: sparse, lookback: 1h, rules: [{alert: B, expr: sparse > 1}]}
`)}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.UnixMilli(1_000_000_000_000).UTC()
	e := NewEvaluator(set, Options{}, now)
	e.Append(now, 1, []alertd.Sample{
		{Labels: labels.FromStrings("__name__", "m"), T: now.UnixMilli(), V: 2},
		{Labels: labels.FromStrings("__name__", "health"), T: now.UnixMilli(), V: 2, ValidFor: 15 * time.Minute},
		{Labels: labels.FromStrings("__name__", "sparse"), T: now.UnixMilli(), V: 2},
	})
	if e.Lookback() != time.Hour {
		t.Fatalf("look-back %s", e.Lookback())
	}
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, LookbackDelta: e.Lookback(), Parser: parser.NewParser(parser.Options{})})
	for after, want := range map[time.Duration]string{
		0: "health m sparse", 5*time.Minute - 1*time.Millisecond: "health m sparse", 5 * time.Minute: "health sparse",
		15*time.Minute - time.Millisecond: "health sparse", 15 * time.Minute: "sparse", time.Hour - time.Millisecond: "sparse", time.Hour: "",
	} {
		q, err := engine.NewInstantQuery(t.Context(), asked{e: e}, nil, `{__name__=~"m|health|sparse"}`, now.Add(after))
		if err != nil {
			t.Fatal(err)
		}
		v, err := q.Exec(t.Context()).Vector()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range v {
			got = append(got, s.Metric.Get("__name__"))
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("after %s: %v; want %s", after, got, want)
		}
		q.Close()
	}
}
