package healthpoll

import (
	"context"
	"time"

	"alertd"
)

// leave plans the last report on a target that is none any more, unless its service is still asked in that environment:
// without one, what was said last would be believed for a while, and be missed after that. The poller's lock is held.
func (p *Poller) leave(w *watch) {
	if w.decided {
		p.withdraw(w.Service, w.told, []string{MetricPhase, MetricConfigured, MetricAchieved, MetricLag, MetricCertificate})
	}
}

// withdraw plans a last report. The metrics go with it if the service is no target at all. The poller's lock is held.
func (p *Poller) withdraw(service, environment string, metrics []string) {
	now, still := p.named[service]
	if still {
		if now == "" || now == environment {
			return // "": what environment it is the next answer says
		}
		metrics = nil
	}
	p.leaving = append(p.leaving, alertd.Health{
		Service: service, Environment: environment, Timestamp: time.Now().UTC().Truncate(time.Millisecond), Withdrawn: true, Metrics: metrics,
	})
}

// sayGoodbye publishes the last reports that are planned, and keeps those that cannot be published.
func (p *Poller) sayGoodbye(ctx context.Context) {
	p.mu.Lock()
	leaving := p.leaving
	p.leaving = nil
	p.mu.Unlock()
	for i, h := range leaving {
		if !p.send(ctx, h) {
			p.mu.Lock()
			p.leaving = append(p.leaving, leaving[i:]...)
			p.mu.Unlock()
			return
		}
	}
}

// isGone reports whether a target is none any more. An answer that comes then would be the last word on it.
func (p *Poller) isGone(w *watch) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return w.gone
}
