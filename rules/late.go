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
