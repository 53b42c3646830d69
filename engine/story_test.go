package engine_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/config"
	"alertd/engine"
)

// story replays one file of testdata. Its commands:
//
//	policy                     the body is a routing.yaml
//	rule name=Down [for=1m] [keep=5m] [event]
//	true RULE [label=value…]   the condition is true for these labels; severity and so on are labels too, and
//	                           @name=text is an annotation
//	false RULE [label=value…]
//	fire RULE [label=value…] SERVICE…   the condition is true for services, all at once
//	over RULE                  the condition is false for all
//	error RULE                 the rule could not be evaluated
//	sleep 2m                   time passes; what falls due in between happens
//	at 2026-03-27T09:00:00Z    as sleep, until then
//	answer [DESTINATION] OUTCOME   the senders answer all that is on its way, or what is for one destination
//	post [ends=5m] [label=value…]  somebody else's alert is posted; with ends=0s it is over
//	silence ID DURATION label=value… [or label=value…] [until-resolved] [cron=0_2_*_*_* window=1h]   makes or changes a silence
//	silences                   what there is, and what it hides
//	snapshot                   a new process takes the state from a snapshot
//	unsilence ID               ends it
//	away DURATION              alertd is down for so long
//	restart                    the journal is folded by a new process
//	queue                      what waits
//	drafts                     what would leave if all that is held left now
//
// and those of aside and care. A rule may also say no_data=keep, on_error=alert, missing=1m, recovers.
//
// The partition of every rule is its label service. What comes out is every decision, in the words of the journal.
type story struct {
	t       *testing.T
	now     time.Time
	m       *engine.Machine
	policy  *engine.Policy
	rules   map[string]*alertd.Rule
	truth   map[string]map[string]alertd.Finding
	journal []alertd.Entry
	sending []engine.Delivery
	ids     map[string]bool
	waiting map[string]alertd.Notification // by ID: all that was planned
	out     strings.Builder
}

// Redraw the files with: go test ./engine -run TestStories -rewrite
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no stories", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			s := &story{
				t: t, now: time.Date(2026, 3, 27, 9, 0, 0, 0, time.UTC), // a Friday, two days before Berlin's clocks change
				m: engine.New(), rules: map[string]*alertd.Rule{}, truth: map[string]map[string]alertd.Finding{},
				ids: map[string]bool{}, waiting: map[string]alertd.Notification{},
			}
			datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
				s.out.Reset()
				s.run(d)
				return s.out.String()
			})
		})
	}
}

func (s *story) run(d *datadriven.TestData) {
	args := make([]string, len(d.CmdArgs))
	for i, a := range d.CmdArgs {
		args[i] = a.String()
	}
	switch d.Cmd {
	case "policy":
		s.setPolicy(d.Input)
	case "rule":
		s.addRule(d)
	case "true", "false":
		said, notes := pairs(args[1:]), map[string]string{}
		for name, text := range said {
			if note, ok := strings.CutPrefix(name, "@"); ok {
				notes[note] = text
				delete(said, name)
			}
		}
		ls := labels.FromMap(said)
		scope := "service=" + ls.Get("service")
		b := labels.NewBuilder(ls).Set(alertd.LabelAlert, args[0]).Del("value")
		f := alertd.Finding{Labels: b.Labels(), Scope: scope, Value: 1}
		if v := ls.Get("value"); v != "" {
			s.check(json.Unmarshal([]byte(v), &f.Value))
			notes[alertd.AnnotationSummary] = "it is " + v
		}
		f.Annotations = alertd.Texts(labels.FromMap(notes))
		if s.truth[args[0]] == nil {
			s.truth[args[0]] = map[string]alertd.Finding{}
		}
		if d.Cmd == "true" {
			s.truth[args[0]][f.Labels.String()] = f
		} else {
			delete(s.truth[args[0]], f.Labels.String())
		}
		v := alertd.Verdict{Rule: s.rules[args[0]], Scope: scope, At: s.now}
		for _, f := range s.truth[args[0]] {
			if f.Scope == scope {
				v.True = append(v.True, f)
			}
		}
		slices.SortFunc(v.True, func(a, b alertd.Finding) int { return labels.Compare(a.Labels, b.Labels) })
		s.step(engine.Judged{Verdict: v})
		s.due(s.now)
	case "fire", "over":
		s.many(d.Cmd == "fire", args)
	case "error":
		s.step(engine.Judged{Verdict: alertd.Verdict{Rule: s.rules[args[0]], At: s.now, Err: "query timed out"}})
	case "sleep":
		d, err := time.ParseDuration(args[0])
		s.check(err)
		s.due(s.now.Add(d))
	case "at":
		at, err := time.Parse(time.RFC3339, args[0])
		s.check(err)
		s.due(at.UTC())
	case "answer":
		s.answer(args)
	case "post":
		ls := pairs(args)
		p := alertd.Posted{StartsAt: s.now}
		if ends, ok := ls["ends"]; ok {
			d, err := time.ParseDuration(ends)
			s.check(err)
			p.EndsAt = s.now.Add(d)
			delete(ls, "ends")
		}
		p.Labels = labels.FromMap(ls)
		s.step(engine.AlertsPosted{Alerts: []alertd.Posted{p}, ResolveTimeout: 5 * time.Minute})
		s.due(s.now)
	case "silence":
		want := s.wanted(args)
		in, _, err := s.m.PlanSilence(s.now, want, args[0], alertd.Actor{From: alertd.FromCLI})
		s.check(err)
		s.step(in)
		s.due(s.now)
	case "unsilence":
		in, err := s.m.PlanExpiry(s.now, args[0], alertd.Actor{By: "ben", From: alertd.FromWeb})
		s.check(err)
		s.step(in)
		s.due(s.now)
	case "silences":
		s.silences()
	case "restart":
		s.restart()
	case "away": // down for so long
		d, err := time.ParseDuration(args[0])
		s.check(err)
		s.now = s.now.Add(d)
		s.restart()
	case "back": // the clock is set back
		d, err := time.ParseDuration(args[0])
		s.check(err)
		s.now = s.now.Add(-d)
		s.step(engine.ClockSetBack{By: d})
		s.due(s.now)
	case "snapshot":
		b, err := s.m.Snapshot()
		s.check(err)
		s.m, err = engine.Restore(b)
		s.check(err)
		s.m.Resume()
		s.sending = nil
		s.step(engine.PolicyChanged{Policy: s.policy})
		s.due(s.now)
	case "queue":
		for _, h := range s.m.Held(s.now) {
			fmt.Fprintf(&s.out, "%s %s for %s: %s until %s\n", h.Alert.State, name(h.Alert.Labels), h.Receiver, h.Why(), stamp(h.Until))
		}
	case "drafts":
		s.drafts()
	default:
		if !s.aside(d, args) && !s.care(d, args) {
			d.Fatalf(s.t, "no such command")
		}
	}
}

// wanted reads the silence of a command.
func (s *story) wanted(args []string) alertd.Silence {
	d, err := time.ParseDuration(args[1])
	s.check(err)
	want := alertd.Silence{StartsAt: s.now, EndsAt: s.now.Add(d), CreatedBy: "anna", Comment: "maintenance"}
	for _, v := range s.m.Silences(s.now) {
		if v.ID == args[0] && v.State != alertd.SilenceExpired {
			want.ID, want.StartsAt = v.ID, v.StartsAt
		}
	}
	set := &want.Matchers
	for _, m := range args[2:] {
		switch k, v, _ := strings.Cut(m, "="); k {
		case "or":
			want.Or = append(want.Or, nil)
			set = &want.Or[len(want.Or)-1]
		case "until-resolved":
			want.UntilResolved = true
		case "cron":
			want.Recurs = &alertd.Recurrence{Cron: strings.ReplaceAll(v, "_", " "), Zone: "Europe/Berlin"}
		case "window":
			s.check(want.Recurs.Duration.UnmarshalText([]byte(v)))
		default:
			*set = append(*set, alertd.Matcher{Name: k, Value: v, IsEqual: true})
		}
	}
	return want
}

// silences lists them.
func (s *story) silences() {
	for _, v := range s.m.Silences(s.now) {
		fmt.Fprintf(&s.out, "%s %s", v.ID, v.State)
		if !v.Until.IsZero() {
			fmt.Fprintf(&s.out, " until %s", stamp(v.Until))
		}
		for _, h := range v.Hides {
			fmt.Fprintf(&s.out, ", hides %s of %s", h.Alert, h.Service)
		}
		for _, h := range v.Hid {
			fmt.Fprintf(&s.out, ", hid %s of %s", h.Alert, h.Service)
		}
		if v.Idle {
			fmt.Fprint(&s.out, ", idle")
		}
		if v.Broad != "" {
			fmt.Fprintf(&s.out, ", broad: %s", v.Broad)
		}
		fmt.Fprintln(&s.out)
	}
}

func (s *story) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// words are an alert's value and annotations, where the story gives it any.
func words(a *alertd.Alert) string {
	switch {
	case strings.HasPrefix(a.Summary(), "The silence of "):
		return fmt.Sprintf(": %q", a.Summary())
	case !strings.HasPrefix(a.Summary(), "it is "):
		return ""
	}
	return fmt.Sprintf(": value %s, %q", a.Value, a.Summary())
}

// moved is what an alert was held as, or goes on as.
func moved(a *alertd.Notified) (s string) {
	if a.HeldAs != "" {
		s = fmt.Sprintf(", held as %s since %s", a.HeldAs, stamp(a.HeldSince))
	}
	if a.GoesOnAs != "" {
		s += fmt.Sprintf(", goes on as %s", a.GoesOnAs)
	}
	return s
}

func pairs(args []string) map[string]string {
	m := map[string]string{}
	for _, a := range args {
		k, v, _ := strings.Cut(a, "=")
		m[k] = v
	}
	return m
}

func (s *story) addRule(d *datadriven.TestData) {
	r := &alertd.Rule{}
	d.ScanArgs(s.t, "name", &r.Name)
	for _, a := range d.CmdArgs {
		var err error
		switch a.Key {
		case "for":
			r.For, err = time.ParseDuration(a.Vals[0])
		case "keep":
			r.KeepFiringFor, err = time.ParseDuration(a.Vals[0])
		case "event":
			r.Occurrence = true
		case "no_data":
			r.NoData = alertd.Policy(a.Vals[0])
		case "on_error":
			r.OnError = alertd.Policy(a.Vals[0])
		case "missing":
			r.MissingFor, err = time.ParseDuration(a.Vals[0])
		case "recovers":
			r.Recovers = true
		}
		s.check(err)
	}
	r.ID = "story:" + r.Name
	s.rules[r.Name] = r
	s.policy.Rules[r.ID] = true
}

func (s *story) setPolicy(yaml string) {
	r, _, err := config.ParseRouting("routing.yaml", []byte(yaml), func(string) (string, bool) { return "", false }, nil)
	s.check(err)
	p := &engine.Policy{
		Version: fmt.Sprintf("%d bytes", len(yaml)), Route: r.Root, Inhibitions: r.Inhibitions, Depends: r.Depends, Intervals: r.Intervals,
		Calendars: r.Calendars, Escalations: r.EscalationsByName(), Rules: map[string]bool{},
	}
	for _, rc := range r.Receivers {
		er := engine.Receiver{Name: rc.Name, ByGroup: rc.ByGroup()}
		perMinute := 0 // stories are about other things, unless they say how many
		if rc.MaxPerMinute != nil {
			perMinute = *rc.MaxPerMinute
		}
		for i, c := range rc.Webhook {
			er.Integrations = append(er.Integrations, engine.Integration{Name: fmt.Sprint("webhook/", i), SendResolved: c.SendResolved, Limit: perMinute})
		}
		for i, c := range rc.Slack {
			er.Integrations = append(er.Integrations, engine.Integration{Name: fmt.Sprint("slack/", i), SendResolved: c.SendResolved, ShowsAcks: true, Limit: perMinute})
		}
		p.Receivers = append(p.Receivers, er)
	}
	if s.policy != nil {
		p.Rules = s.policy.Rules
	}
	s.policy = p
	s.step(engine.PolicyChanged{Policy: p})
	s.due(s.now)
}

// due lets time pass until end.
func (s *story) due(end time.Time) {
	for {
		at, ok := s.m.Next()
		if !ok || at.After(end) {
			break
		}
		if at.After(s.now) {
			s.now = at
		}
		s.step(nil)
	}
	s.now = end
	s.deliver()
}

func (s *story) deliver() {
	out, _ := s.m.Outgoing(s.now)
	for _, d := range out {
		if d.N > 1 || d.Uncertain {
			fmt.Fprintf(&s.out, "%s   attempt %d to %s/%s, uncertain: %v\n", stamp(s.now), d.N, d.Notification.Receiver, d.Notification.Integration, d.Uncertain)
		}
	}
	s.sending = append(s.sending, out...)
}

func (s *story) answer(args []string) {
	outcome := alertd.Outcome(args[len(args)-1])
	waiting := s.sending
	s.sending = nil
	for _, d := range waiting {
		if len(args) == 2 && d.Notification.Receiver+"/"+d.Notification.Integration != args[0] {
			s.sending = append(s.sending, d)
			continue
		}
		a := alertd.Attempt{Notification: d.Notification.ID, N: d.N, Outcome: outcome, Class: alertd.FailureServer}
		if outcome == alertd.Delivered {
			a.Class = ""
			if strings.HasPrefix(d.Notification.Integration, "slack") {
				a.Ref = "C1:" + a.Notification
			}
		}
		s.step(engine.Answered{Attempt: a})
	}
	s.due(s.now)
}

func (s *story) restart() {
	s.m = engine.New()
	for _, e := range s.journal {
		s.m.Apply(e)
	}
	s.m.Resume()
	s.sending = nil
	s.step(engine.PolicyChanged{Policy: s.policy})
	s.due(s.now)
}

func (s *story) step(in engine.Input) {
	for _, e := range s.m.Step(s.now, in) {
		b, err := json.Marshal(e)
		s.check(err)
		var back alertd.Entry
		s.check(json.Unmarshal(b, &back))
		s.journal = append(s.journal, back)
		if e.Planned != nil {
			s.waiting[e.Planned.Notification.ID] = e.Planned.Notification
			if id := e.Planned.Notification.ID; s.ids[id] {
				s.t.Errorf("notification %s is planned twice", id)
			} else {
				s.ids[id] = true
			}
		}
		s.tell(e)
	}
}

// tell writes one entry as a line.
func (s *story) tell(e alertd.Entry) {
	say := func(format string, args ...any) {
		fmt.Fprintf(&s.out, "%s "+format+"\n", append([]any{stamp(e.Time)}, args...)...)
	}
	who := func(fp alertd.Fingerprint) string {
		for _, a := range s.m.Alerts(s.now) {
			if a.Fingerprint == fp {
				return name(a.Labels)
			}
		}
		return fp.String()
	}
	switch {
	case e.Transition != nil:
		t := e.Transition
		say("%s → %s %s (%s)%s", t.From, t.Alert.State, name(t.Alert.Labels), t.Reason, words(&t.Alert))
	case e.Joined != nil:
		say("  joins %s for %s, %s", e.Joined.Group, e.Joined.Receiver, e.Joined.Delivery)
	case e.Scheduled != nil:
		if e.Scheduled.Due.IsZero() {
			return
		}
		say("  %s is due %s (%s)", e.Scheduled.Group, stamp(e.Scheduled.Due), e.Scheduled.Reason)
	case e.Withheld != nil:
		by, until := e.Withheld.By, ""
		if fp, err := alertd.ParseFingerprint(by); err == nil {
			by = who(fp)
		}
		if by != "" {
			by = " by " + by
		}
		if e.Withheld.Detail != "" {
			by += " (" + e.Withheld.Detail + ")"
		}
		if !e.Withheld.Until.IsZero() {
			until = " until " + stamp(e.Withheld.Until)
		}
		say("  %s not told to %s: %s%s%s", who(e.Withheld.Fingerprint), e.Withheld.Receiver, e.Withheld.Reason, by, until)
	case e.Planned != nil:
		n := e.Planned.Notification
		kind := "NOTIFY"
		if n.Digest {
			kind = "DIGEST"
		}
		if n.Summary != nil {
			kind = fmt.Sprintf("SUMMARY of %d messages,", len(e.Planned.Folds))
		}
		waits := ""
		if e.Planned.Waits {
			waits = ", waits for a place"
		}
		late := ""
		if !n.DueAt.IsZero() {
			late = ", late since " + stamp(n.DueAt)
		}
		say("%s %s/%s #%d (%s)%s", kind, n.Receiver, n.Integration, n.Seq, n.Reason, late+waits)
		if n.Summary != nil {
			fmt.Fprintf(&s.out, "           %d groups fire, %d are over\n", n.Summary.Firing, n.Summary.Resolved)
		}
		for _, a := range n.Alerts {
			affects := ""
			if whom := a.Annotations.Get(alertd.AnnotationAffected); whom != "" {
				affects = " affects " + whom
			}
			fmt.Fprintf(&s.out, "           %s %s%s\n", a.State, name(a.Labels), affects+added(&a)+moved(&a)+flaps(&a)+words(&a.Alert))
		}
		if n.Truncated > 0 {
			fmt.Fprintf(&s.out, "           and %d more\n", n.Truncated)
		}
	case e.ClockSet != nil:
		say("the clock is set back by %s", e.ClockSet.Back)
	case e.Admitted != nil:
		how := map[alertd.Place]string{
			alertd.PlaceOwn: "by itself", alertd.PlaceSummary: "in the place of a summary", alertd.PlaceNone: "in its thread",
		}[e.Admitted.Place]
		for _, id := range e.Admitted.Notifications {
			n := s.waiting[id]
			say("%s/%s is sent %s #%d %s", n.Receiver, n.Integration, n.Group, n.Seq, how)
		}
	case e.Silence != nil:
		if c := e.Silence.Change; c == nil {
			say("silence %s ends soon", e.Silence.ID)
		} else {
			names := ""
			for i, fp := range c.Alerts {
				names += []string{" (about ", ", "}[min(i, 1)] + who(fp)
			}
			if names != "" {
				names += ")"
			}
			say("silence %s %s%s", e.Silence.ID, c.Tell(stamp), names)
		}
	case e.Released != nil:
		say("%v released by %s", e.Released.Groups, e.Released.By)
	case e.Acked != nil:
		a := e.Acked
		names := make([]string, len(a.Alerts))
		for i, fp := range a.Alerts {
			names[i] = who(fp)
		}
		switch {
		case a.Ended != "":
			say("%s: %s", strings.Join(names, ", "), a.Ended)
		case a.Until.IsZero():
			say("%s acknowledged by %s from %s", strings.Join(names, ", "), a.By, a.From)
		default:
			say("%s acknowledged by %s from %s until %s", strings.Join(names, ", "), a.By, a.From, stamp(a.Until))
		}
	case e.Attempted != nil:
		next := ""
		if !e.Attempted.Next.IsZero() {
			next = ", again " + stamp(e.Attempted.Next)
		}
		if e.Attempted.DeadLetter {
			next = ", given up"
		}
		say("%s/%s: attempt %d %s%s", e.Attempted.Receiver, e.Attempted.Integration, e.Attempted.N, e.Attempted.Outcome, next)
	}
}

func stamp(t time.Time) string { return t.Format("Mon 15:04:05") }

func name(ls alertd.Labels) string {
	rest := labels.NewBuilder(ls).Del(alertd.LabelAlert).Labels()
	return ls.Get(alertd.LabelAlert) + rest.String()
}

// flaps says of an alert in a notification that it comes and goes.
func flaps(a *alertd.Notified) string {
	if a.Changes == 0 {
		return ""
	}
	return fmt.Sprintf(", %d changes", a.Changes)
}
