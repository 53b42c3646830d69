package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"alertd"
	"alertd/natsbus/natstest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// node is a server with JetStream.
type node struct{ *natstest.Server }

func newNode(t testing.TB) node {
	t.Helper()
	return node{natstest.Start(t, server.Options{JetStream: true})}
}

func (n node) connect(t testing.TB) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(n.ClientURL(), nats.Timeout(time.Minute), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func makeStream(t testing.TB, js jetstream.JetStream, maxMsgs int64) jetstream.Stream {
	t.Helper()
	s, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"e.>"}, MaxMsgs: maxMsgs, Discard: jetstream.DiscardOld})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// send publishes the numbers from to to, one a message.
func send(t testing.TB, js jetstream.JetStream, from, to int) {
	t.Helper()
	var acks []jetstream.PubAckFuture
	for i := from; i <= to; i++ {
		ack, err := js.PublishAsync("e.x", []byte(strconv.Itoa(i)))
		if err != nil {
			t.Fatal(err)
		}
		acks = append(acks, ack)
		if len(acks) < 1000 && i < to {
			continue
		}
		for _, ack := range acks {
			select {
			case <-ack.Ok():
			case err := <-ack.Err():
				t.Fatal(err)
			case <-time.After(time.Minute):
				t.Fatal("no ack")
			}
		}
		acks = acks[:0]
	}
}

var errEnough = errors.New("enough")

// read collects sequences until the given one came.
func read(t testing.TB, js jetstream.JetStream, from Start, o ReadOptions, until uint64) (seqs []uint64, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("never got there"))
	defer cancel()
	err = Read(ctx, js, "EVENTS", from, o, func(batch []Message) error {
		for _, m := range batch {
			seqs = append(seqs, m.Seq)
			if m.Seq >= until {
				return errEnough
			}
		}
		return nil
	})
	return seqs, err
}

func span(from, to uint64) (s []uint64) {
	for i := from; i <= to; i++ {
		s = append(s, i)
	}
	return s
}

func TestReadFrom(t *testing.T) {
	js := newNode(t).connect(t)
	stream := makeStream(t, js, -1)
	send(t, js, 1, 5000)
	sixth, err := stream.GetMsg(t.Context(), 6)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from  Start
		first uint64
	}{{Start{}, 1}, {Start{Seq: 1}, 1}, {Start{Seq: 4990}, 4990}, {Start{Seq: 5000}, 5000}, {Start{Time: sixth.Time}, 6}, {Start{Time: time.Unix(0, 0)}, 1}} {
		seqs, err := read(t, js, c.from, ReadOptions{}, 5000)
		if err != errEnough || !slices.Equal(seqs, span(c.first, 5000)) {
			t.Errorf("%+v: %d messages, %v", c.from, len(seqs), err)
		}
	}
	if b, err := boundsOf(t.Context(), js, "EVENTS"); b.first != 1 || b.last != 5000 || err != nil {
		t.Errorf("bounds %+v, %v", b, err)
	}
	if _, err := boundsOf(t.Context(), js, "NONE"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("bounds of nothing: %v", err)
	}
	if err := Read(t.Context(), js, "NONE", Start{}, ReadOptions{}, nil); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("read of nothing: %v", err)
	}
}

func TestReadCarriesTheMessage(t *testing.T) {
	js := newNode(t).connect(t)
	makeStream(t, js, -1)
	got := make(chan Message, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Read(ctx, js, "EVENTS", Start{Seq: 1}, ReadOptions{}, func(batch []Message) error {
			got <- batch[0]
			return nil
		})
	}()
	before := time.Now()
	if _, err := js.PublishMsg(ctx, &nats.Msg{Subject: "e.a.b", Data: []byte("body"), Header: nats.Header{"Traceparent": {"x"}}}); err != nil {
		t.Fatal(err)
	}
	m := <-got
	if m.Seq != 1 || m.Subject != "e.a.b" || string(m.Data) != "body" || m.Header["Traceparent"][0] != "x" || m.Time.Before(before.Add(-time.Second)) || m.Time.Location() != time.UTC {
		t.Errorf("%+v", m)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// Messages that went to retention are told: at the start, on the way, and when nothing is left to read.
func TestReadTellsOfGaps(t *testing.T) {
	js := newNode(t).connect(t)
	stream := makeStream(t, js, 10)
	send(t, js, 1, 30)
	var gaps []string
	o := ReadOptions{OnGap: func(from, to uint64) { gaps = append(gaps, fmt.Sprintf("%d-%d", from, to)) }}
	seqs, err := read(t, js, Start{Seq: 5}, o, 30)
	if err != errEnough || !slices.Equal(seqs, span(21, 30)) || !slices.Equal(gaps, []string{"5-20"}) {
		t.Errorf("%v, %v, gaps %v", seqs, err, gaps)
	}

	if err := stream.DeleteMsg(t.Context(), 25); err != nil {
		t.Fatal(err)
	}
	gaps = nil
	if seqs, err = read(t, js, Start{Seq: 21}, o, 30); err != errEnough || len(seqs) != 9 || !slices.Equal(gaps, []string{"25-25"}) {
		t.Errorf("%v, %v, gaps %v", seqs, err, gaps)
	}

	var gap *GapError
	if _, err = read(t, js, Start{Seq: 5}, ReadOptions{}, 30); !errors.As(err, &gap) || gap.From != 5 || gap.To != 20 || !strings.Contains(err.Error(), "16 messages (5 to 20)") {
		t.Errorf("nobody to tell: %v", err)
	}

	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err = Read(ctx, js, "EVENTS", Start{Seq: 21}, ReadOptions{OnGap: func(from, to uint64) { told <- fmt.Sprintf("%d-%d", from, to); cancel() }}, nil)
	if got := <-told; got != "21-30" || !errors.Is(err, context.Canceled) {
		t.Errorf("purged: %s, %v", got, err)
	}
}

func TestReadOfAStreamMadeAnew(t *testing.T) {
	js := newNode(t).connect(t)
	makeStream(t, js, -1)
	send(t, js, 1, 3)
	// The one that comes next is a fine place to start from.
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := Read(ctx, js, "EVENTS", Start{Seq: 4}, ReadOptions{}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	_, err := read(t, js, Start{Seq: 10}, ReadOptions{}, 0)
	var rewound *RewoundError
	if !errors.As(err, &rewound) || rewound.Next != 10 || rewound.Last != 3 {
		t.Errorf("%v", err)
	}
}

// Somebody deletes the stream and makes it again while it is read: sequences begin anew, and what has one that was read before
// is not taken for read.
func TestReadWhileTheStreamIsMadeAnew(t *testing.T) {
	js := newNode(t).connect(t)
	makeStream(t, js, -1)
	send(t, js, 1, 3)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Minute, errors.New("never noticed"))
	defer cancel()
	err := Read(ctx, js, "EVENTS", Start{Seq: 1}, ReadOptions{}, func(batch []Message) error {
		if batch[len(batch)-1].Seq == 3 {
			if err := js.DeleteStream(t.Context(), "EVENTS"); err != nil {
				t.Fatal(err)
			}
			makeStream(t, js, -1)
			send(t, js, 1, 5)
		}
		return nil
	})
	var rewound *RewoundError
	if !errors.As(err, &rewound) || rewound.Made.IsZero() || rewound.Last != 5 {
		t.Errorf("%v", err)
	}
}

// Everything is read once and in order while the server goes away and comes back again and again.
func TestReadLivesThroughRestarts(t *testing.T) {
	n := newNode(t)
	js := n.connect(t)
	makeStream(t, js, -1)
	var count atomic.Uint64
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- Read(ctx, js, "EVENTS", Start{Seq: 1}, ReadOptions{}, func(batch []Message) error {
			for _, m := range batch {
				if want := count.Add(1); m.Seq != want || string(m.Data) != strconv.FormatUint(want, 10) {
					return fmt.Errorf("got %d (%s), want %d", m.Seq, m.Data, want)
				}
			}
			return nil
		})
	}()
	const rounds, each = 3, 2000
	for i := range rounds {
		send(t, js, i*each+1, (i+1)*each)
		n.Stop()
		n.StartAgain(t)
		for js.Conn().FlushTimeout(time.Second) != nil { // an answer: for a while it seems connected to the one that is gone
			time.Sleep(5 * time.Millisecond)
		}
	}
	send(t, js, rounds*each+1, rounds*each+1)
	back := time.Now()
	for count.Load() < rounds*each+1 && ctx.Err() == nil && len(done) == 0 {
		time.Sleep(time.Millisecond)
	}
	t.Logf("caught up %s after the last restart", time.Since(back).Round(time.Millisecond))
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || count.Load() != rounds*each+1 {
		t.Errorf("%d read, %v", count.Load(), err)
	}
}

// A server that is away does not keep the daemon from stopping.
func TestReadStopsWhileTheServerIsAway(t *testing.T) {
	n := newNode(t)
	js := n.connect(t)
	makeStream(t, js, -1)
	send(t, js, 1, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done, started := make(chan error, 1), make(chan struct{})
	go func() {
		done <- Read(ctx, js, "EVENTS", Start{Seq: 1}, ReadOptions{}, func([]Message) error { close(started); return nil })
	}()
	<-started
	n.Stop()
	start := time.Now()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || time.Since(start) > 30*time.Second {
		t.Errorf("%v after %s", err, time.Since(start))
	}
	n.StartAgain(t)
}

// Somebody deletes the consumer on the server; a new one goes on.
func TestReadLosesItsConsumer(t *testing.T) {
	js := newNode(t).connect(t)
	stream := makeStream(t, js, -1)
	send(t, js, 1, 10)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var next uint64 = 1
	err := Read(ctx, js, "EVENTS", Start{Seq: 1}, ReadOptions{}, func(batch []Message) error {
		for _, m := range batch {
			if m.Seq != next {
				return fmt.Errorf("got %d, want %d", m.Seq, next)
			}
			next++
			if m.Seq == 10 {
				for name := range stream.ConsumerNames(ctx).Name() {
					if err := stream.DeleteConsumer(ctx, name); err != nil {
						return err
					}
				}
				send(t, js, 11, 20)
			}
			if m.Seq == 20 {
				return errEnough
			}
		}
		return nil
	})
	if err != errEnough {
		t.Errorf("next %d: %v", next, err)
	}
}

// A busy reader gets large batches, never more than the bound, and memory stays bounded with it.
func TestReadBatchesWhatWaits(t *testing.T) {
	js := newNode(t).connect(t)
	makeStream(t, js, -1)
	send(t, js, 1, 20_000)
	var largest int
	var next uint64 = 1
	err := Read(t.Context(), js, "EVENTS", Start{Seq: 1}, ReadOptions{}, func(batch []Message) error {
		largest = max(largest, len(batch))
		for _, m := range batch {
			if m.Seq != next {
				return fmt.Errorf("got %d, want %d", m.Seq, next)
			}
			next++
		}
		if next < 10_000 {
			time.Sleep(2 * time.Millisecond) // a turn of the loop
		}
		if next > 20_000 {
			return errEnough
		}
		return nil
	})
	if err != errEnough || largest < 100 || largest > pullMessages {
		t.Errorf("largest batch %d, %v", largest, err)
	}
}

func TestDeadLetters(t *testing.T) {
	js := newNode(t).connect(t)
	for range 2 { // the second time it is there already
		d, err := EnsureDeadLetters(t.Context(), js)
		if err != nil {
			t.Fatal(err)
		}
		if list, err := d.List(t.Context(), 10); err != nil || len(list) != 0 {
			t.Errorf("%v %v", list, err)
		}
	}
	d, err := EnsureDeadLetters(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)
	for i := range 5 {
		dl := alertd.DeadLetter{Seq: uint64(i + 1), Subject: "alertd.metrics.a", Time: at, Reason: "line 1", Excerpt: "{"}
		for range 2 { // as after a restart
			if err := d.Publish(t.Context(), dl); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := js.Publish(t.Context(), deadLetterSubject, []byte("not ours")); err != nil {
		t.Fatal(err)
	}
	list, err := d.List(t.Context(), 3)
	if err != nil || len(list) != 3 || list[0].Reason != "not a dead letter of alertd" || list[1].Seq != 5 || list[2].Seq != 4 || !list[2].Time.Equal(at) {
		t.Errorf("%+v %v", list, err)
	}

	// A flood is counted, and said.
	for range letterBurst + 50 {
		if err := d.Publish(t.Context(), alertd.DeadLetter{Subject: "flood", Reason: "r"}); err != nil {
			t.Fatal(err)
		}
	}
	if d.skipped == 0 {
		t.Skip("this machine is too slow to flood anything")
	}
	d.limit.SetLimit(1e9)
	if err := d.Publish(t.Context(), alertd.DeadLetter{Subject: "last", Reason: "r"}); err != nil {
		t.Fatal(err)
	}
	if list, err = d.List(t.Context(), 2); err != nil || list[0].Subject != "last" || !strings.Contains(list[1].Reason, "dead letters before this one were not kept") {
		t.Errorf("%+v %v", list, err)
	}
}

// BenchmarkReadIdle measures one message at a time, from publish to fn.
func BenchmarkReadIdle(b *testing.B) {
	for _, kind := range []string{"tcp", "inprocess"} {
		b.Run(kind, func(b *testing.B) {
			n := newNode(b)
			js := n.connect(b)
			if kind == "inprocess" {
				nc, err := nats.Connect("", nats.InProcessServer(n.Server.Server))
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(nc.Close)
				js, _ = jetstream.New(nc)
			}
			makeStream(b, js, -1)
			got := make(chan time.Time, 1)
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() {
				done <- Read(ctx, js, "EVENTS", Start{Seq: 1}, ReadOptions{}, func(batch []Message) error {
					got <- time.Now()
					return nil
				})
			}()
			send(b, js, 0, 0)
			<-got
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				if err := js.Conn().Publish("e.x", []byte("x")); err != nil {
					b.Fatal(err)
				}
				_ = js.Conn().Flush()
				took = append(took, (<-got).Sub(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
			cancel()
			<-done
		})
	}
}

// BenchmarkReadBehind measures how fast a reader who is behind catches up.
func BenchmarkReadBehind(b *testing.B) {
	js := newNode(b).connect(b)
	makeStream(b, js, -1)
	const n = 50_000
	send(b, js, 1, n)
	for b.Loop() {
		if _, err := read(b, js, Start{Seq: 1}, ReadOptions{}, n); err != errEnough {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "messages/s")
}
