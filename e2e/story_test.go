package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"alertd/e2e"
)

// nextOpen is when a calendar opens that is closed today, tomorrow and the day after, whatever day it becomes meanwhile.
var nextOpen = time.Now().UTC().AddDate(0, 0, 3).Truncate(24 * time.Hour).Add(9 * time.Hour)

// closedNow is the hours of that calendar.
func closedNow() string {
	return strings.ToLower(nextOpen.Weekday().String()[:3]) + " 09:00-10:00"
}

// shop is a policy that pages a webhook.
var shop = map[string]string{
	"shop.yaml": `
groups:
  - name: shop
    interval: 1s
    rules:
      - alert: Broken
        expr: broken == 1
        labels: {severity: critical}
        annotations:
          summary: '{{ $labels.service }} is broken'
          runbook_url: 'https://runbooks.example/broken'
          next_step: Repair it.
      - alert: Slow
        expr: slow > 5
        labels: {severity: warning}
        annotations:
          summary: '{{ $labels.service }} takes {{ $value }} s'
      - alert: DeploymentCompleted
        on: event
        type: deployment.completed
        keep_firing_for: 1h
        labels: {severity: info}
        annotations:
          summary: '{{ $labels.service }} was deployed'
`,
	"routing.yaml": `
calendars:
  office: {time_zone: UTC, hours: ['` + closedNow() + `']}
route:
  receiver: hook
  group_by: [alertname, service]
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 4h
  deliver: immediate
  routes:
    - matchers: ['severity="warning"']
      deliver: business_hours
      calendar: office
    - matchers: ['severity="info"']
      deliver: dashboard
receivers:
  - name: hook
    webhook_configs:
      - url: '{{sink}}'
`,
}

func TestCriticalPagesAndCloses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shop)
	began := time.Now()
	w.publish("alertd.metrics.api", metricBody("broken", "api", 1),
		"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	fired := w.page("Broken", "api", "firing")
	if took := fired.At.Sub(began); took > 30*time.Second {
		t.Errorf("the page took %s", took)
	}
	for _, want := range []string{"api is broken", "https://runbooks.example/broken", "Repair it.", "0af7651916cd43dd8448eb211c80319c"} {
		if !strings.Contains(fired.Body, want) {
			t.Errorf("the page does not hold %q: %s", want, fired.Body)
		}
	}
	if fired.Version != "4" || fired.Receiver != "hook" || fired.Status != "firing" {
		t.Errorf("not a body of version 4: %s", fired.Body)
	}
	if got := w.alertd("alerts"); !strings.Contains(got, "Broken") {
		t.Errorf("alertd alerts: %s", got)
	}

	// Told once, however often it is true.
	for range 5 {
		w.metric("broken", "api", 1)
	}
	w.metric("broken", "api", 0)
	resolved := w.page("Broken", "api", "resolved")
	if resolved.GroupKey != fired.GroupKey || resolved.ID == fired.ID {
		t.Errorf("resolved as %s in %s, fired as %s in %s", resolved.ID, resolved.GroupKey, fired.ID, fired.GroupKey)
	}
	w.stop() // drains: nothing comes after
	if pages, wrong := w.sink.Pages(); len(pages) != 2 || len(wrong) != 0 {
		t.Errorf("%d pages instead of 2: %+v %v", len(pages), pages, wrong)
	}

	// A restart remembers, and does not say it again.
	w.start()
	got := w.history(reached("resolved"), "--alert", "Broken", "--service", "api")
	if len(got) != 2 || got[0].To != "resolved" || got[1].To != "firing" {
		t.Fatalf("history: %+v", got)
	}
	f := got[1]
	if f.Alert != "Broken" || f.Severity != "critical" || f.Service != "api" || f.Labels["alertname"] != "Broken" || f.Rule == "" ||
		f.From != "inactive" || f.Value != 1.0 || f.RunbookURL != "https://runbooks.example/broken" || f.Reason == "" || f.Time.IsZero() {
		t.Errorf("transition: %+v", f)
	}
	if pages, _ := w.sink.Pages(); len(pages) != 2 {
		t.Errorf("the restart said something again: %+v", pages[2:])
	}
}

func TestWarningWaitsForBusinessHours(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shop)
	w.metric("slow", "api", 6)
	var queue struct {
		Held []struct {
			Alert    struct{ Labels map[string]string }
			Reason   string
			Calendar string
			Until    time.Time
		}
		Digests []struct {
			Until  time.Time
			Firing []struct{ Count int }
		}
	}
	w.eventually(func() error {
		if err := json.Unmarshal([]byte(w.alertd("queue", "-o", "json")), &queue); err != nil {
			return err
		}
		if len(queue.Held) != 1 || len(queue.Digests) != 1 {
			return fmt.Errorf("the queue has %d items and %d digests", len(queue.Held), len(queue.Digests))
		}
		return nil
	})
	h, d := queue.Held[0], queue.Digests[0]
	if h.Alert.Labels["alertname"] != "Slow" || h.Reason != "held" || h.Calendar != "office" || !h.Until.Equal(nextOpen) {
		t.Errorf("held: %+v, want until %s", h, nextOpen)
	}
	if !d.Until.Equal(nextOpen) || len(d.Firing) != 1 || d.Firing[0].Count != 1 {
		t.Errorf("the digest as it would be: %+v, want one alert at %s", d, nextOpen)
	}
	if got := w.alertd("queue"); !strings.Contains(got, "held by office") || !strings.Contains(got, "1 warning still firing") {
		t.Errorf("alertd queue: %s", got)
	}

	// It resolves before anybody was told: nobody is told that either. The critical one after it proves the wait.
	w.metric("slow", "api", 1)
	w.history(reached("resolved"), "--alert", "Slow")
	w.metric("broken", "api", 1)
	w.page("Broken", "api", "firing")
	w.noPage("Slow", "api", "firing")
	w.noPage("Slow", "api", "resolved")
}

func TestInfoStaysOnRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shop)
	w.alertd("publish", "event", "deployment.completed", "--service", "api", "-m", "v1.2.3 is live")
	got := w.history(reached("firing"), "--severity", "info")
	if got[0].Alert != "DeploymentCompleted" || got[0].Service != "api" {
		t.Errorf("history: %+v", got)
	}
	w.metric("broken", "api", 1)
	w.page("Broken", "api", "firing")
	w.noPage("DeploymentCompleted", "api", "firing")
}

func TestBadMessagesDoNotStopTheReader(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shop)
	for _, bad := range []string{`{"name":"broken"`, ``, `[]]`, "\x00\xff", `{"name":"broken","value":"much"}`} {
		w.publish("alertd.metrics.api", bad)
	}
	w.metric("broken", "api", 1)
	w.page("Broken", "api", "firing")
	w.eventually(func() error {
		metrics := w.get("/metrics")
		for line := range strings.Lines(metrics) {
			if strings.HasPrefix(line, "alertd_") && strings.Contains(line, "dead_letters") {
				var n float64
				if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &n); err == nil && n >= 4 {
					return nil
				}
			}
		}
		return fmt.Errorf("no metric counts the dead letters:\n%s", metrics)
	})
}

func TestReload(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shop)
	w.metric("broken", "api", 1)
	w.page("Broken", "api", "firing")

	// A bad file changes nothing, and is named.
	w.write("shop.yaml", "groups:\n  - name: shop\n    rules:\n      - alert: Broken\n        expr: broken ==\n")
	if err := w.daemon.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() error {
		if !strings.Contains(w.daemon.Log(), "shop.yaml:5:") {
			return fmt.Errorf("the log does not name the bad line")
		}
		return nil
	})
	if out, err := w.try("check", "--rules", w.opts.Rules); err == nil || !strings.Contains(err.Error()+out, "shop.yaml:5:") {
		t.Errorf("alertd check: %v\n%s", err, out)
	}
	w.metric("broken", "web", 1)
	w.page("Broken", "web", "firing")

	// A good one counts at once; what was announced is closed though its rule has another limit now.
	w.write("shop.yaml", strings.ReplaceAll(shop["shop.yaml"], "broken == 1", "broken == 2"))
	if err := w.daemon.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	w.page("Broken", "web", "resolved")
	w.metric("broken", "cart", 2)
	w.page("Broken", "cart", "firing")
	w.page("Broken", "api", "resolved")
}

func TestOtherNATS(t *testing.T) {
	t.Parallel()
	url := startNATS(t)
	w := newWorld(t, shop, func(o *e2e.Options) { o.NATS = url })
	if w.daemon.NATS != url {
		t.Errorf("ready with nats=%s, want %s", w.daemon.NATS, url)
	}
	w.alertd("publish", "metric", "broken", "1", "--service", "api")
	w.page("Broken", "api", "firing")
}

func TestCorePublishCountsToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shop)
	if err := w.nc.Publish("alertd.metrics.api", []byte(metricBody("broken", "api", 1))); err != nil {
		t.Fatal(err)
	}
	w.page("Broken", "api", "firing")
}

func TestOwnHealth(t *testing.T) {
	t.Parallel()
	w := newWorld(t, shop)
	var body struct {
		Status string `json:"status"`
		Checks map[string]struct {
			Status    string   `json:"status"`
			LatencyMS *float64 `json:"latency_ms"`
		} `json:"checks"`
		Timestamp time.Time `json:"timestamp"`
	}
	for _, path := range []string{"/health/live", "/health/ready"} {
		w.eventually(func() error { // a busy machine may not come to an answer in the two seconds that there are for it
			status, text, err := w.ask(path)
			if err == nil {
				err = json.Unmarshal([]byte(text), &body)
			}
			if err == nil && (status != http.StatusOK || body.Status != "healthy" || time.Since(body.Timestamp).Abs() > time.Minute) {
				err = fmt.Errorf("%s: %d %s", path, status, text)
			}
			return err
		})
	}
	for _, name := range []string{"nats", "journal", "history", "notifier", "rules"} {
		if c, ok := body.Checks[name]; !ok || c.Status != "healthy" {
			t.Errorf("check %s: %+v", name, body.Checks)
		}
	}
	w.metric("broken", "api", 1)
	w.page("Broken", "api", "firing")
	if page := w.get("/"); !strings.Contains(page, "Broken") {
		t.Errorf("the dashboard does not show the alert: %s", page)
	}
}

// ask is what a page of the daemon answers.
func (w *world) ask(path string) (status int, body string, err error) {
	resp, err := http.Get(w.daemon.URL + path)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// get is the body of a page of the daemon that answers 200. Of several daemons it may be that none leads for a moment.
func (w *world) get(path string) (body string) {
	w.t.Helper()
	w.eventually(func() error {
		status, text, err := w.ask(path)
		if body = text; err == nil && w.leaderless(status) {
			return fmt.Errorf("%s: %d\n%s", path, status, text)
		}
		if err != nil || status != http.StatusOK {
			w.t.Fatalf("%s: %d, %v\n%s", path, status, err, text)
		}
		return nil
	})
	return body
}

// leaderless reports whether an answer may come of this: on a NATS of others a leader may lose its lease, on a busy machine for no other
// reason.
func (w *world) leaderless(status int) bool {
	return w.opts.NATS != "" && status == http.StatusServiceUnavailable
}

// TestShippedRules runs what a newcomer runs: no rules folder, no receiver. The page is on the daemon's own output, and
// its runbook is a page of the daemon.
func TestShippedRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, func(o *e2e.Options) { o.Rules = "" })
	w.alertd("publish", "health", "checkout", "unhealthy", "--check", "database=unhealthy:5000")
	w.eventually(func() error {
		for _, want := range []string{"checkout is down", "checkout cannot reach its database (database)"} {
			if !strings.Contains(w.daemon.Log(), want) {
				return fmt.Errorf("the console does not say %q:\n%s", want, w.daemon.Log())
			}
		}
		return nil
	})
	got := w.history(reached("firing"), "--alert", "ApplicationDown")
	if got[0].Service != "checkout" || !strings.HasPrefix(got[0].RunbookURL, w.daemon.URL) {
		t.Fatalf("history: %+v", got[0])
	}
	if page := w.get(strings.TrimPrefix(got[0].RunbookURL, w.daemon.URL)); !strings.Contains(page, "A service is down") {
		t.Errorf("the runbook: %s", page)
	}
	w.alertd("publish", "health", "checkout", "healthy", "--check", "database=healthy:5")
	w.history(reached("resolved"), "--alert", "ApplicationDown")
}

// TestHealthPoll lets the daemon ask a service that does not publish how it is.
func TestHealthPoll(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	service := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		status := "healthy"
		if broken.Load() {
			status = "unhealthy"
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintf(rw, `{"status":%q,"checks":{},"timestamp":%q}`, status, time.Now().UTC().Format(time.RFC3339))
	}))
	t.Cleanup(service.Close)
	files := map[string]string{
		"routing.yaml": shop["routing.yaml"],
		"down.yaml": `
groups:
  - name: down
    rules:
      - alert: Down
        expr: health_status{status="unhealthy"} == 1
        labels: {severity: critical}
`,
		"health.yaml": "targets:\n  - {service: polled, url: '" + service.URL + "', interval: 1s}\n",
	}
	w := newWorld(t, files)
	broken.Store(true)
	w.page("Down", "polled", "firing")
	broken.Store(false)
	w.page("Down", "polled", "resolved")
}
