package engine

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// orphanGrace is how long an alert outlives its rule: time enough for a renamed or moved rule to yield the same
// labels again and adopt it.
const orphanGrace = 5 * time.Minute

// judge follows one verdict: what it finds is true begins or goes on, everything else in its scope ends.
func (m *Machine) judge(v alertd.Verdict) {
	if v.Err != "" {
		return // nothing is known, so nothing changes: a failed evaluation is not "resolved"
	}
	before := m.alerts.within(v.Rule.ID, v.Scope)
	if len(v.True) == 0 && len(before) == 0 {
		return
	}
	found := make(map[alertd.Fingerprint]bool, len(v.True))
	for _, f := range v.True {
		fp := alertd.FingerprintOf(f.Labels)
		if found[fp] {
			continue
		}
		found[fp] = true
		m.found(v, f, fp)
	}
	if v.Rule.Occurrence {
		return // an occurrence ends when it expires
	}
	for _, a := range before {
		if !found[a.Fingerprint] {
			m.move(gone(*a, v.Rule, v.At))
		}
	}
}

// found follows one label set for which the condition is true.
func (m *Machine) found(v alertd.Verdict, f alertd.Finding, fp alertd.Fingerprint) {
	old := m.alerts.get(fp)
	if old != nil && !v.At.After(old.At) && (old.State == alertd.Resolved || v.At.Before(old.At) || v.Rule.Occurrence) {
		return // known already: the event came late, or again
	}
	if old != nil && old.Rule != v.Rule.ID && old.State != alertd.Resolved && m.policy.Rules[old.Rule] {
		return // another rule owns this label set; `alertd check` reports the pair
	}
	a := alertd.Alert{
		Fingerprint: fp, Rule: v.Rule.ID, Labels: f.Labels, Annotations: bounded(f.Annotations),
		Value: f.Value, Scope: f.Scope, Trace: f.Trace, At: v.At,
	}
	from, reason := alertd.Inactive, alertd.ReasonTrue
	if old != nil && old.State != alertd.Resolved {
		from, a.ActiveAt, a.FiredAt = old.State, old.ActiveAt, old.FiredAt
	} else {
		a.ActiveAt = v.At
	}
	switch {
	case v.Rule.Occurrence:
		if from != alertd.Inactive {
			reason = alertd.ReasonAgain
		} else {
			a.FiredAt = v.At
		}
		a.State, a.Expires = alertd.Firing, laterOf(v.At, m.now).Add(v.Rule.KeepFiringFor)
	case from == alertd.Firing && old.Rule == v.Rule.ID && old.Scope == f.Scope && old.Expires.IsZero():
		return // nothing new
	case from == alertd.Firing:
		a.State, reason = alertd.Firing, alertd.ReasonRuleMoved
	case from == alertd.Recovering:
		a.State, reason = alertd.Firing, alertd.ReasonTrueAgain
	case v.At.Sub(a.ActiveAt) >= v.Rule.For:
		a.State, a.FiredAt = alertd.Firing, v.At
		if from == alertd.Pending {
			reason = alertd.ReasonHeldFor
		}
	case from == alertd.Pending && old.Rule == v.Rule.ID && old.Scope == f.Scope:
		return // still waiting
	default:
		a.State = alertd.Pending
	}
	if m.policy.Enrich != nil {
		m.policy.Enrich(&a)
	}
	m.move(alertd.Transition{From: from, Reason: reason, Alert: a}, true)
}

// gone is what becomes of an alert whose condition is false at an instant; false if nothing does.
func gone(a alertd.Alert, r *alertd.Rule, at time.Time) (alertd.Transition, bool) {
	if at.Before(a.At) || !a.Expires.IsZero() {
		return alertd.Transition{}, false // it knows better, or it is not the condition that ends it
	}
	t := alertd.Transition{From: a.State}
	switch a.State {
	case alertd.Pending:
		a.State, t.Reason = alertd.Inactive, alertd.ReasonFalse
	case alertd.Firing:
		a.GoneAt = at
		if r.KeepFiringFor > 0 {
			a.State, t.Reason = alertd.Recovering, alertd.ReasonKept
			break
		}
		a.State, a.ResolvedAt, t.Reason = alertd.Resolved, at, alertd.ReasonFalse
	case alertd.Recovering:
		if at.Sub(a.GoneAt) < r.KeepFiringFor {
			return alertd.Transition{}, false
		}
		a.State, a.ResolvedAt, t.Reason = alertd.Resolved, at, alertd.ReasonKeptOver
	default:
		return alertd.Transition{}, false
	}
	a.At = at
	t.Alert = a
	return t, true
}

// expire resolves the standing alert whose time is over: an occurrence, or an alert whose rule is gone.
func (m *Machine) expire() {
	a := *m.alerts.expired()
	t := alertd.Transition{From: a.State, Reason: alertd.ReasonExpired}
	if !m.policy.Rules[a.Rule] && !internal(a.Rule) {
		t.Reason = alertd.ReasonRuleGone
	}
	at := laterOf(a.At, a.Expires)
	a.State, a.GoneAt, a.ResolvedAt, a.At, a.Expires = alertd.Resolved, at, at, at, time.Time{}
	t.Alert = a
	m.move(t, true)
}

// move makes a transition and lets the groups know.
func (m *Machine) move(t alertd.Transition, ok bool) {
	if !ok {
		return
	}
	m.emit(alertd.Entry{Transition: &t})
	switch was, is := t.From.Active(), t.Alert.State.Active(); {
	case is && !was:
		m.begin(&t.Alert)
	case was && !is:
		m.end(&t.Alert)
	}
}

// change takes a new policy. Alerts whose rule is gone get a time to live; what was not told yet is routed
// anew; what a calendar holds is due when the calendar of today says so.
func (m *Machine) change(p *Policy) {
	m.policy = p
	clear(m.inhibitors)
	for _, a := range m.alerts.byPrint {
		m.source(a)
	}
	if m.version != p.Version {
		m.emit(alertd.Entry{Policy: &alertd.PolicySet{Version: p.Version}})
	}
	for _, a := range m.alerts.sorted() {
		switch {
		case a.State == alertd.Resolved || internal(a.Rule):
		case p.Rules[a.Rule] || !a.Expires.IsZero():
		case a.State == alertd.Pending:
			b := *a
			b.State = alertd.Inactive
			m.move(alertd.Transition{From: a.State, Reason: alertd.ReasonRuleGone, Alert: b}, true)
			continue
		default:
			b := *a
			b.Expires = m.now.Add(orphanGrace)
			m.move(alertd.Transition{From: a.State, Reason: alertd.ReasonRuleGone, Alert: b}, true)
		}
		if b := m.alerts.get(a.Fingerprint); b != nil && b.State.Active() && !internal(b.Rule) {
			m.reroute(b)
		}
	}
	for _, g := range slices.Collect(m.groups.All()) {
		m.reschedule(g)
	}
}

// bounded cuts what templates made of annotations to a size that every commit of the journal can hold. What is
// longer belongs into the runbook.
func bounded(annotations alertd.Labels) alertd.Labels {
	const limit = 4 << 10
	b := labels.NewBuilder(annotations)
	annotations.Range(func(l labels.Label) {
		if len(l.Value) > limit {
			b.Set(l.Name, strings.ToValidUTF8(l.Value[:limit], "")+"…")
		}
	})
	return b.Labels()
}

func laterOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
