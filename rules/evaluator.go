package rules

import (
	"math"
	"net/url"
	"time"

	"github.com/prometheus/prometheus/promql"

	"alertd"
)

// Options are the evaluator's numbers. The zero value means the defaults.
type Options struct {
	Settle         time.Duration // wait for the other half of an update, and distance of a key's evaluations; 100 ms
	LookbackDelta  time.Duration // how long a sample is believed; 5 m
	Interval       time.Duration // of groups that do not say, and step of subqueries that do not; 1 m
	ExternalURL    string        // for templates
	ExternalLabels alertd.Labels // for templates
	NoEvents       bool          // ticks only, exactly as Prometheus

	// Now only measures how long ticks take, for people; no answer depends on it. Nil: nothing is measured.
	Now func() time.Time
}

const (
	// perSeries stretches the settle delay of a rule that is evaluated whole, by what reading a series costs many
	// times over, so that such rules take some percents of a core and not all of it.
	perSeries = 200 * time.Microsecond
	// sweepEvery is how often series that went silent are looked for.
	sweepEvery = 5 * time.Minute
	// queryTimeout ends an expression that would hold everything up.
	queryTimeout = 10 * time.Second
	// querySamples bounds the memory of one evaluation: 16 bytes each.
	querySamples = 10_000_000
	// never is before every sample.
	never = math.MinInt64
)

// Evaluator keeps the window and evaluates rules. One goroutine owns it: its methods must not be called at the same
// time. It starts no goroutine itself.
type Evaluator struct {
	opts     Options
	engine   *promql.Engine
	parser   *parsed
	external *url.URL

	set    *Set
	window *window
	last   *series // of the newest sample that somebody reads
	groups []*groupRun
	rules  []*ruleRun

	now       int64 // the latest now that was given, milliseconds
	arrived   int64 // when an event came last, our time, milliseconds
	patient   int64 // until then what is not there may still come, our time, milliseconds
	behind    time.Duration
	longest   int64 // time for which any sample wants to be believed, milliseconds
	names     names // of the metrics that have arrived
	highest   uint64
	taken     uint64    // how often samples were stored
	batch     []*series // of the samples that are taken in
	oldest    *key      // dirty keys in order of the first event that they wait to see evaluated
	youngest  *key
	ready     []*key
	timers    timers
	nextTick  time.Time
	nextSweep time.Time
	counts    Stats
	hear      func([]alertd.Sample) // what a recording rule writes; see All
}

// Stats are numbers about an evaluator. All that count events grow for ever.
type Stats struct {
	Series  int   // in the window
	Samples int   // in the window
	Bytes   int64 // estimated memory of the window
	Keys    int   // partitions of all rules
	Dirty   int   // keys that wait to be evaluated

	Keyed  uint64 // evaluations of one key
	Whole  uint64 // evaluations of a whole rule
	Cheap  uint64 // of both, those answered by a compiled program instead of Prometheus's engine
	Errors uint64 // of both, those that failed

	TemplateErrors uint64 // templates that could not be expanded
	MissedSlots    uint64 // ticks that were never evaluated, because Run came too late
	TooNew         uint64 // samples refused: more than ten minutes ahead of our clock
	TooOld         uint64 // samples refused: before the window of their series
	Duplicates     uint64 // samples for an instant that their series has already, and that change nothing
	Unread         uint64 // samples that no rule reads
	Late           uint64 // samples after their slot that made a key be evaluated again at slots, see lateness
	TooLate        uint64 // samples after their slot that came too late for that: the slot stays as it was
}

// NewEvaluator begins with an empty window. The first tick of every group is its first slot after now.
func NewEvaluator(set *Set, o Options, now time.Time) *Evaluator {
	if o.Settle <= 0 {
		o.Settle = 100 * time.Millisecond
	}
	if o.LookbackDelta <= 0 {
		o.LookbackDelta = defaultLookbackDelta
	}
	if o.Interval <= 0 {
		o.Interval = time.Minute
	}
	e := &Evaluator{opts: o, set: &Set{}, window: newWindow(), nextSweep: now.Add(sweepEvery), arrived: never, patient: never}
	e.external, _ = url.Parse(o.ExternalURL)
	if e.external == nil {
		e.external = &url.URL{}
	}
	e.parser = &parsed{Parser: promqlParser}
	e.engine = promql.NewEngine(promql.EngineOpts{
		MaxSamples: querySamples, Timeout: queryTimeout, LookbackDelta: o.LookbackDelta,
		NoStepSubqueryIntervalFn: func(int64) int64 { return o.Interval.Milliseconds() },
		EnableAtModifier:         true, EnableNegativeOffset: true, Parser: e.parser,
	})
	e.SetRules(set, now)
	return e
}

func (e *Evaluator) clock(now time.Time) { e.now = now.UnixMilli() }

// Next is the earliest instant at which Run has something to do; it may be past. It is false if there is nothing,
// which is so only without any group.
func (e *Evaluator) Next() (time.Time, bool) {
	var next time.Time
	if len(e.ready) > 0 {
		next = time.Unix(0, e.ready[0].since).UTC()
	} else if t, ok := e.timers.first(); ok {
		next = time.Unix(0, t.due).UTC()
	}
	if next.IsZero() || !e.nextTick.IsZero() && e.nextTick.Before(next) {
		next = e.nextTick
	}
	return next, !next.IsZero()
}

// Run evaluates what is due: dirty keys first, then every group whose slot has come, once and at its latest slot;
// slots before that are missed and only counted.
//
// A key for which the last answer was "nothing true" and still is gives no verdict again, unless its rule keeps
// firing for a while, in which case each such answer counts. See [Evaluator.Retell].
func (e *Evaluator) Run(now time.Time) []alertd.Verdict {
	out := e.CatchUp(now)
	e.Tick(now, func(v alertd.Verdict) []alertd.Sample {
		out = append(out, v)
		return nil
	})
	return out
}

// Tick is the part of Run that follows CatchUp. The verdict of each alerting rule goes to follow before the next rule is
// evaluated, and what follow gives back is written for that one to read, as Prometheus writes ALERTS. These samples wake
// nobody.
func (e *Evaluator) Tick(now time.Time, follow func(alertd.Verdict) []alertd.Sample) {
	e.clock(now)
	if !e.nextTick.IsZero() && !now.Before(e.nextTick) {
		for _, g := range e.groups {
			if !now.Before(g.next) {
				e.tick(g, now, follow)
			}
		}
		e.findNextTick()
	}
	if !now.Before(e.nextSweep) {
		e.nextSweep = now.Add(sweepEvery)
		e.window.sweep(func(s *series) bool {
			silent := s.keep + max(e.opts.LookbackDelta.Milliseconds(), s.validFor)
			for _, x := range s.indexes {
				for _, u := range x.users {
					silent = max(silent, s.keep+u.rule.delta)
				}
			}
			if e.now-max(s.seen, s.newest) <= silent {
				return false
			}
			return !s.holds()
		})
	}
}

// CatchUp is Run without the ticks. It is for who reads a backlog: a tick looks at a whole window, and one that is
// not filled yet would take what has not been read for gone.
func (e *Evaluator) CatchUp(now time.Time) []alertd.Verdict {
	e.clock(now)
	nanos := now.UnixNano()
	for {
		t, ok := e.timers.first()
		if !ok || t.due > nanos {
			break
		}
		e.timers.pop()
		t.key.queue = ready
		e.ready = append(e.ready, t.key)
	}
	var out []alertd.Verdict
	for i, k := range e.ready {
		e.window.fetchKeys(e.ready, i)
		if k.isLate {
			out = e.again(k, out)
		}
		if v, ok := e.runKey(k, nanos); ok {
			out = append(out, v)
		}
	}
	clear(e.ready)
	e.ready = e.ready[:0]
	return out
}

// Retell makes the next answer for every key a verdict, even where nothing is true and that was said before. It is
// for who takes over from somebody whose verdicts may not have arrived.
func (e *Evaluator) Retell() {
	for _, r := range e.rules {
		r.epoch++
	}
}

// Stats counts. It walks over the whole window, so it is for every few seconds, not for every event.
func (e *Evaluator) Stats() Stats {
	st := e.counts
	st.Series = e.window.count
	for _, s := range e.window.series {
		for ; s != nil; s = s.chain {
			st.Samples += s.samples()
			st.Bytes += int64(s.bytes())
		}
	}
	for _, r := range e.rules {
		st.Keys += len(r.keys)
	}
	return st
}
