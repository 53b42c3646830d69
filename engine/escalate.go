package engine

import (
	"fmt"
	"time"

	"alertd"
	"alertd/grouping"
	"alertd/router"
)

// A step of an escalation is a group of its own: the alerts that reached it, and the receiver that was called in. So it
// closes there what it told there, over restarts and reloads, as any other group does; and that an alert is in it says
// that the step was taken.

// stepKey is the group of the n-th step, from 1, for what is in a group.
func stepKey(of alertd.GroupKey, escalation string, n int) alertd.GroupKey {
	return alertd.GroupKey(fmt.Sprintf("%s#%s/%d", of, escalation, n))
}

func escalationOf(d *router.Decision) string {
	if d.Escalation == nil {
		return ""
	}
	return d.Escalation.Name
}

// nextStep is the next step that an alert of a group takes unless somebody takes the alert, from 1, and when; false: there
// is none left.
func (m *Machine) nextStep(g *grouping.Group, fp alertd.Fingerprint) (n int, due time.Time, ok bool) {
	e := m.policy.Escalations[g.Escalation]
	if e == nil || g.Step > 0 {
		return 0, time.Time{}, false
	}
	for i, s := range e.Steps {
		step := m.groups.Get(stepKey(g.Group, g.Escalation, i+1))
		if step == nil || step.Members[fp] == nil {
			return i + 1, g.Members[fp].OpenSince.Add(s.After), true
		}
	}
	return 0, time.Time{}, false
}

// maxCalled bounds the steps that the alerts of a group take at once; the rest takes them right after.
const maxCalled = 300

// escalate lets the alerts of a group that nobody has taken go as many steps as are due. It reports whether there are more.
func (m *Machine) escalate(g *grouping.Group) (more bool) {
	taken := 0
	for _, fp := range m.open(g) {
		for {
			n, due, ok := m.nextStep(g, fp)
			if !ok || due.After(m.now) {
				break
			}
			if taken++; taken > maxCalled {
				return true
			}
			key := stepKey(g.Group, g.Escalation, n)
			m.emit(alertd.Entry{Joined: &alertd.Joined{
				Fingerprint: fp, Group: key, GroupLabels: g.GroupLabels, RouteLabels: g.RouteLabels,
				Route:    fmt.Sprintf("%s, step %d of escalation %s", g.Route, n, g.Escalation),
				Receiver: m.policy.Escalations[g.Escalation].Steps[n-1].Receiver, Delivery: alertd.Immediate,
				GroupInterval: g.GroupInterval, Escalation: g.Escalation, Step: n,
			}})
			m.hasten(m.groups.Get(key), m.now, alertd.ReasonEscalated)
		}
	}
	return false
}
