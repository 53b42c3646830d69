package engine

import (
	"maps"
	"slices"
	"time"

	"alertd"
	"alertd/grouping"
)

// An alert that comes and goes would page each time anew. Only its recoveries wait, each a little longer than the one
// before: until they are told it still counts as firing, so what fires again meanwhile is nothing new. The first page
// never waits, and in the end the truth is told, because a recovery that lasts outlasts its delay.

const (
	// flapChanges are enough within [alertd.FlapWindow] for an alert to count as flapping: it fired and ended, twice. What
	// has been over for as long as remember says, and is told, is forgotten, and begins to count anew.
	flapChanges = 4
	// calmFirst is how long the first recovery waits that flapChanges say not to believe. It doubles with each one that
	// follows, up to calmMost.
	calmFirst = 2 * time.Minute
	calmMost  = 30 * time.Minute
	// maxEpisodes bounds what is kept of one alert. Long before it is reached, the delay is calmMost.
	maxEpisodes = 30
)

// episode is one time that an alert fired and ended, by the alert's own clock.
type episode struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// episodes holds, for alerts that fired again, when they fired before. An alert's last episode is in the alert itself,
// so one that fires once costs nothing here, and a storm neither.
type episodes map[alertd.Fingerprint][]episode

// storedEpisodes is what a snapshot keeps of one alert's.
type storedEpisodes struct {
	Fingerprint alertd.Fingerprint `json:"fingerprint"`
	Episodes    []episode          `json:"episodes"`
}

func (es episodes) stored() (out []storedEpisodes) {
	for _, fp := range slices.Sorted(maps.Keys(es)) {
		out = append(out, storedEpisodes{fp, es[fp]})
	}
	return out
}

// follow notes what a transition says of flapping, given the alert as it was before, or nil.
func (es episodes) follow(t *alertd.Transition, before *alertd.Alert) {
	fp := t.Alert.Fingerprint
	switch {
	case t.Alert.State == alertd.Resolved && (t.Reason == alertd.ReasonExpired || t.Reason == alertd.ReasonRuleGone):
		// Nobody said that all is well, and the next occurrence is news: that is no coming and going.
		delete(es, fp)
	case before != nil && before.State == alertd.Resolved && t.Alert.State != alertd.Resolved:
		if fellSilent(before) {
			return // that it is posted again is no change either: as far as is known it fired all the time
		}
		last := episode{before.FiredAt, before.ResolvedAt}
		if !last.To.After(t.Alert.At.Add(-alertd.FlapWindow)) {
			delete(es, fp)
			return
		}
		kept := slices.DeleteFunc(slices.Clone(es[fp]), func(e episode) bool { return !e.To.After(last.To.Add(-alertd.FlapWindow)) })
		kept = append(kept, last)
		es[fp] = kept[max(0, len(kept)-maxEpisodes):]
	}
}

// changes is how often an alert fired or ended within [alertd.FlapWindow] before an instant.
func (es episodes) changes(a *alertd.Alert, at time.Time) (n int) {
	count := func(change time.Time) {
		if change.After(at.Add(-alertd.FlapWindow)) {
			n++
		}
	}
	for _, e := range es[a.Fingerprint] {
		count(e.From)
		count(e.To)
	}
	if a.State.Active() || a.State == alertd.Resolved {
		count(a.FiredAt)
	}
	if a.State == alertd.Resolved && !fellSilent(a) {
		count(a.ResolvedAt)
	}
	return n
}

// fellSilent reports whether an alert is over only because whoever posted it does not any more. That is no recovery.
func fellSilent(a *alertd.Alert) bool { return a.State == alertd.Resolved && a.GoneAt.IsZero() }

// flapping is how often an alert has changed lately, 0 if that is not often enough to be called flapping. Of one that is
// over it tells how it was when it ended.
func (m *Machine) flapping(a *alertd.Alert) int {
	at := m.now
	if a.State == alertd.Resolved {
		at = a.ResolvedAt
	}
	if n := m.alerts.before.changes(a, at); n >= flapChanges {
		return n
	}
	return 0
}

// calmAt is when the end of an alert is believed that flaps; zero: it does not flap, or has not ended.
func (m *Machine) calmAt(fp alertd.Fingerprint) time.Time {
	a := m.alerts.get(fp)
	if a == nil || a.State != alertd.Resolved {
		return time.Time{}
	}
	n := m.flapping(a)
	if n == 0 {
		return time.Time{}
	}
	delay := calmFirst
	for ; n >= flapChanges+2 && delay < calmMost; n -= 2 {
		delay *= 2
	}
	return a.ResolvedAt.Add(min(delay, calmMost))
}

// restless are those of the closed alerts of a group whose end is not believed yet, and until when; by is the first of
// them to be.
func (m *Machine) restless(closed []alertd.Fingerprint) (until map[alertd.Fingerprint]time.Time, by alertd.Fingerprint) {
	for _, fp := range closed {
		calm := m.calmAt(fp)
		if !calm.After(m.now) {
			continue
		}
		if until == nil {
			until, by = map[alertd.Fingerprint]time.Time{}, fp
		}
		until[fp] = calm
		if calm.Before(until[by]) {
			by = fp
		}
	}
	return until, by
}

// believed are those of the closed alerts of a group whose end is told now. Where nothing of the group fires, all wait for
// the one that flaps: a message that says that all is over would close an incident elsewhere, and nobody would open it
// again when that one fires.
func (m *Machine) believed(g *grouping.Group, closed []alertd.Fingerprint, firing bool) []alertd.Fingerprint {
	restless, by := m.restless(closed)
	if len(restless) == 0 {
		return closed
	}
	var out []alertd.Fingerprint
	for _, fp := range closed {
		until, flaps := restless[fp]
		switch {
		case flaps:
			m.withhold(g, fp, alertd.Withheld{Reason: alertd.ReasonFlapping, Until: until})
		case firing:
			out = append(out, fp)
		default:
			m.withhold(g, fp, alertd.Withheld{Reason: alertd.ReasonFlapping, By: by.String(), Until: restless[by]})
		}
	}
	return out
}

// closing is when a group looks again at ends that it has not told, and why; zero: there are none.
func (m *Machine) closing(g *grouping.Group, d grouping.Diff) (due time.Time, why alertd.Reason) {
	restless, by := m.restless(d.Closed)
	switch {
	case len(d.Closed) == 0:
		return time.Time{}, ""
	case len(restless) == 0, len(d.Told) > 0 && len(restless) < len(d.Closed): // more than could be told at once
		return m.now.Add(max(g.GroupInterval, time.Second)), alertd.ReasonGrouped
	default:
		return g.ChangeDue(restless[by], restless[by]), alertd.ReasonFlapping
	}
}

// relapse looks again at a group whose alert fires again before its end was told. While that waited the group may have
// let a reminder pass, and others may have waited for it.
func (m *Machine) relapse(g *grouping.Group, fp alertd.Fingerprint) {
	if due, why := m.chase(g); !due.IsZero() {
		m.hasten(g, alertd.Later(due, m.now), why)
	}
	d := g.Diff()
	if restless, _ := m.restless(d.Closed); len(restless) < len(d.Closed) {
		m.hasten(g, g.ChangeDue(m.now, m.now), alertd.ReasonGrouped)
	}
	w := alertd.Withheld{Reason: alertd.ReasonDeduplicated}
	if g.Due.After(m.now) {
		w.Until = g.Due
	}
	m.withhold(g, fp, w)
}
