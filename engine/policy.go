package engine

import (
	"alertd"
	"alertd/calendar"
	"alertd/router"
)

// Policy is everything that people configure and the engine decides by. It is not part of the state: entries
// carry the consequences, so that folding them needs no policy. A policy must not change once it was given.
type Policy struct {
	Version     string // hash of the files that it was read from
	Route       *router.Route
	Inhibitions router.Inhibitions
	Depends     *router.Dependencies // nil: no service depends on another one
	Intervals   router.Intervals
	Calendars   map[string]*calendar.Calendar
	Receivers   []Receiver
	Escalations map[string]*router.Escalation
	Rules       map[string]bool // IDs of the rules that exist

	// Enrich sets an alert's RunbookURL and TraceURL. It is a function of the alert alone. Nil adds nothing.
	Enrich func(*alertd.Alert)
}

// Receiver is a name that routes point at, and the destinations behind it.
type Receiver struct {
	Name         string
	Integrations []Integration

	// ByGroup says that where a message goes depends on the group, so that no digest holds several of them.
	ByGroup bool
}

// Integration is one destination of a receiver.
type Integration struct {
	Name         string // unique in the receiver: "slack/0"
	SendResolved bool   // whether it hears of what is over
	ShowsAcks    bool   // whether it is told who has taken what: a message that people look at, not a program
	Limit        int    // messages that it is sent within a minute; what is more is told in summaries. 0: no limit
}

// Fallback is the receiver of last resort: the daemon's own standard error. It tells of deliveries that failed
// where no other receiver can.
const Fallback = "alertd-console"

var fallback = Receiver{Name: Fallback, Integrations: []Integration{{Name: "console/0", SendResolved: true}}}

func (p *Policy) receiver(name string) (Receiver, bool) {
	if name == Fallback {
		return fallback, true
	}
	for _, r := range p.Receivers {
		if r.Name == name {
			return r, true
		}
	}
	return Receiver{}, false
}

// limit is how many messages a destination is sent within a minute; 0: as many as there are. Where the place depends on the
// group, no message can speak of several groups, and the places may be many.
func (p *Policy) limit(to destination) int {
	r, ok := p.receiver(to.Receiver)
	if !ok || r.ByGroup {
		return 0
	}
	for _, in := range r.Integrations {
		if in.Name == to.Integration {
			return in.Limit
		}
	}
	return 0
}

// other is a receiver that can tell of the failure of another one: the first that has a destination.
func (p *Policy) other(failed string) string {
	for _, r := range p.Receivers {
		if r.Name != failed && len(r.Integrations) > 0 {
			return r.Name
		}
	}
	return Fallback
}
