package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/robfig/cron/v3"
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
	"alertd/rules"
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

func (a *App) openBus(ctx context.Context) (err error) {
	c := a.o.Config.NATS
	bo := natsbus.Options{
		URL: a.o.NATS, Listen: a.o.NATSListen, StoreDir: filepath.Join(a.o.Data, "nats"), CredsFile: c.CredsFile,
		NKeyFile: c.NKeyFile, Token: c.Token.Reveal(), Name: "alertd", Log: a.log,
	}
	if bo.URL == "" {
		bo.URL = c.URL
	}
	if c.TLS != (config.TLS{}) {
		bo.TLS = &natsbus.TLS{CAFile: c.TLS.CAFile, CertFile: c.TLS.CertFile, KeyFile: c.TLS.KeyFile}
	}
	if a.bus, err = natsbus.Open(ctx, bo); err != nil {
		return err
	}
	a.onClose("nats", a.bus.Close)
	if err := a.ensureStreams(ctx); err != nil {
		return err
	}
	if a.deadLetters, err = ingest.EnsureDeadLetters(ctx, a.bus.JetStream()); err != nil {
		return err
	}
	if a.journal, err = journal.OpenNATS(ctx, a.bus.JetStream(), a.node, a.log); err != nil {
		return err
	}
	me := nodes.Node{Name: a.node, Address: a.listener.Addr().String()}
	if a.nodes, err = nodes.Join(a.bus.Conn(), nodes.Options{Node: me, Version: a.o.Version, Log: a.log}); err != nil {
		return err
	}
	a.onClose("nodes", a.nodes.Leave)
	return nil
}

// ensureStreams makes the streams that there have to be, where somebody has deleted them too.
func (a *App) ensureStreams(ctx context.Context) error {
	return a.bus.EnsureStreams(ctx, natsbus.Limits{EventsMaxAge: a.o.Config.Events.MaxAge, EventsMaxBytes: a.o.Config.Events.MaxBytes})
}

// openHistory opens the projection. One that is damaged, or that knows more than the journal and so belongs to one that is gone,
// is moved aside, not thrown away, and a new one is made of the journal: it is a copy, and keeps nobody from being paged.
func (a *App) openHistory(ctx context.Context) (err error) {
	path := filepath.Join(a.o.Data, "history.db")
	newest, err := a.journal.Last(ctx)
	if err != nil {
		return err
	}
	for range 2 {
		a.history, err = history.Open(ctx, path)
		if errors.Is(err, history.ErrDamaged) {
			a.log.Error("the history is damaged, it is made again from the journal", "error", err)
			err = a.moveAside(path)
			if err == nil {
				a.history, err = history.Open(ctx, path)
			}
		}
		if err != nil {
			return err
		}
		seq, err := a.history.LastSeq(ctx)
		if err != nil {
			return errors.Join(err, a.history.Close())
		}
		same := seq <= newest
		if same {
			if same, err = a.history.BelongsTo(ctx, a.journal.Made()); err != nil {
				return errors.Join(err, a.history.Close())
			}
		}
		if same {
			break
		}
		if err := a.history.Close(); err != nil {
			return err
		}
		a.log.Error("the history is of another journal", "history_seq", seq, "journal_seq", newest, "journal_made", a.journal.Made())
		if err := a.moveAside(path); err != nil {
			return err
		}
	}
	a.onClose("history", func(context.Context) error { return a.history.Close() })
	return nil
}

// moveAside gives the files of a history other names.
func (a *App) moveAside(path string) error {
	aside := path + "." + clock().Format("20060102T150405") + ".old"
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(path+suffix, aside+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("history: %w", err)
		}
	}
	a.log.Warn("the history was moved aside", "to", aside)
	return nil
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

// reign folds the journal and runs the loop until it ends.
func (a *App) reign(ctx context.Context, lease *journal.Lease) (*leader, error) {
	p := a.current.Load()
	l := &leader{
		App: a, journal: a.journal, outbox: a.outbox, epoch: lease.Epoch(), answers: a.answers,
		arrivals: make(chan []arrival, 4), services: services{}, traces: newTurnTrace(a.spans), narrator: narrator{App: a},
	}
	if err := l.fold(ctx); err != nil {
		return l, err
	}
	if err := l.meet(ctx); err != nil {
		return l, err
	}
	now := clock()
	l.lastEvent, l.arrivedAt, l.selfDue, l.committedAt = now, now, now, now
	l.evaluator = rules.NewEvaluator(p.rules, rules.Options{ExternalURL: a.external, Now: time.Now}, now)
	l.overload.note(l.evaluator.Settle())
	// The first commit of an epoch fences whoever led before.
	l.entries = append(l.behindJournal(now), l.machine.Step(now, engineInput(p))...)
	if err := l.remember(ctx, alertd.Commit{Time: now, Checkpoint: l.checkpoint, Events: l.eventsMade, Entries: l.entries}); err != nil {
		return l, err
	}
	l.entries = nil
	run, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer l.aside.Wait()
	defer cancel(nil)
	l.aside.Go(func() {
		if err := l.listen(run); err != nil && run.Err() == nil {
			cancel(fmt.Errorf("events: %w", err))
		}
	})
	l.aside.Go(func() { // one node polls, else every report would come twice
		if err := a.poller.Run(run); err != nil && run.Err() == nil {
			cancel(fmt.Errorf("healthpoll: %w", err))
		}
	})
	if a.traces != nil {
		upTo, alerts := l.seq, l.machine.Alerts(now)
		l.aside.Go(func() { a.illustrateMissed(run, upTo, alerts) })
	}
	l.aside.Go(func() {
		select {
		case <-lease.Lost():
			cancel(errLeaseLost)
		case <-run.Done():
		}
	})
	answered, err := a.nodes.Lead(run, a.http)
	if err != nil {
		return l, err
	}
	defer func() {
		cancel(nil) // also where the journal was refused and the lease is ours still
		<-answered
	}()
	a.leading.begin()
	l.led = true
	defer a.leading.end() // before all else: nobody takes what is asked any more
	a.leadState.ok()
	a.sayReady("leader")
	a.log.Info("leading", "epoch", l.epoch)
	return l, l.run(run)
}

// drain lets the senders finish, remembers what they answered, and saves the state.
func (a *App) drain(l *leader) error {
	const grace = 8 * time.Second
	ctx, stop := context.WithTimeout(context.Background(), grace)
	defer stop()
	closed := make(chan error, 1)
	go func() { closed <- a.outbox.Close(ctx) }()
	var answers []alertd.Attempt
	for open := true; open; {
		select {
		case at := <-a.answers:
			answers = append(answers, at)
		case err := <-closed:
			if err != nil {
				a.log.Warn("senders did not finish, what they had is sent again at the next start", "error", err)
			}
			open = false
		}
	}
	for len(a.answers) > 0 {
		answers = append(answers, <-a.answers)
	}
	if l == nil || l.machine == nil || l.evaluator == nil {
		return nil
	}
	return l.last(ctx, answers)
}

// jobs runs what recurs by the calendar: at night, the history forgets what is older than its retention, and the journal what it
// need not be rebuilt from any more.
func (a *App) jobs(ctx context.Context) error {
	c := cron.New(cron.WithLocation(time.UTC))
	if keep := a.o.Config.History.Retention; keep > 0 {
		_, err := c.AddFunc("17 3 * * *", func() {
			if err := a.history.Prune(ctx, clock().Add(-keep)); err != nil {
				a.log.Error("history is not pruned", "error", err)
			}
			if !a.leading.now() {
				return
			}
			if seq, err := a.journal.Trim(ctx, clock().Add(-keep)); err != nil {
				a.log.Error("journal is not trimmed, it goes on growing", "error", err)
			} else if seq > 0 {
				a.log.Info("journal trimmed", "up_to", seq)
			}
		})
		if err != nil {
			return err
		}
	}
	if _, err := c.AddFunc("41 6 * * *", func() { a.reviewRunbooks(ctx, notifier.NewClient()) }); err != nil {
		return err
	}
	c.Start()
	a.reviewRunbooks(ctx, notifier.NewClient()) // once at the start, so that nobody waits for the morning
	<-ctx.Done()
	<-c.Stop().Done()
	return nil
}

// publish puts an event onto the EVENTS stream and waits until it is there.
func (a *App) publish(ctx context.Context, subject string, payload []byte) error {
	_, err := a.bus.JetStream().Publish(ctx, subject, payload)
	return err
}

// nodeName is the same whenever a daemon starts again on the same data, so that it takes over from itself at once, and
// another one for any other daemon.
func nodeName(data string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "alertd"
	}
	if abs, err := filepath.Abs(data); err == nil {
		data = abs
	}
	sum := sha256.Sum256([]byte(data))
	return host + "-" + hex.EncodeToString(sum[:3])
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
