package app_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"alertd/app"
	"alertd/ingest"
)

const (
	publisherTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	publisherSpan  = "00f067aa0ba902b7"
	publisher      = "00-" + publisherTrace + "-" + publisherSpan + "-01"
)

// hook is a webhook receiver that keeps the header of the newest request.
type hook struct {
	*httptest.Server
	headers chan http.Header
}

func newHook(t *testing.T) *hook {
	h := &hook{headers: make(chan http.Header, 100)}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		h.headers <- r.Header
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) next(t *testing.T) http.Header {
	t.Helper()
	select {
	case header := <-h.headers:
		return header
	case <-time.After(2 * time.Minute):
		t.Fatal("no page came")
		return nil
	}
}

// lines is a log that can be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) with(word string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(strings.Split(l.b.String(), "\n"), func(s string) bool { return !strings.Contains(s, word) })
}

// traced is a daemon whose spans can be looked at.
type traced struct {
	*app.App
	spans *tracetest.InMemoryExporter
	log   *lines
	stop  func()
}

func newTraced(t *testing.T, data string, files fstest.MapFS, on bool) *traced {
	t.Helper()
	d := &traced{spans: tracetest.NewInMemoryExporter(), log: &lines{}}
	o := app.Options{
		Rules: files, Data: data, Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:0", Console: io.Discard,
		Log: slog.New(slog.NewTextHandler(io.MultiWriter(d.log, t.Output()), nil)),
	}
	if on {
		o.Traces = sdk.NewTracerProvider(sdk.WithSyncer(d.spans))
	}
	a, err := app.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	d.App, d.stop = a, run(t, a)
	return d
}

// send publishes an event the way that publishers do who know HTTP's carrier: with a capital letter.
func (d *traced) send(t *testing.T, subject, event, traceparent string) {
	t.Helper()
	js := connect(t, d.NATS())
	defer js.Conn().Close()
	m := &nats.Msg{Subject: subject, Data: []byte(event), Header: nats.Header{"Traceparent": {traceparent}}}
	if _, err := js.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

// span waits for one.
func (d *traced) span(t *testing.T, what string, fits func(tracetest.SpanStub) bool) tracetest.SpanStub {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for _, s := range d.spans.GetSpans() {
			if fits(s) {
				return s
			}
		}
	}
	var all []string
	for _, s := range d.spans.GetSpans() {
		all = append(all, fmt.Sprintf("%s %s<-%s links %d %v", s.Name, s.SpanContext.SpanID(), s.Parent.SpanID(), len(s.Links), s.Attributes))
	}
	t.Fatalf("no span %s:\n%s", what, strings.Join(all, "\n"))
	return tracetest.SpanStub{}
}

func (d *traced) named(t *testing.T, name string) tracetest.SpanStub {
	t.Helper()
	return d.span(t, name, func(s tracetest.SpanStub) bool { return s.Name == name })
}

func (d *traced) child(t *testing.T, name string, of tracetest.SpanStub) tracetest.SpanStub {
	t.Helper()
	return d.span(t, name+" in "+of.Name, func(s tracetest.SpanStub) bool {
		return s.Name == name && s.Parent.SpanID() == of.SpanContext.SpanID() && s.SpanContext.TraceID() == of.SpanContext.TraceID()
	})
}

func attr(s tracetest.SpanStub, key string) string {
	for _, kv := range s.Attributes {
		if kv.Key == attribute.Key(key) {
			return kv.Value.String()
		}
	}
	return ""
}

func linked(s tracetest.SpanStub, to trace.SpanContext) bool {
	return slices.ContainsFunc(s.Links, func(l sdk.Link) bool {
		return l.SpanContext.TraceID() == to.TraceID() && l.SpanContext.SpanID() == to.SpanID()
	})
}

// The trace of a page is as docs/tracing.md says: from the event of somebody else's trace to the request of the webhook.
func TestTraceOfAPage(t *testing.T) {
	h := newHook(t)
	d := newTraced(t, t.TempDir(), files(h.URL), true)
	d.send(t, "alertd.metrics.api", down, publisher)
	header := h.next(t)

	process := d.named(t, "process alertd.metrics.{service}")
	if process.SpanContext.TraceID().String() != publisherTrace || process.Parent.SpanID().String() != publisherSpan || process.SpanKind != trace.SpanKindConsumer {
		t.Errorf("process is not the publisher's child: %+v", process)
	}
	decide, flush := d.named(t, "decide Down"), d.named(t, "flush ops")
	if len(decide.Links) != 1 || decide.Links[0].SpanContext.TraceID().String() != publisherTrace || decide.Links[0].SpanContext.SpanID().String() != publisherSpan {
		t.Errorf("the decision is not linked to the event: %+v", decide.Links)
	}
	for key, want := range map[string]string{
		"alertd.alert.name": "Down", "alertd.severity": "critical", "alertd.alert.state": "firing", "alertd.transitions": "1",
		"alertd.rule": "rules.yaml:shop:Down", "alertd.reason": "condition true",
	} {
		if got := attr(decide, key); got != want {
			t.Errorf("decide: %s is %q, want %q", key, got, want)
		}
	}
	for key, want := range map[string]string{"alertd.notifications": "1", "alertd.receiver": "ops", "alertd.notification.reason": "first notification"} {
		if got := attr(flush, key); got != want {
			t.Errorf("flush: %s is %q, want %q", key, got, want)
		}
	}
	turn := d.span(t, "turn", func(s tracetest.SpanStub) bool { return s.SpanContext.SpanID() == decide.Parent.SpanID() })
	if turn.Name != "turn" || turn.Parent.IsValid() {
		t.Errorf("not a root: %+v", turn)
	}
	d.child(t, "evaluate", turn)
	d.child(t, "flush ops", turn)
	commit := d.child(t, "publish alertd.journal", d.child(t, "append journal", turn))
	if commit.SpanKind != trace.SpanKindProducer || attr(commit, "messaging.system") != "nats" || attr(commit, "nats.stream") != "ALERTD_JOURNAL" {
		t.Errorf("%+v", commit)
	}
	d.span(t, "apply history", func(s tracetest.SpanStub) bool {
		return s.Name == "apply history" && (s.Parent.SpanID() == commit.SpanContext.SpanID() || linked(s, commit.SpanContext)) && attr(s, "db.system.name") == "sqlite"
	})
	notify := d.child(t, "notify ops/webhook/0", flush)
	if attr(notify, "alertd.outcome") != "delivered" || attr(notify, "alertd.attempt") != "1" {
		t.Errorf("%+v", notify.Attributes)
	}
	post := d.child(t, "POST", notify)
	if got, want := header.Get("Traceparent"), "00-"+post.SpanContext.TraceID().String()+"-"+post.SpanContext.SpanID().String()+"-01"; got != want {
		t.Errorf("the webhook got traceparent %q, want %q", got, want)
	}
	if attr(post, "http.response.status_code") != "200" || attr(post, "server.address") != "127.0.0.1" || attr(post, "url.full") != "" {
		t.Errorf("%+v", post.Attributes)
	}
	until(t, d.App, "/api/v1/why?alert=Down", `"kind":"attempt","to":"delivered","trace_id":"`+turn.SpanContext.TraceID().String())
	until(t, d.App, "/api/v1/notifications", `"trace_id":"`+turn.SpanContext.TraceID().String())
	for _, s := range d.spans.GetSpans() {
		if s.SpanKind != trace.SpanKindServer && !strings.HasPrefix(s.InstrumentationScope.Name, "alertd/") { // by which a waterfall knows them, see package tracectx
			t.Errorf("%s is of %s", s.Name, s.InstrumentationScope.Name)
		}
	}
	for _, word := range []string{"notification delivered", "alert firing"} {
		for end := time.Now().Add(2 * time.Minute); len(d.log.with(word)) == 0 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		}
		for _, line := range d.log.with(word) {
			if !strings.Contains(line, "trace_id="+turn.SpanContext.TraceID().String()) {
				t.Errorf("no trace id: %s", line)
			}
		}
	}
}

// What waits is told in a trace of its own, which is linked to the decision, also when the daemon was started again.
func TestTraceOfWhatWaited(t *testing.T) {
	t.Parallel()
	h, data := newHook(t), t.TempDir()
	f := files(h.URL)
	routing := strings.Replace(string(f["routing.yaml"].Data), "group_wait: 0s", "group_wait: 10s", 1)
	f["routing.yaml"] = &fstest.MapFile{Data: []byte(routing)}
	d := newTraced(t, data, f, true)
	d.send(t, "alertd.metrics.api", down, publisher)
	decide := d.named(t, "decide Down")
	d.stop()
	if len(h.headers) > 0 {
		t.Fatal("told before the restart: this tests nothing")
	}

	d = newTraced(t, data, f, true)
	h.next(t)
	due := d.named(t, "flush ops")
	if due.SpanContext.TraceID() == decide.SpanContext.TraceID() || !linked(due, decide.SpanContext) {
		t.Errorf("%s links %+v, want one to %s", due.Name, due.Links, decide.SpanContext.SpanID())
	}
	d.child(t, "notify ops/webhook/0", due)
}

// Who posts alerts finds the turn that took them.
func TestTraceOfARequest(t *testing.T) {
	h := newHook(t)
	d := newTraced(t, t.TempDir(), files(h.URL), true)
	until(t, d.App, "/metrics", "alertd_leading 1")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+d.HTTP()+"/api/v2/alerts",
		strings.NewReader(`[{"labels":{"alertname":"Posted","service":"api","severity":"critical"}}]`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Traceparent", publisher)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	h.next(t)
	server := d.span(t, "of the request", func(s tracetest.SpanStub) bool { return s.SpanKind == trace.SpanKindServer })
	if !strings.HasPrefix(server.Name, "POST /api/v2/") || server.SpanContext.TraceID().String() != publisherTrace || server.Parent.SpanID().String() != publisherSpan {
		t.Errorf("%s %+v", server.Name, server.Parent)
	}
	if got := attr(server, "http.route"); "POST "+got != server.Name {
		t.Errorf("%s has the route %q", server.Name, got)
	}
	decide := d.named(t, "decide posted alerts")
	turn := d.span(t, "turn", func(s tracetest.SpanStub) bool { return s.SpanContext.SpanID() == decide.Parent.SpanID() })
	if !linked(turn, server.SpanContext) {
		t.Errorf("the turn links %+v", turn.Links)
	}
	for _, s := range d.spans.GetSpans() {
		if strings.Contains(s.Name, "health") {
			t.Errorf("a question for health has a span: %s", s.Name)
		}
	}
}

// A dead letter keeps the trace of its event, and so does the line in the log, even where alertd itself is not traced.
func TestDeadLetterKeepsTheTrace(t *testing.T) {
	for _, on := range []bool{false, true} {
		h := newHook(t)
		d := newTraced(t, t.TempDir(), files(h.URL), on)
		d.send(t, "alertd.metrics.api", `{"name":"up","value":}`, publisher)
		until(t, d.App, "/api/v1/deadletters", "alertd.metrics.api")
		stream, err := connect(t, d.NATS()).Stream(t.Context(), ingest.DeadLetterStream)
		if err != nil {
			t.Fatal(err)
		}
		letter, err := stream.GetMsg(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := letter.Header.Get("traceparent"); !strings.HasPrefix(got, "00-"+publisherTrace+"-") || on == strings.Contains(got, publisherSpan) {
			t.Errorf("traced %v: the dead letter has %q", on, got)
		}
		if got := d.log.with("event not understood"); len(got) != 1 || !strings.Contains(got[0], "trace_id="+publisherTrace) {
			t.Errorf("traced %v: logged %q", on, got)
		}
		d.stop()
	}
}
