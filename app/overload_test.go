package app_test

import (
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"alertd/app"
)

// TestOverload: more events than can be judged as they come. Each key is judged less often, the metric and readiness say
// so, what is paged for comes through, no sample is left out, and afterwards all is as before.
func TestOverload(t *testing.T) {
	const services = 40
	var rules strings.Builder
	rules.WriteString("groups:\n- name: own\n  interval: 5s\n  rules:\n  - {alert: Down, expr: up == 0, labels: {severity: critical}}\n")
	for i := range 5 { // none of them has a cheap way
		fmt.Fprintf(&rules, "  - {alert: A%d, expr: 'sum by (service) (quantile_over_time(0.9, load[1m]) ^ 2) > 1e9 + %d'}\n", i, i)
	}
	s := newSink(t)
	fsys := files(s.URL)
	fsys["rules.yaml"] = &fstest.MapFile{Data: []byte(rules.String())}
	a, err := app.New(t.Context(), app.Options{
		Rules: fsys, Data: t.TempDir(), Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:0", Console: io.Discard,
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer run(t, a)()
	js := connect(t, a.NATS())
	number := func(text, name string) float64 {
		m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(text)
		if m == nil {
			return -1
		}
		v, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	until(t, a, "/health/ready", `{"status":"healthy"`)
	until(t, a, "/metrics", "alertd_settle_seconds 0.1\n")

	// The loop is held up while events come, as if each took too long. How soon it has caught up is the machine's affair, so that it may
	// take several times until somebody who asks sees it in between.
	published, worst, said := 0, 0.0, false
	for end := time.Now().Add(3 * time.Minute); worst <= 0.2 || !said; {
		if time.Now().After(end) {
			t.Fatalf("%d events did not overload it: settle delay %v, readiness said so: %t", published, worst, said)
		}
		goOn, at := a.Hold(t), time.Now().Add(-time.Second)
		for range 250 {
			at = at.Add(time.Millisecond) // of one instant one sample counts
			for i := range services {
				event := fmt.Sprintf(`{"name":"load","labels":{"service":"s%d"},"value":%d,"time":%d}`, i, published, at.UnixMilli())
				if _, err := js.PublishAsync("alertd.metrics.load", []byte(event), jetstream.WithStallWait(time.Minute)); err != nil {
					t.Fatal(err)
				}
				published++
			}
		}
		select {
		case <-js.PublishAsyncComplete():
		case <-time.After(3 * time.Minute):
			t.Fatal("the stream does not take the events")
		}
		time.Sleep(500 * time.Millisecond) // they wait for that long at least
		goOn()
		for taken := fmt.Sprintf("alertd_events_received_total %d\n", published); ; {
			_, text := get(t, a, "/metrics")
			worst = max(worst, number(text, "alertd_settle_seconds"))
			_, ready := get(t, a, "/health/ready")
			said = said || strings.Contains(ready, "more events arrive than can be judged")
			if strings.Contains(text, taken) || worst > 0.2 && said {
				break
			}
		}
	}

	// A page comes through: its key was quiet.
	publish(t, a, "alertd.metrics.api", down)
	if p := s.next(t); p.Status != "firing" {
		t.Errorf("paged %+v", p)
	}
	until(t, a, "/health/ready", `{"status":"healthy"`)
	until(t, a, "/metrics", "alertd_settle_seconds 0.1\n")
	until(t, a, "/metrics", fmt.Sprintf("alertd_checkpoint_sequence %d\n", published+1))
	until(t, a, "/api/v1/query?query=sum(count_over_time(load[1h]))", fmt.Sprintf(`"%d"`, published))
	_, text := get(t, a, "/metrics")
	for name, want := range map[string]float64{
		"alertd_events_received_total": float64(published + 1), "alertd_events_lost_total": 0, "alertd_dead_letters_total": 0,
		`alertd_samples_refused_total\{reason="duplicate"\}`: 0, `alertd_samples_refused_total\{reason="too late"\}`: 0,
	} {
		if got := number(text, name); got != want {
			t.Errorf("%s is %v, not %v", name, got, want)
		}
	}
	t.Logf("%d events, settle delay up to %v s", published, worst)
}
