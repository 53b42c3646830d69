package history

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"alertd"
)

func TestWhy(t *testing.T) {
	s := fresh(t)
	apply(t, s, story()...)
	down := alert("ApplicationDown", "db", "critical", alertd.Firing, epoch)
	disk := alert("DiskFull", "db", "warning", alertd.Firing, epoch)
	apply(t, s, record(11,
		turned(down, alertd.Inactive, alertd.ReasonTrue, epoch.Add(time.Minute)),
		alertd.Entry{Time: epoch.Add(2 * time.Hour), Policy: &alertd.PolicySet{Version: "def"}},
		alertd.Entry{Time: epoch.Add(2 * time.Hour), Withheld: &alertd.Withheld{
			Fingerprint: disk.Fingerprint, Group: "{}:{}", Receiver: "ops", Reason: alertd.ReasonInhibited, By: down.Fingerprint.String(),
		}},
	))

	for _, tt := range []struct {
		name string
		q    Question
		want []string // alert: steps
	}{
		{"by name", Question{Alert: "HighErrorRate"}, []string{
			"HighErrorRate: abc transition firing|abc joined|abc told|abc planned ops/slack/0|abc attempt ops/slack/0 retry|abc attempt ops/slack/0 delivered|abc transition resolved",
		}},
		{"by fingerprint", Question{Fingerprint: disk.Fingerprint.String()}, []string{
			"DiskFull: abc transition firing|abc withheld held by office|def withheld inhibited by ApplicationDown",
		}},
		{"by service and name", Question{Alert: "HighErrorRate", Service: "db"}, nil},
		{"by group", Question{Group: `{}:{service="checkout"}`}, []string{
			"HighErrorRate: abc transition firing|abc joined|abc told|abc planned ops/slack/0|abc attempt ops/slack/0 retry|abc attempt ops/slack/0 delivered|abc transition resolved",
		}},
		{"by time", Question{Since: epoch.Add(30 * time.Second), Until: epoch.Add(5 * time.Minute)}, []string{
			"ApplicationDown: abc transition firing",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			chains, err := s.Why(t.Context(), tt.q)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range chains {
				got = append(got, c.Alert+": "+inShort(c.Steps))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
	for _, q := range []Question{{}, {Service: "db"}, {Fingerprint: "nonsense"}} {
		if _, err := s.Why(t.Context(), q); !errors.Is(err, ErrFilter) {
			t.Errorf("%+v: %v, want ErrFilter", q, err)
		}
	}
}

// That a rule is gone is found at the reload, whatever the last event of the alert was.
func TestRuleGoneIsNoEvent(t *testing.T) {
	s := fresh(t)
	a := alert("HighErrorRate", "checkout", "page", alertd.Firing, epoch)
	reload := epoch.Add(time.Hour)
	apply(t, s, record(1, turned(a, alertd.Inactive, alertd.ReasonTrue, epoch)), record(2, turned(a, alertd.Firing, alertd.ReasonRuleGone, reload)))
	chains, err := s.Why(t.Context(), Question{Alert: "HighErrorRate"})
	if err != nil || len(chains) != 1 || len(chains[0].Steps) != 2 {
		t.Fatalf("%+v, %v", chains, err)
	}
	if got := chains[0].Steps[1]; !got.Time.Equal(reload) || !got.At.Equal(reload) {
		t.Errorf("decided at %s about an event of %s, want %s: %s", got.Time, got.At, reload, got.Tell(func(t time.Time) string { return t.String() }))
	}
}

func inShort(steps []Step) string {
	var out []string
	for _, s := range steps {
		text := fmt.Sprint(s.Config, " ", s.Kind)
		switch s.Kind {
		case KindTransition:
			text += " " + s.To
		case KindWithheld:
			by := s.By
			if s.ByAlert != "" {
				by = s.ByAlert
			}
			text += " " + s.Reason + " by " + by
		case KindPlanned:
			text += " " + s.Receiver
		case KindAttempt:
			text += " " + s.Receiver + " " + s.To
		}
		out = append(out, text)
	}
	return strings.Join(out, "|")
}

// What was decided long after an alert changed is found by its time, and the chain begins with what happened. Who let a
// group go is in it, for the alerts that were in the group then.
func TestWhyLongAfter(t *testing.T) {
	s := fresh(t)
	disk, slow := alert("DiskFull", "db", "warning", alertd.Firing, epoch), alert("Slow", "db", "warning", alertd.Firing, epoch)
	const group = `{}:{service="db"}`
	joined := func(a alertd.Alert, at time.Time) alertd.Entry {
		return alertd.Entry{Time: at, Joined: &alertd.Joined{Fingerprint: a.Fingerprint, Group: group, Receiver: "team", Delivery: alertd.BusinessHours}}
	}
	monday := epoch.Add(60 * time.Hour)
	apply(t, s, record(1,
		alertd.Entry{Time: epoch, Policy: &alertd.PolicySet{Version: "abc"}},
		turned(disk, alertd.Inactive, alertd.ReasonTrue, epoch), joined(disk, epoch),
		turned(slow, alertd.Inactive, alertd.ReasonTrue, epoch), joined(slow, epoch),
		alertd.Entry{Time: epoch, Withheld: &alertd.Withheld{Fingerprint: disk.Fingerprint, Group: group, Receiver: "team", Reason: alertd.ReasonHeld, By: "office", Until: monday}},
		alertd.Entry{Time: epoch.Add(time.Hour), Flushed: &alertd.Flushed{Group: group, Ended: []alertd.Fingerprint{slow.Fingerprint}}},
		alertd.Entry{Time: monday, Released: &alertd.Released{Groups: []alertd.GroupKey{group, "other"}, By: "eva", From: alertd.FromCLI, Client: "192.0.2.7"}},
		alertd.Entry{Time: monday, Flushed: &alertd.Flushed{Group: group, Told: []alertd.Fingerprint{disk.Fingerprint}, Spoke: true}},
	))
	const want = "abc transition firing|abc joined|abc withheld held by office|abc released|abc told"
	around := Question{Since: monday.Add(-time.Hour), Until: monday.Add(time.Hour)}
	named := around
	named.Alert = "DiskFull"
	for _, q := range []Question{around, named} {
		chains, err := s.Why(t.Context(), q)
		if err != nil || len(chains) != 1 || inShort(chains[0].Steps) != want {
			t.Fatalf("%+v: %v, %v", q, chains, err)
		}
		show := func(time.Time) string { return "then" }
		if got := chains[0].Steps[3].Tell(show); got != "let go by eva, from cli (192.0.2.7)" {
			t.Errorf("told as %q", got)
		}
	}
	// It fires again while its group still holds what it was about: the way there is from before.
	apply(t, s, record(2,
		turned(slow, alertd.Inactive, alertd.ReasonTrue, monday), joined(slow, monday),
		turned(slow, alertd.Inactive, alertd.ReasonTrue, monday.Add(2*time.Hour)),
	))
	apply(t, s, record(3,
		alertd.Entry{Time: monday.Add(50 * time.Hour), Flushed: &alertd.Flushed{Group: group, Told: []alertd.Fingerprint{slow.Fingerprint}, Spoke: true}},
		joined(slow, monday.Add(60*time.Hour)), // and once more, later: that is not the way to what was told
	))
	again := Question{Alert: "Slow", Since: monday.Add(time.Hour)}
	if chains, err := s.Why(t.Context(), again); err != nil || len(chains) != 1 || inShort(chains[0].Steps) != "abc transition firing|abc joined|abc transition firing|abc told|abc joined" {
		t.Errorf("it never left its group: %v, %v", chains, err)
	}
	again = Question{Alert: "Slow", Since: monday.Add(-time.Hour), Until: monday.Add(time.Hour)}
	if chains, err := s.Why(t.Context(), again); err != nil || len(chains) != 1 || inShort(chains[0].Steps) != "abc transition firing|abc joined" {
		t.Errorf("it had left its group: %v, %v", chains, err)
	}
	again.Since, again.Until = epoch, epoch.Add(2*time.Hour)
	if chains, err := s.Why(t.Context(), again); err != nil || len(chains) != 1 || strings.Contains(inShort(chains[0].Steps), "released") {
		t.Errorf("it had left the group before: %v, %v", chains, err)
	}
}

// An alert whose message was folded says into which summary, and how that went, also where the summary only counts it.
func TestWhyOfASummary(t *testing.T) {
	s := fresh(t)
	to := func(id string, alerts ...alertd.Alert) *alertd.Planned {
		n := alertd.Notification{ID: id, Receiver: "ops", Integration: "slack/0", Group: alertd.GroupKey(id), PlannedAt: epoch}
		for _, a := range alerts {
			n.Alerts = append(n.Alerts, alertd.Notified{Alert: a})
		}
		return &alertd.Planned{Notification: n, Waits: true}
	}
	a, b, c := alert("A", "api", "critical", alertd.Firing, epoch), alert("B", "api", "critical", alertd.Firing, epoch), alert("C", "api", "critical", alertd.Firing, epoch)
	sum := to("sum", a)
	sum.Waits, sum.Folds = false, []string{"na", "nb"}
	sum.Notification.Summary = &alertd.Summary{Firing: 2, Limit: 20}
	apply(t, s, record(1,
		turned(a, alertd.Inactive, alertd.ReasonTrue, epoch), turned(b, alertd.Inactive, alertd.ReasonTrue, epoch), turned(c, alertd.Inactive, alertd.ReasonTrue, epoch),
		alertd.Entry{Time: epoch, Planned: to("na", a)}, alertd.Entry{Time: epoch, Planned: to("nb", b)}, alertd.Entry{Time: epoch, Planned: to("nc", c)},
		alertd.Entry{Time: epoch, Planned: sum},
	), record(2,
		alertd.Entry{Time: epoch.Add(time.Second), Attempted: &alertd.Attempted{
			Attempt: alertd.Attempt{Notification: "sum", N: 1, Outcome: alertd.Delivered}, Receiver: "ops", Integration: "slack/0",
		}},
		alertd.Entry{Time: epoch.Add(12 * time.Second), Admitted: &alertd.Admitted{
			Receiver: "ops", Integration: "slack/0", Notifications: []string{"nc"}, Place: alertd.PlaceSummary,
		}},
	))
	show := func(t time.Time) string { return t.Format("15:04:05") }
	for name, want := range map[string]string{
		"A": "ops/slack/0: told in summary sum in place of a message of its own, limit of 20 messages a minute",
		"B": "ops/slack/0: told in summary sum in place of a message of its own, limit of 20 messages a minute",
		"C": "ops/slack/0: waited until now, limit of messages a minute",
	} {
		chains, err := s.Why(t.Context(), Question{Alert: name})
		if err != nil || len(chains) != 1 {
			t.Fatal(chains, err)
		}
		steps := chains[0].Steps
		if !slices.ContainsFunc(steps, func(st Step) bool { return st.Tell(show) == want }) {
			t.Errorf("%s: no step says %q: %s", name, want, inShort(steps))
		}
		if told := strings.HasPrefix(Conclusion(steps, show), "Told: ops/slack/0"); told != (name != "C") {
			t.Errorf("%s: %s", name, Conclusion(steps, show))
		}
	}
	pending, err := s.Notifications(t.Context(), Filter{State: "pending"})
	if err != nil || len(pending) != 1 || pending[0].ID != "nc" {
		t.Errorf("what is folded is not on its way: %+v, %v", pending, err)
	}
}

// What was done to a silence is told with each alert that it was about.
func TestWhySilence(t *testing.T) {
	s := fresh(t)
	disk := alert("DiskFull", "db", "warning", alertd.Firing, epoch)
	silence := func(at time.Time, c alertd.SilenceChange) alertd.Entry {
		c.At, c.EndsAt = at, epoch.Add(2*time.Hour)
		return alertd.Entry{Time: at, Silence: &alertd.Silence{
			ID: "s1", CreatedBy: "ann", Comment: "new disks", EndsAt: c.EndsAt, Change: &c,
			Recurs: &alertd.Recurrence{Cron: "0 2 * * *", Duration: 3600e9, Zone: "UTC"},
		}}
	}
	about := []alertd.Fingerprint{disk.Fingerprint}
	looked := silence(epoch.Add(time.Minute), alertd.SilenceChange{})
	looked.Silence.Change = nil
	apply(t, s, record(1,
		turned(disk, alertd.Inactive, alertd.ReasonTrue, epoch),
		silence(epoch, alertd.SilenceChange{Act: alertd.SilenceMade, Actor: alertd.Actor{By: "ann", From: alertd.FromCLI}, Alerts: about}),
		looked,
		silence(epoch.Add(time.Hour), alertd.SilenceChange{Act: alertd.SilenceEnded, Actor: alertd.Actor{By: "ben", From: alertd.FromWeb, Why: "done"}, Alerts: about}),
		silence(epoch.Add(2*time.Hour), alertd.SilenceChange{Act: alertd.SilenceOver}), // it hides nothing then
	))
	chains, err := s.Why(t.Context(), Question{Alert: "DiskFull"})
	if err != nil || len(chains) != 1 {
		t.Fatalf("%v: %v", chains, err)
	}
	var got []string
	for _, st := range chains[0].Steps[1:] {
		got = append(got, fmt.Sprint(st.Silence.ID, " ", st.By, ", ", st.Tell(func(at time.Time) string { return at.Format("15:04") })))
	}
	want := []string{
		"s1 ann, silence s1 of ann (new disks) made by ann, from cli; ends " + epoch.Add(2*time.Hour).Format("15:04") + "; in force 0 2 * * * for 1h, UTC",
		"s1 ben, silence s1 of ann (new disks) ended early by ben, from web: done",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A digest that left late says so, and when it was to leave; who has an alert is said with where that came from.
func TestWhyLateAndWhoTookIt(t *testing.T) {
	s := fresh(t)
	disk := alert("DiskFull", "db", "warning", alertd.Firing, epoch)
	n := alertd.Notification{
		ID: "dig", Receiver: "ops", Integration: "slack/0", Reason: alertd.ReasonDigest, Digest: true, PlannedAt: epoch.Add(2 * time.Hour), DueAt: epoch.Add(48 * time.Minute),
		Alerts: []alertd.Notified{{Alert: disk}},
	}
	ack := alertd.Ack{By: "ada", From: alertd.FromAPI, Client: "192.0.2.7, curl/8"}
	about := []alertd.Fingerprint{disk.Fingerprint}
	apply(t, s, record(
		1,
		turned(disk, alertd.Inactive, alertd.ReasonTrue, epoch),
		alertd.Entry{Time: n.PlannedAt, Planned: &alertd.Planned{Notification: n}},
		alertd.Entry{Time: n.PlannedAt, Acked: &alertd.Acked{Ack: ack, Alerts: about}},
		alertd.Entry{Time: n.PlannedAt, Acked: &alertd.Acked{Ack: ack, Alerts: about, Ended: alertd.ReasonUnacked}},
	))
	chains, err := s.Why(t.Context(), Question{Alert: "DiskFull"})
	if err != nil || len(chains) != 1 {
		t.Fatalf("%d chains, %v", len(chains), err)
	}
	var got []string
	for _, step := range chains[0].Steps[1:] {
		got = append(got, step.Tell(func(at time.Time) string { return at.Sub(epoch).String() }))
	}
	if want := []string{
		"notification for ops/slack/0: business hours opened, 1h12m late: it was to leave at 48m0s",
		"acknowledged by ada, from api (192.0.2.7, curl/8)",
		"acknowledgement taken back by ada, from api (192.0.2.7, curl/8)",
	}; !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	rows, err := s.Notifications(t.Context(), Filter{})
	if err != nil || len(rows) != 1 || !rows[0].Due.Equal(n.DueAt) {
		t.Errorf("%+v, %v", rows, err)
	}
}
