package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"strings"

	"go.yaml.in/yaml/v3"
)

// HTTP is how the server of a receiver is spoken to, besides its URL: Alertmanager's http_config. The zero value is
// how alertd speaks to any server.
type HTTP struct {
	Authorization Secret      // value of the header of that name; "" sends none
	TLS           *tls.Config // nil: the system's roots and no client certificate
}

// readHTTP reads http_config. What alertd does not do is an error where it is about credentials or about the way to the
// server, since the server would be spoken to in a way that nobody meant.
func (p *routingParser) readHTTP(n *yaml.Node) *HTTP {
	h := &HTTP{}
	refuse := func(key, instead string) func(*yaml.Node) {
		return func(n *yaml.Node) {
			if !absent(target(n)) {
				p.fail(target(n), "http_config: alertd does not do %s; %s", key, instead)
			}
		}
	}
	var redirects bool
	http2, environment := true, true
	proxy := "set HTTPS_PROXY in alertd's environment, which is used for every receiver"
	ok := p.object(n, "http_config", fields{
		"basic_auth":             func(n *yaml.Node) { h.Authorization = p.readBasicAuth(n) },
		"authorization":          func(n *yaml.Node) { h.Authorization = p.readAuthorization(n) },
		"bearer_token":           p.bearerTo(&h.Authorization, p.secretTo, "bearer_token"),
		"bearer_token_file":      p.bearerTo(&h.Authorization, p.secretFileTo, "bearer_token_file"),
		"tls_config":             func(n *yaml.Node) { h.TLS = p.readTLS(n) },
		"follow_redirects":       p.boolTo(&redirects, "follow_redirects"),
		"enable_http2":           p.boolTo(&http2, "enable_http2"),
		"proxy_from_environment": p.boolTo(&environment, "proxy_from_environment"),
		"oauth2":                 refuse("oauth2", "use authorization or basic_auth, or a proxy that adds the token"),
		"http_headers":           refuse("http_headers", "use authorization or basic_auth, or a proxy that adds them"),
		"proxy_url":              refuse("proxy_url", proxy),
		"no_proxy":               refuse("no_proxy", "set NO_PROXY in alertd's environment"),
		"proxy_connect_header":   refuse("proxy_connect_header", proxy),
	})
	p.oneOf(n, "http_config", "basic_auth", "authorization", "bearer_token", "bearer_token_file", "oauth2")
	if redirects {
		p.warn(target(n), "http_config: alertd follows no redirects: a page must not wander off with its secrets; write the final URL")
	}
	if ok && (!http2 || !environment) {
		p.warn(target(n), "http_config: enable_http2 and proxy_from_environment are always on")
	}
	return h
}

// bearerTo reads a token with one of the readers for secrets.
func (p *routingParser) bearerTo(to *Secret, reader func(*Secret, string) func(*yaml.Node), what string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		var token Secret
		if reader(&token, what)(n); token != "" {
			*to = "Bearer " + token
		}
	}
}

func (p *routingParser) readBasicAuth(n *yaml.Node) Secret {
	var user, password Secret
	p.object(n, "basic_auth", fields{
		"username":      p.secretTo(&user, "username"),
		"username_file": p.secretFileTo(&user, "username_file"),
		"password":      p.secretTo(&password, "password"),
		"password_file": p.secretFileTo(&password, "password_file"),
	})
	p.oneOf(n, "basic_auth", "username", "username_file")
	p.oneOf(n, "basic_auth", "password", "password_file")
	return Secret("Basic " + base64.StdEncoding.EncodeToString([]byte(user.Reveal()+":"+password.Reveal())))
}

func (p *routingParser) readAuthorization(n *yaml.Node) Secret {
	kind := "Bearer"
	var credentials Secret
	p.object(n, "authorization", fields{
		"type": func(n *yaml.Node) {
			p.textTo(&kind, "type")(n)
			if kind = strings.TrimSpace(kind); kind == "" {
				kind = "Bearer"
			}
			if strings.EqualFold(kind, "basic") {
				p.fail(target(n), "authorization: the type cannot be basic; use basic_auth")
			}
		},
		"credentials":      p.secretTo(&credentials, "credentials"),
		"credentials_file": p.secretFileTo(&credentials, "credentials_file"),
	})
	p.oneOf(n, "authorization", "credentials", "credentials_file")
	if credentials == "" {
		return ""
	}
	return Secret(kind+" ") + credentials
}

// readTLS reads tls_config and the certificates that it names.
func (p *routingParser) readTLS(n *yaml.Node) *tls.Config {
	var ca, cert, key Secret
	var least, most string
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	ok := p.object(n, "tls_config", fields{
		"ca": p.secretTo(&ca, "ca"), "ca_file": p.secretFileTo(&ca, "ca_file"),
		"cert": p.secretTo(&cert, "cert"), "cert_file": p.secretFileTo(&cert, "cert_file"),
		"key": p.secretTo(&key, "key"), "key_file": p.secretFileTo(&key, "key_file"),
		"server_name":          p.textTo(&c.ServerName, "server_name"),
		"insecure_skip_verify": p.boolTo(&c.InsecureSkipVerify, "insecure_skip_verify"),
		"min_version":          p.textTo(&least, "min_version"),
		"max_version":          p.textTo(&most, "max_version"),
	})
	p.oneOf(n, "tls_config", "ca", "ca_file")
	p.oneOf(n, "tls_config", "cert", "cert_file")
	p.oneOf(n, "tls_config", "key", "key_file")
	if !ok {
		return nil
	}
	n = target(n)
	p.tlsVersion(n, least, &c.MinVersion)
	p.tlsVersion(n, most, &c.MaxVersion)
	if ca != "" {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM([]byte(ca.Reveal())) {
			p.fail(n, "tls_config: there is no certificate in ca; want PEM, -----BEGIN CERTIFICATE-----")
		}
	}
	switch {
	case (cert == "") != (key == ""):
		p.fail(n, "tls_config: cert and key go together; add the other one")
	case cert != "":
		pair, err := tls.X509KeyPair([]byte(cert.Reveal()), []byte(key.Reveal()))
		if err != nil {
			p.fail(n, "tls_config: cert and key are no pair, or not PEM") // the library's error might quote them
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if c.InsecureSkipVerify {
		p.warn(n, "tls_config: insecure_skip_verify: whoever is on the way can read pages and their secrets")
	}
	return c
}

func (p *routingParser) tlsVersion(n *yaml.Node, name string, to *uint16) {
	versions := map[string]uint16{"TLS10": tls.VersionTLS10, "TLS11": tls.VersionTLS11, "TLS12": tls.VersionTLS12, "TLS13": tls.VersionTLS13}
	if v, ok := versions[name]; ok {
		*to = v
	} else if name != "" {
		p.fail(n, "tls_config: %s is none of TLS10, TLS11, TLS12, TLS13", quote(name))
	}
}
