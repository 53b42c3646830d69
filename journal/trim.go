package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// trimmedKey is where the stream's metadata says up to which sequence commits were forgotten on purpose. It is written before
// anything is deleted, so that a commit that is missing without it is one that was lost.
const trimmedKey = "alertd_trimmed"

// ErrTrimmed says that commits are asked for that were forgotten on purpose, and that folding needs.
var ErrTrimmed = errors.New("the journal does not reach back so far any more")

func errTrimmed(from, trimmed uint64) error {
	return fmt.Errorf("%w: commit %d is asked for, those up to %d were trimmed, and no snapshot that is whole holds them", ErrTrimmed, from, trimmed)
}

// Trim forgets the commits from before an instant that both snapshots hold, and returns the sequence of the last
// one; 0 if there was nothing to forget.
func (n *NATS) Trim(ctx context.Context, before time.Time) (uint64, error) {
	_, kept, err := n.kept(ctx)
	if err != nil || len(kept) < len(slots) {
		return 0, err
	}
	info, err := n.info(ctx)
	if err != nil {
		return 0, err
	}
	last, err := lastBefore(before, info.State.FirstSeq, slices.MinFunc(kept, bySeq).seq, func(seq uint64) (time.Time, error) {
		msg, err := getMsg(ctx, n.stream, seq)
		if err != nil {
			return time.Time{}, fmt.Errorf("journal: commit %d: %w", seq, err)
		}
		h, err := headOf(msg.Header.Get(formatHeader), msg.Data)
		return h.Time, err
	})
	if err != nil || last == 0 {
		return 0, err
	}
	config := info.Config
	if config.Metadata == nil {
		config.Metadata = map[string]string{}
	}
	config.Metadata[trimmedKey] = strconv.FormatUint(last, 10)
	if _, err := n.js.UpdateStream(ctx, config); err != nil {
		return 0, fmt.Errorf("journal: trim: %w", err)
	}
	if err := n.stream.Purge(ctx, jetstream.WithPurgeSequence(last+1)); err != nil {
		return 0, fmt.Errorf("journal: trim: %w", err)
	}
	return last, nil
}

// lastBefore is the last commit in [from, to) that was written before an instant; 0 if there is none. Commits are in the order of their
// time, but for a clock that was set back, which makes it forget less.
func lastBefore(before time.Time, from, to uint64, at func(uint64) (time.Time, error)) (last uint64, err error) {
	for from < to {
		middle := from + (to-from)/2
		t, err := at(middle)
		if err != nil {
			return 0, err
		}
		if t.Before(before) {
			last, from = middle, middle+1
		} else {
			to = middle
		}
	}
	return last, nil
}

// trimmed is up to where a stream was trimmed; 0: it never was.
func trimmed(info *jetstream.StreamInfo) uint64 {
	n, _ := strconv.ParseUint(info.Config.Metadata[trimmedKey], 10, 64) // 0 where somebody else wrote it: then what is missing is lost
	return n
}
