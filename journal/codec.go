package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"alertd"

	"github.com/klauspost/compress/zstd"
)

// The header that names the format of a message's body.
const (
	formatHeader = "Alertd-Journal"
	formatWhole  = "1" // a commit
	formatPart   = "2" // a part of one, see part
	formatPacked = "3" // a commit, see pack
)

// encode writes a commit's body.
func encode(c alertd.Commit) ([]byte, error) {
	for i := range c.Entries {
		if n := c.Entries[i].Decisions(); n != 1 {
			return nil, fmt.Errorf("%w: entry %d of %d holds %d decisions instead of one", ErrInvalid, i+1, len(c.Entries), n)
		}
	}
	b, err := marshal(&c)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if len(b) > maxParts*maxPart {
		return nil, fmt.Errorf("%w: %d bytes of at most %d, in %d entries", ErrTooLarge, len(b), maxParts*maxPart, len(c.Entries))
	}
	return b, nil
}

// decode reads what encode wrote. It is not trusted to be that: any body gives a commit or an error.
func decode(b []byte) (c alertd.Commit, err error) {
	if err := json.Unmarshal(b, &c); err != nil {
		return alertd.Commit{}, err
	}
	for i := range c.Entries {
		if n := c.Entries[i].Decisions(); n != 1 {
			return alertd.Commit{}, fmt.Errorf("entry %d holds %d decisions that this version knows, instead of one", i+1, n)
		}
	}
	return c, nil
}

// sumOf is the checksum that the next commit carries.
func sumOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// tail is the end of the journal as a writer knows it.
type tail struct {
	seq   uint64
	sum   string // of the body at seq; "" for an empty journal
	epoch uint64
}

// next is the body of the commit that comes after the tail, however long it is.
func (t tail) next(c alertd.Commit) ([]byte, error) {
	if c.Epoch < t.epoch {
		return nil, fmt.Errorf("%w: epoch %d is over, the last commit is of epoch %d", ErrFenced, c.Epoch, t.epoch)
	}
	c.Prev = t.sum
	return encode(c)
}

// chain checks messages one by one, and puts together the commits that take several.
type chain struct {
	next  uint64 // the sequence that has to come
	sum   string // of the one before
	known bool   // whether sum is; else the next message is taken as it is
	epoch uint64
	own   *recent // what need not be decoded; nil: nothing

	open  []byte // of a commit whose last part is to come
	parts int    // how many of its parts there were; 0: none is open
	begun bool   // a commit has begun, so that whatever goes on is one whose beginning was seen
}

// check takes the next message. If a commit ends with it, it returns that, and true.
func (ch *chain) check(seq uint64, format string, body []byte) (c alertd.Commit, ends bool, err error) {
	corrupt := func(format string, v ...any) (alertd.Commit, bool, error) {
		return alertd.Commit{}, false, &CorruptError{Seq: ch.next, Reason: fmt.Sprintf(format, v...)}
	}
	if seq != ch.next {
		return corrupt("the next commit is %d, what lies between is missing", seq)
	}
	var h head
	text := body // of the commit that ends here
	switch format {
	case formatWhole, formatPacked:
		ch.drop()
		ends = true
	case formatPart:
		if h, text, ends, err = ch.part(body); err != nil {
			return corrupt("%v", err)
		}
	default:
		return corrupt("format %q is not one that this version of alertd reads (%s, %s, %s)", format, formatWhole, formatPart, formatPacked)
	}
	sum := sumOf(body)
	if ends {
		own := false
		c, own = ch.own.take(seq, sum)
		if !own && format == formatPacked {
			if text, err = unpack(body); err != nil {
				return corrupt("%v", err)
			}
		}
		if !own {
			if c, err = decode(text); err != nil {
				return corrupt("%v", err)
			}
		}
	}
	if format != formatPart {
		h.Epoch, h.Prev = c.Epoch, c.Prev
	}
	if ch.known && h.Prev != ch.sum {
		return corrupt("it does not follow the commit before it: its checksum says %.12q, that of %d is %.12q", h.Prev, seq-1, ch.sum)
	}
	ch.next, ch.sum, ch.known, ch.epoch = seq+1, sum, true, h.Epoch
	return c, ends, nil
}

// startOf is the chain of a reader that wants to have from next, and the sequence at which it has to begin to
// read: one earlier, because a commit is checked against its predecessor.
func startOf(from uint64) chain {
	if from <= 1 {
		return chain{next: 1, known: true}
	}
	return chain{next: from - 1}
}

// pastTheEnd is what a reader gets who has seen more than there is.
func pastTheEnd(from, last uint64) error {
	return &CorruptError{Seq: last + 1, Reason: fmt.Sprintf("it ends at %d, but %d was read before: commits are lost", last, from-1)}
}

// A snapshot is: the magic, the sequence (8 bytes, big-endian), the checksum of the commit there, the checksum of
// what follows, and the state, compressed.
const (
	snapshotMagic = "alertd-snapshot-1\n"
	snapshotHead  = len(snapshotMagic) + 8 + sha256.Size + sha256.Size
	maxState      = 1 << 30 // bytes of an unpacked state: a bound for a damaged or hostile one
)

// zstdReader is safe for concurrent use and costs much to make.
var zstdReader = sync.OnceValue(func() *zstd.Decoder {
	r, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxState), zstd.WithDecoderConcurrency(1))
	if err != nil {
		panic(err) // only for options that do not exist
	}
	return r
})

// packState compresses a state, behind the room that sealSnapshot needs, and says how many bytes it had before. It never has
// all of them in memory.
func packState(state io.WriterTo) (b []byte, size int64, err error) {
	var packed bytes.Buffer
	packed.Write(make([]byte, snapshotHead))
	w, err := zstd.NewWriter(&packed, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	if err != nil {
		return nil, 0, fmt.Errorf("snapshot: %w", err)
	}
	size, err = state.WriteTo(&bounded{w, maxState})
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, size, fmt.Errorf("snapshot: %w", err)
	}
	return packed.Bytes(), size, nil
}

// bounded refuses what is more than left.
type bounded struct {
	to   io.Writer
	left int
}

func (w *bounded) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		return 0, fmt.Errorf("a state is larger than %d bytes", maxState)
	}
	return w.to.Write(b)
}

// sealSnapshot says in the head of a packed state what it is of.
func sealSnapshot(b []byte, seq uint64, sum string) error {
	rawSum, err := hex.DecodeString(sum)
	if err != nil || len(rawSum) != sha256.Size {
		return fmt.Errorf("snapshot: %q is not a checksum", sum)
	}
	own := sha256.Sum256(b[snapshotHead:])
	head := binary.BigEndian.AppendUint64(append(b[:0], snapshotMagic...), seq)
	head = append(head, rawSum...)
	_ = append(head, own[:]...)
	return nil
}

// unpackSnapshot reads what packState and sealSnapshot wrote, or says that it is something else.
func unpackSnapshot(b []byte) (seq uint64, sum string, state []byte, err error) {
	if len(b) < snapshotHead || !bytes.HasPrefix(b, []byte(snapshotMagic)) {
		return 0, "", nil, errors.New("not a snapshot of this version")
	}
	own := sha256.Sum256(b[snapshotHead:])
	if !bytes.Equal(own[:], b[snapshotHead-sha256.Size:snapshotHead]) {
		return 0, "", nil, errors.New("damaged: wrong checksum")
	}
	seq = binary.BigEndian.Uint64(b[len(snapshotMagic):])
	at := len(snapshotMagic) + 8
	sum = hex.EncodeToString(b[at : at+sha256.Size])
	if state, err = zstdReader().DecodeAll(b[snapshotHead:], nil); err != nil {
		return 0, "", nil, fmt.Errorf("damaged: %w", err)
	}
	return seq, sum, state, nil
}
