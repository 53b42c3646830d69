package healthpoll

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"alertd"
)

const (
	subjectPrefix  = "alertd.health."
	maxProbes      = 64 // targets that are asked at one time
	publishTimeout = 5 * time.Second
)

// Publisher sends one event. [Poller] calls it from many goroutines.
type Publisher func(ctx context.Context, subject string, payload []byte) error

// Options are what a poller may be given. All may be zero.
type Options struct {
	Log    *slog.Logger // nil: nothing
	Client *http.Client // nil: one that keeps connections, follows no redirects and uses no proxy
}

// Poller asks targets for their health on schedule. Safe for concurrent use.
type Poller struct {
	publish Publisher
	log     *slog.Logger
	client  *http.Client
	slots   chan struct{} // one taken for each target that is being asked
	changed chan struct{}
	mute    atomic.Bool // publishing fails, and that was said

	mu      sync.Mutex
	targets []Target
}

// New makes a poller for the targets, see [Poller.SetTargets].
func New(targets []Target, publish Publisher, o Options) *Poller {
	p := &Poller{publish: publish, log: o.Log, client: o.Client, slots: make(chan struct{}, maxProbes), changed: make(chan struct{}, 1)}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.client == nil {
		p.client = newClient()
	}
	p.SetTargets(targets)
	return p
}

func newClient() *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			// No timeouts here: each request has the target's.
			MaxIdleConns:           4096,
			MaxIdleConnsPerHost:    2, // one for each page
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: maxBody,
			DisableCompression:     true,
			ForceAttemptHTTP2:      true,
		},
	}
}

// SetTargets replaces the targets. Those that stay as they are keep their place and what is known of them. A target
// that is not valid, or whose service another one has already, is logged and left out.
func (p *Poller) SetTargets(targets []Target) {
	kept := make([]Target, 0, len(targets))
	seen := make(map[string]bool, len(targets))
	for _, t := range targets {
		err := t.Normalize()
		if err == nil && seen[t.Service] {
			err = errors.New("service " + t.Service + " is a target already")
		}
		if err != nil {
			p.log.Error("health target left out", "error", err)
			continue
		}
		seen[t.Service] = true
		kept = append(kept, t)
	}
	p.mu.Lock()
	p.targets = kept
	p.mu.Unlock()
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// Run polls until ctx ends, and returns its cause. All that it started has ended then.
func (p *Poller) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	running := map[Target]context.CancelFunc{}
	defer p.client.CloseIdleConnections()
	defer wg.Wait()
	ctx, stopAll := context.WithCancel(ctx)
	defer stopAll()
	for {
		p.mu.Lock()
		targets := p.targets
		p.mu.Unlock()
		wanted := make(map[Target]bool, len(targets))
		for _, t := range targets {
			wanted[t] = true
		}
		for t, stop := range running {
			if !wanted[t] {
				stop()
				delete(running, t)
			}
		}
		for _, t := range targets {
			if running[t] == nil {
				own, stop := context.WithCancel(ctx)
				running[t] = stop
				wg.Go(func() { p.poll(own, t) })
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.changed:
		}
	}
}

// poll asks one target on its slots until ctx ends.
func (p *Poller) poll(ctx context.Context, t Target) {
	var m memory
	slot := time.Now().Add(t.phase())
	timer := time.NewTimer(time.Until(slot))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if !p.once(ctx, t, &m) {
			return
		}
		now := time.Now()
		if late := now.Sub(slot); late >= 0 {
			slot = slot.Add((late/t.Interval + 1) * t.Interval) // slots that passed meanwhile are not made up for
		}
		next := slot
		if again := now.Add(fastAgain); m.undecided() && again.Before(next) {
			next = again
		}
		timer.Reset(time.Until(next))
	}
}

// once asks a target and publishes the answer; false when ctx ended meanwhile.
func (p *Poller) once(ctx context.Context, t Target, m *memory) bool {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	live, ready := p.probe(ctx, t)
	<-p.slots
	if ctx.Err() != nil {
		return false // our own going is not the service's fault
	}
	p.send(ctx, m.judge(t, live, ready, time.Now()))
	return true
}

func (p *Poller) send(ctx context.Context, h alertd.Health) {
	payload, err := json.Marshal(h)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, publishTimeout)
		defer cancel()
		err = p.publish(ctx, subjectPrefix+h.Service, payload)
	}
	switch {
	case err == nil:
		if p.mute.CompareAndSwap(true, false) {
			p.log.Info("health events are published again")
		}
	case ctx.Err() == nil && p.mute.CompareAndSwap(false, true):
		p.log.Error("health events cannot be published", "service", h.Service, "error", err)
	}
}
