package history

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"alertd"
)

// What a summary was about are the groups and the alerts of the messages that it was sent in place of, also those that it
// only counts.
func TestMessage(t *testing.T) {
	s := fresh(t)
	plan := func(id, group string, reason alertd.Reason, alerts ...alertd.Alert) alertd.Notification {
		n := alertd.Notification{
			ID: id, Receiver: "ops", Integration: "slack/0", Group: alertd.GroupKey(group), Reason: reason, PlannedAt: epoch, Digest: reason == alertd.ReasonDigest,
		}
		for _, a := range alerts {
			n.Alerts = append(n.Alerts, alertd.Notified{Alert: a})
		}
		return n
	}
	var entries []alertd.Entry
	var folds []string
	var all []alertd.Fingerprint
	var last alertd.Alert
	for i := range 5 {
		last = alert("Down", fmt.Sprint("s", i), "critical", alertd.Firing, epoch)
		all = append(all, last.Fingerprint)
		id := fmt.Sprint("n-", i)
		if folds = append(folds, id); i == 4 {
			folds = folds[:4] // one is sent by itself
		}
		entries = append(entries, alertd.Entry{Time: epoch, Planned: &alertd.Planned{Notification: plan(id, fmt.Sprintf("{}:{s%d}", i), alertd.ReasonFirst, last)}})
	}
	summary := plan("sum", "summary:ops", alertd.ReasonLimit, alert("Down", "s0", "critical", alertd.Firing, epoch)) // it tells one and counts the others
	summary.Summary = &alertd.Summary{Firing: 4, Limit: 4}
	entries = append(entries, alertd.Entry{Time: epoch.Add(time.Second), Planned: &alertd.Planned{Notification: summary, Folds: folds}})
	entries = append(entries, alertd.Entry{Time: epoch, Planned: &alertd.Planned{Notification: plan("dig", "digest:ops", alertd.ReasonDigest, last)}})
	apply(t, s, record(1, entries...))

	for _, tt := range []struct {
		id     string
		want   Message
		alerts []alertd.Fingerprint
	}{
		{"sum", Message{Summary: true, Groups: []alertd.GroupKey{"{}:{s0}", "{}:{s1}", "{}:{s2}", "{}:{s3}"}}, all[:4]},
		{"n-4", Message{Groups: []alertd.GroupKey{"{}:{s4}"}}, all[4:]},
		{"dig", Message{Digest: true}, all[4:]},
	} {
		got, err := s.Message(t.Context(), tt.id)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(tt.alerts)
		if !slices.Equal(got.Groups, tt.want.Groups) || !slices.Equal(got.Alerts, tt.alerts) || got.Summary != tt.want.Summary || got.Digest != tt.want.Digest || got.Receiver != "ops" || !got.Time.Equal(epoch) {
			t.Errorf("%s: %+v", tt.id, got)
		}
	}
	if _, err := s.Message(t.Context(), "none"); !errors.Is(err, alertd.ErrNotFound) {
		t.Error(err)
	}
}
