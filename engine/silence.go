package engine

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"alertd"
	"alertd/grouping"
)

// keepSilences is how long a silence is kept after its end. Alertmanager keeps them as long (--data.retention).
const keepSilences = 120 * time.Hour

// silences holds all silences, by ID.
type silences map[string]*silence

type silence struct {
	alertd.Silence
	match alertd.Match
}

// SilencesSet brings silences as [Machine.PlanSilence] and [Machine.PlanExpiry] returned them.
type SilencesSet struct{ Silences []alertd.Silence }

func (SilencesSet) input() {}

// PlanSilence says what has to be set so that a silence is as somebody wants it, and under which ID it is then known. A
// silence without ID is new and gets newID. For one with an ID the rules are Alertmanager's: comment, author and end
// may change in place; other matchers, or another beginning of one that is active, end the old one and make a new one;
// one that has expired stays expired, and a new one takes its place. The error is an [alertd.ErrNotFound] or an
// [alertd.ErrInvalid].
func (m *Machine) PlanSilence(now time.Time, want alertd.Silence, newID string) (in SilencesSet, id string, err error) {
	now = now.UTC().Truncate(time.Millisecond) // as it is shown, so that who changes it can send the same beginning back
	if _, err := alertd.Compile(want.Matchers); err != nil {
		return in, "", fmt.Errorf("%w: %w", alertd.ErrInvalid, err)
	}
	want.StartsAt, want.EndsAt, want.UpdatedAt = want.StartsAt.UTC(), want.EndsAt.UTC(), now
	old := m.silences[want.ID]
	if want.ID != "" && old == nil {
		return in, "", fmt.Errorf("silence %q: %w", want.ID, alertd.ErrNotFound)
	}
	if old != nil && m.inPlace(now, &old.Silence, &want) {
		return SilencesSet{[]alertd.Silence{want}}, want.ID, nil
	}
	want.ID = newID
	want.StartsAt = laterOf(want.StartsAt, now)
	if !want.EndsAt.After(want.StartsAt) {
		return in, "", fmt.Errorf("%w: the silence ends (%s) before it begins (%s)", alertd.ErrInvalid,
			want.EndsAt.Format(time.RFC3339), want.StartsAt.Format(time.RFC3339))
	}
	if old != nil && old.State(now) != alertd.SilenceExpired {
		in.Silences = append(in.Silences, ended(old.Silence, now))
	}
	in.Silences = append(in.Silences, want)
	return in, newID, nil
}

// inPlace reports whether a silence may become another one under the same ID.
func (m *Machine) inPlace(now time.Time, old, want *alertd.Silence) bool {
	if !alertd.SameMatchers(old.Matchers, want.Matchers) {
		return false
	}
	switch old.State(now) {
	case alertd.SilenceActive:
		return want.StartsAt.Equal(old.StartsAt) && !want.EndsAt.Before(now)
	case alertd.SilencePending:
		return !want.StartsAt.Before(now) && want.EndsAt.After(want.StartsAt)
	default:
		return false
	}
}

// PlanExpiry says what has to be set so that a silence is over. Ending one that is over already sets nothing.
func (m *Machine) PlanExpiry(now time.Time, id string) (SilencesSet, error) {
	now = now.Round(0).UTC()
	s := m.silences[id]
	if s == nil {
		return SilencesSet{}, fmt.Errorf("silence %q: %w", id, alertd.ErrNotFound)
	}
	if s.State(now) == alertd.SilenceExpired {
		return SilencesSet{}, nil
	}
	return SilencesSet{[]alertd.Silence{ended(s.Silence, now)}}, nil
}

func ended(s alertd.Silence, now time.Time) alertd.Silence {
	s.StartsAt, s.EndsAt, s.UpdatedAt = earlierOf(s.StartsAt, now), now, now
	return s
}

// setSilences follows new and ended silences. What one that ended has hidden is told as soon as its group may speak.
func (m *Machine) setSilences(all []alertd.Silence) {
	for i := range all {
		m.emit(alertd.Entry{Silence: &all[i]})
	}
	for _, g := range slices.Collect(m.groups.All()) {
		for _, fp := range g.Diff().Fresh {
			if g.Members[fp].Why != alertd.ReasonSilenced {
				continue
			}
			if a := m.alerts.get(fp); a != nil && len(m.silencedBy(a)) == 0 {
				m.wait(g, a)
			}
		}
	}
}

// apply stores a silence and drops those that have been over for long.
func (ss silences) apply(at time.Time, s alertd.Silence) {
	match, err := alertd.Compile(s.Matchers)
	if err != nil {
		return // PlanSilence lets none through
	}
	ss[s.ID] = &silence{s, match}
	maps.DeleteFunc(ss, func(_ string, s *silence) bool { return at.Sub(s.EndsAt) > keepSilences })
}

// sorted returns the silences in the order of their IDs.
func (ss silences) sorted() []alertd.Silence {
	out := make([]alertd.Silence, 0, len(ss))
	for _, id := range slices.Sorted(maps.Keys(ss)) {
		out = append(out, ss[id].Silence)
	}
	return out
}

// silencedBy returns the IDs of the silences that hide an alert now, sorted.
func (m *Machine) silencedBy(a *alertd.Alert) (ids []string) {
	for id, s := range m.silences {
		if s.State(m.now) == alertd.SilenceActive && s.match.Matches(a.Labels) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// silencedIn says, and notes, whether a silence hides an alert in a group.
func (m *Machine) silencedIn(g *grouping.Group, fp alertd.Fingerprint) bool {
	a := m.alerts.get(fp)
	if a == nil || len(m.silences) == 0 {
		return false
	}
	ids := m.silencedBy(a)
	if len(ids) == 0 {
		return false
	}
	until := m.silences[ids[0]].EndsAt
	for _, id := range ids {
		until = laterOf(until, m.silences[id].EndsAt)
	}
	m.withhold(g, fp, alertd.Withheld{Reason: alertd.ReasonSilenced, By: ids[0], Until: until})
	return true
}

// Silences returns all silences, expired ones that are kept included, by ID.
func (m *Machine) Silences() []alertd.Silence { return m.silences.sorted() }
