package healthpoll

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/time/rate"

	"alertd"
)

// tracing makes spans of probes: of each that finds a service in another health than before, and of a few others. A nil
// one makes none.
type tracing struct {
	tracer trace.Tracer
	others *rate.Limiter
}

func newTracing(t trace.Tracer) *tracing {
	if t == nil {
		return nil
	}
	return &tracing{tracer: t, others: rate.NewLimiter(0.1, 1)} // a second
}

// probed is the span of a probe that has been made, for as long as its event is published.
func (t *tracing) probed(ctx context.Context, w *watch, r *result, started time.Time, status alertd.HealthStatus) (context.Context, trace.Span) {
	if t == nil {
		return ctx, noop.Span{}
	}
	changed := status != w.traced
	if w.traced = status; !changed && !t.others.Allow() {
		return ctx, noop.Span{}
	}
	ctx, span := t.tracer.Start(ctx, "probe "+w.kind(), trace.WithNewRoot(), trace.WithTimestamp(started), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("alertd.service", w.Service), attribute.String("alertd.health.status", string(status))))
	if u, err := url.Parse(w.URL); err == nil && u.Hostname() != "" {
		span.SetAttributes(semconv.ServerAddress(u.Hostname()))
		if port, err := strconv.Atoi(u.Port()); err == nil {
			span.SetAttributes(semconv.ServerPort(port))
		}
	}
	took, _ := r.watch.read()
	for phase, d := range took {
		if d > 0 {
			span.SetAttributes(attribute.Float64("alertd.probe."+phaseNames[phase], d.Seconds()))
		}
	}
	for i := range r.answers {
		if a := &r.answers[i]; a.reason != "" {
			if word := a.word(); word != "" {
				span.SetAttributes(semconv.ErrorTypeKey.String(word))
			}
			span.SetStatus(codes.Error, a.reason)
		}
	}
	return ctx, span
}
