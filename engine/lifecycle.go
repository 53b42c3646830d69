package engine

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/router"
)

// orphanGrace is how long an alert outlives its rule: time enough for a renamed or moved rule to yield the same
// labels again and adopt it.
const orphanGrace = 5 * time.Minute

// judge follows one verdict: what it finds is true begins or goes on, everything else in its scope ends, unless
// nothing is known of it.
func (m *Machine) judge(v alertd.Verdict) {
	if v.Err != "" {
		// A failed evaluation is not "resolved": nothing changes, except where not to know is an alert.
		for _, f := range v.Unknown {
			m.found(v, f, alertd.Failing)
		}
		return
	}
	before := m.alerts.within(v.Rule.ID, v.Scope)
	if len(v.True) == 0 && len(before) == 0 && len(v.Unknown) == 0 {
		return
	}
	found := make(map[alertd.Fingerprint]bool, len(v.True))
	for _, f := range v.True {
		if fp := alertd.FingerprintOf(f.Labels); !found[fp] {
			found[fp] = true
			m.found(v, f, alertd.Firing)
		}
	}
	for _, f := range v.Unknown {
		if fp := alertd.FingerprintOf(f.Labels); !found[fp] {
			found[fp] = true
			m.found(v, f, alertd.NoData)
		}
	}
	if v.Rule.Occurrence {
		return // an occurrence ends when it expires
	}
	for _, a := range before {
		if found[a.Fingerprint] {
			continue
		}
		switch p := v.Presence(a.Scope); {
		case p == alertd.Present:
			m.move(untrue(a, v))
		case p == alertd.Retired:
			m.move(gone(*a, v, alertd.ReasonRetired))
		case keeps(a, v, p):
			m.move(kept(*a, v.At, reasonOf[p]))
		default:
			m.move(gone(*a, v, alertd.ReasonGone))
		}
	}
}

// found follows one label set for which the condition is true (what is Firing), or of which nothing is known
// (NoData, Failing) and whose rule says that this is an alert.
func (m *Machine) found(v alertd.Verdict, f alertd.Finding, what alertd.State) {
	fp := alertd.FingerprintOf(f.Labels)
	old := m.alerts.get(fp)
	if old != nil && known(old, v) {
		return // the event came late, or again
	}
	if old != nil && old.Rule != v.Rule.ID && old.State != alertd.Resolved && m.policy.Rules[old.Rule] {
		return // another rule owns this label set; `alertd check` reports the pair
	}
	a := alertd.Alert{
		Fingerprint: fp, Rule: v.Rule.ID, Labels: f.Labels,
		Value: f.Value, Scope: f.Scope, Trace: f.Trace, TraceNote: f.TraceNote, At: v.At, ActiveAt: v.At,
	}
	now := latest{at: v.At, value: f.Value, annotations: f.Annotations}
	from, reason, same := alertd.Inactive, reasonFor[what], false
	if old != nil && old.State != alertd.Resolved {
		from, a.ActiveAt, a.FiredAt = old.State, old.ActiveAt, old.FiredAt
		same = old.Rule == v.Rule.ID && old.Scope == f.Scope && old.Expires.IsZero()
	}
	switch {
	case v.Rule.Occurrence:
		if from != alertd.Inactive {
			reason = alertd.ReasonAgain
		} else {
			a.FiredAt = v.At
		}
		stands := cmp.Or(f.ValidFor, v.Rule.KeepFiringFor)
		a.State, a.Expires = alertd.Firing, alertd.Later(v.At, m.now).Add(stands)
	case from == what:
		if same {
			m.alerts.note(fp, now)
			return // no more than that
		}
		a.State, a.GoneAt, reason = what, old.GoneAt, alertd.ReasonRuleMoved
	case from.Active() && what != alertd.Firing:
		a.State, a.GoneAt = what, v.At
	case from.Active():
		a.State, reason = alertd.Firing, alertd.ReasonTrueAgain
	case v.At.Sub(a.ActiveAt) >= v.Rule.For:
		a.State, a.FiredAt = what, v.At
		if from == alertd.Pending && what == alertd.Firing {
			reason = alertd.ReasonHeldFor
		}
		if what != alertd.Firing {
			a.GoneAt = v.At
		}
	case from == alertd.Pending && v.At.Before(a.ActiveAt): // only late samples take it there
		a.State, a.ActiveAt, reason = alertd.Pending, v.At, alertd.ReasonLate
	case from == alertd.Pending && same:
		m.alerts.note(fp, now)
		return // still waiting
	case from == alertd.Pending:
		a.State, reason = alertd.Pending, alertd.ReasonRuleMoved
	default:
		a.State = alertd.Pending
	}
	a.Annotations = bounded(f.Annotations.Labels())
	if m.policy.Enrich != nil {
		m.policy.Enrich(&a)
	}
	delete(m.alerts.latest, fp)
	m.move(alertd.Transition{From: from, Reason: reason, Alert: a}, true)
}

// known reports whether an alert has heard of the instant of a verdict, or of a later one, already. A slot that is
// evaluated again because of late samples may still move the beginning of what is pending.
//
// At the very instant of its end an alert stays over: after a crash the same events are judged again, and of two that are
// of one millisecond the first would raise it anew and page twice. What is true again within a millisecond fires at the
// next evaluation, a tick at the latest.
func known(old *alertd.Alert, v alertd.Verdict) bool {
	switch {
	case old.State == alertd.Resolved || v.Rule.Occurrence:
		return !v.At.After(old.At)
	case v.Late && old.State == alertd.Pending:
		return false
	default:
		return v.At.Before(old.At)
	}
}

// reasonFor is why an alert enters a state that it is found in.
var reasonFor = map[alertd.State]alertd.Reason{
	alertd.Firing: alertd.ReasonTrue, alertd.NoData: alertd.ReasonNoData, alertd.Failing: alertd.ReasonFailed,
}

// reasonOf is why an alert is kept although its condition is not true.
var reasonOf = map[alertd.Presence]alertd.Reason{
	alertd.Missing: alertd.ReasonMissing, alertd.Absent: alertd.ReasonNoData, alertd.Silent: alertd.ReasonSilent,
}

// keeps reports whether an alert stays, though its series are gone.
func keeps(a *alertd.Alert, v alertd.Verdict, p alertd.Presence) bool {
	switch {
	case p == alertd.Silent:
		return true // whatever the policy: nobody has said anything
	case p == alertd.Missing && v.Rule.MissingFor > 0:
		return a.State != alertd.NoData || v.At.Sub(a.GoneAt) < v.Rule.MissingFor
	default:
		return v.Rule.NoData == alertd.Keep || v.Rule.NoData == alertd.Alarm
	}
}

// kept is what becomes of an alert whose series are gone and that stays; false if it says so already. What is
// pending or recovering stays just that.
func kept(a alertd.Alert, at time.Time, why alertd.Reason) (alertd.Transition, bool) {
	if at.Before(a.At) || a.State != alertd.Firing && a.State != alertd.Failing {
		return alertd.Transition{}, false
	}
	t := alertd.Transition{From: a.State, Reason: why}
	a.State, a.GoneAt, a.At, a.Expires = alertd.NoData, at, at, time.Time{}
	t.Alert = a
	return t, true
}

// untrue is what becomes of an alert whose condition is false; false if nothing does. With a recovery condition, what
// fires waits for that.
func untrue(a *alertd.Alert, v alertd.Verdict) (alertd.Transition, bool) {
	if !v.Rule.Recovers || !a.State.Active() {
		return gone(*a, v, alertd.ReasonFalse)
	}
	for _, ls := range v.Recovered {
		if covers(a.Labels, ls) {
			return gone(*a, v, alertd.ReasonRecovered)
		}
	}
	if a.State == alertd.Firing || v.At.Before(a.At) {
		return alertd.Transition{}, false
	}
	b := *a // its series are back, and so is what was known before they went
	b.State, b.GoneAt, b.At = alertd.Firing, time.Time{}, v.At
	return alertd.Transition{From: a.State, Reason: alertd.ReasonTrueAgain, Alert: b}, true
}

// covers reports whether all of some labels are among others.
func covers(all, some alertd.Labels) bool {
	is := true
	some.Range(func(l labels.Label) { is = is && all.Get(l.Name) == l.Value })
	return is
}

// gone is what becomes of an alert that is over; false if nothing does. What is retired does not come back, so there is
// nothing to keep firing for.
func gone(a alertd.Alert, v alertd.Verdict, why alertd.Reason) (alertd.Transition, bool) {
	keep, at := v.Rule.KeepFiringFor, v.At
	if why == alertd.ReasonRetired {
		keep = 0
	}
	rewound := v.Late && a.State == alertd.Pending && !at.Before(a.ActiveAt)
	if at.Before(a.At) && !rewound {
		return alertd.Transition{}, false // it knows better
	}
	t := alertd.Transition{From: a.State, Reason: why}
	switch a.State {
	case alertd.Pending:
		a.State = alertd.Inactive
	case alertd.Firing, alertd.NoData, alertd.Failing:
		a.GoneAt = at
		if keep > 0 {
			a.State, t.Reason = alertd.Recovering, alertd.ReasonKept
			break
		}
		a.State, a.ResolvedAt = alertd.Resolved, at
	case alertd.Recovering:
		if at.Sub(a.GoneAt) < keep {
			return alertd.Transition{}, false
		}
		if why != alertd.ReasonRetired {
			t.Reason = alertd.ReasonKeptOver
		}
		a.State, a.ResolvedAt = alertd.Resolved, at
	default:
		return alertd.Transition{}, false
	}
	a.At, a.Expires = at, time.Time{}
	t.Alert = a
	return t, true
}

// expire ends the standing alert whose time is over: an occurrence, or an alert whose rule is gone.
func (m *Machine) expire() {
	a := *m.alerts.expired()
	switch {
	case a.State == alertd.Pending: // its rule is gone, and nobody heard of it
		from := a.State
		a.State, a.At, a.Expires = alertd.Inactive, alertd.Later(a.At, a.Expires), time.Time{}
		m.move(alertd.Transition{From: from, Reason: alertd.ReasonRuleGone, Alert: a}, true)
	case a.Rule == postedRule:
		m.close(a, m.now, alertd.ReasonTimeout)
	case !m.policy.Rules[a.Rule]:
		m.close(a, alertd.Later(a.At, a.Expires), alertd.ReasonRuleGone)
		m.leave(a.Fingerprint)
	default:
		m.close(a, alertd.Later(a.At, a.Expires), alertd.ReasonExpired)
	}
}

// leave takes an alert whose rule is gone out of the groups that have not told it yet: nobody is to look for it on Monday.
func (m *Machine) leave(fp alertd.Fingerprint) {
	for _, g := range slices.Clone(m.groups.Of(fp)) {
		if !g.Members[fp].Told {
			m.withhold(g, fp, alertd.Withheld{Reason: alertd.ReasonRuleGone})
			m.emit(alertd.Entry{Flushed: &alertd.Flushed{Group: g.Group, Ended: []alertd.Fingerprint{fp}}})
		}
	}
}

// move makes a transition and lets the groups know.
func (m *Machine) move(t alertd.Transition, ok bool) {
	if !ok {
		return
	}
	t.Alert = m.present(&t.Alert)
	m.emit(alertd.Entry{Transition: &t})
	switch was, is := t.From.Active(), t.Alert.State.Active(); {
	case is && !was:
		m.begin(&t.Alert)
	case was && !is:
		m.end(&t.Alert)
		m.endResolved()
	}
}

// change takes a new policy. Alerts whose rule is gone get a time to live; what was not told yet is routed
// anew; what a calendar holds is due when the calendar of today says so.
func (m *Machine) change(p *Policy) {
	if m.policy == nil {
		m.spare(m.now.Add(postedGrace))
	}
	m.policy = p
	m.inhibitor = router.NewInhibitor(p.Inhibitions, p.Depends)
	for _, a := range m.alerts.sorted() {
		m.source(a)
	}
	if m.version != p.Version {
		m.emit(alertd.Entry{Policy: &alertd.PolicySet{Version: p.Version}})
	}
	bereft := m.bereave()
	for _, a := range m.alerts.sorted() {
		switch {
		case a.State == alertd.Resolved || internal(a.Rule):
		case p.Rules[a.Rule] || !a.Expires.IsZero():
		default:
			b := *a
			b.Expires = m.now.Add(orphanGrace)
			m.move(alertd.Transition{From: a.State, Reason: alertd.ReasonRuleGone, Alert: b}, true)
		}
		if b := m.alerts.get(a.Fingerprint); b != nil && b.State.Active() && !ownRoute(b.Rule) {
			m.reroute(b, bereft[b.Fingerprint])
		}
	}
	m.calmGone()
	m.endResolved()
	m.outbox.limitsChanged(m.now)
	for _, g := range slices.Collect(m.groups.All()) {
		m.reschedule(g)
	}
}

// bounded cuts what templates made of annotations to a size that somebody may read. What is longer belongs into the runbook.
func bounded(annotations alertd.Labels) alertd.Labels {
	const limit = 4 << 10
	long := false
	annotations.Range(func(l labels.Label) { long = long || len(l.Value) > limit })
	if !long {
		return annotations
	}
	b := labels.NewScratchBuilder(annotations.Len())
	annotations.Range(func(l labels.Label) {
		if len(l.Value) > limit {
			l.Value = strings.ToValidUTF8(l.Value[:limit], "") + "…"
		}
		b.Add(l.Name, l.Value)
	})
	return b.Labels()
}
