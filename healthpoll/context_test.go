package healthpoll

import (
	"io"
	"net/http"
	"testing"
	"time"
)

// TestContext learns from an answer where the service runs, what its checks are about, and in which trace it answered.
func TestContext(t *testing.T) {
	const (
		trace, other = "4bf92f3577b34da6a3ce929d0e0e4736", "0af7651916cd43dd8448eb211c80319c"
		span         = "00f067aa0ba902b7"
		sick         = `{"status":"unhealthy","environment":"prod","checks":{"db":{"status":"unhealthy","component":"pg-main"},"tmp":{"status":"healthy","local":true}}}`
		told         = `{"status":"degraded","trace_id":"` + other + `","checks":{}}`
		well         = `{"status":"healthy","checks":{}}`
	)
	for _, c := range []struct {
		name, header, value, body, of string
		wantTrace, wantEnvironment    string
	}{
		{"the standard's header", "Traceresponse", "00-" + trace + "-" + span + "-01", sick, "", trace, "prod"},
		{"the header that many use", "traceparent", "00-" + trace + "-" + span + "-01", sick, "", trace, "prod"},
		{"a trace that nobody keeps", "Traceresponse", "00-" + trace + "-" + span + "-00", sick, "", "", "prod"},
		{"nonsense", "Traceresponse", "yes", sick, "", "", "prod"},
		{"the body", "Traceresponse", "00-" + trace + "-" + span + "-01", told, "", other, ""},
		{"nothing is wrong", "Traceresponse", "00-" + trace + "-" + span + "-01", well, "", "", ""},
		{"the target knows better", "", "", sick, "staging", "", "staging"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ready := func(w http.ResponseWriter, _ *http.Request) {
				if c.header != "" {
					w.Header().Set(c.header, c.value)
				}
				if c.body == sick {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
				_, _ = io.WriteString(w, c.body)
			}
			p := poller(t, Options{})
			target := Target{Service: "api", URL: serve(t, page(200, well), ready), Environment: c.of}
			if err := target.Normalize(); err != nil {
				t.Fatal(err)
			}
			target.Timeout = 30 * time.Second
			var m memory
			h, tell := m.judge(&target, p.probe(t.Context(), &watch{Target: target}).answers, noDoubt, time.Now())
			if !tell || h.TraceID != c.wantTrace || h.Environment != c.wantEnvironment {
				t.Errorf("%+v, want trace %q in %q", h, c.wantTrace, c.wantEnvironment)
			}
			if !h.Checks[checkReady].Local || !h.Checks[checkLive].Local {
				t.Errorf("what the poller adds is about this service: %+v", h.Checks)
			}
			if db, tmp := h.Checks["db"], h.Checks["tmp"]; c.body == sick && (db.Component != "pg-main" || db.Local || !tmp.Local) {
				t.Errorf("%+v", h.Checks)
			}
		})
	}
}
