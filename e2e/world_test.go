package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"alertd/e2e"
	"alertd/natsbus/natstest"
)

// patience is how long a test waits for something that takes milliseconds on an idle machine.
const patience = 3 * time.Minute

// binary is the daemon under test.
var binary string

func TestMain(m *testing.M) {
	if dir := os.Getenv(natsChildEnv); dir != "" {
		os.Exit(natsChildMain(dir))
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "alertd-e2e-")
	if err == nil {
		defer os.RemoveAll(dir)
		binary, err = e2e.Build(context.Background(), dir, raceBuild)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// A world is one daemon with its surroundings: rule files, data folder, a webhook and a publisher.
type world struct {
	t      *testing.T
	opts   e2e.Options
	sink   *e2e.Sink
	daemon *e2e.Daemon // nil while none runs
	nc     *nats.Conn
	js     jetstream.JetStream
}

// newWorld writes the files into a rules folder and starts a daemon on it. In the files {{sink}} is the webhook's URL.
func newWorld(t *testing.T, files map[string]string, change ...func(*e2e.Options)) *world {
	t.Helper()
	sink, err := e2e.NewSink()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sink.Close)
	w := &world{t: t, sink: sink}
	w.opts = e2e.Options{Binary: binary, Data: t.TempDir(), Rules: t.TempDir(), Log: t.Output()}
	for name, text := range files {
		w.write(name, text)
	}
	for _, c := range change {
		c(&w.opts)
	}
	t.Cleanup(w.end)
	w.start()
	return w
}

// write puts a file into the rules folder.
func (w *world) write(name, text string) {
	w.t.Helper()
	text = strings.ReplaceAll(text, "{{sink}}", w.sink.URL)
	if err := os.WriteFile(filepath.Join(w.opts.Rules, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// start starts the daemon, the second time on the same ports, and connects the publisher.
func (w *world) start() {
	w.t.Helper()
	d, err := e2e.Start(w.t.Context(), w.opts)
	if err != nil {
		w.t.Fatal(err)
	}
	w.daemon = d
	w.opts.Listen = strings.TrimPrefix(d.URL, "http://")
	if w.opts.NATS == "" {
		w.opts.NATSListen = strings.TrimPrefix(d.NATS, "nats://")
	}
	if w.nc != nil {
		return
	}
	w.nc, err = nats.Connect(d.NATS, nats.Timeout(patience), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		w.t.Fatal(err)
	}
	if w.js, err = jetstream.New(w.nc, jetstream.WithDefaultTimeout(patience)); err != nil {
		w.t.Fatal(err)
	}
}

// stop ends the daemon as an operator does, and expects that it ends well.
func (w *world) stop() {
	w.t.Helper()
	code, err := w.daemon.Stop()
	w.daemon = nil
	if err != nil || code != 0 {
		w.t.Fatalf("SIGTERM: exit code %d, %v", code, err)
	}
}

// kill ends the daemon as a power cut does.
func (w *world) kill() {
	w.daemon.Kill()
	w.daemon = nil
}

func (w *world) end() {
	if w.nc != nil {
		w.nc.Close()
	}
	if w.daemon != nil {
		w.daemon.Kill()
	}
}

// publish sends an event and waits until the stream has it, over restarts of the server.
func (w *world) publish(subject, body string, headers ...string) {
	w.t.Helper()
	msg := nats.NewMsg(subject)
	msg.Data = []byte(body)
	for i := 0; i+1 < len(headers); i += 2 {
		msg.Header.Set(headers[i], headers[i+1])
	}
	if err := publish(w.t.Context(), w.js, msg); err != nil {
		w.t.Fatal(err)
	}
}

// publish is exactly once: the id lets the stream drop what it got twice.
func publish(ctx context.Context, js jetstream.JetStream, msg *nats.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	msg.Header.Set(nats.MsgIdHdr, nats.NewInbox())
	for {
		try, stop := context.WithTimeout(ctx, 2*time.Second)
		_, err := js.PublishMsg(try, msg)
		stop()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("publish to %s: %w", msg.Subject, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// metric publishes a value of a series of one service, now.
func (w *world) metric(name, service string, value float64) {
	w.t.Helper()
	w.publish("alertd.metrics."+service, metricBody(name, service, value))
}

func metricBody(name, service string, value float64) string {
	return fmt.Sprintf(`{"name":%q,"labels":{"service":%q},"value":%g,"time":%d}`, name, service, value, instant())
}

// instant is now in milliseconds, later than every one before: a series has one value in a millisecond.
func instant() int64 {
	for {
		last, now := lastInstant.Load(), time.Now().UnixMilli()
		if next := max(now, last+1); lastInstant.CompareAndSwap(last, next) {
			return next
		}
	}
}

var lastInstant atomic.Int64

// page waits for a page that tells this of the alert, and returns it.
func (w *world) page(alert, service, status string) e2e.Page {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	p, err := w.sink.Wait(ctx, func(p e2e.Page) bool { return p.Tells(alert, service, status) })
	if err != nil {
		pages, wrong := w.sink.Pages()
		w.t.Fatalf("%s of %s was not told as %s: %v\npages: %+v\nwrong: %v", alert, service, status, err, pages, wrong)
	}
	return p
}

// noPage fails if a page ever told this of the alert.
func (w *world) noPage(alert, service, status string) {
	w.t.Helper()
	pages, _ := w.sink.Pages()
	for _, p := range pages {
		if p.Tells(alert, service, status) {
			w.t.Errorf("%s of %s was told as %s: %s", alert, service, status, p.Body)
		}
	}
}

// alertd runs a client command and returns what it printed.
func (w *world) alertd(args ...string) string {
	w.t.Helper()
	out, err := w.try(args...)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) try(args ...string) (string, error) {
	cmd := exec.CommandContext(w.t.Context(), binary, args...)
	cmd.Env = append(os.Environ(), "ALERTD_URL="+w.daemon.URL, "ALERTD_NATS="+w.daemon.NATS)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("alertd %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// transition is an item of `alertd history -o json`, as the contract has it.
type transition struct {
	Time       time.Time         `json:"time"`
	Alert      string            `json:"alert"`
	Rule       string            `json:"rule"`
	Severity   string            `json:"severity"`
	Service    string            `json:"service"`
	Labels     map[string]string `json:"labels"`
	From       string            `json:"from"`
	To         string            `json:"to"`
	Value      any               `json:"value"`
	RunbookURL string            `json:"runbook_url"`
	TraceURL   string            `json:"trace_url"`
	Reason     string            `json:"reason"`
}

// history asks until the answer fits, and returns it.
func (w *world) history(fits func([]transition) bool, args ...string) []transition {
	w.t.Helper()
	var got []transition
	w.eventually(func() error {
		got = nil
		out, err := w.try(append([]string{"history", "-o", "json"}, args...)...)
		if err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			return err
		}
		if !fits(got) {
			return fmt.Errorf("history is %s", out)
		}
		return nil
	})
	return got
}

// eventually asks again until there is no error. It is for what can only be asked; what announces itself is waited for.
func (w *world) eventually(ask func() error) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// startNATS starts a server of somebody else's, with JetStream.
func startNATS(t *testing.T) string {
	t.Helper()
	return natstest.Start(t, server.Options{JetStream: true}).ClientURL()
}

// reached reports whether a change into this state is among them.
func reached(to string) func([]transition) bool {
	return func(ts []transition) bool {
		for _, t := range ts {
			if t.To == to {
				return true
			}
		}
		return false
	}
}
