package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"alertd"
	"alertd/calendar"
	"alertd/grouping"
)

// keepSilences is how long a silence is kept after its end. Alertmanager keeps them as long (--data.retention).
const keepSilences = 120 * time.Hour

// silences holds all silences, by ID.
type silences map[string]*silence

type silence struct {
	alertd.Silence
	record

	match  alertd.AnyOf
	recurs *calendar.Recurrence // nil: in force all the time
	ending alertd.Fingerprint   // of the alert that says that it ends soon

	// What the recurrence last answered holds from lo until hi. It follows from the above, and saves asking again.
	lo, hi time.Time
	open   bool
}

// compile prepares a silence. The error is for whoever asked for it.
func compile(s alertd.Silence) (*silence, error) {
	match, err := s.Compile()
	if err != nil {
		return nil, err
	}
	out := &silence{Silence: s, match: match, ending: alertd.FingerprintOf(endingLabels(s.ID))}
	if r := s.Recurs; r != nil {
		out.recurs, err = calendar.NewRecurrence(r.Cron, time.Duration(r.Duration), r.Zone)
	}
	return out, err
}

// inForce reports whether the silence hides anything at an instant, and until when that stays so; the zero time: for ever.
func (s *silence) inForce(at time.Time) (is bool, until time.Time) {
	switch s.State(at) {
	case alertd.SilenceExpired:
		return false, time.Time{}
	case alertd.SilencePending:
		at = s.StartsAt
		if is, until := s.inForce(at); !is {
			return false, until
		}
		return false, at
	}
	if s.recurs == nil {
		return true, s.EndsAt
	}
	if at.Before(s.lo) || !at.Before(s.hi) {
		s.lo, s.hi = at, s.EndsAt
		start, end := s.recurs.Window(at)
		if s.open = !start.IsZero() && !at.Before(start); s.open {
			s.hi = alertd.Earlier(end, s.EndsAt)
		} else if !start.IsZero() {
			s.hi = alertd.Earlier(start, s.EndsAt)
		}
	}
	return s.open, s.hi
}

// SilencesSet brings silences as [Machine.PlanSilence] and [Machine.PlanExpiry] returned them.
type SilencesSet struct{ Silences []alertd.Silence }

func (SilencesSet) input() {}

// PlanSilence says what has to be set so that a silence is as somebody wants it, and under which ID it is then known. A
// silence without ID is new and gets newID. For one with an ID the rules are Alertmanager's: comment, author and end
// may change in place; other matchers, or another beginning of one that is active, end the old one and make a new one;
// one that has expired stays expired, and a new one takes its place. The error is an [alertd.ErrNotFound] or an
// [alertd.ErrInvalid].
func (m *Machine) PlanSilence(now time.Time, want alertd.Silence, newID string, by alertd.Actor) (in SilencesSet, id string, err error) {
	now = now.UTC().Truncate(time.Millisecond) // as it is shown, so that who changes it can send the same beginning back
	want.StartsAt, want.EndsAt, want.UpdatedAt = want.StartsAt.UTC(), want.EndsAt.UTC().Truncate(time.Millisecond), now
	want.Awaits, want.NoticedAt, want.Change = nil, time.Time{}, nil
	old := m.silences[want.ID]
	if want.ID != "" && old == nil {
		return in, "", fmt.Errorf("silence %q: %w", want.ID, alertd.ErrNotFound)
	}
	if old != nil && want.Or == nil && want.Recurs == nil && !want.UntilResolved {
		// Who asks knows Alertmanager's fields alone, and must not turn a silence for the nights into one for ever.
		want.Or, want.Recurs, want.UntilResolved = old.Or, old.Recurs, old.UntilResolved
	}
	c, err := compile(want)
	if err != nil {
		return in, "", fmt.Errorf("%w: %w", alertd.ErrInvalid, err)
	}
	if old != nil && old.UntilResolved == want.UntilResolved {
		want.Awaits = old.Awaits
	}
	if want.UntilResolved && want.Awaits == nil {
		if want.Awaits, err = m.awaited(now, c); err != nil {
			return in, "", err
		}
	}
	if old != nil && inPlace(now, &old.Silence, &want) {
		if old.State(now) == alertd.SilenceActive {
			want.StartsAt = old.StartsAt
		}
		want.Change = done(alertd.SilenceChanged, now, editor(by, old, &want))
		want.Change.Detail = edits(&old.Silence, &want)
		return SilencesSet{[]alertd.Silence{want}}, want.ID, nil
	}
	by = editor(by, old, &want)
	want.ID, want.Change = newID, done(alertd.SilenceMade, now, by)
	want.StartsAt = alertd.Later(want.StartsAt, now)
	if !want.EndsAt.After(want.StartsAt) {
		return in, "", fmt.Errorf("%w: the silence ends (%s) before it begins (%s)", alertd.ErrInvalid,
			want.EndsAt.Format(time.RFC3339), want.StartsAt.Format(time.RFC3339))
	}
	if n := len(want.Awaits); n > 0 {
		want.Change.Detail = fmt.Sprintf("or when all of the %d that it hides now are resolved", n)
	}
	if old != nil {
		want.Change.Detail = strings.TrimPrefix(want.Change.Detail+"; in place of "+old.ID, "; ")
		if old.State(now) != alertd.SilenceExpired {
			over := ended(old.Silence, now, alertd.SilenceReplaced, by)
			over.Change.Detail = newID + " takes its place"
			in.Silences = append(in.Silences, over)
		}
	}
	in.Silences = append(in.Silences, want)
	return in, newID, nil
}

// editor is who asks for a silence. A client that does not say so of itself names the author of the silence: of a new
// one that is who asks, of one that is there only if the name is another one.
func editor(by alertd.Actor, old *silence, want *alertd.Silence) alertd.Actor {
	if old == nil || old.CreatedBy != want.CreatedBy {
		by.By = cmp.Or(by.By, want.CreatedBy)
	}
	return by
}

// edits says what is different in a silence that was changed in place.
func edits(old, now *alertd.Silence) string {
	var parts []string
	if !old.StartsAt.Equal(now.StartsAt) {
		parts = append(parts, "it was to begin "+inWords(old.StartsAt))
	}
	if !old.EndsAt.Equal(now.EndsAt) {
		parts = append(parts, "it was to end "+inWords(old.EndsAt))
	}
	if old.Comment != now.Comment {
		parts = append(parts, fmt.Sprintf("its comment was %q", short(old.Comment)))
	}
	if old.CreatedBy != now.CreatedBy {
		parts = append(parts, "it was of "+short(old.CreatedBy))
	}
	return strings.Join(parts, ", ")
}

func inWords(t time.Time) string { return t.Format("2006-01-02 15:04 MST") }

// inPlace reports whether a silence may become another one under the same ID.
func inPlace(now time.Time, old, want *alertd.Silence) bool {
	if !old.Hides(want) || old.UntilResolved != want.UntilResolved {
		return false
	}
	switch old.State(now) {
	case alertd.SilenceActive:
		return want.StartsAt.Unix() == old.StartsAt.Unix() && !want.EndsAt.Before(now) // some clients know seconds only
	case alertd.SilencePending:
		return !want.StartsAt.Before(now) && want.EndsAt.After(want.StartsAt)
	default:
		return false
	}
}

// PlanExpiry says what has to be set so that a silence is over. Ending one that is over already sets nothing. The error
// is an [alertd.ErrNotFound].
func (m *Machine) PlanExpiry(now time.Time, id string, by alertd.Actor) (SilencesSet, error) {
	now = now.Round(0).UTC()
	s := m.silences[id]
	if s == nil {
		return SilencesSet{}, fmt.Errorf("silence %q: %w", id, alertd.ErrNotFound)
	}
	if s.State(now) == alertd.SilenceExpired {
		return SilencesSet{}, nil
	}
	return SilencesSet{[]alertd.Silence{ended(s.Silence, now, alertd.SilenceEnded, by)}}, nil
}

// ended is a silence that ends now, before its end.
func ended(s alertd.Silence, now time.Time, act alertd.SilenceAct, by alertd.Actor) alertd.Silence {
	s.StartsAt, s.EndsAt, s.UpdatedAt, s.NoticedAt = alertd.Earlier(s.StartsAt, now), now, now, now
	s.Change = done(act, now, by)
	return s
}

// done is what somebody did. What people and clients say of themselves is cut: it is kept for long.
func done(act alertd.SilenceAct, at time.Time, by alertd.Actor) *alertd.SilenceChange {
	by.By, by.Client, by.Why = cut(by.By, alertd.MaxAckBy), cut(by.Client, alertd.MaxClient), cut(by.Why, alertd.MaxAckWhy)
	return &alertd.SilenceChange{Act: act, At: at, Actor: by}
}

// setSilences follows new and ended silences. What one that ended has hidden is told as soon as its group may speak.
func (m *Machine) setSilences(all []alertd.Silence) {
	for i := range all {
		m.concern(&all[i])
		m.emit(alertd.Entry{Silence: &all[i]})
		m.unnotice(&all[i])
	}
	for _, g := range slices.Collect(m.groups.All()) {
		for _, fp := range g.Diff().Fresh {
			if g.Members[fp].Why != alertd.ReasonSilenced {
				continue
			}
			if a := m.alerts.get(fp); a != nil && !m.silencedIn(g, fp) { // by another one, or until another time, perhaps
				m.wait(g, a)
			}
		}
	}
}

// concern notes with what is done to a silence which alerts it is about: what fires and matches, and what it waited for.
func (m *Machine) concern(s *alertd.Silence) {
	if s.Change == nil {
		return
	}
	c, err := compile(*s)
	if err != nil {
		return // PlanSilence lets none through
	}
	change := *s.Change
	change.EndsAt, change.Alerts = s.EndsAt, nil
	if change.Act == alertd.SilenceResolved {
		change.Alerts = slices.Clone(c.Awaits) // they are just over
	}
	for _, a := range matched(c, m.firing()) {
		if !slices.Contains(c.Awaits, a.Fingerprint) || change.Act != alertd.SilenceResolved {
			change.Alerts = append(change.Alerts, a.Fingerprint)
		}
	}
	change.Alerts = change.Alerts[:min(len(change.Alerts), maxConcerned)]
	s.Change = &change
}

// apply stores a silence and drops those that have been over for long.
func (ss silences) apply(at time.Time, s alertd.Silence) {
	c, err := compile(s)
	if err != nil {
		return // PlanSilence lets none through
	}
	if old := ss[s.ID]; old != nil {
		c.record = old.record
	}
	c.changed(s.Change)
	c.Change = nil // it is the last of Changes
	ss[s.ID] = c
	maps.DeleteFunc(ss, func(_ string, s *silence) bool { return at.Sub(s.EndsAt) > keepSilences && s.isOver() })
}

// sorted returns the silences in the order of their IDs.
func (ss silences) sorted() []*silence {
	out := make([]*silence, 0, len(ss))
	for _, id := range slices.Sorted(maps.Keys(ss)) {
		out = append(out, ss[id])
	}
	return out
}

// silencedBy returns the IDs of the silences that hide an alert now, sorted.
func (m *Machine) silencedBy(a *alertd.Alert) (ids []string) {
	for id, s := range m.silences {
		if is, _ := s.inForce(m.now); is && s.hides(a) {
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
	by, until := m.silences[ids[0]], time.Time{}
	for _, id := range ids { // the one that hides it longest
		if _, edge := m.silences[id].inForce(m.now); edge.After(until) {
			by, until = m.silences[id], edge
		}
	}
	m.withhold(g, fp, alertd.Withheld{
		Reason: alertd.ReasonSilenced, By: by.ID, Until: until, Detail: short(by.CreatedBy) + ": " + short(by.Comment),
	})
	return true
}

// hides reports whether the silence is meant for an alert. What tells of a silence is not hidden by that one.
func (s *silence) hides(a *alertd.Alert) bool {
	return s.match.Matches(a.Labels) && (a.Rule != silenceRule || a.Fingerprint != s.ending)
}
