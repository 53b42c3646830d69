package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"alertd"
	"alertd/notifier"
	"alertd/notifier/slack"
	"alertd/notifier/slacktest"
	"alertd/tracectx"
)

const tracedID = "4bf92f3577b34da6a3ce929d0e0e4736"

// backEnd answers as it is told to, one answer after the other; the last one stays.
type backEnd struct {
	mu      sync.Mutex
	answers []error // nil: the trace
	asked   int
}

func (b *backEnd) ask(_ context.Context, ref alertd.TraceRef, at time.Time) (tracectx.Trace, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.answers[min(b.asked, len(b.answers)-1)]
	b.asked++
	if err != nil {
		return tracectx.Trace{}, err
	}
	return tracectx.Trace{ID: ref.TraceID, Spans: []tracectx.Span{
		{ID: "00f067aa0ba902b7", Service: "checkout", Name: "POST /pay", Start: at, Duration: 5 * time.Second, Failed: true},
		{ID: "00f067aa0ba902b8", Parent: "00f067aa0ba902b7", Service: "orders", Name: "SELECT", Start: at.Add(time.Second), Duration: 3 * time.Second, Failed: true, Error: "lock time-out"},
	}}, nil
}

func tracedPage(ref alertd.TraceRef) alertd.Notification {
	ls := labels.FromStrings("alertname", "HighErrorRate", "service", "checkout", "severity", "critical")
	return alertd.Notification{
		ID: "n-1", Receiver: "ops", Integration: "slack/0", Group: "{}", Reason: alertd.ReasonFirst, Seq: 1, PlannedAt: time.Now(),
		Alerts: []alertd.Notified{{Fresh: true, Alert: alertd.Alert{
			Fingerprint: alertd.FingerprintOf(ls), Labels: ls, State: alertd.Firing, Value: 1, ActiveAt: time.Now(), At: time.Now(),
			Trace: ref, TraceURL: "https://jaeger.example/trace/" + ref.TraceID,
		}}},
	}
}

// tracedSlack is a Slack, a sender to it, and the traces that its pages are illustrated from.
func tracedSlack(t *testing.T, b *backEnd) (*slacktest.Server, notifier.Sender, *traces) {
	t.Helper()
	server, err := slacktest.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	chat, err := slack.New(slack.Config{APIURL: server.APIURL(), Token: slacktest.Token, Channel: "C0OPS"})
	if err != nil {
		t.Fatal(err)
	}
	tr := newTraces(b.ask, slog.New(slog.DiscardHandler), func(string) {})
	tr.waits = []time.Duration{time.Millisecond, time.Millisecond, time.Millisecond}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- tr.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return server, traced{notifier.Break(chat), tr, chat}, tr
}

// replies waits until the thread of the only message has some.
func replies(t *testing.T, s *slacktest.Server) []slacktest.Message {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if ms := s.Messages("ops"); len(ms) == 1 && len(ms[0].Replies) > 0 {
			return ms[0].Replies
		}
	}
	t.Fatalf("nothing in the thread: %+v", s.Messages("ops"))
	return nil
}

// The page is out before anybody is asked; the picture comes into its thread once the trace is there.
func TestTraceInTheThread(t *testing.T) {
	b := &backEnd{answers: []error{errors.New("down"), tracectx.ErrNoTrace, nil}}
	server, sender, _ := tracedSlack(t, b)
	ref, err := sender.Send(t.Context(), tracedPage(alertd.TraceRef{TraceID: tracedID, SpanID: "00f067aa0ba902b8"}))
	if err != nil || !strings.HasPrefix(ref, "C0OPS:") {
		t.Fatal(ref, err)
	}
	got := replies(t, server)
	if len(got) != 1 || len(got[0].Files) != 1 || got[0].Broadcast {
		t.Fatalf("%+v", got)
	}
	f := got[0].Files[0]
	for _, want := range []string{"2 spans of 2 services, 5 s", "3 s of it in orders: SELECT", "lock time-out"} {
		if !strings.Contains(got[0].Text, want) || !strings.Contains(f.Alt, want) {
			t.Errorf("no %q in %q, %q", want, got[0].Text, f.Alt)
		}
	}
	if _, err := png.Decode(bytes.NewReader(f.Data)); err != nil || f.Name != "trace-4bf92f35.png" {
		t.Errorf("%s: %v", f.Name, err)
	}
	if _, ok := notifier.FinderOf(sender); !ok {
		t.Error("the sender cannot look for messages any more")
	}
}

// A link that leads nowhere is taken back in the thread, and no later message has it.
func TestLostTrace(t *testing.T) {
	server, sender, tr := tracedSlack(t, &backEnd{answers: []error{tracectx.ErrNoTrace}})
	n := tracedPage(alertd.TraceRef{TraceID: tracedID})
	ref, err := sender.Send(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	if got := replies(t, server); !strings.Contains(got[0].Text, "does not have the trace") || len(got[0].Files) != 0 {
		t.Errorf("%+v", got)
	}
	if !tr.lost(n.Alerts[0].Trace) {
		t.Error("forgot that it is lost")
	}
	n.Ref, n.Seq, n.Reason, n.ID = ref, 2, alertd.ReasonRepeat, "n-2"
	if _, err := sender.Send(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	shown := server.Messages("ops")[0].Plain()
	if strings.Contains(shown, "jaeger.example") || !strings.Contains(shown, "not stored by the tracing back-end") || n.Alerts[0].TraceLost {
		t.Errorf("%s\n%+v", shown, n.Alerts[0])
	}
}

// Without the scope for files the words are told.
func TestTraceWithoutTheScope(t *testing.T) {
	server, sender, _ := tracedSlack(t, &backEnd{answers: []error{nil}})
	server.Fail(slacktest.Fault{Method: "files.getUploadURLExternal", Error: "missing_scope"})
	if _, err := sender.Send(t.Context(), tracedPage(alertd.TraceRef{TraceID: tracedID})); err != nil {
		t.Fatal(err)
	}
	if got := replies(t, server); len(got[0].Files) != 0 || !strings.Contains(got[0].Text, "3 s of it in orders") {
		t.Errorf("%+v", got)
	}
}

// Nobody asks for what nobody keeps; a storm asks for no more than there is room for; a failed question says nothing.
func TestTracesAreBounded(t *testing.T) {
	b := &backEnd{answers: []error{nil}}
	skipped := 0
	tr := newTraces(b.ask, slog.New(slog.DiscardHandler), func(result string) {
		if result == "not asked" {
			skipped++
		}
	})
	tr.offer(traceJob{ref: alertd.TraceRef{TraceID: tracedID, Unsampled: true}})
	tr.offer(traceJob{})
	if len(tr.jobs) != 0 {
		t.Error("looks for what nobody keeps")
	}
	for i := range 10 * maxLooking {
		ref := alertd.TraceRef{TraceID: fmt.Sprintf("%032x", i+1)}
		tr.offer(traceJob{ref: ref})
		tr.offer(traceJob{ref: ref}) // twice is once
		if _, err := tr.look(t.Context(), ref, time.Now(), time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if len(tr.jobs) != maxLooking || len(tr.known) != maxTraces || len(tr.order) != maxTraces || skipped == 0 {
		t.Errorf("%d jobs, %d known, %d skipped", len(tr.jobs), len(tr.known), skipped)
	}
	asked := b.asked
	ref := alertd.TraceRef{TraceID: tr.order[0]}
	if _, err := tr.look(t.Context(), ref, time.Now(), time.Minute); err != nil || b.asked != asked {
		t.Error("asked again for what is known")
	}
	b.answers, b.asked = []error{errors.New("down")}, 0
	if got, err := tr.look(t.Context(), ref, time.Now(), 0); err != nil || len(got.Spans) != 2 {
		t.Errorf("forgot a trace because the back-end is down: %v", err)
	}
	var none *traces
	none.offer(traceJob{ref: ref}) // no back-end is configured
}
