package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/codes"

	"alertd"
	"alertd/ingest"
	"alertd/natsbus"
)

// meet compares the journal's checkpoint with what EVENTS has, before anything is read, says aloud what is lost, and
// decides where reading begins.
func (l *leader) meet(ctx context.Context) error {
	stream, err := l.bus.JetStream().Stream(ctx, natsbus.EventsStream)
	if err != nil {
		return fmt.Errorf("events: %w", err)
	}
	made, in := stream.CachedInfo().Created, stream.CachedInfo().State
	before := l.eventsMade
	l.eventsMade = made
	switch {
	case l.checkpoint > 0 && !before.IsZero() && !before.Equal(made):
		l.log.Error("the stream of events was deleted and made anew; reading all that it has", "evaluated", l.checkpoint, "made", made)
		l.checkpoint = 0
	case l.checkpoint > in.LastSeq:
		l.log.Error("the stream of events ends before what was evaluated: it was made anew, or lost its end in a crash; reading all that it has",
			"evaluated", l.checkpoint, "newest", in.LastSeq)
		l.checkpoint = 0
	case l.checkpoint > 0 && in.FirstSeq > l.checkpoint+1:
		l.lost(l.checkpoint+1, in.FirstSeq-1)
	}
	l.met, l.backlog = l.checkpoint, in.LastSeq
	l.from, err = l.startOfWindow(ctx, stream, in)
	if l.from.Time.After(in.LastTime) {
		l.backlog = 0 // all of it is older than any rule looks back, and evaluated
	}
	return err
}

// startOfWindow is where reading begins: the longest look-back of a rule before now, a fixed time that a rule reads, or
// the first event that is not evaluated, whichever is earlier.
func (l *leader) startOfWindow(ctx context.Context, stream jetstream.Stream, in jetstream.StreamState) (ingest.Start, error) {
	window := l.current.Load().rules.ReadFrom(clock(), in.FirstTime)
	next := max(l.met+1, in.FirstSeq)
	if next > in.LastSeq {
		return ingest.Start{Time: window}, nil
	}
	msg, err := stream.GetMsg(ctx, next)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return ingest.Start{Seq: next}, nil // it went to retention just now; the reader says so
	case err != nil:
		return ingest.Start{}, fmt.Errorf("events: %w", err)
	case msg.Time.Before(window):
		return ingest.Start{Seq: next}, nil
	}
	return ingest.Start{Time: window}, nil
}

// listen reads EVENTS into arrivals until ctx ends.
func (l *leader) listen(ctx context.Context) error {
	decoder := ingest.NewDecoder()
	var with *policy
	o := ingest.ReadOptions{Log: l.log, OnGap: l.lost}
	return ingest.Read(ctx, l.bus.JetStream(), natsbus.EventsStream, l.from, o, func(batch []ingest.Message) error {
		if p := l.current.Load(); p != with {
			decoder.SetComponents(p.health.Components)
			with = p
		}
		for len(batch) > 0 {
			n := min(len(batch), maxTurn)
			select {
			case l.arrivals <- l.decode(ctx, decoder, batch[:n]):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			batch = batch[n:]
		}
		return nil
	})
}

// lost says aloud that events went to retention before they were evaluated.
func (l *leader) lost(from, to uint64) {
	l.metrics.lost.Add(float64(to - from + 1))
	l.log.Error("events were lost to retention before they were evaluated", "from", from, "to", to, "count", to-from+1,
		"fix", "raise events.max_age or events.max_bytes in the configuration")
}

// decode turns messages into arrivals. What cannot be decoded becomes a dead letter, and the rest goes on.
func (l *leader) decode(ctx context.Context, d *ingest.Decoder, batch []ingest.Message) []arrival {
	out := make([]arrival, len(batch))
	defer func(before uint64) { l.metrics.skipped.Add(float64(d.Skipped() - before)) }(d.Skipped())
	for i := range batch {
		l.decodeOne(ctx, d, &batch[i], &out[i])
	}
	return out
}

func (l *leader) decodeOne(ctx context.Context, d *ingest.Decoder, m *ingest.Message, a *arrival) {
	a.seq, a.at = m.Seq, m.Time
	a.health = strings.HasPrefix(m.Subject, natsbus.HealthPrefix)
	if m.Seq <= l.met { // evaluated before: it only fills the window
		d.Decode(m.Subject, m.Header, m.Time, m.Data, &a.events)
		return
	}
	ctx, span := l.spans.process(ctx, m)
	defer span.End()
	problems := d.Decode(m.Subject, m.Header, m.Time, m.Data, &a.events)
	if len(problems) == 0 {
		return
	}
	span.SetStatus(codes.Error, problems[0].String())
	ctx = ofPublisher(ctx, m)
	for _, p := range problems {
		l.metrics.deadLetters.Add(float64(max(p.Count, 1)))
	}
	const kept = 10 // of one message; the rest is counted
	for _, p := range problems[:min(len(problems), kept)] {
		dl := alertd.DeadLetter{
			Seq: m.Seq, Subject: m.Subject, Time: m.Time, Reason: p.String(), Excerpt: alertd.ExcerptOf(m.Data),
		}
		l.log.WarnContext(ctx, "event not understood", "subject", m.Subject, "seq", m.Seq, "reason", dl.Reason)
		if err := l.deadLetters.Publish(ctx, dl); err != nil {
			l.log.ErrorContext(ctx, "dead letter not kept", "seq", m.Seq, "error", err)
		}
	}
}
