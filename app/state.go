package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"alertd"
	"alertd/ingest"
)

var (
	errStandby    = alertd.ErrStandby
	errNotLeading = errors.New("it does not lead yet: it starts, or waits until the journal can be written")
	// errNobodyLeads is for some seconds after the first node has started, or the last one that led has gone.
	errNobodyLeads = errors.New("standing by, and no node that leads answers: what is posted is refused")
)

func errorSince(err error, since time.Time) error {
	return fmt.Errorf("%w (since %s)", err, since.UTC().Format(time.RFC3339))
}

func rulesFailing(n int, example string) error {
	if n == 1 {
		return fmt.Errorf("a rule could not be evaluated: %s", example)
	}
	return fmt.Errorf("%d rules could not be evaluated, one of them %s", n, example)
}

func rulesBehind(settle time.Duration) error {
	return fmt.Errorf("more events arrive than can be judged one by one: each key of a rule is evaluated at most every %s until they are read",
		settle.Round(time.Millisecond))
}

func historyBehind(behind time.Duration) error {
	return fmt.Errorf("it lacks what was decided in the last %s, and catches up from the journal", behind.Round(time.Second))
}

// leading says whether this node leads now, and tells those who wait for its loop when that is over. The zero value does not lead. It is
// safe for concurrent use.
type leading struct{ over atomic.Pointer[chan struct{}] }

func (l *leading) begin() { l.over.Store(new(make(chan struct{}))) }

func (l *leading) end() {
	if over := l.over.Swap(nil); over != nil {
		close(*over)
	}
}

// now reports whether this node leads.
func (l *leading) now() bool { return l.over.Load() != nil }

// ended is closed when the loop that turns now turns no more. It is nil while this node does not lead.
func (l *leading) ended() <-chan struct{} {
	if over := l.over.Load(); over != nil {
		return *over
	}
	return nil
}

// ask lets the loop run f between two turns: f may read everything that the loop owns, and must copy what it keeps.
func (a *App) ask(ctx context.Context, f func(*leader)) error {
	ended := a.leading.ended()
	if ended == nil {
		return errStandby
	}
	done := make(chan struct{})
	select {
	case a.queries <- func(l *leader) { f(l); close(done) }:
	case <-ended:
		return errStandby
	case <-ctx.Done():
		return fmt.Errorf("the loop does not answer: %w", context.Cause(ctx))
	}
	<-done
	return nil
}

// Alerts returns all alerts that are not inactive, as the loop knows them now.
func (a *App) Alerts(ctx context.Context) (out []alertd.Alert, err error) {
	err = a.ask(ctx, func(l *leader) { out = l.machine.Alerts(clock()) })
	return out, err
}

// Held returns what waits in groups, and until when.
func (a *App) Held(ctx context.Context) (out []alertd.Held, err error) {
	err = a.ask(ctx, func(l *leader) { out = l.machine.Held(clock()) })
	return out, err
}

// Drafts returns the digests that would leave if what calendars hold left now.
func (a *App) Drafts(ctx context.Context) (out []alertd.Draft, err error) {
	err = a.ask(ctx, func(l *leader) { out = l.machine.Drafts(clock()) })
	return out, err
}

// Services returns the last health report of every service that has sent one, by name.
func (a *App) Services(ctx context.Context) (out []alertd.Health, err error) {
	err = a.ask(ctx, func(l *leader) { out = l.services.all() })
	return out, err
}

// Checkpoint is the sequence of EVENTS up to which everything is evaluated; 0 while another node leads.
func (a *App) Checkpoint(ctx context.Context) (seq uint64) {
	_ = a.ask(ctx, func(l *leader) { seq = max(l.checkpoint, l.judged) })
	return seq
}

// services holds the last health report of each service, put together again from its samples.
type services map[string]*alertd.Health

// maxServices bounds how many are kept: enough for a dashboard, whatever publishers make up.
const maxServices = 10_000

// note takes the samples of one health event.
func (ss services) note(samples []alertd.Sample) {
	for _, s := range samples {
		name := s.Labels.Get(alertd.LabelService)
		h := ss[name]
		at := s.Time()
		if s.ValidFor == alertd.Withdrawn {
			if h != nil && !at.Before(h.Timestamp) && s.Labels.Get(alertd.LabelMetric) == ingest.MetricHealth {
				delete(ss, name)
			}
			continue
		}
		if h == nil || at.After(h.Timestamp) {
			if h == nil && len(ss) >= maxServices {
				continue
			}
			h = &alertd.Health{Service: name, Status: alertd.Healthy, Checks: map[string]alertd.HealthCheck{}, Timestamp: at}
			ss[name] = h
		}
		if at.Before(h.Timestamp) {
			continue
		}
		status := alertd.HealthStatus(s.Labels.Get("status"))
		check := s.Labels.Get("check")
		h.Environment = s.Labels.Get("environment")
		switch c := h.Checks[check]; s.Labels.Get(alertd.LabelMetric) {
		case ingest.MetricHealth:
			if s.V == 1 {
				h.Status = status
			}
		case ingest.MetricHealthCheck:
			if s.V == 1 {
				c.Status, c.Error, c.Component = status, s.Note, s.Labels.Get(alertd.LabelComponent)
				h.Checks[check] = c
			}
		case ingest.MetricCheckLatency:
			c.LatencyMS = s.V * 1000
			h.Checks[check] = c
		}
	}
}

func (ss services) all() []alertd.Health {
	out := make([]alertd.Health, 0, len(ss))
	for _, h := range ss {
		c := *h
		c.Checks = make(map[string]alertd.HealthCheck, len(h.Checks))
		maps.Copy(c.Checks, h.Checks)
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b alertd.Health) int { return cmp.Compare(a.Service, b.Service) })
	return out
}
