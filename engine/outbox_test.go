package engine_test

import (
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

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

// An alert that begins and ends again and again within one instant, as where a backlog is read, says each under an ID of its
// own: under one, the receiver would take the second for the first come twice.
func TestEpisodesOfOneInstant(t *testing.T) {
	c := newComing(t)
	ids := map[string]bool{}
	for range 6 {
		c.fires = !c.fires
		p := alertd.Posted{Labels: labels.FromStrings("alertname", "Link"), StartsAt: c.now}
		if !c.fires {
			p.EndsAt = c.now
		}
		in := engine.Input(engine.AlertsPosted{Alerts: []alertd.Posted{p}, ResolveTimeout: time.Hour})
		for due, ok := c.now, true; ok && !due.After(c.now); due, ok = c.m.Next() {
			for _, e := range c.m.Step(c.now, in) {
				if e.Planned == nil {
					continue
				}
				if id := e.Planned.Notification.ID; ids[id] {
					t.Errorf("%s twice", id)
				} else {
					ids[id] = true
				}
			}
			in = nil
		}
	}
	if len(ids) < 3 {
		t.Fatalf("only %d were told", len(ids))
	}
}
