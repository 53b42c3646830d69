package e2e_test

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"alertd/e2e"
	"alertd/rules"
)

const lostTrace = "4bf92f3577b34da6a3ce929d0e0e4736"

// shippedWith are the shipped files, with a webhook in place of the console and ticks of a second.
func shippedWith(t *testing.T, health string) map[string]string {
	t.Helper()
	files := map[string]string{}
	names, err := fs.Glob(rules.Shipped(), "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	change := strings.NewReplacer("console_configs: [{}]", "webhook_configs: [{url: '{{sink}}'}]",
		"interval: 15s", "interval: 1s", "keep_firing_for: 20s", "keep_firing_for: 3s", "group_interval: 30s", "group_interval: 1s")
	for _, name := range names {
		data, err := fs.ReadFile(rules.Shipped(), name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = change.Replace(string(data))
	}
	files["health.yaml"] = health
	return files
}

// TestDatabaseOfFiveServices is a night on call: five services speak the seed format over HTTP, their database fails, and
// one page says so: with the database, the services, what to do first, the runbook and the trace. When the database is
// back the page is closed.
func TestDatabaseOfFiveServices(t *testing.T) {
	t.Parallel()
	var lost, restored atomic.Bool
	shop := []string{"cart", "catalog", "checkout", "orders", "search"}
	var health strings.Builder
	health.WriteString("components: {pg-main: ['*.database', checkout.postgres]}\ntargets:\n")
	for _, name := range append(slices.Clone(shop), "mail") {
		check := "database"
		if name == "checkout" {
			check = "postgres"
		}
		s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			now := time.Now().UTC().Format(time.RFC3339Nano)
			switch {
			case r.URL.Path == "/health/live":
				fmt.Fprintf(rw, `{"status":"healthy","checks":{},"timestamp":%q}`, now)
			case lost.Load() && !restored.Load() && name != "mail":
				rw.Header().Set("Traceresponse", "00-"+lostTrace+"-00f067aa0ba902b7-01")
				rw.WriteHeader(http.StatusServiceUnavailable)
				fmt.Fprintf(rw, `{"status":"unhealthy","checks":{%q:{"status":"unhealthy","latency_ms":5000,"error":"dial tcp: i/o timeout"}},"timestamp":%q}`, check, now)
			default:
				fmt.Fprintf(rw, `{"status":"healthy","checks":{%q:{"status":"healthy","latency_ms":3}},"timestamp":%q}`, check, now)
			}
		}))
		t.Cleanup(s.Close)
		health.WriteString(fmt.Sprintf("  - {service: %s, url: '%s', interval: 4s, timeout: 3500ms, environment: prod}\n", name, s.URL))
	}
	jaeger := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/trace/"+lostTrace {
			http.NotFound(rw, r)
		}
	}))
	t.Cleanup(jaeger.Close)

	config := filepath.Join(t.TempDir(), "alertd.yaml")
	text := "traces: {url_template: '" + jaeger.URL + "/trace/{{.TraceID}}'}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, shippedWith(t, health.String()), func(o *e2e.Options) { o.Args = append(o.Args, "--config", config) })
	w.eventually(func() error { // all of them were well, so that the rules know who shares the database
		for _, name := range shop {
			if out := w.get("/api/v1/query?query=health_status%7Bservice%3D%22" + name + "%22%7D"); !strings.Contains(out, `"service":"`+name) {
				return fmt.Errorf("nothing is known of %s: %s", name, out)
			}
		}
		return nil
	})

	lost.Store(true)
	page := w.page("ComponentUnhealthy", "", "firing")
	for _, want := range []string{
		"pg-main is unhealthy in prod", `"cart, catalog, checkout, orders, search"`, "Look at pg-main itself",
		w.daemon.URL + "/runbooks/ComponentUnhealthy", jaeger.URL + "/trace/" + lostTrace,
	} {
		if !strings.Contains(page.Body, want) {
			t.Errorf("the page does not say %q: %s", want, page.Body)
		}
	}
	if len(page.Alerts) != 1 {
		t.Errorf("the page is about %d alerts: %s", len(page.Alerts), page.Body)
	}
	if runbook := w.get("/runbooks/ComponentUnhealthy"); !strings.Contains(runbook, "Several services have lost") {
		t.Errorf("the runbook: %s", runbook)
	}
	if resp, err := http.Get(jaeger.URL + "/trace/" + lostTrace); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("the trace: %v %v", resp, err)
	}
	// The services are checked, judged and on record as ever; why nobody was paged for them can be looked up.
	if out := w.alertd("alerts"); strings.Count(out, "DatabaseUnreachable") != len(shop) || strings.Count(out, "ApplicationDown") != len(shop) {
		t.Errorf("alertd alerts: %s", out)
	}
	w.eventually(func() error {
		out, err := w.try("why", "ApplicationDown", "--service", "orders")
		if err != nil || !strings.Contains(out, "inhibited by ComponentUnhealthy") {
			return fmt.Errorf("alertd why: %v\n%s", err, out)
		}
		return nil
	})

	// Neither a restart nor a reload pages anybody.
	w.stop()
	w.start()
	if err := w.daemon.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() error {
		if !strings.Contains(w.daemon.Log(), "configuration reloaded") {
			return fmt.Errorf("not reloaded")
		}
		return nil
	})

	restored.Store(true)
	w.page("ComponentUnhealthy", "", "resolved")
	w.history(func(ts []transition) bool {
		over := map[string]bool{}
		for _, tr := range ts {
			over[tr.Service] = over[tr.Service] || tr.To == "resolved"
		}
		for _, name := range shop {
			if !over[name] {
				return false
			}
		}
		return true
	}, "--alert", "DatabaseUnreachable")
	w.stop()
	if pages, wrong := w.sink.Pages(); len(pages) != 2 || len(wrong) != 0 {
		t.Errorf("%d pages instead of 2: %+v %v", len(pages), pages, wrong)
	}
}
