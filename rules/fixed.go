package rules

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// A selector may be fixed to a time with @: what it reads stays the same from then on, however far the window goes.
// So each series that such a selector reads keeps, besides the window, what the fixed time needs; these are its pins.
// A late sample that belongs there is taken in as one of the window is, and wakes the rule; one that is newer does not
// concern the selector at all. An answer is therefore the same as that of a store that keeps everything, as long as
// the samples were seen: what a restart does not find in the EVENTS stream any more is not there.

// pin is a time of which a series keeps the samples, and the newest one before it: for an instant later than that it
// still is the value. Milliseconds, both included.
type pin struct{ from, to int64 }

// furthest bounds fixed times, so that looking back from one is a number of milliseconds as well.
const furthest = math.MaxInt64 / 4

// reach is how far before the evaluated instant, or before the fixed time, a selector reads that stands below path: the
// lookback delta not included. The innermost @ decides: what is around it does not move the selector any more.
func reach(s *parser.VectorSelector, path []parser.Node, ranged time.Duration) (back time.Duration, fixed bool, until int64) {
	offset, at := s.OriginalOffset, s.Timestamp
	if at == nil && s.StartOrEnd == 0 {
		for _, above := range slices.Backward(path) {
			q, ok := above.(*parser.SubqueryExpr)
			if !ok {
				continue
			}
			ranged, offset = ranged+q.Range, offset+q.OriginalOffset
			if at = q.Timestamp; at != nil || q.StartOrEnd != 0 {
				break
			}
		}
	}
	if at == nil {
		return max(ranged+offset, 0), false, 0
	}
	return ranged, true, min(max(*at, -furthest), furthest) - offset.Milliseconds()
}

// pin is what a selector with a fixed time needs.
func (u use) pin(delta time.Duration) pin {
	return pin{u.until - u.lookBack(delta).Milliseconds(), u.until}
}

// pins are those of a series, sorted.
func (e *Evaluator) pins(s *series) (out []pin) {
	note := func(u use) {
		if u.fixed {
			out = append(out, u.pin(e.opts.LookbackDelta))
		}
	}
	for _, x := range s.indexes {
		for _, u := range x.users {
			note(u.rule.uses[u.use])
		}
		for _, q := range x.quoted {
			note(q.use)
		}
	}
	slices.SortFunc(out, func(a, b pin) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
	return slices.Compact(out)
}

// pinned reports whether a late sample at t belongs to a pin.
func (s *series) pinned(t int64) bool {
	return slices.ContainsFunc(s.pins, func(p pin) bool { return t <= p.to && (t >= p.from || !s.newer(t, p.from)) })
}

// needed reports whether something is read of the samples from `from` to the one at next, which is not among them. The
// window begins at cutoff.
func (s *series) needed(from, next, cutoff int64) bool {
	return next > cutoff || slices.ContainsFunc(s.pins, func(p pin) bool { return from <= p.to && next > p.from })
}

// holds reports whether a series that went silent has samples that a fixed time needs, and drops the others.
func (s *series) holds() bool {
	if len(s.pins) == 0 {
		return false
	}
	s.trim(s.newest)
	return slices.ContainsFunc(s.pins, func(p pin) bool { return s.newer(p.from-s.validFor-1, p.to) })
}

// trimAround is trim for a series that keeps more than the window.
func (s *series) trimAround(cutoff int64) {
	var runs []sealed
	for i, run := range s.sealed {
		if s.needed(run.from, s.after(i), cutoff) {
			runs = append(runs, run)
		}
	}
	s.sealed = runs
	head := s.head[:0]
	for i, p := range s.head {
		if i+1 == len(s.head) || s.needed(p.T, s.head[i+1].T, cutoff) {
			head = append(head, p)
		}
	}
	s.head = head
	s.trimHistograms(cutoff)
}

// trimHistograms is trimAround for native histograms.
func (s *series) trimHistograms(cutoff int64) {
	if len(s.hists) == 0 {
		return
	}
	hists := make([]promql.HPoint, 0, cap(s.hists))
	for i, p := range s.hists {
		if i+1 == len(s.hists) || s.needed(p.T, s.hists[i+1].T, cutoff) {
			hists = append(hists, p)
		}
	}
	s.hists = hists
}

// fix notes which metrics the rule reads at fixed times only, and until when samples of theirs concern it.
func (r *ruleRun) fix() {
	until := slices.Repeat([]int64{never}, len(r.metrics))
	r.fixed = len(r.uses) > 0
	for _, u := range r.uses {
		if u.fixed {
			until[u.slot] = max(until[u.slot], u.until)
			continue
		}
		until[u.slot], r.fixed = math.MaxInt64, false
	}
	if slices.ContainsFunc(until, func(t int64) bool { return t != math.MaxInt64 }) {
		r.until = until
	}
}

// concerns reports whether a sample of one of its metrics can change what the rule says.
func (r *ruleRun) concerns(slot int, t int64) bool { return r.until == nil || t <= r.until[slot] }

// waits is where the key of a rule begins to wait for samples: no metric that is read at fixed times only is ever
// waited for.
func (r *ruleRun) waits() []int64 {
	out := slices.Repeat([]int64{never}, len(r.metrics))
	for slot, until := range r.until {
		if until != math.MaxInt64 {
			out[slot] = math.MaxInt64
		}
	}
	return out
}

// Fixed is a selector that a rule fixes to a time with @, or that a template of it does.
type Fixed struct {
	Rule         string // the alertname, or the metric that is recorded
	File         string
	Line, Column int       // of the selector, from 1; of the rule where it does not stand in expr
	Metric       string    // that it reads, or the whole selector in braces where it names none
	Own          bool      // alertd makes the series itself, as recording rules do: EVENTS never has it
	From, To     time.Time // what it reads, the look-back included
}

// Limit says what a restart makes of it, for people.
func (f Fixed) Limit() string {
	if f.Own {
		return fmt.Sprintf("%s reads %s at a fixed time, and alertd makes that series itself: after a restart there is nothing of it from %s; fix the time of what it is computed from",
			f.Rule, f.Metric, f.To.Format(time.RFC3339))
	}
	return fmt.Sprintf("%s reads %s from %s to %s at a fixed time: after a restart alertd knows of it only what the events still hold (events.max_age); use offset if the time may move",
		f.Rule, f.Metric, f.From.Format(time.RFC3339), f.To.Format(time.RFC3339))
}

// Fixed lists the selectors with a fixed time, in file order. After a restart they are answered from what the EVENTS
// stream still has from From to To.
func (s *Set) Fixed() (out []Fixed) {
	made := s.made()
	for _, r := range s.all() {
		out = append(out, r.fixes(made)...)
	}
	return out
}

// made are the metrics that recording rules write.
func (s *Set) made() map[string]bool {
	out := make(map[string]bool)
	for _, r := range s.all() {
		if r.record != "" {
			out[r.record] = true
		}
	}
	return out
}

// fixes are the selectors of one rule that have a fixed time, where recording rules write the metrics made.
func (r *rule) fixes(made map[string]bool) (out []Fixed) {
	for i, u := range slices.Concat(r.selectors, r.queries) {
		if !u.fixed {
			continue
		}
		p := u.pin(defaultLookbackDelta)
		f := Fixed{
			Rule: r.record, File: r.group.file, Line: r.line, Column: r.column, Metric: cmp.Or(u.name, "{"+u.key+"}"),
			Own: aboutAlerts(u.name) || made[u.name], From: time.UnixMilli(p.from).UTC(), To: time.UnixMilli(p.to).UTC(),
		}
		if r.meta != nil {
			f.Rule = r.meta.Name
		}
		if r.expr != nil {
			if own, _ := uses(r.expr); i < len(own) {
				f.Line, f.Column = r.locate(u.pos)
			}
		}
		out = append(out, f)
	}
	return out
}

// ReadFrom is where the events begin that must be read to know at now what the rules need, if nothing from before
// oldest can be read: a look-back before now, or before that at the earliest fixed time of which there may be
// something.
func (s *Set) ReadFrom(now, oldest time.Time) time.Time {
	from := now.Add(-s.LookBack())
	for _, f := range s.Fixed() {
		if !f.Own && !f.To.Before(oldest) && f.From.Before(from) {
			from = f.From
		}
	}
	return from
}
