package healthpoll

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"alertd"
)

// OwnService is the service of the health event in which the poller says how it is itself: its check "reach" is
// unhealthy while more than half of the targets cannot be reached, its check "schedule" degraded while questions are
// asked late.
const OwnService = "alertd-healthpoll"

// The metrics that the poller publishes. Those of a target have the label service, and come once a minute.
const (
	MetricPhase       = "probe_duration_seconds"               // {service,phase}: the longest since the last report
	MetricConfigured  = "probe_configured_interval_seconds"    // {service}
	MetricAchieved    = "probe_achieved_interval_seconds"      // {service}: on average since the last report
	MetricLag         = "probe_schedule_lag_seconds"           // {service}: the longest since the last report
	MetricCertificate = "certificate_expiry_timestamp_seconds" // {service,domain}
	MetricTargets     = "healthpoll_targets"                   // {service="alertd"}
	MetricUnreached   = "healthpoll_unreached_targets"         // {service="alertd"}
	MetricMaxLag      = "healthpoll_schedule_lag_seconds"      // {service="alertd"}: the longest of all targets
	MetricStretch     = "healthpoll_interval_stretch"          // {service="alertd"}: of achieved to configured interval, the worst that was reported since
	MetricQuestions   = "healthpoll_probes_per_second"         // {service="alertd"}
	MetricBlind       = "healthpoll_blind"                     // {service="alertd"}: 1 while more than half cannot be reached
	metricsSubject    = "alertd.metrics.alertd"
	checkReach        = "reach"
	checkSchedule     = "schedule"
)

const (
	reportEvery  = time.Minute // on a target
	ownEvery     = 10 * time.Second
	flushEvery   = time.Second
	maxMessage   = 500     // metrics in a message
	maxBatch     = 100_000 // metrics that wait; more are dropped
	tolerableLag = time.Second
)

// metric is an event as ingest reads it.
type metric struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels"`
	Value  float64           `json:"value"`
	Time   time.Time         `json:"time"`
}

// record is what is to be reported on a target. The poller's lock guards it.
type record struct {
	due    time.Time // of the next report; zero before the first
	since  time.Time // of the first slot that counts
	last   time.Time // of the newest one
	slots  int       // after it
	lag    time.Duration
	took   [phases]time.Duration
	expiry time.Time
	domain string
}

// stats are what is to be reported on the poller.
type stats struct {
	asked int
	lag   time.Duration
	ratio float64 // of achieved to configured interval, the worst
	late  int     // questions that came late by half an interval or more, or not at all
}

// started notes the start of a probe.
func (s *stats) started(w *watch, now time.Time) {
	s.asked++
	lag := now.Sub(w.due)
	s.lag = max(s.lag, lag)
	if lag > max(tolerableLag, w.every()/2) {
		s.late++
	}
	rec := &w.record
	rec.lag = max(rec.lag, lag)
	if w.confirms {
		return
	}
	if rec.since.IsZero() {
		rec.since = now
	} else {
		rec.slots++
	}
	rec.last = now
}

// measure notes how long a probe took, and puts a report on the target into the batch when it is time.
func (p *Poller) measure(w *watch, r *result, started, now time.Time) {
	took, _ := r.watch.read()
	p.mu.Lock()
	defer p.mu.Unlock()
	rec := &w.record
	for i, d := range took {
		rec.took[i] = max(rec.took[i], d)
	}
	if !r.expiry.IsZero() {
		rec.expiry, rec.domain = r.expiry, r.domain
	}
	if r.nothing || started.Before(rec.due) {
		return
	}
	rec.due = started.Add(reportEvery)
	add := func(name string, value float64, label, of string) {
		if len(p.batch) < maxBatch {
			m := metric{Name: name, Labels: map[string]string{alertd.LabelService: w.Service}, Value: value, Time: now.UTC().Truncate(time.Millisecond)}
			if label != "" {
				m.Labels[label] = of
			}
			p.batch = append(p.batch, m)
		}
	}
	if w.kind() != kindHeartbeat { // there is nothing that we do and could do late
		for i, d := range rec.took {
			if d > 0 {
				add(MetricPhase, d.Seconds(), "phase", phaseNames[i])
			}
		}
		add(MetricConfigured, w.Interval.Seconds(), "", "")
		add(MetricLag, rec.lag.Seconds(), "", "")
		if rec.slots > 0 {
			achieved := rec.last.Sub(rec.since).Seconds() / float64(rec.slots)
			add(MetricAchieved, achieved, "", "")
			p.stats.ratio = max(p.stats.ratio, achieved/w.Interval.Seconds())
		}
	}
	if !rec.expiry.IsZero() {
		add(MetricCertificate, float64(rec.expiry.Unix()), "domain", rec.domain)
	}
	rec.since, rec.slots, rec.lag, rec.took = rec.last, 0, 0, [phases]time.Duration{}
}

// report publishes the batch every second, and how the poller itself is, until ctx ends.
func (p *Poller) report(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	own := time.Now()
	for {
		at := own.Add(ownEvery)
		select {
		case <-ctx.Done():
			return
		case <-p.tell:
			at = time.Time{} // now
		case <-tick.C:
		}
		if now := time.Now(); !now.Before(at) {
			p.self(ctx, now, now.Sub(own))
			own = now
		}
		p.flush(ctx)
		p.sayGoodbye(ctx)
	}
}

// flush publishes the metrics that wait.
func (p *Poller) flush(ctx context.Context) {
	p.mu.Lock()
	batch := p.batch
	p.batch = nil
	p.mu.Unlock()
	for len(batch) > 0 && ctx.Err() == nil {
		n := min(len(batch), maxMessage)
		payload, err := json.Marshal(batch[:n])
		if err != nil {
			p.log.Error("metrics of probes cannot be written", "error", err)
			return
		}
		p.put(ctx, metricsSubject, payload)
		batch = batch[n:]
	}
}

// self publishes how the poller is.
func (p *Poller) self(ctx context.Context, now time.Time, span time.Duration) {
	reach := p.guard.reason()
	p.mu.Lock()
	s := p.stats
	p.stats = stats{}
	targets := len(p.targets)
	if head := p.head(); head != nil { // what waits now counts too
		s.lag = max(s.lag, now.Sub(head.due))
	}
	if targets == 0 {
		p.mu.Unlock()
		return
	}
	blind := 0.0
	if reach != "" {
		blind = 1
	}
	at := now.UTC().Truncate(time.Millisecond)
	for _, m := range []struct {
		name  string
		value float64
	}{
		{MetricTargets, float64(targets)},
		{MetricUnreached, float64(p.guard.unreached())},
		{MetricMaxLag, s.lag.Seconds()},
		{MetricStretch, s.ratio},
		{MetricQuestions, float64(s.asked) / max(span.Seconds(), 1)},
		{MetricBlind, blind},
	} {
		if m.name == MetricStretch && m.value == 0 {
			continue // no target has reported
		}
		p.batch = append(p.batch, metric{Name: m.name, Labels: map[string]string{alertd.LabelService: "alertd"}, Value: m.value, Time: at})
	}
	p.mu.Unlock()

	h := alertd.Health{Service: OwnService, Status: alertd.Healthy, Timestamp: at, Checks: map[string]alertd.HealthCheck{
		checkReach: {Status: alertd.Healthy, Local: true}, checkSchedule: {Status: alertd.Healthy, Local: true},
	}}
	if reach != "" {
		h.Status = alertd.Unhealthy
		h.Checks[checkReach] = alertd.HealthCheck{Status: alertd.Unhealthy, Error: cut(reach, maxReason), Local: true}
	}
	if s.late > 0 {
		h.Status = h.Status.Worse(alertd.Degraded)
		h.Checks[checkSchedule] = alertd.HealthCheck{Status: alertd.Degraded, Local: true, Error: fmt.Sprintf(
			"late: %d of %d questions in the last %s came late or not at all, by up to %s; give alertd more processor time, or the targets longer intervals",
			s.late, s.asked+s.late, span.Round(time.Second), s.lag.Round(time.Millisecond))}
	}
	p.send(ctx, h)
}

// head is the target that is due next, nil if none waits.
func (p *Poller) head() *watch {
	if len(p.queue) == 0 {
		return nil
	}
	return p.queue[0]
}
