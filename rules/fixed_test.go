package rules

import (
	"fmt"
	"testing"
	"time"

	"alertd"
)

// atTime writes an instant as it stands behind @.
func atTime(at time.Time) string { return fmt.Sprintf("@ %.3f", float64(at.UnixMilli())/1000) }

// TestFixedTimeOutlivesTheWindow: what a fixed time needs is kept while everything else goes, and the answer stays what
// it was, late samples and a sweep included.
func TestFixedTimeOutlivesTheWindow(t *testing.T) {
	for _, c := range []struct{ expr, want string }{
		{"a > 2 * a " + atTime(t0.Add(10*time.Minute)), `{alertname="Aa", x="1"} [x=1] 1200`},
		{"avg_over_time(a[5m] " + atTime(t0.Add(10*time.Minute)) + ")", `{alertname="Aa", x="1"} [x=1] 7.75`},
		{"a " + atTime(t0.Add(10*time.Minute)) + " offset 90s", `{alertname="Aa", x="1"} [x=1] 8.5`},
		{"max_over_time(a[10m:30s] " + atTime(t0.Add(-time.Hour)) + ")", ``},
		{"sum(last " + atTime(t0) + ")", `{alertname="Aa"} [] 5`},
	} {
		e := NewEvaluator(mustParse(t, alerts(c.expr)), Options{}, t0)
		e.Append(t0, 1, []alertd.Sample{sample(t, "last", t0, 5)})
		var last alertd.Verdict
		for i := 0; i <= 2400; i++ { // 20 hours
			now := t0.Add(time.Duration(i) * 30 * time.Second)
			if i != 19 {
				e.Append(now, uint64(i+2), []alertd.Sample{sample(t, `a{x="1"}`, now, float64(i)/2)})
			}
			if i == 1000 { // it comes eight hours late, and belongs to what is kept
				e.Append(now, uint64(i+2), []alertd.Sample{sample(t, `a{x="1"}`, t0.Add(19*30*time.Second), 9.5)})
			}
			for _, v := range e.Run(now) {
				last = v
			}
		}
		if got := got(last, true); got != c.want {
			t.Errorf("%s: %q, want %q", c.expr, got, c.want)
		}
		if st := e.Stats(); st.Samples > sealAfter+sealSize+40 {
			t.Errorf("%s keeps %d samples: more than the window and what the fixed time needs", c.expr, st.Samples)
		}
	}
}

// TestFixedTimeSaysWhatItNeeds: ranges, offsets and subqueries decide what has to be read after a restart; the innermost
// @ wins.
func TestFixedTimeSaysWhatItNeeds(t *testing.T) {
	at := atTime(t0)
	for _, c := range []struct {
		expr string
		from time.Duration // before t0
		to   time.Duration
	}{
		{"a > a " + at, 5 * time.Minute, 0},
		{"a > a " + at + " offset 1h", 65 * time.Minute, 60 * time.Minute},
		{"rate(a[10m] " + at + " offset -1m)", 9 * time.Minute, -time.Minute},
		{"max_over_time(rate(a[5m] offset 1m)[30m:1m] " + at + " offset 2m)", 38 * time.Minute, 3 * time.Minute},
		{"max_over_time((a " + at + ")[30m:1m] offset 2m)", 5 * time.Minute, 0},
		{"max_over_time(max_over_time(a[30m:1m] " + at + ")[2h:1m] @ 5)", 35 * time.Minute, 0},
	} {
		set := mustParse(t, alerts(c.expr))
		fixed := set.Fixed()
		if len(fixed) != 1 || t0.Sub(fixed[0].From) != c.from || t0.Sub(fixed[0].To) != c.to {
			t.Errorf("%s reads %+v, want from %s to %s before", c.expr, fixed, c.from, c.to)
			continue
		}
		now := t0.Add(24 * time.Hour)
		if from := set.ReadFrom(now, t0.Add(-2*time.Hour)); !from.Equal(fixed[0].From) {
			t.Errorf("%s reads from %s", c.expr, from)
		}
		if from, gone := set.ReadFrom(now, now.Add(-time.Hour)), now.Add(-set.LookBack()); !from.Equal(gone) {
			t.Errorf("%s reads from %s, for what is gone", c.expr, from)
		}
	}
	for _, moves := range []string{"max_over_time(max_over_time(a[30m:1m] @ end())[2h:1m] @ 5)", "max_over_time((a @ start())[1h:1m] @ 5)"} {
		if fixed := mustParse(t, alerts(moves)).Fixed(); len(fixed) != 0 {
			t.Errorf("%s moves with the evaluation, not %+v", moves, fixed)
		}
	}
}

// TestFixedTimeWakesNobody: a metric that is only read at a fixed time is not waited for, and its later samples cost
// nothing; a late one counts at once.
func TestFixedTimeWakesNobody(t *testing.T) {
	e := NewEvaluator(mustParse(t, alerts("a > b "+atTime(t0))), Options{}, t0)
	e.Append(t0, 1, []alertd.Sample{sample(t, "b", t0.Add(-time.Minute), 1)})
	e.CatchUp(t0)
	now := t0.Add(30 * time.Second)
	e.Append(now, 2, []alertd.Sample{sample(t, "a", now, 2)})
	if v := e.CatchUp(now); len(v) != 1 || len(v[0].True) != 1 {
		t.Fatalf("a alone: %v", v)
	}
	now = now.Add(time.Second)
	e.Append(now, 3, []alertd.Sample{sample(t, "b", now, 5)})
	if v := e.CatchUp(now); len(v) != 0 || e.Evaluated() != 3 {
		t.Fatalf("b after the fixed time: %v", v)
	}
	e.Append(now, 4, []alertd.Sample{sample(t, "b", t0, 3)})
	if v := e.CatchUp(now); len(v) != 1 || len(v[0].True) != 0 {
		t.Fatalf("b at the fixed time, late: %v", v)
	}
}
