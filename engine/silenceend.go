package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
)

const (
	// noticeAhead is how long before its end somebody is told that a silence ends, while it still hides what fires. It
	// is less for short ones: a quarter of their length.
	noticeAhead = 15 * time.Minute
	// maxAwaited bounds the alerts whose end a silence waits for, maxNoticed the receivers that hear of its end.
	maxAwaited = 1000
	maxNoticed = 5
)

const silenceRule = internalPrefix + "silence:SilenceEnding"

func endingLabels(id string) alertd.Labels {
	return labels.FromStrings(alertd.LabelAlert, "SilenceEnding", alertd.LabelSeverity, string(alertd.Info),
		alertd.LabelService, "alertd", "silence", id)
}

// awaited are the alerts whose end ends a silence that is made now.
func (m *Machine) awaited(now time.Time, s *silence) (fps []alertd.Fingerprint, err error) {
	if s.recurs != nil || s.StartsAt.After(now) {
		return nil, fmt.Errorf("%w: a silence until what it matches is resolved begins now, and does not recur", alertd.ErrInvalid)
	}
	for _, a := range matched(s, m.firing()) {
		fps = append(fps, a.Fingerprint)
	}
	switch {
	case len(fps) == 0:
		return nil, fmt.Errorf("%w: nothing that the silence matches fires, so there is no end to wait for; give it an end", alertd.ErrInvalid)
	case len(fps) > maxAwaited:
		return nil, fmt.Errorf("%w: the silence matches %d alerts that fire, and can wait for the end of %d; narrow it, or give it an end",
			alertd.ErrInvalid, len(fps), maxAwaited)
	}
	return fps, nil
}

// endResolved ends the silences that wait for alerts none of which fires any more.
func (m *Machine) endResolved() {
	waiting := slices.DeleteFunc(slices.Collect(maps.Values(m.silences)), func(s *silence) bool {
		return !s.UntilResolved || s.State(m.now) != alertd.SilenceActive
	})
	slices.SortFunc(waiting, func(a, b *silence) int { return cmp.Compare(a.ID, b.ID) })
	for _, s := range waiting {
		if !slices.ContainsFunc(s.Awaits, func(fp alertd.Fingerprint) bool {
			a := m.alerts.get(fp)
			return a != nil && a.State.Active()
		}) {
			m.setSilences([]alertd.Silence{ended(s.Silence, m.now, alertd.SilenceResolved, alertd.Actor{})})
		}
	}
}

// noticeDue is when to look at whether to tell that the silence ends; false: not, or not again.
func (s *silence) noticeDue() (time.Time, bool) {
	if !s.NoticedAt.IsZero() || s.recurs != nil {
		return time.Time{}, false // a window's end comes as no surprise
	}
	return s.EndsAt.Add(-min(noticeAhead, s.EndsAt.Sub(s.StartsAt)/4)), true
}

// isOver reports whether it is on record that the silence is over.
func (s *silence) isOver() bool {
	if len(s.Changes) == 0 { // an alertd set it that did not note what was done; it marked so those that somebody ended
		return s.UpdatedAt.Equal(s.EndsAt)
	}
	act := s.Changes[len(s.Changes)-1].Act
	return act != alertd.SilenceMade && act != alertd.SilenceChanged
}

// nextSilence is when a silence has to be looked at next.
func (m *Machine) nextSilence() (due time.Time, ok bool) {
	for _, s := range m.silences {
		if s.isOver() {
			continue
		}
		at := s.EndsAt
		if notice, has := s.noticeDue(); has {
			at = notice // never later
		}
		if !ok || at.Before(due) {
			due, ok = at, true
		}
	}
	return due, ok
}

// tendSilence does what is due for one silence: it tells that it ends soon, or that it is over.
func (m *Machine) tendSilence() {
	for _, s := range m.silences.sorted() {
		if s.isOver() {
			continue
		}
		if !m.now.Before(s.EndsAt) {
			over := s.Silence
			over.Change = done(alertd.SilenceOver, s.EndsAt, alertd.Actor{})
			m.setSilences([]alertd.Silence{over})
			return
		}
		if at, has := s.noticeDue(); has && !m.now.Before(at) {
			m.notice(s)
			return
		}
	}
}

// notice tells that a silence ends soon, if it hides what fires, to those who then hear of that.
func (m *Machine) notice(s *silence) {
	looked := s.Silence
	looked.NoticedAt = m.now
	m.emit(alertd.Entry{Silence: &looked})
	hides := matched(s, m.firing())
	joins := m.noticeRoutes(s, hides)
	if is, _ := s.inForce(m.now); !is || len(joins) == 0 {
		return
	}
	a := alertd.Alert{
		Fingerprint: s.ending, Rule: silenceRule, Labels: endingLabels(s.ID), State: alertd.Firing, Value: alertd.Value(len(hides)),
		Annotations: bounded(labels.FromStrings(
			alertd.AnnotationSummary, fmt.Sprintf("%s ends at %s and hides %s", s.title(), inWords(s.EndsAt), listed(hides)),
			alertd.AnnotationNextStep, "If the work goes on: alertd silence extend "+s.ID+" 2h. Otherwise what still fires is told when it ends.")),
		ActiveAt: m.now, FiredAt: m.now, At: m.now,
	}
	if m.policy.Enrich != nil {
		m.policy.Enrich(&a)
	}
	m.emit(alertd.Entry{Transition: &alertd.Transition{From: alertd.Inactive, Reason: alertd.ReasonSilenceEnds, Alert: a}})
	for _, j := range joins {
		m.emit(alertd.Entry{Joined: &j})
		m.wait(m.groups.Get(j.Group), &a)
	}
}

// noticeRoutes are the ways on which a notice leaves: for each receiver of what the silence hides, as that would leave.
func (m *Machine) noticeRoutes(s *silence, hides []*alertd.Alert) (joins []alertd.Joined) {
	at := map[string]int{}
	for _, a := range hides[:min(len(hides), maxAwaited)] {
		for _, d := range m.policy.Route.Decide(a.Labels) {
			i, known := at[d.Receiver]
			switch {
			case d.Deliver == alertd.Dashboard || !known && len(joins) == maxNoticed:
				continue
			case !known:
				i, at[d.Receiver] = len(joins), len(joins)
				joins = append(joins, alertd.Joined{})
			case joins[i].Delivery == alertd.Immediate:
				continue // sooner is better: somebody has to decide before the end
			}
			joins[i] = alertd.Joined{
				Fingerprint: s.ending, Group: alertd.GroupKey("alertd:silence:" + s.ID + ":" + d.Receiver),
				GroupLabels: endingLabels(s.ID), Route: "(alertd itself)", Receiver: d.Receiver,
				Delivery: d.Deliver, Calendar: d.Calendar, Mute: d.Mute, Active: d.Active,
			}
		}
	}
	return joins
}

// unnotice takes back what was told of the end of a silence that was given another one, or was ended.
func (m *Machine) unnotice(set *alertd.Silence) {
	s := m.silences[set.ID]
	if s == nil { // over for so long that it is forgotten already
		var err error
		if s, err = compile(*set); err != nil {
			return
		}
	}
	if a := m.alerts.get(s.ending); a != nil && a.State.Active() {
		why := alertd.ReasonSilenceSet
		if s.State(m.now) == alertd.SilenceExpired {
			why = alertd.ReasonSilenceOver
		}
		m.endNotice(*a, s, why)
	}
}

// endNotice closes the notice, and says what the silence hid.
func (m *Machine) endNotice(a alertd.Alert, s *silence, why alertd.Reason) {
	summary := fmt.Sprintf("%s now ends at %s", s.title(), inWords(s.EndsAt))
	if why == alertd.ReasonSilenceOver {
		summary = s.title() + " " + s.howOver()
		if n := len(s.Hid) + s.More; n > 0 {
			var names []string
			for _, h := range s.Hid {
				names = append(names, nameOf(h.Alert, h.Service))
			}
			summary += fmt.Sprintf("; it hid %d: %s", n, few(names))
		} else {
			summary += "; all that it matched had been told before"
		}
	}
	a.Annotations = bounded(labels.FromStrings(alertd.AnnotationSummary, summary))
	m.close(a, m.now, why)
}

// howOver says that the silence is over, and who ended it if somebody did.
func (s *silence) howOver() string {
	if len(s.Changes) > 0 {
		if last := s.Changes[len(s.Changes)-1]; last.Act == alertd.SilenceEnded {
			return "was " + last.Tell(inWords)
		}
	}
	return "is over"
}

func (s *silence) title() string {
	return fmt.Sprintf("The silence of %s (%s)", short(s.CreatedBy), short(s.Comment))
}

// short is the beginning of what somebody wrote.
func short(s string) string { return cut(s, 80) }

// cut is s, or its first runes.
func cut(s string, runes int) string {
	if r := []rune(s); len(r) > runes {
		return string(r[:runes]) + "…"
	}
	return s
}

func listed(alerts []*alertd.Alert) string {
	names := make([]string, len(alerts))
	for i, a := range alerts {
		names[i] = nameOf(a.Name(), a.Service())
	}
	if len(names) == 1 {
		return "1 alert that still fires: " + names[0]
	}
	return fmt.Sprintf("%d alerts that still fire: %s", len(names), few(names))
}

func nameOf(alert, service string) string {
	if service == "" {
		return alert
	}
	return alert + " of " + service
}
