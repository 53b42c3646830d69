package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	pullMessages = 2000             // on their way or waiting, so that a reader who is behind never waits for the network
	pullBytes    = 32 << 20         // the same in bytes, more than the largest message
	heartbeat    = 5 * time.Second  // the server says that it is still there; two missed make a new consumer
	pullExpiry   = 30 * time.Second // of one request for messages
	stallCheck   = 5 * time.Second  // between looks of the watchdog
	idleConsumer = 30 * time.Second // after which the server forgets a consumer that nobody pulls from
	askTimeout   = 5 * time.Second  // for one answer of the server
	firstRetry   = 50 * time.Millisecond
	lastRetry    = time.Second // between attempts, while the server does not answer
)

// Message is one message of the stream. Data and Header may be kept.
type Message struct {
	Seq     uint64
	Subject string
	Header  nats.Header
	Time    time.Time // when the server stored it, UTC
	Data    []byte
}

// Start is where reading begins: at the sequence Seq, or at the first message that was stored at Time or later. The
// zero Start is the first message that the stream still has.
type Start struct {
	Seq  uint64
	Time time.Time
}

// ReadOptions are what the caller wants to be told. All may be zero.
type ReadOptions struct {
	Log *slog.Logger // stalls, lost connections; nil: nothing
	// OnGap is told of messages that were wanted and that the stream has no more, from and to included. It runs
	// between two batches. Where it is nil, Read ends with a *GapError, so that a loss is never silent.
	OnGap func(from, to uint64)
}

// GapError says that messages went to retention, or were deleted, before they were read.
type GapError struct {
	Stream   string
	From, To uint64 // lost, both included
}

// Error names the stream and how much of it is lost.
func (e *GapError) Error() string {
	return fmt.Sprintf("stream %s: %d messages (%d to %d) were gone before they were read; raise its max_age or max_bytes", e.Stream, e.To-e.From+1, e.From, e.To)
}

// RewoundError says that the stream was made anew, or that it ends before the place from which to go on, as it lost its
// end in a crash. Sequences are then used a second time, and what was read under them is not what is there now.
type RewoundError struct {
	Stream     string
	Next, Last uint64    // the sequence that was to be read next; the last one that the stream has
	Made       time.Time // when it was made anew, while it was read; zero: nobody saw that
}

// Error names the stream and what happened.
func (e *RewoundError) Error() string {
	if !e.Made.IsZero() {
		return fmt.Sprintf("stream %s was deleted and made anew at %s", e.Stream, e.Made.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("stream %s ends at %d, but was already read up to %d: it was made anew or lost its end in a crash", e.Stream, e.Last, e.Next-1)
}

// bounds are the first and the last sequence of a stream, and when it was made. An empty stream has first = last + 1.
type bounds struct {
	first, last uint64
	made        time.Time
}

func boundsOf(ctx context.Context, js jetstream.JetStream, stream string) (bounds, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return bounds{}, fmt.Errorf("stream %s: %w", stream, err)
	}
	info := s.CachedInfo()
	return bounds{max(info.State.FirstSeq, 1), info.State.LastSeq, info.Created}, nil
}

// Read hands the messages of the stream to fn, in order, each once, until ctx ends or fn fails; it returns the
// cause of either. A batch is what has come since the last one: fn is called for a single message at once, and
// gets thousands when it is behind. The slice is used again after fn returns.
//
// It lives through restarts of the server and lost connections, and goes on from where it was. It pulls with a
// short-lived consumer in the server's memory that acknowledges nothing: acknowledgements do not survive a crash of
// the server, the caller's own checkpoint does. A new consumer is made from the next sequence after every
// reconnect, a missed heartbeat or a hole in what was delivered. This is what jetstream.OrderedConsumer does too;
// that one, however, cannot be stopped while it waits for a server that is away, and does not say what is lost.
// Every few seconds Read compares the end of the stream with what came, because a consumer that starves does not
// know it.
//
// Where the stream has lost wanted messages Read says so, see [ReadOptions]; where it ends before from, or was made
// anew, Read ends with a [*RewoundError]; where it is gone, with jetstream.ErrStreamNotFound.
func Read(ctx context.Context, js jetstream.JetStream, stream string, from Start, o ReadOptions, fn func(batch []Message) error) error {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r := &reader{js: js, stream: stream, from: from, o: o, next: from.Seq}
	status := js.Conn().StatusChanged(nats.CONNECTED, nats.CLOSED)
	defer js.Conn().RemoveStatusListener(status)
	if err := r.patiently(ctx, r.begin); err != nil {
		return err
	}
	if err := r.patiently(ctx, r.connect); err != nil {
		return err
	}
	defer func() { r.source.stop() }()

	ticker := time.NewTicker(stallCheck)
	defer ticker.Stop()
	for {
		anew := false
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-r.source.ready:
			batch, err := r.accept(r.source.take())
			if err != nil {
				return err
			}
			if len(batch) == 0 {
				continue
			}
			if err := fn(batch); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		case <-r.source.broken:
			anew = true // what waits comes again
		case s := <-status:
			if s == nats.CLOSED {
				return fmt.Errorf("stream %s: %w", stream, nats.ErrConnectionClosed)
			}
			anew = true // the consumer may be gone, and what was on its way is
		case <-ticker.C:
			var err error
			if anew, err = r.starves(ctx); err != nil {
				return err
			}
		}
		if anew {
			r.source.stop()
			if err := sleep(ctx, firstRetry); err != nil { // or a consumer that fails at once would keep us busy
				return err
			}
			if err := r.patiently(ctx, r.connect); err != nil {
				return err
			}
		}
	}
}

// reader is one run of Read.
type reader struct {
	js      jetstream.JetStream
	stream  string
	from    Start
	o       ReadOptions
	next    uint64    // sequence wanted next; 0 while it is not known, as reading starts by time
	checked uint64    // next at the last look of the watchdog
	behind  bool      // at the last look there was something to read
	made    time.Time // the stream, when reading began
	source  *source
}

// patiently tries until it works, ctx ends, or it cannot work any more.
func (r *reader) patiently(ctx context.Context, try func(context.Context) error) error {
	for pause, told := firstRetry, false; ; pause = min(2*pause, lastRetry) {
		// The first answers are waited for briefly: a server that has just come back drops requests.
		attempt, cancel := context.WithTimeout(ctx, min(10*pause, askTimeout))
		err := try(attempt)
		cancel()
		switch {
		case err == nil && told:
			r.o.Log.Info("stream answers again", "stream", r.stream, "next", r.next)
			return nil
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case final(err):
			return err
		}
		if !told {
			told = true
			r.o.Log.Warn("stream does not answer, trying again", "stream", r.stream, "error", err)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

func final(err error) bool {
	var gap *GapError
	var rewound *RewoundError
	return errors.As(err, &gap) || errors.As(err, &rewound) ||
		errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, nats.ErrConnectionClosed)
}

// begin looks whether the stream has what is wanted.
func (r *reader) begin(ctx context.Context) error {
	b, err := boundsOf(ctx, r.js, r.stream)
	if err != nil {
		return err
	}
	r.made = b.made
	switch {
	case r.next > b.last+1:
		return &RewoundError{Stream: r.stream, Next: r.next, Last: b.last}
	case r.next > 0 && b.first > r.next:
		return r.gap(b.first)
	default:
		return nil
	}
}

// same looks whether the stream is still the one that reading began with.
func (r *reader) same(b bounds) error {
	if b.made.Equal(r.made) {
		return nil
	}
	return &RewoundError{Stream: r.stream, Next: r.next, Last: b.last, Made: b.made}
}

// connect makes a consumer at the wanted place.
func (r *reader) connect(ctx context.Context) error {
	b, err := boundsOf(ctx, r.js, r.stream)
	if err == nil {
		err = r.same(b)
	}
	if err != nil {
		return err
	}
	cfg := jetstream.ConsumerConfig{
		AckPolicy:         jetstream.AckNonePolicy,
		DeliverPolicy:     jetstream.DeliverAllPolicy,
		InactiveThreshold: idleConsumer,
		MemoryStorage:     true,
		Replicas:          1,
	}
	switch {
	case r.next > 0:
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, r.next
	case !r.from.Time.IsZero():
		at := r.from.Time.UTC()
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &at
	}
	c, err := r.js.CreateConsumer(ctx, r.stream, cfg)
	if err != nil {
		return fmt.Errorf("stream %s: %w", r.stream, err)
	}
	s := newSource(r.o.Log.With("stream", r.stream))
	s.consume, err = c.Consume(s.put,
		jetstream.PullMaxMessagesWithBytesLimit(pullMessages, pullBytes),
		jetstream.PullHeartbeat(heartbeat), jetstream.PullExpiry(pullExpiry),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { s.fail(err) }))
	if err != nil {
		return fmt.Errorf("stream %s: %w", r.stream, err)
	}
	r.source = s
	return nil
}

// accept drops what was read before (a new consumer may repeat) and says what is missing.
func (r *reader) accept(batch []Message) ([]Message, error) {
	kept := batch[:0]
	for _, m := range batch {
		if m.Seq < r.next {
			continue
		}
		if r.next > 0 && m.Seq > r.next {
			if err := r.gap(m.Seq); err != nil {
				return nil, err
			}
		}
		r.next = m.Seq + 1
		kept = append(kept, m)
	}
	return kept, nil
}

// gap tells that the stream goes on at first, and takes it from there.
func (r *reader) gap(first uint64) error {
	from, to := r.next, first-1
	r.next = first
	if r.o.OnGap == nil {
		return &GapError{Stream: r.stream, From: from, To: to}
	}
	r.o.OnGap(from, to)
	return nil
}

// starves reports whether the stream has had more for two looks, and none of it came.
func (r *reader) starves(ctx context.Context) (bool, error) {
	if r.next != r.checked || r.source.waiting() {
		r.checked, r.behind = r.next, false
		return false, nil
	}
	b, err := boundsOf(ctx, r.js, r.stream)
	switch {
	case err != nil && final(err):
		return false, err
	case err != nil: // a lost connection has its own way to recover
		return false, nil
	case r.next == 0 || r.source.waiting():
		return false, nil
	}
	if err := r.same(b); err != nil {
		return false, err
	}
	if r.next > b.last+1 {
		return false, &RewoundError{Stream: r.stream, Next: r.next, Last: b.last}
	}
	if b.first > r.next { // all that was wanted went; the next message, which would tell, may be long in coming
		if err := r.gap(b.first); err != nil {
			return false, err
		}
	}
	if r.next > b.last || !r.behind {
		r.behind = r.next <= b.last
		return false, nil
	}
	r.o.Log.Warn("stream reader starves, reading anew", "stream", r.stream, "next", r.next, "last", b.last)
	r.behind = false
	return true, nil
}

// source is one consumer and what came from it. It is bounded: the consumer waits while the reader is busy.
type source struct {
	ready   chan struct{} // something waits
	broken  chan struct{} // nothing more will come in order
	done    chan struct{}
	consume jetstream.ConsumeContext
	log     *slog.Logger

	delivered uint64 // the consumer's count; only put uses it

	mu    sync.Mutex
	room  chan struct{} // closed by take
	in    []Message
	out   []Message
	bytes int
}

func newSource(log *slog.Logger) *source {
	return &source{
		ready: make(chan struct{}, 1), broken: make(chan struct{}, 1), done: make(chan struct{}), room: make(chan struct{}), log: log,
	}
}

// put takes a message from the consumer. Once one is missing in the consumer's own count it takes no more: what
// was lost on the way has to be asked for again, by a new consumer.
func (s *source) put(msg jetstream.Msg) {
	meta, err := msg.Metadata()
	if err != nil || meta.Sequence.Consumer != s.delivered+1 {
		s.fail(errors.New("a message was lost on the way"))
		return
	}
	s.delivered++
	m := Message{Seq: meta.Sequence.Stream, Subject: msg.Subject(), Header: msg.Headers(), Time: meta.Timestamp.UTC(), Data: msg.Data()}
	s.mu.Lock()
	for len(s.in) >= pullMessages || s.bytes >= pullBytes {
		room := s.room
		s.mu.Unlock()
		select {
		case <-room:
		case <-s.done:
			return
		}
		s.mu.Lock()
	}
	s.in = append(s.in, m)
	s.bytes += len(m.Data)
	s.mu.Unlock()
	signal(s.ready)
}

// fail hears what the consumer complains about. Whatever it is, a new consumer is cheap and certain.
func (s *source) fail(err error) {
	s.log.Debug("stream reader", "error", err)
	signal(s.broken)
}

// take hands over all that waits. What it returned before is used again.
func (s *source) take() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.out) // let go of the payloads
	s.in, s.out = s.out[:0], s.in
	s.bytes = 0
	close(s.room)
	s.room = make(chan struct{})
	return s.out
}

func (s *source) waiting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.in) > 0
}

func (s *source) stop() {
	select {
	case <-s.done: // the connection did not come back
	default:
		close(s.done)
		s.consume.Stop()
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
