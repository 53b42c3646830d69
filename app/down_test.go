package app_test

import (
	"context"
	"path/filepath"
	"testing"

	"alertd/natsbus"
)

// What ended while alertd was down is told when it is back.
func TestEndedWhileDown(t *testing.T) {
	s, data := newSink(t), t.TempDir()
	a, stop := daemon(t, data, s)
	publish(t, a, "alertd.metrics.api", down)
	if p := s.next(t); p.Status != "firing" {
		t.Errorf("paged %+v", p)
	}
	until(t, a, "/api/v1/history", `"to":"firing"`)
	stop()

	// The stream takes events without anybody who judges them.
	bus, err := natsbus.Open(t.Context(), natsbus.Options{StoreDir: filepath.Join(data, "nats"), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bus.JetStream().Publish(t.Context(), "alertd.metrics.api", []byte(up)); err != nil {
		t.Fatal(err)
	}
	if err := bus.Close(context.Background()); err != nil {
		t.Fatal(err)
	}

	a, stop = daemon(t, data, s)
	if p := s.next(t); p.Status != "resolved" || p.Reason != "all alerts resolved" {
		t.Errorf("paged %+v", p)
	}
	until(t, a, "/api/v1/history", `"reason":"condition ended"`)
	s.none(t)
	stop()
}
