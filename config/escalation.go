package config

import (
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"alertd/router"
)

// maxSteps bounds the steps of one escalation.
const maxSteps = 20

// leastRepage is how often people can be paged again for the same at most.
const leastRepage = 10 * time.Second

// EscalationsByName are the escalations under their names.
func (r *Routing) EscalationsByName() map[string]*router.Escalation {
	out := map[string]*router.Escalation{}
	for _, e := range r.Escalations {
		out[e.Name] = e
	}
	return out
}

// readEscalations reads who is called in, in which order, where nobody takes a critical alert.
func (p *routingParser) readEscalations(n *yaml.Node) {
	for _, entry := range p.entries(n, "escalations") {
		e := &router.Escalation{Name: entry.key.Value}
		if !p.define(p.escalated, entry.key, e.Name, "escalation") {
			continue
		}
		items := p.list(entry.value, "an escalation")
		for _, item := range items[:min(len(items), maxSteps)] {
			s := router.EscalationStep{}
			ok := p.object(item, "a step of an escalation", fields{
				"after":    p.durationTo(&s.After, "after", time.Second),
				"receiver": p.receiverTo(&s.Receiver),
			})
			switch before := len(e.Steps) - 1; {
			case !ok:
			case s.After == 0 || s.Receiver == "":
				p.fail(item, "a step of an escalation needs both; write it like {after: 5m, receiver: NAME}")
			case before >= 0 && s.After <= e.Steps[before].After:
				p.fail(item, "this step is not after the one before it; after counts from the first page, not from the last step")
			}
			e.Steps = append(e.Steps, s)
		}
		switch {
		case len(items) == 0:
			p.fail(entry.key, "escalation %s has no steps; write for example [{after: 5m, receiver: NAME}]", quote(e.Name))
		case len(items) > maxSteps:
			p.fail(items[maxSteps], "escalation %s has more than %d steps", quote(e.Name), maxSteps)
		}
		p.out.Escalations = append(p.out.Escalations, e)
	}
}

// escalationTo reads the name of an escalation.
func (p *routingParser) escalationTo(to **router.Escalation) func(*yaml.Node) {
	return func(n *yaml.Node) {
		var name string
		p.nameTo(&name, "escalation", "escalations", func() map[string]Pos { return p.escalated })(n)
		if i := slices.IndexFunc(p.out.Escalations, func(e *router.Escalation) bool { return e.Name == name }); i >= 0 {
			*to = p.out.Escalations[i]
		}
	}
}

// repageTo reads how often a critical alert is told again that nobody takes; 0s: never.
func (p *routingParser) repageTo(to *time.Duration) func(*yaml.Node) {
	return func(n *yaml.Node) {
		p.durationTo(to, "repage_interval", 0)(n)
		if 0 < *to && *to < leastRepage {
			p.fail(target(n), "repage_interval must be at least %s, or 0s for never", leastRepage)
		}
	}
}
