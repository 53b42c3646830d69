package app

import (
	"context"
	"testing"

	"alertd"
	"alertd/engine"
	"alertd/ingest"
)

// untraced is all that tracing does for a message and its turn while it is off.
func untraced(ctx context.Context, m *ingest.Message, c *alertd.Commit, entries []alertd.Entry) {
	var s *spans
	t := newTurnTrace(s)
	t.begin()
	_, span := s.process(ctx, m)
	span.End()
	t.asked(ctx)
	t.judged(1)
	began := t.clock()
	t.decided(engine.Judged{}, began, entries)
	_, span = t.appending(t.context(ctx), c)
	span.End()
	_ = t.of("n")
	t.end(nil)
}

// While nothing is traced, a message that is traced by its publisher costs no allocation more.
func TestUntracedAllocatesNothing(t *testing.T) {
	m := &ingest.Message{Subject: "alertd.metrics.api", Header: map[string][]string{"traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}}
	c, entries := &alertd.Commit{}, []alertd.Entry{{Transition: &alertd.Transition{}}}
	if n := testing.AllocsPerRun(1000, func() { untraced(context.Background(), m, c, entries) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkUntraced is what that takes.
func BenchmarkUntraced(b *testing.B) {
	m, c, entries := &ingest.Message{Subject: "alertd.metrics.api"}, &alertd.Commit{}, []alertd.Entry{{Transition: &alertd.Transition{}}}
	for b.Loop() {
		untraced(context.Background(), m, c, entries)
	}
}
