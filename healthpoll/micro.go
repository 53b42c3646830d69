package healthpoll

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"alertd"
)

const (
	// microSubject is what every instance of every NATS micro service answers on.
	microSubject = "$SRV.PING"
	// microType is how an answer says what it is.
	microType = "io.nats.micro.v1.ping_response"

	maxInstances  = 10_000           // of all services; what comes on top is passed over
	forgetOne     = 15 * time.Minute // after which a missing instance was not meant to stay
	forgetService = 24 * time.Hour   // and a service of which no instance answers
	maxGone       = 3                // missing instances that are named
)

// Micro says that NATS micro services are looked for, and how often. One question reaches all instances of all
// services: who answers is a service from then on, and who does not any more is missed. The fields are those of a
// [Target], with the same defaults; Environment is that of services whose metadata do not say "environment".
type Micro struct {
	Environment  string
	Interval     time.Duration
	Timeout      time.Duration
	Fall         int // rounds that an instance misses until it is gone
	FastInterval time.Duration
}

// Normalize fills in what is missing. The error is a [*TargetError] and says what is wrong with the rest.
func (m *Micro) Normalize() error {
	t := Target{
		Service: "nats_micro", URL: kindNATS + ":" + microSubject, Environment: m.Environment,
		Interval: m.Interval, Timeout: m.Timeout, Fall: m.Fall, FastInterval: m.FastInterval,
	}
	if err := t.Normalize(); err != nil {
		return err
	}
	*m = Micro{t.Environment, t.Interval, t.Timeout, t.Fall, t.FastInterval}
	return nil
}

// SetMicro begins, changes or ends (nil) the search for NATS micro services. A change keeps what is known of them, an end
// does not, and what was published about them is withdrawn. A value that is not valid is logged and ends it.
func (p *Poller) SetMicro(m *Micro) {
	if m != nil {
		c := *m
		m = &c
		if err := m.Normalize(); err != nil {
			p.log.Error("micro services are not looked for", "error", err)
			m = nil
		}
	}
	p.mu.Lock()
	p.micro, p.anew = m, p.anew || m == nil
	p.mu.Unlock()
	poke(p.look)
}

// discover looks for micro services until ctx ends.
func (p *Poller) discover(ctx context.Context) {
	var known census
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.look:
		case <-timer.C:
		}
		p.mu.Lock()
		m := p.micro
		if p.anew {
			for _, name := range slices.Sorted(maps.Keys(known.services)) {
				p.withdraw(name, known.services[name].environment, nil)
			}
			known, p.anew = census{}, false
		}
		p.mu.Unlock()
		if m == nil {
			timer.Reset(time.Hour) // whoever sets it wakes us
			continue
		}
		started := time.Now()
		if !p.connected() {
			timer.Reset(m.Interval)
			continue // nothing is known of those behind NATS
		}
		pongs, err := p.pingAll(ctx, m)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil || !p.connected():
			timer.Reset(m.Interval)
			continue
		}
		p.mu.Lock()
		reports, over := known.take(m, pongs, p.named, time.Now())
		p.mu.Unlock()
		if over > 0 {
			p.log.Warn("more instances of micro services than are kept", "most", maxInstances, "left out", over)
		}
		for _, h := range reports {
			p.send(ctx, h)
		}
		next := m.Interval
		if known.undecided(m) {
			next = m.FastInterval
		}
		timer.Reset(max(0, next-time.Since(started)))
	}
}

// pong is what an instance of a micro service answers.
type pong struct {
	Type     string            `json:"type"`
	Name     string            `json:"name"`
	ID       string            `json:"id"`
	Metadata map[string]string `json:"metadata"`

	took time.Duration
}

// pingAll asks all instances of all micro services, and returns what comes within the timeout.
func (p *Poller) pingAll(ctx context.Context, m *Micro) (pongs []pong, err error) {
	inbox := p.nats.NewInbox()
	sub, err := p.nats.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection may be gone
	ctx, cancel := context.WithTimeout(ctx, m.Timeout)
	defer cancel()
	asked := time.Now()
	if err := p.nats.PublishRequest(microSubject, inbox, nil); err != nil {
		return nil, err
	}
	for len(pongs) <= 2*maxInstances {
		msg, err := sub.NextMsgWithContext(ctx)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return pongs, nil
		case errors.Is(err, nats.ErrNoResponders): // there is none at all
			return nil, nil
		case err != nil:
			return nil, err
		}
		a := pong{took: time.Since(asked)}
		if len(msg.Data) <= maxBody && json.Unmarshal(msg.Data, &a) == nil && a.Type == microType && a.ID != "" && len(a.ID) <= maxName {
			pongs = append(pongs, a)
		}
	}
	return pongs, nil
}

// census is what is known of the instances of micro services. The zero value knows none.
type census struct {
	services  map[string]*crew
	instances int
}

// crew are the instances of one service.
type crew struct {
	environment string
	byID        map[string]*instance
	heard       time.Time     // when one of them answered last
	took        time.Duration // of the slowest answer in this round
}

type instance struct {
	first, last time.Time // that it answered
	missed      int       // rounds in a row
}

// take learns from one round, and says how the services are. Those that are targets already are left to that. It also
// returns how many instances it has passed over.
func (c *census) take(m *Micro, pongs []pong, taken map[string]string, now time.Time) (reports []alertd.Health, over int) {
	if c.services == nil {
		c.services = map[string]*crew{}
	}
	for _, s := range c.services {
		s.took = 0
		for _, i := range s.byID {
			i.missed++
		}
	}
	for _, a := range pongs {
		t := Target{Service: a.Name, URL: kindNATS + ":" + microSubject}
		if _, is := taken[a.Name]; is || t.Normalize() != nil {
			continue
		}
		s := c.services[a.Name]
		if s == nil || s.byID[a.ID] == nil {
			if c.instances == maxInstances {
				over++
				continue
			}
			c.instances++
			if s == nil {
				s = &crew{byID: map[string]*instance{}}
				c.services[a.Name] = s
			}
			s.byID[a.ID] = &instance{first: now}
		}
		i := s.byID[a.ID]
		i.last, i.missed, s.heard = now, 0, now
		s.took = max(s.took, a.took)
		s.environment = cut(cmp.Or(a.Metadata["environment"], m.Environment), maxName)
	}
	for _, name := range slices.Sorted(maps.Keys(c.services)) {
		s := c.services[name]
		c.instances -= s.forget(m, now)
		_, target := taken[name]
		if len(s.byID) == 0 || target {
			c.instances -= len(s.byID)
			delete(c.services, name)
			if !target {
				reports = append(reports, alertd.Health{
					Service: name, Environment: s.environment, Timestamp: now.UTC().Truncate(time.Millisecond), Withdrawn: true,
				})
			}
			continue
		}
		if h, tell := s.report(name, m, now); tell {
			reports = append(reports, h)
		}
	}
	return reports, over
}

// forget drops the instances that are gone and in whose place others have come, or that were not meant to stay. It
// returns how many.
func (s *crew) forget(m *Micro, now time.Time) (n int) {
	gone := s.gone(m)
	for _, id := range gone {
		i := s.byID[id]
		replaced := false
		for _, j := range s.byID {
			// A successor answers for one predecessor: from then on it is as old as that.
			if j.missed == 0 && j.first.After(i.last) {
				j.first, replaced = i.first, true
				break
			}
		}
		late := forgetOne
		if len(gone) == len(s.byID) {
			late = forgetService
		}
		if replaced || now.Sub(i.last) >= late {
			delete(s.byID, id)
			n++
		}
	}
	return n
}

// gone are the instances that have missed too many rounds, the one that was heard last first.
func (s *crew) gone(m *Micro) (ids []string) {
	for id, i := range s.byID {
		if i.missed >= m.Fall {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b string) int {
		return cmp.Or(s.byID[b].last.Compare(s.byID[a].last), strings.Compare(a, b))
	})
	return ids
}

// report says how a service is. While it is not clear whether the only instances are gone there is nothing to say.
func (s *crew) report(name string, m *Micro, now time.Time) (h alertd.Health, tell bool) {
	gone := s.gone(m)
	here := 0
	for _, i := range s.byID {
		if i.missed == 0 {
			here++
		}
	}
	check := alertd.HealthCheck{Status: alertd.Healthy, LatencyMS: milliseconds(s.took), Local: true}
	switch {
	case len(gone) == len(s.byID):
		check.Status = alertd.Unhealthy
		check.Error = fmt.Sprintf("%s: none of %d instances answers on %s.%s, for %s", reasonRefused, len(gone), microSubject, name, now.Sub(s.heard).Round(time.Second))
	case here == 0:
		return alertd.Health{}, false
	case len(gone) > 0:
		check.Status = alertd.Degraded
		more := ""
		if over := len(gone) - maxGone; over > 0 {
			more = fmt.Sprintf(" and %d more", over)
		}
		check.Error = cut(fmt.Sprintf("%s: %d of %d instances answer; gone: %s%s", reasonTimeout, here, len(s.byID), strings.Join(gone[:min(len(gone), maxGone)], ", "), more), maxReason)
	}
	return alertd.Health{
		Service: name, Environment: s.environment, Status: check.Status, Timestamp: now.UTC().Truncate(time.Millisecond),
		Checks: map[string]alertd.HealthCheck{kindNATS: check},
	}, true
}

// undecided reports whether an instance is being missed and not gone yet.
func (c *census) undecided(m *Micro) bool {
	for _, s := range c.services {
		for _, i := range s.byID {
			if 0 < i.missed && i.missed < m.Fall {
				return true
			}
		}
	}
	return false
}
