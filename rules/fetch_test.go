package rules

import (
	"fmt"
	"testing"
	"time"

	"alertd"
)

// TestManySeries: with so many series that memory is fetched ahead, and in messages larger than a batch, every key gets its
// own answer, when samples come and at the tick.
func TestManySeries(t *testing.T) {
	e := NewEvaluator(mustParse(t, alerts("sum by (s) (m) / sum by (s) (n) > 0.5")), Options{}, t0)
	const services = manySeries
	var all []alertd.Sample
	for i := range services {
		ls := metric(t, fmt.Sprintf(`m{s="s%d"}`, i))
		all = append(all, alertd.Sample{Labels: ls}, sample(t, fmt.Sprintf(`n{s="s%d"}`, i), t0, 2))
	}
	wrong := func(i, round int) bool { return i%7 == round }
	var now time.Time
	for round := range 3 {
		now = t0.Add(time.Duration(round+1) * time.Second)
		for i := range all {
			all[i].T = now.UnixMilli()
			if i%2 == 0 {
				all[i].V = 1
				if wrong(i/2, round) {
					all[i].V = 1.5
				}
			}
		}
		e.Append(now, uint64(round+1), all)
		said := 0
		for _, v := range e.CatchUp(now) {
			var i int
			if _, err := fmt.Sscanf(v.Scope, "s=s%d", &i); err != nil {
				t.Fatal(err)
			}
			if got := len(v.True) == 1; got != wrong(i, round) {
				t.Fatalf("round %d: %s is %v", round, v.Scope, v.True)
			}
			said += len(v.True)
		}
		if want := (services + 6 - round) / 7; said != want {
			t.Fatalf("round %d: %d alerts, want %d", round, said, want)
		}
	}
	next, _ := e.Next()
	var ticked []alertd.Finding
	e.Tick(next, func(v alertd.Verdict) []alertd.Sample {
		ticked = append(ticked, v.True...)
		return nil
	})
	if want := (services + 6 - 2) / 7; len(ticked) != want {
		t.Fatalf("the tick finds %d alerts, want %d", len(ticked), want)
	}
	if st := e.Stats(); st.Cheap != st.Keyed+st.Whole {
		t.Errorf("the engine was asked: %+v", st)
	}
}
