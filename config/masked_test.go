package config_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"alertd/config"
)

func TestMaskedRouting(t *testing.T) {
	files := fstest.MapFS{
		"rules.yaml": {Data: []byte("groups: []\n")},
		"a.routing.yaml": {Data: []byte(`receivers: [{name: a-team, webhook_configs: [{url: 'http://user:hunter2@hook.example:8080/hunter2?x=hunter2'}]}]
`)},
		"routing.yaml": {Data: []byte(`# the token was hunter2
global:
  resolve_timeout: 3m
  slack_api_url: https://hooks.slack.com/hunter2
  smtp_auth_password: 12345678
  http_config: {follow_redirects: true, basic_auth: {username: joe, password: hunter2, more: [hunter2]}}
  slack_app_token: ${HUNTER2}
route:
  receiver: team # hunter2
  group_by: [alertname, '...']
receivers:
  - name: team
    slack_configs:
      - &first {channel: '#ops', bot_token: 'hunter2', send_resolved: false}
      - *first
    webhook_configs:
      - {url_file: /etc/hook, secret: hunter2, max_alerts: 7}
`)},
	}
	const want = `global:
  resolve_timeout: 3m
  slack_api_url: https://hooks.slack.com/<secret>
  smtp_auth_password: <secret>
  http_config: {follow_redirects: true, basic_auth: {username: joe, password: <secret>, more: [<secret>]}}
  slack_app_token: <secret>
route:
  receiver: team
  group_by: [alertname, '...']
receivers:
  - name: team
    slack_configs:
      - {channel: '#ops', bot_token: <secret>, send_resolved: false}
      - {channel: '#ops', bot_token: <secret>, send_resolved: false}
    webhook_configs:
      - {url_file: /etc/hook, secret: <secret>, max_alerts: 7}
---
receivers: [{name: a-team, webhook_configs: [{url: 'http://hook.example:8080/<secret>'}]}]
`
	got := config.MaskedRouting(files)
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if strings.Contains(strings.ToLower(got), "hunter2") || strings.Contains(got, "12345678") {
		t.Error("it tells a secret")
	}
	delete(files, "routing.yaml")
	delete(files, "a.routing.yaml")
	if got := config.MaskedRouting(files); got != "" {
		t.Errorf("without routing files: %q", got)
	}
	var bomb strings.Builder
	bomb.WriteString("a: &a [x, x, x, x, x, x, x, x, x, x]\n")
	for c := 'b'; c < 'k'; c++ {
		p := string(c - 1)
		bomb.WriteString(string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+p+", ", 9) + "*" + p + "]\n")
	}
	files["routing.yaml"] = &fstest.MapFile{Data: []byte(bomb.String())}
	if got := config.MaskedRouting(files); got != "" {
		t.Errorf("aliases without end: %d bytes", len(got))
	}
}
