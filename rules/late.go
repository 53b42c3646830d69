package rules

import (
	"time"

	"alertd"
)

// late notes a sample that an evaluated slot should have seen.
func (e *Evaluator) late(k *key, t int64) {
	g := k.rule.group
	if g.lateness == 0 || t <= e.now-g.lateness.Milliseconds() {
		e.counts.TooLate++
		return
	}
	e.counts.Late++
	if !k.isLate || t < k.lateFrom {
		k.isLate, k.lateFrom = true, t
	}
}

// again evaluates a key at the slots that late samples touch, oldest first.
func (e *Evaluator) again(k *key, out []alertd.Verdict) []alertd.Verdict {
	r := k.rule
	k.isLate = false
	step := r.group.interval.Milliseconds()
	back := (r.group.slot - k.lateFrom) / step
	for slot := r.group.slot - min(back, maxLateSlots)*step; slot <= r.group.slot; slot += step {
		v := alertd.Verdict{Rule: r.meta, Scope: k.scope, At: time.UnixMilli(slot).UTC(), Witness: r, Late: true}
		found, back, err := e.ask(r, k, slot)
		if err == nil {
			err = e.within(r, slot)
		}
		if err != nil {
			e.counts.Errors++
			v.Err = err.Error()
		}
		v.True, v.Recovered = found, labelsOf(back)
		out = append(out, v)
	}
	return out
}

// Behind tells how long the oldest event that is not read yet has been waiting; 0: all are read. While alertd is
// behind, each key is evaluated less often: the settle delay grows to as much, and no further than the interval of
// the group. So work becomes less as more of it waits, nothing is dropped, and a tick comes no later for it.
func (e *Evaluator) Behind(d time.Duration) { e.behind = d }

// settle is the delay of a key as it is now.
func (e *Evaluator) settle(k *key) time.Duration {
	return max(e.opts.Settle, min(e.behind, k.rule.group.interval))
}

// Settle is the settle delay of now, for the group with the longest interval, and whether it is longer than it
// should be.
func (e *Evaluator) Settle() (d time.Duration, behind bool) {
	var longest time.Duration
	for _, g := range e.groups {
		longest = max(longest, g.interval)
	}
	d = max(e.opts.Settle, min(e.behind, longest))
	return d, d > e.opts.Settle
}
