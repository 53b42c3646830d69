package rules

import (
	"errors"
	"slices"
	"sort"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
)

// ErrTooManySamples is what [Evaluator.Select] returns where a copy would be larger than allowed.
var ErrTooManySamples = errors.New("the query reads too many samples; narrow the selector or the time range")

// Select copies the series that all matchers match and that have a sample from `from` to `to`, both included, in
// milliseconds, in the order of their labels; and how many samples were copied for that. What it returns nobody
// changes any more, so that a query can be evaluated over it while the window goes on. What is compressed is shared
// and not copied, hence a copy takes microseconds for each thousand samples. With more than limit samples it fails
// with [ErrTooManySamples].
//
// The copies are for an engine with the look-back delta of [Evaluator.Lookback]. A series ends where its samples are
// no longer believed by any rule that reads it.
func (e *Evaluator) Select(ms []*labels.Matcher, from, to int64, limit int) (list []storage.Series, samples int, err error) {
	var found []*series
	e.window.each(ms, func(s *series) bool {
		if c := s.snapshot(from, to); c != nil {
			found = append(found, c)
			samples += c.samples()
		}
		return samples <= limit
	})
	if samples > limit {
		return nil, 0, ErrTooManySamples
	}
	slices.SortFunc(found, byLabels)
	list = make([]storage.Series, len(found))
	delta := e.Lookback().Milliseconds()
	for i, s := range found {
		list[i] = &excerpt{lasting(s, s.validFor, delta), from, to}
	}
	return list, samples, nil
}

// Lookback is the longest time for which any rule, or any sample by itself, wants samples to be believed.
func (e *Evaluator) Lookback() time.Duration {
	d := max(e.opts.LookbackDelta.Milliseconds(), e.longest)
	for _, r := range e.rules {
		d = max(d, r.delta)
	}
	return time.Duration(d) * time.Millisecond
}

// longestBelieved is how long the one of its readers that believes a series longest does so, milliseconds.
func (s *series) longestBelieved() (d int64) {
	for _, x := range s.indexes {
		for _, u := range x.users {
			d = max(d, s.believed(u.rule.deltaOf(u.rule.uses[u.use])))
		}
	}
	if d == 0 { // only templates read it
		return s.believed(defaultLookbackDelta.Milliseconds())
	}
	return d
}

// LabelSets are the labels of the series that [Evaluator.Select] would copy, in no order.
func (e *Evaluator) LabelSets(ms []*labels.Matcher, from, to int64) (out []labels.Labels) {
	e.window.each(ms, func(s *series) bool {
		if s.overlaps(from, to) {
			out = append(out, s.labels)
		}
		return true
	})
	return out
}

// overlaps reports whether the series may have a sample from `from` to `to`.
func (s *series) overlaps(from, to int64) bool {
	oldest := s.newest
	switch {
	case len(s.sealed) > 0:
		oldest = s.sealed[0].from
	case len(s.head) > 0:
		oldest = s.head[0].T
	}
	if len(s.hists) > 0 {
		oldest = min(oldest, s.hists[0].T)
	}
	return !s.empty() && s.newest >= from && oldest <= to
}

// snapshot is a copy of what the series has from `from` to `to`, and, of compressed runs, what is around it. It is
// nil if that is nothing.
func (s *series) snapshot(from, to int64) *series {
	if !s.overlaps(from, to) {
		return nil
	}
	c := &series{labels: s.labels, newest: s.newest, validFor: s.longestBelieved()} // all that reading needs
	for _, run := range s.sealed {
		if run.to >= from && run.from <= to {
			c.sealed = append(c.sealed, run)
		}
	}
	i := sort.Search(len(s.head), func(i int) bool { return s.head[i].T >= from })
	j := sort.Search(len(s.head), func(i int) bool { return s.head[i].T > to })
	if i < j {
		c.head = slices.Clone(s.head[i:j])
	}
	i = sort.Search(len(s.hists), func(i int) bool { return s.hists[i].T >= from })
	j = sort.Search(len(s.hists), func(i int) bool { return s.hists[i].T > to })
	if i < j {
		c.hists = append([]promql.HPoint(nil), s.hists[i:j]...)
	}
	if len(c.sealed) == 0 && c.empty() {
		return nil
	}
	return c
}

// evaluation is how a tick went.
type evaluation struct {
	at   time.Time // our clock; zero: there was none yet
	took time.Duration
	err  string // also of a key, after the tick; "" if it went well
}

// measured is the instant on the clock that measures.
func (e *Evaluator) measured() time.Time {
	if e.opts.Now == nil {
		return time.Time{}
	}
	return e.opts.Now()
}

// GroupStatus is a group and how it is.
type GroupStatus struct {
	Group                        // without its rules
	Every          time.Duration // the interval that counts
	Rules          []RuleStatus
	LastEvaluation time.Time     // of a tick, our clock; zero: none yet
	EvaluationTime time.Duration // that it took
}

// RuleStatus is a rule and how it is.
type RuleStatus struct {
	Definition
	LastError      string        // why the last tick, or a key since, could not be evaluated; "" if it could
	LastEvaluation time.Time     // of a tick, our clock; zero: none yet
	EvaluationTime time.Duration // that it took
}

// Status says how every group and rule is, in file order.
func (e *Evaluator) Status() []GroupStatus {
	out := make([]GroupStatus, len(e.groups))
	for i, g := range e.groups {
		out[i] = GroupStatus{Group: g.describe(), Every: g.interval, LastEvaluation: g.last.at, EvaluationTime: g.last.took}
		for _, r := range g.rules {
			out[i].Rules = append(out[i].Rules, RuleStatus{
				Definition: r.describe(), LastError: r.last.err, LastEvaluation: r.last.at, EvaluationTime: r.last.took,
			})
		}
	}
	return out
}
