package journal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	readAhead      = 512     // messages that the server may send unasked
	readAheadBytes = 8 << 20 // and bytes; must be more than one message, or the reader would stall for ever

	// What fn of Follow gets at once: so many records at most, or the first with which their texts have so many bytes.
	followBatch = 256
	followBytes = 16 << 20
)

// forEver is the last sequence of a reader that goes on until its context ends.
const forEver = math.MaxUint64

// scan delivers records from a sequence on, in batches, until it has delivered last. Where the journal was trimmed further than that, it
// begins with what there is. What is in own is not decoded. It returns the tail of the journal that it read.
func (n *NATS) scan(ctx context.Context, from, last uint64, own *recent, deliver func([]Record) error) (tail, error) {
	info, err := n.info(ctx)
	if err != nil {
		return tail{}, err
	}
	if end := info.State.LastSeq; from > end+1 {
		return tail{}, pastTheEnd(from, end)
	}
	gone := trimmed(info)
	from = max(from, gone+1)
	ch := startOf(from)
	if first := info.State.FirstSeq; from > 1 && (from == first || from == gone+1) {
		ch = chain{next: from} // what was before is gone, and nobody asks for it
	}
	ch.own = own
	for ch.next <= last {
		r := &reader{n: n, ch: &ch, from: from, last: last}
		err := r.run(ctx, deliver)
		if !errors.Is(err, errStalled) {
			if err != nil {
				return tail{}, err
			}
			continue
		}
		// Never rely on the client library to notice: compare with what the leader has.
		n.log.Warn("journal reader hears nothing, starting it again", "next", ch.next)
	}
	return tail{seq: ch.next - 1, sum: ch.sum, epoch: ch.epoch}, nil
}

// errStalled says that there are messages that the consumer does not deliver.
var errStalled = errors.New("consumer stalled")

// reader is one consumer's life.
type reader struct {
	n          *NATS
	ch         *chain
	from, last uint64
	missed     uint64 // what the leader had and we did not, when we last looked
	msgs       chan jetstream.Msg
	fatal      chan error
}

// run reads until it has delivered last, ctx ends, or something is wrong.
func (r *reader) run(ctx context.Context, deliver func([]Record) error) error {
	stop, err := r.start(ctx)
	if err != nil {
		return err
	}
	defer stop()
	watch := time.NewTicker(stallTimeout)
	defer watch.Stop()
	heard := false
	for r.ch.next <= r.last {
		select {
		case msg := <-r.msgs:
			heard = true
			batch, err := r.collect(msg)
			if len(batch) > 0 {
				if err := deliver(batch); err != nil {
					return err
				}
			}
			if err != nil {
				return err
			}
		case err := <-r.fatal:
			return err
		case <-watch.C:
			if !heard {
				if err := r.compare(ctx); err != nil {
					return err
				}
			}
			heard = false
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// start makes the consumer. The function that it returns ends it.
func (r *reader) start(ctx context.Context) (stop func(), err error) {
	c, err := r.n.js.OrderedConsumer(ctx, streamName, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:   r.ch.next,
	})
	if err != nil {
		return nil, fmt.Errorf("journal: %w", r.n.orGone(nil, err))
	}
	r.msgs, r.fatal = make(chan jetstream.Msg, readAhead/2), make(chan error, 1)
	done := make(chan struct{})
	cc, err := c.Consume(func(msg jetstream.Msg) {
		select {
		case r.msgs <- msg: // waits for a slow reader, and with it the server
		case <-done:
		}
	}, jetstream.PullMaxMessagesWithBytesLimit(readAhead, readAheadBytes), jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConnectionClosed) {
			select {
			case r.fatal <- fmt.Errorf("journal: %w", r.n.orGone(nil, err)):
			default:
			}
			return
		}
		r.n.log.Debug("journal reader", "error", err) // it goes on by itself, or the ticker finds out
	}))
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return func() { close(done); cc.Stop() }, nil
}

// collect checks a message and those that wait behind it.
func (r *reader) collect(msg jetstream.Msg) (batch []Record, err error) {
	for bytes := 0; ; {
		meta, err := msg.Metadata()
		if err != nil {
			return batch, fmt.Errorf("journal: %w", err)
		}
		seq := meta.Sequence.Stream
		format := msg.Headers().Get(formatHeader)
		c, ends, err := r.ch.check(seq, format, msg.Data())
		if err != nil {
			return batch, err
		}
		if ends && seq >= r.from {
			batch = append(batch, Record{Seq: seq, Commit: c, Trace: msg.Headers().Get("traceparent")})
		}
		if bytes += textLen(format, msg.Data()); len(batch) == followBatch || bytes >= followBytes || seq == r.last {
			return batch, nil
		}
		select {
		case msg = <-r.msgs:
		default:
			return batch, nil
		}
	}
}

// compare asks the leader whether there is something that was not delivered, the second time that it is asked for.
func (r *reader) compare(ctx context.Context) error {
	info, err := r.n.stream.Info(ctx)
	err = r.n.orGone(info, err)
	switch {
	case errors.Is(err, ErrGone):
		return err
	case err != nil:
		return nil //nolint:nilerr // no server to compare with: the client reconnects
	}
	if end := info.State.LastSeq; end < r.ch.next-1 {
		return pastTheEnd(r.ch.next, end)
	} else if end < r.ch.next {
		return nil // nothing was written
	}
	if r.missed != r.ch.next { // perhaps it was written just now, and is on its way
		r.missed = r.ch.next
		return nil
	}
	if _, err := getMsg(ctx, r.n.stream, r.ch.next); errors.Is(err, jetstream.ErrMsgNotFound) {
		return &CorruptError{Seq: r.ch.next, Reason: "it is missing"}
	}
	return errStalled
}
