package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"alertd"
	"alertd/grouping"
)

// maxShown bounds the groups whose messages are brought up to date because of one ack. Whoever takes more at once does
// so in a storm, and looks at the dashboard.
const maxShown = 20

// acks holds who has taken what. Only alerts that fire, or whose end was not told yet, are in it.
type acks map[alertd.Fingerprint]alertd.Ack

// storedAck is an ack as a snapshot keeps it.
type storedAck struct {
	Fingerprint alertd.Fingerprint `json:"fingerprint"`
	alertd.Ack
}

func (as acks) stored() (out []storedAck) {
	for _, fp := range slices.Sorted(maps.Keys(as)) {
		out = append(out, storedAck{fp, as[fp]})
	}
	return out
}

// next is when the first ack ends by itself.
func (as acks) next() (due time.Time, ok bool) {
	for _, a := range as {
		if !a.Until.IsZero() && (!ok || a.Until.Before(due)) {
			due, ok = a.Until, true
		}
	}
	return due, ok
}

// Acknowledged brings an ack, or the end of one, as [Machine.PlanAck] returned it.
type Acknowledged struct{ Acked alertd.Acked }

func (Acknowledged) input() {}

// PlanAck says what has to be set so that somebody takes what fires and is selected, or gives it back. An ack that names
// no end holds for the ack_timeout of the alert's route; where several are taken at once, for the shortest. Taking what
// somebody has taken already puts the new ack in its place. The error is an [alertd.ErrNotFound] or an
// [alertd.ErrInvalid].
func (m *Machine) PlanAck(now time.Time, want alertd.AckRequest) (in Acknowledged, err error) {
	now = now.Round(0).UTC()
	if in.Acked.Alerts, err = m.selected(want.Selection); err != nil {
		return in, err
	}
	in.Acked.Ack = want.Ack
	a := &in.Acked.Ack
	a.At, a.Until, a.Client = now, a.Until.Round(0).UTC(), cut(a.Client, alertd.MaxClient)
	switch {
	case a.By == "":
		return in, fmt.Errorf("%w: say who takes it", alertd.ErrInvalid)
	case len(a.By) > alertd.MaxAckBy || len(a.Why) > alertd.MaxAckWhy:
		return in, fmt.Errorf("%w: the name may be %d bytes long, the reason %d", alertd.ErrInvalid, alertd.MaxAckBy, alertd.MaxAckWhy)
	}
	if want.Undo {
		in.Acked.Ended, a.Until = alertd.ReasonUnacked, time.Time{}
		in.Acked.Alerts = slices.DeleteFunc(in.Acked.Alerts, func(fp alertd.Fingerprint) bool { return !m.taken(fp) })
		if len(in.Acked.Alerts) == 0 {
			return in, fmt.Errorf("nobody has acknowledged %s: %w", want.Selection, alertd.ErrNotFound)
		}
		return in, nil
	}
	if a.Until.IsZero() {
		if hold := m.ackTimeout(in.Acked.Alerts); hold > 0 {
			a.Until = now.Add(hold)
		}
	}
	if !a.Until.IsZero() && !a.Until.After(now) {
		return in, fmt.Errorf("%w: the acknowledgement would end (%s) before it begins", alertd.ErrInvalid, a.Until.Format(time.RFC3339))
	}
	return in, nil
}

// selected returns the alerts that a selection names and that fire, in the order of their fingerprints.
func (m *Machine) selected(s alertd.Selection) (out []alertd.Fingerprint, err error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	g := m.groups.Get(s.Group)
	for _, a := range m.alerts.sorted() {
		wanted := s.All
		switch {
		case s.Fingerprint != "":
			wanted = a.Fingerprint.String() == s.Fingerprint
		case s.Group != "":
			wanted = g != nil && g.Members[a.Fingerprint] != nil
		case s.Alert != "":
			wanted = a.Name() == s.Alert && (s.Service == "" || a.Service() == s.Service)
		}
		if wanted && a.State.Active() {
			out = append(out, a.Fingerprint)
		}
	}
	switch {
	case len(out) == 0:
		return nil, fmt.Errorf("no alert that fires is %s: %w", s, alertd.ErrNotFound)
	case len(out) > maxTold:
		return nil, fmt.Errorf("%w: %s are %d alerts, more than %d at once; name a service or a group", alertd.ErrInvalid, s, len(out), maxTold)
	}
	return out, nil
}

// ackTimeout is how long an ack of these alerts holds that names no end; 0: as long as they fire.
func (m *Machine) ackTimeout(alerts []alertd.Fingerprint) (hold time.Duration) {
	for _, fp := range alerts {
		for _, d := range m.policy.Route.Decide(m.alerts.get(fp).Labels) {
			if d.AckTimeout > 0 && (hold == 0 || d.AckTimeout < hold) {
				hold = d.AckTimeout
			}
		}
	}
	return hold
}

// acknowledge follows an ack or its end: messages that people look at say so, and what nobody has any more is chased
// again.
func (m *Machine) acknowledge(a alertd.Acked) {
	m.emit(alertd.Entry{Acked: &a})
	telling := m.groups.Telling(a.Alerts)
	if a.Ended != "" {
		for _, g := range telling {
			if a.Ended == alertd.ReasonAckTimeout {
				m.schedule(g, m.now, a.Ended)
			} else if due, why := m.chase(g); !due.IsZero() {
				m.hasten(g, alertd.Later(due, m.now), why)
			}
		}
	}
	if a.Ended == alertd.ReasonAckTimeout {
		return // the groups speak now, and so say it
	}
	reason := cmp.Or(a.Ended, alertd.ReasonAcked)
	telling = telling[:min(len(telling), maxShown)]
	for _, g := range telling {
		s := said{group: g, reason: reason, quiet: true, alerts: m.notified(nil, g, g.Diff().Told, false)}
		if len(s.alerts) > 0 {
			m.planWithin(s, g.Group, messageID(string(g.Group), reason, m.now, g.Seq), maxBytes/len(telling))
		}
	}
}

// ackRanOut ends what has run out: all alerts of one ack.
func (m *Machine) ackRanOut() {
	var over alertd.Acked
	for _, fp := range slices.Sorted(maps.Keys(m.acks)) {
		a := m.acks[fp]
		if a.Until.IsZero() || m.now.Before(a.Until) || over.Ended != "" && a != over.Ack {
			continue
		}
		over.Ack, over.Ended = a, alertd.ReasonAckTimeout
		over.Alerts = append(over.Alerts, fp)
	}
	m.acknowledge(over)
}

// applyAck notes who has alerts from here on.
func (m *Machine) applyAck(at time.Time, a alertd.Acked) {
	for _, fp := range a.Alerts {
		if a.Ended != "" {
			delete(m.acks, fp)
		} else if m.alerts.get(fp) != nil {
			m.acks[fp] = a.Ack
		}
	}
	m.groups.Acked(at, a.Alerts, a.Ended != "")
}

// letGo drops an ack with the episode that it was for: the alert is over, and its end is told where it was announced.
func (m *Machine) letGo(fp alertd.Fingerprint) {
	a := m.alerts.get(fp)
	if (a == nil || !a.State.Active()) && len(m.groups.Of(fp)) == 0 {
		delete(m.acks, fp)
	}
}

func (m *Machine) taken(fp alertd.Fingerprint) bool {
	_, is := m.acks[fp]
	return is
}

// shown is a copy of an alert as views and notifications tell it: with what is known of it now, who has taken it, and
// whether it flaps.
func (m *Machine) shown(a *alertd.Alert) alertd.Alert {
	b := m.present(a)
	b.Changes = m.flapping(a)
	if ack, is := m.acks[a.Fingerprint]; is {
		b.Ack = &ack
	}
	return b
}

// untaken are the critical alerts of a group that were told and that nobody has taken. They are chased: told again, and
// told to others.
func (m *Machine) untaken(g *grouping.Group) (out []alertd.Fingerprint) {
	if g.RepageInterval <= 0 && g.Escalation == "" || g.Step > 0 {
		return nil
	}
	for _, fp := range g.Diff().Told {
		if a := m.alerts.get(fp); a != nil && a.Severity() == alertd.Critical && !m.taken(fp) {
			out = append(out, fp)
		}
	}
	return out
}

// open are those that nothing hides now.
func (m *Machine) open(g *grouping.Group) []alertd.Fingerprint {
	return slices.DeleteFunc(m.untaken(g), m.hidden)
}

// chase is when a group that has told something speaks of it again by itself, and why; zero: it does not. What hides
// alerts does not count: whether it does still is looked at then.
func (m *Machine) chase(g *grouping.Group) (due time.Time, why alertd.Reason) {
	earliest := func(t time.Time, reason alertd.Reason) {
		if due.IsZero() || t.Before(due) {
			due, why = t, reason
		}
	}
	told := g.Diff().Told
	if next, ok := g.RepeatDue(); ok && slices.ContainsFunc(told, func(fp alertd.Fingerprint) bool { return !m.taken(fp) }) {
		earliest(next, alertd.ReasonDeduplicated)
	}
	if next, ok := repageDue(g, m.untaken(g)); ok {
		earliest(next, alertd.ReasonRepage)
	}
	for _, fp := range m.untaken(g) {
		if _, next, ok := m.nextStep(g, fp); ok {
			earliest(next, alertd.ReasonEscalated)
		}
	}
	return due, why
}

// repageDue is when some of a group's alerts are told again because nobody has taken them; false: never.
func repageDue(g *grouping.Group, untaken []alertd.Fingerprint) (time.Time, bool) {
	if len(untaken) == 0 || g.RepageInterval <= 0 {
		return time.Time{}, false
	}
	since := g.Members[untaken[0]].OpenSince
	for _, fp := range untaken {
		since = alertd.Earlier(since, g.Members[fp].OpenSince)
	}
	return alertd.Later(since, g.PagedAt).Add(g.RepageInterval), true
}
