package engine

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/grouping"
)

// A destination may have a limit: how many messages it is sent within any minute. A message leaves by itself while fewer than
// half of the places are taken. What finds no place is told in one summary, as soon as there is a place for that: a quarter
// is kept for them, the first at once, and then at equal distances. So nothing waits for longer than a minute divided by the
// places for summaries, and with a limit of 20 that is twelve seconds. The last quarter is for what is critical and would
// have to wait for the next summary: so a storm leaves places for the first pages of the next trouble. What only brings a
// message up to date that is there needs no place.
//
// A group has spoken when its message is planned, so whatever becomes of the message, the group says next what is new.

const (
	limitWindow = time.Minute
	// maxFolded bounds the messages that one summary is sent in place of; the rest is told in the next one.
	maxFolded = 2_000
)

// places are how many of the messages of a limit are for what.
type places struct {
	any      int           // taken by messages of any kind, by themselves
	critical int           // the same, if they are critical and no summary can leave now
	every    time.Duration // between two summaries
}

func placesOf(limit int) places {
	summaries := max(limit/4, 1)
	return places{
		any: limit / 2, critical: limit - summaries,
		every: (limitWindow + time.Duration(summaries) - 1) / time.Duration(summaries), // rounded up: never one more in a window
	}
}

// of is how many places may be taken before there is none of its own for p. summary says that one can leave now.
func (pl places) of(p *pending, summary bool) int {
	if p.urgency() == 0 && !summary {
		return pl.critical
	}
	return pl.any
}

// lane is what a destination with a limit was sent lately, and what waits for a place.
type lane struct {
	own       []time.Time // when messages took places of their own, within the minute before the newest
	summary   time.Time   // when the last place of a summary was taken
	summaries uint64      // how many there were
	waiting   map[*pending]bool
	due       time.Time // when a place may be free for what waits; follows from the above
}

func (o *outbox) lane(to destination) *lane {
	l := o.lanes[to]
	if l == nil {
		l = &lane{waiting: map[*pending]bool{}}
		o.lanes[to] = l
	}
	return l
}

// wait notes that a notification waits for a place. It is looked at once all that is due has been planned.
func (l *lane) wait(p *pending) {
	if at := p.Notification.PlannedAt; len(l.waiting) == 0 || at.Before(l.due) {
		l.due = at
	}
	l.waiting[p] = true
}

func (l *lane) summarized(at time.Time) {
	l.summary = at
	l.summaries++
}

// taken is how many messages took places of their own within the minute before now.
func (l *lane) taken(now time.Time) int {
	n := 0
	for _, t := range l.own {
		if t.After(now.Add(-limitWindow)) && !t.After(now) {
			n++
		}
	}
	return n
}

// admit lets notifications go.
func (o *outbox) admit(at time.Time, a *alertd.Admitted) {
	l := o.lane(destination{a.Receiver, a.Integration})
	l.own = slices.DeleteFunc(l.own, func(t time.Time) bool { return !t.After(at.Add(-limitWindow)) })
	for _, id := range a.Notifications {
		p := o.byID[id]
		if p == nil || !p.Waits {
			continue
		}
		delete(l.waiting, p)
		p.Waits, p.Order = false, o.next()
		o.offer(p)
		switch a.Place {
		case alertd.PlaceOwn:
			l.own = append(l.own, at)
		case alertd.PlaceSummary:
			l.summary = at
		}
	}
}

// fold takes a notification out that waits, and returns the groups in whose lines it stood.
func (o *outbox) fold(id string) []alertd.GroupKey {
	p := o.byID[id]
	if p == nil || !p.Waits {
		return nil
	}
	delete(o.lane(p.to()).waiting, p)
	o.remove(p)
	return append(p.Groups, p.Notification.Group)
}

// limitsChanged has all that waits looked at again.
func (o *outbox) limitsChanged(now time.Time) {
	for _, l := range o.lanes {
		l.due = now
	}
}

// placeDue is when a place may be free for something that waits.
func (o *outbox) placeDue() (due time.Time, ok bool) {
	for _, l := range o.lanes {
		if len(l.waiting) > 0 && (!ok || l.due.Before(due)) {
			due, ok = l.due, true
		}
	}
	return due, ok
}

// nextLane is the destination for which there may be a place at now: the first by name.
func (o *outbox) nextLane(now time.Time) (to destination, ok bool) {
	for d, l := range o.lanes {
		if len(l.waiting) == 0 || l.due.After(now) {
			continue
		}
		if !ok || cmp.Or(cmp.Compare(d.Receiver, to.Receiver), cmp.Compare(d.Integration, to.Integration)) < 0 {
			to, ok = d, true
		}
	}
	return to, ok
}

// waits reports whether what is planned for a destination has to wait for a place. Behind what waits, all does: the lines
// keep their order.
func (m *Machine) waits(to destination) bool {
	l := m.outbox.lanes[to]
	return m.policy.limit(to) > 0 || l != nil && len(l.waiting) > 0
}

// place lets go what has a place within the limit of a destination, most urgent first, and tells the rest in a summary.
func (m *Machine) place(to destination) {
	l, limit := m.outbox.lane(to), m.policy.limit(to)
	if limit <= 0 { // it had one
		m.admit(to, alertd.PlaceNone, slices.SortedFunc(maps.Keys(l.waiting), byOrder)...)
		return
	}
	pl, taken := placesOf(limit), l.taken(m.now)
	summary := !l.summary.Add(pl.every).After(m.now) || l.summary.After(m.now) // the latter: the clock was set back
	waiting := slices.Collect(maps.Keys(l.waiting))
	waiting = slices.DeleteFunc(waiting, func(p *pending) bool { return !summary && taken >= pl.of(p, summary) && !p.aside() })
	slices.SortFunc(waiting, byUrgency)
	lucky, place := choose(waiting, pl, taken, summary)
	for len(lucky) > 0 {
		n := 1
		for n < len(lucky) && place[lucky[n]] == place[lucky[0]] {
			n++
		}
		m.admit(to, place[lucky[0]], lucky[:n]...)
		lucky = lucky[n:]
	}
	if summary {
		m.summarize(to, slices.DeleteFunc(waiting, func(p *pending) bool { return !p.Waits }), pl)
	}
	l.due = m.placeAfter(l, pl)
}

// byUrgency is the order in which places are given away: what fires before what is over, critical first, then the oldest.
func byUrgency(a, b *pending) int {
	return cmp.Or(
		cmp.Compare(a.urgency(), b.urgency()),
		a.Notification.PlannedAt.Compare(b.Notification.PlannedAt),
		cmp.Compare(a.Order, b.Order),
	)
}

// urgency is the rank of what fires; what is over comes after everything.
func (p *pending) urgency() int {
	if p.Notification.Status() != "firing" {
		return math.MaxInt
	}
	return p.Notification.Severity().Rank()
}

// aside reports whether a notification only changes a message that is there, and what hangs on it: nobody hears a bell.
func (p *pending) aside() bool {
	switch p.Notification.Reason {
	case alertd.ReasonSomeResolved, alertd.ReasonAllResolved, alertd.ReasonAcked, alertd.ReasonUnacked:
		return p.lines[0].ref != "" && p.Notification.Seq > 1
	}
	return false
}

// choose returns what may leave now of what waits in the order of byUrgency, while so many places are taken, and the place
// that each gets.
func choose(waiting []*pending, pl places, taken int, summary bool) (lucky []*pending, place map[*pending]alertd.Place) {
	place = map[*pending]alertd.Place{}
	for _, p := range waiting {
		switch {
		case slices.ContainsFunc(ahead(p), func(q *pending) bool { return place[q] == "" }):
			continue // what its groups said before goes first
		case p.aside():
			place[p] = alertd.PlaceNone
		case taken < pl.of(p, summary):
			place[p] = alertd.PlaceOwn
			taken++
		default:
			continue
		}
		lucky = append(lucky, p)
	}
	return lucky, place
}

// ahead are those that wait in the lines of a notification before it.
func ahead(p *pending) (out []*pending) {
	for _, l := range p.lines {
		for _, q := range l.queue {
			if q == p {
				break
			}
			if q.Waits {
				out = append(out, q)
			}
		}
	}
	return out
}

// admit lets some go, each after what its groups said before.
func (m *Machine) admit(to destination, place alertd.Place, let ...*pending) {
	if len(let) == 0 {
		return
	}
	ids := make([]string, len(let))
	for i, p := range let {
		ids[i] = p.Notification.ID
	}
	for chunk := range slices.Chunk(ids, maxFolded) {
		m.emit(alertd.Entry{Admitted: &alertd.Admitted{
			Receiver: to.Receiver, Integration: to.Integration, Notifications: chunk, Place: place,
		}})
	}
}

// placeAfter is when there may be another place for what waits still.
func (m *Machine) placeAfter(l *lane, pl places) time.Time {
	due := m.now.Add(pl.every)
	if next := l.summary.Add(pl.every); next.After(m.now) && next.Before(due) {
		due = next
	}
	for _, t := range l.own {
		if free := t.Add(limitWindow); free.After(m.now) && free.Before(due) {
			due = free
		}
	}
	return due
}

// quiet reports whether a notification is about who has taken what. Nobody needs to hear of that in a summary: it leaves by
// itself when there is a place, or with what the group says next.
func (p *pending) quiet() bool {
	return p.Notification.Reason == alertd.ReasonAcked || p.Notification.Reason == alertd.ReasonUnacked
}

// summarize tells in one message what found no place, in the order of byUrgency. One that would be alone in it goes as it
// is.
func (m *Machine) summarize(to destination, rest []*pending, pl places) {
	folds := map[*pending]bool{}
	var fold func(*pending)
	fold = func(p *pending) { // with all that its groups said before
		folds[p] = true
		for _, q := range ahead(p) {
			if !folds[q] {
				fold(q)
			}
		}
	}
	for _, p := range rest {
		if len(folds) < maxFolded && !folds[p] && !p.quiet() {
			fold(p)
		}
	}
	if len(folds) == 0 && pl.any == 0 { // places that quiet ones could wait for are none
		if i := slices.IndexFunc(rest, func(p *pending) bool { return len(ahead(p)) == 0 }); i >= 0 {
			m.admit(to, alertd.PlaceSummary, rest[i])
		}
		return
	}
	list := slices.SortedFunc(maps.Keys(folds), byOrder)
	switch len(list) {
	case 0:
	case 1:
		m.admit(to, alertd.PlaceSummary, list[0])
	default:
		n := m.summaryOf(to, list)
		ids := make([]string, len(list))
		for i, p := range list {
			ids[i] = p.Notification.ID
		}
		m.emit(alertd.Entry{Planned: &alertd.Planned{Notification: n, Folds: ids}})
	}
}

// summaryOf is the message in place of others, which are in the order in which they were planned. Of each group it tells
// what it said last, and what was over before.
func (m *Machine) summaryOf(to destination, list []*pending) alertd.Notification {
	key := alertd.GroupKey("summary:" + to.Receiver)
	seq := m.outbox.lane(to).summaries + 1
	n := alertd.Notification{
		ID:       messageID(string(key), alertd.ReasonLimit, m.now, seq) + "-" + shortHash(to.Receiver+"/"+to.Integration),
		Receiver: to.Receiver, Integration: to.Integration, Group: key, RouteLabels: list[0].Notification.RouteLabels,
		Reason: alertd.ReasonLimit, Seq: seq, PlannedAt: m.now, Summary: &alertd.Summary{Limit: m.policy.limit(to)},
	}
	last := map[alertd.GroupKey]*alertd.Notification{}
	told := map[alertd.Fingerprint]alertd.Notified{}
	for _, p := range list {
		said := &p.Notification
		last[said.Group] = said
		for i := range said.Alerts {
			a := said.Alerts[i]
			a.Fresh = a.Fresh || a.State.Active() && told[a.Fingerprint].Fresh
			told[a.Fingerprint] = a
		}
		if !labels.Equal(said.RouteLabels, n.RouteLabels) {
			n.RouteLabels = labels.EmptyLabels()
		}
	}
	leads := make([]alertd.Notified, 0, len(last)) // the most urgent alert of each group: so people hear of as many as fit
	for _, group := range slices.Sorted(maps.Keys(last)) {
		said := last[group]
		n.Truncated += said.Truncated
		if said.Status() == "firing" {
			n.Summary.Firing++
		} else {
			n.Summary.Resolved++
		}
		if a, is := told[said.Alerts[0].Fingerprint]; is {
			leads = append(leads, a)
			delete(told, a.Fingerprint)
		}
	}
	others := slices.Collect(maps.Values(told))
	grouping.SortNotified(leads)
	grouping.SortNotified(others)
	all := slices.Concat(leads, others)
	shown := fit(all, maxBytes/2)
	n.Alerts, n.Truncated = all[:shown:shown], n.Truncated+len(all)-shown
	grouping.SortNotified(n.Alerts)
	return n
}

// storedLane is a lane as a snapshot keeps it.
type storedLane struct {
	destination
	Own       []time.Time `json:"own,omitempty"`
	Summary   time.Time   `json:"summary,omitzero"`
	Summaries uint64      `json:"summaries,omitempty"`
}

func (o *outbox) storedLanes() (out []storedLane) {
	for to, l := range o.lanes {
		out = append(out, storedLane{to, slices.Clone(l.own), l.summary, l.summaries})
	}
	slices.SortFunc(out, func(a, b storedLane) int {
		return cmp.Or(cmp.Compare(a.Receiver, b.Receiver), cmp.Compare(a.Integration, b.Integration))
	})
	return out
}
