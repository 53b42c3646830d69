package config

import (
	"github.com/prometheus/prometheus/model/labels"
	"go.yaml.in/yaml/v3"

	"alertd"
)

// Receiver is a name that routes point at, and the destinations behind it. One without any is legal: what goes
// there reaches nobody.
type Receiver struct {
	Name    string
	Labels  alertd.Labels // for whoever asks for receivers; "name" is always among them
	Slack   []Slack
	Webhook []Webhook
	Console bool // writes to the daemon's own output

	// MaxPerMinute is how many messages each of its destinations is sent within a minute; what is more is told in summaries.
	// 0: no limit. Nil: [DefaultMaxPerMinute] for Slack, and none for the others.
	MaxPerMinute *int
}

// DefaultMaxPerMinute is how many messages a minute a Slack channel gets where the receiver does not say: more than anybody
// reads, and a third of what Slack takes. Programs behind webhooks are told all, since they know an incident by its group.
const DefaultMaxPerMinute = 20

// globals are the defaults that receivers fall back to.
type globals struct {
	slackURL, slackToken Secret
	slackAPI             Secret // base of the Web API
	http                 *HTTP
}

// Keys that Alertmanager knows and alertd does not use.
var (
	unusedGlobal = []string{
		"jira_api_url", "smtp_from", "smtp_hello", "smtp_smarthost", "smtp_auth_username", "smtp_auth_password",
		"smtp_auth_password_file", "smtp_auth_secret", "smtp_auth_secret_file", "smtp_auth_identity", "smtp_require_tls",
		"smtp_tls_config", "smtp_force_implicit_tls", "pagerduty_url", "opsgenie_api_url", "opsgenie_api_key",
		"opsgenie_api_key_file", "wechat_api_url", "wechat_api_secret", "wechat_api_secret_file", "wechat_api_corp_id",
		"victorops_api_url", "victorops_api_key", "victorops_api_key_file", "telegram_api_url", "telegram_bot_token",
		"telegram_bot_token_file", "webex_api_url", "rocketchat_api_url", "rocketchat_token", "rocketchat_token_file",
		"rocketchat_token_id", "rocketchat_token_id_file", "mattermost_webhook_url", "mattermost_webhook_url_file",
	}
	// By their kinds, the receivers that alertd does not have, and whose form a webhook's payload has in their place. Those
	// without one want more than JSON.
	foreignReceivers = map[string]string{
		"discord_configs": "Discord", "email_configs": "", "incidentio_configs": "incident.io", "jira_configs": "Jira",
		"mattermost_configs": "Mattermost", "msteams_configs": "Teams", "msteamsv2_configs": "Teams", "opsgenie_configs": "Opsgenie",
		"pagerduty_configs": "PagerDuty", "pushover_configs": "Pushover", "rocketchat_configs": "Rocket.Chat", "sns_configs": "",
		"telegram_configs": "Telegram", "victorops_configs": "VictorOps", "webex_configs": "Webex", "wechat_configs": "",
	}
)

func (p *routingParser) withUnused(known fields, keys []string) fields {
	for _, key := range keys {
		known[key] = p.unused(key)
	}
	return known
}

func (p *routingParser) readGlobal(n *yaml.Node) {
	p.out.ResolveTimeout = defaultResolveTimeout
	g := &p.global
	p.object(n, "global", p.withUnused(fields{
		"resolve_timeout":      p.durationTo(&p.out.ResolveTimeout, "resolve_timeout", 1),
		"slack_api_url":        p.secretTo(&g.slackURL, "slack_api_url"),
		"slack_api_url_file":   p.secretFileTo(&g.slackURL, "slack_api_url_file"),
		"slack_app_token":      p.secretTo(&g.slackToken, "slack_app_token"),
		"slack_app_token_file": p.secretFileTo(&g.slackToken, "slack_app_token_file"),
		"slack_app_url":        p.secretTo(&g.slackAPI, "slack_app_url"),
		"http_config":          func(n *yaml.Node) { g.http = p.readHTTP(n) },
	}, unusedGlobal))
	p.oneOf(n, "global", "slack_api_url", "slack_api_url_file")
	p.oneOf(n, "global", "slack_app_token", "slack_app_token_file")
}

func (p *routingParser) readReceivers(n *yaml.Node) {
	for _, item := range p.list(n, "receivers") {
		r, at, ok := p.readReceiver(item)
		switch {
		case r.Name == "" && ok:
			p.fail(item, "a receiver has no name")
			continue
		case r.Name == "":
			continue
		case !p.define(p.receivers, at, r.Name, "receiver"):
			continue
		}
		p.out.Receivers = append(p.out.Receivers, r)
	}
}

// readReceiver also returns where its name is, and whether all of it was well.
func (p *routingParser) readReceiver(n *yaml.Node) (r Receiver, at *yaml.Node, ok bool) {
	name := peek(n, "name")
	var limit *yaml.Node
	known := fields{
		"name": func(n *yaml.Node) {
			at = target(n)
			p.textTo(&r.Name, "name")(n)
		},
		"labels": func(n *yaml.Node) { p.receiverLabelsTo(&r, name)(n) },
		"slack_configs": func(n *yaml.Node) {
			for i, item := range p.list(n, "slack_configs") {
				r.Slack = append(r.Slack, p.readSlack(item, indexed("slack_configs", i)))
			}
		},
		"webhook_configs": func(n *yaml.Node) {
			for i, item := range p.list(n, "webhook_configs") {
				r.Webhook = append(r.Webhook, p.readWebhook(item, indexed("webhook_configs", i)))
			}
		},
		"max_per_minute": func(n *yaml.Node) {
			most := -1
			if p.intTo(&most, "max_per_minute")(n); most >= 0 {
				r.MaxPerMinute, limit = &most, target(n)
			}
		},
		"console_configs": func(n *yaml.Node) {
			for i, item := range p.list(n, "console_configs") {
				p.object(item, indexed("console_configs", i), fields{})
				r.Console = true
			}
		},
	}
	for kind, service := range foreignReceivers {
		known[kind] = func(n *yaml.Node) {
			if n := target(n); !absent(n) && (n.Kind == yaml.ScalarNode || len(n.Content) > 0) {
				p.fail(n, "receiver %s: alertd has no %s; %s (docs/alertmanager.md shows how), or delete %s, and what goes to this receiver is on the dashboard only",
					quote(name), kind, inPlaceOf(service), kind)
			}
		}
	}
	ok = p.object(n, "receiver", known)
	if limit != nil && *r.MaxPerMinute > 0 && r.ByGroup() {
		p.warn(limit, "max_per_minute of receiver %s has no effect: where its messages go depends on the alerts, so no message can stand for several", quote(name))
	}
	b := labels.NewBuilder(r.Labels)
	r.Labels = b.Set("name", r.Name).Labels()
	return r, at, ok
}

// inPlaceOf says what to write for a service that alertd has no receivers for.
func inPlaceOf(service string) string {
	if service == "" {
		return "write webhook_configs with the url of a relay that takes Alertmanager's webhooks"
	}
	return "write webhook_configs with a payload as " + service + " wants it"
}

// receiverLabelsTo reads labels, of which name belongs to the receiver's own.
func (p *routingParser) receiverLabelsTo(r *Receiver, name string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		b := labels.NewBuilder(labels.EmptyLabels())
		for _, e := range p.entries(n, "labels of a receiver") {
			v, ok := p.text(e.value, "label "+e.key.Value+" of the receiver")
			switch {
			case !ok:
			case !isLabelName(e.key.Value):
				p.fail(e.key, "%s is not the name of a label", quote(e.key.Value))
			case e.key.Value == "name" && v != name:
				p.fail(e.value, "the label name of a receiver is the receiver's own, %s; leave it out", quote(name))
			default:
				b.Set(e.key.Value, v)
			}
		}
		r.Labels = b.Labels()
	}
}

// peek is the text of a key before its mapping is read, or "".
func peek(n *yaml.Node, key string) string {
	n = target(n)
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return target(n.Content[i+1]).Value
		}
	}
	return ""
}

func firstOf(secrets ...Secret) Secret {
	for _, s := range secrets {
		if s != "" {
			return s
		}
	}
	return ""
}
