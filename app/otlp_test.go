package app_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.26.0"

	"alertd/app"
	"alertd/natsbus/natstest"
)

// An SDK that exports its metrics gets a page for them; nonsense is refused while its sender listens.
func TestOTLP(t *testing.T) {
	s := newSink(t)
	broker := natstest.Start(t, server.Options{JetStream: true})
	a, err := app.New(t.Context(), app.Options{
		Rules: files(s.URL), Data: t.TempDir(), Listen: "127.0.0.1:0", NATS: broker.ClientURL(), OTLPListen: "127.0.0.1:0",
		Console: io.Discard, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer run(t, a)()

	exporter, err := otlpmetrichttp.New(t.Context(), otlpmetrichttp.WithEndpoint(a.OTLP()), otlpmetrichttp.WithInsecure(),
		otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression))
	if err != nil {
		t.Fatal(err)
	}
	provider := sdk.NewMeterProvider(
		sdk.WithReader(sdk.NewPeriodicReader(exporter, sdk.WithInterval(time.Hour))),
		sdk.WithResource(resource.NewSchemaless(semconv.ServiceName("checkout"), semconv.ServiceInstanceID("c-1"))))
	up, err := provider.Meter("test").Int64Gauge("up")
	if err != nil {
		t.Fatal(err)
	}
	up.Record(t.Context(), 0)
	if err := provider.ForceFlush(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := s.next(t)
	if len(p.Alerts) != 1 || p.Alerts[0].Labels["service"] != "checkout" || p.Alerts[0].Labels["job"] != "checkout" || p.Alerts[0].Labels["instance"] != "c-1" {
		t.Errorf("%+v", p)
	}
	up.Record(t.Context(), 1)
	if err := provider.Shutdown(t.Context()); err != nil { // exports once more
		t.Fatal(err)
	}
	if p := s.next(t); p.Status != "resolved" {
		t.Errorf("%+v", p)
	}

	// What is on the stream is what was sent.
	js := stream(t, a)
	msg, err := js.GetLastMsgForSubject(t.Context(), "alertd.metrics.checkout")
	if err != nil || msg.Header.Get("Content-Type") != "application/x-protobuf" || msg.Header.Get("Content-Encoding") != "gzip" || !bytes.HasPrefix(msg.Data, []byte("\x1f\x8b")) {
		t.Fatalf("%+v %v", msg, err)
	}

	url := "http://" + a.OTLP() + "/v1/metrics"
	before := msg.Sequence
	for _, c := range []struct {
		method, url, media, encoding, body string
		code                               int
		want                               string
	}{
		{"POST", url, "application/json", "", `{"resourceMetrics":[]}`, 200, "{}"},
		{"POST", url, "application/json; charset=utf-8", "", `{}`, 200, "{}"},
		{"POST", url, "application/x-protobuf", "", "", 200, ""},
		{"POST", url, "application/x-protobuf", "", "up 1\n", 400, "no resource metrics"},
		{"POST", url, "application/x-protobuf", "gzip", "up 1\n", 400, "compressed with gzip, and is not"},
		{"POST", url, "application/json", "", `{"resourceMetrics":7}`, 400, "not an object"},
		{"POST", url, "application/json", "", `{"resourceMetrics"`, 400, "not JSON"},
		{"POST", url, "application/json", "br", `{}`, 415, "gzip, zstd or snappy"},
		{"POST", url, "text/plain", "", "up 1", 415, "application/x-protobuf"},
		{"GET", url, "application/json", "", "", 405, "POST"},
		{"POST", "http://" + a.OTLP() + "/v1/traces", "application/json", "", "{}", 404, "/v1/metrics"},
		{"POST", url, "application/json", "", `{"x":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "smaller batches"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, c.url, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", c.media)
		req.Header.Set("Content-Encoding", c.encoding)
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != c.code || !strings.Contains(string(body), c.want) {
			t.Errorf("%s %s %.30q: %d %q, want %d %q", c.method, c.media, c.body, answer.StatusCode, body, c.code, c.want)
		}
	}
	info, err := js.Info(t.Context())
	if err != nil || info.State.LastSeq != before {
		t.Errorf("what was refused, or was empty, is on the stream: %d after %d, %v", info.State.LastSeq, before, err)
	}

	// JSON, and a stream that does not take it.
	metric := fmt.Sprintf(`{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"cart"}}]},"scopeMetrics":[{"metrics":[{"name":"up","gauge":{"dataPoints":[{"timeUnixNano":"%d","asInt":"1"}]}}]}]}]}`, time.Now().UnixNano())
	post := func() int {
		answer, err := http.Post(url, "application/json", strings.NewReader(metric))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if answer.StatusCode == http.StatusServiceUnavailable && answer.Header.Get("Retry-After") == "" {
			t.Error("503 does not say when to try again")
		}
		return answer.StatusCode
	}
	if code := post(); code != http.StatusOK {
		t.Errorf("JSON: %d", code)
	}
	if _, err := js.GetLastMsgForSubject(t.Context(), "alertd.metrics.cart"); err != nil {
		t.Error(err)
	}
	cfg := info.Config
	cfg.Subjects = []string{"elsewhere.>"}
	client := connect(t, a.NATS())
	if _, err := client.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if code := post(); code != http.StatusServiceUnavailable {
		t.Errorf("without a stream: %d", code)
	}
}

func stream(t *testing.T, a *app.App) jetstream.Stream {
	t.Helper()
	s, err := connect(t, a.NATS()).Stream(t.Context(), "ALERTD_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	return s
}
