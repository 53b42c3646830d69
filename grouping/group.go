// Package grouping keeps groups of alerts: who is in them, what was told, and when they are due. It decides
// whether a group that is due has something to say, and with which word.
//
// A group that waits for business hours is no different from one that waits for its group_interval: it has a
// later due time. There is no second queue.
//
// The package is pure: no clock, no I/O, no goroutine. Its types are owned by one goroutine.
package grouping

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"alertd"
)

// Group is a set of alerts that one receiver hears of together.
type Group struct {
	alertd.Joined // its route, receiver and timing; Fingerprint is not used here

	Members map[alertd.Fingerprint]*Member
	Due     time.Time     // when it is looked at next
	Reason  alertd.Reason // why not before
	SpokeAt time.Time     // when it last spoke; zero: never
	PagedAt time.Time     // when it last spoke of what fires, and not only of what is over
	Let     bool          // somebody let it go: until it has spoken, nothing holds it
	Seq     uint64        // how often it spoke, or changed what it had said

	index int // in the heap of due times
}

// Member is one alert in a group.
type Member struct {
	Firing    bool          `json:"firing"`
	Told      bool          `json:"told,omitempty"`      // announced as firing and not yet closed
	Since     time.Time     `json:"since"`               // when it joined
	HeldSince time.Time     `json:"held_since,omitzero"` // when the calendar first held it
	Why       alertd.Reason `json:"why,omitempty"`       // why it was not told, the last time that was asked
	By        string        `json:"by,omitempty"`
	Until     time.Time     `json:"until,omitzero"`
	OpenSince time.Time     `json:"open_since,omitzero"` // since when it is told and waits for somebody to take it, unless somebody has
}

// Diff is what changed in a group since it last spoke. Each list is sorted.
type Diff struct {
	Fresh  []alertd.Fingerprint // firing and not told
	Told   []alertd.Fingerprint // firing and told
	Closed []alertd.Fingerprint // told, and over
	Ended  []alertd.Fingerprint // never told, and over
}

// Diff compares what is with what was told.
func (g *Group) Diff() Diff {
	var d Diff
	for _, fp := range slices.Sorted(maps.Keys(g.Members)) {
		switch m := g.Members[fp]; {
		case m.Firing && m.Told:
			d.Told = append(d.Told, fp)
		case m.Firing:
			d.Fresh = append(d.Fresh, fp)
		case m.Told:
			d.Closed = append(d.Closed, fp)
		default:
			d.Ended = append(d.Ended, fp)
		}
	}
	return d
}

// Holds reports whether a calendar has held anything in the group that is not told yet, over or not.
func (g *Group) Holds() bool {
	for _, m := range g.Members {
		if m.Holds() {
			return true
		}
	}
	return false
}

// Tells reports whether anything in the group is told and not closed.
func (g *Group) Tells() bool {
	for _, m := range g.Members {
		if m.Told {
			return true
		}
	}
	return false
}

// Holds reports whether a calendar has held it, and it is not told yet.
func (m *Member) Holds() bool { return !m.Told && !m.HeldSince.IsZero() }

// Speak says with which word a group speaks at now, given what is fresh, told and closed; false if it has
// nothing to say. The words and their order are Alertmanager's; unlike there, a repeat is due exactly
// repeat_interval after the group last spoke.
func (g *Group) Speak(d Diff, now time.Time) (alertd.Reason, bool) {
	switch {
	case len(d.Fresh) > 0 && g.SpokeAt.IsZero():
		return alertd.ReasonFirst, true
	case len(d.Fresh) > 0:
		return alertd.ReasonNewAlerts, true
	case len(d.Closed) > 0 && len(d.Told) == 0:
		return alertd.ReasonAllResolved, true
	case len(d.Closed) > 0:
		return alertd.ReasonSomeResolved, true
	case len(d.Told) > 0 && g.repeats(now):
		return alertd.ReasonRepeat, true
	}
	return "", false
}

func (g *Group) repeats(now time.Time) bool {
	due, ok := g.RepeatDue()
	return ok && !now.Before(due)
}

// RepeatDue is when the group says again what it has told; false if it never does.
func (g *Group) RepeatDue() (time.Time, bool) {
	if g.RepeatInterval <= 0 || g.SpokeAt.IsZero() {
		return time.Time{}, false
	}
	return g.SpokeAt.Add(g.RepeatInterval), true
}

// ChangeDue is when a change at now may be told: group_wait after firedAt for a group that has not spoken yet,
// group_interval after it last spoke for one that has. It is never before now. An alert that fired long ago,
// such as one that arrives after a restart, has waited enough.
func (g *Group) ChangeDue(now, firedAt time.Time) time.Time {
	due := g.SpokeAt.Add(g.GroupInterval)
	if g.SpokeAt.IsZero() {
		due = alertd.Earlier(firedAt, now).Add(g.GroupWait)
	}
	return alertd.Later(due, now)
}

// SortNotified puts what a person needs first: firing before resolved, then by severity, then what others suffer from,
// then the oldest, then by fingerprint.
func SortNotified(alerts []alertd.Notified) {
	slices.SortFunc(alerts, func(a, b alertd.Notified) int {
		return cmp.Or(
			cmp.Compare(ones(b.State.Active()), ones(a.State.Active())),
			cmp.Compare(a.Severity().Rank(), b.Severity().Rank()),
			cmp.Compare(ones(b.Annotations.Has(alertd.AnnotationAffected)), ones(a.Annotations.Has(alertd.AnnotationAffected))),
			a.ActiveAt.Compare(b.ActiveAt),
			cmp.Compare(a.Fingerprint, b.Fingerprint),
		)
	})
}
