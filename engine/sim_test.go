package engine_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	amlabels "github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/calendar"
	"alertd/engine"
	"alertd/router"
)

// world drives a machine with random verdicts, answers, restarts and reloads, all from one seed, and holds the
// machine to the promises of docs/architecture.md.
type world struct {
	t     *testing.T
	rng   *rand.Rand
	now   time.Time
	m     *engine.Machine
	rules []*alertd.Rule

	journal []alertd.Entry
	sending map[string]engine.Delivery // offered, not answered
	truth   map[string]bool            // rule/scope → condition

	ids      map[string]bool
	told     map[string]alertd.State // destination/fingerprint → last state that was planned for it
	flight   map[string]string       // group/destination → ID: one at a time
	attempts int
	flaps    int // recoveries that waited

	limits   limits
	promises promises
	drafts   drafts
	lean     bool // it only decides: nobody asks it anything, or looks at what it owes

	frozen *engine.Frozen
	was    []byte // what it has to be
	thaws  *rand.Rand
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), thaws: rand.New(rand.NewPCG(seed, 2)), now: time.Date(2026, 3, 27, 6, 0, 0, 0, time.UTC), m: engine.New(),
		sending: map[string]engine.Delivery{}, truth: map[string]bool{}, ids: map[string]bool{},
		told: map[string]alertd.State{}, flight: map[string]string{}, limits: newLimits(), promises: newPromises(),
	}
	for i, r := range []alertd.Rule{
		{Name: "Down"},
		{Name: "Slow", For: time.Minute},
		{Name: "Disk", KeepFiringFor: 5 * time.Minute},
		{Name: "Deployed", Occurrence: true, KeepFiringFor: time.Hour},
		{Name: "Breach", Occurrence: true, KeepFiringFor: 10 * time.Minute},
		{Name: "Quota", NoData: alertd.Keep, MissingFor: 2 * time.Minute, For: 10 * time.Second},
		{Name: "Probe", NoData: alertd.Alarm, OnError: alertd.Alarm, Recovers: true},
	} {
		r.ID = "f:g" + strconv.Itoa(i) + ":" + r.Name
		w.rules = append(w.rules, &r)
	}
	w.step(engine.PolicyChanged{Policy: policy(t, w.rules, 0)})
	return w
}

func matcher(t testing.TB, s string) *amlabels.Matcher {
	m, err := amlabels.ParseMatcher(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// policy is a tree with all three deliveries. Variants differ in what a reload may change.
func policy(t testing.TB, rules []*alertd.Rule, variant int) *engine.Policy {
	hours := []string{"mon-fri 09:00-17:00", "mon-sun 10:00-11:00"}[variant%2]
	cal, err := calendar.New(calendar.Spec{Name: "office", TimeZone: "Europe/Berlin", Hours: []string{hours}})
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for i, r := range rules {
		known[r.ID] = variant != 3 || i != 1 // variant 3 has lost a rule
	}
	base := router.Route{
		Receiver: "ops", GroupBy: []string{"alertname"}, GroupWait: 30 * time.Second, GroupInterval: 5 * time.Minute,
		RepeatInterval: 4 * time.Hour, RepageInterval: 20 * time.Minute, AckTimeout: time.Hour, MaxHold: 20 * time.Hour, Deliver: alertd.Immediate,
	}
	child := func(match, receiver string, d alertd.Delivery, wait time.Duration) *router.Route {
		r := base
		r.Matchers, r.Receiver, r.Deliver, r.GroupWait = []*amlabels.Matcher{matcher(t, match)}, receiver, d, wait
		if d == alertd.BusinessHours {
			r.Calendar = "office"
		}
		return &r
	}
	boss, team := "boss", "team"
	switch variant { // a reload may send what is new elsewhere
	case 1:
		team = "crew"
	case 2:
		boss = "successor" // there is no boss then
	}
	root := base
	critical := child(`severity="critical"`, "ops", alertd.Immediate, 0)
	critical.GroupBy = []string{"alertname", "service"}
	critical.Continue = variant%2 == 1
	oncall := &router.Escalation{Name: "oncall", Steps: []router.EscalationStep{{After: 5 * time.Minute, Receiver: "second"}, {After: 15 * time.Minute, Receiver: "chief"}}}
	if variant != 2 {
		critical.Escalation = oncall
	}
	root.Routes = []*router.Route{
		critical,
		child(`severity="critical"`, boss, alertd.Immediate, time.Minute),
		child(`severity="warning"`, team, alertd.BusinessHours, 30*time.Second),
		child(`severity="info"`, "team", alertd.Dashboard, 0),
	}
	root.Identify()
	limit := func(n int) int { // one variant has none
		if variant == 3 {
			return 0
		}
		return n
	}
	return &engine.Policy{
		Version: "v" + strconv.Itoa(variant), Route: &root, Calendars: map[string]*calendar.Calendar{"office": cal}, Rules: known,
		Escalations: map[string]*router.Escalation{"oncall": oncall},
		Inhibitions: router.Inhibitions{{
			Source: []*amlabels.Matcher{matcher(t, `alertname="Down"`)}, Target: []*amlabels.Matcher{matcher(t, `severity="warning"`)},
			Equal: []string{"service"},
		}},
		Receivers: []engine.Receiver{
			{Name: "ops", Integrations: []engine.Integration{{Name: "slack/0", SendResolved: true, ShowsAcks: true, Limit: limit(3)}, {Name: "webhook/0", SendResolved: true}}},
			{Name: "second", Integrations: []engine.Integration{{Name: "slack/0", SendResolved: true, ShowsAcks: true, Limit: limit(1)}}},
			{Name: "chief", Integrations: []engine.Integration{{Name: "webhook/0", SendResolved: true}}},
			{Name: boss, Integrations: []engine.Integration{{Name: "webhook/0", SendResolved: true}}},
			{Name: "crew", Integrations: []engine.Integration{{Name: "slack/0", SendResolved: true}}},
			{Name: "team", Integrations: []engine.Integration{{Name: "slack/0", SendResolved: true, Limit: limit(2)}}},
		},
	}
}

var severityOf = map[string]string{"Down": "critical", "Slow": "warning", "Disk": "warning", "Deployed": "info", "Breach": "critical", "Quota": "warning", "Probe": "critical"}

func finding(r *alertd.Rule, service string) alertd.Finding {
	return alertd.Finding{
		Labels: labels.FromStrings("alertname", r.Name, "service", service, "severity", severityOf[r.Name]),
		Scope:  "service=" + service, Value: 1,
	}
}

// step steps and remembers, as the loop of the daemon does.
func (w *world) step(in engine.Input) {
	w.remember(w.m.Step(w.now, in))
}

func (w *world) remember(entries []alertd.Entry) {
	for _, e := range entries {
		if n := e.Decisions(); n != 1 {
			w.t.Fatalf("an entry holds %d decisions", n)
		}
		b, err := json.Marshal(e)
		if err != nil {
			w.t.Fatal(err)
		}
		var back alertd.Entry
		if err := json.Unmarshal(b, &back); err != nil {
			w.t.Fatal(err)
		}
		w.journal = append(w.journal, back)
		if e.Withheld != nil && e.Withheld.Reason == alertd.ReasonFlapping {
			w.flaps++
		}
		w.checkLimits(&e)
		if e.Planned != nil && e.Planned.Notification.Summary == nil { // whose alerts were planned before
			w.checkPlanned(e.Planned.Notification)
		}
	}
}

func (w *world) checkPlanned(n alertd.Notification) {
	if w.ids[n.ID] {
		w.t.Fatalf("%s: notification %s is planned twice", w.now, n.ID)
	}
	w.ids[n.ID] = true
	w.promises.follow(w, &n)
	for _, a := range n.Alerts {
		key := n.Receiver + "/" + n.Integration + "/" + a.Fingerprint.String()
		switch {
		case a.State.Active():
			w.told[key] = alertd.Firing
		case n.Receiver == engine.Fallback: // in place of one that is gone
		case n.Digest && w.told[key] == "": // what was held and is over is one line in the digest
		case w.told[key] != alertd.Firing:
			w.t.Fatalf("%s: %s is resolved aloud to %s, which never heard that it fires", w.now, a.Name(), key)
		default:
			delete(w.told, key)
		}
	}
}

// deliver speaks, after the journal remembers.
func (w *world) deliver() {
	out, _ := w.m.Outgoing(w.now)
	for _, d := range out {
		for line, word := range w.limits.about[d.Notification.ID] {
			if word < w.limits.left[line] {
				w.t.Fatalf("%s: %s leaves after a newer word of the same group", w.now, d.Notification.ID)
			}
			w.limits.left[line] = word
			if id := w.flight[line]; id != "" && id != d.Notification.ID {
				w.t.Fatalf("%s: %s leaves while %s is not settled, which speaks of the same group", w.now, d.Notification.ID, id)
			}
			w.flight[line] = d.Notification.ID
		}
		w.sending[d.Notification.ID] = d
	}
}

// answer lets a sender answer something that is on its way.
func (w *world) answer(fail float64) {
	for _, id := range sorted(w.sending) {
		d := w.sending[id]
		delete(w.sending, id)
		a := alertd.Attempt{Notification: id, N: d.N, Outcome: alertd.Delivered, Ref: "C1:" + id}
		if x := w.rng.Float64(); x < fail {
			a.Outcome, a.Class, a.Ref = alertd.Retry, alertd.FailureServer, ""
			if x < fail/4 {
				a.Outcome, a.Class = alertd.Failed, alertd.FailureAuth
			}
		}
		w.attempts++
		w.step(engine.Answered{Attempt: a})
		if w.rng.IntN(3) > 0 {
			return
		}
	}
}

func sorted(m map[string]engine.Delivery) []string {
	var ids []string
	for id := range m {
		ids = append(ids, id)
	}
	for i := range ids { // few: insertion sort
		for j := i; j > 0 && ids[j] < ids[j-1]; j-- {
			ids[j], ids[j-1] = ids[j-1], ids[j]
		}
	}
	return ids
}

// pass lets time pass until now.
func (w *world) pass(d time.Duration) {
	end := w.now.Add(d)
	for range 10_000 {
		due, ok := w.m.Next()
		if !ok || due.After(end) {
			w.now = end
			return
		}
		if due.After(w.now) {
			w.now = due
		}
		w.time()
		w.deliver()
	}
	w.t.Fatalf("%s: the machine is due for ever", w.now)
}

// verdict says something about a rule: of one scope, or of all.
func (w *world) verdict() {
	r := w.rules[w.rng.IntN(len(w.rules))]
	service := []string{"api", "db", "web"}[w.rng.IntN(3)]
	v := alertd.Verdict{Rule: r, At: w.now.Add(-time.Duration(w.rng.IntN(3)) * time.Second)}
	switch {
	case w.rng.IntN(20) == 0:
		v.Err = "query timed out"
		if r.OnError == alertd.Alarm {
			v.Unknown = []alertd.Finding{finding(r, service)}
		}
	case r.Occurrence:
		v.True = []alertd.Finding{finding(r, service)}
	case w.rng.IntN(4) == 0: // a tick: the whole rule
		for _, s := range []string{"api", "db", "web"} {
			if w.truth[r.ID+s] {
				v.True = append(v.True, finding(r, s))
			}
		}
	default:
		w.truth[r.ID+service] = w.rng.IntN(2) == 0
		v.Scope = "service=" + service
		if w.truth[r.ID+service] {
			v.True = []alertd.Finding{finding(r, service)}
		}
	}
	if v.Err == "" && !r.Occurrence {
		w.doubt(&v)
	}
	for i := range v.True { // it moves while the alert stays
		v.True[i].Value = alertd.Value(w.rng.IntN(100))
		v.True[i].Annotations = alertd.Texts(labels.FromStrings(alertd.AnnotationSummary, "value "+v.True[i].Value.String()))
	}
	w.step(engine.Judged{Verdict: v})
}

// doubt makes a verdict one of those that do not know everything.
func (w *world) doubt(v *alertd.Verdict) {
	switch w.rng.IntN(8) {
	case 0, 1, 2:
		v.Witness = says(w.rng.IntN(4))
		if v.Rule.NoData == alertd.Alarm && v.Scope == "" && len(v.True) == 0 {
			v.Unknown = []alertd.Finding{finding(v.Rule, "db")}
		}
	case 3:
		v.Late, v.At = true, w.now.Add(-time.Duration(w.rng.IntN(60))*time.Second)
	case 4:
		v.Recovered = []alertd.Labels{labels.FromStrings("service", "api"), labels.FromStrings("service", "web")}
	}
}

// post posts an alert of somebody else's: one that fires, or its end.
func (w *world) post() {
	p := alertd.Posted{
		Labels: labels.FromStrings("alertname", "Theirs", "service", []string{"api", "db"}[w.rng.IntN(2)],
			"severity", []string{"critical", "warning"}[w.rng.IntN(2)]),
		StartsAt: w.now,
	}
	switch w.rng.IntN(3) {
	case 0:
		p.EndsAt = w.now
	case 1:
		p.EndsAt = w.now.Add(4 * time.Minute)
	}
	w.step(engine.AlertsPosted{Alerts: []alertd.Posted{p}, ResolveTimeout: 5 * time.Minute})
}

// flap lets a condition come and go, more quickly than chance does.
func (w *world) flap() {
	r, service := w.rules[0], []string{"api", "db", "web"}[w.rng.IntN(3)]
	for range 5 {
		w.truth[r.ID+service] = !w.truth[r.ID+service]
		v := alertd.Verdict{Rule: r, At: w.now, Scope: "service=" + service}
		if w.truth[r.ID+service] {
			v.True = []alertd.Finding{finding(r, service)}
		}
		w.step(engine.Judged{Verdict: v})
		w.pass(time.Duration(30+w.rng.IntN(60)) * time.Second)
		w.deliver()
		if !w.lean {
			w.promises.check(w) // else an end in between goes unseen
		}
	}
}

// silence makes, changes or ends a silence.
func (w *world) silence() {
	all := w.m.Silences(w.now)
	if len(all) > 0 && w.rng.IntN(2) == 0 {
		in, err := w.m.PlanExpiry(w.now, all[w.rng.IntN(len(all))].ID, alertd.Actor{By: "me", From: alertd.FromWeb})
		if err != nil {
			w.t.Fatal(err)
		}
		w.step(in)
		return
	}
	want := alertd.Silence{
		Matchers: []alertd.Matcher{{Name: "service", Value: []string{"api", "db|web"}[w.rng.IntN(2)], IsRegex: true, IsEqual: true}},
		StartsAt: w.now.Add(time.Duration(w.rng.IntN(10)) * time.Minute), CreatedBy: "me", Comment: "test",
	}
	want.EndsAt = want.StartsAt.Add(time.Duration(1+w.rng.IntN(180)) * time.Minute)
	if w.rng.IntN(4) == 0 {
		want.EndsAt = want.StartsAt.Add(time.Duration(1+w.rng.IntN(12)) * time.Hour)
	}
	if len(all) > 0 && w.rng.IntN(2) == 0 {
		want.ID = all[w.rng.IntN(len(all))].ID
	}
	switch w.rng.IntN(5) {
	case 0:
		want.Or = [][]alertd.Matcher{{{Name: "alertname", Value: "Disk", IsEqual: true}, {Name: "severity", Value: "info"}}}
	case 1:
		want.Recurs = &alertd.Recurrence{Cron: "*/20 * * * *", Duration: model.Duration(7 * time.Minute), Zone: "Europe/Berlin"}
	case 2:
		want.UntilResolved, want.StartsAt = true, w.now
	}
	in, _, err := w.m.PlanSilence(w.now, want, fmt.Sprint("silence-", len(w.journal)), alertd.Actor{From: alertd.FromAPI, Client: "127.0.0.1 amtool"})
	if err != nil && (!want.UntilResolved || !errors.Is(err, alertd.ErrInvalid)) { // nothing may fire that it could wait for
		w.t.Fatal(err)
	}
	w.step(in)
}

// reload brings another policy.
func (w *world) reload(variant int) {
	w.promises.unchased = variant == 2
	p := policy(w.t, w.rules, variant)
	maps.DeleteFunc(w.told, func(key string, _ alertd.State) bool { // who is gone is owed nothing
		name, _, _ := strings.Cut(key, "/")
		return !slices.ContainsFunc(p.Receivers, func(r engine.Receiver) bool { return r.Name == name })
	})
	w.step(engine.PolicyChanged{Policy: p})
}

// restart folds the journal as a new process does. Some answers are lost with the old one.
func (w *world) restart() {
	before := w.snapshot()
	m := engine.New()
	from := 0
	if w.rng.IntN(2) == 0 { // from a snapshot and the tail
		from = w.rng.IntN(len(w.journal) + 1)
		head := engine.New()
		for _, e := range w.journal[:from] {
			head.Apply(e)
		}
		b, err := head.Snapshot()
		if err != nil {
			w.t.Fatal(err)
		}
		if m, err = engine.Restore(b); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, e := range w.journal[from:] {
		m.Apply(e)
	}
	w.m = m
	if after := w.snapshot(); !bytes.Equal(before, after) {
		w.t.Fatalf("%s: folding the journal gives another state\nstepped: %s\nfolded:  %s", w.now, before, after)
	}
	clear(w.sending)
	w.m.Resume()
	w.reload(w.rng.IntN(4))
}

// snapshot without what Resume adds: whether an attempt may have arrived is known to a process, not to the journal.
func (w *world) snapshot() []byte {
	b, err := w.m.Snapshot()
	if err != nil {
		w.t.Fatal(err)
	}
	return bytes.ReplaceAll(b, []byte(`,"maybe":true`), nil)
}

func (w *world) run(steps int) {
	for range steps {
		switch w.rng.IntN(10) {
		case 0:
			w.pass(time.Duration(w.rng.IntN(7200)) * time.Second)
		case 1, 2:
			w.pass(time.Duration(w.rng.IntN(60)) * time.Second)
		case 3:
			w.answer(0.3)
		case 4:
			if w.rng.IntN(20) == 0 {
				w.restart()
			}
		case 6:
			switch w.rng.IntN(6) {
			case 0:
				w.silence()
			case 1:
				w.care()
			case 2:
				w.flap()
			default:
				w.post()
			}
		case 5:
			if w.rng.IntN(40) == 0 {
				w.reload(w.rng.IntN(4))
			}
		default:
			w.verdict()
		}
		w.pass(0)
		w.deliver()
		if !w.lean {
			w.promises.check(w)
			w.thaw()
		}
	}
}

// thaw compares a state that was frozen with what it was then: what has happened since must not be in it. It does so seldom, for it costs
// more than a step.
func (w *world) thaw() {
	if w.thaws.IntN(100) != 0 {
		return
	}
	if w.frozen != nil {
		var b bytes.Buffer
		if err := w.frozen.Write(&b); err != nil {
			w.t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), w.was) {
			w.t.Fatalf("%s: a frozen state changes\nwas: %s\nis:  %s", w.now, w.was, b.Bytes())
		}
	}
	var err error
	if w.was, err = w.m.Snapshot(); err != nil {
		w.t.Fatal(err)
	}
	w.frozen = w.m.Freeze()
}

// settle ends everything and lets every receiver answer: nothing may then be left open.
func (w *world) settle() {
	w.reload(0)
	w.limits.late = true // the clock makes leaps
	for range 400 {
		w.now = w.now.Add(30 * time.Minute)
		for _, r := range w.rules {
			if !r.Occurrence {
				w.step(engine.Judged{Verdict: alertd.Verdict{Rule: r, At: w.now, Recovered: []alertd.Labels{{}}}})
			}
		}
		w.pass(0)
		w.deliver()
		for len(w.sending) > 0 {
			w.answer(0)
			w.deliver()
		}
	}
	// A receiver that failed counts as failing until it takes something, and it may not have been sent anything since.
	failing := map[string]bool{}
	for _, a := range w.m.Alerts(w.now) {
		if a.Name() == "AlertdDeliveryFailed" {
			failing[a.Fingerprint.String()] = true
		} else if a.State != alertd.Resolved { // those are forgotten with the next entry that comes late enough
			w.t.Errorf("left over: %v", a.LogValue())
		}
	}
	for key, s := range w.told {
		if s == alertd.Firing && !failing[key[len(key)-16:]] {
			w.t.Errorf("%s was told that it fires and never that it is over", key)
		}
	}
	if n := len(w.limits.waiting); n > 0 {
		w.t.Errorf("%d messages wait for a place still", n)
	}
	if s := w.m.Stats(w.now); s.Pending != 0 || s.Groups > len(failing) {
		w.t.Errorf("left over: %+v", s)
	}
}

func seeds() uint64 {
	n, err := strconv.ParseUint(os.Getenv("SEEDS"), 10, 32)
	switch {
	case err == nil:
		return n
	case testing.Short() || raceDetector: // which multiplies what they cost by eight; `make test` runs the others without it
		return 12
	default:
		return 40
	}
}

func TestSimulation(t *testing.T) {
	var mu sync.Mutex
	told, flaps, folded, closed, called, drawn, late := 0, 0, 0, 0, 0, 0, 0
	t.Run("seeds", func(t *testing.T) {
		for seed := range seeds() {
			t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, seed)
				w.run(600)
				w.settle()
				mu.Lock()
				defer mu.Unlock()
				told += len(w.ids)
				flaps += w.flaps
				folded += w.limits.folded
				closed += w.promises.closed
				called += w.promises.called
				drawn += w.drafts.met
				late += w.drafts.late
			})
		}
	})
	if told == 0 || flaps == 0 || folded == 0 || closed == 0 || called == 0 || drawn == 0 || late == 0 {
		t.Errorf("the simulation paged %d times, %d recoveries waited, %d messages were told in summaries, %d ends were told under a silence, "+
			"%d alerts went to others, and %d digests left, %d of them late: it tests nothing", told, flaps, folded, closed, called, drawn, late)
	}
}

// Same inputs, same decisions: two runs from one seed give the same journal, byte for byte.
func TestDeterminism(t *testing.T) {
	t.Parallel()
	journal := func(seed uint64) string {
		w := newWorld(t, seed)
		w.lean = true
		w.run(400)
		var b strings.Builder
		for _, e := range w.journal {
			line, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			b.Write(line)
			b.WriteByte('\n')
		}
		return b.String()
	}
	for seed := range uint64(5) {
		first := journal(1000 + seed)
		for range 3 {
			if journal(1000+seed) != first {
				t.Fatalf("seed %d: two runs differ", seed)
			}
		}
	}
}
