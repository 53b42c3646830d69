package natsbus

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"alertd/natsbus/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open starts an embedded server on a free port.
func open(t *testing.T, o Options) *Bus {
	t.Helper()
	if o.URL == "" {
		if o.Listen == "" {
			o.Listen = "127.0.0.1:0"
		}
		if o.StoreDir == "" {
			o.StoreDir = t.TempDir()
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	b, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return b
}

// foreign starts a server that is not ours.
func foreign(t *testing.T, o server.Options) string {
	t.Helper()
	return natstest.Start(t, o).ClientURL()
}

func mustFail(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error lacks %q: %v", p, err)
		}
	}
}

func TestEmbeddedKeepsWhatWasPublished(t *testing.T) {
	dir := t.TempDir()
	b, err := Open(t.Context(), Options{Listen: "127.0.0.1:0", StoreDir: dir, MaxStore: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	if !b.Embedded() || strings.HasSuffix(b.URL(), ":0") || !strings.HasPrefix(b.URL(), "nats://127.0.0.1:") {
		t.Fatalf("embedded %v at %s", b.Embedded(), b.URL())
	}
	if err := b.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if err := b.EnsureStreams(t.Context(), Limits{EventsMaxAge: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.JetStream().Publish(t.Context(), MetricsSubject("api"), []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Errorf("second close: %v", err)
	}
	if b.Ping(t.Context()) == nil {
		t.Error("a closed bus answers")
	}

	// The disk got smaller meanwhile: the same data still opens, with less room.
	again := open(t, Options{StoreDir: dir, MaxStore: 256 << 20})
	if err := again.EnsureStreams(t.Context(), Limits{EventsMaxAge: 2 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	s, err := again.JetStream().Stream(t.Context(), EventsStream)
	if err != nil {
		t.Fatal(err)
	}
	info := s.CachedInfo()
	if info.State.Msgs != 1 || info.Config.MaxAge != 2*time.Hour || info.Config.MaxBytes != 192<<20 {
		t.Errorf("%d messages, max age %v, max bytes %d", info.State.Msgs, info.Config.MaxAge, info.Config.MaxBytes)
	}
}

func TestEnsureStreamsKeepsWhatTheOperatorSet(t *testing.T) {
	b := open(t, Options{})
	for range 2 {
		if err := b.EnsureStreams(t.Context(), Limits{EventsMaxAge: time.Hour, Replicas: 1}); err != nil {
			t.Fatal(err)
		}
	}
	s, err := b.JetStream().Stream(t.Context(), JournalStream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	if cfg.Discard != jetstream.DiscardNew || cfg.MaxAge != 0 {
		t.Errorf("journal: discard %v, max age %v", cfg.Discard, cfg.MaxAge)
	}
	cfg.Metadata["owner"] = "ops"
	cfg.MaxAge = time.Hour // a mistake: the journal would forget
	if _, err := b.JetStream().UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if err := b.EnsureStreams(t.Context(), Limits{}); err != nil {
		t.Fatal(err)
	}
	s, err = b.JetStream().Stream(t.Context(), JournalStream)
	if err != nil {
		t.Fatal(err)
	}
	if cfg := s.CachedInfo().Config; cfg.Metadata["owner"] != "ops" || cfg.MaxAge != 0 {
		t.Errorf("journal: metadata %v, max age %v", cfg.Metadata, cfg.MaxAge)
	}
	mustFail(t, b.EnsureStreams(t.Context(), Limits{Replicas: 3}), "3 replicas need a NATS cluster", "--nats")
}

func TestPublishersMayPublishAndLookOnly(t *testing.T) {
	b := open(t, Options{})
	if err := b.EnsureStreams(t.Context(), Limits{}); err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(b.URL(), nats.Timeout(time.Minute), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{MetricsSubject("api"), HealthSubject("api"), EventsSubject("deployment.completed")} {
		if _, err := js.Publish(t.Context(), subject, []byte("{}")); err != nil {
			t.Errorf("%s: %v", subject, err)
		}
	}
	c, err := js.OrderedConsumer(t.Context(), EventsStream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	msg, err := c.Next()
	if err != nil || msg.Subject() != "alertd.metrics.api" {
		t.Errorf("read %v, %v", msg, err)
	}
	short := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	if _, err := js.Publish(short(), JournalSubject, []byte("{}")); err == nil {
		t.Error("a publisher wrote the journal")
	}
	if err := js.DeleteStream(short(), JournalStream); err == nil {
		t.Error("a publisher deleted the journal")
	}
	if _, err := nats.Connect(b.URL(), nats.Timeout(time.Minute), nats.UserInfo("alertd", "guess")); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("wrong password: %v", err)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	open(t, Options{StoreDir: dir})
	_, err := Open(t.Context(), Options{Listen: "127.0.0.1:0", StoreDir: dir})
	mustFail(t, err, dir, "in use by another alertd (process ", "--data")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	free := t.TempDir()
	for range 2 { // twice: the first failure must not keep the folder
		_, err = Open(t.Context(), Options{Listen: l.Addr().String(), StoreDir: free})
		mustFail(t, err, "port "+port, "in use", "--nats-listen", "--nats nats://")
	}

	for _, addr := range []string{"4222", "127.0.0.1:x", "127.0.0.1:70000"} {
		_, err = Open(t.Context(), Options{Listen: addr, StoreDir: free})
		mustFail(t, err, addr, "HOST:PORT")
	}
	_, err = Open(t.Context(), Options{})
	mustFail(t, err, "no data folder", "--data")

	file := filepath.Join(free, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Options{Listen: "127.0.0.1:0", StoreDir: filepath.Join(file, "data")})
	mustFail(t, err, "data folder")

	broken := t.TempDir() // JetStream cannot start here
	if err := os.WriteFile(filepath.Join(broken, "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Options{Listen: "127.0.0.1:0", StoreDir: broken})
	mustFail(t, err, "embedded NATS server", "JetStream", "not a directory")
}

func TestJoin(t *testing.T) {
	url := foreign(t, server.Options{JetStream: true, Users: []*server.User{
		{Username: "ops", Password: "s3cret"},
		{Username: "poor", Password: "s3cret", Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: []string{"alertd.>", "$JS.API.STREAM.INFO.*"}},
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
		}},
	}})
	withUser := func(user string) string { return strings.Replace(url, "://", "://"+user+":s3cret@", 1) }

	poor := open(t, Options{URL: withUser("poor")})
	took := time.Hour
	for tries := 0; tries < 3 && took > 4*time.Second; tries++ { // without the server's complaint it would be five, each time
		start := time.Now()
		mustFail(t, poor.EnsureStreams(t.Context(), Limits{}), "ALERTD_EVENTS", "ermissions", "hint: allow", "$JS.API.>")
		took = time.Since(start)
	}
	if took > 4*time.Second {
		t.Errorf("a forbidden request took %v", took)
	}

	ops := open(t, Options{URL: withUser("ops")})
	if ops.Embedded() || ops.URL() != url {
		t.Errorf("embedded %v, url %s, want %s", ops.Embedded(), ops.URL(), url)
	}
	if err := ops.EnsureStreams(t.Context(), Limits{EventsMaxAge: time.Hour, EventsMaxBytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	if err := ops.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	// All is as wanted, so that looking is enough.
	if err := poor.EnsureStreams(t.Context(), Limits{EventsMaxAge: time.Hour}); err != nil {
		t.Error(err)
	}

	_, err := Open(t.Context(), Options{URL: strings.Replace(url, "://", "://ops:wr0ng@", 1)})
	mustFail(t, err, "refused us", "credentials")
	if strings.Contains(err.Error(), "wr0ng") {
		t.Errorf("password in %v", err)
	}
}

func TestJoinSaysWhatIsWrong(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := Open(ctx, Options{URL: "nats://me:s3cret@127.0.0.1:1"}) // nobody listens there
	mustFail(t, err, "cannot be reached", "--nats", "nats://127.0.0.1:1")
	if strings.Contains(err.Error(), "s3cret") {
		t.Errorf("password in %v", err)
	}

	_, err = Open(t.Context(), Options{URL: "nats://me:s3 cret@%zz"})
	mustFail(t, err, "URL number 1")
	if strings.Contains(err.Error(), "s3") {
		t.Errorf("password in %v", err)
	}
	_, err = Open(t.Context(), Options{URL: "nats://127.0.0.1:1", NKeyFile: filepath.Join(t.TempDir(), "none.nk")})
	mustFail(t, err, "none.nk")
	_, err = Open(t.Context(), Options{URL: "nats://127.0.0.1:1", TLS: &TLS{CertFile: "a.pem"}})
	mustFail(t, err, "certificate needs its key")

	plain := open(t, Options{URL: foreign(t, server.Options{})})
	mustFail(t, plain.EnsureStreams(t.Context(), Limits{}), "hint: start the server with JetStream")

	small := open(t, Options{URL: foreign(t, server.Options{JetStream: true, MaxPayload: 1000})})
	mustFail(t, small.EnsureStreams(t.Context(), Limits{}), "max_payload")

	taken := open(t, Options{URL: foreign(t, server.Options{JetStream: true})})
	mustFail(t, taken.EnsureStreams(t.Context(), Limits{Replicas: 3}), "replicas", "hint: ask for")
	if _, err := taken.JetStream().CreateStream(t.Context(), jetstream.StreamConfig{Name: "METRICS", Subjects: []string{"alertd.metrics.*"}}); err != nil {
		t.Fatal(err)
	}
	mustFail(t, taken.EnsureStreams(t.Context(), Limits{}), EventsStream, "overlap", "nats stream ls")

	memory := open(t, Options{URL: foreign(t, server.Options{JetStream: true})})
	if _, err := memory.JetStream().CreateStream(t.Context(), jetstream.StreamConfig{Name: JournalStream, Storage: jetstream.MemoryStorage, Subjects: []string{JournalSubject}}); err != nil {
		t.Fatal(err)
	}
	mustFail(t, memory.EnsureStreams(t.Context(), Limits{}), JournalStream, "kept in memory", "nats stream rm")
}

func TestSubjects(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{MetricsSubject("api"), "alertd.metrics.api"},
		{MetricsSubject("api.eu west"), "alertd.metrics.api_eu_west"},
		{HealthSubject(">"), "alertd.health._"},
		{HealthSubject(""), "alertd.health._"},
		{HealthSubject("größe"), "alertd.health.größe"},
		{EventsSubject("deployment.completed"), "alertd.events.deployment.completed"},
		{EventsSubject("a..*"), "alertd.events.a._._"},
		{EventsSubject(""), "alertd.events._"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

func TestSubjectsAreAlwaysValid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "name")
		tok := Token(s)
		if tok == "" || len(tok) > tokenLimit || strings.ContainsAny(tok, ".*> \t\r\n\x00") || !utf8.ValidString(tok) {
			t.Fatalf("token %q", tok)
		}
		if Token(tok) != tok {
			t.Fatalf("token %q becomes %q", tok, Token(tok))
		}
		sub := EventsSubject(s)
		if !server.IsValidPublishSubject(sub) || len(sub) > 512 {
			t.Fatalf("subject %q", sub)
		}
	})
}
