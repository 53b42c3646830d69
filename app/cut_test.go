package app

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"pgregory.net/rapid"

	"alertd"
)

// However much is decided at once, it goes into commits that fit: what must stay together does, and nothing is lost.
func TestCut(t *testing.T) {
	kinds := []func() alertd.Entry{
		func() alertd.Entry { return alertd.Entry{Transition: &alertd.Transition{}} },
		func() alertd.Entry { return alertd.Entry{Joined: &alertd.Joined{}} },
		func() alertd.Entry { return alertd.Entry{Flushed: &alertd.Flushed{}} },
		func() alertd.Entry { return alertd.Entry{Planned: &alertd.Planned{}} },
		func() alertd.Entry { return alertd.Entry{Withheld: &alertd.Withheld{}} },
	}
	rapid.Check(t, func(t *rapid.T) {
		var entries []alertd.Entry
		for range rapid.IntRange(1, 20).Draw(t, "runs") {
			kind := rapid.SampledFrom(kinds).Draw(t, "kind")
			for range rapid.IntRange(1, 30).Draw(t, "length") {
				entries = append(entries, kind())
			}
		}
		const limit = 2000
		parts := cut(entries, limit, measure)
		if !slices.EqualFunc(slices.Concat(parts...), entries, func(a, b alertd.Entry) bool {
			return a.Transition == b.Transition && a.Joined == b.Joined && a.Flushed == b.Flushed && a.Planned == b.Planned && a.Withheld == b.Withheld
		}) {
			t.Fatal("something is lost or in another order")
		}
		for i, part := range parts[1:] {
			first := part[0]
			if first.Joined != nil || first.Planned != nil {
				t.Fatalf("part %d begins with what follows from the part before", i+1)
			}
			if first.Withheld == nil {
				continue
			}
			rest := slices.Concat(parts[i+1:]...)
			next := slices.IndexFunc(rest, func(e alertd.Entry) bool { return e.Withheld == nil })
			if next >= 0 && rest[next].Transition == nil && rest[next].Flushed == nil {
				t.Fatalf("part %d begins with reasons, and what follows from the part before comes after them", i+1)
			}
		}
	})

	entries := []alertd.Entry{{Flushed: &alertd.Flushed{}}}
	for range 5000 {
		entries = append(entries, alertd.Entry{Withheld: &alertd.Withheld{}})
	}
	parts := cut(entries, maxCommit, measure)
	if len(parts) < 2 {
		t.Fatalf("%d parts", len(parts))
	}
	for _, part := range parts {
		if b, err := json.Marshal(part); err != nil || len(b) > maxCommit+2 {
			t.Errorf("a part of %d bytes, %v", len(b), err)
		}
	}
}

// What is weighed has about the size that it has in the journal, so that hardly anything is written twice.
func TestWeigh(t *testing.T) {
	now := time.Date(2026, 1, 15, 10, 30, 0, 123456789, time.UTC)
	ls := labels.FromStrings("alertname", "InstanceDown", "service", "checkout", "severity", "critical", "instance", "10.0.0.1:9100", "cluster", "eu-central-1")
	texts := labels.FromStrings("summary", "10.0.0.1:9100 of checkout does not answer", "next_step", "Look at its log.")
	a := alertd.Alert{
		Fingerprint: 1 << 60, Rule: "shop.yaml:shop:InstanceDown", Labels: ls, Annotations: texts, State: alertd.Firing, Value: 1.5,
		ActiveAt: now, FiredAt: now, At: now, Scope: `{service="checkout"}`, RunbookURL: "https://alerts.example.com/runbooks/InstanceDown",
		Trace: alertd.TraceRef{TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", SpanID: "00f067aa0ba902b7"}, TraceURL: "https://jaeger.example.com/trace/4bf92f3577b34da6a3ce929d0e0e4736",
	}
	group := alertd.GroupKey(`{}/{severity="critical"}:{service="checkout"}`)
	fps := slices.Repeat([]alertd.Fingerprint{a.Fingerprint}, 50)
	var kinds []alertd.Entry
	for _, e := range []alertd.Entry{
		{Transition: &alertd.Transition{From: alertd.Inactive, Reason: alertd.ReasonTrue, Alert: a}},
		{Joined: &alertd.Joined{Fingerprint: a.Fingerprint, Group: group, GroupLabels: ls, Route: "default / critical", Receiver: "ops", Delivery: alertd.Immediate, GroupWait: time.Second, GroupInterval: time.Minute, RepeatInterval: time.Hour}},
		{Scheduled: &alertd.Scheduled{Group: group, Due: now, Reason: alertd.ReasonGrouped}},
		{Withheld: &alertd.Withheld{Fingerprint: a.Fingerprint, Group: group, Receiver: "ops", Reason: alertd.ReasonGrouped, Until: now}},
		{Flushed: &alertd.Flushed{Group: group, Told: fps, Spoke: true}},
		{Planned: &alertd.Planned{Notification: alertd.Notification{
			ID: "msg_bc69a545e9bd5dd23cf31ff5-7fc86449", Receiver: "ops", Integration: "slack/0", Group: group, GroupLabels: ls,
			Reason: alertd.ReasonFirst, Seq: 1, PlannedAt: now, Alerts: slices.Repeat([]alertd.Notified{{Alert: a, Fresh: true}}, 20),
		}}},
		{Policy: &alertd.PolicySet{Version: "0123456789abcdef"}},
	} {
		e.Time = now
		kinds = append(kinds, e)
		if got, want := weigh(&e), measure(&e); got < want*3/4 || got > want*4/3 {
			b, _ := json.Marshal(&e)
			t.Errorf("weighs %d, has %d bytes: %s", got, want, b)
		}
	}
	// Texts full of quotes are longer than weighed; then what is too large is cut again.
	if len(cut(slices.Repeat(kinds[:1], 2000), maxCommit*3/4, weigh)) < 3 {
		t.Error("2,000 transitions are not cut")
	}
}
