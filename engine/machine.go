package engine

import (
	"time"

	"alertd"
	"alertd/grouping"
	"alertd/router"
)

// Input is something that happened. The nil input means that time has passed.
type Input interface{ input() }

// The inputs.
type (
	// Judged is a rule's answer.
	Judged struct{ Verdict alertd.Verdict }
	// Answered is a sender's answer.
	Answered struct{ Attempt alertd.Attempt }
	// PolicyChanged brings the policy that holds from now on. The first input of a new machine is one.
	PolicyChanged struct{ Policy *Policy }
)

func (Judged) input()        {}
func (Answered) input()      {}
func (PolicyChanged) input() {}

// Machine is the state: alerts, groups and what is on its way. One goroutine owns it.
type Machine struct {
	policy *Policy

	alerts   *alerts
	groups   *grouping.Set
	outbox   *outbox
	silences silences
	acks     acks
	version  string // of the policy, as the journal last heard of it

	inhibitor *router.Inhibitor // what fires and may hide others: follows from the above; nil without a policy

	entries []alertd.Entry // of the step that runs
	now     time.Time      // of the step that runs
}

// New returns a machine without state, to be filled by [Machine.Apply] or [Machine.Restore] and then stepped
// with a [PolicyChanged].
func New() *Machine {
	return &Machine{
		alerts: newAlerts(), groups: grouping.NewSet(), outbox: newOutbox(), silences: silences{}, acks: acks{},
	}
}

// Step decides what follows from an input at now (UTC, without monotonic part), changes the state and returns
// the decisions in order. The slice is the caller's. They belong into one commit of the journal: a part of them is a state
// that nobody has decided.
func (m *Machine) Step(now time.Time, in Input) []alertd.Entry {
	m.now, m.entries = now.Round(0).UTC(), nil
	switch in := in.(type) {
	case Judged:
		m.judge(in.Verdict)
	case Answered:
		m.answer(in.Attempt)
	case PolicyChanged:
		m.change(in.Policy)
	case AlertsPosted:
		for i := range in.Alerts {
			m.posted(&in.Alerts[i], in.ResolveTimeout)
		}
	case SilencesSet:
		m.setSilences(in.Silences)
	case Acknowledged:
		m.acknowledge(in.Acked)
	case Release:
		m.release(in.Released)
	case ClockSetBack:
		m.emit(alertd.Entry{ClockSet: &alertd.ClockSet{Back: in.By}})
	case nil:
		m.passTime()
	}
	return m.entries
}

// Next is when the machine wants to be stepped with a nil input; false: not before another input comes.
func (m *Machine) Next() (due time.Time, ok bool) {
	add := func(t time.Time, has bool) {
		if has && (!ok || t.Before(due)) {
			due, ok = t, true
		}
	}
	if g := m.groups.Next(); g != nil {
		add(g.Due, true)
	}
	add(m.alerts.nextExpiry())
	add(m.nextSilence())
	add(m.acks.next())
	add(m.outbox.placeDue())
	return due, ok
}

// passTime does one thing that is due: it ends what has expired, an alert or an ack, lets one group (or all groups that share a
// digest) speak, or gives what waits for one destination its places within the limit. One at a time, so that a step stays small; Next tells whether more waits.
func (m *Machine) passTime() {
	if at, ok := m.alerts.nextExpiry(); ok && !m.now.Before(at) {
		m.expire()
		return
	}
	if at, ok := m.nextSilence(); ok && !m.now.Before(at) {
		m.tendSilence()
		return
	}
	if at, ok := m.acks.next(); ok && !m.now.Before(at) {
		m.ackRanOut()
		return
	}
	if g := m.groups.Next(); g != nil && !m.now.Before(g.Due) {
		m.flush(g)
		return
	}
	if to, ok := m.outbox.nextLane(m.now); ok { // after all groups have spoken: who is most urgent goes first
		m.place(to)
	}
}

// emit applies one decision and hands it out.
func (m *Machine) emit(e alertd.Entry) {
	e.Time = m.now
	m.Apply(e)
	m.entries = append(m.entries, e)
}

// Apply changes the state by one entry, whoever decided it. It needs no policy.
func (m *Machine) Apply(e alertd.Entry) {
	switch {
	case e.Transition != nil:
		a := &e.Transition.Alert // from here on also the state's: nobody changes it
		m.silences.ended(e.Time, e.Transition)
		m.alerts.before.follow(e.Transition, m.alerts.get(a.Fingerprint))
		m.alerts.put(e.Time, a)
		m.groups.Mark(a.Fingerprint, a.State.Active())
		m.letGo(a.Fingerprint)
		m.source(a)
		if e.Transition.Reason == alertd.ReasonDelivering {
			m.outbox.hasten(destination{a.Labels.Get("receiver"), a.Labels.Get("integration")}, e.Time)
		}
	case e.Joined != nil:
		m.groups.Join(e.Time, *e.Joined)
	case e.Scheduled != nil:
		m.groups.Schedule(*e.Scheduled)
	case e.Withheld != nil:
		m.groups.Withhold(e.Time, *e.Withheld)
		m.silences.withheld(e.Time, e.Withheld, m.alerts.get(e.Withheld.Fingerprint))
	case e.Flushed != nil:
		for _, fp := range m.groups.Flush(e.Time, *e.Flushed) {
			m.alerts.release(e.Time, fp)
			m.letGo(fp)
		}
		// What it says now still goes into the thread that it began: settling that lets go of it.
		m.outbox.forget(e.Flushed.Group, e.Flushed.Spoke || m.groups.Get(e.Flushed.Group) != nil)
	case e.Planned != nil:
		m.outbox.plan(e.Planned)
	case e.Admitted != nil:
		m.outbox.admit(e.Time, e.Admitted)
	case e.Attempted != nil:
		m.outbox.settle(*e.Attempted, func(key alertd.GroupKey) bool { return m.groups.Get(key) != nil })
	case e.Policy != nil:
		m.version = e.Policy.Version
	case e.Silence != nil:
		m.silences.apply(e.Time, *e.Silence)
	case e.Acked != nil:
		m.applyAck(e.Time, *e.Acked)
	case e.ClockSet != nil:
		m.clockSet(e.Time, e.ClockSet)
	case e.Released != nil:
		m.groups.Release(e.Released.Groups)
	}
	m.alerts.forget(e.Time, func(fp alertd.Fingerprint) bool { return len(m.groups.Of(fp)) > 0 })
}
