package engine

import (
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

// postedRule stands for whoever judged an alert that was posted, as Prometheus posts to an Alertmanager. It begins as
// all that are not in the rule files do, with internalPrefix.
const postedRule = alertd.RulePosted

// postedGrace is how long posted alerts stand after a start, whatever end they had: while the process was away nobody
// could post them again. It is Alertmanager's default resolve_timeout.
const postedGrace = 5 * time.Minute

// AlertsPosted brings alerts that somebody else has judged. Prometheus posts those that fire again and again, each time
// with a later end; one that is not posted any more is over when its end has passed.
type AlertsPosted struct {
	Alerts         []alertd.Posted
	ResolveTimeout time.Duration // how long one stands that names no end
}

func (AlertsPosted) input() {}

// posted follows one alert that somebody else has judged. Of a series of posts for an alert that fires, only the first
// is a decision; the others give it more time. That time is not in the journal, which would grow by an entry for each
// alert and minute: after a restart every posted alert gets the chance to be posted again.
func (m *Machine) posted(p *alertd.Posted, timeout time.Duration) {
	fp := alertd.FingerprintOf(p.Labels)
	old := m.alerts.get(fp)
	if old != nil && old.State != alertd.Resolved && old.Rule != postedRule {
		return // a rule of our own owns this label set
	}
	firing := old != nil && old.State.Active()
	if !p.EndsAt.IsZero() && !p.EndsAt.After(m.now) {
		if firing {
			m.close(*old, alertd.Earlier(alertd.Later(p.EndsAt, old.At), m.now), alertd.ReasonPostedOver)
		}
		return
	}
	ends := p.EndsAt
	if ends.IsZero() {
		ends = m.now.Add(timeout)
	}
	if firing {
		m.alerts.alive[fp] = ends
		if p.GeneratorURL == old.GeneratorURL && labels.Equal(p.Annotations, old.Annotations) {
			delete(m.alerts.latest, fp) // nothing new, which is the rule: then there is no second copy of it
			return
		}
		m.alerts.note(fp, latest{at: m.now, annotations: alertd.Texts(p.Annotations), generatorURL: p.GeneratorURL})
		return
	}
	since := m.now
	if !p.StartsAt.IsZero() {
		since = alertd.Earlier(p.StartsAt, m.now)
	}
	a := alertd.Alert{
		Fingerprint: fp, Rule: postedRule, Labels: p.Labels, Annotations: bounded(p.Annotations), State: alertd.Firing,
		ActiveAt: since, FiredAt: since, At: m.now, Expires: ends.Round(0).UTC(), GeneratorURL: p.GeneratorURL,
	}
	if m.policy.Enrich != nil {
		m.policy.Enrich(&a)
	}
	m.move(alertd.Transition{From: alertd.Inactive, Reason: alertd.ReasonPosted, Alert: a}, true)
}

// close resolves an alert that fires.
func (m *Machine) close(a alertd.Alert, at time.Time, why alertd.Reason) {
	from := a.State
	a.State, a.GoneAt, a.ResolvedAt, a.At, a.Expires = alertd.Resolved, at, at, at, time.Time{}
	if why == alertd.ReasonTimeout {
		a.GoneAt = time.Time{} // nobody said that it is well
	}
	m.move(alertd.Transition{From: from, Reason: why, Alert: a}, true)
}

// spare gives all posted alerts until an instant, whatever end they had named: who posts them could not reach us.
func (m *Machine) spare(until time.Time) {
	for _, a := range m.alerts.byRule[postedRule] {
		if a.State.Active() {
			m.alerts.alive[a.Fingerprint] = until
		}
	}
}
