package app_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"alertd/app"
)

// BenchmarkIngest is the whole way of a sample that changes nothing, from the publisher into the checkpoint, all in
// one process: publisher, NATS, decoding, window, evaluation of one of 100 threshold rules, over 10,000 series.
func BenchmarkIngest(b *testing.B) {
	for _, pack := range []int{1, 100} {
		b.Run(fmt.Sprint("samples_a_message=", pack), func(b *testing.B) { benchmarkIngest(b, pack, nil) })
	}
}

// BenchmarkTraced is the same with traces that go nowhere.
func BenchmarkTraced(b *testing.B) {
	p := sdk.NewTracerProvider(sdk.WithBatcher(tracetest.NewNoopExporter()))
	defer func() { _ = p.Shutdown(context.Background()) }()
	for _, pack := range []int{1, 100} {
		b.Run(fmt.Sprint("samples_a_message=", pack), func(b *testing.B) { benchmarkIngest(b, pack, p) })
	}
}

func benchmarkIngest(b *testing.B, pack int, traces trace.TracerProvider) {
	var rules strings.Builder
	rules.WriteString("groups:\n- name: bench\n  interval: 1m\n  rules:\n")
	for i := range 100 {
		fmt.Fprintf(&rules, "  - {alert: High%d, expr: load_%d > 100, labels: {severity: info}}\n", i, i)
	}
	a, err := app.New(b.Context(), app.Options{
		Rules: fstest.MapFS{"rules.yaml": {Data: []byte(rules.String())}}, Data: b.TempDir(), Listen: "127.0.0.1:0",
		NATSListen: "127.0.0.1:0", Console: io.Discard, Traces: traces,
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	defer func() {
		cancel()
		<-done
		if err := a.Close(context.Background()); err != nil {
			b.Error(err)
		}
	}()
	nc, err := nats.Connect(a.NATS())
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(512))
	if err != nil {
		b.Fatal(err)
	}
	const series = 10_000
	buf := make([]byte, 0, 128*pack)
	next, sent := 0, uint64(0)
	for b.Loop() {
		buf = buf[:0]
		now := time.Now().UTC().Format(time.RFC3339Nano)
		for range pack {
			buf = fmt.Appendf(buf, `{"name":"load_%d","labels":{"service":"s%d","host":"h%d"},"value":%d,"time":%q}`+"\n",
				next%100, next%50, next%series, next%90, now)
			next++
		}
		for {
			_, err := js.PublishAsync("alertd.metrics.bench", append([]byte(nil), buf...))
			if err == nil {
				break
			}
			<-js.PublishAsyncComplete()
		}
		sent++
	}
	<-js.PublishAsyncComplete()
	for a.Checkpoint(b.Context()) < sent {
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(float64(sent)*float64(pack)/b.Elapsed().Seconds(), "samples/s")
}
