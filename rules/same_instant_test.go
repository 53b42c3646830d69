package rules

import (
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"pgregory.net/rapid"

	"alertd"
)

// TestLaterInTheStreamCounts: of two samples for one millisecond, that of the later message is what rules see, and they are
// asked again. What is delivered again changes nothing, and neither does what alertd says itself.
func TestLaterInTheStreamCounts(t *testing.T) {
	e := NewEvaluator(mustParse(t, alerts("m > 0")), Options{}, t0)
	now := t0
	for _, c := range []struct {
		seq    uint64
		v      float64
		firing bool
		what   string
	}{
		{1, 1, true, "the first"},
		{2, 0, false, "a later message"},
		{1, 1, false, "the first, delivered again"},
		{2, 0, false, "the second, delivered again"},
		{0, 1, false, "a sample of our own"},
		{3, 1, true, "another later message"},
		{4, 1, true, "the same value again"},
	} {
		now = now.Add(time.Second)
		e.Append(now, c.seq, []alertd.Sample{sample(t, "m", t0, c.v)})
		verdicts := e.CatchUp(now)
		if c.seq != 0 && c.firing && (len(verdicts) != 1 || len(verdicts[0].True) != 1) {
			t.Errorf("%s: %v", c.what, verdicts)
		}
		for _, v := range verdicts {
			if len(v.True) > 0 != c.firing || !v.At.Equal(t0) {
				t.Errorf("%s: %v", c.what, v)
			}
		}
		if c.seq == 2 && c.what == "a later message" && len(verdicts) != 1 {
			t.Error("the 0 after the 1 is told to nobody")
		}
	}
	if st := e.Stats(); st.Samples != 1 || st.Duplicates != 4 {
		t.Errorf("%d samples, %d duplicates", st.Samples, st.Duplicates)
	}
	again := NewEvaluator(mustParse(t, alerts("m > 0")), Options{}, t0)
	again.Warm([]alertd.Sample{sample(t, "m", t0, 1), sample(t, "m", t0, 0)})
	if p, _ := again.window.find(metric(t, "m"), metric(t, "m").Hash()).at(t0.UnixMilli()); p.F != 0 {
		t.Errorf("after a restart it is %v", p.F)
	}
}

// TestReplace: wherever a sample stands, another value takes its place and nothing else changes.
func TestReplace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSeries(metricLabels, 1)
		var want []promql.FPoint
		for at := range int64(rapid.IntRange(1, 3*sealAfter).Draw(t, "samples")) {
			s.append(10*at, float64(at), nil, 0)
			want = append(want, promql.FPoint{T: 10 * at, F: float64(at)})
		}
		for range 10 {
			i := rapid.IntRange(0, len(want)-1).Draw(t, "which")
			v := float64(rapid.IntRange(0, 700).Draw(t, "value"))
			if got := s.replace(want[i].T, v, nil); got != (want[i].F != v) {
				t.Fatalf("%v becomes %v: replaced %v", want[i], v, got)
			}
			want[i].F = v
			if s.replace(want[i].T+5, v, nil) {
				t.Fatal("a sample was replaced that is not there")
			}
		}
		if got := s.span(nil, -1, s.newest); !slices.Equal(got, want) {
			t.Fatalf("got  %v\nwant %v", got, want)
		}
	})
}
