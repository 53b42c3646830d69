package engine

import (
	"cmp"
	"slices"

	"alertd"
)

// Alerts returns copies of all alerts that are not inactive, those resolved lately included: by state (firing
// first), severity, age, fingerprint.
func (m *Machine) Alerts() []alertd.Alert {
	out := make([]alertd.Alert, 0, len(m.alerts.byPrint))
	for _, a := range m.alerts.byPrint {
		out = append(out, *a)
	}
	rank := map[alertd.State]int{alertd.Firing: 0, alertd.Recovering: 0, alertd.Pending: 1, alertd.Resolved: 2}
	slices.SortFunc(out, func(a, b alertd.Alert) int {
		return cmp.Or(cmp.Compare(rank[a.State], rank[b.State]), cmp.Compare(a.Severity().Rank(), b.Severity().Rank()),
			a.ActiveAt.Compare(b.ActiveAt), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	return out
}

// Held returns what waits in groups and why, in the order in which it is due.
func (m *Machine) Held() []alertd.Held {
	var out []alertd.Held
	for g := range m.groups.All() {
		for fp, member := range g.Members {
			a := m.alerts.get(fp)
			if a == nil || member.Told || (!member.Firing && member.HeldSince.IsZero()) {
				continue
			}
			h := alertd.Held{Alert: *a, Receiver: g.Receiver, Group: g.Group, Reason: member.Why, Since: member.Since, Until: g.Due}
			if member.Why == alertd.ReasonHeld {
				h.Calendar = g.Calendar
			}
			if h.Reason == "" {
				h.Reason = g.Reason
			}
			out = append(out, h)
		}
	}
	slices.SortFunc(out, func(a, b alertd.Held) int {
		return cmp.Or(a.Until.Compare(b.Until), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Alert.Fingerprint, b.Alert.Fingerprint))
	})
	return out
}

// Stats counts what the machine holds.
type Stats struct {
	Alerts  map[alertd.State]int
	Groups  int
	Pending int // notifications on their way
}

// Stats returns the counts of now.
func (m *Machine) Stats() Stats {
	s := Stats{Alerts: map[alertd.State]int{}, Groups: m.groups.Len()}
	for _, a := range m.alerts.byPrint {
		s.Alerts[a.State]++
	}
	s.Pending = len(m.outbox.byID)
	return s
}

// PolicyVersion is the policy that the journal last heard of.
func (m *Machine) PolicyVersion() string { return m.version }
