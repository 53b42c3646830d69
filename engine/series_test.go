package engine_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"pgregory.net/rapid"

	"alertd"
	"alertd/engine"
	"alertd/router"
)

// watcher is a machine that follows one rule, and what was said of its alerts, as whoever queries it would see it.
type watcher struct {
	machine *engine.Machine
	series  engine.Series
	rule    *alertd.Rule
	newest  map[string]int64 // by series
	present map[string]bool
}

func newWatcher() *watcher {
	root := router.Route{Receiver: "none", GroupWait: time.Second, GroupInterval: time.Minute, RepeatInterval: time.Hour}
	root.Identify()
	w := &watcher{
		machine: engine.New(), rule: &alertd.Rule{ID: "g/Many", Name: "Many", For: 30 * time.Second},
		newest: map[string]int64{}, present: map[string]bool{},
	}
	w.machine.Step(began, engine.PolicyChanged{Policy: &engine.Policy{
		Version: "1", Route: &root, Receivers: []engine.Receiver{{Name: "none"}}, Rules: map[string]bool{w.rule.ID: true},
	}})
	return w
}

var began = time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)

// judge lets the machine follow a verdict about a scope (or all, if it is ""), of which some instances are wrong, and returns
// the samples that follow.
func (w *watcher) judge(t require, at time.Time, scope string, wrong ...int) []alertd.Sample {
	t.Helper()
	v := alertd.Verdict{Rule: w.rule, Scope: scope, At: at}
	for _, i := range wrong {
		v.True = append(v.True, alertd.Finding{Labels: instance(i), Scope: scopeOf(i)})
	}
	w.machine.Step(at, engine.Judged{Verdict: v})
	out := w.series.Of(w.machine, w.rule.ID, scope, at)
	for i, s := range out {
		if i > 0 && labels.Compare(out[i-1].Labels, s.Labels) >= 0 {
			t.Fatalf("not in order: %v before %v", out[i-1].Labels, s.Labels)
		}
		name := s.Labels.String()
		if last, ok := w.newest[name]; ok && s.T <= last {
			t.Fatalf("%s has two values at %d", name, s.T)
		}
		w.newest[name] = s.T
		w.present[name] = math.Float64bits(s.V) != value.StaleNaN
	}
	return out
}

// require is what *testing.T and *rapid.T have in common.
type require interface {
	Helper()
	Fatalf(format string, args ...any)
}

func scopeOf(i int) string { return fmt.Sprintf("s%d", i/2) }

func instance(i int) alertd.Labels {
	return labels.FromStrings("alertname", "Many", "service", scopeOf(i), "instance", fmt.Sprint(i))
}

// TestSeriesOfAScope counts: what is said after an alert of one scope changes does not depend on how many others fire.
func TestSeriesOfAScope(t *testing.T) {
	w := newWatcher()
	at := began
	for i := range 2000 {
		at = at.Add(time.Millisecond)
		if out := w.judge(t, at, scopeOf(2*i), 2*i); len(out) != 2 {
			t.Fatalf("%d samples about one alert, with %d others", len(out), i)
		}
	}
	if out := w.judge(t, at.Add(time.Millisecond), scopeOf(2)); len(out) != 2 {
		t.Fatalf("%d samples about one that is no more", len(out))
	}
}

// TestSeriesSayWhatIs: whatever verdicts come, on single scopes and on all, a query sees an ALERTS series for exactly the alerts
// that are pending or fire once all were looked at, each in its state.
func TestSeriesSayWhatIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWatcher()
		at := began
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			at = at.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "seconds")) * time.Second)
			scope := rapid.SampledFrom([]string{"", scopeOf(0), scopeOf(2), scopeOf(4)}).Draw(t, "scope")
			var wrong []int
			for i := range 6 {
				if (scope == "" || scope == scopeOf(i)) && rapid.Bool().Draw(t, "wrong") {
					wrong = append(wrong, i)
				}
			}
			w.judge(t, at, scope, wrong...)
		}
		var want, got []string
		for _, a := range w.machine.Alerts(at) {
			if a.State == alertd.Pending || a.State.Active() {
				b := labels.NewBuilder(a.Labels).Set("__name__", "ALERTS_FOR_STATE")
				want = append(want, b.Labels().String())
				want = append(want, b.Set("__name__", "ALERTS").Set("alertstate", string(a.State)).Labels().String())
			}
		}
		for name, is := range w.present {
			if is {
				got = append(got, name)
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("said  %v\nfires %v", got, want)
		}
	})
}
