package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"alertd": main}) }

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("COLUMNS", "100")
			env.Setenv("TZ", "Asia/Kolkata") // no summer time, so that tables are the same all the year
			// Nothing in a script may reach a daemon that happens to run on this machine.
			env.Setenv("ALERTD_URL", "http://127.0.0.1:1")
			env.Setenv("ALERTD_NATS", "nats://127.0.0.1:1")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"nats":    startNATS,
			"stored":  stored,
			"answers": startAnswers,
			"widest":  widest,
			"ready":   ready,
		},
	})
}

// startNATS starts a NATS server and sets ALERTD_NATS: "nats" has the events stream, "nats bare" has none, "nats
// secret" asks for a password.
func startNATS(ts *testscript.TestScript, _ bool, args []string) {
	opts := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: ts.MkAbs("nats"), NoLog: true, NoSigs: true,
	}
	user := ""
	if len(args) > 0 && args[0] == "secret" {
		opts.Username, opts.Password = "shop", "hunter2"
		user = "shop:hunter2@"
	}
	s, err := server.NewServer(opts)
	ts.Check(err)
	s.Start()
	ts.Defer(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(30 * time.Second) {
		ts.Fatalf("the NATS server did not start")
	}
	url := strings.Replace(s.ClientURL(), "nats://", "nats://"+user, 1)
	ts.Setenv("ALERTD_NATS", s.ClientURL())
	ts.Setenv("NATS_WITH_USER", url)
	if len(args) > 0 && args[0] == "bare" {
		return
	}
	nc, err := nats.Connect(url, nats.Timeout(time.Minute))
	ts.Check(err)
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	ts.Check(err)
	_, err = js.CreateStream(context.Background(), jetstream.StreamConfig{
		Name: "ALERTD_EVENTS", Subjects: []string{"alertd.metrics.>", "alertd.health.>", "alertd.events.>"},
	})
	ts.Check(err)
}

// stored writes what the stream holds, headers and all, to stdout.txt in the script's folder: "stored FILE".
func stored(ts *testscript.TestScript, _ bool, args []string) {
	nc, err := nats.Connect(ts.Getenv("NATS_WITH_USER"), nats.Timeout(time.Minute))
	ts.Check(err)
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	ts.Check(err)
	stream, err := js.Stream(context.Background(), "ALERTD_EVENTS")
	ts.Check(err)
	var out strings.Builder
	for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
		msg, err := stream.GetMsg(context.Background(), seq)
		ts.Check(err)
		fmt.Fprintf(&out, "%s %s %s\n", msg.Subject, msg.Header.Get("traceparent"), msg.Data)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(out.String()), 0o600))
}

// startAnswers starts a daemon that answers every question with a file of the script and sets ALERTD_URL:
// "answers CODE FILE…": one file an answer, the last one for ever. The questions go to questions.txt.
func startAnswers(ts *testscript.TestScript, _ bool, args []string) {
	code := 0
	_, err := fmt.Sscan(args[0], &code)
	ts.Check(err)
	var bodies []string
	for _, f := range args[1:] {
		bodies = append(bodies, ts.ReadFile(f))
	}
	var mu sync.Mutex // of what follows: each command has a connection of its own
	var asked strings.Builder
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(&asked, strings.TrimSpace(r.URL.RequestURI()+" "+string(body)))
		if err := os.WriteFile(ts.MkAbs("questions.txt"), []byte(asked.String()), 0o600); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if strings.HasPrefix(bodies[0], "<") {
			w.Header().Set("Content-Type", "text/html")
		}
		w.WriteHeader(code)
		fmt.Fprint(w, bodies[0])
		if len(bodies) > 1 {
			bodies = bodies[1:]
		}
	}))
	ts.Defer(srv.Close)
	ts.Setenv("ALERTD_URL", srv.URL)
}

// widest fails unless every line of a file has at most so many runes: "widest 100 FILE".
func widest(ts *testscript.TestScript, _ bool, args []string) {
	limit := 0
	_, err := fmt.Sscan(args[0], &limit)
	ts.Check(err)
	for i, line := range strings.Split(ts.ReadFile(args[1]), "\n") {
		if n := len([]rune(line)); n > limit {
			ts.Fatalf("%s:%d has %d columns: %s", args[1], i+1, n, line)
		}
	}
}

// ready waits until a daemon has the data folder: "ready DIR".
func ready(ts *testscript.TestScript, _ bool, args []string) {
	for range 3600 {
		if _, err := os.Stat(ts.MkAbs(args[0] + "/history.db")); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("no daemon has opened %s", args[0])
}
