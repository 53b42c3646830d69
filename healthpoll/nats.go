package healthpoll

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"alertd"
)

// What a NATS micro service sets on an answer that is an error.
const (
	headerError     = "Nats-Service-Error"
	headerErrorCode = "Nats-Service-Error-Code"
)

// connected reports whether NATS can be asked. While it cannot, nothing is known of those that are behind it, and
// nothing could be published either.
func (p *Poller) connected() bool { return p.nats != nil && p.nats.IsConnected() }

// askNATS sends a request. Any answer is alive, one that can be read as a health report says more.
func (p *Poller) askNATS(ctx context.Context, w *watch, r *result) {
	if !p.connected() {
		r.nothing = true
		return
	}
	since := time.Now()
	r.watch.start(phaseFirstByte)
	reply, err := p.nats.RequestWithContext(ctx, w.subject(), nil)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		r.done(answer{check: kindNATS, missed: true, reason: reasonRefused + ": nobody answers on " + w.subject()}, since)
		return
	case err != nil && !p.connected():
		r.nothing = true
		return
	case err != nil:
		a := unreached(kindNATS, err, w.Timeout)
		a.network = false // it is NATS's, and that one is there
		r.done(a, since)
		return
	}
	r.watch.stop(phaseFirstByte)
	a := alive(kindNATS)
	code, text := reply.Header.Get(headerErrorCode), reply.Header.Get(headerError)
	switch report, err := parse(reply.Data); {
	case code != "" || text != "":
		a.status, a.reason = alertd.Unhealthy, cut(fmt.Sprintf("%s: answered with the error %s %s", reasonService, code, text), maxReason)
	case err == nil:
		a.status, a.reason, a.report = report.Status, report.Reason, report
	}
	r.done(a, since)
}

// listen looks whether the heart has beaten. Where a stream keeps the subject, beats before our start count too.
func (p *Poller) listen(ctx context.Context, w *watch, r *result) {
	now := time.Now()
	r.nothing = true
	if !p.connected() {
		w.listening = time.Time{} // what came meanwhile we did not hear
		return
	}
	if w.sub == nil {
		sub, err := p.nats.Subscribe(w.subject(), func(*nats.Msg) { w.beat.Store(time.Now().UnixNano()) })
		if err != nil {
			p.log.Error("cannot listen for a heartbeat", "service", w.Service, "subject", w.subject(), "error", err)
			return
		}
		w.sub = sub
	}
	if w.listening.IsZero() {
		w.listening = now
		if last := lastOf(ctx, p.streamOf(ctx, w.subject()), w.subject()); last != nil {
			w.stored = true
			if beat := w.beat.Load(); last.Time.UnixNano() > beat {
				w.beat.CompareAndSwap(beat, last.Time.UnixNano()) // else a newer one has just come
			}
		}
	}
	beat := w.beat.Load()
	base, heard := w.listening, time.Unix(0, beat)
	if beat != 0 && (heard.After(base) || w.stored) {
		base = heard
	}
	w.deadline = base.Add(w.Interval)
	a := answer{check: kindHeartbeat, missed: true}
	switch quiet := now.Sub(base); {
	case quiet > w.Interval && beat == 0:
		a.reason = fmt.Sprintf("%s: nothing on %s since alertd listens (%s), wanted every %s", reasonHeartbeat, w.subject(), quiet.Round(time.Second), w.Interval)
	case quiet > w.Interval:
		a.reason = fmt.Sprintf("%s: nothing on %s for %s, wanted every %s", reasonHeartbeat, w.subject(), quiet.Round(time.Second), w.Interval)
	case beat == 0:
		return // nothing yet, and nothing is due yet
	default:
		a = alive(kindHeartbeat)
	}
	r.nothing = false
	r.answers = []answer{a}
}
