package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/grouping"
)

// What one flush decides is bounded, whatever the alerts look like: it is one commit of the journal, and one turn of the loop.
const (
	// maxNotified bounds the alerts that one notification carries; the rest is counted. No receiver shows more.
	maxNotified = 100
	// maxBytes bounds the labels and annotations of all notifications of one flush.
	maxBytes = 256 << 10
	// maxKeys bounds the names of the groups that share a digest, in bytes; the rest leaves in another one, at the same instant.
	maxKeys = 128 << 10
	// maxTold bounds the alerts that a group tells, closes and forgets at once, each; the rest comes the next time.
	maxTold = 4_000
	// lateAfter is how long after it was due a digest says that it is late.
	lateAfter = time.Minute
)

// said is what one group has to say.
type said struct {
	group  *grouping.Group
	reason alertd.Reason
	alerts []alertd.Notified
	digest bool
	due    time.Time         // of a digest that is late: when it was to leave
	repeat bool              // a reminder is due, whatever else there is to say
	quiet  bool              // only for messages that people look at, and that are brought up to date
	others []alertd.GroupKey // of a digest: the groups that it speaks of besides
}

// flush lets a group speak that is due.
func (m *Machine) flush(g *grouping.Group) { m.tell(g, m.whyDigest(g, m.now)) }

// tell lets a group speak that is due. What a calendar held leaves as one digest, together with what the same calendar held
// for the same receiver until now; why is why.
func (m *Machine) tell(g *grouping.Group, why alertd.Reason) {
	due := g.Due
	first, ok := m.speak(g)
	if !ok {
		return
	}
	if !first.digest {
		m.plan(first, g.Group, messageID(string(g.Group), first.reason, m.now, g.Seq))
		return
	}
	digest := said{group: g, reason: why, alerts: first.alerts, digest: true}
	digest.others = append(digest.others, g.Group)
	for _, other := range m.company(g) {
		otherDue := other.Due
		if s, ok := m.speak(other); ok {
			due = alertd.Earlier(due, otherDue)
			digest.alerts = append(digest.alerts, s.alerts...)
			digest.others = append(digest.others, other.Group)
		}
	}
	if why != alertd.ReasonReleased && m.now.Sub(due) >= lateAfter {
		digest.due = due
	}
	key := alertd.GroupKey("digest:" + g.Receiver + ":" + g.Calendar)
	// Two digests may leave at one instant, as when a silence ends while one leaves: the group that began it tells which.
	m.plan(digest, key, messageID(string(key)+"\x00"+string(g.Group), alertd.ReasonDigest, m.now, g.Seq))
}

// company are the groups that may share a digest with one, in the order of their keys.
func (m *Machine) company(g *grouping.Group) (out []*grouping.Group) {
	if r, _ := m.policy.receiver(g.Receiver); r.ByGroup {
		return nil // they may go elsewhere
	}
	keys := len(g.Group)
	for other := range m.groups.All() {
		if other == g || other.Receiver != g.Receiver || other.Calendar != g.Calendar ||
			!labels.Equal(other.RouteLabels, g.RouteLabels) || // they may say something else
			other.Due.IsZero() || other.Due.After(m.now) || !other.Holds() {
			continue
		}
		if _, closed := m.gate(other, m.now); closed {
			continue // it tells the end of something, in its own thread, and holds the rest still
		}
		if keys += len(other.Group); keys > maxKeys {
			break
		}
		out = append(out, other)
	}
	return out
}

// speak settles what a group that is due tells, and schedules it anew. False means that it has nothing to say.
func (m *Machine) speak(g *grouping.Group) (said, bool) {
	d := g.Diff()
	d.Ended = d.Ended[:min(len(d.Ended), maxTold)]
	held := g.Holds()
	gt, closed := m.gate(g, m.now)

	// What was held and is over is one line in the digest; what only waited for its group leaves without a word.
	var mentioned []alertd.Fingerprint
	if held && !closed {
		mentioned = m.mentioned(g, d.Ended)
	}
	ended := d.Ended
	if closed && held {
		ended = nil // it waits for the digest
	}
	if !held {
		for _, fp := range ended {
			m.withhold(g, fp, alertd.Withheld{Reason: alertd.ReasonEnded})
		}
	}
	fresh := d.Fresh
	if closed {
		fresh = nil
		for _, fp := range d.Fresh {
			m.withhold(g, fp, alertd.Withheld{Reason: gt.reason, By: gt.by, Until: gt.until})
		}
	}
	fresh = slices.DeleteFunc(slices.Clone(fresh), func(fp alertd.Fingerprint) bool {
		return m.inhibited(g, fp) || m.silencedIn(g, fp)
	})
	fresh = fresh[:min(len(fresh), maxTold)]
	d.Closed = m.believed(g, d.Closed, len(d.Told)+len(fresh) > 0)
	d.Closed = d.Closed[:min(len(d.Closed), maxTold)]

	told := d.Told
	if closed || !slices.ContainsFunc(told, func(fp alertd.Fingerprint) bool { return !m.hidden(fp) && !m.taken(fp) }) {
		told = nil // no reminder now; what is new or over is still said
	}
	reason, speaks := g.Speak(grouping.Diff{Fresh: fresh, Told: told, Closed: d.Closed}, m.now)
	if next, open := repageDue(g, m.open(g)); !speaks && len(told) > 0 {
		switch {
		case g.Reason == alertd.ReasonAckTimeout:
			reason, speaks = g.Reason, true
		case open && !m.now.Before(next):
			reason, speaks = alertd.ReasonRepage, true
		}
	}
	if g.Step > 0 && len(fresh) > 0 {
		reason = alertd.ReasonEscalated
	}
	if len(d.Closed) > 0 && len(fresh) == 0 {
		reason = alertd.ReasonSomeResolved
		if len(d.Told) == 0 && len(d.Fresh) == 0 {
			reason = alertd.ReasonAllResolved
		}
	}
	s := said{group: g, reason: reason, digest: held && !closed}
	if next, ok := g.RepeatDue(); ok {
		s.repeat = len(told) > 0 && !m.now.Before(next)
	}
	if s.digest && (len(fresh) > 0 || len(mentioned) > 0) {
		speaks, s.reason = true, alertd.ReasonDigest
	}
	if speaks {
		again := d.Told
		if !m.heard(g) { // then what was told before is not told again to anybody
			again = nil
		}
		s.alerts = make([]alertd.Notified, 0, len(again)+len(fresh)+len(d.Closed)+len(mentioned))
		s.alerts = m.notified(s.alerts, g, again, false)
		s.alerts = m.notified(s.alerts, g, fresh, true)
		s.alerts = m.notified(s.alerts, g, d.Closed, false)
		s.alerts = m.notified(s.alerts, g, mentioned, false)
		m.affect(g, s.alerts)
	}
	if speaks || len(ended) > 0 {
		m.emit(alertd.Entry{Flushed: &alertd.Flushed{
			Group: g.Group, Told: fresh, Closed: d.Closed, Ended: ended, Spoke: speaks,
		}})
	}
	if m.groups.Get(g.Group) == g {
		more := !closed && m.escalate(g)
		m.again(g, gt, closed)
		if more {
			m.hasten(g, m.now, alertd.ReasonEscalated)
		}
	}
	return s, speaks
}

// heard reports whether the receiver of a group has a destination.
func (m *Machine) heard(g *grouping.Group) bool {
	r, ok := m.policy.receiver(g.Receiver)
	return !ok || len(r.Integrations) > 0 // without one it goes to the fallback
}

// notified appends alerts of a group as they are now.
func (m *Machine) notified(out []alertd.Notified, g *grouping.Group, list []alertd.Fingerprint, fresh bool) []alertd.Notified {
	for _, fp := range list {
		a := m.alerts.get(fp)
		if a == nil {
			continue
		}
		n := alertd.Notified{Alert: m.shown(a), HeldSince: g.Members[fp].HeldSince, Fresh: fresh}
		if fresh && n.HeldSince.IsZero() {
			n.HeldSince, n.HeldAs = m.heldBefore(a)
		}
		if g.Members[fp].Told && a.State == alertd.Resolved {
			n.GoesOnAs = m.lowered(a)
		}
		out = append(out, n)
	}
	return out
}

// again schedules a group after it was looked at: for what is still withheld, and for the next reminder.
func (m *Machine) again(g *grouping.Group, gt gate, closed bool) {
	var due time.Time
	reason := alertd.ReasonDeduplicated
	at := func(t time.Time, why alertd.Reason) {
		if due.IsZero() || t.Before(due) {
			due, reason = t, why
		}
	}
	d := g.Diff()
	interval := m.now.Add(max(g.GroupInterval, time.Second))
	switch {
	case len(d.Fresh)+len(d.Ended) > 0 && closed:
		at(gt.until, gt.reason)
	case len(d.Fresh) > 0: // inhibited, silenced, or more than could be told at once
		for _, fp := range d.Fresh {
			if member := g.Members[fp]; member.Why == alertd.ReasonSilenced {
				at(member.Until, alertd.ReasonSilenced)
			} else {
				at(interval, alertd.ReasonInhibited)
			}
		}
	}
	if len(d.Ended) > 0 && !closed { // more than could be told at once
		at(interval, alertd.ReasonGrouped)
	}
	if next, why := m.closing(g, d); !next.IsZero() {
		at(next, why)
	}
	if next, why := m.chase(g); !next.IsZero() {
		if !next.After(m.now) { // a reminder that is withheld now
			next = interval
			if closed {
				next = alertd.Later(gt.until, interval)
			}
		}
		at(next, why)
	}
	m.schedule(g, due, reason)
}

// inhibited says, and notes, whether another alert that fires hides this one.
func (m *Machine) inhibited(g *grouping.Group, fp alertd.Fingerprint) bool {
	by, how, is := m.hiddenBy(fp)
	if is {
		m.withhold(g, fp, alertd.Withheld{Reason: alertd.ReasonInhibited, By: by.String(), Detail: how})
	}
	return is
}

// hidden reports whether an alert is hidden now, by another one or by a silence.
func (m *Machine) hidden(fp alertd.Fingerprint) bool {
	if _, _, is := m.hiddenBy(fp); is {
		return true
	}
	a := m.alerts.get(fp)
	return a != nil && len(m.silencedBy(a)) > 0
}

// hiddenBy is the alert that hides one, by a rule or because of what its service depends on; how says the latter.
func (m *Machine) hiddenBy(fp alertd.Fingerprint) (by alertd.Fingerprint, how string, is bool) {
	a := m.alerts.get(fp)
	if a == nil {
		return 0, "", false
	}
	return m.inhibitor.InhibitedBy(a.Labels)
}

// plan remembers one notification for each destination of the receiver.
func (m *Machine) plan(s said, key alertd.GroupKey, id string) { m.planWithin(s, key, id, maxBytes) }

// planWithin is plan, with at most so many bytes of labels and annotations in all of them.
func (m *Machine) planWithin(s said, key alertd.GroupKey, id string, bytes int) {
	r, ok := m.policy.receiver(s.group.Receiver)
	if !ok {
		// It is in the journal that this was to be told; somebody has to hear of it.
		r = fallback
	}
	if len(r.Integrations) == 0 && !s.quiet {
		for i := range s.alerts {
			a := &s.alerts[i]
			if a.State.Active() && !a.Fresh {
				continue // it is said already: in a storm a group speaks often, and of all that it has
			}
			m.emit(alertd.Entry{Withheld: &alertd.Withheld{
				Fingerprint: a.Fingerprint, Group: s.group.Group, Receiver: r.Name, Reason: alertd.ReasonNoDestination,
			}})
		}
	}
	shared := s.group.GroupLabels
	if s.digest && !r.ByGroup {
		shared = labels.EmptyLabels() // it speaks of many groups
	}
	for _, in := range r.Integrations {
		if s.quiet && !in.ShowsAcks {
			continue
		}
		alerts, reason := slices.Clone(s.alerts), s.reason
		if !in.SendResolved {
			alerts = slices.DeleteFunc(alerts, func(a alertd.Notified) bool { return !a.State.Active() })
			for i := range s.alerts {
				if a := &s.alerts[i]; !a.State.Active() {
					m.emit(alertd.Entry{Withheld: &alertd.Withheld{
						Fingerprint: a.Fingerprint, Group: s.group.Group, Receiver: r.Name,
						Reason: alertd.ReasonNoResolve, By: in.Name,
					}})
				}
			}
		}
		if !in.SendResolved && reason == alertd.ReasonSomeResolved { // nothing new but what it does not want to hear
			if !s.repeat {
				continue
			}
			reason = alertd.ReasonRepeat
		}
		if len(alerts) == 0 {
			continue
		}
		grouping.SortNotified(alerts)
		cut := len(alerts) - fit(alerts, bytes/len(r.Integrations))
		m.emit(alertd.Entry{Planned: &alertd.Planned{Notification: alertd.Notification{
			ID: m.outbox.unused(id + "-" + shortHash(r.Name+"/"+in.Name)), Receiver: r.Name, Integration: in.Name,
			Group: key, GroupLabels: shared, RouteLabels: s.group.RouteLabels, Reason: reason, Digest: s.digest, DueAt: s.due, Seq: s.group.Seq,
			PlannedAt: m.now, Alerts: alerts[:len(alerts)-cut], Truncated: cut,
		}, Groups: s.others, Waits: m.waits(destination{r.Name, in.Name})}})
	}
}

// fit is how many of the alerts, at least one, a notification carries.
func fit(alerts []alertd.Notified, bytes int) int {
	for i := range alerts {
		const fixed = 512                                                       // times, state, names of fields
		bytes -= fixed + 2*(size(alerts[i].Labels)+size(alerts[i].Annotations)) // JSON may escape
		if i >= maxNotified || i > 0 && bytes < 0 {
			return i
		}
	}
	return len(alerts)
}

func size(ls alertd.Labels) (n int) {
	ls.Range(func(l labels.Label) { n += len(l.Name) + len(l.Value) + 6 })
	return n
}

// messageID is the same for the same decision, in whichever process it is taken: what a receiver can know a
// repetition by.
func messageID(key string, why alertd.Reason, at time.Time, seq uint64) string {
	h := sha256.New()
	h.Write([]byte(key))
	h.Write([]byte{0})
	h.Write([]byte(why))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(at.UnixNano())))
	h.Write(binary.BigEndian.AppendUint64(nil, seq))
	return "msg_" + hex.EncodeToString(h.Sum(nil)[:12])
}

func shortHash(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:4])
}
