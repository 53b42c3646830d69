package rules

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/url"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

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

// ruleRun is a rule at work.
type ruleRun struct {
	*rule
	group    *groupRun
	uses     []use    // the selectors of the expression that the engine gets
	indexes  []*index // of the uses
	keys     map[string]*key
	order    []*key        // the same in order of arrival
	saying   map[*key]bool // keys of which something was found the last time
	failing  map[*key]bool // keys that could not be evaluated the last time
	events   bool          // samples make its keys dirty
	program  *program
	recovery *program // of the recovery condition
	wording  wording  // of its annotations
	plain    alertd.Annotations
	delta    int64 // for how long the engine has to believe samples, milliseconds
	hadKeys  bool
	absent   absence // of all that it reads, when that was so the last time
	shortest int64   // look-back of the selector that looks back least, milliseconds
	latest   int64   // newest instant that any key was evaluated at
	until    []int64 // by metric: newest instant at which it is read; nil: all are read as time goes on
	fixed    bool    // all is
	epoch    uint64
	recorded map[uint64]labels.Labels // series of the last evaluation, for a recording rule
	last     evaluation
}

// groupRun is a group at work.
type groupRun struct {
	*group
	evaluator *Evaluator

	interval time.Duration
	next     time.Time // slot
	slot     int64     // latest evaluated slot, milliseconds
	rules    []*ruleRun
	last     evaluation
}

// key is one partition of a rule; for a rule that is evaluated whole, all of it. As in a series, what every sample
// touches stands first, and what most keys have one of stands in the key itself.
type key struct {
	rule       *ruleRun
	bySlot     []int64 // newest sample of each metric that the rule reads; nil: it reads one only
	dirty      bool
	unsorted   bool // members are not in order
	isLate     bool
	gone       bool // has no series left
	queue      queue
	since, due int64 // nanoseconds, our time
	newest     int64 // of the samples that made it dirty, milliseconds
	seq        uint64
	prev, next *key

	ran     int64       // when it was last evaluated, nanoseconds, our time
	at      int64       // the instant that it was last evaluated at, milliseconds
	quiet   uint64      // the rule's epoch in which the last word on this key was "nothing"; 0: it was not
	members [][]*series // by use
	memos   []memo      // of the program's aggregations
	only    [1][]*series
	lone    [1]*series

	found    []alertd.Finding
	worded   *wordings  // of the last result; nil: it had none
	back     []recovery // results of the recovery condition, as found
	scope    string
	lateFrom int64 // the oldest of the samples that came after their slot, if any did (isLate)
}

// newKey has room for one series of each selector, which is what most keys have.
func newKey(r *ruleRun, scope string) *key {
	k := &key{rule: r, scope: scope, at: never}
	k.members, k.only[0] = k.only[:], k.lone[:0]
	if len(r.uses) != 1 {
		k.members = make([][]*series, len(r.uses))
	}
	if len(r.metrics) > 1 {
		k.bySlot = r.waits()
	}
	return k
}

// heard notes a sample of one of the metrics that the rule reads.
func (k *key) heard(slot int, t int64) {
	if len(k.bySlot) > 0 {
		k.bySlot[slot] = max(k.bySlot[slot], t)
	}
}

// tell notes what was found for the key at an instant.
func (k *key) tell(found []alertd.Finding, back []recovery, at int64) {
	k.at = at
	if len(found)+len(back) == 0 && len(k.found)+len(k.back) == 0 {
		return
	}
	k.found, k.back = found, back
	if len(found)+len(back) > 0 {
		k.rule.saying[k] = true
	} else {
		delete(k.rule.saying, k)
	}
}

type queue uint8

const (
	nowhere queue = iota
	waiting       // in timers
	ready
)

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

// SetRules puts another set in force. Series that some rule still reads keep their window; keys of rules whose
// expression stays the same keep what they know and what they wait for; groups with the same name and interval
// keep their slots.
func (e *Evaluator) SetRules(set *Set, now time.Time) {
	oldRules, oldGroups, oldSeries, oldest := e.rules, e.groups, e.window.series, e.oldest
	e.clock(now)
	e.last = nil
	e.set, e.window, e.rules, e.groups = set, newWindow(), nil, nil
	e.oldest, e.youngest, e.ready, e.timers, e.counts.Dirty = nil, nil, nil, nil, 0
	e.parser.exprs = make(map[string]parser.Expr)
	for _, g := range set.groups {
		e.addGroup(g, now)
	}
	e.keepAlerts()
	for _, g := range e.groups {
		for _, old := range oldGroups {
			if old.key() == g.key() && old.interval == g.interval {
				g.next, g.slot, g.last = old.next, old.slot, old.last
			}
		}
	}
	e.findNextTick()

	// In order of labels, so that nothing that follows depends on the order of a map.
	var kept []*series
	for _, s := range oldSeries {
		for ; s != nil; s = s.chain {
			kept = append(kept, s)
		}
	}
	slices.SortFunc(kept, byLabels)
	for _, s := range kept {
		if s.indexes = e.window.matching(s.labels); len(s.indexes) > 0 {
			s.touches, s.follower = nil, nil
			s.keep, s.pins = e.keep(s), e.pins(s)
			e.window.add(s)
		}
	}
	e.inherit(oldRules, oldest)
}

func (e *Evaluator) addGroup(g *group, now time.Time) {
	run := &groupRun{group: g, evaluator: e, interval: cmp.Or(g.interval, e.opts.Interval), slot: never}
	run.next = run.slotBefore(now).Add(run.interval)
	for _, r := range g.rules {
		rr := &ruleRun{rule: r, group: run, keys: make(map[string]*key), saying: make(map[*key]bool), latest: never, epoch: 1, shortest: math.MaxInt64}
		rr.events = r.eventDriven() && !e.opts.NoEvents
		if rr.wording = wordingOf(r.annotations); rr.wording == plain {
			rr.plain = alertd.Texts(labelSet(describeTexts(r.annotations)))
		}
		if r.expr != nil {
			if _, ok := e.parser.exprs[r.text]; !ok {
				e.parser.exprs[r.text] = r.expr
			}
			if _, ok := e.parser.exprs[r.recoverText]; !ok && r.recover != nil {
				e.parser.exprs[r.recoverText] = r.recover
			}
			main, back := e.parser.exprs[r.text], e.parser.exprs[r.recoverText]
			rr.uses, _ = r.uses(main, back)
			first, _ := uses(main)
			rr.program = compile(main, rr.uses[:len(first)], 0, e.opts.LookbackDelta)
			if r.recover != nil {
				rr.recovery = compile(back, rr.uses, len(first), e.opts.LookbackDelta)
			}
		}
		for i, u := range rr.uses {
			x := e.window.index(u)
			x.users = append(x.users, user{rr, i})
			rr.indexes = append(rr.indexes, x)
			rr.delta = max(rr.delta, rr.deltaOf(u))
			if !u.fixed {
				rr.shortest = min(rr.shortest, u.lookBack(e.opts.LookbackDelta).Milliseconds())
			}
		}
		rr.fix()
		for _, u := range r.queries {
			x := e.window.index(u)
			x.quoted = append(x.quoted, quotation{u, run})
		}
		run.rules = append(run.rules, rr)
		e.rules = append(e.rules, rr)
	}
	e.groups = append(e.groups, run)
}

// identity is by what a rule is known over a reload.
func (r *ruleRun) identity() string {
	if r.meta != nil {
		return r.meta.ID
	}
	return r.rule.group.key() + "\x00" + r.definition()
}

// inherit gives new rules what the old ones knew, and queues the keys again that were dirty.
func (e *Evaluator) inherit(old []*ruleRun, oldest *key) {
	byID := make(map[string]*ruleRun)
	for _, r := range old {
		byID[r.identity()] = r
	}
	heirs := make(map[*key]*key)
	for _, r := range e.rules {
		was, ok := byID[r.identity()]
		if !ok || was.text != r.text || was.partition.String() != r.partition.String() {
			continue
		}
		same := was.definition() == r.definition()
		if same {
			r.recorded, r.epoch, r.last = was.recorded, was.epoch, was.last
		}
		r.latest = was.latest
		for scope, k := range r.keys {
			o := was.keys[scope]
			if o == nil {
				continue
			}
			k.ran, k.at = o.ran, o.at
			if same {
				k.quiet = o.quiet
				k.tell(o.found, o.back, o.at)
			}
			heirs[o] = k
		}
	}
	for o := oldest; o != nil; o = o.next {
		if k := heirs[o]; k != nil && k.rule.events {
			k.dirty, k.since, k.newest = true, o.since, o.newest
			e.link(k, o.seq)
			e.schedule(k)
		}
	}
}

// keep is how long a series must keep samples: what its selectors look back, and what an evaluation may lag behind
// the newest sample. A selector without range, offset or subquery needs only the lag, since one sample before it is
// kept anyway.
func (e *Evaluator) keep(s *series) int64 {
	var back, lag time.Duration
	read := func(u use, g *groupRun) {
		if u.back > 0 && !u.fixed {
			back = max(back, u.lookBack(e.opts.LookbackDelta))
		}
		lag = max(lag, g.interval+g.queryOffset+g.lateness)
	}
	for _, x := range s.indexes {
		for _, u := range x.users {
			read(u.rule.uses[u.use], u.rule.group)
		}
		for _, q := range x.quoted {
			read(q.use, q.group)
		}
	}
	return (back + max(lag, time.Minute)).Milliseconds()
}

// join makes a series a member of the key that it belongs to.
func (r *ruleRun) join(s *series, use int) {
	r.reads(s)
	if r.meta == nil {
		return // a recording rule is only ever evaluated whole
	}
	scope := r.partition.Scope(s.labels)
	k := r.keys[scope]
	if k == nil {
		k = newKey(r, scope)
		r.keys[scope], r.order = k, append(r.order, k)
	}
	k.members[use] = append(k.members[use], s)
	k.unsorted = true
	t := touch{k, r.uses[use].slot}
	if !s.empty() {
		k.heard(t.slot, s.newest)
	}
	if r.events && !aboutAlerts(s.labels.Get(alertd.LabelMetric)) && !slices.Contains(s.touches, t) {
		s.touches = append(s.touches, t)
	}
}

// sorted are the members for one use in the order of their labels.
func (k *key) sorted(use int) []*series {
	if k.unsorted {
		for _, list := range k.members {
			slices.SortFunc(list, byLabels)
		}
		k.unsorted = false
	}
	return k.members[use]
}

func (e *Evaluator) clock(now time.Time) { e.now = now.UnixMilli() }

// Warm puts samples into the window as if they had been there before: nothing is evaluated because of them. Messages come
// in the order of the stream.
func (e *Evaluator) Warm(samples []alertd.Sample) {
	for i := range samples {
		if s := e.seriesOf(&samples[i]); s != nil {
			e.store(s, &samples[i], true)
		} else if samples[i].ValidFor == alertd.Withdrawn {
			e.retire(&samples[i])
		}
	}
}

// Append takes in the samples of one message, all of them before any is evaluated. Run evaluates what they touch.
// seq is the message's sequence in the EVENTS stream, 0 for samples that the daemon makes itself.
//
// Of two samples of a series for the same millisecond the one that is later in the stream counts. A message with a sequence
// that is not higher than all before it is delivered again: it adds what is not there and replaces nothing. Neither do the
// daemon's own samples.
func (e *Evaluator) Append(now time.Time, seq uint64, samples []alertd.Sample) {
	e.clock(now)
	e.heard(seq)
	later := seq > e.highest
	e.highest = max(e.highest, seq)
	for batch := range slices.Chunk(samples, batchSamples) {
		e.take(batch, now.UnixNano(), seq, later)
	}
}

// take takes in some of the samples of a message, which is later in the stream than all before it, or is not.
func (e *Evaluator) take(samples []alertd.Sample, now int64, seq uint64, later bool) {
	e.batch = e.batch[:0]
	for i := range samples {
		e.batch = append(e.batch, e.seriesOf(&samples[i]))
	}
	e.window.fetchSeries(e.batch)
	for i, s := range e.batch {
		switch {
		case s != nil && e.store(s, &samples[i], later):
			for _, t := range s.touches {
				e.mark(t, samples[i].T, now, seq)
			}
		case s == nil && samples[i].ValidFor == alertd.Withdrawn:
			for _, s := range e.retire(&samples[i]) {
				for _, t := range s.touches {
					e.mark(t, s.newest, now, seq)
				}
			}
		}
	}
}

// store puts a sample into its series; if it is later in the stream, also in the place of one for the same instant. It
// reports false if the sample is refused. A duplicate is not refused: that a sample is in the window does not mean that
// it was evaluated.
func (e *Evaluator) store(s *series, sample *alertd.Sample, later bool) bool {
	e.taken++
	if valid := sample.ValidFor.Milliseconds(); valid != s.validFor && sample.T >= s.newest {
		s.validFor = valid
		e.longest = max(e.longest, valid)
		for _, x := range s.indexes {
			for _, u := range x.users {
				u.rule.reads(s)
			}
		}
	}
	s.seen = e.now
	switch s.append(sample.T, sample.V, sample.H, min(s.newest, e.now)-s.keep) {
	case tooOld:
		e.counts.TooOld++
		return false
	case duplicate:
		if !later || !s.replace(sample.T, sample.V, sample.H) {
			e.counts.Duplicates++
			return true
		}
	}
	if !sample.Trace.IsZero() {
		s.remember(exemplar{sample.T, sample.V, sample.Trace})
	}
	for _, t := range s.touches {
		t.key.heard(t.slot, sample.T)
	}
	return true
}

// seriesOf finds, or makes, the series of a sample; nil if nobody reads it, if its time is not to be believed, or if it ends
// series. A
// publisher says the same things in the same order every time, so the first guess is the series that came after this
// one's predecessor the last time. With many series that saves what finding one costs most: waiting for the memory of a
// large map.
func (e *Evaluator) seriesOf(sample *alertd.Sample) *series {
	if sample.ValidFor == alertd.Withdrawn {
		return nil
	}
	if sample.T > e.now+maxAhead.Milliseconds() {
		e.counts.TooNew++
		return nil
	}
	before := e.last
	if before != nil && before.follower != nil && labels.Equal(before.follower.labels, sample.Labels) && !before.follower.dead {
		e.last = before.follower
		return e.last
	}
	hash := sample.Labels.Hash()
	s := e.window.find(sample.Labels, hash)
	if s == nil {
		found := e.window.matching(sample.Labels)
		e.names.note(sample.Labels.Get(alertd.LabelMetric))
		if len(found) == 0 {
			e.counts.Unread++
			return nil
		}
		s = newSeries(sample.Labels, hash)
		s.indexes = found
		s.keep, s.pins = e.keep(s), e.pins(s)
		e.window.add(s)
	}
	if before != nil {
		before.follower = s
	}
	e.last = s
	return s
}

// mark makes a key dirty because of a sample at t.
func (e *Evaluator) mark(to touch, t, now int64, seq uint64) {
	k := to.key
	if !k.rule.concerns(to.slot, t) {
		return
	}
	if t <= k.rule.group.slot {
		e.late(k, t)
	}
	if !k.dirty {
		k.dirty, k.since, k.newest = true, now, t
		e.link(k, seq)
		e.schedule(k)
		return
	}
	if k.seq == 0 && seq != 0 {
		e.unlink(k)
		e.link(k, seq)
	}
	k.newest = max(k.newest, t)
	if k.queue == waiting && len(k.bySlot) > 1 {
		e.schedule(k)
	}
}

// schedule decides when a dirty key is evaluated: at once, unless half of an update may still be on its way or the
// key was evaluated just now.
func (e *Evaluator) schedule(k *key) {
	due := k.since
	if len(k.bySlot) > 1 && slices.Min(k.bySlot) < k.newest {
		due += int64(e.settle(k))
	}
	if k.ran != 0 && k.ran <= k.since {
		due = max(due, k.ran+int64(e.pause(k)))
	}
	switch {
	case k.queue == ready || k.queue == waiting && k.due == due:
	case due <= k.since:
		k.queue = ready
		e.ready = append(e.ready, k)
	default:
		k.queue, k.due = waiting, due
		e.timers.push(timer{due, k})
	}
}

// pause is the least time between two evaluations of a key.
func (e *Evaluator) pause(k *key) time.Duration {
	n := 0
	switch {
	case k.rule.partition.IsWhole():
		for _, list := range k.members {
			n += len(list)
		}
	case k.rule.group.limit > 0 && k.quiet != k.rule.epoch: // what it says depends on how many others say so
		for _, x := range k.rule.indexes {
			n += len(x.series)
		}
	default:
		return e.settle(k)
	}
	return max(e.settle(k), min(time.Duration(n)*perSeries, k.rule.group.interval))
}

// link puts a key into the list of those that hold the checkpoint back. Sequences grow, so its place is at the end.
func (e *Evaluator) link(k *key, seq uint64) {
	k.seq = seq
	at := e.youngest
	for at != nil && at.seq > seq {
		at = at.prev
	}
	k.prev = at
	if at == nil {
		k.next, e.oldest = e.oldest, k
	} else {
		k.next, at.next = at.next, k
	}
	if k.next == nil {
		e.youngest = k
	} else {
		k.next.prev = k
	}
	e.counts.Dirty++
}

func (e *Evaluator) unlink(k *key) {
	if k.prev == nil {
		e.oldest = k.next
	} else {
		k.prev.next = k.next
	}
	if k.next == nil {
		e.youngest = k.prev
	} else {
		k.next.prev = k.prev
	}
	k.prev, k.next = nil, nil
	e.counts.Dirty--
}

// Evaluated is the highest sequence such that no event up to it waits to be evaluated.
func (e *Evaluator) Evaluated() uint64 {
	for k := e.oldest; k != nil; k = k.next {
		if k.seq != 0 {
			return k.seq - 1
		}
	}
	return e.highest
}

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

// runKey evaluates a dirty key. It reports false if there is nothing new to tell.
func (e *Evaluator) runKey(k *key, nanos int64) (alertd.Verdict, bool) {
	r := k.rule
	at := e.instant(k)
	e.unlink(k)
	k.dirty, k.queue, k.ran = false, nowhere, nanos
	if r.partition.IsWhole() {
		e.counts.Whole++
	} else {
		e.counts.Keyed++
	}
	found, back, err := e.ask(r, k, at)
	if err == nil && (len(found) > 0 || k.quiet != r.epoch) {
		err = e.within(r, at)
	}
	if err != nil {
		e.counts.Errors++
		r.last.err = err.Error()
		k.quiet = 0
		r.fails(k)
		// What was found before is not known to hold at this instant, so k.at stays.
		return alertd.Verdict{
			Rule: r.meta, Scope: k.scope, At: time.UnixMilli(at).UTC(), Err: r.last.err, Unknown: e.failed(r, k, at),
		}, true
	}
	delete(r.failing, k)
	k.tell(found, back, at)
	r.latest = max(r.latest, at)
	switch {
	case len(found) > 0:
		k.quiet = 0
	case k.quiet == r.epoch && r.meta.KeepFiringFor == 0 && !r.meta.Recovers:
		return alertd.Verdict{}, false
	default:
		k.quiet = r.epoch
	}
	return alertd.Verdict{
		Rule: r.meta, Scope: k.scope, At: time.UnixMilli(at).UTC(), True: found, Recovered: labelsOf(back), Witness: r,
	}, true
}

// ask evaluates a rule and its recovery condition, if it has one, for a key at an instant.
func (e *Evaluator) ask(r *ruleRun, k *key, at int64) (found []alertd.Finding, back []recovery, err error) {
	if found, err = e.evaluate(r, k, at, at); err == nil && r.recover != nil {
		back, err = e.recovered(r, k, at)
	}
	return found, back, err
}

// instant is what a dirty key is evaluated at: its newest sample, but not before what it was evaluated at already,
// by itself or by a tick that would have seen the sample. A producer whose clock ran ahead for a moment must not
// hold its key in the future, hence own evaluations count only up to now; and a rule that is evaluated whole reads
// many producers, so that none of them may take it there at all.
func (e *Evaluator) instant(k *key) int64 {
	at := k.newest
	if k.rule.partition.IsWhole() {
		at = min(at, e.now)
	}
	at = max(at, min(k.at, e.now))
	if slot := k.rule.group.slot; slot > at && at > slot-k.rule.shortest {
		at = slot
	}
	return at
}

// evaluate gives the findings of a rule at one instant, of one key or of all. The templates believe it is `told`.
func (e *Evaluator) evaluate(r *ruleRun, k *key, at, told int64) ([]alertd.Finding, error) {
	vector, err := e.query(view{window: e.window, rule: r, key: k}, r.text, at)
	if err != nil {
		return nil, err
	}
	return e.findings(r, k, vector, at, told)
}

// query evaluates the expression of a rule.
func (e *Evaluator) query(v view, text string, at int64) (promql.Vector, error) {
	v.delta = max(e.opts.LookbackDelta.Milliseconds(), e.longest)
	if v.rule != nil {
		v.delta = v.rule.delta
		program := v.rule.program
		if v.rule.recover != nil && text == v.rule.recoverText {
			program = v.rule.recovery
		}
		if program != nil {
			if vector, ok := program.run(v, at); ok {
				e.counts.Cheap++
				return vector, nil
			}
		}
	}
	ctx := context.Background()
	q, err := e.engine.NewInstantQuery(ctx, v, promql.NewPrometheusQueryOpts(false, time.Duration(v.delta)*time.Millisecond), text, time.UnixMilli(at))
	if err != nil {
		return nil, err
	}
	defer q.Close()
	switch result := q.Exec(ctx); value := result.Value.(type) {
	case promql.Vector:
		return value, result.Err
	case promql.Scalar:
		return promql.Vector{{T: value.T, F: value.V}}, result.Err
	default:
		if result.Err != nil {
			return nil, result.Err
		}
		return nil, fmt.Errorf("expression gives neither a vector nor a scalar")
	}
}

// tick evaluates a group whole.
func (e *Evaluator) tick(g *groupRun, now time.Time, follow func(alertd.Verdict) []alertd.Sample) {
	slot := g.slotBefore(now)
	e.counts.MissedSlots += uint64(slot.Sub(g.next) / g.interval)
	g.next = slot.Add(g.interval)
	g.slot = slot.UnixMilli()
	begun := e.measured()
	for _, r := range g.rules {
		if r.expr == nil {
			continue
		}
		started := e.measured()
		var failed string
		if r.record != "" {
			failed = e.record(r, g.slot-g.queryOffset.Milliseconds(), now)
		} else {
			v := e.tickRule(r, g.slot)
			failed = v.Err
			samples := follow(v)
			for i := range samples {
				samples[i].T -= g.queryOffset.Milliseconds()
			}
			e.Append(now, 0, samples)
		}
		r.last = evaluation{at: now, took: e.measured().Sub(started), err: failed}
	}
	g.last = evaluation{at: now, took: e.measured().Sub(begun)}
}

// slotBefore is the latest slot that is not after now. Prometheus spreads its groups in the same way, and so
// evaluates the same files at the same instants.
func (g *groupRun) slotBefore(now time.Time) time.Time {
	hash := labels.New(labels.Label{Name: "name", Value: g.name}, labels.Label{Name: "file", Value: g.file}).Hash()
	interval := int64(g.interval)
	offset := int64(hash % uint64(interval))
	offset -= offset % int64(time.Millisecond) // PromQL's instants are whole milliseconds
	shifted := now.UnixNano() - offset
	return time.Unix(0, shifted-shifted%interval+offset).UTC()
}

func (e *Evaluator) findNextTick() {
	e.nextTick = time.Time{}
	for _, g := range e.groups {
		if e.nextTick.IsZero() || g.next.Before(e.nextTick) {
			e.nextTick = g.next
		}
	}
}

// tickRule evaluates an alerting rule whole at a slot. Keys that were evaluated at a later instant already know
// better than the slot does: their answer is repeated, or the alert would flap whenever a producer's clock is a
// little ahead.
func (e *Evaluator) tickRule(r *ruleRun, slot int64) alertd.Verdict {
	e.counts.Whole++
	at := slot
	ahead := r.events && r.latest > slot
	if ahead && r.partition.IsWhole() {
		at = r.latest
	}
	v := alertd.Verdict{Rule: r.meta, At: time.UnixMilli(at).UTC()}
	looked := at - r.rule.group.queryOffset.Milliseconds()
	found, err := e.evaluate(r, nil, looked, at)
	var back []recovery
	if err == nil {
		back, err = e.recovered(r, nil, looked)
	}
	if err != nil {
		e.counts.Errors++
		r.epoch++
		e.blame(r, looked)
		v.Err, v.Unknown = err.Error(), e.failed(r, nil, at)
		return v
	}
	clear(r.failing)
	v.Unknown, v.Witness = e.lost(r, looked), r
	if ahead && !r.partition.IsWhole() {
		found, back = r.repeat(found, back, slot)
	}
	v.Recovered = labelsOf(back)
	for i := range found {
		if k := r.keys[found[i].Scope]; k != nil {
			k.quiet = 0
		}
	}
	v.True = found
	return v
}

// repeat replaces what was found for keys that were evaluated after the slot.
func (r *ruleRun) repeat(found []alertd.Finding, back []recovery, slot int64) ([]alertd.Finding, []recovery) {
	if len(found)+len(back)+len(r.saying) == 0 {
		return found, back
	}
	known := func(scope string) bool {
		k := r.keys[scope]
		return k != nil && k.at > slot
	}
	found = slices.DeleteFunc(found, func(f alertd.Finding) bool { return known(f.Scope) })
	back = slices.DeleteFunc(back, func(b recovery) bool { return known(b.scope) })
	for k := range r.saying {
		if k.at > slot {
			found, back = append(found, k.found...), append(back, k.back...)
		}
	}
	slices.SortFunc(found, byFinding)
	slices.SortFunc(back, byRecovery)
	return found, back
}

func byFinding(a, b alertd.Finding) int { return labels.Compare(a.Labels, b.Labels) }

// record evaluates a recording rule and puts its series into the window, where the next rules of the group see
// them. A series that is no longer there is marked stale. It returns why it failed, or "".
func (e *Evaluator) record(r *ruleRun, at int64, now time.Time) (failed string) {
	e.counts.Whole++
	vector, err := e.query(view{window: e.window, rule: r}, r.text, at)
	if limit := r.group.limit; err == nil && limit > 0 && len(vector) > limit {
		err = overLimit(len(vector), limit)
	}
	if err == nil {
		err = e.recordVector(r, vector, at, now)
	}
	if err != nil {
		e.counts.Errors++
		return err.Error()
	}
	return ""
}

func (e *Evaluator) recordVector(r *ruleRun, vector promql.Vector, at int64, now time.Time) error {
	var (
		builder = labels.NewBuilder(labels.EmptyLabels())
		fresh   = make(map[uint64]labels.Labels, len(vector))
		samples = make([]alertd.Sample, 0, len(vector))
		refused error // as by Prometheus, and the others are stored

		discarded []uint64
	)
	for _, el := range vector {
		builder.Reset(el.Metric)
		builder.Set(alertd.LabelMetric, r.record)
		for _, l := range r.labels {
			builder.Set(l.name, l.value)
		}
		ls := builder.Labels()
		if _, ok := fresh[ls.Hash()]; ok {
			return duplicateLabels(ls)
		}
		fresh[ls.Hash()] = ls
		if el.H != nil {
			if err := el.H.Validate(); err != nil { // less than nothing in a bucket, as delta() may find
				refused = fmt.Errorf("%s is not stored: %w", ls, err)
				discarded = append(discarded, ls.Hash())
				continue
			}
		}
		samples = append(samples, alertd.Sample{Labels: ls, T: at, V: el.F, H: el.H})
	}
	for _, hash := range discarded {
		delete(fresh, hash)
	}
	for hash, ls := range r.recorded {
		if _, ok := fresh[hash]; !ok {
			samples = append(samples, alertd.Sample{Labels: ls, T: at, V: math.Float64frombits(value.StaleNaN)})
		}
	}
	r.recorded = fresh
	slices.SortFunc(samples, func(a, b alertd.Sample) int { return labels.Compare(a.Labels, b.Labels) })
	if e.hear != nil {
		e.hear(samples)
	}
	e.Append(now, 0, samples)
	return refused
}

func duplicateLabels(ls labels.Labels) error {
	return fmt.Errorf("two results have the same labels %s: let the expression keep the label that tells them apart", ls)
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
