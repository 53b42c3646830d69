package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"alertd/e2e"
)

// plain is an alertmanager.yml as people have it, under the name that alertd looks for.
var plain = map[string]string{"routing.yaml": `
global: {resolve_timeout: 5m}
route:
  receiver: nobody
  group_by: [alertname, service]
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 4h
  routes:
    - matchers: [severity = critical]
      receiver: hook
receivers:
  - name: nobody
  - name: hook
    webhook_configs: [{url: '{{sink}}'}]
`}

// debian is the path of one of Debian's programs. Where it is missing, the test is skipped.
func debian(t *testing.T, program, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("no %s (Debian has it in %s): %v", program, pkg, err)
	}
	return path
}

// TestAmtool drives the daemon with Alertmanager's own client.
func TestAmtool(t *testing.T) {
	t.Parallel()
	bin := debian(t, "amtool", "prometheus-alertmanager")
	w := newWorld(t, plain)
	try := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), bin, append([]string{"--alertmanager.url", w.daemon.URL, "--no-version-check"}, args...)...)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		return strings.Join(strings.Fields(string(out)), " "), err
	}
	expect := func(want string, args ...string) string {
		t.Helper()
		out, err := try(args...)
		if err != nil || !regexp.MustCompile(want).MatchString(out) {
			t.Fatalf("amtool %s: %v\n%s\nwant %s\n%s", strings.Join(args, " "), err, out, want, w.daemon.Log())
		}
		return out
	}
	add := func(alert, service string, more ...string) {
		t.Helper()
		expect(`^$`, append([]string{"alert", "add", alert, "service=" + service, "severity=critical", "--annotation=summary=It is broken."}, more...)...)
	}

	add("Disk", "api")
	w.page("Disk", "api", "firing")
	expect(`^Alertname Starts At Summary State Disk .* It is broken\. active$`, "alert")

	// Silenced: nobody hears of it, until the silence is over.
	id := expect(`^[0-9a-f-]{36}$`, "silence", "add", "Disk", "service=~db|cache", "--comment=works on it", "--author=Ann", "--duration=1h")
	add("Disk", "db")
	add("Disk", "web")
	w.page("Disk", "web", "firing")
	expect(`^Alertname Starts At Summary State Disk .* suppressed$`, "alert", "query", "--silenced", "service=db")
	expect(`^Alertname Starts At Summary State$`, "alert", "query", "service=db")
	if got := expect(``, "silence", "update", "--comment=still works on it", "--duration=2h", id); !strings.Contains(got, id) {
		t.Errorf("another comment and a later end made another silence: %s", got)
	}
	expect(`^ID Matchers Ends At Created By Comment `+id+` alertname="Disk" service=~"db\|cache" .* Ann still works on it$`, "silence", "query")

	// Silences outlive the daemon.
	w.kill()
	w.start()
	w.eventually(func() error {
		out, err := try("silence", "query", "-q")
		if err == nil && out != id {
			err = fmt.Errorf("silences after a kill: %s, want %s", out, id)
		}
		return err
	})
	w.noPage("Disk", "db", "firing")

	file := filepath.Join(t.TempDir(), "silences.json")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(expect(`^\[`, "silence", "query", "-o", "json"), id, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(`^$`, "silence", "expire", id)
	w.page("Disk", "db", "firing")
	expect(id, "silence", "query", "--expired")
	imported := expect(`^[0-9a-f-]{36}$`, "silence", "import", file)
	expect(`^`+imported+`$`, "silence", "query", "-q")
	if out, err := try("silence", "add", "service=~.*", "--comment=x", "--author=Ann"); err == nil || !strings.Contains(out, "at least one matcher must not match the empty string") {
		t.Errorf("a silence that hides everything: %v %s", err, out)
	}

	add("Disk", "api", "--end="+time.Now().Add(-time.Second).Format(time.RFC3339))
	w.page("Disk", "api", "resolved")

	expect(`^Cluster Status: ready Node Name: \S+ Address Name `+regexp.QuoteMeta(w.opts.Listen)+` \S+$`, "cluster", "show", "-o", "extended")
	expect(`group_by: \[alertname, service\]`, "config", "show")
	expect(`^hook$`, "config", "routes", "test", "severity=critical")
	expect(`{severity="critical"} receiver: hook`, "config", "routes", "show")
}

// TestPrometheus lets a real Prometheus fire and resolve an alert through the daemon.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	bin := debian(t, "prometheus", "prometheus")
	w := newWorld(t, plain)
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rule := func(expr string) {
		write("rules.yml", `groups: [{name: g, rules: [{alert: Broken, expr: '`+expr+`', labels: {service: api, severity: critical},
			annotations: {summary: 'It is broken: {{ $value }}'}}]}]`)
	}
	rule("vector(7)")
	write("prometheus.yml", `
global: {evaluation_interval: 1s, external_labels: {region: eu}}
rule_files: [rules.yml]
alerting: {alertmanagers: [{static_configs: [{targets: ['`+w.opts.Listen+`']}]}]}
`)
	var log strings.Builder
	cmd := exec.Command(bin, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0",
		"--rules.alert.resend-delay=1s") // it knows its Alertmanagers only some seconds after it began to judge
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("Prometheus said\n%s", log.String())
		}
	})

	p := w.page("Broken", "api", "firing")
	if a := p.Alerts[0]; a.Annotations["summary"] != "It is broken: 7" || a.Labels["region"] != "eu" || !strings.Contains(a.GeneratorURL, "/graph?g0.expr=vector%287%29") {
		t.Errorf("the page says other than Prometheus: %s", p.Body)
	}
	var shown []struct {
		Fingerprint  string
		Labels       map[string]string
		GeneratorURL string
		StartsAt     time.Time
		EndsAt       time.Time
		Receivers    []struct{ Name string }
		Status       struct{ State string }
	}
	w.json("/api/v2/alerts", &shown)
	if len(shown) != 1 || shown[0].Fingerprint != p.Alerts[0].Fingerprint || shown[0].Status.State != "active" || shown[0].Receivers[0].Name != "hook" ||
		!shown[0].EndsAt.After(time.Now()) || shown[0].GeneratorURL != p.Alerts[0].GeneratorURL {
		t.Errorf("GET /api/v2/alerts: %+v", shown)
	}

	rule("vector(7) > 8")
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	w.page("Broken", "api", "resolved")
	w.eventually(func() error {
		if w.json("/api/v2/alerts", &shown); len(shown) > 0 {
			return fmt.Errorf("still shown: %+v", shown)
		}
		return nil
	})
}

// json reads JSON from the daemon.
func (w *world) json(path string, to any) {
	w.t.Helper()
	if err := json.Unmarshal([]byte(w.get(path)), to); err != nil {
		w.t.Fatalf("GET %s: %v", path, err)
	}
}

// TestBelowAPrefix has everything below /am, as Alertmanager with --web.route-prefix.
func TestBelowAPrefix(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plain, func(o *e2e.Options) { o.Args = []string{"--web.route-prefix=/am"} })
	root := w.daemon.URL
	for path, want := range map[string]int{"/am/": 200, "/am/-/ready": 200, "/am/api/v2/status": 200, "/am/runbooks/": 200, "/-/ready": 404, "/api/v2/status": 404, "/": 200} {
		res, err := http.Get(root + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("GET %s: %d, want %d", path, res.StatusCode, want)
		}
		if path == "/" && res.Request.URL.Path != "/am/" {
			t.Errorf("GET / leads to %s, want /am/", res.Request.URL.Path)
		}
	}
	w.daemon.URL += "/am"
	w.post("Broken", "api", time.Now().Add(time.Hour))
	if page := w.page("Broken", "api", "firing"); !strings.Contains(page.Body, `"externalURL":"`+root+`/am"`) {
		t.Errorf("the page does not say where alertd is: %s", page.Body)
	}
	if out := w.alertd("alerts"); !strings.Contains(out, "Broken") {
		t.Errorf("alertd alerts: %s", out)
	}
}
