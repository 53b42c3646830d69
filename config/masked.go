package config

import (
	"bytes"
	"io/fs"
	"net/url"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
)

// shownKeys are the keys of global and receivers whose values anybody may see. All others are masked: which of the many
// keys that Alertmanager knows is a secret, is not ours to guess.
var shownKeys = map[string]bool{
	"name": true, "resolve_timeout": true, "send_resolved": true, "timeout": true, "max_alerts": true,
	"channel": true, "username": true, "color": true, "title": true, "text": true, "pretext": true, "fallback": true,
	"footer": true, "message_text": true, "value": true, "short": true, "short_fields": true, "icon_emoji": true, "style": true,
	"type": true, "link_names": true, "mrkdwn_in": true, "update_message": true, "callback_id": true,
	"smtp_from": true, "smtp_smarthost": true, "smtp_hello": true,
}

// MaskedRouting returns the routing files in fsys, as documents of one YAML text, without what is secret in them: their
// comments, and the values in global and receivers that may be credentials. Of URLs the host stays. It is empty if
// there is no such file, or one that is not YAML.
func MaskedRouting(fsys fs.FS) string {
	files, err := readFolder(fsys)
	if err != nil {
		return ""
	}
	var main, teams []*yaml.Node
	for _, f := range files {
		var doc yaml.Node
		stem := strings.TrimSuffix(f.Name, path.Ext(f.Name))
		if stem != "routing" && !strings.HasSuffix(stem, ".routing") {
			continue
		}
		if yaml.Unmarshal(f.Data, &doc) != nil || len(doc.Content) == 0 {
			return ""
		}
		m := masker{nodes: maxNodes}
		masked := m.node(doc.Content[0], func(section string) bool { return section == "global" || section == "receivers" })
		if m.nodes < 0 {
			return ""
		}
		if stem == "routing" {
			main = append(main, masked)
		} else {
			teams = append(teams, masked)
		}
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	for _, n := range append(main, teams...) {
		if enc.Encode(n) != nil {
			return ""
		}
	}
	if enc.Close() != nil {
		return ""
	}
	return out.String()
}

// masker copies YAML. nodes is how many it may still make, for aliases multiply.
type masker struct{ nodes int }

// node copies n without comments. What is below a key that is secret is masked; with nil nothing is.
func (m *masker) node(n *yaml.Node, secret func(key string) bool) *yaml.Node {
	m.nodes--
	switch {
	case m.nodes < 0:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: nullValue}
	case n.Kind == yaml.AliasNode:
		return m.node(n.Alias, secret)
	case n.Kind == yaml.ScalarNode && secret != nil && n.Tag != "!!bool" && n.Tag != nullValue && n.Value != "":
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: maskedValue(n.Value)}
	}
	out := &yaml.Node{Kind: n.Kind, Style: n.Style, Tag: n.Tag, Value: n.Value}
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

// credential reports whether what is below a key may be one.
func credential(key string) bool { return !shownKeys[key] && !strings.HasSuffix(key, "_file") }

// maskedValue hides everything, but of a URL where it leads.
func maskedValue(s string) string {
	if u, err := url.Parse(s); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
		return u.Scheme + "://" + u.Host + "/<secret>"
	}
	return "<secret>"
}
