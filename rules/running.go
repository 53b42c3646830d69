package rules

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"alertd"
)

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
