package rehearse

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"alertd"
	"alertd/config"
	"alertd/engine"
	"alertd/rules"
)

const (
	// maxTold bounds what a report lists; the totals count everything.
	maxTold = 100_000
	// brief is how long an episode lasts that nobody could have done anything about.
	brief = 5 * time.Minute
	// flapping is how soon an alert fires again that had better not ended.
	flapping = 15 * time.Minute
)

// Backtest replays events through one policy. Give it the events in the order of their arrival, then ask for the
// report. It is not safe for concurrent use.
type Backtest struct {
	policy    *engine.Policy
	evaluator *rules.Evaluator
	desk      *desk
	series    engine.Series
	selfDue   time.Time
	lastEvent time.Time

	report   Report
	alerts   map[string]*AlertTotal
	withheld map[alertd.Reason]int
	hidden   map[string]*HiddenTotal
	names    map[alertd.Fingerprint]string // of alerts that have fired
	errors   map[string]*RuleError
	ended    map[alertd.Fingerprint]time.Time
	counted  int // how many of desk.told are in the totals
	totals   map[string]*ReceiverTotal
}

// Report is what would have happened.
type Report struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`

	Messages    int `json:"messages"`
	Samples     int `json:"samples"`
	Occurrences int `json:"occurrences"`

	Told      []Told          `json:"notifications"`
	Unlisted  int             `json:"unlisted,omitempty"` // notifications that Told leaves out
	Receivers []ReceiverTotal `json:"receivers"`
	Alerts    []AlertTotal    `json:"alerts"`
	Withheld  []ReasonTotal   `json:"withheld"`
	Hidden    []HiddenTotal   `json:"hidden,omitempty"` // the inhibited ones among them
	Errors    []RuleError     `json:"errors,omitempty"`
}

// ReceiverTotal counts what one receiver was told, by the severity of the notification.
type ReceiverTotal struct {
	Receiver string `json:"receiver"`
	Critical int    `json:"critical"`
	Warning  int    `json:"warning"`
	Info     int    `json:"info"`
	Other    int    `json:"other"`
	Total    int    `json:"total"`
}

// AlertTotal says how much noise all alerts of one name make.
type AlertTotal struct {
	Alert    string          `json:"alert"`
	Severity alertd.Severity `json:"severity,omitempty"`
	Fired    int             `json:"fired"`
	Told     int             `json:"told"`     // notifications that name it
	Brief    int             `json:"brief"`    // ended within five minutes
	Flapped  int             `json:"flapped"`  // fired again within fifteen minutes
	FiringMS int64           `json:"firingMs"` // together, those that have ended
}

// ReasonTotal counts why alerts were not told, or not yet.
type ReasonTotal struct {
	Reason alertd.Reason `json:"reason"`
	Count  int           `json:"count"`
}

// HiddenTotal counts how often one alert kept another one from being told, by one inhibition rule or dependency.
type HiddenTotal struct {
	Alert string `json:"alert"`
	By    string `json:"by"`            // the name of the alert that fired
	How   string `json:"how,omitempty"` // the rule, and what both have in common, or which service depends on which
	Count int    `json:"count"`
}

// RuleError is a rule that could not be evaluated.
type RuleError struct {
	Rule    string `json:"rule"`
	Count   int    `json:"count"`
	Example string `json:"example"`
}

// NewBacktest begins at an instant, with no alert and an empty window, which [Backtest.Warm] may fill.
func NewBacktest(p *config.Policy, start time.Time) *Backtest {
	start = start.Round(0).UTC()
	b := &Backtest{
		policy: p.Engine(), evaluator: rules.NewEvaluator(p.Rules, rules.Options{}, start),
		selfDue: start, lastEvent: start,
		alerts: map[string]*AlertTotal{}, withheld: map[alertd.Reason]int{},
		hidden: map[string]*HiddenTotal{}, names: map[alertd.Fingerprint]string{}, errors: map[string]*RuleError{},
		ended: map[alertd.Fingerprint]time.Time{}, totals: map[string]*ReceiverTotal{},
	}
	b.report.From = start
	b.desk = newDesk(b.policy, start)
	b.desk.note = b.note
	return b
}

// Warm takes samples from before the start: they fill the window and are not judged.
func (b *Backtest) Warm(samples []alertd.Sample) { b.evaluator.Warm(samples) }

// Take is a message that arrived at an instant, not before the one before it.
func (b *Backtest) Take(at time.Time, seq uint64, events *alertd.Events) {
	at = at.Round(0).UTC()
	if at.Before(b.desk.now) {
		at = b.desk.now
	}
	b.pass(at)
	b.report.Messages++
	b.report.Samples += len(events.Samples)
	b.report.Occurrences += len(events.Occurrences)
	b.lastEvent = at
	if len(events.Samples) > 0 {
		b.evaluator.Append(at, seq, events.Samples)
	}
	var verdicts []alertd.Verdict
	if len(events.Occurrences) > 0 {
		verdicts = b.evaluator.Observe(at, seq, events.Occurrences)
	}
	b.turn(at, verdicts)
}

// pass lets the time go on until just before an instant: what is due in between happens when it is due.
func (b *Backtest) pass(until time.Time) {
	for {
		next := b.selfDue
		if at, ok := b.evaluator.Next(); ok && at.Before(next) {
			next = at
		}
		if at, ok := b.desk.machine.Next(); ok && at.Before(next) {
			next = at
		}
		if !next.Before(until) {
			return
		}
		if next.Before(b.desk.now) {
			next = b.desk.now
		}
		b.turn(next, nil)
	}
}

// turn is a turn of the daemon's loop.
func (b *Backtest) turn(now time.Time, verdicts []alertd.Verdict) {
	if !now.Before(b.selfDue) {
		b.selfDue = now.Add(rules.SelfEvery)
		b.evaluator.Append(now, 0, rules.Self(now, b.lastEvent))
	}
	b.desk.now = now
	follow := func(v alertd.Verdict) []alertd.Sample {
		if v.Err != "" {
			b.failed(v)
		}
		if decided := b.desk.step(engine.Judged{Verdict: v}); v.Err != "" || !decided && v.Scope != "" {
			return nil
		}
		return b.series.Of(b.desk.machine, v.Rule.ID, v.Scope, v.At)
	}
	for _, v := range verdicts {
		follow(v)
	}
	for _, v := range b.evaluator.CatchUp(now) {
		b.evaluator.Append(now, 0, follow(v))
	}
	b.evaluator.Tick(now, follow)
	b.desk.turn(now, nil)
	b.count()
}

func (b *Backtest) failed(v alertd.Verdict) {
	e := b.errors[v.Rule.ID]
	if e == nil {
		e = &RuleError{Rule: v.Rule.ID, Example: v.Err}
		b.errors[v.Rule.ID] = e
	}
	e.Count++
}

// hid counts what hid an alert, if another alert did.
func (b *Backtest) hid(w *alertd.Withheld) {
	if w.Reason != alertd.ReasonInhibited {
		return
	}
	by, _ := alertd.ParseFingerprint(w.By)
	t := HiddenTotal{Alert: b.names[w.Fingerprint], By: b.names[by], How: w.Detail}
	key := strings.Join([]string{t.Alert, t.By, t.How}, "\x00")
	if b.hidden[key] == nil {
		b.hidden[key] = &t
	}
	b.hidden[key].Count++
}

// note counts what a decision says about noise.
func (b *Backtest) note(e *alertd.Entry) {
	switch {
	case e.Withheld != nil:
		b.withheld[e.Withheld.Reason]++
		b.hid(e.Withheld)
	case e.Transition != nil:
		a := &e.Transition.Alert
		b.names[a.Fingerprint] = a.Name()
		was, is := e.Transition.From.Active(), a.State.Active()
		t := b.of(a)
		switch {
		case is && !was:
			t.Fired++
			if at, ok := b.ended[a.Fingerprint]; ok && a.FiredAt.Sub(at) < flapping {
				t.Flapped++
			}
		case was && !is:
			lasted := a.ResolvedAt.Sub(a.FiredAt)
			t.FiringMS += lasted.Milliseconds()
			if lasted < brief {
				t.Brief++
			}
			b.ended[a.Fingerprint] = a.ResolvedAt
		}
	}
}

func (b *Backtest) of(a *alertd.Alert) *AlertTotal {
	t := b.alerts[a.Name()]
	if t == nil {
		t = &AlertTotal{Alert: a.Name(), Severity: a.Severity()}
		b.alerts[a.Name()] = t
	}
	if a.Severity().Rank() < t.Severity.Rank() {
		t.Severity = a.Severity()
	}
	return t
}

// count takes into the totals what was told since the last time.
func (b *Backtest) count() {
	told := b.desk.told
	for ; b.counted < len(told); b.counted++ {
		t := &told[b.counted]
		r := b.totals[t.Receiver]
		if r == nil {
			r = &ReceiverTotal{Receiver: t.Receiver}
			b.totals[t.Receiver] = r
		}
		r.Total++
		switch t.Severity.Rank() {
		case 0:
			r.Critical++
		case 1:
			r.Warning++
		case 2:
			r.Info++
		default:
			r.Other++
		}
		names := map[string]bool{}
		for i := range t.Alerts {
			if name := t.Alerts[i].Name(); !names[name] {
				names[name] = true
				b.of(&t.Alerts[i].Alert).Told++
			}
		}
	}
	if len(told) > maxTold {
		b.report.Unlisted += len(told) - maxTold
		b.desk.told, b.counted = told[:maxTold], maxTold
	}
}

// End lets the time go on until an instant, and says what has happened.
func (b *Backtest) End(at time.Time) *Report {
	at = at.Round(0).UTC()
	if at.Before(b.desk.now) {
		at = b.desk.now
	}
	b.pass(at)
	b.turn(at, nil)
	r := &b.report
	r.To, r.Told = at, b.desk.told
	r.Receivers = sorted(b.totals, func(a, b ReceiverTotal) int {
		return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(a.Receiver, b.Receiver))
	})
	r.Alerts = sorted(b.alerts, func(a, b AlertTotal) int {
		return cmp.Or(cmp.Compare(b.Told, a.Told), cmp.Compare(b.Fired, a.Fired), cmp.Compare(a.Alert, b.Alert))
	})
	r.Alerts = slices.DeleteFunc(r.Alerts, func(t AlertTotal) bool { return t.Fired == 0 && t.Told == 0 })
	for reason, n := range b.withheld {
		r.Withheld = append(r.Withheld, ReasonTotal{reason, n})
	}
	r.Hidden = sorted(b.hidden, func(a, b HiddenTotal) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Alert, b.Alert), cmp.Compare(a.By, b.By), cmp.Compare(a.How, b.How))
	})
	slices.SortFunc(r.Withheld, func(a, b ReasonTotal) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	r.Errors = sorted(b.errors, func(a, b RuleError) int { return cmp.Compare(a.Rule, b.Rule) })
	return r
}

func sorted[T any](m map[string]*T, less func(a, b T) int) []T {
	out := make([]T, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, *m[name])
	}
	slices.SortStableFunc(out, less)
	return out
}
