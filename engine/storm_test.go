package engine_test

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/engine"
	"alertd/router"
)

// However many alerts a group has, what one step decides about telling them fits into a commit of the journal, all of
// them are told in the end, and all are closed.
func TestStormFitsTheJournal(t *testing.T) {
	t.Parallel()
	const n = 10_000
	w := newWorld(t, 1)
	posts := make([]alertd.Posted, n)
	for i := range posts {
		posts[i].Labels = labels.FromStrings("alertname", "Storm", "service", "api", "severity", "critical", "host", strconv.Itoa(i))
		posts[i].Annotations = labels.FromStrings("summary", "host "+strconv.Itoa(i)+" does not answer")
	}
	open := map[alertd.Fingerprint]bool{}
	told := 0
	pass := func(d time.Duration) {
		for end := w.now.Add(d); ; {
			due, ok := w.m.Next()
			if !ok || due.After(end) {
				w.now = end
				return
			}
			if due.After(w.now) {
				w.now = due
			}
			entries := w.m.Step(w.now, nil)
			b, err := json.Marshal(entries)
			if err != nil {
				t.Fatal(err)
			}
			if len(b) > 500<<10 && entries[0].Transition == nil && entries[0].Withheld == nil {
				t.Fatalf("one step decides %d bytes", len(b))
			}
			for _, e := range entries {
				if e.Flushed == nil || e.Flushed.Group != `{}/{severity="critical"}:{alertname="Storm", service="api"}` {
					continue
				}
				for _, fp := range e.Flushed.Told {
					open[fp] = true
					told++
				}
				for _, fp := range e.Flushed.Closed {
					delete(open, fp)
				}
			}
		}
	}
	w.m.Step(w.now, engine.AlertsPosted{Alerts: posts, ResolveTimeout: time.Hour})
	pass(30 * time.Minute)
	if told != n || len(open) != n {
		t.Errorf("%d told, %d open, want %d", told, len(open), n)
	}
	for i := range posts {
		posts[i].EndsAt = w.now
	}
	w.m.Step(w.now, engine.AlertsPosted{Alerts: posts, ResolveTimeout: time.Hour})
	pass(30 * time.Minute)
	if len(open) != 0 || w.m.Stats(w.now).Groups > 1 {
		t.Errorf("%d are open, %d groups are left", len(open), w.m.Stats(w.now).Groups)
	}
}

// TestStormOfAGroup counts: a group that grows speaks again and again, and what the journal gets of it grows with the alerts, not
// with all that the group has whenever it speaks.
func TestStormOfAGroup(t *testing.T) {
	const n = 1000
	root := router.Route{Receiver: "nobody", GroupInterval: time.Second, RepeatInterval: time.Hour}
	root.Identify()
	m := engine.New()
	m.Step(began, engine.PolicyChanged{Policy: &engine.Policy{
		Version: "1", Route: &root, Receivers: []engine.Receiver{{Name: "nobody"}}, Rules: map[string]bool{},
	}})
	now, entries := began, 0
	for i := range n {
		now = now.Add(2 * time.Second)
		a := alertd.Posted{Labels: labels.FromStrings("alertname", "Storm", "host", strconv.Itoa(i))}
		entries += len(m.Step(now, engine.AlertsPosted{Alerts: []alertd.Posted{a}, ResolveTimeout: time.Hour}))
		for due, ok := m.Next(); ok && !due.After(now); due, ok = m.Next() {
			entries += len(m.Step(now, nil))
		}
	}
	if entries > 8*n {
		t.Errorf("%d entries about %d alerts", entries, n)
	}
}
