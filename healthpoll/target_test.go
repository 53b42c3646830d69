package healthpoll

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestNormalize(t *testing.T) {
	got := Target{Service: "api", URL: "http://api:8080/base/"}
	want := Target{
		Service: "api", URL: "http://api:8080/base", Live: "/health/live", Ready: "/health/ready",
		Interval: 10 * time.Second, Timeout: 3 * time.Second, Fall: 3, Rise: 2, FastInterval: 2 * time.Second,
	}
	if err := got.Normalize(); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if err := got.Normalize(); err != nil || got != want {
		t.Errorf("again: %+v, %v", got, err)
	}
	quick := Target{Service: "api", URL: "https://api", Interval: time.Second}
	if err := quick.Normalize(); err != nil || quick.Timeout != 500*time.Millisecond || quick.FastInterval != time.Second {
		t.Errorf("%+v, %v", quick, err)
	}
	heart := Target{Service: "backup", URL: "heartbeat:alertd.metrics.backup.>", Interval: 25 * time.Hour}
	if err := heart.Normalize(); err != nil || heart.Fall != 1 || heart.Rise != 1 || heart.every() != 30*time.Second {
		t.Errorf("%+v, %v", heart, err)
	}
	for _, good := range []string{
		"tcp://redis:6379", "tcp://[::1]:6379", "tls://shop.example.org", "tls://shop.example.org:8443/", "grpc://pay:9090",
		"grpcs://pay:9090/pay.v1.Payments", "dns:api.internal", "dns://10.0.0.2/api.internal", "dns://10.0.0.2:5353/api.internal",
		"nats:$SRV.PING.billing", "heartbeat:orders.*.eu", "heartbeat:alertd.health.other",
	} {
		target := Target{Service: "a", URL: good}
		if err := target.Normalize(); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, c := range []struct {
		t         Target
		key, want string
	}{
		{Target{URL: "http://a"}, "service", "no service"},
		{Target{Service: "a.b", URL: "http://a"}, "service", "NATS subject"},
		{Target{Service: "a b", URL: "http://a"}, "service", "NATS subject"},
		{Target{Service: strings.Repeat("a", 200), URL: "http://a"}, "service", "NATS subject"},
		{Target{Service: OwnService, URL: "http://a"}, "service", "calls itself"},
		{Target{Service: "a"}, "url", "no url"},
		{Target{Service: "a", URL: "api:8080"}, "url", "http, https, tcp"},
		{Target{Service: "a", URL: "file:///etc/secret"}, "url", "http, https, tcp"},
		{Target{Service: "a", URL: "http://u:secret@h\x7f/"}, "url", "http://HOST:PORT"},
		{Target{Service: "a", URL: "http://"}, "url", "no host"},
		{Target{Service: "a", URL: "http://a?x=1"}, "url", "query"},
		{Target{Service: "a", URL: "tcp://redis"}, "url", "tcp://HOST:PORT"},
		{Target{Service: "a", URL: "tcp://redis:1/x"}, "url", "tcp://HOST:PORT"},
		{Target{Service: "a", URL: "grpc://pay"}, "url", "grpc://HOST:PORT"},
		{Target{Service: "a", URL: "tls:///"}, "url", "tls://HOST:PORT"},
		{Target{Service: "a", URL: "dns:"}, "url", "dns:NAME"},
		{Target{Service: "a", URL: "dns://server"}, "url", "dns:NAME"},
		{Target{Service: "a", URL: "nats://host:4222"}, "url", "nats:shop.orders"},
		{Target{Service: "a", URL: "nats:orders.*"}, "url", "without wildcards"},
		{Target{Service: "a", URL: "heartbeat:"}, "url", "is a subject"},
		{Target{Service: "a", URL: "heartbeat:a.>.b"}, "url", "is a subject"},
		{Target{Service: "a", URL: "heartbeat:alertd.health.a"}, "url", "would never stop"},
		{Target{Service: "a", URL: "heartbeat:alertd.*.alertd"}, "url", "would never stop"},
		{Target{Service: "a", URL: "heartbeat:alertd.>"}, "url", "would never stop"},
		{Target{Service: "a", URL: "http://a", Live: "live"}, "live", "live is a path"},
		{Target{Service: "a", URL: "tcp://a:1", Ready: "/ready"}, "ready", "has none"},
		{Target{Service: "a", URL: "http://a", Interval: time.Millisecond}, "interval", "shorter than 1s"},
		{Target{Service: "a", URL: "http://a", Timeout: 10 * time.Second}, "timeout", "not shorter than the interval 10s"},
		{Target{Service: "a", URL: "http://a", Timeout: -1}, "timeout", "not shorter"},
		{Target{Service: "a", URL: "http://a", Fall: -1}, "fall", "fall is -1"},
		{Target{Service: "a", URL: "http://a", Rise: 101}, "rise", "rise is 101"},
		{Target{Service: "a", URL: "http://a", FastInterval: time.Minute}, "fast_interval", "between 100ms and the interval 10s"},
	} {
		err := c.t.Normalize()
		wrong, ok := errors.AsType[*TargetError](err)
		if !ok || wrong.Key != c.key || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v, want it to say %q of %s", c.t, err, c.want, c.key)
		}
	}
}
