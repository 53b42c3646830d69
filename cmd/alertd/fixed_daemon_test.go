package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"alertd/app"
)

// TestFixedTimeOnADaemon: a rule that compares with a time two hours ago fires, knows that time after a restart, which
// leaves its alert as it was, ends, and fires anew. A backtest of the same events says the same.
func TestFixedTimeOnADaemon(t *testing.T) {
	t.Parallel()
	pages := make(chan string, 100)
	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var p struct {
			Alerts []struct {
				Status              string
				Labels, Annotations map[string]string
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
			t.Error(err)
		}
		for _, a := range p.Alerts {
			pages <- fmt.Sprintf("%s %s", a.Status, a.Annotations["summary"])
		}
	}))
	defer sink.Close()

	then := time.Now().Add(-2 * time.Hour).Truncate(time.Second).UTC()
	dir, data := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "rules.yaml"), fmt.Sprintf(`groups:
- name: traffic
  interval: 1s
  rules:
  - alert: Halved
    expr: traffic < 0.5 * traffic @ %d
    labels: {severity: critical}
    annotations: {summary: '{{ $labels.service }} has {{ $value }} of {{ with query "traffic @ %[1]d" }}{{ . | first | value }}{{ end }}'}
`, then.Unix()))
	write(t, filepath.Join(dir, "routing.yaml"), fmt.Sprintf(`route: {receiver: ops, group_by: [alertname], group_wait: 0s, group_interval: 100ms}
receivers: [{name: ops, webhook_configs: [{url: %q}]}]
`, sink.URL))

	publish := func(a *app.App, at time.Time, v float64) {
		t.Helper()
		js := connect(t, a)
		defer js.Conn().Close()
		event := fmt.Sprintf(`{"name":"traffic","labels":{"service":"api"},"value":%v,"time":%q}`, v, at.Format(time.RFC3339Nano))
		if _, err := js.Publish(t.Context(), "alertd.metrics.api", []byte(event)); err != nil {
			t.Fatal(err)
		}
	}
	var told []string
	page := func() {
		t.Helper()
		select {
		case p := <-pages:
			told = append(told, p)
			time.Sleep(500 * time.Millisecond) // the replay has the same intervals between messages, and decides between them, too
		case <-time.After(3 * time.Minute):
			t.Fatalf("a page is missing after %q", told)
		}
	}
	ask := func(a *app.App, path string) string {
		t.Helper()
		resp, err := http.Get("http://" + a.HTTP() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}

	a, stop := daemon(t, dir, data)
	publish(a, then.Add(-time.Minute), 100)
	publish(a, then.Add(time.Minute), 70) // after the fixed time: nobody compares with that
	publish(a, time.Now(), 40)
	page()
	before := ask(a, "/api/v1/alerts")
	stop()

	a, stop = daemon(t, dir, data)
	defer func() { stop() }()
	asked := "/api/v1/query?query=" + url.QueryEscape(fmt.Sprintf("traffic @ %d", then.Unix()))
	for end := time.Now().Add(3 * time.Minute); !strings.Contains(ask(a, asked), `"100"]`); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after the restart the fixed time is not known: %s", ask(a, asked))
		}
	}
	if after := ask(a, "/api/v1/alerts"); after != before || !strings.Contains(after, `"value":"4e+01"`) {
		t.Errorf("before the restart %s\nafter it %s", before, after)
	}
	publish(a, time.Now(), 90)
	page()
	publish(a, time.Now(), 45)
	page()
	if want := []string{"firing api has 40 of 100", "resolved api has 40 of 100", "firing api has 45 of 100"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}

	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"backtest", dir, "--nats", a.NATS(), "-o", "json"}, nil, &stdout, &stderr); code != 0 {
		t.Fatalf("%d: %s", code, &stderr)
	}
	var out struct {
		Report struct {
			Notifications []struct {
				Alerts []struct {
					State       string
					Annotations map[string]string
				}
			}
		}
	}
	if err := json.Unmarshal(stdout.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	var replayed []string
	for _, n := range out.Report.Notifications {
		for _, alert := range n.Alerts {
			replayed = append(replayed, alert.State+" "+alert.Annotations["summary"])
		}
	}
	if !slices.Equal(replayed, told) {
		t.Errorf("told     %q\nreplayed %q\n%s", told, replayed, &stderr)
	}
}
