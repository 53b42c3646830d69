package app_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"

	"alertd/app"
)

// TestPageBehindManyAlerts: ten thousand alerts of one rule fire by event, each in a partition of its own, and the page of another
// rule comes all the same. Whoever follows an alert must not look at all the others of its rule: that took minutes.
func TestPageBehindManyAlerts(t *testing.T) {
	const alerts, pack = 10_000, 100
	s := newSink(t)
	fsys := files(s.URL)
	fsys["many.yaml"] = &fstest.MapFile{Data: []byte(`groups:
- name: many
  interval: 15s
  rules:
  - {alert: Many, expr: many == 1, labels: {severity: info}}
`)}
	a, err := app.New(t.Context(), app.Options{
		Rules: fsys, Data: t.TempDir(), Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:0", Console: io.Discard,
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, a)
	for i := 0; i < alerts; i += pack {
		var body strings.Builder
		for j := i; j < i+pack; j++ {
			fmt.Fprintf(&body, `{"name":"many","labels":{"service":"s%d"},"value":1}`+"\n", j)
		}
		publish(t, a, "alertd.metrics.many", body.String())
	}
	publish(t, a, "alertd.metrics.api", down)
	if p := s.next(t); p.Status != "firing" || p.Alerts[0].Labels["alertname"] != "Down" {
		t.Errorf("paged %+v", p)
	}
	until(t, a, "/metrics", fmt.Sprintf("alertd_checkpoint_sequence %d\n", alerts/pack+1))
	until(t, a, "/api/v1/query?query="+url.QueryEscape(`count(ALERTS{alertname="Many",alertstate="firing"})`), fmt.Sprintf(`"%d"`, alerts))
}
