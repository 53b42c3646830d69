package app

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"alertd"
)

// state is how a part of the daemon fares, as the last operation on it saw.
type state struct {
	mu    sync.Mutex
	err   error
	since time.Time
}

func (s *state) ok() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = nil
}

func (s *state) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.since = time.Now()
	}
	s.err = err
}

func (s *state) get() (since time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since, s.err
}

// ruleErrors remembers which rules could not be evaluated lately.
type ruleErrors struct {
	mu   sync.Mutex
	last map[string]ruleError
}

type ruleError struct {
	at     time.Time
	logged time.Time
	err    string
}

// note remembers an error and says whether it is worth a line in the log.
func (r *ruleErrors) note(rule, err string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = map[string]ruleError{}
	}
	e := r.last[rule]
	now := time.Now()
	fresh := now.Sub(e.logged) > time.Minute
	if fresh {
		e.logged = now
	}
	e.at, e.err = now, err
	r.last[rule] = e
	return fresh
}

// recent returns how many rules failed within a duration, and one of their errors.
func (r *ruleErrors) recent(within time.Duration) (n int, example string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for rule, e := range r.last {
		if time.Since(e.at) > within {
			continue
		}
		n++
		if text := rule + ": " + e.err; example == "" || text < example {
			example = text
		}
	}
	return n, example
}

// overload is how long a key of a rule waits while more events arrive than can be judged one by one. The loop notes it before it judges
// them: while it has no time to answer is when somebody wants to know why. It is safe for concurrent use.
type overload struct{ settle atomic.Int64 }

// note notes the settle delay, and whether it is longer than it should be.
func (o *overload) note(settle time.Duration, behind bool) {
	if !behind {
		settle = 0
	}
	o.settle.Store(int64(settle))
}

// get is nil while every event is judged as it comes.
func (o *overload) get() error {
	if settle := time.Duration(o.settle.Load()); settle > 0 {
		return rulesBehind(settle)
	}
	return nil
}

// unwell is why this node does not lead though no other one does, as far as it knows.
func (a *App) unwell(ctx context.Context) error {
	if since, err := a.leadState.get(); err != nil {
		return errorSince(err, since)
	}
	return a.bus.Ping(ctx)
}

// readiness is the body of /health/ready. Each check measures itself; together they take as long as the slowest.
func (a *App) readiness(ctx context.Context) alertd.Health {
	ctx, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	checks := map[string]func(context.Context) (alertd.HealthStatus, error){
		"nats":    a.checkNATS,
		"journal": a.checkJournal,
		"history": a.checkHistory,
		"rules":   a.checkRules,
	}
	h := alertd.Health{Status: alertd.Healthy, Checks: map[string]alertd.HealthCheck{}, Timestamp: clock()}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, check := range checks {
		wg.Go(func() {
			started := time.Now()
			worst, err := check(ctx)
			c := alertd.HealthCheck{Status: alertd.Healthy, LatencyMS: milliseconds(time.Since(started))}
			if err != nil {
				c.Status, c.Error = worst, err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			h.Checks[name] = c
		})
	}
	wg.Wait()
	h.Checks["notifier"] = a.outbox.Health()
	for _, c := range h.Checks {
		h.Status = h.Status.Worse(c.Status)
	}
	return h
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}

// checkNATS asks whether the server answers, and lets us do what we need. What a subject is for says another check.
func (a *App) checkNATS(ctx context.Context) (alertd.HealthStatus, error) {
	if err := a.bus.Ping(ctx); err != nil {
		return alertd.Unhealthy, err
	}
	return alertd.Degraded, a.bus.Denied()
}

// checkJournal asks whether what is decided can be remembered: without that nothing is sent.
func (a *App) checkJournal(ctx context.Context) (alertd.HealthStatus, error) {
	if since, err := a.journalState.get(); err != nil {
		return alertd.Unhealthy, errorSince(err, since)
	}
	if since, err := a.leadState.get(); err != nil && !a.leading.now() {
		return alertd.Unhealthy, errorSince(err, since)
	}
	if _, err := a.journal.Last(ctx); err != nil || a.leading.now() {
		return alertd.Unhealthy, err
	}
	return a.notLeading(ctx)
}

// notLeading is how well a node is that does not lead: well enough where another one does, which takes what comes to this one.
func (a *App) notLeading(ctx context.Context) (alertd.HealthStatus, error) {
	if err := a.led(ctx); err != nil {
		return alertd.Unhealthy, err
	}
	return alertd.Degraded, errStandby
}

// led asks whether another node leads. With an embedded server there is nobody else who could.
func (a *App) led(ctx context.Context) error {
	if a.bus.Embedded() {
		return errNotLeading
	}
	ctx, stop := context.WithTimeout(ctx, leaseTTL/2)
	defer stop()
	if err := a.nodes.Led(ctx); err != nil {
		return fmt.Errorf("%w: %w", errNobodyLeads, err)
	}
	return nil
}

// historyLate is from when on a history that catches up is worth a word.
const historyLate = 10 * time.Second

// checkHistory asks whether the history can be read and follows the journal. Pages go out without it.
func (a *App) checkHistory(ctx context.Context) (alertd.HealthStatus, error) {
	if since, err := a.historyState.get(); err != nil {
		return alertd.Degraded, errorSince(err, since)
	}
	if behind := a.behind(ctx); behind >= historyLate {
		return alertd.Degraded, historyBehind(behind)
	}
	return alertd.Degraded, a.history.Ping(ctx)
}

// checkRules asks whether the loop turns and the rules can be evaluated.
func (a *App) checkRules(ctx context.Context) (alertd.HealthStatus, error) {
	if n, example := a.ruleErrors.recent(5 * time.Minute); n > 0 {
		return alertd.Degraded, rulesFailing(n, example)
	}
	if !a.leading.now() {
		return a.notLeading(ctx)
	}
	turns, behind := a.ask(ctx, func(*leader) {}), a.overload.get()
	switch {
	case turns != nil && behind != nil:
		return alertd.Unhealthy, fmt.Errorf("%w; %w", turns, behind)
	case turns != nil:
		return alertd.Unhealthy, turns
	default:
		return alertd.Degraded, behind
	}
}
