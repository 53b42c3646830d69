package app

import (
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"alertd"
)

// alertmanagerMetrics are what people's dashboards and alerts about an Alertmanager read, under its names and with its
// labels, as far as alertd has the same to tell. An attempt to deliver counts as one notification.
type alertmanagerMetrics struct {
	received      *prometheus.CounterVec
	invalid       *prometheus.CounterVec
	notifications *prometheus.CounterVec
	failed        *prometheus.CounterVec
	latency       *prometheus.HistogramVec
	reloadOK      prometheus.Gauge
	reloadAt      prometheus.Gauge
}

// reasons are Alertmanager's words for why a notification failed.
var reasons = map[alertd.FailureClass]string{
	alertd.FailureRateLimited: "clientError", alertd.FailureAuth: "clientError", alertd.FailureDestination: "clientError",
	alertd.FailurePayload: "clientError", alertd.FailureConfig: "clientError", alertd.FailureTemplate: "clientError",
	alertd.FailureServer: "serverError", alertd.FailureTimeout: "contextDeadlineExceeded",
}

// otherReason is the word for all other failures.
const otherReason = "other"

func newAlertmanagerMetrics(r *prometheus.Registry) alertmanagerMetrics {
	vec := func(name, help string, by ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "alertmanager_" + name, Help: help}, by)
		r.MustRegister(c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "alertmanager_" + name, Help: help})
		r.MustRegister(g)
		return g
	}
	m := alertmanagerMetrics{
		received:      vec("alerts_received_total", "Alerts that were posted and remembered.", "status", "version"),
		invalid:       vec("alerts_invalid_total", "Alerts that were posted and make no sense.", "version"),
		notifications: vec("notifications_total", "Attempts to deliver a notification.", "integration"),
		failed:        vec("notifications_failed_total", "Attempts to deliver a notification that failed, or whose end is unknown.", "integration", "reason"),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "alertmanager_notification_latency_seconds", Help: "How long attempts to deliver took.", Buckets: []float64{1, 5, 10, 15, 20},
		}, []string{"integration"}),
		reloadOK: gauge("config_last_reload_successful", "Whether the last reload of the configuration succeeded."),
		reloadAt: gauge("config_last_reload_success_timestamp_seconds", "When the configuration was last reloaded."),
	}
	r.MustRegister(m.latency)
	// What has not happened yet is 0, so that a rate has something to grow from.
	m.invalid.WithLabelValues("v2")
	for _, status := range []string{"firing", "resolved"} {
		m.received.WithLabelValues(status, "v2")
	}
	for _, integration := range []string{"console", "slack", "webhook"} {
		m.notifications.WithLabelValues(integration)
		m.latency.WithLabelValues(integration)
		for _, reason := range []string{"clientError", "serverError", "contextDeadlineExceeded", otherReason} {
			m.failed.WithLabelValues(integration, reason)
		}
	}
	return m
}

func (m *alertmanagerMetrics) reloaded(ok bool) {
	m.reloadOK.Set(0)
	if ok {
		m.reloadOK.Set(1)
		m.reloadAt.SetToCurrentTime()
	}
}

// posted counts alerts that somebody else has judged, at the time now.
func (m *alertmanagerMetrics) posted(alerts []alertd.Posted, now time.Time) {
	for i := range alerts {
		status := "firing"
		if end := alerts[i].EndsAt; !end.IsZero() && !end.After(now) {
			status = "resolved"
		}
		m.received.WithLabelValues(status, "v2").Inc()
	}
}

// attempted counts an attempt to deliver.
func (m *alertmanagerMetrics) attempted(a *alertd.Attempted) {
	integration, _, _ := strings.Cut(a.Integration, "/")
	m.notifications.WithLabelValues(integration).Inc()
	m.latency.WithLabelValues(integration).Observe(a.Latency.Seconds())
	if a.Outcome == alertd.Delivered {
		return
	}
	reason, ok := reasons[a.Class]
	if !ok {
		reason = otherReason
	}
	m.failed.WithLabelValues(integration, reason).Inc()
}

var (
	descAMAlerts   = desc("alertmanager_alerts", "Alerts that fire: active, or suppressed by a silence or by another alert.", "state")
	descAMSilences = desc("alertmanager_silences", "Silences that are kept.", "state")
	descAMConfig   = desc("alertmanager_config_hash", "The configuration in force. It tells nodes apart that have different ones.")
)

// configHash is the version of the configuration as a number.
func configHash(version string) float64 {
	n, _ := strconv.ParseUint(version, 16, 64) // 12 hexadecimal digits, which a float holds
	return float64(n)
}
