package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"alertd/e2e"
)

// Two daemons on one NATS: one leads, the other stands by. When the leader is killed, the other one knows what was
// told, tells what follows, and repeats nothing.
func TestFailover(t *testing.T) {
	t.Parallel()
	url := startNATS(t)
	w := newWorld(t, shop, func(o *e2e.Options) { o.NATS = url })
	second := w.opts
	second.Data, second.Listen = t.TempDir(), ""
	standby, err := e2e.Start(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(standby.Kill)

	w.publish("alertd.metrics.api", metricBody("broken", "api", 1))
	w.page("Broken", "api", "firing")
	w.history(reached("firing")) // the leader has written that it was
	w.kill()

	w.publish("alertd.metrics.web", metricBody("broken", "web", 1))
	w.page("Broken", "web", "firing")
	w.publish("alertd.metrics.api", metricBody("broken", "api", 0))
	w.page("Broken", "api", "resolved")
	checkToldOnce(t, w.sink, nil)

	// The first one comes back and stands by in its turn: it knows the other one, answers what that one knows, and hands on what it is told.
	w.start()
	w.post("Posted", "db", time.Now().Add(time.Hour))
	w.page("Posted", "db", "firing")
	var status struct {
		Cluster struct{ Peers []struct{ Address string } }
	}
	w.eventually(func() error { // on a busy machine one may not answer in time
		if w.json("/api/v2/status", &status); len(status.Cluster.Peers) != 2 {
			return fmt.Errorf("peers: %+v", status.Cluster.Peers)
		}
		return nil
	})
	for _, path := range []string{"/api/v2/alerts", "/api/v1/alerts", "/"} {
		if body := w.get(path); !strings.Contains(body, "Posted") {
			t.Errorf("the standby's %s does not have the alert: %s", path, body)
		}
	}
	for path, want := range map[string]int{"/health/live": http.StatusOK, "/metrics": http.StatusOK, "/api/v1/nothing": http.StatusNotFound} {
		res, err := http.Get(w.daemon.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("the standby's %s: %d, want %d", path, res.StatusCode, want)
		}
	}
	if code, err := w.daemon.Stop(); code != 0 || err != nil {
		t.Errorf("a standby that is told to end: exit code %d, %v", code, err)
	}
	w.daemon = nil
	if err := standby.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	<-standby.Done()
}
