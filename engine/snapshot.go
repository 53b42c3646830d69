package engine

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"alertd"
	"alertd/grouping"
)

// snapshotVersion is raised when the form changes; an older snapshot is then not read and the journal is folded
// from its start.
const snapshotVersion = 1

type snapshot struct {
	Version  int              `json:"version"`
	Policy   string           `json:"policy"`
	Over     []farewell       `json:"over,omitempty"`
	Before   []storedEpisodes `json:"before,omitempty"`
	Silences []storedSilence  `json:"silences,omitempty"`
	Acks     []storedAck      `json:"acks,omitempty"`
	Outbox   []storedLine     `json:"outbox"`
	Limits   []storedLane     `json:"limits,omitempty"`

	// Written by themselves: of a storm, they are nearly all there is.
	Groups *grouping.Set   `json:"groups,omitempty"`
	Alerts []*alertd.Alert `json:"alerts,omitempty"`
}

// Frozen is the state of a machine at an instant. Nobody changes it, so any goroutine may write it while the machine goes on.
type Frozen struct {
	rest   snapshot
	groups *grouping.Frozen
	alerts []*alertd.Alert // in any order
}

// Freeze copies what changes, and not the alerts, of which each change makes a new one. Writing the state takes fifty times as long.
func (m *Machine) Freeze() *Frozen {
	return &Frozen{
		rest: snapshot{
			Version: snapshotVersion, Policy: m.version, Over: slices.Clone(m.alerts.over), Before: m.alerts.before.stored(),
			Silences: m.silences.stored(), Acks: m.acks.stored(), Outbox: m.outbox.stored(), Limits: m.outbox.storedLanes(),
		},
		groups: m.groups.Freeze(),
		alerts: slices.AppendSeq(make([]*alertd.Alert, 0, len(m.alerts.byPrint)), maps.Values(m.alerts.byPrint)),
	}
}

// Snapshot is the state as [Frozen.Write] writes it.
func (m *Machine) Snapshot() ([]byte, error) {
	var b bytes.Buffer
	err := m.Freeze().Write(&b)
	return b.Bytes(), err
}

// Write writes the state as JSON. Equal states give equal bytes. The alerts are never in memory at once.
func (f *Frozen) Write(w io.Writer) error {
	rest, err := json.Marshal(f.rest)
	if err != nil {
		return err
	}
	groups, err := f.groups.MarshalJSON()
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 64<<10) // keeps the first error
	_, _ = out.Write(rest[:len(rest)-1])
	_, _ = out.WriteString(`,"groups":`)
	_, _ = out.Write(groups)
	_, _ = out.WriteString(`,"alerts":[`)
	for i, a := range slices.SortedFunc(slices.Values(f.alerts), byFingerprint) {
		b, err := json.Marshal(a)
		if err != nil {
			return err
		}
		if i > 0 {
			_ = out.WriteByte(',')
		}
		_, _ = out.Write(b)
	}
	_, _ = out.WriteString("]}")
	return out.Flush()
}

// Restore returns a machine with the state that [Frozen.Write] wrote, ready to apply what the journal holds after it.
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
		m.alerts.put(a.At, a)
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
