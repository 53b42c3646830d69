package api

import (
	"io"
	"net/http"
	"time"

	"alertd"
)

// live says that the process answers, and nothing else: a supervisor restarts what is not alive, and no restart
// of alertd mends NATS.
func (a *api) live(w http.ResponseWriter, r *http.Request) error {
	return writeHealth(w, alertd.Health{Status: alertd.Healthy, Timestamp: a.o.Now()})
}

// ready says whether alertd can do its work. Degraded still answers 200: it does.
func (a *api) ready(w http.ResponseWriter, r *http.Request) error {
	return writeHealth(w, a.health(r))
}

func (a *api) health(r *http.Request) alertd.Health {
	if a.o.Ready == nil {
		return alertd.Health{Status: alertd.Healthy, Timestamp: a.o.Now()}
	}
	return a.o.Ready(r.Context())
}

func writeHealth(w http.ResponseWriter, h alertd.Health) error {
	h.Service = "" // the body has no such field; it says whose it is by where it is
	h.Timestamp = h.Timestamp.UTC().Truncate(time.Second)
	if h.Checks == nil {
		h.Checks = map[string]alertd.HealthCheck{}
	}
	return writeJSON(w, statusOf(h), h)
}

func statusOf(h alertd.Health) int {
	if h.Status == alertd.Unhealthy {
		return http.StatusServiceUnavailable
	}
	return http.StatusOK
}

// plainHealthy and plainReady are the paths that Prometheus's and Alertmanager's probes ask.
func (a *api) plainHealthy(w http.ResponseWriter, r *http.Request) error {
	return writeText(w, http.StatusOK, "OK\n")
}

func (a *api) plainReady(w http.ResponseWriter, r *http.Request) error {
	h := a.health(r)
	text := "OK\n"
	if h.Status == alertd.Unhealthy {
		text = "unhealthy: see /health/ready\n"
	}
	return writeText(w, statusOf(h), text)
}

func writeText(w http.ResponseWriter, status int, text string) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
	return nil
}
