package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"alertd"
	"alertd/config"
	"alertd/healthpoll"
	"alertd/history"
	"alertd/ingest"
	"alertd/journal"
	"alertd/natsbus"
	"alertd/nodes"
	"alertd/notifier"
	"alertd/telemetry"
)

// Options say where the daemon finds what it needs and where it listens.
type Options struct {
	Config config.Config
	Rules  fs.FS  // rule files, routing.yaml, health.yaml
	Data   string // folder of the embedded NATS and of the history; created if need be
	Listen string // HTTP, HOST:PORT; port 0 is any free one
	// RoutePrefix is the path that everything of HTTP is below, "/alertd" for instance. "" is the root.
	RoutePrefix string
	NATS        string // URL of an existing NATS; "" embeds one
	NATSListen  string // embedded: HOST:PORT for publishers
	OTLPListen  string // metrics over OTLP/HTTP, HOST:PORT; "" takes none

	Node    string    // this node's name in the journal; "" is made of the host's name and the data folder's
	Console io.Writer // where pages go when no receiver is configured; nil is standard output
	Version string
	Log     *slog.Logger         // nil logs nothing
	Traces  trace.TracerProvider // nil traces nothing
}

// App is the daemon. Build it with [New], let it work with [App.Run], and end it with [App.Close].
type App struct {
	o        Options
	log      *slog.Logger
	node     string
	external string

	bus         *natsbus.Bus
	history     *history.Store
	journal     *journal.NATS
	deadLetters *ingest.DeadLetters
	listener    net.Listener
	otlp        *otlpReceiver // nil where none is wanted
	metrics     *metrics
	outbox      *notifier.Outbox
	poller      *healthpoll.Poller
	review      review
	traces      *traces // nil where no tracing back-end is configured
	nodes       *nodes.Nodes
	http        http.Handler // what this node answers itself

	queries  chan func(*leader)
	commands chan command
	reloads  chan *policy
	answers  chan alertd.Attempt
	reloadMu sync.Mutex // one reload at a time
	current  atomic.Pointer[policy]

	spans        *spans // nil: nothing is traced
	startedAt    time.Time
	ready        atomic.Bool // it has been said
	leading      leading
	leadState    state // why this node, which would lead, cannot
	journalState state
	historyState state
	projected    *projection // of the journal, into the history
	ruleErrors   ruleErrors
	overload     overload

	setBack time.Duration // by how much, since somebody has led

	cleanups []cleanup
}

type cleanup struct {
	name string
	stop func(context.Context) error
}

// New checks the configuration, opens everything and binds the listeners; nothing is evaluated or sent before Run.
// If it fails, what it had opened is closed again.
func New(ctx context.Context, o Options) (_ *App, err error) {
	a := &App{
		o: o, log: o.Log, node: o.Node, queries: make(chan func(*leader)), commands: make(chan command), reloads: make(chan *policy),
		answers: make(chan alertd.Attempt, 64), startedAt: clock(), spans: newSpans(o.Traces), projected: newProjection(),
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	a.log = telemetry.LogTraces(a.log)
	if a.node == "" {
		a.node = nodeName(o.Data)
	}
	if a.o.Console == nil {
		a.o.Console = os.Stdout
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close(context.WithoutCancel(ctx)))
		}
	}()
	a.metrics = newMetrics(a)
	if a.traces, err = a.openTraces(o.Config.Traces.Backend); err != nil {
		return nil, err
	}

	if err := os.MkdirAll(o.Data, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if a.listener, err = net.Listen("tcp", o.Listen); err != nil {
		return nil, fmt.Errorf("HTTP: %w\n  hint: choose another address with --listen", err)
	}
	a.onClose("http listener", func(context.Context) error { return ignoreClosed(a.listener.Close()) })
	if a.otlp, err = a.listenOTLP(o.OTLPListen); err != nil {
		return nil, err
	}
	a.external = o.Config.ExternalURL
	if a.external == "" {
		a.external = "http://" + a.listener.Addr().String() + strings.TrimRight(o.RoutePrefix, "/")
	}
	p, err := a.loadPolicy()
	if err != nil {
		return nil, err
	}
	a.current.Store(p)
	if err := a.openBus(ctx); err != nil {
		return nil, err
	}
	if err := a.openHistory(ctx); err != nil {
		return nil, err
	}
	a.outbox = notifier.NewOutbox(func(at alertd.Attempt) { a.answers <- at }, notifier.Options{Log: a.log, Tracer: a.spans.outgoing()})
	a.outbox.SetSenders(p.senders)
	a.poller = healthpoll.New(p.health.Targets, a.publish, healthpoll.Options{Log: a.log, NATS: a.bus.Conn(), Tracer: a.spans.probes()})
	a.poller.SetMicro(p.health.Micro)
	a.http = served(a.o.Traces, a.handler())
	return a, nil
}

// HTTP is the address that the API and the dashboard are served at.
func (a *App) HTTP() string { return a.listener.Addr().String() }

// NATS is the URL that publishers use.
func (a *App) NATS() string { return a.bus.URL() }

// ErrJournalGone says that somebody has deleted the journal, and with it all that this daemon knew. One that is built and
// run anew begins as if new, and pages.
var ErrJournalGone = journal.ErrGone

// Run works until ctx ends, then drains, and returns nil; or until a part fails, and returns why. The first part
// that ends stops the rest.
func (a *App) Run(ctx context.Context) error {
	run, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	start := func(name string, f func(context.Context) error) {
		wg.Go(func() {
			err := f(run)
			if run.Err() == nil {
				cancel(fmt.Errorf("%s stopped: %w", name, err))
			}
		})
	}
	server := &http.Server{
		Handler: a.front(run), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelWarn),
	}
	start("http", func(context.Context) error {
		return newPlaces(a.listener, connections(openFiles()), a.log).serve(server)
	})
	if a.otlp != nil {
		start("otlp", a.otlp.run)
	}
	if a.traces != nil {
		start("traces", a.traces.run)
	}
	start("history", a.project)
	start("jobs", a.jobs)
	start("leader", a.lead)

	<-run.Done()
	down, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer stop()
	err := server.Shutdown(down)
	wg.Wait()
	if cause := context.Cause(run); ctx.Err() == nil {
		return errors.Join(cause, err)
	}
	return err
}

// Close ends what New has opened, the newest first. It is safe to call after Run has returned, or when Run never
// was called.
func (a *App) Close(ctx context.Context) (err error) {
	for _, c := range slices.Backward(a.cleanups) {
		if e := c.stop(ctx); e != nil {
			err = errors.Join(err, fmt.Errorf("close %s: %w", c.name, e))
		}
	}
	a.cleanups = nil
	return err
}

func (a *App) onClose(name string, stop func(context.Context) error) {
	a.cleanups = append(a.cleanups, cleanup{name, stop})
}

// Reload reads the files again. A bad file changes nothing: the error says what is wrong, and the old policy goes
// on.
func (a *App) Reload(ctx context.Context) error {
	a.reloadMu.Lock()
	defer a.reloadMu.Unlock()
	p, err := a.loadPolicy()
	a.metrics.reloaded(err == nil)
	if err != nil {
		a.log.Error("configuration not reloaded, the old one goes on", "error", err)
		return err
	}
	a.current.Store(p)
	for a.leading.now() { // who does not lead finds it when it begins to
		select {
		case a.reloads <- p:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Second):
			continue
		}
		break
	}
	a.poller.SetTargets(p.health.Targets)
	a.poller.SetMicro(p.health.Micro)
	a.log.Info("configuration reloaded", "version", p.engine.Version)
	return nil
}

// sayReady writes the line that those who start the daemon wait for, once.
func (a *App) sayReady(role string) {
	if !a.ready.Swap(true) {
		a.log.Info("ready", "http", a.HTTP(), "nats", a.NATS(), "role", role, "version", a.o.Version, "node", a.node)
	}
}

// publish puts an event onto the EVENTS stream and waits until it is there.
func (a *App) publish(ctx context.Context, subject string, payload []byte) error {
	_, err := a.bus.JetStream().Publish(ctx, subject, payload)
	return err
}
