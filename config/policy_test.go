package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"go.yaml.in/yaml/v3"

	"alertd"
	"alertd/config"
	"alertd/rules"
)

func folder(files map[string]string) fs.FS {
	m := fstest.MapFS{}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

const (
	oneRule = "groups: [{name: g, rules: [{alert: Down, expr: up == 0}]}]\n"
	target  = "targets: [{service: api, url: 'http://127.0.0.1:8080'}]\n"
)

func TestLoad(t *testing.T) {
	files := map[string]string{
		"routing.yaml": "route: {receiver: a}\ntracing: {}\nreceivers: [{name: a, console_configs: [{}]}]\n", "health.yml": target,
		"one.yaml": oneRule, "two.rules": strings.ReplaceAll(oneRule, "Down", "Gone"), "notes.txt": "]", ".hidden.yaml": "]", "tests/x.yaml": "]",
	}
	p, err := config.Load(folder(files), env, readFile)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, r := range p.Rules.Rules() {
		ids = append(ids, r.ID)
	}
	if want := []string{"one.yaml:g:Down", "two.rules:g:Gone"}; !cmp.Equal(ids, want) {
		t.Errorf("rules %v, want %v", ids, want)
	}
	if len(p.Health.Targets) != 1 || p.Routing.Root.Receiver != "a" || len(p.Warnings) != 1 || len(p.Version) != 12 {
		t.Errorf("%+v", p)
	}

	again, err := config.Load(folder(files), env, readFile)
	if err != nil || again.Version != p.Version {
		t.Errorf("version %s became %s (%v)", p.Version, again.Version, err)
	}
	files["tests/x.yaml"] = "other"
	if again, err := config.Load(folder(files), env, readFile); err != nil || again.Version != p.Version {
		t.Errorf("a file that is not read changed the version (%v)", err)
	}
	files["one.yaml"] += "# changed\n"
	if again, err := config.Load(folder(files), env, readFile); err != nil || again.Version == p.Version {
		t.Errorf("a change kept the version (%v)", err)
	}
}

func TestLoadTellsEveryMistakeInEveryFile(t *testing.T) {
	p, err := config.Load(folder(map[string]string{
		"routing.yaml": "route: {recevier: a}\n", "health.yaml": "targets: [{service: a.b, url: x}]\n", "health.yml": "",
		"one.yaml": "groups: [{name: g, rules: [{alert: Down, expr: 'up =='}]}]\n", "two.yaml": oneRule,
	}), env, readFile)
	if err == nil || !strings.Contains(err.Error(), "health.yml: there is health.yaml already") {
		t.Fatalf("%+v %v", p, err)
	}
	p, err = config.Load(folder(map[string]string{
		"routing.yaml": "route: {recevier: a}\n", "health.yaml": "targets: [{service: a.b, url: x}]\n",
		"one.yaml": "groups: [{name: g, rules: [{alert: Down, expr: 'up =='}]}]\n", "two.yaml": oneRule,
	}), env, readFile)
	if p != nil || err == nil {
		t.Fatalf("%+v %v", p, err)
	}
	for _, want := range []string{"routing.yaml:1:9: ", "health.yaml:1:21: ", "one.yaml:1:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
}

func TestBuiltinRouting(t *testing.T) {
	p, err := config.Load(folder(map[string]string{"one.yaml": oneRule}), env, readFile)
	if err != nil || len(p.Warnings) > 0 {
		t.Fatal(err, p)
	}
	for severity, want := range map[string]alertd.Delivery{
		"critical": alertd.Immediate, "page": alertd.Immediate, "": alertd.Immediate, "warning": alertd.BusinessHours, "info": alertd.Dashboard,
	} {
		d := p.Routing.Root.Decide(labels.FromStrings("alertname", "A", "severity", severity))
		if len(d) != 1 || d[0].Deliver != want || d[0].Receiver != "console" {
			t.Errorf("severity %q: %+v", severity, d)
		}
		if severity == "critical" && d[0].GroupWait != 0 {
			t.Errorf("a critical alert waits %s", d[0].GroupWait)
		}
		if want == alertd.BusinessHours && p.Routing.Calendars[d[0].Calendar] == nil {
			t.Errorf("no calendar %q", d[0].Calendar)
		}
	}
}

func TestShippedFilesLoad(t *testing.T) {
	p, err := config.Load(rules.Shipped(), env, readFile)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Rules.Rules()) < 12 {
		t.Errorf("%d rules", len(p.Rules.Rules()))
	}
	for _, w := range p.Warnings {
		t.Errorf("warning: %s", w)
	}
	for _, r := range p.Routing.Receivers {
		if !r.Console && len(r.Slack)+len(r.Webhook) == 0 {
			t.Errorf("what goes to receiver %q reaches nobody", r.Name)
		}
	}
}

func TestRealAlertmanagerFile(t *testing.T) {
	data, err := os.ReadFile("testdata/alertmanager/shop.yml")
	if err != nil {
		t.Fatal(err)
	}
	r := parse(t, string(data))
	for _, tt := range []struct {
		labels []string
		want   string
	}{
		{[]string{"service", "cart", "severity", "critical"}, "shop-pager"},
		{[]string{"service", "cart"}, "shop"},
		{[]string{"service", "search", "severity", "warning"}, "search"},
		{[]string{"service", "search"}, "everyone"},
		{[]string{"service", "database", "owner", "search"}, "search"},
		{[]string{"service", "database", "owner", "team-x"}, "everyone"},
		{[]string{"alertname", "Watchdog"}, "null"},
	} {
		var got []string
		for _, d := range r.Root.Decide(labels.FromStrings(tt.labels...)) {
			got = append(got, d.Receiver)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%v goes to %v, want %s", tt.labels, got, tt.want)
		}
	}
}

func TestParseConfig(t *testing.T) {
	got, err := config.ParseConfig("alertd.yaml", []byte(`
external_url: https://alerts.example.org/
nats:
  url: nats://a:4222, tls://b:4222
  token: ${TOKEN}
  tls: {ca_file: ca.pem, cert_file: cert.pem, key_file: key.pem}
traces: {url_template: 'http://jaeger:16686/trace/{{.TraceID}}'}
history: {retention: 30d}
events: {max_age: 48h, max_bytes: 10GiB}
check: {lints: {all: error, one-severity: off}}
`), env, readFile)
	want := config.Config{
		ExternalURL: "https://alerts.example.org",
		NATS:        config.NATS{URL: "nats://a:4222, tls://b:4222", Token: token, TLS: config.TLS{CAFile: "ca.pem", CertFile: "cert.pem", KeyFile: "key.pem"}},
		Traces:      config.Traces{URLTemplate: "http://jaeger:16686/trace/{{.TraceID}}"},
		History:     config.History{Retention: 30 * 24 * time.Hour},
		Events:      config.Events{MaxAge: 48 * time.Hour, MaxBytes: 10 << 30},
		Check: config.Check{Lints: []config.LintSeverity{
			{At: config.Pos{File: "alertd.yaml", Line: 10, Column: 17}, Name: "all", Severity: "error"},
			{At: config.Pos{File: "alertd.yaml", Line: 10, Column: 29}, Name: "one-severity", Severity: "off"},
		}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
	if got, err := config.ParseConfig("alertd.yaml", nil, env, readFile); err != nil || !reflect.DeepEqual(got, config.Default()) {
		t.Errorf("an empty file is %+v, %v", got, err)
	}
	if d := config.Default(); d.History.Retention != 400*24*time.Hour || d.Events.MaxAge != 24*time.Hour {
		t.Errorf("defaults %+v", d)
	}
}

func TestParseConfigRefuses(t *testing.T) {
	_, err := config.ParseConfig("alertd.yaml", []byte(`external_url: alerts.example.org
nats:
  url: http://${TOKEN}@a
  token: x
  creds_file: y
  tls: {cert_file: c}
  cluster: z
traces: {url_template: 'javascript:{{.TraceID}}'}
history: {retention: 1s}
events: {max_age: forever, max_bytes: 10GB}
listen: 127.0.0.1:1
`), env, readFile)
	for _, want := range []string{
		"alertd.yaml:1:15: external_url: want a URL", "alertd.yaml:3:8: nats url: want nats://HOST:4222",
		"alertd.yaml:5:3: nats has both token and creds_file; keep one", "alertd.yaml:6:8: tls: cert_file and key_file go together",
		`alertd.yaml:7:3: unknown key "cluster" in nats`, "alertd.yaml:8:24: url_template:", "alertd.yaml:9:22: retention must be at least 1h",
		`alertd.yaml:10:19: max_age: "forever" is not a duration`, `alertd.yaml:10:39: max_bytes: "10GB" is not a size; write it like 512MiB or 10GiB`,
		`alertd.yaml:11:1: unknown key "listen" in the configuration`,
	} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
	if strings.Contains(fmt.Sprint(err), token) {
		t.Errorf("shows a secret: %v", err)
	}
}

func TestTraces(t *testing.T) {
	for in, want := range map[string]string{
		"{ui: jaeger, url: 'https://j.example.com/'}": "https://j.example.com/trace/{{.TraceID}}",
		"{ui: datadog}":                                           "https://app.datadoghq.com/apm/trace/{{.TraceID}}",
		"{ui: xray, region: eu-west-1}":                           "https://console.aws.amazon.com/xray/home?region=eu-west-1#/traces/{{.XRayID}}",
		"{ui: jager, url: 'https://j'}":                           `alertd.yaml:1:9: traces: "jager" is none of`,
		"{ui: jaeger, url: 'https://j', url_template: 'https:x'}": "keep one",
		"{url: 'https://j'}":                                      "alertd.yaml:1:9: traces: say whose address it is: ui: datadog | ",
		"{ui: jaeger, url: 'https://j', datsource: x}":            "datasource",
		"{backend: {kind: tempo, url: 'http://t:3200', org_id: a, http_config: {bearer_token: x}}}": "<nil>",
		"{backend: {kind: zipkin, url: 'http://z'}}":                                                `alertd.yaml:1:19: backend: kind is "zipkin"; alertd can ask jaeger and tempo`,
		"{backend: {kind: tempo}}":                                                                  "alertd.yaml:1:19: backend: url: want",
		"{backend: {kind: jaeger, url: 'http://j', org_id: x}}":                                     "org_id is for tempo",
	} {
		got, err := config.ParseConfig("alertd.yaml", []byte("traces: "+in), env, readFile)
		if s := got.Traces.URLTemplate + fmt.Sprint(err); !strings.Contains(s, want) {
			t.Errorf("%s: %s, want %s", in, s, want)
		}
	}
}

func TestSecretHides(t *testing.T) {
	s := config.Secret(token)
	type holder struct{ S config.Secret }
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", s, "holder", holder{s}, "pointer", &holder{s})
	j, err := json.Marshal([]any{s, holder{s}})
	y, yerr := yaml.Marshal(holder{s})
	if err := errors.Join(err, yerr); err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprintf("%s %v %+v %#v %q %x %d %v %+v %#v", s, s, s, s, s, s, s, holder{s}, &holder{s}, []config.Secret{s}) +
		s.String() + log.String() + string(j) + string(y) + fmt.Sprint(errors.New(s.String()))
	if strings.Contains(all, token) || strings.Contains(all, fmt.Sprintf("%x", token)) {
		t.Errorf("shows the secret: %s", all)
	}
	if n := strings.Count(all, "<secret>"); n < 13 {
		t.Errorf("hidden %d times only: %s", n, all)
	}
	if s.Reveal() != token || config.Secret("").String() != "" {
		t.Error("Reveal or the empty secret is wrong")
	}
}

func FuzzParseHealth(f *testing.F) {
	f.Add([]byte(target))
	f.Fuzz(func(t *testing.T, data []byte) {
		targets, err := config.ParseHealth("health.yaml", data)
		if err != nil {
			return
		}
		for _, x := range targets.Targets {
			if x.Service == "" || x.Timeout <= 0 || x.Timeout > x.Interval || !strings.HasPrefix(x.URL, "http") {
				t.Errorf("accepted %+v", x)
			}
		}
	})
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte("nats: {url: 'nats://a'}\nevents: {max_bytes: 1KiB}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := config.ParseConfig("alertd.yaml", data, env, readFile); err != nil && strings.Contains(err.Error(), token) {
			t.Errorf("shows a secret: %v", err)
		}
	})
}
