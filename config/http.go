package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"golang.org/x/net/http/httpguts"
)

// HTTP is how the server of a receiver is spoken to, besides its URL: Alertmanager's http_config. The zero value is
// how alertd speaks to any server.
type HTTP struct {
	Authorization Secret      // value of the header of that name; "" sends none
	OAuth2        *OAuth2     // nil: no
	Headers       []Header    // more of them
	TLS           *tls.Config // nil: the system's roots and no client certificate
	Proxy         Proxy
}

// Header is one header of every request. Its values may be secrets.
type Header struct {
	Name   string
	Values []Secret
}

// Proxy is whom to ask to pass requests on. The zero value is what the environment says (HTTPS_PROXY, NO_PROXY).
type Proxy struct {
	URL     Secret // may hold a password
	NoProxy string // hosts that are spoken to directly, as in NO_PROXY
	Headers []Header
}

// readHTTP reads http_config. As in Alertmanager, the files that it names are relative to the routing file.
func (p *routingParser) readHTTP(n *yaml.Node) *HTTP {
	defer func(readFile func(string) ([]byte, error)) { p.readFile = readFile }(p.readFile)
	p.readFile = p.beside.read
	return p.reader.readHTTP(n)
}

// readHTTP reads http_config. What alertd does not do is an error where it is about credentials or about the way to the
// server, since the server would be spoken to in a way that nobody meant.
func (r *reader) readHTTP(n *yaml.Node) *HTTP {
	h := &HTTP{}
	var redirects bool
	http2, environment := true, true
	known := fields{
		"basic_auth":             func(n *yaml.Node) { h.Authorization = r.readBasicAuth(n) },
		"authorization":          func(n *yaml.Node) { h.Authorization = r.readAuthorization(n) },
		"bearer_token":           r.bearerTo(&h.Authorization, r.secretTo, "bearer_token"),
		"bearer_token_file":      r.bearerTo(&h.Authorization, r.secretFileTo, "bearer_token_file"),
		"tls_config":             func(n *yaml.Node) { h.TLS = r.readTLS(n) },
		"follow_redirects":       r.boolTo(&redirects, "follow_redirects"),
		"enable_http2":           r.boolTo(&http2, "enable_http2"),
		"proxy_from_environment": r.boolTo(&environment, "proxy_from_environment"),
		"oauth2":                 func(n *yaml.Node) { h.OAuth2 = r.readOAuth2(n) },
		"http_headers":           func(n *yaml.Node) { h.Headers = r.readHeaders(n) },
	}
	r.proxyTo(&h.Proxy, known)
	ok := r.object(n, "http_config", known)
	r.checkProxy(n, &h.Proxy)
	r.oneOf(n, "http_config", "basic_auth", "authorization", "bearer_token", "bearer_token_file", "oauth2")
	if redirects {
		r.warn(target(n), "http_config: alertd follows no redirects: a page must not wander off with its secrets; write the final URL")
	}
	if ok && (!http2 || !environment) {
		r.warn(target(n), "http_config: enable_http2 is always on, and so is proxy_from_environment where there is no proxy_url")
	}
	return h
}

// ourHeaders are set by alertd, or by HTTP itself.
var ourHeaders = []string{
	"Authorization", "Host", "Content-Encoding", "Content-Length", "Content-Type", "User-Agent", "Connection", "Keep-Alive",
	"Proxy-Authenticate", "Proxy-Authorization", "Www-Authenticate", "Accept-Encoding", "Transfer-Encoding",
	"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature",
}

// readHeaders reads {NAME: {values: […], secrets: […], files: […]}}.
func (r *reader) readHeaders(n *yaml.Node) (all []Header) {
	for _, e := range r.entries(n, "http_headers") {
		h := Header{Name: textproto.CanonicalMIMEHeaderKey(e.key.Value)}
		add := func(read func(*Secret, string) func(*yaml.Node)) func(*yaml.Node) {
			return func(n *yaml.Node) {
				for _, item := range r.list(n, "the values of a header") {
					var v Secret
					read(&v, "the value of header "+h.Name)(item)
					h.Values = append(h.Values, v)
				}
			}
		}
		r.object(e.value, "header "+quote(e.key.Value), fields{
			"values": add(r.secretTo), "secrets": add(r.secretTo), "files": add(r.secretFileTo),
		})
		r.addHeader(&all, h, e.key)
	}
	return all
}

// addHeader takes a header that HTTP can carry.
func (r *reader) addHeader(all *[]Header, h Header, at *yaml.Node) {
	bad := func(v Secret) bool { return !httpguts.ValidHeaderFieldValue(v.Reveal()) }
	switch {
	case !httpguts.ValidHeaderFieldName(h.Name):
		r.fail(at, "%s is not the name of a header", quote(at.Value))
	case slices.Contains(ourHeaders, h.Name):
		r.fail(at, "header %s is set by alertd and cannot be set here", h.Name)
	case slices.ContainsFunc(h.Values, bad):
		r.fail(at, "header %s has a value that no header can have, such as one of several lines", h.Name)
	default:
		*all = append(*all, h)
	}
}

// proxyTo adds the keys of a proxy.
func (r *reader) proxyTo(to *Proxy, known fields) {
	known["proxy_url"] = r.secretTo(&to.URL, "proxy_url")
	known["no_proxy"] = r.textTo(&to.NoProxy, "no_proxy")
	known["proxy_connect_header"] = func(n *yaml.Node) {
		for _, e := range r.entries(n, "proxy_connect_header") {
			h := Header{Name: textproto.CanonicalMIMEHeaderKey(e.key.Value)}
			for _, item := range r.list(e.value, "the values of a header") {
				var v Secret
				r.secretTo(&v, "the value of header "+h.Name)(item)
				h.Values = append(h.Values, v)
			}
			to.Headers = append(to.Headers, h)
		}
	}
}

func (r *reader) checkProxy(n *yaml.Node, to *Proxy) {
	if to.URL == "" {
		if to.NoProxy != "" {
			r.fail(target(n), "no_proxy needs a proxy_url; for the proxy of the environment set NO_PROXY there")
		}
		return
	}
	u, err := url.Parse(to.URL.Reveal())
	if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		r.fail(target(n), "proxy_url: want a URL like http://proxy:3128 (or https://, socks5://)")
	}
}

// bearerTo reads a token with one of the readers for secrets.
func (r *reader) bearerTo(to *Secret, reader func(*Secret, string) func(*yaml.Node), what string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		var token Secret
		if reader(&token, what)(n); token != "" {
			*to = "Bearer " + token
		}
	}
}

func (r *reader) readBasicAuth(n *yaml.Node) Secret {
	var user, password Secret
	r.object(n, "basic_auth", fields{
		"username":      r.secretTo(&user, "username"),
		"username_file": r.secretFileTo(&user, "username_file"),
		"password":      r.secretTo(&password, "password"),
		"password_file": r.secretFileTo(&password, "password_file"),
	})
	r.oneOf(n, "basic_auth", "username", "username_file")
	r.oneOf(n, "basic_auth", "password", "password_file")
	return Secret("Basic " + base64.StdEncoding.EncodeToString([]byte(user.Reveal()+":"+password.Reveal())))
}

func (r *reader) readAuthorization(n *yaml.Node) Secret {
	kind := "Bearer"
	var credentials Secret
	r.object(n, "authorization", fields{
		"type": func(n *yaml.Node) {
			r.textTo(&kind, "type")(n)
			if kind = strings.TrimSpace(kind); kind == "" {
				kind = "Bearer"
			}
			if strings.EqualFold(kind, "basic") {
				r.fail(target(n), "authorization: the type cannot be basic; use basic_auth")
			}
		},
		"credentials":      r.secretTo(&credentials, "credentials"),
		"credentials_file": r.secretFileTo(&credentials, "credentials_file"),
	})
	r.oneOf(n, "authorization", "credentials", "credentials_file")
	if credentials == "" {
		return ""
	}
	return Secret(kind+" ") + credentials
}

// readTLS reads tls_config and the certificates that it names.
func (r *reader) readTLS(n *yaml.Node) *tls.Config {
	var ca, cert, key Secret
	var least, most string
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	ok := r.object(n, "tls_config", fields{
		"ca": r.secretTo(&ca, "ca"), "ca_file": r.secretFileTo(&ca, "ca_file"),
		"cert": r.secretTo(&cert, "cert"), "cert_file": r.secretFileTo(&cert, "cert_file"),
		"key": r.secretTo(&key, "key"), "key_file": r.secretFileTo(&key, "key_file"),
		"server_name":          r.textTo(&c.ServerName, "server_name"),
		"insecure_skip_verify": r.boolTo(&c.InsecureSkipVerify, "insecure_skip_verify"),
		"min_version":          r.textTo(&least, "min_version"),
		"max_version":          r.textTo(&most, "max_version"),
	})
	r.oneOf(n, "tls_config", "ca", "ca_file")
	r.oneOf(n, "tls_config", "cert", "cert_file")
	r.oneOf(n, "tls_config", "key", "key_file")
	if !ok {
		return nil
	}
	n = target(n)
	r.tlsVersion(n, least, &c.MinVersion)
	r.tlsVersion(n, most, &c.MaxVersion)
	if ca != "" {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM([]byte(ca.Reveal())) {
			r.fail(n, "tls_config: there is no certificate in ca; want PEM, -----BEGIN CERTIFICATE-----")
		}
	}
	switch {
	case (cert == "") != (key == ""):
		r.fail(n, "tls_config: cert and key go together; add the other one")
	case cert != "":
		pair, err := tls.X509KeyPair([]byte(cert.Reveal()), []byte(key.Reveal()))
		if err != nil {
			r.fail(n, "tls_config: cert and key are no pair, or not PEM") // the library's error might quote them
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if c.InsecureSkipVerify {
		r.warn(n, "tls_config: insecure_skip_verify: whoever is on the way can read pages and their secrets")
	}
	return c
}

func (r *reader) tlsVersion(n *yaml.Node, name string, to *uint16) {
	versions := map[string]uint16{"TLS10": tls.VersionTLS10, "TLS11": tls.VersionTLS11, "TLS12": tls.VersionTLS12, "TLS13": tls.VersionTLS13}
	if v, ok := versions[name]; ok {
		*to = v
	} else if name != "" {
		r.fail(n, "tls_config: %s is none of TLS10, TLS11, TLS12, TLS13", quote(name))
	}
}
