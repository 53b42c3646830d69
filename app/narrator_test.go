package app

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// What the log says of each decision: enough to know who and what, once, and nothing of what only waits.
func TestNarrator(t *testing.T) {
	var out bytes.Buffer
	n := narrator{App: &App{log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}}))}}
	alert := alertd.Alert{Fingerprint: 7, Labels: labels.FromStrings("alertname", "Down", "service", "db", "severity", "critical")}
	turn := func(from, to alertd.State) alertd.Entry {
		a := alert
		a.State = to
		return alertd.Entry{Transition: &alertd.Transition{From: from, Reason: alertd.ReasonTrue, Alert: a}}
	}
	ack := alertd.Ack{By: "eva", From: alertd.FromWeb, Why: "mine", Client: "192.0.2.7"}
	change := alertd.SilenceChange{Act: alertd.SilenceMade, Actor: alertd.Actor{By: "ben", From: alertd.FromCLI, Client: "192.0.2.8"}, EndsAt: time.Unix(0, 0).UTC()}
	for _, e := range []alertd.Entry{
		turn(alertd.Inactive, alertd.Pending), turn(alertd.Pending, alertd.Inactive), turn(alertd.Pending, alertd.Firing),
		{Acked: &alertd.Acked{Ack: ack, Alerts: []alertd.Fingerprint{7}}},
		{Acked: &alertd.Acked{Ack: ack, Alerts: []alertd.Fingerprint{7}, Ended: alertd.ReasonAckTimeout}},
		{Silence: &alertd.Silence{ID: "s1", Comment: "not for the log", Change: &change}},
		{Silence: &alertd.Silence{ID: "s1"}},
		{Released: &alertd.Released{By: "tom", From: alertd.FromAPI, Client: "192.0.2.9, curl/8", Groups: []alertd.GroupKey{"a", "b"}}},
		{Attempted: &alertd.Attempted{Attempt: alertd.Attempt{Notification: "n1", N: 1, Outcome: alertd.Delivered}}}, // the outbox has said it
		{Attempted: &alertd.Attempted{Attempt: alertd.Attempt{Notification: "n1", N: 9, Outcome: alertd.Failed, Class: alertd.FailureAuth}, Receiver: "ops", Integration: "slack/0", DeadLetter: true}},
	} {
		n.entry(t.Context(), &e)
	}
	const want = `msg="alert firing" alert.name=Down alert.service=db alert.severity=critical alert.fingerprint=0000000000000007 from=pending reason="condition true"
msg="alerts acknowledged" alerts=1 ack.by=eva ack.from=web ack.why=mine ack.client=192.0.2.7
msg="acknowledgement ran out" alerts=1 ack.by=eva ack.from=web ack.why=mine ack.client=192.0.2.7
msg="silence made" id=s1 by=ben from=cli client=192.0.2.8 ends=1970-01-01T00:00:00.000Z
msg="groups released" groups=2 by=tom from=api client="192.0.2.9, curl/8"
msg="notification given up" id=n1 to=ops/slack/0 attempt.n=9 attempt.outcome=failed attempt.class=auth
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
