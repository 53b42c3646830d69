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
	Service   string                 `json:"service,omitempty"`
	Status    HealthStatus           `json:"status"`
	Checks    map[string]HealthCheck `json:"checks"`
	Timestamp time.Time              `json:"timestamp"`
}

// HealthCheck is one part of a [Health].
type HealthCheck struct {
	Status    HealthStatus `json:"status"`
	LatencyMS float64      `json:"latency_ms"` // milliseconds; 0 where not measured
	Error     string       `json:"error,omitempty"`
}
