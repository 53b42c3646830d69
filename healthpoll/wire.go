package healthpoll

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"alertd"
)

// alive is a good answer.
func alive(check string) answer { return answer{check: check, status: alertd.Healthy} }

// done notes the one answer of a target that has one.
func (r *result) done(a answer, since time.Time) {
	a.took = time.Since(since)
	r.answers = []answer{a}
}

// address is HOST:PORT of a URL that has both, or for which there is a usual port.
func (t *Target) address(port string) (host, address string) {
	u, err := url.Parse(t.URL)
	if err != nil {
		return "", "" // Normalize has seen it
	}
	return u.Hostname(), net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
}

func (p *Poller) askTCP(ctx context.Context, w *watch, r *result) {
	since := time.Now()
	_, address := w.address("")
	conn, err := (&net.Dialer{}).DialContext(r.watch.trace(ctx), "tcp", address)
	if err != nil {
		r.done(unreached(kindTCP, err, w.Timeout), since)
		return
	}
	conn.Close()
	r.done(alive(kindTCP), since)
}

// askTLS makes a handshake. The certificate is looked at even where it cannot be verified.
func (p *Poller) askTLS(ctx context.Context, w *watch, r *result) {
	since := time.Now()
	host, address := w.address("443")
	conn, err := (&net.Dialer{}).DialContext(r.watch.trace(ctx), "tcp", address)
	if err != nil {
		r.done(unreached(kindTLS, err, w.Timeout), since)
		return
	}
	defer conn.Close()
	client := tls.Client(conn, p.tlsFor(host))
	r.watch.start(phaseTLS)
	if err := client.HandshakeContext(ctx); err != nil {
		if cert, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			r.certificate(w, cert.UnverifiedCertificates, nil)
		}
		r.done(unreached(kindTLS, err, w.Timeout), since)
		return
	}
	r.watch.stop(phaseTLS)
	state := client.ConnectionState()
	r.certificate(w, state.PeerCertificates, state.VerifiedChains)
	r.done(alive(kindTLS), since)
}

// tlsFor is how certificates are checked, for a host.
func (p *Poller) tlsFor(host string) *tls.Config {
	c := p.tls.Clone()
	c.ServerName = host
	return c
}

func (p *Poller) askDNS(ctx context.Context, w *watch, r *result) {
	since := time.Now()
	u, err := url.Parse(w.URL)
	if err != nil {
		r.nothing = true // Normalize has seen it
		return
	}
	name, resolver := u.Opaque, net.DefaultResolver
	if name == "" {
		_, server := w.address("53")
		name = strings.Trim(u.Path, "/")
		resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, server)
		}}
	}
	r.watch.start(phaseDNS)
	if _, err := resolver.LookupHost(ctx, name); err != nil {
		a := unreached(kindDNS, err, w.Timeout)
		if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
			a.network = false // the server has answered
		}
		r.done(a, since)
		return
	}
	r.watch.stop(phaseDNS)
	r.done(alive(kindDNS), since)
}

// dialed is a gRPC connection and what went wrong last when it dialed.
type dialed struct {
	conn  *grpc.ClientConn
	cause chan error // of capacity 1
}

// askGRPC asks by grpc.health.v1. After a failure, and once an hour, it does so on a new connection: one that is kept
// waits longer and longer between its attempts.
func (p *Poller) askGRPC(ctx context.Context, w *watch, r *result) {
	since := time.Now()
	if w.grpc != nil && (w.failed || since.Sub(w.born) >= freshAfter) {
		w.hangUp()
	}
	host, address := w.address("")
	if w.grpc == nil {
		conn, err := p.dialGRPC(w, host, address)
		if err != nil {
			r.done(answer{check: kindGRPC, missed: true, reason: cut(reasonGRPC+": "+err.Error(), maxReason)}, since)
			return
		}
		w.grpc, w.born = conn, since
	}

	u, err := url.Parse(w.URL)
	if err != nil {
		r.nothing = true
		return
	}
	var from peer.Peer
	request := &grpc_health_v1.HealthCheckRequest{Service: strings.Trim(u.Path, "/")}
	r.watch.start(phaseFirstByte)
	reply, err := grpc_health_v1.NewHealthClient(w.grpc.conn).Check(ctx, request, grpc.Peer(&from))
	if info, ok := from.AuthInfo.(credentials.TLSInfo); ok {
		r.certificate(w, info.State.PeerCertificates, info.State.VerifiedChains)
	}
	if w.failed = err != nil; w.failed {
		r.done(w.grpc.explain(err, w), since)
		return
	}
	r.watch.stop(phaseFirstByte)
	a := answer{check: kindGRPC}
	switch reply.GetStatus() {
	case grpc_health_v1.HealthCheckResponse_SERVING:
		a.status = alertd.Healthy
	case grpc_health_v1.HealthCheckResponse_NOT_SERVING:
		a.status, a.reason = alertd.Unhealthy, reasonGRPC+": it says NOT_SERVING"
	default:
		a.status, a.reason = alertd.Degraded, cut(reasonGRPC+": it says "+reply.GetStatus().String(), maxReason)
	}
	r.done(a, since)
}

func (p *Poller) dialGRPC(w *watch, host, address string) (*dialed, error) {
	d := &dialed{cause: make(chan error, 1)}
	creds := insecure.NewCredentials()
	if w.kind() == kindGRPCS {
		creds = credentials.NewTLS(p.tlsFor(host))
	}
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(creds), grpc.WithUserAgent("alertd-healthpoll"),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxBody)), grpc.WithDisableServiceConfig(), grpc.WithNoProxy(),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			if err != nil {
				select {
				case d.cause <- err:
				default:
				}
			}
			return conn, err
		}))
	d.conn = conn
	return d, err
}

// explain says why a call failed. gRPC flattens the causes to texts: that of a dial we know ourselves.
func (d *dialed) explain(err error, w *watch) answer {
	s := status.Convert(err)
	switch s.Code() {
	case codes.Unimplemented:
		return answer{check: kindGRPC, missed: true, reason: reasonGRPC + ": the server does not speak grpc.health.v1"}
	case codes.NotFound:
		return answer{check: kindGRPC, missed: true, reason: reasonGRPC + ": the server does not know the service that the url names"}
	case codes.DeadlineExceeded:
		return unreached(kindGRPC, context.DeadlineExceeded, w.Timeout)
	case codes.Unavailable:
		select {
		case cause := <-d.cause:
			return unreached(kindGRPC, cause, w.Timeout)
		default:
		}
		if strings.Contains(s.Message(), "authentication handshake failed") {
			return answer{check: kindGRPC, missed: true, network: true, reason: cut(reasonTLS+": "+s.Message(), maxReason)}
		}
		return answer{check: kindGRPC, missed: true, network: true, reason: cut(reasonNetwork+": "+s.Message(), maxReason)}
	default:
		return answer{check: kindGRPC, missed: true, reason: cut(reasonGRPC+": "+s.Code().String()+": "+s.Message(), maxReason)}
	}
}
