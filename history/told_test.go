package history

import (
	"testing"
	"time"

	"alertd"
)

// What a silence would have hidden: notifications of which nothing is left, and those that would have been shorter. What
// told of an end alone is none of them.
func TestHidden(t *testing.T) {
	s := fresh(t)
	at := func(minutes int) time.Time { return epoch.Add(time.Duration(minutes) * time.Minute) }
	down := alert("Down", "api", "critical", alertd.Firing, epoch)
	slow := alert("Slow", "web", "warning", alertd.Firing, epoch)
	over := down
	over.State = alertd.Resolved
	var where string
	note := func(id string, minutes int, alerts ...alertd.Alert) alertd.Entry {
		n := alertd.Notification{ID: id, Receiver: "ops", Integration: "slack/0" + where, PlannedAt: at(minutes)}
		for _, a := range alerts {
			n.Alerts = append(n.Alerts, alertd.Notified{Alert: a})
		}
		return alertd.Entry{Time: at(minutes), Planned: &alertd.Planned{Notification: n}}
	}
	apply(t, s, record(1,
		turned(down, alertd.Pending, alertd.ReasonHeldFor, at(0)), turned(slow, alertd.Pending, alertd.ReasonHeldFor, at(0)),
		note("old", -60, down), note("whole", 1, down), note("some", 2, down, slow), note("other", 3, slow), note("end", 4, over), note("late", 50, down),
	))
	past, err := s.Hidden(t.Context(), epoch, 10, func(at time.Time, ls alertd.Labels) bool {
		return ls.Get("instance") == "10.0.0.7:8080" && ls.Get("service") == "api" && at.Before(epoch.Add(40*time.Minute))
	})
	if err != nil || past.Whole != 1 || past.Thin != 1 || past.Alerts != 1 || len(past.Pages) != 2 {
		t.Fatal(past, err)
	}
	if p := past.Pages[0]; !p.Time.Equal(at(2)) || p.Whole || p.Of != 2 || len(p.Hides) != 1 || p.Hides[0].Alert != "Down" {
		t.Errorf("the newest: %+v", p)
	}
	if p := past.Pages[1]; !p.Time.Equal(at(1)) || !p.Whole || p.Of != 1 || p.Receiver != "ops" || p.Hides[0].Fingerprint != down.Fingerprint {
		t.Errorf("the one of which nothing is left: %+v", p)
	}
	past, err = s.Hidden(t.Context(), epoch, 1, func(time.Time, alertd.Labels) bool { return true })
	if err != nil || past.Whole != 4 || past.Alerts != 2 || len(past.Pages) != 1 {
		t.Errorf("bounded: %v %v", past, err)
	}

	// A receiver with two destinations hears of it once, whatever each of them is sent.
	two := fresh(t)
	entries := []alertd.Entry{turned(down, alertd.Pending, alertd.ReasonHeldFor, at(0)), turned(slow, alertd.Pending, alertd.ReasonHeldFor, at(0)), note("a", 1, down, slow)}
	where = "/webhook"
	entries = append(entries, note("b", 1, down))
	apply(t, two, record(1, entries...))
	past, err = two.Hidden(t.Context(), epoch, 10, func(_ time.Time, ls alertd.Labels) bool { return ls.Get("service") == "api" })
	if err != nil || past.Whole != 0 || past.Thin != 1 || past.Alerts != 1 || past.Pages[0].Of != 2 || len(past.Pages[0].Hides) != 1 {
		t.Errorf("two destinations: %+v %v", past, err)
	}
}
