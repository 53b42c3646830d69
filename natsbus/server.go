package natsbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
)

// readyTimeout bounds how long an embedded server may take to listen once it has read its files, and a client of it to say who it is.
const readyTimeout = 30 * time.Second

// memoryLimit is what JetStream may hold in memory, in bytes: the positions of readers, no stream.
const memoryLimit = 64 << 20

// maxClients is how many publishers may be connected: the server's default, but not more than a quarter of the files that the process may
// open, since the streams and the senders need some, whatever publishers do.
func maxClients() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return server.DEFAULT_MAX_CONNECTIONS
	}
	return int(min(max(l.Cur/4, 1), server.DEFAULT_MAX_CONNECTIONS))
}

// embedded is a NATS server in this process.
type embedded struct {
	o        Options
	host     string
	port     int // server.RANDOM_PORT until it listens
	lock     *os.File
	us, them nkeys.KeyPair // our own client, which may do everything, and whoever comes over the socket
	maxStore int64
	log      *slog.Logger

	mu      sync.Mutex
	srv     *server.Server
	stuck   error // why files cannot be written; nil: they can
	giveUp  context.CancelFunc
	mending sync.WaitGroup
	stopped bool
}

// startServer locks the data folder and starts a server on it.
func startServer(ctx context.Context, o Options) (_ *embedded, err error) {
	if o.StoreDir == "" {
		return nil, errors.New("embedded NATS server: no data folder\n  hint: start with --data DIR, or with --nats URL to use an existing server")
	}
	host, port, err := listenAddress(o.Listen)
	if err != nil {
		return nil, err
	}
	e := &embedded{o: o, host: host, port: port, log: o.Log, maxStore: o.MaxStore, giveUp: func() {}}
	if e.lock, err = lockStore(o.StoreDir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = e.lock.Close()
		}
	}()
	if e.maxStore <= 0 {
		if e.maxStore, err = storeLimit(o.StoreDir); err != nil {
			return nil, err
		}
	}
	if err := probe(host, port); err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		o.Log.Warn("NATS listens beyond this machine without authentication: whoever reaches it can publish events and read them",
			"address", net.JoinHostPort(host, strconv.Itoa(port)))
	}
	// Keys, not passwords: made anew at every start, never stored, and the server has nothing to warn about.
	for _, key := range []*nkeys.KeyPair{&e.us, &e.them} {
		if *key, err = nkeys.CreateUser(); err != nil {
			return nil, fmt.Errorf("embedded NATS server: %w", err)
		}
	}
	if e.port == 0 {
		e.port = server.RANDOM_PORT
	}
	if err := e.launch(ctx, e.host, e.port, e.maxStore); err != nil {
		return nil, err
	}
	_, reserved, err := e.srv.JetStreamReservedResources()
	if err == nil && reserved > e.maxStore {
		err = e.shrink(ctx, reserved)
	}
	if err != nil {
		e.halt()
		return nil, err
	}
	if addr, ok := e.srv.Addr().(*net.TCPAddr); ok {
		e.port = addr.Port // also of those that follow this one, see mend
	}
	return e, nil
}

// launch starts the server with room for maxStore bytes and waits until it is ready. A negative port
// means any free one, an empty host no socket at all.
func (e *embedded) launch(ctx context.Context, host string, port int, maxStore int64) error {
	us, err := e.us.PublicKey()
	if err != nil {
		return fmt.Errorf("embedded NATS server: %w", err)
	}
	them, err := e.them.PublicKey()
	if err != nil {
		return fmt.Errorf("embedded NATS server: %w", err)
	}
	srv, err := server.NewServer(&server.Options{
		ServerName:         e.o.Name,
		Host:               host,
		Port:               port,
		DontListen:         host == "",
		NoSigs:             true,
		NoLog:              true, // see SetLoggerV2 below
		JetStream:          true,
		StoreDir:           e.o.StoreDir,
		JetStreamMaxStore:  maxStore,
		JetStreamMaxMemory: memoryLimit,
		MaxConn:            maxClients(),
		AuthTimeout:        readyTimeout.Seconds(), // the server's own 2 s are few where a machine stands still for a moment
		Nkeys:              []*server.NkeyUser{{Nkey: us}, {Nkey: them, Permissions: guestPermissions()}},
		NoAuthUser:         them,
	})
	if err != nil {
		return fmt.Errorf("embedded NATS server: %w", err)
	}
	log := &serverLog{log: e.log, fatal: make(chan string, 1), failed: e.failed}
	srv.SetLoggerV2(log, false, false, false)
	e.mu.Lock()
	e.srv = srv
	e.mu.Unlock()
	srv.Start()
	if err := e.ready(ctx, log, e.o.Listen); err != nil {
		e.halt()
		return err
	}
	return nil
}

// shrink makes room when the store has become smaller than what EVENTS reserved in better times. The server
// refuses every update in that state, so it is started once more with as much room as it needs, and no socket.
func (e *embedded) shrink(ctx context.Context, reserved int64) error {
	e.halt()
	if err := e.launch(ctx, "", 0, reserved*2); err != nil {
		return err
	}
	err := func() error {
		nc, err := nats.Connect("", e.connectOptions()...)
		if err != nil {
			return err
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			return err
		}
		s, err := js.Stream(ctx, EventsStream)
		if err != nil {
			return err
		}
		cfg := s.CachedInfo().Config
		e.log.Warn("the disk has less room than before: the oldest events go", "stream", EventsStream,
			"max_bytes_before", cfg.MaxBytes, "max_bytes_now", e.maxStore/4*3)
		cfg.MaxBytes = e.maxStore / 4 * 3
		_, err = js.UpdateStream(ctx, cfg)
		return err
	}()
	e.halt()
	if err != nil {
		return fmt.Errorf("embedded NATS server: streams reserve %d bytes, %d are left: %w\n  hint: free some disk space", reserved, e.maxStore, err)
	}
	return e.launch(ctx, e.host, e.port, e.maxStore)
}

// connectOptions let our own client in, without a socket.
func (e *embedded) connectOptions() []nats.Option {
	us, _ := e.us.PublicKey() // it was asked before, in launch
	return []nats.Option{nats.InProcessServer(e), nats.Nkey(us, e.us.Sign), nats.Timeout(readyTimeout)}
}

// ready waits until the server accepts connections, or says why it does not.
func (e *embedded) ready(ctx context.Context, log *serverLog, listen string) error {
	deadline := time.Now().Add(readyTimeout)
	for {
		select {
		case msg := <-log.fatal:
			return fmt.Errorf("embedded NATS server on %s: %s", listen, msg)
		case <-ctx.Done():
			return fmt.Errorf("embedded NATS server: %w", context.Cause(ctx))
		default:
		}
		if e.srv.ReadyForConnections(20 * time.Millisecond) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("embedded NATS server on %s is not ready after %v", listen, readyTimeout)
		}
	}
}

// url is what a client on this machine can connect to.
func (e *embedded) url() string {
	addr, ok := e.srv.Addr().(*net.TCPAddr)
	if !ok {
		return e.srv.ClientURL()
	}
	host := addr.IP.String()
	if addr.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "nats://" + net.JoinHostPort(host, strconv.Itoa(addr.Port))
}

// halt ends the server and waits for it.
func (e *embedded) halt() {
	e.srv.Shutdown()
	e.srv.WaitForShutdown()
}

// stop ends the server and gives the data folder back. It does not wait longer than ctx.
func (e *embedded) stop(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.mu.Lock()
		e.stopped = true
		e.giveUp()
		e.mu.Unlock()
		e.mending.Wait()
		e.halt()
		_ = e.lock.Close()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("embedded NATS server is still writing its files: %w", context.Cause(ctx))
	}
}

// listenAddress reads "HOST:PORT". No host means loopback: to listen everywhere has to be said (0.0.0.0).
func listenAddress(listen string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(listen)
	if err == nil {
		port, err = strconv.Atoi(p)
	}
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("address %q for NATS is not HOST:PORT\n  hint: --nats-listen 127.0.0.1:4222", listen)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return host, port, nil
}

// probe finds out early, and in words, whether the address can be had. The server itself would only log it.
func probe(host string, port int) error {
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	l, err := net.Listen("tcp", addr)
	switch {
	case err == nil:
		return l.Close()
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("port %d for the embedded NATS server is in use: %w\n  hint: choose another with --nats-listen %s (port 0: any free one), or use the server that runs there with --nats nats://%s",
			port, err, net.JoinHostPort(host, strconv.Itoa(port+1)), addr)
	default:
		return fmt.Errorf("embedded NATS server cannot listen on %s: %w\n  hint: choose another address with --nats-listen HOST:PORT", addr, err)
	}
}

// guestPermissions let publishers publish events and let people look, and nothing else: the journal is the truth,
// and no program on this machine may write or purge it by accident.
func guestPermissions() *server.Permissions {
	return &server.Permissions{
		Publish: &server.SubjectPermission{Allow: []string{
			MetricsPrefix + ">", HealthPrefix + ">", EventsPrefix + ">",
			"_INBOX.>",
			"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.INFO.*",
			"$JS.API.STREAM.MSG.GET.*", "$JS.API.DIRECT.GET.>",
			"$JS.API.CONSUMER.>", "$JS.ACK.>", "$JS.FC.>",
		}},
		Subscribe: &server.SubjectPermission{Allow: []string{">"}},
	}
}

// serverLog hands the server's log to ours. Its notices are details to us. What it calls fatal does not end our
// process: the first one is kept for whoever started the server.
type serverLog struct {
	log    *slog.Logger
	once   sync.Once
	fatal  chan string
	failed func(error) // hears of whatever went wrong
}

// Noticef logs a detail.
func (l *serverLog) Noticef(format string, v ...any) { l.write(slog.LevelDebug, format, v) }

// Warnf logs a warning.
func (l *serverLog) Warnf(format string, v ...any) { l.write(slog.LevelWarn, format, v) }

// Errorf logs what is mostly a client's mistake, so it is a warning to us.
func (l *serverLog) Errorf(format string, v ...any) { l.write(slog.LevelWarn, format, v) }

// Debugf logs a detail.
func (l *serverLog) Debugf(format string, v ...any) { l.write(slog.LevelDebug, format, v) }

// Tracef logs a detail.
func (l *serverLog) Tracef(format string, v ...any) { l.write(slog.LevelDebug, format, v) }

// Fatalf logs what stopped the server and keeps it.
func (l *serverLog) Fatalf(format string, v ...any) {
	l.write(slog.LevelError, format, v)
	l.once.Do(func() { l.fatal <- fmt.Sprintf(format, v...) })
}

func (l *serverLog) write(level slog.Level, format string, v []any) {
	for _, a := range v {
		if err, ok := a.(error); ok {
			l.failed(err)
		}
	}
	if ctx := context.Background(); l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, "nats-server", "said", fmt.Sprintf(format, v...))
	}
}
