package healthpoll

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"alertd"
	"alertd/ingest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(patient{m}) }

// patient gives goroutines that are about to end the time that they need for it on a busy machine.
type patient struct{ *testing.M }

func (p patient) Run() int {
	code := p.M.Run()
	for end := time.Now().Add(30 * time.Second); code == 0 && goleak.Find() != nil && time.Now().Before(end); {
	}
	return code
}

// samples decodes an event as alertd does.
func samples(t testing.TB, payload []byte) map[string]float64 {
	t.Helper()
	var events alertd.Events
	if problems := ingest.NewDecoder().Decode("alertd.health.api", nil, time.Now(), payload, &events); problems != nil {
		t.Fatalf("%s: %v", payload, problems)
	}
	m := map[string]float64{}
	for _, s := range events.Samples {
		m[s.Labels.String()] = s.V
	}
	return m
}

// page answers with a status and a body.
func page(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

func serve(t *testing.T, live, ready http.HandlerFunc) string {
	mux := http.NewServeMux()
	mux.HandleFunc("/health/live", live)
	mux.HandleFunc("/health/ready", ready)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

const (
	healthy   = `{"status":"healthy","checks":{},"timestamp":"2026-01-15T10:30:00Z"}`
	degraded  = `{"status":"degraded","checks":{"api":{"status":"degraded","error":"slow"}}}`
	unhealthy = `{"status":"unhealthy","checks":{"database":{"status":"unhealthy","error":"connection lost"}}}`
)

// Real answers over real connections, asked until the poller has made up its mind.
func TestAnswers(t *testing.T) {
	tlsServer := httptest.NewUnstartedServer(page(200, healthy))
	tlsServer.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of us, rightly
	tlsServer.StartTLS()
	t.Cleanup(tlsServer.Close)
	hung := make(chan struct{})
	hang := func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-hung:
		case <-r.Context().Done():
		}
	}
	t.Cleanup(func() { close(hung) })
	ok := page(200, healthy)

	for _, c := range []struct {
		name, url     string
		status        alertd.HealthStatus
		live, ready   alertd.HealthStatus
		liveE, readyE string
		first         alertd.HealthStatus // after one answer
	}{
		{"healthy", serve(t, ok, ok), "healthy", "healthy", "healthy", "", "", "healthy"},
		{"live without a body", serve(t, page(204, ""), ok), "healthy", "healthy", "healthy", "", "", "healthy"},
		{"degraded", serve(t, ok, page(200, degraded)), "degraded", "healthy", "degraded", "", "", "degraded"},
		{"unhealthy", serve(t, ok, page(503, unhealthy)), "unhealthy", "healthy", "unhealthy", "", "http status: answered 503", "unhealthy"},
		{"200 with unhealthy inside", serve(t, ok, page(200, unhealthy)), "unhealthy", "healthy", "unhealthy", "", "contradiction: answered 200, but the body says unhealthy", "unhealthy"},
		{"503 with healthy inside", serve(t, ok, page(503, healthy)), "unhealthy", "healthy", "unhealthy", "", "contradiction: answered 503, but the body says healthy", "unhealthy"},
		{"healthy with an unhealthy check", serve(t, ok, page(200, `{"status":"healthy","checks":{"db":"unhealthy"}}`)), "degraded", "healthy", "degraded", "", "contradiction: the body says healthy, but its check db says unhealthy", "degraded"},
		{"one word", serve(t, page(200, "OK"), page(200, "Healthy\n")), "healthy", "healthy", "healthy", "", "", "healthy"},
		{"live says unhealthy", serve(t, page(503, unhealthy), ok), "unhealthy", "unhealthy", "healthy", "http status: answered 503", "", "unhealthy"},
		{"not JSON", serve(t, ok, page(200, "<html>")), "degraded", "healthy", "degraded", "", "body: answered 200, but the body is not JSON", "degraded"},
		{"too much", serve(t, ok, page(200, strings.Repeat(" ", 100<<10)+healthy)), "degraded", "healthy", "degraded", "", "more than 65536 bytes", "degraded"},
		{"error page", serve(t, ok, page(502, "<html>")), "unhealthy", "healthy", "unhealthy", "", "http status: answered 502", "degraded"},
		{"no live page", serve(t, page(404, ""), ok), "unhealthy", "unhealthy", "healthy", "http status: answered 404", "", "degraded"},
		{"redirect", serve(t, ok, http.RedirectHandler("/health/live", http.StatusFound).ServeHTTP), "unhealthy", "healthy", "unhealthy", "", "a redirect, which is not followed", "degraded"},
		{"refused", "http://" + refusing, "unhealthy", "unhealthy", "unhealthy", "refused: nothing listens", "refused: nothing listens", "degraded"},
		{"ready hangs", serve(t, ok, hang), "unhealthy", "healthy", "unhealthy", "", "timeout: no answer within", "degraded"},
		{"ready hangs in the body", serve(t, ok, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "{")
			w.(http.Flusher).Flush()
			hang(w, r)
		}), "unhealthy", "healthy", "unhealthy", "", "timeout: no answer within", "degraded"},
		{"cut connection", serve(t, ok, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), "unhealthy", "healthy", "unhealthy", "", "network: EOF", "degraded"},
		{"unknown authority", tlsServer.URL, "unhealthy", "unhealthy", "unhealthy", "tls: ", "tls: ", "degraded"},
		{"http behind https", strings.Replace(serve(t, ok, ok), "http:", "https:", 1), "unhealthy", "unhealthy", "unhealthy", "is it an http address", "is it an http address", "degraded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := New(nil, nil, Options{})
			defer p.client.CloseIdleConnections()
			answers := func(target Target) []answer { return p.probe(t.Context(), &watch{Target: target}).answers }
			target := Target{Service: "api", URL: c.url}
			if err := target.Normalize(); err != nil {
				t.Fatal(err)
			}
			target.Timeout = 30 * time.Second
			hangs := strings.Contains(c.name, "hangs")
			if hangs {
				target.Timeout = time.Second
			}
			judged := func() (first, last alertd.Health) {
				m := memory{decided: true} // it was healthy
				for i := range target.Fall {
					last, _ = m.judge(&target, answers(target), noDoubt, time.Now())
					if i == 0 {
						first = last
					}
				}
				return first, last
			}
			first, h := judged()
			for hangs && h.Checks[checkLive].Status != c.live && target.Timeout < time.Minute { // the page that does answer had no time, on a busy machine
				target.Timeout *= 2
				first, h = judged()
			}
			if first.Status != c.first {
				t.Errorf("first answer: %s, want %s", first.Status, c.first)
			}
			live, ready := h.Checks[checkLive], h.Checks[checkReady]
			if h.Status != c.status || live.Status != c.live || ready.Status != c.ready || !fits(live.Error, c.liveE) || !fits(ready.Error, c.readyE) {
				t.Errorf("%+v", h)
			}
			payload, err := json.Marshal(h)
			if err != nil {
				t.Fatal(err)
			}
			for _, check := range []struct {
				name   string
				status alertd.HealthStatus
			}{{"live", c.live}, {"ready", c.ready}} {
				series := fmt.Sprintf(`{__name__="health_check_status", check=%q, service="api", status=%q}`, check.name, check.status)
				if samples(t, payload)[series] != 1 {
					t.Errorf("%s is not 1 in %v", series, samples(t, payload))
				}
			}
		})
	}
}

func noDoubt(time.Time) doubt { return sure }

func fits(got, want string) bool {
	return want == "" && got == "" || want != "" && strings.Contains(got, want)
}

func TestExplainHidesTheURL(t *testing.T) {
	for want, cause := range map[string]error{
		"dns: api.internal: no such host": &net.DNSError{Err: "no such host", Name: "api.internal"},
		"network: broken":                 errors.New("broken"),
		"timeout: no answer within 3s":    context.DeadlineExceeded,
	} {
		if got := explain(&url.Error{Op: "Get", URL: "http://user:secret@api/", Err: cause}, 3*time.Second); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// world is a RoundTripper that answers at once and takes notes.
type world struct {
	mu    sync.Mutex
	asked map[string][]time.Duration // by page, since the start
	start time.Time
	down  map[string]bool // by host
	slow  time.Duration
	now   int
	most  int
}

func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.asked[r.URL.Host+r.URL.Path] = append(w.asked[r.URL.Host+r.URL.Path], time.Since(w.start))
	down := w.down[r.URL.Host]
	w.now++
	w.most = max(w.most, w.now)
	w.mu.Unlock()
	if w.slow > 0 {
		time.Sleep(w.slow)
	}
	w.mu.Lock()
	w.now--
	w.mu.Unlock()
	if down {
		return nil, errors.New("down")
	}
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(`{"status":"healthy"}`)), Header: http.Header{}, Request: r}, nil
}

func (w *world) count(page string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.asked[page])
}
