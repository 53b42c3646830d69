package config

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Webhook is one URL that notifications are posted to.
type Webhook struct {
	URL          Secret        // perhaps a template
	HTTP         *HTTP         // nil: nothing special
	Secret       Secret        // signs as Standard Webhooks say ("whsec_" and base64); "" does not sign
	Timeout      time.Duration // of one attempt; 0: the notifier's own
	MaxAlerts    int           // in one body; 0: all
	SendResolved bool          // default true

	// Payload is the body: maps, lists and values as JSON has them, of which every text is a template. Nil is
	// Alertmanager's body.
	Payload any
}

// Templated reports whether the URL depends on the alerts.
func (w *Webhook) Templated() bool { return strings.Contains(w.URL.Reveal(), "{{") }

func (p *routingParser) readWebhook(n *yaml.Node, what string) Webhook {
	w := Webhook{SendResolved: true, HTTP: p.global.http}
	before := len(p.problems)
	p.object(n, what, fields{
		"url":           p.secretTo(&w.URL, "url"),
		"url_file":      p.secretFileTo(&w.URL, "url_file"),
		"secret":        p.secretTo(&w.Secret, "secret"),
		"secret_file":   p.secretFileTo(&w.Secret, "secret_file"),
		"timeout":       p.durationTo(&w.Timeout, "timeout", 0),
		"max_alerts":    p.intTo(&w.MaxAlerts, "max_alerts"),
		"send_resolved": p.boolTo(&w.SendResolved, "send_resolved"),
		"http_config":   func(n *yaml.Node) { w.HTTP = p.readHTTP(n) },
		"payload":       func(n *yaml.Node) { w.Payload = p.readPayload(target(n), 0) },
	})
	p.oneOf(n, what, "url", "url_file")
	p.oneOf(n, what, "secret", "secret_file")
	if len(p.problems) > before {
		return w
	}
	switch {
	case w.URL == "":
		p.fail(n, "%s has no url; add url or url_file", what)
	case w.Templated():
		switch t := p.try(w.URL.Reveal()); {
		case t.mistake != nil:
			p.fail(n, "%s: the url is not a template: %s", what, cause(n, t.mistake))
		case t.failure != nil:
			p.warn(n, "%s: the url fails with an example alert: %s; where it fails, nothing can be sent", what, cause(n, t.failure))
		}
	default:
		if err := httpURL(w.URL.Reveal()); err != nil {
			p.fail(n, "%s: url: %v", what, err)
		}
	}
	if err := checkSigningSecret(w.Secret.Reveal()); err != nil {
		p.fail(n, "%s: secret: %v", what, err)
	}
	return w
}

// readPayload reads a body, whose texts are templates.
func (p *routingParser) readPayload(n *yaml.Node, depth int) any {
	switch {
	case depth > maxDepth:
		p.fail(n, "payload is nested more than %d deep", maxDepth)
		return nil
	case absent(n):
		return nil
	}
	switch n.Kind {
	case yaml.SequenceNode:
		out := []any{}
		for _, item := range p.list(n, "payload") {
			out = append(out, p.readPayload(item, depth+1))
		}
		return out
	case yaml.MappingNode:
		out := map[string]any{}
		for _, e := range p.entries(n, "payload") {
			var key string
			p.templateTo(&key, "a key of payload")(e.key)
			out[key] = p.readPayload(target(e.value), depth+1)
		}
		return out
	default:
		return p.readPayloadValue(n)
	}
}

// readPayloadValue keeps numbers and truth as they are. Everything else is a text.
func (p *routingParser) readPayloadValue(n *yaml.Node) any {
	var v any
	switch n.ShortTag() {
	case "!!int", "!!float", "!!bool":
		if n.Decode(&v) == nil {
			return v
		}
	}
	var text string
	p.templateTo(&text, "payload")(n)
	return text
}

// checkSigningSecret wants what Standard Webhooks want: 24 to 64 random bytes.
func checkSigningSecret(s string) error {
	if s == "" {
		return nil
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s, "whsec_"))
	if err != nil || !strings.HasPrefix(s, "whsec_") || len(key) < 24 || len(key) > 64 {
		return fmt.Errorf(`want "whsec_" and 24 to 64 random bytes in base64; make one with: echo "whsec_$(openssl rand -base64 32)"`)
	}
	return nil
}
