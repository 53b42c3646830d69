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
	"net/url"
	"sync"
	"syscall"
	"time"

	"alertd"
)

// The checks that the poller itself adds to an event.
const (
	CheckLive  = "live"
	CheckReady = "ready"
)

// The reasons why a page is not what it should be begin with one of these words.
const (
	reasonRefused = "refused"
	reasonTimeout = "timeout"
	reasonDNS     = "dns"
	reasonTLS     = "tls"
	reasonNetwork = "network"
	reasonStatus  = "http status"
	reasonBody    = "body"
	reasonStale   = "stale"
)

const (
	fall       = 3               // misses in a row that make a service unhealthy
	fastAgain  = 2 * time.Second // between misses that do not count yet
	minFrozen  = time.Minute     // how long a timestamp may stand still, at least
	frozenRuns = 3               // and in intervals
)

// answer is what came back from one page.
type answer struct {
	code   int           // HTTP status; 0 where there was no answer
	said   bool          // the body could be read
	health alertd.Health // if said
	reason string        // what is wrong, with the word that it begins with; "" if nothing
	took   time.Duration
}

// memory is what the poller keeps of a target between probes.
type memory struct {
	misses int
	stamp  time.Time // newest timestamp of a body
	since  time.Time // when it was first seen, by our clock
}

// probe asks for both pages at once.
func (p *Poller) probe(ctx context.Context, t Target) (live, ready answer) {
	var wg sync.WaitGroup
	wg.Go(func() { live = p.get(ctx, t.URL+t.Live, t.Timeout) })
	wg.Go(func() { ready = p.get(ctx, t.URL+t.Ready, t.Timeout) })
	wg.Wait()
	return live, ready
}

func (p *Poller) get(ctx context.Context, page string, timeout time.Duration) (a answer) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	defer func() { a.took = time.Since(start) }()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return answer{reason: reasonNetwork + ": the address is not a URL"}
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "alertd-healthpoll")
	resp, err := p.client.Do(req)
	if err != nil {
		return answer{reason: explain(err, timeout)}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return answer{reason: explain(err, timeout)} // half an answer is none
	}

	a.code = resp.StatusCode
	h, err := ParseBody(resp.StatusCode, body)
	a.said, a.health = err == nil, h
	switch {
	case success(a.code) && err != nil:
		a.reason = fmt.Sprintf("%s: answered %d, but %v", reasonBody, a.code, err)
	case 300 <= a.code && a.code < 400:
		a.said = false // the page is somewhere else
		a.reason = fmt.Sprintf("%s: answered %d, a redirect, which is not followed; write the page's own address into the target", reasonStatus, a.code)
	case !success(a.code):
		a.reason = fmt.Sprintf("%s: answered %d", reasonStatus, a.code)
	}
	return a
}

// explain says in a few words why there was no answer. It leaves out the URL, which may hold a password.
func explain(err error, timeout time.Duration) string {
	var dns *net.DNSError
	var record tls.RecordHeaderError
	var cert *tls.CertificateVerificationError
	var alert tls.AlertError
	var authority x509.UnknownAuthorityError
	var wrapped *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("%s: no answer within %s", reasonTimeout, timeout)
	case errors.As(err, &dns):
		return cut(fmt.Sprintf("%s: %s: %s", reasonDNS, dns.Name, dns.Err), maxReason)
	case errors.Is(err, syscall.ECONNREFUSED):
		return reasonRefused + ": nothing listens there"
	case errors.As(err, &cert), errors.As(err, &authority), errors.As(err, &alert):
		return cut(reasonTLS+": "+inner(err).Error(), maxReason)
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return reasonTLS + ": the answer is not TLS; is it an http address?"
	case errors.As(err, &wrapped):
		return cut(reasonNetwork+": "+wrapped.Err.Error(), maxReason)
	default:
		return cut(reasonNetwork+": "+err.Error(), maxReason)
	}
}

// inner is the cause under the URL.
func inner(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// judge makes the event of two answers. See the package's comment for what counts how.
func (m *memory) judge(t Target, live, ready answer, now time.Time) alertd.Health {
	h := alertd.Health{Service: t.Service, Checks: map[string]alertd.HealthCheck{}, Timestamp: now.UTC().Truncate(time.Millisecond)}
	if ready.said {
		for name, c := range ready.health.Checks {
			h.Checks[name] = c
		}
	}

	l := alertd.HealthCheck{Status: alertd.Healthy, LatencyMS: milliseconds(live.took), Error: live.reason}
	missed := false
	switch {
	case live.said:
		l.Status = live.health.Status
	case success(live.code):
		l.Error = "" // a body is not wanted: it answers, so it lives
	default:
		l.Status, missed = alertd.Unhealthy, true
	}

	r := alertd.HealthCheck{Status: alertd.Unhealthy, LatencyMS: milliseconds(ready.took), Error: ready.reason}
	switch {
	case ready.said:
		r.Status = ready.health.Status
		if frozen := m.frozen(t, ready.health.Timestamp, now); frozen > 0 && r.Status != alertd.Unhealthy {
			r.Status = alertd.Unhealthy
			r.Error = fmt.Sprintf("%s: the body's timestamp has not changed for %s", reasonStale, frozen.Round(time.Second))
		}
	case success(ready.code):
		r.Status = alertd.Degraded
	default:
		missed = true
	}

	if !missed {
		m.misses = 0
	} else if m.misses++; m.misses < fall {
		note := fmt.Sprintf(" (%d of %d)", m.misses, fall)
		if !live.said && l.Status == alertd.Unhealthy {
			l.Status, l.Error = alertd.Degraded, l.Error+note
		}
		if !ready.said && r.Status == alertd.Unhealthy {
			r.Status, r.Error = alertd.Degraded, r.Error+note
		}
	}
	h.Checks[CheckLive], h.Checks[CheckReady] = l, r
	h.Status = l.Status.Worse(r.Status)
	return h
}

// undecided reports whether the target missed, but not often enough to count.
func (m *memory) undecided() bool { return 0 < m.misses && m.misses < fall }

// frozen is how long the timestamp has been standing still, if that is too long.
func (m *memory) frozen(t Target, stamp, now time.Time) time.Duration {
	if stamp.IsZero() || !stamp.Equal(m.stamp) {
		m.stamp, m.since = stamp, now
		return 0
	}
	if d := now.Sub(m.since); d > max(minFrozen, frozenRuns*t.Interval) {
		return d
	}
	return 0
}

// milliseconds has a resolution of a microsecond; more would be noise.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
