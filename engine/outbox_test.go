package engine_test

import (
	"testing"
	"time"

	"alertd"
	"alertd/engine"
)

// What a group says goes into the thread that it began, to its last word; the next episode begins a new one.
func TestAGroupKeepsItsThread(t *testing.T) {
	w := newWorld(t, 1)
	down := w.rules[0]
	say := func(bad bool) engine.Delivery {
		t.Helper()
		v := alertd.Verdict{Rule: down, Scope: "service=api", At: w.now}
		if bad {
			v.True = []alertd.Finding{finding(down, "api")}
		}
		w.step(engine.Judged{Verdict: v})
		w.pass(10 * time.Minute)
		out, _ := w.m.Outgoing(w.now)
		for _, d := range out {
			w.sending[d.Notification.ID] = d
		}
		for _, d := range w.sending {
			if d.Notification.Integration == "slack/0" {
				return d
			}
		}
		t.Fatal("nothing for Slack")
		return engine.Delivery{}
	}
	answer := func(ref string) {
		for id, d := range w.sending {
			w.step(engine.Answered{Attempt: alertd.Attempt{Notification: id, N: d.N, Outcome: alertd.Delivered, Ref: ref}})
		}
		clear(w.sending)
		clear(w.flight)
	}
	for _, tt := range []struct {
		bad       bool
		ref, then string
	}{
		{bad: true, ref: "", then: "C1:1"},
		{bad: false, ref: "C1:1", then: "C1:1"},
		{bad: true, ref: "", then: "C1:2"},
		{bad: false, ref: "C1:2", then: "C1:2"},
	} {
		if d := say(tt.bad); d.Notification.Ref != tt.ref {
			t.Errorf("firing=%v leaves with reference %q, want %q", tt.bad, d.Notification.Ref, tt.ref)
		}
		answer(tt.then)
	}
}
