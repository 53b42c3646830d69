package engine

import (
	"fmt"
	"time"

	"alertd"
	"alertd/grouping"
)

// maxReleased bounds the groups that are let go at once.
const maxReleased = 2_000

// Release brings what [Machine.PlanRelease] returned.
type Release struct {
	Released alertd.Released
	Alerts   int // how many that lets go
}

func (Release) input() {}

// PlanRelease says which groups hold what is selected, for a calendar or a time interval, and so are to be let go. The
// error is an [alertd.ErrNotFound] or an [alertd.ErrInvalid].
func (m *Machine) PlanRelease(want alertd.ReleaseRequest) (in Release, err error) {
	if err := want.Validate(); err != nil {
		return in, err
	}
	if want.By == "" || len(want.By) > alertd.MaxAckBy {
		return in, fmt.Errorf("%w: say who lets it go, in at most %d bytes", alertd.ErrInvalid, alertd.MaxAckBy)
	}
	in.Released = alertd.Released{By: want.By, From: want.From, Client: cut(want.Client, alertd.MaxClient)}
	leave := map[alertd.Fingerprint]bool{}
	for g := range m.groups.All() {
		if !m.holds(g, want.Selection) || len(in.Released.Groups) == maxReleased {
			continue
		}
		in.Released.Groups = append(in.Released.Groups, g.Group)
		for fp, member := range g.Members {
			leave[fp] = leave[fp] || waitsForHours(member)
		}
	}
	for _, is := range leave {
		if is {
			in.Alerts++
		}
	}
	if len(in.Released.Groups) == 0 {
		return in, fmt.Errorf("nothing is held for %s: %w", want.Selection, alertd.ErrNotFound)
	}
	return in, nil
}

// holds reports whether a group holds something that is selected.
func (m *Machine) holds(g *grouping.Group, s alertd.Selection) bool {
	for fp, member := range g.Members {
		a := m.alerts.get(fp)
		if a == nil || !waitsForHours(member) {
			continue
		}
		switch {
		case s.All, s.Group != "" && g.Group == s.Group, s.Fingerprint != "" && fp.String() == s.Fingerprint,
			s.Alert != "" && a.Name() == s.Alert && (s.Service == "" || a.Service() == s.Service):
			return true
		}
	}
	return false
}

// waitsForHours reports whether a calendar or a time interval keeps it from being told.
func waitsForHours(m *grouping.Member) bool {
	return !m.Told && (m.Why == alertd.ReasonHeld || m.Why == alertd.ReasonMuted)
}

// release lets groups speak now, whatever the time is.
func (m *Machine) release(r alertd.Released) {
	m.emit(alertd.Entry{Released: &r})
	for _, key := range r.Groups {
		if g := m.groups.Get(key); g != nil {
			m.schedule(g, m.now, alertd.ReasonReleased)
		}
	}
}

// heldFor is until when a group may hold what it holds, and what begins to be held at an instant; false: for ever, or it
// holds nothing.
func heldFor(g *grouping.Group, at time.Time) (time.Time, bool) {
	since, holds := at, false
	for _, m := range g.Members {
		holds = holds || !m.Told
		if !m.Told && !m.HeldSince.IsZero() {
			since = alertd.Earlier(since, m.HeldSince)
		}
	}
	return since.Add(g.MaxHold), holds && g.MaxHold > 0
}

// whyDigest is why what is held leaves at an instant.
func (m *Machine) whyDigest(g *grouping.Group, at time.Time) alertd.Reason {
	c := m.policy.Calendars[g.Calendar]
	switch {
	case g.Reason == alertd.ReasonReleased, g.Delivery != alertd.BusinessHours, c == nil: // by somebody, or by a reload
		return alertd.ReasonReleased
	case !c.IsOpen(at):
		return alertd.ReasonMaxHold
	}
	return alertd.ReasonDigest
}
