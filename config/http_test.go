package config_test

import (
	"crypto/tls"
	"encoding/base64"
	"testing"

	"alertd/config"
)

func TestHTTPConfig(t *testing.T) {
	r := parse(t, `
global:
  http_config: {basic_auth: {username: alice, password_file: /run/token}}
route: {receiver: a}
receivers:
  - name: a
    webhook_configs:
      - {url: 'http://a'}
      - {url: 'http://a', http_config: {authorization: {type: Token, credentials: abc}}}
      - {url: 'http://a', http_config: {bearer_token: abc}}
      - {url: 'http://a', http_config: {tls_config: {server_name: b, min_version: TLS13}}}
    slack_configs:
      - {api_url: 'https://slack.com/api/chat.postMessage', channel: '#a', http_config: {authorization: {credentials: xoxb-old-way}}}
`)
	var got []string
	for _, w := range r.Receivers[0].Webhook {
		got = append(got, w.HTTP.Authorization.Reveal())
	}
	for i, want := range []string{"Basic " + base64.StdEncoding.EncodeToString([]byte("alice:"+token)), "Token abc", "Bearer abc", ""} {
		if got[i] != want {
			t.Errorf("webhook %d: %q, want %q", i, got[i], want)
		}
	}
	if c := r.Receivers[0].Webhook[3].HTTP.TLS; c.ServerName != "b" || c.MinVersion != tls.VersionTLS13 || c.InsecureSkipVerify {
		t.Errorf("%+v", c)
	}
	s := r.Receivers[0].Slack[0]
	if s.BotToken != config.Secret("xoxb-old-way") || s.HTTP.Authorization != "" || s.APIURL.Reveal() != "https://slack.com/api/" {
		t.Errorf("the token of the older form went to %q %q at %q", s.BotToken.Reveal(), s.HTTP.Authorization.Reveal(), s.APIURL.Reveal())
	}
}
