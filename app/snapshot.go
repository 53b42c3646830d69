package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"alertd"
	"alertd/engine"
)

const (
	// snapshotEvery is after how many commits with decisions the state is saved, so that a restart folds little. One that has none counts
	// for a tenth of it.
	snapshotEvery = 2_000
	// snapshotAlerts is for how many alerts it is one commit more, and snapshotEntries how many entries count as one, so that a state is saved
	// about as often as it is decided anew: what saving costs an alert does not depend on how many there are.
	snapshotAlerts  = 10
	snapshotEntries = 50
)

// saved is what a snapshot holds: the engine's state, and up to which event it has been decided.
type saved struct {
	Checkpoint uint64          `json:"checkpoint"`
	Events     time.Time       `json:"events,omitzero"`  // see alertd.Commit
	Written    time.Time       `json:"written,omitzero"` // when the newest commit was
	Engine     json.RawMessage `json:"engine,omitempty"`

	// Traceparents of the newest decision about each alert, as far as they are remembered.
	Decided map[alertd.Fingerprint]string `json:"decided,omitempty"`
}

// saveAside saves the state beside the loop, which waits only while what changes is copied: to write half a million alerts takes
// seconds, in which somebody is to be paged. While one state is being written, no other one is.
func (l *leader) saveAside(ctx context.Context) {
	if l.saving != nil {
		select {
		case <-l.saving:
		default:
			return
		}
	}
	done, seq, state := make(chan struct{}), l.seq, l.freeze()
	l.saving, l.unsaved = done, 0
	l.aside.Go(func() {
		defer close(done)
		l.save(ctx, seq, state)
	})
}

// save saves the state at a sequence, so that the next start folds only what comes after it.
func (l *leader) save(ctx context.Context, seq uint64, state *frozen) {
	state.ctx = ctx
	if err := l.journal.SaveSnapshot(ctx, seq, state); err != nil && ctx.Err() == nil {
		l.log.Warn("snapshot not saved, the next start folds more of the journal", "error", err)
	}
}

// frozen is the state at an instant. It writes what saved reads, and stops where ctx ends.
type frozen struct {
	ctx  context.Context
	head saved
	*engine.Frozen
}

func (l *leader) freeze() *frozen {
	return &frozen{head: saved{Checkpoint: l.checkpoint, Events: l.eventsMade, Written: l.written, Decided: l.traces.save()}, Frozen: l.machine.Freeze()}
}

// WriteTo implements io.WriterTo.
func (f *frozen) WriteTo(w io.Writer) (n int64, err error) {
	head, err := json.Marshal(f.head)
	if err != nil {
		return 0, err
	}
	out := &counting{ctx: f.ctx, to: w}
	_, err = fmt.Fprintf(out, `%s,"engine":`, head[:len(head)-1])
	if err == nil {
		err = f.Write(out)
	}
	if err == nil {
		_, err = io.WriteString(out, "}")
	}
	return out.n, err
}

// counting counts what is written, until ctx ends.
type counting struct {
	ctx context.Context
	to  io.Writer
	n   int64
}

func (c *counting) Write(b []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	n, err := c.to.Write(b)
	c.n += int64(n)
	return n, err
}
