package healthpoll

import (
	"cmp"
	"fmt"
	"maps"
	"time"

	"alertd"
)

const (
	minFrozen  = time.Minute // how long a timestamp may stand still, at least
	frozenRuns = 3           // and in intervals
)

// memory is what the poller keeps of a target between probes.
type memory struct {
	decided bool      // something was published
	told    string    // in which environment
	down    bool      // unhealthy, until enough good answers in a row
	misses  int       // in a row
	goods   int       // in a row, while down
	first   time.Time // of the misses in a row
	held    bool      // enough misses, but perhaps it is us
	bad     [2]bool   // the answers that were unhealthy last time, by their place
	lost    []string  // the checks of the service that were unhealthy when it last was by its own word

	stamp time.Time // newest timestamp of a body
	since time.Time // when it was first seen, by our clock
}

// judge makes the event of what came back. See the package's comment for what counts how. guard says, of a target
// that would become unhealthy because it cannot be reached, whether to wait for more evidence. tell is false where
// nothing can be said yet.
func (m *memory) judge(t *Target, answers []answer, guard func(first time.Time) doubt, now time.Time) (h alertd.Health, tell bool) {
	missed, network, worst := false, true, alertd.Healthy
	for i := range answers {
		a := &answers[i]
		if frozen := m.frozen(t, a.report.Timestamp, now); frozen > 0 && !a.missed && a.status != alertd.Unhealthy {
			a.status = alertd.Unhealthy
			a.reason = fmt.Sprintf("%s: the body's timestamp has not changed for %s", reasonStale, frozen.Round(time.Second))
		}
		if a.missed {
			missed, network = true, network && a.network
		} else {
			worst = worst.Worse(a.status)
		}
	}
	m.held = false
	if missed {
		m.miss(t, network, guard, now)
	} else {
		m.misses = 0
	}
	switch {
	case worst == alertd.Unhealthy:
		m.down, m.goods = true, 0 // its own word counts at once
	case missed:
		m.goods = 0
	case m.down:
		if m.goods++; m.goods >= t.Rise {
			m.down, m.goods = false, 0
		}
	}
	if missed && !m.down && (!m.decided || m.held || m.misses == 0) {
		return alertd.Health{}, false
	}
	m.decided = true
	h = m.event(t, answers, now)
	m.told = h.Environment
	return h, true
}

// miss counts one, and decides whether it is the one that counts.
func (m *memory) miss(t *Target, network bool, guard func(time.Time) doubt, now time.Time) {
	if m.misses == 0 {
		m.first = now
	}
	m.misses = min(m.misses+1, t.Fall)
	if m.down {
		return
	}
	if network {
		switch d := guard(m.first); {
		case d == blind:
			m.misses = 0 // it says nothing about the target
			return
		case d == suspicious && m.misses == t.Fall:
			m.held = true
			return
		}
	}
	m.down = m.misses == t.Fall
}

// event puts together what is published.
func (m *memory) event(t *Target, answers []answer, now time.Time) alertd.Health {
	h := alertd.Health{
		Service: t.Service, Environment: t.Environment, Status: alertd.Healthy,
		Checks: map[string]alertd.HealthCheck{}, Timestamp: now.UTC().Truncate(time.Millisecond),
	}
	for i, a := range answers {
		maps.Copy(h.Checks, a.report.Checks)
		h.Environment = cmp.Or(h.Environment, a.report.Environment)
		// What we add is about this way to this service, and no part that others have, too.
		c := alertd.HealthCheck{Status: a.status, LatencyMS: milliseconds(a.took), Error: a.reason, Local: true}
		switch {
		case a.missed && (m.misses == t.Fall || m.bad[i]):
			c.Status = alertd.Unhealthy
			if m.misses == t.Fall && t.Fall > 1 {
				c.Error += fmt.Sprintf(" (%d times in a row)", t.Fall)
			}
		case a.missed:
			c.Status = alertd.Degraded
			c.Error += fmt.Sprintf(" (%d of %d)", m.misses, t.Fall)
		case m.down && m.bad[i] && c.Status != alertd.Unhealthy:
			c.Status = alertd.Unhealthy
			c.Error = fmt.Sprintf("answers again; unhealthy until %d good answers in a row", t.Rise)
		}
		m.bad[i] = c.Status == alertd.Unhealthy
		h.Status = h.Status.Worse(c.Status)
		answers[i].shown = c
		if c.Status != alertd.Healthy {
			h.TraceID, h.SpanID = a.report.TraceID, a.report.SpanID
		}
	}
	m.carry(h.Checks, t.Rise)
	for _, a := range answers { // last, so that no check of the service takes their names
		h.Checks[a.check] = a.shown
	}
	return h
}

// undecided reports whether the target is to be asked again soon: a threshold is not reached yet.
func (m *memory) undecided(t *Target) bool {
	return 0 < m.misses && m.misses < t.Fall || m.held || m.down && m.goods > 0
}

// frozen is how long the timestamp has been standing still, if that is too long.
func (m *memory) frozen(t *Target, stamp, now time.Time) time.Duration {
	if stamp.IsZero() {
		return 0
	}
	if !stamp.Equal(m.stamp) {
		m.stamp, m.since = stamp, now
		return 0
	}
	if d := now.Sub(m.since); d > max(minFrozen, frozenRuns*t.Interval) {
		return d
	}
	return 0
}

// milliseconds has a resolution of a microsecond; more would be noise.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// carry keeps unhealthy what made the service so until it is believed to be well again. Otherwise it would be down for a while
// without a cause.
func (m *memory) carry(checks map[string]alertd.HealthCheck, rise int) {
	switch {
	case !m.down:
		m.lost = nil
	case m.goods == 0 && len(checks) > 0:
		m.lost = m.lost[:0]
		for name, c := range checks {
			if c.Status == alertd.Unhealthy {
				m.lost = append(m.lost, name)
			}
		}
	default:
		for _, name := range m.lost {
			if c, told := checks[name]; told && c.Status != alertd.Unhealthy {
				c.Status, c.Error = alertd.Unhealthy, fmt.Sprintf("well again; unhealthy until %d good answers in a row", rise)
				checks[name] = c
			}
		}
	}
}
