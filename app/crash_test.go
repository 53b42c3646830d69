package app_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"alertd"
	"alertd/app"
	"alertd/natsbus"
)

// closed is a routing file that holds every alert for days, each in a group of its own.
func closed(url string) fstest.MapFS {
	return fstest.MapFS{"routing.yaml": {Data: fmt.Appendf(nil, `calendars:
  office: {time_zone: UTC, hours: ['%s 09:00-17:00']}
route:
  receiver: ops
  group_by: [service]
  group_wait: 0s
  group_interval: 1h
  deliver: business_hours
  calendar: office
receivers:
- name: ops
  webhook_configs: [{url: %q}]
`, strings.ToLower(time.Now().UTC().AddDate(0, 0, 3).Format("Mon")), url)}}
}

// A digest of two thousand groups is more than one message of the journal holds. Wherever between these messages the process
// dies, the next one tells all of it, once.
func TestDigestOverACrash(t *testing.T) {
	const alerts = 2000
	s := newSink(t)
	fsys := closed(s.URL)
	data := t.TempDir()
	start := func(data string) (*app.App, func()) {
		t.Helper()
		a, err := app.New(t.Context(), app.Options{
			Rules: fsys, Data: data, Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:0", Console: io.Discard, Node: "a",
			Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		})
		if err != nil {
			t.Fatal(err)
		}
		return a, run(t, a)
	}
	a, stop := start(data)
	until(t, a, "/metrics", "alertd_leading 1\n")
	var body strings.Builder
	for i := range alerts {
		fmt.Fprintf(&body, `%c{"labels":{"alertname":"Posted","service":"service-number-%d","severity":"warning"}}`, "[,"[min(i, 1)], i)
	}
	body.WriteByte(']')
	resp, err := http.Post("http://"+a.HTTP()+"/api/v2/alerts", "application/json", strings.NewReader(body.String()))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	_ = resp.Body.Close()
	if _, err := a.Release(t.Context(), alertd.ReleaseRequest{Selection: alertd.Selection{All: true}, By: "me", From: alertd.FromAPI}); err != nil {
		t.Fatal(err)
	}
	if n := told(s.next(t)); n != alerts {
		t.Fatalf("the digest tells %d alerts, not %d: the test tests nothing", n, alerts)
	}
	written := messages(t, a.NATS())
	stop()

	// The digest is the message that says so, and those before it that say what its groups told.
	planned, first := 0, 0
	for i, m := range written {
		if first == 0 && strings.Contains(string(m.Data), `"flushed":`) {
			first = i
		}
		if strings.Contains(string(m.Data), `"planned":`) {
			planned = i
		}
	}
	if planned == first {
		t.Fatalf("it takes the messages %d to %d: the test tests nothing", first, planned)
	}
	for died := first; died <= planned; died++ {
		data := t.TempDir()
		restore(t, data, written[:died])
		a, stop := start(data)
		if n := told(s.next(t)); n != alerts {
			t.Errorf("killed behind message %d of %d, the digest tells %d alerts", died, planned+1, n)
		}
		until(t, a, "/metrics", "alertd_outbox_notifications 0\n")
		s.none(t)
		stop()
	}
}

// told is how many alerts a digest speaks of, those included that it only counts.
func told(p page) int { return len(p.Alerts) + p.Truncated }

// messages is what the journal at a NATS server has.
func messages(t *testing.T, url string) (out []*jetstream.RawStreamMsg) {
	t.Helper()
	js := connect(t, url)
	defer js.Conn().Close()
	stream, err := js.Stream(t.Context(), natsbus.JournalStream)
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
		m, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

// restore makes a data folder whose journal has these messages and no others.
func restore(t *testing.T, data string, written []*jetstream.RawStreamMsg) {
	t.Helper()
	bus, err := natsbus.Open(t.Context(), natsbus.Options{Listen: "127.0.0.1:0", StoreDir: data + "/nats"})
	if err != nil {
		t.Fatal(err)
	}
	err = bus.EnsureStreams(t.Context(), natsbus.Limits{EventsMaxAge: time.Hour})
	for _, m := range written {
		if err == nil {
			_, err = bus.JetStream().PublishMsg(t.Context(), &nats.Msg{Subject: m.Subject, Data: m.Data, Header: nats.Header{
				"Alertd-Journal": m.Header["Alertd-Journal"],
			}})
		}
	}
	if err := errors.Join(err, bus.Close(context.Background())); err != nil {
		t.Fatal(err)
	}
}

// A history that is damaged keeps nobody from being paged: it is moved aside and made again.
func TestDamagedHistory(t *testing.T) {
	s := newSink(t)
	data := t.TempDir()
	a, stop := daemon(t, data, s)
	publish(t, a, "alertd.metrics.api", down)
	s.next(t)
	until(t, a, "/api/v1/history", `"alert":"Down"`)
	stop()
	garbage := bytes.Repeat([]byte("not a database "), 10_000)
	if err := os.WriteFile(filepath.Join(data, "history.db"), garbage, 0o600); err != nil {
		t.Fatal(err)
	}
	a, stop = daemon(t, data, s)
	defer stop()
	until(t, a, "/api/v1/history", `"alert":"Down"`)
	aside, err := filepath.Glob(filepath.Join(data, "history.db.*.old"))
	if err != nil || len(aside) != 1 {
		t.Fatalf("moved aside: %v, %v", aside, err)
	}
	if b, err := os.ReadFile(aside[0]); err != nil || !bytes.Equal(b, garbage) {
		t.Errorf("what was there is gone: %v", err)
	}
}
