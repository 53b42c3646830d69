package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"alertd"
	"alertd/journal"
	"alertd/natsbus/natstest"
)

// Who asks at the moment at which alertd is stopped gets an answer, and alertd does not wait for him: it did, for as long as the
// client had patience, or for ten seconds, and then said that it had failed.
func TestStopWhileSomebodyAsks(t *testing.T) {
	theirs := natstest.Start(t, server.Options{JetStream: true}).ClientURL()
	for round := range 6 { // what the loop hears first, the end or the next question, is chance
		o := Options{}
		if round%2 == 1 {
			o.NATS = theirs // where a node that does not lead asks for the one that does
		}
		a := newQuiet(t, o)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx) }()
		waitFor(t, "leading", a.leading.now)

		busy, goOn := make(chan struct{}), make(chan struct{})
		var askers sync.WaitGroup
		patient, impatient := context.WithTimeout(t.Context(), time.Minute)
		askers.Go(func() { // again where a busy machine has cost it the lease just now
			for a.ask(patient, func(*leader) { close(busy); <-goOn }) != nil && patient.Err() == nil {
				time.Sleep(5 * time.Millisecond)
			}
		})
		select {
		case <-busy:
		case <-patient.Done():
			t.Fatal("the loop takes no question")
		}
		const questions = 10
		begun := make(chan struct{}, 2*questions)
		for range questions {
			askers.Go(func() {
				begun <- struct{}{}
				req, err := http.NewRequestWithContext(patient, http.MethodGet, "http://"+a.HTTP()+"/api/v2/alerts", nil)
				if err != nil {
					t.Error(err)
					return
				}
				resp, err := http.DefaultClient.Do(req)
				if err == nil {
					err = resp.Body.Close()
				}
				if err != nil && ctx.Err() == nil { // later it may find nobody
					t.Error(err)
				}
			})
			askers.Go(func() {
				begun <- struct{}{}
				if err := a.Post(patient, nil); err != nil && !errors.Is(err, errStandby) && !errors.Is(err, errLeaseLost) && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		}
		for range 2 * questions {
			<-begun
		}
		time.Sleep(50 * time.Millisecond) // most of them wait for the loop then
		cancel()
		close(goOn)
		if err := <-ended; err != nil {
			t.Errorf("stopped: %v", err)
		}
		askers.Wait()
		impatient()
		if err := a.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// A node that stands by is ready as long as another one leads, who takes what comes to it. On a NATS of their own nobody leads until one
// has the lease.
func TestReadyWhenPostsAreTaken(t *testing.T) {
	broker := natstest.Start(t, server.Options{JetStream: true}).ClientURL()
	a := newQuiet(t, Options{NATS: broker})
	nc, err := nats.Connect(broker, nats.Timeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	dead, err := journal.AcquireLease(t.Context(), js, "somebody who does not answer", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	runs(t, a)
	ready := func(a *App) bool { status, _ := get(t, a, "/-/ready"); return status == http.StatusOK }
	if status, body := get(t, a, "/health/ready"); status != http.StatusServiceUnavailable || !strings.Contains(body, "no node that leads answers") {
		t.Errorf("nobody leads: %d %s", status, body)
	}
	if status, _ := get(t, a, "/api/v2/alerts"); status != http.StatusServiceUnavailable {
		t.Errorf("nobody leads, and the alerts are answered with %d: this tests nothing", status)
	}
	if err := dead.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "ready", func() bool { return ready(a) })
	post := func(a *App) int {
		t.Helper()
		resp, err := http.Post("http://"+a.HTTP()+"/api/v2/alerts", "application/json", strings.NewReader(`[{"labels":{"alertname":"A"}}]`))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	// A busy machine may cost the one that leads its lease: nobody is ready then.
	whileReady := func(a *App) (status int) {
		for status = post(a); status != http.StatusOK && !ready(a); status = post(a) {
			waitFor(t, "ready again", func() bool { return ready(a) })
		}
		return status
	}
	if status := whileReady(a); status != http.StatusOK {
		t.Errorf("ready, and a post is answered with %d", status)
	}

	second := newQuiet(t, Options{NATS: broker})
	standing := make(chan error, 1)
	down, stop := context.WithCancel(t.Context())
	go func() { standing <- second.Run(down) }()
	waitFor(t, "ready to stand by", func() bool { return ready(second) })
	if status := whileReady(second); status != http.StatusOK {
		t.Errorf("the standby is ready, and a post is answered with %d", status)
	}
	if _, body := get(t, second, "/health/ready"); !second.leading.now() && (!strings.Contains(body, `"status":"degraded"`) || !strings.Contains(body, errStandby.Error())) {
		t.Errorf("the standby says %s", body)
	}
	stop()
	if err := errors.Join(<-standing, second.Close(context.Background())); err != nil {
		t.Error(err)
	}
}

// A turn that is at its end before all is decided leaves the checkpoint where it was, and so does a daemon that is stopped then: what
// follows from the events is decided after the next start.
func TestCheckpointWaitsForDecisions(t *testing.T) {
	a := newQuiet(t, Options{})
	runs(t, a)
	waitFor(t, "leading", a.leading.now)
	const seq = 1 << 30
	err := a.ask(t.Context(), func(l *leader) {
		l.evaluator.Append(clock(), seq, nil)
		l.verdicts = []alertd.Verdict{{Rule: &alertd.Rule{}, At: clock()}}
		if err := l.last(t.Context(), nil); err != nil || l.checkpoint >= seq {
			t.Errorf("stopped with %d verdicts, at checkpoint %d: %v", len(l.verdicts), l.checkpoint, err)
		}
		if err := l.turn(t.Context(), nil); err != nil {
			t.Error(err)
		}
		if err := l.last(t.Context(), nil); err != nil || l.checkpoint != seq {
			t.Errorf("all is decided, and the checkpoint is %d: %v", l.checkpoint, err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// newQuiet is a daemon without rules and receivers on free ports. Options say what is different.
func newQuiet(t *testing.T, o Options) *App {
	t.Helper()
	o.Rules = fstest.MapFS{"routing.yaml": {Data: []byte("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")}}
	o.Data, o.Listen, o.NATSListen, o.Console = t.TempDir(), "127.0.0.1:0", "127.0.0.1:0", io.Discard
	o.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	a, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// runs starts a daemon, which is stopped when the test ends.
func runs(t *testing.T, a *App) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, a.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
}

func waitFor(t *testing.T, what string, met func() bool) {
	t.Helper()
	for end := time.Now().Add(3 * time.Minute); !met(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never %s", what)
		}
	}
}

// get is what a node answers at a path.
func get(t *testing.T, a *App, path string) (status int, body string) {
	t.Helper()
	resp, err := http.Get("http://" + a.HTTP() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}
