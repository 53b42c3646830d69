package healthpoll

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"golang.org/x/net/dns/dnsmessage"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"alertd"
	"alertd/natsbus/natstest"
)

// watched makes a target that is asked by hand.
func watched(t *testing.T, url string) *watch {
	t.Helper()
	w := &watch{Target: target(t, url)}
	w.Timeout = 30 * time.Second
	t.Cleanup(w.hangUp)
	return w
}

func poller(t *testing.T, o Options) *Poller {
	p := New(nil, nil, o)
	t.Cleanup(p.client.CloseIdleConnections)
	return p
}

// once asks a target that has one check.
func once(t *testing.T, p *Poller, w *watch) (answer, *result) {
	t.Helper()
	r := p.probe(t.Context(), w)
	if len(r.answers) != 1 || r.answers[0].check != strings.TrimSuffix(w.kind(), "s") && w.kind() != r.answers[0].check {
		t.Fatalf("%s: %+v", w.URL, r.answers)
	}
	return r.answers[0], r
}

func want(t *testing.T, a answer, missed, network bool, status alertd.HealthStatus, reason string) {
	t.Helper()
	if a.missed != missed || a.network != network || a.status != status || !fits(a.reason, reason) {
		t.Errorf("%+v; want missed %v, network %v, %q, %q", a, missed, network, status, reason)
	}
}

// refusing is an address where nobody listens: no program gets a port below 1024 by chance.
const refusing = "127.0.0.1:1"

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// listenAgain listens where it can be listened again after an end: no program gets a port below 32768 by chance, here or on
// the way to a server.
func listenAgain(t *testing.T) net.Listener {
	t.Helper()
	for range 100 {
		if l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", 20_000+mathrand.IntN(10_000))); err == nil {
			t.Cleanup(func() { l.Close() })
			return l
		}
	}
	t.Fatal("no port is free")
	return nil
}

func TestTCP(t *testing.T) {
	p := poller(t, Options{})
	a, r := once(t, p, watched(t, "tcp://"+listen(t).Addr().String()))
	want(t, a, false, false, "healthy", "")
	if took, _ := r.watch.read(); took[phaseConnect] <= 0 || took[phaseTotal] < took[phaseConnect] {
		t.Errorf("%v", took)
	}
	a, _ = once(t, p, watched(t, "tcp://"+refusing))
	want(t, a, true, true, "", "refused: nothing listens")
	name := strings.Repeat("x", 64) + ".invalid" // no name server is asked for what cannot be a name
	a, _ = once(t, p, watched(t, "tcp://"+name+":1"))
	want(t, a, true, true, "", "dns: "+name)
}

// authority signs certificates for 127.0.0.1.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) (a authority, trust *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(1000 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(c)
	return authority{key, c}, &tls.Config{RootCAs: pool}
}

// issue makes a certificate that ends at an instant.
func (a authority) issue(t *testing.T, end time.Time) *tls.Certificate {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(end.UnixNano()), NotBefore: end.Add(-1000 * time.Hour), NotAfter: end,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key}
}

func TestTLS(t *testing.T) {
	ca, trust := newAuthority(t)
	p := poller(t, Options{TLS: trust})
	good, over := time.Now().Add(50*time.Hour).Truncate(time.Second), time.Now().Add(-time.Hour).Truncate(time.Second)
	serve := func(end time.Time) string {
		l := tls.NewListener(listen(t), &tls.Config{Certificates: []tls.Certificate{*ca.issue(t, end)}})
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_ = c.(*tls.Conn).Handshake()
				c.Close()
			}
		}()
		return "tls://" + l.Addr().String()
	}
	a, r := once(t, p, watched(t, serve(good)))
	want(t, a, false, false, "healthy", "")
	if took, _ := r.watch.read(); !r.expiry.Equal(good) || r.domain != "127.0.0.1" || took[phaseTLS] <= 0 {
		t.Errorf("%s %s %v", r.expiry, r.domain, took)
	}
	a, r = once(t, p, watched(t, serve(over)))
	want(t, a, true, true, "", "tls: ")
	if !r.expiry.Equal(over) {
		t.Errorf("the end of a certificate that is over: %s, want %s", r.expiry, over)
	}
	a, r = once(t, poller(t, Options{}), watched(t, serve(good)))
	want(t, a, true, true, "", "tls: ")
	if !r.expiry.Equal(good) {
		t.Errorf("the end of an unknown authority's certificate: %s", r.expiry)
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	a, _ = once(t, p, watched(t, strings.Replace(plain.URL, "http:", "tls:", 1)))
	want(t, a, true, true, "", "the answer is not TLS")
}

// A kept connection says nothing of a new certificate, so there is a new one each hour, and after a failure.
func TestFreshConnection(t *testing.T) {
	ca, trust := newAuthority(t)
	first, second := time.Now().Add(50*time.Hour).Truncate(time.Second), time.Now().Add(500*time.Hour).Truncate(time.Second)
	var now atomic.Pointer[tls.Certificate]
	now.Store(ca.issue(t, first))
	var broken atomic.Bool
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, `{"status":"healthy"}`)
	})
	for _, http2 := range []bool{false, true} {
		t.Run(map[bool]string{false: "HTTP 1", true: "HTTP 2"}[http2], func(t *testing.T) {
			now.Store(ca.issue(t, first))
			s := httptest.NewUnstartedServer(answer)
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.EnableHTTP2 = http2
			s.TLS = &tls.Config{}
			s.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
				return &tls.Config{Certificates: []tls.Certificate{*now.Load()}, NextProtos: s.TLS.NextProtos}, nil
			}
			s.StartTLS()
			t.Cleanup(s.Close)
			p, w := poller(t, Options{TLS: trust}), watched(t, s.URL)
			probe := func(dials bool, end time.Time) {
				t.Helper()
				r := p.probe(t.Context(), w)
				if _, did := r.watch.read(); did != dials || !r.expiry.Equal(end) || r.answers[1].status != alertd.Healthy {
					t.Errorf("dialed %v, want %v; good until %s, want %s; %+v", did, dials, r.expiry, end, r.answers)
				}
			}
			probe(true, first)
			now.Store(ca.issue(t, second))
			probe(false, first)
			w.born = w.born.Add(-freshAfter)
			probe(false, first) // the last one on this connection
			probe(true, second)
			probe(false, second)

			broken.Store(true)
			p.probe(t.Context(), w)
			p.probe(t.Context(), w)
			broken.Store(false)
			probe(true, second)
		})
	}
}

func TestDNS(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var q dnsmessage.Message
			if q.Unpack(buf[:n]) != nil || len(q.Questions) != 1 {
				continue
			}
			q.Response, q.Additionals = true, nil
			switch name := q.Questions[0]; {
			case name.Name.String() != "api.internal.":
				q.RCode = dnsmessage.RCodeNameError
			case name.Type == dnsmessage.TypeA:
				q.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: name.Name, Type: name.Type, Class: name.Class, TTL: 1},
					Body:   &dnsmessage.AResource{A: [4]byte{10, 0, 0, 1}},
				}}
			}
			out, err := q.Pack()
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(out, from)
		}
	}()
	p := poller(t, Options{})
	server := "dns://" + conn.LocalAddr().String()
	a, r := once(t, p, watched(t, server+"/api.internal"))
	want(t, a, false, false, "healthy", "")
	if took, _ := r.watch.read(); took[phaseDNS] <= 0 {
		t.Errorf("%v", took)
	}
	a, _ = once(t, p, watched(t, server+"/other.internal."))
	want(t, a, true, false, "", "dns: other.internal")
	a, _ = once(t, p, watched(t, "dns:localhost"))
	want(t, a, false, false, "healthy", "")
}

func TestGRPC(t *testing.T) {
	ca, trust := newAuthority(t)
	end := time.Now().Add(50 * time.Hour).Truncate(time.Second)
	state := health.NewServer()
	serve := func(l net.Listener, o ...grpc.ServerOption) *grpc.Server {
		s := grpc.NewServer(o...)
		grpc_health_v1.RegisterHealthServer(s, state)
		go func() { _ = s.Serve(l) }()
		t.Cleanup(s.Stop)
		return s
	}
	p := poller(t, Options{TLS: trust})
	l := listenAgain(t)
	s := serve(l)
	w := watched(t, "grpc://"+l.Addr().String()+"/pay.v1.Payments")
	a, _ := once(t, p, w)
	want(t, a, true, false, "", "does not know the service")
	for status, c := range map[grpc_health_v1.HealthCheckResponse_ServingStatus]struct {
		status alertd.HealthStatus
		reason string
	}{
		grpc_health_v1.HealthCheckResponse_SERVING:     {alertd.Healthy, ""},
		grpc_health_v1.HealthCheckResponse_NOT_SERVING: {alertd.Unhealthy, "grpc: it says NOT_SERVING"},
		grpc_health_v1.HealthCheckResponse_UNKNOWN:     {alertd.Degraded, "grpc: it says UNKNOWN"},
	} {
		state.SetServingStatus("pay.v1.Payments", status)
		a, _ = once(t, p, w)
		want(t, a, false, false, c.status, c.reason)
	}
	kept := w.grpc
	state.SetServingStatus("pay.v1.Payments", grpc_health_v1.HealthCheckResponse_SERVING)
	once(t, p, w)
	if w.grpc != kept {
		t.Error("the connection was not kept")
	}
	s.Stop()
	for range 2 { // the second one dials itself
		a, _ = once(t, p, w)
	}
	want(t, a, true, true, "", "refused: nothing listens")
	again, err := net.Listen("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	serve(again)
	a, _ = once(t, p, w)
	want(t, a, false, false, "healthy", "")

	secure := listen(t)
	serve(secure, grpc.Creds(credentials.NewServerTLSFromCert(ca.issue(t, end))))
	a, r := once(t, p, watched(t, "grpcs://"+secure.Addr().String()))
	want(t, a, false, false, "healthy", "")
	if !r.expiry.Equal(end) {
		t.Errorf("good until %s, want %s", r.expiry, end)
	}
	a, _ = once(t, poller(t, Options{}), watched(t, "grpcs://"+secure.Addr().String()))
	want(t, a, true, true, "", "tls: ")

	bare := listen(t)
	none := grpc.NewServer()
	go func() { _ = none.Serve(bare) }()
	t.Cleanup(none.Stop)
	a, _ = once(t, p, watched(t, "grpc://"+bare.Addr().String()))
	want(t, a, true, false, "", "does not speak grpc.health.v1")
}

// broker is a NATS server with JetStream, and a connection to it.
func broker(t *testing.T) *nats.Conn {
	t.Helper()
	s := natstest.Start(t, server.Options{JetStream: true})
	nc, err := nats.Connect("", nats.InProcessServer(s.Server), nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func TestNATS(t *testing.T) {
	nc := broker(t)
	p := poller(t, Options{NATS: nc})
	a, _ := once(t, p, watched(t, "nats:$SRV.PING.billing"))
	want(t, a, true, false, "", "refused: nobody answers on $SRV.PING.billing")

	service, err := micro.AddService(nc, micro.Config{Name: "billing", Version: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = service.Stop() })
	reply := func(subject string, f func(micro.Request)) {
		if err := service.AddEndpoint("e"+subject, micro.HandlerFunc(f), micro.WithEndpointSubject(subject)); err != nil {
			t.Fatal(err)
		}
	}
	reply("health", func(r micro.Request) {
		_ = r.Respond([]byte(`{"status":"degraded","checks":{"database":{"status":"degraded","latency_ms":900}}}`))
	})
	reply("broken", func(r micro.Request) { _ = r.Error("500", "no database", nil) })
	reply("slow", func(micro.Request) {})

	a, _ = once(t, p, watched(t, "nats:$SRV.PING.billing"))
	want(t, a, false, false, "healthy", "")
	a, _ = once(t, p, watched(t, "nats:health"))
	want(t, a, false, false, "degraded", "")
	if a.report.Checks["database"].LatencyMS != 900 {
		t.Errorf("%+v", a.report)
	}
	a, _ = once(t, p, watched(t, "nats:broken"))
	want(t, a, false, false, "unhealthy", "service: answered with the error 500 no database")
	slow := watched(t, "nats:slow")
	slow.Timeout = 50 * time.Millisecond
	a, _ = once(t, p, slow)
	want(t, a, true, false, "", "timeout: no answer within 50ms")
	nc.Close()
	if r := p.probe(t.Context(), slow); !r.nothing {
		t.Errorf("without NATS: %+v", r)
	}
}

func TestHeartbeat(t *testing.T) {
	nc := broker(t)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "E", Subjects: []string{"alertd.metrics.>"}, Storage: jetstream.MemoryStorage}); err != nil {
		t.Fatal(err)
	}
	p := poller(t, Options{NATS: nc})

	w := watched(t, "heartbeat:orders.*")
	if r := p.probe(t.Context(), w); !r.nothing || w.deadline.Sub(w.listening) != w.Interval {
		t.Errorf("before anything came: %+v", r)
	}
	beat := func(subject string) {
		t.Helper()
		if err := nc.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	beat("orders.eu")
	for w.beat.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	a, _ := once(t, p, w)
	want(t, a, false, false, "healthy", "")
	w.beat.Store(time.Now().Add(-time.Minute).UnixNano())
	w.listening = time.Now().Add(-time.Hour)
	a, _ = once(t, p, w)
	want(t, a, true, false, "", "heartbeat: nothing on orders.* for 1m")

	w = watched(t, "heartbeat:never")
	p.probe(t.Context(), w)
	w.listening = time.Now().Add(-time.Minute)
	a, _ = once(t, p, w)
	want(t, a, true, false, "", "nothing on never since alertd listens (1m")

	// A stream remembers what came before we did.
	if _, err := js.Publish(t.Context(), "alertd.metrics.backup", nil); err != nil { // waits until it is there
		t.Fatal(err)
	}
	w = watched(t, "heartbeat:alertd.metrics.backup")
	w.Interval = time.Hour
	a, _ = once(t, p, w)
	want(t, a, false, false, "healthy", "")
	w = watched(t, "heartbeat:alertd.metrics.backup")
	w.Interval = time.Nanosecond
	a, _ = once(t, p, w)
	want(t, a, true, false, "", "nothing on alertd.metrics.backup for ")
}

// All kinds together in a running poller, with what it publishes.
func TestRunOverRealConnections(t *testing.T) {
	ca, trust := newAuthority(t)
	end := time.Now().Add(50 * time.Hour).Truncate(time.Second)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "OK") }))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{*ca.issue(t, end)}}
	s.StartTLS()
	t.Cleanup(s.Close)
	var b book
	p := New([]Target{
		{Service: "shop", URL: s.URL, Interval: time.Second},
		{Service: "redis", URL: "tcp://" + refusing, Interval: time.Second, FastInterval: 100 * time.Millisecond},
	}, b.publish(t), Options{TLS: trust})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	seen := func() (healthy, unhealthy, certificate bool) {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, h := range b.health {
			healthy = healthy || h.Service == "shop" && h.Status == alertd.Healthy
			unhealthy = unhealthy || h.Service == "redis" && h.Status == alertd.Unhealthy
		}
		for _, m := range b.metrics {
			certificate = certificate || m.Name == MetricCertificate && m.Labels["service"] == "shop" && m.Labels["domain"] == "127.0.0.1" && m.Value == float64(end.Unix())
		}
		return healthy, unhealthy, certificate
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		healthy, unhealthy, certificate := seen()
		if healthy && unhealthy && certificate {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("healthy %v, unhealthy %v, certificate %v", healthy, unhealthy, certificate)
		}
	}
	cancel()
	<-done
}

// What was published last is found in the stream, once, as long as it stands.
func TestRecall(t *testing.T) {
	nc := broker(t)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"alertd.>"}}); err != nil {
		t.Fatal(err)
	}
	p := poller(t, Options{NATS: nc})
	p.publish = func(_ context.Context, subject string, payload []byte) error {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		_, err := js.Publish(ctx, subject, payload)
		return err
	}
	w := watched(t, "tcp://redis:6379")
	p.recall(t.Context(), w)
	if w.decided || !w.recalled {
		t.Errorf("nothing is there: %+v", w.memory)
	}
	bad, _ := w.judge(&w.Target, []answer{said(kindTCP, alertd.Unhealthy)}, noDoubt, time.Now())
	p.send(t.Context(), bad)
	again := watched(t, "tcp://redis:6379")
	p.recall(t.Context(), again)
	if !again.down || !again.decided {
		t.Errorf("not recalled: %+v", again.memory)
	}
	p.send(t.Context(), alertd.Health{Service: w.Service, Withdrawn: true})
	again = watched(t, "tcp://redis:6379")
	p.recall(t.Context(), again)
	if again.decided {
		t.Errorf("it was withdrawn: %+v", again.memory)
	}
}
