package engine

import (
	"time"

	"alertd"
)

// An alert in the journal is as it was at its last transition. While it fires its value moves on, with every
// evaluation, and its annotations with the value. That is no decision: an entry for each would fill the journal with what
// nobody reads. So the newest of it is kept beside the state, in memory only. Views show it, a notification tells it, and
// the next transition writes it down; then it is in an entry, where deciding and folding see the same. After a restart
// it is what the journal says until the rule is evaluated again, which is soon.

// latest is what was found for an alert after its last transition.
type latest struct {
	at           time.Time // instant of the evaluation
	value        alertd.Value
	annotations  alertd.Annotations
	generatorURL string // of a posted alert
}

// note remembers what was found for an alert that stays as it is.
func (as *alerts) note(fp alertd.Fingerprint, l latest) {
	if old, ok := as.latest[fp]; !ok || !l.at.Before(old.at) {
		as.latest[fp] = l
	}
}

// present is an alert with the value and the annotations of now.
func (m *Machine) present(a *alertd.Alert) alertd.Alert {
	l, ok := m.alerts.latest[a.Fingerprint]
	if !ok {
		return *a
	}
	b := *a // for Enrich to write to, so not before it is known that there is something to write
	b.Value, b.Annotations = l.value, bounded(l.annotations.Labels())
	if l.generatorURL != "" {
		b.GeneratorURL = l.generatorURL
	}
	if m.policy != nil && m.policy.Enrich != nil {
		m.policy.Enrich(&b)
		b.TraceURL = a.TraceURL // the trace is that of the beginning
	}
	return b
}
