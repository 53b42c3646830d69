package engine

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

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

// outbox is what is planned and not yet delivered: one line for each group and destination. In a line, one
// follows the other: "resolved" never overtakes "firing".
type outbox struct {
	lines map[alertd.GroupKey]map[destination]*line
	byID  map[string]*line
	todo  map[*line]bool // lines whose head waits to be offered
}

type destination struct {
	Receiver    string `json:"receiver"`
	Integration string `json:"integration"`
}

type line struct {
	group alertd.GroupKey
	to    destination
	ref   string    // what the provider called the first message of the group
	queue []pending // the head may be with a sender
}

// pending is a notification on its way.
type pending struct {
	Notification alertd.Notification `json:"notification"`
	Tried        int                 `json:"tried"`           // attempts that were answered
	Due          time.Time           `json:"due"`             // of the next attempt
	Maybe        bool                `json:"maybe,omitempty"` // an attempt may have arrived without an answer
}

func newOutbox() *outbox {
	return &outbox{
		lines: map[alertd.GroupKey]map[destination]*line{},
		byID:  map[string]*line{},
		todo:  map[*line]bool{},
	}
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

func (o *outbox) plan(n alertd.Notification) {
	l := o.line(n.Group, destination{n.Receiver, n.Integration})
	l.queue = append(l.queue, pending{Notification: n, Due: n.PlannedAt})
	o.byID[n.ID] = l
	if len(l.queue) == 1 {
		o.todo[l] = true
	}
}

// head returns the notification of that ID if it is the first of its line.
func (o *outbox) head(id string) (*line, *pending) {
	l := o.byID[id]
	if l == nil || l.queue[0].Notification.ID != id {
		return nil, nil
	}
	return l, &l.queue[0]
}

func (o *outbox) settle(a alertd.Attempted, lives bool) {
	l, p := o.head(a.Notification)
	if p == nil {
		return
	}
	if a.Ref != "" {
		l.ref = a.Ref
	}
	if !a.Next.IsZero() {
		p.Tried, p.Due = a.N, a.Next
		p.Maybe = p.Maybe || a.Outcome == alertd.Unknown
		o.todo[l] = true
		return
	}
	delete(o.byID, a.Notification)
	l.queue = slices.Delete(l.queue, 0, 1)
	if len(l.queue) > 0 {
		o.todo[l] = true
		return
	}
	delete(o.todo, l)
	o.forget(l.group, lives)
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
	for l := range m.outbox.todo {
		p := &l.queue[0]
		if p.Due.After(now) {
			if next.IsZero() || p.Due.Before(next) {
				next = p.Due
			}
			continue
		}
		delete(m.outbox.todo, l)
		d := Delivery{Notification: p.Notification, N: p.Tried + 1, Uncertain: p.Maybe}
		if d.Notification.Seq > 1 { // the first of a group begins a thread, also where the last episode's is not closed yet
			d.Notification.Ref = l.ref
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
	for _, to := range m.outbox.lines {
		for _, l := range to {
			if len(l.queue) > 0 {
				l.queue[0].Maybe = true
				m.outbox.todo[l] = true
			}
		}
	}
}

// answer follows a sender's answer: done, again later, or never.
func (m *Machine) answer(a alertd.Attempt) {
	_, p := m.outbox.head(a.Notification)
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

// internalPrefix begins the ID of rules that the engine itself is.
const internalPrefix = "alertd:"

func internal(rule string) bool { return strings.HasPrefix(rule, internalPrefix) }

// ownRoute reports whether an alert of the engine's own goes where it was sent, whatever the routing tree says.
func ownRoute(rule string) bool { return rule == deliveryRule || rule == silenceRule }

const deliveryRule = internalPrefix + "delivery:AlertdDeliveryFailed"

func deliveryLabels(receiver, integration string) alertd.Labels {
	return labels.FromStrings(alertd.LabelAlert, "AlertdDeliveryFailed", alertd.LabelSeverity, string(alertd.Critical),
		alertd.LabelService, "alertd", "receiver", receiver, "integration", integration)
}

// alarm fires an alert of the engine's own: a destination does not take what it is sent. It goes by another
// receiver than the one that fails.
func (m *Machine) alarm(receiver, integration string, at alertd.Attempt) {
	ls := deliveryLabels(receiver, integration)
	fp := alertd.FingerprintOf(ls)
	if old := m.alerts.get(fp); old != nil && old.State.Active() {
		return
	}
	a := alertd.Alert{
		Fingerprint: fp, Rule: deliveryRule, Labels: ls, State: alertd.Firing, Value: alertd.Value(at.N),
		Annotations: labels.FromStrings(
			alertd.AnnotationSummary, "alertd could not deliver a notification to "+receiver+"/"+integration,
			alertd.AnnotationDescription, "Attempt "+alertd.Value(at.N).String()+" ended as "+string(at.Class)+": "+at.Detail,
			alertd.AnnotationNextStep, "Check the receiver in routing.yaml; `alertd history` shows what was not delivered."),
		ActiveAt: m.now, FiredAt: m.now, At: m.now,
	}
	if m.policy.Enrich != nil {
		m.policy.Enrich(&a)
	}
	m.emit(alertd.Entry{Transition: &alertd.Transition{From: alertd.Inactive, Reason: alertd.ReasonUndelivered, Alert: a}})
	by := m.policy.other(receiver)
	key := alertd.GroupKey("alertd:delivery:" + receiver + "/" + integration)
	m.emit(alertd.Entry{Joined: &alertd.Joined{
		Fingerprint: fp, Group: key, GroupLabels: ls, Route: "(alertd itself)", Receiver: by, Delivery: alertd.Immediate,
		GroupInterval: time.Minute, RepeatInterval: 4 * time.Hour,
	}})
	m.wait(m.groups.Get(key), &a)
}

// calm resolves what alarm fired: the destination takes notifications again.
func (m *Machine) calm(receiver, integration string) {
	old := m.alerts.get(alertd.FingerprintOf(deliveryLabels(receiver, integration)))
	if old == nil || !old.State.Active() {
		return
	}
	m.close(*old, m.now, alertd.ReasonDelivering)
}

// calmGone resolves what alarm fired for destinations that are not configured any more.
func (m *Machine) calmGone() {
	for _, a := range m.alerts.within(deliveryRule, "") {
		r, ok := m.policy.receiver(a.Labels.Get("receiver"))
		there := ok && slices.ContainsFunc(r.Integrations, func(i Integration) bool { return i.Name == a.Labels.Get("integration") })
		if a.State.Active() && !there {
			m.close(*a, m.now, alertd.ReasonReceiverGone)
		}
	}
}

// storedLine is a line as a snapshot keeps it.
type storedLine struct {
	Group alertd.GroupKey `json:"group"`
	destination
	Ref   string    `json:"ref,omitempty"`
	Queue []pending `json:"queue,omitempty"`
}

func (o *outbox) stored() []storedLine {
	out := []storedLine{}
	for _, to := range o.lines {
		for _, l := range to {
			out = append(out, storedLine{l.group, l.to, l.ref, l.queue})
		}
	}
	slices.SortFunc(out, func(a, b storedLine) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Receiver, b.Receiver),
			cmp.Compare(a.Integration, b.Integration))
	})
	return out
}

func restoreOutbox(in []storedLine) *outbox {
	o := newOutbox()
	for _, s := range in {
		l := o.line(s.Group, s.destination)
		l.ref, l.queue = s.Ref, s.Queue
		for _, p := range s.Queue {
			o.byID[p.Notification.ID] = l
		}
		if len(l.queue) > 0 {
			o.todo[l] = true
		}
	}
	return o
}
