package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	leaseBucket  = "ALERTD_LEASE"
	leaseKey     = "leader"
	leaseSubject = "$KV." + leaseBucket + "." + leaseKey
	markerTTL    = time.Minute // how long the server remembers that a lease ran out
	releaseTime  = 2 * time.Second
)

// Lease says that this node leads. It is renewed in the background until it is lost or released. It only saves wasted
// work: what keeps two leaders from deciding both is the fence of [NATS.Append]. A Lease is safe for concurrent use.
type Lease struct {
	js    jetstream.JetStream
	kv    jetstream.KeyValue
	value []byte
	epoch uint64
	ttl   time.Duration

	lost   chan struct{}
	cancel context.CancelFunc
	done   chan struct{} // closed when the renewal has ended

	mu  sync.Mutex
	rev uint64 // of our last write
}

// holder is the value of the key.
type holder struct {
	Node string `json:"node"`
	// Term tells two leases of one node apart: the revision that the node found before it wrote.
	Term uint64 `json:"term"`
}

// AcquireLease blocks until this node leads or ctx ends. The bucket ALERTD_LEASE is made if need be, with as many
// replicas as the journal. A leader that dies is followed after ttl at most (whole seconds, at least one), one that
// releases at once. The names of nodes must differ: a lease that bears our own name is what we held before we were
// restarted, and is taken over without waiting.
func AcquireLease(ctx context.Context, js jetstream.JetStream, node string, ttl time.Duration) (*Lease, error) {
	ttl = max((ttl + time.Second - 1).Truncate(time.Second), time.Second) // the server counts in seconds
	var kv jetstream.KeyValue
	err := answered(ctx, func() (err error) {
		kv, err = openLeaseBucket(ctx, js)
		return err
	})
	if err != nil {
		return nil, err
	}
	l := &Lease{js: js, kv: kv, ttl: ttl, lost: make(chan struct{}), done: make(chan struct{})}
	for {
		since := time.Now()
		ok, err := l.try(ctx, node)
		if err != nil && ctx.Err() == nil && !transient(err) {
			return nil, fmt.Errorf("lease: %w", err)
		}
		if ok {
			if l.epoch, err = epochAfter(ctx, js, l.rev); err != nil {
				return nil, errors.Join(err, l.drop(ctx))
			}
			renewal, cancel := context.WithCancel(context.WithoutCancel(ctx))
			l.cancel = cancel
			go l.renew(renewal, since)
			return l, nil
		}
		if err := sleep(ctx, min(ttl/4, 500*time.Millisecond)); err != nil {
			return nil, err
		}
	}
}

// openLeaseBucket opens the bucket or makes it.
func openLeaseBucket(ctx context.Context, js jetstream.JetStream) (jetstream.KeyValue, error) {
	kv, err := js.KeyValue(ctx, leaseBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		replicas := 1
		if s, err := js.Stream(ctx, streamName); err == nil {
			replicas = s.CachedInfo().Config.Replicas
		}
		kv, err = js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: leaseBucket, Description: "alertd: which node leads", History: 1,
			Storage: jetstream.FileStorage, Replicas: replicas, LimitMarkerTTL: markerTTL,
		})
	}
	if err != nil {
		return nil, fmt.Errorf("lease: bucket %s: %w\n  hint: it needs nats-server 2.11 or newer, and a user that may publish to $JS.API.> and $KV.%s.>", leaseBucket, err, leaseBucket)
	}
	return kv, nil
}

// try takes the lease if nobody has it.
func (l *Lease) try(ctx context.Context, node string) (bool, error) {
	found, err := l.kv.Get(ctx, leaseKey)
	var before uint64
	switch {
	case err == nil:
		var h holder
		if json.Unmarshal(found.Value(), &h) == nil && h.Node != node {
			return false, nil
		}
		before = found.Revision()
	case !errors.Is(err, jetstream.ErrKeyNotFound):
		return false, err
	}
	if l.value, err = json.Marshal(holder{Node: node, Term: before}); err != nil {
		return false, err
	}
	if before != 0 {
		l.rev, err = l.put(ctx, before)
	} else {
		l.rev, err = l.kv.Create(ctx, leaseKey, l.value, jetstream.KeyTTL(l.ttl))
	}
	if errors.Is(err, jetstream.ErrKeyExists) || refusedForSequence(err) {
		return false, nil // somebody was quicker
	}
	return err == nil, err
}

// put writes the value behind the revision before. The library's Update would lose the TTL.
func (l *Lease) put(ctx context.Context, before uint64) (uint64, error) {
	ack, err := l.js.PublishMsg(ctx, &nats.Msg{Subject: leaseSubject, Data: l.value},
		jetstream.WithMsgTTL(l.ttl), jetstream.WithExpectLastSequencePerSubject(before))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// epochAfter makes an epoch of a revision. Revisions grow with each acquisition; added to the epoch that the
// journal ends with they also do when the bucket was lost and counts from 1 again.
func epochAfter(ctx context.Context, js jetstream.JetStream, rev uint64) (uint64, error) {
	s, err := js.Stream(ctx, streamName)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return rev, nil
	}
	if err != nil {
		return 0, fmt.Errorf("lease: %w", err)
	}
	end, err := readTail(ctx, s)
	if err != nil {
		return 0, fmt.Errorf("lease: %w", err)
	}
	return end.epoch + rev, nil
}

// renew writes the value again and again. It gives up a ttl after the start of the last write that succeeded, which
// is before the server does: from then on another node may lead.
func (l *Lease) renew(ctx context.Context, since time.Time) {
	defer close(l.done)
	defer close(l.lost)
	for pause := l.ttl / 3; ; {
		if sleep(ctx, min(pause, time.Until(since.Add(l.ttl)))) != nil || time.Since(since) >= l.ttl {
			return
		}
		begin := time.Now()
		attempt, cancel := context.WithDeadline(ctx, since.Add(l.ttl))
		rev, err := l.put(attempt, l.revision())
		if err == nil {
			l.setRevision(rev)
			since, pause = begin, l.ttl/3
			cancel()
			continue
		}
		if refusedForSequence(err) && !l.stillOurs(attempt) {
			cancel()
			return
		}
		cancel()
		pause = l.ttl / 20
	}
}

// stillOurs looks whether what stands there is our own: a write whose answer was lost. It is then the revision to go
// on from.
func (l *Lease) stillOurs(ctx context.Context) bool {
	found, err := l.kv.Get(ctx, leaseKey)
	if err != nil {
		return !errors.Is(err, jetstream.ErrKeyNotFound)
	}
	if string(found.Value()) != string(l.value) {
		return false
	}
	l.setRevision(found.Revision())
	return true
}

func (l *Lease) revision() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rev
}

func (l *Lease) setRevision(rev uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rev = rev
}

// Epoch is larger than that of every earlier lease, and than that of the last commit when the lease was acquired.
func (l *Lease) Epoch() uint64 { return l.epoch }

// Lost is closed when the lease is not ours any more: it could not be renewed, another node has it, or it was
// released.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Release ends the lease, so that another node can lead at once. Releasing a lease that is lost does nothing.
func (l *Lease) Release(ctx context.Context) error {
	select {
	case <-l.lost:
		return nil
	default:
	}
	l.cancel()
	<-l.done
	return l.drop(ctx)
}

// drop deletes the key if it is still ours.
func (l *Lease) drop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	for {
		err := l.kv.Delete(ctx, leaseKey, jetstream.LastRevision(l.revision()))
		switch {
		case err == nil, errors.Is(err, jetstream.ErrKeyNotFound):
			return nil
		case !refusedForSequence(err):
			return fmt.Errorf("lease: release: %w", err)
		case !l.stillOurs(ctx): // else the last renewal arrived after all, and there is a newer revision
			return nil
		}
	}
}

// transient reports whether an error goes away by itself: no server, no leader, no answer in time.
func transient(err error) bool {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return temporary(api)
	}
	return errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrNoResponders) ||
		errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrDisconnected) || errors.Is(err, nats.ErrConnectionReconnecting)
}
