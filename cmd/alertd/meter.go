package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"
)

// meter shows how far a replay is, on a terminal.
type meter struct {
	to          io.Writer
	on          bool
	total, done float64 // in whatever is counted; 0: not known
	begun, next time.Time
	shown       bool
	calls       int
}

const meterEvery = 200 * time.Millisecond

func (m *meter) tick() {
	if m.calls++; !m.on || m.calls%256 != 1 {
		return
	}
	now := time.Now()
	if m.begun.IsZero() {
		m.begun, m.next = now, now.Add(meterEvery)
	}
	if now.Before(m.next) {
		return
	}
	m.next = now.Add(meterEvery)
	m.shown = true
	fmt.Fprint(m.to, "\r\x1b[K"+m.line(now))
}

// line is "[#####·····] 50%  120000 events  ETA 3s".
func (m *meter) line(now time.Time) string {
	const width = 30
	events := fmt.Sprintf("%d messages", m.calls)
	if m.total <= 0 {
		return events
	}
	part := min(m.done/m.total, 1)
	full := int(part * width)
	left := time.Duration(float64(now.Sub(m.begun)) * (1 - part) / max(part, 1e-9))
	return fmt.Sprintf("[%s%s] %3.0f%%  %s  ETA %s", strings.Repeat("#", full), strings.Repeat("·", width-full), 100*part, events,
		cmp.Or(left.Round(time.Second), time.Second))
}

func (m *meter) clear() {
	if m.shown {
		fmt.Fprint(m.to, "\r\x1b[K")
		m.shown = false
	}
}
