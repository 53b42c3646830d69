package app

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/engine"
	"alertd/router"
)

// TestFreeze: the loop decides on while a state is saved, which is saved as it was, and one at a time.
func TestFreeze(t *testing.T) {
	l := &leader{machine: engine.New()}
	now := time.Date(2026, 3, 27, 6, 0, 0, 0, time.UTC)
	l.machine.Step(now, engine.PolicyChanged{Policy: &engine.Policy{Route: &router.Route{Receiver: "ops"}, Receivers: []engine.Receiver{{Name: "ops"}}}})
	post := func(name string) {
		l.machine.Step(now, engine.AlertsPosted{Alerts: []alertd.Posted{{Labels: labels.FromStrings("alertname", name)}}, ResolveTimeout: time.Hour})
	}
	post("One")
	l.checkpoint = 7
	state := l.freeze()
	state.ctx = t.Context()
	post("Two")
	l.checkpoint = 8
	var b bytes.Buffer
	n, err := state.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Errorf("%d of %d bytes, %v", n, b.Len(), err)
	}
	var s saved
	if err := json.Unmarshal(b.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	if m, err := engine.Restore(s.Engine); err != nil || s.Checkpoint != 7 || m.Len() != 1 {
		t.Errorf("saved: checkpoint %d, %+v, %v", s.Checkpoint, m, err)
	}
	l.unsaved, l.saving = snapshotEvery, make(chan struct{})
	if l.saveAside(t.Context()); l.unsaved != snapshotEvery {
		t.Error("another one is begun before that is written")
	}
}

// A process that ends does not wait until a state is written that nobody needs any more.
func TestSavingEnds(t *testing.T) {
	l := &leader{machine: engine.New()}
	ctx, cancel := context.WithCancel(t.Context())
	state := l.freeze()
	state.ctx = ctx
	cancel()
	if _, err := state.WriteTo(io.Discard); err == nil {
		t.Error("all of it was written")
	}
}
