package e2e_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"alertd/healthpoll"
)

// TestHealthPollOverNATS watches micro services, listed and not, and a heartbeat on the daemon's own NATS, and a network that fails as
// a whole, which is one page and not one for each target.
func TestHealthPollOverNATS(t *testing.T) {
	t.Parallel()
	network, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { network.Close() })
	go func() {
		for {
			c, err := network.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	var targets strings.Builder
	targets.WriteString("discover: {nats_micro: {interval: 1s, fast_interval: 200ms}}\n")
	targets.WriteString("targets:\n  - {service: billing, url: nats:$SRV.PING.billing, interval: 1s, fast_interval: 100ms}\n")
	targets.WriteString("  - {service: backup, url: heartbeat:alertd.metrics.backup, interval: 2s}\n")
	for i := range 6 {
		fmt.Fprintf(&targets, "  - {service: remote%d, url: 'tcp://%s', interval: 4s, timeout: 3s, fast_interval: 300ms}\n", i, network.Addr())
	}
	w := newWorld(t, map[string]string{
		"routing.yaml": shop["routing.yaml"],
		"down.yaml": `
groups:
  - name: down
    rules:
      - alert: Down
        expr: health_status{status="unhealthy"} == 1
        labels: {severity: critical}
`,
		"health.yaml": targets.String(),
	})
	w.page("Down", "billing", "firing") // it has not begun to serve
	nc, err := nats.Connect(w.daemon.NATS, nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if _, err := micro.AddService(nc, micro.Config{Name: "billing", Version: "1.0.0"}); err != nil {
		t.Fatal(err)
	}
	w.page("Down", "billing", "resolved")

	// One that nobody has listed is found, and missed.
	ledger, err := micro.AddService(nc, micro.Config{Name: "ledger", Version: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	w.eventually(func() error {
		if out := w.get("/api/v1/query?query=health_status%7Bservice%3D%22ledger%22%7D"); !strings.Contains(out, `"ledger"`) {
			return fmt.Errorf("nothing is known of ledger: %s", out)
		}
		return nil
	})
	if err := ledger.Stop(); err != nil {
		t.Fatal(err)
	}
	w.page("Down", "ledger", "firing")

	w.page("Down", "backup", "firing")
	beating := make(chan struct{})
	defer close(beating)
	go func() {
		for tick := time.NewTicker(300 * time.Millisecond); ; {
			select {
			case <-beating:
				return
			case <-tick.C:
				_ = w.nc.Publish("alertd.metrics.backup", []byte(`{"name":"backup_runs_total","value":1}`))
			}
		}
	}()
	w.page("Down", "backup", "resolved")

	network.Close()
	w.page("Down", healthpoll.OwnService, "firing")
	for i := range 6 {
		w.noPage("Down", fmt.Sprintf("remote%d", i), "firing")
	}
}
