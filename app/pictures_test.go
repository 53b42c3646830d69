package app_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"alertd/app"
	"alertd/config"
	"alertd/notifier/slacktest"
)

// A page whose trace was still waited for when alertd was stopped gets its picture after the start, and only one however often
// alertd is started again.
func TestPictureOverARestart(t *testing.T) {
	chat, err := slacktest.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer chat.Close()
	var stored atomic.Bool
	var asked atomic.Int64
	backEnd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if !stored.Load() {
			http.NotFound(w, nil)
			return
		}
		_, _ = io.WriteString(w, `{"result":{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"`+publisherTrace+`","spanId":"`+publisherSpan+
			`","name":"POST /pay","startTimeUnixNano":"1768478400000000000","endTimeUnixNano":"1768478405000000000"}]}]}]}}`)
	}))
	defer backEnd.Close()
	f, data := files("http://127.0.0.1:1"), t.TempDir()
	routing, _, _ := strings.Cut(string(f["routing.yaml"].Data), "  webhook_configs")
	f["routing.yaml"] = &fstest.MapFile{Data: []byte(routing + "  slack_configs: [{api_url: '" + chat.APIURL() + "', bot_token: " + slacktest.Token + ", channel: C0OPS}]\n")}
	start := func() *traced {
		t.Helper()
		d := &traced{log: &lines{}}
		if d.App, err = app.New(t.Context(), app.Options{
			Rules: f, Data: data, Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:0", Console: io.Discard, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
			Config: config.Config{Traces: config.Traces{Backend: &config.TraceBackend{Kind: "jaeger", URL: backEnd.URL}}},
		}); err != nil {
			t.Fatal(err)
		}
		d.stop = run(t, d.App)
		return d
	}
	wait := func(what string, met func() bool) {
		t.Helper()
		for end := time.Now().Add(2 * time.Minute); !met(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("no %s: %v, %+v", what, chat.Calls(), chat.Messages("ops"))
			}
		}
	}
	pictures := func() (n int) {
		for _, m := range chat.Messages("ops") {
			for _, r := range m.Replies {
				n += len(r.Files)
			}
		}
		return n
	}
	looked := func() int {
		return len(slices.DeleteFunc(chat.Calls(), func(call string) bool { return call != "conversations.replies" }))
	}

	d := start()
	d.send(t, "alertd.metrics.api", down, publisher)
	until(t, d.App, "/api/v1/notifications", `"outcome":"delivered"`)
	d.stop()
	if pictures() != 0 {
		t.Fatal("the trace is not there yet, and is shown")
	}

	stored.Store(true)
	d = start()
	wait("picture", func() bool { return pictures() == 1 })
	d.stop()

	before, times := looked(), asked.Load()
	start()
	wait("second look", func() bool { return asked.Load() > times && looked() > before })
	if n := len(chat.Messages("ops")); pictures() != 1 || n != 1 {
		t.Errorf("%d pictures below %d messages", pictures(), n)
	}
}
