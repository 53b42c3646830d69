package notifier

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"alertd"
)

// longAgo is when an attempt no longer belongs into the trace of the decision: a trace that stays open for hours is
// complete to nobody, and samplers that wait for the end of a trace have forgotten it.
const longAgo = time.Minute

// begin makes the span of an attempt: a child of the decision to notify, or, where that was long ago, the root of a
// trace of its own that links there.
func (o *Outbox) begin(j Job, now time.Time) (context.Context, trace.Span) {
	ctx, opts := o.ctx, []trace.SpanStartOption{trace.WithTimestamp(now)}
	switch {
	case !j.Trace.IsValid():
	case now.Sub(j.Notification.PlannedAt) < longAgo:
		ctx = trace.ContextWithSpanContext(ctx, j.Trace)
	default:
		opts = append(opts, trace.WithNewRoot(), trace.WithLinks(trace.Link{SpanContext: j.Trace}))
	}
	n := &j.Notification
	ctx, span := o.tracer.Start(ctx, "notify "+n.Receiver+"/"+n.Integration, opts...)
	if span.IsRecording() {
		span.SetAttributes(
			attribute.String("alertd.notification.id", n.ID),
			attribute.String("alertd.notification.reason", string(n.Reason)),
			attribute.Int("alertd.notification.alerts", len(n.Alerts)+n.Truncated),
			attribute.Int("alertd.attempt", j.N),
			attribute.String("alertd.receiver", n.Receiver),
			attribute.String("alertd.group", Line(string(n.Group), maxDetail)),
			attribute.String("alertd.severity", string(n.Severity())),
		)
	}
	return ctx, span
}

// finish writes into the span what came of the attempt, and into the attempt where its span is found.
func finish(span trace.Span, a *alertd.Attempt) {
	if at := span.SpanContext(); at.IsSampled() {
		a.TraceID = at.TraceID().String()
	}
	if span.IsRecording() {
		span.SetAttributes(attribute.String("alertd.outcome", string(a.Outcome)))
		if a.Outcome != alertd.Delivered {
			span.SetAttributes(semconv.ErrorTypeKey.String(string(a.Class)))
			span.SetStatus(codes.Error, a.Detail)
		}
	}
	span.End()
}

// traced makes a span of a request that belongs to a trace, and writes it into the request's header. The span leaves out
// the path and the query, as they may be secrets.
func traced(req *http.Request) (_ *http.Request, end func(*http.Response, error)) {
	parent := trace.SpanFromContext(req.Context())
	if !parent.SpanContext().IsValid() {
		return req, func(*http.Response, error) {}
	}
	ctx, span := parent.TracerProvider().Tracer("alertd/notifier").Start(req.Context(), req.Method, trace.WithSpanKind(trace.SpanKindClient))
	req = req.Clone(ctx)
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(req.Header))
	return req, func(resp *http.Response, err error) {
		defer span.End()
		if !span.IsRecording() {
			return
		}
		span.SetAttributes(semconv.HTTPRequestMethodKey.String(req.Method), semconv.URLScheme(req.URL.Scheme),
			semconv.ServerAddress(req.URL.Hostname()), semconv.ServerPort(port(req)))
		switch {
		case err != nil:
			de := TransportError(err)
			span.SetAttributes(semconv.ErrorTypeKey.String(string(de.Class)))
			span.SetStatus(codes.Error, Line(de.Err.Error(), maxDetail))
		case resp.StatusCode >= 400:
			span.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(resp.StatusCode)))
			span.SetStatus(codes.Error, "")
			fallthrough
		default:
			span.SetAttributes(semconv.HTTPResponseStatusCode(resp.StatusCode))
		}
	}
}

func port(req *http.Request) int {
	if n, err := strconv.Atoi(req.URL.Port()); err == nil {
		return n
	}
	n, _ := net.LookupPort("tcp", req.URL.Scheme) // http and https are known without asking anybody
	return n
}
