package app_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"

	"alertd/app"
)

// quiet runs a daemon that logs warnings only: in a storm the rest is too much.
func quiet(t *testing.T, rules fstest.MapFS) *app.App {
	t.Helper()
	a, err := app.New(t.Context(), app.Options{
		Rules: rules, Data: t.TempDir(), Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:0", Console: io.Discard,
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, a)
	until(t, a, "/metrics", "alertd_leading 1\n") // a check of the readiness may be healthy before
	return a
}

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
	a := quiet(t, fsys)
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

// TestPageWithinAPost: six thousand alerts come in one POST, and the first page leaves before the last of them is decided,
// though the POST is answered when all of them are remembered.
func TestPageWithinAPost(t *testing.T) {
	const alerts = 6_000
	s := newSink(t)
	a := quiet(t, files(s.URL))
	var body strings.Builder
	for i := range alerts {
		service := "bulk"
		if i == 0 {
			service = "first"
		}
		fmt.Fprintf(&body, `%c{"labels":{"alertname":"Posted","service":%q,"severity":"info","instance":"i%d"}}`, "[,"[min(i, 1)], service, i)
	}
	body.WriteByte(']')
	text := strings.Replace(body.String(), "info", "critical", 1)
	answered := make(chan int, 1)
	go func() {
		resp, err := http.Post("http://"+a.HTTP()+"/api/v2/alerts", "application/json", strings.NewReader(text))
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		_ = resp.Body.Close()
		answered <- resp.StatusCode
	}()
	p := s.next(t)
	if p.Status != "firing" || p.Alerts[0].Labels["service"] != "first" {
		t.Errorf("paged %+v", p)
	}
	select {
	case <-answered:
		t.Fatal("the page had to wait until everything was decided")
	default:
	}
	if code := <-answered; code != http.StatusOK {
		t.Errorf("answered %d", code)
	}
	_, text = get(t, a, "/metrics")
	if want := fmt.Sprintf("alertd_alerts{state=\"firing\"} %d\n", alerts); !strings.Contains(text, want) {
		t.Errorf("no %q in\n%s", want, text)
	}
}
