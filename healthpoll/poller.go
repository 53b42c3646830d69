package healthpoll

import (
	"container/heap"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"alertd"
)

const (
	subjectPrefix  = "alertd.health."
	maxProbes      = 4096
	publishTimeout = 5 * time.Second
)

// Publisher sends one event. [Poller] calls it from many goroutines.
type Publisher func(ctx context.Context, subject string, payload []byte) error

// Options are what a poller may be given. All may be zero.
type Options struct {
	Log    *slog.Logger // nil: nothing
	Client *http.Client // nil: one that keeps connections, follows no redirects and uses no proxy
	TLS    *tls.Config  // how the certificates of targets are checked; nil: as the system does
	NATS   *nats.Conn   // for targets of the kinds nats and heartbeat; nil: nothing is known of those
	Tracer trace.Tracer // makes spans of probes that find something new, and of a few others; nil: none
}

// Poller asks targets for their health on schedule. Safe for concurrent use; run it once.
type Poller struct {
	publish Publisher
	log     *slog.Logger
	client  *http.Client
	tls     *tls.Config
	nats    *nats.Conn
	tracing *tracing
	limit   int           // of targets that are asked at one time
	wake    chan struct{} // the schedule has changed
	tell    chan struct{} // the poller has become blind, or sees again
	look    chan struct{} // what is to be looked for has changed
	mute    atomic.Bool   // publishing fails, and that was said
	guard   guard
	recalls chan struct{} // holds one for each last report that is asked for

	mu      sync.Mutex
	targets map[Target]*watch
	named   map[string]string // services that are targets, and their environments
	leaving []alertd.Health   // last reports that were not published yet
	micro   *Micro            // nil: micro services are not looked for
	anew    bool              // what is known of micro services is to be forgotten
	fresh   []*watch          // not in the schedule yet
	queue   queue             // those that wait, the next one first
	asking  int               // probes under way
	sleeps  time.Time
	stats   stats
	batch   []metric
	events  jetstream.Stream // nil: not known
}

// watch is a target and all that is known of it. While it is asked it belongs to the goroutine that does so, and is in
// the queue otherwise.
type watch struct {
	Target
	memory
	slot     time.Time           // its place in the interval
	due      time.Time           // when it is asked next: at slot, or earlier to confirm
	confirms bool                // the coming question is one that confirms
	gone     bool                // not a target any more; under the poller's lock
	recalled bool                // what was published before this process was looked up
	traced   alertd.HealthStatus // of the last probe that could have a span
	word     string              // why it could not be reached last time; under the poller's lock

	born   time.Time // of the connection
	failed bool      // last time
	grpc   *dialed

	sub       *nats.Subscription
	beat      atomic.Int64 // when the heart was heard last, in nanoseconds since 1970
	stored    bool         // a stream has the beats
	listening time.Time    // since when beats would be heard
	deadline  time.Time    // of the next beat

	record record
}

// New makes a poller for the targets, see [Poller.SetTargets].
func New(targets []Target, publish Publisher, o Options) *Poller {
	p := &Poller{
		publish: publish, log: o.Log, client: o.Client, tls: o.TLS, nats: o.NATS, tracing: newTracing(o.Tracer), limit: maxProbes,
		wake: make(chan struct{}, 1), tell: make(chan struct{}, 1), look: make(chan struct{}, 1), recalls: make(chan struct{}, maxRecalls),
		targets: map[Target]*watch{},
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.tls == nil {
		p.tls = &tls.Config{}
	}
	if p.client == nil {
		p.client = newClient(p.tls)
	}
	p.SetTargets(targets)
	return p
}

func newClient(c *tls.Config) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			// No timeouts here: each question has the target's.
			TLSClientConfig:        c.Clone(),
			MaxIdleConnsPerHost:    4, // a target needs one; many may be behind one host
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: maxBody,
			ReadBufferSize:         2 << 10, // answers are small, and connections are many
			WriteBufferSize:        1 << 10,
			DisableCompression:     true,
			ForceAttemptHTTP2:      true,
		},
	}
}

// SetTargets replaces the targets. Those that stay as they are keep their place and what is known of them; what was
// published about services that are none any more is withdrawn. A target that is not valid, or whose service another one
// has already, is logged and left out.
func (p *Poller) SetTargets(targets []Target) {
	kept := make(map[Target]bool, len(targets))
	var order []Target
	seen := make(map[string]string, len(targets))
	fleet := 0
	for _, t := range targets {
		err := t.Normalize()
		if _, twice := seen[t.Service]; twice && err == nil {
			err = errors.New("service " + t.Service + " is a target already")
		}
		if err != nil {
			p.log.Error("health target left out", "error", err)
			continue
		}
		seen[t.Service] = t.Environment
		kept[t] = true
		order = append(order, t)
		if t.overNetwork() {
			fleet++
		}
	}
	p.mu.Lock()
	p.named = seen
	var words []string
	for t, w := range p.targets {
		if !kept[t] {
			w.gone = true
			words = append(words, w.word)
			delete(p.targets, t)
		}
	}
	var idle []*watch // of those that went: nobody is asking them
	stay := func(ws []*watch) []*watch {
		return slices.DeleteFunc(ws, func(w *watch) bool {
			if w.gone {
				idle = append(idle, w)
				p.leave(w)
			}
			return w.gone
		})
	}
	p.queue, p.fresh = stay(p.queue), stay(p.fresh)
	heap.Init(&p.queue)
	for _, t := range order {
		if p.targets[t] == nil {
			w := &watch{Target: t}
			p.targets[t] = w
			p.fresh = append(p.fresh, w)
		}
	}
	p.guard.resize(fleet, words)
	p.mu.Unlock()
	for _, w := range idle {
		w.hangUp()
	}
	poke(p.wake)
	poke(p.tell)
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// hangUp ends what a target keeps open.
func (w *watch) hangUp() {
	if w.grpc != nil {
		_ = w.grpc.conn.Close() // it is given up, whatever it says
		w.grpc = nil
	}
	if w.sub != nil {
		_ = w.sub.Unsubscribe()
		w.sub = nil
	}
}

// Run polls until ctx ends, and returns its cause. All that it started has ended then.
func (p *Poller) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer p.client.CloseIdleConnections()
	defer func() {
		wg.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, w := range p.targets {
			w.hangUp()
		}
	}()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	wg.Go(func() { p.report(ctx) })
	wg.Go(func() { p.discover(ctx) })
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		case <-p.wake:
		}
		timer.Reset(p.startDue(ctx, &wg))
	}
}

// startDue starts what is due, and returns how long nothing else is.
func (p *Poller) startDue(ctx context.Context, wg *sync.WaitGroup) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for _, w := range p.fresh {
		w.slot = now.Add(w.phase())
		w.due = w.slot
		heap.Push(&p.queue, w)
	}
	p.fresh = nil
	for len(p.queue) > 0 && !p.queue[0].due.After(now) {
		if p.asking == p.limit {
			p.sleeps = now // whoever ends wakes us
			return time.Hour
		}
		w := heap.Pop(&p.queue).(*watch)
		p.asking++
		p.stats.started(w, now)
		wg.Go(func() { p.ask(ctx, w, now) })
	}
	next := now.Add(time.Hour)
	if len(p.queue) > 0 {
		next = p.queue[0].due
	}
	p.sleeps = next
	return next.Sub(now)
}

// ask asks a target, publishes what it learned, and puts the target back into the queue.
func (p *Poller) ask(ctx context.Context, w *watch, started time.Time) {
	r := p.probe(ctx, w)
	now := time.Now()
	p.mu.Lock()
	p.asking--
	if p.sleeps.Before(now) {
		poke(p.wake)
	}
	p.mu.Unlock()
	if ctx.Err() != nil { // our own going is not the service's fault
		w.hangUp()
		return
	}
	again := false
	if !r.nothing {
		word := ""
		for i := range r.answers {
			if word == "" {
				word = r.answers[i].word()
			}
		}
		if p.note(w, word, now) {
			poke(p.tell)
		}
		p.recall(ctx, w)
		guard := func(first time.Time) doubt { return p.guard.judge(first, now, w.Interval) }
		if h, tell := w.judge(&w.Target, r.answers, guard, now); tell && !p.isGone(w) {
			traced, span := p.tracing.probed(ctx, w, r, started, h.Status)
			p.send(traced, h)
			span.End()
		}
		again = w.undecided(&w.Target)
	}
	p.measure(w, r, started, now)
	p.requeue(w, again)
}

// note tells the guard why a target could not be reached.
func (p *Poller) note(w *watch, word string, now time.Time) (changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.gone || !w.overNetwork() {
		return false
	}
	changed = p.guard.note(w.word, word, w.confirms, now)
	w.word = word
	return changed
}

// requeue puts a target back to its next slot, or to an earlier time if it is to be asked again. Slots that have passed
// meanwhile are not made up for.
func (p *Poller) requeue(w *watch, again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.gone {
		w.hangUp()
		p.leave(w)
		return
	}
	now, every := time.Now(), w.every()
	if late := now.Sub(w.slot); late >= 0 {
		w.slot = w.slot.Add((late/every + 1) * every)
		p.stats.late += int(late / every)
	}
	w.due, w.confirms = w.slot, false
	if soon := now.Add(w.FastInterval); again && soon.Before(w.due) {
		w.due, w.confirms = soon, true
	}
	if soon := w.deadline.Add(time.Millisecond); soon.After(now) && soon.Before(w.due) {
		w.due, w.confirms = soon, true
	}
	heap.Push(&p.queue, w)
	if w.due.Before(p.sleeps) {
		poke(p.wake)
	}
}

// send publishes a health event, and reports whether there is nothing more to be done about it.
func (p *Poller) send(ctx context.Context, h alertd.Health) bool {
	payload, err := json.Marshal(h)
	if err != nil {
		p.log.Error("a health event cannot be written", "service", h.Service, "error", err)
		return true
	}
	return p.put(ctx, subjectPrefix+h.Service, payload)
}

// put publishes, says when that begins and ceases to fail, and reports whether it was done.
func (p *Poller) put(ctx context.Context, subject string, payload []byte) bool {
	bounded, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	err := p.publish(bounded, subject, payload)
	switch {
	case err == nil:
		if p.mute.CompareAndSwap(true, false) {
			p.log.Info("health events are published again")
		}
	case ctx.Err() == nil && p.mute.CompareAndSwap(false, true):
		p.log.Error("health events cannot be published", "subject", subject, "error", err)
	}
	return err == nil
}

// queue is a heap of targets, the one that is due next first.
type queue []*watch

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(*watch)) }
func (q *queue) Pop() any {
	old := *q
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return w
}
