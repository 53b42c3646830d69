package config_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"alertd/config"
	"alertd/healthpoll"
	"alertd/ingest"
)

func TestParseHealth(t *testing.T) {
	got, err := config.ParseHealth("health.yaml", []byte(`
targets:
  - {service: api, url: 'http://127.0.0.1:8080/'}
  - {service: db, url: 'https://db/x', live: /live, ready: '/ready?full=1', interval: 1m, timeout: 10s}
  - {service: quick, environment: prod, url: 'tcp://q:1', interval: 2s, fall: 5, rise: 1, fast_interval: 500ms}
  - {service: backup, url: heartbeat:alertd.metrics.backup, interval: 25h}
`))
	if err != nil {
		t.Fatal(err)
	}
	const s = time.Second
	want := []healthpoll.Target{
		{Service: "api", URL: "http://127.0.0.1:8080", Live: "/health/live", Ready: "/health/ready", Interval: 10 * s, Timeout: 3 * s, Fall: 3, Rise: 2, FastInterval: 2 * s},
		{Service: "db", URL: "https://db/x", Live: "/live", Ready: "/ready?full=1", Interval: 60 * s, Timeout: 10 * s, Fall: 3, Rise: 2, FastInterval: 2 * s},
		{Service: "quick", Environment: "prod", URL: "tcp://q:1", Interval: 2 * s, Timeout: s, Fall: 5, Rise: 1, FastInterval: s / 2},
		{Service: "backup", URL: "heartbeat:alertd.metrics.backup", Interval: 25 * time.Hour, Timeout: 3 * s, Fall: 1, Rise: 1, FastInterval: 2 * s},
	}
	if diff := cmp.Diff(want, got.Targets); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, text := range []string{"", "targets:", "targets: []"} {
		if got, err := config.ParseHealth("health.yaml", []byte(text)); err != nil || len(got.Targets) > 0 {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
}

func TestParseMicro(t *testing.T) {
	for text, want := range map[string]*healthpoll.Micro{
		"discover: {nats_micro: {}}": {Interval: 10 * time.Second, Timeout: 3 * time.Second, Fall: 3, FastInterval: 2 * time.Second},
		"discover:\n  nats_micro:":   {Interval: 10 * time.Second, Timeout: 3 * time.Second, Fall: 3, FastInterval: 2 * time.Second},
		"discover: {nats_micro: {interval: 1m, timeout: 1s, fall: 1, environment: prod}}": {
			Environment: "prod", Interval: time.Minute, Timeout: time.Second, Fall: 1, FastInterval: 2 * time.Second,
		},
		"discover: {}": nil,
		"discover:":    nil,
	} {
		got, err := config.ParseHealth("health.yaml", []byte(text))
		if diff := cmp.Diff(want, got.Micro); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", text, err, diff)
		}
	}
	_, err := config.ParseHealth("health.yaml", []byte("discover:\n  nats: {}\n  nats_micro: {interval: 10ms}\n"))
	want := `health.yaml:2:3: unknown key "nats" in discover; did you mean "nats_micro"?
health.yaml:3:26: interval 10ms is shorter than 1s`
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestParseComponents(t *testing.T) {
	got, err := config.ParseHealth("health.yaml", []byte(`
components:
  pg-main: [orders.database, payments.db, '*.postgres']
  broker: ['orders.broker/us1']
`))
	want := ingest.Components{"orders.database": "pg-main", "payments.db": "pg-main", "*.postgres": "pg-main", "orders.broker/us1": "broker"}
	if diff := cmp.Diff(want, got.Components); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	_, err = config.ParseHealth("health.yaml", []byte("components:\n  a: [x.db, orders]\n  b: [x.db, .db]\n  '': [y.db]\n  c: y.db\n"))
	wrong := `health.yaml:2:13: "orders" is no check; write SERVICE.CHECK, or '*.CHECK' for those of all services
health.yaml:3:7: "x.db" is about component "a" already
health.yaml:3:13: ".db" is no check; write SERVICE.CHECK, or '*.CHECK' for those of all services
health.yaml:4:3: a component has a name of 1 to 256 bytes
health.yaml:5:6: component "c" is a single value; want a list, like [a, b]`
	if diff := cmp.Diff(wrong, fmt.Sprint(err)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestParseHealthRefuses(t *testing.T) {
	_, err := config.ParseHealth("health.yaml", []byte(`targets:
  - {servce: api, url: 'http://a'}
  - {url: 'http://a'}
  - {service: a b, url: 'http://a'}
  - {service: c}
  - {service: d, url: 'a:80'}
  - {service: e, url: 'http://a', interval: 10ms}
  - {service: f, url: 'http://a', live: live}
  - {service: f, url: 'http://a', interval: 5s, timeout: 10s}
  - {service: g, url: 'tcp://a:1', fall: 1000}
  - {service: h, url: 'tcp://a:1'}
  - {service: h, url: 'tcp://a:1', fall: -1}
  - {service: h, url: 'tcp://a:1'}
`))
	want := `health.yaml:2:6: unknown key "servce" in target; did you mean "service"?
health.yaml:3:5: the target has no service; add service: NAME
health.yaml:4:15: service "a b" becomes part of a NATS subject: no dots, stars, > or white space, at most 128 bytes
health.yaml:5:5: the target has no url; add url: http://HOST:PORT
health.yaml:6:23: the url is none that can be asked; write http, https, tcp, tls, grpc or grpcs://HOST:PORT, dns:NAME, nats:SUBJECT or heartbeat:SUBJECT
health.yaml:7:45: interval 10ms is shorter than 1s
health.yaml:8:41: live is a path below url; write it like /health/live
health.yaml:9:58: timeout 10s is not shorter than the interval 5s
health.yaml:10:42: fall is 1000; want 1 to 100 answers in a row
health.yaml:12:42: fall: "-1" is not a number from 0 to 2147483647
health.yaml:13:15: service "h" is a target already`
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
