package engine

import (
	"cmp"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"time"

	"alertd"
)

// retryDelays is how long the n-th repetition waits. The first ones are dense: somebody is to be woken. The
// last one goes on. (Standard Webhooks spreads the same over hours; a page cannot wait that long.)
var retryDelays = []time.Duration{
	5 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute,
}

const (
	// giveUp is how long a notification is tried before it becomes a dead letter.
	giveUp = 24 * time.Hour
	// alarmAfter is how many attempts may fail before people hear, by another receiver, that one does not take what
	// it is sent: with the delays above, some fifty seconds. It is tried on.
	alarmAfter = 4
	// maxRetryAfter bounds what a provider may ask for.
	maxRetryAfter = time.Hour
)

// outbox is what is planned and not yet delivered: one line for each group and destination. In a line, one follows the
// other: "resolved" never overtakes "firing". What speaks of several groups, a digest or a summary, stands in the lines of
// all of them, and leaves when it is the first in each.
//
// In every line, those that wait for a place within the limit of their destination stand behind those that do not; and
// those that do not stand in every line in the order in which they were let go. So no two can wait for each other.
type outbox struct {
	lines map[alertd.GroupKey]map[destination]*line
	byID  map[string]*pending
	todo  map[*pending]bool     // first in all of their lines, let go, and not with a sender
	lanes map[destination]*lane // of destinations that have, or had, a limit
	count uint64                // of what was planned or let go, which is their order
}

type destination struct {
	Receiver    string `json:"receiver"`
	Integration string `json:"integration"`
}

type line struct {
	group alertd.GroupKey
	to    destination
	ref   string     // what the provider called the first message of the group
	queue []*pending // the head may be with a sender
}

// pending is a notification on its way.
type pending struct {
	Notification alertd.Notification `json:"notification"`
	Groups       []alertd.GroupKey   `json:"groups,omitempty"` // in whose lines it stands besides its own
	Order        uint64              `json:"order,omitempty"`
	Waits        bool                `json:"waits,omitempty"` // for a place within the limit
	Tried        int                 `json:"tried"`           // attempts that were answered
	Due          time.Time           `json:"due"`             // of the next attempt
	Maybe        bool                `json:"maybe,omitempty"` // an attempt may have arrived without an answer
	Hastened     bool                `json:"hastened,omitempty"`

	lines []*line // its own first
}

func newOutbox() *outbox {
	return &outbox{
		lines: map[alertd.GroupKey]map[destination]*line{},
		byID:  map[string]*pending{},
		todo:  map[*pending]bool{},
		lanes: map[destination]*lane{},
	}
}

func (p *pending) to() destination {
	return destination{p.Notification.Receiver, p.Notification.Integration}
}

func (o *outbox) line(group alertd.GroupKey, to destination) *line {
	if o.lines[group] == nil {
		o.lines[group] = map[destination]*line{}
	}
	l := o.lines[group][to]
	if l == nil {
		l = &line{group: group, to: to}
		o.lines[group][to] = l
	}
	return l
}

func (o *outbox) plan(e *alertd.Planned) {
	n := e.Notification
	p := &pending{Notification: n, Groups: slices.Clone(e.Groups), Waits: e.Waits, Due: n.PlannedAt, Order: o.next()}
	for _, id := range e.Folds {
		p.Groups = append(p.Groups, o.fold(id)...)
	}
	slices.Sort(p.Groups)
	p.Groups = slices.Compact(p.Groups)
	o.enter(p)
	if len(e.Folds) > 0 {
		o.lane(p.to()).summarized(n.PlannedAt)
	}
}

func (o *outbox) next() uint64 {
	o.count++
	return o.count
}

// unused is an ID that no other notification in the outbox has: an alert may begin, end and begin again within one instant,
// when a backlog is read, and each of its groups counts from 1.
func (o *outbox) unused(id string) string {
	free := id
	for n := 2; o.byID[free] != nil; n++ {
		free = id + "-" + strconv.Itoa(n)
	}
	return free
}

// enter puts a notification into its lines: behind all others if it waits, else behind those that do not.
func (o *outbox) enter(p *pending) {
	to := p.to()
	for _, key := range append([]alertd.GroupKey{p.Notification.Group}, p.Groups...) {
		l := o.line(key, to)
		at := len(l.queue)
		if i := slices.IndexFunc(l.queue, func(q *pending) bool { return q.Waits }); i >= 0 && !p.Waits {
			at = i
		}
		l.queue = slices.Insert(l.queue, at, p)
		p.lines = append(p.lines, l)
	}
	o.byID[p.Notification.ID] = p
	if p.Waits {
		o.lane(to).wait(p)
	} else {
		o.offer(p)
	}
}

// offer makes a notification ready that was let go and is the first in all of its lines.
func (o *outbox) offer(p *pending) {
	if !p.Waits && p.first() {
		o.todo[p] = true
	}
}

func (p *pending) first() bool {
	return !slices.ContainsFunc(p.lines, func(l *line) bool { return l.queue[0] != p })
}

// head returns the notification of that ID if it may be with a sender.
func (o *outbox) head(id string) *pending {
	p := o.byID[id]
	if p == nil || p.Waits || !p.first() {
		return nil
	}
	return p
}

// remove takes a notification out of its lines, and offers those that come after it.
func (o *outbox) remove(p *pending) {
	delete(o.byID, p.Notification.ID)
	delete(o.todo, p)
	for _, l := range p.lines {
		l.queue = slices.DeleteFunc(l.queue, func(q *pending) bool { return q == p })
	}
	for _, l := range p.lines {
		if len(l.queue) > 0 && !o.todo[l.queue[0]] {
			o.offer(l.queue[0])
		}
	}
}

// settle follows an answer. lives tells of a group whether there is one.
func (o *outbox) settle(a alertd.Attempted, lives func(alertd.GroupKey) bool) {
	p := o.head(a.Notification)
	if p == nil {
		return
	}
	if a.Ref != "" {
		p.lines[0].ref = a.Ref
	}
	if !a.Next.IsZero() {
		p.Tried, p.Due = a.N, a.Next
		p.Maybe = p.Maybe || a.Outcome == alertd.Unknown
		o.todo[p] = true
		return
	}
	o.remove(p)
	for _, l := range p.lines {
		o.forget(l.group, lives(l.group))
	}
}

// hasten lets what waits to be tried again leave at once, since its destination takes notifications again. It does so once
// for each: one that its receiver never takes, while it takes others, is tried at the pace of its own failures.
func (o *outbox) hasten(to destination, now time.Time) {
	for p := range o.todo {
		if p.to() == to && p.Tried > 0 && !p.Hastened && p.Due.After(now) {
			p.Due, p.Hastened = now, true
		}
	}
}

// forget drops the lines of a group that is gone, once they are empty.
func (o *outbox) forget(group alertd.GroupKey, lives bool) {
	if lives {
		return
	}
	for to, l := range o.lines[group] {
		if len(l.queue) == 0 {
			delete(o.lines[group], to)
		}
	}
	if len(o.lines[group]) == 0 {
		delete(o.lines, group)
	}
}

// Delivery is one attempt to be made.
type Delivery struct {
	Notification alertd.Notification
	N            int  // of the attempt, from 1
	Uncertain    bool // an earlier attempt may have arrived: ask the provider first, where it can be asked
}

// Outgoing returns what is to be sent at now, critical first, and when the next attempt falls due (zero: none).
// What it returns counts as handed to the senders until an [Answered] comes; after a restart it is returned again,
// then as uncertain. Call it only after the entries of the last step are in the journal.
func (m *Machine) Outgoing(now time.Time) (out []Delivery, next time.Time) {
	for p := range m.outbox.todo {
		if p.Due.After(now) {
			if next.IsZero() || p.Due.Before(next) {
				next = p.Due
			}
			continue
		}
		delete(m.outbox.todo, p)
		d := Delivery{Notification: p.Notification, N: p.Tried + 1, Uncertain: p.Maybe}
		if d.Notification.Seq > 1 { // the first of a group begins a thread, also where the last episode's is not closed yet
			d.Notification.Ref = p.lines[0].ref
		}
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b Delivery) int {
		return cmp.Or(
			cmp.Compare(a.Notification.Severity().Rank(), b.Notification.Severity().Rank()),
			a.Notification.PlannedAt.Compare(b.Notification.PlannedAt),
			cmp.Compare(a.Notification.ID, b.Notification.ID),
		)
	})
	return out, next
}

// Resume makes all that is on its way due for another attempt, as uncertain: the process that had sent it, or
// not, is gone. Call it once, after the journal is folded.
func (m *Machine) Resume() {
	for _, p := range m.outbox.byID {
		if !p.Waits && p.first() {
			p.Maybe = true
			m.outbox.todo[p] = true
		}
	}
}

// answer follows a sender's answer: done, again later, or never.
func (m *Machine) answer(a alertd.Attempt) {
	p := m.outbox.head(a.Notification)
	if p == nil {
		return // an answer that came twice
	}
	n := &p.Notification
	e := alertd.Attempted{Attempt: a, Receiver: n.Receiver, Integration: n.Integration, Group: n.Group}
	switch a.Outcome {
	case alertd.Retry, alertd.Unknown:
		if m.now.Sub(n.PlannedAt) < giveUp {
			e.Next = m.now.Add(retryDelay(n.ID, a))
		} else {
			e.DeadLetter = true
		}
	case alertd.Failed:
		e.DeadLetter = true
	}
	receiver, integration, alerts := n.Receiver, n.Integration, n.Alerts
	m.emit(alertd.Entry{Attempted: &e})
	switch {
	case e.DeadLetter:
		for i := range alerts {
			m.emit(alertd.Entry{Withheld: &alertd.Withheld{
				Fingerprint: alerts[i].Fingerprint, Group: e.Group, Receiver: receiver,
				Reason: alertd.ReasonDeadLetter, By: integration, Detail: a.Detail,
			}})
		}
		m.alarm(receiver, integration, a)
	case !e.Next.IsZero() && a.N >= alarmAfter:
		m.alarm(receiver, integration, a)
	case a.Outcome == alertd.Delivered:
		m.calm(receiver, integration)
	}
}

// retryDelay is how long the next attempt waits: as long as the provider asks, at least as long as the n-th
// repetition waits, spread by up to a tenth by the notification's own ID.
func retryDelay(id string, a alertd.Attempt) time.Duration {
	d := retryDelays[min(max(a.N, 1), len(retryDelays))-1]
	h := fnv.New32a()
	h.Write([]byte(id))
	d += d * time.Duration(h.Sum32()%100) / 1000
	return max(d, min(a.RetryAfter, maxRetryAfter))
}

// storedLine is a line as a snapshot keeps it, with those that have it as their own.
type storedLine struct {
	Group alertd.GroupKey `json:"group"`
	destination
	Ref   string    `json:"ref,omitempty"`
	Queue []pending `json:"queue,omitempty"`
}

func (o *outbox) stored() []storedLine {
	rank := map[*pending]uint64{} // equal states give equal bytes, however much was planned before
	for i, p := range slices.SortedFunc(maps.Values(o.byID), byOrder) {
		rank[p] = uint64(i)
	}
	out := []storedLine{}
	for _, to := range o.lines {
		for _, l := range to {
			s := storedLine{Group: l.group, destination: l.to, Ref: l.ref}
			for _, p := range l.queue {
				if p.lines[0] == l {
					q := *p
					q.Order = rank[p]
					s.Queue = append(s.Queue, q)
				}
			}
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b storedLine) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Receiver, b.Receiver),
			cmp.Compare(a.Integration, b.Integration))
	})
	return out
}

// byOrder is the order in which notifications stand in the lines that they share.
func byOrder(a, b *pending) int {
	if a.Waits != b.Waits {
		if a.Waits {
			return 1
		}
		return -1
	}
	return cmp.Compare(a.Order, b.Order)
}

func restoreOutbox(in []storedLine, lanes []storedLane) *outbox {
	o := newOutbox()
	for _, s := range lanes {
		l := o.lane(s.destination)
		l.own, l.summary, l.summaries = s.Own, s.Summary, s.Summaries
	}
	var all []*pending
	for _, s := range in {
		o.line(s.Group, s.destination).ref = s.Ref
		for i := range s.Queue {
			all = append(all, &s.Queue[i])
		}
	}
	slices.SortStableFunc(all, byOrder) // stable: snapshots of older versions have no order but that of the line
	for _, p := range all {
		p.Order = o.next()
		o.enter(p)
	}
	return o
}
