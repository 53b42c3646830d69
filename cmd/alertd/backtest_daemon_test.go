package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"alertd/app"
)

const replayedRules = `groups:
- name: shop
  interval: 1s
  rules:
  - {alert: Down, expr: up == 0, labels: {severity: critical}, annotations: {summary: '{{ $labels.service }} is down'}}
  - {alert: Slow, expr: slow == 1, for: 2s, labels: {severity: warning}, annotations: {summary: '{{ $labels.service }}: {{ $value }}'}}
  - {alert: Full, expr: disk > 0.8, labels: {severity: warning, deliver: later}}
  # alertd: on: event
  - {alert: Deployed, expr: 'event{type="deployment.completed"}', keep_firing_for: 3s, labels: {severity: info}, annotations: {summary: '{{ $labels.message }}'}}
`

// replayedRouting holds what has the label deliver; its office opens in six hours.
const replayedRouting = `route:
  receiver: ops
  group_by: [alertname, service]
  group_wait: 0s
  group_interval: 1s
  routes:
  - {matchers: ['deliver="later"'], receiver: team, deliver: business_hours, calendar: office}
  - {matchers: ['severity="warning"'], receiver: team}
inhibit_rules:
- {source_matchers: ['severity="critical"'], target_matchers: ['severity="warning"'], equal: [service]}
calendars:
  office: {time_zone: UTC, hours: ['mon-sun %02d:00-%02d:00']}
receivers:
- {name: ops, webhook_configs: [{url: %q}]}
- {name: team, webhook_configs: [{url: %[3]q}]}
`

// TestBacktestIsTheDaemon: what `alertd backtest` says of recorded events is what the daemon told when they came: the same
// pages to the same receivers, for the same reasons, of the same alerts, in the same order in each group, within seconds.
func TestBacktestIsTheDaemon(t *testing.T) {
	t.Parallel()
	type told struct {
		at    time.Time
		group string
		line  string
	}
	pages := make(chan told, 100)
	line := func(receiver, status, reason string, alerts []string) string {
		slices.Sort(alerts)
		return fmt.Sprintf("%s %s (%s): %s", receiver, status, reason, strings.Join(alerts, ", "))
	}
	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var p struct {
			Receiver, Status string
			Reason           string `json:"notification_reason"`
			Alerts           []struct {
				Status              string
				Labels, Annotations map[string]string
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
			t.Error(err)
		}
		var alerts []string
		group := p.Alerts[0].Labels["alertname"] + " " + p.Alerts[0].Labels["service"]
		for _, a := range p.Alerts {
			alerts = append(alerts, fmt.Sprintf("%s %s %s %q", a.Labels["alertname"], a.Labels["service"], a.Status, a.Annotations["summary"]))
		}
		pages <- told{time.Now(), group, line(p.Receiver, p.Status, p.Reason, alerts)}
	}))
	defer sink.Close()

	dir, opens := t.TempDir(), time.Now().UTC().Add(6*time.Hour).Hour()
	write(t, filepath.Join(dir, "rules.yaml"), replayedRules)
	write(t, filepath.Join(dir, "routing.yaml"), fmt.Sprintf(replayedRouting, opens, opens+1, sink.URL))
	a, stop := daemon(t, dir, t.TempDir())
	defer stop()
	js := connect(t, a)
	defer js.Conn().Close()

	// Each step waits for its pages, so that a slow machine puts no two of them together.
	var daemon []told
	gauge := func(name, service string, v float64) string {
		return fmt.Sprintf(`{"name":%q,"labels":{"service":%q},"value":%v}`, name, service, v)
	}
	for i, step := range []struct {
		subject string
		pages   int
		events  []string
	}{
		{"alertd.metrics.api", 1, []string{gauge("up", "api", 0)}},
		{"alertd.metrics.db", 1, []string{gauge("up", "db", 0)}},
		{"alertd.metrics.db", 0, []string{gauge("disk", "db", 0.9), gauge("slow", "db", 1)}}, // held; inhibited
		{"alertd.metrics.web", 1, []string{gauge("slow", "web", 1)}},
		{"alertd.metrics.mail", 0, []string{gauge("slow", "mail", 1), gauge("slow", "mail", 0)}}, // over before it is told
		{"alertd.events.deployment", 2, []string{`{"type":"deployment.completed","service":"web","message":"v2 is live"}`}},
		{"alertd.metrics.api", 1, []string{gauge("up", "api", 1)}},
		{"alertd.metrics.web", 1, []string{gauge("slow", "web", 0)}},
		{"alertd.metrics.api", 1, []string{gauge("up", "api", 0)}},
		{"alertd.metrics.db", 2, []string{gauge("up", "db", 1)}}, // nothing hides that it is slow
		// The second end within half an hour: it flaps, and its end waits.
		{"alertd.metrics.api", 0, []string{gauge("up", "api", 1) + "\n" + gauge("nobody_reads_this", "api", 1)}},
	} {
		for _, event := range step.events {
			if _, err := js.PublishAsync(step.subject, []byte(event)); err != nil { // an answer may take a busy machine as long as a rule's for
				t.Fatal(err)
			}
			time.Sleep(2 * time.Millisecond) // of one millisecond one sample of a series counts
		}
		select {
		case <-js.PublishAsyncComplete():
		case <-time.After(3 * time.Minute):
			t.Fatalf("step %d: the stream does not take the events", i)
		}
		for range step.pages {
			select {
			case p := <-pages:
				daemon = append(daemon, p)
			case <-time.After(3 * time.Minute):
				t.Fatalf("step %d: a page is missing; so far:\n%v", i, daemon)
			}
		}
	}
	select {
	case p := <-pages:
		t.Fatalf("a page too many: %v after\n%v", p, daemon)
	case <-time.After(2 * time.Second):
	}
	until := time.Now()

	var stdout, stderr bytes.Buffer
	args := []string{"backtest", dir, "--nats", a.NATS(), "-o", "json", "--until", until.UTC().Format(time.RFC3339Nano)}
	if code := run(t.Context(), args, nil, &stdout, &stderr); code != 0 {
		t.Fatalf("%d: %s", code, stderr.String())
	}
	var out struct {
		Report struct {
			Notifications []struct {
				At                       time.Time
				Receiver, Status, Reason string
				Alerts                   []struct {
					State               string
					Labels, Annotations map[string]string
				}
			}
		}
	}
	if err := json.Unmarshal(stdout.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	var replayed []told
	for _, n := range out.Report.Notifications {
		var alerts []string
		group := n.Alerts[0].Labels["alertname"] + " " + n.Alerts[0].Labels["service"]
		for _, a := range n.Alerts {
			alerts = append(alerts, fmt.Sprintf("%s %s %s %q", a.Labels["alertname"], a.Labels["service"], a.State, a.Annotations["summary"]))
		}
		replayed = append(replayed, told{n.At, group, line(n.Receiver, n.Status, n.Reason, alerts)})
	}
	// Of different groups, either may be told first.
	for _, list := range [][]told{daemon, replayed} {
		slices.SortStableFunc(list, func(a, b told) int { return strings.Compare(a.group, b.group) })
	}
	for i := range max(len(daemon), len(replayed)) {
		switch {
		case i >= len(daemon):
			t.Errorf("only in the backtest: %s", replayed[i].line)
		case i >= len(replayed):
			t.Errorf("only by the daemon: %s", daemon[i].line)
		case daemon[i].line != replayed[i].line:
			t.Errorf("told %s\nreplayed %s", daemon[i].line, replayed[i].line)
		case daemon[i].at.Sub(replayed[i].at).Abs() > 30*time.Second:
			t.Errorf("%s: told at %s, replayed at %s", daemon[i].line, daemon[i].at.UTC(), replayed[i].at)
		default:
			t.Logf("%s, %s later than replayed", daemon[i].line, daemon[i].at.Sub(replayed[i].at).Round(time.Millisecond))
		}
	}
}

// daemon runs one in this process, on a folder of rules. It has to be stopped.
func daemon(t *testing.T, rules, data string) (a *app.App, stop func()) {
	t.Helper()
	a, err := app.New(t.Context(), app.Options{
		Rules: os.DirFS(rules), Data: data, Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:0", Console: io.Discard,
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	return a, func() {
		cancel()
		if err := errors.Join(<-ended, a.Close(context.Background())); err != nil {
			t.Error(err)
		}
	}
}

// connect is a client of the daemon's NATS.
func connect(t *testing.T, a *app.App) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(a.NATS(), nats.Timeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return js
}
