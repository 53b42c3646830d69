package rules

import (
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

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
