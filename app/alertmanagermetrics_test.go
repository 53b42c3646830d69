package app_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"alertd/app"
)

// TestAlertmanagerMetrics reads what dashboards and alerts about an Alertmanager read.
func TestAlertmanagerMetrics(t *testing.T) {
	s := newSink(t)
	rules := files(s.URL)
	a, err := app.New(t.Context(), app.Options{
		Rules: rules, Data: t.TempDir(), Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:0", Console: io.Discard,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, a)
	post := func(path, body string) (int, string) {
		t.Helper()
		res, err := http.Post("http://"+a.HTTP()+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
	shows := func(want ...string) {
		t.Helper()
		var text string
		for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
			_, text = get(t, a, "/metrics")
			missing := ""
			for _, line := range want {
				if !strings.Contains(text, "\nalertmanager_"+line+"\n") {
					missing = line
				}
			}
			if missing == "" {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("no alertmanager_%s among\n%s", missing, text)
			}
		}
	}

	shows(`alerts{state="active"} 0`, `alerts_invalid_total{version="v2"} 0`, `notifications_failed_total{integration="slack",reason="serverError"} 0`,
		"config_last_reload_successful 1")
	now := time.Now().UTC()
	if status, text := post("/api/v2/silences", fmt.Sprintf(`{"matchers":[{"name":"service","value":"quiet","isRegex":false}],"createdBy":"ann","comment":"x","startsAt":%q,"endsAt":%q}`,
		now.Format(time.RFC3339), now.Add(time.Hour).Format(time.RFC3339))); status != http.StatusOK {
		t.Fatal(status, text)
	}
	status, text := post("/api/v2/alerts", `[{"labels":{"alertname":"A","service":"quiet"}},{"labels":{"alertname":"A","service":"loud"}},
		{"labels":{"alertname":"A","service":"over"},"endsAt":"2026-01-01T00:00:00Z"},{"labels":{}}]`)
	if status != http.StatusBadRequest {
		t.Fatal(status, text)
	}
	s.next(t)
	shows(`alerts{state="active"} 1`, `alerts{state="suppressed"} 1`, `alerts{state="unprocessed"} 0`, `silences{state="active"} 1`, `silences{state="expired"} 0`,
		`alerts_received_total{status="firing",version="v2"} 2`, `alerts_received_total{status="resolved",version="v2"} 1`, `alerts_invalid_total{version="v2"} 1`,
		`notifications_total{integration="webhook"} 1`, `notification_latency_seconds_count{integration="webhook"} 1`,
		`notifications_failed_total{integration="webhook",reason="clientError"} 0`)

	// A bad file is told to whoever asked, and the old one goes on.
	good := rules["routing.yaml"]
	rules["routing.yaml"] = &fstest.MapFile{Data: []byte("route:\n  receiver: nobody\n")}
	if status, text := post("/-/reload", ""); status != http.StatusInternalServerError || !strings.Contains(text, "routing.yaml:2:13: ") {
		t.Errorf("a reload of a bad file: %d %s", status, text)
	}
	shows("config_last_reload_successful 0")
	s.mu.Lock()
	s.fail = 1
	s.mu.Unlock()
	post("/api/v2/alerts", `[{"labels":{"alertname":"B","service":"more"}}]`)
	s.next(t)
	shows(`notifications_total{integration="webhook"} 3`, `notifications_failed_total{integration="webhook",reason="serverError"} 1`)
	rules["routing.yaml"] = good
	if status, text := post("/-/reload", ""); status != http.StatusOK {
		t.Errorf("a reload of a good file: %d %s", status, text)
	}
	shows("config_last_reload_successful 1")
}
