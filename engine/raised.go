package engine

import (
	"iter"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/grouping"
)

// The severity of an alert is one of its labels. So an alert whose severity is raised is another alert, which goes its own
// way at once, and the one that it was ends. People see one trouble that got worse: the page says since when it was held,
// and no digest says that it was resolved. Where it is lowered again, its end says that it goes on.

// severityWords are the severities as rule files have them.
var severityWords = []string{"critical", "page", "emergency", "fatal", "warning", "warn", "info", "information", "notice"}

// siblings yields the alerts that differ from one in nothing but the severity, in the order of severityWords.
func (m *Machine) siblings(a *alertd.Alert) iter.Seq[*alertd.Alert] {
	return func(yield func(*alertd.Alert) bool) {
		own := a.Labels.Get(alertd.LabelSeverity)
		if own == "" {
			return
		}
		b := labels.NewBuilder(a.Labels)
		for _, word := range severityWords {
			if word == own {
				continue
			}
			other := m.alerts.get(alertd.FingerprintOf(b.Set(alertd.LabelSeverity, word).Labels()))
			if other != nil && other.Severity() != a.Severity() && !yield(other) {
				return
			}
		}
	}
}

// heldBefore is since when, and as what, an alert was held that is told now for the first time: as a less urgent one. The
// zero time: it was not.
func (m *Machine) heldBefore(a *alertd.Alert) (since time.Time, as alertd.Severity) {
	if !m.groups.Hold() {
		return since, as
	}
	for other := range m.siblings(a) {
		if other.Severity().Rank() < a.Severity().Rank() {
			continue
		}
		for _, g := range m.groups.Of(other.Fingerprint) {
			if held := g.Members[other.Fingerprint]; held.Holds() && (since.IsZero() || held.HeldSince.Before(since)) {
				since, as = held.HeldSince, other.Severity()
			}
		}
	}
	return since, as
}

// raised is the more urgent alert that fires in place of one that is over; nil if there is none.
func (m *Machine) raised(a *alertd.Alert) *alertd.Alert {
	for other := range m.siblings(a) {
		if other.State.Active() && other.Severity().Rank() < a.Severity().Rank() {
			return other
		}
	}
	return nil
}

// lowered is as what an alert that is over goes on; "" if it does not.
func (m *Machine) lowered(a *alertd.Alert) alertd.Severity {
	for other := range m.siblings(a) {
		if other.State.Active() && other.Severity().Rank() > a.Severity().Rank() {
			return other.Severity()
		}
	}
	return ""
}

// mentioned are those of the alerts of a group that ended while they were held, and that a digest tells: not those that
// became more urgent ones, which were told as such, and none that a silence or another alert hides.
func (m *Machine) mentioned(g *grouping.Group, ended []alertd.Fingerprint) (out []alertd.Fingerprint) {
	for _, fp := range ended {
		a := m.alerts.get(fp)
		if a == nil {
			continue
		}
		if b := m.raised(a); b != nil {
			m.withhold(g, fp, alertd.Withheld{Reason: alertd.ReasonRaised, By: b.Fingerprint.String()})
			continue
		}
		if !m.inhibited(g, fp) && !m.silencedIn(g, fp) {
			out = append(out, fp)
		}
	}
	return out
}
