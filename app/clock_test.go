package app

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"alertd"
	"alertd/engine"
)

// A clock that is set back ends the reign, and the next one, whatever was written meanwhile, lets nobody wait for the clock.
func TestClockSetBack(t *testing.T) {
	now := time.Date(2026, 1, 14, 20, 0, 0, 0, time.UTC)
	a := &App{log: slog.New(slog.DiscardHandler)}
	l := &leader{App: a, machine: engine.New(), written: now}
	for _, next := range []time.Duration{time.Second, 0, 24 * time.Hour, 24*time.Hour - clockStep} {
		if err := l.goesOn(now.Add(next)); err != nil {
			t.Errorf("%s later: %v", next, err)
		}
	}
	last := l.turnedAt
	if err := l.goesOn(last.Add(-time.Hour)); !errors.Is(err, errClockSetBack) {
		t.Errorf("an hour back: %v", err)
	}
	l = &leader{App: a, machine: engine.New(), written: last.Add(-time.Hour)}
	entries := l.behindJournal(last.Add(-time.Hour))
	if len(entries) != 1 || entries[0].ClockSet == nil || *entries[0].ClockSet != (alertd.ClockSet{Back: time.Hour}) {
		t.Errorf("after an hour back: %+v", entries)
	}
	if entries := l.behindJournal(last); entries != nil {
		t.Errorf("and once more: %+v", entries)
	}
	// A node whose clock is behind that of the one that led before.
	l.written = last.Add(5 * time.Minute)
	if entries := l.behindJournal(last); len(entries) != 1 || entries[0].ClockSet.Back != 5*time.Minute {
		t.Errorf("five minutes behind: %+v", entries)
	}
}
