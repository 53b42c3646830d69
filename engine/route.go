package engine

import (
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/grouping"
	"alertd/router"
)

// begin routes an alert that has just begun to fire.
func (m *Machine) begin(a *alertd.Alert) {
	decisions := m.decide(a)
	old := map[string]bool{} // receivers that have it in a group of a routing that is gone
	for _, g := range m.groups.Of(a.Fingerprint) {
		i := slices.IndexFunc(decisions, func(d router.Decision) bool { return d.GroupKey == g.Group })
		switch {
		case i >= 0 && decisions[i].Deliver != alertd.Dashboard:
			m.renew(g, a, &decisions[i]) // a reload passes over what does not fire
		case i < 0 && g.Step == 0:
			old[g.Receiver] = true
		}
		m.rejoin(g, a) // it came back before the group had told that it was over
	}
	for _, d := range decisions {
		if g := m.groups.Get(d.GroupKey); !old[d.Receiver] && (g == nil || g.Members[a.Fingerprint] == nil) {
			m.join(a, d)
		}
	}
}

// decide is where an alert goes by the routing of now, each with the group that it goes into there.
func (m *Machine) decide(a *alertd.Alert) []router.Decision {
	decisions := m.policy.Route.Decide(a.Labels)
	for i := range decisions {
		decisions[i].GroupKey = m.groupOf(&decisions[i])
	}
	return decisions
}

// groupOf is the group of what a route decides. It is the route's own, unless another receiver heard of something in that: the
// route had another one before a reload. That receiver hears of the end there, and the one of now has a group beside it.
func (m *Machine) groupOf(d *router.Decision) alertd.GroupKey {
	own, beside := m.groups.Get(d.GroupKey), d.GroupKey+alertd.GroupKey("@"+d.Receiver)
	switch {
	case own != nil && own.Receiver == d.Receiver:
		return d.GroupKey
	case m.groups.Get(beside) != nil || own != nil && own.Tells():
		return beside
	default:
		return d.GroupKey
	}
}

// rejoin looks again at a group whose alert ended and fires again before the group spoke of its end.
func (m *Machine) rejoin(g *grouping.Group, a *alertd.Alert) {
	if g.Members[a.Fingerprint].Told {
		m.relapse(g, a.Fingerprint)
		return
	}
	m.wait(g, a)
}

// join puts an alert into the group that a route names, or says why there is none.
func (m *Machine) join(a *alertd.Alert, d router.Decision) {
	if d.Deliver == alertd.Dashboard {
		m.emit(alertd.Entry{Withheld: &alertd.Withheld{
			Fingerprint: a.Fingerprint, Group: d.GroupKey, Receiver: d.Receiver, Reason: alertd.ReasonDashboard,
		}})
		return
	}
	m.emit(alertd.Entry{Joined: &alertd.Joined{
		Fingerprint: a.Fingerprint, Group: d.GroupKey, GroupLabels: d.GroupLabels, RouteLabels: d.RouteLabels, Route: d.Path, Receiver: d.Receiver,
		Delivery: d.Deliver, Calendar: d.Calendar, Mute: d.Mute, Active: d.Active,
		GroupWait: d.GroupWait, GroupInterval: d.GroupInterval, RepeatInterval: d.RepeatInterval,
		RepageInterval: d.RepageInterval, MaxHold: d.MaxHold, Escalation: escalationOf(&d),
	}})
	m.wait(m.groups.Get(d.GroupKey), a)
}

// wait schedules a group for an alert in it that is to be told.
func (m *Machine) wait(g *grouping.Group, a *alertd.Alert) {
	due, reason, by := m.changeDue(g, a), alertd.ReasonGrouped, ""
	if gate, closed := m.gate(g, due); closed {
		due, reason, by = gate.until, gate.reason, gate.by
	}
	m.hasten(g, due, reason)
	if reason == alertd.ReasonGrouped && g.Due.Before(due) {
		due = g.Due // it leaves with those that came before
	}
	if due.After(m.now) {
		m.withhold(g, a.Fingerprint, alertd.Withheld{Reason: reason, By: by, Until: due})
	}
}

// end schedules the groups in which an alert that is over was told.
func (m *Machine) end(a *alertd.Alert) {
	for _, g := range m.groups.Of(a.Fingerprint) {
		if !g.Members[a.Fingerprint].Told {
			continue
		}
		due := g.ChangeDue(m.now, m.now)
		if calm := m.calmAt(a.Fingerprint); calm.After(due) {
			m.hasten(g, calm, alertd.ReasonFlapping)
			m.withhold(g, a.Fingerprint, alertd.Withheld{Reason: alertd.ReasonFlapping, Until: calm})
			continue
		}
		m.hasten(g, due, alertd.ReasonGrouped)
	}
}

// hasten schedules a group, unless it is due earlier already.
func (m *Machine) hasten(g *grouping.Group, due time.Time, reason alertd.Reason) {
	if !g.Due.IsZero() && !due.Before(g.Due) {
		return
	}
	m.schedule(g, due, reason)
}

func (m *Machine) schedule(g *grouping.Group, due time.Time, reason alertd.Reason) {
	if g.Due.Equal(due) && g.Reason == reason {
		return
	}
	m.emit(alertd.Entry{Scheduled: &alertd.Scheduled{Group: g.Group, Due: due, Reason: reason, Calendar: g.Calendar}})
}

// withhold says why an alert is not told in a group, once for each answer.
func (m *Machine) withhold(g *grouping.Group, fp alertd.Fingerprint, w alertd.Withheld) {
	member := g.Members[fp]
	if member.Why == w.Reason && member.By == w.By && member.Until.Equal(w.Until) {
		return
	}
	w.Fingerprint, w.Group, w.Receiver = fp, g.Group, g.Receiver
	m.emit(alertd.Entry{Withheld: &w})
}

// gate is why a group may tell nothing new for some time.
type gate struct {
	reason alertd.Reason
	by     string // calendar or time interval
	until  time.Time
}

// gate asks the calendar and the time intervals of a group whether it may tell something new at an instant.
func (m *Machine) gate(g *grouping.Group, at time.Time) (gate, bool) {
	if g.Let {
		return gate{}, false
	}
	if g.Delivery == alertd.BusinessHours {
		// A calendar that is gone from the configuration must not hold anything for ever.
		if c := m.policy.Calendars[g.Calendar]; c != nil && !c.IsOpen(at) {
			until := c.NextOpen(at)
			if last, bounded := heldFor(g, alertd.Earlier(at, m.now)); !bounded || at.Before(last) {
				if bounded {
					until = alertd.Earlier(until, last)
				}
				return gate{alertd.ReasonHeld, g.Calendar, until}, true
			}
		}
	}
	if len(g.Mute) > 0 || len(g.Active) > 0 {
		if by, until, muted := m.policy.Intervals.Muted(at, g.Mute, g.Active); muted {
			return gate{alertd.ReasonMuted, by, until}, true
		}
	}
	return gate{}, false
}

// bereave takes what fires out of groups whose receiver is not in the policy any more: of that it was told to, nobody hears its
// end. It returns those alerts, which are to be told to whom the new tree names.
func (m *Machine) bereave() map[alertd.Fingerprint]bool {
	bereft := map[alertd.Fingerprint]bool{}
	for _, g := range slices.Collect(m.groups.All()) {
		if _, ok := m.policy.receiver(g.Receiver); ok || g.Step > 0 {
			continue
		}
		for _, fp := range g.Diff().Told {
			if a := m.alerts.get(fp); a != nil && !ownRoute(a.Rule) {
				bereft[fp] = true
				m.moveOut(g, fp)
			}
		}
	}
	return bereft
}

// moveOut takes an alert that fires out of a group that the routing does not lead to any more.
func (m *Machine) moveOut(g *grouping.Group, fp alertd.Fingerprint) {
	m.withhold(g, fp, alertd.Withheld{Reason: alertd.ReasonRerouted})
	m.emit(alertd.Entry{Flushed: &alertd.Flushed{Group: g.Group, Ended: []alertd.Fingerprint{fp}}})
}

// reroute follows a new policy for an alert that fires. What was told stays where it was told, so that its end
// is told there too and nothing is told twice. What was not told goes where the new tree says, and so does what is bereft of
// a receiver that was told.
func (m *Machine) reroute(a *alertd.Alert, bereft bool) {
	decisions := m.decide(a)
	at := func(key alertd.GroupKey) *router.Decision {
		for i := range decisions {
			if decisions[i].GroupKey == key && decisions[i].Deliver != alertd.Dashboard {
				return &decisions[i]
			}
		}
		return nil
	}
	told := map[string]bool{} // receivers
	stays := map[alertd.GroupKey]bool{}
	moved := bereft
	for _, g := range m.groups.Of(a.Fingerprint) {
		if g.Step > 0 {
			continue // who was called in stays so
		}
		d := at(g.Group)
		switch member := g.Members[a.Fingerprint]; {
		case member.Told:
			told[g.Receiver] = true
			if d != nil && d.Receiver == g.Receiver {
				m.renew(g, a, d)
			}
		case d != nil && d.Receiver == g.Receiver:
			stays[g.Group] = true
			m.renew(g, a, d)
		default:
			moved = true
			m.moveOut(g, a.Fingerprint)
		}
	}
	if len(told) > 0 && !bereft {
		return
	}
	for _, d := range decisions {
		if !stays[d.GroupKey] && !told[d.Receiver] && (moved || d.Deliver != alertd.Dashboard) {
			m.join(a, d)
		}
	}
}

// renew gives a group the timing that its route has now.
func (m *Machine) renew(g *grouping.Group, a *alertd.Alert, d *router.Decision) {
	same := g.Delivery == d.Deliver && g.Calendar == d.Calendar && g.GroupWait == d.GroupWait &&
		g.GroupInterval == d.GroupInterval && g.RepeatInterval == d.RepeatInterval && g.RepageInterval == d.RepageInterval &&
		g.Escalation == escalationOf(d) && g.MaxHold == d.MaxHold &&
		slices.Equal(g.Mute, d.Mute) && slices.Equal(g.Active, d.Active) && labels.Equal(g.RouteLabels, d.RouteLabels)
	if same {
		return
	}
	j := g.Joined
	j.Fingerprint, j.Route, j.RouteLabels = a.Fingerprint, d.Path, d.RouteLabels
	j.Delivery, j.Calendar, j.Mute, j.Active = d.Deliver, d.Calendar, d.Mute, d.Active
	j.GroupWait, j.GroupInterval, j.RepeatInterval, j.RepageInterval = d.GroupWait, d.GroupInterval, d.RepeatInterval, d.RepageInterval
	j.Escalation, j.MaxHold = escalationOf(d), d.MaxHold
	m.emit(alertd.Entry{Joined: &j})
}

// reschedule asks for a group that waits how long it would wait under the policy of now.
func (m *Machine) reschedule(g *grouping.Group) {
	if due, why := m.chase(g); why == alertd.ReasonRepage || why == alertd.ReasonEscalated {
		m.hasten(g, alertd.Later(due, m.now), why)
	}
	d := g.Diff()
	first, ok := m.firstOf(g, d.Fresh) // one is enough: they wait together
	if !ok {
		return
	}
	due, reason, by := m.changeDue(g, first), alertd.ReasonGrouped, ""
	if gt, closed := m.gate(g, due); closed {
		due, reason, by = gt.until, gt.reason, gt.by
	}
	switch {
	case !due.After(m.now) && !g.Due.IsZero() && !g.Due.After(m.now): // it has been due since then, and says so
	case len(d.Told) == 0 && len(d.Closed) == 0:
		m.schedule(g, due, reason) // later is right too: the calendar may have changed
	default:
		m.hasten(g, due, reason)
	}
	if due.After(m.now) {
		m.withhold(g, first.Fingerprint, alertd.Withheld{Reason: reason, By: by, Until: due})
	}
}

// source keeps track of whether an alert may inhibit others. Without a policy, while a journal is folded, there is
// nothing to keep: change makes it good.
func (m *Machine) source(a *alertd.Alert) {
	if m.policy == nil {
		return
	}
	if a.State.Active() {
		m.inhibitor.Add(a.Fingerprint, a.Labels)
	} else {
		m.inhibitor.Remove(a.Fingerprint)
	}
}
