package natsbus

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	dialTimeout   = 3 * time.Second
	joinPatience  = 10 * time.Second // how long Open waits for a server that is not there yet
	joinWait      = 250 * time.Millisecond
	pingTimeout   = 5 * time.Second
	reconnectWait = 100 * time.Millisecond // the library's 2 s would cost every restart of a server a second or two
	pingInterval  = 20 * time.Second       // the library's 2 min would notice a dead peer after 4 min
	drainTimeout  = 5 * time.Second
)

// Options say which NATS to use. The zero value embeds a server on 127.0.0.1:4222 but lacks a StoreDir.
type Options struct {
	URL string // an existing server, or several separated by commas; "" embeds one

	Listen   string // embedded: HOST:PORT for publishers; "" is 127.0.0.1:4222, port 0 any free port
	StoreDir string // embedded: the data folder; created if need be
	MaxStore int64  // embedded: bytes that streams may use; 0 is 75% of the free disk, 10 GiB at most

	CredsFile string // existing server: a user's JWT and seed
	NKeyFile  string // existing server: a user's seed
	Token     string // existing server
	TLS       *TLS   // existing server; nil uses TLS only where the URL or the server asks for it

	Name string       // of this node, shown in the server's list of connections; "" is "alertd"
	Log  *slog.Logger // nil logs nothing
}

// TLS says which certificates to use. Empty files mean the system's roots and no client certificate.
type TLS struct {
	CAFile   string
	CertFile string
	KeyFile  string
}

// Bus is a connection to NATS, and the server too where it is embedded. It is safe for concurrent use.
type Bus struct {
	nc       *nats.Conn
	js       jetstream.JetStream
	log      *slog.Logger
	url      string
	embedded *embedded // nil: somebody else's server
	closed   chan struct{}
	denials  denials
}

// Open starts the embedded server, or connects to the one that o.URL names: a server that cannot be reached is
// tried again for ten seconds or until ctx ends, one that refuses us is an error at once. The error names what to
// change.
func Open(ctx context.Context, o Options) (*Bus, error) {
	o.Listen = cmp.Or(o.Listen, "127.0.0.1:4222")
	o.Name = cmp.Or(o.Name, "alertd")
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	b := &Bus{log: o.Log, closed: make(chan struct{})}
	opts := []nats.Option{
		nats.Name(o.Name),
		nats.Timeout(dialTimeout),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // credentials that are refused now may be renewed; the library would give up for ever
		nats.ReconnectWait(reconnectWait),
		nats.PingInterval(pingInterval),
		nats.DrainTimeout(drainTimeout),
		nats.ErrorHandler(b.onError),
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) {
			if err != nil {
				b.log.Warn("NATS disconnected, reconnecting", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			b.denials.forget()
			b.log.Info("NATS reconnected", "server", nc.ConnectedAddr())
		}),
		nats.ClosedHandler(func(*nats.Conn) { close(b.closed) }),
	}
	var err error
	if o.URL == "" {
		err = b.embed(ctx, o, opts)
	} else {
		err = b.join(ctx, o, opts)
	}
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(b.nc)
	if err != nil {
		return nil, errors.Join(err, b.Close(ctx))
	}
	b.js = traced{js}
	return b, nil
}

// embed starts a server and connects to it without a socket.
func (b *Bus) embed(ctx context.Context, o Options, opts []nats.Option) (err error) {
	if b.embedded, err = startServer(ctx, o); err != nil {
		return err
	}
	b.url = b.embedded.url()
	if b.nc, err = nats.Connect("", append(opts, b.embedded.connectOptions()...)...); err != nil {
		return errors.Join(fmt.Errorf("embedded NATS server: %w", err), b.embedded.stop(ctx))
	}
	return nil
}

// join connects to an existing server.
func (b *Bus) join(ctx context.Context, o Options, opts []nats.Option) error {
	clean, err := withoutCredentials(o.URL)
	if err != nil {
		return err
	}
	b.url = clean
	auth, err := o.auth()
	if err != nil {
		return err
	}
	opts = append(opts, auth...)
	ctx, cancel := context.WithTimeout(ctx, joinPatience)
	defer cancel()
	for waiting := false; ; waiting = true {
		b.nc, err = nats.Connect(o.URL, opts...)
		if err == nil {
			return nil
		}
		if !errors.Is(err, nats.ErrNoServers) && !errors.Is(err, nats.ErrTimeout) {
			break
		}
		if !waiting {
			b.log.Warn("waiting for NATS", "url", clean, "error", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("NATS at %s cannot be reached: %w\n  hint: start it, or check --nats; without --nats alertd runs a server of its own", clean, err)
		case <-time.After(joinWait):
		}
	}
	if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAuthRevoked) {
		return fmt.Errorf("NATS at %s refused us: %w\n  hint: check the credentials (--nats-creds, --nats-nkey, --nats-token, or user:password in --nats)", clean, err)
	}
	return fmt.Errorf("NATS at %s: %w\n  hint: check --nats and the TLS files", clean, err)
}

// auth turns credentials and certificates into options.
func (o Options) auth() (opts []nats.Option, err error) {
	if o.CredsFile != "" {
		opts = append(opts, nats.UserCredentials(o.CredsFile))
	}
	if o.NKeyFile != "" {
		key, err := nats.NkeyOptionFromSeed(o.NKeyFile)
		if err != nil {
			return nil, fmt.Errorf("NATS nkey file %s: %w", o.NKeyFile, err)
		}
		opts = append(opts, key)
	}
	if o.Token != "" {
		opts = append(opts, nats.Token(o.Token))
	}
	if t := o.TLS; t != nil {
		opts = append(opts, nats.Secure(&tls.Config{MinVersion: tls.VersionTLS12}))
		if t.CAFile != "" {
			opts = append(opts, nats.RootCAs(t.CAFile))
		}
		if (t.CertFile == "") != (t.KeyFile == "") {
			return nil, errors.New("NATS client certificate: a certificate needs its key, and a key its certificate\n  hint: give both files")
		}
		if t.CertFile != "" {
			opts = append(opts, nats.ClientCert(t.CertFile, t.KeyFile))
		}
	}
	return opts, nil
}

// withoutCredentials is the list of servers as it may be shown and logged.
func withoutCredentials(list string) (string, error) {
	var out []string
	for i, s := range strings.Split(list, ",") {
		s = strings.TrimSpace(s)
		if !strings.Contains(s, "://") {
			s = "nats://" + s
		}
		u, err := url.Parse(s)
		if err != nil || u.Host == "" {
			// The error of url.Parse repeats what it read, password included.
			return "", fmt.Errorf("NATS URL number %d cannot be read\n  hint: --nats nats://HOST:4222", i+1)
		}
		u.User = nil
		out = append(out, u.String())
	}
	return strings.Join(out, ","), nil
}

// Conn is the connection. Whoever gets it must not close it.
func (b *Bus) Conn() *nats.Conn { return b.nc }

// JetStream is the streaming API on the connection. What is published with the context of a span carries a traceparent.
func (b *Bus) JetStream() jetstream.JetStream { return b.js }

// URL is what other clients can connect to, without credentials: nats://HOST:PORT, or the list that was given.
func (b *Bus) URL() string { return b.url }

// Embedded reports whether the server is part of this process.
func (b *Bus) Embedded() bool { return b.embedded != nil }

// Ping makes one round trip to the server. It fails at once while there is no connection, or while an embedded server
// cannot write its files, and after five seconds at the latest.
func (b *Bus) Ping(ctx context.Context) error {
	if s := b.nc.Status(); s != nats.CONNECTED {
		return fmt.Errorf("NATS at %s: %s", b.url, strings.ToLower(s.String()))
	}
	if b.embedded != nil {
		if err := b.embedded.unable(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if err := b.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("NATS at %s does not answer: %w", b.url, err)
	}
	return nil
}

// Close lets subscriptions finish what they have, sends what is buffered, disconnects, and then shuts an embedded
// server down. It waits no longer than ctx. Calling it again does nothing.
func (b *Bus) Close(ctx context.Context) (err error) {
	if b.nc.IsClosed() {
		return nil
	}
	switch drain := b.nc.Drain(); {
	case drain == nil:
		select {
		case <-b.closed:
		case <-ctx.Done():
			err = fmt.Errorf("NATS connection did not drain: %w", context.Cause(ctx))
			b.nc.Close()
		}
	case !errors.Is(drain, nats.ErrConnectionReconnecting): // that one closed the connection: nothing to send it to
		err = drain
		b.nc.Close()
	}
	if b.embedded != nil {
		err = errors.Join(err, b.embedded.stop(ctx))
	}
	return err
}
