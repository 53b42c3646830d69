package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"alertd/app"
	"alertd/natsbus"
	"alertd/natsbus/natstest"
)

// broker is a NATS server of somebody's own.
type broker struct{ *natstest.Server }

func newBroker(t *testing.T) broker {
	t.Helper()
	return broker{natstest.Start(t, server.Options{JetStream: true})}
}

// daemon starts an App on the server.
func (b broker) daemon(t *testing.T, data string, s *sink) (*app.App, func()) {
	t.Helper()
	a, err := app.New(t.Context(), app.Options{
		Rules: files(s.URL), Data: data, Listen: "127.0.0.1:0", NATS: b.ClientURL(), Console: io.Discard,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return a, run(t, a)
}

// insist publishes that a service is down until it is acknowledged, and waits for the page about it.
func insist(t *testing.T, js jetstream.JetStream, s *sink, service string) {
	t.Helper()
	event := fmt.Appendf(nil, `{"name":"up","labels":{"service":%q},"value":0}`, service)
	for end := time.Now().Add(3 * time.Minute); ; {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := js.Publish(ctx, natsbus.MetricsSubject(service), event)
		cancel()
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	for {
		if p := s.next(t); p.Status == "firing" && p.Alerts[0].Labels["service"] == service {
			return
		}
	}
}

// takeAway deletes a stream, and may put an empty one in its place.
func takeAway(t *testing.T, js jetstream.JetStream, name string, anew bool) {
	t.Helper()
	stream, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	for empty := false; !empty; { // nats-server may find the old files again in a stream that is made right after it was deleted
		if err := js.DeleteStream(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if !anew {
			return
		}
		made, err := js.CreateStream(t.Context(), stream.CachedInfo().Config)
		if err != nil {
			t.Fatal(err)
		}
		empty = made.CachedInfo().State.LastSeq == 0
	}
}

// The server goes away for longer than anybody waits for an answer. When it is back, alertd goes on by itself.
func TestServerAway(t *testing.T) {
	t.Parallel()
	s, b := newSink(t), newBroker(t)
	a, _ := b.daemon(t, t.TempDir(), s)
	insist(t, connect(t, b.ClientURL()), s, "api")
	b.Stop()
	until(t, a, "/health/ready", `"status":"unhealthy"`)
	time.Sleep(8 * time.Second) // more than the client library waits for an answer
	b.StartAgain(t)
	insist(t, connect(t, b.ClientURL()), s, "db")
	until(t, a, "/health/ready", `"status":"healthy"`)
	until(t, a, "/api/v1/alerts", `"service":"api"`) // it still knows what was
}

// The server is started without JetStream. Readiness says that nothing can be remembered, and not that another node leads; started
// with it again, it is used again.
func TestJetStreamAway(t *testing.T) {
	t.Parallel()
	s, b := newSink(t), newBroker(t)
	a, _ := b.daemon(t, t.TempDir(), s)
	insist(t, connect(t, b.ClientURL()), s, "api")
	for _, jetStream := range []bool{false, true} {
		b.Stop()
		b.Options.JetStream = jetStream
		b.StartAgain(t)
		if !jetStream {
			until(t, a, "/metrics", "alertd_leading 0\n")
			until(t, a, "/health/ready", `"journal":{"status":"unhealthy"`)
		}
	}
	insist(t, connect(t, b.ClientURL()), s, "db")
	until(t, a, "/health/ready", `"status":"healthy"`)
}

// An administrator deletes the stream of events, or deletes it and makes it anew, whose sequences begin at 1 again. What is
// published from then on is judged, whatever its sequence.
func TestEventsAreDeleted(t *testing.T) {
	t.Parallel()
	for _, anew := range []bool{false, true} {
		t.Run(fmt.Sprintf("anew=%t", anew), func(t *testing.T) {
			t.Parallel()
			s, b := newSink(t), newBroker(t)
			data := t.TempDir()
			a, stop := b.daemon(t, data, s)
			js := connect(t, b.ClientURL())
			for _, service := range []string{"a", "b", "c"} {
				insist(t, js, s, service)
			}
			takeAway(t, js, natsbus.EventsStream, anew)
			insist(t, js, s, "d")
			until(t, a, "/health/ready", `"status":"healthy"`)
			for _, service := range []string{"e", "f", "g"} {
				insist(t, js, s, service)
			}
			stop()
			// The same while alertd is down, and the new stream is longer than what was read of the old one.
			if !anew {
				return
			}
			takeAway(t, js, natsbus.EventsStream, anew)
			for i := range 20 {
				event := fmt.Appendf(nil, `{"name":"up","labels":{"service":"h%d"},"value":0}`, i)
				if _, err := js.Publish(t.Context(), natsbus.MetricsSubject("h"), event); err != nil {
					t.Fatal(err)
				}
			}
			b.daemon(t, data, s)
			for range 20 {
				if p := s.next(t); p.Status != "firing" {
					t.Errorf("paged %+v", p)
				}
			}
		})
	}
}

// An administrator deletes the journal, and with it all that alertd knew, or puts another one in its place. Nothing heals that
// daemon: it ends and says why; the next one on the same data begins as if new, pages what fires, and has a history of this
// journal only.
func TestJournalIsDeleted(t *testing.T) {
	t.Parallel()
	for _, anew := range []bool{false, true} {
		t.Run(fmt.Sprintf("anew=%t", anew), func(t *testing.T) {
			t.Parallel()
			s, b := newSink(t), newBroker(t)
			data := t.TempDir()
			js := connect(t, b.ClientURL())
			a, err := app.New(t.Context(), app.Options{
				Rules: files(s.URL), Data: data, Listen: "127.0.0.1:0", NATS: b.ClientURL(), Console: io.Discard,
				Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
			})
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- a.Run(t.Context()) }()
			insist(t, js, s, "old")
			until(t, a, "/api/v1/history", `"service":"old"`)
			takeAway(t, js, natsbus.JournalStream, anew)
			if _, err := js.Publish(t.Context(), natsbus.MetricsSubject("new"), []byte(`{"name":"up","labels":{"service":"new"},"value":0}`)); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				if !errors.Is(err, app.ErrJournalGone) {
					t.Errorf("it ended with %v", err)
				}
			case <-time.After(3 * time.Minute):
				t.Fatal("it goes on without a journal")
			}
			if err := a.Close(t.Context()); err != nil {
				t.Error(err)
			}
			a, _ = b.daemon(t, data, s)
			told := map[string]bool{}
			for len(told) < 2 {
				told[s.next(t).Alerts[0].Labels["service"]] = true
			}
			if !told["old"] || !told["new"] {
				t.Errorf("told are %v", told)
			}
			until(t, a, "/api/v1/history", `"service":"new"`)
			if _, body := get(t, a, "/api/v1/history"); strings.Count(body, `"to":"firing"`) != 2 {
				t.Errorf("the history is of two journals: %s", body)
			}
		})
	}
}
