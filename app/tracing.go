package app

import (
	"context"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/time/rate"

	"alertd"
	"alertd/ingest"
	"alertd/journal"
	"alertd/natsbus"
	"alertd/tracectx"
)

// How many spans a second are made of what happens with every event. What is decided, and every attempt to deliver, has
// its span without regard to these.
const (
	readsTraced  = 100 // messages whose publisher traces them
	othersTraced = 0.1 // messages whose publisher does not, and turns that decide nothing
)

// spans makes those of what surrounds the loop. A nil one makes none.
type spans struct {
	tracer        trace.Tracer
	reads, others *rate.Limiter
}

func newSpans(p trace.TracerProvider) *spans {
	if p == nil {
		return nil
	}
	return &spans{
		tracer: p.Tracer("alertd/app"),
		reads:  rate.NewLimiter(readsTraced, readsTraced), others: rate.NewLimiter(othersTraced, 1),
	}
}

// outgoing is what makes the spans of deliveries.
func (s *spans) outgoing() trace.Tracer {
	if s == nil {
		return noop.Tracer{}
	}
	return s.tracer
}

// probes is what makes the spans of health probes; nil makes none.
func (s *spans) probes() trace.Tracer {
	if s == nil {
		return nil
	}
	return s.tracer
}

// ofPublisher is the context of what is said about a message: it carries the span in which it is decoded, or, where there
// is none, its publisher's.
func ofPublisher(ctx context.Context, m *ingest.Message) context.Context {
	if trace.SpanContextFromContext(ctx).IsValid() {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, spanContext(tracectx.FromHeader(m.Header)))
}

// process is the span in which a message is decoded, or one that does nothing.
func (s *spans) process(ctx context.Context, m *ingest.Message) (context.Context, trace.Span) {
	if s == nil {
		return ctx, noop.Span{}
	}
	from := spanContext(tracectx.FromHeader(m.Header))
	ctx = trace.ContextWithRemoteSpanContext(ctx, from)
	limit := s.others
	if from.IsSampled() {
		limit = s.reads
	}
	if !limit.Allow() {
		return ctx, noop.Span{}
	}
	where := natsbus.Destination(m.Subject)
	return s.tracer.Start(ctx, "process "+where, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		semconv.MessagingSystemKey.String("nats"), semconv.MessagingOperationTypeProcess, semconv.MessagingOperationName("process"),
		semconv.MessagingDestinationName(m.Subject), semconv.MessagingDestinationTemplate(where),
		semconv.MessagingMessageBodySize(len(m.Data)),
		attribute.String("nats.stream", natsbus.EventsStream), attribute.Int64("nats.stream.sequence", int64(m.Seq)),
	))
}

// applied is the span in which commits go into the history: a child of the commit, or, where several are applied at
// once, a root that links to them.
func (s *spans) applied(ctx context.Context, records []journal.Record) (context.Context, trace.Span) {
	if s == nil {
		return ctx, noop.Span{}
	}
	var commits []trace.Link
	entries := 0
	for i := range records {
		entries += len(records[i].Commit.Entries)
		if from := spanContext(tracectx.FromHeader(tracectx.Header{"traceparent": {records[i].Trace}})); from.IsSampled() {
			commits = append(commits, trace.Link{SpanContext: from})
		}
	}
	if len(commits) == 0 {
		return ctx, noop.Span{}
	}
	opts := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		semconv.DBSystemNameSQLite, semconv.DBOperationName("INSERT"), semconv.DBOperationBatchSize(max(entries, 2)),
		attribute.Int("alertd.commits", len(records)), attribute.Int64("alertd.journal.sequence", int64(records[len(records)-1].Seq)),
	)}
	if len(records) == 1 {
		ctx = trace.ContextWithRemoteSpanContext(ctx, commits[0].SpanContext)
	} else {
		opts = append(opts, trace.WithNewRoot(), trace.WithLinks(commits...))
	}
	return s.tracer.Start(ctx, "apply history", opts...)
}

// ended ends a span of something that may have failed.
func ended(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

// served makes a span of each request. Those that ask how alertd is come every few seconds and are left out.
func served(p trace.TracerProvider, next http.Handler) http.Handler {
	if p == nil {
		return next
	}
	routed := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		if path := route(r); path != "" { // known only once the request was routed
			trace.SpanFromContext(r.Context()).SetAttributes(semconv.HTTPRoute(path))
		}
	})
	return otelhttp.NewHandler(routed, "",
		otelhttp.WithTracerProvider(p), otelhttp.WithPropagators(propagation.TraceContext{}),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string {
			return strings.TrimSpace(r.Method + " " + route(r))
		}),
		otelhttp.WithFilter(func(r *http.Request) bool {
			switch r.URL.Path {
			case "/metrics", "/health/live", "/health/ready", "/-/healthy", "/-/ready":
				return false
			}
			return true
		}))
}

// route is the pattern that a request's path fits, "" where there is none.
func route(r *http.Request) string {
	if _, path, both := strings.Cut(r.Pattern, " "); both {
		return path
	}
	return r.Pattern
}

// spanContext is that of a span in another process; not valid where the trace or the span is unknown.
func spanContext(ref alertd.TraceRef) trace.SpanContext {
	if ref.SpanID == "" {
		return trace.SpanContext{}
	}
	id, err := trace.TraceIDFromHex(ref.TraceID)
	if err != nil {
		return trace.SpanContext{}
	}
	span, err := trace.SpanIDFromHex(ref.SpanID)
	if err != nil {
		return trace.SpanContext{}
	}
	c := trace.SpanContextConfig{TraceID: id, SpanID: span, Remote: true}
	if !ref.Unsampled {
		c.TraceFlags = trace.FlagsSampled
	}
	return trace.NewSpanContext(c)
}

// recent remembers spans by key, the newest ones only.
type recent[K comparable] struct {
	limit int
	spans map[K]trace.SpanContext
	order []K // a ring, once it is full
	next  int
}

func newRecent[K comparable](limit int) recent[K] {
	return recent[K]{limit: limit, spans: map[K]trace.SpanContext{}}
}

func (r *recent[K]) put(key K, span trace.SpanContext) {
	if _, known := r.spans[key]; !known {
		if len(r.order) < r.limit {
			r.order = append(r.order, key)
		} else {
			delete(r.spans, r.order[r.next])
			r.order[r.next] = key
			r.next = (r.next + 1) % r.limit
		}
	}
	r.spans[key] = span
}

// traceparent writes a span as the specification of W3C trace context does.
func traceparent(span trace.SpanContext) string {
	h := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(trace.ContextWithSpanContext(context.Background(), span), h)
	return h["traceparent"]
}

// sinceWhen is the start of a span that is made when it is over.
func sinceWhen(t time.Time) trace.SpanStartEventOption { return trace.WithTimestamp(t) }
