package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"alertd"
)

// Silences returns all silences, expired ones that are kept included, by ID, and what each does at now.
func (m *Machine) Silences(now time.Time) []alertd.SilenceView {
	now = now.Round(0).UTC()
	firing := m.firing()
	out := make([]alertd.SilenceView, 0, len(m.silences))
	for _, s := range m.silences.sorted() {
		out = append(out, viewOf(now, s, firing))
	}
	return out
}

func viewOf(now time.Time, s *silence, firing []*alertd.Alert) alertd.SilenceView {
	v := alertd.SilenceView{
		Silence: s.Silence, State: s.State(now), Hides: []alertd.Hidden{},
		Hid: slices.Clone(s.Hid), More: s.More, Last: s.Last, Changes: slices.Clone(s.Changes),
	}
	if v.Hid == nil {
		v.Hid = []alertd.Hidden{}
	}
	if v.Changes == nil {
		v.Changes = []alertd.SilenceChange{}
	}
	if v.State == alertd.SilenceExpired {
		return v
	}
	is, until := s.inForce(now)
	v.Until = until
	if !is {
		v.State = alertd.SilencePending
	}
	matching := matched(s, firing)
	v.Broad = broad(s, matching, firing)
	if is {
		v.Hides = hiddenSince(matching)
		v.Idle = len(matching) == 0 && s.idle(now)
	}
	return v
}

// Preview is what a silence would hide if it were in force now.
type Preview struct {
	Hides  []alertd.Hidden // of what fires, the most urgent first
	Firing int             // how many fire
	Broad  string          // why somebody should have a second look; "" if nobody need
	// Matches reports whether it would have hidden an alert with these labels at an instant, had it been there always.
	// It must not be called concurrently.
	Matches func(at time.Time, ls alertd.Labels) bool
}

// PreviewSilence says what a silence would hide. The error is an [alertd.ErrInvalid].
func (m *Machine) PreviewSilence(want alertd.Silence) (Preview, error) {
	s, err := compile(want)
	if err != nil {
		return Preview{}, fmt.Errorf("%w: %w", alertd.ErrInvalid, err)
	}
	firing := m.firing()
	matching := matched(s, firing)
	p := Preview{Hides: hiddenSince(matching), Firing: len(firing), Broad: broad(s, matching, firing)}
	p.Matches = func(at time.Time, ls alertd.Labels) bool {
		if s.recurs != nil {
			if start, _ := s.recurs.Window(at); start.IsZero() || at.Before(start) {
				return false
			}
		}
		return s.match.Matches(ls)
	}
	return p, nil
}

// firing returns the alerts that fire, without those that tell of silences, in any order: of many alerts, sorting is all the work.
func (m *Machine) firing() []*alertd.Alert {
	firing := make([]*alertd.Alert, 0, len(m.alerts.byPrint))
	for _, a := range m.alerts.byPrint {
		if a.State.Active() && a.Rule != silenceRule {
			firing = append(firing, a)
		}
	}
	return firing
}

// matched returns those that a silence hides, in the order of their fingerprints.
func matched(s *silence, firing []*alertd.Alert) (out []*alertd.Alert) {
	for _, a := range firing {
		if s.hides(a) {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, byFingerprint)
	return out
}

func hiddenSince(alerts []*alertd.Alert) []alertd.Hidden {
	out := make([]alertd.Hidden, 0, len(alerts))
	for _, a := range alerts {
		out = append(out, hiddenOf(a, a.FiredAt))
	}
	slices.SortStableFunc(out, func(a, b alertd.Hidden) int {
		return cmp.Or(cmp.Compare(a.Severity.Rank(), b.Severity.Rank()), a.Since.Compare(b.Since))
	})
	return out
}

const (
	// A silence is broad that hides more than half of what fires, once so many alerts fire that this says something.
	broadPercent = 50
	broadFrom    = 10
)

// broad says why a silence hides more than one problem is likely to be; "" if it does not.
func broad(s *silence, matching, firing []*alertd.Alert) string {
	if s.match.MatchesAny() {
		return "it hides alerts whatever they are: no matcher names a value that an alert must have"
	}
	critical := map[string]bool{}
	for _, a := range matching {
		if a.Severity() == alertd.Critical {
			critical[a.Service()] = true
		}
	}
	if len(critical) > 1 {
		names := slices.Sorted(maps.Keys(critical))
		return fmt.Sprintf("it hides critical alerts of %d services: %s", len(names), few(names))
	}
	if len(firing) >= broadFrom && len(matching)*100 > len(firing)*broadPercent {
		return fmt.Sprintf("it hides %d of the %d alerts that fire", len(matching), len(firing))
	}
	return ""
}

// few names the first of a list.
func few(names []string) string {
	const shown = 5
	named := make([]string, 0, shown)
	for _, name := range names[:min(len(names), shown)] {
		named = append(named, cmp.Or(name, "(no service)"))
	}
	text := strings.Join(named, ", ")
	if more := len(names) - shown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
