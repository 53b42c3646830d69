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
	last    string // the message that the newest of told comes from
}

func newDesk(p *engine.Policy, start time.Time) *desk {
	d := &desk{machine: engine.New(), now: start}
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
		if e.Planned != nil {
			d.plan(&e.Planned.Notification)
		}
		if d.note != nil {
			d.note(e)
		}
	}
	return len(entries) > 0
}

// plan notes what is said. The destinations of a receiver get one message each; together they are one line here, with
// the alerts of the one that is told most.
func (d *desk) plan(n *alertd.Notification) {
	d.planned = true
	message := n.ID[:strings.LastIndexByte(n.ID, '-')]
	if message == d.last {
		t := &d.told[len(d.told)-1]
		t.Destinations = append(t.Destinations, n.Integration)
		if len(n.Alerts) > len(t.Alerts) {
			t.Alerts, t.Status, t.Severity, t.Truncated = n.Alerts, n.Status(), n.Severity(), n.Truncated
		}
		return
	}
	d.last = message
	d.told = append(d.told, Told{
		At: n.PlannedAt, Receiver: n.Receiver, Destinations: []string{n.Integration}, Status: n.Status(), Severity: n.Severity(),
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
