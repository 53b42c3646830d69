package natsbus

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	maxMessage    = 1 << 20          // bytes of one event or one commit; also what the server must let through
	dedupWindow   = 30 * time.Second // for publishers that send Nats-Msg-Id; each id costs the server 200 bytes
	ensureTimeout = 30 * time.Second // a cluster may be electing
)

// Error codes of the JetStream API for which the client library has no name.
const (
	codeNoPeers         = 10005
	codeStorageExceeded = 10047
	codeSubjectOverlap  = 10065
	codeReplicas        = 10074
)

// Limits are what the operator decides about the streams.
type Limits struct {
	EventsMaxAge   time.Duration // how long events are kept; 0 leaves it as it is, for a new stream unlimited
	EventsMaxBytes int64         // how much they may use; 0 as above, but a part of the room where that is known
	Replicas       int           // 1, 3 or 5; 0 leaves it as it is, for a new stream 1
}

// EnsureStreams creates the streams, or updates those that exist to the given limits. Where it may not, the error
// says what to change. Calling it again changes nothing.
func (b *Bus) EnsureStreams(ctx context.Context, l Limits) error {
	if b.embedded != nil {
		if l.Replicas > 1 {
			return fmt.Errorf("%d replicas need a NATS cluster, the embedded server is alone\n  hint: --nats URL of a cluster, or replicas: 1", l.Replicas)
		}
		l.EventsMaxBytes = b.roomForJournal(l.EventsMaxBytes)
	}
	if n := b.nc.MaxPayload(); n < maxMessage {
		return fmt.Errorf("NATS at %s lets through messages of %d bytes, alertd needs %d\n  hint: set max_payload: 1MB in the server's configuration", b.url, n, maxMessage)
	}
	ctx, stop := context.WithTimeout(ctx, ensureTimeout)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// A forbidden request gets no answer, only a complaint on the side: without this it would end as a time-out.
	b.denials.watch(cancel)
	defer b.denials.watch(nil)

	if err := b.ensureEvents(ctx, l); err != nil {
		return b.denied(ctx, EventsStream, err)
	}
	if err := b.ensure(ctx, theJournal(l)); err != nil {
		return b.denied(ctx, JournalStream, err)
	}
	return nil
}

// denied is the error about a stream. Where the server has complained meanwhile, it is that complaint.
func (b *Bus) denied(ctx context.Context, stream string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("stream %s: %w", stream, b.explain(err))
}

// wantedStream is a stream as we need it: a name, and what has to hold of its configuration.
type wantedStream struct {
	name  string
	apply func(*jetstream.StreamConfig)
}

// common is what holds of both streams.
func (l Limits) common(c *jetstream.StreamConfig) {
	c.MaxMsgSize = maxMessage
	c.AllowDirect = true
	if l.Replicas > 0 {
		c.Replicas = l.Replicas
	}
}

func events(l Limits) wantedStream {
	return wantedStream{EventsStream, func(c *jetstream.StreamConfig) {
		l.common(c)
		c.Description = "alertd: what services say about themselves"
		c.Subjects = []string{MetricsPrefix + ">", HealthPrefix + ">", EventsPrefix + ">"}
		c.Discard = jetstream.DiscardOld
		if l.EventsMaxAge > 0 {
			c.MaxAge = l.EventsMaxAge
		}
		if l.EventsMaxBytes > 0 {
			c.MaxBytes = l.EventsMaxBytes
		}
		c.Duplicates = dedupWindow
		if c.MaxAge > 0 {
			c.Duplicates = min(c.Duplicates, c.MaxAge)
		}
	}}
}

func theJournal(l Limits) wantedStream {
	return wantedStream{JournalStream, func(c *jetstream.StreamConfig) {
		l.common(c)
		c.Description = "alertd: what it decided; the only truth, do not purge"
		c.Subjects = []string{JournalSubject}
		c.Discard = jetstream.DiscardNew // full is an error that somebody sees; a lost decision is not
		c.MaxAge = 0
		c.MaxMsgs = -1
		c.MaxMsgsPerSubject = -1
		c.AllowRollup = false
	}}
}

// ensure makes one stream be as wanted.
func (b *Bus) ensure(ctx context.Context, w wantedStream) error {
	s, err := b.js.Stream(ctx, w.name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		cfg := jetstream.StreamConfig{Name: w.name, Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Replicas: 1}
		w.apply(&cfg)
		_, err = b.js.CreateStream(ctx, cfg)
		return err
	}
	if err != nil {
		return err
	}
	have := s.CachedInfo().Config
	if err := unchangeable(have); err != nil {
		return err
	}
	want := have
	want.Subjects = slices.Clone(have.Subjects)
	w.apply(&want)
	if reflect.DeepEqual(have, want) {
		return nil // so that an account that may only look is enough
	}
	_, err = b.js.UpdateStream(ctx, want)
	return err
}

// unchangeable refuses an existing stream that loses messages by design and that no update can repair.
func unchangeable(c jetstream.StreamConfig) error {
	var why string
	switch {
	case c.Storage != jetstream.FileStorage:
		why = "is kept in memory"
	case c.Retention != jetstream.LimitsPolicy:
		why = "drops what was read (retention " + c.Retention.String() + ")"
	case c.PersistMode == jetstream.AsyncPersistMode:
		why = "acknowledges before it writes (persist_mode async)"
	case c.Mirror != nil:
		why = "is a mirror"
	case c.Sealed:
		why = "is sealed"
	default:
		return nil
	}
	return fmt.Errorf("exists and %s\n  hint: save what you need of it, then: nats stream rm %s; alertd makes a new one", why, c.Name)
}

// explain adds to an error of the JetStream API what to do next.
func (b *Bus) explain(err error) error {
	hint := ""
	var api *jetstream.APIError
	switch {
	case errors.Is(err, nats.ErrPermissionViolation):
		hint = "allow this NATS user to publish to " + strings.Join(publishes, " ") + " and to subscribe to " + strings.Join(subscribes, " ")
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		hint = "enable JetStream for this account, or connect as a user of one that has it"
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, nats.ErrNoResponders):
		hint = "start the server with JetStream: nats-server -js, or a jetstream block in its configuration"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		hint = "the cluster may have no leader now: nats server report jetstream"
	case errors.As(err, &api):
		switch api.ErrorCode {
		case codeSubjectOverlap:
			hint = "another stream has some of these subjects: find it with nats stream ls --subject 'alertd.>', and take them from it"
		case codeStorageExceeded:
			hint = "lower the bytes for events, or give JetStream more room (max_file_store)"
		case codeNoPeers, codeReplicas:
			hint = "ask for as many replicas as the cluster has JetStream servers, or fewer"
		}
	}
	if hint == "" {
		return err
	}
	return fmt.Errorf("%w\n  hint: %s", err, hint)
}
