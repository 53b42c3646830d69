package engine_test

import (
	"slices"
	"strings"
	"time"

	"alertd"
)

// promises are what the machine owes people at any instant, whatever silences, acks, reloads and restarts come between.
type promises struct {
	over     map[string]time.Time // told alerts that are over → since when
	open     map[string]time.Time // told critical alerts that nobody has and nothing hides → since when at the latest
	heard    map[string]time.Time // critical alerts → when the route's receiver heard of them first
	unchased bool                 // the policy has no escalation
	closed   int                  // ends that were told while a silence hid the alert
	called   int                  // escalations
}

func newPromises() promises {
	return promises{over: map[string]time.Time{}, open: map[string]time.Time{}, heard: map[string]time.Time{}}
}

const (
	// A flapping alert is believed after half an hour; others of its group may have it wait as long again, each.
	closedWithin = 2*time.Hour + 5*time.Minute
	firstStep    = 5 * time.Minute // of the escalation in [policy]
)

// follow notes a notification.
func (p *promises) follow(w *world, n *alertd.Notification) {
	for i := range n.Alerts {
		a := &n.Alerts[i]
		fp := a.Fingerprint.String()
		switch {
		case n.Receiver == "ops" && a.State.Active() && p.heard[fp].IsZero():
			p.heard[fp] = w.now
		case n.Receiver == "ops" && !a.State.Active():
			delete(p.heard, fp)
			if w.silenced(a.Labels) {
				p.closed++
			}
		case n.Receiver == "second" && a.State.Active() && n.Reason == alertd.ReasonEscalated:
			p.called++
			if since := w.now.Sub(p.heard[fp]); since < firstStep {
				w.t.Fatalf("%s: %s goes to others %s after it was told first", w.now, a.Name(), since)
			}
		}
	}
}

// check holds the machine to what it owes now.
func (p *promises) check(w *world) {
	fires := map[string]*alertd.Standing{}
	all := w.m.Standing(w.now)
	for i := range all {
		fires[all[i].Fingerprint.String()] = &all[i]
	}
	open := map[string]time.Time{}
	for key, state := range w.told {
		if state != alertd.Firing {
			continue
		}
		fp := key[strings.LastIndexByte(key, '/')+1:]
		st := fires[fp]
		if st == nil {
			if p.over[fp].IsZero() {
				p.over[fp] = w.now
			}
			if since := w.now.Sub(p.over[fp]); since > closedWithin {
				w.t.Fatalf("%s: %s is over for %s, and that is not told", w.now, key, since)
			}
			continue
		}
		delete(p.over, fp)
		if p.chased(w, key, st) {
			open[fp] = w.now
			if since := p.open[fp]; !since.IsZero() {
				open[fp] = since
			}
			if since := w.now.Sub(open[fp]); since > firstStep && w.told["second/slack/0/"+fp] != alertd.Firing {
				w.t.Fatalf("%s: nobody took %s for %s, and nobody else was called in", w.now, st.Name(), since)
			}
		}
	}
	p.open = open
}

// chased reports whether an alert that was told has to go to others if nobody takes it.
func (p *promises) chased(w *world, key string, st *alertd.Standing) bool {
	return !p.unchased && strings.HasPrefix(key, "ops/slack/0/") && st.Severity() == alertd.Critical && st.Ack == nil &&
		st.Name() != "AlertdDeliveryFailed" && len(st.InhibitedBy) == 0 && !w.silenced(st.Labels)
}

// silenced reports whether a silence that is not over matches, in force or not.
func (w *world) silenced(ls alertd.Labels) bool {
	return slices.ContainsFunc(w.m.Silences(w.now), func(s alertd.SilenceView) bool {
		match, err := s.Compile()
		return err == nil && s.State != alertd.SilenceExpired && match.Matches(ls)
	})
}
