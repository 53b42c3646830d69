package engine_test

import (
	"fmt"
	"slices"
	"time"

	"alertd"
)

// simLimits are the limits of the simulation's destinations, where they have one.
var simLimits = map[string]int{"ops/slack/0": 3, "second/slack/0": 1, "team/slack/0": 2}

// limits is what a world knows of messages and places.
type limits struct {
	waiting map[string]alertd.Notification // by ID: planned, and neither let go nor folded
	about   map[string][]string            // by ID: the lines that a notification stands in
	took    map[string][]time.Time         // by destination: places, of messages and of summaries
	own     map[string][]time.Time         // of messages
	folded  int
	late    bool
}

func newLimits() limits {
	return limits{
		waiting: map[string]alertd.Notification{}, about: map[string][]string{},
		took: map[string][]time.Time{}, own: map[string][]time.Time{},
	}
}

// checkLimits holds the machine to what a limit promises: never more messages within a minute; what waits leaves in time, by
// itself or in a summary that tells it; and nothing critical is folded while there are places for it.
func (w *world) checkLimits(e *alertd.Entry) {
	switch {
	case e.Planned != nil:
		n := e.Planned.Notification
		to := n.Receiver + "/" + n.Integration
		for _, g := range append([]alertd.GroupKey{n.Group}, e.Planned.Groups...) {
			w.limits.about[n.ID] = append(w.limits.about[n.ID], string(g)+"|"+to)
		}
		if e.Planned.Waits {
			w.limits.waiting[n.ID] = n
		}
		if n.Summary != nil {
			w.take(e.Time, to, false)
			w.checkSummary(e.Planned)
		}
	case e.Admitted != nil:
		to := e.Admitted.Receiver + "/" + e.Admitted.Integration
		for _, id := range e.Admitted.Notifications {
			w.leaves(e.Time, id)
			if e.Admitted.Place != alertd.PlaceNone {
				w.take(e.Time, to, e.Admitted.Place == alertd.PlaceOwn)
			}
		}
	case e.Attempted != nil && e.Attempted.Next.IsZero():
		for _, line := range w.limits.about[e.Attempted.Notification] {
			if w.flight[line] == e.Attempted.Notification {
				delete(w.flight, line)
			}
		}
	}
}

// leaves notes that something does not wait any more.
func (w *world) leaves(now time.Time, id string) alertd.Notification {
	n, waited := w.limits.waiting[id]
	if !waited {
		w.t.Fatalf("%s: %s leaves, which does not wait", w.now, id)
	}
	delete(w.limits.waiting, id)
	quiet := n.Reason == alertd.ReasonAcked || n.Reason == alertd.ReasonUnacked
	if took := now.Sub(n.PlannedAt); !w.limits.late && !quiet && took > time.Minute { // they have one summary a minute
		w.t.Fatalf("%s: %s (%s) has waited for %s", w.now, id, n.Reason, took)
	}
	return n
}

func (w *world) take(now time.Time, to string, own bool) {
	w.limits.took[to] = append(w.limits.took[to], now)
	if own {
		w.limits.own[to] = append(w.limits.own[to], now)
	}
	if n := within(w.limits.took[to], now); n > simLimits[to] {
		w.t.Fatalf("%s: %d messages to %s within a minute, the limit is %d", now, n, to, simLimits[to])
	}
}

func within(all []time.Time, now time.Time) (n int) {
	for _, t := range all {
		if now.Sub(t) < time.Minute {
			n++
		}
	}
	return n
}

func (w *world) checkSummary(p *alertd.Planned) {
	n := p.Notification
	to := n.Receiver + "/" + n.Integration
	w.limits.folded += len(p.Folds)
	if len(p.Folds) < 2 || w.ids[n.ID] {
		w.t.Fatalf("%s: summary %s of %d messages", w.now, n.ID, len(p.Folds))
	}
	w.ids[n.ID] = true
	last := map[alertd.Fingerprint]alertd.State{}
	groups := map[alertd.GroupKey]int{}
	var folded []alertd.Notification
	for _, id := range p.Folds {
		w.limits.about[n.ID] = append(w.limits.about[n.ID], w.limits.about[id]...)
		m := w.leaves(n.PlannedAt, id)
		folded = append(folded, m)
		groups[m.Group]++
		for _, a := range m.Alerts {
			last[a.Fingerprint] = a.State
		}
	}
	if n.Summary.Firing+n.Summary.Resolved != len(groups) {
		w.t.Fatalf("%s: summary %s counts %+v of %d groups", w.now, n.ID, *n.Summary, len(groups))
	}
	for _, a := range n.Alerts {
		if last[a.Fingerprint] != a.State {
			w.t.Fatalf("%s: summary %s tells %s of %s, the last word was %q", w.now, n.ID, a.State, a.Name(), last[a.Fingerprint])
		}
		delete(last, a.Fingerprint)
	}
	if len(last) != n.Truncated {
		w.t.Fatalf("%s: summary %s leaves out %d alerts and says %d", w.now, n.ID, len(last), n.Truncated)
	}
	limit := simLimits[to]
	for _, m := range folded {
		if m.Status() == "firing" && m.Severity() == alertd.Critical && groups[m.Group] == 1 &&
			within(w.limits.own[to], w.now) < limit-max(limit/4, 1) && !slices.ContainsFunc(folded, func(d alertd.Notification) bool { return d.Digest }) {
			w.t.Fatalf("%s: %s is critical and is folded while there are places for it: %s", w.now, m.ID, fmt.Sprint(w.limits.own[to]))
		}
	}
}
