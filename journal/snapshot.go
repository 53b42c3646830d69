package journal

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// snapshotBucket holds two snapshots, so that one is whole while the other is written.
const snapshotBucket = "ALERTD_SNAPSHOTS"

// slots are the names of the two. The older one is overwritten.
var slots = [...]string{"state-0", "state-1"}

// sequenceMeta is where an object's info says which sequence its snapshot is of. It only helps to choose: what
// counts is in the snapshot.
const sequenceMeta = "sequence"

// snapshotTimeout bounds the reading of one: an object that lost a part never ends.
const snapshotTimeout = 20 * time.Second

// savePatience bounds how often a save is tried again. Who saves waits, and decides nothing meanwhile.
const savePatience = 2 * time.Second

// slot is what is known of a kept snapshot without reading it.
type slot struct {
	name string
	seq  uint64
}

// SaveSnapshot keeps a state that folding the journal up to seq, inclusive, gave. It replaces an older snapshot as
// a whole or not at all; one that is not newer than what is kept already does nothing. The state is written once.
func (n *NATS) SaveSnapshot(ctx context.Context, seq uint64, state io.WriterTo) error {
	packed, size, err := packState(state)
	if err != nil {
		return err
	}
	n.log.Debug("snapshot packed", "seq", seq, "bytes", len(packed), "state_bytes", size)
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	patience := time.Now().Add(savePatience)
	return answered(ctx, func() error {
		err := n.save(ctx, seq, packed)
		if err == nil {
			return nil
		}
		n.forgetBucket() // should it be gone, the next attempt makes one
		if time.Now().After(patience) {
			return fmt.Errorf("not saved in %v: %v", savePatience, err) // whatever may pass, it is not waited for
		}
		return err
	})
}

// answered does what f does until a server answers: the bucket of a cluster that has just been made, or whose leader
// has just left, has nobody who would for a moment.
func answered(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil || !transient(err) || sleep(ctx, 100*time.Millisecond) != nil {
			return err
		}
	}
}

// save writes a packed state over the older of the two snapshots.
func (n *NATS) save(ctx context.Context, seq uint64, packed []byte) error {
	sum, err := n.sumAt(ctx, seq)
	if err != nil {
		return fmt.Errorf("snapshot: commit %d: %w", seq, err)
	}
	if err := sealSnapshot(packed, seq, sum); err != nil {
		return err
	}
	bucket, err := n.bucket(ctx)
	if err != nil {
		return err
	}
	kept, err := slotsOf(ctx, bucket)
	if err != nil {
		return err
	}
	last, err := n.Last(ctx)
	if err != nil {
		return err
	}
	for i := range kept {
		if kept[i].seq > last { // of a journal that is gone: the first to go
			kept[i].seq = 0
		}
	}
	newest := slices.MaxFunc(append(kept, slot{}), bySeq)
	if newest.seq >= seq {
		return nil
	}
	target := slots[0]
	if newest.name == target {
		target = slots[1]
	}
	w, err := bucket.Put(ctx, jetstream.ObjectMeta{Name: target, Metadata: map[string]string{sequenceMeta: strconv.FormatUint(seq, 10)}}, bytes.NewReader(packed))
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	n.log.Debug("snapshot saved", "seq", seq, "bytes", w.Size)
	return nil
}

// LoadSnapshot returns the newest state that is whole and belongs to this journal. Sequence 0 means that none was
// ever saved; ErrNoSnapshot that what was saved cannot be used.
func (n *NATS) LoadSnapshot(ctx context.Context) (uint64, []byte, error) {
	bucket, kept, err := n.kept(ctx)
	if err != nil {
		return 0, nil, err
	}
	slices.SortFunc(kept, func(a, b slot) int { return bySeq(b, a) })
	var why []error
	for _, s := range kept {
		seq, state, err := n.load(ctx, bucket, s.name)
		if err == nil {
			return seq, state, nil
		}
		if ctx.Err() != nil {
			return 0, nil, fmt.Errorf("snapshot: %w", context.Cause(ctx))
		}
		n.log.Warn("snapshot cannot be used", "seq", s.seq, "error", err)
		why = append(why, fmt.Errorf("%s: %w", s.name, err))
	}
	if why != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrNoSnapshot, errors.Join(why...))
	}
	return 0, nil, nil
}

// kept lists the snapshots that there are.
func (n *NATS) kept(ctx context.Context) (bucket jetstream.ObjectStore, kept []slot, err error) {
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	err = answered(ctx, func() (err error) {
		if bucket, err = n.bucket(ctx); err == nil {
			kept, err = slotsOf(ctx, bucket)
		}
		return err
	})
	return bucket, kept, err
}

// load reads one snapshot and compares it with the journal.
func (n *NATS) load(ctx context.Context, bucket jetstream.ObjectStore, name string) (uint64, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	b, err := bucket.GetBytes(ctx, name)
	if err != nil {
		return 0, nil, err
	}
	seq, sum, state, err := unpackSnapshot(b)
	if err != nil {
		return 0, nil, err
	}
	have, err := n.sumAt(ctx, seq)
	if err != nil {
		return 0, nil, fmt.Errorf("commit %d: %w", seq, err)
	}
	if have != sum {
		return 0, nil, fmt.Errorf("it is of another journal, or commit %d changed since", seq)
	}
	return seq, state, nil
}

// sumAt is the checksum of the commit at seq.
func (n *NATS) sumAt(ctx context.Context, seq uint64) (string, error) {
	msg, err := getMsg(ctx, n.stream, seq)
	if err != nil {
		return "", err
	}
	return sumOf(msg.Data), nil
}

// bucket opens the object store, and makes it with as many replicas as the journal has.
func (n *NATS) bucket(ctx context.Context) (jetstream.ObjectStore, error) {
	n.snapshotsMu.Lock()
	defer n.snapshotsMu.Unlock()
	if n.snapshots != nil {
		return n.snapshots, nil
	}
	b, err := n.js.ObjectStore(ctx, snapshotBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		b, err = n.js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{
			Bucket: snapshotBucket, Description: "alertd: state at a sequence of the journal",
			Storage: jetstream.FileStorage, Replicas: n.stream.CachedInfo().Config.Replicas,
		})
	}
	if err != nil {
		return nil, fmt.Errorf("snapshot: bucket %s: %w", snapshotBucket, err)
	}
	n.snapshots = b
	return b, nil
}

// forgetBucket makes the next one who needs it look for it.
func (n *NATS) forgetBucket() {
	n.snapshotsMu.Lock()
	defer n.snapshotsMu.Unlock()
	n.snapshots = nil
}

// slotsOf says which snapshots are kept.
func slotsOf(ctx context.Context, bucket jetstream.ObjectStore) (kept []slot, err error) {
	for _, name := range slots {
		info, err := bucket.GetInfo(ctx, name)
		if errors.Is(err, jetstream.ErrObjectNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("snapshot: %s: %w", name, err)
		}
		seq, _ := strconv.ParseUint(info.Metadata[sequenceMeta], 10, 64) // 0: tried last, overwritten first
		kept = append(kept, slot{name, seq})
	}
	return kept, nil
}

func bySeq(a, b slot) int { return cmp.Compare(a.seq, b.seq) }
