package rules

// Where there are many series, what a sample costs is waiting for memory: its series, its key and what these point to were
// last looked at some seconds ago, and are in no cache any more. Following pointers, one wait comes after the other. So
// before a batch is worked on, all of it is looked at, one step of the way after the other: nothing in a step depends on
// anything else in it, hence the processor waits for all of it at once.

const (
	// manySeries is from how many on that is worth it. The memory of fewer stays in the processor's caches.
	manySeries = 4096
	// batchKeys is how many keys are looked at before they are evaluated, and batchSamples how many samples before they are
	// taken in. With more of them, the first would be out of the nearest cache again.
	batchKeys    = 32
	batchSamples = 128
	// fewMembers is of how many series of a key the samples are looked at.
	fewMembers = 8
	// pointsPerLine is how many samples are in one line of the cache.
	pointsPerLine = 4
)

// fetchKeys looks at what evaluating the next few of these keys will read, every time that it is their turn. A key whose
// program reads one series is left out: that is soon done, and the processor is at the next key before it has to wait.
func (w *window) fetchKeys(keys []*key, i int) {
	if i%batchKeys != 0 || w.count < manySeries {
		return
	}
	var x int64
	ahead := w.ahead[:0]
	for _, k := range keys[i:min(i+batchKeys, len(keys))] {
		if p := k.rule.program; p != nil && p.joins {
			ahead = append(ahead, k)
			x += k.newest + k.at + int64(len(k.memos))
		}
	}
	for _, k := range ahead {
		for _, list := range k.members {
			x += int64(len(list))
		}
		if len(k.bySlot) > 0 {
			x += k.bySlot[0]
		}
		for i := range k.memos {
			if b := k.memos[i].bucket; b != nil {
				x += int64(b.turn)
			}
		}
	}
	for _, k := range ahead {
		for _, list := range k.members {
			for _, s := range list[:min(len(list), fewMembers)] {
				x += s.keep + int64(len(s.hists))
			}
		}
	}
	for _, k := range ahead {
		for _, list := range k.members {
			for _, s := range list[:min(len(list), fewMembers)] {
				for j := 0; j < len(s.head); j += pointsPerLine {
					x += s.head[j].T
				}
			}
		}
	}
	w.ahead, w.fetched = ahead, w.fetched+x
}

// fetchSeries looks at what taking in a sample for each of these will read; some may be nil.
func (w *window) fetchSeries(list []*series) {
	if w.count < manySeries {
		return
	}
	var x int64
	for _, s := range list {
		if s != nil && len(s.head) > 0 {
			x += s.head[len(s.head)-1].T
		}
	}
	for _, s := range list {
		if s != nil {
			for _, t := range s.touches {
				x += t.key.newest
			}
		}
	}
	w.fetched += x
}
