package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"alertd"
	"alertd/config"
	"alertd/notifier"
	"alertd/notifier/slack"
	"alertd/tracectx"
	"alertd/tracestore"
	"alertd/waterfall"
)

const (
	maxTraces     = 64 // answers of the back-end that are kept
	maxLooking    = 64 // traces that are waited for at the same time; what comes beyond is not looked for by itself
	tracesAtOnce  = 4  // questions to the back-end at the same time
	traceFreshFor = time.Minute
	pictureWithin = 15 * time.Second // one upload
)

// traceWaits are the pauses before the back-end is asked. Spans arrive late, and who samples by the tail decides late.
var traceWaits = []time.Duration{2 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second}

// traces knows what the tracing back-end says of the traces that alerts link to. Nothing waits for it: pages go out with
// the link, and what is found comes into the thread and onto the alert's page.
type traces struct {
	ask   func(ctx context.Context, ref alertd.TraceRef, at time.Time) (tracectx.Trace, error)
	log   *slog.Logger
	count func(result string)
	waits []time.Duration
	jobs  chan traceJob
	slots chan struct{}

	mu      sync.Mutex
	known   map[string]tracedAnswer
	order   []string        // of known, the oldest first
	looking map[string]bool // jobs in hand
}

// tracedAnswer is what the back-end said: the trace, or why not.
type tracedAnswer struct {
	trace tracectx.Trace
	err   error
	at    time.Time
}

// traceJob is one trace to look for, and the thread that its picture goes to.
type traceJob struct {
	ref  alertd.TraceRef
	at   time.Time // of the event
	name string    // of the alert
	to   *slack.Sender
	post string // the group's message; "" where only the answer counts

	again bool // a job that a restart cut off may have told it already
}

// openTraces prepares for the back-end that is configured. Without one the result is nil, which does nothing.
func (a *App) openTraces(c *config.TraceBackend) (*traces, error) {
	if c == nil {
		return nil, nil
	}
	store, err := tracestore.New(tracestore.Config{Kind: c.Kind, URL: c.URL, OrgID: c.OrgID, Client: client(c.HTTP)})
	if err != nil {
		return nil, fmt.Errorf("traces.backend: %w", err)
	}
	return newTraces(store.Trace, a.log, func(result string) { a.metrics.traceLookups.WithLabelValues(result).Inc() }), nil
}

func newTraces(ask func(context.Context, alertd.TraceRef, time.Time) (tracectx.Trace, error), log *slog.Logger, count func(string)) *traces {
	return &traces{
		ask: ask, log: log, count: count, waits: traceWaits, jobs: make(chan traceJob, maxLooking), slots: make(chan struct{}, tracesAtOnce),
		known: map[string]tracedAnswer{}, looking: map[string]bool{},
	}
}

// run looks for the traces of jobs until ctx ends. It returns when no goroutine of it is left.
func (t *traces) run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case j := <-t.jobs:
			wg.Go(func() {
				t.pursue(ctx, j)
				t.mu.Lock()
				delete(t.looking, j.key())
				t.mu.Unlock()
			})
		}
	}
}

func (j *traceJob) key() string { return j.ref.TraceID + " " + j.post }

// offer takes a job if there is room, and never blocks. Nobody keeps a trace that was not sampled.
func (t *traces) offer(j traceJob) {
	if t == nil || j.ref.IsZero() || j.ref.Unsampled {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.looking[j.key()] {
		return
	}
	if len(t.looking) >= maxLooking {
		t.count("not asked")
		return
	}
	t.looking[j.key()] = true
	t.jobs <- j // there is room: as many as are looked for
}

// pursue asks until the trace is there and whole, or long enough.
func (t *traces) pursue(ctx context.Context, j traceJob) {
	var found tracectx.Trace
	var err error
	for _, wait := range t.waits {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		found, err = t.look(ctx, j.ref, j.at, 0)
		if err == nil && whole(&found) {
			break
		}
	}
	if j.to == nil || ctx.Err() != nil {
		return
	}
	p, ok := picture(found, err, &j)
	if !ok {
		return
	}
	p.Again = j.again
	ctx, cancel := context.WithTimeout(ctx, pictureWithin)
	defer cancel()
	switch err := j.to.Illustrate(ctx, j.post, p); {
	case errors.Is(err, slack.ErrNoScope):
		t.log.Warn("trace told without its picture", "error", err)
	case err != nil:
		t.log.Warn("trace not told in the thread of the page", "trace", j.ref.TraceID, "error", err)
	}
}

// whole reports whether every span has its parent: the last ones to be written are those that hold the others.
func whole(t *tracectx.Trace) bool {
	w := tracectx.Draw(*t, "", 1)
	return w.Orphans == 0 && !w.Partial
}

// picture is what to show in the thread; false where nothing is known.
func picture(trace tracectx.Trace, err error, j *traceJob) (slack.Picture, bool) {
	switch {
	case errors.Is(err, tracectx.ErrNoTrace):
		return slack.Picture{Text: "The tracing back-end does not have the trace of " + j.name + " (" + j.ref.TraceID + "): it was sampled out, or never arrived. The link leads nowhere."}, true
	case err != nil:
		return slack.Picture{}, false
	}
	w := tracectx.Draw(trace, j.ref.SpanID, waterfall.MaxRows)
	p := slack.Picture{Name: "trace-" + j.ref.TraceID[:8] + ".png", Text: "Trace of " + j.name + ": " + waterfall.Title(&w)}
	if culprit := waterfall.Culprit(&w); culprit != "" {
		p.Text += ". " + culprit
	}
	p.Alt = p.Text
	if p.PNG, err = waterfall.PNG(&w); err != nil {
		p.PNG = nil // the words still say it
	}
	return p, true
}

// look answers with what is known of a trace, if it was asked for lately, else asks. What was found once is kept while
// the back-end cannot say more.
func (t *traces) look(ctx context.Context, ref alertd.TraceRef, at time.Time, freshFor time.Duration) (tracectx.Trace, error) {
	t.mu.Lock()
	old, ok := t.known[ref.TraceID]
	t.mu.Unlock()
	if ok && time.Since(old.at) < freshFor {
		return old.trace, old.err
	}
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	case <-ctx.Done():
		return tracectx.Trace{}, context.Cause(ctx)
	}
	answer := tracedAnswer{at: time.Now()}
	answer.trace, answer.err = t.ask(ctx, ref, at)
	switch {
	case answer.err == nil:
		t.count("found")
	case errors.Is(answer.err, tracectx.ErrNoTrace):
		t.count("missing")
	default:
		t.count("error")
		if ctx.Err() != nil {
			return answer.trace, answer.err // who asked went away: that says nothing
		}
		t.log.Debug("tracing back-end did not answer", "trace", ref.TraceID, "error", answer.err)
	}
	if answer.err != nil && ok && old.err == nil {
		answer.trace, answer.err = old.trace, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, again := t.known[ref.TraceID]; !again {
		if t.order = append(t.order, ref.TraceID); len(t.order) > maxTraces {
			delete(t.known, t.order[0])
			t.order = slices.Delete(t.order, 0, 1)
		}
	}
	t.known[ref.TraceID] = answer
	return answer.trace, answer.err
}

// trace is what the page of an alert shows.
func (t *traces) trace(ctx context.Context, ref alertd.TraceRef, at time.Time) (tracectx.Trace, error) {
	return t.look(ctx, ref, at, traceFreshFor)
}

// lost reports whether the back-end said that it does not have the trace.
func (t *traces) lost(ref alertd.TraceRef) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return errors.Is(t.known[ref.TraceID].err, tracectx.ErrNoTrace)
}

// traced is a Sender that does not link to traces which are known to be lost, and has the trace of a page looked for once
// the page is out.
type traced struct {
	notifier.Sender
	traces *traces
	slack  *slack.Sender // nil: there is no thread to tell it in
}

// Unwrap lets others find what the sender can do besides.
func (s traced) Unwrap() notifier.Sender { return s.Sender }

// Send implements [notifier.Sender].
func (s traced) Send(ctx context.Context, n alertd.Notification) (string, error) {
	copied := false
	for i := range n.Alerts {
		if a := &n.Alerts[i]; a.TraceURL != "" && s.traces.lost(a.Trace) {
			if !copied {
				n.Alerts, copied = slices.Clone(n.Alerts), true
			}
			n.Alerts[i].TraceLost = true
		}
	}
	ref, err := s.Sender.Send(ctx, n)
	if err == nil && ref != "" && s.slack != nil && !n.Collective() {
		s.illustrate(&n, ref)
	}
	return ref, err
}

// illustrate has the most urgent new alert that has a trace shown.
func (s traced) illustrate(n *alertd.Notification, ref string) {
	for _, a := range notifier.Fresh(n) {
		if !a.Trace.IsZero() && !a.Trace.Unsampled && !a.TraceLost {
			s.traces.offer(traceJob{ref: a.Trace, at: a.At, name: a.Name(), to: s.slack, post: ref})
			return
		}
	}
}
