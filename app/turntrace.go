package app

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"alertd"
	"alertd/engine"
	"alertd/tracectx"
)

const (
	maxDecisions = 100    // spans of one turn; the rest is counted
	maxLinks     = 128    // of one span: what the SDK keeps by default
	maxRecent    = 10_000 // alerts, and notifications, whose spans are remembered
)

// turnTrace makes the spans of the loop's turns, and remembers which span decided about an alert and planned a
// notification. A turn has a trace of its own, made only once it decides something: one turn serves many events, so those
// are linked. A nil turnTrace makes none. The loop's goroutine owns it.
type turnTrace struct {
	*spans
	alerts  recent[alertd.Fingerprint] // the newest decision about each
	planned recent[string]             // by the notification's ID

	// Of the turn that runs.
	origins   []trace.Link // who asked for it
	began     time.Time
	evaluated time.Time // when the rules were done
	verdicts  int
	ctx       context.Context // nil: nothing is decided yet
	root      trace.Span
	decisions int // spans
}

func newTurnTrace(s *spans) *turnTrace {
	if s == nil {
		return nil
	}
	return &turnTrace{spans: s, alerts: newRecent[alertd.Fingerprint](maxRecent), planned: newRecent[string](maxRecent)}
}

// asked notes on whose behalf the turn is that runs, or the next one.
func (t *turnTrace) asked(ctx context.Context) {
	if t == nil {
		return
	}
	from := trace.SpanContextFromContext(ctx)
	if n := len(t.origins); from.IsSampled() && n < maxLinks && (n == 0 || !t.origins[n-1].SpanContext.Equal(from)) {
		t.origins = append(t.origins, trace.Link{SpanContext: from})
		if t.ctx != nil {
			t.root.AddLink(t.origins[n])
		}
	}
}

// begin begins a turn.
func (t *turnTrace) begin() {
	if t != nil {
		t.began = time.Now()
	}
}

// judged notes that rules have been evaluated, and what they gave.
func (t *turnTrace) judged(verdicts int) {
	if t != nil {
		t.evaluated = time.Now()
		t.verdicts += verdicts
	}
}

// clock is when a step begins; the zero time where nothing is traced.
func (t *turnTrace) clock() time.Time {
	if t == nil {
		return time.Time{}
	}
	return time.Now()
}

// context carries the turn's span, once there is one.
func (t *turnTrace) context(ctx context.Context) context.Context {
	if t == nil || t.ctx == nil {
		return ctx
	}
	return trace.ContextWithSpan(ctx, t.root)
}

// decided makes a span of a step that changed an alert or planned a notification.
func (t *turnTrace) decided(in engine.Input, began time.Time, entries []alertd.Entry) {
	if t == nil {
		return
	}
	transitions, notifications := 0, 0
	for i := range entries {
		switch e := &entries[i]; {
		case e.Transition != nil:
			transitions++
		case e.Planned != nil:
			notifications++
		}
	}
	if transitions+notifications == 0 {
		return
	}
	t.open()
	span := t.root
	if t.decisions++; t.decisions <= maxDecisions {
		_, span = t.tracer.Start(t.ctx, decision(in, entries), sinceWhen(began))
		defer span.End()
	}
	if !span.IsRecording() {
		return
	}
	if t.decisions <= maxDecisions {
		span.SetAttributes(attribute.Int("alertd.transitions", transitions), attribute.Int("alertd.notifications", notifications))
		describe(span, in, entries)
	}
	t.link(span, entries)
}

// decision is the name of a step's span. There are few: as many as rules and receivers.
func decision(in engine.Input, entries []alertd.Entry) string {
	switch in := in.(type) {
	case engine.Judged:
		return "decide " + in.Verdict.Rule.Name
	case engine.AlertsPosted:
		return "decide posted alerts"
	case engine.Answered:
		return "decide delivery"
	case engine.PolicyChanged:
		return "decide policy"
	case nil: // time has passed
		for i := range entries {
			if p := entries[i].Planned; p != nil {
				return "flush " + p.Notification.Receiver
			}
		}
		return "decide expiry"
	default:
		return "decide request"
	}
}

// describe says of a decision what the first of its entries says.
func describe(span trace.Span, in engine.Input, entries []alertd.Entry) {
	if j, ok := in.(engine.Judged); ok {
		span.SetAttributes(attribute.String("alertd.rule", j.Verdict.Rule.ID))
		if j.Verdict.Err != "" {
			span.SetStatus(codes.Error, j.Verdict.Err)
		}
	}
	for i := range entries {
		if tr := entries[i].Transition; tr != nil {
			span.SetAttributes(
				attribute.String("alertd.alert.name", tr.Alert.Name()), attribute.String("alertd.alert.fingerprint", tr.Alert.Fingerprint.String()),
				attribute.String("alertd.severity", string(tr.Alert.Severity())), attribute.String("alertd.alert.from", string(tr.From)),
				attribute.String("alertd.alert.state", string(tr.Alert.State)), attribute.String("alertd.reason", string(tr.Reason)),
			)
			break
		}
	}
	for i := range entries {
		if p := entries[i].Planned; p != nil {
			span.SetAttributes(attribute.String("alertd.group", string(p.Notification.Group)), attribute.String("alertd.receiver", p.Notification.Receiver),
				attribute.String("alertd.notification.reason", string(p.Notification.Reason)))
			break
		}
	}
}

// link ties a decision to the exemplars of its alerts, and, where it tells what was decided earlier, to those decisions;
// and remembers it for the alerts and notifications that it is about.
func (t *turnTrace) link(span trace.Span, entries []alertd.Entry) {
	own, linked := span.SpanContext(), map[trace.SpanID]bool{}
	link := func(to trace.SpanContext) {
		if to.IsValid() && !linked[to.SpanID()] && len(linked) < maxLinks {
			linked[to.SpanID()] = true
			span.AddLink(trace.Link{SpanContext: to})
		}
	}
	for i := range entries {
		if tr := entries[i].Transition; tr != nil {
			link(spanContext(tr.Alert.Trace))
			if own.IsSampled() {
				t.alerts.put(tr.Alert.Fingerprint, own)
			}
		}
	}
	for i := range entries {
		p := entries[i].Planned
		if p == nil {
			continue
		}
		for j := range p.Notification.Alerts {
			if earlier, ok := t.alerts.spans[p.Notification.Alerts[j].Fingerprint]; ok && earlier.TraceID() != own.TraceID() {
				link(earlier)
			}
		}
		if own.IsSampled() {
			t.planned.put(p.Notification.ID, own)
		}
	}
}

// open makes the turn's span, with what was measured before it was known to be worth one.
func (t *turnTrace) open() {
	if t.ctx != nil {
		return
	}
	t.ctx, t.root = t.tracer.Start(context.Background(), "turn", trace.WithNewRoot(), sinceWhen(t.began), trace.WithLinks(t.origins...))
	if t.verdicts > 0 {
		_, span := t.tracer.Start(t.ctx, "evaluate", sinceWhen(t.began), trace.WithAttributes(attribute.Int("alertd.verdicts", t.verdicts)))
		span.End(trace.WithTimestamp(t.evaluated))
	}
}

// appending is the span of a commit to the journal, retries included.
func (t *turnTrace) appending(ctx context.Context, c *alertd.Commit) (context.Context, trace.Span) {
	if t == nil || t.ctx == nil {
		return ctx, noop.Span{}
	}
	return t.tracer.Start(t.context(ctx), "append journal", trace.WithAttributes(
		attribute.Int("alertd.entries", len(c.Entries)), attribute.Int64("alertd.checkpoint", int64(c.Checkpoint)), attribute.Int64("alertd.epoch", int64(c.Epoch))))
}

// end ends the turn. Of the turns that decided nothing, a few a minute have a span.
func (t *turnTrace) end(err error) {
	if t == nil {
		return
	}
	if t.ctx == nil && t.verdicts > 0 && t.others.Allow() {
		t.open()
	}
	if t.ctx != nil {
		t.root.SetAttributes(attribute.Int("alertd.decisions", t.decisions))
		ended(t.root, err)
	}
	t.origins, t.verdicts, t.decisions, t.ctx, t.root = t.origins[:0], 0, 0, nil, nil
}

// of is the span that planned a notification.
func (t *turnTrace) of(notification string) trace.SpanContext {
	if t == nil {
		return trace.SpanContext{}
	}
	return t.planned.spans[notification]
}

// save is what a snapshot keeps, so that what is held over a restart is still linked to its decision.
func (t *turnTrace) save() map[alertd.Fingerprint]string {
	if t == nil {
		return nil
	}
	out := make(map[alertd.Fingerprint]string, len(t.alerts.spans))
	for fp, span := range t.alerts.spans {
		out[fp] = traceparent(span)
	}
	return out
}

// restore takes what save returned.
func (t *turnTrace) restore(alerts map[alertd.Fingerprint]string) {
	if t == nil {
		return
	}
	for fp, text := range alerts {
		if span := spanContext(tracectx.FromHeader(tracectx.Header{"traceparent": {text}})); span.IsValid() {
			t.alerts.put(fp, span)
		}
	}
}
