package grouping

import (
	"cmp"
	"container/heap"
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"time"

	"alertd"
)

// Set holds all groups: by key, by the alerts in them, and by due time. The zero value is not usable, see
// [NewSet].
type Set struct {
	groups  map[alertd.GroupKey]*Group
	byAlert map[alertd.Fingerprint][]*Group // sorted by key
	due     dueHeap
	held    int // members that hold
}

// NewSet returns an empty set.
func NewSet() *Set {
	return &Set{groups: map[alertd.GroupKey]*Group{}, byAlert: map[alertd.Fingerprint][]*Group{}}
}

// Copy returns a set of copies of groups, so that what becomes of them changes nothing here.
func Copy(groups []*Group) *Set {
	s := NewSet()
	for _, g := range groups {
		c := *g
		c.Members = make(map[alertd.Fingerprint]*Member, len(g.Members))
		for fp, m := range g.Members {
			member := *m
			c.Members[fp] = &member
		}
		s.put(&c)
	}
	return s
}

// Len is the number of groups.
func (s *Set) Len() int { return len(s.groups) }

// Hold reports whether a calendar has held anything in any group that is not told yet.
func (s *Set) Hold() bool { return s.held > 0 }

// Get returns a group, or nil.
func (s *Set) Get(key alertd.GroupKey) *Group { return s.groups[key] }

// All yields the groups in the order of their keys.
func (s *Set) All() iter.Seq[*Group] {
	return func(yield func(*Group) bool) {
		for _, key := range slices.Sorted(maps.Keys(s.groups)) {
			if !yield(s.groups[key]) {
				return
			}
		}
	}
}

// Of returns the groups that an alert is in, in the order of their keys. The caller must not change the slice.
func (s *Set) Of(fp alertd.Fingerprint) []*Group { return s.byAlert[fp] }

// Next is the group with the earliest due time, ties broken by key; nil if no group is due ever.
func (s *Set) Next() *Group {
	if len(s.due) == 0 || s.due[0].Due.IsZero() {
		return nil
	}
	return s.due[0]
}

// Join puts an alert into its group, which it makes or whose timing it renews.
func (s *Set) Join(at time.Time, j alertd.Joined) {
	g := s.groups[j.Group]
	if g == nil {
		g = &Group{Members: map[alertd.Fingerprint]*Member{}}
		g.Joined = j
		s.groups[j.Group] = g
		heap.Push(&s.due, g)
	}
	g.Joined = j
	if m := g.Members[j.Fingerprint]; m != nil {
		m.Firing = true
		return
	}
	g.Members[j.Fingerprint] = &Member{Firing: true, Since: at}
	s.link(j.Fingerprint, g)
}

// Mark notes whether an alert fires, in all the groups that it is in.
func (s *Set) Mark(fp alertd.Fingerprint, firing bool) {
	for _, g := range s.byAlert[fp] {
		g.Members[fp].Firing = firing
	}
}

// Schedule sets when a group is looked at next, and why not before.
func (s *Set) Schedule(sc alertd.Scheduled) {
	g := s.groups[sc.Group]
	if g == nil {
		return
	}
	g.Due, g.Reason = sc.Due, sc.Reason
	heap.Fix(&s.due, g.index)
}

// SetBack follows a clock that was set back to at: what is due later is due so much earlier, and what has happened later has happened at
// that instant.
func (s *Set) SetBack(at time.Time, by time.Duration) {
	for _, g := range s.groups {
		if g.Due.After(at) && g.Reason != alertd.ReasonHeld && g.Reason != alertd.ReasonMuted { // a calendar's instant stays
			g.Due = alertd.Later(g.Due.Add(-by), at)
		}
		g.SpokeAt, g.PagedAt = alertd.Earlier(g.SpokeAt, at), alertd.Earlier(g.PagedAt, at)
		for _, m := range g.Members {
			m.Since, m.HeldSince, m.OpenSince = alertd.Earlier(m.Since, at), alertd.Earlier(m.HeldSince, at), alertd.Earlier(m.OpenSince, at)
		}
	}
	heap.Init(&s.due)
}

// Withhold notes why an alert was not told.
func (s *Set) Withhold(at time.Time, w alertd.Withheld) {
	g := s.groups[w.Group]
	if g == nil {
		return
	}
	m := g.Members[w.Fingerprint]
	if m == nil {
		return
	}
	m.Why, m.By, m.Until = w.Reason, w.By, w.Until
	if w.Reason == alertd.ReasonHeld && m.HeldSince.IsZero() {
		m.HeldSince = at
		s.held += ones(m.Holds())
	}
}

// Flush notes what a group told and forgets what is over. A group that nobody is in any more goes away. It
// returns the alerts that left.
func (s *Set) Flush(at time.Time, f alertd.Flushed) (left []alertd.Fingerprint) {
	g := s.groups[f.Group]
	if g == nil {
		return nil
	}
	if f.Spoke {
		g.SpokeAt = at
		g.Let = false
		g.Seq++
		if len(f.Told) > 0 || len(f.Closed) == 0 {
			g.PagedAt = at
		}
	}
	for _, fp := range f.Told {
		if m := g.Members[fp]; m != nil {
			s.held -= ones(m.Holds())
			*m = Member{Firing: m.Firing, Told: true, Since: m.Since, OpenSince: at}
		}
	}
	for _, fp := range slices.Concat(f.Closed, f.Ended) {
		if g.Members[fp] == nil {
			continue
		}
		s.held -= ones(g.Members[fp].Holds())
		delete(g.Members, fp)
		s.unlink(fp, g)
		left = append(left, fp)
	}
	if len(g.Members) == 0 {
		delete(s.groups, g.Group)
		heap.Remove(&s.due, g.index)
	}
	return left
}

// Release notes that groups are let go.
func (s *Set) Release(keys []alertd.GroupKey) {
	for _, key := range keys {
		if g := s.groups[key]; g != nil {
			g.Let = true
		}
	}
}

// Acked notes that somebody has taken alerts or, where open, that nobody has them any more. What was said of them is
// to be changed: that counts.
func (s *Set) Acked(at time.Time, alerts []alertd.Fingerprint, open bool) {
	for _, g := range s.Telling(alerts) {
		g.Seq++
		for _, fp := range alerts {
			if m := g.Members[fp]; open && m != nil && m.Told {
				m.OpenSince = at
			}
		}
	}
}

// Telling returns the groups in which some of the alerts are told and not closed, in the order of their keys.
func (s *Set) Telling(alerts []alertd.Fingerprint) []*Group {
	found := map[alertd.GroupKey]*Group{}
	for _, fp := range alerts {
		for _, g := range s.byAlert[fp] {
			if g.Members[fp].Told {
				found[g.Group] = g
			}
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b *Group) int { return cmp.Compare(a.Group, b.Group) })
}

func (s *Set) link(fp alertd.Fingerprint, g *Group) {
	at, _ := slices.BinarySearchFunc(s.byAlert[fp], g.Group, func(h *Group, key alertd.GroupKey) int {
		return cmp.Compare(h.Group, key)
	})
	s.byAlert[fp] = slices.Insert(s.byAlert[fp], at, g)
}

func (s *Set) unlink(fp alertd.Fingerprint, g *Group) {
	// A new slice: the caller of Of may be walking over the old one.
	rest := slices.DeleteFunc(slices.Clone(s.byAlert[fp]), func(h *Group) bool { return h == g })
	if len(rest) == 0 {
		delete(s.byAlert, fp)
		return
	}
	s.byAlert[fp] = rest
}

// stored is a group as a snapshot keeps it.
type stored struct {
	Joined  alertd.Joined                  `json:"joined"`
	Members map[alertd.Fingerprint]*Member `json:"members"`
	Due     time.Time                      `json:"due"`
	Reason  alertd.Reason                  `json:"reason"`
	SpokeAt time.Time                      `json:"spoke_at,omitzero"`
	PagedAt time.Time                      `json:"paged_at,omitzero"`
	Let     bool                           `json:"let,omitempty"`
	Seq     uint64                         `json:"seq,omitempty"`
}

// UnmarshalJSON replaces the set with what [Frozen.MarshalJSON] wrote.
func (s *Set) UnmarshalJSON(b []byte) error {
	var in []stored
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*s = *NewSet()
	for _, st := range in {
		g := &Group{
			Joined: st.Joined, Members: st.Members, Due: st.Due, Reason: st.Reason,
			SpokeAt: st.SpokeAt, PagedAt: st.PagedAt, Let: st.Let, Seq: st.Seq,
		}
		s.put(g)
	}
	return nil
}

func (s *Set) put(g *Group) {
	s.groups[g.Group] = g
	heap.Push(&s.due, g)
	for fp, m := range g.Members {
		s.link(fp, g)
		s.held += ones(m.Holds())
	}
}

func ones(is bool) int {
	if is {
		return 1
	}
	return 0
}

// dueHeap orders groups by due time, then key. A zero due time, "never", is last.
type dueHeap []*Group

func (h dueHeap) Len() int { return len(h) }

func (h dueHeap) Less(i, j int) bool {
	a, b := h[i], h[j]
	if a.Due.IsZero() || b.Due.IsZero() {
		return !a.Due.IsZero() && b.Due.IsZero()
	}
	if c := a.Due.Compare(b.Due); c != 0 {
		return c < 0
	}
	return a.Group < b.Group
}

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *dueHeap) Push(x any) {
	g := x.(*Group)
	g.index = len(*h)
	*h = append(*h, g)
}

func (h *dueHeap) Pop() any {
	old := *h
	g := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return g
}
