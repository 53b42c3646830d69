package engine

import (
	"time"

	"alertd"
)

// ClockSetBack says that now is so much earlier than what the clock has shown before.
type ClockSetBack struct{ By time.Duration }

func (ClockSetBack) input() {}

// clockSet moves what waits for an instant that the clock has to reach once more. Silences, calendars, acks and what somebody posted with an
// end name instants themselves, and stay.
func (m *Machine) clockSet(now time.Time, c *alertd.ClockSet) {
	m.groups.SetBack(now, c.Back)
	for _, p := range m.outbox.byID {
		if p.Due.After(now) {
			p.Due = alertd.Later(p.Due.Add(-c.Back), now)
		}
	}
	m.outbox.limitsChanged(now)
}
