package alertd

import (
	"strings"
	"time"
)

// HealthStatus is how well a service, or one part of it, says it is.
type HealthStatus string

// The three statuses, best first.
const (
	Healthy   HealthStatus = "healthy"
	Degraded  HealthStatus = "degraded"
	Unhealthy HealthStatus = "unhealthy"
)

// ParseHealthStatus reads a status without regard to case; false for any other word.
func ParseHealthStatus(s string) (HealthStatus, bool) {
	for _, status := range []HealthStatus{Healthy, Degraded, Unhealthy} {
		if strings.EqualFold(s, string(status)) {
			return status, true
		}
	}
	return "", false
}

// Worse returns the worse of two statuses.
func (s HealthStatus) Worse(t HealthStatus) HealthStatus {
	for _, w := range []HealthStatus{Unhealthy, Degraded} {
		if s == w || t == w {
			return w
		}
	}
	return Healthy
}

// HealthStands is how long a health event is believed that does not say so itself: services send one when something
// changes, and the last word counts until another one comes or this time is over.
const HealthStands = 15 * time.Minute

// Health is the body of /health/ready, ours and that of the services that we poll, and, with Service set, a
// health event on the wire.
type Health struct {
	Service     string                 `json:"service,omitempty"`
	Environment string                 `json:"environment,omitempty"` // such as "prod"; "" where there is but one
	Status      HealthStatus           `json:"status"`
	Checks      map[string]HealthCheck `json:"checks"`
	Timestamp   time.Time              `json:"timestamp"`
	TraceID     string                 `json:"trace_id,omitempty"` // of the trace in which this was found out
	SpanID      string                 `json:"span_id,omitempty"`

	// Withdrawn says that whoever reported on the service in this environment does not any more, and that nothing
	// of it counts from now on: neither health reports nor the metrics in Metrics. The rest of the report is empty.
	Withdrawn bool     `json:"withdrawn,omitempty"`
	Metrics   []string `json:"metrics,omitempty"`
}

// HealthCheck is one part of a [Health].
type HealthCheck struct {
	Status    HealthStatus `json:"status"`
	LatencyMS float64      `json:"latency_ms"` // milliseconds; 0 where not measured
	Error     string       `json:"error,omitempty"`
	Component string       `json:"component,omitempty"` // what is checked, by the name that all services know; see [ComponentOf]
	Local     bool         `json:"local,omitempty"`     // what is checked is the service's own: no other has it
}

// ComponentOf is what a check with this name is about, where nobody says: a part that other services have a check of
// the same name about, too, such as the database. The names do not differ by case. It is "" for what every service has
// for itself, such as its disk.
func ComponentOf(check string) string {
	name := strings.ToLower(check)
	switch name {
	case "live", "ready", "ping", "self", "process", "memory", "cpu", "heap", "threads", "goroutines", "uptime":
		return ""
	}
	for _, own := range []string{"liveness", "readiness", "disk"} {
		if strings.HasPrefix(name, own) {
			return ""
		}
	}
	return name
}
