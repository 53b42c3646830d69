package journal

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"alertd"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What package natsbus calls them too; a test keeps the two together. Importing it would link a whole server into
// whoever only reads the journal.
const (
	streamName = "ALERTD_JOURNAL"
	subject    = "alertd.journal"
)

const (
	appendPatience  = 30 * time.Second      // of Append where ctx has no deadline
	attemptTimeout  = time.Second           // of one publish: embedded it takes 50 µs; a second attempt does no harm
	infoPatience    = 15 * time.Second      // of a question to the stream's leader; an election takes up to ten
	attemptPause    = 50 * time.Millisecond // between two
	goneEvery       = 10                    // attempts that nobody takes are as many as one question whether there still is a journal
	resolvePatience = 2 * time.Second       // beyond ctx, to find out what became of a commit
	stallTimeout    = 2 * time.Second       // a reader that hears nothing asks whether there is something
	directGetPause  = 20 * time.Millisecond // a replica may answer that lags behind the leader
	directGetTries  = 100
)

// NATS is the journal as one node sees it, in JetStream. It is safe for concurrent use, though only one goroutine should append:
// the commits of two would be a fold of nobody's.
type NATS struct {
	js     jetstream.JetStream
	stream jetstream.Stream
	made   time.Time // the stream
	node   string
	log    *slog.Logger

	mu    sync.Mutex
	tail  tail // what this handle has seen
	stale bool // the outcome of an append is unknown: only Replay can tell what is true

	recent recent // for Follow

	snapshotsMu sync.Mutex
	snapshots   jetstream.ObjectStore // nil until first used
}

// OpenNATS opens the journal in the stream ALERTD_JOURNAL, which has to exist. Its fence is at the present end. The
// node's name goes into the log only; a nil log is none.
func OpenNATS(ctx context.Context, js jetstream.JetStream, node string, log *slog.Logger) (*NATS, error) {
	n := &NATS{js: js, node: node, log: cmp.Or(log, slog.New(slog.DiscardHandler)).With("node", node)}
	var err error
	if n.stream, err = js.Stream(ctx, streamName); err != nil {
		return nil, fmt.Errorf("journal: stream %s: %w", streamName, err)
	}
	n.made = n.stream.CachedInfo().Created
	if n.tail, err = readTail(ctx, n.stream); err != nil {
		return nil, err
	}
	return n, nil
}

// readTail asks the stream's leader where the journal ends, and reads what is there.
func readTail(ctx context.Context, s jetstream.Stream) (tail, error) {
	info, err := infoOf(ctx, s)
	if err != nil {
		return tail{}, err
	}
	last := info.State.LastSeq
	if last == 0 {
		return tail{}, nil
	}
	msg, err := getMsg(ctx, s, last)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return tail{}, &CorruptError{Seq: last, Reason: "the last commit was deleted"}
	}
	if err != nil {
		return tail{}, fmt.Errorf("journal: commit %d: %w", last, err)
	}
	return tailAt(last, msg.Header.Get(formatHeader), msg.Data), nil
}

// infoOf asks the stream's leader how the stream is. A question that got lost with a connection, or that met an
// election, is asked again.
func infoOf(ctx context.Context, s jetstream.Stream) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, infoPatience)
	defer cancel()
	for {
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		info, err := s.Info(attempt)
		cancel()
		if err == nil {
			return info, nil
		}
		if !transient(err) || sleep(ctx, attemptPause) != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
	}
}

// Made is when the journal was made, by the clock of NATS. It tells a journal from another one in its place.
func (n *NATS) Made() time.Time { return n.made }

// info asks the stream's leader how the journal is, if it still is.
func (n *NATS) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	info, err := infoOf(ctx, n.stream)
	return info, n.orGone(info, err)
}

// orGone makes an error of an answer that is not about this journal.
func (n *NATS) orGone(info *jetstream.StreamInfo, err error) error {
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("%w: %w", ErrGone, err)
	case err == nil && !info.Created.Equal(n.made):
		return fmt.Errorf("%w and made anew at %s", ErrGone, info.Created.UTC().Format(time.RFC3339))
	default:
		return err
	}
}

// gone reports whether the server says that there is no journal. No answer is no.
func (n *NATS) gone(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	if _, err := n.js.Stream(ctx, streamName); errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return nil
}

// getMsg reads one message that is known to exist. A replica that has not got it yet is asked again.
func getMsg(ctx context.Context, s jetstream.Stream, seq uint64) (*jetstream.RawStreamMsg, error) {
	tries := directGetTries
	if info := s.CachedInfo(); info.Config.Replicas <= 1 {
		tries = 1
	}
	for {
		msg, err := s.GetMsg(ctx, seq)
		if tries--; tries <= 0 || !errors.Is(err, jetstream.ErrMsgNotFound) {
			return msg, err
		}
		if err := sleep(ctx, directGetPause); err != nil {
			return nil, err
		}
	}
}

// Append publishes one commit, as a whole or not at all, and returns its sequence. It fills in c.Prev. The entries may be handed to Follow as they
// are, so nobody changes them any more. An error that is none of ErrFenced, ErrUnknown, ErrTooLarge, ErrInvalid and ErrGone means
// that nothing was appended, and the same commit may be tried again. Append waits for a server that is away for as long
// as ctx lets it, half a minute where ctx has no deadline.
func (n *NATS) Append(ctx context.Context, c alertd.Commit) (uint64, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if ctx.Err() != nil {
		return 0, fmt.Errorf("journal: nothing appended: %w", context.Cause(ctx))
	}
	if n.stale {
		return 0, fmt.Errorf("%w: of an earlier one; replay the journal first", ErrUnknown)
	}
	err := n.tail.extend(c, func(m message) error {
		if m.commit != nil { // before it is published: the reader may be quicker than the acknowledgement
			n.recent.put(m.after, m.text, *m.commit)
		}
		return n.publish(ctx, m, n.tail.seq)
	})
	if err != nil {
		n.stale = errors.Is(err, ErrUnknown)
		return 0, err
	}
	return n.tail.seq, nil
}

// publish appends a message behind the sequence last, exactly once.
//
// An attempt without an answer may have succeeded. The same message with the same expectation can be sent again
// safely: at most one of the two is accepted, and when one is refused, what stands behind last tells which. That also
// holds for an attempt that a reconnecting client still has in its buffer.
func (n *NATS) publish(ctx context.Context, m message, last uint64) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, appendPatience)
		defer cancel()
	}
	sent := false // an attempt was made whose outcome is unknown
	told := false // that it has to be tried again
	unheard := 0  // attempts that nobody took
	for base := ctx; ; {
		attempt, cancel := context.WithTimeout(base, attemptTimeout)
		_, err := n.js.PublishMsg(attempt, m.to(last), jetstream.WithRetryAttempts(0))
		cancel()

		api, isAPI := errors.AsType[*jetstream.APIError](err)
		switch {
		case err == nil:
			return nil
		case refusedForSequence(err) && !sent:
			return fmt.Errorf("%w: sequence %d is not the last one any more", ErrFenced, last)
		case refusedForSequence(err):
			return n.whose(base, m.body, last+1)
		case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum):
			return fmt.Errorf("%w: %d bytes are more than the NATS server takes: %w\n  hint: set max_payload: 1MB in its configuration", ErrTooLarge, len(m.body), err)
		case isAPI && !temporary(api), errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining):
			if sent { // this attempt came to nothing, but what of the earlier one?
				return n.whose(base, m.body, last+1)
			}
			return fmt.Errorf("journal: nothing appended: %w%s", err, hintOf(api))
		case isAPI, errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
			// Nobody has taken the message: there is no leader, and electing one takes some seconds, or no stream.
			if unheard++; unheard%goneEvery == 0 {
				if err := n.gone(base); err != nil {
					return err
				}
			}
		case !sent:
			// From here on the end of ctx is not at once the end of the question what became of the message.
			sent = true
			later, cancel := context.WithCancel(context.WithoutCancel(ctx))
			defer cancel()
			defer context.AfterFunc(ctx, func() { time.AfterFunc(resolvePatience, cancel) })()
			base = later
		}
		if !told {
			told = true
			n.log.Warn("journal does not answer, trying again", "after", last, "error", err)
		}
		if sleep(base, attemptPause) == nil {
			continue
		}
		if sent {
			return fmt.Errorf("%w: sequence %d: %w", ErrUnknown, last+1, err)
		}
		return fmt.Errorf("journal: nothing appended: %w", err)
	}
}

// to is the message as it goes behind the sequence last. It is a new one at each call: the client writes into the header.
func (m message) to(last uint64) *nats.Msg {
	return &nats.Msg{Subject: subject, Data: m.body, Header: nats.Header{
		formatHeader:                    {m.format},
		jetstream.ExpectedStreamHeader:  {streamName},
		jetstream.ExpectedLastSeqHeader: {strconv.FormatUint(last, 10)},
	}}
}

// temporary reports whether the server says that it cannot now, before it has taken the message.
func temporary(api *jetstream.APIError) bool {
	const (
		noPeers      = 10005
		notAvailable = 10008
		notLeader    = 10009
	)
	return api.ErrorCode == noPeers || api.ErrorCode == notAvailable || api.ErrorCode == notLeader
}

// hintOf is what to do about what the server says of a message.
func hintOf(api *jetstream.APIError) string {
	const (
		noResources     = 10023
		storageExceeded = 10047
		notStored       = 10077
	)
	if api != nil && (api.ErrorCode == noResources || api.ErrorCode == storageExceeded || api.ErrorCode == notStored) {
		return "\n  hint: the stream " + streamName + ", its account or the server is at its limit: nats stream info " + streamName +
			", nats account info; give it more room, or keep less (history.retention, events.max_bytes)"
	}
	return ""
}

// whose looks at the message at seq: nil if it is body, ErrFenced if it is another's.
func (n *NATS) whose(ctx context.Context, body []byte, seq uint64) error {
	msg, err := getMsg(ctx, n.stream, seq)
	switch {
	case err != nil:
		return fmt.Errorf("%w: sequence %d: %w", ErrUnknown, seq, err)
	case bytes.Equal(msg.Data, body):
		return nil
	default:
		return fmt.Errorf("%w: sequence %d is another's", ErrFenced, seq)
	}
}

// refusedForSequence reports whether the expected last sequence was not the last one. Replicated streams have a
// code of their own for it.
func refusedForSequence(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// Last is the sequence of the newest message; 0 while there is none.
func (n *NATS) Last(ctx context.Context) (uint64, error) {
	info, err := n.info(ctx)
	if err != nil {
		return 0, err
	}
	return info.State.LastSeq, nil
}

// Replay calls fn for every commit from sequence from (1 is the first) to the newest at the time of the call, in
// order, and moves the fence to it. It ends with ErrCorrupt at the first commit that cannot be trusted; with from
// past the end, too: what the caller has seen is lost. With from among what was trimmed, it is ErrTrimmed.
func (n *NATS) Replay(ctx context.Context, from uint64, fn func(seq uint64, c alertd.Commit) error) error {
	from = max(from, 1)
	info, err := n.info(ctx)
	if err != nil {
		return err
	}
	if gone := trimmed(info); from <= gone {
		return errTrimmed(from, gone)
	}
	end, err := n.scan(ctx, from, info.State.LastSeq, nil, func(batch []Record) error {
		for _, r := range batch {
			if err := fn(r.Seq, r.Commit); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tail, n.stale = end, false
	return nil
}

// Follow is Replay that goes on until ctx ends, then returns its cause, and does not move the fence. It calls fn
// with what is waiting: at least one record, at most a few hundred. What was trimmed it leaves out.
func (n *NATS) Follow(ctx context.Context, from uint64, fn func([]Record) error) error {
	_, err := n.scan(ctx, max(from, 1), forEver, &n.recent, fn)
	return err
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
