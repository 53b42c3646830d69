package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"alertd"
	"alertd/natsbus/natstest"
)

// opens is when the shop opens in tests.
var opens = time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)

// play returns what n seconds of a shop publish, and what the narrator says.
func play(seed uint64, n int) (lines []string, messages []message) {
	s := newShop(seed)
	for i := range n {
		l, m := s.second(opens.Add(time.Duration(i) * time.Second))
		lines, messages = append(lines, l...), append(messages, m...)
	}
	return lines, messages
}

func TestSameSeedSameShop(t *testing.T) {
	linesA, a := play(7, 90)
	linesB, b := play(7, 90)
	if !reflect.DeepEqual(a, b) || !reflect.DeepEqual(linesA, linesB) {
		t.Error("two runs with one seed differ")
	}
	if _, c := play(8, 90); reflect.DeepEqual(a, c) {
		t.Error("the seed changes nothing")
	}
}

func TestStory(t *testing.T) {
	_, messages := play(1, 90)
	last := map[string]float64{}
	health := map[time.Time]alertd.Health{}
	var types []string
	for _, m := range messages {
		switch {
		case strings.HasPrefix(m.subject, "alertd.metrics."):
			var samples []metric
			decode(t, m, &samples)
			for _, x := range samples {
				if "alertd.metrics."+x.Labels["service"] != m.subject {
					t.Fatalf("%s on %s", x.Labels, m.subject)
				}
				key := x.Name + x.Labels["service"] + x.Labels["code"] + x.Labels["le"]
				if x.Value < last[key] {
					t.Fatalf("counter %s falls from %g to %g", key, last[key], x.Value)
				}
				if strings.HasPrefix(x.Name, "http_") {
					last[key] = x.Value
				}
			}
		case m.subject == "alertd.health.payments":
			var h alertd.Health
			decode(t, m, &h)
			health[h.Timestamp] = h
		case strings.HasPrefix(m.subject, "alertd.events."):
			var o occurrence
			decode(t, m, &o)
			if len(o.TraceID) != 32 || len(o.SpanID) != 16 || "alertd.events."+o.Type != m.subject {
				t.Errorf("%s: %+v", m.subject, o)
			}
			types = append(types, o.Type)
		}
	}
	for second, want := range map[int]alertd.HealthStatus{5: alertd.Healthy, 10: alertd.Unhealthy, 65: alertd.Unhealthy, 70: alertd.Healthy} {
		if got := health[opens.Add(time.Duration(second)*time.Second)]; got.Status != want || got.Checks["database"].Status != want {
			t.Errorf("second %d: %+v, want %s", second, got, want)
		}
	}
	if want := []string{"deployment.completed", "backup.succeeded", "deployment.completed"}; !reflect.DeepEqual(types, want) {
		t.Errorf("events %v, want %v", types, want)
	}
	ratio := func(service string) float64 {
		return last["http_requests_total"+service+"500"] / (last["http_requests_total"+service+"200"] + last["http_requests_total"+service+"500"])
	}
	if ratio("payments") < 0.2 || ratio("storefront") > 0.01 {
		t.Errorf("errors: payments %g, storefront %g", ratio("payments"), ratio("storefront"))
	}
}

func decode(t *testing.T, m message, into any) {
	t.Helper()
	if err := json.Unmarshal(m.body, into); err != nil {
		t.Fatalf("%s: %v", m.subject, err)
	}
}

// TestRun plays the story against a real server, fast, until payments is well again.
func TestRun(t *testing.T) {
	js := stream(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out bytes.Buffer
	consumer, err := js.OrderedConsumer(ctx, "EVENTS", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"alertd.events.deployment.completed"}})
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan struct{}, 10)
	consuming, err := consumer.Consume(func(jetstream.Msg) { seen <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	defer consuming.Stop()
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, Options{NATSURL: js.Conn().ConnectedUrl(), Speed: 1000, Seed: 1, Out: &out})
	}()
	for range 2 { // the second deployment ends the outage
		select {
		case <-seen:
		case err := <-done:
			t.Fatal("ended early:", err)
		case <-time.After(time.Minute):
			t.Fatal("no deployment within a minute")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error("a cancelled demo is no error:", err)
	}
	for _, want := range []string{"demo 0:00", "demo 0:10  payments loses its database", "demo 1:10"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the narrator does not say %q:\n%s", want, &out)
		}
	}
}

func TestRunWithoutStream(t *testing.T) {
	js := stream(t)
	if err := js.DeleteStream(t.Context(), "EVENTS"); err != nil {
		t.Fatal(err)
	}
	err := Run(t.Context(), Options{NATSURL: js.Conn().ConnectedUrl()})
	if err == nil || !strings.Contains(err.Error(), "start alertd on this server first") {
		t.Error(err)
	}
	if err := Run(t.Context(), Options{Speed: -1}); err == nil {
		t.Error("a negative speed is accepted")
	}
}

// stream is a server of its own with a stream for alertd.>.
func stream(t *testing.T) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(natstest.Start(t, server.Options{JetStream: true}).ClientURL(), nats.Timeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"alertd.>"}}); err != nil {
		t.Fatal(err)
	}
	return js
}

func TestWriteRules(t *testing.T) {
	dir := t.TempDir()
	if err := WriteRules(dir, opens.Add(20*time.Second)); err != nil {
		t.Fatal(err)
	}
	routing, err := os.ReadFile(filepath.Join(dir, "routing.yaml"))
	if err != nil || !bytes.Contains(routing, []byte("    hours: ['mon-sun 10:33-18:33']\n")) {
		t.Errorf("%v\n%s", err, routing)
	}
	if _, err := os.Stat(filepath.Join(dir, "critical.yaml")); err != nil {
		t.Error(err)
	}
	for s := range 60 {
		now := opens.Add(time.Duration(s) * time.Second)
		from, _, _ := strings.Cut(opening(now), "-")
		at, err := time.Parse("15:04", from)
		if err != nil {
			t.Fatal(err)
		}
		wait := time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute - now.Sub(now.Truncate(24*time.Hour))
		if wait < 2*time.Minute+20*time.Second || wait > 3*time.Minute+20*time.Second {
			t.Errorf("at %s business hours open in %s", now, wait)
		}
	}
}
