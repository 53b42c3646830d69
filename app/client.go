package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/http/httpproxy"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"alertd/config"
	"alertd/notifier"
)

// client speaks to a server as its http_config says.
func client(h *config.HTTP) *http.Client {
	if h == nil {
		return notifier.NewClient()
	}
	c := notifier.NewClientWith(h.TLS, proxyOf(h.Proxy), headersOf(h.Proxy.Headers))
	if len(h.Headers) > 0 {
		c.Transport = headed{c.Transport, headersOf(h.Headers)}
	}
	switch {
	case h.OAuth2 != nil:
		c.Transport = withToken(c.Transport, h.OAuth2)
	case h.Authorization != "":
		c.Transport = headed{c.Transport, http.Header{"Authorization": {h.Authorization.Reveal()}}}
	}
	return c
}

func headersOf(all []config.Header) http.Header {
	out := http.Header{}
	for _, h := range all {
		for _, v := range h.Values {
			out.Add(h.Name, v.Reveal())
		}
	}
	return out
}

// proxyOf is nil where the environment says it.
func proxyOf(p config.Proxy) func(*http.Request) (*url.URL, error) {
	if p.URL == "" {
		return nil
	}
	to := httpproxy.Config{HTTPProxy: p.URL.Reveal(), HTTPSProxy: p.URL.Reveal(), NoProxy: p.NoProxy}
	find := to.ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return find(r.URL) }
}

// headed adds headers, credentials among them. No redirect is followed, so nobody else gets them.
type headed struct {
	next   http.RoundTripper
	header http.Header
}

// RoundTrip leaves the caller's request as it is.
func (t headed) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	maps.Copy(r.Header, t.header)
	return t.next.RoundTrip(r)
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the transport below.
func (t headed) CloseIdleConnections() { closeIdle(t.next) }

func closeIdle(t http.RoundTripper) {
	if c, ok := t.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// tokenTimeout bounds how long a token may take.
const tokenTimeout = 10 * time.Second

// withToken gets a token, keeps it as long as it is valid, and adds it to every request.
func withToken(next http.RoundTripper, o *config.OAuth2) http.RoundTripper {
	params := url.Values{}
	for k, v := range o.EndpointParams {
		params.Set(k, v.Reveal())
	}
	cc := clientcredentials.Config{
		ClientID: o.ClientID, ClientSecret: o.ClientSecret.Reveal(), TokenURL: o.TokenURL.Reveal(), Scopes: o.Scopes, EndpointParams: params,
	}
	asks := withTimeout(notifier.NewClientWith(o.TLS, proxyOf(o.Proxy), headersOf(o.Proxy.Headers)), tokenTimeout)
	source := cc.TokenSource(context.WithValue(context.Background(), oauth2.HTTPClient, asks))
	return tokened{&oauth2.Transport{Source: discreet{source}, Base: next}}
}

type tokened struct{ *oauth2.Transport }

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the transport below.
func (t tokened) CloseIdleConnections() { closeIdle(t.Base) }

// discreet keeps what the token's endpoint answers out of errors: it may repeat what it was sent.
type discreet struct{ oauth2.TokenSource }

// Token is the present one, or a new one.
func (d discreet) Token() (*oauth2.Token, error) {
	t, err := d.TokenSource.Token()
	if re, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return nil, fmt.Errorf("oauth2: the token_url answered %s %s", re.Response.Status, notifier.Line(re.ErrorCode, 60))
	}
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return nil, fmt.Errorf("oauth2: no token: %w", ue.Err)
	}
	return t, err
}

// withTimeout bounds every exchange; 0 leaves that to whoever asks.
func withTimeout(c *http.Client, d time.Duration) *http.Client {
	if d == 0 {
		return c
	}
	limited := *c
	limited.Timeout = d
	return &limited
}
