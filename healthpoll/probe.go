package healthpoll

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"alertd"
	"alertd/tracectx"
)

// The checks that the poller itself adds to the event of an http target. For the other kinds it is one, and has the
// name of the kind.
const (
	checkLive  = "live"
	checkReady = "ready"
)

// The reasons why an answer is not what it should be begin with one of these words.
const (
	reasonRefused       = "refused"
	reasonTimeout       = "timeout"
	reasonDNS           = "dns"
	reasonTLS           = "tls"
	reasonNetwork       = "network"
	reasonStatus        = "http status"
	reasonBody          = "body"
	reasonStale         = "stale"
	reasonContradiction = "contradiction"
	reasonGRPC          = "grpc"
	reasonService       = "service"
	reasonHeartbeat     = "heartbeat"
)

// freshAfter is how old a connection may become: a kept one says nothing about DNS and the certificate.
const freshAfter = time.Hour

// answer is what came back from one question.
type answer struct {
	check   string              // its name in the event
	missed  bool                // nothing came that says how the service is
	network bool                // missed, and that may be the network's or our own fault
	status  alertd.HealthStatus // what it means, if not missed
	reason  string              // what is wrong, with the word that it begins with; "" if nothing
	report  Report              // what a body said
	took    time.Duration

	shown alertd.HealthCheck // what it became in the event
}

// word is the first of the reason, if the service was not reached.
func (a *answer) word() string {
	if !a.missed || !a.network {
		return ""
	}
	word, _, _ := strings.Cut(a.reason, ":")
	return word
}

// unreached is an answer that did not come.
func unreached(check string, err error, timeout time.Duration) answer {
	return answer{check: check, missed: true, network: true, reason: explain(err, timeout)}
}

// result is what a probe learned.
type result struct {
	answers []answer // one or two
	watch   stopwatch
	expiry  time.Time // of the certificate; zero if there was none
	domain  string    // that it is for
	nothing bool      // nothing can be said, not even that it was missed
}

// The phases of a probe.
const (
	phaseDNS = iota
	phaseConnect
	phaseTLS
	phaseFirstByte
	phaseTotal
	phases
)

var phaseNames = [phases]string{"dns", "connect", "tls", "first_byte", "total"}

// stopwatch measures phases. Those of a dial may go on, and call it, after the question was given up.
type stopwatch struct {
	mu    sync.Mutex
	began [phases]time.Time
	took  [phases]time.Duration
	dials bool // a connection was made
}

func (w *stopwatch) start(phase int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.began[phase] = time.Now()
}

func (w *stopwatch) stop(phase int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.began[phase].IsZero() {
		w.took[phase] = max(w.took[phase], time.Since(w.began[phase]))
	}
}

func (w *stopwatch) read() (took [phases]time.Duration, dials bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.took, w.dials
}

// trace makes the context tell the stopwatch about phases.
func (w *stopwatch) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart:     func(httptrace.DNSStartInfo) { w.start(phaseDNS) },
		DNSDone:      func(httptrace.DNSDoneInfo) { w.stop(phaseDNS) },
		ConnectStart: func(string, string) { w.start(phaseConnect) },
		ConnectDone: func(_, _ string, err error) {
			if err == nil {
				w.stop(phaseConnect)
			}
		},
		TLSHandshakeStart: func() { w.start(phaseTLS) },
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			if err == nil {
				w.stop(phaseTLS)
			}
		},
		GotConn: func(info httptrace.GotConnInfo) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.dials = w.dials || !info.Reused
		},
		WroteRequest:         func(httptrace.WroteRequestInfo) { w.start(phaseFirstByte) },
		GotFirstResponseByte: func() { w.stop(phaseFirstByte) },
	})
}

// probe asks a target in the way of its kind.
func (p *Poller) probe(ctx context.Context, w *watch) *result {
	r := &result{}
	r.watch.start(phaseTotal)
	whole, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	switch w.kind() {
	case kindHTTP, kindHTTPS:
		p.askPages(whole, w, r)
	case kindTCP:
		p.askTCP(whole, w, r)
	case kindTLS:
		p.askTLS(whole, w, r)
	case kindDNS:
		p.askDNS(whole, w, r)
	case kindGRPC, kindGRPCS:
		p.askGRPC(whole, w, r)
	case kindNATS:
		p.askNATS(whole, w, r)
	case kindHeartbeat:
		p.listen(whole, w, r)
	}
	r.watch.stop(phaseTotal)
	return r
}

// askPages asks for both pages of an http target, one after the other on the same connection. What cannot be reached
// is not asked twice.
func (p *Poller) askPages(ctx context.Context, w *watch, r *result) {
	now := time.Now()
	ctx = r.watch.trace(ctx)
	live, code, err := p.page(ctx, w, r, w.URL+w.Live, false)
	live.check, live.took = checkLive, time.Since(now)
	if err != nil && success(code) {
		live.status, live.reason = alertd.Healthy, "" // a body is not wanted: it answers, so it lives
	}
	ready := live
	if !live.network {
		now = time.Now()
		_, dialed := r.watch.read()
		last := !dialed && (w.failed || now.Sub(w.born) >= freshAfter)
		ready, code, err = p.page(ctx, w, r, w.URL+w.Ready, last)
		ready.took = time.Since(now)
		if err != nil && success(code) {
			ready.status, ready.reason = alertd.Degraded, fmt.Sprintf("%s: answered %d, but %v", reasonBody, code, err)
		}
	}
	ready.check = checkReady
	live.report = Report{} // the components are those of the ready page
	r.answers = []answer{live, ready}
	if _, dials := r.watch.read(); dials {
		w.born = time.Now()
	}
	w.failed = live.missed || ready.missed
}

// page asks for one page. The code is 0 where none came; the error says why the body of an answer cannot be read.
func (p *Poller) page(ctx context.Context, w *watch, r *result, page string, last bool) (a answer, code int, unread error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return answer{missed: true, reason: reasonNetwork + ": the address is not a URL"}, 0, nil
	}
	req.Header.Set("Accept", "application/health+json, application/json, text/plain;q=0.5, */*;q=0.1")
	req.Header.Set("User-Agent", "alertd-healthpoll")
	req.Close = last // the next probe then makes a connection
	resp, err := p.client.Do(req)
	if err != nil {
		if cert, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			r.certificate(w, cert.UnverifiedCertificates, nil)
		}
		return unreached("", err, w.Timeout), 0, nil
	}
	defer resp.Body.Close()
	if resp.TLS != nil {
		r.certificate(w, resp.TLS.PeerCertificates, resp.TLS.VerifiedChains)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return unreached("", err, w.Timeout), 0, nil // half an answer is none
	}

	code = resp.StatusCode
	a.report, unread = ParseBody(code, body)
	if trace := traceOf(resp.Header); a.report.TraceID == "" && !trace.Unsampled {
		a.report.TraceID, a.report.SpanID = trace.TraceID, trace.SpanID
	}
	switch {
	case 300 <= code && code < 400: // the page is somewhere else, whatever is written here
		a.report, a.missed = Report{}, true
		a.reason = fmt.Sprintf("%s: answered %d, a redirect, which is not followed; write the page's own address into the target", reasonStatus, code)
	case unread == nil:
		a.status, a.reason = a.report.Status, a.report.Reason
		if a.reason == "" && !success(code) {
			a.reason = fmt.Sprintf("%s: answered %d", reasonStatus, code)
		}
	case !success(code):
		a.missed, a.reason = true, fmt.Sprintf("%s: answered %d", reasonStatus, code)
	}
	return a, code, unread
}

// traceOf is the trace in which a service has answered, if it says so: in the field that W3C Trace Context has for
// answers, or in that for questions, as many do.
func traceOf(h http.Header) alertd.TraceRef {
	if trace := tracectx.FromHeader(tracectx.Header{"traceparent": h.Values("traceresponse")}); !trace.IsZero() {
		return trace
	}
	return tracectx.FromHeader(h)
}

// certificate notes until when the certificate is good: the last chain that can be verified, or, where none can,
// the certificate itself.
func (r *result) certificate(w *watch, peer []*x509.Certificate, chains [][]*x509.Certificate) {
	if u, err := url.Parse(w.URL); err == nil {
		r.domain = u.Hostname()
	}
	if len(peer) > 0 && len(chains) == 0 {
		r.expiry = peer[0].NotAfter
	}
	for _, chain := range chains {
		first := chain[0].NotAfter
		for _, c := range chain {
			if c.NotAfter.Before(first) {
				first = c.NotAfter
			}
		}
		if first.After(r.expiry) {
			r.expiry = first
		}
	}
}

// explain says in a few words why there was no answer. It leaves out the URL, which may hold a password.
func explain(err error, timeout time.Duration) string {
	var dns *net.DNSError
	var record tls.RecordHeaderError
	var cert *tls.CertificateVerificationError
	var alert tls.AlertError
	var authority x509.UnknownAuthorityError
	switch {
	case errors.As(err, &dns):
		return cut(fmt.Sprintf("%s: %s: %s", reasonDNS, dns.Name, dns.Err), maxReason)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("%s: no answer within %s", reasonTimeout, timeout)
	case errors.Is(err, syscall.ECONNREFUSED):
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Addr != nil {
			return reasonRefused + ": nothing listens at " + op.Addr.String()
		}
		return reasonRefused + ": nothing listens there"
	case errors.As(err, &cert), errors.As(err, &authority), errors.As(err, &alert):
		return cut(reasonTLS+": "+inner(err).Error(), maxReason)
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return reasonTLS + ": the answer is not TLS; is it an http address?"
	default:
		return cut(reasonNetwork+": "+inner(err).Error(), maxReason)
	}
}

// inner is the cause under the URL.
func inner(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}
