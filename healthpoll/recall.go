package healthpoll

import (
	"context"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"alertd"
)

// maxRecalls bounds how many last reports are asked for at one time.
const maxRecalls = 16

// recall takes up what was published last about a target that nothing is known of: after a restart, or where another node
// has polled until now, a service that was unhealthy stays so until it has answered well as often as is wanted, and one that
// comes and goes does not begin to flap.
func (p *Poller) recall(ctx context.Context, w *watch) {
	if w.recalled || w.decided {
		return
	}
	w.recalled = true
	select { // at a start all want to know at once
	case p.recalls <- struct{}{}:
		defer func() { <-p.recalls }()
	case <-ctx.Done():
		return
	}
	last := lastOf(ctx, p.eventsOf(ctx), subjectPrefix+w.Service)
	if last == nil || time.Since(last.Time) > alertd.HealthStands {
		return
	}
	var h alertd.Health
	if json.Unmarshal(last.Data, &h) == nil {
		w.resume(&w.Target, &h)
	}
}

// resume makes the memory what it was when a report was published that says unhealthy. A report without the checks that the
// poller adds is not its own.
func (m *memory) resume(t *Target, h *alertd.Health) {
	own := []string{t.kind()}
	switch t.kind() {
	case kindHTTP, kindHTTPS:
		own = []string{checkLive, checkReady}
	case kindGRPCS:
		own = []string{kindGRPC}
	}
	var bad [2]bool
	for i, name := range own {
		c, ours := h.Checks[name]
		if i == 0 && (!ours || !c.Local) {
			return
		}
		bad[i] = c.Status == alertd.Unhealthy
	}
	if !bad[0] && !bad[1] {
		return
	}
	m.decided, m.down, m.bad, m.told = true, true, bad, h.Environment
	for name, c := range h.Checks {
		if c.Status == alertd.Unhealthy && name != own[0] && name != own[len(own)-1] {
			m.lost = append(m.lost, name)
		}
	}
}

// eventsOf is the stream that keeps health events, looked up once; nil if there is none, or nobody can be asked.
func (p *Poller) eventsOf(ctx context.Context) jetstream.Stream {
	p.mu.Lock()
	known := p.events
	p.mu.Unlock()
	if known != nil {
		return known
	}
	stream := p.streamOf(ctx, subjectPrefix+OwnService)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = stream
	return stream
}

// streamOf is the stream that keeps a subject; nil if none does, or nobody can be asked.
func (p *Poller) streamOf(ctx context.Context, subject string) jetstream.Stream {
	if !p.connected() {
		return nil
	}
	js, err := jetstream.New(p.nats)
	if err != nil {
		return nil
	}
	name, err := js.StreamNameBySubject(ctx, subject)
	if err != nil {
		return nil
	}
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return nil
	}
	return stream
}

// lastOf is the newest message of a subject in a stream; nil if there is none.
func lastOf(ctx context.Context, stream jetstream.Stream, subject string) *jetstream.RawStreamMsg {
	if stream == nil {
		return nil
	}
	m, err := stream.GetLastMsgForSubject(ctx, subject)
	if err != nil {
		return nil
	}
	return m
}
