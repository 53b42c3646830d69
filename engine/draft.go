package engine

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"alertd"
	"alertd/grouping"
)

// A draft is no second way to make a digest. It lets the groups speak that would share it, as if they were due, in a copy
// of the part of the machine that this changes.

// batch are groups that leave together.
type batch struct {
	receiver, calendar string
	until              time.Time
}

// Drafts returns the digests that would leave if all that calendars hold at now left now: by when they leave, receiver, and
// calendar. At the instant at which it leaves, a draft is the digest.
func (m *Machine) Drafts(now time.Time) []alertd.Draft {
	m = m.at(now)
	batches := map[batch][]*grouping.Group{}
	for g := range m.groups.All() {
		if until, ok := m.leaves(g); ok {
			b := batch{g.Receiver, g.Calendar, until}
			batches[b] = append(batches[b], g)
		}
	}
	out := make([]alertd.Draft, 0, len(batches))
	for _, b := range slices.SortedFunc(maps.Keys(batches), func(a, b batch) int {
		return cmp.Or(a.until.Compare(b.until), cmp.Compare(a.receiver, b.receiver), cmp.Compare(a.calendar, b.calendar))
	}) {
		out = append(out, m.draft(b, batches[b]))
	}
	return out
}

// leaves is when what a calendar holds in a group leaves, which is now where it is due; false: it holds nothing, or
// something else keeps it then.
func (m *Machine) leaves(g *grouping.Group) (until time.Time, ok bool) {
	if !g.Holds() || g.Due.IsZero() {
		return until, false
	}
	gt, closed := m.gate(g, m.now)
	if !closed {
		return m.now, !g.Due.After(m.now)
	}
	if gt.reason != alertd.ReasonHeld || gt.until.IsZero() {
		return until, false
	}
	_, muted := m.gate(g, gt.until)
	return gt.until, !muted
}

// draft lets the groups of a batch speak in a copy of the machine.
func (m *Machine) draft(b batch, groups []*grouping.Group) alertd.Draft {
	slices.SortFunc(groups, func(a, b *grouping.Group) int { // as they come up when they are due
		return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.Group, b.Group))
	})
	d := alertd.Draft{
		Receiver: b.receiver, Calendar: b.calendar, Reason: m.whyDigest(groups[0], b.until), Until: b.until,
		Messages: []alertd.Notification{}, Omitted: []alertd.Held{},
	}
	f := m.fork(groups)
	keys := make([]alertd.GroupKey, 0, len(groups))
	for _, g := range groups {
		f.groups.Schedule(alertd.Scheduled{Group: g.Group, Due: alertd.Earlier(g.Due, m.now), Reason: g.Reason})
		keys = append(keys, g.Group)
	}
	f.groups.Release(keys) // whatever closes them now does not when they leave
	for _, key := range keys {
		if g := f.groups.Get(key); g != nil && !g.Due.After(m.now) { // else it has spoken with another one
			f.tell(g, f.whyDigest(g, b.until))
		}
	}
	for _, e := range f.entries {
		if e.Planned != nil {
			n := e.Planned.Notification
			n.ID = "" // it is none that anybody is sent
			d.Messages = append(d.Messages, n)
		}
	}
	for _, key := range keys {
		if g := f.groups.Get(key); g != nil {
			d.Omitted = append(d.Omitted, f.omitted(g)...)
		}
	}
	return d
}

// omitted is what a group that has spoken has not told since something hides it.
func (m *Machine) omitted(g *grouping.Group) (out []alertd.Held) {
	for _, fp := range g.Diff().Fresh {
		a, member := m.alerts.get(fp), g.Members[fp]
		if a != nil && (member.Why == alertd.ReasonSilenced || member.Why == alertd.ReasonInhibited) {
			out = append(out, alertd.Held{
				Alert: m.shown(a), Receiver: g.Receiver, Group: g.Group, Reason: member.Why, By: member.By, Since: member.Since, Until: member.Until,
			})
		}
	}
	return out
}

// fork is a machine in which some groups may speak without a change to this one. It has no others.
func (m *Machine) fork(groups []*grouping.Group) *Machine {
	f := *m
	f.entries = nil
	f.groups, f.outbox, f.acks = grouping.Copy(groups), newOutbox(), maps.Clone(m.acks)
	alerts := *m.alerts // they stay as they are; only when they may be forgotten changes
	alerts.over, alerts.bye = nil, map[alertd.Fingerprint]time.Time{}
	f.alerts = &alerts
	f.silences = make(silences, len(m.silences))
	for id, s := range m.silences {
		c := *s
		f.silences[id] = &c
	}
	return &f
}
