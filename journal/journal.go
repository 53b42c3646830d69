package journal

import (
	"errors"
	"fmt"

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
	// ErrGone says that the journal was deleted, and perhaps made anew. What was in it is lost; a new handle begins with what there is.
	ErrGone = errors.New("the journal was deleted")
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
	return fmt.Sprintf("journal is corrupt at sequence %d: %s\n  hint: restore the stream %s from a backup (nats stream restore), or delete it (nats stream rm; "+
		"with the built-in server, move the data folder away): alertd then starts as if new", e.Seq, e.Reason, streamName)
}

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// Record is a commit and its place in the journal.
type Record struct {
	Seq    uint64 // of its last message; it grows from commit to commit, by one where each is one message
	Commit alertd.Commit
	Trace  string // the header traceparent of who appended it; "" where that was not traced
}
