package rehearse

import (
	"strings"
	"time"

	"alertd"
	"alertd/engine"
)

// Told is what one receiver was told at one instant, by all its destinations.
type Told struct {
	At           time.Time         `json:"at"`
	Receiver     string            `json:"receiver"`
	Destinations []string          `json:"destinations"` // "slack/0"
	Status       string            `json:"status"`       // firing, resolved
	Severity     alertd.Severity   `json:"severity,omitempty"`
	Reason       alertd.Reason     `json:"reason"`
	Digest       bool              `json:"digest,omitempty"`
	Group        alertd.GroupKey   `json:"group"`
	Alerts       []alertd.Notified `json:"alerts"`
	Truncated    int               `json:"truncated,omitempty"` // how many more alerts there are
}

// desk is the engine with the clock in the caller's hand.
type desk struct {
	machine *engine.Machine
	now     time.Time
	told    []Told
	note    func(*alertd.Entry) // is shown every decision; may be nil
	planned bool

	waits map[string]*alertd.Notification // by ID: what waits for the limit of its destination
	lines map[string]int                  // where in told the messages of this instant are
	at    time.Time                       // this instant
}

func newDesk(p *engine.Policy, start time.Time) *desk {
	d := &desk{machine: engine.New(), now: start, waits: map[string]*alertd.Notification{}, lines: map[string]int{}}
	d.step(engine.PolicyChanged{Policy: p})
	return d
}

// until does what falls due before t, each at its own instant.
func (d *desk) until(t time.Time) {
	for {
		due, ok := d.machine.Next()
		if !ok || !due.Before(t) {
			break
		}
		if due.After(d.now) {
			d.now = due
		}
		d.step(nil)
		d.deliver()
	}
	if t.After(d.now) {
		d.now = t
	}
}

// turn is a turn of the daemon's loop at t: the verdicts, then what is due, then the deliveries. Call until first.
func (d *desk) turn(t time.Time, verdicts []alertd.Verdict) {
	d.now = t
	for _, v := range verdicts {
		d.step(engine.Judged{Verdict: v})
	}
	for {
		due, ok := d.machine.Next()
		if !ok || due.After(t) {
			break
		}
		d.step(nil)
	}
	d.deliver()
}

// step decides about one input, and says whether there was anything to decide.
func (d *desk) step(in engine.Input) bool {
	entries := d.machine.Step(d.now, in)
	for i := range entries {
		e := &entries[i]
		switch {
		case e.Planned != nil && e.Planned.Waits:
			d.waits[e.Planned.Notification.ID] = &e.Planned.Notification
		case e.Planned != nil:
			for _, id := range e.Planned.Folds {
				delete(d.waits, id)
			}
			d.tell(e.Time, &e.Planned.Notification)
		case e.Admitted != nil:
			for _, id := range e.Admitted.Notifications {
				if n := d.waits[id]; n != nil {
					delete(d.waits, id)
					d.tell(e.Time, n)
				}
			}
		}
		if d.note != nil {
			d.note(e)
		}
	}
	return len(entries) > 0
}

// tell notes what is said. The destinations of a receiver get one message each; together they are one line here, with
// the alerts of the one that is told most, unless one is told later than another.
func (d *desk) tell(now time.Time, n *alertd.Notification) {
	d.planned = true
	if !now.Equal(d.at) {
		clear(d.lines)
		d.at = now
	}
	message := n.ID[:strings.LastIndexByte(n.ID, '-')]
	if i, is := d.lines[message]; is && i < len(d.told) {
		t := &d.told[i]
		t.Destinations = append(t.Destinations, n.Integration)
		if len(n.Alerts) > len(t.Alerts) {
			t.Alerts, t.Status, t.Severity, t.Truncated = n.Alerts, n.Status(), n.Severity(), n.Truncated
		}
		return
	}
	d.lines[message] = len(d.told)
	d.told = append(d.told, Told{
		At: now, Receiver: n.Receiver, Destinations: []string{n.Integration}, Status: n.Status(), Severity: n.Severity(),
		Reason: n.Reason, Digest: n.Digest, Group: n.Group, Alerts: n.Alerts, Truncated: n.Truncated,
	})
}

// deliver lets everything arrive that is on its way.
func (d *desk) deliver() {
	for d.planned {
		d.planned = false
		for {
			out, _ := d.machine.Outgoing(d.now)
			if len(out) == 0 {
				break
			}
			for _, o := range out {
				d.step(engine.Answered{Attempt: alertd.Attempt{Notification: o.Notification.ID, N: o.N, Outcome: alertd.Delivered}})
			}
		}
	}
}
