package natsbus

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"alertd/natsbus/natstest"
)

// limited starts a server whose account for us has so much room, and returns its URL.
func limited(t *testing.T, bytes int64) string {
	t.Helper()
	account := server.NewAccount("ALERTS")
	srv := natstest.Start(t, server.Options{
		JetStream: true, Accounts: []*server.Account{account, server.NewAccount("SYS")}, SystemAccount: "SYS",
		Users: []*server.User{{Username: "alertd", Password: "s3cret", Account: account}},
	})
	account, err := srv.LookupAccount("ALERTS")
	if err != nil {
		t.Fatal(err)
	}
	limits := server.JetStreamAccountLimits{MaxStore: bytes, MaxMemory: -1, MaxStreams: -1, MaxConsumers: -1}
	if err := account.EnableJetStream(map[string]server.JetStreamAccountLimits{"": limits}, nil); err != nil {
		t.Fatal(err)
	}
	return strings.Replace(srv.ClientURL(), "://", "://alertd:s3cret@", 1)
}

// eventsBytes is the limit of the stream of events.
func eventsBytes(t *testing.T, b *Bus) int64 {
	t.Helper()
	s, err := b.JetStream().Stream(t.Context(), EventsStream)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().Config.MaxBytes
}

// However many events come, the account of somebody else's server keeps room for the journal.
func TestEventsLeaveRoomInTheAccount(t *testing.T) {
	for _, c := range []struct{ account, events int64 }{{8 << 20, 2 << 20}, {256 << 20, 128 << 20}, {512 << 20, 384 << 20}} {
		b := open(t, Options{URL: limited(t, c.account)})
		if err := b.EnsureStreams(t.Context(), Limits{}); err != nil {
			t.Fatal(err)
		}
		if got := eventsBytes(t, b); got != c.events {
			t.Errorf("of %d bytes events get %d, want %d", c.account, got, c.events)
		}
	}
	b := open(t, Options{URL: limited(t, 64<<20)})
	if err := b.EnsureStreams(t.Context(), Limits{EventsMaxBytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	if err := b.EnsureStreams(t.Context(), Limits{}); err != nil {
		t.Fatal(err)
	}
	if got := eventsBytes(t, b); got != 1<<20 {
		t.Errorf("an operator's limit of 1 MiB has become %d", got)
	}
}

// A server does not say how much room it has. The events get what it lets them reserve.
func TestEventsLeaveRoomOnTheServer(t *testing.T) {
	b := open(t, Options{URL: foreign(t, server.Options{JetStream: true, JetStreamMaxStore: 2 << 30, JetStreamMaxMemory: 1 << 20})})
	if err := b.EnsureStreams(t.Context(), Limits{}); err != nil {
		t.Fatal(err)
	}
	if got := eventsBytes(t, b); got != maxStoreDefault/4*3/4 {
		t.Errorf("of 2 GiB events get %d", got)
	}
}

// Events without a limit, of an alertd before this one, have filled the account. The next start makes room.
func TestFullAccountIsFreed(t *testing.T) {
	b := open(t, Options{URL: limited(t, 8<<20)})
	for _, c := range []jetstream.StreamConfig{
		{Name: EventsStream, Subjects: []string{MetricsPrefix + ">"}, Storage: jetstream.FileStorage},
		{Name: JournalStream, Subjects: []string{JournalSubject}, Storage: jetstream.FileStorage},
	} {
		if _, err := b.JetStream().CreateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	event := make([]byte, 1<<19)
	var err error
	for range 32 {
		if _, err = b.JetStream().Publish(t.Context(), MetricsSubject("api"), event); err != nil {
			break
		}
	}
	if api, ok := errors.AsType[*jetstream.APIError](err); !ok || api.ErrorCode != 10002 && api.ErrorCode != 10023 && api.ErrorCode != 10047 {
		t.Fatalf("the account takes without end: %v", err)
	}
	if _, err := b.JetStream().Publish(t.Context(), JournalSubject, event); err == nil {
		t.Fatal("a full account takes the journal: nothing to prove here")
	}
	if err := b.EnsureStreams(t.Context(), Limits{}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.JetStream().Publish(t.Context(), JournalSubject, event); err != nil {
		t.Errorf("the journal has no room: %v", err)
	}
}
