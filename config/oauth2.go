package config

import (
	"crypto/tls"

	"go.yaml.in/yaml/v3"
)

// OAuth2 is how a token is got for every request: by the client's own credentials (RFC 6749, 4.4).
type OAuth2 struct {
	ClientID       string
	ClientSecret   Secret
	TokenURL       Secret
	Scopes         []string
	EndpointParams map[string]Secret // more that the token's endpoint wants
	TLS            *tls.Config       // to there; nil as in HTTP
	Proxy          Proxy             // to there
}

func (p *reader) readOAuth2(n *yaml.Node) *OAuth2 {
	if absent(target(n)) {
		return nil
	}
	o := &OAuth2{}
	refuse := func(n *yaml.Node) {
		if !absent(target(n)) {
			p.fail(target(n), "oauth2: alertd asks for tokens with client_id and client_secret only, not with signed assertions")
		}
	}
	known := fields{
		"client_id":          p.textTo(&o.ClientID, "client_id"),
		"client_secret":      p.secretTo(&o.ClientSecret, "client_secret"),
		"client_secret_file": p.secretFileTo(&o.ClientSecret, "client_secret_file"),
		"token_url":          p.secretTo(&o.TokenURL, "token_url"),
		"scopes":             func(n *yaml.Node) { o.Scopes = p.texts(n, "scopes") },
		"endpoint_params": func(n *yaml.Node) {
			o.EndpointParams = map[string]Secret{}
			for _, e := range p.entries(n, "endpoint_params") {
				var v Secret
				p.secretTo(&v, "endpoint_params")(e.value)
				o.EndpointParams[e.key.Value] = v
			}
		},
		"tls_config": func(n *yaml.Node) { o.TLS = p.readTLS(n) },
		"grant_type": func(n *yaml.Node) {
			if n := target(n); !absent(n) && n.Value != "client_credentials" {
				refuse(n)
			}
		},
		// Prometheus has these for assertions alone.
		"client_certificate_key_id": refuse, "client_certificate_key": refuse, "client_certificate_key_file": refuse,
		"signature_algorithm": refuse, "iss": refuse, "audience": refuse, "claims": refuse,
		"proxy_from_environment": func(*yaml.Node) {},
	}
	p.proxyTo(&o.Proxy, known)
	ok := p.object(n, "oauth2", known)
	p.oneOf(n, "oauth2", "client_secret", "client_secret_file")
	p.checkProxy(n, &o.Proxy)
	switch {
	case !ok:
	case o.ClientID == "" || o.ClientSecret == "":
		p.fail(target(n), "oauth2 needs a client_id, and a client_secret or client_secret_file")
	case httpURL(o.TokenURL.Reveal()) != nil:
		p.fail(target(n), "oauth2: token_url: %v", httpURL(o.TokenURL.Reveal()))
	}
	return o
}
