package notifier

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"alertd"

	"code.dny.dev/ssrf"
)

// NewClient returns the HTTP client that senders use. It follows no redirect (a page must not wander off with
// its secrets), dials no link-local, multicast or cloud metadata address whatever a name resolves to, and marks the
// errors after which certainly nothing was sent, which [TransportError] reads. Loopback and private networks
// are allowed: receivers mostly live there. A proxy from the environment is used; then it is the proxy's
// address that is checked.
func NewClient() *http.Client { return NewClientWith(nil, nil, nil) }

// NewClientWith is [NewClient] for a server that wants certificates of its own, or is reached by a proxy of its own, which
// may want headers. What is nil is as in NewClient.
func NewClientWith(c *tls.Config, proxy func(*http.Request) (*url.URL, error), toProxy http.Header) *http.Client {
	if proxy == nil {
		proxy = http.ProxyFromEnvironment
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second, Control: guard()}
	return Client(&http.Client{Transport: &http.Transport{
		Proxy:                 proxy,
		ProxyConnectHeader:    toProxy,
		DialContext:           dialer.DialContext,
		ForceAttemptHTTP2:     true,
		TLSClientConfig:       c,
		TLSHandshakeTimeout:   5 * time.Second,
		MaxIdleConnsPerHost:   4,
		ExpectContinueTimeout: time.Second,
		// Short, because a firewall that forgets an idle connection costs the next page a whole time-out.
		IdleConnTimeout: 30 * time.Second,
	}})
}

// Client returns a copy of c that follows no redirect and marks its errors for [TransportError]. For nil it is
// [NewClient].
func Client(c *http.Client) *http.Client {
	if c == nil {
		return NewClient()
	}
	if _, done := c.Transport.(*markingTransport); done {
		return c
	}
	marked := *c
	if marked.Transport == nil {
		marked.Transport = http.DefaultTransport
	}
	marked.Transport = &markingTransport{next: marked.Transport}
	marked.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &marked
}

// Prefixes that the guard's own list refuses and that receivers are found in.
var (
	allowedV4 = []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("100.64.0.0/10"),
	}
	allowedV6 = []netip.Prefix{netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("fc00::/7")}
)

// Metadata services of clouds that answer inside those prefixes: whoever can read them owns the machine.
var metadataAddrs = []netip.Addr{netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("fd00:ec2::254")}

var errMetadata = errors.New("it is a cloud metadata address")

func guard() func(network, address string, c syscall.RawConn) error {
	g := ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(allowedV4...), ssrf.WithAllowedV6Prefixes(allowedV6...))
	return func(network, address string, c syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		for _, a := range metadataAddrs {
			if ap.Addr().Unmap() == a {
				return errMetadata
			}
		}
		return g.Safe(network, address, c)
	}
}

// unsentError marks an error after which the peer cannot have acted on the request.
type unsentError struct{ error }

func (e unsentError) Unwrap() error { return e.error }

// markingTransport knows whether a request left. A request that was not written to its end counts as not sent:
// its Content-Length makes the peer refuse it.
type markingTransport struct{ next http.RoundTripper }

func (t *markingTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	var connected, broke atomic.Bool // the trace is called from the transport's goroutines
	trace := &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true); broke.Store(false) },
		WroteRequest: func(i httptrace.WroteRequestInfo) {
			if i.Err != nil {
				broke.Store(true)
			}
		},
	}
	req, end := traced(req)
	resp, err := t.next.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	end(resp, err)
	if err != nil && (!connected.Load() || broke.Load()) {
		return resp, unsentError{err}
	}
	return resp, err
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the transport below.
func (t *markingTransport) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// TransportError says what the error of an HTTP exchange without an answer means. Where nothing was sent it may
// be tried again at once; else it may have arrived. The URL is a secret, so it is taken out of the text.
func TransportError(err error) *alertd.DeliveryError {
	de := &alertd.DeliveryError{Err: withoutURL(err)}
	unsent, isUnsent := errors.AsType[unsentError](err)
	switch {
	case errors.Is(err, ssrf.ErrProhibitedIP), errors.Is(err, ssrf.ErrProhibitedNetwork), errors.Is(err, errMetadata):
		de.Outcome, de.Class = alertd.Failed, alertd.FailureDestination
		de.Err = fmt.Errorf("alertd does not send to this address: %w", withoutURL(err))
	case isUnsent:
		de.Outcome, de.Class, de.Err = alertd.Retry, alertd.FailureNetwork, cmp.Or(aboutTLS(err), withoutURL(unsent.error))
	case isTimeout(err):
		de.Outcome, de.Class = alertd.Unknown, alertd.FailureTimeout
		de.Err = fmt.Errorf("sent, but no answer came in time: %w", withoutURL(err))
	default:
		de.Outcome, de.Class = alertd.Unknown, alertd.FailureServer
		de.Err = cmp.Or(aboutTLS(err), fmt.Errorf("sent, but the connection ended without an answer: %w", withoutURL(err)))
	}
	return de
}

func isTimeout(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

// withoutURL unwraps what net/http put around the cause, since that names the URL.
func withoutURL(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	if u, ok := errors.AsType[unsentError](err); ok {
		err = u.error
	}
	return err
}

// Answer is what a peer answered to [Post].
type Answer struct {
	Status     int
	RetryAfter time.Duration // what the peer asked for, at most MaxRetryAfter; 0: not said
	Body       string        // its first 4 KiB
}

const maxAnswer = 4 << 10

// Post sends one request and reads its answer, of which it keeps 4 KiB. The error is a transport error: there
// was no answer. Client must come from [Client] or [NewClient].
func Post(ctx context.Context, client *http.Client, to string, header http.Header, body []byte, now time.Time) (Answer, *alertd.DeliveryError) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return Answer{}, &alertd.DeliveryError{Outcome: alertd.Failed, Class: alertd.FailureConfig, Err: withoutURL(err)}
	}
	req.Header = header
	resp, err := client.Do(req)
	if err != nil {
		return Answer{}, TransportError(err)
	}
	defer resp.Body.Close()
	// The status is the answer; a body that breaks off changes nothing.
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return Answer{
		Status:     resp.StatusCode,
		RetryAfter: ParseRetryAfter(resp.Header.Get("Retry-After"), now),
		Body:       strings.ToValidUTF8(string(text), "\uFFFD"),
	}, nil
}

// ParseRetryAfter reads the header Retry-After: seconds, or an HTTP date. What cannot be read, or is past, is
// 0; more than MaxRetryAfter is MaxRetryAfter.
func ParseRetryAfter(s string, now time.Time) time.Duration {
	s = strings.TrimSpace(s)
	var d time.Duration
	if seconds, err := strconv.ParseFloat(s, 64); err == nil {
		if !(seconds < MaxRetryAfter.Seconds()) { // also NaN
			seconds = MaxRetryAfter.Seconds()
		}
		d = time.Duration(seconds * float64(time.Second))
	} else if t, err := http.ParseTime(s); err == nil {
		d = t.Sub(now)
	}
	return min(max(d, 0), MaxRetryAfter)
}

// StatusError says what an HTTP status other than 2xx means for a delivery, by the rules of Standard Webhooks. Err
// names the status and what the peer said.
func StatusError(a Answer) *alertd.DeliveryError {
	de := &alertd.DeliveryError{Outcome: alertd.Failed, RetryAfter: a.RetryAfter}
	switch {
	case a.Status == http.StatusTooManyRequests:
		de.Outcome, de.Class = alertd.Retry, alertd.FailureRateLimited
	case a.Status == http.StatusRequestTimeout:
		de.Outcome, de.Class = alertd.Retry, alertd.FailureTimeout
	case a.Status >= 500:
		de.Outcome, de.Class = alertd.Retry, alertd.FailureServer
	case a.Status == http.StatusUnauthorized, a.Status == http.StatusForbidden, a.Status == http.StatusProxyAuthRequired:
		de.Class = alertd.FailureAuth
	case a.Status == http.StatusNotFound, a.Status == http.StatusGone, a.Status == http.StatusMethodNotAllowed:
		de.Class = alertd.FailureDestination
	case a.Status >= 400:
		de.Class = alertd.FailurePayload
	default:
		de.Class = alertd.FailureDestination
	}
	de.Err = fmt.Errorf("answered %s%s", statusLine(a.Status), said(a.Body))
	switch {
	case a.Status >= 300 && a.Status < 400:
		de.Err = fmt.Errorf("%w; redirects are not followed: configure the URL that it leads to", de.Err)
	case a.Status == http.StatusGone:
		de.Err = fmt.Errorf("%w; the receiver is gone for good: remove it from the configuration", de.Err)
	}
	return de
}

func statusLine(code int) string {
	if t := http.StatusText(code); t != "" {
		return strconv.Itoa(code) + " " + t
	}
	return strconv.Itoa(code)
}

func said(body string) string {
	if body = Line(body, 200); body == "" {
		return ""
	}
	return ": " + body
}
