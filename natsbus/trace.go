package natsbus

import (
	"context"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"alertd/tracectx"
)

// traced writes the trace that a message belongs to into its header, and makes a span of its publishing. What belongs to
// no trace is published as it is. A key-value bucket and an object store publish by themselves and are not traced.
type traced struct{ jetstream.JetStream }

// Publish implements [jetstream.JetStream].
func (t traced) Publish(ctx context.Context, subject string, data []byte, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	return t.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: data}, opts...)
}

// PublishMsg implements [jetstream.JetStream]. It writes into the message's header.
func (t traced) PublishMsg(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	parent := trace.SpanFromContext(ctx)
	if !parent.SpanContext().IsValid() {
		return t.JetStream.PublishMsg(ctx, m, opts...)
	}
	where := Destination(m.Subject)
	ctx, span := parent.TracerProvider().Tracer("alertd/natsbus").Start(ctx, "publish "+where, trace.WithSpanKind(trace.SpanKindProducer))
	defer span.End()
	if m.Header == nil {
		m.Header = nats.Header{}
	}
	propagation.TraceContext{}.Inject(ctx, tracectx.Carrier(m.Header))
	ack, err := t.JetStream.PublishMsg(ctx, m, opts...)
	if !span.IsRecording() {
		return ack, err
	}
	span.SetAttributes(
		semconv.MessagingSystemKey.String("nats"), semconv.MessagingOperationTypeSend, semconv.MessagingOperationName("publish"),
		semconv.MessagingDestinationName(m.Subject), semconv.MessagingMessageBodySize(len(m.Data)),
	)
	if where != m.Subject {
		span.SetAttributes(semconv.MessagingDestinationTemplate(where))
	}
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
		return ack, err
	}
	span.SetAttributes(attribute.String("nats.stream", ack.Stream), attribute.Int64("nats.stream.sequence", int64(ack.Sequence)))
	return ack, nil
}

// Destination is a subject without what differs from publisher to publisher, as the names of spans have it:
// alertd.metrics.{service}.
func Destination(subject string) string {
	for prefix, rest := range map[string]string{MetricsPrefix: "{service}", HealthPrefix: "{service}", EventsPrefix: "{type}"} {
		if strings.HasPrefix(subject, prefix) {
			return prefix + rest
		}
	}
	return subject
}
