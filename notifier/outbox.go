package notifier

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"alertd"
)

// Job is one attempt to deliver one notification.
type Job struct {
	Notification alertd.Notification
	N            int  // which attempt, from 1
	Uncertain    bool // an earlier attempt may have arrived: look for it first, where the sender can

	Trace trace.SpanContext // the span that decided to notify; the zero one: none that anybody keeps
}

// Options configure an [Outbox]. The zero value is good.
type Options struct {
	Log     *slog.Logger  // default: nothing is logged
	Workers int           // attempts at the same time, for each destination; default 4
	Timeout time.Duration // of one attempt; default 15 s
	Tracer  trace.Tracer  // makes a span of each attempt; default: none are made
}

// Outbox gives jobs to senders and reports what came of them. It keeps them in memory only: the journal
// remembers them, and whoever starts the process again offers them again. It is safe for concurrent use.
type Outbox struct {
	report  func(alertd.Attempt)
	log     *slog.Logger
	workers int
	timeout time.Duration
	tracer  trace.Tracer

	ctx    context.Context // of running attempts; ends when Close gives up on them
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	dests  map[string]*destination
	inHand map[string]struct{} // ids of notifications that wait or run
	seq    uint64              // arrival, which is the order within a lane
	closed bool
}

// destination is the queue of one of a receiver's integrations.
type destination struct {
	key        string
	sender     Sender // nil: not configured (any more)
	generation int    // counts senders
	groups     map[alertd.GroupKey]*queue
	ready      readyHeap // groups that have a job and no running attempt
	running    int       // workers

	// What came of the last attempts, for Health.
	failures int // in a row, that speak about the destination and not about one message
	failure  alertd.Attempt
	latency  time.Duration // of the last delivery
}

// queue holds the jobs of one group.
type queue struct {
	jobs      []queued
	criticals int  // how many of them are critical, and fire
	busy      bool // an attempt runs
	index     int  // in the heap; -1: not in it
}

type queued struct {
	Job
	seq      uint64
	at       time.Time // when it was offered
	critical bool
}

// critical puts the whole group first as soon as one of its jobs is: to overtake its own group would break its order.
func (q *queue) critical() bool { return q.criticals > 0 }

// NewOutbox returns an outbox without senders. It calls report from its own goroutines, once for each attempt;
// those of one group in order. Report may block, but must not wait for Close.
func NewOutbox(report func(alertd.Attempt), o Options) *Outbox {
	ctx, cancel := context.WithCancel(context.Background())
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if o.Tracer == nil {
		o.Tracer = noop.Tracer{}
	}
	return &Outbox{
		report: report, log: log, tracer: o.Tracer, workers: cmp.Or(o.Workers, 4), timeout: cmp.Or(o.Timeout, 15*time.Second),
		ctx: ctx, cancel: cancel, dests: map[string]*destination{}, inHand: map[string]struct{}{},
	}
}

// SetSenders replaces all senders. The key is "receiver/integration", as in "ops/slack/0". Running attempts end
// with the sender that they began with; what waits uses the new one, and is reported as Failed, class config,
// where there is none. Set senders before the first Offer.
func (o *Outbox) SetSenders(senders map[string]Sender) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key, d := range o.dests {
		d.sender = senders[key]
		d.generation++
		d.failures, d.failure = 0, alertd.Attempt{} // a new configuration deserves a new judgement
	}
	for key, s := range senders {
		o.destination(key).sender = s
	}
	o.sweep()
}

// Offer takes jobs for delivery and never blocks. A notification that waits or runs already is not taken twice.
// After Close nothing is taken.
func (o *Outbox) Offer(jobs ...Job) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	now := time.Now()
	for _, j := range jobs {
		n := &j.Notification
		if _, twice := o.inHand[n.ID]; twice {
			o.log.Warn("notification is in hand already", "notification", *n)
			continue
		}
		o.inHand[n.ID] = struct{}{}
		o.seq++
		d := o.destination(n.Receiver + "/" + n.Integration)
		d.push(n.Group, queued{Job: j, seq: o.seq, at: now, critical: n.Severity() == alertd.Critical && n.Status() == "firing"})
		if d.running < o.workers {
			d.running++
			o.wg.Go(func() { o.work(d) })
		}
	}
}

// Close stops taking jobs and drops those that wait: the journal still has them. Running attempts may finish
// until ctx ends, then they are broken off; either way their outcome is reported. When Close returns, no goroutine
// is left. The error is ctx's, where attempts had to be broken off.
func (o *Outbox) Close(ctx context.Context) error {
	o.mu.Lock()
	o.closed = true
	for _, d := range o.dests {
		d.clear()
	}
	o.mu.Unlock()

	stop := context.AfterFunc(ctx, o.cancel)
	o.wg.Wait()
	broken := !stop()
	o.cancel()
	if broken {
		return fmt.Errorf("attempts to notify were broken off: %w", context.Cause(ctx))
	}
	return nil
}

// Health is that of the worst destination: degraded while the last attempts did not get through or a job waits
// for more than a minute, unhealthy while no destination gets anything through.
func (o *Outbox) Health() alertd.HealthCheck {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	check := alertd.HealthCheck{Status: alertd.Healthy}
	configured, down := 0, 0
	for _, key := range slices.Sorted(maps.Keys(o.dests)) {
		d := o.dests[key]
		if d.sender != nil {
			configured++
		}
		check.LatencyMS = max(check.LatencyMS, float64(d.latency)/float64(time.Millisecond))
		var text string
		switch age := d.oldest(now); {
		case d.failures > 0:
			failed := "the last attempt"
			if d.failures > 1 {
				failed = fmt.Sprintf("%d attempts in a row", d.failures)
			}
			text = fmt.Sprintf("%s: %s failed: %s: %s", d.key, failed, d.failure.Class, d.failure.Detail)
			if d.sender != nil {
				down++
			}
		case age > time.Minute:
			text = fmt.Sprintf("%s: a notification has waited for %s", d.key, Span(age))
		default:
			continue
		}
		check.Status = check.Status.Worse(alertd.Degraded)
		if check.Error == "" {
			check.Error = text
		}
	}
	if configured > 0 && down == configured {
		check.Status = alertd.Unhealthy
	}
	return check
}

// work makes attempts until none is ready.
func (o *Outbox) work(d *destination) {
	for {
		o.mu.Lock()
		q, job, ok := d.pop()
		if !ok {
			d.running--
			o.sweep()
			o.mu.Unlock()
			return
		}
		sender, generation := d.sender, d.generation
		o.mu.Unlock()

		a := o.attempt(sender, job.Job)

		o.mu.Lock()
		if sender != nil && generation == d.generation {
			d.remember(a)
		}
		delete(o.inHand, a.Notification) // before the report: its answer may be the next attempt
		o.mu.Unlock()

		o.report(a)

		o.mu.Lock()
		d.done(job.Notification.Group, q) // after the report: reports of a group are in order, too
		o.mu.Unlock()
	}
}

// attempt delivers one notification, or says why not.
func (o *Outbox) attempt(s Sender, j Job) (a alertd.Attempt) {
	start := time.Now()
	a = alertd.Attempt{Notification: j.Notification.ID, N: j.N}
	ctx, span := o.begin(j, start)
	defer func() {
		a.Latency = time.Since(start)
		finish(span, &a)
		o.logAttempt(ctx, j, a)
	}()
	if s == nil {
		a.Outcome, a.Class = alertd.Failed, alertd.FailureConfig
		a.Detail = fmt.Sprintf("receiver %s has no integration %s in this configuration", j.Notification.Receiver, j.Notification.Integration)
		return a
	}
	defer func() {
		if v := recover(); v != nil {
			o.log.ErrorContext(ctx, "a sender panicked", "notification", j.Notification, "stack", string(debug.Stack()))
			a.Outcome, a.Class, a.Detail = alertd.Failed, alertd.FailurePayload, "alertd's own sender panicked: "+panicText(v)
		}
	}()
	bounded, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()

	if f, ok := FinderOf(s); ok && j.Uncertain {
		ref, found, err := f.Find(bounded, j.Notification)
		switch {
		case found:
			a.Outcome, a.Ref, a.Detail = alertd.Delivered, ref, "an earlier attempt had arrived"
			return a
		case err != nil && !permanent(err):
			fail(&a, err)
			a.Outcome = alertd.Unknown // still
			return a
		}
		// Not there, or nobody will ever tell: better twice than never.
	}
	ref, err := s.Send(bounded, j.Notification)
	a.Outcome = alertd.Delivered
	if err != nil {
		fail(&a, err)
	}
	if a.Outcome == alertd.Delivered {
		a.Ref = ref
	}
	return a
}

func permanent(err error) bool {
	de, ok := errors.AsType[*alertd.DeliveryError](err)
	return ok && de.Outcome == alertd.Failed
}

// fail writes what err says into a. An error of another type is a sender's mistake, after which nothing is known.
func fail(a *alertd.Attempt, err error) {
	a.Outcome, a.Class, a.Detail = alertd.Unknown, alertd.FailureServer, Line(err.Error(), maxDetail)
	if de, ok := errors.AsType[*alertd.DeliveryError](err); ok {
		a.Outcome, a.Class, a.RetryAfter = de.Outcome, de.Class, min(de.RetryAfter, MaxRetryAfter)
		if de.Err != nil {
			a.Detail = Line(de.Err.Error(), maxDetail)
		}
	}
}

const maxDetail = 256 // runes: at most 1 KiB

// panicText shows what the runtime says; anything else a panic carries might hold a secret.
func panicText(v any) string {
	if e, ok := v.(runtime.Error); ok {
		return Line(e.Error(), maxDetail)
	}
	return fmt.Sprintf("%T", v)
}

func (o *Outbox) logAttempt(ctx context.Context, j Job, a alertd.Attempt) {
	level, msg := slog.LevelWarn, "notification not delivered"
	switch {
	case a.Outcome == alertd.Delivered && a.Class != "":
		msg = "notification delivered in another form"
	case a.Outcome == alertd.Delivered:
		level, msg = slog.LevelInfo, "notification delivered"
	case a.Outcome == alertd.Failed:
		level = slog.LevelError
	}
	o.log.Log(ctx, level, msg, "notification", j.Notification, "attempt", a, "latency", a.Latency.Round(100*time.Microsecond))
}

// destination returns the one with that key, new if need be.
func (o *Outbox) destination(key string) *destination {
	d := o.dests[key]
	if d == nil {
		d = &destination{key: key, groups: map[alertd.GroupKey]*queue{}}
		o.dests[key] = d
	}
	return d
}

// sweep forgets destinations that are not configured and have nothing left to do.
func (o *Outbox) sweep() {
	maps.DeleteFunc(o.dests, func(_ string, d *destination) bool {
		return d.sender == nil && d.running == 0 && len(d.groups) == 0
	})
}

func (d *destination) push(g alertd.GroupKey, j queued) {
	q := d.groups[g]
	if q == nil {
		q = &queue{index: -1}
		d.groups[g] = q
	}
	q.jobs = append(q.jobs, j)
	if j.critical {
		q.criticals++
	}
	switch {
	case q.busy:
	case q.index < 0:
		heap.Push(&d.ready, q)
	default:
		heap.Fix(&d.ready, q.index)
	}
}

// pop takes the next job and marks its group busy.
func (d *destination) pop() (*queue, queued, bool) {
	if len(d.ready) == 0 {
		return nil, queued{}, false
	}
	q := heap.Pop(&d.ready).(*queue)
	j := q.jobs[0]
	q.jobs, q.busy = q.jobs[1:], true
	if j.critical {
		q.criticals--
	}
	return q, j, true
}

// done makes the group's next job ready, or forgets the group.
func (d *destination) done(g alertd.GroupKey, q *queue) {
	q.busy = false
	if len(q.jobs) == 0 {
		delete(d.groups, g)
		return
	}
	heap.Push(&d.ready, q)
}

func (d *destination) clear() {
	d.ready = nil
	for g, q := range d.groups {
		q.jobs, q.criticals, q.index = nil, 0, -1
		if !q.busy {
			delete(d.groups, g)
		}
	}
}

// remember keeps what an attempt says about the destination. A refused message says nothing about it.
func (d *destination) remember(a alertd.Attempt) {
	switch {
	case a.Class == alertd.FailurePayload:
	case a.Outcome == alertd.Delivered:
		d.failures, d.failure, d.latency = 0, alertd.Attempt{}, a.Latency
	default:
		d.failures++
		d.failure = a
	}
}

// oldest is how long the oldest job has waited.
func (d *destination) oldest(now time.Time) time.Duration {
	var age time.Duration
	for _, q := range d.groups {
		if len(q.jobs) > 0 {
			age = max(age, now.Sub(q.jobs[0].at))
		}
	}
	return age
}

// readyHeap orders groups: critical ones first, then by the arrival of their first job.
type readyHeap []*queue

func (h readyHeap) Len() int { return len(h) }

func (h readyHeap) Less(i, j int) bool {
	if a, b := h[i].critical(), h[j].critical(); a != b {
		return a
	}
	return h[i].jobs[0].seq < h[j].jobs[0].seq
}

func (h readyHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push is for container/heap.
func (h *readyHeap) Push(x any) {
	q := x.(*queue)
	q.index = len(*h)
	*h = append(*h, q)
}

// Pop is for container/heap.
func (h *readyHeap) Pop() any {
	old := *h
	q := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	q.index = -1
	return q
}
