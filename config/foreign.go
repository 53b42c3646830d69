package config

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ownKeys are the keys that alertd has and Alertmanager does not, by the key of the mapping or list that they are in.
// Alertmanager's tools refuse a routing that has any.
var ownKeys = map[string][]string{
	"":                {"calendars", "escalations", "depends_on"},
	"route":           {"deliver", "calendar", "repage_interval", "ack_timeout", "max_hold", "escalation"},
	"receivers":       {"console_configs"},
	"slack_configs":   {"bot_token", "bot_token_file"},
	"webhook_configs": {"secret", "secret_file"},
}

// asAlertmanager turns what only alertd knows of a routing into comments, so that the rest is a routing of Alertmanager's.
// in is the key whose value n is.
func asAlertmanager(n *yaml.Node, in string) {
	if in == "routes" {
		in = "route"
	}
	if n.Kind == yaml.SequenceNode {
		for _, item := range n.Content {
			asAlertmanager(item, in)
		}
	}
	if n.Kind != yaml.SequenceNode && n.Kind != yaml.MappingNode {
		return
	}
	if slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return c.Kind != yaml.ScalarNode }) || n.Kind == yaml.MappingNode && ownKeys[in] != nil {
		n.Style &^= yaml.FlowStyle // a comment ends its line
	}
	if n.Kind == yaml.SequenceNode {
		return
	}
	own, rest := &yaml.Node{Kind: yaml.MappingNode}, n.Content[:0:0]
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case slices.Contains(ownKeys[in], key.Value):
			own.Content = append(own.Content, key, value)
		case key.Tag == "!!merge":
			asAlertmanager(value, in)
			rest = append(rest, key, value)
		default:
			asAlertmanager(value, key.Value)
			rest = append(rest, key, value)
		}
	}
	n.Content = rest
	if len(own.Content) == 0 {
		return
	}
	if in == "slack_configs" && valueOf(n, "api_url") == nil && valueOf(n, "api_url_file") == nil {
		// Alertmanager wants to know how Slack is reached, and it is.
		put(n, "api_url", &yaml.Node{Kind: yaml.ScalarNode, Value: "<secret>"})
	}
	if text, err := yaml.Marshal(own); err == nil && len(n.Content) > 0 {
		n.Content[0].HeadComment = "alertd: " + strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "\nalertd: ")
	}
}

// addTeam adds to a routing what a team's file has, where the daemon takes it.
func addTeam(to, team *yaml.Node) {
	for i := 0; i+1 < len(team.Content); i += 2 {
		key, value := team.Content[i], team.Content[i+1]
		at := to
		if key.Value == "routes" {
			at = valueOf(to, "route")
		}
		switch have := valueOf(at, key.Value); {
		case at == nil:
		case have == nil:
			put(at, key.Value, value)
		case have.Kind == value.Kind:
			have.Content = append(have.Content, value.Content...)
		}
	}
}

// valueOf is the value of a key in a mapping, or nil.
func valueOf(n *yaml.Node, key string) *yaml.Node {
	for i := 0; n != nil && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// put adds a key to a mapping that does not have it.
func put(n *yaml.Node, key string, value *yaml.Node) {
	n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, value)
}
