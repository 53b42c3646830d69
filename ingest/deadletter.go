package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/time/rate"

	"alertd"
)

// The stream that keeps dead letters, and its subject.
const (
	DeadLetterStream  = "ALERTD_DEADLETTERS"
	deadLetterSubject = "alertd.deadletters"
)

const (
	maxLetters     = 10_000
	maxLetterBytes = 64 << 20
	lettersPerSec  = 100 // kept; a publisher who sends nonsense at full speed must not slow the others down
	letterBurst    = 1000
)

// DeadLetters keeps the newest 10,000 dead letters in a stream. Safe for concurrent use.
type DeadLetters struct {
	js    jetstream.JetStream
	limit *rate.Limiter

	mu      sync.Mutex
	skipped int // not kept, to be told with the next that is
}

// EnsureDeadLetters makes the stream ALERTD_DEADLETTERS where there is none; one that exists stays as it is.
func EnsureDeadLetters(ctx context.Context, js jetstream.JetStream) (*DeadLetters, error) {
	d := &DeadLetters{js: js, limit: rate.NewLimiter(lettersPerSec, letterBurst)}
	_, err := js.Stream(ctx, DeadLetterStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = js.CreateStream(ctx, jetstream.StreamConfig{
			Name:        DeadLetterStream,
			Description: "alertd: events that it could not read, with the reason",
			Subjects:    []string{deadLetterSubject},
			MaxMsgs:     maxLetters,
			MaxBytes:    maxLetterBytes,
			Discard:     jetstream.DiscardOld,
			AllowDirect: true,
		})
	}
	const storageExceeded = 10047
	if api, ok := errors.AsType[*jetstream.APIError](err); ok && api.ErrorCode == storageExceeded {
		err = fmt.Errorf("%w\n  hint: make room on the disk of the data folder, or raise max_file_store of a server of your own", err)
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", DeadLetterStream, err)
	}
	return d, nil
}

// Publish keeps a dead letter. Beyond 100 a second (after the first 1000) letters are counted only; the next one
// that is kept follows one that says how many were not. A letter that is published again within two minutes is kept
// once.
func (d *DeadLetters) Publish(ctx context.Context, dl alertd.DeadLetter) error {
	d.mu.Lock()
	if !d.limit.Allow() {
		d.skipped++
		d.mu.Unlock()
		return nil
	}
	skipped := d.skipped
	d.skipped = 0
	d.mu.Unlock()

	if skipped > 0 {
		note := alertd.DeadLetter{
			Subject: dl.Subject, Time: dl.Time,
			Reason: fmt.Sprintf("%d dead letters before this one were not kept: they came faster than %d a second", skipped, lettersPerSec),
		}
		if err := d.publish(ctx, note); err != nil {
			d.mu.Lock()
			d.skipped += skipped
			d.mu.Unlock()
			return err
		}
	}
	return d.publish(ctx, dl)
}

func (d *DeadLetters) publish(ctx context.Context, dl alertd.DeadLetter) error {
	body, err := json.Marshal(dl)
	if err != nil {
		return fmt.Errorf("dead letter: %w", err)
	}
	var opts []jetstream.PublishOpt
	if dl.Seq > 0 { // after a restart the same event is read again
		h := fnv.New64a()
		h.Write(body)
		opts = append(opts, jetstream.WithMsgID(fmt.Sprintf("%d-%016x", dl.Seq, h.Sum64())))
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if _, err := d.js.Publish(ctx, deadLetterSubject, body, opts...); err != nil {
		return fmt.Errorf("dead letter: %w", err)
	}
	return nil
}

// List returns the newest dead letters, newest first, at most limit of them.
func (d *DeadLetters) List(ctx context.Context, limit int) ([]alertd.DeadLetter, error) {
	stream, err := d.js.Stream(ctx, DeadLetterStream)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", DeadLetterStream, err)
	}
	state := stream.CachedInfo().State
	list := []alertd.DeadLetter{}
	for seq := state.LastSeq; seq >= max(state.FirstSeq, 1) && len(list) < limit; seq-- {
		msg, err := stream.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // deleted, or pushed out just now
		}
		if err != nil {
			return nil, fmt.Errorf("stream %s: %w", DeadLetterStream, err)
		}
		var dl alertd.DeadLetter
		if err := json.Unmarshal(msg.Data, &dl); err != nil { // anybody may publish there
			dl = alertd.DeadLetter{Subject: msg.Subject, Time: msg.Time.UTC().Truncate(time.Millisecond), Reason: "not a dead letter of alertd", Excerpt: alertd.ExcerptOf(msg.Data)}
		}
		list = append(list, dl)
	}
	return list, nil
}
