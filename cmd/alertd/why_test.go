package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/history"
)

func TestWhyInWords(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2026, 3, 27, 20, minute, 0, 0, time.UTC) }
	chain := func(steps ...history.Step) *history.Chain {
		return &history.Chain{
			Fingerprint: 0xabc, Alert: "Disk", Severity: alertd.Warning, Service: "db",
			Labels: labels.FromStrings("alertname", "Disk", "service", "db"), Steps: steps,
		}
	}
	fires := history.Step{
		Time: at(0), At: at(0), Kind: history.KindTransition, From: "inactive", To: "firing", Reason: "condition true",
		Value: new(alertd.Value(0.93)), Detail: "f:g:Disk", Config: "abc",
	}
	head := "Disk {alertname=\"Disk\", service=\"db\"} (warning, 0000000000000abc)\n"
	for _, tt := range []struct {
		name  string
		chain *history.Chain
		want  string
	}{
		{"held", chain(fires,
			history.Step{Time: at(0), Kind: history.KindJoined, Receiver: "team", Reason: "business_hours", By: "office", Detail: "{}/{severity=\"warning\"}", Group: "g"},
			history.Step{Time: at(0), Kind: history.KindWithheld, Receiver: "team", Reason: "held", By: "office", Until: at(59)},
		), head +
			"  Not told: held by office until 2026-03-27 20:59:00, for team.\n" +
			"  2026-03-27 20:00:00  configuration abc decides\n" +
			"  2026-03-27 20:00:00  inactive → firing: condition true, value 0.93, rule f:g:Disk\n" +
			"  2026-03-27 20:00:00  route {}/{severity=\"warning\"} to team, business_hours by calendar office, group g\n" +
			"  2026-03-27 20:00:00  not told: held by office until 2026-03-27 20:59:00, for team\n"},
		{"delivered at the second attempt", chain(fires,
			history.Step{Time: at(1), Kind: history.KindTold},
			history.Step{Time: at(1), Kind: history.KindPlanned, Receiver: "team/slack/0", Reason: "first notification"},
			history.Step{Time: at(1), Kind: history.KindAttempt, Receiver: "team/slack/0", By: "attempt 1", To: "retry", Reason: "server", Until: at(2)},
			history.Step{Time: at(2), Kind: history.KindAttempt, Receiver: "team/slack/0", By: "attempt 2", To: "delivered", TraceID: "4bf92f3577b34da6a3ce929d0e0e4736"},
		), head +
			"  Told: team/slack/0 took it at 2026-03-27 20:02:00.\n" +
			"  2026-03-27 20:00:00  configuration abc decides\n" +
			"  2026-03-27 20:00:00  inactive → firing: condition true, value 0.93, rule f:g:Disk\n" +
			"  2026-03-27 20:01:00  told as firing\n" +
			"  2026-03-27 20:01:00  notification for team/slack/0: first notification\n" +
			"  2026-03-27 20:01:00  team/slack/0: attempt 1 retry, server, again at 2026-03-27 20:02:00\n" +
			"  2026-03-27 20:02:00  team/slack/0: attempt 2 delivered, trace 4bf92f3577b34da6a3ce929d0e0e4736\n"},
		{"inhibited", chain(
			history.Step{Time: at(0), Kind: history.KindWithheld, Receiver: "team", Reason: "inhibited", By: "0000000000000def", ByAlert: "Down"},
		), head +
			"  Not told: inhibited by Down (0000000000000def), for team.\n" +
			"  2026-03-27 20:00:00  not told: inhibited by Down (0000000000000def), for team\n"},
		{"what somebody wrote does not reach the terminal as it is", chain(
			history.Step{Time: at(0), Kind: history.KindWithheld, Receiver: "team", Reason: "silenced", By: "s1", Detail: "ann: \x1b[2Jdisks"},
		), head +
			"  Not told: silenced by s1 (ann:  [2Jdisks), for team.\n" +
			"  2026-03-27 20:00:00  not told: silenced by s1 (ann:  [2Jdisks), for team\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			tellWhy(&out, tt.chain, clock{time.UTC})
			if diff := cmp.Diff(tt.want, out.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
