package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"alertd/app"
)

// page is what a webhook receiver reads of Alertmanager's body.
type page struct {
	ID        string
	Status    string `json:"status"`
	Reason    string `json:"notification_reason"`
	Truncated int    `json:"truncatedAlerts"`
	Alerts    []struct {
		Status      string            `json:"status"`
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	} `json:"alerts"`
	Alertd struct {
		AckURL  string `json:"ackURL"`
		Summary struct {
			Firing int `json:"firing"`
		} `json:"summary"`
	} `json:"alertd"`
}

// sink is a webhook receiver.
type sink struct {
	*httptest.Server
	pages chan page
	mu    sync.Mutex
	fail  int // answers 503 so many times
}

func newSink(t *testing.T) *sink {
	s := &sink{pages: make(chan page, 100)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.fail > 0 {
			s.fail--
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		p := page{ID: r.Header.Get("webhook-id")}
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
			t.Error(err)
		}
		s.pages <- p
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *sink) next(t *testing.T) page {
	t.Helper()
	select {
	case p := <-s.pages:
		return p
	case <-time.After(3 * time.Minute):
		t.Fatal("no page came")
		return page{}
	}
}

func (s *sink) none(t *testing.T) {
	t.Helper()
	select {
	case p := <-s.pages:
		t.Fatalf("a page too many: %+v", p)
	default:
	}
}

func files(url string) fstest.MapFS {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	return fstest.MapFS{
		"rules.yaml": file(`groups:
- name: shop
  interval: 1s
  rules:
  - alert: Down
    expr: up == 0
    labels: {severity: critical}
    annotations: {summary: '{{ $labels.service }} is down', next_step: Look at it.}
  - alert: DiskFull
    expr: disk > 0.5
    labels: {severity: critical}
    annotations: {summary: '{{ $labels.host }} is {{ $value }} full', next_step: Look at it.}
  - alert: ManyFull
    expr: count(ALERTS{alertname="DiskFull", alertstate="firing"}) > 1
    labels: {severity: info}
  - alert: Deployed
    on: event
    type: deployment.completed
    labels: {severity: info}
`),
		"routing.yaml": file(fmt.Sprintf(`route:
  receiver: ops
  group_by: [service]
  group_wait: 0s
  group_interval: 100ms
  routes:
  - matchers: ['severity="info"']
    deliver: dashboard
receivers:
- name: ops
  webhook_configs: [{url: %q}]
`, url)),
	}
}

// daemon runs an App until the returned function is called, which waits for its end.
func daemon(t *testing.T, data string, s *sink) (*app.App, func()) {
	t.Helper()
	a, err := app.New(t.Context(), app.Options{
		Rules: files(s.URL), Data: data, Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:0", Console: io.Discard,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return a, run(t, a)
}

func run(t *testing.T, a *app.App) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := a.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// connect is a client of a NATS server, until the test ends. It is patient, where the machine is busy.
func connect(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, nats.Timeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func publish(t *testing.T, a *app.App, subject, event string) {
	t.Helper()
	js := connect(t, a.NATS())
	defer js.Conn().Close()
	if _, err := js.Publish(t.Context(), subject, []byte(event)); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, a *app.App, path string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + a.HTTP() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// until asks again until the answer holds a word: what the loop has decided reaches the history a moment later.
func until(t *testing.T, a *app.App, path, word string) {
	t.Helper()
	var body string
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); {
		if _, body = get(t, a, path); strings.Contains(body, word) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s never held %q:\n%s", path, word, body)
}

const (
	down = `{"name":"up","labels":{"service":"api"},"value":0}`
	up   = `{"name":"up","labels":{"service":"api"},"value":1}`
)

// An event becomes a page, a restart neither repeats nor forgets it, and its end is told.
func TestPageOverARestart(t *testing.T) {
	s, data := newSink(t), t.TempDir()
	a, stop := daemon(t, data, s)
	publish(t, a, "alertd.metrics.api", down)
	p := s.next(t)
	if p.Status != "firing" || len(p.Alerts) != 1 || p.Alerts[0].Annotations["summary"] != "api is down" {
		t.Errorf("paged %+v", p)
	}
	until(t, a, "/api/v1/history", `"to":"firing"`)
	stop()

	a, stop = daemon(t, data, s)
	until(t, a, "/api/v1/alerts", `"state":"firing"`)
	until(t, a, "/health/ready", `{"status":"healthy"`)
	s.none(t)
	publish(t, a, "alertd.metrics.api", up)
	if p := s.next(t); p.Status != "resolved" || p.Reason != "all alerts resolved" {
		t.Errorf("paged %+v", p)
	}
	until(t, a, "/api/v1/history", `"to":"resolved"`)
	s.none(t)
	stop()
}

// While an alert fires its value moves on. The API shows it, and whatever is told next says it, annotations included;
// the journal holds no entry for it. Rules and queries read of it in ALERTS.
func TestPresentValue(t *testing.T) {
	s := newSink(t)
	a, _ := daemon(t, t.TempDir(), s)
	say := func(host string, v float64) {
		publish(t, a, "alertd.metrics.api", fmt.Sprintf(`{"name":"disk","labels":{"service":"api","host":%q},"value":%g}`, host, v))
	}
	say("a", 0.6)
	if p := s.next(t); p.Alerts[0].Annotations["summary"] != "a is 0.6 full" {
		t.Errorf("paged %+v", p)
	}
	say("a", 0.9)
	until(t, a, "/api/v1/alerts", `a is 0.9 full`)
	until(t, a, "/api/v1/alerts", `"value":"9e-01"`)
	until(t, a, "/api/v2/alerts", `a is 0.9 full`)
	say("b", 0.7)
	p := s.next(t)
	texts := map[string]bool{}
	for _, al := range p.Alerts {
		texts[al.Annotations["summary"]] = true
	}
	if len(texts) != 2 || !texts["a is 0.9 full"] || !texts["b is 0.7 full"] {
		t.Errorf("paged %+v", p)
	}
	until(t, a, "/api/v1/query?query=count(ALERTS{alertstate=%22firing%22,alertname=%22DiskFull%22})", `"2"`)
	until(t, a, "/api/v1/query?query=ALERTS_FOR_STATE", `"host":"b"`)
	until(t, a, "/api/v1/alerts", `ManyFull`)
	say("a", 0.95)
	until(t, a, "/api/v1/alerts", `a is 0.95 full`)
	say("a", 0.1)
	say("b", 0.1)
	until(t, a, "/api/v1/history", `a is 0.95 full`)
	if _, body := get(t, a, "/api/v1/history"); strings.Count(body, `"to":"firing"`) != 3 {
		t.Errorf("history: %s", body)
	}
	for {
		if p = s.next(t); p.Status == "resolved" {
			break
		}
	}
}

// A receiver that fails is tried again with the same id.
func TestRetry(t *testing.T) {
	s := newSink(t)
	s.fail = 1
	a, _ := daemon(t, t.TempDir(), s)
	publish(t, a, "alertd.metrics.api", down)
	if p := s.next(t); p.Status != "firing" || p.ID == "" {
		t.Errorf("paged %+v", p)
	}
	until(t, a, "/api/v1/notifications", "delivered")
}

// A message that nobody can read is kept and counted, and the next one is read.
func TestDeadLetter(t *testing.T) {
	s := newSink(t)
	a, _ := daemon(t, t.TempDir(), s)
	publish(t, a, "alertd.metrics.api", `{"name":"up","value":}`)
	publish(t, a, "alertd.events.deployment", `{"type":"deployment.completed","service":"api"}`)
	until(t, a, "/api/v1/deadletters", "alertd.metrics.api")
	until(t, a, "/api/v1/history", "Deployed")
	s.none(t)
}
