package rules

// timers is a heap of dirty keys by when they may be evaluated. A key that is scheduled again leaves its old entry
// behind, which is recognised by its due time and skipped.
type timers []timer

type timer struct {
	due int64 // nanoseconds
	key *key
}

func (t timer) valid() bool { return t.key.queue == waiting && t.key.due == t.due }

func (h timers) less(i, j int) bool { return h[i].due < h[j].due }

func (h *timers) push(t timer) {
	*h = append(*h, t)
	q := *h
	for i := len(q) - 1; i > 0; {
		up := (i - 1) / 2
		if !q.less(i, up) {
			break
		}
		q[i], q[up] = q[up], q[i]
		i = up
	}
}

func (h *timers) pop() {
	q := *h
	last := len(q) - 1
	q[0], q[last] = q[last], timer{}
	q = q[:last]
	for i := 0; ; {
		small := i
		for _, down := range [2]int{2*i + 1, 2*i + 2} {
			if down < last && q.less(down, small) {
				small = down
			}
		}
		if small == i {
			break
		}
		q[i], q[small] = q[small], q[i]
		i = small
	}
	*h = q
}

// first is the earliest entry that counts.
func (h *timers) first() (timer, bool) {
	for len(*h) > 0 {
		if t := (*h)[0]; t.valid() {
			return t, true
		}
		h.pop()
	}
	return timer{}, false
}
