package engine

import (
	"encoding/json"
	"fmt"

	"alertd"
	"alertd/grouping"
)

// snapshotVersion is raised when the form changes; an older snapshot is then not read and the journal is folded
// from its start.
const snapshotVersion = 1

type snapshot struct {
	Version  int              `json:"version"`
	Policy   string           `json:"policy"`
	Alerts   []*alertd.Alert  `json:"alerts"`
	Over     []farewell       `json:"over,omitempty"`
	Before   []storedEpisodes `json:"before,omitempty"`
	Groups   *grouping.Set    `json:"groups"`
	Silences []storedSilence  `json:"silences,omitempty"`
	Acks     []storedAck      `json:"acks,omitempty"`
	Outbox   []storedLine     `json:"outbox"`
	Limits   []storedLane     `json:"limits,omitempty"`
}

// Snapshot writes the state. Equal states give equal bytes.
func (m *Machine) Snapshot() ([]byte, error) {
	return json.Marshal(snapshot{
		Version: snapshotVersion, Policy: m.version, Alerts: m.alerts.sorted(), Over: m.alerts.over, Before: m.alerts.before.stored(),
		Groups: m.groups, Silences: m.silences.stored(), Acks: m.acks.stored(), Outbox: m.outbox.stored(), Limits: m.outbox.storedLanes(),
	})
}

// Restore returns a machine with the state that Snapshot wrote, ready to apply what the journal holds after it.
func Restore(b []byte) (*Machine, error) {
	s := snapshot{Groups: grouping.NewSet()}
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	if s.Version != snapshotVersion {
		return nil, fmt.Errorf("snapshot is of version %d, this alertd reads %d", s.Version, snapshotVersion)
	}
	m := New()
	for _, a := range s.Alerts {
		m.alerts.put(a.At, *a)
	}
	m.alerts.over = nil
	clear(m.alerts.bye)
	for _, f := range s.Over {
		m.alerts.part(f)
	}
	for _, e := range s.Before {
		m.alerts.before[e.Fingerprint] = e.Episodes
	}
	m.silences.restore(s.Silences)
	for _, sa := range s.Acks {
		m.acks[sa.Fingerprint] = sa.Ack
	}
	m.groups, m.outbox, m.version = s.Groups, restoreOutbox(s.Outbox, s.Limits), s.Policy
	return m, nil
}
