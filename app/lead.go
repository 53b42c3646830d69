package app

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"alertd/journal"
)

const (
	// leaseTTL is how long a leader may be silent before another node takes over.
	leaseTTL = 2 * time.Second
	// With a NATS server of its own a daemon has no rival. Whatever name it has after a crash, it goes on at once; what it has to fear is to
	// lose the lead to nobody, where the machine is too busy to renew a lease in time.
	aloneTTL  = 30 * time.Second
	aloneName = "alone"
	// A node that could lead, but for something that NATS lacks or refuses, tries again after firstRetry, and seldomer up to lastRetry.
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

var errLeaseLost = errors.New("the lease is lost")

// lead becomes the leader, leads, and stands by again when another node has taken over. It ends with ctx, after what is on its
// way has been answered or given up. Before the daemon is ready it ends with the first error, for who starts it to see; later
// it says what is wrong and tries again, since whatever keeps a node from leading may be over soon, and a process that has
// ended pages nobody.
func (a *App) lead(ctx context.Context) error {
	for retry := firstRetry; ; {
		acquired := a.sayStandby(ctx)
		name, ttl := a.node, leaseTTL
		if a.bus.Embedded() {
			name, ttl = aloneName, aloneTTL
		}
		lease, err := journal.AcquireLease(ctx, a.bus.JetStream(), name, ttl)
		acquired()
		if err != nil && ctx.Err() != nil {
			return a.drain(nil)
		}
		if err == nil {
			var l *leader
			l, err = a.reign(ctx, lease)
			if ctx.Err() != nil {
				err := a.drain(l)
				return errors.Join(err, lease.Release(context.WithoutCancel(ctx)))
			}
			_ = lease.Release(ctx) // it may be somebody else's: then there is nothing to release
			if l.led {
				retry = firstRetry
			}
		}
		a.journalState.ok() // it was that of the one who led
		if errors.Is(err, errClockSetBack) {
			a.log.Warn("beginning anew", "error", err)
			continue
		}
		if errors.Is(err, journal.ErrFenced) || errors.Is(err, journal.ErrUnknown) || errors.Is(err, errLeaseLost) {
			a.log.Warn("not the leader any more, standing by", "error", err)
			continue
		}
		if !a.ready.Load() || hopeless(err) {
			_ = a.drain(nil) // what is on its way arrives; nothing remembers that
			return err
		}
		if retry, err = a.recover(ctx, err, retry); err != nil {
			return err
		}
	}
}

// sayStandby says that this node is ready once it has stood by for a while and another one leads; without one it takes nothing. It is
// over with stop.
func (a *App) sayStandby(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for wait := time.NewTicker(leaseTTL / 2); ; {
			select {
			case <-wait.C:
			case <-ctx.Done():
				wait.Stop()
				return
			}
			if a.led(ctx) == nil {
				a.sayReady("standby")
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}

// hopeless reports whether no time heals an error.
func hopeless(err error) bool {
	return errors.Is(err, journal.ErrGone) || errors.Is(err, journal.ErrCorrupt) || errors.Is(err, journal.ErrTrimmed) || errors.Is(err, nats.ErrConnectionClosed)
}

// recover waits until it is worth leading again: the streams are there. It returns the next pause.
func (a *App) recover(ctx context.Context, err error, pause time.Duration) (time.Duration, error) {
	for err != nil {
		a.leadState.failed(err)
		a.log.Error("this node cannot lead, nothing is judged or sent until it can", "error", err, "retry_in", pause)
		select {
		case <-ctx.Done():
			return pause, nil // the next one to look at ctx ends
		case <-time.After(pause):
		}
		pause = min(2*pause, lastRetry)
		err = a.ensureStreams(ctx)
	}
	return pause, nil
}
