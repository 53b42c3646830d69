package config

import (
	"bytes"
	"net/url"
	"strings"

	"go.yaml.in/yaml/v3"

	"alertd/rules"
)

// shownKeys are the keys of global and receivers whose values anybody may see. All others are masked: which of the many
// keys that Alertmanager knows is a secret, is not ours to guess.
var shownKeys = map[string]bool{
	"name": true, "resolve_timeout": true, "send_resolved": true, "timeout": true, "max_alerts": true,
	"channel": true, "username": true, "color": true, "title": true, "text": true, "pretext": true, "fallback": true,
	"footer": true, "message_text": true, "value": true, "short": true, "short_fields": true, "icon_emoji": true, "style": true,
	"type": true, "link_names": true, "mrkdwn_in": true, "update_message": true, "callback_id": true,
	"smtp_from": true, "smtp_smarthost": true, "smtp_hello": true, "min_version": true, "max_version": true,
}

// maskedRouting returns routing files, the first one whole and what teams add to it, as one YAML text that Alertmanager's
// own tools can read. It is without what is secret: comments, and the values in global and receivers that may be
// credentials. Of URLs the host stays. It is empty if a file is not YAML. env looks up what ${NAME} stands for.
func maskedRouting(files []rules.File, env func(string) (string, bool)) string {
	var all *yaml.Node
	for _, f := range files {
		var doc yaml.Node
		if yaml.Unmarshal(f.Data, &doc) != nil || len(doc.Content) == 0 {
			return ""
		}
		m := masker{nodes: maxNodes, env: env}
		masked := m.sections(target(doc.Content[0]))
		switch {
		case m.nodes < 0:
			return ""
		case all == nil:
			all = masked
		default:
			addTeam(all, masked)
		}
	}
	asAlertmanager(all, "")
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if enc.Encode(all) != nil || enc.Close() != nil {
		return ""
	}
	return out.String()
}

// masker copies YAML without comments.
type masker struct {
	nodes int // how many it may still make, for aliases multiply
	env   func(string) (string, bool)
	plain bool // in a section that has no secrets, and where values of the environment may be shown
}

// sections copies what a file has at the top.
func (m *masker) sections(doc *yaml.Node) *yaml.Node {
	out := &yaml.Node{Kind: yaml.MappingNode}
	for i := 0; doc.Kind == yaml.MappingNode && i+1 < len(doc.Content); i += 2 {
		key, secret := doc.Content[i], credential
		if m.plain = key.Value != "global" && key.Value != "receivers"; m.plain {
			secret = nil
		}
		out.Content = append(out.Content, m.node(key, nil), m.node(doc.Content[i+1], secret))
	}
	return out
}

// node copies n. What is below a key that is secret is masked; with nil nothing is.
func (m *masker) node(n *yaml.Node, secret func(key string) bool) *yaml.Node {
	m.nodes--
	switch {
	case m.nodes < 0:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: nullValue}
	case n.Kind == yaml.AliasNode:
		return m.node(n.Alias, secret)
	case n.Kind == yaml.ScalarNode && secret != nil && n.Tag != "!!bool" && n.Tag != nullValue && n.Value != "":
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: maskedValue(m.expanded(n.Value))}
	}
	out := &yaml.Node{Kind: n.Kind, Style: n.Style, Tag: n.Tag, Value: n.Value}
	if n.Kind == yaml.ScalarNode && m.plain {
		out.Value = m.expanded(n.Value)
	}
	for i, c := range n.Content {
		below := secret
		if n.Kind == yaml.MappingNode {
			below = nil
			if isValue := i%2 == 1; isValue && secret != nil && secret(n.Content[i-1].Value) {
				below = credential
			}
		}
		out.Content = append(out.Content, m.node(c, below))
	}
	return out
}

// expanded is s with what the environment says, or s.
func (m *masker) expanded(s string) string {
	if out, err := expand(s, m.env); err == nil {
		return out
	}
	return s
}

// credential reports whether what is below a key may be one.
func credential(key string) bool { return !shownKeys[key] && !strings.HasSuffix(key, "_file") }

// maskedValue hides everything, but of a URL where it leads.
func maskedValue(s string) string {
	if u, err := url.Parse(s); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
		return u.Scheme + "://" + u.Host + "/<secret>"
	}
	return "<secret>"
}
