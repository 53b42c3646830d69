package rules

import (
	"slices"
	"time"
)

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
