package config

import (
	"slices"
	"strconv"
	"strings"

	"alertd/engine"
)

// Engine is what the engine decides by. Enrich is left to the caller.
func (p *Policy) Engine() *engine.Policy {
	out := &engine.Policy{
		Version: p.Version, Route: p.Routing.Root, Inhibitions: p.Routing.Inhibitions, Depends: p.Routing.Depends,
		Intervals: p.Routing.Intervals, Calendars: p.Routing.Calendars, Rules: map[string]bool{},
	}
	out.Escalations = p.Routing.EscalationsByName()
	for _, r := range p.Rules.Rules() {
		out.Rules[r.ID] = true
	}
	for _, r := range p.Routing.Receivers {
		out.Receivers = append(out.Receivers, engine.Receiver{Name: r.Name, Integrations: r.integrations(), ByGroup: r.ByGroup()})
	}
	return out
}

// The kinds of destinations, as [Integration] wants them.
const (
	KindSlack   = "slack"
	KindWebhook = "webhook"
	KindConsole = "console"
)

// Integration names the i-th destination of its kind in a receiver: "slack/0".
func Integration(kind string, i int) string { return kind + "/" + strconv.Itoa(i) }

// ByGroup reports whether where a message goes depends on the alerts in it.
func (r Receiver) ByGroup() bool {
	return slices.ContainsFunc(r.Slack, func(s Slack) bool { return strings.Contains(s.Channel, "{{") }) ||
		slices.ContainsFunc(r.Webhook, func(w Webhook) bool { return w.Templated() })
}

// limit is how many messages a minute a destination of that kind gets; 0: no limit.
func (r Receiver) limit(kind string) int {
	switch {
	case r.MaxPerMinute != nil:
		return *r.MaxPerMinute
	case kind == KindSlack:
		return DefaultMaxPerMinute
	}
	return 0
}

func (r Receiver) integrations() (out []engine.Integration) {
	for i, c := range r.Slack {
		out = append(out, engine.Integration{Name: Integration(KindSlack, i), SendResolved: c.SendResolved, ShowsAcks: c.BotToken != "", Limit: r.limit(KindSlack)})
	}
	for i, c := range r.Webhook {
		out = append(out, engine.Integration{Name: Integration(KindWebhook, i), SendResolved: c.SendResolved, Limit: r.limit(KindWebhook)})
	}
	if r.Console {
		out = append(out, engine.Integration{Name: Integration(KindConsole, 0), SendResolved: true, Limit: r.limit(KindConsole)})
	}
	return out
}
