package config_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"alertd/config"
)

// masked has everything that only alertd knows, and a secret wherever there may be one.
var masked = map[string]string{
	"rules.yaml": "groups: []\n",
	"a.routing.yaml": `
receivers: [{name: a-team, webhook_configs: [{url: 'http://user:hunter2@hook.example:8080/hunter2?x=hunter2'}]}]
routes: [{receiver: a-team, matchers: ['team = "${TEAM}"'], max_hold: 1d}]
inhibit_rules: [{source_matchers: [a=b], target_matchers: [c=d]}]
depends_on: {shop: [payments]}
`,
	"routing.yaml": `# the token was hunter2
global:
  resolve_timeout: 3m
  slack_api_url: https://hooks.slack.com/hunter2
  smtp_auth_password: 12345678
  http_config: {tls_config: {min_version: TLS12}}
calendars: {office: {time_zone: UTC, hours: ['mon-fri 09:00-18:00']}}
escalations: {oncall: [{after: 5m, receiver: team}]}
route:
  deliver: business_hours
  receiver: team # hunter2
  group_by: [alertname]
  routes:
    - {deliver: dashboard, matchers: [severity=info]}
    - {matchers: [severity=critical], escalation: oncall, repage_interval: 15m, deliver: immediate}
receivers:
  - name: team
    slack_configs:
      - &first {channel: '#ops', bot_token: 'hunter2', send_resolved: false, title: 'in ${TEAM}'}
      - *first
    webhook_configs:
      - {url: '${HOOK}', secret: whsec_aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMg==, max_alerts: 7, http_config: {basic_auth: {username: joe, password: hunter2}}}
    console_configs: [{}]
  - {name: out, console_configs: [{}]}
`,
}

func maskedEnv(name string) (string, bool) {
	v, ok := map[string]string{"TEAM": "a", "HOOK": "https://joe:hunter2@hook.example/hunter2"}[name]
	return v, ok
}

func load(t *testing.T, files map[string]string) *config.Policy {
	t.Helper()
	p, err := config.Load(folder(files), maskedEnv, readFile)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMasked(t *testing.T) {
	const want = `# alertd: calendars: {office: {time_zone: UTC, hours: ['mon-fri 09:00-18:00']}}
# alertd: escalations: {oncall: [{after: 5m, receiver: team}]}
# alertd: depends_on: {shop: [payments]}
global:
  resolve_timeout: 3m
  slack_api_url: https://hooks.slack.com/<secret>
  smtp_auth_password: <secret>
  http_config:
    tls_config: {min_version: TLS12}
route:
  # alertd: deliver: business_hours
  receiver: team
  group_by: [alertname]
  routes:
    - # alertd: deliver: dashboard
      matchers: [severity=info]
    - # alertd: escalation: oncall
      # alertd: repage_interval: 15m
      # alertd: deliver: immediate
      matchers: [severity=critical]
    - # alertd: max_hold: 1d
      receiver: a-team
      matchers: ['team = "a"']
receivers:
  - # alertd: console_configs: [{}]
    name: team
    slack_configs:
      - # alertd: bot_token: <secret>
        channel: '#ops'
        send_resolved: false
        title: 'in ${TEAM}'
        api_url: <secret>
      - # alertd: bot_token: <secret>
        channel: '#ops'
        send_resolved: false
        title: 'in ${TEAM}'
        api_url: <secret>
    webhook_configs:
      - # alertd: secret: <secret>
        url: https://hook.example/<secret>
        max_alerts: 7
        http_config:
          basic_auth: {username: joe, password: <secret>}
  - # alertd: console_configs: [{}]
    name: out
  - name: a-team
    webhook_configs:
      - url: http://hook.example:8080/<secret>
inhibit_rules:
  - source_matchers: [a=b]
    target_matchers: [c=d]
`
	got := load(t, masked).Masked
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if strings.Contains(strings.ToLower(got), "hunter2") || strings.Contains(got, "12345678") || strings.Contains(got, "whsec") {
		t.Error("it tells a secret")
	}

	// Alertmanager's own tool finds its way in it.
	amtool, err := exec.LookPath("amtool")
	if err != nil {
		t.Skipf("no amtool to read it with (Debian has it in prometheus-alertmanager): %v", err)
	}
	file := filepath.Join(t.TempDir(), "alertmanager.yml")
	if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
		t.Fatal(err)
	}
	for labels, want := range map[string]string{"severity=critical": "team", "team=a": "a-team", "x=y": "team"} {
		if out, err := exec.Command(amtool, "config", "routes", "test", "--config.file="+file, labels).Output(); err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("amtool config routes test %s: %v\n%s\nwant %s", labels, err, out, want)
		}
	}
}

// A file that grows without end when its aliases are followed is not shown.
func TestMaskedBomb(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("a: &a [x, x, x, x, x, x, x, x, x, x]\n")
	for c := 'b'; c < 'k'; c++ {
		bomb.WriteString(fmt.Sprintf("  %c: &%c [%s*%c]\n", c, c, strings.Repeat(fmt.Sprintf("*%c, ", c-1), 9), c-1))
	}
	p, err := config.Load(folder(map[string]string{"routing.yaml": "route: {receiver: x}\nreceivers: [{name: x}]\ntracing:\n  " + bomb.String()}), env, readFile)
	if err == nil && p.Masked != "" {
		t.Errorf("it is %d bytes", len(p.Masked))
	}
}

// TestMaskedAlways shows the routing wherever it comes from.
func TestMaskedAlways(t *testing.T) {
	if got := load(t, map[string]string{"rules.yaml": "groups: []\n"}).Masked; !strings.Contains(got, "severity=~") {
		t.Errorf("of the built-in routing: %s", got)
	}
	file := filepath.Join(t.TempDir(), "any.yml")
	if err := os.WriteFile(file, []byte("route: {receiver: x}\nreceivers: [{name: x}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := config.Load(config.WithRouting(nil, file), env, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	if want := "route:\n  receiver: x\nreceivers:\n  - name: x\n"; p.Masked != want {
		t.Errorf("of a file of its own:\n%s\nwant\n%s", p.Masked, want)
	}
}
