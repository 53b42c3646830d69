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
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"alertd"
	"alertd/ingest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNormalize(t *testing.T) {
	got := Target{Service: "api", URL: "http://api:8080/base/"}
	want := Target{Service: "api", URL: "http://api:8080/base", Live: "/health/live", Ready: "/health/ready", Interval: 10 * time.Second, Timeout: 3 * time.Second}
	if err := got.Normalize(); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	quick := Target{Service: "api", URL: "https://api", Interval: 2 * time.Second}
	if err := quick.Normalize(); err != nil || quick.Timeout != 2*time.Second {
		t.Errorf("%+v, %v", quick, err)
	}
	for _, c := range []struct {
		t    Target
		want string
	}{
		{Target{URL: "http://a"}, "no service"},
		{Target{Service: "a.b", URL: "http://a"}, "NATS subject"},
		{Target{Service: "a b", URL: "http://a"}, "NATS subject"},
		{Target{Service: strings.Repeat("a", 200), URL: "http://a"}, "NATS subject"},
		{Target{Service: "a", URL: "api:8080"}, "http://HOST:PORT"},
		{Target{Service: "a", URL: "file:///etc/passwd"}, "http://HOST:PORT"},
		{Target{Service: "a", URL: "http://u:secret@h\x7f/"}, "http://HOST:PORT"},
		{Target{Service: "a", URL: "http://a?x=1"}, "query"},
		{Target{Service: "a", URL: "http://a", Live: "live"}, "live is a path"},
		{Target{Service: "a", URL: "http://a", Interval: time.Millisecond}, "shorter than 1s"},
		{Target{Service: "a", URL: "http://a", Timeout: time.Minute}, "between 0 and the interval"},
	} {
		if err := c.t.Normalize(); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v, want it to say %q", c.t, err, c.want)
		}
	}
}

func TestParseBody(t *testing.T) {
	h, err := ParseBody(200, []byte(`{"status":"Degraded","checks":{"database":{"status":"healthy","latency_ms":5},"external_api":{"status":"degraded","error":"slow response"}},"timestamp":"2026-01-15T10:30:00Z"}`))
	if err != nil || h.Status != alertd.Degraded || h.Checks["database"] != (alertd.HealthCheck{Status: alertd.Healthy, LatencyMS: 5}) ||
		h.Checks["external_api"] != (alertd.HealthCheck{Status: alertd.Degraded, Error: "slow response"}) ||
		!h.Timestamp.Equal(time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)) {
		t.Errorf("%+v, %v", h, err)
	}
	// What is not as it should be costs itself only.
	h, err = ParseBody(200, []byte(`{"status":"healthy","checks":{"a":"unhealthy","b":{"status":"fine"},"c":null,"d":{"status":"healthy","latency_ms":"5"},"e":{"status":"healthy","latency_ms":-1},"":{}},"timestamp":"today"}`))
	if err != nil || h.Status != alertd.Healthy || !h.Timestamp.IsZero() || len(h.Checks) != 5 || h.Checks["a"].Status != alertd.Unhealthy ||
		h.Checks["b"].Status != alertd.Degraded || !strings.Contains(h.Checks["b"].Error, `"fine"`) || h.Checks["e"].LatencyMS != 0 {
		t.Errorf("%+v, %v", h, err)
	}
	for _, body := range []string{`{"status":"healthy"}`, `{"status":"healthy","checks":null,"timestamp":null}`, `{"status":"healthy","checks":[1],"timestamp":7,"more":{}}`} {
		if h, err := ParseBody(200, []byte(body)); err != nil || h.Status != alertd.Healthy {
			t.Errorf("%s: %+v, %v", body, h, err)
		}
		if h, err := ParseBody(503, []byte(body)); err != nil || h.Status != alertd.Unhealthy {
			t.Errorf("503 %s: %+v, %v", body, h, err)
		}
	}
	for body, want := range map[string]string{
		"":                             "empty",
		" \n":                          "empty",
		"OK":                           "not JSON",
		`{"status":"healthy"`:          "not JSON: unexpected end",
		`"healthy"`:                    "not a JSON object",
		`[]`:                           "not a JSON object",
		`null`:                         `no "status"`,
		`{}`:                           `no "status"`,
		`{"status":200}`:               `no "status"`,
		`{"status":"up"}`:              `"status" is "up"`,
		"{\"status\":\"\xff\"}":        "not UTF-8",
		strings.Repeat(" ", maxBody+1): "more than 65536 bytes",
	} {
		if h, err := ParseBody(200, []byte(body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %+v, %v, want it to say %q", body, h, err, want)
		}
	}
}

func FuzzParseBody(f *testing.F) {
	f.Add(200, []byte(`{"status":"healthy","checks":{"a":{"status":"degraded","latency_ms":5,"error":"x"}},"timestamp":"2026-01-15T10:30:00Z"}`))
	f.Add(503, []byte(`{"status":"HEALTHY","checks":{"a":"b"}}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		h, err := ParseBody(status, body)
		if err != nil {
			return
		}
		if !success(status) && h.Status != alertd.Unhealthy {
			t.Fatalf("%d is %s", status, h.Status)
		}
		// Whatever we understood, our own event of it is understood by ingest without complaint.
		h.Service, h.Timestamp = "api", time.Time{}
		payload, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		if len(samples(t, payload)) < 3 {
			t.Fatalf("%s", payload)
		}
	})
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
	unused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := "http://" + unused.Addr().String()
	unused.Close()
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
		{"200 with unhealthy inside", serve(t, ok, page(200, unhealthy)), "unhealthy", "healthy", "unhealthy", "", "", "unhealthy"},
		{"503 with healthy inside", serve(t, ok, page(503, healthy)), "unhealthy", "healthy", "unhealthy", "", "http status: answered 503", "unhealthy"},
		{"live says unhealthy", serve(t, page(503, unhealthy), ok), "unhealthy", "unhealthy", "healthy", "http status: answered 503", "", "unhealthy"},
		{"not JSON", serve(t, ok, page(200, "<html>")), "degraded", "healthy", "degraded", "", "body: answered 200, but the body is not JSON", "degraded"},
		{"too much", serve(t, ok, page(200, strings.Repeat(" ", 100<<10)+healthy)), "degraded", "healthy", "degraded", "", "more than 65536 bytes", "degraded"},
		{"error page", serve(t, ok, page(502, "<html>")), "unhealthy", "healthy", "unhealthy", "", "http status: answered 502", "degraded"},
		{"no live page", serve(t, page(404, ""), ok), "unhealthy", "unhealthy", "healthy", "http status: answered 404", "", "degraded"},
		{"redirect", serve(t, ok, http.RedirectHandler("/health/live", http.StatusFound).ServeHTTP), "unhealthy", "healthy", "unhealthy", "", "a redirect, which is not followed", "degraded"},
		{"refused", refusing, "unhealthy", "unhealthy", "unhealthy", "refused: nothing listens", "refused: nothing listens", "degraded"},
		{"ready hangs", serve(t, ok, hang), "unhealthy", "healthy", "unhealthy", "", "timeout: no answer within 50ms", "degraded"},
		{"ready hangs in the body", serve(t, ok, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "{")
			w.(http.Flusher).Flush()
			hang(w, r)
		}), "unhealthy", "healthy", "unhealthy", "", "timeout: no answer within 50ms", "degraded"},
		{"cut connection", serve(t, ok, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), "unhealthy", "healthy", "unhealthy", "", "network: EOF", "degraded"},
		{"unknown authority", tlsServer.URL, "unhealthy", "unhealthy", "unhealthy", "tls: ", "tls: ", "degraded"},
		{"http behind https", strings.Replace(serve(t, ok, ok), "http:", "https:", 1), "unhealthy", "unhealthy", "unhealthy", "is it an http address", "is it an http address", "degraded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := New(nil, nil, Options{})
			defer p.client.CloseIdleConnections()
			target := Target{Service: "api", URL: c.url}
			if err := target.Normalize(); err != nil {
				t.Fatal(err)
			}
			target.Timeout = 2 * time.Second
			if strings.Contains(c.name, "hangs") {
				target.Timeout = 50 * time.Millisecond
			}
			var m memory
			var h alertd.Health
			for i := range fall {
				live, ready := p.probe(t.Context(), target)
				h = m.judge(target, live, ready, time.Now())
				if i == 0 && h.Status != c.first {
					t.Errorf("first answer: %s, want %s", h.Status, c.first)
				}
			}
			live, ready := h.Checks[CheckLive], h.Checks[CheckReady]
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

func TestFrozenBody(t *testing.T) {
	target := Target{Service: "api", URL: "http://api"}
	if err := target.Normalize(); err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)
	ready := answer{code: 200, said: true, health: alertd.Health{Status: alertd.Healthy, Timestamp: start.Add(-time.Hour)}}
	var m memory
	for i := range 7 { // a wrong clock alone is nothing
		if h := m.judge(target, answer{code: 200}, ready, start.Add(time.Duration(i)*10*time.Second)); h.Status != alertd.Healthy {
			t.Fatalf("after %d intervals: %+v", i, h)
		}
	}
	h := m.judge(target, answer{code: 200}, ready, start.Add(70*time.Second))
	if h.Status != alertd.Unhealthy || h.Checks["ready"].Error != "stale: the body's timestamp has not changed for 1m10s" || h.Checks["live"].Status != alertd.Healthy {
		t.Errorf("%+v", h)
	}
	ready.health.Timestamp = start
	if h = m.judge(target, answer{code: 200}, ready, start.Add(80*time.Second)); h.Status != alertd.Healthy {
		t.Errorf("moves again: %+v", h)
	}
}

// Misses alone make a service unhealthy exactly from the third in a row on; what it says itself counts at once.
func TestJudgeCountsMisses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		target := Target{Service: "api", Interval: 10 * time.Second}
		var m memory
		row := 0
		for range rapid.IntRange(1, 20).Draw(t, "n") {
			live := rapid.SampledFrom([]answer{{code: 200}, {reason: "refused"}, {code: 500, reason: "500"}, {code: 503, said: true, health: alertd.Health{Status: alertd.Unhealthy}}}).Draw(t, "live")
			ready := rapid.SampledFrom([]answer{{code: 200, said: true, health: alertd.Health{Status: alertd.Healthy}}, {code: 200, said: true, health: alertd.Health{Status: alertd.Degraded}}, {code: 200}, {reason: "timeout"}}).Draw(t, "ready")
			h := m.judge(target, live, ready, time.Unix(0, 0))
			missed := !live.said && live.code != 200 || !ready.said && ready.code != 200
			if missed {
				row++
			} else {
				row = 0
			}
			want := alertd.Healthy
			switch {
			case live.said || row >= fall:
				want = alertd.Unhealthy
			case row > 0 || !ready.said || ready.health.Status == alertd.Degraded:
				want = alertd.Degraded
			}
			if h.Status != want || m.undecided() != (row == 1 || row == 2) {
				t.Fatalf("%d misses, live %+v, ready %+v: %+v, want %s", row, live, ready, h, want)
			}
		}
	})
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
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(healthy)), Header: http.Header{}, Request: r}, nil
}

func (w *world) count(page string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.asked[page])
}

// start runs a poller in a synctest bubble.
func start(t *testing.T, w *world, targets []Target) (p *Poller, events func() []alertd.Health, stop func()) {
	w.asked, w.start = map[string][]time.Duration{}, time.Now()
	var mu sync.Mutex
	var got []alertd.Health
	p = New(targets, func(_ context.Context, subject string, payload []byte) error {
		var h alertd.Health
		if err := json.Unmarshal(payload, &h); err != nil || subject != "alertd.health."+h.Service {
			t.Errorf("%s: %s: %v", subject, payload, err)
		}
		mu.Lock()
		defer mu.Unlock()
		got = append(got, h)
		return nil
	}, Options{Client: &http.Client{Transport: w}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	events = func() []alertd.Health {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return got
	}
	stop = func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	}
	return p, events, stop
}

func TestScheduleSpreadsAndKeepsItsSlots(t *testing.T) {
	var first map[string][]time.Duration
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			w := &world{}
			var targets []Target
			for i := range 100 {
				targets = append(targets, Target{Service: fmt.Sprintf("s%d", i), URL: fmt.Sprintf("http://h%d", i)})
			}
			_, events, stop := start(t, w, targets)
			time.Sleep(60*time.Second - 1)
			if n := len(events()); n != 600 {
				t.Errorf("%d events of 100 targets in 6 intervals", n)
			}
			stop()
			early := 0
			for _, at := range w.asked {
				if at[0] < 5*time.Second {
					early++
				}
				for i, d := range at {
					if d != at[0]+time.Duration(i)*10*time.Second {
						t.Fatalf("left its slot: %v", at)
					}
				}
			}
			if len(w.asked) != 200 || early < 60 || early > 140 {
				t.Errorf("%d pages, %d of them in the first half of the interval", len(w.asked), early)
			}
			if first == nil {
				first = w.asked
			}
			for page, at := range w.asked {
				if first[page][0] != at[0] {
					t.Errorf("%s has another slot after a restart", page)
				}
			}
		})
	}
}

func TestScheduleConfirmsFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{down: map[string]bool{"h": true}}
		_, events, stop := start(t, w, []Target{{Service: "s", URL: "http://h"}})
		time.Sleep(30 * time.Second)
		var story []string
		for _, h := range events() {
			story = append(story, string(h.Status))
		}
		if got := strings.Join(story[:4], " "); got != "degraded degraded unhealthy unhealthy" {
			t.Errorf("%s", got)
		}
		w.mu.Lock()
		at := slices.Clone(w.asked["h/health/live"])
		w.mu.Unlock()
		if at[1]-at[0] != 2*time.Second || at[2]-at[1] != 2*time.Second || at[3] != at[0]+10*time.Second {
			t.Errorf("asked at %v", at)
		}
		if e := events()[0].Checks["live"].Error; e != "network: down (1 of 3)" {
			t.Errorf("%q", e)
		}
		w.mu.Lock()
		w.down = nil
		w.mu.Unlock()
		time.Sleep(10 * time.Second)
		all := events()
		if h := all[len(all)-1]; h.Status != alertd.Healthy {
			t.Errorf("one answer ends it: %+v", h)
		}
		stop()
	})
}

func TestScheduleIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{slow: 4 * time.Second}
		var targets []Target
		for i := range 500 {
			targets = append(targets, Target{Service: fmt.Sprintf("s%d", i), URL: fmt.Sprintf("http://h%d", i), Interval: 10 * time.Second, Timeout: 5 * time.Second})
		}
		_, events, stop := start(t, w, targets)
		time.Sleep(2 * time.Minute)
		n := len(events())
		stop()
		if w.most > 2*maxProbes || n < 500 {
			t.Errorf("%d requests at one time, %d events", w.most, n)
		}
	})
}

func TestSetTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{down: map[string]bool{"a": true}}
		a, b, c := Target{Service: "a", URL: "http://a"}, Target{Service: "b", URL: "http://b"}, Target{Service: "c", URL: "http://c"}
		p, events, stop := start(t, w, []Target{a, b, b, {Service: "bad"}})
		time.Sleep(25 * time.Second)
		asked := w.count("b/health/live")
		p.SetTargets([]Target{a, c})
		time.Sleep(25 * time.Second)
		if n := w.count("b/health/live"); n != asked || asked < 2 {
			t.Errorf("b was asked %d times, then %d", asked, n)
		}
		if n := w.count("c/health/live"); n < 2 {
			t.Errorf("c was asked %d times", n)
		}
		unhealthy := 0
		for _, h := range events() {
			if h.Service == "a" && h.Status == alertd.Unhealthy {
				unhealthy++
			}
			if h.Service == "a" && h.Status == alertd.Degraded && unhealthy > 0 {
				t.Error("a was forgotten by the change")
			}
		}
		stop()
	})
}

func TestPublishFailureIsNotFatal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		w := &world{asked: map[string][]time.Duration{}, start: time.Now()}
		p := New([]Target{{Service: "a", URL: "http://a"}}, func(context.Context, string, []byte) error {
			calls++
			return errors.New("no NATS")
		}, Options{Client: &http.Client{Transport: w}})
		ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
		defer cancel()
		if err := p.Run(ctx); !errors.Is(err, context.DeadlineExceeded) || calls < 4 {
			t.Errorf("%d calls, %v", calls, err)
		}
	})
}
