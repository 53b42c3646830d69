package rules

import (
	"iter"
	"slices"
	"time"

	"alertd"
)

// Answer is what one rule says at an instant at which all are asked.
type Answer struct {
	Name        string         // the alertname, or the metric that a recording rule writes
	Verdict     alertd.Verdict // of an alerting rule; for a recording rule Rule is nil
	Recorded    []alertd.Sample
	QueryOffset time.Duration // of the rule's group
	Err         string        // why the rule could not be evaluated
}

// All asks every rule, once and whole, at one instant, whatever the intervals of the groups: what a unit test of
// rules does. Groups come in the order of their rank, those of one rank in the order of their files. The next rule
// is asked when the body for the one before has run, so that it sees the samples that the body appends. Rules on
// events have no answer; see [Evaluator.Observe].
func (e *Evaluator) All(at time.Time, rank func(group string) int) iter.Seq[Answer] {
	return func(yield func(Answer) bool) {
		e.clock(at)
		groups := slices.Clone(e.groups)
		slices.SortStableFunc(groups, func(a, b *groupRun) int { return rank(a.name) - rank(b.name) })
		defer func() { e.hear = nil }()
		for _, g := range groups {
			g.slot = at.UnixMilli()
			for _, r := range g.rules {
				if r.expr != nil && !yield(e.answer(r, at)) {
					return
				}
			}
		}
	}
}

func (e *Evaluator) answer(r *ruleRun, at time.Time) Answer {
	offset := r.rule.group.queryOffset
	if r.record == "" {
		v := e.tickRule(r, at.UnixMilli())
		return Answer{Name: r.meta.Name, Verdict: v, QueryOffset: offset, Err: v.Err}
	}
	a := Answer{Name: r.record, QueryOffset: offset}
	e.hear = func(samples []alertd.Sample) { a.Recorded = samples }
	a.Err = e.record(r, at.Add(-offset).UnixMilli(), at)
	return a
}
