package healthpoll_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"alertd/healthpoll"
)

// roundTripper is a closure as a transport.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A probe that finds something new has a span, and the event is published in it.
func TestProbeHasASpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sick atomic.Bool
		client := &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			if sick.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			} else {
				_, _ = w.WriteString("OK")
			}
			return w.Result(), nil
		})}
		spans := tracetest.NewInMemoryExporter()
		published := make(chan trace.SpanContext, 1000)
		p := healthpoll.New([]healthpoll.Target{{Service: "api", URL: "http://api"}},
			func(ctx context.Context, subject string, _ []byte) error {
				if subject == "alertd.health.api" {
					published <- trace.SpanContextFromContext(ctx)
				}
				return nil
			}, healthpoll.Options{Client: client, Tracer: sdk.NewTracerProvider(sdk.WithSyncer(spans)).Tracer("test")})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = p.Run(ctx) }()
		defer func() { cancel(); <-done }()

		status := func(want string) {
			t.Helper()
			for range 30 {
				time.Sleep(time.Second)
				synctest.Wait()
				for _, s := range spans.GetSpans() {
					for _, kv := range s.Attributes {
						if kv.Key == "alertd.health.status" && kv.Value.AsString() == want && s.Name == "probe http" {
							return
						}
					}
				}
			}
			t.Fatalf("no span of a probe that was %s: %+v", want, spans.GetSpans())
		}
		status("healthy")
		if first := <-published; !first.Equal(spans.GetSpans()[0].SpanContext) {
			t.Errorf("published in %v, not in %v", first.SpanID(), spans.GetSpans()[0].SpanContext.SpanID())
		}
		sick.Store(true)
		status("unhealthy")
		if n := len(spans.GetSpans()); n > 6 {
			t.Errorf("%d spans of probes, most of which found nothing new", n)
		}
	})
}
