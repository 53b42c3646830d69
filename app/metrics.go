package app

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"alertd"
)

// metrics are alertd's own, in the form of Prometheus.
type metrics struct {
	registry         *prometheus.Registry
	events           prometheus.Counter
	samples          prometheus.Counter
	deadLetters      prometheus.Counter
	skipped          prometheus.Counter
	lost             prometheus.Counter
	transitions      *prometheus.CounterVec
	withheld         *prometheus.CounterVec
	attempts         *prometheus.CounterVec
	evaluationErrors *prometheus.CounterVec
	traceLookups     *prometheus.CounterVec
	runbookProblems  *prometheus.GaugeVec
	commit           prometheus.Histogram
	reloadOK         prometheus.Gauge
	reloadAt         prometheus.Gauge
	alertmanager     alertmanagerMetrics
}

func newMetrics(a *App) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		m.registry.MustRegister(c)
		return c
	}
	vec := func(name, help string, by ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, by)
		m.registry.MustRegister(c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		m.registry.MustRegister(g)
		return g
	}
	m.events = counter("alertd_events_received_total", "Messages read from the EVENTS stream.")
	m.samples = counter("alertd_samples_received_total", "Samples in those messages.")
	m.deadLetters = counter("alertd_dead_letters_total", "Events that could not be decoded.")
	m.skipped = counter("alertd_values_skipped_total", "Values that are no samples: texts among the fields of line protocol and of fluent-bit.")
	m.lost = counter("alertd_events_lost_total", "Events that went to retention before they were evaluated.")
	m.transitions = vec("alertd_transitions_total", "Changes of alerts' states.", "to", "severity")
	m.withheld = vec("alertd_withheld_total", "Alerts that were not told, or not yet, by reason.", "reason")
	m.attempts = vec("alertd_delivery_attempts_total", "Attempts to deliver a notification.", "receiver", "integration", "outcome", "class")
	m.evaluationErrors = vec("alertd_evaluation_errors_total", "Evaluations of rules that failed.", "rule")
	m.traceLookups = vec("alertd_trace_lookups_total", "Questions to the tracing back-end: found, missing, error; not asked, where too many were waited for.", "result")
	m.runbookProblems = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "alertd_runbook_problems",
		Help: "Alerts without a runbook (dangling), runbooks without an alert (unused) and links that lead nowhere (dead), at the last daily look.",
	}, []string{"kind"})
	m.registry.MustRegister(m.runbookProblems)
	m.commit = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "alertd_commit_duration_seconds", Help: "How long one commit to the journal takes.",
		Buckets: prometheus.ExponentialBuckets(25e-6, 2, 18),
	})
	m.reloadOK = gauge("alertd_config_last_reload_successful", "Whether the last reload of the configuration succeeded.")
	m.reloadAt = gauge("alertd_config_last_reload_timestamp_seconds", "When the configuration was last reloaded.")
	m.alertmanager = newAlertmanagerMetrics(m.registry)
	m.reloaded(true)
	m.registry.MustRegister(m.commit, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), loopCollector{a})
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

func (m *metrics) reloaded(ok bool) {
	m.alertmanager.reloaded(ok)
	m.reloadOK.Set(0)
	if ok {
		m.reloadOK.Set(1)
		m.reloadAt.SetToCurrentTime()
	}
}

// count counts what was decided.
func (m *metrics) count(e *alertd.Entry) {
	switch {
	case e.Transition != nil:
		m.transitions.WithLabelValues(string(e.Transition.Alert.State), word(e.Transition.Alert.Severity())).Inc()
	case e.Withheld != nil:
		m.withheld.WithLabelValues(string(e.Withheld.Reason)).Inc()
	case e.Attempted != nil:
		m.attempts.WithLabelValues(e.Attempted.Receiver, e.Attempted.Integration, string(e.Attempted.Outcome), string(e.Attempted.Class)).Inc()
		m.alertmanager.attempted(e.Attempted)
	}
}

// word bounds a label's values: severities that publishers make up are one.
func word(s alertd.Severity) string {
	if s.Rank() > alertd.Info.Rank() {
		return "other"
	}
	return string(s)
}

// loopCollector asks the loop for its counts when they are scraped. While nobody leads there are none.
type loopCollector struct{ app *App }

func desc(name, help string, by ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, by, nil)
}

var (
	descLeading    = desc("alertd_leading", "Whether this node leads.")
	descAlerts     = desc("alertd_alerts", "Alerts that are not inactive.", "state")
	descGroups     = desc("alertd_groups", "Groups of alerts.")
	descOutbox     = desc("alertd_outbox_notifications", "Notifications that are planned and not yet delivered.")
	descCheckpoint = desc("alertd_checkpoint_sequence", "Sequence of EVENTS up to which everything is evaluated and remembered.")
	descSeries     = desc("alertd_window_series", "Series in the window of the rules.")
	descWindow     = desc("alertd_window_samples", "Samples in the window of the rules.")
	descBytes      = desc("alertd_window_bytes", "Estimated size of the window of the rules.")
	descEvals      = desc("alertd_evaluations_total", "Evaluations of rules.", "path")
	descMissed     = desc("alertd_missed_slots_total", "Evaluations of whole rules that came too late to be made.")
	descSettle     = desc("alertd_settle_seconds", "How long a key of a rule is not evaluated again. It grows while more events arrive than can be judged one by one.")
	descLate       = desc("alertd_samples_late_total", "Samples that came after a slot that should have seen them, by whether it was evaluated again.", "slot")
	descRefused    = desc("alertd_samples_refused_total", "Samples that did not go into the window.", "reason")
)

// Describe implements prometheus.Collector.
func (c loopCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descLeading, descAlerts, descGroups, descOutbox, descCheckpoint, descSeries, descWindow, descBytes, descEvals,
		descMissed, descRefused, descSettle, descLate, descAMAlerts, descAMSilences, descAMConfig,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c loopCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, by ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, by...)
	}
	counter := func(d *prometheus.Desc, v float64, by ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, by...)
	}
	// Prometheus waits ten seconds for a scrape. While the loop is busy is when these figures matter most.
	ctx, stop := context.WithTimeout(context.Background(), 8*time.Second)
	defer stop()
	_ = c.app.ask(ctx, func(l *leader) {
		s, w := l.machine.Stats(clock()), l.evaluator.Stats()
		for _, st := range []alertd.State{alertd.Pending, alertd.Firing, alertd.Recovering, alertd.NoData, alertd.Failing, alertd.Resolved} {
			gauge(descAlerts, float64(s.Alerts[st]), string(st))
		}
		gauge(descAMAlerts, float64(s.Active-s.Suppressed), "active")
		gauge(descAMAlerts, float64(s.Suppressed), "suppressed")
		gauge(descAMAlerts, 0, "unprocessed") // who hears of an alert is known as soon as it fires
		for _, st := range []alertd.SilenceState{alertd.SilencePending, alertd.SilenceActive, alertd.SilenceExpired} {
			gauge(descAMSilences, float64(s.Silences[st]), string(st))
		}
		gauge(descGroups, float64(s.Groups))
		gauge(descOutbox, float64(s.Pending))
		gauge(descCheckpoint, float64(l.checkpoint))
		gauge(descSeries, float64(w.Series))
		gauge(descWindow, float64(w.Samples))
		gauge(descBytes, float64(w.Bytes))
		counter(descEvals, float64(w.Keyed), "keyed")
		counter(descEvals, float64(w.Whole), "whole")
		counter(descEvals, float64(w.Cheap), "cheap")
		counter(descMissed, float64(w.MissedSlots))
		settle, _ := l.evaluator.Settle()
		gauge(descSettle, settle.Seconds())
		counter(descLate, float64(w.Late), "evaluated again")
		counter(descLate, float64(w.TooLate), "stays")
		counter(descRefused, float64(w.TooNew), "too far ahead")
		counter(descRefused, float64(w.TooOld), "too late")
		counter(descRefused, float64(w.Duplicates), "duplicate")
		counter(descRefused, float64(w.Unread), "no rule reads it")
	})
	if p := c.app.current.Load(); p != nil {
		gauge(descAMConfig, configHash(p.engine.Version))
	}
	leading := 0.0
	if c.app.leading.now() {
		leading = 1
	}
	gauge(descLeading, leading)
}
