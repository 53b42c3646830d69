package engine

import (
	"slices"
	"time"

	"alertd"
)

const (
	// maxHid bounds the alerts that a silence remembers to have hidden; the rest is counted.
	maxHid = 200
	// idleAfter is for how long a silence in force may hide nothing before it is said to match nothing. One that
	// recurs gets a week.
	idleAfter      = 4 * time.Hour
	idleRecurrence = 7 * 24 * time.Hour
	// maxChanges bounds what is remembered of what was done to a silence, maxConcerned the alerts that are noted with it.
	maxChanges   = 20
	maxConcerned = 1000
)

// record is what a silence has done. It follows from the entries: see withheld and ended.
type record struct {
	Hid  []alertd.Hidden `json:"hid,omitempty"` // in the order in which they were hidden first
	More int             `json:"more,omitempty"`
	Last time.Time       `json:"last,omitzero"`

	Changes []alertd.SilenceChange `json:"changes,omitempty"` // oldest first; of many, the first and the last ones
}

// storedSilence is a silence as a snapshot keeps it.
type storedSilence struct {
	alertd.Silence
	Record record `json:"record,omitzero"`
}

func (ss silences) stored() []storedSilence {
	out := make([]storedSilence, 0, len(ss))
	for _, s := range ss.sorted() {
		out = append(out, storedSilence{s.Silence, s.record})
	}
	return out
}

func (ss silences) restore(all []storedSilence) {
	for _, s := range all {
		ss.apply(s.UpdatedAt, s.Silence)
		if c := ss[s.ID]; c != nil {
			c.record = s.Record
		}
	}
}

// changed adds what was done to a silence to its record. Which alerts it was about is in the journal.
func (r *record) changed(c *alertd.SilenceChange) {
	if c == nil {
		return
	}
	r.Changes = append(slices.Clip(r.Changes), *c) // a new array: somebody may be reading the old one
	r.Changes[len(r.Changes)-1].Alerts = nil
	if len(r.Changes) > maxChanges {
		r.Changes = slices.Delete(r.Changes, 1, 2)
	}
}

// withheld notes that silences kept an alert from being told. The entry names one of them; all that matched did.
func (ss silences) withheld(at time.Time, w *alertd.Withheld, a *alertd.Alert) {
	if w.Reason != alertd.ReasonSilenced || a == nil {
		return
	}
	for _, s := range ss {
		if is, _ := s.inForce(at); is && s.hides(a) {
			s.note(at, a)
		}
	}
}

func (r *record) note(at time.Time, a *alertd.Alert) {
	r.Last = at
	switch {
	case slices.ContainsFunc(r.Hid, func(h alertd.Hidden) bool { return h.Fingerprint == a.Fingerprint }):
	case len(r.Hid) < maxHid:
		// A new array: somebody may be reading the old one.
		r.Hid = append(slices.Clip(r.Hid), hiddenOf(a, at))
	default:
		r.More++
	}
}

// ended notes that what silences hid is over: until then they were of use.
func (ss silences) ended(at time.Time, t *alertd.Transition) {
	if len(ss) == 0 || !t.From.Active() || t.Alert.State.Active() {
		return
	}
	for _, s := range ss {
		if is, _ := s.inForce(at); is && s.hides(&t.Alert) {
			s.Last = at
		}
	}
}

func hiddenOf(a *alertd.Alert, since time.Time) alertd.Hidden {
	return alertd.Hidden{Fingerprint: a.Fingerprint, Alert: a.Name(), Service: a.Service(), Severity: a.Severity(), Since: since}
}

// idle reports whether the silence has been in force for long without hiding anything.
func (s *silence) idle(at time.Time) bool {
	since, patience := alertd.Later(s.StartsAt, s.Last), idleAfter
	if s.recurs != nil {
		patience = idleRecurrence
	}
	return s.State(at) == alertd.SilenceActive && at.Sub(since) >= patience
}
