package engine_test

import (
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/engine"
	"alertd/router"
)

// lane is a machine with one destination, which takes eight messages a minute, and what was let go to it.
type lane struct {
	t   *testing.T
	m   *engine.Machine
	now time.Time
	let []string // IDs, in the order in which they were let go
	ids map[string][]string
}

func newLane(t *testing.T) *lane {
	root := router.Route{Receiver: "ops", GroupBy: []string{"alertname"}, Deliver: alertd.Immediate}
	root.Identify()
	l := &lane{t: t, m: engine.New(), now: began, ids: map[string][]string{}}
	l.step(engine.PolicyChanged{Policy: &engine.Policy{
		Version: "1", Route: &root,
		Receivers: []engine.Receiver{{Name: "ops", Integrations: []engine.Integration{{Name: "slack/0", SendResolved: true, ShowsAcks: true, Limit: 8}}}},
	}})
	return l
}

func (l *lane) step(in engine.Input) {
	for _, e := range l.m.Step(l.now, in) {
		switch {
		case e.Planned != nil:
			name := e.Planned.Notification.Alerts[0].Name()
			l.ids[name] = append(l.ids[name], e.Planned.Notification.ID)
		case e.Admitted != nil:
			l.let = append(l.let, e.Admitted.Notifications...)
		}
	}
}

// pass lets time pass.
func (l *lane) pass(d time.Duration) {
	for end := l.now.Add(d); ; l.step(nil) {
		due, ok := l.m.Next()
		if !ok || due.After(end) {
			l.now = end
			return
		}
		if due.After(l.now) {
			l.now = due
		}
	}
}

// post lets alerts fire at once, each on a host of its own.
func (l *lane) post(severity, host string, names ...string) {
	var in engine.AlertsPosted
	in.ResolveTimeout = time.Hour
	for _, name := range names {
		in.Alerts = append(in.Alerts, alertd.Posted{Labels: labels.FromStrings("alertname", name, "host", host, "severity", severity)})
	}
	l.step(in)
	l.pass(0)
}

// What one group says while it waits for places leaves in the order in which it was said.
func TestAGroupWaitsInOrder(t *testing.T) {
	l := newLane(t)
	l.post("warning", "a", "A", "B", "C", "D") // half of the places
	l.post("warning", "a", "E")                // in the place of a summary
	for _, host := range []string{"a", "b", "c"} {
		l.post("warning", host, "Late")
		l.pass(time.Second)
	}
	said := l.ids["Late"]
	if len(said) != 3 || len(l.let) != 5 {
		t.Fatalf("%d were said and %d let go; want 3 that wait, and 5", len(said), len(l.let))
	}
	// A longer limit has them all leave by themselves: nothing is folded.
	root := router.Route{Receiver: "ops", GroupBy: []string{"alertname"}, Deliver: alertd.Immediate}
	root.Identify()
	l.step(engine.PolicyChanged{Policy: &engine.Policy{
		Version: "2", Route: &root,
		Receivers: []engine.Receiver{{Name: "ops", Integrations: []engine.Integration{{Name: "slack/0", SendResolved: true, Limit: 80}}}},
	}})
	l.pass(0)
	if got := l.let[5:]; !slices.Equal(got, said) {
		t.Fatalf("let go: %v\nsaid:   %v", got, said)
	}
	var left []string
	for range 10 {
		out, _ := l.m.Outgoing(l.now)
		for _, d := range out {
			if slices.Contains(said, d.Notification.ID) {
				left = append(left, d.Notification.ID)
			}
			l.step(engine.Answered{Attempt: alertd.Attempt{Notification: d.Notification.ID, N: d.N, Outcome: alertd.Delivered, Ref: "C1:1"}})
		}
	}
	if !slices.Equal(left, said) {
		t.Errorf("left: %v\nsaid: %v", left, said)
	}
}

// What waits is looked at again after the time between two summaries at the latest, whatever is known of when a place is
// free: the clock may be set back.
func TestWhatWaitsIsLookedAtAgain(t *testing.T) {
	l := newLane(t)
	l.post("warning", "a", "A", "B", "C", "D") // half of the places, until a minute from now
	l.pass(time.Second)
	in, err := l.m.PlanAck(l.now, alertd.AckRequest{Ack: alertd.Ack{By: "eva"}, Selection: alertd.Selection{Alert: "A"}})
	if err != nil {
		t.Fatal(err)
	}
	l.step(in)
	l.pass(0)
	if n := len(l.ids["A"]); n != 2 || len(l.let) != 4 {
		t.Fatalf("%d were said of A, %d let go; want 2, of which one waits", n, len(l.let))
	}
	if due, ok := l.m.Next(); !ok || due.After(l.now.Add(30*time.Second)) {
		t.Errorf("looked at again at %s, %v; summaries are half a minute apart", due, ok)
	}
	l.pass(time.Minute)
	if len(l.let) != 5 {
		t.Error("it waits for ever")
	}
}

// A storm of critical alerts leaves places for those that come right after it, and what they take is never more than the limit.
func TestAStormLeavesPlacesForTheNextPage(t *testing.T) {
	l := newLane(t)
	l.post("critical", "a", "A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L")
	if len(l.let) != 4 {
		t.Fatalf("%d of the storm left by themselves, want half of the places", len(l.let))
	}
	for i, name := range []string{"Next", "After"} {
		l.pass(time.Second)
		l.post("critical", "a", name)
		if len(l.let) != 5+i || l.let[4+i] != l.ids[name][0] {
			t.Errorf("the page of %s did not leave at once: %v, %v", name, l.let, l.ids[name])
		}
	}
	l.pass(time.Second)
	l.post("critical", "a", "Third")
	l.post("warning", "a", "Disk")
	if len(l.let) != 6 {
		t.Errorf("%d by themselves, and the summary: that is more than the limit leaves for them", len(l.let))
	}
	l.pass(30 * time.Second) // both in the next summary
	if len(l.let) != 6 || len(l.ids["Third"]) != 2 {
		t.Errorf("they are not in the next summary: %v, %v", l.let, l.ids)
	}
}
