package rules

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"pgregory.net/rapid"

	"alertd"
)

// TestQueriesLookAtTheirOwn counts the series that the query in a template has to look at: they do not become more with
// what fires besides it, and not with the window.
func TestQueriesLookAtTheirOwn(t *testing.T) {
	set := mustParse(t, alerts("down == 1")+`    annotations: {summary: '{{ with query (printf "others{service=%q}" $labels.service) }}{{ . | first | value }}{{ end }}'}`+"\n")
	lookedAt := func(services int) (perEvent float64) {
		e, now := NewEvaluator(set, Options{}, t0), t0.Add(time.Second)
		var all []alertd.Sample
		for i := range services {
			all = append(all, sample(t, fmt.Sprintf(`others{service="s%d"}`, i), now, float64(i)), sample(t, fmt.Sprintf(`down{service="s%d"}`, i), now, 1))
		}
		e.Append(now, 1, all)
		found := e.CatchUp(now)
		for i, v := range found {
			if got := v.True[0].Annotations.Labels().Get("summary"); "service=s"+got != v.Scope {
				t.Fatalf("finding %d of %d, %s: others are %q", i, services, v.Scope, got)
			}
		}
		if len(found) != services {
			t.Fatalf("%d of %d services are down", len(found), services)
		}
		return float64(e.window.looked) / float64(services)
	}
	few, many := lookedAt(2*worthHaving), lookedAt(100*worthHaving)
	if many > 2*few {
		t.Errorf("%.1f series for a query among %d services, %.1f among %d", few, 2*worthHaving, many, 100*worthHaving)
	}
}

// TestFamilies: whatever was added, forgotten and asked before, the window finds what a look at every series finds.
func TestFamilies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWindow()
		var all []*series
		pick := func(of ...string) string { return rapid.SampledFrom(of).Draw(t, "pick") }
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0, 1:
				for range rapid.IntRange(1, 2*worthHaving).Draw(t, "more") {
					ls := labels.FromStrings("__name__", pick("a", "b"), "x", pick("", "1", "2", "3"), "y", fmt.Sprint(rapid.IntRange(0, 99).Draw(t, "y")))
					if hash := ls.Hash(); w.find(ls, hash) == nil {
						s := newSeries(ls, hash)
						w.add(s)
						all = append(all, s)
					}
				}
			case 2:
				gone := pick("1", "2", "3")
				old := func(s *series) bool { return s.labels.Get("x") == gone }
				w.sweep(old)
				all = slices.DeleteFunc(all, old)
			default:
				ms, err := promqlParser.ParseMetricSelector(pick(`a`, `a{x="1"}`, `b{x=""}`, `a{x="2",y="7"}`, `b{x=~"1|2",y="5"}`, `{x="1"}`, `a{x!="1"}`, `c`, `b{z=""}`))
				if err != nil {
					t.Fatal(err)
				}
				var want []string
				for _, s := range all {
					if matches(ms, s.labels) {
						want = append(want, s.labels.String())
					}
				}
				var got []string
				for found := (view{window: w}).Select(t.Context(), true, nil, ms...); found.Next(); {
					got = append(got, found.At().Labels().String())
				}
				if slices.Sort(want); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
					t.Fatalf("%v:\ngot  %v\nwant %v", ms, got, want)
				}
			}
		}
		if n := len(w.families); n > 2 {
			t.Fatalf("%d families of two metrics", n)
		}
		w.sweep(func(*series) bool { return true })
		if len(w.families) > 0 || w.count > 0 {
			t.Fatalf("%d families are left of nothing", len(w.families))
		}
	})
}

// TestWordingsAreFoundAtOnce: among thousands of findings of a whole rule, a few are looked at for the texts of one.
func TestWordingsAreFoundAtOnce(t *testing.T) {
	for _, n := range []int{1, short, short + 1, 5000} {
		var vector promql.Vector
		var findings []alertd.Finding
		for i := range n {
			text := labels.FromStrings("summary", fmt.Sprint(i))
			vector = append(vector, promql.Sample{Metric: labels.FromStrings("x", fmt.Sprint(i)), F: float64(i)})
			findings = append(findings, alertd.Finding{Annotations: alertd.Texts(text)})
		}
		var w *wordings
		w = w.next(vector[:1], findings[:1]).next(vector, findings)
		for i, el := range vector {
			if looked := len(w.candidates(el.Metric)); looked > short {
				t.Fatalf("%d of %d wordings are looked at", looked, n)
			}
			if text := w.of(el.Metric, el.F); text.Labels().Get("summary") != fmt.Sprint(i) {
				t.Fatalf("of %d: %d has the texts %v", n, i, text.Labels())
			}
			if w.of(el.Metric, el.F+1) != nil {
				t.Fatal("another value has the same texts")
			}
		}
		if w.of(labels.FromStrings("x", "none"), 1) != nil {
			t.Fatal("others have texts")
		}
	}
}
