package engine

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"alertd"
	"alertd/grouping"
	"alertd/router"
)

// at is the machine as somebody sees it who asks at an instant. It shares the state, and is for reading alone.
func (m *Machine) at(now time.Time) *Machine {
	view := *m
	view.now, view.entries = now.Round(0).UTC(), nil
	return &view
}

// Alerts returns copies of all alerts that are not inactive at now, those resolved lately included: by state (firing
// first), severity, age, fingerprint.
func (m *Machine) Alerts(now time.Time) []alertd.Alert {
	m = m.at(now)
	out := make([]alertd.Alert, 0, len(m.alerts.byPrint))
	for _, a := range m.alerts.byPrint {
		out = append(out, m.shown(a))
	}
	rank := map[alertd.State]int{alertd.Pending: 1, alertd.Resolved: 2} // whatever counts as firing: 0
	slices.SortFunc(out, func(a, b alertd.Alert) int {
		return cmp.Or(cmp.Compare(rank[a.State], rank[b.State]), cmp.Compare(a.Severity().Rank(), b.Severity().Rank()),
			a.ActiveAt.Compare(b.ActiveAt), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	return out
}

// Selected returns copies of the alerts that fire and that a selection names, by fingerprint. The error is an
// [alertd.ErrNotFound] if there are none, or an [alertd.ErrInvalid].
func (m *Machine) Selected(s alertd.Selection) ([]alertd.Alert, error) {
	fps, err := m.selected(s)
	out := make([]alertd.Alert, len(fps))
	for i, fp := range fps {
		out[i] = m.shown(m.alerts.get(fp))
	}
	return out, err
}

// Held returns what waits in groups at now and why, in the order in which it is due: what is to be told, and the ends of
// what was.
func (m *Machine) Held(now time.Time) []alertd.Held {
	m = m.at(now)
	var out []alertd.Held
	for g := range m.groups.All() {
		for fp, member := range g.Members {
			a := m.alerts.get(fp)
			if a == nil || member.Told == member.Firing && (member.Told || member.HeldSince.IsZero()) {
				continue
			}
			h := alertd.Held{Alert: m.shown(a), Receiver: g.Receiver, Group: g.Group, Told: member.Told, Reason: member.Why, Since: member.Since, Until: g.Due}
			if h.Told { // why it was not told once says nothing of its end
				h.Reason, h.Since = g.Reason, a.ResolvedAt
				if calm := m.calmAt(fp); calm.After(m.now) {
					h.Reason, h.Until = alertd.ReasonFlapping, alertd.Later(calm, g.Due)
				}
			}
			if b := m.raised(a); b != nil && !h.Told && !member.Firing {
				h.Reason, h.By = alertd.ReasonRaised, b.Fingerprint.String() // no digest tells it, see mentioned
			}
			if h.Reason == alertd.ReasonHeld {
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

// Standing returns the alerts that fire at now, and for each who hears of it and what hides it, by fingerprint.
func (m *Machine) Standing(now time.Time) []alertd.Standing {
	m = m.at(now)
	var out []alertd.Standing
	for _, a := range m.alerts.sorted() {
		if a.State.Active() {
			st, parts := m.standing(a)
			if !slices.ContainsFunc(parts, func(p part) bool { return p.mutedBy == "" }) {
				for _, p := range parts {
					st.MutedBy = append(st.MutedBy, p.mutedBy)
				}
				slices.Sort(st.MutedBy)
				st.MutedBy = slices.Compact(st.MutedBy)
			}
			out = append(out, st)
		}
	}
	return out
}

// part is a group that an alert is in, and the time interval or calendar that keeps it quiet, or "".
type part struct {
	router.Decision
	mutedBy string
}

// standing leaves out what mutes the alert: that is about its groups.
func (m *Machine) standing(a *alertd.Alert) (alertd.Standing, []part) {
	st := alertd.Standing{Alert: m.shown(a), SilencedBy: m.silencedBy(a), UpdatedAt: a.At}
	st.Expires = alertd.Later(st.Expires, m.alerts.alive[a.Fingerprint]) // posted again since
	if by, _, is := m.hiddenBy(a.Fingerprint); is {
		st.InhibitedBy = []alertd.Fingerprint{by}
	}
	var parts []part
	for _, d := range m.policy.Route.Decide(a.Labels) {
		st.Receivers = append(st.Receivers, d.Receiver)
		gr := &grouping.Group{Joined: alertd.Joined{
			Group: d.GroupKey, Delivery: d.Deliver, Calendar: d.Calendar, Mute: d.Mute, Active: d.Active,
		}}
		p := part{Decision: d}
		if gt, closed := m.gate(gr, m.now); closed {
			p.mutedBy = gt.by
		}
		parts = append(parts, p)
	}
	slices.Sort(st.Receivers)
	st.Receivers = slices.Compact(st.Receivers)
	return st, parts
}

// GroupViews returns the alerts that fire at now, as the routing of now groups them, in the order of the groups' keys.
func (m *Machine) GroupViews(now time.Time) []alertd.GroupView {
	m = m.at(now)
	groups := map[alertd.GroupKey]*alertd.GroupView{}
	for _, a := range m.alerts.sorted() {
		if !a.State.Active() {
			continue
		}
		st, parts := m.standing(a)
		for _, p := range parts {
			g := groups[p.GroupKey]
			if g == nil {
				g = &alertd.GroupView{Key: p.GroupKey, Labels: p.GroupLabels, RouteLabels: p.RouteLabels, Receiver: p.Receiver}
				groups[p.GroupKey] = g
			}
			st.MutedBy = nil
			if p.mutedBy != "" {
				st.MutedBy = []string{p.mutedBy}
			}
			g.Alerts = append(g.Alerts, st)
		}
	}
	out := make([]alertd.GroupView, 0, len(groups))
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		out = append(out, *groups[key])
	}
	return out
}

// Stats counts what the machine holds.
type Stats struct {
	Alerts     map[alertd.State]int
	Active     int // alerts that fire
	Suppressed int // of those: hidden by a silence or by another alert
	Groups     int
	Pending    int // notifications on their way
	Silences   map[alertd.SilenceState]int
}

// Stats returns the counts at now.
func (m *Machine) Stats(now time.Time) Stats {
	m = m.at(now)
	s := Stats{Alerts: map[alertd.State]int{}, Groups: m.groups.Len(), Silences: map[alertd.SilenceState]int{}}
	for _, a := range m.alerts.byPrint {
		s.Alerts[a.State]++
		if !a.State.Active() {
			continue
		}
		s.Active++
		if _, _, inhibited := m.inhibitor.InhibitedBy(a.Labels); inhibited || len(m.silencedBy(a)) > 0 {
			s.Suppressed++
		}
	}
	for _, silence := range m.silences {
		s.Silences[silence.State(m.now)]++
	}
	s.Pending = len(m.outbox.byID)
	return s
}

// Len is the number of alerts that are not inactive, those resolved lately included.
func (m *Machine) Len() int { return len(m.alerts.byPrint) }

// PolicyVersion is the policy that the journal last heard of.
func (m *Machine) PolicyVersion() string { return m.version }
