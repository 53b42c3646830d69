package notifier_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"alertd"
	"alertd/notifier"
)

type poster struct {
	client *http.Client
	url    string
}

func (p poster) Send(ctx context.Context, _ alertd.Notification) (string, error) {
	a, de := notifier.Post(ctx, p.client, p.url, http.Header{}, []byte("{}"), time.Now())
	if de != nil {
		return "", de
	}
	if a.Status != http.StatusOK {
		return "", notifier.StatusError(a)
	}
	return "", nil
}

// An attempt soon after the decision belongs to its trace; a late one has a trace of its own and links there. What a
// path says is never in a span.
func TestAttemptHasASpan(t *testing.T) {
	var code atomic.Int64
	var header atomic.Value // of the newest request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header.Store(r.Header)
		w.WriteHeader(int(code.Load()))
	}))
	defer server.Close()
	spans := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(spans))
	_, decision := provider.Tracer("test").Start(t.Context(), "decide")
	attempts := make(chan alertd.Attempt, 1)
	o := notifier.NewOutbox(func(a alertd.Attempt) { attempts <- a }, notifier.Options{Tracer: provider.Tracer("test")})
	defer func() { _ = o.Close(context.Background()) }()
	o.SetSenders(map[string]notifier.Sender{"ops/webhook/0": poster{notifier.NewClient(), server.URL + "/hush-hush?token=hush-hush"}})

	for _, test := range []struct {
		age  time.Duration
		code int
	}{{0, http.StatusOK}, {2 * time.Hour, http.StatusOK}, {0, http.StatusBadGateway}} {
		spans.Reset()
		code.Store(int64(test.code))
		n := alertd.Notification{
			ID: "n", Receiver: "ops", Integration: "webhook/0", PlannedAt: time.Now().Add(-test.age),
			Alerts: []alertd.Notified{{Alert: alertd.Alert{State: alertd.Firing}}},
		}
		o.Offer(notifier.Job{Notification: n, N: 1, Trace: decision.SpanContext()})
		a := <-attempts
		for end := time.Now().Add(30 * time.Second); len(spans.GetSpans()) < 2 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		}
		got := spans.GetSpans() // in the order in which they ended
		if len(got) != 2 || got[0].Name != "POST" || got[1].Name != "notify ops/webhook/0" || got[0].SpanKind != trace.SpanKindClient {
			t.Fatalf("%+v", got)
		}
		post, notify := got[0], got[1]
		same := notify.SpanContext.TraceID() == decision.SpanContext().TraceID()
		if late := test.age > time.Minute; late == same || late != (len(notify.Links) == 1) {
			t.Errorf("%s after the decision: same trace %v, links %v", test.age, same, notify.Links)
		}
		if a.TraceID != notify.SpanContext.TraceID().String() {
			t.Errorf("the attempt says trace %q, its span is in %s", a.TraceID, notify.SpanContext.TraceID())
		}
		if sent := header.Load().(http.Header); !strings.Contains(sent.Get("Traceparent"), post.SpanContext.SpanID().String()) {
			t.Errorf("sent %v", sent)
		}
		if failed := test.code != http.StatusOK; failed != (notify.Status.Description != "") || failed == (a.Outcome == alertd.Delivered) {
			t.Errorf("%+v: %+v", a, notify.Status)
		}
		if text := fmt.Sprintf("%+v", got); strings.Contains(text, "hush") {
			t.Errorf("a span tells a secret: %s", text)
		}
	}
}

// BenchmarkAttemptUntraced shows what an attempt costs where nothing is traced.
func BenchmarkAttemptUntraced(b *testing.B) {
	attempts := make(chan alertd.Attempt, 1)
	o := notifier.NewOutbox(func(a alertd.Attempt) { attempts <- a }, notifier.Options{})
	defer func() { _ = o.Close(context.Background()) }()
	o.SetSenders(map[string]notifier.Sender{"ops/webhook/0": nowhere{}})
	n := alertd.Notification{ID: "n", Receiver: "ops", Integration: "webhook/0", Alerts: []alertd.Notified{{Alert: alertd.Alert{State: alertd.Firing}}}}
	for b.Loop() {
		o.Offer(notifier.Job{Notification: n, N: 1})
		<-attempts
	}
}

type nowhere struct{}

func (nowhere) Send(context.Context, alertd.Notification) (string, error) { return "", nil }
