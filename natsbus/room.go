package natsbus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// An account, or a server, that has used its room refuses publishes to every stream, also to one that has reserved some (nats-server 2.15).
// So what keeps room for the journal is that the events have a limit.

// roomBesideEvents is what alertd wants for all but the events, in bytes: the journal, and dead letters, which reserve half of it.
const roomBesideEvents = 128 << 20

// leastEvents is the least that is asked for the events, in bytes.
const leastEvents = 1 << 20

// roomForJournal keeps EVENTS to three quarters of an embedded store.
func (b *Bus) roomForJournal(asked int64) int64 {
	most := b.embedded.maxStore / 4 * 3
	if asked > most {
		b.log.Warn("events get less room than was asked for, so that the journal keeps some",
			"asked_bytes", asked, "given_bytes", most, "store_bytes", b.embedded.maxStore)
	}
	if asked <= 0 || asked > most {
		return most
	}
	return asked
}

// ensureEvents makes the stream of events, with a limit also where nobody has asked for one: a part of what its account has left, and
// where the account has no limit, as much as an embedded server gives at most. What the server itself has is not ours to see; one that
// cannot reserve as much is asked for half.
func (b *Bus) ensureEvents(ctx context.Context, l Limits) error {
	asked := b.embedded != nil || l.EventsMaxBytes > 0
	if !asked {
		var err error
		if l.EventsMaxBytes, err = b.roomForEvents(ctx, l.Replicas); err != nil {
			return err
		}
	}
	err := b.ensure(ctx, events(l))
	for !asked && tooMuch(err) && l.EventsMaxBytes > leastEvents {
		l.EventsMaxBytes = max(l.EventsMaxBytes/2, leastEvents)
		err = b.ensure(ctx, events(l))
	}
	if err == nil && !asked && l.EventsMaxBytes > 0 {
		b.log.Info("the events leave room for the journal", "max_bytes", l.EventsMaxBytes)
	}
	return err
}

// tooMuch reports whether a server has not the room that a stream wants to reserve.
func tooMuch(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (api.ErrorCode == codeStorageExceeded || api.ErrorCode == codeNoPeers)
}

// roomForEvents is what the events may use on somebody else's server where nobody has said so. It is 0 for a stream that has a limit, and
// for one that nothing limits and that has been there before: it stays as it is.
func (b *Bus) roomForEvents(ctx context.Context, replicas int) (int64, error) {
	var used int64 // by the events
	s, err := b.js.Stream(ctx, EventsStream)
	isNew := errors.Is(err, jetstream.ErrStreamNotFound)
	if err != nil && !isNew {
		return 0, err
	}
	if !isNew {
		c := s.CachedInfo().Config
		if c.MaxBytes > 0 {
			return 0, nil
		}
		used, replicas = int64(s.CachedInfo().State.Bytes), max(replicas, c.Replicas)
	}
	account, err := b.js.AccountInfo(ctx)
	if err != nil {
		return 0, err
	}
	r := int64(max(replicas, 1))
	// The limit of a tier is one replica's, that of an account without tiers is for all of them.
	t, tiered := account.Tiers[fmt.Sprintf("R%d", r)]
	share := r
	if tiered {
		share = 1
	} else {
		t = account.Tier
	}
	switch {
	case t.Limits.MaxStore > 0:
		room := t.Limits.MaxStore/share - max(int64(t.Store)/r-used, int64(t.ReservedStore)/share)
		return max(room/4, min(room/4*3, room-roomBesideEvents), leastEvents), nil
	case isNew:
		return maxStoreDefault / 4 * 3, nil
	default:
		b.log.Warn("the events have no limit of bytes: if they fill the NATS server, nothing can be decided or sent", "fix", "set events.max_bytes in the configuration")
		return 0, nil
	}
}
