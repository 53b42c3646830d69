package history

import (
	"testing"
	"time"

	"alertd"
)

// The first line of why is the answer: what people heard last, to whom nothing was said and why, and who has the alert.
func TestConclusion(t *testing.T) {
	clock := 0
	at := func(s Step) Step {
		clock++
		s.Time = epoch.Add(time.Duration(clock) * time.Minute)
		return s
	}
	turn := func(from, to alertd.State) Step {
		return at(Step{Kind: KindTransition, From: string(from), To: string(to)})
	}
	fires := func() Step { return turn(alertd.Inactive, alertd.Firing) }
	over := func() Step { return turn(alertd.Firing, alertd.Resolved) }
	attempt := func(to string, outcome alertd.Outcome, id string) Step {
		return at(Step{Kind: KindAttempt, Receiver: to, To: string(outcome), Notification: id})
	}
	took := func(to string) Step { return attempt(to, alertd.Delivered, "n") }
	kept := func(to string, why alertd.Reason, by string) Step {
		return at(Step{Kind: KindWithheld, Receiver: to, Reason: string(why), By: by})
	}
	kind := func(k Kind) Step { return at(Step{Kind: k}) }
	again := func(s Step) Step { s.Until = s.Time.Add(time.Hour); return s }
	silence := func(id string, act alertd.SilenceAct, ends int) Step {
		s := &SilenceStep{ID: id, CreatedBy: "ann", Comment: "disks"}
		s.Act, s.EndsAt = act, epoch.Add(time.Duration(ends)*time.Minute)
		return at(Step{Kind: KindSilence, Silence: s})
	}
	for _, tt := range []struct {
		name  string
		steps func() []Step
		want  string
	}{
		{"nothing", func() []Step { return nil }, "Nothing was to be told."},
		{"pending", func() []Step { return []Step{turn(alertd.Inactive, alertd.Pending)} }, "Not told: it is pending, its rule waits whether it lasts."},
		{"was pending", func() []Step {
			return []Step{turn(alertd.Inactive, alertd.Pending), turn(alertd.Pending, alertd.Inactive)}
		}, "Not told: it was pending only, and is over since 02."},
		{"told to two, one after a wait", func() []Step {
			return []Step{fires(), kept("ops", alertd.ReasonGrouped, ""), kind(KindTold), took("ops/slack/0"), took("boss/webhook/0")}
		}, "Told: ops/slack/0 took it at 04, boss/webhook/0 took it at 05."},
		{"to one, and hidden from the other", func() []Step {
			return []Step{fires(), kept("boss", alertd.ReasonMuted, "nights"), took("ops/slack/0")}
		}, "Told: ops/slack/0 took it at 03. Not told: muted by nights, for boss."},
		{"one does not answer", func() []Step {
			return []Step{fires(), took("ops/webhook/0"), again(attempt("ops/slack/0", alertd.Retry, "n"))}
		}, "Told: ops/webhook/0 took it at 02. Not delivered yet: ops/slack/0 answered retry, and is asked again at 03."},
		{
			"given up", func() []Step { return []Step{fires(), attempt("ops/slack/0", alertd.Failed, "n")} },
			"Not delivered yet: ops/slack/0 answered failed and is not asked again.",
		},
		{"it waits for its place", func() []Step {
			return []Step{fires(), kind(KindTold), at(Step{Kind: KindPlanned, Receiver: "ops/slack/0", Notification: "n"})}
		}, "Not delivered yet: ops/slack/0 is to hear of it since 03."},
		{"told, and a reminder waits", func() []Step {
			return []Step{fires(), kind(KindTold), took("ops/slack/0"), at(Step{Kind: KindPlanned, Receiver: "ops/slack/0", Notification: "m"})}
		}, "Told: ops/slack/0 took it at 03."},
		{"its end waits for its place", func() []Step {
			return []Step{fires(), kind(KindTold), took("ops/slack/0"), over(), kind(KindClosed), at(Step{Kind: KindPlanned, Receiver: "ops/slack/0", Notification: "m"})}
		}, "That it is over is not delivered yet: ops/slack/0 is to hear of it since 06."},
		{"the end is told", func() []Step {
			return []Step{fires(), kind(KindTold), took("ops/slack/0"), over(), kind(KindClosed), took("ops/slack/0")}
		}, "Told that it is over: ops/slack/0 took it at 06."},
		{"it fires again", func() []Step {
			return []Step{fires(), kind(KindTold), took("ops/slack/0"), over(), fires(), kept("ops", alertd.ReasonSilenced, "s1")}
		}, "Not told: silenced by s1, for ops."},
		{"over before anybody was told", func() []Step {
			return []Step{fires(), kept("ops", alertd.ReasonSilenced, "s1"), over(), kept("ops", alertd.ReasonEnded, ""), kind(KindEnded)}
		}, "Not told: silenced by s1, for ops; it is over since 03."},
		{"its end flaps", func() []Step {
			return []Step{fires(), kind(KindTold), took("ops/slack/0"), over(), kept("ops", alertd.ReasonFlapping, "")}
		}, "Told, but its end not yet: flapping, for ops."},
		{"its end is not wanted", func() []Step {
			return []Step{fires(), kind(KindTold), took("ops/slack/0"), over(), kind(KindClosed), kept("ops", alertd.ReasonNoResolve, "slack/0")}
		}, "Told, but not its end: send_resolved is off by slack/0, for ops."},
		{"one integration does not want its end", func() []Step {
			return []Step{fires(), kind(KindTold), took("ops/slack/0"), took("ops/webhook/0"), over(), kind(KindClosed), kept("ops", alertd.ReasonNoResolve, "slack/0"), took("ops/webhook/0")}
		}, "Told that it is over: ops/webhook/0 took it at 08."},
		{"its end waits for the group", func() []Step {
			return []Step{fires(), kind(KindTold), took("ops/slack/0"), over()}
		}, "Told: ops/slack/0 took it at 03. It is over since 04, and that is not told yet."},
		{
			"told before", func() []Step { return []Step{fires(), kept("ops", alertd.ReasonDeduplicated, "")} },
			"Told before, and not again: deduplicated, for ops.",
		},
		{"late", func() []Step {
			plan := at(Step{Kind: KindPlanned, Receiver: "ops/slack/0", Notification: "n", Reason: string(alertd.ReasonDigest)})
			plan.Due = plan.Time.Add(-time.Minute)
			return []Step{fires(), plan, took("ops/slack/0")}
		}, "Told: ops/slack/0 took it at 03. It left 1m late: it was to leave at 00."},
		{"somebody has it", func() []Step {
			return []Step{
				fires(), took("ops/slack/0"), again(at(Step{Kind: KindAcked, By: "ann"})),
				at(Step{Kind: KindPlanned, Notification: "a", Reason: string(alertd.ReasonAcked)}), attempt("ops/slack/0", alertd.Delivered, "a"),
			}
		}, "Told: ops/slack/0 took it at 02. Taken by ann until 03."},
		{"somebody silenced it, and gave that more time", func() []Step {
			return []Step{fires(), took("ops/slack/0"), silence("s1", alertd.SilenceMade, 3), silence("s1", alertd.SilenceChanged, 9)}
		}, "Told: ops/slack/0 took it at 02. A silence of ann (disks) matches it until 09."},
		{"that silence is over", func() []Step {
			return []Step{fires(), took("ops/slack/0"), silence("s1", alertd.SilenceMade, 3), silence("s1", alertd.SilenceOver, 3)}
		}, "Told: ops/slack/0 took it at 02."},
		{"nobody has it any more", func() []Step {
			return []Step{fires(), took("ops/slack/0"), at(Step{Kind: KindAcked, By: "ann"}), at(Step{Kind: KindUnacked, By: "ann"})}
		}, "Told: ops/slack/0 took it at 02."},
		{"who had it when it ended does not matter", func() []Step {
			return []Step{fires(), took("ops/slack/0"), at(Step{Kind: KindAcked, By: "ann"}), over(), kind(KindClosed), took("ops/slack/0")}
		}, "Told that it is over: ops/slack/0 took it at 06."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clock = 0
			show := func(at time.Time) string { return at.Format("04") }
			if got := Conclusion(tt.steps(), func(at time.Time) string { return show(at.Add(-epochMinutes)) }); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// epochMinutes takes the minutes of epoch away, so that minutes count steps.
var epochMinutes = time.Duration(epoch.Minute()) * time.Minute
