package e2e_test

import (
	"os"
	"testing"

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

	// The first one comes back and stands by in its turn.
	w.start()
	if code, err := w.daemon.Stop(); code != 0 || err != nil {
		t.Errorf("a standby that is told to end: exit code %d, %v", code, err)
	}
	w.daemon = nil
	if err := standby.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	<-standby.Done()
}
