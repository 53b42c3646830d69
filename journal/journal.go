package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"alertd"
)

// MaxMessage bounds a message's body, in bytes.
const MaxMessage = 512 << 10

// The errors that callers tell apart with errors.Is.
var (
	// ErrFenced says that another node has written, or that this one's epoch is over: nothing was appended.
	ErrFenced = errors.New("another node has written to the journal")
	// ErrUnknown says that a commit may be in the journal and may not, and that it could not be found out in time.
	ErrUnknown = errors.New("outcome of the append is unknown")
	// ErrTooLarge says that the server takes no message of MaxMessage, or that a commit is larger than half a gigabyte.
	ErrTooLarge = errors.New("commit is too large")
	// ErrInvalid says that a commit cannot be written as it is, now or ever.
	ErrInvalid = errors.New("commit is not valid")
	// ErrCorrupt says that the journal is not what was written. The error is a *CorruptError.
	ErrCorrupt = errors.New("journal is corrupt")
	// ErrNoSnapshot says that there are snapshots, but none that is whole and fits the journal: fold from the start.
	ErrNoSnapshot = errors.New("no usable snapshot")
)

// CorruptError says where the journal is not what was written. It is an [ErrCorrupt].
type CorruptError struct {
	Seq    uint64 // of the first commit that cannot be trusted
	Reason string
}

// Error is for people.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("journal is corrupt at sequence %d: %s", e.Seq, e.Reason)
}

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// Record is a commit and its place in the journal.
type Record struct {
	Seq    uint64 // of its last message; it grows from commit to commit, by one where each is one message
	Commit alertd.Commit
	Trace  string // the header traceparent of who appended it; "" where that was not traced
}

// Log is the journal as one node sees it. It is safe for concurrent use, though only one goroutine should append:
// the commits of two would be a fold of nobody's.
type Log interface {
	// Append publishes one commit, as a whole or not at all, and returns its sequence. It fills in c.Prev. The entries may be handed to Follow as they
	// are, so nobody changes them any more. An error that is none of ErrFenced, ErrUnknown, ErrTooLarge and ErrInvalid means
	// that nothing was appended, and the same commit may be tried again. Append waits for a server that is away for as long
	// as ctx lets it, half a minute where ctx has no deadline.
	Append(ctx context.Context, c alertd.Commit) (uint64, error)

	// Replay calls fn for every commit from sequence from (1 is the first) to the newest at the time of the call, in
	// order, and moves the fence to it. It ends with ErrCorrupt at the first commit that cannot be trusted; with from
	// past the end, too: what the caller has seen is lost. With from among what was trimmed, it is ErrTrimmed.
	Replay(ctx context.Context, from uint64, fn func(seq uint64, c alertd.Commit) error) error

	// Follow is Replay that goes on until ctx ends, then returns its cause, and does not move the fence. It calls fn
	// with what is waiting: at least one record, at most a few hundred. What was trimmed it leaves out.
	Follow(ctx context.Context, from uint64, fn func([]Record) error) error

	// Last is the sequence of the newest message; 0 while there is none.
	Last(ctx context.Context) (uint64, error)

	// SaveSnapshot keeps a state that folding the journal up to seq, inclusive, gave. It replaces an older snapshot as
	// a whole or not at all; one that is not newer than what is kept already does nothing. The state is written once.
	SaveSnapshot(ctx context.Context, seq uint64, state io.WriterTo) error

	// LoadSnapshot returns the newest state that is whole and belongs to this journal. Sequence 0 means that none was
	// ever saved; ErrNoSnapshot that what was saved cannot be used.
	LoadSnapshot(ctx context.Context) (seq uint64, state []byte, err error)

	// Trim forgets the commits from before an instant that both snapshots hold, and returns the sequence of the last
	// one; 0 if there was nothing to forget.
	Trim(ctx context.Context, before time.Time) (seq uint64, err error)
}
