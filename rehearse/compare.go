package rehearse

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// What a [Change] can be.
const (
	Gone  = "gone"  // told by the old policy only
	New   = "new"   // told by the new policy only
	Moved = "moved" // told by both, at different instants
)

// Change is what differs between two reports, about one notification.
type Change struct {
	At   time.Time `json:"at"`            // when the new policy tells it; else when the old one did
	What string    `json:"what"`          // gone, new or moved
	From time.Time `json:"from,omitzero"` // moved: when the old policy told it
	Told Told      `json:"notification"`  // as the new policy tells it; else as the old one did
}

// Comparison is how a new report differs from an old one.
type Comparison struct {
	Same    int      `json:"same"` // told by both at the same instant
	Gone    int      `json:"gone"`
	New     int      `json:"new"`
	Moved   int      `json:"moved"`
	Changes []Change `json:"changes"` // in the order of time
}

// maxMove is how far apart two notifications may be that count as one which has moved: as far as a hold over a long
// weekend takes it.
const maxMove = 4 * 24 * time.Hour

// Compare pairs the notifications of two reports that say the same to the same receiver about the same alerts: first
// those of the same instant, then the nearest ones.
func Compare(old, fresh *Report) *Comparison {
	c := &Comparison{}
	olds, news := index(old), index(fresh)
	keys := map[string]bool{}
	for _, m := range []map[string][]int{olds, news} {
		for k := range m {
			keys[k] = true
		}
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		c.match(old, fresh, olds[k], news[k])
	}
	slices.SortStableFunc(c.Changes, func(a, b Change) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Told.Receiver, b.Told.Receiver), cmp.Compare(a.What, b.What))
	})
	return c
}

// index groups what was told by what it says.
func index(r *Report) map[string][]int {
	out := map[string][]int{}
	for i := range r.Told {
		k := r.Told[i].says()
		out[k] = append(out[k], i)
	}
	return out
}

// says is the receiver, the status and the alerts, each with its state.
func (t *Told) says() string {
	lines := make([]string, len(t.Alerts))
	for i := range t.Alerts {
		lines[i] = t.Alerts[i].Labels.String() + " " + status(&t.Alerts[i])
	}
	slices.Sort(lines)
	return t.Receiver + "\x00" + t.Status + "\x00" + strings.Join(lines, "\x00")
}

// match pairs notifications that say the same. Both lists are in the order of time.
func (c *Comparison) match(old, fresh *Report, olds, news []int) {
	olds, news = slices.Clone(olds), slices.Clone(news)
	for i := 0; i < len(olds); {
		at := old.Told[olds[i]].At
		j := slices.IndexFunc(news, func(n int) bool { return fresh.Told[n].At.Equal(at) })
		if j < 0 {
			i++
			continue
		}
		c.Same++
		olds, news = slices.Delete(olds, i, i+1), slices.Delete(news, j, j+1)
	}
	for len(olds) > 0 && len(news) > 0 {
		bi, bj, least := 0, 0, time.Duration(math.MaxInt64)
		j := 0
		for i, o := range olds {
			apart := func(j int) time.Duration { return fresh.Told[news[j]].At.Sub(old.Told[o].At).Abs() }
			for j+1 < len(news) && apart(j+1) <= apart(j) {
				j++
			}
			if d := apart(j); d < least {
				bi, bj, least = i, j, d
			}
		}
		if least > maxMove {
			break
		}
		was, is := &old.Told[olds[bi]], &fresh.Told[news[bj]]
		c.Moved++
		c.Changes = append(c.Changes, Change{At: is.At, What: Moved, Told: *is, From: was.At})
		olds, news = slices.Delete(olds, bi, bi+1), slices.Delete(news, bj, bj+1)
	}
	for _, o := range olds {
		c.Gone++
		c.Changes = append(c.Changes, Change{At: old.Told[o].At, What: Gone, Told: old.Told[o]})
	}
	for _, n := range news {
		c.New++
		c.Changes = append(c.Changes, Change{At: fresh.Told[n].At, What: New, Told: fresh.Told[n]})
	}
}
