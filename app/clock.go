package app

import (
	"errors"
	"fmt"
	"time"

	"alertd"
	"alertd/engine"
)

// clockStep is how far back a clock may go unnoticed. NTP corrects less without anybody seeing it.
const clockStep = 2 * time.Second

var errClockSetBack = errors.New("the clock was set back")

// clock is the one place where the daemon's decisions read the wall clock. Only tests set another one.
var clock = func() time.Time { return time.Now().Round(0).UTC() }

// goesOn notes when a turn begins, and fails if that is earlier than the last one was: due times, of which the loop is full, would then
// be far away. Whoever leads next begins with the clock as it is.
func (l *leader) goesOn(now time.Time) error {
	if back := l.turnedAt.Sub(now); back > clockStep {
		l.setBack = back
		return fmt.Errorf("%w by %s", errClockSetBack, back.Round(time.Millisecond))
	}
	l.turnedAt = now
	return nil
}

// behindJournal is what follows from a clock that shows an earlier time than the newest commit: it was set back, or that of the node before
// is ahead of ours.
func (l *leader) behindJournal(now time.Time) []alertd.Entry {
	back := max(l.written.Sub(now), l.setBack)
	l.setBack = 0
	if back <= clockStep {
		return nil
	}
	l.log.Warn("the clock is behind the journal: what waits, waits no longer for that", "behind", back.Round(time.Millisecond))
	return l.machine.Step(now, engine.ClockSetBack{By: back})
}
