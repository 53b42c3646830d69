package engine_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/engine"
)

// simLimits are the limits of the simulation's destinations, where they have one.
var simLimits = map[string]int{"ops/slack/0": 3, "second/slack/0": 1, "team/slack/0": 2}

// limits is what a world knows of messages and places.
type limits struct {
	waiting map[string]alertd.Notification // by ID: planned, and neither let go nor folded
	about   map[string]map[string]int      // by ID: the lines that a notification stands in, and the newest word that it tells there
	left    map[string]int                 // by line: the newest word that has left
	words   int
	took    map[string][]time.Time // by destination: places, of messages and of summaries
	own     map[string][]time.Time // of messages
	folded  int
	late    bool
}

func newLimits() limits {
	return limits{
		waiting: map[string]alertd.Notification{}, about: map[string]map[string]int{}, left: map[string]int{},
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
		w.limits.words++
		w.limits.about[n.ID] = map[string]int{}
		for _, g := range append([]alertd.GroupKey{n.Group}, e.Planned.Groups...) {
			w.limits.about[n.ID][string(g)+"|"+to] = w.limits.words
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
		for line := range w.limits.about[e.Attempted.Notification] {
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
		for line, word := range w.limits.about[id] {
			w.limits.about[n.ID][line] = max(w.limits.about[n.ID][line], word)
		}
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
			within(w.limits.own[to], w.now) < limit/2 && !slices.ContainsFunc(folded, func(d alertd.Notification) bool { return d.Digest }) {
			w.t.Fatalf("%s: %s is critical and is folded while there are places for it: %s", w.now, m.ID, fmt.Sprint(w.limits.own[to]))
		}
	}
}

// many makes the condition of a rule true for some services, or false for all.
func (s *story) many(fire bool, args []string) {
	v := alertd.Verdict{Rule: s.rules[args[0]], At: s.now}
	clear(s.truth[args[0]])
	if fire {
		s.truth[args[0]] = map[string]alertd.Finding{}
		ls := pairs(args[1:])
		for service, value := range ls {
			if value != "" {
				continue
			}
			b := labels.NewBuilder(labels.FromStrings(alertd.LabelAlert, args[0], "service", service))
			for k, v := range ls {
				if v != "" {
					b.Set(k, v)
				}
			}
			f := alertd.Finding{Labels: b.Labels(), Scope: "service=" + service, Value: 1}
			s.truth[args[0]][f.Labels.String()] = f
			v.True = append(v.True, f)
		}
	}
	slices.SortFunc(v.True, func(a, b alertd.Finding) int { return labels.Compare(a.Labels, b.Labels) })
	s.step(engine.Judged{Verdict: v})
	s.due(s.now)
}
