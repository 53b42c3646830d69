package rules

import (
	"slices"

	"alertd"
)

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

type queue uint8

const (
	nowhere queue = iota
	waiting       // in timers
	ready
)
